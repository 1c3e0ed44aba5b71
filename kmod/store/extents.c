// SPDX-License-Identifier: GPL-2.0
/*
 * The extent table: for each extent the index of its last applied change. All of
 * it is in memory; blocks of it that changed are written at a checkpoint, first to
 * the journal, then to their places.
 *
 * What a damaged block said cannot be guessed: an extent that was never written has
 * to read as zeroes, whatever is there; one that was written must not. So if the
 * journal does not have the block either, the member is filled anew.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "internal.h"

/* 1 MiB is read at a time when the store is opened. */
#define TABLE_CHUNK	256u

static void mark_dirty(struct qbd_store *store, u64 extent)
{
	u64 block = div64_u64(extent, QBD_EXTENTS_PER_BLOCK);

	if (!test_and_set_bit(block, store->extents.dirty))
		store->extents.dirty_count++;
}

/* [@start, @last] was changed at @index. */
void qbd_extents_mark(struct qbd_store *store, u64 start, u64 last, u64 index,
		      bool written_only)
{
	u64 extent, last_extent = qbd_extent_of(store, last);

	for (extent = qbd_extent_of(store, start); extent <= last_extent; extent++) {
		u64 *changed = qbd_extent_changed(store, extent);

		if (*changed >= index || (written_only && !*changed))
			continue;
		*changed = index;
		mark_dirty(store, extent);
	}
}

/* One block as it was read, zeroes if it could not be. */
static bool take_block(struct qbd_store *store, u64 number, const void *buffer)
{
	const struct qbd_extent_block *block = buffer;
	u64 first = number * QBD_EXTENTS_PER_BLOCK;
	u64 count = min_t(u64, store->geometry.extent_count - first,
			  QBD_EXTENTS_PER_BLOCK);
	u64 i;

	if (qbd_extent_block_check(block, QBD_EXTENT_TABLE_BLOCK + number,
				   store->geometry.uuid) != QBD_BLOCK_GOOD)
		return false;
	for (i = 0; i < count; i++)
		*qbd_extent_changed(store, first + i) =
			le64_to_cpu(block->entries[i].changed_index);
	return true;
}

/*
 * Each table block has one place in the journal, so that an image found there is the
 * newest that was written. With images wherever there is room an old one could
 * outlive a newer one, and be taken for a block that rotted long after:
 *
 *	block 2 to slot 2; block 2, changed, alone to slot 0; block 0 to slot 0:
 *	slot 2 has a block 2 without the change, and data that it says was never
 *	written would read as zeroes.
 */
static unsigned int journal_slot(u64 number)
{
	return number % QBD_EXTENT_JOURNAL_BLOCKS;
}

static bool take_image(struct qbd_store *store, u64 number, struct page **journal)
{
	if (!take_block(store, number, page_address(journal[journal_slot(number)])))
		return false;
	mark_dirty(store, number * QBD_EXTENTS_PER_BLOCK);
	return true;
}

/*
 * Nothing is known of these extents. Where the member is filled again they count as
 * never written, which is right for what the leader does not send. A member without
 * others takes what the disk holds: right for all that was written.
 */
static void lose_block(struct qbd_store *store, u64 number)
{
	u64 first = number * QBD_EXTENTS_PER_BLOCK;
	u64 end = min(first + QBD_EXTENTS_PER_BLOCK, store->geometry.extent_count);

	mark_dirty(store, first);
	if (store->alone)
		for (; first < end; first++)
			*qbd_extent_changed(store, first) =
				max(store->state.disk.applied_index, 1ull);
}

/* Read blocks one by one if need be: one bad sector does not hide the others. */
static void read_blocks(struct qbd_store *store, u64 disk_block, struct page **pages,
			unsigned int count, unsigned long *unreadable)
{
	unsigned int i;

	bitmap_zero(unreadable, count);
	if (!qbd_bio_sync(store, REQ_OP_READ, disk_block, pages, count))
		return;
	for (i = 0; i < count; i++) {
		if (!qbd_bio_sync(store, REQ_OP_READ, disk_block + i, &pages[i], 1))
			continue;
		clear_page(page_address(pages[i]));
		__set_bit(i, unreadable);
	}
}

/*
 * What cannot be read now is not lost. A member that has others does not wait: it is
 * filled again. One that has none would show what its disk held before it was made.
 */
static int must_be_readable(struct qbd_store *store, u64 number, char *error_text,
			    size_t error_text_size)
{
	if (!store->alone)
		return 0;
	snprintf(error_text, error_text_size,
		 "block %llu of %pg, of the extent table, cannot be read: try again; if it stays so write zeroes over it, then what was never written to the device may read as anything",
		 number, store->bdev);
	return -EIO;
}

static int read_table(struct qbd_store *store, struct page **pages, struct page **journal,
		      u64 *lost, char *error_text, size_t error_text_size)
{
	DECLARE_BITMAP(journal_unreadable, QBD_EXTENT_JOURNAL_BLOCKS);
	DECLARE_BITMAP(unreadable, TABLE_CHUNK);
	u64 blocks = store->geometry.table_blocks_used;
	unsigned int i, slot;
	int error = 0;
	u64 number;

	*lost = 0;
	read_blocks(store, QBD_EXTENT_JOURNAL_BLOCK, journal, QBD_EXTENT_JOURNAL_BLOCKS,
		    journal_unreadable);
	for (number = 0; number < blocks; number += TABLE_CHUNK) {
		unsigned int count = min_t(u64, TABLE_CHUNK, blocks - number);

		read_blocks(store, QBD_EXTENT_TABLE_BLOCK + number, pages, count, unreadable);
		for (i = 0; i < count; i++) {
			if (take_block(store, number + i, page_address(pages[i])) ||
			    take_image(store, number + i, journal))
				continue;
			slot = journal_slot(number + i);
			if (test_bit(i, unreadable))
				error = must_be_readable(store, QBD_EXTENT_TABLE_BLOCK +
							 number + i, error_text,
							 error_text_size);
			else if (test_bit(slot, journal_unreadable))
				error = must_be_readable(store, QBD_EXTENT_JOURNAL_BLOCK +
							 slot, error_text,
							 error_text_size);
			if (error)
				return error;
			lose_block(store, number + i);
			++*lost;
		}
		cond_resched();
	}
	return 0;
}

int qbd_extents_make_room(struct qbd_store *store, u64 extents)
{
	struct qbd_extents *table = &store->extents;
	u64 room = READ_ONCE(table->room);

	while (room < extents) {
		/* Rather none than that the kernel kills processes for it. */
		struct page *page = alloc_page(GFP_KERNEL | __GFP_RETRY_MAYFAIL |
					       __GFP_NOWARN);

		if (!page)
			return -ENOMEM;
		clear_page(page_address(page));
		table->chunks[room / QBD_EXTENT_CHUNK] = page_address(page);
		room += QBD_EXTENT_CHUNK;
		/* Whoever sees that there is room finds the chunk, zeroed. */
		smp_store_release(&table->room, room);
		cond_resched();
	}
	return 0;
}

void qbd_extents_grown(struct qbd_store *store, u64 table_blocks)
{
	for (; table_blocks < store->geometry.table_blocks_used; table_blocks++)
		mark_dirty(store, table_blocks * QBD_EXTENTS_PER_BLOCK);
}

/* Process context, sleeps. @lost_blocks: nothing is known of their extents. */
int qbd_extents_load(struct qbd_store *store, u64 *lost_blocks, char *error_text,
		     size_t error_text_size)
{
	struct qbd_extents *extents = &store->extents;
	u64 blocks = store->geometry.extent_table_blocks;
	unsigned int page_count = TABLE_CHUNK + QBD_EXTENT_JOURNAL_BLOCKS;
	struct page **pages;
	unsigned int i;
	int error = -ENOMEM;

	*lost_blocks = 0;
	if (store->geometry.no_data)
		return 0;
	/* As many chunks as it may become: that is little. */
	extents->chunk_count = (qbd_geometry_most(&store->geometry) >>
				(store->geometry.extent_shift - QBD_BLOCK_SHIFT)) /
			       QBD_EXTENT_CHUNK + 1;
	extents->chunks = qbd_store_alloc_sized(store, extents->chunk_count,
						sizeof(*extents->chunks),
						"the extent table", error_text,
						error_text_size);
	if (!extents->chunks)
		return -ENOMEM;
	if (qbd_extents_make_room(store, store->geometry.extent_count)) {
		snprintf(error_text, error_text_size,
			 "%pg: not enough memory for the extent table: needs %llu MiB",
			 store->bdev, ((store->geometry.extent_count * sizeof(u64) - 1) >> 20) + 1);
		return -ENOMEM;
	}
	extents->dirty = kvcalloc(BITS_TO_LONGS(blocks), sizeof(long), GFP_KERNEL);
	pages = kcalloc(page_count, sizeof(*pages), GFP_KERNEL);
	if (!extents->dirty || !pages)
		goto out;
	for (i = 0; i < QBD_TABLE_PAGES; i++) {
		extents->pages[i] = alloc_page(GFP_KERNEL);
		if (!extents->pages[i])
			goto out;
		extents->free_pages |= 1ul << i;
	}
	for (i = 0; i < page_count; i++) {
		pages[i] = alloc_page(GFP_KERNEL);
		if (!pages[i])
			goto out;
	}
	error = read_table(store, pages, pages + TABLE_CHUNK, lost_blocks, error_text,
			   error_text_size);
out:
	for (i = 0; pages && i < page_count && pages[i]; i++)
		__free_page(pages[i]);
	kfree(pages);
	return error;
}

void qbd_extents_free(struct qbd_store *store)
{
	struct qbd_extents *extents = &store->extents;
	unsigned int i;
	u64 chunk;

	for (i = 0; i < QBD_TABLE_PAGES; i++)
		if (extents->pages[i])
			__free_page(extents->pages[i]);
	for (chunk = 0; extents->chunks && chunk < extents->chunk_count; chunk++)
		if (extents->chunks[chunk])
			__free_page(virt_to_page(extents->chunks[chunk]));
	kvfree(extents->chunks);
	kvfree(extents->dirty);
}

static void compose_block(struct qbd_store *store, u64 number, unsigned int page)
{
	struct qbd_extent_block *block = page_address(store->extents.pages[page]);
	u64 first = number * QBD_EXTENTS_PER_BLOCK;
	u64 count = min_t(u64, store->geometry.extent_count - first,
			  QBD_EXTENTS_PER_BLOCK);
	u64 i;

	clear_page(block);
	for (i = 0; i < count; i++)
		block->entries[i].changed_index =
			cpu_to_le64(*qbd_extent_changed(store, first + i));
	qbd_block_seal(block, QBD_EXTENTS_MAGIC, store->geometry.uuid,
		       QBD_EXTENT_TABLE_BLOCK + number);
}

/*
 * Blocks that were damaged go to their places before the journal is written again: what
 * was taken from there is nowhere else.
 *
 *	block 0 is torn by a power cut, and taken from the journal; a checkpoint writes it
 *	to the journal, newer; power cut: both are torn, and nothing knows what it said.
 *
 * Process context, sleeps; nothing was applied since they were read.
 */
int qbd_extents_restore(struct qbd_store *store)
{
	struct qbd_extents *extents = &store->extents;
	u64 blocks = store->geometry.table_blocks_used;
	u64 number;

	for_each_set_bit(number, extents->dirty, blocks) {
		blk_opf_t operation = REQ_OP_WRITE | REQ_META | QBD_REQ_WRITE;
		int error;

		clear_bit(number, extents->dirty);
		/* The last one is behind a flush of the others. */
		if (!--extents->dirty_count)
			operation |= REQ_PREFLUSH | REQ_FUA;
		compose_block(store, number, 0);
		error = qbd_bio_sync(store, operation, QBD_EXTENT_TABLE_BLOCK + number,
				     &extents->pages[0], 1);
		if (error)
			return error;
		cond_resched();
	}
	return 0;
}

static void write_block(struct qbd_store *store, u64 number, u64 disk_block,
			unsigned int page)
{
	struct qbd_bio *bio;

	compose_block(store, number, page);
	bio = qbd_bio_alloc(store, QBD_BIO_TABLE, NULL, REQ_OP_WRITE | QBD_REQ_WRITE | REQ_META,
			    disk_block, 1);
	bio->block = page;
	__bio_add_page(&bio->bio, store->extents.pages[page], QBD_BLOCK_SIZE, 0);
	store->extents.inflight++;
	qbd_bio_submit(bio);
}

bool qbd_extents_begin_round(struct qbd_store *store)
{
	struct qbd_extents *extents = &store->extents;
	DECLARE_BITMAP(taken, QBD_EXTENT_JOURNAL_BLOCKS) = { };
	u64 blocks = store->geometry.table_blocks_used;
	u64 number;

	extents->block_count = 0;
	extents->next = 0;
	for_each_set_bit(number, extents->dirty, blocks) {
		/* Another block of this round has its slot: with the next one. */
		if (__test_and_set_bit(journal_slot(number), taken))
			continue;
		clear_bit(number, extents->dirty);
		extents->dirty_count--;
		extents->blocks[extents->block_count++] = number;
		if (extents->block_count == QBD_EXTENT_JOURNAL_BLOCKS)
			break;
	}
	return extents->block_count;
}

/* Nothing is applied meanwhile: journal and table get the same bytes. */
bool qbd_extents_write(struct qbd_store *store, bool journal)
{
	struct qbd_extents *extents = &store->extents;

	while (extents->next < extents->block_count && extents->free_pages) {
		unsigned int page = __ffs(extents->free_pages);
		u64 number = extents->blocks[extents->next];

		extents->free_pages &= ~(1ul << page);
		write_block(store, number,
			    journal ? QBD_EXTENT_JOURNAL_BLOCK + journal_slot(number) :
				      QBD_EXTENT_TABLE_BLOCK + number, page);
		extents->next++;
	}
	if (extents->next < extents->block_count || extents->inflight)
		return false;
	extents->next = 0;
	return true;
}

void qbd_extents_end_io(struct qbd_store *store, unsigned int page, int error)
{
	store->extents.inflight--;
	store->extents.free_pages |= 1ul << page;
	if (error)
		qbd_store_fail(store, error, "writing the extent table");
}

/* Nothing is filled from a table that is being filled: the replica sees to it. */
u64 qbd_store_changed_extent(const struct qbd_store *store, u64 first, u64 end, u64 since)
{
	u64 extent;

	end = min(end, store->geometry.extent_count);
	for (extent = first; extent < end; extent++)
		if (*qbd_extent_changed(store, extent) > since)
			return extent;
	return U64_MAX;
}

u64 qbd_store_changed_count(const struct qbd_store *store, u64 first, u64 end, u64 since)
{
	u64 extent, count = 0;

	end = min(end, store->geometry.extent_count);
	for (extent = first; extent < end; extent++)
		count += *qbd_extent_changed(store, extent) > since;
	return count;
}
