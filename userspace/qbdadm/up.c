// SPDX-License-Identifier: GPL-2.0
/* qbdadm up. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/client.h"
#include "lib/clock.h"
#include "lib/inspect.h"
#include "lib/logfile.h"
#include "lib/parse.h"
#include "lib/scan.h"
#include "qbdadm/links.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/render.h"
#include "qbdadm/up.h"

#define LEADER_WAIT_SECONDS	30
/* From when a member holds its disk until it can be seen. */
#define FASTER_WAIT_MS		2000
#define FASTER_STEP_MS		20

/**
 * struct up_arguments - what was asked for
 * @name: that the disk has to carry; NULL: whatever it is
 * @scan: look for members on all disks
 * @tolerant: somebody else may be bringing it up at the same time: then that will do
 * @wait_leader: seconds to wait for a leader; 0: do not
 */
struct up_arguments {
	const char *name;
	struct qbd_up_wish wish;
	bool scan;
	bool tolerant;
	uint64_t wait_leader;
	bool json;
};

/**
 * struct up - one run
 * @list: what is printed as JSON, if it is a list
 */
struct up {
	const struct up_arguments *arguments;
	struct qbd_client client;
	struct qbd_client listener;
	struct json_object *list;
};

/*
 * Is this a member's disk, and the one that was meant? Looking first gives better
 * words than the module could, and loads the disk's own driver.
 */
static int check_disk(const struct up_arguments *arguments, char *name,
		      struct qbd_error *error)
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
	if (!result)
		snprintf(name, QBD_NAME_SIZE, "%s", inspection->geometry.name);
	free(inspection);
	return result;
}

/* ---- one member ---------------------------------------------------------- */

/**
 * struct came_up - a member that is up now
 * @disk: that it was found on; NULL if it was up before, and nobody knows
 */
struct came_up {
	const char *name;
	uint32_t number;
	uint32_t member_id;
	const char *disk;
	bool was_up;
};

static struct json_object *up_json(const struct up *up, const struct came_up *came,
				   const struct qbd_status *status)
{
	struct json_object *object = json_object_new_object();

	qbdadm_json_string(object, "name", came->name);
	qbdadm_json_device(object, came->number);
	qbdadm_json_number(object, "member_id", came->member_id);
	if (came->disk)
		qbdadm_json_string(object, "disk", came->disk);
	qbdadm_json_bool(object, "was_up", came->was_up);
	if (up->arguments->wait_leader)
		qbdadm_json_number(object, "leader", status->leader);
	return object;
}

static int print_up(const struct up *up, const struct came_up *came,
		    const struct qbd_status *status)
{
	char leader[64];

	if (up->arguments->json) {
		struct json_object *object = up_json(up, came, status);

		if (up->list)
			json_object_array_add(up->list, object);
		else
			qbdadm_print_json(object);
	} else {
		printf("%s: member %u %s as ", came->name, came->member_id,
		       came->was_up ? "is up already" : "is up");
		if (came->number == QBD_NO_NUMBER)
			printf("a witness");
		else
			printf("/dev/qbd%u", came->number);
		if (up->arguments->wait_leader)
			printf(", leader is %s",
			       qbdadm_member_text(status, status->leader, leader,
						  sizeof(leader)));
		putchar('\n');
	}
	return qbdadm_flush(QBDADM_OK);
}

/* It is up: the rest that was asked for. */
static int finish_up(struct up *up, const struct came_up *came)
{
	uint64_t seconds = up->arguments->wait_leader;
	struct qbd_status status;
	struct qbd_error error;

	if (came->number != QBD_NO_NUMBER) {
		if (qbdadm_wait_node(came->number, &error))
			return qbdadm_failed(&error);
		qbdadm_make_link(came->name, came->number);
	}
	if (seconds && qbdadm_wait_leader(&up->client, &up->listener, came->name, seconds,
					  false, &status, &error))
		return qbdadm_failed(&error);
	return print_up(up, came, &status);
}

static int finish_up_already(struct up *up, const struct qbd_status *status)
{
	struct came_up came = {
		.name = status->name,
		.number = status->number,
		.member_id = status->member_id,
		.was_up = true,
	};

	return finish_up(up, &came);
}

/*
 * Somebody else holds the disk. Looking for it at the same time, was that one faster? Until it
 * is up nothing can be seen of it.
 */
static bool came_up_meanwhile(struct up *up, const char *name, struct qbd_status *status)
{
	const struct timespec pause = { .tv_nsec = FASTER_STEP_MS * 1000000L };
	int64_t end = qbd_now_ms() + FASTER_WAIT_MS;
	struct qbd_error error;

	while (qbd_client_status(&up->client, name, status, &error)) {
		if (qbd_now_ms() >= end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* @name is its device's, and /etc/qbd/NAME.conf has been read. */
static int bring_up(struct up *up, const char *name, const char *disk,
		    const struct qbdadm_config *config)
{
	struct qbd_up_wish wish = up->arguments->wish;
	struct came_up came = { .disk = disk };
	struct qbd_status status;
	struct qbd_up_reply reply;
	struct qbd_error error;
	int result;

	wish.disk = disk;
	qbdadm_apply_config(config, &wish);
	result = qbd_client_up(&up->client, &wish, &reply, &error);
	if (result && up->arguments->tolerant) {
		struct qbd_error other;

		if (!qbd_client_status(&up->client, name, &status, &other) ||
		    (result == -EBUSY && came_up_meanwhile(up, name, &status)))
			return finish_up_already(up, &status);
	}
	if (result)
		return qbdadm_failed(&error);
	came.name = reply.name;
	came.number = reply.number;
	came.member_id = reply.member_id;
	return finish_up(up, &came);
}

/* A client's log in a file: its disk is a loop device. @loop: to be closed; none: -1. */
static int attach_file(const char **disk, struct qbd_loop *loop, struct qbd_error *error)
{
	struct qbd_found found;
	struct stat status;
	int lock, result;

	loop->fd = -1;
	if (stat(*disk, &status) || !S_ISREG(status.st_mode))
		return 0;
	result = qbd_logfile_look(*disk, &found, error);
	/* What else it is nobody guesses: a disk's image has to be attached on purpose. */
	if (result <= 0)
		return 0;
	lock = qbd_loop_lock(*disk, error);
	if (lock < 0)
		return lock;
	result = qbd_loop_attach(loop, *disk, error);
	close(lock);
	if (!result)
		*disk = loop->path;
	return result;
}

static int up_disk(struct up *up, const char *name)
{
	struct qbdadm_config config;
	struct qbd_error error;
	int status;

	if (qbdadm_read_config(QBDADM_CONFIG_DIRECTORY, name, &config, &error))
		return qbdadm_failed_for(name, "", &error);
	status = bring_up(up, name, up->arguments->wish.disk, &config);
	qbdadm_free_config(&config);
	return status;
}

/* ---- members that are looked for ----------------------------------------- */

/* Disks that might be taken for that of a member that is up: people should know. */
static void warn_of_copies(const struct qbd_disk_scan *scan, const char *name)
{
	size_t same = 0;

	for (size_t i = 0; i < scan->count; i++)
		same += !strcmp(scan->disks[i].name, name);
	/* One is the disk that it is up on. */
	for (size_t i = 0; same > 1 && i < scan->count; i++)
		if (!strcmp(scan->disks[i].name, name) && !qbd_found_in_use(&scan->disks[i]))
			qbdadm_warn("%s: is up; %s carries member %u of it, too, and is left alone: before the next boot, wipe it or take it away",
				    name, scan->disks[i].path, scan->disks[i].member_id);
}

/* A disk that the host had for it before: with two, 'up NAME' and the next boot take neither. */
static void look_for_copies(const char *name)
{
	struct qbd_disk_scan scan;
	struct qbd_error ignored;

	if (qbd_disk_scan(&qbd_disk_scan_host, &scan, &ignored))
		return;
	warn_of_copies(&scan, name);
	qbd_disk_scan_free(&scan);
}

static int up_chosen(struct up *up, const struct qbd_disk_scan *scan, const char *name,
		     const struct qbdadm_config *config)
{
	const struct qbd_found *chosen;
	struct qbd_status status;
	struct qbd_error error;
	int result;

	result = qbd_disk_scan_choose(scan, name, config->disk, &chosen, &error);
	if (!result)
		return bring_up(up, name, chosen->path, config);
	if (result == -EBUSY && came_up_meanwhile(up, name, &status))
		return finish_up_already(up, &status);
	return qbdadm_failed(&error);
}

/* Return: the exit status. */
static int up_found(struct up *up, const struct qbd_disk_scan *scan, const char *name)
{
	struct qbdadm_config config;
	struct qbd_status status;
	struct qbd_error error;
	struct qbd_loop loop;
	const char *pinned;
	int result;

	if (!qbd_client_status(&up->client, name, &status, &error)) {
		warn_of_copies(scan, status.name);
		return finish_up_already(up, &status);
	}
	if (qbdadm_read_config(QBDADM_CONFIG_DIRECTORY, name, &config, &error))
		return qbdadm_failed_for(name, "", &error);
	pinned = config.disk;
	result = pinned ? attach_file(&pinned, &loop, &error) : 0;
	if (!pinned)
		loop.fd = -1;
	if (!result && loop.fd >= 0)
		result = bring_up(up, name, pinned, &config);
	else if (!result)
		result = up_chosen(up, scan, name, &config);
	else
		result = qbdadm_failed(&error);
	qbd_loop_close(&loop);
	qbdadm_free_config(&config);
	return result;
}

static bool was_named_before(const struct qbd_disk_scan *scan, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (!strcmp(scan->disks[i].name, scan->disks[at].name))
			return true;
	return false;
}

/* Of several namespaces of this host, each has its own members. */
static bool is_up_elsewhere(struct up *up, const struct qbd_disk_scan *scan, const char *name)
{
	struct qbd_status status;
	struct qbd_error error;

	if (!qbd_client_status(&up->client, name, &status, &error))
		return false;
	for (size_t i = 0; i < scan->count; i++)
		if (!strcmp(scan->disks[i].name, name) && !qbd_found_in_use(&scan->disks[i]))
			return false;
	return true;
}

static int up_all_found(struct up *up, const struct qbd_disk_scan *scan)
{
	int status = QBDADM_OK;

	for (size_t i = 0; i < scan->count; i++) {
		const struct qbd_found *found = &scan->disks[i];

		if (!found->name[0]) {
			struct qbd_error error;

			qbd_fail(&error, EUCLEAN, "%s", found->problem);
			status = qbdadm_failed(&error);
		} else if (!was_named_before(scan, i)) {
			if (is_up_elsewhere(up, scan, found->name))
				qbdadm_warn("%s: its disk %s is in use, but not by a member that is up in this network namespace; passed over",
					    found->name, found->path);
			else if (up_found(up, scan, found->name))
				status = QBDADM_FAILED;
		}
	}
	if (!scan->count && !up->list)
		puts("no disk here carries a member of a device");
	return status;
}

static void warn_of_file(const struct qbd_error *error)
{
	qbdadm_warn("%s; passed over", error->text);
}

/* The files of those that are meant become disks, and are found among the others. */
static int up_scanned(struct up *up, char **names)
{
	struct qbd_logfiles files = { 0 };
	int status = QBDADM_OK;
	struct qbd_disk_scan scan;
	struct qbd_error error;

	if (!*names)
		qbd_logfiles_attach(QBD_LOGFILE_DIRECTORY, NULL, &files, warn_of_file);
	for (char **name = names; *name; name++)
		qbd_logfiles_attach(QBD_LOGFILE_DIRECTORY, *name, &files, warn_of_file);
	if (qbd_disk_scan(&qbd_disk_scan_host, &scan, &error)) {
		qbd_logfiles_release(&files);
		return qbdadm_failed(&error);
	}
	if (!*names)
		status = up_all_found(up, &scan);
	for (; *names; names++)
		if (up_found(up, &scan, *names))
			status = QBDADM_FAILED;
	qbd_disk_scan_free(&scan);
	qbd_logfiles_release(&files);
	return status;
}

/* ---- the command --------------------------------------------------------- */

static int run(struct up *up, const char *name, char **names)
{
	struct qbd_error error;
	int status;

	if (up->arguments->wait_leader && qbd_client_listen(&up->listener, &error))
		return qbdadm_failed(&error);
	if (!up->arguments->scan)
		return up_disk(up, name);
	/* What was asked for by one name is one object, as with --disk. */
	if (up->arguments->json && !up->arguments->name)
		up->list = json_object_new_array();
	status = up_scanned(up, names);
	if (up->list) {
		struct json_object *object = json_object_new_object();

		json_object_object_add(object, "devices", up->list);
		qbdadm_print_json(object);
	}
	return qbdadm_flush(status);
}

static int up(const struct up_arguments *arguments, char **names)
{
	struct up up = { .arguments = arguments };
	char name[QBD_NAME_SIZE] = "";
	struct qbd_error error;
	int status;

	if (!arguments->scan && check_disk(arguments, name, &error))
		return arguments->name ? qbdadm_failed_for(arguments->name, "", &error) :
		       qbdadm_failed(&error);
	if (qbd_client_open(&up.client, true, &error))
		return qbdadm_failed(&error);
	if (qbd_client_open(&up.listener, false, &error)) {
		status = qbdadm_failed(&error);
	} else {
		status = run(&up, name, names);
		qbd_client_close(&up.listener);
	}
	qbd_client_close(&up.client);
	return status;
}

/* @arguments names a disk, which may be in a file. */
static int up_by_disk(struct up_arguments *arguments)
{
	struct qbd_error error;
	struct qbd_loop loop;
	int status;

	if (attach_file(&arguments->wish.disk, &loop, &error))
		return qbdadm_failed(&error);
	status = up(arguments, NULL);
	qbd_loop_close(&loop);
	return status;
}

int qbdadm_bring_up(const char *name, const char *disk, bool tolerant, bool json)
{
	struct up_arguments arguments = {
		.name = name, .wish.disk = disk, .tolerant = tolerant, .json = json,
	};
	int status = up_by_disk(&arguments);

	if (status == QBDADM_OK)
		look_for_copies(name);
	return status;
}

enum {
	OPTION_DISK = QBDADM_OPTION_LONG,
	OPTION_SCAN,
	OPTION_WAIT_LEADER,
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
	case OPTION_SCAN:
		arguments->scan = true;
		return 0;
	case OPTION_WAIT_LEADER:
		arguments->wait_leader = LEADER_WAIT_SECONDS;
		if (!optarg)
			return 0;
		return qbd_parse_number("--wait-leader", optarg, 1, 86400,
					&arguments->wait_leader, error);
	default:
		return qbdadm_take_up_option(option, optarg, &arguments->wish, error);
	}
}

static int run_up(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "disk", required_argument, NULL, OPTION_DISK },
		{ "scan", no_argument, NULL, OPTION_SCAN },
		{ "memory", required_argument, NULL, QBDADM_MEMORY },
		{ "wait-leader", optional_argument, NULL, OPTION_WAIT_LEADER },
		{ "election-timeout", required_argument, NULL, QBDADM_ELECTION_TIMEOUT },
		{ "heartbeat", required_argument, NULL, QBDADM_HEARTBEAT },
		{ "no-quorum", required_argument, NULL, QBDADM_NO_QUORUM },
		{ "no-quorum-grace", required_argument, NULL, QBDADM_NO_QUORUM_GRACE },
		{ "read", required_argument, NULL, QBDADM_READ },
		{ "window", required_argument, NULL, QBDADM_WINDOW },
		{ "claim-lease", required_argument, NULL, QBDADM_CLAIM_LEASE },
		{ "leader-follows", required_argument, NULL, QBDADM_LEADER_FOLLOWS },
		{ "max-rate", required_argument, NULL, QBDADM_MAX_RATE },
		{ "checksums", required_argument, NULL, QBDADM_CHECKSUMS },
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
	if (arguments.scan && arguments.wish.disk)
		return qbdadm_usage(command, "up: --scan and --disk do not go together");
	if (!arguments.scan && optind + 1 < argc)
		return qbdadm_usage(command, "up: one NAME at most; with --scan several");
	if (!arguments.scan && !arguments.wish.disk && optind == argc)
		return qbdadm_usage(command, "up: needs a NAME, --disk PATH, or --scan");
	for (int i = optind; i < argc; i++)
		if (!qbdadm_name_good(command, argv[i], &status))
			return status;
	if (!arguments.scan)
		arguments.name = argv[optind];
	if (!arguments.scan && arguments.wish.disk)
		return up_by_disk(&arguments);
	arguments.scan = true;
	arguments.tolerant = true;
	return up(&arguments, argv + optind);
}

const struct qbdadm_command qbdadm_up = {
	.name = "up",
	.synopsis = "NAME | --scan [NAME]... | [NAME] --disk PATH [OPTION]... [SETTING]...",
	.summary = "Bring a member up: /dev/qbd/NAME appears",
	.details =
"All that the member has to know is on its disk, which is looked for among all disks\n"
"of this host. One that is up already is left as it is. If several disks could be\n"
"meant (a copy, two ways to one disk) none is taken. Settings that are not given come\n"
"from /etc/qbd/NAME.conf, lines of KEY = VALUE: those below without the dashes, memory,\n"
"and disk, the only disk that it may be.\n"
"\n"
"  --scan                    every member that is found, or those named; exit status 1\n"
"                            if one could not be brought up\n"
"  --disk PATH               the member's disk; NAME is a check against the wrong one\n"
"  --memory SIZE             for log pages, 8M to 1G; 64M by default\n"
"  --wait-leader[=SECONDS]   until a leader is known, 30 seconds by default\n"
QBDADM_SETTINGS_HELP
"  --json                    print JSON\n",
	.run = run_up,
};

