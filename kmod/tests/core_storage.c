// SPDX-License-Identifier: GPL-2.0
/*
 * Disks that fail, hang or hold less than they should, and what a member is
 * allowed then.
 */
#include "core_solo.h"

static struct solo *const solo = &the_solo;
static struct lab *const lab = &the_lab;

static void set_fitness(u32 fitness)
{
	qbd_core_set_fitness(&solo->core, solo->now, fitness);
	solo_drain();
}

static void a_failed_member_vouches_for_nothing(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message;
	const u64 term = 5;

	qbd_core_storage_failed(core, solo->now);
	solo_drain();
	message = solo_message(QBD_MESSAGE_VOTE_REQUEST, 3, 6);
	solo_send(&message);
	message = solo_message(QBD_MESSAGE_PREVOTE_REQUEST, 3, 7);
	solo_send(&message);
	solo_hard_durable();
	QBD_EQUAL(test, solo->count, 0);
	QBD_EQUAL(test, core->vote, 0);
	/* It follows, says so, and takes nothing. */
	solo_heartbeat(2, 6, 4, 0);
	QBD_EQUAL(test, core->leader, 2);
	QBD_EQUAL(test, solo->count, 1);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_HEARTBEAT_REPLY, 2)->flags &
		       QBD_MESSAGE_FAILED);
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_HEARTBEAT_REPLY, 2)->index, 0);
	QBD_EQUAL(test, solo_append(2, 6, 0, 0, 0, &term, 1),
		  QBD_APPEND_IGNORED);
	QBD_EQUAL(test, core->trail.last, 0);
	/* Silence makes it forget the leader, not campaign. */
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->leader, 0);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, qbd_core_deadline(core), QBD_NEVER);
}

/* It went on following the leader it had, and its users waited for that for ever. */
static void a_stopped_member_follows_who_leads(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message;
	const u64 term = 9;

	solo_heartbeat(2, 5, 1, 0);
	lab_stop_expected = true;
	qbd_core_require(core, false);
	solo_drain();
	QBD_TRUE(test, solo->flags & QBD_OUT_STOPPED);
	QBD_EQUAL(test, core->leader, 2);
	/* Silence makes it forget the leader, not campaign. */
	solo_tick_after(qbd_core_deadline(core) - solo->now);
	QBD_EQUAL(test, core->leader, 0);
	QBD_EQUAL(test, qbd_core_deadline(core), QBD_NEVER);
	/* The next one it follows, into its term, vouching for nothing. */
	solo_forget();
	message = solo_message(QBD_MESSAGE_VOTE_REQUEST, 3, 9);
	solo_send(&message);
	QBD_EQUAL(test, core->vote, 0);
	QBD_EQUAL(test, solo->count, 0);
	solo_heartbeat(3, 9, 4, 7);
	QBD_EQUAL(test, core->leader, 3);
	QBD_EQUAL(test, core->term, 9);
	QBD_TRUE(test, !(solo->output.flags & QBD_OUT_PERSIST));
	QBD_EQUAL(test, solo->count, 1);
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_HEARTBEAT_REPLY, 3)->flags,
		  QBD_MESSAGE_FAILED);
	QBD_EQUAL(test, solo_append(3, 9, 0, 0, 0, &term, 1),
		  QBD_APPEND_IGNORED);
	QBD_EQUAL(test, core->trail.last, 0);
	QBD_EQUAL(test, lab_stops, 1);
}

static void a_leader_whose_disk_fails_hands_over(struct qbd_test *test)
{
	u32 leader;
	u64 began;

	lab_setup(lab, 3, 3, 25);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	lab_run(lab, 200 * LAB_MS);
	for (u32 i = 0; i < 10; i++)
		lab_propose(lab, leader);
	lab_run(lab, 600 * LAB_US);
	began = lab->now;
	qbd_core_storage_failed(lab_core(lab, leader),
				lab_node_now(lab, &lab->nodes[leader]));
	lab_drain(lab, &lab->nodes[leader]);
	lab_run(lab, 10 * LAB_MS);
	QBD_TRUE(test, lab_leader(lab) && lab_leader(lab) != leader);
	QBD_TRUE(test, lab_run_to_commit(lab, lab_leader(lab),
					 lab_propose(lab, lab_leader(lab))));
	QBD_TRUE(test, lab->now - began < 20 * LAB_MS);
	/* The failed one follows and can forward. */
	lab_run(lab, 200 * LAB_MS);
	QBD_EQUAL(test, lab_core(lab, leader)->leader, lab_leader(lab));
	QBD_TRUE(test, qbd_peer_find(lab_core(lab, lab_leader(lab)),
				     leader)->flags & QBD_MESSAGE_FAILED);
	QBD_TRUE(test, !lab->error);
}

/* Heartbeats of a leader with a hung disk kept everyone loyal. */
static void accident_28_a_leader_with_a_hung_disk_is_replaced(struct qbd_test *test)
{
	u32 leader;
	u64 index;

	lab_setup(lab, 3, 3, 28);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	lab_run(lab, 200 * LAB_MS);
	lab->nodes[leader].stalled_until = lab->now + 20 * LAB_S;
	index = lab_propose(lab, leader);
	/* The others commit meanwhile: it is not in the way. */
	QBD_TRUE(test, lab_run_to_commit(lab, leader, index));
	QBD_TRUE(test, lab->nodes[leader].written < index);
	lab_run(lab, 200 * LAB_MS);
	QBD_EQUAL(test, lab_leader(lab), leader);
	lab_run(lab, 200 * LAB_MS);
	QBD_TRUE(test, lab_leader(lab) && lab_leader(lab) != leader);
	/* It does not come back while the disk hangs. */
	lab_run(lab, 5 * LAB_S);
	QBD_TRUE(test, lab_leader(lab) && lab_leader(lab) != leader);
	QBD_TRUE(test, !lab->error);
}

/* Nothing is written; what is read waits for the leader's disk. */
static void accident_28_a_leader_that_does_not_read_is_replaced(struct qbd_test *test)
{
	struct lab_node *node;
	struct qbd_core *core;
	u32 leader;

	lab_setup(lab, 3, 3, 28);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	node = &lab->nodes[leader];
	core = &node->core;
	/* A read ends now and then, and others are under way. */
	for (u32 i = 0; i < 10; i++) {
		qbd_core_reads_since(core, lab_node_now(lab, node), lab_node_now(lab, node));
		lab_run(lab, 200 * LAB_MS);
	}
	QBD_EQUAL(test, lab_leader(lab), leader);
	/* None ends any more. */
	qbd_core_reads_since(core, lab_node_now(lab, node), lab_node_now(lab, node));
	lab_run(lab, 200 * LAB_MS);
	QBD_EQUAL(test, lab_leader(lab), leader);
	lab_run(lab, 200 * LAB_MS);
	QBD_TRUE(test, lab_leader(lab) && lab_leader(lab) != leader);
	/* It does not come back while the disk hangs, if another one can. */
	lab_run(lab, 5 * LAB_S);
	QBD_TRUE(test, lab_leader(lab) && lab_leader(lab) != leader);
	QBD_TRUE(test, !qbd_election_fit(core));
	qbd_core_reads_since(core, lab_node_now(lab, node), 0);
	QBD_TRUE(test, qbd_election_fit(core));
	QBD_TRUE(test, !lab->error);
}

/*
 * A disk that takes its time for each read: what is asked of it now, and what was when its
 * member led before; 0: nothing.
 */
struct slow_disk {
	u64 moved;
	u64 ends;
	u64 former_ends;
};

static struct slow_disk slow_disks[LAB_NODES + 1];

/* Return: true if what is asked of it now was read. */
static bool slow_disk_run(struct lab_node *node)
{
	struct slow_disk *disk = &slow_disks[node->id];
	u64 now = lab_node_now(lab, node);
	bool ended = disk->ends && now >= disk->ends;

	if (ended || (disk->former_ends && now >= disk->former_ends))
		disk->moved = now;
	if (ended)
		disk->ends = 0;
	if (now >= disk->former_ends)
		disk->former_ends = 0;
	if (node->up)
		qbd_core_reads_since(&node->core, now, disk->ends || disk->former_ends ?
				     disk->moved : 0);
	return ended;
}

static void slow_disk_read(struct lab_node *node, u64 takes)
{
	struct slow_disk *disk = &slow_disks[node->id];
	u64 now = lab_node_now(lab, node);

	if (!disk->ends && !disk->former_ends)
		disk->moved = now;
	if (disk->ends)
		disk->former_ends = disk->ends;
	disk->ends = now + takes;
}

/*
 * Whoever leads is asked for one block, anew when another one does: that is what becomes of
 * what one who does not lead any more still reads. Return: how often leadership moved until
 * it was answered.
 */
static u32 read_from_slow_disks(struct qbd_test *test, u64 takes)
{
	u32 asked = 0, moved = 0;
	bool answered = false;

	memset(slow_disks, 0, sizeof(slow_disks));
	for (u32 i = 0; i < 12000 && !answered; i++) {
		u32 leader = lab_leader(lab);

		for (u32 id = 1; id <= lab->count; id++)
			answered |= slow_disk_run(&lab->nodes[id]) && id == asked;
		if (leader && leader != asked) {
			moved += !!asked;
			asked = leader;
			slow_disk_read(&lab->nodes[leader], takes);
		}
		lab_run(lab, 5 * LAB_MS);
	}
	QBD_TRUE(test, answered);
	QBD_TRUE(test, !lab->error);
	return moved;
}

/*
 * Each read takes longer than a leader may be silent, at every member that is there. To ask
 * one after the other, and none for long enough, is no answer.
 */
static void accident_28_all_disks_are_slow(struct qbd_test *test)
{
	static const u64 times[4] = { 400 * LAB_MS, LAB_S, 3 * LAB_S, 10 * LAB_S };

	for (u32 i = 0; i < 4; i++) {
		lab_setup(lab, 3, 3, 28 + i);
		lab_boot_all(lab);
		lab_run_to_leader(lab, 0);
		if (i % 2)
			lab_crash(lab, lab_leader(lab) % 3 + 1);
		lab_run(lab, LAB_S);
		for (u32 again = 0; again < 10; again++)
			QBD_TRUE(test, read_from_slow_disks(test, times[i]) <=
				       (again ? 2u : 16u));
	}
}

/* How many writes, one at a time, by whoever leads, are done in so long? */
static u64 written_in(u64 duration)
{
	u64 end = lab->now + duration, before = lab->commit, done = 0;
	u32 leader;

	while (lab->now < end && !lab->error) {
		leader = lab_leader(lab);
		if (leader &&
		    lab_core(lab, leader)->trail.last == lab_core(lab, leader)->commit) {
			done += lab->commit > before;
			before = lab->commit;
			lab_propose(lab, leader);
		}
		lab_run(lab, 5 * LAB_MS);
	}
	return done;
}

/*
 * Each write takes longer than a leader's disk may hang, wherever it is. To let the next one
 * lead, and none for as long as a write takes, is no answer.
 */
static void accident_28_all_disks_write_slowly(struct qbd_test *test)
{
	static const u64 times[] = { 250, 310, 400, 700, 2000, 5000, 0 };

	for (u32 i = 0; times[i]; i++) {
		for (u32 uneven = 0; uneven < 2; uneven++) {
			u64 takes = times[i] * LAB_MS;

			/* Votes of who takes longer are not waited for. */
			if (uneven && takes > LAB_S)
				continue;
			lab_setup(lab, 3, 3, 28 + i);
			lab_boot_all(lab);
			lab_run_to_leader(lab, 0);
			lab_run(lab, LAB_S);
			lab->weather.disk = uneven ? takes / 2 : takes;
			lab->weather.disk_spread = uneven ? takes : LAB_MS;
			/* A quarter of what would be if nothing else had to be waited for. */
			QBD_TRUE(test, written_in(60 * takes + 60 * LAB_S) >=
				       (60 * takes + 60 * LAB_S) / takes / 4);
			QBD_TRUE(test, !lab->error);
		}
	}
}

/* Nobody leads, and nobody else can: who waits for reads leads rather than nobody. */
static void accident_28_reads_hang_and_nobody_leads(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);

	qbd_core_reads_since(core, solo->now, solo->now);
	solo_tick_after(10 * LAB_S);
	QBD_TRUE(test, qbd_core_deadline(core) != QBD_NEVER);
	QBD_TRUE(test, !qbd_election_fit(core));
	lab_setup(lab, 3, 3, 28);
	lab_boot_all(lab);
	lab_crash(lab, lab_run_to_leader(lab, 0));
	for (u32 id = 1; id <= 3; id++)
		qbd_core_reads_since(lab_core(lab, id), 1, 1);
	lab_run(lab, 20 * LAB_S);
	QBD_TRUE(test, lab_leader(lab));
	QBD_TRUE(test, !lab->error);
}

static void accident_28_a_slow_disk_that_moves_is_no_reason(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	u64 index;

	solo_lead(1);
	for (u32 i = 0; i < 40; i++) {
		qbd_core_propose(core, solo->now, QBD_ENTRY_DATA, NULL, &index);
		solo_tick_after(core->options.heartbeat);
		solo_round_ack(2, core->round, 0);
		solo_round_ack(3, core->round, 0);
		/* Every 250 ms one of five entries. */
		if (i % 5 == 4)
			solo_log_durable(i / 5 + 1);
	}
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	QBD_TRUE(test, core->durable < core->trail.last);
}

static void accident_28_nobody_to_take_over(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(1, 5, 1, NULL, 0);

	solo_hard_durable();
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_tick_after(10 * LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_log_durable(1);
	QBD_EQUAL(test, core->commit, 1);
}

/* Return: who leads; the next one has all, and the third one is being filled from here on. */
static u32 one_of_three_is_filled(struct qbd_test *test, u32 seed)
{
	u32 leader, filled;

	lab_setup(lab, 3, 3, seed);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	filled = 6 - leader - (leader % 3 + 1);
	lab_run(lab, 200 * LAB_MS);
	lab_crash(lab, filled);
	for (u32 i = 0; i < 100; i++)
		lab_propose(lab, leader);
	lab_run(lab, LAB_S);
	lab_compact(lab, leader, 90);
	lab_boot(lab, filled);
	while (!lab->nodes[filled].disk.filling)
		QBD_TRUE(test, lab_step(lab));
	return leader;
}

/*
 * The leader's disk hangs. All that it hears is a member that is being filled, which cannot
 * take over, does not count, and elects nobody while it hears a leader. The third one had
 * all, reached that member and not the leader, and nothing went on.
 */
static void accident_28_a_leader_is_in_the_way(struct qbd_test *test)
{
	for (u32 run = 0; run < 20; run++) {
		u32 leader, whole, filled;

		leader = one_of_three_is_filled(test, 2800 + run);
		whole = leader % 3 + 1;
		filled = 6 - leader - whole;
		QBD_TRUE(test, !qbd_core_step_down(lab_core(lab, leader),
						   lab_node_now(lab, &lab->nodes[leader])));
		/* No extents, and nothing of what it writes to the others. */
		lab->nodes[leader].stalled_until = lab->now + 20 * LAB_S;
		lab->cut_bulk[leader][filled] = true;
		lab_cut(lab, leader, whole, true);
		lab_propose(lab, leader);
		/* There may be nobody else. */
		lab_run(lab, 3 * LAB_S);
		QBD_EQUAL(test, lab_leader(lab), leader);
		/* Somebody is. */
		QBD_TRUE(test, qbd_core_step_down(lab_core(lab, leader),
						  lab_node_now(lab, &lab->nodes[leader])));
		lab_drain(lab, &lab->nodes[leader]);
		lab_run(lab, 2 * LAB_S);
		QBD_EQUAL(test, lab_leader(lab), whole);
		/* That one fills it. */
		QBD_TRUE(test, lab_run_to_commit(lab, whole, lab_propose(lab, whole)));
		QBD_TRUE(test, !lab->nodes[filled].disk.filling);
		lab_run(lab, 5 * LAB_S);
		QBD_EQUAL(test, lab_leader(lab), whole);
		QBD_TRUE(test, !lab->error);
	}
}

/* Member 2 has answered, as one that is being filled; 3 is silent. */
static void answered_by_who_is_filled(u64 after)
{
	struct qbd_core_message reply;

	solo->now += after;
	reply = solo_message(QBD_MESSAGE_HEARTBEAT_REPLY, 2, solo->core.term);
	reply.round = solo->core.round;
	reply.timeout = solo->core.options.election_timeout;
	reply.flags = QBD_MESSAGE_FILLING;
	solo_send(&reply);
}

static bool leads_in_vain(void)
{
	return qbd_core_stuck(&solo->core, solo->now);
}

/* Only who gives up nothing by it stands aside, and leads again if nobody else does. */
static void who_leads_in_vain(struct qbd_test *test)
{
	const u32 ordinary = QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS;
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	u64 stall = core->options.disk_stall;
	u64 index;

	QBD_TRUE(test, !leads_in_vain());
	solo_lead(1);
	answered_by_who_is_filled(0);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	QBD_TRUE(test, !leads_in_vain());
	/* Its own log hangs, with the no-op. */
	answered_by_who_is_filled(stall);
	QBD_TRUE(test, leads_in_vain());
	/* It does not any more. */
	solo_log_durable(1);
	QBD_TRUE(test, !leads_in_vain());
	/* Reads do, or failed. */
	qbd_core_reads_since(core, solo->now, solo->now);
	QBD_TRUE(test, !leads_in_vain());
	answered_by_who_is_filled(stall);
	QBD_TRUE(test, leads_in_vain());
	qbd_core_reads_since(core, solo->now, 0);
	QBD_TRUE(test, !leads_in_vain());
	set_fitness(QBD_MAY_VOTE | QBD_COUNTS);
	QBD_TRUE(test, leads_in_vain());
	set_fitness(QBD_MAY_VOTE);
	QBD_TRUE(test, leads_in_vain());
	/* Who has lost what it had acknowledged could not lead again. */
	set_fitness(QBD_COUNTS);
	QBD_TRUE(test, !leads_in_vain());
	set_fitness(QBD_MAY_VOTE | QBD_COUNTS);
	QBD_TRUE(test, leads_in_vain());
	/* Somebody counts, but may not lead either: it goes on. */
	solo_ack(2, 1);
	qbd_peer_find(core, 2)->flags = 0;
	QBD_EQUAL(test, core->commit, 1);
	QBD_TRUE(test, !leads_in_vain());
	/* Not when this disk is the one that is waited for. */
	qbd_core_propose(core, solo->now, QBD_ENTRY_DATA, NULL, &index);
	solo->now += stall;
	solo_ack(2, 1);
	qbd_peer_find(core, 2)->flags = 0;
	QBD_TRUE(test, leads_in_vain());
	/* Somebody may lead: that is qbd_hand_over(). */
	qbd_peer_find(core, 2)->flags = QBD_MESSAGE_FIT;
	QBD_TRUE(test, !leads_in_vain());
	answered_by_who_is_filled(0);
	QBD_TRUE(test, leads_in_vain());
	QBD_TRUE(test, qbd_core_step_down(core, solo->now));
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_TRUE(test, !qbd_core_step_down(core, solo->now));
	/* It cannot while its disk hangs. */
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	solo_log_durable(index);
	set_fitness(ordinary);
	solo_lead(1);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
}

/*
 * Nobody else is elected, each time. Each leadership took a place in the trail, until there
 * was none for another one, and nobody could lead when the others were back.
 */
static void who_stood_aside_for_nobody_leads_on(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	u32 times = 0;

	for (u32 i = 0; i < 2 * QBD_TRAIL_MAX; i++) {
		if (!qbd_core_leads(core))
			solo_lead(1);
		solo_log_durable(core->trail.last);
		qbd_core_reads_since(core, solo->now, solo->now);
		answered_by_who_is_filled(core->options.disk_stall);
		times += qbd_core_step_down(core, solo->now);
		qbd_core_reads_since(core, solo->now, 0);
	}
	QBD_EQUAL(test, times, 15);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	/* They are back: what it then leads for is not in vain. */
	solo_ack(2, core->trail.last);
	QBD_EQUAL(test, core->commit, core->trail.last);
	qbd_core_reads_since(core, solo->now, solo->now);
	answered_by_who_is_filled(core->options.disk_stall);
	QBD_TRUE(test, qbd_core_step_down(core, solo->now));
}

static void a_hung_hard_state_elects_nobody(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);

	for (u32 i = 0; i < 20; i++)
		solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_PRECANDIDATE);
	qbd_campaign(core, false);
	solo_drain();
	for (u32 i = 0; i < 20; i++)
		solo_tick_after(LAB_S);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_VOTE_REQUEST), 0);
}

/* Accidents 40 and 41: who does not know the end of its log helps nobody. */
static void accident_41_a_damaged_log_does_not_vote(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message;

	set_fitness(QBD_COUNTS);
	message = solo_message(QBD_MESSAGE_PREVOTE_REQUEST, 2, 6);
	solo_send(&message);
	QBD_TRUE(test, !(solo_sent(QBD_MESSAGE_PREVOTE_REPLY, 2)->flags &
			 QBD_MESSAGE_GRANTED));
	message = solo_message(QBD_MESSAGE_VOTE_REQUEST, 2, 6);
	solo_send(&message);
	QBD_EQUAL(test, core->vote, 0);
	solo_tick_after(10 * LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	/* Repaired: the timer runs again. */
	set_fitness(QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS);
	QBD_TRUE(test, qbd_core_deadline(core) != QBD_NEVER);
	QBD_TRUE(test, solo->flags & QBD_OUT_TIMER);
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_PRECANDIDATE);
}

static void acks_of_a_filled_member_say_so(struct qbd_test *test)
{
	const u64 term = 5;

	solo_start(3, 5, 0, NULL, 0);
	set_fitness(QBD_MAY_VOTE);
	solo_append(2, 5, 0, 0, 0, &term, 1);
	solo_log_durable(1);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_APPEND_REPLY, 2)->flags &
		       QBD_MESSAGE_FILLING);
	QBD_TRUE(test, !(solo_sent(QBD_MESSAGE_APPEND_REPLY, 2)->flags &
			 QBD_MESSAGE_NO_VOTE));
	/* Its log was damaged: it counts, and has no vote. */
	set_fitness(QBD_COUNTS);
	solo_heartbeat(2, 5, 1, 0);
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_HEARTBEAT_REPLY, 2)->flags,
		  QBD_MESSAGE_NO_VOTE);
	set_fitness(QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS);
	solo_heartbeat(2, 5, 1, 0);
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_HEARTBEAT_REPLY, 2)->flags,
		  QBD_MESSAGE_FIT);
}

static bool would_vote(u32 from, u64 term, u64 index, u64 log_term)
{
	struct qbd_core_message message =
		solo_message(QBD_MESSAGE_PREVOTE_REQUEST, from, term);

	message.index = index;
	message.log_term = log_term;
	solo_send(&message);
	return solo_sent(QBD_MESSAGE_PREVOTE_REPLY, from)->flags &
	       QBD_MESSAGE_GRANTED;
}

/*
 * It refused the only one that could lead because of records that had not counted;
 * and could not lead itself, nor be filled without a leader.
 */
static void a_filled_member_votes_by_what_counted(struct qbd_test *test)
{
	static const u64 ones[] = { 1, 1, 1 }, fours[] = { 4, 4 };
	struct qbd_core *core = solo_start(3, 4, 0, ones, 3);
	struct qbd_config config;

	lab_config(&config, 3, 3);
	solo_heartbeat(2, 4, 1, 0);
	/* The log is still the old one, all of which may have counted. */
	set_fitness(QBD_MAY_VOTE);
	solo->now += core->options.election_timeout;
	QBD_TRUE(test, !would_vote(3, 5, 2, 1));
	QBD_TRUE(test, would_vote(3, 5, 3, 1));
	/* It is emptied, and goes on after entry 100 of term 3. */
	QBD_TRUE(test, qbd_core_log_reset(core, solo->now, 100, 3, &config, 0));
	solo_append(2, 4, 100, 3, 100, fours, 2);
	solo_log_durable(102);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_APPEND_REPLY, 2)->flags &
		       QBD_MESSAGE_FILLING);
	solo->now += core->options.election_timeout;
	QBD_TRUE(test, !would_vote(3, 5, 99, 3));
	QBD_TRUE(test, !would_vote(3, 5, 500, 2));
	QBD_TRUE(test, would_vote(3, 5, 100, 3));
	/* What it knows to be committed counts, whoever made it so. */
	solo_append(2, 4, 102, 4, 101, NULL, 0);
	solo->now += core->options.election_timeout;
	QBD_TRUE(test, !would_vote(3, 5, 100, 3));
	QBD_TRUE(test, would_vote(3, 5, 101, 4));
	/* Filled, all of it does; also if it was to be filled again now. */
	set_fitness(QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS);
	QBD_TRUE(test, !would_vote(3, 5, 101, 4));
	set_fitness(QBD_MAY_VOTE);
	QBD_TRUE(test, !would_vote(3, 5, 101, 4));
	QBD_TRUE(test, would_vote(3, 5, 102, 4));
}

/* Filled because it lost its extent table, not its log: all of that may have counted. */
static void a_filled_member_votes_by_the_log_it_kept(struct qbd_test *test)
{
	static const u64 ones[] = { 1, 1, 1 };
	const u32 ordinary = solo_fitness;
	struct qbd_core *core;

	for (u32 kept = 0; kept < 2; kept++) {
		solo_fitness = QBD_MAY_VOTE | (kept ? QBD_LOG_COUNTED : 0);
		core = solo_start(3, 4, 0, ones, 3);
		solo_fitness = ordinary;
		solo_heartbeat(2, 4, 1, 0);
		solo->now += core->options.election_timeout;
		QBD_EQUAL(test, !!would_vote(3, 5, 2, 1), !kept);
		QBD_TRUE(test, would_vote(3, 5, 3, 1));
	}
}

/* The same with disks: 1 streams to 3, which is being filled; 2 is cut off. */
static void a_filled_member_helps_to_elect(struct qbd_test *test)
{
	for (u32 run = 0; run < 20; run++) {
		u32 leader, whole, filled;

		leader = one_of_three_is_filled(test, 4000 + run);
		whole = leader % 3 + 1;
		filled = 6 - leader - whole;
		lab_cut(lab, leader, whole, true);
		lab_propose(lab, leader);
		lab_propose(lab, leader);
		lab_run(lab, 10 * LAB_MS);
		QBD_TRUE(test, lab->nodes[filled].written >
			       lab->nodes[whole].last);
		/* And also after a restart. */
		if (run & 1)
			lab_crash(lab, filled);
		lab_crash(lab, leader);
		if (run & 1)
			lab_boot(lab, filled);
		QBD_TRUE(test, lab->nodes[filled].disk.filling);
		QBD_EQUAL(test, lab_run_to_leader(lab, 0), whole);
		QBD_TRUE(test, !lab->error);
	}
}

/*
 * 2 filled it with what was committed up to 102, and was lost. 3 leads, has all of it, and
 * knows of 100: it needs this member to commit anything, which counts when it has applied 102.
 */
static void a_filled_member_knows_what_is_committed(struct qbd_test *test)
{
	static const u64 ones[] = { 1, 1, 1 }, fours[] = { 4, 4, 4 }, fives[] = { 5, 5 };

	for (u32 restarted = 0; restarted < 2; restarted++) {
		struct qbd_core *core = solo_start(3, 4, 0, ones, 3);
		struct qbd_config config;

		lab_config(&config, 3, 3);
		solo_heartbeat(2, 4, 1, 0);
		set_fitness(QBD_MAY_VOTE);
		QBD_TRUE(test, qbd_core_log_reset(core, solo->now, 100, 4, &config, 0));
		/* Of this log nothing is known to be the leader's beyond its end. */
		qbd_core_told_committed(core, solo->now, 102);
		QBD_EQUAL(test, core->commit, 100);
		solo_append(2, 4, 100, 4, 100, fours, 1);
		QBD_EQUAL(test, core->commit, 101);
		/* What may be 2's alone is not committed before it is known to be 3's. */
		solo_append(2, 4, 101, 4, 100, fours, 2);
		QBD_EQUAL(test, core->commit, 102);
		solo_log_durable(103);
		solo_heartbeat(3, 5, 1, 100);
		QBD_EQUAL(test, core->commit, 102);

		/* The same, told before the entries are there, and by a leader before. */
		core = solo_start(3, 4, 0, ones, 3);
		if (restarted) {
			core->started = false;
			qbd_core_told_committed(core, solo->now, 5);
			core->started = true;
		} else {
			solo_heartbeat(2, 4, 1, 0);
			qbd_core_told_committed(core, solo->now, 5);
		}
		solo_append(2, 4, 3, 1, 0, fours, 3);
		QBD_EQUAL(test, core->commit, 5);
		core = solo_start(3, 4, 0, ones, 3);
		solo_heartbeat(2, 4, 1, 0);
		solo_append(2, 4, 3, 1, 0, fours, 3);
		QBD_EQUAL(test, core->commit, 0);
		solo_log_durable(6);
		/* 4 and 5 of this log are not those of who leads now. */
		solo_heartbeat(3, 5, 1, 0);
		qbd_core_told_committed(core, solo->now, 5);
		QBD_EQUAL(test, core->commit, 0);
		solo_hard_durable();
		solo_append(3, 5, 3, 1, 0, fives, 2);
		QBD_EQUAL(test, core->commit, 5);
		solo_log_durable(5);
		QBD_EQUAL(test, solo_sent(QBD_MESSAGE_APPEND_REPLY, 3)->commit, 5);
		QBD_TRUE(test, !core->stopped_line);
	}
}

/* Nor does who leads, has failed or knows it learn anything from it. */
static void what_is_told_is_for_followers(struct qbd_test *test)
{
	static const u64 ones[] = { 1, 1, 1 };
	struct qbd_core *core = solo_start(3, 1, 0, ones, 3);

	/* No index that there can be, and one that was told already. */
	solo_heartbeat(2, 1, 1, 0);
	solo_append(2, 1, 3, 1, 0, NULL, 0);
	qbd_core_told_committed(core, solo->now, QBD_INDEX_MAX);
	QBD_EQUAL(test, core->told_committed, 0);
	qbd_core_told_committed(core, solo->now, 2);
	QBD_EQUAL(test, core->commit, 2);
	qbd_core_told_committed(core, solo->now, 1);
	QBD_EQUAL(test, core->told_committed, 2);
	QBD_EQUAL(test, core->commit, 2);
	/* It knows that already: nothing is owed. */
	solo_heartbeat(2, 1, 2, 3);
	QBD_EQUAL(test, core->commit, 3);
	solo_log_durable(3);
	solo_forget();
	qbd_core_told_committed(core, solo->now, 3);
	solo_drain();
	QBD_EQUAL(test, core->commit, 3);
	QBD_TRUE(test, !solo_sent(QBD_MESSAGE_APPEND_REPLY, 2));

	/* A leader counts for itself. */
	core = solo_start(3, 1, 0, ones, 3);
	solo_lead(1);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	qbd_core_told_committed(core, solo->now, 3);
	solo_drain();
	QBD_EQUAL(test, core->commit, 0);

	/* A disk that has failed has nothing to be committed. */
	core = solo_start(3, 1, 0, ones, 3);
	solo_heartbeat(2, 1, 1, 0);
	solo_append(2, 1, 3, 1, 0, NULL, 0);
	qbd_core_storage_failed(core, solo->now);
	solo_drain();
	solo_forget();
	qbd_core_told_committed(core, solo->now, 3);
	solo_drain();
	QBD_EQUAL(test, core->commit, 0);
	QBD_TRUE(test, !solo_sent(QBD_MESSAGE_APPEND_REPLY, 2));
	QBD_TRUE(test, !core->stopped_line);
}

static void a_leader_that_may_not_lead_hands_over(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);

	solo_lead(1);
	set_fitness(QBD_MAY_VOTE | QBD_COUNTS);
	/* Nobody is known to be fit yet. */
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_round_ack(3, core->round, 0);
	solo_tick_after(core->options.heartbeat);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 3));
	/* As a candidate it gives up. */
	core = solo_start(3, 5, 0, NULL, 0);
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_PRECANDIDATE);
	set_fitness(QBD_MAY_VOTE);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
}

/* All entries but no own disk: the acknowledged state survives any crash. */
static void crash_at_every_step(struct qbd_test *test)
{
	for (u32 cut = 1; cut < 400; cut += 3) {
		lab_setup(lab, 3, 3, 2000 + cut);
		lab->weather.delay_spread = 300 * LAB_US;
		lab->weather.disk_spread = 700 * LAB_US;
		lab_boot_all(lab);
		for (u32 step = 0; step < cut; step++) {
			u32 leader = lab_leader(lab);

			lab_step(lab);
			if (leader && step % 7 == 0)
				lab_propose(lab, leader);
		}
		/* Everybody loses power at once. */
		for (u32 id = 1; id <= 3; id++)
			lab_crash(lab, id);
		lab_boot_all(lab);
		QBD_TRUE(test, lab_run_to_leader(lab, 0));
		QBD_TRUE(test, lab_core(lab, lab_leader(lab))->commit >=
			       lab->commit);
		QBD_TRUE(test, !lab->error);
	}
}

QBD_SUITE(core_storage,
	  QBD_CASE(a_failed_member_vouches_for_nothing),
	  QBD_CASE(a_stopped_member_follows_who_leads),
	  QBD_CASE(a_leader_whose_disk_fails_hands_over),
	  QBD_CASE(accident_28_a_leader_with_a_hung_disk_is_replaced),
	  QBD_CASE(accident_28_a_leader_that_does_not_read_is_replaced),
	  QBD_CASE(accident_28_all_disks_are_slow),
	  QBD_CASE(accident_28_all_disks_write_slowly),
	  QBD_CASE(accident_28_reads_hang_and_nobody_leads),
	  QBD_CASE(accident_28_a_slow_disk_that_moves_is_no_reason),
	  QBD_CASE(accident_28_nobody_to_take_over),
	  QBD_CASE(accident_28_a_leader_is_in_the_way),
	  QBD_CASE(who_leads_in_vain),
	  QBD_CASE(who_stood_aside_for_nobody_leads_on),
	  QBD_CASE(a_hung_hard_state_elects_nobody),
	  QBD_CASE(accident_41_a_damaged_log_does_not_vote),
	  QBD_CASE(acks_of_a_filled_member_say_so),
	  QBD_CASE(a_filled_member_votes_by_what_counted),
	  QBD_CASE(a_filled_member_votes_by_the_log_it_kept),
	  QBD_CASE(a_filled_member_helps_to_elect),
	  QBD_CASE(a_filled_member_knows_what_is_committed),
	  QBD_CASE(what_is_told_is_for_followers),
	  QBD_CASE(a_leader_that_may_not_lead_hands_over),
	  QBD_CASE(crash_at_every_step));
