/* SPDX-License-Identifier: (GPL-2.0 OR BSD-3-Clause) */
/*
 * The log record: one Raft entry, on disk and on the wire.
 *
 * A record is a header of one block and the data blocks of its operations, in
 * order. On disk it takes 1 + data_blocks log blocks at its ring position,
 * modulo the size of the ring. On the wire only the used bytes of the header
 * travel, then the data blocks.
 *
 * The header has two parts. The shared part is the same on every member and is
 * chained: @chain_previous is the @chain of the entry before it, so that equal
 * chains mean equal histories. The local part is the member's own and binds the
 * record to a disk, a lap and a place (accidents 40, 42, 44).
 */
#ifndef QBD_FORMAT_RECORD_H
#define QBD_FORMAT_RECORD_H

#include "format.h"

#define QBD_RECORD_MAGIC	0x52444251u	/* "QBDR" */

enum qbd_record_kind {
	QBD_RECORD_NOOP		= 1,	/* a new leader's first entry */
	QBD_RECORD_DATA		= 2,	/* operations on blocks */
	QBD_RECORD_MEMBERSHIP	= 3,	/* one data block: struct qbd_membership_layout */
	QBD_RECORD_CLAIM	= 4,	/* who may write from here on; see &qbd_record_shared */
	QBD_RECORD_SESSION	= 5,	/* reserved: request sessions */
	QBD_RECORD_RESIZE	= 6,	/* the device grows to @device_blocks */
};

enum qbd_operation_kind {
	QBD_OPERATION_WRITE	= 1,	/* @count data blocks follow */
	QBD_OPERATION_ZERO	= 2,	/* discard and write zeroes: reads as zero */
	QBD_OPERATION_REPAIR	= 3,	/* @count data blocks follow, which are there already */
};

/**
 * struct qbd_operation - one change of consecutive device blocks
 * @block: first device block
 * @count: blocks, at least 1
 * @data_checksum: CRC-32C of the data, seed ~0; 0 for QBD_OPERATION_ZERO
 * @kind: enum qbd_operation_kind
 * @outstanding: so many sequences back is the oldest write of the session that had not
 *	been answered when this one was sent; less than QBD_SESSION_WINDOW
 * @origin: member on whose host the request was made
 * @session: identifies the run of that member's device (its writes count from 1
 *	anew in each session)
 * @sequence: number of the write in its session. No log has two operations with the
 *	same origin, session and sequence
 * @epoch: log index of the claim in force where it was appended, 0 for the one that the
 *	device was made with. In mode exclusive @origin and @session are its holder's
 *
 * A REPAIR is no request of a host, and the only operation of its record. @origin is the
 * member that found out; @session and @outstanding are 0; @sequence is the log index of the
 * entry as of which the majority holds this data. No entry between that one and this one
 * writes to the blocks.
 */
struct qbd_operation {
	__le64 block;
	__le32 count;
	__le32 data_checksum;
	__le16 kind;
	__le16 outstanding;
	__le32 origin;
	__le64 session;
	__le64 sequence;
	__le64 epoch;
} __attribute__((packed));

/**
 * struct qbd_record_shared - the same on every member
 * @magic: QBD_RECORD_MAGIC
 * @chain: CRC-32C, seed @chain_previous, of the device UUID, then of this
 *	structure from @chain_previous on, then of the operations
 * @chain_previous: @chain of the entry at @index - 1; 0 for index 1
 * @kind: enum qbd_record_kind
 * @operation_count: 0..QBD_OPERATIONS_MAX
 * @index: log index, from 1 on
 * @term: of the leader that appended it
 * @data_blocks: 0..QBD_RECORD_DATA_BLOCKS_MAX, the sum over the operations
 *	(1 for QBD_RECORD_MEMBERSHIP)
 * @data_checksum: of the data blocks of a record without operations, else 0
 * @claim_session: QBD_RECORD_CLAIM: run of the holder's device, else 0
 * @claim_holder: likewise: the member that may write, 0: nobody
 * @claim_mode: likewise: enum qbd_claim_sharing
 * @device_blocks: QBD_RECORD_RESIZE: size of the device from the next entry on, else 0
 *
 * A claim is in the header and not in a data block: so whoever reads a log finds it
 * without reading more than headers, and no record of it need stay in memory. Its epoch
 * is @index.
 */
struct qbd_record_shared {
	__le32 magic;
	__le32 chain;
	__le32 chain_previous;
	__le16 kind;
	__le16 operation_count;
	__le64 index;
	__le64 term;
	__le32 data_blocks;
	__le32 data_checksum;
	__le64 claim_session;
	__le32 claim_holder;
	__le32 claim_mode;
	__le64 device_blocks;
} __attribute__((packed));

/**
 * struct qbd_record_local - this member's own part
 * @position: log blocks written before this one since the ring was made; the
 *	place is log_block + position % log_blocks
 * @durable_index: highest index known durable here when this was written: a
 *	damaged record at or below it was acknowledged and is never cut off
 *	(accident 40); above it, a torn tail
 * @commit_index: highest index known committed when this was written
 * @generation: truncations of this log before this was written: after one, what
 *	was cut off is still in the ring and must not be taken for good, nor for
 *	proof that something is missing; see &qbd_state_block.truncated_index
 * @reserved: 0
 * @member_id: whose log this is
 * @checksum: CRC-32C, seed ~0, of the used header bytes with this field zero
 */
struct qbd_record_local {
	__le64 position;
	__le64 durable_index;
	__le64 commit_index;
	__le64 generation;
	__le64 reserved[3];
	__le32 member_id;
	__le32 checksum;
} __attribute__((packed));

/* Data of its own follows it in the record. */
static inline bool qbd_operation_has_data(const struct qbd_operation *operation)
{
	return le16_to_cpu(operation->kind) != QBD_OPERATION_ZERO;
}

static inline bool qbd_operation_is_repair(const struct qbd_operation *operation)
{
	return le16_to_cpu(operation->kind) == QBD_OPERATION_REPAIR;
}

#define QBD_OPERATIONS_MAX		82
#define QBD_RECORD_DATA_BLOCKS_MAX	256u	/* 1 MiB */
#define QBD_RECORD_BLOCKS_MAX		(1u + QBD_RECORD_DATA_BLOCKS_MAX)
/* One ZERO operation may cover this much at most (64 MiB). */
#define QBD_ZERO_BLOCKS_MAX		16384u

struct qbd_record_header {
	struct qbd_record_shared shared;
	struct qbd_record_local local;
	struct qbd_operation operations[QBD_OPERATIONS_MAX];
	__u8 unused[QBD_BLOCK_SIZE - 128 - 48 * QBD_OPERATIONS_MAX];
} __attribute__((packed));

static_assert(sizeof(struct qbd_operation) == 48, "operation");
static_assert(sizeof(struct qbd_record_shared) == 64, "record, shared part");
static_assert(sizeof(struct qbd_record_local) == 64, "record, local part");
static_assert(sizeof(struct qbd_record_header) == QBD_BLOCK_SIZE, "record");

/* Bytes of a header that are used, checksummed and sent. */
static inline __u32 qbd_record_header_bytes(__u32 operation_count)
{
	return offsetof(struct qbd_record_header, operations) +
	       operation_count * sizeof(struct qbd_operation);
}

/* What &qbd_record_shared.chain has to be. @header is known to be in bounds. */
static inline __u32 qbd_record_chain(const struct qbd_record_header *header,
				     const __u8 uuid[QBD_UUID_SIZE])
{
	__u32 count = le16_to_cpu(header->shared.operation_count);
	size_t skip = offsetof(struct qbd_record_shared, chain_previous);
	__u32 crc;

	crc = qbd_crc32c(le32_to_cpu(header->shared.chain_previous), uuid,
			 QBD_UUID_SIZE);
	crc = qbd_crc32c(crc, (const __u8 *)&header->shared + skip,
			 sizeof(header->shared) - skip);
	return qbd_crc32c(crc, header->operations,
			  count * sizeof(struct qbd_operation));
}

/* What &qbd_record_local.checksum has to be. @header is known to be in bounds. */
static inline __u32 qbd_record_local_checksum(const struct qbd_record_header *header)
{
	__u32 count = le16_to_cpu(header->shared.operation_count);
	const __u32 zero = 0;
	__u32 crc;

	crc = qbd_crc32c(~0u, header,
			 offsetof(struct qbd_record_header, local.checksum));
	crc = qbd_crc32c(crc, &zero, sizeof(zero));
	return qbd_crc32c(crc, header->operations,
			  count * sizeof(struct qbd_operation));
}

#endif
