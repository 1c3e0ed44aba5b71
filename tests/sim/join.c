// SPDX-License-Identifier: GPL-2.0
/*
 * Hosts that become members: userspace/lib/join.c as it is, on connections of
 * programs that are late, and whose requests and answers may be lost.
 *
 * A host that joins is a thread until it has its disk, then a member. Its power may go
 * at any time: what it asked for stands, or may stand, and nobody has a disk for it then.
 *
 * Some are told twice at the same time to become one, with the same name and address.
 */
#include "lib/clock.h"
#include "lib/join.h"
#include "sim.h"
#include "user.h"

/* Those that members.c makes up have higher ones. */
#define GUESTS_MAX	199u

struct joiner {
	struct sim_host *host;		/* whose thread it is */
	bool busy;
	u64 begun;			/* distinguishes it from who had its place before */
	u32 guest;
	u64 random;
	/* the request that is waited for */
	u64 connection;
	bool answered, broken;
	struct qbd_frame_reply reply;
	struct qbd_description description;
};

static struct joiner joiners[SIM_JOINERS];
static u64 connections, begun;
static u32 guests;

static u32 below(struct joiner *joiner, u32 bound)
{
	return sim_below_of(&joiner->random, bound);
}

static struct joiner *current_joiner(void)
{
	return &joiners[sim_host - &world.hosts[SIM_HOSTS_MAX + 1]];
}

void sim_join_begin(void)
{
	memset(joiners, 0, sizeof(joiners));
	for (u32 i = 0; i < SIM_JOINERS; i++)
		joiners[i].host = &world.hosts[SIM_HOSTS_MAX + 1 + i];
	connections = 0;
	begun = 0;
	guests = 0;
}

void sim_join_end(void)
{
	for (u32 i = 0; i < SIM_JOINERS; i++)
		sim_host_void(joiners[i].host);
}

bool sim_join_idle(void)
{
	for (u32 i = 0; i < SIM_JOINERS; i++)
		if (joiners[i].busy)
			return false;
	return true;
}

/* ---- what userspace calls ----------------------------------------------- */

int64_t qbd_now_ms(void)
{
	return sim_host_time(sim_host) / SIM_MS;
}

static void sleep_for(u64 time)
{
	u64 until = sim_host_time(sim_host) + time;

	while (sim_sleep(until))
		;
}

void qbd_pause_ms(unsigned int milliseconds)
{
	sleep_for(milliseconds * SIM_MS);
}

static void transit(void)
{
	sleep_for(sim_spread(world.weather.delay, world.weather.delay_spread) + 1);
}

static struct sim_host *host_at(const struct qbd_address *address)
{
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if (host->exists && address->bytes[2] == (host->guest ? 3 : 2) &&
		    address->bytes[3] == (host->guest ?: number))
			return host;
	}
	return NULL;
}

int qbd_admin_connect(struct qbd_admin *admin, const struct qbd_address *address,
		      const struct qbd_token *token, struct qbd_error *error)
{
	struct sim_host *host = host_at(address);

	transit();
	memset(admin, 0, sizeof(*admin));
	if (!host || !host->powered || !host->network || host->paused_until > world.now)
		return qbd_fail(error, ECONNREFUSED, "nobody listens there");
	snprintf(admin->where, sizeof(admin->where), "host%u", host->number);
	admin->fd = host->number;
	admin->sequence = host->life;
	return 0;
}

void qbd_admin_close(struct qbd_admin *admin)
{
}

static void break_off(void *object, u64 argument)
{
	struct joiner *joiner = object;

	if (joiner->connection == argument)
		joiner->broken = true;
}

/* It is on its way. Another joiner may be behind the connection by then. */
static void arrive(void *object, u64 argument)
{
	struct joiner *joiner = object;

	if (joiner->connection == argument)
		joiner->answered = true;
}

void sim_join_answer(u64 connection, const struct qbd_frame_reply *reply, const void *data)
{
	for (u32 i = 0; i < SIM_JOINERS; i++) {
		struct joiner *joiner = &joiners[i];
		u64 at = world.now + sim_spread(world.weather.delay,
						world.weather.delay_spread);

		if (joiner->connection != connection)
			continue;
		joiner->reply = *reply;
		if (data)
			memcpy(&joiner->description, data, sizeof(joiner->description));
		sim_event(joiner->host, at, world.healing || below(joiner, 6) ? arrive :
						break_off, joiner, connection);
	}
}

static int ask(struct qbd_admin *admin, const struct qbd_membership_layout *list,
	       struct qbd_error *error)
{
	struct sim_host *host = &world.hosts[admin->fd];
	u64 end = sim_host_time(sim_host) + QBD_ADMIN_WAIT_MS * SIM_MS;
	struct joiner *joiner = current_joiner();

	joiner->connection = ++connections;
	joiner->answered = false;
	joiner->broken = false;
	transit();
	if (host->life != admin->sequence || (!world.healing && !below(joiner, 10)))
		return qbd_fail(error, ECONNRESET, "the connection is gone");
	if (!sim_network_ask(host, joiner->connection, list))
		return qbd_fail(error, ECONNRESET, "too many ask there");
	while (!joiner->answered && !joiner->broken)
		if (!sim_sleep(end))
			return qbd_fail(error, ETIMEDOUT, "no answer");
	if (joiner->broken)
		return qbd_fail(error, ECONNRESET, "the answer is lost");
	return 0;
}

int qbd_admin_describe(struct qbd_admin *admin, struct qbd_description *description,
		       struct qbd_error *error)
{
	const struct joiner *joiner = current_joiner();
	int result = ask(admin, NULL, error);

	if (result)
		return result;
	if (joiner->reply.status != QBD_REPLY_OK)
		return qbd_fail(error, EAGAIN, "no memory there");
	*description = joiner->description;
	return 0;
}

int qbd_admin_change(struct qbd_admin *admin, const struct qbd_membership_layout *wanted,
		     struct qbd_admin_answer *answer, struct qbd_error *error)
{
	const struct qbd_frame_reply *reply = &current_joiner()->reply;
	int result = ask(admin, wanted, error);

	if (result)
		return result;
	if (reply->status == QBD_REPLY_BUSY)
		return qbd_fail(error, EAGAIN, "no memory there");
	answer->result = reply->status == QBD_REPLY_OK ? QBD_CHANGE_DONE :
							 le32_to_cpu(reply->detail);
	answer->member = le32_to_cpu(reply->member);
	return 0;
}

/* ---- a host that joins -------------------------------------------------- */

static void become_member(struct joiner *joiner, const struct qbd_join *join)
{
	u32 id = le32_to_cpu(join->self.id);
	struct sim_host *host = &world.hosts[id];

	if (!sim_lists_gave(id, joiner->guest) || host->exists) {
		sim_fail("guest %u was told to be member %u, which it is not", joiner->guest,
			 id);
		return;
	}
	world.count = max(world.count, id);
	host->guest = joiner->guest;
	host->unsound = true;
	host->client = le16_to_cpu(join->self.flags) & QBD_MEMBER_CLIENT;
	host->witness = le16_to_cpu(join->self.flags) & QBD_MEMBER_WITNESS;
	sim_counts.clients += host->client;
	sim_counts.witnesses += host->witness;
	sim_member_format_joined(host, &join->description, join->self.incarnation);
	sleep_for(below(joiner, 3) ? 0 : below(joiner, 2000) * SIM_MS);
	sim_member_power_on(host);
}

static void join_thread(void *object)
{
	struct joiner *joiner = object;
	struct qbd_join join = {
		.name = "sim",
		.wait_ms = 500u << below(joiner, 7),
	};
	u32 contact = joiner->host->move_to;
	struct qbd_error error;
	bool added = false;
	int result;

	sim_member_place(&join.self, contact, world.hosts[contact].guest);
	join.contact = join.self.address;
	memset(&join.self, 0, sizeof(join.self));
	sim_member_place(&join.self, 0, joiner->guest);
	join.self.flags = cpu_to_le16(QBD_MEMBER_LEARNER |
				      (sim_clients_guest(joiner->guest) ? QBD_MEMBER_CLIENT :
				       below(joiner, 4) ? QBD_MEMBER_JOINING : 0));
	if (sim_witnesses_guest(joiner->guest))
		join.self.flags |= cpu_to_le16(QBD_MEMBER_WITNESS);
	result = qbd_join_look(&join, &error);
	/*
	 * As many may ask at once, and each may be given one; and who was asked may not have
	 * heard of the latest.
	 */
	if (!result && max(le32_to_cpu(join.description.membership.next_member_id),
			   le32_to_cpu(sim_lists_now()->next_member_id)) +
		       SIM_JOINERS - 1 > SIM_IDS_MAX)
		result = qbd_fail(&error, ENOSPC, "this world has no more ids");
	if (!result)
		result = qbd_join_ask(&join, &added, &error);
	if (result) {
		sim_trace("guest %u has not joined: %s%s", joiner->guest, error.text,
			  added ? " (or has, and no disk is made)" : "");
	} else {
		sim_trace("guest %u is member %u", joiner->guest, le32_to_cpu(join.self.id));
		sleep_for(below(joiner, 3) ? 0 : below(joiner, 500) * SIM_MS);
		become_member(joiner, &join);
	}
	joiner->busy = false;
}

static void lose_power(void *object, u64 argument)
{
	struct joiner *joiner = object;

	if (!joiner->busy || joiner->begun != argument || world.healing)
		return;
	sim_trace("the power of guest %u goes while it joins", joiner->guest);
	sim_host_void(joiner->host);
	joiner->busy = false;
}

static void begin(struct sim_host *contact, u64 random)
{
	struct joiner *joiner = joiners;

	while (joiner < joiners + SIM_JOINERS && joiner->busy)
		joiner++;
	if (joiner == joiners + SIM_JOINERS)
		return;
	joiner->busy = true;
	joiner->random = random;
	joiner->guest = guests;
	joiner->begun = ++begun;
	joiner->connection = 0;
	joiner->host->move_to = contact->number;
	sim_thread_on(joiner->host, join_thread, joiner);
	if (!below(joiner, 4))
		sim_event(NULL, world.now + (u64)below(joiner, 4000) * below(joiner, 1000) * SIM_US,
			  lose_power, joiner, joiner->begun);
}

void sim_join(struct sim_host *contact, u64 random)
{
	u64 numbers = random;
	bool twin = !sim_below_of(&numbers, 6);

	if (!contact->exists || guests == GUESTS_MAX)
		return;
	guests++;
	begin(contact, random);
	if (twin)
		begin(contact, numbers);
}
