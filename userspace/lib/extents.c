// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/inspect.h"

#define CHUNK_BLOCKS	64u

/**
 * struct reading - the table being read
 * @journal: QBD_EXTENT_JOURNAL_BLOCKS images of table blocks; that of block n, in
 *	slot n modulo their number, may be good where the block itself is torn
 */
struct reading {
	struct qbd_disk *disk;
	const struct qbd_geometry *geometry;
	struct qbd_extent_table *table;
	struct qbd_extent_block *journal;
	struct qbd_extent_block *chunk;
};

/* The block itself, or its image in the journal, or NULL. */
static const struct qbd_extent_block *
good_image(struct reading *reading, const struct qbd_extent_block *block, uint64_t position)
{
	const uint8_t *uuid = reading->geometry->uuid;
	const struct qbd_extent_block *image =
		&reading->journal[(position - QBD_EXTENT_TABLE_BLOCK) %
				  QBD_EXTENT_JOURNAL_BLOCKS];

	if (qbd_extent_block_check(block, position, uuid) == QBD_BLOCK_GOOD)
		return block;
	if (qbd_extent_block_check(image, position, uuid) == QBD_BLOCK_GOOD) {
		reading->table->from_journal++;
		return image;
	}
	reading->table->bad_blocks++;
	return NULL;
}

/* Take over the entries of one block. A bad one is taken as written. */
static void take_block(struct qbd_extent_table *table, const struct qbd_extent_block *block,
		       uint64_t number)
{
	uint64_t first = number * QBD_EXTENTS_PER_BLOCK;

	for (unsigned int i = 0; i < QBD_EXTENTS_PER_BLOCK && first + i < table->count; i++) {
		uint64_t changed = block ? le64_to_cpu(block->entries[i].changed_index) :
				   UINT64_MAX;

		table->changed[first + i] = changed;
		if (changed)
			table->written++;
		if (block && changed > table->newest_change)
			table->newest_change = changed;
	}
}

static int read_chunk(struct reading *reading, uint64_t first, size_t count,
		      struct qbd_error *error)
{
	int result = qbd_disk_read(reading->disk, QBD_EXTENT_TABLE_BLOCK + first,
				   reading->chunk, count, error);

	for (size_t i = 0; !result && i < count; i++) {
		uint64_t position = QBD_EXTENT_TABLE_BLOCK + first + i;

		take_block(reading->table, good_image(reading, &reading->chunk[i], position),
			   first + i);
	}
	return result;
}

int qbd_extents_read(struct qbd_disk *disk, const struct qbd_geometry *geometry,
		     struct qbd_extent_table *table, struct qbd_error *error)
{
	struct reading reading = {
		.disk = disk,
		.geometry = geometry,
		.table = table,
		.journal = qbd_disk_buffer(QBD_EXTENT_JOURNAL_BLOCKS),
		.chunk = qbd_disk_buffer(CHUNK_BLOCKS),
	};
	int result = 0;

	memset(table, 0, sizeof(*table));
	table->count = geometry->extent_count;
	table->changed = calloc(table->count, sizeof(*table->changed));
	if (!reading.journal || !reading.chunk || !table->changed)
		result = qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	if (!result)
		result = qbd_disk_read(disk, QBD_EXTENT_JOURNAL_BLOCK, reading.journal,
				       QBD_EXTENT_JOURNAL_BLOCKS, error);
	for (uint64_t first = 0; !result && first < geometry->table_blocks_used;
	     first += CHUNK_BLOCKS) {
		uint64_t left = geometry->table_blocks_used - first;

		result = read_chunk(&reading, first,
				    left < CHUNK_BLOCKS ? (size_t)left : CHUNK_BLOCKS, error);
	}
	free(reading.journal);
	free(reading.chunk);
	if (result)
		qbd_extents_free(table);
	return result;
}

void qbd_extents_free(struct qbd_extent_table *table)
{
	free(table->changed);
	table->changed = NULL;
}
