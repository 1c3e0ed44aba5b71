// SPDX-License-Identifier: GPL-2.0
/*
 * The life of one request, local or another member's.
 *
 *   state        list         leaves to
 *   UNCLAIMED    unclaimed    HELD (this host has a claim), done (refused, failed)
 *   HELD         writes,      PROPOSED (leader, write), READING or CONFIRMING
 *                reads        (leader, read), FORWARDED (local, leader elsewhere),
 *                             done (refused, failed, committed before)
 *   PROPOSED     proposed     done (committed), HELD (truncated)
 *   READING      reading      done, CONFIRMING (lease lost meanwhile), HELD (not the
 *                             leader any more; what the disk reads is for nobody)
 *   CONFIRMING   confirming   READING or done (round answered), HELD (it failed)
 *   FORWARDED    forwarded    done (reply), HELD (leader changed, connection lost)
 *   REPLYING     replies      freed (reply given to the network, or peer gone)
 *
 * A request is on exactly one list, which is its state, and is completed exactly
 * once, by qbd_io_complete().
 */
#include <linux/blk-mq.h>
#include <linux/slab.h>

#include "internal.h"

static struct qbd_io *io_init(struct qbd_replica *replica, mempool_t *from)
{
	struct qbd_io *io = mempool_alloc(from, GFP_NOWAIT | __GFP_NOWARN);

	if (!io)
		return NULL;
	memset(io, 0, sizeof(*io));
	io->replica = replica;
	INIT_LIST_HEAD(&io->list);
	return io;
}

/*
 * A block request becomes an io. The pool has one for every tag of the queue, so
 * that this cannot fail; if it ever did the request would be failed.
 */
struct qbd_io *qbd_io_from_request(struct qbd_replica *replica,
				   struct qbd_request *request)
{
	struct qbd_io *io = io_init(replica, replica->local_ios);

	if (WARN_ON_ONCE(!io)) {
		qbd_request_complete(request, BLK_STS_RESOURCE);
		return NULL;
	}
	io->kind = request->kind;
	io->block = request->block;
	io->count = request->count;
	io->arrived = replica->now;
	io->local = true;
	io->origin = replica->member_id;
	io->session = replica->session;
	if (io->kind == QBD_REQUEST_READ)
		io->sequence = QBD_READ_SEQUENCE + request->sequence;
	io->request = request;
	if (io->kind != QBD_REQUEST_READ)
		qbd_hold_stamp(io);
	return io;
}

/* Another member's request; takes @data over unless it returns NULL (no memory). */
struct qbd_io *qbd_io_from_peer(struct qbd_replica *replica, u32 peer,
				const struct qbd_frame_request *request,
				struct qbd_buffer *data)
{
	struct qbd_io *io;

	if (replica->remote_count >= QBD_REMOTE_IO_MAX)
		return NULL;
	io = io_init(replica, replica->remote_ios);
	if (!io)
		return NULL;
	replica->remote_count++;
	io->kind = le32_to_cpu(request->kind);
	io->block = le64_to_cpu(request->block);
	io->count = le32_to_cpu(request->count);
	io->origin = peer;
	io->session = le64_to_cpu(request->session);
	io->sequence = le64_to_cpu(request->sequence);
	io->outstanding = le16_to_cpu(request->outstanding);
	io->checksum = le32_to_cpu(request->data_checksum);
	io->epoch = le64_to_cpu(request->epoch);
	io->asked_term = le64_to_cpu(request->leader_term);
	io->peer = peer;
	io->data = data;
	io->arrived = replica->now;
	return io;
}

static struct qbd_io *answer_init(struct qbd_replica *replica, u32 peer,
				  const struct qbd_frame_request *request)
{
	struct qbd_io *io;

	/* Whoever asks on and on and never takes an answer gets no more of them. */
	if (replica->remote_count >= 2 * QBD_REMOTE_IO_MAX)
		return NULL;
	io = io_init(replica, replica->remote_ios);
	if (!io)
		return NULL;
	replica->remote_count++;
	io->kind = le32_to_cpu(request->kind);
	io->session = le64_to_cpu(request->session);
	io->sequence = le64_to_cpu(request->sequence);
	io->asked_term = le64_to_cpu(request->leader_term);
	io->peer = peer;
	io->arrived = replica->now;
	return io;
}

/* Only an answer, to be sent when the queue to the peer has room. */
bool qbd_io_answer_later(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_request *request,
			 const struct qbd_answer *answer)
{
	struct qbd_io *io = answer_init(replica, peer, request);

	if (!io)
		return false;
	io->status = answer->status;
	io->detail = answer->detail;
	io->member = answer->member;
	io->value = answer->value;
	list_add_tail(&io->list, &replica->replies);
	return true;
}

/*
 * A claim that was just appended: whoever asked for it is told when it is committed. Or with a
 * @ticket one that he has, if this member leads still: when that is released.
 */
bool qbd_io_await_claim(struct qbd_replica *replica, u32 peer,
			const struct qbd_frame_request *request,
			const struct qbd_claim *claim, u64 ticket)
{
	struct qbd_io *io = answer_init(replica, peer, request);

	if (!io)
		return false;
	io->index = claim->epoch;
	io->term = replica->told_term;
	io->detail = claim->mode;
	io->value = claim->epoch;
	io->ticket = ticket;
	list_add_tail(&io->list, ticket ? &replica->confirming : &replica->proposed);
	return true;
}

static void io_free(struct qbd_io *io)
{
	struct qbd_replica *replica = io->replica;

	list_del(&io->list);
	if (io->data) {
		if (io->kind == QBD_REQUEST_READ && !io->local)
			qbd_read_took(io);
		qbd_buffer_free(io->data);
	}
	if (io->bvecs)
		mempool_free(virt_to_page(io->bvecs), replica->bvec_pages);
	if (io->local) {
		mempool_free(io, replica->local_ios);
	} else {
		replica->remote_count--;
		mempool_free(io, replica->remote_ios);
	}
}

/*
 * What has a number goes before what needs one: there may be none before it is answered.
 * The oldest first: when a leader is lost all that was under way comes back at once.
 */
static void hold_numbered(struct qbd_io *io)
{
	struct list_head *writes = &io->replica->writes;
	struct qbd_io *other;

	list_for_each_entry(other, writes, list)
		if (!other->local || !other->sequence || other->sequence > io->sequence)
			break;
	list_move_tail(&io->list, &other->list);
}

/* Back to, or first onto, the held list of its kind; looked at in this pass. */
void qbd_io_hold(struct qbd_io *io)
{
	struct qbd_replica *replica = io->replica;

	/*
	 * Whoever waits before it may wait for these pages. (The pages of others' reads
	 * and writes are no hindrance: nobody's reads wait behind others'.)
	 */
	if (io->local && io->data) {
		qbd_buffer_free(io->data);
		io->data = NULL;
	}
	if (io->kind == QBD_REQUEST_READ)
		list_move_tail(&io->list, &replica->reads);
	else if (io->local && !io->claimed)
		list_move_tail(&io->list, &replica->unclaimed);
	else if (io->local && io->sequence)
		hold_numbered(io);
	else
		list_move_tail(&io->list, &replica->writes);
}

/* To whoever leads next: requests of this host are held until then, other hosts ask again. */
void qbd_io_leave(struct qbd_io *io)
{
	if (io->request)
		qbd_io_hold(io);
	else
		qbd_io_complete(io, QBD_REPLY_NOT_LEADER);
}

static void io_account(struct qbd_io *io, u32 status)
{
	struct qbd_replica *replica = io->replica;
	u64 bytes = (u64)io->count << QBD_BLOCK_SHIFT;

	if (status != QBD_REPLY_OK) {
		replica->errors_count++;
	} else if (io->kind == QBD_REQUEST_READ) {
		replica->reads_done++;
		replica->read_bytes += bytes;
	} else if (io->kind == QBD_REQUEST_WRITE) {
		replica->writes_done++;
		replica->write_bytes += bytes;
	} else {
		replica->zeroes_done++;
	}
}

/* Finished: @status is enum qbd_reply_status. Frees the io, or queues its reply. */
void qbd_io_complete(struct qbd_io *io, u32 status)
{
	struct qbd_replica *replica = io->replica;
	struct qbd_request *request = io->request;

	if (status == QBD_REPLY_OK && replica->told_role == QBD_ROLE_LEADER)
		qbd_rate_done(&replica->rate, replica->now, io->kind == QBD_REQUEST_READ,
			      io->kind == QBD_REQUEST_ZERO ? 1 : io->count,
			      replica->now - io->arrived);
	if (request) {
		if (io->kind != QBD_REQUEST_READ)
			qbd_repeat_answered(io);
		io_account(io, status);
		if (status == QBD_REPLY_OK)
			replica->progress_at = replica->now;
		io_free(io);
		qbd_request_complete(request, status == QBD_REPLY_OK ? BLK_STS_OK :
				     BLK_STS_IOERR);
		return;
	}
	if (io->orphan) {
		io_free(io);
		return;
	}
	io->status = status;
	list_move_tail(&io->list, &replica->replies);
}

/* A copy of a write that its host has the answer to: nobody waits for this one. */
void qbd_io_drop_late(struct qbd_io *io)
{
	if (WARN_ON_ONCE(io->request))
		qbd_io_complete(io, QBD_REPLY_IO_ERROR);
	else
		io_free(io);
}

/* Returns false if the queue to the peer is full: try again when it is not. */
static bool io_send_reply(struct qbd_io *io)
{
	struct qbd_replica *replica = io->replica;
	struct qbd_frame_reply reply = {
		.sequence = cpu_to_le64(io->sequence),
		.session = cpu_to_le64(io->session),
		.leader_term = cpu_to_le64(io->asked_term),
		.status = cpu_to_le32(io->status),
		.detail = cpu_to_le32(io->detail),
		.member = cpu_to_le32(io->member),
		.value = cpu_to_le64(io->value),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REPLY,
		.fixed = &reply,
		.fixed_bytes = sizeof(reply),
	};
	int error;

	if (io->kind == QBD_REQUEST_READ && io->status == QBD_REPLY_OK) {
		reply.count = cpu_to_le32(io->count);
		frame.buffer = io->data;
		frame.data_blocks = io->count;
	}
	error = qbd_net_send(replica->network, io->peer, &frame);
	if (error == -EAGAIN || error == -ENOMEM)
		return false;
	/* Sent, or nobody there to send it to (its sender will ask again). */
	if (!error && frame.buffer) {
		qbd_read_took(io);
		io->data = NULL;
	}
	if (!error)
		qbd_net_push(replica->network, io->peer);
	io_free(io);
	return true;
}

void qbd_io_send_replies(struct qbd_replica *replica)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, &replica->replies, list)
		io_send_reply(io);
}

static void fail_list(struct list_head *list, bool remote_too)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, list, list)
		if (io->request || remote_too)
			qbd_io_complete(io, QBD_REPLY_IO_ERROR);
}

/*
 * No quorum and the policy is to fail, or the device is taken down by force:
 * local requests fail, whatever they wait for. A write that is in the log already
 * may still be committed later, but only before anything written after this.
 * What the disk still reads for them is for nobody.
 */
void qbd_io_fail_local(struct qbd_replica *replica)
{
	qbd_hold_fail(replica);
	fail_list(&replica->unclaimed, false);
	fail_list(&replica->writes, false);
	fail_list(&replica->reads, false);
	fail_list(&replica->proposed, false);
	fail_list(&replica->confirming, false);
	fail_list(&replica->forwarded, false);
	qbd_read_abandon(replica, true);
}

/* Is anybody waiting for an answer of this leader? */
bool qbd_io_under_way(const struct qbd_replica *replica)
{
	return !list_empty(&replica->writes) || !list_empty(&replica->reads) ||
	       !list_empty(&replica->proposed) || !list_empty(&replica->reading) ||
	       !list_empty(&replica->confirming);
}

static u64 oldest_in(const struct list_head *list, u64 oldest)
{
	struct qbd_io *io;

	list_for_each_entry(io, list, list)
		if (io->request)
			oldest = min(oldest, io->arrived);
	return oldest;
}

/* When the oldest local request came that is not at the disk; U64_MAX: none. */
u64 qbd_io_oldest(const struct qbd_replica *replica)
{
	u64 oldest = U64_MAX;

	/* Somebody who opens it waits, too. */
	if (replica->hold.opener_since)
		oldest = replica->hold.opener_since;
	oldest = oldest_in(&replica->unclaimed, oldest);
	oldest = oldest_in(&replica->writes, oldest);
	oldest = oldest_in(&replica->reads, oldest);
	oldest = oldest_in(&replica->proposed, oldest);
	oldest = oldest_in(&replica->confirming, oldest);
	return oldest_in(&replica->forwarded, oldest);
}

static void drop_from(struct list_head *list, u32 peer, bool free_now)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, list, list) {
		if (io->request || io->peer != peer)
			continue;
		io->orphan = true;
		if (free_now)
			io_free(io);
	}
}

/*
 * The connection on which these came is gone. What was not proposed yet must not
 * be any more: its sender sends it again on the next connection - or has restarted, and
 * then a copy of its former run could overwrite what the new one writes, for in the new
 * session nobody knows of it.
 */
void qbd_io_drop_peer(struct qbd_replica *replica, u32 peer)
{
	drop_from(&replica->writes, peer, true);
	drop_from(&replica->reads, peer, true);
	drop_from(&replica->confirming, peer, true);
	drop_from(&replica->replies, peer, true);
	drop_from(&replica->proposed, peer, false);
	drop_from(&replica->reading, peer, false);
}

/* The replica ends: nobody waits for these any more. */
void qbd_io_drop_proposed(struct qbd_replica *replica)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, &replica->proposed, list)
		if (!io->request)
			io_free(io);
}

static void refuse_list(struct list_head *list)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, list, list)
		if (!io->request)
			qbd_io_complete(io, QBD_REPLY_NOT_LEADER);
}

/* Not the leader (any more): others' requests go back to them. */
void qbd_io_refuse_remote(struct qbd_replica *replica)
{
	refuse_list(&replica->writes);
	refuse_list(&replica->reads);
	refuse_list(&replica->confirming);
	/*
	 * Their fate is decided by the next leader; the sender asks that one.
	 * NOT_LEADER would be no lie, for it says nothing of the write itself.
	 */
	refuse_list(&replica->proposed);
}

static u64 list_count_local(const struct list_head *list)
{
	struct qbd_io *io;
	u64 count = 0;

	list_for_each_entry(io, list, list)
		count += io->request ? 1 : 0;
	return count;
}

u64 qbd_io_waiting(const struct qbd_replica *replica)
{
	/* Who opens the device waits, too. */
	return list_count_local(&replica->writes) + list_count_local(&replica->reads) +
	       list_count_local(&replica->unclaimed) +
	       (replica->hold.opener_since ? 1 : 0);
}

static bool has_writes(const struct list_head *list)
{
	struct qbd_io *io;

	list_for_each_entry(io, list, list)
		if (io->request && io->kind != QBD_REQUEST_READ)
			return true;
	return false;
}

/* Are there writes of this host that are not completed? */
bool qbd_io_writes(const struct qbd_replica *replica)
{
	return has_writes(&replica->unclaimed) || has_writes(&replica->writes) ||
	       has_writes(&replica->proposed) || has_writes(&replica->forwarded);
}

u64 qbd_io_in_flight(const struct qbd_replica *replica)
{
	return list_count_local(&replica->proposed) +
	       list_count_local(&replica->reading) +
	       list_count_local(&replica->confirming) +
	       list_count_local(&replica->forwarded);
}
