// SPDX-License-Identifier: GPL-2.0
/* qbdadm claim: who may write to the device. */
#include <errno.h>
#include <string.h>

#include "lib/client.h"
#include "lib/clock.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/render.h"

enum { OPTION_FORCE = QBDADM_OPTION_LONG };

/* What the leader has committed is known on another host a heartbeat later. */
#define KNOWN_WAIT_MS	2000
#define KNOWN_STEP_MS	20

/* Is what was done known here? */
static bool shows(const struct qbdadm_command *command, const struct qbd_status *status,
		  uint32_t mode)
{
	if (command == &qbdadm_claim_take)
		return status->claim_holder == status->member_id;
	if (command == &qbdadm_claim_release)
		return status->claim_holder != status->member_id;
	return command != &qbdadm_claim_mode || status->claim_mode == mode;
}

static int print_claim(const struct qbdadm_command *command, struct qbd_client *client,
		       const char *name, uint32_t mode, bool json)
{
	int64_t begin = qbd_now_ms();
	struct json_object *object;
	struct qbd_status status;
	struct qbd_error error;

	for (;;) {
		if (qbd_client_status(client, name, &status, &error))
			return qbdadm_failed(&error);
		/* A heartbeat, which is the leader's to choose, is at most a third of this. */
		if (shows(command, &status, mode) ||
		    qbd_now_ms() >= begin + KNOWN_WAIT_MS + status.settings.election_timeout_ms)
			break;
		qbd_pause_ms(KNOWN_STEP_MS);
	}
	if (json) {
		object = qbdadm_claim_json(&status);
		qbdadm_json_string(object, "name", status.name);
		qbdadm_print_json(object);
	} else {
		printf("%s: ", status.name);
		qbdadm_render_claim(stdout, &status);
	}
	return qbdadm_flush(QBDADM_OK);
}

/* Return: 0 or -errno with the line. */
static int change(const struct qbdadm_command *command, struct qbd_client *client,
		  const char *name, bool force, uint32_t mode, struct qbd_error *error)
{
	if (command == &qbdadm_claim_take)
		return qbd_client_claim_take(client, name, force, error);
	if (command == &qbdadm_claim_release)
		return qbd_client_claim_release(client, name, error);
	if (command == &qbdadm_claim_mode)
		return qbd_client_claim_mode(client, name, mode, error);
	return 0;
}

static int run_claim(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "force", no_argument, NULL, OPTION_FORCE },
		{ }
	};
	bool sets_mode = command == &qbdadm_claim_mode;
	bool json = false, force = false;
	struct qbd_client client;
	struct qbd_error error;
	uint32_t mode = 0;
	int status, option;
	const char *name;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		json |= option == QBDADM_OPTION_JSON;
		force |= option == OPTION_FORCE;
	}
	if (force && command != &qbdadm_claim_take)
		return qbdadm_usage(command, "%s: --force is for 'claim take'", command->name);
	if (optind + 1 + sets_mode != argc)
		return qbdadm_usage(command, "%s: needs one NAME%s", command->name,
				    sets_mode ? ", and exclusive or shared" : "");
	name = argv[optind];
	if (!qbdadm_name_good(command, name, &status))
		return status;
	if (sets_mode && !qbdadm_take_claim_mode(argv[optind + 1], &mode, &error))
		return qbdadm_usage(command, "%s", error.text);
	if (qbd_client_open(&client, false, &error))
		return qbdadm_failed_for(name, "is not up: ", &error);
	status = change(command, &client, name, force, mode, &error) ?
		 qbdadm_failed(&error) : print_claim(command, &client, name, mode, json);
	qbd_client_close(&client);
	return status;
}

bool qbdadm_take_claim_mode(const char *text, uint32_t *mode, struct qbd_error *error)
{
	*mode = QBD_CLAIM_MODE_EXCLUSIVE;
	if (!strcmp(text, "shared"))
		*mode = QBD_CLAIM_MODE_SHARED;
	else if (strcmp(text, "exclusive"))
		qbd_fail(error, EINVAL, "claim '%s': is no mode; use exclusive or shared",
			 text);
	return *mode == QBD_CLAIM_MODE_SHARED || !strcmp(text, "exclusive");
}

const struct qbdadm_command qbdadm_claim_show = {
	.name = "claim show",
	.synopsis = "NAME [--json]",
	.summary = "Who may write to the device",
	.details = "  --json   print JSON\n",
	.run = run_claim,
};

const struct qbdadm_command qbdadm_claim_take = {
	.name = "claim take",
	.synopsis = "NAME [--force] [--json]",
	.summary = "Have this host be the one that may write",
	.details =
"Opening the device for write does that by itself, if no other host has it claimed, and\n"
"closing it gives the claim back. One that was taken by this command stays until 'claim\n"
"release'.\n"
"\n"
"  --force   also from a host that is there and uses the device: what it has under way\n"
"            is refused from here on, and its I/O fails until everybody there has\n"
"            closed the device\n"
"  --json    print JSON\n",
	.run = run_claim,
};

const struct qbdadm_command qbdadm_claim_release = {
	.name = "claim release",
	.synopsis = "NAME [--json]",
	.summary = "Give the claim of this host back, which does not use the device",
	.details = "  --json   print JSON\n",
	.run = run_claim,
};

const struct qbdadm_command qbdadm_claim_mode = {
	.name = "claim mode",
	.synopsis = "NAME exclusive|shared [--json]",
	.summary = "Let one host write at a time, or every host",
	.details =
"shared is for cluster file systems: nothing keeps two hosts from mounting the device, and\n"
"any other file system is destroyed by that. From shared to exclusive: hosts that have it\n"
"open for write ask for the claim at once; one of them gets it, and I/O of the others fails.\n"
"\n"
"  --json   print JSON\n",
	.run = run_claim,
};
