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

/* Magic, version, checksum, place; in this order: no field before it is ours. */
static enum qbd_verdict judge_header(const void *block, uint32_t magic, uint64_t position,
				     const uint8_t *uuid, char *reason)
{
	const struct qbd_block_header *header = block;
	uint32_t version = le32_to_cpu(header->version);

	if (is_zero(block)) {
		SAY(reason, "zeroes");
		return QBD_VERDICT_EMPTY;
	}
	if (le32_to_cpu(header->magic) != magic) {
		SAY(reason, "magic number is %08x, not %08x", le32_to_cpu(header->magic), magic);
		return QBD_VERDICT_FOREIGN;
	}
	if (le32_to_cpu(header->checksum) != qbd_block_checksum(block)) {
		SAY(reason, "checksum is %08x, should be %08x", le32_to_cpu(header->checksum),
		    qbd_block_checksum(block));
		return QBD_VERDICT_DAMAGED;
	}
	if (version != QBD_FORMAT_VERSION) {
		SAY(reason, "format version %u, this program knows version %u", version,
		    QBD_FORMAT_VERSION);
		return QBD_VERDICT_NEWER;
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
	reason[0] = '\0';
	return QBD_VERDICT_GOOD;
}

/* Do the areas follow each other and fit? Every sum is checked before it is made. */
static bool geometry_fits(const struct qbd_superblock *superblock)
{
	uint64_t backing = le64_to_cpu(superblock->backing_blocks);
	uint64_t table = le64_to_cpu(superblock->extent_table_blocks);
	uint64_t log = le64_to_cpu(superblock->log_block);
	uint64_t log_blocks = le64_to_cpu(superblock->log_blocks);
	uint64_t data = le64_to_cpu(superblock->data_block);
	uint64_t device = le64_to_cpu(superblock->device_blocks);
	uint32_t shift = le32_to_cpu(superblock->extent_shift);
	uint64_t extents;

	if (shift < QBD_EXTENT_SHIFT_MIN || shift > QBD_EXTENT_SHIFT_MAX)
		return false;
	if (!backing || backing > UINT64_MAX >> QBD_BLOCK_SHIFT || !device)
		return false;
	if (log > backing || log_blocks > backing || data > backing || device > backing ||
	    table > backing)
		return false;
	extents = (device + (1ULL << (shift - QBD_BLOCK_SHIFT)) - 1) >>
		  (shift - QBD_BLOCK_SHIFT);
	return table * QBD_EXTENTS_PER_BLOCK >= extents &&
	       QBD_EXTENT_TABLE_BLOCK + table <= log && log_blocks >= QBD_LOG_BLOCKS_MIN &&
	       log + log_blocks <= data && data + device <= backing - 1;
}

static enum qbd_verdict judge_superblock(const struct qbd_superblock *superblock,
					 uint64_t block, uint64_t disk_blocks, char *reason)
{
	uint64_t backing = le64_to_cpu(superblock->backing_blocks);
	enum qbd_verdict verdict;
	struct qbd_error why;

	verdict = judge_header(superblock, QBD_SUPERBLOCK_MAGIC, block, NULL, reason);
	if (verdict != QBD_VERDICT_GOOD)
		return verdict;
	if (superblock->features_incompatible) {
		SAY(reason, "has features %#" PRIx64 " that this program does not know",
		    (uint64_t)le64_to_cpu(superblock->features_incompatible));
		return QBD_VERDICT_NEWER;
	}
	if (!memchr(superblock->name, 0, sizeof(superblock->name)) ||
	    qbd_check_name("name", superblock->name, QBD_NAME_SIZE, &why)) {
		SAY(reason, "the device name is not one");
		return QBD_VERDICT_INVALID;
	}
	if (!superblock->member_id || !geometry_fits(superblock)) {
		SAY(reason, "sizes and places contradict each other");
		return QBD_VERDICT_INVALID;
	}
	if (backing > disk_blocks) {
		SAY(reason, "was made for a disk of %" PRIu64 " blocks, this one has %" PRIu64,
		    backing, disk_blocks);
		return QBD_VERDICT_INVALID;
	}
	return QBD_VERDICT_GOOD;
}

static int read_copy(struct qbd_disk *disk, unsigned int number, uint64_t block, void *buffer,
		     struct qbd_superblock_copy *copy)
{
	struct qbd_error error;

	memset(copy, 0, sizeof(*copy));
	copy->block = block;
	if (qbd_disk_read(disk, block, buffer, 1, &error)) {
		copy->verdict = QBD_VERDICT_UNREADABLE;
		SAY(copy->reason, "%.150s", error.text);
		return 0;
	}
	memcpy(&copy->superblock, buffer, sizeof(copy->superblock));
	copy->verdict = judge_superblock(&copy->superblock, block, disk->blocks, copy->reason);
	return (int)number;
}

static void read_slot(struct qbd_disk *disk, unsigned int number, const uint8_t *uuid,
		      void *buffer, struct qbd_state_slot *slot)
{
	uint32_t members;
	struct qbd_error error;

	memset(slot, 0, sizeof(*slot));
	slot->block = QBD_STATE_SLOT_BLOCK(number);
	if (qbd_disk_read(disk, slot->block, buffer, 1, &error)) {
		slot->verdict = QBD_VERDICT_UNREADABLE;
		SAY(slot->reason, "%.150s", error.text);
		return;
	}
	memcpy(&slot->state, buffer, sizeof(slot->state));
	slot->verdict = judge_header(&slot->state, QBD_STATE_MAGIC, slot->block, uuid,
				     slot->reason);
	members = le32_to_cpu(slot->state.membership.count);
	if (slot->verdict == QBD_VERDICT_GOOD && (!members || members > QBD_MEMBERS_MAX)) {
		slot->verdict = QBD_VERDICT_INVALID;
		SAY(slot->reason, "has %u members", members);
	}
}

int qbd_inspect(struct qbd_disk *disk, struct qbd_inspection *inspection,
		struct qbd_error *error)
{
	struct qbd_superblock_copy *first = &inspection->copies[0];
	struct qbd_superblock_copy *second = &inspection->copies[1];
	const uint8_t *uuid = NULL;
	void *buffer;

	memset(inspection, 0, sizeof(*inspection));
	if (disk->blocks < QBD_EXTENT_TABLE_BLOCK)
		return qbd_fail(error, EMEDIUMTYPE,
				"%s: is no qbd disk: it has %" PRIu64 " bytes, less than the metadata alone",
				disk->path, disk->bytes);
	buffer = qbd_disk_buffer(1);
	if (!buffer)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	read_copy(disk, 0, 0, buffer, first);
	/* Without the first, the second can only be at the end of the disk. */
	read_copy(disk, 1, first->verdict == QBD_VERDICT_GOOD ?
		  le64_to_cpu(first->superblock.backing_blocks) - 1 : disk->blocks - 1,
		  buffer, second);
	if (first->verdict == QBD_VERDICT_GOOD)
		inspection->superblock = &first->superblock;
	else if (second->verdict == QBD_VERDICT_GOOD)
		inspection->superblock = &second->superblock;
	if (inspection->superblock)
		uuid = inspection->superblock->header.uuid;
	for (unsigned int number = 0; number < QBD_STATE_SLOTS; number++) {
		struct qbd_state_slot *slot = &inspection->slots[number];

		read_slot(disk, number, uuid, buffer, slot);
		if (slot->verdict == QBD_VERDICT_GOOD &&
		    (!inspection->state || le64_to_cpu(slot->state.sequence) >
					   le64_to_cpu(inspection->state->sequence)))
			inspection->state = &slot->state;
	}
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

int qbd_inspection_check(const struct qbd_disk *disk,
			 const struct qbd_inspection *inspection,
			 struct qbd_error *error)
{
	const struct qbd_superblock_copy *copy = &inspection->copies[0];
	const struct qbd_state_slot *slot = &inspection->slots[0];

	if (inspection->superblock && inspection->state)
		return 0;
	if (inspection->superblock)
		return qbd_fail(error, EUCLEAN,
				"%s: both state blocks are lost (%s: %s; %s: %s): votes and log place are gone; format this member anew under a new id",
				disk->path, qbd_verdict_text(slot[0].verdict), slot[0].reason,
				qbd_verdict_text(slot[1].verdict), slot[1].reason);
	/* Of two bad copies the one that is rather ours says more. */
	if (copy->verdict == QBD_VERDICT_EMPTY || copy->verdict == QBD_VERDICT_FOREIGN ||
	    copy->verdict == QBD_VERDICT_UNREADABLE)
		if (le32_to_cpu(copy[1].superblock.header.magic) == QBD_SUPERBLOCK_MAGIC)
			copy++;
	switch (copy->verdict) {
	case QBD_VERDICT_NEWER:
		return qbd_fail(error, EPROTONOSUPPORT,
				"%s: the superblock is newer than this program: %s; use a newer qbdadm and module",
				disk->path, copy->reason);
	case QBD_VERDICT_DAMAGED:
	case QBD_VERDICT_MISPLACED:
	case QBD_VERDICT_INVALID:
		return qbd_fail(error, EUCLEAN,
				"%s: both superblock copies are bad (block %" PRIu64 ": %s); look with 'qbdadm dump', the data may be whole",
				disk->path, copy->block, copy->reason);
	case QBD_VERDICT_UNREADABLE:
		return qbd_fail(error, EIO, "%s", copy->reason);
	default:
		return qbd_fail(error, EMEDIUMTYPE,
				"%s: is no qbd disk; make it one with 'qbdadm create'", disk->path);
	}
}
