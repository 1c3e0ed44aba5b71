// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/client.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/render.h"

enum { OPTION_WATCH = QBDADM_OPTION_LONG };

#define WATCH_SECONDS	1

/* One device or all. Without the module there are none. */
static int fetch(const char *name, struct qbd_status **statuses, size_t *count,
		 struct qbd_error *error)
{
	struct qbd_client client;
	int result;

	*statuses = NULL;
	*count = 0;
	result = qbd_client_open(&client, false, error);
	if (result == -ENOENT)
		return name ? qbd_fail(error, ENOENT, "%s: is not up: the kernel module qbd is not loaded; 'qbdadm up' loads it",
				       name) : 0;
	if (result)
		return result;
	if (!name) {
		result = qbd_client_status_all(&client, statuses, count, error);
	} else {
		*statuses = calloc(1, sizeof(**statuses));
		*count = 1;
		result = *statuses ? qbd_client_status(&client, name, *statuses, error) :
			 qbd_fail(error, ENOMEM, "%s: out of memory", name);
	}
	qbd_client_close(&client);
	if (result && name) {
		free(*statuses);
		*statuses = NULL;
	}
	return result;
}

static void print_text(const struct qbd_status *statuses, size_t count)
{
	bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

	if (!count)
		puts("no device is up in this network namespace");
	for (size_t i = 0; i < count; i++) {
		if (i)
			putchar('\n');
		qbdadm_render_status(stdout, &statuses[i], colour);
	}
}

static void print_json(const struct qbd_status *statuses, size_t count, bool watch)
{
	struct json_object *object = json_object_new_object();
	struct json_object *devices = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		json_object_array_add(devices, qbdadm_status_json(&statuses[i]));
	json_object_object_add(object, "devices", devices);
	if (watch) {
		/* One line each time. */
		puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
						    JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(object);
	} else {
		qbdadm_print_json(object);
	}
}

static int show(const char *name, bool json, bool watch)
{
	struct qbd_status *statuses;
	struct qbd_error error;
	size_t count;

	if (fetch(name, &statuses, &count, &error))
		return qbdadm_failed(&error);
	if (json)
		print_json(statuses, count, watch);
	else
		print_text(statuses, count);
	free(statuses);
	return qbdadm_flush(QBDADM_OK);
}

static int run_status(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "watch", no_argument, NULL, OPTION_WATCH },
		{ }
	};
	const struct timespec interval = { .tv_sec = WATCH_SECONDS };
	bool json = false, watch = false;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		json |= option == QBDADM_OPTION_JSON;
		watch |= option == OPTION_WATCH;
	}
	if (optind + 1 < argc)
		return qbdadm_usage(command, "status: one NAME at most");
	if (argv[optind] && !qbdadm_name_good(command, argv[optind], &status))
		return status;
	do {
		if (watch && !json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		status = show(argv[optind], json, watch);
	} while (watch && status == QBDADM_OK && !nanosleep(&interval, NULL));
	return status;
}

const struct qbdadm_command qbdadm_status = {
	.name = "status",
	.synopsis = "[NAME] [--watch] [--json]",
	.summary = "How devices are: role, term, leader, quorum, who is behind",
	.details =
"Without NAME, all devices of this network namespace. What is wrong comes first,\n"
"one line each: '!!' for what stops I/O or puts data at risk, '!' for what may be\n"
"next. How far others are behind is known at the leader only.\n"
"\n"
"  --watch   again every second\n"
"  --json    print JSON\n",
	.run = run_status,
};
