// SPDX-License-Identifier: GPL-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <blkid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "format/superblock.h"
#include "lib/disk.h"
#include "store/layout.h"

#define ZERO_CHUNK_BLOCKS	256u

/* "mounted on /srv" if @device or a partition of it is mounted. */
static bool describe_mount(dev_t device, char *text, size_t size)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[4096], where[2048], partition[64];
	unsigned int disk_major, disk_minor;
	bool found = false;

	if (!mounts)
		return false;
	while (!found && fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%*d %*d %u:%u %*s %2047s", &disk_major, &disk_minor,
			   where) != 3)
			continue;
		if (makedev(disk_major, disk_minor) == device) {
			snprintf(text, size, "mounted on %.200s", where);
			found = true;
			continue;
		}
		/* A partition's directory lies in that of its disk. */
		snprintf(partition, sizeof(partition), "/sys/dev/block/%u:%u/../dev",
			 disk_major, disk_minor);
		FILE *parent = fopen(partition, "re");

		if (parent) {
			if (fscanf(parent, "%u:%u", &disk_major, &disk_minor) == 2 &&
			    makedev(disk_major, disk_minor) == device) {
				snprintf(text, size, "a partition of it is mounted on %.200s",
					 where);
				found = true;
			}
			fclose(parent);
		}
	}
	fclose(mounts);
	return found;
}

static bool describe_holder(dev_t device, char *text, size_t size)
{
	struct dirent *entry;
	bool found = false;
	char path[64];
	DIR *holders;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(device),
		 minor(device));
	holders = opendir(path);
	if (!holders)
		return false;
	while (!found && (entry = readdir(holders))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(text, size, "part of %.200s", entry->d_name);
		found = true;
	}
	closedir(holders);
	return found;
}

/* The module holds its disks without a trace in sysfs, but they bear a name. */
static bool describe_member(const char *path, char *text, size_t size)
{
	struct qbd_superblock *superblock = qbd_disk_buffer(1);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct qbd_geometry geometry;
	bool found = false;
	const char *why;

	if (superblock && fd >= 0 &&
	    pread(fd, superblock, sizeof(*superblock), 0) == (ssize_t)sizeof(*superblock) &&
	    qbd_superblock_check(superblock, 0, &geometry, &why) == QBD_BLOCK_GOOD) {
		snprintf(text, size, "member %u of %s, it seems, is up on it",
			 geometry.member_id, geometry.name);
		found = true;
	}
	if (fd >= 0)
		close(fd);
	free(superblock);
	return found;
}

static void describe_user(const char *path, dev_t device, char *text, size_t size)
{
	if (describe_mount(device, text, size) || describe_holder(device, text, size) ||
	    describe_member(path, text, size))
		return;
	snprintf(text, size, "opened exclusively by the kernel or another program");
}

static int fail_open(const char *path, int code, struct qbd_error *error)
{
	char user[256];
	struct stat status;

	switch (code) {
	case ENOENT:
		return qbd_fail(error, code, "%s: is not there; check the path", path);
	case EBUSY:
		if (stat(path, &status))
			status.st_rdev = 0;
		describe_user(path, status.st_rdev, user, sizeof(user));
		return qbd_fail(error, code,
				"%s: is in use (%s); release it (umount, swapoff, qbdadm down) or choose another disk",
				path, user);
	case EACCES:
	case EPERM:
		return qbd_fail(error, code, "%s: %s; run this as root", path, strerror(code));
	case EROFS:
		return qbd_fail(error, code, "%s: is read-only; choose a writable disk", path);
	case ENXIO:
	case ENOMEDIUM:
		return qbd_fail(error, code, "%s: has no medium or no driver behind it", path);
	default:
		return qbd_fail(error, code, "%s: cannot be opened: %s", path, strerror(code));
	}
}

static int check_kind(const char *path, unsigned int flags, struct stat *status,
		      struct qbd_error *error)
{
	if (stat(path, status))
		return fail_open(path, errno, error);
	if (S_ISBLK(status->st_mode))
		return 0;
	if (S_ISREG(status->st_mode) && (flags & QBD_DISK_ALLOW_FILE))
		return 0;
	if (S_ISREG(status->st_mode))
		return qbd_fail(error, ENOTBLK,
				"%s: is a regular file, not a block device; make one of it with 'losetup --find --show %s'",
				path, path);
	return qbd_fail(error, ENOTBLK, "%s: is not a block device; name one, for example /dev/sdb",
			path);
}

static int get_size(struct qbd_disk *disk, const struct stat *status,
		    struct qbd_error *error)
{
	int logical_block = 512;

	if (!disk->block_device) {
		disk->bytes = status->st_size;
	} else {
		if (ioctl(disk->fd, BLKGETSIZE64, &disk->bytes))
			return qbd_fail(error, errno, "%s: does not tell its size: %s",
					disk->path, strerror(errno));
		if (!ioctl(disk->fd, BLKSSZGET, &logical_block) &&
		    logical_block > (int)QBD_BLOCK_SIZE)
			return qbd_fail(error, EINVAL,
					"%s: has logical blocks of %d bytes; at most %u work",
					disk->path, logical_block, QBD_BLOCK_SIZE);
	}
	disk->blocks = disk->bytes >> QBD_BLOCK_SHIFT;
	return 0;
}

int qbd_disk_open(struct qbd_disk *disk, const char *path, unsigned int flags,
		  struct qbd_error *error)
{
	int mode = (flags & QBD_DISK_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY;
	struct stat status;
	int result;

	memset(disk, 0, sizeof(*disk));
	disk->fd = -1;
	disk->path = path;
	result = check_kind(path, flags, &status, error);
	if (result)
		return result;
	disk->block_device = S_ISBLK(status.st_mode);
	if (disk->block_device && (flags & QBD_DISK_EXCLUSIVE))
		mode |= O_EXCL;
	disk->direct = true;
	disk->fd = open(path, mode | O_DIRECT);
	if (disk->fd < 0 && errno == EINVAL) {
		disk->direct = false;
		disk->fd = open(path, mode);
	}
	if (disk->fd < 0)
		return fail_open(path, errno, error);
	/* Between stat() and open() another file may have come to that name. */
	if (fstat(disk->fd, &status) || S_ISBLK(status.st_mode) != disk->block_device)
		result = qbd_fail(error, EAGAIN, "%s: changed while it was opened; try again",
				  path);
	else
		result = get_size(disk, &status, error);
	if (result)
		qbd_disk_close(disk);
	return result;
}

void qbd_disk_close(struct qbd_disk *disk)
{
	if (disk->fd >= 0)
		close(disk->fd);
	disk->fd = -1;
}

void *qbd_disk_buffer(size_t blocks)
{
	void *buffer;

	if (posix_memalign(&buffer, QBD_BLOCK_SIZE, blocks << QBD_BLOCK_SHIFT))
		return NULL;
	return buffer;
}

/* Direct I/O that the file system does not do for this file is done through it. */
static bool drop_direct(struct qbd_disk *disk)
{
	int flags;

	if (!disk->direct || disk->block_device)
		return false;
	flags = fcntl(disk->fd, F_GETFL);
	if (flags < 0 || fcntl(disk->fd, F_SETFL, flags & ~O_DIRECT))
		return false;
	disk->direct = false;
	return true;
}

static int check_range(struct qbd_disk *disk, uint64_t block, uint64_t count,
		       struct qbd_error *error)
{
	if (block <= disk->blocks && count <= disk->blocks - block)
		return 0;
	return qbd_fail(error, ERANGE,
			"%s: ends at block %" PRIu64 ", block %" PRIu64 " was wanted",
			disk->path, disk->blocks, block + count - 1);
}

int qbd_disk_read(struct qbd_disk *disk, uint64_t block, void *buffer, size_t count,
		  struct qbd_error *error)
{
	off_t offset = (off_t)(block << QBD_BLOCK_SHIFT);
	size_t left = count << QBD_BLOCK_SHIFT;
	char *to = buffer;
	int result = check_range(disk, block, count, error);

	while (!result && left) {
		ssize_t got = pread(disk->fd, to, left, offset);

		if (got < 0 && (errno == EINTR || (errno == EINVAL && drop_direct(disk))))
			continue;
		if (got <= 0)
			return qbd_fail(error, got ? errno : EIO,
					"%s: reading block %" PRIu64 " failed: %s", disk->path,
					(uint64_t)offset >> QBD_BLOCK_SHIFT,
					got ? strerror(errno) : "the disk ends before it");
		to += got;
		offset += got;
		left -= got;
	}
	return result;
}

int qbd_disk_write(struct qbd_disk *disk, uint64_t block, const void *buffer,
		   size_t count, struct qbd_error *error)
{
	off_t offset = (off_t)(block << QBD_BLOCK_SHIFT);
	size_t left = count << QBD_BLOCK_SHIFT;
	const char *from = buffer;
	int result = check_range(disk, block, count, error);

	while (!result && left) {
		ssize_t done = pwrite(disk->fd, from, left, offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return qbd_fail(error, done ? errno : EIO,
					"%s: writing block %" PRIu64 " failed: %s", disk->path,
					(uint64_t)offset >> QBD_BLOCK_SHIFT,
					done ? strerror(errno) : "nothing was taken");
		from += done;
		offset += done;
		left -= done;
	}
	return result;
}

int qbd_disk_zero(struct qbd_disk *disk, uint64_t block, uint64_t count,
		  struct qbd_error *error)
{
	uint64_t range[2] = { block << QBD_BLOCK_SHIFT, count << QBD_BLOCK_SHIFT };
	int result = check_range(disk, block, count, error);
	void *zero;

	if (result)
		return result;
	if (disk->block_device && !ioctl(disk->fd, BLKZEROOUT, range))
		return 0;
	zero = qbd_disk_buffer(ZERO_CHUNK_BLOCKS);
	if (!zero)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	memset(zero, 0, (size_t)ZERO_CHUNK_BLOCKS << QBD_BLOCK_SHIFT);
	while (!result && count) {
		size_t chunk = count < ZERO_CHUNK_BLOCKS ? count : ZERO_CHUNK_BLOCKS;

		result = qbd_disk_write(disk, block, zero, chunk, error);
		block += chunk;
		count -= chunk;
	}
	free(zero);
	return result;
}

int qbd_disk_flush(struct qbd_disk *disk, struct qbd_error *error)
{
	if (fsync(disk->fd))
		return qbd_fail(error, errno, "%s: flushing failed: %s; do not trust this disk",
				disk->path, strerror(errno));
	return 0;
}

/* What the probe found, in words. */
static void name_content(blkid_probe probe, char *text, size_t size)
{
	const char *type = NULL, *usage = NULL, *table = NULL;

	blkid_probe_lookup_value(probe, "TYPE", &type, NULL);
	blkid_probe_lookup_value(probe, "USAGE", &usage, NULL);
	blkid_probe_lookup_value(probe, "PTTYPE", &table, NULL);
	if (type && usage && !strcmp(usage, "filesystem"))
		snprintf(text, size, "%s filesystem", type);
	else if (type)
		snprintf(text, size, "%s", type);
	else if (table)
		snprintf(text, size, "%s partition table", table);
	else
		snprintf(text, size, "unknown data");
}

int qbd_disk_content(struct qbd_disk *disk, char *text, size_t size,
		     struct qbd_error *error)
{
	blkid_probe probe = blkid_new_probe();
	int found;

	text[0] = '\0';
	if (!probe)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	/* The probe reads odd lengths: it gets a file descriptor without O_DIRECT. */
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", disk->fd);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || blkid_probe_set_device(probe, fd, 0, 0)) {
		int code = errno ? errno : EIO;

		if (fd >= 0)
			close(fd);
		blkid_free_probe(probe);
		return qbd_fail(error, code, "%s: cannot be looked at: %s", disk->path,
				strerror(code));
	}
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
	blkid_probe_enable_partitions(probe, 1);
	found = blkid_do_safeprobe(probe);
	if (found == 0)
		name_content(probe, text, size);
	else if (found == -2)
		snprintf(text, size, "traces of several filesystems");
	blkid_free_probe(probe);
	close(fd);
	if (found == -1)
		return qbd_fail(error, EIO, "%s: cannot be read", disk->path);
	return 0;
}
