// SPDX-License-Identifier: GPL-2.0
/*
 * Rounds of heartbeats, and what rests on them: CheckQuorum, the lease and
 * linearizable reads. Thesis 6.2, 6.4.
 */
#include "internal.h"

/* Clocks may run apart by so much of a timeout: 10 %. */
static u64 lease_of(u64 timeout)
{
	return timeout - (timeout >> 4) - (timeout >> 5) - (timeout >> 7);
}

/**
 * qbd_round_open() - the next round of heartbeats
 * @core: core, leader
 *
 * Accident 37: a read's ticket was used again, and a late answer to the first
 * use released the second. Round numbers only grow, in the life of a core.
 */
void qbd_round_open(struct qbd_core *core)
{
	if (!qbd_core_require(core, qbd_core_leads(core)))
		return;
	core->round++;
	core->round_sent[core->round % QBD_ROUNDS_MAX] = core->now;
	core->heartbeat_at = core->now + core->options.heartbeat;
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
		if (core->peers[slot].member)
			qbd_peer_owe(&core->peers[slot], QBD_MESSAGE_HEARTBEAT);
}

/**
 * qbd_round_quorum_at() - since when has no quorum answered any more?
 * @core: core, leader
 *
 * The time of the answers, not of the round: with a round trip of 2T there are
 * answers all the time, of rounds that are old. Only the lease has to count from
 * when a round was sent (accident 38).
 *
 * Return: time, not before the leadership began; QBD_NEVER if it is a quorum
 *	alone.
 */
u64 qbd_round_quorum_at(const struct qbd_core *core)
{
	u64 values[QBD_PEERS_MAX];

	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
		values[slot] = core->peers[slot].acked_at;
	return qbd_max(core->leader_since,
		       qbd_quorum_value(core, values, QBD_NEVER));
}

/**
 * qbd_leader_in_touch() - has a quorum answered lately?
 * @core: core, leader
 * @limit: how long ago at most
 */
bool qbd_leader_in_touch(const struct qbd_core *core, u64 limit)
{
	u64 at = qbd_round_quorum_at(core);

	return at == QBD_NEVER || core->now <= at + limit;
}

/* The highest round that a quorum answered; QBD_NEVER if alone. */
static u64 round_quorum(const struct qbd_core *core)
{
	u64 values[QBD_PEERS_MAX];

	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
		values[slot] = core->peers[slot].acked_round;
	return qbd_quorum_value(core, values, QBD_NEVER);
}

/**
 * qbd_leader_cut_off() - have the others been silent for too long?
 * @core: core, leader
 *
 * For 2T, in which six rounds or more go out. But a leader that was not run for
 * all that time has asked nobody, and what it took for the others' silence was its
 * own; on busy hosts nobody led for long. So four rounds must have been in vain.
 *
 * The first answer takes as long as the votes did, so a leader that was elected at
 * the third attempt is as patient as it was then.
 */
bool qbd_leader_cut_off(const struct qbd_core *core)
{
	u64 limit = (2 * core->options.election_timeout) << core->campaign_shift;
	u64 answered = qbd_max(core->own_round - 1, round_quorum(core));

	return !qbd_leader_in_touch(core, limit) && core->round >= answered + 4;
}

static void reads_check(struct qbd_core *core)
{
	if (!core->read_round || round_quorum(core) < core->read_round)
		return;
	core->read_done = core->read_ticket;
	core->out_released = core->read_ticket;
	core->out_flags |= QBD_OUT_READS_RELEASED;
	core->read_round = 0;
	qbd_reads_kick(core);
}

/**
 * qbd_heartbeat_reply() - a peer answered a round
 * @core: core, leader of the answer's term
 * @peer: who answered
 * @message: HEARTBEAT_REPLY
 */
void qbd_heartbeat_reply(struct qbd_core *core, struct qbd_peer *peer,
			 const struct qbd_core_message *message)
{
	u64 round = message->round;
	u64 sent, promised;

	if (!qbd_core_leads(core) || !peer->member)
		return;
	if (!qbd_core_require(core, round <= core->round))
		return;
	peer->heard_at = core->now;
	/*
	 * Accident 11: TIMEOUT_NOW makes voters ignore the lease, at any later
	 * time if it is slow. Only when its receiver has answered a later round,
	 * after which it ignores it, is it harmless.
	 */
	if (round > peer->barrier_round)
		peer->barrier = false;
	if (message->flags & QBD_MESSAGE_FAILED) {
		/* It follows, but vouches for nothing. */
		peer->flags = message->flags & QBD_MESSAGE_FAILED;
		return;
	}
	if (round > peer->acked_round) {
		peer->acked_round = round;
		peer->acked_at = core->now;
		/*
		 * Accident 38: the lease was counted from when the answer came,
		 * or in ticks, and outlived the followers' patience. It runs
		 * from when the round was SENT, for the shorter of both
		 * timeouts, less the drift. Of one that is so old that this is not
		 * known any more it is only known who leads:
		 *
		 *	Heartbeats went out every 4 ms, and a round trip took 320 ms. No
		 *	answer counted, and no leader lasted.
		 */
		if (core->round - round < QBD_ROUNDS_MAX) {
			sent = core->round_sent[round % QBD_ROUNDS_MAX];
			promised = lease_of(qbd_min(core->options.election_timeout,
						    message->timeout));
			peer->support_until = qbd_max(peer->support_until,
						      sent + promised);
		}
	}
	/* In order it also tells when entries are gone that it had received. */
	if (round == peer->acked_round)
		peer->received = qbd_min(peer->received,
					 qbd_max(message->matched,
						 peer->match));
	if (core->campaign_shift && round_quorum(core) >= core->own_round)
		core->campaign_shift = 0;
	reads_check(core);
	qbd_leader_progress(core, peer, message);
}

/**
 * qbd_reads_kick() - open a round for reads that wait, if one is possible
 * @core: core, leader
 *
 * One round at a time: those who come meanwhile share the next one.
 */
void qbd_reads_kick(struct qbd_core *core)
{
	if (core->read_round || core->read_high <= core->read_done)
		return;
	/*
	 * Accident 36: before an entry of the own term is committed the commit
	 * index may be behind what an earlier leader acknowledged.
	 */
	if (!qbd_core_leads(core) || core->commit < core->own_first)
		return;
	qbd_round_open(core);
	core->read_round = core->round;
	core->read_ticket = core->read_high;
	reads_check(core);
}

/**
 * qbd_reads_fail() - leadership is lost
 * @core: core
 */
void qbd_reads_fail(struct qbd_core *core)
{
	core->read_round = 0;
	if (core->read_high <= core->read_done)
		return;
	core->read_done = core->read_high;
	core->out_failed = core->read_high;
	core->out_flags |= QBD_OUT_READS_FAILED;
}

enum qbd_read_result qbd_core_read(struct qbd_core *core, u64 now, u64 ticket,
				   enum qbd_core_read_mode mode)
{
	qbd_event_begin(core, now);
	if (!qbd_core_leads(core) || !qbd_core_vouches(core) ||
	    qbd_core_self_is_witness(core))
		return QBD_READ_NOT_LEADER;
	if (mode == QBD_CORE_READ_LEASE && qbd_core_lease_valid(core, now))
		return QBD_READ_READY;
	if (core->commit >= core->own_first && qbd_quorum_is_self(core))
		return QBD_READ_READY;
	if (!qbd_core_require(core, ticket > core->read_high))
		return QBD_READ_NOT_LEADER;
	core->read_high = ticket;
	qbd_reads_kick(core);
	qbd_event_done(core);
	return QBD_READ_PENDING;
}

bool qbd_core_lease_valid(const struct qbd_core *core, u64 now)
{
	u64 values[QBD_PEERS_MAX];

	if (!qbd_core_leads(core) || !qbd_core_vouches(core))
		return false;
	if (core->commit < core->own_first)
		return false;
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		const struct qbd_peer *peer = &core->peers[slot];

		/*
		 * Who was removed is elected no more: it lacks the list that did so, and
		 * a majority of each set has that. (It may never answer a later round.)
		 */
		if (peer->barrier && (peer->member || core->levels_count > 1))
			return false;
		values[slot] = core->peers[slot].support_until;
	}
	return now < qbd_quorum_value(core, values, QBD_NEVER);
}
