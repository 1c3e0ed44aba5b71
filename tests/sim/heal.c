// SPDX-License-Identifier: GPL-2.0
/*
 * The end of a world.
 *
 * In some only a bare majority is made good first (bare.c). Then everything is; writes at every
 * host have to complete, all members have to come to the same state, and all go down in order
 * with nothing left behind.
 */
#include "sim.h"

void sim_heal_host(struct sim_host *host)
{
	host->paused_until = 0;
	sim_disk_stall(host, 0);
	sim_disk_errors(host, 0, 0);
	sim_disk_readable(host);
}

/* One that cannot go on with its disk gets another, when nobody else lacks anything. */
void sim_mend_host(struct sim_host *host)
{
	if (host->going_up || host->going_down || !host->exists)
		return;
	/* It did not come up: once more, or never again. */
	if (host->powered && !host->network && (!host->failed || host->knows))
		sim_member_power_cut(host);
	if (host->failed)
		sim_faults_new_disk(host);
	else if (!host->powered)
		sim_member_power_on(host);
}

static void mend(void *object, u64 argument)
{
	if (!world.healing || world.recovers)
		return;
	for (u32 number = 1; number <= world.count; number++)
		if (!sim_few_keeps_off(number))
			sim_mend_host(&world.hosts[number]);
	sim_event(NULL, world.now + 50 * SIM_MS, mend, NULL, 0);
}

static void stuck(u32 seconds, const char *what)
{
	const struct qbd_membership_layout *list = sim_lists_now();
	char text[900];
	size_t at = snprintf(text, sizeof(text), " (list of %llu:", le64_to_cpu(list->index));

	for (u32 i = 0; i < le32_to_cpu(list->count); i++)
		at += snprintf(text + at, sizeof(text) - at, " %u=%#x",
			       le32_to_cpu(list->members[i].id),
			       le16_to_cpu(list->members[i].flags));
	at += snprintf(text + at, sizeof(text) - at, ")");

	for (u32 number = 1; number <= world.count && at < sizeof(text) - 160; number++) {
		const struct sim_host *host = &world.hosts[number];
		const struct qbd_replica *replica = sim_replica(host);

		at += snprintf(text + at, sizeof(text) - at, "; h%u %s", number,
			       !host->powered ? "off" : !replica ? "not up" : "");
		if (replica)
			at += snprintf(text + at, sizeof(text) - at,
				       "role %u term %llu last %llu commit %llu applied %llu%s%s%s%s",
				       replica->core->role, replica->core->term,
				       qbd_store_last_index(replica->store),
				       replica->core->commit,
				       qbd_store_applied_index(replica->store),
				       replica->core->failed ? " failed" : "",
				       replica->damaged ? " damaged" : "",
				       replica->is_new ? " new" : "",
				       qbd_replica_filling(replica) ? " filling" : "");
		if (replica)
			at += snprintf(text + at, sizeof(text) - at, " (log from %llu, %u of %u pages free, %u held%s)",
				       qbd_store_first_index(replica->store),
				       qbd_pool_pages_free(replica->pool),
				       qbd_pool_pages(replica->pool), replica->held_count,
				       replica->noop_index ? ", no-op unwritten" : "");
		if (replica && qbd_replica_filling(replica))
			at += snprintf(text + at, sizeof(text) - at, " (step %u, extent %llu)",
				       replica->fill.step, replica->fill.cursor);
	}
	sim_fail("healed, and after %u s still not: %s%s", seconds, what, text);
}

bool sim_heal_all_off(void)
{
	for (u32 number = 1; number <= world.count; number++)
		if (world.hosts[number].powered)
			return false;
	return true;
}

bool sim_heal_within(u32 seconds, bool (*done)(void), const char *what)
{
	u64 end = world.now + seconds * SIM_S;

	while (!world.error && !done()) {
		if (world.now > end) {
			stuck(seconds, what);
			break;
		}
		if (!sim_step())
			sim_pass_time();
		sim_verify_watch();
		sim_rollbacks_step();
		sim_clones_step();
		sim_records_watch();
	}
	return !world.error;
}

bool sim_heal_until(bool (*done)(void), const char *what)
{
	return sim_heal_within(120 + sim_settings_patience(), done, what);
}

/* Was it away when it was removed, and knows nobody who is a member still and could tell it? */
static bool is_lost(const struct qbd_replica *replica)
{
	const struct qbd_membership_layout *list = qbd_replica_layout(replica);

	for (u32 i = 0; i < le32_to_cpu(list->count); i++)
		if (sim_lists_has(le32_to_cpu(list->members[i].id)))
			return false;
	return true;
}

static bool strangers_told(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = sim_replica(&world.hosts[number]);

		if (sim_lists_gone(number) && replica && !replica->removed &&
		    replica->phase == QBD_PHASE_RUNNING && !is_lost(replica))
			return false;
	}
	return true;
}

/* Who is told by nobody is seen by somebody, who takes it down. */
static void end_strangers(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];
		const struct qbd_replica *replica = sim_replica(host);

		if (!sim_lists_gone(number) || (replica && replica->removed))
			continue;
		sim_member_power_cut(host);
		host->knows = true;
	}
}

bool sim_heal_end_well(void)
{
	sim_client_probe_begin();
	if (!sim_heal_until(sim_client_probe, "a write at every host") ||
	    !sim_heal_until(sim_client_idle, "an answer to every request") ||
	    !sim_heal_until(sim_invariants_settled, "all members whole and equal"))
		return false;
	sim_invariants_replicas();
	return !world.error;
}

void sim_heal_weather(void)
{
	world.weather = (struct sim_weather){
		.delay = SIM_MS / 2, .delay_spread = SIM_MS / 2,
		.disk = 100 * SIM_US, .disk_spread = 100 * SIM_US,
		.run_spread = 5 * SIM_US,
	};
}

void sim_heal_all(void)
{
	sim_heal_weather();
	sim_network_heal();
	for (u32 number = 1; number <= world.count; number++)
		sim_heal_host(&world.hosts[number]);
}

/*
 * In the end each disk takes longer for what it is asked for than that of a leader may hang
 * (accident 28: one hands over then). Nobody is any better, so all goes on, as slowly as that is.
 */
static bool sluggish(void)
{
	u64 random = world.seed ^ 0x736c756767697368ull, timeout = 0, takes;
	bool done, uneven;

	if (!sim_has(SIM_SLUGGISH, !world.quiet && !sim_below_of(&random, 6)))
		return true;
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = sim_replica(&world.hosts[number]);

		if (replica && replica->phase == QBD_PHASE_RUNNING)
			timeout = max(timeout, (u64)replica->settings.election_timeout_ms);
	}
	takes = timeout * SIM_MS / 100 * (200 + sim_below_of(&random, 300));
	uneven = sim_below_of(&random, 2);
	world.weather.disk = uneven ? takes / 2 : takes;
	world.weather.disk_spread = uneven ? takes : SIM_MS;
	sim_trace("all disks take %llu ms", takes / SIM_MS);
	sim_counts.sluggish++;
	sim_client_probe_begin();
	done = sim_heal_within(120 + 100 * takes / SIM_S, sim_client_probe,
			       "a write at every host where all disks are slow");
	sim_heal_weather();
	return done;
}

void sim_heal(void)
{
	world.healing = true;
	if (!sim_bare())
		return;
	sim_heal_all();
	mend(NULL, 0);
	sim_clones_heal();
	if (!sim_heal_until(sim_members_final, "the members as they are to be"))
		return;
	if (!sim_heal_until(strangers_told, "who was removed while it was away is told"))
		return;
	end_strangers();
	if (!sim_heal_until(sim_sizes_final, "the device as large as it can be") ||
	    !sim_heal_until(sim_settings_final, "all with the same limit of the rate") ||
	    !sim_heal_end_well())
		return;
	if (!sim_few() || !sim_records_end())
		return;
	if (world.moves && !sim_heal_until(sim_addresses_final, "no member at an old address"))
		return;
	sim_members_remove_one();
	if (!sim_heal_until(sim_members_removed_one, "one more removed") || !sim_heal_end_well())
		return;
	sim_verify_heal();
	sim_clones_end();
	if (!sluggish())
		return;
	world.healing = false;
	if (world.error)
		return;
	for (u32 number = 1; number <= world.count; number++)
		sim_member_down(&world.hosts[number]);
	if (sim_heal_until(sim_heal_all_off, "down in order"))
		sim_recover();
}
