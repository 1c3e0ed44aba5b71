// SPDX-License-Identifier: GPL-2.0
/*
 * Worlds in which some of the members are witnesses: they have a log and no data.
 *
 *   a witness that leads    neither reads nor writes for anybody: of its term there is no
 *                           entry but its no-op
 *   a member that leads     and has data has all of it
 *   the list                has a member with data in every majority, and who is a
 *                           witness stays one
 *
 * Drawn apart from the rest, of which nothing else changes so.
 */
#include "sim.h"

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

		if (other == host || other->witness || !sim_lists_counts(number))
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

	world.witnesses = !world.quiet && !world.joins && !world.plans && most &&
			  !sim_below_of(&random, 8);
	for (u32 i = 0; world.witnesses && i < most; i++)
		world.hosts[1 + sim_below_of(&random, world.founders)].witness = true;
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
		witnesses += world.hosts[le32_to_cpu(list->members[i].id)].witness;
	}
	if (voters && witnesses > voters / 2)
		sim_fail("the list of entry %llu: %u of %u voters are witnesses",
			 le64_to_cpu(list->index), witnesses, voters);
}

void sim_witnesses_list(const struct qbd_membership_layout *list)
{
	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		const struct qbd_member_layout *member = &list->members[i];
		bool listed = le16_to_cpu(member->flags) & QBD_MEMBER_WITNESS;

		if (listed != world.hosts[le32_to_cpu(member->id)].witness)
			sim_fail("the list of entry %llu takes member %u for what it is not",
				 le64_to_cpu(list->index), le32_to_cpu(member->id));
	}
	check_set(list, QBD_MEMBER_VOTER);
	check_set(list, QBD_MEMBER_VOTER_OLD);
}
