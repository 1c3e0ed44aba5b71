// SPDX-License-Identifier: GPL-2.0
/*
 * The terms of the log, as a trail of runs. All that matching logs needs is the
 * term of any index (Raft's log matching property, thesis 3.5).
 */
#include "internal.h"

/**
 * qbd_trail_reset() - empty log whose base is @index
 * @trail: trail
 * @index: entry before the first
 * @term: its term
 */
void qbd_trail_reset(struct qbd_trail *trail, u64 index, u64 term)
{
	trail->base_index = index;
	trail->base_term = term;
	trail->last = index;
	trail->count = 0;
}

/**
 * qbd_trail_last_term() - term of the last entry (or of the base)
 * @trail: trail
 */
u64 qbd_trail_last_term(const struct qbd_trail *trail)
{
	return trail->count ? trail->runs[trail->count - 1].term :
			      trail->base_term;
}

/**
 * qbd_trail_term() - term of an entry
 * @trail: trail
 * @index: its index
 *
 * Return: 0 if it is before the base or after the last.
 */
u64 qbd_trail_term(const struct qbd_trail *trail, u64 index)
{
	if (index < trail->base_index || index > trail->last)
		return 0;
	/* From the end: questions are about recent entries. */
	for (u32 i = trail->count; i > 0; i--)
		if (trail->runs[i - 1].first <= index)
			return trail->runs[i - 1].term;
	return trail->base_term;
}

/* The first run ends at or before the commit index and may be forgotten. */
static bool trail_can_drop(const struct qbd_trail *trail, u64 commit)
{
	return trail->count > 1 && trail->runs[1].first - 1 <= commit;
}

/**
 * qbd_trail_has_room() - could an entry of one more term be appended?
 * @trail: trail
 * @commit: commit index
 */
bool qbd_trail_has_room(const struct qbd_trail *trail, u64 commit)
{
	return trail->count < QBD_TRAIL_MAX || trail_can_drop(trail, commit);
}

/**
 * qbd_trail_append() - one more entry
 * @trail: trail
 * @term: its term, not less than the last one's
 * @commit: commit index; if the trail is full, the oldest run at or below it is
 *	forgotten, and the log counts as compacted up to there
 *
 * Return: false if there is no room. This cannot happen at a follower whose
 * leader had room: its runs above the commit index are a subset of the leader's.
 */
bool qbd_trail_append(struct qbd_trail *trail, u64 term, u64 commit)
{
	if (term < qbd_trail_last_term(trail))
		return false;
	if (!trail->count || qbd_trail_last_term(trail) != term) {
		if (!qbd_trail_has_room(trail, commit))
			return false;
		if (trail->count == QBD_TRAIL_MAX)
			qbd_trail_compact(trail, trail->runs[1].first - 1);
		trail->runs[trail->count].first = trail->last + 1;
		trail->runs[trail->count].term = term;
		trail->count++;
	}
	trail->last++;
	return true;
}

/**
 * qbd_trail_truncate() - forget the entries from @from on
 * @trail: trail
 * @from: after the base
 */
void qbd_trail_truncate(struct qbd_trail *trail, u64 from)
{
	if (from > trail->last || from <= trail->base_index)
		return;
	trail->last = from - 1;
	while (trail->count && trail->runs[trail->count - 1].first >= from)
		trail->count--;
}

/**
 * qbd_trail_compact() - forget the entries before @base_index
 * @trail: trail
 * @base_index: the new base, at most the last entry
 */
void qbd_trail_compact(struct qbd_trail *trail, u64 base_index)
{
	u32 gone = 0;

	if (base_index <= trail->base_index || base_index > trail->last)
		return;
	trail->base_term = qbd_trail_term(trail, base_index);
	trail->base_index = base_index;
	/* A run goes if the next one begins at or before the new first entry. */
	while (gone + 1 < trail->count &&
	       trail->runs[gone + 1].first <= base_index + 1)
		gone++;
	if (base_index == trail->last)
		gone = trail->count;
	trail->count -= gone;
	for (u32 i = 0; i < trail->count; i++)
		trail->runs[i] = trail->runs[i + gone];
	if (trail->count && trail->runs[0].first <= base_index)
		trail->runs[0].first = base_index + 1;
}

/**
 * qbd_trail_find() - the last entry up to @index whose term is at most @term
 * @trail: trail
 * @index: upper limit
 * @term: upper limit
 *
 * Accident 16: after a long divergence the leader went back one index per round
 * trip. With this on both sides a probe skips a whole term: entries of a higher
 * term than the other side has there cannot be the same.
 *
 * Return: an index, the base's at least.
 */
u64 qbd_trail_find(const struct qbd_trail *trail, u64 index, u64 term)
{
	if (index > trail->last)
		index = trail->last;
	for (u32 i = trail->count; i > 0; i--) {
		const struct qbd_run *run = &trail->runs[i - 1];

		if (run->first > index)
			continue;
		if (run->term <= term)
			return index;
		index = run->first - 1;
	}
	return trail->base_index;
}
