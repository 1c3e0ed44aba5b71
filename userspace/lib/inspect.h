/* SPDX-License-Identifier: GPL-2.0 */
/* What is on a member's disk, good or bad, without the module. */
#ifndef QBD_LIB_INSPECT_H
#define QBD_LIB_INSPECT_H

#include <stdbool.h>

#include "format/record.h"
#include "format/superblock.h"
#include "lib/disk.h"
#include "lib/error.h"
#include "store/layout.h"
#include "store/recovery.h"

/* How a metadata block reads. Only GOOD may be believed. */
enum qbd_verdict {
	QBD_VERDICT_GOOD,
	QBD_VERDICT_EMPTY,	/* zeroes */
	QBD_VERDICT_FOREIGN,	/* something else */
	QBD_VERDICT_NEWER,	/* of a later version, or features unknown here */
	QBD_VERDICT_DAMAGED,	/* ours, checksum wrong */
	QBD_VERDICT_MISPLACED,	/* good, but of another place or device */
	QBD_VERDICT_INVALID,	/* checksum right, contents impossible */
	QBD_VERDICT_UNREADABLE,	/* the disk gives an error */
};

const char *qbd_verdict_text(enum qbd_verdict verdict);

struct qbd_superblock_copy {
	uint64_t block;
	enum qbd_verdict verdict;
	char reason[160];
	struct qbd_superblock superblock;
};

struct qbd_state_slot {
	uint64_t block;
	enum qbd_verdict verdict;
	char reason[160];
	struct qbd_state_block state;
	struct qbd_applied_block applied;
};

/**
 * struct qbd_inspection - both superblock copies and both state slots
 * @superblock: the copy that counts, NULL if the module would refuse the disk
 * @geometry: what it says, host order
 * @superblock_result: 0, or why there is none: -EMEDIUMTYPE no qbd disk,
 *	-EPROTONOSUPPORT newer, -EUCLEAN damaged
 * @state: the slot that counts, NULL if the module would refuse it
 * @current: what it says, host order
 * @state_result: 0, or why there is none
 * @reason: of the first result that is not 0
 */
struct qbd_inspection {
	struct qbd_superblock_copy copies[2];
	const struct qbd_superblock *superblock;
	struct qbd_geometry geometry;
	int superblock_result;
	struct qbd_state_slot slots[QBD_STATE_SLOTS];
	const struct qbd_state_block *state;
	struct qbd_state current;
	int state_result;
	const char *reason;
};

/* Never fails for what is on the disk: that is in the verdicts. */
int qbd_inspect(struct qbd_disk *disk, struct qbd_inspection *inspection,
		struct qbd_error *error);
/*
 * 0 if superblock and state are there, else one line: what is wrong with the
 * disk (-EMEDIUMTYPE no qbd disk, -EPROTONOSUPPORT newer, -EUCLEAN damaged).
 */
int qbd_inspection_check(const struct qbd_disk *disk,
			 const struct qbd_inspection *inspection,
			 struct qbd_error *error);
/* Is there any trace of a qbd member, good or not? */
bool qbd_inspection_is_ours(const struct qbd_inspection *inspection);

/**
 * struct qbd_log_summary - what recovery would make of the log
 * @verdict: enum qbd_log_verdict of store/recovery.h
 * @base_index: entry before the oldest record
 * @last_index: newest good record, or @base_index
 * @last_term: its term
 * @records: good ones
 * @blocks_used: by them
 * @commit_index: highest index that the disk says was committed
 * @end_position: where the log ends
 * @end_reason: why it ends there
 * @damaged_through: highest index known to have been acknowledged, if damaged
 * @from_applied: older records are damaged, their effect is in the data area
 */
struct qbd_log_summary {
	unsigned int verdict;
	uint64_t base_index;
	uint64_t last_index;
	uint64_t last_term;
	uint64_t records;
	uint64_t blocks_used;
	uint64_t commit_index;
	uint64_t end_position;
	const char *end_reason;
	uint64_t damaged_through;
	bool from_applied;
};

struct qbd_log_visitor {
	void *context;
	void (*record)(void *context, const struct qbd_record_header *header,
		       uint64_t position);
	/* What was visited so far does not count: older records are damaged. */
	void (*restart)(void *context);
};

/* From the oldest record to the end of the log; @visitor may be NULL. */
int qbd_log_walk(struct qbd_disk *disk, const struct qbd_inspection *inspection,
		 const struct qbd_log_visitor *visitor, struct qbd_log_summary *summary,
		 struct qbd_error *error);

/**
 * struct qbd_extent_table - the whole table in memory
 * @changed: changed_index of each extent; UINT64_MAX where the block is bad
 * @written: extents that were ever written, bad ones included
 * @bad_blocks: neither at their place nor in the journal
 * @from_journal: bad at their place, good in the journal
 */
struct qbd_extent_table {
	uint64_t count;
	uint64_t *changed;
	uint64_t written;
	uint64_t bad_blocks;
	uint64_t from_journal;
	uint64_t newest_change;
};

int qbd_extents_read(struct qbd_disk *disk, const struct qbd_geometry *geometry,
		     struct qbd_extent_table *table, struct qbd_error *error);
void qbd_extents_free(struct qbd_extent_table *table);

#endif
