// SPDX-License-Identifier: GPL-2.0
/*
 * Who opens the disk, and who has to claim it for that.
 *
 * Opening for write waits until the replica says that this host may write: it has the
 * claim of the device, or nobody needs one. The wait is killable, and ends when the disk
 * is removed by force. The kernel holds open_mutex over it, so there is one waiter at a
 * time; others who open or close the disk wait behind it, as they do behind a partition
 * scan. What takes the disk down by force, or asks for its status, does not take it.
 *
 * A kernel does not say who closes: in 6.12 release has no mode, and in 6.1 neither open
 * nor release is called for the second opener of a partition. So the claim is needed from
 * the first opening for write until the last closing of all; and a write that comes without
 * one (a read-only mount that replays its journal, or is mounted writable later) is the
 * replica's to see: qbd_disk_claim_keep().
 *
 * What was read before may have been changed since by another host. Who opens the disk sees
 * what is there: a view begins. But not for who has it exclusively (a mounted file system, a
 * device mapper): that goes on with what it has read, so as long as there is one the view
 * stays, and the replica remembers since when it is (claim_hold.c).
 */
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "blk_internal.h"

/* @claim_answer while there is none. */
#define UNANSWERED	1

/*
 * What this host has cached of the disk may be old: other hosts write to it, and the
 * cache lives as long as anybody keeps the disk open. Who opens it sees what is there.
 *
 *	One host was probed while a file system was not mounted anywhere, and kept open.
 *	Another mounted it, committed and lost its power. The first found the superblock
 *	in its cache that said there was no journal to be replayed: what had been
 *	committed was lost.
 *
 * Who has it claimed (mounted) needs what it has, and nobody else may write. What cannot
 * be dropped without waiting stays: without a quorum a read that is under way waits. So do
 * pages that somebody has mapped, or reads from just now.
 *
 * Return: whether nothing is left.
 */
static bool forget_cached(struct gendisk *gendisk)
{
	struct block_device *part;
	unsigned long number;
	bool all = true;

	/* The disk itself is number 0. They come and go under open_mutex. */
	xa_for_each(&gendisk->part_tbl, number, part) {
		if (!READ_ONCE(part->bd_holder))
			invalidate_bdev(part);
		all &= !READ_ONCE(qbd_compat_bdev_mapping(part)->nrpages);
	}
	return all;
}

/* Return: 0 when this host may write; open_mutex is held. */
static int claim(struct qbd_disk *disk)
{
	int error;

	WRITE_ONCE(disk->claim_answer, UNANSWERED);
	/* The answer that is waited for is the one to this: pairs with claim_asked(). */
	smp_store_release(&disk->claim_asked, true);
	disk->kick(disk->context);
	error = wait_event_killable(disk->claim_wait,
				    READ_ONCE(disk->claim_answer) != UNANSWERED ||
				    READ_ONCE(disk->removing));
	if (!error && READ_ONCE(disk->claim_answer) == UNANSWERED)
		error = -ENXIO;
	return error ?: READ_ONCE(disk->claim_answer);
}

int qbd_disk_open(qbd_compat_opened *opened, qbd_compat_open_mode mode)
{
	struct gendisk *gendisk = qbd_compat_opened_disk(opened);
	struct qbd_disk *disk = gendisk->private_data;
	bool write = mode & QBD_COMPAT_OPEN_WRITE;
	bool anew = !qbd_disk_exclusive(disk);
	int error = 0;

	/*
	 * Before the claim is asked for: on behalf of nobody who has seen anything. And
	 * nobody sees in this view what is cached, also if he does not get in: 6.1 does not
	 * tell of who opens a partition that is open already.
	 */
	if (anew)
		WRITE_ONCE(disk->view, disk->view + 1);
	if (forget_cached(gendisk) && anew)
		WRITE_ONCE(disk->oldest_view, disk->view);
	if (write)
		error = claim(disk);
	/* Others may have written while the claim was waited for. */
	if (write && !error)
		forget_cached(gendisk);
	if (!error && READ_ONCE(disk->removing))
		error = -ENXIO;
	if (!error) {
		if (!disk->opens)
			WRITE_ONCE(disk->write_opened, false);
		if (write)
			WRITE_ONCE(disk->write_opened, true);
		WRITE_ONCE(disk->opens, disk->opens + 1);
	}
	/* Only now: in between nobody would seem to need what was just claimed. */
	if (write) {
		WRITE_ONCE(disk->claim_asked, false);
		if (error)
			disk->kick(disk->context);
	}
	return error;
}

/* Called with open_mutex held, after what was cached has been written back. */
static void released(struct gendisk *gendisk)
{
	struct qbd_disk *disk = gendisk->private_data;

	WRITE_ONCE(disk->opens, disk->opens - 1);
	if (disk->opens)
		return;
	WRITE_ONCE(disk->closings, disk->closings + 1);
	if (!READ_ONCE(disk->removing))
		disk->kick(disk->context);
}

#ifdef QBD_COMPAT_RELEASE_TAKES_MODE
void qbd_disk_release(struct gendisk *gendisk, fmode_t mode)
#else
void qbd_disk_release(struct gendisk *gendisk)
#endif
{
	released(gendisk);
}

bool qbd_disk_claim_asked(struct qbd_disk *disk)
{
	/* Pairs with the release in claim(). */
	return smp_load_acquire(&disk->claim_asked) &&
	       READ_ONCE(disk->claim_answer) == UNANSWERED;
}

void qbd_disk_claim_answer(struct qbd_disk *disk, int error)
{
	if (!qbd_disk_claim_asked(disk))
		return;
	WRITE_ONCE(disk->claim_answer, error);
	wake_up_all(&disk->claim_wait);
}

bool qbd_disk_write_opened(struct qbd_disk *disk)
{
	return READ_ONCE(disk->opens) && READ_ONCE(disk->write_opened);
}

bool qbd_disk_claim_needed(struct qbd_disk *disk)
{
	/* Asked first: who was let in counts as an opener before it stops asking. */
	return (smp_load_acquire(&disk->claim_asked) &&
		READ_ONCE(disk->claim_answer) >= 0) || qbd_disk_write_opened(disk);
}

bool qbd_disk_opened(struct qbd_disk *disk)
{
	return READ_ONCE(disk->opens);
}

void qbd_disk_claim_keep(struct qbd_disk *disk)
{
	/* Said with each write: not to be written with each. */
	if (!READ_ONCE(disk->write_opened))
		WRITE_ONCE(disk->write_opened, true);
}

u64 qbd_disk_closings(struct qbd_disk *disk)
{
	return READ_ONCE(disk->closings);
}

bool qbd_disk_exclusive(struct qbd_disk *disk)
{
	/* Set on the whole disk for a partition, too; changed under open_mutex. */
	return READ_ONCE(disk->gendisk->part0->bd_holder);
}

u64 qbd_disk_view(struct qbd_disk *disk)
{
	return READ_ONCE(disk->view);
}

u64 qbd_disk_oldest_view(struct qbd_disk *disk)
{
	return READ_ONCE(disk->oldest_view);
}
