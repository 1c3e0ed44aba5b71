// SPDX-License-Identifier: GPL-2.0
/*
 * The member list changes while the device is in use. What may be asked for and which
 * step follows is decided in intent.c; here it is done.
 */
#include <linux/string.h>

#include "../format/change.h"
#include "../format/check.h"
#include "intent.h"
#include "internal.h"

/* A follower that lacks no more than so many entries has caught up. */
#define QBD_READY_ENTRIES	64u

/*
 * Who goes hears of it by its log, so long. One whose disk hangs never has the list there: its
 * name and its address were taken for good. It is told when it connects anew, as who was away.
 */
#define QBD_TELL_MS	10000u

/* What the leader knows of a peer, as bits of struct qbd_intent_facts. */
static void peer_facts(struct qbd_replica *replica, u32 id, u32 position, u64 last,
		       struct qbd_intent_facts *facts)
{
	const struct qbd_replica_peer *slot = qbd_replica_peer(replica, id);
	u64 list = le64_to_cpu(qbd_replica_layout(replica)->index);
	u64 told_after = replica->config_committed_at +
			 2ull * replica->settings.heartbeat_ms * NSEC_PER_MSEC;
	struct qbd_peer_status peer;
	bool known = qbd_core_get_peer(replica->core, replica->now, id, &peer);
	u32 bit = 1u << position;

	/* By its own word; by an earlier list of its that is wrong for a moment at most. */
	facts->misses[position] = ~(slot ? slot->reachable : 0);
	/* One whose disk has failed takes no list any more. */
	if (qbd_net_peer_up(replica->network, id) &&
	    !(known && peer.flags & QBD_MESSAGE_FAILED) &&
	    (!replica->config_committed_at ||
	     replica->now < replica->config_committed_at + QBD_TELL_MS * (u64)NSEC_PER_MSEC))
		facts->connected |= bit;
	if (!known || !peer.alive || peer.flags & QBD_MESSAGE_FAILED)
		return;
	if (peer.match >= list)
		facts->has |= bit;
	/* A heartbeat that was sent after the commit has been answered. */
	if (peer.match >= list && replica->config_committed_at && peer.heard_at > told_after)
		facts->knows |= bit;
	if (peer.flags & QBD_MESSAGE_FILLING)
		return;
	facts->there |= bit;
	if (peer.state == QBD_PEER_REPLICATE) {
		/* Of a learner that is not said. */
		if (peer.flags & QBD_MESSAGE_FIT)
			facts->fit |= bit;
		/*
		 * One that lost some of its log has all again in a moment. Promoted
		 * before, and with the leader gone, it would be waited for in vain.
		 */
		if (peer.match + QBD_READY_ENTRIES >= last &&
		    !(peer.flags & QBD_MESSAGE_NO_VOTE))
			facts->ready |= bit;
	}
}

/* Return: false if some who are connected have not answered this leader yet. */
static bool gather_facts(struct qbd_replica *replica, u32 asker,
			 struct qbd_intent_facts *facts)
{
	const struct qbd_membership_layout *now = qbd_replica_layout(replica);
	struct qbd_core_status core;
	bool all = true;

	qbd_core_get_status(replica->core, replica->now, &core);
	memset(facts, 0, sizeof(*facts));
	facts->self = replica->member_id;
	facts->asker = asker;
	facts->growing = qbd_resize_growing(replica);
	for (u32 i = 0; i < le32_to_cpu(now->count); i++) {
		u32 id = le32_to_cpu(now->members[i].id);
		bool is_new, unsaid;

		if (qbd_claim_used(replica, id, &unsaid))
			facts->uses |= 1u << i;
		if (unsaid)
			facts->unsaid |= 1u << i;
		all &= qbd_disks_facts(replica, id, facts->disks[i], &is_new);
		if (is_new)
			facts->renewed |= 1u << i;
		if (id != replica->member_id) {
			peer_facts(replica, id, i, core.last, facts);
			continue;
		}
		facts->there |= 1u << i;
		if (core.durable >= le64_to_cpu(now->index))
			facts->has |= 1u << i;
	}
	return all;
}

static bool config_committed(const struct qbd_replica *replica)
{
	struct qbd_core_status status;

	qbd_core_get_status(replica->core, replica->now, &status);
	return qbd_core_config_index(replica->core) <= status.commit;
}

/*
 * The entry, like any other proposal: everything that can be refused first. It may use
 * what is kept back from data (accident 32: the way out of a joint list must not be
 * refused for want of room).
 */
static enum qbd_change_result propose(struct qbd_replica *replica,
				      struct qbd_membership_layout *next)
{
	u64 last = qbd_store_last_index(replica->store);
	struct qbd_record *record;
	struct qbd_config config;
	const char *reason;
	u64 index;

	if (replica->store_failed || replica->noop_index)
		return QBD_CHANGE_NOT_LEADER;
	if (!qbd_store_has_room_at(replica->store, last + 1, 1, 0))
		return QBD_CHANGE_ROOM;
	next->index = cpu_to_le64(last + 1);
	if (qbd_layout_check(next, &reason))
		return QBD_CHANGE_MALFORMED;
	record = qbd_record_alloc(replica->pool, QBD_POOL_FORWARD, 0, 1, true);
	if (!record)
		return QBD_CHANGE_ROOM;
	qbd_config_from_layout(&config, next);
	switch (qbd_core_propose(replica->core, replica->now, QBD_ENTRY_CONFIG, &config,
				 &index)) {
	case QBD_PROPOSE_OK:
		break;
	case QBD_PROPOSE_CONFIG_PENDING:
	case QBD_PROPOSE_TRANSFERRING:
		qbd_record_put(record);
		return QBD_CHANGE_PENDING;
	case QBD_PROPOSE_INVALID:
		qbd_record_put(record);
		return QBD_CHANGE_FLAGS;
	default:
		qbd_record_put(record);
		return QBD_CHANGE_NOT_LEADER;
	}
	memset(page_address(record->pages[0]), 0, QBD_BLOCK_SIZE);
	memcpy(page_address(record->pages[0]), next, sizeof(*next));
	qbd_record_seal(record, replica->uuid, QBD_RECORD_MEMBERSHIP, index,
			replica->told_term, qbd_store_chain(replica->store, last));
	qbd_replica_push_config(replica, index, next);
	if (WARN_ON_ONCE(index != last + 1 || qbd_store_append(replica->store, record)))
		qbd_replica_stop_vouching(replica, "log and consensus disagree");
	qbd_record_put(record);
	replica->records_appended++;
	qbd_replica_settle(replica);
	return QBD_CHANGE_DONE;
}

/**
 * qbd_change_propose() - somebody wants another member list
 * @replica: replica
 * @order: the list as it came, whose index names the one that it was made from, and whether
 *	by force
 * @asker: the member on whose host it was asked for, 0: a program elsewhere
 * @member: set if the refusal is about a member, else 0
 * @value: likewise if it is about several: see qbd_intent_absent()
 *
 * Return: QBD_CHANGE_DONE when the entry is in this leader's log. It may be lost with its
 * leader still; whoever asked sees the list's index change, or not.
 */
enum qbd_change_result qbd_change_propose(struct qbd_replica *replica,
					  const struct qbd_change_order *order,
					  u32 asker, u32 *member, u64 *value)
{
	struct qbd_membership_layout next = order->members;
	struct qbd_intent_facts facts;
	enum qbd_change_result result;
	const char *reason;

	*member = 0;
	*value = 0;
	if (replica->told_role != QBD_ROLE_LEADER || replica->phase != QBD_PHASE_RUNNING ||
	    !qbd_replica_keeps_data(replica))
		return QBD_CHANGE_NOT_LEADER;
	if (qbd_layout_check(&next, &reason))
		return QBD_CHANGE_MALFORMED;
	if (!config_committed(replica))
		return QBD_CHANGE_PENDING;
	gather_facts(replica, asker, &facts);
	facts.force = le32_to_cpu(order->flags) & QBD_ORDER_FORCE;
	qbd_intent_keep(qbd_replica_layout(replica), &next, facts.force);
	result = qbd_intent_check(qbd_replica_layout(replica), &next, &facts, member);
	if (result == QBD_CHANGE_QUORUM)
		*value = qbd_intent_absent(qbd_replica_layout(replica), &next, &facts);
	if (result != QBD_CHANGE_DONE)
		return result;
	return propose(replica, &next);
}

/* ---- what follows ------------------------------------------------------- */

/* Leadership goes to one that stays; if that does not come about, again later. */
static void hand_over(struct qbd_replica *replica, u32 member)
{
	replica->change_after = replica->now +
		(u64)replica->settings.election_timeout_ms * NSEC_PER_MSEC;
	qbd_replica_later(replica, replica->change_after);
	if (qbd_core_transfer(replica->core, replica->now, member) ==
	    QBD_TRANSFER_STARTED)
		qbd_notice(replica, "leadership goes to member %u: this one is to leave",
			   member);
}

static void step(struct qbd_replica *replica)
{
	struct qbd_membership_layout next;
	struct qbd_intent_facts facts;
	enum qbd_intent_step result;
	u32 member;
	bool all;

	all = gather_facts(replica, 0, &facts);
	result = qbd_intent_next(qbd_replica_layout(replica), &facts, &next, &member);
	replica->change_waits = result == QBD_INTENT_NOTHING;
	switch (result) {
	case QBD_INTENT_PROPOSE:
		propose(replica, &next);
		break;
	case QBD_INTENT_HAND_OVER:
		if (replica->now >= replica->change_after)
			hand_over(replica, member);
		break;
	default:
		replica->disks_noticed = !all;
		break;
	}
}

/* A list is committed. */
static void tell_members(struct qbd_replica *replica,
			 const struct qbd_membership_layout *list)
{
	u32 voters = 0, others = 0;

	if (replica->members_told == le64_to_cpu(list->index))
		return;
	replica->members_told = le64_to_cpu(list->index);
	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		if (le16_to_cpu(list->members[i].flags) & QBD_MEMBER_VOTER)
			voters++;
		else
			others++;
	}
	qbd_notice(replica, "members: %u voters, %u others%s", voters, others,
		   replica->change_pending ? "; more is to change" : "");
	qbd_replica_event(replica, QBD_EVENT_MEMBERS, 0, "%u voters, %u others", voters,
			  others);
}

/* It was removed: nobody listens to it any more, and who uses the device here is told. */
static void leave(struct qbd_replica *replica)
{
	replica->removed = true;
	qbd_replica_update_fitness(replica);
	qbd_warn(replica, "this member was removed from the device; I/O fails, take it down");
	qbd_replica_event(replica, QBD_EVENT_REMOVED, 0, "removed");
	qbd_io_fail_local(replica);
}

/*
 * All that dial this member have done so at its new address: the old one is free. But it may be
 * where the next move goes to.
 */
static void end_move(struct qbd_replica *replica)
{
	if (!replica->moved_from || !qbd_net_moved(replica->network))
		return;
	if (replica->changing || replica->move.term)
		return;
	replica->moved_from = false;
	qbd_net_listen_only(replica->network);
	qbd_notice(replica, "all others have found this member at its new address");
}

/* Is the newest list on this member's disk? One that is not in the log is in the state block. */
static bool list_on_disk(const struct qbd_replica *replica)
{
	u64 list = le64_to_cpu(qbd_replica_layout(replica)->index);
	struct qbd_core_status status;

	qbd_core_get_status(replica->core, replica->now, &status);
	return list > status.last || list <= status.durable;
}

/*
 * Nothing comes of it any more, or it came about. But others may have committed the list by which
 * it did before that is on this disk: until then this is all that it has of it. (What is left
 * there is older than that list, which says so when it comes up.)
 */
static void forget_move(struct qbd_replica *replica)
{
	if (list_on_disk(replica))
		qbd_store_forget_move(replica->store);
}

/* Where this member was to move to it need not listen, unless it has. */
static void no_move(struct qbd_replica *replica)
{
	replica->move = (struct qbd_move){ };
	forget_move(replica);
	if (!replica->moved_from)
		qbd_net_listen_only(replica->network);
}

/*
 * A move that was asked for came about, or cannot any more: it was made from a list that is not
 * the newest; or by a leader whose log is not what was committed; or what that one has in its
 * log since it can have got the request is committed.
 */
static void settle_move(struct qbd_replica *replica)
{
	struct qbd_move *move = &replica->move;
	struct qbd_core_status status;

	if (!move->term || replica->changing)
		return;
	if (move->heartbeats && !move->until && replica->core->term == move->term &&
	    replica->core->heartbeats >= move->heartbeats)
		move->until = replica->core->leader_last;
	qbd_core_get_status(replica->core, replica->now, &status);
	if (le64_to_cpu(qbd_replica_layout(replica)->index) > move->list ||
	    qbd_core_term_at(replica->core, status.commit) > move->term ||
	    (move->until && status.commit >= move->until))
		no_move(replica);
}

/*
 * There is another connection to who was asked: nothing from over the one before comes there.
 *
 *	3 asks 1, which leads, to let it move, and is cut off. It gives 1 up, and hears of no
 *	leader when they are connected again; 1 has led on, and does so in the same term.
 *
 * So it does not matter who is heard to lead just now.
 */
void qbd_change_connected(struct qbd_replica *replica, u32 peer)
{
	struct qbd_move *move = &replica->move;

	if (move->term && !move->heartbeats && peer == move->leader)
		move->heartbeats = replica->core->heartbeats + 1;
}

/**
 * qbd_change_check() - go on with a change of members, if there is one
 * @replica: replica; each pass
 */
void qbd_change_check(struct qbd_replica *replica)
{
	const struct qbd_membership_layout *now = qbd_replica_layout(replica);

	if (replica->told_removed && !replica->removed)
		leave(replica);
	if (replica->changing && replica->now >= replica->changing_until)
		qbd_change_unanswered(replica, !replica->changing_writes ?
				      "the leader does not answer; look whether it has come about" :
				      "the disk of this member does not answer; nothing was changed");
	else if (replica->changing)
		qbd_replica_later(replica, replica->changing_until);
	if (!replica->config_committed_at) {
		if (!config_committed(replica))
			return;
		replica->config_committed_at = replica->now;
		tell_members(replica, now);
		if (qbd_intent_is_out(now, replica->member_id) && !replica->removed)
			leave(replica);
	}
	settle_move(replica);
	end_move(replica);
	if (replica->told_role == QBD_ROLE_LEADER && qbd_replica_keeps_data(replica) &&
	    (replica->change_pending || replica->disks_noticed))
		step(replica);
}

/* Another list is in force, committed or not. */
void qbd_change_noticed(struct qbd_replica *replica)
{
	const struct qbd_member_layout *self =
		qbd_replica_member(replica, replica->member_id);

	if (self && replica->address.family)
		replica->moved_from |= memcmp(&self->address, &replica->address,
					      sizeof(self->address));
	if (self)
		replica->address = self->address;
	replica->config_committed_at = 0;
	replica->disks_noticed = true;
	replica->change_pending = qbd_intent_pending(qbd_replica_layout(replica));
	replica->change_waits = false;
}

/* The newest list of its log that is committed for certain: a leader has one that is not. */
static const struct qbd_membership_layout *settled_list(const struct qbd_replica *replica)
{
	if (replica->config_count < 2 || config_committed(replica))
		return qbd_replica_layout(replica);
	return &replica->configs[replica->config_count - 2].layout;
}

/* Return: if it has asked for a move that may come about: where to. */
static const struct qbd_address *resume_move(struct qbd_replica *replica)
{
	const struct qbd_move_layout *move = qbd_store_move(replica->store);

	if (!move->address.family)
		return NULL;
	if (le64_to_cpu(settled_list(replica)->index) > le64_to_cpu(move->list)) {
		qbd_store_forget_move(replica->store);
		return NULL;
	}
	/* Whether others were asked for before that nobody has written down. */
	replica->move = (struct qbd_move){
		.term = le64_to_cpu(move->term),
		.leader = le32_to_cpu(move->leader),
		.list = le64_to_cpu(move->list),
		.several = true,
	};
	return &move->address;
}

/*
 * It comes up, and the newest list of its log, in which it is elsewhere than before, may be lost:
 * it listens where it was, too, until that is settled.
 *
 *	3 led, was cut off, and moved; nobody else had that list when it lost its power. 4
 *	joined meanwhile, and led. Only 4 could dial 3, which did not know of 4, and did so
 *	where 3 was before: it was never found again.
 *
 * Or the log has no list in which it is where it asked to be, but others may have one:
 *
 *	3 asked to move and lost its power before its log had the list by which it did. 4 joined
 *	meanwhile, and led, and dialled 3 where that list had it.
 */
void qbd_change_up(struct qbd_replica *replica)
{
	const struct qbd_member_layout *self =
		qbd_replica_member(replica, replica->member_id);
	const struct qbd_member_layout *before =
		qbd_membership_find(settled_list(replica), replica->member_id);
	const struct qbd_address *wanted = resume_move(replica);

	if (!self)
		return;
	/* If there is that one, @wanted is no third: there are never more than two. */
	if (before && memcmp(&self->address, &before->address, sizeof(self->address))) {
		replica->moved_from = true;
		qbd_net_listen(replica->network, &before->address);
	} else if (wanted && memcmp(&self->address, wanted, sizeof(*wanted))) {
		qbd_net_listen(replica->network, wanted);
	}
}

/* ---- from here to the leader -------------------------------------------- */

/* Ask the leader; the order, if there is one, is the request's data. */
static int ask_leader(struct qbd_replica *replica, u32 kind, u64 block,
		      const struct qbd_change_order *order)
{
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(kind),
		.count = cpu_to_le32(order ? 1 : 0),
		.block = cpu_to_le64(block),
		.sequence = cpu_to_le64(++replica->changing_sequence),
		.session = cpu_to_le64(replica->session),
		.leader_term = cpu_to_le64(replica->told_term),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REQUEST,
		.fixed = &request,
		.fixed_bytes = sizeof(request),
		.data_blocks = order ? 1 : 0,
	};
	int error;

	if (order) {
		frame.buffer = qbd_buffer_alloc(replica->pool, QBD_POOL_FORWARD, 1);
		if (!frame.buffer)
			return -ENOMEM;
		memset(page_address(frame.buffer->pages[0]), 0, QBD_BLOCK_SIZE);
		memcpy(page_address(frame.buffer->pages[0]), order, sizeof(*order));
	}
	error = qbd_net_send(replica->network, replica->told_leader, &frame);
	if (error && frame.buffer)
		qbd_buffer_free(frame.buffer);
	else if (!error)
		qbd_net_push(replica->network, replica->told_leader);
	return error;
}

/* Where this member is to be by @wanted, if that is not where it is; or NULL. */
static const struct qbd_address *moves(const struct qbd_replica *replica,
				       const struct qbd_membership_layout *wanted)
{
	const struct qbd_member_layout *self =
		qbd_replica_member(replica, replica->member_id);
	u32 count = min_t(u32, le32_to_cpu(wanted->count), QBD_MEMBERS_MAX);

	for (u32 i = 0; self && i < count; i++)
		if (wanted->members[i].id == self->id &&
		    memcmp(&wanted->members[i].address, &self->address,
			   sizeof(self->address)))
			return &wanted->members[i].address;
	return NULL;
}

static void wait_for_answer(struct qbd_replica *replica, struct qbd_command *command)
{
	replica->changing = command;
	replica->changing_listens = false;
	replica->changing_writes = false;
	replica->changing_leader = replica->told_leader;
	replica->changing_term = replica->told_term;
	/* Others wait meanwhile: the kernel's lock of all netlink families is held. */
	replica->changing_until = replica->now + QBD_MOVE_WAIT_MS * NSEC_PER_MSEC;
	qbd_replica_later(replica, replica->changing_until);
}

static int error_of(u32 result)
{
	switch (result) {
	case QBD_CHANGE_DONE:
		return 0;
	case QBD_CHANGE_NOT_LEADER:
	case QBD_CHANGE_PENDING:
	case QBD_CHANGE_ROOM:
	case QBD_CHANGE_GROWING:
		return -EAGAIN;
	case QBD_CHANGE_OUTDATED:
		return -ESTALE;
	case QBD_CHANGE_QUORUM:
	case QBD_CHANGE_AWAY:
		return -EHOSTUNREACH;
	case QBD_CHANGE_DISK:
		return -ENOSPC;
	case QBD_CHANGE_USED:
		return -EBUSY;
	case QBD_CHANGE_UNSAID:
		return -EINPROGRESS;
	default:
		return -EINVAL;
	}
}

static bool is_move(const struct qbd_replica *replica, const struct qbd_command *command)
{
	const struct qbd_change_order *order = command->argument;

	return command->run == qbd_change_command && moves(replica, &order->members);
}

/*
 * Nothing came of it: where this member was to move to it need not listen. But while others
 * still look for it where it was before, or an earlier one may still come about, that may be the
 * very same address.
 */
static void stay(struct qbd_replica *replica, const struct qbd_command *command)
{
	if (!is_move(replica, command) || replica->move.term)
		return;
	forget_move(replica);
	if (!replica->moved_from)
		qbd_net_listen_only(replica->network);
}

/* It is in a leader's log, or may be: what comes of it the log will say, see settle_move(). */
static void may_move(struct qbd_replica *replica, const struct qbd_command *command, u32 leader,
		     u64 term)
{
	const struct qbd_change_order *order = command->argument;
	struct qbd_move *move = &replica->move;

	if (!is_move(replica, command))
		return;
	*move = (struct qbd_move){
		.term = term,
		.leader = leader,
		.list = max(move->list, le64_to_cpu(order->members.index)),
		.sequence = replica->changing_sequence,
		.several = move->term,
	};
}

/* The result of a change of members or size, in words. */
void qbd_change_answer(struct qbd_replica *replica, struct qbd_command *command, u32 result,
		       u32 member, u64 value)
{
	const struct qbd_change_order *order =
		command->run == qbd_change_command ? command->argument : NULL;
	char text[QBD_ERROR_TEXT_SIZE];

	if (result == QBD_CHANGE_DONE)
		may_move(replica, command, replica->told_leader, replica->told_term);
	else
		stay(replica, command);
	if (order && result == QBD_CHANGE_QUORUM)
		qbd_change_describe_absent(&order->members, member, value, text,
					   sizeof(text));
	else
		qbd_change_describe(result, member, text, sizeof(text));
	qbd_command_done(command, error_of(result), "%s", text);
}

/* Somebody here waits for its answer already. */
static bool busy(const struct qbd_replica *replica, struct qbd_command *command)
{
	if (replica->changing)
		qbd_command_done(command, -EBUSY,
				 "somebody else on this host is changing the members or the size; try again");
	return replica->changing;
}

static bool leader_to_ask(struct qbd_replica *replica, struct qbd_command *command)
{
	if (!replica->told_leader) {
		stay(replica, command);
		qbd_command_done(command, -EHOSTUNREACH,
				 "there is no leader now; a majority of the members must be up and reach each other");
	}
	return replica->told_leader;
}

/* Is there a leader to be asked, and nobody here who waits for its answer? */
bool qbd_change_may_ask(struct qbd_replica *replica, struct qbd_command *command)
{
	return !busy(replica, command) && leader_to_ask(replica, command);
}

/* The leader may be this one. */
static void have_changed(struct qbd_replica *replica, struct qbd_command *command)
{
	const struct qbd_change_order *order = command->argument;
	enum qbd_change_result result;
	u32 member;
	u64 value;

	if (!leader_to_ask(replica, command))
		return;
	if (replica->told_role == QBD_ROLE_LEADER) {
		result = qbd_change_propose(replica, order, replica->member_id, &member,
					    &value);
		qbd_change_answer(replica, command, result, member, value);
	} else {
		qbd_change_ask(replica, command, QBD_REQUEST_CHANGE, 0, order);
	}
}

/**
 * qbd_change_ask() - have the leader, who is another member, do it
 * @replica: replica
 * @command: done when the leader has answered, or will not
 * @kind: QBD_REQUEST_CHANGE or _RESIZE
 * @block: of the request
 * @order: its data, or NULL
 */
void qbd_change_ask(struct qbd_replica *replica, struct qbd_command *command, u32 kind,
		    u64 block, const struct qbd_change_order *order)
{
	if (ask_leader(replica, kind, block, order)) {
		stay(replica, command);
		qbd_command_done(command, -EHOSTUNREACH,
				 "the leader (member %u) cannot be reached from here; run this there",
				 replica->told_leader);
		return;
	}
	wait_for_answer(replica, command);
}

/**
 * qbd_change_command() - have the member list changed, by the leader wherever it is
 * @replica: replica
 * @command: argument is a struct qbd_change_order; is done when the leader has
 *	written it into its log, or has refused it
 *
 * A member that is to have another address listens there first, and has that on its disk.
 */
void qbd_change_command(struct qbd_replica *replica, struct qbd_command *command)
{
	const struct qbd_change_order *order = command->argument;
	const struct qbd_address *address = moves(replica, &order->members);

	if (busy(replica, command))
		return;
	if (!address || !replica->told_leader) {
		have_changed(replica, command);
		return;
	}
	/*
	 * The leader looks at the whole of it later; but this comes to lie on the disk before,
	 * in the place of what was asked for before.
	 */
	if (qbd_address_check(address) != QBD_ADDRESS_GOOD) {
		qbd_command_done(command, -EINVAL, "%s",
				 qbd_change_text(QBD_CHANGE_MALFORMED));
		return;
	}
	if (!list_on_disk(replica) && !qbd_store_failed(replica->store)) {
		qbd_command_done(command, -EAGAIN, "%s", qbd_change_text(QBD_CHANGE_PENDING));
		return;
	}
	wait_for_answer(replica, command);
	replica->changing_listens = true;
	qbd_net_listen(replica->network, address);
}

/* What is asked for next may come about by a list that this member never gets. */
static void write_move(struct qbd_replica *replica, const struct qbd_command *command)
{
	const struct qbd_change_order *order = command->argument;
	const struct qbd_address *address = moves(replica, &order->members);
	struct qbd_move_layout move = {
		.leader = cpu_to_le32(replica->changing_leader),
		.term = cpu_to_le64(replica->changing_term),
		.list = cpu_to_le64(max(replica->move.list, le64_to_cpu(order->members.index))),
	};

	replica->changing_writes = true;
	/* Else it has moved there meanwhile, by an earlier request. */
	if (address) {
		move.address = *address;
		qbd_store_write_move(replica->store, &move);
	}
}

/**
 * qbd_change_written() - ask for the move that is on this member's disk now, if there is one
 * @replica: replica; each pass
 */
void qbd_change_written(struct qbd_replica *replica)
{
	struct qbd_command *command = replica->changing;

	if (!command || !replica->changing_writes)
		return;
	if (qbd_store_failed(replica->store)) {
		replica->changing = NULL;
		stay(replica, command);
		qbd_command_done(command, -EIO,
				 "the disk of this member has failed: replace it first");
	} else if (qbd_store_move_durable(replica->store)) {
		replica->changing = NULL;
		have_changed(replica, command);
	}
}

/* What came of qbd_net_listen(), see struct qbd_net_ops. */
void qbd_change_listening(void *context, int error, const char *text)
{
	struct qbd_replica *replica = context;
	struct qbd_command *command = replica->changing;

	if (!command || !replica->changing_listens)
		return;
	replica->changing_listens = false;
	if (!error) {
		write_move(replica, command);
		return;
	}
	replica->changing = NULL;
	qbd_command_done(command, error, "%s", text);
}

/* The leader's answer to ask_leader(). */
void qbd_change_replied(struct qbd_replica *replica, u32 peer,
			const struct qbd_frame_reply *reply)
{
	struct qbd_command *command = replica->changing;
	u32 status = le32_to_cpu(reply->status);

	if (peer != replica->changing_leader ||
	    le64_to_cpu(reply->sequence) != replica->changing_sequence)
		return;
	/* The leader was not asked for @command so far: this answers the one before. */
	if (command && (replica->changing_listens || replica->changing_writes))
		return;
	if (!command) {
		/* Nobody waits for that any more, but it says that no move comes of it. */
		if (status != QBD_REPLY_OK && !replica->move.several &&
		    replica->move.sequence == replica->changing_sequence)
			no_move(replica);
		return;
	}
	replica->changing = NULL;
	if (status == QBD_REPLY_OK)
		qbd_change_answer(replica, command, QBD_CHANGE_DONE, 0, 0);
	else if (status == QBD_REPLY_REFUSED)
		qbd_change_answer(replica, command, le32_to_cpu(reply->detail),
				  le32_to_cpu(reply->member), le64_to_cpu(reply->value));
	else
		qbd_change_answer(replica, command, QBD_CHANGE_NOT_LEADER, 0, 0);
}

/* The connection to the leader is gone, or another one leads: nobody will answer. */
void qbd_change_unanswered(struct qbd_replica *replica, const char *why)
{
	struct qbd_command *command = replica->changing;

	replica->changing = NULL;
	if (!command)
		return;
	if (replica->changing_listens || replica->changing_writes)
		stay(replica, command);
	else
		may_move(replica, command, replica->changing_leader, replica->changing_term);
	qbd_command_done(command, -EAGAIN, "%s", why);
}
