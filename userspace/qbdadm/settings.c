// SPDX-License-Identifier: GPL-2.0
/* qbdadm set, and the options that up and set have in common. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/parse.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/up.h"

#define MEMORY_MIN	(8ULL << 20)
#define MEMORY_MAX	(1ULL << 30)

enum { OPTION_ALL = QBDADM_OPTION_LONG };

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

static int take_max_rate(const char *text, struct qbd_settings_wish *wish,
			 struct qbd_error *error)
{
	struct qbd_error why;

	wish->settings.max_rate = 0;
	if (strcmp(text, "none") && strcmp(text, "0") &&
	    qbd_parse_size(text, &wish->settings.max_rate, &why))
		return qbd_fail(error, EINVAL, "--max-rate: %.600s, or none", why.text);
	wish->given |= QBD_GIVEN_MAX_RATE;
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
	case QBDADM_CLAIM_LEASE:
		return take_milliseconds("--claim-lease", text, QBD_GIVEN_CLAIM_LEASE,
					 &settings->claim_lease_ms, wish, error);
	case QBDADM_LEADER_FOLLOWS:
		return take_word("--leader-follows", text, "no", "yes",
				 QBD_GIVEN_LEADER_FOLLOWS, &settings->leader_follows, wish,
				 error);
	case QBDADM_CHECKSUMS:
		return take_word("--checksums", text, "off", "on", QBD_GIVEN_CHECKSUMS,
				 &settings->checksums, wish, error);
	case QBDADM_MAX_RATE:
		return take_max_rate(text, wish, error);
	default:
		return take_window(text, wish, error);
	}
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

int qbdadm_take_up_option(int option, const char *text, struct qbd_up_wish *wish,
			  struct qbd_error *error)
{
	if (option == QBDADM_MEMORY)
		return take_memory(text, wish, error);
	return qbdadm_take_setting(option, text, &wish->settings, error);
}

static struct json_object *set_json(const struct qbd_status *status)
{
	struct json_object *object = json_object_new_object();

	qbdadm_json_string(object, "name", status->name);
	qbdadm_json_number(object, "election_timeout_ms", status->settings.election_timeout_ms);
	qbdadm_json_number(object, "heartbeat_ms", status->settings.heartbeat_ms);
	qbdadm_json_string(object, "no_quorum", qbd_no_quorum_text(status->settings.no_quorum));
	qbdadm_json_number(object, "no_quorum_grace_ms", status->settings.no_quorum_grace_ms);
	qbdadm_json_string(object, "read", qbd_read_mode_text(status->settings.read_mode));
	qbdadm_json_number(object, "window_bytes", status->settings.window_bytes);
	qbdadm_json_number(object, "claim_lease_ms", status->settings.claim_lease_ms);
	qbdadm_json_bool(object, "leader_follows", status->settings.leader_follows);
	qbdadm_json_number(object, "max_rate", status->settings.max_rate);
	qbdadm_json_bool(object, "checksums", status->settings.checksums);
	return object;
}

static void print_set(const struct qbd_status *status)
{
	char rate[32] = "none";

	if (status->settings.max_rate)
		snprintf(rate, sizeof(rate), "%" PRIu64 " bytes/s", status->settings.max_rate);
	printf("%s: election timeout %u ms, heartbeat %u ms, no quorum: %s after %u ms, read by %s, window %u bytes, claim lease %u ms, leader %s, maximal rate %s, checksums %s\n",
	       status->name, status->settings.election_timeout_ms, status->settings.heartbeat_ms,
	       qbd_no_quorum_text(status->settings.no_quorum),
	       status->settings.no_quorum_grace_ms,
	       qbd_read_mode_text(status->settings.read_mode), status->settings.window_bytes,
	       status->settings.claim_lease_ms,
	       status->settings.leader_follows ? "follows the claim" : "stays",
	       rate, status->settings.checksums ? "on" : "off");
}

/* Set, print, or add to @list if there is one. */
static int set_one(struct qbd_client *client, const char *name,
		   const struct qbd_settings_wish *wish, bool json, struct json_object *list)
{
	struct qbd_status status;
	struct qbd_error error;

	if (qbd_client_set(client, name, wish, &error) ||
	    qbd_client_status(client, name, &status, &error))
		return qbdadm_failed(&error);
	if (list)
		json_object_array_add(list, set_json(&status));
	else if (json)
		qbdadm_print_json(set_json(&status));
	else
		print_set(&status);
	return qbdadm_flush(QBDADM_OK);
}

/* Without the module, or a device that is up, there is nothing to do. */
static int set_all(const struct qbd_settings_wish *wish, bool json)
{
	struct json_object *list = json ? json_object_new_array() : NULL;
	struct qbd_status *statuses = NULL;
	struct qbd_client client;
	struct qbd_error error;
	int status = QBDADM_OK;
	size_t count = 0;
	int result;

	result = qbd_client_open(&client, false, &error);
	if (!result) {
		result = qbd_client_status_all(&client, &statuses, &count, &error);
		for (size_t i = 0; i < count; i++)
			if (set_one(&client, statuses[i].name, wish, json, list))
				status = QBDADM_FAILED;
		free(statuses);
		qbd_client_close(&client);
	}
	if (result && result != -ENOENT)
		status = qbdadm_failed(&error);
	if (json) {
		struct json_object *object = json_object_new_object();

		json_object_object_add(object, "devices", list);
		qbdadm_print_json(object);
	}
	return qbdadm_flush(status);
}

static int run_set(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "all", no_argument, NULL, OPTION_ALL },
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
	struct qbd_settings_wish wish = { 0 };
	struct qbd_client client;
	struct qbd_error error;
	bool json = false, all = false;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (option == QBDADM_OPTION_JSON)
			json = true;
		else if (option == OPTION_ALL)
			all = true;
		else if (qbdadm_take_setting(option, optarg, &wish, &error))
			return qbdadm_usage(command, "%s", error.text);
	}
	if (optind + !all != argc)
		return qbdadm_usage(command, all ? "set: --all and a NAME do not go together" :
				    "set: needs one NAME, or --all");
	if (!all && !qbdadm_name_good(command, argv[optind], &status))
		return status;
	if (!wish.given)
		return qbdadm_usage(command, "set: needs at least one setting");
	if (all)
		return set_all(&wish, json);
	if (qbd_client_open(&client, false, &error))
		return qbdadm_failed_for(argv[optind], "is not up: ", &error);
	status = set_one(&client, argv[optind], &wish, json, NULL);
	qbd_client_close(&client);
	return status;
}

const struct qbdadm_command qbdadm_set = {
	.name = "set",
	.synopsis = "NAME|--all SETTING... [--json]",
	.summary = "Change settings of a device that is up, even while its I/O waits",
	.details =
"What is not given stays. Settings are this host's and last until the member goes\n"
"down; what is in /etc/qbd/NAME.conf is for the next time that it comes up.\n"
"\n"
"  --all                     every device of this network namespace, if any is up\n"
QBDADM_SETTINGS_HELP
"  --json                    print JSON\n",
	.run = run_set,
};
