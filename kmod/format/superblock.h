/* SPDX-License-Identifier: (GPL-2.0 OR BSD-3-Clause) */
/*
 * The member disk: superblock, state block, extent table.
 *
 *   byte 0            superblock, first copy
 *   byte 64 KiB       state block, slot 0          (two slots of two blocks, the valid
 *   byte 128 KiB      state block, slot 1           one with the higher sequence; the
 *                                                   second block: see applied.h)
 *   byte 256 KiB      extent journal
 *   byte 768 KiB      superblock, second copy
 *   byte 1 MiB        extent table, with room for that of a larger device
 *   1 MiB aligned     ring log
 *   1 MiB aligned     data area, to the end of the disk but for its last block
 *
 * The second copy lies where a device that grows never gets, and where it is found on a
 * disk that was enlarged. So nothing has to move when the device grows: what changes
 * then is the state block, which is written as one anyhow.
 *
 * The disk of a witness, and the small one of a client, have neither extent journal, extent
 * table nor data area.
 */
#ifndef QBD_FORMAT_SUPERBLOCK_H
#define QBD_FORMAT_SUPERBLOCK_H

#include "applied.h"
#include "format.h"

#define QBD_SUPERBLOCK_MAGIC	0x53444251u	/* "QBDS" */
#define QBD_STATE_MAGIC		0x54444251u	/* "QBDT" */
#define QBD_EXTENTS_MAGIC	0x45444251u	/* "QBDE" */
#define QBD_FORMAT_VERSION	1u

/* Bits of &qbd_superblock.features_incompatible. */
#define QBD_FEATURE_NO_DATA	0x01	/* no extent table, no data area */
#define QBD_FEATURE_CLIENT	0x02	/* likewise, of a client: there is a block device */
#define QBD_FEATURES_KNOWN	(QBD_FEATURE_NO_DATA | QBD_FEATURE_CLIENT)

#define QBD_STATE_SLOT_BLOCK(slot)	(16u * ((slot) + 1))
#define QBD_STATE_SLOTS			2
#define QBD_STATE_SLOT_BLOCKS		2u
/* Behind the state block of the same slot. */
#define QBD_APPLIED_BLOCK(slot)		(QBD_STATE_SLOT_BLOCK(slot) + 1)
#define QBD_EXTENT_JOURNAL_BLOCK	64u
#define QBD_EXTENT_JOURNAL_BLOCKS	128u
#define QBD_SUPERBLOCK_COPY_BLOCK	192u
#define QBD_EXTENT_TABLE_BLOCK		256u
#define QBD_ALIGNMENT_BLOCKS		256u	/* 1 MiB */

#define QBD_EXTENT_SHIFT_DEFAULT	20	/* 1 MiB */
#define QBD_EXTENT_SHIFT_MIN		16
#define QBD_EXTENT_SHIFT_MAX		26

#define QBD_LOG_BLOCKS_MIN		2048u	/* 8 MiB */

/*
 * A member that is up has when each extent changed (8 bytes) and where each record of
 * the log is (32 bytes for two blocks) in memory, each in one piece; Linux gives none
 * of 2 GiB.
 */
#define QBD_EXTENTS_MAX			((1u << 28) - 1)
#define QBD_LOG_BLOCKS_MAX		((1u << 27) - QBD_ALIGNMENT_BLOCKS)

/**
 * struct qbd_superblock - who this disk is and where things are; never changes
 *	while the member is up
 * @header: magic QBD_SUPERBLOCK_MAGIC, position 0 or QBD_SUPERBLOCK_COPY_BLOCK
 * @features_incompatible: QBD_FEATURE_*, which a reader must know; unknown ones are refused
 * @features_compatible: bits that a reader may ignore
 * @member_id: this member
 * @extent_shift: log2 of the extent size in bytes
 * @incarnation: drawn anew each time a disk is formatted: a member that comes
 *	back with an emptied disk is not the one that voted (accident 34)
 * @name: the device's name, the same on every member
 * @created_seconds: CLOCK_REALTIME of the format
 * @backing_blocks: size of the backing disk when it was made
 * @device_blocks: size of /dev/qbdN when this disk was made; see
 *	&qbd_state_block.device_blocks
 * @extent_table_blocks: at QBD_EXTENT_TABLE_BLOCK: how far the device can grow on this
 *	disk. Those beyond what the device's size needs hold anything; 0 without data
 * @log_block: first block of the ring log
 * @log_blocks: its size
 * @data_block: first block of the data area (device block 0); 0 without data
 * @secret: HMAC-SHA256 key of the handshake; the disk is as secret as it is
 * @configuration: what qbd_configuration_of() gave when the device was made: disks
 *	that were made with other members, another name or another size belong to
 *	no common device, and their members refuse one another. A member that joined
 *	was told it by the others
 * @unused: 0
 */
struct qbd_superblock {
	struct qbd_block_header header;
	__le64 features_incompatible;
	__le64 features_compatible;
	__le32 member_id;
	__le32 extent_shift;
	__u8 incarnation[QBD_UUID_SIZE];
	char name[QBD_NAME_SIZE];
	__le64 created_seconds;
	__le64 backing_blocks;
	__le64 device_blocks;
	__le64 extent_table_blocks;
	__le64 log_block;
	__le64 log_blocks;
	__le64 data_block;
	__u8 secret[QBD_SECRET_SIZE];
	__le32 configuration;
	__u8 unused[QBD_BLOCK_SIZE - 236];
} __attribute__((packed));

enum qbd_state_flags {
	/* Data is being filled from a leader's extents; fill_* are valid. */
	QBD_STATE_FILLING	= 1 << 0,
	/* Taken down in order: the log's end is durable_index exactly. */
	QBD_STATE_CLEAN		= 1 << 1,
	/* A flush or FUA write failed here: nothing on it is vouched for. */
	QBD_STATE_FAILED	= 1 << 2,
	/*
	 * Made, and never part of the device since: it has nothing, and it does not
	 * know what a disk that had this member's id before acknowledged or voted
	 * (accident 34). It neither votes nor leads.
	 */
	QBD_STATE_NEW		= 1 << 3,
	/*
	 * With FILLING: it is filled because its extent table was lost. Its log is
	 * what it was, and what is in it was acknowledged and counted.
	 */
	QBD_STATE_LOG_KEPT	= 1 << 4,
	/* With FILLING: fill_end and fill_again_* are valid; without it all is to be filled. */
	QBD_STATE_FILL_AGAIN	= 1 << 5,
};

/**
 * struct qbd_move_layout - to another address, of this member, that was to be asked for
 * @address: that one; family 0: there is none, then the rest is 0
 * @leader: the member that was to be asked
 * @reserved: 0
 * @term: of its leadership
 * @list: index of the newest list that one was made from
 *
 * On the disk before the leader is asked: it may come about by a list that this member's log
 * never gets, and whom this member does not know looks for it there.
 */
struct qbd_move_layout {
	struct qbd_address address;
	__le32 leader;
	__le32 reserved;
	__le64 term;
	__le64 list;
} __attribute__((packed));

/**
 * struct qbd_state_block - what changes: vote and checkpoint, written as one, and in
 *	one piece with a struct qbd_applied_block
 * @header: magic QBD_STATE_MAGIC
 * @sequence: of this write; the valid slot with the higher one counts
 * @term: Raft's currentTerm
 * @vote: member voted for in @term, 0 for none
 * @flags: enum qbd_state_flags
 * @durable_index: log index known durable here when this was written: a log
 *	that ends before it has lost acknowledged records (accident 27, 40)
 * @commit_index: known committed when this was written
 * @applied_index: data area and extent table hold every entry up to it
 * @log_first_index: the oldest record in the ring
 * @log_first_position: its ring position (see struct qbd_record_local)
 * @log_previous_term: term of the entry before it
 * @log_previous_chain: record checksum of the entry before it
 * @reserved: 0
 * @fill_base_index: extents from @fill_cursor to @fill_end hold the data of this index
 * @fill_index: the log starts after this index (of the filling leader)
 * @fill_term: its term
 * @fill_cursor: extents below it have been filled, see also @fill_again_end
 * @fill_through_index: the fill is whole once everything up to it is applied
 * @membership: configuration at @log_first_index - 1; later ones are in the log. Of a
 *	member that joined and has not caught up: the one that added it, which is newer
 * @log_generation: of the newest truncation; see struct qbd_record_local
 * @truncated_index: where it cut: a record of an older generation is part of the
 *	log only below it
 * @applied_term: term of the entry at @applied_index; with the next three the log
 *	can begin anew after @applied_index if older records are damaged
 * @applied_position: ring position after that record
 * @applied_chain: its record checksum
 * @reserved2: 0
 * @applied_membership: configuration at @applied_index
 * @history: drawn when somebody made this disk the only voter by force ('qbdadm recover');
 *	zeroes: never. Members of another history of the device are refused: they may have
 *	acknowledged what this one does not have
 * @device_blocks: size of the device at @applied_index, or a later one: what lies beyond
 *	the one before has become zero and the extent table has its extents. 0: that of
 *	the superblock
 * @fill_end: extents from it on are filled; 0: there are none. It and the next two are 0
 *	unless QBD_STATE_FILL_AGAIN says that they count. See kmod/store/fill_plan.h
 * @fill_again_base: extents below @fill_again_end hold the data of this index at least
 * @fill_again_end: extents below it are to be filled after those from @fill_cursor on; 0: none
 * @move: see there
 * @unused: 0
 */
struct qbd_state_block {
	struct qbd_block_header header;
	__le64 sequence;
	__le64 term;
	__le32 vote;
	__le32 flags;
	__le64 durable_index;
	__le64 commit_index;
	__le64 applied_index;
	__le64 log_first_index;
	__le64 log_first_position;
	__le64 log_previous_term;
	__le32 log_previous_chain;
	__le32 reserved;
	__le64 fill_base_index;
	__le64 fill_index;
	__le64 fill_term;
	__le64 fill_cursor;
	__le64 fill_through_index;
	struct qbd_membership_layout membership;
	__le64 log_generation;
	__le64 truncated_index;
	__le64 applied_term;
	__le64 applied_position;
	__le32 applied_chain;
	__le32 reserved2;
	struct qbd_membership_layout applied_membership;
	__u8 history[QBD_UUID_SIZE];
	__le64 device_blocks;
	__le64 fill_end;
	__le64 fill_again_base;
	__le64 fill_again_end;
	struct qbd_move_layout move;
	__u8 unused[QBD_BLOCK_SIZE - 248 - 2 * sizeof(struct qbd_membership_layout) -
		    sizeof(struct qbd_move_layout)];
} __attribute__((packed));

/**
 * struct qbd_extent_entry - one extent of the data area
 * @changed_index: log index of its last applied change; 0: never written, it
 *	reads as zeroes whatever the disk holds there
 * @location: reserved for a mapping to another place; 0: at its own place
 */
struct qbd_extent_entry {
	__le64 changed_index;
	__le64 location;
} __attribute__((packed));

#define QBD_EXTENTS_PER_BLOCK	253u

/**
 * struct qbd_extent_block - one block of the extent table
 * @header: magic QBD_EXTENTS_MAGIC, position of its place in the table
 * @reserved: 0
 * @entries: of consecutive extents; those beyond the last one are zero
 *
 * Before blocks of the table are written, the same bytes are written to the extent
 * journal and flushed, so that a write that is torn by a power cut loses nothing:
 * a damaged block is taken from the journal. Block n of the table has its image in
 * block n modulo QBD_EXTENT_JOURNAL_BLOCKS of the journal, and there only: so an
 * image is never older than what the table was last given. It counts if its header's
 * position is that of the table block. The journal may hold anything when a disk is
 * made.
 */
struct qbd_extent_block {
	struct qbd_block_header header;
	__le64 reserved;
	struct qbd_extent_entry entries[QBD_EXTENTS_PER_BLOCK];
} __attribute__((packed));

static_assert(sizeof(struct qbd_superblock) == QBD_BLOCK_SIZE, "superblock");
static_assert(sizeof(struct qbd_state_block) == QBD_BLOCK_SIZE, "state block");
static_assert(sizeof(struct qbd_extent_block) == QBD_BLOCK_SIZE, "extent block");

#endif
