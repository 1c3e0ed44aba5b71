// SPDX-License-Identifier: GPL-2.0
/* qbdadm scan: which disks are members. */
#include <errno.h>
#include <string.h>
#include <uuid/uuid.h>

#include "lib/client.h"
#include "lib/logfile.h"
#include "lib/parse.h"
#include "lib/scan.h"
#include "qbdadm/qbdadm.h"

enum { OPTION_UDEV = QBDADM_OPTION_LONG };

/* In udev's words for a disk that is part of something, as a RAID's or volume group's. */
static int print_udev(const char *path)
{
	char text[UUID_STR_LEN];
	struct qbd_found found;
	struct qbd_error error;
	int result = qbd_disk_scan_one(path, 0, &found, &error);

	if (result < 0)
		return qbdadm_failed(&error);
	if (!result)
		return QBDADM_OK;
	puts("ID_FS_TYPE=qbd_member\nID_FS_USAGE=raid");
	if (found.name[0]) {
		uuid_unparse_lower(found.uuid, text);
		printf("ID_FS_UUID=%s\nID_FS_UUID_ENC=%s\n", text, text);
		uuid_unparse_lower(found.incarnation, text);
		printf("ID_FS_UUID_SUB=%s\nID_FS_UUID_SUB_ENC=%s\n", text, text);
		printf("ID_FS_LABEL=%s\nID_FS_LABEL_ENC=%s\n", found.name, found.name);
		printf("QBD_NAME=%s\nQBD_MEMBER_ID=%u\n", found.name, found.member_id);
	}
	return qbdadm_flush(QBDADM_OK);
}

/* Is there another disk for the same member? */
static bool is_double(const struct qbd_disk_scan *scan, const struct qbd_found *found)
{
	for (size_t i = 0; i < scan->count; i++)
		if (&scan->disks[i] != found && found->name[0] &&
		    qbd_found_same_member(&scan->disks[i], found))
			return true;
	return false;
}

static void print_text(const struct qbd_disk_scan *scan)
{
	for (size_t i = 0; i < scan->count; i++) {
		const struct qbd_found *found = &scan->disks[i];
		char text[UUID_STR_LEN];

		if (!found->name[0]) {
			puts(found->problem);
			continue;
		}
		uuid_unparse_lower(found->uuid, text);
		printf("%s: member %u of %s (%s)%s%s\n", found->path, found->member_id,
		       found->name, text, found->witness ? ", a witness" :
		       found->client ? ", a client" : "",
		       is_double(scan, found) ? ", of which there is another disk" : "");
		if (found->problem[0])
			puts(found->problem);
	}
	if (!scan->count)
		puts("no disk here carries a member of a device");
}

static void print_json(const struct qbd_disk_scan *scan)
{
	struct json_object *object = json_object_new_object();
	struct json_object *disks = json_object_new_array();

	for (size_t i = 0; i < scan->count; i++) {
		const struct qbd_found *found = &scan->disks[i];
		struct json_object *disk = json_object_new_object();
		char text[UUID_STR_LEN];

		qbdadm_json_string(disk, "disk", found->path);
		if (found->name[0]) {
			qbdadm_json_string(disk, "name", found->name);
			uuid_unparse_lower(found->uuid, text);
			qbdadm_json_string(disk, "uuid", text);
			qbdadm_json_number(disk, "member_id", found->member_id);
			uuid_unparse_lower(found->incarnation, text);
			qbdadm_json_string(disk, "incarnation", text);
			qbdadm_json_bool(disk, "witness", found->witness);
			qbdadm_json_bool(disk, "client", found->client);
			qbdadm_json_bool(disk, "double", is_double(scan, found));
		}
		json_object_object_add(disk, "problem", found->problem[0] ?
				       json_object_new_string(found->problem) : NULL);
		json_object_array_add(disks, disk);
	}
	json_object_object_add(object, "disks", disks);
	qbdadm_print_json(object);
}

static int run_scan(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "udev", required_argument, NULL, OPTION_UDEV },
		{ }
	};
	const char *udev = NULL;
	struct qbd_error error;
	struct qbd_disk_scan scan;
	bool json = false;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (option == OPTION_UDEV)
			udev = optarg;
		json |= option == QBDADM_OPTION_JSON;
	}
	if (optind < argc)
		return qbdadm_usage(command, "scan: takes no operand");
	if (udev && json)
		return qbdadm_usage(command, "scan: --udev and --json do not go together");
	if (udev)
		return print_udev(udev);
	if (qbd_disk_scan(&qbd_disk_scan_host, &scan, &error))
		return qbdadm_failed(&error);
	if (qbd_logfile_scan(QBD_LOGFILE_DIRECTORY, &scan, &error)) {
		qbd_disk_scan_free(&scan);
		return qbdadm_failed(&error);
	}
	if (json)
		print_json(&scan);
	else
		print_text(&scan);
	qbd_disk_scan_free(&scan);
	return qbdadm_flush(QBDADM_OK);
}

const struct qbdadm_command qbdadm_scan = {
	.name = "scan",
	.synopsis = "[--udev PATH] [--json]",
	.summary = "Which disks of this host are members, of which devices",
	.details =
"Disks with partitions, or that something else is built of, are looked at through\n"
"those. What clients keep in files in /var/lib/qbd is listed, too.\n"
"\n"
"  --udev PATH   of this disk, in lines that udev imports; nothing if it is none\n"
"  --json        print JSON\n",
	.run = run_scan,
};
