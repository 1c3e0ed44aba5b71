/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Each write is in the log once: which of them are, by origin, session and sequence.
 * Pure: compiles in userspace too.
 */
#ifndef QBD_REPLICA_SESSION_H
#define QBD_REPLICA_SESSION_H

#include "../format/applied.h"
#include "../record/portable.h"

/* Words of a window. */
#define QBD_WINDOW_WORDS	(QBD_SESSION_WINDOW / 64)

/**
 * struct qbd_write_id - names a write
 * @origin: member on whose host it was made
 * @session: run of that member's device
 * @sequence: in it, from 1 on
 * @outstanding: see struct qbd_operation
 */
struct qbd_write_id {
	u32 origin;
	u64 session;
	u64 sequence;
	u16 outstanding;
};

/**
 * struct qbd_session - the writes of one origin that are in this log
 * @origin: member; 0: unused
 * @session: the newest that has written
 * @below: all writes with a lower sequence were answered. It never goes back, whatever
 *	becomes of the log: it is true of the origin
 * @next: no sequence from here on is in @indexes
 * @newest: highest log index in @indexes, or more
 * @indexes: of sequence s, from @below on and less than @below + QBD_SESSION_WINDOW, at
 *	s % QBD_SESSION_WINDOW: its log index, or 0: it is not in the log
 */
struct qbd_session {
	u32 origin;
	u64 session;
	u64 below;
	u64 next;
	u64 newest;
	u64 indexes[QBD_SESSION_WINDOW];
};

/**
 * struct qbd_sessions - the writes that are in this log
 * @slots: in no order
 */
struct qbd_sessions {
	struct qbd_session slots[QBD_MEMBERS_MAX];
};

enum qbd_session_verdict {
	QBD_WRITE_NEW,		/* it is not in the log, and may be appended */
	QBD_WRITE_LOGGED,	/* it is in the log */
	QBD_WRITE_LATE,		/* it was answered: nobody waits for this copy */
};

enum qbd_standing {
	QBD_STANDING_GONE,	/* in no list that is or may come into force again */
	QBD_STANDING_LEAVING,	/* not in the newest list */
	QBD_STANDING_MEMBER,
};

/**
 * qbd_session_find() - is this write in the log?
 * @sessions: of the whole log, committed or not
 * @id: the write
 * @index: LOGGED: its log index (or a later one that is applied)
 */
enum qbd_session_verdict qbd_session_find(const struct qbd_sessions *sessions,
					  const struct qbd_write_id *id, u64 *index);

/**
 * qbd_session_note() - a write is appended to the log
 * @sessions: of the log
 * @id: the write; it is not LOGGED. (It may be LATE at a follower: when the answer was
 *	an error, the log may come by it still)
 * @index: its log index
 * @standing: of an origin, among members. Where there is no slot for a new one it gets
 *	that of the one of the lowest
 * @context: for @standing
 *
 * A session replaces the one that its origin had before: that run of its device is over,
 * and nothing of it is delivered any more.
 */
void qbd_session_note(struct qbd_sessions *sessions, const struct qbd_write_id *id, u64 index,
		      enum qbd_standing (*standing)(const void *context, u32 origin),
		      const void *context);

/* Entries from @first_removed on are no part of the log any more. */
void qbd_session_truncate(struct qbd_sessions *sessions, u64 first_removed);

/* What is in the log up to @index, for disk and wire; the claim is left alone. */
void qbd_session_store(const struct qbd_sessions *sessions, u64 index,
		       struct qbd_applied_layout *applied);
/* The log begins after @index, and this is what was in it up to there. */
void qbd_session_load(struct qbd_sessions *sessions, u64 index,
		      const struct qbd_applied_layout *applied);

/**
 * struct qbd_write_window - this host's own writes: numbers, and which were answered
 * @oldest: the oldest that was not answered, or @next
 * @next: the next one gets it
 * @answered: bit s % QBD_SESSION_WINDOW, of sequences from @oldest on
 */
struct qbd_write_window {
	u64 oldest;
	u64 next;
	u64 answered[QBD_WINDOW_WORDS];
};

void qbd_window_init(struct qbd_write_window *window);
/* A number for a write, 0 if it has to wait until the oldest one is answered. */
u64 qbd_window_take(struct qbd_write_window *window);
/* It has ended, well or not, as far as this host is concerned. */
void qbd_window_answered(struct qbd_write_window *window, u64 sequence);
/* See struct qbd_operation; @sequence was not answered. */
u16 qbd_window_outstanding(const struct qbd_write_window *window, u64 sequence);

#endif
