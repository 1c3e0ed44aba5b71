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

#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/mempool.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../blk/blk.h"
#include "replica.h"
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
/* Extents that one FILL asks for at most, and pieces read ahead to answer it. */
#define QBD_FILL_EXTENTS	8
#define QBD_FILL_READS_MAX	4
/*
 * Forwarded CHANGEs are numbered from here on, where no request of a block device gets: a
 * late answer to one that nobody waits for any more is not taken for the next one's.
 */
#define QBD_CHANGE_SEQUENCE	BIT_ULL(63)
/* How long a clean handover of the disk is waited for when a member goes down. */
#define QBD_STORE_STOP_MS	5000

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
 * @sequence: number in the session
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
	bool leased;
	bool data_read;
	bool orphan;
	u8 attempts;
};

/**
 * struct qbd_fill_source - the leader's side of filling one follower
 * @asked: a FILL waits to be answered or is being answered
 * @request: the FILL
 * @next: extent to look at next
 * @block: next block of the extent being read, if @extent is not U64_MAX
 * @extent: extent being read
 * @sent: extents begun for this FILL
 * @reads: pieces under way
 * @index: highest commit index at which a piece was read
 * @generation: counts connections and FILLs; a piece of an older one is dropped
 */
struct qbd_fill_source {
	bool asked;
	struct qbd_frame_fill request;
	u64 next;
	u64 block;
	u64 extent;
	u32 sent;
	u32 reads;
	u64 index;
	u64 generation;
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
 * @base_index: the data not yet filled is that of this index
 * @start_index: the log goes on after it
 * @start_term: its term
 * @cursor: extents below it are filled, durably
 * @through_index: whole once everything up to it is applied
 * @extents_total: of the device
 * @request: number of the newest FILL
 * @writes: pieces being written
 * @ended: the end of this FILL has come
 * @last: and nothing is left after it
 * @next_cursor: what it said
 * @leader: whom FILL was sent to
 * @leader_term: of its leadership
 * @membership: RESETTING: that of the reset
 * @event_at: @cursor when progress was last told
 * @count: extents of one round; halved when one fails, one more when one is done
 * @not_before: time of the next round
 * @answer_by: ASKING: when it is given up
 * @catch_up_index: CATCHING_UP: to be applied before the next round
 */
struct qbd_fill_target {
	enum qbd_fill_step step;
	bool log_kept;
	u64 base_index;
	u64 start_index;
	u64 start_term;
	u64 cursor;
	u64 through_index;
	u64 extents_total;
	u64 request;
	u32 writes;
	bool ended;
	bool last;
	u64 next_cursor;
	u32 leader;
	u64 leader_term;
	struct qbd_membership_layout membership;
	u64 event_at;
	u32 count;
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
 * @loading: a record is being read from the ring for it
 * @loading_index: its index
 * @loaded: that record, or NULL
 * @reset_sent: RESET was sent on this connection
 * @reset_at_ns: when
 * @reachable: whom it said it is connected to, see reach.c
 * @narrowed: its window is QBD_FILL_WINDOW while it is being filled
 * @fill: see struct qbd_fill_source
 */
struct qbd_replica_peer {
	u32 id;
	bool up;
	bool pull;
	u64 pull_after;
	bool told;
	u64 told_term;
	bool loading;
	u64 loading_index;
	struct qbd_record *loaded;
	bool reset_sent;
	bool narrowed;
	u64 reachable;
	u64 reset_at_ns;
	struct qbd_fill_source fill;
};

struct qbd_replica_config {
	u64 index;
	struct qbd_membership_layout layout;
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
	struct qbd_replica_peer peers[QBD_MEMBERS_MAX];
	u64 config_committed_at;	/* the newest was seen to be; 0: it is not yet */
	u64 members_told;		/* index of the list that was last told */
	bool change_pending;		/* it is not the last of a change */
	u64 change_after;		/* no handing over of leadership before */

	/* requests */
	struct list_head writes;	/* held, in order of arrival */
	struct list_head reads;		/* held */
	struct list_head proposed;	/* by index */
	struct list_head reading;	/* at the store */
	struct list_head confirming;	/* by ticket */
	struct list_head forwarded;
	struct list_head replies;	/* finished remote requests */
	struct list_head pieces;	/* read for followers, to be sent */
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
	bool removed;			/* no member any more, see change.c */
	bool store_failed;
	bool read_failed;
	u64 step_down_until;		/* no leading before: a read failed here */

	struct qbd_fill_target fill;
	struct qbd_verify verify;

	/* what was last told */
	u32 told_role;
	u64 told_term;
	u32 told_leader;
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
	u64 better_since;		/* somebody is better connected, see reach.c */
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
	char damage[128];
	char read_problem[128];
	bool failed_before;		/* the disk was marked failed when we came up */

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
void qbd_replica_recovered_entry(void *context, const struct qbd_record_header *header,
				 const struct qbd_membership_layout *membership);

/* events.c */
void qbd_replica_settle(struct qbd_replica *replica);
void qbd_replica_update_fitness(struct qbd_replica *replica);
void qbd_replica_stop_vouching(struct qbd_replica *replica, const char *why);
void qbd_replica_event(struct qbd_replica *replica, enum qbd_event_kind kind, u32 peer,
		       const char *format, ...) __printf(4, 5);
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
const struct qbd_member_layout *qbd_replica_member(const struct qbd_replica *replica,
						   u32 id);

/* io.c */
struct qbd_io *qbd_io_from_request(struct qbd_replica *replica,
				   struct qbd_request *request);
struct qbd_io *qbd_io_from_peer(struct qbd_replica *replica, u32 peer,
				const struct qbd_frame_request *request,
				struct qbd_buffer *data);
bool qbd_io_answer_later(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_request *request, u32 status, u32 detail,
			 u32 member);
void qbd_io_hold(struct qbd_io *io);
void qbd_io_complete(struct qbd_io *io, u32 status);
void qbd_io_send_replies(struct qbd_replica *replica);
void qbd_io_fail_local(struct qbd_replica *replica);
void qbd_io_drop_peer(struct qbd_replica *replica, u32 peer);
void qbd_io_drop_proposed(struct qbd_replica *replica);
void qbd_io_refuse_remote(struct qbd_replica *replica);
u64 qbd_io_oldest(const struct qbd_replica *replica);
u64 qbd_io_waiting(const struct qbd_replica *replica);
u64 qbd_io_in_flight(const struct qbd_replica *replica);

/* write.c */
void qbd_write_propose(struct qbd_replica *replica);
void qbd_write_noop(struct qbd_replica *replica);
void qbd_write_committed(struct qbd_replica *replica, u64 commit);
void qbd_write_truncated(struct qbd_replica *replica, u64 first_removed);

/* read.c */
bool qbd_read_begin(struct qbd_io *io);
void qbd_read_abandon(struct qbd_replica *replica, bool fail);
void qbd_replica_cannot_read(struct qbd_replica *replica, const char *format, ...)
	__printf(2, 3);
void qbd_read_released(struct qbd_replica *replica, u64 ticket);
void qbd_read_failed(struct qbd_replica *replica, u64 ticket);

/* forward.c */
bool qbd_forward_begin(struct qbd_io *io, u32 leader);
void qbd_forward_reply(struct qbd_replica *replica, u32 peer,
		       const struct qbd_frame_reply *reply, struct qbd_buffer *data);
void qbd_forward_recall(struct qbd_replica *replica, u32 peer);
void qbd_forward_new_leader(struct qbd_replica *replica);
void qbd_forward_request(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_request *request,
			 struct qbd_buffer *data);
const char *qbd_transfer_text(u32 result);
void qbd_leader_move_command(struct qbd_replica *replica, struct qbd_command *command);
void qbd_leader_move_check(struct qbd_replica *replica, bool ended);

/* append.c */
void qbd_append_send(struct qbd_replica *replica, struct qbd_replica_peer *peer);
void qbd_append_received(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_append *frame,
			 struct qbd_record *record);
void qbd_append_go_on(struct qbd_replica *replica);
void qbd_append_forget(struct qbd_replica_peer *peer);
void qbd_append_drop_held(struct qbd_replica *replica, u32 peer);
void qbd_append_loaded(struct qbd_replica *replica, u64 index, struct qbd_record *record);

/* join.c */
void qbd_join_heard(struct qbd_replica *replica, u32 peer, u64 term, u64 last);
void qbd_join_check(struct qbd_replica *replica);

/* change.c */
enum qbd_change_result qbd_change_propose(struct qbd_replica *replica,
					  const struct qbd_membership_layout *wanted,
					  u32 *member);
void qbd_change_check(struct qbd_replica *replica);
void qbd_change_noticed(struct qbd_replica *replica);
void qbd_change_command(struct qbd_replica *replica, struct qbd_command *command);
void qbd_change_replied(struct qbd_replica *replica, u32 peer,
			const struct qbd_frame_reply *reply);
void qbd_change_unanswered(struct qbd_replica *replica, const char *why);

/* admin.c */
void qbd_admin_request(void *context, u64 connection,
		       const struct qbd_frame_request *request, struct qbd_buffer *data);

/* reach.c */
u64 qbd_reach_own(const struct qbd_replica *replica);
void qbd_reach_heard(struct qbd_replica *replica, u32 id, u64 reachable);
void qbd_reach_check(struct qbd_replica *replica);

/* fill.c */
void qbd_fill_send_reset(struct qbd_replica *replica, struct qbd_replica_peer *peer);
void qbd_fill_serve(struct qbd_replica *replica, struct qbd_replica_peer *peer);
void qbd_fill_drop_pieces(struct qbd_replica *replica);
void qbd_fill_go_on(struct qbd_replica *replica);
void qbd_fill_asked(struct qbd_replica *replica, u32 peer,
		    const struct qbd_frame_fill *fill);
void qbd_fill_peer_gone(struct qbd_replica *replica, struct qbd_replica_peer *peer);
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
bool qbd_sums_forget(struct qbd_replica *replica, u32 peer);
void qbd_sums_drop(struct qbd_replica *replica);

/* repair.c */
enum qbd_repair_status qbd_repair_propose(struct qbd_replica *replica, u32 origin,
					  u64 as_of, u64 block, struct qbd_buffer *data,
					  u64 *index);
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

/* status.c */
void qbd_status_fill(struct qbd_replica *replica, struct qbd_replica_status *status);

#endif
