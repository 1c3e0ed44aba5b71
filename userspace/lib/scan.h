/* SPDX-License-Identifier: GPL-2.0 */
/* Which of the host's disks are members, and which of them is meant by a name. */
#ifndef QBD_LIB_SCAN_H
#define QBD_LIB_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "format/format.h"
#include "lib/error.h"

/**
 * struct qbd_found - a disk with a qbd superblock on it
 * @path: /dev/sdb, /dev/mapper/data-vol0
 * @number: of the block device
 * @name: the device that it is a member of; "" if no superblock copy is good
 * @witness: it has no data
 * @client: likewise, and there is a block device
 * @problem: why it cannot be brought up, naming the disk; "" if it can
 */
struct qbd_found {
	char path[320];
	dev_t number;
	char name[QBD_NAME_SIZE];
	uint8_t uuid[QBD_UUID_SIZE];
	uint8_t incarnation[QBD_UUID_SIZE];
	uint32_t member_id;
	bool witness;
	bool client;
	char problem[640];
};

/**
 * struct qbd_disk_scan - what was found, ordered by path
 */
struct qbd_disk_scan {
	struct qbd_found *disks;
	size_t count;
};

/**
 * struct qbd_disk_scan_place - where to look
 * @sysfs: "/sys/class/block", or a directory that looks like it
 * @dev: "/dev"
 * @open_flags: of qbd_disk_open()
 */
struct qbd_disk_scan_place {
	const char *sysfs;
	const char *dev;
	unsigned int open_flags;
};

extern const struct qbd_disk_scan_place qbd_disk_scan_host;

/*
 * Look at every block device that is nothing else's part. What cannot be read is
 * passed over: it may be anybody's.
 */
int qbd_disk_scan(const struct qbd_disk_scan_place *place, struct qbd_disk_scan *scan,
		  struct qbd_error *error);
void qbd_disk_scan_free(struct qbd_disk_scan *scan);
/* One more, behind the others. */
int qbd_disk_scan_add(struct qbd_disk_scan *scan, const struct qbd_found *found,
		      struct qbd_error *error);

/* One disk. Return: 1 with @found if it bears the marks of a member, 0 if not, or -errno. */
int qbd_disk_scan_one(const char *path, unsigned int open_flags, struct qbd_found *found,
		      struct qbd_error *error);

/**
 * qbd_disk_scan_choose() - the disk on which @name can come up
 * @pinned: the disk that it has to be, or NULL
 * @chosen: where it is put
 *
 * There is no guessing: disks that could be mistaken for one another are refused.
 *
 * Return: 0; -ENOENT there is none; -ENOTUNIQ there are several; -EBUSY it is in use;
 * -EUCLEAN it is damaged.
 */
int qbd_disk_scan_choose(const struct qbd_disk_scan *scan, const char *name, const char *pinned,
			 const struct qbd_found **chosen, struct qbd_error *error);

/* The same member: its disk, another way to it, a copy, or one made for the same id. */
bool qbd_found_same_member(const struct qbd_found *one, const struct qbd_found *other);
/* Somebody holds it. Asking claims it for an instant: ask only if it matters. */
bool qbd_found_in_use(const struct qbd_found *found);

#endif
