/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One way to write a case, two ways to run it: under KUnit in qbd_kunit.ko, and
 * as a plain userspace program (tests/core). A check that fails ends the case.
 */
#ifndef QBD_TESTS_CORE_TEST_H
#define QBD_TESTS_CORE_TEST_H

#ifdef __KERNEL__

#include <kunit/test.h>

/* What a case gets is struct kunit there. */
#define qbd_test kunit

#define qbd_test_print(...) pr_info(__VA_ARGS__)

/* Around each case: a core that stops unasked fails it. */
int qbd_test_init(struct kunit *test);
void qbd_test_exit(struct kunit *test);

#define QBD_CASE(name) KUNIT_CASE(name)
#define QBD_SUITE(suite, ...)						\
	static struct kunit_case suite##_cases[] = { __VA_ARGS__, {} };	\
	static struct kunit_suite suite##_suite = {			\
		.name = #suite,						\
		.init = qbd_test_init,					\
		.exit = qbd_test_exit,					\
		.test_cases = suite##_cases,				\
	};								\
	kunit_test_suite(suite##_suite)

#define QBD_TRUE(test, condition) KUNIT_ASSERT_TRUE(test, condition)
#define QBD_EQUAL(test, a, b) KUNIT_ASSERT_EQ(test, (u64)(a), (u64)(b))

#else /* userspace */

#include <setjmp.h>
#include <stdio.h>

#include "../core/types.h"

struct qbd_test {
	jmp_buf end;
};

struct qbd_test_case {
	const char *name;
	void (*run)(struct qbd_test *test);
};

struct qbd_test_suite {
	const char *name;
	const struct qbd_test_case *cases;
};

#define qbd_test_print(...) printf("# " __VA_ARGS__)

#define QBD_CASE(function) { #function, function }
#define QBD_SUITE(suite, ...)						\
	static const struct qbd_test_case suite##_cases[] = {		\
		__VA_ARGS__, { NULL, NULL }				\
	};								\
	extern const struct qbd_test_suite suite##_suite;		\
	const struct qbd_test_suite suite##_suite = {			\
		#suite, suite##_cases					\
	}

#define QBD_TRUE(test, condition)					\
	do {								\
		if (!(condition)) {					\
			printf("# %s:%d: %s does not hold\n", __FILE__,	\
			       __LINE__, #condition);			\
			longjmp((test)->end, 1);			\
		}							\
	} while (0)

#define QBD_EQUAL(test, a, b)						\
	do {								\
		u64 left = (u64)(a), right = (u64)(b);			\
									\
		if (left != right) {					\
			printf("# %s:%d: %s is %llu, not %s (%llu)\n",	\
			       __FILE__, __LINE__, #a,			\
			       (unsigned long long)left, #b,		\
			       (unsigned long long)right);		\
			longjmp((test)->end, 1);			\
		}							\
	} while (0)

#endif /* __KERNEL__ */

#endif /* QBD_TESTS_CORE_TEST_H */
