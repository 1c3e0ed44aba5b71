// SPDX-License-Identifier: GPL-2.0
/*
 * The device becomes larger: what is new reads as zeroes, whatever the disk holds there,
 * and a power cut at any write leads to the old size or the new one.
 */
#include <linux/slab.h>

#include "../store/internal.h"
#include "store_rig.h"

/* The last extent is not a whole one; the table needs another block, and a third. */
#define FIRST_BLOCKS	4030u
#define SECOND_BLOCKS	4100u
#define MOST_BLOCKS	9000u

static bool vote_is_durable(struct store_rig *rig)
{
	return rig->failed || rig->vote_term_durable >= rig->term;
}

static bool checkpointed(struct store_rig *rig)
{
	return !rig->store->checkpoint.step && !rig->store->checkpoint.wanted;
}

static void new_term(struct store_rig *rig)
{
	store_rig_vote(rig);
	store_rig_wait(rig, vote_is_durable);
}

static struct store_rig *begin(struct kunit *test, u64 seed)
{
	struct store_rig *rig = store_rig_create_growing(test, seed, FIRST_BLOCKS, MOST_BLOCKS);

	store_rig_open(rig);
	new_term(rig);
	return rig;
}

static void write_at(struct store_rig *rig, u32 block, u32 count)
{
	struct rig_operation operation = { .block = block, .count = count };

	KUNIT_ASSERT_TRUE(rig->test, store_rig_append(rig, &operation, 1));
}

static void commit(struct store_rig *rig)
{
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, rig->last_index);
	store_rig_wait(rig, rig_all_applied);
}

static u64 size(struct store_rig *rig)
{
	return qbd_store_identity(rig->store)->device_blocks;
}

static void what_is_new_reads_as_zero(struct kunit *test)
{
	struct store_rig *rig = begin(test, 1);

	KUNIT_EXPECT_EQ(test, size(rig), FIRST_BLOCKS);
	/* Its last extent has data, and rubbish behind the end of the device. */
	write_at(rig, FIRST_BLOCKS - 2, 2);
	commit(rig);
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, SECOND_BLOCKS));
	KUNIT_EXPECT_EQ(test, qbd_store_blocks_after(rig->store, rig->last_index - 1),
			FIRST_BLOCKS);
	KUNIT_EXPECT_EQ(test, qbd_store_blocks_after(rig->store, rig->last_index),
			SECOND_BLOCKS);
	KUNIT_EXPECT_EQ(test, size(rig), FIRST_BLOCKS);
	commit(rig);
	KUNIT_EXPECT_EQ(test, size(rig), SECOND_BLOCKS);
	store_rig_check_all(rig);
	write_at(rig, SECOND_BLOCKS - 3, 3);
	write_at(rig, FIRST_BLOCKS - 1, 3);
	commit(rig);
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, MOST_BLOCKS));
	commit(rig);
	write_at(rig, MOST_BLOCKS - 1, 1);
	commit(rig);
	store_rig_check_all(rig);
	/* To what is there already: nothing happens. */
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, SECOND_BLOCKS));
	commit(rig);
	KUNIT_EXPECT_EQ(test, size(rig), MOST_BLOCKS);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, size(rig), MOST_BLOCKS);
	store_rig_check_all(rig);
	store_rig_check_extents(rig);
	store_rig_destroy(rig);
}

static void what_is_cut_off_does_not_count(struct kunit *test)
{
	struct store_rig *rig = begin(test, 2);

	write_at(rig, 7, 1);
	commit(rig);
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, SECOND_BLOCKS));
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->last_index, 2);
	KUNIT_EXPECT_EQ(test, size(rig), FIRST_BLOCKS);
	KUNIT_EXPECT_EQ(test, qbd_store_blocks_after(rig->store, 2), SECOND_BLOCKS);
	store_rig_truncate(rig, 2);
	new_term(rig);
	KUNIT_EXPECT_EQ(test, qbd_store_blocks_after(rig->store, 1), FIRST_BLOCKS);
	write_at(rig, 9, 1);
	commit(rig);
	KUNIT_EXPECT_EQ(test, size(rig), FIRST_BLOCKS);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

/* One write or flush after the other is the last one that gets through. */
static void power_cuts_at_any_write(struct kunit *test)
{
	bool was_old = false, was_new = false, before_durable = false;
	u32 cut;

	for (cut = 1; cut < 60 && test->status != KUNIT_FAILURE; cut++) {
		struct store_rig *rig = begin(test, cut);
		u64 committed, durable;

		write_at(rig, FIRST_BLOCKS - 2, 2);
		write_at(rig, 0, 5);
		commit(rig);
		/* The RESIZE is there; all that follows from it may be cut off. */
		KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, MOST_BLOCKS));
		store_rig_wait(rig, rig_all_durable);
		test_disk_cut_after(rig->disk, cut);
		store_rig_commit(rig, rig->last_index);
		store_rig_wait(rig, rig_all_applied);
		if (!rig->failed)
			store_rig_wait(rig, checkpointed);
		committed = rig->commit_index;
		durable = qbd_store_durable_blocks(rig->store);
		before_durable |= size(rig) == MOST_BLOCKS && durable == FIRST_BLOCKS;
		qbd_store_close(rig->store);
		rig->store = NULL;
		test_disk_power_cut(rig->disk);
		test_disk_power_on(rig->disk);
		store_rig_open(rig);
		KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
		KUNIT_EXPECT_EQ(test, rig->last_index, committed);
		/* What users were shown is there. */
		KUNIT_EXPECT_GE(test, size(rig), durable);
		KUNIT_EXPECT_EQ(test, size(rig), qbd_store_durable_blocks(rig->store));
		was_old |= size(rig) == FIRST_BLOCKS;
		was_new |= size(rig) == MOST_BLOCKS;
		new_term(rig);
		store_rig_commit(rig, committed);
		store_rig_wait(rig, rig_all_applied);
		KUNIT_EXPECT_EQ(test, size(rig), MOST_BLOCKS);
		store_rig_check_all(rig);
		write_at(rig, MOST_BLOCKS - 20, 4);
		commit(rig);
		store_rig_stop(rig);
		store_rig_open(rig);
		store_rig_check_all(rig);
		store_rig_check_extents(rig);
		if (test->status == KUNIT_FAILURE)
			kunit_err(test, "cut after %u\n", cut);
		store_rig_destroy(rig);
	}
	KUNIT_EXPECT_TRUE(test, was_old && was_new && before_durable);
}

static bool refused(struct store_rig *rig)
{
	return qbd_store_cannot_grow(rig->store);
}

/* The disk has shrunk since it was asked, or it never had room for that. */
static void a_disk_without_room(struct kunit *test)
{
	struct store_rig *rig = begin(test, 3);
	u64 room = qbd_store_room(rig->store);

	KUNIT_EXPECT_GE(test, room, MOST_BLOCKS);
	write_at(rig, 1, 1);
	commit(rig);
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, room + 1));
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, rig->last_index);
	store_rig_wait(rig, refused);
	KUNIT_EXPECT_EQ(test, qbd_store_cannot_grow(rig->store), room + 1);
	KUNIT_EXPECT_EQ(test, size(rig), FIRST_BLOCKS);
	store_rig_check_all(rig);
	/* Down in order all the same; and it does not come up as something that it is not. */
	store_rig_stop(rig);
	KUNIT_EXPECT_EQ(test, store_rig_try_open(rig), -ENOSPC);
	KUNIT_EXPECT_NOT_NULL(test, strstr(rig->error_text, "enlarge this disk"));
	rig->failed = false;
	store_rig_destroy(rig);
}

static bool ready(struct store_rig *rig)
{
	return qbd_store_grow(rig->store, MOST_BLOCKS) && checkpointed(rig);
}

static bool reset_done(struct store_rig *rig)
{
	return rig->resets && checkpointed(rig);
}

/* A fill passes the RESIZE by: first the size, durably, then the new log. */
static void a_reset_to_a_larger_device(struct kunit *test)
{
	struct store_rig *rig = begin(test, 4);
	struct qbd_membership_layout membership;

	write_at(rig, FIRST_BLOCKS - 2, 2);
	commit(rig);
	KUNIT_EXPECT_FALSE(test, qbd_store_grow(rig->store, MOST_BLOCKS));
	store_rig_wait(rig, ready);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, size(rig), MOST_BLOCKS);
	store_rig_check_all(rig);
	new_term(rig);
	store_rig_list_at(rig, 1, &membership);
	store_rig_reset(rig, 100, rig->term, 0x17, &membership);
	store_rig_wait(rig, reset_done);
	store_rig_cut(rig);
	KUNIT_ASSERT_EQ(test, store_rig_try_open(rig), 0);
	KUNIT_EXPECT_TRUE(test, rig->recovered.filling);
	KUNIT_EXPECT_EQ(test, size(rig), MOST_BLOCKS);
	store_rig_destroy(rig);
}

/* Its extents are in memory already, so nothing but what is under way is waited for. */
static void expect_small_for_now(struct store_rig *rig)
{
	KUNIT_EXPECT_GE(rig->test, rig->store->extents.room * 16, SECOND_BLOCKS);
	KUNIT_EXPECT_FALSE(rig->test, qbd_store_grow(rig->store, SECOND_BLOCKS));
	qbd_store_run(rig->store);
	KUNIT_EXPECT_EQ(rig->test, size(rig), FIRST_BLOCKS);
	KUNIT_EXPECT_EQ(rig->test, rig->store->geometry.device_blocks, FIRST_BLOCKS);
}

static bool second_is_there(struct store_rig *rig)
{
	return qbd_store_grow(rig->store, SECOND_BLOCKS) && checkpointed(rig);
}

/* The table that a checkpoint writes is of one size. */
static void growing_waits_for_a_checkpoint(struct kunit *test)
{
	struct store_rig *rig = begin(test, 6);

	write_at(rig, FIRST_BLOCKS - 2, 2);
	commit(rig);
	store_rig_wait(rig, checkpointed);
	test_disk_hang(rig->disk, true);
	rig->store->checkpoint.wanted = true;
	qbd_store_run(rig->store);
	KUNIT_EXPECT_TRUE(test, qbd_checkpoint_holds_batches(rig->store));
	expect_small_for_now(rig);
	test_disk_hang(rig->disk, false);
	store_rig_wait(rig, second_is_there);
	KUNIT_EXPECT_EQ(test, size(rig), SECOND_BLOCKS);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, size(rig), SECOND_BLOCKS);
	store_rig_destroy(rig);
}

/* Nor does it come in between what a reset writes and what it says of it. */
static void growing_waits_for_a_reset(struct kunit *test)
{
	struct store_rig *rig = begin(test, 7);
	struct qbd_membership_layout membership;

	write_at(rig, FIRST_BLOCKS - 2, 2);
	commit(rig);
	store_rig_wait(rig, checkpointed);
	test_disk_hang(rig->disk, true);
	store_rig_list_at(rig, 1, &membership);
	store_rig_reset(rig, 100, rig->term, 0x17, &membership);
	qbd_store_run(rig->store);
	KUNIT_EXPECT_TRUE(test, rig->store->fill.resetting);
	expect_small_for_now(rig);
	test_disk_hang(rig->disk, false);
	store_rig_wait(rig, reset_done);
	store_rig_wait(rig, second_is_there);
	KUNIT_EXPECT_EQ(test, size(rig), SECOND_BLOCKS);
	store_rig_cut(rig);
	KUNIT_ASSERT_EQ(test, store_rig_try_open(rig), 0);
	KUNIT_EXPECT_TRUE(test, rig->recovered.filling);
	KUNIT_EXPECT_EQ(test, size(rig), SECOND_BLOCKS);
	store_rig_destroy(rig);
}

/* Memory is on its way for what is committed: down in order is with it. */
static void going_down_waits_for_the_size(struct kunit *test)
{
	struct store_rig *rig = begin(test, 8);

	write_at(rig, FIRST_BLOCKS - 2, 2);
	commit(rig);
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, MOST_BLOCKS));
	store_rig_wait(rig, rig_all_durable);
	qbd_store_stop(rig->store);
	store_rig_commit(rig, rig->last_index);
	qbd_store_run(rig->store);
	KUNIT_EXPECT_FALSE(test, qbd_store_stopped(rig->store));
	store_rig_stop(rig);
	KUNIT_EXPECT_EQ(test, rig->applied_index, rig->commit_index);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, rig->last_index);
	KUNIT_EXPECT_EQ(test, size(rig), MOST_BLOCKS);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

/* Committed and not applied when the power went: it comes up with the new size. */
static void coming_up_with_the_new_size(struct kunit *test)
{
	struct store_rig *rig = begin(test, 9);

	write_at(rig, FIRST_BLOCKS - 2, 2);
	commit(rig);
	qbd_store_apply_pause(rig->store, true);
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, MOST_BLOCKS));
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, rig->last_index);
	/* It says that the one before it is committed. */
	write_at(rig, MOST_BLOCKS - 2, 2);
	store_rig_wait(rig, rig_all_durable);
	KUNIT_EXPECT_EQ(test, size(rig), FIRST_BLOCKS);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.commit_index, rig->last_index - 1);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, rig->last_index - 1);
	KUNIT_EXPECT_EQ(test, size(rig), MOST_BLOCKS);
	KUNIT_EXPECT_EQ(test, qbd_store_durable_blocks(rig->store), MOST_BLOCKS);
	new_term(rig);
	commit(rig);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

/* Sizes that the log speaks of go with it, whether they are in force or not. */
static void a_reset_forgets_sizes(struct kunit *test)
{
	struct store_rig *rig = begin(test, 10);
	struct qbd_membership_layout membership;

	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, SECOND_BLOCKS));
	commit(rig);
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, MOST_BLOCKS));
	store_rig_wait(rig, rig_all_durable);
	KUNIT_EXPECT_EQ(test, rig->store->log.resizes, 1);
	store_rig_list_at(rig, 1, &membership);
	store_rig_reset(rig, 100, rig->term, 0x17, &membership);
	store_rig_wait(rig, reset_done);
	KUNIT_EXPECT_EQ(test, rig->store->log.resizes, 0);
	KUNIT_EXPECT_EQ(test, qbd_store_blocks_after(rig->store, 100), SECOND_BLOCKS);
	KUNIT_EXPECT_EQ(test, size(rig), SECOND_BLOCKS);
	store_rig_destroy(rig);
}

#define WHOLE_BLOCKS	(QBD_EXTENTS_PER_BLOCK * 16)
#define TABLE_BLOCKS	(QBD_EXTENT_JOURNAL_BLOCKS + 2)

/* Whole extents and table blocks: there is nothing to be zeroed, and much to be written. */
static void more_table_than_journal(struct kunit *test)
{
	const u32 most = TABLE_BLOCKS * WHOLE_BLOCKS;
	struct store_rig *rig = store_rig_create_growing(test, 11, WHOLE_BLOCKS, most);
	u32 i;

	store_rig_open(rig);
	new_term(rig);
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, most));
	commit(rig);
	store_rig_wait(rig, checkpointed);
	KUNIT_EXPECT_EQ(test, size(rig), most);
	KUNIT_EXPECT_EQ(test, qbd_store_durable_blocks(rig->store), most);
	for (i = 0; i < TABLE_BLOCKS; i++) {
		u64 place = QBD_EXTENT_TABLE_BLOCK + i;
		const void *block = test_disk_block(rig->disk, place);

		KUNIT_EXPECT_EQ(test, qbd_extent_block_check(block, place, rig->uuid),
				QBD_BLOCK_GOOD);
	}
	write_at(rig, most - 3, 3);
	commit(rig);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, size(rig), most);
	KUNIT_EXPECT_FALSE(test, rig->recovered.filling);
	store_rig_check_read(rig, most - 32, 32);
	store_rig_check_read(rig, WHOLE_BLOCKS - 16, 32);
	store_rig_destroy(rig);
}

/* What a disk says of the size, and cannot be. */
static void sizes_that_contradict(struct kunit *test)
{
	static const u64 sizes[] = { FIRST_BLOCKS - 1, 1ull << 40, MOST_BLOCKS + 500 };
	struct store_rig *rig = begin(test, 5);
	u32 i, slot;

	store_rig_stop(rig);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (slot = 0; slot < QBD_STATE_SLOTS; slot++) {
			u64 place = QBD_STATE_SLOT_BLOCK(slot);
			struct qbd_state_block *block = test_disk_block(rig->disk, place);

			block->device_blocks = cpu_to_le64(sizes[i]);
			qbd_block_seal(block, QBD_STATE_MAGIC, rig->uuid, place);
		}
		KUNIT_EXPECT_EQ(test, store_rig_try_open(rig), -EUCLEAN);
		KUNIT_EXPECT_NOT_NULL(test, strstr(rig->error_text, i == 2 ?
						   "smaller than what the device has grown to" :
						   "contradict each other"));
	}
	store_rig_destroy(rig);
}

static struct kunit_case store_grow_cases[] = {
	KUNIT_CASE(what_is_new_reads_as_zero),
	KUNIT_CASE(what_is_cut_off_does_not_count),
	KUNIT_CASE_SLOW(power_cuts_at_any_write),
	KUNIT_CASE(a_disk_without_room),
	KUNIT_CASE(a_reset_to_a_larger_device),
	KUNIT_CASE(growing_waits_for_a_checkpoint),
	KUNIT_CASE(growing_waits_for_a_reset),
	KUNIT_CASE(going_down_waits_for_the_size),
	KUNIT_CASE(coming_up_with_the_new_size),
	KUNIT_CASE(a_reset_forgets_sizes),
	KUNIT_CASE(more_table_than_journal),
	KUNIT_CASE(sizes_that_contradict),
	{ }
};

static struct kunit_suite store_grow_suite = {
	.name		= "store_grow",
	.test_cases	= store_grow_cases,
};

kunit_test_suite(store_grow_suite);
