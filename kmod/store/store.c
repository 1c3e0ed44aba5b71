// SPDX-License-Identifier: GPL-2.0
/*
 * The store's life, its run loop, and what it tells its replica.
 *
 * Everything is a state machine that qbd_store_step() moves on as far as it goes;
 * completions only change state. Callbacks are made at one place, after all of
 * them have moved, so that what the replica does in a callback meets a store that
 * is consistent.
 */
#include <linux/ktime.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "internal.h"

const struct qbd_store_identity *qbd_store_identity(const struct qbd_store *store)
{
	return &store->identity;
}

/* Have the store run soon, once. */
void qbd_store_wake(struct qbd_store *store)
{
	if (store->kicked || store->internal)
		return;
	store->kicked = true;
	store->ops->kick(store->context);
}

/*
 * A write or flush failed: what it was to make durable may be lost, now or later,
 * and trying again proves nothing (accident 43). Nothing is vouched for from here
 * on, nor is what is read: a disk that failed to flush may have lost what it had.
 */
void qbd_store_fail(struct qbd_store *store, int error, const char *what)
{
	if (store->failed)
		return;
	store->failed = true;
	store->notices.failed = true;
	store->notices.failed_error = error;
	store->notices.failed_what = what;
	store->status.failed = true;
	/* Say so on the disk, if it still takes writes. */
	qbd_state_request(store, false);
	qbd_store_wake(store);
}

static void timer_function(struct timer_list *timer)
{
	struct qbd_store *store = container_of(timer, struct qbd_store, timer);

	WRITE_ONCE(store->timer_fired, true);
	store->ops->kick(store->context);
}

static void sooner(bool *any, unsigned long *at, unsigned long when)
{
	if (!*any || time_before(when, *at))
		*at = when;
	*any = true;
}

/* The nearest of the things that wait for time to pass. */
static void timer_set(struct qbd_store *store)
{
	u64 applicable = min(store->log.commit_index, store->log.durable_index);
	unsigned long at = jiffies;
	bool any = false;

	if (store->internal || store->stopped || store->failed)
		return;
	if (store->applied_index < applicable && !store->batch.kind &&
	    !store->apply_paused && !store->fill.resetting &&
	    !qbd_grow_pending(store) && !qbd_checkpoint_holds_batches(store))
		sooner(&any, &at, store->apply_at);
	if (qbd_grow_pending(store) && store->grow.waiting)
		sooner(&any, &at, store->grow.again_at);
	if (!store->state.mirrored && !store->state.writing)
		sooner(&any, &at, store->state.mirror_at);
	if (store->idle_armed && !store->checkpoint.step && !store->stopping &&
	    !store->fill.resetting && store->applied_index >= applicable &&
	    store->log.durable_index == store->log.last_index)
		sooner(&any, &at, store->idle_at);
	if (!any)
		return;
	if (!timer_pending(&store->timer) || time_before(at, store->timer.expires))
		mod_timer(&store->timer, time_before(at, jiffies) ? jiffies : at);
}

/* One finished bio. */
static void end_io(struct qbd_store *store, struct qbd_bio *bio)
{
	switch (bio->kind) {
	case QBD_BIO_LOG:
		qbd_log_end_io(store, bio->object, bio->error);
		break;
	case QBD_BIO_STATE:
		qbd_state_end_io(store, bio->error);
		break;
	case QBD_BIO_FLUSH:
		qbd_checkpoint_flushed(store, bio->error);
		break;
	case QBD_BIO_TABLE:
		qbd_extents_end_io(store, bio->block, bio->error);
		break;
	case QBD_BIO_BATCH:
		qbd_batch_end_io(store, bio);
		break;
	case QBD_BIO_READ:
		qbd_read_end_io(store, bio->object, bio->error);
		break;
	case QBD_BIO_LOAD:
		qbd_load_end_io(store, bio->object, bio->error);
		break;
	default:
		WARN_ON_ONCE(1);
	}
	qbd_bio_free(bio);
}

static void drain(struct qbd_store *store)
{
	struct llist_node *list = llist_reverse_order(llist_del_all(&store->completed));
	struct qbd_bio *bio, *next;

	llist_for_each_entry_safe(bio, next, list, completed)
		end_io(store, bio);
}

bool qbd_store_quiet(const struct qbd_store *store)
{
	unsigned int kind;

	for (kind = 0; kind < QBD_BIO_KINDS; kind++)
		if (store->inflight[kind])
			return false;
	return true;
}

/* Down in order: all that is committed applied, a last checkpoint, both slots. */
static void stop_step(struct qbd_store *store)
{
	u64 applicable = min(store->log.commit_index, store->log.durable_index);

	if (!store->stopping || store->stopped || store->checkpoint.step)
		return;
	if (store->failed) {
		store->stopped = qbd_store_quiet(store);
		return;
	}
	if (store->log.durable_index < store->log.last_index || store->log.barrier ||
	    store->batch.kind || store->fill.resetting ||
	    !list_empty(&store->fill.queue) || !list_empty(&store->reads) ||
	    store->inflight[QBD_BIO_LOAD] || store->inflight[QBD_BIO_READ])
		return;
	if (!store->apply_paused && store->applied_index < applicable &&
	    !qbd_grow_stuck(store))
		return;
	if (!store->checkpoint.clean) {
		store->checkpoint.clean = true;
		store->checkpoint.wanted = true;
		qbd_checkpoint_step(store);
		return;
	}
	if (!store->checkpoint.wanted && store->state.mirrored &&
	    !store->state.writing && store->state.durable == store->state.wanted)
		store->stopped = qbd_store_quiet(store);
}

/*
 * The replica of a failed disk goes on forwarding what its users ask for, and needs
 * memory for that: the records that will never be applied here have to give it back,
 * once the replica knows (it reads no more) and the disk does not write from them.
 */
static void release_step(struct qbd_store *store)
{
	if (!store->failed || store->released || store->notices.failed ||
	    store->batch.kind || store->inflight[QBD_BIO_LOG] ||
	    store->inflight[QBD_BIO_BATCH])
		return;
	store->released = true;
	qbd_log_release(store);
}

void qbd_store_step(struct qbd_store *store)
{
	struct blk_plug plug;

	blk_start_plug(&plug);
	qbd_log_submit(store);
	qbd_state_step(store);
	qbd_read_step(store);
	/* First what ends a batch, then what begins the next one. */
	qbd_batch_step(store);
	qbd_checkpoint_step(store);
	qbd_grow_step(store);
	qbd_fill_step(store);
	qbd_apply_step(store);
	stop_step(store);
	qbd_log_trim(store);
	release_step(store);
	blk_finish_plug(&plug);
	timer_set(store);
}

/* Tell the replica; true if there was something to tell. */
static bool notify(struct qbd_store *store)
{
	const struct qbd_store_ops *ops = store->ops;
	struct qbd_notices notices = store->notices;
	void *context = store->context;
	struct qbd_log *log = &store->log;
	bool told = false;

	store->notices = (struct qbd_notices){ };
	if (store->want_memory &&
	    qbd_pool_expect(store->pool, QBD_POOL_APPEND,
			    qbd_record_pages(QBD_OPERATIONS_MAX,
					     QBD_RECORD_DATA_BLOCKS_MAX))) {
		store->want_memory = false;
		notices.space = true;
	}
	if (notices.failed)
		ops->failed(context, notices.failed_error, notices.failed_what);
	if (notices.log_durable && !store->failed && log->durable_index >= log->first_index)
		ops->log_durable(context, log->generation,
				 qbd_log_term(store, log->durable_index),
				 log->durable_index);
	if (notices.state_durable && !store->failed)
		ops->state_durable(context, store->state.vote_durable);
	if (notices.reset_durable && !store->failed)
		ops->reset_durable(context, store->log.first_index - 1);
	if (notices.applied)
		ops->applied(context, store->applied_index);
	if (notices.log_reclaimed)
		ops->log_reclaimed(context, store->log.first_index);
	if (notices.fill_durable && !store->failed)
		ops->fill_durable(context);
	if (notices.space)
		ops->space(context);
	told = notices.failed || notices.log_durable || notices.state_durable ||
	       notices.reset_durable || notices.applied || notices.log_reclaimed ||
	       notices.fill_durable || notices.space;
	told |= qbd_fill_notify(store);
	told |= qbd_load_notify(store);
	if (notices.apply_idle)
		ops->kick(context);
	return told;
}

void qbd_store_run(struct qbd_store *store)
{
	store->kicked = false;
	do {
		WRITE_ONCE(store->timer_fired, false);
		drain(store);
		qbd_store_step(store);
	} while (notify(store));
}

/* While the store is being opened. */
void qbd_store_answered(struct qbd_store *store)
{
	if (!store->stopping && !store->ops->answered(store->context))
		store->unwanted = true;
}

/* Nobody is to be told while the store is being opened or closed. */
void qbd_store_pump(struct qbd_store *store, bool (*done)(struct qbd_store *store))
{
	for (;;) {
		drain(store);
		qbd_store_step(store);
		if (done(store))
			break;
		if (qbd_store_quiet(store)) {
			WARN_ON_ONCE(!store->failed);
			break;
		}
		wait_event(store->wait, !llist_empty(&store->completed));
		qbd_store_answered(store);
	}
}

void qbd_store_stop(struct qbd_store *store)
{
	store->stopping = true;
	qbd_store_wake(store);
}

bool qbd_store_failed(const struct qbd_store *store)
{
	return store->failed;
}

bool qbd_store_stopped(const struct qbd_store *store)
{
	return store->stopped;
}

static bool nothing_in_flight(struct qbd_store *store)
{
	return qbd_store_quiet(store);
}

/* Records still here go back to the pool; their overlay nodes with them. */
static void release_records(struct qbd_store *store)
{
	struct qbd_log *log = &store->log;
	struct qbd_record *record, *next;

	list_for_each_entry_safe(record, next, &log->resident, link) {
		list_del_init(&record->link);
		qbd_record_put(record);
	}
}

void qbd_store_free(struct qbd_store *store)
{
	unsigned int i;

	release_records(store);
	for (i = 0; i < QBD_LOADS_MAX; i++)
		qbd_record_put(store->loads[i].record);
	qbd_extents_free(store);
	kvfree(store->log.slots);
	kvfree(store->batch.nodes);
	kvfree(store->batch.pieces);
	kvfree(store->batch.segments);
	kvfree(store->fill.operations);
	for (i = 0; i < QBD_STATE_SLOT_BLOCKS; i++)
		if (store->state.pages[i])
			__free_page(store->state.pages[i]);
	qbd_bio_exit(store);
	qbd_compat_bdev_close(&store->device);
	kfree_sensitive(store);		/* with the device's secret */
}

/*
 * Phases: nobody starts anything (stopping, failed: steps submit nothing new);
 * the timer is gone; what is in flight comes back, however long the disk takes;
 * no end_io is left inside the store; free.
 */
void qbd_store_close(struct qbd_store *store)
{
	WRITE_ONCE(store->internal, true);
	store->stopping = true;
	if (!store->stopped) {
		/* Not down in order: the next start recovers. Write nothing more. */
		store->failed = true;
		store->failed_written = true;
	}
	timer_shutdown_sync(&store->timer);
	qbd_grow_end(store);
	while (!qbd_store_quiet(store)) {
		wait_event(store->wait, !llist_empty(&store->completed));
		drain(store);
	}
	qbd_store_pump(store, nothing_in_flight);
	synchronize_rcu();
	qbd_store_free(store);
}

static struct qbd_store *store_alloc(const struct qbd_store_ops *ops, void *context,
				     struct qbd_pool *pool)
{
	struct qbd_store *store = kzalloc(sizeof(*store), GFP_KERNEL);

	if (!store)
		return NULL;
	store->ops = ops;
	store->context = context;
	store->pool = pool;
	store->internal = true;
	store->overlay = RB_ROOT_CACHED;
	init_llist_head(&store->completed);
	init_waitqueue_head(&store->wait);
	timer_setup(&store->timer, timer_function, 0);
	qbd_grow_init(store);
	INIT_LIST_HEAD(&store->log.resident);
	INIT_LIST_HEAD(&store->reads);
	if (qbd_bio_init(store)) {
		kfree(store);
		return NULL;
	}
	return store;
}

static int store_buffers(struct qbd_store *store)
{
	struct qbd_batch *batch = &store->batch;
	unsigned int i;

	batch->nodes = kvcalloc(QBD_BATCH_OPERATIONS, sizeof(*batch->nodes), GFP_KERNEL);
	batch->pieces = kvcalloc(QBD_BATCH_PIECES, sizeof(*batch->pieces), GFP_KERNEL);
	batch->segments = kvcalloc(QBD_BATCH_SEGMENTS, sizeof(*batch->segments),
				   GFP_KERNEL);
	if (!batch->nodes || !batch->pieces || !batch->segments)
		return -ENOMEM;
	for (i = 0; i < QBD_STATE_SLOT_BLOCKS; i++) {
		store->state.pages[i] = alloc_page(GFP_KERNEL);
		if (!store->state.pages[i])
			return -ENOMEM;
	}
	return qbd_fill_init(store);
}

static const char *open_problem(int error)
{
	switch (error) {
	case -EBUSY:
		return "is in use (mounted, or by another device); free it first";
	case -ENOTBLK:
		return "is no block device";
	case -ENOENT:
	case -ENXIO:
		return "does not exist";
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return "is write-protected";
	default:
		return "cannot be opened";
	}
}

int qbd_store_find(const char *path, dev_t *number, char *error_text,
		   size_t error_text_size)
{
	int error = qbd_compat_bdev_find(path, number);

	if (error)
		snprintf(error_text, error_text_size, "%s %s", path, open_problem(error));
	return error;
}

struct qbd_store *qbd_store_open(dev_t number, const char *path, struct qbd_pool *pool,
				 const struct qbd_store_ops *ops, void *context,
				 struct qbd_store_recovered *recovered,
				 char *error_text, size_t error_text_size)
{
	struct qbd_store *store = store_alloc(ops, context, pool);
	int error;

	if (!store) {
		snprintf(error_text, error_text_size, "%s: out of memory", path);
		return ERR_PTR(-ENOMEM);
	}
	error = qbd_compat_bdev_open(&store->device, number, store);
	if (error) {
		snprintf(error_text, error_text_size, "%s %s", path, open_problem(error));
		qbd_bio_exit(store);
		kfree(store);
		return ERR_PTR(error);
	}
	store->bdev = qbd_compat_bdev_get(&store->device);
	store->no_write_zeroes = !bdev_write_zeroes_sectors(store->bdev);
	error_text[0] = 0;
	error = store_buffers(store);
	if (!error)
		error = qbd_store_recover(store, recovered, error_text, error_text_size);
	if (error) {
		if (!error_text[0])
			snprintf(error_text, error_text_size, "%s: %s", path,
				 error == -ENOMEM ? "out of memory" : "cannot be read");
		/* Whatever was in flight was awaited where it was started. */
		synchronize_rcu();
		timer_shutdown_sync(&store->timer);
		qbd_store_free(store);
		return ERR_PTR(error);
	}
	/* @recovered says the rest; the log in it is the one before what was replayed. */
	store->notices = (struct qbd_notices){
		.failed = store->notices.failed,
		.failed_what = store->notices.failed_what,
		.failed_error = store->notices.failed_error,
		.log_reclaimed = store->notices.log_reclaimed,
	};
	WRITE_ONCE(store->internal, false);
	qbd_store_wake(store);
	return store;
}

u64 qbd_store_applied_index(const struct qbd_store *store)
{
	return store->applied_index;
}

void qbd_store_status(const struct qbd_store *store, struct qbd_store_status *status)
{
	const struct qbd_log *log = &store->log;

	*status = store->status;
	status->log_bytes = store->geometry.log_blocks << QBD_BLOCK_SHIFT;
	status->log_used_bytes = (log->next_position - log->first_position) <<
				 QBD_BLOCK_SHIFT;
	status->records_in_memory = log->resident_count;
	status->applied_index = store->applied_index;
	status->failed = store->failed;
	status->oldest_write_ns = 0;
	if (log->durable_index < log->submitted_index) {
		const struct qbd_record *record =
			qbd_log_slot(store, log->durable_index + 1)->record;

		if (record)
			status->oldest_write_ns = ktime_get_ns() - record->submitted_ns;
	}
}
