/* SPDX-License-Identifier: (GPL-2.0 OR BSD-3-Clause) */
/*
 * The wire: frames on TCP, two connections per pair of members.
 *
 * The member with the higher id dials. Each connection says what it is for in
 * its handshake: control carries consensus messages, bulk carries records,
 * forwarded requests and extents, so that a megabyte of data never delays a
 * heartbeat. A program that knows the secret may dial, too (admin).
 *
 * Handshake (each step one frame, both sides check version, device, member ids
 * and the secret before anything else is believed):
 *
 *   dialler -> listener   HELLO      who I am, whom I want, nonce
 *   listener -> dialler   CHALLENGE  who I am, nonce, proof over both hellos
 *   dialler -> listener   PROOF      proof over both hellos
 *   listener -> dialler   WELCOME    the connection may be used
 *   either, instead       REFUSED    reason; then the connection is closed
 */
#ifndef QBD_FORMAT_FRAME_H
#define QBD_FORMAT_FRAME_H

#include "applied.h"
#include "format.h"
#include "record.h"

#define QBD_FRAME_MAGIC		0x46444251u	/* "QBDF" */
#define QBD_WIRE_VERSION	1u

enum qbd_frame_type {
	/* handshake */
	QBD_FRAME_HELLO		= 1,
	QBD_FRAME_CHALLENGE	= 2,
	QBD_FRAME_PROOF		= 3,
	QBD_FRAME_WELCOME	= 4,
	QBD_FRAME_REFUSED	= 5,
	/* control connection */
	QBD_FRAME_MESSAGE	= 16,	/* struct qbd_frame_message */
	QBD_FRAME_PING		= 17,	/* nothing: sent when nothing else was */
	QBD_FRAME_FILL		= 18,	/* struct qbd_frame_fill */
	/* bulk connection */
	QBD_FRAME_APPEND	= 32,	/* struct qbd_frame_append, one record */
	QBD_FRAME_REQUEST	= 33,	/* struct qbd_frame_request, data if a write */
	QBD_FRAME_REPLY		= 34,	/* struct qbd_frame_reply, data if a read */
	QBD_FRAME_RESET		= 35,	/* struct qbd_frame_reset */
	QBD_FRAME_EXTENT	= 36,	/* struct qbd_frame_extent, data */
	QBD_FRAME_FILL_END	= 37,	/* struct qbd_frame_fill_end */
	QBD_FRAME_VERIFY	= 38,	/* struct qbd_frame_verify */
	QBD_FRAME_VERIFIED	= 39,	/* struct qbd_frame_verified, sums, data if asked for */
	QBD_FRAME_REPAIR	= 40,	/* struct qbd_frame_repair, data */
	QBD_FRAME_REPAIRED	= 41,	/* struct qbd_frame_repaired */
};

/* Data blocks that one frame may carry after its fixed part. */
#define QBD_FRAME_DATA_BLOCKS_MAX	QBD_RECORD_DATA_BLOCKS_MAX
/* The fixed part of any frame fits into one block. */
#define QBD_FRAME_FIXED_MAX		QBD_BLOCK_SIZE

/**
 * struct qbd_frame_header - before every frame
 * @magic: QBD_FRAME_MAGIC
 * @type: enum qbd_frame_type
 * @fixed_bytes: length of the fixed part that follows, at most
 *	QBD_FRAME_FIXED_MAX
 * @data_blocks: 4 KiB blocks that follow the fixed part
 * @sequence: frames sent before on this connection; a gap is rubbish
 * @fixed_checksum: CRC-32C of the fixed part, seed ~0
 * @data_checksum: CRC-32C of the data blocks, seed ~0; 0 where they are checked
 *	by something else (APPEND: operations of the record)
 * @header_checksum: CRC-32C of the fields before it, seed ~0
 * @reserved: zero
 */
struct qbd_frame_header {
	__le32 magic;
	__le16 type;
	__le16 fixed_bytes;
	__le32 data_blocks;
	__le32 sequence;
	__le32 fixed_checksum;
	__le32 data_checksum;
	__le32 reserved;
	__le32 header_checksum;
} __attribute__((packed));

enum qbd_connection_kind {
	QBD_CONNECTION_CONTROL	= 1,
	QBD_CONNECTION_BULK	= 2,
	/*
	 * No member at the other end, but a program that knows the secret: somebody who
	 * wants to become one. Its hello has neither sender nor receiver, configuration
	 * nor term. On it the program sends DESCRIBE and CHANGE and nothing else; the
	 * next one is looked at when the answer to the one before is out. It is closed
	 * when nothing comes for QBD_ADMIN_IDLE_MS.
	 */
	QBD_CONNECTION_ADMIN	= 3,
};

#define QBD_ADMIN_IDLE_MS	5000

#define QBD_NONCE_SIZE	32
#define QBD_PROOF_SIZE	32

#define QBD_HELLO_BLANK		(1u << 0)
#define QBD_HELLO_NEW		(1u << 1)

/**
 * struct qbd_frame_hello - HELLO and the first part of CHALLENGE
 * @version: newest wire version that the sender speaks
 * @version_min: oldest one; the connection uses the highest common one
 * @kind: enum qbd_connection_kind
 * @from: sender's member id; 0: a program
 * @to: member id that the sender wants to talk to; 0: whoever is there (ADMIN), and
 *	of whoever is there to a program
 * @session: number that the dialler gave to this attempt; its control and bulk
 *	connection carry the same one, so that only two of one attempt make a pair.
 *	The listener repeats it
 * @flags: QBD_HELLO_BLANK: the sender has no log and knows of no term; QBD_HELLO_NEW:
 *	its disk was made anew (QBD_STATE_NEW), and may take another one's place
 * @configuration: of the sender's superblock
 * @term: the sender has not been in a later one, nor asked for votes in one
 * @uuid: device
 * @incarnation: of the sender's disk
 * @listed: index of the newest committed list in which the sender's disk is this member,
 *	as far as the sender knows; 0: none. A list that is older says nothing of it
 * @run: drawn when the sender came up: two that have the same id and another run are two,
 *	or one that was up before
 * @known_run: what the sender knows of the receiver: in that run it was in @known_term for
 *	certain, and had the committed entry @known_index on its disk; 0: nothing
 * @known_term: see @known_run
 * @known_index: see @known_run
 * @history: of the sender's state block: of another one no member is taken. A program's is 0
 * @nonce: random, never used again
 */
struct qbd_frame_hello {
	__le16 version;
	__le16 version_min;
	__le32 kind;
	__le32 from;
	__le32 to;
	__le64 session;
	__le32 flags;
	__le32 configuration;
	__le64 term;
	__u8 uuid[QBD_UUID_SIZE];
	__u8 incarnation[QBD_UUID_SIZE];
	__le64 listed;
	__le64 run;
	__le64 known_run;
	__le64 known_term;
	__le64 known_index;
	__u8 history[QBD_UUID_SIZE];
	__u8 nonce[QBD_NONCE_SIZE];
} __attribute__((packed));

/**
 * struct qbd_frame_challenge - the listener's answer to HELLO
 * @hello: the listener's own
 * @proof: HMAC-SHA256(secret, "qbd listener" || dialler's hello || @hello)
 */
struct qbd_frame_challenge {
	struct qbd_frame_hello hello;
	__u8 proof[QBD_PROOF_SIZE];
} __attribute__((packed));

/**
 * struct qbd_frame_proof - the dialler's answer to CHALLENGE
 * @proof: HMAC-SHA256(secret, "qbd dialler" || dialler's hello || listener's)
 */
struct qbd_frame_proof {
	__u8 proof[QBD_PROOF_SIZE];
} __attribute__((packed));

enum qbd_refusal {
	QBD_REFUSED_VERSION	= 1,	/* no common wire version */
	QBD_REFUSED_DEVICE	= 2,	/* another device UUID */
	QBD_REFUSED_MEMBER	= 3,	/* not a member, or not the one wanted */
	QBD_REFUSED_SECRET	= 4,	/* proof does not match */
	QBD_REFUSED_PROTOCOL	= 5,	/* malformed frame */
	QBD_REFUSED_CONFIGURATION = 6,	/* made with other members, name or sizes */
	QBD_REFUSED_BUSY	= 7,	/* ADMIN: others are connected, come back soon */
	QBD_REFUSED_DISK	= 8,	/* another disk is this member now */
	QBD_REFUSED_TWICE	= 9,	/* this member is connected, and alive: it is up twice */
	QBD_REFUSED_HISTORY	= 10,	/* the device was recovered by force on one side */
	QBD_REFUSED_REMOVED	= 11,	/* a committed list says so; after both proofs */
	QBD_REFUSED_PERHAPS	= 12,	/* perhaps it is up twice: come again; after both proofs */
};

struct qbd_frame_refused {
	__le32 reason;			/* enum qbd_refusal */
	__le32 reserved;
} __attribute__((packed));

/**
 * struct qbd_frame_message - a consensus message; field for field struct
 *	qbd_core_message, which says what each type uses
 * @type: enum qbd_message_type
 * @flags: QBD_MESSAGE_*
 * @from: sender
 * @to: receiver
 * @term: as in struct qbd_core_message, like all that follow
 * @index: likewise
 * @log_term: likewise
 * @commit: likewise
 * @round: likewise
 * @matched: likewise
 * @durable: likewise
 * @reject_index: likewise
 * @hint_index: likewise
 * @hint_term: likewise
 * @timeout: likewise
 * @reachable: likewise
 * @session: likewise
 * @room: likewise
 * @max_rate: likewise
 * @max_rate_version: likewise
 */
struct qbd_frame_message {
	__le32 type;
	__le32 flags;
	__le32 from;
	__le32 to;
	__le64 term;
	__le64 index;
	__le64 log_term;
	__le64 commit;
	__le64 round;
	__le64 matched;
	__le64 durable;
	__le64 reject_index;
	__le64 hint_index;
	__le64 hint_term;
	__le64 timeout;
	__le64 reachable;
	__le64 session;
	__le64 room;
	__le64 max_rate;
	__le64 max_rate_version;
} __attribute__((packed));

/**
 * struct qbd_frame_append - one record for a follower
 * @leader_term: term of the sender's leadership
 * @previous_index: @record's index - 1
 * @previous_term: term of the entry at @previous_index
 * @commit_index: at most @record's index
 *
 * Followed, within the fixed part, by the used bytes of the record's header
 * (its local part is the sender's and is replaced by the receiver), then the
 * data blocks.
 */
struct qbd_frame_append {
	__le64 leader_term;
	__le64 previous_index;
	__le64 previous_term;
	__le64 commit_index;
} __attribute__((packed));

enum qbd_request_kind {
	QBD_REQUEST_READ	= 1,
	QBD_REQUEST_WRITE	= 2,	/* data blocks follow */
	QBD_REQUEST_ZERO	= 3,
	QBD_REQUEST_LEADER_MOVE	= 4,	/* @block: member id, 0 for the fittest; @count 0 */
	/*
	 * One data block begins with a struct qbd_change_order: its list shall be the list. The
	 * list's index says from which one it was made, and only that one is replaced: so a
	 * program need not know of terms, and @leader_term counts between members only.
	 */
	QBD_REQUEST_CHANGE	= 5,
	/* ADMIN connections: what is this device? One data block comes back. */
	QBD_REQUEST_DESCRIBE	= 6,
	/*
	 * Of the sender's device, in its @session. @count is enum qbd_claim_action, @block
	 * its flags (TAKE) or the mode (MODE), @epoch: see there.
	 */
	QBD_REQUEST_CLAIM	= 7,
	QBD_REQUEST_RESIZE	= 8,	/* @block: to so many blocks, 0: as far as it goes */
};

enum qbd_claim_action {
	QBD_CLAIM_TAKE		= 1,	/* it is to be the sender's; @epoch: with a flag only */
	QBD_CLAIM_RELEASE	= 2,	/* of @epoch, if it is the sender's still */
	QBD_CLAIM_MODE		= 3,	/* @block: enum qbd_claim_sharing */
};

/* TAKE: even from a host that is there, if @epoch is in force still. */
#define QBD_CLAIM_FORCE		(1u << 0)
/* TAKE: for what goes on there since @epoch, unless another host was given one since. */
#define QBD_CLAIM_GOES_ON	(1u << 1)
/* TAKE: likewise for what was read when @epoch was the newest that was committed. */
#define QBD_CLAIM_READ		(1u << 2)

/**
 * struct qbd_frame_request - I/O forwarded to the leader
 * @kind: enum qbd_request_kind
 * @count: device blocks; at most QBD_RECORD_DATA_BLOCKS_MAX (ZERO:
 *	QBD_ZERO_BLOCKS_MAX)
 * @block: first device block
 * @sequence: names the request in @session, for the reply and to recognise
 *	repeats
 * @session: see struct qbd_operation
 * @leader_term: the leadership it was addressed to: a leader of another term
 *	refuses it, so that one that was delayed past an election never lands
 * @epoch: see struct qbd_operation
 * @data_checksum: CRC-32C of the data of a write, seed ~0: becomes the
 *	operation's. 0 on the wire, where it is in the frame's header
 * @outstanding: WRITE, ZERO: see struct qbd_operation; else 0
 * @reserved: zero
 */
struct qbd_frame_request {
	__le32 kind;
	__le32 count;
	__le64 block;
	__le64 sequence;
	__le64 session;
	__le64 leader_term;
	__le64 epoch;
	__le32 data_checksum;
	__le16 outstanding;
	__le16 reserved;
} __attribute__((packed));

enum qbd_reply_status {
	QBD_REPLY_OK		= 0,
	QBD_REPLY_NOT_LEADER	= 1,	/* send it to the leader, when known */
	QBD_REPLY_IO_ERROR	= 2,
	QBD_REPLY_INVALID	= 3,	/* out of the device, malformed */
	QBD_REPLY_BUSY		= 4,	/* no memory for it now, send it again soon */
	/*
	 * LEADER_MOVE: @detail is enum qbd_transfer_result; CHANGE, RESIZE: enum
	 * qbd_change_result; CLAIM: enum qbd_claim_result
	 */
	QBD_REPLY_REFUSED	= 5,
	QBD_REPLY_FENCED	= 6,	/* WRITE, ZERO: its epoch is not the one in force */
};

/* Why a claim is not given. */
enum qbd_claim_result {
	QBD_CLAIM_DONE		= 0,
	QBD_CLAIM_BUSY		= 1,	/* @member holds it; @value: ms until it may be taken */
	QBD_CLAIM_OUTDATED	= 2,	/* another claim than @epoch is in force by now */
	QBD_CLAIM_SILENT	= 3,	/* like BUSY, but @member seems to be gone */
	QBD_CLAIM_SHUT_OUT	= 4,	/* another host was given one since @epoch */
};

/* Why members or size are not changed; in words in kmod/format/change.h. */
enum qbd_change_result {
	QBD_CHANGE_DONE		= 0,	/* the entry is in the leader's log */
	QBD_CHANGE_NOT_LEADER	= 1,	/* or its first entry is not committed yet */
	QBD_CHANGE_OUTDATED	= 2,	/* the list was changed meanwhile: look again */
	QBD_CHANGE_PENDING	= 3,	/* another change is under way */
	QBD_CHANGE_MALFORMED	= 4,	/* no list that could be one */
	QBD_CHANGE_IDS		= 5,	/* an id that was given before, or not by the rule */
	QBD_CHANGE_FLAGS	= 6,	/* @member: no such step */
	QBD_CHANGE_MISSING	= 7,	/* @member is left out: it has to be LEAVING */
	QBD_CHANGE_VOTERS	= 8,	/* no voter would be left, or more than 9 */
	QBD_CHANGE_TWICE	= 9,	/* @member: its name or address is another's */
	QBD_CHANGE_QUORUM	= 10,	/* @member is needed for a majority, and is not there */
	QBD_CHANGE_ROOM		= 11,	/* no memory or no room in the log just now */
	QBD_CHANGE_NOTHING	= 12,	/* it is so already */
	QBD_CHANGE_ADDRESS	= 13,	/* @member: not asked for on its host, or of another kind */
	QBD_CHANGE_WITNESSES	= 14,	/* they alone would be a majority */
	QBD_CHANGE_CLIENT	= 15,	/* @member is one: it never votes */
	QBD_CHANGE_USED		= 16,	/* @member is to leave, and has the device in use */
	QBD_CHANGE_LEAVES	= 17,	/* @member: it may have been told so already */
	QBD_CHANGE_UNSAID	= 18,	/* @member is to leave, and may have the device in use */
	/* RESIZE */
	QBD_CHANGE_SHRINK	= 20,	/* to less than it has */
	QBD_CHANGE_GROWING	= 21,	/* a RESIZE is under way */
	QBD_CHANGE_AWAY		= 22,	/* @member is not there, or not whole */
	QBD_CHANGE_DISK		= 23,	/* @member has no room for it */
	QBD_CHANGE_END
};

/**
 * struct qbd_change_order - what the data block of a CHANGE begins with
 * @members: the list as it shall be
 * @flags: QBD_ORDER_*; what is not known is passed over
 */
struct qbd_change_order {
	struct qbd_membership_layout members;
	__le32 flags;
} __attribute__((packed));

#define QBD_ORDER_FORCE		(1u << 0)	/* who uses the device leaves, too */

/**
 * struct qbd_frame_reply - the answer to REQUEST
 * @sequence: of the request
 * @session: of the request
 * @leader_term: of the request: which of several copies, to leaderships that followed one
 *	another, it answers
 * @status: enum qbd_reply_status
 * @count: data blocks that follow (READ, DESCRIBE)
 * @detail: see enum qbd_reply_status
 * @member: CHANGE, RESIZE, CLAIM, refused: the member that @detail speaks of, or 0; FENCED: that
 *	holds the device now, or 0
 * @value: CLAIM, done: the epoch; refused: see enum qbd_claim_result. READ, done: all entries
 *	up to this one are in what was read. CHANGE, refused for want of a majority: bit n: the
 *	n-th member of the list that was asked for would vote, and is not there; in the upper half
 *	how many of these would do; 0: who answers does not say
 */
struct qbd_frame_reply {
	__le64 sequence;
	__le64 session;
	__le64 leader_term;
	__le32 status;
	__le32 count;
	__le32 detail;
	__le32 member;
	__le64 value;
} __attribute__((packed));

/**
 * struct qbd_description - the data block that answers DESCRIBE
 * @device_blocks: size of the device
 * @log_blocks: size of the ring log, the same on every member but clients
 * @extent_shift: log2 of the extent size in bytes
 * @configuration: as in the superblock
 * @member_id: who answers
 * @leader: member id, 0 if none is known
 * @commit_index: known committed here: a @membership of a later index may still be
 *	lost with its leader, and the ids that it gave be given to others
 * @history: as in the state block; who joins writes it into its own
 * @claim: the newest that is known to be committed here
 * @connected: bit n: a connection to members[n] of @membership stands, or it answers this
 * @flags: QBD_DESCRIPTION_GROWING: of the leader: nobody is taken into the list just now
 * @name: of the device
 * @membership: configuration in force here, with the index that a CHANGE has to name
 */
struct qbd_description {
	__le64 device_blocks;
	__le64 log_blocks;
	__le32 extent_shift;
	__le32 configuration;
	__le32 member_id;
	__le32 leader;
	__le64 commit_index;
	__u8 history[QBD_UUID_SIZE];
	struct qbd_claim_layout claim;
	__le32 connected;
	__le32 flags;
	char name[QBD_NAME_SIZE];
	struct qbd_membership_layout membership;
} __attribute__((packed));

#define QBD_DESCRIPTION_GROWING	(1u << 0)

/**
 * struct qbd_frame_reset - leader to a follower that its log no longer reaches:
 *	throw your log away, start anew after @index, have your data filled
 * @leader_term: term of the sender's leadership
 * @index: applied at the leader; the log goes on with @index + 1
 * @term: its term
 * @chain: its record checksum
 * @device_blocks: size of the device at @index
 * @membership: configuration at @index
 * @applied: what entries up to @index have done besides to the data
 * @reserved: zero
 */
struct qbd_frame_reset {
	__le64 leader_term;
	__le64 index;
	__le64 term;
	__le32 chain;
	__le32 reserved;
	__le64 device_blocks;
	struct qbd_membership_layout membership;
	struct qbd_applied_layout applied;
} __attribute__((packed));

/**
 * struct qbd_frame_fill - follower to leader: send me what changed
 * @leader_term: the leadership addressed
 * @start_index: the follower's fill_index: a leader that has applied less waits
 * @base_index: extents that changed after it are wanted
 * @first_extent: go on from here
 * @count: at most so many extents, 1..64
 * @first_block: and within it from here
 * @flags: QBD_FILL_CHECK: digests of extents, no data
 * @request: names this FILL; its extents and its end carry it, so that what was
 *	read for an earlier one, and may be older than what the follower has applied
 *	since, is never taken for an answer to this one
 * @end_extent: extents from here on are not wanted; 0: all are
 *
 * It is answered with at most 256 pieces, in order.
 */
struct qbd_frame_fill {
	__le64 request;
	__le64 leader_term;
	__le64 start_index;
	__le64 base_index;
	__le64 first_extent;
	__le32 count;
	__le32 first_block;
	__le32 flags;
	__le32 end_extent;
} __attribute__((packed));

#define QBD_FILL_CHECK		(1u << 0)

/**
 * struct qbd_frame_extent - a piece of one extent, at most 1 MiB
 * @request: the FILL that it answers
 * @extent: number
 * @index: commit index at the leader when it was read
 * @block: first device block of this piece
 * @count: device blocks; data blocks follow unless @flags says zero
 * @flags: bit 0: all zero, no data; bit 1: last piece of the extent; bit 2: no data, but the
 *	digest of the whole extent
 * @digest: BLAKE2s-256 of it, or zero
 */
struct qbd_frame_extent {
	__le64 request;
	__le64 extent;
	__le64 index;
	__le64 block;
	__le32 count;
	__le32 flags;
	__u8 digest[32];
} __attribute__((packed));

#define QBD_EXTENT_ZERO		(1u << 0)
#define QBD_EXTENT_LAST_PIECE	(1u << 1)
#define QBD_EXTENT_DIGEST	(1u << 2)

/**
 * struct qbd_frame_fill_end - leader to follower: this answers one FILL
 * @request: the FILL that it answers
 * @first_extent: of the FILL that it answers
 * @next_extent: where the next FILL goes on
 * @extents_total: extents of the device
 * @extents_left: about so many are still to be sent, for people
 * @index: highest commit index at which an extent was read
 * @flags: bit 0: nothing is left at or after @next_extent
 * @next_block: and within it
 */
struct qbd_frame_fill_end {
	__le64 request;
	__le64 first_extent;
	__le64 next_extent;
	__le64 extents_total;
	__le64 extents_left;
	__le64 index;
	__le32 flags;
	__le32 next_block;
} __attribute__((packed));

#define QBD_FILL_DONE		(1u << 0)

/* Blocks that one VERIFY may ask about, and of which it may ask for the contents. */
#define QBD_VERIFY_BLOCKS_MAX	256u
#define QBD_VERIFY_DATA_MAX	64u
#define QBD_VERIFY_WORDS	(QBD_VERIFY_BLOCKS_MAX / 64)

/**
 * struct qbd_frame_verify - one member to another: what do you hold there?
 * @request: names it, for the answer
 * @index: as of this entry of the log, which the sender knows to be committed: who knows
 *	less waits until it knows it, too
 * @block: first device block
 * @count: blocks
 * @flags: QBD_VERIFY_*
 *
 * A newer one of the same sender replaces one that was not answered.
 */
struct qbd_frame_verify {
	__le64 request;
	__le64 index;
	__le64 block;
	__le32 count;
	__le32 flags;
} __attribute__((packed));

#define QBD_VERIFY_DATA		(1u << 0)	/* the contents, too */
#define QBD_VERIFY_APPLIED	(1u << 1)	/* not before @index is in the data area */

enum qbd_verify_status {
	QBD_VERIFY_OK		= 0,	/* struct qbd_verify_sums follows, then the contents */
	QBD_VERIFY_BUSY		= 1,	/* no memory for it now, ask again soon */
	QBD_VERIFY_FILLING	= 2,	/* it is not whole: new, or lost something, or filled */
	QBD_VERIFY_FAILED	= 3,	/* its disk failed, or it goes down */
};

/**
 * struct qbd_frame_verified - the answer to VERIFY
 * @request: of the VERIFY
 * @status: enum qbd_verify_status
 * @count: blocks that were asked about
 * @next_count: of the leader, who knows what requests there are: so many blocks are to be
 *	asked about next; 0: of any other member
 * @reserved: zero
 */
struct qbd_frame_verified {
	__le64 request;
	__le32 status;
	__le32 count;
	__le32 next_count;
	__le32 reserved;
} __attribute__((packed));

/**
 * struct qbd_verify_sums - the first data block of a VERIFIED
 * @touched: a bit for each block: an entry behind the index wrote there before it was
 *	read, or may have; its sum says nothing
 * @unreadable: likewise: the disk failed to read it; it has no sum
 * @sums: CRC-32C of each block, seed ~0
 * @unused: zero
 */
struct qbd_verify_sums {
	__le64 touched[QBD_VERIFY_WORDS];
	__le64 unreadable[QBD_VERIFY_WORDS];
	__le32 sums[QBD_VERIFY_BLOCKS_MAX];
	__u8 unused[QBD_BLOCK_SIZE - 16 * QBD_VERIFY_WORDS - 4 * QBD_VERIFY_BLOCKS_MAX];
} __attribute__((packed));

/**
 * struct qbd_frame_repair - to the leader: write this, which is there already
 * @request: names it, for the answer
 * @leader_term: the leadership it was addressed to
 * @index: as of this entry the blocks hold the data that follows, by the majority; if
 *	anything was written there since, the leader refuses
 * @block: first device block
 * @count: blocks, at most QBD_VERIFY_DATA_MAX; as many data blocks follow
 * @reserved: zero
 */
struct qbd_frame_repair {
	__le64 request;
	__le64 leader_term;
	__le64 index;
	__le64 block;
	__le32 count;
	__le32 reserved;
} __attribute__((packed));

enum qbd_repair_status {
	QBD_REPAIR_APPENDED	= 0,	/* it is the entry @index of the log */
	QBD_REPAIR_TOUCHED	= 1,	/* something was written there since, or may have been */
	QBD_REPAIR_NOT_LEADER	= 2,
	QBD_REPAIR_BUSY		= 3,	/* no memory or no room in the log just now */
};

/**
 * struct qbd_frame_repaired - the answer to REPAIR
 * @request: of the REPAIR
 * @index: of the new entry, which may still be lost with its leader; else 0
 * @status: enum qbd_repair_status
 * @reserved: zero
 */
struct qbd_frame_repaired {
	__le64 request;
	__le64 index;
	__le32 status;
	__le32 reserved;
} __attribute__((packed));

/* Results of RESIZE have numbers of their own. */
static_assert(QBD_CHANGE_LEAVES < QBD_CHANGE_SHRINK, "change results");
static_assert(sizeof(struct qbd_frame_verify) == 32, "verify");
static_assert(sizeof(struct qbd_frame_verified) == 24, "verified");
static_assert(sizeof(struct qbd_verify_sums) == QBD_BLOCK_SIZE, "sums");
static_assert(sizeof(struct qbd_frame_repair) == 40, "repair");
static_assert(sizeof(struct qbd_frame_repaired) == 24, "repaired");
static_assert(sizeof(struct qbd_frame_header) == 32, "frame header");
static_assert(sizeof(struct qbd_frame_hello) == 160, "hello");
static_assert(sizeof(struct qbd_frame_message) == 144, "message");
static_assert(sizeof(struct qbd_frame_append) == 32, "append");
static_assert(sizeof(struct qbd_frame_request) == 56, "request");
static_assert(sizeof(struct qbd_frame_reply) == 48, "reply");
static_assert(sizeof(struct qbd_frame_reset) <= QBD_FRAME_FIXED_MAX, "reset");
static_assert(sizeof(struct qbd_description) <= QBD_BLOCK_SIZE, "description");
static_assert(sizeof(struct qbd_change_order) <= QBD_BLOCK_SIZE, "order");
/* The header of a full record and the append part share the fixed part. */
static_assert(sizeof(struct qbd_frame_append) + 128 +
	      sizeof(struct qbd_operation) * QBD_OPERATIONS_MAX <=
	      QBD_FRAME_FIXED_MAX, "append fits");

#endif
