// SPDX-License-Identifier: GPL-2.0
/* qbdadm resize: the device grows while it is in use. */
#include <errno.h>
#include <inttypes.h>

#include "lib/client.h"
#include "lib/clock.h"
#include "lib/parse.h"
#include "qbdadm/qbdadm.h"

enum {
	OPTION_SIZE = QBDADM_OPTION_LONG,
};

#define WAIT_MS		30000
#define LOOK_MS		50
/* In so long the leader hears from every member; and in four heartbeats. */
#define ROOM_MS		500

/* The leader has it in its log: until this host has the size, or that takes too long. */
static int wait_for(struct qbd_client *client, const char *name, uint64_t before,
		    struct qbd_status *status, struct qbd_error *error)
{
	int64_t end = qbd_now_ms() + WAIT_MS;
	int result;

	for (;;) {
		result = qbd_client_status(client, name, status, error);
		if (result || status->device_bytes > before)
			return result;
		if (qbd_now_ms() >= end)
			return qbd_fail(error, ETIMEDOUT,
					"%s: the leader has begun it, and it has not come about here; it may still, look with 'qbdadm status' whether this host reaches a majority",
					name);
		qbd_pause_ms(LOOK_MS);
	}
}

/* The leader's heartbeat is not known here: it is at most a third of what all have alike. */
static void wait_for_rooms(const struct qbd_status *status)
{
	unsigned int beats = status->settings.election_timeout_ms / 3 * 4;

	qbd_pause_ms(beats > ROOM_MS ? beats : ROOM_MS);
}

/*
 * A member says with each of its messages what its disk has room for. The leader may not have
 * heard of one that was enlarged a moment ago: if that is too little it is asked once more, and
 * for all that there is only when it has heard.
 */
static int ask(struct qbd_client *client, const char *name, uint64_t bytes,
	       const struct qbd_status *status, struct qbd_error *error)
{
	int result;

	if (!bytes)
		wait_for_rooms(status);
	result = qbd_client_resize(client, name, bytes, error);
	if (!bytes || result != -ENOSPC)
		return result;
	wait_for_rooms(status);
	return qbd_client_resize(client, name, bytes, error);
}

static int resize(struct qbd_client *client, const char *name, uint64_t bytes,
		  uint64_t *before, struct qbd_status *status, struct qbd_error *error)
{
	int result = qbd_client_status(client, name, status, error);

	if (!result)
		result = qbd_status_check_member(status, error);
	if (result)
		return result;
	*before = status->device_bytes;
	result = ask(client, name, bytes, status, error);
	return result ? result : wait_for(client, name, *before, status, error);
}

static int print_resized(const struct qbd_status *status, uint64_t before, bool json)
{
	char from[QBD_SIZE_TEXT_SIZE], to[QBD_SIZE_TEXT_SIZE];

	if (json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "name", status->name);
		qbdadm_json_number(object, "old_bytes", before);
		qbdadm_json_number(object, "device_bytes", status->device_bytes);
		qbdadm_print_json(object);
	} else {
		printf("%s: grew from %s to %s\n"
		       "Next, on the host where it is mounted, the file system, for example one of:\n"
		       "  resize2fs /dev/qbd/%s\n"
		       "  xfs_growfs MOUNTPOINT\n"
		       "  btrfs filesystem resize max MOUNTPOINT\n",
		       status->name, qbd_size_text(before, from),
		       qbd_size_text(status->device_bytes, to), status->name);
	}
	return qbdadm_flush(QBDADM_OK);
}

static int run_resize(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "size", required_argument, NULL, OPTION_SIZE },
		{ }
	};
	uint64_t bytes = 0, before = 0;
	struct qbd_client client;
	struct qbd_status now;
	struct qbd_error error;
	bool json = false;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		json |= option == QBDADM_OPTION_JSON;
		if (option != OPTION_SIZE)
			continue;
		if (qbd_parse_size(optarg, &bytes, &error))
			return qbdadm_usage(command, "%s", error.text);
		if (bytes < QBD_BLOCK_SIZE)
			return qbdadm_usage(command, "--size '%s': is nothing; use a size larger than the device's, or leave the option out",
					    optarg);
	}
	if (optind + 1 != argc)
		return qbdadm_usage(command, "resize: needs one NAME");
	if (!qbdadm_name_good(command, argv[optind], &status))
		return status;
	if (qbd_client_open(&client, false, &error))
		return qbdadm_failed_for(argv[optind], "is not up: ", &error);
	status = resize(&client, argv[optind], bytes, &before, &now, &error) ?
		 qbdadm_failed(&error) : print_resized(&now, before, json);
	qbd_client_close(&client);
	return status;
}

const struct qbdadm_command qbdadm_resize = {
	.name = "resize",
	.synopsis = "NAME [--size SIZE] [--json]",
	.summary = "Have the device grow, while it is in use",
	.details =
"First enlarge the disks of all members with data; then this, once, on any member. All\n"
"with data have to be up and whole. The file system is grown after it: resize2fs,\n"
"xfs_growfs, ... A device cannot become smaller.\n"
"\n"
"  --size SIZE   of the device, rounded down to 4 KiB; by default as far as the\n"
"                smallest disk allows, rounded down to 1 MiB\n"
"  --json        print JSON\n",
	.run = run_resize,
};
