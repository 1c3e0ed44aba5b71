/* SPDX-License-Identifier: GPL-2.0 */
/* The state of a verification; see verify.c. */
#ifndef QBD_REPLICA_VERIFY_H
#define QBD_REPLICA_VERIFY_H

#include "compare.h"
#include "replica.h"

/* The steps of one piece; see the table in verify.c. */
enum qbd_verify_step {
	QBD_VERIFY_IDLE,
	QBD_VERIFY_RESTING,
	QBD_VERIFY_COMPARING,
	QBD_VERIFY_FETCHING,
	QBD_VERIFY_REPAIRING,
	QBD_VERIFY_SETTLING,
};

/* Places that this disk failed to read, to be mended; the largest of them a piece. */
#define QBD_VERIFY_SPOTS	8u

struct qbd_verify_spot {
	u64 block;
	u64 not_before;
	u32 tries;
};

/**
 * struct qbd_verify - the piece that is being compared, from this member
 * @result: of the verification that somebody asked for
 * @step: see there
 * @spot: the piece is none of @result, but a place that this disk failed to read
 * @block: first device block of the piece
 * @count: its blocks
 * @open: a bit for each that there is no verdict about yet
 * @found: that was found different
 * @mend: a majority agrees, and it is to be written
 * @written: it was
 * @asked_first: of the question: number of its first block in the piece
 * @asked_count: its blocks
 * @index: as of which entry
 * @request: names the question; another one for each
 * @copy_count: used entries of @copies
 * @copies: who was asked, and the answers
 * @missed: enum qbd_missed of each
 * @waiting: a bit for each that has not answered
 * @busy: somebody had no memory for it
 * @settled: what is asked for has to be in the data area
 * @attempts: of this piece so far
 * @rounds: repairs of it so far
 * @run_first: FETCHING, REPAIRING: first block of those that are written now
 * @run_count: their number
 * @source: FETCHING: place of who gives them
 * @fetched: their contents, after the page of the sums
 * @fetch_over: the answer came, good or not
 * @repair_leader: REPAIRING: who was asked
 * @repair_term: of its leadership
 * @settle_index: SETTLING: the newest entry with a repair
 * @asked_at: when all were asked
 * @took: how long comparing it has taken so far
 * @answer_by: when those that are waited for are given up
 * @not_before: RESTING: for how long
 * @alone_since: no other member answered since then; 0: one did
 * @commit_seen: to see whether others use the device
 * @reads_seen: likewise
 * @next_count: what the leader said of how much to ask for next; 0: it was not asked
 * @piece_max: so many blocks is the next piece at most
 * @told_block: RUNNING: where it was when progress was last told
 * @silent_until: who did not answer, by place in @result's members, is left out for so long
 * @spots: places to be mended
 * @spot_count: used entries of @spots
 */
struct qbd_verify {
	struct qbd_verify_result result;
	enum qbd_verify_step step;
	bool spot;
	u64 block;
	u32 count;
	u64 open[QBD_VERIFY_WORDS];
	u64 found[QBD_VERIFY_WORDS];
	u64 mend[QBD_VERIFY_WORDS];
	u64 written[QBD_VERIFY_WORDS];
	u32 asked_first;
	u32 asked_count;
	u64 index;
	u64 request;
	u32 copy_count;
	struct qbd_compare_copy copies[QBD_MEMBERS_MAX];
	u32 missed[QBD_MEMBERS_MAX];
	u32 waiting;
	bool busy;
	bool settled;
	u32 attempts;
	u32 rounds;
	u32 run_first;
	u32 run_count;
	u32 source;
	struct qbd_buffer *fetched;
	bool fetch_over;
	u32 repair_leader;
	u64 repair_term;
	u64 settle_index;
	u64 asked_at;
	u64 took;
	u64 answer_by;
	u64 not_before;
	u64 alone_since;
	u64 commit_seen;
	u64 reads_seen;
	u32 next_count;
	u32 piece_max;
	u64 told_block;
	u64 silent_until[QBD_MEMBERS_MAX];
	struct qbd_verify_spot spots[QBD_VERIFY_SPOTS];
	u32 spot_count;
};

#endif
