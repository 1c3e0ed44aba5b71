// SPDX-License-Identifier: GPL-2.0
/*
 * The fixed pool of a device's log pages, and buffers of them.
 *
 * Classes are watermarks on what is left free, not quotas: whoever may take the
 * last pages (records from the leader) can always take them, whoever else holds
 * how many.
 */
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "pool.h"

static_assert(PAGE_SIZE == QBD_BLOCK_SIZE, "one page is one block");
static_assert(sizeof(struct qbd_buffer) + QBD_BUFFER_BLOCKS_MAX * sizeof(struct page *) <=
	      PAGE_SIZE, "a buffer's book-keeping is one page");

struct qbd_pool *qbd_pool_create(unsigned int pages, void (*kick)(void *context),
				 void *context)
{
	struct qbd_pool *pool;

	if (WARN_ON_ONCE(!pages))
		return ERR_PTR(-EINVAL);
	pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	if (!pool)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&pool->lock);
	pool->kick = kick;
	pool->context = context;
	pool->wanted = UINT_MAX;
	pool->free_pages = kvcalloc(pages, sizeof(*pool->free_pages), GFP_KERNEL);
	if (!pool->free_pages)
		goto err_pool;
	while (pool->pages < pages) {
		/*
		 * Of a single page the kernel says no only if it is asked to: it kills
		 * processes instead, and a setting is no reason for that.
		 */
		struct page *page = alloc_page(GFP_KERNEL | __GFP_RETRY_MAYFAIL |
					       __GFP_NOWARN);

		if (!page)
			goto err_pages;
		pool->free_pages[pool->pages++] = page;
	}
	pool->free = pool->pages;
	return pool;

err_pages:
	while (pool->pages)
		__free_page(pool->free_pages[--pool->pages]);
	kvfree(pool->free_pages);
err_pool:
	kfree(pool);
	return ERR_PTR(-ENOMEM);
}

void qbd_pool_destroy(struct qbd_pool *pool)
{
	if (WARN_ONCE(pool->free != pool->pages, "qbd: %u log pages are not back\n",
		      pool->pages - pool->free))
		return;		/* somebody may still use them, and the pool */
	while (pool->pages)
		__free_page(pool->free_pages[--pool->pages]);
	kvfree(pool->free_pages);
	kfree(pool);
}

unsigned int qbd_pool_pages(const struct qbd_pool *pool)
{
	return pool->pages;
}

unsigned int qbd_pool_pages_free(const struct qbd_pool *pool)
{
	return READ_ONCE(pool->free);
}

/*
 * What the largest record takes, or the largest buffer of data with its book-keeping;
 * at least, for pages of a record are taken in more than one step.
 */
#define POOL_STEP_MIN	(QBD_RECORD_DATA_BLOCKS_MAX + QBD_RECORD_NODE_PAGES + 6)

static_assert(QBD_POOL_PAGES_MIN / 4 * 3 > (QBD_POOL_READ + 1) * POOL_STEP_MIN,
	      "in the smallest pool each class gets something, see qbd_log_trim()");

/* What @class has to leave for the others. */
static unsigned int class_reserve(const struct qbd_pool *pool, enum qbd_pool_class class)
{
	return class * max(pool->pages / 8, POOL_STEP_MIN);
}

bool qbd_pool_get_many(struct qbd_pool *pool, enum qbd_pool_class class,
		       struct page **pages, unsigned int count)
{
	unsigned int needed = count + class_reserve(pool, class);
	unsigned long flags;
	unsigned int i;
	bool got;

	spin_lock_irqsave(&pool->lock, flags);
	got = pool->free >= needed;
	if (got) {
		for (i = 0; i < count; i++)
			pages[i] = pool->free_pages[pool->free - 1 - i];
		WRITE_ONCE(pool->free, pool->free - count);
	} else {
		pool->wanted = min(pool->wanted, needed);
	}
	spin_unlock_irqrestore(&pool->lock, flags);
	return got;
}

void qbd_pool_put_many(struct qbd_pool *pool, struct page **pages, unsigned int count)
{
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&pool->lock, flags);
	for (i = 0; i < count; i++) {
		if (!pages[i])
			continue;
		if (WARN_ON_ONCE(pool->free >= pool->pages))
			break;
		pool->free_pages[pool->free] = pages[i];
		WRITE_ONCE(pool->free, pool->free + 1);
	}
	/*
	 * Under the lock: the last page of all may be this one, and then the
	 * pool must not go away before its kick is over.
	 */
	if (pool->free >= pool->wanted) {
		pool->wanted = UINT_MAX;
		if (pool->kick)
			pool->kick(pool->context);
	}
	spin_unlock_irqrestore(&pool->lock, flags);
}

bool qbd_pool_expect(struct qbd_pool *pool, enum qbd_pool_class class,
		     unsigned int count)
{
	unsigned int needed = count + class_reserve(pool, class);
	unsigned long flags;
	bool there;

	spin_lock_irqsave(&pool->lock, flags);
	there = pool->free >= needed;
	if (!there)
		pool->wanted = min(pool->wanted, needed);
	spin_unlock_irqrestore(&pool->lock, flags);
	return there;
}

struct page *qbd_pool_get(struct qbd_pool *pool, enum qbd_pool_class class)
{
	struct page *page;

	return qbd_pool_get_many(pool, class, &page, 1) ? page : NULL;
}

void qbd_pool_put(struct qbd_pool *pool, struct page *page)
{
	qbd_pool_put_many(pool, &page, 1);
}

struct qbd_buffer *qbd_buffer_alloc(struct qbd_pool *pool, enum qbd_pool_class class,
				    unsigned int blocks)
{
	struct qbd_buffer *buffer;
	struct page *page;

	if (WARN_ON_ONCE(blocks > QBD_BUFFER_BLOCKS_MAX))
		return NULL;
	if (!qbd_pool_expect(pool, class, 1 + blocks))
		return NULL;
	page = qbd_pool_get(pool, class);
	if (!page)
		return NULL;
	buffer = page_address(page);
	buffer->pool = pool;
	buffer->class = class;
	buffer->blocks = blocks;
	buffer->pages = (struct page **)(buffer + 1);
	if (qbd_pool_get_many(pool, class, buffer->pages, blocks))
		return buffer;
	qbd_pool_put(pool, page);
	return NULL;
}

void qbd_buffer_free(struct qbd_buffer *buffer)
{
	struct qbd_pool *pool;

	if (!buffer)
		return;
	pool = buffer->pool;
	qbd_pool_put_many(pool, buffer->pages, buffer->blocks);
	qbd_pool_put(pool, virt_to_page(buffer));
}
