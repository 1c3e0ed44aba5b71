/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A store on a test disk, with the test in the place of the replica, and a model
 * of what the store has to hold.
 *
 * Every block of every write is filled with a pattern that names block, term,
 * index and operation; the model keeps the entries, so what a block has to hold
 * at a commit index is computed, not remembered.
 */
#ifndef QBD_TESTS_STORE_RIG_H
#define QBD_TESTS_STORE_RIG_H

#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/wait.h>

#include "../store/store.h"
#include "test_disk.h"

#define RIG_ENTRIES_MAX		16384
#define RIG_OPERATIONS_MAX	4
#define RIG_DEVICE_BLOCKS	1500u
#define RIG_LOG_BLOCKS		2048u
/* Of a witness: metadata, log, second superblock. */
#define RIG_WITNESS_BLOCKS	(QBD_EXTENT_TABLE_BLOCK + RIG_LOG_BLOCKS + 1)
#define RIG_EXTENT_SHIFT	16	/* 16 blocks */
/* Of a device of more than twice as many only so many at each end can be used. */
#define RIG_SOLID_BLOCKS	20000u

struct rig_operation {
	u32 block;
	u32 count;
	bool zero;
};

/**
 * struct rig_entry - one entry that was appended at some time
 * @index: log index
 * @term: of it
 * @chain: identifies it
 * @members: a list of so many members, and no operations; 0: none
 * @grow_to: the device has so many blocks from here on, and no operations; 0: no change
 * @operation_count: how many @operations there are
 * @operations: what it does
 */
struct rig_entry {
	u64 index;
	u64 term;
	u32 chain;
	u32 members;
	u32 grow_to;
	u32 operation_count;
	struct rig_operation operations[RIG_OPERATIONS_MAX];
};

/**
 * struct store_rig - see above
 * @test: the KUnit test
 * @disk: its disk
 * @members: that the device had when it was made
 * @device_blocks: size of the device, or the largest it is to grow to
 * @first_blocks: size when it was made
 * @witness: the disk has no room for its data
 * @client: likewise, and it is a client's
 * @log_blocks: of its ring
 * @uuid: of the device
 * @pool: log pages
 * @store: open, or NULL
 * @recovered: of the last open
 * @error_text: likewise, if it failed
 * @wait: woken by kicks
 * @kicked: a kick came
 * @random: decides what to do
 * @term: of the next entry
 * @vote_sequence: its sequence
 * @vote_term_durable: term of the newest vote that is durable
 * @votes: term of each sequence, modulo 64; the vote is term % 5
 * @history: all entries ever, oldest first
 * @history_count: how many
 * @log: history numbers + 1 of the entries in the log, by index
 * @last_index: of the log
 * @base_index: before its first entry
 * @durable_index: reported durable for the log as it is
 * @commit_index: committed
 * @applied_index: reported
 * @failed: reported
 * @unwanted: nobody waits for it to be open: what open is told
 * @reading: called when open has searched the log, index 0, and for each entry that it
 *	reports: the disk may be another one from here on
 * @resets: reported
 * @fill_error: what fills are expected to end with
 * @fills_written: reported
 * @fills_durable: reported
 * @loaded: last record read back
 * @loaded_index: its index
 * @spaces: reported
 * @next_entry: next index that open has to report
 * @memberships: MEMBERSHIP records that the last open reported
 * @membership: the last one of them
 * @applied: what was last said to be applied besides the data: each index has its own
 * @without_data: so a leader says at the next reset
 * @ahead_index: right after a crash the data area may be ahead of what is known to
 *	be committed: it may hold committed entries up to this index; 0: no
 * @ahead_log: the log as it was then
 */
struct store_rig {
	u32 members;
	struct kunit *test;
	struct test_disk *disk;
	u32 device_blocks;
	u32 first_blocks;
	bool witness;
	bool client;
	u32 log_blocks;
	u8 uuid[QBD_UUID_SIZE];
	struct qbd_pool *pool;
	struct qbd_store *store;
	struct qbd_store_recovered recovered;
	char error_text[256];
	wait_queue_head_t wait;
	bool kicked;
	struct rnd_state random;
	u64 term;
	u64 vote_sequence;
	u64 vote_term_durable;
	u64 votes[64];
	struct rig_entry *history;
	u32 history_count;
	u32 *log;
	u64 last_index;
	u64 base_index;
	u64 durable_index;
	u64 commit_index;
	u64 applied_index;
	bool failed;
	bool unwanted;
	void (*reading)(struct store_rig *rig, u64 index);
	u32 resets;
	int fill_error;
	u32 fills_written;
	u32 fills_durable;
	struct qbd_record *loaded;
	u64 loaded_index;
	u32 spaces;
	u64 next_entry;
	u32 memberships;
	struct qbd_membership_layout membership;
	struct qbd_applied_layout applied;
	u64 without_data;
	u64 ahead_index;
	const u32 *ahead_log;
};

struct store_rig *store_rig_create(struct kunit *test, u64 seed);
/* With a device of another size than RIG_DEVICE_BLOCKS, or more members than one. */
struct store_rig *store_rig_create_sized(struct kunit *test, u64 seed, u32 device_blocks,
					 u32 members);
/* It has @first_blocks, and can grow to @most_blocks. */
struct store_rig *store_rig_create_growing(struct kunit *test, u64 seed, u32 first_blocks,
					   u32 most_blocks);
/* Its log has so many blocks instead of RIG_LOG_BLOCKS. */
struct store_rig *store_rig_create_logging(struct kunit *test, u64 seed, u32 log_blocks);
/* A disk as small as that of a witness can be. */
struct store_rig *store_rig_create_witness(struct kunit *test, u64 seed);
struct store_rig *store_rig_create_client(struct kunit *test, u64 seed);
void store_rig_destroy(struct store_rig *rig);

/* Open; on success the model's log becomes what was recovered. */
int store_rig_try_open(struct store_rig *rig);
void store_rig_open(struct store_rig *rig);
/* Open, and give a vote that is durable. Return: @rig. */
struct store_rig *store_rig_start(struct store_rig *rig);
/* Down in order, and what @rig->store was is gone. */
void store_rig_stop(struct store_rig *rig);
/* The power fails; the store is closed, the power comes back. */
void store_rig_cut(struct store_rig *rig);

/* Let the store run until @done or for too long (then the test fails). */
void store_rig_wait(struct store_rig *rig, bool (*done)(struct store_rig *rig));
/* Let it run if something is to be done now. */
void store_rig_poll(struct store_rig *rig);
bool rig_all_durable(struct store_rig *rig);
bool rig_vote_durable(struct store_rig *rig);
bool rig_all_applied(struct store_rig *rig);

/* Append one entry; false if there was no room or no memory. */
bool store_rig_append(struct store_rig *rig, const struct rig_operation *operations,
		      u32 count);
/* An entry that is a configuration. */
void store_rig_append_membership(struct store_rig *rig,
				 const struct qbd_membership_layout *membership);
bool store_rig_append_random(struct store_rig *rig);
/* A list of so many members. */
bool store_rig_append_members(struct store_rig *rig, u32 count);
/* The device is to have so many blocks. */
bool store_rig_append_resize(struct store_rig *rig, u32 blocks);
/* How many it has after the entry at @index, by the model. */
u32 store_rig_blocks_at(struct store_rig *rig, u64 index);
/* The list in force at an index, by the model. */
void store_rig_list_at(struct store_rig *rig, u64 index,
		       struct qbd_membership_layout *membership);
void store_rig_truncate(struct store_rig *rig, u64 first_removed);
void store_rig_commit(struct store_rig *rig, u64 index);
/* All that was appended, until it is applied. */
void store_rig_commit_all(struct store_rig *rig);
void store_rig_vote(struct store_rig *rig);
/* qbd_store_reset(), with what is applied at @index. */
void store_rig_reset(struct store_rig *rig, u64 index, u64 term, u32 chain,
		     const struct qbd_membership_layout *membership);

/* Read @count blocks through the store and compare with the model. */
void store_rig_check_read(struct store_rig *rig, u32 block, u32 count);
void store_rig_check_all(struct store_rig *rig);
/*
 * After a crash: what was committed and is not in the log any more is appended and
 * committed again, as a leader would have it.
 */
void store_rig_restore_commit(struct store_rig *rig, u64 commit_index,
			      const u32 *log);
/* When all is applied: does the extent table miss no change? */
void store_rig_check_extents(struct store_rig *rig);
/*
 * An entry that the leader has and this member has not: goes into the model only,
 * after the last one of the model's log, which is at *@leader_last.
 */
void store_rig_leader_entry(struct store_rig *rig, u64 *leader_last);
/* Content of @count blocks from @block on at the commit index, one page each. */
void store_rig_expect(struct store_rig *rig, u32 block, u32 count, struct page **pages);
/* Index of the last entry up to the commit index that touched @extent, or 0. */
u64 store_rig_changed(struct store_rig *rig, u64 extent, bool writes_only);
/* First block of the ring. */
u64 store_rig_log_block(struct store_rig *rig);

#endif
