// SPDX-License-Identifier: GPL-2.0
/*
 * The overlay: committed operations that the data area does not hold yet, by
 * device block. Reads look here first.
 */
#include "internal.h"

#define NODE_START(node)	((node)->start)
#define NODE_LAST(node)		((node)->last)

INTERVAL_TREE_DEFINE(struct qbd_overlay_node, node, u64, subtree_last, NODE_START,
		     NODE_LAST, static, overlay_tree)

bool qbd_overlay_newer(const struct qbd_overlay_node *a, const struct qbd_overlay_node *b)
{
	if (a->record->index != b->record->index)
		return a->record->index > b->record->index;
	return a->operation > b->operation;
}

void qbd_overlay_remove(struct rb_root_cached *overlay, struct qbd_overlay_node *node)
{
	if (!node->in_tree)
		return;
	overlay_tree_remove(node, overlay);
	node->in_tree = false;
}

/* In order of commit: @node is newer than all that are there. */
void qbd_overlay_insert(struct rb_root_cached *overlay, struct qbd_overlay_node *node)
{
	struct qbd_overlay_node *older, *next;

	older = overlay_tree_iter_first(overlay, node->start, node->last);
	while (older) {
		next = overlay_tree_iter_next(older, node->start, node->last);
		if (older->start >= node->start && older->last <= node->last) {
			qbd_overlay_remove(overlay, older);
			/*
			 * Data below zeroes has to be applied nevertheless, as
			 * zeroes: an extent that was ever written must say so,
			 * or a member that did apply the data, and missed the
			 * zeroes, would not be sent it.
			 */
			if (older->zero || !node->zero)
				older->superseded_by = node->record->index;
		}
		older = next;
	}
	overlay_tree_insert(node, overlay);
	node->in_tree = true;
}

struct qbd_overlay_node *qbd_overlay_pick(struct rb_root_cached *overlay, u64 block,
					  u64 last, u64 *run_last)
{
	struct qbd_overlay_node *node, *newest = NULL;

	*run_last = last;
	node = overlay_tree_iter_first(overlay, block, last);
	for (; node; node = overlay_tree_iter_next(node, block, last)) {
		if (node->start > block) {
			/*
			 * In order of start: the rest begins behind @block too.
			 * An older one changes nothing while the newest lasts.
			 */
			if (!newest || qbd_overlay_newer(node, newest)) {
				*run_last = min(*run_last, node->start - 1);
				break;
			}
			if (node->start > newest->last)
				break;
			continue;
		}
		if (!newest || qbd_overlay_newer(node, newest))
			newest = node;
	}
	if (newest)
		*run_last = min(*run_last, newest->last);
	return newest;
}
