// SPDX-License-Identifier: GPL-2.0
/*
 * The claim of this host: asked for when somebody opens the device for write or writes to
 * it, given back when the last one has closed it.
 *
 *   state      when                                            to
 *
 *   NONE       this host needs to write                        ASKING
 *   NONE       the log says that it is this run's              HELD
 *   ASKING     the leader gave it, or the log says so          HELD
 *   ASKING     the mode is shared, by the log, and somebody    HELD (shared)
 *              goes on who had it open before
 *   ASKING     somebody else has it and is there, for longer   NONE; who waits is told
 *              than it takes to give it back
 *   ASKING     the same, and somebody has it open for write    FENCED
 *              already (the mode was shared)
 *   NONE,      another host was given it since what goes on    FENCED
 *   ASKING,    here was opened or written, by the log or the
 *   HELD       leader, whoever has it now
 *   ASKING     no quorum, and I/O is to fail                   NONE; who waits is told
 *   ASKING     nobody needs it any more                        NONE
 *   HELD       nobody needs it any more, no write is left      RELEASING
 *   HELD       another claim is committed, by the log, or a    NONE, and asked for anew:
 *              write was refused for its epoch                 the leader says whose it was
 *   RELEASING  the leader says so, or the log                  NONE
 *   FENCED     the last one has closed the device              NONE
 *
 * In FENCED all I/O of this host fails at once, so that the file system on it stops.
 *
 * Asked for is the leader of the day, again and again until it answers: what is asked for
 * twice is given once (claim_rule.h).
 */
#include "internal.h"

/* Whoever has it may be about to give it back: so long, an opener is not refused. */
#define PATIENCE_MS	1000u

static bool exclusive_mine(const struct qbd_replica *replica, const struct qbd_claim *claim)
{
	return claim->holder == replica->member_id && claim->session == replica->session;
}

/* Somebody on this host writes, or wants to. */
static bool needed(const struct qbd_replica *replica)
{
	return replica->hold.pinned || !list_empty(&replica->unclaimed) ||
	       (replica->disk && qbd_disk_claim_needed(replica->disk));
}

static void answer_opener(struct qbd_replica *replica, int error)
{
	if (replica->disk)
		qbd_disk_claim_answer(replica->disk, error);
}

static void end_command(struct qbd_replica *replica, int error, const char *text)
{
	qbd_claim_command_ends(replica, error, text);
}

static const char *name_of(const struct qbd_replica *replica, u32 id)
{
	const struct qbd_member_layout *member = qbd_replica_member(replica, id);

	return member ? member->name : "no member any more";
}

/* Writes that came without a claim have one now. */
static void stamp_unclaimed(struct qbd_replica *replica)
{
	struct qbd_io *io, *next;

	if (!list_empty(&replica->unclaimed) && replica->disk)
		qbd_disk_claim_keep(replica->disk);
	list_for_each_entry_safe(io, next, &replica->unclaimed, list) {
		qbd_hold_stamp(io);
		qbd_io_hold(io);
	}
}

static void have(struct qbd_replica *replica, u64 epoch, bool shared)
{
	struct qbd_hold *hold = &replica->hold;
	bool told = hold->state == QBD_HOLD_HELD || shared;

	hold->state = QBD_HOLD_HELD;
	hold->epoch = epoch;
	hold->goes_on = true;
	hold->shared = shared;
	hold->force = false;
	hold->refused_since = 0;
	if (!told)
		qbd_replica_event(replica, QBD_EVENT_CLAIMED, replica->member_id,
				  "epoch %llu", epoch);
	stamp_unclaimed(replica);
}

/* Whoever waits gets this for an answer. */
static void give_up(struct qbd_replica *replica, int error, const char *text)
{
	struct qbd_hold *hold = &replica->hold;
	struct qbd_io *io, *next;

	hold->state = QBD_HOLD_NONE;
	hold->pinned = false;
	hold->force = false;
	hold->refused_since = 0;
	answer_opener(replica, error);
	list_for_each_entry_safe(io, next, &replica->unclaimed, list)
		qbd_io_complete(io, QBD_REPLY_IO_ERROR);
	end_command(replica, error, text);
}

/* Requests of this host are to fail: nobody is kept waiting for a claim, either. */
void qbd_hold_fail(struct qbd_replica *replica)
{
	if (replica->hold.state == QBD_HOLD_ASKING)
		give_up(replica, -EIO, "I/O of this host is to fail now");
	else if (replica->hold.state == QBD_HOLD_RELEASING)
		answer_opener(replica, -EIO);
}

static void fence(struct qbd_replica *replica, u32 by)
{
	struct qbd_hold *hold = &replica->hold;

	qbd_warn(replica, "the claim of this host was taken over%s%s: its I/O fails until everybody here has closed the device",
		 by ? " by " : "", by ? name_of(replica, by) : "");
	qbd_replica_event(replica, QBD_EVENT_FENCED, by, "epoch %llu is over", hold->epoch);
	hold->state = QBD_HOLD_FENCED;
	/* This log may say for a while yet that it is ours. */
	hold->released = hold->epoch;
	hold->goes_on = false;
	hold->pinned = false;
	hold->force = false;
	answer_opener(replica, -EBUSY);
	end_command(replica, -EBUSY, "another host has taken the device over");
	qbd_io_fail_local(replica);
}

/**
 * qbd_hold_fenced() - a write of this host was refused for its epoch
 * @io: the write, on whatever list
 *
 * That may be because another host has had the claim, or only because there is a newer one:
 * the mode was changed to and fro. What this host knows of that may be old. So the write
 * waits for a claim, which is asked for on behalf of what goes on here, and the leader says
 * whether it may.
 */
void qbd_hold_fenced(struct qbd_io *io)
{
	struct qbd_replica *replica = io->replica;
	struct qbd_hold *hold = &replica->hold;

	if (hold->state == QBD_HOLD_FENCED || !hold->goes_on) {
		qbd_io_complete(io, QBD_REPLY_IO_ERROR);
		return;
	}
	if (hold->state == QBD_HOLD_HELD && io->epoch >= hold->epoch)
		hold->state = QBD_HOLD_NONE;
	/* The log of a member whose disk has failed would say for ever that it is not. */
	hold->newer_than = max(hold->newer_than, io->epoch);
	io->claimed = false;
	qbd_hold_stamp(io);
	qbd_io_hold(io);
}

/* A write of this host gets the epoch that it is made under, if there is one. */
void qbd_hold_stamp(struct qbd_io *io)
{
	const struct qbd_hold *hold = &io->replica->hold;

	if (hold->state != QBD_HOLD_HELD)
		return;
	io->claimed = true;
	io->epoch = hold->epoch;
}

/* ---- asking ------------------------------------------------------------- */

static void ask_again_later(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;

	hold->asked = false;
	hold->ask_after = replica->now + NSEC_PER_MSEC *
		max(replica->settings.heartbeat_ms / 4, 1u);
	qbd_replica_later(replica, hold->ask_after);
}

static void refused(struct qbd_replica *replica, u32 holder, u64 wait_ms)
{
	struct qbd_hold *hold = &replica->hold;
	u64 patience = NSEC_PER_MSEC *
		max_t(u64, PATIENCE_MS, 4ull * replica->settings.election_timeout_ms);
	char text[QBD_ERROR_TEXT_SIZE];

	if (!hold->refused_since)
		hold->refused_since = replica->now;
	/* He may be closing it just now; and his lease may be about to run out. */
	if (replica->now < hold->refused_since + patience) {
		ask_again_later(replica);
		return;
	}
	snprintf(text, sizeof(text),
		 "member %u (%s) has the device claimed: close it there, or take it over with 'qbdadm claim take %s --force'; if that host is gone it may be opened in %llu ms",
		 holder, name_of(replica, holder), replica->name, wait_ms);
	if (replica->disk && qbd_disk_write_opened(replica->disk)) {
		fence(replica, holder);
		return;
	}
	qbd_warn(replica, "not opened for write: %s", text);
	give_up(replica, -EBUSY, text);
}

/* Whoever has it seems to be gone: who waits goes on waiting until his lease is over. */
static void wait_for_lease(struct qbd_replica *replica, u64 wait_ms)
{
	ask_again_later(replica);
	replica->hold.refused_since = 0;
	replica->hold.ask_after = max(replica->hold.ask_after, replica->now +
				      min_t(u64, wait_ms, 100) * NSEC_PER_MSEC);
	qbd_replica_later(replica, replica->hold.ask_after);
}

static void outdated(struct qbd_replica *replica)
{
	give_up(replica, -ESTALE, "the claim has changed meanwhile; look at it, and try again");
}

/* The claim is given back, or was somebody else's already. */
static void released(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;

	hold->state = QBD_HOLD_NONE;
	hold->released = hold->epoch;
	qbd_replica_event(replica, QBD_EVENT_RELEASED, replica->member_id, "epoch %llu",
			  hold->epoch);
	end_command(replica, 0, "released");
}

static struct qbd_claim_wish wish_of(const struct qbd_replica *replica)
{
	const struct qbd_hold *hold = &replica->hold;
	struct qbd_claim_wish wish = {
		.action = QBD_CLAIM_RELEASE,
		.asker = replica->member_id,
		.session = replica->session,
		.epoch = hold->epoch,
	};

	if (hold->state != QBD_HOLD_ASKING)
		return wish;
	wish.action = QBD_CLAIM_TAKE;
	wish.force = hold->force;
	wish.goes_on = !hold->force && hold->goes_on;
	wish.epoch = hold->force ? hold->force_epoch : hold->goes_on ? hold->epoch : 0;
	return wish;
}

/* This member leads: what the leader would answer is known here. */
static void ask_self(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;
	const struct qbd_claim_wish wish = wish_of(replica);
	struct qbd_claim claim;
	u64 wait_ms;

	switch (qbd_claim_wanted(replica, &wish, &claim, &wait_ms)) {
	case QBD_VERDICT_GRANT:
		break;			/* the log will say so */
	case QBD_VERDICT_HAVE:
		if (wish.action == QBD_CLAIM_RELEASE)
			released(replica);
		else
			have(replica, claim.epoch, claim.mode == QBD_CLAIM_SHARED);
		break;
	case QBD_VERDICT_LATER:
		ask_again_later(replica);
		break;
	case QBD_VERDICT_BUSY:
		refused(replica, claim.holder, wait_ms);
		break;
	case QBD_VERDICT_WAIT:
		wait_for_lease(replica, wait_ms);
		break;
	case QBD_VERDICT_OUTDATED:
		outdated(replica);
		break;
	case QBD_VERDICT_SHUT_OUT:
		fence(replica, claim.holder);
		break;
	}
	hold->asked = false;
}

int qbd_hold_send(struct qbd_replica *replica, const struct qbd_claim_wish *wish)
{
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(QBD_REQUEST_CLAIM),
		.count = cpu_to_le32(wish->action),
		.block = cpu_to_le64(wish->action == QBD_CLAIM_MODE ? wish->mode :
				     wish->force ? QBD_CLAIM_FORCE :
				     wish->goes_on ? QBD_CLAIM_GOES_ON : 0),
		.sequence = cpu_to_le64(++replica->hold.last_sequence),
		.session = cpu_to_le64(replica->session),
		.leader_term = cpu_to_le64(replica->told_term),
		.epoch = cpu_to_le64(wish->epoch),
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

static void ask_leader(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;
	const struct qbd_claim_wish wish = wish_of(replica);

	if (qbd_hold_send(replica, &wish)) {
		ask_again_later(replica);
		return;
	}
	hold->asked = true;
	hold->sequence = hold->last_sequence;
	hold->asked_leader = replica->told_leader;
	hold->asked_term = replica->told_term;
}

static void ask(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;

	if (replica->now < hold->ask_after) {
		qbd_replica_later(replica, hold->ask_after);
		return;
	}
	if (replica->told_role == QBD_ROLE_LEADER) {
		ask_self(replica);
		return;
	}
	/* Nothing comes from a leadership that is over, nor over a connection that is. */
	if (hold->asked && hold->asked_leader == replica->told_leader &&
	    hold->asked_term == replica->told_term)
		return;
	if (qbd_replica_serving(replica) && replica->told_leader != replica->member_id)
		ask_leader(replica);
}

/* The connection to a member is gone: it will not answer. */
void qbd_hold_unanswered(struct qbd_replica *replica, u32 peer)
{
	if (replica->hold.asked_leader == peer)
		replica->hold.asked = false;
	if (replica->hold.mode_leader == peer)
		replica->hold.mode_asked = false;
}

/* The leader's answer. */
void qbd_hold_replied(struct qbd_replica *replica, u32 peer,
		      const struct qbd_frame_reply *reply)
{
	struct qbd_hold *hold = &replica->hold;
	u32 status = le32_to_cpu(reply->status);
	u32 detail = le32_to_cpu(reply->detail);
	u64 value = le64_to_cpu(reply->value);

	if (qbd_claim_mode_replied(replica, peer, reply))
		return;
	/* A later one was asked since, or the state is another one: it is asked anew. */
	if (!hold->asked || peer != hold->asked_leader ||
	    le64_to_cpu(reply->sequence) != hold->sequence)
		return;
	hold->asked = false;
	if (hold->state != QBD_HOLD_ASKING && hold->state != QBD_HOLD_RELEASING)
		return;
	if (status == QBD_REPLY_OK && hold->state == QBD_HOLD_RELEASING)
		released(replica);
	else if (status == QBD_REPLY_OK)
		have(replica, value, detail == QBD_CLAIM_SHARED);
	else if (status == QBD_REPLY_REFUSED && detail == QBD_CLAIM_BUSY)
		refused(replica, le32_to_cpu(reply->member), value);
	else if (status == QBD_REPLY_REFUSED && detail == QBD_CLAIM_SILENT)
		wait_for_lease(replica, value);
	else if (status == QBD_REPLY_REFUSED && detail == QBD_CLAIM_SHUT_OUT)
		fence(replica, le32_to_cpu(reply->member));
	else if (status == QBD_REPLY_REFUSED)
		outdated(replica);
	else
		ask_again_later(replica);
}

/* ---- what follows from the log, the disk and the requests ---------------- */

/* A claim that is committed, or that the mode is shared, may decide without asking. */
static void look_at_log(struct qbd_replica *replica)
{
	const struct qbd_claim *claim = qbd_claims_committed(replica);
	struct qbd_hold *hold = &replica->hold;
	bool mine = exclusive_mine(replica, claim) && claim->epoch > hold->released;

	/* The leader says the same to who asks; who needs not ask hears it from the log. */
	if (hold->goes_on && qbd_claim_shuts_out(claim, hold->epoch, replica->member_id,
						 replica->session)) {
		fence(replica, exclusive_mine(replica, claim) ? 0 : claim->holder);
		return;
	}
	switch (hold->state) {
	case QBD_HOLD_NONE:
		/* It was given after whoever wanted it had gone: it is to be given back. */
		if (mine)
			have(replica, claim->epoch, false);
		break;
	case QBD_HOLD_ASKING:
		if (mine && claim->epoch > hold->newer_than)
			have(replica, claim->epoch, false);
		else if (claim->mode == QBD_CLAIM_SHARED && hold->goes_on &&
			 claim->epoch > hold->newer_than)
			have(replica, claim->epoch, true);
		break;
	case QBD_HOLD_HELD:
		if (claim->epoch <= hold->epoch)
			break;
		if (claim->mode == QBD_CLAIM_SHARED)
			have(replica, claim->epoch, true);
		else if (mine)
			have(replica, claim->epoch, false);
		else
			hold->state = QBD_HOLD_NONE;
		break;
	case QBD_HOLD_RELEASING:
		if (claim->epoch > hold->epoch)
			released(replica);
		break;
	default:
		break;
	}
}

static bool writes_left(const struct qbd_replica *replica)
{
	return qbd_io_writes(replica);
}

static void look_at_disk(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;

	switch (hold->state) {
	case QBD_HOLD_NONE:
		if (!needed(replica)) {
			if (!writes_left(replica))
				hold->goes_on = false;
			break;
		}
		hold->state = QBD_HOLD_ASKING;
		hold->asked = false;
		hold->ask_after = 0;
		break;
	case QBD_HOLD_ASKING:
		if (!needed(replica)) {
			hold->state = QBD_HOLD_NONE;
			hold->force = false;
			hold->refused_since = 0;
		}
		break;
	case QBD_HOLD_HELD:
		if (needed(replica) || writes_left(replica))
			break;
		hold->state = hold->shared ? QBD_HOLD_NONE : QBD_HOLD_RELEASING;
		hold->goes_on = false;
		hold->asked = false;
		hold->ask_after = 0;
		break;
	case QBD_HOLD_FENCED:
		/* Who opens it again and again must not keep himself out. */
		if (!replica->disk || !qbd_disk_opened(replica->disk))
			hold->state = QBD_HOLD_NONE;
		break;
	default:
		break;
	}
}

/**
 * qbd_hold_check() - go on with this host's claim
 * @replica: replica; each pass, before requests are dispatched
 */
void qbd_hold_check(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;

	if (replica->phase != QBD_PHASE_RUNNING)
		return;
	if (replica->removed) {
		answer_opener(replica, -EIO);
		qbd_claim_command_removed(replica);
		return;
	}
	if (!replica->disk || !qbd_disk_claim_asked(replica->disk))
		hold->opener_since = 0;
	else if (!hold->opener_since)
		hold->opener_since = replica->now;
	look_at_disk(replica);
	look_at_log(replica);
	if (hold->state == QBD_HOLD_ASKING || hold->state == QBD_HOLD_RELEASING)
		ask(replica);
	if (hold->state == QBD_HOLD_FENCED)
		answer_opener(replica, -EBUSY);
	if (hold->state != QBD_HOLD_HELD)
		return;
	answer_opener(replica, 0);
	end_command(replica, 0, "claimed");
}
