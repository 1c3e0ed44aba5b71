// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks that cannot be read while a disk is opened: each of the log and of the extent
 * table, from the beginning or only the second time that they are asked for. And records
 * where the ring ends, and as large as they can be.
 */
#include <linux/slab.h>

#include "../store/internal.h"
#include "store_rig.h"

static void append_write(struct store_rig *rig, u32 blocks)
{
	struct rig_operation operation = { .block = 7, .count = blocks };

	KUNIT_ASSERT_TRUE(rig->test, store_rig_append(rig, &operation, 1));
}

static void fail_reads_of(struct store_rig *rig, u64 block)
{
	rig->disk->fail_reads = true;
	rig->disk->fail_first = block * QBD_SECTORS_PER_BLOCK;
	rig->disk->fail_last = rig->disk->fail_first + QBD_SECTORS_PER_BLOCK - 1;
}

static void spoil(struct store_rig *rig, u64 block)
{
	memset(test_disk_block(rig->disk, block), 0x33, 512);
	test_disk_settle(rig->disk, block);
}

static void expect_refused(struct store_rig *rig, int error, const char *why)
{
	KUNIT_EXPECT_EQ(rig->test, store_rig_try_open(rig), error);
	KUNIT_EXPECT_NOT_NULL_MSG(rig->test, strstr(rig->error_text, why), "no '%s' in: %s",
				  why, rig->error_text);
}

/* ---- the log -------------------------------------------------------------------- */

static u64 block_to_fail, entry_to_fail;

static void fail_from_entry_on(struct store_rig *rig, u64 index)
{
	if (index == entry_to_fail)
		fail_reads_of(rig, block_to_fail);
}

static u64 place_of(struct store_rig *rig, u64 index)
{
	return store_rig_log_block(rig) + qbd_log_slot(rig->store, index)->position;
}

/*
 * Readable when the log was searched, and until this entry was reported; nothing is lost,
 * and nothing was written.
 */
static void expect_fails_once(struct store_rig *rig, u64 entry, u64 block, int error,
			      const char *why)
{
	u64 last = rig->last_index;

	entry_to_fail = entry;
	block_to_fail = block;
	rig->reading = fail_from_entry_on;
	expect_refused(rig, error, why);
	rig->reading = NULL;
	rig->disk->fail_reads = false;
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(rig->test, rig->recovered.last_index, last);
	KUNIT_EXPECT_FALSE(rig->test, rig->recovered.damaged);
	store_rig_check_all(rig);
}

/* Three records, of which the first one is committed and not applied. */
static struct store_rig *three_records(struct kunit *test)
{
	struct store_rig *rig = store_rig_start(store_rig_create(test, 21));

	qbd_store_apply_pause(rig->store, true);
	append_write(rig, 3);
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, 1);
	append_write(rig, 2);
	append_write(rig, 2);
	store_rig_wait(rig, rig_all_durable);
	return rig;
}

static void a_record_fails_when_it_is_reported(struct kunit *test)
{
	struct store_rig *rig = three_records(test);
	u64 block = place_of(rig, 2);

	store_rig_cut(rig);
	expect_fails_once(rig, 0, block, -EIO, "cannot be read: try again");
	store_rig_destroy(rig);
}

/* To be applied, or to be kept in memory until it is known whether it is committed. */
static void a_record_fails_when_it_is_loaded(struct kunit *test)
{
	u64 index, part;

	for (index = 1; index <= 2; index++) {
		/* Its header, its data. */
		for (part = 0; part < 2; part++) {
			struct store_rig *rig = three_records(test);
			u64 block = place_of(rig, index) + part;

			store_rig_cut(rig);
			expect_fails_once(rig, 1, block, -ENODATA, "cannot be read or written");
			store_rig_destroy(rig);
		}
	}
}

/* What lies beyond the megabyte that was read with its record is read by itself. */
static void a_configuration_fails_when_it_is_reported(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_sized(test, 22, RIG_DEVICE_BLOCKS, 3);
	const struct rig_operation none = { };
	u64 block;

	qbd_pool_destroy(rig->pool);
	rig->pool = qbd_pool_create(4 * RIG_LOG_BLOCKS, NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(rig->pool));
	store_rig_start(rig);
	while (rig->last_index < 255)
		KUNIT_ASSERT_TRUE(test, store_rig_append(rig, &none, 0));
	KUNIT_ASSERT_TRUE(test, store_rig_append_members(rig, 3));
	store_rig_wait(rig, rig_all_durable);
	block = place_of(rig, 256) + 1;
	KUNIT_EXPECT_EQ(test, block - store_rig_log_block(rig), 256);
	store_rig_cut(rig);
	expect_fails_once(rig, 0, block, -EIO, "cannot be read: try again");
	store_rig_destroy(rig);
}

static bool room_for_a_large_one(struct store_rig *rig)
{
	return qbd_store_has_room(rig->store, 200);
}

/* Its header is in the last block of the ring, all of its data at the beginning. */
static void a_record_whose_data_wraps(struct kunit *test)
{
	struct store_rig *rig = store_rig_start(store_rig_create(test, 23));
	u64 place;

	while (rig->store->log.next_position < RIG_LOG_BLOCKS - 1) {
		u64 left = RIG_LOG_BLOCKS - 1 - rig->store->log.next_position;

		append_write(rig, left > 202 ? 100 : left > 101 ? left / 2 - 1 : left - 1);
		store_rig_commit_all(rig);
		store_rig_wait(rig, room_for_a_large_one);
	}
	append_write(rig, 60);
	place = place_of(rig, rig->last_index) - store_rig_log_block(rig);
	KUNIT_EXPECT_EQ(test, place, RIG_LOG_BLOCKS - 1);
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.commit_index, rig->last_index - 1);
	store_rig_commit_all(rig);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

static bool is_loaded(struct store_rig *rig)
{
	return rig->loaded;
}

static int load_first(struct store_rig *rig)
{
	struct qbd_record *record;
	int error;

	KUNIT_EXPECT_EQ(rig->test, qbd_store_record(rig->store, 1, &record), -EINPROGRESS);
	store_rig_wait(rig, is_loaded);
	error = PTR_ERR_OR_ZERO(rig->loaded);
	if (!error) {
		KUNIT_EXPECT_EQ(rig->test, rig->loaded->data_blocks,
				QBD_RECORD_DATA_BLOCKS_MAX);
		qbd_record_put(rig->loaded);
	}
	rig->loaded = NULL;
	return error;
}

/* More than one bio takes: written, read back, and read in vain, which is said once. */
static void the_largest_record(struct kunit *test)
{
	struct store_rig *rig = store_rig_start(store_rig_create(test, 24));
	u64 block;
	u32 i;

	append_write(rig, QBD_RECORD_DATA_BLOCKS_MAX);
	block = place_of(rig, 1);
	store_rig_commit_all(rig);
	for (i = 0; i < 12; i++) {
		append_write(rig, 100);
		store_rig_commit_all(rig);
	}
	KUNIT_EXPECT_EQ(test, load_first(rig), 0);
	fail_reads_of(rig, block + QBD_RECORD_DATA_BLOCKS_MAX);
	KUNIT_EXPECT_EQ(test, load_first(rig), -ENODATA);
	rig->disk->fail_first = block * QBD_SECTORS_PER_BLOCK;
	KUNIT_EXPECT_EQ(test, load_first(rig), -ENODATA);
	rig->disk->fail_reads = false;
	KUNIT_EXPECT_EQ(test, load_first(rig), 0);
	KUNIT_EXPECT_FALSE(test, rig->failed);
	store_rig_destroy(rig);
}

/* ---- state blocks, the extent table ---------------------------------------------- */

/* What is applied belongs to the state: without it neither of the two is any good. */
static void half_a_state(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_sized(test, 25, RIG_DEVICE_BLOCKS, 3);
	u32 i;

	store_rig_start(rig);
	append_write(rig, 2);
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	for (i = 0; i < QBD_STATE_SLOTS; i++) {
		fail_reads_of(rig, QBD_APPLIED_BLOCK(i));
		expect_refused(rig, -EIO, "may hold the last vote");
	}
	rig->disk->fail_reads = false;
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, 1);
	store_rig_destroy(rig);
}

static bool is_checkpointed(struct store_rig *rig)
{
	return rig->store->state.disk.applied_index == rig->applied_index &&
	       rig->store->state.mirrored && !rig->store->checkpoint.step &&
	       !rig->store->idle_armed;
}

/* The first two blocks of the table have something, and images in the journal. */
static struct store_rig *with_a_table(struct kunit *test, u32 members)
{
	struct rig_operation operations[] = {
		{ .block = 7, .count = 3 },
		{ .block = QBD_EXTENTS_PER_BLOCK * 16, .count = 3 },
	};
	struct store_rig *rig = store_rig_create_sized(test, 26, 2 * 4048, members);

	store_rig_start(rig);
	KUNIT_ASSERT_TRUE(test, store_rig_append(rig, operations, ARRAY_SIZE(operations)));
	store_rig_commit_all(rig);
	store_rig_wait(rig, is_checkpointed);
	store_rig_stop(rig);
	return rig;
}

/* It is in the journal, and the blocks next to it are read by themselves. */
static void one_table_block_is_unreadable(struct kunit *test)
{
	struct store_rig *rig = with_a_table(test, 1);

	fail_reads_of(rig, QBD_EXTENT_TABLE_BLOCK + 1);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.filling);
	rig->disk->fail_reads = false;
	store_rig_check_all(rig);
	store_rig_check_extents(rig);
	store_rig_destroy(rig);
}

/* The one is damaged, the other cannot be read: not lost, but who has others is filled. */
static void a_table_block_and_its_image(struct kunit *test)
{
	const u64 places[] = { QBD_EXTENT_TABLE_BLOCK + 1, QBD_EXTENT_JOURNAL_BLOCK + 1 };
	u32 members, i;

	for (i = 0; i < 2; i++) {
		for (members = 1; members <= 2; members++) {
			struct store_rig *rig = with_a_table(test, members);

			fail_reads_of(rig, places[i]);
			spoil(rig, places[!i]);
			if (members == 1) {
				expect_refused(rig, -EIO, "of the extent table, cannot be read");
				rig->disk->fail_reads = false;
				store_rig_open(rig);
				store_rig_check_all(rig);
			} else {
				store_rig_open(rig);
				rig->disk->fail_reads = false;
			}
			KUNIT_EXPECT_EQ(test, rig->recovered.filling, members == 2);
			store_rig_destroy(rig);
		}
	}
}

static struct kunit_case store_reading_cases[] = {
	KUNIT_CASE(a_record_fails_when_it_is_reported),
	KUNIT_CASE(a_record_fails_when_it_is_loaded),
	KUNIT_CASE(a_configuration_fails_when_it_is_reported),
	KUNIT_CASE(a_record_whose_data_wraps),
	KUNIT_CASE(the_largest_record),
	KUNIT_CASE(half_a_state),
	KUNIT_CASE(one_table_block_is_unreadable),
	KUNIT_CASE(a_table_block_and_its_image),
	{ }
};

static struct kunit_suite store_reading_suite = {
	.name		= "store_reading",
	.test_cases	= store_reading_cases,
};

kunit_test_suite(store_reading_suite);
