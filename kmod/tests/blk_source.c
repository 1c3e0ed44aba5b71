// SPDX-License-Identifier: GPL-2.0
/* The block device's own sources once more, for qbd_kunit.ko. */
#include "../blk/disk.c"
#include "../blk/open.c"
#include "../blk/request.c"
