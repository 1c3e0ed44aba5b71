/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which copies of a block are good, and how fast to look: pure decisions.
 *
 * Every member that holds data was asked for the sums of the same blocks as of the same
 * entry of the log. All that is committed up to there has been in each of them, so they
 * have to be equal; where they are not, a disk lost or changed something.
 *
 * A sum is a CRC-32C of 4 KiB. What is looked for are accidents, not forgeries: members
 * know the secret of the device and could write what they like. An accident passes unseen
 * with a chance of one in 2^32 for each block that is spoiled, and never if no more than 32
 * bits in a row have changed. The records' own checksums are CRC-32C, too, but of other
 * pieces, and they are of no use here: they are gone with the record.
 *
 * What is good is what more than half of the copies that still exist agree on: a copy that
 * the disk fails to read is none any more, one of a voter that was not asked may be anything.
 * A learner that was not asked may have nothing yet: what the voters hold is not in doubt
 * for its sake.
 *
 *   members that hold data   copies        verdict
 *
 *   3                        a a b         a; the third is bad
 *   3                        a a -         equal; the third was not compared
 *   3                        a b c         nobody knows
 *   3                        a b -         nobody knows
 *   2                        a b           nobody knows
 *   2                        a unreadable  a: there is no other
 *   3                        a unread. -   nobody knows: the third may say otherwise
 *   3, and a learner         a a b -       a
 *   3, and a learner         a a b b       nobody knows
 */
#ifndef QBD_REPLICA_COMPARE_H
#define QBD_REPLICA_COMPARE_H

#include "../format/format.h"
#include "../format/frame.h"

/**
 * struct qbd_compare_copy - what one member says of some blocks
 * @member: its id
 * @voter: it may vote, in either set of a change; else it is a learner
 * @there: it answered; else the rest means nothing
 * @touched: see struct qbd_verify_sums
 * @unreadable: likewise
 * @sums: likewise
 */
struct qbd_compare_copy {
	u32 member;
	bool voter;
	bool there;
	u64 touched[QBD_VERIFY_WORDS];
	u64 unreadable[QBD_VERIFY_WORDS];
	u32 sums[QBD_VERIFY_BLOCKS_MAX];
};

enum qbd_compare_verdict {
	QBD_COMPARE_EQUAL,	/* all that are there */
	QBD_COMPARE_TOUCHED,	/* somebody wrote there meanwhile: ask again */
	QBD_COMPARE_MAJORITY,	/* some are bad, the others are right */
	QBD_COMPARE_UNDECIDED,	/* they differ, and nobody knows who is right */
};

/**
 * struct qbd_compare_result - the verdict about one block
 * @verdict: enum qbd_compare_verdict
 * @good: MAJORITY: a bit for each copy, by its place, that is right
 * @bad: MAJORITY: that is not; UNDECIDED: all that are there
 * @unreadable: of @bad: the disk says so itself
 */
struct qbd_compare_result {
	enum qbd_compare_verdict verdict;
	u32 good;
	u32 bad;
	u32 unreadable;
};

static inline bool qbd_compare_bit(const u64 *bits, u32 number)
{
	return bits[number / 64] >> (number % 64) & 1;
}

static inline void qbd_compare_set(u64 *bits, u32 number)
{
	bits[number / 64] |= 1ull << (number % 64);
}

/* Copies that are there. */
u32 qbd_compare_there(const struct qbd_compare_copy *copies, u32 count);

/**
 * qbd_compare_block() - which copies of a block are good?
 * @copies: of the members that hold data, there or not
 * @count: how many, at most QBD_MEMBERS_MAX
 * @block: number of the block in them
 * @result: the verdict
 */
void qbd_compare_block(const struct qbd_compare_copy *copies, u32 count, u32 block,
		       struct qbd_compare_result *result);

/**
 * qbd_compare_pause() - how long to rest after a piece
 * @bytes: that were read on each member
 * @rate: bytes in a second, at most
 * @took: ns that it took
 * @busy: others used the device meanwhile
 *
 * Whoever uses the device comes first: while anybody does, the disks are left alone for
 * three times as long as a piece took, which is long when they are busy.
 *
 * Return: ns
 */
u64 qbd_compare_pause(u64 bytes, u64 rate, u64 took, bool busy);

#endif
