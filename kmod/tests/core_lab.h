/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A lab for the core: nodes with a simulated clock, disk and network, driven as
 * the replica drives the core, everything decided by a seed. After every step it
 * checks what Raft promises:
 *
 *   election safety	at most one leader in a term
 *   log matching	an entry is appended only after the entry it was made after
 *   leader completeness a new leader has all that is committed
 *   one history	all members commit the same entry at an index
 *   durability		what is committed is on the disks of a quorum
 *   reads		see everything committed before they began
 *
 * The first violation is kept in lab->error.
 */
#ifndef QBD_TESTS_CORE_LAB_H
#define QBD_TESTS_CORE_LAB_H

#include "../core/internal.h"

#define LAB_NODES	9		/* ids 1 .. 9 */
#define LAB_LOG		2048		/* entries kept per node, power of two */
#define LAB_EVENTS	4096
#define LAB_FRAME	8		/* entries in one append */
#define LAB_HISTORY	65536
#define LAB_TERMS	16384
#define LAB_CONFIGS	200
#define LAB_READS	16

#define LAB_US		((u64)1000)
#define LAB_MS		((u64)1000000)
#define LAB_S		((u64)1000000000)

/* An entry with what a chained record has: @id depends on all before it. */
struct lab_entry {
	u64 term;
	u64 id;
	u64 prev;
	u32 kind;
	u32 config;		/* number in lab->configs */
};

struct lab_disk {
	u64 hard_term;
	u32 hard_vote;
	u64 base_index;
	u64 base_term;
	u64 base_id;
	u32 base_config;
	u64 base_config_index;
	u64 commit;
	bool filling;
	struct lab_entry entries[LAB_LOG];
};

struct lab_read {
	u64 ticket;		/* 0: free */
	u64 needs;		/* committed when it began */
};

struct lab_node {
	u32 id;
	bool up;
	u32 life;
	u64 paused_until;
	u64 clock_offset;
	int clock_drift;	/* in 1/1024 */
	u64 deadline;		/* lab time of the next tick */
	u64 stalled_until;	/* disk writes complete not before this */
	struct qbd_core core;
	struct qbd_core_output output;	/* of the last event */
	u32 output_flags;		/* all since last cleared */
	u64 released;
	u64 read_failed;

	/* the log in memory */
	u64 base_index;
	u64 base_id;
	u64 last;
	u64 written;		/* contiguous durable prefix */
	bool is_written[LAB_LOG];
	struct lab_entry log[LAB_LOG];

	u64 hard_pending;	/* seq being written, 0: none */
	bool hard_again;	/* and a newer one is to follow */
	u64 commit_seen;
	u32 role_seen;
	u64 term_seen;
	u64 ticket;
	struct lab_read reads[LAB_READS];
	struct lab_disk disk;
};

enum lab_event_type {
	LAB_CONTROL,
	LAB_APPEND,
	LAB_WRITE,
	LAB_HARD,
	LAB_FILL,
	LAB_FILLED,
};

struct lab_frame {
	struct qbd_append append;
	struct lab_entry entries[LAB_FRAME];
};

struct lab_event {
	u64 at;
	u64 seq;
	u32 type;
	u32 node;		/* id of the node it happens at */
	u32 life;
	union {
		struct qbd_core_message message;
		struct lab_frame frame;
		struct {
			struct lab_entry entry;
			u64 index;
			u64 generation;
			bool overtaken;		/* truncated meanwhile */
		} write;
		struct {
			u64 seq;
			u64 term;
			u32 vote;
		} hard;
		u32 from;
	};
};

/* How network and disks behave; all delays in ns. */
struct lab_weather {
	u64 delay;
	u64 delay_spread;
	u32 drop;		/* of 1024 */
	u32 duplicate;		/* of 1024 */
	u32 late;		/* of 1024: by up to two seconds, behind what was sent since */
	u64 disk;
	u64 disk_spread;
	u64 hard;		/* more for the hard state than for the log */
};

struct lab {
	u64 now;
	u64 random;
	u64 seq;
	u64 steps;
	u32 count;		/* nodes in use */
	struct lab_weather weather;
	struct qbd_core_options options;
	bool cut_control[LAB_NODES + 1][LAB_NODES + 1];
	bool cut_bulk[LAB_NODES + 1][LAB_NODES + 1];
	u32 drop_types;		/* bitmap of message types that are lost */
	u32 sent[QBD_MESSAGE_TYPE_END];
	u32 frames_sent;

	u32 heap_count;
	u32 heap[LAB_EVENTS];
	u32 free_count;
	u32 free_events[LAB_EVENTS];
	struct lab_event events[LAB_EVENTS];

	u32 config_count;
	struct qbd_config configs[LAB_CONFIGS];

	u64 commit;		/* acknowledged to clients */
	u64 history[LAB_HISTORY];
	u64 history_term[LAB_HISTORY];	/* in which it was committed */
	u8 leaders[LAB_TERMS];	/* of a term */

	const char *error;
	u32 error_node;
	u64 error_index;

	struct lab_node nodes[LAB_NODES + 1];	/* by id; 0 is not used */
};

/* One lab is enough: it is large. */
extern struct lab the_lab;

/* A stop of a core is an error of the lab, unless it is expected. */
extern bool lab_stop_expected;
extern u32 lab_stops;

u64 lab_random(struct lab *lab);
u32 lab_below(struct lab *lab, u32 limit);
bool lab_chance(struct lab *lab, u32 of_1024);
void lab_fail(struct lab *lab, u32 node, u64 index, const char *error);

/* @count nodes, ids 1.., of which the first @voters are voters. Not started. */
void lab_setup(struct lab *lab, u32 count, u32 voters, u64 seed);
void lab_boot(struct lab *lab, u32 id);
void lab_boot_all(struct lab *lab);
void lab_crash(struct lab *lab, u32 id);
/* The rest of the node's events and effects of the last call on its core. */
void lab_drain(struct lab *lab, struct lab_node *node);
u64 lab_node_now(const struct lab *lab, const struct lab_node *node);
/* The next event, whatever it is. False if there is none, or on an error. */
bool lab_step(struct lab *lab);
void lab_run(struct lab *lab, u64 duration);
/* Until @id leads and has committed in its term (0: anyone), or 10 s passed. */
u32 lab_run_to_leader(struct lab *lab, u32 id);
/* Until @id has committed @index, or 10 s passed. */
bool lab_run_to_commit(struct lab *lab, u32 id, u64 index);
/* The leader of the highest term that is up, 0 if there is none. */
u32 lab_leader(const struct lab *lab);
u64 lab_propose(struct lab *lab, u32 id);
enum qbd_propose_result lab_propose_config(struct lab *lab, u32 id,
					   const struct qbd_config *config);
void lab_read(struct lab *lab, u32 id, enum qbd_core_read_mode mode);
bool lab_lease(struct lab *lab, u32 id);
enum qbd_transfer_result lab_transfer(struct lab *lab, u32 id, u32 target);
void lab_cut(struct lab *lab, u32 a, u32 b, bool cut);
void lab_isolate(struct lab *lab, u32 id, bool cut);
void lab_link(struct lab *lab, u32 a, u32 b, enum qbd_link link, bool up);
bool lab_may_fill(const struct lab_node *from, const struct lab_node *to);
/* Drop from @id's log everything up to @index. */
void lab_compact(struct lab *lab, u32 id, u64 index);
u64 lab_entry_id(const struct lab_node *node, u64 index);
struct qbd_core *lab_core(struct lab *lab, u32 id);

/* A configuration with the first @voters of @count members as voters. */
void lab_config(struct qbd_config *config, u32 count, u32 voters);

#endif /* QBD_TESTS_CORE_LAB_H */
