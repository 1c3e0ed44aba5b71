// SPDX-License-Identifier: GPL-2.0
/* qbdadm set, and the options that up and set have in common. */
#include <errno.h>
#include <string.h>

#include "lib/parse.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/up.h"

static int take_milliseconds(const char *what, const char *text, unsigned int given,
			     uint32_t *to, struct qbd_settings_wish *wish,
			     struct qbd_error *error)
{
	uint64_t value;
	int result = qbd_parse_number(what, text, 0, UINT32_MAX, &value, error);

	if (result)
		return result;
	*to = (uint32_t)value;
	wish->given |= given;
	return 0;
}

static int take_word(const char *what, const char *text, const char *zero, const char *one,
		     unsigned int given, uint32_t *to, struct qbd_settings_wish *wish,
		     struct qbd_error *error)
{
	if (strcmp(text, zero) && strcmp(text, one))
		return qbd_fail(error, EINVAL, "%s '%s': is not possible; use %s or %s", what,
				text, zero, one);
	*to = !strcmp(text, one);
	wish->given |= given;
	return 0;
}

static int take_window(const char *text, struct qbd_settings_wish *wish,
		       struct qbd_error *error)
{
	uint64_t bytes;
	int result = qbd_parse_size(text, &bytes, error);

	if (result)
		return result;
	if (bytes > UINT32_MAX)
		return qbd_fail(error, ERANGE, "--window '%s': is too large; less than 4G", text);
	wish->settings.window_bytes = (uint32_t)bytes;
	wish->given |= QBD_GIVEN_WINDOW;
	return 0;
}

int qbdadm_take_setting(int option, const char *text, struct qbd_settings_wish *wish,
			struct qbd_error *error)
{
	struct qbd_settings *settings = &wish->settings;

	switch (option) {
	case QBDADM_ELECTION_TIMEOUT:
		return take_milliseconds("--election-timeout", text, QBD_GIVEN_ELECTION_TIMEOUT,
					 &settings->election_timeout_ms, wish, error);
	case QBDADM_HEARTBEAT:
		return take_milliseconds("--heartbeat", text, QBD_GIVEN_HEARTBEAT,
					 &settings->heartbeat_ms, wish, error);
	case QBDADM_NO_QUORUM:
		return take_word("--no-quorum", text, "suspend", "error",
				 QBD_GIVEN_NO_QUORUM, &settings->no_quorum, wish, error);
	case QBDADM_NO_QUORUM_GRACE:
		return take_milliseconds("--no-quorum-grace", text, QBD_GIVEN_NO_QUORUM_GRACE,
					 &settings->no_quorum_grace_ms, wish, error);
	case QBDADM_READ:
		return take_word("--read", text, "lease", "quorum", QBD_GIVEN_READ_MODE,
				 &settings->read_mode, wish, error);
	default:
		return take_window(text, wish, error);
	}
}

static int print_set(struct qbd_client *client, const char *name, bool json)
{
	struct qbd_status status;
	struct qbd_error error;

	if (qbd_client_status(client, name, &status, &error))
		return qbdadm_failed(&error);
	if (json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "name", name);
		qbdadm_json_number(object, "election_timeout_ms",
				   status.settings.election_timeout_ms);
		qbdadm_json_number(object, "heartbeat_ms", status.settings.heartbeat_ms);
		qbdadm_json_string(object, "no_quorum",
				   qbd_no_quorum_text(status.settings.no_quorum));
		qbdadm_json_number(object, "no_quorum_grace_ms",
				   status.settings.no_quorum_grace_ms);
		qbdadm_json_string(object, "read",
				   qbd_read_mode_text(status.settings.read_mode));
		qbdadm_json_number(object, "window_bytes", status.settings.window_bytes);
		qbdadm_print_json(object);
	} else {
		printf("%s: election timeout %u ms, heartbeat %u ms, no quorum: %s after %u ms, read by %s, window %u bytes\n",
		       name, status.settings.election_timeout_ms, status.settings.heartbeat_ms,
		       qbd_no_quorum_text(status.settings.no_quorum),
		       status.settings.no_quorum_grace_ms,
		       qbd_read_mode_text(status.settings.read_mode),
		       status.settings.window_bytes);
	}
	return qbdadm_flush(QBDADM_OK);
}

static int run_set(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "election-timeout", required_argument, NULL, QBDADM_ELECTION_TIMEOUT },
		{ "heartbeat", required_argument, NULL, QBDADM_HEARTBEAT },
		{ "no-quorum", required_argument, NULL, QBDADM_NO_QUORUM },
		{ "no-quorum-grace", required_argument, NULL, QBDADM_NO_QUORUM_GRACE },
		{ "read", required_argument, NULL, QBDADM_READ },
		{ "window", required_argument, NULL, QBDADM_WINDOW },
		{ }
	};
	struct qbd_settings_wish wish = { 0 };
	struct qbd_client client;
	struct qbd_error error;
	bool json = false;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (option == QBDADM_OPTION_JSON)
			json = true;
		else if (qbdadm_take_setting(option, optarg, &wish, &error))
			return qbdadm_usage(command, "%s", error.text);
	}
	if (optind + 1 != argc)
		return qbdadm_usage(command, "set: needs one NAME");
	if (!qbdadm_name_good(command, argv[optind], &status))
		return status;
	if (!wish.given)
		return qbdadm_usage(command, "set: needs at least one setting");
	if (qbd_client_open(&client, false, &error))
		return qbdadm_failed_for(argv[optind], "is not up: ", &error);
	if (qbd_client_set(&client, argv[optind], &wish, &error))
		status = qbdadm_failed(&error);
	else
		status = print_set(&client, argv[optind], json);
	qbd_client_close(&client);
	return status;
}

const struct qbdadm_command qbdadm_set = {
	.name = "set",
	.synopsis = "NAME SETTING... [--json]",
	.summary = "Change settings of a device that is up, even while its I/O waits",
	.details =
"What is not given stays. Settings are this host's and last until the member goes\n"
"down.\n"
"\n"
QBDADM_SETTINGS_HELP
"  --json                    print JSON\n",
	.run = run_set,
};
