// SPDX-License-Identifier: GPL-2.0
/*
 * The store on a test disk, one situation a case: a full log, records read back,
 * failing and hanging disks, damage of every kind, truncation under way.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "../store/internal.h"
#include "store_rig.h"

static bool is_failed(struct store_rig *rig)
{
	return rig->failed;
}

static bool is_loaded(struct store_rig *rig)
{
	return rig->loaded;
}

static bool is_idle_checkpointed(struct store_rig *rig)
{
	return rig->store->state.disk.applied_index == rig->applied_index &&
	       rig->store->state.mirrored && !rig->store->state.writing &&
	       !rig->store->checkpoint.step && !rig->store->idle_armed;
}

static struct store_rig *begin(struct kunit *test)
{
	return store_rig_start(store_rig_create(test, 4711));
}

/* @count entries of one write of @blocks, at places of their own while there are any. */
static u32 append_writes(struct store_rig *rig, u32 count, u32 blocks)
{
	u32 i;

	for (i = 0; i < count; i++) {
		struct rig_operation operation = {
			.block = rig->last_index * blocks % (RIG_DEVICE_BLOCKS - blocks),
			.count = blocks,
		};

		if (!store_rig_append(rig, &operation, 1))
			break;
	}
	return i;
}

/* Writers are held up by a full log, never lost, and go on when there is space. */
static void full_log(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 first = qbd_store_first_index(rig->store);
	u32 taken, spaces;

	/* Nothing is committed: nothing can be reclaimed. */
	taken = append_writes(rig, 10000, 1);
	KUNIT_EXPECT_LT(test, taken, 10000);
	KUNIT_EXPECT_GE(test, taken, qbd_pool_pages(rig->pool) / 4);
	store_rig_wait(rig, rig_all_durable);
	KUNIT_EXPECT_EQ(test, qbd_store_first_index(rig->store), first);
	KUNIT_EXPECT_EQ(test, append_writes(rig, 1, 1), 0);
	spaces = rig->spaces;
	store_rig_commit_all(rig);
	while (append_writes(rig, 4000, 1) < 4000) {
		store_rig_commit_all(rig);
		if (test->status == KUNIT_FAILURE || rig->failed ||
		    rig->last_index > 6000)
			break;
	}
	KUNIT_EXPECT_GT(test, rig->spaces, spaces);
	KUNIT_EXPECT_GT(test, qbd_store_first_index(rig->store), first);
	store_rig_commit_all(rig);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

static bool room_for_200(struct store_rig *rig)
{
	return qbd_store_has_room(rig->store, 200);
}

/* Only large records: the ring is full of blocks, not of records. */
static void full_ring(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_store_status status;
	u32 full = 0;

	while (rig->last_index < 60 && test->status != KUNIT_FAILURE) {
		append_writes(rig, 3, 200);
		qbd_store_status(rig->store, &status);
		KUNIT_EXPECT_LE(test, status.log_used_bytes, status.log_bytes);
		full += !room_for_200(rig);
		store_rig_commit_all(rig);
		/* Applied is not reclaimed yet: that takes a checkpoint. */
		store_rig_wait(rig, room_for_200);
	}
	KUNIT_EXPECT_GT(test, full, 0);
	store_rig_check_all(rig);
	store_rig_stop(rig);
	store_rig_open(rig);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

static bool failed_or_reclaimed(struct store_rig *rig)
{
	return rig->failed || qbd_store_first_index(rig->store) > 1;
}

static bool reclaim_reported(struct store_rig *rig)
{
	return rig->base_index + 1 == qbd_store_first_index(rig->store);
}

/*
 * Coming up applies what is committed, and may give log space back: that has to be
 * said like any reclaim, or a leader believes in records that are gone.
 */
static void recovery_reports_what_it_reclaims(struct kunit *test)
{
	u32 cut, reclaimed = 0;

	for (cut = 1; cut <= 16 && test->status != KUNIT_FAILURE; cut++) {
		struct store_rig *rig = store_rig_create(test, cut);
		u64 recovered_base;

		/* All of the log fits into memory: nothing has to be applied early. */
		qbd_pool_destroy(rig->pool);
		rig->pool = qbd_pool_create(4 * RIG_LOG_BLOCKS, NULL, NULL);
		KUNIT_ASSERT_FALSE(test, IS_ERR(rig->pool));
		store_rig_start(rig);
		append_writes(rig, RIG_LOG_BLOCKS * 4 / 5 / 201, 200);
		store_rig_wait(rig, rig_all_durable);
		test_disk_cut_after(rig->disk, cut);
		store_rig_commit(rig, rig->last_index);
		append_writes(rig, 1, 1);
		store_rig_wait(rig, failed_or_reclaimed);
		store_rig_cut(rig);
		store_rig_open(rig);
		recovered_base = rig->recovered.base_index;
		reclaimed += qbd_store_first_index(rig->store) > recovered_base + 1;
		store_rig_wait(rig, reclaim_reported);
		store_rig_destroy(rig);
	}
	KUNIT_EXPECT_GT(test, reclaimed, 0);
}

/* A record that memory has let go is read back from the ring. */
static void records_are_read_back(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_record *record;
	u64 position;
	u32 i;

	for (i = 0; i < 6; i++) {
		append_writes(rig, 2, 100);
		store_rig_commit_all(rig);
	}
	KUNIT_ASSERT_NULL(test, qbd_log_slot(rig->store, 2)->record);
	KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, 2, &record), -EINPROGRESS);
	KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, 2, &record), -EINPROGRESS);
	store_rig_wait(rig, is_loaded);
	KUNIT_ASSERT_FALSE(test, IS_ERR(rig->loaded));
	KUNIT_EXPECT_EQ(test, rig->loaded->index, 2);
	KUNIT_EXPECT_EQ(test, qbd_record_chain_of(rig->loaded),
			qbd_store_chain(rig->store, 2));
	qbd_record_put(rig->loaded);
	rig->loaded = NULL;
	/* The newest one is in memory. */
	KUNIT_ASSERT_EQ(test, qbd_store_record(rig->store, rig->last_index, &record), 0);
	KUNIT_EXPECT_EQ(test, record->index, rig->last_index);
	qbd_record_put(record);
	KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, rig->last_index + 1, &record),
			-ENOENT);
	KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, 0, &record), -ENOENT);

	/* Damaged, it is not given out. */
	position = qbd_log_slot(rig->store, 3)->position;
	((u8 *)test_disk_block(rig->disk, store_rig_log_block(rig) + position + 5))[9] ^= 1;
	KUNIT_EXPECT_EQ(test, qbd_store_record(rig->store, 3, &record), -EINPROGRESS);
	store_rig_wait(rig, is_loaded);
	KUNIT_EXPECT_EQ(test, PTR_ERR(rig->loaded), -EBADMSG);
	rig->loaded = NULL;
	store_rig_destroy(rig);
}

static bool all_pages_free(struct store_rig *rig)
{
	return qbd_pool_pages_free(rig->pool) == qbd_pool_pages(rig->pool);
}

/* Nothing is vouched for any more, the good data can be read, and it is remembered. */
static void write_errors(struct kunit *test)
{
	static const struct { u64 first, last; bool flushes; } where[] = {
		{ 512, 512 + RIG_LOG_BLOCKS - 1, false },		/* log */
		{ 512 + RIG_LOG_BLOCKS, 512 + RIG_LOG_BLOCKS + 800, false }, /* data */
		{ QBD_EXTENT_JOURNAL_BLOCK, QBD_EXTENT_TABLE_BLOCK, false },
		{ 0, 0, true },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(where); i++) {
		struct store_rig *rig = begin(test);
		u64 durable;

		append_writes(rig, 5, 3);
		store_rig_commit_all(rig);
		durable = rig->durable_index;
		rig->disk->fail_first = where[i].first * QBD_SECTORS_PER_BLOCK;
		rig->disk->fail_last = where[i].last * QBD_SECTORS_PER_BLOCK + 7;
		rig->disk->fail_writes = !where[i].flushes;
		rig->disk->fail_flushes = where[i].flushes;
		append_writes(rig, 2, 3);
		store_rig_commit(rig, rig->last_index);
		store_rig_wait(rig, is_failed);
		if (!i || where[i].flushes)
			KUNIT_EXPECT_EQ(test, rig->durable_index, durable);
		KUNIT_EXPECT_EQ(test, append_writes(rig, 1, 1), 0);
		/* What will never be applied is not in anybody's way. */
		store_rig_wait(rig, all_pages_free);
		store_rig_stop(rig);
		rig->disk->fail_writes = false;
		rig->disk->fail_flushes = false;
		KUNIT_EXPECT_EQ(test, store_rig_try_open(rig), 0);
		KUNIT_EXPECT_EQ(test, rig->recovered.failed, !where[i].flushes);
		rig->failed = rig->recovered.failed;
		/* Others go on without it, and it hears of that. */
		qbd_store_commit(rig->store, rig->recovered.last_index);
		store_rig_destroy(rig);
	}
}

static struct qbd_store_read reading;
static bool reading_done;

static void read_done(struct qbd_store_read *read)
{
	reading_done = true;
}

static bool is_read(struct store_rig *rig)
{
	return reading_done;
}

/* A read that fails is the reader's to hear of, and nobody else's. */
static void read_errors(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct page *page = alloc_page(GFP_KERNEL);
	struct bio_vec bvec;

	append_writes(rig, 5, 3);
	store_rig_commit_all(rig);
	rig->disk->fail_reads = true;
	rig->disk->fail_last = U64_MAX;
	bvec_set_page(&bvec, page, QBD_BLOCK_SIZE, 0);
	reading = (struct qbd_store_read){
		.block = 3, .count = 1, .bvecs = &bvec, .bvec_count = 1,
		.done = read_done,
	};
	reading_done = false;
	qbd_store_read(rig->store, &reading);
	store_rig_wait(rig, is_read);
	KUNIT_EXPECT_EQ(test, reading.error, -ENODATA);
	rig->disk->fail_reads = false;
	KUNIT_EXPECT_FALSE(test, rig->failed);
	store_rig_check_all(rig);
	__free_page(page);
	store_rig_destroy(rig);
}

/* Acknowledged records that are damaged are told, and sent again they are there. */
static void damaged_records(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 position;
	u32 *log;

	append_writes(rig, 4, 2);
	store_rig_commit_all(rig);
	append_writes(rig, 6, 2);
	store_rig_wait(rig, rig_all_durable);
	append_writes(rig, 1, 2);
	store_rig_wait(rig, rig_all_durable);
	position = qbd_log_slot(rig->store, 7)->position;
	log = kvmalloc_array(RIG_ENTRIES_MAX + 2, sizeof(*log), GFP_KERNEL);
	memcpy(log, rig->log, (RIG_ENTRIES_MAX + 2) * sizeof(*log));
	store_rig_cut(rig);
	((u8 *)test_disk_block(rig->disk, store_rig_log_block(rig) + position + 1))[9] ^= 1;
	test_disk_settle(rig->disk, store_rig_log_block(rig) + position + 1);

	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 6);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 11);
	KUNIT_EXPECT_EQ(test, rig->recovered.commit_index, 4);
	/* Half of them sent again: still damaged, whatever else is in the ring. */
	store_rig_restore_commit(rig, 8, log);
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 8);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 11);
	store_rig_restore_commit(rig, 10, log);
	store_rig_wait(rig, rig_all_durable);
	append_writes(rig, 1, 1);
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 11);
	kvfree(log);
	store_rig_destroy(rig);
}

/* Another member knows what a disk had that was rolled back: from then on the disk does, too. */
static void what_others_say_is_missing(struct kunit *test)
{
	struct store_rig *rig = begin(test);

	append_writes(rig, 6, 2);
	store_rig_wait(rig, rig_all_durable);
	/* It has all that. */
	qbd_store_damaged(rig->store, 6);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	/* It has not; taken down in order, or not. */
	qbd_store_damaged(rig->store, 9);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 9);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 6);
	/* Until it needs that no more, or has it. */
	qbd_store_repaired(rig->store);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	qbd_store_damaged(rig->store, 7);
	append_writes(rig, 1, 1);
	store_rig_wait(rig, rig_all_durable);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 7);
	store_rig_destroy(rig);
}

static void fail_reads_of(struct store_rig *rig, u64 first, u64 last)
{
	rig->disk->fail_reads = true;
	rig->disk->fail_first = first * QBD_SECTORS_PER_BLOCK;
	rig->disk->fail_last = (last + 1) * QBD_SECTORS_PER_BLOCK - 1;
}

/*
 * A block that cannot be read may hide an acknowledged record. That is no more than a
 * suspicion, and goes when the block can be read again; unless the log was written on
 * meanwhile, and that is why it can.
 */
static void suspected_records(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_sized(test, 4711, RIG_DEVICE_BLOCKS, 3);
	u64 position, place;

	store_rig_start(rig);
	append_writes(rig, 4, 2);
	store_rig_commit_all(rig);
	append_writes(rig, 3, 2);
	store_rig_wait(rig, rig_all_durable);
	position = qbd_log_slot(rig->store, 6)->position;
	store_rig_cut(rig);
	rig->durable_index = 4;

	/* Behind the end: up and down, and up again, in order and not. */
	place = store_rig_log_block(rig) + position + 6 + 20;
	fail_reads_of(rig, place, place);
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 7);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 8);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	store_rig_cut(rig);
	rig->disk->fail_reads = false;
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 7);
	store_rig_cut(rig);

	/* A record itself, and one behind it. Sent again one at a time. */
	place = store_rig_log_block(rig) + position;
	fail_reads_of(rig, place, place);
	rig->durable_index = 4;
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 5);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 7);
	append_writes(rig, 1, 2);
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	rig->disk->fail_reads = false;
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 6);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 7);
	append_writes(rig, 1, 2);
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 7);
	store_rig_destroy(rig);
}

/* The first that goes behind a suspicion makes it certain: what was there is cut off. */
static void a_suspicion_is_written_over(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_sized(test, 4715, RIG_DEVICE_BLOCKS, 3);
	u64 place;

	store_rig_start(rig);
	append_writes(rig, 4, 2);
	store_rig_commit_all(rig);
	append_writes(rig, 3, 2);
	store_rig_wait(rig, rig_all_durable);
	place = store_rig_log_block(rig) + qbd_log_slot(rig->store, 6)->position;
	store_rig_cut(rig);
	fail_reads_of(rig, place, place);
	rig->durable_index = 4;
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->store->damage_suspected);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 5);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 7);
	/* Nothing says yet that more than this was durable. */
	KUNIT_EXPECT_LT(test, rig->store->state.disk.durable_index, 7);
	append_writes(rig, 1, 2);
	store_rig_wait(rig, rig_all_durable);
	KUNIT_EXPECT_EQ(test, rig->store->state.disk.durable_index, 7);
	store_rig_cut(rig);
	rig->disk->fail_reads = false;
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 6);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 7);
	store_rig_destroy(rig);
}

static bool is_reset(struct store_rig *rig)
{
	return rig->resets;
}

/* A reset brings nothing of what lies after its index: that is missing still. */
static void damaged_records_after_a_reset(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	const struct rig_entry *entry;
	u64 position;

	append_writes(rig, 10, 2);
	store_rig_wait(rig, rig_all_durable);
	append_writes(rig, 1, 2);
	store_rig_wait(rig, rig_all_durable);
	position = qbd_log_slot(rig->store, 7)->position;
	entry = &rig->history[rig->log[8] - 1];
	store_rig_cut(rig);
	memset(test_disk_block(rig->disk, store_rig_log_block(rig) + position), 0, 512);
	test_disk_settle(rig->disk, store_rig_log_block(rig) + position);
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 11);
	store_rig_reset(rig, 8, entry->term, entry->chain,
			&rig->recovered.base_membership);
	store_rig_wait(rig, is_reset);
	store_rig_cut(rig);
	KUNIT_ASSERT_EQ(test, store_rig_try_open(rig), 0);
	KUNIT_EXPECT_TRUE(test, rig->recovered.filling);
	KUNIT_EXPECT_FALSE(test, rig->recovered.log_kept);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 8);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 11);
	store_rig_destroy(rig);
}

/* Another leader's records in the place of the damaged ones. */
static void damaged_records_replaced(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 position;

	append_writes(rig, 6, 2);
	store_rig_wait(rig, rig_all_durable);
	append_writes(rig, 4, 2);
	store_rig_wait(rig, rig_all_durable);
	position = qbd_log_slot(rig->store, 3)->position;
	store_rig_cut(rig);
	memset(test_disk_block(rig->disk, store_rig_log_block(rig) + position), 0, 512);
	test_disk_settle(rig->disk, store_rig_log_block(rig) + position);

	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 2);
	store_rig_vote(rig);
	store_rig_wait(rig, rig_vote_durable);
	append_writes(rig, 2, 1);
	store_rig_wait(rig, rig_all_durable);
	/* The leader has no more, and its log is what counts. */
	qbd_store_repaired(rig->store);
	store_rig_commit(rig, rig->last_index);
	store_rig_wait(rig, is_idle_checkpointed);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE_MSG(test, rig->recovered.damaged, "%s", rig->recovered.reason);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 4);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

/* Accident 40: nothing follows the last record; the idle checkpoint knew it. */
static void damaged_last_record(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 position;

	append_writes(rig, 3, 2);
	store_rig_commit_all(rig);
	append_writes(rig, 1, 2);
	store_rig_wait(rig, rig_all_durable);
	store_rig_wait(rig, is_idle_checkpointed);
	position = qbd_log_slot(rig->store, 4)->position;
	store_rig_cut(rig);
	((u8 *)test_disk_block(rig->disk, store_rig_log_block(rig) + position + 2))[0] ^= 1;
	test_disk_settle(rig->disk, store_rig_log_block(rig) + position + 2);
	store_rig_open(rig);
	KUNIT_EXPECT_TRUE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 3);
	KUNIT_EXPECT_EQ(test, rig->recovered.damaged_through, 4);
	store_rig_destroy(rig);
}

/*
 * 4 is torn by a power cut, 5 and 6, on their way with it, are whole. 4 is sent again, and the
 * member taken down in order: 5 fits behind it, but the log ends there, and it does so after
 * the next power cut.
 */
static void a_clean_log_keeps_its_end(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 place;

	append_writes(rig, 3, 2);
	store_rig_wait(rig, rig_all_durable);
	append_writes(rig, 3, 2);
	store_rig_wait(rig, rig_all_durable);
	place = store_rig_log_block(rig) + qbd_log_slot(rig->store, 4)->position;
	store_rig_cut(rig);
	((u8 *)test_disk_block(rig->disk, place + 1))[9] ^= 1;
	test_disk_settle(rig->disk, place + 1);
	rig->durable_index = 3;
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 3);
	append_writes(rig, 1, 2);
	store_rig_wait(rig, rig_all_durable);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 4);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 4);
	/* What follows is another one. */
	append_writes(rig, 1, 1);
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 5);
	store_rig_destroy(rig);
}

/* Opening fails with one line, and it has these words. */
static void expect_refused(struct store_rig *rig, int error, const char *what,
			   const char *why, const char *remedy)
{
	struct kunit *test = rig->test;
	const char *text = rig->error_text;

	KUNIT_EXPECT_EQ(test, store_rig_try_open(rig), error);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, what), "no '%s' in: %s", what, text);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, why), "no '%s' in: %s", why, text);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, remedy), "no '%s' in: %s", remedy,
				  text);
	KUNIT_EXPECT_NULL(test, strchr(text, '\n'));
}

static void damaged_superblocks(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	const u64 copies[2] = { 0, QBD_SUPERBLOCK_COPY_BLOCK };
	u32 i;

	append_writes(rig, 3, 2);
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	for (i = 0; i < 2; i++) {
		memset(test_disk_block(rig->disk, copies[i]), 0x11, QBD_BLOCK_SIZE);
		test_disk_settle(rig->disk, copies[i]);
		store_rig_open(rig);
		store_rig_check_all(rig);
		store_rig_stop(rig);
		/* It was written again. */
		KUNIT_EXPECT_EQ(test, le32_to_cpup(test_disk_block(rig->disk, copies[i])),
				QBD_SUPERBLOCK_MAGIC);
	}
	for (i = 0; i < 2; i++)
		((u8 *)test_disk_block(rig->disk, copies[i]))[200] ^= 1;
	expect_refused(rig, -EUCLEAN, "the superblock of", "checksum does not match",
		       "make the member anew");
	for (i = 0; i < 2; i++)
		((u8 *)test_disk_block(rig->disk, copies[i]))[200] ^= 1;
	/* A newer one is refused, whatever the other says, and not repaired. */
	for (i = 0; i < 2; i++) {
		struct qbd_block_header *header = test_disk_block(rig->disk, copies[i]);

		header->version = cpu_to_le32(QBD_FORMAT_VERSION + 1);
		expect_refused(rig, -EPROTONOSUPPORT, "cannot be used",
			       "its format is newer than this module",
			       "use a newer module");
		header->version = cpu_to_le32(QBD_FORMAT_VERSION);
	}
	store_rig_open(rig);
	store_rig_destroy(rig);
}

/*
 * The good copy is read once more when the bad one is written from it: if that fails the bad
 * one is not taken for the better one, sealed and written over it.
 */
static void good_superblock_fails_meanwhile(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	const u64 copies[2] = { 0, QBD_SUPERBLOCK_COPY_BLOCK };
	u32 bad;

	append_writes(rig, 3, 2);
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	for (bad = 0; bad < 2; bad++) {
		memset(test_disk_block(rig->disk, copies[bad]), 0x11, QBD_BLOCK_SIZE);
		test_disk_settle(rig->disk, copies[bad]);
		fail_reads_of(rig, copies[!bad], copies[!bad]);
		rig->disk->spared = 1;
		expect_refused(rig, -ENODATA, "cannot be", "read or written",
			       "see the kernel log");
		rig->disk->fail_reads = false;
		store_rig_open(rig);
		store_rig_check_all(rig);
		store_rig_stop(rig);
		KUNIT_EXPECT_EQ(test, le32_to_cpup(test_disk_block(rig->disk, copies[bad])),
				QBD_SUPERBLOCK_MAGIC);
	}
	store_rig_destroy(rig);
}

static void spoil_second_superblock(struct store_rig *rig, u64 index)
{
	if (!index)
		((u8 *)test_disk_block(rig->disk, QBD_SUPERBLOCK_COPY_BLOCK))[99] ^= 1;
}

/* Nor is what it has become since it was read. */
static void good_superblock_is_damaged_meanwhile(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u8 *first;

	append_writes(rig, 3, 2);
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	first = test_disk_block(rig->disk, 0);
	memset(first, 0x11, QBD_BLOCK_SIZE);
	test_disk_settle(rig->disk, 0);
	rig->reading = spoil_second_superblock;
	expect_refused(rig, -EIO, "cannot be", "read or written", "see the kernel log");
	rig->reading = NULL;
	KUNIT_EXPECT_NULL(test, memchr_inv(first, 0x11, QBD_BLOCK_SIZE));
	spoil_second_superblock(rig, 0);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, le32_to_cpup((void *)first), QBD_SUPERBLOCK_MAGIC);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

/* What cannot be read now is not lost: nobody is told to make the member anew for it. */
static void unreadable_states(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_sized(test, 47, RIG_DEVICE_BLOCKS, 3);
	u64 last = rig->disk->sectors / QBD_SECTORS_PER_BLOCK - 1;
	u32 i;

	store_rig_start(rig);
	append_writes(rig, 3, 2);
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	for (i = 0; i < QBD_STATE_SLOTS; i++) {
		u64 block = QBD_STATE_SLOT_BLOCK(i);

		fail_reads_of(rig, block, block);
		expect_refused(rig, -EIO, "a state block of", "may hold the last vote",
			       "try again");
	}
	fail_reads_of(rig, QBD_STATE_SLOT_BLOCK(0), QBD_STATE_SLOT_BLOCK(1));
	expect_refused(rig, -EIO, "the state blocks of", "cannot be used", "try again");
	fail_reads_of(rig, 0, last);
	expect_refused(rig, -EIO, "a superblock of", "cannot be read", "try again");
	/* The first is no superblock: that does not mean that this is no qbd disk. */
	fail_reads_of(rig, QBD_SUPERBLOCK_COPY_BLOCK, QBD_SUPERBLOCK_COPY_BLOCK);
	memset(test_disk_block(rig->disk, 0), 0, 512);
	expect_refused(rig, -EIO, "a superblock of", "cannot be read", "try again");
	rig->disk->fail_reads = false;
	store_rig_open(rig);
	store_rig_destroy(rig);
}

/* A member without others votes for itself only. */
static void unreadable_state_of_one(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 term;

	append_writes(rig, 3, 2);
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	term = rig->term;
	fail_reads_of(rig, QBD_STATE_SLOT_BLOCK(0), QBD_STATE_SLOT_BLOCK(0));
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.term, term);
	rig->disk->fail_reads = false;
	/* Others came to it, as only the log knows so far: they could be deceived. */
	KUNIT_EXPECT_TRUE(test, store_rig_append_members(rig, 3));
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	fail_reads_of(rig, QBD_STATE_SLOT_BLOCK(0), QBD_STATE_SLOT_BLOCK(0));
	expect_refused(rig, -EIO, "a state block of", "may hold the last vote", "try again");
	rig->disk->fail_reads = false;
	store_rig_open(rig);
	store_rig_destroy(rig);
}

/* The list in force before the log's first record is the newest before it. */
static void lists_leave_the_log(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u32 round;

	for (round = 2; round < 7; round++) {
		append_writes(rig, 200, 2);
		store_rig_commit_all(rig);
		KUNIT_EXPECT_TRUE(test, store_rig_append_members(rig, round));
		append_writes(rig, 200, 2);
		store_rig_commit_all(rig);
		store_rig_cut(rig);
		store_rig_open(rig);
	}
	KUNIT_EXPECT_GT(test, rig->recovered.base_index, 800);
	store_rig_commit_all(rig);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

/* A member without others does not take for lost what cannot be read now. */
static void unreadable_table(struct kunit *test)
{
	struct store_rig *rig = begin(test);

	append_writes(rig, 3, 2);
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	fail_reads_of(rig, QBD_EXTENT_JOURNAL_BLOCK, QBD_EXTENT_TABLE_BLOCK);
	expect_refused(rig, -EIO, "of the extent table", "cannot be read", "try again");
	rig->disk->fail_reads = false;
	store_rig_open(rig);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

static void damaged_states(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u32 i;

	append_writes(rig, 3, 2);
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	/* Both slots hold the newest content: either may be lost. */
	for (i = 0; i < 2; i++) {
		u64 term = rig->term;

		memset(test_disk_block(rig->disk, QBD_STATE_SLOT_BLOCK(i)), 0x22, 512);
		store_rig_open(rig);
		KUNIT_EXPECT_EQ(test, rig->recovered.term, term);
		KUNIT_EXPECT_EQ(test, rig->recovered.vote, term % 5);
		store_rig_stop(rig);
	}
	for (i = 0; i < 2; i++)
		((u8 *)test_disk_block(rig->disk, QBD_STATE_SLOT_BLOCK(i)))[99] ^= 1;
	expect_refused(rig, -EUCLEAN, "both state blocks of", "checksum does not match",
		       "its vote is lost: make the member anew under a new id");
	for (i = 0; i < 2; i++)
		((u8 *)test_disk_block(rig->disk, QBD_STATE_SLOT_BLOCK(i)))[99] ^= 1;
	for (i = 0; i < 2; i++) {
		struct qbd_block_header *header =
			test_disk_block(rig->disk, QBD_STATE_SLOT_BLOCK(i));

		header->version = cpu_to_le32(QBD_FORMAT_VERSION + 1);
		expect_refused(rig, -EPROTONOSUPPORT, "cannot be used",
			       "its format is newer than this module",
			       "use a newer module");
		header->version = cpu_to_le32(QBD_FORMAT_VERSION);
	}
	store_rig_open(rig);
	store_rig_destroy(rig);
}

/* The journal has the block; without it, a member that is alone takes what is there. */
static void damaged_extent_table(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u8 *block;

	append_writes(rig, 20, 7);
	store_rig_commit_all(rig);
	store_rig_stop(rig);
	block = test_disk_block(rig->disk, QBD_EXTENT_TABLE_BLOCK);
	memset(block + 512, 0x33, 512);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.filling);
	store_rig_check_all(rig);
	store_rig_check_extents(rig);
	store_rig_stop(rig);
	memset(block + 512, 0x33, 512);
	memset(test_disk_block(rig->disk, QBD_EXTENT_JOURNAL_BLOCK), 0x33,
	       QBD_BLOCK_SIZE * QBD_EXTENT_JOURNAL_BLOCKS);
	store_rig_open(rig);
	store_rig_check_extents(rig);
	store_rig_check_read(rig, 0, 20 * 7);
	store_rig_destroy(rig);
}

/* First block of an extent whose entry is in this block of the table. */
static u32 block_of_table(u32 number, u32 extent)
{
	return (number * QBD_EXTENTS_PER_BLOCK + extent) <<
	       (RIG_EXTENT_SHIFT - QBD_BLOCK_SHIFT);
}

static void write_and_checkpoint(struct store_rig *rig, u32 block)
{
	struct rig_operation operation = { .block = block, .count = 2 };

	KUNIT_ASSERT_TRUE(rig->test, store_rig_append(rig, &operation, 1));
	store_rig_commit_all(rig);
	store_rig_wait(rig, is_idle_checkpointed);
}

/* The journal's image of a table block is the newest, or there is none. */
static void journal_images_are_the_newest(struct kunit *test)
{
	struct store_rig *rig = store_rig_start(store_rig_create_sized(test, 4712, 4 * 4048, 1));
	u32 number;

	for (number = 0; number < 3; number++) {
		struct rig_operation operation = {
			.block = block_of_table(number, 0), .count = 2,
		};

		store_rig_append(rig, &operation, 1);
	}
	store_rig_commit_all(rig);
	store_rig_wait(rig, is_idle_checkpointed);
	/* An extent that was never written before; then another block's turn. */
	write_and_checkpoint(rig, block_of_table(2, 1));
	write_and_checkpoint(rig, block_of_table(0, 1));
	store_rig_stop(rig);
	memset(test_disk_block(rig->disk, QBD_EXTENT_TABLE_BLOCK + 2), 0x33, 512);
	store_rig_open(rig);
	for (number = 0; number < 3; number++)
		store_rig_check_read(rig, block_of_table(number, 0), 32);
	store_rig_destroy(rig);
}

static void expect_whole_table(struct store_rig *rig)
{
	u32 number;

	for (number = 0; number < 4; number++) {
		u64 place = QBD_EXTENT_TABLE_BLOCK + number;
		const void *block = test_disk_block(rig->disk, place);

		KUNIT_EXPECT_EQ(rig->test, qbd_extent_block_check(block, place, rig->uuid),
				QBD_BLOCK_GOOD);
	}
}

/* Several blocks are taken from the journal, and are in their places before it is reused. */
static void several_table_blocks_are_restored(struct kunit *test)
{
	struct store_rig *rig = store_rig_start(store_rig_create_sized(test, 4713, 4 * 4048, 2));
	u32 number;

	for (number = 0; number < 3; number++) {
		struct rig_operation operation = {
			.block = block_of_table(number, 0), .count = 2,
		};

		store_rig_append(rig, &operation, 1);
	}
	store_rig_commit_all(rig);
	store_rig_wait(rig, is_idle_checkpointed);
	store_rig_stop(rig);
	for (number = 0; number < 3; number++) {
		memset(test_disk_block(rig->disk, QBD_EXTENT_TABLE_BLOCK + number), 0x33, 512);
		test_disk_settle(rig->disk, QBD_EXTENT_TABLE_BLOCK + number);
	}
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.filling);
	expect_whole_table(rig);
	store_rig_cut(rig);
	expect_whole_table(rig);
	memset(test_disk_block(rig->disk, QBD_EXTENT_JOURNAL_BLOCK), 0x33,
	       QBD_BLOCK_SIZE * QBD_EXTENT_JOURNAL_BLOCKS);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.filling);
	for (number = 0; number < 3; number++)
		store_rig_check_read(rig, block_of_table(number, 0), 32);
	store_rig_check_extents(rig);
	store_rig_destroy(rig);
}

/*
 * Nothing is known of a table block, and power goes while the disk is opened: a block
 * that is good again and says that nothing was written must not be believed.
 */
static void a_lost_table_is_filled_whatever_happens(struct kunit *test)
{
	u32 cut;

	for (cut = 1; cut <= 16; cut++) {
		struct store_rig *rig =
			store_rig_start(store_rig_create_sized(test, cut, RIG_DEVICE_BLOCKS, 2));

		append_writes(rig, 20, 7);
		store_rig_commit_all(rig);
		store_rig_stop(rig);
		memset(test_disk_block(rig->disk, QBD_EXTENT_TABLE_BLOCK), 0x33, 512);
		test_disk_settle(rig->disk, QBD_EXTENT_TABLE_BLOCK);
		memset(test_disk_block(rig->disk, QBD_EXTENT_JOURNAL_BLOCK), 0x33, 512);
		test_disk_settle(rig->disk, QBD_EXTENT_JOURNAL_BLOCK);
		test_disk_cut_after(rig->disk, cut);
		if (store_rig_try_open(rig))
			test_disk_power_on(rig->disk);
		else
			store_rig_cut(rig);
		KUNIT_ASSERT_EQ(test, store_rig_try_open(rig), 0);
		KUNIT_EXPECT_TRUE_MSG(test, rig->recovered.filling, "cut after %u", cut);
		KUNIT_EXPECT_TRUE_MSG(test, rig->recovered.log_kept, "cut after %u", cut);
		store_rig_destroy(rig);
	}
}

/*
 * The power goes while a block of the table is written, and again while the member comes
 * back: what was taken from the journal is not lost with it.
 */
static void a_torn_table_survives_another_cut(struct kunit *test)
{
	u32 cut, extent;

	for (cut = 1; cut <= 48; cut++) {
		struct store_rig *rig =
			store_rig_start(store_rig_create_sized(test, cut, RIG_DEVICE_BLOCKS, 2));

		append_writes(rig, 20, 7);
		store_rig_commit_all(rig);
		store_rig_stop(rig);
		store_rig_open(rig);
		/* Its entries change in each sector; the last write tells of that. */
		for (extent = 0; extent < RIG_DEVICE_BLOCKS / 16; extent += 30) {
			struct rig_operation operation = {
				.block = extent * 16, .count = 16,
			};

			store_rig_append(rig, &operation, 1);
		}
		store_rig_commit_all(rig);
		append_writes(rig, 1, 1);
		store_rig_wait(rig, rig_all_durable);
		store_rig_cut(rig);
		memset(test_disk_block(rig->disk, QBD_EXTENT_TABLE_BLOCK) + 512, 0x33, 512);
		test_disk_settle(rig->disk, QBD_EXTENT_TABLE_BLOCK);
		test_disk_cut_after(rig->disk, 1 + cut % 24);
		if (store_rig_try_open(rig))
			test_disk_power_on(rig->disk);
		else
			store_rig_cut(rig);
		KUNIT_ASSERT_EQ(test, store_rig_try_open(rig), 0);
		KUNIT_EXPECT_FALSE_MSG(test, rig->recovered.filling, "cut after %u",
				       1 + cut % 24);
		store_rig_destroy(rig);
	}
}

/* What was taken in with this much memory can be taken in again after a crash. */
static void memory_suffices_to_come_back(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u32 taken = append_writes(rig, 10000, 1);

	KUNIT_EXPECT_GT(test, taken, 100);
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, taken);
	store_rig_destroy(rig);
}

/* The disk hangs: nothing blocks, and what was cut off meanwhile stays cut off. */
/* Blocks 64..319, as a mask of the words that are not empty, or -1: nobody knows. */
static int touched_words(struct store_rig *rig, u64 after, u64 through, u64 *touched)
{
	int words = 0;

	memset(touched, 0, 4 * sizeof(*touched));
	if (!qbd_store_touched(rig->store, after, through, 64, 256, touched))
		return -1;
	for (int i = 0; i < 4; i++)
		words |= !!touched[i] << i;
	return words;
}

static void touched_blocks(struct kunit *test)
{
	static const struct rig_operation operations[][2] = {
		{ { .block = 60, .count = 5 }, { .block = 318, .count = 9, .zero = true } },
		{ { .block = 127, .count = 2 }, { .block = 400, .count = 3 } },
		{ { .block = 0, .count = 64 }, { .block = 320, .count = 1 } },
		{ { .block = 128, .count = 128, .zero = true }, { .block = 1, .count = 1 } },
	};
	struct store_rig *rig = begin(test);
	u64 touched[4];

	for (u32 i = 0; i < ARRAY_SIZE(operations); i++)
		KUNIT_ASSERT_TRUE(test, store_rig_append(rig, operations[i], 2));
	KUNIT_EXPECT_EQ(test, touched_words(rig, 0, 1, touched), 0x9);
	KUNIT_EXPECT_EQ(test, touched[0], 1);
	KUNIT_EXPECT_EQ(test, touched[3], 3ull << 62);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 1, 2, touched), 0x3);
	KUNIT_EXPECT_EQ(test, touched[0], 1ull << 63);
	KUNIT_EXPECT_EQ(test, touched[1], 1);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 2, 3, touched), 0);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 3, 4, touched), 0x6);
	KUNIT_EXPECT_EQ(test, touched[1], ~0ull);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 4, 4, touched), 0);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 4, 3, touched), 0);
	/* What is not there, nobody knows. */
	KUNIT_EXPECT_EQ(test, touched_words(rig, 4, 5, touched), -1);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 5, 5, touched), -1);
	store_rig_truncate(rig, 4);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 3, 4, touched), -1);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 0, 3, touched), 0xb);
	store_rig_destroy(rig);
}

/* Nor of what left memory, or are too many to be looked at. */
static void touched_blocks_forgotten(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	u64 touched[4];
	u32 i;

	for (i = 0; i < 6; i++) {
		append_writes(rig, 2, 100);
		store_rig_commit_all(rig);
	}
	KUNIT_ASSERT_NULL(test, qbd_log_slot(rig->store, 2)->record);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 1, 12, touched), -1);
	KUNIT_EXPECT_GE(test, touched_words(rig, 11, 12, touched), 0);
	store_rig_destroy(rig);
}

/* Data, or what may have been: the log does not reach back so far. */
static void what_was_written_since(struct kunit *test)
{
	const struct rig_operation none = { };
	struct store_rig *rig = begin(test);
	u32 i;

	append_writes(rig, 2, 1);
	for (i = 0; i < 2; i++)
		KUNIT_ASSERT_TRUE(test, store_rig_append(rig, &none, 0));
	KUNIT_EXPECT_TRUE(test, qbd_store_written_since(rig->store, 0, 4));
	KUNIT_EXPECT_TRUE(test, qbd_store_written_since(rig->store, 1, 4));
	KUNIT_EXPECT_FALSE(test, qbd_store_written_since(rig->store, 2, 4));
	KUNIT_EXPECT_FALSE(test, qbd_store_written_since(rig->store, 4, 4));
	/* Behind what is asked about: not that. */
	KUNIT_EXPECT_FALSE(test, qbd_store_written_since(rig->store, 1, 1));
	KUNIT_EXPECT_TRUE(test, qbd_store_written_since(rig->store, 1, 2));
	KUNIT_EXPECT_FALSE(test, qbd_store_written_since(rig->store, 4, 2));
	KUNIT_EXPECT_EQ(test, qbd_store_log_share_after(rig->store, 4), 0);
	while (qbd_store_first_index(rig->store) <= 4 && !rig->failed) {
		if (!append_writes(rig, 1, 100))
			store_rig_wait(rig, room_for_200);
		store_rig_commit_all(rig);
	}
	KUNIT_ASSERT_TRUE(test, store_rig_append(rig, &none, 0));
	KUNIT_EXPECT_TRUE(test, qbd_store_written_since(rig->store, 2, rig->last_index));
	KUNIT_EXPECT_FALSE(test, qbd_store_written_since(rig->store, rig->last_index - 1,
							 rig->last_index));
	/* Sixteenths of the ring, and all of them for who is not in it any more. */
	KUNIT_EXPECT_EQ(test, qbd_store_log_share_after(rig->store, 2), 16);
	KUNIT_EXPECT_EQ(test, qbd_store_log_share_after(rig->store, rig->last_index), 0);
	KUNIT_EXPECT_EQ(test, qbd_store_log_share_after(rig->store, rig->last_index - 4),
			(3 * 101 + 1) * 16 / RIG_LOG_BLOCKS);
	KUNIT_EXPECT_EQ(test, qbd_store_log_bytes(rig->store, rig->last_index - 3,
						  rig->last_index), (3 * 101 + 1) * 4096);
	KUNIT_EXPECT_EQ(test, qbd_store_log_bytes(rig->store, rig->last_index,
						  rig->last_index + 7), 4096);
	KUNIT_EXPECT_EQ(test, qbd_store_log_bytes(rig->store, rig->last_index + 1,
						  rig->last_index), 0);
	store_rig_destroy(rig);
}

static void reset_without_data(struct store_rig *rig, u64 index, u64 without_data)
{
	rig->resets = 0;
	rig->without_data = without_data;
	store_rig_reset(rig, index, rig->term, 0x17, &rig->recovered.base_membership);
	store_rig_wait(rig, is_reset);
}

/* Of entries that were dropped is known whether they had data, by what is applied. */
static void what_was_written_before_the_log(struct kunit *test)
{
	const struct rig_operation none = { };
	struct store_rig *rig = begin(test);
	u64 last;

	append_writes(rig, 2, 1);
	while (qbd_store_first_index(rig->store) <= 4 && !rig->failed) {
		if (store_rig_append(rig, &none, 0))
			continue;
		store_rig_commit_all(rig);
		store_rig_wait(rig, room_for_200);
	}
	store_rig_commit_all(rig);
	store_rig_wait(rig, rig_all_applied);
	last = rig->last_index;
	KUNIT_EXPECT_EQ(test, qbd_store_newest_data(rig->store, last), 2);
	KUNIT_EXPECT_TRUE(test, qbd_store_written_since(rig->store, 1, last));
	KUNIT_EXPECT_FALSE(test, qbd_store_written_since(rig->store, 2, last));
	/* So says the disk, too. */
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, qbd_store_newest_data(rig->store, last), 2);
	append_writes(rig, 1, 1);
	store_rig_commit_all(rig);
	store_rig_wait(rig, rig_all_applied);
	KUNIT_EXPECT_EQ(test, qbd_store_newest_data(rig->store, last + 1), last + 1);
	/* And the leader that fills it. */
	reset_without_data(rig, 2 * last, last - 3);
	KUNIT_EXPECT_EQ(test, qbd_store_newest_data(rig->store, 2 * last), last + 3);
	KUNIT_EXPECT_TRUE(test, qbd_store_written_since(rig->store, last + 2, 2 * last));
	KUNIT_EXPECT_FALSE(test, qbd_store_written_since(rig->store, last + 3, 2 * last));
	store_rig_cut(rig);
	KUNIT_ASSERT_EQ(test, store_rig_try_open(rig), 0);
	KUNIT_EXPECT_EQ(test, qbd_store_newest_data(rig->store, 2 * last), last + 3);
	/* It makes no sense: then the last entry may be one. */
	reset_without_data(rig, 2 * last + 1, 3 * last);
	KUNIT_EXPECT_EQ(test, qbd_store_newest_data(rig->store, 2 * last + 1), 2 * last + 1);
	store_rig_destroy(rig);
}

/* Who asks for it has more of the log, and is told when that is dropped. */
static void how_far_the_log_reaches(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_log_reach usual, more;
	u64 first, last;

	append_writes(rig, 4, 100);
	store_rig_commit_all(rig);
	qbd_store_log_reach(rig->store, rig->last_index, &usual);
	KUNIT_EXPECT_EQ(test, usual.behind, 0);
	KUNIT_EXPECT_EQ(test, usual.kept, RIG_LOG_BLOCKS / 2);
	qbd_store_keep_log(rig->store, true);
	qbd_store_log_reach(rig->store, rig->last_index - 2, &more);
	KUNIT_EXPECT_EQ(test, more.behind, 2 * 101);
	KUNIT_EXPECT_GT(test, more.kept, usual.kept);
	KUNIT_EXPECT_GE(test, more.left, usual.left);
	/* That many, one record more or less, and then so many are left. */
	first = qbd_store_first_index(rig->store);
	last = rig->last_index;
	while (qbd_store_first_index(rig->store) == first && !rig->failed) {
		if (!append_writes(rig, 1, 100))
			store_rig_wait(rig, room_for_200);
		store_rig_commit_all(rig);
	}
	KUNIT_EXPECT_GE(test, (rig->last_index - last + 2) * 101, more.left);
	KUNIT_EXPECT_LE(test, qbd_store_log_bytes(rig->store, 0, rig->last_index) >> 12,
			RIG_LOG_BLOCKS);
	qbd_store_log_reach(rig->store, qbd_store_first_index(rig->store), &more);
	KUNIT_EXPECT_GT(test, more.behind, usual.kept - 101);
	qbd_store_keep_log(rig->store, false);
	qbd_store_log_reach(rig->store, rig->last_index, &more);
	KUNIT_EXPECT_EQ(test, more.kept, usual.kept);
	store_rig_destroy(rig);
}

/* More than anybody wants to wait for. */
static void touched_blocks_of_many(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_logging(test, 4714, 2 * RIG_LOG_BLOCKS);
	const struct rig_operation none = { };
	u64 touched[4];

	qbd_pool_destroy(rig->pool);
	rig->pool = qbd_pool_create(4 * RIG_LOG_BLOCKS, NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(rig->pool));
	store_rig_start(rig);
	append_writes(rig, 1, 70);
	while (rig->last_index <= QBD_TOUCHED_ENTRIES_MAX)
		KUNIT_ASSERT_TRUE(test, store_rig_append(rig, &none, 0));
	KUNIT_EXPECT_EQ(test, touched_words(rig, 0, QBD_TOUCHED_ENTRIES_MAX, touched), 1);
	KUNIT_EXPECT_EQ(test, touched[0], 0x3f);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 0, QBD_TOUCHED_ENTRIES_MAX + 1, touched), -1);
	KUNIT_EXPECT_EQ(test, touched_words(rig, 1, QBD_TOUCHED_ENTRIES_MAX + 1, touched), 0);
	store_rig_destroy(rig);
}

/* Who lost power may have applied more than it knows to be committed. */
static void data_is_ahead_after_a_cut(struct kunit *test)
{
	struct store_rig *rig = begin(test);

	append_writes(rig, 3, 1);
	KUNIT_EXPECT_EQ(test, qbd_store_data_index(rig->store), 0);
	store_rig_commit(rig, 2);
	KUNIT_EXPECT_EQ(test, qbd_store_data_index(rig->store), 2);
	store_rig_wait(rig, rig_all_durable);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 3);
	KUNIT_EXPECT_EQ(test, qbd_store_data_index(rig->store), 3);
	/* What was cut off had not been committed, so not applied. */
	store_rig_truncate(rig, 3);
	KUNIT_EXPECT_EQ(test, qbd_store_data_index(rig->store), 2);
	append_writes(rig, 4, 1);
	KUNIT_EXPECT_EQ(test, qbd_store_data_index(rig->store), 2);
	/* Filled by one that had applied more: a later leader has all of it. */
	qbd_store_data_reaches(rig->store, 99, rig->term);
	qbd_store_data_reaches(rig->store, 3, rig->term + 9);
	/* Beyond the end of the log: what is cut off there says nothing of it. */
	append_writes(rig, 1, 1);
	store_rig_wait(rig, rig_all_durable);
	store_rig_truncate(rig, rig->last_index);
	KUNIT_EXPECT_EQ(test, qbd_store_data_index(rig->store), 99);
	store_rig_commit_all(rig);
	KUNIT_EXPECT_EQ(test, qbd_store_data_index(rig->store), 99);
	rig->term++;
	append_writes(rig, 1, 1);
	store_rig_commit_all(rig);
	KUNIT_EXPECT_EQ(test, qbd_store_data_index(rig->store), rig->commit_index);
	store_rig_destroy(rig);
}

static void truncation_under_way(struct kunit *test)
{
	struct store_rig *rig = begin(test);

	append_writes(rig, 3, 1);
	store_rig_commit_all(rig);
	test_disk_hang(rig->disk, true);
	append_writes(rig, 6, 2);
	store_rig_poll(rig);
	store_rig_truncate(rig, 5);
	store_rig_vote(rig);
	append_writes(rig, 4, 1);
	store_rig_poll(rig);
	KUNIT_EXPECT_EQ(test, rig->durable_index, 3);
	KUNIT_EXPECT_EQ(test, rig->store->log.submitted_index, 4);
	test_disk_hang(rig->disk, false);
	store_rig_wait(rig, rig_all_durable);
	KUNIT_EXPECT_EQ(test, rig->durable_index, 8);
	store_rig_commit(rig, 8);
	store_rig_wait(rig, rig_all_applied);
	store_rig_check_all(rig);
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE(test, rig->recovered.damaged);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 8);
	store_rig_destroy(rig);
}

/* A member with a hung disk can be taken down once the disk lets go. */
static void hung_disk(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_store_status status;

	append_writes(rig, 3, 1);
	store_rig_commit_all(rig);
	test_disk_hang(rig->disk, true);
	/* Far more than a disk takes at once. */
	KUNIT_EXPECT_EQ(test, append_writes(rig, 200, 1), 200);
	store_rig_commit(rig, rig->last_index);
	qbd_store_stop(rig->store);
	store_rig_poll(rig);
	KUNIT_EXPECT_FALSE(test, qbd_store_stopped(rig->store));
	/* For a moment, or no time has passed where time is simulated. */
	wait_event_timeout(rig->wait, READ_ONCE(rig->kicked), 1);
	qbd_store_status(rig->store, &status);
	KUNIT_EXPECT_GT(test, status.oldest_write_ns, 0);
	/* We are here although there was no tag left for most of it. */
	KUNIT_EXPECT_GT(test, atomic_read(&rig->store->postponed_count), 0);
	test_disk_hang(rig->disk, false);
	store_rig_stop(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_EQ(test, rig->recovered.last_index, 203);
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

#define READS	16

static u32 reads_done;

static void one_read_done(struct qbd_store_read *read)
{
	reads_done += !read->error;
}

static bool all_are_read(struct store_rig *rig)
{
	return reads_done == READS;
}

/* More reads than a disk that hangs has tags: nobody waits, and all are answered. */
static void reads_without_tags(struct kunit *test)
{
	struct store_rig *rig = begin(test);
	struct qbd_store_read *reads;
	struct bio_vec *bvecs;
	u32 i;

	reads = kunit_kcalloc(test, READS, sizeof(*reads), GFP_KERNEL);
	bvecs = kunit_kcalloc(test, READS, sizeof(*bvecs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, reads);
	KUNIT_ASSERT_NOT_NULL(test, bvecs);
	append_writes(rig, READS, 1);
	store_rig_commit_all(rig);
	store_rig_wait(rig, is_idle_checkpointed);
	test_disk_hang(rig->disk, true);
	rig->disk->refused = 0;
	reads_done = 0;
	for (i = 0; i < READS; i++) {
		bvec_set_page(&bvecs[i], alloc_page(GFP_KERNEL), QBD_BLOCK_SIZE, 0);
		reads[i] = (struct qbd_store_read){
			.block = i, .count = 1, .bvecs = &bvecs[i], .bvec_count = 1,
			.done = one_read_done,
		};
		qbd_store_read(rig->store, &reads[i]);
	}
	KUNIT_EXPECT_GT(test, rig->disk->refused, 0);
	KUNIT_EXPECT_EQ(test, reads_done, 0);
	test_disk_hang(rig->disk, false);
	store_rig_wait(rig, all_are_read);
	for (i = 0; i < READS; i++) {
		KUNIT_EXPECT_TRUE(test, memchr_inv(page_address(bvecs[i].bv_page), 0,
						   QBD_BLOCK_SIZE));
		__free_page(bvecs[i].bv_page);
	}
	store_rig_check_all(rig);
	store_rig_destroy(rig);
}

static struct kunit_case store_cases[] = {
	KUNIT_CASE(full_log),
	KUNIT_CASE(full_ring),
	KUNIT_CASE(recovery_reports_what_it_reclaims),
	KUNIT_CASE(records_are_read_back),
	KUNIT_CASE(write_errors),
	KUNIT_CASE(read_errors),
	KUNIT_CASE(damaged_records),
	KUNIT_CASE(what_others_say_is_missing),
	KUNIT_CASE(suspected_records),
	KUNIT_CASE(a_suspicion_is_written_over),
	KUNIT_CASE(damaged_records_replaced),
	KUNIT_CASE(damaged_records_after_a_reset),
	KUNIT_CASE(damaged_last_record),
	KUNIT_CASE(a_clean_log_keeps_its_end),
	KUNIT_CASE(damaged_superblocks),
	KUNIT_CASE(good_superblock_fails_meanwhile),
	KUNIT_CASE(good_superblock_is_damaged_meanwhile),
	KUNIT_CASE(unreadable_states),
	KUNIT_CASE(unreadable_state_of_one),
	KUNIT_CASE(lists_leave_the_log),
	KUNIT_CASE(unreadable_table),
	KUNIT_CASE(damaged_states),
	KUNIT_CASE(damaged_extent_table),
	KUNIT_CASE(journal_images_are_the_newest),
	KUNIT_CASE(several_table_blocks_are_restored),
	KUNIT_CASE(a_lost_table_is_filled_whatever_happens),
	KUNIT_CASE_SLOW(a_torn_table_survives_another_cut),
	KUNIT_CASE(memory_suffices_to_come_back),
	KUNIT_CASE(touched_blocks),
	KUNIT_CASE(touched_blocks_forgotten),
	KUNIT_CASE(touched_blocks_of_many),
	KUNIT_CASE(what_was_written_since),
	KUNIT_CASE(what_was_written_before_the_log),
	KUNIT_CASE(how_far_the_log_reaches),
	KUNIT_CASE(data_is_ahead_after_a_cut),
	KUNIT_CASE(truncation_under_way),
	KUNIT_CASE(hung_disk),
	KUNIT_CASE(reads_without_tags),
	{ }
};

static struct kunit_suite store_suite = {
	.name		= "store",
	.test_cases	= store_cases,
};

kunit_test_suite(store_suite);
