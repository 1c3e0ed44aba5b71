// SPDX-License-Identifier: GPL-2.0
/*
 * What a majority holds is written once more, at the leader.
 *
 * It is an ordinary write, an entry of the log like any other, so that every member gets it,
 * and a member that is away later. But it says nothing new: its data is what the blocks hold
 * as of an entry, by the majority, and the leader takes it only if no entry behind that one,
 * committed or not, writes there. So wherever in the log it lands, it changes nothing, and
 * no newer write is ever undone:
 *
 *	What 1 had of a block was spoiled. 2 compared as of entry 100 and sent the good data to
 *	3, which led. Meanwhile somebody had written the block with entry 101. Had 3 taken the
 *	repair as its entry 102, that write would have been lost.
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

static void describe(struct qbd_operation *operation, u32 origin, u64 block,
		     const struct qbd_record *record)
{
	u32 checksum = ~0u;

	for (u32 i = 0; i < record->data_blocks; i++)
		checksum = qbd_crc32c(checksum, page_address(record->pages[i]),
				      QBD_BLOCK_SIZE);
	/* No request of a session: nobody repeats it, and nobody waits for it there. */
	memset(operation, 0, sizeof(*operation));
	operation->block = cpu_to_le64(block);
	operation->count = cpu_to_le32(record->data_blocks);
	operation->data_checksum = cpu_to_le32(checksum);
	operation->kind = cpu_to_le16(QBD_OPERATION_WRITE);
	operation->origin = cpu_to_le32(origin);
}

/**
 * qbd_repair_propose() - append a write of what is there already
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
	struct qbd_record *record;

	*index = 0;
	if (replica->told_role != QBD_ROLE_LEADER || replica->phase != QBD_PHASE_RUNNING ||
	    replica->store_failed || replica->noop_index)
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
	describe(&record->header->operations[0], origin, block, record);
	qbd_record_seal(record, replica->uuid, QBD_RECORD_DATA, *index, replica->told_term,
			qbd_store_chain(replica->store, last));
	if (WARN_ON_ONCE(*index != last + 1 || qbd_store_append(replica->store, record)))
		qbd_replica_stop_vouching(replica, "log and consensus disagree");
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
