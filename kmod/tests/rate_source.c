// SPDX-License-Identifier: GPL-2.0
/* Decisions about the speed of catching up inside qbd_kunit.ko: the same source as in qbd.ko. */
#include "../replica/rate.c"
