// SPDX-License-Identifier: GPL-2.0
/*
 * Who reaches whom, and a leader that all can reach.
 *
 *	alpha (leader) --x-- beta        both reach gamma
 *
 * beta reaches a majority, but not the leader, to whom its requests have to go; and
 * it cannot be elected, for gamma hears the leader (accident 6: that is as it should
 * be, elections would go on for ever). So every message says whom its sender has
 * connections to, and a leader hands over to a member that reaches all that it
 * reaches itself and more. In a ring where everybody misses somebody nobody reaches
 * more than another, and nothing moves to and fro.
 *
 * gamma may be unable to take over, and alpha to go on:
 *
 *	alpha's disk hangs, and gamma is being filled. alpha commits nothing, for gamma does
 *	not count, and it sends gamma no extents; so it had nobody to hand over to, and led
 *	on. beta had all that was committed, and with gamma's vote it would have led, and
 *	filled gamma. But gamma heard alpha.
 *
 * So after as long alpha leads no more. It gives up nothing by that, and is elected again when
 * its disk goes on, if beta was not. Likewise a witness, which is in the way of who has all if it
 * hears nobody whom its log reaches (qbd_core_stuck()). If nobody else was elected the next time
 * takes twice as long: what gamma reaches may not be able to lead either.
 */
#include <linux/bitmap.h>

#include "internal.h"

/* Who comes back connects within the longest back-off: less says nothing. */
#define REACH_PATIENCE_MS	2000
/* It is doubled so often at most: some two hours. */
#define REACH_DOUBLED_MAX	12u

/* One bit for each member that this one is connected to, and for itself. */
u64 qbd_reach_own(const struct qbd_replica *replica)
{
	const struct qbd_membership_layout *layout = qbd_replica_layout(replica);
	u64 reachable = 0;
	u32 i;

	for (i = 0; i < le32_to_cpu(layout->count); i++) {
		u32 id = le32_to_cpu(layout->members[i].id);

		if (id == replica->member_id || qbd_net_peer_up(replica->network, id))
			reachable |= 1ull << i;
	}
	return reachable;
}

/* A message has come; what it says of its sender's connections is kept. */
void qbd_reach_heard(struct qbd_replica *replica, u32 id, u64 reachable)
{
	struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);

	if (peer)
		peer->reachable = reachable;
}

/* What a member says of its connections is in the order of its own list: is that like ours? */
bool qbd_reach_same_list(const struct qbd_replica *replica, const struct qbd_peer_status *status)
{
	return status->match >= le64_to_cpu(qbd_replica_layout(replica)->index);
}

/* A fit member that reaches all that we reach, and more: its id, or 0. */
static u32 better_connected(struct qbd_replica *replica)
{
	u64 own = qbd_reach_own(replica);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(replica->peers); i++) {
		struct qbd_replica_peer *peer = &replica->peers[i];
		struct qbd_peer_status status;

		if (!peer->id || !peer->up || peer->reachable == own ||
		    !qbd_replica_member(replica, peer->id) ||
		    !qbd_member_keeps_data(replica, peer->id) ||
		    (peer->reachable & own) != own ||
		    !qbd_core_get_peer(replica->core, replica->now, peer->id, &status) ||
		    !status.alive || !(status.flags & QBD_MESSAGE_FIT) ||
		    !qbd_reach_same_list(replica, &status))
			continue;
		return peer->id;
	}
	return 0;
}

/* Voters with data that we do not reach, as bits. */
static u64 not_reached(const struct qbd_replica *replica)
{
	const struct qbd_membership_layout *layout = qbd_replica_layout(replica);
	u64 others = 0;
	u32 i;

	for (i = 0; i < le32_to_cpu(layout->count); i++) {
		u16 flags = le16_to_cpu(layout->members[i].flags);

		if (flags & (QBD_MEMBER_VOTER | QBD_MEMBER_VOTER_OLD) &&
		    qbd_flags_keep_data(flags))
			others |= 1ull << i;
	}
	return others & ~qbd_reach_own(replica);
}

/*
 * Does it reach one of @others? Who is to be filled may have had no list for long: then it is
 * enough that it reaches anybody but itself. That may be us, of whom it need not know either; the
 * next time takes twice as long.
 *
 *	4 is a witness and leads. 3 was away until no log reached it, and 1 was removed meanwhile:
 *	whom 3 calls the second is the first one here. And 4 may have come in the place of 1: then
 *	it is in no list that 3 has.
 */
static bool reaches(const struct qbd_replica *replica, const struct qbd_replica_peer *peer,
		    const struct qbd_peer_status *status, u64 others)
{
	if (qbd_reach_same_list(replica, status))
		return peer->reachable & others;
	return hweight64(peer->reachable) > 1;
}

/* A voter that we reach, and one of those that we do not: its id, or 0. */
static u32 between(struct qbd_replica *replica)
{
	u64 others = not_reached(replica);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(replica->peers); i++) {
		struct qbd_replica_peer *peer = &replica->peers[i];
		struct qbd_peer_status status;

		if (others && peer->id && peer->up &&
		    qbd_core_get_peer(replica->core, replica->now, peer->id, &status) &&
		    status.alive &&
		    status.member_flags & (QBD_CORE_VOTER | QBD_CORE_VOTER_OLD) &&
		    reaches(replica, peer, &status, others))
			return peer->id;
	}
	return 0;
}

static u64 aside_for(const struct qbd_replica *replica, u64 patience)
{
	return patience << min(replica->stood_aside, REACH_DOUBLED_MAX);
}

/*
 * Somebody else was elected; or this leader was not in the way for as long as it would have
 * waited the next time. A disk that fails reads for some seconds now and then is for longer.
 */
static void forget_aside(struct qbd_replica *replica, bool stuck, u64 patience)
{
	bool leads = replica->told_role == QBD_ROLE_LEADER;

	if (leads && stuck)
		replica->in_the_way_at = replica->now;
	if (leads ? replica->now < replica->in_the_way_at + aside_for(replica, patience) :
		    !replica->told_leader)
		return;
	replica->stood_aside = 0;
	replica->aside_again_at = 0;
}

/**
 * qbd_reach_check() - hand over to a member that is better connected
 * @replica: replica
 *
 * Or lead no more, so that one which is not connected may be elected.
 */
void qbd_reach_check(struct qbd_replica *replica)
{
	u64 patience = NSEC_PER_MSEC * max_t(u64, REACH_PATIENCE_MS,
					     4ull * replica->settings.election_timeout_ms);
	u32 better = 0, stuck = 0;
	u64 until;

	if (replica->told_role == QBD_ROLE_LEADER && !replica->moving) {
		if (qbd_core_stuck(replica->core, replica->now))
			stuck = between(replica);
		else
			better = better_connected(replica);
	}
	forget_aside(replica, stuck, patience);
	if (!better && !stuck) {
		replica->better_since = 0;
		return;
	}
	/* It was for another reason until now. */
	if (!replica->better_since || replica->stuck != !!stuck)
		replica->better_since = replica->now;
	replica->stuck = stuck;
	until = replica->better_since + patience;
	if (stuck)
		until = max(until, replica->aside_again_at);
	if (replica->now < until) {
		qbd_replica_later(replica, until);
		return;
	}
	/* If it does not come off, not at once again. */
	replica->better_since = replica->now;
	if (stuck) {
		if (qbd_core_step_down(replica->core, replica->now)) {
			replica->stood_aside++;
			replica->aside_again_at = replica->now + aside_for(replica, patience);
			qbd_notice(replica, "neither this leader nor anybody whom it reaches can go on; it leads no more, for member %u reaches others",
				   stuck);
		}
	} else if (qbd_core_transfer(replica->core, replica->now, better) ==
		   QBD_TRANSFER_STARTED) {
		qbd_notice(replica, "member %u reaches members that this leader does not; it takes over",
			   better);
	}
	qbd_replica_settle(replica);
}
