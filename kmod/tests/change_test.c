// SPDX-License-Identifier: GPL-2.0
/*
 * A member asks for another address for itself, and what comes of it does not reach it: when is
 * it certain that nothing comes of it any more, and what if it loses its power? The source is that
 * of qbd.ko, on a network, a log, a disk and a core that say what a case wants.
 */
#include <kunit/test.h>

#include <linux/slab.h>

#include "../replica/intent.h"
#include "../replica/internal.h"

#define LEADER	1
#define OTHER	2
#define ME	3
#define TERM	5
#define LIST	40	/* index of the one in force */
#define LAST	60	/* of the leader's log */

static struct change_test {
	struct qbd_replica *replica;
	struct qbd_membership_layout list;
	struct qbd_change_order order;
	struct qbd_command command;
	struct page *page;
	struct qbd_buffer buffer;
	u64 commit, commit_term;
	u64 last, durable;		/* of its log */
	u64 sequence;			/* of the newest request; 0: nobody was asked */
	struct qbd_move_layout move;	/* on the disk, or about to be */
	bool slow_disk;			/* it is about to be */
	bool failed_disk;
	int error;			/* of the command that is done */
	u32 done;			/* commands that are */
	bool listens;			/* where it is to move to */
} lab;

static const struct qbd_membership_layout *change_test_layout(const struct qbd_replica *replica)
{
	return &lab.list;
}

static const struct qbd_member_layout *change_test_member(const struct qbd_replica *replica,
							  u32 id)
{
	return qbd_membership_find(&lab.list, id);
}

static void change_test_status(const struct qbd_core *core, u64 now,
			       struct qbd_core_status *status)
{
	memset(status, 0, sizeof(*status));
	status->commit = lab.commit;
	status->last = lab.last;
	status->durable = lab.durable;
}

static u64 change_test_term_at(const struct qbd_core *core, u64 index)
{
	return lab.commit_term;
}

static void change_test_listen(struct qbd_net *net, const struct qbd_address *address)
{
	lab.listens = true;
}

static void change_test_listen_only(struct qbd_net *net)
{
	lab.listens = false;
}

static int change_test_send(struct qbd_net *net, u32 peer, const struct qbd_net_frame *frame)
{
	const struct qbd_frame_request *request = frame->fixed;

	lab.sequence = le64_to_cpu(request->sequence);
	return 0;
}

static struct qbd_buffer *change_test_buffer(struct qbd_pool *pool, enum qbd_pool_class class,
					     unsigned int blocks)
{
	return &lab.buffer;
}

static void change_test_write_move(struct qbd_store *store, const struct qbd_move_layout *move)
{
	lab.move = *move;
}

static bool change_test_move_durable(const struct qbd_store *store)
{
	return !lab.slow_disk;
}

static void change_test_forget_move(struct qbd_store *store)
{
	memset(&lab.move, 0, sizeof(lab.move));
}

static const struct qbd_move_layout *change_test_move(const struct qbd_store *store)
{
	return &lab.move;
}

static bool change_test_store_failed(const struct qbd_store *store)
{
	return lab.failed_disk;
}

__printf(3, 4)
static void change_test_done(struct qbd_command *command, int error, const char *format, ...)
{
	lab.error = error;
	lab.done++;
}

/* What is not of these cases does nothing, or says that there is none. */
static void change_test_nothing(void)
{
}

static bool change_test_no(void)
{
	return false;
}

/* Functions only: a structure has the name of one of them. */
#define qbd_replica_layout(...)			change_test_layout(__VA_ARGS__)
#define qbd_replica_member(...)			change_test_member(__VA_ARGS__)
#define qbd_core_get_status(...)		change_test_status(__VA_ARGS__)
#define qbd_core_term_at(...)			change_test_term_at(__VA_ARGS__)
#define qbd_net_listen(...)			change_test_listen(__VA_ARGS__)
#define qbd_net_listen_only(...)		change_test_listen_only(__VA_ARGS__)
#define qbd_net_send(...)			change_test_send(__VA_ARGS__)
#define qbd_buffer_alloc(...)			change_test_buffer(__VA_ARGS__)
#define qbd_store_write_move(...)		change_test_write_move(__VA_ARGS__)
#define qbd_store_move_durable(...)		change_test_move_durable(__VA_ARGS__)
#define qbd_store_forget_move(...)		change_test_forget_move(__VA_ARGS__)
#define qbd_store_move(...)			change_test_move(__VA_ARGS__)
#define qbd_store_failed(...)			change_test_store_failed(__VA_ARGS__)
#define qbd_command_done(...)			change_test_done(__VA_ARGS__)
#define qbd_net_push(...)			change_test_nothing()
#define qbd_io_fail_local(...)			change_test_nothing()
#define qbd_replica_event(...)			change_test_nothing()
#define qbd_replica_later(...)			change_test_nothing()
#define qbd_replica_push_config(...)		change_test_nothing()
#define qbd_replica_settle(...)			change_test_nothing()
#define qbd_replica_stop_vouching(...)		change_test_nothing()
#define qbd_replica_update_fitness(...)		change_test_nothing()
#define qbd_claim_used(...)			change_test_no()
#define qbd_disks_facts(...)			change_test_no()
#define qbd_replica_keeps_data(...)		change_test_no()
#define qbd_resize_growing(...)			change_test_no()

#include "../replica/change.c"

static int change_test_init(struct kunit *test)
{
	memset(&lab, 0, sizeof(lab));
	lab.page = alloc_page(GFP_KERNEL);
	lab.buffer.pages = &lab.page;
	lab.replica = kvzalloc(sizeof(*lab.replica), GFP_KERNEL);
	if (!lab.page || !lab.replica)
		return -ENOMEM;
	lab.replica->core = kvzalloc(sizeof(*lab.replica->core), GFP_KERNEL);
	if (!lab.replica->core)
		return -ENOMEM;
	lab.list.index = cpu_to_le64(LIST);
	lab.list.count = cpu_to_le32(ME);
	for (u32 id = LEADER; id <= ME; id++)
		lab.list.members[id - 1] = (struct qbd_member_layout){
			.id = cpu_to_le32(id),
			.address = { .family = cpu_to_le16(4), .port = cpu_to_le16(7000 + id),
				     .bytes = { 192, 0, 2, id } },
		};
	lab.order.members = lab.list;
	lab.order.members.members[ME - 1].address.port = cpu_to_le16(7100);
	lab.command.run = qbd_change_command;
	lab.command.argument = &lab.order;
	lab.replica->member_id = ME;
	lab.replica->told_leader = LEADER;
	lab.replica->told_term = TERM;
	lab.replica->config_committed_at = 1;
	lab.replica->core->term = TERM;
	lab.replica->core->heartbeats = 100;
	lab.replica->core->leader_last = LAST - 2;
	lab.commit = LAST - 2;
	lab.commit_term = TERM;
	return 0;
}

static void change_test_exit(struct kunit *test)
{
	if (lab.replica)
		kvfree(lab.replica->core);
	kvfree(lab.replica);
	if (lab.page)
		__free_page(lab.page);
}

/* It listens where it wants to be, and the leader is asked. */
static void asks(void)
{
	qbd_change_command(lab.replica, &lab.command);
	qbd_change_listening(lab.replica, 0, "");
	qbd_change_written(lab.replica);
}

static void lost_connection(void)
{
	qbd_change_unanswered(lab.replica, "the connection is lost");
}

/* The leader says how far its log goes. */
static void hears_leader(u64 last)
{
	lab.replica->told_leader = LEADER;
	lab.replica->core->heartbeats++;
	lab.replica->core->leader_last = last;
	qbd_change_check(lab.replica);
}

static void commits(u64 index)
{
	lab.commit = index;
	qbd_change_check(lab.replica);
}

/* Behind all that the leader can have taken before it was connected with anew. */
static void lost_with_its_connection(struct kunit *test)
{
	asks();
	KUNIT_EXPECT_TRUE(test, lab.listens);
	lost_connection();
	commits(LAST - 1);
	qbd_change_connected(lab.replica, LEADER);
	commits(LAST);
	KUNIT_EXPECT_TRUE(test, lab.listens);
	hears_leader(LAST + 1);
	KUNIT_EXPECT_TRUE(test, lab.listens);
	hears_leader(LAST + 3);
	commits(LAST + 1);
	KUNIT_EXPECT_FALSE(test, lab.listens);
}

/* Who was asked leads on, in the same term, and was given up only here. */
static void lost_and_no_leader_heard(struct kunit *test)
{
	asks();
	lab.replica->told_leader = 0;
	lost_connection();
	qbd_change_connected(lab.replica, LEADER);
	hears_leader(LAST);
	KUNIT_EXPECT_TRUE(test, lab.listens);
	commits(LAST);
	KUNIT_EXPECT_FALSE(test, lab.listens);
}

/* What was sent to the leader may be under way as long as its connection is the same. */
static void another_connection_says_nothing(struct kunit *test)
{
	asks();
	lab.replica->told_leader = 0;
	lost_connection();
	qbd_change_connected(lab.replica, OTHER);
	hears_leader(LAST);
	commits(LAST);
	KUNIT_EXPECT_TRUE(test, lab.listens);
}

/* It was asked in another term: what it has in its log now says nothing of that. */
static void another_term_of_that_leader(struct kunit *test)
{
	asks();
	lost_connection();
	qbd_change_connected(lab.replica, LEADER);
	lab.replica->told_term = TERM + 1;
	lab.replica->core->term = TERM + 1;
	hears_leader(LAST);
	commits(LAST);
	KUNIT_EXPECT_TRUE(test, lab.listens);
	lab.commit_term = TERM + 1;
	commits(LAST + 1);
	KUNIT_EXPECT_FALSE(test, lab.listens);
}

/* No other connection will ever be there. */
static void refused_when_nobody_waits(struct kunit *test)
{
	struct qbd_frame_reply reply = { .status = cpu_to_le32(QBD_REPLY_REFUSED) };

	asks();
	lab.replica->told_leader = 0;
	qbd_change_unanswered(lab.replica, "nobody leads");
	KUNIT_EXPECT_TRUE(test, lab.listens);
	reply.sequence = cpu_to_le64(lab.sequence);
	qbd_change_replied(lab.replica, LEADER, &reply);
	KUNIT_EXPECT_FALSE(test, lab.listens);
}

static void another_list_is_in_force(struct kunit *test)
{
	asks();
	lost_connection();
	lab.list.index = cpu_to_le64(LIST + 1);
	qbd_change_check(lab.replica);
	KUNIT_EXPECT_FALSE(test, lab.listens);
}

/* It may come about as soon as somebody was asked. */
static void asks_when_it_is_written(struct kunit *test)
{
	lab.slow_disk = true;
	asks();
	KUNIT_EXPECT_TRUE(test, lab.listens);
	KUNIT_EXPECT_EQ(test, lab.sequence, 0);
	lab.slow_disk = false;
	qbd_change_written(lab.replica);
	KUNIT_EXPECT_NE(test, lab.sequence, 0);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(lab.move.address.port), 7100);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(lab.move.leader), LEADER);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(lab.move.term), TERM);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(lab.move.list), LIST);
}

/* Nobody was asked, so nothing comes of it. */
static void it_cannot_be_written(struct kunit *test)
{
	lab.slow_disk = true;
	asks();
	lab.failed_disk = true;
	qbd_change_written(lab.replica);
	KUNIT_EXPECT_EQ(test, lab.error, -EIO);
	KUNIT_EXPECT_FALSE(test, lab.listens);
	KUNIT_EXPECT_EQ(test, lab.sequence, 0);
	KUNIT_EXPECT_EQ(test, lab.move.address.family, 0);
	qbd_change_written(lab.replica);
	KUNIT_EXPECT_EQ(test, lab.sequence, 0);
}

static void it_is_not_written_in_time(struct kunit *test)
{
	lab.slow_disk = true;
	asks();
	lab.replica->now = lab.replica->changing_until;
	qbd_change_check(lab.replica);
	KUNIT_EXPECT_EQ(test, lab.error, -EAGAIN);
	KUNIT_EXPECT_FALSE(test, lab.listens);
	lab.slow_disk = false;
	qbd_change_written(lab.replica);
	KUNIT_EXPECT_EQ(test, lab.sequence, 0);
}

/* It loses its power; what is in its log is the list that it asked from. */
static void comes_up(void)
{
	struct qbd_replica *replica = lab.replica;

	lab.listens = false;
	replica->changing = NULL;
	replica->move = (struct qbd_move){ };
	replica->moved_from = false;
	replica->core->heartbeats = 0;
	qbd_change_up(replica);
}

static void asked_before_the_power_cut(struct kunit *test)
{
	asks();
	comes_up();
	KUNIT_EXPECT_TRUE(test, lab.listens);
	commits(LAST);
	KUNIT_EXPECT_TRUE(test, lab.listens);
	qbd_change_connected(lab.replica, LEADER);
	hears_leader(LAST + 1);
	KUNIT_EXPECT_TRUE(test, lab.listens);
	commits(LAST + 1);
	KUNIT_EXPECT_FALSE(test, lab.listens);
	KUNIT_EXPECT_EQ(test, lab.move.address.family, 0);
	comes_up();
	KUNIT_EXPECT_FALSE(test, lab.listens);
}

/* Its log has a newer list: that is the one by which it moved, or it has not. */
static void settled_before_the_power_cut(struct kunit *test)
{
	asks();
	lab.list.index = cpu_to_le64(LIST + 1);
	comes_up();
	KUNIT_EXPECT_FALSE(test, lab.listens);
	KUNIT_EXPECT_EQ(test, lab.move.address.family, 0);
}

/* What comes by netlink was looked at by nobody; from there it would be on the disk. */
static void where_nobody_can_be(struct kunit *test)
{
	struct qbd_address *address = &lab.order.members.members[ME - 1].address;

	for (u32 what = 0; what < 2; what++) {
		address->port = cpu_to_le16(what ? 7100 : 0);
		if (what)
			memset(address->bytes, 0, sizeof(address->bytes));
		asks();
		KUNIT_EXPECT_EQ(test, lab.move.address.family, 0);
		KUNIT_EXPECT_EQ(test, lab.sequence, 0);
		KUNIT_EXPECT_FALSE(test, lab.listens);
		KUNIT_EXPECT_EQ(test, lab.error, -EINVAL);
		qbd_change_unanswered(lab.replica, "the next one");
	}
}

/* The leader's answer to what nobody waits for any more, while a move is made ready. */
static void late_answer_to_another_command(struct kunit *test)
{
	struct qbd_frame_reply reply = { .status = cpu_to_le32(QBD_REPLY_OK) };
	struct qbd_change_order other = { .members = lab.list };
	struct qbd_command first = { .run = qbd_change_command, .argument = &other };

	for (u32 written = 0; written < 2; written++) {
		lab.done = 0;
		lab.slow_disk = true;
		other.members.members[LEADER - 1].priority = 7;
		qbd_change_command(lab.replica, &first);
		reply.sequence = cpu_to_le64(lab.sequence);
		lab.replica->now = lab.replica->changing_until;
		qbd_change_check(lab.replica);
		KUNIT_EXPECT_EQ(test, lab.done, 1);
		/* Now this member is to move. */
		qbd_change_command(lab.replica, &lab.command);
		if (written)
			qbd_change_listening(lab.replica, 0, "");
		qbd_change_replied(lab.replica, LEADER, &reply);
		KUNIT_EXPECT_EQ_MSG(test, lab.done, 1, "done, and nobody was asked");
		if (!written)
			qbd_change_listening(lab.replica, 0, "");
		lab.slow_disk = false;
		qbd_change_written(lab.replica);
		KUNIT_EXPECT_EQ(test, lab.sequence, le64_to_cpu(reply.sequence) + 1);
		reply.status = cpu_to_le32(QBD_REPLY_NOT_LEADER);
		reply.sequence = cpu_to_le64(lab.sequence);
		qbd_change_replied(lab.replica, LEADER, &reply);
		KUNIT_EXPECT_EQ(test, lab.done, 2);
		reply.status = cpu_to_le32(QBD_REPLY_OK);
	}
}

/* It has moved: a list that the others have committed says so, and this disk has not got it. */
static void moves_by_a_list_that_is_not_written(void)
{
	lab.last = LIST + 1;
	lab.durable = LIST;
	lab.list.index = cpu_to_le64(LIST + 1);
	lab.list.members[ME - 1].address.port = cpu_to_le16(7100);
	qbd_change_noticed(lab.replica);
	lab.replica->config_committed_at = 1;
}

/* The power goes, and that list with it. */
static void list_is_lost(void)
{
	lab.last = LIST;
	lab.list.index = cpu_to_le64(LIST);
	lab.list.members[ME - 1].address.port = cpu_to_le16(7003);
	comes_up();
}

/* Power goes when it is known to have moved, and before its own disk has the list. */
static void moved_and_the_list_is_lost(struct kunit *test)
{
	asks();
	lost_connection();
	moves_by_a_list_that_is_not_written();
	qbd_change_check(lab.replica);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(lab.move.address.port), 7100);
	list_is_lost();
	KUNIT_EXPECT_TRUE(test, lab.listens);
}

/* Likewise, and it has asked to be where it was before. */
static void moved_back_and_the_list_is_lost(struct kunit *test)
{
	asks();
	moves_by_a_list_that_is_not_written();
	qbd_change_answer(lab.replica, &lab.command, QBD_CHANGE_DONE, 0, 0);
	lab.replica->changing = NULL;
	lab.order.members = lab.list;
	lab.order.members.members[ME - 1].address.port = cpu_to_le16(7003);
	asks();
	list_is_lost();
	KUNIT_EXPECT_TRUE(test, lab.listens);
}

static struct kunit_case change_cases[] = {
	KUNIT_CASE(asks_when_it_is_written),
	KUNIT_CASE(it_cannot_be_written),
	KUNIT_CASE(it_is_not_written_in_time),
	KUNIT_CASE(asked_before_the_power_cut),
	KUNIT_CASE(settled_before_the_power_cut),
	KUNIT_CASE(moved_and_the_list_is_lost),
	KUNIT_CASE(moved_back_and_the_list_is_lost),
	KUNIT_CASE(where_nobody_can_be),
	KUNIT_CASE(late_answer_to_another_command),
	KUNIT_CASE(lost_with_its_connection),
	KUNIT_CASE(lost_and_no_leader_heard),
	KUNIT_CASE(another_connection_says_nothing),
	KUNIT_CASE(another_term_of_that_leader),
	KUNIT_CASE(refused_when_nobody_waits),
	KUNIT_CASE(another_list_is_in_force),
	{}
};

static struct kunit_suite change_suite = {
	.name		= "change",
	.init		= change_test_init,
	.exit		= change_test_exit,
	.test_cases	= change_cases,
};

kunit_test_suite(change_suite);
