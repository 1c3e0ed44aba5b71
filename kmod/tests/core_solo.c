// SPDX-License-Identifier: GPL-2.0
/*
 * One core by itself; see core_solo.h.
 */
#include "core_solo.h"

struct solo the_solo;

static struct solo *const solo = &the_solo;

u32 solo_fitness = QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS;

struct qbd_core *solo_start_config(const struct qbd_config *config, u64 term,
				   u32 vote, const u64 *terms, u32 count)
{
	struct qbd_core_options options;

	lab_stops = 0;
	lab_stop_expected = false;
	memset(solo, 0, sizeof(*solo));
	solo->now = LAB_S;
	qbd_core_options_default(&options);
	qbd_core_init(&solo->core, 1, &options, 42);
	qbd_core_restore_hard_state(&solo->core, term, vote);
	qbd_core_restore_base(&solo->core, 0, 0, config, 0);
	for (u32 i = 0; i < count; i++) {
		struct qbd_entry entry = {
			.term = terms[i],
			.kind = QBD_ENTRY_DATA,
		};

		qbd_core_restore_entry(&solo->core, &entry);
	}
	qbd_core_set_fitness(&solo->core, solo->now, solo_fitness);
	qbd_core_start(&solo->core, solo->now);
	solo_drain();
	return &solo->core;
}

struct qbd_core *solo_start(u32 voters, u64 term, u32 vote, const u64 *terms,
			    u32 count)
{
	struct qbd_config config;

	lab_config(&config, voters, voters);
	solo_start_config(&config, term, vote, terms, count);
	/* Past the guard, not yet at the election timeout. */
	solo->now = solo->core.guard_until ? solo->core.guard_until : solo->now;
	solo->core.now = solo->now;
	solo_forget();
	return &solo->core;
}

void solo_drain(void)
{
	struct qbd_core_message message;

	solo->flags |= qbd_core_take_output(&solo->core, &solo->output);
	while (qbd_core_take_message(&solo->core, &message)) {
		if (solo->count == SOLO_BOX) {
			for (u32 i = 1; i < SOLO_BOX; i++)
				solo->box[i - 1] = solo->box[i];
			solo->count--;
		}
		solo->box[solo->count++] = message;
	}
}

void solo_hard_durable(void)
{
	qbd_core_hard_state_durable(&solo->core, solo->now,
				    solo->core.hard_seq);
	solo_drain();
}

void solo_log_durable(u64 index)
{
	qbd_core_log_durable(&solo->core, solo->now,
			     qbd_core_generation(&solo->core),
			     qbd_core_term_at(&solo->core, index), index);
	solo_drain();
}

void solo_tick_after(u64 duration)
{
	solo->now += duration;
	qbd_core_tick(&solo->core, solo->now);
	solo_drain();
}

struct qbd_core_message solo_message(u32 type, u32 from, u64 term)
{
	struct qbd_core_message message = {
		.from = from,
		.to = 1,
		.type = type,
		.term = term,
	};

	return message;
}

bool solo_send(const struct qbd_core_message *message)
{
	bool good = qbd_core_receive(&solo->core, solo->now, message);

	solo_drain();
	return good;
}

enum qbd_append_verdict solo_append(u32 from, u64 term, u64 prev_index,
				    u64 prev_term, u64 commit,
				    const u64 *terms, u32 count)
{
	struct qbd_entry entries[16] = { { 0 } };
	struct qbd_append append = {
		.from = from,
		.term = term,
		.prev_index = prev_index,
		.prev_term = prev_term,
		.commit = commit,
		.count = count,
		.entries = entries,
	};
	enum qbd_append_verdict verdict;

	for (u32 i = 0; i < count; i++) {
		entries[i].term = terms[i];
		entries[i].kind = QBD_ENTRY_DATA;
	}
	verdict = qbd_core_append(&solo->core, solo->now, &append,
				  &solo->result);
	solo_drain();
	return verdict;
}

void solo_heartbeat(u32 from, u64 term, u64 round, u64 commit)
{
	struct qbd_core_message message =
		solo_message(QBD_MESSAGE_HEARTBEAT, from, term);

	message.round = round;
	message.commit = commit;
	message.timeout = solo->core.options.election_timeout;
	solo_send(&message);
}

void solo_ack(u32 from, u64 index)
{
	struct qbd_core_message message =
		solo_message(QBD_MESSAGE_APPEND_REPLY, from, solo->core.term);

	message.index = index;
	message.matched = index;
	message.flags = QBD_MESSAGE_FIT;
	solo_send(&message);
}

void solo_round_ack(u32 from, u64 round, u64 index)
{
	struct qbd_core_message message =
		solo_message(QBD_MESSAGE_HEARTBEAT_REPLY, from,
			     solo->core.term);

	message.round = round;
	message.index = index;
	message.matched = index;
	message.flags = QBD_MESSAGE_FIT;
	message.timeout = solo->core.options.election_timeout;
	solo_send(&message);
}

const struct qbd_core_message *solo_sent(u32 type, u32 to)
{
	for (u32 i = solo->count; i > 0; i--)
		if (solo->box[i - 1].type == type && solo->box[i - 1].to == to)
			return &solo->box[i - 1];
	return NULL;
}

u32 solo_sent_count(u32 type)
{
	u32 count = 0;

	for (u32 i = 0; i < solo->count; i++)
		count += solo->box[i].type == type;
	return count;
}

void solo_forget(void)
{
	solo->count = 0;
	solo->flags = 0;
}

void solo_lead(u32 votes_needed)
{
	struct qbd_core_message reply;

	solo->now = qbd_max(solo->now, solo->core.election_deadline);
	solo_tick_after(0);
	for (u32 from = 2; from < 2 + votes_needed; from++) {
		reply = solo_message(QBD_MESSAGE_PREVOTE_REPLY, from,
				     solo->core.term + 1);
		reply.flags = QBD_MESSAGE_GRANTED;
		if (solo->core.role == QBD_ROLE_PRECANDIDATE)
			solo_send(&reply);
	}
	solo_hard_durable();
	for (u32 from = 2; from < 2 + votes_needed; from++) {
		reply = solo_message(QBD_MESSAGE_VOTE_REPLY, from,
				     solo->core.term);
		reply.flags = QBD_MESSAGE_GRANTED;
		solo_send(&reply);
	}
}
