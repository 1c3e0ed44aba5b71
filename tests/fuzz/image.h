/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Small member disks in memory, made by a fuzzer's input in two parts: a history
 * (records, terms, truncations, checkpoints, a power cut) of which the disk is what a
 * member would have left, and damage that is done to it then. Damage is either left
 * to be found by the checksums, or sealed, so that what is behind them is reached.
 */
#ifndef QBD_TESTS_FUZZ_IMAGE_H
#define QBD_TESTS_FUZZ_IMAGE_H

#include "../../kmod/store/recovery.h"
#include "input.h"

#define IMAGE_LOG_BLOCK		512u
#define IMAGE_LOG_BLOCKS	2048u
#define IMAGE_DATA_BLOCK	(IMAGE_LOG_BLOCK + IMAGE_LOG_BLOCKS)
#define IMAGE_DEVICE_BLOCKS	100u
#define IMAGE_BLOCKS		(IMAGE_DATA_BLOCK + IMAGE_DEVICE_BLOCKS + 1)
#define IMAGE_RECORDS		96u
#define IMAGE_MEMBER		2u
#define IMAGE_EXTENT_BLOCKS	(1u << (QBD_EXTENT_SHIFT_MIN - QBD_BLOCK_SHIFT))

struct image_record {
	uint64_t index;
	uint64_t term;
	uint64_t position;
	uint64_t durable;	/* as its local part says */
	uint32_t data_blocks;
	uint32_t chain;
};

/**
 * struct image - a disk
 * @device_blocks: blocks of the device
 * @table_blocks: of its extent table
 * @disk_blocks: of the disk; those from IMAGE_BLOCKS on, all data, are not kept here
 * @blocks: what is written, NULL: zeroes
 * @unreadable: reading fails
 * @witness: it has no data
 * @client: likewise, and it is a client's
 * @state: what the newer state block says
 * @records: the log as the history left it, oldest first
 * @count: of them
 * @damage: kinds of damage done, IMAGE_DAMAGE_*
 * @spoiled: with IMAGE_DAMAGE_RECORD alone: number of the record that is damaged
 */
struct image {
	uint64_t device_blocks;
	uint32_t table_blocks;
	uint64_t disk_blocks;
	uint8_t *blocks[IMAGE_BLOCKS];
	bool unreadable[IMAGE_BLOCKS];
	bool witness;
	bool client;
	struct qbd_state state;
	struct image_record records[IMAGE_RECORDS];
	uint32_t count;
	uint32_t damage;
	uint32_t spoiled;
	struct image_record ghosts[IMAGE_RECORDS];	/* what was cut off */
	uint32_t ghost_count;
	uint32_t ghosts_of_last;	/* so many, before the last time */
	bool ghosts_lost;		/* there were more */
};

#define IMAGE_DAMAGE_SUPERBLOCK	0x01
#define IMAGE_DAMAGE_STATE	0x02
#define IMAGE_DAMAGE_RECORD	0x04	/* one, and so that a checksum finds it */
#define IMAGE_DAMAGE_OTHER	0x08	/* anything else */

extern const uint8_t image_uuid[QBD_UUID_SIZE];

/* @image may hold anything but memory; image_free() it. */
void image_build(struct image *image, struct input *input);
/*
 * Likewise, for a device of any size. Of its extent table image_build() makes the first block
 * and what the journal has of it.
 */
void image_build_sized(struct image *image, struct input *input, uint64_t device_blocks);
void image_free(struct image *image);
/* For reading; NULL if it cannot be read. */
const void *image_block(const struct image *image, uint64_t block);

#endif
