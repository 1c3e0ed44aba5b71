// SPDX-License-Identifier: GPL-2.0
/* May the device grow, and how far: kmod/replica/size.c. */
#include <kunit/test.h>

#include "../replica/size.h"

#define SIZE_TEST_BLOCKS	4096ull

struct size_case {
	u64 rooms[3];
	bool growing;
	u64 wanted;
	enum qbd_change_result result;
	u64 blocks;
	u32 member;
};

static void decisions(struct kunit *test)
{
	static const struct size_case cases[] = {
		/* all have room; the last whole MiB of the smallest */
		{ { 9000, 8000, 9999 }, false, 5000, QBD_CHANGE_DONE, 5000, 0 },
		{ { 9000, 8000, 9999 }, false, 8000, QBD_CHANGE_DONE, 8000, 0 },
		{ { 9000, 8000, 9999 }, false, 0, QBD_CHANGE_DONE, 7936, 0 },
		{ { 9000, 8000, 9999 }, false, 8001, QBD_CHANGE_DISK, 0, 2 },
		{ { 9000, 8000, 9999 }, true, 5000, QBD_CHANGE_GROWING, 0, 0 },
		/* no more than it has, whatever else is so */
		{ { 0, 0, 0 }, true, 4096, QBD_CHANGE_NOTHING, 0, 0 },
		{ { 0, 0, 0 }, true, 4095, QBD_CHANGE_SHRINK, 0, 0 },
		{ { 9000, 8000, 9999 }, false, 1, QBD_CHANGE_SHRINK, 0, 0 },
		/* somebody is not there, and nobody knows its disk */
		{ { 9000, 0, 9999 }, false, 5000, QBD_CHANGE_AWAY, 0, 2 },
		{ { 9000, 100, 0 }, false, 0, QBD_CHANGE_AWAY, 0, 3 },
		/* a witness never is in the way, the smallest with data is */
		{ { 9000, QBD_DEVICE_BLOCKS_MAX, 8000 }, false, 0, QBD_CHANGE_DONE, 7936, 0 },
		{ { 9000, QBD_DEVICE_BLOCKS_MAX, 8000 }, false, 8001, QBD_CHANGE_DISK, 0, 3 },
		{ { 0, QBD_DEVICE_BLOCKS_MAX, 8000 }, false, 5000, QBD_CHANGE_AWAY, 0, 1 },
		/* less than a MiB more is not taken unless it is asked for */
		{ { 9000, 9000, 4351 }, false, 0, QBD_CHANGE_DISK, 0, 3 },
		{ { 9000, 9000, 4351 }, false, 4351, QBD_CHANGE_DONE, 4351, 0 },
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct size_case *one = &cases[i];
		struct qbd_size_facts facts = {
			.blocks = SIZE_TEST_BLOCKS, .growing = one->growing, .count = 3,
		};
		u64 blocks = 0;
		u32 member;

		for (u32 k = 0; k < 3; k++) {
			facts.members[k].id = k + 1;
			facts.members[k].room = one->rooms[k];
		}
		KUNIT_EXPECT_EQ_MSG(test, qbd_size_decide(&facts, one->wanted, &blocks,
							  &member), one->result, "case %u", i);
		KUNIT_EXPECT_EQ_MSG(test, member, one->member, "case %u", i);
		if (one->result == QBD_CHANGE_DONE)
			KUNIT_EXPECT_EQ_MSG(test, blocks, one->blocks, "case %u", i);
	}
}

static struct kunit_case size_cases[] = {
	KUNIT_CASE(decisions),
	{}
};

static struct kunit_suite size_suite = {
	.name = "size",
	.test_cases = size_cases,
};

kunit_test_suite(size_suite);
