// SPDX-License-Identifier: GPL-2.0
/*
 * Tries the crash states of a recorded run. Started by run, which says how.
 *
 *   DIR all STATES DEEP   at each moment all states that belong to a visit (see
 *                         states.c), and so many of the rest, drawn by lot; from so many of
 *                         all of them recovery is cut off at its own writes, too
 *   DIR some STATES DEEP  so many states, drawn by lot from all there are
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
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"

#define FAILURES_MAX	4u
/* Where not all is tried it is done in stretches, so that all members are looked at. */
#define STRETCH_LINES	256u
#define STATES_PER_POINT	3u
/* Of one state, cut off while it recovers. */
#define DEEP_STATES		8u
/* Of one that is about the extent table, where each of these is tried anyway. */
#define DEEP_TABLE_STATES	2u

/* What was found at one point of one member: the worst of all states there. */
struct worst {
	bool known;
	u32 always;		/* states tried that belong to a visit */
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
	bool is_copy;		/* what it has counts */
	bool votes;
};

static struct known *known;
static u64 known_mask, known_count;
static u64 *contents;		/* hashes of states, whatever was promised */
static struct worst *worst[MEMBERS_MAX + 1];
static u64 moments;

/* What was done; of each member in a process of its own, see try_members(). */
struct tally {
	u64 tried;
	u64 always_tried;	/* of them, those that belong to a visit */
	u64 deep_tried, distinct, spoiled, recoveries, failures;
};

static struct tally tally;

/* What there is to be tried. */
static struct {
	u64 points;
	u64 always;		/* states that belong to a visit, */
	u64 rest;		/* and those that do not */
} all;

/* What is tried of it: parts of 1. */
static struct {
	double stretches;
	double always;
	double rest;
	double deep;
} wanted;

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
		tally.distinct++;
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
		.since = point ? member->points[point - 1] : member->begun,
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
	tally.failures++;
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
		tally.deep_tried++;
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
		if (tally.failures >= FAILURES_MAX)
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
	u64 agreed = found->is_copy ? found->agreed : 0;
	u64 term = found->votes ? found->term : 0;
	u32 leader;

	if (agreed < at->agreed) {
		at->agreed = agreed;
		at->agreed_variant = variant;
	}
	if (term < at->term) {
		at->term = term;
		at->vote_bad = false;
	}
	leader = history_leader(term);
	/* Its own: it knows by a record of that term that it has nothing left to give. */
	if (term == at->term && !at->vote_bad) {
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
	/* Recovery has much to do for them: it is always cut off, too. */
	if (choice.about_table && !deep)
		deep = wanted.always < 1 ? DEEP_STATES : DEEP_TABLE_STATES;
	tally.tried++;
	tally.spoiled += choice.spoiled;
	hash = disk_state_hash();
	count_content(hash);
	key = mix(hash, mix(mix(promise->durable, promise->chain),
			    mix(promise->term, promise->vote))) ^
	      mix(promise->flags_all, promise->flags_any) ^
	      mix(promise->cut, promise->cut_chain) ^
	      mix(promise->blocks, promise->flags_ever) ^
	      mix(promise->made, promise->filled) ^
	      mix(promise->lost, mix(promise->lost_through, promise->missing)) ^
	      (member->joined ? history_votes(member->number, promise->line) << 1 : 0) ^
	      choice.spoiled;
	before = find_known(key | 1);
	if (!before->key) {
		recover(member, promise, &outcome);
		*before = (struct known){ .key = key | 1, .agreed = outcome.agreed,
					  .term = outcome.term, .vote = outcome.vote,
					  .is_copy = !outcome.filling && !outcome.is_new,
					  .votes = !outcome.is_new && !outcome.nothing };
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

/* Nothing of what is uncertain, and all of it: wherever there is a look at all. */
#define FIRST_VARIANTS	2u

static void try_point(const struct member *member, u32 point)
{
	struct choice choice = first_choice(member, point);
	struct worst *at = &worst[member->number][point];
	u32 count = states_count(&choice);
	struct promise promise;

	*at = (struct worst){ .known = true, .agreed = NEVER, .term = NEVER };
	states_advance(member, choice.at);
	history_promise(member, choice.at, &promise);
	for (choice.variant = 0; choice.variant < count && tally.failures < FAILURES_MAX;
	     choice.variant++) {
		u64 lot = mix(choice.salt, choice.variant + 0x10000);
		bool always = states_always(&choice);

		if (choice.variant >= FIRST_VARIANTS &&
		    !drawn(lot, always ? wanted.always : wanted.rest))
			continue;
		try_state(member, point, choice.variant, &promise,
			  drawn(lot << 32, wanted.deep) ? DEEP_STATES : 0);
		at->always += always;
		tally.always_tried += always;
	}
}

/* What is there then may be the former disk in part: what is to be made of that is open. */
static bool being_emptied(const struct member *member, u64 line)
{
	return line >= member->made && !member_is_there(member, line);
}

static void try_member(const struct member *member)
{
	for (u32 point = 0; point < member->point_count && tally.failures < FAILURES_MAX; point++) {
		if (being_emptied(member, member->points[point]))
			continue;
		if (drawn(mix(recording.seed, member->points[point] / STRETCH_LINES),
			  wanted.stretches))
			try_point(member, point);
		if (isatty(2) && point % 64 == 0)
			fprintf(stderr, "\rmember %u: %u of %u points, %llu states ",
				member->number, point, member->point_count, tally.tried);
	}
	if (isatty(2))
		fprintf(stderr, "\n");
}

static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

/* At once: each member's disk is tried by itself, and it takes long. */
static void try_members(void)
{
	struct tally *tallies = shared(sizeof(*tallies) * (MEMBERS_MAX + 1));
	pid_t processes[MEMBERS_MAX + 1];

	for (u32 number = 1; number <= recording.members; number++) {
		const struct member *member = &recording.member[number];

		worst[number] = shared(member->point_count * sizeof(struct worst));
		fflush(stdout);
		processes[number] = fork();
		if (processes[number] < 0)
			stop("no process for member %u: %s", number, strerror(errno));
		if (processes[number])
			continue;
		try_member(member);
		tally.recoveries = recoveries;
		tallies[number] = tally;
		fflush(stdout);
		_exit(0);
	}
	for (u32 number = 1; number <= recording.members; number++) {
		const struct tally *of = &tallies[number];
		int status;

		if (waitpid(processes[number], &status, 0) < 0 || status)
			stop("the process that tried member %u failed, status %x", number,
			     status);
		tally.tried += of->tried;
		tally.always_tried += of->always_tried;
		tally.deep_tried += of->deep_tried;
		tally.distinct += of->distinct;
		tally.spoiled += of->spoiled;
		tally.recoveries += of->recoveries;
		tally.failures += of->failures;
		printf("# member %u: %llu states%s\n", number, of->tried + of->deep_tried,
		       recording.member[number].joined ? ", it joined" :
		       recording.member[number].witness ? ", a witness" : "");
	}
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

		if (!member_is_there(&recording.member[number], line)) {
			printf("#   member %u has no disk\n", number);
			continue;
		}
		printf("#   member %u: %llu of the log (state %u:%u:%u); term %llu%s (state %u:%u:%u)\n",
		       number, at->agreed, number, point, at->agreed_variant, at->term,
		       at->vote_bad ? ", another vote" : "", number, point,
		       at->term_variant);
	}
}

/* At one moment all lose their power, each with the worst state that it may have. */
static bool check_moment(u64 line)
{
	u32 have = 0, voted = 0;		/* members, as bits */
	bool have_it, have_voted;
	char why[80] = "";
	u64 committed = history_committed(line, why, sizeof(why));
	u32 leader = 0;
	u64 term = history_elected(line, &leader);

	for (u32 number = 1; number <= recording.members; number++)
		if (member_is_there(&recording.member[number], line) &&
		    !worst[number][point_at(&recording.member[number], line)].known)
			return true;
	moments++;
	for (u32 number = 1; number <= recording.members; number++) {
		const struct member *member = &recording.member[number];
		const struct worst *at = &worst[number][point_at(member, line)];

		if (!member_is_there(member, line))
			continue;
		have |= (u32)(at->agreed >= committed) << number;
		voted |= (u32)(at->term > term || (at->term == term && !at->vote_bad)) <<
			 number;
	}
	have_it = history_majority(have, committed, line);
	have_voted = history_majority(voted, history_before_term(term), line);
	if (have_it && have_voted)
		return true;
	if (!have_it && committed == NEVER)
		printf("# FAILED: all lose power at %.6f s; no majority ever had what %s\n",
		       recording.times[min(line, recording.lines - 1)] / 1e6, why);
	else if (!have_it)
		printf("# FAILED: all lose power at %.6f s; entry %llu was committed (%s), and may be left at %u of %u members only\n",
		       recording.times[min(line, recording.lines - 1)] / 1e6, committed,
		       why, __builtin_popcount(have), recording.members);
	if (!have_voted)
		printf("# FAILED: all lose power at %.6f s; member %u led in term %llu, and only %u of %u members may know that they voted for it\n",
		       recording.times[min(line, recording.lines - 1)] / 1e6, leader, term,
		       __builtin_popcount(voted), recording.members);
	printf("# once more: tests/crash-states/run --replay %s, or each of these with --state\n",
	       recording.directory);
	say_each(line);
	tally.failures++;
	return false;
}

static void check_together(void)
{
	if (history_bad_repair()) {
		printf("# FAILED: %s\n", history_bad_repair());
		tally.failures++;
		return;
	}
	for (u32 number = 1; number <= recording.members; number++)
		for (u32 i = 0; i < recording.member[number].point_count; i++)
			if (!check_moment(recording.member[number].points[i]))
				return;
}

/* How many states belong to a visit of a point. */
static u32 count_always(const struct member *member, u32 point)
{
	struct choice choice = first_choice(member, point);
	u32 always = 0, count = states_count(&choice);

	for (choice.variant = 0; choice.variant < count; choice.variant++)
		always += states_always(&choice);
	return always;
}

static void count_states(void)
{
	for (u32 number = 1; number <= recording.members; number++) {
		const struct member *member = &recording.member[number];

		for (u32 point = 0; point < member->point_count; point++) {
			struct choice choice = first_choice(member, point);
			u32 always = count_always(member, point);

			all.always += always;
			all.rest += states_count(&choice) - always;
		}
		all.points += member->point_count;
	}
}

/*
 * Were all moments gone through? They are counted once more for that, from what the disk
 * was given and not from the list of points: each flush and each forced write that was
 * done, and the end.
 */
static void check_visited(bool complete)
{
	u64 moments_there = 0, visited = 0;

	for (u32 number = 1; number <= recording.members; number++) {
		const struct member *member = &recording.member[number];

		for (u32 i = 0; i <= member->scene.count; i++) {
			const struct write *write = &member->scene.writes[i];
			u64 line = recording.lines;
			u32 point;

			if (i < member->scene.count) {
				if (!write->fua && !write->flush)
					continue;
				line = write->done;
			}
			if (line == NEVER || line < member->begun || being_emptied(member, line))
				continue;
			moments_there++;
			point = point_at(member, line);
			visited += member->points[point] == line &&
				   worst[number] && worst[number][point].known &&
				   (!complete || worst[number][point].always ==
						 count_always(member, point));
		}
	}
	printf("# visited %llu of %llu points%s\n", visited, moments_there, complete ?
	       ", each with nothing of what is uncertain, all of it, and what is torn" :
	       "");
	if (complete && visited != moments_there)
		stop("%llu points were passed over", moments_there - visited);
}

static double seconds(void)
{
	static const int whose[] = { RUSAGE_SELF, RUSAGE_CHILDREN };
	double sum = 0;

	for (u32 i = 0; i < ARRAY_SIZE(whose); i++) {
		struct rusage usage;

		getrusage(whose[i], &usage);
		sum += usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6 +
		       usage.ru_stime.tv_sec + usage.ru_stime.tv_usec / 1e6;
	}
	return sum;
}

static double part_of(double some, double whole)
{
	return whole > 0 && some < whole ? max(some, 0.0) / whole : whole > 0;
}

static void want(bool complete, double states, double deep)
{
	double several = FIRST_VARIANTS * (double)all.points;
	double whole = all.always + all.rest, count;

	if (complete) {
		wanted.stretches = 1;
		wanted.always = 1;
		wanted.rest = part_of(states, all.rest);
		count = all.always + min_t(double, states, all.rest);
	} else {
		wanted.stretches = part_of(states / STATES_PER_POINT, all.points);
		/* Of each point there the first ones, and so many more. */
		wanted.always = part_of(states - wanted.stretches * several,
					wanted.stretches * (whole - several));
		wanted.rest = wanted.always;
		count = min(states, whole);
	}
	wanted.deep = part_of(deep / DEEP_STATES, count);
	sets_begin(count);
}

/* What there is of those that are not in each recording. */
static void say_kinds(void)
{
	for (u32 number = 1; number <= recording.members; number++) {
		const struct member *member = &recording.member[number];

		if (member->joined)
			printf("# member %u joined at %.6f s, by entry %llu: %u points\n", number,
			       recording.times[min(member->made, recording.lines - 1)] / 1e6,
			       history_added(number), member->point_count);
		if (member->emptied_from)
			printf("# member %u was emptied at %.6f s\n", number,
			       recording.times[min(member->emptied_to, recording.lines - 1)] / 1e6);
		if (member->witness)
			printf("# member %u is a witness: %u points\n", number,
			       member->point_count);
	}
	for (u32 i = 0; i < recording.loss_count; i++)
		printf("# entry %llu of member %u was spoiled, which had all up to %llu\n",
		       recording.losses[i].index, recording.losses[i].member,
		       recording.losses[i].through);
	if (recording.rot_count)
		printf("# %u blocks rotted, %llu were repaired\n", recording.rot_count,
		       history_repairs());
}

static int try_all(bool complete, u64 states, u64 deep)
{
	double began = seconds(), taken;
	u64 entries = 0;

	count_states();
	for (u32 number = 1; number <= recording.members; number++)
		entries += recording.member[number].entries;
	want(complete, states, deep);
	printf("# %u members, %llu entries in their logs, %llu points at which something becomes durable, %llu states\n",
	       recording.members, entries, all.points, all.always + all.rest);
	printf("# history: %llu entries in %llu terms, %llu more that were overwritten, %llu requests acknowledged\n",
	       history_length(), history_terms(), history_divergent(),
	       history_acknowledged());
	say_kinds();
	try_members();
	if (tally.failures < FAILURES_MAX)
		check_together();
	printf("# tried %llu of %llu states that belong to a visit, %llu of the %llu others\n",
	       tally.always_tried, all.always, tally.tried - tally.always_tried, all.rest);
	printf("# %llu of them distinct, %llu with a table block destroyed on top; tried %llu more while they recovered\n",
	       tally.distinct, tally.spoiled, tally.deep_tried);
	printf("# looked at %llu moments of all members together\n", moments);
	taken = seconds() - began;
	printf("# %llu recoveries in %.0f s of a processor, %.0f a second\n",
	       tally.recoveries, taken, tally.recoveries / taken);
	check_visited(complete && !tally.failures);
	return tally.failures ? 1 : 0;
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
	       outcome.nothing ? ", no member's disk" : outcome.is_new ? ", new" : "");
	printf("# %s\n", outcome.error[0] ? outcome.error : "good");
	if (count == 5 && !outcome.error[0])
		go_deep(member, &promise, text, choice.salt, &outcome, 1, numbers + 2);
	return outcome.error[0] || tally.failures ? 1 : 0;
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
		stop("usage: qbd-crash-states DIR all STATES DEEP | some STATES DEEP | state STATE | image STATE FILE | samples COUNT TO | compare TO | dumps COUNT TO");
	setvbuf(stdout, NULL, _IOLBF, 0);
	recording_read(words[1]);
	history_read();
	disk_begin(recording.blocks);
	recover_begin();
	if ((!strcmp(words[2], "all") || !strcmp(words[2], "some")) && count == 5)
		return try_all(words[2][0] == 'a', strtoull(words[3], NULL, 10),
			       strtoull(words[4], NULL, 10));
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
