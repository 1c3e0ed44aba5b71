// SPDX-License-Identifier: GPL-2.0
/* The network: members over loopback, and peers that do not behave. */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "net_rig.h"

/* ---- meeting ------------------------------------------------------------ */

static void two_members_meet(struct kunit *test)
{
	struct qbd_net_peer_status status;
	struct rig_member *pair[2];
	int i;

	rig_pair(test, pair);
	for (i = 0; i < 2; i++) {
		qbd_net_peer_status(pair[i]->net, 2 - i, &status);
		KUNIT_EXPECT_TRUE(test, status.control_up);
		KUNIT_EXPECT_TRUE(test, status.bulk_up);
		KUNIT_EXPECT_EQ(test, status.connects, 1);
		KUNIT_EXPECT_STREQ(test, status.last_error, "");
		KUNIT_EXPECT_EQ(test, pair[i]->ups, 1);
		KUNIT_EXPECT_EQ(test, pair[i]->downs, 0);
	}
	rig_pair_destroy(pair);
}

static void five_members_meet(struct kunit *test)
{
	struct rig_member *members[5];
	int i, k;

	for (i = 0; i < 5; i++) {
		members[i] = rig_member_create(test, i + 1);
		rig_member_start(members[i]);
	}
	for (i = 0; i < 5; i++)
		rig_set_members(members[i], members, 5);
	for (i = 0; i < 5; i++)
		for (k = 0; k < 5; k++)
			KUNIT_EXPECT_TRUE(test, i == k ||
					  rig_until(members[i]->up[k + 1]));
	for (i = 0; i < 5; i++)
		rig_member_destroy(members[i]);
}

static void ipv6_works(struct kunit *test)
{
	struct rig_member *pair[2];
	int i;

	for (i = 0; i < 2; i++) {
		pair[i] = rig_member_create(test, i + 1);
		rig_member_address(pair[i], "::1", RIG_PORT + i);
		rig_member_start(pair[i]);
	}
	for (i = 0; i < 2; i++)
		rig_set_members(pair[i], pair, 2);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->up[2] && pair[1]->up[1]));
	rig_pair_destroy(pair);
}

static void an_address_in_use_is_named(struct kunit *test)
{
	struct rig_member *first = rig_member_create(test, 1);
	struct rig_member *second = rig_member_create(test, 2);
	static const struct qbd_net_ops no_ops;
	struct qbd_net *net;
	char text[256] = "";

	rig_member_start(first);
	rig_member_address(second, "127.0.0.1", RIG_PORT);
	net = qbd_net_create(&init_net, &second->identity, second->pool, &no_ops, NULL,
			     text, sizeof(text));
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(net), -EADDRINUSE);
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "127.0.0.1:17911 is in use"));
	rig_member_address(second, "192.0.2.1", RIG_PORT);
	net = qbd_net_create(&init_net, &second->identity, second->pool, &no_ops, NULL,
			     text, sizeof(text));
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(net), -EADDRNOTAVAIL);
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "no address 192.0.2.1"));
	rig_member_destroy(first);
	rig_member_destroy(second);
}

/* ---- frames ------------------------------------------------------------- */

static void messages_arrive_field_by_field(struct kunit *test)
{
	struct qbd_core_message message = {
		.from = 1, .to = 2, .type = QBD_MESSAGE_APPEND_REPLY, .flags = 0x55,
		.term = 1, .index = 2, .log_term = 3, .commit = 4, .round = 5,
		.matched = 6, .durable = 7, .reject_index = 8, .hint_index = 9,
		.hint_term = 10, .timeout = 11,
	};
	struct rig_member *pair[2];

	rig_pair(test, pair);
	mutex_lock(&pair[0]->context);
	qbd_net_send_message(pair[0]->net, &message);
	mutex_unlock(&pair[0]->context);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->messages == 1));
	KUNIT_EXPECT_EQ(test, memcmp(&pair[1]->message, &message, sizeof(message)), 0);
	/* To nobody: silently nothing. */
	message.to = 6;
	mutex_lock(&pair[0]->context);
	qbd_net_send_message(pair[0]->net, &message);
	mutex_unlock(&pair[0]->context);
	rig_pair_destroy(pair);
}

/* Whatever is queued before it: room comes, and is told. */
static void send_record(struct kunit *test, struct rig_member *from, u32 to,
			struct qbd_record *record)
{
	int before, error;

	do {
		before = atomic_read(&from->kicks);
		error = rig_send_record(from, to, record);
		if (error == -EAGAIN)
			KUNIT_ASSERT_TRUE(test, rig_until(atomic_read(&from->kicks) !=
							  before));
	} while (error == -EAGAIN);
	KUNIT_ASSERT_EQ(test, error, 0);
}

static void records_arrive_in_order(struct kunit *test)
{
	static const u32 shapes[][2] = {
		{ 0, 0 }, { 1, 1 }, { 1, 256 }, { 82, 3 }, { 2, 128 }, { 5, 7 },
	};
	struct rig_member *pair[2];
	struct qbd_record *record;
	u64 index;

	rig_pair(test, pair);
	for (index = 1; index <= 60; index++) {
		record = rig_record(pair[0], index, shapes[index % 6][0],
				    shapes[index % 6][1]);
		KUNIT_ASSERT_NOT_NULL(test, record);
		send_record(test, pair[0], 2, record);
		qbd_record_put(record);
		/* The sender's pool holds few of the big ones. */
		KUNIT_ASSERT_TRUE(test, rig_until(pair[1]->appends + 4 >= index));
	}
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->appends == 60));
	KUNIT_EXPECT_FALSE(test, pair[1]->append_bad);
	KUNIT_EXPECT_EQ(test, pair[1]->downs, 0);
	rig_pair_destroy(pair);
}

static void send_simple(struct kunit *test, struct rig_member *from, u32 to,
			struct qbd_net_frame *frame)
{
	mutex_lock(&from->context);
	KUNIT_EXPECT_EQ(test, qbd_net_send(from->net, to, frame), 0);
	qbd_net_push(from->net, to);
	mutex_unlock(&from->context);
}

static struct qbd_buffer *filled_buffer(struct rig_member *member, u32 blocks, u32 base)
{
	struct qbd_buffer *buffer = qbd_buffer_alloc(member->pool, QBD_POOL_FORWARD, blocks);
	u32 i;

	KUNIT_ASSERT_NOT_NULL(member->test, buffer);
	for (i = 0; i < blocks; i++)
		rig_fill_page(page_address(buffer->pages[i]), base + i);
	return buffer;
}

static void every_other_frame_arrives(struct kunit *test)
{
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(QBD_REQUEST_READ), .count = cpu_to_le32(9),
		.sequence = cpu_to_le64(4),
	};
	struct qbd_frame_reply reply = {
		.sequence = cpu_to_le64(4), .count = cpu_to_le32(9),
	};
	struct qbd_frame_extent extent = {
		.block = cpu_to_le64(512), .count = cpu_to_le32(256),
	};
	struct qbd_frame_fill fill = { .count = cpu_to_le32(3) };
	struct qbd_frame_fill_end end = { .next_extent = cpu_to_le64(12) };
	struct qbd_frame_reset *reset = kunit_kzalloc(test, sizeof(*reset), GFP_KERNEL);
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REQUEST, .fixed = &request,
		.fixed_bytes = sizeof(request),
	};
	struct rig_member *pair[2];
	int i;

	KUNIT_ASSERT_NOT_NULL(test, reset);
	rig_pair(test, pair);
	send_simple(test, pair[1], 1, &frame);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->requests == 1));
	KUNIT_EXPECT_EQ(test, memcmp(&request, &pair[0]->request, sizeof(request)), 0);

	frame = (struct qbd_net_frame){
		.type = QBD_FRAME_REPLY, .fixed = &reply, .fixed_bytes = sizeof(reply),
		.buffer = filled_buffer(pair[0], 9, 4), .data_blocks = 9,
	};
	send_simple(test, pair[0], 2, &frame);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->replies == 1));
	KUNIT_EXPECT_EQ(test, memcmp(&reply, &pair[1]->reply, sizeof(reply)), 0);
	KUNIT_EXPECT_EQ(test, pair[1]->replies_starved, 0);

	frame = (struct qbd_net_frame){
		.type = QBD_FRAME_EXTENT, .fixed = &extent, .fixed_bytes = sizeof(extent),
		.buffer = filled_buffer(pair[0], 256, 512), .data_blocks = 256,
	};
	send_simple(test, pair[0], 2, &frame);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->extents == 1));
	KUNIT_EXPECT_EQ(test, memcmp(&extent, &pair[1]->extent, sizeof(extent)), 0);

	/* Several in a row: each waits until the one before it was looked at. */
	for (i = 1; i <= 3; i++) {
		reset->device_blocks = cpu_to_le64(RIG_DEVICE_BLOCKS);
	reset->membership.count = cpu_to_le32(i);
		frame = (struct qbd_net_frame){
			.type = QBD_FRAME_RESET, .fixed = reset,
			.fixed_bytes = sizeof(*reset),
		};
		send_simple(test, pair[0], 2, &frame);
	}
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->resets == 3));
	KUNIT_EXPECT_EQ(test, memcmp(reset, &pair[1]->reset, sizeof(*reset)), 0);

	KUNIT_EXPECT_TRUE(test, qbd_net_send_fill(pair[1]->net, 1, &fill));
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->fills == 1));
	KUNIT_EXPECT_EQ(test, memcmp(&fill, &pair[0]->fill, sizeof(fill)), 0);

	frame = (struct qbd_net_frame){
		.type = QBD_FRAME_FILL_END, .fixed = &end, .fixed_bytes = sizeof(end),
	};
	send_simple(test, pair[0], 2, &frame);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->fill_ends == 1));
	KUNIT_EXPECT_EQ(test, memcmp(&end, &pair[1]->fill_end, sizeof(end)), 0);
	KUNIT_EXPECT_FALSE(test, pair[0]->data_bad || pair[1]->data_bad);
	rig_pair_destroy(pair);
}

static void verifications_are_delivered(struct kunit *test)
{
	struct qbd_frame_verify verify = {
		.request = cpu_to_le64(3), .block = cpu_to_le64(9), .count = cpu_to_le32(256),
	};
	struct qbd_frame_verified verified = {
		.request = cpu_to_le64(3), .count = cpu_to_le32(4),
	};
	struct qbd_frame_repair repair = {
		.block = cpu_to_le64(70), .count = cpu_to_le32(4),
	};
	struct qbd_frame_repaired repaired = { .index = cpu_to_le64(11) };
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_VERIFY, .fixed = &verify, .fixed_bytes = sizeof(verify),
	};
	struct rig_member *pair[2];

	rig_pair(test, pair);
	send_simple(test, pair[1], 1, &frame);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->verifies == 1));
	KUNIT_EXPECT_EQ(test, memcmp(&verify, &pair[0]->verify, sizeof(verify)), 0);

	frame = (struct qbd_net_frame){
		.type = QBD_FRAME_VERIFIED, .fixed = &verified,
		.fixed_bytes = sizeof(verified),
		.buffer = filled_buffer(pair[0], 5, 3), .data_blocks = 5,
	};
	send_simple(test, pair[0], 2, &frame);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->verifieds == 1));
	KUNIT_EXPECT_EQ(test, memcmp(&verified, &pair[1]->verified, sizeof(verified)), 0);

	frame = (struct qbd_net_frame){
		.type = QBD_FRAME_REPAIR, .fixed = &repair, .fixed_bytes = sizeof(repair),
		.buffer = filled_buffer(pair[1], 4, 70), .data_blocks = 4,
	};
	send_simple(test, pair[1], 1, &frame);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->repairs == 1));
	KUNIT_EXPECT_EQ(test, memcmp(&repair, &pair[0]->repair, sizeof(repair)), 0);

	frame = (struct qbd_net_frame){
		.type = QBD_FRAME_REPAIRED, .fixed = &repaired,
		.fixed_bytes = sizeof(repaired),
	};
	send_simple(test, pair[0], 2, &frame);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->repaireds == 1));
	KUNIT_EXPECT_EQ(test, memcmp(&repaired, &pair[1]->repaired, sizeof(repaired)), 0);
	KUNIT_EXPECT_FALSE(test, pair[0]->data_bad || pair[1]->data_bad);
	rig_pair_destroy(pair);
}

/* ---- writes ------------------------------------------------------------- */

#define WRITE_BLOCKS	16u

/* A write of WRITE_BLOCKS blocks that hold @base and what follows it. */
static int send_write(struct rig_member *from, u32 to, u32 base)
{
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(QBD_REQUEST_WRITE),
		.count = cpu_to_le32(WRITE_BLOCKS),
		.sequence = cpu_to_le64(base),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REQUEST, .fixed = &request,
		.fixed_bytes = sizeof(request),
		.buffer = filled_buffer(from, WRITE_BLOCKS, base),
		.data_blocks = WRITE_BLOCKS,
	};
	int error;

	mutex_lock(&from->context);
	error = qbd_net_send(from->net, to, &frame);
	qbd_net_push(from->net, to);
	mutex_unlock(&from->context);
	if (error)
		qbd_buffer_free(frame.buffer);
	return error;
}

/* Whoever has copied the data knows its checksum; otherwise the network sees to it. */
static void writes_arrive_with_their_checksum(struct kunit *test)
{
	struct rig_member *pair[2];
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(QBD_REQUEST_WRITE), .count = cpu_to_le32(5),
		.sequence = cpu_to_le64(50),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REQUEST, .fixed = &request,
		.fixed_bytes = sizeof(request), .data_blocks = 5,
		.data_checksum = ~0u, .data_checksum_known = true,
	};
	u32 i;

	rig_pair(test, pair);
	KUNIT_EXPECT_EQ(test, send_write(pair[1], 1, 1000), 0);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->requests == 1));
	frame.buffer = filled_buffer(pair[1], 5, 50);
	for (i = 0; i < 5; i++)
		frame.data_checksum = qbd_crc32c(frame.data_checksum,
						 page_address(frame.buffer->pages[i]),
						 QBD_BLOCK_SIZE);
	send_simple(test, pair[1], 1, &frame);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->requests == 2));
	KUNIT_EXPECT_FALSE(test, pair[0]->data_bad);
	KUNIT_EXPECT_EQ(test, pair[0]->requests_starved, 0);
	rig_pair_destroy(pair);
}

/* ---- queues ------------------------------------------------------------- */

/* All pages of a class, taken and to be given back. */
struct taken {
	struct qbd_buffer *buffers[64];
	unsigned int count;
};

static void take_all(struct rig_member *member, enum qbd_pool_class class,
		     struct taken *taken)
{
	unsigned int blocks = 256;

	taken->count = 0;
	while (blocks && taken->count < ARRAY_SIZE(taken->buffers)) {
		taken->buffers[taken->count] = qbd_buffer_alloc(member->pool, class,
								blocks);
		if (taken->buffers[taken->count])
			taken->count++;
		else
			blocks /= 2;
	}
}

static void give_back(struct taken *taken)
{
	while (taken->count)
		qbd_buffer_free(taken->buffers[--taken->count]);
}

/* A record for which the first of the pair has no pages: it stops reading. */
static void block_receiver(struct kunit *test, struct rig_member *pair[2],
			   struct taken *taken)
{
	struct qbd_record *record = rig_record(pair[1], 1, 1, 1);

	KUNIT_ASSERT_NOT_NULL(test, record);
	take_all(pair[0], QBD_POOL_APPEND, taken);
	KUNIT_EXPECT_EQ(test, rig_send_record(pair[1], 1, record), 0);
	qbd_record_put(record);
}

/* With nobody reading, frames stay queued. */
static unsigned int fill_queue(struct kunit *test, struct rig_member *pair[2])
{
	unsigned int sent = 0;
	int error = 0;

	while (sent < 2000 && !error) {
		error = send_write(pair[1], 1, 1000);
		if (!error)
			sent++;
	}
	KUNIT_EXPECT_EQ(test, error, -EAGAIN);
	return sent;
}

static void a_full_queue_says_when_it_is_not(struct kunit *test)
{
	struct qbd_net_peer_status status;
	struct rig_member *pair[2];
	struct taken taken;
	unsigned int sent;
	int before;

	rig_pair(test, pair);
	block_receiver(test, pair, &taken);
	before = atomic_read(&pair[1]->kicks);
	sent = fill_queue(test, pair);
	mutex_lock(&pair[1]->context);
	qbd_net_peer_status(pair[1]->net, 1, &status);
	mutex_unlock(&pair[1]->context);
	KUNIT_EXPECT_GE(test, sent, 3);
	KUNIT_EXPECT_LE(test, status.queued_bytes, (u64)5 << 20);
	give_back(&taken);
	KUNIT_EXPECT_TRUE(test, rig_until(atomic_read(&pair[1]->kicks) != before));
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->requests == sent));
	KUNIT_EXPECT_FALSE(test, pair[0]->data_bad);
	rig_pair_destroy(pair);
}

/* ---- memory ------------------------------------------------------------- */

static void appends_wait_for_pages(struct kunit *test)
{
	struct qbd_core_message message = {
		.from = 1, .to = 2, .type = QBD_MESSAGE_HEARTBEAT,
	};
	struct rig_member *pair[2];
	struct qbd_record *record;
	struct taken taken;
	unsigned int i;

	rig_pair(test, pair);
	take_all(pair[1], QBD_POOL_APPEND, &taken);
	/* All of them fit into the queue. */
	for (i = 1; i <= 6; i++) {
		record = rig_record(pair[0], i, 1, 10);
		KUNIT_ASSERT_NOT_NULL(test, record);
		KUNIT_ASSERT_EQ(test, rig_send_record(pair[0], 2, record), 0);
		qbd_record_put(record);
	}
	/* The control connection needs none, and the pair stays up. */
	for (i = 1; i <= 20; i++) {
		message.round = i;
		mutex_lock(&pair[0]->context);
		qbd_net_send_message(pair[0]->net, &message);
		mutex_unlock(&pair[0]->context);
		KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->message.round == i));
	}
	KUNIT_EXPECT_EQ(test, pair[1]->appends, 0);
	/* Pages come back one by one: what they suffice for goes on. */
	give_back(&taken);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->appends == 6));
	KUNIT_EXPECT_FALSE(test, pair[1]->append_bad);
	KUNIT_EXPECT_EQ(test, pair[1]->downs, 0);
	rig_pair_destroy(pair);
}

/* A receiver that keeps every record: TCP holds the rest back, nothing is lost. */
static void kept_records_slow_the_sender_down(struct kunit *test)
{
	struct rig_member *pair[2];
	struct qbd_record *record;
	u64 index;

	rig_pair(test, pair);
	pair[1]->keep = true;
	for (index = 1; index <= 12; index++) {
		KUNIT_ASSERT_TRUE(test, rig_until((record = rig_record(pair[0], index,
								       2, 128))));
		send_record(test, pair[0], 2, record);
		qbd_record_put(record);
	}
	/* So many as the pool can hold of them, and leave a step for this host's own. */
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->appends == 6));
	pair[1]->keep = false;
	rig_release_kept(pair[1]);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->appends == 12));
	KUNIT_EXPECT_FALSE(test, pair[1]->append_bad);
	rig_pair_destroy(pair);
}

/*
 * Pages for others' requests are gone, those for records, and for what this host asked
 * for itself, are not: what waits behind such a frame is delivered all the same.
 */
static void other_data_does_not_hold_appends_up(struct kunit *test)
{
	struct qbd_frame_reply reply = {
		.sequence = cpu_to_le64(4), .count = cpu_to_le32(9),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REPLY, .fixed = &reply, .fixed_bytes = sizeof(reply),
		.data_blocks = 9,
	};
	struct rig_member *pair[2];
	struct qbd_record *record;
	struct taken taken;

	rig_pair(test, pair);
	take_all(pair[0], QBD_POOL_PROPOSE, &taken);
	KUNIT_EXPECT_EQ(test, send_write(pair[1], 1, 1000), 0);
	record = rig_record(pair[1], 1, 1, 100);
	KUNIT_ASSERT_NOT_NULL(test, record);
	KUNIT_EXPECT_EQ(test, rig_send_record(pair[1], 1, record), 0);
	qbd_record_put(record);
	frame.buffer = filled_buffer(pair[1], 9, 4);
	send_simple(test, pair[1], 1, &frame);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->replies == 1));
	KUNIT_EXPECT_EQ(test, pair[0]->requests, 1);
	KUNIT_EXPECT_EQ(test, pair[0]->requests_starved, 1);
	KUNIT_EXPECT_EQ(test, pair[0]->appends, 1);
	KUNIT_EXPECT_EQ(test, pair[0]->replies_starved, 0);
	give_back(&taken);
	/* And with pages it works again, on the same connection. */
	KUNIT_EXPECT_EQ(test, send_write(pair[1], 1, 1000), 0);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->requests == 2));
	KUNIT_EXPECT_EQ(test, pair[0]->requests_starved, 1);
	KUNIT_EXPECT_FALSE(test, pair[0]->data_bad || pair[0]->append_bad);
	KUNIT_EXPECT_EQ(test, pair[0]->downs, 0);
	rig_pair_destroy(pair);
}

/* ---- coming and going --------------------------------------------------- */

static void a_member_comes_back(struct kunit *test)
{
	struct rig_member *pair[2];
	int i, gone;

	rig_pair(test, pair);
	/* The one that dials, then the one that listens, a few times. */
	for (i = 0; i < 6; i++) {
		gone = i % 2;
		rig_member_stop(pair[gone]);
		KUNIT_ASSERT_TRUE(test, rig_until(!pair[!gone]->up[gone + 1]));
		rig_member_start(pair[gone]);
		rig_set_members(pair[gone], pair, 2);
		KUNIT_ASSERT_TRUE(test, rig_until(pair[0]->up[2] && pair[1]->up[1]));
	}
	KUNIT_EXPECT_EQ(test, pair[0]->ups, 7);
	KUNIT_EXPECT_EQ(test, pair[1]->ups, 7);
	rig_pair_destroy(pair);
}

/* Frames that were under way when the pair went down never arrive later. */
static void nothing_arrives_from_before(struct kunit *test)
{
	struct rig_member *pair[2];
	struct taken taken;
	unsigned int before;

	rig_pair(test, pair);
	block_receiver(test, pair, &taken);
	fill_queue(test, pair);
	mutex_lock(&pair[1]->context);
	qbd_net_disconnect(pair[1]->net, 1, "test");
	mutex_unlock(&pair[1]->context);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[1]->downs == 1));
	give_back(&taken);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->downs == 1));
	before = pair[0]->requests;
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->up[2] && pair[1]->up[1]));
	KUNIT_EXPECT_EQ(test, send_write(pair[1], 1, 1000), 0);
	KUNIT_EXPECT_TRUE(test, rig_until(pair[0]->requests == before + 1));
	KUNIT_EXPECT_FALSE(test, pair[0]->data_bad);
	rig_pair_destroy(pair);
}

static void members_come_and_go(struct kunit *test)
{
	struct rig_member *members[3], *moved;
	struct qbd_net_peer_status status;
	int i;

	rig_all(test, members, 3);
	/* 1 and 2 go on without 3. */
	rig_set_members(members[0], members, 2);
	rig_set_members(members[1], members, 2);
	KUNIT_EXPECT_TRUE(test, rig_until(!members[0]->up[3] && !members[1]->up[3]));
	KUNIT_EXPECT_STREQ(test, members[0]->down_reason, "no longer a member");
	KUNIT_EXPECT_TRUE(test, rig_until(members[2]->refusals));
	KUNIT_EXPECT_EQ(test, members[2]->refused, QBD_REFUSED_MEMBER);
	KUNIT_EXPECT_TRUE(test, members[0]->up[2] && members[1]->up[1]);
	mutex_lock(&members[0]->context);
	qbd_net_peer_status(members[0]->net, 3, &status);
	mutex_unlock(&members[0]->context);
	KUNIT_EXPECT_STREQ(test, status.last_error, "not a member");
	/* 1 moves to another port; 2, which dials, is told. */
	rig_member_stop(members[0]);
	rig_member_address(members[0], "127.0.0.1", RIG_PORT + 1);
	rig_member_start(members[0]);
	rig_set_members(members[0], members, 3);
	rig_set_members(members[1], members, 3);
	KUNIT_EXPECT_TRUE(test, rig_until(members[0]->up[2] && members[1]->up[1]));
	/* 3 still dials the old place, until it is told, too. */
	moved = members[0];
	KUNIT_EXPECT_FALSE(test, moved->up[3]);
	rig_set_members(members[2], members, 3);
	KUNIT_EXPECT_TRUE(test, rig_until(moved->up[3] && members[1]->up[3]));
	for (i = 0; i < 3; i++)
		rig_member_destroy(members[i]);
}

static void ends_at_any_moment(struct kunit *test)
{
	struct rig_member *pair[2] = {
		rig_member_create(test, 1), rig_member_create(test, 2),
	};
	int i;

	for (i = 0; i < 60; i++) {
		rig_member_start(pair[0]);
		rig_member_start(pair[1]);
		rig_set_members(pair[0], pair, 2);
		rig_set_members(pair[1], pair, 2);
		/* From before the first packet until after the handshake. */
		usleep_range(i * 40, i * 40 + 20);
		rig_member_stop(pair[i % 2]);
		rig_member_stop(pair[!(i % 2)]);
	}
	rig_pair_destroy(pair);
}

static struct kunit_case net_cases[] = {
	KUNIT_CASE(two_members_meet),
	KUNIT_CASE(five_members_meet),
	KUNIT_CASE(ipv6_works),
	KUNIT_CASE(an_address_in_use_is_named),
	KUNIT_CASE(messages_arrive_field_by_field),
	KUNIT_CASE(records_arrive_in_order),
	KUNIT_CASE(every_other_frame_arrives),
	KUNIT_CASE(verifications_are_delivered),
	KUNIT_CASE(writes_arrive_with_their_checksum),
	KUNIT_CASE(a_full_queue_says_when_it_is_not),
	KUNIT_CASE(appends_wait_for_pages),
	KUNIT_CASE(kept_records_slow_the_sender_down),
	KUNIT_CASE(other_data_does_not_hold_appends_up),
	KUNIT_CASE(a_member_comes_back),
	KUNIT_CASE(nothing_arrives_from_before),
	KUNIT_CASE(members_come_and_go),
	KUNIT_CASE(ends_at_any_moment),
	{}
};

static struct kunit_suite net_suite = {
	.name = "net",
	.test_cases = net_cases,
};

kunit_test_suite(net_suite);
