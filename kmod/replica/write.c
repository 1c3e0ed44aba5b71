// SPDX-License-Identifier: GPL-2.0
/*
 * Writes at the leader: requests into records, records into the log.
 *
 * Everything that is held when the work comes round is one batch: one record, one
 * log write, one frame per follower. Several batches may be on their way. A write
 * completes when its index is committed; an entry of ours that a new leader
 * overwrites gives its requests back to the held list.
 *
 * A write that is in the log already, be it of a leader before, is not appended again:
 * it waits for the entry that has it (repeat.c).
 */
#include <linux/blk-mq.h>

#include "internal.h"

/* Header and book-keeping of a record. */
#define RECORD_PAGES_MAX	4

struct write_batch {
	unsigned int operations;
	unsigned int data_blocks;
	unsigned int local_blocks;
};

/* The entry at @index has it. */
static void write_found(struct qbd_io *io, u64 index)
{
	struct qbd_replica *replica = io->replica;
	struct qbd_core_status status;
	struct qbd_io *other;

	qbd_core_get_status(replica->core, replica->now, &status);
	if (index <= status.commit) {
		qbd_io_complete(io, QBD_REPLY_OK);
		return;
	}
	if (io->data)
		qbd_buffer_free(io->data);
	io->data = NULL;
	io->index = index;
	io->term = status.term;
	list_for_each_entry_reverse(other, &replica->proposed, list)
		if (other->index <= index)
			break;
	list_move(&io->list, &other->list);
}

/*
 * What of the held writes goes into the next record, at @index? The first ones, as far as
 * they fit; those that are in the log leave the list. What is chosen is in the table when
 * this returns, so that a second copy is found, too.
 */
static void batch_choose(struct qbd_replica *replica, struct write_batch *batch, u64 index)
{
	struct qbd_io *io, *next;

	batch->operations = 0;
	batch->data_blocks = 0;
	batch->local_blocks = 0;
	list_for_each_entry_safe(io, next, &replica->writes, list) {
		unsigned int blocks = io->kind == QBD_REQUEST_WRITE ? io->count : 0;
		u64 found;

		if (!qbd_repeat_number(io))
			return;
		switch (qbd_repeat_find(io, &found)) {
		case QBD_WRITE_LATE:
			qbd_io_drop_late(io);
			continue;
		case QBD_WRITE_LOGGED:
			/* It may be that this record comes to nothing. */
			if (found == index)
				return;
			write_found(io, found);
			continue;
		case QBD_WRITE_NEW:
			break;
		}
		if (batch->operations == QBD_OPERATIONS_MAX ||
		    batch->data_blocks + blocks > QBD_RECORD_DATA_BLOCKS_MAX)
			return;
		qbd_repeat_proposing(io, index);
		batch->operations++;
		batch->data_blocks += blocks;
		batch->local_blocks += io->request ? blocks : 0;
	}
}

static void describe(struct qbd_operation *operation, const struct qbd_io *io,
		     u32 checksum)
{
	operation->block = cpu_to_le64(io->block);
	operation->count = cpu_to_le32(io->count);
	operation->data_checksum = cpu_to_le32(checksum);
	operation->kind = cpu_to_le16(io->kind == QBD_REQUEST_WRITE ?
				      QBD_OPERATION_WRITE : QBD_OPERATION_ZERO);
	operation->outstanding = cpu_to_le16(io->outstanding);
	operation->origin = cpu_to_le32(io->origin);
	operation->session = cpu_to_le64(io->session);
	operation->sequence = cpu_to_le64(io->sequence);
	operation->epoch = cpu_to_le64(qbd_claims_newest(io->replica)->epoch);
}

/* Fresh pages for the data of local writes; the others' are moved over later. */
static bool batch_take_pages(struct qbd_replica *replica, struct qbd_record *record,
			     const struct write_batch *batch)
{
	unsigned int number = 0, block = 0, i;
	struct qbd_io *io;

	list_for_each_entry(io, &replica->writes, list) {
		if (number++ == batch->operations)
			break;
		if (io->kind != QBD_REQUEST_WRITE)
			continue;
		for (i = 0; io->request && i < io->count; i++) {
			record->pages[block + i] = qbd_pool_get(replica->pool,
								QBD_POOL_PROPOSE);
			if (!record->pages[block + i])
				return false;
		}
		block += io->count;
	}
	return true;
}

/* Cannot fail: by now everything that could be refused has been. */
static void batch_fill(struct qbd_replica *replica, struct qbd_record *record,
		       const struct write_batch *batch)
{
	unsigned int number = 0, block = 0, i;
	struct qbd_io *io;

	list_for_each_entry(io, &replica->writes, list) {
		u32 checksum = io->checksum;

		if (number == batch->operations)
			break;
		if (io->kind == QBD_REQUEST_WRITE && io->request) {
			checksum = qbd_request_copy_out(io->request,
							record->pages + block,
							io->count);
		} else if (io->kind == QBD_REQUEST_WRITE) {
			for (i = 0; i < io->count; i++) {
				record->pages[block + i] = io->data->pages[i];
				io->data->pages[i] = NULL;
			}
			qbd_buffer_free(io->data);
			io->data = NULL;
		} else {
			checksum = 0;
		}
		describe(&record->header->operations[number++], io, checksum);
		if (io->kind == QBD_REQUEST_WRITE)
			block += io->count;
	}
}

static void batch_proposed(struct qbd_replica *replica, const struct write_batch *batch,
			   u64 index, u64 term)
{
	struct qbd_io *io, *next;
	unsigned int number = 0;

	list_for_each_entry_safe(io, next, &replica->writes, list) {
		if (number++ == batch->operations)
			break;
		io->index = index;
		io->term = term;
		list_move_tail(&io->list, &replica->proposed);
	}
}

/* The record for it, which the core has taken; NULL: not now. */
static struct qbd_record *batch_record(struct qbd_replica *replica,
				       const struct write_batch *batch, u64 last, u64 *index)
{
	struct qbd_record *record;

	if (!qbd_store_has_room_at(replica->store, last + 1, batch->data_blocks,
				   QBD_LOG_RESERVE_BLOCKS))
		return NULL;		/* ops->space() follows */
	/*
	 * A record may go deeper into the pool than what others ask us to write:
	 * else their requests, waiting behind the one that is next, could hold the
	 * very pages that it needs.
	 */
	if (!qbd_pool_expect(replica->pool, QBD_POOL_PROPOSE,
			     batch->local_blocks + RECORD_PAGES_MAX))
		return NULL;		/* the pool's kick follows */
	record = qbd_record_alloc(replica->pool, QBD_POOL_PROPOSE, batch->operations,
				  batch->data_blocks, false);
	if (!record)
		return NULL;		/* the pool's kick follows */
	if (batch_take_pages(replica, record, batch) &&
	    qbd_core_propose(replica->core, replica->now, QBD_ENTRY_DATA, NULL,
			     index) == QBD_PROPOSE_OK)
		return record;
	qbd_record_put(record);
	return NULL;
}

static bool propose_batch(struct qbd_replica *replica)
{
	u64 last = qbd_store_last_index(replica->store);
	struct qbd_core_status status;
	struct write_batch batch;
	struct qbd_record *record;
	u64 index;
	int error;

	batch_choose(replica, &batch, last + 1);
	if (!batch.operations)
		return false;
	record = batch_record(replica, &batch, last, &index);
	if (!record) {
		qbd_repeat_truncated(replica, last + 1);
		return false;
	}
	qbd_core_get_status(replica->core, replica->now, &status);
	batch_fill(replica, record, &batch);
	qbd_record_seal(record, replica->uuid, QBD_RECORD_DATA, index, status.term,
			qbd_store_chain(replica->store, last));
	error = qbd_store_append(replica->store, record);
	if (WARN_ON_ONCE(error || index != last + 1))
		qbd_replica_stop_vouching(replica, "log and consensus disagree");
	qbd_pace_add(&replica->written, replica->now, qbd_record_bytes(record));
	qbd_record_put(record);
	replica->records_appended++;
	batch_proposed(replica, &batch, index, status.term);
	return true;
}

/* Propose what is held, as leader. Stops when there is no room, or a transfer. */
void qbd_write_propose(struct qbd_replica *replica)
{
	if (replica->store_failed || replica->noop_index || !qbd_claim_filter(replica))
		return;
	while (!list_empty(&replica->writes)) {
		if (!propose_batch(replica))
			break;
		qbd_replica_settle(replica);
		/* A single voter may have been deposed by its own failed disk. */
		if (replica->told_role != QBD_ROLE_LEADER || replica->noop_index)
			break;
	}
}

/*
 * A new leader's first entry is in the core's log already and has to be written,
 * before anything else is proposed. If there is no memory or no room now it stays
 * pending; both come back by apply, which needs nothing from us.
 */
void qbd_write_noop(struct qbd_replica *replica)
{
	u64 index = replica->noop_index;
	struct qbd_record *record;
	int error;

	if (!index || replica->store_failed)
		return;
	if (!qbd_store_has_room_at(replica->store, index, 0, 0))
		return;
	/*
	 * Whatever there is: all that is not committed waits for it, and holds all the
	 * memory there is.
	 */
	record = qbd_record_alloc(replica->pool, QBD_POOL_FORWARD, 0, 0, false);
	if (!record)
		return;
	qbd_record_seal(record, replica->uuid, QBD_RECORD_NOOP, index, replica->noop_term,
			qbd_store_chain(replica->store, index - 1));
	error = qbd_store_append(replica->store, record);
	if (WARN_ON_ONCE(error))
		qbd_replica_stop_vouching(replica, "log and consensus disagree");
	qbd_record_put(record);
	replica->noop_index = 0;
	replica->records_appended++;
	qbd_replica_update_fitness(replica);
}

/* Everything up to @commit is committed: those writes are done. */
void qbd_write_committed(struct qbd_replica *replica, u64 commit)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, &replica->proposed, list) {
		if (io->index > commit)
			break;
		qbd_io_complete(io, QBD_REPLY_OK);
	}
}

/* Entries from @first_removed on were overwritten: their requests start anew. */
void qbd_write_truncated(struct qbd_replica *replica, u64 first_removed)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, &replica->proposed, list) {
		if (io->index < first_removed)
			continue;
		qbd_io_leave(io);
	}
	if (replica->noop_index && replica->noop_index >= first_removed) {
		replica->noop_index = 0;
		qbd_replica_update_fitness(replica);
	}
}
