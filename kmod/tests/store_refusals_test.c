// SPDX-License-Identifier: GPL-2.0
/*
 * The store asked at the wrong moment: when it stops or has failed, when memory, places or
 * the disk are missing, when what is on the disk is another thing than it should be.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "../store/internal.h"
#include "store_rig.h"

static struct store_rig *begin_seed(struct kunit *test, u64 seed)
{
	struct store_rig *rig = store_rig_create(test, seed);

	store_rig_start(rig);
	return rig;
}

static struct store_rig *begin(struct kunit *test)
{
	return begin_seed(test, 815);
}

static void append_writes(struct store_rig *rig, u32 count, u32 blocks)
{
	while (count--) {
		struct rig_operation operation = {
			.block = rig->last_index * blocks % (RIG_DEVICE_BLOCKS - blocks),
			.count = blocks,
		};

		KUNIT_EXPECT_TRUE(rig->test, store_rig_append(rig, &operation, 1));
	}
}

/* So many that memory has let the first ones go. */
static void commit_many(struct store_rig *rig)
{
	u32 i;

	for (i = 0; i < 6; i++) {
		append_writes(rig, 2, 100);
		store_rig_commit_all(rig);
	}
	KUNIT_ASSERT_NULL(rig->test, qbd_log_slot(rig->store, 5)->record);
}

static bool room_for_one(struct store_rig *rig)
{
	return qbd_store_has_room(rig->store, 0);
}

static bool is_failed(struct store_rig *rig)
{
	return rig->failed;
}

static bool is_loaded(struct store_rig *rig)
{
	return rig->loaded;
}

static bool all_pages_free(struct store_rig *rig)
{
	return qbd_pool_pages_free(rig->pool) == qbd_pool_pages(rig->pool);
}

static bool is_filled(struct store_rig *rig)
{
	return rig->fills_written;
}

static bool is_reset(struct store_rig *rig)
{
	return rig->resets;
}

/* ---- stopping, failed -------------------------------------------------------- */

static struct qbd_store_read refused_read;
static u32 refused_reads;

static void refused_read_done(struct qbd_store_read *read)
{
	refused_reads++;
}

static int read_refused(struct store_rig *rig)
{
	struct page *page = alloc_page(GFP_KERNEL);
	struct bio_vec bvec;

	bvec_set_page(&bvec, page, QBD_BLOCK_SIZE, 0);
	refused_read = (struct qbd_store_read){
		.block = 3, .count = 1, .bvecs = &bvec, .bvec_count = 1,
		.done = refused_read_done,
	};
	refused_reads = 0;
	qbd_store_read(rig->store, &refused_read);
	__free_page(page);
	KUNIT_EXPECT_EQ(rig->test, refused_reads, 1);
	return refused_read.error;
}

static int append_refused(struct store_rig *rig)
{
	struct qbd_record *record = qbd_record_alloc(rig->pool, QBD_POOL_APPEND, 0, 0, true);
	int error;

	KUNIT_ASSERT_NOT_NULL(rig->test, record);
	qbd_record_seal(record, rig->uuid, QBD_RECORD_NOOP, rig->last_index + 1, rig->term,
			qbd_store_chain(rig->store, rig->last_index));
	error = qbd_store_append(rig->store, record);
	qbd_record_put(record);
	return error;
}

static void refuse_all(struct store_rig *rig)
{
	struct qbd_membership_layout membership = rig->recovered.base_membership;
	struct kunit *test = rig->test;
	u32 resets = rig->resets;

	KUNIT_EXPECT_EQ(test, append_refused(rig), -EIO);
	store_rig_reset(rig, rig->last_index + 40, rig->term, 1, &membership);
	store_rig_poll(rig);
	KUNIT_EXPECT_FALSE(test, rig->store->fill.resetting);
	KUNIT_EXPECT_EQ(test, rig->resets, resets);
	rig->fill_error = -EIO;
	rig->fills_written = 0;
	qbd_store_fill_write(rig->store, 0, 16, NULL, rig->commit_index, NULL);
	store_rig_wait(rig, is_filled);
	rig->fill_error = 0;
}

static void a_store_that_stops_takes_nothing(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_record *record;

	commit_many(rig);
	qbd_store_stop(rig->store);
	KUNIT_EXPECT_EQ(test, read_refused(rig), -EIO);
	KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, 5, &record), -EAGAIN);
	refuse_all(rig);
	store_rig_stop(rig);
	store_rig_open(rig);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

static void a_store_that_failed_takes_nothing(struct kunit *test)
{
	struct store_rig *rig = begin(test);

	append_writes(rig, 2, 3);
	store_rig_commit_all(rig);
	rig->disk->fail_flushes = true;
	append_writes(rig, 1, 3);
	store_rig_wait(rig, is_failed);
	rig->disk->fail_flushes = false;
	refuse_all(rig);
	/* Others have what it had; its memory is given back, and who reads is told. */
	store_rig_wait(rig, all_pages_free);
	KUNIT_EXPECT_EQ(test, read_refused(rig), -EIO);
	store_rig_destroy(rig);
}

/*
 * Some of what was under way is done, some fails, and the store hears of both at once:
 * of a disk that has failed nothing is vouched for any more.
 */
static void done_and_failed_at_once(struct kunit *test)
{
	u32 seed;

	/* In which order the disk does it is the seed's. */
	for (seed = 1; seed <= 16; seed++) {
		struct store_rig *rig = begin_seed(test, seed);
		u64 vote_term = rig->vote_term_durable;

		append_writes(rig, 2, 3);
		store_rig_commit_all(rig);
		test_disk_hang(rig->disk, true);
		append_writes(rig, 1, 3);
		qbd_store_run(rig->store);
		append_writes(rig, 1, 3);
		store_rig_vote(rig);
		qbd_store_run(rig->store);
		rig->disk->fail_first = (store_rig_log_block(rig) +
					 qbd_log_slot(rig->store, 4)->position) *
					QBD_SECTORS_PER_BLOCK;
		rig->disk->fail_last = rig->disk->fail_first;
		rig->disk->fail_writes = true;
		test_disk_hang(rig->disk, false);
		test_disk_wait(rig->disk);
		store_rig_wait(rig, is_failed);
		store_rig_wait(rig, all_pages_free);
		KUNIT_EXPECT_EQ(test, rig->durable_index, 2);
		KUNIT_EXPECT_EQ(test, rig->vote_term_durable, vote_term);
		rig->disk->fail_writes = false;
		store_rig_destroy(rig);
	}
}

static bool flushes(struct store_rig *rig)
{
	return rig->store->inflight[QBD_BIO_FLUSH];
}

static bool nothing_is_under_way(struct store_rig *rig)
{
	return qbd_store_quiet(rig->store);
}

/* A checkpoint of a disk that fails under it is over when its flush is. */
static void a_disk_fails_during_a_checkpoint(struct kunit *test)
{
	u32 seed;

	/* In which order the disk does it is the seed's. */
	for (seed = 1; seed <= 16; seed++) {
		struct store_rig *rig = begin_seed(test, seed);
		u64 applied;

		append_writes(rig, 2, 3);
		store_rig_commit_all(rig);
		applied = rig->store->state.disk.applied_index;
		rig->store->checkpoint.wanted = true;
		qbd_store_run(rig->store);
		store_rig_wait(rig, flushes);
		test_disk_hang(rig->disk, true);
		append_writes(rig, 1, 3);
		rig->disk->fail_first = (store_rig_log_block(rig) +
					 qbd_log_slot(rig->store, 3)->position) *
					QBD_SECTORS_PER_BLOCK;
		rig->disk->fail_last = rig->disk->fail_first;
		rig->disk->fail_writes = true;
		qbd_store_run(rig->store);
		test_disk_hang(rig->disk, false);
		store_rig_wait(rig, is_failed);
		store_rig_wait(rig, nothing_is_under_way);
		KUNIT_EXPECT_EQ(test, rig->store->checkpoint.step, QBD_CHECKPOINT_NONE);
		KUNIT_EXPECT_EQ(test, rig->durable_index, 2);
		rig->disk->fail_writes = false;
		store_rig_stop(rig);
		/* What it was to claim is claimed or not, and the disk says that it failed. */
		KUNIT_ASSERT_EQ(test, store_rig_try_open(rig), 0);
		KUNIT_EXPECT_TRUE(test, rig->recovered.failed);
		KUNIT_EXPECT_GE(test, rig->recovered.applied_index, applied);
		rig->failed = true;
		store_rig_destroy(rig);
	}
}

/* Who looks at the data has applying wait: going down does not wait for that. */
static void going_down_while_nothing_is_applied(struct kunit *test)
{
	struct store_rig *rig = begin(test);

	append_writes(rig, 2, 3);
	store_rig_commit_all(rig);
	qbd_store_apply_pause(rig->store, true);
	append_writes(rig, 2, 3);
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, rig->last_index);
	store_rig_stop(rig);
	KUNIT_EXPECT_EQ(test, rig->applied_index, 2);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.commit_index, 4);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, 4);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

/* A member that has joined, or was never new, does not say so again. */
static void joining_is_said_once(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 wanted = rig->store->state.wanted;

	KUNIT_EXPECT_FALSE(test, qbd_store_is_new(rig->store));
	qbd_store_joined(rig->store);
	qbd_store_repaired(rig->store);
	KUNIT_EXPECT_EQ(test, rig->store->state.wanted, wanted);
	/* Nor is there anything to be cut off beyond the end. */
	wanted = qbd_store_generation(rig->store);
	qbd_store_truncate(rig->store, rig->last_index + 1);
	KUNIT_EXPECT_EQ(test, qbd_store_generation(rig->store), wanted);
	KUNIT_EXPECT_FALSE(test, qbd_store_fill_next_range(rig->store, 1));
	store_rig_destroy(rig);
}

static void room_is_asked_for_any_index(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_store *store = rig->store;

	append_writes(rig, 4, 10);
	KUNIT_EXPECT_TRUE(test, qbd_store_has_room_at(store, 0, 1000000, 0));
	KUNIT_EXPECT_TRUE(test, qbd_store_has_room_at(store, 5, RIG_LOG_BLOCKS - 45, 0));
	KUNIT_EXPECT_FALSE(test, qbd_store_has_room_at(store, 5, RIG_LOG_BLOCKS - 44, 0));
	KUNIT_EXPECT_FALSE(test, qbd_store_has_room_at(store, 5, RIG_LOG_BLOCKS - 45, 1));
	/* In the place of what is cut off for it. */
	KUNIT_EXPECT_TRUE(test, qbd_store_has_room_at(store, 2, RIG_LOG_BLOCKS - 12, 0));
	KUNIT_EXPECT_FALSE(test, qbd_store_has_room_at(store, 2, RIG_LOG_BLOCKS - 11, 0));
	/* There are slots for half as many as there are blocks. */
	KUNIT_EXPECT_FALSE(test, qbd_store_has_room_at(store, RIG_LOG_BLOCKS / 2 + 1, 0, 0));
	store_rig_destroy(rig);
}

/* Records without data: there are slots for half as many as there are blocks. */
static void a_log_of_many_small_records(struct kunit *test)
{
	struct store_rig *rig = store_rig_create(test, 4);
	const struct rig_operation none = { };
	struct qbd_store_status status;

	qbd_pool_destroy(rig->pool);
	rig->pool = qbd_pool_create(4 * RIG_LOG_BLOCKS, NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(rig->pool));
	store_rig_start(rig);
	while (store_rig_append(rig, &none, 0))
		;
	KUNIT_EXPECT_EQ(test, rig->last_index, RIG_LOG_BLOCKS / 2);
	store_rig_commit_all(rig);
	store_rig_wait(rig, room_for_one);
	while (rig->last_index < 2 * RIG_LOG_BLOCKS && store_rig_append(rig, &none, 0)) {
		if (rig->last_index % 100)
			continue;
		store_rig_commit_all(rig);
		store_rig_wait(rig, room_for_one);
	}
	KUNIT_EXPECT_EQ(test, rig->last_index, 2 * RIG_LOG_BLOCKS);
	store_rig_commit_all(rig);
	qbd_store_status(rig->store, &status);
	KUNIT_EXPECT_EQ(test, status.oldest_write_ns, 0);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 2 * RIG_LOG_BLOCKS);
	store_rig_destroy(rig);
}

static bool all_is_checkpointed(struct store_rig *rig)
{
	return !rig->store->checkpoint.step && !rig->store->checkpoint.wanted &&
	       rig->store->state.disk.applied_index == rig->applied_index;
}

/*
 * They fill the log, and little of it can be given back: that is worth a checkpoint if it
 * is a sixteenth of the places, or all that can be had; not before that is applied.
 */
static void little_is_given_back(struct kunit *test)
{
	struct store_rig *rig = store_rig_create(test, 5);
	const struct rig_operation none = { };

	qbd_pool_destroy(rig->pool);
	rig->pool = qbd_pool_create(4 * RIG_LOG_BLOCKS, NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(rig->pool));
	store_rig_start(rig);
	while (rig->last_index < 700)
		KUNIT_ASSERT_TRUE(test, store_rig_append(rig, &none, 0));
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, 10);
	store_rig_wait(rig, rig_all_applied);
	KUNIT_EXPECT_EQ(test, qbd_store_first_index(rig->store), 1);
	qbd_store_apply_pause(rig->store, true);
	store_rig_commit(rig, 20);
	while (rig->last_index < 800)
		KUNIT_ASSERT_TRUE(test, store_rig_append(rig, &none, 0));
	store_rig_wait(rig, rig_all_durable);
	qbd_store_run(rig->store);
	KUNIT_EXPECT_EQ(test, rig->applied_index, 10);
	KUNIT_EXPECT_EQ(test, rig->store->checkpoint.step, QBD_CHECKPOINT_NONE);
	KUNIT_EXPECT_EQ(test, qbd_store_first_index(rig->store), 1);
	/* All that can be had. */
	qbd_store_apply_pause(rig->store, false);
	store_rig_wait(rig, rig_all_applied);
	store_rig_wait(rig, all_is_checkpointed);
	KUNIT_EXPECT_EQ(test, qbd_store_first_index(rig->store), 21);
	/* Not all of it, and enough. */
	store_rig_commit(rig, 100);
	store_rig_wait(rig, rig_all_applied);
	store_rig_wait(rig, all_is_checkpointed);
	KUNIT_EXPECT_EQ(test, qbd_store_first_index(rig->store), 101);
	store_rig_destroy(rig);
}

static bool idle_time_is_over(struct store_rig *rig)
{
	return time_after(jiffies, rig->store->idle_at);
}

/* Nobody asks for anything, for the disk hangs: that is no time for a checkpoint. */
static void who_waits_for_the_disk_is_not_idle(struct kunit *test)
{
	struct store_rig *rig = begin(test);

	append_writes(rig, 2, 3);
	store_rig_commit_all(rig);
	test_disk_hang(rig->disk, true);
	append_writes(rig, 1, 3);
	store_rig_wait(rig, idle_time_is_over);
	qbd_store_run(rig->store);
	KUNIT_EXPECT_TRUE(test, rig->store->idle_armed);
	KUNIT_EXPECT_EQ(test, rig->store->checkpoint.step, QBD_CHECKPOINT_NONE);
	test_disk_hang(rig->disk, false);
	store_rig_wait(rig, rig_all_durable);
	store_rig_wait(rig, all_is_checkpointed);
	KUNIT_EXPECT_FALSE(test, rig->store->idle_armed);
	store_rig_destroy(rig);
}

/* A disk that promises to write zeroes and does not: more of them than one bio takes. */
static void many_zeroes_without_the_disk(struct kunit *test)
{
	const struct rig_operation zero = { .block = 5, .count = 900, .zero = true };
	struct store_rig *rig = begin(test);
	u32 round;

	rig->disk->fail_zeroes = true;
	for (round = 0; round < 2; round++) {
		while (rig->last_index % 11 < 10) {
			append_writes(rig, 1, 100);
			store_rig_commit_all(rig);
		}
		KUNIT_ASSERT_TRUE(test, store_rig_append(rig, &zero, 1));
		store_rig_commit_all(rig);
		store_rig_check_all(rig);
	}
	KUNIT_EXPECT_FALSE(test, rig->failed);
	KUNIT_EXPECT_TRUE(test, rig->store->no_write_zeroes);
	store_rig_destroy(rig);
}

/* A disk that is new to the device says so until it has joined, and joins once. */
static void a_new_disk_joins(struct kunit *test)
{
	struct store_rig *rig = store_rig_create(test, 5);
	struct qbd_state_block *block = test_disk_block(rig->disk, QBD_STATE_SLOT_BLOCK(0));
	u64 wanted;

	block->flags = cpu_to_le32(QBD_STATE_NEW);
	qbd_block_seal(block, QBD_STATE_MAGIC, rig->uuid, QBD_STATE_SLOT_BLOCK(0));
	test_disk_settle(rig->disk, QBD_STATE_SLOT_BLOCK(0));
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, qbd_store_is_new(rig->store));
	store_rig_vote(rig);
	store_rig_wait(rig, rig_vote_durable);
	KUNIT_EXPECT_TRUE(test, qbd_store_is_new(rig->store));
	qbd_store_joined(rig->store);
	KUNIT_EXPECT_TRUE(test, qbd_store_is_new(rig->store));
	wanted = rig->store->state.wanted;
	qbd_store_joined(rig->store);
	KUNIT_EXPECT_EQ(test, rig->store->state.wanted, wanted);
	store_rig_vote(rig);
	store_rig_wait(rig, rig_vote_durable);
	KUNIT_EXPECT_FALSE(test, qbd_store_is_new(rig->store));
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, qbd_store_is_new(rig->store));
	store_rig_destroy(rig);
}

/* Both state blocks are older than the log: what was cut off after them is not known. */
static void an_old_state_of_a_newer_log(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u8 *before = kunit_kzalloc(test, 4 * QBD_BLOCK_SIZE, GFP_KERNEL);
	const u64 blocks[] = { QBD_STATE_SLOT_BLOCK(0), QBD_APPLIED_BLOCK(0),
			       QBD_STATE_SLOT_BLOCK(1), QBD_APPLIED_BLOCK(1) };
	u64 generation;
	u32 i;

	append_writes(rig, 4, 2);
	store_rig_wait(rig, rig_all_durable);
	for (i = 0; i < ARRAY_SIZE(blocks); i++)
		memcpy(before + i * QBD_BLOCK_SIZE, test_disk_block(rig->disk, blocks[i]),
		       QBD_BLOCK_SIZE);
	store_rig_truncate(rig, 3);
	append_writes(rig, 4, 1);
	store_rig_wait(rig, rig_all_durable);
	generation = qbd_store_generation(rig->store);
	store_rig_cut(rig);
	for (i = 0; i < ARRAY_SIZE(blocks); i++) {
		memcpy(test_disk_block(rig->disk, blocks[i]), before + i * QBD_BLOCK_SIZE,
		       QBD_BLOCK_SIZE);
		test_disk_settle(rig->disk, blocks[i]);
	}
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 6);
	KUNIT_EXPECT_GT(test, qbd_store_generation(rig->store), generation);
	store_rig_destroy(rig);
}

/* ---- records read back -------------------------------------------------------- */

static void expect_loaded(struct store_rig *rig, u64 index, int error)
{
	struct qbd_record *record;

	if (!IS_ERR_OR_NULL(rig->loaded))
		qbd_record_put(rig->loaded);
	rig->loaded = NULL;
	KUNIT_EXPECT_EQ(rig->test, qbd_store_record(rig->store, index, &record),
			-EINPROGRESS);
	store_rig_wait(rig, is_loaded);
	KUNIT_EXPECT_EQ(rig->test, rig->loaded_index, index);
	KUNIT_EXPECT_EQ(rig->test, PTR_ERR_OR_ZERO(rig->loaded), error);
	if (!error)
		qbd_record_put(rig->loaded);
	rig->loaded = NULL;
}

/* What lies in its place is whole, and another one: it is not given out. */
static void another_record_in_its_place(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_record_header *header;
	u64 place3, place4;

	commit_many(rig);
	place3 = store_rig_log_block(rig) + qbd_log_slot(rig->store, 3)->position;
	place4 = store_rig_log_block(rig) + qbd_log_slot(rig->store, 4)->position;
	expect_loaded(rig, 4, 0);
	header = test_disk_block(rig->disk, place4);
	/* Itself, written for another place. */
	header->local.position =
		cpu_to_le64(le64_to_cpu(header->local.position) + 1);
	header->local.checksum = cpu_to_le32(qbd_record_local_checksum(header));
	expect_loaded(rig, 4, -EBADMSG);
	memcpy(header, test_disk_block(rig->disk, place3), QBD_BLOCK_SIZE);
	expect_loaded(rig, 4, -EBADMSG);
	/* What this disk adds to it fits the place; it is the third all the same. */
	header->local.position = cpu_to_le64(place4 - store_rig_log_block(rig));
	expect_loaded(rig, 4, -EBADMSG);
	header->local.checksum = cpu_to_le32(qbd_record_local_checksum(header));
	expect_loaded(rig, 4, -EBADMSG);
	/* One of that index that was written by another leader. */
	header->shared.index = cpu_to_le64(4);
	header->shared.chain = cpu_to_le32(qbd_record_chain(header, rig->uuid));
	header->local.checksum = cpu_to_le32(qbd_record_local_checksum(header));
	expect_loaded(rig, 4, -EBADMSG);
	header->shared.chain_previous = 0;
	expect_loaded(rig, 4, -EBADMSG);
	store_rig_destroy(rig);
}

/* Old is what is in the log and not in memory. */
static void records_are_old_when_memory_let_them_go(struct kunit *test)
{
	struct store_rig *rig = begin(test);

	commit_many(rig);
	append_writes(rig, 1, 1);
	KUNIT_EXPECT_FALSE(test, qbd_store_record_is_old(rig->store, 0));
	KUNIT_EXPECT_TRUE(test, qbd_store_record_is_old(rig->store, 5));
	KUNIT_EXPECT_FALSE(test, qbd_store_record_is_old(rig->store, rig->last_index));
	KUNIT_EXPECT_FALSE(test, qbd_store_record_is_old(rig->store, rig->last_index + 1));
	store_rig_destroy(rig);
}

static void records_that_cannot_be_read(struct kunit *test)
{
	struct store_rig *rig = begin(test);

	commit_many(rig);
	rig->disk->fail_reads = true;
	rig->disk->fail_last = U64_MAX;
	expect_loaded(rig, 5, -ENODATA);
	rig->disk->fail_reads = false;
	expect_loaded(rig, 5, 0);
	KUNIT_EXPECT_FALSE(test, rig->failed);
	store_rig_destroy(rig);
}

/* The log is cut while it is read: what comes may be from before or after. */
static void a_record_read_while_the_log_is_cut(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_record *record;

	commit_many(rig);
	append_writes(rig, 2, 1);
	store_rig_wait(rig, rig_all_durable);
	test_disk_hang(rig->disk, true);
	KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, 5, &record), -EINPROGRESS);
	store_rig_truncate(rig, rig->last_index);
	test_disk_hang(rig->disk, false);
	store_rig_wait(rig, is_loaded);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(rig->loaded), -EAGAIN);
	expect_loaded(rig, 5, 0);
	store_rig_destroy(rig);
}

static bool nothing_is_loading(struct store_rig *rig)
{
	u32 i;

	for (i = 0; i < QBD_LOADS_MAX; i++)
		if (rig->store->loads[i].index)
			return false;
	return true;
}

static u32 spaces_before;

static bool is_space(struct store_rig *rig)
{
	return rig->spaces > spaces_before;
}

/* No place, or no memory, for one more: it is said when there is. */
static void records_wait_for_places_and_memory(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_record *record;
	struct page **pages;
	u32 taken = 0, i;

	commit_many(rig);
	test_disk_hang(rig->disk, true);
	for (i = 0; i < QBD_LOADS_MAX; i++)
		KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, 3 + i, &record),
				-EINPROGRESS);
	KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, 3 + i, &record), -EAGAIN);
	spaces_before = rig->spaces;
	test_disk_hang(rig->disk, false);
	store_rig_wait(rig, is_space);
	store_rig_wait(rig, nothing_is_loading);
	expect_loaded(rig, 3 + i, 0);

	pages = kunit_kcalloc(test, qbd_pool_pages(rig->pool) + 1, sizeof(*pages),
			      GFP_KERNEL);
	while ((pages[taken] = qbd_pool_get(rig->pool, QBD_POOL_APPEND)))
		taken++;
	KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, 3, &record), -EAGAIN);
	spaces_before = rig->spaces;
	qbd_store_run(rig->store);
	KUNIT_EXPECT_FALSE(test, is_space(rig));
	while (taken)
		qbd_pool_put(rig->pool, pages[--taken]);
	store_rig_wait(rig, is_space);
	expect_loaded(rig, 3, 0);
	store_rig_destroy(rig);
}

#define QUEUED_READS	64

static u32 reads_ended, reads_failed;

static void queued_read_done(struct qbd_store_read *read)
{
	reads_ended++;
	reads_failed += !!read->error;
}

static void queue_reads_of(struct store_rig *rig, struct page *page, bool as_it_is)
{
	struct qbd_store_read *reads = kunit_kzalloc(rig->test,
						     QUEUED_READS * sizeof(*reads), GFP_KERNEL);
	struct bio_vec *bvecs = kunit_kzalloc(rig->test, RIG_DEVICE_BLOCKS * sizeof(*bvecs),
					      GFP_KERNEL);
	u32 i;

	for (i = 0; i < RIG_DEVICE_BLOCKS; i++)
		bvec_set_page(&bvecs[i], page, QBD_BLOCK_SIZE, 0);
	reads_ended = 0;
	reads_failed = 0;
	for (i = 0; i < QUEUED_READS; i++) {
		reads[i] = (struct qbd_store_read){
			.block = 0, .count = 800, .bvecs = bvecs, .bvec_count = 800,
			.as_it_is = as_it_is, .done = queued_read_done,
		};
		qbd_store_read(rig->store, &reads[i]);
	}
}

static void queue_reads(struct store_rig *rig, struct page *page)
{
	queue_reads_of(rig, page, false);
}

static bool reads_are_over(struct store_rig *rig)
{
	return reads_ended == QUEUED_READS;
}

/* All of the parts of a read fail, and it fails once; those that wait get their turn. */
static void reads_of_many_parts_fail_once(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct page *page = alloc_page(GFP_KERNEL);

	while (rig->last_index < 8) {
		append_writes(rig, 1, 100);
		store_rig_commit_all(rig);
	}
	rig->disk->fail_reads = true;
	rig->disk->fail_last = U64_MAX;
	queue_reads(rig, page);
	store_rig_wait(rig, reads_are_over);
	KUNIT_EXPECT_EQ(test, reads_failed, QUEUED_READS);
	KUNIT_EXPECT_FALSE(test, rig->failed);
	rig->disk->fail_reads = false;
	store_rig_check_all(rig);
	__free_page(page);
	store_rig_destroy(rig);
}

static bool one_read_is_over(struct store_rig *rig)
{
	return reads_ended;
}

/* The first byte of a block that was never written. */
static u8 read_first_byte(struct store_rig *rig, struct page *page, bool as_it_is)
{
	struct bio_vec bvec;
	struct qbd_store_read read = {
		.block = 1400, .count = 1, .bvecs = &bvec, .bvec_count = 1,
		.as_it_is = as_it_is, .done = queued_read_done,
	};

	memset(page_address(page), 0x17, PAGE_SIZE);
	bvec_set_page(&bvec, page, QBD_BLOCK_SIZE, 0);
	reads_ended = 0;
	reads_failed = 0;
	qbd_store_read(rig->store, &read);
	store_rig_wait(rig, one_read_is_over);
	KUNIT_EXPECT_EQ(rig->test, reads_failed, 0);
	return *(u8 *)page_address(page);
}

/* What the disk has, whatever the table says; more than it takes at once waits, too. */
static void reads_of_the_disk_as_it_is(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct page *page = alloc_page(GFP_KERNEL);
	u64 data = store_rig_log_block(rig) + RIG_LOG_BLOCKS;

	KUNIT_EXPECT_EQ(test, read_first_byte(rig, page, false), 0);
	KUNIT_EXPECT_EQ(test, read_first_byte(rig, page, true),
			*(u8 *)test_disk_block(rig->disk, data + 1400));
	KUNIT_EXPECT_NE(test, *(u8 *)page_address(page), 0);
	test_disk_hang(rig->disk, true);
	queue_reads_of(rig, page, true);
	KUNIT_EXPECT_EQ(test, reads_ended, 0);
	KUNIT_EXPECT_FALSE(test, list_empty(&rig->store->reads));
	test_disk_hang(rig->disk, false);
	store_rig_wait(rig, reads_are_over);
	KUNIT_EXPECT_EQ(test, reads_failed, 0);
	__free_page(page);
	store_rig_destroy(rig);
}

/* The member goes away by force while reads wait: each of them ends. */
static void reads_that_wait_end_with_the_store(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct page *page = alloc_page(GFP_KERNEL);

	while (rig->last_index < 8) {
		append_writes(rig, 1, 100);
		store_rig_commit_all(rig);
	}
	test_disk_hang(rig->disk, true);
	queue_reads(rig, page);
	KUNIT_EXPECT_EQ(test, reads_ended, 0);
	KUNIT_EXPECT_FALSE(test, list_empty(&rig->store->reads));
	store_rig_cut(rig);
	KUNIT_EXPECT_EQ(test, reads_ended, QUEUED_READS);
	__free_page(page);
	store_rig_destroy(rig);
}

/* Going down waits for who reads, whatever it is, and takes nobody's answer away. */
static void going_down_waits_for_reads(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct page *page = alloc_page(GFP_KERNEL);
	struct qbd_record *record;
	u32 loads;

	for (loads = 2; loads--;) {
		commit_many(rig);
		test_disk_hang(rig->disk, true);
		if (loads)
			KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, 5, &record),
					-EINPROGRESS);
		else
			queue_reads(rig, page);
		qbd_store_stop(rig->store);
		store_rig_poll(rig);
		qbd_store_run(rig->store);
		KUNIT_EXPECT_FALSE(test, qbd_store_stopped(rig->store));
		test_disk_hang(rig->disk, false);
		store_rig_stop(rig);
		if (loads)
			KUNIT_EXPECT_TRUE(test, is_loaded(rig));
		else
			KUNIT_EXPECT_EQ(test, reads_ended, QUEUED_READS);
		store_rig_open(rig);
		rig->term++;
		store_rig_vote(rig);
		store_rig_wait(rig, rig_vote_durable);
	}
	__free_page(page);
	store_rig_destroy(rig);
}

/* ---- fills ---------------------------------------------------------------------- */

static void begin_fill(struct store_rig *rig)
{
	struct qbd_membership_layout membership = rig->recovered.base_membership;
	u64 leader_last = rig->commit_index;
	u32 i;

	for (i = 0; i < 20; i++)
		store_rig_leader_entry(rig, &leader_last);
	store_rig_reset(rig, leader_last, rig->term,
			rig->history[rig->log[leader_last] - 1].chain, &membership);
	/* The log as it was takes nothing any more, the new one not yet. */
	KUNIT_EXPECT_EQ(rig->test, append_refused(rig), -EIO);
	store_rig_wait(rig, is_reset);
	rig->last_index = leader_last;
	rig->durable_index = leader_last;
	rig->commit_index = leader_last;
	rig->applied_index = leader_last;
	rig->base_index = leader_last;
}

static bool three_are_filled(struct store_rig *rig)
{
	return rig->fills_written >= 3;
}

/* Two for the same blocks: the later one is what stays. */
static void fills_that_overlap_are_in_order(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 data = store_rig_log_block(rig) + RIG_LOG_BLOCKS;
	struct page *pages[2][16];
	u32 round, i, j;

	append_writes(rig, 2, 8);
	store_rig_commit_all(rig);
	begin_fill(rig);
	for (i = 0; i < 2; i++) {
		for (j = 0; j < 16; j++) {
			pages[i][j] = alloc_page(GFP_KERNEL);
			memset(page_address(pages[i][j]), 0x40 + i, PAGE_SIZE);
		}
	}
	for (round = 0; round < 4; round++) {
		rig->fills_written = 0;
		qbd_store_fill_write(rig->store, 32, 16, pages[0], rig->commit_index, NULL);
		qbd_store_fill_write(rig->store, 40, 4, pages[1], rig->commit_index, NULL);
		/* Before it, and not in its way. */
		qbd_store_fill_write(rig->store, 0, 16, pages[1], rig->commit_index, NULL);
		store_rig_wait(rig, three_are_filled);
		for (i = 0; i < 48; i++) {
			u8 expected = i < 16 || (i >= 40 && i < 44) ? 0x41 : 0x40;

			if (i < 16 || i >= 32)
				KUNIT_EXPECT_EQ(test, expected,
						*(u8 *)test_disk_block(rig->disk, data + i));
		}
	}
	/* Not while it goes down. */
	qbd_store_stop(rig->store);
	rig->fill_error = -EIO;
	rig->fills_written = 0;
	qbd_store_fill_write(rig->store, 32, 16, pages[0], rig->commit_index, NULL);
	store_rig_wait(rig, is_filled);
	for (i = 0; i < 2; i++)
		for (j = 0; j < 16; j++)
			__free_page(pages[i][j]);
	store_rig_destroy(rig);
}

/* The disk fails under a fill: each write of it is answered, and with the error. */
static void fills_of_a_disk_that_fails(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct page *pages[16];
	u32 i;

	append_writes(rig, 2, 8);
	store_rig_commit_all(rig);
	begin_fill(rig);
	for (i = 0; i < 16; i++)
		pages[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
	rig->fill_error = -EIO;
	rig->fills_written = 0;
	rig->disk->fail_writes = true;
	rig->disk->fail_last = U64_MAX;
	qbd_store_fill_write(rig->store, 32, 16, pages, rig->commit_index, NULL);
	qbd_store_fill_write(rig->store, 40, 4, pages, rig->commit_index, NULL);
	qbd_store_fill_write(rig->store, 44, 4, pages, rig->commit_index, NULL);
	store_rig_wait(rig, three_are_filled);
	KUNIT_EXPECT_TRUE(test, rig->failed);
	rig->fills_written = 0;
	qbd_store_fill_write(rig->store, 0, 4, pages, rig->commit_index, NULL);
	store_rig_wait(rig, is_filled);
	for (i = 0; i < 16; i++)
		__free_page(pages[i]);
	rig->disk->fail_writes = false;
	store_rig_destroy(rig);
}

/* Going down waits for a reset that was begun, and it is one when it comes back. */
static void going_down_waits_for_a_reset(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_membership_layout membership = rig->recovered.base_membership;
	u64 leader_last;
	u32 i;

	append_writes(rig, 2, 8);
	store_rig_commit_all(rig);
	leader_last = rig->commit_index;
	for (i = 0; i < 20; i++)
		store_rig_leader_entry(rig, &leader_last);
	append_writes(rig, 1, 8);
	test_disk_hang(rig->disk, true);
	qbd_store_run(rig->store);
	store_rig_reset(rig, leader_last, rig->term,
			rig->history[rig->log[leader_last] - 1].chain, &membership);
	qbd_store_stop(rig->store);
	store_rig_poll(rig);
	KUNIT_EXPECT_FALSE(test, qbd_store_stopped(rig->store));
	test_disk_hang(rig->disk, false);
	rig->last_index = leader_last;
	rig->commit_index = leader_last;
	store_rig_stop(rig);
	rig->durable_index = 0;
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.filling);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, leader_last);
	store_rig_destroy(rig);
}

/* It has been idle for long when the new log is there: only then is that written. */
static void a_reset_of_an_idle_member(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_membership_layout membership = rig->recovered.base_membership;

	append_writes(rig, 2, 8);
	store_rig_commit_all(rig);
	KUNIT_EXPECT_TRUE(test, rig->store->idle_armed);
	test_disk_hang(rig->disk, true);
	store_rig_reset(rig, 40, rig->term, 0x17, &membership);
	qbd_store_run(rig->store);
	wait_event_timeout(rig->wait, idle_time_is_over(rig), 4 * HZ);
	qbd_store_run(rig->store);
	KUNIT_EXPECT_TRUE(test, rig->store->fill.resetting);
	KUNIT_EXPECT_EQ(test, rig->store->checkpoint.step, QBD_CHECKPOINT_NONE);
	KUNIT_EXPECT_EQ(test, rig->resets, 0);
	test_disk_hang(rig->disk, false);
	store_rig_wait(rig, is_reset);
	KUNIT_EXPECT_EQ(test, qbd_store_first_index(rig->store), 41);
	rig->durable_index = 0;
	store_rig_cut(rig);
	KUNIT_ASSERT_EQ(test, store_rig_try_open(rig), 0);
	KUNIT_EXPECT_TRUE(test, rig->recovered.filling);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 40);
	store_rig_destroy(rig);
}

/* ---- configurations --------------------------------------------------------------- */

static bool first_is_reclaimed(struct store_rig *rig)
{
	return qbd_store_first_index(rig->store) > 4;
}

static void list_of_two(const struct store_rig *rig, struct qbd_membership_layout *two)
{
	*two = rig->recovered.base_membership;
	two->count = cpu_to_le32(2);
	two->next_member_id = cpu_to_le32(9);
	two->members[1].id = cpu_to_le32(5);
}

/* A configuration outlives its record: cut off, recovered, given back with its place. */
static void configurations_in_the_log(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	static struct qbd_membership_layout two, three;
	u32 i;

	list_of_two(rig, &two);
	three = two;
	three.count = cpu_to_le32(3);
	three.members[2].id = cpu_to_le32(7);
	append_writes(rig, 2, 3);
	store_rig_append_membership(rig, &two);
	append_writes(rig, 1, 3);
	store_rig_commit_all(rig);
	store_rig_append_membership(rig, &three);
	store_rig_wait(rig, rig_all_durable);
	KUNIT_EXPECT_EQ(test, rig->store->log.memberships, 2);
	store_rig_cut(rig);

	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->memberships, 2);
	KUNIT_EXPECT_EQ(test, memcmp(&rig->membership, &three, sizeof(three)), 0);
	store_rig_truncate(rig, 5);
	KUNIT_EXPECT_EQ(test, rig->store->log.memberships, 1);
	/* One that is applied is loaded, for whoever asks for it later. */
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, 4);
	KUNIT_EXPECT_EQ(test, rig->memberships, 1);
	KUNIT_EXPECT_NOT_NULL(test, qbd_log_slot(rig->store, 3)->record);
	/* Its record stays in memory while it is in the log, whatever else goes. */
	rig->term++;
	store_rig_vote(rig);
	store_rig_wait(rig, rig_vote_durable);
	for (i = 0; i < 6; i++) {
		append_writes(rig, 2, 100);
		store_rig_commit_all(rig);
	}
	KUNIT_EXPECT_NOT_NULL(test, qbd_log_slot(rig->store, 3)->record);
	while (!first_is_reclaimed(rig) && rig->last_index < 200) {
		append_writes(rig, 2, 100);
		store_rig_commit_all(rig);
	}
	store_rig_wait(rig, first_is_reclaimed);
	KUNIT_EXPECT_EQ(test, rig->store->log.memberships, 0);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->memberships, 0);
	KUNIT_EXPECT_EQ(test, memcmp(&rig->recovered.base_membership, &two, sizeof(two)), 0);
	store_rig_destroy(rig);
}

static void fail_reads_of(struct store_rig *rig, u64 block)
{
	rig->disk->fail_reads = true;
	rig->disk->fail_first = block * QBD_SECTORS_PER_BLOCK;
	rig->disk->fail_last = rig->disk->fail_first + QBD_SECTORS_PER_BLOCK - 1;
}

static void expect_refused(struct store_rig *rig, int error, const char *why)
{
	KUNIT_EXPECT_EQ(rig->test, store_rig_try_open(rig), error);
	KUNIT_EXPECT_NOT_NULL_MSG(rig->test, strstr(rig->error_text, why), "no '%s' in: %s",
				  why, rig->error_text);
}

/*
 * Who the members are is not guessed: of a list that was applied the state block knows it, when
 * its record is damaged, or cannot be read.
 */
static void configurations_that_are_lost(struct kunit *test)
{
	struct qbd_membership_layout two;
	struct store_rig *rig;
	int way;
	u64 place;

	for (way = 0; way < 2; way++) {
		rig = begin(test);
		list_of_two(rig, &two);
		append_writes(rig, 2, 3);
		store_rig_append_membership(rig, &two);
		append_writes(rig, 1, 3);
		store_rig_commit_all(rig);
		place = store_rig_log_block(rig) + qbd_log_slot(rig->store, 3)->position + 1;
		store_rig_stop(rig);
		if (way)
			((u8 *)test_disk_block(rig->disk, place))[9] ^= 1;
		else
			fail_reads_of(rig, place);
		store_rig_open(rig);
		rig->disk->fail_reads = false;
		KUNIT_EXPECT_EQ(test, qbd_store_first_index(rig->store), 5);
		KUNIT_EXPECT_EQ(test, memcmp(&rig->recovered.base_membership, &two,
					     sizeof(two)), 0);
		store_rig_destroy(rig);
	}
	/* Whole, and none: no leader of this version has sent it. */
	rig = begin(test);
	two.count = 0;
	store_rig_append_membership(rig, &two);
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	expect_refused(rig, -EUCLEAN, "a configuration in the log");
	store_rig_destroy(rig);
}

/* One that is not applied yet cannot be read: acknowledged, so it is missed. */
static void a_configuration_that_is_missed(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_sized(test, 6, RIG_DEVICE_BLOCKS, 3);
	u64 place;

	store_rig_start(rig);
	append_writes(rig, 2, 3);
	store_rig_append_membership(rig, &rig->recovered.base_membership);
	store_rig_wait(rig, rig_all_durable);
	append_writes(rig, 1, 3);
	store_rig_wait(rig, rig_all_durable);
	place = store_rig_log_block(rig) + qbd_log_slot(rig->store, 3)->position + 1;
	store_rig_cut(rig);
	fail_reads_of(rig, place);
	rig->durable_index = 2;
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 2);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 4);
	rig->disk->fail_reads = false;
	store_rig_destroy(rig);
}

/*
 * Entries may be on the disk before the term is: it is theirs, and as it has a leader
 * nobody is voted for in it any more.
 */
static void a_term_that_only_the_log_knows(struct kunit *test)
{
	struct store_rig *rig = begin(test);

	append_writes(rig, 1, 2);
	rig->term += 3;
	append_writes(rig, 1, 2);
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 2);
	KUNIT_EXPECT_EQ(test, rig->recovered.term, rig->term);
	KUNIT_EXPECT_EQ(test, rig->recovered.vote,
			qbd_store_identity(rig->store)->member_id);
	store_rig_destroy(rig);
}

static bool move_durable(struct store_rig *rig)
{
	return qbd_store_move_durable(rig->store);
}

static void cut_and_open(struct store_rig *rig)
{
	store_rig_cut(rig);
	store_rig_open(rig);
}

/* Where it asked to be found is there after a power cut, and whatever was written since. */
static void a_move_that_was_asked_for(struct kunit *test)
{
	const struct qbd_move_layout none = { }, move = {
		.address = { .family = cpu_to_le16(4), .port = cpu_to_le16(7901),
			     .bytes = { 192, 0, 2, 1 } },
		.leader = cpu_to_le32(2), .term = cpu_to_le64(7), .list = cpu_to_le64(40),
	};
	struct store_rig *rig = begin(test);

	KUNIT_EXPECT_EQ(test, memcmp(qbd_store_move(rig->store), &none, sizeof(none)), 0);
	append_writes(rig, 1, 2);
	store_rig_wait(rig, rig_all_durable);
	qbd_store_write_move(rig->store, &move);
	KUNIT_EXPECT_FALSE(test, move_durable(rig));
	store_rig_wait(rig, move_durable);
	cut_and_open(rig);
	KUNIT_EXPECT_EQ(test, memcmp(qbd_store_move(rig->store), &move, sizeof(move)), 0);
	store_rig_commit(rig, rig->last_index);
	store_rig_wait(rig, rig_all_applied);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, memcmp(qbd_store_move(rig->store), &move, sizeof(move)), 0);
	/* It is given up with whatever is written next. */
	qbd_store_forget_move(rig->store);
	store_rig_vote(rig);
	store_rig_wait(rig, rig_vote_durable);
	cut_and_open(rig);
	KUNIT_EXPECT_EQ(test, memcmp(qbd_store_move(rig->store), &none, sizeof(none)), 0);
	store_rig_destroy(rig);
}

static bool is_mirrored(struct store_rig *rig)
{
	return rig->store->state.mirrored && !rig->store->state.writing;
}

static bool is_checkpointed(struct store_rig *rig)
{
	return rig->store->state.disk.applied_index == rig->applied_index &&
	       !rig->store->checkpoint.step && !rig->store->checkpoint.wanted;
}

static void keep_block(struct store_rig *rig, u64 place, void *to)
{
	memcpy(to, test_disk_block(rig->disk, place), QBD_BLOCK_SIZE);
}

static void put_block(struct store_rig *rig, u64 place, const void *from)
{
	memcpy(test_disk_block(rig->disk, place), from, QBD_BLOCK_SIZE);
	test_disk_settle(rig->disk, place);
}

/*
 * Power goes while a state slot is written: one of its blocks is new. It comes back, and goes
 * again while the same slot is written for the first time: the other block is new. Neither
 * write was ever done, and the two halves say different things.
 */
static void halves_of_two_state_writes(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u8 *kept = kunit_kzalloc(test, 6 * QBD_BLOCK_SIZE, GFP_KERNEL);
	u8 *good = kept, *old = kept + 2 * QBD_BLOCK_SIZE;
	u8 *first = kept + 4 * QBD_BLOCK_SIZE, *second = kept + 5 * QBD_BLOCK_SIZE;
	unsigned int slot;
	u64 sequence;

	KUNIT_ASSERT_NOT_NULL(test, kept);
	append_writes(rig, 4, 2);
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, 4);
	append_writes(rig, 1, 2);
	store_rig_wait(rig, rig_all_durable);
	store_rig_wait(rig, is_mirrored);
	slot = rig->store->state.slot;
	sequence = rig->store->state.disk.sequence;
	keep_block(rig, QBD_STATE_SLOT_BLOCK(slot), good);
	keep_block(rig, QBD_APPLIED_BLOCK(slot), good + QBD_BLOCK_SIZE);
	keep_block(rig, QBD_STATE_SLOT_BLOCK(!slot), old);
	keep_block(rig, QBD_APPLIED_BLOCK(!slot), old + QBD_BLOCK_SIZE);
	/* All five are applied; that is written, and only the first block of it gets there. */
	store_rig_commit(rig, 5);
	store_rig_wait(rig, rig_all_applied);
	rig->store->checkpoint.wanted = true;
	qbd_store_run(rig->store);
	store_rig_wait(rig, is_checkpointed);
	keep_block(rig, QBD_STATE_SLOT_BLOCK(!slot), first);
	KUNIT_ASSERT_EQ(test, le64_to_cpu(((struct qbd_state_block *)first)->sequence),
			sequence + 1);
	KUNIT_ASSERT_EQ(test, le64_to_cpu(((struct qbd_state_block *)first)->applied_index), 5);
	store_rig_cut(rig);
	put_block(rig, QBD_STATE_SLOT_BLOCK(slot), good);
	put_block(rig, QBD_APPLIED_BLOCK(slot), good + QBD_BLOCK_SIZE);
	put_block(rig, QBD_APPLIED_BLOCK(!slot), old + QBD_BLOCK_SIZE);
	/* That the fifth is committed nothing says any more. */
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.commit_index, 4);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, 4);
	keep_block(rig, QBD_APPLIED_BLOCK(!slot), second);
	store_rig_cut(rig);
	/* Of the first write after that only the second block gets there. */
	put_block(rig, QBD_STATE_SLOT_BLOCK(slot), good);
	put_block(rig, QBD_APPLIED_BLOCK(slot), good + QBD_BLOCK_SIZE);
	put_block(rig, QBD_STATE_SLOT_BLOCK(!slot), first);
	put_block(rig, QBD_APPLIED_BLOCK(!slot), second);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.applied_index, 4);
	store_rig_destroy(rig);
}

/* What is applied is in the data area: that its record is damaged costs nothing. */
static void applied_records_are_damaged(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 place;

	append_writes(rig, 6, 2);
	store_rig_commit_all(rig);
	place = store_rig_log_block(rig) + qbd_log_slot(rig->store, 2)->position;
	store_rig_stop(rig);
	memset(test_disk_block(rig->disk, place), 0x44, 512);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.base_index, 6);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 6);
	store_rig_check_all(rig);
	append_writes(rig, 2, 2);
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 8);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

/* ---- opening ------------------------------------------------------------------------ */

static void disks_that_are_none_of_qbd(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	char path[sizeof(rig->disk->path)];

	store_rig_stop(rig);
	memcpy(path, rig->disk->path, sizeof(path));
	strscpy(rig->disk->path, "/dev/qbdtest-none", sizeof(rig->disk->path));
	expect_refused(rig, -ENOENT, "does not exist");
	strscpy(rig->disk->path, "/dev/null", sizeof(rig->disk->path));
	expect_refused(rig, -ENOTBLK, "is no block device");
	memcpy(rig->disk->path, path, sizeof(path));
	memset(test_disk_block(rig->disk, 0), 0, QBD_BLOCK_SIZE);
	memset(test_disk_block(rig->disk, QBD_SUPERBLOCK_COPY_BLOCK), 0, QBD_BLOCK_SIZE);
	expect_refused(rig, -EMEDIUMTYPE, "is no qbd disk");
	store_rig_destroy(rig);
}

#define ANYWHERE	(~0ull)

/* What has to be written to come up cannot be. Read once more all is there. */
static void disks_that_cannot_be_written(struct kunit *test)
{
	static const u64 places[] = { 0, 512 + RIG_LOG_BLOCKS, ANYWHERE };
	struct store_rig *rig;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		rig = begin(test);
		append_writes(rig, 4, 2);
		store_rig_wait(rig, rig_all_durable);
		store_rig_commit(rig, 4);
		append_writes(rig, 1, 2);
		store_rig_wait(rig, rig_all_durable);
		test_disk_power_cut(rig->disk);
		qbd_store_close(rig->store);
		rig->store = NULL;
		test_disk_power_on(rig->disk);
		memset(test_disk_block(rig->disk, 0), 0x11, 512);
		test_disk_settle(rig->disk, 0);
		rig->disk->fail_writes = true;
		if (places[i] != ANYWHERE)
			rig->disk->fail_first = places[i] * QBD_SECTORS_PER_BLOCK;
		rig->disk->fail_last = places[i] == ANYWHERE ? U64_MAX :
				       rig->disk->fail_first + 800;
		expect_refused(rig, places[i] ? -EIO : -ENODATA, "cannot be read or written");
		rig->disk->fail_writes = false;
		KUNIT_EXPECT_EQ(test, store_rig_try_open(rig), 0);
		KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 5);
		rig->failed = rig->recovered.failed;
		store_rig_destroy(rig);
	}
}

/* The disk has shrunk: what the superblock speaks of is not there. */
static void a_disk_that_has_shrunk(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 last = rig->disk->sectors / QBD_SECTORS_PER_BLOCK - 1;
	struct qbd_superblock *block = test_disk_block(rig->disk, 0);

	store_rig_stop(rig);
	block->backing_blocks = cpu_to_le64(last + 1001);
	qbd_block_seal(block, QBD_SUPERBLOCK_MAGIC, rig->uuid, 0);
	memset(test_disk_block(rig->disk, QBD_SUPERBLOCK_COPY_BLOCK), 0x11, QBD_BLOCK_SIZE);
	KUNIT_EXPECT_NE(test, store_rig_try_open(rig), 0);
	KUNIT_EXPECT_NOT_NULL(test, strstr(rig->error_text, "smaller"));
	store_rig_destroy(rig);
}

/* One block is not enough to have two superblocks. */
static void a_disk_of_one_block(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct test_disk *disk = rig->disk, *small;

	store_rig_stop(rig);
	test_disk_destroy(disk);
	small = test_disk_create(1, 7);
	KUNIT_ASSERT_FALSE(test, IS_ERR(small));
	rig->disk = small;
	expect_refused(rig, -EMEDIUMTYPE, "is too small for a qbd disk");
	store_rig_destroy(rig);
}

/* What is in the log has to be in memory; with less of it than it came with there is none. */
static void too_little_memory_for_the_log(struct kunit *test)
{
	/* Almost all there is, and more than there is. */
	static const struct { u32 count, blocks; } logs[] = { { 9, 200 }, { 700, 1 } };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(logs); i++) {
		struct store_rig *rig = store_rig_create(test, 3);

		qbd_pool_destroy(rig->pool);
		rig->pool = qbd_pool_create(4 * RIG_LOG_BLOCKS, NULL, NULL);
		KUNIT_ASSERT_FALSE(test, IS_ERR(rig->pool));
		store_rig_open(rig);
		store_rig_vote(rig);
		store_rig_wait(rig, rig_vote_durable);
		append_writes(rig, logs[i].count, logs[i].blocks);
		store_rig_wait(rig, rig_all_durable);
		store_rig_stop(rig);
		qbd_pool_destroy(rig->pool);
		rig->pool = qbd_pool_create(QBD_POOL_PAGES_MIN, NULL, NULL);
		KUNIT_ASSERT_FALSE(test, IS_ERR(rig->pool));
		expect_refused(rig, -ENOMEM, "MiB of memory; bring it up with that much");
		qbd_pool_destroy(rig->pool);
		rig->pool = qbd_pool_create(4 * RIG_LOG_BLOCKS, NULL, NULL);
		KUNIT_ASSERT_FALSE(test, IS_ERR(rig->pool));
		store_rig_open(rig);
		KUNIT_EXPECT_EQ(test, rig->last_index, logs[i].count);
		store_rig_destroy(rig);
	}
}

/* Who wanted it open is gone: the disk is left as it is. */
static void nobody_waits_for_it_to_be_open(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 last = rig->last_index, writes;

	/* Without order: the next one has something to write. */
	qbd_store_close(rig->store);
	rig->store = NULL;
	writes = rig->disk->writes;
	rig->unwanted = true;
	KUNIT_EXPECT_EQ(test, store_rig_try_open(rig), -ECANCELED);
	KUNIT_EXPECT_EQ(test, rig->disk->writes, writes);
	rig->unwanted = false;
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, last);
	KUNIT_EXPECT_GT(test, rig->disk->writes, writes);
	store_rig_destroy(rig);
}

static struct kunit_case store_refusals_cases[] = {
	KUNIT_CASE(a_store_that_stops_takes_nothing),
	KUNIT_CASE(a_store_that_failed_takes_nothing),
	KUNIT_CASE(done_and_failed_at_once),
	KUNIT_CASE(a_disk_fails_during_a_checkpoint),
	KUNIT_CASE(going_down_while_nothing_is_applied),
	KUNIT_CASE(joining_is_said_once),
	KUNIT_CASE(room_is_asked_for_any_index),
	KUNIT_CASE(a_log_of_many_small_records),
	KUNIT_CASE(little_is_given_back),
	KUNIT_CASE(who_waits_for_the_disk_is_not_idle),
	KUNIT_CASE(many_zeroes_without_the_disk),
	KUNIT_CASE(a_new_disk_joins),
	KUNIT_CASE(an_old_state_of_a_newer_log),
	KUNIT_CASE(another_record_in_its_place),
	KUNIT_CASE(records_are_old_when_memory_let_them_go),
	KUNIT_CASE(records_that_cannot_be_read),
	KUNIT_CASE(a_record_read_while_the_log_is_cut),
	KUNIT_CASE(records_wait_for_places_and_memory),
	KUNIT_CASE(reads_of_many_parts_fail_once),
	KUNIT_CASE(reads_of_the_disk_as_it_is),
	KUNIT_CASE(reads_that_wait_end_with_the_store),
	KUNIT_CASE(going_down_waits_for_reads),
	KUNIT_CASE(fills_that_overlap_are_in_order),
	KUNIT_CASE(fills_of_a_disk_that_fails),
	KUNIT_CASE(going_down_waits_for_a_reset),
	KUNIT_CASE(a_reset_of_an_idle_member),
	KUNIT_CASE(configurations_in_the_log),
	KUNIT_CASE(configurations_that_are_lost),
	KUNIT_CASE(a_configuration_that_is_missed),
	KUNIT_CASE(a_term_that_only_the_log_knows),
	KUNIT_CASE(a_move_that_was_asked_for),
	KUNIT_CASE(halves_of_two_state_writes),
	KUNIT_CASE(applied_records_are_damaged),
	KUNIT_CASE(disks_that_are_none_of_qbd),
	KUNIT_CASE(disks_that_cannot_be_written),
	KUNIT_CASE(a_disk_that_has_shrunk),
	KUNIT_CASE(a_disk_of_one_block),
	KUNIT_CASE(too_little_memory_for_the_log),
	KUNIT_CASE(nobody_waits_for_it_to_be_open),
	{ }
};

static struct kunit_suite store_refusals_suite = {
	.name		= "store_refusals",
	.test_cases	= store_refusals_cases,
};

kunit_test_suite(store_refusals_suite);
