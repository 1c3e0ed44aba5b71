// SPDX-License-Identifier: GPL-2.0
/*
 * The work of a replica: one pass after another over everything that came in.
 *
 * See internal.h for who may touch what, and life.c for coming up and going down.
 */
#include <linux/blkdev.h>
#include <linux/sched/mm.h>
#include <linux/timekeeping.h>

#include "internal.h"

/* Any context. After the work was stopped for good nothing is queued. */
void qbd_replica_kick(void *context)
{
	struct qbd_replica *replica = context;

	/* What start() did comes before the work: pairs with the release there. */
	if (likely(smp_load_acquire(&replica->phase) != QBD_PHASE_STARTING))
		queue_work(replica->queue, &replica->work);
}

/* Any context: the pool has pages again for who was refused some. */
void qbd_replica_pages_back(void *context)
{
	struct qbd_replica *replica = context;

	atomic_set(&replica->pages_back, 1);
	qbd_replica_kick(replica);
}

enum hrtimer_restart qbd_replica_timer(struct hrtimer *timer)
{
	qbd_replica_kick(container_of(timer, struct qbd_replica, timer));
	return HRTIMER_NORESTART;
}

/* Have a pass at @when (boottime) at the latest. */
void qbd_replica_later(struct qbd_replica *replica, u64 when)
{
	if (!replica->later_at || when < replica->later_at)
		replica->later_at = when;
}

static void arm_timer(struct qbd_replica *replica)
{
	u64 when = replica->phase < QBD_PHASE_STOPPING ?
		qbd_core_deadline(replica->core) : QBD_NEVER;

	if (replica->later_at)
		when = min(when, replica->later_at);
	if (replica->moving)
		when = min(when, replica->moving_deadline);
	/*
	 * One that fires too early costs a pass that finds nothing. Each heartbeat puts
	 * the end of a follower's patience off, and to set the timer anew costs more.
	 */
	if (when == QBD_NEVER || (replica->timer_armed && replica->timer_armed <= when))
		return;
	replica->timer_armed = when;
	hrtimer_start(&replica->timer, ns_to_ktime(when), HRTIMER_MODE_ABS_SOFT);
}

/* ---- commands ----------------------------------------------------------- */

/**
 * qbd_command_done() - a command has its result
 * @command: not touched afterwards
 * @error: 0 or -errno
 * @format: one line, for whoever gave the command
 */
void qbd_command_done(struct qbd_command *command, int error, const char *format, ...)
{
	va_list arguments;

	command->error = error;
	if (command->text && command->text_size) {
		va_start(arguments, format);
		vsnprintf(command->text, command->text_size, format, arguments);
		va_end(arguments);
	}
	complete(&command->done);
}

/**
 * qbd_command_run() - have something done in replica context, and wait for it
 * @replica: replica
 * @command: run, argument, text are set
 *
 * Context: process; sleeps.
 * Return: the command's error; -ENODEV when the replica is going down already.
 */
int qbd_command_run(struct qbd_replica *replica, struct qbd_command *command)
{
	bool accepted;

	init_completion(&command->done);
	spin_lock(&replica->command_lock);
	accepted = replica->accepts_commands;
	if (accepted) {
		list_add_tail(&command->list, &replica->commands);
		/* Under the lock: later going down may have ended it, and the queue with it. */
		qbd_replica_kick(replica);
	}
	spin_unlock(&replica->command_lock);
	if (!accepted) {
		if (command->text)
			strscpy(command->text, "the device is going down",
				command->text_size);
		return -ENODEV;
	}
	wait_for_completion(&command->done);
	return command->error;
}

static void run_commands(struct qbd_replica *replica)
{
	struct qbd_command *command;

	for (;;) {
		spin_lock(&replica->command_lock);
		command = list_first_entry_or_null(&replica->commands,
						   struct qbd_command, list);
		if (command)
			list_del(&command->list);
		spin_unlock(&replica->command_lock);
		if (!command)
			return;
		command->run(replica, command);
		if (replica->phase < QBD_PHASE_STOPPING)
			qbd_replica_settle(replica);
	}
}

/* ---- requests ----------------------------------------------------------- */

void qbd_replica_take_requests(struct qbd_replica *replica)
{
	struct llist_node *node, *next;

	if (!replica->disk)
		return;
	llist_for_each_safe(node, next, qbd_disk_take(replica->disk)) {
		struct qbd_request *request =
			llist_entry(node, struct qbd_request, queued);
		struct qbd_io *io;

		if (replica->phase >= QBD_PHASE_FAILING || replica->removed ||
		    qbd_hold_fails(replica)) {
			qbd_request_complete(request, BLK_STS_IOERR);
			continue;
		}
		io = qbd_io_from_request(replica, request);
		if (!io)
			continue;
		qbd_io_hold(io);
	}
}

static void begin_reads(struct qbd_replica *replica)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, &replica->reads, list) {
		/* This disk failed it once; give another leader the time to come. */
		if (io->attempts && replica->now < replica->read_retry_at)
			continue;
		/*
		 * Others' reads wait for memory that their slow answers may hold; this
		 * host's have their own.
		 */
		if (!qbd_read_begin(io) && io->local)
			break;
	}
}

static void forward_list(struct list_head *list, u32 leader)
{
	struct qbd_io *io, *next;

	list_for_each_entry_safe(io, next, list, list)
		if (io->request && !qbd_forward_begin(io, leader))
			break;
}

static void dispatch(struct qbd_replica *replica)
{
	u32 leader;

	if (replica->told_role == QBD_ROLE_LEADER) {
		begin_reads(replica);
		qbd_write_propose(replica);
		return;
	}
	leader = qbd_forward_leader(replica);
	if (!leader || leader == replica->member_id)
		return;
	if (replica->now < replica->forward_after) {
		qbd_replica_later(replica, replica->forward_after);
		return;
	}
	forward_list(&replica->reads, leader);
	forward_list(&replica->writes, leader);
	qbd_net_push(replica->network, leader);
}

/* ---- the pass ----------------------------------------------------------- */

static void pull(struct qbd_replica *replica)
{
	u32 slots = replica->pull_slots | replica->extents_slots;
	struct qbd_replica_peer *peer;
	u32 slot;

	qbd_catch_up_check(replica);
	if (replica->told_role != QBD_ROLE_LEADER)
		return;
	for (slot = 0; slots; slot++, slots >>= 1) {
		if (!(slots & 1))
			continue;
		peer = qbd_replica_peer(replica,
					qbd_core_slot_peer(replica->core, slot));
		if (!peer)
			continue;
		peer->pull = true;
		qbd_append_send(replica, peer);
	}
	qbd_replica_settle(replica);
}

static void recover_from_read_errors(struct qbd_replica *replica)
{
	if (!replica->read_failed)
		return;
	if (replica->now < replica->step_down_until) {
		qbd_replica_later(replica, replica->step_down_until);
		return;
	}
	replica->read_failed = false;
	replica->read_problem[0] = 0;
	qbd_replica_update_fitness(replica);
}

static void pass_running(struct qbd_replica *replica)
{
	qbd_net_poll(replica->network);
	qbd_store_run(replica->store);
	qbd_replica_take_requests(replica);
	qbd_core_reads_since(replica->core, replica->now,
			     qbd_store_reads_since(replica->store));
	if (replica->now >= qbd_core_deadline(replica->core)) {
		qbd_core_tick(replica->core, replica->now);
		qbd_replica_settle(replica);
	}
	recover_from_read_errors(replica);
	if (replica->noop_index)
		qbd_write_noop(replica);
	if (replica->held_count)
		qbd_append_go_on(replica);
	qbd_replica_settle(replica);
	qbd_claim_command_check(replica);
	qbd_hold_check(replica);
	qbd_replica_settle(replica);
	/*
	 * Always, not only when something seems to have changed: each list is
	 * empty when there is nothing to be done, and what keeps a request held
	 * (memory, room, a queue) says so by a kick.
	 */
	dispatch(replica);
	qbd_replica_settle(replica);
	/*
	 * Replies and extents before records: who waits for them frees memory at
	 * the other end, and records would fill the queue again and again.
	 */
	qbd_io_send_replies(replica);
	qbd_fill_go_on(replica);
	qbd_sums_go_on(replica);
	pull(replica);
	qbd_fill_proceed(replica);
	qbd_replica_check_quorum(replica);
	qbd_leader_move_check(replica, false);
	qbd_reach_check(replica);
	qbd_join_check(replica);
	qbd_disks_check(replica);
	qbd_change_written(replica);
	qbd_change_check(replica);
	qbd_claim_follow(replica);
	qbd_resize_check(replica);
	qbd_verify_proceed(replica);
	qbd_replica_settle(replica);
	if (atomic_xchg(&replica->pages_back, 0))
		qbd_net_pages_available(replica->network);
}

static void pass_stopping(struct qbd_replica *replica)
{
	qbd_store_run(replica->store);
	qbd_replica_take_requests(replica);
	if (qbd_store_stopped(replica->store)) {
		WRITE_ONCE(replica->phase, QBD_PHASE_STOPPED);
		wake_up_all(&replica->stopped);
	}
}

void qbd_replica_work(struct work_struct *work)
{
	struct qbd_replica *replica = container_of(work, struct qbd_replica, work);
	unsigned int noio = memalloc_noio_save();
	struct blk_plug plug;

	/*
	 * In this order, so that no message of this pass is newer than @now: what
	 * is promised to a leader for a time must begin after it asked.
	 */
	if (replica->phase < QBD_PHASE_STOPPING)
		qbd_net_mark(replica->network);
	replica->passed_at = replica->now;
	replica->now = ktime_get_boottime_ns();
	if (replica->later_at && replica->now >= replica->later_at)
		replica->later_at = 0;
	if (replica->timer_armed <= replica->now)
		replica->timer_armed = 0;
	blk_start_plug(&plug);
	run_commands(replica);
	if (replica->phase < QBD_PHASE_STOPPING)
		pass_running(replica);
	else if (replica->phase == QBD_PHASE_STOPPING)
		pass_stopping(replica);
	blk_finish_plug(&plug);
	arm_timer(replica);
	memalloc_noio_restore(noio);
}
