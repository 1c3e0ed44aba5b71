// SPDX-License-Identifier: GPL-2.0
/*
 * May the device grow, and how far?
 *
 *   asked for            members                          answer
 *   less than it has     any                              SHRINK
 *   what it has          any                              NOTHING
 *   more                 it is growing just now           GROWING
 *   more                 one is away, filled or failed    AWAY, naming it
 *   more                 one's disk has no room for it    DISK, naming it
 *   more                 all have room                    DONE
 *   as far as it goes    the smallest has no more room    DISK, naming it
 *   as far as it goes    otherwise                        DONE: to the smallest's room
 *
 * All of them, not a majority: a member without room could not follow, and its copy would
 * be lost to the device. Witnesses and clients have none: they have room for any size, there or
 * not.
 */
#include "size.h"

enum qbd_change_result qbd_size_decide(const struct qbd_size_facts *facts, u64 wanted,
				       u64 *blocks, u32 *member)
{
	u64 room = QBD_DEVICE_BLOCKS_MAX;
	u32 smallest = 0;
	u32 i;

	*member = 0;
	if (wanted && wanted < facts->blocks)
		return QBD_CHANGE_SHRINK;
	if (wanted == facts->blocks)
		return QBD_CHANGE_NOTHING;
	if (facts->growing)
		return QBD_CHANGE_GROWING;
	for (i = 0; i < facts->count; i++) {
		if (!facts->members[i].room) {
			*member = facts->members[i].id;
			return QBD_CHANGE_AWAY;
		}
		if (facts->members[i].room < room) {
			room = facts->members[i].room;
			smallest = facts->members[i].id;
		}
	}
	*blocks = wanted ? wanted : room - room % QBD_ALIGNMENT_BLOCKS;
	if (*blocks > room || *blocks <= facts->blocks) {
		*member = smallest;
		return QBD_CHANGE_DISK;
	}
	return QBD_CHANGE_DONE;
}
