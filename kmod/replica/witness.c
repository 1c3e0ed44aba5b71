// SPDX-License-Identifier: GPL-2.0
/*
 * Witnesses: members that vote and log, and have no data (kind.c).
 *
 * One leads only to give a data member what that lacks of the log, and leadership with it
 * (kmod/core/transfer.c). Until then nothing is served: for whoever uses the device it is
 * as if nobody led. What the witness's log does not reach back to, nobody can be given:
 * then a member that has all of the data has to come back.
 *
 * A witness is not filled from extents. When the leader's log does not reach it, its own
 * begins anew where the leader's data is (RESET, as for others), and with that it is whole.
 */
#include <linux/string.h>

#include "internal.h"

/* Could it lead and serve? */
static bool could_serve(const struct qbd_member_layout *member)
{
	u16 flags = le16_to_cpu(member->flags);

	return flags & QBD_MEMBER_VOTER && qbd_flags_keep_data(flags);
}

/* Those that have data and are not there, by name. */
static void name_missing(struct qbd_replica *replica, char *text, size_t size)
{
	const struct qbd_membership_layout *list = qbd_replica_layout(replica);
	size_t used = 0;
	u32 i;

	text[0] = 0;
	for (i = 0; i < le32_to_cpu(list->count); i++) {
		const struct qbd_member_layout *member = &list->members[i];
		u32 id = le32_to_cpu(member->id);

		if (!could_serve(member) || id == replica->member_id ||
		    qbd_net_peer_up(replica->network, id))
			continue;
		used += snprintf(text + used, size - used, "%s%s", used ? " or " : "",
				 member->name);
		if (used >= size)
			return;
	}
}

/* Who gets the log from here, and lacks the least of it; 0: nobody can. */
static u32 taker(struct qbd_replica *replica, u64 *lacks)
{
	const struct qbd_membership_layout *list = qbd_replica_layout(replica);
	struct qbd_core_status core;
	u32 best = 0, i;

	qbd_core_get_status(replica->core, replica->now, &core);
	*lacks = U64_MAX;
	for (i = 0; i < le32_to_cpu(list->count); i++) {
		u32 id = le32_to_cpu(list->members[i].id);
		struct qbd_peer_status peer;

		if (!could_serve(&list->members[i]) ||
		    !qbd_core_get_peer(replica->core, replica->now, id, &peer) ||
		    !peer.alive || peer.state == QBD_PEER_NEEDS_EXTENTS ||
		    peer.flags & (QBD_MESSAGE_FILLING | QBD_MESSAGE_FAILED) ||
		    core.last - min(peer.match, core.last) >= *lacks)
			continue;
		best = id;
		*lacks = core.last - min(peer.match, core.last);
	}
	return best;
}

/**
 * qbd_witness_problem() - why is nothing served, if a witness leads?
 * @replica: replica
 * @text: one line, "" if no witness leads
 * @size: its room
 */
void qbd_witness_problem(struct qbd_replica *replica, char *text, size_t size)
{
	char missing[64];
	u64 lacks;
	u32 id;

	text[0] = 0;
	if (!replica->told_leader || qbd_replica_serving(replica))
		return;
	name_missing(replica, missing, sizeof(missing));
	if (replica->told_role != QBD_ROLE_LEADER) {
		snprintf(text, size, "a witness leads until a data member has all of its log; if that lasts, its log is too short: bring back %s",
			 missing[0] ? missing : "a member that has all");
		return;
	}
	id = taker(replica, &lacks);
	if (id)
		snprintf(text, size, "this witness leads until member %u has all of its log: %llu entries to go",
			 id, lacks);
	else
		snprintf(text, size, "no data member that is up has all committed writes, and this witness's log is too short: bring back %s",
			 missing[0] ? missing : "one that has them");
}
