// SPDX-License-Identifier: GPL-2.0
/*
 * Peers: pairs of connections, what is delivered from them, when they are dialled.
 *
 * All of it but the dialling work, adoption and refusals runs in replica context,
 * so that peer_up, peer_down and deliveries of one peer have one order.
 *
 *   what is found                        what is done
 *   accepted, other session or a         the old pair is taken down, the new
 *     second of its kind                   connection begins another one
 *   likewise, of another run, and the    refused: the member is up twice, or perhaps
 *     old pair is alive
 *   accepted, its session's first one    it joins the pair
 *   one of the pair closed               the pair is taken down; dialled again
 *                                          after a pause if it is ours to dial
 *   likewise, because data did not       neither dialled nor let in for a while
 *     get through, though small things did
 *   both open, not up                    peer_up()
 *   it is up                             frames are delivered
 *
 * A late connection of an attempt that the dialler gave up may take the place of
 * a good pair. Its other end is closed already, so it goes the same way at once,
 * and the dialler, who sees its good pair closed, dials again.
 */
#include <linux/jiffies.h>
#include <linux/random.h>

#include "internal.h"

/* A refusal of the same peer for the same reason is told again only after this. */
#define REFUSAL_REPEAT_MS	10000
/* A pair that stood so long was a good one: the next pause is the shortest. */
#define GOOD_PAIR_MS		1000
/* Who should have dialled us and did not for so long is dialled. */
#define KNOCK_MS		5000

/* Under the net's lock, or in replica context, where slots change. */
struct qbd_net_peer *qbd_net_peer_find(struct qbd_net *net, u32 id)
{
	unsigned int i;

	if (!id)
		return NULL;
	for (i = 0; i < QBD_NET_PEERS; i++)
		if (net->peers[i].id == id)
			return &net->peers[i];
	return NULL;
}

struct qbd_net_peer *qbd_peer_find_up(struct qbd_net *net, u32 id)
{
	struct qbd_net_peer *peer = qbd_net_peer_find(net, id);

	return peer && peer->up && !peer->removed ? peer : NULL;
}

/* Why it is not up, for status. */
void qbd_peer_set_error(struct qbd_net_peer *peer, const char *text)
{
	spin_lock(&peer->net->lock);
	strscpy(peer->last_error, text, sizeof(peer->last_error));
	spin_unlock(&peer->net->lock);
}

/*
 * Is it a member that has to dial us? The one with the higher id dials. One with a lower
 * id knocks when we did not come for long: perhaps we know only where it was before.
 */
bool qbd_peer_may_dial(struct qbd_net *net, u32 id)
{
	struct qbd_net_peer *peer;
	bool is;

	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, id);
	is = peer && !peer->removed && (id > net->identity.member_id || !peer->up);
	spin_unlock(&net->lock);
	return is;
}

/*
 * Does it say that a list which is newer than all that are committed here names it?
 *
 * Thesis 4.1: who is behind must give its vote to members that it has not heard of.
 *
 *	2 is away while 7 joins, and 1 is lost when 7 has one entry more than 6 has. 2 comes
 *	back. Nobody but 7 may lead, by 6's word and by 2's, who knew no 7 and hung up on it.
 */
bool qbd_peer_is_newcomer(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	bool is;

	spin_lock(&net->lock);
	is = !qbd_net_peer_find(net, connection->peer) &&
	     qbd_frame_newcomer_check(&connection->peer_hello, net->identity.member_id,
				      net->committed_index);
	spin_unlock(&net->lock);
	return is;
}

/* Is the member connected that it says it is? */
bool qbd_peer_is_up(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	struct qbd_net_peer *peer;
	bool is;

	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, connection->peer);
	is = peer && !peer->removed && peer->up;
	spin_unlock(&net->lock);
	return is;
}

/* Is it none any more, by the newest list that is known here to be committed? */
bool qbd_peer_was_removed(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	bool was;

	spin_lock(&net->lock);
	was = qbd_membership_removed(&net->committed_list, connection->peer);
	spin_unlock(&net->lock);
	return was;
}

/* It has proved who it is: the next time that it dials there is a slot for it. */
void qbd_peer_note_newcomer(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	struct qbd_newcomer *newcomer;
	unsigned int i;

	spin_lock(&net->lock);
	for (i = 0; i < net->newcomer_count; i++)
		if (net->newcomers[i].id == connection->peer)
			break;
	if (i == net->newcomer_count && i < QBD_NEWCOMERS_MAX) {
		newcomer = &net->newcomers[net->newcomer_count++];
		newcomer->id = connection->peer;
		newcomer->listed = le64_to_cpu(connection->peer_hello.listed);
		memcpy(newcomer->incarnation, connection->peer_hello.incarnation,
		       QBD_UUID_SIZE);
	}
	spin_unlock(&net->lock);
	qbd_connection_close(connection, "this member has just heard of it");
	net->ops->kick(net->context);
}

/* Is the disk at the other end the one that the list in force has for the member? */
bool qbd_peer_is_disk(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	struct qbd_net_peer *peer;
	bool is;

	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, connection->peer);
	is = peer && qbd_frame_disk_check(&connection->peer_hello, peer->incarnation,
					  net->list_index);
	spin_unlock(&net->lock);
	return is;
}

/* What we know of the member that @hello goes to. */
void qbd_peer_known(struct qbd_net *net, u32 id, struct qbd_frame_hello *hello)
{
	struct qbd_net_peer *peer;

	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, id);
	if (peer) {
		hello->known_run = cpu_to_le64(peer->known_run);
		hello->known_term = cpu_to_le64(peer->known_term);
		hello->known_index = cpu_to_le64(peer->known_index);
	}
	spin_unlock(&net->lock);
}

/* Of a pair that is up, unless it is over; else NULL. */
static struct qbd_connection *open_control(struct qbd_net_peer *peer)
{
	struct qbd_connection *control =
		peer->connections[qbd_kind_index(QBD_CONNECTION_CONTROL)];

	lockdep_assert_held(&peer->net->lock);
	return peer->up && control && qbd_connection_state(control) == QBD_OPEN ? control : NULL;
}

/* Is it, or was it just now, not read from for want of room? */
static bool not_read(const struct qbd_connection *connection)
{
	unsigned long waited_at = READ_ONCE(connection->waited_at);

	return READ_ONCE(connection->receiver_waits) ||
	       (waited_at && time_before(jiffies, waited_at + msecs_to_jiffies(QBD_ALIVE_MS)));
}

/* How much longer it is not connected, in jiffies. */
static unsigned long stalled_for(struct qbd_net_peer *peer)
{
	unsigned long now = jiffies;

	lockdep_assert_held(&peer->net->lock);
	if (peer->stalled && time_after_eq(now, peer->stalled_until))
		peer->stalled = false;
	return peer->stalled ? peer->stalled_until - now : 0;
}

/* Has the peer said something just now, on the control connection? */
bool qbd_peer_is_heard(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	struct qbd_connection *control;
	struct qbd_net_peer *peer;
	bool is;

	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, connection->peer);
	control = peer ? open_control(peer) : NULL;
	is = control && time_before(jiffies, READ_ONCE(control->last_received) +
					     msecs_to_jiffies(QBD_WATCH_BULK_MS));
	spin_unlock(&net->lock);
	return is;
}

/**
 * qbd_peer_stall() - data does not get through, although this and that does
 * @connection: bulk, to the peer, which is heard all the time; about to be closed
 *
 *	Frames of more than 1500 bytes are lost between 1, which leads, and all others.
 *	These send it their writes, notice after a while, connect anew, for which small frames
 *	will do, and hear that it leads. So nobody else is elected, and nothing gets done.
 *
 * It is as if it were not there, for so long that others miss it and elect one of themselves;
 * or that a leader whose way to one of them it is hands over to one that reaches more. That is
 * as patient as others are (reach.c), so it has to be longer.
 */
void qbd_peer_stall(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	unsigned int hold = QBD_STALL_MORE_MS +
			    max(READ_ONCE(net->silence_ms), QBD_STALL_MS + 0u);
	struct qbd_net_peer *peer;

	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, connection->peer);
	if (peer && peer->up) {
		peer->stalled = true;
		peer->stalled_until = jiffies + msecs_to_jiffies(hold);
	}
	spin_unlock(&net->lock);
}

bool qbd_peer_is_stalled(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	struct qbd_net_peer *peer;
	bool is;

	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, connection->peer);
	is = peer && stalled_for(peer);
	spin_unlock(&net->lock);
	return is;
}

/**
 * qbd_peer_is_twice() - is a member that connects connected already, and alive?
 * @connection: accepted, its proof is right
 */
enum qbd_twice qbd_peer_is_twice(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	enum qbd_twice twice = QBD_TWICE_NOT;
	struct qbd_connection *other;
	struct qbd_net_peer *peer;

	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, connection->peer);
	other = peer ? open_control(peer) : NULL;
	/*
	 * Of one that is not read from, or was not just now, it is not known whether it says
	 * anything, nor when what it says was sent: so what was tried before says nothing.
	 */
	if (other && not_read(other))
		peer->twice.run = 0;
	if (other)
		twice = qbd_twice_check(&peer->twice, le64_to_cpu(connection->peer_hello.run),
					le64_to_cpu(other->peer_hello.run),
					READ_ONCE(other->last_received));
	spin_unlock(&net->lock);
	return twice;
}

static bool dials(struct qbd_net_peer *peer)
{
	return peer->id < peer->net->identity.member_id;
}

/* ---- called from the connections' works --------------------------------- */

/*
 * An accepted connection has proved who it is. Return: false if its member is
 * none any more.
 */
bool qbd_peer_adopt(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	unsigned int index = qbd_kind_index(connection->kind);
	struct qbd_connection *old = NULL;
	struct qbd_net_peer *peer;
	bool adopted;

	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, connection->peer);
	adopted = peer && !peer->removed && !net->stopping;
	if (adopted) {
		old = peer->fresh[index];
		refcount_inc(&connection->references);
		peer->fresh[index] = connection;
		qbd_connection_no_stranger(connection);
	}
	spin_unlock(&net->lock);
	if (old) {
		qbd_connection_close(old, "replaced by a newer connection");
		qbd_connection_put(old);
	}
	if (adopted)
		net->ops->kick(net->context);
	return adopted;
}

/*
 * Who a stranger claims to be is not known to be true, so it may cost a line in
 * the log now and then, and nothing else.
 */
static bool refusal_is_news(struct qbd_net *net, u32 id, u32 reason, bool by_us,
			    u32 *known)
{
	struct qbd_net_peer *peer;
	bool news = true;

	/* Any member may be asked to come again: that is for itself to know. */
	if (reason == QBD_REFUSED_PERHAPS && by_us)
		return false;
	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, id);
	*known = peer ? id : 0;
	if (peer && reason != QBD_REFUSED_PERHAPS) {
		news = peer->refusal != reason || peer->refusal_by_us != by_us ||
		       time_after(jiffies, peer->refusal_at +
					   msecs_to_jiffies(REFUSAL_REPEAT_MS));
		if (news) {
			peer->refusal = reason;
			peer->refusal_by_us = by_us;
			peer->refusal_at = jiffies;
			if (!peer->up)
				snprintf(peer->last_error, sizeof(peer->last_error),
					 "refused: %s", qbd_refusal_text(reason));
		}
	}
	/* What a member has proved: no flood of strangers keeps that back. */
	if (!by_us && reason == QBD_REFUSED_REMOVED)
		net->was_removed = true;
	if (peer && !by_us && qbd_refusal_is_proved(reason)) {
		if (news)
			peer->told |= 1u << reason;
	} else if (news) {
		news = __ratelimit(&net->log_limit);
		if (news && net->refusal_count < QBD_REFUSALS)
			net->refusals[net->refusal_count++] = (struct qbd_net_refusal){
				.peer = *known, .by_us = by_us, .reason = reason,
			};
	}
	spin_unlock(&net->lock);
	return news;
}

static void knock_soon(struct qbd_connection *connection, bool soon)
{
	struct qbd_net *net = connection->net;
	struct qbd_net_peer *peer;

	spin_lock(&net->lock);
	peer = qbd_net_peer_find(net, connection->peer);
	if (peer)
		WRITE_ONCE(peer->perhaps_twice, soon);
	spin_unlock(&net->lock);
}

/* A handshake failed: tell the log and the replica, once in a while. */
void qbd_peer_refused(struct qbd_connection *connection, u32 reason, bool by_us)
{
	struct qbd_net *net = connection->net;
	u32 known;

	if (connection->dialled && connection->kind != QBD_CONNECTION_ADMIN)
		knock_soon(connection, !by_us && reason == QBD_REFUSED_PERHAPS);
	if (!refusal_is_news(net, connection->peer, reason, by_us, &known))
		return;
	if (reason == QBD_REFUSED_PERHAPS)
		pr_debug("%s: member %u asks us to come again\n", net->name, connection->peer);
	else if (connection->kind == QBD_CONNECTION_ADMIN)
		pr_warn("%s: a program at %pISpc is refused: %s\n", net->name,
			&connection->address, qbd_refusal_text(reason));
	else if (by_us)
		pr_warn("%s: member %u at %pISpc is refused: %s\n", net->name,
			connection->peer, &connection->address,
			qbd_refusal_text(reason));
	else
		pr_warn("%s: member %u at %pISpc refuses us: %s\n", net->name,
			connection->peer, &connection->address,
			qbd_refusal_text(reason));
	net->ops->kick(net->context);
}

/* ---- dialling ----------------------------------------------------------- */

static void close_and_put(struct qbd_connection *connection, const char *reason)
{
	if (!connection)
		return;
	qbd_connection_close(connection, "%s", reason);
	qbd_connection_put(connection);
}

/* Take the pair into the slot unless something has changed meanwhile. */
static bool dialled(struct qbd_net_peer *peer, struct qbd_connection *pair[2],
		    u64 session, u32 epoch)
{
	struct qbd_net *net = peer->net;
	bool taken;

	spin_lock(&net->lock);
	taken = !net->stopping && peer->epoch == epoch &&
		!peer->connections[0] && !peer->connections[1];
	if (taken) {
		peer->connections[0] = pair[0];
		peer->connections[1] = pair[1];
		peer->session = session;
	}
	spin_unlock(&net->lock);
	return taken;
}

void qbd_peer_dial(struct work_struct *work)
{
	struct qbd_net_peer *peer = container_of(to_delayed_work(work),
						 struct qbd_net_peer, dial_work);
	struct qbd_net *net = peer->net;
	struct qbd_connection *pair[2];
	struct qbd_address address;
	unsigned long stalled;
	u64 session;
	u32 id, epoch;
	bool wanted;

	spin_lock(&net->lock);
	wanted = !net->stopping && !net->was_removed && peer->id && !peer->removed &&
		 !peer->newcomer &&
		 !peer->connections[0] && !peer->connections[1];
	id = peer->id;
	epoch = peer->epoch;
	address = peer->address;
	stalled = stalled_for(peer);
	/* Who dials comes then: a knock at that time would meet it, and both end. */
	if (wanted && stalled)
		queue_delayed_work(net->setup_queue, &peer->dial_work, dials(peer) ? stalled :
				   stalled + msecs_to_jiffies(KNOCK_MS));
	spin_unlock(&net->lock);
	if (!wanted || stalled)
		return;
	session = get_random_u64() ?: 1;
	WRITE_ONCE(peer->dialled_at, jiffies);
	pair[0] = qbd_connection_dial(peer, id, &address, QBD_CONNECTION_CONTROL, session);
	pair[1] = qbd_connection_dial(peer, id, &address, QBD_CONNECTION_BULK, session);
	if (pair[0] && pair[1] && dialled(peer, pair, session, epoch)) {
		/* One may have failed before the slot knew it. */
		net->ops->kick(net->context);
		return;
	}
	close_and_put(pair[0], "not wanted any more");
	close_and_put(pair[1], "not wanted any more");
	/* Without memory; or the slot is another's now, which this does not hurt. */
	if (!READ_ONCE(net->stopping))
		queue_delayed_work(net->setup_queue, &peer->dial_work,
				   msecs_to_jiffies(QBD_BACKOFF_MAX_MS));
}

/*
 * It is for the other one to dial. If it does not it is down, or knows only where we were;
 * or we are no member any more, and nobody has told us.
 */
void qbd_peer_knock_later(struct qbd_net_peer *peer)
{
	unsigned long pause = KNOCK_MS + get_random_u32() % (KNOCK_MS / 4);

	/* Whether there are two is to be known before long. */
	if (READ_ONCE(peer->perhaps_twice))
		pause = QBD_BACKOFF_MAX_MS;
	WRITE_ONCE(peer->perhaps_twice, false);
	mod_delayed_work(peer->net->setup_queue, &peer->dial_work, msecs_to_jiffies(pause));
}

/*
 * The pause grows while pairs do not last; half of it is left to chance. An
 * attempt that nobody answered was pause enough.
 */
static void dial_again(struct qbd_net_peer *peer)
{
	unsigned long pause = peer->backoff_ms;

	if (!dials(peer)) {
		qbd_peer_knock_later(peer);
		return;
	}

	pause = msecs_to_jiffies(pause / 2 + get_random_u32() % (pause / 2 + 1));
	if (time_after(jiffies, READ_ONCE(peer->dialled_at) + pause))
		pause = msecs_to_jiffies(QBD_BACKOFF_MIN_MS);
	peer->backoff_ms = min(peer->backoff_ms * 2, QBD_BACKOFF_MAX_MS + 0u);
	mod_delayed_work(peer->net->setup_queue, &peer->dial_work, pause);
}

/* ---- pairs -------------------------------------------------------------- */

static void add_counts(struct qbd_net_peer *peer, struct qbd_connection *connection)
{
	peer->sent_bytes += READ_ONCE(connection->sent_bytes);
	peer->received_bytes += READ_ONCE(connection->received_bytes);
	peer->sent_frames += READ_ONCE(connection->sent_frames);
	peer->received_frames += READ_ONCE(connection->received_frames);
}

static void log_down(struct qbd_net_peer *peer, bool was_up, const char *reason)
{
	struct qbd_net *net = peer->net;

	/* That it still is not there is no news. */
	if (!was_up && !strcmp(peer->last_error, reason))
		return;
	if (!__ratelimit(&net->peer_limit))
		return;
	if (was_up)
		pr_info("%s: member %u is gone: %s\n", net->name, peer->id, reason);
	else
		pr_info("%s: member %u cannot be reached: %s\n", net->name, peer->id,
			reason);
}

/**
 * qbd_peer_disconnect() - take a pair, or what there is of it, down
 * @peer: slot
 * @reason: why; not memory of one of its connections
 *
 * Everything queued is given back, in both directions, before peer_down(): the
 * replica may then do with its pages what it likes. Replica context.
 */
void qbd_peer_disconnect(struct qbd_net_peer *peer, const char *reason)
{
	struct qbd_net *net = peer->net;
	struct qbd_connection *pair[2];
	bool was_up = peer->up;
	u32 id = peer->id;
	int i;

	spin_lock(&net->lock);
	for (i = 0; i < 2; i++) {
		pair[i] = peer->connections[i];
		peer->connections[i] = NULL;
	}
	peer->up = false;
	peer->elsewhere = false;
	peer->session = 0;
	spin_unlock(&net->lock);
	for (i = 0; i < 2; i++) {
		if (!pair[i])
			continue;
		qbd_connection_close(pair[i], "%s", reason);
		qbd_send_purge(pair[i], false);
		add_counts(peer, pair[i]);
		qbd_connection_put(pair[i]);
	}
	log_down(peer, was_up, reason);
	qbd_peer_set_error(peer, reason);
	if (was_up && time_after(jiffies, peer->up_since +
					  msecs_to_jiffies(GOOD_PAIR_MS)))
		peer->backoff_ms = QBD_BACKOFF_MIN_MS;
	if (!peer->removed)
		dial_again(peer);
	if (was_up)
		net->ops->peer_down(net->context, id, reason);
}

static void join(struct qbd_net_peer *peer, struct qbd_connection *fresh)
{
	struct qbd_net *net = peer->net;
	unsigned int index = qbd_kind_index(fresh->kind);
	bool any = peer->connections[0] || peer->connections[1];

	if (any && (peer->session != fresh->session || peer->connections[index]))
		qbd_peer_disconnect(peer, "it connected anew");
	spin_lock(&net->lock);
	peer->connections[index] = fresh;
	peer->session = fresh->session;
	spin_unlock(&net->lock);
}

static void join_fresh(struct qbd_net_peer *peer)
{
	struct qbd_net *net = peer->net;
	struct qbd_connection *fresh[2];
	int i;

	spin_lock(&net->lock);
	for (i = 0; i < 2; i++) {
		fresh[i] = peer->fresh[i];
		peer->fresh[i] = NULL;
	}
	spin_unlock(&net->lock);
	for (i = 0; i < 2; i++) {
		if (!fresh[i])
			continue;
		if (peer->removed)
			close_and_put(fresh[i], "no longer a member");
		else
			join(peer, fresh[i]);
	}
}

/* Why the pair is over, or NULL if it is not. */
static const char *find_closed(struct qbd_net_peer *peer, char *reason)
{
	struct qbd_connection *connection;
	bool closed = false;
	int i;

	for (i = 0; i < 2 && !closed; i++) {
		connection = peer->connections[i];
		if (!connection)
			continue;
		spin_lock(&connection->lock);
		closed = connection->state == QBD_CLOSED;
		if (closed)
			strscpy(reason, connection->reason, QBD_REASON_SIZE);
		spin_unlock(&connection->lock);
	}
	return closed ? reason : NULL;
}

static bool both_open(struct qbd_net_peer *peer)
{
	int i;

	for (i = 0; i < 2; i++)
		if (!peer->connections[i] ||
		    qbd_connection_state(peer->connections[i]) != QBD_OPEN)
			return false;
	return true;
}

static void bring_up(struct qbd_net_peer *peer)
{
	struct qbd_net *net = peer->net;
	int i;

	for (i = 0; i < 2; i++) {
		WRITE_ONCE(peer->connections[i]->last_received, jiffies);
		spin_lock(&peer->connections[i]->lock);
		peer->connections[i]->active = true;
		spin_unlock(&peer->connections[i]->lock);
		qbd_connection_watch(peer->connections[i]);
	}
	spin_lock(&net->lock);
	peer->up = true;
	peer->refusal = 0;
	spin_unlock(&net->lock);
	peer->up_since = jiffies;
	peer->connects++;
	qbd_peer_set_error(peer, "");
	if (__ratelimit(&net->peer_limit))
		pr_info("%s: member %u is connected at %pISpc\n", net->name, peer->id,
			&peer->connections[0]->address);
	net->ops->peer_up(net->context, peer->id);
}

/* ---- delivery ----------------------------------------------------------- */

static bool take_incoming(struct qbd_connection *connection,
			  struct qbd_incoming *incoming)
{
	bool taken;

	spin_lock(&connection->lock);
	taken = connection->state == QBD_OPEN &&
		connection->ring_head != connection->ring_marked;
	if (taken) {
		*incoming = connection->ring[connection->ring_head++ %
					     connection->ring_frames];
		if (connection->receiver_waits && incoming->type != QBD_FRAME_RESET)
			queue_work(connection->net->queue, &connection->receive_work);
	}
	spin_unlock(&connection->lock);
	return taken;
}

static void deliver_reset(struct qbd_connection *connection, u32 id)
{
	struct qbd_net *net = connection->net;

	net->ops->reset(net->context, id, &connection->bulk->reset);
	spin_lock(&connection->lock);
	connection->reset_waits = false;
	if (connection->state != QBD_CLOSED)
		queue_work(net->queue, &connection->receive_work);
	spin_unlock(&connection->lock);
}

static void deliver_one(struct qbd_connection *connection, u32 id,
			struct qbd_incoming *incoming)
{
	const struct qbd_net_ops *ops = connection->net->ops;
	void *context = connection->net->context;

	switch (incoming->type) {
	case QBD_FRAME_MESSAGE:
		ops->message(context, id, &incoming->fixed.message);
		break;
	case QBD_FRAME_APPEND:
		ops->append(context, id, &incoming->fixed.append, incoming->record);
		break;
	case QBD_FRAME_REQUEST:
		ops->request(context, id, &incoming->fixed.request, incoming->data);
		break;
	case QBD_FRAME_REPLY:
		ops->reply(context, id, &incoming->fixed.reply, incoming->data);
		break;
	case QBD_FRAME_RESET:
		deliver_reset(connection, id);
		break;
	case QBD_FRAME_FILL:
		ops->fill(context, id, &incoming->fixed.fill);
		break;
	case QBD_FRAME_EXTENT:
		ops->extent(context, id, &incoming->fixed.extent, incoming->data);
		break;
	case QBD_FRAME_FILL_END:
		ops->fill_end(context, id, &incoming->fixed.fill_end);
		break;
	case QBD_FRAME_VERIFY:
		ops->verify(context, id, &incoming->fixed.verify);
		break;
	case QBD_FRAME_VERIFIED:
		ops->verified(context, id, &incoming->fixed.verified, incoming->data);
		break;
	case QBD_FRAME_REPAIR:
		ops->repair(context, id, &incoming->fixed.repair, incoming->data);
		break;
	case QBD_FRAME_REPAIRED:
		ops->repaired(context, id, &incoming->fixed.repaired);
		break;
	default:
		WARN_ON_ONCE(1);
		qbd_incoming_drop(incoming);
	}
}

/* Frames came after the mark; of a connection that is new here, all of them. */
static bool more_arrived(struct qbd_connection *connection)
{
	bool more;

	spin_lock(&connection->lock);
	more = connection->state == QBD_OPEN &&
	       connection->ring_head != connection->ring_tail;
	spin_unlock(&connection->lock);
	return more;
}

/*
 * What the replica is told may lead it to disconnect this peer or to give its
 * slot away, so the slot is looked at anew each time.
 */
static void deliver_from(struct qbd_net_peer *peer, unsigned int index)
{
	struct qbd_connection *connection = peer->connections[index];
	struct qbd_incoming incoming;
	u32 id = peer->id;

	if (!peer->up || !connection)
		return;
	refcount_inc(&connection->references);
	while (peer->id == id && peer->up && !peer->removed &&
	       peer->connections[index] == connection) {
		if (!take_incoming(connection, &incoming)) {
			if (more_arrived(connection))
				peer->net->ops->kick(peer->net->context);
			break;
		}
		deliver_one(connection, id, &incoming);
	}
	qbd_connection_put(connection);
}

/* Bring one slot up to date; see the table above. Replica context. */
void qbd_peer_step(struct qbd_net_peer *peer)
{
	struct qbd_net *net = peer->net;
	char buffer[QBD_REASON_SIZE];
	const char *reason;

	join_fresh(peer);
	reason = peer->removed ? "no longer a member" : find_closed(peer, buffer);
	if (reason && (peer->up || peer->connections[0] || peer->connections[1]))
		qbd_peer_disconnect(peer, reason);
	if (peer->removed) {
		spin_lock(&net->lock);
		/* What it has said just now is told first, in its name. */
		if (!peer->told) {
			peer->id = 0;
			peer->removed = false;
		}
		spin_unlock(&net->lock);
		return;
	}
	if (!peer->up && both_open(peer)) {
		/* The list may have changed since the handshake. */
		if (qbd_peer_is_disk(peer->connections[0]))
			bring_up(peer);
		else
			qbd_peer_disconnect(peer, qbd_refusal_text(QBD_REFUSED_DISK));
	}
	deliver_from(peer, qbd_kind_index(QBD_CONNECTION_CONTROL));
	deliver_from(peer, qbd_kind_index(QBD_CONNECTION_BULK));
}
