/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Crash states of a run that was recorded, and what recovery makes of them.
 *
 *   recording.c  what each member's disk was given: the log of dm-log-writes, and the
 *                trace that says when
 *   history.c    records and state blocks in it: what was committed, what the data has
 *                to be, what was promised when
 *   spoiled.c    what somebody else wrote there, and until when it is missed
 *   disk.c       the disk under recovery: a state, and what recovery writes to it
 *   recover.c    one recovery, and what it has to find
 *   states.c     which states a crash may leave
 *   main.c       all of them, or one
 *
 * A write is *durable* at a moment when it was forced (FUA) and done, or when it was
 * done before a flush was begun that is done. Everything else that the disk had been
 * given until then may be on it or not, whole or in part, sector by sector.
 */
#ifndef QBD_CRASH_STATES_H
#define QBD_CRASH_STATES_H

#include "../sim/sim.h"
#include "../../kmod/replica/claim_rule.h"

#define SECTOR_BYTES	512u
#define SECTORS		8u		/* of a block */
#define MEMBERS_MAX	9u
#define NEVER		U64_MAX

/* ---- recording.c -------------------------------------------------------- */

enum area {
	AREA_OTHER,
	AREA_SUPERBLOCK,
	AREA_STATE,
	AREA_JOURNAL,
	AREA_TABLE,
	AREA_LOG,
	AREA_DATA,
};

/**
 * struct write - a write or flush that a disk was given
 * @issued: when, as a line of the trace
 * @done: likewise; NEVER
 * @durable: likewise, see above; NEVER
 * @block: first one
 * @count: blocks; 0: a flush
 * @data: what is written
 * @fua: forced
 * @flush: everything that was done before is to become durable first
 * @phase: name of what the workload did
 */
struct write {
	u64 issued;
	u64 done;
	u64 durable;
	u64 block;
	u32 count;
	const u8 *data;
	bool fua;
	bool flush;
	const char *phase;
};

/* What one disk was given, in this order. */
struct scene {
	u64 number;			/* which one it is, once it is settled */
	struct write *writes;
	u32 count;
	u32 room;
};

/**
 * struct member - a member and its disk
 * @number: its id
 * @begun: line: from then on its disk is made one of the device's
 * @made: line: it is one
 * @joined: that was while others had written already
 * @emptied_from, @emptied_to: lines between which its disk was made anew; 0: it never was
 * @witness: it is said to have no data
 */
struct member {
	u32 number;
	u64 begun, made;
	u64 emptied_from, emptied_to;
	bool joined, witness;
	struct scene scene;
	u64 entries;			/* of the log of dm-log-writes */
	struct qbd_geometry geometry;	/* with the last size of the device */
	u64 *points;			/* when what is durable changes */
	u32 point_count;
};

struct recording {
	const char *directory;
	u64 seed;
	u32 members;
	u64 blocks;			/* of each disk */
	u64 device_blocks;		/* in the end */
	u64 first_blocks;		/* as it was made */
	u64 made;			/* line: all disks that it was made with are members */
	u64 lines;
	u64 *times;			/* of each line, in microseconds */
	struct member member[MEMBERS_MAX + 1];	/* from 1 on */
	struct rot *rots;
	u32 rot_count;
	struct loss *losses;
	u32 loss_count;
};

/* A record that a member had for good and that somebody spoiled. */
struct loss {
	u32 member;
	u64 index;
	u64 block;			/* of the disk */
	u64 from, to;			/* lines between which it was */
	const struct write *write;
	u64 through;			/* the member had entries up to it for good */
	u64 over;			/* line: it had all of them again for good */
};

/* A block of a member's data that somebody else wrote, wrongly. */
struct rot {
	u32 member;
	u64 block;			/* of the device */
	u64 from, to;			/* lines between which it was */
	const struct write *write;
	u64 hash;
	u64 repaired;			/* the first entry that puts it right; NEVER */
};

extern struct recording recording;

void recording_read(const char *directory);
/* The first line that is later than a time in nanoseconds. */
u64 recording_line(u64 nanoseconds);
/* Is its disk that of a member, if a crash comes just before that line? */
bool member_is_there(const struct member *member, u64 line);
struct write *scene_add(struct scene *scene);
/* Set @durable of all writes: nothing more comes. */
void scene_settle(struct scene *scene);
enum area area_of(const struct qbd_geometry *geometry, u64 block);
const char *area_name(enum area area);
void stop(const char *format, ...) __printf(1, 2) __attribute__((noreturn));

/* ---- history.c ---------------------------------------------------------- */

/* An entry as some member wrote it. */
struct entry {
	struct entry *next;		/* another one with this index */
	u64 index, term;
	u64 line;			/* when the first one was given it */
	u32 chain, chain_previous;
	const struct qbd_record_header *header;
	const u8 **data;
};

u64 block_hash(const void *block);
extern u64 zero_hash;

void history_read(void);
u64 history_length(void);
/* Is that the committed entry? */
bool history_has(u64 index, u32 chain);
const struct entry *history_entry(u64 index, u32 chain);
/* When the first one was given it. */
u64 history_line(u64 index);
/* From when on @member's log begins behind @index for good, as a state block since says. */
u64 history_begun_anew(u32 member, u64 since, u64 index);
/* What device block @block has to hold when everything up to @index is applied. */
u64 history_hash(u64 block, u64 index);
/* The last entry up to @index that changed the extent, or its block; 0: none. */
u64 history_extent_changed(u64 extent, u64 index);
u64 history_block_changed(u64 block, u64 index);
/* Once everything up to @index is applied: how large the device is, its members, who has it. */
u64 history_blocks(u64 index);
const struct qbd_membership_layout *history_list(u64 index);
const struct qbd_claim_layout *history_claim(u64 index);
/* The claim that an entry makes of the one before; nothing if it is no claim. */
void claim_follow(struct qbd_claim_layout *claim, const struct qbd_record_header *header);
/*
 * Are these members (bits) a majority by the list in force at @index, or by one behind it
 * that somebody had been given by then?
 */
bool history_majority(u32 members, u64 index, u64 line);
/* What somebody was told to be committed by then. */
u64 history_committed(u64 line, char *why, size_t size);
/* The newest term by then that had a leader; 0 in @leader: it is not known who. */
u64 history_elected(u64 line, u32 *leader);
u32 history_leader(u64 term);
/* The entry before the first one of a term; 0: none of it was committed. */
u64 history_before_term(u64 term);
/* Of all device blocks, from when everything before @entry was applied to after it. */
void history_replay(const struct entry *entry, u64 *hashes);
u64 history_acknowledged(void);
u64 history_terms(void);
u64 history_divergent(void);

/* The entry by which that member was one for the first time. */
u64 history_added(u32 member);
/* Had anybody been given a list by then by which it votes? */
bool history_votes(u32 member, u64 line);
bool list_names(const struct qbd_membership_layout *list, u32 member);
/* Of an entry that calls itself a repair and is none; NULL. */
const char *history_bad_repair(void);
/* Blocks that were repaired. */
u64 history_repairs(void);

/* What member @number had promised about its own disk. */
struct promise {
	u64 line;			/* by then */
	bool made;			/* its disk is one of the device's */
	bool filled;			/* it has told its disk that it was */
	u64 missing;			/* it was emptied, and new until it has all up to that */
	u64 durable;			/* entries up to it, but these: */
	u64 lost, lost_through;		/* may be lost, which it knows then; 0: none */
	u32 chain;			/* of that one; 0: before its log */
	u64 cut;			/* the newest truncation cut here */
	u32 cut_chain;			/* and this was written there then; 0: nothing */
	u64 term;
	u32 vote;
	u32 flags_all, flags_any;	/* QBD_STATE_* that each, that any block may say */
	u32 flags_ever;			/* that any has said so far */
	u64 blocks;			/* its device was seen to be so large */
};

void history_promise(const struct member *member, u64 line, struct promise *promise);

/* ---- spoiled.c ---------------------------------------------------------- */

void spoiled_settle(void);
/* Is there a block at that line that may not be put right yet, or a record? */
bool spoiled_at(u64 line);
/* May a block of that member's data hold that, all up to @index applied? */
bool spoiled_may_hold(u32 member, u64 line, u64 block, u64 hash, u64 index);
/* What it may have lost by then. */
void spoiled_promise(const struct member *member, u64 line, struct promise *promise);

/* ---- disk.c ------------------------------------------------------------- */

/* A state that was put aside. */
struct saved {
	u32 count;
	u32 *blocks;
	const u8 **data;
};

void disk_begin(u64 blocks);
void disk_begin_base(void);
void disk_put_base(u64 block, const u8 *data, u64 issued);
bool disk_base_is_newer(u64 block, u64 issued);
/* The state: a block that differs from the base. */
void disk_set(u64 block, const u8 *data);
/* Memory until disk_back_to(), or disk_reset(). */
u8 *disk_block_alloc(void);
u32 disk_mark(void);
void disk_back_to(u32 mark);
void disk_save(struct saved *saved);
void disk_restore(const struct saved *saved);
void disk_saved_free(struct saved *saved);
/* The state is the base again. */
void disk_reset(void);
/* What recovery wrote is forgotten. */
void disk_reset_written(void);
/* With what recovery wrote, and without. */
const u8 *disk_read(u64 block);
const u8 *disk_read_state(u64 block);
u64 disk_hash(u64 block);
u64 disk_state_hash(void);
void disk_write_image(const char *path);
/* What recovery wrote, until disk_reset_written(), and its clock. */
extern struct scene disk_scene;
extern u64 disk_clock;

/* ---- recover.c ---------------------------------------------------------- */

struct outcome {
	char error[400];		/* empty: good */
	u64 last, agreed;		/* of the log; what of it is committed history */
	u64 commit, applied;
	u64 term;
	u32 vote;
	bool filling, is_new;
	bool nothing;			/* no member's disk yet */
	const u32 *chains;		/* of its entries, until the next recovery */
};

void recover_begin(void);
/* Recover what is in disk.c. */
void recover(const struct member *member, const struct promise *promise,
	     struct outcome *outcome);
extern u64 recoveries;

/* ---- states.c ----------------------------------------------------------- */

/**
 * struct choice - one state that a crash may leave
 * @scene: what was written
 * @geometry: of the disk
 * @at: the crash comes just before that line
 * @since: writes from then on get all variants; others are there or not by lot
 * @variant: which one
 * @salt: for what is decided by lot
 * @whole: what is durable is to be put there, too, it is not in the disk's base
 * @spoiled: out: a block of the extent table was destroyed on top
 * @about_table: out: it is about one write to the extent table
 */
struct choice {
	const struct scene *scene;
	const struct qbd_geometry *geometry;
	u64 at;
	u64 since;
	u32 variant;
	u64 salt;
	bool whole;
	bool spoiled;
	bool about_table;
};

/* How many variants there are. */
u32 states_count(const struct choice *choice);
/* Is that one of those without which no moment counts as visited? */
bool states_always(const struct choice *choice);
/* Put it onto the disk. */
void states_build(struct choice *choice);
/* Say what it is made of. */
void states_describe(const struct choice *choice, const char *indent);
/* The base has all that is durable before that line. */
void states_advance(const struct member *member, u64 line);
u64 mix(u64 a, u64 b);

/* ---- main.c, samples.c --------------------------------------------------- */

struct choice first_choice(const struct member *member, u32 point);
/* Where a member is when the crash comes just before a line. */
u32 point_at(const struct member *member, u64 line);
int write_samples(u32 count, const char *to);
int write_dumps(u32 count, const char *to);
int compare_sample(const char *to);

#endif
