// SPDX-License-Identifier: GPL-2.0
/*
 * Reads at the leader.
 *
 * Only what is committed is ever read. Under the lease (mode LEASE) a read goes to
 * the store at once, and the lease is looked at again when the data is there; if
 * it ran out meanwhile, a round of heartbeats sent after that moment confirms that
 * no other leader can have committed anything before the data was read. In mode
 * QUORUM the round comes first (ReadIndex, thesis section 6.4).
 */
#include <linux/blk-mq.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "internal.h"

/*
 * Of the pages that data of others' reads may have: so much for one member. One that takes
 * its answers slowly would have all of them before long, and whoever else reads would read
 * at its speed.
 */
#define READ_SHARES	16u

static void read_done(struct qbd_store_read *read);

/* Has whoever asks for this all that it may have? It may always have one. */
static bool over_its_share(const struct qbd_io *io)
{
	struct qbd_replica *replica = io->replica;
	const struct qbd_replica_peer *peer;

	if (io->local || io->data)
		return false;
	peer = qbd_replica_peer(replica, io->peer);
	return peer && peer->read_blocks &&
	       peer->read_blocks + io->count > qbd_pool_pages(replica->pool) / READ_SHARES;
}

/* Pages of the pool for what another member reads. */
static struct qbd_buffer *get_shared(struct qbd_io *io)
{
	struct qbd_buffer *data = qbd_buffer_alloc(io->replica->pool, QBD_POOL_READ, io->count);
	struct qbd_replica_peer *peer = qbd_replica_peer(io->replica, io->peer);

	if (data && peer)
		peer->read_blocks += io->count;
	return data;
}

/**
 * qbd_read_took() - the data of a read has left, or is about to be freed
 * @io: of another member, with data
 */
void qbd_read_took(struct qbd_io *io)
{
	struct qbd_replica_peer *peer = qbd_replica_peer(io->replica, io->peer);

	/* The slot may be another member's by now, which has had nothing of this. */
	if (peer)
		peer->read_blocks -= min(peer->read_blocks, io->count);
	/* One that was passed over may have its turn now. */
	if (!list_empty(&io->replica->reads))
		qbd_replica_kick(io->replica);
}

/*
 * Where the data goes: pages of ours, also for this host's own requests. Those of a
 * request belong to a disk as long as that reads into them; if it hangs the request
 * could neither be answered by another leader nor be failed, and whoever waits for
 * it would be unkillable until the disk answers. A copy is cheap beside a disk.
 */
static bool prepare(struct qbd_io *io)
{
	struct qbd_replica *replica = io->replica;
	unsigned int i;

	if (!io->data)
		io->data = io->local ?
			qbd_buffer_alloc(replica->read_pool, QBD_POOL_FORWARD, io->count) :
			get_shared(io);
	if (!io->data)
		return false;
	if (!io->bvecs) {
		struct page *page = mempool_alloc(replica->bvec_pages,
						  GFP_NOWAIT | __GFP_NOWARN);

		if (!page)
			return false;
		io->bvecs = page_address(page);
	}
	for (i = 0; i < io->count; i++)
		bvec_set_page(&io->bvecs[i], io->data->pages[i], QBD_BLOCK_SIZE, 0);
	io->read.bvec_count = io->count;
	return true;
}

/* What was read is current: it is the answer. */
static void answer(struct qbd_io *io)
{
	if (io->request && !qbd_hold_saw(io, io->value)) {
		qbd_io_hold(io);
		qbd_replica_later(io->replica, io->replica->now);
		return;
	}
	if (io->request)
		qbd_request_copy_in(io->request, io->data->pages, io->count);
	qbd_io_complete(io, QBD_REPLY_OK);
}

static bool submit(struct qbd_io *io)
{
	if (!prepare(io))
		return false;
	/*
	 * Now, and not when the data is there: it may be of before whatever is committed
	 * meanwhile.
	 */
	io->value = qbd_store_commit_index(io->replica->store);
	io->read.block = io->block;
	io->read.count = io->count;
	io->read.bvecs = io->bvecs;
	io->read.done = read_done;
	list_move_tail(&io->list, &io->replica->reading);
	qbd_store_read(io->replica->store, &io->read);
	return true;
}

/* Wait for a round; the ticket was answered with PENDING. */
static void confirm(struct qbd_io *io, u64 ticket, bool data_read)
{
	io->ticket = ticket;
	io->data_read = data_read;
	list_move_tail(&io->list, &io->replica->confirming);
}

/**
 * qbd_read_begin() - try to begin a held read, as leader
 * @io: the read
 *
 * Return: false if it has to stay held (no memory, not the leader after all).
 */
bool qbd_read_begin(struct qbd_io *io)
{
	struct qbd_replica *replica = io->replica;
	u64 ticket;

	if (over_its_share(io))
		return false;
	ticket = ++replica->ticket;
	io->leased = replica->settings.read_mode == QBD_CORE_READ_LEASE;
	switch (qbd_core_read(replica->core, replica->now, ticket,
			      replica->settings.read_mode)) {
	case QBD_READ_READY:
		return submit(io);
	case QBD_READ_PENDING:
		io->leased = false;
		confirm(io, ticket, false);
		return true;
	case QBD_READ_NOT_LEADER:
		return false;
	}
	return false;
}

/**
 * qbd_replica_cannot_read() - this disk cannot read what others may have
 * @replica: replica
 * @format: one line, for people
 *
 * Another member has to lead; this one does for a while only if nobody else can.
 */
void qbd_replica_cannot_read(struct qbd_replica *replica, const char *format, ...)
{
	u64 timeout = (u64)replica->settings.election_timeout_ms * NSEC_PER_MSEC;
	va_list arguments;

	if (replica->now >= replica->read_retry_at)
		replica->read_retry_at = replica->now + 2 * timeout;
	if (!replica->read_failed) {
		replica->read_failed = true;
		va_start(arguments, format);
		vsnprintf(replica->read_problem, sizeof(replica->read_problem), format,
			  arguments);
		va_end(arguments);
		qbd_warn(replica, "%s; leadership is handed over", replica->read_problem);
	}
	replica->step_down_until = replica->now + 20 * timeout;
	qbd_replica_update_fitness(replica);
	qbd_replica_later(replica, replica->read_retry_at);
}

/*
 * Given the time for it nobody took over, though a majority has what is committed. Where there is
 * no such majority whoever could read it may be away, or lack something still: a write would wait
 * for him, and so does a read.
 */
static bool nobody_else_reads(const struct qbd_replica *replica)
{
	struct qbd_core_status status;

	if (replica->told_role != QBD_ROLE_LEADER)
		return false;
	qbd_core_get_status(replica->core, replica->now, &status);
	return status.voters < 2 ||
	       (replica->read_failed && replica->now >= replica->read_retry_at &&
		qbd_core_majority_without(replica->core, replica->now, 0));
}

/* Let another lead and ask that one. Where there is none the error is the answer. */
static void disk_failed_read(struct qbd_io *io)
{
	struct qbd_replica *replica = io->replica;

	if (nobody_else_reads(replica)) {
		qbd_io_complete(io, QBD_REPLY_IO_ERROR);
		return;
	}
	io->attempts = 1;
	qbd_verify_mend(replica, io->block, io->count);
	qbd_replica_cannot_read(replica, "the disk failed a read (error %d)",
				io->read.error);
	qbd_io_leave(io);
}

static void read_done(struct qbd_store_read *read)
{
	struct qbd_io *io = container_of(read, struct qbd_io, read);
	struct qbd_replica *replica = io->replica;
	u64 ticket, now;

	if (io->orphan || replica->phase >= QBD_PHASE_FAILING) {
		/* Others have their answer from the next leader. */
		qbd_io_complete(io, io->request ? QBD_REPLY_IO_ERROR :
				QBD_REPLY_NOT_LEADER);
		return;
	}
	if (read->error) {
		disk_failed_read(io);
		return;
	}
	/*
	 * The replica is told at the end of this pass that its disk has failed, and leads no more
	 * then. What was not flushed may be lost already, and that is what was read:
	 *
	 *	5 led, its disk failed to flush, and gave a reader half of a block that had been
	 *	written and was committed.
	 */
	if (qbd_store_failed(replica->store)) {
		qbd_io_leave(io);
		return;
	}
	/* The clock, not the time of this pass: that may be before the data. */
	now = ktime_get_boottime_ns();
	if (!io->leased || qbd_core_lease_valid(replica->core, now)) {
		answer(io);
		return;
	}
	ticket = ++replica->ticket;
	switch (qbd_core_read(replica->core, now, ticket, QBD_CORE_READ_QUORUM)) {
	case QBD_READ_READY:
		answer(io);
		break;
	case QBD_READ_PENDING:
		confirm(io, ticket, true);
		break;
	case QBD_READ_NOT_LEADER:
		qbd_io_leave(io);
		break;
	}
}

/**
 * qbd_read_abandon() - take local requests away from reads that are at the disk
 * @replica: replica
 * @fail: fail them (it is going down, or nobody can serve them); else they are held,
 *	for the next leader
 *
 * The disk may take its time, or for ever: what it reads into is not theirs.
 */
void qbd_read_abandon(struct qbd_replica *replica, bool fail)
{
	struct qbd_io *io, *next, *again;

	list_for_each_entry_safe(io, next, &replica->reading, list) {
		struct qbd_request *request = io->request;

		if (!request)
			continue;
		again = qbd_io_from_request(replica, request);
		io->request = NULL;
		io->orphan = true;
		if (!again)
			continue;
		again->arrived = io->arrived;
		again->attempts = io->attempts;
		if (fail)
			qbd_io_complete(again, QBD_REPLY_IO_ERROR);
		else
			qbd_io_hold(again);
	}
}

/* A quorum answered a round that began after these tickets. */
void qbd_read_released(struct qbd_replica *replica, u64 ticket)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, &replica->confirming, list) {
		if (io->ticket > ticket)
			break;
		if (io->kind == QBD_REQUEST_CLAIM)
			qbd_io_complete(io, QBD_REPLY_OK);
		else if (io->data_read)
			answer(io);
		else if (!submit(io))
			qbd_io_hold(io);
	}
	qbd_hold_confirmed(replica, ticket, true);
}

/* These tickets will not be answered: leadership was lost. */
void qbd_read_failed(struct qbd_replica *replica, u64 ticket)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, &replica->confirming, list) {
		if (io->ticket > ticket)
			break;
		qbd_io_leave(io);
	}
	qbd_hold_confirmed(replica, ticket, false);
}
