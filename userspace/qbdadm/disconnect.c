// SPDX-License-Identifier: GPL-2.0
/*
 * qbdadm disconnect: the end of what connect began.
 *
 * First this host leaves the list of members, which it says itself, then the device goes here,
 * then the file. Whatever of that was done before is passed over: it can be run again.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/client.h"
#include "lib/clock.h"
#include "lib/logfile.h"
#include "lib/parse.h"
#include "qbdadm/connect.h"
#include "qbdadm/links.h"
#include "qbdadm/qbdadm.h"

#define WAIT_SECONDS	15
/* The module has 32 texts for errors in ten seconds: with more than that nobody hears why. */
#define PAUSE_MS	500

struct disconnect_arguments {
	const char *name;
	char file[PATH_MAX];
	uint64_t wait;			/* seconds */
	bool force;
	bool json;
};

enum {
	OPTION_FILE = QBDADM_OPTION_LONG,
	OPTION_WAIT,
	OPTION_FORCE,
};

/* One look, and what follows from it. 0: this host is no member any more; -EAGAIN: again. */
static int leave_once(struct qbd_client *client, const char *name, struct qbd_error *error)
{
	struct qbd_membership_layout list;
	struct qbd_member_layout *own = NULL;
	struct qbd_status status;
	int result;

	result = qbd_client_status(client, name, &status, error);
	if (result || status.removed)
		return result;
	qbd_status_list(&status, &list);
	for (uint32_t i = 0; i < status.member_count; i++)
		if (status.members[i].self)
			own = &list.members[i];
	if (own && !(le16_to_cpu(own->flags) & QBD_MEMBER_LEAVING)) {
		own->flags |= cpu_to_le16(QBD_MEMBER_LEAVING);
		result = qbd_client_change_members(client, name, &list, false, error);
		if (result && result != -ESTALE && result != -EAGAIN && result != -EHOSTUNREACH)
			return result;
		if (result)
			return qbd_fail(error, EAGAIN, "%s", strdupa(error->text));
	}
	return qbd_fail(error, EAGAIN, "%s: the others do not say that this host has left", name);
}

static int leave(struct qbd_client *client, const struct disconnect_arguments *arguments,
		 uint32_t member, struct qbd_error *error)
{
	int64_t end = qbd_now_ms() + (int64_t)arguments->wait * 1000;
	int result;

	while ((result = leave_once(client, arguments->name, error)) == -EAGAIN &&
	       qbd_now_ms() < end)
		qbd_pause_ms(PAUSE_MS);
	if (result == -EAGAIN)
		return qbd_fail(error, ETIMEDOUT, "%.300s (tried for %" PRIu64 " s; if the leader has taken it, it may still come about); bring a majority of the members up and run this again, or use --force and run 'qbdadm member remove %s %u' on a member later",
				strdupa(error->text), arguments->wait, arguments->name, member);
	return result;
}

/* It comes up to say that it goes. -ENXIO: it is no member any more, as it knows itself. */
static int bring_up_to_leave(struct qbd_client *client, const char *file,
			     struct qbd_error *error)
{
	struct qbd_up_wish wish = { 0 };
	struct qbd_up_reply reply;
	struct qbd_loop loop;
	int lock, result;

	lock = qbd_loop_lock(file, error);
	if (lock < 0)
		return lock;
	result = qbd_loop_attach(&loop, file, error);
	close(lock);
	if (result)
		return result;
	wish.disk = loop.path;
	result = qbd_client_up(client, &wish, &reply, error);
	qbd_loop_close(&loop);
	return result;
}

/* Of what is up here: may it end? */
static int check_ends(const struct qbd_status *status, struct qbd_error *error)
{
	if (!qbd_status_is_client(status) && !status->removed)
		return qbd_fail(error, EINVAL, "%s: this host is member %u of it, and no client; 'qbdadm down %s' takes it down, 'qbdadm member remove' for good",
				status->name, status->member_id, status->name);
	if (status->in_use)
		return qbd_fail(error, EBUSY, "%s: /dev/qbd%u is in use on this host; unmount or close it first, or tear it away with 'qbdadm down --force %s'",
				status->name, status->number, status->name);
	return 0;
}

static int end_connection(struct qbd_client *client, struct disconnect_arguments *arguments,
			  struct qbd_found *found, struct qbd_error *error)
{
	struct qbd_status status;
	bool was_up;
	int result, there;

	there = qbdadm_look_at_file(arguments->file, arguments->name, NULL, found, error);
	result = qbd_client_status(client, arguments->name, &status, error);
	if (result == -ENODEV && !there)
		return qbd_fail(error, ENOENT, "%s: this host is not connected to it: it is not up, and there is no %s",
				arguments->name, arguments->file);
	if (result && result != -ENODEV)
		return result;
	was_up = !result;
	if (was_up) {
		result = check_ends(&status, error);
		if (result)
			return result;
		found->member_id = status.member_id;
		/* Where it is now, unless somebody says it. */
		if (there <= 0)
			qbd_logfile_of(status.uuid, status.member_id, arguments->file,
				       sizeof(arguments->file));
	} else if (there < 0) {
		return qbdadm_look_at_file(arguments->file, arguments->name, NULL, found, error);
	} else if (!arguments->force) {
		result = bring_up_to_leave(client, arguments->file, error);
		if (result == -ENXIO)
			return 0;
		if (result)
			return result;
		status.number = QBD_NO_NUMBER;
	} else {
		return 0;
	}
	if (!arguments->force)
		result = leave(client, arguments, found->member_id, error);
	if (result) {
		struct qbd_error ignored;

		/* It came up for that alone. */
		if (!was_up)
			qbd_client_down(client, arguments->name, false, &ignored);
		return result;
	}
	result = qbd_client_down(client, arguments->name, false, error);
	if (!result && status.number != QBD_NO_NUMBER)
		qbdadm_remove_link(arguments->name, status.number);
	return result == -ENODEV ? 0 : result;
}

static int print_ended(const struct disconnect_arguments *arguments, uint32_t member)
{
	if (arguments->json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "name", arguments->name);
		qbdadm_json_number(object, "member_id", member);
		qbdadm_json_bool(object, "listed", arguments->force);
		qbdadm_print_json(object);
	} else if (arguments->force) {
		printf("%s: member %u is no more; its entry stays until 'qbdadm member remove %s %u' on a member\n",
		       arguments->name, member, arguments->name, member);
	} else {
		printf("%s: member %u is disconnected, and no member any more\n",
		       arguments->name, member);
	}
	return qbdadm_flush(QBDADM_OK);
}

static int take_option(struct disconnect_arguments *arguments, int option,
		       struct qbd_error *error)
{
	size_t room = sizeof(arguments->file);

	switch (option) {
	case QBDADM_OPTION_JSON:
		arguments->json = true;
		return 0;
	case OPTION_WAIT:
		return qbd_parse_number("--wait", optarg, 1, 86400, &arguments->wait, error);
	case OPTION_FORCE:
		arguments->force = true;
		return 0;
	default:
		if (!optarg[0] || (size_t)snprintf(arguments->file, room, "%s", optarg) >= room)
			return qbd_fail(error, EINVAL, "--file: is no path of a file");
		return 0;
	}
}

static int run_disconnect(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "file", required_argument, NULL, OPTION_FILE },
		{ "wait", required_argument, NULL, OPTION_WAIT },
		{ "force", no_argument, NULL, OPTION_FORCE },
		{ }
	};
	struct disconnect_arguments arguments = { .wait = WAIT_SECONDS };
	struct qbd_found found = { 0 };
	struct qbd_client client;
	struct qbd_error error;
	int status, option, result;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (take_option(&arguments, option, &error))
			return qbdadm_usage(command, "disconnect: %s", error.text);
	}
	if (optind + 1 != argc)
		return qbdadm_usage(command, "disconnect: needs the device's NAME");
	if (!qbdadm_name_good(command, argv[optind], &status))
		return status;
	arguments.name = argv[optind];
	if (!arguments.file[0])
		qbd_logfile_path(arguments.name, arguments.file, sizeof(arguments.file));
	if (qbd_client_open(&client, true, &error))
		return qbdadm_failed(&error);
	result = end_connection(&client, &arguments, &found, &error);
	qbd_client_close(&client);
	if (!result && unlink(arguments.file) && errno != ENOENT)
		result = qbd_fail(&error, errno, "%s: is disconnected, but %s cannot be removed: %s",
				  arguments.name, arguments.file, strerror(errno));
	return result ? qbdadm_failed(&error) : print_ended(&arguments, found.member_id);
}

const struct qbdadm_command qbdadm_disconnect = {
	.name = "disconnect",
	.synopsis = "NAME [--file FILE] [--wait SECONDS] [--force] [--json]",
	.summary = "End what connect began: this host is no client any more",
	.details =
"Takes this host off the list of members, takes the device down here and removes the\n"
"file. One that is in use (mounted, open) is refused.\n"
"\n"
"  --file FILE       the one that connect was given\n"
"  --wait SECONDS    for the members to take the change, 15 by default\n"
"  --force           do not ask them: the client's entry stays in the list, where it does\n"
"                    no harm, until 'qbdadm member remove' or the next connect from here\n"
"  --json            print JSON\n",
	.run = run_disconnect,
};
