/* SPDX-License-Identifier: (GPL-2.0 OR BSD-3-Clause) */
/*
 * What every qbd layout shares: sizes, checksums, addresses, members.
 *
 * Everything on disk and on the wire is little endian and described in this
 * directory, once, for the kernel module and for userspace. A layout never
 * changes in place: a new one gets a new version number.
 */
#ifndef QBD_FORMAT_FORMAT_H
#define QBD_FORMAT_FORMAT_H

#include <linux/types.h>

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/crc32c.h>
#include <linux/kernel.h>
#define qbd_crc32c(seed, data, length) crc32c((seed), (data), (length))
#else
#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define le16_to_cpu(x) le16toh(x)
#define le32_to_cpu(x) le32toh(x)
#define le64_to_cpu(x) le64toh(x)
#define cpu_to_le16(x) htole16(x)
#define cpu_to_le32(x) htole32(x)
#define cpu_to_le64(x) htole64(x)
/* Provided by the program: CRC-32C, initial value @seed, no final inversion. */
uint32_t qbd_crc32c(uint32_t seed, const void *data, size_t length);
#endif

/* The unit of everything: device blocks, log blocks, metadata blocks. */
#define QBD_BLOCK_SHIFT		12
#define QBD_BLOCK_SIZE		(1u << QBD_BLOCK_SHIFT)
#define QBD_SECTORS_PER_BLOCK	(QBD_BLOCK_SIZE >> 9)

#define QBD_UUID_SIZE		16
#define QBD_SECRET_SIZE		32	/* HMAC-SHA256 key */
#define QBD_DEVICE_BLOCKS_MAX	((1ull << 52) - 1)	/* 2^64 bytes are no size */
#define QBD_NAME_SIZE		64	/* device name, NUL included */
#define QBD_MEMBER_NAME_SIZE	32	/* host name, NUL included */
#define QBD_MEMBERS_MAX		16	/* of one device, voters or not */
#define QBD_VOTERS_MAX		9	/* of them */

#define QBD_DEFAULT_PORT	7900
#define QBD_PRIORITY_DEFAULT	100

/**
 * struct qbd_address - where a member listens
 * @family: 4 or 6
 * @port: TCP port, 1..65535
 * @scope: 0; an IPv6 scope id is an interface's index, which each host has its own of
 * @bytes: network order; IPv4 uses the first four, the rest is zero
 */
struct qbd_address {
	__le16 family;
	__le16 port;
	__le32 scope;
	__u8 bytes[16];
} __attribute__((packed));

/*
 * Member flags. The core, which includes nothing, has the same definitions, and
 * the compiler sees to it that they stay the same.
 */
#define QBD_MEMBER_VOTER	0x01	/* votes in the new (or only) set */
#define QBD_MEMBER_VOTER_OLD	0x02	/* votes in the outgoing set (joint) */
#define QBD_MEMBER_LEARNER	0x04	/* receives the log, never counts */
#define QBD_MEMBER_WITNESS	0x08	/* votes and logs, leads only to pass its log on */
/* Keeps no data and never votes; its host has the block device (kmod/replica/kind.c). */
#define QBD_MEMBER_CLIENT	0x80

/*
 * What is meant to become of a member. The leader of the day sees to it, step by step
 * (kmod/replica/change.c); the core knows nothing of these.
 */
#define QBD_MEMBER_JOINING	0x10	/* learner: a voter as soon as it has caught up */
#define QBD_MEMBER_DEMOTING	0x20	/* voter: a learner, with the next change of voters */
#define QBD_MEMBER_LEAVING	0x40	/* no member at all any more, likewise */
/*
 * Of a voter that is LEAVING: whoever uses the device on its host. Others go when nobody there
 * does any more.
 */
#define QBD_MEMBER_FORCED	0x100
#define QBD_MEMBER_INTENTS \
	(QBD_MEMBER_JOINING | QBD_MEMBER_DEMOTING | QBD_MEMBER_LEAVING)
#define QBD_MEMBER_FLAGS \
	(QBD_MEMBER_VOTER | QBD_MEMBER_VOTER_OLD | QBD_MEMBER_LEARNER | \
	 QBD_MEMBER_WITNESS | QBD_MEMBER_CLIENT | QBD_MEMBER_INTENTS | \
	 QBD_MEMBER_FORCED)

/* Is there a copy of the device's data at a member with these flags? */
static inline bool qbd_flags_keep_data(__u16 flags)
{
	return !(flags & (QBD_MEMBER_WITNESS | QBD_MEMBER_CLIENT));
}

/* Is there a block device on its host? */
static inline bool qbd_flags_have_device(__u16 flags)
{
	return !(flags & QBD_MEMBER_WITNESS);
}

/* Does it count for a majority, of one set at least? */
static inline bool qbd_flags_vote(__u16 flags)
{
	return flags & (QBD_MEMBER_VOTER | QBD_MEMBER_VOTER_OLD);
}

/* What a member is it is from the start, and a client is nothing besides. */
static inline bool qbd_flags_good(__u16 flags)
{
	if (flags & ~QBD_MEMBER_FLAGS)
		return false;
	if (flags & QBD_MEMBER_FORCED &&
	    !(flags & QBD_MEMBER_VOTER && flags & QBD_MEMBER_LEAVING))
		return false;
	return !(flags & QBD_MEMBER_CLIENT) ||
	       (flags & ~QBD_MEMBER_INTENTS) == (QBD_MEMBER_CLIENT | QBD_MEMBER_LEARNER);
}

/**
 * struct qbd_member_layout - one member of a configuration
 * @id: 1..2^32-1; never used again for another disk (accident 34)
 * @flags: QBD_MEMBER_*
 * @priority: 0..255; the higher, the rather leader; QBD_PRIORITY_DEFAULT by default
 * @name: what people call the host, NUL padded
 * @group: of what is meant to become of it: a voter that is DEMOTING or LEAVING waits for those
 *	that are JOINING with the same number, see qbd_group_unused(). Else of no meaning
 * @address: where it listens
 * @incarnation: of the disk that is this member (&qbd_superblock.incarnation); zero: not
 *	known so far, the leader fills it in when the member is connected. So a disk that
 *	was cloned or replaced is told from the one that votes
 */
struct qbd_member_layout {
	__le32 id;
	__le16 flags;
	__u8 priority;
	__u8 group;
	struct qbd_address address;
	char name[QBD_MEMBER_NAME_SIZE];
	__u8 incarnation[QBD_UUID_SIZE];
} __attribute__((packed));

/**
 * struct qbd_membership_layout - a whole configuration
 * @index: log index of the entry that brought it, 0 for the one given at creation
 * @count: members used, 1..QBD_MEMBERS_MAX, sorted by id
 * @next_member_id: the lowest id never given to a member so far
 * @members: the members
 */
struct qbd_membership_layout {
	__le64 index;
	__le32 count;
	__le32 next_member_id;
	struct qbd_member_layout members[QBD_MEMBERS_MAX];
} __attribute__((packed));

static_assert(sizeof(struct qbd_address) == 24, "address layout");
static_assert(sizeof(struct qbd_member_layout) == 80, "member layout");
static_assert(sizeof(struct qbd_membership_layout) == 16 + 80 * QBD_MEMBERS_MAX,
	      "membership layout");

/* The member of that id in a list, NULL if there is none; of a list that was not checked, too. */
static inline const struct qbd_member_layout *
qbd_membership_find(const struct qbd_membership_layout *list, __u32 id)
{
	__u32 i, count = le32_to_cpu(list->count);

	for (i = 0; i < count && i < QBD_MEMBERS_MAX; i++)
		if (le32_to_cpu(list->members[i].id) == id)
			return &list->members[i];
	return NULL;
}

/*
 * A number that groups no members of this list so far: for one that goes and is replaced by
 * nobody, or for one and those that are to vote in its place. 0 is that of whoever comes by
 * itself, and of all in lists of before there were groups.
 */
static inline __u8 qbd_group_unused(const struct qbd_membership_layout *list)
{
	__u32 i, used = 1, count = le32_to_cpu(list->count);

	for (i = 0; i < count && i < QBD_MEMBERS_MAX; i++)
		if (list->members[i].group <= QBD_MEMBERS_MAX)
			used |= 1u << list->members[i].group;
	for (i = 0; used & 1; i++)
		used >>= 1;
	return (__u8)i;
}

/*
 * Was it a member before this committed list, which does not name it? It is none any more:
 * ids are never given twice.
 */
static inline bool qbd_membership_removed(const struct qbd_membership_layout *list, __u32 id)
{
	return id < le32_to_cpu(list->next_member_id) && !qbd_membership_find(list, id);
}

/* Who may write to the device. */
enum qbd_claim_sharing {
	QBD_CLAIM_EXCLUSIVE	= 0,	/* one host at a time: it has to claim the device */
	QBD_CLAIM_SHARED	= 1,	/* every host: for cluster file systems */
};

/**
 * struct qbd_block_header - begins every metadata block (4 KiB)
 * @magic: tells the kind of block
 * @version: layout version of this kind
 * @checksum: CRC-32C of the whole block with this field zero, seed ~0
 * @position: own byte offset on its disk / 4096: a misdirected block is not
 *	taken for a good one (accident 42)
 * @uuid: the device
 * @reserved: zero
 */
struct qbd_block_header {
	__le32 magic;
	__le32 version;
	__le32 checksum;
	__le32 reserved;
	__le64 position;
	__u8 uuid[QBD_UUID_SIZE];
} __attribute__((packed));

static_assert(sizeof(struct qbd_block_header) == 40, "block header layout");

/**
 * qbd_block_checksum() - what &qbd_block_header.checksum has to be
 * @block: QBD_BLOCK_SIZE bytes that begin with a struct qbd_block_header
 *
 * Return: the checksum, host order.
 */
static inline __u32 qbd_block_checksum(const void *block)
{
	const __u32 zero = 0;
	__u32 crc;

	crc = qbd_crc32c(~0u, block, offsetof(struct qbd_block_header, checksum));
	crc = qbd_crc32c(crc, &zero, sizeof(zero));
	return qbd_crc32c(crc, (const __u8 *)block +
			  offsetof(struct qbd_block_header, reserved),
			  QBD_BLOCK_SIZE -
			  offsetof(struct qbd_block_header, reserved));
}

#endif
