// SPDX-License-Identifier: GPL-2.0
/*
 * qbdadm recover: a majority is lost for good, and one disk goes on alone.
 *
 * What the others acknowledged and this disk does not have is lost. They may be up somewhere,
 * with a majority, and go on; so from here on there are two histories of the device, and
 * members of different ones refuse each other.
 *
 * All of it is one state slot: the list, which is newer than any in the log, the history,
 * and a claim that is not beyond the log. So power may go at any moment: the disk is what it
 * was, or what it shall be.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "lib/inspect.h"
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

/**
 * struct recovery - what is on the disk, and what shall be
 * @inspection: of the disk
 * @log: of the disk
 * @members: the newest list that is on it
 * @place: of the record in the log that brought it, UINT64_MAX: the state block did
 * @state: what shall be
 * @applied: likewise
 */
struct recovery {
	struct qbd_inspection inspection;
	struct qbd_log_summary log;
	struct qbd_membership_layout members;
	uint64_t place;
	struct qbd_state state;
	struct qbd_applied_layout applied;
};

/* ---- what there is ------------------------------------------------------ */

static void note_list(void *context, const struct qbd_record_header *header, uint64_t position)
{
	struct recovery *recovery = context;

	if (le16_to_cpu(header->shared.kind) == QBD_RECORD_MEMBERSHIP)
		recovery->place = position;
}

static void forget_lists(void *context)
{
	((struct recovery *)context)->place = UINT64_MAX;
}

/* A member's first list may be newer than those in its log. */
static int read_members(struct qbd_disk *disk, struct recovery *recovery,
			struct qbd_error *error)
{
	const struct qbd_geometry *geometry = &recovery->inspection.geometry;
	const struct qbd_state *state = &recovery->inspection.current;
	struct qbd_membership_layout *found;
	const char *reason;
	void *block;
	int result;

	recovery->members = recovery->log.from_applied ? state->applied_membership :
							 state->membership;
	if (recovery->place == UINT64_MAX)
		return 0;
	block = qbd_disk_buffer(1);
	if (!block)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	result = qbd_disk_read(disk, geometry->log_block +
			       (recovery->place + 1) % geometry->log_blocks, block, 1, error);
	found = block;
	if (!result && !qbd_membership_good(found, &reason))
		result = qbd_fail(error, EUCLEAN, "%s: the list of members in its log: %s",
				  disk->path, reason);
	if (!result && le64_to_cpu(found->index) > le64_to_cpu(recovery->members.index))
		recovery->members = *found;
	free(block);
	return result;
}

static int refuse(const struct qbd_disk *disk, const char *why, struct qbd_error *error)
{
	return qbd_fail(error, EINVAL, "%s: %s; use the disk of another member, or restore a backup",
			disk->path, why);
}

static int check_whole(const struct qbd_disk *disk, const struct recovery *recovery,
		       struct qbd_error *error)
{
	uint32_t flags = recovery->inspection.current.flags;

	if (flags & QBD_STATE_FAILED)
		return refuse(disk, "failed before, and nothing on it is vouched for", error);
	if (flags & QBD_STATE_FILLING)
		return refuse(disk, "was being filled: its data is of no one moment", error);
	if (flags & QBD_STATE_NEW)
		return refuse(disk, "is new: it was never part of the device", error);
	if (recovery->log.damaged_through)
		return refuse(disk, "has lost records that it had acknowledged", error);
	return 0;
}

static int examine(struct qbd_disk *disk, const struct recover_arguments *arguments,
		   struct recovery *recovery, struct qbd_error *error)
{
	const struct qbd_log_visitor visitor = {
		.context = recovery,
		.record = note_list,
		.restart = forget_lists,
	};
	int result;

	recovery->place = UINT64_MAX;
	result = qbd_inspect(disk, &recovery->inspection, error);
	if (!result)
		result = qbd_inspection_check(disk, &recovery->inspection, error);
	if (!result && strcmp(recovery->inspection.superblock->name, arguments->name))
		result = qbd_fail(error, EINVAL, "%s: is a member of %s, not of %s", disk->path,
				  recovery->inspection.superblock->name, arguments->name);
	if (!result)
		result = qbd_log_walk(disk, &recovery->inspection, &visitor, &recovery->log, error);
	if (!result)
		result = check_whole(disk, recovery, error);
	return result ? result : read_members(disk, recovery, error);
}

/* ---- what shall be ------------------------------------------------------ */

static bool votes(const struct qbd_member_layout *member)
{
	return le16_to_cpu(member->flags) & (QBD_MEMBER_VOTER | QBD_MEMBER_VOTER_OLD);
}

static unsigned int newer_slot(const struct recovery *recovery)
{
	return recovery->inspection.state == &recovery->inspection.slots[1].state;
}

/*
 * Which writes are applied stays, and who had the device claimed, unless the log does not
 * get so far: the disk has the newest claim that was committed, be it by the others alone.
 *
 *	log up to 90, claim of 95. What came next in the log was 91, and who leads waits until
 *	the last claim is committed: nobody could write, nor claim the device, any more.
 *
 * Then it is nobody's from the end of the log on: what is in there was checked against the
 * claims of its time. The mode is a setting, and stays.
 */
static void plan_applied(struct recovery *recovery)
{
	struct qbd_claim_layout *claim = &recovery->applied.claim;

	recovery->applied = recovery->inspection.slots[newer_slot(recovery)].applied.applied;
	if (le64_to_cpu(claim->epoch) <= recovery->log.last_index)
		return;
	*claim = (struct qbd_claim_layout){
		.epoch = cpu_to_le64(recovery->log.last_index),
		.mode = claim->mode,
	};
}

/* The list of this member alone, newer than any that is in the log. */
static int plan(const struct qbd_disk *disk, struct recovery *recovery,
		struct qbd_error *error)
{
	const struct qbd_geometry *geometry = &recovery->inspection.geometry;
	const struct qbd_membership_layout *now = &recovery->members;
	struct qbd_membership_layout list = {
		.index = cpu_to_le64(recovery->log.last_index + 1),
		.count = cpu_to_le32(1),
		.next_member_id = now->next_member_id,
	};
	unsigned int others = 0;

	for (uint32_t i = 0; i < le32_to_cpu(now->count); i++) {
		if (le32_to_cpu(now->members[i].id) == geometry->member_id)
			list.members[0] = now->members[i];
		else
			others += votes(&now->members[i]);
	}
	if (!list.members[0].id)
		return refuse(disk, "was removed from the device", error);
	if (geometry->no_data)
		return refuse(disk, geometry->client ?
			      "is the disk of a client, which keeps no data" :
			      "is the disk of a witness, which keeps no data", error);
	if (!others)
		return qbd_fail(error, EINVAL, "%s: is the only voter of %s already: bring it up, it needs no others",
				disk->path, geometry->name);
	list.members[0].flags = cpu_to_le16(QBD_MEMBER_VOTER);
	memcpy(list.members[0].incarnation, geometry->incarnation, QBD_UUID_SIZE);
	recovery->state = recovery->inspection.current;
	recovery->state.membership = list;
	recovery->state.applied_membership = list;
	/* Entries of this history that get the indexes of lost ones are not committed by that. */
	if (recovery->state.commit_index > recovery->log.last_index)
		recovery->state.commit_index = recovery->log.last_index;
	uuid_generate_random(recovery->state.history);
	plan_applied(recovery);
	return 0;
}

static int write_slot(struct qbd_disk *disk, struct recovery *recovery, unsigned int slot,
		      void *buffer, struct qbd_error *error)
{
	const uint8_t *uuid = recovery->inspection.geometry.uuid;
	uint64_t position = QBD_STATE_SLOT_BLOCK(slot);
	uint8_t *applied = (uint8_t *)buffer + QBD_BLOCK_SIZE;
	struct qbd_state found;
	const char *reason;
	int result;

	recovery->state.sequence++;
	qbd_state_encode(&recovery->state, uuid, position, buffer);
	qbd_applied_encode(&recovery->applied, recovery->state.sequence, uuid, position + 1,
			   applied);
	result = qbd_disk_write(disk, position, buffer, QBD_STATE_SLOT_BLOCKS, error);
	if (!result)
		result = qbd_disk_flush(disk, error);
	if (!result)
		result = qbd_disk_read(disk, position, buffer, QBD_STATE_SLOT_BLOCKS, error);
	if (!result && (qbd_state_check(buffer, position, uuid, &found, &reason) !=
			QBD_BLOCK_GOOD || found.sequence != recovery->state.sequence ||
			qbd_applied_check(applied, position + 1, uuid, found.sequence,
					  &reason) != QBD_BLOCK_GOOD))
		result = qbd_fail(error, EIO,
				  "%s: does not hold what was written near block %" PRIu64 "; this disk is broken, use another",
				  disk->path, position);
	return result;
}

/* First over the older one. Then the newer one, too, or the history would hang by one block. */
static int write_state(struct qbd_disk *disk, struct recovery *recovery,
		       struct qbd_error *error)
{
	unsigned int current = newer_slot(recovery);
	void *buffer = qbd_disk_buffer(QBD_STATE_SLOT_BLOCKS);
	int result;

	if (!buffer)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	result = write_slot(disk, recovery, !current, buffer, error);
	if (!result)
		result = write_slot(disk, recovery, current, buffer, error);
	free(buffer);
	return result;
}

/* ---- asking ------------------------------------------------------------- */

static const char *list_others(const struct recovery *recovery, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < le32_to_cpu(recovery->members.count) && used < size; i++) {
		const struct qbd_member_layout *member = &recovery->members.members[i];

		if (le32_to_cpu(member->id) != recovery->inspection.geometry.member_id)
			used += (size_t)snprintf(text + used, size - used, "%s%.31s (%u)",
						 used ? ", " : "", member->name,
						 le32_to_cpu(member->id));
	}
	return text;
}

static void print_losses(const struct recover_arguments *arguments,
			 const struct recovery *recovery)
{
	char others[640];

	fprintf(stderr,
		"%s: THIS DISK SHALL GO ON ALONE, WITHOUT THE MAJORITY OF THE MEMBERS.\n"
		"  It has %" PRIu64 " entries, and knows of %" PRIu64 " that they are committed. What the others\n"
		"  acknowledged beyond that IS LOST, data that programs were told is safe included.\n"
		"  The others, %s,\n"
		"  are members no more, and are refused, even if they come back. If a majority of\n"
		"  them is up anywhere they go on without this one: do this only if they never will.\n",
		arguments->name, recovery->log.last_index, recovery->log.commit_index,
		list_others(recovery, others, sizeof(others)));
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
			   const struct recovery *recovery)
{
	char history[37];

	uuid_unparse_lower(recovery->state.history, history);
	if (arguments->json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "name", arguments->name);
		qbdadm_json_string(object, "disk", arguments->path);
		qbdadm_json_number(object, "member_id", recovery->inspection.geometry.member_id);
		qbdadm_json_string(object, "history", history);
		qbdadm_json_number(object, "last_index", recovery->log.last_index);
		qbdadm_json_number(object, "commit_index", recovery->log.commit_index);
		qbdadm_print_json(object);
	} else {
		printf("%s: %s is its only voter now, history %s\n"
		       "Next:\n"
		       "  qbdadm up %s --disk %s\n"
		       "and look at the data. Then let other hosts join ('qbdadm member add %s').\n",
		       arguments->name, arguments->path, history, arguments->name,
		       arguments->path, arguments->name);
	}
	return qbdadm_flush(QBDADM_OK);
}

static int recover(struct qbd_disk *disk, const struct recover_arguments *arguments,
		   struct recovery *recovery, struct qbd_error *error)
{
	int result = examine(disk, arguments, recovery, error);

	if (!result)
		result = plan(disk, recovery, error);
	if (result)
		return result;
	print_losses(arguments, recovery);
	result = confirm(arguments, error);
	return result ? result : write_state(disk, recovery, error);
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
	struct recovery *recovery;
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
	recovery = calloc(1, sizeof(*recovery));
	status = recovery ? qbd_disk_open(&disk, arguments.path,
					  QBD_DISK_WRITE | QBD_DISK_EXCLUSIVE, &error) :
			    qbd_fail(&error, ENOMEM, "%s: out of memory", arguments.path);
	if (!status) {
		status = recover(&disk, &arguments, recovery, &error);
		qbd_disk_close(&disk);
	}
	status = status ? qbdadm_failed(&error) : print_recovered(&arguments, recovery);
	free(recovery);
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
"disks made anew. Choose the disk that has the most entries ('qbdadm dump').\n"
"\n"
"Refused for a disk that is new, failed, damaged, or was being filled.\n"
"\n"
"  --disk PATH           the member's disk\n"
"  --force-new-history   it shall be so, whatever is lost\n"
"  --confirm NAME        the device's name, where nobody can be asked for it\n"
"  --json                print JSON\n",
	.run = run_recover,
};
