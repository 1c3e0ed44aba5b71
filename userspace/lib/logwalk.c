// SPDX-License-Identifier: GPL-2.0
/* Reading the ring log as recovery does, but only to tell what is there. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/inspect.h"

#define WINDOW_BLOCKS	256u

/**
 * struct walk - where the walk stands
 * @window: ring blocks from @window_place on that were read last
 * @data: room for the data of one record
 * @chain: of the record before
 */
struct walk {
	struct qbd_disk *disk;
	const struct qbd_superblock *superblock;
	uint64_t log_block;
	uint64_t log_blocks;
	uint8_t *window;
	uint64_t window_place;
	size_t window_count;
	uint8_t *data;
	uint32_t chain;
	uint64_t term;
};

#define SAY(record, value, ...) do {					\
	(record)->verdict = (value);					\
	snprintf((record)->reason, sizeof((record)->reason), __VA_ARGS__); \
} while (0)

static int ring_block(struct walk *walk, uint64_t position, void *block,
		      struct qbd_error *error)
{
	uint64_t place = position % walk->log_blocks;
	int result;

	if (place < walk->window_place ||
	    place - walk->window_place >= walk->window_count) {
		uint64_t left = walk->log_blocks - place;
		size_t count = left < WINDOW_BLOCKS ? (size_t)left : WINDOW_BLOCKS;

		walk->window_count = 0;
		result = qbd_disk_read(walk->disk, walk->log_block + place, walk->window,
				       count, error);
		if (result && count > 1) {
			/* One bad sector shall not hide its neighbours. */
			count = 1;
			result = qbd_disk_read(walk->disk, walk->log_block + place,
					       walk->window, 1, error);
		}
		if (result)
			return result;
		walk->window_place = place;
		walk->window_count = count;
	}
	memcpy(block, walk->window + ((place - walk->window_place) << QBD_BLOCK_SHIFT),
	       QBD_BLOCK_SIZE);
	return 0;
}

static bool header_in_bounds(const struct qbd_record_header *header)
{
	return le16_to_cpu(header->shared.operation_count) <= QBD_OPERATIONS_MAX &&
	       le32_to_cpu(header->shared.data_blocks) <= QBD_RECORD_DATA_BLOCKS_MAX;
}

/* Is this a header that this member wrote at this position of this lap? */
static bool judge_place(const struct walk *walk, struct qbd_log_record *record)
{
	const struct qbd_record_header *header = &record->header;
	uint64_t position = le64_to_cpu(header->local.position);

	if (le32_to_cpu(header->shared.magic) != QBD_RECORD_MAGIC) {
		SAY(record, QBD_RECORD_NONE, "no record here");
		return false;
	}
	if (!header_in_bounds(header)) {
		SAY(record, QBD_RECORD_BROKEN, "%u operations and %u data blocks are too many",
		    le16_to_cpu(header->shared.operation_count),
		    le32_to_cpu(header->shared.data_blocks));
		return false;
	}
	if (le32_to_cpu(header->local.checksum) != qbd_record_local_checksum(header)) {
		SAY(record, QBD_RECORD_BROKEN, "header checksum is %08x, should be %08x",
		    le32_to_cpu(header->local.checksum), qbd_record_local_checksum(header));
		return false;
	}
	if (le32_to_cpu(header->local.member_id) !=
	    le32_to_cpu(walk->superblock->member_id)) {
		SAY(record, QBD_RECORD_STALE, "written by member %u",
		    le32_to_cpu(header->local.member_id));
		return false;
	}
	if (position != record->position) {
		SAY(record, QBD_RECORD_STALE, "of position %" PRIu64 ", %s", position,
		    position < record->position ? "an earlier lap" : "a later one");
		return false;
	}
	if (le32_to_cpu(header->shared.chain) !=
	    qbd_record_chain(header, walk->superblock->header.uuid)) {
		SAY(record, QBD_RECORD_STALE, "chain does not fit: of another device");
		return false;
	}
	return true;
}

/* Does it continue the record before it? */
static bool judge_history(const struct walk *walk, struct qbd_log_record *record)
{
	const struct qbd_record_shared *shared = &record->header.shared;

	if (le64_to_cpu(shared->index) != record->index) {
		SAY(record, QBD_RECORD_STALE, "has index %" PRIu64 ": of a history cut off",
		    (uint64_t)le64_to_cpu(shared->index));
		return false;
	}
	if (le32_to_cpu(shared->chain_previous) != walk->chain ||
	    le64_to_cpu(shared->term) < walk->term) {
		SAY(record, QBD_RECORD_STALE, "does not continue the record before it: of a history cut off");
		return false;
	}
	return true;
}

static int read_data(struct walk *walk, uint64_t position, uint32_t blocks,
		     struct qbd_error *error)
{
	for (uint32_t i = 0; i < blocks; i++) {
		int result = ring_block(walk, position + 1 + i,
					walk->data + ((size_t)i << QBD_BLOCK_SHIFT), error);

		if (result)
			return result;
	}
	return 0;
}

static bool judge_data(const struct walk *walk, struct qbd_log_record *record)
{
	const struct qbd_record_header *header = &record->header;
	uint32_t operations = le16_to_cpu(header->shared.operation_count);
	uint32_t blocks = le32_to_cpu(header->shared.data_blocks);
	uint32_t at = 0;

	for (uint32_t i = 0; i < operations; i++) {
		const struct qbd_operation *operation = &header->operations[i];
		uint32_t count = le32_to_cpu(operation->count);

		if (le16_to_cpu(operation->kind) != QBD_OPERATION_WRITE)
			continue;
		if (count > blocks - at ||
		    le32_to_cpu(operation->data_checksum) !=
		    qbd_crc32c(~0u, walk->data + ((size_t)at << QBD_BLOCK_SHIFT),
			       (size_t)count << QBD_BLOCK_SHIFT)) {
			SAY(record, QBD_RECORD_BROKEN,
			    "data of operation %u (block %" PRIu64 ", %u blocks) is damaged",
			    i, (uint64_t)le64_to_cpu(operation->block), count);
			return false;
		}
		at += count;
	}
	if (!operations && blocks &&
	    le32_to_cpu(header->shared.data_checksum) !=
	    qbd_crc32c(~0u, walk->data, (size_t)blocks << QBD_BLOCK_SHIFT)) {
		SAY(record, QBD_RECORD_BROKEN, "its data is damaged");
		return false;
	}
	return true;
}

static void judge_record(struct walk *walk, struct qbd_log_record *record)
{
	struct qbd_error error;

	if (ring_block(walk, record->position, &record->header, &error)) {
		SAY(record, QBD_RECORD_UNREADABLE, "%.150s", error.text);
		return;
	}
	if (!judge_place(walk, record) || !judge_history(walk, record))
		return;
	if (read_data(walk, record->position, le32_to_cpu(record->header.shared.data_blocks),
		      &error)) {
		SAY(record, QBD_RECORD_UNREADABLE, "%.150s", error.text);
		return;
	}
	if (!judge_data(walk, record))
		return;
	SAY(record, QBD_RECORD_GOOD, "good");
}

static uint64_t at_least(uint64_t value, uint64_t least)
{
	return value < least ? least : value;
}

/* What lies between the end of the log and its beginning, one lap on? */
static void scan_beyond(struct walk *walk, uint64_t stop, struct qbd_log_summary *summary)
{
	struct qbd_log_record *record = calloc(1, sizeof(*record));
	struct qbd_error error;
	uint64_t position = summary->end.position;

	if (!record)
		return;
	for (position++; position < stop; position++) {
		record->position = position;
		if (ring_block(walk, position, &record->header, &error) ||
		    !judge_place(walk, record))
			continue;
		/* An older term than the end's: cut off when a new leader came. */
		if (le64_to_cpu(record->header.shared.term) < summary->last_term ||
		    le64_to_cpu(record->header.shared.index) <= summary->last_index)
			continue;
		summary->later_records++;
		summary->later_highest_index =
			at_least(summary->later_highest_index,
				 le64_to_cpu(record->header.shared.index));
		summary->known_committed =
			at_least(summary->known_committed,
				 le64_to_cpu(record->header.local.commit_index));
	}
	free(record);
}

static void walk_records(struct walk *walk, const struct qbd_state_block *state,
			 qbd_log_visitor visit, void *context,
			 struct qbd_log_summary *summary)
{
	uint64_t start = le64_to_cpu(state->log_first_position);
	struct qbd_log_record *record = &summary->end;

	record->position = start;
	record->index = le64_to_cpu(state->log_first_index);
	for (;;) {
		const struct qbd_record_shared *shared = &record->header.shared;
		uint64_t used;

		if (summary->blocks_used >= walk->log_blocks) {
			SAY(record, QBD_RECORD_NONE, "the ring is full");
			break;
		}
		judge_record(walk, record);
		if (visit)
			visit(context, record);
		if (record->verdict != QBD_RECORD_GOOD)
			break;
		used = 1 + le32_to_cpu(shared->data_blocks);
		walk->chain = le32_to_cpu(shared->chain);
		walk->term = le64_to_cpu(shared->term);
		summary->last_index = record->index;
		summary->last_term = walk->term;
		summary->records++;
		summary->blocks_used += used;
		summary->known_durable =
			at_least(summary->known_durable,
				 le64_to_cpu(record->header.local.durable_index));
		summary->known_committed =
			at_least(summary->known_committed,
				 le64_to_cpu(record->header.local.commit_index));
		record->position += used;
		record->index++;
	}
	scan_beyond(walk, start + walk->log_blocks, summary);
	summary->lost = summary->known_durable > summary->last_index ||
			summary->known_committed > summary->last_index;
}

int qbd_log_walk(struct qbd_disk *disk, const struct qbd_inspection *inspection,
		 qbd_log_visitor visit, void *context, struct qbd_log_summary *summary,
		 struct qbd_error *error)
{
	const struct qbd_state_block *state = inspection->state;
	struct walk walk = {
		.disk = disk,
		.superblock = inspection->superblock,
		.log_block = le64_to_cpu(inspection->superblock->log_block),
		.log_blocks = le64_to_cpu(inspection->superblock->log_blocks),
		.chain = le32_to_cpu(state->log_previous_chain),
		.term = le64_to_cpu(state->log_previous_term),
	};
	int result = 0;

	memset(summary, 0, sizeof(*summary));
	summary->first_index = le64_to_cpu(state->log_first_index);
	summary->last_index = summary->first_index ? summary->first_index - 1 : 0;
	summary->last_term = walk.term;
	summary->known_durable = le64_to_cpu(state->durable_index);
	summary->known_committed = le64_to_cpu(state->commit_index);
	walk.window = qbd_disk_buffer(WINDOW_BLOCKS);
	walk.data = malloc((size_t)QBD_RECORD_DATA_BLOCKS_MAX << QBD_BLOCK_SHIFT);
	if (walk.window && walk.data)
		walk_records(&walk, state, visit, context, summary);
	else
		result = qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	free(walk.window);
	free(walk.data);
	return result;
}
