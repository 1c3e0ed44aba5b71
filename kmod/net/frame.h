/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pure checks of frames: no kernel calls, no allocation. The same file compiles
 * into the module, into KUnit and into userspace tests and fuzzers.
 *
 * Everything a peer can say is looked at here before anybody believes it. All
 * functions are total: whatever the bytes are, they answer.
 */
#ifndef QBD_NET_FRAME_H
#define QBD_NET_FRAME_H

#include "../core/core.h"
#include "../format/frame.h"

/* What a connection is at, which says what frames are legal on it. */
enum qbd_frame_phase {
	QBD_PHASE_HANDSHAKE,
	QBD_PHASE_CONTROL,
	QBD_PHASE_BULK,
	QBD_PHASE_ADMIN,	/* a program's requests, at the member */
	QBD_PHASE_ANSWER,	/* the member's answers to them, at the program */
};

/**
 * qbd_frame_seal() - fill in a frame header
 * @header: all of it is written
 * @type: enum qbd_frame_type
 * @fixed_bytes: length of the fixed part
 * @data_blocks: blocks of data
 * @sequence: frames sent before on this connection
 * @fixed_checksum: CRC-32C of the fixed part, seed ~0
 * @data_checksum: CRC-32C of the data if it goes into the header, else 0
 */
void qbd_frame_seal(struct qbd_frame_header *header, u16 type, u16 fixed_bytes,
		    u32 data_blocks, u32 sequence, u32 fixed_checksum, u32 data_checksum);

/**
 * qbd_frame_header_check() - may this frame come now?
 * @header: as received
 * @phase: what the connection is at
 * @sequence: that is due
 * @reason: on failure a few words for the log
 *
 * Magic, checksum, sequence, whether the type is legal in @phase, and whether the
 * lengths are possible for the type. After it fixed_bytes is at most
 * QBD_FRAME_FIXED_MAX and data_blocks at most QBD_FRAME_DATA_BLOCKS_MAX.
 *
 * Return: true if it may.
 */
bool qbd_frame_header_check(const struct qbd_frame_header *header,
			    enum qbd_frame_phase phase, u32 sequence,
			    const char **reason);

/**
 * qbd_frame_fixed_check() - does the fixed part make sense?
 * @header: has passed qbd_frame_header_check()
 * @phase: likewise
 * @fixed: as many bytes as the header says
 * @device_blocks: what it names must lie within
 * @reason: on failure a few words for the log
 *
 * Checksum first, then what is in it, as far as it can be known without any
 * state: ranges, counts, that the data announced is the data that belongs to it.
 *
 * Return: true if it does.
 */
bool qbd_frame_fixed_check(const struct qbd_frame_header *header,
			   enum qbd_frame_phase phase, const void *fixed,
			   u64 device_blocks, const char **reason);

/* Is the data's checksum in the frame's header? A record has its own. */
static inline bool qbd_frame_checks_data(u16 type)
{
	return type != QBD_FRAME_APPEND;
}

/**
 * qbd_frame_hello_check() - is the other side who it should be?
 * @hello: the other side's
 * @self: our own; @self->from is our member id, uuid, versions and kind are ours
 * @peer: member id that it must have, 0 if any
 *
 * Of an ADMIN connection the one side is a member and the other nobody.
 *
 * Return: 0 or enum qbd_refusal.
 */
enum qbd_refusal qbd_frame_hello_check(const struct qbd_frame_hello *hello,
				       const struct qbd_frame_hello *self, u32 peer);

/**
 * qbd_frame_list_is_past() - does a member say that a newer list than this one is committed?
 * @hello: checked, of the member
 * @index: of the list in force here
 *
 * Then what the list here says of that member, it knows better itself: which disk it is, and
 * where. The newer list comes, for it is committed.
 */
bool qbd_frame_list_is_past(const struct qbd_frame_hello *hello, u64 index);

/**
 * qbd_frame_disk_check() - is this the disk that the list in force says the member is?
 * @hello: checked, of the member
 * @incarnation: what the list says of it; zero: nothing
 * @index: of that list
 *
 * A disk that was made anew takes the place of the one that the list names. A list that is
 * older than the one that the member says names its disk is of no account:
 *
 *	3's disk was made anew while 2 was away; 1 goes. 2 and 3 could go on, but by 2's
 *	list 3 is another disk, and only from 3 could it learn otherwise.
 *
 * The one that was replaced cannot say so: it knows of no list after that.
 */
bool qbd_frame_disk_check(const struct qbd_frame_hello *hello, const u8 *incarnation,
			  u64 index);

/**
 * qbd_frame_newcomer_check() - may it be a member of which the lists here do not know yet?
 * @hello: checked, of a member that the list in force does not name
 * @self: our own member id
 * @committed: index of the newest list that is known here to be committed
 *
 * It says that a list which is newer than that is committed and names its disk. Ids rise, so
 * it dials. Whether to believe it is for the proof to say.
 */
bool qbd_frame_newcomer_check(const struct qbd_frame_hello *hello, u32 self, u64 committed);

/* Why a handshake was refused, in words that say what to look at. */
const char *qbd_refusal_text(u32 reason);

void qbd_frame_message_encode(struct qbd_frame_message *frame,
			      const struct qbd_core_message *message);
void qbd_frame_message_decode(struct qbd_core_message *message,
			      const struct qbd_frame_message *frame);

/**
 * qbd_frame_stream_check() - read a whole stream of frames (tests, fuzzers)
 * @bytes: what a peer sent
 * @size: how much of it there is
 * @phase: any but QBD_PHASE_HANDSHAKE
 * @device_blocks: of the device
 * @frames: set to the number of good frames
 *
 * Return: true if all of it was good, the last frame perhaps cut short.
 */
bool qbd_frame_stream_check(const void *bytes, size_t size, enum qbd_frame_phase phase,
			    u64 device_blocks, u32 *frames);

#endif
