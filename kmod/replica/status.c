// SPDX-License-Identifier: GPL-2.0
/*
 * A snapshot for people and programs, taken in replica context, so that all of it
 * is of one moment.
 */
#include "internal.h"

static void fill_progress(struct qbd_replica *replica, const struct qbd_core_status *core,
			  struct qbd_member_status *status, u32 id)
{
	const struct qbd_replica_peer *source = qbd_replica_peer(replica, id);
	struct qbd_peer_status peer;
	u64 records, average, first;

	if (!qbd_core_get_peer(replica->core, replica->now, id, &peer))
		return;
	if (peer.heard_at)
		status->last_heard_ms = div_u64(replica->now - min(peer.heard_at,
								   replica->now),
						NSEC_PER_MSEC);
	if (core->role != QBD_ROLE_LEADER)
		return;
	status->progress_known = true;
	status->progress_state = peer.state;
	status->needs_extents = peer.state == QBD_PEER_NEEDS_EXTENTS ||
				peer.flags & QBD_MESSAGE_FILLING;
	if (source && source->narrowed)
		qbd_fill_report(replica, source, &status->fill);
	if (source)
		qbd_catch_up_report(replica, source, &status->catch_up);
	status->match_index = peer.match;
	status->next_index = peer.next;
	status->inflight_bytes = peer.inflight;
	status->behind_entries = core->last - min(peer.match, core->last);
	/* What the log has dropped: by the average record that is in the ring now. */
	records = core->last - min(core->first - 1, core->last);
	average = records ? div64_u64(replica->status_log_used, records) : 0;
	first = qbd_store_first_index(replica->store);
	status->behind_bytes = qbd_store_log_bytes(replica->store, peer.match + 1, core->last) +
			       (first - min(peer.match + 1, first)) * average;
}

static void fill_member(struct qbd_replica *replica, const struct qbd_core_status *core,
			const struct qbd_member_layout *member,
			struct qbd_member_status *status)
{
	u32 id = le32_to_cpu(member->id);

	status->member = *member;
	status->self = id == replica->member_id;
	status->leader = id == core->leader;
	status->last_heard_ms = U64_MAX;
	if (status->self) {
		status->connected = true;
		status->last_heard_ms = 0;
		status->match_index = core->durable;
		status->next_index = core->last + 1;
		status->progress_known = core->role == QBD_ROLE_LEADER;
		status->needs_extents = qbd_replica_filling(replica);
		return;
	}
	status->connected = qbd_net_peer_up(replica->network, id);
	qbd_net_peer_status(replica->network, id, &status->network);
	fill_progress(replica, core, status, id);
}

/* How many voters are known to be there, and how many more may go. */
static void fill_quorum(struct qbd_replica *replica, const struct qbd_core_status *core,
			struct qbd_replica_status *status)
{
	u32 i;

	status->voters = core->voters;
	status->quorum_needed = core->quorum;
	for (i = 0; i < status->member_count; i++) {
		const struct qbd_member_status *member = &status->members[i];

		if (le16_to_cpu(member->member.flags) & QBD_MEMBER_VOTER &&
		    (member->self || member->connected))
			status->voters_up++;
	}
	if (core->role == QBD_ROLE_LEADER)
		status->voters_up = core->reachable;
	status->has_quorum = qbd_replica_has_leader(replica);
	status->may_lose = status->has_quorum ?
		(s32)status->voters_up - (s32)core->quorum : -1;
	if (status->may_lose < -1)
		status->may_lose = -1;
}

static void fill_log(struct qbd_replica *replica, const struct qbd_core_status *core,
		     struct qbd_replica_status *status)
{
	status->role = core->role;
	status->term = core->term;
	status->leader = core->leader;
	status->first_index = core->first;
	status->last_index = core->last;
	status->durable_index = core->durable;
	status->commit_index = core->commit;
	status->applied_index = qbd_store_applied_index(replica->store);
	status->lease_valid = core->lease_valid;
	status->failed = replica->store_failed;
	status->damaged = replica->damaged || core->lost;
	status->filling = qbd_replica_filling(replica);
	if (status->filling)
		qbd_fill_report(replica, NULL, &status->fill);
}

static void fill_counters(struct qbd_replica *replica, struct qbd_replica_status *status)
{
	status->requests_waiting = qbd_io_waiting(replica);
	status->requests_in_flight = qbd_io_in_flight(replica);
	status->suspended = !qbd_replica_has_leader(replica) &&
			    (status->requests_waiting || status->requests_in_flight);
	status->in_use = replica->disk && qbd_disk_in_use(replica->disk);
	status->reads = replica->reads_done;
	status->read_bytes = replica->read_bytes;
	status->writes = replica->writes_done;
	status->write_bytes = replica->write_bytes;
	status->zeroes = replica->zeroes_done;
	status->forwarded = replica->forwarded_count;
	status->resent = replica->resent_count;
	status->errors = replica->errors_count;
	status->records_appended = replica->records_appended;
	status->memory_bytes = (u64)qbd_pool_pages(replica->pool) << QBD_BLOCK_SHIFT;
	status->memory_free_bytes =
		(u64)qbd_pool_pages_free(replica->pool) << QBD_BLOCK_SHIFT;
}

static void fill_claim(struct qbd_replica *replica, struct qbd_replica_status *status)
{
	const struct qbd_claim *claim = qbd_claims_committed(replica);
	u64 lease = qbd_claim_lease_ms(replica);

	status->claim_mode = claim->mode;
	status->claim_holder = claim->holder;
	status->claim_epoch = claim->epoch;
	status->claim_since_ms = div_u64(replica->now - min(replica->claim_seen_at,
							    replica->now), NSEC_PER_MSEC);
	status->claim_state = replica->hold.state;
	if (status->role != QBD_ROLE_LEADER || !claim->holder ||
	    claim->holder == replica->member_id)
		return;
	status->claim_lease_known = true;
	status->claim_lease_left_ms =
		lease - min(lease, qbd_claim_unheard_ms(replica, claim->holder));
}

/**
 * qbd_status_fill() - take the snapshot
 * @replica: replica
 * @status: zeroed
 */
void qbd_status_fill(struct qbd_replica *replica, struct qbd_replica_status *status)
{
	const struct qbd_membership_layout *layout = qbd_replica_layout(replica);
	struct qbd_core_status core;
	u32 i;

	qbd_core_get_status(replica->core, replica->now, &core);
	strscpy(status->name, replica->name, sizeof(status->name));
	memcpy(status->uuid, replica->uuid, sizeof(status->uuid));
	status->number = replica->number;
	status->has_device = qbd_replica_has_device(replica);
	status->member_id = replica->member_id;
	status->device_blocks = qbd_store_durable_blocks(replica->store);
	status->settings = replica->settings;
	strscpy(status->problem, replica->failure[0] ? replica->failure :
		replica->removed ?
		"this member was removed from the device: take it down" :
		replica->damaged ? replica->damage :
		qbd_disks_problem(replica)[0] ? qbd_disks_problem(replica) :
		replica->is_new && !replica->told_leader ?
		"this disk is new: it votes when all are up together or it has everything" :
		replica->is_new ?
		"this disk is new: it counts when all other voters were met and it has everything" :
		replica->read_problem, sizeof(status->problem));
	if (!status->problem[0])
		qbd_witness_problem(replica, status->problem, sizeof(status->problem));
	qbd_store_status(replica->store, &status->store);
	replica->status_log_used = status->store.log_used_bytes;
	fill_log(replica, &core, status);
	fill_claim(replica, status);
	status->removed = replica->removed;
	status->members_index = le64_to_cpu(layout->index);
	status->next_member_id = le32_to_cpu(layout->next_member_id);
	status->member_count = le32_to_cpu(layout->count);
	for (i = 0; i < status->member_count; i++)
		fill_member(replica, &core, &layout->members[i], &status->members[i]);
	fill_quorum(replica, &core, status);
	fill_counters(replica, status);
	status->unreadable_blocks = replica->unreadable_blocks;
	status->mended_blocks = replica->mended_blocks;
	status->verify = replica->verify.result;
}
