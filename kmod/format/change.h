/* SPDX-License-Identifier: (GPL-2.0 OR BSD-3-Clause) */
/* Why a member list is not changed, in words: the same ones for kernel and tool. */
#ifndef QBD_FORMAT_CHANGE_H
#define QBD_FORMAT_CHANGE_H

#include "frame.h"

/**
 * qbd_change_text() - what a refusal says
 * @result: enum qbd_change_result; %u in the text is the member's id if
 *	qbd_change_names_member()
 */
static inline const char *qbd_change_text(__u32 result)
{
	static const char * const texts[] = {
		[QBD_CHANGE_DONE] =
			"done",
		[QBD_CHANGE_NOT_LEADER] =
			"leadership is just changing; try again",
		[QBD_CHANGE_OUTDATED] =
			"the members were changed by somebody else meanwhile; look at them, and try again",
		[QBD_CHANGE_PENDING] =
			"another change of the members is under way; try again when it is done",
		[QBD_CHANGE_MALFORMED] =
			"the member list is malformed",
		[QBD_CHANGE_IDS] =
			"member %u: the id was given before; a new member needs a new one",
		[QBD_CHANGE_FLAGS] =
			"member %u: cannot become that from what it is",
		[QBD_CHANGE_MISSING] =
			"member %u is left out; mark it as leaving instead",
		[QBD_CHANGE_VOTERS] =
			"a device needs one to nine voters in the end",
		[QBD_CHANGE_TWICE] =
			"member %u: its name or its address is another member's already",
		[QBD_CHANGE_QUORUM] =
			"no majority of the voters would be there: member %u is down, failed or being filled; bring it up first, or let it leave, too",
		[QBD_CHANGE_ROOM] =
			"no room for it in memory or log just now; try again",
		[QBD_CHANGE_NOTHING] =
			"it is so already",
		[QBD_CHANGE_ADDRESS] =
			"member %u: the address of a member cannot be changed; replace the member",
	};

	if (result <= QBD_CHANGE_ADDRESS && texts[result])
		return texts[result];
	return "refused for a reason that this version does not know";
}

/* Is there a member's id in that text? */
static inline int qbd_change_names_member(__u32 result)
{
	return result == QBD_CHANGE_IDS || result == QBD_CHANGE_FLAGS ||
	       result == QBD_CHANGE_MISSING || result == QBD_CHANGE_TWICE ||
	       result == QBD_CHANGE_QUORUM || result == QBD_CHANGE_ADDRESS;
}

#endif
