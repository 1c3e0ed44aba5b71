/* SPDX-License-Identifier: GPL-2.0 */
/* What a client keeps on its host: a small log, in a file. */
#ifndef QBD_LIB_LOGFILE_H
#define QBD_LIB_LOGFILE_H

#include <stddef.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "lib/scan.h"

#define QBD_LOGFILE_DIRECTORY	"/var/lib/qbd"
/* The file of a device is called NAME.client there. */
#define QBD_LOGFILE_ENDING	".client"

/* Where the file of the device @name is, if nobody wants it elsewhere. */
void qbd_logfile_path(const char *name, char *path, size_t size);

/*
 * Is it a client's? Return: 1 with @found, 0 if it is anything else, -ENOENT if there is
 * none, or another -errno; each but the first with the line.
 */
int qbd_logfile_look(const char *path, struct qbd_found *found, struct qbd_error *error);

/* The file that this member, which is up here, is on; @path stays as it is if none is. */
void qbd_logfile_of(const uint8_t *uuid, uint32_t member_id, char *path, size_t size);

/* Add those to @scan that no loop device carries: those are found as disks. */
int qbd_logfile_scan(const char *directory, struct qbd_disk_scan *scan,
		     struct qbd_error *error);

/**
 * struct qbd_logfiles - files that are disks now, as long as this is there or a member is up
 */
struct qbd_logfiles {
	struct qbd_loop *loops;
	size_t count;
};

/**
 * qbd_logfiles_attach() - make disks of the clients' files
 * @directory: where they are; it need not be there
 * @name: of one device, NULL: all
 * @files: to which they are added; begins as zeroes
 * @failed: called for each that it cannot be done for, with the line
 */
void qbd_logfiles_attach(const char *directory, const char *name, struct qbd_logfiles *files,
			 void (*failed)(const struct qbd_error *error));
void qbd_logfiles_release(struct qbd_logfiles *files);

#endif
