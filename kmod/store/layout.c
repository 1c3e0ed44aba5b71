// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata blocks: checked when read, sealed when written.
 *
 * A block is bound to its device and its place, so that a foreign, stale or
 * misdirected one is not taken for a good one (accident 42).
 */
#include "../format/check.h"
#include "layout.h"

static enum qbd_block_verdict header_check(const void *block, u32 magic, u64 position,
					   const u8 *uuid, const char **reason)
{
	const struct qbd_block_header *header = block;

	if (le32_to_cpu(header->magic) != magic) {
		*reason = "it carries no such block";
		return QBD_BLOCK_FOREIGN;
	}
	/* A newer version may be checksummed differently. */
	if (le32_to_cpu(header->version) > QBD_FORMAT_VERSION) {
		*reason = "its format is newer than this module";
		return QBD_BLOCK_NEWER;
	}
	if (le32_to_cpu(header->version) != QBD_FORMAT_VERSION ||
	    le32_to_cpu(header->checksum) != qbd_block_checksum(block)) {
		*reason = "its checksum does not match";
		return QBD_BLOCK_DAMAGED;
	}
	if (le64_to_cpu(header->position) != position) {
		*reason = "it belongs to another place on the disk";
		return QBD_BLOCK_DAMAGED;
	}
	if (uuid && memcmp(header->uuid, uuid, QBD_UUID_SIZE)) {
		*reason = "it belongs to another device";
		return QBD_BLOCK_FOREIGN;
	}
	return QBD_BLOCK_GOOD;
}

void qbd_block_seal(void *block, u32 magic, const u8 *uuid, u64 position)
{
	struct qbd_block_header *header = block;

	header->magic = cpu_to_le32(magic);
	header->version = cpu_to_le32(QBD_FORMAT_VERSION);
	header->reserved = 0;
	header->position = cpu_to_le64(position);
	memcpy(header->uuid, uuid, QBD_UUID_SIZE);
	header->checksum = cpu_to_le32(qbd_block_checksum(block));
}

bool qbd_membership_good(const struct qbd_membership_layout *membership,
			 const char **reason)
{
	u32 count = le32_to_cpu(membership->count);
	u32 next = le32_to_cpu(membership->next_member_id);
	u32 previous = 0;
	u32 i;

	*reason = "member count out of range";
	if (!count || count > QBD_MEMBERS_MAX)
		return false;
	for (i = 0; i < count; i++) {
		const struct qbd_member_layout *member = &membership->members[i];
		u32 id = le32_to_cpu(member->id);

		*reason = "member ids not in order";
		if (id <= previous)
			return false;
		*reason = "member id that was never given";
		if (id >= next)
			return false;
		*reason = "member name not terminated";
		if (member->name[QBD_MEMBER_NAME_SIZE - 1])
			return false;
		previous = id;
	}
	return true;
}

/* Areas in order, aligned, large enough, and none beyond the disk's end. */
static bool areas_good(const struct qbd_geometry *geometry)
{
	const u64 limit = QBD_DEVICE_BLOCKS_MAX + 1;

	if (!geometry->device_blocks || geometry->backing_blocks >= limit ||
	    geometry->device_blocks >= limit || geometry->log_block >= limit ||
	    geometry->log_blocks >= limit || geometry->data_block >= limit ||
	    geometry->extent_table_blocks >= limit ||
	    geometry->extent_count > QBD_EXTENTS_MAX)
		return false;
	if (geometry->extent_table_blocks < geometry->table_blocks_used)
		return false;
	if (geometry->log_block % QBD_ALIGNMENT_BLOCKS ||
	    geometry->log_block < QBD_EXTENT_TABLE_BLOCK + geometry->extent_table_blocks)
		return false;
	if (geometry->log_blocks < QBD_LOG_BLOCKS_MIN ||
	    geometry->log_blocks > QBD_LOG_BLOCKS_MAX)
		return false;
	if (geometry->no_data)
		return !geometry->data_block && !geometry->extent_table_blocks &&
		       geometry->log_block + geometry->log_blocks <
		       geometry->backing_blocks;
	if (geometry->data_block % QBD_ALIGNMENT_BLOCKS ||
	    geometry->data_block < geometry->log_block + geometry->log_blocks)
		return false;
	return geometry->data_block + geometry->device_blocks <
	       geometry->backing_blocks;
}

static void superblock_decode(const struct qbd_superblock *superblock,
			      struct qbd_geometry *geometry)
{
	u64 features = le64_to_cpu(superblock->features_incompatible);

	memcpy(geometry->uuid, superblock->header.uuid, QBD_UUID_SIZE);
	memcpy(geometry->incarnation, superblock->incarnation, QBD_UUID_SIZE);
	memcpy(geometry->secret, superblock->secret, QBD_SECRET_SIZE);
	memcpy(geometry->name, superblock->name, QBD_NAME_SIZE);
	geometry->member_id = le32_to_cpu(superblock->member_id);
	geometry->extent_shift = le32_to_cpu(superblock->extent_shift);
	geometry->configuration = le32_to_cpu(superblock->configuration);
	geometry->no_data = features & QBD_FEATURE_NO_DATA;
	geometry->client = features & QBD_FEATURE_CLIENT;
	geometry->backing_blocks = le64_to_cpu(superblock->backing_blocks);
	geometry->device_blocks = le64_to_cpu(superblock->device_blocks);
	geometry->extent_table_blocks = le64_to_cpu(superblock->extent_table_blocks);
	geometry->log_block = le64_to_cpu(superblock->log_block);
	geometry->log_blocks = le64_to_cpu(superblock->log_blocks);
	geometry->data_block = le64_to_cpu(superblock->data_block);
}

static void set_size(struct qbd_geometry *geometry, u64 device_blocks)
{
	geometry->device_blocks = device_blocks;
	geometry->extent_count = geometry->no_data ? 0 :
		(device_blocks + geometry->extent_blocks - 1) >>
		(geometry->extent_shift - QBD_BLOCK_SHIFT);
	geometry->table_blocks_used =
		div64_u64(geometry->extent_count + QBD_EXTENTS_PER_BLOCK - 1,
			  QBD_EXTENTS_PER_BLOCK);
}

u64 qbd_geometry_most(const struct qbd_geometry *geometry)
{
	u64 extents = geometry->extent_table_blocks;

	/* It keeps none of it. */
	if (geometry->no_data)
		return QBD_DEVICE_BLOCKS_MAX;
	/* A table that is larger than memory can be is used as far as that goes. */
	extents = extents > QBD_EXTENTS_MAX / QBD_EXTENTS_PER_BLOCK ? QBD_EXTENTS_MAX :
		  extents * QBD_EXTENTS_PER_BLOCK;
	return extents << (geometry->extent_shift - QBD_BLOCK_SHIFT);
}

u64 qbd_geometry_room(const struct qbd_geometry *geometry, u64 disk_blocks)
{
	u64 taken = geometry->data_block + 1;
	u64 most = qbd_geometry_most(geometry);

	if (geometry->no_data)
		return most;
	if (disk_blocks < taken)
		return 0;
	return disk_blocks - taken < most ? disk_blocks - taken : most;
}

bool qbd_geometry_grow(struct qbd_geometry *geometry, u64 device_blocks)
{
	if (device_blocks < geometry->device_blocks ||
	    device_blocks > qbd_geometry_most(geometry))
		return false;
	set_size(geometry, device_blocks);
	return true;
}

enum qbd_block_verdict qbd_superblock_check(const void *block, u64 position,
					    struct qbd_geometry *geometry,
					    const char **reason)
{
	const struct qbd_superblock *superblock = block;
	enum qbd_block_verdict verdict;

	verdict = header_check(block, QBD_SUPERBLOCK_MAGIC, position, NULL, reason);
	if (verdict != QBD_BLOCK_GOOD)
		return verdict;
	if (le64_to_cpu(superblock->features_incompatible) & ~(u64)QBD_FEATURES_KNOWN) {
		*reason = "it uses features that this module does not know";
		return QBD_BLOCK_NEWER;
	}
	superblock_decode(superblock, geometry);
	*reason = "the device's name in it is none that a device can have";
	if (qbd_name_check(geometry->name, QBD_NAME_SIZE) != QBD_NAME_GOOD)
		return QBD_BLOCK_DAMAGED;
	*reason = "its fields make no sense";
	if (!geometry->member_id || (geometry->client && !geometry->no_data) ||
	    geometry->extent_shift < QBD_EXTENT_SHIFT_MIN ||
	    geometry->extent_shift > QBD_EXTENT_SHIFT_MAX)
		return QBD_BLOCK_DAMAGED;
	geometry->extent_blocks = 1ULL << (geometry->extent_shift - QBD_BLOCK_SHIFT);
	set_size(geometry, geometry->device_blocks);
	if (!areas_good(geometry))
		return QBD_BLOCK_DAMAGED;
	return QBD_BLOCK_GOOD;
}

static void state_decode(const struct qbd_state_block *block, struct qbd_state *state)
{
	state->sequence = le64_to_cpu(block->sequence);
	state->term = le64_to_cpu(block->term);
	state->vote = le32_to_cpu(block->vote);
	state->flags = le32_to_cpu(block->flags);
	state->durable_index = le64_to_cpu(block->durable_index);
	state->commit_index = le64_to_cpu(block->commit_index);
	state->applied_index = le64_to_cpu(block->applied_index);
	state->log_first_index = le64_to_cpu(block->log_first_index);
	state->log_first_position = le64_to_cpu(block->log_first_position);
	state->log_previous_term = le64_to_cpu(block->log_previous_term);
	state->log_previous_chain = le32_to_cpu(block->log_previous_chain);
	state->fill_plan.base = le64_to_cpu(block->fill_base_index);
	state->fill_plan.end = QBD_FILL_TO_THE_END;
	state->fill_plan.again_base = 0;
	state->fill_plan.again_end = 0;
	if (state->flags & QBD_STATE_FILL_AGAIN) {
		if (block->fill_end)
			state->fill_plan.end = le64_to_cpu(block->fill_end);
		state->fill_plan.again_base = le64_to_cpu(block->fill_again_base);
		state->fill_plan.again_end = le64_to_cpu(block->fill_again_end);
	}
	state->fill_index = le64_to_cpu(block->fill_index);
	state->fill_term = le64_to_cpu(block->fill_term);
	state->fill_cursor = le64_to_cpu(block->fill_cursor);
	state->fill_through_index = le64_to_cpu(block->fill_through_index);
	state->log_generation = le64_to_cpu(block->log_generation);
	state->truncated_index = le64_to_cpu(block->truncated_index);
	state->applied_term = le64_to_cpu(block->applied_term);
	state->applied_position = le64_to_cpu(block->applied_position);
	state->applied_chain = le32_to_cpu(block->applied_chain);
	state->membership = block->membership;
	state->applied_membership = block->applied_membership;
	memcpy(state->history, block->history, QBD_UUID_SIZE);
	state->device_blocks = le64_to_cpu(block->device_blocks);
	state->move = block->move;
}

/* The flag says of the fields that they are there, and of a fill that it is no plain one. */
static void fill_plan_encode(const struct qbd_state *state, struct qbd_state_block *block)
{
	const struct qbd_fill_plan *plan = &state->fill_plan;
	u32 flags = state->flags & ~QBD_STATE_FILL_AGAIN;

	block->fill_base_index = cpu_to_le64(plan->base);
	if (flags & QBD_STATE_FILLING &&
	    (plan->again_end || plan->end != QBD_FILL_TO_THE_END)) {
		flags |= QBD_STATE_FILL_AGAIN;
		if (plan->end != QBD_FILL_TO_THE_END)
			block->fill_end = cpu_to_le64(plan->end);
		block->fill_again_base = cpu_to_le64(plan->again_base);
		block->fill_again_end = cpu_to_le64(plan->again_end);
	}
	block->flags = cpu_to_le32(flags);
}

/*
 * No index gets so far (QBD_INDEX_MAX of the core), and one more can be counted. Of a
 * log that ends at the durable index, what is applied is part.
 */
static bool indexes_good(const struct qbd_state *state)
{
	if (state->applied_index >> 62 || state->durable_index >> 62 ||
	    state->commit_index >> 62)
		return false;
	if (!state->log_first_index || state->applied_index < state->log_first_index - 1)
		return false;
	return !(state->flags & QBD_STATE_CLEAN) ||
	       state->applied_index <= state->durable_index;
}

void qbd_state_encode(const struct qbd_state *state, const u8 *uuid, u64 position,
		      void *buffer)
{
	struct qbd_state_block *block = buffer;

	memset(block, 0, sizeof(*block));
	block->sequence = cpu_to_le64(state->sequence);
	block->term = cpu_to_le64(state->term);
	block->vote = cpu_to_le32(state->vote);
	block->durable_index = cpu_to_le64(state->durable_index);
	block->commit_index = cpu_to_le64(state->commit_index);
	block->applied_index = cpu_to_le64(state->applied_index);
	block->log_first_index = cpu_to_le64(state->log_first_index);
	block->log_first_position = cpu_to_le64(state->log_first_position);
	block->log_previous_term = cpu_to_le64(state->log_previous_term);
	block->log_previous_chain = cpu_to_le32(state->log_previous_chain);
	fill_plan_encode(state, block);
	block->fill_index = cpu_to_le64(state->fill_index);
	block->fill_term = cpu_to_le64(state->fill_term);
	block->fill_cursor = cpu_to_le64(state->fill_cursor);
	block->fill_through_index = cpu_to_le64(state->fill_through_index);
	block->log_generation = cpu_to_le64(state->log_generation);
	block->truncated_index = cpu_to_le64(state->truncated_index);
	block->applied_term = cpu_to_le64(state->applied_term);
	block->applied_position = cpu_to_le64(state->applied_position);
	block->applied_chain = cpu_to_le32(state->applied_chain);
	block->membership = state->membership;
	block->applied_membership = state->applied_membership;
	memcpy(block->history, state->history, QBD_UUID_SIZE);
	block->device_blocks = cpu_to_le64(state->device_blocks);
	block->move = state->move;
	qbd_block_seal(block, QBD_STATE_MAGIC, uuid, position);
}

bool qbd_move_good(const struct qbd_move_layout *move)
{
	static const struct qbd_move_layout none;

	if (!move->address.family)
		return !memcmp(move, &none, sizeof(none));
	return qbd_address_check(&move->address) == QBD_ADDRESS_GOOD && !move->reserved &&
	       move->leader && move->term;
}

enum qbd_block_verdict qbd_state_check(const void *block, u64 position,
				       const u8 *uuid, struct qbd_state *state,
				       const char **reason)
{
	const u32 known = QBD_STATE_FILLING | QBD_STATE_CLEAN | QBD_STATE_FAILED |
			  QBD_STATE_NEW | QBD_STATE_LOG_KEPT | QBD_STATE_FILL_AGAIN;
	enum qbd_block_verdict verdict;
	const char *membership;

	verdict = header_check(block, QBD_STATE_MAGIC, position, uuid, reason);
	if (verdict != QBD_BLOCK_GOOD)
		return verdict;
	state_decode(block, state);
	*reason = "its fields make no sense";
	if (state->flags & ~known || !indexes_good(state) ||
	    state->log_first_position >> 63 ||
	    state->device_blocks > QBD_DEVICE_BLOCKS_MAX ||
	    (state->flags & QBD_STATE_FILL_AGAIN && !(state->flags & QBD_STATE_FILLING)) ||
	    !qbd_membership_good(&state->membership, &membership))
		return QBD_BLOCK_DAMAGED;
	/* The log may have to begin there, though nothing is applied. */
	if (state->applied_position < state->log_first_position ||
	    state->applied_position >> 63 || !qbd_move_good(&state->move) ||
	    !qbd_membership_good(&state->applied_membership, &membership))
		return QBD_BLOCK_DAMAGED;
	/* The plan says so. */
	state->flags &= ~QBD_STATE_FILL_AGAIN;
	return QBD_BLOCK_GOOD;
}

static bool session_good(const struct qbd_session_layout *session)
{
	static const struct qbd_session_layout none;

	if (!session->origin)
		return !memcmp(session, &none, sizeof(none));
	return !session->reserved && !(le64_to_cpu(session->below) >> 62);
}

bool qbd_applied_good(const struct qbd_applied_layout *applied, const char **reason)
{
	unsigned int i, j;

	*reason = "a claim that makes no sense";
	if (!qbd_claim_good(&applied->claim))
		return false;
	for (i = 0; i < QBD_MEMBERS_MAX; i++) {
		*reason = "a session that makes no sense";
		if (!session_good(&applied->sessions[i]))
			return false;
		*reason = "two sessions of one member";
		for (j = 0; j < i && applied->sessions[i].origin; j++)
			if (applied->sessions[i].origin == applied->sessions[j].origin)
				return false;
	}
	return true;
}

enum qbd_block_verdict qbd_applied_check(const void *block, u64 position,
					 const u8 *uuid, u64 sequence,
					 const char **reason)
{
	const struct qbd_applied_block *applied = block;
	enum qbd_block_verdict verdict;

	verdict = header_check(block, QBD_APPLIED_MAGIC, position, uuid, reason);
	if (verdict != QBD_BLOCK_GOOD)
		return verdict;
	if (!qbd_applied_good(&applied->applied, reason))
		return QBD_BLOCK_DAMAGED;
	*reason = "it was not written with its state block";
	return le64_to_cpu(applied->sequence) == sequence ? QBD_BLOCK_GOOD :
							    QBD_BLOCK_DAMAGED;
}

void qbd_applied_encode(const struct qbd_applied_layout *applied, u64 sequence,
			const u8 *uuid, u64 position, void *buffer)
{
	struct qbd_applied_block *block = buffer;

	memset(block, 0, sizeof(*block));
	block->sequence = cpu_to_le64(sequence);
	block->applied = *applied;
	qbd_block_seal(block, QBD_APPLIED_MAGIC, uuid, position);
}

enum qbd_block_verdict qbd_extent_block_check(const void *block, u64 position,
					      const u8 *uuid)
{
	const char *reason;

	return header_check(block, QBD_EXTENTS_MAGIC, position, uuid, &reason);
}
