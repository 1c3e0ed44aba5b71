/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One core by itself, as member 1, to be fed by hand. Its outgoing messages are
 * collected in a box, newest last.
 */
#ifndef QBD_TESTS_CORE_SOLO_H
#define QBD_TESTS_CORE_SOLO_H

#include "core_lab.h"
#include "core_test.h"

#define SOLO_BOX 64

struct solo {
	u64 now;
	struct qbd_core core;
	struct qbd_core_output output;	/* of the last event */
	u32 flags;			/* all since solo_forget() */
	struct qbd_append_result result;
	u32 count;
	struct qbd_core_message box[SOLO_BOX];
};

extern struct solo the_solo;

/* What solo_start() starts with; put back what was there. */
extern u32 solo_fitness;

/*
 * Member 1 of @voters with hard state and a log of one entry per term given, all
 * durable; the guard after the start is over. Returns the core.
 */
struct qbd_core *solo_start(u32 voters, u64 term, u32 vote, const u64 *terms,
			    u32 count);
/* The same with any configuration, and nothing waited for. */
struct qbd_core *solo_start_config(const struct qbd_config *config, u64 term,
				   u32 vote, const u64 *terms, u32 count);
/* Fetch all there is to be fetched. */
void solo_drain(void);
/* Hard state and log are durable as they are. */
void solo_hard_durable(void);
void solo_log_durable(u64 index);
void solo_tick_after(u64 duration);
/* A message to member 1, to be completed and sent. */
struct qbd_core_message solo_message(u32 type, u32 from, u64 term);
bool solo_send(const struct qbd_core_message *message);
/* An append of entries with these terms. */
enum qbd_append_verdict solo_append(u32 from, u64 term, u64 prev_index,
				    u64 prev_term, u64 commit,
				    const u64 *terms, u32 count);
/* A heartbeat as leader @from would send it. */
void solo_heartbeat(u32 from, u64 term, u64 round, u64 commit);
/* Answers of followers to this member as leader. */
void solo_ack(u32 from, u64 index);
void solo_round_ack(u32 from, u64 round, u64 index);
/* The newest message of a type to a member, NULL if there is none. */
const struct qbd_core_message *solo_sent(u32 type, u32 to);
u32 solo_sent_count(u32 type);
void solo_forget(void);
/* Win the election of the next term with the vote of member 2 (3 ...). */
void solo_lead(u32 votes_needed);

#endif /* QBD_TESTS_CORE_SOLO_H */
