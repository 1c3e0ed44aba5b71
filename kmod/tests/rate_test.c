// SPDX-License-Identifier: GPL-2.0
/*
 * How fast members are caught up: kmod/replica/rate.c.
 *
 * In a world of numbers: a link that takes so many bytes a second, on which pieces and
 * requests queue; requests that come one by one, and take as long as they do alone and as
 * long as the link is busy when they come.
 */
#include <kunit/test.h>
#include <linux/math64.h>

#include "../replica/rate.h"

#define MS	1000000ull
#define SECONDS	1000000000ull
#define MB	1000000ull

/**
 * struct rate_world - the world
 * @rate: that is tested
 * @link: bytes a second
 * @alone: what a request takes with nobody else there
 * @noise: and up to so much more, for reasons of its own
 * @think: between two requests; 0 for @alone: nobody is there
 * @mute: requests come, and are not completed
 * @needed: for a majority
 * @now: time
 * @busy_until: the link is
 * @begun_at: the request under way was begun
 * @done_at: the request under way completes
 * @sent: bytes of pieces
 * @requests: completed
 * @twice: of these, took more than twice as long as alone
 * @random: state of the random numbers
 * @record: what is sent are records of so many bytes, as requests write them; 0: extents
 * @log: of the member that lacks them
 * @written: by requests
 * @dropped: blocks that the log drops at a time
 * @passed: some of them the member lacked
 */
struct rate_world {
	struct qbd_rate rate;
	u64 link;
	u64 alone;
	u64 noise;
	u64 think;
	bool mute;
	bool needed;
	u64 now;
	u64 busy_until;
	u64 begun_at;
	u64 done_at;
	u64 sent;
	u64 requests;
	u64 twice;
	u32 random;
	u32 record;
	struct qbd_rate_log log;
	struct qbd_pace written;
	u64 dropped;
	bool passed;
};

/* What it takes into its queues, like the window of a connection. */
#define RATE_QUEUE_NS(world)	div64_u64((4ull << 20) * SECONDS, (world)->link)

static u64 rate_random(struct rate_world *world, u64 below)
{
	world->random = world->random * 1664525 + 1013904223;
	return below ? div64_u64((world->random >> 8) * below, 1 << 24) : 0;
}

static void rate_request(struct rate_world *world)
{
	u64 wait = max(world->busy_until, world->now) - world->now;

	world->begun_at = world->now;
	world->done_at = world->now + world->alone + rate_random(world, world->noise) + wait;
}

static void rate_world_begin(struct rate_world *world, u64 link, u64 alone)
{
	memset(world, 0, sizeof(*world));
	qbd_rate_init(&world->rate);
	world->link = link;
	world->alone = alone;
	world->now = SECONDS;
	world->random = 4711;
	if (alone)
		rate_request(world);
}

static void rate_piece(struct rate_world *world)
{
	u32 bytes = world->record ?: qbd_rate_piece(&world->rate);

	if (world->record) {
		qbd_rate_log_sent(&world->log, world->now, bytes);
		world->log.behind -= bytes >> 12;
	}
	world->busy_until = max(world->busy_until, world->now) +
			    div64_u64(bytes * SECONDS, world->link);
	world->sent += bytes;
	qbd_rate_sent(&world->rate, world->now, bytes);
}

/* A request wrote one record more. */
static void rate_log_written(struct rate_world *world)
{
	struct qbd_rate_log *log = &world->log;
	u32 blocks = world->record >> 12;

	qbd_pace_add(&world->written, world->now, world->record);
	log->behind += blocks;
	if (log->left > blocks) {
		log->left -= blocks;
		return;
	}
	log->left = world->dropped;
	world->passed |= log->behind > log->kept;
}

/* When may the next piece be sent? */
static u64 rate_turn(struct rate_world *world)
{
	u64 when = qbd_rate_next(&world->rate, world->now, world->alone, world->needed);

	if (world->record) {
		world->log.written = qbd_pace_speed(&world->written, world->now);
		when = qbd_rate_by_log(&world->rate, world->now, when, &world->log);
	}
	return max(when, world->now);
}

static void rate_completed(struct rate_world *world)
{
	u64 took = world->now - world->begun_at;

	if (world->record)
		rate_log_written(world);
	world->requests++;
	world->twice += took > 2 * world->alone;
	qbd_rate_done(&world->rate, world->now, false, 1, took);
	world->now += world->think;
	rate_request(world);
}

/* With a member that is caught up, or without. */
static void rate_run(struct rate_world *world, u64 time, bool catching_up)
{
	u64 end = world->now + time;

	while (world->now < end) {
		u64 completion = world->alone && !world->mute ? world->done_at : U64_MAX;
		u64 piece = U64_MAX;

		if (catching_up && (!world->record || world->log.behind)) {
			piece = rate_turn(world);
			/* The window is full. */
			if (world->busy_until > world->now + RATE_QUEUE_NS(world))
				piece = max(piece, world->busy_until - RATE_QUEUE_NS(world));
		}
		if (min(completion, piece) >= end) {
			world->now = end;
		} else if (completion <= piece) {
			world->now = completion;
			rate_completed(world);
		} else {
			world->now = piece;
			if (rate_turn(world) <= world->now)
				rate_piece(world);
		}
	}
}

/* Counts from here on; bytes a second are returned. */
static u64 rate_measure(struct rate_world *world, u64 time)
{
	world->sent = 0;
	world->requests = 0;
	world->twice = 0;
	rate_run(world, time, true);
	return div64_u64(world->sent * 1000, div64_u64(time, MS));
}

static void nobody_is_there(struct kunit *test)
{
	struct rate_world world;

	rate_world_begin(&world, 125 * MB, 0);
	KUNIT_EXPECT_GE(test, rate_measure(&world, 10 * SECONDS), 124 * MB);
	KUNIT_EXPECT_EQ(test, qbd_rate_piece(&world.rate), QBD_RATE_PIECE_MAX);
}

static void requests_go_first(struct kunit *test)
{
	static const u64 links[] = { 12500000, 125 * MB, 1250 * MB };
	static const u64 times[] = { 200000, 1100000, 8 * MS };
	struct rate_world world;

	for (u32 i = 0; i < 9; i++) {
		u64 link = links[i / 3], alone = times[i % 3], rate;

		/* The smallest piece alone would make it twice as long. */
		if (QBD_RATE_PIECE_MIN * SECONDS > link * alone)
			continue;
		rate_world_begin(&world, link, alone);
		rate_run(&world, SECONDS, false);
		rate = rate_measure(&world, 20 * SECONDS);
		KUNIT_EXPECT_LE_MSG(test, world.twice * 100, world.requests,
				    "link %llu, %llu ns: %llu of %llu took twice as long",
				    link, alone, world.twice, world.requests);
		/* And takes most of what they leave. */
		KUNIT_EXPECT_GE_MSG(test, rate * 2, link, "link %llu, %llu ns: %llu a second",
				    link, alone, rate);
	}
}

/* They come when a member is being caught up at full speed. */
static void requests_begin_later(struct kunit *test)
{
	struct rate_world world;

	rate_world_begin(&world, 125 * MB, 0);
	rate_run(&world, 3 * SECONDS, true);
	world.alone = 1100000;
	rate_request(&world);
	rate_run(&world, SECONDS, true);
	rate_measure(&world, 10 * SECONDS);
	KUNIT_EXPECT_LE_MSG(test, world.twice * 100, world.requests, "%llu of %llu", world.twice,
			    world.requests);
	/* And go. */
	world.alone = 0;
	rate_run(&world, 2 * SECONDS, true);
	KUNIT_EXPECT_GE(test, rate_measure(&world, SECONDS), 120 * MB);
}

/* Requests get slow for reasons of their own: that is no reason to slow down for ever. */
static void slow_for_other_reasons(struct kunit *test)
{
	struct rate_world world;

	rate_world_begin(&world, 125 * MB, 1100000);
	rate_run(&world, SECONDS, false);
	rate_run(&world, 5 * SECONDS, true);
	world.alone *= 4;
	rate_run(&world, 30 * SECONDS, true);
	KUNIT_EXPECT_GE(test, rate_measure(&world, 10 * SECONDS), 60 * MB);
}

static void always_goes_on(struct kunit *test)
{
	struct rate_world world;

	/* Whatever is sent, requests take one to twenty milliseconds, and a third more. */
	rate_world_begin(&world, 125 * MB, 1 * MS);
	world.noise = 20 * MS;
	rate_run(&world, SECONDS, false);
	KUNIT_EXPECT_GE(test, rate_measure(&world, 60 * SECONDS), QBD_RATE_FLOOR * 9 / 10);
	/* A link that takes no more than that. */
	rate_world_begin(&world, QBD_RATE_FLOOR * 3 / 2, 1100000);
	rate_run(&world, SECONDS, false);
	KUNIT_EXPECT_GE(test, rate_measure(&world, 60 * SECONDS), QBD_RATE_FLOOR * 9 / 10);
}

/* Requests that are not completed: perhaps they need the member that is caught up. */
static void requests_that_hang(struct kunit *test)
{
	struct rate_world world;

	rate_world_begin(&world, 125 * MB, 1100000);
	rate_run(&world, 3 * SECONDS, true);
	world.mute = true;
	rate_run(&world, 600 * MS, true);
	KUNIT_EXPECT_GE(test, rate_measure(&world, SECONDS), 120 * MB);
	/* It is known at once if the others are no majority. */
	rate_world_begin(&world, 125 * MB, 1100000);
	rate_run(&world, 3 * SECONDS, true);
	world.mute = true;
	world.needed = true;
	KUNIT_EXPECT_GE(test, rate_measure(&world, 100 * MS), 120 * MB);
}

static void the_link_changes(struct kunit *test)
{
	struct rate_world world;

	rate_world_begin(&world, 1250 * MB, 1100000);
	rate_run(&world, SECONDS, false);
	rate_run(&world, 10 * SECONDS, true);
	world.link /= 100;
	rate_measure(&world, 30 * SECONDS);
	/* It has to be noticed first: some are late by as much as had been queued. */
	KUNIT_EXPECT_LE_MSG(test, world.twice * 50, world.requests, "%llu of %llu", world.twice,
			    world.requests);
	world.link *= 100;
	rate_run(&world, 60 * SECONDS, true);
	KUNIT_EXPECT_GE(test, rate_measure(&world, 10 * SECONDS), 600 * MB);
}

static void no_more_than_said(struct kunit *test)
{
	struct rate_world world;

	for (u64 most = QBD_RATE_MAX_MIN; most <= 64 * MB; most *= 8) {
		/* Nobody is there. */
		rate_world_begin(&world, 125 * MB, 0);
		qbd_rate_set_max(&world.rate, most);
		rate_measure(&world, 10 * SECONDS);
		KUNIT_EXPECT_LE(test, world.sent, most * 10 + QBD_RATE_PIECE_MAX);
		KUNIT_EXPECT_GE(test, world.sent * 10, most * 95);
		/* Somebody is. */
		rate_world_begin(&world, 125 * MB, 1100000);
		qbd_rate_set_max(&world.rate, most);
		rate_run(&world, SECONDS, false);
		rate_measure(&world, 10 * SECONDS);
		KUNIT_EXPECT_LE(test, world.sent, most * 10 + QBD_RATE_PIECE_MAX);
		KUNIT_EXPECT_GE(test, world.sent, most * 4);
	}
}

/* Who is to be waited for by requests is, whatever was said. */
static void the_limit_is_lifted_for_requests(struct kunit *test)
{
	struct rate_world world;

	rate_world_begin(&world, 125 * MB, 1100000);
	qbd_rate_set_max(&world.rate, MB);
	rate_run(&world, 3 * SECONDS, true);
	world.mute = true;
	world.needed = true;
	KUNIT_EXPECT_GE(test, rate_measure(&world, 100 * MS), 120 * MB);
	/* There are others again, or nobody waits. */
	world.needed = false;
	rate_measure(&world, 10 * SECONDS);
	KUNIT_EXPECT_LE(test, world.sent, 10 * MB + QBD_RATE_PIECE_MAX);
	world.needed = true;
	world.alone = 0;
	rate_measure(&world, 10 * SECONDS);
	KUNIT_EXPECT_LE(test, world.sent, 10 * MB + QBD_RATE_PIECE_MAX);
	KUNIT_EXPECT_GE(test, world.sent, 9 * MB);
}

/* ---- by the log ---------------------------------------------------------- */

/* Records of 8 KiB, one for each request; 48 MiB are behind of a log that keeps @kept. */
static void rate_log_begin(struct rate_world *world, u64 link, u64 alone, u64 kept, u64 left)
{
	rate_world_begin(world, link, alone);
	world->record = 8 << 10;
	world->dropped = 2432;
	world->log.kept = kept;
	world->log.left = left;
	rate_run(world, 2 * SECONDS, false);
	world->log.behind = 12288;
	world->log.left = left;
}

/* Requests go on all the time: it gets to the end, and they hardly feel it. */
static void by_the_log_it_gets_to_the_end(struct kunit *test)
{
	static const u64 links[] = { 25 * MB, 125 * MB, 1250 * MB };
	struct rate_world world;

	for (u32 i = 0; i < ARRAY_SIZE(links); i++) {
		rate_log_begin(&world, links[i], 1100000, 14592, 2432);
		rate_measure(&world, 30 * SECONDS);
		KUNIT_EXPECT_EQ_MSG(test, world.log.behind, 0, "link %llu", links[i]);
		KUNIT_EXPECT_FALSE(test, world.passed);
		KUNIT_EXPECT_LE_MSG(test, world.twice * 100, world.requests,
				    "link %llu: %llu of %llu took twice as long", links[i],
				    world.twice, world.requests);
	}
}

/* Requests are late for reasons of their own: by the rate alone it never got there. */
static void slow_requests_do_not_hold_it(struct kunit *test)
{
	struct rate_world world;

	rate_log_begin(&world, 125 * MB, 1 * MS, 14592, 2432);
	world.noise = MS;
	rate_measure(&world, 60 * SECONDS);
	KUNIT_EXPECT_EQ(test, world.log.behind, 0);
	KUNIT_EXPECT_FALSE(test, world.passed);
}

/* What it lacks would be dropped soon: it gets as much more as it takes, and no more. */
static void the_log_does_not_pass_it_by(struct kunit *test)
{
	static const u64 lefts[] = { 400, 1000, 2432 };
	struct rate_world world;
	u64 rate;

	for (u32 i = 0; i < ARRAY_SIZE(lefts); i++) {
		rate_log_begin(&world, 125 * MB, 1100000, 9728, lefts[i]);
		rate_run(&world, 10 * SECONDS, true);
		KUNIT_EXPECT_FALSE_MSG(test, world.passed, "%llu blocks left", lefts[i]);
		KUNIT_EXPECT_EQ(test, world.log.behind, 0);
	}
	/* 10 MiB within two and a half seconds, besides what is written meanwhile. */
	rate_log_begin(&world, 125 * MB, 1100000, 9728, 4500);
	world.noise = MS;
	rate_run(&world, 500 * MS, true);
	rate = rate_measure(&world, SECONDS);
	KUNIT_EXPECT_LE_MSG(test, rate, 40 * MB, "%llu a second", rate);
}

static void by_the_log_no_more_than_said(struct kunit *test)
{
	struct rate_world world;

	/* Also if it is passed by. */
	rate_log_begin(&world, 125 * MB, 1100000, 9728, 400);
	qbd_rate_set_max(&world.rate, 4 * MB);
	rate_measure(&world, 5 * SECONDS);
	KUNIT_EXPECT_LE(test, world.sent, 21 * MB);
	KUNIT_EXPECT_GE(test, world.sent, 15 * MB);
	/* Nobody is there. */
	rate_log_begin(&world, 125 * MB, 1100000, 9728, 400);
	world.alone = 0;
	qbd_rate_set_max(&world.rate, 4 * MB);
	rate_measure(&world, 5 * SECONDS);
	KUNIT_EXPECT_LE(test, world.sent, 21 * MB);
	KUNIT_EXPECT_GE(test, world.sent, 19 * MB);
}

static void what_it_needs(struct kunit *test)
{
	struct qbd_rate_log log = { .written = 8 * MB, .behind = 100, .kept = 1000 };
	u64 least;

	KUNIT_EXPECT_EQ(test, qbd_rate_least(&log), 12 * MB);
	/* Everything, also if it is a little late. */
	log.behind = 2000;
	log.left = 1000;
	least = qbd_rate_least(&log);
	KUNIT_EXPECT_GE(test, least, 16 * MB);
	KUNIT_EXPECT_LE(test, least, 19 * MB);
	log.left = 0;
	KUNIT_EXPECT_EQ(test, qbd_rate_least(&log), U64_MAX);
	/* Nothing is written: it is dropped never. */
	log.written = 0;
	KUNIT_EXPECT_EQ(test, qbd_rate_least(&log), 0);
	/* The largest numbers that there are. */
	log.written = QBD_RATE_LIMIT;
	log.behind = 1ull << 26;
	log.kept = 0;
	log.left = 1;
	KUNIT_EXPECT_GE(test, qbd_rate_least(&log), QBD_RATE_LIMIT);
}

static void large_records_are_spread(struct kunit *test)
{
	struct qbd_rate_log log = { .written = 8 * MB };
	struct rate_world world;

	rate_world_begin(&world, 125 * MB, 1100000);
	KUNIT_EXPECT_EQ(test, qbd_rate_spread(&world.rate, &log), U64_MAX);
	rate_run(&world, SECONDS, false);
	rate_run(&world, SECONDS, true);
	KUNIT_ASSERT_EQ(test, (int)world.rate.phase, QBD_RATE_BUSY);
	KUNIT_EXPECT_GE(test, qbd_rate_spread(&world.rate, &log), world.rate.rate);
	KUNIT_EXPECT_LE(test, qbd_rate_spread(&world.rate, &log),
			2 * max(world.rate.rate, 12 * MB));
	/* There is no time for that. */
	log.behind = 1;
	KUNIT_EXPECT_EQ(test, qbd_rate_spread(&world.rate, &log), U64_MAX);
}

static void progress_is_told(struct kunit *test)
{
	struct qbd_pace pace = { 0 };
	u64 now = SECONDS;

	KUNIT_EXPECT_EQ(test, qbd_pace_speed(&pace, now), 0);
	for (u32 i = 0; i < 100; i++, now += 100 * MS)
		qbd_pace_add(&pace, now, MB);
	KUNIT_EXPECT_GE(test, qbd_pace_speed(&pace, now), 9 * MB);
	KUNIT_EXPECT_LE(test, qbd_pace_speed(&pace, now), 11 * MB);
	/* Nothing comes any more. */
	KUNIT_EXPECT_LE(test, qbd_pace_speed(&pace, now + 20 * SECONDS), MB);
}

static void time_left_is_told(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, qbd_pace_seconds(40 * MB, 4 * MB, 0), 10);
	/* It has further to go each second. */
	KUNIT_EXPECT_EQ(test, qbd_pace_seconds(40 * MB, 6 * MB, 4 * MB), 20);
	KUNIT_EXPECT_EQ(test, qbd_pace_seconds(0, 1, 0), 0);
	/* As fast as it goes the end goes away; or nothing is known yet. */
	KUNIT_EXPECT_EQ(test, qbd_pace_seconds(1, 4 * MB, 4 * MB), U64_MAX);
	KUNIT_EXPECT_EQ(test, qbd_pace_seconds(0, 0, 0), U64_MAX);
}

static struct kunit_case rate_cases[] = {
	KUNIT_CASE(nobody_is_there),
	KUNIT_CASE(requests_go_first),
	KUNIT_CASE(requests_begin_later),
	KUNIT_CASE(slow_for_other_reasons),
	KUNIT_CASE(always_goes_on),
	KUNIT_CASE(requests_that_hang),
	KUNIT_CASE(the_link_changes),
	KUNIT_CASE(no_more_than_said),
	KUNIT_CASE(the_limit_is_lifted_for_requests),
	KUNIT_CASE(by_the_log_it_gets_to_the_end),
	KUNIT_CASE(slow_requests_do_not_hold_it),
	KUNIT_CASE(the_log_does_not_pass_it_by),
	KUNIT_CASE(by_the_log_no_more_than_said),
	KUNIT_CASE(what_it_needs),
	KUNIT_CASE(large_records_are_spread),
	KUNIT_CASE(progress_is_told),
	KUNIT_CASE(time_left_is_told),
	{}
};

static struct kunit_suite rate_suite = {
	.name = "rate",
	.test_cases = rate_cases,
};

kunit_test_suite(rate_suite);
