// SPDX-License-Identifier: GPL-2.0
/* The network of one member: life and death, members, polling, status. */
#include <linux/mm.h>
#include <linux/slab.h>

#include "internal.h"

/* ---- life --------------------------------------------------------------- */

static void init_fields(struct qbd_net *net)
{
	unsigned int i;

	spin_lock_init(&net->lock);
	INIT_LIST_HEAD(&net->connections);
	init_waitqueue_head(&net->empty);
	/* Ten lines in five seconds for each device; all members may come at once. */
	ratelimit_state_init(&net->log_limit, 5 * HZ, 10);
	ratelimit_set_flags(&net->log_limit, RATELIMIT_MSG_ON_RELEASE);
	ratelimit_state_init(&net->peer_limit, 5 * HZ, 2 * QBD_MEMBERS_MAX);
	ratelimit_set_flags(&net->peer_limit, RATELIMIT_MSG_ON_RELEASE);
	net->silence_ms = QBD_SILENCE_DEFAULT_MS;
	for (i = 0; i < QBD_NET_PEERS; i++) {
		net->peers[i].net = net;
		INIT_DELAYED_WORK(&net->peers[i].dial_work, qbd_peer_dial);
	}
}

/* Pages came back: whoever waits for some looks again. */
static void pages_work(struct work_struct *work)
{
	struct qbd_net *net = container_of(work, struct qbd_net, pages_work);
	struct qbd_connection *connection;

	spin_lock(&net->lock);
	list_for_each_entry(connection, &net->connections, list)
		if (qbd_receive_pages_due(connection))
			qbd_connection_queue(connection, &connection->receive_work);
	spin_unlock(&net->lock);
}

/*
 * One socket that talks to nobody carries the right of all open connections to
 * the kernel's memory reserves: see setup_open_socket().
 */
static int open_reserve(struct qbd_net *net)
{
	int error = qbd_socket_create(net, AF_INET, &net->reserve);

	if (error) {
		net->reserve = NULL;
		return error;
	}
	sk_set_memalloc(net->reserve->sk);
	return 0;
}

static void close_reserve(struct qbd_net *net)
{
	if (!net->reserve)
		return;
	sk_clear_memalloc(net->reserve->sk);
	sock_release(net->reserve);
	net->reserve = NULL;
}

static void release(struct qbd_net *net)
{
	if (net->setup_queue)
		destroy_workqueue(net->setup_queue);
	if (net->queue)
		destroy_workqueue(net->queue);
	close_reserve(net);
	qbd_handshake_destroy(net);
	qbd_send_destroy(net);
	memzero_explicit(net->identity.secret, sizeof(net->identity.secret));
	kvfree(net);
}

static int no_memory(char *text, size_t size)
{
	snprintf(text, size, "no memory for the network of the device");
	return -ENOMEM;
}

static int prepare(struct qbd_net *net, char *text, size_t size)
{
	int error;

	net->queue = alloc_workqueue("qbd-net-%.16s", WQ_MEM_RECLAIM | WQ_UNBOUND |
				     WQ_HIGHPRI, 0, net->name);
	net->setup_queue = alloc_workqueue("qbd-connect-%.16s", WQ_MEM_RECLAIM | WQ_UNBOUND,
					   0, net->name);
	if (!net->queue || !net->setup_queue || qbd_send_create(net))
		return no_memory(text, size);
	error = qbd_handshake_create(net);
	if (error == -ENOMEM)
		return no_memory(text, size);
	if (error) {
		snprintf(text, size, "this kernel has no hmac(sha256) (error %d): it is needed to know members by their secret; load the module sha256_generic",
			 error);
		return error;
	}
	error = open_reserve(net);
	if (error == -ENOMEM || error == -ENOBUFS)
		return no_memory(text, size);
	if (error) {
		snprintf(text, size, "cannot create a socket: error %d", error);
		return error;
	}
	return qbd_listener_start(net, text, size);
}

struct qbd_net *qbd_net_create(struct net *namespace,
			       const struct qbd_net_identity *identity,
			       struct qbd_pool *pool, const struct qbd_net_ops *ops,
			       void *context, char *error_text, size_t error_text_size)
{
	struct qbd_net *net = kvzalloc(sizeof(*net), GFP_KERNEL);
	int error;

	if (!net)
		return ERR_PTR(no_memory(error_text, error_text_size));
	net->namespace = namespace;
	net->identity = *identity;
	strscpy(net->name, identity->name, sizeof(net->name));
	net->identity.name = net->name;
	net->pool = pool;
	net->ops = ops;
	net->context = context;
	init_fields(net);
	INIT_WORK(&net->pages_work, pages_work);
	error = prepare(net, error_text, error_text_size);
	if (error) {
		release(net);
		return ERR_PTR(error);
	}
	pr_debug("%s: network %p created\n", net->name, net);
	return net;
}

static void close_all(struct qbd_net *net)
{
	struct qbd_connection *connection;

	spin_lock(&net->lock);
	list_for_each_entry(connection, &net->connections, list)
		qbd_connection_close(connection, "the device is being taken down");
	spin_unlock(&net->lock);
}

static void forget_connection(struct qbd_net *net, struct qbd_connection **place)
{
	struct qbd_connection *connection;

	/* Works that are not over yet look there, under the lock. */
	spin_lock(&net->lock);
	connection = *place;
	*place = NULL;
	spin_unlock(&net->lock);
	if (connection)
		qbd_connection_put(connection);
}

static void forget_peers(struct qbd_net *net)
{
	unsigned int i, k;

	for (i = 0; i < QBD_NET_PEERS; i++)
		for (k = 0; k < 2; k++) {
			forget_connection(net, &net->peers[i].connections[k]);
			forget_connection(net, &net->peers[i].fresh[k]);
		}
}

static bool is_empty(struct qbd_net *net)
{
	bool empty;

	spin_lock(&net->lock);
	empty = !net->connection_count;
	spin_unlock(&net->lock);
	return empty;
}

void qbd_net_destroy(struct qbd_net *net)
{
	unsigned int i;

	/* 1. From now on no connection comes to be. */
	spin_lock(&net->lock);
	net->stopping = true;
	spin_unlock(&net->lock);
	/* 2. Nobody is about to make one: neither accepting nor dialling runs. */
	qbd_listener_stop(net);
	for (i = 0; i < QBD_NET_PEERS; i++)
		cancel_delayed_work_sync(&net->peers[i].dial_work);
	/* 3. Each connection closes itself; slots let go of theirs. */
	close_all(net);
	forget_peers(net);
	wait_event(net->empty, is_empty(net));
	/* 4. Connections are gone but for the last lines of their closing works,
	 *    which the end of their queue waits for. Then nobody knows the network.
	 */
	cancel_work_sync(&net->pages_work);
	pr_debug("%s: network %p destroyed\n", net->name, net);
	release(net);
}

/* ---- members ------------------------------------------------------------ */

static void close_pair(struct qbd_net_peer *peer, const char *reason)
{
	int i;

	for (i = 0; i < 2; i++)
		if (peer->connections[i])
			qbd_connection_close(peer->connections[i], "%s", reason);
}

static bool has_connections(const struct qbd_net_peer *peer)
{
	return peer->fresh[0] || peer->fresh[1] || peer->connections[0] || peer->connections[1];
}

static void remove_member(struct qbd_net_peer *peer)
{
	struct qbd_net *net = peer->net;

	spin_lock(&net->lock);
	peer->removed = true;
	peer->epoch++;
	/* Many may come and go by the lists of one pass. */
	if (!peer->up && !has_connections(peer) && !peer->told) {
		peer->removed = false;
		peer->id = 0;
	}
	spin_unlock(&net->lock);
	close_pair(peer, "no longer a member");
	/* Else the slot is given back, and the replica told, when it polls. */
	net->ops->kick(net->context);
}

static struct qbd_net_peer *free_slot(struct qbd_net *net)
{
	unsigned int i;

	for (i = 0; i < QBD_NET_PEERS; i++)
		if (!net->peers[i].id)
			return &net->peers[i];
	return NULL;
}

/*
 * @address: NULL: it dials
 * @newcomer: of the list that names it, unless that is the one in force; then 0
 */
static struct qbd_net_peer *take_slot(struct qbd_net *net, u32 id, const u8 *incarnation,
				      const struct qbd_address *address, u64 newcomer)
{
	struct qbd_net_peer *peer = free_slot(net);

	/* Removed ones that were connected leave with every poll; all others at once. */
	if (WARN_ON_ONCE(!peer))
		return NULL;
	spin_lock(&net->lock);
	peer->id = id;
	peer->newcomer = newcomer;
	memset(&peer->address, 0, sizeof(peer->address));
	if (address)
		peer->address = *address;
	memcpy(peer->incarnation, incarnation, QBD_UUID_SIZE);
	peer->known_run = 0;
	peer->known_term = 0;
	peer->known_index = 0;
	peer->twice.run = 0;
	peer->perhaps_twice = false;
	peer->told = 0;
	peer->elsewhere = false;
	peer->stalled = false;
	peer->refusal = 0;
	peer->epoch++;
	spin_unlock(&net->lock);
	peer->backoff_ms = QBD_BACKOFF_MIN_MS;
	peer->connects = 0;
	peer->sent_bytes = 0;
	peer->received_bytes = 0;
	peer->sent_frames = 0;
	peer->received_frames = 0;
	qbd_peer_set_error(peer, "has not connected yet");
	return peer;
}

static void add_member(struct qbd_net *net, u32 id, const struct qbd_member_layout *member)
{
	struct qbd_net_peer *peer = take_slot(net, id, member->incarnation, &member->address, 0);

	if (!peer)
		return;
	if (id < net->identity.member_id) {
		qbd_peer_set_error(peer, "being dialled");
		mod_delayed_work(net->setup_queue, &peer->dial_work, 0);
	} else {
		qbd_peer_knock_later(peer);
	}
}

/* Fewer newcomers than may be; or one less now, of which nothing is heard: it comes again. */
static bool room_for_newcomer(struct qbd_net *net)
{
	struct qbd_net_peer *idle = NULL;
	unsigned int i, count = 0;

	spin_lock(&net->lock);
	for (i = 0; i < QBD_NET_PEERS; i++) {
		struct qbd_net_peer *peer = &net->peers[i];

		if (!peer->id || peer->removed || !peer->newcomer)
			continue;
		count++;
		if (!peer->up && !has_connections(peer))
			idle = peer;
	}
	spin_unlock(&net->lock);
	if (count >= QBD_NEWCOMERS_MAX && idle)
		remove_member(idle);
	return count < QBD_NEWCOMERS_MAX;
}

/* Who has proved that it is a member by a list that is not here yet may connect. */
static void admit_newcomers(struct qbd_net *net)
{
	struct qbd_newcomer newcomers[QBD_NEWCOMERS_MAX];
	unsigned int i, count;

	spin_lock(&net->lock);
	count = net->newcomer_count;
	memcpy(newcomers, net->newcomers, sizeof(newcomers));
	net->newcomer_count = 0;
	spin_unlock(&net->lock);
	for (i = 0; i < count; i++)
		if (newcomers[i].listed > net->committed_index &&
		    !qbd_net_peer_find(net, newcomers[i].id) && room_for_newcomer(net))
			take_slot(net, newcomers[i].id, newcomers[i].incarnation, NULL,
				  newcomers[i].listed);
}

/* It is known now whether a newcomer is a member: the list in force names it, or it is none. */
static void dismiss_newcomers(struct qbd_net *net)
{
	unsigned int i;

	for (i = 0; i < QBD_NET_PEERS; i++)
		if (net->peers[i].id && !net->peers[i].removed && net->peers[i].newcomer &&
		    net->peers[i].newcomer <= net->committed_index)
			remove_member(&net->peers[i]);
}

/* Which disk is which member, of those that are known already. */
static void set_disks(struct qbd_net *net, const struct qbd_membership_layout *members)
{
	const struct qbd_member_layout *member;
	unsigned int i;

	spin_lock(&net->lock);
	net->list_index = le64_to_cpu(members->index);
	for (i = 0; i < QBD_NET_PEERS; i++) {
		member = qbd_membership_find(members, net->peers[i].id);
		if (net->peers[i].id && member)
			memcpy(net->peers[i].incarnation, member->incarnation,
			       QBD_UUID_SIZE);
	}
	spin_unlock(&net->lock);
}

/* Is it ours to dial, and connected, and says that it is a member by a newer list? */
static bool list_is_past(const struct qbd_net_peer *peer)
{
	const struct qbd_net *net = peer->net;

	return peer->id < net->identity.member_id && peer->up && peer->connections[0] &&
	       qbd_frame_list_is_past(&peer->connections[0]->peer_hello, net->list_index);
}

/*
 * It is a member already. A pair that stands is dialled anew at a new address: when the list
 * is there that the member itself went by when it connected, and not for each one before that.
 *
 *	2 moved to and fro while 3 was away, and 1 is lost. 3 came by the place where 2 was at
 *	last, so 2 listened nowhere else any more. With each list that 3 was sent it hung up,
 *	looked for 2 where that list had it, and was without it for the five seconds until 2
 *	knocked: there was nobody to lead for as long, as many times.
 */
static void keep_member(struct qbd_net_peer *peer, const struct qbd_member_layout *member)
{
	const struct qbd_address *address = &member->address;
	struct qbd_net *net = peer->net;
	bool moved = peer->elsewhere || memcmp(&peer->address, address, sizeof(*address));
	bool returned = peer->removed || peer->newcomer;

	if (peer->up && peer->connections[0] && !qbd_peer_is_disk(peer->connections[0]))
		close_pair(peer, qbd_refusal_text(QBD_REFUSED_DISK));
	if (!moved && !returned)
		return;
	if (!returned && list_is_past(peer)) {
		spin_lock(&net->lock);
		peer->address = *address;
		peer->elsewhere = true;
		spin_unlock(&net->lock);
		return;
	}
	spin_lock(&net->lock);
	peer->address = *address;
	peer->elsewhere = false;
	peer->removed = false;
	peer->newcomer = 0;
	peer->stalled = false;
	peer->epoch++;
	spin_unlock(&net->lock);
	if (peer->id > net->identity.member_id) {
		if (!peer->up)
			qbd_peer_knock_later(peer);
		return;
	}
	peer->backoff_ms = QBD_BACKOFF_MIN_MS;
	close_pair(peer, "the member's address changed");
	mod_delayed_work(net->setup_queue, &peer->dial_work, 0);
}

/* Our own address is another one now: we listen there, and dial from there. */
static void move_self(struct qbd_net *net, const struct qbd_member_layout *self)
{
	unsigned int i;

	if (!self || !memcmp(&self->address, &net->identity.listen, sizeof(self->address)))
		return;
	spin_lock(&net->lock);
	net->identity.listen = self->address;
	/* It was wanted of the one before, where others look for us for a while yet. */
	net->listen_only = false;
	spin_unlock(&net->lock);
	/* Of an address that was changed back it does not yet, perhaps. */
	qbd_net_listen(net, &self->address);
	for (i = 0; i < QBD_NET_PEERS; i++)
		if (net->peers[i].id && net->peers[i].id < net->identity.member_id)
			close_pair(&net->peers[i], "our address changed");
}

bool qbd_net_moved(const struct qbd_net *net)
{
	const struct qbd_net_peer *peer;
	unsigned int i;

	for (i = 0; i < QBD_NET_PEERS; i++) {
		peer = &net->peers[i];
		if (peer->id <= net->identity.member_id || peer->removed || peer->newcomer)
			continue;
		if (!peer->up || memcmp(&peer->connections[0]->at, &net->identity.listen,
					sizeof(net->identity.listen)))
			return false;
	}
	return true;
}

void qbd_net_set_members(struct qbd_net *net, const struct qbd_membership_layout *members)
{
	u32 i, id, count = min_t(u32, le32_to_cpu(members->count), QBD_MEMBERS_MAX);
	const struct qbd_member_layout *member;
	struct qbd_net_peer *peer;

	set_disks(net, members);
	move_self(net, qbd_membership_find(members, net->identity.member_id));
	for (i = 0; i < QBD_NET_PEERS; i++) {
		peer = &net->peers[i];
		if (peer->id && !peer->removed && !peer->newcomer &&
		    !qbd_membership_find(members, peer->id))
			remove_member(peer);
	}
	for (i = 0; i < count; i++) {
		member = &members->members[i];
		id = le32_to_cpu(member->id);
		if (!id || id == net->identity.member_id)
			continue;
		peer = qbd_net_peer_find(net, id);
		if (peer)
			keep_member(peer, member);
		else
			add_member(net, id, member);
	}
}

void qbd_net_set_silence_limit(struct qbd_net *net, unsigned int milliseconds)
{
	unsigned int i, index = qbd_kind_index(QBD_CONNECTION_CONTROL);

	WRITE_ONCE(net->silence_ms, max(milliseconds, QBD_SILENCE_MIN_MS + 0u));
	for (i = 0; i < QBD_NET_PEERS; i++)
		if (net->peers[i].up && net->peers[i].connections[index])
			qbd_connection_watch(net->peers[i].connections[index]);
}

/* ---- replica context ---------------------------------------------------- */

/* What a member says of this one, having proved to be a member, is not lost among the rest. */
static bool take_told(struct qbd_net *net, u32 *id, u32 *reason)
{
	struct qbd_net_peer *peer;
	bool taken = false;

	spin_lock(&net->lock);
	for (peer = net->peers; !taken && peer < net->peers + QBD_NET_PEERS; peer++) {
		taken = peer->told;
		if (!taken)
			continue;
		*id = peer->id;
		*reason = __ffs(peer->told);
		peer->told &= peer->told - 1;
	}
	spin_unlock(&net->lock);
	return taken;
}

static void tell_refusals(struct qbd_net *net)
{
	struct qbd_net_refusal refusals[QBD_REFUSALS];
	unsigned int i, count;
	u32 id, reason;

	spin_lock(&net->lock);
	count = net->refusal_count;
	memcpy(refusals, net->refusals, sizeof(refusals));
	net->refusal_count = 0;
	spin_unlock(&net->lock);
	for (i = 0; i < count; i++)
		net->ops->refused(net->context, refusals[i].peer, refusals[i].reason,
				  refusals[i].by_us);
	while (take_told(net, &id, &reason))
		net->ops->refused(net->context, id, reason, false);
}

void qbd_net_mark(struct qbd_net *net)
{
	struct qbd_connection *connection;
	unsigned int i, k;

	spin_lock(&net->lock);
	for (i = 0; i < QBD_NET_PEERS; i++) {
		for (k = 0; k < 2; k++) {
			connection = net->peers[i].connections[k];
			if (connection)
				connection->ring_marked =
					READ_ONCE(connection->ring_tail);
		}
	}
	spin_unlock(&net->lock);
	/* The clock is read after the rings were looked at, not before. */
	smp_mb();
	net->marked = true;
}

void qbd_net_poll(struct qbd_net *net)
{
	unsigned int i;

	if (!net->marked)
		qbd_net_mark(net);
	net->marked = false;
	/* What found no memory is tried again after this; what fails again says so. */
	WRITE_ONCE(net->starved, false);
	tell_refusals(net);
	qbd_listener_tell(net);
	admit_newcomers(net);
	for (i = 0; i < QBD_NET_PEERS; i++)
		if (net->peers[i].id)
			qbd_peer_step(&net->peers[i]);
	qbd_admin_deliver(net);
}

void qbd_net_pages_available(struct qbd_net *net)
{
	if (atomic_read(&net->page_waiters))
		queue_work(net->queue, &net->pages_work);
}

void qbd_net_disconnect(struct qbd_net *net, u32 id, const char *reason)
{
	struct qbd_net_peer *peer = qbd_net_peer_find(net, id);

	if (peer)
		close_pair(peer, reason);
}

bool qbd_net_peer_up(const struct qbd_net *net, u32 id)
{
	return qbd_peer_find_up((struct qbd_net *)net, id);
}

void qbd_net_set_blank(struct qbd_net *net, bool blank)
{
	WRITE_ONCE(net->blank, blank);
}

void qbd_net_set_term(struct qbd_net *net, u64 term)
{
	WRITE_ONCE(net->term, term);
}

void qbd_net_set_new(struct qbd_net *net, bool is_new)
{
	WRITE_ONCE(net->is_new, is_new);
}

void qbd_net_set_listed(struct qbd_net *net, u64 index, u64 committed,
			const struct qbd_membership_layout *list)
{
	WRITE_ONCE(net->listed, index);
	spin_lock(&net->lock);
	net->committed_index = committed;
	net->committed_list = *list;
	spin_unlock(&net->lock);
	dismiss_newcomers(net);
}

void qbd_net_set_known(struct qbd_net *net, u32 id, u64 run, u64 term, u64 index)
{
	struct qbd_net_peer *peer = qbd_net_peer_find(net, id);

	if (!peer)
		return;
	spin_lock(&net->lock);
	peer->known_run = run;
	peer->known_term = term;
	peer->known_index = index;
	spin_unlock(&net->lock);
}

const struct qbd_frame_hello *qbd_net_peer_hello(const struct qbd_net *net, u32 id)
{
	const struct qbd_net_peer *peer = qbd_peer_find_up((struct qbd_net *)net, id);

	return peer && peer->connections[0] ? &peer->connections[0]->peer_hello : NULL;
}

bool qbd_net_peer_blank(const struct qbd_net *net, u32 id)
{
	const struct qbd_frame_hello *hello = qbd_net_peer_hello(net, id);

	return hello && le32_to_cpu(hello->flags) & QBD_HELLO_BLANK;
}

bool qbd_net_peer_term(const struct qbd_net *net, u32 id, u64 *term)
{
	const struct qbd_frame_hello *hello = qbd_net_peer_hello(net, id);

	*term = hello ? le64_to_cpu(hello->term) : 0;
	return hello && *term < QBD_INDEX_MAX;
}

static void add_status(struct qbd_connection *connection,
		       struct qbd_net_peer_status *status)
{
	bool open, bulk = connection->kind == QBD_CONNECTION_BULK;

	spin_lock(&connection->lock);
	open = connection->state == QBD_OPEN;
	if (bulk)
		status->queued_bytes += connection->queued_bytes;
	spin_unlock(&connection->lock);
	if (bulk)
		status->bulk_up = open;
	else
		status->control_up = open;
	status->sent_bytes += READ_ONCE(connection->sent_bytes);
	status->received_bytes += READ_ONCE(connection->received_bytes);
	status->sent_frames += READ_ONCE(connection->sent_frames);
	status->received_frames += READ_ONCE(connection->received_frames);
}

void qbd_net_peer_status(const struct qbd_net *net, u32 id,
			 struct qbd_net_peer_status *status)
{
	struct qbd_net_peer *peer = qbd_net_peer_find((struct qbd_net *)net, id);
	int i;

	memset(status, 0, sizeof(*status));
	if (!peer) {
		strscpy(status->last_error, "not a member", sizeof(status->last_error));
		return;
	}
	status->connects = peer->connects;
	status->sent_bytes = peer->sent_bytes;
	status->received_bytes = peer->received_bytes;
	status->sent_frames = peer->sent_frames;
	status->received_frames = peer->received_frames;
	spin_lock(&peer->net->lock);
	strscpy(status->last_error, peer->last_error, sizeof(status->last_error));
	spin_unlock(&peer->net->lock);
	for (i = 0; i < 2; i++)
		if (peer->connections[i])
			add_status(peer->connections[i], status);
}
