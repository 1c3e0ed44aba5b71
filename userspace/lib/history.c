// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "lib/history.h"

/* ---- what there is ------------------------------------------------------ */

static void note_list(void *context, const struct qbd_record_header *header, uint64_t position)
{
	struct qbd_new_history *history = context;

	if (le16_to_cpu(header->shared.kind) == QBD_RECORD_MEMBERSHIP)
		history->place = position;
}

static void forget_lists(void *context)
{
	((struct qbd_new_history *)context)->place = UINT64_MAX;
}

/* A member's first list may be newer than those in its log. */
static int read_members(struct qbd_disk *disk, struct qbd_new_history *history,
			struct qbd_error *error)
{
	const struct qbd_geometry *geometry = &history->inspection.geometry;
	const struct qbd_state *state = &history->inspection.current;
	struct qbd_membership_layout *found;
	const char *reason;
	void *block;
	int result;

	history->members = history->log.from_applied ? state->applied_membership :
						       state->membership;
	if (history->place == UINT64_MAX)
		return 0;
	block = qbd_disk_buffer(1);
	if (!block)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	result = qbd_disk_read(disk, geometry->log_block +
			       (history->place + 1) % geometry->log_blocks, block, 1, error);
	found = block;
	if (!result && !qbd_membership_good(found, &reason))
		result = qbd_fail(error, EUCLEAN, "%s: the list of members in its log: %s",
				  disk->path, reason);
	if (!result && le64_to_cpu(found->index) > le64_to_cpu(history->members.index))
		history->members = *found;
	free(block);
	return result;
}

static int refuse(const struct qbd_disk *disk, const char *why, struct qbd_error *error)
{
	return qbd_fail(error, EINVAL, "%s: %s; use the disk of another member, or restore a backup",
			disk->path, why);
}

static int check_whole(const struct qbd_disk *disk, const struct qbd_new_history *history,
		       struct qbd_error *error)
{
	uint32_t flags = history->inspection.current.flags;

	if (flags & QBD_STATE_FAILED)
		return refuse(disk, "failed before, and nothing on it is vouched for", error);
	if (flags & QBD_STATE_FILLING)
		return refuse(disk, "was being filled: its data is of no one moment", error);
	if (flags & QBD_STATE_NEW)
		return refuse(disk, "is new: it was never part of the device", error);
	if (history->log.damaged_through)
		return refuse(disk, "has lost records that it had acknowledged", error);
	return 0;
}

static int examine(struct qbd_disk *disk, const char *name, struct qbd_new_history *history,
		   struct qbd_error *error)
{
	const struct qbd_log_visitor visitor = {
		.context = history,
		.record = note_list,
		.restart = forget_lists,
	};
	int result;

	history->place = UINT64_MAX;
	result = qbd_inspect(disk, &history->inspection, error);
	if (!result)
		result = qbd_inspection_check(disk, &history->inspection, error);
	if (!result && strcmp(history->inspection.superblock->name, name))
		result = qbd_fail(error, EINVAL, "%s: is a member of %s, not of %s", disk->path,
				  history->inspection.superblock->name, name);
	if (!result)
		result = qbd_log_walk(disk, &history->inspection, &visitor, &history->log, error);
	if (!result)
		result = check_whole(disk, history, error);
	return result ? result : read_members(disk, history, error);
}

/* ---- what shall be ------------------------------------------------------ */

static bool votes(const struct qbd_member_layout *member)
{
	return le16_to_cpu(member->flags) & (QBD_MEMBER_VOTER | QBD_MEMBER_VOTER_OLD);
}

static unsigned int newer_slot(const struct qbd_new_history *history)
{
	return history->inspection.state == &history->inspection.slots[1].state;
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
static void plan_applied(struct qbd_new_history *history)
{
	struct qbd_claim_layout *claim = &history->applied.claim;

	history->applied = history->inspection.slots[newer_slot(history)].applied.applied;
	if (le64_to_cpu(claim->epoch) <= history->log.last_index)
		return;
	*claim = (struct qbd_claim_layout){
		.epoch = cpu_to_le64(history->log.last_index),
		.mode = claim->mode,
	};
}

/* The list of this member alone, newer than any that is in the log. */
static int plan_alone(const struct qbd_disk *disk, struct qbd_new_history *history,
		      struct qbd_error *error)
{
	const struct qbd_geometry *geometry = &history->inspection.geometry;
	const struct qbd_membership_layout *now = &history->members;
	struct qbd_membership_layout list = {
		.index = cpu_to_le64(history->log.last_index + 1),
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
	history->state = history->inspection.current;
	history->state.membership = list;
	history->state.applied_membership = list;
	/* Entries of this history that get the indexes of lost ones are not committed by that. */
	if (history->state.commit_index > history->log.last_index)
		history->state.commit_index = history->log.last_index;
	/* Nobody whom that could come from is of this history. */
	memset(&history->state.move, 0, sizeof(history->state.move));
	uuid_generate_random(history->state.history);
	plan_applied(history);
	return 0;
}

int qbd_new_history_plan(struct qbd_disk *disk, const char *name,
			 struct qbd_new_history *history, struct qbd_error *error)
{
	int result = examine(disk, name, history, error);

	return result ? result : plan_alone(disk, history, error);
}

/* ---- it is written ------------------------------------------------------ */

static int write_slot(struct qbd_disk *disk, struct qbd_new_history *history, unsigned int slot,
		      void *buffer, struct qbd_error *error)
{
	const uint8_t *uuid = history->inspection.geometry.uuid;
	uint64_t position = QBD_STATE_SLOT_BLOCK(slot);
	uint8_t *applied = (uint8_t *)buffer + QBD_BLOCK_SIZE;
	struct qbd_state found;
	const char *reason;
	int result;

	history->state.sequence++;
	qbd_state_encode(&history->state, uuid, position, buffer);
	qbd_applied_encode(&history->applied, history->state.sequence, uuid, position + 1,
			   applied);
	result = qbd_disk_write(disk, position, buffer, QBD_STATE_SLOT_BLOCKS, error);
	if (!result)
		result = qbd_disk_flush(disk, error);
	if (!result)
		result = qbd_disk_read(disk, position, buffer, QBD_STATE_SLOT_BLOCKS, error);
	if (!result && (qbd_state_check(buffer, position, uuid, &found, &reason) !=
			QBD_BLOCK_GOOD || found.sequence != history->state.sequence ||
			qbd_applied_check(applied, position + 1, uuid, found.sequence,
					  &reason) != QBD_BLOCK_GOOD))
		result = qbd_fail(error, EIO,
				  "%s: does not hold what was written near block %" PRIu64 "; this disk is broken, use another",
				  disk->path, position);
	return result;
}

/* First over the older one. Then the newer one, too, or the history would hang by one block. */
int qbd_new_history_write(struct qbd_disk *disk, struct qbd_new_history *history,
			  struct qbd_error *error)
{
	unsigned int current = newer_slot(history);
	void *buffer = qbd_disk_buffer(QBD_STATE_SLOT_BLOCKS);
	int result;

	if (!buffer)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	result = write_slot(disk, history, !current, buffer, error);
	if (!result)
		result = write_slot(disk, history, current, buffer, error);
	free(buffer);
	return result;
}
