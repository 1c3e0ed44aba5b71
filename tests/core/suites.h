/* SPDX-License-Identifier: GPL-2.0 */
/* The suites that kmod/tests/core_*.c define. */
#ifndef QBD_TESTS_CORE_SUITES_H
#define QBD_TESTS_CORE_SUITES_H

#include "tests/core_test.h"

extern const struct qbd_test_suite core_parts_suite;
extern const struct qbd_test_suite core_election_suite;
extern const struct qbd_test_suite core_log_suite;
extern const struct qbd_test_suite core_membership_suite;
extern const struct qbd_test_suite core_read_suite;
extern const struct qbd_test_suite core_transfer_suite;
extern const struct qbd_test_suite core_witness_suite;
extern const struct qbd_test_suite core_storage_suite;
extern const struct qbd_test_suite core_refusals_suite;
extern const struct qbd_test_suite core_cluster_suite;
extern const struct qbd_test_suite core_simulation_suite;

#endif /* QBD_TESTS_CORE_SUITES_H */
