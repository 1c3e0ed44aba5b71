// SPDX-License-Identifier: GPL-2.0
/*
 * The store of a witness, on a disk that has room for metadata and log only: what it
 * writes anywhere else fails, and with it the test.
 */
#include "../store/internal.h"
#include "store_rig.h"

#define LARGER_BLOCKS	0x40000000u

static bool is_reset(struct store_rig *rig)
{
	return rig->resets;
}

static bool is_filled(struct store_rig *rig)
{
	return rig->fills_durable;
}

static u64 size(struct store_rig *rig)
{
	return qbd_store_identity(rig->store)->device_blocks;
}

static bool size_is_durable(struct store_rig *rig)
{
	return rig->failed || qbd_store_durable_blocks(rig->store) == size(rig);
}

static struct store_rig *begin_with(struct store_rig *rig)
{
	store_rig_start(rig);
	return rig;
}

static struct store_rig *begin(struct kunit *test, u64 seed)
{
	return begin_with(store_rig_create_witness(test, seed));
}

/* Append, commit and apply so many records of so many blocks. */
static void write(struct store_rig *rig, u32 count, u32 blocks)
{
	struct rig_operation operation = { .count = blocks };
	u64 last = rig->last_index + count;

	while (rig->last_index < last && !rig->failed) {
		operation.block = rig->last_index * blocks % (RIG_DEVICE_BLOCKS - blocks);
		if (!store_rig_append(rig, &operation, 1)) {
			store_rig_wait(rig, rig_all_durable);
			store_rig_commit(rig, rig->last_index);
			store_rig_wait(rig, rig_all_applied);
		}
	}
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, rig->last_index);
	store_rig_wait(rig, rig_all_applied);
}

/* Many times what the ring holds; what was there when it went down is there again. */
static void it_needs_no_room_for_data(struct kunit *test)
{
	struct store_rig *rig = begin(test, 1);
	u64 first;

	KUNIT_EXPECT_FALSE(test, qbd_store_identity(rig->store)->keeps_data);
	KUNIT_EXPECT_EQ(test, qbd_store_identity(rig->store)->extent_count, 0);
	write(rig, 600, 13);
	KUNIT_EXPECT_FALSE(test, rig->failed);
	KUNIT_EXPECT_EQ(test, qbd_store_applied_index(rig->store), rig->last_index);
	KUNIT_EXPECT_EQ(test, qbd_store_changed_extent(rig->store, 0, U64_MAX, 0), U64_MAX);
	first = qbd_store_first_index(rig->store);
	KUNIT_EXPECT_GT(test, first, 1);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_GE(test, qbd_store_first_index(rig->store), first);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 600);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, 600);
	write(rig, 10, 1);
	store_rig_destroy(rig);
}

/*
 * The log is all that a data member that was away can be brought up to date from. Others
 * drop half of it when it is three quarters full.
 */
static void its_log_is_kept_while_there_is_room(struct kunit *test)
{
	struct store_rig *rig = begin(test, 2);
	const u64 mark = RIG_LOG_BLOCKS - QBD_LOG_RESERVE_BLOCKS - QBD_RECORD_BLOCKS_MAX;
	struct qbd_store_status status;
	u64 used = 0;

	while (qbd_store_first_index(rig->store) == 1 && rig->last_index < 1000) {
		qbd_store_status(rig->store, &status);
		used = status.log_used_bytes >> QBD_BLOCK_SHIFT;
		write(rig, 1, 7);
	}
	/* Nothing went before it had to, and then no more than an eighth. */
	KUNIT_EXPECT_GE(test, used + 8, mark);
	qbd_store_status(rig->store, &status);
	KUNIT_EXPECT_GT(test, status.log_used_bytes >> QBD_BLOCK_SHIFT,
			mark - RIG_LOG_BLOCKS / 8 - 8);
	/* What is not committed stays in any case. */
	write(rig, 100, 7);
	used = qbd_store_first_index(rig->store);
	while (store_rig_append(rig, &(struct rig_operation){ .count = 7 }, 1))
		;
	store_rig_wait(rig, rig_all_durable);
	KUNIT_EXPECT_LE(test, qbd_store_first_index(rig->store), rig->commit_index + 1);
	KUNIT_EXPECT_GE(test, qbd_store_first_index(rig->store), used);
	store_rig_destroy(rig);
}

/* Whenever the power goes: what was durable is there, in order. */
static void it_comes_back_after_power_cuts(struct kunit *test)
{
	struct store_rig *rig = begin(test, 3);
	u32 run, i;

	for (run = 0; run < 60 && test->status != KUNIT_FAILURE; run++) {
		u64 durable, committed;

		for (i = test_random(&rig->random, 60); i; i--) {
			store_rig_append_random(rig);
			store_rig_poll(rig);
			if (test_random(&rig->random, 2))
				store_rig_commit(rig, rig->durable_index);
		}
		durable = rig->durable_index;
		committed = rig->commit_index;
		store_rig_cut(rig);
		store_rig_open(rig);
		KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
		KUNIT_EXPECT_GE(test, rig->recovered.last_index, durable);
		KUNIT_EXPECT_LE(test, rig->recovered.applied_index, committed);
		store_rig_vote(rig);
	}
	store_rig_destroy(rig);
}

/*
 * The leader's log does not reach it: its own is begun anew. That it is about to be is on
 * the disk first, and until that is gone the witness counts as no copy.
 */
static void its_log_begins_anew(struct kunit *test)
{
	struct store_rig *rig = begin(test, 4);
	u64 leader_last;
	const struct rig_entry *entry;
	struct qbd_membership_layout list;

	write(rig, 20, 3);
	leader_last = rig->last_index;
	while (leader_last < 500)
		store_rig_leader_entry(rig, &leader_last);
	entry = &rig->history[rig->log[leader_last] - 1];
	store_rig_list_at(rig, leader_last, &list);
	store_rig_reset(rig, leader_last, entry->term, entry->chain, &list);
	store_rig_wait(rig, is_reset);
	store_rig_cut(rig);
	KUNIT_ASSERT_EQ(test, store_rig_try_open(rig), 0);
	KUNIT_EXPECT_TRUE(test, rig->recovered.filling);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 500);
	KUNIT_EXPECT_EQ(test, rig->recovered.base_index, 500);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, 500);
	qbd_store_fill_finish(rig->store);
	store_rig_wait(rig, is_filled);
	store_rig_cut(rig);
	rig->commit_index = 500;
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.filling);
	KUNIT_EXPECT_EQ(test, rig->recovered.base_index, 500);
	write(rig, 20, 3);
	KUNIT_EXPECT_EQ(test, qbd_store_applied_index(rig->store), 520);
	store_rig_destroy(rig);
}

/*
 * The device may become as large as it likes. A witness knows it as of what it has applied,
 * also after a power cut: it may have to tell others.
 */
static void it_notes_the_size(struct kunit *test)
{
	struct store_rig *rig = begin(test, 5);

	KUNIT_EXPECT_EQ(test, qbd_store_room(rig->store), QBD_DEVICE_BLOCKS_MAX);
	write(rig, 5, 3);
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, LARGER_BLOCKS));
	store_rig_wait(rig, rig_all_durable);
	KUNIT_EXPECT_EQ(test, size(rig), RIG_DEVICE_BLOCKS);
	KUNIT_EXPECT_EQ(test, qbd_store_blocks_after(rig->store, rig->last_index),
			LARGER_BLOCKS);
	store_rig_commit(rig, rig->last_index);
	store_rig_wait(rig, rig_all_applied);
	KUNIT_EXPECT_EQ(test, size(rig), LARGER_BLOCKS);
	KUNIT_EXPECT_EQ(test, rig->store->log.resizes, 0);
	write(rig, 5, 3);
	store_rig_wait(rig, size_is_durable);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, size(rig), LARGER_BLOCKS);
	KUNIT_EXPECT_EQ(test, qbd_store_identity(rig->store)->extent_count, 0);
	/* What RESET says: it is durable when it is taken. */
	KUNIT_EXPECT_FALSE(test, qbd_store_grow(rig->store, 2ull * LARGER_BLOCKS));
	store_rig_poll(rig);
	store_rig_wait(rig, size_is_durable);
	KUNIT_EXPECT_TRUE(test, qbd_store_grow(rig->store, 2ull * LARGER_BLOCKS));
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, size(rig), 2ull * LARGER_BLOCKS);
	KUNIT_EXPECT_EQ(test, qbd_store_cannot_grow(rig->store), 0);
	store_rig_destroy(rig);
}

/*
 * A client has the same store, and gives nobody anything of its log: no more is kept of it than
 * of others.
 */
static void a_client_keeps_no_log_for_others(struct kunit *test)
{
	struct store_rig *rig = begin_with(store_rig_create_client(test, 6));
	struct qbd_store_status status;

	KUNIT_EXPECT_TRUE(test, qbd_store_identity(rig->store)->client);
	KUNIT_EXPECT_FALSE(test, qbd_store_identity(rig->store)->keeps_data);
	while (qbd_store_first_index(rig->store) == 1 && rig->last_index < 1000)
		write(rig, 1, 7);
	KUNIT_EXPECT_GT(test, qbd_store_first_index(rig->store), 1);
	qbd_store_status(rig->store, &status);
	KUNIT_EXPECT_LE(test, status.log_used_bytes >> QBD_BLOCK_SHIFT, RIG_LOG_BLOCKS / 2 + 8);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, qbd_store_identity(rig->store)->client);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, rig->recovered.last_index);
	store_rig_destroy(rig);
}

static struct kunit_case store_witness_cases[] = {
	KUNIT_CASE(it_needs_no_room_for_data),
	KUNIT_CASE(its_log_is_kept_while_there_is_room),
	KUNIT_CASE(it_comes_back_after_power_cuts),
	KUNIT_CASE(its_log_begins_anew),
	KUNIT_CASE(it_notes_the_size),
	KUNIT_CASE(a_client_keeps_no_log_for_others),
	{ }
};

static struct kunit_suite store_witness_suite = {
	.name		= "store_witness",
	.test_cases	= store_witness_cases,
};

kunit_test_suite(store_witness_suite);
