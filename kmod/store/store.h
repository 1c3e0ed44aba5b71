/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The store of one member: its disk.
 *
 * Concurrency: everything here is called from the replica's work ("replica
 * context": one caller at a time), except where it says "any context". Disk
 * completions are put on a lock-free list and the replica is kicked; it calls
 * qbd_store_run(), and only from there (or directly from the call that caused
 * them) do the operations in struct qbd_store_ops come. So nothing in the store
 * needs a lock, nothing in it sleeps after qbd_store_open(), and nothing on the
 * way to the disk allocates without a reserve (bio sets, preallocated pages).
 *
 * store.c     open, close, state block, run
 * layout.c    metadata blocks: checked when read, sealed when written
 * recovery.c  what a disk says after a power cut; one decision table
 * open.c      carries it out
 * bio.c       bios and bio sets
 * state.c     the state block
 * log.c       the ring
 * load.c      records read back from it
 * extents.c   the extent table
 * overlay.c   committed operations that are not applied
 * batch.c     writes to the data area
 * apply.c     committed operations into it
 * checkpoint.c what is applied becomes durable; reclaim
 * read.c      reads of committed data
 * touched.c   what the newest entries wrote to
 * fill.c      bringing a member up by extents
 * grow.c      the device becomes larger
 *
 * layout.c and recovery.c, and record/header.c, compile in userspace too.
 */
#ifndef QBD_STORE_STORE_H
#define QBD_STORE_STORE_H

#include <linux/bvec.h>
#include <linux/list.h>
#include <linux/types.h>

#include "../format/superblock.h"
#include "../record/record.h"
#include "fill_plan.h"

struct qbd_store;

/* What a member's disk says of the member. Only the sizes change. */
struct qbd_store_identity {
	u8 uuid[QBD_UUID_SIZE];
	u8 incarnation[QBD_UUID_SIZE];
	u8 history[QBD_UUID_SIZE];
	u8 secret[QBD_SECRET_SIZE];
	char name[QBD_NAME_SIZE];
	u32 member_id;
	u32 extent_shift;
	u32 configuration;
	bool keeps_data;	/* it has a data area */
	bool client;		/* it keeps none, and has a block device all the same */
	u64 device_blocks;	/* of the device, as far as this member has grown along */
	u64 device_blocks_most;	/* larger it does not become with this extent table */
	u64 log_blocks;
	u64 extent_count;	/* goes with @device_blocks */
};

/**
 * struct qbd_store_recovered - what qbd_store_open() found
 * @term: current term
 * @vote: member voted for in @term or 0
 * @base_index: entry before the oldest record in the ring
 * @base_term: its term
 * @base_membership: configuration at @base_index
 * @last_index: newest good record, or @base_index
 * @last_term: its term
 * @commit_index: highest index known committed, <= @last_index unless @damaged
 * @applied_index: data area holds everything up to it
 * @filling: data was being filled when the member went down: may not lead
 * @log_kept: @filling, and the log was not emptied for it: what is in it counted
 * @fill_plan: see kmod/store/fill_plan.h and struct qbd_state_block
 * @fill_index: likewise
 * @fill_cursor: likewise
 * @fill_through_index: likewise
 * @is_new: the disk was made and has never been part of the device since
 * @damaged: acknowledged records after @last_index are lost or unreadable
 *	(accidents 27, 40, 41): this member may neither vote nor lead until the
 *	leader has sent them again up to @damaged_through
 * @damaged_through: highest index known acknowledged
 * @failed: the disk was marked failed in an earlier run
 * @reason: one line for people if @damaged or @failed
 */
struct qbd_store_recovered {
	u64 term;
	u32 vote;
	u64 base_index;
	u64 base_term;
	struct qbd_membership_layout base_membership;
	u64 last_index;
	u64 last_term;
	u64 commit_index;
	u64 applied_index;
	bool filling;
	bool log_kept;
	struct qbd_fill_plan fill_plan;
	u64 fill_index;
	u64 fill_cursor;
	u64 fill_through_index;
	bool is_new;
	bool damaged;
	u64 damaged_through;
	bool failed;
	char reason[128];
};

/**
 * struct qbd_store_ops - what the store tells its replica
 * @kick: any context: have qbd_store_run() called soon
 * @recovered_applied: during qbd_store_open(), before the first recovered_entry():
 *	what entries up to @index had done besides to the data, which the store keeps and
 *	does not look into; @membership is the one that the log begins with
 * @answered: during qbd_store_open(): the disk has answered once more. False: nobody
 *	waits for it to be open any more
 * @applied_state: that, as of @index, which is applied: fill @applied, all of it but
 *	@without_data, which the store knows. The state block is about to say that so much
 *	is applied
 * @recovered_entry: during qbd_store_open(): each record from base_index + 1 to
 *	last_index in order; @membership is NULL unless kind is
 *	QBD_RECORD_MEMBERSHIP
 * @log_durable: all records up to @index are durable here; @generation counts
 *	truncations, so that a stale completion is never taken for a new one
 *	(accidents 20, 21); @term is the term of the entry at @index
 * @state_durable: qbd_store_write_vote() with this sequence, and all earlier
 *	ones, are durable
 * @applied: the data area holds everything up to @index (not flushed yet)
 * @log_reclaimed: the ring now begins with @first_index
 * @record_loaded: answer to qbd_store_record() that said -EINPROGRESS, one answer
 *	however often it was asked for; @record is the callee's to put, or an ERR_PTR
 *	(-EBADMSG: damaged, -EIO, -ENOENT: reclaimed meanwhile, -EAGAIN: the log was
 *	truncated meanwhile, ask again)
 * @reset_durable: qbd_store_reset() is on disk; appends may begin
 * @fill_written: qbd_store_fill_write() with this cookie is on disk, not flushed
 * @fill_durable: qbd_store_fill_advance() or _fill_finish() is durable
 * @space: log space or apply made room after something had been refused
 * @failed: a write, flush or FUA failed: the member stops vouching for good
 *	(accident 43); @what names it for the log
 */
struct qbd_store_ops {
	void (*kick)(void *context);
	bool (*answered)(void *context);
	void (*recovered_applied)(void *context, u64 index,
				  const struct qbd_applied_layout *applied,
				  const struct qbd_membership_layout *membership);
	void (*applied_state)(void *context, u64 index, struct qbd_applied_layout *applied);
	void (*recovered_entry)(void *context, const struct qbd_record_header *header,
				const struct qbd_membership_layout *membership);
	void (*log_durable)(void *context, u64 generation, u64 term, u64 index);
	void (*state_durable)(void *context, u64 sequence);
	void (*applied)(void *context, u64 index);
	void (*log_reclaimed)(void *context, u64 first_index);
	void (*record_loaded)(void *context, u64 index, struct qbd_record *record);
	void (*reset_durable)(void *context, u64 index);
	void (*fill_written)(void *context, void *cookie, int error);
	void (*fill_durable)(void *context);
	void (*space)(void *context);
	void (*failed)(void *context, int error, const char *what);
};

/**
 * qbd_store_find() - which block device is this, for the calling process?
 * @path: block device
 * @number: of it
 * @error_text: on failure one line: what, why, what would work
 * @error_text_size: its room
 *
 * Context: process; does not wait for that disk.
 * Return: 0 or -errno.
 */
int qbd_store_find(const char *path, dev_t *number, char *error_text,
		   size_t error_text_size);
/**
 * qbd_store_open() - open a member's disk exclusively and recover it
 * @number: block device, see qbd_store_find()
 * @path: what people call it
 * @pool: log pages for the records that stay in memory
 * @ops: see there
 * @context: for @ops
 * @recovered: what was found
 * @error_text: on failure one line: what, why, what would work
 * @error_text_size: its room
 *
 * Replays committed records into the data area, keeps the rest in memory, has
 * written nothing if it fails.
 * Context: process; sleeps, for as long as the disk does not answer.
 * Return: the store or ERR_PTR: -EBUSY in use, -EMEDIUMTYPE not a qbd disk,
 * -EPROTONOSUPPORT newer version, -EUCLEAN damaged beyond use, -EIO, -ENOMEM,
 * -ECANCELED nobody waits for it.
 */
struct qbd_store *qbd_store_open(dev_t number, const char *path, struct qbd_pool *pool,
				 const struct qbd_store_ops *ops, void *context,
				 struct qbd_store_recovered *recovered,
				 char *error_text, size_t error_text_size);
/**
 * qbd_store_stop() - accept nothing more; when quiet, checkpoint and mark clean
 * @store: no further call but qbd_store_run() and qbd_store_stopped()
 *
 * Replica context. Poll qbd_store_stopped() after each qbd_store_run(); a hung
 * disk keeps it false: then qbd_store_close() waits for its bios in process
 * context, as every holder of a disk must.
 */
void qbd_store_stop(struct qbd_store *store);
bool qbd_store_stopped(const struct qbd_store *store);
/* A write or a flush failed; the replica may not have been told yet. Replica context. */
bool qbd_store_failed(const struct qbd_store *store);
/* Process context, sleeps; after the replica's work has ended. */
void qbd_store_close(struct qbd_store *store);

const struct qbd_store_identity *qbd_store_identity(const struct qbd_store *store);

/*
 * The size of the device (see grow.c). A RESIZE that is applied makes it larger; so does
 * qbd_store_grow(), where a fill passes the RESIZE by.
 */
/* How large could it become on this disk, as large as the disk is just now? In blocks. */
u64 qbd_store_room(const struct qbd_store *store);
/* How large is it for the entry after @index, which is in the log or its base? */
u64 qbd_store_blocks_after(const struct qbd_store *store, u64 index);
/*
 * Be ready for this size. Return: true if the disk says so already, durably; else the
 * caller asks again, later.
 */
bool qbd_store_grow(struct qbd_store *store, u64 device_blocks);
/* What the disk says durably, in any context: after a power cut it is no less. */
u64 qbd_store_durable_blocks(const struct qbd_store *store);
/* It should, and its disk has no room for it: so many blocks; 0: no. */
u64 qbd_store_cannot_grow(const struct qbd_store *store);

/* Process completions, go on with apply, checkpoint, reclaim. */
void qbd_store_run(struct qbd_store *store);

/*
 * Vote: written to the state block with FUA. Several before the first is done
 * are written as one. state_durable() tells.
 */
void qbd_store_write_vote(struct qbd_store *store, u64 term, u32 vote, u64 sequence);

/* Written likewise; durable when the second one says so, which a kick tells. Only the newest. */
void qbd_store_write_move(struct qbd_store *store, const struct qbd_move_layout *move);
bool qbd_store_move_durable(const struct qbd_store *store);
/* Nothing comes of it. That is written with whatever is written next. */
void qbd_store_forget_move(struct qbd_store *store);
/* What was on the disk, or was written since. */
const struct qbd_move_layout *qbd_store_move(const struct qbd_store *store);

/**
 * qbd_store_append() - write a sealed record after the last one
 * @store: store
 * @record: index must be last + 1; the store takes a reference of its own
 *
 * Assigns the ring position, writes the local part, submits one FUA write
 * (log_durable() tells). Call within blk_start_plug() for several.
 * Return: 0; -ENOSPC if the ring has no room (space() follows); -EIO if the store
 * failed, stops or is being reset; nothing was done then. Call it before the record
 * is sent to anybody: the local part of its header is written here.
 */
int qbd_store_append(struct qbd_store *store, struct qbd_record *record);
/* Room for one more record of so many data blocks? */
bool qbd_store_has_room(const struct qbd_store *store, unsigned int data_blocks);
/*
 * Room for a record at @index, which may be one that is there (it and all behind
 * it would be cut off first), leaving @reserve blocks? Data leaves
 * QBD_LOG_RESERVE_BLOCKS: a ring full of what is not committed must still take the
 * no-op by which a new leader commits it, or the record that overwrites it.
 */
bool qbd_store_has_room_at(const struct qbd_store *store, u64 index,
			   unsigned int data_blocks, unsigned int reserve);
#define QBD_LOG_RESERVE_BLOCKS	(QBD_RECORD_BLOCKS_MAX + 31u)
static_assert(QBD_LOG_BLOCKS_MIN / 4 > (QBD_LOG_RESERVE_BLOCKS),
	      "data reaches the mark at which log space is reclaimed");
/* Cut the log off before @first_removed, not committed. Bumps the generation. */
void qbd_store_truncate(struct qbd_store *store, u64 first_removed);
/*
 * This disk had all up to @through, and others know that: what is missing of it here was lost.
 * That stays on the disk, as if recovery had found it, until it is durable here again or
 * qbd_store_repaired() is called.
 */
void qbd_store_damaged(struct qbd_store *store, u64 through);
/* The records that were damaged are not needed: the log follows a leader's again. */
void qbd_store_repaired(struct qbd_store *store);
/*
 * This disk is part of the device from now on. A vote that is written later says so
 * in the same block; qbd_store_is_new() becomes false when it is durable.
 */
void qbd_store_joined(struct qbd_store *store);
bool qbd_store_is_new(const struct qbd_store *store);
u64 qbd_store_generation(const struct qbd_store *store);
u64 qbd_store_last_index(const struct qbd_store *store);
/*
 * The newest entry with data that is at @index, which is applied, or before it; 0: none is. It
 * may be one of those that the log does not reach back to.
 */
u64 qbd_store_newest_data(const struct qbd_store *store, u64 index);
/* Into @applied, as of @index, which is applied, and not before any that was said before. */
void qbd_store_say_data(const struct qbd_store *store, u64 index,
			struct qbd_applied_layout *applied);
/* Data is in an entry behind @index, up to @last, which is not before the one applied. */
bool qbd_store_written_since(const struct qbd_store *store, u64 index, u64 last);
u64 qbd_store_first_index(const struct qbd_store *store);
/* Sixteenths of the ring that lie after the entry at @index, which need not be there. */
u32 qbd_store_log_share_after(const struct qbd_store *store, u64 index);

/**
 * struct qbd_log_reach - how long the log will reach back to an entry, in blocks of the ring
 * @behind: lie after it
 * @kept: so many stay when the oldest records are dropped
 * @left: can be written before that happens
 */
struct qbd_log_reach {
	u64 behind;
	u64 kept;
	u64 left;
};

/* Of the entry at @index, which is in the ring or just before it. */
void qbd_store_log_reach(const struct qbd_store *store, u64 index, struct qbd_log_reach *reach);
/* Bytes of records that lie in the ring from @first to @last. */
u64 qbd_store_log_bytes(const struct qbd_store *store, u64 first, u64 last);
/* Members that catch up by the log need it: it keeps more of it, or as much as ever. */
void qbd_store_keep_log(struct qbd_store *store, bool more);
/* Chain of the entry at @index, which is in the ring or just before it. */
u32 qbd_store_chain(const struct qbd_store *store, u64 index);

/* Everything up to @index is committed: visible to reads, to be applied. */
void qbd_store_commit(struct qbd_store *store, u64 index);
u64 qbd_store_applied_index(const struct qbd_store *store);

/**
 * qbd_store_record() - the record at @index, for sending
 * @store: store
 * @index: log index
 * @record: on success a reference of the caller's
 *
 * Return: 0; -EINPROGRESS: being read from the ring, record_loaded() follows;
 * -EAGAIN: no memory now, space() follows; -ENOENT: reclaimed or not there.
 */
int qbd_store_record(struct qbd_store *store, u64 index, struct qbd_record **record);
/* Would it have to be read from the ring? */
bool qbd_store_record_is_old(const struct qbd_store *store, u64 index);

/**
 * struct qbd_store_read - one read of committed data
 * @block: first device block
 * @count: blocks
 * @bvecs: where to; @count * 4 KiB in all; left alone by the store
 * @bvec_count: entries
 * @as_it_is: what the disk has, whatever log and extent table say
 * @done: exactly once; replica context, perhaps within qbd_store_read(), or at the
 *	latest within qbd_store_close()
 * @list: the store's
 * @next: the store's
 * @pending: the store's
 * @error: 0 or negative errno
 */
struct qbd_store_read {
	u64 block;
	u32 count;
	const struct bio_vec *bvecs;
	unsigned int bvec_count;
	bool as_it_is;
	void (*done)(struct qbd_store_read *read);
	struct list_head list;
	u64 next;
	unsigned int pending;
	int error;
};

/*
 * Reads what was committed (qbd_store_commit()) when it was called, or newer.
 * Overlay first, zeroes for extents never written, else the data area.
 */
void qbd_store_read(struct qbd_store *store, struct qbd_store_read *read);

u64 qbd_store_commit_index(const struct qbd_store *store);
/*
 * Entries up to this one may be in the data area. Mostly it is the commit index; but who was
 * cut off from power may have applied more than it now knows to be committed, and whoever it
 * filled then has that as well.
 */
u64 qbd_store_data_index(const struct qbd_store *store);

/**
 * qbd_store_data_reaches() - the data area may have entries that are not known to be committed
 * @store: store
 * @index: up to this one
 * @term: none of them is of a later term
 *
 * Until an entry of a later term is committed, or that one.
 */
void qbd_store_data_reaches(struct qbd_store *store, u64 index, u64 term);

/**
 * qbd_store_touched() - which blocks do the entries behind an index write to?
 * @store: store
 * @after: entries behind this one count
 * @through: and up to this one, at most the last
 * @block: first device block
 * @count: blocks
 * @touched: a bit for each block is set, others are left alone
 *
 * A read that began when @after was committed and has ended gave, for each block that no
 * entry up to qbd_store_data_index() by then touched, what the block was as of @after: it
 * came from the newest committed operation on it, or from the data area, where apply puts
 * no operation but a committed one. The commit index is not enough:
 *
 *	3 had applied entry 28 and lost power. When it was back its log said that 27 was
 *	committed, and nobody led. As of 27 it was said to differ from all others.
 *
 * Return: false if that is not known: they are too many, or not all in memory.
 */
bool qbd_store_touched(const struct qbd_store *store, u64 after, u64 through, u64 block,
		       u32 count, u64 *touched);
#define QBD_TOUCHED_ENTRIES_MAX	1024u

/*
 * Since when reads of this disk are under way of which none has ended, boottime in
 * nanoseconds; 0: none is under way.
 */
u64 qbd_store_reads_since(const struct qbd_store *store);

/*
 * Extents, at the leader: the first one from @first on, and before @end, that changed after
 * @since; U64_MAX if none. Only what is applied is in the table.
 */
u64 qbd_store_changed_extent(const struct qbd_store *store, u64 first, u64 end, u64 since);
/* And how many there are. Looks at all of them. */
u64 qbd_store_changed_count(const struct qbd_store *store, u64 first, u64 end, u64 since);

/*
 * Fill, at the follower. The order is the rule (accidents 45, 46, 47):
 * reset (intent durable, log empty after @index) -> repeat { pause apply; write
 * extents; resume; advance cursor } -> finish.
 */
void qbd_store_reset(struct qbd_store *store, u64 index, u64 term, u32 chain,
		     const struct qbd_membership_layout *membership,
		     const struct qbd_applied_layout *applied);
/*
 * While it is being filled: what is wanted, and from where on: as of the last
 * qbd_store_fill_advance() that was durable. A reset keeps the cursor.
 */
const struct qbd_fill_plan *qbd_store_fill_plan(const struct qbd_store *store);
u64 qbd_store_fill_cursor(const struct qbd_store *store);
void qbd_store_apply_pause(struct qbd_store *store, bool pause);
/* True once no apply write is in flight after a pause; kick() when it becomes so. */
bool qbd_store_apply_idle(const struct qbd_store *store);
/* So many qbd_store_fill_write() may be under way: the caller sees to it. */
#define QBD_STORE_FILL_WRITES_MAX	256
/*
 * @pages NULL: zero. @index is what the extent's changed_index becomes at least:
 * the leader's commit index when it read the data, so that this member, should it
 * lead one day, never takes the extent for older than it is. fill_written() gives
 * @cookie back; pages stay the caller's.
 */
void qbd_store_fill_write(struct qbd_store *store, u64 block, u32 count,
			  struct page **pages, u64 index, void *cookie);
/* Likewise, but the disk has these blocks already; the cookie is NULL. */
void qbd_store_fill_same(struct qbd_store *store, u64 block, u32 count, u64 index);
void qbd_store_fill_advance(struct qbd_store *store, u64 cursor, u64 through_index);
/*
 * The first range of the plan is filled. True if there is another one, from extent 0 on:
 * fill_durable() follows as after qbd_store_fill_advance().
 */
bool qbd_store_fill_next_range(struct qbd_store *store, u64 through_index);
/* All extents are there and applied >= through_index: flush, drop the intent. */
void qbd_store_fill_finish(struct qbd_store *store);

/* For status. Bytes unless named otherwise. */
struct qbd_store_status {
	u64 log_bytes;
	u64 log_used_bytes;
	u64 records_in_memory;
	u64 log_writes;			/* record writes submitted */
	u64 log_write_bytes;
	u64 data_writes;		/* data area writes submitted */
	u64 data_write_bytes;
	u64 flushes;			/* explicit flushes of the disk */
	u64 state_writes;
	u64 checkpoints;
	u64 applied_index;
	u64 oldest_write_ns;		/* age of the oldest log write under way */
	bool failed;
};

void qbd_store_status(const struct qbd_store *store, struct qbd_store_status *status);

#endif
