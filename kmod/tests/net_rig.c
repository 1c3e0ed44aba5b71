// SPDX-License-Identifier: GPL-2.0
/* Members and raw peers for the tests of the network; see net_rig.h. */
#include <crypto/hash.h>
#include <kunit/resource.h>
#include <linux/inet.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <net/sock.h>

#include "../net/frame.h"
#include "net_rig.h"

DECLARE_WAIT_QUEUE_HEAD(rig_wait);

/* ---- data --------------------------------------------------------------- */

void rig_fill_page(void *memory, u32 number)
{
	u32 *words = memory;
	u32 i;

	for (i = 0; i < QBD_BLOCK_SIZE / 4; i++)
		words[i] = number * 2654435761u + i;
}

static bool page_is(struct page *page, u32 number)
{
	u32 *words = page_address(page);
	u32 i;

	for (i = 0; i < QBD_BLOCK_SIZE / 4; i++)
		if (words[i] != number * 2654435761u + i)
			return false;
	return true;
}

/* Page k of what belongs to @base holds number base + k. */
static bool buffer_is(struct qbd_buffer *buffer, u32 base)
{
	u32 i;

	for (i = 0; i < buffer->blocks; i++)
		if (!page_is(buffer->pages[i], base + i))
			return false;
	return true;
}

/* ---- what members are told ---------------------------------------------- */

static void rig_kick(void *context)
{
	struct rig_member *member = context;

	atomic_inc(&member->kicks);
	queue_work(system_unbound_wq, &member->poll);
}

static void rig_pages_came(void *context)
{
	struct rig_member *member = context;

	atomic_set(&member->pages_came, 1);
	queue_work(system_unbound_wq, &member->poll);
}

static void rig_peer_up(void *context, u32 peer)
{
	struct rig_member *member = context;

	member->up[peer] = true;
	member->ups++;
}

static void rig_peer_down(void *context, u32 peer, const char *reason)
{
	struct rig_member *member = context;

	member->up[peer] = false;
	member->downs++;
	strscpy(member->down_reason, reason, sizeof(member->down_reason));
	if (member->on_down)
		member->on_down(member, peer);
}

static void rig_message(void *context, u32 peer, const struct qbd_core_message *message)
{
	struct rig_member *member = context;

	member->message = *message;
	member->messages++;
}

/* Records come in order, with data numbered by index and block. */
static void rig_append(void *context, u32 peer, const struct qbd_frame_append *append,
		       struct qbd_record *record)
{
	struct rig_member *member = context;
	u32 i;

	if (member->append_index && record->index != member->append_index + 1)
		member->append_bad = true;
	if (le64_to_cpu(append->previous_index) + 1 != record->index ||
	    !record->verified)
		member->append_bad = true;
	for (i = 0; i < record->data_blocks; i++)
		if (!page_is(record->pages[i], (u32)record->index * 1000 + i))
			member->append_bad = true;
	member->append_index = record->index;
	member->appends++;
	if (member->keep && member->kept_count < RIG_KEPT_MAX)
		member->kept[member->kept_count++] = record;
	else
		qbd_record_put(record);
}

static void rig_request(void *context, u32 peer, const struct qbd_frame_request *request,
			struct qbd_buffer *data)
{
	struct rig_member *member = context;
	u32 i, checksum = ~0u;

	member->request = *request;
	member->requests++;
	if (le32_to_cpu(request->kind) != QBD_REQUEST_WRITE)
		return;
	if (!data) {
		member->requests_starved++;
		return;
	}
	for (i = 0; i < data->blocks; i++)
		checksum = qbd_crc32c(checksum, page_address(data->pages[i]),
				      QBD_BLOCK_SIZE);
	if (checksum != le32_to_cpu(request->data_checksum) ||
	    data->blocks != le32_to_cpu(request->count))
		member->data_bad = true;
	if (!buffer_is(data, (u32)le64_to_cpu(request->sequence)))
		member->data_bad = true;
	qbd_buffer_free(data);
}

static void rig_reply(void *context, u32 peer, const struct qbd_frame_reply *reply,
		      struct qbd_buffer *data)
{
	struct rig_member *member = context;

	member->reply = *reply;
	member->replies++;
	if (!data && reply->count)
		member->replies_starved++;
	if (data && !buffer_is(data, (u32)le64_to_cpu(reply->sequence)))
		member->data_bad = true;
	if (data)
		qbd_buffer_free(data);
}

static void rig_reset(void *context, u32 peer, const struct qbd_frame_reset *reset)
{
	struct rig_member *member = context;

	member->reset = *reset;
	member->resets++;
}

static void rig_fill(void *context, u32 peer, const struct qbd_frame_fill *fill)
{
	struct rig_member *member = context;

	member->fill = *fill;
	member->fills++;
}

static void rig_extent(void *context, u32 peer, const struct qbd_frame_extent *extent,
		       struct qbd_buffer *data)
{
	struct rig_member *member = context;

	member->extent = *extent;
	member->extents++;
	if (data && !buffer_is(data, (u32)le64_to_cpu(extent->block)))
		member->data_bad = true;
	if (data)
		qbd_buffer_free(data);
}

static void rig_fill_end(void *context, u32 peer, const struct qbd_frame_fill_end *end)
{
	struct rig_member *member = context;

	member->fill_end = *end;
	member->fill_ends++;
}

static void rig_listening(void *context, int error, const char *text)
{
	struct rig_member *member = context;

	member->listen_error = error;
	member->listens++;
}

static void rig_verify(void *context, u32 peer, const struct qbd_frame_verify *verify)
{
	struct rig_member *member = context;

	member->verify = *verify;
	member->verifies++;
}

/* The first page of its data has the stamp of its request. */
static void rig_verified(void *context, u32 peer, const struct qbd_frame_verified *verified,
			 struct qbd_buffer *data)
{
	struct rig_member *member = context;

	member->verified = *verified;
	member->verifieds++;
	if (data && !buffer_is(data, (u32)le64_to_cpu(verified->request)))
		member->data_bad = true;
	qbd_buffer_free(data);
}

static void rig_repair(void *context, u32 peer, const struct qbd_frame_repair *repair,
		       struct qbd_buffer *data)
{
	struct rig_member *member = context;

	member->repair = *repair;
	member->repairs++;
	if (data && !buffer_is(data, (u32)le64_to_cpu(repair->block)))
		member->data_bad = true;
	qbd_buffer_free(data);
}

static void rig_repaired(void *context, u32 peer, const struct qbd_frame_repaired *repaired)
{
	struct rig_member *member = context;

	member->repaired = *repaired;
	member->repaireds++;
}

static void rig_refused(void *context, u32 peer, enum qbd_refusal reason, bool by_us)
{
	struct rig_member *member = context;

	if (!by_us && !WARN_ON(peer >= ARRAY_SIZE(member->told)))
		member->told[peer] |= BIT(reason);
	if (reason == QBD_REFUSED_PERHAPS) {
		member->asked_again++;
		return;
	}
	member->refusals++;
	member->refused_peer = peer;
	member->refused = reason;
}

/* To what it was asked last. Changes are refused; without memory it is busy. */
void rig_answer(struct rig_member *member)
{
	const struct qbd_frame_request *request = &member->asked_for;
	bool describe = le32_to_cpu(request->kind) == QBD_REQUEST_DESCRIBE;
	struct qbd_frame_reply reply = {
		.sequence = request->sequence, .session = request->session,
		.status = cpu_to_le32(QBD_REPLY_REFUSED),
		.detail = cpu_to_le32(QBD_CHANGE_OUTDATED), .member = cpu_to_le32(7),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REPLY, .fixed = &reply, .fixed_bytes = sizeof(reply),
	};

	if (member->asked_starved)
		reply.status = cpu_to_le32(QBD_REPLY_BUSY);
	if (describe)
		frame.buffer = qbd_buffer_alloc(member->pool, QBD_POOL_READ, 1);
	if (frame.buffer) {
		rig_fill_page(page_address(frame.buffer->pages[0]),
			      (u32)le64_to_cpu(request->sequence));
		frame.data_blocks = 1;
		reply.status = cpu_to_le32(QBD_REPLY_OK);
		reply.count = cpu_to_le32(1);
	}
	qbd_net_answer(member->net, member->asked_on, &frame);
}

static void rig_admin(void *context, u64 connection,
		      const struct qbd_frame_request *request, struct qbd_buffer *data)
{
	struct rig_member *member = context;

	member->asked_on = connection;
	member->asked_for = *request;
	member->asked_starved = le32_to_cpu(request->kind) == QBD_REQUEST_CHANGE && !data;
	member->asked++;
	if (data && !buffer_is(data, (u32)le64_to_cpu(request->sequence)))
		member->data_bad = true;
	if (data)
		qbd_buffer_free(data);
	if (!member->mute)
		rig_answer(member);
}

static const struct qbd_net_ops rig_ops = {
	.kick = rig_kick,
	.peer_up = rig_peer_up,
	.peer_down = rig_peer_down,
	.message = rig_message,
	.append = rig_append,
	.request = rig_request,
	.reply = rig_reply,
	.reset = rig_reset,
	.fill = rig_fill,
	.extent = rig_extent,
	.fill_end = rig_fill_end,
	.verify = rig_verify,
	.verified = rig_verified,
	.repair = rig_repair,
	.repaired = rig_repaired,
	.refused = rig_refused,
	.listening = rig_listening,
	.admin = rig_admin,
};

static void rig_poll(struct work_struct *work)
{
	struct rig_member *member = container_of(work, struct rig_member, poll);

	mutex_lock(&member->context);
	if (member->net && atomic_xchg(&member->pages_came, 0))
		qbd_net_pages_available(member->net);
	if (member->net && !member->hold)
		qbd_net_poll(member->net);
	mutex_unlock(&member->context);
	wake_up_all(&rig_wait);
}

/* ---- members ------------------------------------------------------------ */

void rig_member_address(struct rig_member *member, const char *host, u16 port)
{
	struct qbd_address *address = &member->identity.listen;

	memset(address, 0, sizeof(*address));
	address->port = cpu_to_le16(port);
	if (in4_pton(host, -1, address->bytes, -1, NULL))
		address->family = cpu_to_le16(4);
	else if (in6_pton(host, -1, address->bytes, -1, NULL))
		address->family = cpu_to_le16(6);
}

/* A case that ended early must not take the next ones with it. */
static void destroy_left_over(void *context)
{
	struct rig_member *member = context;

	if (!IS_ERR_OR_NULL(member->pool))
		rig_member_destroy(member);
}

struct rig_member *rig_member_create(struct kunit *test, u32 id)
{
	struct rig_member *member = kunit_kzalloc(test, sizeof(*member), GFP_KERNEL);
	char host[16];

	KUNIT_ASSERT_NOT_NULL(test, member);
	member->test = test;
	mutex_init(&member->context);
	INIT_WORK(&member->poll, rig_poll);
	member->identity.name = "rig";
	memset(member->identity.uuid, 0xd1, QBD_UUID_SIZE);
	memset(member->identity.incarnation, id, QBD_UUID_SIZE);
	memset(member->identity.secret, 0x5e, QBD_SECRET_SIZE);
	member->identity.member_id = id;
	member->identity.device_blocks = RIG_DEVICE_BLOCKS;
	snprintf(host, sizeof(host), "127.0.0.%u", id);
	rig_member_address(member, host, RIG_PORT);
	member->pool = qbd_pool_create(RIG_POOL_PAGES, rig_pages_came, member);
	KUNIT_ASSERT_FALSE(test, IS_ERR(member->pool));
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, destroy_left_over, member),
			0);
	return member;
}

void rig_member_start(struct rig_member *member)
{
	char text[256] = "";
	struct qbd_net *net;

	net = qbd_net_create(&init_net, &member->identity, member->pool, &rig_ops,
			     member, text, sizeof(text));
	KUNIT_ASSERT_FALSE_MSG(member->test, IS_ERR(net), "%s", text);
	mutex_lock(&member->context);
	member->net = net;
	mutex_unlock(&member->context);
}

void rig_member_stop(struct rig_member *member)
{
	struct qbd_net *net;

	mutex_lock(&member->context);
	net = member->net;
	member->net = NULL;
	mutex_unlock(&member->context);
	if (net)
		qbd_net_destroy(net);
	cancel_work_sync(&member->poll);
	memset(member->up, 0, sizeof(member->up));
}

void rig_hold(struct rig_member *member, bool hold)
{
	mutex_lock(&member->context);
	member->hold = hold;
	mutex_unlock(&member->context);
	if (!hold)
		rig_kick(member);
}

void rig_release_kept(struct rig_member *member)
{
	mutex_lock(&member->context);
	while (member->kept_count)
		qbd_record_put(member->kept[--member->kept_count]);
	mutex_unlock(&member->context);
}

void rig_member_destroy(struct rig_member *member)
{
	rig_member_stop(member);
	rig_release_kept(member);
	KUNIT_EXPECT_EQ(member->test, qbd_pool_pages_free(member->pool),
			qbd_pool_pages(member->pool));
	/* The pool's kick may still have queued it. */
	cancel_work_sync(&member->poll);
	qbd_pool_destroy(member->pool);
	member->pool = NULL;
}

void rig_set_members(struct rig_member *member, struct rig_member **members,
		     unsigned int count)
{
	struct qbd_membership_layout layout = { .count = cpu_to_le32(count) };
	unsigned int i;

	for (i = 0; i < count; i++) {
		layout.members[i].id = cpu_to_le32(members[i]->identity.member_id);
		layout.members[i].address = members[i]->identity.listen;
		memcpy(layout.members[i].incarnation, members[i]->listed, QBD_UUID_SIZE);
	}
	mutex_lock(&member->context);
	qbd_net_set_members(member->net, &layout);
	mutex_unlock(&member->context);
}

/* Is each of them connected to each other one? */
static bool all_are_up(struct rig_member **members, int count)
{
	int i, j;

	for (i = 0; i < count; i++)
		for (j = 0; j < count; j++)
			if (i != j && !READ_ONCE(members[i]->up[j + 1]))
				return false;
	return true;
}

void rig_all(struct kunit *test, struct rig_member **members, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		members[i] = rig_member_create(test, i + 1);
		rig_member_start(members[i]);
	}
	for (i = 0; i < count; i++)
		rig_set_members(members[i], members, count);
	KUNIT_ASSERT_TRUE(test, rig_until(all_are_up(members, count)));
}

void rig_pair(struct kunit *test, struct rig_member *pair[2])
{
	rig_all(test, pair, 2);
}

void rig_pair_destroy(struct rig_member *pair[2])
{
	rig_member_destroy(pair[0]);
	rig_member_destroy(pair[1]);
}

/* ---- records ------------------------------------------------------------ */

struct qbd_record *rig_record(struct rig_member *member, u64 index, u32 operations,
			      u32 blocks_each)
{
	struct qbd_record *record;
	struct qbd_operation *operation;
	u32 i, k, checksum, block = 0;

	record = qbd_record_alloc(member->pool, QBD_POOL_APPEND, operations,
				  operations * blocks_each, true);
	if (!record)
		return NULL;
	for (i = 0; i < operations; i++) {
		operation = &record->header->operations[i];
		checksum = ~0u;
		for (k = 0; k < blocks_each; k++, block++) {
			rig_fill_page(page_address(record->pages[block]),
				      (u32)index * 1000 + block);
			checksum = qbd_crc32c(checksum,
					      page_address(record->pages[block]),
					      QBD_BLOCK_SIZE);
		}
		operation->block = cpu_to_le64(i * 300);
		operation->count = cpu_to_le32(blocks_each);
		operation->data_checksum = cpu_to_le32(checksum);
		operation->kind = cpu_to_le16(QBD_OPERATION_WRITE);
		operation->origin = cpu_to_le32(1);
		operation->session = cpu_to_le64(7);
		operation->sequence = cpu_to_le64(i + 1);
	}
	qbd_record_seal(record, member->identity.uuid,
			operations ? QBD_RECORD_DATA : QBD_RECORD_NOOP, index, 3, 77);
	return record;
}

int rig_send_record(struct rig_member *member, u32 to, struct qbd_record *record)
{
	struct qbd_frame_append append = {
		.leader_term = cpu_to_le64(3),
		.previous_index = cpu_to_le64(record->index - 1),
		.previous_term = cpu_to_le64(3),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_APPEND,
		.fixed = &append,
		.fixed_bytes = sizeof(append),
		.record = record,
	};
	int error;

	mutex_lock(&member->context);
	error = qbd_net_send(member->net, to, &frame);
	qbd_net_push(member->net, to);
	mutex_unlock(&member->context);
	return error;
}

/* ---- raw peers ---------------------------------------------------------- */

static atomic_t setup_stops;
static DECLARE_COMPLETION(setup_stands);
static DECLARE_COMPLETION(setup_goes_on);

void rig_setup_stops(void)
{
	reinit_completion(&setup_stands);
	reinit_completion(&setup_goes_on);
	atomic_set(&setup_stops, 1);
}

bool rig_setup_stands(void)
{
	return wait_for_completion_timeout(&setup_stands, RIG_SECONDS * HZ);
}

void rig_setup_goes_on(void)
{
	atomic_set(&setup_stops, 0);
	complete(&setup_goes_on);
}

void rig_setup(void)
{
	if (!atomic_xchg(&setup_stops, 0))
		return;
	complete(&setup_stands);
	wait_for_completion_timeout(&setup_goes_on, RIG_SECONDS * HZ);
}

int rig_raw_connect(struct rig_raw *raw, struct rig_member *to)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(le16_to_cpu(to->identity.listen.port)),
	};
	int error;

	memset(raw, 0, sizeof(*raw));
	memcpy(&address.sin_addr, to->identity.listen.bytes, sizeof(address.sin_addr));
	error = sock_create_kern(&init_net, AF_INET, SOCK_STREAM, IPPROTO_TCP,
				 &raw->socket);
	if (error) {
		raw->socket = NULL;
		return error;
	}
	sock_no_linger(raw->socket->sk);
	raw->socket->sk->sk_rcvtimeo = RIG_SECONDS * HZ;
	raw->socket->sk->sk_sndtimeo = RIG_SECONDS * HZ;
	return kernel_connect(raw->socket, (struct sockaddr *)&address, sizeof(address),
			      0);
}

void rig_raw_close(struct rig_raw *raw)
{
	if (raw->socket)
		sock_release(raw->socket);
	raw->socket = NULL;
}

int rig_raw_send(struct rig_raw *raw, const void *bytes, size_t length)
{
	struct kvec kvec = { .iov_base = (void *)bytes, .iov_len = length };
	struct msghdr message = { .msg_flags = MSG_NOSIGNAL };

	return kernel_sendmsg(raw->socket, &message, &kvec, 1, length);
}

int rig_raw_receive(struct rig_raw *raw, void *bytes, size_t length)
{
	struct kvec kvec = { .iov_base = bytes, .iov_len = length };
	struct msghdr message = {};

	return kernel_recvmsg(raw->socket, &message, &kvec, 1, length, MSG_WAITALL);
}

int rig_raw_frame(struct rig_raw *raw, u16 type, const void *fixed, u32 fixed_bytes,
		  const void *data, u32 data_blocks)
{
	size_t data_bytes = (size_t)data_blocks << QBD_BLOCK_SHIFT;
	struct qbd_frame_header header;
	int result;

	qbd_frame_seal(&header, type, fixed_bytes, data_blocks, raw->sent++,
		       qbd_crc32c(~0u, fixed, fixed_bytes),
		       data_blocks ? qbd_crc32c(~0u, data, data_bytes) : 0);
	result = rig_raw_send(raw, &header, sizeof(header));
	if (result > 0 && fixed_bytes)
		result = rig_raw_send(raw, fixed, fixed_bytes);
	if (result > 0 && data_bytes)
		result = rig_raw_send(raw, data, data_bytes);
	return result < 0 ? result : 0;
}

int rig_raw_receive_frame(struct rig_raw *raw, void *fixed, size_t size)
{
	struct qbd_frame_header header;
	u32 bytes;

	if (rig_raw_receive(raw, &header, sizeof(header)) != sizeof(header))
		return -EPIPE;
	bytes = le16_to_cpu(header.fixed_bytes);
	if (bytes > size || header.data_blocks)
		return -EMSGSIZE;
	if (bytes && rig_raw_receive(raw, fixed, bytes) != bytes)
		return -EPIPE;
	return le16_to_cpu(header.type);
}

bool rig_raw_closed(struct rig_raw *raw)
{
	u8 scratch[256];
	int result, i;

	/* What it said before it hung up does not matter here. */
	for (i = 0; i < 10000; i++) {
		struct kvec kvec = { .iov_base = scratch, .iov_len = sizeof(scratch) };
		struct msghdr message = {};

		result = kernel_recvmsg(raw->socket, &message, &kvec, 1,
					sizeof(scratch), 0);
		if (result <= 0)
			return result != -EAGAIN;
	}
	return false;
}

void rig_raw_hello(struct rig_raw *raw, struct rig_member *to, u32 from,
		   enum qbd_connection_kind kind, u64 session)
{
	struct qbd_frame_hello *hello = &raw->own;

	hello->version = cpu_to_le16(QBD_WIRE_VERSION);
	hello->version_min = cpu_to_le16(QBD_WIRE_VERSION);
	hello->kind = cpu_to_le32(kind);
	hello->from = cpu_to_le32(from);
	hello->to = cpu_to_le32(kind == QBD_CONNECTION_ADMIN ? 0 : to->identity.member_id);
	hello->session = cpu_to_le64(session);
	hello->listed = cpu_to_le64(to->raw_listed);
	memcpy(hello->uuid, to->identity.uuid, QBD_UUID_SIZE);
	get_random_bytes(hello->nonce, sizeof(hello->nonce));
}

void rig_raw_proof(struct rig_raw *raw, const u8 *secret, const char *label, u8 *proof)
{
	struct crypto_shash *hmac = crypto_alloc_shash("hmac(sha256)", 0, 0);
	u8 covered[16 + 2 * sizeof(struct qbd_frame_hello)];
	size_t length = strlen(label);

	memset(proof, 0, QBD_PROOF_SIZE);
	if (IS_ERR(hmac))
		return;
	memcpy(covered, label, length);
	memcpy(covered + length, &raw->own, sizeof(raw->own));
	length += sizeof(raw->own);
	memcpy(covered + length, &raw->peer, sizeof(raw->peer));
	length += sizeof(raw->peer);
	if (!crypto_shash_setkey(hmac, secret, QBD_SECRET_SIZE)) {
		SHASH_DESC_ON_STACK(desc, hmac);

		desc->tfm = hmac;
		crypto_shash_digest(desc, covered, length, proof);
	}
	crypto_free_shash(hmac);
}

int rig_raw_handshake(struct rig_raw *raw, struct rig_member *to, u32 from,
		      enum qbd_connection_kind kind, u64 session)
{
	struct qbd_frame_challenge challenge;
	struct qbd_frame_proof proof;
	u8 expected[QBD_PROOF_SIZE];
	int error;

	error = rig_raw_connect(raw, to);
	if (error)
		return error;
	rig_raw_hello(raw, to, from, kind, session);
	error = rig_raw_frame(raw, QBD_FRAME_HELLO, &raw->own, sizeof(raw->own), NULL, 0);
	if (error)
		return error;
	if (rig_raw_receive_frame(raw, &challenge, sizeof(challenge)) !=
	    QBD_FRAME_CHALLENGE)
		return -EPROTO;
	raw->peer = challenge.hello;
	rig_raw_proof(raw, to->identity.secret, "qbd listener", expected);
	if (memcmp(expected, challenge.proof, sizeof(expected)))
		return -EACCES;
	rig_raw_proof(raw, to->identity.secret, "qbd dialler", proof.proof);
	error = rig_raw_frame(raw, QBD_FRAME_PROOF, &proof, sizeof(proof), NULL, 0);
	if (error)
		return error;
	if (rig_raw_receive_frame(raw, NULL, 0) != QBD_FRAME_WELCOME)
		return -EPROTO;
	return 0;
}
