// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "lib/token.h"
#include "qbdadm/qbdadm.h"

enum { OPTION_OUT = QBDADM_OPTION_LONG };

static int print_written(const struct qbd_token *token, const char *path, bool json)
{
	char uuid[37];

	uuid_unparse_lower(token->uuid, uuid);
	if (json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "uuid", uuid);
		qbdadm_json_string(object, "file", path);
		qbdadm_print_json(object);
	} else {
		printf("%s: token of a new device %s\n"
		       "Copy it to every member, by a way that nobody else can read, and keep it mode 0600.\n",
		       path, uuid);
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
	char text[QBD_TOKEN_TEXT_SIZE];
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
	if (path)
		return print_written(&token, path, json);
	if (json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "token", qbd_token_text(&token, text));
		qbdadm_print_json(object);
	} else {
		puts(qbd_token_text(&token, text));
	}
	return qbdadm_flush(QBDADM_OK);
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
