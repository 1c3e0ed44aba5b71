// SPDX-License-Identifier: GPL-2.0
/*
 * What a majority holds is written once more, at the leader.
 *
 * It is an entry of the log like any other, so that every member gets it, and a member that
 * is away later. But it says nothing new: its data is what the blocks hold as of an entry, by
 * the majority, and the leader takes it only if no entry behind that one, committed or not,
 * writes there. So it changes nothing at its place, which is the next one of the leader's
 * log, and no newer write is ever undone:
 *
 *	What 1 had of a block was spoiled. 2 compared as of entry 100 and sent the good data to
 *	3, which led. Meanwhile somebody had written the block with entry 101. Had 3 taken the
 *	repair as its entry 102, that write would have been lost.
 *
 * The entry says as of which one it is, so that each follower can see the same in its own
 * log, and takes no repair that is none (qbd_repair_allow()).
 *
 * It is an operation of its own kind. A write is of somebody: of a session, in which it
 * lands once, and of a claim, which it has to be of to land at all. A repair is of nobody.
 * Were it a write of the member that found out, the epoch of whoever holds the claim would
 * forbid it, on all hosts but one; were it the holder's, it would need a number of the
 * holder's session, which only the holder gives. And neither would protect anything: a
 * superseded holder's late write is refused because it is news; this is none.
 *
 * It is an entry of its own, never in a record with held writes: those are in no entry yet,
 * and one before it in the same record could be to the same block.
 */
#include "internal.h"

/* Does nothing behind @as_of write there, in all that this leader has in its log? */
static bool untouched(const struct qbd_replica *replica, u64 as_of, u64 block, u32 count)
{
	u64 touched[QBD_VERIFY_WORDS] = { };

	return qbd_store_touched(replica->store, as_of, qbd_store_last_index(replica->store),
				 block, count, touched) &&
	       !memchr_inv(touched, 0, sizeof(touched));
}

/**
 * qbd_repair_allow() - if a record says that it is a repair, is it?
 * @replica: replica that follows
 * @header: of a record that follows entries of this log; checked
 *
 * Return: false if an entry since the one that it names wrote there. What is not in memory
 * here any more is believed: the leader looked.
 */
bool qbd_repair_allow(const struct qbd_replica *replica,
		      const struct qbd_record_header *header)
{
	const struct qbd_operation *operation = &header->operations[0];
	u64 touched[QBD_VERIFY_WORDS] = { };

	if (!le16_to_cpu(header->shared.operation_count) ||
	    !qbd_operation_is_repair(operation))
		return true;
	return !qbd_store_touched(replica->store, le64_to_cpu(operation->sequence),
				  le64_to_cpu(header->shared.index) - 1,
				  le64_to_cpu(operation->block),
				  le32_to_cpu(operation->count), touched) ||
	       !memchr_inv(touched, 0, sizeof(touched));
}

static void describe(struct qbd_operation *operation, u32 origin, u64 as_of, u64 epoch,
		     u64 block, const struct qbd_record *record)
{
	u32 checksum = ~0u;

	for (u32 i = 0; i < record->data_blocks; i++)
		checksum = qbd_crc32c(checksum, page_address(record->pages[i]),
				      QBD_BLOCK_SIZE);
	memset(operation, 0, sizeof(*operation));
	operation->block = cpu_to_le64(block);
	operation->count = cpu_to_le32(record->data_blocks);
	operation->data_checksum = cpu_to_le32(checksum);
	operation->kind = cpu_to_le16(QBD_OPERATION_REPAIR);
	operation->origin = cpu_to_le32(origin);
	operation->sequence = cpu_to_le64(as_of);
	operation->epoch = cpu_to_le64(epoch);
}

/**
 * qbd_repair_propose() - append what is there already
 * @replica: replica; nobody but a leader does it
 * @origin: member that found out
 * @as_of: entry as of which the majority holds @data
 * @block: first device block
 * @data: the caller's; loses its pages if they were taken
 * @index: of the new entry, if there is one
 *
 * Return: QBD_REPAIR_APPENDED, or why not.
 */
enum qbd_repair_status qbd_repair_propose(struct qbd_replica *replica, u32 origin,
					  u64 as_of, u64 block, struct qbd_buffer *data,
					  u64 *index)
{
	u64 last = qbd_store_last_index(replica->store);
	struct qbd_core_status status;
	struct qbd_record *record;

	*index = 0;
	if (replica->told_role != QBD_ROLE_LEADER || replica->phase != QBD_PHASE_RUNNING ||
	    replica->store_failed || replica->noop_index || !qbd_replica_keeps_data(replica))
		return QBD_REPAIR_NOT_LEADER;
	if (!untouched(replica, as_of, block, data->blocks))
		return QBD_REPAIR_TOUCHED;
	if (!qbd_store_has_room_at(replica->store, last + 1, data->blocks,
				   QBD_LOG_RESERVE_BLOCKS))
		return QBD_REPAIR_BUSY;
	record = qbd_record_alloc(replica->pool, QBD_POOL_WRITE, 1, data->blocks, false);
	if (!record)
		return QBD_REPAIR_BUSY;
	if (qbd_core_propose(replica->core, replica->now, QBD_ENTRY_DATA, NULL, index) !=
	    QBD_PROPOSE_OK) {
		qbd_record_put(record);
		return QBD_REPAIR_NOT_LEADER;
	}
	for (u32 i = 0; i < data->blocks; i++) {
		record->pages[i] = data->pages[i];
		data->pages[i] = NULL;
	}
	describe(&record->header->operations[0], origin, as_of,
		 qbd_claims_newest(replica)->epoch, block, record);
	qbd_core_get_status(replica->core, replica->now, &status);
	qbd_record_seal(record, replica->uuid, QBD_RECORD_DATA, *index, status.term,
			qbd_store_chain(replica->store, last));
	if (WARN_ON_ONCE(*index != last + 1 || qbd_store_append(replica->store, record)))
		qbd_replica_stop_vouching(replica, "log and consensus disagree");
	qbd_pace_add(&replica->written, replica->now, qbd_record_bytes(record));
	qbd_record_put(record);
	replica->records_appended++;
	return QBD_REPAIR_APPENDED;
}

/* Another member found something to repair. @data is ours; NULL: there was no memory. */
void qbd_repair_asked(struct qbd_replica *replica, u32 peer,
		      const struct qbd_frame_repair *repair, struct qbd_buffer *data)
{
	enum qbd_repair_status status = data ? QBD_REPAIR_NOT_LEADER : QBD_REPAIR_BUSY;
	struct qbd_frame_repaired repaired = { .request = repair->request };
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REPAIRED,
		.fixed = &repaired,
		.fixed_bytes = sizeof(repaired),
	};
	u64 index = 0;

	if (data && le64_to_cpu(repair->leader_term) == replica->told_term)
		status = qbd_repair_propose(replica, peer, le64_to_cpu(repair->index),
					    le64_to_cpu(repair->block), data, &index);
	qbd_buffer_free(data);
	repaired.index = cpu_to_le64(index);
	repaired.status = cpu_to_le32(status);
	/* If it cannot be said, whoever asked compares again when time is up. */
	if (!qbd_net_send(replica->network, peer, &frame))
		qbd_net_push(replica->network, peer);
}
