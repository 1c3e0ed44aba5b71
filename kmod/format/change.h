/* SPDX-License-Identifier: (GPL-2.0 OR BSD-3-Clause) */
/* Why members or size are not changed, in words: the same ones for kernel and tool. */
#ifndef QBD_FORMAT_CHANGE_H
#define QBD_FORMAT_CHANGE_H

#include "frame.h"

#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <stdio.h>
#include <string.h>
#endif

/**
 * qbd_change_text() - what a refusal says
 * @result: enum qbd_change_result; %u in the text is the member's id
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
			"the member list is malformed; use a qbdadm of the version that the module has",
		[QBD_CHANGE_IDS] =
			"member %u: the id was given before; a new member needs a new one",
		[QBD_CHANGE_FLAGS] =
			"member %u: cannot become that from what it is; a witness, a client and a member with data do not become each other: remove it, then join anew",
		[QBD_CHANGE_MISSING] =
			"member %u is left out; mark it as leaving instead",
		[QBD_CHANGE_VOTERS] =
			"a device needs one to nine voters in the end; let others join as voters first, or these as learners",
		[QBD_CHANGE_TWICE] =
			"member %u: its name, its address or its disk is another member's already",
		[QBD_CHANGE_QUORUM] =
			"no majority of the voters would be there: member %u is down, failed or being filled; bring it up first, or let it leave, too",
		[QBD_CHANGE_ROOM] =
			"no room for it in memory or log just now; try again",
		[QBD_CHANGE_NOTHING] =
			"it is so already",
		[QBD_CHANGE_ADDRESS] =
			"member %u: its address is changed on its own host, where it can be listened at, and to one of the same kind; run this there",
		[QBD_CHANGE_WITNESSES] =
			"a majority of the voters would be witnesses, which keep no data; let members with data join first, or witnesses leave, too",
		[QBD_CHANGE_CLIENT] =
			"member %u is a client, which keeps no data and never votes; for a copy on its host, disconnect it there and join with a disk",
		[QBD_CHANGE_USED] =
			"member %u uses the device (open, mounted or claimed there), and its I/O would fail for good; close it there (or 'qbdadm claim release'), or use --force",
		[QBD_CHANGE_LEAVES] =
			"member %u is leaving, and may know so already: that cannot be taken back; wait until it is out, then have its host join anew",
		[QBD_CHANGE_UNSAID] =
			"it is not known yet whether the device is in use on member %u, which was not heard since leadership changed; try again when the claim lease is over (5 s, unless it was set), or use --force",
		[QBD_CHANGE_SHRINK] =
			"a device cannot become smaller: what lies beyond would be lost on all members; make a smaller device, and copy",
		[QBD_CHANGE_GROWING] =
			"it is growing just now; try again when that is done",
		[QBD_CHANGE_AWAY] =
			"member %u is down, failed or being filled: the disks of all members have to have room; bring it up, or let it leave, first",
		[QBD_CHANGE_DISK] =
			"the disk of member %u has no room for more: enlarge it; if that was done, it was made for less (--max-size): replace the member by one with a larger disk",
	};

	if (result < QBD_CHANGE_END && texts[result])
		return texts[result];
	return "refused for a reason that this version does not know";
}

/**
 * qbd_change_describe() - the same with the member's id in it, if it speaks of one
 * @result: enum qbd_change_result
 * @member: id
 * @text: one line
 * @size: its room
 */
static inline void qbd_change_describe(__u32 result, __u32 member, char *text,
				       unsigned int size)
{
	const char *words = qbd_change_text(result);
	const char *place = strstr(words, "%u");

	if (place)
		snprintf(text, size, "%.*s%u%s", (int)(place - words), words, member,
			 place + 2);
	else
		snprintf(text, size, "%s", words);
}

/**
 * qbd_change_describe_absent() - likewise, that a majority would not be there, and why
 * @wanted: the list that was asked for
 * @member: one of those who are missed
 * @value: of the answer, see struct qbd_frame_reply; it need not make sense
 * @text: one line
 * @size: its room
 */
static inline void qbd_change_describe_absent(const struct qbd_membership_layout *wanted,
					      __u32 member, __u64 value, char *text,
					      unsigned int size)
{
	__u32 absent = (__u32)value, count = le32_to_cpu(wanted->count), several = 0;
	char ids[12 * QBD_MEMBERS_MAX] = "";

	for (__u32 i = 0; i < count && i < QBD_MEMBERS_MAX; i++) {
		unsigned int length = (unsigned int)strlen(ids);

		if (!(absent & 1u << i))
			continue;
		snprintf(ids + length, sizeof(ids) - length, "%s%u", several++ ? ", " : "",
			 le32_to_cpu(wanted->members[i].id));
	}
	if (several > 1)
		snprintf(text, size, "no majority of the voters would be there: members %s are down, failed or being filled, and %u of them have to be there; bring them up first, or let them leave, too",
			 ids, (__u32)(value >> 32));
	else
		qbd_change_describe(QBD_CHANGE_QUORUM, member, text, size);
}

#endif
