/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Metadata blocks in host order, and whether a block is a good one. Pure:
 * compiles in userspace too.
 */
#ifndef QBD_STORE_LAYOUT_H
#define QBD_STORE_LAYOUT_H

#include "../format/superblock.h"
#include "../record/portable.h"
#include "fill_plan.h"

/*
 * A superblock in host order. Fields as in struct qbd_superblock; the last three follow
 * from them. Of a disk whose state block is known device_blocks is what that says.
 * Who keeps no data (a witness, a client) has no extents.
 */
struct qbd_geometry {
	u8 uuid[QBD_UUID_SIZE];
	u8 incarnation[QBD_UUID_SIZE];
	u8 secret[QBD_SECRET_SIZE];
	char name[QBD_NAME_SIZE];
	u32 member_id;
	u32 extent_shift;
	u32 configuration;
	bool no_data;
	bool client;
	u64 backing_blocks;
	u64 device_blocks;
	u64 extent_table_blocks;
	u64 log_block;
	u64 log_blocks;
	u64 data_block;
	u64 extent_count;
	u64 extent_blocks;
	u64 table_blocks_used;
};

/* A state block in host order; fields as in struct qbd_state_block. */
struct qbd_state {
	u64 sequence;
	u64 term;
	u32 vote;
	u32 flags;
	u64 durable_index;
	u64 commit_index;
	u64 applied_index;
	u64 log_first_index;
	u64 log_first_position;
	u64 log_previous_term;
	u32 log_previous_chain;
	struct qbd_fill_plan fill_plan;
	u64 fill_index;
	u64 fill_term;
	u64 fill_cursor;
	u64 fill_through_index;
	u64 log_generation;
	u64 truncated_index;
	u64 applied_term;
	u64 applied_position;
	u32 applied_chain;
	struct qbd_membership_layout membership;
	struct qbd_membership_layout applied_membership;
	u8 history[QBD_UUID_SIZE];
	u64 device_blocks;
	struct qbd_move_layout move;
};

/*
 * The device has had one member only, as far as the state block knows: nobody could send
 * what is lost here. The log may know better.
 */
static inline bool qbd_state_names_one(const struct qbd_state *state)
{
	return le32_to_cpu(state->membership.count) == 1 &&
	       le32_to_cpu(state->applied_membership.count) == 1;
}

/* What a metadata block is, so far as it can be told. */
enum qbd_block_verdict {
	QBD_BLOCK_GOOD,
	QBD_BLOCK_FOREIGN,	/* no block of this kind */
	QBD_BLOCK_NEWER,	/* of a version or with features unknown here */
	QBD_BLOCK_DAMAGED,
};

/**
 * qbd_superblock_check() - is this a superblock, and one that can be used?
 * @block: QBD_BLOCK_SIZE bytes
 * @position: where it was read, in blocks
 * @geometry: filled if it is good
 * @reason: otherwise a few words
 *
 * Return: what the block is.
 */
enum qbd_block_verdict qbd_superblock_check(const void *block, u64 position,
					    struct qbd_geometry *geometry,
					    const char **reason);

/**
 * qbd_geometry_grow() - the device has this size now
 * @geometry: of a good superblock
 * @device_blocks: not less than before
 *
 * Return: false, and nothing was changed, if the table has no room for it, or it is less.
 */
bool qbd_geometry_grow(struct qbd_geometry *geometry, u64 device_blocks);
/*
 * How large may the device become on this disk, if the disk has so many blocks? That of a
 * member that keeps no data gets nothing of it, and never is too small.
 */
u64 qbd_geometry_room(const struct qbd_geometry *geometry, u64 disk_blocks);
/* How large at most, however large the disk becomes: the table has no room for more. */
u64 qbd_geometry_most(const struct qbd_geometry *geometry);

enum qbd_block_verdict qbd_state_check(const void *block, u64 position,
				       const u8 *uuid, struct qbd_state *state,
				       const char **reason);
enum qbd_block_verdict qbd_extent_block_check(const void *block, u64 position,
					      const u8 *uuid);

/**
 * qbd_applied_check() - is this the second block of a slot?
 * @block: QBD_BLOCK_SIZE bytes
 * @position: where it was read
 * @uuid: device
 * @sequence: of the slot's state block
 * @reason: if not, a few words
 *
 * Return: what the block is.
 */
enum qbd_block_verdict qbd_applied_check(const void *block, u64 position,
					 const u8 *uuid, u64 sequence,
					 const char **reason);
void qbd_applied_encode(const struct qbd_applied_layout *applied, u64 sequence,
			const u8 *uuid, u64 position, void *block);

/* Is that a move as the state block may have one, or none? */
bool qbd_move_good(const struct qbd_move_layout *move);

/**
 * qbd_applied_good() - is this well formed?
 * @applied: from a disk or another member
 * @reason: on failure a few words
 *
 * Return: true if it is.
 */
bool qbd_applied_good(const struct qbd_applied_layout *applied, const char **reason);

/* Fill @block, checksum and all, from @state. */
void qbd_state_encode(const struct qbd_state *state, const u8 *uuid, u64 position,
		      void *block);
/* Write header and checksum of a metadata block whose body is there already. */
void qbd_block_seal(void *block, u32 magic, const u8 *uuid, u64 position);

/**
 * qbd_membership_good() - is this configuration well formed?
 * @membership: from a disk or another member
 * @reason: on failure a few words
 *
 * What does not pass is refused wherever it turns up: a list that came from another
 * member and was written to the disk must be readable from there again.
 *
 * Return: true if it is.
 */
bool qbd_membership_good(const struct qbd_membership_layout *membership,
			 const char **reason);

#endif
