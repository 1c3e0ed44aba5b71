// SPDX-License-Identifier: GPL-2.0
/* Who gets a claim: each line of the table in claim_rule.h. */
#include <kunit/test.h>

#include <linux/slab.h>

#include "../replica/claim_rule.h"
#include "../replica/internal.h"

#define LEASE	5000u

/* Member 2 holds it, in run 22, since entry 10; it was heard just now. */
static const struct qbd_claim held = {
	.epoch = 10, .session = 22, .holder = 2, .mode = QBD_CLAIM_EXCLUSIVE,
};

static const struct qbd_claim nobodys = { .epoch = 10, .mode = QBD_CLAIM_EXCLUSIVE };
static const struct qbd_claim shared = { .epoch = 10, .mode = QBD_CLAIM_SHARED };
static const struct qbd_claim_facts alive = {
	.committed = true, .surely = true, .member = true, .written = true,
	.may_be_written = true, .unheard_ms = 3, .lease_ms = LEASE,
};

static enum qbd_claim_verdict ask(const struct qbd_claim *claim,
				  const struct qbd_claim_facts *facts,
				  struct qbd_claim_wish wish, struct qbd_claim *next,
				  u64 *wait_ms)
{
	return qbd_claim_decide(claim, facts, &wish, next, wait_ms);
}

#define TAKE(member, run, ...) ((struct qbd_claim_wish){ .action = QBD_CLAIM_TAKE, \
	.asker = (member), .session = (run), ##__VA_ARGS__ })
#define RELEASE(member, run, claim) ((struct qbd_claim_wish){ .action = QBD_CLAIM_RELEASE, \
	.asker = (member), .session = (run), .epoch = (claim) })
#define MODE(how) ((struct qbd_claim_wish){ .action = QBD_CLAIM_MODE, .asker = 1, \
	.session = 11, .mode = (how) })

#define EXPECT(verdict, claim, facts, wish) \
	KUNIT_EXPECT_EQ(test, (int)ask(claim, facts, wish, &next, &wait_ms), \
			(int)QBD_VERDICT_##verdict)

static void claim_is_given(struct kunit *test)
{
	struct qbd_claim next;
	u64 wait_ms;

	EXPECT(GRANT, &nobodys, &alive, TAKE(3, 33));
	KUNIT_EXPECT_EQ(test, next.holder, 3u);
	KUNIT_EXPECT_EQ(test, next.session, 33ull);
	KUNIT_EXPECT_EQ(test, next.mode, (u32)QBD_CLAIM_EXCLUSIVE);
	/* Asked twice it is given once. */
	EXPECT(HAVE, &held, &alive, TAKE(2, 22));
	EXPECT(HAVE, &held, &alive, TAKE(2, 22, .force = true, .epoch = 4));
	/* A device that comes up again has nothing of its former run. */
	EXPECT(GRANT, &held, &alive, TAKE(2, 23));
	EXPECT(HAVE, &shared, &alive, TAKE(3, 33));
}

/* Who may have lost leadership does not know whether a claim is in force still. */
static void claim_of_a_leader_of_the_past(struct kunit *test)
{
	struct qbd_claim_facts unsure = alive;
	struct qbd_claim next;
	u64 wait_ms;

	unsure.surely = false;
	EXPECT(CONFIRM, &held, &unsure, TAKE(2, 22));
	EXPECT(CONFIRM, &shared, &unsure, TAKE(3, 33));
	/* These have to be committed, which it finds out by. */
	EXPECT(GRANT, &nobodys, &unsure, TAKE(3, 33));
	EXPECT(GRANT, &held, &unsure, TAKE(2, 23));
}

static void claim_is_held(struct kunit *test)
{
	struct qbd_claim_facts facts = alive;
	struct qbd_claim next;
	u64 wait_ms;

	EXPECT(BUSY, &held, &facts, TAKE(3, 33));
	KUNIT_EXPECT_EQ(test, wait_ms, (u64)LEASE - 3);
	facts.unheard_ms = LEASE - 1;
	EXPECT(BUSY, &held, &facts, TAKE(3, 33));
	KUNIT_EXPECT_EQ(test, wait_ms, 1ull);
	/* Who seems to be gone is waited for. */
	facts.silent = true;
	EXPECT(WAIT, &held, &facts, TAKE(3, 33));
	KUNIT_EXPECT_EQ(test, wait_ms, 1ull);
	facts.unheard_ms = LEASE;
	EXPECT(GRANT, &held, &facts, TAKE(3, 33));
	facts = alive;
	facts.restarted = true;
	EXPECT(GRANT, &held, &facts, TAKE(3, 33));
	facts = alive;
	facts.member = false;
	EXPECT(GRANT, &held, &facts, TAKE(3, 33));
}

static void claim_is_taken_by_force(struct kunit *test)
{
	struct qbd_claim next;
	u64 wait_ms;

	EXPECT(GRANT, &held, &alive, TAKE(3, 33, .force = true, .epoch = 10));
	/* Sent again when it was granted and lost again: the next holder keeps it. */
	EXPECT(OUTDATED, &held, &alive, TAKE(3, 33, .force = true, .epoch = 9));
}

static void claim_not_committed(struct kunit *test)
{
	struct qbd_claim_facts facts = alive;
	struct qbd_claim next;
	u64 wait_ms;

	facts.committed = false;
	EXPECT(LATER, &held, &facts, TAKE(2, 22));
	EXPECT(LATER, &held, &facts, TAKE(3, 33, .force = true, .epoch = 10));
	EXPECT(LATER, &nobodys, &facts, TAKE(3, 33));
	EXPECT(LATER, &held, &facts, RELEASE(2, 22, 10));
	EXPECT(LATER, &held, &facts, MODE(QBD_CLAIM_SHARED));
}

static void claim_is_given_back(struct kunit *test)
{
	struct qbd_claim next;
	u64 wait_ms;

	EXPECT(GRANT, &held, &alive, RELEASE(2, 22, 10));
	KUNIT_EXPECT_EQ(test, next.holder, 0u);
	KUNIT_EXPECT_EQ(test, next.session, 0ull);
	/* Sent twice: what is another's, or another claim of his own, stays. */
	EXPECT(HAVE, &held, &alive, RELEASE(3, 33, 10));
	EXPECT(HAVE, &held, &alive, RELEASE(2, 21, 10));
	EXPECT(HAVE, &held, &alive, RELEASE(2, 22, 9));
	EXPECT(HAVE, &nobodys, &alive, RELEASE(2, 22, 10));
}

static void claim_mode_changes(struct kunit *test)
{
	struct qbd_claim next;
	u64 wait_ms;

	EXPECT(GRANT, &held, &alive, MODE(QBD_CLAIM_SHARED));
	KUNIT_EXPECT_EQ(test, next.mode, (u32)QBD_CLAIM_SHARED);
	KUNIT_EXPECT_EQ(test, next.holder, 0u);
	EXPECT(HAVE, &held, &alive, MODE(QBD_CLAIM_EXCLUSIVE));
	EXPECT(GRANT, &shared, &alive, MODE(QBD_CLAIM_EXCLUSIVE));
	KUNIT_EXPECT_EQ(test, next.mode, (u32)QBD_CLAIM_EXCLUSIVE);
	EXPECT(HAVE, &shared, &alive, MODE(QBD_CLAIM_SHARED));
}

static void claim_allows_its_holder(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, qbd_claim_allows(&held, 10, 2, 22));
	KUNIT_EXPECT_FALSE(test, qbd_claim_allows(&held, 9, 2, 22));
	KUNIT_EXPECT_FALSE(test, qbd_claim_allows(&held, 11, 2, 22));
	KUNIT_EXPECT_FALSE(test, qbd_claim_allows(&held, 10, 3, 22));
	KUNIT_EXPECT_FALSE(test, qbd_claim_allows(&held, 10, 2, 21));
	KUNIT_EXPECT_FALSE(test, qbd_claim_allows(&nobodys, 10, 0, 0));
	KUNIT_EXPECT_TRUE(test, qbd_claim_allows(&shared, 3, 3, 33));
}

/* When all may write, those may not who were shut out before. */
static void claim_is_over_for_good(struct kunit *test)
{
	const struct qbd_claim after = { .epoch = 30, .former = 20, .former_holder = 4,
					 .older = 15, .mode = QBD_CLAIM_SHARED };
	const struct qbd_claim free = { .epoch = 30, .former = 20, .former_holder = 4,
					.mode = QBD_CLAIM_EXCLUSIVE };
	struct qbd_claim_facts lost = alive;
	struct qbd_claim next;
	u64 wait_ms;

	lost.committed = false;
	/* Who wrote when all might. */
	KUNIT_EXPECT_TRUE(test, qbd_claim_allows(&after, 20, 3, 33));
	KUNIT_EXPECT_TRUE(test, qbd_claim_allows(&after, 25, 3, 33));
	KUNIT_EXPECT_TRUE(test, qbd_claim_allows(&after, 30, 3, 33));
	KUNIT_EXPECT_FALSE(test, qbd_claim_allows(&after, 19, 2, 22));
	KUNIT_EXPECT_FALSE(test, qbd_claim_allows(&after, 10, 3, 33));
	EXPECT(HAVE, &after, &alive, TAKE(2, 22, .goes_on = true, .epoch = 20));
	EXPECT(HAVE, &after, &alive, TAKE(2, 22, .goes_on = false));
	EXPECT(SHUT_OUT, &after, &alive, TAKE(2, 22, .goes_on = true, .epoch = 19));
	EXPECT(LATER, &after, &lost, TAKE(2, 22, .goes_on = true, .epoch = 19));
	/* What he was given himself shuts out nobody there, whether he heard of it or not. */
	EXPECT(HAVE, &after, &alive, TAKE(4, 44, .goes_on = true, .epoch = 15));
	EXPECT(SHUT_OUT, &after, &alive, TAKE(4, 44, .goes_on = true, .epoch = 14));
	/* Nobody's now, somebody's, and given to the asker himself already. */
	EXPECT(SHUT_OUT, &free, &alive, TAKE(2, 22, .goes_on = true, .epoch = 0));
	EXPECT(GRANT, &free, &alive, TAKE(2, 22, .goes_on = true, .epoch = 25));
	EXPECT(SHUT_OUT, &held, &alive, TAKE(3, 33, .goes_on = true, .epoch = 5));
	EXPECT(SHUT_OUT, &held, &alive, TAKE(3, 33, .goes_on = true, .epoch = 10));
	EXPECT(HAVE, &held, &alive, TAKE(2, 22, .goes_on = true, .epoch = 5));
}

/* Of each host is known until when another one had a claim. */
static void claims_of_others(struct kunit *test)
{
#define HAS	QBD_CLAIM_LASTS
	static const struct { u64 epoch; u32 holder; u64 one, two, three; } cases[] = {
		{ 10, 0, 0, 0, 0 },	{ 11, 1, 0, HAS, HAS },
		{ 12, 0, 0, 12, 12 },	{ 13, 0, 0, 12, 12 },
		{ 14, 1, 0, HAS, HAS },	{ 15, 1, 0, HAS, HAS },
		{ 16, 2, HAS, 16, HAS },	{ 17, 0, 17, 16, 17 },
		{ 18, 2, HAS, 16, HAS },	{ 19, 0, 19, 16, 19 },
		{ 20, 3, HAS, HAS, 19 },	{ 21, 2, HAS, 21, HAS },
		{ 22, 0, 22, 21, 22 },	{ 23, 0, 22, 21, 22 },
		{ 24, 3, HAS, HAS, 22 },	{ 25, 0, 25, 25, 22 },
	};
	struct qbd_claim before = nobodys;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct qbd_claim claim = {
			.epoch = cases[i].epoch, .holder = cases[i].holder,
			.session = 11 * cases[i].holder, .mode = QBD_CLAIM_EXCLUSIVE,
		};

		qbd_claim_succeed(&claim, &before);
		KUNIT_EXPECT_EQ(test, qbd_claim_others_until(&claim, 1), cases[i].one);
		KUNIT_EXPECT_EQ(test, qbd_claim_others_until(&claim, 2), cases[i].two);
		KUNIT_EXPECT_EQ(test, qbd_claim_others_until(&claim, 3), cases[i].three);
		before = claim;
	}
#undef HAS
}

/* Who reads goes on since then; nothing may have been written by another host since. */
static void claim_of_who_reads(struct kunit *test)
{
	/* Member 2 had it from 10 to 40. */
	const struct qbd_claim over = { .epoch = 40, .former = 40, .former_holder = 2 };
	struct qbd_claim_facts unwritten = alive, gone = alive;
	struct qbd_claim next;
	u64 wait_ms;

	unwritten.written = false;
	unwritten.may_be_written = false;
	EXPECT(SHUT_OUT, &over, &alive, TAKE(3, 33, .goes_on = true, .epoch = 39));
	EXPECT(GRANT, &over, &alive, TAKE(3, 33, .goes_on = true, .epoch = 40));
	EXPECT(GRANT, &over, &alive, TAKE(2, 22, .goes_on = true, .epoch = 5));
	EXPECT(GRANT, &over, &unwritten, TAKE(3, 33, .goes_on = true, .epoch = 39));
	/* He has it: what he may write yet was not read, however late it was. */
	EXPECT(SHUT_OUT, &held, &alive, TAKE(3, 33, .goes_on = true, .epoch = 1000));
	EXPECT(BUSY, &held, &unwritten, TAKE(3, 33, .goes_on = true, .epoch = 1000));
	/* He is gone, and has written nothing since: it is taken over as by any other. */
	gone.unheard_ms = gone.lease_ms;
	EXPECT(SHUT_OUT, &held, &gone, TAKE(3, 33, .goes_on = true, .epoch = 1000));
	gone.written = false;
	gone.may_be_written = false;
	EXPECT(GRANT, &held, &gone, TAKE(3, 33, .goes_on = true, .epoch = 1000));
	/* An earlier run of his own device has it: that writes no more. */
	EXPECT(GRANT, &held, &alive, TAKE(2, 21, .goes_on = true, .epoch = 5));
	/* Who has only read has not read what was written since, whoever did. */
	EXPECT(SHUT_OUT, &held, &alive, TAKE(2, 21, .goes_on = true, .reader = true, .epoch = 5));
	EXPECT(GRANT, &held, &unwritten,
	       TAKE(2, 21, .goes_on = true, .reader = true, .epoch = 5));
	EXPECT(SHUT_OUT, &over, &alive, TAKE(3, 33, .goes_on = true, .reader = true, .epoch = 45));
	EXPECT(GRANT, &over, &unwritten,
	       TAKE(3, 33, .goes_on = true, .reader = true, .epoch = 45));
	EXPECT(HAVE, &shared, &alive, TAKE(3, 33, .goes_on = true, .reader = true, .epoch = 45));
}

/* Who is shut out stops his file system: not for what may be lost with the leader yet. */
static void claim_waits_for_what_is_written(struct kunit *test)
{
	const struct qbd_claim over = { .epoch = 40, .former = 40, .former_holder = 2 };
	struct qbd_claim_facts under_way = alive;
	struct qbd_claim next;
	u64 wait_ms;

	under_way.written = false;
	EXPECT(LATER, &over, &under_way, TAKE(3, 33, .goes_on = true, .epoch = 39));
	EXPECT(LATER, &over, &under_way,
	       TAKE(3, 33, .goes_on = true, .reader = true, .epoch = 45));
	EXPECT(LATER, &held, &under_way, TAKE(2, 21, .goes_on = true, .reader = true, .epoch = 15));
	/* Whom it does not concern is not kept waiting. */
	EXPECT(GRANT, &over, &under_way, TAKE(3, 33, .goes_on = true, .epoch = 40));
	EXPECT(GRANT, &over, &under_way, TAKE(3, 33));
	EXPECT(HAVE, &shared, &under_way,
	       TAKE(3, 33, .goes_on = true, .reader = true, .epoch = 45));
}

static void log_a_claim(struct qbd_replica *replica, struct qbd_record_header *header,
			u64 index, u32 holder)
{
	memset(header, 0, sizeof(*header));
	header->shared.kind = cpu_to_le16(QBD_RECORD_CLAIM);
	header->shared.index = cpu_to_le64(index);
	header->shared.claim_holder = cpu_to_le32(holder);
	header->shared.claim_session = cpu_to_le64(11 * holder);
	qbd_claims_push(replica, header);
}

/* What is written with an entry that is applied is the claim of then, told or not. */
static void claim_outlives_its_entry(struct kunit *test)
{
	struct qbd_replica *replica = kvzalloc(sizeof(*replica), GFP_KERNEL);
	struct qbd_record_header *header = kzalloc(sizeof(*header), GFP_KERNEL);
	struct qbd_claim_layout layout = {
		.epoch = cpu_to_le64(19), .holder = cpu_to_le32(3), .session = cpu_to_le64(33),
		.former = cpu_to_le64(7),
	};
	static const struct { u64 index, epoch, session, former, older; u32 holder; } cases[] = {
		{ 0, 19, 33, 7, 0, 3 }, { 94, 19, 33, 7, 0, 3 },
		{ 95, 95, 11, 95, 0, 1 }, { 119, 95, 11, 95, 0, 1 },
		/* Nobody's: who had it last. */
		{ 120, 120, 0, 120, 95, 1 }, { 129, 120, 0, 120, 95, 1 },
		{ 130, 130, 22, 120, 0, 2 }, { 500, 130, 22, 120, 0, 2 },
	};
	const struct qbd_claim *claim;
	u32 i;

	KUNIT_ASSERT_TRUE(test, replica && header);
	qbd_claims_begin(replica, &layout);
	log_a_claim(replica, header, 95, 1);
	log_a_claim(replica, header, 120, 0);
	log_a_claim(replica, header, 130, 2);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		qbd_claims_layout(replica, cases[i].index, &layout);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(layout.epoch), cases[i].epoch);
		KUNIT_EXPECT_EQ(test, le32_to_cpu(layout.holder), cases[i].holder);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(layout.session), cases[i].session);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(layout.former), cases[i].former);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(layout.older), cases[i].older);
		KUNIT_EXPECT_TRUE(test, qbd_claim_good(&layout));
	}
	/* And read again. */
	qbd_claims_layout(replica, 120, &layout);
	qbd_claims_begin(replica, &layout);
	claim = qbd_claims_committed(replica);
	KUNIT_EXPECT_EQ(test, claim->holder, 0u);
	KUNIT_EXPECT_EQ(test, qbd_claim_others_until(claim, 1), 95ull);
	KUNIT_EXPECT_EQ(test, qbd_claim_others_until(claim, 3), 120ull);
	kfree(header);
	kvfree(replica);
}

static struct kunit_case claim_cases[] = {
	KUNIT_CASE(claim_is_given),
	KUNIT_CASE(claim_of_a_leader_of_the_past),
	KUNIT_CASE(claim_is_held),
	KUNIT_CASE(claim_is_taken_by_force),
	KUNIT_CASE(claim_not_committed),
	KUNIT_CASE(claim_is_given_back),
	KUNIT_CASE(claim_mode_changes),
	KUNIT_CASE(claim_allows_its_holder),
	KUNIT_CASE(claim_is_over_for_good),
	KUNIT_CASE(claims_of_others),
	KUNIT_CASE(claim_of_who_reads),
	KUNIT_CASE(claim_waits_for_what_is_written),
	KUNIT_CASE(claim_outlives_its_entry),
	{}
};

static struct kunit_suite claim_suite = {
	.name		= "claim",
	.test_cases	= claim_cases,
};

kunit_test_suite(claim_suite);
