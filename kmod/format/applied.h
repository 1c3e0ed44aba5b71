/* SPDX-License-Identifier: (GPL-2.0 OR BSD-3-Clause) */
/*
 * What entries of the log have done besides to the data: the sessions of those who
 * write, and who holds the device. All members have the same of it at the same applied
 * index, as they have the same data. It is on the disk with the state block, and goes to
 * a member that is filled by extents, which never sees those entries.
 */
#ifndef QBD_FORMAT_APPLIED_H
#define QBD_FORMAT_APPLIED_H

#include "format.h"

#ifndef __KERNEL__
#include <stdbool.h>
#endif

#define QBD_APPLIED_MAGIC	0x41444251u	/* "QBDA" */

/*
 * Writes of one session that may be between the oldest one that was not answered and the
 * newest: what is remembered of each session is bounded by it.
 */
#define QBD_SESSION_WINDOW	1024u

/**
 * struct qbd_claim_layout - who holds the device
 * @epoch: log index of the entry that said so; 0: none ever did
 * @session: of the holder's device; 0: nobody has it
 * @holder: member id; if nobody has it: who had it last; 0: nobody ever had
 * @mode: enum qbd_claim_sharing
 * @former: index of the entry that ended the newest claim before this one that another than
 *	@holder had; if nobody has it: that @holder had; 0: none had one
 * @older: if nobody has it: likewise, that another than @holder had; else 0
 *
 * So of each host is known until when another one had it.
 */
struct qbd_claim_layout {
	__le64 epoch;
	__le64 session;
	__le32 holder;
	__le32 mode;
	__le64 former;
	__le64 older;
} __attribute__((packed));

/**
 * struct qbd_session_layout - the writes of one member's device that are in the log
 * @origin: member; 0: unused, and all else is 0
 * @reserved: 0
 * @session: run of its device; the newest that has written
 * @below: all writes with a lower sequence were answered: a copy of one that comes
 *	still is late
 * @logged: bit s % QBD_SESSION_WINDOW, for sequences s from @below on: that write is
 *	in the log, at or before the applied index. Sequences of later entries are not
 *	among them: those entries may still be lost
 */
struct qbd_session_layout {
	__le32 origin;
	__le32 reserved;
	__le64 session;
	__le64 below;
	__u8 logged[QBD_SESSION_WINDOW / 8];
} __attribute__((packed));

/**
 * struct qbd_applied_layout - as of one applied index
 * @claim: not older than that; if it is newer then it was known to be committed, and what
 *	entries up to its own say of claims is history
 * @sessions: of all members that have written
 * @without_data: so many entries up to that index, without a gap, are known to have no data.
 *	So who has read all up to a certain entry has missed nothing if they begin right
 *	behind it, or before; a log that begins later would not tell
 */
struct qbd_applied_layout {
	struct qbd_claim_layout claim;
	struct qbd_session_layout sessions[QBD_MEMBERS_MAX];
	__le64 without_data;
} __attribute__((packed));

/**
 * struct qbd_applied_block - the second block of a state slot
 * @header: magic QBD_APPLIED_MAGIC
 * @sequence: of the state block that it was written with, in one piece: of a slot both
 *	are good and belong together, or neither counts
 * @applied: as of that block's applied_index
 * @unused: 0
 */
struct qbd_applied_block {
	struct qbd_block_header header;
	__le64 sequence;
	struct qbd_applied_layout applied;
	__u8 unused[QBD_BLOCK_SIZE - 48 - sizeof(struct qbd_applied_layout)];
} __attribute__((packed));

/* Could it be one? The holder is a run of a member's device; when all may write, nobody. */
static inline bool qbd_claim_good(const struct qbd_claim_layout *claim)
{
	__u64 former = le64_to_cpu(claim->former), older = le64_to_cpu(claim->older);
	__u32 mode = le32_to_cpu(claim->mode);

	return !(le64_to_cpu(claim->epoch) >> 62) && mode <= QBD_CLAIM_SHARED &&
	       (mode == QBD_CLAIM_EXCLUSIVE || !claim->session) &&
	       former <= le64_to_cpu(claim->epoch) &&
	       (claim->session ? claim->holder && !older :
		!claim->holder == !former && (!older || older < former));
}

static_assert(sizeof(struct qbd_claim_layout) == 40, "claim");
static_assert(sizeof(struct qbd_session_layout) == 24 + QBD_SESSION_WINDOW / 8, "session");
static_assert(sizeof(struct qbd_applied_layout) == 2480, "applied");
static_assert(sizeof(struct qbd_applied_block) == QBD_BLOCK_SIZE, "applied block");

#endif
