// SPDX-License-Identifier: GPL-2.0
/*
 * Checkpoints: what is applied becomes durable, and log space becomes free.
 *
 *   no batch under way -> flush the data -> write the changed extent table blocks to
 *   the journal -> flush them -> write them to their places -> flush them and write
 *   the state block -> reclaim
 *
 * The extent table is written only behind the flush of the data: an extent that
 * counts as written on disk must have its zeroes there (see batch.c). While that
 * goes on no batch begins, so that the table says nothing newer than the flush.
 * The journal is there because a power cut may tear a block of the table, and
 * neither zeroes nor data may be guessed. It is taken for the table whenever a block
 * of that is damaged, so it, too, is written behind the flush of the data:
 *
 *	journal: extent 6 is written; power cut, its zeroes had not been flushed and are
 *	lost; the block of the table rots. Taken from the journal it said that extent 6
 *	is written, and what the disk had there before was read for zeroes.
 *
 * Records that are applied stay in the ring for members that come back, until it
 * is three quarters full. Those of a witness are all that it has for them: they stay as
 * long as there is room, and then the oldest go, no more of them than is needed. (To know
 * what a data member lacks would change nothing: it is always the newest that it lacks.)
 *
 * While a leader sends its log to a member that was away it keeps three quarters, until it is
 * seven eighths full: the slower that member can be sent it, and whoever writes feels less.
 */
#include "internal.h"

static u64 applicable(const struct qbd_store *store)
{
	return min(store->log.commit_index, store->log.durable_index);
}

/* Log blocks that could be free if everything applied were on the disk. */
static u64 reclaimable(const struct qbd_store *store)
{
	return qbd_log_position(store, store->applied_index + 1) -
	       store->log.first_position;
}

/* A witness, which may lead. A client never gives anything to anybody. */
static bool keeps_for_others(const struct qbd_store *store)
{
	return store->geometry.no_data && !store->geometry.client;
}

/*
 * So many blocks may be in use: early enough that the largest record never waits for
 * room while nothing is done about it, which has to leave the reserve free.
 */
static u64 blocks_mark(const struct qbd_store *store)
{
	u64 blocks = store->geometry.log_blocks;

	return min(keeps_for_others(store) ? blocks / 16 * 15 :
		   blocks / 8 * (store->keeps_more ? 7 : 6),
		   blocks - QBD_LOG_RESERVE_BLOCKS - QBD_RECORD_BLOCKS_MAX);
}

/* And so many records. */
static u64 records_mark(const struct qbd_store *store)
{
	u64 records = store->log.capacity;

	return min(keeps_for_others(store) ? records / 16 * 15 :
		   records / 8 * (store->keeps_more ? 7 : 6),
		   records - QBD_LOG_RESERVE_BLOCKS - 1);
}

static bool log_filling_up(const struct qbd_store *store)
{
	const struct qbd_log *log = &store->log;

	return log->next_position - log->first_position > blocks_mark(store) ||
	       log->last_index - log->first_index >= records_mark(store);
}

/* Space is wanted: is there enough of it to be had to be worth the flushes? */
static bool space_due(const struct qbd_store *store)
{
	if (!log_filling_up(store) || store->applied_index < store->log.first_index)
		return false;
	return reclaimable(store) >= store->geometry.log_blocks / 16 ||
	       store->applied_index - store->log.first_index >= store->log.capacity / 16 ||
	       store->applied_index == applicable(store);
}

/* Half the ring would have to be applied again after a crash. */
static bool replay_due(const struct qbd_store *store)
{
	const struct qbd_state *disk = &store->state.disk;
	u64 from = max(disk->applied_index + 1, store->log.first_index);

	if (store->applied_index < from)
		return false;
	return qbd_log_position(store, store->applied_index + 1) -
	       qbd_log_position(store, from) > store->geometry.log_blocks / 2 ||
	       time_after_eq(jiffies, store->checkpoint.begun_at + QBD_CHECKPOINT_DELAY);
}

static bool idle_due(struct qbd_store *store)
{
	if (!store->idle_armed || time_before(jiffies, store->idle_at) ||
	    store->applied_index < applicable(store) ||
	    store->log.durable_index < store->log.last_index)
		return false;
	store->idle_armed = false;
	return true;
}

static bool checkpoint_due(struct qbd_store *store)
{
	if (store->checkpoint.wanted || store->fill.changed)
		return true;
	if (store->internal || store->checkpoint.clean)
		return false;
	return space_due(store) || replay_due(store) || idle_due(store);
}

/* Where the log will begin: as far back as the high-water mark lets it. */
/* What is dropped at once has to be worth a checkpoint. */
static u64 blocks_kept(const struct qbd_store *store)
{
	u64 blocks = store->geometry.log_blocks;

	return keeps_for_others(store) || store->keeps_more ? blocks_mark(store) - blocks / 8 :
							      blocks / 2;
}

static u64 records_kept(const struct qbd_store *store)
{
	u64 records = store->log.capacity;

	return keeps_for_others(store) || store->keeps_more ? records_mark(store) - records / 8 :
							      records / 2;
}

static u64 first_to_keep(const struct qbd_store *store)
{
	const struct qbd_log *log = &store->log;
	u64 first = log->first_index;

	if (!log_filling_up(store))
		return first;
	while (first <= store->applied_index &&
	       (log->next_position - qbd_log_position(store, first) > blocks_kept(store) ||
		log->last_index - first > records_kept(store)))
		first++;
	return first;
}

void qbd_store_keep_log(struct qbd_store *store, bool more)
{
	if (store->keeps_more == more)
		return;
	store->keeps_more = more;
	qbd_store_wake(store);
}

/* So many blocks are there for each record: what the ring counts by is more of the two. */
static u64 in_blocks(const struct qbd_store *store, u64 records)
{
	return div64_u64(store->geometry.log_blocks, store->log.capacity) * records;
}

void qbd_store_log_reach(const struct qbd_store *store, u64 index, struct qbd_log_reach *reach)
{
	const struct qbd_log *log = &store->log;
	u64 used = log->next_position - log->first_position;
	u64 records = log->last_index + 1 - log->first_index;
	u64 from = clamp(index + 1, log->first_index, log->last_index + 1);

	reach->behind = max(log->next_position - qbd_log_position(store, from),
			    in_blocks(store, log->last_index + 1 - from));
	reach->kept = min(blocks_kept(store), in_blocks(store, records_kept(store)));
	reach->left = min(blocks_mark(store) - min(used, blocks_mark(store)),
			  in_blocks(store, records_mark(store) -
				    min(records, records_mark(store))));
}

/* What will be true when the state block is written. */
static void compose_next(struct qbd_store *store)
{
	struct qbd_state *next = &store->checkpoint.next;
	const struct qbd_state *disk = &store->state.disk;
	u64 first = first_to_keep(store);

	*next = *disk;
	next->applied_index = store->applied_index;
	next->applied_term = qbd_log_term(store, store->applied_index);
	next->applied_chain = qbd_store_chain(store, store->applied_index);
	next->applied_position = qbd_log_position(store, store->applied_index + 1);
	next->log_first_index = first;
	next->log_first_position = qbd_log_position(store, first);
	next->log_previous_term = qbd_log_term(store, first - 1);
	next->log_previous_chain = qbd_store_chain(store, first - 1);
	qbd_log_membership(store, first - 1, &disk->membership, &next->membership);
	qbd_log_membership(store, store->applied_index, &disk->membership,
			   &next->applied_membership);
	next->device_blocks = store->geometry.device_blocks;
	store->checkpoint.fill = store->fill.changed;
	if (store->fill.changed) {
		store->fill.changed = false;
		if (store->fill.next_range)
			qbd_fill_plan_next(&next->fill_plan);
		store->fill.next_range = false;
		next->fill_cursor = store->fill.cursor;
		next->fill_through_index = store->fill.through_index;
		if (store->fill.finish)
			next->flags &= ~(QBD_STATE_FILLING | QBD_STATE_LOG_KEPT);
	}
}

static void flush(struct qbd_store *store, enum qbd_checkpoint_step step)
{
	struct qbd_checkpoint *checkpoint = &store->checkpoint;

	checkpoint->data_dirty = false;
	checkpoint->step = step;
	store->status.flushes++;
	qbd_bio_submit(qbd_bio_alloc(store, QBD_BIO_FLUSH, NULL,
				     REQ_OP_WRITE | REQ_PREFLUSH | QBD_REQ_WRITE, 0, 0));
}

static void begin(struct qbd_store *store)
{
	struct qbd_checkpoint *checkpoint = &store->checkpoint;

	checkpoint->wanted = false;
	checkpoint->begun_at = jiffies;
	checkpoint->step = QBD_CHECKPOINT_JOURNAL;
	store->status.checkpoints++;
	compose_next(store);
	if (qbd_extents_begin_round(store) && checkpoint->data_dirty)
		flush(store, QBD_CHECKPOINT_DATA);
}

/* Everything that @next claims is on the disk, or will be by the state's flush. */
static void publish(struct qbd_store *store)
{
	struct qbd_checkpoint *checkpoint = &store->checkpoint;
	struct qbd_state *disk = &store->state.disk;
	u64 sequence = disk->sequence;

	if (disk->applied_index != checkpoint->next.applied_index)
		store->ops->applied_state(store->context, checkpoint->next.applied_index,
					  &store->state.applied);
	qbd_store_say_data(store, checkpoint->next.applied_index, &store->state.applied);
	*disk = checkpoint->next;
	disk->sequence = sequence;	/* others may have written meanwhile */
	checkpoint->version = qbd_state_request(store, true);
	checkpoint->step = QBD_CHECKPOINT_STATE;
	store->status.flushes++;
	qbd_state_step(store);
}

static void journal_step(struct qbd_store *store)
{
	if (!qbd_extents_write(store, true))
		return;
	if (store->extents.block_count || store->checkpoint.data_dirty)
		flush(store, QBD_CHECKPOINT_FLUSH);
	else
		store->checkpoint.step = QBD_CHECKPOINT_TABLE;
}

/* The journal is free for another round only when this one is in its places. */
static void table_step(struct qbd_store *store)
{
	if (!qbd_extents_write(store, false))
		return;
	if (store->extents.dirty_count)
		flush(store, QBD_CHECKPOINT_REFLUSH);
	else
		publish(store);
}

void qbd_checkpoint_flushed(struct qbd_store *store, int error)
{
	struct qbd_checkpoint *checkpoint = &store->checkpoint;

	if (error) {
		qbd_store_fail(store, error, "flushing the disk");
	} else if (checkpoint->step == QBD_CHECKPOINT_DATA) {
		checkpoint->step = QBD_CHECKPOINT_JOURNAL;
	} else if (checkpoint->step == QBD_CHECKPOINT_FLUSH) {
		checkpoint->step = QBD_CHECKPOINT_TABLE;
	} else if (checkpoint->step == QBD_CHECKPOINT_REFLUSH) {
		qbd_extents_begin_round(store);
		checkpoint->step = QBD_CHECKPOINT_JOURNAL;
	}
}

static void finish(struct qbd_store *store)
{
	struct qbd_checkpoint *checkpoint = &store->checkpoint;

	checkpoint->step = QBD_CHECKPOINT_NONE;
	qbd_grow_durable(store, checkpoint->next.device_blocks);
	if (checkpoint->fill) {
		checkpoint->fill = false;
		if (!(checkpoint->next.flags & QBD_STATE_FILLING))
			store->fill.active = false;
		/* Another change came meanwhile: it is reported with the next one. */
		store->notices.fill_durable = !store->fill.changed;
	}
	qbd_log_reclaim(store, checkpoint->next.log_first_index);
}

void qbd_checkpoint_step(struct qbd_store *store)
{
	struct qbd_checkpoint *checkpoint = &store->checkpoint;

	if (store->failed) {
		if (!store->inflight[QBD_BIO_FLUSH] && !store->inflight[QBD_BIO_TABLE])
			checkpoint->step = QBD_CHECKPOINT_NONE;
		return;
	}
	if (checkpoint->step == QBD_CHECKPOINT_NONE && !store->fill.resetting &&
	    checkpoint_due(store))
		checkpoint->step = QBD_CHECKPOINT_QUIESCE;
	if (checkpoint->step == QBD_CHECKPOINT_QUIESCE && !store->batch.kind)
		begin(store);
	if (checkpoint->step == QBD_CHECKPOINT_JOURNAL)
		journal_step(store);
	if (checkpoint->step == QBD_CHECKPOINT_TABLE)
		table_step(store);
	if (checkpoint->step == QBD_CHECKPOINT_STATE &&
	    store->state.durable >= checkpoint->version)
		finish(store);
}
