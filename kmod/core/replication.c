// SPDX-License-Identifier: GPL-2.0
/*
 * The leader's side of the log: what each peer has, what it is sent next, and
 * what is committed. Thesis 3.5, 3.6.2, 10.2 (own disk in parallel, pipelining).
 */
#include "internal.h"

/* ---- the own log -------------------------------------------------------- */

/**
 * qbd_log_append() - one more entry in the log's memory
 * @core: core
 * @term: its term
 * @config: if it is a CONFIG entry
 *
 * Return: false if the trail is full (see qbd_trail_append()).
 */
bool qbd_log_append(struct qbd_core *core, u64 term,
		    const struct qbd_config *config)
{
	bool was_durable = core->durable >= core->trail.last;
	u64 base = core->trail.base_index;

	if (!qbd_core_require(core, term >= qbd_trail_last_term(&core->trail)))
		return false;
	if (!qbd_core_require(core, qbd_trail_append(&core->trail, term,
						     core->commit)))
		return false;
	if (was_durable)
		core->stall_since = core->now;
	if (core->trail.base_index != base)
		qbd_leader_base_moved(core);
	if (config)
		qbd_membership_append(core, config, core->trail.last);
	return true;
}

/**
 * qbd_commit_advance() - entries up to @index are committed
 * @core: core
 * @index: may be behind what is known already
 */
void qbd_commit_advance(struct qbd_core *core, u64 index)
{
	if (index <= core->commit)
		return;
	if (!qbd_core_require(core, index <= core->trail.last))
		return;
	core->commit = index;
	core->out_flags |= QBD_OUT_COMMIT;
	qbd_membership_committed(core);
}

/* ---- commit ------------------------------------------------------------- */

/*
 * May @peer's acknowledgments count? Not while its data is incomplete. And each
 * only if it said so itself: one from before the log was emptied, that came late,
 * made those count that came after.
 */
static u64 peer_commit_match(const struct qbd_peer *peer)
{
	if (peer->flags & (QBD_MESSAGE_FILLING | QBD_MESSAGE_FAILED))
		return 0;
	return peer->counted;
}

/**
 * qbd_leader_commit() - has a quorum more than before?
 * @core: core
 *
 * The own disk is one voter among the others (thesis 10.2.1): the quorum may be
 * complete before it, and it counts only what is durable on it, also when it is
 * the only voter (accident 26: a singleton acknowledged before its fsync).
 */
void qbd_leader_commit(struct qbd_core *core)
{
	u64 values[QBD_PEERS_MAX];
	u64 self_value = 0;
	u64 index;

	if (!qbd_core_leads(core))
		return;
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
		values[slot] = peer_commit_match(&core->peers[slot]);
	if (core->fitness & QBD_COUNTS && qbd_core_vouches(core))
		self_value = core->durable;
	index = qbd_quorum_value(core, values, self_value);
	if (!qbd_core_require(core, index <= core->trail.last))
		return;
	/*
	 * Accident 12 (thesis 3.6.2, figure 3.7): an entry of an earlier term
	 * that a majority has can still be overwritten; one of this term cannot,
	 * and takes all before it along.
	 *
	 *	S1 leads term 2, entry 2 on S1 S2; S5 leads term 3, entry 2' on S5;
	 *	S1 leads term 4, copies entry 2 to S3: on a majority. If it counted
	 *	now, S5 could still win term 5 and put 2' everywhere.
	 */
	if (index < core->own_first)
		return;
	qbd_commit_advance(core, index);
	qbd_reads_kick(core);
	/* A leader that is no member any more is done (thesis 4.2.2). */
	if (core->levels_count == 1 && !qbd_core_self_votes(core) &&
	    !qbd_hand_over(core))
		qbd_become_follower(core, core->term, 0);
}

/* ---- what a peer has ---------------------------------------------------- */

static void peer_forget_inflight(struct qbd_peer *peer)
{
	peer->inflight = 0;
	peer->marks_count = 0;
	peer->marks_first = 0;
}

/**
 * qbd_leader_probe() - ask a peer for a common entry before sending more
 * @core: core, leader
 * @peer: its slot
 * @next: it is believed to have everything before this
 *
 * A probe is an append without entries on the control connection, so that it
 * depends neither on the window nor on the bulk connection. That is also what
 * gets a full window of lost entries going again (accident 18: with the window
 * full nothing was sent, and so nothing ever answered).
 */
void qbd_leader_probe(struct qbd_core *core, struct qbd_peer *peer, u64 next)
{
	if (!qbd_core_require(core, next > 0))
		return;
	if (!qbd_core_require(core, next <= core->trail.last + 1))
		return;
	peer_forget_inflight(peer);
	peer->next = next;
	if (next - 1 < core->trail.base_index) {
		peer->state = QBD_PEER_NEEDS_EXTENTS;
		return;
	}
	peer->state = QBD_PEER_PROBE;
	qbd_peer_owe(peer, QBD_MESSAGE_PROBE);
}

/*
 * Where to ask again, when what was sent may be lost. Who has not answered in this
 * leadership is believed to have what was not sent to it; so is one whose answers do not
 * reach this log yet. It says what it has when it refuses that.
 *
 *	2 voted for 1, and answered a heartbeat: all that it knew to be committed was before
 *	the begin of 1's log. The first entry was lost with the connection, and 1 went back
 *	to that answer: 2 was to be filled by extents, with all of it there. If 1 is a
 *	witness it cannot do that, and 2 was sent nothing more.
 */
static u64 peer_resume(const struct qbd_core *core, const struct qbd_peer *peer)
{
	return peer->heard_at && peer->match >= core->trail.base_index ? peer->match + 1 :
									 peer->next;
}

/**
 * qbd_leader_start_peer() - nothing is known yet of this peer in this term
 * @core: core, leader
 * @peer: its slot
 */
void qbd_leader_start_peer(struct qbd_core *core, struct qbd_peer *peer)
{
	peer->match = 0;
	peer->counted = 0;
	peer->received = 0;
	peer->flags = 0;
	peer->heard_at = 0;
	peer->acked_round = 0;
	peer->acked_at = 0;
	peer->support_until = 0;
	peer->resend_shift = 0;
	peer->progress_at = core->now;
	/* Optimistically it has the whole log. */
	qbd_leader_probe(core, peer, core->trail.last + 1);
	qbd_leader_voted(core, peer);
}

/**
 * qbd_leader_check_peers() - once a heartbeat: is anyone stuck?
 * @core: core, leader
 */
void qbd_leader_check_peers(struct qbd_core *core)
{
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		struct qbd_peer *peer = &core->peers[slot];

		if (!peer->member || peer->state == QBD_PEER_NEEDS_EXTENTS)
			continue;
		if (peer->state == QBD_PEER_PROBE) {
			/* The probe or its answer was lost, or it is away. */
			qbd_leader_probe(core, peer, peer->next);
			continue;
		}
		/* Sent, and for long neither received nor refused. */
		if (!peer->inflight || peer->received >= peer->next - 1 ||
		    core->now < peer->progress_at +
				(core->options.resend << peer->resend_shift))
			continue;
		if (peer->resend_shift < 5)
			peer->resend_shift++;
		peer->progress_at = core->now;
		qbd_leader_probe(core, peer, peer_resume(core, peer));
	}
}

/**
 * qbd_leader_base_moved() - the log begins later than before
 * @core: core
 *
 * Whoever was to be sent, or asked about, an entry that is gone needs extents.
 */
void qbd_leader_base_moved(struct qbd_core *core)
{
	if (!qbd_core_leads(core))
		return;
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		struct qbd_peer *peer = &core->peers[slot];

		if (peer->member && peer->state != QBD_PEER_NEEDS_EXTENTS &&
		    peer->next - 1 < core->trail.base_index)
			qbd_leader_probe(core, peer, peer->next);
	}
}

static void peer_set_match(struct qbd_core *core, struct qbd_peer *peer,
			   u64 match)
{
	peer->match = match;
	peer->progress_at = core->now;
	peer->resend_shift = 0;
	while (peer->marks_count) {
		const struct qbd_mark *mark = &peer->marks[peer->marks_first];

		if (mark->last > match)
			break;
		peer->inflight -= qbd_min(peer->inflight, mark->bytes);
		peer->marks_first = (peer->marks_first + 1) % QBD_MARKS_MAX;
		peer->marks_count--;
	}
	if (!peer->marks_count)
		peer->inflight = 0;
}

/* It has everything up to @index: stream what comes after. */
static void peer_stream(struct qbd_core *core, struct qbd_peer *peer, u64 index)
{
	if (!qbd_core_require(core, index >= peer->match))
		return;
	peer_forget_inflight(peer);
	peer->owed &= ~QBD_BIT(QBD_MESSAGE_PROBE);
	peer->next = index + 1;
	peer->progress_at = core->now;
	peer->state = QBD_PEER_REPLICATE;
}

/**
 * qbd_leader_voted() - a new leader need not ask a voter first
 * @core: core, leader
 * @peer: its slot
 *
 * It said with its vote which entry is its last one. If that is here, it has all before it
 * (log matching), and nobody has sent it anything since: not an older leader, whose term it
 * has left, and no other in this one. If it lost something all the same it refuses what
 * comes, and is probed as ever. So nothing counts by this: it only saves the round trip of
 * the probe.
 */
void qbd_leader_voted(struct qbd_core *core, struct qbd_peer *peer)
{
	u64 index = peer->voted_index;

	if (peer->voted_term != core->term || peer->heard_at ||
	    peer->state != QBD_PEER_PROBE || !index || index < core->trail.base_index ||
	    index > core->trail.last ||
	    qbd_trail_term(&core->trail, index) != peer->voted_log_term)
		return;
	peer_stream(core, peer, index);
}

/**
 * qbd_leader_progress() - what an answer says about a peer's log
 * @core: core, leader of the answer's term
 * @peer: who answered
 * @message: heartbeat or append reply
 */
void qbd_leader_progress(struct qbd_core *core, struct qbd_peer *peer,
			 const struct qbd_core_message *message)
{
	u64 received = qbd_max(message->matched, message->index);

	/* Nobody can have the same as this log beyond its end. */
	if (!qbd_core_require(core, received <= core->trail.last))
		return;
	peer->flags = message->flags & (QBD_MESSAGE_FILLING | QBD_MESSAGE_FIT |
					QBD_MESSAGE_NO_VOTE | QBD_MESSAGE_FAILED);
	if (message->index > peer->match)
		peer_set_match(core, peer, message->index);
	if (!(peer->flags & (QBD_MESSAGE_FILLING | QBD_MESSAGE_FAILED)))
		peer->counted = qbd_max(peer->counted, message->index);
	if (received > peer->received) {
		peer->received = received;
		peer->progress_at = core->now;
	}
	if (peer->state == QBD_PEER_REPLICATE) {
		if (peer->next <= peer->match)
			peer->next = peer->match + 1;
	} else if (peer->state == QBD_PEER_PROBE) {
		/*
		 * Accident 19: a follower that had everything stayed in probing
		 * because only an append could end it. Any answer can.
		 */
		if (received + 1 >= peer->next)
			peer_stream(core, peer, qbd_max(received, peer->match));
	} else if (received >= core->trail.base_index) {
		/*
		 * It was filled from extents; also at exactly the base, where
		 * others went on probing (accident 47).
		 */
		peer_stream(core, peer, qbd_max(received, peer->match));
	}
	/*
	 * What anybody knows to be committed is in the log of every later leader
	 * (leader completeness, thesis 3.6.3), which may not know that it is: it was
	 * told less by its predecessor. It must not have to commit an entry of its
	 * own first to find out: it may need this very peer for that, and the peer
	 * may have to be filled first, with data that is not older than its own.
	 */
	qbd_commit_advance(core, qbd_min(message->commit, core->trail.last));
	qbd_leader_commit(core);
	if (qbd_core_leads(core))
		qbd_transfer_poll(core);
}

/**
 * qbd_leader_lost() - does a follower know more to be committed than is here?
 * @core: core, leader of the answer's term
 * @peer: who answered
 * @message: the answer
 *
 * What is committed is in the log of every later leader. So it is this member that
 * lost something (accident 27). The follower is honest, and others must lead until
 * this member has been sent all of it again.
 *
 * Return: true if so; then it leads no more.
 */
bool qbd_leader_lost(struct qbd_core *core, const struct qbd_peer *peer,
		     const struct qbd_core_message *message)
{
	if (!qbd_core_leads(core) || !peer->member ||
	    message->commit <= core->trail.last)
		return false;
	core->lost_until = qbd_max(core->lost_until, message->commit);
	qbd_become_follower(core, core->term, 0);
	return true;
}

/* The peer refused @message->reject_index, and says what it has instead. */
static void peer_refused(struct qbd_core *core, struct qbd_peer *peer,
			 const struct qbd_core_message *message)
{
	u64 refused = message->reject_index;
	u64 next;

	if (peer->state == QBD_PEER_NEEDS_EXTENTS)
		return;
	next = qbd_trail_find(&core->trail,
			      qbd_min(message->hint_index, refused - 1),
			      message->hint_term) + 1;
	/* At or below the base there is nothing to compare any more. */
	if (message->hint_index < core->trail.base_index)
		next = message->hint_index + 1;
	if (peer->state == QBD_PEER_PROBE) {
		/* Accident 17: only the answer to the probe under way counts. */
		if (refused != peer->next - 1)
			return;
		/*
		 * What it acknowledged in this term is refused: it lost it
		 * (accident 27). Then match is not what it has, and sending must
		 * begin before it, or it would be refused for ever.
		 */
		if (refused <= peer->match) {
			peer->match = qbd_min(peer->match, next - 1);
			peer->counted = qbd_min(peer->counted, peer->match);
			peer->received = peer->match;
		}
	} else if (refused <= peer->match) {
		/* Accident 17: a late refusal moved next below match. */
		return;
	}
	qbd_leader_probe(core, peer, qbd_max(next, peer->match + 1));
}

/*
 * It cannot show what it acknowledged, and asks for it again (accident 27).
 *
 * Also of a leader to whom it never acknowledged it, and who takes it for one that has
 * the whole log:
 *
 *	3 acknowledged 157 entries to 1 and lost them with its disk; with the new one it
 *	had 15 again when 2 was elected. 2 asked for its 178th, and each time it answered
 *	that it had lost some: that said nothing new to 2, and 3 was never sent the 16th.
 */
static void peer_lost(struct qbd_core *core, struct qbd_peer *peer,
		      const struct qbd_core_message *message)
{
	if (message->hint_index < peer->match) {
		peer->match = message->hint_index;
		peer->counted = qbd_min(peer->counted, peer->match);
		peer->received = message->hint_index;
	} else if (peer->state != QBD_PEER_PROBE ||
		   peer->next <= message->hint_index + 1) {
		return;
	}
	qbd_leader_probe(core, peer, message->hint_index + 1);
}

/**
 * qbd_append_reply() - acknowledgment or refusal of entries or a probe
 * @core: core, leader of the answer's term
 * @peer: who answered
 * @message: the answer
 */
void qbd_append_reply(struct qbd_core *core, struct qbd_peer *peer,
		      const struct qbd_core_message *message)
{
	if (!qbd_core_leads(core) || !peer->member)
		return;
	peer->heard_at = core->now;
	qbd_leader_progress(core, peer, message);
	if (!qbd_core_leads(core))
		return;
	if (message->flags & QBD_MESSAGE_LOST)
		peer_lost(core, peer, message);
	else if (message->flags & QBD_MESSAGE_REJECTED)
		peer_refused(core, peer, message);
}

/* ---- sending ------------------------------------------------------------ */

static u64 peer_window(const struct qbd_core *core, const struct qbd_peer *peer)
{
	return peer->window ? peer->window : core->options.window;
}

/**
 * qbd_leader_can_pull() - is there something to send, and room?
 * @core: core
 * @peer: its slot
 */
bool qbd_leader_can_pull(const struct qbd_core *core,
			 const struct qbd_peer *peer)
{
	return qbd_core_leads(core) && peer->member && peer->bulk_up &&
	       !(peer->flags & QBD_MESSAGE_FAILED) &&
	       peer->state == QBD_PEER_REPLICATE &&
	       peer->next <= core->trail.last &&
	       peer->next - 1 >= core->trail.base_index &&
	       peer->inflight < peer_window(core, peer);
}

enum qbd_pull qbd_core_next_append(struct qbd_core *core, u64 now, u32 id,
				   u64 max_bytes, struct qbd_range *range)
{
	struct qbd_peer *peer = qbd_peer_find(core, id);

	qbd_event_begin(core, now);
	if (!peer || !peer->member || !qbd_core_leads(core))
		return QBD_PULL_NOTHING;
	if (peer->state == QBD_PEER_NEEDS_EXTENTS)
		return QBD_PULL_EXTENTS;
	if (!qbd_leader_can_pull(core, peer))
		return QBD_PULL_NOTHING;
	range->term = core->term;
	range->prev_index = peer->next - 1;
	range->prev_term = qbd_trail_term(&core->trail, peer->next - 1);
	range->commit = core->commit;
	range->first = peer->next;
	range->last = core->trail.last;
	range->max_bytes = qbd_min(max_bytes,
				   peer_window(core, peer) - peer->inflight);
	return QBD_PULL_RANGE;
}

void qbd_core_append_sent(struct qbd_core *core, u64 now, u32 id,
			  u64 last_index, u64 bytes)
{
	struct qbd_peer *peer = qbd_peer_find(core, id);
	struct qbd_mark *mark;
	u32 newest;

	qbd_event_begin(core, now);
	if (!peer || !qbd_core_leads(core) ||
	    peer->state != QBD_PEER_REPLICATE || last_index < peer->next)
		return;
	if (!qbd_core_require(core, last_index <= core->trail.last))
		return;
	if (!peer->inflight)
		peer->progress_at = core->now;
	if (peer->marks_count < QBD_MARKS_MAX) {
		newest = (peer->marks_first + peer->marks_count) %
			 QBD_MARKS_MAX;
		peer->marks_count++;
		peer->marks[newest].bytes = 0;
	} else {
		/* Coarser, never wrong: they are given back together. */
		newest = (peer->marks_first + peer->marks_count - 1) %
			 QBD_MARKS_MAX;
	}
	mark = &peer->marks[newest];
	mark->last = last_index;
	mark->bytes += bytes;
	peer->inflight += bytes;
	peer->next = last_index + 1;
	qbd_transfer_poll(core);
	qbd_event_done(core);
}

void qbd_core_set_window(struct qbd_core *core, u32 id, u64 bytes)
{
	struct qbd_peer *peer = qbd_peer_get(core, id);

	if (peer)
		peer->window = bytes;
}

void qbd_core_peer_connected(struct qbd_core *core, u64 now, u32 id,
			     enum qbd_link link)
{
	struct qbd_peer *peer;

	qbd_event_begin(core, now);
	peer = qbd_peer_get(core, id);
	if (!peer)
		return;
	if (link == QBD_LINK_BULK) {
		peer->bulk_up = true;
		return;
	}
	/* What was sent before may be lost: say it again. */
	qbd_campaign_ask(core, peer);
	if (!qbd_core_leads(core) || !peer->member)
		return;
	qbd_peer_owe(peer, QBD_MESSAGE_HEARTBEAT);
	if (peer->state == QBD_PEER_PROBE)
		qbd_peer_owe(peer, QBD_MESSAGE_PROBE);
}

void qbd_core_peer_disconnected(struct qbd_core *core, u64 now, u32 id,
				enum qbd_link link)
{
	struct qbd_peer *peer = qbd_peer_find(core, id);

	qbd_event_begin(core, now);
	if (!peer)
		return;
	/*
	 * It may come back in another run, with less of its log and in an older term: it is
	 * asked first then, so that its term is durable before it is sent records.
	 */
	peer->voted_term = 0;
	if (link != QBD_LINK_BULK)
		return;
	peer->bulk_up = false;
	if (!qbd_core_leads(core) || !peer->member ||
	    peer->state != QBD_PEER_REPLICATE)
		return;
	peer->received = peer->match;
	qbd_leader_probe(core, peer, peer_resume(core, peer));
}
