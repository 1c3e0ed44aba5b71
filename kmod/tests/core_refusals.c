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
	QBD_TRUE(test, !qbd_election_fit(core));
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

/* ---- what is owed when everything changes ---------------------------------- */

/* Received, and nothing is sent yet. */
static void receive(const struct qbd_core_message *message)
{
	qbd_core_receive(&solo->core, solo->now, message);
}

/* A refusal that has not left is not sent if the entry came meanwhile. */
static void a_refusal_that_is_overtaken_does_not_leave(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 2);
	struct qbd_entry entries[2] = {
		{ .term = 5, .kind = QBD_ENTRY_DATA }, { .term = 5, .kind = QBD_ENTRY_DATA },
	};
	struct qbd_append early = { .from = 2, .term = 5, .prev_index = 4, .prev_term = 5 };
	struct qbd_append append = {
		.from = 2, .term = 5, .prev_index = 2, .prev_term = 5,
		.count = 1, .entries = entries,
	};

	QBD_EQUAL(test, append_of(&early), QBD_APPEND_REJECTED);
	/* One entry is not what it asked for, ... */
	QBD_EQUAL(test, append_of(&append), QBD_APPEND_ACCEPTED);
	QBD_TRUE(test, core->append_rejected);
	append.prev_index = 3;
	QBD_EQUAL(test, append_of(&append), QBD_APPEND_ACCEPTED);
	/* ... two are. */
	QBD_TRUE(test, !core->append_rejected);
	solo_hard_durable();
	solo_log_durable(4);
	QBD_TRUE(test, !(solo_sent(QBD_MESSAGE_APPEND_REPLY, 2)->flags &
			 QBD_MESSAGE_REJECTED));
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_APPEND_REPLY, 2)->index, 4);
}

/* Whatever a leader owed, nothing of it leaves in the next one's term. */
static void what_a_leader_owed_is_void_in_the_next_term(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_core_message message;

	solo_lead(1);
	solo_log_durable(1);
	solo_ack(2, 1);
	solo_round_ack(2, core->round, 1);
	solo_forget();
	/* TIMEOUT_NOW for 2, heartbeat and probe for 3. */
	QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 2), QBD_TRANSFER_STARTED);
	QBD_TRUE(test, core->transfer_sent);
	QBD_EQUAL(test, qbd_peer_find(core, 3)->state, QBD_PEER_PROBE);
	qbd_core_peer_connected(core, solo->now, 3, QBD_LINK_CONTROL);
	message = solo_message(QBD_MESSAGE_HEARTBEAT, 3, 9);
	receive(&message);
	QBD_EQUAL(test, core->leader, 3);
	solo_drain();
	solo_hard_durable();
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_TIMEOUT_NOW), 0);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_PROBE), 0);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_HEARTBEAT), 0);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_HEARTBEAT_REPLY), 1);
}

/* A prevote speaks of a term that nobody has entered; now somebody has. */
static void a_prevote_is_not_given_for_a_term_that_has_come(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 1);
	struct qbd_core_message message = solo_message(QBD_MESSAGE_PREVOTE_REQUEST, 2, 6);

	message.index = 1;
	message.log_term = 5;
	receive(&message);
	QBD_TRUE(test, qbd_peer_find(core, 2)->prevote_granted);
	message = solo_message(QBD_MESSAGE_HEARTBEAT, 3, 6);
	receive(&message);
	solo_drain();
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_PREVOTE_REPLY, 2));
	QBD_TRUE(test, !(solo_sent(QBD_MESSAGE_PREVOTE_REPLY, 2)->flags &
			 QBD_MESSAGE_GRANTED));
}

/* ---- slots ------------------------------------------------------------------ */

static void strangers_come(u32 first, u32 count)
{
	struct qbd_core_message message;

	for (u32 id = first; id < first + count; id++) {
		message = solo_message(QBD_MESSAGE_VOTE_REQUEST, id, 3);
		message.index = 1;
		message.log_term = 1;
		solo_send(&message);
	}
}

/*
 * This member does not know yet that 50 is one, and so forgets it when many others ask:
 * it is not answered, its vote is not given twice, and it is followed again when heard.
 */
static void a_leader_that_is_forgotten_is_found_again(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 1);
	struct qbd_core_message message;
	const u64 six = 6;

	message = solo_message(QBD_MESSAGE_VOTE_REQUEST, 50, 6);
	message.index = 1;
	message.log_term = 5;
	solo_send(&message);
	solo_hard_durable();
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_VOTE_REPLY, 50)->flags & QBD_MESSAGE_GRANTED);
	solo_heartbeat(50, 6, 1, 0);
	QBD_EQUAL(test, solo_append(50, 6, 1, 5, 0, &six, 1), QBD_APPEND_ACCEPTED);
	solo->now++;
	strangers_come(100, QBD_PEERS_MAX);
	QBD_TRUE(test, !qbd_peer_find(core, 50));
	QBD_EQUAL(test, core->leader, 50);
	solo_forget();
	solo_log_durable(2);
	QBD_EQUAL(test, solo->count, 0);
	/* What it asked for in an older term is not granted by the vote of this one. */
	strangers_come(50, 1);
	QBD_TRUE(test, !(solo_sent(QBD_MESSAGE_VOTE_REPLY, 50)->flags &
			 QBD_MESSAGE_GRANTED));
	solo_heartbeat(50, 6, 2, 0);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_HEARTBEAT_REPLY, 50));
}

/* The one not heard of for longest goes; never one that may still campaign by order. */
static void the_oldest_stranger_goes_first(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 1);

	for (u32 i = 0; i < QBD_PEERS_MAX - 2; i++) {
		solo->now++;
		strangers_come(100 + i, 1);
	}
	solo->now++;
	strangers_come(100, 1);
	qbd_peer_find(core, 101)->barrier = true;
	solo->now++;
	strangers_come(200, 2);
	QBD_TRUE(test, qbd_peer_find(core, 100));
	QBD_TRUE(test, qbd_peer_find(core, 101));
	QBD_TRUE(test, !qbd_peer_find(core, 102));
	QBD_TRUE(test, !qbd_peer_find(core, 103));
	QBD_TRUE(test, qbd_peer_find(core, 104));
	/* Nobody has a slot for this member, or for nobody. */
	qbd_core_peer_connected(core, solo->now, 1, QBD_LINK_BULK);
	qbd_core_set_window(core, 0, 1 << 20);
	QBD_TRUE(test, !qbd_peer_find(core, 1));
	QBD_EQUAL(test, core->stopped_line, 0);
}

/* ---- leaders ---------------------------------------------------------------- */

/* Its own copy is not whole, and nobody can take over: the others have to have it. */
static void a_leader_that_does_not_count_needs_the_others(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);

	solo_lead(1);
	solo_log_durable(1);
	qbd_core_set_fitness(core, solo->now, QBD_MAY_VOTE);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_ack(2, 1);
	QBD_EQUAL(test, core->commit, 0);
	solo_ack(3, 1);
	QBD_EQUAL(test, core->commit, 1);
}

static u32 slot_of(struct qbd_core *core, u32 id)
{
	return QBD_BIT(qbd_peer_find(core, id) - core->peers);
}

/* Without whom would nothing be committed? */
static void who_is_needed_is_known(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);

	solo_lead(1);
	solo_log_durable(1);
	/* The others were not heard yet. */
	QBD_TRUE(test, !qbd_core_majority_without(core, solo->now, 0));
	solo_ack(2, 1);
	QBD_TRUE(test, qbd_core_majority_without(core, solo->now, 0));
	QBD_TRUE(test, qbd_core_majority_without(core, solo->now, slot_of(core, 3)));
	QBD_TRUE(test, !qbd_core_majority_without(core, solo->now, slot_of(core, 2)));
	solo_ack(3, 1);
	QBD_TRUE(test, qbd_core_majority_without(core, solo->now, slot_of(core, 2)));
	QBD_TRUE(test, !qbd_core_majority_without(core, solo->now, slot_of(core, 2) |
						  slot_of(core, 3)));
	/* One whose acknowledgments do not count is no help, */
	qbd_peer_find(core, 3)->flags |= QBD_MESSAGE_FILLING;
	QBD_TRUE(test, !qbd_core_majority_without(core, solo->now, slot_of(core, 2)));
	qbd_peer_find(core, 3)->flags = QBD_MESSAGE_FAILED;
	QBD_TRUE(test, !qbd_core_majority_without(core, solo->now, slot_of(core, 2)));
	qbd_peer_find(core, 3)->flags = 0;
	qbd_peer_find(core, 3)->state = QBD_PEER_NEEDS_EXTENTS;
	QBD_TRUE(test, !qbd_core_majority_without(core, solo->now, slot_of(core, 2)));
	qbd_peer_find(core, 3)->state = QBD_PEER_REPLICATE;
	QBD_TRUE(test, qbd_core_majority_without(core, solo->now, slot_of(core, 2)));
	/* nor is a leader whose own do not. */
	core->fitness = QBD_MAY_VOTE;
	QBD_TRUE(test, !qbd_core_majority_without(core, solo->now, slot_of(core, 2)));
	QBD_TRUE(test, qbd_core_majority_without(core, solo->now, 0));
}

static void a_peer_that_never_answers_is_asked_less_and_less(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, NULL, 0);
	struct qbd_peer *peer;
	u64 index, waited;

	solo_lead(1);
	solo_log_durable(1);
	solo_ack(2, 1);
	peer = qbd_peer_find(core, 2);
	qbd_core_propose(core, solo->now, QBD_ENTRY_DATA, NULL, &index);
	solo_log_durable(index);
	for (u32 round = 0; round < 8; round++) {
		QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
		qbd_core_append_sent(core, solo->now, 2, 2, 4096);
		/* Its answers to heartbeats say what it has, so it is not asked. */
		for (waited = 0; peer->inflight && waited < 200 * LAB_S;
		     waited += core->options.heartbeat) {
			solo_tick_after(core->options.heartbeat);
			solo_round_ack(2, core->round, 1);
			solo_round_ack(3, core->round, 0);
		}
		/* Twice as long each time, but not for ever. */
		QBD_TRUE(test, waited >= core->options.resend << qbd_min(round, 5u));
		QBD_TRUE(test, waited <= (core->options.resend << qbd_min(round, 5u)) +
				 2 * core->options.heartbeat);
		solo_ack(2, 1);
	}
	/* Said to be sent while it is asked what it has: that moves nothing. */
	qbd_core_peer_disconnected(core, solo->now, 2, QBD_LINK_BULK);
	QBD_EQUAL(test, peer->state, QBD_PEER_PROBE);
	qbd_core_append_sent(core, solo->now, 2, 2, 4096);
	QBD_EQUAL(test, peer->inflight, 0);
	QBD_EQUAL(test, peer->next, 2);
}

/* It lost what this leader never knew it had: it is asked for what it has now, once. */
static void a_peer_that_lost_some_is_sent_it_again(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 5, 0, five, 3);
	struct qbd_core_message message;
	struct qbd_peer *peer;

	solo_lead(1);
	peer = qbd_peer_find(core, 2);
	QBD_EQUAL(test, peer->state, QBD_PEER_PROBE);
	QBD_EQUAL(test, peer->next, 4);
	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, core->term);
	message.flags = QBD_MESSAGE_LOST;
	message.hint_index = 1;
	message.reject_index = 4;
	solo_send(&message);
	QBD_EQUAL(test, peer->next, 2);
	solo_forget();
	/* The same once more says nothing new. */
	solo_send(&message);
	QBD_EQUAL(test, peer->next, 2);
	QBD_EQUAL(test, solo_sent_count(QBD_MESSAGE_PROBE), 0);
	/* Nor does it of one that is being sent what follows. */
	solo_ack(2, 2);
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
	message.hint_index = 2;
	solo_send(&message);
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
}

/* Who is fit and says that it is not whole at the same time is not: neither leads. */
static void leadership_is_moved_to_who_is_whole_only(struct qbd_test *test)
{
	struct qbd_config config;
	struct qbd_core_message message;
	struct qbd_core *core;

	lab_config(&config, 4, 4);
	config.members[2].flags |= QBD_CORE_WITNESS;
	core = solo_start_config(&config, 5, 0, NULL, 0);
	solo_lead(2);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_log_durable(1);
	solo_ack(3, 1);
	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, core->term);
	message.index = 1;
	message.matched = 1;
	message.flags = QBD_MESSAGE_FIT | QBD_MESSAGE_FILLING;
	solo_send(&message);
	QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 2), QBD_TRANSFER_UNFIT);
	QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 3), QBD_TRANSFER_NOT_VOTER);
	/* Nor does a leader whose disk fails hand over to them. */
	QBD_TRUE(test, !qbd_hand_over(core));
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_ack(4, 1);
	QBD_TRUE(test, qbd_hand_over(core));
	solo_drain();
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 4));
}

/* It was removed while leadership was on its way to it. */
static void a_transfer_to_who_is_no_member_any_more_ends(struct qbd_test *test)
{
	struct qbd_core *core;

	for (u32 gone = 0; gone < 2; gone++) {
		core = solo_start(3, 5, 0, NULL, 0);
		solo_lead(1);
		solo_ack(2, 1);
		solo_round_ack(2, core->round, 1);
		QBD_EQUAL(test, qbd_core_transfer(core, solo->now, 2), QBD_TRANSFER_STARTED);
		qbd_peer_find(core, 2)->member = 0;
		if (gone)
			qbd_peer_find(core, 2)->id = 0;
		qbd_transfer_poll(core);
		QBD_EQUAL(test, core->transfer_to, 0);
		QBD_TRUE(test, !core->transfer_blocked);
	}
}

/* ---- configurations ----------------------------------------------------------- */

static void a_joint_configuration_keeps_its_old_voters(struct qbd_test *test)
{
	struct qbd_config config, next;
	struct qbd_core *core;
	u64 index;

	lab_config(&config, 3, 3);
	for (u32 i = 0; i < 3; i++)
		config.members[i].flags |= QBD_CORE_VOTER_OLD;
	core = solo_start_config(&config, 5, 0, NULL, 0);
	solo_lead(1);
	solo_log_durable(1);
	solo_ack(2, 1);
	QBD_EQUAL(test, core->commit, 1);
	next = config;
	next.members[2].flags = QBD_CORE_VOTER;
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG, &next, &index),
		  QBD_PROPOSE_INVALID);
	/* One of both sets is not there at all. */
	next = config;
	next.count = 2;
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG, &next, &index),
		  QBD_PROPOSE_INVALID);
	next = config;
	next.members[2].priority = 9;
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_CONFIG, &next, &index),
		  QBD_PROPOSE_OK);
}

/* Its configuration is not committed: others may know of another one, and lead. */
static void alone_in_a_new_configuration_is_not_alone(struct qbd_test *test)
{
	struct qbd_core_options options;
	struct qbd_entry entry = { .term = 5, .kind = QBD_ENTRY_CONFIG };
	struct qbd_core *core = &solo->core;
	struct qbd_config config;

	for (u32 changed = 0; changed < 2; changed++) {
		memset(solo, 0, sizeof(*solo));
		solo->now = LAB_S;
		lab_config(&config, 1, 1);
		qbd_core_options_default(&options);
		qbd_core_init(core, 1, &options, 42);
		qbd_core_restore_hard_state(core, 5, 1);
		qbd_core_restore_base(core, 0, 0, &config, 0);
		lab_config(&config, 2, 1);
		entry.config = &config;
		if (changed)
			QBD_TRUE(test, qbd_core_restore_entry(core, &entry));
		qbd_core_start(core, solo->now);
		QBD_EQUAL(test, core->role,
			  changed ? QBD_ROLE_FOLLOWER : QBD_ROLE_CANDIDATE);
	}
}

/* ---- many terms ----------------------------------------------------------------- */

static struct qbd_entry many_entries[QBD_TRAIL_MAX + 1];

static void an_append_of_more_terms_than_are_kept_is_refused(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, QBD_TRAIL_MAX + 1, 0, NULL, 0);
	struct qbd_append append = {
		.from = 2, .term = QBD_TRAIL_MAX + 1, .count = QBD_TRAIL_MAX + 1,
		.entries = many_entries,
	};

	for (u32 i = 0; i <= QBD_TRAIL_MAX; i++) {
		many_entries[i].term = i + 1;
		many_entries[i].kind = QBD_ENTRY_DATA;
	}
	QBD_EQUAL(test, append_of(&append), QBD_APPEND_INVALID);
	QBD_EQUAL(test, core->trail.last, 0);
	append.count = QBD_TRAIL_MAX;
	QBD_EQUAL(test, append_of(&append), QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, core->stopped_line, 0);
}

/*
 * The others are faster: committed entries of many terms are forgotten here before they
 * are durable. That they are now is no surprise.
 */
static void entries_that_are_forgotten_become_durable(struct qbd_test *test)
{
	const u64 last = QBD_TRAIL_MAX + 2;
	struct qbd_core *core = solo_start(3, last, 0, NULL, 0);
	u64 term;

	for (term = 1; term <= last; term++)
		QBD_EQUAL(test, solo_append(2, last, term - 1, term - 1, 9, &term, 1),
			  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, core->trail.base_index, 2);
	QBD_EQUAL(test, core->durable, 0);
	qbd_core_log_durable(core, solo->now, qbd_core_generation(core), 1, 1);
	QBD_EQUAL(test, core->durable, 1);
	QBD_EQUAL(test, core->stopped_line, 0);
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
	  QBD_CASE(a_transfer_to_who_leads_is_done),
	  QBD_CASE(a_refusal_that_is_overtaken_does_not_leave),
	  QBD_CASE(what_a_leader_owed_is_void_in_the_next_term),
	  QBD_CASE(a_prevote_is_not_given_for_a_term_that_has_come),
	  QBD_CASE(a_leader_that_is_forgotten_is_found_again),
	  QBD_CASE(the_oldest_stranger_goes_first),
	  QBD_CASE(a_leader_that_does_not_count_needs_the_others),
	  QBD_CASE(who_is_needed_is_known),
	  QBD_CASE(a_peer_that_never_answers_is_asked_less_and_less),
	  QBD_CASE(a_peer_that_lost_some_is_sent_it_again),
	  QBD_CASE(leadership_is_moved_to_who_is_whole_only),
	  QBD_CASE(a_transfer_to_who_is_no_member_any_more_ends),
	  QBD_CASE(a_joint_configuration_keeps_its_old_voters),
	  QBD_CASE(alone_in_a_new_configuration_is_not_alone),
	  QBD_CASE(an_append_of_more_terms_than_are_kept_is_refused),
	  QBD_CASE(entries_that_are_forgotten_become_durable));
