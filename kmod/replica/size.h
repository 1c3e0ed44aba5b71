/* SPDX-License-Identifier: GPL-2.0 */
/* May the device grow, and how far? Pure: compiles in userspace too. */
#ifndef QBD_REPLICA_SIZE_H
#define QBD_REPLICA_SIZE_H

#include "../format/frame.h"
#include "../format/superblock.h"
#include "../record/portable.h"

/**
 * struct qbd_size_facts - what the leader knows
 * @blocks: size of the device
 * @growing: a RESIZE is in its log, and not yet applied there
 * @count: members
 * @members: each one's id, and the blocks that its disk has room for, of who keeps no data
 *	QBD_DEVICE_BLOCKS_MAX; 0: it is not there, is being filled, has failed, or has not said
 */
struct qbd_size_facts {
	u64 blocks;
	bool growing;
	u32 count;
	struct {
		u32 id;
		u64 room;
	} members[QBD_MEMBERS_MAX];
};

/**
 * qbd_size_decide() - somebody wants the device to grow
 * @facts: see there
 * @wanted: to so many blocks; 0: as far as all disks allow, in whole MiB
 * @blocks: set to the new size if it may
 * @member: set to the member that the refusal is about, or 0
 *
 * Return: QBD_CHANGE_DONE: it may.
 */
enum qbd_change_result qbd_size_decide(const struct qbd_size_facts *facts, u64 wanted,
				       u64 *blocks, u32 *member);

#endif
