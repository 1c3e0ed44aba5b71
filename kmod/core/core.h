/* SPDX-License-Identifier: GPL-2.0 */
/*
 * qbd core: Raft for one device, as a pure state machine.
 *
 * No kernel calls, no allocation, no clock, no I/O, no callbacks. Time,
 * messages, proposals and storage completions come in as events (functions
 * that take @now); what has to be done comes out of qbd_core_take_output() and
 * qbd_core_take_message(). The caller (the replica) serialises all calls on one
 * struct qbd_core and drains both after every event.
 *
 * The order in which the caller acts, after each event:
 *
 *   1. qbd_core_take_output(): start persisting the hard state, write the
 *      no-op record of a new leader, release reads, note role and commit.
 *   2. qbd_core_take_message() until it returns false: send on the control
 *      connection. A message for a peer without a connection is dropped.
 *   3. For each peer in output.pull_peers whose bulk connection can take more:
 *      qbd_core_next_append(), send, qbd_core_append_sent().
 *   4. Arm one timer for qbd_core_deadline().
 *
 * A log entry is one index is one record. The core knows index, term and kind;
 * the payload is the caller's business. Index 0 and term 0 mean "before the
 * first". All times are u64 nanoseconds of CLOCK_BOOTTIME.
 *
 * What may leave when: the core itself withholds every vote and acknowledgment
 * until the caller has reported the hard state and the log durable. Whatever
 * qbd_core_take_message() hands out may be sent at once.
 */
#ifndef QBD_CORE_H
#define QBD_CORE_H

#include "types.h"

#define QBD_CORE_MEMBERS_MAX	16	/* members of one configuration */
#define QBD_PEERS_MAX		24	/* slots: members and strangers heard of */
#define QBD_TRAIL_MAX		256	/* runs of equal term kept of the log */
#define QBD_CONFIGS_MAX		8	/* stacked configurations */
#define QBD_ROUNDS_MAX		64	/* heartbeat rounds with known send time */
#define QBD_MARKS_MAX		32	/* unacknowledged sends per peer */

#define QBD_NEVER		(~(u64)0)
/* Larger terms or indexes from a peer are rubbish, and refused. */
#define QBD_INDEX_MAX		((u64)1 << 62)
/* Hard state: this member voted in the term, and has forgotten for whom. No member's id. */
#define QBD_VOTE_NOBODY		(~(u32)0)

/* ---- configuration ------------------------------------------------------ */

/*
 * Member flags, the same values as QBD_MEMBER_* of the format. In a simple
 * configuration only VOTER and LEARNER occur. In a joint one VOTER marks the
 * incoming set and VOTER_OLD the outgoing set; a member of both carries both.
 */
#define QBD_CORE_VOTER		0x01
#define QBD_CORE_VOTER_OLD	0x02
#define QBD_CORE_LEARNER	0x04
#define QBD_CORE_WITNESS	0x08	/* votes and logs, leads only to pass its log on */

/**
 * struct qbd_member - one member of a configuration
 * @id: never reused, never 0
 * @flags: QBD_CORE_VOTER ...
 * @priority: higher is preferred as leader; equal by default
 * @reserved: zero
 */
struct qbd_member {
	u32 id;
	u8 flags;
	u8 priority;
	u16 reserved;
};

/**
 * struct qbd_config - a member list, the payload of a CONFIG entry
 * @count: members in use
 * @reserved: zero
 * @members: in any order, ids distinct
 */
struct qbd_config {
	u32 count;
	u32 reserved;
	struct qbd_member members[QBD_CORE_MEMBERS_MAX];
};

/**
 * qbd_config_check() - is this member list well formed?
 * @config: the list
 *
 * Return: NULL if it is, otherwise one short phrase saying what is wrong.
 */
const char *qbd_config_check(const struct qbd_config *config);

/**
 * qbd_config_is_joint() - does the configuration have two voter sets?
 * @config: the list
 */
bool qbd_config_is_joint(const struct qbd_config *config);

/**
 * qbd_config_find() - look a member up
 * @config: the list
 * @id: member id
 *
 * Return: the member or NULL.
 */
const struct qbd_member *qbd_config_find(const struct qbd_config *config,
					 u32 id);

/* ---- options ------------------------------------------------------------ */

/**
 * struct qbd_core_options - the timing and window knobs of a device
 * @election_timeout: T. Followers campaign after [T, 2T] of silence and refuse
 *	votes for T after a leader was heard
 * @heartbeat: time between heartbeats, at most a third of T
 * @disk_stall: a leader whose own log write, or reads, make no progress for so long
 *	hands over
 * @resend: sent entries without any progress for so long are probed for and
 *	sent again; doubles with every failure up to 32 times. A backstop: on TCP
 *	loss shows as a disconnect
 * @window: bytes sent and not acknowledged per peer
 */
struct qbd_core_options {
	u64 election_timeout;
	u64 heartbeat;
	u64 disk_stall;
	u64 resend;
	u64 window;
};

/**
 * qbd_core_options_default() - 150 ms, 50 ms, 300 ms, 2 s, 8 MiB
 * @options: filled
 */
void qbd_core_options_default(struct qbd_core_options *options);

/**
 * qbd_core_options_check() - can these options work together?
 * @options: to be checked
 *
 * Return: NULL if they can, otherwise one short phrase saying what would work.
 */
const char *qbd_core_options_check(const struct qbd_core_options *options);

/* ---- control messages --------------------------------------------------- */

/**
 * enum qbd_message_type - kinds of control message
 * @QBD_MESSAGE_PREVOTE_REQUEST: would you vote for me in @term?
 * @QBD_MESSAGE_PREVOTE_REPLY: answer; a grant carries the request's term, a
 *	refusal the replier's own
 * @QBD_MESSAGE_VOTE_REQUEST: vote for me in @term
 * @QBD_MESSAGE_VOTE_REPLY: answer; a grant is durable before it leaves, and says which is
 *	the last entry of its sender (@index, @log_term)
 * @QBD_MESSAGE_HEARTBEAT: leader is alive; opens or repeats a round
 * @QBD_MESSAGE_HEARTBEAT_REPLY: answer to a round, with log progress
 * @QBD_MESSAGE_PROBE: an append without entries: do you have @index/@log_term?
 * @QBD_MESSAGE_APPEND_REPLY: acknowledgment or refusal of appends and probes
 * @QBD_MESSAGE_TIMEOUT_NOW: campaign at once, leadership is yours to take
 * @QBD_MESSAGE_TERM: answer to a leader of an older term: there is a newer one
 * @QBD_MESSAGE_TYPE_END: not a type
 *
 * The numbers are on the wire.
 */
enum qbd_message_type {
	QBD_MESSAGE_PREVOTE_REQUEST	= 1,
	QBD_MESSAGE_PREVOTE_REPLY	= 2,
	QBD_MESSAGE_VOTE_REQUEST	= 3,
	QBD_MESSAGE_VOTE_REPLY		= 4,
	QBD_MESSAGE_HEARTBEAT		= 5,
	QBD_MESSAGE_HEARTBEAT_REPLY	= 6,
	QBD_MESSAGE_PROBE		= 7,
	QBD_MESSAGE_APPEND_REPLY	= 8,
	QBD_MESSAGE_TIMEOUT_NOW		= 9,
	QBD_MESSAGE_TERM		= 10,
	QBD_MESSAGE_TYPE_END
};

/* Message flags; the numbers are on the wire. */
#define QBD_MESSAGE_GRANTED	0x01	/* (pre)vote reply: yes */
#define QBD_MESSAGE_REJECTED	0x02	/* append reply: @reject_index did not match */
#define QBD_MESSAGE_FORCED	0x04	/* vote request after TIMEOUT_NOW */
#define QBD_MESSAGE_FILLING	0x08	/* replies: do not count me towards commit */
#define QBD_MESSAGE_FIT		0x10	/* replies: I may lead */
#define QBD_MESSAGE_FAILED	0x20	/* replies: my storage failed, I vouch for nothing */
#define QBD_MESSAGE_LOST	0x40	/* append reply: acknowledged entries are gone, resend */
#define QBD_MESSAGE_NO_VOTE	0x80	/* replies: I vote for nobody, whoever asks */
#define QBD_MESSAGE_FLAGS	0xff	/* all of them */

/**
 * struct qbd_core_message - one control message, every field on the wire 1:1
 * @from: sending member
 * @to: receiving member
 * @type: enum qbd_message_type
 * @flags: QBD_MESSAGE_*
 * @term: the sender's term (prevote request and grant: the term asked for)
 * @index: requests, VOTE_REPLY with GRANTED: last log index; PROBE: the previous
 *	index asked about; HEARTBEAT: the leader's last index; TIMEOUT_NOW: likewise,
 *	to be durable first, 0: at once; other replies: acknowledged, i.e. durable here
 *	and the same as the leader's
 * @log_term: requests, VOTE_REPLY with GRANTED, PROBE: the term of the entry at @index
 * @commit: HEARTBEAT, PROBE: leader's commit index as far as this peer matches;
 *	replies: the replier's commit index
 * @round: HEARTBEAT: round number; HEARTBEAT_REPLY: round answered, 0:
 *	none, no lease rests on it; TIMEOUT_NOW: last round opened before
 * @matched: replies: received and the same as the leader's, perhaps not durable
 * @durable: HEARTBEAT and replies: the sender's own durable index
 * @reject_index: APPEND_REPLY with REJECTED: the previous index refused;
 *	HEARTBEAT_REPLY: the caller's: 1: the sender's host uses the device; the core passes
 *	over it
 * @hint_index: APPEND_REPLY with REJECTED or LOST: try here;
 *	HEARTBEAT_REPLY: the replier's last index
 * @hint_term: term of the entry at @hint_index
 * @timeout: HEARTBEAT, HEARTBEAT_REPLY: the sender's election timeout
 * @reachable: the caller's: which members the sender has connections to, one bit
 *	for each in the order of the configuration; the core passes over it
 * @session: the caller's: run of the sender's device; likewise
 * @room: likewise: blocks that the sender's disk has room for, 0: is not to be asked
 * @max_rate: likewise: what members that catch up are sent in a second, as far as the sender
 *	knows; 0: no limit
 * @max_rate_version: likewise: so often was that set
 *
 * Fields not named for a type are zero.
 */
struct qbd_core_message {
	u32 from;
	u32 to;
	u32 type;
	u32 flags;
	u64 term;
	u64 index;
	u64 log_term;
	u64 commit;
	u64 round;
	u64 matched;
	u64 durable;
	u64 reject_index;
	u64 hint_index;
	u64 hint_term;
	u64 timeout;
	u64 reachable;
	u64 session;
	u64 room;
	u64 max_rate;
	u64 max_rate_version;
};

/* ---- log entries -------------------------------------------------------- */

/**
 * enum qbd_entry_kind - what an entry is
 * @QBD_ENTRY_NOOP: a leader's first entry
 * @QBD_ENTRY_DATA: a batch of block operations
 * @QBD_ENTRY_CONFIG: a struct qbd_config
 * @QBD_ENTRY_CLAIM: reserved for claims (fencing epochs)
 * @QBD_ENTRY_SESSION: reserved for sessions (repeated requests)
 * @QBD_ENTRY_RESIZE: reserved for a change of the device's size
 * @QBD_ENTRY_KIND_END: not a kind; all below are accepted by the core
 *
 * The numbers are on the wire and on the disk.
 */
enum qbd_entry_kind {
	QBD_ENTRY_NOOP		= 1,
	QBD_ENTRY_DATA		= 2,
	QBD_ENTRY_CONFIG	= 3,
	QBD_ENTRY_CLAIM		= 4,
	QBD_ENTRY_SESSION	= 5,
	QBD_ENTRY_RESIZE	= 6,
	QBD_ENTRY_KIND_END	= 16,
};

/**
 * struct qbd_entry - an entry as the core sees it
 * @term: term of the leader that made it
 * @kind: enum qbd_entry_kind
 * @config: decoded and checked member list of a CONFIG entry, else NULL; copied
 */
struct qbd_entry {
	u64 term;
	u32 kind;
	const struct qbd_config *config;
};

/**
 * struct qbd_append - a received bulk frame with entries
 * @from: sender
 * @term: the sender's term as leader
 * @prev_index: index before the first entry
 * @prev_term: term of the entry at @prev_index
 * @commit: the leader's commit index when it sent
 * @count: entries; they have indexes prev_index + 1 ... prev_index + count
 * @entries: @count of them
 */
struct qbd_append {
	u32 from;
	u64 term;
	u64 prev_index;
	u64 prev_term;
	u64 commit;
	u32 count;
	const struct qbd_entry *entries;
};

/**
 * enum qbd_append_verdict - what became of a received append
 * @QBD_APPEND_ACCEPTED: matched; write what the result says (perhaps nothing)
 * @QBD_APPEND_REJECTED: no match; drop the frame (a reply is on its way)
 * @QBD_APPEND_STALE: from an older term; drop the frame
 * @QBD_APPEND_IGNORED: this member does not take entries (storage failed)
 * @QBD_APPEND_INVALID: malformed, or it cannot be; cut the peer off
 */
enum qbd_append_verdict {
	QBD_APPEND_ACCEPTED,
	QBD_APPEND_REJECTED,
	QBD_APPEND_STALE,
	QBD_APPEND_IGNORED,
	QBD_APPEND_INVALID,
};

/**
 * struct qbd_append_result - what to do with an accepted append
 * @truncate_from: if not 0, drop all entries from this index on FIRST. Their
 *	memory and log space are free; completions of their writes are void
 * @first_new: first index of the frame to write (entries before it are here
 *	already), meaningful if @count_new
 * @count_new: number of entries to write, the last of the frame
 * @generation: tag of the writes now started, see qbd_core_log_durable()
 */
struct qbd_append_result {
	u64 truncate_from;
	u64 first_new;
	u32 count_new;
	u64 generation;
};

/**
 * enum qbd_propose_result - may the leader append this?
 * @QBD_PROPOSE_OK: appended; write it and let the peers pull it
 * @QBD_PROPOSE_NOT_LEADER: forward it to the leader; a witness that leads takes none
 * @QBD_PROPOSE_TRANSFERRING: leadership is moving; keep it and look again when
 *	the output says role, leader or transfer changed
 * @QBD_PROPOSE_CONFIG_PENDING: a member change is not finished, or no entry of
 *	this term is committed yet
 * @QBD_PROPOSE_INVALID: kind or member list is not acceptable
 */
enum qbd_propose_result {
	QBD_PROPOSE_OK,
	QBD_PROPOSE_NOT_LEADER,
	QBD_PROPOSE_TRANSFERRING,
	QBD_PROPOSE_CONFIG_PENDING,
	QBD_PROPOSE_INVALID,
};

/* ---- replication to peers ----------------------------------------------- */

/* Links of a peer. */
enum qbd_link {
	QBD_LINK_CONTROL,
	QBD_LINK_BULK,
};

/**
 * enum qbd_pull - answer of qbd_core_next_append()
 * @QBD_PULL_NOTHING: nothing to send now (caught up, window full, probing);
 *	the output names the peer again when that changes
 * @QBD_PULL_RANGE: send entries of the range
 * @QBD_PULL_EXTENTS: the log does not reach back far enough
 */
enum qbd_pull {
	QBD_PULL_NOTHING,
	QBD_PULL_RANGE,
	QBD_PULL_EXTENTS,
};

/**
 * struct qbd_range - what may be sent to a peer next
 * @term: goes into the frame
 * @prev_index: goes into the frame
 * @prev_term: goes into the frame
 * @commit: goes into the frame
 * @first: first entry to send, prev_index + 1
 * @last: last entry that may be sent; fewer is fine
 * @max_bytes: room in the window; one entry may be sent even if it is larger
 */
struct qbd_range {
	u64 term;
	u64 prev_index;
	u64 prev_term;
	u64 commit;
	u64 first;
	u64 last;
	u64 max_bytes;
};

/**
 * enum qbd_core_progress_state - what the leader knows of a peer's log
 * @QBD_PEER_PROBE: looking for the last entry in common
 * @QBD_PEER_REPLICATE: streaming
 * @QBD_PEER_NEEDS_EXTENTS: it is behind the start of the log
 */
enum qbd_core_progress_state {
	QBD_PEER_PROBE,
	QBD_PEER_REPLICATE,
	QBD_PEER_NEEDS_EXTENTS,
};

/* ---- roles and flags ---------------------------------------------------- */

enum qbd_core_role {
	QBD_ROLE_FOLLOWER	= 0,
	QBD_ROLE_PRECANDIDATE	= 1,
	QBD_ROLE_CANDIDATE	= 2,
	QBD_ROLE_LEADER		= 3,
};

/*
 * What the caller allows this member, see qbd_core_set_fitness(). The first three are
 * set after qbd_core_init().
 */
#define QBD_MAY_VOTE	0x01	/* clear: the end of the log is unknown (damaged) */
#define QBD_MAY_LEAD	0x02	/* clear: damaged, being filled, disk too slow */
#define QBD_COUNTS	0x04	/* clear: being filled; acks do not count for commit */
#define QBD_LOG_COUNTED	0x08	/* set, with COUNTS clear: what is in the log counted */
#define QBD_FORGETFUL	0x10	/* set: what it promises, or did on a former disk, binds nobody */

/* ---- output ------------------------------------------------------------- */

#define QBD_OUT_PERSIST		0x0001	/* write hard_term, hard_vote; then report hard_seq */
#define QBD_OUT_ROLE		0x0002	/* role changed */
#define QBD_OUT_TERM		0x0004	/* term changed */
#define QBD_OUT_LEADER		0x0008	/* leader changed (0: unknown) */
#define QBD_OUT_COMMIT		0x0010	/* commit advanced */
#define QBD_OUT_NOOP		0x0020	/* write a NOOP record at noop_index, term */
#define QBD_OUT_READS_RELEASED	0x0040	/* tickets up to read_released may read */
#define QBD_OUT_READS_FAILED	0x0080	/* tickets up to read_failed, not released: retry */
#define QBD_OUT_PULL		0x0100	/* pull_peers have something to be sent */
#define QBD_OUT_EXTENTS		0x0200	/* extents_peers need extents */
#define QBD_OUT_CONFIG		0x0400	/* the configuration in force changed */
#define QBD_OUT_TRANSFER	0x0800	/* a transfer began, ended or was given up */
#define QBD_OUT_TIMER		0x1000	/* deadline changed */
#define QBD_OUT_STOPPED		0x2000	/* an invariant failed: as if storage had */

/**
 * struct qbd_core_output - what the last events ask for
 * @flags: QBD_OUT_*; the fields are current whether flagged or not, except as
 *	noted
 * @hard_term: term to persist
 * @hard_vote: vote to persist (member id or 0)
 * @hard_seq: to be handed to qbd_core_hard_state_durable() afterwards. Only the
 *	newest needs to be written; it covers all before it
 * @role: enum qbd_core_role
 * @leader: member id or 0
 * @term: current term
 * @commit: entries up to here are committed. They may be applied, whether or
 *	not they are durable locally yet
 * @noop_index: with QBD_OUT_NOOP only: where the new leader's no-op goes. It
 *	is in the core's log already; the caller must write it as if proposed
 * @generation: tag for log writes, see qbd_core_log_durable()
 * @read_released: with QBD_OUT_READS_RELEASED: all tickets up to this one
 * @read_failed: with QBD_OUT_READS_FAILED: all tickets up to this one that
 *	were never released
 * @pull_peers: bitmap of slots with something to send and room in the window;
 *	shown as long as it is so, not only when it changes
 * @extents_peers: bitmap of slots that need extents, likewise
 * @deadline: same as qbd_core_deadline()
 * @stopped_line: where an invariant failed, or 0
 * @stopped_file: which file that was, or NULL
 */
struct qbd_core_output {
	u32 flags;
	u32 hard_vote;
	u64 hard_term;
	u64 hard_seq;
	u32 role;
	u32 leader;
	u64 term;
	u64 commit;
	u64 noop_index;
	u64 generation;
	u64 read_released;
	u64 read_failed;
	u32 pull_peers;
	u32 extents_peers;
	u64 deadline;
	u32 stopped_line;
	const char *stopped_file;
};

/* ---- reads -------------------------------------------------------------- */

/**
 * enum qbd_core_read_mode - how sure a read must be
 * @QBD_CORE_READ_LEASE: under the leader's lease, else as QBD_CORE_READ_QUORUM
 * @QBD_CORE_READ_QUORUM: a round of heartbeats confirms leadership
 */
enum qbd_core_read_mode {
	QBD_CORE_READ_LEASE,
	QBD_CORE_READ_QUORUM,
};

/**
 * enum qbd_read_result - may the read go on?
 * @QBD_READ_READY: yes, at the current commit index. In mode LEASE ask
 *	qbd_core_lease_valid() again before completing it
 * @QBD_READ_PENDING: the output will release or fail the ticket
 * @QBD_READ_NOT_LEADER: forward it; a witness that leads has nothing to read
 */
enum qbd_read_result {
	QBD_READ_READY,
	QBD_READ_PENDING,
	QBD_READ_NOT_LEADER,
};

/* ---- transfer ----------------------------------------------------------- */

/**
 * enum qbd_transfer_result - can leadership move there?
 * @QBD_TRANSFER_STARTED: under way; ends by a change of leader, or is given up
 *	after one election timeout (QBD_OUT_TRANSFER in both cases)
 * @QBD_TRANSFER_ALREADY: the target is the leader
 * @QBD_TRANSFER_NOT_LEADER: ask the leader
 * @QBD_TRANSFER_BUSY: another transfer is under way
 * @QBD_TRANSFER_NOT_VOTER: the target is no voter, or a witness
 * @QBD_TRANSFER_UNREACHABLE: the target was not heard for an election timeout
 * @QBD_TRANSFER_UNFIT: the target is being filled, damaged or behind the log
 */
enum qbd_transfer_result {
	QBD_TRANSFER_STARTED,
	QBD_TRANSFER_ALREADY,
	QBD_TRANSFER_NOT_LEADER,
	QBD_TRANSFER_BUSY,
	QBD_TRANSFER_NOT_VOTER,
	QBD_TRANSFER_UNREACHABLE,
	QBD_TRANSFER_UNFIT,
};

/* ---- the state; all fields private to kmod/core -------------------------- */

/* A run of entries with the same term, up to the next run. */
struct qbd_run {
	u64 first;
	u64 term;
};

/*
 * The terms of the log. Entries base_index + 1 .. last are known; base_index
 * is the entry before the first one, of which only the term is kept.
 */
struct qbd_trail {
	u64 base_index;
	u64 base_term;
	u64 last;
	u32 count;
	struct qbd_run runs[QBD_TRAIL_MAX];
};

struct qbd_config_level {
	u64 index;
	struct qbd_config config;
};

/* Bytes sent and unacknowledged up to an index. */
struct qbd_mark {
	u64 last;
	u64 bytes;
};

struct qbd_peer {
	u32 id;			/* 0: slot is free */
	u32 owed;		/* bitmap of message types to be sent */
	u64 touched;		/* last use, for recycling strangers */

	/* answers owed to it */
	u64 prevote_term;
	bool prevote_granted;
	u64 vote_term;

	/* the last entry of its log, as it said when it voted for this member */
	u64 voted_term;		/* in this term */
	u64 voted_index;
	u64 voted_log_term;

	/* its place in the configuration in force */
	u8 member;		/* QBD_CORE_VOTER ..., 0: a stranger */
	u8 priority;

	/* what the leader knows of it */
	u8 state;		/* enum qbd_core_progress_state */
	bool bulk_up;
	u32 flags;		/* QBD_MESSAGE_FILLING, FIT, NO_VOTE, FAILED of its last reply */
	u64 match;		/* durable there and the same as here */
	u64 counted;		/* the same, as far as it said that it counts */
	u64 received;		/* the same, perhaps not durable there */
	u64 next;		/* next entry to send, or to probe before */
	u64 window;		/* 0: as in the options */
	u64 inflight;
	u64 progress_at;	/* when match or received moved, or sending began */
	u32 resend_shift;
	u64 heard_at;		/* last answer in this leadership, 0: none */
	u64 acked_round;	/* highest round answered */
	u64 acked_at;		/* when that answer came */
	u64 support_until;	/* it refuses other candidates until then */
	bool barrier;		/* no lease until it answers a later round than */
	u64 barrier_round;	/* this, the last before it was sent TIMEOUT_NOW */
	u32 marks_first;	/* ring */
	u32 marks_count;
	struct qbd_mark marks[QBD_MARKS_MAX];
};

struct qbd_core {
	u32 self;
	u32 fitness;
	bool started;
	bool failed;
	u32 stopped_line;
	const char *stopped_file;
	u64 now;
	u64 random;
	struct qbd_core_options options;

	/* hard state; seq counts changes */
	u64 term;
	u32 vote;
	u64 hard_seq;
	u64 hard_durable;
	u64 term_seq;		/* hard_seq at which the term was entered */
	u64 vote_seq;		/* hard_seq at which the vote was given */

	/* log */
	struct qbd_trail trail;
	u64 commit;
	u64 durable;
	u64 generation;
	u64 stall_since;	/* the log has undurable entries without progress */
	u64 log_hung_at;	/* when that was last too long ago */
	u32 log_patience;	/* leader: it hands over for that 2^this times as late */
	u64 reads_since;	/* qbd_core_reads_since() */
	u64 reads_hung_at;	/* when that was last too long ago */
	u32 reads_patience;	/* leader: it hands over for reads 2^this times as late */
	u64 lost_until;		/* acknowledged entries are missing up to here */
	u64 told_committed;	/* qbd_core_told_committed(); the log may differ there */
	bool uncounted;		/* no ack after the base counted: it is being filled */

	/* membership: levels[0] is committed, the others are stacked above it */
	u32 levels_count;
	struct qbd_config_level levels[QBD_CONFIGS_MAX];

	/* role */
	u32 role;
	u32 leader;
	u64 matched;		/* follower: same as the leader's log up to here */
	u64 guard_until;	/* no votes before: a leader may hold a lease */
	u64 heard_round;
	u64 obey_index;		/* TIMEOUT_NOW waits until this is durable; 0: none does */
	u64 obey_round;		/* and no later round than this was heard */
	u64 leader_last;	/* end of the leader's log, as it said in this term */
	u64 heartbeats;		/* so many came, of whatever leader */
	u64 election_deadline;
	bool forced;		/* campaign was asked for by TIMEOUT_NOW */
	u32 campaign_shift;	/* doublings of a candidate's wait, until one led */
	u32 votes_granted;	/* bitmaps of slots */
	u32 votes_refused;
	bool append_rejected;	/* the answer owed to the leader is a refusal */
	u64 reject_index;
	u64 reject_term;

	/* leadership */
	u64 own_first;		/* the no-op of this leadership */
	u64 heartbeat_at;
	u64 leader_since;
	u64 own_round;		/* the first round of this leadership */
	u64 round;
	u64 round_sent[QBD_ROUNDS_MAX];

	/* reads */
	u64 read_high;		/* highest ticket seen */
	u64 read_done;		/* highest ticket released or failed */
	u64 read_ticket;	/* covered by read_round */
	u64 read_round;		/* 0: no round under way */

	/* transfer */
	u32 transfer_to;
	bool transfer_blocked;	/* no more proposals until it ends */
	bool transfer_sent;
	bool transfer_complete;	/* and it had all of the log by then */
	u64 transfer_deadline;
	u64 timeout_now_term;	/* of the TIMEOUT_NOW last sent */

	/* output */
	u32 out_flags;
	u64 out_noop;
	u64 out_released;
	u64 out_failed;
	u64 out_deadline;
	u64 rubbish;		/* messages that were malformed or cannot be */

	struct qbd_peer peers[QBD_PEERS_MAX];
};

/* ---- start -------------------------------------------------------------- */

/**
 * qbd_core_init() - empty state, before anything is restored
 * @core: to be set up
 * @self: this member's id
 * @options: must pass qbd_core_options_check()
 * @seed: for the randomised timeouts; differs between members and starts
 */
void qbd_core_init(struct qbd_core *core, u32 self,
		   const struct qbd_core_options *options, u64 seed);

/**
 * qbd_core_restore_hard_state() - term and vote as read from disk
 * @core: between init and start
 * @term: 0 if it never took part
 * @vote: member id or 0
 */
void qbd_core_restore_hard_state(struct qbd_core *core, u64 term, u32 vote);

/**
 * qbd_core_restore_base() - where the log on disk begins
 * @core: between init and start
 * @index: entry before the first one kept, 0 for a new device. It is committed
 * @term: its term
 * @config: configuration in force at @index, or a later one that is known to be
 *	committed
 * @config_index: index of the entry that brought it, 0 for the first. CONFIG
 *	entries restored up to here are taken as known
 */
void qbd_core_restore_base(struct qbd_core *core, u64 index, u64 term,
			   const struct qbd_config *config, u64 config_index);

/**
 * qbd_core_restore_entry() - the next entry of the log on disk, in order
 * @core: between restore_base and start
 * @entry: as read and verified; it is durable
 *
 * Return: false if it cannot follow (term goes back, bad kind or member list).
 */
bool qbd_core_restore_entry(struct qbd_core *core,
			    const struct qbd_entry *entry);

/**
 * qbd_core_restore_commit() - highest index known to be committed
 * @core: after the last restore_entry
 * @index: may be beyond the last entry, which then counts; what is up to the base
 *	is known anyway
 */
void qbd_core_restore_commit(struct qbd_core *core, u64 index);

/**
 * qbd_core_start() - begin to take part, as follower
 * @core: restored
 * @now: current time
 *
 * No votes are given for one election timeout, since a lease may have been
 * supported before the restart (unless there is nobody to hold one).
 */
void qbd_core_start(struct qbd_core *core, u64 now);

/* ---- events ------------------------------------------------------------- */

/**
 * qbd_core_tick() - time has come to qbd_core_deadline()
 * @core: core
 * @now: current time; calling early or late is harmless
 */
void qbd_core_tick(struct qbd_core *core, u64 now);

/**
 * qbd_core_receive() - a control message has come
 * @core: core
 * @now: current time
 * @message: with @from as authenticated by the connection
 *
 * Messages may be lost, doubled, late and out of order, but what was sent to
 * this member before it was restarted must not arrive afterwards (connections
 * see to that).
 *
 * Return: false if the message is malformed, or says what cannot be; nothing of it
 * was taken over, and the peer should be cut off.
 */
bool qbd_core_receive(struct qbd_core *core, u64 now,
		      const struct qbd_core_message *message);

/**
 * qbd_core_append() - a bulk frame with entries has come
 * @core: core
 * @now: current time
 * @append: header and entries
 * @result: what to truncate and to write, filled if accepted
 *
 * May be called as soon as the frame's header and record headers are known and
 * checked; the entries count as received from here on, so if the payload then
 * turns out bad, cut the peer off BEFORE calling.
 */
enum qbd_append_verdict qbd_core_append(struct qbd_core *core, u64 now,
					const struct qbd_append *append,
					struct qbd_append_result *result);

/**
 * qbd_core_propose() - the leader appends an entry
 * @core: core
 * @now: current time
 * @kind: enum qbd_entry_kind
 * @config: for CONFIG entries, else NULL
 * @index: set to the entry's index if QBD_PROPOSE_OK; its term is core's term
 */
enum qbd_propose_result qbd_core_propose(struct qbd_core *core, u64 now,
					 u32 kind,
					 const struct qbd_config *config,
					 u64 *index);

/**
 * qbd_core_hard_state_durable() - term and vote have reached the disk
 * @core: core
 * @now: current time
 * @seq: output.hard_seq of the state written
 */
void qbd_core_hard_state_durable(struct qbd_core *core, u64 now, u64 seq);

/**
 * qbd_core_log_durable() - the log is durable without a gap up to an index
 * @core: core
 * @now: current time
 * @generation: qbd_core_generation() for which this holds. A truncation or
 *	reset bumps it, and reports of an older one are ignored. The caller
 *	tracks the contiguous prefix, forgets everything from truncate_from on
 *	when it truncates, and reports under the current generation
 * @term: term of the entry at @index
 * @index: durable up to here
 */
void qbd_core_log_durable(struct qbd_core *core, u64 now, u64 generation,
			  u64 term, u64 index);

/**
 * qbd_core_storage_failed() - a write of the log or hard state failed
 * @core: core
 * @now: current time
 *
 * For good: this member never votes, acknowledges or leads again until it is
 * restarted. A leader hands over. It goes on following the leader's messages so
 * that I/O can be forwarded.
 */
void qbd_core_storage_failed(struct qbd_core *core, u64 now);

/**
 * qbd_core_set_fitness() - what this member is allowed
 * @core: core
 * @now: current time
 * @fitness: QBD_MAY_VOTE, QBD_MAY_LEAD, QBD_COUNTS, QBD_LOG_COUNTED, QBD_FORGETFUL
 *
 * A leader that loses MAY_LEAD hands over if anyone can take over.
 * May be called between init and start.
 *
 * COUNTS is taken away before the log is emptied to be filled, so that nothing
 * which leaves afterwards counts, and comes back when the data is whole, durably.
 * A member that starts without it must have such a log, or say LOG_COUNTED until it
 * is emptied. The core relies on this when it votes: see Documentation/consensus.rst.
 */
void qbd_core_set_fitness(struct qbd_core *core, u64 now, u32 fitness);

/**
 * qbd_core_set_options() - new timing or window
 * @core: core
 * @now: current time
 * @options: must pass qbd_core_options_check()
 */
void qbd_core_set_options(struct qbd_core *core, u64 now,
			  const struct qbd_core_options *options);

/**
 * qbd_core_term_told() - somebody has been in @term
 * @core: core
 * @now: current time
 * @term: below QBD_INDEX_MAX; may be an old one
 *
 * A member that has forgotten what it did before enters it, and helps no leader of an
 * earlier one: see replica/join.c.
 */
void qbd_core_term_told(struct qbd_core *core, u64 now, u64 term);

/**
 * qbd_core_vote_lost() - this member voted in @term, says another one
 * @core: core
 * @now: current time
 * @term: below QBD_INDEX_MAX; may be an old one
 *
 * If it does not know for whom, it votes for nobody any more in that term. See
 * replica/disks.c.
 *
 * Return: true if it did not know; QBD_VOTE_NOBODY is to be written then.
 */
bool qbd_core_vote_lost(struct qbd_core *core, u64 now, u64 term);

/**
 * qbd_core_log_compacted() - the log now begins later
 * @core: core
 * @first_index: first entry kept; everything before is committed and applied
 */
void qbd_core_log_compacted(struct qbd_core *core, u64 first_index);

/**
 * qbd_core_may_reset() - would emptying the log to fill it from extents be right?
 * @core: core
 * @index: committed entry the data would be brought to
 * @term: its term
 *
 * To be asked before anything is dropped from the disk; what the log's last
 * index is does not tell, since a tail that is not the leader's may be long.
 *
 * Return: false if this member leads, if it knows the entry or a later one to be
 * committed, if its term cannot be, or if the log has the entry: then the log needs
 * no reset, and the rest of it may have been acknowledged.
 */
bool qbd_core_may_reset(const struct qbd_core *core, u64 index, u64 term);

/**
 * qbd_core_reset_offered() - the leader says that its log does not reach this member
 * @core: core
 * @now: current time
 * @from: who says so
 * @leader_term: its term as leader
 * @index: committed entry the data would be brought to
 * @term: its term
 *
 * It may be wrong: it knows only what this member knows to be the same as its log, and
 * after a restart that is what is known here to be committed. If the log has the entry,
 * it is as if the leader had sent a probe for it. Not to be called while the log is being
 * emptied.
 *
 * Return: true if the log has the entry. Then there is nothing to be reset, and the leader
 * is told.
 */
bool qbd_core_reset_offered(struct qbd_core *core, u64 now, u32 from, u64 leader_term,
			    u64 index, u64 term);

/**
 * qbd_core_may_reset_config() - may the member list that comes with it be so new?
 * @core: core
 * @index: as for qbd_core_may_reset()
 * @config_index: index of the entry that brought the list
 *
 * A committed entry is in the leader's log, the end of which it tells with each
 * heartbeat. What is beyond may only be late: the leader offers it again.
 */
bool qbd_core_may_reset_config(const struct qbd_core *core, u64 index,
			       u64 config_index);

/**
 * qbd_core_log_reset() - the log was emptied, to be filled from extents
 * @core: core, not leader
 * @now: current time
 * @index: committed entry the data is brought to; the log goes on after it
 * @term: its term
 * @config: configuration in force there, or a later one known to be committed
 * @config_index: index of the entry that brought it
 *
 * To be called when the new empty log is durable. Bumps the generation. The
 * leader fills from its commit index as it knows it, even before an entry of its
 * own term is committed: it may need this very member for that. Who needs
 * extents never knows of a later commit than the leader's base.
 *
 * Return: false, and nothing is changed, if qbd_core_may_reset() says so or
 * @config is not well formed.
 */
bool qbd_core_log_reset(struct qbd_core *core, u64 now, u64 index, u64 term,
			const struct qbd_config *config, u64 config_index);

/**
 * qbd_core_told_committed() - the leader said in some other way what is committed
 * @core: core, started or not
 * @now: current time
 * @index: entries up to this one were committed then; the largest ever told counts
 *
 * That is: with the data that it filled this member with. Later leaders have all of it in
 * their logs (leader completeness, thesis 3.6.3), but may not know that it is committed, and
 * be unable to find out before this member is filled, which it is not before it has applied
 * that much. So where this log is known to be the same as that of the leader of the day, it is
 * committed. Of a former run of this member it counts if its term was durable before @index.
 */
void qbd_core_told_committed(struct qbd_core *core, u64 now, u64 index);

/* ---- peers -------------------------------------------------------------- */

/**
 * qbd_core_peer_connected() - a connection passed its handshake
 * @core: core
 * @now: current time
 * @peer: member id
 * @link: which connection
 */
void qbd_core_peer_connected(struct qbd_core *core, u64 now, u32 peer,
			     enum qbd_link link);

/**
 * qbd_core_peer_disconnected() - a connection was lost
 * @core: core
 * @now: current time
 * @peer: member id
 * @link: which connection. Loss of the bulk connection forgets what was in
 *	flight: sending goes on after the last acknowledged entry
 */
void qbd_core_peer_disconnected(struct qbd_core *core, u64 now, u32 peer,
				enum qbd_link link);

/**
 * qbd_core_next_append() - what to send next on a peer's bulk connection
 * @core: core
 * @now: current time
 * @peer: member id
 * @max_bytes: what the connection can take
 * @range: filled if QBD_PULL_RANGE
 */
enum qbd_pull qbd_core_next_append(struct qbd_core *core, u64 now, u32 peer,
				   u64 max_bytes, struct qbd_range *range);

/**
 * qbd_core_append_sent() - entries were handed to the connection
 * @core: core
 * @now: current time
 * @peer: member id
 * @last_index: last entry sent, starting from range.first
 * @bytes: bytes of these entries
 */
void qbd_core_append_sent(struct qbd_core *core, u64 now, u32 peer,
			  u64 last_index, u64 bytes);

/**
 * qbd_core_reads_since() - does this member's disk answer reads?
 * @core: core
 * @now: current time
 * @since: since when reads are under way of which none has ended; 0: none is
 *
 * Accident 28: a leader answers the reads of all members from its disk. One whose disk hangs
 * hands over even if nobody writes; what it still has to read is asked of the next one. So
 * each time it waits four times as long before it does that again, until its disk has
 * answered in time for a while:
 *
 *	All disks took 400 ms for a read. 1 handed over to 2 after 300 ms, 2 to 1 after 300 ms,
 *	and so on; what each of them had read was for nobody.
 *
 * Who waits for reads is not taken for fit, but leads rather than nobody.
 */
void qbd_core_reads_since(struct qbd_core *core, u64 now, u64 since);

/**
 * qbd_core_set_window() - lower or raise a peer's window
 * @core: core
 * @peer: member id
 * @bytes: 0 for the default of the options
 */
void qbd_core_set_window(struct qbd_core *core, u32 peer, u64 bytes);

/**
 * qbd_core_slot_peer() - member id of a slot in pull_peers and extents_peers
 * @core: core
 * @slot: 0 .. QBD_PEERS_MAX - 1
 *
 * Return: member id, 0 if the slot is free.
 */
u32 qbd_core_slot_peer(const struct qbd_core *core, u32 slot);

/* ---- reads and transfer ------------------------------------------------- */

/**
 * qbd_core_read() - a linearizable read wants to begin
 * @core: core
 * @now: current time
 * @ticket: strictly greater than all before it, in the life of this core
 * @mode: under the lease, or by a round
 */
enum qbd_read_result qbd_core_read(struct qbd_core *core, u64 now, u64 ticket,
				   enum qbd_core_read_mode mode);

/**
 * qbd_core_lease_valid() - may a lease read complete now?
 * @core: core
 * @now: current time, read after the data
 */
bool qbd_core_lease_valid(const struct qbd_core *core, u64 now);

/**
 * qbd_core_transfer() - move leadership
 * @core: core
 * @now: current time
 * @target: member id
 */
enum qbd_transfer_result qbd_core_transfer(struct qbd_core *core, u64 now,
					   u32 target);

/**
 * qbd_core_stuck() - does this leader lead on in vain, and could lead again?
 * @core: core
 * @now: current time
 *
 * Its disk hangs, or it may not lead for now, and those whose copies count are no majority;
 * or it is a witness. And nobody whom it hears can take over. It leads on all the same, for
 * there may be nobody else: then things go on when its disk does, or one is back. But who hears
 * it elects nobody, and whether one of those reaches somebody whom it does not hear is for the
 * caller to know (replica/reach.c).
 */
bool qbd_core_stuck(struct qbd_core *core, u64 now);

/**
 * qbd_core_step_down() - there may be somebody else: who leads in vain leads no more
 * @core: core
 * @now: current time
 *
 * When its disk goes on it campaigns as all do.
 *
 * Return: false if it is not stuck.
 */
bool qbd_core_step_down(struct qbd_core *core, u64 now);

/* ---- output ------------------------------------------------------------- */

/**
 * qbd_core_take_output() - fetch and clear what is to be done
 * @core: core
 * @output: filled
 *
 * Return: output->flags.
 */
u32 qbd_core_take_output(struct qbd_core *core,
			 struct qbd_core_output *output);

/**
 * qbd_core_take_message() - fetch the next message that may leave now
 * @core: core
 * @message: filled if there is one
 *
 * At most one of each type per peer is ever waiting, always with the newest
 * contents, so nothing can overflow.
 *
 * Return: true if @message is to be sent.
 */
bool qbd_core_take_message(struct qbd_core *core,
			   struct qbd_core_message *message);

/**
 * qbd_core_deadline() - when qbd_core_tick() is due
 * @core: core
 *
 * Return: time, or QBD_NEVER.
 */
u64 qbd_core_deadline(const struct qbd_core *core);

/* ---- looking in --------------------------------------------------------- */

/* Tag for log writes started now. */
u64 qbd_core_generation(const struct qbd_core *core);
/* Term of a log entry; 0 if the index is not in the log or its base. */
u64 qbd_core_term_at(const struct qbd_core *core, u64 index);
/**
 * qbd_core_majority_without() - would entries be committed without some of the peers?
 * @core: core, leader
 * @now: current time
 * @slots: bitmap of theirs
 *
 * Nor does it take those that are not heard, or whose acknowledgments do not count.
 *
 * Return: false if writes wait for one of them.
 */
bool qbd_core_majority_without(const struct qbd_core *core, u64 now, u32 slots);
/* Configuration in force (the newest appended) and where it came from. */
const struct qbd_config *qbd_core_config(const struct qbd_core *core);
u64 qbd_core_config_index(const struct qbd_core *core);
/**
 * qbd_core_config_at() - configuration in force at an index, for the superblock
 * @core: core
 * @index: committed index
 * @config_index: set to the index of the entry that brought it. It is later
 *	than @index if @index is older than the newest committed configuration,
 *	which is all that is remembered; qbd_core_restore_base() takes that
 */
const struct qbd_config *qbd_core_config_at(const struct qbd_core *core,
					    u64 index, u64 *config_index);

/**
 * struct qbd_core_status - for people
 * @role: enum qbd_core_role
 * @leader: member id or 0
 * @vote: whom it voted for in this term
 * @fitness: QBD_MAY_*
 * @term: current term
 * @commit: committed up to
 * @last: last entry
 * @durable: durable here up to
 * @first: first entry in the log
 * @matched: follower: same as the leader's log up to
 * @voters: voters in the set in force (of a joint one: incoming)
 * @quorum: votes needed there
 * @reachable: leader: voters of that set heard within an election timeout,
 *	itself included
 * @joint: a change of voters is under way
 * @has_quorum: leader: a quorum (both, if joint) follows
 * @lease_valid: leader: lease reads are possible
 * @failed: storage failed
 * @disk_stalled: the log has undurable entries without progress for disk_stall, or reads are
 *	under way of which none ended for so long
 * @lost: acknowledged entries were found missing
 * @handed_over: leader: the one before it wanted it to be
 * @own_first: leader: its first entry
 * @transfer_to: leader: under way to this member
 * @stopped_line: where an invariant failed
 * @rubbish: messages so far that were malformed or cannot be
 */
struct qbd_core_status {
	u32 role;
	u32 leader;
	u32 vote;
	u32 fitness;
	u64 term;
	u64 commit;
	u64 last;
	u64 durable;
	u64 first;
	u64 matched;
	u32 voters;
	u32 quorum;
	u32 reachable;
	bool joint;
	bool has_quorum;
	bool lease_valid;
	bool failed;
	bool disk_stalled;
	bool lost;
	bool handed_over;
	u64 own_first;
	u32 transfer_to;
	u32 stopped_line;
	u64 rubbish;
};

/**
 * qbd_core_get_status() - fill a status
 * @core: core
 * @now: current time
 * @status: filled
 */
void qbd_core_get_status(const struct qbd_core *core, u64 now,
			 struct qbd_core_status *status);

/**
 * struct qbd_peer_status - what is known of a peer; leader only, except @id
 * @id: member id
 * @member_flags: QBD_CORE_VOTER ... in the configuration in force, 0 for a stranger
 * @state: enum qbd_core_progress_state
 * @flags: QBD_MESSAGE_FILLING, FIT, NO_VOTE, FAILED as it last said
 * @match: acknowledged by it in this term
 * @next: next entry to send
 * @inflight: bytes sent and not acknowledged
 * @window: bytes that may be in flight
 * @heard_at: time of its last answer, 0 if none in this term
 * @alive: heard within an election timeout
 */
struct qbd_peer_status {
	u32 id;
	u32 member_flags;
	u32 state;
	u32 flags;
	u64 match;
	u64 next;
	u64 inflight;
	u64 window;
	u64 heard_at;
	bool alive;
};

/**
 * qbd_core_get_peer() - fill a peer's status
 * @core: core
 * @now: current time
 * @peer: member id
 * @status: filled
 *
 * Return: false if the peer is unknown.
 */
bool qbd_core_get_peer(const struct qbd_core *core, u64 now, u32 peer,
		       struct qbd_peer_status *status);

#endif /* QBD_CORE_H */
