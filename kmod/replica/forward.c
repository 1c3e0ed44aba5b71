// SPDX-License-Identifier: GPL-2.0
/*
 * Requests to the leader, and from the members that are not.
 *
 * A write that was not answered is sent to the next leader, which finds it in the log if
 * it is there (repeat.c), or that it was answered. So it does no harm if more than one
 * copy is under way.
 *
 * But a session ends with the run of its device, and of an older one nothing is
 * remembered. That a copy of it comes late is kept out by this: a request names the
 * leadership (term) it is meant for, and a leader of another term refuses it; and nothing
 * of an old connection is delivered after peer_down(), so all that an older run sent is
 * over when a newer one is heard.
 *
 * Who voted need not hear that there is a leader: what waits goes to whom it voted for at
 * once, which is one round trip sooner. A candidate holds it, and refuses it when it does
 * not come to lead in the term that is named.
 *
 * Write data is copied before it is checksummed: its pages may be changed by
 * their owner while the write is under way.
 */
#include <linux/blk-mq.h>

#include "internal.h"

/* Settled after every event of the core, so this is the core's own. */
static u64 current_term(const struct qbd_replica *replica)
{
	return replica->told_term;
}

/**
 * qbd_forward_leader() - who leads and serves, or is likely to at once?
 * @replica: replica
 *
 * Return: member id, or 0.
 */
u32 qbd_forward_leader(const struct qbd_replica *replica)
{
	if (replica->told_leader)
		return qbd_replica_serving(replica);
	if (replica->told_role != QBD_ROLE_FOLLOWER ||
	    replica->voted_term != replica->told_term ||
	    !qbd_member_keeps_data(replica, replica->voted_for))
		return 0;
	return replica->voted_for;
}

/**
 * qbd_forward_begin() - send a held local request to the leader
 * @io: the request
 * @leader: whom
 *
 * Return: false if it has to stay held (no connection, queue full, no memory, too many
 * newer ones were answered before the oldest one under way).
 */
bool qbd_forward_begin(struct qbd_io *io, u32 leader)
{
	struct qbd_replica *replica = io->replica;
	u64 term = current_term(replica);
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(io->kind),
		.count = cpu_to_le32(io->count),
		.block = cpu_to_le64(io->block),
		.session = cpu_to_le64(io->session),
		.leader_term = cpu_to_le64(term),
		.epoch = cpu_to_le64(io->epoch),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REQUEST,
		.fixed = &request,
		.fixed_bytes = sizeof(request),
	};

	if (!qbd_net_peer_up(replica->network, leader))
		return false;
	if (io->kind != QBD_REQUEST_READ && !qbd_repeat_number(io))
		return false;
	request.sequence = cpu_to_le64(io->sequence);
	request.outstanding = cpu_to_le16(io->outstanding);
	if (io->kind == QBD_REQUEST_WRITE) {
		frame.buffer = qbd_buffer_alloc(replica->pool, QBD_POOL_FORWARD,
						io->count);
		if (!frame.buffer)
			return false;
		frame.data_blocks = io->count;
		frame.data_checksum = qbd_request_copy_out(io->request,
							   frame.buffer->pages,
							   io->count);
		frame.data_checksum_known = true;
	}
	if (qbd_net_send(replica->network, leader, &frame)) {
		if (frame.buffer)
			qbd_buffer_free(frame.buffer);
		return false;
	}
	if (io->peer)
		replica->resent_count++;
	replica->forwarded_count++;
	io->peer = leader;
	io->term = term;
	list_move_tail(&io->list, &replica->forwarded);
	return true;
}

/*
 * Of the copy that is under way now, and of no other: control and bulk frames overtake
 * each other, and "no leader" of the one before would have it sent a third time.
 */
static struct qbd_io *forwarded_find(struct qbd_replica *replica, u32 peer,
				     const struct qbd_frame_reply *reply)
{
	struct qbd_io *io;

	if (le64_to_cpu(reply->session) != replica->session)
		return NULL;
	list_for_each_entry(io, &replica->forwarded, list)
		if (io->sequence == le64_to_cpu(reply->sequence) && io->peer == peer &&
		    io->term == le64_to_cpu(reply->leader_term))
			return io;
	return NULL;
}

static void reply_ok(struct qbd_io *io, const struct qbd_frame_reply *reply,
		     struct qbd_buffer *data)
{
	if (io->kind == QBD_REQUEST_READ) {
		if (!data || data->blocks != io->count) {
			/* There was no memory for it here: ask again. */
			qbd_io_hold(io);
			io->replica->forward_after =
				io->replica->now + 10 * NSEC_PER_MSEC;
			return;
		}
		if (!qbd_hold_saw(io, le64_to_cpu(reply->value))) {
			qbd_io_hold(io);
			return;
		}
		qbd_request_copy_in(io->request, data->pages, io->count);
	}
	qbd_io_complete(io, QBD_REPLY_OK);
}

/* An answer has come; @data is ours to free. */
void qbd_forward_reply(struct qbd_replica *replica, u32 peer,
		       const struct qbd_frame_reply *reply, struct qbd_buffer *data)
{
	struct qbd_io *io = forwarded_find(replica, peer, reply);
	u64 sequence = le64_to_cpu(reply->sequence);
	u32 status = le32_to_cpu(reply->status);

	if (le64_to_cpu(reply->session) == replica->session &&
	    (sequence & QBD_CLAIM_SEQUENCE) == QBD_CLAIM_SEQUENCE)
		qbd_hold_replied(replica, peer, reply);
	else if (le64_to_cpu(reply->session) == replica->session &&
		 sequence & QBD_CHANGE_SEQUENCE)
		qbd_change_replied(replica, peer, reply);
	if (replica->moving && !io &&
	    le64_to_cpu(reply->session) == replica->session && !sequence) {
		if (status == QBD_REPLY_REFUSED)
			qbd_command_done(replica->moving, -EREMOTEIO,
					 "the leader refused: %s",
					 qbd_transfer_text(le32_to_cpu(reply->detail)));
		else if (status != QBD_REPLY_OK)
			qbd_command_done(replica->moving, -EAGAIN,
					 "the leader is just changing; try again");
		if (status != QBD_REPLY_OK)
			replica->moving = NULL;
	}
	if (io && status == QBD_REPLY_OK) {
		reply_ok(io, reply, data);
	} else if (io && (status == QBD_REPLY_NOT_LEADER || status == QBD_REPLY_BUSY)) {
		/* Not at once again: whoever leads makes itself known soon. */
		qbd_io_hold(io);
		if (peer == replica->voted_for)
			replica->voted_for = 0;
		replica->forward_after = replica->now + NSEC_PER_MSEC *
			max(replica->settings.heartbeat_ms / 4, 1u);
	} else if (io && status == QBD_REPLY_FENCED) {
		qbd_hold_fenced(io);
	} else if (io) {
		qbd_io_complete(io, status);
	}
	if (data)
		qbd_buffer_free(data);
}

/* The connection to @peer is gone (0: to anybody): what it had goes elsewhere. */
void qbd_forward_recall(struct qbd_replica *replica, u32 peer)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, &replica->forwarded, list)
		if (!peer || io->peer == peer)
			qbd_io_hold(io);
}

/*
 * The term changed: what was addressed to another leadership starts anew. Not when only
 * nobody is heard to lead: in this term there is no other leader, so it may be heard
 * again, over the same connection, and has what it was sent. (Nor when it is whom this
 * member voted for; if it is another, that one does not come to lead any more.)
 */
void qbd_forward_new_leader(struct qbd_replica *replica)
{
	u64 term = current_term(replica);
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, &replica->forwarded, list)
		if (io->term != term || (replica->told_leader && io->peer != replica->told_leader))
			qbd_io_hold(io);
	replica->forward_after = 0;
}

/* Say something to who asked for it; his connection is cut if that cannot be. */
void qbd_forward_answer(struct qbd_replica *replica, u32 peer,
			const struct qbd_frame_request *request,
			const struct qbd_answer *answer)
{
	struct qbd_frame_reply reply = {
		.sequence = request->sequence,
		.session = request->session,
		.leader_term = request->leader_term,
		.status = cpu_to_le32(answer->status),
		.detail = cpu_to_le32(answer->detail),
		.member = cpu_to_le32(answer->member),
		.value = cpu_to_le64(answer->value),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REPLY,
		.fixed = &reply,
		.fixed_bytes = sizeof(reply),
	};

	if (!qbd_net_send(replica->network, peer, &frame)) {
		qbd_net_push(replica->network, peer);
		return;
	}
	/* Its sender waits for it, and would for ever. */
	if (!qbd_io_answer_later(replica, peer, request, answer))
		qbd_net_disconnect(replica->network, peer, "no memory to say no");
}

/*
 * The fittest to take over: connected, caught up, by priority; of several the one that
 * writes. 0 if none.
 */
static u32 fittest(struct qbd_replica *replica)
{
	const struct qbd_config *config = qbd_core_config(replica->core);
	u32 holder = qbd_claims_committed(replica)->holder;
	u32 best = 0, best_priority = 0, i;
	u64 best_match = 0;

	for (i = 0; i < config->count; i++) {
		const struct qbd_member *member = &config->members[i];
		struct qbd_peer_status peer;

		if (member->id == replica->member_id ||
		    !(member->flags & QBD_MEMBER_VOTER) ||
		    (member->flags & QBD_MEMBER_WITNESS) ||
		    !qbd_core_get_peer(replica->core, replica->now, member->id, &peer) ||
		    !peer.alive || !(peer.flags & QBD_MESSAGE_FIT))
			continue;
		if (!best || member->priority > best_priority ||
		    (member->priority == best_priority && best != holder &&
		     (member->id == holder || peer.match > best_match))) {
			best = member->id;
			best_priority = member->priority;
			best_match = peer.match;
		}
	}
	return best;
}

static enum qbd_transfer_result transfer(struct qbd_replica *replica, u32 target)
{
	if (!target)
		target = fittest(replica);
	if (!target)
		return QBD_TRANSFER_UNFIT;
	return qbd_core_transfer(replica->core, replica->now, target);
}

/* Does this member lead in the term that a request names? What is held as well if it may. */
static bool leads_for(const struct qbd_replica *replica, const struct qbd_frame_request *request)
{
	u32 kind = le32_to_cpu(request->kind);

	if (!qbd_replica_keeps_data(replica) || replica->phase != QBD_PHASE_RUNNING ||
	    le64_to_cpu(request->leader_term) != current_term(replica))
		return false;
	return replica->told_role == QBD_ROLE_LEADER ||
	       (replica->told_role == QBD_ROLE_CANDIDATE &&
		(kind == QBD_REQUEST_READ || kind == QBD_REQUEST_WRITE ||
		 kind == QBD_REQUEST_ZERO));
}

/* A request from another member. @data is ours. */
void qbd_forward_request(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_request *request,
			 struct qbd_buffer *data)
{
	struct qbd_answer answer = { .status = QBD_REPLY_NOT_LEADER };
	u32 kind = le32_to_cpu(request->kind);
	struct qbd_io *io;

	if (leads_for(replica, request)) {
		if (kind == QBD_REQUEST_LEADER_MOVE) {
			answer.detail = transfer(replica, le64_to_cpu(request->block));
			answer.status = answer.detail == QBD_TRANSFER_STARTED ||
					answer.detail == QBD_TRANSFER_ALREADY ?
					QBD_REPLY_OK : QBD_REPLY_REFUSED;
		} else if (kind == QBD_REQUEST_CLAIM) {
			qbd_claim_asked(replica, peer, request);
			return;
		} else if ((kind == QBD_REQUEST_WRITE || kind == QBD_REQUEST_CHANGE) && !data) {
			answer.status = QBD_REPLY_BUSY;
		} else if (kind == QBD_REQUEST_CHANGE) {
			answer.detail = qbd_change_propose(replica,
							   page_address(data->pages[0]), peer,
							   &answer.member, &answer.value);
			answer.status = answer.detail == QBD_CHANGE_DONE ?
					QBD_REPLY_OK : QBD_REPLY_REFUSED;
		} else if (kind == QBD_REQUEST_RESIZE) {
			answer.detail = qbd_resize_propose(replica, le64_to_cpu(request->block),
							   &answer.member);
			answer.status = answer.detail == QBD_CHANGE_DONE ?
					QBD_REPLY_OK : QBD_REPLY_REFUSED;
		} else if (!qbd_resize_reaches(replica, le64_to_cpu(request->block),
					       le32_to_cpu(request->count))) {
			/* Its block device is larger already: this one will be, too. */
			answer.status = QBD_REPLY_BUSY;
		} else {
			io = qbd_io_from_peer(replica, peer, request, data);
			if (io) {
				qbd_io_hold(io);
				return;
			}
			answer.status = QBD_REPLY_BUSY;
		}
	}
	if (data)
		qbd_buffer_free(data);
	qbd_forward_answer(replica, peer, request, &answer);
}

const char *qbd_transfer_text(u32 result)
{
	switch (result) {
	case QBD_TRANSFER_STARTED:
		return "under way";
	case QBD_TRANSFER_ALREADY:
		return "it leads already";
	case QBD_TRANSFER_NOT_LEADER:
		return "leadership is just changing; try again";
	case QBD_TRANSFER_BUSY:
		return "another move is under way; try again";
	case QBD_TRANSFER_NOT_VOTER:
		return "that member does not vote or is a witness, so it cannot lead";
	case QBD_TRANSFER_UNREACHABLE:
		return "that member has not been heard; bring it up first";
	case QBD_TRANSFER_UNFIT:
		return "not fit to lead (filling, damaged or far behind); see qbdadm status";
	}
	return "reason unknown";
}

/* Ask the leader to hand over to @target. */
static int ask_leader(struct qbd_replica *replica, u32 target)
{
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(QBD_REQUEST_LEADER_MOVE),
		.block = cpu_to_le64(target),
		.session = cpu_to_le64(replica->session),
		.leader_term = cpu_to_le64(current_term(replica)),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REQUEST,
		.fixed = &request,
		.fixed_bytes = sizeof(request),
	};
	int error = qbd_net_send(replica->network, replica->told_leader, &frame);

	if (!error)
		qbd_net_push(replica->network, replica->told_leader);
	return error;
}

/**
 * qbd_leader_move_command() - hand leadership to another member
 * @replica: replica
 * @command: argument points to the member id, 0 for the fittest; is done when the
 *	leader has changed, or when that did not come about
 */
void qbd_leader_move_command(struct qbd_replica *replica, struct qbd_command *command)
{
	u32 target = *(u32 *)command->argument;
	enum qbd_transfer_result result;

	if (replica->moving) {
		qbd_command_done(command, -EBUSY, "another move is under way; try again");
		return;
	}
	if (target && !qbd_replica_member(replica, target)) {
		qbd_command_done(command, -ENOENT, "member %u does not exist", target);
		return;
	}
	if (!replica->told_leader) {
		qbd_command_done(command, -EHOSTUNREACH,
				 "there is no leader now; a majority of the members must be up and reach each other");
		return;
	}
	if (target == replica->told_leader) {
		qbd_command_done(command, 0, "it leads already");
		return;
	}
	if (replica->told_role == QBD_ROLE_LEADER) {
		result = transfer(replica, target);
		if (result != QBD_TRANSFER_STARTED) {
			qbd_command_done(command, -EREMOTEIO, "%s",
					 qbd_transfer_text(result));
			return;
		}
	} else if (ask_leader(replica, target)) {
		qbd_command_done(command, -EHOSTUNREACH,
				 "the leader (member %u) cannot be reached from here; run this there",
				 replica->told_leader);
		return;
	}
	replica->moving = command;
	replica->moving_from = replica->told_leader;
	/* Others wait meanwhile: the kernel's lock of all netlink families is held. */
	replica->moving_deadline = replica->now + NSEC_PER_MSEC *
		clamp_t(u64, 10ull * replica->settings.election_timeout_ms, 2000,
			QBD_MOVE_WAIT_MS);
}

/* A leader became known, a transfer ended (@ended), or time went by. */
void qbd_leader_move_check(struct qbd_replica *replica, bool ended)
{
	struct qbd_command *command = replica->moving;
	u32 target;

	if (!command)
		return;
	target = *(u32 *)command->argument;
	if (replica->told_leader && replica->told_leader != replica->moving_from) {
		replica->moving = NULL;
		if (!target || replica->told_leader == target)
			qbd_command_done(command, 0, "done");
		else
			qbd_command_done(command, -EREMOTEIO,
					 "member %u was elected instead",
					 replica->told_leader);
	} else if (ended && replica->told_role == QBD_ROLE_LEADER) {
		replica->moving = NULL;
		qbd_command_done(command, -ETIMEDOUT,
				 "the new leader did not take over in time; member %u goes on leading",
				 replica->moving_from);
	} else if (replica->now >= replica->moving_deadline) {
		replica->moving = NULL;
		qbd_command_done(command, -ETIMEDOUT,
				 "no new leader took over from member %u so far; it may still happen, see 'qbdadm leader show'",
				 replica->moving_from);
	}
}
