// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "lib/client.h"
#include "lib/inspect.h"
#include "lib/token.h"
#include "qbdadm/qbdadm.h"

enum {
	OPTION_OUT = QBDADM_OPTION_LONG,
	OPTION_DISK,
};

static int print_written(const struct qbd_token *token, const char *path, const char *whose,
			 bool json)
{
	char uuid[37];

	uuid_unparse_lower(token->uuid, uuid);
	if (json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "uuid", uuid);
		qbdadm_json_string(object, "file", path);
		qbdadm_print_json(object);
	} else {
		printf("%s: token of %s %s\n"
		       "Copy it to every member, by a way that nobody else can read, and keep it mode 0600.\n",
		       path, whose, uuid);
	}
	return qbdadm_flush(QBDADM_OK);
}

/* If standard output is a file, nobody but its owner reads what comes. */
static void keep_to_ourselves(void)
{
	struct stat status;

	if (!fstat(STDOUT_FILENO, &status) && S_ISREG(status.st_mode) && status.st_mode & 077 &&
	    fchmod(STDOUT_FILENO, status.st_mode & 0700))
		qbdadm_warn("standard output: others can read that file, and it cannot be changed: %s",
			    strerror(errno));
}

static int print_token(const struct qbd_token *token, bool json)
{
	char text[QBD_TOKEN_TEXT_SIZE];

	keep_to_ourselves();
	if (json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "token", qbd_token_text(token, text));
		qbdadm_print_json(object);
	} else {
		puts(qbd_token_text(token, text));
	}
	return qbdadm_flush(QBDADM_OK);
}

static int run_token_new(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "out", required_argument, NULL, OPTION_OUT },
		{ }
	};
	const char *path = NULL;
	struct qbd_token token;
	struct qbd_error error;
	bool json = false;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (option == OPTION_OUT)
			path = optarg;
		else
			json = true;
	}
	if (optind < argc)
		return qbdadm_usage(command, "token new: takes no operand, '%s' was given",
				    argv[optind]);
	if (qbd_token_new(&token, &error) ||
	    (path && qbd_token_write(&token, path, &error)))
		return qbdadm_failed(&error);
	return path ? print_written(&token, path, "a new device", json) :
		      print_token(&token, json);
}

const struct qbdadm_command qbdadm_token_new = {
	.name = "token new",
	.synopsis = "[--out FILE] [--json]",
	.summary = "Make the token that all members of a new device share",
	.details =
"A token is the device's UUID and its secret, drawn at random, as one line. Make\n"
"one for each device, once, and give the same to 'qbdadm create' on every member.\n"
"Who has it can take part in the device: keep it as secret as the data.\n"
"\n"
"  --out FILE   write it to FILE (mode 0600, never overwritten) and not to\n"
"               standard output\n"
"  --json       print JSON\n",
	.run = run_token_new,
};

/* ---- of a device that is there ------------------------------------------ */

/**
 * struct search - for a member's disk of a device
 * @name: of the device
 * @uuid: of it, if @uuid_known: it is up here
 * @token: found
 * @found: on how many disks
 * @ambiguous: there are two devices of that name
 */
struct search {
	const char *name;
	uint8_t uuid[QBD_UUID_SIZE];
	bool uuid_known;
	struct qbd_token token;
	unsigned int found;
	bool ambiguous;
};

/* The token on an open disk, if it is a member's of that device. */
static int read_token(struct qbd_disk *disk, const char *name, struct qbd_token *token,
		      struct qbd_error *error)
{
	struct qbd_inspection *inspection = malloc(sizeof(*inspection));
	int result;

	if (!inspection)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	result = qbd_inspect(disk, inspection, error);
	if (!result)
		result = qbd_inspection_check(disk, inspection, error);
	if (!result && strcmp(inspection->superblock->name, name))
		result = qbd_fail(error, EINVAL, "%s: is a member of %s, not of %s", disk->path,
				  inspection->superblock->name, name);
	if (!result) {
		memcpy(token->uuid, inspection->superblock->header.uuid, QBD_UUID_SIZE);
		memcpy(token->secret, inspection->superblock->secret, QBD_SECRET_SIZE);
	}
	free(inspection);
	return result;
}

static int read_token_from(const char *path, unsigned int flags, const char *name,
			   struct qbd_token *token, struct qbd_error *error)
{
	struct qbd_disk disk;
	int result = qbd_disk_open(&disk, path, flags, error);

	if (result)
		return result;
	result = read_token(&disk, name, token, error);
	qbd_disk_close(&disk);
	return result;
}

static void look_at(struct search *search, const char *name)
{
	struct qbd_token token;
	struct qbd_error ignored;
	char path[300];

	/* Reads of a qbd device may wait for its other members. */
	if (!strncmp(name, "qbd", 3) || name[0] == '.')
		return;
	snprintf(path, sizeof(path), "/dev/%s", name);
	if (read_token_from(path, 0, search->name, &token, &ignored) ||
	    (search->uuid_known && memcmp(search->uuid, token.uuid, QBD_UUID_SIZE)))
		return;
	search->ambiguous |= search->found && memcmp(&token, &search->token, sizeof(token));
	search->token = token;
	search->found++;
}

/* On all disks of this host; the one of a device that is up before its namesakes. */
static int find_token(struct search *search, struct qbd_error *error)
{
	struct qbd_client client;
	struct qbd_status status;
	struct qbd_error ignored;
	struct dirent *entry;
	DIR *directory;

	if (!qbd_client_open(&client, false, &ignored)) {
		search->uuid_known = !qbd_client_status(&client, search->name, &status,
							&ignored);
		if (search->uuid_known)
			memcpy(search->uuid, status.uuid, QBD_UUID_SIZE);
		qbd_client_close(&client);
	}
	directory = opendir("/sys/class/block");
	if (!directory)
		return qbd_fail(error, errno, "/sys/class/block: %s; name the member's disk with --disk",
				strerror(errno));
	while ((entry = readdir(directory)))
		look_at(search, entry->d_name);
	closedir(directory);
	if (!search->found)
		return qbd_fail(error, ENOENT, "%s: no disk of this host is a member of it; name one with --disk, or run this where one is",
				search->name);
	if (search->ambiguous)
		return qbd_fail(error, EINVAL, "%s: disks of this host are members of two devices of that name; say with --disk which one is meant",
				search->name);
	return 0;
}

static int run_token_show(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "disk", required_argument, NULL, OPTION_DISK },
		{ "out", required_argument, NULL, OPTION_OUT },
		{ }
	};
	const char *path = NULL, *disk = NULL;
	struct search search = { 0 };
	struct qbd_error error;
	bool json = false;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (option == OPTION_OUT)
			path = optarg;
		else if (option == OPTION_DISK)
			disk = optarg;
		else
			json = true;
	}
	if (optind + 1 != argc)
		return qbdadm_usage(command, "token show: needs one NAME");
	search.name = argv[optind];
	if (!qbdadm_name_good(command, search.name, &status))
		return status;
	if (geteuid()) {
		qbd_fail(&error, EPERM, "token show: only root may; who has the token has the data");
		return qbdadm_failed(&error);
	}
	if (disk ? read_token_from(disk, QBD_DISK_ALLOW_FILE, search.name, &search.token, &error) :
		   find_token(&search, &error))
		return qbdadm_failed(&error);
	if (!path)
		return print_token(&search.token, json);
	if (qbd_token_write(&search.token, path, &error))
		return qbdadm_failed(&error);
	return print_written(&search.token, path, search.name, json);
}

const struct qbdadm_command qbdadm_token_show = {
	.name = "token show",
	.synopsis = "NAME [--disk PATH] [--out FILE] [--json]",
	.summary = "Show a device's token, for a host that is to join",
	.details =
"The token is on every member's disk; root reads it from there, also while the member\n"
"is up. Who has it can take part in the device: keep it as secret as the data.\n"
"\n"
"  --disk PATH  a member's disk; by default all disks of this host are looked at\n"
"  --out FILE   write it to FILE (mode 0600, never overwritten) and not to\n"
"               standard output\n"
"  --json       print JSON\n",
	.run = run_token_show,
};
