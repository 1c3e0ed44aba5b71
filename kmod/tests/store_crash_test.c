// SPDX-License-Identifier: GPL-2.0
/*
 * Power cuts at any moment: random appends, commits, truncations, votes, reads and
 * checkpoints on a disk that reorders, forgets and tears, and after each cut
 * everything that was promised has to be there.
 */
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "store_rig.h"

static unsigned int store_crash_seed = 1;
module_param(store_crash_seed, uint, 0444);
MODULE_PARM_DESC(store_crash_seed, "first seed of the store's crash tests");

/* A program without a kernel around it has time for more. */
#ifndef STORE_CRASH_SEEDS
#define STORE_CRASH_SEEDS	6
#endif

static unsigned int store_crash_seeds = STORE_CRASH_SEEDS;
module_param(store_crash_seeds, uint, 0444);
MODULE_PARM_DESC(store_crash_seeds, "seeds of the store's crash tests");

#define CRASHES_PER_SEED	8

static bool vote_is_durable(struct store_rig *rig)
{
	return rig->failed || rig->vote_term_durable >= rig->term;
}

/* Entries of a term follow its being durable (accident 23). */
static void new_term(struct store_rig *rig)
{
	store_rig_vote(rig);
	store_rig_wait(rig, vote_is_durable);
}

static void truncate_random(struct store_rig *rig)
{
	if (rig->last_index == rig->commit_index)
		return;
	store_rig_truncate(rig, rig->commit_index + 1 +
			   test_random(&rig->random, rig->last_index - rig->commit_index));
	new_term(rig);
}

static void one_action(struct store_rig *rig)
{
	u32 ahead = rig->last_index - rig->commit_index;

	switch (test_random(&rig->random, 24)) {
	case 0 ... 11:
		store_rig_append_random(rig);
		break;
	case 12 ... 16:
		store_rig_commit(rig, rig->commit_index +
				 test_random(&rig->random, ahead + 1));
		break;
	case 17:
		/* Not before it is durable, then all of it. */
		store_rig_wait(rig, rig_all_durable);
		store_rig_commit(rig, rig->last_index);
		break;
	case 18:
		truncate_random(rig);
		break;
	case 19:
		store_rig_vote(rig);
		store_rig_wait(rig, vote_is_durable);
		break;
	case 20:
		store_rig_wait(rig, rig_all_applied);
		break;
	case 21:
		store_rig_check_read(rig, test_random(&rig->random, RIG_DEVICE_BLOCKS - 64),
				     1 + test_random(&rig->random, 64));
		break;
	default:
		/* Whatever comes in the next moment. */
		wait_event_timeout(rig->wait, READ_ONCE(rig->kicked), 1);
		store_rig_poll(rig);
	}
	if (test_random(&rig->random, 2))
		store_rig_poll(rig);
}

/* What was promised before the cut, and what is there now. */
static void check_recovered(struct store_rig *rig, u64 durable, u64 commit, u64 vote_term,
			    u64 term, const u32 *log)
{
	const struct qbd_store_recovered *recovered = &rig->recovered;
	u64 index;

	KUNIT_EXPECT_FALSE_MSG(rig->test, recovered->damaged, "%s", recovered->reason);
	KUNIT_EXPECT_FALSE(rig->test, recovered->failed);
	KUNIT_EXPECT_GE(rig->test, recovered->last_index, durable);
	KUNIT_EXPECT_LE(rig->test, recovered->commit_index, commit);
	KUNIT_EXPECT_GE(rig->test, recovered->commit_index, recovered->applied_index);
	KUNIT_EXPECT_GE(rig->test, recovered->term, vote_term);
	KUNIT_EXPECT_LE(rig->test, recovered->term, term);
	if (recovered->term == vote_term && vote_term)
		KUNIT_EXPECT_EQ(rig->test, recovered->vote, vote_term % 5);
	for (index = recovered->base_index + 1; index <= recovered->commit_index; index++)
		KUNIT_EXPECT_EQ_MSG(rig->test, rig->log[index], log[index],
				    "committed entry %llu", index);
}

/* Power cuts while the store recovers: nothing that it does then may cost anything. */
static void open_with_cuts(struct store_rig *rig)
{
	while (!test_random(&rig->random, 3)) {
		test_disk_cut_after(rig->disk, 1 + test_random(&rig->random, 30));
		if (!store_rig_try_open(rig)) {
			/* It was up before the power went. */
			qbd_store_close(rig->store);
			rig->store = NULL;
		}
		test_disk_power_on(rig->disk);
	}
	store_rig_open(rig);
}

static void crash_once(struct store_rig *rig, bool in_order)
{
	u64 durable, commit = rig->commit_index, vote_term, term;
	u32 actions = test_random(&rig->random, 160);
	u32 *log;

	new_term(rig);
	while (actions--)
		one_action(rig);
	KUNIT_EXPECT_FALSE(rig->test, rig->failed);
	durable = rig->durable_index;
	commit = rig->commit_index;
	vote_term = rig->vote_term_durable;
	term = rig->term;
	log = kvmalloc_array(RIG_ENTRIES_MAX + 2, sizeof(*log), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(rig->test, log);
	memcpy(log, rig->log, (RIG_ENTRIES_MAX + 2) * sizeof(*log));
	if (in_order) {
		store_rig_stop(rig);
		durable = rig->last_index;
	} else {
		store_rig_cut(rig);
	}
	open_with_cuts(rig);
	check_recovered(rig, durable, commit, vote_term, term, log);
	/* What is committed can be read, before and after the rest is back. */
	rig->ahead_index = commit;
	rig->ahead_log = log;
	store_rig_check_all(rig);
	rig->ahead_index = 0;
	store_rig_restore_commit(rig, commit, log);
	kvfree(log);
	store_rig_check_all(rig);
	store_rig_wait(rig, rig_all_applied);
	store_rig_check_all(rig);
	store_rig_check_extents(rig);
}

static void store_crash_random(struct kunit *test)
{
	unsigned int seed, i;

	for (seed = store_crash_seed; seed < store_crash_seed + store_crash_seeds; seed++) {
		struct store_rig *rig = store_rig_create(test, seed);

		rig->disk->fail_zeroes = seed % 3 == 0;
		store_rig_open(rig);
		for (i = 0; i < CRASHES_PER_SEED; i++)
			crash_once(rig, i % 4 == 3);
		store_rig_destroy(rig);
		if (test->status == KUNIT_FAILURE) {
			kunit_err(test, "seed %u\n", seed);
			break;
		}
	}
}

/* One piece of an extent, and the pages that hold it until it is written. */
struct piece {
	struct page *pages[16];
	u32 count;
};

#define FILL_PIECES 8

static u32 pieces_wanted;

static bool pieces_written(struct store_rig *rig)
{
	return rig->fills_written >= pieces_wanted;
}

static bool all_zero(const struct piece *piece)
{
	u32 i;

	for (i = 0; i < piece->count; i++)
		if (memchr_inv(page_address(piece->pages[i]), 0, QBD_BLOCK_SIZE))
			return false;
	return true;
}

/* Where the range ends that is filled now. */
static u64 fill_end(const struct store_rig *rig)
{
	return min(qbd_store_identity(rig->store)->extent_count,
		   qbd_store_fill_plan(rig->store)->end);
}

/* Some extents from @cursor on, in pieces, as they are at the commit index. */
static u64 fill_some(struct store_rig *rig, u64 cursor)
{
	u64 extents = fill_end(rig), base = qbd_store_fill_plan(rig->store)->base;
	u32 limit = 1 + test_random(&rig->random, FILL_PIECES / 2);
	struct piece *pieces = kunit_kzalloc(rig->test, FILL_PIECES * sizeof(*pieces),
					     GFP_KERNEL);
	u32 used = 0, i, j;

	rig->fills_written = 0;
	for (; cursor < extents && used + 2 <= FILL_PIECES && limit; cursor++) {
		u32 first = cursor * 16, last = min(first + 15, RIG_DEVICE_BLOCKS - 1);
		u32 cut = first + test_random(&rig->random, last - first + 1);

		if (store_rig_changed(rig, cursor, false) <= base)
			continue;
		limit--;
		for (i = 0; i < 2; i++) {
			struct piece *piece = &pieces[used];
			u32 start = i ? cut + 1 : first, end = i ? last : cut;

			if (start > end)
				continue;
			used++;
			piece->count = end - start + 1;
			for (j = 0; j < piece->count; j++)
				piece->pages[j] = alloc_page(GFP_KERNEL | __GFP_NOFAIL);
			store_rig_expect(rig, start, piece->count, piece->pages);
			qbd_store_fill_write(rig->store, start, piece->count,
					     all_zero(piece) ? NULL : piece->pages,
					     rig->commit_index, piece);
		}
	}
	pieces_wanted = used;
	store_rig_wait(rig, pieces_written);
	for (i = 0; i < used; i++)
		for (j = 0; j < pieces[i].count; j++)
			__free_page(pieces[i].pages[j]);
	kunit_kfree(rig->test, pieces);
	return cursor;
}

static bool apply_idle(struct store_rig *rig)
{
	return qbd_store_apply_idle(rig->store);
}

static bool reset_done(struct store_rig *rig)
{
	return rig->resets;
}

static bool fill_durable(struct store_rig *rig)
{
	return rig->fills_durable;
}

static void fill_begin(struct store_rig *rig)
{
	u64 leader_last = rig->commit_index;
	u32 count = 1 + test_random(&rig->random, 60);
	struct qbd_membership_layout membership;

	new_term(rig);
	store_rig_wait(rig, rig_all_durable);
	while (count--)
		store_rig_leader_entry(rig, &leader_last);
	store_rig_list_at(rig, leader_last, &membership);
	rig->resets = 0;
	store_rig_reset(rig, leader_last, rig->term,
			rig->history[rig->log[leader_last] - 1].chain, &membership);
	store_rig_wait(rig, reset_done);
	rig->last_index = leader_last;
	rig->durable_index = leader_last;
	rig->commit_index = leader_last;
	rig->applied_index = leader_last;
	rig->base_index = leader_last;
}

/* The log passes it by once more, when all that it says of the fill is on disk. */
static u64 fill_again(struct store_rig *rig, u64 cursor, u64 *through)
{
	if (cursor != qbd_store_fill_cursor(rig->store)) {
		rig->fills_durable = 0;
		qbd_store_fill_advance(rig->store, cursor, *through);
		store_rig_wait(rig, fill_durable);
	}
	fill_begin(rig);
	*through = max(*through, rig->commit_index);
	KUNIT_EXPECT_EQ(rig->test, qbd_store_fill_cursor(rig->store), cursor);
	return cursor;
}

/* All of a range is filled: on with the other one. Return: false if there is none. */
static bool fill_next(struct store_rig *rig, u64 *cursor, u64 through)
{
	rig->fills_durable = 0;
	if (!qbd_store_fill_next_range(rig->store, through))
		return false;
	*cursor = 0;
	if (test_random(&rig->random, 4))
		store_rig_wait(rig, fill_durable);
	return true;
}

static void append_some(struct store_rig *rig)
{
	u32 count = test_random(&rig->random, 12);

	while (count--)
		store_rig_append_random(rig);
	store_rig_commit(rig, rig->commit_index +
			 test_random(&rig->random, rig->last_index - rig->commit_index + 1));
}

/* The power fails; a fill goes on where it was; true if it was still under way. */
static bool fill_crash(struct store_rig *rig, u64 *cursor, u64 *through)
{
	u64 commit = rig->commit_index;
	u32 *log = kvmalloc_array(RIG_ENTRIES_MAX + 2, sizeof(*log), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(rig->test, log);
	memcpy(log, rig->log, (RIG_ENTRIES_MAX + 2) * sizeof(*log));
	store_rig_cut(rig);
	store_rig_open(rig);
	KUNIT_EXPECT_FALSE_MSG(rig->test, rig->recovered.damaged, "%s",
			       rig->recovered.reason);
	new_term(rig);
	store_rig_restore_commit(rig, commit, log);
	kvfree(log);
	if (rig->recovered.filling) {
		*cursor = rig->recovered.fill_cursor;
		*through = max(*through, rig->recovered.fill_through_index);
	}
	return rig->recovered.filling;
}

/*
 * A fill from reset to finish, with writes going on, power cuts in between, and other resets,
 * that leave what is filled.
 */
static void fill_once(struct store_rig *rig)
{
	u32 resets = test_random(&rig->random, 4);
	u64 cursor = 0, through;

	fill_begin(rig);
	through = rig->commit_index;
	while (cursor < fill_end(rig) || fill_next(rig, &cursor, through)) {
		qbd_store_apply_pause(rig->store, true);
		store_rig_wait(rig, apply_idle);
		through = max(through, rig->commit_index);
		cursor = fill_some(rig, cursor);
		qbd_store_apply_pause(rig->store, false);
		append_some(rig);
		if (test_random(&rig->random, 3)) {
			rig->fills_durable = 0;
			qbd_store_fill_advance(rig->store, cursor, through);
			if (test_random(&rig->random, 4))
				store_rig_wait(rig, fill_durable);
		}
		if (!test_random(&rig->random, 12))
			KUNIT_ASSERT_TRUE(rig->test, fill_crash(rig, &cursor, &through));
		if (resets && !test_random(&rig->random, 6)) {
			resets--;
			cursor = fill_again(rig, cursor, &through);
		}
	}
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, rig->last_index);
	store_rig_wait(rig, rig_all_applied);
	rig->fills_durable = 0;
	qbd_store_fill_advance(rig->store, cursor, through);
	store_rig_wait(rig, fill_durable);
	rig->fills_durable = 0;
	qbd_store_fill_finish(rig->store);
	store_rig_wait(rig, fill_durable);
	store_rig_check_all(rig);
	store_rig_check_extents(rig);
	KUNIT_EXPECT_FALSE(rig->test, fill_crash(rig, &cursor, &through));
	store_rig_check_all(rig);
	store_rig_wait(rig, rig_all_applied);
	store_rig_check_extents(rig);
}

static void store_crash_fill(struct kunit *test)
{
	unsigned int seed;

	for (seed = store_crash_seed; seed < store_crash_seed + store_crash_seeds; seed++) {
		struct store_rig *rig = store_rig_create(test, seed + 1000000);
		u32 i;

		store_rig_open(rig);
		for (i = 0; i < 3; i++) {
			new_term(rig);
			append_some(rig);
			fill_once(rig);
		}
		store_rig_destroy(rig);
		if (test->status == KUNIT_FAILURE) {
			kunit_err(test, "seed %u\n", seed);
			break;
		}
	}
}

/* Table blocks 0 and 128 have the same place in the journal. */
#define TABLE_BLOCKS	(QBD_EXTENT_JOURNAL_BLOCKS + 1u)
#define BLOCKS_PER_TABLE_BLOCK \
	(QBD_EXTENTS_PER_BLOCK << (RIG_EXTENT_SHIFT - QBD_BLOCK_SHIFT))

static void set_range(u64 range[2], u64 first_block, u64 blocks)
{
	range[0] = first_block * QBD_SECTORS_PER_BLOCK;
	range[1] = blocks * QBD_SECTORS_PER_BLOCK;
}

/*
 * An image in the journal is taken whenever the block of the table is damaged, perhaps
 * long after. So it may speak of nothing that is not stable, and it may not take the
 * place of an image whose block is not stable in the table yet:
 *
 *	journal: extent 6 is written; power cut, its zeroes are lost; the block of the
 *	table rots: what the disk had there before is read for zeroes.
 *
 *	block 0 to the journal and to its place, not flushed; block 128 to the journal;
 *	power cut, block 0 is torn: nothing knows any more what it said.
 */
static void journal_follows_data_and_table(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_sized(test, 128, TABLE_BLOCKS *
						       BLOCKS_PER_TABLE_BLOCK, 1);
	u64 data_block = store_rig_log_block(rig) + RIG_LOG_BLOCKS;
	static const u32 tables[] = { 0, 1, TABLE_BLOCKS - 1 };
	struct test_disk *disk = rig->disk;
	u64 journal[2];
	u32 round, i;

	set_range(journal, QBD_EXTENT_JOURNAL_BLOCK, QBD_EXTENT_JOURNAL_BLOCKS);
	disk->ordered_first = journal[0];
	disk->ordered_count = journal[1];
	set_range(disk->before[0], data_block, rig->device_blocks);
	set_range(disk->before[1], QBD_EXTENT_TABLE_BLOCK, TABLE_BLOCKS);
	for (round = 0; round < 8; round++) {
		u64 images = disk->ordered_writes;

		store_rig_open(rig);
		new_term(rig);
		for (i = 0; i < ARRAY_SIZE(tables); i++) {
			struct rig_operation operation = {
				/* An extent that was never written, and zeroes around. */
				.block = tables[i] * BLOCKS_PER_TABLE_BLOCK + 16 * round + 5,
				.count = 3,
			};

			KUNIT_ASSERT_TRUE(test, store_rig_append(rig, &operation, 1));
		}
		store_rig_wait(rig, rig_all_durable);
		store_rig_commit(rig, rig->last_index);
		store_rig_wait(rig, rig_all_applied);
		/* A checkpoint, in two rounds for there is one place for two blocks. */
		store_rig_stop(rig);
		KUNIT_EXPECT_EQ(test, disk->ordered_writes - images, ARRAY_SIZE(tables));
		KUNIT_EXPECT_EQ(test, disk->disorders, 0);
	}
	store_rig_destroy(rig);
}

static struct kunit_case store_crash_cases[] = {
	KUNIT_CASE_SLOW(journal_follows_data_and_table),
	KUNIT_CASE_SLOW(store_crash_random),
	KUNIT_CASE_SLOW(store_crash_fill),
	{ }
};

static struct kunit_suite store_crash_suite = {
	.name		= "store_crash",
	.test_cases	= store_crash_cases,
};

kunit_test_suite(store_crash_suite);
