// SPDX-License-Identifier: GPL-2.0
/*
 * The extent table: for each extent the index of its last applied change. All of
 * it is in memory; blocks of it that changed are written at a checkpoint.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "internal.h"

/* 1 MiB is read at a time when the store is opened. */
#define TABLE_CHUNK	256u

static void mark_dirty(struct qbd_store *store, u64 extent)
{
	set_bit(div64_u64(extent, QBD_EXTENTS_PER_BLOCK), store->extents.dirty);
	store->extents.dirty_any = true;
}

/* [@start, @last] was changed at @index. */
void qbd_extents_mark(struct qbd_store *store, u64 start, u64 last, u64 index,
		      bool written_only)
{
	u64 extent, last_extent = qbd_extent_of(store, last);
	u64 *changed = store->extents.changed;

	for (extent = qbd_extent_of(store, start); extent <= last_extent; extent++) {
		if (changed[extent] >= index || (written_only && !changed[extent]))
			continue;
		changed[extent] = index;
		mark_dirty(store, extent);
	}
}

/* One block as it was read; what a damaged one said is not known (see format). */
static bool take_block(struct qbd_store *store, u64 number, const void *buffer)
{
	const struct qbd_extent_block *block = buffer;
	u64 first = number * QBD_EXTENTS_PER_BLOCK;
	u64 count = min_t(u64, store->geometry.extent_count - first,
			  QBD_EXTENTS_PER_BLOCK);
	bool good = buffer &&
		    qbd_extent_block_check(block, QBD_EXTENT_TABLE_BLOCK + number,
					   store->geometry.uuid) == QBD_BLOCK_GOOD;
	u64 i;

	for (i = 0; i < count; i++)
		store->extents.changed[first + i] =
			good ? le64_to_cpu(block->entries[i].changed_index) :
			       store->state.disk.applied_index;
	if (!good)
		mark_dirty(store, first);
	return good;
}

static void read_chunk(struct qbd_store *store, struct page **pages, u64 number,
		       unsigned int count, u64 *damaged_blocks)
{
	u64 disk_block = QBD_EXTENT_TABLE_BLOCK + number;
	bool chunk_read = !qbd_bio_sync(store, REQ_OP_READ, disk_block, pages, count);
	unsigned int i;

	for (i = 0; i < count; i++) {
		/* One sector that cannot be read does not hide the others. */
		bool block_read = chunk_read ||
				  !qbd_bio_sync(store, REQ_OP_READ, disk_block + i,
						&pages[i], 1);

		if (!take_block(store, number + i,
				block_read ? page_address(pages[i]) : NULL))
			++*damaged_blocks;
	}
}

/* Process context, sleeps. */
int qbd_extents_load(struct qbd_store *store, u64 *damaged_blocks)
{
	struct qbd_extents *extents = &store->extents;
	u64 blocks = store->geometry.extent_table_blocks;
	struct page **pages;
	unsigned int i;
	u64 number;
	int error = -ENOMEM;

	*damaged_blocks = 0;
	extents->changed = kvcalloc(store->geometry.extent_count,
				    sizeof(*extents->changed), GFP_KERNEL);
	extents->dirty = kvcalloc(BITS_TO_LONGS(blocks), sizeof(long), GFP_KERNEL);
	pages = kcalloc(TABLE_CHUNK, sizeof(*pages), GFP_KERNEL);
	if (!extents->changed || !extents->dirty || !pages)
		goto out;
	for (i = 0; i < QBD_TABLE_PAGES; i++) {
		extents->pages[i] = alloc_page(GFP_KERNEL);
		if (!extents->pages[i])
			goto out;
		extents->free_pages |= 1ul << i;
	}
	for (i = 0; i < TABLE_CHUNK; i++) {
		pages[i] = alloc_page(GFP_KERNEL);
		if (!pages[i])
			goto out;
	}
	for (number = 0; number < blocks; number += TABLE_CHUNK) {
		read_chunk(store, pages, number,
			   min_t(u64, TABLE_CHUNK, blocks - number), damaged_blocks);
		cond_resched();
	}
	error = 0;
out:
	for (i = 0; pages && i < TABLE_CHUNK && pages[i]; i++)
		__free_page(pages[i]);
	kfree(pages);
	return error;
}

void qbd_extents_free(struct qbd_store *store)
{
	struct qbd_extents *extents = &store->extents;
	unsigned int i;

	for (i = 0; i < QBD_TABLE_PAGES; i++)
		if (extents->pages[i])
			__free_page(extents->pages[i]);
	kvfree(extents->changed);
	kvfree(extents->dirty);
}

static void write_block(struct qbd_store *store, u64 number, unsigned int page)
{
	struct qbd_extent_block *block = page_address(store->extents.pages[page]);
	u64 first = number * QBD_EXTENTS_PER_BLOCK;
	u64 count = min_t(u64, store->geometry.extent_count - first,
			  QBD_EXTENTS_PER_BLOCK);
	u64 disk_block = QBD_EXTENT_TABLE_BLOCK + number;
	struct qbd_bio *bio;
	u64 i;

	clear_page(block);
	for (i = 0; i < count; i++)
		block->entries[i].changed_index =
			cpu_to_le64(store->extents.changed[first + i]);
	qbd_block_seal(block, QBD_EXTENTS_MAGIC, store->geometry.uuid, disk_block);
	bio = qbd_bio_alloc(store, QBD_BIO_TABLE, NULL, REQ_OP_WRITE | REQ_META,
			    disk_block, 1);
	bio->block = page;
	__bio_add_page(&bio->bio, store->extents.pages[page], QBD_BLOCK_SIZE, 0);
	store->extents.inflight++;
	qbd_bio_submit(bio);
}

/* Submit dirty blocks, as many as there are pages. True when all are written. */
bool qbd_extents_write(struct qbd_store *store)
{
	struct qbd_extents *extents = &store->extents;
	u64 blocks = store->geometry.extent_table_blocks;

	while (extents->dirty_any && extents->free_pages) {
		unsigned int page = __ffs(extents->free_pages);
		u64 number = find_next_bit(extents->dirty, blocks, extents->next);

		if (number >= blocks) {
			extents->dirty_any = extents->next != 0;
			extents->next = 0;
			continue;
		}
		clear_bit(number, extents->dirty);
		extents->next = number + 1;
		extents->free_pages &= ~(1ul << page);
		write_block(store, number, page);
	}
	return !extents->dirty_any && !extents->inflight;
}

void qbd_extents_end_io(struct qbd_store *store, unsigned int page, int error)
{
	store->extents.inflight--;
	store->extents.free_pages |= 1ul << page;
	if (error)
		qbd_store_fail(store, error, "writing the extent table");
}

/* Nothing is filled from a table that is being filled: the replica sees to it. */
u64 qbd_store_changed_extent(const struct qbd_store *store, u64 first, u64 since)
{
	const u64 *changed = store->extents.changed;
	u64 extent;

	for (extent = first; extent < store->geometry.extent_count; extent++)
		if (changed[extent] > since)
			return extent;
	return U64_MAX;
}

u64 qbd_store_changed_extents(const struct qbd_store *store, u64 first, u64 since)
{
	const u64 *changed = store->extents.changed;
	u64 extent, count = 0;

	for (extent = first; extent < store->geometry.extent_count; extent++)
		count += changed[extent] > since;
	return count;
}
