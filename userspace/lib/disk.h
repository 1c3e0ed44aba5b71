/* SPDX-License-Identifier: GPL-2.0 */
/* A member's disk (or, for looking only, an image file) in blocks of 4 KiB. */
#ifndef QBD_LIB_DISK_H
#define QBD_LIB_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/format.h"
#include "lib/error.h"

enum qbd_disk_flags {
	QBD_DISK_WRITE		= 1 << 0,
	QBD_DISK_EXCLUSIVE	= 1 << 1,	/* nobody else may have it open so */
	QBD_DISK_ALLOW_FILE	= 1 << 2,	/* a regular file will do */
};

/**
 * struct qbd_disk - an open disk
 * @blocks: whole blocks of QBD_BLOCK_SIZE that it has
 * @direct: opened past the page cache, so that what the module wrote is seen
 */
struct qbd_disk {
	int fd;
	const char *path;
	uint64_t bytes;
	uint64_t blocks;
	bool block_device;
	bool direct;
};

/* @path must stay valid as long as @disk is open. */
int qbd_disk_open(struct qbd_disk *disk, const char *path, unsigned int flags,
		  struct qbd_error *error);
void qbd_disk_close(struct qbd_disk *disk);

/*
 * Memory for reads and writes has to come from here; free() it. NULL: no memory. What is in
 * it is undefined.
 */
void *qbd_disk_buffer(size_t blocks);

int qbd_disk_read(struct qbd_disk *disk, uint64_t block, void *buffer, size_t count,
		  struct qbd_error *error);
int qbd_disk_write(struct qbd_disk *disk, uint64_t block, const void *buffer,
		   size_t count, struct qbd_error *error);
int qbd_disk_zero(struct qbd_disk *disk, uint64_t block, uint64_t count,
		  struct qbd_error *error);
/* Everything written is on the medium. */
int qbd_disk_flush(struct qbd_disk *disk, struct qbd_error *error);

/**
 * qbd_disk_content() - what others would take this disk for
 * @disk: disk
 * @text: "ext4 filesystem", "gpt partition table", ...; "" if nothing is known
 * @size: its room
 *
 * Says nothing of qbd's own metadata.
 */
int qbd_disk_content(struct qbd_disk *disk, char *text, size_t size,
		     struct qbd_error *error);

#endif
