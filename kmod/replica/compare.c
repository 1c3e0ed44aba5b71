// SPDX-License-Identifier: GPL-2.0
/* Pure decisions; see compare.h. */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/minmax.h>

#include "compare.h"

u32 qbd_compare_there(const struct qbd_compare_copy *copies, u32 count)
{
	u32 there = 0;

	for (u32 i = 0; i < count; i++)
		there += copies[i].there;
	return there;
}

/* Copies that say the same of @block as number @which does. */
static u32 agreeing(const struct qbd_compare_copy *copies, u32 count, u32 block, u32 which)
{
	u32 mask = 0;

	for (u32 i = 0; i < count; i++)
		if (copies[i].there && !qbd_compare_bit(copies[i].unreadable, block) &&
		    copies[i].sums[block] == copies[which].sums[block])
			mask |= 1u << i;
	return mask;
}

static u32 bits_of(u32 mask)
{
	u32 count = 0;

	for (; mask; mask &= mask - 1)
		count++;
	return count;
}

void qbd_compare_block(const struct qbd_compare_copy *copies, u32 count, u32 block,
		       struct qbd_compare_result *result)
{
	u32 there = 0, best = 0, copies_left = 0;

	*result = (struct qbd_compare_result){ .verdict = QBD_COMPARE_TOUCHED };
	for (u32 i = 0; i < count; i++) {
		copies_left += copies[i].there || copies[i].voter;
		if (!copies[i].there)
			continue;
		if (qbd_compare_bit(copies[i].touched, block))
			return;
		there |= 1u << i;
		if (qbd_compare_bit(copies[i].unreadable, block))
			result->unreadable |= 1u << i;
	}
	for (u32 i = 0; i < count; i++) {
		u32 mask = there & ~result->unreadable & 1u << i ?
			   agreeing(copies, count, block, i) : 0;

		if (bits_of(mask) > bits_of(best))
			best = mask;
	}
	if (best == there) {
		result->verdict = QBD_COMPARE_EQUAL;
		return;
	}
	if (2 * bits_of(best) > copies_left - bits_of(result->unreadable)) {
		result->verdict = QBD_COMPARE_MAJORITY;
		result->good = best;
		result->bad = there & ~best;
		return;
	}
	result->verdict = QBD_COMPARE_UNDECIDED;
	result->bad = there;
}

u64 qbd_compare_pause(u64 bytes, u64 rate, u64 took, bool busy)
{
	u64 due = div64_u64(bytes * NSEC_PER_SEC, rate);
	u64 pause = due > took ? due - took : 0;

	return busy ? max(pause, 3 * took) : pause;
}
