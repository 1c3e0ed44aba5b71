/* SPDX-License-Identifier: GPL-2.0 */
/* Opening a member's disk for exclusive use. */
#ifndef QBD_COMPAT_BDEV_H
#define QBD_COMPAT_BDEV_H

#include <linux/blkdev.h>
#include <linux/device_cgroup.h>
#include <linux/err.h>

/*
 * Which disk is at a path, for who asks: he sees his own tree of files, and his control
 * group may keep him from some disks. It can be opened in another process's context then.
 */
static inline int qbd_compat_bdev_find(const char *path, dev_t *number)
{
	int error = lookup_bdev(path, number);

	if (error)
		return error;
	return devcgroup_check_permission(DEVCG_DEV_BLOCK, MAJOR(*number), MINOR(*number),
					  DEVCG_ACC_READ | DEVCG_ACC_WRITE);
}

#ifdef QBD_COMPAT_NO_BDEV_FILE

struct qbd_compat_bdev {
	struct block_device *bdev;
};

static inline void qbd_compat_bdev_close(struct qbd_compat_bdev *device)
{
	blkdev_put(device->bdev, FMODE_READ | FMODE_WRITE | FMODE_EXCL);
}

static inline int qbd_compat_bdev_get_exclusive(struct qbd_compat_bdev *device, dev_t number,
						void *holder)
{
	device->bdev = blkdev_get_by_dev(number, FMODE_READ | FMODE_WRITE | FMODE_EXCL,
					 holder);
	return PTR_ERR_OR_ZERO(device->bdev);
}

static inline struct block_device *
qbd_compat_bdev_get(const struct qbd_compat_bdev *device)
{
	return device->bdev;
}

#else

struct qbd_compat_bdev {
	struct file *file;
};

static inline void qbd_compat_bdev_close(struct qbd_compat_bdev *device)
{
	bdev_fput(device->file);
}

static inline int qbd_compat_bdev_get_exclusive(struct qbd_compat_bdev *device, dev_t number,
						void *holder)
{
	device->file = bdev_file_open_by_dev(number, BLK_OPEN_READ | BLK_OPEN_WRITE, holder,
					     NULL);
	return PTR_ERR_OR_ZERO(device->file);
}

static inline struct block_device *
qbd_compat_bdev_get(const struct qbd_compat_bdev *device)
{
	return file_bdev(device->file);
}

#endif

/* A disk that is write-protected can be opened for write by its number. */
static inline int qbd_compat_bdev_open(struct qbd_compat_bdev *device, dev_t number,
				       void *holder)
{
	int error = qbd_compat_bdev_get_exclusive(device, number, holder);

	if (error || !bdev_read_only(qbd_compat_bdev_get(device)))
		return error;
	qbd_compat_bdev_close(device);
	return -EACCES;
}

#endif
