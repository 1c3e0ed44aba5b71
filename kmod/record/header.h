/* SPDX-License-Identifier: GPL-2.0 */
/* Is a record header what it says it is? Pure: compiles in userspace too. */
#ifndef QBD_RECORD_HEADER_H
#define QBD_RECORD_HEADER_H

#include "portable.h"
#include "../format/record.h"

/**
 * qbd_record_header_check() - is a received or read header sane?
 * @header: at least 128 readable bytes, @bytes in all
 * @bytes: how many are there
 * @uuid: device
 * @device_blocks: operations must lie within: the largest size that the device may have
 *	had at this record, where that is not known
 * @reason: on failure, a few words for the log
 *
 * Bounds first, then the chain, then every operation (sums, ranges). Says nothing
 * of the local part. Return: 0 or -EBADMSG.
 */
int qbd_record_header_check(const struct qbd_record_header *header, size_t bytes,
			    const u8 *uuid, u64 device_blocks, const char **reason);

/* How large has the device to be for the operations of this (checked) header? In blocks. */
u64 qbd_record_reach(const struct qbd_record_header *header);

#endif
