/* SPDX-License-Identifier: GPL-2.0 */
/* The device's contents as one member's disk holds them, while it is down. */
#ifndef QBD_LIB_CONTENT_H
#define QBD_LIB_CONTENT_H

#include "lib/disk.h"
#include "lib/error.h"
#include "lib/inspect.h"

/**
 * struct qbd_content - an open replica
 * @applied_index: its contents are exactly those of this log index
 * @extent_blocks: device blocks of an extent (the last may have fewer)
 */
struct qbd_content {
	struct qbd_disk disk;
	struct qbd_inspection inspection;
	struct qbd_extent_table table;
	uint64_t applied_index;
	uint64_t device_blocks;
	uint64_t data_block;
	uint64_t extent_blocks;
};

/**
 * qbd_content_open() - open a replica for reading what the device holds
 *
 * Refuses whatever would make the answer a lie: a disk in use, a member that was
 * not taken down in order, one that is being filled or has failed.
 */
int qbd_content_open(struct qbd_content *content, const char *path,
		     struct qbd_error *error);
void qbd_content_close(struct qbd_content *content);

/* Was none of these device blocks ever written? */
bool qbd_content_unwritten(const struct qbd_content *content, uint64_t block, size_t count);

/* Device blocks; what was never written reads as zeroes. From qbd_disk_buffer(). */
int qbd_content_read(struct qbd_content *content, uint64_t block, void *buffer,
		     size_t count, struct qbd_error *error);

#endif
