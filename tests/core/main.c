// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the suites of kmod/tests/core_* in userspace, where the sanitizers are,
 * and prints KTAP.
 *
 * usage: core [CASE]		all cases, or those whose name contains CASE
 *        core --suite		all cases, and fresh seeds of the simulation for a while
 *        core --seed S		the simulation of one seed
 *        core --seeds N [S]	of so many, from S on (default: fresh ones)
 *        core --hunt N [S]	succeeds if one of so many finds something
 */
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "suites.h"
#include "tests/core_simulation.h"

#define STEPS		20000
#define SUITE_SECONDS	10		/* of a processor */

static bool run_case(const struct qbd_test_case *one)
{
	struct qbd_test test;

	lab_stops = 0;
	lab_stop_expected = false;
	if (setjmp(test.end))
		return false;
	one->run(&test);
	/* A stop that the case did not ask for is a failure of any case. */
	if (lab_stops && !lab_stop_expected) {
		printf("# an invariant of the core failed\n");
		return false;
	}
	return true;
}

static unsigned int count_cases(const struct qbd_test_suite *suite,
				const char *filter)
{
	unsigned int count = 0;

	for (const struct qbd_test_case *c = suite->cases; c->name; c++)
		count += !filter || strstr(c->name, filter);
	return count;
}

static bool run_suite(const struct qbd_test_suite *suite, const char *filter)
{
	unsigned int number = 0;
	bool passed = true;

	printf("    KTAP version 1\n    # Subtest: %s\n    1..%u\n",
	       suite->name, count_cases(suite, filter));
	for (const struct qbd_test_case *c = suite->cases; c->name; c++) {
		bool good;

		if (filter && !strstr(c->name, filter))
			continue;
		good = run_case(c);
		passed = passed && good;
		printf("    %sok %u %s\n", good ? "" : "not ", ++number,
		       c->name);
		fflush(stdout);
	}
	return passed;
}

static u64 fresh_seed(void)
{
	u32 seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		abort();
	return seed;
}

/* So many seeds; 0: for so long. */
static bool run_seeds(u64 first, u64 count, clock_t end)
{
	u64 seed = first;

	for (; count ? seed - first < count : clock() < end; seed++) {
		if (simulation_run(seed, STEPS))
			continue;
		printf("# once more: tests/core/run --seed %llu\n", (unsigned long long)seed);
		return false;
	}
	printf("# %llu seeds from %llu: nothing found\n",
	       (unsigned long long)(seed - first), (unsigned long long)first);
	return true;
}

static void fresh_seeds_break_no_promise(struct qbd_test *test)
{
	clock_t end = clock() + SUITE_SECONDS * CLOCKS_PER_SEC;

	QBD_TRUE(test, run_seeds(fresh_seed(), 0, end));
}

QBD_SUITE(core_fresh,
	  QBD_CASE(fresh_seeds_break_no_promise));

/* How many seeds does it take to find something wrong? */
static bool hunt(u64 first, u64 count)
{
	for (u64 done = 0; done < count; done++) {
		/* It may be the last one: some bugs end the program. */
		printf("# seed number %llu\n", (unsigned long long)done + 1);
		fflush(stdout);
		if (simulation_run(first + done, STEPS))
			continue;
		printf("# found with seed number %llu: %s\n", (unsigned long long)done + 1,
		       the_lab.error);
		return true;
	}
	printf("# not found with %llu seeds\n", (unsigned long long)count);
	return false;
}

static const struct qbd_test_suite *const suites[] = {
	&core_parts_suite,
	&core_election_suite,
	&core_log_suite,
	&core_membership_suite,
	&core_read_suite,
	&core_transfer_suite,
	&core_witness_suite,
	&core_storage_suite,
	&core_refusals_suite,
	&core_cluster_suite,
	&core_simulation_suite,
	&core_fresh_suite,		/* only if it is asked for */
};

#define COUNT (sizeof(suites) / sizeof(suites[0]))

int main(int argc, char **argv)
{
	const char *filter = argc > 1 ? argv[1] : NULL;
	u64 value = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	u64 first = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	unsigned int number = 0, chosen = 0;
	bool fresh = filter && !strcmp(filter, "--suite");
	bool passed = true;

	if (argc == 3 && !strcmp(filter, "--seed"))
		return !run_seeds(value, 1, 0);
	if (argc >= 3 && !strcmp(filter, "--seeds") && value)
		return !run_seeds(argc > 3 ? first : fresh_seed(), value, 0);
	if (argc >= 3 && !strcmp(filter, "--hunt"))
		return !hunt(argc > 3 ? first : fresh_seed(), value);
	if (fresh)
		filter = NULL;
	for (size_t i = 0; i < COUNT - !fresh; i++)
		chosen += count_cases(suites[i], filter) > 0;
	if (!chosen) {
		fprintf(stderr, "core: no case has '%s' in its name\n", filter);
		return 2;
	}
	printf("KTAP version 1\n1..%u\n", chosen);
	for (size_t i = 0; i < COUNT - !fresh; i++) {
		bool good;

		if (!count_cases(suites[i], filter))
			continue;
		good = run_suite(suites[i], filter);
		passed = passed && good;
		printf("%sok %u %s\n", good ? "" : "not ", ++number,
		       suites[i]->name);
	}
	return passed ? 0 : 1;
}
