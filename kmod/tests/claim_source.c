// SPDX-License-Identifier: GPL-2.0
/* Decisions about claims inside qbd_kunit.ko: the same source as in qbd.ko. */
#include "../replica/claim_rule.c"
#include "../replica/claim_log.c"
