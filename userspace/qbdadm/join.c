// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/join.h"
#include "lib/parse.h"
#include "lib/plan.h"
#include "lib/token.h"
#include "qbdadm/prepare.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/up.h"

struct join_arguments {
	const char *name;
	const char *disk;
	const char *token_file;
	const char *listen;
	const char *host;
	uint64_t priority;
	bool learner;
	bool witness;
	bool force;
	bool no_up;
	bool json;
};

enum {
	OPTION_DISK = QBDADM_OPTION_LONG,
	OPTION_TOKEN_FILE,
	OPTION_LISTEN,
	OPTION_NAME,
	OPTION_PRIORITY,
	OPTION_LEARNER,
	OPTION_WITNESS,
	OPTION_FORCE,
	OPTION_NO_UP,
};

static const struct option join_options[] = {
	{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
	{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
	{ "disk", required_argument, NULL, OPTION_DISK },
	{ "token-file", required_argument, NULL, OPTION_TOKEN_FILE },
	{ "listen", required_argument, NULL, OPTION_LISTEN },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "priority", required_argument, NULL, OPTION_PRIORITY },
	{ "learner", no_argument, NULL, OPTION_LEARNER },
	{ "witness", no_argument, NULL, OPTION_WITNESS },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "no-up", no_argument, NULL, OPTION_NO_UP },
	{ }
};

static int take_option(struct join_arguments *arguments, int option, struct qbd_error *error)
{
	switch (option) {
	case QBDADM_OPTION_JSON:
		arguments->json = true;
		return 0;
	case OPTION_DISK:
		arguments->disk = optarg;
		return 0;
	case OPTION_TOKEN_FILE:
		arguments->token_file = optarg;
		return 0;
	case OPTION_LISTEN:
		arguments->listen = optarg;
		return 0;
	case OPTION_NAME:
		arguments->host = optarg;
		return 0;
	case OPTION_PRIORITY:
		return qbd_parse_number("--priority", optarg, 0, 255, &arguments->priority,
					error);
	case OPTION_LEARNER:
		arguments->learner = true;
		return 0;
	case OPTION_WITNESS:
		arguments->witness = true;
		return 0;
	case OPTION_FORCE:
		arguments->force = true;
		return 0;
	default:
		arguments->no_up = true;
		return 0;
	}
}

/* What the arguments say of the member; its id is the leader's to give. */
static int take_self(const struct join_arguments *arguments, struct qbd_join *join,
		     struct qbd_error *error)
{
	struct qbd_member_layout *self = &join->self;
	struct qbd_error why;
	int result;

	self->flags = cpu_to_le16(QBD_MEMBER_LEARNER |
				  (arguments->witness ? QBD_MEMBER_WITNESS : 0) |
				  (arguments->learner ? 0 : QBD_MEMBER_JOINING));
	self->priority = (uint8_t)arguments->priority;
	result = qbd_parse_address(arguments->listen, &self->address, &why);
	if (result)
		return qbd_fail(error, -result, "--listen: %.600s", why.text);
	return qbdadm_host_name(arguments->host, self->name, error);
}

/* Return: 0, or -1 with an exit status. */
static int parse_arguments(const struct qbdadm_command *command, int argc, char **argv,
			   struct join_arguments *arguments, struct qbd_join *join,
			   int *status)
{
	const char *missing = NULL;
	struct qbd_error error;
	int option;

	while ((option = qbdadm_next_option(command, argc, argv, join_options, status)) != -1) {
		if (option == -2)
			return -1;
		if (take_option(arguments, option, &error)) {
			*status = qbdadm_usage(command, "%s", error.text);
			return -1;
		}
	}
	if (optind + 2 > argc)
		missing = "the ADDRESS of a member and the device's NAME";
	else if (!arguments->disk)
		missing = "--disk PATH";
	else if (!arguments->listen)
		missing = "--listen ADDRESS[:PORT] (where this member shall listen)";
	else if (!arguments->token_file)
		missing = "--token-file FILE ('qbdadm token show' on a member prints it)";
	if (missing) {
		*status = qbdadm_usage(command, "join: needs %s", missing);
	} else if (optind + 2 < argc) {
		*status = qbdadm_usage(command, "join: one ADDRESS and one NAME only, '%s' is too much",
				       argv[optind + 2]);
	} else if (qbd_parse_address(argv[optind], &join->contact, &error) ||
		   take_self(arguments, join, &error)) {
		*status = qbdadm_usage(command, "%s", error.text);
	} else if (qbdadm_name_good(command, argv[optind + 1], status)) {
		arguments->name = argv[optind + 1];
		join->name = arguments->name;
		return 0;
	}
	return -1;
}

/* Better known before anybody is asked for anything. */
static int check_host(const struct join_arguments *arguments, const struct qbd_join *join,
		      struct qbd_error *error)
{
	int result;

	if (arguments->no_up)
		return 0;
	result = qbdadm_check_listen(&join->self.address, error);
	if (!result)
		result = qbdadm_check_can_come_up(arguments->name, error);
	return result == -EEXIST ? qbd_fail(error, EEXIST, "%s: %s", arguments->name,
					    strdupa(error->text)) : result;
}

static int make_plan(const struct qbd_join *join, const struct qbd_disk *disk,
		     struct qbd_format_parameters *parameters, struct qbd_error *error)
{
	const struct qbd_description *device = &join->description;
	const struct qbd_plan_wish wish = {
		.device_bytes = le64_to_cpu(device->device_blocks) << QBD_BLOCK_SHIFT,
		.log_bytes = le64_to_cpu(device->log_blocks) << QBD_BLOCK_SHIFT,
		.extent_bytes = 1ULL << le32_to_cpu(device->extent_shift),
		.no_data = le16_to_cpu(join->self.flags) & QBD_MEMBER_WITNESS,
	};

	parameters->name = join->name;
	parameters->token = join->token;
	parameters->members = &device->membership;
	parameters->joins = true;
	parameters->configuration = le32_to_cpu(device->configuration);
	parameters->claim = device->claim;
	return qbd_plan_compute(disk->path, disk->blocks, &wish, &parameters->plan, error);
}

/* The change stands, or may stand, and the disk is not what it should be. */
static int left_behind(const struct qbd_join *join, const char *why, struct qbd_error *error)
{
	uint32_t id = le32_to_cpu(join->self.id);

	if (!id)
		return qbd_fail(error, EIO, "%.300s; no disk has been made: if 'qbdadm status' on a member shows %s, take it out there with 'qbdadm member remove %s %s', then join again",
				why, join->self.name, join->name, join->self.name);
	return qbd_fail(error, EIO, "%.300s; no disk has been made for member %u: take it out on a member with 'qbdadm member remove %s %u', then join again",
			why, id, join->name, id);
}

/*
 * All that can be refused is refused before the first write; all that can fail has been
 * done before the members are changed, but for a few blocks of the disk that say whose it
 * is.
 */
static int join_with(const struct join_arguments *arguments, struct qbd_join *join,
		     struct qbd_disk *disk, struct qbd_format_parameters *parameters,
		     struct qbd_error *error)
{
	bool added;
	int result;

	result = qbd_join_look(join, error);
	if (!result)
		result = make_plan(join, disk, parameters, error);
	if (!result && !arguments->force)
		result = qbdadm_check_content(disk, error);
	if (!result)
		result = check_host(arguments, join, error);
	if (!result)
		result = qbd_format_prepare(disk, parameters, error);
	if (result)
		return result;
	result = qbd_join_ask(join, &added, error);
	if (result)
		return added ? left_behind(join, strdupa(error->text), error) : result;
	parameters->member_id = le32_to_cpu(join->self.id);
	memcpy(parameters->history, join->description.history, QBD_UUID_SIZE);
	memcpy(parameters->incarnation, join->self.incarnation, QBD_UUID_SIZE);
	result = qbd_format_finish(disk, parameters, error);
	return result ? left_behind(join, strdupa(error->text), error) : 0;
}

static void print_joined(const struct join_arguments *arguments, const struct qbd_join *join,
			 const struct qbd_format_parameters *parameters)
{
	const struct qbd_plan *plan = &parameters->plan;
	char address[QBD_ADDRESS_TEXT_SIZE];
	char size[QBD_SIZE_TEXT_SIZE], log[QBD_SIZE_TEXT_SIZE];

	printf("%s: member %u (%s) of %u%s is on %s; %s\n", join->name, parameters->member_id,
	       join->self.name, le32_to_cpu(parameters->members->count),
	       plan->no_data ? ", a witness," : "", arguments->disk,
	       arguments->learner ? "it will not vote" : "it votes when it has caught up");
	printf("  device         %s\n",
	       qbd_size_text(plan->device_blocks << QBD_BLOCK_SHIFT, size));
	printf("  log            %s\n", qbd_size_text(plan->log_blocks << QBD_BLOCK_SHIFT, log));
	printf("  listens at     %s\n", qbd_address_text(&join->self.address, address));
	if (arguments->no_up)
		printf("Next:\n  qbdadm up %s --disk %s\n", join->name, arguments->disk);
}

static void print_joined_json(const struct join_arguments *arguments,
			      const struct qbd_join *join,
			      const struct qbd_format_parameters *parameters)
{
	struct json_object *object = json_object_new_object();

	qbdadm_made_json(object, join->name, join->token, &join->self, parameters,
			 arguments->disk);
	qbdadm_print_json(object);
}

static int run_join(const struct qbdadm_command *command, int argc, char **argv)
{
	struct join_arguments arguments = { .priority = QBD_PRIORITY_DEFAULT };
	struct qbd_format_parameters parameters = { 0 };
	struct qbd_join join = { .wait_ms = QBD_JOIN_WAIT_MS };
	struct qbd_token token;
	struct qbd_error error;
	struct qbd_disk disk;
	int status;

	if (parse_arguments(command, argc, argv, &arguments, &join, &status))
		return status;
	if (qbd_token_read(arguments.token_file, &token, &error))
		return qbdadm_failed(&error);
	join.token = &token;
	status = qbd_disk_open(&disk, arguments.disk, QBD_DISK_WRITE | QBD_DISK_EXCLUSIVE,
			       &error);
	if (!status) {
		status = join_with(&arguments, &join, &disk, &parameters, &error);
		qbd_disk_close(&disk);
	}
	if (status)
		return qbdadm_failed(&error);
	/* What comes up is the one object that is printed. */
	if (arguments.json && arguments.no_up)
		print_joined_json(&arguments, &join, &parameters);
	else if (!arguments.json)
		print_joined(&arguments, &join, &parameters);
	if (!arguments.no_up)
		return qbdadm_bring_up(arguments.name, arguments.disk, false, arguments.json);
	return qbdadm_flush(QBDADM_OK);
}

const struct qbdadm_command qbdadm_join = {
	.name = "join",
	.synopsis = "ADDRESS[:PORT] NAME --disk PATH --listen ADDRESS[:PORT] --token-file FILE [OPTION]...",
	.summary = "Become a member of a device that is up on other hosts",
	.details =
"Asks a member at ADDRESS, any that is up, what the device is, makes a disk of this host\n"
"ready for it, has the leader add this host to the members, and comes up. The leader\n"
"sends it what there is; from when it has caught up it votes. Nothing has to be done on\n"
"the other hosts.\n"
"\n"
"  --disk PATH         block device that becomes the member; all of it is used\n"
"  --listen ADDRESS    where this member shall listen, port 7900 by default; the others\n"
"                      have to reach it there\n"
"  --token-file FILE   the device's, from 'qbdadm token show' on a member; '-' is\n"
"                      standard input\n"
"  --name HOST         what status calls the member; by default this host's name\n"
"  --priority N        0 to 255, 100 by default; the higher, the rather leader\n"
"  --learner           never vote: a copy only\n"
"  --witness           vote and log, and keep no data: the disk need only hold the log,\n"
"                      and there is no device on this host\n"
"  --force             destroy what is on the disk; never one that is in use\n"
"  --no-up             do not bring it up\n"
"  --json              print JSON\n"
"\n"
"Nothing is asked to change, and nothing is written, unless everything can be done.\n",
	.run = run_join,
};
