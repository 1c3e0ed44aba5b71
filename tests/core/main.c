// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the suites of kmod/tests/core_* in userspace, where the sanitizers are,
 * and prints KTAP.
 *
 * usage: core [CASE]		all cases, or those whose name contains CASE
 *        core --seed S		the simulation of one seed, with a trace
 *        core --seeds N [S]	N seeds, from S on (default: 1)
 */
#include <stdlib.h>

#include "../../kmod/tests/core_simulation.h"
#include "../../kmod/tests/core_test.h"
#include "suites.h"

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
	NULL
};

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

static int run_seeds(u64 first, u64 count)
{
	for (u64 seed = first; seed < first + count; seed++)
		if (!simulation_run(seed, 20000))
			return 1;
	printf("# %llu seeds from %llu: nothing found\n",
	       (unsigned long long)count, (unsigned long long)first);
	return 0;
}

int main(int argc, char **argv)
{
	const char *filter = argc > 1 ? argv[1] : NULL;
	unsigned int number = 0, chosen = 0;
	bool passed = true;

	if (argc == 3 && !strcmp(argv[1], "--seed"))
		return run_seeds(strtoull(argv[2], NULL, 0), 1);
	if (argc >= 3 && !strcmp(argv[1], "--seeds"))
		return run_seeds(argc > 3 ? strtoull(argv[3], NULL, 0) : 1,
				 strtoull(argv[2], NULL, 0));
	for (size_t i = 0; suites[i]; i++)
		chosen += count_cases(suites[i], filter) > 0;
	if (!chosen) {
		fprintf(stderr, "core: no case has '%s' in its name\n", filter);
		return 2;
	}
	printf("KTAP version 1\n1..%u\n", chosen);
	for (size_t i = 0; suites[i]; i++) {
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
