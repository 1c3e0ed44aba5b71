// SPDX-License-Identifier: GPL-2.0
/*
 * What this member holds: sums of blocks as of an entry of the log, for whoever verifies.
 *
 *   step      waits for                                   then
 *   WAITING   the entry committed here (and applied, if   READING, or ANSWERING with why
 *             that was asked for); the device as large    not
 *             as that; of the leader, its turn
 *   READING   the disk                                    ANSWERING; when it failed: again,
 *                                                         block by block
 *   ANSWERING room in the connection                      none
 *
 * No entry of its own in the log is needed for it, and nobody is held up. The blocks are
 * read as any read does, at whatever is committed by then; afterwards the entries of the
 * log since the one that was named say which blocks may be newer (qbd_store_touched()), and
 * those have no sum. Had the entry been applied alone, its neighbours held back until the
 * disk was read, then apply could not skip what is overwritten, and a disk that hangs would
 * keep the log from being reclaimed.
 *
 * Who is not whole says so, and is not compared: its disk is new and has not got all that it
 * is to have, or it lost something that it had, be it that it was rolled back to an older
 * image of itself (disks.c), or extents are being filled. What it lacks is no difference,
 * and it gets that from the leader anyway.
 *
 * The leader knows what requests there are and how long they take: its turn is when members
 * that catch up would have theirs (rate.h), who go first where there is a limit. All members
 * read at the same time, and the next question comes when all have answered: so the pace of
 * the leader's answers is that of all disks. It also says how much to ask for next. But it
 * does not wait for long: a member that catches up takes all that there is.
 */
#include <linux/slab.h>

#include "internal.h"

/* For its turn. */
#define QBD_SUMS_TURN_NS	NSEC_PER_SEC
/* One question costs as much as so many blocks. */
#define QBD_SUMS_COUNT_MIN	16u
/* Where nothing was ever written it costs a disk nothing; but memory and network. */
#define QBD_SUMS_UNWRITTEN	8u

enum sums_step {
	SUMS_WAITING,
	SUMS_READING,
	SUMS_ANSWERING,
};

/**
 * struct qbd_sums - one VERIFY being answered
 * @list: of struct qbd_replica
 * @replica: whose
 * @peer: who asked; 0: this member
 * @step: see above
 * @orphan: nobody waits for it any more, but the disk still reads into it
 * @request: of the VERIFY
 * @index: likewise
 * @block: likewise
 * @count: likewise
 * @flags: likewise
 * @turn_by: of the leader: it is read then at the latest
 * @single: the disk failed: block by block
 * @next: the block of those that is read now
 * @unreadable: those that it failed
 * @status: ANSWERING
 * @answer: its first page is for the sums, those of the contents follow if they are asked for
 * @contents: what is read; of @answer, or of @spare
 * @spare: else
 * @bvecs: a page of them
 * @read: at the store
 */
struct qbd_sums {
	struct list_head list;
	struct qbd_replica *replica;
	u32 peer;
	enum sums_step step;
	bool orphan;
	u64 request;
	u64 index;
	u64 block;
	u32 count;
	u32 flags;
	u64 turn_by;
	bool single;
	u32 next;
	u64 unreadable[QBD_VERIFY_WORDS];
	enum qbd_verify_status status;
	struct qbd_buffer *answer;
	struct page **contents;
	struct qbd_buffer *spare;
	struct bio_vec *bvecs;
	struct qbd_store_read read;
};

static void sums_free(struct qbd_sums *sums)
{
	list_del(&sums->list);
	qbd_buffer_free(sums->answer);
	qbd_buffer_free(sums->spare);
	if (sums->bvecs)
		mempool_free(virt_to_page(sums->bvecs), sums->replica->bvec_pages);
	kfree(sums);
}

/**
 * qbd_sums_bytes() - so much work it is to read some blocks
 * @replica: replica
 * @block: first device block
 * @count: blocks
 */
u64 qbd_sums_bytes(const struct qbd_replica *replica, u64 block, u32 count)
{
	u32 shift = qbd_store_identity(replica->store)->extent_shift - QBD_BLOCK_SHIFT;
	u64 written = qbd_store_changed_extent(replica->store, block >> shift, U64_MAX, 0);
	u64 bytes = (u64)count << QBD_BLOCK_SHIFT;

	/* Who keeps no data does not know what was written. */
	if (!qbd_replica_keeps_data(replica))
		return bytes;
	return written <= (block + count - 1) >> shift ? bytes : bytes / QBD_SUMS_UNWRITTEN;
}

/* Of the leader: how much is to be asked for next. */
static u32 next_count(const struct qbd_replica *replica)
{
	if (replica->told_role != QBD_ROLE_LEADER)
		return 0;
	return clamp(qbd_rate_piece(&replica->rate) >> QBD_BLOCK_SHIFT, QBD_SUMS_COUNT_MIN,
		     QBD_VERIFY_BLOCKS_MAX);
}

static bool sums_send(struct qbd_replica *replica, u32 peer, u64 request, u32 count,
		      enum qbd_verify_status status, struct qbd_buffer *answer)
{
	struct qbd_frame_verified verified = {
		.request = cpu_to_le64(request),
		.status = cpu_to_le32(status),
		.count = cpu_to_le32(count),
		.next_count = cpu_to_le32(next_count(replica)),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_VERIFIED,
		.fixed = &verified,
		.fixed_bytes = sizeof(verified),
		.buffer = answer,
		.data_blocks = answer ? answer->blocks : 0,
	};
	int error;

	if (!peer) {
		qbd_verify_answered(replica, 0, &verified, answer);
		return true;
	}
	error = qbd_net_send(replica->network, peer, &frame);
	if (error == -EAGAIN || error == -ENOMEM)
		return false;		/* the network kicks when there is room */
	if (!error)
		qbd_net_push(replica->network, peer);
	else
		qbd_buffer_free(answer);
	return true;
}

/* Give the answer away; if that cannot be now, it is tried again in the next pass. */
static void sums_answer(struct qbd_sums *sums)
{
	sums->step = SUMS_ANSWERING;
	if (!sums_send(sums->replica, sums->peer, sums->request, sums->count, sums->status,
		       sums->answer))
		return;
	sums->answer = NULL;
	sums_free(sums);
}

static void sums_refuse(struct qbd_sums *sums, enum qbd_verify_status status)
{
	sums->status = status;
	qbd_buffer_free(sums->answer);
	sums->answer = NULL;
	sums_answer(sums);
}

static void sums_compute(struct qbd_sums *sums)
{
	struct qbd_store *store = sums->replica->store;
	struct qbd_verify_sums *result = page_address(sums->answer->pages[0]);
	u64 touched[QBD_VERIFY_WORDS] = { };
	u32 i;

	memset(result, 0, sizeof(*result));
	if (!qbd_store_touched(store, sums->index, qbd_store_data_index(store),
			       sums->block, sums->count, touched))
		memset(touched, 0xff, sizeof(touched));
	for (i = 0; i < QBD_VERIFY_WORDS; i++) {
		result->touched[i] = cpu_to_le64(touched[i]);
		result->unreadable[i] = cpu_to_le64(sums->unreadable[i]);
	}
	for (i = 0; i < sums->count; i++) {
		u32 sum = qbd_crc32c(~0u, page_address(sums->contents[i]), QBD_BLOCK_SIZE);

		if (!qbd_compare_bit(sums->unreadable, i))
			result->sums[i] = cpu_to_le32(sum);
	}
}

static void sums_were_read(struct qbd_store_read *read);

static void sums_read(struct qbd_sums *sums)
{
	sums->read.block = sums->block + sums->next;
	sums->read.count = sums->single ? 1 : sums->count;
	sums->read.bvecs = sums->bvecs + sums->next;
	sums->read.bvec_count = sums->read.count;
	sums->read.done = sums_were_read;
	sums->step = SUMS_READING;
	qbd_store_read(sums->replica->store, &sums->read);
}

/* Why it cannot be compared; OK: it can. */
static enum qbd_verify_status fitness(const struct qbd_replica *replica)
{
	/* The replica may be told of that at the end of this pass only. */
	if (replica->store_failed || qbd_store_failed(replica->store))
		return QBD_VERIFY_FAILED;
	return qbd_replica_filling(replica) || replica->is_new || replica->damaged ?
	       QBD_VERIFY_FILLING : QBD_VERIFY_OK;
}

static void sums_done(struct qbd_sums *sums)
{
	struct qbd_replica *replica = sums->replica;

	/* What was filled over it meanwhile is in no entry of the log. */
	if (fitness(replica)) {
		sums_refuse(sums, fitness(replica));
		return;
	}
	sums_compute(sums);
	qbd_buffer_free(sums->spare);
	sums->spare = NULL;
	sums->status = QBD_VERIFY_OK;
	sums_answer(sums);
}

/* Which of them is it? One block in a pass, from here on. */
static void block_was_read(struct qbd_sums *sums)
{
	struct qbd_replica *replica = sums->replica;

	if (sums->read.error) {
		qbd_compare_set(sums->unreadable, sums->next);
		qbd_verify_mend(replica, sums->block + sums->next, 1);
	}
	if (++sums->next == sums->count) {
		sums_done(sums);
		return;
	}
	sums->step = SUMS_WAITING;
	qbd_replica_kick(replica);
}

static void sums_were_read(struct qbd_store_read *read)
{
	struct qbd_sums *sums = container_of(read, struct qbd_sums, read);

	if (sums->orphan || sums->replica->phase != QBD_PHASE_RUNNING) {
		sums_free(sums);
	} else if (sums->single) {
		block_was_read(sums);
	} else if (read->error) {
		sums->single = true;
		sums->step = SUMS_WAITING;
		qbd_replica_kick(sums->replica);
	} else {
		sums_done(sums);
	}
}

/* Pages of the lowest class: who uses the device comes first. */
static bool sums_get_memory(struct qbd_sums *sums)
{
	struct qbd_replica *replica = sums->replica;
	bool data = sums->flags & QBD_VERIFY_DATA;
	struct page *page;
	u32 i;

	page = mempool_alloc(replica->bvec_pages, GFP_NOWAIT | __GFP_NOWARN);
	if (!page)
		return false;
	sums->bvecs = page_address(page);
	sums->answer = qbd_buffer_alloc(replica->pool, QBD_POOL_READ,
					1 + (data ? sums->count : 0));
	if (!sums->answer)
		return false;
	if (!data)
		sums->spare = qbd_buffer_alloc(replica->pool, QBD_POOL_READ, sums->count);
	if (!data && !sums->spare)
		return false;
	sums->contents = data ? sums->answer->pages + 1 : sums->spare->pages;
	for (i = 0; i < sums->count; i++)
		bvec_set_page(&sums->bvecs[i], sums->contents[i], QBD_BLOCK_SIZE, 0);
	return true;
}

/* May the leader read it now? Else there is a pass when it may. */
static bool has_turn(struct qbd_sums *sums)
{
	struct qbd_replica *replica = sums->replica;
	u64 when, bytes;

	/* What is to be repaired is little, and waits for it with all that was compared. */
	if (replica->told_role != QBD_ROLE_LEADER || sums->flags & QBD_VERIFY_DATA)
		return true;
	if (!sums->turn_by)
		sums->turn_by = replica->now + QBD_SUMS_TURN_NS;
	when = qbd_rate_next(&replica->rate, replica->now, qbd_io_under_way(replica), false);
	/*
	 * Whoever catches up goes first where there is a limit, and does not wait for what
	 * was read without a turn:
	 *
	 *	Five hosts verified at 512 KiB a second. Each was answered once a second, for
	 *	which that much was not left, and of who had just joined nobody was sent a
	 *	record until they had come to their end.
	 */
	if (qbd_rate_is_limited(&replica->rate) && qbd_catch_up_under_way(replica))
		when = sums->turn_by;
	when = min(when, sums->turn_by);
	if (when > replica->now) {
		qbd_replica_later(replica, when);
		return false;
	}
	bytes = replica->now < sums->turn_by ?
		qbd_sums_bytes(replica, sums->block, sums->count) : 0;
	qbd_rate_sent(&replica->rate, replica->now, bytes);
	return true;
}

/* The device may have grown as of that entry, and here when the entry is applied. */
static bool is_there(const struct qbd_sums *sums)
{
	return sums->block + sums->count <=
	       qbd_store_identity(sums->replica->store)->device_blocks;
}

static void sums_go_on(struct qbd_sums *sums)
{
	struct qbd_replica *replica = sums->replica;

	if (sums->step == SUMS_ANSWERING) {
		sums_answer(sums);
		return;
	}
	if (fitness(replica)) {
		sums_refuse(sums, fitness(replica));
		return;
	}
	if (sums->single ||
	    (qbd_store_commit_index(replica->store) >= sums->index && is_there(sums) &&
	     (!(sums->flags & QBD_VERIFY_APPLIED) ||
	      qbd_store_applied_index(replica->store) >= sums->index) && has_turn(sums)))
		sums_read(sums);
}

/* Those that wait for something, each pass. */
void qbd_sums_go_on(struct qbd_replica *replica)
{
	struct qbd_sums *sums, *next;

	list_for_each_entry_safe(sums, next, &replica->sums, list)
		if (sums->step != SUMS_READING)
			sums_go_on(sums);
}

/*
 * Somebody asks anew, or is gone. Return: false if the disk still reads for an earlier
 * question of the same: there is one read for each that asks, however long a disk takes.
 */
bool qbd_sums_forget(struct qbd_replica *replica, u32 peer)
{
	struct qbd_sums *sums, *next;
	bool none = true;

	list_for_each_entry_safe(sums, next, &replica->sums, list) {
		if (sums->peer != peer)
			continue;
		if (sums->step == SUMS_READING) {
			sums->orphan = true;
			none = false;
		} else {
			sums_free(sums);
		}
	}
	return none;
}

/* The replica ends. What the disk reads for is freed when it has been read. */
void qbd_sums_drop(struct qbd_replica *replica)
{
	struct qbd_sums *sums, *next;

	list_for_each_entry_safe(sums, next, &replica->sums, list) {
		if (sums->step == SUMS_READING)
			sums->orphan = true;
		else
			sums_free(sums);
	}
}

/**
 * qbd_sums_asked() - another member, or this one, asks what is there
 * @replica: replica
 * @peer: who; 0: this one
 * @verify: what; its blocks lie within the device
 */
void qbd_sums_asked(struct qbd_replica *replica, u32 peer,
		    const struct qbd_frame_verify *verify)
{
	u32 count = le32_to_cpu(verify->count);
	struct qbd_sums *sums = NULL;

	if (!qbd_replica_keeps_data(replica)) {
		qbd_net_disconnect(replica->network, peer, "a member without data was asked what it holds");
		return;
	}
	if (qbd_sums_forget(replica, peer))
		sums = kzalloc(sizeof(*sums), GFP_NOWAIT | __GFP_NOWARN);
	if (!sums) {
		/* If that is not sent either, it is asked again when time is up. */
		sums_send(replica, peer, le64_to_cpu(verify->request), count,
			  QBD_VERIFY_BUSY, NULL);
		return;
	}
	sums->replica = replica;
	sums->peer = peer;
	sums->request = le64_to_cpu(verify->request);
	sums->index = le64_to_cpu(verify->index);
	sums->block = le64_to_cpu(verify->block);
	sums->count = count;
	sums->flags = le32_to_cpu(verify->flags);
	list_add_tail(&sums->list, &replica->sums);
	if (sums_get_memory(sums))
		sums_go_on(sums);
	else
		sums_refuse(sums, QBD_VERIFY_BUSY);
}
