// SPDX-License-Identifier: GPL-2.0
/*
 * The device becomes larger.
 *
 * What has to be true before anybody sees the new size here:
 *
 *   the disk has room for it            else the replica is told (it looks)
 *   memory for the new extents          a work gets it: it may be much, and sleep
 *   what an extent has beyond the old   written, in a batch of its own. An extent that
 *   end is zero                         was written had zeroes put around the data up
 *                                       to the end of the device only
 *
 * The new extents are in the table as never written ones, and so read as zeroes. The
 * checkpoint that follows writes the table's new blocks, and after them the state block
 * with the new size: nothing on the disk says that it is larger before it is. A power cut
 * at any time leads back to the old size and the RESIZE behind the applied index, or to
 * the new one; all of this does no harm when it is done again.
 *
 *   wanted > size   memory   batch, checkpoint   what is done
 *   no              -        -                   nothing
 *   yes             no       -                   the work runs; if it got none: again later
 *   yes             yes      under way           wait
 *   yes             yes      none                zeroes, then the new size
 *
 * Apply stops before a RESIZE until its size is there, so what is behind it finds its
 * extents. Log and commits go on meanwhile.
 *
 * A witness has neither data nor extents, and its disk has room for any size; but it knows
 * the size, durably, as others do: it may lead, and says it to those whose logs begin anew.
 */
#include <linux/workqueue.h>
#include <linux/sched/mm.h>

#include "internal.h"

#define QBD_GROW_DELAY		msecs_to_jiffies(1000)

u64 qbd_store_room(const struct qbd_store *store)
{
	return qbd_geometry_room(&store->geometry,
				 bdev_nr_bytes(store->bdev) >> QBD_BLOCK_SHIFT);
}

static u64 resized_to(const struct qbd_record *record)
{
	return le64_to_cpu(record->header->shared.device_blocks);
}

u64 qbd_store_blocks_after(const struct qbd_store *store, u64 index)
{
	u64 blocks = store->geometry.device_blocks;
	const struct qbd_record *record;

	if (!store->log.resizes)
		return blocks;
	list_for_each_entry(record, &store->log.resident, link) {
		if (record->index > index)
			break;
		if (le16_to_cpu(record->header->shared.kind) == QBD_RECORD_RESIZE)
			blocks = max(blocks, resized_to(record));
	}
	return blocks;
}

static u64 extents_of(const struct qbd_store *store, u64 blocks)
{
	if (store->geometry.no_data)
		return 0;
	return (blocks + store->geometry.extent_blocks - 1) >>
	       (store->geometry.extent_shift - QBD_BLOCK_SHIFT);
}

static bool has_memory(const struct qbd_store *store)
{
	/* Pairs with the release in qbd_extents_make_room(). */
	return smp_load_acquire(&store->extents.room) >=
	       extents_of(store, store->grow.wanted);
}

/*
 * Process context, sleeps. Nothing of the store is read that changes meanwhile. Until it
 * is done nothing behind the RESIZE is applied: it waits for no writeback, which may be
 * that of this device.
 */
static void memory_work(struct work_struct *work)
{
	struct qbd_store *store = container_of(work, struct qbd_store, grow.work);
	unsigned int noio = memalloc_noio_save();

	qbd_extents_make_room(store, store->grow.extents);
	memalloc_noio_restore(noio);
	/* Pairs with the acquire in memory_came(): what it got is there. */
	smp_store_release(&store->grow.finished, true);
	store->ops->kick(store->context);
}

void qbd_grow_init(struct qbd_store *store)
{
	INIT_WORK(&store->grow.work, memory_work);
}

void qbd_grow_end(struct qbd_store *store)
{
	cancel_work_sync(&store->grow.work);
}

static void get_memory(struct qbd_store *store)
{
	struct qbd_grow *grow = &store->grow;

	if (grow->busy || (grow->waiting && time_before(jiffies, grow->again_at)))
		return;
	grow->waiting = false;
	grow->extents = extents_of(store, grow->wanted);
	if (store->internal) {
		/* While it is opened sleeping is nothing to be avoided, nor is failing. */
		grow->waiting = qbd_extents_make_room(store, grow->extents);
		grow->again_at = jiffies;
		return;
	}
	grow->busy = true;
	queue_work(store->rescued_queue, &grow->work);
}

/* The work has ended: did it get what it was sent for? */
static void memory_came(struct qbd_store *store)
{
	struct qbd_grow *grow = &store->grow;

	/* Pairs with the release in memory_work(). */
	if (!grow->busy || !smp_load_acquire(&grow->finished))
		return;
	grow->busy = false;
	grow->finished = false;
	if (store->extents.room >= grow->extents)
		return;
	pr_warn_ratelimited("%s: no memory for the extents of a larger device; trying again\n",
			    store->geometry.name);
	grow->waiting = true;
	grow->again_at = jiffies + QBD_GROW_DELAY;
}

/* The size is there for the store, and for the others when the zeroes are. */
static void grow_now(struct qbd_store *store)
{
	struct qbd_geometry *geometry = &store->geometry;
	u64 table_blocks = geometry->table_blocks_used;
	u64 end = geometry->device_blocks;

	if (WARN_ON_ONCE(!qbd_geometry_grow(geometry, store->grow.wanted)))
		return;
	qbd_extents_grown(store, table_blocks);
	if (!geometry->no_data && end & (geometry->extent_blocks - 1))
		qbd_batch_add(store, end, qbd_extent_last(store, qbd_extent_of(store, end)),
			      NULL, 0, false);
	qbd_batch_begin(store, QBD_BATCH_GROW);
}

void qbd_grow_batch_done(struct qbd_store *store)
{
	if (store->failed)
		return;
	store->identity.device_blocks = store->geometry.device_blocks;
	store->identity.extent_count = store->geometry.extent_count;
	store->checkpoint.wanted = true;
	store->notices.space = true;
	pr_notice("%s: the device has %llu KiB now\n", store->geometry.name,
		  store->geometry.device_blocks << (QBD_BLOCK_SHIFT - 10));
}

void qbd_grow_step(struct qbd_store *store)
{
	struct qbd_grow *grow = &store->grow;

	memory_came(store);
	if (store->failed || !qbd_grow_pending(store))
		return;
	grow->refused = grow->wanted > qbd_store_room(store);
	if (grow->refused)
		return;
	if (!has_memory(store))
		get_memory(store);
	if (has_memory(store) && !store->batch.kind && !store->fill.resetting &&
	    !qbd_checkpoint_holds_batches(store))
		grow_now(store);
}

static void want_blocks(struct qbd_store *store, u64 blocks)
{
	if (blocks <= store->grow.wanted)
		return;
	store->grow.wanted = blocks;
	qbd_store_wake(store);
}

bool qbd_grow_before(struct qbd_store *store, u64 index)
{
	const struct qbd_slot *slot = qbd_log_slot(store, index);

	if (slot->kind != QBD_RECORD_RESIZE || WARN_ON_ONCE(!slot->record) ||
	    resized_to(slot->record) <= store->geometry.device_blocks)
		return false;
	want_blocks(store, resized_to(slot->record));
	return true;
}

bool qbd_store_grow(struct qbd_store *store, u64 device_blocks)
{
	/* A reset waits for the checkpoint that wrote it, if it is not over yet. */
	if (store->state.disk.device_blocks >= device_blocks)
		return true;
	if (store->geometry.device_blocks >= device_blocks && !store->checkpoint.step) {
		store->checkpoint.wanted = true;
		qbd_store_wake(store);
	} else {
		want_blocks(store, device_blocks);
	}
	return false;
}

void qbd_grow_durable(struct qbd_store *store, u64 device_blocks)
{
	if (store->grow.durable == device_blocks)
		return;
	WRITE_ONCE(store->grow.durable, device_blocks);
	store->notices.space = true;
}

u64 qbd_store_durable_blocks(const struct qbd_store *store)
{
	return READ_ONCE(store->grow.durable);
}

u64 qbd_store_cannot_grow(const struct qbd_store *store)
{
	return store->grow.refused ? store->grow.wanted : 0;
}
