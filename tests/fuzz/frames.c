// SPDX-License-Identifier: GPL-2.0
/*
 * Streams of frames, as one that has the secret could send them. Frames are made of
 * a header, fixed part and data that fit together, spoiled by the input, and then
 * given the checksums that they need to be looked at; or the input is the stream.
 *
 * What comes out is judged twice: step by step as kmod/net/receive.c does, each
 * part in memory of exactly its size, and as a whole.
 */
#include "../../kmod/net/frame.h"
#include "../../kmod/record/header.h"
#include "input.h"

#define STREAM_MAX	(2u << 20)

static const uint8_t uuid[QBD_UUID_SIZE] = "a device's uuid";

static const struct {
	uint16_t type;
	uint8_t phase;
	uint16_t fixed;
} kinds[] = {
	{ QBD_FRAME_HELLO, QBD_PHASE_HANDSHAKE, sizeof(struct qbd_frame_hello) },
	{ QBD_FRAME_CHALLENGE, QBD_PHASE_HANDSHAKE, sizeof(struct qbd_frame_challenge) },
	{ QBD_FRAME_PROOF, QBD_PHASE_HANDSHAKE, sizeof(struct qbd_frame_proof) },
	{ QBD_FRAME_WELCOME, QBD_PHASE_HANDSHAKE, 0 },
	{ QBD_FRAME_REFUSED, QBD_PHASE_HANDSHAKE, sizeof(struct qbd_frame_refused) },
	{ QBD_FRAME_MESSAGE, QBD_PHASE_CONTROL, sizeof(struct qbd_frame_message) },
	{ QBD_FRAME_PING, QBD_PHASE_CONTROL, 0 },
	{ QBD_FRAME_APPEND, QBD_PHASE_BULK, 0 },
	{ QBD_FRAME_REQUEST, QBD_PHASE_BULK, sizeof(struct qbd_frame_request) },
	{ QBD_FRAME_REPLY, QBD_PHASE_BULK, sizeof(struct qbd_frame_reply) },
	{ QBD_FRAME_RESET, QBD_PHASE_BULK, sizeof(struct qbd_frame_reset) },
	{ QBD_FRAME_FILL, QBD_PHASE_CONTROL, sizeof(struct qbd_frame_fill) },
	{ QBD_FRAME_EXTENT, QBD_PHASE_BULK, sizeof(struct qbd_frame_extent) },
	{ QBD_FRAME_FILL_END, QBD_PHASE_BULK, sizeof(struct qbd_frame_fill_end) },
	{ QBD_FRAME_VERIFY, QBD_PHASE_BULK, sizeof(struct qbd_frame_verify) },
	{ QBD_FRAME_VERIFIED, QBD_PHASE_BULK, sizeof(struct qbd_frame_verified) },
	{ QBD_FRAME_REPAIR, QBD_PHASE_BULK, sizeof(struct qbd_frame_repair) },
	{ QBD_FRAME_REPAIRED, QBD_PHASE_BULK, sizeof(struct qbd_frame_repaired) },
};

#define KINDS	(sizeof(kinds) / sizeof(kinds[0]))

static uint8_t stream[STREAM_MAX];
static size_t stream_size;

/* ---- making ------------------------------------------------------------- */

/* The fixed part is as the input says, here and there. */
static void spoil(struct input *input, uint8_t *fixed, size_t bytes)
{
	unsigned int count = take_u8(input) & 15;

	while (count-- && bytes)
		take_patch(input, fixed, bytes);
}

/* A record as a leader sends it. Return: the length of the fixed part. */
static size_t make_append(struct input *input, uint8_t *fixed, uint32_t *data_blocks)
{
	struct qbd_frame_append *append = (void *)fixed;
	struct qbd_record_header *record = (void *)(append + 1);
	unsigned int kind = take_u8(input) % 6;
	unsigned int operations = kind < 3 ? 1 + take_u8(input) % QBD_OPERATIONS_MAX : 0;
	uint64_t index = 1 + take_u16(input);

	*data_blocks = kind == 4;
	for (unsigned int i = 0; i < operations; i++) {
		struct qbd_operation *operation = &record->operations[i];
		uint8_t choice = take_u8(input);
		bool zero = choice & 1 || *data_blocks >= 16;
		bool repair = operations == 1 && !zero && choice & 2;
		uint32_t count = 1 + take_u8(input) % 4;

		operation->kind = cpu_to_le16(zero ? QBD_OPERATION_ZERO : repair ?
					      QBD_OPERATION_REPAIR : QBD_OPERATION_WRITE);
		operation->sequence = cpu_to_le64(repair ? index - 1 : 0);
		operation->count = cpu_to_le32(count);
		operation->block = cpu_to_le64(take_u8(input));
		*data_blocks += zero ? 0 : count;
	}
	record->shared.magic = cpu_to_le32(QBD_RECORD_MAGIC);
	record->shared.kind = cpu_to_le16(kind < 3 ? QBD_RECORD_DATA : kind == 4 ?
					  QBD_RECORD_MEMBERSHIP : QBD_RECORD_NOOP);
	record->shared.operation_count = cpu_to_le16(operations);
	record->shared.index = cpu_to_le64(index);
	record->shared.term = cpu_to_le64(2);
	record->shared.data_blocks = cpu_to_le32(*data_blocks);
	append->leader_term = cpu_to_le64(3);
	append->previous_index = cpu_to_le64(index - 1);
	append->previous_term = cpu_to_le64(1);
	append->commit_index = cpu_to_le64(index / 2);
	return sizeof(*append) + qbd_record_header_bytes(operations);
}

static void make_request(struct qbd_frame_request *request, uint8_t choice, uint32_t count,
			 uint32_t *data_blocks)
{
	uint32_t kind = 1 + choice % 4;

	if (choice >= 0xc0)
		kind = choice & 1 ? QBD_REQUEST_CHANGE : QBD_REQUEST_DESCRIBE;
	if (kind > 4)
		count = kind == QBD_REQUEST_CHANGE;
	if (choice >= 0xb0 && choice < 0xc0) {
		kind = QBD_REQUEST_CLAIM;
		count = 1 + choice % 3;
		request->session = cpu_to_le64(choice);
	}
	if (choice >= 0xa8 && choice < 0xb0) {
		kind = QBD_REQUEST_RESIZE;
		count = 0;
		request->block = cpu_to_le64(choice);
	}
	request->kind = cpu_to_le32(kind);
	request->count = cpu_to_le32(count);
	/* Rather one that may be. */
	request->sequence = cpu_to_le64(kind == QBD_REQUEST_READ ? 1ull << 62 : 1u + choice);
	if (kind == QBD_REQUEST_WRITE || kind == QBD_REQUEST_CHANGE)
		*data_blocks = count;
}

static void make_fixed(struct input *input, uint16_t type, uint8_t *fixed,
		       uint32_t *data_blocks)
{
	struct qbd_frame_request *request = (void *)fixed;
	struct qbd_frame_extent *extent = (void *)fixed;
	struct qbd_frame_reset *reset = (void *)fixed;
	struct qbd_frame_reply *reply = (void *)fixed;
	struct qbd_frame_fill *fill = (void *)fixed;
	struct qbd_frame_verify *verify = (void *)fixed;
	struct qbd_frame_verified *verified = (void *)fixed;
	struct qbd_frame_repair *repair = (void *)fixed;
	struct qbd_frame_repaired *repaired = (void *)fixed;
	uint32_t count = 1 + take_u8(input) % 4;

	switch (type) {
	case QBD_FRAME_HELLO:
	case QBD_FRAME_CHALLENGE:
		memset(fixed, 1, sizeof(struct qbd_frame_hello));
		/* From nobody, or another member. */
		((struct qbd_frame_hello *)fixed)->from = cpu_to_le32(count - 1);
		break;
	case QBD_FRAME_MESSAGE:
		fixed[0] = (uint8_t)(1 + count);
		break;
	case QBD_FRAME_REQUEST:
		make_request(request, take_u8(input), count, data_blocks);
		break;
	case QBD_FRAME_REPLY:
		reply->count = cpu_to_le32(count);
		*data_blocks = count;
		break;
	case QBD_FRAME_RESET:
		reset->membership.count = cpu_to_le32(count);
		break;
	case QBD_FRAME_FILL:
		fill->count = cpu_to_le32(count);
		break;
	case QBD_FRAME_EXTENT:
		extent->count = cpu_to_le32(count);
		*data_blocks = count;
		break;
	case QBD_FRAME_VERIFY:
		verify->count = cpu_to_le32(count);
		break;
	case QBD_FRAME_VERIFIED:
		verified->count = cpu_to_le32(count);
		verified->next_count = cpu_to_le32(count);
		*data_blocks = 1 + (count & 1 ? count : 0);
		break;
	case QBD_FRAME_REPAIR:
		repair->count = cpu_to_le32(count);
		*data_blocks = count;
		break;
	case QBD_FRAME_REPAIRED:
		repaired->index = cpu_to_le64(count);
		break;
	}
}

/* Checksums over what the fixed part has become. */
static void seal_append(uint8_t *fixed, size_t bytes)
{
	struct qbd_record_header *record = (void *)(fixed + sizeof(struct qbd_frame_append));
	uint32_t operations = le16_to_cpu(record->shared.operation_count);

	if (operations <= QBD_OPERATIONS_MAX &&
	    bytes >= sizeof(struct qbd_frame_append) + qbd_record_header_bytes(operations))
		record->shared.chain = cpu_to_le32(qbd_record_chain(record, uuid));
}

static uint32_t checksum_header(const struct qbd_frame_header *header)
{
	return qbd_crc32c(~0u, header, offsetof(struct qbd_frame_header, header_checksum));
}

/* Return: false if there is no room for more. */
static bool add_frame(struct input *input, uint32_t sequence)
{
	static uint8_t fixed[QBD_FRAME_FIXED_MAX];
	struct qbd_frame_header header;
	unsigned int kind = take_u8(input);
	unsigned int fault = take_u8(input);
	uint16_t type = kinds[kind % KINDS].type;
	size_t fixed_bytes = kinds[kind % KINDS].fixed;
	uint32_t data_blocks = 0, data_checksum;
	size_t data_bytes;

	memset(fixed, 0, sizeof(fixed));
	if (type == QBD_FRAME_APPEND)
		fixed_bytes = make_append(input, fixed, &data_blocks);
	else
		make_fixed(input, type, fixed, &data_blocks);
	if ((fault & 0x0f) == 1)
		fixed_bytes = take_u16(input) % (sizeof(fixed) + 1);
	if ((fault & 0x0f) == 2)
		data_blocks = take_u16(input) % (QBD_FRAME_DATA_BLOCKS_MAX + 2);
	spoil(input, fixed, fixed_bytes);
	if (type == QBD_FRAME_APPEND && !(fault & 0x40))
		seal_append(fixed, fixed_bytes);
	data_bytes = (size_t)data_blocks << QBD_BLOCK_SHIFT;
	if (sizeof(header) + fixed_bytes + data_bytes > STREAM_MAX - stream_size)
		return false;
	memcpy(stream + stream_size + sizeof(header), fixed, fixed_bytes);
	memset(stream + stream_size + sizeof(header) + fixed_bytes, kind, data_bytes);
	data_checksum = data_blocks ? qbd_crc32c(~0u, stream + stream_size + sizeof(header) +
						 fixed_bytes, data_bytes) : 0;
	qbd_frame_seal(&header, type, (uint16_t)fixed_bytes, data_blocks, sequence,
		       qbd_crc32c(~0u, fixed, fixed_bytes), data_checksum);
	if (fault & 0x80) {
		/* The header, and the checksum over it only half of the time. */
		spoil(input, (uint8_t *)&header, sizeof(header));
		if (fault & 0x20)
			header.header_checksum = cpu_to_le32(checksum_header(&header));
	}
	memcpy(stream + stream_size, &header, sizeof(header));
	stream_size += sizeof(header) + fixed_bytes + data_bytes;
	return true;
}

/* ---- judging ------------------------------------------------------------ */

static bool is_within(uint64_t block, uint64_t count, uint64_t device_blocks)
{
	uint64_t end;

	return !__builtin_add_overflow(block, count, &end) && end <= device_blocks;
}

/* To a member that is dialled by a program: it is nobody, and wants nobody. */
static void judge_program(const struct qbd_frame_hello *hello)
{
	struct qbd_frame_hello self;

	memset(&self, 1, sizeof(self));
	self.kind = cpu_to_le32(QBD_CONNECTION_ADMIN);
	self.to = 0;
	if (!qbd_frame_hello_check(hello, &self, 0))
		REQUIRE(!hello->from && !hello->to &&
			!memcmp(hello->uuid, self.uuid, QBD_UUID_SIZE));
}

static void judge_hello(const struct qbd_frame_hello *hello)
{
	struct qbd_frame_hello self;
	enum qbd_refusal refusal;
	uint32_t other;

	judge_program(hello);
	memset(&self, 1, sizeof(self));
	refusal = qbd_frame_hello_check(hello, &self, 0);
	REQUIRE(refusal <= QBD_REFUSED_CONFIGURATION || refusal == QBD_REFUSED_HISTORY);
	REQUIRE(!refusal || strcmp(qbd_refusal_text(refusal), "unknown reason"));
	if (refusal)
		return;
	REQUIRE(!memcmp(hello->uuid, self.uuid, QBD_UUID_SIZE));
	REQUIRE(hello->from && hello->from != self.from && hello->to == self.from);
	REQUIRE(hello->configuration == self.configuration);
	REQUIRE(!memcmp(hello->history, self.history, QBD_UUID_SIZE));
	/* Whatever the list says: it is that disk, a new one, or one of a newer list. */
	if (qbd_frame_disk_check(hello, self.incarnation, 7))
		REQUIRE(!memcmp(hello->incarnation, self.incarnation, QBD_UUID_SIZE) ||
			le32_to_cpu(hello->flags) & QBD_HELLO_NEW ||
			le64_to_cpu(hello->listed) > 7);
	REQUIRE(le16_to_cpu(hello->version) >= le16_to_cpu(self.version_min));
	REQUIRE(le16_to_cpu(hello->version_min) <= le16_to_cpu(self.version));
	/* One that was wanted is no other one; 0 is whoever comes. */
	REQUIRE(!qbd_frame_hello_check(hello, &self, le32_to_cpu(hello->from)));
	other = le32_to_cpu(hello->from) == 2 ? 3 : 2;
	REQUIRE(qbd_frame_hello_check(hello, &self, other) == QBD_REFUSED_MEMBER);
}

static void judge_message(const struct qbd_frame_message *frame)
{
	struct qbd_frame_message again;
	struct qbd_core_message message;

	qbd_frame_message_decode(&message, frame);
	REQUIRE(message.type && message.type < QBD_MESSAGE_TYPE_END);
	REQUIRE(!(message.flags & ~(uint32_t)QBD_MESSAGE_FLAGS));
	qbd_frame_message_encode(&again, &message);
	REQUIRE(!memcmp(&again, frame, sizeof(again)));
}

/* What the receiver takes pages for, and the replica believes. */
static void judge_record(const struct qbd_record_header *record, size_t bytes,
			 uint64_t device_blocks)
{
	struct qbd_record_header *copy = copy_exactly(record, bytes - 1);
	uint32_t operations = le16_to_cpu(record->shared.operation_count);
	const char *reason;
	uint64_t data = 0;

	/* Of its last byte nothing can be known. */
	REQUIRE(qbd_record_header_check(copy, bytes - 1, uuid, device_blocks, &reason));
	free(copy);
	copy = copy_exactly(record, bytes);
	if (!qbd_record_header_check(copy, bytes, uuid, device_blocks, &reason)) {
		REQUIRE(operations <= QBD_OPERATIONS_MAX);
		REQUIRE(qbd_record_header_bytes(operations) <= bytes);
		REQUIRE(copy->shared.index && copy->shared.term);
		for (uint32_t i = 0; i < operations; i++) {
			const struct qbd_operation *operation = &copy->operations[i];
			uint32_t count = le32_to_cpu(operation->count);

			REQUIRE(count && count <= QBD_ZERO_BLOCKS_MAX);
			REQUIRE(le16_to_cpu(operation->outstanding) < QBD_SESSION_WINDOW &&
				le16_to_cpu(operation->outstanding) <=
				le64_to_cpu(operation->sequence));
			REQUIRE(is_within(le64_to_cpu(operation->block), count,
					  device_blocks));
			if (qbd_operation_has_data(operation))
				data += count;
			if (qbd_operation_is_repair(operation))
				REQUIRE(operations == 1 && !operation->session &&
					le64_to_cpu(operation->sequence) <
					le64_to_cpu(copy->shared.index));
		}
		if (operations)
			REQUIRE(data == le32_to_cpu(copy->shared.data_blocks));
		REQUIRE(le32_to_cpu(copy->shared.data_blocks) <= QBD_RECORD_DATA_BLOCKS_MAX);
	}
	free(copy);
}

/* A program's, or a member's that asks for the same. Return: false if it is neither. */
static bool judge_administration(const struct qbd_frame_request *request,
				 enum qbd_frame_phase phase, uint32_t data_blocks)
{
	switch (le32_to_cpu(request->kind)) {
	case QBD_REQUEST_DESCRIBE:
		REQUIRE(phase == QBD_PHASE_ADMIN && !request->count && !data_blocks);
		return true;
	case QBD_REQUEST_CHANGE:
		REQUIRE(request->count == cpu_to_le32(1) && data_blocks == 1);
		return true;
	case QBD_REQUEST_CLAIM:
		REQUIRE(phase == QBD_PHASE_BULK && !data_blocks && request->session);
		REQUIRE(request->count && le32_to_cpu(request->count) <= QBD_CLAIM_MODE);
		/* Forced, or for what goes on, and not both; a mode; or nothing. */
		REQUIRE(le64_to_cpu(request->block) <=
			(le32_to_cpu(request->count) == QBD_CLAIM_TAKE ? 4 :
			 le32_to_cpu(request->count) == QBD_CLAIM_MODE ? 1 : 0) &&
			le64_to_cpu(request->block) != 3);
		return true;
	case QBD_REQUEST_RESIZE:
		REQUIRE(phase == QBD_PHASE_BULK && !request->count && !data_blocks &&
			le64_to_cpu(request->block) <= QBD_DEVICE_BLOCKS_MAX);
		return true;
	default:
		REQUIRE(phase == QBD_PHASE_BULK);
		return request->kind == cpu_to_le32(QBD_REQUEST_LEADER_MOVE);
	}
}

static void judge_fixed(const struct qbd_frame_header *header, enum qbd_frame_phase phase,
			const void *fixed, uint64_t device_blocks)
{
	uint32_t bytes = le16_to_cpu(header->fixed_bytes);
	uint32_t data_blocks = le32_to_cpu(header->data_blocks);
	const struct qbd_frame_request *request = fixed;
	const struct qbd_frame_extent *extent = fixed;
	const struct qbd_frame_append *append = fixed;
	const struct qbd_frame_reset *reset = fixed;
	const struct qbd_frame_reply *reply = fixed;
	const struct qbd_frame_fill *fill = fixed;
	const struct qbd_frame_verify *verify = fixed;
	const struct qbd_frame_verified *verified = fixed;
	const struct qbd_frame_repair *repair = fixed;
	const struct qbd_frame_repaired *repaired = fixed;

	switch (le16_to_cpu(header->type)) {
	case QBD_FRAME_HELLO:
	case QBD_FRAME_CHALLENGE:
		judge_hello(fixed);
		break;
	case QBD_FRAME_MESSAGE:
		judge_message(fixed);
		break;
	case QBD_FRAME_APPEND:
		REQUIRE(le64_to_cpu(append->previous_index) < QBD_INDEX_MAX);
		REQUIRE(le64_to_cpu(append->commit_index) <=
			le64_to_cpu(append->previous_index) + 1);
		judge_record((const void *)(append + 1), bytes - sizeof(*append),
			     device_blocks);
		break;
	case QBD_FRAME_REQUEST:
		if (judge_administration(request, phase, data_blocks))
			break;
		REQUIRE(request->count && le32_to_cpu(request->count) <= QBD_ZERO_BLOCKS_MAX);
		REQUIRE(is_within(le64_to_cpu(request->block), le32_to_cpu(request->count),
				  device_blocks));
		REQUIRE(request->kind != cpu_to_le32(QBD_REQUEST_WRITE) ||
			data_blocks == le32_to_cpu(request->count));
		/* What it becomes in a record is one that a record may have. */
		REQUIRE(le16_to_cpu(request->outstanding) < QBD_SESSION_WINDOW &&
			(request->kind == cpu_to_le32(QBD_REQUEST_READ) ||
			 (le16_to_cpu(request->outstanding) < le64_to_cpu(request->sequence) &&
			  !(le64_to_cpu(request->sequence) >> 62))));
		break;
	case QBD_FRAME_REPLY:
		REQUIRE(le32_to_cpu(reply->status) <= QBD_REPLY_FENCED);
		REQUIRE(le32_to_cpu(reply->count) == data_blocks);
		REQUIRE(phase == QBD_PHASE_BULK || data_blocks <= 1);
		break;
	case QBD_FRAME_RESET:
		REQUIRE(le64_to_cpu(reset->index) < QBD_INDEX_MAX);
		REQUIRE(reset->membership.count &&
			le32_to_cpu(reset->membership.count) <= QBD_MEMBERS_MAX);
		break;
	case QBD_FRAME_FILL:
		REQUIRE(fill->count && le32_to_cpu(fill->count) <= 64);
		REQUIRE(!(le32_to_cpu(fill->flags) & ~QBD_FILL_CHECK));
		break;
	case QBD_FRAME_EXTENT:
		REQUIRE(extent->count && is_within(le64_to_cpu(extent->block),
						   le32_to_cpu(extent->count),
						   device_blocks));
		REQUIRE(data_blocks == (le32_to_cpu(extent->flags) &
					(QBD_EXTENT_ZERO | QBD_EXTENT_DIGEST) ? 0 :
					le32_to_cpu(extent->count)));
		break;
	case QBD_FRAME_VERIFY:
		REQUIRE(verify->count && le32_to_cpu(verify->count) <= QBD_VERIFY_BLOCKS_MAX);
		REQUIRE(is_within(le64_to_cpu(verify->block), le32_to_cpu(verify->count),
				  device_blocks));
		break;
	case QBD_FRAME_VERIFIED:
		REQUIRE(verified->count &&
			le32_to_cpu(verified->count) <= QBD_VERIFY_BLOCKS_MAX &&
			le32_to_cpu(verified->next_count) <= QBD_VERIFY_BLOCKS_MAX);
		REQUIRE(!data_blocks == (verified->status != cpu_to_le32(QBD_VERIFY_OK)));
		break;
	case QBD_FRAME_REPAIR:
		REQUIRE(data_blocks && data_blocks == le32_to_cpu(repair->count));
		REQUIRE(is_within(le64_to_cpu(repair->block), data_blocks, device_blocks));
		break;
	case QBD_FRAME_REPAIRED:
		REQUIRE(!repaired->index == (repaired->status != cpu_to_le32(QBD_REPAIR_APPENDED)));
		break;
	}
}

/* As a connection reads it. Return: is it all good? */
static bool judge_stream(enum qbd_frame_phase phase, uint64_t device_blocks,
			 uint32_t *frames)
{
	size_t at = 0;

	for (*frames = 0; stream_size - at >= sizeof(struct qbd_frame_header); (*frames)++) {
		struct qbd_frame_header *header = copy_exactly(stream + at, sizeof(*header));
		uint32_t fixed_bytes = le16_to_cpu(header->fixed_bytes);
		size_t data_bytes = (size_t)le32_to_cpu(header->data_blocks) << QBD_BLOCK_SHIFT;
		const char *reason = NULL;
		bool good = true, whole = false;
		void *fixed = NULL;

		at += sizeof(*header);
		if (!qbd_frame_header_check(header, phase, *frames, &reason)) {
			REQUIRE(reason);
			good = false;
		} else {
			REQUIRE(fixed_bytes <= QBD_FRAME_FIXED_MAX);
			REQUIRE(data_bytes >> QBD_BLOCK_SHIFT <= QBD_FRAME_DATA_BLOCKS_MAX);
			/* What control frames and the handshake have room for. */
			REQUIRE(phase >= QBD_PHASE_BULK ||
				(fixed_bytes <= sizeof(struct qbd_frame_challenge) &&
				 !data_bytes));
		}
		if (good && stream_size - at >= fixed_bytes) {
			fixed = copy_exactly(stream + at, fixed_bytes);
			at += fixed_bytes;
			good = qbd_frame_fixed_check(header, phase, fixed, device_blocks,
						     &reason);
			whole = good && stream_size - at >= data_bytes;
		}
		if (good && fixed)
			judge_fixed(header, phase, fixed, device_blocks);
		if (whole && data_bytes && header->type != cpu_to_le16(QBD_FRAME_APPEND))
			good = qbd_crc32c(~0u, stream + at, data_bytes) ==
			       le32_to_cpu(header->data_checksum);
		at += whole ? data_bytes : 0;
		free(fixed);
		free(header);
		if (!good || !whole)
			return good;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t sizes[] = { 1 << 20, 300, 1, 0, ~0ull };
	struct input input = { data, size };
	uint8_t head = take_u8(&input);
	enum qbd_frame_phase phase = head % 3;
	static const enum qbd_frame_phase administration[] = {
		QBD_PHASE_ADMIN, QBD_PHASE_ANSWER,
	};
	uint64_t device_blocks = sizes[head / 4 % 5];
	uint32_t judged, counted, before;
	uint8_t cuts[4];
	bool good;

	if ((head & 0x60) == 0x60)
		phase = administration[head & 1];
	take_bytes(&input, cuts, sizeof(cuts));
	stream_size = 0;
	if (head & 0x80) {
		stream_size = input.left < STREAM_MAX ? input.left : STREAM_MAX;
		memcpy(stream, input.at, stream_size);
	} else {
		for (uint32_t sequence = 0; input.left && sequence < 16; sequence++)
			if (!add_frame(&input, sequence))
				break;
	}
	good = judge_stream(phase, device_blocks, &judged);
	REQUIRE(qbd_frame_stream_check(stream, stream_size, phase, device_blocks, &counted) ==
		good);
	REQUIRE(judged == counted);
	/* Wherever it is cut, what came before reads the same. */
	for (unsigned int i = 0; i < sizeof(cuts); i++) {
		size_t cut = i ? stream_size * cuts[i] / 256 : stream_size - stream_size % 4096;
		uint8_t *part = copy_exactly(stream, cut);

		if (!qbd_frame_stream_check(part, cut, phase, device_blocks, &before))
			REQUIRE(!good && before == counted);
		REQUIRE(before <= counted);
		free(part);
	}
	return 0;
}
