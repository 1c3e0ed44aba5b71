// SPDX-License-Identifier: GPL-2.0
/*
 * Tries the crash states of a recorded run. Started by run, which says how.
 *
 *   DIR all STATES DEEP   so many states, drawn by lot from all there are; from so many
 *                         of them recovery is cut off at its own writes, too
 *   DIR state STATE       that one, and what it is made of
 *   DIR image STATE FILE  that one as an image of a disk
 *   DIR samples COUNT TO  so many moments: images of all members at each, and what they
 *                         may come to hold together
 *   DIR compare TO        what they did come to hold
 *   DIR dumps COUNT TO    images of so many states, and what recovery finds in them
 *
 * A state is MEMBER:POINT:VARIANT, and :POINT:VARIANT once more for where its recovery
 * is cut off; see states.c for what a variant is.
 */
#include <unistd.h>

#include "crash.h"

#define FAILURES_MAX	4u
/* Where not all is tried it is done in stretches, so that all members are looked at. */
#define STRETCH_LINES	256u
#define STATES_PER_POINT	6u
/* Of one state, cut off while it recovers. */
#define DEEP_STATES		8u

/* What was found at one point of one member: the worst of all states there. */
struct worst {
	bool known;
	u64 agreed;		/* least log; 0 for a member that does not count */
	u32 agreed_variant;
	u64 term;		/* least one */
	u32 term_variant;
	bool vote_bad;		/* of these, one says that it voted for another */
};

/* What became of states that were tried, by hash of state and promise. */
struct known {
	u64 key;
	u64 agreed, term;
	u32 vote;
	bool filling;
};

static struct known *known;
static u64 known_mask, known_count;
static u64 *contents;		/* hashes of states, whatever was promised */
static u64 contents_count;
static struct worst *worst[MEMBERS_MAX + 1];
static u64 tried, deep_tried, all_variants, points, points_tried, spoiled, failures;
static u64 moments;

/* ---- sets ---------------------------------------------------------------- */

static void sets_begin(u64 room)
{
	known_mask = 1024;
	while (known_mask < 4 * room)
		known_mask *= 2;
	known = calloc(known_mask, sizeof(*known));
	contents = calloc(known_mask, sizeof(*contents));
	if (!known || !contents)
		abort();
	known_mask--;
}

static struct known *find_known(u64 key)
{
	u64 at = mix(key, 1) & known_mask;

	while (known[at].key && known[at].key != key)
		at = (at + 1) & known_mask;
	return &known[at];
}

static void count_content(u64 hash)
{
	u64 at = mix(hash, 2) & known_mask;

	while (contents[at] && contents[at] != hash)
		at = (at + 1) & known_mask;
	if (!contents[at])
		contents_count++;
	contents[at] = hash;
}

/* ---- one state ----------------------------------------------------------- */

static u64 salt_of(u32 number, u32 point)
{
	return mix(recording.seed, (u64)number << 32 | point);
}

struct choice first_choice(const struct member *member, u32 point)
{
	return (struct choice){
		.scene = &member->scene,
		.geometry = &member->geometry,
		.at = member->points[point],
		.since = point ? member->points[point - 1] : recording.made,
		.salt = salt_of(member->number, point),
	};
}

/* The moments in recovery's own writes at which something becomes durable, and its end. */
static u32 deep_points(const struct scene *scene, u64 *lines, u32 room)
{
	u32 count = 0;

	for (u32 i = 0; i < scene->count; i++)
		if ((scene->writes[i].fua || scene->writes[i].flush) &&
		    scene->writes[i].done != NEVER && count + 1 < room)
			lines[count++] = scene->writes[i].done;
	lines[count++] = NEVER;
	return count;
}

static struct choice deep_choice(const struct member *member, const struct scene *scene,
				 const u64 *lines, u32 point, u64 salt)
{
	return (struct choice){
		.scene = scene,
		.geometry = &member->geometry,
		.at = lines[point],
		.since = point ? lines[point - 1] : 0,
		.salt = mix(salt, point),
		.whole = true,
	};
}

static void complain(const struct member *member, const char *state, const char *error)
{
	u64 at = member->points[atoi(strchr(state, ':') + 1)];
	const char *phase = "the end";

	for (u32 i = 0; i < member->scene.count; i++)
		if (member->scene.writes[i].done >= at) {
			phase = member->scene.writes[i].phase;
			break;
		}
	printf("# FAILED: member %u, power cut at %.6f s, during %s: %s\n", member->number,
	       recording.times[min(at, recording.lines - 1)] / 1e6, phase, error);
	printf("# once more: tests/crash-states/run --replay %s --state %s\n",
	       recording.directory, state);
	fflush(stdout);
	failures++;
}

/* ---- two deep ------------------------------------------------------------ */

/*
 * The state that was recovered is still there, and what recovery wrote: cut that off at
 * @limit moments, or (@only) at one.
 */
static void go_deep(const struct member *member, const struct promise *promise,
		    const char *state, u64 salt, const struct outcome *first, u32 limit,
		    const u32 *only)
{
	struct scene scene = disk_scene;
	struct outcome outcome;
	struct saved saved;
	u64 lines[256];
	u32 count, mark = disk_mark();

	disk_scene = (struct scene){ };
	disk_reset_written();
	scene_settle(&scene);
	count = deep_points(&scene, lines, ARRAY_SIZE(lines));
	disk_save(&saved);
	for (u32 i = 0; i < limit; i++) {
		struct choice choice;
		char name[64], error[512];
		u32 point = only ? only[0] : mix(salt, i) % count, variants;

		if (point >= count)
			stop("recovery of that state has %u points", count);
		choice = deep_choice(member, &scene, lines, point, salt);
		variants = states_count(&choice);
		choice.variant = only ? only[1] : mix(salt, ~(u64)i) % variants;
		if (choice.variant >= variants)
			stop("there are %u variants", variants);
		if (only)
			states_describe(&choice, "#   ");
		states_build(&choice);
		recover(member, promise, &outcome);
		deep_tried++;
		if (!outcome.error[0] && outcome.last != first->last)
			snprintf(outcome.error, sizeof(outcome.error),
				 "its log ended with %llu before, and now with %llu",
				 first->last, outcome.last);
		if (outcome.error[0]) {
			if (only)
				snprintf(name, sizeof(name), "%s", state);
			else
				snprintf(name, sizeof(name), "%s:%u:%u", state, point,
					 choice.variant);
			snprintf(error, sizeof(error), "%s (and again while it recovered)",
				 outcome.error);
			complain(member, name, error);
		}
		disk_reset_written();
		disk_restore(&saved);
		disk_back_to(mark);
		if (failures >= FAILURES_MAX)
			break;
	}
	disk_saved_free(&saved);
	free(scene.writes);
}

/* ---- all ----------------------------------------------------------------- */

static void note(const struct member *member, u32 point, u32 variant,
		 const struct known *found)
{
	struct worst *at = &worst[member->number][point];
	u64 agreed = found->filling ? 0 : found->agreed;
	u32 leader;

	if (agreed < at->agreed) {
		at->agreed = agreed;
		at->agreed_variant = variant;
	}
	if (found->term < at->term) {
		at->term = found->term;
		at->vote_bad = false;
	}
	leader = history_leader(found->term);
	/* Its own: it knows by a record of that term that it has nothing left to give. */
	if (found->term == at->term && !at->vote_bad) {
		at->term_variant = variant;
		at->vote_bad = leader && found->vote != leader &&
			       found->vote != member->number;
	}
}

static void try_state(const struct member *member, u32 point, u32 variant,
		      const struct promise *promise, u32 deep)
{
	struct choice choice = first_choice(member, point);
	struct outcome outcome;
	struct known *before;
	char state[64];
	u64 hash, key;

	choice.variant = variant;
	states_build(&choice);
	/* Few, and recovery has much to do for them: it is always cut off, too. */
	if (choice.about_table)
		deep = DEEP_STATES;
	tried++;
	spoiled += choice.spoiled;
	hash = disk_state_hash();
	count_content(hash);
	key = mix(hash, mix(mix(promise->durable, promise->chain),
			    mix(promise->term, promise->vote))) ^
	      mix(promise->flags_all, promise->flags_any) ^
	      mix(promise->cut, promise->cut_chain) ^ choice.spoiled;
	before = find_known(key | 1);
	if (!before->key) {
		recover(member, promise, &outcome);
		*before = (struct known){ .key = key | 1, .agreed = outcome.agreed,
					  .term = outcome.term, .vote = outcome.vote,
					  .filling = outcome.filling };
		known_count++;
		snprintf(state, sizeof(state), "%u:%u:%u", member->number, point, variant);
		if (outcome.error[0])
			complain(member, state, outcome.error);
		else if (deep && !choice.spoiled)
			go_deep(member, promise, state, choice.salt, &outcome, deep, NULL);
	}
	/* What was destroyed on top was not the crash. */
	if (!choice.spoiled)
		note(member, point, variant, before);
	disk_reset();
}

/* Is a number that is drawn by lot among the first of @part? */
static bool drawn(u64 lot, double part)
{
	return (lot >> 32) < part * (1ull << 32);
}

static void try_member(const struct member *member, double stretches, double part,
		       double deep_part)
{
	worst[member->number] = calloc(member->point_count, sizeof(struct worst));
	if (!worst[member->number])
		abort();
	for (u32 point = 0; point < member->point_count; point++) {
		struct choice choice = first_choice(member, point);
		u32 count = states_count(&choice);
		struct promise promise;

		if (!drawn(mix(recording.seed, choice.at / STRETCH_LINES), stretches))
			continue;
		points_tried++;
		worst[member->number][point] = (struct worst){ .known = true,
							       .agreed = NEVER,
							       .term = NEVER };
		states_advance(member, choice.at);
		history_promise(member, choice.at, &promise);
		for (u32 variant = 0; variant < count && failures < FAILURES_MAX;
		     variant++) {
			u64 lot = mix(choice.salt, variant + 0x10000);

			if (variant && !drawn(lot, part))
				continue;
			try_state(member, point, variant, &promise,
				  drawn(lot << 32, deep_part) ? DEEP_STATES : 0);
		}
		if (isatty(2) && point % 64 == 0)
			fprintf(stderr, "\rmember %u: %u of %u points, %llu states ",
				member->number, point, member->point_count, tried);
	}
	if (isatty(2))
		fprintf(stderr, "\n");
}

/* ---- all members together ------------------------------------------------ */

u32 point_at(const struct member *member, u64 line)
{
	u32 low = 0, high = member->point_count - 1;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (member->points[middle] < line)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void say_each(u64 line)
{
	for (u32 number = 1; number <= recording.members; number++) {
		u32 point = point_at(&recording.member[number], line);
		const struct worst *at = &worst[number][point];

		printf("#   member %u: %llu of the log (state %u:%u:%u); term %llu%s (state %u:%u:%u)\n",
		       number, at->agreed, number, point, at->agreed_variant, at->term,
		       at->vote_bad ? ", another vote" : "", number, point,
		       at->term_variant);
	}
}

/* At one moment all lose their power, each with the worst state that it may have. */
static bool check_moment(u64 line)
{
	u32 have = 0, voted = 0, majority = recording.members / 2 + 1;
	char why[80] = "";
	u64 committed = history_committed(line, why, sizeof(why));
	u32 leader = 0;
	u64 term = history_elected(line, &leader);

	for (u32 number = 1; number <= recording.members; number++)
		if (!worst[number][point_at(&recording.member[number], line)].known)
			return true;
	moments++;
	for (u32 number = 1; number <= recording.members; number++) {
		const struct member *member = &recording.member[number];
		const struct worst *at = &worst[number][point_at(member, line)];

		have += at->agreed >= committed;
		voted += at->term > term || (at->term == term && !at->vote_bad);
	}
	if (have >= majority && voted >= majority)
		return true;
	if (have < majority && committed == NEVER)
		printf("# FAILED: all lose power at %.6f s; no majority ever had what %s\n",
		       recording.times[min(line, recording.lines - 1)] / 1e6, why);
	else if (have < majority)
		printf("# FAILED: all lose power at %.6f s; entry %llu was committed (%s), and may be left at %u of %u members only\n",
		       recording.times[min(line, recording.lines - 1)] / 1e6, committed,
		       why, have, recording.members);
	if (voted < majority)
		printf("# FAILED: all lose power at %.6f s; member %u led in term %llu, and only %u of %u members may know that they voted for it\n",
		       recording.times[min(line, recording.lines - 1)] / 1e6, leader, term,
		       voted, recording.members);
	printf("# once more: tests/crash-states/run --replay %s, or each of these with --state\n",
	       recording.directory);
	say_each(line);
	failures++;
	return false;
}

static void check_together(void)
{
	for (u32 number = 1; number <= recording.members; number++)
		for (u32 i = 0; i < recording.member[number].point_count; i++)
			if (!check_moment(recording.member[number].points[i]))
				return;
}

static void count_states(void)
{
	for (u32 number = 1; number <= recording.members; number++) {
		const struct member *member = &recording.member[number];

		for (u32 point = 0; point < member->point_count; point++) {
			struct choice choice = first_choice(member, point);

			all_variants += states_count(&choice);
		}
		points += member->point_count;
	}
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static int try_all(u64 states, u64 deep)
{
	double stretches, part, deep_part, began = seconds();
	u64 entries = 0;

	count_states();
	for (u32 number = 1; number <= recording.members; number++)
		entries += recording.member[number].entries;
	stretches = min(1.0, (double)states / STATES_PER_POINT / points);
	/* Of each point there the first one, and so many more. */
	part = (states - stretches * points) / (stretches * (all_variants - points));
	deep_part = (double)deep / DEEP_STATES / min(states, all_variants);
	sets_begin(min(states, all_variants) * 2);
	printf("# %u members, %llu entries in their logs, %llu points at which something becomes durable, %llu states\n",
	       recording.members, entries, points, all_variants);
	printf("# history: %llu entries in %llu terms, %llu more that were overwritten, %llu requests acknowledged\n",
	       history_length(), history_terms(), history_divergent(),
	       history_acknowledged());
	for (u32 number = 1; number <= recording.members && failures < FAILURES_MAX;
	     number++)
		try_member(&recording.member[number], stretches, part, deep_part);
	if (failures < FAILURES_MAX)
		check_together();
	printf("# tried %llu states at %llu points, %llu distinct, %llu with a table block destroyed on top; %llu more while they recovered; %llu moments of all members together\n",
	       tried, points_tried, contents_count, spoiled, deep_tried, moments);
	printf("# %llu recoveries, %.0f a second of processor time\n", recoveries,
	       recoveries / (seconds() - began));
	return failures ? 1 : 0;
}

/* ---- one ----------------------------------------------------------------- */

static const struct member *parse_state(const char *text, u32 *numbers, u32 *count)
{
	u32 member;
	char end;

	*count = sscanf(text, "%u:%u:%u:%u:%u%c", &member, &numbers[0], &numbers[1],
			&numbers[2], &numbers[3], &end);
	if (*count != 3 && *count != 5)
		stop("%s is no state: MEMBER:POINT:VARIANT or MEMBER:POINT:VARIANT:POINT:VARIANT",
		     text);
	if (!member || member > recording.members)
		stop("%s: there are %u members", text, recording.members);
	if (numbers[0] >= recording.member[member].point_count)
		stop("%s: there are %u points", text,
		     recording.member[member].point_count);
	return &recording.member[member];
}

static void build_state(const struct member *member, struct choice *choice, u32 point,
			u32 variant)
{
	*choice = first_choice(member, point);
	choice->variant = variant;
	states_advance(member, choice->at);
	if (variant >= states_count(choice))
		stop("there are %u variants", states_count(choice));
	states_build(choice);
}

static int try_one(const char *text)
{
	const struct member *member;
	struct promise promise;
	struct outcome outcome;
	struct choice choice;
	u32 numbers[4], count;

	member = parse_state(text, numbers, &count);
	build_state(member, &choice, numbers[0], numbers[1]);
	history_promise(member, choice.at, &promise);
	printf("# member %u, power cut at %.6f s, point %u\n", member->number,
	       recording.times[min(choice.at, recording.lines - 1)] / 1e6, numbers[0]);
	states_describe(&choice, "# ");
	printf("# promised until then: entries up to %llu for good; in term %llu voted for %u\n",
	       promise.durable, promise.term, promise.vote);
	world.trace = getenv("QBD_TRACE");
	recover(member, &promise, &outcome);
	printf("# found: log up to %llu, of which %llu are history; committed %llu, applied %llu; term %llu, vote %u%s%s\n",
	       outcome.last, outcome.agreed, outcome.commit, outcome.applied, outcome.term,
	       outcome.vote, outcome.filling ? ", filling" : "",
	       outcome.is_new ? ", new" : "");
	printf("# %s\n", outcome.error[0] ? outcome.error : "good");
	if (count == 5 && !outcome.error[0])
		go_deep(member, &promise, text, choice.salt, &outcome, 1, numbers + 2);
	return outcome.error[0] || failures ? 1 : 0;
}

static int write_image(const char *text, const char *path)
{
	struct choice choice;
	u32 numbers[4], count;
	const struct member *member = parse_state(text, numbers, &count);

	if (count != 3)
		stop("%s: only MEMBER:POINT:VARIANT can be written as an image", text);
	build_state(member, &choice, numbers[0], numbers[1]);
	disk_write_image(path);
	return 0;
}

int main(int count, char **words)
{
	if (count < 3)
		stop("usage: qbd-crash-states DIR all STATES DEEP | state STATE | image STATE FILE | samples COUNT TO | compare TO | dumps COUNT TO");
	setvbuf(stdout, NULL, _IOLBF, 0);
	recording_read(words[1]);
	history_read();
	disk_begin(recording.blocks);
	recover_begin();
	if (!strcmp(words[2], "all") && count == 5)
		return try_all(strtoull(words[3], NULL, 10), strtoull(words[4], NULL, 10));
	if (!strcmp(words[2], "state") && count == 4)
		return try_one(words[3]);
	if (!strcmp(words[2], "image") && count == 5)
		return write_image(words[3], words[4]);
	if (!strcmp(words[2], "samples") && count == 5)
		return write_samples(strtoul(words[3], NULL, 10), words[4]);
	if (!strcmp(words[2], "dumps") && count == 5)
		return write_dumps(strtoul(words[3], NULL, 10), words[4]);
	if (!strcmp(words[2], "compare") && count == 4)
		return compare_sample(words[3]);
	stop("%s: not understood", words[2]);
}
