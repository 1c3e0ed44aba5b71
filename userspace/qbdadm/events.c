// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/client.h"
#include "lib/clock.h"
#include "lib/parse.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/render.h"

struct event_options {
	const char *name;
	uint64_t count;		/* 0: no end */
	uint64_t timeout;	/* seconds, 0: no end */
	bool json;
};

enum {
	OPTION_COUNT = QBDADM_OPTION_LONG,
	OPTION_TIMEOUT,
};

/* One object on one line, so that a reader can take it at once. */
static void print_line(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

static void print_note(const char *event, bool json)
{
	struct json_object *object;

	if (!json) {
		fprintf(stderr, "qbdadm: %s\n", event);
		return;
	}
	object = json_object_new_object();
	qbdadm_json_string(object, "event", event);
	qbdadm_json_number(object, "sequence", 0);
	print_line(object);
}

static void print_event(const struct qbd_event *event, bool json)
{
	if (json)
		print_line(qbdadm_event_json(event));
	else
		qbdadm_render_event(stdout, event);
}

static int64_t time_left(const struct event_options *options, int64_t end)
{
	int64_t left = end - qbd_now_ms();

	if (!options->timeout)
		return -1;
	return left > 0 ? left : 0;
}

static int follow(struct qbd_client *client, const struct event_options *options)
{
	int64_t end = qbd_now_ms() + (int64_t)options->timeout * 1000;
	struct qbd_event event;
	struct qbd_error error;
	uint64_t seen = 0;
	int result;

	if (qbd_client_listen(client, &error))
		return qbdadm_failed(&error);
	print_note("listening", options->json);
	while (!options->count || seen < options->count) {
		if (qbdadm_flush(QBDADM_OK))
			return QBDADM_FAILED;
		result = qbd_client_event(client, &event, (int)time_left(options, end), &error);
		if (result == -EINTR)
			continue;
		if (result == -ENOBUFS) {
			print_note("lost", options->json);
			continue;
		}
		if (result < 0)
			return qbdadm_failed(&error);
		if (!result)
			break;
		if (options->name && strcmp(options->name, event.name))
			continue;
		print_event(&event, options->json);
		seen++;
	}
	if (options->count && seen < options->count) {
		qbd_fail(&error, ETIMEDOUT,
			 "events: %" PRIu64 " of %" PRIu64 " came within %" PRIu64 " s", seen,
			 options->count, options->timeout);
		return qbdadm_failed(&error);
	}
	return qbdadm_flush(QBDADM_OK);
}

static int run_events(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "count", required_argument, NULL, OPTION_COUNT },
		{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
		{ }
	};
	struct event_options chosen = { 0 };
	struct qbd_client client;
	struct qbd_error error;
	int status, option;
	int result = 0;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (option == OPTION_COUNT)
			result = qbd_parse_number("--count", optarg, 1, UINT32_MAX,
						  &chosen.count, &error);
		else if (option == OPTION_TIMEOUT)
			result = qbd_parse_number("--timeout", optarg, 1, 1000000,
						  &chosen.timeout, &error);
		else
			chosen.json = true;
		if (result)
			return qbdadm_usage(command, "%s", error.text);
	}
	if (optind + 1 < argc)
		return qbdadm_usage(command, "events: one NAME at most");
	chosen.name = argv[optind];
	if (chosen.name && !qbdadm_name_good(command, chosen.name, &status))
		return status;
	if (qbd_client_open(&client, true, &error))
		return qbdadm_failed(&error);
	status = follow(&client, &chosen);
	qbd_client_close(&client);
	return status;
}

const struct qbdadm_command qbdadm_events = {
	.name = "events",
	.synopsis = "[NAME] [--count N] [--timeout SECONDS] [--json]",
	.summary = "Follow what happens: role, leader, members, quorum, filling",
	.details =
"Says 'listening' on standard error once no event can be missed. Each line has the\n"
"device, the number of the event and what it is. 'lost' means that events came\n"
"faster than they were read: look at the status then.\n"
"\n"
"  --count N           end after N events; exit status 1 if time was up before\n"
"  --timeout SECONDS   end after so long\n"
"  --json              one JSON object a line, {\"event\": \"listening\"} the first\n",
	.run = run_events,
};
