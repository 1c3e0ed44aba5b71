// SPDX-License-Identifier: GPL-2.0
/*
 * Memory is refused while a store is opened, each time somewhere else: that is said, all
 * that was taken is given back (main.c counts), and the next attempt finds all as it was.
 * Only here, for the simulator's kernel refuses what it is told to.
 */
#include "../sim/sim.h"

#include "../../kmod/tests/store_rig.h"

#define ATTEMPTS	1600

static bool is_durable(struct store_rig *rig)
{
	return rig->vote_term_durable >= rig->term;
}

static bool is_stopped(struct store_rig *rig)
{
	return qbd_store_stopped(rig->store);
}

/* One of @often allocations; 0: none. */
static void refuse(u32 often)
{
	world.weather.refuse_up = often;
	sim_host->going_up = often;
}

static void write_something(struct store_rig *rig)
{
	u32 i;

	store_rig_vote(rig);
	store_rig_wait(rig, is_durable);
	for (i = 0; i < 20; i++) {
		struct rig_operation operation = { .block = 40 * i, .count = 30 };

		KUNIT_ASSERT_TRUE(rig->test, store_rig_append(rig, &operation, 1));
		store_rig_wait(rig, rig_all_durable);
		store_rig_commit(rig, rig->last_index - rig->last_index % 2);
	}
	store_rig_wait(rig, rig_all_applied);
}

static void opening_without_memory(struct kunit *test)
{
	struct store_rig *rig = store_rig_create_sized(test, 99, RIG_DEVICE_BLOCKS, 2);
	static const u32 often[] = { 2, 8, 300, 3000 };
	u32 refused = 0, opened = 0, i;
	u64 last;

	store_rig_open(rig);
	write_something(rig);
	last = rig->last_index;
	store_rig_cut(rig);
	for (i = 0; i < ATTEMPTS; i++) {
		int error;

		/* A block that has to be repaired, and a table that is lost: more to do. */
		if (i % 3 == 0)
			memset(test_disk_block(rig->disk, 0), 0x11, 512);
		if (i % 5 == 0)
			memset(test_disk_block(rig->disk, QBD_EXTENT_TABLE_BLOCK), 0x33, 512);
		refuse(often[i % ARRAY_SIZE(often)]);
		error = store_rig_try_open(rig);
		refuse(0);
		if (error) {
			KUNIT_EXPECT_EQ(test, error, -ENOMEM);
			KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(rig->error_text, "memory"),
						  "no 'memory' in: %s", rig->error_text);
			refused++;
			continue;
		}
		opened++;
		KUNIT_EXPECT_EQ(test, rig->recovered.last_index, last);
		KUNIT_EXPECT_EQ(test, rig->recovered.term, rig->term);
		qbd_store_stop(rig->store);
		store_rig_wait(rig, is_stopped);
		qbd_store_close(rig->store);
		rig->store = NULL;
	}
	KUNIT_EXPECT_GT(test, refused, ATTEMPTS / 4);
	KUNIT_EXPECT_GT(test, opened, ATTEMPTS / 8);
	store_rig_open(rig);
	store_rig_destroy(rig);
}

static struct kunit_case store_memory_cases[] = {
	KUNIT_CASE(opening_without_memory),
	{ }
};

static struct kunit_suite store_memory_suite = {
	.name		= "store_memory",
	.test_cases	= store_memory_cases,
};

kunit_test_suite(store_memory_suite);
