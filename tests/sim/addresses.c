// SPDX-License-Identifier: GPL-2.0
/*
 * A member that gets another address while it is in use: as qbdadm member address does, on
 * its own host, which has a few.
 *
 * One of the first members of a world. Two find each other when one of them has an
 * older list in which the other one is elsewhere; but not when both have moved, by lists that
 * one of them has lost, with its disk or because it was away.
 *
 *   asked for     by the member itself; one that its host does not have, or another
 *                 member's, is refused
 *   the list      names no address that its member's host does not have
 *   in between    it listens at both, until all who dial it have found the new one
 *   a power cut   may come when the list is committed and not in its own log yet
 *
 * How long it takes is left to the end of the world: everybody is found within its bound.
 *
 * Drawn apart from the rest, of which nothing else changes so.
 */
#include "sim.h"

#define ADDRESSES	3u	/* of a host: as many ports */

static struct {
	u64 random;
	u64 next;		/* step */
	u32 rate;
	u32 mover;
	u32 struck;		/* the host that loses its power next, 0: none */
	/*
	 * The life, from 1, in which a host is to move and did not begin to: on one that stands
	 * still nothing does, and it is asked again.
	 */
	u32 asked[SIM_HOSTS_MAX + 1];
} moves;

static u32 below(u32 bound)
{
	return sim_below_of(&moves.random, bound);
}

void sim_addresses_begin(void)
{
	moves.random = world.seed ^ 0x61646472657373ull;
	world.moves = sim_has(SIM_MOVES, !world.quiet && !below(world.joins ? 4 : 8));
	moves.rate = 50 + below(2000);
	moves.next = 200 + below(moves.rate);
	moves.mover = 1 + below(world.founders);
	moves.struck = 0;
	memset(moves.asked, 0, sizeof(moves.asked));
}

bool sim_addresses_has(u32 number, const struct qbd_address *address)
{
	struct qbd_member_layout first = { };

	sim_member_place(&first, number, world.hosts[number].guest);
	if (le16_to_cpu(address->port) - QBD_DEFAULT_PORT >= ADDRESSES)
		return false;
	first.address.port = address->port;
	return !memcmp(&first.address, address, sizeof(*address));
}

/* What has to be refused: another's, or one that the host does not have. */
static void draw_nonsense(const struct sim_host *host, struct qbd_membership_layout *list)
{
	struct qbd_member_layout *member = &list->members[below(le32_to_cpu(list->count))];
	u32 port = le16_to_cpu(member->address.port) - QBD_DEFAULT_PORT;

	port = le32_to_cpu(member->id) == host->number ? ADDRESSES : (port + 1) % ADDRESSES;
	member->address.port = cpu_to_le16(QBD_DEFAULT_PORT + port);
}

static int ask(struct sim_host *host, const struct qbd_membership_layout *wanted)
{
	char text[QBD_ERROR_TEXT_SIZE];
	int error;

	host->changing = true;
	error = qbd_replica_change_members(host->replica, wanted, true, text, sizeof(text));
	host->changing = false;
	sim_trace("another address: %s", error ? text : "taken");
	return error;
}

/* What is for certain not to come leaves no listener behind, unless an earlier one may come. */
static void move(struct sim_host *host, u32 port)
{
	struct qbd_membership_layout wanted = *qbd_replica_layout(host->replica);
	bool changes = false;
	int error;

	for (u32 i = 0; i < le32_to_cpu(wanted.count); i++) {
		struct qbd_member_layout *member = &wanted.members[i];

		if (le32_to_cpu(member->id) != host->number)
			continue;
		changes = member->address.port != cpu_to_le16(port);
		member->address.port = cpu_to_le16(port);
	}
	if (!changes)
		return;
	error = ask(host, &wanted);
	if (error && error != -EAGAIN && error != -EBUSY && host->replica &&
	    !host->replica->moved_from && !host->replica->move.term &&
	    !sim_network_at_one_place(host))
		sim_fail("host %u does not move (%d), and goes on listening there", host->number,
			 error);
}

static void move_thread(void *object)
{
	struct sim_host *host = object;
	struct qbd_membership_layout wanted;

	moves.asked[host->number] = 0;
	if (!host->replica || host->going_down)
		return;
	if (host->number == moves.mover && below(6)) {
		move(host, QBD_DEFAULT_PORT + below(ADDRESSES));
		return;
	}
	wanted = *qbd_replica_layout(host->replica);
	draw_nonsense(host, &wanted);
	if (!ask(host, &wanted))
		sim_fail("host %u takes an address that a member has not asked for, or does not have",
			 host->number);
}

/* From where others still look for it, for they are connected otherwise. */
static void again_thread(void *object)
{
	struct sim_host *host = object;

	moves.asked[host->number] = 0;
	if (host->replica && !host->going_down)
		move(host, sim_network_other_place(host));
}

static void have_it_ask(struct sim_host *host, void (*thread)(void *object))
{
	const struct qbd_replica *replica = sim_replica(host);

	if (!host->replica || !replica || replica->phase != QBD_PHASE_RUNNING ||
	    host->going_down || host->changing || moves.asked[host->number] == host->life + 1)
		return;
	moves.asked[host->number] = host->life + 1;
	sim_thread_on(host, thread, host);
}

void sim_addresses_step(void)
{
	struct sim_host *host;

	if (moves.struck && world.hosts[moves.struck].replica) {
		sim_trace("host %u loses its power before it has the list by which it moved",
			  moves.struck);
		sim_member_power_cut(&world.hosts[moves.struck]);
	}
	moves.struck = 0;
	if (!world.moves || world.steps < moves.next)
		return;
	moves.next = world.steps + 1 + below(2 * moves.rate);
	host = &world.hosts[below(6) ? moves.mover : 1 + below(world.count)];
	have_it_ask(host, move_thread);
}

/*
 * What came to nothing, and what was not answered, leaves nothing behind. But who knocked at
 * the others when it had a list that was lost is connected with them, and they need not look for
 * it where it is now: it moves once more.
 */
bool sim_addresses_final(void)
{
	bool final = true;

	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if (!sim_lists_has(number) || sim_network_at_one_place(host))
			continue;
		final = false;
		if (world.steps % 256 == 0 && host->replica && host->replica->moved_from)
			have_it_ask(host, again_thread);
	}
	return final;
}

/* Its log may never have that list, if the power goes now. */
static void strike(u32 id, const struct qbd_membership_layout *list)
{
	const struct sim_host *host = &world.hosts[id];
	const struct qbd_replica *replica = sim_replica(host);

	if (!host->replica || !replica || replica->phase != QBD_PHASE_RUNNING ||
	    le64_to_cpu(qbd_replica_layout(replica)->index) >= le64_to_cpu(list->index) || below(3))
		return;
	moves.struck = id;
	sim_counts.moved_unawares++;
}

/* @next comes after @now. */
void sim_addresses_list(const struct qbd_membership_layout *now,
			const struct qbd_membership_layout *next)
{
	for (u32 i = 0; i < le32_to_cpu(next->count); i++) {
		const struct qbd_member_layout *member = &next->members[i];
		u32 id = le32_to_cpu(member->id);
		const struct qbd_member_layout *was = qbd_membership_find(now, id);

		if (!was || !memcmp(&was->address, &member->address, sizeof(was->address)))
			continue;
		sim_counts.moved++;
		strike(id, next);
		if (!sim_addresses_has(id, &member->address))
			sim_fail("the list of entry %llu gives member %u an address that its host does not have",
				 le64_to_cpu(next->index), id);
	}
}
