// SPDX-License-Identifier: GPL-2.0
/* Verdicts about copies inside qbd_kunit.ko: the same source as in qbd.ko. */
#include "../replica/compare.c"
