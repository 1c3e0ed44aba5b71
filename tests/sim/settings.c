// SPDX-License-Identifier: GPL-2.0
/*
 * Worlds in which somebody says, at any host, how much those that catch up are sent in a second
 * at most (qbdadm set --max-rate). That is the device's: all members that are up have the same
 * when all is well.
 *
 * Drawn apart from the rest, of which nothing else changes so.
 */
#include "sim.h"

static struct {
	u64 random;
	u64 next;		/* step; 0: nobody does in this world */
	u32 rate;
	u32 asking[SIM_HOSTS_MAX + 1];	/* the life in which somebody asks there, and one more */
} settings;

static u32 below(u32 bound)
{
	return sim_below_of(&settings.random, bound);
}

void sim_settings_begin(void)
{
	memset(&settings, 0, sizeof(settings));
	settings.random = world.seed ^ 0x73657474696e6773ull;
	settings.rate = 100 + below(4000);
	if (sim_has(SIM_SETTINGS, !world.quiet && !below(6)))
		settings.next = 1 + below(settings.rate);
}

static const struct qbd_replica *running(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	return host->replica && replica && replica->phase == QBD_PHASE_RUNNING &&
	       !host->going_down ? replica : NULL;
}

/* All extents of a world are four of these. */
#define MB	(1024u * 1024u)

static void set_thread(void *object)
{
	static const u64 rates[] = { 0, MB / 2, MB, 4 * MB, 64 * MB };
	struct qbd_settings before, after;
	struct sim_host *host = object;
	char text[QBD_ERROR_TEXT_SIZE];
	int error;

	if (host->replica && !host->going_down) {
		qbd_replica_settings(host->replica, &before);
		after = before;
		after.max_rate = rates[below(ARRAY_SIZE(rates))];
		/* Another one may have been heard of meanwhile. */
		error = host->replica ? qbd_replica_set(host->replica, &before, &after, text,
							sizeof(text)) : -ENODEV;
		sim_trace("at most %llu bytes a second, at host %u: %s", after.max_rate,
			  host->number, error ? "refused" : "taken");
		sim_counts.rates_set += !error;
	}
	settings.asking[host->number] = 0;
}

void sim_settings_step(void)
{
	struct sim_host *host;

	if (!settings.next || world.steps < settings.next)
		return;
	settings.next = world.steps + 1 + below(2 * settings.rate);
	host = &world.hosts[1 + below(world.count)];
	if (!running(host) || settings.asking[host->number] == host->life + 1)
		return;
	settings.asking[host->number] = host->life + 1;
	sim_thread_on(host, set_thread, host);
}

/* Seconds in which each member can be sent a whole log and all data, as fast as is allowed. */
u32 sim_settings_patience(void)
{
	u64 bytes = (QBD_LOG_BLOCKS_MIN + SIM_USED_BLOCKS) * QBD_BLOCK_SIZE * world.count;
	u32 seconds = 0;

	for (u32 number = 1; settings.next && number <= world.count; number++) {
		const struct qbd_replica *replica = running(&world.hosts[number]);

		if (replica && replica->settings.max_rate)
			seconds = max(seconds, (u32)(bytes / replica->settings.max_rate));
	}
	return seconds;
}

bool sim_settings_final(void)
{
	const struct qbd_replica *first = NULL;

	for (u32 number = 1; settings.next && number <= world.count; number++) {
		const struct qbd_replica *replica = running(&world.hosts[number]);

		if (!replica || !sim_lists_has(number))
			continue;
		if (first && first->settings.max_rate != replica->settings.max_rate)
			return false;
		first = replica;
	}
	return true;
}
