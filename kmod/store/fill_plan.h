/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which extents a member that is being filled still has to ask for, and since when. Pure:
 * compiles in userspace too.
 *
 * Extents are filled in order, from the cursor on. A reset (the leader's log has passed the
 * member by once more) does not undo that: what was filled holds what was applied when the
 * reset came, and only what changed since has to be sent of it again. So two ranges are left:
 *
 *	extents                  hold the data of    when they are asked for
 *	cursor .. end - 1        base                now
 *	0 .. again_end - 1       again_base          after that
 *	all others               are filled          never
 *
 *	what happens                                  becomes
 *	reset, nothing was being filled               all: base = applied; again: nothing
 *	reset, again: nothing                         cursor .. last: base; again: 0 .. cursor,
 *	                                              again_base = applied
 *	reset, again: something                       cursor .. last: base; again: 0 .. cursor,
 *	                                              again_base stays, which is older
 *	cursor has come to end                        0 .. again_end: base = again_base; again:
 *	                                              nothing
 *	the same, and again: nothing                  filled
 *
 * A range that became larger has the older one of the two bases: more is sent than need be,
 * never less. Each reset goes on where it stopped, so an extent is sent once for the base that
 * the member came with, however often it is passed by.
 *
 *	37 of 48 extents had been sent, 2 of them changed while the member was away; all 48
 *	were sent once more.
 */
#ifndef QBD_STORE_FILL_PLAN_H
#define QBD_STORE_FILL_PLAN_H

#include "../record/portable.h"

/* As qbd_fill_plan.end: to the end of the device, however large it becomes. */
#define QBD_FILL_TO_THE_END	(~0ull)

/**
 * struct qbd_fill_plan - see above; extents are counted from 0
 * @base: index
 * @end: extent, or QBD_FILL_TO_THE_END
 * @again_base: index
 * @again_end: extent; 0: nothing
 */
struct qbd_fill_plan {
	u64 base;
	u64 end;
	u64 again_base;
	u64 again_end;
};

/* All of it, as of the index @applied. */
static inline void qbd_fill_plan_begin(struct qbd_fill_plan *plan, u64 applied)
{
	*plan = (struct qbd_fill_plan){ .base = applied, .end = QBD_FILL_TO_THE_END };
}

/**
 * qbd_fill_plan_reset() - the log passes by a member that is being filled
 * @plan: its plan
 * @cursor: extents below it, of the range that is filled now, are filled
 * @applied: they hold at least the entries up to this one
 */
static inline void qbd_fill_plan_reset(struct qbd_fill_plan *plan, u64 cursor, u64 applied)
{
	if (!plan->again_end)
		plan->again_base = applied;
	if (cursor > plan->again_end)
		plan->again_end = cursor;
	plan->end = QBD_FILL_TO_THE_END;
}

/**
 * qbd_fill_plan_next() - the first range is filled
 * @plan: the plan
 *
 * Return: true if there is another one: the cursor is 0 now.
 */
static inline bool qbd_fill_plan_next(struct qbd_fill_plan *plan)
{
	if (!plan->again_end)
		return false;
	*plan = (struct qbd_fill_plan){
		.base = plan->again_base, .end = plan->again_end,
	};
	return true;
}

#endif
