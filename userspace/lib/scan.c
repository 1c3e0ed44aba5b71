// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/major.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/inspect.h"
#include "lib/scan.h"

const struct qbd_disk_scan_place qbd_disk_scan_host = {
	.sysfs = "/sys/class/block",
	.dev = "/dev",
};

/* ---- which block devices are looked at ----------------------------------- */

/* The first line of an attribute; false if there is none. */
static bool read_attribute(const char *directory, const char *attribute, char *text,
			   size_t size)
{
	char path[PATH_MAX];
	bool good;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, attribute);
	file = fopen(path, "re");
	if (!file)
		return false;
	good = fgets(text, (int)size, file);
	if (good)
		text[strcspn(text, "\n")] = '\0';
	fclose(file);
	return good;
}

static bool attribute_is(const char *directory, const char *attribute, const char *wanted)
{
	char text[64];

	return read_attribute(directory, attribute, text, sizeof(text)) && !strcmp(text, wanted);
}

/* Is there an entry in @directory/@below that has @attribute, or any if that is NULL? */
static bool has_entry(const char *directory, const char *below, const char *attribute)
{
	char path[PATH_MAX], inner[PATH_MAX + 300];
	struct dirent *entry;
	bool found = false;
	DIR *entries;

	snprintf(path, sizeof(path), "%s/%s", directory, below);
	entries = opendir(path);
	if (!entries)
		return false;
	while (!found && (entry = readdir(entries))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(inner, sizeof(inner), "%s/%s/%s", path, entry->d_name,
			 attribute ? attribute : "");
		found = !attribute || !access(inner, F_OK);
	}
	closedir(entries);
	return found;
}

/*
 * A disk that something is built of (multipath, RAID, volumes) is seen through what is
 * built, and one with partitions through those: the last one's end may be the disk's. A
 * suspended device would let us wait, a floppy drive too. No member lies on another qbd
 * device: its quorum would hang on that one's.
 */
static bool is_passed_over(const char *directory)
{
	unsigned int major_number;
	char text[64];

	if (read_attribute(directory, "dev", text, sizeof(text)) &&
	    sscanf(text, "%u:", &major_number) == 1 &&
	    (major_number == FLOPPY_MAJOR || major_number == SCSI_CDROM_MAJOR))
		return true;
	return attribute_is(directory, "size", "0") || attribute_is(directory, "hidden", "1") ||
	       attribute_is(directory, "dm/suspended", "1") ||
	       has_entry(directory, "holders", NULL) || has_entry(directory, "", "partition") ||
	       read_attribute(directory, "qbd/name", text, sizeof(text)) ||
	       read_attribute(directory, "../qbd/name", text, sizeof(text));
}

/* Its node, by the name that people know; false if it has none. */
static bool find_node(const struct qbd_disk_scan_place *place, const char *directory, char *path,
		      size_t size)
{
	char uevent[PATH_MAX + 8], line[256], text[256];
	bool found = false;
	FILE *file;

	if (read_attribute(directory, "dm/name", text, sizeof(text))) {
		snprintf(path, size, "%s/mapper/%s", place->dev, text);
		if (!access(path, F_OK))
			return true;
	}
	snprintf(uevent, sizeof(uevent), "%s/uevent", directory);
	file = fopen(uevent, "re");
	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, "DEVNAME=%255s", text) == 1;
	fclose(file);
	snprintf(path, size, "%s/%s", place->dev, text);
	return found && !access(path, F_OK);
}

/* ---- what is on one ------------------------------------------------------ */

/*
 * Marks of a member, good or not. A block that is good at another place is the copy of
 * a partition or of a smaller disk.
 */
static bool is_member(const struct qbd_inspection *inspection)
{
	for (unsigned int i = 0; i < 2; i++)
		if (le32_to_cpu(inspection->copies[i].superblock.header.magic) ==
		    QBD_SUPERBLOCK_MAGIC &&
		    inspection->copies[i].verdict != QBD_VERDICT_MISPLACED)
			return true;
	return inspection->superblock;
}

static void take_member(const struct qbd_disk *disk, const struct qbd_inspection *inspection,
			struct qbd_found *found)
{
	const struct qbd_superblock *superblock = inspection->superblock;
	struct qbd_error why;

	if (superblock) {
		snprintf(found->name, sizeof(found->name), "%s", inspection->geometry.name);
		memcpy(found->uuid, superblock->header.uuid, sizeof(found->uuid));
		memcpy(found->incarnation, superblock->incarnation, sizeof(found->incarnation));
		found->member_id = le32_to_cpu(superblock->member_id);
		found->witness = inspection->geometry.no_data && !inspection->geometry.client;
		found->client = inspection->geometry.client;
	}
	if (qbd_inspection_check(disk, inspection, &why))
		snprintf(found->problem, sizeof(found->problem), "%s", why.text);
}

int qbd_disk_scan_one(const char *path, unsigned int open_flags, struct qbd_found *found,
		      struct qbd_error *error)
{
	struct qbd_inspection *inspection;
	struct qbd_disk disk;
	struct stat status;
	int result;

	memset(found, 0, sizeof(*found));
	snprintf(found->path, sizeof(found->path), "%s", path);
	result = qbd_disk_open(&disk, path, open_flags, error);
	if (result)
		return result;
	inspection = malloc(sizeof(*inspection));
	if (!inspection) {
		result = qbd_fail(error, ENOMEM, "%s: out of memory", path);
	} else if (fstat(disk.fd, &status)) {
		result = qbd_fail(error, errno, "%s: %s", path, strerror(errno));
	} else {
		found->number = status.st_rdev;
		result = qbd_inspect(&disk, inspection, error);
	}
	if (result == -EMEDIUMTYPE) {
		/* Too small for the metadata alone. */
		result = 0;
	} else if (!result && is_member(inspection)) {
		take_member(&disk, inspection, found);
		result = 1;
	}
	free(inspection);
	qbd_disk_close(&disk);
	return result;
}

/* ---- all of them --------------------------------------------------------- */

static int by_path(const void *one, const void *other)
{
	const struct qbd_found *a = one, *b = other;

	return strverscmp(a->path, b->path);
}

int qbd_disk_scan_add(struct qbd_disk_scan *scan, const struct qbd_found *found,
		      struct qbd_error *error)
{
	struct qbd_found *larger = realloc(scan->disks, (scan->count + 1) * sizeof(*larger));

	if (!larger)
		return qbd_fail(error, ENOMEM, "scan: out of memory");
	scan->disks = larger;
	larger[scan->count++] = *found;
	return 0;
}

int qbd_disk_scan(const struct qbd_disk_scan_place *place, struct qbd_disk_scan *scan,
		  struct qbd_error *error)
{
	char directory[PATH_MAX], path[sizeof(((struct qbd_found *)0)->path)];
	struct qbd_error passed_over;
	struct dirent *entry;
	struct qbd_found found;
	int result = 0;
	DIR *entries;

	memset(scan, 0, sizeof(*scan));
	entries = opendir(place->sysfs);
	if (!entries)
		return qbd_fail(error, errno, "%s: %s; is sysfs mounted on /sys?", place->sysfs,
				strerror(errno));
	while (!result && (entry = readdir(entries))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(directory, sizeof(directory), "%s/%s", place->sysfs, entry->d_name);
		if (is_passed_over(directory) ||
		    !find_node(place, directory, path, sizeof(path)))
			continue;
		result = qbd_disk_scan_one(path, place->open_flags, &found, &passed_over);
		/* Without rights nothing was looked at: that is not to be passed over. */
		if (result == -EACCES || result == -ENOMEM)
			*error = passed_over;
		else
			result = result > 0 ? qbd_disk_scan_add(scan, &found, error) : 0;
	}
	closedir(entries);
	if (result)
		qbd_disk_scan_free(scan);
	else if (scan->count)
		qsort(scan->disks, scan->count, sizeof(*scan->disks), by_path);
	return result;
}

void qbd_disk_scan_free(struct qbd_disk_scan *scan)
{
	free(scan->disks);
	memset(scan, 0, sizeof(*scan));
}

/* ---- which one is meant -------------------------------------------------- */

bool qbd_found_same_member(const struct qbd_found *one, const struct qbd_found *other)
{
	return one->member_id == other->member_id &&
	       !memcmp(one->uuid, other->uuid, sizeof(one->uuid));
}

bool qbd_found_in_use(const struct qbd_found *found)
{
	struct qbd_error error;
	struct qbd_disk disk;
	int result = qbd_disk_open(&disk, found->path, QBD_DISK_EXCLUSIVE, &error);

	if (!result)
		qbd_disk_close(&disk);
	return result == -EBUSY;
}

static int fail_several(const struct qbd_found *one, const struct qbd_found *other,
			struct qbd_error *error)
{
	const char *name = one->name;

	if (memcmp(one->uuid, other->uuid, sizeof(one->uuid)))
		return qbd_fail(error, ENOTUNIQ,
				"%s: is the name of two devices, of one on %s and of another on %s; name the disk with --disk",
				name, one->path, other->path);
	if (one->member_id != other->member_id)
		return qbd_fail(error, ENOTUNIQ,
				"%s: two of its members are on disks of this host, %u on %s and %u on %s; name the disk with --disk",
				name, one->member_id, one->path, other->member_id, other->path);
	if (memcmp(one->incarnation, other->incarnation, sizeof(one->incarnation)))
		return qbd_fail(error, ENOTUNIQ,
				"%s: member %u was made twice, on %s and on %s, and only the later one counts; 'qbdadm destroy' the other",
				name, one->member_id, one->path, other->path);
	return qbd_fail(error, ENOTUNIQ,
			"%s: member %u is on %s and on %s: two ways to one disk (then use multipath), or a copy, and an old copy loses data; name the disk with --disk, or for good in /etc/qbd/%s.conf",
			name, one->member_id, one->path, other->path, name);
}

/* Is it the disk that @pinned leads to? */
static bool is_pinned(const struct qbd_found *found, const char *pinned)
{
	struct stat status;

	return !stat(pinned, &status) && S_ISBLK(status.st_mode) &&
	       status.st_rdev == found->number;
}

/* Does another disk of this name carry the same member, or is it another free one? */
static const struct qbd_found *find_rival(const struct qbd_disk_scan *scan,
					  const struct qbd_found *chosen)
{
	for (size_t i = 0; i < scan->count; i++) {
		const struct qbd_found *other = &scan->disks[i];

		if (other != chosen && !strcmp(other->name, chosen->name) &&
		    (qbd_found_same_member(chosen, other) || !qbd_found_in_use(other)))
			return other;
	}
	return NULL;
}

static int choose_among(const struct qbd_disk_scan *scan, const char *name, const char *pinned,
			const struct qbd_found **chosen, struct qbd_error *error)
{
	const struct qbd_found *only = NULL;
	size_t count = 0;

	*chosen = NULL;
	for (size_t i = 0; i < scan->count; i++) {
		if (strcmp(scan->disks[i].name, name) ||
		    (pinned && !is_pinned(&scan->disks[i], pinned)))
			continue;
		only = &scan->disks[i];
		count++;
	}
	if (!count && pinned)
		return qbd_fail(error, ENOENT,
				"%s: its disk %s, says /etc/qbd/%s.conf, is not there, in use, or no member of it",
				name, pinned, name);
	if (!count)
		return qbd_fail(error, ENOENT,
				"%s: no disk here carries a member of it; 'qbdadm scan' lists those that are found",
				name);
	if (count > 1 && !pinned) {
		/* Members that are up elsewhere on this host are none of ours. */
		for (size_t i = 0; i < scan->count && !*chosen; i++)
			if (!strcmp(scan->disks[i].name, name) &&
			    !qbd_found_in_use(&scan->disks[i]))
				*chosen = &scan->disks[i];
		if (!*chosen)
			return qbd_fail(error, EBUSY,
					"%s: all disks that carry a member of it are in use, %s for one",
					name, only->path);
		only = find_rival(scan, *chosen);
		if (only)
			return fail_several(*chosen, only, error);
		return 0;
	}
	*chosen = only;
	return 0;
}

int qbd_disk_scan_choose(const struct qbd_disk_scan *scan, const char *name, const char *pinned,
			 const struct qbd_found **chosen, struct qbd_error *error)
{
	int result = choose_among(scan, name, pinned, chosen, error);

	if (!result && (*chosen)->problem[0])
		return qbd_fail(error, EUCLEAN, "%s: %.560s", name, (*chosen)->problem);
	return result;
}
