/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The only place that knows kernels apart. Kbuild includes it before everything
 * else and defines a QBD_COMPAT_* for each interface of this kernel that is not
 * the one of 6.12: it looks at the headers, because version numbers say nothing
 * of backports.
 */
#ifndef QBD_COMPAT_COMPAT_H
#define QBD_COMPAT_COMPAT_H

/* Before any kernel header: it comes first in every file. */
#define pr_fmt(fmt) "qbd: " fmt

#include "bdev.h"
#include "block.h"

#endif
