// SPDX-License-Identifier: GPL-2.0
/*
 * The parts by themselves: options, member lists, quorums, the trail of terms.
 */
#include "core_solo.h"

static void options_are_checked_against_each_other(struct qbd_test *test)
{
	struct qbd_core_options options;

	qbd_core_options_default(&options);
	QBD_TRUE(test, !qbd_core_options_check(&options));
	options.heartbeat = options.election_timeout / 2;
	QBD_TRUE(test, qbd_core_options_check(&options));
	qbd_core_options_default(&options);
	options.election_timeout = LAB_MS;
	QBD_TRUE(test, qbd_core_options_check(&options));
	qbd_core_options_default(&options);
	options.disk_stall = LAB_MS;
	QBD_TRUE(test, qbd_core_options_check(&options));
	qbd_core_options_default(&options);
	options.window = 0;
	QBD_TRUE(test, qbd_core_options_check(&options));
	qbd_core_options_default(&options);
	options.resend = 0;
	QBD_TRUE(test, qbd_core_options_check(&options));
	/* Nor is anything endless, or a heartbeat without an interval. */
	qbd_core_options_default(&options);
	options.heartbeat = LAB_MS - 1;
	QBD_TRUE(test, qbd_core_options_check(&options));
	qbd_core_options_default(&options);
	options.disk_stall = 600 * LAB_S;
	options.resend = 600 * LAB_S;
	options.election_timeout = 60 * LAB_S;
	QBD_TRUE(test, !qbd_core_options_check(&options));
	options.election_timeout++;
	QBD_TRUE(test, qbd_core_options_check(&options));
	options.election_timeout--;
	options.disk_stall++;
	QBD_TRUE(test, qbd_core_options_check(&options));
	options.disk_stall--;
	options.resend++;
	QBD_TRUE(test, qbd_core_options_check(&options));
}

static void member_lists_are_checked(struct qbd_test *test)
{
	struct qbd_config config;

	lab_config(&config, 16, 9);
	QBD_TRUE(test, !qbd_config_check(&config));
	QBD_TRUE(test, !qbd_config_is_joint(&config));
	config.members[3].id = config.members[7].id;
	QBD_TRUE(test, qbd_config_check(&config));
	lab_config(&config, 3, 0);
	QBD_TRUE(test, qbd_config_check(&config));
	lab_config(&config, 3, 3);
	config.members[1].id = 0;
	QBD_TRUE(test, qbd_config_check(&config));
	lab_config(&config, 3, 3);
	config.members[1].flags = QBD_CORE_VOTER | QBD_CORE_LEARNER;
	QBD_TRUE(test, qbd_config_check(&config));
	config.members[1].flags = QBD_CORE_WITNESS;
	QBD_TRUE(test, qbd_config_check(&config));
	config.members[1].flags = QBD_CORE_VOTER_OLD | QBD_CORE_LEARNER;
	QBD_TRUE(test, !qbd_config_check(&config));
	QBD_TRUE(test, qbd_config_is_joint(&config));
	config.count = 0;
	QBD_TRUE(test, qbd_config_check(&config));
	config.count = 17;
	QBD_TRUE(test, qbd_config_check(&config));
	lab_config(&config, 3, 3);
	config.members[1].flags |= 0x80;
	QBD_TRUE(test, qbd_config_check(&config));
}

static void majority_of_1_to_9(struct qbd_test *test)
{
	for (u32 voters = 1; voters <= 9; voters++) {
		struct qbd_core *core = solo_start(voters, 0, 0, NULL, 0);
		u64 values[QBD_PEERS_MAX] = { 0 };
		u32 quorum = voters / 2 + 1;

		/* With quorum - 1 others at 7 and this member at 9: 7. */
		for (u32 i = 0; i < quorum - 1; i++)
			values[i] = 7;
		QBD_EQUAL(test, qbd_quorum_value(core, values, 9),
			  voters == 1 ? 9 : 7);
		if (quorum > 1) {
			values[0] = 0;
			QBD_EQUAL(test, qbd_quorum_value(core, values, 9), 0);
		}
		QBD_EQUAL(test, qbd_quorum_is_self(core), voters == 1);
	}
}

static void joint_needs_both_majorities(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;
	u64 values[QBD_PEERS_MAX] = { 0 };

	/* Old 1 2 3, new 3 4 5. */
	lab_config(&config, 5, 5);
	config.members[0].flags = QBD_CORE_VOTER_OLD;
	config.members[1].flags = QBD_CORE_VOTER_OLD;
	config.members[2].flags = QBD_CORE_VOTER_OLD | QBD_CORE_VOTER;
	core = solo_start_config(&config, 0, 0, NULL, 0);
	values[qbd_peer_find(core, 2) - core->peers] = 5;
	QBD_EQUAL(test, qbd_quorum_value(core, values, 5), 0);
	values[qbd_peer_find(core, 4) - core->peers] = 4;
	QBD_EQUAL(test, qbd_quorum_value(core, values, 5), 0);
	values[qbd_peer_find(core, 5) - core->peers] = 3;
	QBD_EQUAL(test, qbd_quorum_value(core, values, 5), 3);
	/* Votes likewise; 3 is in both. */
	QBD_EQUAL(test, qbd_quorum_tally(core, 0, 0, true), QBD_TALLY_PENDING);
	QBD_EQUAL(test,
		  qbd_quorum_tally(core, QBD_BIT(qbd_peer_find(core, 3) -
						 core->peers), 0, true),
		  QBD_TALLY_PENDING);
	QBD_EQUAL(test,
		  qbd_quorum_tally(core, QBD_BIT(qbd_peer_find(core, 3) -
						 core->peers) |
				   QBD_BIT(qbd_peer_find(core, 4) -
					   core->peers), 0, true),
		  QBD_TALLY_WON);
	QBD_EQUAL(test,
		  qbd_quorum_tally(core, 0,
				   QBD_BIT(qbd_peer_find(core, 4) -
					   core->peers) |
				   QBD_BIT(qbd_peer_find(core, 5) -
					   core->peers), true),
		  QBD_TALLY_LOST);
}

static void a_member_that_is_no_voter_counts_for_nothing(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;
	u64 values[QBD_PEERS_MAX] = { 0 };

	lab_config(&config, 3, 3);
	config.members[0].flags = QBD_CORE_LEARNER;
	core = solo_start_config(&config, 0, 0, NULL, 0);
	QBD_EQUAL(test, qbd_quorum_value(core, values, QBD_NEVER), 0);
	QBD_EQUAL(test, qbd_quorum_tally(core, 0, 0, true), QBD_TALLY_PENDING);
	QBD_TRUE(test, !qbd_election_fit(core));
}

static struct qbd_trail trail;

static void trail_of(const u64 *terms, u32 count)
{
	qbd_trail_reset(&trail, 0, 0);
	for (u32 i = 0; i < count; i++)
		qbd_trail_append(&trail, terms[i], 0);
}

static void trail_knows_terms(struct qbd_test *test)
{
	static const u64 terms[] = { 1, 1, 1, 3, 3, 6, 7, 7 };

	trail_of(terms, 8);
	for (u32 i = 0; i < 8; i++)
		QBD_EQUAL(test, qbd_trail_term(&trail, i + 1), terms[i]);
	QBD_EQUAL(test, qbd_trail_term(&trail, 0), 0);
	QBD_EQUAL(test, qbd_trail_term(&trail, 9), 0);
	QBD_TRUE(test, !qbd_trail_append(&trail, 6, 0));
	qbd_trail_truncate(&trail, 5);
	QBD_EQUAL(test, trail.last, 4);
	QBD_EQUAL(test, qbd_trail_last_term(&trail), 3);
	QBD_EQUAL(test, trail.count, 2);
	qbd_trail_append(&trail, 9, 0);
	QBD_EQUAL(test, qbd_trail_term(&trail, 5), 9);
	/* There is nothing beyond its ends to be forgotten. */
	qbd_trail_compact(&trail, 2);
	qbd_trail_truncate(&trail, 6);
	qbd_trail_truncate(&trail, 2);
	QBD_EQUAL(test, trail.last, 5);
	qbd_trail_compact(&trail, 6);
	qbd_trail_compact(&trail, 1);
	QBD_EQUAL(test, trail.base_index, 2);
	QBD_EQUAL(test, qbd_trail_term(&trail, 5), 9);
}

static void trail_is_compacted(struct qbd_test *test)
{
	static const u64 terms[] = { 1, 1, 1, 3, 3, 6, 7, 7 };

	for (u64 base = 1; base <= 8; base++) {
		trail_of(terms, 8);
		qbd_trail_compact(&trail, base);
		QBD_EQUAL(test, trail.base_index, base);
		QBD_EQUAL(test, trail.base_term, terms[base - 1]);
		QBD_EQUAL(test, qbd_trail_term(&trail, base - 1), 0);
		for (u64 i = base; i <= 8; i++)
			QBD_EQUAL(test, qbd_trail_term(&trail, i),
				  terms[i - 1]);
		QBD_EQUAL(test, qbd_trail_last_term(&trail), 7);
		qbd_trail_append(&trail, 7, 0);
		qbd_trail_append(&trail, 8, 0);
		QBD_EQUAL(test, qbd_trail_term(&trail, 9), 7);
		QBD_EQUAL(test, qbd_trail_term(&trail, 10), 8);
		qbd_trail_truncate(&trail, base + 1);
		QBD_EQUAL(test, qbd_trail_last_term(&trail), terms[base - 1]);
	}
}

static void trail_forgets_committed_runs_when_full(struct qbd_test *test)
{
	qbd_trail_reset(&trail, 0, 0);
	for (u64 term = 1; term <= QBD_TRAIL_MAX; term++)
		QBD_TRUE(test, qbd_trail_append(&trail, term, 0));
	/* Nothing is committed: no more terms, but more of the last one. */
	QBD_TRUE(test, !qbd_trail_has_room(&trail, 0));
	QBD_TRUE(test, !qbd_trail_append(&trail, 1000, 0));
	QBD_TRUE(test, qbd_trail_append(&trail, QBD_TRAIL_MAX, 0));
	QBD_TRUE(test, qbd_trail_append(&trail, 1000, 1));
	QBD_EQUAL(test, trail.base_index, 1);
	QBD_EQUAL(test, trail.base_term, 1);
	QBD_EQUAL(test, qbd_trail_term(&trail, 2), 2);
	QBD_EQUAL(test, qbd_trail_term(&trail, trail.last), 1000);
}

static void trail_finds_the_last_common_term(struct qbd_test *test)
{
	static const u64 terms[] = { 1, 1, 1, 3, 3, 6, 7, 7 };

	trail_of(terms, 8);
	QBD_EQUAL(test, qbd_trail_find(&trail, 100, 7), 8);
	QBD_EQUAL(test, qbd_trail_find(&trail, 7, 7), 7);
	QBD_EQUAL(test, qbd_trail_find(&trail, 8, 6), 6);
	QBD_EQUAL(test, qbd_trail_find(&trail, 8, 5), 5);
	QBD_EQUAL(test, qbd_trail_find(&trail, 8, 2), 3);
	QBD_EQUAL(test, qbd_trail_find(&trail, 8, 0), 0);
	qbd_trail_compact(&trail, 4);
	QBD_EQUAL(test, qbd_trail_find(&trail, 8, 2), 4);
}

static void a_leader_with_a_full_trail_is_not_fit(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, QBD_TRAIL_MAX, 0, NULL, 0);

	for (u64 term = 1; term <= QBD_TRAIL_MAX; term++)
		QBD_EQUAL(test, solo_append(2, QBD_TRAIL_MAX, term - 1,
					    term - 1, 0, &term, 1),
			  QBD_APPEND_ACCEPTED);
	solo_log_durable(QBD_TRAIL_MAX);
	QBD_TRUE(test, !qbd_election_fit(core));
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->leader, 0);
	/* With some of it committed there is room again. */
	QBD_EQUAL(test, solo_append(2, QBD_TRAIL_MAX, QBD_TRAIL_MAX,
				    QBD_TRAIL_MAX, 9, NULL, 0),
		  QBD_APPEND_ACCEPTED);
	QBD_TRUE(test, qbd_election_fit(core));
}

static void strangers_never_push_members_out(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core *core;

	lab_config(&config, QBD_CORE_MEMBERS_MAX, 9);
	core = solo_start_config(&config, 5, 0, NULL, 0);
	for (u32 id = 100; id < 200; id++) {
		struct qbd_core_message message =
			solo_message(QBD_MESSAGE_VOTE_REQUEST, id, 3);

		message.index = 1;
		message.log_term = 1;
		QBD_TRUE(test, solo_send(&message));
		QBD_TRUE(test, solo_sent(QBD_MESSAGE_VOTE_REPLY, id));
	}
	for (u32 id = 2; id <= QBD_CORE_MEMBERS_MAX; id++)
		QBD_TRUE(test, qbd_peer_find(core, id));
	QBD_EQUAL(test, core->stopped_line, 0);
}

static void rubbish_is_refused_and_harmless(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message good =
		solo_message(QBD_MESSAGE_HEARTBEAT, 2, 5);
	struct qbd_core_message bad;
	static const u64 back[] = { 3, 2 };
	static const u64 beyond[] = { 9 };

	bad = good;
	bad.type = 0;
	QBD_TRUE(test, !solo_send(&bad));
	bad.type = QBD_MESSAGE_TYPE_END;
	QBD_TRUE(test, !solo_send(&bad));
	bad = good;
	bad.from = 1;
	QBD_TRUE(test, !solo_send(&bad));
	bad.from = 0;
	QBD_TRUE(test, !solo_send(&bad));
	bad = good;
	bad.to = 3;
	QBD_TRUE(test, !solo_send(&bad));
	bad = good;
	bad.term = ~(u64)0;
	QBD_TRUE(test, !solo_send(&bad));
	bad = good;
	bad.term = 0;
	QBD_TRUE(test, !solo_send(&bad));
	bad = good;
	bad.commit = ~(u64)0;
	QBD_TRUE(test, !solo_send(&bad));
	QBD_EQUAL(test, solo_append(2, 5, 0, 0, 0, back, 2),
		  QBD_APPEND_INVALID);
	QBD_EQUAL(test, solo_append(2, 5, 0, 0, 0, beyond, 1),
		  QBD_APPEND_INVALID);
	QBD_EQUAL(test, core->term, 5);
	QBD_EQUAL(test, core->leader, 0);
	QBD_EQUAL(test, core->trail.last, 0);
	QBD_EQUAL(test, core->rubbish, 10);
	QBD_EQUAL(test, core->stopped_line, 0);
}

QBD_SUITE(core_parts,
	  QBD_CASE(options_are_checked_against_each_other),
	  QBD_CASE(member_lists_are_checked),
	  QBD_CASE(majority_of_1_to_9),
	  QBD_CASE(joint_needs_both_majorities),
	  QBD_CASE(a_member_that_is_no_voter_counts_for_nothing),
	  QBD_CASE(trail_knows_terms),
	  QBD_CASE(trail_is_compacted),
	  QBD_CASE(trail_forgets_committed_runs_when_full),
	  QBD_CASE(trail_finds_the_last_common_term),
	  QBD_CASE(a_leader_with_a_full_trail_is_not_fit),
	  QBD_CASE(strangers_never_push_members_out),
	  QBD_CASE(rubbish_is_refused_and_harmless));
