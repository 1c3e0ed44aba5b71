/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a disk says after a power cut. Pure: compiles in userspace too; blocks
 * come through a callback.
 */
#ifndef QBD_STORE_RECOVERY_H
#define QBD_STORE_RECOVERY_H

#include "../record/header.h"
#include "layout.h"

/**
 * struct qbd_superblock_choice - what the two copies say together
 * @geometry: to be used
 * @good: number of the copy it comes from
 * @repair: the other copy is damaged and has to be written again
 */
struct qbd_superblock_choice {
	struct qbd_geometry geometry;
	unsigned int good;
	bool repair;
};

/**
 * qbd_recovery_superblock() - one superblock of two copies
 * @copies: QBD_BLOCK_SIZE bytes each; NULL if it could not be read or found
 * @positions: where they were read
 * @disk_blocks: size of the disk
 * @choice: on success
 * @reason: on failure, one clause
 *
 * Return: 0, -EMEDIUMTYPE, -EPROTONOSUPPORT or -EUCLEAN; see the table in
 * recovery.c.
 */
int qbd_recovery_superblock(const void *const copies[2], const u64 positions[2],
			    u64 disk_blocks, struct qbd_superblock_choice *choice,
			    const char **reason);

/**
 * qbd_recovery_state() - one state block of two slots
 * @slots: state blocks, QBD_BLOCK_SIZE bytes each; NULL if one of the slot's two blocks
 *	could not be read
 * @applied: the blocks behind them, likewise
 * @uuid: device
 * @state: on success
 * @slot: on success: which of them it was
 * @reason: on failure, one clause
 *
 * Return: 0, -EPROTONOSUPPORT or -EUCLEAN.
 */
int qbd_recovery_state(const void *const slots[QBD_STATE_SLOTS],
		       const void *const applied[QBD_STATE_SLOTS], const u8 *uuid,
		       struct qbd_state *state, unsigned int *slot,
		       const char **reason);

/**
 * qbd_recovery_size() - how large is the device, by this disk?
 * @geometry: of the superblock; becomes that of the device as it is
 * @state: of the state block
 * @disk_blocks: size of the disk
 * @reason: on failure, one clause
 *
 * Return: 0 or -EUCLEAN.
 */
int qbd_recovery_size(struct qbd_geometry *geometry, const struct qbd_state *state,
		      u64 disk_blocks, const char **reason);

/**
 * struct qbd_scan_ops - what the scan of the ring needs
 * @block: the log block at @place (0..log_blocks - 1), valid until the next call;
 *	NULL if it cannot be read
 * @found: a record is good; in order
 * @restart: what was found so far does not count, the log begins behind what is applied;
 *	once or twice
 */
struct qbd_scan_ops {
	const void *(*block)(void *context, u64 place);
	void (*found)(void *context, const struct qbd_record_header *header,
		      u64 position);
	void (*restart)(void *context);
};

enum qbd_log_verdict {
	QBD_LOG_WHOLE,		/* the log ends where it has to */
	QBD_LOG_TORN,		/* a torn tail was dropped */
	QBD_LOG_DAMAGED,	/* acknowledged records are lost */
};

/**
 * struct qbd_scan - the scan of a ring
 * @uuid: device
 * @member_id: whose log this is
 * @device_blocks: size of the device at the applied index; then at what was found last
 * @device_blocks_most: it cannot be larger on this disk
 * @log_blocks: size of the ring
 * @state: state block
 * @ops: see there
 * @context: for @ops
 * @verdict: what the log is
 * @base_index: entry before the oldest record
 * @base_term: its term
 * @base_chain: its chain
 * @base_position: ring position of the oldest record
 * @from_applied: records that had been applied are damaged, and the log begins
 *	after the applied ones: &qbd_state.applied_membership counts
 * @last_index: newest good record, or @base_index
 * @last_term: its term
 * @last_chain: its chain
 * @next_position: ring position after it
 * @commit_index: highest index known committed, not capped
 * @bad_index: the record at which the log was found to end
 * @damaged_through: highest index known to have been acknowledged, if damaged
 * @suspected: nothing is known, but what cannot be read may have been acknowledged
 * @generation: newest truncation that is known of: the state block's, or a record's
 * @members_changed: there are configurations in the log
 * @reason: what is wrong with the record at @bad_index
 * @last_generation: of the newest good record
 * @newest_generation: likewise @generation, or of a good record behind @bad_index
 * @forked: a later record than the newest good one takes its place, and does not follow it
 * @unreadable: the block looked at last could not be read
 * @header: copy of the header being looked at
 */
struct qbd_scan {
	/* in */
	const u8 *uuid;
	u32 member_id;
	u64 device_blocks;
	u64 device_blocks_most;
	u64 log_blocks;
	const struct qbd_state *state;
	const struct qbd_scan_ops *ops;
	void *context;
	/* out */
	enum qbd_log_verdict verdict;
	u64 base_index;
	u64 base_term;
	u32 base_chain;
	u64 base_position;
	bool from_applied;
	u64 last_index;
	u64 last_term;
	u32 last_chain;
	u64 next_position;
	u64 commit_index;
	u64 bad_index;
	u64 damaged_through;
	bool suspected;
	u64 generation;
	bool members_changed;
	const char *reason;
	/* its own */
	u64 last_generation;
	u64 newest_generation;
	bool forked;
	bool unreadable;
	struct qbd_record_header header;
};

void qbd_recovery_scan(struct qbd_scan *scan);

/**
 * qbd_recovery_local_check() - does this header belong here?
 * @header: its shared part is known to be good
 * @position: ring position where it was found
 * @member_id: whose log this is
 * @state: of the disk
 * @reason: if not, a few words
 */
bool qbd_recovery_local_check(const struct qbd_record_header *header, u64 position,
			      u32 member_id, const struct qbd_state *state,
			      const char **reason);

#endif
