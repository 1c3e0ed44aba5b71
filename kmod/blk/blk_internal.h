/* SPDX-License-Identifier: GPL-2.0 */
/* What disk.c and request.c share. */
#ifndef QBD_BLK_INTERNAL_H
#define QBD_BLK_INTERNAL_H

#include <linux/blk-mq.h>

#include "blk.h"

/**
 * struct qbd_disk - one /dev/qbdN
 * @tag_set: one hardware queue of QBD_DISK_QUEUE_DEPTH requests
 * @gendisk: owns one reference to this structure (dropped in free_disk)
 * @arrived: requests that qbd_disk_take() has not returned yet, newest first
 * @kick: tells the replica that there are some
 * @context: for @kick
 * @last_sequence: number given to the last request; touched by qbd_disk_take()
 *	only, which has one caller at a time
 * @number: N of qbdN; given back in free_disk, so that a device which somebody
 *	still holds open never shares its number with a new one
 * @removing: no new opens and requests; written under open_mutex or with force
 * @name: what people call the device
 */
struct qbd_disk {
	struct blk_mq_tag_set tag_set;
	struct gendisk *gendisk;
	struct llist_head arrived;
	void (*kick)(void *context);
	void *context;
	u64 last_sequence;
	unsigned int number;
	bool removing;
	char name[QBD_NAME_SIZE];
};

/* request.c */
blk_status_t qbd_request_prepare(struct qbd_request *request, struct request *rq);

#endif
