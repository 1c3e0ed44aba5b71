// SPDX-License-Identifier: GPL-2.0
/*
 * A disk that is new, and one that lost what it had acknowledged: when may they vote?
 *
 * A disk that was made anew under an id that another one had does not know what that
 * one acknowledged and voted (accident 34):
 *
 *	alpha, gamma commit 300 writes; beta is away. gamma's disk is emptied and made
 *	anew; alpha goes. beta and gamma elect beta: 300 writes are lost.
 *
 * So a new disk (QBD_STATE_NEW) neither votes nor leads nor counts as a copy, and no lease
 * rests on its answers, until one of these holds:
 *
 *   formation  it has nothing, and every voter is connected and said in its handshake
 *              that it has nothing either (no log, no term): then there is nothing
 *              that anybody could have forgotten. A disk that is made anew later
 *              begins with new handshakes.
 *   whole      every other voter told in a handshake in what term it was, this member
 *              is in the highest of these or a later one, and it has everything that
 *              the leader of its term had when it was first heard. Whoever got votes
 *              or acknowledgements of the former disk was in that term, and told it:
 *              so those were for this leader or for earlier ones, and what counted of
 *              them is in its log. And the committed list names this disk: nobody
 *              takes the former one for the member any more (disks.c).
 *
 * The mark is gone from the disk before this member is fit to vote. Power may go at
 * any moment of a formation: who is still marked has voted for nobody and knows of no
 * term; who is not can vote. A term comes to be only when a majority was fit, and so
 * can go on without the marked ones; without one, everybody still has nothing, and
 * the formation begins anew.
 *
 * All others, not just a majority of them: whoever is missing may be the leader of a
 * later term, elected with the former disk's vote, or may become it.
 *
 *	alpha leads and is stopped; beta and gamma elect beta and commit. gamma's disk is
 *	made anew, beta goes. alpha goes on: gamma, which knew of no term, answered, and
 *	both committed other entries in alpha's term.
 *
 * (tests/model/join.pml searches this whole.)
 */
#include "internal.h"

/* This member has no log and knows of no term. */
static bool blank(const struct qbd_core_status *status)
{
	return !status->term && !status->last;
}

/* Every other voter is connected and has nothing. */
static bool others_blank(const struct qbd_replica *replica)
{
	const struct qbd_membership_layout *layout = qbd_replica_layout(replica);
	u32 i;

	for (i = 0; i < le32_to_cpu(layout->count); i++) {
		u32 id = le32_to_cpu(layout->members[i].id);
		u16 flags = le16_to_cpu(layout->members[i].flags);

		if (id != replica->member_id &&
		    qbd_flags_vote(flags) && !qbd_net_peer_blank(replica->network, id))
			return false;
	}
	return true;
}

/* Did every other voter say in what term it was? The highest is @highest. */
static bool others_told(struct qbd_replica *replica, u64 *highest)
{
	const struct qbd_membership_layout *layout = qbd_replica_layout(replica);
	u32 i;

	*highest = 0;
	for (i = 0; i < le32_to_cpu(layout->count); i++) {
		u32 id = le32_to_cpu(layout->members[i].id);
		u16 flags = le16_to_cpu(layout->members[i].flags);
		const struct qbd_replica_peer *peer;

		if (id == replica->member_id || !qbd_flags_vote(flags))
			continue;
		peer = qbd_replica_peer(replica, id);
		if (!peer || !peer->told)
			return false;
		*highest = max(*highest, peer->told_term);
	}
	return true;
}

/* A heartbeat of the leader: @last is its last index. */
void qbd_join_heard(struct qbd_replica *replica, u32 peer, u64 term, u64 last)
{
	if (peer != replica->told_leader || term != replica->told_term ||
	    replica->whole_term == term)
		return;
	replica->whole_term = term;
	replica->whole_index = last;
}

/* Does this member have everything that its leader had when it was first heard? */
static bool whole(const struct qbd_replica *replica,
		  const struct qbd_core_status *status)
{
	return status->leader && status->leader != replica->member_id &&
	       replica->whole_term == status->term &&
	       status->matched >= replica->whole_index &&
	       status->durable >= replica->whole_index &&
	       !qbd_replica_filling(replica);
}

static void begin_joining(struct qbd_replica *replica)
{
	replica->joining = true;
	qbd_store_joined(replica->store);
}

static void check_new(struct qbd_replica *replica, const struct qbd_core_status *status)
{
	u64 highest;

	if (replica->joining) {
		if (qbd_store_is_new(replica->store))
			return;		/* being written */
		replica->is_new = false;
		replica->joining = false;
		qbd_net_set_new(replica->network, false);
		qbd_notice(replica, "this disk is part of the device now");
		qbd_replica_update_fitness(replica);
	} else if (blank(status) && others_blank(replica)) {
		begin_joining(replica);
	} else if (!others_told(replica, &highest)) {
		return;
	} else if (highest > status->term) {
		qbd_core_term_told(replica->core, replica->now, highest);
	} else if (whole(replica, status) && qbd_disks_is_listed(replica)) {
		begin_joining(replica);
	}
}

/*
 * Acknowledged records were lost here (accidents 27, 40). All is well again when
 * they were sent again, or when this member has all that its leader had.
 */
static void check_damaged(struct qbd_replica *replica,
			  const struct qbd_core_status *status)
{
	if (status->durable < replica->damaged_through && !whole(replica, status))
		return;
	replica->damaged = false;
	replica->damage[0] = 0;
	qbd_store_repaired(replica->store);
	qbd_notice(replica, "what was lost has been sent again, up to %llu",
		   status->durable);
	qbd_replica_update_fitness(replica);
}

/**
 * qbd_join_check() - may this member vote now that could not?
 * @replica: replica; each pass
 */
void qbd_join_check(struct qbd_replica *replica)
{
	struct qbd_core_status status;

	if (replica->store_failed || !(replica->is_new || replica->damaged ||
				       replica->told_blank))
		return;
	qbd_core_get_status(replica->core, replica->now, &status);
	if (replica->told_blank && !blank(&status)) {
		replica->told_blank = false;
		qbd_net_set_blank(replica->network, false);
	}
	if (replica->is_new)
		check_new(replica, &status);
	if (replica->damaged)
		check_damaged(replica, &status);
	qbd_replica_settle(replica);
}
