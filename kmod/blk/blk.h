/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The block device /dev/qbdN.
 *
 * disk.c     gendisk, limits, numbers, life and death
 * open.c     who has it open, and needs a claim
 * request.c  what a block request asks for; copying to and from it
 *
 * queue_rq only puts the request on a lock-free list and kicks the replica, which
 * takes everything in arrival order with qbd_disk_take(), owns each request until
 * it completes it, and gives it back with qbd_request_complete(). No volatile
 * cache is advertised: a completed write is durable on a majority.
 */
#ifndef QBD_BLK_BLK_H
#define QBD_BLK_BLK_H

#include <linux/blkdev.h>
#include <linux/list.h>
#include <linux/llist.h>

#include "../format/record.h"

struct qbd_disk;

#define QBD_DISK_QUEUE_DEPTH	128
/* Pieces of memory that one request may consist of: one for each block of it. */
#define QBD_REQUEST_SEGMENTS_MAX	256

/**
 * struct qbd_request - a block request in the hands of the replica
 * @queued: link of qbd_disk_take()
 * @list: its owner's
 * @kind: enum qbd_request_kind of format/frame.h
 * @block: first device block
 * @count: device blocks
 * @sequence: number in this session, never 0 (writes get another one when they go to a log)
 * @view: qbd_disk_view() when it came (was read anew)
 * @read_anew: it was
 */
struct qbd_request {
	struct llist_node queued;
	struct list_head list;
	u32 kind;
	u64 block;
	u32 count;
	u64 sequence;
	u64 view;
	bool read_anew;
};

/**
 * qbd_disk_create() - allocate and publish /dev/qbdN
 * @name: of the device, for sysfs attribute qbd/name
 * @device_blocks: size
 * @kick: any context: have qbd_disk_take() called soon
 * @context: for @kick
 *
 * The partition scan reads from the device: the caller must be able to serve
 * requests (or fail them) when it calls this, from another context than its own.
 * Context: process; sleeps.
 */
struct qbd_disk *qbd_disk_create(const char *name, u64 device_blocks,
				 void (*kick)(void *context), void *context);
/*
 * It is larger now, and who listens to the kernel's events is told. Context: process;
 * sleeps. Return: false if it was as large already.
 */
bool qbd_disk_resize(struct qbd_disk *disk, u64 device_blocks);
/* Somebody has it open (mounts included). */
bool qbd_disk_in_use(struct qbd_disk *disk);
/*
 * No new opens: -EBUSY if it is in use and not @force. With @force new requests
 * fail at once (the replica fails those it has), filesystems on it are told.
 * Context: process; sleeps.
 */
int qbd_disk_begin_removal(struct qbd_disk *disk, bool force);
/* After the replica completed every request: gone when the last opener leaves. */
void qbd_disk_destroy(struct qbd_disk *disk);

unsigned int qbd_disk_number(const struct qbd_disk *disk);	/* N of qbdN */
/* A number that no disk has as long as it is kept, or -errno. */
int qbd_disk_number_get(void);
void qbd_disk_number_put(unsigned int number);

/* Everything that arrived since the last call, in order, as a list of @queued. */
struct llist_node *qbd_disk_take(struct qbd_disk *disk);
/* Give a request back; BLK_STS_OK or why not. Any context; once per request. */
void qbd_request_complete(struct qbd_request *request, blk_status_t status);

/*
 * Claims. Whoever opens the disk for write waits for an answer: 0, or why it may not.
 * After a kick, or when it is down to the replica, it looks whether somebody does.
 */
bool qbd_disk_claim_asked(struct qbd_disk *disk);
void qbd_disk_claim_answer(struct qbd_disk *disk, int error);
/* Somebody may write, or waits to be let: from the first such opening to the last closing. */
bool qbd_disk_claim_needed(struct qbd_disk *disk);
bool qbd_disk_write_opened(struct qbd_disk *disk);	/* the same without who waits */
/* Somebody wrote who had not opened it for that: as if he had. */
void qbd_disk_claim_keep(struct qbd_disk *disk);
/* Somebody has it open; who waits to be let in does not. */
bool qbd_disk_opened(struct qbd_disk *disk);
/* Another number when the last one has closed it, whoever has opened it since. */
u64 qbd_disk_closings(struct qbd_disk *disk);
/* Somebody has it for himself (it is mounted), and goes on with what he has read. */
bool qbd_disk_exclusive(struct qbd_disk *disk);
/* Another number when it was opened anew, and nobody had it for himself; first 0. */
u64 qbd_disk_view(struct qbd_disk *disk);
/* What was read in this view, or in a later one, may be cached still. */
u64 qbd_disk_oldest_view(struct qbd_disk *disk);

/* Copy one write's data into log pages, computing its checksum; and back. */
u32 qbd_request_copy_out(struct qbd_request *request, struct page **pages,
			 unsigned int count);
void qbd_request_copy_in(struct qbd_request *request, struct page **pages,
			 unsigned int count);

int qbd_blk_init(void);
void qbd_blk_exit(void);

#endif
