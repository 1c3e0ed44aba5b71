// SPDX-License-Identifier: GPL-2.0
/*
 * Which copies of a block are good: kmod/replica/compare.c.
 *
 * Copies are written as letters, one a member: what it holds; '!' its disk fails to read
 * it, '~' it was written meanwhile, '-' it was not asked, '?' it was not and is a learner.
 */
#include <kunit/test.h>

#include "../replica/compare.h"

struct compare_case {
	const char *copies;
	enum qbd_compare_verdict verdict;
	const char *good, *bad;		/* the letters' places as digits */
};

static const struct compare_case compare_cases[] = {
	{ "aaa", QBD_COMPARE_EQUAL, "", "" },
	{ "aa-", QBD_COMPARE_EQUAL, "", "" },
	{ "aa", QBD_COMPARE_EQUAL, "", "" },
	{ "aab", QBD_COMPARE_MAJORITY, "01", "2" },
	{ "baa", QBD_COMPARE_MAJORITY, "12", "0" },
	{ "abaca", QBD_COMPARE_MAJORITY, "024", "13" },
	{ "aa-b", QBD_COMPARE_UNDECIDED, "", "013" },
	{ "aabb", QBD_COMPARE_UNDECIDED, "", "0123" },
	{ "aab--", QBD_COMPARE_UNDECIDED, "", "012" },
	{ "aaab-", QBD_COMPARE_MAJORITY, "012", "3" },
	{ "abc", QBD_COMPARE_UNDECIDED, "", "012" },
	{ "ab", QBD_COMPARE_UNDECIDED, "", "01" },
	{ "ab-", QBD_COMPARE_UNDECIDED, "", "01" },
	/* copies that cannot be read are none */
	{ "a!", QBD_COMPARE_MAJORITY, "0", "1" },
	{ "!a!", QBD_COMPARE_MAJORITY, "1", "02" },
	{ "a!-", QBD_COMPARE_UNDECIDED, "", "01" },
	{ "ab!", QBD_COMPARE_UNDECIDED, "", "012" },
	{ "aab!", QBD_COMPARE_MAJORITY, "01", "23" },
	{ "!!", QBD_COMPARE_UNDECIDED, "", "01" },
	/* learners that were not asked do not count */
	{ "aab?", QBD_COMPARE_MAJORITY, "01", "2" },
	{ "?aab", QBD_COMPARE_MAJORITY, "12", "3" },
	{ "aab?-", QBD_COMPARE_UNDECIDED, "", "012" },
	{ "ab??", QBD_COMPARE_UNDECIDED, "", "01" },
	/* one that may be newer says nothing, and decides nothing */
	{ "aa~", QBD_COMPARE_TOUCHED, "", "" },
	{ "ab~", QBD_COMPARE_TOUCHED, "", "" },
	{ "~!a", QBD_COMPARE_TOUCHED, "", "" },
};

static u32 compare_test_bits(const char *places)
{
	u32 bits = 0;

	for (; *places; places++)
		bits |= 1u << (*places - '0');
	return bits;
}

/* Block @block is as the case says; its neighbours are spoiled at the first copy. */
static void compare_test_copies(const char *text, u32 block, struct qbd_compare_copy *copies)
{
	for (u32 i = 0; text[i]; i++) {
		memset(&copies[i], 0, sizeof(copies[i]));
		copies[i].member = i + 1;
		copies[i].there = text[i] != '-' && text[i] != '?';
		copies[i].voter = text[i] != '?';
		for (u32 k = 0; k < QBD_VERIFY_BLOCKS_MAX; k++)
			copies[i].sums[k] = i ? 7 : 8;
		copies[i].sums[block] = text[i];
		if (text[i] == '!')
			qbd_compare_set(copies[i].unreadable, block);
		if (text[i] == '~')
			qbd_compare_set(copies[i].touched, block);
	}
}

static void verdicts(struct kunit *test)
{
	static const u32 blocks[] = { 0, 63, 64, 130, QBD_VERIFY_BLOCKS_MAX - 1 };
	struct qbd_compare_copy *copies =
		kunit_kcalloc(test, QBD_MEMBERS_MAX, sizeof(*copies), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, copies);
	for (u32 i = 0; i < ARRAY_SIZE(compare_cases) * ARRAY_SIZE(blocks); i++) {
		const struct compare_case *one = &compare_cases[i / ARRAY_SIZE(blocks)];
		u32 block = blocks[i % ARRAY_SIZE(blocks)];
		struct qbd_compare_result result;

		compare_test_copies(one->copies, block, copies);
		qbd_compare_block(copies, strlen(one->copies), block, &result);
		KUNIT_EXPECT_EQ_MSG(test, result.verdict, one->verdict, "%s", one->copies);
		KUNIT_EXPECT_EQ_MSG(test, result.good, compare_test_bits(one->good), "%s",
				    one->copies);
		KUNIT_EXPECT_EQ_MSG(test, result.bad, compare_test_bits(one->bad), "%s",
				    one->copies);
	}
}

static void who_is_there(struct kunit *test)
{
	struct qbd_compare_copy *copies =
		kunit_kcalloc(test, QBD_MEMBERS_MAX, sizeof(*copies), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, copies);
	compare_test_copies("a-!~-", 3, copies);
	KUNIT_EXPECT_EQ(test, qbd_compare_there(copies, 5), 3);
}

static void pauses(struct kunit *test)
{
	u64 ms = NSEC_PER_MSEC;

	/* 1 MiB at 1 MiB a second takes a second. */
	KUNIT_EXPECT_EQ(test, qbd_compare_pause(1u << 20, 1u << 20, 0, false), 1000 * ms);
	KUNIT_EXPECT_EQ(test, qbd_compare_pause(1u << 20, 1u << 20, 300 * ms, false),
			700 * ms);
	KUNIT_EXPECT_EQ(test, qbd_compare_pause(1u << 20, 1u << 20, 1100 * ms, false), 0);
	/* A disk that others use is left alone for longer than it was used. */
	KUNIT_EXPECT_EQ(test, qbd_compare_pause(1u << 20, 1u << 20, 1100 * ms, true),
			3300 * ms);
	KUNIT_EXPECT_EQ(test, qbd_compare_pause(1u << 20, 1u << 20, 100 * ms, true),
			900 * ms);
	KUNIT_EXPECT_EQ(test, qbd_compare_pause(1u << 20, ~0ull, 0, false), 0);
}

static struct kunit_case compare_cases_all[] = {
	KUNIT_CASE(verdicts),
	KUNIT_CASE(who_is_there),
	KUNIT_CASE(pauses),
	{}
};

static struct kunit_suite compare_suite = {
	.name = "compare",
	.test_cases = compare_cases_all,
};

kunit_test_suite(compare_suite);
