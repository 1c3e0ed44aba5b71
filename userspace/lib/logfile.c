// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/disk.h"
#include "lib/logfile.h"

void qbd_logfile_path(const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s%s", QBD_LOGFILE_DIRECTORY, name, QBD_LOGFILE_ENDING);
}

int qbd_logfile_look(const char *path, struct qbd_found *found, struct qbd_error *error)
{
	struct stat status;
	int result;

	if (stat(path, &status))
		return qbd_fail(error, errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return qbd_fail(error, EINVAL, "%s: is no regular file", path);
	result = qbd_disk_scan_one(path, QBD_DISK_ALLOW_FILE, found, error);
	if (result < 0 || (result && found->client))
		return result;
	qbd_fail(error, EINVAL, "%s: is not what 'qbdadm connect' makes; move it away", path);
	return 0;
}

/* "vol.client": is it one, and that of @name if that is not NULL? */
static bool is_meant(const char *file, const char *name)
{
	size_t length = strlen(file), ending = strlen(QBD_LOGFILE_ENDING);

	if (length <= ending || strcmp(file + length - ending, QBD_LOGFILE_ENDING))
		return false;
	return !name || (strlen(name) == length - ending &&
			 !strncmp(file, name, length - ending));
}

/* The paths of all that are meant, ordered; free them and the list. NULL: there are none. */
static char **list_files(const char *directory, const char *name, size_t *count)
{
	struct dirent **entries;
	int found = scandir(directory, &entries, NULL, versionsort);
	char **list = found > 0 ? calloc((size_t)found, sizeof(*list)) : NULL;

	*count = 0;
	for (int i = 0; i < found; i++) {
		if (list && is_meant(entries[i]->d_name, name) &&
		    asprintf(&list[*count], "%s/%s", directory, entries[i]->d_name) > 0)
			(*count)++;
		free(entries[i]);
	}
	if (found >= 0)
		free(entries);
	return list;
}

static void free_files(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

int qbd_logfile_scan(const char *directory, struct qbd_disk_scan *scan,
		     struct qbd_error *error)
{
	struct qbd_error passed_over;
	struct qbd_found found;
	int result = 0;
	size_t count;
	char **files = list_files(directory, NULL, &count);

	for (size_t i = 0; i < count && !result; i++)
		if (!qbd_loop_is_attached(files[i]) &&
		    qbd_logfile_look(files[i], &found, &passed_over) > 0)
			result = qbd_disk_scan_add(scan, &found, error);
	free_files(files, count);
	return result;
}

void qbd_logfile_of(const uint8_t *uuid, uint32_t member_id, char *path, size_t size)
{
	char disk[40], file[PATH_MAX];
	struct qbd_error passed_over;
	struct qbd_found found;
	struct dirent *entry;
	DIR *entries = opendir("/sys/block");

	while (entries && (entry = readdir(entries))) {
		if (!qbd_loop_file(entry->d_name, file, sizeof(file)))
			continue;
		snprintf(disk, sizeof(disk), "/dev/%.30s", entry->d_name);
		if (qbd_disk_scan_one(disk, 0, &found, &passed_over) > 0 && found.client &&
		    found.member_id == member_id && !memcmp(found.uuid, uuid, sizeof(found.uuid)))
			snprintf(path, size, "%s", file);
	}
	if (entries)
		closedir(entries);
}

static int attach(const char *path, struct qbd_loop *loop, struct qbd_error *error)
{
	struct qbd_found found;
	int lock, result;

	result = qbd_logfile_look(path, &found, error);
	if (result <= 0)
		return result ? result : -EINVAL;
	lock = qbd_loop_lock(path, error);
	if (lock < 0)
		return lock;
	result = qbd_loop_attach(loop, path, error);
	close(lock);
	return result;
}

void qbd_logfiles_attach(const char *directory, const char *name, struct qbd_logfiles *files,
			 void (*failed)(const struct qbd_error *error))
{
	struct qbd_error error;
	size_t count;
	char **paths = list_files(directory, name, &count);

	for (size_t i = 0; i < count; i++) {
		struct qbd_loop *larger = realloc(files->loops,
						  (files->count + 1) * sizeof(*larger));

		if (!larger)
			break;
		files->loops = larger;
		if (attach(paths[i], &larger[files->count], &error))
			failed(&error);
		else
			files->count++;
	}
	free_files(paths, count);
}

void qbd_logfiles_release(struct qbd_logfiles *files)
{
	for (size_t i = 0; i < files->count; i++)
		qbd_loop_close(&files->loops[i]);
	free(files->loops);
	files->loops = NULL;
	files->count = 0;
}
