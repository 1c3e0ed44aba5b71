// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/inspect.h"
#include "lib/plan.h"
#include "qbdadm/qbdadm.h"

enum {
	OPTION_DISK = QBDADM_OPTION_LONG,
	OPTION_FORCE,
	OPTION_YES,
};

/* Whose disk it is, for the question; or why it is not destroyed. */
static int describe(struct qbd_disk *disk, const struct qbd_inspection *inspection,
		    bool force, char *text, size_t size, struct qbd_error *error)
{
	const struct qbd_superblock *superblock = inspection->superblock;

	if (superblock) {
		snprintf(text, size, "member %u of qbd device %s",
			 le32_to_cpu(superblock->member_id), superblock->name);
		return 0;
	}
	if (!qbd_inspection_is_ours(inspection))
		return qbd_inspection_check(disk, inspection, error);
	if (!force)
		return qbd_fail(error, EUCLEAN,
				"%s: carries a qbd superblock that is not good (%s: %s); --force destroys it all the same",
				disk->path, qbd_verdict_text(inspection->copies[0].verdict),
				inspection->copies[0].reason);
	snprintf(text, size, "a damaged or newer qbd member");
	return 0;
}

static int destroy(struct qbd_disk *disk, struct qbd_inspection *inspection, bool force,
		   bool yes, char *what, size_t size, struct qbd_error *error)
{
	char question[256];
	int result;

	result = qbd_inspect(disk, inspection, error);
	if (!result)
		result = describe(disk, inspection, force, what, size, error);
	if (result)
		return result;
	snprintf(question, sizeof(question), "%s: is %s. Destroy this replica?", disk->path,
		 what);
	if (!yes && !qbdadm_confirm(question))
		return qbd_fail(error, ECANCELED,
				"%s: not destroyed; answer 'yes' or give --yes", disk->path);
	return qbd_unformat(disk, error);
}

static int print_destroyed(const char *disk, const char *what, bool json)
{
	if (json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "disk", disk);
		qbdadm_json_string(object, "was", what);
		qbdadm_print_json(object);
	} else {
		printf("%s: was %s, is none any more\n", disk, what);
	}
	return qbdadm_flush(QBDADM_OK);
}

static int run_destroy(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "disk", required_argument, NULL, OPTION_DISK },
		{ "force", no_argument, NULL, OPTION_FORCE },
		{ "yes", no_argument, NULL, OPTION_YES },
		{ }
	};
	bool force = false, yes = false, json = false;
	struct qbd_inspection *inspection;
	const char *path = NULL;
	struct qbd_error error;
	struct qbd_disk disk;
	int status, option;
	char what[128];

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (option == OPTION_DISK)
			path = optarg;
		force |= option == OPTION_FORCE;
		yes |= option == OPTION_YES;
		json |= option == QBDADM_OPTION_JSON;
	}
	if (optind < argc)
		return qbdadm_usage(command, "destroy: takes no operand; name the disk with --disk %s",
				    argv[optind]);
	if (!path)
		return qbdadm_usage(command, "destroy: needs --disk PATH");
	inspection = malloc(sizeof(*inspection));
	if (!inspection)
		status = qbd_fail(&error, ENOMEM, "%s: out of memory", path);
	else
		status = qbd_disk_open(&disk, path, QBD_DISK_WRITE | QBD_DISK_EXCLUSIVE, &error);
	if (!status) {
		status = destroy(&disk, inspection, force, yes, what, sizeof(what), &error);
		qbd_disk_close(&disk);
	}
	free(inspection);
	if (status)
		return qbdadm_failed(&error);
	return print_destroyed(path, what, json);
}

const struct qbdadm_command qbdadm_destroy = {
	.name = "destroy",
	.synopsis = "--disk PATH [--force] [--yes] [--json]",
	.summary = "Wipe a member off its disk: this replica is lost",
	.details =
"Wipes superblocks, votes and log place. The other members are not told: remove a\n"
"member for good only when the others do without it. A disk in use is refused.\n"
"\n"
"  --disk PATH   the member's disk\n"
"  --force       even if its superblock is damaged or newer\n"
"  --yes         do not ask\n"
"  --json        print JSON\n",
	.run = run_destroy,
};
