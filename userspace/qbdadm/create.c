// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/parse.h"
#include "lib/plan.h"
#include "lib/token.h"
#include "qbdadm/prepare.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/up.h"

/**
 * struct create_arguments - what was asked for
 * @witnesses: ids of members that have no data, as they were given
 * @witness_count: how many
 * @listen: the short form: the first member of a device that others join
 * @host: likewise
 */
struct create_arguments {
	const char *name;
	const char *token_file;
	const char *disk;
	const char *id_text;
	const char *listen;
	const char *host;
	struct qbd_membership_layout members;
	struct qbd_plan_wish wish;
	const char *witnesses[QBD_MEMBERS_MAX];
	unsigned int witness_count;
	uint32_t claim_mode;
	bool force;
	bool up;
	bool no_up;
	bool json;
};

enum {
	OPTION_TOKEN_FILE = QBDADM_OPTION_LONG,
	OPTION_ID,
	OPTION_DISK,
	OPTION_MEMBER,
	OPTION_SIZE,
	OPTION_MAX_SIZE,
	OPTION_LOG_SIZE,
	OPTION_EXTENT_SIZE,
	OPTION_FORCE,
	OPTION_UP,
	OPTION_LISTEN,
	OPTION_NAME,
	OPTION_NO_UP,
	OPTION_CLAIM,
	OPTION_WITNESS,
};

static const struct option create_options[] = {
	{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
	{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
	{ "token-file", required_argument, NULL, OPTION_TOKEN_FILE },
	{ "id", required_argument, NULL, OPTION_ID },
	{ "disk", required_argument, NULL, OPTION_DISK },
	{ "member", required_argument, NULL, OPTION_MEMBER },
	{ "size", required_argument, NULL, OPTION_SIZE },
	{ "max-size", required_argument, NULL, OPTION_MAX_SIZE },
	{ "log-size", required_argument, NULL, OPTION_LOG_SIZE },
	{ "extent-size", required_argument, NULL, OPTION_EXTENT_SIZE },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "up", no_argument, NULL, OPTION_UP },
	{ "listen", required_argument, NULL, OPTION_LISTEN },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "no-up", no_argument, NULL, OPTION_NO_UP },
	{ "claim", required_argument, NULL, OPTION_CLAIM },
	{ "witness", required_argument, NULL, OPTION_WITNESS },
	{ }
};

/* 0 would mean the default: nobody means that who writes it. */
static int take_size(const char *option, const char *possible, uint64_t *bytes,
		     struct qbd_error *error)
{
	int result = qbd_parse_size(optarg, bytes, error);

	if (!result && !*bytes)
		result = qbd_fail(error, EINVAL,
				  "%s '%s': is nothing; use %s, or leave the option out",
				  option, optarg, possible);
	return result;
}

/* One option's value into @arguments. Return: 0 or -errno with the line. */
static int take_option(struct create_arguments *arguments, int option,
		       struct qbd_error *error)
{
	switch (option) {
	case QBDADM_OPTION_JSON:
		arguments->json = true;
		return 0;
	case OPTION_TOKEN_FILE:
		arguments->token_file = optarg;
		return 0;
	case OPTION_ID:
		arguments->id_text = optarg;
		return 0;
	case OPTION_DISK:
		arguments->disk = optarg;
		return 0;
	case OPTION_MEMBER:
		return qbd_parse_members(optarg, &arguments->members, error);
	case OPTION_SIZE:
		return take_size("--size", "at least 4K", &arguments->wish.device_bytes,
				 error);
	case OPTION_MAX_SIZE:
		return take_size("--max-size", "at least the device's size",
				 &arguments->wish.max_bytes, error);
	case OPTION_LOG_SIZE:
		return take_size("--log-size", "at least 8M", &arguments->wish.log_bytes,
				 error);
	case OPTION_EXTENT_SIZE:
		return take_size("--extent-size", "a power of two from 64K to 64M",
				 &arguments->wish.extent_bytes, error);
	case OPTION_FORCE:
		arguments->force = true;
		return 0;
	case OPTION_WITNESS:
		if (arguments->witness_count == QBD_MEMBERS_MAX)
			return qbd_fail(error, EINVAL, "--witness %s: is one too many", optarg);
		arguments->witnesses[arguments->witness_count++] = optarg;
		return 0;
	case OPTION_LISTEN:
		arguments->listen = optarg;
		return 0;
	case OPTION_NAME:
		arguments->host = optarg;
		return 0;
	case OPTION_NO_UP:
		arguments->no_up = true;
		return 0;
	case OPTION_CLAIM:
		return qbdadm_take_claim_mode(optarg, &arguments->claim_mode, error) ?
		       0 : -EINVAL;
	default:
		arguments->up = true;
		return 0;
	}
}

/* What is missing, or makes no sense together; NULL: nothing. */
#define BOTH_FORMS \
	"--listen ADDRESS[:PORT] (the first member of a device, which others join), or " \
	"--token-file, --id and --member (all members at once)"

static const char *find_flaw(const struct create_arguments *arguments)
{
	bool listed = arguments->token_file || arguments->id_text ||
		      le32_to_cpu(arguments->members.count);

	if (arguments->listen && listed)
		return "either " BOTH_FORMS;
	if (arguments->listen && arguments->witness_count)
		return "the first member of a device has its data; others join with --witness";
	if (arguments->up && arguments->no_up)
		return "either --up or --no-up";
	if (arguments->listen)
		return arguments->disk ? NULL : "needs --disk PATH";
	if (arguments->host)
		return "--name goes with --listen; else --member has the names";
	if (!listed)
		return "needs " BOTH_FORMS;
	if (!arguments->token_file)
		return "needs --token-file FILE (made by 'qbdadm token new')";
	if (!arguments->id_text)
		return "needs --id N (which member this host is)";
	if (!arguments->disk)
		return "needs --disk PATH";
	if (!le32_to_cpu(arguments->members.count))
		return "needs --member ID=NAME@ADDRESS, once for each member";
	return NULL;
}

/* Return: 0, or -1 with an exit status. */
static int parse_arguments(const struct qbdadm_command *command, int argc, char **argv,
			   struct create_arguments *arguments, int *status)
{
	const char *flaw;
	struct qbd_error error;
	int option;

	while ((option = qbdadm_next_option(command, argc, argv, create_options,
					    status)) != -1) {
		if (option == -2)
			return -1;
		if (take_option(arguments, option, &error)) {
			*status = qbdadm_usage(command, "%s", error.text);
			return -1;
		}
	}
	flaw = optind < argc ? find_flaw(arguments) : "needs the device's NAME";
	if (flaw) {
		*status = qbdadm_usage(command, "create: %s", flaw);
		return -1;
	}
	arguments->name = argv[optind];
	if (optind + 1 < argc) {
		*status = qbdadm_usage(command, "create: one NAME only, '%s' is too much",
				       argv[optind + 1]);
		return -1;
	}
	return 0;
}

static void warn_about_members(const struct qbd_membership_layout *members)
{
	uint32_t count = le32_to_cpu(members->count);

	if (count == 1)
		qbdadm_warn("one member only: nothing is replicated, its disk is all there is");
	else if (count % 2 == 0)
		qbdadm_warn("%u members survive no more failures than %u do; an odd number is better",
			    count, count - 1);
}

static void print_next(const struct create_arguments *arguments,
		       const struct qbd_format_parameters *parameters)
{
	const struct qbd_member_layout *self =
		qbd_membership_find(parameters->members, parameters->member_id);
	char address[QBD_ADDRESS_TEXT_SIZE];

	if (!arguments->up) {
		if (le32_to_cpu(parameters->members->count) > 1)
			printf("Next: the same on the other members, each with its own --id and --disk; then on each:\n");
		else
			printf("Next:\n");
		printf("  qbdadm up %s --disk %s\n", parameters->name, arguments->disk);
	}
	if (!arguments->listen)
		return;
	printf("Nothing is replicated until others join. The token, here, into a file to be copied to them:\n"
	       "  qbdadm token show %s --disk %s --out %s.token\n"
	       "and on each of them:\n"
	       "  qbdadm join %s %s --disk PATH --listen ADDRESS --token-file %s.token\n",
	       parameters->name, arguments->disk, parameters->name,
	       qbd_address_text(&self->address, address), parameters->name,
	       parameters->name);
}

static void print_created(const struct create_arguments *arguments,
			  const struct qbd_format_parameters *parameters)
{
	const struct qbd_plan *plan = &parameters->plan;
	const struct qbd_member_layout *self =
		qbd_membership_find(parameters->members, parameters->member_id);
	char configuration[QBD_CONFIGURATION_TEXT_SIZE], address[QBD_ADDRESS_TEXT_SIZE];
	char size[QBD_SIZE_TEXT_SIZE], log[QBD_SIZE_TEXT_SIZE], most[QBD_SIZE_TEXT_SIZE];
	uint32_t count = le32_to_cpu(parameters->members->count);

	printf("%s: member %u (%s) of %u%s is on %s\n", parameters->name, parameters->member_id,
	       self->name, count, plan->no_data ? ", a witness," : "", arguments->disk);
	printf("  device         %s", qbd_size_text(plan->device_blocks << QBD_BLOCK_SHIFT, size));
	if (arguments->listen)
		printf("\n");
	else
		printf(" (--size %" PRIu64 "K on every member)\n", plan->device_blocks << 2);
	if (!plan->no_data)
		printf("  can grow to    %s\n",
		       qbd_size_text(qbd_plan_most(plan) << QBD_BLOCK_SHIFT, most));
	printf("  log            %s\n",
	       qbd_size_text(plan->log_blocks << QBD_BLOCK_SHIFT, log));
	printf("  listens at     %s\n", qbd_address_text(&self->address, address));
	if (!arguments->listen)
		printf("  configuration  %s (has to read the same on every member)\n",
		       qbd_configuration_text(qbd_configuration_of(parameters),
					      configuration));
	print_next(arguments, parameters);
}

static void print_created_json(const struct create_arguments *arguments,
			       const struct qbd_format_parameters *parameters)
{
	struct json_object *object = json_object_new_object();
	const struct qbd_member_layout *self =
		qbd_membership_find(parameters->members, parameters->member_id);
	char configuration[QBD_CONFIGURATION_TEXT_SIZE];

	qbdadm_made_json(object, parameters->name, parameters->token, self, parameters,
			 arguments->disk);
	qbdadm_json_string(object, "configuration",
			   qbd_configuration_text(qbd_configuration_of(parameters),
						  configuration));
	qbdadm_print_json(object);
}

/* All that can be refused is refused before the first write. */
static int create(struct create_arguments *arguments,
		  struct qbd_format_parameters *parameters, struct qbd_error *error)
{
	struct qbd_disk disk;
	int result;

	result = qbd_disk_open(&disk, arguments->disk, QBD_DISK_WRITE | QBD_DISK_EXCLUSIVE,
			       error);
	if (result)
		return result;
	result = qbd_plan_compute(arguments->disk, disk.blocks, &arguments->wish,
				  &parameters->plan, error);
	if (!result && !arguments->force)
		result = qbdadm_check_content(&disk, error);
	if (!result && arguments->up)
		result = qbdadm_check_can_come_up(arguments->name, error);
	if (!result)
		result = qbd_format(&disk, parameters, error);
	qbd_disk_close(&disk);
	return result;
}

/* Which of the members have no data: in the list, which is the same on all of them. */
static int take_witnesses(struct create_arguments *arguments, struct qbd_error *error)
{
	struct qbd_membership_layout *members = &arguments->members;

	for (unsigned int i = 0; i < arguments->witness_count; i++) {
		uint32_t at = 0;
		uint64_t id;

		if (qbd_parse_number("--witness", arguments->witnesses[i], 1, UINT32_MAX - 1,
				     &id, error))
			return -EINVAL;
		while (at < le32_to_cpu(members->count) &&
		       le32_to_cpu(members->members[at].id) != id)
			at++;
		if (at == le32_to_cpu(members->count))
			return qbd_fail(error, EINVAL, "create: --witness %" PRIu64 " is none of the members given",
					id);
		members->members[at].flags |= cpu_to_le16(QBD_MEMBER_WITNESS);
	}
	return qbd_check_voters("create", members, "create it with fewer, and let more hosts 'qbdadm join --learner'",
				error);
}

/* The member that has to be made is in the list already. */
static int take_listed(const struct qbdadm_command *command,
		       struct create_arguments *arguments, struct qbd_token *token,
		       uint64_t *id)
{
	const struct qbd_member_layout *self;
	struct qbd_error error;

	if (qbd_parse_number("--id", arguments->id_text, 1, UINT32_MAX - 1, id, &error) ||
	    take_witnesses(arguments, &error))
		return qbdadm_usage(command, "%s", error.text);
	self = qbd_membership_find(&arguments->members, (uint32_t)*id);
	if (!self)
		return qbdadm_usage(command, "create: --id %" PRIu64 " is none of the members given; name this host with --member too",
				    *id);
	arguments->wish.no_data = le16_to_cpu(self->flags) & QBD_MEMBER_WITNESS;
	if (arguments->wish.no_data && !arguments->wish.device_bytes)
		return qbdadm_usage(command, "create: needs --size SIZE for a witness: its disk, which gets no data, does not say how large the device is");
	return qbd_token_read(arguments->token_file, token, &error) ?
	       qbdadm_failed(&error) : 0;
}

/* The list is this host alone, and it comes up. */
static int take_first(const struct qbdadm_command *command,
		      struct create_arguments *arguments, struct qbd_token *token)
{
	struct qbd_membership_layout *members = &arguments->members;
	struct qbd_member_layout *self = &members->members[0];
	struct qbd_error error;

	arguments->up = !arguments->no_up;
	members->count = cpu_to_le32(1);
	members->next_member_id = cpu_to_le32(2);
	self->id = cpu_to_le32(1);
	self->flags = cpu_to_le16(QBD_MEMBER_VOTER);
	self->priority = QBD_PRIORITY_DEFAULT;
	if (qbd_parse_address(arguments->listen, &self->address, &error))
		return qbdadm_usage(command, "--listen: %s", error.text);
	if (qbdadm_host_name(arguments->host, self->name, &error))
		return qbdadm_usage(command, "%s", error.text);
	if ((arguments->up && qbdadm_check_listen(&self->address, &error)) ||
	    qbd_token_new(token, &error))
		return qbdadm_failed_for(arguments->name, "", &error);
	return 0;
}

static int run_create(const struct qbdadm_command *command, int argc, char **argv)
{
	struct create_arguments arguments = { 0 };
	struct qbd_format_parameters parameters = { 0 };
	struct qbd_token token;
	struct qbd_error error;
	uint64_t id = 1;
	int status;

	if (parse_arguments(command, argc, argv, &arguments, &status))
		return status;
	if (!qbdadm_name_good(command, arguments.name, &status))
		return status;
	status = arguments.listen ? take_first(command, &arguments, &token) :
				    take_listed(command, &arguments, &token, &id);
	if (status)
		return status;
	parameters.name = arguments.name;
	parameters.token = &token;
	parameters.member_id = (uint32_t)id;
	parameters.members = &arguments.members;
	parameters.claim.mode = cpu_to_le32(arguments.claim_mode);
	if (create(&arguments, &parameters, &error))
		return qbdadm_failed_for(arguments.name, "", &error);
	if (!arguments.listen)
		warn_about_members(&arguments.members);
	/* With --up, what comes up is the one object that is printed. */
	if (arguments.json && !arguments.up)
		print_created_json(&arguments, &parameters);
	else if (!arguments.json)
		print_created(&arguments, &parameters);
	if (arguments.up)
		return qbdadm_bring_up(arguments.name, arguments.disk, false, arguments.json);
	return qbdadm_flush(QBDADM_OK);
}

const struct qbdadm_command qbdadm_create = {
	.name = "create",
	.synopsis = "NAME --disk PATH --listen ADDRESS[:PORT] [OPTION]...\n"
"       qbdadm create NAME --token-file FILE --id N --disk PATH --member LIST... [OPTION]...",
	.summary = "Make a disk a member of a new device",
	.details =
"With --listen: the first member of a device, which draws its token, comes up, and is\n"
"all there is until others join ('qbdadm join').\n"
"\n"
"With --member: all members at once. Each runs the same command with its own --id and\n"
"--disk. The list of members, the token and the size have to be the same everywhere.\n"
"\n"
"  --listen ADDRESS    where this member listens, port 7900 by default\n"
"  --name HOST         what status calls it; by default this host's name\n"
"  --no-up             do not bring it up\n"
"\n"
"  --token-file FILE   made by 'qbdadm token new'; '-' is standard input\n"
"  --id N              which of the members this host is\n"
"  --disk PATH         block device that becomes the member; all of it is used\n"
"  --member LIST       ID=[HOST@]ADDRESS[:PORT], repeated or with commas between,\n"
"                      for example 1=alpha@192.0.2.1 or 2=beta@[2001:db8::2]:7900;\n"
"                      HOST is what status calls the member, port 7900 by default\n"
"  --witness ID        which of the members votes and logs, and keeps no data: its disk\n"
"                      need only hold the log; repeated, the same on every member\n"
"  --size SIZE         of the device, for example 10G; rounded down to 4 KiB;\n"
"                      by default all that fits, rounded down to 1 MiB\n"
"  --max-size SIZE     what the device can grow to later, with larger disks; by default\n"
"                      16 times its size; takes 16 MiB of the disk for each TiB with\n"
"                      extents of 1M\n"
"  --log-size SIZE     of the log, rounded down to 1 MiB, 8M to less than 512G;\n"
"                      by default 1/64 of --size, or of the disk, 16M to 256M;\n"
"                      the same on every member\n"
"  --extent-size SIZE  a power of two from 64K to 64M, 1M by default\n"
"  --claim exclusive|shared\n"
"                      who may write: one host at a time, which claims the device by\n"
"                      opening it (default), or every host, for cluster file systems;\n"
"                      'qbdadm claim mode' changes it later\n"
"  --force             destroy what is on the disk; never one that is in use\n"
"  --up                bring it up at once\n"
"  --json              print JSON\n"
"\n"
"Nothing is written unless everything can be done.\n",
	.run = run_create,
};
