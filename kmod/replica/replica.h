/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The replica: one member of one device on this host. It drives the core, and
 * ties store, network and block device to it.
 *
 * replica.c    the work: one pass after another over everything that came in
 * life.c       coming up and going down, the registry of all replicas
 * events.c     what the core's outputs and the rooms' reports lead to
 * membership.c configurations with names and addresses
 * intent.c     which member list may follow which, and when: pure
 * change.c     the member list changes while the device is in use
 * claim_rule.c who may write: pure
 * claim_log.c  claims in this member's log
 * claim_grant.c  claims at the leader: given, and enforced
 * claim_hold.c   the claim of this host
 * claim_command.c  what administrators do with it
 * claim_follow.c   leadership goes where the claim is
 * io.c         the life of one request
 * session.c    each write is in the log once: the table of those that are, pure
 * repeat.c     that table, in step with the log
 * write.c      requests into records, proposals, commit, completion
 * read.c       reads at the leader
 * forward.c    requests to and from other members
 * append.c     records to followers, records from the leader
 * disks.c      which disk is which member, and what others know of it
 * join.c       disks that are new or lost something: when they may vote
 * admin.c      what programs of other hosts ask
 * reach.c      who reaches whom; a leader that all can reach
 * fill.c       extents from the leader
 * fill_check.c checksums before data
 * fill_source.c  and to others, as leader
 * throttle.c   who catches up, and how fast
 * rate.c       that: pure
 * progress.c   how far members are that are filled
 * compare.c    which copies of a block are good: pure
 * verify.c     the replicas are compared, and made equal
 * sums.c       what this one holds, for whoever compares
 * repair.c     what a majority holds is written once more
 * status.c     snapshots for netlink
 *
 * This header is what kmod/ctl calls. All of it is for process context, may
 * sleep, and may be called by several at once.
 */
#ifndef QBD_REPLICA_REPLICA_H
#define QBD_REPLICA_REPLICA_H

#include <linux/types.h>
#include <net/net_namespace.h>

#include "../core/core.h"
#include "../format/superblock.h"
#include "../net/net.h"
#include "../store/store.h"

struct qbd_replica;

enum qbd_no_quorum {
	QBD_NO_QUORUM_SUSPEND,	/* I/O waits (default) */
	QBD_NO_QUORUM_ERROR,	/* I/O fails after the grace period */
};

/**
 * struct qbd_settings - what may be changed while a device is up
 * @election_timeout_ms: T; elections start T..2T after the leader was last heard
 * @heartbeat_ms: at most a third of T
 * @no_quorum: enum qbd_no_quorum
 * @no_quorum_grace_ms: how long without a leader before I/O fails (ERROR)
 * @read_mode: enum qbd_core_read_mode
 * @window_bytes: records sent to one follower and not acknowledged
 * @claim_lease_ms: a host that was not heard for so long loses its claim to the next one
 *	that asks; two election timeouts if these are more. The leader's counts
 * @leader_follows: 1: leadership goes to the holder of the claim. The leader's counts
 * @checksums: compare what this member has before data is sent to it
 * @max_rate: bytes a second that members which catch up are sent; 0: no limit. It is the
 *	device's: members take it over from each other
 */
struct qbd_settings {
	u32 election_timeout_ms;
	u32 heartbeat_ms;
	u32 no_quorum;
	u32 no_quorum_grace_ms;
	u32 read_mode;
	u32 window_bytes;
	u32 claim_lease_ms;
	u32 leader_follows;
	u32 checksums;
	u64 max_rate;
};

#define QBD_MEMORY_DEFAULT	(64u << 20)
#define QBD_MEMORY_MIN		(8u << 20)
#define QBD_MEMORY_MAX		(1024u << 20)

/**
 * struct qbd_up_parameters - how to bring a member up
 * @disk: path of its disk, all else is on it
 * @memory_bytes: log pages; QBD_MEMORY_MIN..QBD_MEMORY_MAX
 * @settings: start values
 */
struct qbd_up_parameters {
	const char *disk;
	u32 memory_bytes;
	struct qbd_settings settings;
};

#define QBD_ERROR_TEXT_SIZE	256

/*
 * Settings as they are by default; and are these any good? 0 or -EINVAL with one
 * line (what, why, what would work).
 */
void qbd_settings_default(struct qbd_settings *settings);
int qbd_settings_check(const struct qbd_settings *settings, char *error_text,
		       size_t error_text_size);

/*
 * Bring a member up in a namespace. -ETIMEDOUT if its disk does not answer, or who asks is
 * killed while it is being read: then what was done is undone when the disk has answered,
 * and until then the next one gets -EBUSY. Return: 0 or -errno with one line of text.
 */
int qbd_replica_up(struct net *net, const struct qbd_up_parameters *parameters,
		   struct qbd_replica **replica, char *error_text,
		   size_t error_text_size);
/*
 * Take it down. Leadership is handed over first if that is possible. -EBUSY if the
 * device is in use and not @force; with @force what waits fails with I/O errors,
 * so that nothing hangs for ever. The reference is the caller's still.
 */
int qbd_replica_down(struct qbd_replica *replica, bool force, char *error_text,
		     size_t error_text_size);

/* By device name in a namespace; takes a reference. NULL if there is none. */
struct qbd_replica *qbd_replica_find(struct net *net, const char *name);
/**
 * qbd_replica_next() - one replica after the other
 * @net: namespace
 * @after: number of the last one, -1 for the first
 * @generation: another one than last time if a replica came up or went down in
 *	between, in whatever namespace; never 0
 *
 * Return: the one with the next number, with a reference; NULL if there is none.
 */
struct qbd_replica *qbd_replica_next(struct net *net, int after,
				     unsigned int *generation);
void qbd_replica_put(struct qbd_replica *replica);

void qbd_replica_settings(struct qbd_replica *replica, struct qbd_settings *settings);
/* @before: what qbd_replica_settings() said, and @settings was made from */
int qbd_replica_set(struct qbd_replica *replica, const struct qbd_settings *before,
		    const struct qbd_settings *settings, char *error_text,
		    size_t error_text_size);
/*
 * Hand leadership to @member (0: the fittest). Waits until it has happened or failed, but
 * no longer than QBD_MOVE_WAIT_MS. -EHOSTUNREACH, -EREMOTEIO, -ETIMEDOUT ... with one
 * line of text.
 */
#define QBD_MOVE_WAIT_MS	10000
int qbd_replica_leader_move(struct qbd_replica *replica, u32 member, char *error_text,
			    size_t error_text_size);

/**
 * qbd_replica_change_members() - have the leader change the list of members
 * @replica: of any member
 * @wanted: the list; its index is that of the list that it was made from. Votes stay as
 *	they are, what is meant to become of members is said by QBD_MEMBER_INTENTS
 * @force: even though a host that is to leave uses the device
 * @error_text: one line on failure
 * @error_text_size: its room
 *
 * Returns when the leader has it in its log; what follows takes as long as it takes, and
 * is seen in the status. -ESTALE: the list has changed meanwhile. -EAGAIN: not just now.
 * -EHOSTUNREACH: no leader, or no majority would be there. -EBUSY: not without force, or somebody
 * else here waits for an answer. -EINVAL: it cannot be.
 */
int qbd_replica_change_members(struct qbd_replica *replica,
			       const struct qbd_membership_layout *wanted, bool force,
			       char *error_text, size_t error_text_size);

/* This host's claim; the table is in claim_hold.c. */
enum qbd_hold_state {
	QBD_HOLD_NONE,
	QBD_HOLD_ASKING,
	QBD_HOLD_HELD,
	QBD_HOLD_RELEASING,
	QBD_HOLD_FENCED,
};

/**
 * struct qbd_claim_order - what an administrator wants done with a claim
 * @action: enum qbd_claim_action: TAKE and RELEASE are about this host's
 * @force: TAKE: even from a host that is there
 * @mode: MODE: enum qbd_claim_sharing
 */
struct qbd_claim_order {
	u32 action;
	bool force;
	u32 mode;
};

/*
 * Waits until it is committed, QBD_MOVE_WAIT_MS at the most. -EBUSY: somebody else has it,
 * or this host uses it; -ENOENT: there is nothing to be given back; -EOPNOTSUPP, -ESTALE,
 * -ETIMEDOUT ... with one line of text.
 */
int qbd_replica_claim(struct qbd_replica *replica, const struct qbd_claim_order *order,
		      char *error_text, size_t error_text_size);

/**
 * struct qbd_progress_report - how far a member is that is filled by extents, or catches up by
 * the log
 * @done: extents that are filled, or need not be; bytes of log that it has got
 * @total: extents of the device; the bytes that it has got, and those that it lacks; 0: neither
 * @left: extents, about so many, that are still to be sent; bytes of log that it lacks
 * @rate: bytes of them a second
 * @seconds_left: at this rate; U64_MAX: not known
 */
struct qbd_progress_report {
	u64 done;
	u64 total;
	u64 left;
	u64 rate;
	u64 seconds_left;
};

/**
 * qbd_replica_resize() - have the device grow
 * @replica: of any member
 * @blocks: to so many; 0: as far as the disks of all members allow
 * @error_text: one line on failure
 * @error_text_size: its room
 *
 * Returns when the leader has it in its log; each member's block device grows when it has
 * applied that, and QBD_EVENT_RESIZED says so. Errors as of qbd_replica_change_members().
 */
int qbd_replica_resize(struct qbd_replica *replica, u64 blocks, char *error_text,
		       size_t error_text_size);

/**
 * struct qbd_verify_wish - what is to be compared
 * @rate: bytes in a second on each member, at most; QBD_VERIFY_RATE_MIN or more
 * @first_block: of the device
 * @blocks: 0: to its end
 * @repair: what differs is made equal, where a majority agrees
 */
struct qbd_verify_wish {
	u64 rate;
	u64 first_block;
	u64 blocks;
	bool repair;
};

#define QBD_VERIFY_RATE_DEFAULT	(32ull << 20)
#define QBD_VERIFY_RATE_MIN	(64ull << 10)

/*
 * Begin to compare all replicas, from this member; its results are in the status until the
 * next time. -EBUSY, -EINVAL, -ENODEV with one line of text.
 */
int qbd_replica_verify_start(struct qbd_replica *replica, const struct qbd_verify_wish *wish,
			     char *error_text, size_t error_text_size);
/* End it before its time; -ESRCH if there is none. */
int qbd_replica_verify_stop(struct qbd_replica *replica, char *error_text,
			    size_t error_text_size);

enum qbd_verification_state {
	QBD_VERIFY_NEVER,
	QBD_VERIFY_RUNNING,
	QBD_VERIFY_DONE,
	QBD_VERIFY_STOPPED,	/* somebody wanted it so */
	QBD_VERIFY_ALONE,	/* no other member with data answers any more */
};

enum qbd_difference_kind {
	QBD_VERIFY_DIFFERENT = 1,	/* not what the majority holds */
	QBD_VERIFY_UNREADABLE,		/* the disk failed to read it */
	QBD_VERIFY_UNDECIDED,		/* no majority agrees; @member is 0 */
};

enum qbd_missed {
	QBD_MISSED_NOTHING,
	QBD_MISSED_AWAY,		/* not connected */
	QBD_MISSED_FILLING,		/* or new, or it lost something: not whole */
	QBD_MISSED_FAILED,	/* its disk */
	QBD_MISSED_SILENT,	/* no answer in time */
};

/**
 * struct qbd_verify_member - what became of one member in a verification
 * @id: of the member
 * @compared: blocks
 * @different: of these, those that are not what the majority holds, or unreadable
 * @missed: enum qbd_missed: why blocks were compared without it
 */
struct qbd_verify_member {
	u32 id;
	u64 compared;
	u64 different;
	u32 missed;
};

/**
 * struct qbd_verify_difference - consecutive blocks of one member
 * @first: device block
 * @count: blocks
 * @repaired: so many of them are equal again
 * @member: whose
 * @kind: enum qbd_difference_kind
 */
struct qbd_verify_difference {
	u64 first;
	u64 count;
	u64 repaired;
	u32 member;
	u32 kind;
};

#define QBD_VERIFY_DIFFERENCES_MAX	64u

/**
 * struct qbd_verify_result - a verification, its end or how far it is
 * @state: enum qbd_verification_state
 * @repair: it repairs
 * @rate: see struct qbd_verify_wish
 * @first_block: where it began
 * @end_block: where it ends
 * @next_block: where it is: all before it has been compared
 * @compared: blocks, of two members at least
 * @different: blocks that differed on some member
 * @undecided: of these, those about which no majority agrees
 * @repaired: of these, those that are equal now
 * @skipped: blocks that were written each time they were looked at
 * @missed: blocks that fewer than two members could be asked for
 * @member_count: used entries of @members
 * @members: those that hold data
 * @difference_count: used entries of @differences
 * @unlisted: blocks that differ and had no room in @differences
 * @differences: in the order in which they were found
 */
struct qbd_verify_result {
	u32 state;
	bool repair;
	u64 rate;
	u64 first_block;
	u64 end_block;
	u64 next_block;
	u64 compared;
	u64 different;
	u64 undecided;
	u64 repaired;
	u64 skipped;
	u64 missed;
	u32 member_count;
	struct qbd_verify_member members[QBD_MEMBERS_MAX];
	u32 difference_count;
	u64 unlisted;
	struct qbd_verify_difference differences[QBD_VERIFY_DIFFERENCES_MAX];
};

/**
 * struct qbd_member_status - one member as this one sees it
 * @member: as configured
 * @self: it is this one
 * @leader: it leads
 * @connected: both connections stand
 * @progress_known: the fields from @progress_state to @inflight_bytes mean something
 * @needs_extents: being filled, or about to be
 * @progress_state: enum qbd_core_progress_state
 * @match_index: acknowledged
 * @next_index: sent next
 * @behind_entries: log entries that it lacks
 * @behind_bytes: of log, as far as it is known
 * @inflight_bytes: sent and not acknowledged
 * @last_heard_ms: ago; U64_MAX: never, or not known here
 * @fill: of who is filled from here; @fill.total 0: nobody is
 * @catch_up: .total 0: it does not catch up by the log, or not from here
 * @network: of the connections
 *
 * match_index, next_index and inflight_bytes are known at the leader only, for
 * the others they are 0 with progress_known false.
 */
struct qbd_member_status {
	struct qbd_member_layout member;
	bool self;
	bool leader;
	bool connected;
	bool progress_known;
	bool needs_extents;
	u8 progress_state;
	u64 match_index;
	u64 next_index;
	u64 behind_entries;
	u64 behind_bytes;
	u64 inflight_bytes;
	u64 last_heard_ms;
	struct qbd_progress_report fill;
	struct qbd_progress_report catch_up;
	struct qbd_net_peer_status network;
};

/**
 * struct qbd_replica_status - a consistent snapshot
 *
 * @quorum_needed of @voters must be up; @voters_up is known at the leader exactly,
 * elsewhere it is this member's connections; @may_lose more may fail before I/O
 * stops (-1: has no quorum now).
 * @name: of the device
 * @uuid: of the device
 * @number: N of /dev/qbdN; a witness has none, but a number
 * @has_device: there is one
 * @member_id: this member
 * @device_blocks: size in 4 KiB blocks
 * @role: enum qbd_core_role
 * @term: current term
 * @leader: member id, 0: none known
 * @has_quorum: there is a leader that a majority follows, as far as is known here
 * @voters: of the configuration
 * @quorum_needed: votes for a majority
 * @voters_up: exact at the leader; elsewhere who is connected
 * @may_lose: so many more may fail before I/O stops; -1: it has stopped
 * @first_index: oldest record in the log
 * @last_index: newest record
 * @durable_index: on this disk up to here
 * @commit_index: committed up to here
 * @applied_index: in the data area up to here
 * @failed: the disk failed: vouches for nothing
 * @damaged: lost acknowledged records, which are sent again
 * @filling: data is being filled from extents
 * @fill: how far that is, all 0 if it is not
 * @lease_valid: the leader may read without a round
 * @suspended: requests wait for a leader
 * @requests_waiting: not begun
 * @requests_in_flight: begun and not completed
 * @in_use: somebody has the block device open
 * @reads: completed here since it came up
 * @read_bytes: likewise
 * @writes: likewise
 * @write_bytes: likewise
 * @zeroes: discards and write-zeroes, likewise
 * @forwarded: requests sent to a leader elsewhere
 * @resent: of these, sent more than once
 * @errors: requests that failed
 * @records_appended: as leader
 * @memory_bytes: log pages
 * @memory_free_bytes: of these, free
 * @problem: one line if something needs a person, or ""
 * @settings: in force
 * @store: of the disk
 * @claim_mode: enum qbd_claim_sharing
 * @claim_holder: member that may write, 0: nobody (or everybody)
 * @claim_epoch: log index of that claim
 * @claim_since_ms: this member knows of it for so long
 * @claim_state: of this host, enum qbd_hold_state
 * @claim_lease_known: this member leads, and somebody else is the holder:
 * @claim_lease_left_ms: after so long without a sign of him it may be taken over
 * @removed: this member is none any more
 * @members_index: log index of the list of members in force, 0 for the first
 * @next_member_id: the lowest id that no member ever had
 * @member_count: used entries of @members
 * @members: as this member sees them
 * @unreadable_blocks: of this disk's data, that it failed to read
 * @mended_blocks: of these, those that were written anew with what others hold
 * @verify: the last verification that was begun here
 */
struct qbd_replica_status {
	char name[QBD_NAME_SIZE];
	u8 uuid[QBD_UUID_SIZE];
	unsigned int number;
	bool has_device;
	u32 member_id;
	u64 device_blocks;
	u32 role;
	u64 term;
	u32 leader;
	bool has_quorum;
	u32 voters;
	u32 quorum_needed;
	u32 voters_up;
	s32 may_lose;
	u64 first_index;
	u64 last_index;
	u64 durable_index;
	u64 commit_index;
	u64 applied_index;
	bool failed;
	bool damaged;
	bool filling;
	struct qbd_progress_report fill;
	bool lease_valid;
	bool suspended;
	u64 requests_waiting;
	u64 requests_in_flight;
	u64 in_use;
	u64 reads, read_bytes, writes, write_bytes, zeroes, forwarded, resent, errors;
	u64 records_appended;
	u64 memory_bytes, memory_free_bytes;
	char problem[160];
	struct qbd_settings settings;
	struct qbd_store_status store;
	u32 claim_mode;
	u32 claim_holder;
	u64 claim_epoch;
	u64 claim_since_ms;
	u32 claim_state;
	bool claim_lease_known;
	u64 claim_lease_left_ms;
	bool removed;
	u64 members_index;
	u32 next_member_id;
	u32 member_count;
	struct qbd_member_status members[QBD_MEMBERS_MAX];
	u64 unreadable_blocks;
	u64 mended_blocks;
	struct qbd_verify_result verify;
};

/* @status is large: allocate it. */
void qbd_replica_get_status(struct qbd_replica *replica,
			    struct qbd_replica_status *status);

enum qbd_event_kind {
	QBD_EVENT_UP = 1,
	QBD_EVENT_DOWN,
	QBD_EVENT_ROLE,			/* this member's role or term changed */
	QBD_EVENT_LEADER,		/* leader became known, changed, or was lost */
	QBD_EVENT_PEER_UP,
	QBD_EVENT_PEER_DOWN,
	QBD_EVENT_QUORUM_LOST,
	QBD_EVENT_QUORUM_REGAINED,
	QBD_EVENT_FILL_PROGRESS,
	QBD_EVENT_FILL_DONE,
	QBD_EVENT_DISK_FAILED,
	QBD_EVENT_SETTINGS,
	QBD_EVENT_REFUSED,		/* a handshake failed */
	QBD_EVENT_REMOVED,		/* this member is none any more */
	QBD_EVENT_MEMBERS,		/* the list of members changed, and is committed */
	QBD_EVENT_CLAIMED,		/* this host has the claim */
	QBD_EVENT_RELEASED,		/* this host has given it back */
	QBD_EVENT_FENCED,		/* it was taken over; this host's I/O fails */
	QBD_EVENT_RESIZED,		/* the block device is larger now */
	QBD_EVENT_VERIFY_PROGRESS,
	QBD_EVENT_VERIFY_DIFFERENCE,	/* replicas differ */
	QBD_EVENT_VERIFY_DONE,		/* or stopped */
	QBD_EVENT_BLOCKS_MENDED,	/* what this disk failed to read was written anew */
	QBD_EVENT_CATCH_UP_PROGRESS,	/* of a follower, by the log */
	QBD_EVENT_CATCH_UP_DONE,
};

/**
 * struct qbd_event - one change, for those who listen
 * @sequence: counts this replica's events; a gap means that some were dropped
 * @peer: member concerned, or 0
 * @text: reason or detail, may be ""
 * @kind: what happened
 * @name: of the device
 * @number: N of /dev/qbdN, as far as there is one
 * @has_device: there is one
 * @member_id: this member
 * @role: enum qbd_core_role
 * @term: current term
 * @leader: member id or 0
 * @done: FILL_*, CATCH_UP_*: see struct qbd_progress_report; VERIFY_*: blocks
 * @total: likewise
 * @left: likewise
 * @rate: likewise
 * @seconds_left: likewise
 */
struct qbd_event {
	enum qbd_event_kind kind;
	u64 sequence;
	char name[QBD_NAME_SIZE];
	unsigned int number;
	bool has_device;
	u32 member_id;
	u32 role;
	u64 term;
	u32 leader;
	u32 peer;
	u64 done;
	u64 total;
	u64 left;
	u64 rate;
	u64 seconds_left;
	char text[96];
};

/* Set by ctl before the first replica is up; process context, may sleep. */
typedef void (*qbd_event_handler)(struct net *net, const struct qbd_event *event);
void qbd_replica_set_event_handler(qbd_event_handler handler);

/* Module and namespace life, called by main.c. */
int qbd_replica_init(void);
void qbd_replica_exit(void);
/* Takes down, with force, every member that lives in @net. */
void qbd_replica_net_exit(struct net *net);

#endif
