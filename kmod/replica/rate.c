// SPDX-License-Identifier: GPL-2.0
/* Pure decisions about the speed of catching up; see rate.h. */
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "rate.h"

#define SECOND			1000000000ull
/* What is later than this by the clock alone is not late. */
#define NOISE_NS		50000ull
#define NOISE_SAMPLES		32u
#define NEAR_FLOOR		(2 * QBD_RATE_FLOOR)
/* Longer ones say nothing of us. */
#define LATENCY_MAX_NS		SECOND
/* A piece that came late to be sent may be followed by the next one so much sooner. */
#define CREDIT_NS		1000000ull
/* With blocks for less than a second left: of the bytes of a second that is a 4096th. */
#define URGENT_SHIFT		12

/* 0: there is none now. */
static u64 limit(const struct qbd_rate *rate)
{
	return rate->lifted ? 0 : rate->max;
}

static u64 effective(const struct qbd_rate *rate)
{
	u64 now = rate->phase == QBD_RATE_BUSY ? rate->rate : 0;
	u64 most = limit(rate);

	if (!now || !most)
		return now ?: most;
	return min(now, most);
}

bool qbd_rate_is_limited(const struct qbd_rate *rate)
{
	return effective(rate);
}

void qbd_rate_init(struct qbd_rate *rate)
{
	memset(rate, 0, sizeof(*rate));
	rate->rate = QBD_RATE_START;
	rate->settle = QBD_RATE_SETTLE_NS;
}

void qbd_rate_set_max(struct qbd_rate *rate, u64 max)
{
	rate->max = max;
	rate->allowed_at = 0;
}

/* What is late for its turn may be followed by the next one sooner, but not by a heap. */
static u64 on_schedule(u64 due, u64 now)
{
	return clamp(due, now - min(now, CREDIT_NS), now);
}

static void begin_window(struct qbd_rate *rate, u64 now)
{
	rate->since = now;
	rate->used = 0;
	rate->pushed = false;
	rate->longest = 0;
	rate->samples = 0;
	rate->late = 0;
	rate->very_late = 0;
	rate->in_a_row = 0;
	rate->unknown = 0;
	if (rate->shortest)
		rate->latency = rate->shortest;
	rate->shortest = 0;
}

/*
 * What was sent takes its time to get out of the way: as long as requests waited for it.
 * At full speed nobody knows, but the queues of the network are full.
 */
static void begin_quiet(struct qbd_rate *rate, u64 now)
{
	rate->settle = (rate->phase == QBD_RATE_FREE ? 5 : 1) * QBD_RATE_SETTLE_NS;
	rate->settle = max(rate->settle, min(2 * rate->longest, QBD_RATE_QUIET_MAX_NS / 2));
	rate->phase = QBD_RATE_QUIET;
	begin_window(rate, now);
}

static void begin_busy(struct qbd_rate *rate, u64 now)
{
	rate->phase = QBD_RATE_BUSY;
	rate->busy_until = now + QBD_RATE_QUIET_EVERY_NS;
	begin_window(rate, now);
	rate->ready_at = now;
}

static bool is_late(u64 quiet, u64 latency)
{
	return latency > quiet + max(quiet / 2, NOISE_NS);
}

static bool is_very_late(u64 quiet, u64 latency)
{
	return latency > quiet + max(quiet / 4 * 3, 2 * NOISE_NS);
}

/* How many are late without us? Of 256, over the last few times. */
static void learn_noise(struct qbd_rate *rate, u64 quiet, u64 latency)
{
	if (!quiet)
		return;
	rate->noise_late += is_late(quiet, latency);
	rate->noise_very_late += is_very_late(quiet, latency);
	if (++rate->noise_samples < NOISE_SAMPLES)
		return;
	rate->usual_late = (rate->usual_late + rate->noise_late * 256 / NOISE_SAMPLES) / 2;
	rate->usual_very_late = (rate->usual_very_late +
				 rate->noise_very_late * 256 / NOISE_SAMPLES) / 2;
	rate->noise_samples = 0;
	rate->noise_late = 0;
	rate->noise_very_late = 0;
}

/* Up fast, down slowly: it stays near the longest of them. */
static void learn(struct qbd_rate *rate, u32 class, u64 latency)
{
	u64 *quiet = &rate->quiet[class];

	learn_noise(rate, *quiet, latency);
	if (!*quiet)
		*quiet = latency;
	else if (latency > *quiet)
		*quiet += (latency - *quiet + 3) / 4;
	else
		*quiet -= (*quiet - latency) / 8;
}

static void slower(struct qbd_rate *rate, u64 now, u64 latency)
{
	/* So near the floor it says nothing of what there is room for. */
	rate->ceiling = rate->rate > NEAR_FLOOR ? rate->rate / 8 * 7 : 0;
	rate->ceiling_until = now + QBD_RATE_CEILING_NS;
	rate->probes = 0;
	rate->rate = max(rate->rate / 2, QBD_RATE_FLOOR);
	/* What was sent too fast has to get out of the way first. */
	begin_window(rate, now + latency);
	rate->ready_at = now + latency;
}

static void faster(struct qbd_rate *rate, u64 now)
{
	u64 most = QBD_RATE_LIMIT;

	/* A step of an eighth first; each that does no harm is followed by a larger one. */
	if (rate->ceiling && now >= rate->ceiling_until) {
		rate->ceiling += rate->ceiling >> (3 - rate->probes);
		rate->ceiling = min(rate->ceiling, QBD_RATE_LIMIT);
		rate->probes = min(rate->probes + 1, 3u);
		rate->ceiling_until = now + (QBD_RATE_CEILING_NS >> rate->probes);
	}
	if (rate->ceiling)
		most = min(most, rate->ceiling);
	rate->rate = max(min(rate->rate + rate->rate / 2, most), QBD_RATE_FLOOR);
}

/* Enough is known of this window, or it has lasted long enough. */
static bool window_over(const struct qbd_rate *rate, u64 now)
{
	return now >= rate->since + QBD_RATE_WINDOW_NS &&
	       (rate->samples >= QBD_RATE_SAMPLES ||
		now >= rate->since + 20 * QBD_RATE_WINDOW_NS);
}

/* Was as much sent as was allowed? Else nothing is known of what that would do. */
static bool was_used(const struct qbd_rate *rate, u64 now)
{
	u64 spent = div64_u64(rate->used * 1000, effective(rate)) * (SECOND / 1000);

	return spent >= (now - rate->since) / 2;
}

static void judge_window(struct qbd_rate *rate, u64 now)
{
	if (rate->phase != QBD_RATE_BUSY || now < rate->since || !window_over(rate, now))
		return;
	if (rate->late > 1 &&
	    rate->late * 256 > rate->samples * (16 + 2 * rate->usual_late))
		slower(rate, now, 0);
	else if (rate->unknown > rate->samples / 2)
		begin_quiet(rate, now);
	else if (rate->samples && was_used(rate, now) &&
		 rate->late * 256 <= rate->samples * (1 + rate->usual_late + rate->usual_late / 2))
		faster(rate, now);
	if (rate->phase == QBD_RATE_BUSY && rate->since <= now)
		begin_window(rate, now);
}

static void judge(struct qbd_rate *rate, u64 now, u32 class, u64 latency)
{
	u64 quiet = rate->quiet[class];

	rate->samples++;
	rate->longest = max(rate->longest, latency);
	if (!quiet) {
		rate->unknown++;
		return;
	}
	if (!rate->shortest || quiet < rate->shortest)
		rate->shortest = quiet;
	/* As little as this is not what makes them late. */
	if (rate->rate <= NEAR_FLOOR && !rate->pushed)
		learn_noise(rate, quiet, latency);
	rate->in_a_row = is_late(quiet, latency) ? rate->in_a_row + 1 : 0;
	rate->late += is_late(quiet, latency);
	rate->very_late += is_very_late(quiet, latency);
	if (rate->in_a_row >= 4 + rate->usual_late / 32 ||
	    rate->very_late >= 2 + max(rate->samples, 16u) *
			       (1 + rate->usual_very_late) / 128)
		slower(rate, now, latency);
}

void qbd_rate_done(struct qbd_rate *rate, u64 now, bool read, u32 blocks, u64 latency)
{
	u64 began = now - min(now, latency);
	u32 class = read ? QBD_RATE_SIZES : 0;
	u32 size;

	for (size = 1; size < QBD_RATE_SIZES && blocks >> size; size++)
		class++;
	rate->done_at = now;
	if (latency > LATENCY_MAX_NS)
		return;
	if (began >= rate->sent_at + rate->settle) {
		learn(rate, class, latency);
		if (!rate->shortest || rate->quiet[class] < rate->shortest)
			rate->shortest = rate->quiet[class];
		rate->samples += rate->phase == QBD_RATE_QUIET;
	} else if (rate->phase == QBD_RATE_BUSY && began >= rate->since) {
		judge(rate, now, class, latency);
	}
	judge_window(rate, now);
}

u64 qbd_rate_next(struct qbd_rate *rate, u64 now, bool waiting, bool needed)
{
	u64 silence = now - min(now, rate->done_at);
	u64 allowed_at;

	rate->lifted = needed && waiting;
	allowed_at = limit(rate) ? rate->allowed_at : 0;
	if (needed || !rate->done_at ||
	    silence > (waiting ? QBD_RATE_STUCK_NS : QBD_RATE_PRESENT_NS))
		rate->phase = QBD_RATE_FREE;
	else if (rate->phase == QBD_RATE_FREE)
		begin_quiet(rate, now);
	judge_window(rate, now);
	if (rate->phase == QBD_RATE_BUSY && now >= rate->busy_until)
		begin_quiet(rate, now);
	if (rate->phase == QBD_RATE_QUIET) {
		u64 soonest = rate->sent_at + rate->settle + QBD_RATE_QUIET_MIN_NS;
		u64 latest = rate->since + QBD_RATE_QUIET_MAX_NS;

		if (now < latest && (now < soonest || rate->samples < QBD_RATE_SAMPLES))
			return now < soonest ? min(soonest, latest) :
			       min(now + QBD_RATE_QUIET_MIN_NS, latest);
		begin_busy(rate, now);
	}
	if (rate->phase == QBD_RATE_BUSY)
		allowed_at = max(allowed_at, rate->ready_at);
	return max(allowed_at, now);
}

u32 qbd_rate_piece(const struct qbd_rate *rate)
{
	u64 speed = effective(rate);
	u64 time = rate->phase == QBD_RATE_BUSY && rate->latency ? rate->latency / 4 :
		   10 * SECOND / 1000;
	u64 bytes;

	if (!speed)
		return QBD_RATE_PIECE_MAX;
	bytes = div64_u64(min(speed, QBD_RATE_LIMIT) * (time / 1000), SECOND / 1000);
	return clamp_t(u64, bytes, QBD_RATE_PIECE_MIN, QBD_RATE_PIECE_MAX);
}

void qbd_rate_sent(struct qbd_rate *rate, u64 now, u64 bytes)
{
	u64 most = limit(rate);

	rate->sent_at = now;
	rate->used += bytes;
	rate->pushed |= rate->phase == QBD_RATE_BUSY && now < rate->ready_at;
	/* What has to go out whatever the rate is does not keep others waiting afterwards. */
	if (rate->phase == QBD_RATE_BUSY)
		rate->ready_at = on_schedule(rate->ready_at, now) +
				 div64_u64(bytes * SECOND, rate->rate);
	if (most)
		rate->allowed_at = max(rate->allowed_at, now - min(now, CREDIT_NS)) +
				   div64_u64(bytes * SECOND, most);
}

/* ---- by the log ---------------------------------------------------------- */

/* Who is behind by no more is not passed by. */
static u64 safe(const struct qbd_rate_log *log)
{
	return log->kept - log->kept / 32;
}

static bool is_endangered(const struct qbd_rate_log *log)
{
	return log->behind > safe(log);
}

u64 qbd_rate_least(const struct qbd_rate_log *log)
{
	/* Its end comes nearer, also if a fifth of the time nothing is sent. */
	u64 least = log->written / 2 * 3;
	u64 lack;

	if (!log->written || !is_endangered(log))
		return least;
	lack = log->behind - safe(log);
	lack += lack / 4 + 1;
	if (!log->left)
		return U64_MAX;
	return max(least, log->written + (div64_u64((log->written >> 10) * lack, log->left) << 10));
}

/* Nor is it made to wait while latencies are learned. */
static bool is_urgent(const struct qbd_rate_log *log)
{
	return is_endangered(log) && log->left < log->written >> URGENT_SHIFT;
}

static u64 due_at(const struct qbd_rate_log *log)
{
	u64 least = qbd_rate_least(log);

	return least ? log->at + div64_u64(log->bytes * SECOND, least) : U64_MAX;
}

u64 qbd_rate_by_log(const struct qbd_rate *rate, u64 now, u64 when,
		    const struct qbd_rate_log *log)
{
	if (when <= now || (rate->phase == QBD_RATE_QUIET && !is_urgent(log)))
		return when;
	return max(min(when, due_at(log)), limit(rate) ? rate->allowed_at : 0);
}

u64 qbd_rate_spread(const struct qbd_rate *rate, const struct qbd_rate_log *log)
{
	u64 most = max(rate->rate, qbd_rate_least(log));
	u64 bytes = QBD_RATE_FLOOR;

	if (rate->phase != QBD_RATE_BUSY || most > QBD_RATE_LIMIT)
		return U64_MAX;
	/* Not a new one each time. */
	while (bytes < most)
		bytes *= 2;
	return bytes;
}

void qbd_rate_log_sent(struct qbd_rate_log *log, u64 now, u64 bytes)
{
	log->at = on_schedule(due_at(log), now);
	log->bytes = bytes;
}

/* ---- progress ------------------------------------------------------------ */

void qbd_pace_add(struct qbd_pace *pace, u64 now, u64 amount)
{
	u64 elapsed = now - min(now, pace->since);
	u64 speed;

	if (!pace->since) {
		pace->since = now;
		elapsed = 0;
	}
	pace->amount += amount;
	if (elapsed < SECOND)
		return;
	speed = div64_u64(pace->amount * 1000, div64_u64(elapsed, SECOND / 1000));
	pace->speed = pace->speed ? (pace->speed + speed) / 2 : speed;
	pace->since = now;
	pace->amount = 0;
}

u64 qbd_pace_speed(const struct qbd_pace *pace, u64 now)
{
	u64 elapsed = now - min(now, pace->since);
	u64 speed;

	if (!pace->since || elapsed < SECOND / 10)
		return pace->speed;
	speed = div64_u64(pace->amount * 1000, div64_u64(elapsed, SECOND / 1000));
	/* Not a second yet: the newest counts for less. */
	if (pace->speed && elapsed < SECOND)
		return (3 * pace->speed + speed) / 4;
	return elapsed > 3 * SECOND || !pace->speed ? speed : (pace->speed + speed) / 2;
}

u64 qbd_pace_seconds(u64 left, u64 speed, u64 added)
{
	return speed > added ? div64_u64(left, speed - added) : U64_MAX;
}
