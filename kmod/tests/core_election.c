// SPDX-License-Identifier: GPL-2.0
/*
 * Elections. The numbers of the accidents are those in Documentation.
 */
#include "core_solo.h"

static struct solo *const solo = &the_solo;
static struct lab *const lab = &the_lab;

static struct qbd_core_message request(u32 type, u32 from, u64 term, u64 index,
				       u64 log_term)
{
	struct qbd_core_message message = solo_message(type, from, term);

	message.index = index;
	message.log_term = log_term;
	return message;
}

static bool granted(u32 type, u32 to)
{
	const struct qbd_core_message *reply = solo_sent(type, to);

	return reply && reply->flags & QBD_MESSAGE_GRANTED;
}

static const u64 log_1_1_2[] = { 1, 1, 2 };

static void a_leader_is_elected_by_1_to_9(struct qbd_test *test)
{
	for (u32 count = 1; count <= LAB_NODES; count++) {
		u32 leader;

		lab_setup(lab, count, count, 100 + count);
		lab_boot_all(lab);
		leader = lab_run_to_leader(lab, 0);
		QBD_TRUE(test, leader);
		QBD_TRUE(test, lab_propose(lab, leader));
		QBD_TRUE(test, lab_run_to_commit(lab, leader,
						 lab->nodes[leader].last));
		/* Everyone learns of it with the next heartbeat. */
		lab_run(lab, 100 * LAB_MS);
		for (u32 id = 1; id <= count; id++) {
			QBD_EQUAL(test, lab_core(lab, id)->leader, leader);
			QBD_EQUAL(test, lab_core(lab, id)->commit,
				  lab->nodes[leader].last);
		}
		QBD_TRUE(test, !lab->error);
	}
}

static void timeouts_lie_between_T_and_2T(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	u64 timeout = core->options.election_timeout;
	u64 least = QBD_NEVER, most = 0;

	for (u32 i = 0; i < 1000; i++) {
		u64 wait;

		solo->now += LAB_MS;
		solo_heartbeat(2, 5, i + 1, 0);
		wait = qbd_core_deadline(core) - solo->now;
		least = qbd_min(least, wait);
		most = qbd_max(most, wait);
	}
	QBD_TRUE(test, least >= timeout && least < timeout + timeout / 10);
	QBD_TRUE(test, most <= 2 * timeout && most > 2 * timeout - timeout / 10);
}

static void lower_priority_waits_longer(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;

	lab_config(&config, 3, 3);
	config.members[0].priority = 50;
	core = solo_start_config(&config, 5, 0, NULL, 0);
	/* Two are preferred. */
	QBD_TRUE(test, qbd_core_deadline(core) - solo->now >=
		       3 * core->options.election_timeout);
	config.members[1].priority = 50;
	config.members[2].flags |= QBD_CORE_WITNESS;
	core = solo_start_config(&config, 5, 0, NULL, 0);
	QBD_TRUE(test, qbd_core_deadline(core) - solo->now <=
		       2 * core->options.election_timeout);
}

static void an_idle_follower_has_one_deadline(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	u64 deadline;

	solo_heartbeat(2, 5, 1, 0);
	deadline = qbd_core_deadline(core);
	QBD_TRUE(test, deadline >= solo->now + core->options.election_timeout);
	/* Ticks that are not due change nothing. */
	solo_forget();
	solo_tick_after(LAB_MS);
	QBD_EQUAL(test, qbd_core_deadline(core), deadline);
	QBD_EQUAL(test, solo->flags, 0);
	QBD_EQUAL(test, solo->count, 0);
}

/*
 * A candidate got an append of its own term, became follower and forgot its
 * vote; then a delayed request in that term was granted: two leaders.
 */
static void accident_01_step_down_keeps_the_vote(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message vote;

	solo->now = core->election_deadline;
	qbd_core_tick(core, solo->now);
	qbd_campaign(core, false);
	solo_drain();
	solo_hard_durable();
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	QBD_EQUAL(test, core->term, 6);
	solo_append(2, 6, 7, 6, 0, NULL, 0);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->vote, 1);
	vote = request(QBD_MESSAGE_VOTE_REQUEST, 3, 6, 9, 6);
	vote.flags = QBD_MESSAGE_FORCED;
	solo_send(&vote);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_VOTE_REPLY, 3));
	QBD_TRUE(test, !granted(QBD_MESSAGE_VOTE_REPLY, 3));
	QBD_EQUAL(test, core->vote, 1);
}

/* The vote is on the disk before its answer leaves, and survives a crash. */
static void accident_02_a_vote_is_durable_before_it_is_given(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message vote =
		request(QBD_MESSAGE_VOTE_REQUEST, 2, 6, 0, 0);

	solo_send(&vote);
	QBD_TRUE(test, solo->flags & QBD_OUT_PERSIST);
	QBD_EQUAL(test, solo->output.hard_term, 6);
	QBD_EQUAL(test, solo->output.hard_vote, 2);
	QBD_TRUE(test, !solo_sent(QBD_MESSAGE_VOTE_REPLY, 2));
	/* An older state has reached the disk: not enough. */
	qbd_core_hard_state_durable(core, solo->now, core->hard_seq - 1);
	solo_drain();
	QBD_TRUE(test, !solo_sent(QBD_MESSAGE_VOTE_REPLY, 2));
	solo_hard_durable();
	QBD_TRUE(test, granted(QBD_MESSAGE_VOTE_REPLY, 2));
	/* Crash; another candidate of that term; the same one again. */
	core = solo_start(3, 6, 2, NULL, 0);
	vote = request(QBD_MESSAGE_VOTE_REQUEST, 3, 6, 0, 0);
	solo_send(&vote);
	QBD_TRUE(test, !granted(QBD_MESSAGE_VOTE_REPLY, 3));
	vote = request(QBD_MESSAGE_VOTE_REQUEST, 2, 6, 0, 0);
	solo_send(&vote);
	QBD_TRUE(test, granted(QBD_MESSAGE_VOTE_REPLY, 2));
	QBD_EQUAL(test, core->vote, 2);
}

/* It is told that there may be two of it while its vote is written: that does not leave. */
static void a_vote_that_may_not_be_given_any_more_stays(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message vote =
		request(QBD_MESSAGE_VOTE_REQUEST, 2, 6, 0, 0);

	solo_send(&vote);
	QBD_EQUAL(test, core->vote, 2);
	qbd_core_set_fitness(core, solo->now, QBD_FORGETFUL);
	solo_hard_durable();
	QBD_TRUE(test, !solo_sent(QBD_MESSAGE_VOTE_REPLY, 2));
	/* Asked once more; then it is known to be the only one. */
	solo_send(&vote);
	QBD_TRUE(test, !granted(QBD_MESSAGE_VOTE_REPLY, 2));
	solo_forget();
	qbd_core_set_fitness(core, solo->now, solo_fitness);
	solo_send(&vote);
	QBD_TRUE(test, granted(QBD_MESSAGE_VOTE_REPLY, 2));
}

/* Another member had its vote, its disk was rolled back to before it, and it is told. */
static void a_vote_that_is_forgotten_is_given_to_nobody(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message vote;
	u64 term;

	/* In its own term, and in a later one. */
	for (term = 5; term <= 8; term += 3) {
		core = solo_start(3, 5, 0, NULL, 0);
		QBD_TRUE(test, qbd_core_vote_lost(core, solo->now, term));
		solo_drain();
		QBD_EQUAL(test, solo->output.hard_term, term);
		QBD_EQUAL(test, solo->output.hard_vote, QBD_VOTE_NOBODY);
		solo_hard_durable();
		/* Told again; restarted. */
		QBD_TRUE(test, !qbd_core_vote_lost(core, solo->now, term));
		core = solo_start(3, term, QBD_VOTE_NOBODY, NULL, 0);
		vote = request(QBD_MESSAGE_VOTE_REQUEST, 2, term, 0, 0);
		vote.flags = QBD_MESSAGE_FORCED;
		solo_send(&vote);
		solo_hard_durable();
		QBD_TRUE(test, !granted(QBD_MESSAGE_VOTE_REPLY, 2));
		vote = request(QBD_MESSAGE_VOTE_REQUEST, 2, term + 1, 0, 0);
		vote.flags = QBD_MESSAGE_FORCED;
		solo_send(&vote);
		solo_hard_durable();
		QBD_TRUE(test, granted(QBD_MESSAGE_VOTE_REPLY, 2));
	}
	/* What it voted since it came up, for another one or for itself, is another vote. */
	core = solo_start(3, 5, 0, NULL, 0);
	vote = request(QBD_MESSAGE_VOTE_REQUEST, 2, 6, 0, 0);
	vote.flags = QBD_MESSAGE_FORCED;
	solo_send(&vote);
	QBD_EQUAL(test, core->vote, 2);
	QBD_TRUE(test, qbd_core_vote_lost(core, solo->now, 6));
	solo_drain();
	solo_hard_durable();
	QBD_TRUE(test, !granted(QBD_MESSAGE_VOTE_REPLY, 2));
	core = solo_start(3, 5, 0, NULL, 0);
	solo->now = core->election_deadline;
	qbd_core_tick(core, solo->now);
	qbd_campaign(core, false);
	solo_drain();
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	QBD_TRUE(test, qbd_core_vote_lost(core, solo->now, 6));
	solo_drain();
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->vote, QBD_VOTE_NOBODY);
	/* It knows whom; that term is over; it keeps nothing any more. */
	core = solo_start(3, 5, 2, NULL, 0);
	QBD_TRUE(test, !qbd_core_vote_lost(core, solo->now, 5));
	QBD_EQUAL(test, core->vote, 2);
	QBD_TRUE(test, !qbd_core_vote_lost(core, solo->now, 4));
	QBD_EQUAL(test, core->term, 5);
	qbd_core_storage_failed(core, solo->now);
	QBD_TRUE(test, !qbd_core_vote_lost(core, solo->now, 6));
	QBD_EQUAL(test, core->term, 5);
}

static void accident_03_own_vote_counts_when_durable(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message reply;
	u64 old_seq;

	qbd_campaign(core, false);
	solo_drain();
	old_seq = core->hard_seq;
	/* No request leaves, and another's vote is not enough. */
	QBD_TRUE(test, !solo_sent(QBD_MESSAGE_VOTE_REQUEST, 2));
	reply = solo_message(QBD_MESSAGE_VOTE_REPLY, 2, 6);
	reply.flags = QBD_MESSAGE_GRANTED;
	solo_send(&reply);
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	/* A newer term comes first: the old completion elects nobody. */
	reply = solo_message(QBD_MESSAGE_TERM, 3, 9);
	solo_send(&reply);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	qbd_campaign(core, false);
	solo_drain();
	reply = solo_message(QBD_MESSAGE_VOTE_REPLY, 2, 10);
	reply.flags = QBD_MESSAGE_GRANTED;
	solo_send(&reply);
	qbd_core_hard_state_durable(core, solo->now, old_seq);
	solo_drain();
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	/* Nor do all the others together, who were not even asked. */
	reply.from = 3;
	solo_send(&reply);
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	QBD_EQUAL(test, solo->output.stopped_line, 0);
	solo_hard_durable();
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
}

static void accident_03_a_late_prevote_is_no_vote(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(5, 5, 0, NULL, 0);
	struct qbd_core_message reply;

	solo_tick_after(core->election_deadline - solo->now);
	QBD_EQUAL(test, core->role, QBD_ROLE_PRECANDIDATE);
	QBD_EQUAL(test, core->term, 5);
	for (u32 from = 2; from <= 3; from++) {
		reply = solo_message(QBD_MESSAGE_PREVOTE_REPLY, from, 6);
		reply.flags = QBD_MESSAGE_GRANTED;
		solo_send(&reply);
	}
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	solo_hard_durable();
	for (u32 from = 4; from <= 5; from++) {
		reply = solo_message(QBD_MESSAGE_PREVOTE_REPLY, from, 6);
		reply.flags = QBD_MESSAGE_GRANTED;
		solo_send(&reply);
	}
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	QBD_EQUAL(test, core->votes_granted, 0);
}

/*
 * A learner's promotion was committed without it, as it was slow. The others are
 * too few without it: it must vote, and for someone it does not know.
 */
static void accident_04_a_learner_asked_to_vote_votes(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;
	struct qbd_core_message vote;

	lab_config(&config, 3, 3);
	config.members[0].flags = QBD_CORE_LEARNER;
	core = solo_start_config(&config, 5, 0, NULL, 0);
	solo_tick_after(core->options.election_timeout);
	vote = request(QBD_MESSAGE_PREVOTE_REQUEST, 77, 6, 3, 5);
	solo_send(&vote);
	QBD_TRUE(test, granted(QBD_MESSAGE_PREVOTE_REPLY, 77));
	vote = request(QBD_MESSAGE_VOTE_REQUEST, 77, 6, 3, 5);
	solo_send(&vote);
	solo_hard_durable();
	QBD_TRUE(test, granted(QBD_MESSAGE_VOTE_REPLY, 77));
	/* It never campaigns itself. */
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, qbd_core_deadline(core), QBD_NEVER);
}

static void accident_05_a_rejoining_member_does_not_depose(struct qbd_test *test)
{
	u32 leader, away;
	u64 term;

	lab_setup(lab, 3, 3, 5);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	QBD_TRUE(test, leader);
	away = leader % 3 + 1;
	term = lab_core(lab, leader)->term;
	lab_isolate(lab, away, true);
	lab_run(lab, 20 * LAB_S);
	QBD_EQUAL(test, lab_core(lab, away)->role, QBD_ROLE_PRECANDIDATE);
	QBD_EQUAL(test, lab_core(lab, away)->term, term);
	lab_isolate(lab, away, false);
	lab_run(lab, 2 * LAB_S);
	QBD_EQUAL(test, lab_leader(lab), leader);
	QBD_EQUAL(test, lab_core(lab, leader)->term, term);
	QBD_EQUAL(test, lab_core(lab, away)->leader, leader);
	QBD_TRUE(test, !lab->error);
}

/* Four of five see 2 only, the fifth sees 3 only; 2 is the one to lead. */
static void accident_06_partial_connectivity_settles(struct qbd_test *test)
{
	u64 term;

	lab_setup(lab, 5, 5, 6);
	for (u32 a = 1; a <= 5; a++)
		for (u32 b = 1; b < a; b++)
			lab_cut(lab, a, b, true);
	for (u32 a = 1; a <= 4; a++)
		if (a != 2)
			lab_cut(lab, a, 2, false);
	lab_cut(lab, 5, 3, false);
	lab_boot_all(lab);
	QBD_EQUAL(test, lab_run_to_leader(lab, 0), 2);
	term = lab_core(lab, 2)->term;
	lab_run(lab, 30 * LAB_S);
	QBD_EQUAL(test, lab_core(lab, 2)->role, QBD_ROLE_LEADER);
	QBD_EQUAL(test, lab_core(lab, 2)->term, term);
	QBD_TRUE(test, !lab->error);
}

static void accident_06_a_cut_off_leader_gives_up(struct qbd_test *test)
{
	u32 leader;

	lab_setup(lab, 5, 5, 66);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	lab_cut(lab, leader, leader % 5 + 1, true);
	lab_cut(lab, leader, (leader + 1) % 5 + 1, true);
	lab_run(lab, LAB_S);
	/* Two others are a quorum with it. */
	QBD_EQUAL(test, lab_core(lab, leader)->role, QBD_ROLE_LEADER);
	lab_cut(lab, leader, (leader + 2) % 5 + 1, true);
	lab_run(lab, 2 * LAB_S);
	QBD_TRUE(test, lab_core(lab, leader)->role != QBD_ROLE_LEADER);
	QBD_TRUE(test, lab_leader(lab) && lab_leader(lab) != leader);
	QBD_TRUE(test, !lab->error);
}

static void accident_07_prevote_answers_carry_the_right_term(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message;

	/* A grant: the term asked for, and nothing is entered. */
	message = request(QBD_MESSAGE_PREVOTE_REQUEST, 2, 6, 0, 0);
	solo_send(&message);
	QBD_TRUE(test, granted(QBD_MESSAGE_PREVOTE_REPLY, 2));
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_PREVOTE_REPLY, 2)->term, 6);
	QBD_EQUAL(test, core->term, 5);
	/* A stale one is answered too, with the own term. */
	message = request(QBD_MESSAGE_PREVOTE_REQUEST, 3, 4, 0, 0);
	solo_send(&message);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_PREVOTE_REPLY, 3));
	QBD_TRUE(test, !granted(QBD_MESSAGE_PREVOTE_REPLY, 3));
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_PREVOTE_REPLY, 3)->term, 5);
	/* And whoever gets that answer enters the term. */
	message = solo_message(QBD_MESSAGE_PREVOTE_REPLY, 2, 9);
	solo_send(&message);
	QBD_EQUAL(test, core->term, 9);
	/* A grant does not make it enter one. */
	message = solo_message(QBD_MESSAGE_PREVOTE_REPLY, 2, 12);
	message.flags = QBD_MESSAGE_GRANTED;
	solo_send(&message);
	QBD_EQUAL(test, core->term, 9);
}

/* One has the higher term, the other the longer log; neither may be stuck. */
static void accident_08_high_term_against_long_log(struct qbd_test *test)
{
	lab_setup(lab, 2, 2, 8);
	lab->nodes[1].disk.hard_term = 40;
	lab->nodes[2].disk.hard_term = 3;
	for (u64 i = 1; i <= 5; i++) {
		struct lab_entry entry = {
			.term = 3,
			.id = i,
			.prev = i - 1,
			.kind = QBD_ENTRY_DATA,
		};

		lab->nodes[2].disk.entries[i] = entry;
	}
	lab_boot_all(lab);
	QBD_EQUAL(test, lab_run_to_leader(lab, 0), 2);
	QBD_TRUE(test, lab_core(lab, 2)->term > 40);
	QBD_TRUE(test, !lab->error);
}

static void accident_09_a_short_log_gets_no_prevote(struct qbd_test *test)
{
	struct qbd_core_message message;

	solo_start(3, 5, 0, log_1_1_2, 3);
	/* Shorter, and an older last term however long. */
	message = request(QBD_MESSAGE_PREVOTE_REQUEST, 2, 6, 2, 2);
	solo_send(&message);
	QBD_TRUE(test, !granted(QBD_MESSAGE_PREVOTE_REPLY, 2));
	message = request(QBD_MESSAGE_PREVOTE_REQUEST, 2, 6, 99, 1);
	solo_send(&message);
	QBD_TRUE(test, !granted(QBD_MESSAGE_PREVOTE_REPLY, 2));
	message = request(QBD_MESSAGE_VOTE_REQUEST, 2, 6, 99, 1);
	solo_send(&message);
	solo_hard_durable();
	QBD_TRUE(test, !granted(QBD_MESSAGE_VOTE_REPLY, 2));
	/* As good as the own one is good enough. */
	message = request(QBD_MESSAGE_PREVOTE_REQUEST, 2, 7, 3, 2);
	solo_send(&message);
	QBD_TRUE(test, granted(QBD_MESSAGE_PREVOTE_REPLY, 2));
	message = request(QBD_MESSAGE_VOTE_REQUEST, 3, 7, 1, 3);
	solo_send(&message);
	solo_hard_durable();
	QBD_TRUE(test, granted(QBD_MESSAGE_VOTE_REPLY, 3));
}

static void accident_10_a_stale_leader_is_told(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 9, 0, NULL, 0);
	struct qbd_core_message message;

	solo_heartbeat(2, 5, 1, 0);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_TERM, 2));
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_TERM, 2)->term, 9);
	QBD_EQUAL(test, core->leader, 0);
	solo_forget();
	QBD_EQUAL(test, solo_append(2, 5, 0, 0, 0, NULL, 0), QBD_APPEND_STALE);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_TERM, 2));
	solo_forget();
	message = solo_message(QBD_MESSAGE_PROBE, 2, 5);
	solo_send(&message);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_TERM, 2));
	/* The other side: it steps down. */
	solo_lead(1);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	message = solo_message(QBD_MESSAGE_TERM, 2, 30);
	solo_send(&message);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->term, 30);
}

static void who_hears_a_leader_does_not_vote(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message;

	solo_heartbeat(2, 5, 1, 0);
	solo->now += core->options.election_timeout - 1;
	message = request(QBD_MESSAGE_PREVOTE_REQUEST, 3, 6, 0, 0);
	solo_send(&message);
	QBD_TRUE(test, !granted(QBD_MESSAGE_PREVOTE_REPLY, 3));
	message = request(QBD_MESSAGE_VOTE_REQUEST, 3, 6, 0, 0);
	solo_send(&message);
	QBD_TRUE(test, !solo_sent(QBD_MESSAGE_VOTE_REPLY, 3));
	QBD_EQUAL(test, core->term, 5);
	solo->now += 1;
	solo_send(&message);
	QBD_EQUAL(test, core->term, 6);
	solo_hard_durable();
	QBD_TRUE(test, granted(QBD_MESSAGE_VOTE_REPLY, 3));
}

static void a_leader_with_a_quorum_does_not_vote(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message;

	solo_lead(1);
	solo_round_ack(2, core->round, 0);
	message = request(QBD_MESSAGE_VOTE_REQUEST, 3, 9, 50, 8);
	solo_send(&message);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	QBD_EQUAL(test, core->term, 6);
}

/*
 * A follower supported a lease, crashed, came back and voted at once; the leader
 * did not know and served reads beside the new one.
 */
static void accident_39_no_votes_right_after_a_start(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;
	struct qbd_core_message message;

	lab_config(&config, 3, 3);
	core = solo_start_config(&config, 5, 0, NULL, 0);
	message = request(QBD_MESSAGE_PREVOTE_REQUEST, 3, 6, 0, 0);
	solo->now += core->options.election_timeout - 1;
	solo_send(&message);
	QBD_TRUE(test, !granted(QBD_MESSAGE_PREVOTE_REPLY, 3));
	message = request(QBD_MESSAGE_VOTE_REQUEST, 3, 6, 0, 0);
	solo_send(&message);
	QBD_EQUAL(test, core->term, 5);
	solo->now += 1;
	solo_send(&message);
	QBD_EQUAL(test, core->vote, 3);
	/* A new member never supported one: it votes at once. */
	core = solo_start_config(&config, 0, 0, NULL, 0);
	message = request(QBD_MESSAGE_VOTE_REQUEST, 3, 1, 0, 0);
	solo_send(&message);
	QBD_EQUAL(test, core->vote, 3);
}

static void the_only_voter_leads_at_once(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;

	lab_config(&config, 1, 1);
	core = solo_start_config(&config, 5, 1, NULL, 0);
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	solo_hard_durable();
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	QBD_EQUAL(test, core->term, 6);
	QBD_EQUAL(test, solo->output.noop_index, 1);
	solo_log_durable(1);
	QBD_EQUAL(test, core->commit, 1);
	/* And for ever: there is nobody to lose. */
	for (u32 i = 0; i < 100; i++)
		solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
}

/* But not if it has to be filled, or what it knows is damaged; and then it has no lease. */
static void the_only_voter_may_be_unfit(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;

	lab_config(&config, 1, 1);
	solo_fitness = QBD_MAY_VOTE;
	core = solo_start_config(&config, 5, 1, NULL, 0);
	solo_fitness = QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS;
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->term, 5);
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	qbd_core_set_fitness(core, solo->now, solo_fitness);
	solo->now = qbd_max(solo->now, core->election_deadline);
	solo_tick_after(0);
	solo_hard_durable();
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
}

/*
 * 1 leads, and appends a configuration of 2 alone. 2 answers its heartbeats, is
 * restarted, finds itself alone and leads at once, while 1 still reads under the
 * lease that 2 supported.
 */
static void accident_39_the_last_one_may_have_supported_another(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;

	lab_config(&config, 1, 1);
	/* Nor if it has forgotten for whom its vote was. */
	core = solo_start_config(&config, 5, QBD_VOTE_NOBODY, NULL, 0);
	QBD_EQUAL(test, core->guard_until,
		  solo->now + core->options.election_timeout);
	core = solo_start_config(&config, 5, 2, NULL, 0);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->guard_until,
		  solo->now + core->options.election_timeout);
	solo_tick_after(core->options.election_timeout - 1);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	solo_tick_after(core->options.election_timeout + 1);
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
}

/*
 * The wait of a campaign was fixed: where a write of the vote, or a round trip,
 * took longer nobody ever led. Also with one of three away.
 */
static void slow_disks_and_long_ways_elect_a_leader(struct qbd_test *test)
{
	static const struct {
		u32 write;		/* ms */
		u32 way;
	} slow[] = { { 150, 1 }, { 300, 1 }, { 600, 1 }, { 1, 150 },
		     { 1, 200 }, { 150, 100 } };

	for (u32 run = 0; run < 60; run++) {
		u32 leader;
		u64 term;

		lab_setup(lab, 3 + run % 3, 3 + run % 3, 400 + run);
		lab->weather.hard = slow[run % 6].write * LAB_MS;
		lab->weather.delay = slow[run % 6].way * LAB_MS;
		lab_boot(lab, 1);
		lab_boot(lab, 2);
		if (run & 1)
			lab_boot_all(lab);
		else if (run % 3)
			lab_boot(lab, 3);
		leader = lab_run_to_leader(lab, 0);
		if (!leader)
			leader = lab_run_to_leader(lab, 0);
		QBD_TRUE(test, leader);
		/* And then it is quiet. */
		lab_run(lab, LAB_S);
		leader = lab_leader(lab);
		QBD_TRUE(test, leader);
		term = lab_core(lab, leader)->term;
		lab_run(lab, 10 * LAB_S);
		QBD_EQUAL(test, lab_leader(lab), leader);
		QBD_EQUAL(test, lab_core(lab, leader)->term, term);
		QBD_TRUE(test, !lab->error);
	}
}

/* Let the campaign under way run out of time, and begin the next one. */
static void campaign_again(struct qbd_core *core)
{
	struct qbd_core_message reply;

	if (core->role != QBD_ROLE_PRECANDIDATE)
		solo_tick_after(core->election_deadline - solo->now);
	reply = solo_message(QBD_MESSAGE_PREVOTE_REPLY, 2, core->term + 1);
	reply.flags = QBD_MESSAGE_GRANTED;
	solo_send(&reply);
	solo_hard_durable();
}

static void a_candidate_waits_longer_each_time(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	u64 timeout = core->options.election_timeout;
	struct qbd_core_message reply;

	for (u32 i = 0; i < 6; i++) {
		u64 wait, least = timeout << qbd_min(i, 3);

		campaign_again(core);
		QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
		wait = core->election_deadline - solo->now;
		QBD_TRUE(test, wait >= least && wait <= 2 * least);
	}
	/* A vote that comes late, but in time, is one. */
	solo->now = core->election_deadline - 1;
	reply = solo_message(QBD_MESSAGE_VOTE_REPLY, 3, core->term);
	reply.flags = QBD_MESSAGE_GRANTED;
	solo_send(&reply);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	/* It leads, and is answered: the next time it begins anew. */
	QBD_EQUAL(test, core->campaign_shift, QBD_CAMPAIGN_SHIFT_MAX);
	solo_round_ack(3, core->round, 0);
	QBD_EQUAL(test, core->campaign_shift, 0);
	/* So does who hears another. */
	core = solo_start(3, 5, 0, NULL, 0);
	for (u32 i = 0; i < 3; i++)
		campaign_again(core);
	QBD_EQUAL(test, core->campaign_shift, 2);
	solo_heartbeat(2, core->term, 1, 0);
	QBD_EQUAL(test, core->campaign_shift, 0);
}

/* Whoever waits for its own disk neither gives up nor goes on to another term. */
static void a_campaign_begins_when_the_vote_is_durable(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message vote =
		request(QBD_MESSAGE_VOTE_REQUEST, 2, 6, 0, 0);

	solo_send(&vote);
	for (u32 i = 0; i < 5; i++)
		solo_tick_after(core->election_deadline - solo->now);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->vote, 2);
	solo->now = core->election_deadline - 1;
	solo_hard_durable();
	QBD_TRUE(test, granted(QBD_MESSAGE_VOTE_REPLY, 2));
	QBD_TRUE(test, core->election_deadline >=
		       solo->now + core->options.election_timeout);
	core = solo_start(3, 5, 0, NULL, 0);
	qbd_campaign(core, false);
	for (u32 i = 0; i < 5; i++)
		solo_tick_after(core->election_deadline - solo->now);
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	QBD_EQUAL(test, core->term, 6);
	QBD_EQUAL(test, core->campaign_shift, 0);
}

/* It took its own sleep for the others' silence. */
static void a_leader_that_slept_asks_before_it_gives_up(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	u32 ticks = 0;

	solo_lead(1);
	solo_log_durable(1);
	solo_round_ack(2, core->round, 1);
	QBD_TRUE(test, qbd_core_lease_valid(core, solo->now));
	solo_forget();
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_HEARTBEAT, 2));
	/* The lease is another matter. */
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	solo_round_ack(2, core->round, 1);
	/* Not for ever, however long it sleeps. */
	while (core->role == QBD_ROLE_LEADER && ticks < 100) {
		solo_tick_after(LAB_S);
		ticks++;
	}
	QBD_EQUAL(test, ticks, 5);
}

static void a_witness_votes(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;
	struct qbd_core_message message;

	lab_config(&config, 3, 3);
	config.members[0].flags |= QBD_CORE_WITNESS;
	core = solo_start_config(&config, 5, 0, NULL, 0);
	solo_tick_after(4 * core->options.election_timeout);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	message = request(QBD_MESSAGE_VOTE_REQUEST, 3, 6, 0, 0);
	solo_send(&message);
	solo_hard_durable();
	QBD_TRUE(test, granted(QBD_MESSAGE_VOTE_REPLY, 3));
}

/* The one that is heard first stays; whoever says the same is cut off. */
static void a_second_leader_in_a_term_is_refused(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	static const u32 types[] = { QBD_MESSAGE_HEARTBEAT, QBD_MESSAGE_PROBE,
				     QBD_MESSAGE_TIMEOUT_NOW };
	struct qbd_core_message message;

	solo_heartbeat(2, 5, 1, 0);
	for (u32 i = 0; i < 3; i++) {
		message = solo_message(types[i], 3, 5);
		QBD_TRUE(test, !solo_send(&message));
	}
	QBD_EQUAL(test, solo_append(3, 5, 0, 0, 0, NULL, 0),
		  QBD_APPEND_INVALID);
	QBD_EQUAL(test, core->leader, 2);
	solo_lead(1);
	for (u32 i = 0; i < 3; i++) {
		message = solo_message(types[i], 3, core->term);
		QBD_TRUE(test, !solo_send(&message));
	}
	QBD_EQUAL(test, solo_append(3, core->term, 0, 0, 0, NULL, 0),
		  QBD_APPEND_INVALID);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
}

static void a_term_far_ahead_is_refused(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	u64 most = 5 + ((u64)1 << 32);
	struct qbd_core_message message;

	for (u32 type = 1; type < QBD_MESSAGE_TYPE_END; type++) {
		message = solo_message(type, 2, most + 1);
		QBD_TRUE(test, !solo_send(&message));
	}
	QBD_EQUAL(test, solo_append(2, most + 1, 0, 0, 0, NULL, 0),
		  QBD_APPEND_INVALID);
	QBD_EQUAL(test, core->term, 5);
	message = solo_message(QBD_MESSAGE_TERM, 2, most);
	QBD_TRUE(test, solo_send(&message));
	QBD_EQUAL(test, core->term, most);
}

QBD_SUITE(core_election,
	  QBD_CASE(a_leader_is_elected_by_1_to_9),
	  QBD_CASE(timeouts_lie_between_T_and_2T),
	  QBD_CASE(lower_priority_waits_longer),
	  QBD_CASE(an_idle_follower_has_one_deadline),
	  QBD_CASE(accident_01_step_down_keeps_the_vote),
	  QBD_CASE(accident_02_a_vote_is_durable_before_it_is_given),
	  QBD_CASE(a_vote_that_may_not_be_given_any_more_stays),
	  QBD_CASE(a_vote_that_is_forgotten_is_given_to_nobody),
	  QBD_CASE(accident_03_own_vote_counts_when_durable),
	  QBD_CASE(accident_03_a_late_prevote_is_no_vote),
	  QBD_CASE(accident_04_a_learner_asked_to_vote_votes),
	  QBD_CASE(accident_05_a_rejoining_member_does_not_depose),
	  QBD_CASE(accident_06_partial_connectivity_settles),
	  QBD_CASE(accident_06_a_cut_off_leader_gives_up),
	  QBD_CASE(accident_07_prevote_answers_carry_the_right_term),
	  QBD_CASE(accident_08_high_term_against_long_log),
	  QBD_CASE(accident_09_a_short_log_gets_no_prevote),
	  QBD_CASE(accident_10_a_stale_leader_is_told),
	  QBD_CASE(who_hears_a_leader_does_not_vote),
	  QBD_CASE(a_leader_with_a_quorum_does_not_vote),
	  QBD_CASE(accident_39_no_votes_right_after_a_start),
	  QBD_CASE(the_only_voter_leads_at_once),
	  QBD_CASE(the_only_voter_may_be_unfit),
	  QBD_CASE(accident_39_the_last_one_may_have_supported_another),
	  QBD_CASE(slow_disks_and_long_ways_elect_a_leader),
	  QBD_CASE(a_candidate_waits_longer_each_time),
	  QBD_CASE(a_campaign_begins_when_the_vote_is_durable),
	  QBD_CASE(a_leader_that_slept_asks_before_it_gives_up),
	  QBD_CASE(a_witness_votes),
	  QBD_CASE(a_second_leader_in_a_term_is_refused),
	  QBD_CASE(a_term_far_ahead_is_refused));
