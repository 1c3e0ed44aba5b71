// SPDX-License-Identifier: GPL-2.0
/* What the newest entries wrote to: for who compares contents as of an entry. */
#include "internal.h"

u64 qbd_store_commit_index(const struct qbd_store *store)
{
	return store->log.commit_index;
}

u64 qbd_store_data_index(const struct qbd_store *store)
{
	return max(store->log.commit_index, store->data_through);
}

void qbd_store_data_reaches(struct qbd_store *store, u64 index, u64 term)
{
	if (index <= store->data_through)
		return;
	store->data_through = index;
	store->data_term = max(store->data_term, term);
}

static void set_bits(u64 *bits, u64 first, u64 count)
{
	while (count) {
		u64 bit = first % 64, run = min(count, 64 - bit);

		bits[first / 64] |= (~0ull >> (64 - run)) << bit;
		first += run;
		count -= run;
	}
}

static void mark_touched(const struct qbd_overlay_node *node, u64 block, u64 last,
			 u64 *touched)
{
	u64 first = max(node->start, block);

	if (node->start <= last && node->last >= block)
		set_bits(touched, first - block, min(node->last, last) - first + 1);
}

bool qbd_store_touched(const struct qbd_store *store, u64 after, u64 through, u64 block,
		       u32 count, u64 *touched)
{
	const struct qbd_log *log = &store->log;
	u64 index;

	/* The log was emptied (a fill), or has passed it by. */
	if (after + 1 < log->first_index || after > log->last_index ||
	    through > log->last_index)
		return false;
	if (through > after && through - after > QBD_TOUCHED_ENTRIES_MAX)
		return false;
	for (index = after + 1; index <= through; index++) {
		const struct qbd_slot *slot = qbd_log_slot(store, index);
		u32 i;

		if (slot->operation_count && !slot->record)
			return false;
		for (i = 0; i < slot->operation_count; i++)
			mark_touched(qbd_record_node(slot->record, i), block,
				     block + count - 1, touched);
	}
	return true;
}
