// SPDX-License-Identifier: GPL-2.0
/*
 * Members that get another address while they are in use: as qbdadm member address does,
 * on their own host, which has a few.
 *
 *   asked for     by the member itself; one that its host does not have, or another
 *                 member's, is refused
 *   the list      names no address that its member's host does not have
 *   in between    it listens at both, until all who dial it have found the new one
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
} moves;

static u32 below(u32 bound)
{
	return sim_below_of(&moves.random, bound);
}

void sim_addresses_begin(void)
{
	moves.random = world.seed ^ 0x61646472657373ull;
	world.moves = !world.quiet && !below(8);
	moves.rate = 50 + below(2000);
	moves.next = 200 + below(moves.rate);
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

static void move_thread(void *object)
{
	struct sim_host *host = object;
	struct qbd_membership_layout wanted;
	char text[QBD_ERROR_TEXT_SIZE];
	bool nonsense = !below(6);
	int error;

	if (!host->replica || host->going_down)
		return;
	wanted = *qbd_replica_layout(host->replica);
	if (nonsense)
		draw_nonsense(host, &wanted);
	for (u32 i = 0; !nonsense && i < le32_to_cpu(wanted.count); i++)
		if (le32_to_cpu(wanted.members[i].id) == host->number)
			wanted.members[i].address.port =
				cpu_to_le16(QBD_DEFAULT_PORT + below(ADDRESSES));
	if (!memcmp(&wanted, qbd_replica_layout(host->replica), sizeof(wanted)))
		return;
	host->changing = true;
	error = qbd_replica_change_members(host->replica, &wanted, text, sizeof(text));
	host->changing = false;
	sim_trace("another address%s at host %u: %s", nonsense ? ", which is nonsense," : "",
		  host->number, error ? text : "taken");
	if (nonsense && !error)
		sim_fail("host %u takes an address that a member has not asked for, or does not have",
			 host->number);
}

void sim_addresses_step(void)
{
	struct sim_host *host;
	const struct qbd_replica *replica;

	if (!world.moves || world.steps < moves.next)
		return;
	moves.next = world.steps + 1 + below(2 * moves.rate);
	host = &world.hosts[1 + below(world.count)];
	replica = sim_replica(host);
	if (host->replica && replica && replica->phase == QBD_PHASE_RUNNING &&
	    !host->going_down && !host->changing)
		sim_thread_on(host, move_thread, host);
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
		if (!sim_addresses_has(id, &member->address))
			sim_fail("the list of entry %llu gives member %u an address that its host does not have",
				 le64_to_cpu(next->index), id);
	}
}
