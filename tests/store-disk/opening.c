// SPDX-License-Identifier: GPL-2.0
/*
 * What a kernel may refuse while a store is opened: each allocation in turn, and the disk
 * itself. That is said, all that was taken is given back (main.c counts), and the next
 * attempt finds all as it was. Only here, for this kernel refuses what it is told to.
 */
#include "../sim/sim.h"

#include "../../kmod/tests/store_rig.h"

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

static void each_allocation_is_refused(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_sized(test, 99, RIG_DEVICE_BLOCKS, 2);
	u32 number = 1;
	bool refused;
	u64 last;

	store_rig_open(rig);
	write_something(rig);
	last = rig->last_index;
	store_rig_cut(rig);
	do {
		int error;

		spoil(rig);
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
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, last);
	KUNIT_EXPECT_EQ(test, rig->recovered.term, rig->term);
	KUNIT_EXPECT_TRUE(test, rig->recovered.filling);
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
	KUNIT_CASE(disks_that_cannot_be_opened),
	{ }
};

static struct kunit_suite store_opening_suite = {
	.name		= "store_opening",
	.test_cases	= store_opening_cases,
};

kunit_test_suite(store_opening_suite);
