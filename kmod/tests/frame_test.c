// SPDX-License-Identifier: GPL-2.0
/*
 * The checks of frames: what is right passes, everything else does not, and
 * nothing that a peer can send is read beyond its end. Runs under KUnit and, with
 * the sanitizers, in userspace (tests/net).
 */
#include "core_test.h"

#ifdef __KERNEL__
#include <linux/slab.h>
#define frame_test_alloc(bytes)	kvzalloc(bytes, GFP_KERNEL)
#define frame_test_free(memory)	kvfree(memory)
#else
#include <stdlib.h>
#define frame_test_alloc(bytes)	calloc(1, bytes)
#define frame_test_free(memory)	free(memory)
#endif

#include "../net/frame.h"

#define DEVICE_BLOCKS	100000u
#define STREAM_MAX	((size_t)4 << 20)

/* The largest frame: a full record. */
#define FRAME_MAX	(sizeof(struct qbd_frame_header) + QBD_FRAME_FIXED_MAX + \
			 ((size_t)QBD_FRAME_DATA_BLOCKS_MAX << QBD_BLOCK_SHIFT))

/* @phase: where it belongs; @also: there, too, if not QBD_PHASE_HANDSHAKE */
struct sample {
	u16 type;
	enum qbd_frame_phase phase;
	enum qbd_frame_phase also;
	u32 fixed_bytes;
	u32 data_blocks;
	u8 fixed[QBD_FRAME_FIXED_MAX];
};

static u32 random_state;

static u32 random_u32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

/* ---- good frames -------------------------------------------------------- */

static void make_message(struct sample *sample)
{
	struct qbd_frame_message *message = (void *)sample->fixed;

	sample->type = QBD_FRAME_MESSAGE;
	sample->phase = QBD_PHASE_CONTROL;
	sample->fixed_bytes = sizeof(*message);
	message->type = cpu_to_le32(QBD_MESSAGE_HEARTBEAT);
	message->from = cpu_to_le32(2);
	message->to = cpu_to_le32(1);
	message->term = cpu_to_le64(7);
}

static void make_append(struct sample *sample)
{
	struct qbd_frame_append *append = (void *)sample->fixed;
	struct qbd_record_header *record = (void *)(append + 1);

	sample->type = QBD_FRAME_APPEND;
	sample->phase = QBD_PHASE_BULK;
	sample->fixed_bytes = sizeof(*append) + qbd_record_header_bytes(2);
	sample->data_blocks = 3;
	append->leader_term = cpu_to_le64(9);
	append->previous_index = cpu_to_le64(41);
	append->previous_term = cpu_to_le64(8);
	append->commit_index = cpu_to_le64(40);
	record->shared.magic = cpu_to_le32(QBD_RECORD_MAGIC);
	record->shared.kind = cpu_to_le16(QBD_RECORD_DATA);
	record->shared.operation_count = cpu_to_le16(2);
	record->shared.data_blocks = cpu_to_le32(3);
	record->shared.index = cpu_to_le64(42);
	record->shared.term = cpu_to_le64(9);
}

static void make_request(struct sample *sample)
{
	struct qbd_frame_request *request = (void *)sample->fixed;

	sample->type = QBD_FRAME_REQUEST;
	sample->phase = QBD_PHASE_BULK;
	sample->fixed_bytes = sizeof(*request);
	sample->data_blocks = 2;
	request->kind = cpu_to_le32(QBD_REQUEST_WRITE);
	request->count = cpu_to_le32(2);
	request->block = cpu_to_le64(DEVICE_BLOCKS - 2);
	request->sequence = cpu_to_le64(5);
}

static void make_reply(struct sample *sample)
{
	struct qbd_frame_reply *reply = (void *)sample->fixed;

	sample->type = QBD_FRAME_REPLY;
	sample->phase = QBD_PHASE_BULK;
	sample->also = QBD_PHASE_ANSWER;
	sample->fixed_bytes = sizeof(*reply);
	sample->data_blocks = 1;
	reply->count = cpu_to_le32(1);
}

static void make_reset(struct sample *sample)
{
	struct qbd_frame_reset *reset = (void *)sample->fixed;

	sample->type = QBD_FRAME_RESET;
	sample->phase = QBD_PHASE_BULK;
	sample->fixed_bytes = sizeof(*reset);
	reset->leader_term = cpu_to_le64(4);
	reset->index = cpu_to_le64(1000);
	reset->term = cpu_to_le64(3);
	reset->device_blocks = cpu_to_le64(DEVICE_BLOCKS);
	reset->membership.count = cpu_to_le32(3);
}

static void make_fill(struct sample *sample)
{
	struct qbd_frame_fill *fill = (void *)sample->fixed;

	sample->type = QBD_FRAME_FILL;
	sample->phase = QBD_PHASE_CONTROL;
	sample->fixed_bytes = sizeof(*fill);
	fill->count = cpu_to_le32(64);
}

static void make_extent(struct sample *sample)
{
	struct qbd_frame_extent *extent = (void *)sample->fixed;

	sample->type = QBD_FRAME_EXTENT;
	sample->phase = QBD_PHASE_BULK;
	sample->fixed_bytes = sizeof(*extent);
	sample->data_blocks = 4;
	extent->block = cpu_to_le64(256);
	extent->count = cpu_to_le32(4);
	extent->flags = cpu_to_le32(QBD_EXTENT_LAST_PIECE);
}

static void make_fill_end(struct sample *sample)
{
	sample->type = QBD_FRAME_FILL_END;
	sample->phase = QBD_PHASE_BULK;
	sample->fixed_bytes = sizeof(struct qbd_frame_fill_end);
}

static void make_ping(struct sample *sample)
{
	sample->type = QBD_FRAME_PING;
	sample->phase = QBD_PHASE_CONTROL;
}

static void make_describe(struct sample *sample)
{
	struct qbd_frame_request *request = (void *)sample->fixed;

	sample->type = QBD_FRAME_REQUEST;
	sample->phase = QBD_PHASE_ADMIN;
	sample->fixed_bytes = sizeof(*request);
	request->kind = cpu_to_le32(QBD_REQUEST_DESCRIBE);
	request->sequence = cpu_to_le64(1);
}

static void make_change(struct sample *sample)
{
	struct qbd_frame_request *request = (void *)sample->fixed;

	make_describe(sample);
	sample->also = QBD_PHASE_BULK;
	sample->data_blocks = 1;
	request->kind = cpu_to_le32(QBD_REQUEST_CHANGE);
	request->count = cpu_to_le32(1);
}

static void make_verify(struct sample *sample)
{
	struct qbd_frame_verify *verify = (void *)sample->fixed;

	sample->type = QBD_FRAME_VERIFY;
	sample->phase = QBD_PHASE_BULK;
	sample->fixed_bytes = sizeof(*verify);
	verify->block = cpu_to_le64(256);
	verify->count = cpu_to_le32(QBD_VERIFY_DATA_MAX);
	verify->flags = cpu_to_le32(QBD_VERIFY_DATA);
}

static void make_verified(struct sample *sample)
{
	struct qbd_frame_verified *verified = (void *)sample->fixed;

	sample->type = QBD_FRAME_VERIFIED;
	sample->phase = QBD_PHASE_BULK;
	sample->fixed_bytes = sizeof(*verified);
	sample->data_blocks = 1 + 2;
	verified->count = cpu_to_le32(2);
}

static void make_repair(struct sample *sample)
{
	struct qbd_frame_repair *repair = (void *)sample->fixed;

	sample->type = QBD_FRAME_REPAIR;
	sample->phase = QBD_PHASE_BULK;
	sample->fixed_bytes = sizeof(*repair);
	sample->data_blocks = 2;
	repair->block = cpu_to_le64(7);
	repair->count = cpu_to_le32(2);
}

static void make_repaired(struct sample *sample)
{
	struct qbd_frame_repaired *repaired = (void *)sample->fixed;

	sample->type = QBD_FRAME_REPAIRED;
	sample->phase = QBD_PHASE_BULK;
	sample->fixed_bytes = sizeof(*repaired);
	repaired->index = cpu_to_le64(1000);
}

#define MAKERS	15u

static void (*const makers[MAKERS])(struct sample *sample) = {
	make_message, make_append, make_request, make_reply, make_reset,
	make_fill, make_extent, make_fill_end, make_ping, make_describe, make_change,
	make_verify, make_verified, make_repair, make_repaired,
};

static struct sample *make_sample(u32 number)
{
	struct sample *sample = frame_test_alloc(sizeof(*sample));

	if (sample)
		makers[number](sample);
	return sample;
}

/* Writes a frame as its sender does. Returns its length. */
static size_t write_frame(u8 *to, const struct sample *sample, u32 sequence)
{
	size_t data_bytes = (size_t)sample->data_blocks << QBD_BLOCK_SHIFT;
	u8 *data = to + sizeof(struct qbd_frame_header) + sample->fixed_bytes;
	struct qbd_frame_header header;
	u32 data_checksum = 0;
	size_t i;

	for (i = 0; i < data_bytes; i++)
		data[i] = (u8)(i * 7 + sequence);
	if (data_bytes && qbd_frame_checks_data(sample->type))
		data_checksum = qbd_crc32c(~0u, data, data_bytes);
	qbd_frame_seal(&header, sample->type, sample->fixed_bytes, sample->data_blocks,
		       sequence, qbd_crc32c(~0u, sample->fixed, sample->fixed_bytes),
		       data_checksum);
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), sample->fixed, sample->fixed_bytes);
	return sizeof(header) + sample->fixed_bytes + data_bytes;
}

/* Does a frame with this content, sealed as it should be, pass? */
static bool passes(const struct sample *sample)
{
	struct qbd_frame_header header;
	const char *reason = NULL;
	bool good;

	qbd_frame_seal(&header, sample->type, sample->fixed_bytes, sample->data_blocks,
		       0, qbd_crc32c(~0u, sample->fixed, sample->fixed_bytes), 0);
	good = qbd_frame_header_check(&header, sample->phase, 0, &reason) &&
	       qbd_frame_fixed_check(&header, sample->phase, sample->fixed,
				     DEVICE_BLOCKS, &reason);
	return good;
}

/* ---- cases -------------------------------------------------------------- */

static void good_frames_pass(struct qbd_test *test)
{
	struct sample *sample;
	u8 *stream;
	u32 i, frames;
	size_t bytes;

	for (i = 0; i < MAKERS; i++) {
		sample = make_sample(i);
		stream = frame_test_alloc(FRAME_MAX);
		QBD_TRUE(test, sample && stream);
		bytes = write_frame(stream, sample, 0);
		QBD_TRUE(test, qbd_frame_stream_check(stream, bytes, sample->phase,
						      DEVICE_BLOCKS, &frames));
		QBD_EQUAL(test, frames, 1);
		frame_test_free(sample);
		frame_test_free(stream);
	}
}

static void a_stream_of_all_bulk_frames_passes(struct qbd_test *test)
{
	u8 *stream = frame_test_alloc(STREAM_MAX);
	struct sample *sample;
	u32 i, frames, sent = 0;
	size_t bytes = 0;

	QBD_TRUE(test, stream);
	for (i = 0; i < MAKERS * 3; i++) {
		sample = make_sample(i % MAKERS);
		QBD_TRUE(test, sample);
		if (sample->phase == QBD_PHASE_BULK)
			bytes += write_frame(stream + bytes, sample, sent++);
		frame_test_free(sample);
	}
	QBD_TRUE(test, qbd_frame_stream_check(stream, bytes, QBD_PHASE_BULK,
					      DEVICE_BLOCKS, &frames));
	QBD_EQUAL(test, frames, sent);
	frame_test_free(stream);
}

/* Cut anywhere: waits for more, takes no more frames than are there. */
static void a_stream_may_end_anywhere(struct qbd_test *test)
{
	u8 *stream = frame_test_alloc(FRAME_MAX);
	struct sample *sample;
	size_t bytes, cut;
	u32 i, frames;
	u8 *copy;

	QBD_TRUE(test, stream);
	for (i = 0; i < MAKERS; i++) {
		sample = make_sample(i);
		QBD_TRUE(test, sample);
		bytes = write_frame(stream, sample, 0);
		for (cut = 0; cut < bytes; cut += cut < 200 ? 1 : 509) {
			/* A copy of just that size, for the sanitizers. */
			copy = frame_test_alloc(cut ? cut : 1);
			QBD_TRUE(test, copy);
			memcpy(copy, stream, cut);
			QBD_TRUE(test, qbd_frame_stream_check(copy, cut, sample->phase,
							      DEVICE_BLOCKS, &frames));
			QBD_EQUAL(test, frames, 0);
			frame_test_free(copy);
		}
		frame_test_free(sample);
	}
	frame_test_free(stream);
}

/*
 * One bit wrong anywhere is found; in an APPEND's data it is the record's own
 * checksums that find it, which are not looked at here.
 */
static void every_flipped_bit_is_found(struct qbd_test *test)
{
	u8 *stream = frame_test_alloc(FRAME_MAX);
	struct sample *sample;
	size_t bytes, at, end;
	u32 i, frames;

	QBD_TRUE(test, stream);
	for (i = 0; i < MAKERS; i++) {
		sample = make_sample(i);
		QBD_TRUE(test, sample);
		bytes = write_frame(stream, sample, 0);
		end = sample->type == QBD_FRAME_APPEND ?
		      sizeof(struct qbd_frame_header) + sample->fixed_bytes : bytes;
		for (at = 0; at < end; at += at < 256 ? 1 : 37) {
			stream[at] ^= 1u << (at % 8);
			QBD_TRUE(test, !qbd_frame_stream_check(stream, bytes,
							       sample->phase,
							       DEVICE_BLOCKS, &frames));
			stream[at] ^= 1u << (at % 8);
		}
		frame_test_free(sample);
	}
	frame_test_free(stream);
}

static void frames_keep_to_their_connection(struct qbd_test *test)
{
	static const enum qbd_frame_phase phases[] = {
		QBD_PHASE_HANDSHAKE, QBD_PHASE_CONTROL, QBD_PHASE_BULK, QBD_PHASE_ADMIN,
		QBD_PHASE_ANSWER,
	};
	struct sample *sample;
	enum qbd_frame_phase own;
	u32 i, k;

	for (i = 0; i < MAKERS; i++) {
		sample = make_sample(i);
		QBD_TRUE(test, sample);
		own = sample->phase;
		for (k = 0; k < 5; k++) {
			sample->phase = phases[k];
			QBD_EQUAL(test, passes(sample), phases[k] == own ||
				  (k && phases[k] == sample->also));
		}
		frame_test_free(sample);
	}
}

static void lengths_are_bounded(struct qbd_test *test)
{
	struct sample *sample;
	u32 i, fixed, blocks;

	for (i = 0; i < MAKERS; i++) {
		sample = make_sample(i);
		QBD_TRUE(test, sample);
		fixed = sample->fixed_bytes;
		blocks = sample->data_blocks;
		if (fixed) {
			sample->fixed_bytes = fixed - 1;
			QBD_TRUE(test, !passes(sample));
		}
		sample->fixed_bytes = fixed + 1;
		QBD_TRUE(test, !passes(sample));
		sample->fixed_bytes = fixed;
		sample->data_blocks = QBD_FRAME_DATA_BLOCKS_MAX + 1;
		QBD_TRUE(test, !passes(sample));
		sample->data_blocks = 0xffffffffu;
		QBD_TRUE(test, !passes(sample));
		sample->data_blocks = blocks + 1;
		QBD_TRUE(test, !passes(sample));
		sample->data_blocks = blocks;
		QBD_TRUE(test, passes(sample));
		frame_test_free(sample);
	}
}

static void sequence_and_magic_are_checked(struct qbd_test *test)
{
	struct qbd_frame_header header, changed;
	const char *reason;
	u32 type;

	qbd_frame_seal(&header, QBD_FRAME_PING, 0, 0, 5, ~0u, 0);
	QBD_TRUE(test, qbd_frame_header_check(&header, QBD_PHASE_CONTROL, 5, &reason));
	QBD_TRUE(test, !qbd_frame_header_check(&header, QBD_PHASE_CONTROL, 4, &reason));
	QBD_TRUE(test, !qbd_frame_header_check(&header, QBD_PHASE_CONTROL, 6, &reason));
	changed = header;
	changed.magic ^= cpu_to_le32(1);
	QBD_TRUE(test, !qbd_frame_header_check(&changed, QBD_PHASE_CONTROL, 5, &reason));
	/* Of all types only one is a frame of that shape there. */
	for (type = 0; type < 0x10000; type++) {
		qbd_frame_seal(&header, type, 0, 0, 5, ~0u, 0);
		QBD_EQUAL(test, qbd_frame_header_check(&header, QBD_PHASE_CONTROL, 5,
						       &reason),
			  type == QBD_FRAME_PING);
	}
}

static bool request_passes(u32 kind, u64 block, u32 count, u32 data_blocks)
{
	struct sample *sample = frame_test_alloc(sizeof(*sample));
	struct qbd_frame_request *request;
	bool good;

	if (!sample)
		return false;
	make_request(sample);
	request = (void *)sample->fixed;
	request->kind = cpu_to_le32(kind);
	request->block = cpu_to_le64(block);
	request->count = cpu_to_le32(count);
	sample->data_blocks = data_blocks;
	good = passes(sample);
	frame_test_free(sample);
	return good;
}

static bool number_passes(u32 kind, u64 sequence, u32 outstanding)
{
	struct sample *sample = frame_test_alloc(sizeof(*sample));
	struct qbd_frame_request *request = (void *)sample->fixed;
	bool good;

	make_request(sample);
	request->kind = cpu_to_le32(kind);
	sample->data_blocks = kind == QBD_REQUEST_WRITE ? 2 : 0;
	request->sequence = cpu_to_le64(sequence);
	request->outstanding = cpu_to_le16(outstanding);
	good = passes(sample);
	frame_test_free(sample);
	return good;
}

/* It becomes an operation's: what no record may say is not taken from a request. */
static void writes_are_numbered(struct qbd_test *test)
{
	const u32 kinds[] = { QBD_REQUEST_WRITE, QBD_REQUEST_ZERO };

	for (u32 i = 0; i < 2; i++) {
		QBD_TRUE(test, number_passes(kinds[i], 1, 0));
		QBD_TRUE(test, number_passes(kinds[i], ((u64)1 << 62) - 1,
					     QBD_SESSION_WINDOW - 1));
		QBD_TRUE(test, !number_passes(kinds[i], 0, 0));
		QBD_TRUE(test, !number_passes(kinds[i], 7, 7));
		QBD_TRUE(test, !number_passes(kinds[i], 9000, QBD_SESSION_WINDOW));
		QBD_TRUE(test, !number_passes(kinds[i], (u64)1 << 62, 0));
	}
	QBD_TRUE(test, number_passes(QBD_REQUEST_READ, (u64)1 << 62, 0));
	QBD_TRUE(test, !number_passes(QBD_REQUEST_READ, (u64)1 << 62, 1));
}

static void requests_lie_within_the_device(struct qbd_test *test)
{
	QBD_TRUE(test, request_passes(QBD_REQUEST_READ, 0, 1, 0));
	QBD_TRUE(test, request_passes(QBD_REQUEST_READ, DEVICE_BLOCKS - 256, 256, 0));
	QBD_TRUE(test, request_passes(QBD_REQUEST_WRITE, DEVICE_BLOCKS - 1, 1, 1));
	QBD_TRUE(test, request_passes(QBD_REQUEST_ZERO, 0, QBD_ZERO_BLOCKS_MAX, 0));
	QBD_TRUE(test, request_passes(QBD_REQUEST_LEADER_MOVE, 3, 0, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_READ, 0, 0, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_READ, 0, 257, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_READ, 0, 1, 1));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_READ, DEVICE_BLOCKS, 1, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_READ, DEVICE_BLOCKS - 1, 2, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_READ, ~(u64)0, 1, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_WRITE, ~(u64)0 - 1, 2, 2));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_WRITE, 0, 2, 1));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_WRITE, 0, 0, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_ZERO, 0, QBD_ZERO_BLOCKS_MAX + 1, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_ZERO, DEVICE_BLOCKS - 1,
				       QBD_ZERO_BLOCKS_MAX, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_LEADER_MOVE, 3, 1, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_LEADER_MOVE, (u64)1 << 32, 0, 0));
	QBD_TRUE(test, request_passes(QBD_REQUEST_RESIZE, 0, 0, 0));
	QBD_TRUE(test, request_passes(QBD_REQUEST_RESIZE, DEVICE_BLOCKS * 1000ull, 0, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_RESIZE, DEVICE_BLOCKS, 1, 0));
	QBD_TRUE(test, !request_passes(QBD_REQUEST_RESIZE, (u64)1 << 52, 0, 0));
	QBD_TRUE(test, !request_passes(0, 0, 1, 0));
	QBD_TRUE(test, !request_passes(99, 0, 1, 0));
}

/* What a program may ask for, and a member may not, and the other way round. */
static void programs_ask_for_little(struct qbd_test *test)
{
	struct sample *sample = frame_test_alloc(sizeof(*sample));
	struct qbd_frame_request *request = (void *)sample->fixed;
	struct qbd_frame_reply *reply = (void *)sample->fixed;
	u32 kind;

	QBD_TRUE(test, sample);
	for (kind = 0; kind < 20; kind++) {
		make_describe(sample);
		request->kind = cpu_to_le32(kind);
		QBD_EQUAL(test, passes(sample), kind == QBD_REQUEST_DESCRIBE);
		make_change(sample);
		request->kind = cpu_to_le32(kind);
		QBD_EQUAL(test, passes(sample), kind == QBD_REQUEST_CHANGE);
		sample->data_blocks = 0;
		request->count = 0;
	}
	make_describe(sample);
	request->block = cpu_to_le64(1);
	QBD_TRUE(test, !passes(sample));
	request->block = 0;
	sample->data_blocks = 1;
	QBD_TRUE(test, !passes(sample));
	make_change(sample);
	request->block = cpu_to_le64(1);
	QBD_TRUE(test, !passes(sample));
	request->block = 0;
	request->count = cpu_to_le32(2);
	sample->data_blocks = 2;
	QBD_TRUE(test, !passes(sample));
	memset(sample, 0, sizeof(*sample));
	make_reply(sample);
	sample->phase = QBD_PHASE_ANSWER;
	QBD_TRUE(test, passes(sample));
	reply->count = cpu_to_le32(2);
	sample->data_blocks = 2;
	QBD_TRUE(test, !passes(sample));
	frame_test_free(sample);
}

static bool append_passes(u64 previous, u64 index, u64 term, u64 leader_term,
			  u64 commit, u32 operations)
{
	struct sample *sample = frame_test_alloc(sizeof(*sample));
	struct qbd_frame_append *append;
	struct qbd_record_header *record;
	bool good;

	if (!sample)
		return false;
	make_append(sample);
	append = (void *)sample->fixed;
	record = (void *)(append + 1);
	append->previous_index = cpu_to_le64(previous);
	append->previous_term = 0;
	append->leader_term = cpu_to_le64(leader_term);
	append->commit_index = cpu_to_le64(commit);
	record->shared.index = cpu_to_le64(index);
	record->shared.term = cpu_to_le64(term);
	record->shared.operation_count = cpu_to_le16(operations);
	good = passes(sample);
	frame_test_free(sample);
	return good;
}

static void appends_are_consistent(struct qbd_test *test)
{
	QBD_TRUE(test, append_passes(0, 1, 1, 1, 1, 2));
	QBD_TRUE(test, append_passes(41, 42, 3, 9, 0, 2));
	QBD_TRUE(test, !append_passes(41, 43, 3, 9, 0, 2));
	QBD_TRUE(test, !append_passes(~(u64)0, 0, 3, 9, 0, 2));
	QBD_TRUE(test, !append_passes(QBD_INDEX_MAX, QBD_INDEX_MAX + 1, 3, 9, 0, 2));
	QBD_TRUE(test, !append_passes(41, 42, 10, 9, 0, 2));
	QBD_TRUE(test, !append_passes(41, 42, 0, 9, 0, 2));
	QBD_TRUE(test, !append_passes(41, 42, 3, ~(u64)0, 0, 2));
	QBD_TRUE(test, !append_passes(41, 42, 3, 9, 43, 2));
	QBD_TRUE(test, !append_passes(41, 42, 3, 9, 0, 3));
	QBD_TRUE(test, !append_passes(41, 42, 3, 9, 0, QBD_OPERATIONS_MAX + 1));
	QBD_TRUE(test, !append_passes(41, 42, 3, 9, 0, 0xffff));
}

static void other_contents_are_checked(struct qbd_test *test)
{
	struct sample *sample = frame_test_alloc(sizeof(*sample));
	struct qbd_frame_message *message;
	struct qbd_frame_extent *extent;
	struct qbd_frame_reply *reply;
	struct qbd_frame_reset *reset;
	struct qbd_frame_fill_end *end;
	struct qbd_frame_fill *fill;

	QBD_TRUE(test, sample);
	make_message(sample);
	message = (void *)sample->fixed;
	message->type = 0;
	QBD_TRUE(test, !passes(sample));
	message->type = cpu_to_le32(QBD_MESSAGE_TYPE_END);
	QBD_TRUE(test, !passes(sample));
	message->type = cpu_to_le32(QBD_MESSAGE_APPEND_REPLY);
	message->flags = cpu_to_le32(QBD_MESSAGE_FLAGS);
	QBD_TRUE(test, passes(sample));
	message->flags = cpu_to_le32(QBD_MESSAGE_FLAGS + 1);
	QBD_TRUE(test, !passes(sample));
	message->flags = cpu_to_le32(1u << 31);
	QBD_TRUE(test, !passes(sample));

	memset(sample, 0, sizeof(*sample));
	make_reply(sample);
	reply = (void *)sample->fixed;
	reply->status = cpu_to_le32(QBD_REPLY_IO_ERROR);
	QBD_TRUE(test, !passes(sample));
	reply->count = 0;
	sample->data_blocks = 0;
	QBD_TRUE(test, passes(sample));
	reply->status = cpu_to_le32(QBD_REPLY_FENCED + 1);
	QBD_TRUE(test, !passes(sample));

	memset(sample, 0, sizeof(*sample));
	make_reset(sample);
	reset = (void *)sample->fixed;
	reset->membership.count = 0;
	QBD_TRUE(test, !passes(sample));
	reset->membership.count = cpu_to_le32(QBD_MEMBERS_MAX + 1);
	QBD_TRUE(test, !passes(sample));
	reset->membership.count = cpu_to_le32(QBD_MEMBERS_MAX);
	reset->term = cpu_to_le64(5);
	QBD_TRUE(test, !passes(sample));

	memset(sample, 0, sizeof(*sample));
	make_fill(sample);
	fill = (void *)sample->fixed;
	fill->count = 0;
	QBD_TRUE(test, !passes(sample));
	fill->count = cpu_to_le32(65);
	QBD_TRUE(test, !passes(sample));
	fill->count = cpu_to_le32(64);
	fill->flags = cpu_to_le32(QBD_FILL_CHECK);
	QBD_TRUE(test, passes(sample));
	fill->flags = cpu_to_le32(QBD_FILL_CHECK << 1);
	QBD_TRUE(test, !passes(sample));

	memset(sample, 0, sizeof(*sample));
	make_extent(sample);
	extent = (void *)sample->fixed;
	extent->flags = cpu_to_le32(QBD_EXTENT_ZERO);
	QBD_TRUE(test, !passes(sample));
	sample->data_blocks = 0;
	QBD_TRUE(test, passes(sample));
	extent->block = cpu_to_le64(DEVICE_BLOCKS - 3);
	QBD_TRUE(test, !passes(sample));
	extent->block = 0;
	/* A digest comes without data, and not of what is known to be zero. */
	extent->flags = cpu_to_le32(QBD_EXTENT_DIGEST | QBD_EXTENT_LAST_PIECE);
	QBD_TRUE(test, passes(sample));
	extent->flags = cpu_to_le32(QBD_EXTENT_DIGEST | QBD_EXTENT_ZERO);
	QBD_TRUE(test, !passes(sample));
	extent->flags = cpu_to_le32(QBD_EXTENT_DIGEST);
	sample->data_blocks = 4;
	QBD_TRUE(test, !passes(sample));
	extent->flags = cpu_to_le32(QBD_EXTENT_DIGEST << 1);
	QBD_TRUE(test, !passes(sample));
	extent->flags = 0;
	extent->index = cpu_to_le64(QBD_INDEX_MAX - 1);
	QBD_TRUE(test, passes(sample));
	extent->index = cpu_to_le64(QBD_INDEX_MAX);
	QBD_TRUE(test, !passes(sample));

	memset(sample, 0, sizeof(*sample));
	make_fill_end(sample);
	end = (void *)sample->fixed;
	end->index = cpu_to_le64(QBD_INDEX_MAX - 1);
	QBD_TRUE(test, passes(sample));
	end->index = cpu_to_le64(QBD_INDEX_MAX);
	QBD_TRUE(test, !passes(sample));
	frame_test_free(sample);
}

static void sums_are_checked(struct qbd_test *test)
{
	struct sample *sample = frame_test_alloc(sizeof(*sample));
	struct qbd_frame_verify *verify;
	struct qbd_frame_verified *verified;

	QBD_TRUE(test, sample);
	make_verify(sample);
	verify = (void *)sample->fixed;
	verify->count = cpu_to_le32(QBD_VERIFY_DATA_MAX + 1);
	QBD_TRUE(test, !passes(sample));
	verify->flags = cpu_to_le32(QBD_VERIFY_APPLIED);
	QBD_TRUE(test, passes(sample));
	verify->count = cpu_to_le32(QBD_VERIFY_BLOCKS_MAX + 1);
	QBD_TRUE(test, !passes(sample));
	verify->count = 0;
	QBD_TRUE(test, !passes(sample));
	verify->count = cpu_to_le32(2);
	verify->block = cpu_to_le64(DEVICE_BLOCKS - 1);
	QBD_TRUE(test, !passes(sample));
	verify->block = 0;
	verify->flags = cpu_to_le32(4);
	QBD_TRUE(test, !passes(sample));

	memset(sample, 0, sizeof(*sample));
	make_verified(sample);
	verified = (void *)sample->fixed;
	sample->data_blocks = 1;
	QBD_TRUE(test, passes(sample));
	sample->data_blocks = 0;
	QBD_TRUE(test, !passes(sample));
	verified->status = cpu_to_le32(QBD_VERIFY_BUSY);
	QBD_TRUE(test, passes(sample));
	sample->data_blocks = 1;
	QBD_TRUE(test, !passes(sample));
	sample->data_blocks = 0;
	verified->next_count = cpu_to_le32(QBD_VERIFY_BLOCKS_MAX);
	QBD_TRUE(test, passes(sample));
	verified->next_count = cpu_to_le32(QBD_VERIFY_BLOCKS_MAX + 1);
	QBD_TRUE(test, !passes(sample));
	verified->next_count = 0;
	verified->reserved = cpu_to_le32(1);
	QBD_TRUE(test, !passes(sample));
	verified->reserved = 0;
	verified->status = cpu_to_le32(QBD_VERIFY_FAILED + 1);
	QBD_TRUE(test, !passes(sample));
	verified->status = cpu_to_le32(QBD_VERIFY_FAILED);
	verified->count = 0;
	QBD_TRUE(test, !passes(sample));
	verified->count = cpu_to_le32(QBD_VERIFY_BLOCKS_MAX + 1);
	QBD_TRUE(test, !passes(sample));
	frame_test_free(sample);
}

static void repairs_are_checked(struct qbd_test *test)
{
	struct sample *sample = frame_test_alloc(sizeof(*sample));
	struct qbd_frame_repaired *repaired;
	struct qbd_frame_repair *repair;

	QBD_TRUE(test, sample);
	make_repair(sample);
	repair = (void *)sample->fixed;
	sample->data_blocks = 1;
	QBD_TRUE(test, !passes(sample));
	sample->data_blocks = 2;
	repair->block = cpu_to_le64(DEVICE_BLOCKS - 1);
	QBD_TRUE(test, !passes(sample));
	repair->block = cpu_to_le64(DEVICE_BLOCKS - 2);
	QBD_TRUE(test, passes(sample));
	sample->data_blocks = 0;
	repair->count = 0;
	QBD_TRUE(test, !passes(sample));

	memset(sample, 0, sizeof(*sample));
	make_repaired(sample);
	repaired = (void *)sample->fixed;
	repaired->index = 0;
	QBD_TRUE(test, !passes(sample));
	repaired->status = cpu_to_le32(QBD_REPAIR_TOUCHED);
	QBD_TRUE(test, passes(sample));
	repaired->index = cpu_to_le64(1);
	QBD_TRUE(test, !passes(sample));
	repaired->index = 0;
	repaired->status = cpu_to_le32(QBD_REPAIR_BUSY + 1);
	QBD_TRUE(test, !passes(sample));
	frame_test_free(sample);
}

static void messages_keep_every_field(struct qbd_test *test)
{
	struct qbd_core_message message, back;
	struct qbd_frame_message frame;
	u8 *bytes = (u8 *)&message;
	size_t i;

	for (i = 0; i < sizeof(message); i++)
		bytes[i] = (u8)(i * 13 + 1);
	qbd_frame_message_encode(&frame, &message);
	memset(&back, 0, sizeof(back));
	qbd_frame_message_decode(&back, &frame);
	QBD_TRUE(test, !memcmp(&message, &back, sizeof(message)));
}

static void hellos_are_told_apart(struct qbd_test *test)
{
	struct qbd_frame_hello self = {
		.version = cpu_to_le16(2), .version_min = cpu_to_le16(1),
		.from = cpu_to_le32(1), .to = cpu_to_le32(2),
	};
	struct qbd_frame_hello good = {
		.version = cpu_to_le16(3), .version_min = cpu_to_le16(2),
		.from = cpu_to_le32(2), .to = cpu_to_le32(1),
	};
	struct qbd_frame_hello hello = good;

	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 2), 0);
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 0), 0);
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 3), QBD_REFUSED_MEMBER);
	hello.version_min = cpu_to_le16(3);
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 2), QBD_REFUSED_VERSION);
	hello = good;
	hello.version = 0;
	hello.version_min = 0;
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 2), QBD_REFUSED_VERSION);
	hello = good;
	hello.uuid[15] = 1;
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 2), QBD_REFUSED_DEVICE);
	hello = good;
	hello.history[15] = 1;
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 2), QBD_REFUSED_HISTORY);
	hello = good;
	hello.configuration = cpu_to_le32(1);
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 2),
		  QBD_REFUSED_CONFIGURATION);
	/* Other lists explain other ids. */
	hello.to = cpu_to_le32(3);
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 2),
		  QBD_REFUSED_CONFIGURATION);
	hello = good;
	hello.to = cpu_to_le32(3);
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 2), QBD_REFUSED_MEMBER);
	hello = good;
	hello.from = 0;
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 0), QBD_REFUSED_MEMBER);
	hello.from = self.from;
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &self, 0), QBD_REFUSED_MEMBER);
}

/* Which disk a member may have, by a list that is perhaps not the newest. */
static void a_member_is_one_disk(struct qbd_test *test)
{
	static const u8 ours[QBD_UUID_SIZE] = { 1 }, other[QBD_UUID_SIZE] = { [15] = 1 };
	static const u8 unknown[QBD_UUID_SIZE];
	struct qbd_frame_hello hello = { .incarnation = { 1 } };

	QBD_TRUE(test, qbd_frame_disk_check(&hello, ours, 7));
	QBD_TRUE(test, qbd_frame_disk_check(&hello, unknown, 7));
	QBD_TRUE(test, !qbd_frame_disk_check(&hello, other, 7));
	/* The list that names it is not newer than the one that names another. */
	hello.listed = cpu_to_le64(7);
	QBD_TRUE(test, !qbd_frame_disk_check(&hello, other, 7));
	hello.listed = cpu_to_le64(8);
	QBD_TRUE(test, qbd_frame_disk_check(&hello, other, 7));
	/* It was made anew: it takes the place. */
	hello.listed = 0;
	hello.flags = cpu_to_le32(QBD_HELLO_BLANK);
	QBD_TRUE(test, !qbd_frame_disk_check(&hello, other, 7));
	hello.flags = cpu_to_le32(QBD_HELLO_NEW);
	QBD_TRUE(test, qbd_frame_disk_check(&hello, other, 7));
}

/* A list is past when the member knows of a newer one that is committed, and not before. */
static void a_list_is_past(struct qbd_test *test)
{
	struct qbd_frame_hello hello = { .listed = cpu_to_le64(8) };

	QBD_TRUE(test, qbd_frame_list_is_past(&hello, 7));
	QBD_TRUE(test, !qbd_frame_list_is_past(&hello, 8));
	QBD_TRUE(test, !qbd_frame_list_is_past(&hello, 9));
	/* None names its disk. */
	hello.listed = 0;
	QBD_TRUE(test, !qbd_frame_list_is_past(&hello, 0));
	QBD_TRUE(test, !qbd_frame_list_is_past(&hello, 7));
}

/* One side of an ADMIN connection is a member, the other nobody. */
static void a_program_is_nobody(struct qbd_test *test)
{
	struct qbd_frame_hello member = {
		.version = cpu_to_le16(1), .version_min = cpu_to_le16(1),
		.kind = cpu_to_le32(QBD_CONNECTION_ADMIN), .from = cpu_to_le32(3),
		.configuration = cpu_to_le32(77), .term = cpu_to_le64(9),
	};
	struct qbd_frame_hello program = {
		.version = cpu_to_le16(1), .version_min = cpu_to_le16(1),
		.kind = cpu_to_le32(QBD_CONNECTION_ADMIN),
	};
	struct qbd_frame_hello hello = program;

	QBD_EQUAL(test, qbd_frame_hello_check(&program, &member, 0), 0);
	QBD_EQUAL(test, qbd_frame_hello_check(&member, &program, 0), 0);
	hello.from = cpu_to_le32(4);
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &member, 0), QBD_REFUSED_MEMBER);
	hello = program;
	hello.to = cpu_to_le32(3);
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &member, 0), QBD_REFUSED_MEMBER);
	QBD_EQUAL(test, qbd_frame_hello_check(&program, &program, 0), QBD_REFUSED_MEMBER);
	hello = program;
	hello.uuid[0] = 1;
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &member, 0), QBD_REFUSED_DEVICE);
	hello = program;
	hello.version_min = cpu_to_le16(2);
	hello.version = cpu_to_le16(2);
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &member, 0), QBD_REFUSED_VERSION);
	/* Who says nothing of itself is let in as a program only. */
	member.kind = cpu_to_le32(QBD_CONNECTION_CONTROL);
	hello = program;
	hello.kind = member.kind;
	hello.configuration = member.configuration;
	QBD_EQUAL(test, qbd_frame_hello_check(&hello, &member, 0), QBD_REFUSED_MEMBER);
}

/*
 * Whatever is in a frame whose checksums are right: it is judged, and what passes
 * is within its bounds. The seed is fixed, a failure repeats.
 */
static void rubbish_with_right_checksums_is_judged(struct qbd_test *test)
{
	struct sample *sample = frame_test_alloc(sizeof(*sample));
	struct qbd_frame_request *request = (void *)sample->fixed;
	u32 i, k, at, changes;
	u64 end;

	QBD_TRUE(test, sample);
	random_state = 20240117;
	for (i = 0; i < 20000; i++) {
		memset(sample, 0, sizeof(*sample));
		makers[random_u32() % MAKERS](sample);
		changes = 1 + random_u32() % 4;
		for (k = 0; k < changes && sample->fixed_bytes; k++) {
			at = random_u32() % sample->fixed_bytes;
			sample->fixed[at] = (u8)random_u32();
		}
		if (random_u32() % 4 == 0)
			sample->data_blocks = random_u32() % 300;
		if (!passes(sample))
			continue;
		QBD_TRUE(test, sample->data_blocks <= QBD_FRAME_DATA_BLOCKS_MAX);
		if (sample->type != QBD_FRAME_REQUEST)
			continue;
		end = le64_to_cpu(request->block) + le32_to_cpu(request->count);
		QBD_TRUE(test, end <= DEVICE_BLOCKS ||
			 le32_to_cpu(request->kind) >= QBD_REQUEST_LEADER_MOVE);
	}
	frame_test_free(sample);
}

static void plain_rubbish_is_refused(struct qbd_test *test)
{
	u8 *bytes = frame_test_alloc(4096);
	u32 i, k, frames;

	QBD_TRUE(test, bytes);
	random_state = 99;
	for (i = 0; i < 2000; i++) {
		for (k = 0; k < 4096; k += 4) {
			u32 value = random_u32();

			memcpy(bytes + k, &value, 4);
		}
		QBD_TRUE(test, !qbd_frame_stream_check(bytes, 4096, QBD_PHASE_BULK,
						       DEVICE_BLOCKS, &frames));
		QBD_EQUAL(test, frames, 0);
	}
	frame_test_free(bytes);
}

QBD_SUITE(frame,
	  QBD_CASE(good_frames_pass),
	  QBD_CASE(a_stream_of_all_bulk_frames_passes),
	  QBD_CASE(a_stream_may_end_anywhere),
	  QBD_CASE(every_flipped_bit_is_found),
	  QBD_CASE(frames_keep_to_their_connection),
	  QBD_CASE(writes_are_numbered),
	  QBD_CASE(lengths_are_bounded),
	  QBD_CASE(sequence_and_magic_are_checked),
	  QBD_CASE(requests_lie_within_the_device),
	  QBD_CASE(programs_ask_for_little),
	  QBD_CASE(appends_are_consistent),
	  QBD_CASE(other_contents_are_checked),
	  QBD_CASE(sums_are_checked),
	  QBD_CASE(repairs_are_checked),
	  QBD_CASE(messages_keep_every_field),
	  QBD_CASE(hellos_are_told_apart),
	  QBD_CASE(a_list_is_past),
	  QBD_CASE(a_member_is_one_disk),
	  QBD_CASE(a_program_is_nobody),
	  QBD_CASE(rubbish_with_right_checksums_is_judged),
	  QBD_CASE(plain_rubbish_is_refused));
