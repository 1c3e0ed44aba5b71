// SPDX-License-Identifier: GPL-2.0
/*
 * Worlds in which some of the hosts that join are clients: they keep no data, and use the
 * device as all others do (client.c asks for reads and writes there, too).
 *
 *   a client              is never heard of as anything but a follower, and serves nobody:
 *                         not even its own host from its own disk
 *   the list              has no client that votes or is to vote, and who is one stays one
 *   who asks for that     is refused
 *
 * Drawn apart from the rest, of which nothing else changes so.
 */
#include "sim.h"

/* What the first list that had it said: 0: there was none so far. */
static u8 kinds[SIM_HOSTS_MAX + 1];

enum { KIND_UNKNOWN, KIND_CLIENT, KIND_OTHER };

void sim_clients_begin(void)
{
	u64 random = world.seed ^ 0x636c69656e7473ull;

	memset(kinds, 0, sizeof(kinds));
	world.clients = !world.quiet && world.joins && !world.plans && sim_below_of(&random, 3);
}

/* Is that guest to be one? */
bool sim_clients_guest(u32 guest)
{
	u64 random = world.seed ^ guest * 0x9e3779b97f4a7c15ull;

	return world.clients && sim_below_of(&random, 2);
}

/* A client is to vote: that is refused. Return: false if there is none, or not now. */
bool sim_clients_nonsense(struct qbd_membership_layout *list)
{
	if (!world.clients || sim_below(3))
		return false;
	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		struct qbd_member_layout *member = &list->members[i];
		u16 flags = le16_to_cpu(member->flags);

		if (flags != (QBD_MEMBER_CLIENT | QBD_MEMBER_LEARNER))
			continue;
		member->flags = cpu_to_le16(sim_below(2) ? flags | QBD_MEMBER_JOINING :
					    QBD_MEMBER_LEARNER | QBD_MEMBER_JOINING);
		return true;
	}
	return false;
}

/* ---- what has to hold --------------------------------------------------- */

void sim_clients_check(const struct sim_host *host, const struct qbd_replica *replica)
{
	if (!host->client)
		return;
	if (replica->core->role != QBD_ROLE_FOLLOWER)
		sim_fail("host %u is a client, and wants to lead in term %llu", host->number,
			 replica->core->term);
	if (!list_empty(&replica->reading) || !list_empty(&replica->proposed) ||
	    !list_empty(&replica->confirming) || !list_empty(&replica->pieces))
		sim_fail("host %u is a client, and serves somebody", host->number);
}

void sim_clients_list(const struct qbd_membership_layout *list)
{
	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		const struct qbd_member_layout *member = &list->members[i];
		u16 flags = le16_to_cpu(member->flags);
		u8 kind = flags & QBD_MEMBER_CLIENT ? KIND_CLIENT : KIND_OTHER;
		u8 *was = &kinds[le32_to_cpu(member->id)];

		if (*was && *was != kind)
			sim_fail("the list of entry %llu takes member %u for what it is not",
				 le64_to_cpu(list->index), le32_to_cpu(member->id));
		*was = kind;
		if (kind == KIND_CLIENT && flags & ~(QBD_MEMBER_CLIENT | QBD_MEMBER_LEARNER |
						     QBD_MEMBER_LEAVING))
			sim_fail("the list of entry %llu has a client, member %u, with flags %#x",
				 le64_to_cpu(list->index), le32_to_cpu(member->id), flags);
	}
}
