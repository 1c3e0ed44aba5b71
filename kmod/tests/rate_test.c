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
	u32 bytes = qbd_rate_piece(&world->rate);

	world->busy_until = max(world->busy_until, world->now) +
			    div64_u64(bytes * SECONDS, world->link);
	world->sent += bytes;
	qbd_rate_sent(&world->rate, world->now, bytes);
}

static void rate_completed(struct rate_world *world)
{
	u64 took = world->now - world->begun_at;

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

		if (catching_up) {
			piece = qbd_rate_next(&world->rate, world->now, world->alone,
					      world->needed);
			piece = max(piece, world->now);
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
			if (qbd_rate_next(&world->rate, world->now, world->alone,
					  world->needed) <= world->now)
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

static struct kunit_case rate_cases[] = {
	KUNIT_CASE(nobody_is_there),
	KUNIT_CASE(requests_go_first),
	KUNIT_CASE(requests_begin_later),
	KUNIT_CASE(slow_for_other_reasons),
	KUNIT_CASE(always_goes_on),
	KUNIT_CASE(requests_that_hang),
	KUNIT_CASE(the_link_changes),
	KUNIT_CASE(no_more_than_said),
	KUNIT_CASE(progress_is_told),
	{}
};

static struct kunit_suite rate_suite = {
	.name = "rate",
	.test_cases = rate_cases,
};

kunit_test_suite(rate_suite);
