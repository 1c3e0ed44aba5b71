// SPDX-License-Identifier: GPL-2.0
/*
 * Checksums before data: is an extent here what it is at the leader?
 *
 * A FILL with QBD_FILL_CHECK is answered with the digest of each extent that changed. The
 * follower, which applies nothing meanwhile, reads its own, and takes an extent that has the
 * same one as filled. At the first that differs the round ends; the next FILL asks for the
 * data of that extent alone.
 *
 * What is compared are whole extents, for nothing may be left out of one that was never
 * written as far as this member knows: what else is in it is made zero when the first piece
 * of it is written (see kmod/store/batch.c).
 *
 * The digest is BLAKE2s with 256 bits. Nobody finds two extents that have the same one, so
 * equality may rest on it; of a checksum as CRC-32C is one in four thousand million extents
 * that differ would be taken for equal.
 *
 * The disk is read as it is, past the extent table, which may have been lost.
 */
#include <crypto/blake2s.h>
#include <linux/slab.h>

#include "internal.h"

/**
 * struct fill_check - an extent to be compared
 * @list: of struct qbd_fill_target, in order
 * @replica: whose
 * @frame: as it came
 * @digest: of what was read so far
 * @done: blocks
 * @read: at the store
 * @data: what it reads into
 * @bvecs: likewise
 */
struct fill_check {
	struct list_head list;
	struct qbd_replica *replica;
	struct qbd_frame_extent frame;
	struct blake2s_state digest;
	u32 done;
	struct qbd_store_read read;
	struct qbd_buffer *data;
	struct bio_vec bvecs[QBD_CHECK_BLOCKS];
};

/**
 * qbd_digest_add() - blocks to the digest of an extent
 * @digest: begun by blake2s_init()
 * @data: blocks
 */
void qbd_digest_add(struct blake2s_state *digest, const struct qbd_buffer *data)
{
	unsigned int i;

	for (i = 0; i < data->blocks; i++)
		blake2s_update(digest, page_address(data->pages[i]), QBD_BLOCK_SIZE);
}

static void check_free(struct fill_check *check)
{
	list_del(&check->list);
	if (check->data)
		qbd_buffer_free(check->data);
	check->replica->fill.writes--;
	kfree(check);
}

static void read_done(struct qbd_store_read *read);

/* Return: false if there is no memory. */
static bool read_next(struct fill_check *check)
{
	u32 left = le32_to_cpu(check->frame.count) - check->done;
	u32 count = min(left, QBD_CHECK_BLOCKS), i;

	check->data = qbd_buffer_alloc(check->replica->pool, QBD_POOL_APPEND, count);
	if (!check->data)
		return false;
	for (i = 0; i < count; i++)
		bvec_set_page(&check->bvecs[i], check->data->pages[i], QBD_BLOCK_SIZE, 0);
	check->read.block = le64_to_cpu(check->frame.block) + check->done;
	check->read.count = count;
	check->read.bvecs = check->bvecs;
	check->read.bvec_count = count;
	check->read.as_it_is = true;
	check->read.done = read_done;
	qbd_store_read(check->replica->store, &check->read);
	return true;
}

/* All of it was read. */
static void compare(struct fill_check *check)
{
	struct qbd_replica *replica = check->replica;
	struct qbd_fill_target *fill = &replica->fill;
	struct qbd_frame_extent frame = check->frame;
	u8 digest[BLAKE2S_HASH_SIZE];
	bool same;

	static_assert(sizeof(digest) == sizeof(frame.digest));
	blake2s_final(&check->digest, digest);
	same = !memcmp(digest, frame.digest, sizeof(digest));
	check_free(check);
	if (fill->step != QBD_FILL_ASKING)
		return;
	if (!same) {
		qbd_fill_differs(replica);
		return;
	}
	/* An older leader does not know where the range ends. */
	fill->next_cursor = min(le64_to_cpu(frame.extent) + 1, qbd_fill_range_end(replica));
	fill->through_index = max(fill->through_index, le64_to_cpu(frame.index));
	fill->progress.same++;
	fill->writes++;
	qbd_store_fill_same(replica->store, le64_to_cpu(frame.block), le32_to_cpu(frame.count),
			    le64_to_cpu(frame.index));
}

static void read_done(struct qbd_store_read *read)
{
	struct fill_check *check = container_of(read, struct fill_check, read);
	struct qbd_replica *replica = check->replica;

	if (replica->phase != QBD_PHASE_RUNNING || replica->fill.step != QBD_FILL_ASKING) {
		check_free(check);
		return;
	}
	if (read->error) {
		/* What cannot be read is written. */
		check_free(check);
		qbd_fill_differs(replica);
		return;
	}
	qbd_digest_add(&check->digest, check->data);
	check->done += check->data->blocks;
	qbd_buffer_free(check->data);
	check->data = NULL;
	if (check->done == le32_to_cpu(check->frame.count))
		compare(check);
	/* The pass goes on with the next part, or the next extent. */
	qbd_replica_kick(replica);
}

/* Of an extent that follows those before it. Return: false if there is no memory. */
bool qbd_check_begin(struct qbd_replica *replica, const struct qbd_frame_extent *frame)
{
	struct fill_check *check = kzalloc(sizeof(*check), GFP_NOWAIT | __GFP_NOWARN);

	if (!check)
		return false;
	check->replica = replica;
	check->frame = *frame;
	blake2s_init(&check->digest, BLAKE2S_HASH_SIZE);
	list_add_tail(&check->list, &replica->fill.checks);
	replica->fill.writes++;
	return true;
}

/* The replica ends. What the store still reads it gives back when it is done. */
void qbd_check_drop(struct qbd_replica *replica)
{
	struct fill_check *check, *next;

	list_for_each_entry_safe(check, next, &replica->fill.checks, list)
		if (!check->data)
			check_free(check);
}

/* The first one goes on; those of a round that is over go. Return: false: no memory. */
bool qbd_check_go_on(struct qbd_replica *replica)
{
	struct fill_check *check, *next;

	list_for_each_entry_safe(check, next, &replica->fill.checks, list) {
		if (replica->fill.step == QBD_FILL_ASKING)
			return check->data || read_next(check);
		if (!check->data)
			check_free(check);
	}
	return true;
}
