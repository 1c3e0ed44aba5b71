// SPDX-License-Identifier: GPL-2.0
/*
 * The core inside qbd_kunit.ko: the same sources as in qbd.ko, with stops
 * reported to the lab.
 */
#define QBD_CORE_TEST

#include "../core/check.c"
#include "../core/core.c"
#include "../core/election.c"
#include "../core/follower.c"
#include "../core/membership.c"
#include "../core/message.c"
#include "../core/quorum.c"
#include "../core/read.c"
#include "../core/replication.c"
#include "../core/status.c"
#include "../core/trail.c"
#include "../core/transfer.c"
