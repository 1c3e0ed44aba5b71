// SPDX-License-Identifier: GPL-2.0
/*
 * Committed operations into the data area: in batches, sorted by block.
 *
 * Only what is durable in this member's log is applied. An operation that a later
 * one covers whole is skipped, but only when that later one is durable here too:
 * after a crash the data area then is what the log makes of it again.
 *
 * A witness has no data area: applied is what is committed and durable.
 */
#include <linux/sort.h>

#include "internal.h"

static int compare_nodes(const void *a, const void *b)
{
	const struct qbd_overlay_node *left = *(struct qbd_overlay_node * const *)a;
	const struct qbd_overlay_node *right = *(struct qbd_overlay_node * const *)b;

	if (left->start != right->start)
		return left->start < right->start ? -1 : 1;
	return 0;
}

static struct page **node_pages(const struct qbd_overlay_node *node, u64 block)
{
	if (node->zero)
		return NULL;
	return &node->record->pages[node->data_block + (block - node->start)];
}

/* Is there data in [@block, @last], be it below newer zeroes? */
static bool has_data(struct qbd_overlay_node *const *nodes, u32 first, u32 end, u64 block,
		     u64 last)
{
	u32 i;

	for (i = first; i < end; i++)
		if (!nodes[i]->zero && nodes[i]->start <= last && nodes[i]->last >= block)
			return true;
	return false;
}

/* Nodes @first..@end - 1 overlap in a chain: cut, and let the newest win. */
static void resolve_cluster(struct qbd_store *store, u32 first, u32 end, u64 last)
{
	struct qbd_overlay_node **nodes = store->batch.nodes;
	u64 block = nodes[first]->start;

	while (block <= last) {
		struct qbd_overlay_node *newest = NULL;
		u64 piece_last = last;
		u32 i;

		for (i = first; i < end; i++)
			if (nodes[i]->start <= block && nodes[i]->last >= block &&
			    (!newest || qbd_overlay_newer(nodes[i], newest)))
				newest = nodes[i];
		if (WARN_ON_ONCE(!newest))
			return;
		piece_last = newest->last;
		for (i = first; i < end; i++)
			if (nodes[i]->start > block && nodes[i]->start <= piece_last &&
			    qbd_overlay_newer(nodes[i], newest))
				piece_last = nodes[i]->start - 1;
		qbd_batch_add(store, block, piece_last, node_pages(newest, block),
			      newest->record->index,
			      has_data(nodes, first, end, block, piece_last));
		block = piece_last + 1;
	}
}

void qbd_apply_resolve(struct qbd_store *store)
{
	struct qbd_overlay_node **nodes = store->batch.nodes;
	u32 count = store->batch.node_count;
	u32 first, end;

	sort(nodes, count, sizeof(*nodes), compare_nodes, NULL);
	for (first = 0; first < count; first = end) {
		u64 last = nodes[first]->last;

		for (end = first + 1; end < count && nodes[end]->start <= last; end++)
			last = max(last, nodes[end]->last);
		resolve_cluster(store, first, end, last);
	}
}

static bool skipped(const struct qbd_store *store, const struct qbd_overlay_node *node)
{
	return node->superseded_by && node->superseded_by <= store->log.durable_index;
}

/* As many records as fit, at least one. */
static void collect(struct qbd_store *store, u64 limit)
{
	struct qbd_batch *batch = &store->batch;
	u64 index, blocks = 0, zero_blocks = 0;

	batch->node_count = 0;
	batch->last_index = store->applied_index;
	for (index = store->applied_index + 1; index <= limit; index++) {
		struct qbd_record *record = qbd_log_slot(store, index)->record;
		u32 i;

		if (WARN_ON_ONCE(!record) || qbd_grow_before(store, index))
			break;
		if (store->geometry.no_data) {
			batch->last_index = index;
			continue;
		}
		if (batch->node_count + record->operation_count > QBD_BATCH_OPERATIONS ||
		    zero_blocks >= QBD_BATCH_ZERO_BLOCKS ||
		    (blocks && blocks + record->data_blocks > QBD_BATCH_BLOCKS))
			break;
		blocks += record->data_blocks;
		for (i = 0; i < record->operation_count; i++) {
			struct qbd_overlay_node *node = qbd_record_node(record, i);

			if (skipped(store, node))
				continue;
			batch->nodes[batch->node_count++] = node;
			if (node->zero)
				zero_blocks += node->last - node->start + 1;
		}
		batch->last_index = index;
	}
}

/* Worth it, or has it waited long enough, or does somebody need it? */
static bool batch_due(const struct qbd_store *store, u64 limit)
{
	u64 blocks = qbd_log_position(store, limit + 1) -
		     qbd_log_position(store, store->applied_index + 1);

	return store->internal || store->stopping || store->fill.active ||
	       blocks >= QBD_BATCH_BLOCKS / 4 ||
	       limit - store->applied_index >= QBD_BATCH_OPERATIONS / 4 ||
	       qbd_pool_pages_free(store->pool) < qbd_pool_pages(store->pool) / 2 ||
	       time_after_eq(jiffies, store->apply_at);
}

static void applied_up_to(struct qbd_store *store, u64 index)
{
	while (store->applied_index < index)
		if (qbd_log_slot(store, ++store->applied_index)->kind == QBD_RECORD_RESIZE)
			store->log.resizes--;
	store->apply_at = jiffies + QBD_APPLY_DELAY;
	store->notices.applied = true;
	store->idle_armed = true;
}

void qbd_apply_step(struct qbd_store *store)
{
	for (;;) {
		u64 limit = min(store->log.commit_index, store->log.durable_index);

		if (store->batch.kind || store->failed || store->apply_paused ||
		    store->fill.resetting || qbd_checkpoint_holds_batches(store) ||
		    store->applied_index >= limit || !batch_due(store, limit))
			return;
		collect(store, limit);
		if (store->batch.last_index == store->applied_index) {
			/* A larger device is next, at once where nothing stands against it. */
			if (qbd_grow_pending(store))
				qbd_grow_step(store);
			else
				return;
			if (qbd_grow_pending(store))
				return;
			continue;
		}
		if (store->geometry.no_data) {
			applied_up_to(store, store->batch.last_index);
			continue;
		}
		qbd_apply_resolve(store);
		qbd_batch_begin(store, QBD_BATCH_APPLY);
	}
}

/* The batch is in the data area: reads find it there from now on. */
void qbd_apply_done(struct qbd_store *store)
{
	u64 index;

	if (store->failed)
		return;
	for (index = store->applied_index + 1; index <= store->batch.last_index; index++) {
		struct qbd_record *record = qbd_log_slot(store, index)->record;
		u32 i;

		for (i = 0; i < record->operation_count; i++) {
			struct qbd_overlay_node *node = qbd_record_node(record, i);

			qbd_overlay_remove(&store->overlay, node);
			/* Skipped or cut: it changed the extent nevertheless. */
			qbd_extents_mark(store, node->start, node->last, index, true);
		}
	}
	applied_up_to(store, store->batch.last_index);
}

void qbd_store_apply_pause(struct qbd_store *store, bool pause)
{
	store->apply_paused = pause;
	if (!pause)
		qbd_store_wake(store);
}

bool qbd_store_apply_idle(const struct qbd_store *store)
{
	return store->batch.kind != QBD_BATCH_APPLY;
}
