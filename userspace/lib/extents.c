// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/inspect.h"

#define CHUNK_BLOCKS	64u

static bool block_is_good(const struct qbd_extent_block *block, uint64_t position,
			  const uint8_t *uuid)
{
	return le32_to_cpu(block->header.magic) == QBD_EXTENTS_MAGIC &&
	       le32_to_cpu(block->header.version) == QBD_FORMAT_VERSION &&
	       le64_to_cpu(block->header.position) == position &&
	       !memcmp(block->header.uuid, uuid, QBD_UUID_SIZE) &&
	       le32_to_cpu(block->header.checksum) == qbd_block_checksum(block);
}

/* Take over the entries of one block. A bad one is taken as written. */
static void take_block(struct qbd_extent_table *table, const struct qbd_extent_block *block,
		       uint64_t number, bool good)
{
	uint64_t first = number * QBD_EXTENTS_PER_BLOCK;

	if (!good)
		table->bad_blocks++;
	for (unsigned int i = 0; i < QBD_EXTENTS_PER_BLOCK && first + i < table->count; i++) {
		uint64_t changed = le64_to_cpu(block->entries[i].changed_index);

		table->changed[first + i] = good ? changed : UINT64_MAX;
		if (!good || changed)
			table->written++;
		if (good && changed > table->newest_change)
			table->newest_change = changed;
	}
}

int qbd_extents_read(struct qbd_disk *disk, const struct qbd_superblock *superblock,
		     struct qbd_extent_table *table, struct qbd_error *error)
{
	uint32_t shift = le32_to_cpu(superblock->extent_shift) - QBD_BLOCK_SHIFT;
	uint64_t blocks = le64_to_cpu(superblock->extent_table_blocks);
	struct qbd_extent_block *buffer = qbd_disk_buffer(CHUNK_BLOCKS);
	int result = 0;

	memset(table, 0, sizeof(*table));
	table->count = (le64_to_cpu(superblock->device_blocks) + (1ULL << shift) - 1) >> shift;
	table->changed = calloc(table->count, sizeof(*table->changed));
	if (!buffer || !table->changed)
		result = qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	for (uint64_t first = 0; !result && first < blocks; first += CHUNK_BLOCKS) {
		uint64_t left = blocks - first;
		size_t count = left < CHUNK_BLOCKS ? (size_t)left : CHUNK_BLOCKS;

		result = qbd_disk_read(disk, QBD_EXTENT_TABLE_BLOCK + first, buffer, count,
				       error);
		for (size_t i = 0; !result && i < count; i++) {
			uint64_t position = QBD_EXTENT_TABLE_BLOCK + first + i;

			take_block(table, &buffer[i], first + i,
				   block_is_good(&buffer[i], position,
						 superblock->header.uuid));
		}
	}
	free(buffer);
	if (result)
		qbd_extents_free(table);
	return result;
}

void qbd_extents_free(struct qbd_extent_table *table)
{
	free(table->changed);
	table->changed = NULL;
}
