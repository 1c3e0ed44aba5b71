/* SPDX-License-Identifier: GPL-2.0 */
/* What is on a member's disk, good or bad, without the module. */
#ifndef QBD_LIB_INSPECT_H
#define QBD_LIB_INSPECT_H

#include <stdbool.h>

#include "format/record.h"
#include "format/superblock.h"
#include "lib/disk.h"
#include "lib/error.h"

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
};

/**
 * struct qbd_inspection - both superblock copies and both state slots
 * @superblock: the copy that counts, NULL if neither is good
 * @state: the slot that counts, NULL if neither is good
 */
struct qbd_inspection {
	struct qbd_superblock_copy copies[2];
	const struct qbd_superblock *superblock;
	struct qbd_state_slot slots[QBD_STATE_SLOTS];
	const struct qbd_state_block *state;
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

enum qbd_record_verdict {
	QBD_RECORD_GOOD,
	QBD_RECORD_NONE,	/* nothing of ours at this place */
	QBD_RECORD_STALE,	/* a record of an earlier lap or an earlier life */
	QBD_RECORD_BROKEN,	/* begun but not whole: header or data do not match */
	QBD_RECORD_UNREADABLE,
};

/**
 * struct qbd_log_record - one place of the ring
 * @index: the log index that was expected there
 * @header: as it was read; only for GOOD to be believed
 */
struct qbd_log_record {
	uint64_t position;
	uint64_t index;
	enum qbd_record_verdict verdict;
	char reason[160];
	struct qbd_record_header header;
};

/**
 * struct qbd_log_summary - the walk as a whole
 * @last_index: newest good record, or what is before the first
 * @last_term: its term
 * @known_durable: highest index that the disk says was durable
 * @known_committed: highest index that the disk says was committed
 * @end: why the walk ended
 * @lost: acknowledged records after @last_index are missing or damaged
 * @later_records: good records of this log found beyond the end
 */
struct qbd_log_summary {
	uint64_t first_index;
	uint64_t last_index;
	uint64_t last_term;
	uint64_t blocks_used;
	uint64_t records;
	uint64_t known_durable;
	uint64_t known_committed;
	struct qbd_log_record end;
	bool lost;
	uint64_t later_records;
	uint64_t later_highest_index;
};

typedef void (*qbd_log_visitor)(void *context, const struct qbd_log_record *record);

/* From the oldest record to the end of the log; @visit may be NULL. */
int qbd_log_walk(struct qbd_disk *disk, const struct qbd_inspection *inspection,
		 qbd_log_visitor visit, void *context, struct qbd_log_summary *summary,
		 struct qbd_error *error);

/**
 * struct qbd_extent_table - the whole table in memory
 * @changed: changed_index of each extent; UINT64_MAX where the block is bad
 */
struct qbd_extent_table {
	uint64_t count;
	uint64_t *changed;
	uint64_t written;
	uint64_t bad_blocks;
	uint64_t newest_change;
};

int qbd_extents_read(struct qbd_disk *disk, const struct qbd_superblock *superblock,
		     struct qbd_extent_table *table, struct qbd_error *error);
void qbd_extents_free(struct qbd_extent_table *table);

#endif
