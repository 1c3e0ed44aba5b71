// SPDX-License-Identifier: GPL-2.0
/*
 * Witnesses: they vote and log, and lead only to pass their log on.
 */
#include "core_solo.h"

static struct solo *const solo = &the_solo;
static struct lab *const lab = &the_lab;

/* @count voters, of which the last @witnesses have no data. */
static void setup(u32 count, u32 witnesses, u64 seed)
{
	lab_setup(lab, count, count, seed);
	for (u32 i = 0; i < witnesses; i++)
		lab->configs[0].members[count - 1 - i].flags |= QBD_CORE_WITNESS;
}

/* All are up, and the first leads. */
static void start(u32 count, u32 witnesses, u64 seed)
{
	setup(count, witnesses, seed);
	lab_boot_all(lab);
	lab_run_to_leader(lab, 0);
	lab_run(lab, 200 * LAB_MS);
	if (lab_leader(lab) != 1)
		lab_transfer(lab, lab_leader(lab), 1);
	lab_run_to_leader(lab, 1);
	lab_run(lab, 200 * LAB_MS);
}

static void write(u32 id, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		lab_propose(lab, id);
		lab_run(lab, LAB_MS);
	}
	lab_run(lab, 100 * LAB_MS);
}

/* For so long: does anybody commit what a user writes? */
static bool anything_goes_on(u64 duration)
{
	u64 end = lab->now + duration;
	u64 commit = lab->commit;

	while (lab->now < end && !lab->error) {
		u32 leader = lab_leader(lab);

		if (leader)
			lab_propose(lab, leader);
		lab_run(lab, 50 * LAB_MS);
	}
	return lab->commit > commit + 1;
}

static void witnesses_are_never_a_majority(struct qbd_test *test)
{
	struct qbd_config config;

	for (u32 voters = 1; voters <= 9; voters++) {
		for (u32 witnesses = 0; witnesses <= voters; witnesses++) {
			lab_config(&config, 9, voters);
			for (u32 i = 0; i < witnesses; i++)
				config.members[i].flags |= QBD_CORE_WITNESS;
			QBD_EQUAL(test, !qbd_config_check(&config),
				  witnesses < voters / 2 + 1);
		}
	}
	/* Learners are none of either. */
	lab_config(&config, 9, 3);
	for (u32 i = 3; i < 9; i++)
		config.members[i].flags |= QBD_CORE_WITNESS;
	QBD_TRUE(test, !qbd_config_check(&config));
	/* Old set 1 2 3, new set 3 4 5: 3 and 4 are witnesses. */
	lab_config(&config, 5, 5);
	for (u32 i = 0; i < 2; i++)
		config.members[i].flags = QBD_CORE_VOTER_OLD;
	config.members[2].flags |= QBD_CORE_VOTER_OLD | QBD_CORE_WITNESS;
	QBD_TRUE(test, !qbd_config_check(&config));
	config.members[3].flags |= QBD_CORE_WITNESS;
	QBD_TRUE(test, qbd_config_check(&config));
	config.members[3].flags &= (u8)~QBD_CORE_WITNESS;
	config.members[0].flags |= QBD_CORE_WITNESS;
	QBD_TRUE(test, qbd_config_check(&config));
}

static void a_witness_lets_the_others_campaign_first(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;

	lab_config(&config, 3, 3);
	config.members[0].flags |= QBD_CORE_WITNESS;
	core = solo_start_config(&config, 5, 0, NULL, 0);
	/* Also those whom the fewest prefer: they wait for 2T + 3T at most. */
	QBD_TRUE(test, qbd_core_deadline(core) - solo->now >=
		       5 * core->options.election_timeout);
	for (u32 run = 0; run < 50; run++) {
		start(3, 1, 400 + run);
		lab_crash(lab, 1);
		lab_run_to_leader(lab, 0);
		QBD_EQUAL(test, lab_leader(lab), 2);
		QBD_TRUE(test, !lab->error);
	}
}

static void a_witness_that_leads_serves_nothing(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;
	u64 index;

	lab_config(&config, 3, 3);
	config.members[0].flags |= QBD_CORE_WITNESS;
	core = solo_start_config(&config, 5, 0, NULL, 0);
	solo_lead(1);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_log_durable(1);
	/* 2 follows, but has nothing yet: no transfer is under way. */
	solo_round_ack(2, core->round, 0);
	QBD_EQUAL(test, core->transfer_to, 0);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_DATA, NULL,
					 &index), QBD_PROPOSE_NOT_LEADER);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 &config, &index),
		  QBD_PROPOSE_NOT_LEADER);
	QBD_EQUAL(test, qbd_core_read(core, solo->now, 1, QBD_CORE_READ_LEASE),
		  QBD_READ_NOT_LEADER);
	QBD_EQUAL(test, qbd_core_read(core, solo->now, 2, QBD_CORE_READ_QUORUM),
		  QBD_READ_NOT_LEADER);
	/* It has all: leadership is its own, with no time lost. */
	solo_ack(2, 1);
	QBD_EQUAL(test, core->transfer_to, 2);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 2));
}

/* To a member that cannot lead it is of no use, and another witness cannot either. */
static void a_witness_passes_on_to_who_can_lead(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core_message message;
	struct qbd_core *core;

	lab_config(&config, 5, 5);
	config.members[0].flags |= QBD_CORE_WITNESS;
	config.members[1].flags |= QBD_CORE_WITNESS;
	core = solo_start_config(&config, 5, 0, NULL, 0);
	solo_lead(2);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_log_durable(1);
	solo_ack(2, 1);
	QBD_EQUAL(test, core->transfer_to, 0);
	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 3, core->term);
	message.index = 1;
	message.matched = 1;
	message.flags = QBD_MESSAGE_FILLING;
	solo_send(&message);
	QBD_EQUAL(test, core->transfer_to, 0);
	solo_ack(4, 1);
	QBD_EQUAL(test, core->transfer_to, 4);
	/* It did not take over: another try, and not only one. */
	solo_forget();
	solo_tick_after(core->options.election_timeout);
	QBD_EQUAL(test, core->transfer_to, 0);
	solo_round_ack(4, core->round, 1);
	QBD_EQUAL(test, core->transfer_to, 4);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 4));
}

/*
 * The stale one of two data members comes back when the other one is lost. Elected, it
 * would be a leader without what was acknowledged; without the witness's help nobody
 * would ever lead.
 */
static void accident_a_stale_member_gets_the_witness_log(struct qbd_test *test)
{
	for (u32 run = 0; run < 30; run++) {
		u64 commit;

		start(3, 1, 100 + run);
		lab_crash(lab, 2);
		write(1, 40);
		commit = lab->commit;
		QBD_TRUE(test, commit >= 40);
		lab_crash(lab, 1);
		lab_boot(lab, 2);
		QBD_EQUAL(test, lab_run_to_leader(lab, 2), 2);
		QBD_TRUE(test, lab_core(lab, 2)->commit >= commit);
		QBD_TRUE(test, anything_goes_on(LAB_S));
		QBD_EQUAL(test, lab_leader(lab), 2);
		QBD_TRUE(test, !lab->error);
	}
}

/*
 * Its log does not reach back to what the stale one has: nobody can fill that one, and
 * nothing goes on before the member with the data is back.
 */
static void accident_a_witness_whose_log_is_too_short_waits(struct qbd_test *test)
{
	start(3, 1, 200);
	lab_crash(lab, 2);
	write(1, 40);
	lab_compact(lab, 3, 30);
	lab_crash(lab, 1);
	lab_boot(lab, 2);
	QBD_TRUE(test, !anything_goes_on(5 * LAB_S));
	QBD_TRUE(test, lab_core(lab, 2)->role != QBD_ROLE_LEADER);
	QBD_TRUE(test, !lab->nodes[2].disk.filling);
	lab_boot(lab, 1);
	QBD_EQUAL(test, lab_run_to_leader(lab, 1), 1);
	QBD_TRUE(test, anything_goes_on(LAB_S));
	lab_run(lab, LAB_S);
	QBD_EQUAL(test, lab_core(lab, 2)->commit, lab->commit);
	QBD_TRUE(test, !lab->error);
}

/*
 * The one with the data is back, but only the stale one reaches it, which hears the witness.
 * These two are a majority, and one of them has all.
 */
static void accident_a_witness_is_in_the_way(struct qbd_test *test)
{
	for (u32 run = 0; run < 20; run++) {
		struct lab_node *witness = &lab->nodes[3];

		start(3, 1, 600 + run);
		QBD_TRUE(test, !qbd_core_stuck(lab_core(lab, 1),
					       lab_node_now(lab, &lab->nodes[1])));
		lab_crash(lab, 2);
		write(1, 40);
		lab_compact(lab, 1, 30);
		lab_compact(lab, 3, 30);
		lab_cut(lab, 1, 2, true);
		lab_cut(lab, 1, 3, true);
		lab_boot(lab, 2);
		lab_run(lab, 4 * LAB_S);
		QBD_EQUAL(test, lab_leader(lab), 3);
		lab_cut(lab, 1, 2, false);
		QBD_TRUE(test, !anything_goes_on(3 * LAB_S));
		/* There may be nobody else: it leads on. */
		QBD_EQUAL(test, lab_leader(lab), 3);
		/* Somebody is. */
		QBD_TRUE(test, qbd_core_step_down(lab_core(lab, 3),
						  lab_node_now(lab, witness)));
		lab_drain(lab, witness);
		QBD_EQUAL(test, lab_run_to_leader(lab, 1), 1);
		QBD_TRUE(test, anything_goes_on(LAB_S));
		lab_run(lab, 2 * LAB_S);
		QBD_EQUAL(test, lab_core(lab, 2)->commit, lab->commit);
		QBD_TRUE(test, !lab->error);
	}
}

/* One that has data may take over: the witness passes on to it, and is not in its way. */
static void a_witness_that_can_pass_on_leads_until_then(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;

	lab_config(&config, 3, 3);
	config.members[0].flags |= QBD_CORE_WITNESS;
	core = solo_start_config(&config, 5, 0, NULL, 0);
	solo_lead(1);
	solo_log_durable(1);
	/* Nobody has answered yet. */
	QBD_TRUE(test, qbd_core_stuck(core, solo->now));
	solo_round_ack(2, core->round, 0);
	qbd_peer_find(core, 2)->state = QBD_PEER_NEEDS_EXTENTS;
	QBD_TRUE(test, qbd_core_stuck(core, solo->now));
	qbd_peer_find(core, 2)->state = QBD_PEER_REPLICATE;
	qbd_peer_find(core, 2)->flags = QBD_MESSAGE_FIT;
	QBD_TRUE(test, !qbd_core_stuck(core, solo->now));
	QBD_TRUE(test, !qbd_core_step_down(core, solo->now));
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
}

/* Its log is begun anew; what was committed is not asked of it. */
static void a_witness_too_far_behind_begins_anew(struct qbd_test *test)
{
	start(3, 1, 300);
	lab_crash(lab, 3);
	write(1, 40);
	lab_compact(lab, 1, 30);
	lab_boot(lab, 3);
	lab_run(lab, LAB_S);
	QBD_TRUE(test, !lab->nodes[3].disk.filling);
	QBD_TRUE(test, lab->nodes[3].base_index >= 30);
	QBD_EQUAL(test, lab_core(lab, 3)->commit, lab->commit);
	lab_crash(lab, 2);
	QBD_TRUE(test, anything_goes_on(LAB_S));
	QBD_TRUE(test, !lab->error);
}

static void any_one_of_two_and_a_witness_may_go(struct qbd_test *test)
{
	for (u32 id = 1; id <= 3; id++) {
		start(3, 1, 500 + id);
		lab_crash(lab, id);
		lab_run_to_leader(lab, 0);
		QBD_TRUE(test, anything_goes_on(2 * LAB_S));
		lab_boot(lab, id);
		lab_run(lab, 2 * LAB_S);
		QBD_EQUAL(test, lab_core(lab, id)->commit, lab->commit);
		QBD_TRUE(test, lab_leader(lab) != 3);
		QBD_TRUE(test, !lab->error);
	}
}

QBD_SUITE(core_witness,
	  QBD_CASE(witnesses_are_never_a_majority),
	  QBD_CASE(a_witness_lets_the_others_campaign_first),
	  QBD_CASE(a_witness_that_leads_serves_nothing),
	  QBD_CASE(a_witness_passes_on_to_who_can_lead),
	  QBD_CASE(accident_a_stale_member_gets_the_witness_log),
	  QBD_CASE(accident_a_witness_whose_log_is_too_short_waits),
	  QBD_CASE(accident_a_witness_is_in_the_way),
	  QBD_CASE(a_witness_that_can_pass_on_leads_until_then),
	  QBD_CASE(a_witness_too_far_behind_begins_anew),
	  QBD_CASE(any_one_of_two_and_a_witness_may_go));
