// SPDX-License-Identifier: GPL-2.0
/*
 * One TCP connection: its socket, its states and its end.
 *
 * States, and what leads out of them besides CLOSED, which anything may lead to:
 *
 *   state            who       entered when            left when, to
 *   CONNECTING       dialler   dialled                 TCP stands: AWAIT_CHALLENGE
 *   AWAIT_CHALLENGE  dialler   HELLO queued            proof right: AWAIT_WELCOME
 *   AWAIT_WELCOME    dialler   PROOF queued            WELCOME came: OPEN
 *   AWAIT_HELLO      listener  accepted                HELLO good: AWAIT_PROOF
 *   AWAIT_PROOF      listener  CHALLENGE queued        proof right: OPEN
 *   OPEN             both      handshake over          -
 *   REFUSING         both      REFUSED queued          -
 *   CLOSED           both      error, end, replaced    -
 *
 * In all but REFUSING "something does not match" leads to REFUSING, which ends
 * when the other side hangs up or the time of the handshake is over. The state
 * only ever goes down this list and is changed under the connection's lock.
 *
 * Locks, outermost first:
 *
 *   connection.send_mutex   the frame being sent and how far it is; sleeps
 *   sk_lock                 the socket's own, in sendmsg, recvmsg
 *   sk_callback_lock        sk_user_data and the callbacks; softirq
 *   net.lock                connections, peers, strangers, refusals
 *   connection.lock         state, send queue, ring
 *   pool lock, queue locks  leaves
 *
 * sk_lock and sk_callback_lock are never held together with the two below them:
 * callbacks only queue works. The spinlocks are taken in process context only,
 * so none of them disables anything.
 *
 * References: one is the connection's own life, dropped at the end of the closing
 * work; one is that of the peer slot which points to it.
 */
#include <linux/inet.h>
#include <linux/net.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/tcp.h>
#include <net/ipv6.h>
#include <net/tcp.h>

#include "internal.h"

/* ---- memory ------------------------------------------------------------- */

void qbd_incoming_drop(struct qbd_incoming *incoming)
{
	if (incoming->record)
		qbd_record_put(incoming->record);
	if (incoming->data)
		qbd_buffer_free(incoming->data);
	incoming->record = NULL;
	incoming->data = NULL;
}

void qbd_connection_put(struct qbd_connection *connection)
{
	if (!refcount_dec_and_test(&connection->references))
		return;
	WARN_ON_ONCE(connection->socket);
	kvfree(connection->small);
	kvfree(connection->ring);
	kvfree(connection->bulk);
	kfree(connection);
}

/*
 * The other side has proved who it is: now it is given memory. Only the room
 * for frames under way; data goes into pool pages.
 */
bool qbd_connection_room(struct qbd_connection *connection)
{
	/* The pairs that are up share this work's rescuer: rather none than a long wait. */
	const gfp_t gfp = GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN;
	unsigned int noio = memalloc_noio_save();
	unsigned int i;

	connection->ring_frames = connection->kind == QBD_CONNECTION_ADMIN ?
				  QBD_ADMIN_RING_FRAMES : QBD_RING_FRAMES;
	connection->ring = kvcalloc(connection->ring_frames, sizeof(*connection->ring), gfp);
	if (connection->kind != QBD_CONNECTION_CONTROL)
		connection->bulk = kvzalloc(sizeof(*connection->bulk), gfp);
	else
		connection->small = kvcalloc(QBD_SMALL_FRAMES,
					     sizeof(*connection->small), gfp);
	memalloc_noio_restore(noio);
	if (!connection->ring || (!connection->bulk && !connection->small))
		return false;
	if (connection->small) {
		spin_lock(&connection->lock);
		for (i = 0; i < QBD_SMALL_FRAMES; i++) {
			connection->small[i].small = true;
			list_add_tail(&connection->small[i].list,
				      &connection->small_free);
		}
		spin_unlock(&connection->lock);
	}
	return true;
}

/* ---- socket callbacks --------------------------------------------------- */

static struct qbd_connection *socket_connection(struct sock *sk)
{
	return __locked_read_sk_user_data_with_flags(sk, 0);
}

static void connection_data_ready(struct sock *sk)
{
	struct qbd_connection *connection;

	read_lock_bh(&sk->sk_callback_lock);
	connection = socket_connection(sk);
	if (connection)
		queue_work(connection->net->queue, &connection->receive_work);
	read_unlock_bh(&sk->sk_callback_lock);
}

static void connection_write_space(struct sock *sk)
{
	struct qbd_connection *connection;

	read_lock_bh(&sk->sk_callback_lock);
	connection = socket_connection(sk);
	if (connection && sk_stream_is_writeable(sk)) {
		clear_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		queue_work(connection->net->queue, &connection->send_work);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

/* Established, reset, ended: the receiving work finds out which. */
static void connection_state_change(struct sock *sk)
{
	struct qbd_connection *connection;

	read_lock_bh(&sk->sk_callback_lock);
	connection = socket_connection(sk);
	if (connection) {
		queue_work(connection->net->queue, &connection->receive_work);
		connection->state_change(sk);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void connection_error_report(struct sock *sk)
{
	struct qbd_connection *connection;

	read_lock_bh(&sk->sk_callback_lock);
	connection = socket_connection(sk);
	if (connection) {
		queue_work(connection->net->queue, &connection->receive_work);
		connection->error_report(sk);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void hook_socket(struct qbd_connection *connection)
{
	struct sock *sk = connection->socket->sk;

	write_lock_bh(&sk->sk_callback_lock);
	connection->data_ready = sk->sk_data_ready;
	connection->write_space = sk->sk_write_space;
	connection->state_change = sk->sk_state_change;
	connection->error_report = sk->sk_error_report;
	sk->sk_data_ready = connection_data_ready;
	sk->sk_write_space = connection_write_space;
	sk->sk_state_change = connection_state_change;
	sk->sk_error_report = connection_error_report;
	__rcu_assign_sk_user_data_with_flags(sk, connection, SK_USER_DATA_NOCOPY);
	write_unlock_bh(&sk->sk_callback_lock);
}

static void unhook_socket(struct qbd_connection *connection)
{
	struct sock *sk = connection->socket->sk;

	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_data_ready = connection->data_ready;
	sk->sk_write_space = connection->write_space;
	sk->sk_state_change = connection->state_change;
	sk->sk_error_report = connection->error_report;
	rcu_assign_sk_user_data(sk, NULL);
	write_unlock_bh(&sk->sk_callback_lock);
}

/* ---- sockets ------------------------------------------------------------ */

#ifdef CONFIG_DEBUG_LOCK_ALLOC
static struct lock_class_key socket_keys[2];
static struct lock_class_key socket_slock_keys[2];

/*
 * Ours are locked while memory is reclaimed, unlike those of user space, which
 * are locked around allocations that may reclaim. (Accepted sockets are in use
 * from birth and keep the class of the kernel's own sockets.)
 */
static void reclassify_socket(struct socket *socket)
{
	struct sock *sk = socket->sk;

	if (WARN_ON_ONCE(!sock_allow_reclassification(sk)))
		return;
	if (sk->sk_family == AF_INET)
		sock_lock_init_class_and_name(sk, "slock-AF_INET-QBD",
					      &socket_slock_keys[0],
					      "sk_lock-AF_INET-QBD", &socket_keys[0]);
	else
		sock_lock_init_class_and_name(sk, "slock-AF_INET6-QBD",
					      &socket_slock_keys[1],
					      "sk_lock-AF_INET6-QBD", &socket_keys[1]);
}
#else
static void reclassify_socket(struct socket *socket)
{
}
#endif

int qbd_socket_create(struct qbd_net *net, int family, struct socket **socket)
{
	unsigned int noio = memalloc_noio_save();
	int error;

	error = sock_create_kern(net->namespace, family, SOCK_STREAM, IPPROTO_TCP,
				 socket);
	memalloc_noio_restore(noio);
	if (error)
		return error;
	reclassify_socket(*socket);
	/* Accepted sockets inherit this from the listener. */
	(*socket)->sk->sk_allocation = GFP_NOIO;
	(*socket)->sk->sk_use_task_frag = false;
	return 0;
}

static void setup_socket(struct socket *socket)
{
	struct sock *sk = socket->sk;

	/* As in qbd_connection_room(). A handshake that gets none ends by its deadline. */
	sk->sk_allocation = GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN;
	sk->sk_use_task_frag = false;
	tcp_sock_set_nodelay(sk);
	/*
	 * Closing sends a reset and forgets what is unsent: nothing of this
	 * connection may arrive later, and no timer of the socket may outlive
	 * the namespace, which kernel sockets do not hold.
	 */
	sock_no_linger(sk);
	tcp_sock_set_syncnt(sk, 1);
	tcp_sock_set_user_timeout(sk, QBD_HANDSHAKE_MS);
	tcp_sock_set_keepidle(sk, 10);
	tcp_sock_set_keepintvl(sk, 5);
	tcp_sock_set_keepcnt(sk, 3);
	sock_set_keepalive(sk);
}

/* The kernel's reserves of memory are for members that proved to be some. */
bool qbd_connection_reserves(struct qbd_connection *connection)
{
	return connection->kind != QBD_CONNECTION_ADMIN &&
	       qbd_connection_state(connection) == QBD_OPEN;
}

/* What waits for the handshake to tell who it is for. A program's stays as it is. */
static void setup_open_socket(struct qbd_connection *connection)
{
	struct sock *sk = connection->socket->sk;
	bool bulk = connection->kind == QBD_CONNECTION_BULK;

	/*
	 * It has no reserves, and its works share a rescuer with those of members: it does not
	 * wait for memory that may come free by what members write. TCP tries again.
	 */
	if (connection->kind == QBD_CONNECTION_ADMIN)
		return;
	sock_set_priority(sk, bulk ? TC_PRIO_BULK : TC_PRIO_INTERACTIVE);
	/*
	 * TCP's user timeout also cuts off a peer that does not read for a
	 * while, as one whose pool is empty. The watching work knows the
	 * difference.
	 */
	tcp_sock_set_user_timeout(sk, 0);
	/*
	 * The reserves are for members, not for whoever may connect. Not by
	 * sk_set_memalloc(), which waits for CPU hotplug, which may wait for
	 * memory: the network's own idle socket has done the slow part.
	 */
	lock_sock(sk);
	sock_set_flag(sk, SOCK_MEMALLOC);
	sk->sk_allocation |= __GFP_MEMALLOC;
	release_sock(sk);
}

/* ---- states ------------------------------------------------------------- */

enum qbd_connection_state qbd_connection_state(struct qbd_connection *connection)
{
	enum qbd_connection_state state;

	spin_lock(&connection->lock);
	state = connection->state;
	spin_unlock(&connection->lock);
	return state;
}

bool qbd_connection_advance(struct qbd_connection *connection,
			    enum qbd_connection_state from,
			    enum qbd_connection_state to)
{
	bool done;

	spin_lock(&connection->lock);
	done = connection->state == from;
	if (done)
		connection->state = to;
	spin_unlock(&connection->lock);
	return done;
}

bool qbd_connection_open(struct qbd_connection *connection)
{
	setup_open_socket(connection);
	connection->last_received = jiffies;
	connection->last_sent = jiffies;
	spin_lock(&connection->lock);
	if (connection->state != QBD_CLOSED)
		connection->state = QBD_OPEN;
	/* A program has no pair to wait for. */
	connection->active = connection->kind == QBD_CONNECTION_ADMIN;
	spin_unlock(&connection->lock);
	qbd_connection_watch(connection);
	return qbd_connection_state(connection) == QBD_OPEN;
}

/*
 * All works but those which the callbacks queue are queued here: once the state
 * is CLOSED none is any more, so that the closing work can wait for the last.
 */
void qbd_connection_queue(struct qbd_connection *connection, struct work_struct *work)
{
	spin_lock(&connection->lock);
	if (connection->state != QBD_CLOSED)
		queue_work(connection->net->queue, work);
	spin_unlock(&connection->lock);
}

static void close_with(struct qbd_connection *connection, const char *reason)
{
	struct qbd_net *net = connection->net;
	bool first;

	spin_lock(&connection->lock);
	first = connection->state != QBD_CLOSED;
	if (first) {
		/* Why it was refused says more than that it then ended. */
		if (connection->state != QBD_REFUSING)
			strscpy(connection->reason, reason, sizeof(connection->reason));
		connection->state = QBD_CLOSED;
		queue_work(net->setup_queue, &connection->close_work);
	}
	spin_unlock(&connection->lock);
	if (first)
		net->ops->kick(net->context);
}

void qbd_connection_close(struct qbd_connection *connection, const char *format, ...)
{
	char reason[QBD_REASON_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vscnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	close_with(connection, reason);
}

static const char *error_name(int error)
{
	switch (error) {
	case -ECONNREFUSED:
		return "connection refused: nobody listens there";
	case -ETIMEDOUT:
		return "no answer";
	case -EHOSTUNREACH:
	case -EHOSTDOWN:
		return "host unreachable";
	case -ENETUNREACH:
	case -ENETDOWN:
		return "network unreachable";
	case -EADDRNOTAVAIL:
		return "own address is not there";
	case -ECONNRESET:
	case -EPIPE:
		return "connection reset by the other side";
	case -ECONNABORTED:
		return "connection aborted";
	case -ENOMEM:
	case -ENOBUFS:
		return "out of memory";
	case -EACCES:
	case -EPERM:
		return "forbidden by a firewall";
	default:
		return NULL;
	}
}

void qbd_connection_close_error(struct qbd_connection *connection, int error)
{
	const char *name = error_name(error);

	if (name)
		qbd_connection_close(connection, "%s", name);
	else
		qbd_connection_close(connection, "network error %d", error);
}

/* The one line that says who sends rubbish. */
void qbd_connection_malformed(struct qbd_connection *connection, const char *what)
{
	struct qbd_net *net = connection->net;
	bool open = qbd_connection_state(connection) == QBD_OPEN;

	if (__ratelimit(&net->log_limit)) {
		if (connection->kind == QBD_CONNECTION_ADMIN)
			pr_warn("%s: a program at %pISpc sent a malformed frame (%s): connection closed\n",
				net->name, &connection->address, what);
		else if (open)
			pr_warn("%s: member %u at %pISpc sent a malformed frame (%s): %s connection closed\n",
				net->name, connection->peer, &connection->address,
				what, qbd_kind_name(connection->kind));
		else
			pr_warn("%s: %pISpc does not speak as a member does (%s): connection closed\n",
				net->name, &connection->address, what);
	}
	qbd_connection_close(connection, "malformed: %s", what);
}

/* ---- watching ----------------------------------------------------------- */

/* When a connection whose pair is not up yet is given up. */
static unsigned long connection_deadline(struct qbd_connection *connection,
					 enum qbd_connection_state state)
{
	return connection->created + msecs_to_jiffies(state == QBD_CONNECTING ?
						      QBD_CONNECT_MS : QBD_HANDSHAKE_MS);
}

/*
 * How long this side may bear silence is its own affair, and follows its election
 * timeout. The other side's limit may be shorter, and nobody tells: so a long limit
 * here must not mean few pings.
 */
static unsigned long ping_interval(struct qbd_connection *connection)
{
	unsigned int limit = READ_ONCE(connection->net->silence_ms);

	return max(msecs_to_jiffies(min(limit / 4, QBD_PING_MS + 0u)), 1ul);
}

/* At most @interval from now, and all at the same time: an idle host wakes once. */
static unsigned long together(unsigned long interval)
{
	return interval - jiffies % interval;
}

static unsigned long watch_interval(struct qbd_connection *connection)
{
	enum qbd_connection_state state;
	unsigned long deadline;
	bool active;

	spin_lock(&connection->lock);
	state = connection->state;
	active = connection->active;
	spin_unlock(&connection->lock);
	if (!active) {
		deadline = connection_deadline(connection, state);
		return time_before(jiffies, deadline) ? deadline - jiffies : 1;
	}
	if (connection->kind != QBD_CONNECTION_CONTROL && READ_ONCE(connection->waits_briefly))
		return msecs_to_jiffies(QBD_PAGES_WAIT_MS);
	return together(connection->kind != QBD_CONNECTION_CONTROL ?
			msecs_to_jiffies(QBD_WATCH_BULK_MS) : ping_interval(connection));
}

/* Look at it after the interval that its state asks for. */
void qbd_connection_watch(struct qbd_connection *connection)
{
	unsigned long interval = watch_interval(connection);

	spin_lock(&connection->lock);
	if (connection->state != QBD_CLOSED)
		mod_delayed_work(connection->net->queue, &connection->watch_work,
				 interval);
	spin_unlock(&connection->lock);
}

/*
 * Followers have nothing to say to each other, so each side says something when
 * nothing was said for a while, and silence means that the other host hangs or
 * that the path is gone.
 */
static void watch_silence(struct qbd_connection *connection)
{
	unsigned long limit = msecs_to_jiffies(READ_ONCE(connection->net->silence_ms));
	struct sock *sk = connection->socket->sk;
	unsigned long now = jiffies, last;
	bool receiver_waits;

	spin_lock(&connection->lock);
	receiver_waits = connection->receiver_waits;
	spin_unlock(&connection->lock);
	/* What we do not read is not the other side's silence. */
	if (receiver_waits) {
		WRITE_ONCE(connection->waited_at, now ?: 1);
		WRITE_ONCE(connection->last_received, now);
	}
	last = READ_ONCE(connection->last_received);
	if (time_after(now, last + limit)) {
		/* This host had no time for it: what is there speaks. */
		if (!skb_queue_empty_lockless(&sk->sk_receive_queue)) {
			qbd_connection_queue(connection, &connection->receive_work);
			return;
		}
		qbd_connection_close(connection, "silent for %u ms",
				     jiffies_to_msecs(now - last));
		return;
	}
	/* What was said a little after the last time it was looked at is not said twice as late. */
	if (time_after_eq(now, READ_ONCE(connection->last_sent) +
			       ping_interval(connection) / 2))
		qbd_send_small(connection, QBD_FRAME_PING, NULL, 0);
}

/*
 * Data under way that is not acknowledged at all: the path of this connection is
 * broken though the other one lives. A peer that merely does not read has
 * acknowledged everything that it had room for.
 */
static void watch_stall(struct qbd_connection *connection)
{
	struct tcp_sock *tcp = tcp_sk(connection->socket->sk);
	u32 first = READ_ONCE(tcp->snd_una);

	if (!READ_ONCE(tcp->packets_out) || first != connection->unacknowledged) {
		connection->unacknowledged = first;
		connection->unacknowledged_since = jiffies;
		connection->unheard = false;
		return;
	}
	connection->unheard |= !qbd_peer_is_heard(connection);
	if (time_before_eq(jiffies, connection->unacknowledged_since +
				    msecs_to_jiffies(QBD_STALL_MS)))
		return;
	/* Who was not heard, either, was merely cut off: TCP may not have tried again since. */
	if (!connection->unheard)
		qbd_peer_stall(connection);
	qbd_connection_close(connection, "data not acknowledged for %u ms", QBD_STALL_MS);
}

/* A program that says nothing, or takes no answer, makes room for others. */
static void watch_admin(struct qbd_connection *connection)
{
	if (time_after(jiffies, READ_ONCE(connection->last_received) +
				msecs_to_jiffies(QBD_ADMIN_IDLE_MS)))
		qbd_connection_close(connection, "nothing came for %u ms",
				     QBD_ADMIN_IDLE_MS);
}

static const char *overdue(enum qbd_connection_state state)
{
	switch (state) {
	case QBD_CONNECTING:
		return "no answer";
	case QBD_OPEN:
		return "the other connection of the pair did not come";
	default:
		return "handshake timed out";
	}
}

static void watch_work(struct work_struct *work)
{
	struct qbd_connection *connection =
		container_of(to_delayed_work(work), struct qbd_connection, watch_work);
	enum qbd_connection_state state;
	bool active;

	spin_lock(&connection->lock);
	state = connection->state;
	active = connection->active;
	spin_unlock(&connection->lock);
	if (state == QBD_CLOSED)
		return;
	if (!active) {
		if (time_after_eq(jiffies, connection_deadline(connection, state)))
			qbd_connection_close(connection, "%s", overdue(state));
	} else if (connection->kind == QBD_CONNECTION_CONTROL) {
		watch_silence(connection);
	} else {
		if (qbd_receive_pages_due(connection))
			qbd_connection_queue(connection, &connection->receive_work);
		if (connection->kind == QBD_CONNECTION_ADMIN)
			watch_admin(connection);
		else
			watch_stall(connection);
	}
	qbd_connection_watch(connection);
}

/* ---- beginning ---------------------------------------------------------- */

static void close_work(struct work_struct *work);

static struct qbd_connection *connection_create(struct qbd_net *net)
{
	struct qbd_connection *connection;
	unsigned int noio = memalloc_noio_save();
	unsigned int i;

	connection = kzalloc(sizeof(*connection), GFP_KERNEL);
	memalloc_noio_restore(noio);
	if (!connection)
		return NULL;
	refcount_set(&connection->references, 1);
	connection->net = net;
	INIT_LIST_HEAD(&connection->list);
	INIT_WORK(&connection->receive_work, qbd_receive_work);
	INIT_WORK(&connection->send_work, qbd_send_work);
	INIT_DELAYED_WORK(&connection->watch_work, watch_work);
	INIT_WORK(&connection->close_work, close_work);
	spin_lock_init(&connection->lock);
	mutex_init(&connection->send_mutex);
	INIT_LIST_HEAD(&connection->send_queue);
	INIT_LIST_HEAD(&connection->small_free);
	for (i = 0; i < QBD_HANDSHAKE_FRAMES; i++) {
		connection->handshake_frames[i].small = true;
		list_add_tail(&connection->handshake_frames[i].list,
			      &connection->small_free);
	}
	connection->created = jiffies;
	connection->unacknowledged_since = jiffies;
	return connection;
}

/* Make it known, so that destroying the network finds it. */
static bool connection_register(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	bool done;

	spin_lock(&net->lock);
	done = !net->stopping;
	if (done) {
		list_add_tail(&connection->list, &net->connections);
		net->connection_count++;
		if (!connection->dialled) {
			connection->stranger = true;
			net->strangers++;
		}
	}
	spin_unlock(&net->lock);
	if (done)
		pr_debug("%s: connection %p created\n", net->name, connection);
	return done;
}

/*
 * Dial from our own address if it is a certain one: the other side, and its
 * firewall, may want to see where members come from.
 */
static int bind_own_address(struct qbd_connection *connection, int family)
{
	struct qbd_address own = connection->at;
	struct sockaddr_storage address;
	int length;

	if (!memchr_inv(own.bytes, 0, sizeof(own.bytes)))
		return 0;
	own.port = 0;
	length = qbd_address_to_socket(&own, &address);
	if (length < 0 || address.ss_family != family)
		return 0;
	return kernel_bind(connection->socket, (struct sockaddr *)&address, length);
}

static int start_connect(struct qbd_connection *connection,
			 const struct qbd_address *address)
{
	unsigned int noio;
	int length, error;

	length = qbd_address_to_socket(address, &connection->address);
	if (length < 0)
		return length;
	error = qbd_socket_create(connection->net, connection->address.ss_family,
				  &connection->socket);
	if (error) {
		connection->socket = NULL;
		return error;
	}
	setup_socket(connection->socket);
	hook_socket(connection);
	noio = memalloc_noio_save();
	error = bind_own_address(connection, connection->address.ss_family);
	if (!error)
		error = kernel_connect(connection->socket,
				       (struct sockaddr *)&connection->address,
				       length, O_NONBLOCK);
	memalloc_noio_restore(noio);
	return error == -EINPROGRESS ? 0 : error;
}

/**
 * qbd_connection_dial() - begin a connection to a peer
 * @peer: whose slot
 * @id: its member id
 * @address: where it listens
 * @kind: what the connection is for
 * @session: of this attempt
 *
 * Return: the connection, perhaps closed already, with a reference for the
 * caller; NULL without memory or when the network is being destroyed.
 */
struct qbd_connection *qbd_connection_dial(struct qbd_net_peer *peer, u32 id,
					   const struct qbd_address *address,
					   enum qbd_connection_kind kind, u64 session)
{
	struct qbd_connection *connection = connection_create(peer->net);
	int error;

	if (!connection)
		return NULL;
	connection->dialled = true;
	connection->peer = id;
	connection->kind = kind;
	connection->session = session;
	connection->state = QBD_CONNECTING;
	spin_lock(&peer->net->lock);
	connection->at = peer->net->identity.listen;
	spin_unlock(&peer->net->lock);
	if (!connection_register(connection)) {
		qbd_connection_put(connection);
		return NULL;
	}
	refcount_inc(&connection->references);
	mutex_lock(&connection->send_mutex);
	error = start_connect(connection, address);
	mutex_unlock(&connection->send_mutex);
	if (error)
		qbd_connection_close_error(connection, error);
	/* It may stand already, and the change of state be past. */
	qbd_connection_queue(connection, &connection->receive_work);
	qbd_connection_watch(connection);
	return connection;
}

/* Whether its IP address, the port apart, is where a member listens. */
static bool is_member_address(struct qbd_net *net, struct sockaddr_storage *address)
{
	struct sockaddr_storage member;
	bool found = false;
	unsigned int i;

	spin_lock(&net->lock);
	for (i = 0; i < QBD_NET_PEERS && !found; i++) {
		if (!net->peers[i].id ||
		    qbd_address_to_socket(&net->peers[i].address, &member) < 0)
			continue;
		found = qbd_same_host(address, &member);
	}
	spin_unlock(&net->lock);
	return found;
}

/* A connection proved who it is, or is on its way out: it counts no longer. */
void qbd_connection_no_stranger(struct qbd_connection *connection)
{
	lockdep_assert_held(&connection->net->lock);
	if (connection->stranger)
		connection->net->strangers--;
	connection->stranger = false;
}

/* The oldest stranger makes room, members' addresses last. */
static struct qbd_connection *take_oldest_stranger(struct qbd_net *net)
{
	struct qbd_connection *connection, *oldest = NULL;

	lockdep_assert_held(&net->lock);
	list_for_each_entry(connection, &net->connections, list) {
		if (!connection->stranger)
			continue;
		if (!oldest || (oldest->from_member && !connection->from_member))
			oldest = connection;
	}
	if (oldest) {
		refcount_inc(&oldest->references);
		qbd_connection_no_stranger(oldest);
	}
	return oldest;
}

/**
 * qbd_connection_accepted() - take an accepted socket
 * @net: network
 * @socket: taken in any case
 * @at: where it came in
 *
 * Return: false if it was closed at once.
 */
bool qbd_connection_accepted(struct qbd_net *net, struct socket *socket,
			     const struct qbd_address *at)
{
	struct qbd_connection *connection, *oldest = NULL;

	connection = connection_create(net);
	if (!connection)
		goto release;
	connection->state = QBD_AWAIT_HELLO;
	connection->at = *at;
	if (kernel_getpeername(socket, (struct sockaddr *)&connection->address) < 0)
		goto put;
	connection->from_member = is_member_address(net, &connection->address);
	/*
	 * Once registered it may be closed, as a stranger that is one too many at another
	 * listener: the closing work waits for the mutex, as it does when one is dialled.
	 */
	refcount_inc(&connection->references);
	mutex_lock(&connection->send_mutex);
	if (!connection_register(connection)) {
		mutex_unlock(&connection->send_mutex);
		qbd_connection_put(connection);
		goto put;
	}
	connection->socket = socket;
	setup_socket(socket);
	hook_socket(connection);
	mutex_unlock(&connection->send_mutex);
	spin_lock(&net->lock);
	if (net->strangers > QBD_STRANGERS_MAX)
		oldest = take_oldest_stranger(net);
	spin_unlock(&net->lock);
	if (oldest) {
		qbd_connection_close(oldest, "too many connections of strangers");
		qbd_connection_put(oldest);
	}
	/* What came before the callbacks were ours. */
	qbd_connection_queue(connection, &connection->receive_work);
	qbd_connection_watch(connection);
	qbd_connection_put(connection);
	return true;
put:
	qbd_connection_put(connection);
release:
	sock_release(socket);
	return false;
}

/* ---- end ---------------------------------------------------------------- */

static void drop_received(struct qbd_connection *connection)
{
	qbd_incoming_drop(&connection->incoming);
	while (connection->ring_head != connection->ring_tail)
		qbd_incoming_drop(&connection->ring[connection->ring_head++ %
						    connection->ring_frames]);
}

static void unregister(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;

	spin_lock(&net->lock);
	list_del_init(&connection->list);
	qbd_connection_no_stranger(connection);
	qbd_admin_forget(connection);
	if (!--net->connection_count)
		wake_up(&net->empty);
	spin_unlock(&net->lock);
}

/*
 * The end of a connection. Nothing here waits for the other side.
 *
 * Delivery (replica context) may look at the ring until its peer slot has let go
 * of the connection, therefore the ring is emptied under the lock that delivery
 * takes, and delivery finds the state CLOSED and nothing in it.
 */
static void close_work(struct work_struct *work)
{
	struct qbd_connection *connection =
		container_of(work, struct qbd_connection, close_work);

	/* 1. The socket calls nobody any more; works are still about. Dialling,
	 *    or accepting, is over when the mutex is free.
	 */
	mutex_lock(&connection->send_mutex);
	if (connection->socket)
		unhook_socket(connection);
	mutex_unlock(&connection->send_mutex);
	/* 2. No work runs, and the state lets none be queued. */
	cancel_delayed_work_sync(&connection->watch_work);
	cancel_work_sync(&connection->receive_work);
	cancel_work_sync(&connection->send_work);
	/* 3. A reset goes out; the other side learns of it if it can. */
	mutex_lock(&connection->send_mutex);
	if (connection->socket)
		sock_release(connection->socket);
	connection->socket = NULL;
	mutex_unlock(&connection->send_mutex);
	/* 4. What was to be sent or delivered is given back. */
	qbd_receive_stop_waiting(connection);
	qbd_send_purge(connection, true);
	spin_lock(&connection->lock);
	drop_received(connection);
	spin_unlock(&connection->lock);
	pr_debug("%s: connection %p destroyed\n", connection->net->name, connection);
	/*
	 * 5. Whoever waits for the last connection may free the network now: it
	 * is not touched again. A peer slot may hold the memory a little longer.
	 */
	unregister(connection);
	qbd_connection_put(connection);
}
