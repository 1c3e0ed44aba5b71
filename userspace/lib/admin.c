// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "format/check.h"
#include "format/superblock.h"
#include "lib/admin.h"
#include "lib/clock.h"
#include "lib/sha256.h"
#include "net/frame.h"
#include "store/layout.h"

/* ---- bytes -------------------------------------------------------------- */

static int silent(const struct qbd_admin *admin, struct qbd_error *error)
{
	return qbd_fail(error, ETIMEDOUT, "%s: no answer within %u s; is the host up, and the way free?",
			admin->where, QBD_ADMIN_WAIT_MS / 1000);
}

static int hung_up(const struct qbd_admin *admin, int code, struct qbd_error *error)
{
	return qbd_fail(error, code, "%s: the connection was closed by the other side; is a member of a device up there, of a version that can be joined?",
			admin->where);
}

static int no_member(const struct qbd_admin *admin, const char *reason,
		     struct qbd_error *error)
{
	return qbd_fail(error, EPROTO, "%s: is no member of a qbd device, or of another version (%s)",
			admin->where, reason);
}

/* Until @events, or @end. */
static int wait_for(const struct qbd_admin *admin, short events, int64_t end,
		    struct qbd_error *error)
{
	struct pollfd poll_fd = { .fd = admin->fd, .events = events };
	int64_t left;
	int result;

	do {
		left = end - qbd_now_ms();
		result = left > 0 ? poll(&poll_fd, 1, (int)left) : 0;
	} while (result < 0 && errno == EINTR);
	if (result < 0)
		return qbd_fail(error, errno, "%s: %s", admin->where, strerror(errno));
	return result ? 0 : silent(admin, error);
}

static int broken(const struct qbd_admin *admin, int code, struct qbd_error *error)
{
	switch (code) {
	case ECONNREFUSED:
		return qbd_fail(error, code, "%s: nobody listens there (connection refused); bring a member up there, or correct the address",
				admin->where);
	case EHOSTUNREACH:
	case ENETUNREACH:
		return qbd_fail(error, code, "%s: cannot be reached (%s); look at the network between, or correct the address",
				admin->where, strerror(code));
	case ETIMEDOUT:
		return silent(admin, error);
	case ECONNRESET:
	case EPIPE:
		return hung_up(admin, code, error);
	default:
		return qbd_fail(error, code, "%s: cannot be reached: %s", admin->where,
				strerror(code));
	}
}

static int send_bytes(struct qbd_admin *admin, const void *bytes, size_t length,
		      int64_t end, struct qbd_error *error)
{
	const uint8_t *at = bytes;

	while (length) {
		ssize_t sent = send(admin->fd, at, length, MSG_NOSIGNAL);
		int result = 0;

		if (sent < 0 && errno == EAGAIN)
			result = wait_for(admin, POLLOUT, end, error);
		else if (sent < 0 && errno != EINTR)
			return broken(admin, errno, error);
		if (result)
			return result;
		if (sent > 0) {
			at += sent;
			length -= (size_t)sent;
		}
	}
	return 0;
}

static int receive_bytes(struct qbd_admin *admin, void *bytes, size_t length, int64_t end,
			 struct qbd_error *error)
{
	uint8_t *at = bytes;

	while (length) {
		ssize_t got = recv(admin->fd, at, length, 0);
		int result = 0;

		if (!got)
			return hung_up(admin, ECONNRESET, error);
		if (got < 0 && errno == EAGAIN)
			result = wait_for(admin, POLLIN, end, error);
		else if (got < 0 && errno != EINTR)
			return broken(admin, errno, error);
		if (result)
			return result;
		if (got > 0) {
			at += got;
			length -= (size_t)got;
		}
	}
	return 0;
}

/* ---- frames ------------------------------------------------------------- */

static int send_frame(struct qbd_admin *admin, uint16_t type, const void *fixed,
		      uint16_t fixed_bytes, const void *block, struct qbd_error *error)
{
	int64_t end = qbd_now_ms() + QBD_ADMIN_WAIT_MS;
	uint8_t bytes[sizeof(struct qbd_frame_header) + sizeof(struct qbd_frame_challenge)];
	struct qbd_frame_header header;
	int result;

	qbd_frame_seal(&header, type, fixed_bytes, block ? 1 : 0, admin->sent++,
		       qbd_crc32c(~0u, fixed, fixed_bytes),
		       block ? qbd_crc32c(~0u, block, QBD_BLOCK_SIZE) : 0);
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), fixed, fixed_bytes);
	result = send_bytes(admin, bytes, sizeof(header) + fixed_bytes, end, error);
	if (!result && block)
		result = send_bytes(admin, block, QBD_BLOCK_SIZE, end, error);
	return result;
}

/* A whole frame; @fixed: QBD_FRAME_FIXED_MAX, @block: QBD_BLOCK_SIZE, NULL before OPEN. */
static int receive_frame(struct qbd_admin *admin, struct qbd_frame_header *header,
			 void *fixed, void *block, struct qbd_error *error)
{
	enum qbd_frame_phase phase = block ? QBD_PHASE_ANSWER : QBD_PHASE_HANDSHAKE;
	int64_t end = qbd_now_ms() + QBD_ADMIN_WAIT_MS;
	const char *reason;
	int result;

	result = receive_bytes(admin, header, sizeof(*header), end, error);
	if (result)
		return result;
	if (!qbd_frame_header_check(header, phase, admin->received++, &reason))
		return no_member(admin, reason, error);
	result = receive_bytes(admin, fixed, le16_to_cpu(header->fixed_bytes), end, error);
	if (result)
		return result;
	/* No request is answered, so that the size of the device is of no account. */
	if (!qbd_frame_fixed_check(header, phase, fixed, 0, &reason))
		return no_member(admin, reason, error);
	if (!header->data_blocks)
		return 0;
	result = receive_bytes(admin, block, QBD_BLOCK_SIZE, end, error);
	if (!result && qbd_crc32c(~0u, block, QBD_BLOCK_SIZE) !=
		       le32_to_cpu(header->data_checksum))
		result = no_member(admin, "data checksum", error);
	return result;
}

/* ---- handshake ---------------------------------------------------------- */

static void compute_proof(const struct qbd_admin *admin, const struct qbd_token *token,
			  const char *label, uint8_t *proof)
{
	struct qbd_hmac hmac;

	qbd_hmac_init(&hmac, token->secret, QBD_SECRET_SIZE);
	qbd_sha256_update(&hmac.inner, label, strlen(label));
	qbd_sha256_update(&hmac.inner, &admin->own, sizeof(admin->own));
	qbd_sha256_update(&hmac.inner, &admin->peer, sizeof(admin->peer));
	qbd_hmac_final(&hmac, proof);
}

static int refused(const struct qbd_admin *admin, uint32_t reason, struct qbd_error *error)
{
	switch (reason) {
	case QBD_REFUSED_DEVICE:
		return qbd_fail(error, EACCES, "%s: a member of another device is there than the token is of; 'qbdadm token show' on a member prints the right one",
				admin->where);
	case QBD_REFUSED_SECRET:
		return qbd_fail(error, EACCES, "%s: the token's secret is not the device's; 'qbdadm token show' on a member prints the right one",
				admin->where);
	case QBD_REFUSED_BUSY:
		return qbd_fail(error, EBUSY, "%s: too many programs are connected to that member; try again soon",
				admin->where);
	default:
		return qbd_fail(error, EPROTO, "%s: refused: %s", admin->where,
				qbd_refusal_text(reason));
	}
}

static int make_hello(struct qbd_admin *admin, const struct qbd_token *token,
		      struct qbd_error *error)
{
	struct qbd_frame_hello *hello = &admin->own;
	struct {
		uint64_t session;
		uint8_t nonce[QBD_NONCE_SIZE];
	} random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return qbd_fail(error, EIO, "no random numbers from the kernel: %s",
				strerror(errno));
	hello->version = cpu_to_le16(QBD_WIRE_VERSION);
	hello->version_min = cpu_to_le16(QBD_WIRE_VERSION);
	hello->kind = cpu_to_le32(QBD_CONNECTION_ADMIN);
	hello->session = cpu_to_le64(random.session | 1);
	memcpy(hello->uuid, token->uuid, QBD_UUID_SIZE);
	memcpy(hello->nonce, random.nonce, QBD_NONCE_SIZE);
	return 0;
}

/* The frame that is due in the handshake, or why it does not come. */
static int expect(struct qbd_admin *admin, uint16_t type, void *fixed,
		  struct qbd_error *error)
{
	struct qbd_frame_header header;
	int result = receive_frame(admin, &header, fixed, NULL, error);

	if (result)
		return result;
	if (le16_to_cpu(header.type) == QBD_FRAME_REFUSED)
		return refused(admin,
			       le32_to_cpu(((struct qbd_frame_refused *)fixed)->reason),
			       error);
	if (le16_to_cpu(header.type) != type)
		return no_member(admin, "handshake out of order", error);
	return 0;
}

static int check_challenge(struct qbd_admin *admin, const struct qbd_token *token,
			   const struct qbd_frame_challenge *challenge,
			   struct qbd_error *error)
{
	uint8_t proof[QBD_PROOF_SIZE];
	uint32_t refusal;

	admin->peer = challenge->hello;
	refusal = qbd_frame_hello_check(&admin->peer, &admin->own, 0);
	if (!refusal && (admin->peer.kind != admin->own.kind ||
			 admin->peer.session != admin->own.session))
		refusal = QBD_REFUSED_PROTOCOL;
	if (refusal)
		return refused(admin, refusal, error);
	compute_proof(admin, token, "qbd listener", proof);
	if (memcmp(proof, challenge->proof, sizeof(proof)))
		return refused(admin, QBD_REFUSED_SECRET, error);
	return 0;
}

static int shake_hands(struct qbd_admin *admin, const struct qbd_token *token,
		       struct qbd_error *error)
{
	union {
		struct qbd_frame_challenge challenge;
		uint8_t bytes[QBD_FRAME_FIXED_MAX];
	} frame;
	struct qbd_frame_proof proof;
	int result;

	result = make_hello(admin, token, error);
	if (!result)
		result = send_frame(admin, QBD_FRAME_HELLO, &admin->own, sizeof(admin->own),
				    NULL, error);
	if (!result)
		result = expect(admin, QBD_FRAME_CHALLENGE, &frame, error);
	if (!result)
		result = check_challenge(admin, token, &frame.challenge, error);
	if (result)
		return result;
	compute_proof(admin, token, "qbd dialler", proof.proof);
	result = send_frame(admin, QBD_FRAME_PROOF, &proof, sizeof(proof), NULL, error);
	return result ? result : expect(admin, QBD_FRAME_WELCOME, &frame, error);
}

socklen_t qbd_address_to_socket(const struct qbd_address *address,
				struct sockaddr_storage *storage)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;
	struct sockaddr_in *in = (struct sockaddr_in *)storage;

	memset(storage, 0, sizeof(*storage));
	if (le16_to_cpu(address->family) == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(le16_to_cpu(address->port));
		memcpy(&in->sin_addr, address->bytes, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(le16_to_cpu(address->port));
	memcpy(&in6->sin6_addr, address->bytes, 16);
	return sizeof(*in6);
}

static int dial(struct qbd_admin *admin, const struct qbd_address *address,
		struct qbd_error *error)
{
	int64_t end = qbd_now_ms() + QBD_ADMIN_WAIT_MS;
	struct sockaddr_storage storage;
	socklen_t length = qbd_address_to_socket(address, &storage);
	int code = 0, one = 1, result;
	socklen_t size = sizeof(code);

	admin->fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (admin->fd < 0)
		return qbd_fail(error, errno, "%s: no socket: %s", admin->where,
				strerror(errno));
	setsockopt(admin->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!connect(admin->fd, (struct sockaddr *)&storage, length))
		return 0;
	if (errno != EINPROGRESS)
		return broken(admin, errno, error);
	result = wait_for(admin, POLLOUT, end, error);
	if (result)
		return result;
	getsockopt(admin->fd, SOL_SOCKET, SO_ERROR, &code, &size);
	return code ? broken(admin, code, error) : 0;
}

int qbd_admin_connect(struct qbd_admin *admin, const struct qbd_address *address,
		      const struct qbd_token *token, struct qbd_error *error)
{
	int result;

	memset(admin, 0, sizeof(*admin));
	qbd_address_text(address, admin->where);
	result = dial(admin, address, error);
	if (!result)
		result = shake_hands(admin, token, error);
	if (result)
		qbd_admin_close(admin);
	return result;
}

void qbd_admin_close(struct qbd_admin *admin)
{
	if (admin->fd >= 0)
		close(admin->fd);
	admin->fd = -1;
}

/* ---- requests ----------------------------------------------------------- */

/* Ask, and wait for the answer: @reply, and the block if there is one. */
static int ask(struct qbd_admin *admin, uint32_t kind, const void *block,
	       struct qbd_frame_reply *reply, void *answer, struct qbd_error *error)
{
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(kind),
		.count = cpu_to_le32(block ? 1 : 0),
		.sequence = cpu_to_le64(++admin->sequence),
		.session = admin->own.session,
	};
	uint8_t fixed[QBD_FRAME_FIXED_MAX];
	struct qbd_frame_header header;
	int result;

	result = send_frame(admin, QBD_FRAME_REQUEST, &request, sizeof(request), block, error);
	if (!result)
		result = receive_frame(admin, &header, fixed, answer, error);
	if (result)
		return result;
	memcpy(reply, fixed, sizeof(*reply));
	if (reply->sequence != request.sequence || reply->session != request.session)
		return no_member(admin, "an answer to something else", error);
	if (le32_to_cpu(reply->status) == QBD_REPLY_BUSY)
		return qbd_fail(error, EAGAIN, "%s: that member has no memory to spare just now; try again",
				admin->where);
	return 0;
}

/* Nothing else than what a member can be made of. */
static const char *description_flaw(const struct qbd_description *description)
{
	const struct qbd_membership_layout *members = &description->membership;
	uint64_t device_blocks = le64_to_cpu(description->device_blocks);
	uint64_t log_blocks = le64_to_cpu(description->log_blocks);
	uint32_t shift = le32_to_cpu(description->extent_shift);
	const char *reason;

	if (qbd_name_check(description->name, sizeof(description->name)) != QBD_NAME_GOOD)
		return "name of the device";
	if (!device_blocks || device_blocks >= 1ULL << 51 ||
	    log_blocks < QBD_LOG_BLOCKS_MIN || log_blocks > QBD_LOG_BLOCKS_MAX ||
	    log_blocks % QBD_ALIGNMENT_BLOCKS || shift < QBD_EXTENT_SHIFT_MIN ||
	    shift > QBD_EXTENT_SHIFT_MAX)
		return "sizes of the device";
	if (!qbd_claim_good(&description->claim))
		return "who has claimed the device";
	if (!qbd_membership_good(members, &reason))
		return reason;
	for (uint32_t i = 0; i < le32_to_cpu(members->count); i++)
		if (!qbd_flags_good(le16_to_cpu(members->members[i].flags)))
			return "flags of a member";
	for (uint32_t i = 0; i < le32_to_cpu(members->count); i++)
		if (qbd_name_check(members->members[i].name, QBD_MEMBER_NAME_SIZE) !=
		    QBD_NAME_GOOD ||
		    qbd_address_check(&members->members[i].address) != QBD_ADDRESS_GOOD)
			return "name or address of a member";
	return NULL;
}

int qbd_admin_describe(struct qbd_admin *admin, struct qbd_description *description,
		       struct qbd_error *error)
{
	uint8_t block[QBD_BLOCK_SIZE];
	struct qbd_frame_reply reply;
	const char *flaw;
	int result;

	result = ask(admin, QBD_REQUEST_DESCRIBE, NULL, &reply, block, error);
	if (result)
		return result;
	if (le32_to_cpu(reply.status) != QBD_REPLY_OK || !reply.count)
		return no_member(admin, "it does not say what device it is", error);
	/* What was said before stays unless this is good. */
	flaw = description_flaw((const struct qbd_description *)block);
	if (flaw)
		return no_member(admin, flaw, error);
	memcpy(description, block, sizeof(*description));
	return 0;
}

int qbd_admin_change(struct qbd_admin *admin, const struct qbd_membership_layout *wanted,
		     struct qbd_admin_answer *answer, struct qbd_error *error)
{
	uint8_t block[QBD_BLOCK_SIZE] = { 0 }, nothing[QBD_BLOCK_SIZE];
	struct qbd_frame_reply reply;
	int result;

	memcpy(block, wanted, sizeof(*wanted));
	result = ask(admin, QBD_REQUEST_CHANGE, block, &reply, nothing, error);
	if (result)
		return result;
	switch (le32_to_cpu(reply.status)) {
	case QBD_REPLY_OK:
		answer->result = QBD_CHANGE_DONE;
		break;
	case QBD_REPLY_NOT_LEADER:
		answer->result = QBD_CHANGE_NOT_LEADER;
		break;
	case QBD_REPLY_REFUSED:
		answer->result = le32_to_cpu(reply.detail);
		break;
	default:
		return no_member(admin, "a change that failed", error);
	}
	answer->member = le32_to_cpu(reply.member);
	return 0;
}
