// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uuid/uuid.h>

#include "lib/plan.h"
#include "lib/parse.h"

#define CHUNK_BLOCKS	64u	/* of one read or write: 256 KiB */

static uint64_t round_down(uint64_t value, uint64_t unit)
{
	return value / unit * unit;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return round_down(value + unit - 1, unit);
}

static uint64_t table_blocks_for(uint64_t device_blocks, uint32_t extent_shift)
{
	uint64_t extent_blocks = 1ULL << (extent_shift - QBD_BLOCK_SHIFT);
	uint64_t extents = round_up(device_blocks, extent_blocks) / extent_blocks;

	return round_up(extents, QBD_EXTENTS_PER_BLOCK) / QBD_EXTENTS_PER_BLOCK;
}

/*
 * So many extents of this size may there be. A member keeps 8 bytes of each in memory:
 * of extents of 512K and more that is no more than 16 MiB for each TiB, and of smaller
 * ones it is at most 4 MiB in all.
 */
static uint64_t extents_max(uint32_t block_shift)
{
	return block_shift >= 7 ? (uint64_t)QBD_EXTENTS_MAX : 1ULL << 19;
}

uint64_t qbd_plan_most(const struct qbd_plan *plan)
{
	uint64_t extents = plan->extent_table_blocks * QBD_EXTENTS_PER_BLOCK;

	return (extents < QBD_EXTENTS_MAX ? extents : (uint64_t)QBD_EXTENTS_MAX) <<
	       (plan->extent_shift - QBD_BLOCK_SHIFT);
}

/* As asked for; else what goes with a device of this size, on whatever disk it is. */
static uint64_t log_bytes_for(const struct qbd_plan_wish *wish, uint64_t device_blocks)
{
	uint64_t bytes = (device_blocks << QBD_BLOCK_SHIFT) / 64;

	if (wish->log_bytes)
		return wish->log_bytes;
	if (bytes < QBD_LOG_BYTES_DEFAULT_MIN)
		return QBD_LOG_BYTES_DEFAULT_MIN;
	return bytes < QBD_LOG_BYTES_DEFAULT_MAX ? bytes : QBD_LOG_BYTES_DEFAULT_MAX;
}

static uint64_t log_blocks_for(const struct qbd_plan_wish *wish, uint64_t device_blocks)
{
	return round_down(log_bytes_for(wish, device_blocks) >> QBD_BLOCK_SHIFT,
			  QBD_ALIGNMENT_BLOCKS);
}

static int compute_log(const char *path, const struct qbd_plan_wish *wish,
		       struct qbd_plan *plan, struct qbd_error *error)
{
	uint64_t bytes = log_bytes_for(wish, wish->device_bytes ?
				       wish->device_bytes >> QBD_BLOCK_SHIFT :
				       plan->backing_blocks);
	char least[QBD_SIZE_TEXT_SIZE];

	plan->log_blocks = round_down(bytes >> QBD_BLOCK_SHIFT, QBD_ALIGNMENT_BLOCKS);
	if (plan->log_blocks < QBD_LOG_BLOCKS_MIN)
		return qbd_fail(error, EINVAL, "%s: a log of %" PRIu64 " bytes is too small; at least %s",
				path, bytes,
				qbd_size_text((uint64_t)QBD_LOG_BLOCKS_MIN << QBD_BLOCK_SHIFT,
					      least));
	if (plan->log_blocks > QBD_LOG_BLOCKS_MAX)
		return qbd_fail(error, EINVAL, "%s: a log of %s is more than a member can index in memory; use --log-size %uM at most",
				path, qbd_size_text(bytes, least), QBD_LOG_BLOCKS_MAX >> 8);
	return 0;
}

static int compute_extents(const char *path, const struct qbd_plan_wish *wish,
			   struct qbd_plan *plan, struct qbd_error *error)
{
	uint64_t bytes = wish->extent_bytes;

	plan->extent_shift = QBD_EXTENT_SHIFT_DEFAULT;
	if (!bytes)
		return 0;
	if ((bytes & (bytes - 1)) || bytes < 1ULL << QBD_EXTENT_SHIFT_MIN ||
	    bytes > 1ULL << QBD_EXTENT_SHIFT_MAX)
		return qbd_fail(error, EINVAL,
				"%s: an extent of %" PRIu64 " bytes is not possible; use a power of two from %uK to %uM",
				path, bytes, 1u << (QBD_EXTENT_SHIFT_MIN - 10),
				1u << (QBD_EXTENT_SHIFT_MAX - 20));
	plan->extent_shift = __builtin_ctzll(bytes);
	return 0;
}

/*
 * The size that the device is to be able to grow to, here. What no member could keep in
 * memory is no use.
 */
static uint64_t most_blocks(const struct qbd_plan_wish *wish, const struct qbd_plan *plan,
			    uint64_t device_blocks)
{
	uint64_t memory = extents_max(plan->extent_shift - QBD_BLOCK_SHIFT) <<
			  (plan->extent_shift - QBD_BLOCK_SHIFT);
	uint64_t most = wish->max_bytes >> QBD_BLOCK_SHIFT;

	if (!wish->max_bytes)
		most = device_blocks > memory / QBD_GROWTH_DEFAULT ? memory :
		       device_blocks * QBD_GROWTH_DEFAULT;
	most = most < memory ? most : memory;
	return most > device_blocks ? most : device_blocks;
}

/*
 * Where table, log and data come to lie for a device of this size. The table gets what
 * the alignment of the log leaves, too.
 */
static void place(struct qbd_plan *plan, const struct qbd_plan_wish *wish,
		  uint64_t device_blocks)
{
	plan->device_blocks = device_blocks;
	plan->table_blocks_used = table_blocks_for(device_blocks, plan->extent_shift);
	plan->log_block = round_up(QBD_EXTENT_TABLE_BLOCK +
				   table_blocks_for(most_blocks(wish, plan, device_blocks),
						    plan->extent_shift),
				   QBD_ALIGNMENT_BLOCKS);
	plan->extent_table_blocks = plan->log_block - QBD_EXTENT_TABLE_BLOCK;
	plan->data_block = round_up(plan->log_block + plan->log_blocks,
				    QBD_ALIGNMENT_BLOCKS);
}

/*
 * The last block is left alone: backups of partition tables and marks of software RAID
 * lie there, and who writes one by mistake damages nothing. A disk may have no block at all.
 */
static uint64_t data_room(const struct qbd_plan *plan)
{
	uint64_t taken = plan->data_block + 1;

	return plan->backing_blocks > taken ? plan->backing_blocks - taken : 0;
}

/* A device of this size with the log that goes with it: is there room? */
static bool place_whole(struct qbd_plan *plan, const struct qbd_plan_wish *wish,
			uint64_t device_blocks)
{
	plan->log_blocks = log_blocks_for(wish, device_blocks);
	place(plan, wish, device_blocks);
	return device_blocks <= data_room(plan);
}

/*
 * The largest device, in whole MiB; placed then, and 0 if there is none. A smaller
 * device may have a smaller table and a smaller log: it is looked for from below,
 * beginning with what is left by those for the whole disk.
 */
static uint64_t place_largest(struct qbd_plan *plan, const struct qbd_plan_wish *wish)
{
	uint64_t room;

	place_whole(plan, wish, plan->backing_blocks);
	room = round_down(data_room(plan), QBD_ALIGNMENT_BLOCKS);
	while (place_whole(plan, wish, room + QBD_ALIGNMENT_BLOCKS))
		room += QBD_ALIGNMENT_BLOCKS;
	if (room)
		place_whole(plan, wish, room);
	return room;
}

/* What a member that is up has of every extent has to fit into its memory. */
static int check_extent_count(const char *path, const struct qbd_plan *plan,
			      struct qbd_error *error)
{
	char device[QBD_SIZE_TEXT_SIZE], extent[QBD_SIZE_TEXT_SIZE];
	uint64_t most = (uint64_t)QBD_EXTENTS_MAX;
	uint32_t shift = plan->extent_shift - QBD_BLOCK_SHIFT;
	uint32_t least = shift;
	char use[16];

	while (plan->device_blocks > extents_max(least) << least)
		least++;
	if (least == shift)
		return 0;
	qbd_size_text(plan->device_blocks << QBD_BLOCK_SHIFT, device);
	qbd_size_text(1ULL << plan->extent_shift, extent);
	snprintf(use, sizeof(use), least < 8 ? "%uK" : "%uM",
		 least < 8 ? 4u << least : 1u << (least - 8));
	if (least <= QBD_EXTENT_SHIFT_MAX - QBD_BLOCK_SHIFT)
		return qbd_fail(error, EINVAL,
				"%s: a device of %s has more extents of %s than a member can keep in memory; use --extent-size %s",
				path, device, extent, use);
	return qbd_fail(error, EINVAL,
			"%s: a device of %s has more extents than a member can keep in memory, however large; use --extent-size %uM and --size %"
			PRIu64 "M at most",
			path, device, 1u << (QBD_EXTENT_SHIFT_MAX - 20),
			most << (QBD_EXTENT_SHIFT_MAX - 20));
}

/* Metadata, log, second superblock. */
static int place_log_only(const char *path, struct qbd_plan *plan, uint64_t device_blocks,
			  struct qbd_error *error)
{
	char have[QBD_SIZE_TEXT_SIZE], log[QBD_SIZE_TEXT_SIZE];

	plan->device_blocks = device_blocks;
	plan->log_block = QBD_EXTENT_TABLE_BLOCK;
	if (plan->backing_blocks > plan->log_block + plan->log_blocks)
		return 0;
	return qbd_fail(error, ENOSPC,
			"%s: is too small: %s; a %s needs the %s of the log and 2 MiB",
			path, qbd_size_text(plan->backing_blocks << QBD_BLOCK_SHIFT, have),
			plan->client ? "client" : "witness",
			qbd_size_text(plan->log_blocks << QBD_BLOCK_SHIFT, log));
}

int qbd_plan_compute(const char *path, uint64_t backing_blocks,
		     const struct qbd_plan_wish *wish, struct qbd_plan *plan,
		     struct qbd_error *error)
{
	uint64_t wanted = wish->device_bytes >> QBD_BLOCK_SHIFT;
	char have[QBD_SIZE_TEXT_SIZE], most[QBD_SIZE_TEXT_SIZE], log[QBD_SIZE_TEXT_SIZE];
	uint64_t room;
	int result;

	memset(plan, 0, sizeof(*plan));
	plan->backing_blocks = backing_blocks;
	plan->no_data = wish->no_data || wish->client;
	plan->client = wish->client;
	result = compute_extents(path, wish, plan, error);
	if (!result)
		result = compute_log(path, wish, plan, error);
	if (result)
		return result;
	if (wish->device_bytes && !wanted)
		return qbd_fail(error, EINVAL, "%s: a device of %" PRIu64 " bytes is too small; at least one block of 4K",
				path, wish->device_bytes);
	if (plan->no_data)
		return place_log_only(path, plan, wanted, error);
	room = place_largest(plan, wish);
	if (!room)
		return qbd_fail(error, ENOSPC,
				"%s: is too small: %s, of which the log takes %s; at least %" PRIu64
				" MiB are needed with this log",
				path, qbd_size_text(backing_blocks << QBD_BLOCK_SHIFT, have),
				qbd_size_text(plan->log_blocks << QBD_BLOCK_SHIFT, log),
				(plan->data_block >> 8) + 2);
	if (!wanted)
		return check_extent_count(path, plan, error);
	if (!place_whole(plan, wish, wanted <= backing_blocks ? wanted : backing_blocks))
		return qbd_fail(error, ENOSPC,
				"%s: a device of %s does not fit; this disk has room for --size %"
				PRIu64 "M at most",
				path, qbd_size_text(wanted << QBD_BLOCK_SHIFT, most), room >> 8);
	return check_extent_count(path, plan, error);
}

static void fill_header(struct qbd_block_header *header, uint32_t magic, uint64_t block,
			const uint8_t *uuid)
{
	header->magic = cpu_to_le32(magic);
	header->version = cpu_to_le32(QBD_FORMAT_VERSION);
	header->position = cpu_to_le64(block);
	memcpy(header->uuid, uuid, QBD_UUID_SIZE);
	header->checksum = cpu_to_le32(qbd_block_checksum(header));
}

uint32_t qbd_configuration_of(const struct qbd_format_parameters *parameters)
{
	const struct qbd_membership_layout *members = parameters->members;
	__le64 size = cpu_to_le64(parameters->plan.device_blocks);
	__le32 shift = cpu_to_le32(parameters->plan.extent_shift);
	__le64 log = cpu_to_le64(parameters->plan.log_blocks);
	uint32_t crc = ~0u;

	if (parameters->joins)
		return parameters->configuration;
	crc = qbd_crc32c(crc, parameters->token->uuid, QBD_UUID_SIZE);
	crc = qbd_crc32c(crc, parameters->name, strlen(parameters->name) + 1);
	crc = qbd_crc32c(crc, &size, sizeof(size));
	/* A leader could have more that is not committed than a shorter log takes. */
	crc = qbd_crc32c(crc, &log, sizeof(log));
	crc = qbd_crc32c(crc, &shift, sizeof(shift));
	crc = qbd_crc32c(crc, &parameters->claim.mode, sizeof(parameters->claim.mode));
	return qbd_crc32c(crc, members->members,
			  le32_to_cpu(members->count) * sizeof(members->members[0]));
}

static void make_superblock(const struct qbd_format_parameters *parameters,
			    struct qbd_superblock *superblock)
{
	const struct qbd_plan *plan = &parameters->plan;

	memset(superblock, 0, sizeof(*superblock));
	if (plan->no_data)
		superblock->features_incompatible =
			cpu_to_le64(QBD_FEATURE_NO_DATA |
				    (plan->client ? QBD_FEATURE_CLIENT : 0));
	superblock->member_id = cpu_to_le32(parameters->member_id);
	superblock->extent_shift = cpu_to_le32(plan->extent_shift);
	if (parameters->joins)
		memcpy(superblock->incarnation, parameters->incarnation, QBD_UUID_SIZE);
	else
		uuid_generate_random(superblock->incarnation);
	strncpy(superblock->name, parameters->name, sizeof(superblock->name) - 1);
	superblock->created_seconds = cpu_to_le64((uint64_t)time(NULL));
	superblock->backing_blocks = cpu_to_le64(plan->backing_blocks);
	superblock->device_blocks = cpu_to_le64(plan->device_blocks);
	superblock->extent_table_blocks = cpu_to_le64(plan->extent_table_blocks);
	superblock->log_block = cpu_to_le64(plan->log_block);
	superblock->log_blocks = cpu_to_le64(plan->log_blocks);
	superblock->data_block = cpu_to_le64(plan->data_block);
	memcpy(superblock->secret, parameters->token->secret, QBD_SECRET_SIZE);
	superblock->configuration = cpu_to_le32(qbd_configuration_of(parameters));
}

/* Both blocks of a slot. */
static void make_state(const struct qbd_format_parameters *parameters, unsigned int slot,
		       void *blocks)
{
	struct qbd_state_block *state = blocks;
	struct qbd_applied_block *applied =
		(struct qbd_applied_block *)((char *)blocks + QBD_BLOCK_SIZE);

	memset(blocks, 0, QBD_STATE_SLOT_BLOCKS << QBD_BLOCK_SHIFT);
	/* Writers alternate by sequence: an even one goes to slot 0. */
	state->sequence = cpu_to_le64(2 - slot);
	/* Nobody can have forgotten what a member did that never was. */
	state->flags = cpu_to_le32(QBD_STATE_CLEAN | (parameters->joins ? 0 : QBD_STATE_NEW));
	state->log_first_index = cpu_to_le64(1);
	state->membership = *parameters->members;
	state->applied_membership = *parameters->members;
	memcpy(state->history, parameters->history, QBD_UUID_SIZE);
	fill_header(&state->header, QBD_STATE_MAGIC, QBD_STATE_SLOT_BLOCK(slot),
		    parameters->token->uuid);
	/* Nothing is applied, and nobody has written. */
	applied->sequence = state->sequence;
	applied->applied.claim = parameters->claim;
	fill_header(&applied->header, QBD_APPLIED_MAGIC, QBD_APPLIED_BLOCK(slot),
		    parameters->token->uuid);
}

/* The blocks of the extent table from @first on; then write or compare them. */
static void make_extents(const struct qbd_format_parameters *parameters, uint64_t first,
			 size_t count, struct qbd_extent_block *blocks)
{
	memset(blocks, 0, count * sizeof(*blocks));
	for (size_t i = 0; i < count; i++)
		fill_header(&blocks[i].header, QBD_EXTENTS_MAGIC,
			    QBD_EXTENT_TABLE_BLOCK + first + i, parameters->token->uuid);
}

static size_t chunk_of(uint64_t left)
{
	return left < CHUNK_BLOCKS ? (size_t)left : CHUNK_BLOCKS;
}

static int write_extents(struct qbd_disk *disk,
			 const struct qbd_format_parameters *parameters, void *buffer,
			 struct qbd_error *error)
{
	uint64_t total = parameters->plan.table_blocks_used;
	int result = 0;

	for (uint64_t first = 0; !result && first < total; first += CHUNK_BLOCKS) {
		size_t count = chunk_of(total - first);

		make_extents(parameters, first, count, buffer);
		result = qbd_disk_write(disk, QBD_EXTENT_TABLE_BLOCK + first, buffer, count,
					error);
	}
	return result;
}

static int check_same(struct qbd_disk *disk, uint64_t block, const void *wanted, void *found,
		      size_t count, struct qbd_error *error)
{
	int result = qbd_disk_read(disk, block, found, count, error);

	if (!result && memcmp(wanted, found, count << QBD_BLOCK_SHIFT))
		result = qbd_fail(error, EIO,
				  "%s: does not hold what was written near block %" PRIu64 "; this disk is broken, use another",
				  disk->path, block);
	return result;
}

static int check_extents(struct qbd_disk *disk,
			 const struct qbd_format_parameters *parameters, void *wanted,
			 void *found, struct qbd_error *error)
{
	uint64_t total = parameters->plan.table_blocks_used;
	int result = 0;

	for (uint64_t first = 0; !result && first < total; first += CHUNK_BLOCKS) {
		size_t count = chunk_of(total - first);

		make_extents(parameters, first, count, wanted);
		result = check_same(disk, QBD_EXTENT_TABLE_BLOCK + first, wanted, found,
				    count, error);
	}
	return result;
}

static int check_log(struct qbd_disk *disk, const struct qbd_format_parameters *parameters,
		     void *zero, void *found, struct qbd_error *error)
{
	const struct qbd_plan *plan = &parameters->plan;
	int result = 0;

	memset(zero, 0, (size_t)CHUNK_BLOCKS << QBD_BLOCK_SHIFT);
	for (uint64_t first = 0; !result && first < plan->log_blocks; first += CHUNK_BLOCKS)
		result = check_same(disk, plan->log_block + first, zero, found,
				    chunk_of(plan->log_blocks - first), error);
	return result;
}

/* Extents and log. @a and @b: CHUNK_BLOCKS each. */
static int format_areas(struct qbd_disk *disk,
			const struct qbd_format_parameters *parameters, void *a, void *b,
			struct qbd_error *error)
{
	const struct qbd_plan *plan = &parameters->plan;
	int result;

	result = qbd_unformat(disk, error);
	if (!result)
		result = write_extents(disk, parameters, a, error);
	/* The whole ring: records of an earlier life under the same token would fit. */
	if (!result)
		result = qbd_disk_zero(disk, plan->log_block, plan->log_blocks, error);
	if (!result)
		result = qbd_disk_flush(disk, error);
	if (!result)
		result = check_extents(disk, parameters, a, b, error);
	if (!result)
		result = check_log(disk, parameters, a, b, error);
	return result;
}

static int format_states(struct qbd_disk *disk,
			 const struct qbd_format_parameters *parameters, void *a, void *b,
			 struct qbd_error *error)
{
	unsigned int slot;
	int result = 0;

	for (slot = 0; !result && slot < QBD_STATE_SLOTS; slot++) {
		make_state(parameters, slot, a);
		result = qbd_disk_write(disk, QBD_STATE_SLOT_BLOCK(slot), a,
					QBD_STATE_SLOT_BLOCKS, error);
	}
	if (!result)
		result = qbd_disk_flush(disk, error);
	for (slot = 0; !result && slot < QBD_STATE_SLOTS; slot++) {
		make_state(parameters, slot, a);
		result = check_same(disk, QBD_STATE_SLOT_BLOCK(slot), a, b,
				    QBD_STATE_SLOT_BLOCKS, error);
	}
	return result;
}

static int format_superblocks(struct qbd_disk *disk,
			      const struct qbd_format_parameters *parameters, void *a,
			      void *b, struct qbd_error *error)
{
	uint64_t places[2] = { QBD_SUPERBLOCK_COPY_BLOCK, 0 };
	struct qbd_superblock *superblock = a;
	int result = 0;

	make_superblock(parameters, superblock);
	for (unsigned int i = 0; !result && i < 2; i++) {
		superblock->header.checksum = 0;
		fill_header(&superblock->header, QBD_SUPERBLOCK_MAGIC, places[i],
			    parameters->token->uuid);
		result = qbd_disk_write(disk, places[i], superblock, 1, error);
		if (!result)
			result = qbd_disk_flush(disk, error);
		if (!result)
			result = check_same(disk, places[i], superblock, b, 1, error);
	}
	return result;
}

typedef int format_part(struct qbd_disk *disk,
			const struct qbd_format_parameters *parameters, void *a, void *b,
			struct qbd_error *error);

/* With memory for @first and @second, which may be NULL. */
static int format_with(struct qbd_disk *disk, const struct qbd_format_parameters *parameters,
		       format_part *first, format_part *second, struct qbd_error *error)
{
	void *a = qbd_disk_buffer(CHUNK_BLOCKS);
	void *b = qbd_disk_buffer(CHUNK_BLOCKS);
	int result;

	if (a && b)
		result = first(disk, parameters, a, b, error);
	else
		result = qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	if (!result && second)
		result = second(disk, parameters, a, b, error);
	free(a);
	free(b);
	return result;
}

int qbd_format_prepare(struct qbd_disk *disk, const struct qbd_format_parameters *parameters,
		       struct qbd_error *error)
{
	return format_with(disk, parameters, format_areas, NULL, error);
}

int qbd_format_finish(struct qbd_disk *disk, const struct qbd_format_parameters *parameters,
		      struct qbd_error *error)
{
	return format_with(disk, parameters, format_states, format_superblocks, error);
}

int qbd_format(struct qbd_disk *disk, const struct qbd_format_parameters *parameters,
	       struct qbd_error *error)
{
	int result = qbd_format_prepare(disk, parameters, error);

	return result ? result : qbd_format_finish(disk, parameters, error);
}

int qbd_unformat(struct qbd_disk *disk, struct qbd_error *error)
{
	uint64_t tail = disk->blocks > QBD_ALIGNMENT_BLOCKS ?
			disk->blocks - QBD_ALIGNMENT_BLOCKS : 0;
	uint64_t head = disk->blocks < QBD_ALIGNMENT_BLOCKS ? disk->blocks :
			QBD_ALIGNMENT_BLOCKS;
	int result;

	/*
	 * The first and the last MiB: our superblocks and state, and what others
	 * look for there (file systems, partition tables, RAID), so that nobody
	 * takes the disk for what it was.
	 */
	result = qbd_disk_zero(disk, 0, head, error);
	if (!result)
		result = qbd_disk_zero(disk, tail, disk->blocks - tail, error);
	if (!result)
		result = qbd_disk_flush(disk, error);
	return result;
}

const char *qbd_configuration_text(uint32_t sum, char *text)
{
	snprintf(text, QBD_CONFIGURATION_TEXT_SIZE, "%04x-%04x", sum >> 16, sum & 0xffff);
	return text;
}
