/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A world of hosts, each with the module's own code, decided by a seed.
 *
 *   world.c     time, events, random numbers, threads; what went wrong
 *   kernel/     the kernel of each host
 *   disk.c      disks that forget, tear, stall, fail and rot
 *   network.c   kmod/net/net.h: connections that are late, stuck, half open
 *   client.c    kmod/blk/blk.h: readers and writers, and what they may see
 *   linear.c    likewise, where several write the same block at once
 *   claims.c    who may write
 *   sizes.c     the device grows
 *   settings.c  how much those that catch up may be sent
 *   module.c    the life of a member: format, up, down, power cut
 *   members.c   who is to vote, to come and to go
 *   asked.c     what comes of it when that is asked for
 *   heard.c     what a leader was told by the others
 *   addresses.c members that get another address
 *   join.c      hosts that become members
 *   witness.c   members that have a log and no data
 *   clients.c   members that keep no data and use the device
 *   lists.c     the lists of members that were committed, and what has to hold of them
 *   invariants.c what has to hold after every step
 *   matching.c  likewise: logs with an entry of the same index and term are the same so far
 *   once.c      likewise: no write is in the log twice
 *   faults.c    what happens to a world, drawn from the seed
 *   kinds.c     what happens beside these: each kind can be left out of a world
 *   plans.c     several faults, each at its moment
 *   rollback.c  disks that are an older image of themselves
 *   clones.c    disks that are copied, and up twice
 *   records.c   records of the log that rot while their member is up
 *   verify.c    replicas that are compared and repaired
 *   heal.c      the end of a world
 *   bare.c      before that: a bare majority goes on, while the others are as they were
 *   few.c       the end: a bare majority, one of which is being filled
 *   recover.c   of some: a majority is lost for good, and one host goes on alone
 *   main.c      seeds, traces, shrinking
 *
 * One event is one step. All that is random comes from sim_random(), or from numbers that
 * are made of the seed, too (sim_below_of()), so a seed is a run. sim_left_out says which of the
 * faults of faults.c do not happen, and world.without which kinds of what is drawn apart, so
 * that a run can be shrunk: nothing else is drawn otherwise because of that.
 */
#ifndef QBD_SIM_H
#define QBD_SIM_H

#include "kernel/kernel.h"

#include "../../kmod/replica/internal.h"
#include "../../kmod/store/internal.h"

/* A host is a member id: as many as a run may give, and one that is no id. */
#define SIM_HOSTS_MAX		21
#define SIM_COPY		SIM_HOSTS_MAX	/* it has a copy of another one's disk */
/* Nobody asks for more ids than these; who asks again after he was given one gets another. */
#define SIM_IDS_MAX		15
#define SIM_JOINERS	3	/* hosts that are about to become one */
#define SIM_US		1000ull
#define SIM_MS		1000000ull
#define SIM_S		1000000000ull

/* ---- world.c ------------------------------------------------------------ */

struct sim_event {
	u64 at;
	u64 order;		/* of equal times */
	u32 host;		/* number, 0: the world's own */
	u32 life;		/* of the host; void in another one */
	u32 generation;		/* of the slot */
	bool used;
	void (*run)(void *object, u64 argument);
	void *object;
	u64 argument;
};

struct sim_host {
	u32 number;			/* member id, from 1 on; but SIM_COPY's is: */
	u32 copy_of;			/* 0: of no other */
	u32 life;			/* counts boots and power cuts */
	bool exists;			/* it has a disk of this device */
	bool witness;			/* with no room for data */
	bool client;			/* likewise, and has a block device */
	bool powered;
	bool going_up, going_down, moving, changing;	/* a thread is at it */
	bool refused;			/* memory, while it came up */
	u64 paused_until;
	bool preempted;
	u64 preempt_for;		/* time; its next work is to be, 0: as it comes */
	struct qbd_verify_wish verify_wish;
	u32 move_to;			/* whom leadership is moved to, 0: anybody */
	/* its clock: @clock_base at @clock_at, @drift ppm faster than the world's */
	u64 clock_base, clock_at;
	s32 drift;
	struct net net;
	struct block_device bdev;
	struct qbd_replica *replica;	/* NULL: not up */
	struct qbd_disk *blk;		/* NULL: there is none */
	struct qbd_net *network;	/* NULL: there is none */
	struct list_head memory __attribute__((aligned(16)));	/* as its pieces are */
	u32 pages;			/* first one of its list, 0: none */
	u64 allocated;			/* pieces of memory and pages */
	/* what was last known of it, see invariants.c */
	u32 role;
	u64 term;
	u64 commit;
	u64 checked;			/* entries up to it were compared */
	u64 matched, matched_generation;	/* likewise, see matching.c */
	u64 durable;			/* when its power went */
	u64 told_commit;		/* likewise, what it knew to be committed */
	u64 data_through;		/* its data may hold entries up to it, since then */
	bool was_filling;		/* likewise */
	u32 fill_step;			/* likewise, enum qbd_fill_step */
	u64 applied;			/* index of the last entry applied there */
	bool whole;			/* its data is what the history says */
	bool disk_erred;		/* it failed a read or a write, ever */
	bool write_erred;		/* a write */
	bool spoiled;			/* its disk was made anew since, or is out of use */
	bool rotten;			/* part of it was lost since */
	bool data_rot;			/* of its data, and it does not know: verify.c */
	bool rot_left;			/* and may be found only when it comes up again */
	u64 told_term;			/* highest in which it asked or acknowledged */
	u64 vote_term;			/* of its newest vote that left */
	u32 vote;			/* and for whom that was */
	bool rolled_back;		/* its disk was, ever */
	bool found_damaged;		/* by itself, when it came up */
	bool unsound;			/* no full member: new, filling, damaged, failed */
	bool failed;			/* its disk has to be replaced */
	u32 guest;			/* it joined, as number so many; 0: there from the start */
	bool knows;			/* it would not come up, for it was removed */
	u64 removed_in;			/* term in which it came to know that */
	u64 leads_removed_since;	/* time, while all is well */
	bool former;			/* of the history of before a majority was lost */
};

/* Who it says that it is. */
static inline u32 sim_member_id(const struct sim_host *host)
{
	return host->copy_of ?: host->number;
}

struct sim_weather {
	u64 delay, delay_spread;	/* of the network, one way */
	u64 disk, disk_spread;
	u64 run_spread;			/* until a work runs */
	u32 refuse_nowait;		/* of 1024: the disk has no tag left */
	u32 refuse_memory;		/* of 1024: of allocations that may fail */
	u32 refuse_up;			/* one of so many when a member comes up; 0: none */
};

struct sim_world {
	u64 seed;
	u64 random;
	u64 now;
	u64 steps;
	u32 count;			/* hosts that there were so far; some may have no disk */
	u32 founders;			/* of them: those that were there from the start */
	struct sim_host hosts[SIM_HOSTS_MAX + 1 + SIM_JOINERS];	/* from 1 on */
	struct sim_weather weather;
	u32 worst_disk;		/* host whose disk rots, fails writes, and reads when it comes up */
	bool errors;		/* a disk failed a read or a write in this run */
	bool filling;		/* members stay away until the log has passed them by */
	bool changes;		/* members change all the time */
	bool joins;		/* members come and go */
	u32 voters_min;		/* nobody asks for fewer */
	bool overlap;		/* several hosts write the same blocks at the same time */
	bool witnesses;		/* some members have no data */
	bool clients;		/* some that join are clients */
	bool exclusive;		/* a host claims the device before it writes */
	bool readers;		/* some mount it read-only, and write later */
	bool modes;		/* and all may write at times */
	bool asks_first;	/* some want members changed, and not by force */
	u64 asks_random;	/* of these */
	bool plans;		/* plans are made, and little else happens */
	bool claim_plans;	/* one about claims is made now and then, see plans.c */
	bool moves;		/* members get other addresses */
	bool copies;		/* disks are copied, and up twice */
	bool grows;		/* the device does, see sizes.c */
	bool sparse;		/* few writes, each somewhere else */
	bool hurry;		/* not so few */
	bool rots;		/* some disk may */
	bool preempts;		/* works lose their processor */
	bool quiet;		/* no faults but the one that main.c makes */
	bool healing;
	bool recovers;		/* a majority is lost for good in the end */
	u32 kinds;		/* those that the seed draws, by number, see kinds.c */
	u32 without;		/* those that are left out, drawn or not */
	bool trace;
	u64 trace_from;
	const char *error;
	char error_text[1024];
	const char *error_kind;		/* its format */
};

extern struct sim_world world;
/* Whose code runs; NULL: nobody's. */
extern struct sim_host *sim_host;

u64 sim_random(void);
u32 sim_below(u32 bound);		/* 0..bound-1; 0 if @bound is 0 */
u32 sim_below_of(u64 *state, u32 bound);	/* likewise, of numbers of one's own */
bool sim_chance(u32 of_1024);
u64 sim_spread(u64 base, u64 spread);	/* base..base+spread, rarely much more */

/* Handle; @at is world time. */
u64 sim_event(struct sim_host *host, u64 at, void (*run)(void *object, u64 argument),
	      void *object, u64 argument);
void sim_event_cancel(u64 handle);
/* Run the next event; false if there is none. */
bool sim_step(void);
void sim_pass_time(void);
/* A work may lose its processor now. */
void sim_preempt(void);
/* After each event of a host that is up; set by main. */
void sim_after_event(struct sim_host *host);

/* What happened so far, in all runs: how much of it is tried? */
extern struct sim_counts {
	u64 power_cuts, elections, resets, filled, fills_disturbed, rounds_cut, preempted;
	u64 damaged, tables_lost, rotten, unreadable, views;
	u64 records_rotten, records_old, records_wanted, records_at_end, records_read, records_over;
	u64 clients, witnesses, changes, lists, joined, left, claims, modes, forced, passed_on;
	u64 no_majority, in_use, unforced;
	u64 resizes, rates_set;
	u64 newcomers, told;
	u64 verified, data_rots;
	u64 recovered, entries_lost, entries_revived, lists_lost, claims_set_back, commands_cut;
	u64 joined_anew, former_refused;
	u64 sluggish, moved, moved_unawares, moves_ended, knocks, anew;
	u64 images, rolled_back, rollbacks_known, rollbacks_kept, rollbacks_lost;
	u64 few, few_untold, few_in_the_way, few_witness;
	u64 bare, bare_parts, bare_given_up;
	u64 copied, copies_refused, copies_told, copies_let_in;
} sim_counts;

void sim_world_begin(u64 seed);
void sim_world_end(void);
/* The first one counts. */
void sim_fail(const char *format, ...) __printf(1, 2);
void sim_trace(const char *format, ...) __printf(1, 2);

u64 sim_host_time(const struct sim_host *host);
u64 sim_world_time(const struct sim_host *host, u64 host_time);
/* A thread of the current host. */
void sim_thread(void (*run)(void *object), void *object);
void sim_thread_on(struct sim_host *host, void (*run)(void *object), void *object);
/* Everything of this life is void: events, threads. */
void sim_host_void(struct sim_host *host);

/* memory.c: what memory holds that nobody has written yet. */
extern u8 sim_poison;
void sim_memory_drop(struct sim_host *host);

/* ---- disk.c ------------------------------------------------------------- */

struct sim_disk;

#define SIM_DISK_BLOCKS_MAX	(1u << 20)

/* Rubbish from @rubbish on, which is the data area: nobody may see it. */
void sim_disk_make(struct sim_host *host, u64 blocks, u64 rubbish);
void sim_disk_submit(struct bio *bio);
void sim_disk_power_cut(struct sim_host *host);
/* What a reader finds there now. Written by the caller: durable at once. */
u8 *sim_disk_block(struct sim_host *host, u64 block);
/* Likewise, to be looked at only. */
const u8 *sim_disk_look(const struct sim_host *host, u64 block);
void sim_disk_stall(struct sim_host *host, u64 until);
void sim_disk_enlarge(struct sim_host *host, u64 blocks);
/* Its reads do; writes go to a cache. */
void sim_disk_stall_reads(struct sim_host *host, u64 until);
/* Its writes that are under way take so long, those that come go on. false: there are none. */
bool sim_disk_hold_writes(struct sim_host *host, u64 until);
/* Of 1024 of reads and writes from now on. */
void sim_disk_errors(struct sim_host *host, u32 reads, u32 writes);
/* Is that the end of a request? */
bool sim_disk_brings(void (*run)(void *object, u64 argument));
bool sim_disk_fails_writes(const struct sim_host *host);

/* Could a power cut leave anything in a block of the data area that nobody wrote there? */
bool sim_disk_may_lack(const struct sim_host *host, u64 block);

enum sim_rot {
	SIM_ROT_BIT,
	SIM_ROT_SECTOR,		/* zeroes */
	SIM_ROT_MISDIRECTED,	/* it holds what was meant for another place */
	SIM_ROT_STALE,		/* what was written last is not there */
	SIM_ROT_UNREADABLE,	/* until it is written */
	SIM_ROT_END
};

/* Spoil what is on it; while its host is up only what is there for good. */
void sim_disk_rot(struct sim_host *host, u64 block, enum sim_rot rot);
void sim_disk_readable(struct sim_host *host);
/* Is there a block that cannot be read, outside of the data area? */
bool sim_disk_unreadable(const struct sim_host *host);

/* What is on it now, and that again, which is older. */
struct sim_image;
struct sim_image *sim_disk_image(const struct sim_host *host);
void sim_disk_restore(struct sim_host *host, const struct sim_image *image);
void sim_disk_image_free(struct sim_image *image);

/* ---- network.c ---------------------------------------------------------- */

void sim_network_begin(void);
void sim_network_cut(u32 from, u32 to, bool cut);
bool sim_network_is_cut(u32 from, u32 to);
/* From and to all others. */
void sim_network_isolate(u32 number, bool cut);
void sim_network_heal(void);
/* It connects with that one only, whatever heals; 0: with everybody. */
void sim_network_only(u32 host, u32 peer);
/* It listens at one address: nobody looks for it elsewhere. */
bool sim_network_at_one_place(const struct sim_host *host);
/* Else the port of the one that the list does not name. */
u32 sim_network_other_place(const struct sim_host *host);
/* What does @host say that it knows of an earlier run of @peer? false: nothing. */
bool sim_network_known(const struct sim_host *host, u32 peer, u64 *run, u64 *term, u64 *index);
void sim_network_power_cut(struct sim_host *host);
/* What its operations are called with; NULL: the host has no network. */
void *sim_network_context(const struct sim_host *host);
/* Close the connections between two hosts. */
void sim_network_reset(u32 a, u32 b);
/* Is that a frame that comes in? */
bool sim_network_brings(void (*run)(void *object, u64 argument));
/* What is not control stands still on its way. */
void sim_network_bulk_stall(u32 from, u32 to, u64 until);
/* So many frames of it come, and then it does. */
void sim_network_bulk_pass(u32 from, u32 to, u32 frames, u64 until);
/* Everything does. */
void sim_network_stall(u32 from, u32 to, u64 until);
/* Is anything on its way that is not control, or that is? */
bool sim_network_waits(u32 from, u32 to, bool bulk);
/* A program asks the member there for something; @list: for these members, NULL: what it is. */
bool sim_network_ask(struct sim_host *host, u64 connection,
		     const struct qbd_membership_layout *list);

/* ---- client.c ----------------------------------------------------------- */

void sim_client_begin(void);
void sim_client_power_cut(struct sim_host *host);
/* Ask for something, if there may be more. */
void sim_client_work(struct sim_host *host);
/* Write these blocks of one stripe from there, if that may be now. */
void sim_client_write(struct sim_host *host, u32 number, u32 count);
/* Open it there, or close it as soon as nothing is waited for. Return: it is open for write. */
bool sim_client_turn(struct sim_host *host, bool its_turn);
/* Read there what was written last, by anybody. */
void sim_client_read_newest(struct sim_host *host);
void sim_client_probe_begin(void);
/* Likewise; only at these hosts, a bitmap, and a read after that. */
void sim_client_probe_few(u32 hosts, bool read_first);
/* One write at each member has to complete; true when they all did. */
bool sim_client_probe(void);
bool sim_client_idle(void);
bool sim_client_idle_at(u32 hosts);
u64 sim_client_operations(void);
/* Could a reader find that there? */
bool sim_client_may_hold(u32 number, u64 value);
/* One host goes on alone: what was written there and is not in its log is lost. */
void sim_client_forget(u32 number, u64 value);

/* ---- linear.c ----------------------------------------------------------- */

void sim_linear_begin(void);
/* Of two moments the later one is higher. */
u64 sim_linear_now(void);
/* No two writes of a block have the same value. */
void sim_linear_write_begins(u32 number, u64 value, u32 host);
void sim_linear_write_ends(u32 number, u64 value);
void sim_linear_write_given_up(u32 number, u64 value);
void sim_linear_host_wrote(u32 host, u64 begun);
void sim_linear_read(u32 number, u64 value, u64 begun, u32 host);
bool sim_linear_may_hold(u32 number, u64 value);
void sim_linear_forget(u32 number, u64 value);

/* ---- matching.c --------------------------------------------------------- */

void sim_matching_begin(void);
/* After each step of that host. */
void sim_matching_check(struct sim_host *host, const struct qbd_store *store);
void sim_matching_fork(void);

/* ---- once.c ------------------------------------------------------------- */

void sim_once_begin(void);
void sim_once_committed(const struct qbd_record *record);
void sim_once_leads(const struct sim_host *host, const struct qbd_replica *replica);
void sim_once_fork(u64 common);
/* ---- claims.c ----------------------------------------------------------- */

/* What a host has not missed: */
struct sim_view {
	u64 given;		/* the newest claim of another host, if that is over; else 0 */
	u64 written;		/* entries with data of another host, up to this one */
	u64 by_former_run;	/* likewise of an earlier run of its own */
	u64 repaired;		/* and of those with which a verification put blocks right */
};

/* Which worlds change the mode; of those in which a host claims the device. */
void sim_claims_draw(void);
u32 sim_claims_first_mode(void);
void sim_claims_begin(void);
void sim_claims_committed(const struct qbd_record *record);
void sim_claims_check(const struct sim_host *host);
bool sim_claims_asked(const struct sim_host *host);
void sim_claims_answer(struct sim_host *host, int error);
bool sim_claims_open(const struct sim_host *host);
bool sim_claims_needed(const struct sim_host *host);
bool sim_claims_written(const struct sim_host *host);
void sim_claims_wrote(const struct sim_host *host);
bool sim_claims_mounted(const struct sim_host *host);
u64 sim_claims_view(const struct sim_host *host);
u64 sim_claims_closings(const struct sim_host *host);
struct sim_view sim_claims_seen(const struct sim_host *host);
void sim_claims_read(const struct sim_host *host, u64 view, const struct sim_view *made, bool late);
void sim_claims_off(struct sim_host *host);
/* May it write now? @idle: it waits for no answer. */
bool sim_claims_use(struct sim_host *host, bool idle);
bool sim_claims_turn(struct sim_host *host, bool its_turn, bool idle);
/* Somebody there has it open, or mounted, or is about to. */
bool sim_claims_busy(const struct sim_host *host);
/* Of the committed history: the mode; the host that has a claim, 0: none has. */
u32 sim_claims_mode(void);
u32 sim_claims_holder(void);
/* An administrator there wants that mode. */
void sim_claims_set_mode(struct sim_host *host, u32 mode);
void sim_claims_fork(u64 common, u64 last, bool lost, u32 mode);

/* Somebody there has it open, and that has not failed for him already. */
bool sim_claims_uses(const struct sim_host *host);
/* When that was so last. */
u64 sim_claims_used_at(const struct sim_host *host);

/* ---- follow.c ----------------------------------------------------------- */

void sim_follow_begin(void);
/* @host is up, in the history that goes on. */
void sim_follow_check(struct sim_host *host, struct qbd_replica *replica);

/* ---- sizes.c ------------------------------------------------------------ */

void sim_sizes_begin(void);
/* In blocks. */
u64 sim_sizes_first(void);
u64 sim_sizes_room(struct sim_host *host, u64 blocks);
void sim_sizes_committed(const struct qbd_record *record);
void sim_sizes_check(const struct sim_host *host, const struct qbd_store *store);
u64 sim_sizes_of_table(const struct qbd_replica *replica);
/* A block device is of that size, from now on. */
void sim_sizes_shown(const struct sim_host *host, u64 blocks);
bool sim_sizes_settled(const struct sim_host *host, const struct qbd_store *store);
void sim_sizes_step(void);
bool sim_sizes_final(void);
void sim_sizes_fork(u64 common);

/* ---- module.c ----------------------------------------------------------- */

void sim_module_begin(void);
/* What is on the disk of @host now is on that of SIM_COPY, which is off. */
void sim_member_copy(const struct sim_host *host);
/* A member disk: new, or as if another had been put in its place. */
void sim_member_format(struct sim_host *host);
/* One that joins: the list has it, and is committed. */
void sim_member_format_joined(struct sim_host *host, const struct qbd_description *device,
			      const u8 *incarnation);
void sim_uuid_draw(u8 *uuid);
/* How large a device its disk has room for. */
u64 sim_member_room(const struct sim_host *host);
void sim_member_enlarge(struct sim_host *host, u64 blocks);
void sim_member_power_on(struct sim_host *host);
void sim_member_power_cut(struct sim_host *host);
/* In order. */
void sim_member_down(struct sim_host *host);
/* The world ends. */
void sim_member_vanish(struct sim_host *host);
/* Somebody there asks for leadership to be moved to that one; 0: to anybody. */
void sim_member_move_leader(struct sim_host *host, u32 target);
/* Somebody there has all replicas compared, and made equal. */
void sim_member_verify(struct sim_host *host, u64 first, u64 blocks, bool repair);

/*
 * The blocks that are used: stripes of SIM_STRIPE, each written by one host. They lie side
 * by side, or far apart, so that each has its own block of the extent table.
 */
#define SIM_STRIPE	32u
#define SIM_USED_BLOCKS	1024u

extern u64 sim_device_blocks;
extern u64 sim_table_blocks;
extern u64 sim_stride;		/* from stripe to stripe */
extern const u8 sim_uuid[QBD_UUID_SIZE];
/* Its place on the device. */
u64 sim_place(u32 number);
u32 sim_number(u64 block);

/* ---- members.c ---------------------------------------------------------- */

/* What is meant to become of a member, and how. */
#define SIM_MEANT	(QBD_MEMBER_INTENTS | QBD_MEMBER_FORCED)

void sim_members_begin(void);
/* Where a member listens: one of the first, or one that joined as number @guest. */
void sim_member_place(struct qbd_member_layout *member, u32 number, u32 guest);
/* Somebody there asks for other members: a few are to vote, not to vote, to go. */
void sim_member_change(struct sim_host *host);
/*
 * Everything is well: is the list of members what it is to be? Who can never be one is taken
 * out of it.
 */
bool sim_members_final(void);
/* One more is to go, if that may be. Everybody is there: it is told. */
void sim_members_remove_one(void);
bool sim_members_removed_one(void);

/* ---- asked.c ------------------------------------------------------------ */

struct sim_asked_member {
	u64 claim;		/* its epoch, at the end of the leader's log; 0: it has none */
	bool holds;		/* and this run of its host has it */
	bool uses;		/* its host has the device open */
	u64 closings;
	u64 session;
};

/* How it was when somebody began to ask for other members. */
struct sim_asked {
	const struct qbd_membership_layout *wanted;
	bool force;
	struct sim_host *leader;	/* NULL: who asks knows nobody that leads */
	u64 term;
	u64 since;			/* by the leader's clock */
	struct qbd_membership_layout list;
	struct sim_asked_member members[SIM_HOSTS_MAX + 1];
};

void sim_asked_draw(void);
void sim_asked_begin(struct sim_asked *asked, const struct sim_host *host,
		     const struct qbd_membership_layout *wanted, bool force);
void sim_asked_end(const struct sim_asked *asked, const struct sim_host *host, int error,
		   const char *text);
/* After each step of that host. */
void sim_asked_check(const struct sim_host *host, const struct qbd_replica *replica);

/* ---- heard.c ------------------------------------------------------------ */

/* Of one member by a leader; times are the leader's, those of "since" 0: not so. */
struct sim_heard {
	u64 term;
	u64 at;				/* the last answer */
	u64 gap_at;			/* the last one that was the first or came late */
	u64 match;			/* it has said that it has so many entries */
	u64 well_since, unwell_since;	/* it says that it is not being filled, nor has failed */
	u64 unfit_since;		/* it says that it could not lead */
	u64 uses_since, idle_since;	/* that its host uses the device */
};

void sim_heard_begin(void);
void sim_heard_answer(const struct sim_host *host, u32 peer,
		      const struct qbd_core_message *message);
u64 sim_heard_often(const struct qbd_replica *leader);
/* NULL: nothing, in this leadership. */
const struct sim_heard *sim_heard_of(const struct sim_host *leader, u32 id);
/* It has answered all the time since then. */
bool sim_heard_lately(const struct sim_host *leader, u32 id, u64 since);
/* Likewise, and is not being filled, nor has failed. */
bool sim_heard_there(const struct sim_host *leader, u32 id, u64 since);
/* It does not answer, or not so. */
bool sim_heard_away(const struct sim_host *leader, u32 id);
/* No majority is there, for certain, by the list in force. */
bool sim_heard_no_majority(const struct sim_host *leader);

/* ---- addresses.c -------------------------------------------------------- */

void sim_addresses_begin(void);
/* After each step, while there are faults. */
void sim_addresses_step(void);
/* Everything is well: does each member listen where it is, and nowhere else? */
bool sim_addresses_final(void);
/* Is that one of the host's? */
bool sim_addresses_has(u32 number, const struct qbd_address *address);
void sim_addresses_list(const struct qbd_membership_layout *now,
			const struct qbd_membership_layout *next);

/* ---- join.c ------------------------------------------------------------- */

void sim_join_begin(void);
void sim_join_end(void);
/* A host wants to become a member, and asks @contact first. */
void sim_join(struct sim_host *contact, u64 random);
bool sim_join_idle(void);
/* The answer to sim_network_ask(). */
void sim_join_answer(u64 connection, const struct qbd_frame_reply *reply, const void *data);

/* ---- witness.c ---------------------------------------------------------- */

void sim_witnesses_begin(void);
bool sim_witnesses_spare(const struct sim_host *host);
bool sim_witnesses_guest(u32 guest);
bool sim_witnesses_too_many(const struct qbd_membership_layout *list);
void sim_witnesses_go(struct qbd_membership_layout *list);
bool sim_witnesses_nonsense(struct qbd_membership_layout *list);
void sim_witnesses_check(const struct sim_host *host, const struct qbd_replica *replica);
void sim_witnesses_committed(const struct qbd_record *record, u32 leader);
void sim_witnesses_list(const struct qbd_membership_layout *list);

/* ---- clients.c ---------------------------------------------------------- */

void sim_clients_begin(void);
bool sim_clients_guest(u32 guest);
bool sim_clients_nonsense(struct qbd_membership_layout *list);
void sim_clients_check(const struct sim_host *host, const struct qbd_replica *replica);
void sim_clients_list(const struct qbd_membership_layout *list);

static inline bool sim_keeps_data(const struct sim_host *host)
{
	return !host->witness && !host->client;
}

/* ---- lists.c ------------------------------------------------------------ */

void sim_lists_begin(void);
/* The newest that is committed. */
const struct qbd_membership_layout *sim_lists_now(void);
/* That of entry @index is. @writer: the host that led when it was written; 0: unknown. */
void sim_lists_committed(u32 writer, u64 index, const struct qbd_membership_layout *next);
/* After each step of that host. */
void sim_lists_check(const struct sim_host *host, const struct qbd_replica *replica);
/* Index of the one that is in force for who has committed so much, 0: the first. */
u64 sim_lists_index_at(u64 commit);
/* Is that one in it? And is it there only to hear that it goes, or was it removed? */
bool sim_lists_has(u32 number);
bool sim_lists_out(u32 number);
/* It was a member, and is none any more. */
bool sim_lists_gone(u32 number);
/* One to which that id was given by a committed list, as guest number @guest. */
bool sim_lists_gave(u32 number, u32 guest);
/* A member, by that list or one that is in force somewhere. */
bool sim_lists_counts(u32 number);
/* A list is committed in the history of before a majority was lost. */
void sim_lists_former(const struct qbd_membership_layout *list);
/* One host goes on alone, with that list, from entry @common on. */
void sim_lists_fork(const struct sim_host *host, u64 common,
		    const struct qbd_membership_layout *list);
/* May a disk be lost? Of three voters one may, in each set that decides. */
bool sim_lists_spare_one(void);
/* Bitmap of the members that have that flag. */
u32 sim_lists_set(const struct qbd_membership_layout *list, u16 flag);

/* ---- invariants.c ------------------------------------------------------- */

void sim_invariants_begin(void);
void sim_invariants_host_up(struct sim_host *host,
			    const struct qbd_store_recovered *recovered);
void sim_invariants_not_up(struct sim_host *host, int error, const char *text);
void sim_invariants_check(struct sim_host *host);
void sim_invariants_power_cut(struct sim_host *host);
/* It is about to be sent. */
void sim_invariants_message(struct sim_host *host, const struct qbd_core_message *message);
/* A block of the extent table is about to be written. */
void sim_invariants_table(struct sim_host *host, const void *block);
/* Is all that is committed in its log, or was it? */
bool sim_invariants_has_all(const struct qbd_replica *replica);
/* Index of the last entry that is committed. */
u64 sim_invariants_committed(void);
/* Is that entry committed, with that chain? */
bool sim_invariants_is_committed(u64 index, u32 chain);
/* The replica of a host that has a network; else NULL. */
struct qbd_replica *sim_replica(const struct sim_host *host);
/* All members have applied all that is committed. */
bool sim_invariants_settled(void);
/*
 * One host goes on alone with what is in that log: so far it is the history of all. Return: up
 * to which entry. What was committed beyond is lost here, and is that of all other hosts.
 */
u64 sim_invariants_fork(struct sim_host *host, const struct qbd_store *store, u64 term);
/* All members hold the same, and it is what the history says. */
void sim_invariants_replicas(void);

/* The value that a block of data carries, in each of its words; false: torn. */
bool sim_value_of(const void *block, u64 *value);
void sim_value_fill(void *block, u64 value);

/* ---- faults.c ----------------------------------------------------------- */

#define SIM_FAULTS_MAX	4096

void sim_faults_begin(void);
/* After each step, while there are faults. */
void sim_faults_step(void);
/* Users ask for something, or not. */
void sim_faults_work(void);
u32 sim_faults_made(void);
/* The power of all hosts goes, and comes back. */
void sim_faults_outage(void);
/* Is every other member one that has everything? */
bool sim_faults_others_whole(const struct sim_host *host);
void sim_faults_new_disk(struct sim_host *host);
/* Its disk fails writes from now on, if one of this run may. */
bool sim_faults_fail_writes(struct sim_host *host, u32 of_1024);
/* Its power goes and comes back, and meanwhile these blocks go bad. */
void sim_faults_spoil(struct sim_host *host, const u64 *blocks, u32 count, enum sim_rot rot);
/* Those that shall not happen, by number. */
extern u8 sim_left_out[SIM_FAULTS_MAX];
/* Print them as they come; main.c's. */
extern bool sim_list_faults;

/* ---- kinds.c ------------------------------------------------------------ */

enum sim_kind {
	SIM_ROLLBACKS,		/* rollback.c */
	SIM_COPIES,		/* clones.c */
	SIM_RECORDS,		/* records.c */
	SIM_ANEW,		/* disks made anew where members come and go: faults.c */
	SIM_SIZES,		/* sizes.c */
	SIM_SETTINGS,		/* settings.c */
	SIM_VERIFY,		/* verify.c */
	SIM_MOVES,		/* addresses.c */
	SIM_CLAIMS,		/* claims.c */
	SIM_PREEMPTION,		/* works lose their processor: world.c */
	SIM_BARE,		/* bare.c */
	SIM_FEW,		/* few.c */
	SIM_RECOVER,		/* recover.c */
	SIM_UNFORCED,		/* members are changed without force: asked.c */
	SIM_SLOW,		/* the disk of who has the claim stands still: follow.c */
	SIM_SLUGGISH,		/* in the end the disks of all are slow: heal.c */
	SIM_KINDS
};

bool sim_has(enum sim_kind kind, bool drawn);
bool sim_drawn(enum sim_kind kind);
const char *sim_kinds_text(u32 kinds);
const char *sim_kinds_order(void);
bool sim_kinds_parse(const char *text, u32 *kinds);

/* apart.c: runs that do not come to their end */
struct sim_ended {
	u64 step;
	u64 now;
	u32 faults;		/* that were made by then */
	u32 kinds;		/* as in struct sim_world */
};

extern u64 sim_trap_at, sim_loop_at;

/* Where the run is now. */
struct sim_ended sim_apart_here(void);
void sim_apart_watch(u64 steps_wanted, u32 seconds);
void sim_apart_runs(u64 seed);
int sim_apart_run(bool (*run)(u64 seed), u64 seed, u32 seconds, bool quiet,
		  struct sim_ended *ended);
const char *sim_apart_how(int number);

/* ---- settings.c --------------------------------------------------------- */

void sim_settings_begin(void);
/* After each step, while there are faults. */
void sim_settings_step(void);
/* Have all that are up the same limit? */
bool sim_settings_final(void);
u32 sim_settings_patience(void);

/* ---- heal.c ------------------------------------------------------------- */

/* Everything is made good, and has to be as it should be within a bound. */
void sim_heal(void);
/* Somebody brings it up again, whatever it was that took it down. */
void sim_mend_host(struct sim_host *host);
/* Let time pass until that is so; false if it takes too long. */
bool sim_heal_until(bool (*done)(void), const char *what);
bool sim_heal_within(u32 seconds, bool (*done)(void), const char *what);
/* Weather, disks and ways are good. */
void sim_heal_all(void);
void sim_heal_weather(void);
/* It goes on, and its disk answers. */
void sim_heal_host(struct sim_host *host);
bool sim_heal_all_off(void);
/* A write at every host, and all members are equal; false if not. */
bool sim_heal_end_well(void);

/* ---- bare.c ------------------------------------------------------------- */

/* Before all is healed. */
bool sim_bare(void);

/* ---- few.c -------------------------------------------------------------- */

bool sim_few(void);
/* Its power stays off for now. */
bool sim_few_keeps_off(u32 number);

/* ---- recover.c ---------------------------------------------------------- */

void sim_recover_begin(void);
/* After the end of a world, if it is one that goes on so. */
void sim_recover(void);
/* A host comes up, and its disk has been looked at. */
void sim_recover_opened(struct sim_host *host, const struct qbd_store *store, u64 term);
/* A handshake failed for that reason; two hosts are connected. */
void sim_recover_refused(const struct sim_host *dialler, const struct sim_host *listener,
			 u32 reason);
void sim_recover_connected(const struct sim_host *host, const struct sim_host *peer);

/* ---- verify.c ----------------------------------------------------------- */

void sim_verify_begin(void);
/* After each step, while there are faults. */
void sim_verify_step(void);
/* When all is well again. */
void sim_verify_heal(void);
/* After each step of that. */
void sim_verify_watch(void);

/* ---- rollback.c --------------------------------------------------------- */

void sim_rollbacks_begin(void);
void sim_rollbacks_end(void);
/* After each step, also while all is made good. */
void sim_rollbacks_step(void);
/* @host has just connected with @peer, which says that it knows so much of an earlier run. */
void sim_rollbacks_met(struct sim_host *host, u32 peer, u64 index);
/* Its disk is another one from now on. */
void sim_rollbacks_void(const struct sim_host *host);
/* Was it rolled back, and has not got yet what it had? */
bool sim_rollbacks_lacks(const struct sim_host *host);
/* Likewise, and nobody could tell it yet. */
bool sim_rollbacks_unmet(const struct sim_host *host);

/* ---- records.c ---------------------------------------------------------- */

void sim_records_begin(void);
/* After each step, while there are faults. */
void sim_records_step(void);
/* After each step when all is made good. */
void sim_records_watch(void);
/* Its disk is another one now. */
void sim_records_void(const struct sim_host *host);
/* So much of its disk is read. */
void sim_records_read(const struct sim_host *host, u64 block, u64 count);
/* Is there any left on its disk? NULL: on any disk. */
bool sim_records_left(const struct sim_host *host);
bool sim_records_known_by(const struct sim_host *host, unsigned int slot);
/* When all is well: false if something did not come about that has to. */
bool sim_records_end(void);

/* ---- clones.c ----------------------------------------------------------- */

void sim_clones_begin(void);
/* The last copy goes. */
void sim_clones_end(void);
/* After each step, also while all is made good. */
void sim_clones_step(void);
/* All is to be made good. */
void sim_clones_heal(void);
/* A member that hears the original has refused the copy for that reason; 0: not yet. */
void sim_clones_told(u32 member, enum qbd_refusal reason);
bool sim_clones_withheld(const struct sim_host *member);
void sim_clones_judged(const struct sim_host *member, enum qbd_refusal reason);
/* One that does not hear the original lets it in. */
void sim_clones_let_in(const struct sim_host *member);
/* What is known of one of the two is taken for the other's. */
bool sim_clones_confuse(const struct sim_host *host);
bool sim_clones_is_two(const struct sim_host *host);
bool sim_clones_may_lack(const struct sim_host *host);

/* ---- plans.c ------------------------------------------------------------ */

void sim_plans_begin(void);
/* The random numbers of that state say which, unless one is under way. */
void sim_plan_make(u64 random);
/* After each step. */
void sim_plans_step(void);
/* Users at that host are to ask for nothing now. */
bool sim_plans_silence(u32 number);

#endif
