// SPDX-License-Identifier: GPL-2.0
/* Pure checks of frames; see frame.h. */

#include "frame.h"

#define FIXED(type)	sizeof(struct qbd_frame_##type)

#define APPEND_FIXED_MIN \
	(FIXED(append) + offsetof(struct qbd_record_header, operations))
#define APPEND_FIXED_MAX \
	(APPEND_FIXED_MIN + sizeof(struct qbd_operation) * QBD_OPERATIONS_MAX)

#define FILL_COUNT_MAX	64u

#define IN(phase)	(1u << QBD_PHASE_##phase)

/* One line for every type: where it is legal and how long it may be. */
struct frame_rule {
	u16 type;
	u8 phases;
	u16 fixed_min;
	u16 fixed_max;
	u32 data_max;
};

static const struct frame_rule frame_rules[] = {
	/* A later version may have more to say, and shall be told that it is one. */
	{ QBD_FRAME_HELLO, IN(HANDSHAKE), FIXED(hello), FIXED(challenge), 0 },
	{ QBD_FRAME_CHALLENGE, IN(HANDSHAKE), FIXED(challenge), FIXED(challenge), 0 },
	{ QBD_FRAME_PROOF, IN(HANDSHAKE), FIXED(proof), FIXED(proof), 0 },
	{ QBD_FRAME_WELCOME, IN(HANDSHAKE), 0, 0, 0 },
	{ QBD_FRAME_REFUSED, IN(HANDSHAKE), FIXED(refused), FIXED(refused), 0 },
	{ QBD_FRAME_MESSAGE, IN(CONTROL), FIXED(message), FIXED(message), 0 },
	{ QBD_FRAME_PING, IN(CONTROL), 0, 0, 0 },
	{ QBD_FRAME_FILL, IN(CONTROL), FIXED(fill), FIXED(fill), 0 },
	{ QBD_FRAME_APPEND, IN(BULK),
	  APPEND_FIXED_MIN, APPEND_FIXED_MAX, QBD_FRAME_DATA_BLOCKS_MAX },
	{ QBD_FRAME_REQUEST, IN(BULK) | IN(ADMIN),
	  FIXED(request), FIXED(request), QBD_FRAME_DATA_BLOCKS_MAX },
	{ QBD_FRAME_REPLY, IN(BULK) | IN(ANSWER),
	  FIXED(reply), FIXED(reply), QBD_FRAME_DATA_BLOCKS_MAX },
	{ QBD_FRAME_RESET, IN(BULK), FIXED(reset), FIXED(reset), 0 },
	{ QBD_FRAME_EXTENT, IN(BULK),
	  FIXED(extent), FIXED(extent), QBD_FRAME_DATA_BLOCKS_MAX },
	{ QBD_FRAME_FILL_END, IN(BULK), FIXED(fill_end), FIXED(fill_end), 0 },
	{ QBD_FRAME_VERIFY, IN(BULK), FIXED(verify), FIXED(verify), 0 },
	{ QBD_FRAME_VERIFIED, IN(BULK),
	  FIXED(verified), FIXED(verified), 1 + QBD_VERIFY_DATA_MAX },
	{ QBD_FRAME_REPAIR, IN(BULK), FIXED(repair), FIXED(repair), QBD_VERIFY_DATA_MAX },
	{ QBD_FRAME_REPAIRED, IN(BULK), FIXED(repaired), FIXED(repaired), 0 },
	{}
};

static const struct frame_rule *find_rule(u16 type)
{
	const struct frame_rule *rule;

	for (rule = frame_rules; rule->type; rule++)
		if (rule->type == type)
			return rule;
	return NULL;
}

static u32 header_checksum(const struct qbd_frame_header *header)
{
	return qbd_crc32c(~0u, header, offsetof(struct qbd_frame_header,
						header_checksum));
}

void qbd_frame_seal(struct qbd_frame_header *header, u16 type, u16 fixed_bytes,
		    u32 data_blocks, u32 sequence, u32 fixed_checksum, u32 data_checksum)
{
	header->magic = cpu_to_le32(QBD_FRAME_MAGIC);
	header->type = cpu_to_le16(type);
	header->fixed_bytes = cpu_to_le16(fixed_bytes);
	header->data_blocks = cpu_to_le32(data_blocks);
	header->sequence = cpu_to_le32(sequence);
	header->fixed_checksum = cpu_to_le32(fixed_checksum);
	header->data_checksum = cpu_to_le32(data_checksum);
	header->reserved = 0;
	header->header_checksum = cpu_to_le32(header_checksum(header));
}

bool qbd_frame_header_check(const struct qbd_frame_header *header,
			    enum qbd_frame_phase phase, u32 sequence,
			    const char **reason)
{
	const struct frame_rule *rule;
	u32 fixed_bytes = le16_to_cpu(header->fixed_bytes);

	*reason = "not a qbd frame";
	if (le32_to_cpu(header->magic) != QBD_FRAME_MAGIC)
		return false;
	*reason = "frame header checksum";
	if (le32_to_cpu(header->header_checksum) != header_checksum(header))
		return false;
	*reason = "frame out of sequence";
	if (le32_to_cpu(header->sequence) != sequence)
		return false;
	*reason = "unknown frame type";
	rule = find_rule(le16_to_cpu(header->type));
	if (!rule)
		return false;
	*reason = "frame type that does not belong on this connection";
	if (!(rule->phases & (1u << phase)))
		return false;
	*reason = "frame length";
	if (fixed_bytes < rule->fixed_min || fixed_bytes > rule->fixed_max ||
	    le32_to_cpu(header->data_blocks) > rule->data_max)
		return false;
	*reason = "reserved frame field";
	return !header->reserved;
}

static bool within(u64 block, u64 count, u64 device_blocks)
{
	return count <= device_blocks && block <= device_blocks - count;
}

/* The record itself is looked at by qbd_record_header_check(). */
static bool append_check(const struct qbd_frame_append *append, u32 fixed_bytes,
			 u32 data_blocks, const char **reason)
{
	const struct qbd_record_shared *record = (const void *)(append + 1);
	u32 operations = le16_to_cpu(record->operation_count);
	u64 previous = le64_to_cpu(append->previous_index);
	u64 index = le64_to_cpu(record->index);
	u64 term = le64_to_cpu(record->term);

	*reason = "append: length of the record header";
	if (operations > QBD_OPERATIONS_MAX ||
	    fixed_bytes != sizeof(*append) + qbd_record_header_bytes(operations))
		return false;
	*reason = "append: data is not the record's";
	if (le32_to_cpu(record->data_blocks) != data_blocks)
		return false;
	*reason = "append: index";
	if (previous >= QBD_INDEX_MAX || index != previous + 1 ||
	    le64_to_cpu(append->commit_index) > index)
		return false;
	*reason = "append: term";
	return term && term <= le64_to_cpu(append->leader_term) &&
	       le64_to_cpu(append->leader_term) <= QBD_INDEX_MAX &&
	       le64_to_cpu(append->previous_term) <= term;
}

/* Programs look at the device and change its members; members do all but look. */
static bool request_belongs(u32 kind, enum qbd_frame_phase phase)
{
	if (phase == QBD_PHASE_ADMIN)
		return kind == QBD_REQUEST_DESCRIBE || kind == QBD_REQUEST_CHANGE;
	return kind != QBD_REQUEST_DESCRIBE;
}

static bool claim_check(const struct qbd_frame_request *request)
{
	u64 block = le64_to_cpu(request->block);

	/* Nobody's run has number 0: a claim with it is nobody's. */
	if (!request->session || le64_to_cpu(request->epoch) >= QBD_INDEX_MAX)
		return false;
	switch (le32_to_cpu(request->count)) {
	case QBD_CLAIM_TAKE:
		return !block || block == QBD_CLAIM_FORCE || block == QBD_CLAIM_GOES_ON ||
		       block == QBD_CLAIM_READ;
	case QBD_CLAIM_RELEASE:
		return !block;
	case QBD_CLAIM_MODE:
		return block <= QBD_CLAIM_SHARED;
	default:
		return false;
	}
}

/* Those of writes, and of no other, become an operation's. */
static bool number_good(const struct qbd_frame_request *request, u32 kind)
{
	u64 sequence = le64_to_cpu(request->sequence);
	u32 outstanding = le16_to_cpu(request->outstanding);

	if (kind == QBD_REQUEST_WRITE || kind == QBD_REQUEST_ZERO)
		return sequence > outstanding && !(sequence >> 62) &&
		       outstanding < QBD_SESSION_WINDOW;
	return !outstanding;
}

static bool request_check(const struct qbd_frame_request *request,
			  enum qbd_frame_phase phase, u32 data_blocks,
			  u64 device_blocks, const char **reason)
{
	u32 kind = le32_to_cpu(request->kind);
	u32 count = le32_to_cpu(request->count);
	u32 most = kind == QBD_REQUEST_ZERO ? QBD_ZERO_BLOCKS_MAX :
					      QBD_RECORD_DATA_BLOCKS_MAX;

	*reason = "request: of a kind that does not belong on this connection";
	if (!request_belongs(kind, phase))
		return false;
	*reason = "request: data is not the request's";
	if (data_blocks != (kind == QBD_REQUEST_WRITE || kind == QBD_REQUEST_CHANGE ?
			    count : 0) || request->data_checksum)
		return false;
	switch (kind) {
	case QBD_REQUEST_READ:
	case QBD_REQUEST_WRITE:
	case QBD_REQUEST_ZERO:
		*reason = "request: outside of the device";
		if (!count || count > most ||
		    !within(le64_to_cpu(request->block), count, device_blocks))
			return false;
		*reason = "request: not numbered as its kind is";
		return number_good(request, kind);
	case QBD_REQUEST_LEADER_MOVE:
		*reason = "request: member to move the leader to";
		return !count && le64_to_cpu(request->block) <= 0xffffffffu;
	case QBD_REQUEST_CHANGE:
		*reason = "request: member list";
		return count == 1 && !request->block;
	case QBD_REQUEST_RESIZE:
		*reason = "request: size";
		return !count && le64_to_cpu(request->block) <= QBD_DEVICE_BLOCKS_MAX;
	case QBD_REQUEST_DESCRIBE:
		*reason = "request: describe takes nothing";
		return !count && !request->block;
	case QBD_REQUEST_CLAIM:
		*reason = "request: malformed claim";
		return claim_check(request);
	default:
		*reason = "request: unknown kind";
		return false;
	}
}

static bool reply_check(const struct qbd_frame_reply *reply, enum qbd_frame_phase phase,
			u32 data_blocks, const char **reason)
{
	u32 status = le32_to_cpu(reply->status);

	*reason = "reply: unknown status";
	if (status > QBD_REPLY_FENCED)
		return false;
	*reason = "reply: data is not the reply's";
	if (phase == QBD_PHASE_ANSWER && data_blocks > 1)
		return false;
	return le32_to_cpu(reply->count) == data_blocks &&
	       (!data_blocks || status == QBD_REPLY_OK);
}

static bool reset_check(const struct qbd_frame_reset *reset, const char **reason)
{
	u32 count = le32_to_cpu(reset->membership.count);

	*reason = "reset: index or term";
	if (le64_to_cpu(reset->index) >= QBD_INDEX_MAX ||
	    le64_to_cpu(reset->leader_term) > QBD_INDEX_MAX ||
	    le64_to_cpu(reset->term) > le64_to_cpu(reset->leader_term))
		return false;
	*reason = "reset: size of the device";
	if (!reset->device_blocks ||
	    le64_to_cpu(reset->device_blocks) > QBD_DEVICE_BLOCKS_MAX)
		return false;
	*reason = "reset: members";
	return count && count <= QBD_MEMBERS_MAX;
}

static bool fill_check(const struct qbd_frame_fill *fill, const char **reason)
{
	u32 count = le32_to_cpu(fill->count);

	*reason = "fill: unknown flags";
	if (le32_to_cpu(fill->flags) & ~QBD_FILL_CHECK)
		return false;
	*reason = "fill: number of extents";
	return count && count <= FILL_COUNT_MAX;
}

static bool extent_check(const struct qbd_frame_extent *extent, u32 data_blocks,
			 u64 device_blocks, const char **reason)
{
	u32 count = le32_to_cpu(extent->count);
	u32 flags = le32_to_cpu(extent->flags);
	bool zero = flags & QBD_EXTENT_ZERO;

	*reason = "extent: unknown flags";
	if (flags & ~(QBD_EXTENT_ZERO | QBD_EXTENT_LAST_PIECE | QBD_EXTENT_DIGEST) ||
	    (zero && flags & QBD_EXTENT_DIGEST))
		return false;
	*reason = "extent: commit index";
	if (le64_to_cpu(extent->index) >= QBD_INDEX_MAX)
		return false;
	*reason = "extent: data is not the extent's";
	if (data_blocks != (zero || flags & QBD_EXTENT_DIGEST ? 0 : count))
		return false;
	*reason = "extent: outside of the device";
	return count && count <= QBD_ZERO_BLOCKS_MAX &&
	       within(le64_to_cpu(extent->block), count, device_blocks);
}

static bool fill_end_check(const struct qbd_frame_fill_end *end, const char **reason)
{
	*reason = "end of a fill: commit index";
	return le64_to_cpu(end->index) < QBD_INDEX_MAX;
}

static bool verify_check(const struct qbd_frame_verify *verify, u64 device_blocks,
			 const char **reason)
{
	u32 count = le32_to_cpu(verify->count);
	u32 flags = le32_to_cpu(verify->flags);

	*reason = "verify: unknown flags";
	if (flags & ~(QBD_VERIFY_DATA | QBD_VERIFY_APPLIED))
		return false;
	*reason = "verify: outside of the device";
	return count && count <= (flags & QBD_VERIFY_DATA ? QBD_VERIFY_DATA_MAX :
							    QBD_VERIFY_BLOCKS_MAX) &&
	       within(le64_to_cpu(verify->block), count, device_blocks);
}

static bool verified_check(const struct qbd_frame_verified *verified, u32 data_blocks,
			   const char **reason)
{
	u32 status = le32_to_cpu(verified->status);
	u32 count = le32_to_cpu(verified->count);

	*reason = "verified: unknown status";
	if (status > QBD_VERIFY_FAILED)
		return false;
	*reason = "verified: number of blocks";
	if (!count || count > QBD_VERIFY_BLOCKS_MAX)
		return false;
	*reason = "verified: number of blocks to follow";
	if (le32_to_cpu(verified->next_count) > QBD_VERIFY_BLOCKS_MAX || verified->reserved)
		return false;
	*reason = "verified: data is not the answer's";
	if (status != QBD_VERIFY_OK)
		return !data_blocks;
	return data_blocks == 1 || data_blocks == 1 + count;
}

static bool repair_check(const struct qbd_frame_repair *repair, u32 data_blocks,
			 u64 device_blocks, const char **reason)
{
	u32 count = le32_to_cpu(repair->count);

	*reason = "repair: data is not the repair's";
	if (!count || data_blocks != count)
		return false;
	*reason = "repair: outside of the device";
	return within(le64_to_cpu(repair->block), count, device_blocks);
}

static bool repaired_check(const struct qbd_frame_repaired *repaired, const char **reason)
{
	u32 status = le32_to_cpu(repaired->status);

	*reason = "repaired: unknown status";
	if (status > QBD_REPAIR_BUSY)
		return false;
	*reason = "repaired: index";
	return status == QBD_REPAIR_APPENDED ?
	       repaired->index && le64_to_cpu(repaired->index) <= QBD_INDEX_MAX :
	       !repaired->index;
}

static bool message_check(const struct qbd_frame_message *message, const char **reason)
{
	u32 type = le32_to_cpu(message->type);

	*reason = "message: unknown type";
	if (!type || type >= QBD_MESSAGE_TYPE_END)
		return false;
	*reason = "message: unknown flags";
	return !(le32_to_cpu(message->flags) & ~QBD_MESSAGE_FLAGS);
}

bool qbd_frame_fixed_check(const struct qbd_frame_header *header,
			   enum qbd_frame_phase phase, const void *fixed,
			   u64 device_blocks, const char **reason)
{
	u32 fixed_bytes = le16_to_cpu(header->fixed_bytes);
	u32 data_blocks = le32_to_cpu(header->data_blocks);

	*reason = "frame checksum";
	if (qbd_crc32c(~0u, fixed, fixed_bytes) != le32_to_cpu(header->fixed_checksum))
		return false;
	switch (le16_to_cpu(header->type)) {
	case QBD_FRAME_MESSAGE:
		return message_check(fixed, reason);
	case QBD_FRAME_APPEND:
		return append_check(fixed, fixed_bytes, data_blocks, reason);
	case QBD_FRAME_REQUEST:
		return request_check(fixed, phase, data_blocks, device_blocks, reason);
	case QBD_FRAME_REPLY:
		return reply_check(fixed, phase, data_blocks, reason);
	case QBD_FRAME_RESET:
		return reset_check(fixed, reason);
	case QBD_FRAME_FILL:
		return fill_check(fixed, reason);
	case QBD_FRAME_EXTENT:
		return extent_check(fixed, data_blocks, device_blocks, reason);
	case QBD_FRAME_FILL_END:
		return fill_end_check(fixed, reason);
	case QBD_FRAME_VERIFY:
		return verify_check(fixed, device_blocks, reason);
	case QBD_FRAME_VERIFIED:
		return verified_check(fixed, data_blocks, reason);
	case QBD_FRAME_REPAIR:
		return repair_check(fixed, data_blocks, device_blocks, reason);
	case QBD_FRAME_REPAIRED:
		return repaired_check(fixed, reason);
	default:
		/* The rest has no fixed part or is the handshake's to judge. */
		return true;
	}
}

/* One is a program, which is nobody, the other a member; neither wants a certain one. */
static bool admin_pair(const struct qbd_frame_hello *a, const struct qbd_frame_hello *b)
{
	return !a->from != !b->from && !a->to && !b->to;
}

enum qbd_refusal qbd_frame_hello_check(const struct qbd_frame_hello *hello,
				       const struct qbd_frame_hello *self, u32 peer)
{
	u32 from = le32_to_cpu(hello->from);

	if (le16_to_cpu(hello->version) < le16_to_cpu(self->version_min) ||
	    le16_to_cpu(self->version) < le16_to_cpu(hello->version_min))
		return QBD_REFUSED_VERSION;
	if (memcmp(hello->uuid, self->uuid, QBD_UUID_SIZE))
		return QBD_REFUSED_DEVICE;
	if (le32_to_cpu(self->kind) == QBD_CONNECTION_ADMIN)
		return admin_pair(hello, self) ? 0 : QBD_REFUSED_MEMBER;
	if (memcmp(hello->history, self->history, QBD_UUID_SIZE))
		return QBD_REFUSED_HISTORY;
	/* Before the members: if these differ it is why the lists do. */
	if (hello->configuration != self->configuration)
		return QBD_REFUSED_CONFIGURATION;
	if (hello->to != self->from || !from || hello->from == self->from ||
	    (peer && from != peer))
		return QBD_REFUSED_MEMBER;
	return 0;
}

bool qbd_frame_list_is_past(const struct qbd_frame_hello *hello, u64 index)
{
	return le64_to_cpu(hello->listed) > index;
}

bool qbd_frame_disk_check(const struct qbd_frame_hello *hello, const u8 *incarnation,
			  u64 index)
{
	static const u8 unknown[QBD_UUID_SIZE];

	return !memcmp(incarnation, unknown, QBD_UUID_SIZE) ||
	       !memcmp(incarnation, hello->incarnation, QBD_UUID_SIZE) ||
	       le32_to_cpu(hello->flags) & QBD_HELLO_NEW ||
	       qbd_frame_list_is_past(hello, index);
}

bool qbd_frame_newcomer_check(const struct qbd_frame_hello *hello, u32 self, u64 committed)
{
	return le32_to_cpu(hello->from) > self && le64_to_cpu(hello->listed) > committed;
}

const char *qbd_refusal_text(u32 reason)
{
	switch (reason) {
	case QBD_REFUSED_VERSION:
		return "no common wire version";
	case QBD_REFUSED_DEVICE:
		return "another device (wrong uuid)";
	case QBD_REFUSED_MEMBER:
		return "not a member, or not the one expected";
	case QBD_REFUSED_SECRET:
		return "wrong secret";
	case QBD_REFUSED_PROTOCOL:
		return "malformed frame";
	case QBD_REFUSED_CONFIGURATION:
		return "made with other members, name or sizes";
	case QBD_REFUSED_BUSY:
		return "too many programs are connected";
	case QBD_REFUSED_DISK:
		return "another disk is this member now";
	case QBD_REFUSED_HISTORY:
		return "not of the history that was recovered by force";
	case QBD_REFUSED_REMOVED:
		return "removed from the device";
	case QBD_REFUSED_TWICE:
		return "this member is up twice: a copy of its disk?";
	case QBD_REFUSED_PERHAPS:
		return "an earlier connection of this member has not ended yet";
	default:
		return "unknown reason";
	}
}

void qbd_frame_message_encode(struct qbd_frame_message *frame,
			      const struct qbd_core_message *message)
{
	frame->type = cpu_to_le32(message->type);
	frame->flags = cpu_to_le32(message->flags);
	frame->from = cpu_to_le32(message->from);
	frame->to = cpu_to_le32(message->to);
	frame->term = cpu_to_le64(message->term);
	frame->index = cpu_to_le64(message->index);
	frame->log_term = cpu_to_le64(message->log_term);
	frame->commit = cpu_to_le64(message->commit);
	frame->round = cpu_to_le64(message->round);
	frame->matched = cpu_to_le64(message->matched);
	frame->durable = cpu_to_le64(message->durable);
	frame->reject_index = cpu_to_le64(message->reject_index);
	frame->hint_index = cpu_to_le64(message->hint_index);
	frame->hint_term = cpu_to_le64(message->hint_term);
	frame->timeout = cpu_to_le64(message->timeout);
	frame->reachable = cpu_to_le64(message->reachable);
	frame->session = cpu_to_le64(message->session);
	frame->room = cpu_to_le64(message->room);
	frame->max_rate = cpu_to_le64(message->max_rate);
	frame->max_rate_version = cpu_to_le64(message->max_rate_version);
}

void qbd_frame_message_decode(struct qbd_core_message *message,
			      const struct qbd_frame_message *frame)
{
	message->type = le32_to_cpu(frame->type);
	message->flags = le32_to_cpu(frame->flags);
	message->from = le32_to_cpu(frame->from);
	message->to = le32_to_cpu(frame->to);
	message->term = le64_to_cpu(frame->term);
	message->index = le64_to_cpu(frame->index);
	message->log_term = le64_to_cpu(frame->log_term);
	message->commit = le64_to_cpu(frame->commit);
	message->round = le64_to_cpu(frame->round);
	message->matched = le64_to_cpu(frame->matched);
	message->durable = le64_to_cpu(frame->durable);
	message->reject_index = le64_to_cpu(frame->reject_index);
	message->hint_index = le64_to_cpu(frame->hint_index);
	message->hint_term = le64_to_cpu(frame->hint_term);
	message->timeout = le64_to_cpu(frame->timeout);
	message->reachable = le64_to_cpu(frame->reachable);
	message->session = le64_to_cpu(frame->session);
	message->room = le64_to_cpu(frame->room);
	message->max_rate = le64_to_cpu(frame->max_rate);
	message->max_rate_version = le64_to_cpu(frame->max_rate_version);
}

static bool stream_data_good(const struct qbd_frame_header *header, const u8 *data,
			     size_t bytes)
{
	return !bytes || !qbd_frame_checks_data(le16_to_cpu(header->type)) ||
	       qbd_crc32c(~0u, data, bytes) == le32_to_cpu(header->data_checksum);
}

bool qbd_frame_stream_check(const void *bytes, size_t size, enum qbd_frame_phase phase,
			    u64 device_blocks, u32 *frames)
{
	const u8 *at = bytes;
	struct qbd_frame_header header;
	const char *reason;
	size_t length;

	*frames = 0;
	while (size >= sizeof(header)) {
		memcpy(&header, at, sizeof(header));
		at += sizeof(header);
		size -= sizeof(header);
		if (!qbd_frame_header_check(&header, phase, *frames, &reason))
			return false;
		length = le16_to_cpu(header.fixed_bytes);
		if (size < length)
			return true;
		if (!qbd_frame_fixed_check(&header, phase, at, device_blocks, &reason))
			return false;
		at += length;
		size -= length;
		length = (size_t)le32_to_cpu(header.data_blocks) << QBD_BLOCK_SHIFT;
		if (size < length)
			return true;
		if (!stream_data_good(&header, at, length))
			return false;
		at += length;
		size -= length;
		(*frames)++;
	}
	return true;
}
