/* SPDX-License-Identifier: GPL-2.0 */
/* A file that is a disk: by a loop device, which goes with its last user. */
#ifndef QBD_LIB_LOOP_H
#define QBD_LIB_LOOP_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"

/**
 * struct qbd_loop - a loop device that is open
 * @fd: keeps it there
 * @path: "/dev/loop0"
 */
struct qbd_loop {
	int fd;
	char path[32];
};

/**
 * qbd_loop_attach() - the loop device of this file
 * @loop: to be closed if this succeeds
 * @file: a regular file
 *
 * The one that there is already, for two would not know of each other's writes; else a new
 * one. Whoever else may be at it has to be kept out by the caller (qbd_loop_lock()).
 */
int qbd_loop_attach(struct qbd_loop *loop, const char *file, struct qbd_error *error);
void qbd_loop_close(struct qbd_loop *loop);
/* Can there be one of this file? Loads the module if it is not there; one line if not. */
int qbd_loop_check(const char *file, struct qbd_error *error);
/* The file of the loop device of this name ("loop0"); false if it has none. */
bool qbd_loop_file(const char *name, char *file, size_t size);
/* Is there one of this file? */
bool qbd_loop_is_attached(const char *file);

/*
 * Nobody else attaches files of this one's directory, or makes them, until the descriptor that
 * is returned is closed. -errno with the line if that cannot be.
 */
int qbd_loop_lock(const char *file, struct qbd_error *error);

#endif
