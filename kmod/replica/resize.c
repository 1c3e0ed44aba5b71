// SPDX-License-Identifier: GPL-2.0
/*
 * The device becomes larger while it is in use.
 *
 *   qbdadm resize -> the leader, which knows what each disk has room for (every message of
 *   a member says it, as the disk is at that moment) -> RESIZE in the log -> committed ->
 *   each member makes its disk ready when it applies it (kmod/store/grow.c) -> its block
 *   device is as large
 *
 * Whose block device is larger already may ask a leader that has not applied it yet for
 * what is beyond: it is told to ask again. A leader accepts nothing beyond its own size,
 * so no write beyond the end is in the log before the RESIZE that makes room for it is
 * committed.
 */
#include "internal.h"
#include "size.h"

/* Does the request lie within the device, as it is here? */
bool qbd_resize_reaches(const struct qbd_replica *replica, u64 block, u32 count)
{
	u64 blocks = qbd_store_identity(replica->store)->device_blocks;

	return count <= blocks && block <= blocks - count;
}

/* What each message says of this member's disk. Where no data is kept nobody wants to know. */
u64 qbd_resize_room(const struct qbd_replica *replica)
{
	if (replica->store_failed || qbd_replica_filling(replica))
		return 0;
	return qbd_store_room(replica->store);
}

/* Is a RESIZE in the log, and not applied yet? */
bool qbd_resize_growing(const struct qbd_replica *replica)
{
	u64 last = qbd_store_last_index(replica->store);

	return qbd_store_blocks_after(replica->store, last) !=
	       qbd_store_identity(replica->store)->device_blocks;
}

static void gather_facts(struct qbd_replica *replica, struct qbd_size_facts *facts)
{
	const struct qbd_membership_layout *now = qbd_replica_layout(replica);

	facts->blocks = qbd_store_identity(replica->store)->device_blocks;
	facts->growing = qbd_resize_growing(replica);
	facts->count = le32_to_cpu(now->count);
	for (u32 i = 0; i < facts->count; i++) {
		u32 id = le32_to_cpu(now->members[i].id);
		const struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);
		struct qbd_peer_status status;

		facts->members[i].id = id;
		/* It keeps nothing of it, and follows when it is back. */
		if (!qbd_member_keeps_data(replica, id))
			facts->members[i].room = QBD_DEVICE_BLOCKS_MAX;
		else if (id == replica->member_id)
			facts->members[i].room = qbd_resize_room(replica);
		else if (peer && peer->up &&
			 qbd_core_get_peer(replica->core, replica->now, id, &status) &&
			 status.alive)
			facts->members[i].room = peer->room;
		else
			facts->members[i].room = 0;
	}
}

/* The entry: a header that says the size. As for a change of members, see change.c. */
static enum qbd_change_result propose(struct qbd_replica *replica, u64 blocks)
{
	u64 last = qbd_store_last_index(replica->store);
	struct qbd_record *record;
	u64 index;

	if (replica->store_failed || replica->noop_index)
		return QBD_CHANGE_NOT_LEADER;
	if (!qbd_store_has_room_at(replica->store, last + 1, 0, QBD_LOG_RESERVE_BLOCKS))
		return QBD_CHANGE_ROOM;
	record = qbd_record_alloc(replica->pool, QBD_POOL_FORWARD, 0, 0, true);
	if (!record)
		return QBD_CHANGE_ROOM;
	if (qbd_core_propose(replica->core, replica->now, QBD_ENTRY_RESIZE, NULL, &index) !=
	    QBD_PROPOSE_OK) {
		qbd_record_put(record);
		return QBD_CHANGE_NOT_LEADER;
	}
	record->header->shared.device_blocks = cpu_to_le64(blocks);
	qbd_record_seal(record, replica->uuid, QBD_RECORD_RESIZE, index, replica->told_term,
			qbd_store_chain(replica->store, last));
	if (WARN_ON_ONCE(index != last + 1 || qbd_store_append(replica->store, record)))
		qbd_replica_stop_vouching(replica, "log and consensus disagree");
	qbd_record_put(record);
	replica->records_appended++;
	qbd_replica_settle(replica);
	return QBD_CHANGE_DONE;
}

/**
 * qbd_resize_propose() - somebody wants the device to grow
 * @replica: replica
 * @wanted: to so many blocks; 0: as far as all disks allow
 * @member: set if the refusal is about a member, else 0
 *
 * Return: QBD_CHANGE_DONE when the entry is in this leader's log; it may be lost with its
 * leader still.
 */
enum qbd_change_result qbd_resize_propose(struct qbd_replica *replica, u64 wanted,
					  u32 *member)
{
	struct qbd_size_facts facts;
	enum qbd_change_result result;
	u64 blocks;

	*member = 0;
	if (replica->told_role != QBD_ROLE_LEADER || replica->phase != QBD_PHASE_RUNNING ||
	    !qbd_replica_keeps_data(replica))
		return QBD_CHANGE_NOT_LEADER;
	gather_facts(replica, &facts);
	result = qbd_size_decide(&facts, wanted, &blocks, member);
	if (result != QBD_CHANGE_DONE)
		return result;
	result = propose(replica, blocks);
	if (result == QBD_CHANGE_DONE)
		qbd_notice(replica, "grows from %llu to %llu KiB",
			   facts.blocks << (QBD_BLOCK_SHIFT - 10),
			   blocks << (QBD_BLOCK_SHIFT - 10));
	return result;
}

/**
 * qbd_resize_fits() - can this member follow the device to this size?
 * @replica: replica
 * @blocks: that a leader spoke of
 *
 * Return: false: it cannot, and stops vouching; the others go on without it. The leader
 * asked before, so the disk has become smaller since, or is that of a member that joined
 * meanwhile.
 */
bool qbd_resize_fits(struct qbd_replica *replica, u64 blocks)
{
	if (blocks <= qbd_store_room(replica->store))
		return true;
	qbd_replica_stop_vouching(replica, "the device is to grow, and this disk has no room for it: replace it by a larger one");
	return false;
}

/* Process context, sleeps: tell the block layer, and who listens to it. */
void qbd_resize_work(struct work_struct *work)
{
	struct qbd_replica *replica = container_of(work, struct qbd_replica, resize_work);

	if (qbd_disk_resize(replica->resized_disk, READ_ONCE(replica->resized_blocks)))
		WRITE_ONCE(replica->resized, true);
	qbd_replica_kick(replica);
}

/**
 * qbd_resize_check() - does the block device show the size that this member is ready for?
 * @replica: replica; each pass
 *
 * Only when that is durable: a file system that has grown along is not mounted from a
 * device that is smaller for a moment after a power cut.
 */
void qbd_resize_check(struct qbd_replica *replica)
{
	u64 blocks = qbd_store_durable_blocks(replica->store);

	if (qbd_store_cannot_grow(replica->store) && !replica->store_failed)
		qbd_resize_fits(replica, qbd_store_cannot_grow(replica->store));
	if (READ_ONCE(replica->resized)) {
		WRITE_ONCE(replica->resized, false);
		qbd_replica_event(replica, QBD_EVENT_RESIZED, 0, "%llu KiB",
				  READ_ONCE(replica->resized_blocks) << (QBD_BLOCK_SHIFT - 10));
	}
	replica->fill.extents_total = qbd_store_identity(replica->store)->extent_count;
	if (!replica->disk || replica->resized_blocks == blocks)
		return;
	replica->resized_disk = replica->disk;
	WRITE_ONCE(replica->resized_blocks, blocks);
	queue_work(system_unbound_wq, &replica->resize_work);
}

/**
 * qbd_resize_command() - have the device grow, by the leader wherever it is
 * @replica: replica
 * @command: argument points to the number of blocks, 0: as far as all disks allow; is done
 *	when the leader has written it into its log, or has refused it
 */
void qbd_resize_command(struct qbd_replica *replica, struct qbd_command *command)
{
	u64 wanted = *(const u64 *)command->argument;
	enum qbd_change_result result;
	u32 member;

	if (!qbd_change_may_ask(replica, command))
		return;
	if (replica->told_role == QBD_ROLE_LEADER) {
		result = qbd_resize_propose(replica, wanted, &member);
		qbd_change_answer(replica, command, result, member, 0);
	} else {
		qbd_change_ask(replica, command, QBD_REQUEST_RESIZE, wanted, NULL);
	}
}
