// SPDX-License-Identifier: GPL-2.0
/* qbdadm down. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/client.h"
#include "lib/clock.h"
#include "lib/parse.h"
#include "qbdadm/links.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/up.h"

/* From one look to the next, doubled each time. */
#define RETRY_MS_MIN	50
#define RETRY_MS_MAX	800

/**
 * struct down_arguments - what was asked for
 * @all: every device of this network namespace, not those that are named
 * @if_up: one that is not up is no failure
 * @seconds: how long to wait for those in use
 */
struct down_arguments {
	bool all;
	bool if_up;
	bool force;
	uint64_t seconds;
	bool json;
};

/**
 * struct going - a device on its way down
 * @done: it is down, or it has failed: nothing more is to be tried
 */
struct going {
	char name[QBD_NAME_SIZE];
	uint32_t number;
	uint32_t member_id;
	bool done;
	bool forced;
	bool failed;
};

static void print_down(const struct down_arguments *arguments, const struct going *going,
		       struct json_object *list)
{
	if (!arguments->json) {
		if (going->forced && arguments->seconds)
			printf("%s: member %u is down, by force: it was in use after %" PRIu64 " s\n",
			       going->name, going->member_id, arguments->seconds);
		else
			printf("%s: member %u is down\n", going->name, going->member_id);
		return;
	}
	struct json_object *object = json_object_new_object();

	qbdadm_json_string(object, "name", going->name);
	qbdadm_json_number(object, "member_id", going->member_id);
	qbdadm_json_bool(object, "forced", going->forced);
	if (list)
		json_object_array_add(list, object);
	else
		qbdadm_print_json(object);
}

/* One try. @last: there will be no other. */
static void try_down(struct qbd_client *client, const struct down_arguments *arguments,
		     struct going *going, bool last, struct json_object *list)
{
	struct qbd_status status;
	struct qbd_error error;
	int result;

	/* Not asked in vain again and again: the module logs refusals if they are many. */
	result = qbd_client_status(client, going->name, &status, &error);
	if (!result && status.in_use && !last)
		return;
	if (!result)
		result = qbd_client_down(client, going->name, false, &error);
	if (result == -EBUSY && last && arguments->force) {
		going->forced = true;
		result = qbd_client_down(client, going->name, true, &error);
	}

	/* Another takes it down just now: it is done when that is. */
	if (result == -EALREADY && !last)
		return;
	/* It went between one try and the next, or between list and try. */
	if (result == -ENODEV || (result == -EALREADY &&
				  qbd_client_status(client, going->name, &status, &error) ==
				  -ENODEV))
		result = 0;
	if (result == -EBUSY && !last)
		return;
	going->done = true;
	if (result) {
		going->failed = true;
		qbdadm_failed(&error);
		return;
	}
	if (going->number != QBD_NO_NUMBER)
		qbdadm_remove_link(going->name, going->number);
	print_down(arguments, going, list);
	fflush(stdout);
}

/*
 * Each in order, as soon as nobody uses it; those that are in use to the end by force, or
 * not at all. One that is in use does not keep the others up.
 */
static int take_down(struct qbd_client *client, const struct down_arguments *arguments,
		     struct going *list, size_t count, struct json_object *printed)
{
	struct timespec step = { .tv_nsec = RETRY_MS_MIN * 1000000L };
	int64_t end = qbd_now_ms() + (int64_t)arguments->seconds * 1000;
	bool failed = false;
	size_t left;
	bool last;

	do {
		last = qbd_now_ms() >= end;
		left = 0;
		for (size_t i = 0; i < count; i++) {
			if (!list[i].done)
				try_down(client, arguments, &list[i], last, printed);
			left += !list[i].done;
			failed |= list[i].failed;
		}
		if (left)
			nanosleep(&step, NULL);
		if (step.tv_nsec < RETRY_MS_MAX * 1000000L)
			step.tv_nsec *= 2;
	} while (left);
	return failed ? QBDADM_FAILED : QBDADM_OK;
}

static int add(struct going **list, size_t *count, const struct qbd_status *status)
{
	struct going *larger = realloc(*list, (*count + 1) * sizeof(*larger));
	struct going *going;

	if (!larger)
		return -ENOMEM;
	*list = larger;
	going = &larger[(*count)++];
	memset(going, 0, sizeof(*going));
	snprintf(going->name, sizeof(going->name), "%s", status->name);
	going->number = status->number;
	going->member_id = status->member_id;
	return 0;
}

static int collect_all(struct qbd_client *client, struct going **list, size_t *count,
		       struct qbd_error *error)
{
	struct qbd_status *statuses;
	size_t found;
	int result = qbd_client_status_all(client, &statuses, &found, error);

	if (result)
		return result;
	for (size_t i = 0; i < found && !result; i++)
		result = add(list, count, &statuses[i]);
	free(statuses);
	return result ? qbd_fail(error, ENOMEM, "down: out of memory") : 0;
}

/* Those that are up; of the others the line, unless that is all right. */
static int collect_named(struct qbd_client *client, const struct down_arguments *arguments,
			 char **names, struct going **list, size_t *count)
{
	int status = QBDADM_OK;

	for (; *names; names++) {
		struct qbd_status found;
		struct qbd_error error;
		int result = qbd_client_status(client, *names, &found, &error);

		if (!result && add(list, count, &found))
			result = qbd_fail(&error, ENOMEM, "down: out of memory");
		if (result && !(result == -ENODEV && arguments->if_up))
			status = qbdadm_failed(&error);
	}
	return status;
}

static int down(const struct down_arguments *arguments, char **names)
{
	bool listed = arguments->json && (arguments->all || names[1]);
	struct json_object *printed = listed ? json_object_new_array() : NULL;
	struct going *list = NULL;
	struct qbd_client client;
	struct qbd_error error;
	int status = QBDADM_OK;
	size_t count = 0;
	int result;

	result = qbd_client_open(&client, false, &error);
	if (result == -ENOENT && !arguments->all && !arguments->if_up)
		status = qbdadm_failed_for(names[0], "is not up: ", &error);
	else if (result && result != -ENOENT)
		status = qbdadm_failed(&error);
	if (!result) {
		if (!arguments->all)
			status = collect_named(&client, arguments, names, &list, &count);
		else if (collect_all(&client, &list, &count, &error))
			status = qbdadm_failed(&error);
		if (take_down(&client, arguments, list, count, printed))
			status = QBDADM_FAILED;
		qbd_client_close(&client);
		free(list);
	}
	if (listed) {
		struct json_object *object = json_object_new_object();

		json_object_object_add(object, "devices", printed);
		qbdadm_print_json(object);
	}
	return qbdadm_flush(status);
}

enum {
	OPTION_ALL = QBDADM_OPTION_LONG,
	OPTION_FORCE,
	OPTION_IF_UP,
	OPTION_TIMEOUT,
};

static int run_down(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "all", no_argument, NULL, OPTION_ALL },
		{ "force", no_argument, NULL, OPTION_FORCE },
		{ "if-up", no_argument, NULL, OPTION_IF_UP },
		{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
		{ }
	};
	struct down_arguments arguments = { 0 };
	struct qbd_error error;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		arguments.all |= option == OPTION_ALL;
		arguments.force |= option == OPTION_FORCE;
		arguments.if_up |= option == OPTION_IF_UP;
		arguments.json |= option == QBDADM_OPTION_JSON;
		if (option == OPTION_TIMEOUT &&
		    qbd_parse_number("--timeout", optarg, 0, 86400, &arguments.seconds, &error))
			return qbdadm_usage(command, "%s", error.text);
	}
	if (arguments.all && optind < argc)
		return qbdadm_usage(command, "down: --all and a NAME do not go together");
	if (!arguments.all && optind == argc)
		return qbdadm_usage(command, "down: needs a NAME, or --all");
	for (int i = optind; i < argc; i++)
		if (!qbdadm_name_good(command, argv[i], &status))
			return status;
	return down(&arguments, argv + optind);
}

const struct qbdadm_command qbdadm_down = {
	.name = "down",
	.synopsis = "NAME...|--all [--if-up] [--timeout SECONDS] [--force] [--json]",
	.summary = "Take a member down in order; the others go on",
	.details =
"A leader hands leadership over first. A device that is in use (mounted, open) is\n"
"refused.\n"
"\n"
"  --all               every member of this network namespace, if any is up\n"
"  --if-up             it is no failure if it is not up\n"
"  --timeout SECONDS   wait so long for those in use; each goes as soon as it can\n"
"  --force             even if it is in use, after the timeout if there is one: what\n"
"                      waits on it fails with I/O errors\n"
"  --json              print JSON\n",
	.run = run_down,
};
