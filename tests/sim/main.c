// SPDX-License-Identifier: GPL-2.0
/*
 * Runs worlds. Prints KTAP.
 *
 *   --seeds N [FIRST]    so many seeds, from FIRST on (default: fresh ones); of the first
 *                        that fails, as few kinds of what may happen (kinds.c), and as few
 *                        faults, as will do are looked for
 *   --minutes M [FIRST]  as many as there is processor time for
 *   --seed S             one again; if it fails, likewise
 *   --again S            one twice: is it the same?
 *   --hunt N [FIRST]     succeeds if one of so many finds something
 *   --crash-states S     a quiet run of seed S, cut off at every step in turn: all
 *                        power goes, what was not flushed is lost or torn, all recover
 *   --regressions FILE   the seeds in it
 *   --apart S            as --seed, each run in a process of its own (apart.c)
 *   --steps N            before these: steps of a run before it is healed
 *   --trace [STEP]       likewise: what happens, from that step on
 *   --without KIND[,KIND] likewise: what may not happen in any world, of rollbacks, copies,
 *                        records, anew, sizes, settings, verify, moves, claims, preemption,
 *                        bare, few, recover, unforced, slow
 *   --limit SECONDS      likewise: of a processor, that a seed may take
 *   --trap-at STEP       likewise: the program stops itself there, or goes round for ever
 *   --loop-at STEP       (to see what becomes of that)
 */
#include <signal.h>
#include <unistd.h>

#include "sim.h"

#define STEPS_DEFAULT	20000
#define STEPS_SHOWN	200u
/* Some hundred times what a seed takes, on a slow machine and with sanitizers. */
#define LIMIT_DEFAULT	120u

bool sim_list_faults;
u64 sim_trap_at, sim_loop_at;	/* 0: nowhere */

static u64 limit = LIMIT_DEFAULT;
static u64 steps_wanted = STEPS_DEFAULT;
static u64 outage_at;		/* step; 0: faults come as the seed says */
static u64 trail;		/* of everything that happened */
static u64 all_steps, all_operations, all_faults;

void sim_after_event(struct sim_host *host)
{
	if (host->powered)
		sim_invariants_check(host);
	trail = (trail ^ world.now ^ (u64)host->number << 56) * 0x100000001b3ull;
}

static void end_of_world(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		sim_host = &world.hosts[number];
		sim_member_vanish(&world.hosts[number]);
	}
	sim_host = &world.hosts[SIM_COPY];
	sim_member_vanish(sim_host);
	sim_host = NULL;
	sim_join_end();
	sim_rollbacks_end();
	sim_world_end();
}

static void end_badly(void)
{
	volatile bool for_ever = true;

	if (sim_trap_at && world.steps >= sim_trap_at)
		__builtin_trap();
	if (sim_loop_at && world.steps >= sim_loop_at)
		while (for_ever)
			;
}

static bool run(u64 seed)
{
	sim_apart_runs(seed);
	sim_world_begin(seed);
	world.quiet = outage_at;
	sim_module_begin();
	sim_network_begin();
	sim_join_begin();
	sim_rollbacks_begin();
	sim_sizes_begin();
	sim_faults_begin();
	sim_settings_begin();
	sim_members_begin();
	sim_asked_draw();
	sim_heard_begin();
	sim_client_begin();
	sim_verify_begin();
	sim_invariants_begin();
	sim_lists_begin();
	sim_recover_begin();
	sim_clones_begin();
	sim_records_begin();
	trail = seed;
	while (world.steps < (outage_at ? outage_at : steps_wanted) && !world.error) {
		if (!sim_step())
			sim_pass_time();
		sim_faults_step();
		sim_sizes_step();
		sim_settings_step();
		sim_verify_step();
		sim_rollbacks_step();
		sim_clones_step();
		sim_records_step();
		sim_addresses_step();
		end_badly();
	}
	if (outage_at)
		sim_faults_outage();
	if (!world.error)
		sim_heal();
	all_steps += world.steps;
	all_operations += sim_client_operations();
	all_faults += sim_faults_made();
	end_of_world();
	sim_apart_runs(0);
	return !world.error;
}

/* ---- as few faults as will do ------------------------------------------- */

/* How a run failed: another failure says nothing of why. */
struct failure {
	const char *kind;	/* as in world.error_kind */
	int signal;		/* it ended by that: the next one has its own process */
	struct sim_ended ended;
};

/* As it did before? Then @failure says where it ended. */
static bool fails(u64 seed, struct failure *failure)
{
	struct sim_ended ended;
	bool same;

	if (failure->signal) {
		same = sim_apart_run(run, seed, limit, !sim_list_faults && !world.trace,
				     &ended) == failure->signal;
	} else {
		run(seed);
		ended = sim_apart_here();
		same = world.error && world.error_kind == failure->kind;
	}
	if (same)
		failure->ended = ended;
	return same;
}

/* Return: so it does, and some of these happened so far. */
static bool fails_without(u64 seed, u32 first, u32 count, struct failure *failure)
{
	u8 before[SIM_FAULTS_MAX];

	if (!memchr(sim_left_out + first, 0, count))
		return false;
	memcpy(before, sim_left_out, sizeof(before));
	memset(sim_left_out + first, 1, count);
	if (fails(seed, failure))
		return true;
	memcpy(sim_left_out, before, sizeof(before));
	return false;
}

/* Return: some can be left out. */
static bool leave_out_kinds(u64 seed, struct failure *failure)
{
	bool any = false;

	for (u32 kind = 0; kind < SIM_KINDS; kind++) {
		u32 before = world.without;

		if (!(failure->ended.kinds & ~before & 1u << kind))
			continue;
		world.without |= 1u << kind;
		if (fails(seed, failure))
			any = true;
		else
			world.without = before;
	}
	return any;
}

static u32 faults_of(const struct failure *failure)
{
	return min_t(u32, failure->ended.faults, SIM_FAULTS_MAX);
}

static bool leave_out_faults(u64 seed, struct failure *failure)
{
	u32 faults = faults_of(failure), size, at;
	bool any = false;

	for (size = faults; size; size /= 2)
		for (at = 0; at < faults; at += size)
			any |= fails_without(seed, at, min(size, faults - at), failure);
	return any;
}

static const char *how(const struct failure *failure)
{
	if (failure->signal)
		return sim_apart_how(failure->signal);
	return world.error ? world.error : "nothing";
}

/* What is needed for what may be left out when something else was. */
#define ROUNDS	4

/* Of a seed that failed: without what does it fail, too, and how does it end then? */
static void shrink(u64 seed, struct failure *failure)
{
	u64 from = world.trace_from;
	bool trace = world.trace;
	u32 without = world.without;

	world.trace = false;
	/* Each time that it does not end takes all the time that it has. */
	for (u32 round = 0; round < ROUNDS && failure->signal != SIGVTALRM; round++)
		if (!(leave_out_kinds(seed, failure) | leave_out_faults(seed, failure)))
			break;
	printf("# without these kinds it fails as well: %s\n", sim_kinds_text(world.without));
	printf("# but not without: %s\n",
	       sim_kinds_text(failure->ended.kinds & ~world.without));
	printf("# with these faults it fails as well:%s\n",
	       memchr(sim_left_out, 0, faults_of(failure)) ? "" : " none");
	sim_list_faults = true;
	fails(seed, failure);
	sim_list_faults = false;
	printf("# then: step %llu, %.3f s: %s\n", failure->ended.step, failure->ended.now / 1e9,
	       how(failure));
	if (!trace) {
		printf("# what happened before, in %u steps (step, seconds, host):\n", STEPS_SHOWN);
		world.trace = true;
		world.trace_from = failure->ended.step -
				   min_t(u64, failure->ended.step, STEPS_SHOWN);
		fails(seed, failure);
	}
	memset(sim_left_out, 0, sizeof(sim_left_out));
	world.without = without;
	world.trace = trace;
	world.trace_from = from;
}

/* Of one that has just been run. */
static void shrink_error(u64 seed)
{
	struct failure failure = {
		.kind = world.error_kind,
		.ended = sim_apart_here(),
	};

	shrink(seed, &failure);
}

/* ---- orders ------------------------------------------------------------- */

static void complain(u64 seed)
{
	printf("# seed %llu, step %llu, %.3f s, %u hosts: %s\n", seed, world.steps,
	       world.now / 1e9, world.count, world.error);
	printf("# once more: make sim SEED=%llu STEPS=%llu%s\n", seed, steps_wanted,
	       sim_kinds_order());
	fflush(stdout);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void sum_up(u64 seeds, u64 failed)
{
	const struct sim_counts *counts = &sim_counts;
	double spent = seconds();

	printf("# %llu seeds, %llu failed; %.1f million steps, %.1f million requests, %llu faults; %.0f steps a second of processor time\n",
	       seeds, failed, all_steps / 1e6, all_operations / 1e6, all_faults,
	       all_steps / spent);
	printf("# members taken up by extents: %llu (%llu times begun, %llu rounds given up, %llu disturbed); %llu power cuts, %llu elections\n",
	       counts->filled, counts->resets, counts->rounds_cut, counts->fills_disturbed,
	       counts->power_cuts, counts->elections);
	printf("# claims: %llu committed, %llu taken by force, the mode changed %llu times; witnesses led %llu times; the device grew %llu times; a limit of the rate was set %llu times\n",
	       counts->claims, counts->forced, counts->modes, counts->passed_on, counts->resizes,
	       counts->rates_set);
	printf("# members changed %llu times, %llu joined (%llu as clients, %llu as witnesses), %llu removed; %llu lists committed; connections by lists to come: %llu; told by others that they are out: %llu; disks made anew meanwhile: %llu\n",
	       counts->changes, counts->joined, counts->clients, counts->witnesses, counts->left,
	       counts->lists, counts->newcomers, counts->told, counts->anew);
	printf("# members not changed: %llu times for want of a majority, %llu times because a host used the device; asked for without force: %llu times\n",
	       counts->no_majority, counts->in_use, counts->unforced);
	printf("# other addresses: %llu committed, %llu times the old one was free, %llu times found by a knock, %llu times the power was lost before the list was there\n",
	       counts->moved, counts->moves_ended, counts->knocks, counts->moved_unawares);
	printf("# disks: %llu rotten, %llu with unreadable sectors; logs found damaged %llu, tables lost %llu; %.1f million blocks compared\n",
	       counts->rotten, counts->unreadable, counts->damaged, counts->tables_lost,
	       counts->views / 1e6);
	printf("# blocks of records that rotted while their member was up: %llu, %llu of them not in memory; %llu times just before they were wanted, %llu of these in the end; %llu read while it was up, %llu written over or given back\n",
	       counts->records_rotten, counts->records_old, counts->records_wanted,
	       counts->records_at_end, counts->records_read, counts->records_over);
	printf("# disks rolled back to an older image: %llu of %llu; known by others what they had had: %llu, by themselves then: %llu; replaced, for nobody knew any more: %llu\n",
	       counts->rolled_back, counts->images, counts->rollbacks_known,
	       counts->rollbacks_kept, counts->rollbacks_lost);
	printf("# disks copied, and up twice: %llu; refused %llu times, told by both %llu times, and let in elsewhere %llu times\n",
	       counts->copied, counts->copies_refused, counts->copies_told,
	       counts->copies_let_in);
	printf("# bare majorities healed before the rest: %llu, %llu of them where others reached a part; given up, for another list was in force: %llu\n",
	       counts->bare, counts->bare_parts, counts->bare_given_up);
	printf("# bare majorities with a member that was filled: %llu, %llu of them when it waited for what nobody else knew, %llu whose leader had a bad disk and heard it, %llu whose leader was a witness\n",
	       counts->few, counts->few_untold, counts->few_in_the_way, counts->few_witness);
	printf("# verifications begun: %llu; blocks spoiled in the end, found and repaired: %llu\n",
	       counts->verified, counts->data_rots);
	printf("# worlds where all disks were slow in the end: %llu\n", counts->sluggish);
	printf("# majorities lost for good: %llu, with %llu entries that were committed (%llu lists), and %llu times the newest claim; %llu entries came to be; the command was cut off %llu times; %llu joined, and %llu times a former member was refused\n",
	       counts->recovered, counts->entries_lost, counts->lists_lost,
	       counts->claims_set_back, counts->entries_revived, counts->commands_cut,
	       counts->joined_anew, counts->former_refused);
}

static u64 run_seeds(u64 first, u64 count, double limit)
{
	u64 failed = 0, done = 0, first_failed = 0;

	printf("# seeds from %llu on\n", first);

	while (done < count && seconds() < limit && failed < 10) {
		if (!run(first + done)) {
			complain(first + done);
			if (!failed++)
				first_failed = first + done;
		}
		done++;
		if (isatty(2) && done % 16 == 0)
			fprintf(stderr, "\r%llu seeds, %.1f million steps, %llu failed ",
				done, all_steps / 1e6, failed);
	}
	if (isatty(2))
		fprintf(stderr, "\n");
	sum_up(done, failed);
	if (failed && !run(first_failed))
		shrink_error(first_failed);
	return failed + !done;
}

static u64 run_one(u64 seed)
{
	if (run(seed)) {
		sum_up(1, 0);
		return 0;
	}
	complain(seed);
	shrink_error(seed);
	return 1;
}

/* One that did not come to its end, it is said: that is known from here on (apart.c). */
static u64 run_apart(u64 seed)
{
	struct failure failure = { };

	failure.signal = sim_apart_run(run, seed, limit, !world.trace, &failure.ended);
	if (failure.signal)
		shrink(seed, &failure);
	else
		printf("# this time it came to its end\n");
	return 1;
}

static u64 run_again(u64 seed)
{
	u64 first, steps;

	run(seed);
	first = trail;
	steps = world.steps;
	/* After another run, and with other rubbish in fresh memory. */
	run(seed + 1);
	sim_poison ^= 0xff;
	run(seed);
	sim_poison ^= 0xff;
	if (world.error) {
		complain(seed);
		return 1;
	}
	if (first == trail && steps == world.steps)
		return 0;
	printf("# seed %llu took %llu steps, and then %llu others\n", seed, steps,
	       world.steps);
	return 1;
}

/* Is there a moment at which the power must not go? */
static u64 crash_states(u64 seed)
{
	u64 failed = 0, done = 0;

	for (outage_at = 1; outage_at <= steps_wanted && failed < 10; outage_at++, done++) {
		if (run(seed))
			continue;
		printf("# power cut after step %llu: %s\n", outage_at, world.error);
		failed++;
	}
	outage_at = 0;
	printf("# %llu moments, %llu failed\n", done, failed);
	return failed;
}

/* Seeds that failed once, one a line; what follows # says why. */
static u64 run_regressions(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[256];
	u64 failed = 0, done = 0;

	if (!file) {
		fprintf(stderr, "qbd-sim: cannot open %s\n", path);
		exit(2);
	}
	while (fgets(line, sizeof(line), file)) {
		char *end;
		u64 seed = strtoull(line, &end, 10);

		if (end == line)
			continue;
		done++;
		if (run(seed))
			continue;
		complain(seed);
		failed++;
	}
	fclose(file);
	printf("# %llu seeds\n", done);
	return failed + !done;
}

/* How many seeds does it take to find something wrong? */
static u64 hunt(u64 first, u64 count)
{
	for (u64 done = 0; done < count; done++) {
		/* It may be the last one: some bugs end the program. */
		printf("# seed number %llu\n", done + 1);
		if (run(first + done))
			continue;
		printf("# found with seed number %llu: %s\n", done + 1, world.error);
		return 0;
	}
	printf("# not found with %llu seeds, %.1f million steps\n", count, all_steps / 1e6);
	return 1;
}

/* ---- the command line --------------------------------------------------- */

enum order_kind {
	ORDER_SEEDS,
	ORDER_MINUTES,
	ORDER_SEED,
	ORDER_APART,
	ORDER_AGAIN,
	ORDER_HUNT,
	ORDER_CRASH_STATES,
	ORDER_REGRESSIONS,
	ORDERS
};

static const struct {
	const char *word;
	bool first_follows;
	const char *text;
} order_table[] = {
	[ORDER_SEEDS] = { "--seeds", true, "fresh seeds" },
	[ORDER_MINUTES] = { "--minutes", true, "minutes of fresh seeds" },
	[ORDER_SEED] = { "--seed", false, "is the seed" },
	[ORDER_APART] = { "--apart", false, "is the seed" },
	[ORDER_AGAIN] = { "--again", false, "is the seed of two runs that are one" },
	[ORDER_HUNT] = { "--hunt", true, "seeds find something" },
	[ORDER_CRASH_STATES] = { "--crash-states", false,
				 "is the seed of a run cut off at every step" },
	[ORDER_REGRESSIONS] = { "--regressions", false, "seeds that failed once" },
};

struct order {
	enum order_kind kind;
	u64 value;
	u64 first;
	const char *path;
};

static void usage(const char *word)
{
	fprintf(stderr, "qbd-sim: %s%s; --seeds N [FIRST], --minutes M [FIRST], --hunt N [FIRST], --seed S, --apart S, --again S, --crash-states S, --regressions FILE, before them --steps N, --trace [STEP], --without KIND[,KIND], --limit SECONDS, --trap-at STEP, --loop-at STEP\n",
		word ? word : "what is to be done?", word ? " is not understood" : "");
	exit(2);
}

static u64 number(char **words, int at)
{
	char *end;
	u64 value;

	if (!words[at] || !*words[at])
		usage(words[at - 1]);
	errno = 0;
	value = strtoull(words[at], &end, 10);
	if (errno || *end || words[at][0] == '-')
		usage(words[at]);
	return value;
}

static u64 obey(const struct order *order)
{
	/* Who hunts counts what ends the program as found. */
	if (order->kind != ORDER_HUNT && order->kind != ORDER_APART)
		sim_apart_watch(steps_wanted, limit);
	switch (order->kind) {
	case ORDER_SEEDS:
		return run_seeds(order->first, order->value, 1e9);
	case ORDER_MINUTES:
		return run_seeds(order->first, U64_MAX, seconds() + order->value * 60.0);
	case ORDER_SEED:
		return run_one(order->value);
	case ORDER_APART:
		return run_apart(order->value);
	case ORDER_AGAIN:
		return run_again(order->value);
	case ORDER_HUNT:
		return hunt(order->first, order->value);
	case ORDER_CRASH_STATES:
		return crash_states(order->value);
	case ORDER_REGRESSIONS:
		return run_regressions(order->path);
	default:
		return 1;
	}
}

/* What is set before the orders; NULL if it is none of these words. */
static u64 *setting_of(const char *word)
{
	static const struct {
		const char *word;
		u64 *setting;
	} table[] = {
		{ "--steps", &steps_wanted }, { "--limit", &limit },
		{ "--trap-at", &sim_trap_at }, { "--loop-at", &sim_loop_at },
	};

	for (u32 i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(word, table[i].word))
			return table[i].setting;
	return NULL;
}

int main(int count, char **words)
{
	u64 fresh = (time(NULL) * 1000003ull + getpid() * 7919ull) % 1000000000000ull;
	struct order orders[8] = { };
	u32 many = 0, failed = 0;

	for (int i = 1; i < count; i++) {
		struct order *order = &orders[many];
		u64 *setting = setting_of(words[i]);
		u32 kind = 0;

		if (setting) {
			*setting = number(words, ++i);
			continue;
		}
		if (!strcmp(words[i], "--trace")) {
			world.trace = true;
			if (words[i + 1] && words[i + 1][0] != '-')
				world.trace_from = number(words, ++i);
			continue;
		}
		if (!strcmp(words[i], "--without")) {
			if (!words[++i] || !sim_kinds_parse(words[i], &world.without))
				usage(words[i] ?: words[i - 1]);
			continue;
		}
		while (kind < ORDERS && strcmp(words[i], order_table[kind].word))
			kind++;
		if (kind == ORDERS || many == ARRAY_SIZE(orders))
			usage(words[i]);
		order->kind = kind;
		order->first = fresh;
		if (kind == ORDER_REGRESSIONS)
			order->path = words[++i];
		else
			order->value = number(words, ++i);
		if (kind == ORDER_REGRESSIONS && !order->path)
			usage(words[i - 1]);
		if (order_table[kind].first_follows && words[i + 1] && words[i + 1][0] != '-')
			order->first = number(words, ++i);
		many++;
	}
	if (!many)
		usage(NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* Who was begun anew goes on with what was begun. */
	if (orders[0].kind != ORDER_APART)
		printf("KTAP version 1\n1..%u\n", many);
	for (u32 i = 0; i < many; i++) {
		bool good = !obey(&orders[i]);

		failed += !good;
		printf("%s %u - ", good ? "ok" : "not ok", i + 1);
		if (orders[i].kind != ORDER_REGRESSIONS)
			printf("%llu ", orders[i].value);
		printf("%s\n", order_table[orders[i].kind].text);
	}
	return failed ? 1 : 0;
}
