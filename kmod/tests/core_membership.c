// SPDX-License-Identifier: GPL-2.0
/*
 * Configurations: in force when appended, rolled back with their entry.
 */
#include "core_solo.h"

static struct solo *const solo = &the_solo;
static struct lab *const lab = &the_lab;

static const u64 ones[] = { 1, 1, 1, 1 };

static void append_config(u32 from, u64 term, u64 prev_index, u64 prev_term,
			  const struct qbd_config *config, u64 commit)
{
	struct qbd_entry entry = {
		.term = term,
		.kind = QBD_ENTRY_CONFIG,
		.config = config,
	};
	struct qbd_append append = {
		.from = from,
		.term = term,
		.prev_index = prev_index,
		.prev_term = prev_term,
		.commit = commit,
		.count = 1,
		.entries = &entry,
	};

	qbd_core_append(&solo->core, solo->now, &append, &solo->result);
	solo_drain();
}

/* Members 1 .. 5: @old as outgoing, @new as incoming set (bitmaps of ids). */
static void joint_config(struct qbd_config *config, u32 old_set, u32 new_set)
{
	lab_config(config, 5, 5);
	for (u32 i = 0; i < 5; i++) {
		u32 id = i + 1;

		config->members[i].flags =
			(new_set & QBD_BIT(id) ? QBD_CORE_VOTER :
						 QBD_CORE_LEARNER) |
			(old_set & QBD_BIT(id) ? QBD_CORE_VOTER_OLD : 0);
	}
}

#define IDS_123 (QBD_BIT(1) | QBD_BIT(2) | QBD_BIT(3))
#define IDS_345 (QBD_BIT(3) | QBD_BIT(4) | QBD_BIT(5))

/*
 * Two members with an old configuration elected a leader by it, although a newer
 * one was in their logs, only not applied. It is in force when appended.
 */
static void accident_30_a_configuration_counts_when_appended(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 1);
	struct qbd_config config;
	struct qbd_core_message reply;

	lab_config(&config, 5, 5);
	append_config(2, 1, 1, 1, &config, 0);
	QBD_EQUAL(test, qbd_core_config(core)->count, 5);
	QBD_EQUAL(test, qbd_core_config_index(core), 2);
	QBD_TRUE(test, solo->flags & QBD_OUT_CONFIG);
	solo_log_durable(2);
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_PRECANDIDATE);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_PREVOTE_REQUEST, 5));
	reply = solo_message(QBD_MESSAGE_PREVOTE_REPLY, 2, 2);
	reply.flags = QBD_MESSAGE_GRANTED;
	solo_send(&reply);
	/* Two of three would have been enough, two of five are not. */
	QBD_EQUAL(test, core->role, QBD_ROLE_PRECANDIDATE);
}

static void accident_31_a_dropped_leader_does_not_count_itself(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 1);
	struct qbd_config config;
	u64 index;

	solo_lead(1);
	solo_log_durable(2);
	solo_ack(2, 2);
	solo_ack(3, 2);
	QBD_EQUAL(test, core->commit, 2);
	joint_config(&config, IDS_123, QBD_BIT(2) | QBD_BIT(3));
	config.count = 3;
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 &config, &index), QBD_PROPOSE_OK);
	solo_log_durable(3);
	solo_ack(2, 3);
	solo_ack(3, 3);
	QBD_EQUAL(test, core->commit, 3);
	lab_config(&config, 3, 3);
	config.members[0].flags = QBD_CORE_LEARNER;
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 &config, &index), QBD_PROPOSE_OK);
	solo_log_durable(4);
	solo_ack(2, 4);
	/* 1 and 2 have it, but 1 is no voter. */
	QBD_EQUAL(test, core->commit, 3);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_round_ack(2, core->round, 4);
	solo_round_ack(3, core->round, 4);
	QBD_EQUAL(test, core->commit, 4);
	/* Done: it hands over. */
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_TIMEOUT_NOW), 1);
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
}

/* One truncation takes several configurations away; the right one is left. */
static void accident_33_rollback_over_several_levels(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 1);
	struct qbd_config config;

	lab_config(&config, 4, 3);
	append_config(2, 1, 1, 1, &config, 0);
	lab_config(&config, 5, 3);
	append_config(2, 1, 2, 1, &config, 0);
	joint_config(&config, IDS_123, IDS_345);
	append_config(2, 1, 3, 1, &config, 0);
	QBD_EQUAL(test, qbd_core_config_index(core), 4);
	QBD_EQUAL(test, core->levels_count, 4);
	QBD_TRUE(test, qbd_config_is_joint(qbd_core_config(core)));
	/* A leader of term 2 that has entries 1 and 2 only. */
	solo_append(3, 2, 2, 1, 0, (const u64[]){ 2 }, 1);
	QBD_EQUAL(test, solo->result.truncate_from, 3);
	QBD_EQUAL(test, qbd_core_config_index(core), 2);
	QBD_EQUAL(test, qbd_core_config(core)->count, 4);
	/* And down to the first one. */
	solo_append(2, 3, 1, 1, 0, (const u64[]){ 3 }, 1);
	QBD_EQUAL(test, qbd_core_config_index(core), 0);
	QBD_EQUAL(test, qbd_core_config(core)->count, 3);
}

/*
 * A member that joined: its first list is of entry 3, of which its log has none yet. Lists
 * up to there are history, and none of them is in force when what follows is taken back.
 */
static void a_first_list_newer_than_the_log(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 1);
	struct qbd_config config;

	core->levels[0].index = 3;
	lab_config(&config, 4, 3);
	append_config(2, 1, 1, 1, &config, 0);
	QBD_EQUAL(test, qbd_core_config_index(core), 3);
	QBD_EQUAL(test, qbd_core_config(core)->count, 3);
	/* The entry that brought it. */
	lab_config(&config, 3, 3);
	append_config(2, 1, 2, 1, &config, 0);
	QBD_EQUAL(test, core->levels_count, 1);
	lab_config(&config, 5, 3);
	append_config(2, 1, 3, 1, &config, 0);
	lab_config(&config, 6, 3);
	append_config(2, 1, 4, 1, &config, 0);
	QBD_EQUAL(test, qbd_core_config_index(core), 5);
	/* A leader of term 2 has entries 1 to 3 only. */
	solo_append(3, 2, 3, 1, 0, (const u64[]){ 2 }, 1);
	QBD_EQUAL(test, solo->result.truncate_from, 4);
	QBD_EQUAL(test, qbd_core_config_index(core), 3);
	QBD_EQUAL(test, qbd_core_config(core)->count, 3);
	QBD_EQUAL(test, core->levels_count, 1);
	/* What is in the log before it is what all have, and is not taken back. */
	QBD_EQUAL(test, core->trail.last, 4);
}

static void committed_configurations_are_folded(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 1);
	struct qbd_config config;
	u64 index;

	for (u64 i = 1; i <= 3; i++) {
		lab_config(&config, (u32)(3 + i), 3);
		append_config(2, 1, i, 1, &config, 0);
	}
	QBD_EQUAL(test, qbd_core_config_at(core, 1, &index)->count, 3);
	QBD_EQUAL(test, index, 0);
	QBD_EQUAL(test, qbd_core_config_at(core, 3, &index)->count, 5);
	QBD_EQUAL(test, index, 3);
	solo_append(2, 1, 4, 1, 3, NULL, 0);
	QBD_EQUAL(test, core->levels_count, 2);
	QBD_EQUAL(test, core->levels[0].index, 3);
	/* Of what was before only the newest committed one is known. */
	QBD_EQUAL(test, qbd_core_config_at(core, 1, &index)->count, 5);
	QBD_EQUAL(test, index, 3);
}

static void a_full_stack_folds_the_oldest(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 1);
	struct qbd_config config;

	for (u64 i = 1; i <= 20; i++) {
		lab_config(&config, (u32)(3 + i % 5), 3);
		append_config(2, 1, i, 1, &config, 0);
	}
	QBD_EQUAL(test, core->levels_count, QBD_CONFIGS_MAX);
	QBD_EQUAL(test, qbd_core_config_index(core), 21);
	QBD_EQUAL(test, core->levels[0].index, 22 - QBD_CONFIGS_MAX);
}

static void restored_configurations_are_not_applied_twice(struct qbd_test *test)
{
	struct qbd_core *core = &solo->core;
	struct qbd_core_options options;
	struct qbd_config first, second;
	struct qbd_entry entry = { .term = 1, .kind = QBD_ENTRY_DATA };

	lab_config(&first, 3, 3);
	lab_config(&second, 5, 5);
	qbd_core_options_default(&options);
	qbd_core_init(core, 1, &options, 1);
	/* The superblock already has the configuration of entry 2. */
	qbd_core_restore_base(core, 0, 0, &second, 2);
	QBD_TRUE(test, qbd_core_restore_entry(core, &entry));
	entry.kind = QBD_ENTRY_CONFIG;
	QBD_TRUE(test, !qbd_core_restore_entry(core, &entry));
	entry.config = &second;
	QBD_TRUE(test, qbd_core_restore_entry(core, &entry));
	QBD_EQUAL(test, core->levels_count, 1);
	entry.config = &first;
	QBD_TRUE(test, qbd_core_restore_entry(core, &entry));
	QBD_EQUAL(test, core->levels_count, 2);
	qbd_core_restore_commit(core, 99);
	QBD_EQUAL(test, core->commit, 3);
	QBD_EQUAL(test, core->levels_count, 1);
	QBD_EQUAL(test, qbd_core_config(core)->count, 3);
}

/* Accidents 29 and 35. */
static void accident_29_changes_one_after_the_other(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 1);
	struct qbd_config joint, config;
	u64 index;

	lab_config(&config, 3, 3);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 &config, &index),
		  QBD_PROPOSE_NOT_LEADER);
	solo_lead(1);
	joint_config(&joint, IDS_123, IDS_345);
	/* Nothing of the own term is committed. */
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 &joint, &index),
		  QBD_PROPOSE_CONFIG_PENDING);
	solo_log_durable(2);
	solo_ack(2, 2);
	/* Not from one set of voters to another at once. */
	lab_config(&config, 5, 5);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 &config, &index),
		  QBD_PROPOSE_INVALID);
	/* Nor a joint one with another outgoing set. */
	joint_config(&config, IDS_345, IDS_123);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 &config, &index),
		  QBD_PROPOSE_INVALID);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 &joint, &index), QBD_PROPOSE_OK);
	/* Not on top of one that is not committed. */
	joint_config(&config, 0, IDS_345);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 &config, &index),
		  QBD_PROPOSE_CONFIG_PENDING);
	solo_log_durable(3);
	solo_ack(2, 3);
	QBD_EQUAL(test, core->commit, 2);
	solo_ack(4, 3);
	QBD_EQUAL(test, core->commit, 2);
	solo_ack(5, 3);
	QBD_EQUAL(test, core->commit, 3);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 &config, &index), QBD_PROPOSE_OK);
	/* A configuration needs its list, others must not have one. */
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG,
					 NULL, &index), QBD_PROPOSE_INVALID);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_DATA,
					 &config, &index), QBD_PROPOSE_INVALID);
}

/* See qbd_core_self_may_campaign(): only a dropped member has the whole log. */
static void a_dropped_member_leads_once_more_if_needed(struct qbd_test *test)
{
	struct qbd_config config;
	u32 leader;

	lab_setup(lab, 5, 3, 36);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	/* Old 1 2 3; the new set is one old one that does not lead, and 4 5. */
	joint_config(&config, IDS_123,
		     QBD_BIT(leader % 3 + 1) | QBD_BIT(4) | QBD_BIT(5));
	QBD_EQUAL(test, lab_propose_config(lab, leader, &config),
		  QBD_PROPOSE_OK);
	QBD_TRUE(test, lab_run_to_commit(lab, leader, lab->nodes[leader].last));
	lab_run(lab, 100 * LAB_MS);
	/* The final one reaches the third of the old ones only. */
	for (u32 id = 1; id <= 5; id++)
		if (id != leader && id != (leader + 1) % 3 + 1)
			lab_cut(lab, leader, id, true);
	for (u32 i = 0; i < 5; i++)
		config.members[i].flags =
			config.members[i].flags & QBD_CORE_VOTER ?
			QBD_CORE_VOTER : QBD_CORE_LEARNER;
	QBD_EQUAL(test, lab_propose_config(lab, leader, &config),
		  QBD_PROPOSE_OK);
	lab_run(lab, 20 * LAB_MS);
	lab_crash(lab, leader);
	lab_run(lab, 20 * LAB_S);
	QBD_TRUE(test, !lab->error);
	QBD_TRUE(test, lab_leader(lab));
	leader = lab_leader(lab);
	QBD_TRUE(test, qbd_core_self_votes(lab_core(lab, leader)));
	QBD_EQUAL(test, lab_core(lab, leader)->levels_count, 1);
	config = *qbd_core_config(lab_core(lab, leader));
	QBD_TRUE(test, !qbd_config_is_joint(&config));
	QBD_TRUE(test, lab_run_to_commit(lab, leader,
					 lab_propose(lab, leader)));
}

static void replace_all_voters_while_writing(struct qbd_test *test)
{
	struct qbd_config config;
	u32 leader;

	lab_setup(lab, 6, 3, 37);
	lab_boot_all(lab);
	leader = lab_run_to_leader(lab, 0);
	for (u32 i = 0; i < 50; i++)
		lab_propose(lab, leader);
	lab_config(&config, 6, 6);
	for (u32 i = 0; i < 6; i++)
		config.members[i].flags = i < 3 ? QBD_CORE_VOTER_OLD :
						  QBD_CORE_VOTER;
	lab_run(lab, 100 * LAB_MS);
	QBD_EQUAL(test, lab_propose_config(lab, leader, &config),
		  QBD_PROPOSE_OK);
	for (u32 i = 0; i < 50; i++)
		lab_propose(lab, leader);
	QBD_TRUE(test, lab_run_to_commit(lab, leader, lab->nodes[leader].last));
	memmove(&config.members[0], &config.members[3],
		3 * sizeof(config.members[0]));
	memset(&config.members[3], 0, 3 * sizeof(config.members[0]));
	config.count = 3;
	QBD_EQUAL(test, lab_propose_config(lab, leader, &config),
		  QBD_PROPOSE_OK);
	lab_run(lab, 2 * LAB_S);
	leader = lab_leader(lab);
	QBD_TRUE(test, leader >= 4);
	lab_crash(lab, 1);
	lab_crash(lab, 2);
	lab_crash(lab, 3);
	QBD_TRUE(test, lab_run_to_commit(lab, leader,
					 lab_propose(lab, leader)));
	QBD_TRUE(test, !lab->error);
}

QBD_SUITE(core_membership,
	  QBD_CASE(accident_30_a_configuration_counts_when_appended),
	  QBD_CASE(accident_31_a_dropped_leader_does_not_count_itself),
	  QBD_CASE(accident_33_rollback_over_several_levels),
	  QBD_CASE(a_first_list_newer_than_the_log),
	  QBD_CASE(committed_configurations_are_folded),
	  QBD_CASE(a_full_stack_folds_the_oldest),
	  QBD_CASE(restored_configurations_are_not_applied_twice),
	  QBD_CASE(accident_29_changes_one_after_the_other),
	  QBD_CASE(a_dropped_member_leads_once_more_if_needed),
	  QBD_CASE(replace_all_voters_while_writing));
