// SPDX-License-Identifier: GPL-2.0
/*
 * Writes that come again: the table of what is in the log, kept in step with it.
 *
 * session.c says what the table is. It is changed with the log and in the same step:
 * with what is appended, cut off, recovered, and replaced by a reset. What it says of
 * the log up to the applied index goes to the disk with that index, for the records
 * that it came from are reclaimed.
 *
 * Repairs have no place in it: nobody waits for one, and a second one of the same blocks
 * changes as little as the first. Noted, one would end the session of its origin.
 */
#include "internal.h"

static enum qbd_standing standing(const void *context, u32 origin)
{
	const struct qbd_replica *replica = context;
	u32 i;

	if (!replica->config_count || qbd_membership_find(qbd_replica_layout(replica), origin))
		return QBD_STANDING_MEMBER;
	for (i = 0; i < replica->config_count; i++)
		if (qbd_membership_find(&replica->configs[i].layout, origin))
			return QBD_STANDING_LEAVING;
	return QBD_STANDING_GONE;
}

static struct qbd_write_id id_of(const struct qbd_operation *operation)
{
	return (struct qbd_write_id){
		.origin = le32_to_cpu(operation->origin),
		.session = le64_to_cpu(operation->session),
		.sequence = le64_to_cpu(operation->sequence),
		.outstanding = le16_to_cpu(operation->outstanding),
	};
}

/**
 * qbd_repeat_number() - a write of this host needs a number before it goes anywhere
 * @io: of this host or another
 *
 * It is given late, so that what is held takes no room in the window.
 *
 * Return: false if the oldest write that is under way has to be answered first.
 */
bool qbd_repeat_number(struct qbd_io *io)
{
	struct qbd_write_window *window = &io->replica->window;

	if (!io->local)
		return true;
	if (!io->sequence)
		io->sequence = qbd_window_take(window);
	if (!io->sequence)
		return false;
	io->outstanding = qbd_window_outstanding(window, io->sequence);
	return true;
}

/* A write of this host has ended, for whoever made it. */
void qbd_repeat_answered(struct qbd_io *io)
{
	if (io->sequence)
		qbd_window_answered(&io->replica->window, io->sequence);
}

static struct qbd_write_id id_of_io(const struct qbd_io *io)
{
	return (struct qbd_write_id){
		.origin = io->origin,
		.session = io->session,
		.sequence = io->sequence,
		.outstanding = io->outstanding,
	};
}

/* Is this write in the log? */
enum qbd_session_verdict qbd_repeat_find(const struct qbd_io *io, u64 *index)
{
	struct qbd_write_id id = id_of_io(io);

	return qbd_session_find(io->replica->sessions, &id, index);
}

/* It is about to be, as leader. */
void qbd_repeat_proposing(const struct qbd_io *io, u64 index)
{
	struct qbd_write_id id = id_of_io(io);

	qbd_session_note(io->replica->sessions, &id, index, standing, io->replica);
}

/**
 * qbd_repeat_in() - does a record bring a write that the log has before it?
 * @replica: replica
 * @header: of a record that follows entries of this log
 *
 * No leader has such a log: whoever sent it is wrong.
 */
bool qbd_repeat_in(const struct qbd_replica *replica, const struct qbd_record_header *header)
{
	u32 count = le16_to_cpu(header->shared.operation_count);
	u64 index;
	u32 i;

	for (i = 0; i < count; i++) {
		struct qbd_write_id id = id_of(&header->operations[i]);

		if (qbd_operation_is_repair(&header->operations[i]))
			continue;
		if (qbd_session_find(replica->sessions, &id, &index) == QBD_WRITE_LOGGED &&
		    index < le64_to_cpu(header->shared.index))
			return true;
	}
	return false;
}

/* A record was appended to the log, or was found there. */
void qbd_repeat_appended(struct qbd_replica *replica, const struct qbd_record_header *header)
{
	u32 count = le16_to_cpu(header->shared.operation_count);
	u32 i;

	for (i = 0; i < count; i++) {
		struct qbd_write_id id = id_of(&header->operations[i]);

		if (qbd_operation_is_repair(&header->operations[i]))
			continue;
		qbd_session_note(replica->sessions, &id, le64_to_cpu(header->shared.index),
				 standing, replica);
	}
}

/* Entries from @first_removed on are gone. */
void qbd_repeat_truncated(struct qbd_replica *replica, u64 first_removed)
{
	qbd_session_truncate(replica->sessions, first_removed);
}

/**
 * qbd_replica_applied_state() - what is applied besides the data
 * @replica: replica
 * @index: as of this entry, which is applied
 * @applied: all of it is written but what the store knows by itself, @without_data
 */
void qbd_replica_applied_state(struct qbd_replica *replica, u64 index,
			       struct qbd_applied_layout *applied)
{
	qbd_claims_layout(replica, index, &applied->claim);
	qbd_session_store(replica->sessions, index, applied);
}

/**
 * qbd_replica_applied_restore() - the log begins after an entry, or anew after it
 * @replica: replica
 * @index: that entry
 * @applied: what qbd_replica_applied_state() gave for it, here or elsewhere
 */
void qbd_replica_applied_restore(struct qbd_replica *replica, u64 index,
				 const struct qbd_applied_layout *applied)
{
	qbd_session_load(replica->sessions, index, applied);
	qbd_claims_begin(replica, &applied->claim);
	replica->restored_through = index;
}

/* Found in the log when the member comes up; up to the applied index all is known. */
void qbd_repeat_recovered(struct qbd_replica *replica, const struct qbd_record_header *header)
{
	if (le64_to_cpu(header->shared.index) > replica->restored_through)
		qbd_repeat_appended(replica, header);
}
