// SPDX-License-Identifier: GPL-2.0
/*
 * Linearizable reads: rounds and the lease.
 */
#include "core_solo.h"

static struct solo *const solo = &the_solo;
static struct lab *const lab = &the_lab;

static const u64 ones[] = { 1, 1, 1, 1, 1 };

static enum qbd_read_result read(u64 ticket, enum qbd_core_read_mode mode)
{
	enum qbd_read_result result =
		qbd_core_read(&solo->core, solo->now, ticket, mode);

	solo_drain();
	return result;
}

/* Leads three with its no-op committed; no round is answered yet. */
static struct qbd_core *lead(void)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 2);

	solo_lead(1);
	solo_log_durable(3);
	solo_ack(2, 3);
	solo_forget();
	return core;
}

static void a_round_of_a_quorum_releases_reads(struct qbd_test *test)
{
	struct qbd_core *core = lead();

	QBD_EQUAL(test, core->commit, 3);
	QBD_EQUAL(test, read(1, QBD_CORE_READ_QUORUM), QBD_READ_PENDING);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_HEARTBEAT, 2));
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_HEARTBEAT, 2)->round,
		  core->round);
	/* Those who come meanwhile share the next round. */
	QBD_EQUAL(test, read(2, QBD_CORE_READ_QUORUM), QBD_READ_PENDING);
	QBD_EQUAL(test, read(3, QBD_CORE_READ_QUORUM), QBD_READ_PENDING);
	/* The answer to an earlier round is none to this one. */
	solo_round_ack(2, core->round - 1, 3);
	QBD_TRUE(test, !(solo->flags & QBD_OUT_READS_RELEASED));
	solo_round_ack(2, core->round, 3);
	QBD_TRUE(test, solo->flags & QBD_OUT_READS_RELEASED);
	QBD_EQUAL(test, solo->output.read_released, 1);
	solo_forget();
	solo_round_ack(3, core->round, 3);
	QBD_EQUAL(test, solo->output.read_released, 3);
}

static void reads_fail_when_leadership_is_lost(struct qbd_test *test)
{
	struct qbd_core *core = lead();

	QBD_EQUAL(test, read(1, QBD_CORE_READ_QUORUM), QBD_READ_PENDING);
	QBD_EQUAL(test, read(2, QBD_CORE_READ_QUORUM), QBD_READ_PENDING);
	solo_heartbeat(3, core->term + 1, 1, 0);
	QBD_TRUE(test, solo->flags & QBD_OUT_READS_FAILED);
	QBD_EQUAL(test, solo->output.read_failed, 2);
	QBD_EQUAL(test, read(3, QBD_CORE_READ_QUORUM), QBD_READ_NOT_LEADER);
}

/* The commit index of a new leader may lack what its forerunner acknowledged. */
static void accident_36_no_reads_before_the_own_term(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 2);

	solo_lead(1);
	solo_round_ack(2, core->round, 2);
	QBD_EQUAL(test, core->commit, 0);
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	QBD_EQUAL(test, read(1, QBD_CORE_READ_LEASE), QBD_READ_PENDING);
	solo_round_ack(2, core->round, 2);
	solo_round_ack(3, core->round, 2);
	QBD_TRUE(test, !(solo->flags & QBD_OUT_READS_RELEASED));
	solo_log_durable(3);
	solo_ack(2, 3);
	QBD_EQUAL(test, core->commit, 3);
	QBD_TRUE(test, !(solo->flags & QBD_OUT_READS_RELEASED));
	solo_round_ack(2, core->round, 3);
	QBD_TRUE(test, solo->flags & QBD_OUT_READS_RELEASED);
}

/*
 * Late copies of answers to earlier rounds, also of the leadership before last,
 * release nothing.
 */
static void accident_37_rounds_are_never_used_again(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	struct qbd_core_message old;
	u64 first_round, term;

	read(1, QBD_CORE_READ_QUORUM);
	first_round = core->round;
	term = core->term;
	old = solo_message(QBD_MESSAGE_HEARTBEAT_REPLY, 2, term);
	old.round = first_round;
	old.timeout = core->options.election_timeout;
	solo_send(&old);
	QBD_EQUAL(test, solo->output.read_released, 1);
	solo_forget();
	read(2, QBD_CORE_READ_QUORUM);
	QBD_TRUE(test, core->round > first_round);
	for (u32 i = 0; i < 5; i++) {
		solo_send(&old);
		old.from = 5 - old.from;	/* the other one, too */
	}
	QBD_TRUE(test, !(solo->flags & QBD_OUT_READS_RELEASED));
	/* Lost and won again: rounds go on, old answers are of an old term. */
	solo_heartbeat(3, term + 1, 1, 0);
	solo_lead(1);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_log_durable(core->trail.last);
	solo_ack(2, core->trail.last);
	solo_forget();
	QBD_EQUAL(test, read(3, QBD_CORE_READ_QUORUM), QBD_READ_PENDING);
	old.round = core->round;
	solo_send(&old);
	QBD_TRUE(test, !(solo->flags & QBD_OUT_READS_RELEASED));
}

static void accident_38_the_lease_begins_when_the_round_was_sent(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	u64 timeout = core->options.election_timeout;
	u64 sent;

	solo_tick_after(core->options.heartbeat);
	sent = solo->now;
	/* The answer takes almost as long as the lease. */
	solo->now += timeout / 2;
	QBD_EQUAL(test, read(1, QBD_CORE_READ_LEASE), QBD_READ_PENDING);
	solo_round_ack(2, core->round - 1, 3);
	QBD_EQUAL(test, read(2, QBD_CORE_READ_LEASE), QBD_READ_READY);
	QBD_TRUE(test, qbd_core_lease_valid(core, sent + timeout * 8 / 10));
	QBD_TRUE(test, !qbd_core_lease_valid(core, sent + timeout * 9 / 10));
}

static void the_shorter_timeout_of_both_sets_the_lease(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	struct qbd_core_message reply =
		solo_message(QBD_MESSAGE_HEARTBEAT_REPLY, 2, core->term);

	solo_tick_after(core->options.heartbeat);
	reply.round = core->round;
	reply.timeout = 20 * LAB_MS;
	solo_send(&reply);
	QBD_TRUE(test, qbd_core_lease_valid(core, solo->now + 17 * LAB_MS));
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now + 20 * LAB_MS));
}

/* The leader stands still, another is elected; then it goes on. */
static void accident_39_a_paused_leader_serves_nothing_stale(struct qbd_test *test)
{
	u32 leader;

	lab_setup(lab, 3, 3, 39);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	lab_run(lab, 200 * LAB_MS);
	QBD_TRUE(test, lab_lease(lab, leader));
	lab->nodes[leader].paused_until = lab->now + 2 * LAB_S;
	lab_run(lab, 1900 * LAB_MS);
	QBD_TRUE(test, lab_leader(lab) != leader);
	lab_propose(lab, lab_leader(lab));
	lab_run(lab, 50 * LAB_MS);
	/* It still believes to lead; the clock knows better. */
	QBD_EQUAL(test, lab_core(lab, leader)->role, QBD_ROLE_LEADER);
	QBD_TRUE(test, !lab_lease(lab, leader));
	lab_read(lab, leader, QBD_CORE_READ_LEASE);
	lab_run(lab, LAB_S);
	QBD_EQUAL(test, lab->nodes[leader].released, 0);
	QBD_EQUAL(test, lab->nodes[leader].read_failed, 1);
	QBD_TRUE(test, !lab->error);
}

/* Nobody can take over from it: one that only is not whole leads on, this one does not. */
static void who_binds_nobody_does_not_lead(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 2);

	solo_lead(1);
	qbd_core_set_fitness(core, solo->now, QBD_MAY_VOTE | QBD_LOG_COUNTED);
	solo_drain();
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	qbd_core_set_fitness(core, solo->now, QBD_FORGETFUL);
	solo_drain();
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
}

/* What it voted for with the disk that it had before it does not know. */
static void accident_34_no_lease_rests_on_a_new_disk(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 2);
	const struct qbd_core_message *reply;

	qbd_core_set_fitness(core, solo->now, QBD_FORGETFUL);
	solo_drain();
	solo_heartbeat(2, 2, 5, 0);
	solo_hard_durable();
	reply = solo_sent(QBD_MESSAGE_HEARTBEAT_REPLY, 2);
	QBD_TRUE(test, reply && reply->round == 0);
	qbd_core_set_fitness(core, solo->now, QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS);
	solo_forget();
	solo_heartbeat(2, 2, 6, 0);
	reply = solo_sent(QBD_MESSAGE_HEARTBEAT_REPLY, 2);
	QBD_TRUE(test, reply && reply->round == 6);
	/* At the leader: it is there, it has something, and that is all. */
	core = lead();
	read(1, QBD_CORE_READ_QUORUM);
	solo_round_ack(2, 0, 3);
	QBD_TRUE(test, qbd_peer_alive(core, qbd_peer_find(core, 2), solo->now));
	QBD_EQUAL(test, qbd_peer_find(core, 2)->match, 3);
	QBD_TRUE(test, !(solo->flags & QBD_OUT_READS_RELEASED));
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
}

static void set_timeout(u64 timeout)
{
	struct qbd_core_options options = solo->core.options;

	options.election_timeout = timeout;
	options.disk_stall = 4 * timeout;
	options.resend = 4 * timeout;
	qbd_core_set_options(&solo->core, solo->now, &options);
	solo_drain();
}

static void a_promise_outlives_a_change_of_the_timeout(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	u64 promised;

	set_timeout(5 * LAB_S);
	solo_heartbeat(2, 5, 1, 0);
	promised = solo->now + 5 * LAB_S;
	/* Lowered: its own campaign waits, too. */
	set_timeout(150 * LAB_MS);
	QBD_TRUE(test, qbd_core_deadline(core) >= promised);
	while (solo->now + 100 * LAB_MS < promised) {
		solo_tick_after(100 * LAB_MS);
		QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	}
	/* Told to by the leader itself it does not. */
	qbd_campaign(core, true);
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	/* Raised before the answer leaves: that promises the longer time. */
	core = solo_start(3, 5, 0, NULL, 0);
	qbd_core_receive(core, solo->now, &(struct qbd_core_message){
			 .from = 2, .to = 1, .type = QBD_MESSAGE_HEARTBEAT,
			 .term = 6, .round = 1 });
	solo_drain();
	set_timeout(5 * LAB_S);
	solo_hard_durable();
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_HEARTBEAT_REPLY, 2)->timeout,
		  5 * LAB_S);
	QBD_TRUE(test, core->guard_until >= solo->now + 5 * LAB_S);
}

/*
 * The timeout is lowered at two followers, one of which has not heard the leader for
 * long, and then nobody hears it. Its reads must not be stale.
 */
static void the_timeout_is_lowered_under_a_lease(struct qbd_test *test)
{
	struct qbd_core_options options;
	u32 leader;

	lab_setup(lab, 3, 3, 40);
	lab->options.election_timeout = 5 * LAB_S;
	lab->options.disk_stall = 20 * LAB_S;
	lab->options.resend = 20 * LAB_S;
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	QBD_TRUE(test, leader);
	lab_run(lab, LAB_S);
	lab_cut(lab, leader, leader % 3 + 1, true);
	lab_run(lab, 4900 * LAB_MS);
	qbd_core_options_default(&options);
	for (u32 id = 1; id <= 3; id++) {
		if (id == leader)
			continue;
		qbd_core_set_options(lab_core(lab, id),
				     lab_node_now(lab, &lab->nodes[id]),
				     &options);
		lab_drain(lab, &lab->nodes[id]);
	}
	QBD_TRUE(test, lab_lease(lab, leader));
	lab_isolate(lab, leader, true);
	for (u32 i = 0; i < 800; i++) {
		u32 now = lab_leader(lab);

		if (now && now != leader)
			lab_propose(lab, now);
		lab_read(lab, leader, QBD_CORE_READ_LEASE);
		lab_run(lab, 10 * LAB_MS);
	}
	QBD_TRUE(test, lab_leader(lab) && lab_leader(lab) != leader);
	QBD_TRUE(test, !lab->error);
}

static void a_single_voter_reads_at_once(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(1, 1, 1, NULL, 0);

	solo_hard_durable();
	QBD_EQUAL(test, read(1, QBD_CORE_READ_QUORUM), QBD_READ_PENDING);
	solo_log_durable(1);
	QBD_EQUAL(test, solo->output.read_released, 1);
	QBD_EQUAL(test, read(2, QBD_CORE_READ_QUORUM), QBD_READ_READY);
	QBD_EQUAL(test, read(3, QBD_CORE_READ_LEASE), QBD_READ_READY);
	QBD_TRUE(test, qbd_core_lease_valid(core, solo->now + LAB_S));
}

static void rounds_answered_too_late_do_not_count(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	u64 old = core->round;

	for (u32 i = 0; i < QBD_ROUNDS_MAX; i++) {
		solo_round_ack(3, core->round, 3);
		solo_tick_after(core->options.heartbeat);
	}
	/* Its send time is not known any more. */
	solo_round_ack(2, old, 3);
	QBD_EQUAL(test, qbd_peer_find(core, 2)->support_until, 0);
	solo_round_ack(2, old + 1, 3);
	QBD_TRUE(test, qbd_peer_find(core, 2)->support_until > 0);
}

/*
 * A round trip of 320 ms, heartbeats every 4 ms: each answer is 80 rounds old, and it comes
 * all the time.
 */
static void short_heartbeats_over_a_long_way(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	struct qbd_core_options options = core->options;
	u64 first;

	options.election_timeout = 1000 * LAB_MS;
	options.heartbeat = 4 * LAB_MS;
	options.disk_stall = 1000 * LAB_MS;
	QBD_TRUE(test, !qbd_core_options_check(&options));
	qbd_core_set_options(core, solo->now, &options);
	first = core->round;
	for (u32 i = 0; i < 800 && core->role == QBD_ROLE_LEADER; i++) {
		solo_tick_after(options.heartbeat);
		if (core->role == QBD_ROLE_LEADER && core->round >= first + 80) {
			solo_round_ack(2, core->round - 80, 3);
			solo_round_ack(3, core->round - 80, 3);
		}
	}
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	/* Reads are confirmed, too. */
	QBD_EQUAL(test, read(1, QBD_CORE_READ_LEASE), QBD_READ_PENDING);
	solo_round_ack(2, core->round, 3);
	QBD_TRUE(test, solo->flags & QBD_OUT_READS_RELEASED);
}

static struct qbd_config set_of(u32 new_set, u32 old_set)
{
	struct qbd_config config = { 0 };

	for (u32 id = 1; id <= 3; id++)
		if ((new_set | old_set) & QBD_BIT(id))
			config.members[config.count++] = (struct qbd_member){
				.id = id,
				.flags = (new_set & QBD_BIT(id) ? QBD_CORE_VOTER : 0) |
					 (old_set & QBD_BIT(id) ? QBD_CORE_VOTER_OLD : 0),
			};
	return config;
}

/* It was to lead, died of it, and was removed: nobody elects it any more. */
static void a_target_that_was_removed_is_no_barrier(struct qbd_test *test)
{
	struct qbd_core *core = lead();
	struct qbd_config joint = set_of(0xa, 0xe), two = set_of(0xa, 0);
	u64 index;

	solo_round_ack(2, core->round, 3);
	solo_round_ack(3, core->round, 3);
	QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 2), QBD_TRANSFER_STARTED);
	solo_drain();
	for (u32 i = 0; i < 4; i++) {
		solo_tick_after(core->options.heartbeat);
		solo_round_ack(3, core->round, 3);
	}
	QBD_EQUAL(test, core->transfer_to, 0);
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG, &joint, &index),
		  QBD_PROPOSE_OK);
	solo_log_durable(index);
	solo_ack(3, index);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG, &two, &index),
		  QBD_PROPOSE_OK);
	solo_log_durable(index);
	/* It is not committed yet: 2 may be elected still. */
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	solo_ack(3, index);
	QBD_EQUAL(test, core->commit, index);
	solo_tick_after(core->options.heartbeat);
	solo_round_ack(3, core->round, index);
	QBD_TRUE(test, qbd_core_lease_valid(core, solo->now));
}

QBD_SUITE(core_read,
	  QBD_CASE(a_target_that_was_removed_is_no_barrier),
	  QBD_CASE(short_heartbeats_over_a_long_way),
	  QBD_CASE(a_round_of_a_quorum_releases_reads),
	  QBD_CASE(reads_fail_when_leadership_is_lost),
	  QBD_CASE(who_binds_nobody_does_not_lead),
	  QBD_CASE(accident_34_no_lease_rests_on_a_new_disk),
	  QBD_CASE(accident_36_no_reads_before_the_own_term),
	  QBD_CASE(accident_37_rounds_are_never_used_again),
	  QBD_CASE(accident_38_the_lease_begins_when_the_round_was_sent),
	  QBD_CASE(the_shorter_timeout_of_both_sets_the_lease),
	  QBD_CASE(accident_39_a_paused_leader_serves_nothing_stale),
	  QBD_CASE(a_promise_outlives_a_change_of_the_timeout),
	  QBD_CASE(the_timeout_is_lowered_under_a_lease),
	  QBD_CASE(a_single_voter_reads_at_once),
	  QBD_CASE(rounds_answered_too_late_do_not_count));
