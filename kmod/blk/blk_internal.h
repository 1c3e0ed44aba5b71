/* SPDX-License-Identifier: GPL-2.0 */
/* What disk.c and request.c share. */
#ifndef QBD_BLK_INTERNAL_H
#define QBD_BLK_INTERNAL_H

#include <linux/blk-mq.h>
#include <linux/wait.h>

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
 * @opens: calls of open that were not followed by one of release; under open_mutex
 * @write_opened: one of these was for write, or there was a write
 * @closings: how often the last one has closed it; under open_mutex
 * @oldest_view: nothing of before this one is cached; likewise
 * @view: counts the openings while nobody had it exclusively; under open_mutex
 * @claim_asked: somebody who opens for write waits for @claim_answer
 * @claim_answer: 0, or the error that its opening ends with
 * @claim_wait: for @claim_answer and @removing
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
	unsigned int opens;
	bool write_opened;
	u64 closings;
	u64 oldest_view;
	u64 view;
	bool claim_asked;
	int claim_answer;
	wait_queue_head_t claim_wait;
	char name[QBD_NAME_SIZE];
};

/* open.c */
int qbd_disk_open(qbd_compat_opened *opened, qbd_compat_open_mode mode);
#ifdef QBD_COMPAT_RELEASE_TAKES_MODE
void qbd_disk_release(struct gendisk *gendisk, fmode_t mode);
#else
void qbd_disk_release(struct gendisk *gendisk);
#endif

/* request.c */
blk_status_t qbd_request_prepare(struct qbd_request *request, struct request *rq);

#endif
