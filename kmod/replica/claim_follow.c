// SPDX-License-Identifier: GPL-2.0
/*
 * The leader follows the holder of the claim: what is written where the leader is takes no
 * detour. It moves when all of this has been so for a while (patience()):
 *
 *	a claim of another member, exclusive, is committed
 *	that member votes, is heard, is connected, has nearly all of the log, says that it is
 *	fit, and reaches everybody that this leader reaches
 *	it has no lower priority than this leader: an administrator wants another one then
 *	this member was elected; or the claim is of its own leadership. For who was handed
 *	leadership (by an administrator, or because another one could not go on or was less
 *	well connected) did not get it in order to give it back
 *	leadership is not being moved, and no step of a change of members can be taken now; as
 *	long as one waits for somebody who is away, the holder is to stay: else it would give
 *	leadership back
 *
 * So of all reasons to hand leadership over it is the last; Documentation/state-machines.rst
 * has them in order.
 */
#include "internal.h"

/* A follower that lacks no more than so many entries has caught up. */
#define FOLLOW_ENTRIES	64u

static u64 patience(const struct qbd_replica *replica)
{
	return NSEC_PER_MSEC * max_t(u64, 1000, 4ull * replica->settings.election_timeout_ms);
}

static u32 priority_of(const struct qbd_replica *replica, u32 id)
{
	const struct qbd_member_layout *member = qbd_replica_member(replica, id);

	return member ? member->priority : 0;
}

/* Could it lead as well as this member? */
static bool as_good(struct qbd_replica *replica, u32 id, u64 last)
{
	const struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);
	u64 own = qbd_reach_own(replica);
	struct qbd_peer_status status;

	return peer && peer->up && (peer->reachable & own) == own &&
	       priority_of(replica, id) >= priority_of(replica, replica->member_id) &&
	       qbd_core_get_peer(replica->core, replica->now, id, &status) &&
	       status.alive && qbd_reach_same_list(replica, &status) &&
	       status.member_flags & QBD_CORE_VOTER &&
	       !(status.member_flags & QBD_CORE_WITNESS) &&
	       status.state == QBD_PEER_REPLICATE && status.flags & QBD_MESSAGE_FIT &&
	       status.match + FOLLOW_ENTRIES >= last;
}

/* Is it better to wait until members have changed? */
static bool changes_first(const struct qbd_replica *replica, u32 id)
{
	const struct qbd_member_layout *member = qbd_replica_member(replica, id);

	return replica->change_pending &&
	       (!replica->change_waits || !member ||
		le16_to_cpu(member->flags) & QBD_MEMBER_INTENTS);
}

/* The member that should lead, or 0. */
static u32 holder_to_follow(struct qbd_replica *replica)
{
	const struct qbd_claim *claim = qbd_claims_committed(replica);
	struct qbd_core_status core;

	if (replica->told_role != QBD_ROLE_LEADER || !replica->settings.leader_follows ||
	    !claim->holder || claim->holder == replica->member_id ||
	    claim != qbd_claims_newest(replica) || replica->moving ||
	    changes_first(replica, claim->holder) || replica->better_since)
		return 0;
	qbd_core_get_status(replica->core, replica->now, &core);
	/* By its index: the log may have passed the claim's record by. */
	if (core.handed_over && claim->epoch < core.own_first)
		return 0;
	return as_good(replica, claim->holder, core.last) ? claim->holder : 0;
}

/**
 * qbd_claim_follow() - hand leadership to who holds the claim
 * @replica: replica; each pass, after all else that hands it over
 */
void qbd_claim_follow(struct qbd_replica *replica)
{
	u32 holder = holder_to_follow(replica);
	u64 due;

	if (!holder) {
		replica->follow_since = 0;
		return;
	}
	if (!replica->follow_since)
		replica->follow_since = replica->now;
	due = max(replica->follow_since + patience(replica), replica->follow_after);
	if (replica->now < due) {
		qbd_replica_later(replica, due);
		return;
	}
	/* If it does not come off it is left alone for longer each time. */
	replica->follow_tries = min(replica->follow_tries + 1, 6u);
	replica->follow_after = replica->now + (patience(replica) << replica->follow_tries);
	if (qbd_core_transfer(replica->core, replica->now, holder) ==
	    QBD_TRANSFER_STARTED)
		qbd_notice(replica, "leadership goes to member %u, which has the device claimed",
			   holder);
	qbd_replica_settle(replica);
}
