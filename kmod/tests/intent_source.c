// SPDX-License-Identifier: GPL-2.0
/* Decisions about member lists inside qbd_kunit.ko: the same source as in qbd.ko. */
#include "../replica/intent.c"
#include "../replica/size.c"
