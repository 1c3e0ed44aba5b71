// SPDX-License-Identifier: GPL-2.0
/*
 * Whole clusters on the lab: what a user of three hosts counts on.
 */
#include "core_lab.h"
#include "core_test.h"

static struct lab *const lab = &the_lab;

static u32 start(u32 count, u64 seed)
{
	u32 leader;

	lab_setup(lab, count, count, seed);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	lab_run(lab, 200 * LAB_MS);
	return leader;
}

/* The time from the loss of the leader to the next commit, half and worst. */
static void failover_is_quick(struct qbd_test *test)
{
	u32 quick = 0;

	for (u32 run = 0; run < 200; run++) {
		u32 leader = start(3, 5000 + run);
		u64 began, commit = lab->commit;

		QBD_TRUE(test, leader);
		lab_crash(lab, leader);
		began = lab->now;
		while (lab->commit == commit && lab->now < began + 5 * LAB_S)
			lab_step(lab);
		QBD_TRUE(test, lab->now - began <= 600 * LAB_MS);
		quick += lab->now - began <= 300 * LAB_MS;
		QBD_TRUE(test, !lab->error);
	}
	QBD_TRUE(test, quick >= 100);
}

/* One round trip and one disk write, whatever the slowest does. */
static void a_write_takes_one_round_trip_and_one_disk_write(struct qbd_test *test)
{
	for (u32 count = 1; count <= LAB_NODES; count += 2) {
		u32 leader = start(count, 6000 + count);
		u64 floor = count == 1 ? lab->weather.disk :
			    2 * lab->weather.delay + lab->weather.disk;
		u32 frames = lab->frames_sent;
		u64 began, index;

		began = lab->now;
		index = lab_propose(lab, leader);
		QBD_TRUE(test, lab_run_to_commit(lab, leader, index));
		QBD_EQUAL(test, lab->now - began, floor);
		QBD_EQUAL(test, lab->frames_sent - frames, count - 1);
		QBD_TRUE(test, !lab->error);
	}
}

static void a_lost_follower_leaves_no_gap(struct qbd_test *test)
{
	u32 leader = start(3, 7000);
	u32 lost = leader % 3 + 1;
	u64 floor = 2 * lab->weather.delay + lab->weather.disk;

	for (u32 i = 0; i < 400; i++) {
		u64 began = lab->now;
		u64 index = lab_propose(lab, leader);

		if (i == 50)
			lab_isolate(lab, lost, true);
		if (i == 200) {
			lab_isolate(lab, lost, false);
			lab_crash(lab, lost);
		}
		if (i == 300)
			lab_boot(lab, lost);
		QBD_TRUE(test, lab_run_to_commit(lab, leader, index));
		QBD_TRUE(test, lab->now - began <= floor);
	}
	lab_run(lab, LAB_S);
	QBD_EQUAL(test, lab_leader(lab), leader);
	QBD_EQUAL(test, lab_core(lab, lost)->commit, lab->commit);
	QBD_TRUE(test, !lab->error);
}

static void one_away_comes_back_by_log(struct qbd_test *test)
{
	u32 leader = start(3, 7100);
	u32 lost = leader % 3 + 1;

	lab_crash(lab, lost);
	for (u32 i = 0; i < 500; i++)
		lab_propose(lab, leader);
	lab_run(lab, LAB_S);
	lab_boot(lab, lost);
	QBD_TRUE(test, lab_run_to_commit(lab, lost, 500));
	QBD_EQUAL(test, lab->nodes[lost].base_index, 0);
	QBD_TRUE(test, !lab->error);
}

static void one_away_comes_back_by_extents(struct qbd_test *test)
{
	u32 leader = start(3, 7200);
	u32 lost = leader % 3 + 1;
	u64 index;

	lab_crash(lab, lost);
	for (u32 i = 0; i < 500; i++)
		lab_propose(lab, leader);
	lab_run(lab, LAB_S);
	lab_compact(lab, leader, 400);
	lab_boot(lab, lost);
	/* Writes go on meanwhile. */
	for (u32 i = 0; i < 100; i++) {
		lab_propose(lab, leader);
		lab_run(lab, 3 * LAB_MS);
	}
	lab_run(lab, LAB_S);
	index = lab->nodes[leader].last;
	QBD_TRUE(test, lab_run_to_commit(lab, lost, index));
	QBD_TRUE(test, lab->nodes[lost].base_index >= 400);
	QBD_TRUE(test, !lab->nodes[lost].disk.filling);
	/* It is a full member again: with it alone there is a quorum. */
	lab_crash(lab, (leader + 1) % 3 + 1);
	QBD_TRUE(test, lab_run_to_commit(lab, leader,
					 lab_propose(lab, leader)));
	QBD_TRUE(test, !lab->error);
}

/*
 * All of the log got to it, and none of its answers back. Then the leader's log no more
 * reached to what was known to be committed there.
 */
static void one_that_has_all_is_not_filled(struct qbd_test *test)
{
	u32 leader = start(3, 7250);
	u32 lost = leader % 3 + 1;
	u32 other = (leader + 1) % 3 + 1;
	u64 term = lab_core(lab, leader)->term;
	u64 index = 0;

	lab_run(lab, LAB_S);
	lab->cut_control[lost][leader] = true;
	for (u32 i = 0; i < 8; i++)
		index = lab_propose(lab, leader);
	QBD_TRUE(test, lab_run_to_commit(lab, leader, index));
	while (lab->nodes[lost].written < index && lab_step(lab))
		;
	lab_crash(lab, lost);
	lab_compact(lab, leader, index - 3);
	lab->cut_control[lost][leader] = false;
	lab_boot(lab, lost);
	QBD_TRUE(test, lab_core(lab, lost)->matched < index - 3);
	/* Nothing is written, and then the two of them are all there are. */
	QBD_TRUE(test, lab_run_to_commit(lab, lost, index));
	lab_crash(lab, other);
	QBD_TRUE(test, lab_run_to_commit(lab, leader, lab_propose(lab, leader)));
	QBD_EQUAL(test, lab_core(lab, leader)->term, term);
	QBD_TRUE(test, lab->nodes[lost].base_index < index - 3);
	QBD_TRUE(test, !lab->nodes[lost].disk.filling);
	QBD_TRUE(test, !lab->error);
}

static void no_quorum_commits_nothing_and_recovers(struct qbd_test *test)
{
	u32 leader = start(3, 7300);
	u64 commit, index;

	lab_crash(lab, leader % 3 + 1);
	lab_crash(lab, (leader + 1) % 3 + 1);
	commit = lab->commit;
	index = lab_propose(lab, leader);
	lab_run(lab, 5 * LAB_S);
	QBD_EQUAL(test, lab->commit, commit);
	QBD_EQUAL(test, lab_leader(lab), 0);
	lab_boot(lab, leader % 3 + 1);
	leader = lab_run_to_leader(lab, 0);
	QBD_TRUE(test, leader);
	QBD_TRUE(test, lab_run_to_commit(lab, leader, index));
	QBD_TRUE(test, !lab->error);
}

/* Every order, also the one with the newest log last. */
static void cold_start_in_any_order(struct qbd_test *test)
{
	for (u32 order = 0; order < 6; order++) {
		u32 first = order % 3 + 1;
		u32 second = (first + order / 3) % 3 + 1;
		u32 leader = start(3, 7400 + order);
		u64 commit;

		for (u32 i = 0; i < 50; i++)
			lab_propose(lab, leader);
		lab_run(lab, LAB_S);
		commit = lab->commit;
		for (u32 id = 1; id <= 3; id++)
			lab_crash(lab, id);
		lab_boot(lab, first);
		lab_run(lab, LAB_S);
		QBD_EQUAL(test, lab_leader(lab), 0);
		lab_boot(lab, second);
		QBD_TRUE(test, lab_run_to_leader(lab, 0));
		lab_boot(lab, 6 - first - second);
		lab_run(lab, LAB_S);
		for (u32 id = 1; id <= 3; id++)
			QBD_TRUE(test, lab_core(lab, id)->commit > commit);
		QBD_TRUE(test, !lab->error);
	}
}

static void status_tells_what_is_so(struct qbd_test *test)
{
	u32 leader = start(3, 7500);
	u32 lost = leader % 3 + 1;
	struct qbd_core_status status;
	struct qbd_peer_status peer;
	u64 now;

	lab_crash(lab, lost);
	lab_run(lab, LAB_S);
	lab_propose(lab, leader);
	lab_run(lab, 10 * LAB_MS);
	now = lab_node_now(lab, &lab->nodes[leader]);
	qbd_core_get_status(lab_core(lab, leader), now, &status);
	QBD_EQUAL(test, status.role, QBD_ROLE_LEADER);
	QBD_EQUAL(test, status.voters, 3);
	QBD_EQUAL(test, status.quorum, 2);
	QBD_EQUAL(test, status.reachable, 2);
	QBD_TRUE(test, status.has_quorum);
	QBD_TRUE(test, status.lease_valid);
	QBD_EQUAL(test, status.commit, status.last);
	QBD_TRUE(test, qbd_core_get_peer(lab_core(lab, leader), now, lost,
					 &peer));
	QBD_TRUE(test, !peer.alive);
	QBD_EQUAL(test, peer.member_flags, QBD_CORE_VOTER);
	QBD_TRUE(test, peer.match < status.last);
	QBD_TRUE(test, !qbd_core_get_peer(lab_core(lab, leader), now, 99,
					  &peer));
}

/* An idle device: the heartbeats and their answers, nothing else. */
static void idle_costs_heartbeats_only(struct qbd_test *test)
{
	u32 before[QBD_MESSAGE_TYPE_END];
	u64 steps;

	start(3, 7600);
	lab_run(lab, LAB_S);
	memcpy(before, lab->sent, sizeof(before));
	steps = lab->steps;
	lab_run(lab, 10 * LAB_S);
	for (u32 type = 1; type < QBD_MESSAGE_TYPE_END; type++) {
		u32 sent = lab->sent[type] - before[type];

		if (type == QBD_MESSAGE_HEARTBEAT ||
		    type == QBD_MESSAGE_HEARTBEAT_REPLY)
			QBD_TRUE(test, sent >= 398 && sent <= 402);
		else
			QBD_EQUAL(test, sent, 0);
	}
	/* 200 ticks, 400 heartbeats, 400 answers. */
	QBD_TRUE(test, lab->steps - steps <= 1010);
}

QBD_SUITE(core_cluster,
	  QBD_CASE(failover_is_quick),
	  QBD_CASE(a_write_takes_one_round_trip_and_one_disk_write),
	  QBD_CASE(a_lost_follower_leaves_no_gap),
	  QBD_CASE(one_away_comes_back_by_log),
	  QBD_CASE(one_away_comes_back_by_extents),
	  QBD_CASE(one_that_has_all_is_not_filled),
	  QBD_CASE(no_quorum_commits_nothing_and_recovers),
	  QBD_CASE(cold_start_in_any_order),
	  QBD_CASE(status_tells_what_is_so),
	  QBD_CASE(idle_costs_heartbeats_only));
