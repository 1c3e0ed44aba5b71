// SPDX-License-Identifier: GPL-2.0
/*
 * What an administrator does with claims: take one for this host without opening the
 * device, give it back, change the mode. One such command of a host at a time; each ends
 * with what came of it, after QBD_MOVE_WAIT_MS at the latest.
 */
#include "internal.h"

static void finish(struct qbd_replica *replica, int error, const char *text)
{
	struct qbd_command *command = replica->hold.command;

	replica->hold.command = NULL;
	if (command)
		qbd_command_done(command, error, "%s", text);
}

static const struct qbd_claim_order *order_of(const struct qbd_command *command)
{
	return command->argument;
}

/*
 * The claim of this host was given, or given back: that is what was asked for, or not. Who asks for
 * one while the one before is given back waits for his own.
 */
void qbd_claim_command_done(struct qbd_replica *replica, u32 action, const char *text)
{
	const struct qbd_command *command = replica->hold.command;

	if (command && order_of(command)->action == action)
		finish(replica, 0, text);
}

/* Neither comes about. */
void qbd_claim_command_fails(struct qbd_replica *replica, int error, const char *text)
{
	const struct qbd_command *command = replica->hold.command;

	if (command && order_of(command)->action != QBD_CLAIM_MODE)
		finish(replica, error, text);
}

static const char in_use_text[] =
	"the device is in use on this host: close it, and the claim is given back";

/* It is held: whoever came since somebody wanted to give it back keeps it. */
void qbd_claim_command_held(struct qbd_replica *replica, bool needed)
{
	const struct qbd_command *command;

	qbd_claim_command_done(replica, QBD_CLAIM_TAKE, "claimed");
	command = replica->hold.command;
	if (needed && command && order_of(command)->action == QBD_CLAIM_RELEASE)
		finish(replica, -EBUSY, in_use_text);
}

static const char removed_text[] = "this member was removed from the device: take it down";

/* Nobody answers it any more. */
void qbd_claim_command_removed(struct qbd_replica *replica)
{
	finish(replica, -ENXIO, removed_text);
}

/* The device goes down. */
void qbd_claim_command_abort(struct qbd_replica *replica)
{
	finish(replica, -ENODEV, "the device is going down");
}

/* Return: 0 if it has begun; else the error, with a text. */
static int begin_take(struct qbd_replica *replica, const struct qbd_claim_order *order,
		      const char **text)
{
	const struct qbd_claim *claim = qbd_claims_committed(replica);
	struct qbd_hold *hold = &replica->hold;

	*text = "this member is a witness, and there is no device on its host; do it on another";
	if (!qbd_replica_has_device(replica))
		return -EOPNOTSUPP;
	*text = "the mode is shared: every host may write, and nobody claims the device";
	if (claim->mode == QBD_CLAIM_SHARED)
		return -EOPNOTSUPP;
	*text = "another host has taken the device over: close it here first";
	if (hold->state == QBD_HOLD_FENCED)
		return -EBUSY;
	*text = "it is mounted (or read) on this host: unmount it here first, then take it over";
	if (order->force && qbd_hold_read(replica))
		return -EBUSY;
	hold->pinned = true;
	/*
	 * Who has it open already goes on since some claim, and is shut out if another host
	 * has had one since: that is for the leader to say, and not to be forced.
	 */
	hold->force = order->force && !hold->goes_on;
	hold->force_epoch = claim->epoch;
	return 0;
}

static int begin_release(struct qbd_replica *replica, const char **text)
{
	struct qbd_hold *hold = &replica->hold;

	*text = "this host does not have it claimed";
	if (hold->state != QBD_HOLD_HELD && hold->state != QBD_HOLD_RELEASING)
		return -ENOENT;
	*text = in_use_text;
	if (replica->disk && qbd_disk_claim_needed(replica->disk))
		return -EBUSY;
	hold->pinned = false;
	return 0;
}

/**
 * qbd_claim_command() - begin what the administrator wants
 * @replica: replica
 * @command: argument is a struct qbd_claim_order
 */
void qbd_claim_command(struct qbd_replica *replica, struct qbd_command *command)
{
	const struct qbd_claim_order *order = order_of(command);
	struct qbd_hold *hold = &replica->hold;
	const char *text = "";
	int error = 0;

	if (replica->removed) {
		qbd_command_done(command, -ENXIO, "%s", removed_text);
		return;
	}
	if (hold->command) {
		qbd_command_done(command, -EBUSY,
				 "somebody else on this host changes the claim just now; try again");
		return;
	}
	if (order->action == QBD_CLAIM_TAKE)
		error = begin_take(replica, order, &text);
	else if (order->action == QBD_CLAIM_RELEASE)
		error = begin_release(replica, &text);
	if (error) {
		qbd_command_done(command, error, "%s", text);
		return;
	}
	hold->command = command;
	hold->mode_asked = false;
	hold->mode_after = 0;
	hold->command_until = replica->now + QBD_MOVE_WAIT_MS * NSEC_PER_MSEC;
	qbd_replica_later(replica, hold->command_until);
}

static void mode_later(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;

	hold->mode_asked = false;
	hold->mode_after = replica->now + NSEC_PER_MSEC *
		max(replica->settings.heartbeat_ms / 4, 1u);
	qbd_replica_later(replica, hold->mode_after);
}

static void change_mode(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;
	const struct qbd_claim_wish wish = {
		.action = QBD_CLAIM_MODE,
		.mode = order_of(hold->command)->mode,
		.asker = replica->member_id,
		.session = replica->session,
	};
	struct qbd_claim claim;
	u64 wait_ms;

	if (replica->now < hold->mode_after) {
		qbd_replica_later(replica, hold->mode_after);
		return;
	}
	if (replica->told_role == QBD_ROLE_LEADER) {
		if (qbd_claim_wanted(replica, &wish, &claim, &wait_ms) == QBD_VERDICT_HAVE)
			finish(replica, 0, "done");
		else
			mode_later(replica);
		return;
	}
	if (!qbd_replica_serving(replica) || replica->told_leader == replica->member_id ||
	    (hold->mode_asked && hold->mode_leader == replica->told_leader &&
	     hold->mode_term == replica->told_term))
		return;
	if (qbd_hold_send(replica, &wish)) {
		mode_later(replica);
		return;
	}
	hold->mode_asked = true;
	hold->mode_sequence = hold->last_sequence;
	hold->mode_leader = replica->told_leader;
	hold->mode_term = replica->told_term;
}

/* The leader's answer. Return: false if it is one to something else. */
bool qbd_claim_mode_replied(struct qbd_replica *replica, u32 peer,
			    const struct qbd_frame_reply *reply)
{
	struct qbd_hold *hold = &replica->hold;

	if (!hold->mode_asked || peer != hold->mode_leader ||
	    le64_to_cpu(reply->sequence) != hold->mode_sequence)
		return false;
	hold->mode_asked = false;
	if (!hold->command || order_of(hold->command)->action != QBD_CLAIM_MODE)
		return true;
	if (le32_to_cpu(reply->status) == QBD_REPLY_OK)
		finish(replica, 0, "done");
	else
		mode_later(replica);
	return true;
}

/**
 * qbd_claim_command_check() - go on with the administrator's command, if there is one
 * @replica: replica; each pass
 */
void qbd_claim_command_check(struct qbd_replica *replica)
{
	struct qbd_hold *hold = &replica->hold;

	if (!hold->command)
		return;
	if (replica->now >= hold->command_until) {
		/* It is not to come about when nobody reckons with it any more. */
		if (order_of(hold->command)->action == QBD_CLAIM_TAKE &&
		    hold->state != QBD_HOLD_HELD) {
			hold->pinned = false;
			hold->force = false;
		}
		finish(replica, -ETIMEDOUT, qbd_replica_serving(replica) ?
		       "the leader does not answer; look at 'qbdadm claim show', and try again" :
		       "there is no leader now; a majority of the members must be up and reach each other");
		return;
	}
	qbd_replica_later(replica, hold->command_until);
	if (order_of(hold->command)->action == QBD_CLAIM_MODE)
		change_mode(replica);
}
