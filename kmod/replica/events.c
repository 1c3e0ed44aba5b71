// SPDX-License-Identifier: GPL-2.0
/*
 * What the core decides and what the rooms report, and what follows from it.
 *
 * After every event of the core its output is settled at once: hard state to the
 * store, messages to the network, commits to the store and to the requests.
 */
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "../net/frame.h"
#include "internal.h"

qbd_event_handler qbd_replica_event_handler;

void qbd_replica_set_event_handler(qbd_event_handler handler)
{
	WRITE_ONCE(qbd_replica_event_handler, handler);
}

/* ---- events for those who listen ---------------------------------------- */

#define QBD_EVENTS_QUEUED_MAX	256

struct queued_event {
	struct list_head list;
	struct qbd_event event;
};

static void set_progress(const struct qbd_replica *replica, struct qbd_event *event)
{
	const struct qbd_verify_result *verify = &replica->verify.result;

	if (event->kind == QBD_EVENT_VERIFY_PROGRESS ||
	    event->kind == QBD_EVENT_VERIFY_DIFFERENCE ||
	    event->kind == QBD_EVENT_VERIFY_DONE) {
		event->done = verify->next_block - verify->first_block;
		event->total = verify->end_block - verify->first_block;
	}
}

/*
 * Listeners get what memory allows; the sequence number shows what was dropped.
 */
static __printf(5, 0)
void queue_event(struct qbd_replica *replica, enum qbd_event_kind kind, u32 peer,
		 const struct qbd_progress_report *report, const char *format, va_list arguments)
{
	struct queued_event *queued = NULL;

	spin_lock(&replica->event_lock);
	/* Its namespace may be gone already when a disk answers at last. */
	if (!replica->silent)
		replica->event_sequence++;
	if (!replica->silent && replica->event_count < QBD_EVENTS_QUEUED_MAX)
		queued = kzalloc(sizeof(*queued), GFP_NOWAIT | __GFP_NOWARN);
	if (queued) {
		queued->event.kind = kind;
		queued->event.sequence = replica->event_sequence;
		strscpy(queued->event.name, replica->name, sizeof(queued->event.name));
		queued->event.number = replica->number < 0 ? 0 : replica->number;
		queued->event.has_device = qbd_replica_has_device(replica);
		queued->event.member_id = replica->member_id;
		queued->event.role = replica->told_role;
		queued->event.term = replica->told_term;
		queued->event.leader = replica->told_leader;
		queued->event.peer = peer;
		if (report) {
			queued->event.done = report->done;
			queued->event.total = report->total;
			queued->event.left = report->left;
			queued->event.rate = report->rate;
			queued->event.seconds_left = report->seconds_left;
		}
		set_progress(replica, &queued->event);
		vsnprintf(queued->event.text, sizeof(queued->event.text), format,
			  arguments);
		list_add_tail(&queued->list, &replica->event_list);
		replica->event_count++;
		/* Under the lock: take_down() flushes what was queued before. */
		queue_work(system_unbound_wq, &replica->event_work);
	}
	spin_unlock(&replica->event_lock);
}

void qbd_replica_event(struct qbd_replica *replica, enum qbd_event_kind kind, u32 peer,
		       const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	queue_event(replica, kind, peer, NULL, format, arguments);
	va_end(arguments);
}

/* The same, with how far a member is. */
void qbd_replica_event_with(struct qbd_replica *replica, enum qbd_event_kind kind, u32 peer,
			    const struct qbd_progress_report *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	queue_event(replica, kind, peer, report, format, arguments);
	va_end(arguments);
}

/* Process context: hands queued events over. */
void qbd_replica_event_work(struct work_struct *work)
{
	struct qbd_replica *replica = container_of(work, struct qbd_replica, event_work);
	qbd_event_handler handler = READ_ONCE(qbd_replica_event_handler);
	struct queued_event *queued;

	for (;;) {
		spin_lock(&replica->event_lock);
		queued = list_first_entry_or_null(&replica->event_list,
						  struct queued_event, list);
		if (queued) {
			list_del(&queued->list);
			replica->event_count--;
		}
		spin_unlock(&replica->event_lock);
		if (!queued)
			return;
		if (handler)
			handler(replica->net, &queued->event);
		kfree(queued);
	}
}

/* ---- what this member may do -------------------------------------------- */

/*
 *   condition                               may vote   may lead   counts
 *   disk failed                             (the core knows: nothing at all)
 *   acknowledged records lost, not resent   no         no         yes
 *   disk new (see join.c)                   no         no         no, for no lease either
 *   was up twice, or perhaps (see disks.c)  no         no         no, for no lease either
 *   data being filled from extents          yes        no         no
 *   read of disk or log failed lately       yes        no         yes
 *   a no-op of an old leadership unwritten  yes        no         yes
 *   otherwise                               yes        yes        yes
 */
void qbd_replica_update_fitness(struct qbd_replica *replica)
{
	u32 fitness = QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS;
	bool twice = replica->told_twice || replica->perhaps_twice;

	if (replica->damaged || replica->is_new || replica->told_removed || twice)
		fitness &= ~(QBD_MAY_VOTE | QBD_MAY_LEAD);
	if (replica->is_new || qbd_replica_filling(replica) || twice)
		fitness &= ~(QBD_MAY_LEAD | QBD_COUNTS);
	if (replica->is_new || twice)
		fitness |= QBD_FORGETFUL;
	if (replica->fill.log_kept)
		fitness |= QBD_LOG_COUNTED;
	if (replica->read_failed)
		fitness &= ~QBD_MAY_LEAD;
	if (replica->noop_index && replica->told_role != QBD_ROLE_LEADER)
		fitness &= ~QBD_MAY_LEAD;
	qbd_core_set_fitness(replica->core, replica->now, fitness);
}

/* Nothing here can be relied on any more: others decide without this member. */
void qbd_replica_stop_vouching(struct qbd_replica *replica, const char *why)
{
	if (replica->store_failed)
		return;
	replica->store_failed = true;
	strscpy(replica->failure, why, sizeof(replica->failure));
	qbd_err(replica, "%s; this replica stops vouching, the others go on without it", why);
	qbd_replica_event(replica, QBD_EVENT_DISK_FAILED, 0, "%s", why);
	qbd_core_storage_failed(replica->core, replica->now);
	/* Nothing will be heard of these any more: the next leader is asked. */
	qbd_write_truncated(replica, 0);
}

/* ---- the core's output -------------------------------------------------- */

bool qbd_replica_has_leader(const struct qbd_replica *replica)
{
	return qbd_replica_serving(replica) != 0;
}

/* Disks and networks that are only slow take less, whatever the grace period. */
#define QBD_STUCK_MS	10000u

/*
 * In mode error: a leader that comes and goes, or that has no majority which counts,
 * is no quorum either. Requests fail when the oldest has waited for the grace period
 * and nothing ended well meanwhile.
 */
static void check_progress(struct qbd_replica *replica)
{
	u64 grace = (u64)max(replica->settings.no_quorum_grace_ms, QBD_STUCK_MS) *
		    NSEC_PER_MSEC;
	u64 oldest = qbd_io_oldest(replica);
	u64 since;

	/* This host slept, or had no time for us: nobody else is to blame for that. */
	if (replica->now - replica->passed_at > grace / 2)
		replica->progress_at = replica->now;
	if (oldest == U64_MAX)
		return;
	since = max(oldest, replica->progress_at);
	if (replica->now < since + grace)
		qbd_replica_later(replica, since + grace);
	else
		qbd_io_fail_local(replica);
}

/*
 * Quorum counts as lost when for two full elections nobody led; a change of leader
 * that goes well is no loss.
 */
void qbd_replica_check_quorum(struct qbd_replica *replica)
{
	u64 limit = 4ull * replica->settings.election_timeout_ms * NSEC_PER_MSEC;
	u64 grace = (u64)replica->settings.no_quorum_grace_ms * NSEC_PER_MSEC;

	if (replica->settings.no_quorum == QBD_NO_QUORUM_ERROR)
		check_progress(replica);
	if (qbd_replica_has_leader(replica)) {
		replica->leaderless_since = 0;
		if (!replica->told_quorum) {
			replica->told_quorum = true;
			qbd_replica_event(replica, QBD_EVENT_QUORUM_REGAINED, 0,
					  "member %u leads", replica->told_leader);
		}
		return;
	}
	if (!replica->leaderless_since)
		replica->leaderless_since = replica->now;
	if (replica->now < replica->leaderless_since + limit) {
		qbd_replica_later(replica, replica->leaderless_since + limit);
	} else if (replica->told_quorum) {
		replica->told_quorum = false;
		qbd_warn(replica, "no %s: %s",
			 replica->told_leader ? "leader with data" : "quorum",
			 replica->settings.no_quorum == QBD_NO_QUORUM_SUSPEND ?
			 "I/O waits" : "I/O fails");
		qbd_replica_event(replica, QBD_EVENT_QUORUM_LOST, 0, replica->told_leader ?
				  "a witness leads" : "no leader");
	}
	if (replica->settings.no_quorum != QBD_NO_QUORUM_ERROR)
		return;
	if (replica->now < replica->leaderless_since + grace)
		qbd_replica_later(replica, replica->leaderless_since + grace);
	else
		qbd_io_fail_local(replica);
}

static void leader_changed(struct qbd_replica *replica)
{
	const struct qbd_member_layout *member =
		qbd_replica_member(replica, replica->told_leader);

	qbd_replica_event(replica, QBD_EVENT_LEADER, replica->told_leader, "%s",
			  member ? member->name :
			  replica->told_leader ? "one of whom this member is still to hear" :
			  "none");
	qbd_forward_new_leader(replica);
	if (replica->changing_leader != replica->told_leader ||
	    replica->changing_term != replica->told_term)
		qbd_change_unanswered(replica, "another leader was elected before there was an answer; look whether the members have changed");
	qbd_leader_move_check(replica, false);
	qbd_replica_check_quorum(replica);
}

static void role_changed(struct qbd_replica *replica, u32 old_role)
{
	static const char * const names[] = {
		"follower", "pre-candidate", "candidate", "leader",
	};
	unsigned int i;

	qbd_replica_event(replica, QBD_EVENT_ROLE, 0, "%s", names[replica->told_role]);
	if (replica->told_role == QBD_ROLE_LEADER)
		replica->leads_since = replica->now;
	replica->follow_tries = 0;
	replica->follow_after = 0;
	replica->disks_noticed = true;
	if (old_role == QBD_ROLE_LEADER)
		qbd_read_abandon(replica, false);
	for (i = 0; i < ARRAY_SIZE(replica->peers); i++) {
		qbd_fill_peer_gone(replica, &replica->peers[i]);
		qbd_append_forget(&replica->peers[i]);
		qbd_catch_up_forget(replica, &replica->peers[i]);
	}
	qbd_replica_update_fitness(replica);
}

static void handle_identity(struct qbd_replica *replica,
			    const struct qbd_core_output *output)
{
	u32 old_role = replica->told_role;
	u32 old_leader = replica->told_leader;
	u64 old_term = replica->told_term;

	/* All three first: what follows looks at them together. */
	/* Read by hand_over(), too. */
	WRITE_ONCE(replica->told_role, output->role);
	replica->told_term = output->term;
	replica->told_leader = output->leader;
	qbd_net_set_term(replica->network, output->term);
	/* What was asked of a leadership that is over, or that did not come about. */
	if ((old_role == QBD_ROLE_LEADER || old_role == QBD_ROLE_CANDIDATE) &&
	    (output->role != QBD_ROLE_LEADER || old_term != output->term))
		qbd_io_refuse_remote(replica);
	if (old_role != output->role)
		role_changed(replica, old_role);
	if (old_leader != output->leader ||
	    (old_term != output->term && output->leader))
		leader_changed(replica);
	else if (old_term != output->term)
		qbd_forward_new_leader(replica);
}

static void handle_output(struct qbd_replica *replica,
			  const struct qbd_core_output *output)
{
	if (output->flags & QBD_OUT_PERSIST)
		qbd_store_write_vote(replica->store, output->hard_term,
				     output->hard_vote, output->hard_seq);
	if (output->flags & QBD_OUT_STOPPED && !replica->store_failed) {
		qbd_err(replica, "invariant at %s:%u does not hold",
			output->stopped_file, output->stopped_line);
		qbd_replica_stop_vouching(replica, "consensus state is inconsistent");
	}
	if (output->flags & QBD_OUT_NOOP) {
		replica->noop_index = output->noop_index;
		replica->noop_term = output->term;
		qbd_write_noop(replica);
	}
	if (output->flags & (QBD_OUT_ROLE | QBD_OUT_TERM | QBD_OUT_LEADER))
		handle_identity(replica, output);
	if (output->flags & QBD_OUT_COMMIT) {
		replica->progress_at = replica->now;
		qbd_store_commit(replica->store, output->commit);
		qbd_write_committed(replica, output->commit);
		qbd_replica_trim_configs(replica, output->commit);
		if (qbd_claims_trim(replica, output->commit))
			replica->claim_seen_at = replica->now;
	}
	if (output->flags & QBD_OUT_READS_RELEASED)
		qbd_read_released(replica, output->read_released);
	if (output->flags & QBD_OUT_READS_FAILED)
		qbd_read_failed(replica, output->read_failed);
	if (output->flags & QBD_OUT_CONFIG)
		qbd_replica_apply_config(replica);
	if (output->flags & QBD_OUT_TRANSFER) {
		struct qbd_core_status status;

		qbd_core_get_status(replica->core, replica->now, &status);
		qbd_leader_move_check(replica, !status.transfer_to);
	}
}

/**
 * qbd_replica_settle() - do what the core wants done
 * @replica: after an event of its core
 *
 * Called again from within (what it calls may lead to further events) it leaves
 * the work to the call that is under way.
 */
void qbd_replica_settle(struct qbd_replica *replica)
{
	struct qbd_core_message message;
	struct qbd_core_output output;
	u32 transient;

	/* When it ends the network is gone, and nothing is decided any more. */
	if (replica->settling || replica->phase >= QBD_PHASE_STOPPING)
		return;
	replica->settling = true;
	do {
		/* Pulls and extents are shown as long as they are due. */
		transient = qbd_core_take_output(replica->core, &output) &
			    ~(QBD_OUT_PULL | QBD_OUT_EXTENTS | QBD_OUT_TIMER);
		if (transient)
			handle_output(replica, &output);
		while (qbd_core_take_message(replica->core, &message)) {
			message.reachable = qbd_reach_own(replica);
			message.session = replica->session;
			message.room = qbd_resize_room(replica);
			if (message.type == QBD_MESSAGE_HEARTBEAT_REPLY)
				message.reject_index = qbd_hold_uses(replica);
			message.max_rate = replica->settings.max_rate;
			message.max_rate_version = replica->max_rate_version;
			qbd_net_send_message(replica->network, &message);
			if (message.type == QBD_MESSAGE_VOTE_REPLY &&
			    message.flags & QBD_MESSAGE_GRANTED) {
				replica->voted_for = message.to;
				replica->voted_term = message.term;
			}
		}
	} while (transient);
	replica->pull_slots = output.pull_peers;
	replica->extents_slots = output.extents_peers;
	replica->settling = false;
}

/* ---- what the store reports --------------------------------------------- */

static void store_applied_state(void *context, u64 index,
				struct qbd_applied_layout *applied)
{
	qbd_replica_applied_state(context, index, applied);
}

static void store_log_durable(void *context, u64 generation, u64 term, u64 index)
{
	struct qbd_replica *replica = context;

	/*
	 * The store speaks of its log as it is now, and so of the core's: both are
	 * truncated in the same call, and only count their generations differently.
	 */
	qbd_core_log_durable(replica->core, replica->now,
			     qbd_core_generation(replica->core), term, index);
	qbd_replica_settle(replica);
}

static void store_state_durable(void *context, u64 sequence)
{
	struct qbd_replica *replica = context;

	qbd_core_hard_state_durable(replica->core, replica->now, sequence);
	qbd_replica_settle(replica);
}

static void store_applied(void *context, u64 index)
{
	/* The pass that runs the store looks at everything that may go on. */
}

static void store_log_reclaimed(void *context, u64 first_index)
{
	struct qbd_replica *replica = context;

	qbd_core_log_compacted(replica->core, first_index);
	qbd_replica_settle(replica);
}

static void store_record_loaded(void *context, u64 index, struct qbd_record *record)
{
	qbd_append_loaded(context, index, record);
	qbd_replica_settle(context);
}

static void store_reset_durable(void *context, u64 index)
{
	qbd_fill_reset_durable(context, index);
	qbd_replica_settle(context);
}

static void store_fill_written(void *context, void *cookie, int error)
{
	qbd_fill_written(context, cookie, error);
}

static void store_fill_durable(void *context)
{
	qbd_fill_durable(context);
	qbd_replica_settle(context);
}

static void store_space(void *context)
{
	/* Likewise. */
}

static void store_failed(void *context, int error, const char *what)
{
	struct qbd_replica *replica = context;
	char why[96];

	snprintf(why, sizeof(why), "the disk failed: %s (error %d)", what, error);
	qbd_replica_stop_vouching(replica, why);
	qbd_replica_settle(replica);
}

const struct qbd_store_ops qbd_replica_store_ops = {
	.kick = qbd_replica_kick,
	.answered = qbd_replica_disk_answered,
	.recovered_applied = qbd_replica_recovered_applied,
	.applied_state = store_applied_state,
	.recovered_entry = qbd_replica_recovered_entry,
	.log_durable = store_log_durable,
	.state_durable = store_state_durable,
	.applied = store_applied,
	.log_reclaimed = store_log_reclaimed,
	.record_loaded = store_record_loaded,
	.reset_durable = store_reset_durable,
	.fill_written = store_fill_written,
	.fill_durable = store_fill_durable,
	.space = store_space,
	.failed = store_failed,
};

/* ---- what the network reports ------------------------------------------- */

static void net_peer_up(void *context, u32 id)
{
	struct qbd_replica *replica = context;
	/* Perhaps one of whom this member is still to hear, see qbd_peer_is_newcomer(). */
	struct qbd_replica_peer *peer = qbd_replica_add_peer(replica, id);
	u64 term;

	if (!peer)
		return;
	peer->up = true;
	peer->behind = true;
	peer->spread = U64_MAX;		/* as each new connection */
	peer->reset_sent = false;
	if (qbd_net_peer_term(replica->network, id, &term)) {
		peer->told = true;
		peer->told_term = max(peer->told_term, term);
	}
	qbd_disks_peer_up(replica, id);
	qbd_change_connected(replica, id);
	qbd_core_peer_connected(replica->core, replica->now, id, QBD_LINK_CONTROL);
	qbd_core_peer_connected(replica->core, replica->now, id, QBD_LINK_BULK);
	qbd_replica_event(replica, QBD_EVENT_PEER_UP, id, "connected");
	qbd_replica_settle(replica);
}

static void net_peer_down(void *context, u32 id, const char *reason)
{
	struct qbd_replica *replica = context;
	struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);

	if (!peer)
		return;
	peer->up = false;
	peer->room = 0;
	peer->pull = false;
	qbd_append_forget(peer);
	qbd_catch_up_end(peer);
	qbd_fill_peer_gone(replica, peer);
	qbd_sums_forget(replica, id);
	qbd_verify_peer_gone(replica, id);
	qbd_append_drop_held(replica, id);
	qbd_io_drop_peer(replica, id);
	qbd_forward_recall(replica, id);
	qbd_hold_unanswered(replica, id);
	if (replica->changing_leader == id)
		qbd_change_unanswered(replica, "the connection to the leader was lost before it answered; look whether the members have changed");
	qbd_core_peer_disconnected(replica->core, replica->now, id, QBD_LINK_CONTROL);
	qbd_core_peer_disconnected(replica->core, replica->now, id, QBD_LINK_BULK);
	qbd_replica_event(replica, QBD_EVENT_PEER_DOWN, id, "%s", reason);
	qbd_replica_settle(replica);
	if (!qbd_replica_member(replica, id))
		qbd_replica_forget_peer(peer);
}

static void net_message(void *context, u32 peer, const struct qbd_core_message *message)
{
	struct qbd_replica *replica = context;

	struct qbd_replica_peer *from = qbd_replica_peer(replica, peer);

	if (from) {
		from->session = message->session;
		from->room = message->room;
	}
	if (from && message->type == QBD_MESSAGE_HEARTBEAT_REPLY) {
		from->uses = message->reject_index;
		from->use_term = message->term;
	}
	qbd_max_rate_heard(replica, message);
	qbd_reach_heard(replica, peer, message->reachable);
	if (!qbd_core_receive(replica->core, replica->now, message))
		qbd_net_disconnect(replica->network, peer, "malformed message");
	qbd_replica_settle(replica);
	if (message->type == QBD_MESSAGE_HEARTBEAT)
		qbd_join_heard(replica, peer, message->term, message->index);
	else
		qbd_disks_heard(replica, peer, message);
}

static void net_append(void *context, u32 peer, const struct qbd_frame_append *append,
		       struct qbd_record *record)
{
	struct qbd_replica *replica = context;

	qbd_append_received(replica, peer, append, record);
	qbd_replica_settle(replica);
}

static void net_request(void *context, u32 peer, const struct qbd_frame_request *request,
			struct qbd_buffer *data)
{
	qbd_forward_request(context, peer, request, data);
	qbd_replica_settle(context);
}

static void net_reply(void *context, u32 peer, const struct qbd_frame_reply *reply,
		      struct qbd_buffer *data)
{
	qbd_forward_reply(context, peer, reply, data);
}

static void net_reset(void *context, u32 peer, const struct qbd_frame_reset *reset)
{
	qbd_fill_reset(context, peer, reset);
	qbd_replica_settle(context);
}

static void net_fill(void *context, u32 peer, const struct qbd_frame_fill *fill)
{
	qbd_fill_asked(context, peer, fill);
}

static void net_extent(void *context, u32 peer, const struct qbd_frame_extent *extent,
		       struct qbd_buffer *data)
{
	qbd_fill_extent(context, peer, extent, data);
}

static void net_fill_end(void *context, u32 peer, const struct qbd_frame_fill_end *end)
{
	qbd_fill_end(context, peer, end);
}

static void net_verify(void *context, u32 peer, const struct qbd_frame_verify *verify)
{
	qbd_sums_asked(context, peer, verify);
}

static void net_verified(void *context, u32 peer, const struct qbd_frame_verified *verified,
			 struct qbd_buffer *data)
{
	qbd_verify_answered(context, peer, verified, data);
}

static void net_repair(void *context, u32 peer, const struct qbd_frame_repair *repair,
		       struct qbd_buffer *data)
{
	qbd_repair_asked(context, peer, repair, data);
	qbd_replica_settle(context);
}

static void net_repaired(void *context, u32 peer, const struct qbd_frame_repaired *repaired)
{
	qbd_verify_repaired(context, peer, repaired);
}

static void net_refused(void *context, u32 peer, enum qbd_refusal reason, bool by_us)
{
	if (reason != QBD_REFUSED_PERHAPS)
		qbd_replica_event(context, QBD_EVENT_REFUSED, peer, "%s",
				  qbd_refusal_text(reason));
	qbd_disks_refused(context, peer, reason, by_us);
	qbd_replica_settle(context);
}

const struct qbd_net_ops qbd_replica_net_ops = {
	.kick = qbd_replica_kick,
	.peer_up = net_peer_up,
	.peer_down = net_peer_down,
	.message = net_message,
	.append = net_append,
	.request = net_request,
	.reply = net_reply,
	.reset = net_reset,
	.fill = net_fill,
	.extent = net_extent,
	.fill_end = net_fill_end,
	.verify = net_verify,
	.verified = net_verified,
	.repair = net_repair,
	.repaired = net_repaired,
	.refused = net_refused,
	.listening = qbd_change_listening,
	.admin = qbd_admin_request,
};
