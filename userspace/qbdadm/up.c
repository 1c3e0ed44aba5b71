// SPDX-License-Identifier: GPL-2.0
/* qbdadm up and down. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/client.h"
#include "lib/inspect.h"
#include "lib/parse.h"
#include "qbdadm/links.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/render.h"
#include "qbdadm/up.h"

#define MEMORY_MIN		(8ULL << 20)
#define MEMORY_MAX		(1ULL << 30)
#define LEADER_WAIT_SECONDS	30

/**
 * struct up_arguments - what was asked for
 * @name: that the disk has to carry; NULL: whatever it is
 * @wait_leader: seconds to wait for a leader; 0: do not
 */
struct up_arguments {
	const char *name;
	struct qbd_up_wish wish;
	uint64_t wait_leader;
	bool json;
};

/*
 * Is this a member's disk, and the one that was meant? Looking first gives better
 * words than the module could, and loads the disk's own driver.
 */
static int check_disk(const struct up_arguments *arguments, struct qbd_error *error)
{
	struct qbd_inspection *inspection = malloc(sizeof(*inspection));
	struct qbd_disk disk;
	int result;

	if (!inspection)
		return qbd_fail(error, ENOMEM, "%s: out of memory", arguments->wish.disk);
	result = qbd_disk_open(&disk, arguments->wish.disk, 0, error);
	if (!result) {
		result = qbd_inspect(&disk, inspection, error);
		if (!result)
			result = qbd_inspection_check(&disk, inspection, error);
		qbd_disk_close(&disk);
	}
	if (!result && arguments->name &&
	    strcmp(arguments->name, inspection->superblock->name))
		result = qbd_fail(error, EINVAL,
				  "%s: is a member of %s, not of %s; 'qbdadm up %s --disk %s' brings that one up",
				  arguments->wish.disk, inspection->superblock->name,
				  arguments->name, inspection->superblock->name,
				  arguments->wish.disk);
	free(inspection);
	return result;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* @listener heard events since before the member came up: none is missed. */
static int wait_leader(struct qbd_client *client, struct qbd_client *listener,
		       const char *name, uint64_t seconds, struct qbd_status *status,
		       struct qbd_error *error)
{
	int64_t end = now_ms() + (int64_t)seconds * 1000;
	struct qbd_event event;
	int64_t left;
	int result;

	for (;;) {
		result = qbd_client_status(client, name, status, error);
		if (result)
			return result;
		if (status->leader && status->has_quorum)
			return 0;
		left = end - now_ms();
		result = left > 0 ? qbd_client_event(listener, &event, (int)left, error) : 0;
		if (result < 0 && result != -ENOBUFS && result != -EINTR)
			return result;
		if (!result)
			return qbd_fail(error, ETIMEDOUT,
					"%s: is up, but no leader is known after %" PRIu64 " s: %u of %u members needed, %u up; bring the others up",
					name, seconds, status->quorum_needed, status->voters,
					status->voters_up);
	}
}

static int print_up(const struct up_arguments *arguments, const struct qbd_up_reply *reply,
		    const struct qbd_status *status)
{
	char device[32], leader[64];

	snprintf(device, sizeof(device), "/dev/qbd%u", reply->number);
	if (arguments->json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "name", reply->name);
		qbdadm_json_string(object, "device", device);
		qbdadm_json_number(object, "number", reply->number);
		qbdadm_json_number(object, "member_id", reply->member_id);
		if (arguments->wait_leader)
			qbdadm_json_number(object, "leader", status->leader);
		qbdadm_print_json(object);
	} else if (arguments->wait_leader) {
		printf("%s: member %u is up as %s, leader is %s\n", reply->name,
		       reply->member_id, device,
		       qbdadm_member_text(status, status->leader, leader, sizeof(leader)));
	} else {
		printf("%s: member %u is up as %s\n", reply->name, reply->member_id, device);
	}
	return qbdadm_flush(QBDADM_OK);
}

static int bring_up(struct qbd_client *client, struct qbd_client *listener,
		    const struct up_arguments *arguments)
{
	struct qbd_status status;
	struct qbd_up_reply reply;
	struct qbd_error error;
	int result = 0;

	if (arguments->wait_leader)
		result = qbd_client_listen(listener, &error);
	if (!result)
		result = qbd_client_up(client, &arguments->wish, &reply, &error);
	if (!result)
		result = qbdadm_wait_node(reply.number, &error);
	if (result)
		return qbdadm_failed(&error);
	qbdadm_make_link(reply.name, reply.number);
	if (arguments->wait_leader &&
	    wait_leader(client, listener, reply.name, arguments->wait_leader, &status, &error))
		return qbdadm_failed(&error);
	return print_up(arguments, &reply, &status);
}

static int up(const struct up_arguments *arguments)
{
	struct qbd_client client, listener;
	struct qbd_error error;
	int status;

	if (check_disk(arguments, &error))
		return arguments->name ? qbdadm_failed_for(arguments->name, "", &error) :
		       qbdadm_failed(&error);
	if (qbd_client_open(&client, true, &error))
		return qbdadm_failed(&error);
	if (qbd_client_open(&listener, false, &error)) {
		status = qbdadm_failed(&error);
	} else {
		status = bring_up(&client, &listener, arguments);
		qbd_client_close(&listener);
	}
	qbd_client_close(&client);
	return status;
}

int qbdadm_bring_up(const char *name, const char *disk, bool json)
{
	struct up_arguments arguments = { .name = name, .wish.disk = disk, .json = json };

	return up(&arguments);
}

static int take_memory(const char *text, struct qbd_up_wish *wish, struct qbd_error *error)
{
	struct qbd_error why;
	uint64_t bytes;

	if (qbd_parse_size(text, &bytes, &why))
		return qbd_fail(error, EINVAL, "--memory: %.600s", why.text);
	if (bytes < MEMORY_MIN || bytes > MEMORY_MAX)
		return qbd_fail(error, ERANGE, "--memory '%s': is out of range; use 8M to 1G",
				text);
	wish->memory_bytes = (uint32_t)bytes;
	return 0;
}

enum {
	OPTION_DISK = QBDADM_OPTION_LONG,
	OPTION_MEMORY,
	OPTION_WAIT_LEADER,
	OPTION_FORCE,
};

static int take_option(struct up_arguments *arguments, int option, struct qbd_error *error)
{
	switch (option) {
	case QBDADM_OPTION_JSON:
		arguments->json = true;
		return 0;
	case OPTION_DISK:
		arguments->wish.disk = optarg;
		return 0;
	case OPTION_MEMORY:
		return take_memory(optarg, &arguments->wish, error);
	case OPTION_WAIT_LEADER:
		arguments->wait_leader = LEADER_WAIT_SECONDS;
		if (!optarg)
			return 0;
		return qbd_parse_number("--wait-leader", optarg, 1, 86400,
					&arguments->wait_leader, error);
	default:
		return qbdadm_take_setting(option, optarg, &arguments->wish.settings, error);
	}
}

static int run_up(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "disk", required_argument, NULL, OPTION_DISK },
		{ "memory", required_argument, NULL, OPTION_MEMORY },
		{ "wait-leader", optional_argument, NULL, OPTION_WAIT_LEADER },
		{ "election-timeout", required_argument, NULL, QBDADM_ELECTION_TIMEOUT },
		{ "heartbeat", required_argument, NULL, QBDADM_HEARTBEAT },
		{ "no-quorum", required_argument, NULL, QBDADM_NO_QUORUM },
		{ "no-quorum-grace", required_argument, NULL, QBDADM_NO_QUORUM_GRACE },
		{ "read", required_argument, NULL, QBDADM_READ },
		{ "window", required_argument, NULL, QBDADM_WINDOW },
		{ }
	};
	struct up_arguments arguments = { 0 };
	struct qbd_error error;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (take_option(&arguments, option, &error))
			return qbdadm_usage(command, "%s", error.text);
	}
	if (optind + 1 < argc)
		return qbdadm_usage(command, "up: one NAME at most");
	if (!arguments.wish.disk)
		return qbdadm_usage(command, "up: needs --disk PATH");
	arguments.name = argv[optind];
	if (arguments.name && !qbdadm_name_good(command, arguments.name, &status))
		return status;
	return up(&arguments);
}

const struct qbdadm_command qbdadm_up = {
	.name = "up",
	.synopsis = "[NAME] --disk PATH [OPTION]... [SETTING]...",
	.summary = "Bring a member up: /dev/qbd/NAME appears",
	.details =
"All that the member has to know is on its disk. NAME, if given, has to be the\n"
"device's: a check against the wrong disk.\n"
"\n"
"  --disk PATH               the member's disk\n"
"  --memory SIZE             for log pages, 8M to 1G; 64M by default\n"
"  --wait-leader[=SECONDS]   until a leader is known, 30 seconds by default\n"
QBDADM_SETTINGS_HELP
"  --json                    print JSON\n",
	.run = run_up,
};

static int down(const char *name, bool force, bool json)
{
	struct qbd_status status;
	struct qbd_client client;
	struct qbd_error error;
	int result;

	if (qbd_client_open(&client, false, &error))
		return qbdadm_failed_for(name, "is not up: ", &error);
	result = qbd_client_status(&client, name, &status, &error);
	if (!result)
		result = qbd_client_down(&client, name, force, &error);
	qbd_client_close(&client);
	if (result)
		return qbdadm_failed(&error);
	qbdadm_remove_link(name, status.number);
	if (json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "name", name);
		qbdadm_json_number(object, "member_id", status.member_id);
		qbdadm_print_json(object);
	} else {
		printf("%s: member %u is down\n", name, status.member_id);
	}
	return qbdadm_flush(QBDADM_OK);
}

static int run_down(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "force", no_argument, NULL, OPTION_FORCE },
		{ }
	};
	bool force = false, json = false;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		force |= option == OPTION_FORCE;
		json |= option == QBDADM_OPTION_JSON;
	}
	if (optind + 1 != argc)
		return qbdadm_usage(command, "down: needs one NAME");
	if (!qbdadm_name_good(command, argv[optind], &status))
		return status;
	return down(argv[optind], force, json);
}

const struct qbdadm_command qbdadm_down = {
	.name = "down",
	.synopsis = "NAME [--force] [--json]",
	.summary = "Take a member down in order; the others go on",
	.details =
"A leader hands leadership over first. A device that is in use (mounted, open) is\n"
"refused.\n"
"\n"
"  --force   even if it is in use: what waits on it fails with I/O errors\n"
"  --json    print JSON\n",
	.run = run_down,
};
