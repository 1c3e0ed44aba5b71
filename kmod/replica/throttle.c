// SPDX-License-Identifier: GPL-2.0
/*
 * Who catches up, who waits for whom, and the limit that people set. How fast that leaves
 * it to be is decided in rate.c.
 *
 *   a follower       is                            its records are sent
 *   in step          sent each record at once      as fast as it takes them
 *   behind           not sent yet some that are    those by the rate, others at once
 *                    committed
 *   being filled     sent extents                  at once: they are new; extents by the rate
 *
 * What is not committed is never kept back, whoever it goes to: requests may wait for it.
 * A record that is committed has been acknowledged by a majority, and nobody waits until one
 * more has it. But requests may wait for what comes after it: if there is no majority without
 * those that catch up, nobody of them is kept back by anything (needed() below).
 *
 * Nearly everybody is sent some records later than others. Who comes back is in step when
 * QBD_IN_STEP_BYTES are left; who is in step stays so until a whole window is.
 *
 * --max-rate belongs to the device, and not to a member. Each message says it and how often
 * it was set; who hears of a newer one takes it over. So it holds whoever leads, can be set
 * and lifted at any member, and needs neither a place on the disk nor in the log: when no
 * member is up nobody is sent anything, and who comes up first has what it was brought up
 * with. Of two that were set as often the lower one counts.
 *
 *	Each leader had its own. 1M was set where leadership was, which then moved: 37 MiB
 *	went out within half a second. And who set it elsewhere saw it, and nothing kept to it.
 */
#include "internal.h"

/* So little is no catching up. */
#define QBD_IN_STEP_BYTES	(256u << 10)

/* It is sent extents, or is about to ask for them. */
static bool is_filled(const struct qbd_replica *replica, const struct qbd_replica_peer *peer)
{
	struct qbd_peer_status status;

	return peer->narrowed ||
	       (peer->reset_sent &&
		qbd_core_get_peer(replica->core, replica->now, peer->id, &status) &&
		status.flags & QBD_MESSAGE_FILLING);
}

static void spread(struct qbd_replica *replica, struct qbd_replica_peer *peer, u64 bytes)
{
	if (bytes == peer->spread)
		return;
	peer->spread = bytes;
	qbd_net_pace(replica->network, peer->id, bytes == U64_MAX ? 0 : bytes);
}

/* @next is the first entry that it was not sent. */
static void look_at(struct qbd_replica *replica, struct qbd_replica_peer *peer, u64 next,
		    u64 commit)
{
	u64 left = qbd_store_log_bytes(replica->store, next, commit);

	if (left <= QBD_IN_STEP_BYTES || is_filled(replica, peer))
		peer->behind = false;
	else if (left > replica->settings.window_bytes)
		peer->behind = true;
	if (!peer->behind)
		spread(replica, peer, U64_MAX);
}

/* Bitmap of core slots. Of who was not asked yet what it has nothing is known. */
static u32 those_behind(struct qbd_replica *replica, u64 commit)
{
	u32 slots = 0, slot;

	for (slot = 0; slot < QBD_PEERS_MAX; slot++) {
		u32 id = qbd_core_slot_peer(replica->core, slot);
		struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);
		struct qbd_peer_status status;

		if (!peer || !peer->up || !peer->behind)
			continue;
		if (qbd_core_get_peer(replica->core, replica->now, id, &status) &&
		    status.state == QBD_PEER_REPLICATE)
			look_at(replica, peer, status.next, commit);
		if (peer->behind)
			slots |= 1u << slot;
	}
	return slots;
}

/* Has a write waited for so long that something must be wrong with the others? */
static bool hangs(const struct qbd_replica *replica)
{
	return !list_empty(&replica->proposed) && replica->now > QBD_RATE_STUCK_NS +
	       list_first_entry(&replica->proposed, struct qbd_io, list)->arrived;
}

/* Do requests, if there are any, wait for somebody who catches up? */
static bool needed(struct qbd_replica *replica, const struct qbd_core_status *status)
{
	const struct qbd_replica_peer *successor = qbd_replica_peer(replica, status->transfer_to);

	/* A witness leads until somebody has what it has. */
	return !qbd_replica_serving(replica) || (successor && successor->behind) ||
	       hangs(replica) ||
	       !qbd_core_majority_without(replica->core, replica->now,
					  those_behind(replica, status->commit));
}

/**
 * qbd_catch_up_next() - when may a member that catches up be sent the next?
 * @replica: replica, leader
 *
 * Return: a time; not after now: at once.
 */
u64 qbd_catch_up_next(struct qbd_replica *replica)
{
	struct qbd_core_status status;
	bool waiting;

	qbd_core_get_status(replica->core, replica->now, &status);
	/* Claims, new members and sizes are waited for, too. */
	waiting = qbd_io_under_way(replica) || status.commit < status.last;
	return qbd_rate_next(&replica->rate, replica->now, waiting, needed(replica, &status));
}

/*
 * Its host uses the device: what that has asked for is answered over the connection that would be
 * slowed down.
 *
 *	3 came back 80 MiB behind, and wrote blocks of 4 KiB at once. Their answers stood behind
 *	records of 1 MiB each: two writes were done in a second, and 150 on another host.
 */
static bool waits_for_answers(const struct qbd_replica *replica,
			      const struct qbd_replica_peer *peer)
{
	return peer->uses && peer->use_term == replica->told_term;
}

/**
 * qbd_catch_up_waits() - is it too early to send a record?
 * @replica: replica, leader
 * @peer: the follower, which was sent all before it
 * @index: of the record
 * @commit: index
 *
 * One that was read from the disk, or is being, was not too early then.
 *
 * Return: true if so. There is a pass when it is not any more.
 */
bool qbd_catch_up_waits(struct qbd_replica *replica, struct qbd_replica_peer *peer, u64 index,
			u64 commit)
{
	struct qbd_log_reach reach;
	u64 when;

	look_at(replica, peer, index, commit);
	if (!peer->behind || index > commit)
		return false;
	qbd_catch_up_begin(replica, peer);
	if (peer->loaded || peer->loading)
		return false;
	qbd_store_log_reach(replica->store, index - 1, &reach);
	peer->log.written = qbd_pace_speed(&replica->written, replica->now);
	peer->log.behind = reach.behind;
	peer->log.kept = reach.kept;
	peer->log.left = reach.left;
	when = qbd_rate_by_log(&replica->rate, replica->now, qbd_catch_up_next(replica),
			       &peer->log);
	if (when <= replica->now) {
		spread(replica, peer, waits_for_answers(replica, peer) ? U64_MAX :
		       qbd_rate_spread(&replica->rate, &peer->log));
		return false;
	}
	qbd_replica_later(replica, when);
	return true;
}

/* It was sent one, after it was asked whether that is too early. */
void qbd_catch_up_sent(struct qbd_replica *replica, struct qbd_replica_peer *peer, u64 index,
		       u64 commit, u64 bytes)
{
	if (!peer->behind || index > commit)
		return;
	qbd_rate_sent(&replica->rate, replica->now, bytes);
	qbd_rate_log_sent(&peer->log, replica->now, bytes);
	qbd_pace_add(&peer->catch_up.pace, replica->now, bytes);
	peer->catch_up.sent += bytes;
}

/* Is somebody kept back by the rate, or would be? */
bool qbd_catch_up_under_way(struct qbd_replica *replica)
{
	struct qbd_core_status status;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(replica->peers); i++)
		if (replica->peers[i].id && replica->peers[i].up &&
		    is_filled(replica, &replica->peers[i]))
			return true;
	qbd_core_get_status(replica->core, replica->now, &status);
	return those_behind(replica, status.commit);
}

/* Another one leads, or this one anew: what its followers have is to be found out. */
void qbd_catch_up_forget(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	peer->behind = true;
	qbd_catch_up_end(peer);
	if (peer->up)
		spread(replica, peer, U64_MAX);
}

/* The log keeps more as long as that may help somebody, and people hear of it. */
void qbd_catch_up_check(struct qbd_replica *replica)
{
	struct qbd_core_status status;
	bool behind = false, begun = false;
	unsigned int i;

	if (replica->told_role == QBD_ROLE_LEADER)
		for (i = 0; i < ARRAY_SIZE(replica->peers); i++) {
			behind |= replica->peers[i].up && replica->peers[i].behind;
			begun |= replica->peers[i].catch_up.begun;
		}
	if (behind || begun) {
		qbd_core_get_status(replica->core, replica->now, &status);
		behind = those_behind(replica, status.commit);
	}
	for (i = 0; begun && i < ARRAY_SIZE(replica->peers); i++)
		if (replica->peers[i].catch_up.begun)
			qbd_catch_up_proceed(replica, &replica->peers[i], status.commit);
	qbd_store_keep_log(replica->store, behind);
}

/* ---- --max-rate ----------------------------------------------------------- */

void qbd_max_rate_heard(struct qbd_replica *replica, const struct qbd_core_message *message)
{
	u64 own = replica->settings.max_rate, rate = message->max_rate;

	if ((rate && rate < QBD_RATE_MAX_MIN) ||
	    message->max_rate_version < replica->max_rate_version)
		return;
	if (message->max_rate_version == replica->max_rate_version &&
	    (!rate || (own && own <= rate)))
		return;
	replica->max_rate_version = message->max_rate_version;
	if (rate == own)
		return;
	replica->settings.max_rate = rate;
	qbd_rate_set_max(&replica->rate, rate);
	qbd_replica_event(replica, QBD_EVENT_SETTINGS, 0, "changed");
}

/**
 * qbd_max_rate_set() - somebody sets it here
 * @replica: replica
 * @before: what it was when he did
 * @rate: what it is to be; 0: no limit
 */
void qbd_max_rate_set(struct qbd_replica *replica, u64 before, u64 rate)
{
	if (rate == before)
		return;		/* he sets something else */
	replica->settings.max_rate = rate;
	replica->max_rate_version++;
	qbd_rate_set_max(&replica->rate, rate);
}
