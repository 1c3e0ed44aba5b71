// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "lib/inspect.h"
#include "lib/plan.h"
#include "lib/parse.h"
#include "lib/token.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/up.h"

struct create_arguments {
	const char *name;
	const char *token_file;
	const char *disk;
	const char *id_text;
	struct qbd_membership_layout members;
	struct qbd_plan_wish wish;
	bool force;
	bool up;
	bool json;
};

enum {
	OPTION_TOKEN_FILE = QBDADM_OPTION_LONG,
	OPTION_ID,
	OPTION_DISK,
	OPTION_MEMBER,
	OPTION_SIZE,
	OPTION_LOG_SIZE,
	OPTION_EXTENT_SIZE,
	OPTION_FORCE,
	OPTION_UP,
};

static const struct option create_options[] = {
	{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
	{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
	{ "token-file", required_argument, NULL, OPTION_TOKEN_FILE },
	{ "id", required_argument, NULL, OPTION_ID },
	{ "disk", required_argument, NULL, OPTION_DISK },
	{ "member", required_argument, NULL, OPTION_MEMBER },
	{ "size", required_argument, NULL, OPTION_SIZE },
	{ "log-size", required_argument, NULL, OPTION_LOG_SIZE },
	{ "extent-size", required_argument, NULL, OPTION_EXTENT_SIZE },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "up", no_argument, NULL, OPTION_UP },
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
	case OPTION_LOG_SIZE:
		return take_size("--log-size", "at least 8M", &arguments->wish.log_bytes,
				 error);
	case OPTION_EXTENT_SIZE:
		return take_size("--extent-size", "a power of two from 64K to 64M",
				 &arguments->wish.extent_bytes, error);
	case OPTION_FORCE:
		arguments->force = true;
		return 0;
	default:
		arguments->up = true;
		return 0;
	}
}

/* Return: 0, or -1 with an exit status. */
static int parse_arguments(const struct qbdadm_command *command, int argc, char **argv,
			   struct create_arguments *arguments, int *status)
{
	const char *missing = NULL;
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
	if (optind >= argc)
		missing = "the device's NAME";
	else if (!arguments->token_file)
		missing = "--token-file FILE (made by 'qbdadm token new')";
	else if (!arguments->id_text)
		missing = "--id N (which member this host is)";
	else if (!arguments->disk)
		missing = "--disk PATH";
	else if (!le32_to_cpu(arguments->members.count))
		missing = "--member ID=NAME@ADDRESS, once for each member";
	if (missing) {
		*status = qbdadm_usage(command, "create: needs %s", missing);
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

static int refuse_content(struct qbd_disk *disk, struct qbd_error *error)
{
	struct qbd_inspection *inspection = malloc(sizeof(*inspection));
	char content[128], uuid[37];
	int result;

	if (!inspection)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	result = qbd_inspect(disk, inspection, error);
	if (!result && inspection->superblock) {
		const struct qbd_superblock *superblock = inspection->superblock;

		uuid_unparse_lower(superblock->header.uuid, uuid);
		result = qbd_fail(error, EEXIST,
				  "%s: carries member %u of qbd device %s (%s); 'qbdadm destroy --disk %s' or --force gives it up",
				  disk->path, le32_to_cpu(superblock->member_id),
				  superblock->name, uuid, disk->path);
	} else if (!result && qbd_inspection_is_ours(inspection)) {
		result = qbd_fail(error, EEXIST,
				  "%s: carries a qbd superblock that is not good ('qbdadm dump %s' shows it); --force gives it up",
				  disk->path, disk->path);
	}
	free(inspection);
	if (result)
		return result;
	result = qbd_disk_content(disk, content, sizeof(content), error);
	if (!result && content[0])
		result = qbd_fail(error, EEXIST,
				  "%s: carries %s %s; choose another disk, or --force to destroy what is on it",
				  disk->path, strchr("aeiou", content[0]) ? "an" : "a", content);
	return result;
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

static void print_created(const struct create_arguments *arguments,
			  const struct qbd_format_parameters *parameters)
{
	const struct qbd_plan *plan = &parameters->plan;
	const struct qbd_member_layout *self =
		qbd_member_by_id(parameters->members, parameters->member_id);
	char configuration[QBD_CONFIGURATION_TEXT_SIZE], address[QBD_ADDRESS_TEXT_SIZE];
	char size[QBD_SIZE_TEXT_SIZE], log[QBD_SIZE_TEXT_SIZE];
	uint32_t count = le32_to_cpu(parameters->members->count);

	printf("%s: member %u (%s) of %u is on %s\n", parameters->name, parameters->member_id,
	       self->name, count, arguments->disk);
	printf("  device         %s (--size %" PRIu64 "K on every member)\n",
	       qbd_size_text(plan->device_blocks << QBD_BLOCK_SHIFT, size),
	       plan->device_blocks << 2);
	printf("  log            %s\n",
	       qbd_size_text(plan->log_blocks << QBD_BLOCK_SHIFT, log));
	printf("  listens at     %s\n", qbd_address_text(&self->address, address));
	printf("  configuration  %s (has to read the same on every member)\n",
	       qbd_configuration_text(qbd_configuration_of(parameters), configuration));
	if (arguments->up)
		return;
	if (count > 1)
		printf("Next: the same on the other members, each with its own --id and --disk; then on each:\n");
	else
		printf("Next:\n");
	printf("  qbdadm up %s --disk %s\n", parameters->name, arguments->disk);
}

static void print_created_json(const struct create_arguments *arguments,
			       const struct qbd_format_parameters *parameters)
{
	const struct qbd_plan *plan = &parameters->plan;
	struct json_object *object = json_object_new_object();
	const struct qbd_member_layout *self =
		qbd_member_by_id(parameters->members, parameters->member_id);
	char configuration[QBD_CONFIGURATION_TEXT_SIZE], address[QBD_ADDRESS_TEXT_SIZE];
	char uuid[37];

	uuid_unparse_lower(parameters->token->uuid, uuid);
	qbdadm_json_string(object, "name", parameters->name);
	qbdadm_json_string(object, "uuid", uuid);
	qbdadm_json_number(object, "member_id", parameters->member_id);
	qbdadm_json_string(object, "member_name", self->name);
	qbdadm_json_string(object, "address", qbd_address_text(&self->address, address));
	qbdadm_json_number(object, "members", le32_to_cpu(parameters->members->count));
	qbdadm_json_string(object, "disk", arguments->disk);
	qbdadm_json_number(object, "device_bytes", plan->device_blocks << QBD_BLOCK_SHIFT);
	qbdadm_json_number(object, "log_bytes", plan->log_blocks << QBD_BLOCK_SHIFT);
	qbdadm_json_number(object, "extent_bytes", 1ULL << plan->extent_shift);
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
		result = refuse_content(&disk, error);
	if (!result)
		result = qbd_format(&disk, parameters, error);
	qbd_disk_close(&disk);
	return result;
}

static int run_create(const struct qbdadm_command *command, int argc, char **argv)
{
	struct create_arguments arguments = { 0 };
	struct qbd_format_parameters parameters = { 0 };
	struct qbd_token token;
	struct qbd_error error;
	uint64_t id;
	int status;

	if (parse_arguments(command, argc, argv, &arguments, &status))
		return status;
	if (!qbdadm_name_good(command, arguments.name, &status))
		return status;
	if (qbd_parse_number("--id", arguments.id_text, 1, UINT32_MAX - 1, &id, &error))
		return qbdadm_usage(command, "%s", error.text);
	if (!qbd_member_by_id(&arguments.members, (uint32_t)id))
		return qbdadm_usage(command, "create: --id %" PRIu64 " is none of the members given; name this host with --member too",
				    id);
	if (qbd_token_read(arguments.token_file, &token, &error))
		return qbdadm_failed(&error);
	parameters.name = arguments.name;
	parameters.token = &token;
	parameters.member_id = (uint32_t)id;
	parameters.members = &arguments.members;
	if (create(&arguments, &parameters, &error))
		return qbdadm_failed_for(arguments.name, "", &error);
	warn_about_members(&arguments.members);
	/* With --up, what comes up is the one object that is printed. */
	if (arguments.json && !arguments.up)
		print_created_json(&arguments, &parameters);
	else if (!arguments.json)
		print_created(&arguments, &parameters);
	if (arguments.up)
		return qbdadm_bring_up(arguments.name, arguments.disk, arguments.json);
	return qbdadm_flush(QBDADM_OK);
}

const struct qbdadm_command qbdadm_create = {
	.name = "create",
	.synopsis = "NAME --token-file FILE --id N --disk PATH --member ID=[HOST@]ADDRESS[:PORT]...",
	.summary = "Make a disk a member of a new device",
	.details =
"Every member runs the same command, each with its own --id and --disk. The list\n"
"of members, the token and the size have to be the same everywhere.\n"
"\n"
"  --token-file FILE   made by 'qbdadm token new'; '-' is standard input\n"
"  --id N              which of the members this host is\n"
"  --disk PATH         block device that becomes the member; all of it is used\n"
"  --member LIST       ID=[HOST@]ADDRESS[:PORT], repeated or with commas between,\n"
"                      for example 1=alpha@192.0.2.1 or 2=beta@[2001:db8::2]:7900;\n"
"                      HOST is what status calls the member, port 7900 by default\n"
"  --size SIZE         of the device, for example 10G; rounded down to 4 KiB;\n"
"                      by default all that fits, rounded down to 1 MiB\n"
"  --log-size SIZE     of the log, rounded down to 1 MiB, 8M to less than 512G;\n"
"                      by default 1/64 of --size, or of the disk, 16M to 256M;\n"
"                      the same on every member\n"
"  --extent-size SIZE  a power of two from 64K to 64M, 1M by default\n"
"  --force             destroy what is on the disk; never one that is in use\n"
"  --up                bring it up at once\n"
"  --json              print JSON\n"
"\n"
"Nothing is written unless everything can be done.\n",
	.run = run_create,
};
