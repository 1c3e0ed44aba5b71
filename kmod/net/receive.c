// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving: one work for each connection reads frames step by step.
 *
 *   HEADER  32 bytes; checked whole before anything they say is used
 *   FIXED   into memory that the connection has; checked
 *   CLAIM   pages for the data (see net.h for who waits and who does not)
 *   DATA    into those pages; checked
 *
 * then the frame waits in the connection's ring for qbd_net_poll(). What has
 * come so far is in @step and @received, so that reading goes on where the
 * socket ran dry. A full ring, or an APPEND without pages, simply stops reading:
 * TCP then slows the sender down.
 */
#include <linux/net.h>
#include <linux/sched/mm.h>
#include <linux/tcp.h>
#include <net/tcp_states.h>

#include "../record/header.h"
#include "internal.h"

/* Results of a step: go on with the next one, or come back when there is more. */
#define GO_ON	1
#define WAIT	0

/* Control frames and those of the handshake share one small block. */
static_assert(sizeof(struct qbd_frame_message) <=
	      sizeof_field(struct qbd_connection, handshake_fixed),
	      "fixed part of control frames");

/* ---- bytes -------------------------------------------------------------- */

static int note_received(struct qbd_connection *connection, int result)
{
	if (result == -EAGAIN)
		return WAIT;
	if (!result) {
		qbd_connection_close(connection, "closed by the other side");
		return -EPIPE;
	}
	if (result < 0) {
		qbd_connection_close_error(connection, result);
		return result;
	}
	qbd_connection_count(&connection->received_bytes, result);
	return GO_ON;
}

/*
 * Small frames come whole, by one call of TCP and not by one for each of their
 * parts. Of large ones as much is copied twice; the rest of their data goes
 * straight into its pages.
 */
static int read_ahead(struct qbd_connection *connection)
{
	struct qbd_bulk_room *bulk = connection->bulk;
	struct msghdr message = { .msg_flags = MSG_DONTWAIT };
	struct kvec kvec = {
		.iov_base = bulk ? bulk->ahead : connection->ahead,
		.iov_len = bulk ? sizeof(bulk->ahead) : sizeof(connection->ahead),
	};
	int result;

	connection->ahead_at = kvec.iov_base;
	result = kernel_recvmsg(connection->socket, &message, &kvec, 1, kvec.iov_len,
				MSG_DONTWAIT);
	connection->ahead_bytes = max(result, 0);
	return note_received(connection, result);
}

/* Up to @bytes bytes that were read already; how many. */
static size_t take_ahead(struct qbd_connection *connection, void *to, size_t bytes)
{
	bytes = min_t(size_t, bytes, connection->ahead_bytes);
	if (!bytes)
		return 0;
	memcpy(to, connection->ahead_at, bytes);
	connection->ahead_at += bytes;
	connection->ahead_bytes -= bytes;
	connection->received += bytes;
	return bytes;
}

/* Go on reading @bytes bytes. GO_ON: they are all there. */
static int receive_bytes(struct qbd_connection *connection, void *to, size_t bytes)
{
	int result;

	for (;;) {
		take_ahead(connection, to + connection->received,
			   bytes - connection->received);
		if (connection->received == bytes)
			break;
		result = read_ahead(connection);
		if (result != GO_ON)
			return result;
	}
	connection->received = 0;
	return GO_ON;
}

static int receive_pages(struct qbd_connection *connection, struct page **pages,
			 size_t bytes)
{
	struct bio_vec *bvecs = connection->bulk->receive_bvecs;
	size_t at, within;
	unsigned int count;
	int result;

	while (connection->received < bytes) {
		struct msghdr message = { .msg_flags = MSG_DONTWAIT };

		at = connection->received;
		within = at & (QBD_BLOCK_SIZE - 1);
		if (take_ahead(connection, page_address(pages[at >> QBD_BLOCK_SHIFT]) + within,
			       min_t(size_t, bytes - at, QBD_BLOCK_SIZE - within)))
			continue;
		for (count = 0; at < bytes && count < QBD_BVECS; count++) {
			within = at & (QBD_BLOCK_SIZE - 1);
			bvecs[count].bv_page = pages[at >> QBD_BLOCK_SHIFT];
			bvecs[count].bv_offset = within;
			bvecs[count].bv_len = QBD_BLOCK_SIZE - within;
			at += QBD_BLOCK_SIZE - within;
		}
		iov_iter_bvec(&message.msg_iter, ITER_DEST, bvecs, count,
			      at - connection->received);
		result = sock_recvmsg(connection->socket, &message, MSG_DONTWAIT);
		if (result > 0)
			connection->received += result;
		result = note_received(connection, result);
		if (result != GO_ON)
			return result;
	}
	connection->received = 0;
	return GO_ON;
}

/* Data for which there was no memory: read, checksum, forget. */
static int receive_discarded(struct qbd_connection *connection, size_t bytes)
{
	u8 *scratch = connection->bulk->fixed;
	size_t taken;
	int result;

	while (connection->received < bytes) {
		taken = take_ahead(connection, scratch,
				   min_t(size_t, bytes - connection->received,
					 QBD_FRAME_FIXED_MAX));
		connection->discard_checksum =
			qbd_crc32c(connection->discard_checksum, scratch, taken);
		if (taken)
			continue;
		result = read_ahead(connection);
		if (result != GO_ON)
			return result;
	}
	connection->received = 0;
	return GO_ON;
}

static int malformed(struct qbd_connection *connection, const char *what)
{
	qbd_connection_malformed(connection, what);
	return -EBADMSG;
}

/* ---- delivery ----------------------------------------------------------- */

static int deliver(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	struct qbd_incoming *incoming = &connection->incoming;
	bool delivered;

	connection->step = QBD_RECEIVE_HEADER;
	spin_lock(&connection->lock);
	delivered = connection->state == QBD_OPEN;
	if (delivered) {
		/* There was room when its header was read. */
		connection->ring[connection->ring_tail % connection->ring_frames] = *incoming;
		WRITE_ONCE(connection->ring_tail, connection->ring_tail + 1);
		connection->reset_waits |= incoming->type == QBD_FRAME_RESET;
		incoming->record = NULL;
		incoming->data = NULL;
	}
	spin_unlock(&connection->lock);
	if (!delivered) {
		qbd_incoming_drop(incoming);
		return -ENOTCONN;
	}
	net->ops->kick(net->context);
	return GO_ON;
}

/* Whether another frame may be read; if not, delivery queues the work again. */
static bool ring_has_room(struct qbd_connection *connection)
{
	bool room;

	spin_lock(&connection->lock);
	room = connection->ring_tail - connection->ring_head < connection->ring_frames &&
	       !connection->reset_waits;
	connection->receiver_waits = !room;
	spin_unlock(&connection->lock);
	return room;
}

/* ---- steps -------------------------------------------------------------- */

static enum qbd_frame_phase phase_of(struct qbd_connection *connection, bool open)
{
	if (!open)
		return QBD_PHASE_HANDSHAKE;
	switch (connection->kind) {
	case QBD_CONNECTION_BULK:
		return QBD_PHASE_BULK;
	case QBD_CONNECTION_ADMIN:
		return QBD_PHASE_ADMIN;
	default:
		return QBD_PHASE_CONTROL;
	}
}

static int receive_header(struct qbd_connection *connection, bool open)
{
	struct qbd_frame_header *header = &connection->header;
	enum qbd_frame_phase phase = phase_of(connection, open);
	const char *reason;
	int result;

	if (open && !ring_has_room(connection))
		return WAIT;
	result = receive_bytes(connection, header, sizeof(*header));
	if (result != GO_ON)
		return result;
	if (!qbd_frame_header_check(header, phase, connection->receive_sequence,
				    &reason))
		return malformed(connection, reason);
	connection->receive_sequence++;
	connection->step = QBD_RECEIVE_FIXED;
	return GO_ON;
}

static int take_message(struct qbd_connection *connection,
			const struct qbd_frame_message *frame)
{
	struct qbd_core_message *message = &connection->incoming.fixed.message;

	qbd_frame_message_decode(message, frame);
	if (message->from != connection->peer ||
	    message->to != connection->net->identity.member_id)
		return malformed(connection, "message: another member's");
	return deliver(connection);
}

static int take_append(struct qbd_connection *connection, const u8 *fixed)
{
	const struct qbd_net_identity *identity = &connection->net->identity;
	const struct qbd_frame_append *append = (const void *)fixed;
	const char *reason;

	if (qbd_record_header_check((const void *)(append + 1),
				    le16_to_cpu(connection->header.fixed_bytes) -
				    sizeof(*append), identity->uuid,
				    identity->device_blocks, &reason))
		return malformed(connection, reason);
	connection->incoming.fixed.append = *append;
	connection->step = QBD_RECEIVE_CLAIM;
	return GO_ON;
}

/* The fixed part is good: what is in it, and does data follow? */
static int take_fixed(struct qbd_connection *connection, const u8 *fixed)
{
	struct qbd_incoming *incoming = &connection->incoming;
	u32 bytes = le16_to_cpu(connection->header.fixed_bytes);

	incoming->type = le16_to_cpu(connection->header.type);
	switch (incoming->type) {
	case QBD_FRAME_PING:
		connection->step = QBD_RECEIVE_HEADER;
		return GO_ON;
	case QBD_FRAME_MESSAGE:
		return take_message(connection, (const void *)fixed);
	case QBD_FRAME_APPEND:
		return take_append(connection, fixed);
	case QBD_FRAME_RESET:
		memcpy(&connection->bulk->reset, fixed, bytes);
		return deliver(connection);
	default:
		if (WARN_ON_ONCE(bytes > sizeof(incoming->fixed)))
			return malformed(connection, "frame length");
		memcpy(&incoming->fixed, fixed, bytes);
		if (!connection->header.data_blocks)
			return deliver(connection);
		connection->step = QBD_RECEIVE_CLAIM;
		return GO_ON;
	}
}

static int receive_fixed(struct qbd_connection *connection, bool open)
{
	u8 *fixed = open && connection->bulk ? connection->bulk->fixed :
					       connection->handshake_fixed;
	const char *reason;
	int result;

	result = receive_bytes(connection, fixed,
			       le16_to_cpu(connection->header.fixed_bytes));
	if (result != GO_ON)
		return result;
	if (!qbd_frame_fixed_check(&connection->header, phase_of(connection, open), fixed,
				   connection->net->identity.device_blocks, &reason))
		return malformed(connection, reason);
	qbd_connection_count(&connection->received_frames, 1);
	WRITE_ONCE(connection->last_received, jiffies);
	if (open)
		return take_fixed(connection, fixed);
	connection->step = QBD_RECEIVE_HEADER;
	qbd_handshake_frame(connection, le16_to_cpu(connection->header.type), fixed);
	return GO_ON;
}

static bool claim_record(struct qbd_connection *connection)
{
	const u8 *header = connection->bulk->fixed + sizeof(struct qbd_frame_append);
	const struct qbd_record_shared *shared = (const void *)header;
	u32 operations = le16_to_cpu(shared->operation_count);
	struct qbd_record *record;

	record = qbd_record_alloc(connection->net->pool, QBD_POOL_APPEND, operations,
				  le32_to_cpu(shared->data_blocks), true);
	if (!record)
		return false;
	memcpy(record->header, header, qbd_record_header_bytes(operations));
	memset(&record->header->local, 0, sizeof(record->header->local));
	qbd_record_adopt(record);
	connection->incoming.record = record;
	return true;
}

static bool claim_pages(struct qbd_connection *connection)
{
	/*
	 * Extents, and sums, which are not to hold up the records behind them, are on a
	 * par with records; a REPLY is what this host asked for.
	 */
	enum qbd_pool_class class =
		connection->incoming.type == QBD_FRAME_REQUEST ||
		connection->incoming.type == QBD_FRAME_REPAIR ? QBD_POOL_WRITE :
		connection->incoming.type == QBD_FRAME_EXTENT ||
		connection->incoming.type == QBD_FRAME_VERIFIED ? QBD_POOL_APPEND :
		QBD_POOL_FORWARD;

	if (connection->incoming.type == QBD_FRAME_APPEND)
		return claim_record(connection);
	connection->incoming.data =
		qbd_buffer_alloc(connection->net->pool, class,
				 le32_to_cpu(connection->header.data_blocks));
	return connection->incoming.data;
}

/* The watching work asks: has the receiver waited so long that it shall look? */
bool qbd_receive_pages_due(struct qbd_connection *connection)
{
	return READ_ONCE(connection->waits_for_pages);
}

/* The receiving work, or the closing one when that is over. */
void qbd_receive_stop_waiting(struct qbd_connection *connection)
{
	if (!connection->waits_for_pages)
		return;
	WRITE_ONCE(connection->waits_for_pages, false);
	WRITE_ONCE(connection->waits_briefly, false);
	atomic_dec(&connection->net->page_waiters);
}

static int receive_claim(struct qbd_connection *connection)
{
	unsigned long wait = msecs_to_jiffies(QBD_PAGES_WAIT_MS);
	bool brief = connection->incoming.type != QBD_FRAME_APPEND;
	bool waited = connection->waits_for_pages;

	/*
	 * Said before it is tried: pages that come back after the failure find
	 * it said. Pairs with qbd_net_pages_available(), by way of the pool's
	 * lock.
	 */
	if (!waited)
		atomic_inc(&connection->net->page_waiters);
	WRITE_ONCE(connection->waits_for_pages, true);
	connection->discard = false;
	if (!claim_pages(connection)) {
		if (!waited)
			connection->waits_since = jiffies;
		if (!brief || time_before(jiffies, connection->waits_since + wait)) {
			WRITE_ONCE(connection->waits_briefly, brief);
			if (!waited)
				qbd_connection_watch(connection);
			return WAIT;
		}
		connection->discard = true;
		connection->discard_checksum = ~0u;
	}
	qbd_receive_stop_waiting(connection);
	connection->step = QBD_RECEIVE_DATA;
	return GO_ON;
}

static u32 data_checksum(struct qbd_connection *connection)
{
	struct qbd_buffer *data = connection->incoming.data;
	u32 i, checksum = ~0u;

	if (connection->discard)
		return connection->discard_checksum;
	for (i = 0; i < data->blocks; i++)
		checksum = qbd_crc32c(checksum, page_address(data->pages[i]),
				      QBD_BLOCK_SIZE);
	return checksum;
}

static int receive_data(struct qbd_connection *connection)
{
	struct qbd_incoming *incoming = &connection->incoming;
	u32 blocks = le32_to_cpu(connection->header.data_blocks);
	size_t bytes = (size_t)blocks << QBD_BLOCK_SHIFT;
	int result;

	if (connection->discard)
		result = receive_discarded(connection, bytes);
	else
		result = receive_pages(connection, incoming->record ?
				       incoming->record->pages :
				       incoming->data->pages, bytes);
	if (result != GO_ON)
		return result;
	WRITE_ONCE(connection->last_received, jiffies);
	if (!qbd_frame_checks_data(incoming->type)) {
		if (qbd_record_data_check(incoming->record))
			return malformed(connection, "append: data checksum");
		incoming->record->verified = true;
	} else if (data_checksum(connection) !=
		   le32_to_cpu(connection->header.data_checksum)) {
		return malformed(connection, "data checksum");
	}
	/* It becomes that of the record's operation. */
	if (incoming->type == QBD_FRAME_REQUEST)
		incoming->fixed.request.data_checksum = connection->header.data_checksum;
	return deliver(connection);
}

/* ---- the work ----------------------------------------------------------- */

/* TCP's own handshake: is it over? */
static int receive_connecting(struct qbd_connection *connection)
{
	struct sock *sk = connection->socket->sk;
	int error;

	switch (READ_ONCE(sk->sk_state)) {
	case TCP_SYN_SENT:
	case TCP_SYN_RECV:
		return WAIT;
	case TCP_ESTABLISHED:
	case TCP_CLOSE_WAIT:
		qbd_handshake_begin(connection);
		return GO_ON;
	default:
		error = sock_error(sk);
		qbd_connection_close_error(connection, error ?: -ECONNABORTED);
		return -ENOTCONN;
	}
}

/* It was told why; it may still be talking. */
static int receive_refusing(struct qbd_connection *connection)
{
	connection->received = 0;
	return receive_bytes(connection, connection->handshake_fixed,
			     sizeof(connection->handshake_fixed));
}

static int receive_step(struct qbd_connection *connection)
{
	enum qbd_connection_state state = qbd_connection_state(connection);
	bool open = state == QBD_OPEN;

	switch (state) {
	case QBD_CLOSED:
		return -ENOTCONN;
	case QBD_CONNECTING:
		return receive_connecting(connection);
	case QBD_REFUSING:
		return receive_refusing(connection);
	default:
		break;
	}
	switch (connection->step) {
	case QBD_RECEIVE_HEADER:
		return receive_header(connection, open);
	case QBD_RECEIVE_FIXED:
		return receive_fixed(connection, open);
	case QBD_RECEIVE_CLAIM:
		return receive_claim(connection);
	case QBD_RECEIVE_DATA:
		return receive_data(connection);
	}
	return -EINVAL;
}

void qbd_receive_work(struct work_struct *work)
{
	struct qbd_connection *connection =
		container_of(work, struct qbd_connection, receive_work);
	bool reserves = qbd_connection_reserves(connection);
	u64 stop = connection->received_bytes + QBD_BUDGET_BYTES;
	unsigned int saved;
	int i, result = WAIT;

	/* Strangers get no reserves, only no wait for writeback. */
	saved = reserves ? memalloc_noreclaim_save() : memalloc_noio_save();
	for (i = 0; i < QBD_BUDGET_FRAMES * 2; i++) {
		result = receive_step(connection);
		if (result != GO_ON || connection->received_bytes >= stop)
			break;
	}
	if (reserves)
		memalloc_noreclaim_restore(saved);
	else
		memalloc_noio_restore(saved);
	if (result == GO_ON)
		qbd_connection_queue(connection, &connection->receive_work);
}
