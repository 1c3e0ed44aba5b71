// SPDX-License-Identifier: GPL-2.0
/*
 * Is a record header what it says it is?
 *
 * A header comes from a disk or from another host. Nothing in it is believed
 * before its counts are known to be in bounds and the chain, which covers every
 * shared byte that is used, has been computed.
 */
#include "../format/applied.h"
#include "header.h"

static bool bounds_good(const struct qbd_record_header *header, size_t bytes,
			const char **reason)
{
	u32 operations, data_blocks;

	if (bytes < offsetof(struct qbd_record_header, operations)) {
		*reason = "header too short";
		return false;
	}
	if (le32_to_cpu(header->shared.magic) != QBD_RECORD_MAGIC) {
		*reason = "no record header";
		return false;
	}
	operations = le16_to_cpu(header->shared.operation_count);
	data_blocks = le32_to_cpu(header->shared.data_blocks);
	if (operations > QBD_OPERATIONS_MAX ||
	    bytes < qbd_record_header_bytes(operations)) {
		*reason = "more operations than fit";
		return false;
	}
	if (data_blocks > QBD_RECORD_DATA_BLOCKS_MAX) {
		*reason = "more data than fits";
		return false;
	}
	return true;
}

/* It is alone, no request of anybody, and says as of which earlier entry. */
static bool repair_good(const struct qbd_record_shared *shared,
			const struct qbd_operation *operation)
{
	return le16_to_cpu(shared->operation_count) == 1 && !operation->session &&
	       !operation->outstanding &&
	       le64_to_cpu(operation->sequence) < le64_to_cpu(shared->index);
}

static bool operation_good(const struct qbd_record_shared *shared,
			   const struct qbd_operation *operation, u64 device_blocks,
			   u64 *data_blocks)
{
	u64 block = le64_to_cpu(operation->block);
	u32 count = le32_to_cpu(operation->count);

	if (!count || block >= device_blocks || count > device_blocks - block)
		return false;
	/* Sequences from 2^62 on are none of writes. */
	if (le16_to_cpu(operation->outstanding) >= QBD_SESSION_WINDOW ||
	    le64_to_cpu(operation->sequence) < le16_to_cpu(operation->outstanding) ||
	    le64_to_cpu(operation->sequence) >> 62)
		return false;
	if (qbd_operation_is_repair(operation) && !repair_good(shared, operation))
		return false;
	switch (le16_to_cpu(operation->kind)) {
	case QBD_OPERATION_WRITE:
	case QBD_OPERATION_REPAIR:
		*data_blocks += count;
		return count <= QBD_RECORD_DATA_BLOCKS_MAX;
	case QBD_OPERATION_ZERO:
		return count <= QBD_ZERO_BLOCKS_MAX && !operation->data_checksum;
	default:
		return false;
	}
}

/* The data that the operations need is the data that is there. */
static bool operations_good(const struct qbd_record_header *header, u64 device_blocks)
{
	u32 count = le16_to_cpu(header->shared.operation_count);
	u64 data_blocks = 0;
	u32 i;

	for (i = 0; i < count; i++)
		if (!operation_good(&header->shared, &header->operations[i], device_blocks,
				    &data_blocks))
			return false;
	return data_blocks == le32_to_cpu(header->shared.data_blocks);
}

/* Who holds it is a member's run; in mode shared, and after a release, nobody does. */
static bool claim_good(const struct qbd_record_shared *shared)
{
	u32 mode = le32_to_cpu(shared->claim_mode);

	if (shared->device_blocks || mode > QBD_CLAIM_SHARED)
		return false;
	return !shared->claim_session == !shared->claim_holder &&
	       (mode == QBD_CLAIM_EXCLUSIVE || !shared->claim_holder);
}

u64 qbd_record_reach(const struct qbd_record_header *header)
{
	u32 count = le16_to_cpu(header->shared.operation_count);
	u64 reach = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		u64 end = le64_to_cpu(header->operations[i].block) +
			  le32_to_cpu(header->operations[i].count);

		if (end > reach)
			reach = end;
	}
	return reach;
}

static bool kind_good(const struct qbd_record_header *header, u64 device_blocks)
{
	u32 data_blocks = le32_to_cpu(header->shared.data_blocks);
	u32 count = le16_to_cpu(header->shared.operation_count);

	switch (le16_to_cpu(header->shared.kind)) {
	case QBD_RECORD_NOOP:
		return !count && !data_blocks && !header->shared.data_checksum;
	case QBD_RECORD_DATA:
		return count && !header->shared.data_checksum &&
		       operations_good(header, device_blocks);
	case QBD_RECORD_MEMBERSHIP:
		return !count && data_blocks == 1;
	case QBD_RECORD_CLAIM:
		return !count && !data_blocks && !header->shared.data_checksum &&
		       claim_good(&header->shared);
	case QBD_RECORD_RESIZE:
		return !count && !data_blocks && !header->shared.data_checksum &&
		       !header->shared.claim_session && !header->shared.claim_holder &&
		       !header->shared.claim_mode && header->shared.device_blocks &&
		       le64_to_cpu(header->shared.device_blocks) <= QBD_DEVICE_BLOCKS_MAX;
	default:
		return false;
	}
}

int qbd_record_header_check(const struct qbd_record_header *header, size_t bytes,
			    const u8 *uuid, u64 device_blocks, const char **reason)
{
	if (!bounds_good(header, bytes, reason))
		return -EBADMSG;
	if (le32_to_cpu(header->shared.chain) != qbd_record_chain(header, uuid)) {
		*reason = "checksum does not match";
		return -EBADMSG;
	}
	if (!header->shared.index || !header->shared.term) {
		*reason = "index or term is 0";
		return -EBADMSG;
	}
	if (!kind_good(header, device_blocks)) {
		*reason = "operations do not add up or lie outside the device";
		return -EBADMSG;
	}
	return 0;
}
