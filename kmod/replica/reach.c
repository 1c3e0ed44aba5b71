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
 */
#include "internal.h"

/* Who comes back connects within the longest back-off: less says nothing. */
#define REACH_PATIENCE_MS	2000

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
		    !status.alive || !(status.flags & QBD_MESSAGE_FIT))
			continue;
		return peer->id;
	}
	return 0;
}

/**
 * qbd_reach_check() - hand over to a member that is better connected
 * @replica: replica
 */
void qbd_reach_check(struct qbd_replica *replica)
{
	u64 patience = NSEC_PER_MSEC * max_t(u64, REACH_PATIENCE_MS,
					     4ull * replica->settings.election_timeout_ms);
	u32 better = 0;

	if (replica->told_role == QBD_ROLE_LEADER && !replica->moving)
		better = better_connected(replica);
	if (!better) {
		replica->better_since = 0;
		return;
	}
	if (!replica->better_since)
		replica->better_since = replica->now;
	if (replica->now < replica->better_since + patience) {
		qbd_replica_later(replica, replica->better_since + patience);
		return;
	}
	/* If it does not come off, not at once again. */
	replica->better_since = replica->now;
	if (qbd_core_transfer(replica->core, replica->now, better) ==
	    QBD_TRANSFER_STARTED)
		qbd_notice(replica, "member %u reaches members that this leader does not; it takes over",
			   better);
	qbd_replica_settle(replica);
}
