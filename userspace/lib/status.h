/* SPDX-License-Identifier: GPL-2.0 */
/* What the module says of a device, as netlink brings it. */
#ifndef QBD_LIB_STATUS_H
#define QBD_LIB_STATUS_H

#include <libmnl/libmnl.h>
#include <linux/qbd.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/format.h"
#include "lib/error.h"

/* Numbers and sizes mean what Documentation/netlink/specs/qbd.yaml says of them. */

struct qbd_settings {
	uint32_t election_timeout_ms;
	uint32_t heartbeat_ms;
	uint32_t no_quorum;		/* enum qbd_no_quorum_policy */
	uint32_t no_quorum_grace_ms;
	uint32_t read_mode;		/* enum qbd_read_policy */
	uint32_t window_bytes;
	uint32_t claim_lease_ms;
	uint32_t leader_follows;
	uint32_t checksums;
	uint64_t max_rate;		/* 0: no limit */
};

/* How far a member is that is filled by extents, or catches up by the log (bytes). */
struct qbd_progress {
	uint64_t done;
	uint64_t total;
	uint64_t left;
	uint64_t rate;
	uint64_t seconds_left;		/* UINT64_MAX: not known */
};

struct qbd_network_status {
	bool control_up;
	bool bulk_up;
	uint64_t queued_bytes;
	uint64_t sent_bytes;
	uint64_t received_bytes;
	uint64_t sent_frames;
	uint64_t received_frames;
	uint64_t connects;
	char last_error[128];
};

struct qbd_member_status {
	uint32_t id;
	char name[QBD_MEMBER_NAME_SIZE];
	struct qbd_address address;
	uint32_t flags;			/* enum qbd_member_flags */
	uint8_t priority;
	uint8_t group;
	bool has_group;			/* the module says which, be it 0 */
	uint8_t incarnation[QBD_UUID_SIZE];	/* zeroes: not known yet */
	bool self;
	bool leader;
	bool connected;
	bool needs_extents;
	bool progress_known;
	uint32_t progress_state;	/* enum qbd_progress_state */
	uint64_t match_index;
	uint64_t next_index;
	uint64_t behind_entries;
	uint64_t behind_bytes;
	uint64_t inflight_bytes;
	uint64_t last_heard_ms;		/* UINT64_MAX: never */
	struct qbd_progress fill;	/* .total 0: it is not filled from here */
	struct qbd_progress catch_up;	/* likewise: it does not */
	struct qbd_network_status network;
};

struct qbd_store_status {
	uint64_t log_bytes;
	uint64_t log_used_bytes;
	uint64_t records_in_memory;
	uint64_t log_writes;
	uint64_t log_write_bytes;
	uint64_t data_writes;
	uint64_t data_write_bytes;
	uint64_t flushes;
	uint64_t state_writes;
	uint64_t checkpoints;
	uint64_t applied_index;
	uint64_t oldest_write_ns;
	bool failed;
};

#define QBD_VERIFY_DIFFERENCES_MAX	64u

struct qbd_verify_member {
	uint32_t id;
	uint64_t compared;
	uint64_t different;
	uint32_t missed;		/* enum qbd_verify_missed */
};

struct qbd_verify_difference {
	uint64_t first;
	uint64_t count;
	uint64_t repaired;
	uint32_t member;		/* 0: no majority agrees */
	uint32_t kind;			/* enum qbd_verify_kind */
};

struct qbd_verification {
	uint32_t state;			/* enum qbd_verify_state */
	bool repair;
	uint64_t rate;
	uint64_t first_block;
	uint64_t end_block;
	uint64_t next_block;
	uint64_t compared;
	uint64_t different;
	uint64_t undecided;
	uint64_t repaired;
	uint64_t skipped;
	uint64_t missed;
	uint64_t unlisted;
	uint32_t member_count;
	struct qbd_verify_member members[QBD_MEMBERS_MAX];
	uint32_t difference_count;
	struct qbd_verify_difference differences[QBD_VERIFY_DIFFERENCES_MAX];
};

/* Of a witness: it has no block device. */
#define QBD_NO_NUMBER	UINT32_MAX

struct qbd_status {
	char name[QBD_NAME_SIZE];
	uint32_t number;		/* N of /dev/qbdN, or QBD_NO_NUMBER */
	uint8_t uuid[QBD_UUID_SIZE];
	uint32_t member_id;
	uint64_t device_bytes;
	uint32_t role;			/* enum qbd_member_role */
	uint64_t term;
	uint32_t leader;		/* 0: none known */
	bool has_quorum;
	uint32_t voters;
	uint32_t quorum_needed;
	uint32_t voters_up;
	int32_t may_lose;
	uint64_t first_index;
	uint64_t last_index;
	uint64_t durable_index;
	uint64_t commit_index;
	uint64_t applied_index;
	bool failed;
	bool damaged;
	bool filling;
	struct qbd_progress fill;
	bool lease_valid;
	bool suspended;
	uint64_t requests_waiting;
	uint64_t requests_in_flight;
	uint64_t in_use;
	uint64_t reads;
	uint64_t read_bytes;
	uint64_t writes;
	uint64_t write_bytes;
	uint64_t zeroes;
	uint64_t forwarded;
	uint64_t resent;
	uint64_t errors;
	uint64_t records_appended;
	uint64_t memory_bytes;
	uint64_t memory_free_bytes;
	char problem[160];
	struct qbd_settings settings;
	struct qbd_store_status store;
	uint32_t claim_mode;		/* enum qbd_claim_mode of the specification */
	uint32_t claim_holder;		/* 0: nobody, or everybody */
	uint64_t claim_epoch;
	uint64_t claim_since_ms;
	uint32_t claim_state;		/* enum qbd_claim_state */
	uint64_t claim_lease_left_ms;	/* UINT64_MAX: not known here */
	bool removed;
	uint64_t members_index;
	uint32_t next_member_id;
	uint32_t member_count;
	struct qbd_member_status members[QBD_MEMBERS_MAX];
	uint64_t unreadable_blocks;
	uint64_t mended_blocks;
	struct qbd_verification verify;
};

struct qbd_event {
	uint32_t type;			/* enum qbd_event_type */
	uint64_t sequence;
	char name[QBD_NAME_SIZE];
	uint32_t number;
	uint32_t member_id;
	uint32_t role;
	uint64_t term;
	uint32_t leader;
	uint32_t peer;
	struct qbd_progress progress;
	char text[160];
};

/* Attributes of a status or event message. Unknown ones are passed over. */
int qbd_status_parse(const struct nlmsghdr *message, struct qbd_status *status);
int qbd_event_parse(const struct nlmsghdr *message, struct qbd_event *event);

/* The member that is to vote before that one goes; NULL: it waits for nobody. */
const struct qbd_member_status *qbd_status_waits_for(const struct qbd_status *status,
						     const struct qbd_member_status *member);

const char *qbd_role_text(uint32_t role);
const char *qbd_event_text(uint32_t type);
const char *qbd_no_quorum_text(uint32_t policy);
const char *qbd_read_mode_text(uint32_t mode);
const char *qbd_claim_mode_text(uint32_t mode);
const char *qbd_claim_state_text(uint32_t state);
const struct qbd_member_status *qbd_status_member(const struct qbd_status *status,
						  uint32_t id);
/* Is the member of this host a client? */
bool qbd_status_is_client(const struct qbd_status *status);
/* The list in force, as a change of it begins with; which disk is whose is for others to say. */
void qbd_status_list(const struct qbd_status *status, struct qbd_membership_layout *list);
/* A list that is to be asked for: a module from before there were groups takes none. */
void qbd_status_fit_list(const struct qbd_status *status, struct qbd_membership_layout *list);
/*
 * The list changes by members, and this one may have been removed: it is told that no majority
 * answers. 0, or -ENXIO with the line.
 */
int qbd_status_check_member(const struct qbd_status *status, struct qbd_error *error);
/* Who is meant: a number is an id, names are never numbers. 0, or -ENOENT with the line. */
int qbd_status_resolve(const struct qbd_status *status, const char *text, uint32_t *id,
		       struct qbd_error *error);

#endif
