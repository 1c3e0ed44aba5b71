/* SPDX-License-Identifier: GPL-2.0 */
/* The suites of kmod/tests that run here, too. */
#ifndef QBD_TESTS_STORE_SUITES_H
#define QBD_TESTS_STORE_SUITES_H

#include "../../kmod/tests/core_test.h"

extern const struct qbd_test_suite record_header_suite;
extern const struct qbd_test_suite store_blocks_suite;
extern const struct qbd_test_suite store_recovery_log_suite;
extern const struct qbd_test_suite session_suite;

#endif
