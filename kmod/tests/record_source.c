// SPDX-License-Identifier: GPL-2.0
/* Records and log pages inside qbd_kunit.ko: the same sources as in qbd.ko. */
#include "../record/header.c"
#include "../record/pool.c"
#include "../record/record.c"
