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

static unsigned int store_crash_seeds = 12;
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
	store_rig_open(rig);
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

static struct kunit_case store_crash_cases[] = {
	KUNIT_CASE_SLOW(store_crash_random),
	{ }
};

static struct kunit_suite store_crash_suite = {
	.name		= "store_crash",
	.test_cases	= store_crash_cases,
};
kunit_test_suite(store_crash_suite);
