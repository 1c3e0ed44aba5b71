/* SPDX-License-Identifier: GPL-2.0 */
/* What pool.c and record.c share; nobody else includes it. */
#ifndef QBD_RECORD_POOL_H
#define QBD_RECORD_POOL_H

#include "record.h"

/**
 * struct qbd_pool - a device's log pages
 * @lock: leaf lock, interrupts off; protects all that follows but @kick, @context
 *	and @pages, which never change
 * @pages: how many there are in all
 * @free: the first so many of @free_pages are free (read without the lock too)
 * @free_pages: stack
 * @wanted: so many free pages would have satisfied the most modest request that
 *	was refused; UINT_MAX if none was
 * @kick: see qbd_pool_create()
 * @context: likewise
 */
struct qbd_pool {
	/* leaf lock, see above */
	spinlock_t lock;
	unsigned int pages;
	unsigned int free;
	struct page **free_pages;
	unsigned int wanted;
	void (*kick)(void *context);
	void *context;
};

/* All or nothing. */
bool qbd_pool_get_many(struct qbd_pool *pool, enum qbd_pool_class class,
		       struct page **pages, unsigned int count);
/* NULL entries are passed over. */
void qbd_pool_put_many(struct qbd_pool *pool, struct page **pages, unsigned int count);

#endif
