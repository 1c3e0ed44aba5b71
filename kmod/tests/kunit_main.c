// SPDX-License-Identifier: GPL-2.0
/*
 * qbd_kunit.ko: the KUnit suites of all rooms. Each file of kmod/tests registers
 * its own; they run when the module is loaded.
 */
#include <linux/module.h>

MODULE_DESCRIPTION("KUnit suites of the Quorum Block Device");
MODULE_LICENSE("GPL");
