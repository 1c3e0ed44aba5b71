// SPDX-License-Identifier: GPL-2.0
/*
 * Worlds in which some of the members are witnesses: they have a log and no data.
 *
 *   a witness that leads    neither reads nor writes for anybody: of its term there is no
 *                           entry but its no-op
 *   a member that leads     and has data has all of it
 *   the list                has a member with data in every majority, and who is a
 *                           witness stays one
 *   who asks for another    is refused
 *
 * Where hosts join some of them are witnesses, too.
 *
 * Drawn apart from the rest, of which nothing else changes so.
 */
#include "../../kmod/replica/intent.h"
#include "sim.h"

/* What the first list that had it said. */
static u8 kinds[SIM_HOSTS_MAX + 1];

enum { KIND_UNKNOWN, KIND_WITNESS, KIND_OTHER };

/*
 * One of the data members may be lost as long as another one has all that is committed: what
 * only a witness has left is of no use without one that lacks no more than that.
 */
bool sim_witnesses_spare(const struct sim_host *host)
{
	if (!world.witnesses || host->witness)
		return true;
	for (u32 number = 1; number <= world.count; number++) {
		const struct sim_host *other = &world.hosts[number];
		const struct qbd_replica *replica = sim_replica(other);

		if (other == host || !sim_keeps_data(other) || !sim_lists_counts(number))
			continue;
		if (!replica || replica->phase != QBD_PHASE_RUNNING ||
		    !sim_invariants_has_all(replica))
			return false;
	}
	return true;
}

void sim_witnesses_begin(void)
{
	u64 random = world.seed ^ 0x7769746e657373ull;
	u32 most = (world.founders + 1) / 2 - 1;

	memset(kinds, 0, sizeof(kinds));
	world.witnesses = !world.quiet && !world.plans && (most || world.joins) &&
			  !sim_below_of(&random, world.joins ? 3 : 8);
	for (u32 i = 0; world.witnesses && i < most; i++)
		world.hosts[1 + sim_below_of(&random, world.founders)].witness = true;
}

/* Is that guest to be one? */
bool sim_witnesses_guest(u32 guest)
{
	u64 random = world.seed ^ guest * 0x9e3779b97f4a7c15ull ^ 0x7769746eull;

	return world.witnesses && !sim_clients_guest(guest) && !sim_below_of(&random, 3);
}

static bool is_witness(const struct qbd_member_layout *member)
{
	return le16_to_cpu(member->flags) & QBD_MEMBER_WITNESS;
}

/* Does @member vote when all is as the list means it to be? */
static bool is_to_vote(const struct qbd_member_layout *member)
{
	u16 flags = le16_to_cpu(member->flags);

	return flags & QBD_MEMBER_VOTER ? !(flags & QBD_MEMBER_INTENTS) :
					  flags & QBD_MEMBER_JOINING;
}

/* Would a majority of those who are to vote be without data? */
bool sim_witnesses_too_many(const struct qbd_membership_layout *list)
{
	u32 voters = 0, witnesses = 0;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		voters += is_to_vote(&list->members[i]);
		witnesses += is_to_vote(&list->members[i]) && is_witness(&list->members[i]);
	}
	return witnesses > voters / 2;
}

/* As many do not vote any more as there are too many. */
void sim_witnesses_go(struct qbd_membership_layout *list)
{
	for (u32 i = 0; sim_witnesses_too_many(list) && i < le32_to_cpu(list->count); i++) {
		struct qbd_member_layout *member = &list->members[i];
		u16 flags = le16_to_cpu(member->flags);

		if (is_witness(member) && is_to_vote(member))
			member->flags = cpu_to_le16((flags & ~SIM_MEANT) |
						    (flags & QBD_MEMBER_VOTER ?
						     QBD_MEMBER_DEMOTING : 0));
	}
}

/*
 * A witness is to keep data, or one that keeps data is to be a witness; or none votes but
 * witnesses. That is refused. Return: false if there is none, or not now.
 */
bool sim_witnesses_nonsense(struct qbd_membership_layout *list)
{
	struct qbd_membership_layout wanted = *list;
	u32 count = le32_to_cpu(list->count);
	struct qbd_member_layout *member;

	if (!world.witnesses || !world.joins || sim_below(3))
		return false;
	member = &list->members[sim_below(count)];
	if (sim_below(2)) {
		member->flags ^= cpu_to_le16(QBD_MEMBER_WITNESS);
		return true;
	}
	for (u32 i = 0; i < count; i++) {
		u16 flags = le16_to_cpu(wanted.members[i].flags) & ~SIM_MEANT;

		if (flags & QBD_MEMBER_VOTER && !is_witness(&wanted.members[i]))
			flags |= QBD_MEMBER_DEMOTING;
		else if (!(flags & QBD_MEMBER_VOTER) && is_witness(&wanted.members[i]))
			flags |= QBD_MEMBER_JOINING;
		wanted.members[i].flags = cpu_to_le16(flags);
	}
	if (!sim_witnesses_too_many(&wanted))
		return false;
	*list = wanted;
	return true;
}

/* ---- what has to hold --------------------------------------------------- */

void sim_witnesses_check(const struct sim_host *host, const struct qbd_replica *replica)
{
	bool begins = replica->core->role == QBD_ROLE_LEADER && host->role != QBD_ROLE_LEADER;

	if (!host->witness && begins && qbd_replica_filling(replica))
		sim_fail("host %u begins to lead in term %llu, and its data is not whole",
			 host->number, replica->core->term);
	if (host->witness && (!list_empty(&replica->reading) || !list_empty(&replica->proposed) ||
			      !list_empty(&replica->confirming) || !list_empty(&replica->pieces)))
		sim_fail("host %u is a witness, and serves somebody", host->number);
	sim_counts.passed_on += host->witness && begins;
}

/* @leader: of the entry's term, 0: not known. */
void sim_witnesses_committed(const struct qbd_record *record, u32 leader)
{
	if (leader && world.hosts[leader].witness &&
	    le16_to_cpu(record->header->shared.kind) != QBD_RECORD_NOOP)
		sim_fail("entry %llu of term %llu is of host %u, which is a witness",
			 record->index, record->term, leader);
}

static void check_set(const struct qbd_membership_layout *list, u16 set)
{
	u32 voters = 0, witnesses = 0;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		if (!(le16_to_cpu(list->members[i].flags) & set))
			continue;
		voters++;
		witnesses += is_witness(&list->members[i]);
	}
	if (voters && witnesses > voters / 2)
		sim_fail("the list of entry %llu: %u of %u voters are witnesses",
			 le64_to_cpu(list->index), witnesses, voters);
}

void sim_witnesses_list(const struct qbd_membership_layout *list)
{
	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		u32 id = le32_to_cpu(list->members[i].id);
		bool listed = is_witness(&list->members[i]);
		u8 kind = listed ? KIND_WITNESS : KIND_OTHER;

		/* Who has just joined has no disk yet. */
		if ((kinds[id] && kinds[id] != kind) ||
		    (world.hosts[id].exists && world.hosts[id].witness != listed))
			sim_fail("the list of entry %llu takes member %u for what it is not",
				 le64_to_cpu(list->index), id);
		kinds[id] = kind;
	}
	check_set(list, QBD_MEMBER_VOTER);
	check_set(list, QBD_MEMBER_VOTER_OLD);
}
