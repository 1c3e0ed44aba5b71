// SPDX-License-Identifier: GPL-2.0
/*
 * What may leave now. Events only note which message is owed to whom; it is
 * made when it is fetched, with the newest contents, and withheld until what it
 * vouches for is durable.
 */
#include "internal.h"

/* ---- may it leave, or is it void? --------------------------------------- */

enum readiness {
	MESSAGE_READY,
	MESSAGE_WAITS,
	MESSAGE_VOID,
};

static bool vote_is_granted(const struct qbd_core *core,
			    const struct qbd_peer *peer)
{
	return core->vote == peer->id && peer->vote_term == core->term;
}

static enum readiness reply_ready(const struct qbd_core *core,
				  const struct qbd_peer *peer, u32 type)
{
	switch (type) {
	case QBD_MESSAGE_PREVOTE_REPLY:
		return qbd_core_vouches(core) ? MESSAGE_READY : MESSAGE_VOID;
	case QBD_MESSAGE_VOTE_REPLY:
		if (!qbd_core_vouches(core))
			return MESSAGE_VOID;
		if (!vote_is_granted(core, peer))
			return MESSAGE_READY;
		/* It may have lost that right while its vote was written. */
		if (!(core->fitness & QBD_MAY_VOTE))
			return MESSAGE_VOID;
		return qbd_core_vote_durable(core) ? MESSAGE_READY : MESSAGE_WAITS;
	case QBD_MESSAGE_HEARTBEAT_REPLY:
		if (core->leader != peer->id)
			return MESSAGE_VOID;
		if (!qbd_core_vouches(core) || qbd_core_term_durable(core))
			return MESSAGE_READY;
		return MESSAGE_WAITS;
	case QBD_MESSAGE_APPEND_REPLY:
		if (core->leader != peer->id || !qbd_core_vouches(core))
			return MESSAGE_VOID;
		return qbd_core_term_durable(core) ? MESSAGE_READY :
						     MESSAGE_WAITS;
	default:
		return MESSAGE_READY;
	}
}

static enum readiness message_ready(const struct qbd_core *core,
				    const struct qbd_peer *peer, u32 type)
{
	switch (type) {
	case QBD_MESSAGE_TIMEOUT_NOW:
		/* Also sent by a leader that just stepped down. */
		return core->timeout_now_term == core->term ? MESSAGE_READY :
							      MESSAGE_VOID;
	case QBD_MESSAGE_PREVOTE_REQUEST:
		return core->role == QBD_ROLE_PRECANDIDATE ? MESSAGE_READY :
							     MESSAGE_VOID;
	case QBD_MESSAGE_VOTE_REQUEST:
		if (core->role != QBD_ROLE_CANDIDATE)
			return MESSAGE_VOID;
		return qbd_core_vote_durable(core) ? MESSAGE_READY :
						     MESSAGE_WAITS;
	case QBD_MESSAGE_HEARTBEAT:
		return qbd_core_leads(core) ? MESSAGE_READY : MESSAGE_VOID;
	case QBD_MESSAGE_PROBE:
		return qbd_core_leads(core) &&
		       peer->state == QBD_PEER_PROBE ? MESSAGE_READY :
						       MESSAGE_VOID;
	default:
		return reply_ready(core, peer, type);
	}
}

/* ---- contents ----------------------------------------------------------- */

static void fill_request(const struct qbd_core *core,
			 struct qbd_core_message *message)
{
	message->index = core->trail.last;
	message->log_term = qbd_trail_last_term(&core->trail);
	if (message->type == QBD_MESSAGE_PREVOTE_REQUEST)
		message->term = core->term + 1;
	else if (core->forced)
		message->flags |= QBD_MESSAGE_FORCED;
}

static void fill_vote_reply(const struct qbd_core *core,
			    const struct qbd_peer *peer,
			    struct qbd_core_message *message)
{
	if (message->type == QBD_MESSAGE_VOTE_REPLY) {
		if (!vote_is_granted(core, peer))
			return;
		message->flags |= QBD_MESSAGE_GRANTED;
		message->index = core->trail.last;
		message->log_term = qbd_trail_last_term(&core->trail);
	} else if (peer->prevote_granted && peer->prevote_term > core->term) {
		message->flags |= QBD_MESSAGE_GRANTED;
		message->term = peer->prevote_term;
	}
}

static void fill_from_leader(const struct qbd_core *core,
			     const struct qbd_peer *peer,
			     struct qbd_core_message *message)
{
	message->index = core->trail.last;
	if (message->type == QBD_MESSAGE_TIMEOUT_NOW) {
		message->round = peer->barrier_round;
		/* Who stepped down sends nothing any more that could be waited for. */
		if (!qbd_core_leads(core))
			message->index = 0;
		return;
	}
	message->durable = core->durable;
	/* Accident 13: not beyond what this peer is known to have. */
	message->commit = qbd_min(core->commit, peer->match);
	if (message->type == QBD_MESSAGE_HEARTBEAT) {
		message->round = core->round;
		message->timeout = core->options.election_timeout;
		return;
	}
	message->durable = 0;
	message->index = peer->next - 1;
	message->log_term = qbd_trail_term(&core->trail, message->index);
}

static void fill_refusal(const struct qbd_core *core,
			 struct qbd_core_message *message)
{
	const struct qbd_trail *trail = &core->trail;

	if (core->lost_until > trail->last) {
		message->flags |= QBD_MESSAGE_LOST;
		message->hint_index = qbd_min(core->durable, core->matched);
	} else if (core->append_rejected) {
		message->flags |= QBD_MESSAGE_REJECTED;
		message->reject_index = core->reject_index;
		/* Accident 16: skip what cannot be the leader's. */
		message->hint_index = qbd_trail_find(trail,
						     core->reject_index - 1,
						     core->reject_term);
	} else {
		return;
	}
	message->hint_term = qbd_trail_term(trail, message->hint_index);
}

/* An acknowledgment says: durable here, and the same as yours. */
static void fill_progress(struct qbd_core *core,
			  struct qbd_core_message *message)
{
	/*
	 * Accident 34, of reads: neither lease nor round may rest on a disk that
	 * does not know whom it voted for.
	 *
	 *	1 leads and is paused; 2 and 3 elect 2 and commit. 3's disk is made
	 *	anew, 2 goes. 1 goes on, 3 answers it: it read what 2 had overwritten.
	 */
	if (message->type == QBD_MESSAGE_HEARTBEAT_REPLY &&
	    !(core->fitness & QBD_FORGETFUL))
		message->round = core->heard_round;
	if (!qbd_core_vouches(core)) {
		message->flags |= QBD_MESSAGE_FAILED;
		return;
	}
	if (!(core->fitness & QBD_COUNTS))
		message->flags |= QBD_MESSAGE_FILLING;
	if (!(core->fitness & QBD_MAY_VOTE))
		message->flags |= QBD_MESSAGE_NO_VOTE;
	if (qbd_election_fit(core))
		message->flags |= QBD_MESSAGE_FIT;
	message->index = qbd_min(core->durable, core->matched);
	message->matched = core->matched;
	message->durable = core->durable;
	message->commit = core->commit;
	if (message->type == QBD_MESSAGE_HEARTBEAT_REPLY) {
		message->timeout = core->options.election_timeout;
		message->hint_index = core->trail.last;
		message->hint_term = qbd_trail_last_term(&core->trail);
		return;
	}
	fill_refusal(core, message);
	core->append_rejected = false;
}

static void message_fill(struct qbd_core *core, const struct qbd_peer *peer,
			 u32 type, struct qbd_core_message *message)
{
	memset(message, 0, sizeof(*message));
	message->from = core->self;
	message->to = peer->id;
	message->type = type;
	message->term = core->term;
	switch (type) {
	case QBD_MESSAGE_PREVOTE_REQUEST:
	case QBD_MESSAGE_VOTE_REQUEST:
		fill_request(core, message);
		break;
	case QBD_MESSAGE_PREVOTE_REPLY:
	case QBD_MESSAGE_VOTE_REPLY:
		fill_vote_reply(core, peer, message);
		break;
	case QBD_MESSAGE_HEARTBEAT:
	case QBD_MESSAGE_PROBE:
	case QBD_MESSAGE_TIMEOUT_NOW:
		fill_from_leader(core, peer, message);
		break;
	case QBD_MESSAGE_HEARTBEAT_REPLY:
	case QBD_MESSAGE_APPEND_REPLY:
		fill_progress(core, message);
		break;
	default:
		break;		/* QBD_MESSAGE_TERM: the term is all */
	}
}

static bool take_from(struct qbd_core *core, struct qbd_peer *peer, u32 type,
		      struct qbd_core_message *message)
{
	if (!(peer->owed & QBD_BIT(type)))
		return false;
	switch (message_ready(core, peer, type)) {
	case MESSAGE_READY:
		peer->owed &= ~QBD_BIT(type);
		message_fill(core, peer, type, message);
		return true;
	case MESSAGE_VOID:
		peer->owed &= ~QBD_BIT(type);
		return false;
	default:
		return false;
	}
}

bool qbd_core_take_message(struct qbd_core *core,
			   struct qbd_core_message *message)
{
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		struct qbd_peer *peer = &core->peers[slot];

		if (!peer->id || !peer->owed)
			continue;
		/* Before a heartbeat, whose later round would void it. */
		if (take_from(core, peer, QBD_MESSAGE_TIMEOUT_NOW, message))
			return true;
		for (u32 type = 1; type < QBD_MESSAGE_TYPE_END; type++)
			if (take_from(core, peer, type, message))
				return true;
	}
	return false;
}
