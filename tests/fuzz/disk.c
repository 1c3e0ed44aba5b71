// SPDX-License-Identifier: GPL-2.0
/*
 * What kmod/store/recovery.c decides from a disk: of one that a member left, the log
 * that was on it; of any other, something that holds together.
 */
#include "image.h"

/* What the scan told its caller. */
struct finding {
	const struct image *image;
	uint64_t first_position;
	uint64_t index;		/* of the last record found */
	uint64_t position;	/* after it */
	uint64_t term;
	uint32_t chain;
	uint32_t records;
	uint32_t restarts;
	bool members_changed;
	const struct qbd_scan *scan;
};

static const void *scan_block(void *context, u64 place)
{
	struct finding *finding = context;

	REQUIRE(place < finding->scan->log_blocks);
	return image_block(finding->image, IMAGE_LOG_BLOCK + place);
}

static void scan_found(void *context, const struct qbd_record_header *header, u64 position)
{
	struct finding *finding = context;
	uint64_t blocks = 1 + le32_to_cpu(header->shared.data_blocks);

	if (!finding->records++) {
		/* The oldest one. */
		REQUIRE(position == finding->scan->base_position);
		REQUIRE(le64_to_cpu(header->shared.index) == finding->scan->base_index + 1);
		REQUIRE(le32_to_cpu(header->shared.chain_previous) ==
			finding->scan->base_chain);
	} else {
		REQUIRE(position == finding->position);
		REQUIRE(le64_to_cpu(header->shared.index) == finding->index + 1);
		REQUIRE(le64_to_cpu(header->shared.term) >= finding->term);
		REQUIRE(le32_to_cpu(header->shared.chain_previous) == finding->chain);
	}
	REQUIRE(le32_to_cpu(header->shared.chain) == qbd_record_chain(header, image_uuid));
	REQUIRE(le64_to_cpu(header->local.position) == position);
	REQUIRE(le32_to_cpu(header->local.member_id) == IMAGE_MEMBER);
	/* Nothing reaches over the oldest record. */
	REQUIRE(position >= finding->first_position);
	REQUIRE(position + blocks - finding->first_position <= finding->scan->log_blocks);
	finding->index = le64_to_cpu(header->shared.index);
	finding->term = le64_to_cpu(header->shared.term);
	finding->chain = le32_to_cpu(header->shared.chain);
	finding->position = position + blocks;
	finding->members_changed |=
		header->shared.kind == cpu_to_le16(QBD_RECORD_MEMBERSHIP);
}

static void scan_restart(void *context)
{
	struct finding *finding = context;

	/* Damage before what is applied, and then a log behind it that may be stale. */
	REQUIRE(finding->restarts++ < 2);
	finding->records = 0;
}

static const struct qbd_scan_ops scan_ops = {
	.block = scan_block, .found = scan_found, .restart = scan_restart,
};

static void scan_image(const struct image *image, const struct qbd_geometry *geometry,
		       const struct qbd_state *state, struct qbd_scan *scan,
		       struct finding *finding)
{
	memset(scan, 0, sizeof(*scan));
	memset(finding, 0, sizeof(*finding));
	finding->image = image;
	finding->scan = scan;
	finding->first_position = state->log_first_position;
	scan->uuid = geometry->uuid;
	scan->member_id = IMAGE_MEMBER;
	scan->device_blocks = IMAGE_DEVICE_BLOCKS;
	scan->device_blocks_most = 253ull * 16;
	scan->log_blocks = IMAGE_LOG_BLOCKS;
	scan->state = state;
	scan->ops = &scan_ops;
	scan->context = finding;
	qbd_recovery_scan(scan);
}

/* ---- what must hold of any disk ----------------------------------------- */

static void judge_geometry(const struct qbd_geometry *geometry)
{
	uint64_t extents = geometry->extent_count;

	REQUIRE(geometry->member_id && memchr(geometry->name, 0, QBD_NAME_SIZE));
	REQUIRE(geometry->device_blocks);
	REQUIRE(geometry->log_blocks >= QBD_LOG_BLOCKS_MIN &&
		geometry->log_blocks <= QBD_LOG_BLOCKS_MAX);
	if (geometry->no_data) {
		REQUIRE(!extents && !geometry->extent_table_blocks && !geometry->data_block);
		REQUIRE(geometry->log_block >= QBD_EXTENT_TABLE_BLOCK);
		REQUIRE(geometry->log_block + geometry->log_blocks < geometry->backing_blocks);
		return;
	}
	REQUIRE(extents && extents <= QBD_EXTENTS_MAX);
	REQUIRE((extents - 1) * geometry->extent_blocks < geometry->device_blocks);
	REQUIRE(extents * geometry->extent_blocks >= geometry->device_blocks);
	REQUIRE(geometry->extent_table_blocks * QBD_EXTENTS_PER_BLOCK >= extents);
	REQUIRE(geometry->log_block >= QBD_EXTENT_TABLE_BLOCK + geometry->extent_table_blocks);
	REQUIRE(geometry->data_block >= geometry->log_block + geometry->log_blocks);
	REQUIRE(geometry->data_block + geometry->device_blocks < geometry->backing_blocks);
}

/* What is believed is whole, and where it belongs. */
static void judge_header(const struct qbd_block_header *header, uint64_t position)
{
	REQUIRE(le32_to_cpu(header->checksum) == qbd_block_checksum(header));
	REQUIRE(le64_to_cpu(header->position) == position);
	REQUIRE(le32_to_cpu(header->version) == QBD_FORMAT_VERSION);
}

static int choose_superblock(const struct image *image, uint64_t disk_blocks,
			     struct qbd_superblock_choice *choice)
{
	const void *copies[2] = { image_block(image, 0),
				  image_block(image, QBD_SUPERBLOCK_COPY_BLOCK) };
	const u64 positions[2] = { 0, QBD_SUPERBLOCK_COPY_BLOCK };
	const char *reason = NULL, *reason_again = NULL;
	struct qbd_superblock_choice again;
	int result;

	memset(choice, 0, sizeof(*choice));
	memset(&again, 0, sizeof(again));
	result = qbd_recovery_superblock(copies, positions, disk_blocks, choice, &reason);
	REQUIRE(qbd_recovery_superblock(copies, positions, disk_blocks, &again,
					&reason_again) == result);
	REQUIRE(!memcmp(choice, &again, sizeof(again)));
	if (result) {
		REQUIRE(reason && reason == reason_again);
		REQUIRE(result == -EMEDIUMTYPE || result == -EPROTONOSUPPORT ||
			result == -EUCLEAN);
		return result;
	}
	judge_geometry(&choice->geometry);
	REQUIRE(choice->geometry.backing_blocks <= disk_blocks);
	REQUIRE(choice->good < 2 && copies[choice->good]);
	judge_header(copies[choice->good], positions[choice->good]);
	return 0;
}

static int choose_state(const struct image *image, const uint8_t *uuid,
			struct qbd_state *state)
{
	const void *slots[QBD_STATE_SLOTS] = {
		image_block(image, QBD_STATE_SLOT_BLOCK(0)),
		image_block(image, QBD_STATE_SLOT_BLOCK(1)),
	};
	const void *applied[QBD_STATE_SLOTS] = {
		image_block(image, QBD_APPLIED_BLOCK(0)),
		image_block(image, QBD_APPLIED_BLOCK(1)),
	};
	uint8_t encoded[QBD_BLOCK_SIZE];
	const struct qbd_applied_block *block;
	struct qbd_state other;
	const char *reason = NULL;
	unsigned int slot = 9;
	int result;

	memset(state, 0, sizeof(*state));
	result = qbd_recovery_state(slots, applied, uuid, state, &slot, &reason);
	if (result) {
		REQUIRE(reason && (result == -EPROTONOSUPPORT || result == -EUCLEAN));
		return result;
	}
	REQUIRE(slot < QBD_STATE_SLOTS && slots[slot] && applied[slot]);
	judge_header(slots[slot], QBD_STATE_SLOT_BLOCK(slot));
	judge_header(applied[slot], QBD_APPLIED_BLOCK(slot));
	block = applied[slot];
	/* Or that of a block whose other half is not there: it is not used once more. */
	REQUIRE(le64_to_cpu(block->sequence) <= state->sequence);
	REQUIRE(qbd_applied_good(&block->applied, &reason));
	memset(&other, 0, sizeof(other));
	if (slots[!slot] && applied[!slot] &&
	    qbd_state_check(slots[!slot], QBD_STATE_SLOT_BLOCK(!slot), uuid, &other,
			    &reason) == QBD_BLOCK_GOOD &&
	    qbd_applied_check(applied[!slot], QBD_APPLIED_BLOCK(!slot), uuid, other.sequence,
			      &reason) == QBD_BLOCK_GOOD)
		REQUIRE(other.sequence <= state->sequence);
	REQUIRE(state->log_first_index && state->applied_index >= state->log_first_index - 1);
	/* There the log may have to begin. */
	REQUIRE(state->applied_position >= state->log_first_position);
	REQUIRE(qbd_membership_good(&state->applied_membership, &reason));
	/* What was read can be written, and reads the same again. */
	qbd_state_encode(state, uuid, 16, encoded);
	memset(&other, 0, sizeof(other));
	REQUIRE(qbd_state_check(encoded, 16, uuid, &other, &reason) == QBD_BLOCK_GOOD);
	REQUIRE(!memcmp(&other, state, sizeof(other)));
	qbd_applied_encode(&block->applied, le64_to_cpu(block->sequence), uuid, 17, encoded);
	REQUIRE(qbd_applied_check(encoded, 17, uuid, le64_to_cpu(block->sequence), &reason) ==
		QBD_BLOCK_GOOD);
	REQUIRE(!memcmp(encoded + sizeof(struct qbd_block_header),
			(const uint8_t *)block + sizeof(struct qbd_block_header),
			offsetof(struct qbd_applied_block, unused) -
			sizeof(struct qbd_block_header)));
	return 0;
}

static void judge_scan(const struct qbd_state *state, const struct qbd_scan *scan,
		       const struct finding *finding)
{
	bool damaged = scan->verdict == QBD_LOG_DAMAGED;

	REQUIRE(scan->reason);
	REQUIRE(scan->base_index >= state->log_first_index - 1);
	REQUIRE(scan->last_index == scan->base_index + finding->records);
	REQUIRE(scan->bad_index == scan->last_index + 1);
	/* What is applied was in the log. */
	REQUIRE(scan->last_index >= state->applied_index);
	REQUIRE(scan->last_term >= scan->base_term);
	REQUIRE(scan->next_position == (finding->records ? finding->position :
							   scan->base_position));
	REQUIRE(scan->from_applied == (finding->restarts != 0));
	if (scan->from_applied)
		REQUIRE(scan->base_index == state->applied_index);
	REQUIRE(scan->members_changed || !finding->members_changed);
	REQUIRE(scan->generation >= state->log_generation);
	REQUIRE(scan->commit_index >= state->commit_index);
	REQUIRE(scan->commit_index >= state->applied_index);
	/* Nothing that was acknowledged is missing in silence. */
	REQUIRE(damaged ? scan->damaged_through >= scan->bad_index && scan->bad_index :
			  !scan->damaged_through);
	REQUIRE(damaged || state->durable_index <= scan->last_index);
	/* A state block that says so is one that is taken. */
	REQUIRE(!(scan->damaged_through >> 62));
	REQUIRE(!damaged || scan->damaged_through >= state->durable_index);
	if (scan->verdict == QBD_LOG_WHOLE)
		REQUIRE(state->flags & QBD_STATE_CLEAN &&
			scan->last_index == state->durable_index);
	if (state->flags & QBD_STATE_CLEAN)
		REQUIRE(scan->last_index <= state->durable_index);
}

/* ---- what must hold of one that a member left ---------------------------- */

/* Does anything in the ring or the state say that the record was durable? */
static bool was_durable(const struct image *image, uint64_t index)
{
	if (image->state.durable_index >= index)
		return true;
	for (uint32_t i = 0; i < image->count; i++)
		if (image->records[i].index > index && image->records[i].durable >= index)
			return true;
	return false;
}

/* Does one say so that went before the log was cut off for the last time? */
static bool ghost_says_durable(const struct image *image, uint64_t index)
{
	for (uint32_t i = 0; i < image->ghosts_of_last; i++)
		if (image->ghosts[i].index > index && image->ghosts[i].durable >= index &&
		    image->ghosts[i].index < image->state.truncated_index)
			return true;
	return image->ghosts_lost;
}

static void judge_history(const struct image *image, const struct qbd_state *state,
			  const struct qbd_scan *scan)
{
	uint64_t last = image->state.log_first_index - 1 + image->count;
	bool clean = state->flags & QBD_STATE_CLEAN;
	const struct image_record *torn = image->damage & IMAGE_DAMAGE_RECORD ?
					  &image->records[image->spoiled] : NULL;

	REQUIRE(!memcmp(state, &image->state, sizeof(*state)));
	if (!torn) {
		REQUIRE(scan->last_index == last && !scan->from_applied);
		REQUIRE(scan->verdict == (clean ? QBD_LOG_WHOLE : QBD_LOG_TORN));
		if (image->count)
			REQUIRE(scan->last_chain == image->records[image->count - 1].chain);
		return;
	}
	/* Its effect is in the data area, whatever became of the record. */
	if (torn->index <= state->applied_index) {
		REQUIRE(scan->last_index == last);
		REQUIRE(scan->verdict != QBD_LOG_DAMAGED);
		return;
	}
	/* Of those behind the applied ones none counts if the last one may be stale. */
	REQUIRE(scan->last_index == torn->index - 1 ||
		(scan->verdict == QBD_LOG_DAMAGED && scan->from_applied));
	if (was_durable(image, torn->index))
		REQUIRE(scan->verdict == QBD_LOG_DAMAGED);
	else if (scan->verdict == QBD_LOG_DAMAGED)
		REQUIRE(ghost_says_durable(image, torn->index));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image image;
	static struct qbd_scan scan, again;
	struct input input = { data, size };
	struct qbd_superblock_choice choice;
	struct finding finding, finding_again;
	struct qbd_state state;
	uint64_t disk_blocks = IMAGE_BLOCKS;

	image_build(&image, &input);
	if (choose_superblock(&image, disk_blocks, &choice)) {
		REQUIRE(image.damage & IMAGE_DAMAGE_SUPERBLOCK);
		goto out;
	}
	/* Another superblock may lead to another ring: it is this one that is scanned. */
	memcpy(choice.geometry.uuid, image_uuid, QBD_UUID_SIZE);
	if (choose_state(&image, choice.geometry.uuid, &state)) {
		REQUIRE(image.damage & IMAGE_DAMAGE_STATE);
		goto out;
	}
	scan_image(&image, &choice.geometry, &state, &scan, &finding);
	judge_scan(&state, &scan, &finding);
	scan_image(&image, &choice.geometry, &state, &again, &finding_again);
	again.context = scan.context;
	REQUIRE(!memcmp(&scan, &again, sizeof(scan)));
	if (!(image.damage & (IMAGE_DAMAGE_STATE | IMAGE_DAMAGE_OTHER)))
		judge_history(&image, &state, &scan);
out:
	image_free(&image);
	return 0;
}
