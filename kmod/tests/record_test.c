// SPDX-License-Identifier: GPL-2.0
/* Log pages and records in memory: who may take what, and that all comes back. */
#include <kunit/test.h>
#include <linux/mm.h>

#include "../record/record.h"

static const u8 record_test_uuid[QBD_UUID_SIZE] = "0123456789abcde";

static void record_test_kick(void *context)
{
	++*(unsigned int *)context;
}

static struct qbd_pool *record_test_pool(struct kunit *test, unsigned int *kicks)
{
	struct qbd_pool *pool = qbd_pool_create(QBD_POOL_PAGES_MIN, record_test_kick, kicks);

	KUNIT_ASSERT_FALSE(test, IS_ERR(pool));
	return pool;
}

/* Take pages as @class until there are none. */
static unsigned int record_test_take(struct qbd_pool *pool, enum qbd_pool_class class,
				     struct page **pages)
{
	unsigned int taken = 0;

	while ((pages[taken] = qbd_pool_get(pool, class)))
		taken++;
	return taken;
}

static void pool_classes(struct kunit *test)
{
	struct page **pages = kunit_kcalloc(test, QBD_POOL_PAGES_MIN + 3, sizeof(*pages),
					    GFP_KERNEL);
	/* The largest record, though that is more than an eighth of this pool. */
	const int step = QBD_RECORD_DATA_BLOCKS_MAX + QBD_RECORD_NODE_PAGES + 6;
	unsigned int kicks = 0, taken = 0;
	struct qbd_pool *pool;
	int class;

	pool = record_test_pool(test, &kicks);
	KUNIT_EXPECT_EQ(test, qbd_pool_pages(pool), QBD_POOL_PAGES_MIN);
	/* Each class leaves one step more than the one before it. */
	for (class = QBD_POOL_READ; class >= QBD_POOL_FORWARD; class--) {
		taken += record_test_take(pool, class, pages + taken);
		KUNIT_EXPECT_EQ(test, taken, QBD_POOL_PAGES_MIN - class * step);
	}
	KUNIT_EXPECT_EQ(test, qbd_pool_pages_free(pool), 0);

	/* The most modest refused request is told, once. */
	KUNIT_EXPECT_EQ(test, kicks, 0);
	qbd_pool_put(pool, pages[--taken]);
	KUNIT_EXPECT_EQ(test, kicks, 1);
	qbd_pool_put(pool, pages[--taken]);
	KUNIT_EXPECT_EQ(test, kicks, 1);
	KUNIT_EXPECT_NULL(test, qbd_pool_get(pool, QBD_POOL_WRITE));
	while (taken)
		qbd_pool_put(pool, pages[--taken]);
	KUNIT_EXPECT_EQ(test, kicks, 2);
	KUNIT_EXPECT_EQ(test, qbd_pool_pages_free(pool), QBD_POOL_PAGES_MIN);
	qbd_pool_destroy(pool);
}

static void buffers(struct kunit *test)
{
	struct qbd_buffer *buffer, *other;
	struct page *moved;
	unsigned int kicks = 0;
	struct qbd_pool *pool = record_test_pool(test, &kicks);

	buffer = qbd_buffer_alloc(pool, QBD_POOL_READ, 256);
	KUNIT_ASSERT_NOT_NULL(test, buffer);
	KUNIT_EXPECT_EQ(test, buffer->blocks, 256);
	/* A page that moved is not given back with the buffer. */
	moved = buffer->pages[7];
	buffer->pages[7] = NULL;
	qbd_buffer_free(buffer);
	KUNIT_EXPECT_EQ(test, qbd_pool_pages_free(pool), QBD_POOL_PAGES_MIN - 1);
	qbd_pool_put(pool, moved);
	/* All or nothing. */
	buffer = qbd_buffer_alloc(pool, QBD_POOL_WRITE, QBD_BUFFER_BLOCKS_MAX);
	other = qbd_buffer_alloc(pool, QBD_POOL_WRITE, QBD_BUFFER_BLOCKS_MAX);
	KUNIT_EXPECT_NOT_NULL(test, other);
	KUNIT_EXPECT_NULL(test, qbd_buffer_alloc(pool, QBD_POOL_WRITE,
						 QBD_BUFFER_BLOCKS_MAX));
	KUNIT_EXPECT_EQ(test, qbd_pool_pages_free(pool),
			QBD_POOL_PAGES_MIN - 2 * (QBD_BUFFER_BLOCKS_MAX + 1));
	qbd_buffer_free(buffer);
	KUNIT_EXPECT_EQ(test, kicks, 1);
	qbd_buffer_free(other);
	qbd_buffer_free(NULL);
	qbd_pool_destroy(pool);
}

/* @operations of one block each, each with other data. */
static struct qbd_record *record_test_record(struct kunit *test, struct qbd_pool *pool,
					     unsigned int operations)
{
	struct qbd_record *record = qbd_record_alloc(pool, QBD_POOL_APPEND, operations,
						     operations, true);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, record);
	for (i = 0; i < operations; i++) {
		struct qbd_operation *operation = &record->header->operations[i];
		void *data = page_address(record->pages[i]);

		memset(data, 'a' + i, QBD_BLOCK_SIZE);
		operation->kind = cpu_to_le16(QBD_OPERATION_WRITE);
		operation->block = cpu_to_le64(i * 3);
		operation->count = cpu_to_le32(1);
		operation->data_checksum = cpu_to_le32(qbd_crc32c(~0u, data,
								  QBD_BLOCK_SIZE));
	}
	return record;
}

static void seal_and_check(struct kunit *test)
{
	static const unsigned int counts[] = { 1, 2, 29, 30, 57, QBD_OPERATIONS_MAX };
	unsigned int kicks = 0, i, j;
	struct qbd_pool *pool = record_test_pool(test, &kicks);

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		struct qbd_record *record = record_test_record(test, pool, counts[i]);
		const char *reason = NULL;

		qbd_record_seal(record, record_test_uuid, QBD_RECORD_DATA, 9, 4, 0x77);
		KUNIT_EXPECT_EQ(test, record->index, 9);
		KUNIT_EXPECT_EQ(test, record->term, 4);
		KUNIT_EXPECT_EQ(test, qbd_record_header_check(record->header, QBD_BLOCK_SIZE,
							      record_test_uuid, 1000,
							      &reason), 0);
		KUNIT_EXPECT_EQ(test, qbd_record_data_check(record), 0);
		for (j = 0; j < counts[i]; j++) {
			struct qbd_overlay_node *node = qbd_record_node(record, j);

			KUNIT_EXPECT_EQ(test, node->start, j * 3);
			KUNIT_EXPECT_EQ(test, node->last, j * 3);
			KUNIT_EXPECT_EQ(test, node->data_block, j);
			KUNIT_EXPECT_PTR_EQ(test, node->record, record);
			/* Every page of the data is covered. */
			((u8 *)page_address(record->pages[j]))[j * 40] ^= 1;
			KUNIT_EXPECT_EQ(test, qbd_record_data_check(record), -EBADMSG);
			((u8 *)page_address(record->pages[j]))[j * 40] ^= 1;
		}
		KUNIT_EXPECT_EQ(test, qbd_record_data_check(record), 0);
		/* Another reference keeps it. */
		qbd_record_get(record);
		qbd_record_put(record);
		KUNIT_EXPECT_EQ(test, qbd_record_data_check(record), 0);
		qbd_record_put(record);
		KUNIT_EXPECT_EQ(test, qbd_pool_pages_free(pool), QBD_POOL_PAGES_MIN);
	}
	qbd_pool_destroy(pool);
}

static void records_without_operations(struct kunit *test)
{
	unsigned int kicks = 0;
	struct qbd_pool *pool = record_test_pool(test, &kicks);
	struct qbd_record *record;
	const char *reason = NULL;

	record = qbd_record_alloc(pool, QBD_POOL_APPEND, 0, 0, true);
	qbd_record_seal(record, record_test_uuid, QBD_RECORD_NOOP, 1, 1, 0);
	KUNIT_EXPECT_EQ(test, qbd_record_header_check(record->header, 128, record_test_uuid,
						      1, &reason), 0);
	KUNIT_EXPECT_EQ(test, qbd_record_data_check(record), 0);
	qbd_record_put(record);

	record = qbd_record_alloc(pool, QBD_POOL_APPEND, 0, 1, true);
	memset(page_address(record->pages[0]), 5, QBD_BLOCK_SIZE);
	qbd_record_seal(record, record_test_uuid, QBD_RECORD_MEMBERSHIP, 2, 1, 8);
	KUNIT_EXPECT_EQ(test, qbd_record_header_check(record->header, 128, record_test_uuid,
						      1, &reason), 0);
	KUNIT_EXPECT_EQ(test, qbd_record_data_check(record), 0);
	((u8 *)page_address(record->pages[0]))[4095] ^= 1;
	KUNIT_EXPECT_EQ(test, qbd_record_data_check(record), -EBADMSG);
	qbd_record_put(record);

	/* Pages come later. */
	record = qbd_record_alloc(pool, QBD_POOL_APPEND, 1, 256, false);
	KUNIT_EXPECT_NULL(test, record->pages[0]);
	KUNIT_EXPECT_NULL(test, record->pages[255]);
	record->pages[3] = qbd_pool_get(pool, QBD_POOL_APPEND);
	qbd_record_put(record);
	KUNIT_EXPECT_EQ(test, qbd_pool_pages_free(pool), QBD_POOL_PAGES_MIN);
	qbd_pool_destroy(pool);
}

/* Is a record of @operations good as entry 9, sealed anew? */
static bool record_test_passes(struct qbd_record *record)
{
	const char *reason = NULL;

	qbd_record_seal(record, record_test_uuid, QBD_RECORD_DATA, 9, 4, 0x77);
	return !qbd_record_header_check(record->header, QBD_BLOCK_SIZE, record_test_uuid, 1000,
					&reason);
}

/* Alone, nobody's request, and as of an entry before it. */
static void repairs(struct kunit *test)
{
	unsigned int kicks = 0;
	struct qbd_pool *pool = record_test_pool(test, &kicks);
	struct qbd_record *record = record_test_record(test, pool, 1);
	struct qbd_operation *operation = &record->header->operations[0];

	operation->kind = cpu_to_le16(QBD_OPERATION_REPAIR);
	operation->sequence = cpu_to_le64(8);
	KUNIT_EXPECT_TRUE(test, record_test_passes(record));
	KUNIT_EXPECT_FALSE(test, qbd_record_node(record, 0)->zero);
	KUNIT_EXPECT_EQ(test, qbd_record_data_check(record), 0);
	((u8 *)page_address(record->pages[0]))[7] ^= 1;
	KUNIT_EXPECT_EQ(test, qbd_record_data_check(record), -EBADMSG);
	operation->sequence = cpu_to_le64(9);
	KUNIT_EXPECT_FALSE(test, record_test_passes(record));
	operation->sequence = 0;
	KUNIT_EXPECT_TRUE(test, record_test_passes(record));
	operation->session = cpu_to_le64(1);
	KUNIT_EXPECT_FALSE(test, record_test_passes(record));
	operation->session = 0;
	operation->sequence = cpu_to_le64(8);
	operation->outstanding = cpu_to_le16(1);
	KUNIT_EXPECT_FALSE(test, record_test_passes(record));
	qbd_record_put(record);

	record = record_test_record(test, pool, 2);
	KUNIT_EXPECT_TRUE(test, record_test_passes(record));
	record->header->operations[1].kind = cpu_to_le16(QBD_OPERATION_REPAIR);
	KUNIT_EXPECT_FALSE(test, record_test_passes(record));
	qbd_record_put(record);
	qbd_pool_destroy(pool);
}

static struct kunit_case record_test_cases[] = {
	KUNIT_CASE(pool_classes),
	KUNIT_CASE(buffers),
	KUNIT_CASE(seal_and_check),
	KUNIT_CASE(repairs),
	KUNIT_CASE(records_without_operations),
	{ }
};

static struct kunit_suite record_test_suite = {
	.name		= "record",
	.test_cases	= record_test_cases,
};

kunit_test_suite(record_test_suite);
