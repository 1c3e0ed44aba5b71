// SPDX-License-Identifier: GPL-2.0
/*
 * The gendisk: limits, numbers, life and death.
 *
 * Life of a disk, and who may hold what:
 *
 *   create          published; anybody may open it and send requests
 *   begin_removal   @removing: opens are refused, queue_rq fails what comes, and
 *                   none that it let through is on its way: one more
 *                   qbd_disk_take() returns the last request there will ever be
 *   destroy         all requests were completed by the replica; filesystems are
 *                   told, the number disappears from /dev and /sys
 *   free_disk       the last opener left: memory and number go
 *
 * The replica owns each request from qbd_disk_take() until it completes it. The
 * timeout handler therefore never completes anything: how long I/O waits for a
 * quorum is the administrator's choice (suspend or error), not the block layer's.
 */
#include <linux/blk-mq.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/wait_bit.h>

#include "blk_internal.h"

/* Partitions after the fifteenth get extended device numbers. */
#define QBD_DISK_MINORS		16

static int qbd_disk_major;
static DEFINE_IDA(qbd_disk_numbers);
/* Disks whose memory is not freed yet: their free_disk is in this module. */
static atomic_t qbd_disks_alive = ATOMIC_INIT(0);

static blk_status_t qbd_queue_rq(struct blk_mq_hw_ctx *hctx,
				 const struct blk_mq_queue_data *bd)
{
	struct qbd_request *request = blk_mq_rq_to_pdu(bd->rq);
	struct qbd_disk *disk = hctx->queue->queuedata;
	blk_status_t status;

	if (READ_ONCE(disk->removing)) {
		status = BLK_STS_IOERR;
	} else {
		status = qbd_request_prepare(request, bd->rq);
		if (status == BLK_STS_OK) {
			request->view = qbd_disk_view(disk);
			blk_mq_start_request(bd->rq);
			llist_add(&request->queued, &disk->arrived);
		}
	}
	/* Earlier ones of the batch wait for it, even if this one failed. */
	if (bd->last)
		disk->kick(disk->context);
	return status;
}

static void qbd_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct qbd_disk *disk = hctx->queue->queuedata;

	disk->kick(disk->context);
}

static enum blk_eh_timer_return qbd_timeout(struct request *rq)
{
	return BLK_EH_RESET_TIMER;
}

static const struct blk_mq_ops qbd_mq_ops = {
	.queue_rq	= qbd_queue_rq,
	.commit_rqs	= qbd_commit_rqs,
	.timeout	= qbd_timeout,
};

struct llist_node *qbd_disk_take(struct qbd_disk *disk)
{
	struct llist_node *list = llist_del_all(&disk->arrived);
	struct qbd_request *request;

	list = llist_reverse_order(list);
	llist_for_each_entry(request, list, queued)
		request->sequence = ++disk->last_sequence;
	return list;
}

int qbd_disk_number_get(void)
{
	return ida_alloc_max(&qbd_disk_numbers, (MINORMASK + 1) / QBD_DISK_MINORS - 1,
			     GFP_KERNEL);
}

void qbd_disk_number_put(unsigned int number)
{
	ida_free(&qbd_disk_numbers, number);
}

static void qbd_disk_free(struct qbd_disk *disk)
{
	pr_debug("disk %u of %s freed\n", disk->number, disk->name);
	qbd_disk_number_put(disk->number);
	kfree(disk);
	/* Pairs with the wait in qbd_blk_exit(). */
	if (atomic_dec_and_test(&qbd_disks_alive))
		wake_up_var(&qbd_disks_alive);
}

static void qbd_gendisk_free(struct gendisk *gendisk)
{
	qbd_disk_free(gendisk->private_data);
}

static const struct block_device_operations qbd_disk_operations = {
	.owner		= THIS_MODULE,
	.open		= qbd_disk_open,
	.release	= qbd_disk_release,
	.free_disk	= qbd_gendisk_free,
};

static ssize_t name_show(struct device *device, struct device_attribute *attribute,
			 char *buffer)
{
	struct qbd_disk *disk = dev_to_disk(device)->private_data;

	return sysfs_emit(buffer, "%s\n", disk->name);
}
static DEVICE_ATTR_RO(name);

static struct attribute *qbd_disk_attributes[] = {
	&dev_attr_name.attr,
	NULL
};

static const struct attribute_group qbd_disk_attribute_group = {
	.name	= "qbd",
	.attrs	= qbd_disk_attributes,
};

static const struct attribute_group *qbd_disk_attribute_groups[] = {
	&qbd_disk_attribute_group,
	NULL
};

/*
 * One request fits into one record. Without a volatile cache the block layer
 * completes flushes itself and strips FUA: a completed write is durable on a
 * majority as it is. Bio vectors may span pages, and their number is bounded by
 * the number of segments.
 */
static const struct qbd_compat_disk_limits qbd_disk_limits = {
	.block_size		= QBD_BLOCK_SIZE,
	.max_sectors		= QBD_RECORD_DATA_BLOCKS_MAX * QBD_SECTORS_PER_BLOCK,
	.max_zero_sectors	= QBD_ZERO_BLOCKS_MAX * QBD_SECTORS_PER_BLOCK,
	.max_segments		= QBD_REQUEST_SEGMENTS_MAX,
	.max_segment_size	= QBD_RECORD_DATA_BLOCKS_MAX * QBD_BLOCK_SIZE,
	.io_opt			= QBD_RECORD_DATA_BLOCKS_MAX * QBD_BLOCK_SIZE,
};

static int qbd_disk_alloc_gendisk(struct qbd_disk *disk, u64 device_blocks)
{
	struct blk_mq_tag_set *set = &disk->tag_set;
	struct gendisk *gendisk;
	int error;

	set->ops = &qbd_mq_ops;
	set->nr_hw_queues = 1;
	set->queue_depth = QBD_DISK_QUEUE_DEPTH;
	set->numa_node = NUMA_NO_NODE;
	set->cmd_size = sizeof(struct qbd_request);
	/* One queue would get a scheduler that sorts by sector: no gain, a hop. */
	set->flags = BLK_MQ_F_SHOULD_MERGE | BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	error = blk_mq_alloc_tag_set(set);
	if (error)
		return error;

	gendisk = qbd_compat_alloc_disk(set, &qbd_disk_limits, disk);
	if (IS_ERR(gendisk)) {
		blk_mq_free_tag_set(set);
		return PTR_ERR(gendisk);
	}
	gendisk->major = qbd_disk_major;
	gendisk->first_minor = disk->number * QBD_DISK_MINORS;
	gendisk->minors = QBD_DISK_MINORS;
	gendisk->fops = &qbd_disk_operations;
	gendisk->private_data = disk;
	snprintf(gendisk->disk_name, sizeof(gendisk->disk_name), "qbd%u",
		 disk->number);
	set_capacity(gendisk, device_blocks * QBD_SECTORS_PER_BLOCK);
	disk->gendisk = gendisk;
	return 0;
}

/*
 * device_add_disk() would read the partition table, and without a quorum that
 * read waits, and with it whoever brings the member up. So the table is read by
 * whoever opens the disk first.
 */
static int qbd_disk_publish(struct qbd_disk *disk)
{
	struct gendisk *gendisk = disk->gendisk;
	int error;

	set_bit(GD_SUPPRESS_PART_SCAN, &gendisk->state);
	error = device_add_disk(NULL, gendisk, qbd_disk_attribute_groups);
	if (error)
		return error;
	set_bit(GD_NEED_PART_SCAN, &gendisk->state);
	clear_bit(GD_SUPPRESS_PART_SCAN, &gendisk->state);
	return 0;
}

struct qbd_disk *qbd_disk_create(const char *name, u64 device_blocks,
				 void (*kick)(void *context), void *context)
{
	struct qbd_disk *disk;
	int number, error;

	disk = kzalloc(sizeof(*disk), GFP_KERNEL);
	if (!disk)
		return ERR_PTR(-ENOMEM);
	number = qbd_disk_number_get();
	if (number < 0) {
		kfree(disk);
		return ERR_PTR(number);
	}
	atomic_inc(&qbd_disks_alive);
	disk->number = number;
	disk->kick = kick;
	disk->context = context;
	init_llist_head(&disk->arrived);
	init_waitqueue_head(&disk->claim_wait);
	strscpy(disk->name, name, sizeof(disk->name));

	error = qbd_disk_alloc_gendisk(disk, device_blocks);
	if (error)
		goto err_free;
	error = qbd_disk_publish(disk);
	if (error)
		goto err_put;
	pr_debug("disk %u of %s created\n", disk->number, disk->name);
	return disk;

err_put:
	/* Never added: put_disk() does not call free_disk. */
	put_disk(disk->gendisk);
	blk_mq_free_tag_set(&disk->tag_set);
err_free:
	qbd_disk_free(disk);
	return ERR_PTR(error);
}

bool qbd_disk_resize(struct qbd_disk *disk, u64 device_blocks)
{
	return set_capacity_and_notify(disk->gendisk, device_blocks * QBD_SECTORS_PER_BLOCK);
}

unsigned int qbd_disk_number(const struct qbd_disk *disk)
{
	return disk->number;
}

bool qbd_disk_in_use(struct qbd_disk *disk)
{
	return disk_openers(disk->gendisk) > 0;
}

int qbd_disk_begin_removal(struct qbd_disk *disk, bool force)
{
	struct gendisk *gendisk = disk->gendisk;

	if (force) {
		/*
		 * Without open_mutex: an opener may hold it while its partition
		 * scan waits for a quorum. It may slip in, as one who opened
		 * before did, and finds its requests failing likewise.
		 */
		WRITE_ONCE(disk->removing, true);
		/* Who waits for a claim holds it, too. */
		wake_up_all(&disk->claim_wait);
	} else {
		/* Somebody is opening or closing it: that is use, too. */
		if (!mutex_trylock(&gendisk->open_mutex))
			return -EBUSY;
		if (disk_openers(gendisk)) {
			mutex_unlock(&gendisk->open_mutex);
			return -EBUSY;
		}
		WRITE_ONCE(disk->removing, true);
		mutex_unlock(&gendisk->open_mutex);
	}
	/*
	 * A queue_rq that read @removing as false may not have put its request on
	 * the list yet. After this none is under way, and later ones see true.
	 * Filesystems are told in qbd_disk_destroy(), not here: telling takes
	 * s_umount, which a task may hold that waits for requests which the
	 * replica still has to fail.
	 */
	blk_mq_quiesce_queue(gendisk->queue);
	blk_mq_unquiesce_queue(gendisk->queue);
	return 0;
}

void qbd_disk_destroy(struct qbd_disk *disk)
{
	struct gendisk *gendisk = disk->gendisk;

	WARN_ON_ONCE(!disk->removing);
	WARN_ON_ONCE(!llist_empty(&disk->arrived));
	pr_debug("disk %u of %s removed\n", disk->number, disk->name);
	/*
	 * Dead first: otherwise del_gendisk() has the filesystem write everything
	 * back to a disk that only fails requests.
	 */
	blk_mark_disk_dead(gendisk);
	del_gendisk(gendisk);
	/* No request can be under way: the queue is frozen for good. */
	blk_mq_free_tag_set(&disk->tag_set);
	/* The last opener's close frees @disk, perhaps right here. */
	put_disk(gendisk);
}

int qbd_blk_init(void)
{
	qbd_disk_major = register_blkdev(0, "qbd");
	return qbd_disk_major < 0 ? qbd_disk_major : 0;
}

void qbd_blk_exit(void)
{
	/*
	 * An opener's reference to the module goes before its reference to the
	 * disk does: the last free_disk may be yet to come, or be about to
	 * return.
	 */
	wait_var_event(&qbd_disks_alive, !atomic_read(&qbd_disks_alive));
	synchronize_rcu();
	unregister_blkdev(qbd_disk_major, "qbd");
	ida_destroy(&qbd_disk_numbers);
}
