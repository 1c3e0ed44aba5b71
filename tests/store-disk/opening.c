// SPDX-License-Identifier: GPL-2.0
/*
 * What a kernel may refuse while a store is opened: each allocation in turn, and the disk
 * itself. That is said, all that was taken is given back (main.c counts), and the next
 * attempt finds all as it was. And memory while the device becomes larger. Only here, for
 * this kernel refuses what it is told to.
 */
#include "../sim/sim.h"

#include "../../kmod/store/internal.h"
#include "../../kmod/tests/store_rig.h"

/* More extents than it has memory for when it is opened. */
#define FIRST_BLOCKS	4030u
#define MOST_BLOCKS	9000u

static bool is_durable(struct store_rig *rig)
{
	return rig->vote_term_durable >= rig->term;
}

static void write_something(struct store_rig *rig)
{
	struct qbd_membership_layout membership = rig->recovered.base_membership;
	u32 i;

	store_rig_vote(rig);
	store_rig_wait(rig, is_durable);
	for (i = 0; i < 8; i++) {
		struct rig_operation operation = { .block = 40 * i, .count = 30 };

		KUNIT_ASSERT_TRUE(rig->test, store_rig_append(rig, &operation, 1));
		if (i == 2)
			store_rig_append_membership(rig, &membership);
		store_rig_wait(rig, rig_all_durable);
		store_rig_commit(rig, rig->last_index - rig->last_index % 2);
	}
	store_rig_wait(rig, rig_all_applied);
}

/* As a disk that has most to be done: a block to repair, a table that is lost. */
static void spoil(struct store_rig *rig)
{
	static const u64 blocks[] = { 0, QBD_EXTENT_TABLE_BLOCK, QBD_EXTENT_JOURNAL_BLOCK };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(blocks); i++) {
		memset(test_disk_block(rig->disk, blocks[i]), 0x33, 512);
		test_disk_settle(rig->disk, blocks[i]);
	}
}

/* Opens it without the first, the second ... allocation, until it needs no more. */
static void open_without_memory(struct store_rig *rig, void (*before)(struct store_rig *rig))
{
	struct kunit *test = rig->test;
	u32 number = 1;
	bool refused;

	do {
		int error;

		if (before)
			before(rig);
		kunit_refuse_after = number++;
		error = store_rig_try_open(rig);
		refused = !kunit_refuse_after;
		kunit_refuse_after = 0;
		KUNIT_EXPECT_EQ(test, error, refused ? -ENOMEM : 0);
		if (error)
			KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(rig->error_text, "memory"),
						  "no 'memory' in: %s", rig->error_text);
	} while (refused && test->status == KUNIT_SUCCESS);
	/* The buffers of the table and of the ring alone are more. */
	KUNIT_EXPECT_GT(test, number, 2 * QBD_EXTENT_JOURNAL_BLOCKS);
}

static void each_allocation_is_refused(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_sized(test, 99, RIG_DEVICE_BLOCKS, 2);
	u64 last;

	store_rig_open(rig);
	write_something(rig);
	last = rig->last_index;
	store_rig_cut(rig);
	open_without_memory(rig, spoil);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, last);
	KUNIT_EXPECT_EQ(test, rig->recovered.term, rig->term);
	KUNIT_EXPECT_TRUE(test, rig->recovered.filling);
	store_rig_destroy(rig);
}

static bool waits_for_memory(struct store_rig *rig)
{
	return rig->store->grow.waiting;
}

/* Committed is that it becomes larger, and there is no memory for it just now. */
static struct store_rig *grow_without_memory(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_growing(test, 98, FIRST_BLOCKS, MOST_BLOCKS);
	struct rig_operation operation = { .block = FIRST_BLOCKS - 2, .count = 2 };

	store_rig_open(rig);
	store_rig_vote(rig);
	store_rig_wait(rig, is_durable);
	KUNIT_ASSERT_TRUE(test, store_rig_append(rig, &operation, 1));
	KUNIT_ASSERT_TRUE(test, store_rig_append_resize(rig, MOST_BLOCKS));
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, 1);
	store_rig_wait(rig, rig_all_applied);
	kunit_refuse_after = 1;
	store_rig_commit(rig, 2);
	store_rig_wait(rig, waits_for_memory);
	KUNIT_EXPECT_EQ(test, kunit_refuse_after, 0);
	/* It is not said of the disk, and all goes on with the size that there is. */
	KUNIT_EXPECT_EQ(test, qbd_store_cannot_grow(rig->store), 0);
	KUNIT_EXPECT_EQ(test, qbd_store_identity(rig->store)->device_blocks, FIRST_BLOCKS);
	KUNIT_EXPECT_EQ(test, rig->applied_index, 1);
	store_rig_check_all(rig);
	return rig;
}

/* A little later, and not at once: there may be memory by then. */
static void memory_for_a_larger_device_comes_later(struct kunit *test)
{
	struct store_rig *rig = grow_without_memory(test);
	unsigned long again_at = rig->store->grow.again_at;

	KUNIT_EXPECT_TRUE(test, time_before(jiffies, again_at));
	qbd_store_run(rig->store);
	KUNIT_EXPECT_FALSE(test, rig->store->grow.busy);
	store_rig_wait(rig, rig_all_applied);
	KUNIT_EXPECT_FALSE(test, time_before(jiffies, again_at));
	KUNIT_EXPECT_EQ(test, qbd_store_identity(rig->store)->device_blocks, MOST_BLOCKS);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

/* Who goes down does not wait for memory; who comes up says that there is none. */
static void no_memory_for_a_larger_device(struct kunit *test)
{
	struct store_rig *rig = grow_without_memory(test);

	store_rig_stop(rig);
	KUNIT_EXPECT_EQ(test, rig->applied_index, 1);
	open_without_memory(rig, NULL);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, 2);
	KUNIT_EXPECT_EQ(test, qbd_store_identity(rig->store)->device_blocks, MOST_BLOCKS);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

static void disks_that_cannot_be_opened(struct kunit *test)
{
	static const struct {
		int error;
		const char *text;
	} problems[] = {
		{ -EBUSY, "is in use" },
		{ -ENOTBLK, "is no block device" },
		{ -ENOENT, "does not exist" },
		{ -ENXIO, "does not exist" },
		{ -EACCES, "is write-protected" },
		{ -EPERM, "is write-protected" },
		{ -EROFS, "is write-protected" },
		{ -EMFILE, "cannot be opened" },
	};
	struct store_rig *rig = store_rig_create(test, 99);
	u32 i;

	for (i = 0; i < ARRAY_SIZE(problems); i++) {
		kunit_open_error = problems[i].error;
		KUNIT_EXPECT_EQ(test, store_rig_try_open(rig), problems[i].error);
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(rig->error_text, problems[i].text),
					  "no '%s' in: %s", problems[i].text,
					  rig->error_text);
	}
	kunit_open_error = 0;
	store_rig_open(rig);
	store_rig_destroy(rig);
}

static struct kunit_case store_opening_cases[] = {
	KUNIT_CASE(each_allocation_is_refused),
	KUNIT_CASE(memory_for_a_larger_device_comes_later),
	KUNIT_CASE(no_memory_for_a_larger_device),
	KUNIT_CASE(disks_that_cannot_be_opened),
	{ }
};

static struct kunit_suite store_opening_suite = {
	.name		= "store_opening",
	.test_cases	= store_opening_cases,
};

kunit_test_suite(store_opening_suite);
