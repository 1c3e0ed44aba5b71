// SPDX-License-Identifier: GPL-2.0
/*
 * Log matching, truncation, durability and commit.
 */
#include "core_solo.h"

static struct solo *const solo = &the_solo;
static struct lab *const lab = &the_lab;

static const u64 ones[] = { 1, 1, 1, 1, 1, 1, 1, 1 };
static const u64 twos[] = { 2, 2, 2, 2, 2, 2, 2, 2 };

static const struct qbd_core_message *append_reply(u32 to)
{
	return solo_sent(QBD_MESSAGE_APPEND_REPLY, to);
}

/* A core of @voters that leads term 2 with @count old entries and its no-op. */
static struct qbd_core *lead(u32 voters, u32 count)
{
	struct qbd_core *core = solo_start(voters, 1, 0, ones, count);

	solo_lead(voters / 2);
	for (u32 id = 2; id <= voters; id++)
		qbd_core_peer_connected(core, solo->now, id, QBD_LINK_BULK);
	solo_drain();
	return core;
}

/* Send all that may be sent to a peer, @bytes an entry; how many entries? */
static u64 pull(u32 peer, u64 bytes)
{
	struct qbd_range range;
	u64 count;

	if (qbd_core_next_append(&solo->core, solo->now, peer, bytes * 1000,
				 &range) != QBD_PULL_RANGE)
		return 0;
	count = qbd_max(1, qbd_min(range.last - range.first + 1,
				   range.max_bytes / bytes));
	qbd_core_append_sent(&solo->core, solo->now, peer,
			     range.first + count - 1, count * bytes);
	solo_drain();
	return count;
}

static u64 propose(u32 count)
{
	u64 index = 0;

	while (count--)
		qbd_core_propose(&solo->core, solo->now, QBD_ENTRY_DATA, NULL,
				 &index);
	solo_drain();
	return index;
}

static void entries_are_acknowledged_when_durable(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, NULL, 0);

	QBD_EQUAL(test, solo_append(2, 1, 0, 0, 0, ones, 3),
		  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, solo->result.first_new, 1);
	QBD_EQUAL(test, solo->result.count_new, 3);
	QBD_EQUAL(test, solo->result.truncate_from, 0);
	QBD_TRUE(test, !append_reply(2));
	solo_log_durable(2);
	QBD_EQUAL(test, append_reply(2)->index, 2);
	QBD_EQUAL(test, append_reply(2)->matched, 3);
	solo_log_durable(3);
	QBD_EQUAL(test, append_reply(2)->index, 3);
	/* The same again is answered at once. */
	solo_forget();
	solo_append(2, 1, 0, 0, 0, ones, 3);
	QBD_EQUAL(test, solo->result.count_new, 0);
	QBD_EQUAL(test, append_reply(2)->index, 3);
	QBD_EQUAL(test, core->trail.last, 3);
}

static void commit_needs_a_majority_of_disks(struct qbd_test *test)
{
	struct qbd_core *core = lead(5, 0);

	QBD_EQUAL(test, propose(4), 5);
	solo_ack(2, 5);
	QBD_EQUAL(test, core->commit, 0);
	solo_ack(3, 3);
	QBD_EQUAL(test, core->commit, 0);
	/* Without the own disk: three others will do (thesis 10.2.1). */
	solo_ack(4, 4);
	QBD_EQUAL(test, core->commit, 3);
	QBD_EQUAL(test, core->durable, 0);
	solo_log_durable(5);
	QBD_EQUAL(test, core->commit, 4);
	QBD_TRUE(test, solo->flags & QBD_OUT_COMMIT);
}

static void a_member_being_filled_does_not_count(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 0);
	struct qbd_core_message message;

	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, core->term);
	message.index = 1;
	message.matched = 1;
	message.flags = QBD_MESSAGE_FILLING;
	solo_send(&message);
	solo_log_durable(1);
	QBD_EQUAL(test, core->commit, 0);
	message.flags = 0;
	solo_send(&message);
	QBD_EQUAL(test, core->commit, 1);
}

/*
 * An acknowledgment from before its log was emptied came late, and those of the
 * records that it was sent while it was filled counted.
 */
static void a_late_ack_counts_for_itself_only(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 0);
	struct qbd_core_message message;

	solo_log_durable(propose(4));
	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, core->term);
	message.index = 5;
	message.matched = 5;
	message.flags = QBD_MESSAGE_FILLING;
	solo_send(&message);
	solo_ack(2, 2);
	QBD_EQUAL(test, qbd_peer_find(core, 2)->match, 5);
	QBD_EQUAL(test, core->commit, 2);
	solo_ack(2, 5);
	QBD_EQUAL(test, core->commit, 5);
}

/* Figure 3.7 of the thesis. */
static void accident_12_an_old_term_is_not_committed_by_counting(struct qbd_test *test)
{
	struct qbd_core *core = lead(5, 2);

	solo_log_durable(2);
	solo_ack(2, 2);
	solo_ack(3, 2);
	solo_ack(4, 2);
	QBD_EQUAL(test, core->commit, 0);
	/* One entry of the own term takes them along. */
	solo_log_durable(3);
	solo_ack(2, 3);
	solo_ack(3, 3);
	QBD_EQUAL(test, core->commit, 3);
}

static void accident_13_heartbeat_commit_is_limited_to_match(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 0);

	propose(4);
	solo_log_durable(5);
	solo_ack(2, 5);
	solo_ack(3, 2);
	QBD_EQUAL(test, core->commit, 5);
	solo_tick_after(core->options.heartbeat);
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_HEARTBEAT, 2)->commit, 5);
	QBD_EQUAL(test, solo_sent(QBD_MESSAGE_HEARTBEAT, 3)->commit, 2);
	/* The follower does not trust a larger one either. */
	core = solo_start(3, 1, 0, ones, 5);
	solo_heartbeat(2, 2, 1, 5);
	QBD_EQUAL(test, core->commit, 0);
	solo_append(2, 2, 2, 1, 5, NULL, 0);
	QBD_EQUAL(test, core->commit, 2);
}

static void accident_14_a_late_short_append_truncates_nothing(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, NULL, 0);

	solo_append(2, 1, 0, 0, 0, ones, 5);
	solo_log_durable(5);
	solo_forget();
	QBD_EQUAL(test, solo_append(2, 1, 0, 0, 0, ones, 2),
		  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, solo->result.truncate_from, 0);
	QBD_EQUAL(test, core->trail.last, 5);
	QBD_EQUAL(test, append_reply(2)->index, 5);
}

static void accident_15_an_empty_append_shows_a_conflict(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 2, 0, ones, 5);

	QBD_EQUAL(test, solo_append(2, 2, 5, 2, 0, NULL, 0),
		  QBD_APPEND_REJECTED);
	solo_hard_durable();
	QBD_TRUE(test, append_reply(2)->flags & QBD_MESSAGE_REJECTED);
	QBD_EQUAL(test, append_reply(2)->reject_index, 5);
	QBD_EQUAL(test, append_reply(2)->index, 0);
	/* What differs stays until what replaces it is here. */
	QBD_EQUAL(test, core->trail.last, 5);
}

/* How many probes until two logs with @runs different terms each meet? */
static u32 probes_for_divergence(struct qbd_test *test, u32 runs, u32 run_length)
{
	u64 index = 0;
	u32 before;

	lab_setup(lab, 2, 2, 16);
	for (u32 i = 0; i < 2; i++) {
		struct lab_disk *disk = &lab->nodes[i + 1].disk;

		index = 0;
		for (u32 run = 0; run < runs; run++) {
			for (u32 n = 0; n < run_length; n++) {
				struct lab_entry *entry;

				index++;
				entry = &disk->entries[index % LAB_LOG];
				/* Odd terms here, even ones there. */
				entry->term = 2 * run + 1 + i;
				entry->id = index * 10 + i;
				entry->prev = index == 1 ? 0 :
					      (index - 1) * 10 + i;
				entry->kind = QBD_ENTRY_DATA;
			}
		}
		disk->hard_term = 2 * runs;
	}
	lab_boot_all(lab);
	before = lab->sent[QBD_MESSAGE_PROBE];
	QBD_EQUAL(test, lab_run_to_leader(lab, 0), 2);
	QBD_TRUE(test, !lab->error);
	return lab->sent[QBD_MESSAGE_PROBE] - before;
}

static void accident_16_one_probe_per_term_not_per_entry(struct qbd_test *test)
{
	QBD_TRUE(test, probes_for_divergence(test, 1, 200) <= 3);
	QBD_TRUE(test, probes_for_divergence(test, 10, 20) <= 12);
	QBD_TRUE(test, probes_for_divergence(test, 50, 4) <= 52);
}

static void accident_17_a_late_refusal_changes_nothing(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 5);
	struct qbd_peer *peer = qbd_peer_find(core, 2);
	struct qbd_core_message refusal;

	solo_ack(2, 5);
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
	QBD_EQUAL(test, peer->match, 5);
	refusal = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, core->term);
	refusal.flags = QBD_MESSAGE_REJECTED;
	refusal.reject_index = 4;
	refusal.hint_index = 1;
	refusal.hint_term = 1;
	solo_send(&refusal);
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
	QBD_EQUAL(test, peer->match, 5);
	QBD_EQUAL(test, peer->next, 6);
	/* While probing, an answer to another probe does not count either. */
	propose(4);
	qbd_leader_probe(core, peer, 9);
	refusal.reject_index = 7;
	solo_send(&refusal);
	QBD_EQUAL(test, peer->next, 9);
	refusal.reject_index = 8;
	solo_send(&refusal);
	QBD_EQUAL(test, peer->next, 6);
}

/* The window is full, everything in it is lost, the connection seems to stand. */
static void accident_18_a_lost_window_recovers(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 0);
	struct qbd_peer *peer = qbd_peer_find(core, 2);

	solo_ack(2, 0);
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
	qbd_core_set_window(core, 2, 10000);
	solo_log_durable(propose(10));
	while (pull(2, 4000))
		;
	QBD_EQUAL(test, peer->next, 4);
	QBD_TRUE(test, !(solo->output.pull_peers & 1));
	for (u32 i = 0; i < 60 && peer->state == QBD_PEER_REPLICATE; i++) {
		solo_round_ack(2, core->round, 0);
		solo_round_ack(3, core->round, 0);
		solo_tick_after(core->options.heartbeat);
	}
	QBD_EQUAL(test, peer->state, QBD_PEER_PROBE);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_PROBE, 2));
	solo_ack(2, 0);
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
	QBD_EQUAL(test, peer->next, 1);
	QBD_TRUE(test, pull(2, 4000) > 0);
	/* What is received but not yet durable there is not sent again. */
	while (pull(2, 4000))
		;
	for (u32 i = 0; i < 100; i++) {
		struct qbd_core_message message =
			solo_message(QBD_MESSAGE_HEARTBEAT_REPLY, 2,
				     core->term);

		message.round = core->round;
		message.matched = peer->next - 1;
		message.timeout = core->options.election_timeout;
		solo_send(&message);
		solo_round_ack(3, core->round, 0);
		solo_tick_after(core->options.heartbeat);
	}
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
}

static void a_lost_connection_sends_again_after_match(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 0);
	struct qbd_peer *peer = qbd_peer_find(core, 2);

	propose(9);
	solo_ack(2, 0);
	while (pull(2, 4096))
		;
	solo_ack(2, 4);
	QBD_EQUAL(test, peer->next, 11);
	qbd_core_peer_disconnected(core, solo->now, 2, QBD_LINK_BULK);
	solo_drain();
	QBD_EQUAL(test, peer->state, QBD_PEER_PROBE);
	QBD_EQUAL(test, peer->inflight, 0);
	QBD_EQUAL(test, pull(2, 4096), 0);
	qbd_core_peer_connected(core, solo->now, 2, QBD_LINK_BULK);
	solo_ack(2, 4);
	QBD_EQUAL(test, peer->next, 5);
	QBD_EQUAL(test, pull(2, 4096), 6);
}

static void the_window_is_in_bytes(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 0);
	struct qbd_peer *peer = qbd_peer_find(core, 2);

	solo_ack(2, 0);
	propose(99);
	qbd_core_set_window(core, 2, 40960);
	/* More sends than marks: they are merged, the sum stays right. */
	while (pull(2, 512) == 80)
		;
	QBD_EQUAL(test, peer->inflight, 40960);
	solo_ack(2, 80);
	QBD_EQUAL(test, peer->inflight, 0);
	for (u32 i = 0; i < 20; i++) {
		struct qbd_range range;

		QBD_EQUAL(test, qbd_core_next_append(core, solo->now, 2, 1,
						     &range), QBD_PULL_RANGE);
		QBD_EQUAL(test, range.max_bytes, 1);
		qbd_core_append_sent(core, solo->now, 2, range.first, 100);
	}
	QBD_EQUAL(test, peer->inflight, 2000);
	solo_ack(2, 90);
	QBD_EQUAL(test, peer->inflight, 1000);
	/* An entry larger than the window goes alone. */
	solo_ack(2, 100);
	propose(2);
	qbd_core_set_window(core, 2, 10);
	QBD_EQUAL(test, pull(2, 1 << 20), 1);
	QBD_EQUAL(test, pull(2, 1 << 20), 0);
	solo_ack(2, 101);
	QBD_EQUAL(test, pull(2, 1 << 20), 1);
}

static void many_small_sends_keep_the_sum(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 0);
	struct qbd_peer *peer = qbd_peer_find(core, 2);

	solo_ack(2, 0);
	propose(99);
	for (u32 i = 0; i < 100; i++)
		qbd_core_append_sent(core, solo->now, 2, i + 1, 10);
	QBD_EQUAL(test, peer->inflight, 1000);
	QBD_EQUAL(test, peer->marks_count, QBD_MARKS_MAX);
	solo_ack(2, QBD_MARKS_MAX - 1);
	QBD_EQUAL(test, peer->inflight, 1000 - 10 * (QBD_MARKS_MAX - 1));
	solo_ack(2, 99);
	QBD_TRUE(test, peer->inflight > 0);
	solo_ack(2, 100);
	QBD_EQUAL(test, peer->inflight, 0);
}

static void accident_19_any_answer_ends_probing(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 5);
	struct qbd_peer *peer = qbd_peer_find(core, 2);

	QBD_EQUAL(test, peer->state, QBD_PEER_PROBE);
	/* The probe's answer is lost; a heartbeat's is not. */
	solo_round_ack(2, core->round, 5);
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
	QBD_EQUAL(test, peer->next, 6);
	/* And a lost probe is repeated with the heartbeats. */
	qbd_leader_probe(core, peer, 6);
	solo_drain();
	solo_forget();
	solo_tick_after(core->options.heartbeat);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_PROBE, 2));
}

/*
 * Entries 4 5 of term 1 are being written; leader of term 2 replaces 4; leader
 * of term 3 brings the old 4 5 again. The first write's completion says nothing
 * about the second.
 */
static void accident_20_an_old_completion_is_void(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 3);
	u64 first, second;

	solo_append(2, 1, 3, 1, 0, ones, 2);
	first = solo->result.generation;
	solo_append(3, 2, 3, 1, 0, twos, 1);
	QBD_EQUAL(test, solo->result.truncate_from, 4);
	second = solo->result.generation;
	QBD_TRUE(test, second > first);
	qbd_core_log_durable(core, solo->now, first, 1, 5);
	QBD_EQUAL(test, core->durable, 3);
	/* Term 3, by a leader that has 4 5 of term 1 and no 4 of term 2. */
	solo_append(2, 3, 3, 1, 0, ones, 2);
	QBD_EQUAL(test, solo->result.truncate_from, 4);
	QBD_EQUAL(test, solo->result.count_new, 2);
	qbd_core_log_durable(core, solo->now, first, 1, 5);
	qbd_core_log_durable(core, solo->now, second, 1, 5);
	QBD_EQUAL(test, core->durable, 3);
	solo_hard_durable();
	QBD_TRUE(test, !append_reply(2) || append_reply(2)->index == 3);
	solo_log_durable(5);
	QBD_EQUAL(test, core->durable, 5);
	QBD_EQUAL(test, append_reply(2)->index, 5);
}

static void accident_21_truncation_lowers_durable(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 6);

	QBD_EQUAL(test, core->durable, 6);
	solo_append(2, 2, 3, 1, 0, twos, 3);
	QBD_EQUAL(test, solo->result.truncate_from, 4);
	QBD_EQUAL(test, core->durable, 3);
	solo_hard_durable();
	QBD_TRUE(test, !append_reply(2));
	/* The same when it then leads: its own disk does not count yet. */
	solo_lead(1);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	solo_ack(2, 7);
	QBD_EQUAL(test, core->commit, 0);
	solo_log_durable(7);
	QBD_EQUAL(test, core->commit, 7);
}

static void accident_22_an_ack_of_another_term_is_void(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 0);
	struct qbd_core_message message;

	solo_log_durable(1);
	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, core->term - 1);
	message.index = 1;
	message.matched = 1;
	solo_send(&message);
	QBD_EQUAL(test, core->commit, 0);
	QBD_EQUAL(test, qbd_peer_find(core, 2)->match, 0);
	message.type = QBD_MESSAGE_HEARTBEAT_REPLY;
	message.round = core->round;
	solo_send(&message);
	QBD_EQUAL(test, core->commit, 0);
	QBD_EQUAL(test, qbd_peer_find(core, 2)->acked_round, 0);
}

/* The own write completes when another leads: it is an answer to that one. */
static void accident_22_own_write_done_after_losing(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 2);
	u64 generation = qbd_core_generation(core);

	propose(2);
	solo_append(2, 9, 2, 1, 0, NULL, 0);
	solo_hard_durable();
	solo_forget();
	qbd_core_log_durable(core, solo->now, generation, 2, 5);
	solo_drain();
	/* Durable, but not known to be the new leader's. */
	QBD_EQUAL(test, core->durable, 5);
	QBD_EQUAL(test, append_reply(2)->index, 2);
	QBD_EQUAL(test, core->commit, 0);
}

static void accident_23_acks_wait_for_their_term(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 2);
	struct qbd_core_message probe;

	solo_append(2, 7, 2, 1, 0, twos, 1);
	solo_log_durable(3);
	solo_heartbeat(2, 7, 1, 0);
	probe = solo_message(QBD_MESSAGE_PROBE, 2, 7);
	probe.index = 3;
	probe.log_term = 2;
	solo_send(&probe);
	QBD_EQUAL(test, solo->count, 0);
	solo_hard_durable();
	QBD_EQUAL(test, append_reply(2)->index, 3);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_HEARTBEAT_REPLY, 2));
	/* A disk that has entries of a later term than its hard state. */
	core = solo_start(3, 1, 2, twos, 2);
	QBD_EQUAL(test, core->term, 2);
	QBD_EQUAL(test, core->vote, 0);
}

/*
 * A leader's entries are on its own disk and on that of one follower of four, and what
 * that one answered is here: no majority, and nothing may be told to clients.
 *
 *	1 leads term 2: entries 3 4 to 2, which acknowledges them; all else is lost
 *	3 leads term 3, has neither, and overwrites them
 *
 * What clients are told follows from commit, and commit says 2 until the end.
 */
static void accident_24_success_follows_from_commit(struct qbd_test *test)
{
	static const u64 threes[] = { 3, 3 };
	struct qbd_core *core = lead(5, 1);
	struct qbd_core_message late;

	solo_log_durable(2);
	solo_ack(2, 2);
	solo_ack(3, 2);
	QBD_EQUAL(test, core->commit, 2);
	QBD_TRUE(test, solo->output.commit == 2);
	QBD_EQUAL(test, propose(2), 4);
	solo_forget();
	solo_log_durable(4);
	solo_ack(2, 4);
	QBD_EQUAL(test, core->commit, 2);
	QBD_TRUE(test, !(solo->flags & QBD_OUT_COMMIT));
	/* The new leader's entries 3 4, and the answer of 2 that comes too late. */
	solo_append(3, 3, 2, 2, 2, threes, 2);
	QBD_EQUAL(test, solo->result.truncate_from, 3);
	solo_hard_durable();
	solo_log_durable(4);
	late = solo_message(QBD_MESSAGE_APPEND_REPLY, 4, 2);
	late.index = 4;
	late.matched = 4;
	late.flags = QBD_MESSAGE_FIT;
	solo_send(&late);
	QBD_EQUAL(test, core->commit, 2);
	QBD_TRUE(test, !(solo->flags & QBD_OUT_COMMIT));
	/* Commit comes with the entries that it is about. */
	solo_append(3, 3, 4, 3, 4, NULL, 0);
	QBD_EQUAL(test, core->commit, 4);
	QBD_EQUAL(test, solo->output.commit, 4);
	QBD_EQUAL(test, qbd_core_term_at(core, 4), 3);
}

static void accident_25_a_failed_write_is_the_end(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 0);
	u64 index;

	solo_round_ack(2, core->round, 0);
	solo_ack(2, 0);
	propose(3);
	qbd_core_storage_failed(core, solo->now);
	solo_drain();
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_TIMEOUT_NOW, 2));
	QBD_EQUAL(test, qbd_core_propose(core, solo->now, QBD_ENTRY_DATA, NULL,
					 &index), QBD_PROPOSE_NOT_LEADER);
}

static void accident_26_a_singleton_commits_when_durable(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(1, 1, 1, NULL, 0);

	solo_hard_durable();
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	QBD_EQUAL(test, propose(3), 4);
	QBD_EQUAL(test, core->commit, 0);
	solo_log_durable(2);
	QBD_EQUAL(test, core->commit, 2);
	solo_log_durable(4);
	QBD_EQUAL(test, core->commit, 4);
}

/* Acknowledged entries have vanished: ask for them, and vote for nobody. */
static void accident_27_lost_entries_are_asked_for(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 3);
	struct qbd_core_message message;

	solo_heartbeat(2, 1, 1, 7);
	QBD_TRUE(test, append_reply(2));
	QBD_TRUE(test, append_reply(2)->flags & QBD_MESSAGE_LOST);
	QBD_TRUE(test, !(append_reply(2)->flags & QBD_MESSAGE_FIT));
	QBD_EQUAL(test, append_reply(2)->hint_index, 0);
	QBD_EQUAL(test, core->stopped_line, 0);
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	message = solo_message(QBD_MESSAGE_VOTE_REQUEST, 3, 5);
	message.index = 99;
	message.log_term = 4;
	solo_send(&message);
	solo_hard_durable();
	QBD_EQUAL(test, core->vote, 0);
	/* It has them again. */
	solo_append(2, 5, 3, 1, 7, ones, 4);
	solo_log_durable(7);
	QBD_EQUAL(test, core->commit, 7);
	QBD_TRUE(test, qbd_election_fit(core));
	QBD_EQUAL(test, append_reply(2)->index, 7);
	/* The other side: match goes back, and it is sent again. */
	core = lead(3, 8);
	solo_ack(2, 9);
	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, core->term);
	message.flags = QBD_MESSAGE_LOST;
	message.hint_index = 3;
	solo_send(&message);
	QBD_EQUAL(test, qbd_peer_find(core, 2)->match, 3);
	solo_ack(2, 3);
	QBD_EQUAL(test, pull(2, 100), 6);
}

/* To a leader that it never acknowledged them to it is the same. */
static void accident_27_lost_entries_under_a_new_leader(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 8);
	struct qbd_peer *peer = qbd_peer_find(core, 2);
	struct qbd_core_message message;

	QBD_EQUAL(test, peer->state, QBD_PEER_PROBE);
	QBD_EQUAL(test, peer->next, 9);
	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, core->term);
	message.flags = QBD_MESSAGE_LOST;
	message.index = 3;
	message.matched = 3;
	message.hint_index = 3;
	message.hint_term = 1;
	solo_send(&message);
	QBD_EQUAL(test, peer->next, 4);
	/* The answer to the probe says so again, and that it has the 3rd. */
	solo_send(&message);
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
	QBD_EQUAL(test, pull(2, 100), 6);
	/* A late one changes nothing. */
	solo_send(&message);
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
	QBD_EQUAL(test, peer->next, 10);
}

/* Likewise if the loss shows by a refusal of what was acknowledged. */
static void accident_27_refusal_of_acknowledged_entries(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 8);
	struct qbd_peer *peer = qbd_peer_find(core, 2);
	struct qbd_core_message message;

	solo_ack(2, 9);
	qbd_core_peer_disconnected(core, solo->now, 2, QBD_LINK_BULK);
	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, core->term);
	message.flags = QBD_MESSAGE_REJECTED;
	message.reject_index = 9;
	message.hint_index = 4;
	message.hint_term = 1;
	solo_send(&message);
	QBD_EQUAL(test, peer->match, 4);
	QBD_EQUAL(test, peer->next, 5);
}

static void a_log_that_does_not_reach_back_needs_extents(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 8);
	struct qbd_peer *peer = qbd_peer_find(core, 3);
	struct qbd_core_message message;
	struct qbd_range range;

	solo_log_durable(9);
	solo_ack(2, 9);
	qbd_core_log_compacted(core, 6);
	QBD_EQUAL(test, core->trail.base_index, 5);
	/* It has 5: still by log. */
	message = solo_message(QBD_MESSAGE_APPEND_REPLY, 3, core->term);
	message.flags = QBD_MESSAGE_REJECTED;
	message.reject_index = 8;
	message.hint_index = 5;
	message.hint_term = 1;
	solo_send(&message);
	QBD_EQUAL(test, peer->next, 6);
	/* It has not. */
	message.reject_index = 5;
	message.hint_index = 3;
	solo_send(&message);
	QBD_EQUAL(test, peer->state, QBD_PEER_NEEDS_EXTENTS);
	QBD_TRUE(test, solo->output.extents_peers ==
		       QBD_BIT(peer - core->peers));
	QBD_EQUAL(test, qbd_core_next_append(core, solo->now, 3, 1, &range),
		  QBD_PULL_EXTENTS);
	/* Heartbeats go on; filled up to exactly the base is enough. */
	solo_round_ack(3, core->round, 3);
	QBD_EQUAL(test, peer->state, QBD_PEER_NEEDS_EXTENTS);
	solo_round_ack(3, core->round, 5);
	QBD_EQUAL(test, peer->state, QBD_PEER_REPLICATE);
	QBD_EQUAL(test, pull(3, 100), 4);
}

static void a_reset_log_goes_on_after_the_fill(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 4, 0, ones, 3);
	struct qbd_config config;
	u64 generation = qbd_core_generation(core);

	lab_config(&config, 3, 3);
	solo_heartbeat(2, 4, 1, 0);
	/* The log has the entry: nothing to reset. */
	QBD_TRUE(test, !qbd_core_may_reset(core, 2, 1));
	QBD_TRUE(test, !qbd_core_log_reset(core, solo->now, 2, 1, &config, 0));
	/* It has another one there: its tail is not the leader's. */
	QBD_TRUE(test, qbd_core_may_reset(core, 2, 3));
	QBD_TRUE(test, qbd_core_log_reset(core, solo->now, 100, 3, &config, 0));
	solo_drain();
	QBD_EQUAL(test, core->commit, 100);
	QBD_TRUE(test, qbd_core_generation(core) > generation);
	QBD_EQUAL(test, append_reply(2)->index, 100);
	qbd_core_log_durable(core, solo->now, generation, 1, 101);
	QBD_EQUAL(test, core->durable, 100);
	QBD_EQUAL(test, solo_append(2, 4, 100, 3, 101, (const u64[]){ 4 }, 1),
		  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, core->commit, 101);
	/* Behind what is known to be committed it cannot go. */
	QBD_TRUE(test, !qbd_core_log_reset(core, solo->now, 50, 3, &config, 0));
}

static void an_append_across_the_base_is_taken(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 6);

	solo_append(2, 1, 6, 1, 6, NULL, 0);
	qbd_core_log_compacted(core, 5);
	QBD_EQUAL(test, core->trail.base_index, 4);
	QBD_EQUAL(test, solo_append(2, 1, 2, 1, 6, ones, 6),
		  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, solo->result.first_new, 7);
	QBD_EQUAL(test, solo->result.count_new, 2);
	solo_forget();
	QBD_EQUAL(test, solo_append(2, 1, 1, 1, 6, ones, 2),
		  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, solo->result.count_new, 0);
	QBD_EQUAL(test, core->trail.last, 8);
}

/* What contradicts what is committed is the sender's fault, not this member's. */
static void what_contradicts_this_log_is_refused(struct qbd_test *test)
{
	static const u64 one_two[] = { 1, 2, 2, 2 };
	struct qbd_core *core = solo_start(3, 2, 0, ones, 6);
	struct qbd_core_message probe;

	solo_append(2, 2, 4, 1, 3, NULL, 0);
	QBD_EQUAL(test, core->commit, 3);
	QBD_EQUAL(test, core->matched, 4);
	/* The entry before, which is committed. */
	probe = solo_message(QBD_MESSAGE_PROBE, 3, 9);
	probe.index = 3;
	probe.log_term = 2;
	QBD_TRUE(test, !solo_send(&probe));
	QBD_EQUAL(test, solo_append(3, 9, 3, 2, 0, twos, 1),
		  QBD_APPEND_INVALID);
	/* An entry that is committed, or known to be this leader's. */
	QBD_EQUAL(test, solo_append(3, 9, 1, 1, 0, one_two, 4),
		  QBD_APPEND_INVALID);
	QBD_EQUAL(test, solo_append(2, 2, 3, 1, 0, twos, 1),
		  QBD_APPEND_INVALID);
	/* One that goes back, across a base of a higher term. */
	QBD_EQUAL(test, core->term, 2);
	QBD_EQUAL(test, core->leader, 2);
	QBD_EQUAL(test, core->trail.last, 6);
	core = solo_start(3, 9, 0, ones, 2);
	solo_append(2, 9, 2, 1, 4, (const u64[]){ 3, 3 }, 2);
	solo_log_durable(4);
	qbd_core_log_compacted(core, 5);
	QBD_EQUAL(test, solo_append(2, 9, 2, 1, 4, ones, 4),
		  QBD_APPEND_INVALID);
	QBD_EQUAL(test, solo_append(2, 9, 2, 1, 4, (const u64[]){ 3, 3, 4 }, 3),
		  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, core->trail.last, 5);
	/* What is not committed may differ, and an old leader may be wrong. */
	QBD_EQUAL(test, solo_append(3, 10, 4, 3, 4, (const u64[]){ 7 }, 1),
		  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, solo_append(2, 9, 4, 7, 4, (const u64[]){ 8 }, 1),
		  QBD_APPEND_STALE);
}

static void more_terms_than_fit_are_refused(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1000, 0, NULL, 0);
	static const u64 more[] = { 300, 301, 302, 303 };

	for (u64 term = 1; term < QBD_TRAIL_MAX; term++)
		QBD_EQUAL(test, solo_append(2, 1000, term - 1, term - 1, 0,
					    &term, 1), QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, solo_append(2, 1000, 255, 255, 0, more, 2),
		  QBD_APPEND_INVALID);
	/* The first new one is appended before the commit index moves. */
	QBD_EQUAL(test, solo_append(2, 1000, 255, 255, 2, more, 4),
		  QBD_APPEND_INVALID);
	QBD_EQUAL(test, core->trail.last, 255);
	QBD_EQUAL(test, solo_append(2, 1000, 255, 255, 3, more, 4),
		  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, core->trail.last, 259);
	QBD_EQUAL(test, core->trail.count, QBD_TRAIL_MAX);
}

static void answers_that_cannot_be_are_refused(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 4);
	struct qbd_core_message good, bad;

	good = solo_message(QBD_MESSAGE_HEARTBEAT_REPLY, 2, core->term);
	good.round = core->round;
	good.index = 4;
	good.matched = 5;
	good.commit = 4;
	bad = good;
	bad.round++;
	QBD_TRUE(test, !solo_send(&bad));
	bad = good;
	bad.matched = 6;
	QBD_TRUE(test, !solo_send(&bad));
	bad = good;
	bad.index = 6;
	QBD_TRUE(test, !solo_send(&bad));
	bad.type = QBD_MESSAGE_APPEND_REPLY;
	QBD_TRUE(test, !solo_send(&bad));
	/* Committed, but not known to be the leader's? */
	bad = good;
	bad.commit = 5;
	bad.matched = 4;
	QBD_TRUE(test, !solo_send(&bad));
	QBD_EQUAL(test, core->commit, 0);
	QBD_EQUAL(test, qbd_peer_find(core, 2)->heard_at, 0);
	QBD_TRUE(test, solo_send(&good));
	QBD_EQUAL(test, core->commit, 4);
}

/* A follower that knows more to be committed than its leader has is honest. */
static void accident_27_a_leader_that_lost_entries_steps_down(struct qbd_test *test)
{
	struct qbd_core *core = lead(3, 4);
	struct qbd_core_message reply;

	reply = solo_message(QBD_MESSAGE_APPEND_REPLY, 2, core->term);
	reply.index = 9;
	reply.matched = 9;
	reply.commit = 9;
	QBD_TRUE(test, solo_send(&reply));
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	QBD_EQUAL(test, core->commit, 0);
	QBD_TRUE(test, !qbd_election_fit(core));
	solo_tick_after(LAB_S);
	QBD_EQUAL(test, core->role, QBD_ROLE_FOLLOWER);
	/* It is sent them by the next leader, and is well again. */
	solo_append(2, 9, 4, 1, 9, twos, 5);
	solo_hard_durable();
	solo_log_durable(9);
	QBD_TRUE(test, qbd_election_fit(core));
}

static void a_reset_that_cannot_be_is_refused(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 4, 0, twos, 5);
	struct qbd_core_message heartbeat;
	struct qbd_config config;

	lab_config(&config, 3, 3);
	solo_append(2, 4, 5, 2, 3, NULL, 0);
	QBD_EQUAL(test, core->commit, 3);
	QBD_TRUE(test, qbd_core_may_reset(core, 100, 2));
	QBD_TRUE(test, !qbd_core_may_reset(core, 100, 0));
	QBD_TRUE(test, !qbd_core_may_reset(core, 100, 1));
	QBD_TRUE(test, !qbd_core_may_reset(core, 100, 5));
	QBD_TRUE(test, !qbd_core_may_reset(core, 3, 3));
	QBD_TRUE(test, !qbd_core_may_reset(core, 0, 0));
	/* No configuration is newer than the end of the leader's log. */
	heartbeat = solo_message(QBD_MESSAGE_HEARTBEAT, 2, 4);
	heartbeat.index = 120;
	QBD_TRUE(test, qbd_core_may_reset_config(core, 100, 100));
	QBD_TRUE(test, !qbd_core_may_reset_config(core, 100, 110));
	solo_send(&heartbeat);
	QBD_TRUE(test, qbd_core_may_reset_config(core, 100, 110));
	QBD_TRUE(test, !qbd_core_may_reset_config(core, 100, 121));
	/* And then nobody may take it back. */
	QBD_TRUE(test, qbd_core_log_reset(core, solo->now, 100, 2, &config,
					  110));
	QBD_EQUAL(test, solo_append(2, 4, 100, 2, 100, twos, 1),
		  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, solo_append(3, 5, 100, 2, 100, (const u64[]){ 3 }, 1),
		  QBD_APPEND_INVALID);
}

/* The leader takes this log for too old, and is told that it is not. */
static void a_reset_to_an_entry_that_is_here_is_a_probe(struct qbd_test *test)
{
	struct qbd_core *core = solo_start(3, 1, 0, ones, 3);
	u64 generation = qbd_core_generation(core);
	const struct qbd_core_message *reply;

	/* Nobody leads. */
	QBD_TRUE(test, !qbd_core_reset_offered(core, solo->now, 0, 1, 3, 1));
	QBD_TRUE(test, !qbd_core_reset_offered(core, solo->now, 2, 1, 3, 1));
	/* The last three are not durable, and from a leader of before. */
	solo_append(2, 1, 3, 1, 0, ones, 3);
	solo_heartbeat(3, 4, 1, 0);
	solo_hard_durable();
	QBD_EQUAL(test, core->matched, 0);
	QBD_EQUAL(test, core->durable, 3);
	solo_forget();
	/* Not from who leads, not now; another entry, none, or the one before the first. */
	QBD_TRUE(test, !qbd_core_reset_offered(core, solo->now, 2, 4, 5, 1));
	QBD_TRUE(test, !qbd_core_reset_offered(core, solo->now, 3, 3, 5, 1));
	QBD_TRUE(test, !qbd_core_reset_offered(core, solo->now, 3, 5, 5, 1));
	QBD_TRUE(test, !qbd_core_reset_offered(core, solo->now, 3, 4, 5, 2));
	QBD_TRUE(test, !qbd_core_reset_offered(core, solo->now, 3, 4, 7, 1));
	QBD_TRUE(test, !qbd_core_reset_offered(core, solo->now, 3, 4, 0, 0));
	solo_drain();
	QBD_EQUAL(test, core->matched, 0);
	QBD_TRUE(test, !append_reply(3));
	QBD_TRUE(test, qbd_core_reset_offered(core, solo->now, 3, 4, 5, 1));
	solo_drain();
	QBD_EQUAL(test, core->commit, 5);
	reply = append_reply(3);
	QBD_TRUE(test, reply);
	QBD_EQUAL(test, reply->matched, 5);
	QBD_EQUAL(test, reply->index, 3);
	QBD_EQUAL(test, reply->commit, 5);
	QBD_TRUE(test, !(reply->flags & QBD_MESSAGE_REJECTED));
	/* What follows stays, as long as the leader has nothing else there. */
	QBD_EQUAL(test, core->trail.last, 6);
	QBD_EQUAL(test, qbd_core_generation(core), generation);
	QBD_EQUAL(test, solo_append(3, 4, 5, 1, 5, (const u64[]){ 4 }, 1),
		  QBD_APPEND_ACCEPTED);
	QBD_EQUAL(test, solo->result.truncate_from, 6);
	/* It comes late: nothing goes back. */
	QBD_TRUE(test, qbd_core_reset_offered(core, solo->now, 3, 4, 4, 1));
	QBD_EQUAL(test, core->matched, 6);
	QBD_EQUAL(test, core->commit, 5);
	/* Who vouches for nothing does not for this. */
	solo_forget();
	qbd_core_storage_failed(core, solo->now);
	QBD_TRUE(test, !qbd_core_reset_offered(core, solo->now, 3, 4, 6, 4));
	solo_drain();
	QBD_TRUE(test, !append_reply(3));
}

/* 1 is elected in term 6 by the vote of 2, whose last entry is that one. */
static struct qbd_core *elected_by(u64 index, u64 term)
{
	static const u64 fives[] = { 5, 5, 5 };
	struct qbd_core *core = solo_start(3, 5, 0, fives, 3);
	struct qbd_core_message reply;

	qbd_campaign(core, true);
	solo_hard_durable();
	reply = solo_message(QBD_MESSAGE_VOTE_REPLY, 2, 6);
	reply.flags = QBD_MESSAGE_GRANTED;
	reply.index = index;
	reply.log_term = term;
	qbd_core_peer_connected(core, solo->now, 2, QBD_LINK_BULK);
	qbd_core_peer_connected(core, solo->now, 3, QBD_LINK_BULK);
	solo_forget();
	solo_send(&reply);
	return core;
}

static enum qbd_pull next_for(u32 peer, struct qbd_range *range)
{
	memset(range, 0, sizeof(*range));
	return qbd_core_next_append(&solo->core, solo->now, peer, 1 << 20, range);
}

/* An extra round trip, in which nothing could be committed, for what the vote had said. */
static void who_voted_is_not_asked_first(struct qbd_test *test)
{
	struct qbd_core *core = elected_by(2, 5);
	struct qbd_core_message reply;
	struct qbd_peer_status peer;
	struct qbd_range range;

	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	QBD_TRUE(test, !solo_sent(QBD_MESSAGE_PROBE, 2));
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_PROBE, 3));
	QBD_EQUAL(test, next_for(2, &range), QBD_PULL_RANGE);
	QBD_EQUAL(test, range.first, 3);
	QBD_EQUAL(test, range.last, 4);
	QBD_EQUAL(test, next_for(3, &range), QBD_PULL_NOTHING);
	/* Whose vote comes late is not either. */
	reply = solo_message(QBD_MESSAGE_VOTE_REPLY, 3, 6);
	reply.flags = QBD_MESSAGE_GRANTED;
	reply.index = 3;
	reply.log_term = 5;
	solo_send(&reply);
	QBD_EQUAL(test, next_for(3, &range), QBD_PULL_RANGE);
	QBD_EQUAL(test, range.first, 4);
	/* That they have them says only their own answer. */
	solo_log_durable(4);
	QBD_EQUAL(test, core->commit, 0);
	/* A connection that is lost does not make their logs begin anew. */
	qbd_core_append_sent(core, solo->now, 2, 4, 8192);
	qbd_core_peer_disconnected(core, solo->now, 2, QBD_LINK_BULK);
	qbd_core_peer_connected(core, solo->now, 2, QBD_LINK_BULK);
	qbd_core_get_peer(core, solo->now, 2, &peer);
	QBD_EQUAL(test, peer.state, QBD_PEER_PROBE);
	QBD_EQUAL(test, peer.next, 5);
	/* It has answered, so it is known better what it has. */
	solo_round_ack(2, core->round, 2);
	reply.from = 2;
	solo_send(&reply);
	qbd_core_get_peer(core, solo->now, 2, &peer);
	QBD_EQUAL(test, peer.state, QBD_PEER_PROBE);
}

static void a_vote_of_another_log_is_no_answer(struct qbd_test *test)
{
	static const struct {
		u64 index, term;
	} others[] = { { 0, 0 }, { 2, 4 }, { 3, 3 }, { 7, 4 } };
	struct qbd_range range;

	for (u32 i = 0; i < 4; i++) {
		struct qbd_core *core = elected_by(others[i].index, others[i].term);

		QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
		QBD_TRUE(test, solo_sent(QBD_MESSAGE_PROBE, 2));
		QBD_EQUAL(test, next_for(2, &range), QBD_PULL_NOTHING);
	}
}

/*
 * An answer to a heartbeat says of a log only what is known to be committed there, and that
 * may be before this log begins. Asked from there, it was taken for one that needs extents.
 */
static void who_voted_and_is_heard_needs_no_extents(struct qbd_test *test)
{
	struct qbd_core *core = elected_by(3, 5);
	struct qbd_peer_status peer;

	solo_log_durable(4);
	solo_ack(3, 4);
	QBD_EQUAL(test, core->commit, 4);
	qbd_core_log_compacted(core, 4);
	QBD_EQUAL(test, core->trail.base_index, 3);
	QBD_EQUAL(test, pull(2, 4096), 1);
	solo_round_ack(2, core->round, 0);
	qbd_core_get_peer(core, solo->now, 2, &peer);
	QBD_EQUAL(test, peer.state, QBD_PEER_REPLICATE);
	qbd_core_peer_disconnected(core, solo->now, 2, QBD_LINK_BULK);
	qbd_core_get_peer(core, solo->now, 2, &peer);
	QBD_EQUAL(test, peer.state, QBD_PEER_PROBE);
	QBD_EQUAL(test, peer.next, 5);
}

/* After it there may be another run of that member, with an older log, in an older term. */
static void a_vote_says_nothing_of_the_next_connection(struct qbd_test *test)
{
	static const u64 fives[] = { 5, 5, 5 };
	struct qbd_core *core = solo_start(5, 5, 0, fives, 3);
	struct qbd_core_message reply;
	struct qbd_range range;

	for (u32 id = 2; id <= 3; id++)
		qbd_core_peer_connected(core, solo->now, id, QBD_LINK_BULK);
	qbd_campaign(core, true);
	solo_hard_durable();
	reply = solo_message(QBD_MESSAGE_VOTE_REPLY, 2, 6);
	reply.flags = QBD_MESSAGE_GRANTED;
	reply.index = 3;
	reply.log_term = 5;
	solo_send(&reply);
	qbd_core_peer_disconnected(core, solo->now, 2, QBD_LINK_BULK);
	qbd_core_peer_connected(core, solo->now, 2, QBD_LINK_BULK);
	reply.from = 3;
	solo_send(&reply);
	QBD_EQUAL(test, core->role, QBD_ROLE_LEADER);
	QBD_EQUAL(test, next_for(3, &range), QBD_PULL_RANGE);
	QBD_EQUAL(test, next_for(2, &range), QBD_PULL_NOTHING);
	QBD_TRUE(test, solo_sent(QBD_MESSAGE_PROBE, 2));
}

QBD_SUITE(core_log,
	  QBD_CASE(entries_are_acknowledged_when_durable),
	  QBD_CASE(commit_needs_a_majority_of_disks),
	  QBD_CASE(a_member_being_filled_does_not_count),
	  QBD_CASE(a_late_ack_counts_for_itself_only),
	  QBD_CASE(accident_12_an_old_term_is_not_committed_by_counting),
	  QBD_CASE(accident_13_heartbeat_commit_is_limited_to_match),
	  QBD_CASE(accident_14_a_late_short_append_truncates_nothing),
	  QBD_CASE(accident_15_an_empty_append_shows_a_conflict),
	  QBD_CASE(accident_16_one_probe_per_term_not_per_entry),
	  QBD_CASE(accident_17_a_late_refusal_changes_nothing),
	  QBD_CASE(accident_18_a_lost_window_recovers),
	  QBD_CASE(a_lost_connection_sends_again_after_match),
	  QBD_CASE(the_window_is_in_bytes),
	  QBD_CASE(many_small_sends_keep_the_sum),
	  QBD_CASE(accident_19_any_answer_ends_probing),
	  QBD_CASE(accident_20_an_old_completion_is_void),
	  QBD_CASE(accident_21_truncation_lowers_durable),
	  QBD_CASE(accident_22_an_ack_of_another_term_is_void),
	  QBD_CASE(accident_22_own_write_done_after_losing),
	  QBD_CASE(accident_23_acks_wait_for_their_term),
	  QBD_CASE(accident_24_success_follows_from_commit),
	  QBD_CASE(accident_25_a_failed_write_is_the_end),
	  QBD_CASE(accident_26_a_singleton_commits_when_durable),
	  QBD_CASE(accident_27_lost_entries_are_asked_for),
	  QBD_CASE(accident_27_lost_entries_under_a_new_leader),
	  QBD_CASE(accident_27_refusal_of_acknowledged_entries),
	  QBD_CASE(a_log_that_does_not_reach_back_needs_extents),
	  QBD_CASE(a_reset_log_goes_on_after_the_fill),
	  QBD_CASE(a_reset_to_an_entry_that_is_here_is_a_probe),
	  QBD_CASE(an_append_across_the_base_is_taken),
	  QBD_CASE(what_contradicts_this_log_is_refused),
	  QBD_CASE(more_terms_than_fit_are_refused),
	  QBD_CASE(answers_that_cannot_be_are_refused),
	  QBD_CASE(accident_27_a_leader_that_lost_entries_steps_down),
	  QBD_CASE(a_reset_that_cannot_be_is_refused),
	  QBD_CASE(who_voted_is_not_asked_first),
	  QBD_CASE(a_vote_of_another_log_is_no_answer),
	  QBD_CASE(who_voted_and_is_heard_needs_no_extents),
	  QBD_CASE(a_vote_says_nothing_of_the_next_connection));
