/* SPDX-License-Identifier: GPL-2.0 */
/* Opening a member's disk for exclusive use. */
#ifndef QBD_COMPAT_BDEV_H
#define QBD_COMPAT_BDEV_H

#include <linux/blkdev.h>
#include <linux/err.h>

#ifdef QBD_COMPAT_NO_BDEV_FILE

struct qbd_compat_bdev {
	struct block_device *bdev;
};

static inline int qbd_compat_bdev_open(struct qbd_compat_bdev *device, const char *path,
				       void *holder)
{
	device->bdev = blkdev_get_by_path(path, FMODE_READ | FMODE_WRITE | FMODE_EXCL,
					  holder);
	return PTR_ERR_OR_ZERO(device->bdev);
}

static inline void qbd_compat_bdev_close(struct qbd_compat_bdev *device)
{
	blkdev_put(device->bdev, FMODE_READ | FMODE_WRITE | FMODE_EXCL);
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

static inline int qbd_compat_bdev_open(struct qbd_compat_bdev *device, const char *path,
				       void *holder)
{
	device->file = bdev_file_open_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE,
					      holder, NULL);
	return PTR_ERR_OR_ZERO(device->file);
}

static inline void qbd_compat_bdev_close(struct qbd_compat_bdev *device)
{
	bdev_fput(device->file);
}

static inline struct block_device *
qbd_compat_bdev_get(const struct qbd_compat_bdev *device)
{
	return file_bdev(device->file);
}

#endif

#endif
