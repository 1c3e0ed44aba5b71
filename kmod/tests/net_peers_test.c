// SPDX-License-Identifier: GPL-2.0
/*
 * Handshakes that fail, strangers, and members that send rubbish or nothing: each
 * is told apart and cut off, and nobody else notices.
 */
#include <kunit/resource.h>
#include <linux/delay.h>
#include <linux/ip.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <net/sock.h>

#include "../net/frame.h"
#include "../net/internal.h"
#include "net_rig.h"

/* ---- members that do not match ------------------------------------------ */

/* Two members of which the second is different by now: both learn why. */
static void expect_refusal(struct kunit *test, struct rig_member *pair[2],
			   enum qbd_refusal reason, const char *text)
{
	struct qbd_net_peer_status status;
	int i;

	for (i = 0; i < 2; i++)
		rig_member_start(pair[i]);
	for (i = 0; i < 2; i++)
		rig_set_members(pair[i], pair, 2);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_TRUE(test, rig_until(pair[i]->refusals));
		KUNIT_EXPECT_EQ(test, pair[i]->refused, reason);
		KUNIT_EXPECT_EQ(test, pair[i]->refused_peer, 2 - i);
		KUNIT_EXPECT_EQ(test, pair[i]->ups, 0);
		mutex_lock(&pair[i]->context);
		qbd_net_peer_status(pair[i]->net, 2 - i, &status);
		mutex_unlock(&pair[i]->context);
		KUNIT_EXPECT_FALSE(test, status.control_up || status.bulk_up);
		KUNIT_EXPECT_STREQ(test, status.last_error, text);
	}
}

static void a_wrong_secret_is_told(struct kunit *test)
{
	struct rig_member *pair[2] = {
		rig_member_create(test, 1), rig_member_create(test, 2),
	};

	pair[1]->identity.secret[31] ^= 1;
	expect_refusal(test, pair, QBD_REFUSED_SECRET, "refused: wrong secret");
	/* With the right one it is let in, although it was refused before. */
	rig_member_stop(pair[1]);
	pair[1]->identity.secret[31] ^= 1;
	rig_member_start(pair[1]);
	rig_set_members(pair[1], pair, 2);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->up[2] && pair[1]->up[1]));
	rig_pair_destroy(pair);
}

static void another_device_is_told(struct kunit *test)
{
	struct rig_member *pair[2] = {
		rig_member_create(test, 1), rig_member_create(test, 2),
	};

	pair[1]->identity.uuid[0] ^= 1;
	expect_refusal(test, pair, QBD_REFUSED_DEVICE,
		       "refused: another device (wrong uuid)");
	rig_pair_destroy(pair);
}

/* ---- disks --------------------------------------------------------------- */

/* The list names another disk than the one that is there: both learn why. */
static void another_disk_is_told(struct kunit *test)
{
	struct rig_member *pair[2] = {
		rig_member_create(test, 1), rig_member_create(test, 2),
	};

	memset(pair[1]->identity.incarnation, 'b', QBD_UUID_SIZE);
	memset(pair[1]->listed, 'c', QBD_UUID_SIZE);
	expect_refusal(test, pair, QBD_REFUSED_DISK,
		       "refused: another disk is this member now");
	/* The list changes: it is the one. */
	memset(pair[1]->listed, 'b', QBD_UUID_SIZE);
	rig_set_members(pair[0], pair, 2);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->up[2] && pair[1]->up[1]));
	/* And again: it is not any more, and is let go. */
	memset(pair[1]->listed, 'c', QBD_UUID_SIZE);
	rig_set_members(pair[0], pair, 2);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->downs == 1));
	KUNIT_EXPECT_STREQ(test, pair[0]->down_reason, "another disk is this member now");
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->refusals == 2));
	/* It was made anew, and says so. */
	mutex_lock(&pair[1]->context);
	qbd_net_set_new(pair[1]->net, true);
	mutex_unlock(&pair[1]->context);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->up[2] && pair[1]->up[1]));
	rig_pair_destroy(pair);
}

/* The same of the side that is dialled. */
static void another_disk_is_not_dialled(struct kunit *test)
{
	struct rig_member *pair[2] = {
		rig_member_create(test, 1), rig_member_create(test, 2),
	};

	memset(pair[0]->identity.incarnation, 'a', QBD_UUID_SIZE);
	memset(pair[0]->listed, 'c', QBD_UUID_SIZE);
	expect_refusal(test, pair, QBD_REFUSED_DISK,
		       "refused: another disk is this member now");
	rig_pair_destroy(pair);
}

/*
 * Two that say they are the same member: the one that is there stays, the other one is
 * refused for as long as that one is alive, and both are told.
 */
static void a_member_that_is_up_twice(struct kunit *test)
{
	struct rig_member *pair[2], *both[2], *copy;
	const struct qbd_frame_hello *hello;
	unsigned int downs;

	rig_pair(test, pair);
	copy = rig_member_create(test, 2);
	rig_member_address(copy, "127.0.0.1", RIG_PORT + 77);
	copy->identity.run = pair[1]->identity.run + 1;
	both[0] = pair[0];
	both[1] = copy;
	rig_member_start(copy);
	downs = pair[0]->downs;
	rig_set_members(copy, both, 2);
	/* From its first try on it is to know that there are perhaps two. */
	KUNIT_EXPECT_TRUE(test, rig_until(copy->asked_again));
	KUNIT_EXPECT_EQ(test, copy->refusals, 0);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->refusals && copy->refusals));
	KUNIT_EXPECT_EQ(test, pair[0]->refused, QBD_REFUSED_TWICE);
	KUNIT_EXPECT_EQ(test, pair[0]->asked_again, 0);
	KUNIT_EXPECT_EQ(test, copy->refused, QBD_REFUSED_TWICE);
	KUNIT_EXPECT_EQ(test, pair[0]->downs, downs);
	KUNIT_EXPECT_EQ(test, copy->ups, 0);
	/* The first one goes: the place is free. */
	rig_member_stop(pair[1]);
	KUNIT_EXPECT_TRUE(test, rig_until(copy->ups && pair[0]->ups == 2));
	mutex_lock(&pair[0]->context);
	hello = qbd_net_peer_hello(pair[0]->net, 2);
	KUNIT_EXPECT_TRUE(test, hello && le64_to_cpu(hello->run) == copy->identity.run);
	mutex_unlock(&pair[0]->context);
	rig_member_destroy(copy);
	rig_pair_destroy(pair);
}

/* One whom others dial is found by nobody; it knocks, and is told as well. */
static void a_member_that_is_dialled_is_up_twice(struct kunit *test)
{
	struct rig_member *pair[2], *both[2], *copy;

	rig_pair(test, pair);
	copy = rig_member_create(test, 1);
	rig_member_address(copy, "127.0.0.1", RIG_PORT + 77);
	copy->identity.run = pair[0]->identity.run + 1;
	both[0] = copy;
	both[1] = pair[1];
	rig_member_start(copy);
	rig_set_members(copy, both, 2);
	KUNIT_EXPECT_TRUE(test, rig_until(copy->asked_again));
	KUNIT_EXPECT_TRUE(test, rig_until(copy->refused == QBD_REFUSED_TWICE));
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->refused == QBD_REFUSED_TWICE));
	KUNIT_EXPECT_EQ(test, pair[1]->ups, 1);
	KUNIT_EXPECT_EQ(test, copy->ups, 0);
	rig_member_destroy(copy);
	rig_pair_destroy(pair);
}

/* What is known of a member is said to it, and to nobody else. */
static void what_is_known_is_said(struct kunit *test)
{
	const struct qbd_frame_hello *hello;
	struct rig_member *pair[2];

	rig_pair(test, pair);
	mutex_lock(&pair[0]->context);
	qbd_net_set_known(pair[0]->net, 2, 11, 22, 33);
	mutex_unlock(&pair[0]->context);
	rig_member_stop(pair[1]);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->downs));
	rig_member_start(pair[1]);
	rig_set_members(pair[1], pair, 2);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->up[2] && pair[1]->up[1]));
	mutex_lock(&pair[1]->context);
	hello = qbd_net_peer_hello(pair[1]->net, 1);
	KUNIT_ASSERT_TRUE(test, hello);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(hello->known_run), 11);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(hello->known_term), 22);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(hello->known_index), 33);
	mutex_unlock(&pair[1]->context);
	mutex_lock(&pair[0]->context);
	hello = qbd_net_peer_hello(pair[0]->net, 2);
	KUNIT_EXPECT_TRUE(test, hello && !hello->known_run && !hello->known_index);
	mutex_unlock(&pair[0]->context);
	rig_pair_destroy(pair);
}

/* ---- members of lists that are still to come ------------------------------ */

static void set_listed(struct rig_member *member, u64 index, u64 committed)
{
	static const struct qbd_membership_layout unknown;

	mutex_lock(&member->context);
	qbd_net_set_listed(member->net, index, committed, &unknown);
	mutex_unlock(&member->context);
}

/* The list of 1 is that of entry 10, and does not name 3; @listed does. */
static void newcomer(struct kunit *test, struct rig_member *pair[2], u64 listed)
{
	int i;

	for (i = 0; i < 2; i++) {
		pair[i] = rig_member_create(test, 1 + 2 * i);
		memset(pair[i]->identity.incarnation, 'a' + i, QBD_UUID_SIZE);
		rig_member_start(pair[i]);
	}
	set_listed(pair[0], 10, 10);
	set_listed(pair[1], listed, listed);
	rig_set_members(pair[0], pair, 1);
	rig_set_members(pair[1], pair, 2);
}

/* Who is behind takes the word of members that it has not heard of (thesis 4.1). */
static void a_newer_list_names_it(struct kunit *test)
{
	struct rig_member *pair[2];

	newcomer(test, pair, 12);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->up[3] && pair[1]->up[1]));
	KUNIT_EXPECT_EQ(test, pair[0]->refusals, 0);
	/* Lists before that one need not name it; that one has to. */
	rig_set_members(pair[0], pair, 1);
	set_listed(pair[0], 11, 11);
	KUNIT_EXPECT_EQ(test, pair[0]->downs, 0);
	set_listed(pair[0], 12, 12);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->downs == 1));
	KUNIT_EXPECT_STREQ(test, pair[0]->down_reason, "no longer a member");
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->refused == QBD_REFUSED_MEMBER));
	KUNIT_EXPECT_FALSE(test, pair[0]->up[3]);
	rig_pair_destroy(pair);
}

/* It is a member like others once the list in force has it. */
static void a_newcomer_becomes_a_member(struct kunit *test)
{
	struct rig_member *pair[2];

	newcomer(test, pair, 12);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->up[3] && pair[1]->up[1]));
	rig_set_members(pair[0], pair, 2);
	set_listed(pair[0], 13, 13);
	rig_set_members(pair[0], pair, 2);
	KUNIT_EXPECT_EQ(test, pair[0]->downs, 0);
	/* And goes like others. */
	rig_set_members(pair[0], pair, 1);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->downs == 1));
	rig_pair_destroy(pair);
}

/* The list of @index comes to 2, by which 1 is at the port that is @away from where it is. */
static void send_list(struct rig_member *pair[2], u64 index, u16 away)
{
	struct qbd_membership_layout list = {
		.index = cpu_to_le64(index), .count = cpu_to_le32(2),
	};
	int i;

	for (i = 0; i < 2; i++) {
		list.members[i].id = cpu_to_le32(1 + i);
		list.members[i].address = pair[i]->identity.listen;
	}
	le16_add_cpu(&list.members[0].address.port, away);
	mutex_lock(&pair[1]->context);
	qbd_net_set_members(pair[1]->net, &list);
	mutex_unlock(&pair[1]->context);
}

/* Has 2 hung up on 1, whether it has been told yet or not? */
static bool hung_up(struct rig_member *pair[2])
{
	struct qbd_connection *control;
	bool closed;

	mutex_lock(&pair[1]->context);
	control = qbd_net_peer_find(pair[1]->net, 1)->connections[0];
	closed = !control || qbd_connection_state(control) == QBD_CLOSED;
	mutex_unlock(&pair[1]->context);
	return closed;
}

/* Who catches up does not look for a member where that was once, while it has it. */
static void past_lists_move_nobody(struct kunit *test)
{
	struct rig_member *pair[2];
	int i;

	for (i = 0; i < 2; i++) {
		pair[i] = rig_member_create(test, 1 + i);
		rig_member_start(pair[i]);
	}
	set_listed(pair[0], 12, 12);
	rig_set_members(pair[0], pair, 2);
	send_list(pair, 9, 0);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->up[2] && pair[1]->up[1]));
	send_list(pair, 10, 1);
	KUNIT_EXPECT_FALSE(test, hung_up(pair));
	send_list(pair, 11, 0);
	KUNIT_EXPECT_FALSE(test, hung_up(pair));
	/* It is to come by the list that it has now, even if it has just heard the same. */
	send_list(pair, 12, 0);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->ups == 2 && pair[0]->up[2]));
	KUNIT_EXPECT_EQ(test, pair[1]->downs, 1);
	KUNIT_EXPECT_STREQ(test, pair[1]->down_reason, "the member's address changed");
	/* That was once for all; and a list that 1 has not spoken of is not past. */
	send_list(pair, 13, 0);
	KUNIT_EXPECT_FALSE(test, hung_up(pair));
	send_list(pair, 14, 1);
	KUNIT_EXPECT_TRUE(test, hung_up(pair));
	send_list(pair, 15, 0);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->ups == 3 && pair[0]->up[2]));
	rig_pair_destroy(pair);
}

/* Who comes and goes by the lists of one pass leaves room for who comes then. */
static void many_come_and_go_in_one_pass(struct kunit *test)
{
	struct rig_member *member = rig_member_create(test, 1);
	struct qbd_membership_layout list = { };
	struct qbd_net_peer *peer = NULL;
	u32 id;

	rig_member_start(member);
	list.members[0].id = cpu_to_le32(1);
	list.members[0].address = member->identity.listen;
	list.members[1].address = member->identity.listen;
	le16_add_cpu(&list.members[1].address.port, 1);
	mutex_lock(&member->context);
	for (id = 20; id < 20 + 2 * QBD_NET_PEERS; id++) {
		list.members[1].id = cpu_to_le32(id);
		list.index = cpu_to_le64(2 * id);
		list.count = cpu_to_le32(2);
		qbd_net_set_members(member->net, &list);
		peer = qbd_net_peer_find(member->net, id);
		KUNIT_EXPECT_TRUE_MSG(test, peer, "%u", id);
		list.index = cpu_to_le64(2 * id + 1);
		list.count = cpu_to_le32(1);
		qbd_net_set_members(member->net, &list);
		KUNIT_EXPECT_FALSE(test, qbd_net_peer_find(member->net, id));
	}
	mutex_unlock(&member->context);
	rig_member_destroy(member);
}

/* A member that was removed knows of no list after that; and a stranger of no secret. */
static void others_are_no_newcomers(struct kunit *test)
{
	struct rig_member *pair[2];

	newcomer(test, pair, 10);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->refusals));
	KUNIT_EXPECT_EQ(test, pair[1]->refused, QBD_REFUSED_MEMBER);
	rig_member_stop(pair[1]);
	pair[1]->identity.secret[0] ^= 1;
	pair[1]->refusals = 0;
	rig_member_start(pair[1]);
	set_listed(pair[1], 12, 12);
	rig_set_members(pair[1], pair, 2);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->refusals));
	KUNIT_EXPECT_EQ(test, pair[1]->refused, QBD_REFUSED_SECRET);
	KUNIT_EXPECT_EQ(test, pair[0]->ups, 0);
	rig_pair_destroy(pair);
}

/* The committed list at 1 names nobody but 1, and gave the ids before @next. */
static void list_without_others(struct rig_member *member, u32 next)
{
	struct qbd_membership_layout list = {
		.index = cpu_to_le64(10),
		.count = cpu_to_le32(1),
		.next_member_id = cpu_to_le32(next),
		.members[0].id = cpu_to_le32(1),
	};

	mutex_lock(&member->context);
	qbd_net_set_listed(member->net, 10, 10, &list);
	mutex_unlock(&member->context);
}

/* Who was away when it was removed is told; nobody who is still to join is told that. */
static void who_was_removed_is_told(struct kunit *test)
{
	struct rig_member *pair[2];
	u32 next;

	for (next = 3; next <= 4; next++) {
		newcomer(test, pair, 5);
		list_without_others(pair[0], next);
		pair[1]->refusals = 0;
		KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->refused == QBD_REFUSED_REMOVED ||
						  (next == 3 && pair[1]->refusals)));
		KUNIT_EXPECT_EQ(test, pair[1]->refused,
				next == 3 ? QBD_REFUSED_MEMBER : QBD_REFUSED_REMOVED);
		KUNIT_EXPECT_EQ(test, pair[0]->ups, 0);
		rig_pair_destroy(pair);
	}
}

/* It is told whatever strangers have the log say, and then leaves the members alone. */
static void who_was_removed_is_quiet(struct kunit *test)
{
	struct rig_member *pair[2];
	unsigned int refusals;

	newcomer(test, pair, 5);
	list_without_others(pair[0], 4);
	/* Nobody's line goes into the log for a while. */
	while (__ratelimit(&pair[1]->net->log_limit))
		;
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->refused == QBD_REFUSED_REMOVED));
	mutex_lock(&pair[0]->context);
	refusals = pair[0]->refusals;
	mutex_unlock(&pair[0]->context);
	/* Nothing is to happen: longer than it would wait before it dials again. */
	msleep(3 * QBD_BACKOFF_MAX_MS);
	KUNIT_EXPECT_EQ(test, pair[0]->refusals, refusals);
	rig_pair_destroy(pair);
}

/* Whoever says that it is that member has to prove it: nobody else learns who was one. */
static void a_stranger_is_not_told_who_was_removed(struct kunit *test)
{
	struct rig_member *pair[2];

	newcomer(test, pair, 5);
	list_without_others(pair[0], 4);
	rig_member_stop(pair[1]);
	pair[1]->identity.secret[0] ^= 1;
	pair[1]->refusals = 0;
	rig_member_start(pair[1]);
	rig_set_members(pair[1], pair, 2);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->refusals));
	KUNIT_EXPECT_EQ(test, pair[1]->refused, QBD_REFUSED_SECRET);
	rig_pair_destroy(pair);
}

/* A socket at a member's address takes the place of that member. */
static int listen_instead(struct rig_member *member, struct socket **socket)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(le16_to_cpu(member->identity.listen.port)),
	};
	int error;

	memcpy(&address.sin_addr, member->identity.listen.bytes, sizeof(address.sin_addr));
	error = sock_create_kern(&init_net, AF_INET, SOCK_STREAM, IPPROTO_TCP, socket);
	if (error)
		return error;
	sock_set_reuseaddr((*socket)->sk);
	(*socket)->sk->sk_rcvtimeo = RIG_SECONDS * HZ;
	error = kernel_bind(*socket, (struct sockaddr *)&address, sizeof(address));
	if (!error)
		error = kernel_listen(*socket, 1);
	if (error)
		sock_release(*socket);
	return error;
}

/* Nobody else than a member: without a proof it is a refusal like any other. */
static void only_a_member_says_who_was_removed(struct kunit *test)
{
	struct qbd_frame_refused refused = { .reason = cpu_to_le32(QBD_REFUSED_REMOVED) };
	struct rig_member *pair[2];
	struct qbd_frame_hello hello;
	struct rig_raw raw = {};
	struct socket *listener;

	pair[0] = rig_member_create(test, 1);
	pair[1] = rig_member_create(test, 3);
	KUNIT_ASSERT_EQ(test, listen_instead(pair[0], &listener), 0);
	rig_member_start(pair[1]);
	rig_set_members(pair[1], pair, 2);
	KUNIT_ASSERT_EQ(test, kernel_accept(listener, &raw.socket, 0), 0);
	raw.socket->sk->sk_rcvtimeo = RIG_SECONDS * HZ;
	KUNIT_ASSERT_EQ(test, rig_raw_receive_frame(&raw, &hello, sizeof(hello)),
			QBD_FRAME_HELLO);
	rig_raw_frame(&raw, QBD_FRAME_REFUSED, &refused, sizeof(refused), NULL, 0);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->refusals));
	KUNIT_EXPECT_EQ(test, pair[1]->refused, QBD_REFUSED_MEMBER);
	rig_raw_close(&raw);
	sock_release(listener);
	rig_pair_destroy(pair);
}

/* Those of which nothing more is heard make room for others. */
static void many_newcomers_come_and_go(struct kunit *test)
{
	struct rig_member *member = rig_member_create(test, 1);
	struct rig_raw raw;
	u32 id, tries;
	int error;

	rig_member_start(member);
	set_listed(member, 10, 10);
	rig_set_members(member, &member, 1);
	member->raw_listed = 12;
	for (id = 20; id < 40; id++) {
		for (tries = 0, error = -EAGAIN; error && tries < 100; tries++) {
			error = rig_raw_handshake(&raw, member, id, QBD_CONNECTION_CONTROL, id);
			rig_raw_close(&raw);
		}
		KUNIT_EXPECT_EQ_MSG(test, error, 0, "%u", id);
	}
	rig_member_destroy(member);
}

/* ---- raw handshakes ----------------------------------------------------- */

/* The reason with which @raw is refused after what it sent; 0 if it is not. */
static u32 refusal_of(struct rig_raw *raw)
{
	struct qbd_frame_refused refused;

	if (rig_raw_receive_frame(raw, &refused, sizeof(refused)) != QBD_FRAME_REFUSED)
		return 0;
	return le32_to_cpu(refused.reason);
}

static u32 try_hello(struct kunit *test, struct rig_member *to,
		     void (*change)(struct qbd_frame_hello *hello))
{
	struct rig_raw raw;
	u32 reason;

	KUNIT_ASSERT_EQ(test, rig_raw_connect(&raw, to), 0);
	rig_raw_hello(&raw, to, 2, QBD_CONNECTION_CONTROL, 1);
	change(&raw.own);
	rig_raw_frame(&raw, QBD_FRAME_HELLO, &raw.own, sizeof(raw.own), NULL, 0);
	reason = refusal_of(&raw);
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&raw));
	rig_raw_close(&raw);
	return reason;
}

static void newer_only(struct qbd_frame_hello *hello)
{
	hello->version = cpu_to_le16(9);
	hello->version_min = cpu_to_le16(8);
}

static void older_only(struct qbd_frame_hello *hello)
{
	hello->version = 0;
	hello->version_min = 0;
}

static void other_uuid(struct qbd_frame_hello *hello)
{
	hello->uuid[15] ^= 0x80;
}

static void other_configuration(struct qbd_frame_hello *hello)
{
	hello->configuration ^= cpu_to_le32(1);
}

static void for_another(struct qbd_frame_hello *hello)
{
	hello->to = cpu_to_le32(3);
}

static void from_a_stranger(struct qbd_frame_hello *hello)
{
	hello->from = cpu_to_le32(99);
}

static void from_itself(struct qbd_frame_hello *hello)
{
	hello->from = cpu_to_le32(1);
}

static void hellos_are_refused_with_a_reason(struct kunit *test)
{
	struct rig_member *pair[2];

	rig_pair(test, pair);
	KUNIT_EXPECT_EQ(test, try_hello(test, pair[0], newer_only), QBD_REFUSED_VERSION);
	KUNIT_EXPECT_EQ(test, try_hello(test, pair[0], older_only), QBD_REFUSED_VERSION);
	KUNIT_EXPECT_EQ(test, try_hello(test, pair[0], other_uuid), QBD_REFUSED_DEVICE);
	KUNIT_EXPECT_EQ(test, try_hello(test, pair[0], other_configuration),
			QBD_REFUSED_CONFIGURATION);
	KUNIT_EXPECT_EQ(test, try_hello(test, pair[0], for_another), QBD_REFUSED_MEMBER);
	KUNIT_EXPECT_EQ(test, try_hello(test, pair[0], from_a_stranger),
			QBD_REFUSED_MEMBER);
	KUNIT_EXPECT_EQ(test, try_hello(test, pair[0], from_itself), QBD_REFUSED_MEMBER);
	KUNIT_EXPECT_EQ(test, pair[0]->downs, 0);
	rig_pair_destroy(pair);
}

/* The lower id listens: 1 may not dial 2, with which it is connected. */
static void the_wrong_side_may_not_dial(struct kunit *test)
{
	struct rig_member *pair[2];
	struct rig_raw raw;

	rig_pair(test, pair);
	KUNIT_ASSERT_EQ(test, rig_raw_connect(&raw, pair[1]), 0);
	KUNIT_EXPECT_EQ(test, rig_raw_handshake(&raw, pair[1], 1, QBD_CONNECTION_CONTROL, 1),
			-EPROTO);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->refused == QBD_REFUSED_MEMBER));
	KUNIT_EXPECT_EQ(test, pair[1]->ups, 1);
	rig_raw_close(&raw);
	rig_pair_destroy(pair);
}

/* Neither a guess nor the echo of the listener's own proof opens the door. */
static void only_the_secret_proves(struct kunit *test)
{
	struct qbd_frame_challenge challenge;
	struct qbd_frame_proof proof;
	struct rig_member *pair[2];
	struct rig_raw raw;
	int i;

	rig_pair(test, pair);
	for (i = 0; i < 2; i++) {
		KUNIT_ASSERT_EQ(test, rig_raw_connect(&raw, pair[0]), 0);
		rig_raw_hello(&raw, pair[0], 2, QBD_CONNECTION_BULK, 7);
		rig_raw_frame(&raw, QBD_FRAME_HELLO, &raw.own, sizeof(raw.own), NULL, 0);
		KUNIT_ASSERT_EQ(test, rig_raw_receive_frame(&raw, &challenge,
							    sizeof(challenge)),
				QBD_FRAME_CHALLENGE);
		if (i)
			memcpy(proof.proof, challenge.proof, sizeof(proof.proof));
		else
			get_random_bytes(proof.proof, sizeof(proof.proof));
		rig_raw_frame(&raw, QBD_FRAME_PROOF, &proof, sizeof(proof), NULL, 0);
		KUNIT_EXPECT_EQ(test, refusal_of(&raw), QBD_REFUSED_SECRET);
		KUNIT_EXPECT_TRUE(test, rig_raw_closed(&raw));
		rig_raw_close(&raw);
	}
	KUNIT_EXPECT_EQ(test, pair[0]->downs, 0);
	KUNIT_EXPECT_TRUE(test, pair[0]->up[2]);
	rig_pair_destroy(pair);
}

/* ---- strangers ---------------------------------------------------------- */

static void strangers_harm_nobody(struct kunit *test)
{
	struct rig_member *pair[2];
	struct rig_raw raw;
	u8 *rubbish = kunit_kmalloc(test, 4096, GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, rubbish);
	rig_pair(test, pair);
	for (i = 0; i < 50; i++) {
		KUNIT_ASSERT_EQ(test, rig_raw_connect(&raw, pair[0]), 0);
		get_random_bytes(rubbish, 4096);
		if (i % 2)
			memcpy(rubbish, "GET / HTTP/1.0\r\n\r\n", 18);
		rig_raw_send(&raw, rubbish, 40 + 81 * i);
		KUNIT_EXPECT_TRUE(test, rig_raw_closed(&raw));
		rig_raw_close(&raw);
	}
	/* A frame that is good but comes before its time. */
	KUNIT_ASSERT_EQ(test, rig_raw_connect(&raw, pair[0]), 0);
	rig_raw_frame(&raw, QBD_FRAME_WELCOME, NULL, 0, NULL, 0);
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&raw));
	rig_raw_close(&raw);
	KUNIT_EXPECT_EQ(test, pair[0]->downs + pair[1]->downs, 0);
	rig_pair_destroy(pair);
}

/*
 * Of more strangers than are borne the oldest are sent away, and not only when
 * the time of the handshake is over. Return: false if that was over anyway.
 */
static bool oldest_strangers_leave(struct kunit *test, struct rig_member *member,
				   struct rig_raw *raw)
{
	unsigned long start = jiffies;
	int i;

	for (i = 0; i < 64; i++)
		KUNIT_ASSERT_EQ(test, rig_raw_connect(&raw[i], member), 0);
	for (i = 0; i < 32; i++)
		KUNIT_EXPECT_TRUE(test, rig_raw_closed(&raw[i]));
	start = jiffies - start;
	for (i = 0; i < 64; i++)
		rig_raw_close(&raw[i]);
	return start < msecs_to_jiffies(1900);
}

static void the_oldest_strangers_are_sent_away(struct kunit *test)
{
	struct rig_member *member = rig_member_create(test, 1);
	struct rig_raw *raw = kunit_kcalloc(test, 64, sizeof(*raw), GFP_KERNEL);
	int tries = 0;

	KUNIT_ASSERT_NOT_NULL(test, raw);
	rig_member_start(member);
	/* A busy machine may need so long; an endless one is none. */
	while (!oldest_strangers_leave(test, member, raw) && tries < 5)
		tries++;
	KUNIT_EXPECT_LT(test, tries, 5);
	rig_member_destroy(member);
}

/* The oldest one is sent away, for others at another address, while it is still accepted. */
static void a_stranger_is_sent_away_while_it_is_accepted(struct kunit *test)
{
	struct rig_member *member = rig_member_create(test, 1);
	struct rig_raw *raw = kunit_kcalloc(test, 35, sizeof(*raw), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, raw);
	rig_member_start(member);
	rig_setup_stops();
	KUNIT_ASSERT_EQ(test, rig_raw_connect(&raw[0], member), 0);
	KUNIT_EXPECT_TRUE(test, rig_setup_stands());
	rig_member_address(member, "127.0.0.1", RIG_PORT + 1);
	qbd_net_listen(member->net, &member->identity.listen);
	KUNIT_EXPECT_TRUE(test, rig_until(member->listens));
	KUNIT_EXPECT_EQ(test, member->listen_error, 0);
	for (i = 1; i < 35; i++)
		KUNIT_ASSERT_EQ(test, rig_raw_connect(&raw[i], member), 0);
	/* What is sent first of all tells when all of them have been accepted. */
	rig_raw_frame(&raw[34], QBD_FRAME_WELCOME, NULL, 0, NULL, 0);
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&raw[34]));
	rig_setup_goes_on();
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&raw[0]));
	for (i = 0; i < 35; i++)
		rig_raw_close(&raw[i]);
	rig_member_destroy(member);
}

/* More silent connections than are borne: members still come in at once. */
static void strangers_do_not_keep_members_out(struct kunit *test)
{
	struct rig_member *pair[2] = {
		rig_member_create(test, 1), rig_member_create(test, 2),
	};
	struct rig_raw *raw = kunit_kcalloc(test, 64, sizeof(*raw), GFP_KERNEL);
	int i, result, dropped = 0;
	u8 byte;

	KUNIT_ASSERT_NOT_NULL(test, raw);
	rig_member_start(pair[0]);
	rig_member_start(pair[1]);
	rig_set_members(pair[0], pair, 2);
	for (i = 0; i < 64; i++)
		KUNIT_ASSERT_EQ(test, rig_raw_connect(&raw[i], pair[0]), 0);
	rig_set_members(pair[1], pair, 2);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->up[2] && pair[1]->up[1]));
	/* The time of the handshake ends the rest. */
	for (i = 0; i < 64; i++) {
		result = rig_raw_receive(&raw[i], &byte, 1);
		dropped += result == 0 || result == -ECONNRESET;
		rig_raw_close(&raw[i]);
	}
	KUNIT_EXPECT_EQ(test, dropped, 64);
	KUNIT_EXPECT_EQ(test, pair[0]->downs + pair[1]->downs, 0);
	rig_pair_destroy(pair);
}

/* ---- members that misbehave --------------------------------------------- */

/*
 * Members 1 and 2 are up; 3 is known, but what speaks for it is the test. The
 * good pair must not notice anything.
 */
struct trio {
	struct rig_member *pair[2];
	struct rig_member *third;	/* only an identity */
	struct rig_raw control;
	struct rig_raw bulk;
};

static void trio_create(struct kunit *test, struct trio *trio)
{
	struct rig_member *members[3];
	int i;

	for (i = 0; i < 3; i++)
		members[i] = rig_member_create(test, i + 1);
	for (i = 0; i < 2; i++) {
		trio->pair[i] = members[i];
		rig_member_start(members[i]);
	}
	trio->third = members[2];
	for (i = 0; i < 2; i++)
		rig_set_members(members[i], members, 3);
	KUNIT_ASSERT_TRUE(test, rig_until(members[0]->up[2] && members[1]->up[1]));
}

static void trio_connect(struct kunit *test, struct trio *trio, u64 session)
{
	struct rig_member *first = trio->pair[0];

	KUNIT_ASSERT_EQ(test, rig_raw_handshake(&trio->control, first, 3,
						QBD_CONNECTION_CONTROL, session), 0);
	KUNIT_ASSERT_EQ(test, rig_raw_handshake(&trio->bulk, first, 3,
						QBD_CONNECTION_BULK, session), 0);
	KUNIT_ASSERT_TRUE(test, rig_until(first->up[3]));
}

static void trio_disconnect(struct trio *trio)
{
	rig_raw_close(&trio->control);
	rig_raw_close(&trio->bulk);
}

static void trio_destroy(struct kunit *test, struct trio *trio)
{
	trio_disconnect(trio);
	KUNIT_EXPECT_TRUE(test, trio->pair[0]->up[2] && trio->pair[1]->up[1]);
	KUNIT_EXPECT_EQ(test, trio->pair[1]->downs, 0);
	rig_pair_destroy(trio->pair);
	rig_member_destroy(trio->third);
}

/* The first member cut both connections of the third and says why. */
static void expect_cut_off(struct kunit *test, struct trio *trio, const char *reason)
{
	KUNIT_EXPECT_TRUE(test, rig_until(!trio->pair[0]->up[3]));
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&trio->control));
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&trio->bulk));
	KUNIT_EXPECT_STREQ(test, trio->pair[0]->down_reason, reason);
	trio_disconnect(trio);
}

static void malformed_frames_cut_the_member_off(struct kunit *test)
{
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(QBD_REQUEST_READ), .count = cpu_to_le32(1),
		.block = cpu_to_le64(RIG_DEVICE_BLOCKS),
	};
	struct qbd_frame_reply reply = { .count = cpu_to_le32(1) };
	struct qbd_frame_message message = {
		.type = cpu_to_le32(QBD_MESSAGE_HEARTBEAT), .from = cpu_to_le32(2),
		.to = cpu_to_le32(1),
	};
	struct qbd_frame_header header;
	struct trio trio = {};
	u8 *block = kunit_kzalloc(test, QBD_BLOCK_SIZE, GFP_KERNEL);
	u64 session = 1;

	KUNIT_ASSERT_NOT_NULL(test, block);
	trio_create(test, &trio);

	trio_connect(test, &trio, session++);
	rig_raw_send(&trio.bulk, block, 100);
	expect_cut_off(test, &trio, "malformed: not a qbd frame");

	trio_connect(test, &trio, session++);
	rig_raw_frame(&trio.bulk, QBD_FRAME_REQUEST, &request, sizeof(request), NULL, 0);
	expect_cut_off(test, &trio, "malformed: request: outside of the device");

	/* A request on the control connection. */
	trio_connect(test, &trio, session++);
	rig_raw_frame(&trio.control, QBD_FRAME_REQUEST, &request, sizeof(request),
		      NULL, 0);
	expect_cut_off(test, &trio,
		       "malformed: frame type that does not belong on this connection");

	/* In another member's name. */
	trio_connect(test, &trio, session++);
	rig_raw_frame(&trio.control, QBD_FRAME_MESSAGE, &message, sizeof(message),
		      NULL, 0);
	expect_cut_off(test, &trio, "malformed: message: another member's");

	/* A frame left out. */
	trio_connect(test, &trio, session++);
	trio.control.sent++;
	rig_raw_frame(&trio.control, QBD_FRAME_PING, NULL, 0, NULL, 0);
	expect_cut_off(test, &trio, "malformed: frame out of sequence");

	/* A length that would be much memory. */
	trio_connect(test, &trio, session++);
	qbd_frame_seal(&header, QBD_FRAME_REPLY, sizeof(reply), 0x7fffffff,
		       trio.bulk.sent, 0, 0);
	rig_raw_send(&trio.bulk, &header, sizeof(header));
	expect_cut_off(test, &trio, "malformed: frame length");

	/* Data that is not what its checksum says. */
	trio_connect(test, &trio, session++);
	qbd_frame_seal(&header, QBD_FRAME_REPLY, sizeof(reply), 1, trio.bulk.sent,
		       qbd_crc32c(~0u, &reply, sizeof(reply)), 0x1234);
	rig_raw_send(&trio.bulk, &header, sizeof(header));
	rig_raw_send(&trio.bulk, &reply, sizeof(reply));
	rig_raw_send(&trio.bulk, block, QBD_BLOCK_SIZE);
	expect_cut_off(test, &trio, "malformed: data checksum");

	/* Nor that of a request. */
	trio_connect(test, &trio, session++);
	request.kind = cpu_to_le32(QBD_REQUEST_WRITE);
	request.block = 0;
	request.sequence = cpu_to_le64(1);
	qbd_frame_seal(&header, QBD_FRAME_REQUEST, sizeof(request), 1, trio.bulk.sent,
		       qbd_crc32c(~0u, &request, sizeof(request)), 0);
	rig_raw_send(&trio.bulk, &header, sizeof(header));
	rig_raw_send(&trio.bulk, &request, sizeof(request));
	rig_raw_send(&trio.bulk, block, QBD_BLOCK_SIZE);
	expect_cut_off(test, &trio, "malformed: data checksum");

	/* And a handshake frame when that is over. */
	trio_connect(test, &trio, session++);
	rig_raw_frame(&trio.bulk, QBD_FRAME_WELCOME, NULL, 0, NULL, 0);
	expect_cut_off(test, &trio,
		       "malformed: frame type that does not belong on this connection");
	KUNIT_EXPECT_EQ(test, trio.pair[0]->replies + trio.pair[0]->requests, 0);
	trio_destroy(test, &trio);
}

struct append_part {
	struct qbd_frame_append append;
	struct qbd_record_header header;
} __packed;

/* A record whose chain, data or place is wrong never gets to the replica. */
static void bad_records_cut_the_member_off(struct kunit *test)
{
	struct append_part *fixed = kunit_kzalloc(test, sizeof(*fixed), GFP_KERNEL);
	struct qbd_record *record;
	struct trio trio = {};
	struct qbd_frame_header header;
	u32 bytes, i;

	KUNIT_ASSERT_NOT_NULL(test, fixed);
	trio_create(test, &trio);
	record = rig_record(trio.third, 5, 1, 1);
	KUNIT_ASSERT_NOT_NULL(test, record);
	fixed->append.leader_term = cpu_to_le64(3);
	fixed->append.previous_index = cpu_to_le64(4);
	memcpy(&fixed->header, record->header, sizeof(fixed->header));
	bytes = sizeof(fixed->append) + qbd_record_header_bytes(1);
	for (i = 0; i < 3; i++) {
		trio_connect(test, &trio, i + 1);
		if (i == 1)
			fixed->header.shared.chain ^= cpu_to_le32(1);
		if (i == 2) {
			fixed->header.shared.chain ^= cpu_to_le32(1);
			((u8 *)page_address(record->pages[0]))[77] ^= 1;
		}
		qbd_frame_seal(&header, QBD_FRAME_APPEND, bytes, 1, trio.bulk.sent++,
			       qbd_crc32c(~0u, fixed, bytes), 0);
		rig_raw_send(&trio.bulk, &header, sizeof(header));
		rig_raw_send(&trio.bulk, fixed, bytes);
		rig_raw_send(&trio.bulk, page_address(record->pages[0]), QBD_BLOCK_SIZE);
		if (!i) {
			KUNIT_EXPECT_TRUE(test, rig_until(trio.pair[0]->appends == 1));
			trio_disconnect(&trio);
			KUNIT_EXPECT_TRUE(test, rig_until(!trio.pair[0]->up[3]));
			continue;
		}
		KUNIT_EXPECT_TRUE(test, rig_until(!trio.pair[0]->up[3]));
		KUNIT_EXPECT_NOT_NULL(test, strstr(trio.pair[0]->down_reason,
						   "malformed"));
		trio_disconnect(&trio);
	}
	KUNIT_EXPECT_EQ(test, trio.pair[0]->appends, 1);
	qbd_record_put(record);
	trio_destroy(test, &trio);
}

/* Cut off in the middle of data: what it had claimed comes back. */
static void a_frame_cut_short_costs_nothing(struct kunit *test)
{
	struct qbd_frame_reply reply = { .count = cpu_to_le32(200) };
	struct qbd_frame_header header;
	struct trio trio = {};
	u8 *block = kunit_kzalloc(test, QBD_BLOCK_SIZE, GFP_KERNEL);
	u32 all;

	KUNIT_ASSERT_NOT_NULL(test, block);
	trio_create(test, &trio);
	all = qbd_pool_pages_free(trio.pair[0]->pool);
	trio_connect(test, &trio, 1);
	qbd_frame_seal(&header, QBD_FRAME_REPLY, sizeof(reply), 200, trio.bulk.sent,
		       qbd_crc32c(~0u, &reply, sizeof(reply)), 0);
	rig_raw_send(&trio.bulk, &header, sizeof(header));
	rig_raw_send(&trio.bulk, &reply, sizeof(reply));
	rig_raw_send(&trio.bulk, block, QBD_BLOCK_SIZE);
	trio_disconnect(&trio);
	KUNIT_EXPECT_TRUE(test, rig_until(!trio.pair[0]->up[3]));
	KUNIT_EXPECT_EQ(test, trio.pair[0]->replies, 0);
	rig_member_stop(trio.pair[0]);
	KUNIT_EXPECT_EQ(test, qbd_pool_pages_free(trio.pair[0]->pool), all);
	rig_pair_destroy(trio.pair);
	rig_member_destroy(trio.third);
}

static void silence_is_noticed(struct kunit *test)
{
	struct trio trio = {};
	unsigned long start;
	int i;

	trio_create(test, &trio);
	for (i = 0; i < 2; i++) {
		mutex_lock(&trio.pair[i]->context);
		qbd_net_set_silence_limit(trio.pair[i]->net, 300);
		mutex_unlock(&trio.pair[i]->context);
	}
	start = jiffies;
	trio_connect(test, &trio, 1);
	KUNIT_EXPECT_TRUE(test, rig_until(!trio.pair[0]->up[3]));
	KUNIT_EXPECT_TRUE(test, time_after_eq(jiffies, start + msecs_to_jiffies(300)));
	KUNIT_EXPECT_NOT_NULL(test, strstr(trio.pair[0]->down_reason, "silent for"));
	/* The other two had nothing to say either, and stay. */
	trio_destroy(test, &trio);
}

static u64 frames_from(struct rig_member *member, u32 peer)
{
	struct qbd_net_peer_status status;

	mutex_lock(&member->context);
	qbd_net_peer_status(member->net, peer, &status);
	mutex_unlock(&member->context);
	return status.received_frames;
}

/* Who bears long silence himself must not try the patience of who does not. */
static void silence_limits_may_differ(struct kunit *test)
{
	unsigned long deadline = jiffies + RIG_SECONDS * HZ;
	struct rig_member *pair[2];
	u64 before;
	int i;

	rig_pair(test, pair);
	for (i = 0; i < 2; i++) {
		mutex_lock(&pair[i]->context);
		qbd_net_set_silence_limit(pair[i]->net, i ? 40000 : 1000);
		mutex_unlock(&pair[i]->context);
	}
	/* More pings than one limit has room for, were they a quarter of it apart. */
	before = frames_from(pair[0], 2);
	while (frames_from(pair[0], 2) < before + 8 && !pair[0]->downs &&
	       time_before(jiffies, deadline))
		msleep(20);
	KUNIT_EXPECT_GE(test, frames_from(pair[0], 2), before + 8);
	KUNIT_EXPECT_EQ(test, pair[0]->downs + pair[1]->downs, 0);
	rig_pair_destroy(pair);
}

/* The same member again, while its old pair stands: the new one counts. */
static void a_new_pair_takes_the_old_ones_place(struct kunit *test)
{
	struct trio trio = {}, newer = {};
	unsigned int downs;

	trio_create(test, &trio);
	trio_connect(test, &trio, 1);
	downs = trio.pair[0]->downs;
	newer.pair[0] = trio.pair[0];
	KUNIT_ASSERT_EQ(test, rig_raw_handshake(&newer.control, trio.pair[0], 3,
						QBD_CONNECTION_CONTROL, 2), 0);
	KUNIT_EXPECT_TRUE(test, rig_until(trio.pair[0]->downs == downs + 1));
	KUNIT_EXPECT_STREQ(test, trio.pair[0]->down_reason, "it connected anew");
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&trio.control));
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&trio.bulk));
	KUNIT_ASSERT_EQ(test, rig_raw_handshake(&newer.bulk, trio.pair[0], 3,
						QBD_CONNECTION_BULK, 2), 0);
	KUNIT_EXPECT_TRUE(test, rig_until(trio.pair[0]->up[3]));
	trio_disconnect(&newer);
	trio_destroy(test, &trio);
}

/* Connections of different attempts are no pair. */
static void only_one_attempt_makes_a_pair(struct kunit *test)
{
	struct trio trio = {};

	trio_create(test, &trio);
	KUNIT_ASSERT_EQ(test, rig_raw_handshake(&trio.control, trio.pair[0], 3,
						QBD_CONNECTION_CONTROL, 1), 0);
	KUNIT_ASSERT_EQ(test, rig_raw_handshake(&trio.bulk, trio.pair[0], 3,
						QBD_CONNECTION_BULK, 2), 0);
	/* The older one is closed, the newer one ends when its twin is overdue. */
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&trio.control));
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&trio.bulk));
	KUNIT_EXPECT_EQ(test, trio.pair[0]->ups, 1);
	trio_destroy(test, &trio);
}

/* ---- what was said before ------------------------------------------------ */

static struct qbd_connection *connection_to(struct rig_member *member, u32 id,
					    enum qbd_connection_kind kind)
{
	struct qbd_net_peer *peer = qbd_net_peer_find(member->net, id);

	return peer ? peer->connections[qbd_kind_index(kind)] : NULL;
}

/* One that has proved to be from @id, as the handshake asks about it. */
static struct qbd_connection *proved(struct kunit *test, struct rig_member *member, u32 id)
{
	struct qbd_connection *connection = kunit_kzalloc(test, sizeof(*connection), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, connection);
	connection->net = member->net;
	connection->peer = id;
	connection->kind = QBD_CONNECTION_CONTROL;
	return connection;
}

/* Of what follows nobody is told: look again and again. */
static bool it_waits(const struct qbd_connection *connection)
{
	unsigned long deadline = jiffies + RIG_SECONDS * HZ;

	while (!READ_ONCE(connection->receiver_waits) && time_before(jiffies, deadline))
		usleep_range(1000, 2000);
	return READ_ONCE(connection->receiver_waits);
}

static bool it_waited(const struct qbd_connection *connection, unsigned long moment)
{
	unsigned long deadline = jiffies + RIG_SECONDS * HZ;

	while (!time_after(READ_ONCE(connection->waited_at), moment) &&
	       time_before(jiffies, deadline))
		msleep(20);
	return time_after(READ_ONCE(connection->waited_at), moment);
}

static void wait_past(unsigned long moment)
{
	while (!time_after(jiffies, moment))
		msleep(20);
}

static void say_something(struct kunit *test, struct rig_raw *raw,
			  struct qbd_connection *heard_by)
{
	u64 before = READ_ONCE(heard_by->received_frames);
	unsigned long deadline = jiffies + RIG_SECONDS * HZ;

	rig_raw_frame(raw, QBD_FRAME_PING, NULL, 0, NULL, 0);
	while (READ_ONCE(heard_by->received_frames) == before && time_before(jiffies, deadline))
		usleep_range(1000, 2000);
	KUNIT_EXPECT_GT(test, READ_ONCE(heard_by->received_frames), before);
}

/* Until the one that is connected was heard long enough after another run came. */
static void expect_noticed(struct kunit *test, struct trio *trio, struct qbd_connection *other)
{
	struct qbd_connection *heard_by = connection_to(trio->pair[0], 3, QBD_CONNECTION_CONTROL);
	unsigned long deadline = jiffies + RIG_SECONDS * HZ;
	enum qbd_twice verdict;

	do {
		msleep(20);
		say_something(test, &trio->control, heard_by);
		verdict = qbd_peer_is_twice(other);
	} while (verdict == QBD_TWICE_PERHAPS && time_before(jiffies, deadline));
	KUNIT_EXPECT_EQ(test, verdict, QBD_TWICE_SURE);
}

/*
 * 3 is not read from for a while: its replica does not poll. What it said comes when another
 * run of it is there: the first one may have ended since, so that there is only one.
 */
static void what_waited_to_be_read_is_no_second_say(struct kunit *test)
{
	struct qbd_frame_message message = {
		.type = cpu_to_le32(QBD_MESSAGE_HEARTBEAT), .from = cpu_to_le32(3),
		.to = cpu_to_le32(1),
	};
	struct qbd_connection *other, *control;
	struct rig_member *first;
	unsigned int round, i, sent = 0;
	struct trio trio = {};
	unsigned long long_after;

	trio_create(test, &trio);
	first = trio.pair[0];
	other = proved(test, first, 3);
	mutex_lock(&first->context);
	qbd_net_set_silence_limit(first->net, RIG_SECONDS * MSEC_PER_SEC);
	mutex_unlock(&first->context);
	trio_connect(test, &trio, 1);
	control = connection_to(first, 3, QBD_CONNECTION_CONTROL);
	KUNIT_ASSERT_NOT_NULL(test, control);
	for (round = 0; round < 3; round++) {
		other->peer_hello.run = cpu_to_le64(7 + round);
		say_something(test, &trio.control, control);
		long_after = jiffies + msecs_to_jiffies(QBD_ALIVE_MS);
		KUNIT_EXPECT_EQ(test, qbd_peer_is_twice(other), QBD_TWICE_PERHAPS);
		/* When it has just begun to wait, while it does, when all of it was read. */
		if (round == 0)
			wait_past(long_after);
		rig_hold(first, true);
		for (i = 0; i < 2 * QBD_RING_FRAMES; i++, sent++)
			rig_raw_frame(&trio.control, QBD_FRAME_MESSAGE, &message,
				      sizeof(message), NULL, 0);
		if (round == 0)
			KUNIT_EXPECT_TRUE(test, it_waits(control));
		else
			KUNIT_EXPECT_TRUE(test, it_waited(control, long_after));
		if (round < 2)
			KUNIT_EXPECT_EQ(test, qbd_peer_is_twice(other), QBD_TWICE_PERHAPS);
		rig_hold(first, false);
		KUNIT_EXPECT_TRUE(test, rig_until(first->messages == sent));
		KUNIT_EXPECT_EQ(test, qbd_peer_is_twice(other), QBD_TWICE_PERHAPS);
		/* What it says from now on is one. */
		expect_noticed(test, &trio, other);
	}
	trio_destroy(test, &trio);
}

/* ---- what members say of this one ------------------------------------------ */

/* Strangers have filled the queue of refusals, and nobody's line goes into the log. */
static void what_a_member_proved_is_told(struct kunit *test)
{
	static const u32 reasons[] = {
		QBD_REFUSED_TWICE, QBD_REFUSED_REMOVED, QBD_REFUSED_PERHAPS,
	};
	struct rig_member *pair[2];
	u32 wanted = 0;
	int i;

	rig_pair(test, pair);
	rig_hold(pair[0], true);
	for (i = 0; i < QBD_REFUSALS; i++)
		KUNIT_EXPECT_EQ(test, try_hello(test, pair[0], from_a_stranger),
				QBD_REFUSED_MEMBER);
	KUNIT_EXPECT_EQ(test, pair[0]->net->refusal_count, QBD_REFUSALS);
	while (__ratelimit(&pair[0]->net->log_limit))
		;
	for (i = 0; i < ARRAY_SIZE(reasons); i++) {
		qbd_peer_refused(proved(test, pair[0], 2), reasons[i], false);
		wanted |= BIT(reasons[i]);
	}
	rig_hold(pair[0], false);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->told[2] == wanted));
	KUNIT_EXPECT_EQ(test, pair[0]->told[0], 0);
	/* Each once. */
	KUNIT_EXPECT_EQ(test, pair[0]->refusals, QBD_REFUSALS + 2);
	KUNIT_EXPECT_EQ(test, pair[0]->asked_again, 1);
	rig_pair_destroy(pair);
}

/* What this member has just said of that one is not what that one says of it. */
static void what_was_said_of_a_member_is_not_what_it_says(struct kunit *test)
{
	struct qbd_connection *connection;
	struct rig_member *pair[2];

	rig_pair(test, pair);
	connection = proved(test, pair[0], 2);
	qbd_peer_refused(connection, QBD_REFUSED_TWICE, true);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->refusals == 1));
	KUNIT_EXPECT_EQ(test, pair[0]->told[2], 0);
	qbd_peer_refused(connection, QBD_REFUSED_TWICE, false);
	rig_hold(pair[0], false);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->told[2] == BIT(QBD_REFUSED_TWICE)));
	/* The same once more is no news. */
	qbd_peer_refused(connection, QBD_REFUSED_TWICE, false);
	mutex_lock(&pair[0]->context);
	qbd_net_poll(pair[0]->net);
	mutex_unlock(&pair[0]->context);
	KUNIT_EXPECT_EQ(test, pair[0]->refusals, 2);
	rig_pair_destroy(pair);
}

/* Said when this member has just heard that the other one is none any more. */
static void says_twice(struct rig_member *member, u32 peer)
{
	qbd_peer_refused(member->test->priv, QBD_REFUSED_TWICE, false);
	member->hold = true;
}

/* Neither is it lost with its slot, nor has who takes that said it. */
static void what_a_member_proved_is_no_others_word(struct kunit *test)
{
	struct rig_member *pair[2], *fifth;
	struct qbd_net_peer *slot;

	rig_pair(test, pair);
	slot = qbd_net_peer_find(pair[0]->net, 2);
	test->priv = proved(test, pair[0], 2);
	fifth = rig_member_create(test, 5);
	pair[0]->on_down = says_twice;
	rig_set_members(pair[0], pair, 1);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->downs == 1));
	rig_set_members(pair[0], (struct rig_member *[]){ pair[0], fifth }, 2);
	rig_hold(pair[0], false);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->told[2] == BIT(QBD_REFUSED_TWICE)));
	KUNIT_EXPECT_EQ(test, pair[0]->told[0] | pair[0]->told[5], 0);
	KUNIT_EXPECT_TRUE(test, rig_until(!READ_ONCE(slot->id)));
	rig_member_destroy(fifth);
	rig_pair_destroy(pair);
}

/* ---- data that does not get through ---------------------------------------- */

static void all_three_destroy(struct rig_member *members[3])
{
	int i;

	for (i = 0; i < 3; i++)
		rig_member_destroy(members[i]);
}

/* As the watching work does when data to @id is not acknowledged. */
static void stall(struct kunit *test, struct rig_member *member, u32 id)
{
	struct qbd_connection *bulk;

	mutex_lock(&member->context);
	bulk = connection_to(member, id, QBD_CONNECTION_BULK);
	if (bulk) {
		qbd_peer_stall(bulk);
		qbd_connection_close(bulk, "data not acknowledged");
	}
	mutex_unlock(&member->context);
	KUNIT_ASSERT_NOT_NULL(test, bulk);
}

/* 2 dials 1, and is dialled by 3: neither is connected before its time. */
static void who_is_stalled_is_left_alone(struct kunit *test)
{
	unsigned long until[4], begin = jiffies;
	struct rig_member *members[3], *second;
	struct qbd_net_peer *peer;
	u32 id;

	rig_all(test, members, 3);
	second = members[1];
	for (id = 1; id <= 3; id += 2) {
		stall(test, second, id);
		peer = qbd_net_peer_find(second->net, id);
		KUNIT_EXPECT_TRUE(test, peer->stalled);
		until[id] = peer->stalled_until;
		KUNIT_EXPECT_TRUE(test, time_after_eq(until[id], begin +
						      msecs_to_jiffies(QBD_STALL_MS)));
	}
	KUNIT_EXPECT_TRUE(test, rig_until(second->downs == 2));
	KUNIT_EXPECT_TRUE(test, rig_until(second->up[1] && second->up[3]));
	for (id = 1; id <= 3; id += 2) {
		peer = qbd_net_peer_find(second->net, id);
		KUNIT_EXPECT_TRUE(test, time_after_eq(peer->up_since, until[id]));
		KUNIT_EXPECT_FALSE(test, peer->stalled);
	}
	/* The others have nothing to do with it. */
	KUNIT_EXPECT_TRUE(test, members[0]->up[3] && members[2]->up[1]);
	KUNIT_EXPECT_EQ(test, members[0]->downs, 1);
	KUNIT_EXPECT_EQ(test, members[2]->downs, 1);
	all_three_destroy(members);
}

/* Who has long election timeouts is left alone for longer, and not at another address. */
static void how_long_who_is_stalled_is_left_alone(struct kunit *test)
{
	struct qbd_net_peer *peer;
	struct rig_member *first;
	struct trio trio = {};
	unsigned long left;

	trio_create(test, &trio);
	first = trio.pair[0];
	mutex_lock(&first->context);
	qbd_net_set_silence_limit(first->net, 2 * QBD_STALL_MS);
	mutex_unlock(&first->context);
	trio_connect(test, &trio, 1);
	peer = qbd_net_peer_find(first->net, 3);
	stall(test, first, 3);
	KUNIT_EXPECT_TRUE(test, peer->stalled);
	left = peer->stalled_until - jiffies;
	KUNIT_EXPECT_GT(test, left, msecs_to_jiffies(2 * QBD_STALL_MS));
	KUNIT_EXPECT_LE(test, left, msecs_to_jiffies(2 * QBD_STALL_MS + QBD_STALL_MORE_MS));
	KUNIT_EXPECT_TRUE(test, rig_until(!first->up[3]));
	trio_disconnect(&trio);
	KUNIT_EXPECT_EQ(test, rig_raw_handshake(&trio.control, first, 3, QBD_CONNECTION_CONTROL,
						2), -EPROTO);
	trio_disconnect(&trio);
	rig_member_address(trio.third, "127.0.0.33", RIG_PORT);
	rig_set_members(first, (struct rig_member *[]){ first, trio.pair[1], trio.third }, 3);
	trio_connect(test, &trio, 3);
	trio_destroy(test, &trio);
}

static void who_is_heard_said_something_just_now(struct kunit *test)
{
	struct qbd_connection *control, *bulk;
	struct rig_member *first;
	struct trio trio = {};

	trio_create(test, &trio);
	first = trio.pair[0];
	mutex_lock(&first->context);
	qbd_net_set_silence_limit(first->net, RIG_SECONDS * MSEC_PER_SEC);
	mutex_unlock(&first->context);
	trio_connect(test, &trio, 1);
	control = connection_to(first, 3, QBD_CONNECTION_CONTROL);
	bulk = connection_to(first, 3, QBD_CONNECTION_BULK);
	KUNIT_ASSERT_TRUE(test, control && bulk);
	say_something(test, &trio.control, control);
	KUNIT_EXPECT_TRUE(test, qbd_peer_is_heard(bulk));
	wait_past(READ_ONCE(control->last_received) + msecs_to_jiffies(QBD_WATCH_BULK_MS));
	KUNIT_EXPECT_FALSE(test, qbd_peer_is_heard(bulk));
	KUNIT_EXPECT_FALSE(test, qbd_peer_is_heard(proved(test, first, 4)));
	trio_destroy(test, &trio);
}

/* Larger packets of 1 and to it are lost. */
#define NARROW		1500

/* @priv: bool, nothing gets through between 1 and 3 */
static unsigned int lose(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	u32 from = ntohl(ip_hdr(skb)->saddr) & 0xff;
	u32 to = ntohl(ip_hdr(skb)->daddr) & 0xff;
	const bool *cut = priv;

	if (from != 1 && to != 1)
		return NF_ACCEPT;
	if (skb->len > NARROW || (READ_ONCE(*cut) && (from == 3 || to == 3)))
		return NF_DROP;
	return NF_ACCEPT;
}

static struct nf_hook_ops narrow = {
	.hook = lose,
	.pf = NFPROTO_IPV4,
	.hooknum = NF_INET_LOCAL_IN,
};

static void widen(void *ops)
{
	nf_unregister_net_hook(&init_net, ops);
}

static void send_a_record(struct kunit *test, struct rig_member *member, u32 to)
{
	struct qbd_record *record = rig_record(member, 1, 1, 4);

	KUNIT_ASSERT_NOT_NULL(test, record);
	KUNIT_EXPECT_EQ(test, rig_send_record(member, to, record), 0);
	qbd_record_put(record);
}

/*
 * 2 is heard all the time that data for it is not acknowledged. 3 is not, for some seconds:
 * that it was cut off explains why data is not acknowledged.
 */
static void who_was_cut_off_is_not_stalled(struct kunit *test)
{
	struct rig_member *members[3], *first;
	struct qbd_connection *control;
	unsigned long deadline, healed;
	static bool cut;
	int i;

	rig_all(test, members, 3);
	first = members[0];
	for (i = 0; i < 3; i++) {
		mutex_lock(&members[i]->context);
		qbd_net_set_silence_limit(members[i]->net, 2 * RIG_SECONDS * MSEC_PER_SEC);
		mutex_unlock(&members[i]->context);
	}
	control = connection_to(first, 3, QBD_CONNECTION_CONTROL);
	KUNIT_ASSERT_NOT_NULL(test, control);
	cut = true;
	narrow.priv = &cut;
	KUNIT_ASSERT_EQ(test, nf_register_net_hook(&init_net, &narrow), 0);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, widen, &narrow), 0);
	send_a_record(test, first, 2);
	send_a_record(test, first, 3);
	wait_past(READ_ONCE(control->last_received) + msecs_to_jiffies(3 * QBD_WATCH_BULK_MS));
	KUNIT_EXPECT_FALSE(test, first->downs);
	WRITE_ONCE(cut, false);
	healed = jiffies;
	deadline = healed + RIG_SECONDS * HZ;
	while (!time_after(READ_ONCE(control->last_received), healed) &&
	       time_before(jiffies, deadline))
		msleep(20);
	KUNIT_EXPECT_FALSE(test, first->downs);
	KUNIT_EXPECT_TRUE(test, rig_until(first->downs == 2));
	KUNIT_EXPECT_STREQ(test, first->down_reason, "data not acknowledged for 8000 ms");
	KUNIT_EXPECT_TRUE(test, qbd_net_peer_find(first->net, 2)->stalled);
	KUNIT_EXPECT_FALSE(test, qbd_net_peer_find(first->net, 3)->stalled);
	kunit_release_action(test, widen, &narrow);
	all_three_destroy(members);
}

static struct kunit_case net_peers_cases[] = {
	KUNIT_CASE(a_wrong_secret_is_told),
	KUNIT_CASE(another_device_is_told),
	KUNIT_CASE(another_disk_is_told),
	KUNIT_CASE(another_disk_is_not_dialled),
	KUNIT_CASE(a_member_that_is_up_twice),
	KUNIT_CASE_SLOW(a_member_that_is_dialled_is_up_twice),
	KUNIT_CASE(what_is_known_is_said),
	KUNIT_CASE(a_newer_list_names_it),
	KUNIT_CASE(a_newcomer_becomes_a_member),
	KUNIT_CASE(many_come_and_go_in_one_pass),
	KUNIT_CASE(others_are_no_newcomers),
	KUNIT_CASE(past_lists_move_nobody),
	KUNIT_CASE(who_was_removed_is_told),
	KUNIT_CASE(who_was_removed_is_quiet),
	KUNIT_CASE(a_stranger_is_not_told_who_was_removed),
	KUNIT_CASE(only_a_member_says_who_was_removed),
	KUNIT_CASE(many_newcomers_come_and_go),
	KUNIT_CASE(hellos_are_refused_with_a_reason),
	KUNIT_CASE(the_wrong_side_may_not_dial),
	KUNIT_CASE(only_the_secret_proves),
	KUNIT_CASE(strangers_harm_nobody),
	KUNIT_CASE(the_oldest_strangers_are_sent_away),
	KUNIT_CASE(a_stranger_is_sent_away_while_it_is_accepted),
	KUNIT_CASE(strangers_do_not_keep_members_out),
	KUNIT_CASE(malformed_frames_cut_the_member_off),
	KUNIT_CASE(bad_records_cut_the_member_off),
	KUNIT_CASE(a_frame_cut_short_costs_nothing),
	KUNIT_CASE(silence_is_noticed),
	KUNIT_CASE(silence_limits_may_differ),
	KUNIT_CASE(a_new_pair_takes_the_old_ones_place),
	KUNIT_CASE(only_one_attempt_makes_a_pair),
	KUNIT_CASE_SLOW(what_waited_to_be_read_is_no_second_say),
	KUNIT_CASE(what_a_member_proved_is_told),
	KUNIT_CASE(what_was_said_of_a_member_is_not_what_it_says),
	KUNIT_CASE(what_a_member_proved_is_no_others_word),
	KUNIT_CASE_SLOW(who_is_stalled_is_left_alone),
	KUNIT_CASE(how_long_who_is_stalled_is_left_alone),
	KUNIT_CASE(who_is_heard_said_something_just_now),
	KUNIT_CASE_SLOW(who_was_cut_off_is_not_stalled),
	{}
};

static struct kunit_suite net_peers_suite = {
	.name = "net_peers",
	.test_cases = net_peers_cases,
};

kunit_test_suite(net_peers_suite);
