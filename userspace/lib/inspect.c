// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/inspect.h"
#include "lib/parse.h"

const char *qbd_verdict_text(enum qbd_verdict verdict)
{
	static const char *const texts[] = {
		[QBD_VERDICT_GOOD]	 = "good",
		[QBD_VERDICT_EMPTY]	 = "empty",
		[QBD_VERDICT_FOREIGN]	 = "foreign",
		[QBD_VERDICT_NEWER]	 = "newer",
		[QBD_VERDICT_DAMAGED]	 = "damaged",
		[QBD_VERDICT_MISPLACED]	 = "misplaced",
		[QBD_VERDICT_INVALID]	 = "invalid",
		[QBD_VERDICT_UNREADABLE] = "unreadable",
	};

	return texts[verdict];
}

static bool is_zero(const void *block)
{
	static const uint8_t zero[QBD_BLOCK_SIZE];

	return !memcmp(block, zero, sizeof(zero));
}

#define SAY(reason, ...) snprintf(reason, 160, __VA_ARGS__)

/*
 * What is wrong with a block, in more words than recovery has. A newer version may
 * be checksummed differently, so that comes first.
 */
static enum qbd_verdict judge_header(const void *block, uint32_t magic, uint64_t position,
				     const uint8_t *uuid, char *reason)
{
	const struct qbd_block_header *header = block;
	uint32_t version = le32_to_cpu(header->version);

	reason[0] = '\0';
	if (is_zero(block)) {
		SAY(reason, "zeroes");
		return QBD_VERDICT_EMPTY;
	}
	if (le32_to_cpu(header->magic) != magic) {
		SAY(reason, "magic number is %08x, not %08x", le32_to_cpu(header->magic), magic);
		return QBD_VERDICT_FOREIGN;
	}
	if (version > QBD_FORMAT_VERSION) {
		SAY(reason, "format version %u, this program knows version %u", version,
		    QBD_FORMAT_VERSION);
		return QBD_VERDICT_NEWER;
	}
	if (le32_to_cpu(header->checksum) != qbd_block_checksum(block)) {
		SAY(reason, "checksum is %08x, should be %08x", le32_to_cpu(header->checksum),
		    qbd_block_checksum(block));
		return QBD_VERDICT_DAMAGED;
	}
	if (le64_to_cpu(header->position) != position) {
		SAY(reason, "belongs to block %" PRIu64 ", not %" PRIu64,
		    (uint64_t)le64_to_cpu(header->position), position);
		return QBD_VERDICT_MISPLACED;
	}
	if (uuid && memcmp(header->uuid, uuid, QBD_UUID_SIZE)) {
		SAY(reason, "belongs to another device");
		return QBD_VERDICT_MISPLACED;
	}
	return QBD_VERDICT_GOOD;
}

/* Good as a block: does recovery agree with what is in it, too? */
static enum qbd_verdict agree(enum qbd_block_verdict verdict, const char *why, char *reason)
{
	if (verdict == QBD_BLOCK_GOOD)
		return QBD_VERDICT_GOOD;
	SAY(reason, "%s", why);
	return verdict == QBD_BLOCK_NEWER ? QBD_VERDICT_NEWER : QBD_VERDICT_INVALID;
}

static enum qbd_verdict judge_superblock(const struct qbd_superblock *superblock,
					 uint64_t block, uint64_t disk_blocks, char *reason)
{
	uint64_t backing = le64_to_cpu(superblock->backing_blocks);
	enum qbd_block_verdict theirs;
	struct qbd_geometry geometry;
	enum qbd_verdict verdict;
	const char *why;

	verdict = judge_header(superblock, QBD_SUPERBLOCK_MAGIC, block, NULL, reason);
	if (verdict != QBD_VERDICT_GOOD)
		return verdict;
	if (le64_to_cpu(superblock->features_incompatible) & ~(uint64_t)QBD_FEATURES_KNOWN) {
		SAY(reason, "has features %#" PRIx64 " that this program does not know",
		    (uint64_t)le64_to_cpu(superblock->features_incompatible));
		return QBD_VERDICT_NEWER;
	}
	theirs = qbd_superblock_check(superblock, block, &geometry, &why);
	verdict = agree(theirs, why, reason);
	if (verdict != QBD_VERDICT_GOOD)
		return verdict;
	if (backing > disk_blocks) {
		SAY(reason, "was made for a disk of %" PRIu64 " blocks, this one has %" PRIu64,
		    backing, disk_blocks);
		return QBD_VERDICT_INVALID;
	}
	return QBD_VERDICT_GOOD;
}

static void read_copy(struct qbd_disk *disk, uint64_t block, void *buffer,
		      struct qbd_superblock_copy *copy)
{
	struct qbd_error error;

	memset(copy, 0, sizeof(*copy));
	copy->block = block;
	if (qbd_disk_read(disk, block, buffer, 1, &error)) {
		copy->verdict = QBD_VERDICT_UNREADABLE;
		SAY(copy->reason, "%.150s", error.text);
		return;
	}
	memcpy(&copy->superblock, buffer, sizeof(copy->superblock));
	copy->verdict = judge_superblock(&copy->superblock, block, disk->blocks, copy->reason);
}

/* The second block of a slot; it is not without the first, nor the first without it. */
static void judge_applied(struct qbd_state_slot *slot, const uint8_t *uuid,
			  uint64_t sequence)
{
	enum qbd_block_verdict theirs;
	const char *why;
	char reason[sizeof(slot->reason)] = "";

	slot->verdict = judge_header(&slot->applied, QBD_APPLIED_MAGIC, slot->block + 1, uuid,
				     reason);
	if (slot->verdict == QBD_VERDICT_GOOD) {
		theirs = qbd_applied_check(&slot->applied, slot->block + 1, uuid, sequence,
					   &why);
		slot->verdict = agree(theirs, why, reason);
	}
	if (slot->verdict != QBD_VERDICT_GOOD)
		SAY(slot->reason, "its second block: %.130s", reason);
}

static void read_slot(struct qbd_disk *disk, unsigned int number, const uint8_t *uuid,
		      void *buffer, struct qbd_state_slot *slot)
{
	enum qbd_block_verdict theirs;
	struct qbd_state state;
	struct qbd_error error;
	const char *why;

	memset(slot, 0, sizeof(*slot));
	slot->block = QBD_STATE_SLOT_BLOCK(number);
	if (qbd_disk_read(disk, slot->block, buffer, QBD_STATE_SLOT_BLOCKS, &error)) {
		slot->verdict = QBD_VERDICT_UNREADABLE;
		SAY(slot->reason, "%.150s", error.text);
		return;
	}
	memcpy(&slot->state, buffer, sizeof(slot->state));
	memcpy(&slot->applied, (const char *)buffer + QBD_BLOCK_SIZE, sizeof(slot->applied));
	slot->verdict = judge_header(&slot->state, QBD_STATE_MAGIC, slot->block, uuid,
				     slot->reason);
	if (slot->verdict != QBD_VERDICT_GOOD)
		return;
	theirs = qbd_state_check(&slot->state, slot->block, uuid, &state, &why);
	slot->verdict = agree(theirs, why, slot->reason);
	if (slot->verdict == QBD_VERDICT_GOOD)
		judge_applied(slot, uuid, state.sequence);
}

/* Which copy counts is recovery's decision, not ours. */
static void choose_superblock(struct qbd_inspection *inspection, uint64_t disk_blocks)
{
	struct qbd_superblock_choice choice;
	const void *copies[2];
	uint64_t places[2];

	for (unsigned int i = 0; i < 2; i++) {
		const struct qbd_superblock_copy *copy = &inspection->copies[i];

		places[i] = copy->block;
		copies[i] = copy->verdict == QBD_VERDICT_UNREADABLE ? NULL : &copy->superblock;
	}
	inspection->superblock_result =
		qbd_recovery_superblock(copies, places, disk_blocks, &choice,
					&inspection->reason);
	if (inspection->superblock_result)
		return;
	inspection->superblock = &inspection->copies[choice.good].superblock;
	inspection->geometry = choice.geometry;
}

static void choose_state(struct qbd_inspection *inspection, uint64_t disk_blocks)
{
	const void *slots[QBD_STATE_SLOTS] = { }, *applied[QBD_STATE_SLOTS] = { };
	unsigned int slot;

	for (unsigned int i = 0; i < QBD_STATE_SLOTS; i++) {
		if (inspection->slots[i].verdict == QBD_VERDICT_UNREADABLE)
			continue;
		slots[i] = &inspection->slots[i].state;
		applied[i] = &inspection->slots[i].applied;
	}
	inspection->state_result = qbd_recovery_state(slots, applied, inspection->geometry.uuid,
						      &inspection->current, &slot,
						      &inspection->reason);
	if (inspection->state_result)
		return;
	inspection->state = &inspection->slots[slot].state;
	inspection->state_result = qbd_recovery_size(&inspection->geometry,
						     &inspection->current, disk_blocks,
						     &inspection->reason);
}

int qbd_inspect(struct qbd_disk *disk, struct qbd_inspection *inspection,
		struct qbd_error *error)
{
	void *buffer;

	memset(inspection, 0, sizeof(*inspection));
	if (disk->blocks <= QBD_EXTENT_TABLE_BLOCK)
		return qbd_fail(error, EMEDIUMTYPE,
				"%s: is no qbd disk: it has %" PRIu64 " bytes, less than the metadata alone",
				disk->path, disk->bytes);
	buffer = qbd_disk_buffer(QBD_STATE_SLOT_BLOCKS);
	if (!buffer)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	read_copy(disk, 0, buffer, &inspection->copies[0]);
	read_copy(disk, QBD_SUPERBLOCK_COPY_BLOCK, buffer, &inspection->copies[1]);
	choose_superblock(inspection, disk->blocks);
	for (unsigned int number = 0; number < QBD_STATE_SLOTS; number++)
		read_slot(disk, number, inspection->superblock ?
			  inspection->geometry.uuid : NULL, buffer,
			  &inspection->slots[number]);
	if (inspection->superblock)
		choose_state(inspection, disk->blocks);
	free(buffer);
	return 0;
}

bool qbd_inspection_is_ours(const struct qbd_inspection *inspection)
{
	for (unsigned int i = 0; i < 2; i++)
		if (le32_to_cpu(inspection->copies[i].superblock.header.magic) ==
		    QBD_SUPERBLOCK_MAGIC)
			return true;
	return false;
}

/* Of two bad copies, the one that is rather ours says more. */
static const struct qbd_superblock_copy *
telling_copy(const struct qbd_inspection *inspection)
{
	const struct qbd_superblock_copy *copies = inspection->copies;

	if (copies[0].verdict == QBD_VERDICT_NEWER)
		return &copies[0];
	if (copies[1].verdict == QBD_VERDICT_NEWER)
		return &copies[1];
	if (le32_to_cpu(copies[0].superblock.header.magic) != QBD_SUPERBLOCK_MAGIC &&
	    le32_to_cpu(copies[1].superblock.header.magic) == QBD_SUPERBLOCK_MAGIC)
		return &copies[1];
	return &copies[0];
}

static int fail_superblock(const struct qbd_disk *disk,
			   const struct qbd_inspection *inspection, struct qbd_error *error)
{
	const struct qbd_superblock_copy *copy = telling_copy(inspection);
	const struct qbd_superblock_copy *copies = inspection->copies;

	if (inspection->superblock_result == -EPROTONOSUPPORT)
		return qbd_fail(error, EPROTONOSUPPORT,
				"%s: the superblock is newer than this program: %s; use a newer qbdadm and module",
				disk->path, copy->reason);
	for (unsigned int i = 0; i < 2; i++)
		if (copies[i].verdict == QBD_VERDICT_UNREADABLE)
			return qbd_fail(error, EIO,
					"%s; the disk or the way to it is broken: try again",
					copies[i].reason);
	if (inspection->superblock_result == -EMEDIUMTYPE)
		return qbd_fail(error, EMEDIUMTYPE,
				"%s: is no qbd disk; make it one with 'qbdadm create'", disk->path);
	if (copies[0].verdict == QBD_VERDICT_GOOD && copies[1].verdict == QBD_VERDICT_GOOD)
		return qbd_fail(error, EUCLEAN,
				"%s: the two superblock copies belong to different members: disks were mixed; look with 'qbdadm dump'",
				disk->path);
	return qbd_fail(error, EUCLEAN,
			"%s: no superblock copy is good (block %" PRIu64 ": %s: %s); look with 'qbdadm dump', or give this replica up and make it anew under another id",
			disk->path, copy->block, qbd_verdict_text(copy->verdict), copy->reason);
}

/* It may be the newer one, with a vote that is nowhere else. */
static int fail_unreadable_state(const struct qbd_state_slot *slot, struct qbd_error *error)
{
	return qbd_fail(error, EIO,
			"%s, and may hold the last vote: try again; if it stays so replace the disk and make the member anew under another id",
			slot->reason);
}

static const struct qbd_state_slot *unreadable_slot(const struct qbd_inspection *inspection)
{
	for (unsigned int i = 0; i < QBD_STATE_SLOTS; i++)
		if (inspection->slots[i].verdict == QBD_VERDICT_UNREADABLE)
			return &inspection->slots[i];
	return NULL;
}

static int fail_state(const struct qbd_disk *disk, const struct qbd_inspection *inspection,
		      struct qbd_error *error)
{
	const struct qbd_state_slot *slots = inspection->slots;

	if (inspection->state_result == -EPROTONOSUPPORT)
		return qbd_fail(error, EPROTONOSUPPORT,
				"%s: the state block is newer than this program; use a newer qbdadm and module",
				disk->path);
	if (inspection->state)
		return qbd_fail(error, EUCLEAN, "%s: %s; give this replica up and make it anew under another id",
				disk->path, inspection->reason);
	if (unreadable_slot(inspection))
		return fail_unreadable_state(unreadable_slot(inspection), error);
	return qbd_fail(error, EUCLEAN,
			"%s: both state blocks are bad (%s: %s; %s: %s): its vote is lost, give this replica up and make it anew under another id",
			disk->path, qbd_verdict_text(slots[0].verdict), slots[0].reason,
			qbd_verdict_text(slots[1].verdict), slots[1].reason);
}

int qbd_inspection_check(const struct qbd_disk *disk,
			 const struct qbd_inspection *inspection,
			 struct qbd_error *error)
{
	if (inspection->superblock_result)
		return fail_superblock(disk, inspection, error);
	if (inspection->state_result)
		return fail_state(disk, inspection, error);
	/* As the module judges: who has no others deceives nobody with an older block. */
	if (unreadable_slot(inspection) && le32_to_cpu(inspection->current.membership.count) != 1)
		return fail_unreadable_state(unreadable_slot(inspection), error);
	return 0;
}
