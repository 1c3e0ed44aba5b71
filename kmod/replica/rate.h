/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How fast members are caught up: pure decisions.
 *
 * Requests of those who use the device go first. Catching up takes what they leave, as
 * their latency shows: it is compared with what it is while nothing is caught up, for
 * each kind and size of request by itself, so that no number has to be guessed for a disk
 * or a network.
 *
 *   phase    when                                 catching up
 *
 *   FREE     nobody uses the device, or its       as fast as it can
 *            requests wait for something else
 *            than us; or there is no majority
 *            without a member that catches up:
 *            then they wait for that
 *   QUIET    requests came; once every 2 s        stands still for some 40 ms, and
 *            later                                latencies are learned
 *   BUSY     otherwise                            at @rate, in pieces so small that each
 *                                                 takes a quarter of a quiet latency
 *
 * In BUSY a request is late at one and a half times its quiet latency, and very late at one
 * and three quarters. Two very late ones, four late ones in a row, or one late of sixteen,
 * and twice as many as at quiet times, or near the floor, besides, halve the rate and are
 * remembered as a ceiling: the rate goes up to 7/8 of it, and beyond only after ten seconds,
 * by an eighth; if that does no harm by larger steps. While hardly more are late than usual
 * the rate grows by a half, if what it allows is used.
 *
 * It never falls below QBD_RATE_FLOOR (but for @max, which is what people said): so
 * filling ends, however slow the requests are for other reasons. The time in which it
 * stands still is bounded, too.
 *
 * @max is what people said. It stands above all of this, with one exception: no limit holds
 * while requests wait for whoever is caught up.
 *
 * The same goes for the records of the log that others have and a member that was away has
 * not, whether they have to be read from the disk or not. But it has to get to the end. So
 * it gets half as much again as is written meanwhile, whatever that does to requests; and
 * more if at that pace the log would have dropped what it lacks before it is there: as much
 * more as it takes (qbd_rate_by_log()). To be passed by would not be cheaper. Who is filled
 * is sent what is written meanwhile, too, and extents besides.
 *
 * What is learned at quiet times only cannot drift: with catching up as part of the
 * measure, each round would find the load of the one before normal.
 */
#ifndef QBD_REPLICA_RATE_H
#define QBD_REPLICA_RATE_H

#include <linux/types.h>

/* Bytes a second. */
#define QBD_RATE_FLOOR		(2ull << 20)
#define QBD_RATE_START		(8ull << 20)
#define QBD_RATE_LIMIT		(16ull << 30)
/* --max-rate, if it is not 0. */
#define QBD_RATE_MAX_MIN	(64u << 10)

#define QBD_RATE_PIECE_MIN	(4u << 10)
#define QBD_RATE_PIECE_MAX	(1024u << 10)

/* Times in ns: how long after the last request somebody still counts as using it ... */
#define QBD_RATE_PRESENT_NS	1000000000ull
/* ... and after which a request that is under way waits for something else. */
#define QBD_RATE_STUCK_NS	500000000ull
#define QBD_RATE_WINDOW_NS	50000000ull
#define QBD_RATE_SETTLE_NS	20000000ull
#define QBD_RATE_QUIET_MIN_NS	20000000ull
#define QBD_RATE_QUIET_MAX_NS	400000000ull
#define QBD_RATE_QUIET_EVERY_NS	2000000000ull
#define QBD_RATE_CEILING_NS	10000000000ull
#define QBD_RATE_SAMPLES	8u

/* Reads and writes, by the logarithm of their blocks. */
#define QBD_RATE_SIZES		9u
#define QBD_RATE_CLASSES	(2u * QBD_RATE_SIZES)

enum qbd_rate_phase {
	QBD_RATE_FREE,
	QBD_RATE_QUIET,
	QBD_RATE_BUSY,
};

/**
 * struct qbd_rate - of all that one leader sends to members that catch up
 * @max: at most so much, whatever is going on; 0: no such limit
 * @lifted: requests wait for whoever is caught up, and @max does not hold
 * @rate: BUSY: bytes a second
 * @ceiling: requests were late above it; 0: not known
 * @ceiling_until: when it is tried again
 * @probes: steps beyond it that did no harm, at most 3
 * @phase: see above
 * @since: of the window, in QUIET of the phase
 * @busy_until: BUSY: then QUIET again
 * @ready_at: the next piece may begin, by @rate
 * @allowed_at: and by @max
 * @done_at: a request completed last
 * @sent_at: a piece began last
 * @settle: so long after it nothing of it is felt any more
 * @used: bytes begun in this window
 * @pushed: some of them before it was their turn
 * @samples: requests of this window
 * @late: of these
 * @very_late: likewise
 * @in_a_row: the last so many were late
 * @unknown: likewise: nothing is known of their kind
 * @longest: took the longest of them
 * @shortest: shortest quiet latency of the kinds of this window
 * @latency: and of the window before
 * @usual_late: of 256 requests, at quiet times
 * @usual_very_late: likewise
 * @noise_samples: counts for the next of these
 * @noise_late: likewise
 * @noise_very_late: likewise
 * @quiet: latency of each class at quiet times, near the longest; 0: not known
 */
struct qbd_rate {
	u64 max;
	bool lifted;
	u64 rate;
	u64 ceiling;
	u64 ceiling_until;
	u32 probes;
	enum qbd_rate_phase phase;
	u64 since;
	u64 busy_until;
	u64 ready_at;
	u64 allowed_at;
	u64 done_at;
	u64 sent_at;
	u64 settle;
	u64 used;
	bool pushed;
	u32 samples;
	u32 late;
	u32 very_late;
	u32 in_a_row;
	u32 unknown;
	u64 longest;
	u64 shortest;
	u64 latency;
	u32 usual_late;
	u32 usual_very_late;
	u32 noise_samples;
	u32 noise_late;
	u32 noise_very_late;
	u64 quiet[QBD_RATE_CLASSES];
};

void qbd_rate_init(struct qbd_rate *rate);
/* 0: no limit */
void qbd_rate_set_max(struct qbd_rate *rate, u64 max);

/* A request of so many blocks, a read or not, that took @latency, completed. */
void qbd_rate_done(struct qbd_rate *rate, u64 now, bool read, u32 blocks, u64 latency);

/**
 * qbd_rate_next() - when may the next piece begin?
 * @rate: rate
 * @now: time
 * @waiting: requests are under way
 * @needed: whoever catches up is needed for a majority
 *
 * Return: a time; not after @now: at once. Later it may be earlier: ask again then.
 */
u64 qbd_rate_next(struct qbd_rate *rate, u64 now, bool waiting, bool needed);
/* Is it not as fast as it can? While latencies are learned, by @max alone. */
bool qbd_rate_is_limited(const struct qbd_rate *rate);
/* And how large may it be? QBD_RATE_PIECE_MIN..QBD_RATE_PIECE_MAX. */
u32 qbd_rate_piece(const struct qbd_rate *rate);
/* It begins. */
void qbd_rate_sent(struct qbd_rate *rate, u64 now, u64 bytes);

/**
 * struct qbd_rate_log - of one member that catches up by the log
 * @written: bytes a second that are written
 * @behind: blocks of the log that it has not been sent
 * @kept: so many stay when the log drops its oldest records
 * @left: blocks that can be written before it does that
 * @at: it was due for its newest record
 * @bytes: of that
 */
struct qbd_rate_log {
	u64 written;
	u64 behind;
	u64 kept;
	u64 left;
	u64 at;
	u64 bytes;
};

/* Bytes a second that it needs to get to the end; U64_MAX: as many as it can take. */
u64 qbd_rate_least(const struct qbd_rate_log *log);
/**
 * qbd_rate_by_log() - when may it be sent its next record?
 * @rate: rate
 * @now: time
 * @when: what qbd_rate_next() says
 * @log: of this member
 *
 * Return: a time, as qbd_rate_next()
 */
u64 qbd_rate_by_log(const struct qbd_rate *rate, u64 now, u64 when,
		    const struct qbd_rate_log *log);
/*
 * A record cannot be cut, and one of a megabyte would keep requests waiting for as long as a
 * network takes for that. So it is to be spread over most of the time until the next one:
 * this many bytes a second, up to twice the rate that there is. U64_MAX: as fast as it goes.
 */
u64 qbd_rate_spread(const struct qbd_rate *rate, const struct qbd_rate_log *log);
/* It is sent. Not instead of qbd_rate_sent(). */
void qbd_rate_log_sent(struct qbd_rate_log *log, u64 now, u64 bytes);

/**
 * struct qbd_pace - how fast something goes on
 * @since: when it was counted last; 0: not yet
 * @amount: since then
 * @speed: a second, over the last few
 */
struct qbd_pace {
	u64 since;
	u64 amount;
	u64 speed;
};

void qbd_pace_add(struct qbd_pace *pace, u64 now, u64 amount);
/* A second. Also tells when nothing goes on any more. */
u64 qbd_pace_speed(const struct qbd_pace *pace, u64 now);
/* How long it takes if so much is added a second meanwhile; U64_MAX: not known, or for ever. */
u64 qbd_pace_seconds(u64 left, u64 speed, u64 added);

#endif
