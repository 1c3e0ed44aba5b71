// SPDX-License-Identifier: GPL-2.0
/*
 * Records in memory: one log entry with its data and its place in the overlay.
 *
 * All memory of a record is pool pages: the header, one page for the book-keeping
 * and, for records of many operations, up to two more for their overlay nodes.
 */
#include <linux/minmax.h>
#include <linux/mm.h>

#include "pool.h"

/**
 * struct record_page - the first page of the book-keeping
 * @record: what others see
 * @node_pages: pages that hold nothing but nodes; NULL where there are none
 * @pages: the data pages; overlay nodes follow where they fit
 */
struct record_page {
	struct qbd_record record;
	struct page *node_pages[QBD_RECORD_NODE_PAGES];
	struct page *pages[];
};

static_assert(sizeof(struct record_page) + QBD_RECORD_DATA_BLOCKS_MAX *
	      sizeof(struct page *) <= PAGE_SIZE, "book-keeping of a record");

static struct record_page *record_page(const struct qbd_record *record)
{
	return container_of((struct qbd_record *)record, struct record_page, record);
}

/* Nodes lie behind the data page pointers, or in pages of their own. */
static bool nodes_inline(unsigned int operation_count, unsigned int data_blocks)
{
	return sizeof(struct record_page) + data_blocks * sizeof(struct page *) +
	       operation_count * sizeof(struct qbd_overlay_node) <= PAGE_SIZE;
}

unsigned int qbd_record_pages(unsigned int operation_count, unsigned int data_blocks)
{
	unsigned int pages = 2 + data_blocks;

	if (!nodes_inline(operation_count, data_blocks))
		pages += DIV_ROUND_UP(operation_count, QBD_RECORD_NODES_PER_PAGE);
	return pages;
}

static void place_nodes(struct record_page *page, unsigned int operation_count,
			unsigned int data_blocks)
{
	unsigned int i;

	if (nodes_inline(operation_count, data_blocks)) {
		page->record.nodes[0] =
			(struct qbd_overlay_node *)&page->pages[data_blocks];
		return;
	}
	for (i = 0; i < QBD_RECORD_NODE_PAGES; i++)
		if (page->node_pages[i])
			page->record.nodes[i] = page_address(page->node_pages[i]);
}

struct qbd_record *qbd_record_alloc(struct qbd_pool *pool, enum qbd_pool_class class,
				    unsigned int operation_count,
				    unsigned int data_blocks, bool with_pages)
{
	struct page *fixed[2 + QBD_RECORD_NODE_PAGES];
	unsigned int node_pages;
	struct record_page *page;
	struct qbd_record *record;

	if (WARN_ON_ONCE(operation_count > QBD_OPERATIONS_MAX ||
			 data_blocks > QBD_RECORD_DATA_BLOCKS_MAX))
		return NULL;
	node_pages = qbd_record_pages(operation_count, data_blocks) - 2 - data_blocks;
	if (with_pages && !qbd_pool_expect(pool, class, 2 + node_pages + data_blocks))
		return NULL;
	if (!qbd_pool_get_many(pool, class, fixed, 2 + node_pages))
		return NULL;

	page = page_address(fixed[0]);
	clear_page(page);
	memcpy(page->node_pages, &fixed[2], node_pages * sizeof(fixed[0]));
	record = &page->record;
	refcount_set(&record->references, 1);
	INIT_LIST_HEAD(&record->link);
	record->pool = pool;
	record->header_page = fixed[1];
	record->header = page_address(fixed[1]);
	clear_page(record->header);
	record->operation_count = operation_count;
	record->data_blocks = data_blocks;
	record->pages = page->pages;
	place_nodes(page, operation_count, data_blocks);
	if (!with_pages ||
	    qbd_pool_get_many(pool, class, record->pages, data_blocks))
		return record;
	qbd_pool_put_many(pool, fixed, 2 + node_pages);
	return NULL;
}

void qbd_record_put(struct qbd_record *record)
{
	struct page *fixed[2 + QBD_RECORD_NODE_PAGES];
	struct qbd_pool *pool;

	if (!record || !refcount_dec_and_test(&record->references))
		return;
	WARN_ON_ONCE(!list_empty(&record->link));
	pool = record->pool;
	qbd_pool_put_many(pool, record->pages, record->data_blocks);
	fixed[0] = virt_to_page(record);
	fixed[1] = record->header_page;
	memcpy(&fixed[2], record_page(record)->node_pages,
	       sizeof(record_page(record)->node_pages));
	qbd_pool_put_many(pool, fixed, ARRAY_SIZE(fixed));
}

/* Host-order copies of the header, and overlay nodes from its operations. */
void qbd_record_adopt(struct qbd_record *record)
{
	const struct qbd_record_header *header = record->header;
	unsigned int data_block = 0;
	unsigned int i;

	record->index = le64_to_cpu(header->shared.index);
	record->term = le64_to_cpu(header->shared.term);
	if (WARN_ON_ONCE(le16_to_cpu(header->shared.operation_count) !=
			 record->operation_count))
		return;
	for (i = 0; i < record->operation_count; i++) {
		const struct qbd_operation *operation = &header->operations[i];
		struct qbd_overlay_node *node = qbd_record_node(record, i);

		RB_CLEAR_NODE(&node->node);
		node->start = le64_to_cpu(operation->block);
		node->last = node->start + le32_to_cpu(operation->count) - 1;
		node->superseded_by = 0;
		node->record = record;
		node->operation = i;
		node->data_block = data_block;
		node->zero = !qbd_operation_has_data(operation);
		node->in_tree = false;
		if (!node->zero)
			data_block += le32_to_cpu(operation->count);
	}
}

/* CRC-32C of consecutive data blocks of a record. */
static u32 data_checksum(const struct qbd_record *record, unsigned int first,
			 unsigned int count)
{
	u32 crc = ~0u;
	unsigned int i;

	for (i = first; i < first + count; i++)
		crc = qbd_crc32c(crc, page_address(record->pages[i]), QBD_BLOCK_SIZE);
	return crc;
}

void qbd_record_seal(struct qbd_record *record, const u8 *uuid, u16 kind, u64 index,
		     u64 term, u32 chain_previous)
{
	struct qbd_record_shared *shared = &record->header->shared;

	shared->magic = cpu_to_le32(QBD_RECORD_MAGIC);
	shared->chain_previous = cpu_to_le32(chain_previous);
	shared->kind = cpu_to_le16(kind);
	shared->operation_count = cpu_to_le16(record->operation_count);
	shared->index = cpu_to_le64(index);
	shared->term = cpu_to_le64(term);
	shared->data_blocks = cpu_to_le32(record->data_blocks);
	shared->data_checksum = 0;
	if (!record->operation_count && record->data_blocks)
		shared->data_checksum =
			cpu_to_le32(data_checksum(record, 0, record->data_blocks));
	shared->chain = cpu_to_le32(qbd_record_chain(record->header, uuid));
	record->verified = true;
	qbd_record_adopt(record);
}

int qbd_record_data_check(const struct qbd_record *record)
{
	const struct qbd_record_header *header = record->header;
	unsigned int i, first = 0;

	if (!record->operation_count)
		return record->data_blocks &&
		       data_checksum(record, 0, record->data_blocks) !=
		       le32_to_cpu(header->shared.data_checksum) ? -EBADMSG : 0;
	for (i = 0; i < record->operation_count; i++) {
		const struct qbd_operation *operation = &header->operations[i];
		u32 count = le32_to_cpu(operation->count);

		if (!qbd_operation_has_data(operation))
			continue;
		if (WARN_ON_ONCE(count > record->data_blocks - first))
			return -EBADMSG;
		if (data_checksum(record, first, count) !=
		    le32_to_cpu(operation->data_checksum))
			return -EBADMSG;
		first += count;
	}
	return first == record->data_blocks ? 0 : -EBADMSG;
}
