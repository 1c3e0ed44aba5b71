/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A disk in memory with a volatile cache, for tests: it completes writes in any
 * order, forgets what was not flushed when its power is cut, tears what was under
 * way, hangs, and fails on demand.
 */
#ifndef QBD_TESTS_TEST_DISK_H
#define QBD_TESTS_TEST_DISK_H

#include <linux/blkdev.h>
#include <linux/list.h>
#include <linux/prandom.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/**
 * struct test_disk - the disk
 * @gendisk: its block device
 * @path: where that is
 * @sectors: size
 * @hole_first: first of the sectors that have no memory, and nobody may touch
 * @hole_count: how many
 * @cached: what a read returns
 * @stable: what survives a power cut
 * @dirty: one bit per sector of which the two may differ
 * @lock: protects all that follows, and the above against the worker
 * @bios: submitted, not done
 * @random: decides order and fate
 * @room: woken when one of them is done
 * @tags: so many it takes at a time; who brings another waits, or is refused
 * @refused: because they would not wait
 * @hang: nothing completes
 * @dead: the power was cut, everything fails
 * @cut_after: the power will be cut in so many writes; 0: it will not
 * @fail_writes: writes that touch [@fail_first, @fail_last] fail
 * @fail_reads: likewise
 * @spared: so many of these reads succeed first
 * @fail_flushes: flushes and FUA fail
 * @fail_zeroes: WRITE_ZEROES is announced and fails
 * @fail_first: first sector
 * @fail_last: last one
 * @ordered_first: no write from this sector on ...
 * @ordered_count: ... to so many sectors may come ...
 * @before: ... while a sector of these two ranges (first, count) is not stable
 * @ordered_writes: that came
 * @disorders: of which did
 * @writes: completed
 * @flushes: completed
 * @worker: completes bios
 */
struct test_disk {
	struct gendisk *gendisk;
	char path[32];
	u64 sectors;
	u64 hole_first;
	u64 hole_count;
	u8 *cached;
	u8 *stable;
	unsigned long *dirty;
	/* all below */
	spinlock_t lock;
	struct bio_list bios;
	wait_queue_head_t room;
	u32 tags;
	u32 refused;
	struct rnd_state random;
	bool hang;
	bool dead;
	u32 cut_after;
	bool fail_writes;
	bool fail_reads;
	u32 spared;
	bool fail_flushes;
	bool fail_zeroes;
	u64 fail_first;
	u64 fail_last;
	u64 ordered_first;
	u64 ordered_count;
	u64 before[2][2];
	u64 ordered_writes;
	u64 disorders;
	u64 writes;
	u64 flushes;
	struct work_struct worker;
};

/* Of so many 4 KiB blocks, filled with rubbish. ERR_PTR on failure. */
struct test_disk *test_disk_create(u64 blocks, u64 seed);
/* With a hole of @hole_count blocks, so that a large one takes little memory. */
struct test_disk *test_disk_create_sparse(u64 blocks, u64 hole_first, u64 hole_count,
					  u64 seed);
void test_disk_destroy(struct test_disk *disk);
/* What is not stable is lost, in part; all I/O fails until test_disk_power_on(). */
void test_disk_power_cut(struct test_disk *disk);
/* Cut it when so many more writes and flushes are done; 0: never. */
void test_disk_cut_after(struct test_disk *disk, u32 bios);
void test_disk_power_on(struct test_disk *disk);
void test_disk_hang(struct test_disk *disk, bool hang);
/* Until all that is under way is over; not while it hangs. */
void test_disk_wait(struct test_disk *disk);
/* Direct access, when nothing is under way. */
void *test_disk_block(struct test_disk *disk, u64 block);
/* After a change by test_disk_block(). */
void test_disk_settle(struct test_disk *disk, u64 block);
/* 0..limit - 1 */
u32 test_random(struct rnd_state *random, u32 limit);

#endif
