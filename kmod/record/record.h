/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Log pages and records in memory.
 *
 * A device owns a fixed pool of pages, allocated when it comes up: nothing in
 * the path of a write allocates memory that could wait for that very write's
 * completion. Data is copied into pool pages once (or received into them) and
 * is immutable from then on. From these pages come the local log write, the
 * sends to every peer, reads of what is not applied yet, and the apply.
 *
 * pool.c APIs: qbd_pool_*, qbd_buffer_*; record.c APIs: qbd_record_*; header.c
 * APIs: qbd_record_header_check() (header.h: compiles in userspace too).
 * The pool's spinlock is a leaf lock, taken with interrupts off; everything here
 * may be called from any context unless it says otherwise and never sleeps.
 */
#ifndef QBD_RECORD_RECORD_H
#define QBD_RECORD_RECORD_H

#include <linux/interval_tree_generic.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "../format/record.h"
#include "header.h"

struct qbd_pool;

/*
 * Who may take the last pages: each class leaves so many steps of the pool free, and a
 * step is an eighth of it, or what the largest record takes if that is more. So
 * nobody who is further up waits for one who is further down:
 *
 *   READ      waits for a slow reader of the answer; so it leaves room for writes
 *   WRITE     waits to be proposed; the record that does it needs pages of its own,
 *             and may stand behind a write of this host
 *   PROPOSE   waits for a majority; which may have to be sent, or to send, older
 *             records and extents first
 *   APPEND    waits for the disk; if that hangs another host's disk does not, and
 *             this one's users go on there
 *   FORWARD   waits for a connection only
 */
enum qbd_pool_class {
	QBD_POOL_FORWARD,	/* own requests, on their way to the leader and back */
	QBD_POOL_APPEND,	/* records and extents, received or read to be sent */
	QBD_POOL_PROPOSE,	/* a leader's new records */
	QBD_POOL_WRITE,		/* data of other members' writes */
	QBD_POOL_READ,		/* data of other members' reads */
};

/**
 * qbd_pool_create() - allocate a device's log pages
 * @pages: 4 KiB pages, at least QBD_POOL_PAGES_MIN where more classes than FORWARD
 *	are asked for
 * @kick: called, in any context with interrupts off, when pages came back after
 *	an allocation had failed; must only queue work
 * @context: for @kick
 *
 * Context: process, may sleep. Return: the pool or ERR_PTR(-ENOMEM).
 */
struct qbd_pool *qbd_pool_create(unsigned int pages, void (*kick)(void *context),
				 void *context);
/* Every page must be back (warns once and leaks what is not). */
void qbd_pool_destroy(struct qbd_pool *pool);

#define QBD_POOL_PAGES_MIN	2048u	/* 8 MiB */
/* Blocks of the largest buffer. */
#define QBD_BUFFER_BLOCKS_MAX	480u

unsigned int qbd_pool_pages(const struct qbd_pool *pool);
unsigned int qbd_pool_pages_free(const struct qbd_pool *pool);
/*
 * Would so many pages be given now? If not, the kick follows once they would. Ask
 * this first where pages are taken in several steps: giving the first back because
 * the last was refused would bring the kick at once, and the same again.
 */
bool qbd_pool_expect(struct qbd_pool *pool, enum qbd_pool_class class,
		     unsigned int count);
struct page *qbd_pool_get(struct qbd_pool *pool, enum qbd_pool_class class);
void qbd_pool_put(struct qbd_pool *pool, struct page *page);

/**
 * struct qbd_buffer - some pool pages
 * @pool: whose
 * @class: taken as
 * @blocks: used entries of @pages
 * @pages: one 4 KiB page per block; an entry is NULL once its page was moved
 */
struct qbd_buffer {
	struct qbd_pool *pool;
	enum qbd_pool_class class;
	unsigned int blocks;
	struct page **pages;
};

/* All or nothing. Return: the buffer or NULL (the pool's kick follows). */
struct qbd_buffer *qbd_buffer_alloc(struct qbd_pool *pool, enum qbd_pool_class class,
				    unsigned int blocks);
void qbd_buffer_free(struct qbd_buffer *buffer);

/**
 * struct qbd_overlay_node - one committed operation that is not applied yet
 * @node: in the store's interval tree, by device block
 * @start: first device block
 * @last: last device block
 * @subtree_last: of the interval tree
 * @superseded_by: index of a committed record with an operation that covers this
 *	one whole, 0 if there is none: it need not be applied once that record is
 *	durable here
 * @record: the record it belongs to
 * @operation: its number in the record
 * @data_block: index into @record's pages of its first data block
 * @zero: it has no data, its blocks read as zero
 * @in_tree: linked
 */
struct qbd_overlay_node {
	struct rb_node node;
	u64 start;
	u64 last;
	u64 subtree_last;
	u64 superseded_by;
	struct qbd_record *record;
	u16 operation;
	u16 data_block;
	bool zero;
	bool in_tree;
};

/* A record's nodes lie in up to so many pages; see qbd_record_node(). */
#define QBD_RECORD_NODES_PER_PAGE \
	((unsigned int)(QBD_BLOCK_SIZE / sizeof(struct qbd_overlay_node)))
#define QBD_RECORD_NODE_PAGES	2

static_assert(QBD_RECORD_NODE_PAGES * QBD_RECORD_NODES_PER_PAGE >= QBD_OPERATIONS_MAX,
	      "nodes of a record");

/**
 * struct qbd_record - one log entry with its data
 * @references: holders: replica, store, each send under way
 * @pool: where the pages came from
 * @index: log index, host order, as in @header
 * @term: likewise
 * @header: the block as it lies on disk; its local part is the store's
 * @header_page: its page
 * @data_blocks: number of data pages
 * @operation_count: number of operations and of their nodes
 * @pages: the data
 * @nodes: the overlay nodes; use qbd_record_node()
 * @verified: data checksums were computed or checked in this memory
 * @link: list of the store, replica context only, as all that follows
 * @position: ring position
 * @submitted_ns: when the log write was submitted
 * @log_writes: bios of the log write under way
 * @error: of the log write
 * @submitted: the log write was submitted, or the record was read from the ring
 * @durable: the log write is done
 * @removed: truncated while it was being written
 */
struct qbd_record {
	refcount_t references;
	struct qbd_pool *pool;
	u64 index;
	u64 term;
	struct qbd_record_header *header;
	struct page *header_page;
	unsigned int data_blocks;
	unsigned int operation_count;
	struct page **pages;
	struct qbd_overlay_node *nodes[QBD_RECORD_NODE_PAGES];
	bool verified;

	/* the store's, replica context only */
	struct list_head link;
	u64 position;
	u64 submitted_ns;
	unsigned int log_writes;
	int error;
	bool submitted;
	bool durable;
	bool removed;
};

static inline struct qbd_overlay_node *
qbd_record_node(const struct qbd_record *record, unsigned int operation)
{
	return &record->nodes[operation / QBD_RECORD_NODES_PER_PAGE]
			     [operation % QBD_RECORD_NODES_PER_PAGE];
}

/* Pool pages that such a record takes, book-keeping included. */
unsigned int qbd_record_pages(unsigned int operation_count, unsigned int data_blocks);

/**
 * qbd_record_alloc() - a record with room for so many operations and blocks
 * @pool: pages come from here, book-keeping included
 * @class: who asks
 * @operation_count: 0..QBD_OPERATIONS_MAX
 * @data_blocks: 0..QBD_RECORD_DATA_BLOCKS_MAX
 * @with_pages: take data pages too; else @pages starts as NULLs to be filled
 *	with pages that were moved out of buffers or taken one by one
 *
 * The header page is zeroed. Return: the record with one reference, or NULL
 * (nothing taken; the pool's kick follows).
 */
struct qbd_record *qbd_record_alloc(struct qbd_pool *pool, enum qbd_pool_class class,
				    unsigned int operation_count,
				    unsigned int data_blocks, bool with_pages);
static inline struct qbd_record *qbd_record_get(struct qbd_record *record)
{
	refcount_inc(&record->references);
	return record;
}

void qbd_record_put(struct qbd_record *record);

/**
 * qbd_record_seal() - write the shared part and the chain
 * @record: operations, with data checksums, are in the header already
 * @uuid: device
 * @kind: enum qbd_record_kind
 * @index: log index
 * @term: of the leader that appends it
 * @chain_previous: chain of the entry before it
 *
 * Fills header->shared (magic, kind, counts, index, term, chain...), host-order
 * copies and the overlay nodes.
 */
void qbd_record_seal(struct qbd_record *record, const u8 *uuid, u16 kind, u64 index,
		     u64 term, u32 chain_previous);

/* Host-order copies and overlay nodes from a checked header in record->header. */
void qbd_record_adopt(struct qbd_record *record);
/* Check the data pages against the header's checksums. Return: 0 or -EBADMSG. */
int qbd_record_data_check(const struct qbd_record *record);

/* Bytes that the record takes in the log. */
static inline u32 qbd_record_bytes(const struct qbd_record *record)
{
	return (1 + record->data_blocks) << QBD_BLOCK_SHIFT;
}

static inline u32 qbd_record_chain_of(const struct qbd_record *record)
{
	return le32_to_cpu(record->header->shared.chain);
}

#endif
