// SPDX-License-Identifier: GPL-2.0
/*
 * Leadership moves: on request (thesis 3.10), and away from a member that
 * cannot go on.
 */
#include "internal.h"

/**
 * qbd_transfer_end() - it worked, or was given up
 * @core: core
 */
void qbd_transfer_end(struct qbd_core *core)
{
	if (!core->transfer_to)
		return;
	core->transfer_to = 0;
	core->transfer_blocked = false;
	core->transfer_sent = false;
	core->transfer_complete = false;
	core->out_flags |= QBD_OUT_TRANSFER;
}

/*
 * From here on the lease is void (accident 11): the target's campaign does not
 * wait for it. See qbd_heartbeat_reply() for when it is trusted again. Each target
 * has a barrier of its own:
 *
 *	A transfer to 2 was given up, one to 3 begun. The answer of 3 gave the lease
 *	back, then the first TIMEOUT_NOW arrived at 2 after all.
 */
static void send_timeout_now(struct qbd_core *core, struct qbd_peer *peer)
{
	core->timeout_now_term = core->term;
	peer->barrier = true;
	peer->barrier_round = core->round;
	qbd_peer_owe(peer, QBD_MESSAGE_TIMEOUT_NOW);
}

/* Could @peer lead, as far as the leader knows? */
static bool transfer_fit(const struct qbd_peer *peer)
{
	return peer->member & QBD_CORE_VOTER &&
	       !(peer->member & QBD_CORE_WITNESS) &&
	       peer->state == QBD_PEER_REPLICATE &&
	       peer->flags & QBD_MESSAGE_FIT &&
	       !(peer->flags & (QBD_MESSAGE_FILLING | QBD_MESSAGE_FAILED));
}

static void transfer_begin(struct qbd_core *core, u32 target)
{
	core->transfer_to = target;
	core->transfer_deadline = core->now + core->options.election_timeout;
	core->out_flags |= QBD_OUT_TRANSFER;
}

/* Of those that could lead the one that has most, then the one that is preferred. */
static struct qbd_peer *transfer_best(struct qbd_core *core)
{
	struct qbd_peer *best = NULL;

	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		struct qbd_peer *peer = &core->peers[slot];

		if (!transfer_fit(peer) || !qbd_peer_alive(core, peer, core->now))
			continue;
		if (!best || peer->match > best->match ||
		    (peer->match == best->match &&
		     peer->priority > best->priority))
			best = peer;
	}
	return best;
}

/**
 * qbd_transfer_has_more() - has one that could take over more on its disk than this leader?
 * @core: core, leader
 */
bool qbd_transfer_has_more(struct qbd_core *core)
{
	const struct qbd_peer *best = transfer_best(core);

	return best && best->match > core->durable;
}

/*
 * A witness leads only to give its log to a member that has data, and leadership with it:
 *
 *	1 and 2 have data, 3 is a witness. 2 was away while 1 and 3 committed 300 writes;
 *	1 is lost, 2 is back. 2 cannot be elected, for 3 has more, and nobody but 3 can
 *	send 2 what it lacks.
 */
static void pass_on(struct qbd_core *core)
{
	struct qbd_peer *best = transfer_best(core);

	if (best && best->match >= core->trail.last)
		transfer_begin(core, best->id);
}

enum qbd_transfer_result qbd_core_transfer(struct qbd_core *core, u64 now,
					   u32 target)
{
	struct qbd_peer *peer = qbd_peer_find(core, target);

	qbd_event_begin(core, now);
	if (!qbd_core_leads(core))
		return core->leader == target && target ?
		       QBD_TRANSFER_ALREADY : QBD_TRANSFER_NOT_LEADER;
	if (target == core->self)
		return QBD_TRANSFER_ALREADY;
	if (core->transfer_to)
		return QBD_TRANSFER_BUSY;
	if (!peer || !(peer->member & QBD_CORE_VOTER) ||
	    peer->member & QBD_CORE_WITNESS)
		return QBD_TRANSFER_NOT_VOTER;
	if (!qbd_peer_alive(core, peer, core->now))
		return QBD_TRANSFER_UNREACHABLE;
	if (!transfer_fit(peer))
		return QBD_TRANSFER_UNFIT;
	transfer_begin(core, target);
	qbd_transfer_poll(core);
	qbd_event_done(core);
	return QBD_TRANSFER_STARTED;
}

/**
 * qbd_transfer_poll() - go on with a transfer, if there is one
 * @core: core, leader
 *
 * Proposals go on while the target is sent what it lacks, and stop when it was sent
 * all; under constant load, from half of the time on.
 *
 * TIMEOUT_NOW leaves with the last of it, and is obeyed when that is durable: to wait for
 * the answer to that here would be one more round trip in which nothing goes on. A later
 * round that the target hears before makes it void, and reads open rounds all the time; it
 * is told again, once, when it has all.
 */
void qbd_transfer_poll(struct qbd_core *core)
{
	struct qbd_peer *peer;
	bool complete;

	if (!core->transfer_to && qbd_core_leads(core) &&
	    qbd_core_self_is_witness(core))
		pass_on(core);
	if (!core->transfer_to)
		return;
	peer = qbd_peer_find(core, core->transfer_to);
	/*
	 * Accident 11: a transfer to a dead target blocked the device. It is
	 * given up after one election timeout.
	 */
	if (!peer || !peer->member || core->now >= core->transfer_deadline) {
		qbd_transfer_end(core);
		return;
	}
	if (core->transfer_complete || peer->state != QBD_PEER_REPLICATE)
		return;
	if (peer->next > core->trail.last ||
	    core->now + core->options.election_timeout / 2 >=
	    core->transfer_deadline)
		core->transfer_blocked = true;
	if (!core->transfer_blocked || peer->next <= core->trail.last)
		return;
	complete = peer->match >= core->trail.last;
	if (core->transfer_sent && !complete)
		return;
	if (!core->transfer_sent || core->round > peer->barrier_round)
		send_timeout_now(core, peer);
	core->transfer_sent = true;
	core->transfer_complete = complete;
}

/**
 * qbd_hand_over() - this leader cannot go on: let the best follower take over
 * @core: core, leader
 *
 * Return: false if there is none; then it still leads.
 */
bool qbd_hand_over(struct qbd_core *core)
{
	struct qbd_peer *best;

	if (!qbd_core_require(core, qbd_core_leads(core)))
		return false;
	best = transfer_best(core);
	if (!best)
		return false;
	send_timeout_now(core, best);
	qbd_become_follower(core, core->term, 0);
	return true;
}

/*
 * Each leadership takes a place in the trail, and gives it back when its entries are committed.
 * Who is elected again and again is so because nobody else can be, and must be able to when
 * the others are back.
 */
#define IN_VAIN_MAX 16

static bool came_to_nothing(const struct qbd_core *core)
{
	const struct qbd_trail *trail = &core->trail;

	return trail->count >= IN_VAIN_MAX &&
	       trail->runs[trail->count - IN_VAIN_MAX].first > core->commit;
}

/*
 * It serves nobody while it leads (pass_on()), whatever its disk does:
 *
 *	1 and 2 have data, 3 is a witness. 1 was away until no log reached it any more. 2 has
 *	all of it, and was cut off from 3, which was elected and could give 1 nothing. 1 and 2
 *	were a majority; but 1 heard 3.
 */
static bool serves_nobody(struct qbd_core *core, u64 now)
{
	bool stalled = qbd_core_log_stalled(core, now);

	if (qbd_core_self_is_witness(core))
		return true;
	return (stalled || qbd_core_reads_hang(core, now) || !(core->fitness & QBD_MAY_LEAD)) &&
	       !qbd_quorum_counts(core, now, 0, core->fitness & QBD_COUNTS && !stalled);
}

bool qbd_core_stuck(struct qbd_core *core, u64 now)
{
	return qbd_core_leads(core) && core->fitness & QBD_MAY_VOTE &&
	       serves_nobody(core, now) && !transfer_best(core) && !came_to_nothing(core);
}

bool qbd_core_step_down(struct qbd_core *core, u64 now)
{
	qbd_event_begin(core, now);
	if (!qbd_core_stuck(core, core->now))
		return false;
	qbd_become_follower(core, core->term, 0);
	qbd_event_done(core);
	return true;
}

/**
 * qbd_timeout_now() - the leader wants this member to take over
 * @core: core
 * @peer: leader of the message's term, which is not older than the own
 * @message: TIMEOUT_NOW
 */
void qbd_timeout_now(struct qbd_core *core, struct qbd_peer *peer,
		     const struct qbd_core_message *message)
{
	if (message->term == core->term) {
		/* Only who follows it now, and heard it in this life. */
		if (core->role != QBD_ROLE_FOLLOWER || core->leader != peer->id)
			return;
		/*
		 * Late: the leader was answered a later round meanwhile, and may
		 * trust in its lease again (accident 11).
		 */
		if (core->heard_round > message->round)
			return;
		core->obey_index = message->index;
		core->obey_round = message->round;
		/* It left with the last entries, which are on their way or being written. */
		if (core->obey_index && !qbd_transfer_due(core))
			return;
	} else {
		qbd_become_follower(core, message->term, 0);
	}
	qbd_transfer_obey(core);
}

/**
 * qbd_transfer_due() - is there all that a TIMEOUT_NOW has waited for?
 * @core: core
 *
 * Looked at by the tick, not where it comes about: the leader is to be answered first what
 * it sent, so that it commits it, and nobody has to send that once more.
 */
bool qbd_transfer_due(const struct qbd_core *core)
{
	return core->obey_index && core->role == QBD_ROLE_FOLLOWER && core->leader &&
	       core->heard_round <= core->obey_round &&
	       core->obey_index <= qbd_min(core->matched, core->durable);
}

/**
 * qbd_transfer_obey() - take over, if this member can lead
 * @core: core, follower
 */
void qbd_transfer_obey(struct qbd_core *core)
{
	core->obey_index = 0;
	if (qbd_election_fit(core))
		qbd_campaign(core, true);
}
