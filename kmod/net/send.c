// SPDX-License-Identifier: GPL-2.0
/*
 * Sending: a queue for each connection and a work that feeds it to TCP.
 *
 * A frame is a row of bytes: head (header and fixed part), the operations of a
 * record, data. How many of them TCP has is all the state there is, so that sending
 * goes on exactly where TCP's buffer was full.
 *
 * The frame at the front of the queue stays there until all of it was copied by
 * TCP. From when the work has looked at it (@started) only the holder of
 * send_mutex may take it away, and then the connection is over.
 */
#include <linux/net.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "internal.h"

/* Frames that can be queued even if the kernel has no memory at all. */
#define RESERVED_FRAMES		128
#define RESERVED_LARGE		2

int qbd_send_create(struct qbd_net *net)
{
	net->outgoing = mempool_create_kmalloc_pool(RESERVED_FRAMES,
						    sizeof(struct qbd_outgoing));
	net->outgoing_large =
		mempool_create_kmalloc_pool(RESERVED_LARGE,
					    sizeof(struct qbd_frame_header) +
					    sizeof(struct qbd_frame_reset));
	return net->outgoing && net->outgoing_large ? 0 : -ENOMEM;
}

void qbd_send_destroy(struct qbd_net *net)
{
	mempool_destroy(net->outgoing);
	mempool_destroy(net->outgoing_large);
}

/* ---- frames ------------------------------------------------------------- */

static u8 *outgoing_head(struct qbd_outgoing *outgoing)
{
	return outgoing->large ?: outgoing->head;
}

static void outgoing_free(struct qbd_net *net, struct qbd_outgoing *outgoing)
{
	if (outgoing->record)
		qbd_record_put(outgoing->record);
	if (outgoing->buffer)
		qbd_buffer_free(outgoing->buffer);
	if (outgoing->large)
		mempool_free(outgoing->large, net->outgoing_large);
	mempool_free(outgoing, net->outgoing);
	if (READ_ONCE(net->starved))
		net->ops->kick(net->context);
}

/* Take a frame off the queue; the caller frees it unless it is a small one. */
static void unqueue(struct qbd_connection *connection, struct qbd_outgoing *outgoing)
{
	lockdep_assert_held(&connection->lock);
	list_del(&outgoing->list);
	connection->queued_frames--;
	connection->queued_bytes -= outgoing->bytes;
	if (outgoing->small)
		list_add_tail(&outgoing->list, &connection->small_free);
}

static void enqueue(struct qbd_connection *connection, struct qbd_outgoing *outgoing)
{
	lockdep_assert_held(&connection->lock);
	list_add_tail(&outgoing->list, &connection->send_queue);
	connection->queued_frames++;
	connection->queued_bytes += outgoing->bytes;
}

/* ---- small frames: handshake, control ----------------------------------- */

static u32 message_type(struct qbd_outgoing *outgoing)
{
	struct qbd_frame_message *message =
		(void *)(outgoing->head + sizeof(struct qbd_frame_header));

	return outgoing->type == QBD_FRAME_MESSAGE ? le32_to_cpu(message->type) : 0;
}

/*
 * A heartbeat, or the answer to one, says all that those before it said. Only
 * these replace what still waits: of other messages the order may matter.
 */
static struct qbd_outgoing *same_heartbeat(struct qbd_connection *connection, u32 type)
{
	struct qbd_outgoing *outgoing;

	if (type != QBD_MESSAGE_HEARTBEAT && type != QBD_MESSAGE_HEARTBEAT_REPLY)
		return NULL;
	list_for_each_entry(outgoing, &connection->send_queue, list)
		if (!outgoing->started && message_type(outgoing) == type)
			return outgoing;
	return NULL;
}

/*
 * A frame to be filled in. With the queue full TCP has not taken anything for
 * long; the oldest consensus message is the one that is worth least, and any of
 * them may be lost.
 */
static struct qbd_outgoing *small_alloc(struct qbd_connection *connection)
{
	struct qbd_outgoing *outgoing;

	lockdep_assert_held(&connection->lock);
	if (list_empty(&connection->small_free)) {
		list_for_each_entry(outgoing, &connection->send_queue, list)
			if (!outgoing->started && outgoing->type == QBD_FRAME_MESSAGE) {
				unqueue(connection, outgoing);
				break;
			}
	}
	outgoing = list_first_entry_or_null(&connection->small_free,
					    struct qbd_outgoing, list);
	if (!outgoing)
		return NULL;
	list_del(&outgoing->list);
	memset(outgoing, 0, sizeof(*outgoing));
	outgoing->small = true;
	return outgoing;
}

/**
 * qbd_send_small() - queue a frame without data and have it sent
 * @connection: connection
 * @type: enum qbd_frame_type
 * @fixed: fixed part, copied
 * @fixed_bytes: its length
 *
 * Any process context. Return: false if the connection is closed or full.
 */
bool qbd_send_small(struct qbd_connection *connection, u16 type, const void *fixed,
		    unsigned int fixed_bytes)
{
	struct qbd_outgoing *outgoing = NULL;
	u32 message = 0;

	if (WARN_ON_ONCE(sizeof(struct qbd_frame_header) + fixed_bytes > QBD_HEAD_BYTES))
		return false;
	if (type == QBD_FRAME_MESSAGE)
		message = le32_to_cpu(((const struct qbd_frame_message *)fixed)->type);
	spin_lock(&connection->lock);
	if (connection->state == QBD_CLOSED)
		goto out;
	outgoing = same_heartbeat(connection, message);
	if (outgoing) {
		memcpy(outgoing->head + sizeof(struct qbd_frame_header), fixed,
		       fixed_bytes);
		goto out;
	}
	outgoing = small_alloc(connection);
	if (!outgoing)
		goto out;
	outgoing->type = type;
	outgoing->fixed_bytes = fixed_bytes;
	outgoing->head_bytes = sizeof(struct qbd_frame_header) + fixed_bytes;
	outgoing->bytes = outgoing->head_bytes;
	if (fixed_bytes)
		memcpy(outgoing->head + sizeof(struct qbd_frame_header), fixed,
		       fixed_bytes);
	enqueue(connection, outgoing);
	queue_work(connection->net->queue, &connection->send_work);
out:
	spin_unlock(&connection->lock);
	return outgoing;
}

void qbd_net_send_message(struct qbd_net *net, const struct qbd_core_message *message)
{
	struct qbd_net_peer *peer = qbd_peer_find_up(net, message->to);
	struct qbd_frame_message frame;

	if (!peer)
		return;
	qbd_frame_message_encode(&frame, message);
	qbd_send_small(peer->connections[qbd_kind_index(QBD_CONNECTION_CONTROL)],
		       QBD_FRAME_MESSAGE, &frame, sizeof(frame));
}

bool qbd_net_send_fill(struct qbd_net *net, u32 id, const struct qbd_frame_fill *fill)
{
	struct qbd_net_peer *peer = qbd_peer_find_up(net, id);

	return peer &&
	       qbd_send_small(peer->connections[qbd_kind_index(QBD_CONNECTION_CONTROL)],
			      QBD_FRAME_FILL, fill, sizeof(*fill));
}

/* ---- bulk frames -------------------------------------------------------- */

static bool frame_is_sane(const struct qbd_net_frame *frame)
{
	if ((frame->record && frame->buffer) ||
	    frame->data_blocks > QBD_FRAME_DATA_BLOCKS_MAX)
		return false;
	if (frame->fixed_bytes + sizeof(struct qbd_frame_header) > QBD_HEAD_BYTES &&
	    (frame->type != QBD_FRAME_RESET ||
	     frame->fixed_bytes != sizeof(struct qbd_frame_reset)))
		return false;
	if (frame->type == QBD_FRAME_APPEND)
		return frame->record &&
		       frame->fixed_bytes == sizeof(struct qbd_frame_append);
	if (frame->record || !frame->data_blocks != !frame->buffer)
		return false;
	return !frame->buffer || frame->buffer->blocks >= frame->data_blocks;
}

/*
 * Of a record's header the operations and data are sent from where they lie, for
 * they never change. The local part does, with every write of the log, and is
 * nobody's business but the disk's.
 */
static void add_record(struct qbd_outgoing *outgoing, struct qbd_record *record)
{
	u8 *at = outgoing->head + outgoing->head_bytes;
	u32 operations = le16_to_cpu(record->header->shared.operation_count);

	memcpy(at, &record->header->shared, sizeof(record->header->shared));
	memset(at + sizeof(record->header->shared), 0, sizeof(record->header->local));
	outgoing->head_bytes += offsetof(struct qbd_record_header, operations);
	outgoing->fixed_bytes += qbd_record_header_bytes(operations);
	outgoing->data_blocks = record->data_blocks;
	outgoing->record = qbd_record_get(record);
}

static struct qbd_outgoing *make_outgoing(struct qbd_net *net,
					  const struct qbd_net_frame *frame)
{
	struct qbd_outgoing *outgoing = mempool_alloc(net->outgoing, GFP_NOWAIT);

	if (!outgoing)
		return NULL;
	memset(outgoing, 0, sizeof(*outgoing));
	if (frame->fixed_bytes + sizeof(struct qbd_frame_header) > QBD_HEAD_BYTES) {
		outgoing->large = mempool_alloc(net->outgoing_large, GFP_NOWAIT);
		if (!outgoing->large) {
			mempool_free(outgoing, net->outgoing);
			return NULL;
		}
	}
	memcpy(outgoing_head(outgoing) + sizeof(struct qbd_frame_header), frame->fixed,
	       frame->fixed_bytes);
	outgoing->type = frame->type;
	outgoing->fixed_bytes = frame->fixed_bytes;
	outgoing->head_bytes = sizeof(struct qbd_frame_header) + frame->fixed_bytes;
	outgoing->data_blocks = frame->data_blocks;
	outgoing->buffer = frame->buffer;
	outgoing->data_checksum_known = frame->buffer && frame->data_checksum_known;
	if (outgoing->data_checksum_known)
		outgoing->data_checksum = frame->data_checksum;
	if (frame->type == QBD_FRAME_APPEND)
		add_record(outgoing, frame->record);
	outgoing->bytes = sizeof(struct qbd_frame_header) + outgoing->fixed_bytes +
			  (outgoing->data_blocks << QBD_BLOCK_SHIFT);
	return outgoing;
}

static int has_room(struct qbd_connection *connection)
{
	int error = 0;

	spin_lock(&connection->lock);
	if (connection->state != QBD_OPEN)
		error = -ENOTCONN;
	else if (connection->queued_frames >= QBD_QUEUE_FRAMES_MIN &&
		 connection->queued_bytes >= QBD_QUEUE_HIGH)
		error = -EAGAIN;
	connection->wants_room |= error == -EAGAIN;
	spin_unlock(&connection->lock);
	return error;
}

/* Queue a frame on a connection that has room for data; see qbd_net_send(). */
int qbd_send_frame(struct qbd_connection *connection, const struct qbd_net_frame *frame)
{
	struct qbd_net *net = connection->net;
	struct qbd_outgoing *outgoing;
	int error;

	if (WARN_ON_ONCE(!frame_is_sane(frame)))
		return -EINVAL;
	error = has_room(connection);
	if (error)
		return error;
	outgoing = make_outgoing(net, frame);
	if (!outgoing) {
		/*
		 * The reserves are all queued, then, and the next frame freed
		 * tells. Tried again, lest the last one was freed just before
		 * this was set. Pairs with outgoing_free() by way of the
		 * mempool's lock.
		 */
		WRITE_ONCE(net->starved, true);
		outgoing = make_outgoing(net, frame);
	}
	if (!outgoing)
		return -ENOMEM;
	spin_lock(&connection->lock);
	if (connection->state == QBD_OPEN)
		enqueue(connection, outgoing);
	else
		error = -ENOTCONN;
	spin_unlock(&connection->lock);
	if (error) {
		outgoing->buffer = NULL;
		outgoing_free(net, outgoing);
	}
	return error;
}

int qbd_net_send(struct qbd_net *net, u32 id, const struct qbd_net_frame *frame)
{
	struct qbd_net_peer *peer = qbd_peer_find_up(net, id);

	if (!peer)
		return -ENOTCONN;
	return qbd_send_frame(peer->connections[qbd_kind_index(QBD_CONNECTION_BULK)], frame);
}

void qbd_net_push(struct qbd_net *net, u32 id)
{
	struct qbd_net_peer *peer = qbd_peer_find_up(net, id);
	struct qbd_connection *connection;

	if (!peer)
		return;
	connection = peer->connections[qbd_kind_index(QBD_CONNECTION_BULK)];
	qbd_connection_queue(connection, &connection->send_work);
}

void qbd_net_pace(struct qbd_net *net, u32 id, unsigned long bytes)
{
	struct qbd_net_peer *peer = qbd_peer_find_up(net, id);
	struct qbd_connection *connection;

	if (!peer)
		return;
	connection = peer->connections[qbd_kind_index(QBD_CONNECTION_BULK)];
	WRITE_ONCE(connection->pace, bytes);
	qbd_connection_queue(connection, &connection->send_work);
}

/* ---- sending ------------------------------------------------------------ */

static u32 pages_checksum(struct page **pages, u32 blocks)
{
	u32 i, checksum = ~0u;

	for (i = 0; i < blocks; i++)
		checksum = qbd_crc32c(checksum, page_address(pages[i]), QBD_BLOCK_SIZE);
	return checksum;
}

/* Its turn has come: checksums, and a place in the sequence. */
static void seal(struct qbd_connection *connection, struct qbd_outgoing *outgoing)
{
	struct qbd_frame_header *header = (void *)outgoing_head(outgoing);
	u32 head_fixed = outgoing->head_bytes - sizeof(*header);
	u32 fixed_checksum;

	fixed_checksum = qbd_crc32c(~0u, header + 1, head_fixed);
	if (outgoing->record)
		fixed_checksum = qbd_crc32c(fixed_checksum,
					    outgoing->record->header->operations,
					    outgoing->fixed_bytes - head_fixed);
	if (outgoing->buffer && !outgoing->data_checksum_known)
		outgoing->data_checksum = pages_checksum(outgoing->buffer->pages,
							 outgoing->data_blocks);
	qbd_frame_seal(header, outgoing->type, outgoing->fixed_bytes,
		       outgoing->data_blocks, connection->send_sequence++,
		       fixed_checksum, outgoing->data_checksum);
	outgoing->sealed = true;
}

static int send_head(struct qbd_connection *connection, struct qbd_outgoing *outgoing,
		     bool more)
{
	struct msghdr message = {
		.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0),
	};
	struct kvec kvec[2];
	unsigned int count = 0;
	u32 done = outgoing->done;
	u32 skip = 0;

	if (done < outgoing->head_bytes) {
		kvec[count].iov_base = outgoing_head(outgoing) + done;
		kvec[count++].iov_len = outgoing->head_bytes - done;
	} else {
		skip = done - outgoing->head_bytes;
	}
	if (outgoing->bytes > outgoing->head_bytes) {
		kvec[count].iov_base = (u8 *)outgoing->record->header->operations + skip;
		kvec[count++].iov_len = outgoing->bytes - outgoing->head_bytes - skip;
	}
	return kernel_sendmsg(connection->socket, &message, kvec, count,
			      outgoing->bytes - done);
}

static void set_bytes(struct bio_vec *bvec, void *from, u32 bytes)
{
	bvec->bv_page = virt_to_page(from);
	bvec->bv_offset = offset_in_page(from);
	bvec->bv_len = bytes;
}

/*
 * Head, operations and data lie apart but go to TCP in one call: it takes the
 * socket's lock once, and never sends a head that then waits for its data.
 */
static int send_with_pages(struct qbd_connection *connection,
			   struct qbd_outgoing *outgoing, bool more)
{
	struct page **pages = outgoing->record ? outgoing->record->pages :
						 outgoing->buffer->pages;
	u32 head_end = sizeof(struct qbd_frame_header) + outgoing->fixed_bytes;
	struct bio_vec *bvecs = connection->bulk->send_bvecs;
	u32 at = outgoing->done, within, count = 0, most = QBD_BVECS;
	struct msghdr message = {
		.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL,
	};

	/* With the reserves no more than may be under way from them. */
	if (current->flags & PF_MEMALLOC)
		most = QBD_RESERVED_BYTES >> QBD_BLOCK_SHIFT;
	if (at < outgoing->head_bytes) {
		set_bytes(&bvecs[count++], outgoing_head(outgoing) + at,
			  outgoing->head_bytes - at);
		at = outgoing->head_bytes;
	}
	if (at < head_end) {
		set_bytes(&bvecs[count++], (u8 *)outgoing->record->header->operations +
			  at - outgoing->head_bytes, head_end - at);
		at = head_end;
	}
	while (at < outgoing->bytes && count < most) {
		within = (at - head_end) & (QBD_BLOCK_SIZE - 1);
		bvecs[count].bv_page = pages[(at - head_end) >> QBD_BLOCK_SHIFT];
		bvecs[count].bv_offset = within;
		bvecs[count++].bv_len = QBD_BLOCK_SIZE - within;
		at += QBD_BLOCK_SIZE - within;
	}
	if (more || at < outgoing->bytes)
		message.msg_flags |= MSG_MORE;
	iov_iter_bvec(&message.msg_iter, ITER_SOURCE, bvecs, count, at - outgoing->done);
	return sock_sendmsg(connection->socket, &message);
}

static int send_some(struct qbd_connection *connection, struct qbd_outgoing *outgoing,
		     bool more)
{
	if (outgoing->data_blocks)
		return send_with_pages(connection, outgoing, more);
	return send_head(connection, outgoing, more);
}

/* The socket's lock keeps out its interrupts, which look at this. */
static gfp_t exchange_allocation(struct sock *sk, gfp_t allocation)
{
	lock_sock(sk);
	swap(sk->sk_allocation, allocation);
	release_sock(sk);
	return allocation;
}

/*
 * Without the reserves, and without a wait. Only who sends holds the mutex, so nobody
 * else sets this; an acknowledgment that gets no memory meanwhile is sent a little later.
 */
static int send_without_reserves(struct qbd_connection *connection,
				 struct qbd_outgoing *outgoing, bool more)
{
	struct sock *sk = connection->socket->sk;
	unsigned int saved = current->flags & PF_MEMALLOC;
	gfp_t allocation;
	int sent;

	lockdep_assert_held(&connection->send_mutex);
	allocation = exchange_allocation(sk, GFP_NOWAIT | __GFP_NOWARN);
	current->flags &= ~PF_MEMALLOC;
	sent = send_some(connection, outgoing, more);
	current->flags |= saved;
	exchange_allocation(sk, allocation);
	return sent;
}

/*
 * What is under way brings about acknowledgments, and with them memory and the news that
 * there is room. More of it from the reserves would take these from the interrupts that
 * receive: then nothing is acknowledged, and nothing of it ever comes free.
 */
static bool enough_is_under_way(struct qbd_connection *connection)
{
	return qbd_connection_reserves(connection) &&
	       READ_ONCE(connection->socket->sk->sk_wmem_queued) >= QBD_RESERVED_BYTES;
}

/* Return: 1: all of it was sent; 0: TCP takes no more now; -errno. */
static int send_frame(struct qbd_connection *connection, struct qbd_outgoing *outgoing,
		      bool more)
{
	int sent;

	if (!outgoing->sealed)
		seal(connection, outgoing);
	while (outgoing->done < outgoing->bytes) {
		if (enough_is_under_way(connection))
			sent = send_without_reserves(connection, outgoing, more);
		else
			sent = send_some(connection, outgoing, more);
		if (sent == -EAGAIN)
			return 0;
		if (sent <= 0)
			return sent ?: -EPIPE;
		outgoing->done += sent;
		qbd_connection_count(&connection->sent_bytes, sent);
		WRITE_ONCE(connection->last_sent, jiffies);
	}
	return 1;
}

static struct qbd_outgoing *next_to_send(struct qbd_connection *connection, bool *more)
{
	struct qbd_outgoing *outgoing = NULL;

	spin_lock(&connection->lock);
	if (connection->state != QBD_CLOSED && connection->state != QBD_CONNECTING)
		outgoing = list_first_entry_or_null(&connection->send_queue,
						    struct qbd_outgoing, list);
	if (outgoing) {
		outgoing->started = true;
		*more = !list_is_singular(&connection->send_queue);
	}
	spin_unlock(&connection->lock);
	return outgoing;
}

/* Somebody was refused, and now the queue is short enough. */
static bool room_is_news(struct qbd_connection *connection)
{
	lockdep_assert_held(&connection->lock);
	if (!connection->wants_room ||
	    (connection->queued_bytes >= QBD_QUEUE_LOW &&
	     connection->queued_frames >= QBD_QUEUE_FRAMES_MIN))
		return false;
	connection->wants_room = false;
	return true;
}

static void sent_whole(struct qbd_connection *connection, struct qbd_outgoing *outgoing)
{
	struct qbd_net *net = connection->net;
	/* A small one may be another frame as soon as it is free. */
	bool room, small = outgoing->small, answer = outgoing->type == QBD_FRAME_REPLY;
	bool refused = outgoing->type == QBD_FRAME_REFUSED;

	qbd_connection_count(&connection->sent_frames, 1);
	spin_lock(&connection->lock);
	unqueue(connection, outgoing);
	room = room_is_news(connection);
	spin_unlock(&connection->lock);
	if (!small)
		outgoing_free(net, outgoing);
	if (room)
		net->ops->kick(net->context);
	if (answer && connection->kind == QBD_CONNECTION_ADMIN)
		qbd_admin_answered(connection);
	/* A reset could overtake the reason: the other side shall close. */
	if (refused)
		kernel_sock_shutdown(connection->socket, SHUT_WR);
}

/*
 * TCP spreads it by a timer of its own. It goes on to pace itself when there is no limit any
 * more, unless it is told not to; which is not said if it did so before.
 */
static void tell_pace(struct qbd_connection *connection)
{
	unsigned long pace = READ_ONCE(connection->pace);
	struct sock *sk;

	if (pace == connection->paced)
		return;
	sk = connection->socket->sk;
	lock_sock(sk);
	if (pace && cmpxchg(&sk->sk_pacing_status, SK_PACING_NONE, SK_PACING_NEEDED) ==
		    SK_PACING_NONE)
		connection->pacing = true;
	WRITE_ONCE(sk->sk_max_pacing_rate, pace ?: ~0ul);
	if (pace && pace < READ_ONCE(sk->sk_pacing_rate))
		WRITE_ONCE(sk->sk_pacing_rate, pace);
	if (!pace && connection->pacing) {
		cmpxchg(&sk->sk_pacing_status, SK_PACING_NEEDED, SK_PACING_NONE);
		connection->pacing = false;
	}
	release_sock(sk);
	connection->paced = pace;
}

/* Return: whether there is more to be done at once. */
static bool send_frames(struct qbd_connection *connection)
{
	u64 stop = connection->sent_bytes + QBD_BUDGET_BYTES;
	struct qbd_outgoing *outgoing;
	bool more = false;
	int i, result;

	for (i = 0; i < QBD_BUDGET_FRAMES && connection->sent_bytes < stop; i++) {
		outgoing = next_to_send(connection, &more);
		if (!outgoing)
			return false;
		result = send_frame(connection, outgoing, more);
		if (result < 0)
			qbd_connection_close_error(connection, result);
		if (result <= 0)
			return false;
		sent_whole(connection, outgoing);
	}
	return true;
}

void qbd_send_work(struct work_struct *work)
{
	struct qbd_connection *connection =
		container_of(work, struct qbd_connection, send_work);
	bool reserves = qbd_connection_reserves(connection);
	unsigned int saved;
	bool again;

	/* Strangers get no reserves, only no wait for writeback. */
	saved = reserves ? memalloc_noreclaim_save() : memalloc_noio_save();
	mutex_lock(&connection->send_mutex);
	tell_pace(connection);
	again = send_frames(connection);
	mutex_unlock(&connection->send_mutex);
	if (reserves)
		memalloc_noreclaim_restore(saved);
	else
		memalloc_noio_restore(saved);
	if (again)
		qbd_connection_queue(connection, &connection->send_work);
}

static void give_back(struct qbd_connection *connection)
{
	struct qbd_outgoing *outgoing;

	for (;;) {
		bool small = false;

		spin_lock(&connection->lock);
		outgoing = list_first_entry_or_null(&connection->send_queue,
						    struct qbd_outgoing, list);
		if (outgoing) {
			small = outgoing->small;
			unqueue(connection, outgoing);
		}
		spin_unlock(&connection->lock);
		if (!outgoing)
			break;
		if (!small)
			outgoing_free(connection->net, outgoing);
	}
}

/**
 * qbd_send_purge() - give back what waits to be sent
 * @connection: closed: nothing is sent afterwards
 * @wait: what is sent at this moment is waited for; else its sender is left alone, and
 *	closing the connection gives the rest back
 *
 * Context: process. With @wait it may take as long as memory takes to come: a sender
 * without reserves waits for that with the mutex held. The replica's work never does.
 */
void qbd_send_purge(struct qbd_connection *connection, bool wait)
{
	if (wait)
		mutex_lock(&connection->send_mutex);
	else if (!mutex_trylock(&connection->send_mutex))
		return;
	give_back(connection);
	mutex_unlock(&connection->send_mutex);
}
