// SPDX-License-Identifier: GPL-2.0
/*
 * The claim of this host: asked for when somebody opens the device for write or writes to
 * it, given back when the last one has closed it.
 *
 *   state      when                                            to
 *
 *   NONE       this host needs to write                        ASKING
 *   ASKING     the leader gave it, or the log says so          HELD
 *   ASKING     the mode is shared, by the log, and somebody    HELD (shared)
 *              goes on who had it open for write before
 *   ASKING     somebody else has it and is there, for longer   NONE; who waits is told
 *              than it takes to give it back
 *   ASKING     the same, and somebody has it open for write    FENCED
 *              already (the mode was shared)
 *   NONE,      another host was given it since what goes on    FENCED
 *   ASKING,    here was opened for write, or written, by the
 *   HELD       log or the leader, whoever has it now
 *   ASKING     likewise since what goes on here was read:
 *              if that wants to write                          FENCED
 *              if only somebody else wants to                  NONE; who waits is told
 *   ASKING     no quorum, and I/O is to fail                   NONE; who waits is told
 *   ASKING     nobody needs it any more                        NONE
 *   NONE       the log says that it is this run's, and         RELEASING
 *              nobody needs it (any more)
 *   HELD       nobody needs it any more, no write is left,     RELEASING
 *              or all who did have closed it since
 *   HELD       another claim is committed, by the log, or a    NONE, and asked for anew:
 *              write was refused for its epoch                 the leader says whose it was
 *   RELEASING  the leader says so, or the log                  NONE
 *   FENCED     the last one has closed the device              NONE
 *
 * In FENCED all I/O of this host fails at once, so that the file system on it stops.
 *
 * Asked for is the leader of the day, again and again until it answers: what is asked for
 * twice is given once (claim_rule.h).
 *
 * What goes on here, and since when:
 *
 *   who                                   since the claim
 *
 *   has it open for write, or has written that it was let in by, or that later one which
 *                                         was given to this host, or all might write under
 *   has read it, has it for himself       none: the index up to which all was in what he
 *   (a file system mounted read-only),    read first; the leader says it with each read
 *   or writes who did not open for that
 *   has read it otherwise                 nothing: he sees what is there when he opens it
 *                                         anew
 *
 * The second may read on while another host writes; what he sees then is not promised to be
 * consistent. But he may not write, nor may anybody on this host as long as he is there: his
 * writes could not be told from the others'.
 */
#include "internal.h"

/* Whoever has it may be about to give it back: so long, an opener is not refused. */
#define PATIENCE_MS	1000u

static bool exclusive_mine(const struct qbd_replica *replica, const struct qbd_claim *claim)
{
	return claim->holder == replica->member_id && claim->session == replica->session;
}

/*
 * The last of those who were there when it was claimed has closed it, and with that waited for
 * all that he wrote. Who has opened it since has nothing from them.
 */
static bool closed_since(const struct qbd_replica *replica)
{
	return replica->disk && qbd_disk_closings(replica->disk) != replica->hold.closings;
}

/* Somebody on this host writes, or wants to. */
static bool needed(const struct qbd_replica *replica)
{
	return replica->hold.pinned || !list_empty(&replica->unclaimed) ||
	       (replica->disk && qbd_disk_claim_needed(replica->disk));
}

/* Who has read it wants to write, or may do so unseen. */
static bool reader_goes_on(const struct qbd_replica *replica)
{
	const struct qbd_hold *hold = &replica->hold;

	return replica->disk && hold->view && hold->view == qbd_disk_view(replica->disk) &&
	       (!list_empty(&replica->unclaimed) || qbd_disk_exclusive(replica->disk));
}

/* Since which claim does something go on here? NOBODY: nothing does. */
#define NOBODY	U64_MAX

static u64 goes_on_since(const struct qbd_replica *replica)
{
	if (replica->hold.goes_on)
		return replica->hold.epoch;
	return reader_goes_on(replica) ? replica->hold.view_index : NOBODY;
}

static void answer_opener(struct qbd_replica *replica, int error)
{
	if (replica->disk)
		qbd_disk_claim_answer(replica->disk, error);
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
	LIST_HEAD(list);

	/* Those that have none after all go back to where they were. */
	list_splice_init(&replica->unclaimed, &list);
	list_for_each_entry_safe(io, next, &list, list) {
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
	qbd_claim_command_fails(replica, error, text);
}

/* Requests of this host are to fail: nobody is kept waiting for a claim, either. */
void qbd_hold_fail(struct qbd_replica *replica)
{
	if (replica->hold.state == QBD_HOLD_ASKING)
		give_up(replica, -EIO, "I/O of this host is to fail now");
	else if (replica->hold.state == QBD_HOLD_RELEASING)
		answer_opener(replica, -EIO);
}

/* Nobody is let in to write, and who has read it goes on with that. */
static void not_opened(struct qbd_replica *replica, const char *text)
{
	qbd_warn(replica, "not opened for write: %s", text);
	give_up(replica, -EBUSY, text);
}

static void fence(struct qbd_replica *replica, u32 by)
{
	struct qbd_hold *hold = &replica->hold;
	u64 since = goes_on_since(replica);

	if (hold->goes_on)
		qbd_warn(replica, "the claim of this host was taken over%s%s: its I/O fails until everybody here has closed the device",
			 by ? " by " : "", by ? name_of(replica, by) : "");
	else
		qbd_warn(replica, "not written: another host has had the device since it was mounted here; I/O of this host fails until everybody here has closed it");
	qbd_replica_event(replica, QBD_EVENT_FENCED, by, "epoch %llu is over",
			  since == NOBODY ? hold->epoch : since);
	hold->state = QBD_HOLD_FENCED;
	/* This log may say for a while yet that it is ours. */
	hold->released = hold->epoch;
	hold->goes_on = false;
	hold->pinned = false;
	hold->force = false;
	answer_opener(replica, -EBUSY);
	qbd_claim_command_fails(replica, -EBUSY, "another host has taken the device over");
	qbd_io_fail_local(replica);
}

/* What goes on here is over: another host was given the device meanwhile. */
static void shut_out(struct qbd_replica *replica, u32 by)
{
	if (replica->hold.goes_on || !list_empty(&replica->unclaimed))
		fence(replica, by);
	else
		not_opened(replica,
			   "another host had it since it was mounted (or read) here: unmount it here first");
}

/**
 * qbd_hold_saw() - a read of this host is about to be answered
 * @io: the read, with its block request
 * @index: all entries up to this one are in what was read
 *
 * Return: false: it has to be read anew. It was read before this host was given the claim
 * that it holds, and others may have had one between; or before somebody opened the disk who
 * may wait for the same page. (This once only: who opens it again and again keeps nobody
 * from reading.)
 */
bool qbd_hold_saw(const struct qbd_io *io, u64 index)
{
	struct qbd_hold *hold = &io->replica->hold;
	struct qbd_request *request = io->request;
	u64 view;

	if (WARN_ON_ONCE(!io->replica->disk))
		return true;
	view = qbd_disk_view(io->replica->disk);
	if (hold->state == QBD_HOLD_HELD && index < hold->epoch)
		return false;
	if (request->view != view && !request->read_anew) {
		request->view = view;
		request->read_anew = true;
		return false;
	}
	/*
	 * Answers overtake each other: whoever reads has the older one, too. And what could
	 * not be dropped when the view began is read in this one.
	 */
	if (hold->view && hold->view >= qbd_disk_oldest_view(io->replica->disk))
		hold->view_index = min(hold->view_index, index);
	else
		hold->view_index = index;
	hold->view = view;
	return true;
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
	qbd_replica_later(replica, replica->now);
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

	/* Of who has opened it since: he asks anew. */
	if (hold->state != QBD_HOLD_HELD || closed_since(io->replica))
		return;
	io->claimed = true;
	io->epoch = hold->epoch;
	/* Whoever writes it may have opened it for reading, while others had it claimed. */
	if (io->replica->disk)
		qbd_disk_claim_keep(io->replica->disk);
}

/**
 * qbd_hold_fails() - does all I/O of this host fail now?
 * @replica: replica
 *
 * Not that of who has opened the device since the last one closed it.
 */
bool qbd_hold_fails(const struct qbd_replica *replica)
{
	return replica->hold.state == QBD_HOLD_FENCED && !closed_since(replica);
}

/* Somebody on this host has the device, and it does not fail for him already. */
bool qbd_hold_uses(const struct qbd_replica *replica)
{
	return replica->disk && qbd_disk_opened(replica->disk) && !qbd_hold_fails(replica);
}

/* What is mounted here was read: see the table above. */
bool qbd_hold_read(const struct qbd_replica *replica)
{
	return !replica->hold.goes_on && reader_goes_on(replica);
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
	not_opened(replica, text);
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
	/* Somebody may wait for the next one. */
	qbd_replica_later(replica, replica->now);
	qbd_replica_event(replica, QBD_EVENT_RELEASED, replica->member_id, "epoch %llu",
			  hold->epoch);
	qbd_claim_command_done(replica, QBD_CLAIM_RELEASE, "released");
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
	/* What goes on is not to be forced: it would write over what it has not read. */
	wish.goes_on = goes_on_since(replica) != NOBODY;
	wish.reader = wish.goes_on && !hold->goes_on;
	wish.force = hold->force && !wish.goes_on;
	wish.epoch = wish.goes_on ? goes_on_since(replica) : wish.force ? hold->force_epoch : 0;
	return wish;
}

/* What a majority says of this leader is for those who ask now: not for who comes later. */
static void forget_confirmation(struct qbd_hold *hold)
{
	hold->ticket = 0;
	hold->confirmed = false;
}

/**
 * qbd_hold_confirmed() - a majority was asked whether this member leads
 * @replica: replica
 * @ticket: those up to this one have their answer; see qbd_claim_confirm()
 * @leads: it does
 */
void qbd_hold_confirmed(struct qbd_replica *replica, u64 ticket, bool leads)
{
	struct qbd_hold *hold = &replica->hold;

	if (!hold->ticket || hold->ticket > ticket)
		return;
	hold->ticket = 0;
	hold->confirmed = leads;
	qbd_replica_later(replica, replica->now);
}

static void ask_majority(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;

	if (!qbd_claim_confirm(replica, &hold->ticket)) {
		ask_again_later(replica);
	} else if (!hold->ticket) {
		hold->confirmed = true;
		qbd_replica_later(replica, replica->now);
	}
}

/* This member leads: what the leader would answer is known here. */
static void ask_self(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;
	struct qbd_claim_wish wish = wish_of(replica);
	struct qbd_claim claim;
	u64 wait_ms;

	if (hold->ticket)
		return;
	wish.confirmed = hold->confirmed;
	hold->confirmed = false;
	switch (qbd_claim_wanted(replica, &wish, &claim, &wait_ms)) {
	case QBD_VERDICT_GRANT:
		/* The log will say when it is so. */
		hold->granted = claim.epoch;
		hold->asked_since = wish.goes_on ? wish.epoch : NOBODY;
		break;
	case QBD_VERDICT_HAVE:
		if (wish.action == QBD_CLAIM_RELEASE)
			released(replica);
		else
			have(replica, claim.epoch, claim.mode == QBD_CLAIM_SHARED);
		break;
	case QBD_VERDICT_CONFIRM:
		ask_majority(replica);
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
		shut_out(replica, claim.holder);
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
				     wish->reader ? QBD_CLAIM_READ :
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
	hold->granted = 0;
	hold->asked_since = wish.goes_on ? wish.epoch : NOBODY;
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

static bool as_asked(const struct qbd_replica *replica)
{
	return !closed_since(replica) && goes_on_since(replica) == replica->hold.asked_since;
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
	/* It was asked for others than those who are there now: it is asked anew. */
	if (hold->state == QBD_HOLD_ASKING && !as_asked(replica))
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
		shut_out(replica, le32_to_cpu(reply->member));
	else if (status == QBD_REPLY_REFUSED)
		outdated(replica);
	else
		ask_again_later(replica);
}

/* ---- what follows from the log, the disk and the requests ---------------- */

static bool writes_left(const struct qbd_replica *replica)
{
	return qbd_io_writes(replica);
}

/* A claim that is committed, or that the mode is shared, may decide without asking. */
static void look_at_log(struct qbd_replica *replica)
{
	const struct qbd_claim *claim = qbd_claims_committed(replica);
	struct qbd_hold *hold = &replica->hold;
	bool mine = exclusive_mine(replica, claim) && claim->epoch > hold->released;

	/*
	 * The leader says the same to who asks; who needs not ask hears it from the log. (Who
	 * has only read may go on with that: he is told when he asks.) This log may be behind
	 * what it was opened under.
	 */
	if (hold->goes_on && claim->epoch > hold->epoch && !closed_since(replica) &&
	    qbd_claim_shuts_out(claim, hold->epoch, replica->member_id)) {
		fence(replica, exclusive_mine(replica, claim) ? 0 : claim->holder);
		return;
	}
	switch (hold->state) {
	case QBD_HOLD_NONE:
		/*
		 * It was given after whoever wanted it had gone. Nobody is let in by it who
		 * has come since: it was not asked for on his behalf.
		 */
		if (!mine || writes_left(replica))
			break;
		hold->state = QBD_HOLD_RELEASING;
		hold->epoch = claim->epoch;
		hold->asked = false;
		hold->ask_after = 0;
		break;
	case QBD_HOLD_ASKING:
		/* Given to this host by itself, for those who are there; else the leader says. */
		if (mine && claim->epoch == hold->granted && as_asked(replica))
			have(replica, claim->epoch, false);
		else if (claim->mode == QBD_CLAIM_SHARED && hold->goes_on &&
			 claim->epoch > hold->newer_than)
			have(replica, claim->epoch, true);
		break;
	case QBD_HOLD_HELD:
		if (claim->epoch <= hold->epoch)
			break;
		if (claim->mode == QBD_CLAIM_SHARED) {
			have(replica, claim->epoch, true);
		} else if (mine) {
			have(replica, claim->epoch, false);
		} else {
			hold->state = QBD_HOLD_NONE;
			qbd_replica_later(replica, replica->now);
		}
		break;
	case QBD_HOLD_RELEASING:
		if (claim->epoch > hold->epoch)
			released(replica);
		break;
	default:
		break;
	}
}

static void look_at_disk(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;

	if (closed_since(replica) && (hold->state == QBD_HOLD_NONE ||
				      hold->state == QBD_HOLD_ASKING || hold->pinned)) {
		hold->closings = qbd_disk_closings(replica->disk);
		if (hold->state != QBD_HOLD_HELD)
			hold->goes_on = false;
		hold->asked = false;
		hold->granted = 0;
		forget_confirmation(hold);
	}
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
		forget_confirmation(hold);
		break;
	case QBD_HOLD_ASKING:
		if (!needed(replica)) {
			hold->state = QBD_HOLD_NONE;
			hold->force = false;
			hold->refused_since = 0;
			qbd_replica_later(replica, replica->now);
		}
		break;
	case QBD_HOLD_HELD:
		/* Who has opened it since asks anew: this may be over, and not known to be. */
		if (!closed_since(replica) && (needed(replica) || writes_left(replica)))
			break;
		hold->state = hold->shared ? QBD_HOLD_NONE : QBD_HOLD_RELEASING;
		hold->goes_on = false;
		hold->asked = false;
		hold->ask_after = 0;
		qbd_replica_later(replica, replica->now);
		break;
	case QBD_HOLD_FENCED:
		/* Who opens it again and again must not keep himself out. */
		if (closed_since(replica) || !replica->disk || !qbd_disk_opened(replica->disk)) {
			hold->state = QBD_HOLD_NONE;
			qbd_replica_later(replica, replica->now);
		}
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
	/* Of what all may write, or another host has, there is nothing to be given back. */
	if (hold->state == QBD_HOLD_NONE)
		qbd_claim_command_done(replica, QBD_CLAIM_RELEASE, "released");
	if (hold->state == QBD_HOLD_ASKING || hold->state == QBD_HOLD_RELEASING)
		ask(replica);
	if (hold->state != QBD_HOLD_HELD && hold->state != QBD_HOLD_FENCED)
		return;
	/* In this order: what was closed before somebody asks is seen to be. */
	if (replica->disk && qbd_disk_claim_asked(replica->disk) && !closed_since(replica))
		answer_opener(replica, hold->state == QBD_HOLD_HELD ? 0 : -EBUSY);
	if (hold->state == QBD_HOLD_FENCED)
		return;
	/* What came when all had closed it, and an administrator holds it. */
	if (!closed_since(replica) && !list_empty(&replica->unclaimed))
		stamp_unclaimed(replica);
	qbd_claim_command_held(replica, needed(replica));
}
