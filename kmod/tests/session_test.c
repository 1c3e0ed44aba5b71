// SPDX-License-Identifier: GPL-2.0
/*
 * Each write is in the log once: kmod/replica/session.c. Runs under KUnit and, with the
 * sanitizers, in userspace (tests/store).
 */
#include "core_test.h"

#ifdef __KERNEL__
#include <linux/slab.h>
#define session_alloc(bytes)	kvzalloc(bytes, GFP_KERNEL)
#define session_free(memory)	kvfree(memory)
#else
#include <stdlib.h>
#define session_alloc(bytes)	calloc(1, bytes)
#define session_free(memory)	free(memory)
#endif

#include "../replica/session.h"

#define WINDOW		QBD_SESSION_WINDOW
#define HISTORY_MAX	4000u

static struct session_test {
	struct qbd_sessions sessions, other;
	struct qbd_applied_layout applied, again;
	struct qbd_write_window window;
	/* of the model: by log index, the write that is there */
	struct qbd_write_id log[HISTORY_MAX];
	u32 last;
	/* of origins, those from @lowest on are members, @leaving are so for now */
	u32 lowest, leaving;
} *lab;

static enum qbd_standing lab_standing(const void *context, u32 origin)
{
	const struct session_test *test = context;

	if (origin < test->lowest)
		return QBD_STANDING_GONE;
	return origin < test->leaving ? QBD_STANDING_LEAVING : QBD_STANDING_MEMBER;
}

static struct qbd_write_id write_of(u32 origin, u64 session, u64 sequence, u16 outstanding)
{
	return (struct qbd_write_id){ origin, session, sequence, outstanding };
}

static void note(u32 origin, u64 session, u64 sequence, u16 outstanding, u64 index)
{
	struct qbd_write_id id = write_of(origin, session, sequence, outstanding);

	qbd_session_note(&lab->sessions, &id, index, lab_standing, lab);
}

/* 0: new; U64_MAX: late; else where it is. */
static u64 find_in(const struct qbd_sessions *sessions, u32 origin, u64 session, u64 sequence)
{
	struct qbd_write_id id = write_of(origin, session, sequence, 0);
	u64 index = 0;

	switch (qbd_session_find(sessions, &id, &index)) {
	case QBD_WRITE_NEW:
		return 0;
	case QBD_WRITE_LOGGED:
		return index;
	case QBD_WRITE_LATE:
		break;
	}
	return ~0ull;
}

static u64 find(u32 origin, u64 session, u64 sequence)
{
	return find_in(&lab->sessions, origin, session, sequence);
}

static void begin(struct qbd_test *test)
{
	lab = session_alloc(sizeof(*lab));
	QBD_TRUE(test, lab);
}

static void repeats_are_found(struct qbd_test *test)
{
	begin(test);
	QBD_EQUAL(test, find(1, 7, 1), 0);
	note(1, 7, 1, 0, 10);
	note(1, 7, 3, 2, 11);
	note(2, 7, 2, 1, 12);
	QBD_EQUAL(test, find(1, 7, 1), 10);
	QBD_EQUAL(test, find(1, 7, 2), 0);
	QBD_EQUAL(test, find(1, 7, 3), 11);
	QBD_EQUAL(test, find(2, 7, 2), 12);
	QBD_EQUAL(test, find(2, 7, 1), 0);
	QBD_EQUAL(test, find(3, 7, 1), 0);
	QBD_EQUAL(test, find(1, 8, 1), 0);
	/* All before 3 have their answers: a copy of one is late, wherever it has been. */
	note(1, 7, 4, 1, 13);
	QBD_EQUAL(test, find(1, 7, 1), ~0ull);
	QBD_EQUAL(test, find(1, 7, 2), ~0ull);
	QBD_EQUAL(test, find(1, 7, 3), 11);
	QBD_EQUAL(test, find(1, 7, 4), 13);
	/* Nobody's. */
	note(0, 0, 3, 0, 14);
	QBD_EQUAL(test, find(0, 0, 3), 0);
	/* What says less of that, because it was sent before, takes nothing back. */
	note(1, 7, 5, 4, 14);
	QBD_EQUAL(test, find(1, 7, 2), ~0ull);
	session_free(lab);
}

static void windows_wrap(struct qbd_test *test)
{
	u64 sequence;

	begin(test);
	/* The oldest is not answered for as long as can be. */
	for (sequence = 1; sequence <= WINDOW; sequence++)
		note(1, 7, sequence, sequence - 1, 100 + sequence);
	for (sequence = 1; sequence <= WINDOW; sequence++)
		QBD_EQUAL(test, find(1, 7, sequence), 100 + sequence);
	QBD_EQUAL(test, find(1, 7, WINDOW + 1), 0);
	/* Its place is another one's now. */
	note(1, 7, WINDOW + 1, WINDOW - 1, 5000);
	QBD_EQUAL(test, find(1, 7, 1), ~0ull);
	QBD_EQUAL(test, find(1, 7, 2), 102);
	QBD_EQUAL(test, find(1, 7, WINDOW + 1), 5000);
	/* And what comes in another order finds nothing in the places of the answered. */
	note(1, 7, WINDOW + 5, 2, 5001);
	QBD_EQUAL(test, find(1, 7, WINDOW + 4), 0);
	QBD_EQUAL(test, find(1, 7, WINDOW + 3), 0);
	QBD_EQUAL(test, find(1, 7, WINDOW + 2), ~0ull);
	/* All answered at once, and far beyond. */
	note(1, 7, 10 * WINDOW, 0, 6000);
	QBD_EQUAL(test, find(1, 7, 10 * WINDOW - 1), ~0ull);
	for (sequence = 10 * WINDOW + 1; sequence < 11 * WINDOW; sequence++)
		QBD_EQUAL(test, find(1, 7, sequence), 0);
	QBD_EQUAL(test, find(1, 7, 10 * WINDOW), 6000);
	session_free(lab);
}

static void what_is_cut_off_is_forgotten(struct qbd_test *test)
{
	begin(test);
	note(1, 7, 1, 0, 10);
	note(1, 7, 2, 1, 11);
	note(2, 9, 1, 0, 11);
	note(1, 7, 4, 1, 12);
	qbd_session_truncate(&lab->sessions, 13);
	QBD_EQUAL(test, find(1, 7, 4), 12);
	qbd_session_truncate(&lab->sessions, 11);
	QBD_EQUAL(test, find(1, 7, 4), 0);
	QBD_EQUAL(test, find(2, 9, 1), 0);
	/* That 1 and 2 had been answered stays true. */
	QBD_EQUAL(test, find(1, 7, 1), ~0ull);
	QBD_EQUAL(test, find(1, 7, 2), ~0ull);
	note(1, 7, 4, 1, 11);
	QBD_EQUAL(test, find(1, 7, 4), 11);
	qbd_session_truncate(&lab->sessions, 11);
	QBD_EQUAL(test, find(1, 7, 4), 0);
	session_free(lab);
}

static void sessions_replace_each_other(struct qbd_test *test)
{
	begin(test);
	note(1, 7, 5, 4, 10);
	note(1, 8, 1, 0, 11);
	QBD_EQUAL(test, find(1, 8, 1), 11);
	QBD_EQUAL(test, find(1, 8, 5), 0);
	QBD_EQUAL(test, find(1, 7, 5), 0);
	/* At a follower a log of before the restart may come over one of after it. */
	qbd_session_truncate(&lab->sessions, 11);
	note(1, 7, 6, 5, 11);
	QBD_EQUAL(test, find(1, 7, 6), 11);
	QBD_EQUAL(test, find(1, 8, 1), 0);
	session_free(lab);
}

static void slots_go_to_members(struct qbd_test *test)
{
	u32 origin;

	begin(test);
	lab->lowest = 1;
	lab->leaving = 1;
	for (origin = 1; origin <= QBD_MEMBERS_MAX; origin++)
		note(origin, 7, 1, 0, origin);
	/* All are members: who is none is not remembered, and nobody is forgotten for it. */
	note(99, 7, 1, 0, 20);
	for (origin = 1; origin <= QBD_MEMBERS_MAX; origin++)
		QBD_EQUAL(test, find(origin, 7, 1), origin);
	QBD_EQUAL(test, find(99, 7, 1), 0);
	/* 2 is gone and 3 perhaps: 17 gets what 1, which is gone, too, or 2 had. */
	lab->lowest = 3;
	lab->leaving = 4;
	note(17, 7, 1, 0, 21);
	note(18, 7, 1, 0, 22);
	for (origin = 3; origin <= QBD_MEMBERS_MAX; origin++)
		QBD_EQUAL(test, find(origin, 7, 1), origin);
	QBD_EQUAL(test, find(17, 7, 1), 21);
	QBD_EQUAL(test, find(18, 7, 1), 22);
	QBD_EQUAL(test, find(1, 7, 1) + find(2, 7, 1), 0);
	/* That one writes means that the newest list is in force. */
	note(19, 7, 1, 0, 23);
	QBD_EQUAL(test, find(19, 7, 1), 23);
	QBD_EQUAL(test, find(3, 7, 1), 0);
	QBD_EQUAL(test, find(4, 7, 1), 4);
	session_free(lab);
}

/* What is kept of the begin of the log knows nothing of what may be cut off it still. */
static void only_what_is_applied_is_stored(struct qbd_test *test)
{
	begin(test);
	note(1, 7, 1, 0, 10);
	note(1, 7, 2, 1, 12);
	note(1, 7, 3, 1, 11);
	note(2, 9, WINDOW + 5, 1, 13);
	qbd_session_store(&lab->sessions, 11, &lab->applied);
	qbd_session_load(&lab->other, 11, &lab->applied);
	QBD_EQUAL(test, find_in(&lab->other, 1, 7, 1), ~0ull);
	QBD_EQUAL(test, find_in(&lab->other, 1, 7, 2), 0);
	QBD_EQUAL(test, find_in(&lab->other, 1, 7, 3), 11);
	QBD_EQUAL(test, find_in(&lab->other, 2, 9, WINDOW + 5), 0);
	QBD_EQUAL(test, find_in(&lab->other, 2, 9, WINDOW + 3), ~0ull);
	qbd_session_store(&lab->sessions, 13, &lab->applied);
	qbd_session_load(&lab->other, 13, &lab->applied);
	QBD_EQUAL(test, find_in(&lab->other, 1, 7, 2), 13);
	QBD_EQUAL(test, find_in(&lab->other, 2, 9, WINDOW + 5), 13);
	/* As it was read it is written, and nothing of it can be cut off. */
	qbd_session_truncate(&lab->other, 14);
	qbd_session_store(&lab->other, 13, &lab->again);
	QBD_TRUE(test, !memcmp(&lab->applied, &lab->again, sizeof(lab->applied)));
	qbd_session_store(&lab->other, 12, &lab->again);
	QBD_TRUE(test, memcmp(&lab->applied, &lab->again, sizeof(lab->applied)));
	session_free(lab);
}

static u32 random_below(u64 *state, u32 bound)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (*state >> 33) % bound;
}

/* Is it in the log of the model, and which one is the oldest that its host waits for? */
static u64 model_find(u32 origin, u64 sequence)
{
	u32 index;

	for (index = lab->last; index; index--)
		if (lab->log[index].origin == origin && lab->log[index].sequence == sequence)
			return index;
	return 0;
}

/*
 * Four hosts write, are answered in any order and ask again; the log is cut off, stored
 * and read back. What the table says is what the log says, of all that is not answered.
 */
static void the_table_is_what_the_log_says(struct qbd_test *test)
{
	u64 next[5] = { 0, 1, 1, 1, 1 }, oldest[5] = { 0, 1, 1, 1, 1 }, random = 42;
	u32 applied = 0, round;

	begin(test);
	for (round = 0; round < 20000 && lab->last + 2 < HISTORY_MAX; round++) {
		u32 origin = random_below(&random, 4) + 1;
		u64 sequence = next[origin];

		switch (random_below(&random, 40)) {
		case 0:
			/* Not below what is applied. */
			lab->last = applied + random_below(&random, lab->last - applied + 1);
			qbd_session_truncate(&lab->sessions, lab->last + 1);
			break;
		case 1:
			applied += random_below(&random, lab->last - applied + 1);
			break;
		case 2:
			/* A restart: the begin is read, then what follows. */
			qbd_session_store(&lab->sessions, applied, &lab->applied);
			qbd_session_load(&lab->sessions, applied, &lab->applied);
			for (u32 i = applied + 1; i <= lab->last; i++)
				qbd_session_note(&lab->sessions, &lab->log[i], i,
						 lab_standing, lab);
			break;
		case 3 ... 12:
			/* Some have their answers, which are applied by then. */
			while (oldest[origin] < next[origin] &&
			       model_find(origin, oldest[origin]) &&
			       model_find(origin, oldest[origin]) <= applied &&
			       random_below(&random, 8))
				oldest[origin]++;
			break;
		default:
			/* A new one, or one that has no answer once more. */
			if (next[origin] - oldest[origin] >= WINDOW ||
			    (next[origin] > oldest[origin] && random_below(&random, 3) == 0))
				sequence = oldest[origin] +
					random_below(&random, next[origin] - oldest[origin]);
			else
				next[origin]++;
			if (find(origin, 7, sequence))
				break;
			lab->log[++lab->last] = write_of(origin, 7, sequence,
							 sequence - oldest[origin]);
			qbd_session_note(&lab->sessions, &lab->log[lab->last], lab->last,
					 lab_standing, lab);
		}
		sequence = oldest[origin] + random_below(&random, next[origin] -
							 oldest[origin] + 1);
		QBD_EQUAL(test, find(origin, 7, sequence) != 0,
			  model_find(origin, sequence) != 0);
	}
	QBD_TRUE(test, lab->last > 1000);
	session_free(lab);
}

static void hosts_number_their_writes(struct qbd_test *test)
{
	struct qbd_write_window *window;
	u64 sequence;

	begin(test);
	window = &lab->window;
	qbd_window_init(window);
	QBD_EQUAL(test, qbd_window_take(window), 1);
	QBD_EQUAL(test, qbd_window_take(window), 2);
	QBD_EQUAL(test, qbd_window_take(window), 3);
	QBD_EQUAL(test, qbd_window_outstanding(window, 3), 2);
	qbd_window_answered(window, 2);
	QBD_EQUAL(test, qbd_window_outstanding(window, 3), 2);
	qbd_window_answered(window, 1);
	QBD_EQUAL(test, qbd_window_outstanding(window, 3), 0);
	/* What was never given out, or is answered, changes nothing. */
	qbd_window_answered(window, 0);
	qbd_window_answered(window, 1);
	qbd_window_answered(window, 4);
	QBD_EQUAL(test, window->oldest, 3);
	/* 3 goes on and on: no more than the window are given out. */
	for (sequence = 4; sequence < 3 + WINDOW; sequence++) {
		QBD_EQUAL(test, qbd_window_take(window), sequence);
		qbd_window_answered(window, sequence);
	}
	QBD_EQUAL(test, qbd_window_take(window), 0);
	QBD_EQUAL(test, qbd_window_outstanding(window, 2 + WINDOW), WINDOW - 1);
	qbd_window_answered(window, 3);
	QBD_EQUAL(test, window->oldest, 3 + WINDOW);
	for (sequence = 3 + WINDOW; sequence < 3 + 2 * WINDOW; sequence++)
		QBD_EQUAL(test, qbd_window_take(window), sequence);
	QBD_EQUAL(test, qbd_window_take(window), 0);
	qbd_window_answered(window, 3 + WINDOW);
	QBD_EQUAL(test, window->oldest, 4 + WINDOW);
	session_free(lab);
}

QBD_SUITE(session,
	  QBD_CASE(repeats_are_found),
	  QBD_CASE(windows_wrap),
	  QBD_CASE(what_is_cut_off_is_forgotten),
	  QBD_CASE(sessions_replace_each_other),
	  QBD_CASE(slots_go_to_members),
	  QBD_CASE(only_what_is_applied_is_stored),
	  QBD_CASE(the_table_is_what_the_log_says),
	  QBD_CASE(hosts_number_their_writes));
