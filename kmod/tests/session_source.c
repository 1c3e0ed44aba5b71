// SPDX-License-Identifier: GPL-2.0
/* Which writes are in the log, inside qbd_kunit.ko: the same source as in qbd.ko. */
#include "../replica/session.c"
