// SPDX-License-Identifier: GPL-2.0
/*
 * What a member knows of another one's disk, and what that one makes of it. The source is that
 * of qbd.ko, on a network, a core and a store that take down what they are told.
 */
#include <kunit/test.h>

#include <linux/slab.h>

#include "../replica/intent.h"
#include "../replica/internal.h"

static struct disks_test {
	struct qbd_replica *replica;
	struct qbd_frame_hello hello;	/* what the other one's handshake said */
	u64 run, term, index;		/* what the next handshake says of the other one */
	u64 damaged_through;
} lab;

#define ME	1
#define OTHER	2

static const struct qbd_frame_hello *disks_test_hello(const struct qbd_net *net, u32 id)
{
	return &lab.hello;
}

static void disks_test_set_known(struct qbd_net *net, u32 id, u64 run, u64 term, u64 index)
{
	lab.run = run;
	lab.term = term;
	lab.index = index;
}

static struct qbd_replica_peer *disks_test_peer(struct qbd_replica *replica, u32 id)
{
	return &replica->peers[0];
}

static void disks_test_damaged(struct qbd_store *store, u64 through)
{
	lab.damaged_through = through;
}

/* What is not of these cases says nothing, or that there is none. */
static bool disks_test_vote_lost(struct qbd_core *core, u64 now, u64 term)
{
	return false;
}

static void disks_test_term_told(struct qbd_core *core, u64 now, u64 term)
{
}

static void disks_test_fitness(struct qbd_replica *replica)
{
}

static void disks_test_listed(struct qbd_net *net, u64 index, u64 newest,
			      const struct qbd_membership_layout *layout)
{
}

static const struct qbd_store_identity *disks_test_identity(const struct qbd_store *store)
{
	return NULL;
}

static const struct qbd_member_layout *
disks_test_find(const struct qbd_membership_layout *layout, u32 id)
{
	return NULL;
}

static bool disks_test_get_peer(const struct qbd_core *core, u64 now, u32 id,
				struct qbd_peer_status *peer)
{
	return false;
}

static void disks_test_later(struct qbd_replica *replica, u64 when)
{
}

/* Functions only: a structure has the name of one of them. */
#define qbd_net_peer_hello(...)			disks_test_hello(__VA_ARGS__)
#define qbd_net_set_known(...)			disks_test_set_known(__VA_ARGS__)
#define qbd_replica_peer(...)			disks_test_peer(__VA_ARGS__)
#define qbd_store_damaged(...)			disks_test_damaged(__VA_ARGS__)
#define qbd_core_vote_lost(...)			disks_test_vote_lost(__VA_ARGS__)
#define qbd_core_term_told(...)			disks_test_term_told(__VA_ARGS__)
#define qbd_replica_update_fitness(...)		disks_test_fitness(__VA_ARGS__)
#define qbd_net_set_listed(...)			disks_test_listed(__VA_ARGS__)
#define qbd_store_identity(...)			disks_test_identity(__VA_ARGS__)
#define qbd_membership_find(...)		disks_test_find(__VA_ARGS__)
#define qbd_core_get_peer(...)			disks_test_get_peer(__VA_ARGS__)
#define qbd_replica_later(...)			disks_test_later(__VA_ARGS__)

#include "../replica/disks.c"

/* Disks by the beginning of their incarnation, of which each run has a number of its own. */
static u64 run_of(u8 disk, u64 drawn)
{
	const u8 incarnation[QBD_UUID_SIZE] = { disk, 7 };

	return qbd_disks_run(drawn, incarnation);
}

static int disks_test_init(struct kunit *test)
{
	memset(&lab, 0, sizeof(lab));
	lab.replica = kvzalloc(sizeof(*lab.replica), GFP_KERNEL);
	if (!lab.replica)
		return -ENOMEM;
	lab.replica->core = kvzalloc(sizeof(*lab.replica->core), GFP_KERNEL);
	lab.replica->peers[0].id = OTHER;
	lab.replica->member_id = ME;
	return lab.replica->core ? 0 : -ENOMEM;
}

static void disks_test_exit(struct kunit *test)
{
	if (lab.replica)
		kvfree(lab.replica->core);
	kvfree(lab.replica);
}

/* This member leads in @term, and the other one's run says that it has all through @index. */
static void acknowledges(u64 run, u64 term, u64 index)
{
	struct qbd_core_message reply = {
		.from = OTHER, .type = QBD_MESSAGE_APPEND_REPLY, .term = term, .index = index,
	};

	lab.hello.run = cpu_to_le64(run);
	lab.replica->told_role = QBD_ROLE_LEADER;
	lab.replica->told_term = term;
	lab.replica->core->commit = 1000;
	qbd_disks_heard(lab.replica, OTHER, &reply);
}

#define EXPECT_KNOWN(who, in, through)					\
	do {								\
		KUNIT_EXPECT_EQ(test, lab.run, who);			\
		KUNIT_EXPECT_EQ(test, lab.term, (u64)(in));		\
		KUNIT_EXPECT_EQ(test, lab.index, (u64)(through));	\
	} while (0)

/* What is known of a disk stands when its member restarts, until it has that again. */
static void known_of_the_run_before(struct kunit *test)
{
	acknowledges(run_of(1, 11), 5, 0);
	acknowledges(run_of(1, 11), 5, 100);
	EXPECT_KNOWN(run_of(1, 11), 0, 100);
	acknowledges(run_of(1, 12), 5, 40);
	EXPECT_KNOWN(run_of(1, 11), 0, 100);
	acknowledges(run_of(1, 12), 5, 120);
	EXPECT_KNOWN(run_of(1, 12), 0, 120);
}

/* The other one's run votes for this member in @term. */
static void votes(u64 run, u64 term)
{
	struct qbd_core_message reply = {
		.from = OTHER, .type = QBD_MESSAGE_VOTE_REPLY, .term = term,
		.flags = QBD_MESSAGE_GRANTED,
	};

	lab.hello.run = cpu_to_le64(run);
	lab.replica->told_role = QBD_ROLE_CANDIDATE;
	lab.replica->told_term = term;
	qbd_disks_heard(lab.replica, OTHER, &reply);
}

/*
 * It restarts as it was, and is heard again; then its disk is rolled back to before its vote.
 */
static void known_of_a_vote_of_the_run_before(struct kunit *test)
{
	votes(run_of(1, 11), 9);
	acknowledges(run_of(1, 11), 9, 100);
	EXPECT_KNOWN(run_of(1, 11), 9, 100);
	acknowledges(run_of(1, 12), 9, 100);
	EXPECT_KNOWN(run_of(1, 12), 9, 100);
}

/* It votes as soon as it is up again, before it has acknowledged anything. */
static void known_of_the_first_vote_of_a_run(struct kunit *test)
{
	acknowledges(run_of(1, 11), 5, 100);
	votes(run_of(1, 12), 9);
	KUNIT_EXPECT_EQ(test, lab.term, 9ull);
	KUNIT_EXPECT_EQ(test, lab.index, 100ull);
	acknowledges(run_of(1, 12), 9, 100);
	EXPECT_KNOWN(run_of(1, 12), 9, 100);
}

/* Another disk in its place has not lost that: what is known is that of the new one. */
static void known_of_the_disk_before(struct kunit *test)
{
	acknowledges(run_of(1, 11), 5, 100);
	acknowledges(run_of(2, 12), 6, 40);
	EXPECT_KNOWN(run_of(2, 12), 0, 40);
}

/* This member comes up with a disk that has @index, and is told what was known. */
static void is_told(u64 run, u64 index, u64 known_run, u64 known_index)
{
	lab.replica->session = run;
	lab.replica->recovered_index = index;
	lab.hello.known_run = cpu_to_le64(known_run);
	lab.hello.known_index = cpu_to_le64(known_index);
	qbd_disks_peer_up(lab.replica, OTHER);
}

static void rolled_back(struct kunit *test)
{
	is_told(run_of(1, 12), 40, run_of(1, 11), 40);
	KUNIT_EXPECT_FALSE(test, lab.replica->damaged);
	is_told(run_of(1, 12), 40, run_of(1, 11), 100);
	KUNIT_EXPECT_TRUE(test, lab.replica->damaged);
	KUNIT_EXPECT_EQ(test, lab.replica->damaged_through, 100ull);
	KUNIT_EXPECT_EQ(test, lab.damaged_through, 100ull);
}

/* What the disk had that was this member before is not missed on this one. */
static void not_rolled_back_but_another_disk(struct kunit *test)
{
	is_told(run_of(2, 12), 40, run_of(1, 11), 100);
	KUNIT_EXPECT_FALSE(test, lab.replica->damaged);
	KUNIT_EXPECT_EQ(test, lab.damaged_through, 0ull);
}

/* A run is that of one disk, has a number, and is none of another run of it. */
static void numbers_of_runs(struct kunit *test)
{
	const u8 none[QBD_UUID_SIZE] = {};

	KUNIT_EXPECT_NE(test, qbd_disks_run(0, none), 0ull);
	KUNIT_EXPECT_TRUE(test, same_disk(run_of(1, 11), run_of(1, ~0ull)));
	KUNIT_EXPECT_FALSE(test, same_disk(run_of(1, 11), run_of(2, 11)));
	KUNIT_EXPECT_NE(test, run_of(1, 11), run_of(1, 12));
}

static struct kunit_case disks_cases[] = {
	KUNIT_CASE(known_of_the_run_before),
	KUNIT_CASE(known_of_a_vote_of_the_run_before),
	KUNIT_CASE(known_of_the_first_vote_of_a_run),
	KUNIT_CASE(known_of_the_disk_before),
	KUNIT_CASE(rolled_back),
	KUNIT_CASE(not_rolled_back_but_another_disk),
	KUNIT_CASE(numbers_of_runs),
	{}
};

static struct kunit_suite disks_suite = {
	.name		= "disks",
	.init		= disks_test_init,
	.exit		= disks_test_exit,
	.test_cases	= disks_cases,
};

kunit_test_suite(disks_suite);
