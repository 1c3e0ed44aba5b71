// SPDX-License-Identifier: GPL-2.0
/*
 * Can what a peer says be? Asked before anything of it is taken over: what cannot
 * be is the peer's fault, and it is cut off. The invariants behind these checks are
 * this member's own, and stop it.
 */
#include "internal.h"

/*
 * Terms grow by one with each campaign. One that is far ahead is rubbish, and with
 * the highest there is nobody could campaign any more.
 */
#define QBD_TERM_AHEAD_MAX	((u64)1 << 32)

static bool term_possible(const struct qbd_core *core, u64 term)
{
	return term <= core->term + QBD_TERM_AHEAD_MAX;
}

/* A term has one leader: the first that is heard, or this member. */
static bool leader_possible(const struct qbd_core *core, u32 from, u64 term)
{
	if (term != core->term)
		return true;
	return !qbd_core_leads(core) && (!core->leader || core->leader == from);
}

/* What is committed is in the log of every leader of this or a later term. */
static bool previous_possible(const struct qbd_core *core, u64 index, u64 term)
{
	return index < core->trail.base_index || index > core->commit ||
	       qbd_trail_term(&core->trail, index) == term;
}

/* An answer to this member as leader of the term. */
static bool reply_possible(const struct qbd_core *core,
			   const struct qbd_core_message *message)
{
	u64 last = core->trail.last;

	/* Followers commit what they know to be the leader's. */
	if (message->commit > message->matched)
		return false;
	if (message->type == QBD_MESSAGE_HEARTBEAT_REPLY &&
	    message->round > core->round)
		return false;
	/* This member's own fault, it seems: see qbd_leader_lost(). */
	if (message->commit > last)
		return true;
	return message->matched <= last && message->index <= last;
}

/**
 * qbd_message_possible() - can a well-formed message be, as things are here?
 * @core: core
 * @message: control message
 */
bool qbd_message_possible(const struct qbd_core *core,
			  const struct qbd_core_message *message)
{
	if (!term_possible(core, message->term))
		return false;
	switch (message->type) {
	case QBD_MESSAGE_PROBE:
		if (message->term >= core->term && qbd_core_vouches(core) &&
		    !previous_possible(core, message->index, message->log_term))
			return false;
		return leader_possible(core, message->from, message->term);
	case QBD_MESSAGE_HEARTBEAT:
	case QBD_MESSAGE_TIMEOUT_NOW:
		return leader_possible(core, message->from, message->term);
	case QBD_MESSAGE_HEARTBEAT_REPLY:
	case QBD_MESSAGE_APPEND_REPLY:
		return message->term != core->term || !qbd_core_leads(core) ||
		       reply_possible(core, message);
	default:
		return true;
	}
}

/*
 * The first entry that is not here, or is another here, as its place in the frame.
 * @append->count if there is none, beyond if one differs that must not.
 */
static u32 first_new(const struct qbd_core *core,
		     const struct qbd_append *append)
{
	const struct qbd_trail *trail = &core->trail;
	u64 same = core->commit;

	if (append->term == core->term)
		same = qbd_max(same, core->matched);
	for (u32 i = 0; i < append->count; i++) {
		u64 index = append->prev_index + 1 + i;

		if (index < trail->base_index)
			continue;
		if (index > trail->last)
			return i;
		if (qbd_trail_term(trail, index) == append->entries[i].term)
			continue;
		/* Nor can it take back the configuration that is committed. */
		if (index <= same || index <= core->levels[0].index)
			return append->count + 1;
		return i;
	}
	return append->count;
}

/*
 * Has the trail room for the terms of the entries from the @first on? A follower's
 * runs above the commit index are its leader's, which had room. The old runs are
 * forgotten as the commit index passes them, as in qbd_trail_append().
 */
static bool terms_fit(const struct qbd_core *core,
		      const struct qbd_append *append, u32 first)
{
	const struct qbd_trail *trail = &core->trail;
	u64 before = append->prev_index + first;
	u64 term = qbd_trail_term(trail, before);
	u64 commit = core->commit;
	u32 kept = 0, gone = 0, more = 0;

	while (kept < trail->count && trail->runs[kept].first <= before)
		kept++;
	for (u32 i = first; i < append->count; i++, before++) {
		if (i > first)
			commit = qbd_max(commit, qbd_min(append->commit, before));
		if (kept + more && append->entries[i].term == term)
			continue;
		term = append->entries[i].term;
		if (kept - gone + more == QBD_TRAIL_MAX) {
			if (gone + 1 >= kept ||
			    trail->runs[gone + 1].first - 1 > commit)
				return false;
			gone++;
		}
		more++;
	}
	return true;
}

/**
 * qbd_append_possible() - can a well-formed append be, as things are here?
 * @core: core
 * @append: header and entries
 */
bool qbd_append_possible(const struct qbd_core *core,
			 const struct qbd_append *append)
{
	u64 previous = append->prev_index;
	u32 first;

	if (!term_possible(core, append->term) ||
	    !leader_possible(core, append->from, append->term))
		return false;
	/* It is told of the newer term, or ignored. */
	if (append->term < core->term || !qbd_core_vouches(core))
		return true;
	if (!previous_possible(core, previous, append->prev_term))
		return false;
	/* What does not match will be refused as ever. */
	if (previous > core->trail.last ||
	    (previous >= core->trail.base_index &&
	     qbd_trail_term(&core->trail, previous) != append->prev_term))
		return true;
	first = first_new(core, append);
	if (first >= append->count)
		return first == append->count;
	return terms_fit(core, append, first);
}
