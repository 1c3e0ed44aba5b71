/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of kmod/replica/ share.
 *
 * Who may touch what. A replica's work is the only place where the core, the
 * store and the lists of requests are touched; this is called replica context.
 * Every function here runs in it unless its comment says otherwise. Others hand
 * things over and kick:
 *
 *   block layer       qbd_disk_take()       (lock-free list in kmod/blk)
 *   disk completions  qbd_store_run()       (lock-free list in kmod/store)
 *   network           qbd_net_poll()        (queues in kmod/net)
 *   netlink           struct qbd_command    (command_lock)
 *   time              one hrtimer that kicks
 *
 * Lock order of the room (none is held while another room is called):
 *
 *   registry_mutex    replicas that exist; up and down of one name
 *   command_lock      spinlock: qbd_replica.commands
 *   event_lock        spinlock: qbd_replica.event_list and the events' sequence
 */
#ifndef QBD_REPLICA_INTERNAL_H
#define QBD_REPLICA_INTERNAL_H

#include <crypto/blake2s.h>
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/mempool.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../blk/blk.h"
#include "../format/applied.h"
#include "claim_rule.h"
#include "rate.h"
#include "replica.h"
#include "session.h"
#include "verify.h"

#define qbd_err(replica, format, ...) \
	pr_err("%s: " format "\n", (replica)->name, ##__VA_ARGS__)
#define qbd_warn(replica, format, ...) \
	pr_warn_ratelimited("%s: " format "\n", (replica)->name, ##__VA_ARGS__)
#define qbd_notice(replica, format, ...) \
	pr_notice("%s: " format "\n", (replica)->name, ##__VA_ARGS__)

/* Requests of other members that one leader holds at once, all peers together. */
#define QBD_REMOTE_IO_MAX	1024
/* Pages for this host's reads: two of the largest, with their book-keeping. */
#define QBD_READ_PAGES_MIN	(2u * (QBD_RECORD_DATA_BLOCKS_MAX + 1))
/*
 * Bytes of log under way to a member that is being filled: they lie before the
 * extents in its connection, and take memory there that only apply gives back.
 */
#define QBD_FILL_WINDOW		(1024u << 10)
/* Read and digested at a time: what else there is to be done does not wait for long. */
#define QBD_CHECK_BLOCKS	32u
/* Extents that one FILL asks for at most. */
#define QBD_FILL_EXTENTS_MAX	64
/*
 * Forwarded CHANGEs are numbered from here on, where no request of a block device gets: a
 * late answer to one that nobody waits for any more is not taken for the next one's.
 */
#define QBD_CHANGE_SEQUENCE	BIT_ULL(63)
/* Reads from here on: those of writes have no gaps, see session.h. */
#define QBD_READ_SEQUENCE	BIT_ULL(62)
/* Likewise of CLAIMs. */
#define QBD_CLAIM_SEQUENCE	(QBD_CHANGE_SEQUENCE | QBD_READ_SEQUENCE)
/* Claims that may be lost still: see claim_log.c. */
#define QBD_CLAIMS_MAX		8
/* How long a clean handover of the disk is waited for when a member goes down. */
#define QBD_STORE_STOP_MS	5000
/*
 * How long who brings a member up waits for the disk's next answer, of at most 1 MiB. It is
 * more than disks and the ways to them take to try again. To read a large log, or a large
 * extent table, may take longer: as long as the disk answers that is waited for.
 */
#define QBD_STORE_ANSWER_MS	30000

/**
 * struct qbd_io - one request on its way, local or another member's
 * @list: on exactly one of the replica's lists
 * @replica: whose
 * @kind: enum qbd_request_kind
 * @block: first device block
 * @count: device blocks
 * @arrived: boottime of the pass that saw it first
 * @local: of this host's block device, also when @request is gone
 * @origin: member on whose host it was made
 * @session: run of that member's device
 * @sequence: number in the session; of a write of this host 0 until it goes somewhere
 * @outstanding: writes: see struct qbd_operation
 * @index: PROPOSED: log index
 * @term: PROPOSED, FORWARDED: of the leadership
 * @ticket: CONFIRMING: of the read
 * @asked_term: remote: the leadership that it was addressed to
 * @peer: FORWARDED: to whom
 * @request: the block request, NULL if it is another member's, or was taken away
 *	(see qbd_read_abandon())
 * @data: remote write: what is to be written; read: what was read
 * @bvecs: one page of them, reads only
 * @read: at the store
 * @checksum: remote write: of the data
 * @status: finished remote request: what the reply will say
 * @detail: likewise
 * @member: likewise
 * @value: likewise
 * @epoch: write: of the claim that it was made under
 * @claimed: local write: it has one; else it waits for it
 * @leased: the read began under the lease, which must hold at its end too
 * @data_read: CONFIRMING: the data is there, leadership is not confirmed yet
 * @orphan: the peer is gone, or @request: nobody waits for it
 * @attempts: reads that the disk failed
 */
struct qbd_io {
	struct list_head list;
	struct qbd_replica *replica;
	u32 kind;
	u64 block;
	u32 count;
	u64 arrived;
	bool local;
	u32 origin;
	u64 session;
	u64 sequence;
	u16 outstanding;
	u64 index;
	u64 term;
	u64 ticket;
	u64 asked_term;
	u32 peer;
	struct qbd_request *request;
	struct qbd_buffer *data;
	struct bio_vec *bvecs;
	struct qbd_store_read read;
	u32 checksum;
	u32 status;
	u32 detail;
	u32 member;
	u64 value;
	u64 epoch;
	bool claimed;
	bool leased;
	bool data_read;
	bool orphan;
	u8 attempts;
};

/**
 * struct qbd_fill_source - the leader's side of filling one follower
 * @asked: a FILL waits to be answered or is being answered
 * @request: the FILL
 * @over: nothing more is begun for it
 * @done: for nothing is left
 * @next: extent to look at next
 * @block: next block of the extent being read, if @extent is not U64_MAX
 * @extent: extent being read
 * @extents: begun for this FILL
 * @pieces: likewise
 * @bytes: of pieces under way
 * @end_by: time at which it is over
 * @end_after: a read failed: time before which it is not said that it is over
 * @index: highest commit index at which a piece was read
 * @digest: of the extent, as far as it was read
 * @generation: counts connections and FILLs; a piece of an older one is dropped
 */
struct qbd_fill_source {
	bool asked;
	struct qbd_frame_fill request;
	bool over;
	bool done;
	u64 next;
	u64 block;
	u64 extent;
	u32 extents;
	u32 pieces;
	u32 bytes;
	u64 end_by;
	u64 end_after;
	u64 index;
	struct blake2s_state digest;
	u64 generation;
};

/**
 * struct qbd_fill_progress - how far a member is, from one FILL to the next
 * @done: extents that are filled, or need not be
 * @total: of the device
 * @left: extents that are still to be sent; 0: not known, or none
 * @counted_at: when they were counted
 * @told_at: @done when it was last told
 * @least_at: the next piece, if extents get as little as possible
 * @same: extents that were not sent, for they are equal
 * @pace: bytes of extents
 */
struct qbd_fill_progress {
	u64 done;
	u64 total;
	u64 left;
	u64 counted_at;
	u64 told_at;
	u64 least_at;
	u64 same;
	struct qbd_pace pace;
};

/**
 * struct qbd_catch_up - a member that catches up by the log, for people
 * @begun: it does
 * @told: somebody may have heard of that
 * @sent: bytes of records since
 * @until: it was in step when this was committed, and is there when it has it; 0: not yet
 * @told_at: when it was last told how far it is
 * @began_at: when it was last told that it begins; stays when that one has ended
 * @pace: of @sent
 */
struct qbd_catch_up {
	bool begun;
	bool told;
	u64 sent;
	u64 until;
	u64 told_at;
	u64 began_at;
	struct qbd_pace pace;
};

/* The steps of being filled; see the table in fill.c. */
enum qbd_fill_step {
	QBD_FILL_NONE,
	QBD_FILL_RESETTING,
	QBD_FILL_IDLE,
	QBD_FILL_PAUSING,
	QBD_FILL_ASKING,
	QBD_FILL_ADVANCING,
	QBD_FILL_CATCHING_UP,
	QBD_FILL_FINISHING,
	QBD_FILL_ABORTING,
};

/**
 * struct qbd_fill_target - this member being filled
 * @step: see there
 * @log_kept: the log was not emptied (yet): what is in it counted
 * @start_index: the log goes on after it
 * @start_term: its term
 * @cursor: extents below it are filled, durably, of the range that is filled now
 * @block: and so many blocks of the next one, until this host restarts
 * @through_index: whole once everything up to it is applied
 * @extents_total: of the device
 * @request: number of the newest FILL
 * @writes: pieces being written
 * @ended: the end of this FILL has come
 * @last: and nothing is left after it
 * @next_cursor: how far the pieces reach that came, or were found equal
 * @next_block: likewise
 * @end_cursor: and in the end
 * @end_block: likewise
 * @checking: this FILL asked for digests
 * @check_next: the next one is not of an extent below it
 * @leader: whom FILL was sent to
 * @leader_term: of its leadership
 * @membership: RESETTING: that of the reset
 * @applied: likewise
 * @progress: for people
 * @checks: extents that are compared
 * @differs: the extent at the cursor is to be sent, whatever its digest says
 * @check_extents: compared in one round; few while they differ
 * @not_before: time of the next round
 * @answer_by: ASKING: when it is given up
 * @catch_up_index: CATCHING_UP: to be applied before the next round
 */
struct qbd_fill_target {
	enum qbd_fill_step step;
	bool log_kept;
	u64 start_index;
	u64 start_term;
	u64 cursor;
	u32 block;
	u64 through_index;
	u64 extents_total;
	u64 request;
	u32 writes;
	bool ended;
	bool last;
	u64 next_cursor;
	u32 next_block;
	u64 end_cursor;
	u32 end_block;
	bool checking;
	u64 check_next;
	u32 leader;
	u64 leader_term;
	struct qbd_membership_layout membership;
	struct qbd_applied_layout applied;
	struct qbd_fill_progress progress;
	struct list_head checks;
	bool differs;
	u32 check_extents;
	u64 not_before;
	u64 answer_by;
	u64 catch_up_index;
};

/**
 * struct qbd_replica_peer - what the replica keeps of another member
 * @id: member id; 0: the slot is free
 * @up: both connections stand
 * @pull: there may be records to send
 * @pull_after: not before; a record could not be read
 * @told: it said in a handshake, since this member came up, in what term it was
 * @told_term: the highest one that it said
 * @known_run: what is known of it for certain, see disks.c
 * @known_term: likewise
 * @known_index: likewise
 * @perhaps_until: boottime until when this member waits for it to say whether that is up twice,
 *	or waited; 0: it did not ask, or let this one in since; see disks.c
 * @loading: a record is being read from the ring for it
 * @loading_index: its index
 * @loaded: that record, or NULL
 * @behind: it catches up by the log, or may have to
 * @log: how fast, then
 * @catch_up: how far it is, then
 * @spread: what is sent to it is spread over time: bytes a second; U64_MAX: it is not
 * @reset_sent: RESET was sent on this connection
 * @reset_at_ns: when
 * @reachable: whom it said it is connected to, see reach.c
 * @session: run of its device, as it said; 0: it was not heard
 * @room: blocks that its disk has room for, see resize.c; 0: not known
 * @uses: its host uses the device, as it said in @use_term
 * @use_term: of the leadership to which it said it last
 * @narrowed: its window is QBD_FILL_WINDOW while it is being filled
 * @fill: see struct qbd_fill_source
 * @progress: of its filling, as long as it is @narrowed
 * @read_blocks: what was read for it, or is being, and is not on its way to it yet
 */
struct qbd_replica_peer {
	u32 id;
	bool up;
	bool pull;
	u64 pull_after;
	bool told;
	u64 told_term;
	u64 known_run;
	u64 known_term;
	u64 known_index;
	u64 perhaps_until;
	bool loading;
	u64 loading_index;
	struct qbd_record *loaded;
	bool behind;
	struct qbd_rate_log log;
	struct qbd_catch_up catch_up;
	u64 spread;
	bool reset_sent;
	bool narrowed;
	u64 reachable;
	u64 session;
	u64 room;
	bool uses;
	u64 use_term;
	u64 reset_at_ns;
	struct qbd_fill_source fill;
	struct qbd_fill_progress progress;
	u32 read_blocks;
};

struct qbd_replica_config {
	u64 index;
	struct qbd_membership_layout layout;
};

/**
 * struct qbd_move - to another address, of this member, that may come about
 * @term: leadership in which it was asked for; 0: there is none
 * @leader: whose
 * @list: index of the newest list that one was made from
 * @sequence: of the newest request for one
 * @several: others were asked for before that
 * @heartbeats: with so many of them the leader has told how far its log goes since the
 *	connection to it, over which the request may still have been under way, was replaced;
 *	0: it was not
 * @until: so far, then; 0: not yet
 */
struct qbd_move {
	u64 term;
	u32 leader;
	u64 list;
	u64 sequence;
	bool several;
	u64 heartbeats;
	u64 until;
};

/**
 * struct qbd_hold - the claim of this host
 * @state: see there
 * @shared: HELD: nobody needs a claim
 * @epoch: of the claim that is held, or was last
 * @goes_on: what was opened or written under it does
 * @closings: of the disk, when it was claimed; see qbd_disk_closings()
 * @view: of the disk, that something was read in; see qbd_disk_view()
 * @view_index: all entries up to this one are in what was read in @view
 * @released: claims up to this epoch are given back or lost, whatever the log says yet
 * @newer_than: likewise: a write was refused under this one, so a later one is in force
 * @pinned: an administrator took it; it stays when the device is closed
 * @force: ASKING: even from who is there, from @force_epoch
 * @force_epoch: see there
 * @asked: a request to the leader was sent and not answered
 * @sequence: its number
 * @asked_leader: to whom
 * @asked_term: of which leadership
 * @asked_since: on behalf of what goes on since then
 * @granted: epoch of a claim that this member, as leader, gave to itself on behalf of that
 * @ticket: this member, as leader, waits for a majority to say that it is, see
 *	qbd_claim_confirm(); 0: it does not
 * @confirmed: it was said, since it was asked for
 * @ask_after: not to be sent before
 * @opener_since: somebody opens the device and waits, since then; 0: nobody does
 * @refused_since: ASKING: when the leader first said no
 * @last_sequence: of the newest CLAIM request
 * @command: of an administrator, that waits; see claim_command.c
 * @command_until: no longer than that
 * @mode_asked: @command changes the mode: as @asked
 * @mode_sequence: likewise
 * @mode_leader: likewise
 * @mode_term: likewise
 * @mode_after: likewise
 */
struct qbd_hold {
	enum qbd_hold_state state;
	bool shared;
	u64 epoch;
	bool goes_on;
	u64 closings;
	u64 view;
	u64 view_index;
	u64 released;
	u64 newer_than;
	bool pinned;
	bool force;
	u64 force_epoch;
	bool asked;
	u64 sequence;
	u32 asked_leader;
	u64 asked_term;
	u64 asked_since;
	u64 granted;
	u64 ticket;
	bool confirmed;
	u64 ask_after;
	u64 opener_since;
	u64 refused_since;
	u64 last_sequence;
	struct qbd_command *command;
	u64 command_until;
	bool mode_asked;
	u64 mode_sequence;
	u32 mode_leader;
	u64 mode_term;
	u64 mode_after;
};

/* What a reply says, besides which request it answers. */
struct qbd_answer {
	u32 status;
	u32 detail;
	u32 member;
	u64 value;
};

/* A received record that waits for room in the log. */
struct qbd_held_append {
	struct qbd_frame_append frame;
	struct qbd_record *record;
	u32 peer;
};

#define QBD_HELD_APPENDS_MAX	4096

enum qbd_replica_phase {
	QBD_PHASE_STARTING,
	QBD_PHASE_RUNNING,
	QBD_PHASE_FAILING,	/* forced down: every request fails */
	QBD_PHASE_STOPPING,	/* store is being stopped */
	QBD_PHASE_STOPPED,
};

struct qbd_replica {
	refcount_t references;
	struct list_head registry;
	struct net *net;
	bool published;
	bool going_down;
	int number;
	bool number_kept;		/* by this replica: it has no disk that does */
	char name[QBD_NAME_SIZE];
	u32 member_id;
	u64 session;
	u8 uuid[QBD_UUID_SIZE];

	struct workqueue_struct *queue;
	struct work_struct work;
	struct hrtimer timer;
	u64 timer_armed;		/* for when, 0: not */
	enum qbd_replica_phase phase;
	wait_queue_head_t stopped;

	struct qbd_core *core;
	struct qbd_pool *pool;
	struct qbd_pool *read_pool;	/* what this host's reads read into */
	struct qbd_store *store;
	struct qbd_net *network;
	struct qbd_disk *disk;
	mempool_t *local_ios;
	mempool_t *remote_ios;
	mempool_t *bvec_pages;

	struct qbd_settings settings;
	u64 now;			/* boottime, at the start of the pass */
	u64 passed_at;			/* of the pass before */

	/* membership: configs[0] is at or before the log's base */
	u32 config_count;
	struct qbd_replica_config configs[QBD_CONFIGS_MAX];
	/* members, and others that are connected: those to come, those that have left */
	struct qbd_replica_peer peers[3 * QBD_MEMBERS_MAX];
	u64 config_committed_at;	/* the newest was seen to be; 0: it is not yet */
	u64 members_told;		/* index of the list that was last told */
	bool change_pending;		/* it is not the last of a change */
	bool change_waits;		/* its next step cannot be taken now */
	bool disks_noticed;		/* it may have to name another disk, see disks.c */
	u64 listed_by;			/* index of the list last looked at for that */
	u64 change_after;		/* no handing over of leadership before */

	/* claims: claims[0] is committed */
	u32 claim_count;
	struct qbd_claim claims[QBD_CLAIMS_MAX];
	struct qbd_hold hold;
	u64 claim_seen_at;		/* claims[0] was known to be committed */
	u64 leads_since;		/* role leader */
	u64 follow_since;		/* the holder could lead, see claim_follow.c */
	u64 follow_after;		/* it was tried: not again before */
	u32 follow_tries;

	/* requests */
	struct list_head writes;	/* held, in order of arrival */
	struct list_head unclaimed;	/* local writes that wait for a claim */
	struct list_head reads;		/* held */
	struct list_head proposed;	/* by index */
	struct list_head reading;	/* at the store */
	struct list_head confirming;	/* reads and claims, by ticket */
	struct list_head forwarded;
	struct list_head replies;	/* finished remote requests */
	struct list_head pieces;	/* read for followers, to be sent */
	unsigned int fill_turn;		/* whose pieces come first */
	struct qbd_rate rate;		/* of what members that catch up are sent */
	struct qbd_pace written;	/* bytes of records, as leader */
	u64 max_rate_version;		/* so often was settings.max_rate set, see throttle.c */
	struct list_head sums;		/* being taken for who verifies */
	u32 remote_count;
	u64 ticket;
	u64 later_at;			/* have a pass at that time, 0: no need */
	u64 progress_at;		/* a request ended well, or others' did */
	u64 forward_after;		/* not before: the leader just refused some */
	u64 read_retry_at;		/* reads that this disk failed: not before */
	atomic_t pages_back;		/* the pool gave pages back to who was refused */
	bool silent;			/* no more events */
	bool settling;			/* qbd_replica_settle() is under way */
	u32 pull_slots;			/* core slots with something to be sent */
	u32 extents_slots;		/* core slots that need extents */

	/* writes that come again: session.h */
	struct qbd_sessions *sessions;	/* that are in the log */
	u64 restored_through;		/* what it says up to here was on the disk */
	struct qbd_write_window window;	/* this host's own */

	/* log */
	u64 noop_index;			/* accepted by the core, not written; 0: none */
	u64 noop_term;
	struct qbd_held_append *held;	/* ring of received records */
	u32 held_first;
	u32 held_count;
	u64 damaged_through;
	bool is_new;			/* the disk, see join.c */
	bool joining;			/* it is being written that it is not */
	bool told_blank;		/* what each handshake says */
	u64 whole_term;			/* see join.c */
	u64 whole_index;
	bool damaged;
	bool told_twice;		/* another host was this member, see disks.c */
	bool perhaps_twice;		/* it may be so: some member's perhaps_until is to come */
	u64 recovered_index;		/* what was on the disk when the member came up */
	bool removed;			/* no member any more, see change.c */
	bool told_removed;		/* by another member: its own list does not say so */
	bool store_failed;
	bool read_failed;
	u64 step_down_until;		/* no leading before: a read failed here */

	struct qbd_fill_target fill;
	struct qbd_verify verify;

	/* the block device grows, see resize.c */
	struct work_struct resize_work;
	struct qbd_disk *resized_disk;	/* what the work is about */
	u64 resized_blocks;		/* that it shows, or is about to */
	bool resized;			/* and it does; the work says so */

	/* what was last told */
	u32 told_role;
	u64 told_term;
	u32 told_leader;
	u32 voted_for;			/* told so, in voted_term; 0: it refused since */
	u64 voted_term;
	bool told_quorum;
	u64 leaderless_since;		/* 0: there is one */

	/* commands */
	spinlock_t command_lock;
	bool accepts_commands;
	struct list_head commands;
	struct qbd_command *moving;	/* leader move that waits for its end */
	u64 moving_deadline;
	struct qbd_command *changing;	/* member change that waits for the leader's answer */
	u64 changing_sequence;		/* of the newest, above QBD_CHANGE_SEQUENCE */
	u32 changing_leader;		/* of whom */
	u64 changing_term;		/* of its leadership */
	u64 changing_until;		/* then nobody waits for it any more */
	bool changing_listens;		/* it waits for qbd_net_listen() */
	bool changing_writes;		/* then for qbd_store_write_move() */
	struct qbd_move move;
	struct qbd_address address;	/* own, by the list in force */
	bool moved_from;		/* the one before is listened at, too */
	u64 better_since;		/* somebody is better connected, see reach.c */
	bool stuck;			/* or this leader is in the way */
	u32 stood_aside;		/* so often, and nobody else was elected */
	u64 aside_again_at;		/* not before that */
	u64 in_the_way_at;		/* it was, the last time */
	u32 moving_from;

	/* events */
	spinlock_t event_lock;
	struct list_head event_list;
	u32 event_count;
	u64 event_sequence;
	struct work_struct event_work;

	/* counters for status; replica context */
	u64 reads_done, read_bytes, writes_done, write_bytes, zeroes_done;
	u64 forwarded_count, resent_count, errors_count, records_appended;
	u64 unreadable_blocks, mended_blocks;
	u64 status_log_used;		/* scratch of status.c */
	/* One line each for people, "" if there is nothing. */
	char failure[128];
	char damage[160];
	char strange[160];		/* about disks that are not who they say, see disks.c */
	u64 strange_until;
	u32 strange_peer;
	char read_problem[128];
	bool failed_before;		/* the disk was marked failed when we came up */

	/* the disk is being opened, see open_work() */
	struct work_struct open_work;
	struct completion opened;
	dev_t disk_number;
	char *disk_path;
	unsigned long answered_at;	/* in jiffies: the disk, last */
	bool open_ended;		/* by the registry's lock, like the next one */
	bool abandoned;			/* nobody waits for it any more */
	int open_error;
	char open_text[QBD_ERROR_TEXT_SIZE];

	/* recovery, until the core is started */
	struct qbd_recovered_run *runs;
	u32 run_count;
	u32 run_room;
	int run_error;
	bool configs_dropped;

	/* going down */
	struct qbd_disk *removed_disk;
	struct work_struct release_work;
	struct completion released;
};

/* Entries of equal term found in the log when the member comes up. */
struct qbd_recovered_run {
	u64 first;
	u64 term;
};

/**
 * struct qbd_command - something to be done in replica context
 * @list: in qbd_replica.commands
 * @run: does it; calls qbd_command_done() now or later
 * @done: completed by qbd_command_done()
 * @error: result
 * @text: one line if @error
 * @argument: whatever @run needs
 * @text_size: room in @text
 */
struct qbd_command {
	struct list_head list;
	void (*run)(struct qbd_replica *replica, struct qbd_command *command);
	struct completion done;
	int error;
	char *text;
	size_t text_size;
	void *argument;
};

/* replica.c */
void qbd_replica_work(struct work_struct *work);
enum hrtimer_restart qbd_replica_timer(struct hrtimer *timer);	/* any context */
void qbd_replica_kick(void *context);		/* any context */
void qbd_command_done(struct qbd_command *command, int error, const char *format, ...)
	__printf(3, 4);
int qbd_command_run(struct qbd_replica *replica, struct qbd_command *command);
void qbd_replica_pages_back(void *context);	/* any context */
void qbd_replica_take_requests(struct qbd_replica *replica);
void qbd_replica_later(struct qbd_replica *replica, u64 when);
bool qbd_replica_disk_answered(void *context);
void qbd_replica_recovered_applied(void *context, u64 index,
				   const struct qbd_applied_layout *applied,
				   const struct qbd_membership_layout *membership);
void qbd_replica_recovered_entry(void *context, const struct qbd_record_header *header,
				 const struct qbd_membership_layout *membership);

/* events.c */
void qbd_replica_settle(struct qbd_replica *replica);
void qbd_replica_update_fitness(struct qbd_replica *replica);
void qbd_replica_stop_vouching(struct qbd_replica *replica, const char *why);
void qbd_replica_event(struct qbd_replica *replica, enum qbd_event_kind kind, u32 peer,
		       const char *format, ...) __printf(4, 5);
void qbd_replica_event_with(struct qbd_replica *replica, enum qbd_event_kind kind, u32 peer,
			    const struct qbd_progress_report *report, const char *format, ...)
	__printf(5, 6);
void qbd_replica_event_work(struct work_struct *work);	/* process context */
void qbd_replica_check_quorum(struct qbd_replica *replica);
bool qbd_replica_has_leader(const struct qbd_replica *replica);
extern qbd_event_handler qbd_replica_event_handler;
extern const struct qbd_store_ops qbd_replica_store_ops;
extern const struct qbd_net_ops qbd_replica_net_ops;

/* membership.c */
void qbd_config_from_layout(struct qbd_config *config,
			    const struct qbd_membership_layout *layout);
int qbd_layout_check(const struct qbd_membership_layout *layout, const char **reason);
const struct qbd_membership_layout *qbd_replica_layout(const struct qbd_replica *replica);
void qbd_replica_push_config(struct qbd_replica *replica, u64 index,
			     const struct qbd_membership_layout *layout);
void qbd_replica_pop_configs(struct qbd_replica *replica, u64 first_removed);
void qbd_replica_trim_configs(struct qbd_replica *replica, u64 index);
void qbd_replica_apply_config(struct qbd_replica *replica);
void qbd_replica_forget_peer(struct qbd_replica_peer *peer);
struct qbd_replica_peer *qbd_replica_peer(struct qbd_replica *replica, u32 id);
struct qbd_replica_peer *qbd_replica_add_peer(struct qbd_replica *replica, u32 id);
const struct qbd_member_layout *qbd_replica_member(const struct qbd_replica *replica,
						   u32 id);

/* claim_log.c */
const struct qbd_claim *qbd_claims_newest(const struct qbd_replica *replica);
const struct qbd_claim *qbd_claims_committed(const struct qbd_replica *replica);
void qbd_claims_begin(struct qbd_replica *replica, const struct qbd_claim_layout *layout);
void qbd_claims_layout(const struct qbd_replica *replica, u64 index,
		       struct qbd_claim_layout *layout);
void qbd_claims_push(struct qbd_replica *replica, const struct qbd_record_header *header);
void qbd_claims_pop(struct qbd_replica *replica, u64 first_removed);
bool qbd_claims_trim(struct qbd_replica *replica, u64 commit);
bool qbd_claims_allow(const struct qbd_replica *replica,
		      const struct qbd_record_header *header);

/* claim_grant.c */
u64 qbd_claim_lease_ms(const struct qbd_replica *replica);
u64 qbd_claim_unheard_ms(struct qbd_replica *replica, u32 holder);
bool qbd_claim_used(struct qbd_replica *replica, u32 member, bool *unsaid);
enum qbd_claim_verdict qbd_claim_wanted(struct qbd_replica *replica,
					const struct qbd_claim_wish *wish,
					struct qbd_claim *answer, u64 *wait_ms);
bool qbd_claim_confirm(struct qbd_replica *replica, u64 *ticket);
void qbd_claim_asked(struct qbd_replica *replica, u32 peer,
		     const struct qbd_frame_request *request);
bool qbd_claim_filter(struct qbd_replica *replica);

/* claim_follow.c */
void qbd_claim_follow(struct qbd_replica *replica);

/* claim_hold.c */
void qbd_hold_check(struct qbd_replica *replica);
void qbd_hold_fail(struct qbd_replica *replica);
void qbd_hold_fenced(struct qbd_io *io);
bool qbd_hold_fails(const struct qbd_replica *replica);
bool qbd_hold_uses(const struct qbd_replica *replica);
bool qbd_hold_read(const struct qbd_replica *replica);
bool qbd_hold_saw(const struct qbd_io *io, u64 index);
void qbd_hold_stamp(struct qbd_io *io);
int qbd_hold_send(struct qbd_replica *replica, const struct qbd_claim_wish *wish);
void qbd_hold_unanswered(struct qbd_replica *replica, u32 peer);
void qbd_hold_confirmed(struct qbd_replica *replica, u64 ticket, bool leads);
void qbd_hold_replied(struct qbd_replica *replica, u32 peer,
		      const struct qbd_frame_reply *reply);

/* claim_command.c */
void qbd_claim_command(struct qbd_replica *replica, struct qbd_command *command);
void qbd_claim_command_done(struct qbd_replica *replica, u32 action, const char *text);
void qbd_claim_command_fails(struct qbd_replica *replica, int error, const char *text);
void qbd_claim_command_held(struct qbd_replica *replica, bool needed);
void qbd_claim_command_removed(struct qbd_replica *replica);
void qbd_claim_command_abort(struct qbd_replica *replica);
void qbd_claim_command_check(struct qbd_replica *replica);
bool qbd_claim_mode_replied(struct qbd_replica *replica, u32 peer,
			    const struct qbd_frame_reply *reply);

/* io.c */
struct qbd_io *qbd_io_from_request(struct qbd_replica *replica,
				   struct qbd_request *request);
struct qbd_io *qbd_io_from_peer(struct qbd_replica *replica, u32 peer,
				const struct qbd_frame_request *request,
				struct qbd_buffer *data);
bool qbd_io_answer_later(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_request *request,
			 const struct qbd_answer *answer);
bool qbd_io_await_claim(struct qbd_replica *replica, u32 peer,
			const struct qbd_frame_request *request,
			const struct qbd_claim *claim, u64 ticket);
bool qbd_io_writes(const struct qbd_replica *replica);
void qbd_io_hold(struct qbd_io *io);
void qbd_io_leave(struct qbd_io *io);
void qbd_io_complete(struct qbd_io *io, u32 status);
void qbd_io_drop_late(struct qbd_io *io);
void qbd_io_send_replies(struct qbd_replica *replica);
void qbd_io_fail_local(struct qbd_replica *replica);
void qbd_io_drop_peer(struct qbd_replica *replica, u32 peer);
void qbd_io_drop_proposed(struct qbd_replica *replica);
void qbd_io_refuse_remote(struct qbd_replica *replica);
bool qbd_io_under_way(const struct qbd_replica *replica);
u64 qbd_io_oldest(const struct qbd_replica *replica);
u64 qbd_io_waiting(const struct qbd_replica *replica);
u64 qbd_io_in_flight(const struct qbd_replica *replica);

/* repeat.c */
bool qbd_repeat_number(struct qbd_io *io);
void qbd_repeat_answered(struct qbd_io *io);
enum qbd_session_verdict qbd_repeat_find(const struct qbd_io *io, u64 *index);
void qbd_repeat_proposing(const struct qbd_io *io, u64 index);
bool qbd_repeat_in(const struct qbd_replica *replica, const struct qbd_record_header *header);
void qbd_repeat_appended(struct qbd_replica *replica, const struct qbd_record_header *header);
void qbd_repeat_recovered(struct qbd_replica *replica, const struct qbd_record_header *header);
void qbd_repeat_truncated(struct qbd_replica *replica, u64 first_removed);
void qbd_replica_applied_state(struct qbd_replica *replica, u64 index,
			       struct qbd_applied_layout *applied);
void qbd_replica_applied_restore(struct qbd_replica *replica, u64 index,
				 const struct qbd_applied_layout *applied);

/* write.c */
void qbd_write_propose(struct qbd_replica *replica);
void qbd_write_noop(struct qbd_replica *replica);
void qbd_write_committed(struct qbd_replica *replica, u64 commit);
void qbd_write_truncated(struct qbd_replica *replica, u64 first_removed);

/* read.c */
bool qbd_read_begin(struct qbd_io *io);
void qbd_read_took(struct qbd_io *io);
void qbd_read_abandon(struct qbd_replica *replica, bool fail);
void qbd_replica_cannot_read(struct qbd_replica *replica, const char *format, ...)
	__printf(2, 3);
void qbd_read_released(struct qbd_replica *replica, u64 ticket);
void qbd_read_failed(struct qbd_replica *replica, u64 ticket);

/* forward.c */
u32 qbd_forward_leader(const struct qbd_replica *replica);
bool qbd_forward_begin(struct qbd_io *io, u32 leader);
void qbd_forward_reply(struct qbd_replica *replica, u32 peer,
		       const struct qbd_frame_reply *reply, struct qbd_buffer *data);
void qbd_forward_recall(struct qbd_replica *replica, u32 peer);
void qbd_forward_new_leader(struct qbd_replica *replica);
void qbd_forward_request(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_request *request,
			 struct qbd_buffer *data);
void qbd_forward_answer(struct qbd_replica *replica, u32 peer,
			const struct qbd_frame_request *request,
			const struct qbd_answer *answer);
const char *qbd_transfer_text(u32 result);
void qbd_leader_move_command(struct qbd_replica *replica, struct qbd_command *command);
void qbd_leader_move_check(struct qbd_replica *replica, bool ended);

/* throttle.c */
u64 qbd_catch_up_next(struct qbd_replica *replica);
bool qbd_catch_up_under_way(struct qbd_replica *replica);
bool qbd_catch_up_waits(struct qbd_replica *replica, struct qbd_replica_peer *peer, u64 index,
			u64 commit);
void qbd_catch_up_sent(struct qbd_replica *replica, struct qbd_replica_peer *peer, u64 index,
		       u64 commit, u64 bytes);
void qbd_catch_up_forget(struct qbd_replica *replica, struct qbd_replica_peer *peer);
void qbd_catch_up_check(struct qbd_replica *replica);
void qbd_max_rate_heard(struct qbd_replica *replica, const struct qbd_core_message *message);
void qbd_max_rate_set(struct qbd_replica *replica, u64 before, u64 rate);

/* append.c */
void qbd_append_send(struct qbd_replica *replica, struct qbd_replica_peer *peer);
void qbd_append_received(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_append *frame,
			 struct qbd_record *record);
void qbd_append_go_on(struct qbd_replica *replica);
void qbd_append_forget(struct qbd_replica_peer *peer);
void qbd_append_drop_held(struct qbd_replica *replica, u32 peer);
void qbd_append_loaded(struct qbd_replica *replica, u64 index, struct qbd_record *record);

/* disks.c */
u64 qbd_disks_run(u64 drawn, const u8 *incarnation);
bool qbd_disks_is_listed(const struct qbd_replica *replica);
void qbd_disks_check(struct qbd_replica *replica);
bool qbd_disks_facts(struct qbd_replica *replica, u32 id, u8 *incarnation, bool *is_new);
void qbd_disks_heard(struct qbd_replica *replica, u32 id,
		     const struct qbd_core_message *message);
void qbd_disks_peer_up(struct qbd_replica *replica, u32 id);
void qbd_disks_refused(struct qbd_replica *replica, u32 peer, enum qbd_refusal reason,
		       bool by_us);
const char *qbd_disks_problem(const struct qbd_replica *replica);

/* join.c */
void qbd_join_heard(struct qbd_replica *replica, u32 peer, u64 term, u64 last);
void qbd_join_check(struct qbd_replica *replica);

/* change.c */
enum qbd_change_result qbd_change_propose(struct qbd_replica *replica,
					  const struct qbd_change_order *order,
					  u32 asker, u32 *member, u64 *value);
void qbd_change_check(struct qbd_replica *replica);
void qbd_change_noticed(struct qbd_replica *replica);
void qbd_change_up(struct qbd_replica *replica);
void qbd_change_written(struct qbd_replica *replica);
void qbd_change_command(struct qbd_replica *replica, struct qbd_command *command);
void qbd_change_listening(void *context, int error, const char *text);
void qbd_change_replied(struct qbd_replica *replica, u32 peer,
			const struct qbd_frame_reply *reply);
void qbd_change_unanswered(struct qbd_replica *replica, const char *why);
void qbd_change_connected(struct qbd_replica *replica, u32 peer);

bool qbd_change_may_ask(struct qbd_replica *replica, struct qbd_command *command);
void qbd_change_ask(struct qbd_replica *replica, struct qbd_command *command, u32 kind,
		    u64 block, const struct qbd_change_order *order);
void qbd_change_answer(struct qbd_replica *replica, struct qbd_command *command, u32 result,
		       u32 member, u64 value);

/* resize.c */
bool qbd_resize_reaches(const struct qbd_replica *replica, u64 block, u32 count);
u64 qbd_resize_room(const struct qbd_replica *replica);
enum qbd_change_result qbd_resize_propose(struct qbd_replica *replica, u64 wanted,
					  u32 *member);
bool qbd_resize_fits(struct qbd_replica *replica, u64 blocks);
void qbd_resize_work(struct work_struct *work);
bool qbd_resize_growing(const struct qbd_replica *replica);
void qbd_resize_check(struct qbd_replica *replica);
void qbd_resize_command(struct qbd_replica *replica, struct qbd_command *command);

/* admin.c */
void qbd_admin_request(void *context, u64 connection,
		       const struct qbd_frame_request *request, struct qbd_buffer *data);

/* reach.c */
u64 qbd_reach_own(const struct qbd_replica *replica);
void qbd_reach_heard(struct qbd_replica *replica, u32 id, u64 reachable);
bool qbd_reach_same_list(const struct qbd_replica *replica, const struct qbd_peer_status *status);
void qbd_reach_check(struct qbd_replica *replica);

/* fill_source.c */
void qbd_fill_drop_pieces(struct qbd_replica *replica);
void qbd_fill_go_on(struct qbd_replica *replica);
void qbd_fill_asked(struct qbd_replica *replica, u32 peer,
		    const struct qbd_frame_fill *fill);
void qbd_fill_peer_gone(struct qbd_replica *replica, struct qbd_replica_peer *peer);

/* progress.c: of a peer that is filled from here, or (NULL) of this member itself */
void qbd_fill_report(const struct qbd_replica *replica, const struct qbd_replica_peer *peer,
		     struct qbd_progress_report *report);
void qbd_fill_event(struct qbd_replica *replica, enum qbd_event_kind kind,
		    const struct qbd_replica_peer *peer, const char *text);

/* and of a follower that catches up by the log */
void qbd_catch_up_report(const struct qbd_replica *replica, const struct qbd_replica_peer *peer,
			 struct qbd_progress_report *report);
void qbd_catch_up_begin(struct qbd_replica *replica, struct qbd_replica_peer *peer);
void qbd_catch_up_proceed(struct qbd_replica *replica, struct qbd_replica_peer *peer,
			  u64 commit);
void qbd_catch_up_end(struct qbd_replica_peer *peer);

/* fill_check.c */
void qbd_digest_add(struct blake2s_state *digest, const struct qbd_buffer *data);
bool qbd_check_begin(struct qbd_replica *replica, const struct qbd_frame_extent *frame);
bool qbd_check_go_on(struct qbd_replica *replica);
void qbd_check_drop(struct qbd_replica *replica);

/* fill.c */
void qbd_fill_differs(struct qbd_replica *replica);
u64 qbd_fill_range_end(const struct qbd_replica *replica);
void qbd_fill_send_reset(struct qbd_replica *replica, struct qbd_replica_peer *peer);
void qbd_fill_reset(struct qbd_replica *replica, u32 peer,
		    const struct qbd_frame_reset *reset);
void qbd_fill_reset_durable(struct qbd_replica *replica, u64 index);
void qbd_fill_extent(struct qbd_replica *replica, u32 peer,
		     const struct qbd_frame_extent *extent, struct qbd_buffer *data);
void qbd_fill_end(struct qbd_replica *replica, u32 peer,
		  const struct qbd_frame_fill_end *end);
void qbd_fill_written(struct qbd_replica *replica, void *cookie, int error);
void qbd_fill_durable(struct qbd_replica *replica);
void qbd_fill_proceed(struct qbd_replica *replica);
bool qbd_replica_filling(const struct qbd_replica *replica);

/* sums.c */
void qbd_sums_asked(struct qbd_replica *replica, u32 peer,
		    const struct qbd_frame_verify *verify);
void qbd_sums_go_on(struct qbd_replica *replica);
u64 qbd_sums_bytes(const struct qbd_replica *replica, u64 block, u32 count);
bool qbd_sums_forget(struct qbd_replica *replica, u32 peer);
void qbd_sums_drop(struct qbd_replica *replica);

/* repair.c */
enum qbd_repair_status qbd_repair_propose(struct qbd_replica *replica, u32 origin,
					  u64 as_of, u64 block, struct qbd_buffer *data,
					  u64 *index);
bool qbd_repair_allow(const struct qbd_replica *replica,
		      const struct qbd_record_header *header);
void qbd_repair_asked(struct qbd_replica *replica, u32 peer,
		      const struct qbd_frame_repair *repair, struct qbd_buffer *data);

/* verify.c */
void qbd_verify_answered(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_verified *verified,
			 struct qbd_buffer *data);
void qbd_verify_repaired(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_repaired *repaired);
void qbd_verify_peer_gone(struct qbd_replica *replica, u32 peer);
void qbd_verify_mend(struct qbd_replica *replica, u64 block, u32 count);
void qbd_verify_proceed(struct qbd_replica *replica);
void qbd_verify_drop(struct qbd_replica *replica);
void qbd_verify_start_command(struct qbd_replica *replica, struct qbd_command *command);
void qbd_verify_stop_command(struct qbd_replica *replica, struct qbd_command *command);

/* kind.c */
bool qbd_replica_keeps_data(const struct qbd_replica *replica);
bool qbd_replica_has_device(const struct qbd_replica *replica);
bool qbd_member_keeps_data(const struct qbd_replica *replica, u32 id);
int qbd_kind_check(const struct qbd_replica *replica, char *text, size_t size);
u32 qbd_replica_serving(const struct qbd_replica *replica);
void qbd_witness_problem(struct qbd_replica *replica, char *text, size_t size);

/* status.c */
void qbd_status_fill(struct qbd_replica *replica, struct qbd_replica_status *status);

#endif
