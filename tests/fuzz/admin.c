// SPDX-License-Identifier: GPL-2.0
/*
 * What a host reads that wants to become a member: userspace/lib/admin.c, and join.c which
 * believes it. At the other end of each connection is a host that knows the secret and says
 * what a member would, but for what the input makes of it: sealed or not, of other types and
 * lengths, cut short, late, or never. What goes out is what a member takes.
 *
 * The network is one of this file: admin.c is compiled with its names for socket() and the
 * others, see the definitions in run.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "format/change.h"
#include "format/check.h"
#include "format/superblock.h"
#include "input.h"
#include "lib/clock.h"
#include "lib/join.h"
#include "lib/sha256.h"
#include "net/frame.h"
#include "store/layout.h"

#define FD		1000
#define ANSWER_MAX	(2 * (sizeof(struct qbd_frame_header) + QBD_FRAME_FIXED_MAX + \
			      4 * QBD_BLOCK_SIZE))

static struct input input;
static struct qbd_token token;
static struct qbd_error error;
static int64_t now_ms;
static uint8_t drawn;

/* What the device is, as its members know it. */
static struct qbd_description device;

/**
 * struct connection - the one that is open
 * @open: there is one
 * @established: the other host answers
 * @hung_up: what is in @in is all that comes
 * @out: what was sent and is no whole frame yet
 * @out_size: of it
 * @sent: frames that were
 * @answers: frames that were answered
 * @in: what is to be received
 * @in_size: of it
 * @in_read: so much of it was
 * @hello: that came
 * @proven: the challenge that was sent back has the right proof
 */
static struct {
	bool open;
	bool established;
	bool hung_up;
	uint8_t out[sizeof(struct qbd_frame_header) + QBD_FRAME_FIXED_MAX + QBD_BLOCK_SIZE];
	size_t out_size;
	uint32_t sent;
	uint32_t answers;
	uint8_t in[ANSWER_MAX];
	size_t in_size;
	size_t in_read;
	struct qbd_frame_hello hello;
	bool proven;
} connection;

/* ---- the other host ----------------------------------------------------- */

static void make_member(struct qbd_member_layout *member, uint32_t id)
{
	memset(member, 0, sizeof(*member));
	member->id = cpu_to_le32(id);
	member->flags = cpu_to_le16(QBD_MEMBER_VOTER);
	member->priority = 100;
	member->address.family = cpu_to_le16(4);
	member->address.port = cpu_to_le16(QBD_DEFAULT_PORT);
	member->address.bytes[0] = 10;
	member->address.bytes[3] = (uint8_t)id;
	member->incarnation[0] = (uint8_t)id;
	snprintf(member->name, sizeof(member->name), "host%u", id);
}

static void make_device(uint8_t how)
{
	uint32_t count = how & 0x20 ? QBD_MEMBERS_MAX : 1 + how % 4;

	memset(&device, 0, sizeof(device));
	device.device_blocks = cpu_to_le64(1 << 18);
	device.log_blocks = cpu_to_le64(QBD_LOG_BLOCKS_MIN);
	device.extent_shift = cpu_to_le32(QBD_EXTENT_SHIFT_DEFAULT);
	device.member_id = cpu_to_le32(1);
	device.leader = cpu_to_le32(how & 4 ? count : 1);
	device.commit_index = cpu_to_le64(7);
	memcpy(device.name, "vol0", 4);
	device.membership.index = cpu_to_le64(7);
	device.membership.count = cpu_to_le32(count);
	device.membership.next_member_id = cpu_to_le32(count + 1);
	for (uint32_t i = 0; i < count; i++)
		make_member(&device.membership.members[i], i + 1);
	/* A client that was called as we are, and is gone. */
	if (how & 8 && count > 1) {
		struct qbd_member_layout *member = &device.membership.members[count - 1];

		member->flags = cpu_to_le16(QBD_MEMBER_CLIENT);
		memcpy(member->name, "newone", 7);
	}
}

static void make_proof(const struct qbd_frame_hello *own, uint8_t *proof)
{
	struct qbd_hmac hmac;

	qbd_hmac_init(&hmac, token.secret, QBD_SECRET_SIZE);
	qbd_sha256_update(&hmac.inner, "qbd listener", 12);
	qbd_sha256_update(&hmac.inner, &connection.hello, sizeof(connection.hello));
	qbd_sha256_update(&hmac.inner, own, sizeof(*own));
	qbd_hmac_final(&hmac, proof);
}

static size_t make_challenge(struct qbd_frame_challenge *challenge, uint8_t fault)
{
	uint8_t proof[QBD_PROOF_SIZE];

	challenge->hello = connection.hello;
	challenge->hello.from = cpu_to_le32(1);
	challenge->hello.nonce[0] ^= 1;
	/* Of another hello than it vouches for, or of one that is spoiled. */
	if (fault & 0x10)
		take_patch(&input, (uint8_t *)challenge, sizeof(challenge->hello));
	make_proof(&challenge->hello, challenge->proof);
	if (fault & 0x40)
		take_patch(&input, (uint8_t *)challenge, sizeof(*challenge));
	make_proof(&challenge->hello, proof);
	connection.proven = !memcmp(proof, challenge->proof, sizeof(proof));
	return sizeof(*challenge);
}

/* What was asked for is done, or not; the list is committed, or not. */
static void change(const struct qbd_membership_layout *wanted, struct qbd_frame_reply *reply)
{
	uint8_t how = take_u8(&input);
	uint64_t index = le64_to_cpu(device.membership.index);

	if (how & 1) {
		reply->status = cpu_to_le32(how & 2 ? QBD_REPLY_NOT_LEADER : QBD_REPLY_REFUSED);
		reply->detail = cpu_to_le32(how >> 2);
		reply->member = cpu_to_le32(take_u8(&input));
		return;
	}
	device.membership = *wanted;
	device.membership.index = cpu_to_le64(index + 1);
	if (!(how & 4))
		device.commit_index = cpu_to_le64(index + 1);
	/* Who is to leave has left. */
	for (uint32_t i = 0; i < le32_to_cpu(wanted->count); i++) {
		uint32_t count = le32_to_cpu(device.membership.count);

		if (!(le16_to_cpu(wanted->members[i].flags) & QBD_MEMBER_LEAVING))
			continue;
		memmove(&device.membership.members[i], &device.membership.members[i + 1],
			(count - i - 1) * sizeof(device.membership.members[0]));
		device.membership.count = cpu_to_le32(count - 1);
		break;
	}
}

static size_t make_reply(const struct qbd_frame_request *request, const uint8_t *data,
			 uint8_t *fixed, uint8_t *block, uint32_t *data_blocks)
{
	struct qbd_frame_reply *reply = (void *)fixed;
	uint8_t patches;

	reply->sequence = request->sequence;
	reply->session = request->session;
	if (le32_to_cpu(request->kind) == QBD_REQUEST_CHANGE) {
		change((const void *)data, reply);
		return sizeof(*reply);
	}
	*data_blocks = 1;
	reply->count = cpu_to_le32(1);
	memcpy(block, &device, sizeof(device));
	/* Most of what is told is here, and in the first members. */
	for (patches = take_u8(&input) & 7; patches; patches--)
		take_patch(&input, block, patches & 1 ? 256 : sizeof(device));
	return sizeof(*reply);
}

static void add_bytes(const void *bytes, size_t size)
{
	REQUIRE(size <= sizeof(connection.in) - connection.in_size);
	memcpy(connection.in + connection.in_size, bytes, size);
	connection.in_size += size;
}

static uint32_t checksum_header(const struct qbd_frame_header *header)
{
	return qbd_crc32c(~0u, header, offsetof(struct qbd_frame_header, header_checksum));
}

/* The answer to a frame, as it should be but for what the input says. */
static void answer(const struct qbd_frame_header *asked, const uint8_t *fixed_asked,
		   const uint8_t *data_asked)
{
	static uint8_t fixed[QBD_FRAME_FIXED_MAX], block[4 * QBD_BLOCK_SIZE];
	struct qbd_frame_header header;
	uint8_t fault = take_u8(&input);
	uint32_t data_blocks = 0;
	size_t bytes = 0, before = connection.in_size;
	uint16_t type;

	memset(fixed, 0, sizeof(fixed));
	memset(block, 0, sizeof(block));
	switch (le16_to_cpu(asked->type)) {
	case QBD_FRAME_HELLO:
		memcpy(&connection.hello, fixed_asked, sizeof(connection.hello));
		type = QBD_FRAME_CHALLENGE;
		bytes = make_challenge((void *)fixed, fault);
		break;
	case QBD_FRAME_PROOF:
		type = QBD_FRAME_WELCOME;
		break;
	default:
		type = QBD_FRAME_REPLY;
		bytes = make_reply((const void *)fixed_asked, data_asked, fixed, block,
				   &data_blocks);
		if (fault & 0x10)
			take_patch(&input, fixed, bytes);
		break;
	}
	switch (fault & 0x0f) {
	case 1:
		bytes = take_u16(&input) % (sizeof(fixed) + 1);
		break;
	case 2:
		data_blocks = take_u8(&input) % 5;
		break;
	case 3:
		type = take_u8(&input);
		break;
	case 4:
		type = QBD_FRAME_REFUSED;
		bytes = sizeof(struct qbd_frame_refused);
		data_blocks = 0;
		memset(fixed, 0, sizeof(fixed));
		fixed[0] = take_u8(&input);
		break;
	case 5:
		connection.hung_up = true;
		return;
	case 6:
		return;
	}
	qbd_frame_seal(&header, type, (uint16_t)bytes, data_blocks, connection.answers++,
		       qbd_crc32c(~0u, fixed, bytes), data_blocks ?
		       qbd_crc32c(~0u, block, data_blocks * QBD_BLOCK_SIZE) : 0);
	if (fault & 0x80) {
		take_patch(&input, (uint8_t *)&header, sizeof(header));
		if (fault & 0x20)
			header.header_checksum = cpu_to_le32(checksum_header(&header));
	}
	add_bytes(&header, sizeof(header));
	add_bytes(fixed, bytes);
	add_bytes(block, data_blocks * QBD_BLOCK_SIZE);
	if ((fault & 0x0f) == 7) {
		connection.in_size = before + take_u16(&input) % (connection.in_size - before);
		connection.hung_up = true;
	}
}

/* Whole frames only: and each of them is one that a member takes. */
static void look_at_sent(void)
{
	const struct qbd_frame_header *header = (const void *)connection.out;
	enum qbd_frame_phase phase = connection.sent < 2 ? QBD_PHASE_HANDSHAKE : QBD_PHASE_ADMIN;
	const uint8_t *fixed = connection.out + sizeof(*header), *data;
	const char *reason = NULL;
	size_t size = sizeof(*header);

	if (connection.out_size < size)
		return;
	REQUIRE(qbd_frame_header_check(header, phase, connection.sent, &reason));
	size += le16_to_cpu(header->fixed_bytes);
	data = connection.out + size;
	size += (size_t)le32_to_cpu(header->data_blocks) * QBD_BLOCK_SIZE;
	REQUIRE(size <= sizeof(connection.out));
	if (connection.out_size < size)
		return;
	REQUIRE(connection.out_size == size);
	REQUIRE(qbd_frame_fixed_check(header, phase, fixed, le64_to_cpu(device.device_blocks),
				      &reason));
	if (header->data_blocks)
		REQUIRE(qbd_crc32c(~0u, data, QBD_BLOCK_SIZE) ==
			le32_to_cpu(header->data_checksum));
	/* Nobody is told anything before he has shown that he knows the secret. */
	if (connection.sent)
		REQUIRE(connection.proven);
	connection.sent++;
	answer(header, fixed, data);
	connection.out_size = 0;
}

/* ---- the network -------------------------------------------------------- */

int64_t qbd_now_ms(void)
{
	return now_ms;
}

void qbd_pause_ms(unsigned int milliseconds)
{
	now_ms += milliseconds;
}

ssize_t fuzz_getrandom(void *bytes, size_t length, unsigned int flags)
{
	REQUIRE(!flags);
	memset(bytes, ++drawn, length);
	return (ssize_t)length;
}

void fuzz_uuid(unsigned char *uuid)
{
	memset(uuid, 0xee, QBD_UUID_SIZE);
}

int fuzz_socket(int family, int type, int protocol)
{
	REQUIRE((family == AF_INET || family == AF_INET6) && type && !protocol);
	REQUIRE(!connection.open);
	memset(&connection, 0, offsetof(typeof(connection), in));
	connection.in_size = 0;
	connection.in_read = 0;
	connection.proven = false;
	connection.open = true;
	return FD;
}

int fuzz_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	static const int errors[] = { ECONNREFUSED, ENETUNREACH, EINPROGRESS, EINPROGRESS };
	uint8_t how = take_u8(&input);

	REQUIRE(fd == FD && connection.open && address->sa_family && length);
	if (!(how & 0x80)) {
		connection.established = true;
		return 0;
	}
	errno = errors[how & 3];
	connection.established = (how & 3) == 3;
	return -1;
}

int fuzz_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	REQUIRE(fd == FD && level && name && value && length);
	return 0;
}

int fuzz_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	REQUIRE(fd == FD && level == SOL_SOCKET && name == SO_ERROR && *length == sizeof(int));
	*(int *)value = connection.established ? 0 : EHOSTUNREACH;
	return 0;
}

int fuzz_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	REQUIRE(count == 1 && fds->fd == FD && timeout > 0);
	if (fds->events & POLLOUT || connection.in_read < connection.in_size ||
	    connection.hung_up) {
		now_ms++;
		return 1;
	}
	now_ms += timeout;
	return 0;
}

ssize_t fuzz_send(int fd, const void *bytes, size_t length, int flags)
{
	size_t most = sizeof(connection.out) - connection.out_size;

	REQUIRE(fd == FD && connection.open && flags == MSG_NOSIGNAL && length);
	/* Who hung up does not take it; that is noticed late. */
	if (connection.hung_up && connection.in_read == connection.in_size) {
		errno = EPIPE;
		return -1;
	}
	if (length > 1000 && !(connection.sent & 1))
		length = 1000;
	REQUIRE(length <= most);
	memcpy(connection.out + connection.out_size, bytes, length);
	connection.out_size += length;
	look_at_sent();
	return (ssize_t)length;
}

ssize_t fuzz_recv(int fd, void *bytes, size_t length, int flags)
{
	size_t there = connection.in_size - connection.in_read;

	REQUIRE(fd == FD && connection.open && !flags && length);
	if (!there) {
		errno = EAGAIN;
		return connection.hung_up ? 0 : -1;
	}
	/* In pieces. */
	if (there > 700)
		there = 700;
	if (length > there)
		length = there;
	memcpy(bytes, connection.in + connection.in_read, length);
	connection.in_read += length;
	return (ssize_t)length;
}

int fuzz_close(int fd)
{
	REQUIRE(fd == FD && connection.open);
	connection.open = false;
	return 0;
}

/* ---- judging ------------------------------------------------------------ */

/* One line, in one piece, that a terminal stands. */
static void judge_error(int result)
{
	REQUIRE(result < 0 && memchr(error.text, 0, sizeof(error.text)) && error.text[0]);
	for (const char *at = error.text; *at; at++)
		REQUIRE(*at >= 0x20 && *at < 0x7f);
}

static void judge_name(const char *name, size_t size)
{
	REQUIRE(name[0] && memchr(name, 0, size));
	for (; *name; name++)
		REQUIRE(*name > 0x20 && *name < 0x7f && !strchr("/\\\"'%$", *name));
}

/* What is believed can be a device. */
static void judge_description(const struct qbd_description *found)
{
	uint64_t log_blocks = le64_to_cpu(found->log_blocks);
	uint32_t count = le32_to_cpu(found->membership.count), before = 0;

	judge_name(found->name, sizeof(found->name));
	REQUIRE(found->device_blocks && !(le64_to_cpu(found->device_blocks) >> 51));
	REQUIRE(log_blocks >= QBD_LOG_BLOCKS_MIN && log_blocks <= QBD_LOG_BLOCKS_MAX);
	REQUIRE(le32_to_cpu(found->extent_shift) >= QBD_EXTENT_SHIFT_MIN &&
		le32_to_cpu(found->extent_shift) <= QBD_EXTENT_SHIFT_MAX);
	REQUIRE(count && count <= QBD_MEMBERS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		const struct qbd_member_layout *member = &found->membership.members[i];
		uint16_t family = le16_to_cpu(member->address.family);
		uint32_t id = le32_to_cpu(member->id);

		REQUIRE(id > before && id < le32_to_cpu(found->membership.next_member_id));
		REQUIRE(family == 4 || family == 6);
		REQUIRE(member->address.port);
		judge_name(member->name, sizeof(member->name));
		before = id;
	}
}

static void ask_by_hand(const struct qbd_address *address)
{
	struct qbd_description *found = malloc(sizeof(*found));
	struct qbd_admin_answer change_answer;
	struct qbd_admin admin;
	int result;

	REQUIRE(found);
	result = qbd_admin_connect(&admin, address, &token, &error);
	if (result) {
		REQUIRE(!connection.open);
		judge_error(result);
		free(found);
		return;
	}
	REQUIRE(connection.proven);
	for (unsigned int i = 0; i < 3 && !result; i++) {
		result = qbd_admin_describe(&admin, found, &error);
		if (!result) {
			judge_description(found);
			result = qbd_admin_change(&admin, &found->membership, &change_answer,
						  &error);
		}
		if (result)
			judge_error(result);
	}
	qbd_admin_close(&admin);
	free(found);
}

static void join_device(const struct qbd_address *address, uint8_t how)
{
	struct qbd_join join = {
		.name = "vol0", .token = &token, .contact = *address, .wait_ms = 3000,
	};
	bool added = false;
	int result;

	make_member(&join.self, 77);
	join.self.id = 0;
	join.self.flags = cpu_to_le16(how & 8 ? QBD_MEMBER_CLIENT : QBD_MEMBER_VOTER);
	memcpy(join.self.name, "newone", 7);
	result = qbd_join_look(&join, &error);
	if (join.described)
		judge_description(&join.description);
	REQUIRE(!connection.open);
	if (!result)
		result = qbd_join_ask(&join, &added, &error);
	REQUIRE(!connection.open);
	if (result) {
		judge_error(result);
		return;
	}
	judge_description(&join.description);
	REQUIRE(qbd_join_listed(&join, join.self.incarnation) && qbd_join_committed(&join));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qbd_address address = { .family = cpu_to_le16(4), .port = cpu_to_le16(7900) };
	uint8_t how;

	if (size > 8192)
		return 0;
	input.at = data;
	input.left = size;
	how = take_u8(&input);
	memset(&error, 'x', sizeof(error));
	memset(&token, 0x11, sizeof(token));
	now_ms = 1000;
	drawn = 0;
	address.bytes[0] = 10;
	address.bytes[3] = 1;
	make_device(how);
	if (how & 0x10)
		join_device(&address, how);
	else
		ask_by_hand(&address);
	REQUIRE(!connection.open);
	return 0;
}
