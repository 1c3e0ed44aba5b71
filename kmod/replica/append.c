// SPDX-License-Identifier: GPL-2.0
/*
 * Records to the followers, and from the leader.
 *
 * Sending is pulled: a peer's turn comes when the core has something for it or
 * when its connection can take more. Receiving keeps the order in which frames
 * came: while the log has no room they are held, and the leader's window bounds
 * how many those can be.
 */
#include <linux/err.h>

#include "../record/header.h"
#include "internal.h"

/* The record at @index: as loaded for this peer, or from the store. */
static int fetch(struct qbd_replica *replica, struct qbd_replica_peer *peer, u64 index,
		 struct qbd_record **record)
{
	int error;

	if (peer->loaded) {
		*record = peer->loaded;
		peer->loaded = NULL;
		if ((*record)->index == index &&
		    (*record)->term == qbd_core_term_at(replica->core, index))
			return 0;
		qbd_record_put(*record);
	}
	if (peer->loading && peer->loading_index == index)
		return -EINPROGRESS;
	error = qbd_store_record(replica->store, index, record);
	if (error == -EINPROGRESS) {
		peer->loading = true;
		peer->loading_index = index;
	}
	return error;
}

static int send_one(struct qbd_replica *replica, struct qbd_replica_peer *peer,
		    const struct qbd_range *range, struct qbd_record *record)
{
	u64 previous = record->index - 1;
	struct qbd_frame_append append = {
		.leader_term = cpu_to_le64(range->term),
		.previous_index = cpu_to_le64(previous),
		.previous_term = cpu_to_le64(previous == range->prev_index ?
				range->prev_term :
				qbd_core_term_at(replica->core, previous)),
		.commit_index = cpu_to_le64(min(range->commit, record->index)),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_APPEND,
		.fixed = &append,
		.fixed_bytes = sizeof(append),
		.record = record,
		.data_blocks = record->data_blocks,
	};

	return qbd_net_send(replica->network, peer->id, &frame);
}

/* One range of the core's. Return: 0 if all of it went out. */
static int send_range(struct qbd_replica *replica, struct qbd_replica_peer *peer,
		      const struct qbd_range *range)
{
	u64 bytes = 0, last = 0, index;
	struct qbd_record *record;
	int error = 0;

	for (index = range->first; index <= range->last; index++) {
		error = qbd_catch_up_waits(replica, peer, index, range->commit) ? -EBUSY :
			fetch(replica, peer, index, &record);
		if (error)
			break;
		if (bytes && bytes + qbd_record_bytes(record) > range->max_bytes) {
			qbd_record_put(record);
			break;
		}
		error = send_one(replica, peer, range, record);
		if (!error) {
			last = index;
			bytes += qbd_record_bytes(record);
			qbd_catch_up_sent(replica, peer, index, range->commit,
					  qbd_record_bytes(record));
		}
		qbd_record_put(record);
		if (error)
			break;
	}
	if (last) {
		qbd_core_append_sent(replica->core, replica->now, peer->id, last, bytes);
		qbd_net_push(replica->network, peer->id);
	}
	return error;
}

/**
 * qbd_append_send() - give a peer what it may be sent now
 * @replica: replica
 * @peer: one that is up and marked for a pull
 *
 * The mark stays if something stopped it that comes back by itself: room in the
 * connection's queue, a record that is being read or could not be, memory, its turn.
 */
void qbd_append_send(struct qbd_replica *replica, struct qbd_replica_peer *peer)
{
	struct qbd_range range;

	if (replica->now < peer->pull_after) {
		qbd_replica_later(replica, peer->pull_after);
		return;
	}
	while (peer->up && peer->pull) {
		switch (qbd_core_next_append(replica->core, replica->now, peer->id,
					     replica->settings.window_bytes, &range)) {
		case QBD_PULL_NOTHING:
			peer->pull = false;
			break;
		case QBD_PULL_EXTENTS:
			peer->pull = false;
			qbd_fill_send_reset(replica, peer);
			break;
		case QBD_PULL_RANGE:
			if (send_range(replica, peer, &range))
				return;
			break;
		}
	}
}

/* It is not to be sent anything (now): what was read for it goes. */
void qbd_append_forget(struct qbd_replica_peer *peer)
{
	qbd_record_put(peer->loaded);
	peer->loaded = NULL;
}

/* How long a record that could not be read is left alone. */
#define READ_AGAIN_NS	(100 * NSEC_PER_MSEC)

/*
 * The record at @index is damaged, or the disk fails to read it. What it did is in the
 * data area if it was applied: the log may as well begin behind it, and who has less is
 * filled by extents. If it was not, others have it, and one of them has to lead.
 *
 *	The records that 3 had missed were damaged at 1 and at 2: each handed leadership
 *	to the other, 3 got neither the records nor extents, and a leader without anybody
 *	to hand over to read the record again and again.
 */
static void record_unreadable(struct qbd_replica *replica, u64 index, int error)
{
	if (index > qbd_store_applied_index(replica->store)) {
		qbd_replica_cannot_read(replica, "log record %llu on this disk cannot be read (error %d)",
					index, error);
		return;
	}
	qbd_warn(replica, "log record %llu on this disk cannot be read (error %d): members that lack it are filled by extents",
		 index, error);
	qbd_core_log_compacted(replica->core, index + 1);
	qbd_replica_settle(replica);
}

/* Reclaimed or cut off meanwhile, or no memory: it is no fault of the disk. */
static bool passes(int error)
{
	return error == -ENOENT || error == -EAGAIN || error == -ENOMEM;
}

/* A record was read from the ring for whoever waits for it. @record is ours. */
void qbd_append_loaded(struct qbd_replica *replica, u64 index, struct qbd_record *record)
{
	/* A disk has many words for it: EIO, ENODATA, EILSEQ, ETIMEDOUT ... */
	bool unreadable = IS_ERR(record) && !passes(PTR_ERR(record));
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(replica->peers); i++) {
		struct qbd_replica_peer *peer = &replica->peers[i];

		if (!peer->loading || peer->loading_index != index)
			continue;
		peer->loading = false;
		peer->pull = true;
		if (unreadable)
			peer->pull_after = replica->now + READ_AGAIN_NS;
		if (IS_ERR(record) || !peer->up || replica->told_role != QBD_ROLE_LEADER)
			continue;
		if (peer->loaded)
			qbd_record_put(peer->loaded);
		peer->loaded = qbd_record_get(record);
	}
	if (!IS_ERR(record))
		qbd_record_put(record);
	else if (unreadable)
		record_unreadable(replica, index, PTR_ERR(record));
}

/* The member list that a MEMBERSHIP record carries, or NULL with a reason. */
static const struct qbd_membership_layout *membership_of(struct qbd_record *record,
							 struct qbd_config *config,
							 const char **reason)
{
	const struct qbd_membership_layout *layout;

	*reason = "membership record without a member list";
	if (record->data_blocks != 1)
		return NULL;
	layout = page_address(record->pages[0]);
	if (qbd_layout_check(layout, reason))
		return NULL;
	qbd_config_from_layout(config, layout);
	return layout;
}

static bool chain_follows(const struct qbd_replica *replica,
			  const struct qbd_record *record)
{
	return le32_to_cpu(record->header->shared.chain_previous) ==
	       qbd_store_chain(replica->store, record->index - 1);
}

/*
 * Where index and term of the entry before are the same, the histories up to there
 * are (log matching), and so are the chains. Asked before the core takes the record:
 * it is the sender who is wrong, and nothing of it may stay.
 */
static bool follows(const struct qbd_replica *replica, const struct qbd_append *append)
{
	return append->prev_index + 1 >= qbd_store_first_index(replica->store) &&
	       append->prev_index <= qbd_store_last_index(replica->store) &&
	       qbd_core_term_at(replica->core, append->prev_index) == append->prev_term;
}

/*
 * The network looked at the header, and knows only how large the device can become at
 * most. How large it is for this record says the RESIZE before it.
 */
static bool reaches_beyond(const struct qbd_replica *replica, u64 prev_index,
			   const struct qbd_record *record)
{
	return qbd_record_reach(record->header) >
	       qbd_store_blocks_after(replica->store, prev_index);
}

static void write_accepted(struct qbd_replica *replica, struct qbd_record *record,
			   const struct qbd_append_result *result,
			   const struct qbd_membership_layout *layout)
{
	if (result->truncate_from) {
		qbd_store_truncate(replica->store, result->truncate_from);
		qbd_repeat_truncated(replica, result->truncate_from);
		qbd_replica_pop_configs(replica, result->truncate_from);
		qbd_claims_pop(replica, result->truncate_from);
		qbd_write_truncated(replica, result->truncate_from);
	}
	if (!result->count_new)
		return;
	/* What the core takes follows what is here; process() looked at the chain. */
	if (WARN_ON_ONCE(!chain_follows(replica, record))) {
		qbd_replica_stop_vouching(replica, "history differs from the leader's");
		return;
	}
	if (WARN_ON_ONCE(!qbd_claims_allow(replica, record->header))) {
		qbd_replica_stop_vouching(replica, "the leader sent a write of another claim than the one in force");
		return;
	}
	if (layout)
		qbd_replica_push_config(replica, record->index, layout);
	qbd_claims_push(replica, record->header);
	qbd_repeat_appended(replica, record->header);
	if (WARN_ON_ONCE(qbd_store_append(replica->store, record)))
		qbd_replica_stop_vouching(replica, "log and consensus disagree");
}

/* Return: false if the record has to wait for room in the log. */
static bool process(struct qbd_replica *replica, u32 peer,
		    const struct qbd_frame_append *frame, struct qbd_record *record)
{
	const struct qbd_membership_layout *layout = NULL;
	struct qbd_append_result result = {};
	struct qbd_config config;
	struct qbd_entry entry = {
		.term = record->term,
		.kind = le16_to_cpu(record->header->shared.kind),
	};
	u64 blocks = le64_to_cpu(record->header->shared.device_blocks);
	struct qbd_append append = {
		.from = peer,
		.term = le64_to_cpu(frame->leader_term),
		.prev_index = le64_to_cpu(frame->previous_index),
		.prev_term = le64_to_cpu(frame->previous_term),
		.commit = le64_to_cpu(frame->commit_index),
		.count = 1,
		.entries = &entry,
	};
	const char *reason = "record does not follow its own frame";
	unsigned int reserve = 0;

	/* A leader of an older term does not get anybody to wait for room. */
	if (replica->store_failed || replica->fill.step == QBD_FILL_RESETTING ||
	    append.term < replica->told_term)
		return true;
	/* What only adds data waits; what may cut something off must get through. */
	if (record->index > qbd_store_last_index(replica->store) &&
	    entry.kind == QBD_ENTRY_DATA)
		reserve = QBD_LOG_RESERVE_BLOCKS;
	if (!qbd_store_has_room_at(replica->store, record->index, record->data_blocks,
				   reserve))
		return false;
	if (append.prev_index + 1 != record->index)
		goto invalid;
	if (entry.kind == QBD_ENTRY_CONFIG) {
		layout = membership_of(record, &config, &reason);
		if (!layout)
			goto invalid;
		entry.config = &config;
	}
	if (entry.kind == QBD_ENTRY_RESIZE && !qbd_resize_fits(replica, blocks))
		return true;
	if (follows(replica, &append)) {
		reason = "history differs from this member's";
		if (!chain_follows(replica, record))
			goto invalid;
		reason = "a write that is in the log already";
		if (qbd_repeat_in(replica, record->header))
			goto invalid;
		reason = "record that reaches beyond the device";
		if (reaches_beyond(replica, append.prev_index, record))
			goto invalid;
		reason = "a repair of what was written since";
		if (!qbd_repair_allow(replica, record->header))
			goto invalid;
	}
	switch (qbd_core_append(replica->core, replica->now, &append, &result)) {
	case QBD_APPEND_ACCEPTED:
		write_accepted(replica, record, &result, layout);
		break;
	case QBD_APPEND_REJECTED:
	case QBD_APPEND_STALE:
	case QBD_APPEND_IGNORED:
		break;
	case QBD_APPEND_INVALID:
		reason = "append that breaks the protocol";
		goto invalid;
	}
	qbd_replica_settle(replica);
	return true;
invalid:
	qbd_net_disconnect(replica->network, peer, reason);
	return true;
}

/* A record from the leader (or who takes itself for it). @record is ours. */
void qbd_append_received(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_append *frame,
			 struct qbd_record *record)
{
	struct qbd_held_append *held;

	if (!replica->held_count && process(replica, peer, frame, record)) {
		qbd_record_put(record);
		return;
	}
	if (replica->held_count == QBD_HELD_APPENDS_MAX) {
		/* Beyond any window; it will be sent again. */
		qbd_record_put(record);
		return;
	}
	held = &replica->held[(replica->held_first + replica->held_count) %
			      QBD_HELD_APPENDS_MAX];
	held->frame = *frame;
	held->record = record;
	held->peer = peer;
	replica->held_count++;
}

/* There may be room again. */
void qbd_append_go_on(struct qbd_replica *replica)
{
	while (replica->held_count) {
		struct qbd_held_append *held = &replica->held[replica->held_first];

		if (held->record) {
			if (!process(replica, held->peer, &held->frame, held->record))
				return;
			qbd_record_put(held->record);
			held->record = NULL;
		}
		replica->held_first = (replica->held_first + 1) % QBD_HELD_APPENDS_MAX;
		replica->held_count--;
	}
}

/* Nothing of a connection that is gone is delivered (0: of any). */
void qbd_append_drop_held(struct qbd_replica *replica, u32 peer)
{
	u32 i;

	for (i = 0; i < replica->held_count; i++) {
		struct qbd_held_append *held =
			&replica->held[(replica->held_first + i) % QBD_HELD_APPENDS_MAX];

		if (held->record && (!peer || held->peer == peer)) {
			qbd_record_put(held->record);
			held->record = NULL;
		}
	}
}
