// SPDX-License-Identifier: GPL-2.0
/*
 * The block device with a memory of its own instead of a replica: what is
 * written arrives with the right checksum and is read back, requests come in
 * order, and a disk can be removed whatever hangs on it.
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "../blk/blk.h"
#include "../compat/bdev.h"
#include "../format/frame.h"

#define BLK_TEST_BLOCKS	1024u	/* 4 MiB */

/**
 * struct blk_test - a disk and what stands for its replica
 * @kicked: serves requests in a work, as a replica does
 * @disk: under test
 * @bdev: opened by most tests
 * @opened: it is
 * @memory: the data, one page a block
 * @claim: what who opens it for write is told; 1: nothing yet
 * @asked: how many were told
 * @hold: keep requests instead of serving them
 * @held: those
 * @served: how many were served
 * @last_sequence: of the request served last
 * @out_of_order: a sequence number was not the next one
 * @bad_checksum: copy_out said something else than the data says
 */
struct blk_test {
	struct work_struct kicked;
	struct qbd_disk *disk;
	struct qbd_compat_bdev bdev;
	bool opened;
	int claim;
	unsigned int asked;
	struct page *memory[BLK_TEST_BLOCKS];
	bool hold;
	struct list_head held;
	unsigned int served;
	u64 last_sequence;
	bool out_of_order;
	bool bad_checksum;
};

static void blk_test_write(struct blk_test *test, struct qbd_request *request)
{
	u32 crc, expected = ~0u;
	u32 i;

	crc = qbd_request_copy_out(request, &test->memory[request->block],
				   request->count);
	for (i = 0; i < request->count; i++)
		expected = qbd_crc32c(expected,
				      page_address(test->memory[request->block + i]),
				      PAGE_SIZE);
	if (crc != expected)
		test->bad_checksum = true;
}

static void blk_test_serve(struct blk_test *test, struct qbd_request *request)
{
	u32 i;

	switch (request->kind) {
	case QBD_REQUEST_WRITE:
		blk_test_write(test, request);
		break;
	case QBD_REQUEST_READ:
		qbd_request_copy_in(request, &test->memory[request->block],
				    request->count);
		break;
	default:
		for (i = 0; i < request->count; i++)
			clear_page(page_address(test->memory[request->block + i]));
	}
	test->served++;
	qbd_request_complete(request, BLK_STS_OK);
}

static void blk_test_work(struct work_struct *work)
{
	struct blk_test *test = container_of(work, struct blk_test, kicked);
	struct qbd_request *request, *next;
	int claim = READ_ONCE(test->claim);

	if (claim <= 0 && qbd_disk_claim_asked(test->disk)) {
		test->asked++;
		qbd_disk_claim_answer(test->disk, claim);
	}
	llist_for_each_entry_safe(request, next, qbd_disk_take(test->disk), queued) {
		if (request->sequence != ++test->last_sequence)
			test->out_of_order = true;
		if (test->hold)
			list_add_tail(&request->list, &test->held);
		else
			blk_test_serve(test, request);
	}
}

static void blk_test_kick(void *context)
{
	struct blk_test *test = context;

	queue_work(system_unbound_wq, &test->kicked);
}

static void blk_test_open(struct kunit *kunit)
{
	struct blk_test *test = kunit->priv;
	char path[32];
	dev_t number;

	snprintf(path, sizeof(path), "/dev/qbd%u", qbd_disk_number(test->disk));
	KUNIT_ASSERT_EQ(kunit, qbd_compat_bdev_find(path, &number), 0);
	KUNIT_ASSERT_EQ(kunit, qbd_compat_bdev_open(&test->bdev, number, test), 0);
	test->opened = true;
	/* Of the partition scan. */
	flush_work(&test->kicked);
	test->served = 0;
}

/* In a kernel thread the last reference to a file goes a little later. */
static void blk_test_close(struct blk_test *test)
{
	unsigned int tries;

	if (!test->opened)
		return;
	qbd_compat_bdev_close(&test->bdev);
	test->opened = false;
	for (tries = 0; test->disk && qbd_disk_in_use(test->disk) && tries < 1000; tries++)
		usleep_range(1000, 2000);
}

static void blk_test_fail_held(struct blk_test *test)
{
	struct qbd_request *request, *next;

	flush_work(&test->kicked);
	list_for_each_entry_safe(request, next, &test->held, list) {
		list_del(&request->list);
		qbd_request_complete(request, BLK_STS_IOERR);
	}
}

static void blk_test_remove(struct blk_test *test)
{
	if (!test->disk)
		return;
	qbd_disk_begin_removal(test->disk, true);
	blk_test_kick(test);
	blk_test_fail_held(test);
	qbd_disk_destroy(test->disk);
	cancel_work_sync(&test->kicked);
	test->disk = NULL;
}

static int blk_test_init(struct kunit *kunit)
{
	struct blk_test *test = kunit_kzalloc(kunit, sizeof(*test), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(kunit, test);
	kunit->priv = test;
	INIT_WORK(&test->kicked, blk_test_work);
	INIT_LIST_HEAD(&test->held);
	for (i = 0; i < BLK_TEST_BLOCKS; i++) {
		test->memory[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		KUNIT_ASSERT_NOT_NULL(kunit, test->memory[i]);
	}
	test->disk = qbd_disk_create("blk-test", BLK_TEST_BLOCKS, blk_test_kick, test);
	if (IS_ERR(test->disk)) {
		test->disk = NULL;
		return -ENODEV;
	}
	return 0;
}

static void blk_test_exit(struct kunit *kunit)
{
	struct blk_test *test = kunit->priv;
	unsigned int i;

	if (!test)
		return;
	blk_test_remove(test);
	blk_test_close(test);
	for (i = 0; i < BLK_TEST_BLOCKS && test->memory[i]; i++)
		__free_page(test->memory[i]);
}

/* One bio of @bytes at @data, wherever in a page that is. */
static int blk_test_io(struct blk_test *test, blk_opf_t operation, u64 block,
		       void *data, unsigned int bytes)
{
	struct bio *bio = bio_alloc(qbd_compat_bdev_get(&test->bdev), 66, operation,
				    GFP_KERNEL);
	unsigned int done = 0;
	int error;

	bio->bi_iter.bi_sector = block * QBD_SECTORS_PER_BLOCK;
	while (done < bytes) {
		unsigned int length = min_t(unsigned int, bytes - done,
					    PAGE_SIZE - offset_in_page(data + done));

		__bio_add_page(bio, virt_to_page(data + done), length,
			       offset_in_page(data + done));
		done += length;
	}
	error = submit_bio_wait(bio);
	bio_put(bio);
	return error;
}

/* Data that starts anywhere in a page comes back, and its checksum is right. */
static void blk_test_data(struct kunit *kunit)
{
	static const unsigned int offsets[] = { 0, 512, 2048, 3584 };
	const unsigned int bytes = 64 * PAGE_SIZE;
	struct blk_test *test = kunit->priv;
	u8 *data = kunit_kzalloc(kunit, bytes + PAGE_SIZE, GFP_KERNEL);
	u8 *back = kunit_kzalloc(kunit, bytes + PAGE_SIZE, GFP_KERNEL);
	unsigned int i, turn;

	KUNIT_ASSERT_NOT_NULL(kunit, data);
	KUNIT_ASSERT_NOT_NULL(kunit, back);
	blk_test_open(kunit);
	for (turn = 0; turn < ARRAY_SIZE(offsets); turn++) {
		unsigned int offset = offsets[turn];

		for (i = 0; i < bytes; i++)
			data[offset + i] = i * 7 + (i >> 9) + turn;
		KUNIT_EXPECT_EQ(kunit, blk_test_io(test, REQ_OP_WRITE, 10 + turn,
						   data + offset, bytes), 0);
		KUNIT_EXPECT_EQ(kunit, blk_test_io(test, REQ_OP_READ, 10 + turn,
						   back + PAGE_SIZE - 512, bytes), 0);
		KUNIT_EXPECT_EQ(kunit, memcmp(data + offset, back + PAGE_SIZE - 512,
					      bytes), 0);
	}
	KUNIT_EXPECT_FALSE(kunit, test->bad_checksum);
	KUNIT_EXPECT_FALSE(kunit, test->out_of_order);
	KUNIT_EXPECT_GT(kunit, test->last_sequence, (u64)test->served);
}

/* Discards and write zeroes are ZERO requests, and zero what they name. */
static void blk_test_zero(struct kunit *kunit)
{
	struct blk_test *test = kunit->priv;
	struct block_device *bdev;
	unsigned int i;

	blk_test_open(kunit);
	bdev = qbd_compat_bdev_get(&test->bdev);
	for (i = 0; i < 64; i++)
		memset(page_address(test->memory[i]), 0xa5, PAGE_SIZE);
	KUNIT_EXPECT_EQ(kunit, blkdev_issue_discard(bdev, 8, 16, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(kunit, blkdev_issue_zeroout(bdev, 80, 8, GFP_KERNEL,
						    BLKDEV_ZERO_NOFALLBACK), 0);
	for (i = 0; i < 64; i++)
		KUNIT_EXPECT_EQ(kunit, *(u8 *)page_address(test->memory[i]),
				i == 1 || i == 2 || i == 10 ? 0 : 0xa5);
	KUNIT_EXPECT_EQ(kunit, test->served, 2u);
}

/* What the device does not offer is refused, not passed on. */
static void blk_test_unsupported(struct kunit *kunit)
{
	struct blk_test *test = kunit->priv;

	blk_test_open(kunit);
	KUNIT_EXPECT_EQ(kunit, blkdev_issue_secure_erase(qbd_compat_bdev_get(&test->bdev),
							 0, 8, GFP_KERNEL), -EOPNOTSUPP);
	/* Without a volatile cache a flush is done at once. */
	KUNIT_EXPECT_EQ(kunit, blkdev_issue_flush(qbd_compat_bdev_get(&test->bdev)), 0);
	KUNIT_EXPECT_EQ(kunit, test->served, 0u);
}

/* A disk that somebody has open is removed by force only. */
static void blk_test_removal_refused(struct kunit *kunit)
{
	struct blk_test *test = kunit->priv;
	char path[32];
	dev_t number;

	snprintf(path, sizeof(path), "/dev/qbd%u", qbd_disk_number(test->disk));
	KUNIT_ASSERT_EQ(kunit, qbd_compat_bdev_find(path, &number), 0);
	KUNIT_EXPECT_FALSE(kunit, qbd_disk_in_use(test->disk));
	blk_test_open(kunit);
	KUNIT_EXPECT_TRUE(kunit, qbd_disk_in_use(test->disk));
	KUNIT_EXPECT_EQ(kunit, qbd_disk_begin_removal(test->disk, false), -EBUSY);
	blk_test_close(test);
	KUNIT_EXPECT_EQ(kunit, qbd_disk_begin_removal(test->disk, false), 0);
	KUNIT_EXPECT_NE(kunit, qbd_compat_bdev_open(&test->bdev, number, test), 0);
}

struct blk_test_waiter {
	struct completion done;
	blk_status_t status;
};

static void blk_test_ended(struct bio *bio)
{
	struct blk_test_waiter *waiter = bio->bi_private;

	waiter->status = bio->bi_status;
	complete(&waiter->done);
	bio_put(bio);
}

/* Forced: what waits fails, what comes later fails at once, the opener stays. */
static void blk_test_removal_forced(struct kunit *kunit)
{
	struct blk_test *test = kunit->priv;
	struct blk_test_waiter waiter = { .status = BLK_STS_OK };
	struct bio *bio;

	init_completion(&waiter.done);
	blk_test_open(kunit);
	test->hold = true;
	bio = bio_alloc(qbd_compat_bdev_get(&test->bdev), 1, REQ_OP_READ, GFP_KERNEL);
	__bio_add_page(bio, test->memory[0], PAGE_SIZE, 0);
	bio->bi_private = &waiter;
	bio->bi_end_io = blk_test_ended;
	submit_bio(bio);
	flush_work(&test->kicked);
	KUNIT_EXPECT_FALSE(kunit, completion_done(&waiter.done));

	KUNIT_EXPECT_EQ(kunit, qbd_disk_begin_removal(test->disk, true), 0);
	KUNIT_EXPECT_NE(kunit, blk_test_io(test, REQ_OP_READ, 0,
					   page_address(test->memory[1]), PAGE_SIZE), 0);
	blk_test_fail_held(test);
	KUNIT_EXPECT_TRUE(kunit, completion_done(&waiter.done));
	KUNIT_EXPECT_EQ(kunit, waiter.status, BLK_STS_IOERR);
	qbd_disk_destroy(test->disk);
	test->disk = NULL;
	KUNIT_EXPECT_NE(kunit, blk_test_io(test, REQ_OP_READ, 0,
					   page_address(test->memory[1]), PAGE_SIZE), 0);
}

/* Numbers are used again only when the last opener has gone. */
static void blk_test_numbers(struct kunit *kunit)
{
	struct blk_test *test = kunit->priv;
	unsigned int number = qbd_disk_number(test->disk);
	struct qbd_disk *next;

	blk_test_open(kunit);
	blk_test_remove(test);
	next = qbd_disk_create("blk-test-2", 16, blk_test_kick, test);
	KUNIT_ASSERT_FALSE(kunit, IS_ERR(next));
	KUNIT_EXPECT_NE(kunit, qbd_disk_number(next), number);
	test->disk = next;
	blk_test_close(test);
}

static struct file *blk_test_file(struct blk_test *test, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/qbd%u", qbd_disk_number(test->disk));
	return filp_open(path, flags, 0);
}

/* A claim is needed from the first opening for write to the last closing of all. */
static void blk_test_claim(struct kunit *kunit)
{
	struct blk_test *test = kunit->priv;
	struct file *reader, *writer;
	unsigned int tries;

	reader = blk_test_file(test, O_RDONLY);
	KUNIT_ASSERT_FALSE(kunit, IS_ERR(reader));
	KUNIT_EXPECT_EQ(kunit, test->asked, 0u);
	KUNIT_EXPECT_FALSE(kunit, qbd_disk_claim_needed(test->disk));
	KUNIT_EXPECT_TRUE(kunit, qbd_disk_opened(test->disk));

	test->claim = -EBUSY;
	writer = blk_test_file(test, O_RDWR);
	KUNIT_EXPECT_EQ(kunit, PTR_ERR_OR_ZERO(writer), -EBUSY);
	KUNIT_EXPECT_EQ(kunit, test->asked, 1u);
	KUNIT_EXPECT_FALSE(kunit, qbd_disk_claim_needed(test->disk));

	test->claim = 0;
	writer = blk_test_file(test, O_RDWR);
	KUNIT_ASSERT_FALSE(kunit, IS_ERR(writer));
	KUNIT_EXPECT_TRUE(kunit, qbd_disk_claim_needed(test->disk));
	filp_close(writer, NULL);
	filp_close(reader, NULL);
	/* In a kernel thread the last reference to a file goes a little later. */
	for (tries = 0; qbd_disk_opened(test->disk) && tries < 1000; tries++)
		usleep_range(1000, 2000);
	KUNIT_EXPECT_FALSE(kunit, qbd_disk_claim_needed(test->disk));

	/* What was asked for once is asked for again; a write needs one, too. */
	reader = blk_test_file(test, O_RDONLY);
	KUNIT_ASSERT_FALSE(kunit, IS_ERR(reader));
	KUNIT_EXPECT_FALSE(kunit, qbd_disk_claim_needed(test->disk));
	qbd_disk_claim_keep(test->disk);
	KUNIT_EXPECT_TRUE(kunit, qbd_disk_claim_needed(test->disk));
	filp_close(reader, NULL);
	for (tries = 0; qbd_disk_opened(test->disk) && tries < 1000; tries++)
		usleep_range(1000, 2000);
	KUNIT_EXPECT_FALSE(kunit, qbd_disk_claim_needed(test->disk));
}

struct blk_test_opener {
	struct work_struct work;
	struct blk_test *test;
	int error;
};

static void blk_test_opens(struct work_struct *work)
{
	struct blk_test_opener *opener = container_of(work, struct blk_test_opener, work);

	opener->error = PTR_ERR_OR_ZERO(blk_test_file(opener->test, O_RDWR));
}

/* Who waits for a claim that nobody gives is freed by force. */
static void blk_test_claim_removed(struct kunit *kunit)
{
	struct blk_test *test = kunit->priv;
	struct blk_test_opener opener = { .test = test };
	unsigned int tries;

	test->claim = 1;
	INIT_WORK_ONSTACK(&opener.work, blk_test_opens);
	queue_work(system_unbound_wq, &opener.work);
	for (tries = 0; !qbd_disk_claim_asked(test->disk) && tries < 1000; tries++)
		usleep_range(1000, 2000);
	KUNIT_EXPECT_TRUE(kunit, qbd_disk_claim_needed(test->disk));
	KUNIT_EXPECT_EQ(kunit, qbd_disk_begin_removal(test->disk, false), -EBUSY);
	KUNIT_EXPECT_EQ(kunit, qbd_disk_begin_removal(test->disk, true), 0);
	flush_work(&opener.work);
	destroy_work_on_stack(&opener.work);
	KUNIT_EXPECT_EQ(kunit, opener.error, -ENXIO);
	KUNIT_EXPECT_FALSE(kunit, qbd_disk_claim_needed(test->disk));
}

static struct kunit_case blk_test_cases[] = {
	KUNIT_CASE(blk_test_claim),
	KUNIT_CASE(blk_test_claim_removed),
	KUNIT_CASE(blk_test_data),
	KUNIT_CASE(blk_test_zero),
	KUNIT_CASE(blk_test_unsupported),
	KUNIT_CASE(blk_test_removal_refused),
	KUNIT_CASE(blk_test_removal_forced),
	KUNIT_CASE(blk_test_numbers),
	{}
};

static int blk_test_suite_init(struct kunit_suite *suite)
{
	return qbd_blk_init();
}

static void blk_test_suite_exit(struct kunit_suite *suite)
{
	qbd_blk_exit();
}

static struct kunit_suite qbd_blk_test_suite = {
	.name		= "blk",
	.suite_init	= blk_test_suite_init,
	.suite_exit	= blk_test_suite_exit,
	.init		= blk_test_init,
	.exit		= blk_test_exit,
	.test_cases	= blk_test_cases,
};

kunit_test_suite(qbd_blk_test_suite);
