// SPDX-License-Identifier: GPL-2.0
/*
 * Leadership transfer.
 */
#include "core_solo.h"

static struct solo *const solo = &the_solo;
static struct lab *const lab = &the_lab;

/* Leads three; its no-op is committed, 2 and 3 are streaming and alive. */
static struct qbd_core *lead(void)
{
	struct qbd_core *core = solo_start(3, 1, 0, NULL, 0);

	solo_lead(1);
	qbd_core_peer_connected(core, solo->now, 2, QBD_LINK_BULK);
	qbd_core_peer_connected(core, solo->now, 3, QBD_LINK_BULK);
	solo_log_durable(1);
	solo_round_ack(2, core->round, 1);
	solo_round_ack(3, core->round, 1);
	solo_forget();
	return core;
}

static u64 propose(enum qbd_propose_result *result)
{
	u64 index = 0;

	*result = qbd_core_propose(&solo->core, solo->now, QBD_ENTRY_DATA,
				   NULL, &index);
	solo_drain();
	return index;
}

static enum qbd_transfer_result transfer(u32 target)
{
	enum qbd_transfer_result result =
		qbd_core_transfer(&solo->core, solo->now, target);

	solo_drain();
	return result;
}

static void leadership_moves_under_load(struct qbd_test *test)
{
	u32 leader, target;
	u64 began, term;

	lab_setup(lab, 3, 3, 11);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	lab_run(lab, 200 * LAB_MS);
	target = leader % 3 + 1;
	for (u32 i = 0; i < 20; i++)
		lab_propose(lab, leader);
	term = lab_core(lab, leader)->term;
	began = lab->now;
	QBD_EQUAL(test, lab_transfer(lab, leader, target),
		  QBD_TRANSFER_STARTED);
	QBD_EQUAL(test, lab_run_to_leader(lab, target), target);
	QBD_EQUAL(test, lab_core(lab, target)->term, term + 1);
	/* A few round trips of 1 ms, not an election timeout. */
	QBD_TRUE(test, lab->now - began < 10 * LAB_MS);
	QBD_TRUE(test, !lab->error);
}

static void a_transfer_that_cannot_be_is_refused(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core = lead();
	struct qbd_core_message reply;

	QBD_EQUAL(test, transfer(1), QBD_TRANSFER_ALREADY);
	QBD_EQUAL(test, transfer(9), QBD_TRANSFER_NOT_VOTER);
	reply = solo_message(QBD_MESSAGE_HEARTBEAT_REPLY, 2, core->term);
	reply.round = core->round;
	reply.flags = QBD_MESSAGE_FILLING;
	solo_send(&reply);
	QBD_EQUAL(test, transfer(2), QBD_TRANSFER_UNFIT);
	solo->now += core->options.election_timeout + 1;
	QBD_EQUAL(test, transfer(3), QBD_TRANSFER_UNREACHABLE);
	solo_round_ack(2, core->round, 1);
	solo_round_ack(3, core->round, 1);
	QBD_EQUAL(test, transfer(3), QBD_TRANSFER_STARTED);
	QBD_EQUAL(test, transfer(2), QBD_TRANSFER_BUSY);
	solo_heartbeat(3, core->term + 1, 1, 0);
	QBD_EQUAL(test, transfer(2), QBD_TRANSFER_NOT_LEADER);
	QBD_EQUAL(test, transfer(3), QBD_TRANSFER_ALREADY);
	lab_config(&config, 3, 3);
	config.members[1].flags |= QBD_CORE_WITNESS;
	core = solo_start_config(&config, 1, 0, NULL, 0);
	solo_lead(1);
	solo_round_ack(2, core->round, 0);
	QBD_EQUAL(test, transfer(2), QBD_TRANSFER_NOT_VOTER);
}

static void proposals_stop_when_all_is_sent(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	enum qbd_propose_result result;
	struct qbd_range range;

	propose(&result);
	QBD_EQUAL(test, transfer(2), QBD_TRANSFER_STARTED);
	QBD_TRUE(test, solo->flags & QBD_OUT_TRANSFER);
	/* 2 has not been sent everything: writing goes on. */
	propose(&result);
	QBD_EQUAL(test, result, QBD_PROPOSE_OK);
	QBD_EQUAL(test, qbd_core_next_append(core, solo->now, 2, 1 << 20,
					     &range), QBD_PULL_RANGE);
	QBD_EQUAL(test, range.last, 3);
	qbd_core_append_sent(core, solo->now, 2, 3, 8192);
	propose(&result);
	QBD_EQUAL(test, result, QBD_PROPOSE_TRANSFERRING);
	/* With the last of it, and once. */
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 2)->index, 3);
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	solo_ack(2, 2);
	solo_ack(2, 3);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_TIMEOUT_NOW), 1);
}

/* Reads by quorum open rounds all the time; one of them overtook the last entries. */
static void a_target_that_heard_a_later_round_is_told_again(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	enum qbd_propose_result result;
	u64 round;

	propose(&result);
	qbd_core_append_sent(core, solo->now, 2, 2, 4096);
	QBD_EQUAL(test, transfer(2), QBD_TRANSFER_STARTED);
	round = solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 2)->round;
	solo_tick_after(core->options.heartbeat);
	solo_round_ack(2, round + 1, 1);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_TIMEOUT_NOW), 1);
	QBD_TRUE(test, qbd_core_lease_valid(core, solo->now));
	solo_ack(2, 2);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_TIMEOUT_NOW), 2);
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 2)->round, round + 1);
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	/* Not a third time. */
	solo_tick_after(core->options.heartbeat);
	solo_round_ack(3, core->round, 1);
	solo_ack(2, 2);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_TIMEOUT_NOW), 2);
}

/* The lease ends when TIMEOUT_NOW leaves, and comes back only when it is void. */
static void accident_11_no_lease_after_timeout_now(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	enum qbd_propose_result result;
	u64 round;

	QBD_TRUE(test, qbd_core_lease_valid(core, solo->now));
	QBD_EQUAL(test, transfer(2), QBD_TRANSFER_STARTED);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 2));
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	round = solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 2)->round;
	QBD_EQUAL(test, round, core->round);
	/* The target does nothing: given up after one election timeout. */
	for (u32 i = 0; i < 4; i++) {
		solo_tick_after(core->options.heartbeat);
		solo_round_ack(3, core->round, 1);
	}
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	QBD_EQUAL(test, core->transfer_to, 0);
	propose(&result);
	QBD_EQUAL(test, result, QBD_PROPOSE_OK);
	/* The message may still be on its way: no lease, whoever answers. */
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	solo_round_ack(2, round, 1);
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	/* A later round answered by the target itself makes it void. */
	solo_round_ack(2, round + 1, 1);
	QBD_TRUE(test, qbd_core_lease_valid(core, solo->now));
}

/*
 * The transfer to 2 is given up, one to 3 begun. The answer of 3 gave the lease back
 * while the first TIMEOUT_NOW could still reach 2.
 */
static void accident_11_each_target_has_its_barrier(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	u64 first, second;

	QBD_EQUAL(test, transfer(2), QBD_TRANSFER_STARTED);
	first = solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 2)->round;
	for (u32 i = 0; i < 4; i++) {
		solo_tick_after(core->options.heartbeat);
		solo_round_ack(3, core->round, 1);
	}
	QBD_EQUAL(test, core->transfer_to, 0);
	/* That 2 may be dead does not keep leadership from moving elsewhere. */
	QBD_EQUAL(test, transfer(3), QBD_TRANSFER_STARTED);
	second = solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 3)->round;
	QBD_TRUE(test, second > first);
	solo_tick_after(core->options.heartbeat);
	solo_round_ack(3, second + 1, 1);
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	solo_round_ack(2, first, 1);
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	solo_round_ack(2, first + 1, 1);
	QBD_TRUE(test, qbd_core_lease_valid(core, solo->now));
}

static struct qbd_core_message timeout_now(u32 from, u64 term, u64 round)
{
	struct qbd_core_message message =
		solo_message(QBD_MESSAGE_TIMEOUT_NOW, from, term);

	message.round = round;
	return message;
}

static void accident_11_a_late_timeout_now_is_void(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message;

	solo_heartbeat(2, 5, 7, 0);
	message = timeout_now(2, 5, 6);
	solo_send(&message);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	/* Not from another, nor of an old term. */
	message = timeout_now(3, 5, 9);
	solo_send(&message);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	message = timeout_now(2, 4, 9);
	solo_send(&message);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	message = timeout_now(2, 5, 7);
	solo_send(&message);
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	QBD_EQUAL(test, core->term, 6);
	solo_hard_durable();
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_VOTE_REQUEST, 3)->flags &
		       QBD_MESSAGE_FORCED);
}

/* 1 follows 2 in term 5, and is told to take over with two entries that are to come. */
static struct qbd_core *told_early(void)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message = timeout_now(2, 5, 7);

	solo_heartbeat(2, 5, 7, 0);
	message.index = 2;
	solo_send(&message);
	solo_forget();
	return core;
}

static const u64 fives[] = { 5, 5 };

static void timeout_now_is_obeyed_when_the_log_is_durable(struct qbd_test *test)
{
	struct qbd_core *core = told_early();

	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, solo_append(2, 5, 0, 0, 0, fives, 1), QBD_APPEND_ACCEPTED);
	solo_log_durable(1);
	QBD_TRUE(test, qbd_core_deadline(core) > solo->now);
	solo_append(2, 5, 1, 5, 0, fives, 1);
	QBD_TRUE(test, qbd_core_deadline(core) > solo->now);
	solo_log_durable(2);
	/* The leader is answered first: it commits what this member took from it. */
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_APPEND_REPLY, 2)->index, 2);
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_APPEND_REPLY, 2)->term, 5);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_TRUE(test, qbd_core_deadline(core) <= solo->now);
	solo_tick_after(0);
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	QBD_EQUAL(test, core->term, 6);
	solo_hard_durable();
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_VOTE_REQUEST, 3)->index, 2);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_VOTE_REQUEST, 3)->flags &
		       QBD_MESSAGE_FORCED);
}

static void all_came(void)
{
	solo_append(2, 5, 0, 0, 0, fives, 2);
	solo_log_durable(2);
	solo_tick_after(0);
}

static void timeout_now_that_waits_ends_with_a_later_round_or_term(struct qbd_test *test)
{
	struct qbd_core *core = told_early();

	/* Accident 11: the leader may trust in its lease again when that is answered. */
	solo_heartbeat(2, 5, 8, 0);
	all_came();
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_TRUE(test, qbd_core_deadline(core) > solo->now);
	core = told_early();
	solo_heartbeat(3, 6, 1, 0);
	solo_append(3, 6, 0, 0, 0, fives, 2);
	solo_log_durable(2);
	solo_tick_after(0);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->term, 6);
	core = told_early();
	qbd_core_set_fitness(core, solo->now, QBD_MAY_VOTE | QBD_COUNTS);
	all_came();
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->term, 5);
	QBD_TRUE(test, qbd_core_deadline(core) > solo->now);
}

/* It sends nothing any more that could be waited for. */
static void who_hands_over_has_the_target_wait_for_nothing(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	enum qbd_propose_result result;

	propose(&result);
	qbd_core_storage_failed(core, solo->now);
	solo_drain();
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_TIMEOUT_NOW), 1);
	for (u32 to = 2; to <= 3; to++) {
		const struct qbd_core_message *message = solo_sent(QBD_MESSAGE_TIMEOUT_NOW, to);

		QBD_TRUE(test, !message || !message->index);
	}
}

static void a_forced_request_overrides_the_leader(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message;

	solo_heartbeat(2, 5, 7, 0);
	message = solo_message(QBD_MESSAGE_VOTE_REQUEST, 3, 6);
	message.flags = QBD_MESSAGE_FORCED;
	solo_send(&message);
	solo_hard_durable();
	QBD_EQUAL(test, core->vote, 3);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_VOTE_REPLY, 3)->flags &
		       QBD_MESSAGE_GRANTED);
}

static void an_unfit_member_ignores_timeout_now(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message = timeout_now(2, 5, 7);

	solo_heartbeat(2, 5, 7, 0);
	qbd_core_set_fitness(core, solo->now, QBD_MAY_VOTE | QBD_COUNTS);
	solo_send(&message);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->term, 5);
}

/* At any moment of a transfer some member is cut off or crashes. */
static void transfers_under_faults(struct qbd_test *test)
{
	for (u32 round = 0; round < 60; round++) {
		u32 leader, target;

		lab_setup(lab, 3, 3, 1000 + round);
		lab_boot_all(lab);
		leader = lab_run_to_leader(lab, 0);
		lab_run(lab, 200 * LAB_MS);
		target = leader % 3 + 1;
		for (u32 i = 0; i < 10; i++)
			lab_propose(lab, leader);
		lab_transfer(lab, leader, target);
		lab_run(lab, round * 100 * LAB_US);
		if (round % 3 == 0)
			lab_crash(lab, target);
		else if (round % 3 == 1)
			lab_isolate(lab, target, true);
		else
			lab_crash(lab, leader);
		lab_run(lab, 3 * LAB_S);
		leader = lab_leader(lab);
		QBD_TRUE(test, leader);
		QBD_TRUE(test, lab_run_to_commit(lab, leader,
						 lab_propose(lab, leader)));
		QBD_TRUE(test, !lab->error);
	}
}

QBD_SUITE(core_transfer,
	  QBD_CASE(leadership_moves_under_load),
	  QBD_CASE(a_transfer_that_cannot_be_is_refused),
	  QBD_CASE(proposals_stop_when_all_is_sent),
	  QBD_CASE(a_target_that_heard_a_later_round_is_told_again),
	  QBD_CASE(timeout_now_is_obeyed_when_the_log_is_durable),
	  QBD_CASE(timeout_now_that_waits_ends_with_a_later_round_or_term),
	  QBD_CASE(who_hands_over_has_the_target_wait_for_nothing),
	  QBD_CASE(accident_11_no_lease_after_timeout_now),
	  QBD_CASE(accident_11_each_target_has_its_barrier),
	  QBD_CASE(accident_11_a_late_timeout_now_is_void),
	  QBD_CASE(a_forced_request_overrides_the_leader),
	  QBD_CASE(an_unfit_member_ignores_timeout_now),
	  QBD_CASE(transfers_under_faults));
