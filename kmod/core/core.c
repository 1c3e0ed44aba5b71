// SPDX-License-Identifier: GPL-2.0
/*
 * The events and the output of the core; see core.h.
 */
#include "internal.h"

#define MSEC ((u64)1000000)

/* ---- options ------------------------------------------------------------ */

void qbd_core_options_default(struct qbd_core_options *options)
{
	options->election_timeout = 150 * MSEC;
	options->heartbeat = 50 * MSEC;
	options->disk_stall = 300 * MSEC;
	options->resend = 2000 * MSEC;
	options->window = (u64)8 << 20;
}

const char *qbd_core_options_check(const struct qbd_core_options *options)
{
	if (options->election_timeout < 10 * MSEC)
		return "the election timeout must be at least 10 ms";
	if (options->election_timeout > 60000 * MSEC)
		return "the election timeout must be at most 60 s";
	if (options->heartbeat < MSEC)
		return "the heartbeat must be at least 1 ms";
	/* Two heartbeats may be lost before anyone campaigns. */
	if (options->heartbeat * 3 > options->election_timeout)
		return "the heartbeat must be at most a third of the election timeout";
	if (options->disk_stall < options->election_timeout)
		return "the disk stall limit must be at least the election timeout";
	if (options->disk_stall > 600000 * MSEC)
		return "the disk stall limit must be at most 600 s";
	if (options->resend < options->election_timeout)
		return "the resend time must be at least the election timeout";
	if (options->resend > 600000 * MSEC)
		return "the resend time must be at most 600 s";
	if (!options->window)
		return "the window must not be 0";
	return NULL;
}

/* ---- invariants --------------------------------------------------------- */

/**
 * qbd_core_stop() - an invariant does not hold: vouch for nothing any more
 * @core: core
 * @file: where
 * @line: where
 *
 * From here on it is as if the storage had failed: this member follows whoever
 * leads, in whatever term, and says that it failed. (It kept the leader it had,
 * for ever, and its users' I/O went to that one and never came back, also where it
 * was to fail when there is no quorum.)
 */
void qbd_core_stop(struct qbd_core *core, const char *file, u32 line)
{
#ifdef QBD_CORE_TEST
	qbd_core_test_stopped(core, file, line);
#endif
	if (core->stopped_line)
		return;
	core->stopped_line = line;
	core->stopped_file = file;
	core->out_flags |= QBD_OUT_STOPPED;
	if (core->role != QBD_ROLE_FOLLOWER) {
		core->role = QBD_ROLE_FOLLOWER;
		core->out_flags |= QBD_OUT_ROLE;
		qbd_core_set_leader(core, 0);
		qbd_reads_fail(core);
		qbd_transfer_end(core);
	}
}

static void check_invariants(struct qbd_core *core)
{
	const struct qbd_trail *trail = &core->trail;

	qbd_core_require(core, core->commit <= trail->last);
	qbd_core_require(core, core->durable <= trail->last);
	qbd_core_require(core, trail->base_index <= core->commit);
	qbd_core_require(core, core->matched <= trail->last);
	qbd_core_require(core, qbd_trail_last_term(trail) <= core->term);
	qbd_core_require(core, core->hard_durable <= core->hard_seq);
}

/* The end of every event. */
void qbd_event_done(struct qbd_core *core)
{
	if (!core->started)
		return;
	if (!core->stopped_line)
		check_invariants(core);
	if (core->lost_until && core->lost_until <= core->commit &&
	    core->lost_until <= core->durable)
		core->lost_until = 0;
	/* Became fit to campaign while nobody was heard. */
	if (core->role == QBD_ROLE_FOLLOWER &&
	    core->election_deadline == QBD_NEVER && qbd_election_able(core))
		qbd_election_arm(core);
	if (qbd_core_deadline(core) != core->out_deadline)
		core->out_flags |= QBD_OUT_TIMER;
}

void qbd_event_begin(struct qbd_core *core, u64 now)
{
	/* CLOCK_BOOTTIME does not go back; events may be a little out of order. */
	core->now = qbd_max(core->now, now);
}

/* ---- start -------------------------------------------------------------- */

void qbd_core_init(struct qbd_core *core, u32 self,
		   const struct qbd_core_options *options, u64 seed)
{
	memset(core, 0, sizeof(*core));
	core->self = self;
	core->options = *options;
	core->random = seed;
	core->fitness = QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS;
	core->election_deadline = QBD_NEVER;
	core->out_deadline = QBD_NEVER;
	core->generation = 1;
	/* No members yet: nothing can be agreed. */
	core->levels_count = 1;
	qbd_core_require(core, self);
	qbd_core_require(core, !qbd_core_options_check(options));
}

void qbd_core_restore_hard_state(struct qbd_core *core, u64 term, u32 vote)
{
	if (!qbd_core_require(core, !core->started && term < QBD_INDEX_MAX))
		return;
	core->term = term;
	core->vote = vote;
}

void qbd_core_restore_base(struct qbd_core *core, u64 index, u64 term,
			   const struct qbd_config *config, u64 config_index)
{
	if (!qbd_core_require(core, !core->started))
		return;
	if (!qbd_core_require(core, !qbd_config_check(config)))
		return;
	qbd_trail_reset(&core->trail, index, term);
	core->commit = index;
	qbd_membership_reset(core, config, config_index);
}

bool qbd_core_restore_entry(struct qbd_core *core,
			    const struct qbd_entry *entry)
{
	struct qbd_trail *trail = &core->trail;

	if (!entry->term || entry->term < qbd_trail_last_term(trail) ||
	    !entry->kind || entry->kind >= QBD_ENTRY_KIND_END ||
	    !qbd_entry_config_fits(entry->kind, entry->config))
		return false;
	/*
	 * Of an old log with very many terms only the newest runs are kept. That
	 * forgets nothing that is not committed: the trail held the runs above
	 * the commit index when the log was written.
	 */
	if (!qbd_trail_append(trail, entry->term, trail->last))
		return false;
	if (entry->config)
		qbd_membership_append(core, entry->config, trail->last);
	return true;
}

void qbd_core_restore_commit(struct qbd_core *core, u64 index)
{
	if (!qbd_core_require(core, !core->started))
		return;
	/* The leader may have told of more than this member had on its disk. */
	core->commit = qbd_max(core->commit, qbd_min(index, core->trail.last));
	qbd_membership_committed(core);
}

void qbd_core_start(struct qbd_core *core, u64 now)
{
	u64 last_term = qbd_trail_last_term(&core->trail);

	if (!qbd_core_require(core, !core->started))
		return;
	qbd_event_begin(core, now);
	core->started = true;
	core->commit = qbd_max(core->commit, core->trail.base_index);
	core->durable = core->trail.last;
	core->matched = core->commit;
	core->uncounted = !(core->fitness & (QBD_COUNTS | QBD_LOG_COUNTED));
	/*
	 * Entries may have reached the disk before the hard state of their term
	 * (accident 23); nothing was said in that term then. It is entered now.
	 */
	if (last_term > core->term) {
		core->term = last_term;
		core->vote = 0;
		core->term_seq = ++core->hard_seq;
		core->out_flags |= QBD_OUT_PERSIST;
	}
	core->out_flags |= QBD_OUT_ROLE | QBD_OUT_TERM | QBD_OUT_LEADER |
			   QBD_OUT_COMMIT | QBD_OUT_CONFIG;
	qbd_election_start(core);
	qbd_event_done(core);
}

void qbd_core_reads_since(struct qbd_core *core, u64 now, u64 since)
{
	const u64 calm = core->options.disk_stall << QBD_DISK_PATIENCE_MAX;

	qbd_event_begin(core, now);
	if (qbd_core_reads_hang(core, core->now))
		core->reads_hung_at = core->now;
	else if (core->now >= core->reads_hung_at + calm)
		core->reads_patience = 0;
	core->reads_since = since;
}

/* ---- time --------------------------------------------------------------- */

/*
 * Is its own disk the one that is waited for? Not while nobody who could lead has on his what is
 * not on this one: to go from one to the next is no answer.
 *
 *	All disks took 400 ms for a write, be it by a fault of what they share. 1 handed over to 2
 *	after 300 ms, 2 to 3, and so on: none led when its first entry was durable, and nothing
 *	was ever committed.
 *
 * Where it is now this one and then that one, each waits four times as long before it hands
 * over again, as for reads, until its disk has been in time for a while.
 */
static bool own_disk_is_waited_for(struct qbd_core *core)
{
	return qbd_core_log_stalled(core, core->now) &&
	       core->now >= core->stall_since +
			    (core->options.disk_stall << core->log_patience) &&
	       qbd_transfer_has_more(core);
}

static void leader_tick(struct qbd_core *core)
{
	u64 now = core->now;
	bool unfit;

	/*
	 * CheckQuorum (thesis 6.2): a leader cut off from a majority gives up,
	 * so that those who can still reach it look for another (accident 6).
	 */
	if (qbd_leader_cut_off(core)) {
		qbd_become_follower(core, core->term, 0);
		return;
	}
	/*
	 * Accident 28: the leader's disk hung, its heartbeats kept everyone
	 * loyal, and nothing went on. It goes on only as long as its own log
	 * makes progress, if there is anyone to take over.
	 */
	unfit = (core->fitness & (QBD_MAY_LEAD | QBD_COUNTS)) != (QBD_MAY_LEAD | QBD_COUNTS);
	if ((unfit || own_disk_is_waited_for(core)) && qbd_hand_over(core)) {
		if (!unfit)
			core->log_patience = qbd_min(core->log_patience + 2,
						     QBD_DISK_PATIENCE_MAX);
		return;
	}
	/* Likewise what it reads; but see qbd_core_reads_since(). */
	if (core->reads_since &&
	    now >= core->reads_since + (core->options.disk_stall << core->reads_patience) &&
	    qbd_hand_over(core)) {
		core->reads_patience = qbd_min(core->reads_patience + 2,
					       QBD_DISK_PATIENCE_MAX);
		return;
	}
	qbd_transfer_poll(core);
	if (now < core->heartbeat_at)
		return;
	qbd_leader_check_peers(core);
	qbd_round_open(core);
}

void qbd_core_tick(struct qbd_core *core, u64 now)
{
	qbd_event_begin(core, now);
	if (!core->started)
		return;
	if (qbd_core_leads(core))
		leader_tick(core);
	else if (qbd_transfer_due(core))
		qbd_transfer_obey(core);
	else if (core->now >= core->election_deadline)
		qbd_election_timeout(core);
	qbd_event_done(core);
}

u64 qbd_core_deadline(const struct qbd_core *core)
{
	u64 deadline;

	if (!core->started)
		return QBD_NEVER;
	if (qbd_transfer_due(core))
		return core->now;
	if (!qbd_core_leads(core))
		return core->election_deadline;
	/* What else a leader watches is looked at once a heartbeat. */
	deadline = core->heartbeat_at;
	if (core->transfer_to)
		deadline = qbd_min(deadline, core->transfer_deadline);
	return deadline;
}

/* ---- messages ----------------------------------------------------------- */

static bool message_well_formed(const struct qbd_core *core,
				const struct qbd_core_message *message)
{
	if (!message->from || message->from == core->self ||
	    message->to != core->self || !message->type ||
	    message->type >= QBD_MESSAGE_TYPE_END)
		return false;
	if (message->term >= QBD_INDEX_MAX || message->index >= QBD_INDEX_MAX ||
	    message->log_term >= QBD_INDEX_MAX ||
	    message->commit >= QBD_INDEX_MAX ||
	    message->matched >= QBD_INDEX_MAX ||
	    message->hint_index >= QBD_INDEX_MAX)
		return false;
	if (message->flags & QBD_MESSAGE_REJECTED &&
	    message->hint_index >= message->reject_index)
		return false;
	/* Terms begin with 1; an empty member may answer in term 0. */
	switch (message->type) {
	case QBD_MESSAGE_PREVOTE_REQUEST:
	case QBD_MESSAGE_VOTE_REQUEST:
	case QBD_MESSAGE_HEARTBEAT:
	case QBD_MESSAGE_PROBE:
	case QBD_MESSAGE_TIMEOUT_NOW:
		break;
	default:
		return true;
	}
	if (!message->term || message->log_term > message->term)
		return false;
	if (message->type == QBD_MESSAGE_HEARTBEAT ||
	    message->type == QBD_MESSAGE_TIMEOUT_NOW)
		return true;
	/* Every entry has a term, only "before the first" has none. */
	return !message->index == !message->log_term;
}

/* A leader of an older term is told so (accident 10: otherwise a follower that
 * got ahead of its term was stuck, refusing it in silence).
 */
static void receive_from_leader(struct qbd_core *core, struct qbd_peer *peer,
				const struct qbd_core_message *message)
{
	if (message->term < core->term) {
		qbd_peer_owe(peer, QBD_MESSAGE_TERM);
		return;
	}
	if (message->type == QBD_MESSAGE_HEARTBEAT)
		qbd_heartbeat(core, peer, message);
	else if (message->type == QBD_MESSAGE_PROBE)
		qbd_probe(core, peer, message);
	else
		qbd_timeout_now(core, peer, message);
}

static void receive_reply(struct qbd_core *core, struct qbd_peer *peer,
			  const struct qbd_core_message *message)
{
	bool prevote_grant = message->type == QBD_MESSAGE_PREVOTE_REPLY &&
			     message->flags & QBD_MESSAGE_GRANTED;

	/* A prevote grant speaks of a term that nobody has entered. */
	if (message->term > core->term && !prevote_grant) {
		qbd_become_follower(core, message->term, 0);
		return;
	}
	switch (message->type) {
	case QBD_MESSAGE_PREVOTE_REPLY:
		qbd_prevote_reply(core, peer, message);
		break;
	case QBD_MESSAGE_VOTE_REPLY:
		qbd_vote_reply(core, peer, message);
		break;
	case QBD_MESSAGE_HEARTBEAT_REPLY:
	case QBD_MESSAGE_APPEND_REPLY:
		/* Accident 22: an acknowledgment of another term is void. */
		if (message->term != core->term ||
		    qbd_leader_lost(core, peer, message))
			break;
		if (message->type == QBD_MESSAGE_HEARTBEAT_REPLY)
			qbd_heartbeat_reply(core, peer, message);
		else
			qbd_append_reply(core, peer, message);
		break;
	default:
		break;
	}
}

bool qbd_core_receive(struct qbd_core *core, u64 now,
		      const struct qbd_core_message *message)
{
	struct qbd_peer *peer;

	qbd_event_begin(core, now);
	if (!message_well_formed(core, message)) {
		core->rubbish++;
		return false;
	}
	if (!core->started)
		return true;
	if (!qbd_message_possible(core, message)) {
		core->rubbish++;
		return false;
	}
	peer = qbd_peer_get(core, message->from);
	if (!peer)
		return false;
	switch (message->type) {
	case QBD_MESSAGE_PREVOTE_REQUEST:
		qbd_prevote_request(core, peer, message);
		break;
	case QBD_MESSAGE_VOTE_REQUEST:
		qbd_vote_request(core, peer, message);
		break;
	case QBD_MESSAGE_HEARTBEAT:
	case QBD_MESSAGE_PROBE:
	case QBD_MESSAGE_TIMEOUT_NOW:
		receive_from_leader(core, peer, message);
		break;
	default:
		receive_reply(core, peer, message);
		break;
	}
	qbd_event_done(core);
	return true;
}

/* ---- proposals ---------------------------------------------------------- */

enum qbd_propose_result qbd_core_propose(struct qbd_core *core, u64 now,
					 u32 kind,
					 const struct qbd_config *config,
					 u64 *index)
{
	qbd_event_begin(core, now);
	if (!qbd_core_leads(core) || !qbd_core_vouches(core) ||
	    qbd_core_self_is_witness(core))
		return QBD_PROPOSE_NOT_LEADER;
	if (!kind || kind >= QBD_ENTRY_KIND_END ||
	    !qbd_entry_config_fits(kind, config))
		return QBD_PROPOSE_INVALID;
	if (core->transfer_blocked)
		return QBD_PROPOSE_TRANSFERRING;
	if (config) {
		/*
		 * Accidents 29 and 35: a change before an entry of the own term
		 * is committed, or on top of one that is not, can leave two
		 * disjoint majorities.
		 */
		if (core->commit < core->own_first || core->levels_count > 1)
			return QBD_PROPOSE_CONFIG_PENDING;
		if (!qbd_membership_may_follow(core, config))
			return QBD_PROPOSE_INVALID;
	}
	if (!qbd_log_append(core, core->term, config))
		return QBD_PROPOSE_NOT_LEADER;
	*index = core->trail.last;
	qbd_event_done(core);
	return QBD_PROPOSE_OK;
}

/* ---- storage ------------------------------------------------------------ */

void qbd_core_hard_state_durable(struct qbd_core *core, u64 now, u64 seq)
{
	bool vote_was_durable;

	qbd_event_begin(core, now);
	if (!qbd_core_require(core, seq <= core->hard_seq))
		return;
	if (!qbd_core_vouches(core) || seq <= core->hard_durable)
		return;
	vote_was_durable = qbd_core_vote_durable(core);
	core->hard_durable = seq;
	if (!vote_was_durable && qbd_core_vote_durable(core))
		qbd_election_vote_durable(core);
	qbd_campaign_tally(core);
	qbd_event_done(core);
}

void qbd_core_log_durable(struct qbd_core *core, u64 now, u64 generation,
			  u64 term, u64 index)
{
	qbd_event_begin(core, now);
	/* Accidents 20 and 21: a completion from before a truncation is void. */
	if (generation != core->generation || !qbd_core_vouches(core))
		return;
	if (index <= core->durable || index > core->trail.last)
		return;
	if (index >= core->trail.base_index &&
	    !qbd_core_require(core, qbd_trail_term(&core->trail, index) == term))
		return;
	if (qbd_core_log_stalled(core, core->now))
		core->log_hung_at = core->now;
	else if (core->now >= core->log_hung_at +
			      (core->options.disk_stall << QBD_DISK_PATIENCE_MAX))
		core->log_patience = 0;
	core->durable = index;
	core->stall_since = core->now;
	if (qbd_core_leads(core))
		qbd_leader_commit(core);
	else
		qbd_follower_durable(core);
	qbd_event_done(core);
}

void qbd_core_storage_failed(struct qbd_core *core, u64 now)
{
	qbd_event_begin(core, now);
	if (core->failed)
		return;
	/*
	 * Accidents 25 and 43: a failed write is not tried again and trusted.
	 * Nothing of this term can be reused for other contents, since this
	 * member never leads or acknowledges again.
	 */
	if (core->started && qbd_core_leads(core) && !qbd_hand_over(core))
		qbd_become_follower(core, core->term, 0);
	core->failed = true;
	if (core->role != QBD_ROLE_FOLLOWER)
		qbd_become_follower(core, core->term, 0);
	qbd_event_done(core);
}

void qbd_core_set_fitness(struct qbd_core *core, u64 now, u32 fitness)
{
	const u32 lead = QBD_MAY_LEAD | QBD_COUNTS;

	qbd_event_begin(core, now);
	core->fitness = fitness;
	if (fitness & (QBD_COUNTS | QBD_LOG_COUNTED))
		core->uncounted = false;
	if (!core->started)
		return;
	if (qbd_core_leads(core)) {
		/* Whose word binds nobody does not lead on where nobody can take over. */
		if ((fitness & lead) != lead && !qbd_hand_over(core) &&
		    fitness & QBD_FORGETFUL)
			qbd_become_follower(core, core->term, 0);
		qbd_leader_commit(core);
	} else if (core->role != QBD_ROLE_FOLLOWER && !qbd_election_able(core)) {
		qbd_become_follower(core, core->term, 0);
	}
	qbd_event_done(core);
}

void qbd_core_set_options(struct qbd_core *core, u64 now,
			  const struct qbd_core_options *options)
{
	qbd_event_begin(core, now);
	if (!qbd_core_require(core, !qbd_core_options_check(options)))
		return;
	core->options = *options;
	if (!core->started)
		return;
	if (qbd_core_leads(core)) {
		core->heartbeat_at = core->now;
	} else {
		/* An answer that is owed will promise the new timeout. */
		if (core->leader)
			core->guard_until = qbd_max(core->guard_until, core->now +
						    options->election_timeout);
		if (core->election_deadline != QBD_NEVER)
			qbd_election_arm(core);
	}
	qbd_event_done(core);
}

void qbd_core_term_told(struct qbd_core *core, u64 now, u64 term)
{
	qbd_event_begin(core, now);
	if (term <= core->term || !qbd_core_vouches(core) ||
	    !qbd_core_require(core, term < QBD_INDEX_MAX))
		return;
	qbd_become_follower(core, term, 0);
	qbd_event_done(core);
}

bool qbd_core_vote_lost(struct qbd_core *core, u64 now, u64 term)
{
	bool lost;

	qbd_event_begin(core, now);
	if (!qbd_core_vouches(core) || !qbd_core_require(core, term < QBD_INDEX_MAX))
		return false;
	lost = qbd_election_vote_lost(core, term);
	qbd_event_done(core);
	return lost;
}

void qbd_core_log_compacted(struct qbd_core *core, u64 first_index)
{
	if (!first_index || first_index - 1 <= core->trail.base_index ||
	    !qbd_core_vouches(core))
		return;
	if (!qbd_core_require(core, first_index - 1 <= core->commit))
		return;
	if (!qbd_core_require(core, first_index - 1 <= core->durable))
		return;
	qbd_trail_compact(&core->trail, first_index - 1);
	qbd_leader_base_moved(core);
	qbd_event_done(core);
}

bool qbd_core_may_reset(const struct qbd_core *core, u64 index, u64 term)
{
	/* The entry at the commit index is here, and the same as the leader's. */
	if (qbd_core_leads(core) || index <= core->commit)
		return false;
	/*
	 * No entry has term 0, and terms do not go back. With a wrong one the
	 * probes of every honest leader would contradict what is committed here.
	 */
	if (!term || term > core->term ||
	    term < qbd_trail_term(&core->trail, core->commit))
		return false;
	/*
	 * With this entry in the log, what follows it may have been acknowledged
	 * and must stay. (An offer of extents came late, when the log had caught
	 * up; entries that were on a majority thanks to it were dropped.) Without
	 * it nothing after it can be committed.
	 */
	return index > core->trail.last ||
	       qbd_trail_term(&core->trail, index) != term;
}

bool qbd_core_may_reset_config(const struct qbd_core *core, u64 index,
			       u64 config_index)
{
	return config_index <= qbd_max(index, core->leader_last);
}

bool qbd_core_log_reset(struct qbd_core *core, u64 now, u64 index, u64 term,
			const struct qbd_config *config, u64 config_index)
{
	qbd_event_begin(core, now);
	if (!qbd_core_may_reset(core, index, term) || qbd_config_check(config))
		return false;
	if (core->role != QBD_ROLE_FOLLOWER)
		qbd_become_follower(core, core->term, 0);
	qbd_trail_reset(&core->trail, index, term);
	core->generation++;
	core->durable = index;
	core->uncounted = !(core->fitness & QBD_COUNTS);
	core->append_rejected = false;
	core->commit = index;
	core->out_flags |= QBD_OUT_COMMIT;
	/* It is committed, so it is in the log of every leader. */
	core->matched = index;
	qbd_membership_reset(core, config, config_index);
	if (core->started)
		qbd_follower_durable(core);
	qbd_event_done(core);
	return true;
}

/* ---- output ------------------------------------------------------------- */

static void output_peers(const struct qbd_core *core,
			 struct qbd_core_output *output)
{
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		const struct qbd_peer *peer = &core->peers[slot];

		if (qbd_leader_can_pull(core, peer))
			output->pull_peers |= QBD_BIT(slot);
		else if (qbd_core_leads(core) && peer->member &&
			 peer->state == QBD_PEER_NEEDS_EXTENTS)
			output->extents_peers |= QBD_BIT(slot);
	}
	if (output->pull_peers)
		output->flags |= QBD_OUT_PULL;
	if (output->extents_peers)
		output->flags |= QBD_OUT_EXTENTS;
}

u32 qbd_core_take_output(struct qbd_core *core, struct qbd_core_output *output)
{
	memset(output, 0, sizeof(*output));
	output->flags = core->out_flags;
	if (!qbd_core_vouches(core))
		output->flags &= ~(QBD_OUT_PERSIST | QBD_OUT_NOOP);
	output->hard_term = core->term;
	output->hard_vote = core->vote;
	output->hard_seq = core->hard_seq;
	output->role = core->role;
	output->leader = core->leader;
	output->term = core->term;
	output->commit = core->commit;
	output->generation = core->generation;
	output->deadline = qbd_core_deadline(core);
	output->stopped_line = core->stopped_line;
	output->stopped_file = core->stopped_file;
	if (core->out_flags & QBD_OUT_NOOP)
		output->noop_index = core->out_noop;
	if (core->out_flags & QBD_OUT_READS_RELEASED)
		output->read_released = core->out_released;
	if (core->out_flags & QBD_OUT_READS_FAILED)
		output->read_failed = core->out_failed;
	output_peers(core, output);
	core->out_flags = 0;
	core->out_deadline = output->deadline;
	return output->flags;
}
