// SPDX-License-Identifier: GPL-2.0
/* The ring log as recovery sees it: the same code decides, nothing is changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/inspect.h"

#define WINDOW_BLOCKS	64u

/**
 * struct walk - a walk through the ring
 * @window: ring blocks from @window_place on that were read last
 */
struct walk {
	struct qbd_disk *disk;
	const struct qbd_log_visitor *visitor;
	struct qbd_log_summary *summary;
	uint64_t log_block;
	uint64_t log_blocks;
	uint8_t *window;
	uint64_t window_place;
	size_t window_count;
};

static int fill_window(struct walk *walk, uint64_t place)
{
	uint64_t left = walk->log_blocks - place;
	size_t count = left < WINDOW_BLOCKS ? (size_t)left : WINDOW_BLOCKS;
	struct qbd_error error;

	walk->window_count = 0;
	walk->window_place = place;
	if (qbd_disk_read(walk->disk, walk->log_block + place, walk->window, count, &error)) {
		/* One bad sector shall not hide its neighbours. */
		count = 1;
		if (qbd_disk_read(walk->disk, walk->log_block + place, walk->window, 1,
				  &error))
			return -EIO;
	}
	walk->window_count = count;
	return 0;
}

static const void *read_block(void *context, u64 place)
{
	struct walk *walk = context;

	if ((place < walk->window_place ||
	     place - walk->window_place >= walk->window_count) && fill_window(walk, place))
		return NULL;
	return walk->window + ((place - walk->window_place) << QBD_BLOCK_SHIFT);
}

static void found_record(void *context, const struct qbd_record_header *header, u64 position)
{
	struct walk *walk = context;

	walk->summary->records++;
	walk->summary->blocks_used += 1 + le32_to_cpu(header->shared.data_blocks);
	if (walk->visitor)
		walk->visitor->record(walk->visitor->context, header, position);
}

static void restart(void *context)
{
	struct walk *walk = context;

	walk->summary->records = 0;
	walk->summary->blocks_used = 0;
	if (walk->visitor)
		walk->visitor->restart(walk->visitor->context);
}

static void take_scan(const struct qbd_scan *scan, struct qbd_log_summary *summary)
{
	summary->verdict = scan->verdict;
	summary->base_index = scan->base_index;
	summary->last_index = scan->last_index;
	summary->last_term = scan->last_term;
	summary->commit_index = scan->commit_index;
	summary->end_position = scan->next_position;
	summary->end_reason = scan->reason;
	summary->damaged_through = scan->damaged_through;
	summary->from_applied = scan->from_applied;
}

int qbd_log_walk(struct qbd_disk *disk, const struct qbd_inspection *inspection,
		 const struct qbd_log_visitor *visitor, struct qbd_log_summary *summary,
		 struct qbd_error *error)
{
	static const struct qbd_scan_ops ops = {
		.block = read_block,
		.found = found_record,
		.restart = restart,
	};
	const struct qbd_geometry *geometry = &inspection->geometry;
	struct walk walk = {
		.disk = disk,
		.visitor = visitor,
		.summary = summary,
		.log_block = geometry->log_block,
		.log_blocks = geometry->log_blocks,
		.window = qbd_disk_buffer(WINDOW_BLOCKS),
	};
	struct qbd_scan *scan = calloc(1, sizeof(*scan));
	int result = 0;

	memset(summary, 0, sizeof(*summary));
	if (scan && walk.window) {
		scan->uuid = geometry->uuid;
		scan->member_id = geometry->member_id;
		scan->device_blocks = geometry->device_blocks;
		scan->device_blocks_most = qbd_geometry_most(geometry);
		scan->log_blocks = geometry->log_blocks;
		scan->state = &inspection->current;
		scan->ops = &ops;
		scan->context = &walk;
		qbd_recovery_scan(scan);
		take_scan(scan, summary);
	} else {
		result = qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	}
	free(walk.window);
	free(scan);
	return result;
}
