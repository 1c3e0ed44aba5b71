// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/format.h"
#include "lib/client.h"
#include "lib/loop.h"

#define CONTROL	"/dev/loop-control"
/* Others look for a free one, too. */
#define TRIES	16

/* Is @loop's file this one? */
static bool carries(int loop, const struct stat *file)
{
	struct loop_info64 info;

	return !ioctl(loop, LOOP_GET_STATUS64, &info) && info.lo_device == file->st_dev &&
	       info.lo_inode == file->st_ino;
}

bool qbd_loop_file(const char *name, char *file, size_t size)
{
	char path[PATH_MAX];
	bool good;
	FILE *attribute;

	if (strncmp(name, "loop", 4))
		return false;
	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	attribute = fopen(path, "re");
	if (!attribute)
		return false;
	good = fgets(file, (int)size, attribute);
	fclose(attribute);
	if (good)
		file[strcspn(file, "\n")] = '\0';
	return good;
}

/* Return: true with @loop open if there is one of this file. */
static bool find(const struct stat *file, struct qbd_loop *loop)
{
	DIR *entries = opendir("/sys/block");
	char name[PATH_MAX];
	struct dirent *entry;
	bool found = false;

	while (entries && !found && (entry = readdir(entries))) {
		if (!qbd_loop_file(entry->d_name, name, sizeof(name)))
			continue;
		snprintf(loop->path, sizeof(loop->path), "/dev/%.20s", entry->d_name);
		loop->fd = open(loop->path, O_RDWR | O_CLOEXEC);
		found = loop->fd >= 0 && carries(loop->fd, file);
		if (!found)
			qbd_loop_close(loop);
	}
	if (entries)
		closedir(entries);
	return found;
}

static int no_loop(const char *file, const char *what, int code, struct qbd_error *error)
{
	return qbd_fail(error, code, "%s: no loop device for it (%s: %s); run this as root, and 'modprobe loop' if the kernel has it as a module",
			file, what, strerror(code));
}

static int open_control(const char *file, struct qbd_error *error)
{
	int control = open(CONTROL, O_RDWR | O_CLOEXEC);

	/* Where nobody made the node before the module is there. */
	if (control < 0 && errno == ENOENT) {
		qbd_client_load_module("loop");
		control = open(CONTROL, O_RDWR | O_CLOEXEC);
	}
	return control >= 0 ? control : no_loop(file, CONTROL, errno, error);
}

int qbd_loop_check(const char *file, struct qbd_error *error)
{
	int control = open_control(file, error);

	if (control < 0)
		return control;
	close(control);
	return 0;
}

/*
 * Does its file system read it past the page cache? What loop takes for a yes may be none:
 *
 *	up to Linux 6.5 a tmpfs has no direct I/O, and an overlay over it says that it has; each
 *	request of such a loop device failed.
 */
static bool can_be_direct(int file)
{
	_Alignas(QBD_BLOCK_SIZE) char block[QBD_BLOCK_SIZE];
	char path[32];
	bool can;
	int fd;

	/* The same file, whatever has its name by now. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	can = fd >= 0 && pread(fd, block, sizeof(block), 0) >= 0;
	if (fd >= 0)
		close(fd);
	return can;
}

/* One that nobody has. */
static int bind_new(const char *file, int fd, struct qbd_loop *loop, struct qbd_error *error)
{
	struct loop_config config = {
		.fd = (uint32_t)fd,
		.block_size = QBD_BLOCK_SIZE,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR |
				 (can_be_direct(fd) ? LO_FLAGS_DIRECT_IO : 0),
	};
	int control = open_control(file, error);
	int result = 0;

	if (control < 0)
		return control;
	snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%.60s", file);
	for (unsigned int try = 1; ; try++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		if (number < 0) {
			result = no_loop(file, CONTROL, errno, error);
			break;
		}
		snprintf(loop->path, sizeof(loop->path), "/dev/loop%d", number);
		loop->fd = open(loop->path, O_RDWR | O_CLOEXEC);
		if (loop->fd >= 0 && !ioctl(loop->fd, LOOP_CONFIGURE, &config))
			break;
		result = errno;
		qbd_loop_close(loop);
		if (result != EBUSY || try == TRIES) {
			result = no_loop(file, loop->path, result, error);
			break;
		}
		result = 0;
	}
	close(control);
	return result;
}

int qbd_loop_attach(struct qbd_loop *loop, const char *file, struct qbd_error *error)
{
	int fd = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat status;
	int result = 0;

	loop->fd = -1;
	if (fd < 0)
		return qbd_fail(error, errno, "%s: cannot be opened: %s", file, strerror(errno));
	if (fstat(fd, &status))
		result = qbd_fail(error, errno, "%s: %s", file, strerror(errno));
	else if (!S_ISREG(status.st_mode))
		result = qbd_fail(error, EINVAL, "%s: is no regular file", file);
	else if (!find(&status, loop))
		result = bind_new(file, fd, loop, error);
	close(fd);
	return result;
}

bool qbd_loop_is_attached(const char *file)
{
	struct qbd_loop loop;
	struct stat status;
	bool found = !stat(file, &status) && find(&status, &loop);

	if (found)
		qbd_loop_close(&loop);
	return found;
}

void qbd_loop_close(struct qbd_loop *loop)
{
	if (loop->fd >= 0)
		close(loop->fd);
	loop->fd = -1;
}

int qbd_loop_lock(const char *file, struct qbd_error *error)
{
	char path[PATH_MAX];
	const char *directory;
	int fd;

	snprintf(path, sizeof(path), "%s", file);
	directory = dirname(path);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return qbd_fail(error, errno, "%s: %s", directory, strerror(errno));
	while (flock(fd, LOCK_EX)) {
		if (errno != EINTR) {
			int result = qbd_fail(error, errno, "%s: cannot be locked: %s", directory,
					      strerror(errno));

			close(fd);
			return result;
		}
	}
	return fd;
}
