// SPDX-License-Identifier: GPL-2.0
/*
 * Bringing a member up by extents, at the member that is filled.
 *
 * Reset first writes the intent: which index the old data is of, after which index
 * the log begins anew, nothing filled yet. It is durable before anything of the
 * fill is written, and dropped only when all of it is (accidents 45, 46). From the
 * intent a crash at any time leads back to asking for every extent that changed
 * after the base.
 *
 * The base is the applied index of the last checkpoint: what was applied since
 * may be lost in a crash now that its records are, and is asked for again. (Without a
 * crash it is not; by the next cursor on disk it is durable.)
 *
 * A reset while it is being filled goes on where that stopped, see fill_plan.h.
 */
#include <linux/slab.h>

#include "internal.h"

int qbd_fill_init(struct qbd_store *store)
{
	struct qbd_fill *fill = &store->fill;
	unsigned int i;

	INIT_LIST_HEAD(&fill->free);
	INIT_LIST_HEAD(&fill->queue);
	INIT_LIST_HEAD(&fill->running);
	INIT_LIST_HEAD(&fill->finished);
	fill->operations = kvcalloc(QBD_STORE_FILL_WRITES_MAX,
				    sizeof(*fill->operations), GFP_KERNEL);
	if (!fill->operations)
		return -ENOMEM;
	for (i = 0; i < QBD_STORE_FILL_WRITES_MAX; i++)
		list_add_tail(&fill->operations[i].list, &fill->free);
	return 0;
}

void qbd_store_reset(struct qbd_store *store, u64 index, u64 term, u32 chain,
		     const struct qbd_membership_layout *membership,
		     const struct qbd_applied_layout *applied)
{
	struct qbd_fill *fill = &store->fill;

	if (store->failed || store->stopping)
		return;
	fill->resetting = true;
	fill->reset_version = 0;
	fill->reset_index = index;
	fill->reset_term = term;
	fill->reset_chain = chain;
	fill->reset_membership = *membership;
	fill->reset_applied = *applied;
	qbd_store_wake(store);
}

/* No batch and no checkpoint is under way: the log is emptied, the intent written. */
static void reset_now(struct qbd_store *store)
{
	struct qbd_fill *fill = &store->fill;
	struct qbd_state *disk = &store->state.disk;
	u64 index = fill->reset_index;

	if (disk->flags & QBD_STATE_FILLING) {
		qbd_fill_plan_reset(&fill->plan, disk->fill_cursor, store->applied_index);
		qbd_fill_plan_reset(&disk->fill_plan, disk->fill_cursor, disk->applied_index);
	} else {
		qbd_fill_plan_begin(&fill->plan, store->applied_index);
		qbd_fill_plan_begin(&disk->fill_plan, disk->applied_index);
		disk->fill_cursor = 0;
		disk->fill_through_index = 0;
	}
	store->overlay = RB_ROOT_CACHED;
	/* What was to be said of the old log is not true of the new one. */
	store->notices.log_durable = false;
	store->notices.log_reclaimed = false;
	store->notices.applied = false;
	qbd_log_restart(store, index, fill->reset_term, fill->reset_chain);
	qbd_log_base_data(store, index, &fill->reset_applied);
	store->applied_index = index;
	/*
	 * A reset sends nothing that lies after its index: what was acknowledged
	 * beyond it is missing until the log has it again, also after a restart.
	 */
	if (store->damaged_through <= index)
		store->damaged_through = 0;
	store->damaged_tail = false;
	store->damage_suspected = false;
	fill->active = true;
	fill->cursor = disk->fill_cursor;
	/* What was filled may be newer than what this leader has applied. */
	fill->through_index = max(disk->fill_through_index, index);
	fill->next_range = false;
	fill->finish = false;
	fill->changed = false;

	disk->flags |= QBD_STATE_FILLING;
	disk->flags &= ~QBD_STATE_LOG_KEPT;
	disk->fill_index = index;
	disk->fill_term = fill->reset_term;
	disk->fill_through_index = fill->through_index;
	disk->applied_index = index;
	disk->applied_term = fill->reset_term;
	disk->applied_chain = fill->reset_chain;
	disk->applied_position = store->log.next_position;
	disk->log_first_index = index + 1;
	disk->log_first_position = store->log.first_position;
	disk->log_previous_term = fill->reset_term;
	disk->log_previous_chain = fill->reset_chain;
	disk->membership = fill->reset_membership;
	disk->applied_membership = fill->reset_membership;
	store->state.applied = fill->reset_applied;
	fill->reset_version = qbd_state_request(store, false);
	/* The ring's old content may still be on its way there. */
	store->log.barrier = fill->reset_version;
	qbd_state_step(store);
}

const struct qbd_fill_plan *qbd_store_fill_plan(const struct qbd_store *store)
{
	return &store->fill.plan;
}

u64 qbd_store_fill_cursor(const struct qbd_store *store)
{
	return store->state.disk.fill_cursor;
}

static void queue_operation(struct qbd_store *store, u64 block, u32 count,
			    struct page **pages, bool same, u64 index, void *cookie)
{
	struct qbd_fill *fill = &store->fill;
	u64 blocks = store->geometry.device_blocks;
	struct qbd_fill_operation *operation;

	operation = list_first_entry_or_null(&fill->free, struct qbd_fill_operation,
					     list);
	if (WARN_ON_ONCE(!operation)) {
		/* It will be asked for again. */
		store->ops->fill_written(store->context, cookie, -ENOBUFS);
		return;
	}
	*operation = (struct qbd_fill_operation){
		.list = operation->list, .block = block, .count = count,
		.index = index, .pages = pages, .same = same, .cookie = cookie,
	};
	list_move_tail(&operation->list, &fill->queue);
	if (WARN_ON_ONCE(!count || block >= blocks || count > blocks - block))
		operation->error = -EINVAL;
	else if (!fill->active || store->failed || store->stopping)
		operation->error = -EIO;
	if (operation->error)
		list_move_tail(&operation->list, &fill->finished);
	qbd_store_wake(store);
}

void qbd_store_fill_write(struct qbd_store *store, u64 block, u32 count,
			  struct page **pages, u64 index, void *cookie)
{
	queue_operation(store, block, count, pages, false, index, cookie);
}

void qbd_store_fill_same(struct qbd_store *store, u64 block, u32 count, u64 index)
{
	queue_operation(store, block, count, NULL, true, index, NULL);
}

/* Insert by block; false if it overlaps one that is there. */
static bool running_add(struct qbd_fill *fill, struct qbd_fill_operation *operation)
{
	struct qbd_fill_operation *other;

	list_for_each_entry(other, &fill->running, list) {
		if (other->block >= operation->block + operation->count)
			break;
		if (other->block + other->count > operation->block)
			return false;
	}
	list_move_tail(&operation->list, &other->list);
	return true;
}

/* All that waits and does not overlap, as one batch. */
static void begin_batch(struct qbd_store *store)
{
	struct qbd_fill *fill = &store->fill;
	struct qbd_fill_operation *operation, *next;

	list_for_each_entry_safe(operation, next, &fill->queue, list)
		if (!running_add(fill, operation))
			break;
	list_for_each_entry(operation, &fill->running, list) {
		qbd_batch_add(store, operation->block,
			      operation->block + operation->count - 1,
			      operation->pages, operation->index, true);
		store->batch.pieces[store->batch.piece_count - 1].same = operation->same;
	}
	qbd_batch_begin(store, QBD_BATCH_FILL);
}

void qbd_fill_step(struct qbd_store *store)
{
	struct qbd_fill *fill = &store->fill;

	if (store->failed) {
		struct qbd_fill_operation *operation;

		list_for_each_entry(operation, &fill->queue, list)
			operation->error = -EIO;
		list_splice_tail_init(&fill->queue, &fill->finished);
		return;
	}
	if (fill->resetting) {
		if (!fill->reset_version && !store->batch.kind &&
		    !store->checkpoint.step)
			reset_now(store);
		return;
	}
	if (!list_empty(&fill->queue) && !store->batch.kind &&
	    !qbd_checkpoint_holds_batches(store))
		begin_batch(store);
}

void qbd_fill_batch_done(struct qbd_store *store)
{
	struct qbd_fill *fill = &store->fill;
	struct qbd_fill_operation *operation;

	if (store->failed)
		list_for_each_entry(operation, &fill->running, list)
			operation->error = -EIO;
	list_splice_tail_init(&fill->running, &fill->finished);
}

bool qbd_fill_notify(struct qbd_store *store)
{
	struct qbd_fill *fill = &store->fill;
	bool told = false;

	while (!list_empty(&fill->finished)) {
		struct qbd_fill_operation *operation =
			list_first_entry(&fill->finished, struct qbd_fill_operation,
					 list);
		void *cookie = operation->cookie;
		int error = operation->error;

		list_move_tail(&operation->list, &fill->free);
		store->ops->fill_written(store->context, cookie, error);
		told = true;
	}
	return told;
}

void qbd_store_fill_advance(struct qbd_store *store, u64 cursor, u64 through_index)
{
	struct qbd_fill *fill = &store->fill;

	if (WARN_ON_ONCE(!fill->active || fill->resetting))
		return;
	fill->cursor = cursor;
	fill->through_index = max(fill->through_index, through_index);
	fill->changed = true;
	qbd_store_wake(store);
}

bool qbd_store_fill_next_range(struct qbd_store *store, u64 through_index)
{
	struct qbd_fill *fill = &store->fill;

	if (!qbd_fill_plan_next(&fill->plan))
		return false;
	fill->next_range = true;
	qbd_store_fill_advance(store, 0, through_index);
	return true;
}

void qbd_store_fill_finish(struct qbd_store *store)
{
	struct qbd_fill *fill = &store->fill;

	if (WARN_ON_ONCE(!fill->active || fill->resetting ||
			 store->applied_index < fill->through_index))
		return;
	fill->finish = true;
	fill->changed = true;
	qbd_store_wake(store);
}
