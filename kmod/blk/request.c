// SPDX-License-Identifier: GPL-2.0
/* What a block request asks for; copying its data to and from log pages. */
#include <linux/blk-mq.h>
#include <linux/bvec.h>
#include <linux/highmem.h>

#include "../format/frame.h"
#include "blk_internal.h"

static_assert(PAGE_SIZE == QBD_BLOCK_SIZE, "log pages hold one block");

static struct request *qbd_request_rq(struct qbd_request *request)
{
	return blk_mq_rq_from_pdu(request);
}

/* Return: enum qbd_request_kind, or 0 for what the device does not offer. */
static u32 qbd_request_kind_of(struct request *rq)
{
	switch (req_op(rq)) {
	case REQ_OP_READ:
		return QBD_REQUEST_READ;
	case REQ_OP_WRITE:
		return QBD_REQUEST_WRITE;
	case REQ_OP_DISCARD:
	case REQ_OP_WRITE_ZEROES:
		/* A discarded block has to read the same on every member. */
		return QBD_REQUEST_ZERO;
	default:
		return 0;
	}
}

/**
 * qbd_request_prepare() - fill in what @rq asks for
 * @request: the driver's part of @rq
 * @rq: not started yet
 *
 * Return: BLK_STS_OK, or what to fail @rq with. The limits make the block layer
 * split and align everything; the checks here are for callers that go round it.
 */
blk_status_t qbd_request_prepare(struct qbd_request *request, struct request *rq)
{
	sector_t sector = blk_rq_pos(rq);
	unsigned int bytes = blk_rq_bytes(rq);
	u32 kind = qbd_request_kind_of(rq);
	u32 blocks_max = kind == QBD_REQUEST_ZERO ? QBD_ZERO_BLOCKS_MAX :
						    QBD_RECORD_DATA_BLOCKS_MAX;

	if (!kind)
		return BLK_STS_NOTSUPP;
	if (!bytes || !IS_ALIGNED(sector, QBD_SECTORS_PER_BLOCK) ||
	    !IS_ALIGNED(bytes, QBD_BLOCK_SIZE) ||
	    bytes >> QBD_BLOCK_SHIFT > blocks_max)
		return BLK_STS_NOTSUPP;

	memset(request, 0, sizeof(*request));
	INIT_LIST_HEAD(&request->list);
	request->kind = kind;
	request->block = sector / QBD_SECTORS_PER_BLOCK;
	request->count = bytes >> QBD_BLOCK_SHIFT;
	return BLK_STS_OK;
}

void qbd_request_complete(struct qbd_request *request, blk_status_t status)
{
	/*
	 * Ended here and not through blk_mq_complete_request(): that hands the
	 * request to another CPU or to the softirq first, a hop that each write
	 * would pay for.
	 */
	blk_mq_end_request(qbd_request_rq(request), status);
}

/* One contiguous piece of a request and its place in the log pages. */
static void qbd_copy_piece(struct bio_vec *bvec, unsigned int bvec_offset,
			   struct page *page, unsigned int page_offset,
			   unsigned int length, bool out, u32 *crc)
{
	char *request_data = bvec_kmap_local(bvec);
	char *page_data = kmap_local_page(page);

	if (out) {
		memcpy(page_data + page_offset, request_data + bvec_offset, length);
		/*
		 * Of the copy, never of the source: whoever maps the page may
		 * change it between the copy and the sum.
		 */
		*crc = qbd_crc32c(*crc, page_data + page_offset, length);
	} else {
		memcpy(request_data + bvec_offset, page_data + page_offset, length);
	}
	kunmap_local(page_data);
	kunmap_local(request_data);
}

/* The pages of a request need not begin at page boundaries: both sides advance. */
static u32 qbd_request_copy(struct qbd_request *request, struct page **pages,
			    unsigned int count, bool out)
{
	struct request *rq = qbd_request_rq(request);
	struct req_iterator iterator;
	struct bio_vec bvec;
	size_t done = 0;
	u32 crc = ~0u;

	if (WARN_ON_ONCE(request->kind == QBD_REQUEST_ZERO ||
			 count < request->count))
		return crc;
	rq_for_each_segment(bvec, rq, iterator) {
		unsigned int offset = 0;

		while (offset < bvec.bv_len) {
			unsigned int page_offset = offset_in_page(done);
			unsigned int length = min_t(unsigned int,
						    bvec.bv_len - offset,
						    PAGE_SIZE - page_offset);

			qbd_copy_piece(&bvec, offset, pages[done >> PAGE_SHIFT],
				       page_offset, length, out, &crc);
			offset += length;
			done += length;
		}
		if (!out)
			flush_dcache_page(bvec.bv_page);
	}
	return crc;
}

u32 qbd_request_copy_out(struct qbd_request *request, struct page **pages,
			 unsigned int count)
{
	return qbd_request_copy(request, pages, count, true);
}

void qbd_request_copy_in(struct qbd_request *request, struct page **pages,
			 unsigned int count)
{
	qbd_request_copy(request, pages, count, false);
}
