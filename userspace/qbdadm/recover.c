// SPDX-License-Identifier: GPL-2.0
/*
 * qbdadm recover: a majority is lost for good, and one disk goes on alone.
 *
 * lib/history.h has what is decided and written.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "lib/history.h"
#include "qbdadm/qbdadm.h"

enum {
	OPTION_DISK = QBDADM_OPTION_LONG,
	OPTION_FORCE,
	OPTION_CONFIRM,
};

struct recover_arguments {
	const char *name;
	const char *path;
	const char *confirm;
	bool force;
	bool json;
};

/* ---- asking ------------------------------------------------------------- */

static const char *list_others(const struct qbd_new_history *history, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < le32_to_cpu(history->members.count) && used < size; i++) {
		const struct qbd_member_layout *member = &history->members.members[i];

		if (le32_to_cpu(member->id) != history->inspection.geometry.member_id)
			used += (size_t)snprintf(text + used, size - used, "%s%.31s (%u)",
						 used ? ", " : "", member->name,
						 le32_to_cpu(member->id));
	}
	return text;
}

static void print_losses(const struct recover_arguments *arguments,
			 const struct qbd_new_history *history)
{
	char others[640];

	fprintf(stderr,
		"%s: THIS DISK SHALL GO ON ALONE, WITHOUT THE MAJORITY OF THE MEMBERS.\n"
		"  Its last entry is %" PRIu64 ", of term %" PRIu64 "; it knows of %" PRIu64 " that they are committed.\n"
		"  What the others acknowledged and it does not have IS LOST, data that programs were\n"
		"  told is safe included. A disk with a last entry of a higher term, or of this term and a\n"
		"  higher index ('qbdadm dump'), is the better one.\n"
		"  The others, %s,\n"
		"  are members no more, and are refused, even if they come back. If a majority of\n"
		"  them is up anywhere they go on without this one: do this only if they never will.\n",
		arguments->name, history->log.last_index, history->log.last_term,
		history->log.commit_index,
		list_others(history, others, sizeof(others)));
}

static int confirm(const struct recover_arguments *arguments, struct qbd_error *error)
{
	char line[QBD_NAME_SIZE + 2] = "";

	if (arguments->confirm && !strcmp(arguments->confirm, arguments->name))
		return 0;
	if (!arguments->confirm && isatty(STDIN_FILENO)) {
		fputs("Type the device's name to go on: ", stderr);
		if (fgets(line, sizeof(line), stdin)) {
			line[strcspn(line, "\n")] = '\0';
			if (!strcmp(line, arguments->name))
				return 0;
		}
	}
	return qbd_fail(error, ECANCELED, "%s: nothing was changed; say that you mean it with --confirm %s",
			arguments->name, arguments->name);
}

/* ---- the command -------------------------------------------------------- */

static int print_recovered(const struct recover_arguments *arguments,
			   const struct qbd_new_history *history)
{
	char uuid[37];

	uuid_unparse_lower(history->state.history, uuid);
	if (arguments->json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "name", arguments->name);
		qbdadm_json_string(object, "disk", arguments->path);
		qbdadm_json_number(object, "member_id", history->inspection.geometry.member_id);
		qbdadm_json_string(object, "history", uuid);
		qbdadm_json_number(object, "last_index", history->log.last_index);
		qbdadm_json_number(object, "commit_index", history->log.commit_index);
		qbdadm_print_json(object);
	} else {
		printf("%s: %s is its only voter now, history %s\n"
		       "Next:\n"
		       "  qbdadm up %s --disk %s\n"
		       "and look at the data. Then let other hosts join ('qbdadm member add %s').\n",
		       arguments->name, arguments->path, uuid, arguments->name,
		       arguments->path, arguments->name);
	}
	return qbdadm_flush(QBDADM_OK);
}

static int recover(struct qbd_disk *disk, const struct recover_arguments *arguments,
		   struct qbd_new_history *history, struct qbd_error *error)
{
	int result = qbd_new_history_plan(disk, arguments->name, history, error);

	if (result)
		return result;
	print_losses(arguments, history);
	result = confirm(arguments, error);
	return result ? result : qbd_new_history_write(disk, history, error);
}

static int run_recover(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "disk", required_argument, NULL, OPTION_DISK },
		{ "force-new-history", no_argument, NULL, OPTION_FORCE },
		{ "confirm", required_argument, NULL, OPTION_CONFIRM },
		{ }
	};
	struct recover_arguments arguments = { 0 };
	struct qbd_new_history *history;
	struct qbd_error error;
	struct qbd_disk disk;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (option == OPTION_DISK)
			arguments.path = optarg;
		if (option == OPTION_CONFIRM)
			arguments.confirm = optarg;
		arguments.force |= option == OPTION_FORCE;
		arguments.json |= option == QBDADM_OPTION_JSON;
	}
	if (optind + 1 != argc)
		return qbdadm_usage(command, "recover: needs one NAME");
	arguments.name = argv[optind];
	if (!qbdadm_name_good(command, arguments.name, &status))
		return status;
	if (!arguments.path || !arguments.force)
		return qbdadm_usage(command, "recover: needs --disk PATH and --force-new-history; while a majority of the members can be brought up, do that instead");
	history = calloc(1, sizeof(*history));
	status = history ? qbd_disk_open(&disk, arguments.path,
					  QBD_DISK_WRITE | QBD_DISK_EXCLUSIVE, &error) :
			    qbd_fail(&error, ENOMEM, "%s: out of memory", arguments.path);
	if (!status) {
		status = recover(&disk, &arguments, history, &error);
		qbd_disk_close(&disk);
	}
	status = status ? qbdadm_failed(&error) : print_recovered(&arguments, history);
	free(history);
	return status;
}

const struct qbdadm_command qbdadm_recover = {
	.name = "recover",
	.synopsis = "NAME --disk PATH --force-new-history [--confirm NAME] [--json]",
	.summary = "A majority is lost for good: have one disk go on alone",
	.details =
"The last resort. The disk, of a member that is down, becomes the only voter of the\n"
"device. What the other members acknowledged and this disk does not have is lost, and\n"
"they are refused from then on, even if they come back: they have to join again, with\n"
"disks made anew. Choose the disk whose last entry has the highest term ('qbdadm dump':\n"
"last_term), and among those the one with the highest index (last_index): one that has\n"
"more entries of an older term may lack what was acknowledged.\n"
"\n"
"Refused for a disk that is new, failed, damaged, or was being filled.\n"
"\n"
"  --disk PATH           the member's disk\n"
"  --force-new-history   it shall be so, whatever is lost\n"
"  --confirm NAME        the device's name, where nobody can be asked for it\n"
"  --json                print JSON\n",
	.run = run_recover,
};
