// SPDX-License-Identifier: GPL-2.0
/*
 * The follower's side of the log: take what the leader sends, if it fits.
 * Thesis 3.5 and 3.6.
 */
#include "internal.h"

/* The leader says that what is up to @commit is committed. */
static void follower_commit(struct qbd_core *core, u64 commit)
{
	/*
	 * Accident 13: commit was taken over beyond what is known to be the
	 * leader's, and a stale tail of the own log was applied.
	 */
	qbd_commit_advance(core, qbd_min(qbd_max(commit, core->told_committed),
					 core->matched));
}

/* The log and the leader's are the same up to @index. */
static void follower_matched(struct qbd_core *core, u64 index, u64 commit)
{
	if (!qbd_core_require(core, index <= core->trail.last))
		return;
	core->matched = qbd_max(core->matched, index);
	if (core->append_rejected && core->reject_index <= core->matched)
		core->append_rejected = false;
	follower_commit(core, commit);
}

static void follower_owe_reply(struct qbd_core *core)
{
	struct qbd_peer *leader = qbd_peer_find(core, core->leader);

	if (leader && core->role == QBD_ROLE_FOLLOWER)
		qbd_peer_owe(leader, QBD_MESSAGE_APPEND_REPLY);
}

/**
 * qbd_follower_durable() - more of the log is durable: acknowledge it
 * @core: core
 */
void qbd_follower_durable(struct qbd_core *core)
{
	if (core->leader && core->leader != core->self)
		follower_owe_reply(core);
}

/* Does entry @index of term @term exist here? If not, owe a refusal. */
static bool follower_match(struct qbd_core *core, u64 index, u64 term)
{
	if (index < core->trail.base_index)
		return true;	/* committed, so it is the same */
	if (index <= core->trail.last &&
	    qbd_trail_term(&core->trail, index) == term)
		return true;
	/* What is committed is in the log of every leader. */
	if (!qbd_core_require(core, index > core->commit))
		return false;
	core->append_rejected = true;
	core->reject_index = index;
	core->reject_term = term;
	follower_owe_reply(core);
	return false;
}

/* Entries from @from on are not the leader's: they go. */
static void follower_truncate(struct qbd_core *core, u64 from)
{
	if (!qbd_core_require(core, from > core->commit))
		return;
	if (!qbd_core_require(core, from > core->matched))
		return;
	qbd_trail_truncate(&core->trail, from);
	/*
	 * Accident 21: the durable index stayed above the truncation, and what
	 * was appended next counted as durable at once.
	 * Accident 20: entries were truncated and the same ones came again; the
	 * completion of the first write vouched for the second. Hence the
	 * generation: completions of writes before this moment are void.
	 */
	core->durable = qbd_min(core->durable, from - 1);
	core->generation++;
	qbd_membership_truncate(core, from);
}

static bool append_well_formed(const struct qbd_core *core,
			       const struct qbd_append *append)
{
	u64 term = append->prev_term;

	if (!append->from || append->from == core->self || !append->term ||
	    append->term >= QBD_INDEX_MAX ||
	    append->prev_index >= QBD_INDEX_MAX ||
	    append->commit >= QBD_INDEX_MAX ||
	    !append->prev_index != !append->prev_term)
		return false;
	for (u32 i = 0; i < append->count; i++) {
		const struct qbd_entry *entry = &append->entries[i];

		if (!entry->term || entry->term < term ||
		    entry->term > append->term)
			return false;
		if (!entry->kind || entry->kind >= QBD_ENTRY_KIND_END)
			return false;
		if (!qbd_entry_config_fits(entry->kind, entry->config))
			return false;
		term = entry->term;
	}
	return term <= append->term;
}

/* Append what is not here yet; @result says what that is. */
static void append_entries(struct qbd_core *core,
			   const struct qbd_append *append,
			   struct qbd_append_result *result)
{
	u64 last = append->prev_index + append->count;

	for (u32 i = 0; i < append->count; i++) {
		const struct qbd_entry *entry = &append->entries[i];
		u64 index = append->prev_index + 1 + i;

		/*
		 * Accident 14: a delayed shorter append cut off what came after
		 * it, though it had been acknowledged. Only an entry that
		 * differs truncates.
		 */
		if (index <= core->trail.base_index)
			continue;
		if (index <= core->trail.last) {
			if (qbd_trail_term(&core->trail, index) == entry->term)
				continue;
			follower_truncate(core, index);
			result->truncate_from = index;
		}
		if (core->stopped_line ||
		    !qbd_log_append(core, entry->term, entry->config))
			return;
		if (!result->count_new)
			result->first_new = index;
		result->count_new++;
		/* Bounds the runs above the commit index to the leader's. */
		follower_matched(core, index, append->commit);
	}
	/* An append behind the base says nothing new, but is no refusal. */
	if (last > core->trail.base_index)
		follower_matched(core, last, append->commit);
}

static enum qbd_append_verdict follower_append(struct qbd_core *core,
					       const struct qbd_append *append,
					       struct qbd_append_result *result)
{
	struct qbd_peer *peer = qbd_peer_get(core, append->from);

	if (!peer)
		return QBD_APPEND_INVALID;
	if (append->term < core->term) {
		qbd_peer_owe(peer, QBD_MESSAGE_TERM);
		return QBD_APPEND_STALE;
	}
	if (!qbd_follow(core, append->from, append->term))
		return QBD_APPEND_INVALID;
	if (!qbd_core_vouches(core))
		return QBD_APPEND_IGNORED;
	/* Accident 15: also an append without entries can reveal a conflict. */
	if (!follower_match(core, append->prev_index, append->prev_term))
		return QBD_APPEND_REJECTED;
	append_entries(core, append, result);
	/* What is new is answered when it is durable. */
	if (!result->count_new)
		follower_owe_reply(core);
	return QBD_APPEND_ACCEPTED;
}

enum qbd_append_verdict qbd_core_append(struct qbd_core *core, u64 now,
					const struct qbd_append *append,
					struct qbd_append_result *result)
{
	enum qbd_append_verdict verdict;

	memset(result, 0, sizeof(*result));
	qbd_event_begin(core, now);
	if (!core->started || !append_well_formed(core, append) ||
	    !qbd_append_possible(core, append)) {
		core->rubbish++;
		return QBD_APPEND_INVALID;
	}
	verdict = follower_append(core, append, result);
	qbd_event_done(core);
	result->generation = core->generation;
	return core->stopped_line ? QBD_APPEND_IGNORED : verdict;
}

/**
 * qbd_probe() - an append without entries, as a control message
 * @core: core
 * @peer: leader of the message's term, which is not older than the own
 * @message: PROBE
 */
void qbd_probe(struct qbd_core *core, struct qbd_peer *peer,
	       const struct qbd_core_message *message)
{
	if (!qbd_follow(core, peer->id, message->term))
		return;
	if (!qbd_core_vouches(core))
		return;
	if (!follower_match(core, message->index, message->log_term))
		return;
	if (message->index > core->trail.base_index)
		follower_matched(core, message->index, message->commit);
	follower_owe_reply(core);
}

bool qbd_core_reset_offered(struct qbd_core *core, u64 now, u32 from, u64 leader_term,
			    u64 index, u64 term)
{
	qbd_event_begin(core, now);
	if (!from || from != core->leader || leader_term != core->term ||
	    !qbd_core_vouches(core))
		return false;
	if (!term || qbd_trail_term(&core->trail, index) != term)
		return false;
	/*
	 * The same as the leader's up to there (log matching), and committed.
	 *
	 *	2 had made all durable that 1 sent it when it lost power, and no answer had
	 *	left. 1 and 3 committed it, and 1's log moved on. Up again, 2 could show of
	 *	its log only what it knew to be committed: 1 took that for too old, and
	 *	offered extents; 2, which had the entry, wanted none. It was to be sent
	 *	nothing else. Then 3 was lost, and with 1 and 2 both well nothing went on.
	 */
	follower_matched(core, index, index);
	follower_owe_reply(core);
	qbd_event_done(core);
	return true;
}

/**
 * qbd_heartbeat() - the leader is alive
 * @core: core
 * @peer: leader of the message's term, which is not older than the own
 * @message: HEARTBEAT
 */
void qbd_heartbeat(struct qbd_core *core, struct qbd_peer *peer,
		   const struct qbd_core_message *message)
{
	if (!qbd_follow(core, peer->id, message->term))
		return;
	core->heard_round = qbd_max(core->heard_round, message->round);
	core->leader_last = qbd_max(core->leader_last, message->index);
	core->heartbeats++;
	qbd_peer_owe(peer, QBD_MESSAGE_HEARTBEAT_REPLY);
	if (!qbd_core_vouches(core))
		return;
	if (message->commit > core->trail.last) {
		/*
		 * Accident 27: the leader's commit is limited to what this
		 * member acknowledged, so it acknowledged entries it does not
		 * have. Ask for them again; neither vote nor lead meanwhile.
		 */
		core->lost_until = qbd_max(core->lost_until, message->commit);
		follower_owe_reply(core);
		return;
	}
	follower_commit(core, message->commit);
}

void qbd_core_told_committed(struct qbd_core *core, u64 now, u64 index)
{
	if (index <= core->told_committed || index >= QBD_INDEX_MAX)
		return;
	core->told_committed = index;
	if (!core->started)
		return;
	qbd_event_begin(core, now);
	if (core->role == QBD_ROLE_FOLLOWER && qbd_core_vouches(core) && index > core->commit) {
		follower_commit(core, index);
		/* Who leads may know less. */
		follower_owe_reply(core);
	}
	qbd_event_done(core);
}
