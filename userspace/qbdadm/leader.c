// SPDX-License-Identifier: GPL-2.0
/* qbdadm leader show and leader move. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "lib/client.h"
#include "lib/parse.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/render.h"
#include "qbdadm/up.h"

enum {
	OPTION_TO = QBDADM_OPTION_LONG,
	OPTION_WAIT,
};

#define WAIT_SECONDS	30

static int print_leader(const struct qbd_status *status, const char *verb, bool json)
{
	const struct qbd_member_status *member = qbd_status_member(status, status->leader);
	char text[64];

	if (json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "name", status->name);
		qbdadm_json_number(object, "leader", status->leader);
		json_object_object_add(object, "leader_name", member ?
				       json_object_new_string(member->name) : NULL);
		qbdadm_json_number(object, "term", status->term);
		qbdadm_print_json(object);
	} else {
		printf("%s: %s %s in term %ju\n", status->name, verb,
		       qbdadm_member_text(status, status->leader, text, sizeof(text)),
		       (uintmax_t)status->term);
	}
	return qbdadm_flush(status->leader ? QBDADM_OK : QBDADM_FAILED);
}

static int move(struct qbd_client *client, const char *name, const char *to, bool json)
{
	struct qbd_status status;
	struct qbd_error error;
	uint32_t member = 0;	/* the fittest */

	if (qbd_client_status(client, name, &status, &error) ||
	    qbd_status_check_member(&status, &error) ||
	    (to && qbd_status_resolve(&status, to, &member, &error)) ||
	    qbd_client_leader_move(client, name, member, &error) ||
	    qbd_client_status(client, name, &status, &error))
		return qbdadm_failed(&error);
	return print_leader(&status, "leader is now", json);
}

static int show(struct qbd_client *client, const char *name, bool json)
{
	struct qbd_status status;
	struct qbd_error error;

	if (qbd_client_status(client, name, &status, &error))
		return qbdadm_failed(&error);
	return print_leader(&status, "leader is", json);
}

/* Until there is one, and the device before that. */
static int wait_and_show(const char *name, uint64_t seconds, bool json)
{
	struct qbd_client client, listener;
	struct qbd_status status;
	struct qbd_error error;
	int result;

	/* Whoever waits for a device is told of its coming by the module. */
	if (qbd_client_open(&client, true, &error))
		return qbdadm_failed(&error);
	result = qbd_client_open(&listener, false, &error);
	if (!result) {
		result = qbd_client_listen(&listener, &error);
		if (!result)
			result = qbdadm_wait_leader(&client, &listener, name, seconds, true,
						    &status, &error);
		qbd_client_close(&listener);
	}
	qbd_client_close(&client);
	return result ? qbdadm_failed(&error) : print_leader(&status, "leader is", json);
}

static int run_leader(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "to", required_argument, NULL, OPTION_TO },
		{ "wait", optional_argument, NULL, OPTION_WAIT },
		{ }
	};
	bool moves = command == &qbdadm_leader_move;
	const char *name, *to = NULL;
	struct qbd_client client;
	struct qbd_error error;
	uint64_t wait = 0;
	bool json = false;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		json |= option == QBDADM_OPTION_JSON;
		if (option == OPTION_TO)
			to = optarg;
		if (option == OPTION_WAIT)
			wait = WAIT_SECONDS;
		if (option == OPTION_WAIT && optarg &&
		    qbd_parse_number("--wait", optarg, 1, 86400, &wait, &error))
			return qbdadm_usage(command, "%s", error.text);
	}
	if (optind >= argc || optind + (moves && !to ? 2 : 1) < argc)
		return qbdadm_usage(command, "%s: needs one NAME%s", command->name,
				    moves ? " and one MEMBER at most" : "");
	if (to && !moves)
		return qbdadm_usage(command, "%s: --to is for 'leader move'", command->name);
	if (wait && moves)
		return qbdadm_usage(command, "%s: --wait is for 'leader show'", command->name);
	name = argv[optind];
	if (!qbdadm_name_good(command, name, &status))
		return status;
	if (wait)
		return wait_and_show(name, wait, json);
	if (moves && !to)
		to = argv[optind + 1];
	if (qbd_client_open(&client, false, &error))
		return qbdadm_failed_for(name, "is not up: ", &error);
	status = moves ? move(&client, name, to, json) : show(&client, name, json);
	qbd_client_close(&client);
	return status;
}

const struct qbdadm_command qbdadm_leader_show = {
	.name = "leader show",
	.synopsis = "NAME [--wait[=SECONDS]] [--json]",
	.summary = "Who leads; exit status 1 if nobody is known to",
	.details =
"  --wait[=SECONDS]   until the device is up here and has a leader, 30 seconds by\n"
"                     default; its I/O need not wait then\n"
"  --json             print JSON\n",
	.run = run_leader,
};

const struct qbdadm_command qbdadm_leader_move = {
	.name = "leader move",
	.synopsis = "NAME [MEMBER | --to MEMBER] [--json]",
	.summary = "Hand leadership to a member, by name or id; by default the fittest",
	.details =
"Ends when it has happened or failed, after ten seconds at most. I/O pauses for an\n"
"instant and goes on.\n"
"\n"
"  --to MEMBER   name or id\n"
"  --json        print JSON\n",
	.run = run_leader,
};
