// SPDX-License-Identifier: GPL-2.0
/*
 * What a majority agrees on. Every question the core asks of a quorum goes
 * through here, so that joint configurations (thesis 4.3: a majority of the old
 * set and one of the new, separately) are right everywhere or nowhere.
 */
#include "internal.h"

/* Insertion sort; at most QBD_CORE_MEMBERS_MAX values. */
static void quorum_sort(u64 *values, u32 count)
{
	for (u32 i = 1; i < count; i++) {
		u64 value = values[i];
		u32 j = i;

		for (; j > 0 && values[j - 1] > value; j--)
			values[j] = values[j - 1];
		values[j] = value;
	}
}

/* The highest value that a majority of the voters with @flag has reached. */
static u64 quorum_value_of_set(const struct qbd_core *core, u8 flag,
			       const u64 *values, u64 self_value)
{
	const struct qbd_config *config = qbd_core_config(core);
	u64 sorted[QBD_CORE_MEMBERS_MAX];
	u32 count = 0;

	for (u32 i = 0; i < config->count; i++) {
		const struct qbd_member *member = &config->members[i];

		if (!(member->flags & flag))
			continue;
		sorted[count] = 0;
		/*
		 * Accident 31: a leader that is no voter any more went on
		 * counting itself. It counts where it is listed, as all do.
		 */
		if (member->id == core->self)
			sorted[count] = self_value;
		else
			for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
				if (core->peers[slot].id == member->id)
					sorted[count] = values[slot];
		count++;
	}
	if (!count)
		return QBD_NEVER;
	quorum_sort(sorted, count);
	/* floor(count / 2) + 1 values are at least as high as this one. */
	return sorted[count - (count / 2 + 1)];
}

/**
 * qbd_quorum_value() - the highest value that a quorum has reached
 * @core: core
 * @values: for each slot, 0 where not known
 * @self_value: for this member
 *
 * Return: 0 if there is no voter at all, so that nothing is ever agreed.
 */
u64 qbd_quorum_value(const struct qbd_core *core, const u64 *values,
		     u64 self_value)
{
	const struct qbd_config *config = qbd_core_config(core);
	u64 new_value, old_value;

	if (!config->count)
		return 0;
	new_value = quorum_value_of_set(core, QBD_CORE_VOTER, values,
					self_value);
	if (!qbd_config_is_joint(config))
		return new_value;
	old_value = quorum_value_of_set(core, QBD_CORE_VOTER_OLD, values,
					self_value);
	return qbd_min(new_value, old_value);
}

static enum qbd_tally tally_of_set(const struct qbd_core *core, u8 flag,
				   u32 granted, u32 refused, bool self_granted)
{
	const struct qbd_config *config = qbd_core_config(core);
	u32 voters = 0, yes = 0, no = 0;

	for (u32 i = 0; i < config->count; i++) {
		const struct qbd_member *member = &config->members[i];

		if (!(member->flags & flag))
			continue;
		voters++;
		if (member->id == core->self) {
			yes += self_granted;
			continue;
		}
		for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
			if (core->peers[slot].id != member->id)
				continue;
			yes += !!(granted & QBD_BIT(slot));
			no += !!(refused & QBD_BIT(slot));
		}
	}
	if (!voters || yes > voters / 2)
		return QBD_TALLY_WON;
	/* Lost once the others cannot make a majority any more. */
	if (voters - no <= voters / 2)
		return QBD_TALLY_LOST;
	return QBD_TALLY_PENDING;
}

/**
 * qbd_quorum_tally() - is this campaign won or lost?
 * @core: core
 * @granted: bitmap of slots
 * @refused: bitmap of slots
 * @self_granted: its own vote counts (it is durable)
 */
enum qbd_tally qbd_quorum_tally(const struct qbd_core *core, u32 granted,
				u32 refused, bool self_granted)
{
	const struct qbd_config *config = qbd_core_config(core);
	enum qbd_tally new_set, old_set = QBD_TALLY_WON;

	if (!config->count)
		return QBD_TALLY_LOST;
	new_set = tally_of_set(core, QBD_CORE_VOTER, granted, refused,
			       self_granted);
	if (qbd_config_is_joint(config))
		old_set = tally_of_set(core, QBD_CORE_VOTER_OLD, granted,
				       refused, self_granted);
	if (new_set == QBD_TALLY_LOST || old_set == QBD_TALLY_LOST)
		return QBD_TALLY_LOST;
	if (new_set == QBD_TALLY_WON && old_set == QBD_TALLY_WON)
		return QBD_TALLY_WON;
	return QBD_TALLY_PENDING;
}

/**
 * qbd_quorum_counts() - are those that are heard, and whose copies count, a majority?
 * @core: core, leader
 * @now: current time
 * @slots: bitmap of peers that are left out
 * @self: does its own copy count?
 */
bool qbd_quorum_counts(const struct qbd_core *core, u64 now, u32 slots, bool self)
{
	u32 granted = 0;

	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		const struct qbd_peer *peer = &core->peers[slot];

		if (peer->member && !(slots & QBD_BIT(slot)) &&
		    peer->state != QBD_PEER_NEEDS_EXTENTS &&
		    !(peer->flags & (QBD_MESSAGE_FILLING | QBD_MESSAGE_FAILED)) &&
		    qbd_peer_alive(core, peer, now))
			granted |= QBD_BIT(slot);
	}
	return qbd_quorum_tally(core, granted, 0, self) == QBD_TALLY_WON;
}

bool qbd_core_majority_without(const struct qbd_core *core, u64 now, u32 slots)
{
	bool self = core->fitness & QBD_COUNTS && qbd_core_vouches(core);

	return qbd_quorum_counts(core, now, slots, self);
}

/**
 * qbd_quorum_is_self() - is this member a quorum by itself?
 * @core: core
 */
bool qbd_quorum_is_self(const struct qbd_core *core)
{
	return qbd_core_config(core)->count &&
	       qbd_quorum_tally(core, 0, 0, true) == QBD_TALLY_WON;
}
