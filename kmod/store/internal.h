/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of kmod/store/ share.
 *
 * Replica context everywhere (see store.h), but for qbd_bio_end_io() and the
 * timer, which touch @completed, @timer_fired and @wait only. While the store is
 * opened and closed the caller of these plays the replica.
 *
 * The life of a record here: appended (in @log.slots, on @log.resident) -> log
 * write submitted -> durable -> committed (in @overlay) -> applied -> perhaps
 * dropped from memory -> reclaimed (slot free, its place may be written again).
 * Durable and committed may come in either order.
 */
#ifndef QBD_STORE_INTERNAL_H
#define QBD_STORE_INTERNAL_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/llist.h>
#include <linux/timer.h>
#include <linux/wait.h>

#include "recovery.h"
#include "store.h"

/*
 * Bios that one kind may have in flight. They are bounded so that a disk that
 * hangs blocks nobody but itself: the bio sets hold a reserve of as many, so that
 * allocation does not wait. (Nor does submission, see bio.c.)
 */
#define QBD_LOG_BIOS_MAX	24
#define QBD_BATCH_BIOS_MAX	12
#define QBD_READ_BIOS_MAX	24
#define QBD_LOAD_BIOS_MAX	9
#define QBD_TABLE_PAGES		4
/* Log and state; all else. */
#define QBD_VITAL_BIOS		(QBD_LOG_BIOS_MAX + 4)
#define QBD_DATA_BIOS		(QBD_BATCH_BIOS_MAX + QBD_READ_BIOS_MAX + \
				 QBD_LOAD_BIOS_MAX + QBD_TABLE_PAGES + 4)
/* A record wraps at the ring's end and has one page more than a bio takes. */
#define QBD_RECORD_BIOS_MAX	3

#define QBD_BATCH_OPERATIONS	256
#define QBD_BATCH_BLOCKS	1024		/* 4 MiB of data */
/* Overlapping operations are cut into at most 2n - 1 pieces ... */
#define QBD_BATCH_PIECES	(2 * QBD_BATCH_OPERATIONS)
/* ... each of which may need zeroes on either side. */
#define QBD_SEGMENTS_PER_PIECE	3u
/* And those that a disk refused to zero by command are zeroed by hand. */
#define QBD_BATCH_SEGMENTS	(QBD_SEGMENTS_PER_PIECE * QBD_BATCH_PIECES + \
				 QBD_BATCH_BIOS_MAX)
/* Zeroes are cheap where the disk knows how to; elsewhere they are real writes. */
#define QBD_BATCH_ZERO_BLOCKS	65536u		/* 256 MiB */
#define QBD_ZERO_BIO_BLOCKS	256u

/* Delays; all run on one timer. */
#define QBD_APPLY_DELAY		msecs_to_jiffies(10)
#define QBD_MIRROR_DELAY	msecs_to_jiffies(200)
#define QBD_IDLE_DELAY		msecs_to_jiffies(1000)
#define QBD_CHECKPOINT_DELAY	msecs_to_jiffies(15000)

/* Of every write: the block layer does not hold it back, see bio.c. */
#define QBD_REQ_WRITE		(REQ_SYNC | REQ_IDLE)

enum qbd_bio_kind {
	QBD_BIO_LOG,
	QBD_BIO_STATE,
	QBD_BIO_FLUSH,
	QBD_BIO_TABLE,
	QBD_BIO_BATCH,
	QBD_BIO_READ,
	QBD_BIO_LOAD,
	QBD_BIO_KINDS,
};

/**
 * struct qbd_bio - a bio of the store, and whom its end concerns
 * @store: whose
 * @completed: link of @store's finished bios
 * @object: record, segment, read, load; the store holds a reference if need be
 * @kind: what it does
 * @error: 0 or negative errno
 * @block: BATCH: first device block; TABLE: page number
 * @count: BATCH: blocks
 * @operation: of the bio as it was made
 * @iter: likewise
 * @bio: last, as bio sets want it
 */
struct qbd_bio {
	struct qbd_store *store;
	struct llist_node completed;
	void *object;
	enum qbd_bio_kind kind;
	int error;
	u64 block;
	u32 count;
	blk_opf_t operation;
	struct bvec_iter iter;
	struct bio bio;
};

/**
 * struct qbd_slot - what is known of one log entry without reading it
 * @record: in memory, or NULL
 * @position: in the ring
 * @term: of the entry
 * @chain: its record checksum
 * @data_blocks: data blocks
 * @operation_count: operations
 * @kind: enum qbd_record_kind
 */
struct qbd_slot {
	struct qbd_record *record;
	u64 position;
	u64 term;
	u32 chain;
	u16 data_blocks;
	u8 operation_count;
	u8 kind;
};

static_assert(sizeof(struct qbd_slot) == 32, "slots are many");

/**
 * struct qbd_log - the ring
 * @slots: of the entries first_index..last_index, by index modulo @capacity
 * @capacity: number of @slots: half as many as the ring has blocks
 * @base_term: term of the entry at @first_index - 1
 * @base_chain: its chain
 * @base_data_index: the newest entry with data that is known of the state block, or that was
 *	in the ring and is not any more: what lies before @first_index has no newer one
 * @first_index: oldest entry
 * @first_position: its ring position
 * @last_index: newest entry, @first_index - 1 if there is none
 * @next_position: ring position after it
 * @submitted_index: everything up to it was given to the disk
 * @durable_index: everything up to it is on the disk for good
 * @commit_index: everything up to it is committed
 * @generation: truncations so far
 * @truncated_index: where the newest one cut
 * @barrier: state version that has to be durable before anything is written to
 *	the ring; 0 for none
 * @removed: records that were removed while being written: their places must not
 *	be written before they are done
 * @resident: records in memory by index
 * @resident_count: how many
 * @memberships: records of kind MEMBERSHIP in the ring are pinned in memory; how
 *	many there are
 * @resizes: records of kind RESIZE that are not applied (and so in memory)
 */
struct qbd_log {
	struct qbd_slot *slots;
	u32 capacity;
	u64 base_term;
	u32 base_chain;
	u64 base_data_index;
	u64 first_index;
	u64 first_position;
	u64 last_index;
	u64 next_position;
	u64 submitted_index;
	u64 durable_index;
	u64 commit_index;
	u64 generation;
	u64 truncated_index;
	u64 barrier;
	u32 removed;
	struct list_head resident;
	u64 resident_count;
	u32 memberships;
	u32 resizes;
};

/**
 * struct qbd_state_writer - the state block
 * @disk: what the next write says of applied data, log and fill: only a checkpoint
 *	(or a reset) changes this part, when all that it claims is durable
 * @applied: as of @disk.applied_index, and changed with it
 * @pages: written from
 * @vote_sequence: of the newest qbd_store_write_vote()
 * @vote_submitted: contained in the write under way
 * @vote_durable: contained in a finished one
 * @wanted: version: number of changes asked for
 * @submitted: contained in the write under way or the last one
 * @durable: contained in a finished write
 * @preflush: the next write has to flush the disk's cache first
 * @writing: one is under way
 * @slot: of the last write
 * @mirrored: both slots hold the newest content
 * @mirror_at: when to see to that
 * @unreadable: slots that could not be read when the store was opened
 */
struct qbd_state_writer {
	struct qbd_state disk;
	struct qbd_applied_layout applied;
	u32 unreadable;
	struct page *pages[QBD_STATE_SLOT_BLOCKS];
	u64 vote_sequence;
	u64 vote_submitted;
	u64 vote_durable;
	u64 wanted;
	u64 submitted;
	u64 durable;
	bool preflush;
	bool writing;
	unsigned int slot;
	bool mirrored;
	unsigned long mirror_at;
};

/**
 * struct qbd_segment - consecutive blocks of the data area to be written
 * @start: first device block
 * @last: last one
 * @next: first one not submitted yet
 * @pages: data, one page per block; NULL for zeroes
 * @index: what changed_index becomes at least
 * @writes: its extents become written ones; else it is zeroes, which change nothing
 *	where nothing was ever written
 * @same: the disk has it: nothing is written
 */
struct qbd_segment {
	u64 start;
	u64 last;
	u64 next;
	struct page **pages;
	u64 index;
	bool writes;
	bool same;
};

enum qbd_batch_kind {
	QBD_BATCH_NONE,
	QBD_BATCH_APPLY,
	QBD_BATCH_FILL,
	QBD_BATCH_GROW,
};

/**
 * struct qbd_batch - the writes to the data area under way; one batch at a time
 * @kind: whose they are; QBD_BATCH_NONE: nothing is under way
 * @nodes: APPLY: operations being applied, sorted by block
 * @node_count: how many
 * @last_index: APPLY: applied_index becomes this
 * @pieces: what is to be written, disjoint, sorted
 * @piece_count: how many
 * @segments: @pieces and the zeroes around them in extents never written
 * @segment_count: how many
 * @segment_next: first one not submitted whole
 * @inflight: bios
 */
struct qbd_batch {
	enum qbd_batch_kind kind;
	struct qbd_overlay_node **nodes;
	u32 node_count;
	u64 last_index;
	struct qbd_segment *pieces;
	u32 piece_count;
	struct qbd_segment *segments;
	u32 segment_count;
	u32 segment_next;
	u32 inflight;
};

/**
 * struct qbd_extents - the extent table
 * @chunks: changed_index of each extent, a page of them each; as many chunks as the
 *	table on the disk has room for, NULL beyond @room
 * @chunk_count: how many
 * @room: extents that there is memory for; grow.c adds to it, in any context
 * @dirty: one bit per table block
 * @dirty_count: bits set
 * @blocks: table blocks of the round under way
 * @block_count: how many
 * @next: first one that was not submitted yet, to journal or table
 * @pages: blocks being written
 * @free_pages: bit mask of those that are not
 * @inflight: writes of journal and table
 */
struct qbd_extents {
	u64 **chunks;
	u64 chunk_count;
	u64 room;
	unsigned long *dirty;
	u64 dirty_count;
	u64 blocks[QBD_EXTENT_JOURNAL_BLOCKS];
	u32 block_count;
	u32 next;
	struct page *pages[QBD_TABLE_PAGES];
	unsigned long free_pages;
	u32 inflight;
};

/* Each step begins when the one before it is durable. */
enum qbd_checkpoint_step {
	QBD_CHECKPOINT_NONE,
	QBD_CHECKPOINT_QUIESCE,	/* wait for the batch under way, start no other */
	QBD_CHECKPOINT_DATA,	/* flush the data */
	QBD_CHECKPOINT_JOURNAL,	/* write what changed in the extent table aside */
	QBD_CHECKPOINT_FLUSH,	/* flush that; where nothing changed, the data */
	QBD_CHECKPOINT_TABLE,	/* write what changed in the extent table */
	QBD_CHECKPOINT_REFLUSH,	/* there is more than the journal takes: flush, again */
	QBD_CHECKPOINT_STATE,	/* flush that, write the state block */
};

/**
 * struct qbd_checkpoint - one under way
 * @step: see there
 * @next: what the state block will say when it gets there
 * @version: of the state block
 * @wanted: one is due
 * @clean: the one under way is the last before the member goes down
 * @data_dirty: the data area was written since the last flush
 * @fill: it carries a change of the fill
 * @begun_at: jiffies when the last one began
 */
struct qbd_checkpoint {
	enum qbd_checkpoint_step step;
	struct qbd_state next;
	u64 version;
	bool wanted;
	bool clean;
	bool data_dirty;
	bool fill;
	unsigned long begun_at;
};

/**
 * struct qbd_fill_operation - one qbd_store_fill_write()
 * @list: of struct qbd_fill
 * @block: first device block
 * @count: blocks
 * @index: what changed_index becomes at least
 * @pages: data, the caller's; NULL for zeroes
 * @same: no data: the disk has it
 * @cookie: the caller's
 * @error: 0 or negative errno
 */
struct qbd_fill_operation {
	struct list_head list;
	u64 block;
	u32 count;
	u64 index;
	struct page **pages;
	bool same;
	void *cookie;
	int error;
};

/**
 * struct qbd_fill - being brought up by extents
 * @active: between reset and finish
 * @resetting: a reset waits until the data area is quiet, or for its state block
 * @reset_version: of the state block, 0: not written yet
 * @reset_index: see qbd_store_reset()
 * @reset_term: likewise
 * @reset_chain: likewise
 * @reset_membership: likewise
 * @reset_applied: likewise
 * @plan: what is still to be asked for, as it is without a crash
 * @cursor: wanted on disk
 * @through_index: likewise
 * @next_range: the disk's plan is to go on to its second range
 * @finish: the intent is to be dropped
 * @changed: one of the four before is not on disk
 * @operations: all there are
 * @free: not in use
 * @queue: waiting to be written
 * @running: in the batch
 * @finished: to be reported
 */
struct qbd_fill {
	bool active;
	bool resetting;
	u64 reset_version;
	u64 reset_index;
	u64 reset_term;
	u32 reset_chain;
	struct qbd_membership_layout reset_membership;
	struct qbd_applied_layout reset_applied;
	struct qbd_fill_plan plan;
	u64 cursor;
	u64 through_index;
	bool next_range;
	bool finish;
	bool changed;
	struct qbd_fill_operation *operations;
	struct list_head free;
	struct list_head queue;
	struct list_head running;
	struct list_head finished;
};

/**
 * struct qbd_grow - the device becomes larger, see grow.c
 * @wanted: it is to have so many blocks; no more than it has: nothing is to be done
 * @refused: this disk has no room for @wanted
 * @work: gets memory for @extents of them
 * @extents: see there; not changed while @busy
 * @busy: it is under way
 * @finished: it has ended; any context
 * @again_at: jiffies; no memory before, nor room on the disk
 * @waiting: @again_at counts
 * @durable: size that the disk says durably
 */
struct qbd_grow {
	u64 wanted;
	bool refused;
	struct work_struct work;
	u64 extents;
	bool busy;
	bool finished;
	unsigned long again_at;
	bool waiting;
	u64 durable;
};

#define QBD_LOADS_MAX	3

/**
 * struct qbd_load - a record being read back from the ring
 * @index: 0: this one is free
 * @generation: of the log when it began
 * @record: read into
 * @pending: bios
 * @error: first one
 * @finished: to be reported
 */
struct qbd_load {
	u64 index;
	u64 generation;
	struct qbd_record *record;
	u32 pending;
	int error;
	bool finished;
};

/* What the replica is to be told at the end of the run. */
struct qbd_notices {
	bool log_durable;
	bool state_durable;
	bool applied;
	bool log_reclaimed;
	bool reset_durable;
	bool fill_durable;
	bool space;
	bool apply_idle;
	bool failed;
	const char *failed_what;
	int failed_error;
};

/**
 * struct qbd_store - the store of one member
 * @ops: the replica's
 * @context: for @ops
 * @pool: log pages
 * @device: the disk
 * @bdev: the same
 * @identity: what others may know of @geometry
 * @geometry: where things are
 * @vital: bio set of log and state: a stuck data area takes nothing from them
 * @data: bio set of everything else
 * @postponed: bios whose submission may wait, any context adds
 * @postponed_count: those not given to the disk yet
 * @postponed_work: gives them to it
 * @rescued_queue: runs that, and what gets memory for a larger device
 * @completed: finished bios, any context adds
 * @wait: open and close sleep here
 * @timer: the only one
 * @timer_fired: since the last run
 * @inflight: bios not yet seen finished, by kind
 * @reads_moved_ns: boottime when the last read ended, or began with no other under way
 * @log: the ring
 * @overlay: committed operations that are not applied
 * @applied_index: data area holds everything up to it
 * @data_through: no entry behind this one was applied before the store was opened
 * @data_term: nor was this member in a later term then
 * @apply_at: when the oldest committed operation has waited long enough
 * @apply_paused: see qbd_store_apply_pause()
 * @idle_at: when the disk counts as idle
 * @idle_armed: something is to be written when it does
 * @batch: writes to the data area
 * @extents: the extent table
 * @state: the state block
 * @checkpoint: the checkpoint under way
 * @fill: being brought up by extents
 * @grow: becoming larger
 * @loads: records being read
 * @reads: reads that wait for bios to end, in order
 * @notices: not yet delivered
 * @damaged_through: until this is durable, the state block goes on saying that it
 *	was; 0: nothing is missing
 * @is_new: the disk was never part of the device, see QBD_STATE_NEW
 * @joined_version: state that says otherwise; 0: not asked for
 * @damaged_tail: what lies behind the log's end was not cut off yet
 * @damage_suspected: until it is cut off the disk shows by itself what is missing, or
 *	that nothing is; so @damaged_through is not written to it before
 * @term: for the state block
 * @vote: likewise
 * @move: likewise
 * @move_version: state that has it
 * @keeps_more: see qbd_store_keep_log()
 * @failed: nothing is vouched for any more
 * @released: and what was in memory is not any more
 * @failed_written: that it is so was attempted to be written
 * @stopping: nothing new is accepted
 * @stopped: quiet, checkpointed
 * @internal: opening or closing: no callback is made
 * @unwanted: opening, and nobody waits for it any more
 * @want_memory: a load was refused for lack of pages
 * @want_load: one was refused because so many are under way
 * @no_write_zeroes: the disk does not do them
 * @alone: when it was opened the device never had more than one member, as far back as
 *	the log reaches: no other member can send what is lost here
 * @kicked: the replica was asked to run the store and has not yet
 * @status: counters
 */
struct qbd_store {
	const struct qbd_store_ops *ops;
	void *context;
	struct qbd_pool *pool;
	struct qbd_compat_bdev device;
	struct block_device *bdev;
	struct qbd_store_identity identity;
	struct qbd_geometry geometry;
	struct bio_set vital;
	struct bio_set data;
	struct llist_head postponed;
	atomic_t postponed_count;
	struct work_struct postponed_work;
	struct workqueue_struct *rescued_queue;
	struct llist_head completed;
	wait_queue_head_t wait;
	struct timer_list timer;
	bool timer_fired;
	u32 inflight[QBD_BIO_KINDS];
	u64 reads_moved_ns;
	struct qbd_log log;
	struct rb_root_cached overlay;
	u64 applied_index;
	u64 data_through;
	u64 data_term;
	unsigned long apply_at;
	bool apply_paused;
	unsigned long idle_at;
	bool idle_armed;
	struct qbd_batch batch;
	struct qbd_extents extents;
	struct qbd_state_writer state;
	struct qbd_checkpoint checkpoint;
	struct qbd_fill fill;
	struct qbd_grow grow;
	struct qbd_load loads[QBD_LOADS_MAX];
	struct list_head reads;
	struct qbd_notices notices;
	u64 damaged_through;
	bool is_new;
	u64 joined_version;
	bool damaged_tail;
	bool damage_suspected;
	u64 term;
	u32 vote;
	struct qbd_move_layout move;
	u64 move_version;
	bool keeps_more;
	bool failed;
	bool released;
	bool failed_written;
	bool stopping;
	bool stopped;
	bool internal;
	bool unwanted;
	bool want_memory;
	bool want_load;
	bool no_write_zeroes;
	bool alone;
	bool kicked;
	struct qbd_store_status status;
};

/* bio.c */
struct qbd_bio *qbd_bio_alloc(struct qbd_store *store, enum qbd_bio_kind kind,
			      void *object, blk_opf_t operation, u64 disk_block,
			      unsigned int pages);
void qbd_bio_submit(struct qbd_bio *bio);
void qbd_bio_free(struct qbd_bio *bio);
int qbd_bio_init(struct qbd_store *store);
void qbd_bio_exit(struct qbd_store *store);
int qbd_bio_sync(struct qbd_store *store, blk_opf_t operation, u64 disk_block,
		 struct page **pages, unsigned int count);

/* store.c */
void qbd_store_fail(struct qbd_store *store, int error, const char *what);
void qbd_store_wake(struct qbd_store *store);
void qbd_store_step(struct qbd_store *store);
/* Open and close: run until @done says so or nothing is in flight any more. */
void qbd_store_answered(struct qbd_store *store);
void qbd_store_pump(struct qbd_store *store, bool (*done)(struct qbd_store *store));
bool qbd_store_quiet(const struct qbd_store *store);
void qbd_store_free(struct qbd_store *store);

/* open.c */
int qbd_store_recover(struct qbd_store *store, struct qbd_store_recovered *recovered,
		      char *error_text, size_t error_text_size);
/* Zeroed memory whose size the disk decides, for kvfree(); NULL: the text says why. */
void *qbd_store_alloc_sized(const struct qbd_store *store, u64 count, size_t size,
			    const char *what, char *error_text, size_t error_text_size);

/* log.c */
static inline struct qbd_slot *qbd_log_slot(const struct qbd_store *store, u64 index)
{
	u32 place;

	div_u64_rem(index, store->log.capacity, &place);
	return &store->log.slots[place];
}

static inline u64 qbd_log_disk_block(const struct qbd_store *store, u64 position,
				     u64 *until_end)
{
	u64 place;

	div64_u64_rem(position, store->geometry.log_blocks, &place);
	*until_end = store->geometry.log_blocks - place;
	return store->geometry.log_block + place;
}

static inline bool qbd_log_in_ring(const struct qbd_store *store, u64 index)
{
	return index >= store->log.first_index && index <= store->log.last_index;
}

u64 qbd_log_term(const struct qbd_store *store, u64 index);
/* Ring position of the entry at @index, or where it will be if it is the next. */
u64 qbd_log_position(const struct qbd_store *store, u64 index);
void qbd_log_submit(struct qbd_store *store);
void qbd_log_end_io(struct qbd_store *store, struct qbd_record *record, int error);
void qbd_log_make_resident(struct qbd_store *store, struct qbd_record *record);
void qbd_log_trim(struct qbd_store *store);
void qbd_log_release(struct qbd_store *store);
void qbd_log_base_data(struct qbd_store *store, u64 index,
		       const struct qbd_applied_layout *applied);
void qbd_log_reclaim(struct qbd_store *store, u64 first_index);
/* Empty it; the next entry is @index + 1. */
void qbd_log_restart(struct qbd_store *store, u64 index, u64 term, u32 chain);
/* Newest configuration at or before @index that the ring holds, else @fallback. */
void qbd_log_membership(const struct qbd_store *store, u64 index,
			const struct qbd_membership_layout *fallback,
			struct qbd_membership_layout *membership);

/* load.c */
void qbd_load_end_io(struct qbd_store *store, struct qbd_load *load, int error);
bool qbd_load_notify(struct qbd_store *store);
/* A record that was read from the ring at the place of @index: is it that one? */
int qbd_load_check(struct qbd_store *store, u64 index, struct qbd_record *record);

/* state.c */
u64 qbd_state_request(struct qbd_store *store, bool preflush);
void qbd_state_step(struct qbd_store *store);
void qbd_state_end_io(struct qbd_store *store, int error);

/* extents.c */
int qbd_extents_load(struct qbd_store *store, u64 *lost_blocks, char *error_text,
		     size_t error_text_size);
int qbd_extents_restore(struct qbd_store *store);
void qbd_extents_free(struct qbd_store *store);
/* Memory for so many extents; sleeps. Return: 0, or -ENOMEM, and less than all is there. */
int qbd_extents_make_room(struct qbd_store *store, u64 extents);
/* The table has more blocks than so many: those have to be written. */
void qbd_extents_grown(struct qbd_store *store, u64 table_blocks);
void qbd_extents_mark(struct qbd_store *store, u64 start, u64 last, u64 index,
		      bool written_only);
/* Choose what the next round writes; false if nothing is dirty. */
bool qbd_extents_begin_round(struct qbd_store *store);
/* Write them to the journal, or to their places; true when all are written. */
bool qbd_extents_write(struct qbd_store *store, bool journal);
void qbd_extents_end_io(struct qbd_store *store, unsigned int page, int error);

static inline u64 qbd_extent_of(const struct qbd_store *store, u64 block)
{
	return block >> (store->geometry.extent_shift - QBD_BLOCK_SHIFT);
}

static inline u64 qbd_extent_start(const struct qbd_store *store, u64 extent)
{
	return extent << (store->geometry.extent_shift - QBD_BLOCK_SHIFT);
}

static inline u64 qbd_extent_last(const struct qbd_store *store, u64 extent)
{
	return min(qbd_extent_start(store, extent + 1),
		   store->geometry.device_blocks) - 1;
}

#define QBD_EXTENT_CHUNK	(PAGE_SIZE / sizeof(u64))

/* Where its changed_index is in memory. */
static inline u64 *qbd_extent_changed(const struct qbd_store *store, u64 extent)
{
	return &store->extents.chunks[extent / QBD_EXTENT_CHUNK][extent % QBD_EXTENT_CHUNK];
}

static inline bool qbd_extent_written(const struct qbd_store *store, u64 extent)
{
	return *qbd_extent_changed(store, extent) != 0;
}

/* overlay.c */
void qbd_overlay_insert(struct rb_root_cached *overlay, struct qbd_overlay_node *node);
void qbd_overlay_remove(struct rb_root_cached *overlay, struct qbd_overlay_node *node);
/* Of two that hold a block: the one that counts. */
bool qbd_overlay_newer(const struct qbd_overlay_node *a,
		       const struct qbd_overlay_node *b);
/*
 * Where does @block get its content? The newest node that holds it, or NULL: the
 * data area; *@run_last: the same holds up to there, at most @last.
 */
struct qbd_overlay_node *qbd_overlay_pick(struct rb_root_cached *overlay, u64 block,
					  u64 last, u64 *run_last);

/* batch.c */
void qbd_batch_add(struct qbd_store *store, u64 start, u64 last, struct page **pages,
		   u64 index, bool writes);
/* Start what was added; ends through qbd_batch_end_io(), perhaps at once. */
void qbd_batch_begin(struct qbd_store *store, enum qbd_batch_kind kind);
void qbd_batch_step(struct qbd_store *store);
void qbd_batch_end_io(struct qbd_store *store, struct qbd_bio *bio);

/* apply.c */
void qbd_apply_step(struct qbd_store *store);
void qbd_apply_done(struct qbd_store *store);
/* Cut sorted operations into disjoint pieces, the newest wins. */
void qbd_apply_resolve(struct qbd_store *store);

/* checkpoint.c */
void qbd_checkpoint_step(struct qbd_store *store);
void qbd_checkpoint_flushed(struct qbd_store *store, int error);
static inline bool qbd_checkpoint_holds_batches(const struct qbd_store *store)
{
	return store->checkpoint.step != QBD_CHECKPOINT_NONE &&
	       store->checkpoint.step != QBD_CHECKPOINT_STATE;
}

/* read.c */
void qbd_read_step(struct qbd_store *store);
void qbd_read_end_io(struct qbd_store *store, struct qbd_store_read *read, int error);

/* grow.c */
void qbd_grow_init(struct qbd_store *store);
void qbd_grow_step(struct qbd_store *store);
void qbd_grow_batch_done(struct qbd_store *store);
/* A state block with this size is on the disk. */
void qbd_grow_durable(struct qbd_store *store, u64 device_blocks);
static inline bool qbd_grow_pending(const struct qbd_store *store)
{
	return store->grow.wanted > store->geometry.device_blocks;
}

/* Nothing is being done about it: there is no room on the disk, or no memory just now. */
static inline bool qbd_grow_stuck(const struct qbd_store *store)
{
	return qbd_grow_pending(store) && (store->grow.refused || store->grow.waiting);
}

/* The entry at @index is to be applied next: does it have to wait until this is done? */
bool qbd_grow_before(struct qbd_store *store, u64 index);
/* Process context: nobody starts anything any more. */
void qbd_grow_end(struct qbd_store *store);

/* fill.c */
int qbd_fill_init(struct qbd_store *store);
void qbd_fill_step(struct qbd_store *store);
void qbd_fill_batch_done(struct qbd_store *store);
bool qbd_fill_notify(struct qbd_store *store);

#endif
