// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/content.h"

static int check_settled(struct qbd_content *content, struct qbd_error *error)
{
	const struct qbd_state *state = &content->inspection.current;
	const char *path = content->disk.path;
	struct qbd_log_summary log;
	int result;

	if (state->flags & QBD_STATE_FAILED)
		return qbd_fail(error, EUCLEAN,
				"%s: this disk failed while it was in use; its contents are not vouched for, replace it",
				path);
	if (state->flags & QBD_STATE_FILLING)
		return qbd_fail(error, EUCLEAN,
				"%s: is half filled from another member; bring it up until status calls it in step, then take it down",
				path);
	result = qbd_log_walk(&content->disk, &content->inspection, NULL, &log, error);
	if (result)
		return result;
	if (log.verdict == QBD_LOG_DAMAGED)
		return qbd_fail(error, EUCLEAN,
				"%s: acknowledged log records from index %" PRIu64 " to %" PRIu64
				" are damaged (%s); bring it up, the other members send them again",
				path, log.last_index + 1, log.damaged_through, log.end_reason);
	if (state->applied_index < log.commit_index)
		return qbd_fail(error, EBUSY,
				"%s: applied up to index %" PRIu64 " of %" PRIu64 " committed; bring the member up and take it down in order with 'qbdadm down'",
				path, state->applied_index, log.commit_index);
	/* Without a clean end, more may be applied than the state block says. */
	if (!(state->flags & QBD_STATE_CLEAN) && state->applied_index < log.last_index)
		return qbd_fail(error, EBUSY,
				"%s: was not taken down in order (applied %" PRIu64
				", log ends at %" PRIu64
				"); bring the member up and take it down with 'qbdadm down'",
				path, state->applied_index, log.last_index);
	content->applied_index = state->applied_index;
	return 0;
}

static int prepare(struct qbd_content *content, struct qbd_error *error)
{
	const struct qbd_geometry *geometry = &content->inspection.geometry;
	int result;

	result = qbd_inspect(&content->disk, &content->inspection, error);
	if (!result)
		result = qbd_inspection_check(&content->disk, &content->inspection, error);
	if (!result && geometry->no_data)
		result = qbd_fail(error, EINVAL,
				  "%s: is the disk of a %s, which keeps no data; use the disk of another member",
				  content->disk.path, geometry->client ? "client" : "witness");
	if (!result)
		result = check_settled(content, error);
	if (result)
		return result;
	content->device_blocks = geometry->device_blocks;
	content->data_block = geometry->data_block;
	content->extent_blocks = geometry->extent_blocks;
	result = qbd_extents_read(&content->disk, geometry, &content->table, error);
	if (result)
		return result;
	if (content->table.bad_blocks) {
		qbd_extents_free(&content->table);
		return qbd_fail(error, EUCLEAN,
				"%s: %" PRIu64 " blocks of the extent table are damaged: what was never written cannot be told; bring the member up to repair it",
				content->disk.path, content->table.bad_blocks);
	}
	return 0;
}

int qbd_content_open(struct qbd_content *content, const char *path,
		     struct qbd_error *error)
{
	int result;

	memset(content, 0, sizeof(*content));
	result = qbd_disk_open(&content->disk, path,
			       QBD_DISK_EXCLUSIVE | QBD_DISK_ALLOW_FILE, error);
	if (result)
		return result;
	result = prepare(content, error);
	if (result)
		qbd_disk_close(&content->disk);
	return result;
}

void qbd_content_close(struct qbd_content *content)
{
	qbd_extents_free(&content->table);
	qbd_disk_close(&content->disk);
}

/* How many of @count blocks from @block on are alike: in written extents, or not. */
static size_t run_length(const struct qbd_content *content, uint64_t block, size_t count,
			 bool *written)
{
	uint64_t extent = block / content->extent_blocks;
	uint64_t end = block + count;
	uint64_t next;

	*written = content->table.changed[extent] != 0;
	for (;;) {
		next = (extent + 1) * content->extent_blocks;
		if (next >= end)
			return count;
		extent++;
		if (*written != !!content->table.changed[extent])
			return (size_t)(next - block);
	}
}

bool qbd_content_unwritten(const struct qbd_content *content, uint64_t block, size_t count)
{
	bool written;

	return run_length(content, block, count, &written) == count && !written;
}

int qbd_content_read(struct qbd_content *content, uint64_t block, void *buffer,
		     size_t count, struct qbd_error *error)
{
	char *to = buffer;
	int result = 0;

	if (block > content->device_blocks || count > content->device_blocks - block)
		return qbd_fail(error, ERANGE, "%s: the device ends at block %" PRIu64,
				content->disk.path, content->device_blocks);
	while (!result && count) {
		bool written;
		size_t run = run_length(content, block, count, &written);

		if (written)
			result = qbd_disk_read(&content->disk, content->data_block + block,
					       to, run, error);
		else
			memset(to, 0, run << QBD_BLOCK_SHIFT);
		block += run;
		count -= run;
		to += run << QBD_BLOCK_SHIFT;
	}
	return result;
}
