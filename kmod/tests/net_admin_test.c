// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that know the secret: they are answered, they are few, they keep to what is
 * theirs, and they hold nobody up.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "../net/frame.h"
#include "net_rig.h"

/* A page as rig_fill_page() makes it, for what is sent and what is received. */
struct page_of {
	u32 words[QBD_BLOCK_SIZE / sizeof(u32)];
};

static struct page_of *page_alloc(struct kunit *test, u32 number)
{
	struct page_of *page = kunit_kzalloc(test, sizeof(*page), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	rig_fill_page(page, number);
	return page;
}

static int ask(struct rig_raw *raw, u32 kind, u64 sequence, const void *page)
{
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(kind), .count = cpu_to_le32(page ? 1 : 0),
		.sequence = cpu_to_le64(sequence), .session = cpu_to_le64(4711),
	};

	return rig_raw_frame(raw, QBD_FRAME_REQUEST, &request, sizeof(request), page,
			     page ? 1 : 0);
}

/* The next frame has to be a good REPLY; its data, if any, in @page. */
static bool answered(struct rig_raw *raw, u32 sequence, struct qbd_frame_reply *reply,
		     void *page)
{
	struct qbd_frame_header header;
	const char *reason;
	u32 blocks;

	if (rig_raw_receive(raw, &header, sizeof(header)) != sizeof(header) ||
	    !qbd_frame_header_check(&header, QBD_PHASE_ANSWER, sequence, &reason) ||
	    rig_raw_receive(raw, reply, sizeof(*reply)) != sizeof(*reply) ||
	    !qbd_frame_fixed_check(&header, QBD_PHASE_ANSWER, reply, RIG_DEVICE_BLOCKS,
				   &reason))
		return false;
	blocks = le32_to_cpu(header.data_blocks);
	return !blocks ||
	       (rig_raw_receive(raw, page, QBD_BLOCK_SIZE) == QBD_BLOCK_SIZE &&
		qbd_crc32c(~0u, page, QBD_BLOCK_SIZE) == le32_to_cpu(header.data_checksum));
}

static struct rig_member *one_member(struct kunit *test)
{
	struct rig_member *member = rig_member_create(test, 1);

	rig_member_start(member);
	return member;
}

static int program(struct rig_raw *raw, struct rig_member *to)
{
	return rig_raw_handshake(raw, to, 0, QBD_CONNECTION_ADMIN, 99);
}

/* One that has just gone may still be counted: until it is not. */
static bool let_in(struct rig_raw *raw, struct rig_member *to)
{
	unsigned long deadline = jiffies + RIG_SECONDS * HZ;

	while (program(raw, to)) {
		rig_raw_close(raw);
		if (time_after(jiffies, deadline))
			return false;
		usleep_range(1000, 2000);
	}
	return true;
}

/* ---- answers ------------------------------------------------------------ */

static void a_program_is_answered(struct kunit *test)
{
	struct page_of *page = page_alloc(test, 0), *wanted = page_alloc(test, 0);
	struct rig_member *member = one_member(test);
	struct qbd_frame_reply reply;
	struct rig_raw raw;
	u32 i, frames = 1;	/* CHALLENGE; WELCOME */

	KUNIT_ASSERT_EQ(test, program(&raw, member), 0);
	for (i = 1; i <= 10; i++) {
		KUNIT_EXPECT_EQ(test, ask(&raw, QBD_REQUEST_DESCRIBE, i, NULL), 0);
		KUNIT_ASSERT_TRUE(test, answered(&raw, ++frames, &reply, page));
		KUNIT_EXPECT_EQ(test, le32_to_cpu(reply.status), QBD_REPLY_OK);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(reply.sequence), i);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(reply.session), 4711);
		rig_fill_page(wanted, i);
		KUNIT_EXPECT_EQ(test, memcmp(page, wanted, sizeof(*page)), 0);
		rig_fill_page(page, 100 + i);
		KUNIT_EXPECT_EQ(test, ask(&raw, QBD_REQUEST_CHANGE, 100 + i, page), 0);
		KUNIT_ASSERT_TRUE(test, answered(&raw, ++frames, &reply, page));
		KUNIT_EXPECT_EQ(test, le32_to_cpu(reply.status), QBD_REPLY_REFUSED);
		KUNIT_EXPECT_EQ(test, le32_to_cpu(reply.detail), QBD_CHANGE_OUTDATED);
		KUNIT_EXPECT_EQ(test, le32_to_cpu(reply.member), 7);
		KUNIT_EXPECT_EQ(test, reply.count, 0);
	}
	KUNIT_EXPECT_EQ(test, member->asked, 20);
	KUNIT_EXPECT_FALSE(test, member->data_bad);
	rig_raw_close(&raw);
	rig_member_destroy(member);
}

/* Asked all at once: one after the other, in order, and most of it is not read yet. */
static void requests_wait_for_answers(struct kunit *test)
{
	struct page_of *page = page_alloc(test, 0);
	struct rig_member *member = one_member(test);
	struct qbd_frame_reply reply;
	struct rig_raw raw;
	u32 i;

	member->mute = true;
	KUNIT_ASSERT_EQ(test, program(&raw, member), 0);
	for (i = 1; i <= 20; i++)
		KUNIT_EXPECT_EQ(test, ask(&raw, QBD_REQUEST_DESCRIBE, i, NULL), 0);
	KUNIT_ASSERT_TRUE(test, rig_until(member->asked == 1));
	for (i = 1; i <= 20; i++) {
		KUNIT_ASSERT_TRUE(test, rig_until(member->asked == i));
		mutex_lock(&member->context);
		KUNIT_EXPECT_EQ(test, member->asked, i);
		rig_answer(member);
		mutex_unlock(&member->context);
		KUNIT_ASSERT_TRUE(test, answered(&raw, i + 1, &reply, page));
		KUNIT_EXPECT_EQ(test, le64_to_cpu(reply.sequence), i);
	}
	rig_raw_close(&raw);
	rig_member_destroy(member);
}

/* Without pages a change is not lost, and not believed to be something else. */
static void without_memory_it_is_busy(struct kunit *test)
{
	struct page_of *page = page_alloc(test, 5);
	struct rig_member *member = one_member(test);
	struct qbd_buffer *taken[64];
	struct qbd_frame_reply reply;
	struct rig_raw raw;
	unsigned int count = 0, blocks = 256;

	while (blocks && count < ARRAY_SIZE(taken)) {
		taken[count] = qbd_buffer_alloc(member->pool, QBD_POOL_WRITE, blocks);
		if (taken[count])
			count++;
		else
			blocks /= 2;
	}
	KUNIT_ASSERT_EQ(test, program(&raw, member), 0);
	KUNIT_EXPECT_EQ(test, ask(&raw, QBD_REQUEST_CHANGE, 5, page), 0);
	KUNIT_ASSERT_TRUE(test, answered(&raw, 2, &reply, page));
	KUNIT_EXPECT_EQ(test, le32_to_cpu(reply.status), QBD_REPLY_BUSY);
	while (count)
		qbd_buffer_free(taken[--count]);
	KUNIT_EXPECT_EQ(test, ask(&raw, QBD_REQUEST_CHANGE, 5, page), 0);
	KUNIT_ASSERT_TRUE(test, answered(&raw, 3, &reply, page));
	KUNIT_EXPECT_EQ(test, le32_to_cpu(reply.status), QBD_REPLY_REFUSED);
	KUNIT_EXPECT_FALSE(test, member->data_bad);
	rig_raw_close(&raw);
	rig_member_destroy(member);
}

/* ---- who is let in ------------------------------------------------------ */

static u32 refusal_of(struct rig_raw *raw)
{
	struct qbd_frame_refused refused;

	if (rig_raw_receive_frame(raw, &refused, sizeof(refused)) != QBD_FRAME_REFUSED)
		return 0;
	return le32_to_cpu(refused.reason);
}

/* From HELLO, which @change may spoil, to a proof by @secret: why it is refused. */
static u32 try_program(struct kunit *test, struct rig_member *to,
		       void (*change)(struct qbd_frame_hello *hello), const u8 *secret)
{
	struct qbd_frame_challenge challenge;
	struct qbd_frame_proof proof;
	struct rig_raw raw;
	u32 reason;

	KUNIT_ASSERT_EQ(test, rig_raw_connect(&raw, to), 0);
	rig_raw_hello(&raw, to, 0, QBD_CONNECTION_ADMIN, 1);
	if (change)
		change(&raw.own);
	rig_raw_frame(&raw, QBD_FRAME_HELLO, &raw.own, sizeof(raw.own), NULL, 0);
	if (!change) {
		KUNIT_EXPECT_EQ(test, rig_raw_receive_frame(&raw, &challenge,
							    sizeof(challenge)),
				QBD_FRAME_CHALLENGE);
		raw.peer = challenge.hello;
		rig_raw_proof(&raw, secret, "qbd dialler", proof.proof);
		rig_raw_frame(&raw, QBD_FRAME_PROOF, &proof, sizeof(proof), NULL, 0);
	}
	reason = refusal_of(&raw);
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&raw));
	rig_raw_close(&raw);
	return reason;
}

static void as_a_member(struct qbd_frame_hello *hello)
{
	hello->from = cpu_to_le32(2);
}

static void for_a_member(struct qbd_frame_hello *hello)
{
	hello->to = cpu_to_le32(1);
}

static void of_another_device(struct qbd_frame_hello *hello)
{
	hello->uuid[0] ^= 1;
}

static void who_does_not_match_is_refused(struct kunit *test)
{
	struct rig_member *member = one_member(test);
	u8 secret[QBD_SECRET_SIZE];

	memcpy(secret, member->identity.secret, sizeof(secret));
	secret[0] ^= 1;
	KUNIT_EXPECT_EQ(test, try_program(test, member, NULL, secret), QBD_REFUSED_SECRET);
	KUNIT_EXPECT_EQ(test, try_program(test, member, as_a_member, secret),
			QBD_REFUSED_MEMBER);
	KUNIT_EXPECT_EQ(test, try_program(test, member, for_a_member, secret),
			QBD_REFUSED_MEMBER);
	KUNIT_EXPECT_EQ(test, try_program(test, member, of_another_device, secret),
			QBD_REFUSED_DEVICE);
	KUNIT_EXPECT_TRUE(test, rig_until(member->refusals));
	KUNIT_EXPECT_EQ(test, member->refused_peer, 0);
	KUNIT_EXPECT_EQ(test, member->asked, 0);
	rig_member_destroy(member);
}

/* The configuration is for members: whoever wants to join does not know it yet. */
static void it_need_not_know_the_configuration(struct kunit *test)
{
	struct rig_member *member = rig_member_create(test, 1);
	struct rig_raw raw;

	member->identity.configuration = 4;
	rig_member_start(member);
	KUNIT_EXPECT_EQ(test, program(&raw, member), 0);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(raw.peer.from), 1);
	KUNIT_EXPECT_EQ(test, raw.peer.to, 0);
	rig_raw_close(&raw);
	rig_member_destroy(member);
}

static void a_few_at_a_time(struct kunit *test)
{
	struct page_of *page = page_alloc(test, 0);
	struct rig_member *member = one_member(test);
	struct qbd_frame_reply reply;
	struct rig_raw raws[4], more;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(raws); i++)
		KUNIT_ASSERT_EQ(test, program(&raws[i], member), 0);
	KUNIT_EXPECT_EQ(test, try_program(test, member, NULL, member->identity.secret),
			QBD_REFUSED_BUSY);
	/* Those that are there do not feel it. */
	for (i = 0; i < ARRAY_SIZE(raws); i++) {
		KUNIT_EXPECT_EQ(test, ask(&raws[i], QBD_REQUEST_DESCRIBE, i, NULL), 0);
		KUNIT_EXPECT_TRUE(test, answered(&raws[i], 2, &reply, page));
		KUNIT_EXPECT_EQ(test, le64_to_cpu(reply.sequence), i);
	}
	rig_raw_close(&raws[1]);
	KUNIT_ASSERT_TRUE(test, let_in(&more, member));
	KUNIT_EXPECT_EQ(test, ask(&more, QBD_REQUEST_DESCRIBE, 8, NULL), 0);
	KUNIT_EXPECT_TRUE(test, answered(&more, 2, &reply, page));
	rig_raw_close(&more);
	for (i = 0; i < ARRAY_SIZE(raws); i++)
		rig_raw_close(&raws[i]);
	rig_member_destroy(member);
}

/* ---- rubbish and silence ------------------------------------------------ */

struct wrong_frame {
	u16 type;
	u32 bytes;
	u32 kind;
	bool data;
};

static const struct wrong_frame wrong_frames[] = {
	{ QBD_FRAME_REQUEST, sizeof(struct qbd_frame_request), QBD_REQUEST_READ, false },
	{ QBD_FRAME_REQUEST, sizeof(struct qbd_frame_request), QBD_REQUEST_WRITE, true },
	{ QBD_FRAME_REQUEST, sizeof(struct qbd_frame_request), QBD_REQUEST_ZERO, false },
	{ QBD_FRAME_REQUEST, sizeof(struct qbd_frame_request), QBD_REQUEST_LEADER_MOVE,
	  false },
	{ QBD_FRAME_REQUEST, sizeof(struct qbd_frame_request), QBD_REQUEST_DESCRIBE, true },
	{ QBD_FRAME_REQUEST, sizeof(struct qbd_frame_request), QBD_REQUEST_CHANGE, false },
	{ QBD_FRAME_REPLY, sizeof(struct qbd_frame_reply), 0, false },
	{ QBD_FRAME_MESSAGE, sizeof(struct qbd_frame_message), QBD_MESSAGE_HEARTBEAT, false },
	{ QBD_FRAME_PING, 0, 0, false },
	{ QBD_FRAME_FILL_END, sizeof(struct qbd_frame_fill_end), 0, false },
	{ QBD_FRAME_HELLO, sizeof(struct qbd_frame_hello), 0, false },
	{ QBD_FRAME_WELCOME, 0, 0, false },
};

static void they_keep_to_their_frames(struct kunit *test)
{
	struct page_of *page = page_alloc(test, 0);
	struct rig_member *pair[2];
	u8 fixed[QBD_FRAME_FIXED_MAX / 16];
	unsigned int i;

	rig_pair(test, pair);
	for (i = 0; i < ARRAY_SIZE(wrong_frames); i++) {
		const struct wrong_frame *wrong = &wrong_frames[i];
		struct rig_raw raw;

		KUNIT_ASSERT_TRUE(test, let_in(&raw, pair[0]));
		memset(fixed, 0, sizeof(fixed));
		((struct qbd_frame_request *)fixed)->kind = cpu_to_le32(wrong->kind);
		((struct qbd_frame_request *)fixed)->count =
			cpu_to_le32(wrong->kind ? 1 : 0);
		rig_raw_frame(&raw, wrong->type, fixed, wrong->bytes,
			      wrong->data ? page : NULL, wrong->data);
		KUNIT_EXPECT_TRUE_MSG(test, rig_raw_closed(&raw), "frame %u", i);
		rig_raw_close(&raw);
	}
	KUNIT_EXPECT_EQ(test, pair[0]->asked + pair[0]->requests + pair[0]->messages, 0);
	KUNIT_EXPECT_EQ(test, pair[0]->downs + pair[1]->downs, 0);
	rig_pair_destroy(pair);
}

static void silence_ends_it(struct kunit *test)
{
	struct page_of *page = page_alloc(test, 0);
	struct rig_member *member = one_member(test);
	struct qbd_frame_reply reply;
	unsigned long began;
	struct rig_raw raw;

	KUNIT_ASSERT_EQ(test, program(&raw, member), 0);
	KUNIT_EXPECT_EQ(test, ask(&raw, QBD_REQUEST_DESCRIBE, 1, NULL), 0);
	KUNIT_EXPECT_TRUE(test, answered(&raw, 2, &reply, page));
	began = jiffies;
	KUNIT_EXPECT_TRUE(test, rig_raw_closed(&raw));
	KUNIT_EXPECT_GE(test, jiffies_to_msecs(jiffies - began), QBD_ADMIN_IDLE_MS - 100);
	rig_raw_close(&raw);
	rig_member_destroy(member);
}

/* ---- ends --------------------------------------------------------------- */

/* The answer comes when nobody waits for it any more, or somebody else is there. */
static void an_answer_may_be_too_late(struct kunit *test)
{
	struct page_of *page = page_alloc(test, 0);
	struct rig_member *member = one_member(test);
	struct qbd_frame_reply reply;
	struct rig_raw first, second;

	member->mute = true;
	KUNIT_ASSERT_EQ(test, program(&first, member), 0);
	KUNIT_EXPECT_EQ(test, ask(&first, QBD_REQUEST_DESCRIBE, 1, NULL), 0);
	KUNIT_ASSERT_TRUE(test, rig_until(member->asked == 1));
	rig_raw_close(&first);
	KUNIT_ASSERT_EQ(test, program(&second, member), 0);
	mutex_lock(&member->context);
	rig_answer(member);
	mutex_unlock(&member->context);
	member->mute = false;
	KUNIT_EXPECT_EQ(test, ask(&second, QBD_REQUEST_DESCRIBE, 2, NULL), 0);
	KUNIT_ASSERT_TRUE(test, answered(&second, 2, &reply, page));
	KUNIT_EXPECT_EQ(test, le64_to_cpu(reply.sequence), 2);
	rig_raw_close(&second);
	rig_member_destroy(member);
}

/* However far it is, the member does not wait for it when it goes down. */
static void going_down_does_not_wait(struct kunit *test)
{
	struct page_of *page = page_alloc(test, 3);
	struct rig_member *member = rig_member_create(test, 1);
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(QBD_REQUEST_CHANGE), .count = cpu_to_le32(1),
	};
	struct qbd_frame_header header;
	struct rig_raw raw;
	unsigned long began;
	int i;

	member->mute = true;
	for (i = 0; i < 4; i++) {
		rig_member_start(member);
		member->asked = 0;
		KUNIT_ASSERT_EQ(test, program(&raw, member), 0);
		if (i == 1) {
			/* Half of a frame. */
			qbd_frame_seal(&header, QBD_FRAME_REQUEST, sizeof(request), 1, 2,
				       qbd_crc32c(~0u, &request, sizeof(request)), 0);
			rig_raw_send(&raw, &header, sizeof(header));
			rig_raw_send(&raw, &request, sizeof(request));
			rig_raw_send(&raw, page, QBD_BLOCK_SIZE / 2);
		} else if (i) {
			ask(&raw, QBD_REQUEST_CHANGE, 3, page);
			KUNIT_ASSERT_TRUE(test, rig_until(member->asked == 1));
		}
		if (i == 3)
			ask(&raw, QBD_REQUEST_CHANGE, 3, page);
		began = jiffies;
		rig_member_stop(member);
		KUNIT_EXPECT_LE(test, jiffies_to_msecs(jiffies - began), 2000);
		KUNIT_EXPECT_TRUE(test, rig_raw_closed(&raw));
		rig_raw_close(&raw);
	}
	KUNIT_EXPECT_FALSE(test, member->data_bad);
	rig_member_destroy(member);
}

static struct kunit_case net_admin_cases[] = {
	KUNIT_CASE(a_program_is_answered),
	KUNIT_CASE(requests_wait_for_answers),
	KUNIT_CASE(without_memory_it_is_busy),
	KUNIT_CASE(who_does_not_match_is_refused),
	KUNIT_CASE(it_need_not_know_the_configuration),
	KUNIT_CASE(a_few_at_a_time),
	KUNIT_CASE(they_keep_to_their_frames),
	KUNIT_CASE(silence_ends_it),
	KUNIT_CASE(an_answer_may_be_too_late),
	KUNIT_CASE(going_down_does_not_wait),
	{}
};

static struct kunit_suite net_admin_suite = {
	.name = "net_admin",
	.test_cases = net_admin_cases,
};

kunit_test_suite(net_admin_suite);
