// SPDX-License-Identifier: GPL-2.0
/*
 * What comes malformed, too early, too late, or from those who have no say: it is
 * refused or does nothing, and nothing of the state has changed.
 */
#include "core_solo.h"

static struct solo *const solo = &the_solo;

static const u64 five[] = { 5, 5, 5 };

/* A member that is configured and not started. */
static struct qbd_core *not_started(u64 term, const u64 *terms, u32 count)
{
	struct qbd_core_options options;
	struct qbd_config config;

	lab_stops = 0;
	lab_stop_expected = false;
	memset(solo, 0, sizeof(*solo));
	solo->now = LAB_S;
	lab_config(&config, 3, 3);
	qbd_core_options_default(&options);
	qbd_core_init(&solo->core, 1, &options, 42);
	qbd_core_restore_hard_state(&solo->core, term, 0);
	qbd_core_restore_base(&solo->core, 0, 0, &config, 0);
	for (u32 i = 0; i < count; i++) {
		struct qbd_entry entry = { .term = terms[i], .kind = QBD_ENTRY_DATA };

		qbd_core_restore_entry(&solo->core, &entry);
	}
	return &solo->core;
}

/* Before its start it hears messages and says nothing, whatever happens. */
static void not_started_it_takes_part_in_nothing(struct qbd_test *test)
{
	struct qbd_core *core = not_started(5, five, 2);
	struct qbd_core_message message = solo_message(QBD_MESSAGE_VOTE_REQUEST, 2, 9);
	struct qbd_core_options options = core->options;

	message.index = 9;
	message.log_term = 8;
	QBD_TRUE(test, solo_send(&message));
	QBD_EQUAL(test, solo_append(2, 9, 2, 5, 0, NULL, 0), QBD_APPEND_INVALID);
	qbd_core_tick(core, LAB_S * 1000);
	QBD_EQUAL(test, qbd_core_deadline(core), QBD_NEVER);
	options.heartbeat = options.election_timeout / 4;
	qbd_core_set_options(core, LAB_S, &options);
	QBD_EQUAL(test, core->options.heartbeat, options.heartbeat);
	QBD_EQUAL(test, core->election_deadline, QBD_NEVER);
	solo_drain();
	QBD_EQUAL(test, solo->count, 0);
	QBD_EQUAL(test, core->term, 5);
	QBD_EQUAL(test, core->vote, 0);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	/* Its disk failed before it began: it never campaigns. */
	qbd_core_storage_failed(core, LAB_S);
	qbd_core_set_fitness(core, LAB_S, QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS);
	qbd_core_start(core, LAB_S);
	QBD_TRUE(test, !qbd_election_fit(core));
	qbd_core_tick(core, qbd_core_deadline(core));
	QBD_EQUAL(test, qbd_core_deadline(core), QBD_NEVER);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
}

/* The replica restores what a leader's extents begin with before it starts, too. */
static void a_reset_before_the_start_acknowledges_nothing(struct qbd_test *test)
{
	struct qbd_core *core = not_started(5, five, 2);
	struct qbd_config config;

	lab_config(&config, 3, 3);
	QBD_TRUE(test, qbd_core_log_reset(core, LAB_S, 40, 5, &config, 0));
	solo_drain();
	QBD_EQUAL(test, core->commit, 40);
	QBD_EQUAL(test, core->trail.last, 40);
	QBD_EQUAL(test, solo->count, 0);
}

static void restored_entries_are_checked(struct qbd_test *test)
{
	struct qbd_core *core = not_started(5, five, 2);
	struct qbd_entry entry = { .term = 5, .kind = QBD_ENTRY_DATA };
	struct qbd_config config;

	entry.term = 0;
	QBD_TRUE(test, !qbd_core_restore_entry(core, &entry));
	entry.term = 4;
	QBD_TRUE(test, !qbd_core_restore_entry(core, &entry));
	entry.term = 5;
	entry.kind = 0;
	QBD_TRUE(test, !qbd_core_restore_entry(core, &entry));
	entry.kind = QBD_ENTRY_KIND_END;
	QBD_TRUE(test, !qbd_core_restore_entry(core, &entry));
	/* A configuration without members, none at all, one that has no business here. */
	entry.kind = QBD_ENTRY_CONFIG;
	QBD_TRUE(test, !qbd_core_restore_entry(core, &entry));
	lab_config(&config, 3, 3);
	config.count = 0;
	entry.config = &config;
	QBD_TRUE(test, !qbd_core_restore_entry(core, &entry));
	lab_config(&config, 3, 3);
	entry.kind = QBD_ENTRY_DATA;
	QBD_TRUE(test, !qbd_core_restore_entry(core, &entry));
	QBD_EQUAL(test, core->trail.last, 2);
	entry.config = NULL;
	QBD_TRUE(test, qbd_core_restore_entry(core, &entry));
	QBD_EQUAL(test, core->trail.last, 3);
}

static void messages_with_impossible_numbers_are_refused(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 2);
	struct qbd_core_message good = solo_message(QBD_MESSAGE_PROBE, 2, 5), bad;

	good.index = 2;
	good.log_term = 5;
	bad = good;
	bad.index = QBD_INDEX_MAX;
	QBD_TRUE(test, !solo_send(&bad));
	bad = good;
	bad.log_term = QBD_INDEX_MAX;
	QBD_TRUE(test, !solo_send(&bad));
	bad = good;
	bad.matched = QBD_INDEX_MAX;
	QBD_TRUE(test, !solo_send(&bad));
	bad = good;
	bad.hint_index = QBD_INDEX_MAX;
	QBD_TRUE(test, !solo_send(&bad));
	/* A log that is ahead of its owner's term. */
	bad = good;
	bad.log_term = 6;
	QBD_TRUE(test, !solo_send(&bad));
	/* A refusal that points to what it refuses, or beyond. */
	bad = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, 5);
	bad.flags = QBD_MESSAGE_REJECTED;
	bad.reject_index = 2;
	bad.hint_index = 2;
	QBD_TRUE(test, !solo_send(&bad));
	QBD_EQUAL(test, core->rubbish, 6);
	QBD_EQUAL(test, core->leader, 0);
	QBD_EQUAL(test, solo->count, 0);
	QBD_TRUE(test, solo_send(&good));
	QBD_EQUAL(test, core->leader, 2);
}

static enum qbd_append_verdict append_of(const struct qbd_append *append)
{
	return qbd_core_append(&solo->core, solo->now, append, &solo->result);
}

static void appends_with_impossible_numbers_are_refused(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 2);
	struct qbd_entry entry = { .term = 5, .kind = QBD_ENTRY_DATA };
	struct qbd_append good = {
		.from = 2, .term = 5, .prev_index = 2, .prev_term = 5,
		.count = 1, .entries = &entry,
	}, bad;
	struct qbd_config config;

	bad = good;
	bad.from = 0;
	QBD_EQUAL(test, append_of(&bad), QBD_APPEND_INVALID);
	bad.from = 1;
	QBD_EQUAL(test, append_of(&bad), QBD_APPEND_INVALID);
	bad = good;
	bad.term = 0;
	QBD_EQUAL(test, append_of(&bad), QBD_APPEND_INVALID);
	bad.term = QBD_INDEX_MAX;
	QBD_EQUAL(test, append_of(&bad), QBD_APPEND_INVALID);
	bad = good;
	bad.prev_index = QBD_INDEX_MAX;
	QBD_EQUAL(test, append_of(&bad), QBD_APPEND_INVALID);
	bad.prev_index = 0;
	QBD_EQUAL(test, append_of(&bad), QBD_APPEND_INVALID);
	bad = good;
	bad.commit = QBD_INDEX_MAX;
	QBD_EQUAL(test, append_of(&bad), QBD_APPEND_INVALID);
	entry.term = 0;
	QBD_EQUAL(test, append_of(&good), QBD_APPEND_INVALID);
	entry.term = 5;
	entry.kind = 0;
	QBD_EQUAL(test, append_of(&good), QBD_APPEND_INVALID);
	entry.kind = QBD_ENTRY_KIND_END;
	QBD_EQUAL(test, append_of(&good), QBD_APPEND_INVALID);
	lab_config(&config, 3, 3);
	entry.kind = QBD_ENTRY_DATA;
	entry.config = &config;
	QBD_EQUAL(test, append_of(&good), QBD_APPEND_INVALID);
	QBD_EQUAL(test, core->rubbish, 11);
	QBD_EQUAL(test, core->leader, 0);
	QBD_EQUAL(test, core->trail.last, 2);
	entry.config = NULL;
	QBD_EQUAL(test, append_of(&good), QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, core->trail.last, 3);
}

static void proposals_of_nonsense_are_refused(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_config config;
	u64 index = 99;

	solo_lead(1);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	lab_config(&config, 3, 3);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, 0, NULL, &index),
		  QBD_PROPOSE_INVALID);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_KIND_END, NULL, &index),
		  QBD_PROPOSE_INVALID);
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_DATA, &config, &index),
		  QBD_PROPOSE_INVALID);
	QBD_EQUAL(test, index, 99);
	QBD_EQUAL(test, core->trail.last, 1);
}

/* A leader that stops says so to all who wait for it; a second stop adds nothing. */
static void a_leader_that_stops_lets_go_of_everything(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	u64 index;
	u32 line;

	solo_lead(1);
	solo_log_durable(1);
	solo_ack(2, 1);
	solo_round_ack(2, core->round, 1);
	qbd_core_propose(core, solo->now, QBD_ENTRY_DATA, NULL, &index);
	QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 2), QBD_TRANSFER_STARTED);
	QBD_EQUAL(test, qbd_core_read(core, solo->now, 7, QBD_CORE_READ_QUORUM),
		  QBD_READ_PENDING);
	solo_drain();
	solo_forget();
	lab_stop_expected = true;
	qbd_core_require(core, false);
	line = core->stopped_line;
	qbd_core_require(core, false);
	QBD_EQUAL(test, core->stopped_line, line);
	QBD_EQUAL(test, lab_stops, 2);
	solo_drain();
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->leader, 0);
	QBD_EQUAL(test, core->transfer_to, 0);
	QBD_TRUE(test, solo->flags & QBD_OUT_ROLE);
	QBD_TRUE(test, solo->flags & QBD_OUT_READS_FAILED);
	QBD_EQUAL(test, solo->output.read_failed, 7);
	/* It cannot be asked for anything either. */
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_DATA, NULL, &index),
		  QBD_PROPOSE_NOT_LEADER);
}

static void new_options_are_used_at_once(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_options options = core->options;

	/* Who may not campaign does not begin to wait for that. */
	qbd_core_set_fitness(core, solo->now, 0);
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->election_deadline, QBD_NEVER);
	options.heartbeat = 20 * LAB_MS;
	qbd_core_set_options(core, solo->now, &options);
	QBD_EQUAL(test, core->election_deadline, QBD_NEVER);
	qbd_core_set_fitness(core, solo->now, QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS);
	solo_drain();
	solo_lead(1);
	solo_tick_after(0);
	QBD_EQUAL(test, qbd_core_deadline(core), solo->now + options.heartbeat);
	/* A leader's next heartbeat does not wait for the old interval to end. */
	options.heartbeat = 10 * LAB_MS;
	qbd_core_set_options(core, solo->now, &options);
	QBD_EQUAL(test, qbd_core_deadline(core), solo->now);
	solo_tick_after(0);
	QBD_EQUAL(test, qbd_core_deadline(core), solo->now + options.heartbeat);
}

static void a_term_that_is_told_is_entered_if_it_is_newer(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);

	qbd_core_term_told(core, solo->now, 5);
	solo_drain();
	QBD_EQUAL(test, core->term, 5);
	QBD_TRUE(test, !(solo->flags & QBD_OUT_PERSIST));
	qbd_core_term_told(core, solo->now, 8);
	solo_drain();
	QBD_EQUAL(test, core->term, 8);
	QBD_TRUE(test, solo->flags & QBD_OUT_PERSIST);
	/* Who cannot keep a term does not enter one. */
	qbd_core_storage_failed(core, solo->now);
	qbd_core_term_told(core, solo->now, 9);
	QBD_EQUAL(test, core->term, 8);
}

static void durable_again_is_durable_once(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 1);
	struct qbd_core_message message = solo_message(QBD_MESSAGE_VOTE_REQUEST, 2, 7);
	u64 generation = qbd_core_generation(core), seq;

	message.index = 1;
	message.log_term = 5;
	solo_send(&message);
	seq = core->hard_seq;
	solo_hard_durable();
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_VOTE_REPLY), 1);
	/* An older one comes late: nobody is told again. */
	solo_forget();
	qbd_core_hard_state_durable(core, solo->now, seq - 1);
	solo_drain();
	QBD_EQUAL(test, solo->count, 0);
	QBD_EQUAL(test, core->hard_durable, seq);
	/* Nor is more of the log durable than there is. */
	qbd_core_log_durable(core, solo->now, generation, 5, 2);
	QBD_EQUAL(test, core->durable, 1);
}

static void a_log_is_cut_at_its_beginning_only_forward(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 3);

	solo_heartbeat(2, 5, 1, 0);
	QBD_EQUAL(test, solo_append(2, 5, 3, 5, 3, NULL, 0), QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, core->commit, 3);
	qbd_core_log_compacted(core, 0);
	qbd_core_log_compacted(core, 1);
	QBD_EQUAL(test, core->trail.base_index, 0);
	qbd_core_log_compacted(core, 3);
	QBD_EQUAL(test, core->trail.base_index, 2);
	qbd_core_log_compacted(core, 2);
	QBD_EQUAL(test, core->trail.base_index, 2);
	qbd_core_storage_failed(core, solo->now);
	qbd_core_log_compacted(core, 4);
	QBD_EQUAL(test, core->trail.base_index, 2);
}

static void extents_are_taken_from_a_leader_only(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 2);
	struct qbd_config config;

	lab_config(&config, 3, 3);
	/* With no member there is nobody to go on with. */
	config.count = 0;
	QBD_TRUE(test, !qbd_core_log_reset(core, solo->now, 40, 5, &config, 0));
	QBD_EQUAL(test, core->trail.last, 2);
	lab_config(&config, 3, 3);
	/* A campaign is over with it. */
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_PRECANDIDATE);
	QBD_TRUE(test, qbd_core_log_reset(core, solo->now, 40, 5, &config, 0));
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->commit, 40);
	/* A leader's own log is the one. */
	solo_lead(1);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	QBD_TRUE(test, !qbd_core_may_reset(core, 50, 5));
	QBD_TRUE(test, !qbd_core_log_reset(core, solo->now, 50, 5, &config, 0));
	QBD_EQUAL(test, core->trail.last, 41);
}

/* Answers of one who was removed, and answers to a leader that is none any more. */
static void answers_of_strangers_count_for_nothing(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message;

	solo_lead(1);
	solo_log_durable(1);
	solo_round_ack(7, core->round, 1);
	solo_ack(7, 1);
	QBD_EQUAL(test, core->commit, 0);
	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 7, core->term);
	message.flags = QBD_MESSAGE_REJECTED;
	message.reject_index = 1;
	QBD_TRUE(test, solo_send(&message));
	QBD_EQUAL(test, qbd_peer_find(core, 7)->heard_at, 0);
	QBD_TRUE(test, !qbd_core_lease_valid(core, solo->now));
	QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 7), QBD_TRANSFER_NOT_VOTER);
	/* Nor is it sent anything. */
	solo_forget();
	qbd_core_peer_connected(core, solo->now, 7, QBD_LINK_CONTROL);
	qbd_core_peer_connected(core, solo->now, 7, QBD_LINK_BULK);
	solo_drain();
	QBD_EQUAL(test, solo->count, 0);
	QBD_TRUE(test, core->commit == 0 && core->role == QBD_ROLE_LEADER);
	solo_ack(2, 1);
	QBD_EQUAL(test, core->commit, 1);
}

static void nothing_is_pulled_for_those_who_get_nothing(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 2);
	struct qbd_peer_status status;
	struct qbd_range range;

	/* A follower sends no entries. */
	qbd_core_peer_connected(core, solo->now, 2, QBD_LINK_BULK);
	QBD_EQUAL(test, qbd_core_next_append(core, solo->now, 2, ~(u64)0, &range),
		  QBD_PULL_NOTHING);
	qbd_core_append_sent(core, solo->now, 2, 2, 4096);
	QBD_TRUE(test, qbd_core_get_peer(core, solo->now, 2, &status));
	QBD_EQUAL(test, status.member_flags, QBD_CORE_VOTER);
	QBD_EQUAL(test, status.inflight, 0);
	QBD_EQUAL(test, status.window, 0);
	QBD_TRUE(test, !qbd_core_get_peer(core, solo->now, 0, &status));
	QBD_TRUE(test, !qbd_core_get_peer(core, solo->now, 77, &status));
	solo_lead(1);
	solo_log_durable(3);
	/* Nor does a leader to one it has never heard of, or who is no member. */
	QBD_EQUAL(test, qbd_core_next_append(core, solo->now, 77, ~(u64)0, &range),
		  QBD_PULL_NOTHING);
	qbd_core_append_sent(core, solo->now, 77, 3, 4096);
	qbd_core_peer_disconnected(core, solo->now, 77, QBD_LINK_BULK);
	QBD_TRUE(test, !qbd_peer_find(core, 77));
	qbd_core_peer_connected(core, solo->now, 77, QBD_LINK_BULK);
	QBD_EQUAL(test, qbd_core_next_append(core, solo->now, 77, ~(u64)0, &range),
		  QBD_PULL_NOTHING);
	/* What is said to be sent and was not asked for moves nothing. */
	solo_ack(2, 2);
	QBD_EQUAL(test, qbd_core_next_append(core, solo->now, 2, ~(u64)0, &range),
		  QBD_PULL_RANGE);
	QBD_EQUAL(test, range.first, 3);
	qbd_core_append_sent(core, solo->now, 2, 2, 4096);
	QBD_TRUE(test, qbd_core_get_peer(core, solo->now, 2, &status));
	QBD_EQUAL(test, status.next, 3);
	QBD_EQUAL(test, status.inflight, 0);
	/* The window is the peer's own, if it has one; this member has none. */
	qbd_core_set_window(core, 2, 1 << 20);
	qbd_core_set_window(core, 1, 1 << 20);
	QBD_TRUE(test, qbd_core_get_peer(core, solo->now, 2, &status));
	QBD_EQUAL(test, status.window, 1 << 20);
	QBD_TRUE(test, !qbd_core_get_peer(core, solo->now, 1, &status));
	/* Its control connection is lost: the other one goes on. */
	qbd_core_peer_disconnected(core, solo->now, 2, QBD_LINK_CONTROL);
	QBD_EQUAL(test, qbd_core_next_append(core, solo->now, 2, ~(u64)0, &range),
		  QBD_PULL_RANGE);
	QBD_EQUAL(test, qbd_core_slot_peer(core, QBD_PEERS_MAX), 0);
}

/* Also from a leader of a term that is news here. */
static void timeout_now_of_a_newer_term_is_followed(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 1);
	struct qbd_core_message message = solo_message(QBD_MESSAGE_TIMEOUT_NOW, 2, 7);

	QBD_TRUE(test, solo_send(&message));
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	QBD_EQUAL(test, core->term, 8);
	QBD_EQUAL(test, core->vote, 1);
}

static void timeout_now_of_one_it_does_not_follow_is_ignored(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 1);
	struct qbd_core_message message = solo_message(QBD_MESSAGE_TIMEOUT_NOW, 2, 5);

	/* It does not know of a leader, or is a candidate itself. */
	solo_send(&message);
	QBD_EQUAL(test, core->term, 5);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_PRECANDIDATE);
	solo_send(&message);
	QBD_EQUAL(test, core->term, 5);
	QBD_EQUAL(test, core->role, QBD_ROLE_PRECANDIDATE);
}

/* A vote that was given is not taken back by a refusal that is older, or a repetition. */
static void a_refusal_after_a_vote_changes_nothing(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(5, 5, 0, NULL, 0);
	struct qbd_core_message reply;

	solo_tick_after(LAB_S);
	for (u32 from = 2; from <= 3; from++) {
		reply = solo_message(QBD_MESSAGE_PREVOTE_REPLY, from, core->term + 1);
		reply.flags = QBD_MESSAGE_GRANTED;
		solo_send(&reply);
	}
	solo_hard_durable();
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	reply = solo_message(QBD_MESSAGE_VOTE_REPLY, 2, core->term);
	reply.flags = QBD_MESSAGE_GRANTED;
	solo_send(&reply);
	reply.flags = 0;
	solo_send(&reply);
	reply.from = 4;
	solo_send(&reply);
	reply.from = 5;
	solo_send(&reply);
	/* 4 and 5 are against it, 2 is not. */
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	reply.from = 3;
	reply.flags = QBD_MESSAGE_GRANTED;
	solo_send(&reply);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
}

/* Its disk began to stall while the votes were on their way: it does not take the lead. */
static void a_campaign_is_not_won_by_who_may_not_lead(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 1);
	struct qbd_core_message reply;

	solo_tick_after(LAB_S);
	reply = solo_message(QBD_MESSAGE_PREVOTE_REPLY, 2, 6);
	reply.flags = QBD_MESSAGE_GRANTED;
	solo_send(&reply);
	solo_hard_durable();
	QBD_EQUAL(test, core->role, QBD_ROLE_CANDIDATE);
	core->lost_until = 9;
	reply = solo_message(QBD_MESSAGE_VOTE_REPLY, 2, 6);
	reply.flags = QBD_MESSAGE_GRANTED;
	solo_send(&reply);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->trail.last, 1);
}

/* Whatever a member has no configuration for, it agrees to nothing. */
static void without_members_nothing_is_agreed(struct qbd_test *test)
{
	struct qbd_core *core = &solo->core;
	struct qbd_core_options options;
	struct qbd_core_status status;
	u64 values[QBD_PEERS_MAX] = { 0 };

	memset(solo, 0, sizeof(*solo));
	qbd_core_options_default(&options);
	qbd_core_init(core, 1, &options, 42);
	QBD_EQUAL(test, qbd_quorum_value(core, values, 9), 0);
	QBD_EQUAL(test, qbd_quorum_tally(core, ~0u, 0, true), QBD_TALLY_LOST);
	QBD_TRUE(test, !qbd_quorum_is_self(core));
	qbd_core_get_status(core, LAB_S, &status);
	QBD_EQUAL(test, status.voters, 0);
	qbd_core_set_fitness(core, LAB_S, QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS);
	qbd_core_start(core, LAB_S);
	qbd_core_tick(core, 100 * LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
}

static void learners_are_no_voters_in_the_status(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core_status status;
	struct qbd_core *core;

	lab_config(&config, 4, 3);
	core = solo_start_config(&config, 5, 0, NULL, 0);
	qbd_core_get_status(core, solo->now, &status);
	QBD_EQUAL(test, status.voters, 3);
	QBD_EQUAL(test, status.quorum, 2);
}

static void a_transfer_to_who_leads_is_done(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 1);

	QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 2), QBD_TRANSFER_NOT_LEADER);
	QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 0), QBD_TRANSFER_NOT_LEADER);
	solo_heartbeat(2, 5, 1, 0);
	QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 2), QBD_TRANSFER_ALREADY);
	QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 3), QBD_TRANSFER_NOT_LEADER);
}

QBD_SUITE(core_refusals,
	  QBD_CASE(not_started_it_takes_part_in_nothing),
	  QBD_CASE(a_reset_before_the_start_acknowledges_nothing),
	  QBD_CASE(restored_entries_are_checked),
	  QBD_CASE(messages_with_impossible_numbers_are_refused),
	  QBD_CASE(appends_with_impossible_numbers_are_refused),
	  QBD_CASE(proposals_of_nonsense_are_refused),
	  QBD_CASE(a_leader_that_stops_lets_go_of_everything),
	  QBD_CASE(new_options_are_used_at_once),
	  QBD_CASE(a_term_that_is_told_is_entered_if_it_is_newer),
	  QBD_CASE(durable_again_is_durable_once),
	  QBD_CASE(a_log_is_cut_at_its_beginning_only_forward),
	  QBD_CASE(extents_are_taken_from_a_leader_only),
	  QBD_CASE(answers_of_strangers_count_for_nothing),
	  QBD_CASE(nothing_is_pulled_for_those_who_get_nothing),
	  QBD_CASE(timeout_now_of_a_newer_term_is_followed),
	  QBD_CASE(timeout_now_of_one_it_does_not_follow_is_ignored),
	  QBD_CASE(a_refusal_after_a_vote_changes_nothing),
	  QBD_CASE(a_campaign_is_not_won_by_who_may_not_lead),
	  QBD_CASE(without_members_nothing_is_agreed),
	  QBD_CASE(learners_are_no_voters_in_the_status),
	  QBD_CASE(a_transfer_to_who_leads_is_done));
