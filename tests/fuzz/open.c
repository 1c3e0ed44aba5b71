// SPDX-License-Identifier: GPL-2.0
/*
 * qbd_store_open() of the disks that image.c makes, whole, with all of kmod/store that it
 * takes: superblock, state, log, and what no other target has: the extent table and its
 * journal, of one block or so many that several share a place of the journal. They are
 * damaged, sealed or not, swapped, and cannot be read.
 *
 * What is loaded is what the disk says, by a model here that looks at all of it. What is
 * opened is put in order: when it is opened again nothing has changed, and nothing is lost.
 */
#include "../../kmod/store/internal.h"
#include "image.h"
#include "machine.h"

static struct image image;

/* ---- the disk ----------------------------------------------------------- */

#define CELLS		16384u
#define CELLS_USED_MAX	8192u

/* What was written since: the image stays as it was made. */
static struct cell {
	u64 block;
	u8 *bytes;
} cells[CELLS];
static u32 used_cells[CELLS_USED_MAX], used_count;
static u32 writes, writes_fail_from;

static struct cell *cell_of(u64 block)
{
	u32 at = (u32)(block * 2654435761u) % CELLS;

	while (cells[at].bytes && cells[at].block != block)
		at = (at + 1) % CELLS;
	return &cells[at];
}

static void cells_free(void)
{
	while (used_count) {
		struct cell *cell = &cells[used_cells[--used_count]];

		free(cell->bytes);
		cell->bytes = NULL;
	}
}

/* Until it is written; NULL: it cannot be read. */
static const u8 *disk_block(u64 block)
{
	static const u8 zeroes[QBD_BLOCK_SIZE];
	const struct cell *cell = cell_of(block);

	if (cell->bytes)
		return cell->bytes;
	return block < IMAGE_BLOCKS ? image_block(&image, block) : zeroes;
}

static bool put_block(u64 block, const void *from)
{
	struct cell *cell = cell_of(block);

	if (!cell->bytes) {
		if (used_count == CELLS_USED_MAX)
			return false;
		cell->bytes = malloc(QBD_BLOCK_SIZE);
		REQUIRE(cell->bytes);
		cell->block = block;
		used_cells[used_count++] = cell - cells;
	}
	if (from)
		memcpy(cell->bytes, from, QBD_BLOCK_SIZE);
	else
		memset(cell->bytes, 0, QBD_BLOCK_SIZE);
	return true;
}

static bool may_write(void)
{
	return ++writes < writes_fail_from || !writes_fail_from;
}

bool machine_read(u64 block, void *to)
{
	const u8 *from = disk_block(block);

	if (from)
		memcpy(to, from, QBD_BLOCK_SIZE);
	return from;
}

bool machine_write(u64 block, const void *from)
{
	return may_write() && put_block(block, from);
}

bool machine_zero(u64 block, u64 count)
{
	if (!may_write())
		return false;
	for (u64 at = block; at < IMAGE_BLOCKS && at - block < count; at++)
		if (!put_block(at, NULL))
			return false;
	for (u32 i = 0; i < used_count; i++) {
		struct cell *cell = &cells[used_cells[i]];

		if (cell->block >= block && cell->block - block < count)
			memset(cell->bytes, 0, QBD_BLOCK_SIZE);
	}
	return true;
}

bool machine_flush(void)
{
	return may_write();
}

/* ---- the extent table --------------------------------------------------- */

static void *image_at(u64 block)
{
	REQUIRE(block < IMAGE_BLOCKS);
	if (!image.blocks[block])
		image.blocks[block] = calloc(1, QBD_BLOCK_SIZE);
	REQUIRE(image.blocks[block]);
	return image.blocks[block];
}

/* Table block @number, at @block; other @values than where it belongs if it is an image. */
static void write_table_block(u64 block, u64 number, u32 values)
{
	struct qbd_extent_block *extents = image_at(block);
	u64 first = number * QBD_EXTENTS_PER_BLOCK;
	u64 count = DIV_ROUND_UP(image.device_blocks, IMAGE_EXTENT_BLOCKS);

	memset(extents, 0, sizeof(*extents));
	for (u32 i = 0; i < QBD_EXTENTS_PER_BLOCK && first + i < count; i++)
		if ((i + values) % 3)
			extents->entries[i].changed_index =
				cpu_to_le64(1 + (number + i) % 7 + values);
	qbd_block_seal(extents, QBD_EXTENTS_MAGIC, image_uuid, QBD_EXTENT_TABLE_BLOCK + number);
}

static void patch_table_block(struct input *input, u64 block, u64 position, bool sealed)
{
	take_patch(input, image_at(block), QBD_BLOCK_SIZE);
	if (sealed)
		qbd_block_seal(image_at(block), QBD_EXTENTS_MAGIC, image_uuid, position);
}

static void damage_table(struct input *input)
{
	u8 what = take_u8(input);
	u64 number = take_u16(input) % image.table_blocks;
	u64 place = QBD_EXTENT_TABLE_BLOCK + number;
	u64 slot = QBD_EXTENT_JOURNAL_BLOCK + number % QBD_EXTENT_JOURNAL_BLOCKS;

	switch (what & 7) {
	case 0:
		memset(image_at(place), what & 0x10 ? 0x5a : 0, QBD_BLOCK_SIZE);
		break;
	case 1:
		patch_table_block(input, place, place, what & 0x10);
		break;
	case 2:
		/* As a checkpoint left it that was cut off. */
		write_table_block(slot, number, 100);
		break;
	case 3:
		/* In a place that is not its own. */
		write_table_block(QBD_EXTENT_JOURNAL_BLOCK +
				  take_u8(input) % QBD_EXTENT_JOURNAL_BLOCKS, number, 200);
		break;
	case 4:
		image.unreadable[what & 0x10 ? slot : place] = true;
		break;
	case 5:
		write_table_block(slot, number, 300);
		patch_table_block(input, slot, place, what & 0x10);
		break;
	case 6:
		/* Another one's, or one that there is not. */
		write_table_block(place, take_u8(input), 400);
		break;
	default:
		write_table_block(slot, number, 500);
		memset(image_at(place), 0x5a, QBD_BLOCK_SIZE);
		break;
	}
}

/* ---- what must be loaded ------------------------------------------------ */

static const struct qbd_extent_block *good_table_block(u64 block, u64 number, const u8 *uuid)
{
	const struct qbd_extent_block *extents = (const void *)disk_block(block);

	if (!extents || le32_to_cpu(extents->header.magic) != QBD_EXTENTS_MAGIC ||
	    le32_to_cpu(extents->header.version) != QBD_FORMAT_VERSION ||
	    le64_to_cpu(extents->header.position) != QBD_EXTENT_TABLE_BLOCK + number ||
	    memcmp(extents->header.uuid, uuid, QBD_UUID_SIZE) ||
	    le32_to_cpu(extents->header.checksum) != qbd_block_checksum(extents))
		return NULL;
	return extents;
}

/**
 * struct opening - what was seen while the store was opened
 * @store: it
 * @lost: blocks of the table that are neither in their places nor in the journal
 * @dirty: blocks that are to be written
 * @applied: there was a word of what is applied
 * @kicked: it wants to run
 * @failed: it said so
 * @next: index of the entry that is to be reported next
 */
struct opening {
	struct qbd_store *store;
	u64 lost;
	u64 dirty;
	bool applied;
	bool kicked;
	bool failed;
	u64 next;
};

static void judge_table_block(struct opening *opening, u64 number)
{
	const struct qbd_store *store = opening->store;
	const struct qbd_geometry *geometry = &store->geometry;
	u64 place = QBD_EXTENT_TABLE_BLOCK + number;
	u64 slot = QBD_EXTENT_JOURNAL_BLOCK + number % QBD_EXTENT_JOURNAL_BLOCKS;
	const struct qbd_extent_block *block = good_table_block(place, number, geometry->uuid);
	u64 lost_value = store->alone ? max(store->state.disk.applied_index, 1ull) : 0;
	u64 first = number * QBD_EXTENTS_PER_BLOCK;
	bool dirty = !block;

	if (!block)
		block = good_table_block(slot, number, geometry->uuid);
	if (!block) {
		opening->lost++;
		/* What cannot be read now is not lost to who is alone. */
		REQUIRE(!store->alone || (disk_block(place) && disk_block(slot)));
	}
	for (u64 i = 0; i < QBD_EXTENTS_PER_BLOCK && first + i < geometry->extent_count; i++)
		REQUIRE(*qbd_extent_changed(store, first + i) ==
			(block ? le64_to_cpu(block->entries[i].changed_index) : lost_value));
	REQUIRE(test_bit(number, store->extents.dirty) == dirty);
	opening->dirty += dirty;
}

/* The table is loaded, and nothing is applied or written yet. */
static void told_applied(void *context, u64 index, const struct qbd_applied_layout *applied,
			 const struct qbd_membership_layout *membership)
{
	struct opening *opening = context;
	const char *reason;

	opening->store = machine_holder;
	opening->applied = true;
	REQUIRE(index == opening->store->applied_index && applied);
	REQUIRE(qbd_membership_good(membership, &reason));
	opening->next = opening->store->log.first_index;
	if (opening->store->geometry.no_data)
		return;
	for (u64 i = 0; i < opening->store->geometry.table_blocks_used; i++)
		judge_table_block(opening, i);
	REQUIRE(opening->store->extents.dirty_count == opening->dirty);
}

static void told_entry(void *context, const struct qbd_record_header *header,
		       const struct qbd_membership_layout *membership)
{
	struct opening *opening = context;

	REQUIRE(le64_to_cpu(header->shared.index) == opening->next);
	REQUIRE(!membership == (le16_to_cpu(header->shared.kind) != QBD_RECORD_MEMBERSHIP));
	opening->next++;
}

static void say_applied(void *context, u64 index, struct qbd_applied_layout *applied)
{
	(void)context;
	(void)index;
	memset(applied, 0, sizeof(*applied));
}

static void kick(void *context)
{
	((struct opening *)context)->kicked = true;
}

static bool answered(void *context)
{
	return context;
}

static void told_failed(void *context, int error, const char *what)
{
	REQUIRE(error < 0 && what);
	((struct opening *)context)->failed = true;
}

static void told_log_durable(void *context, u64 generation, u64 term, u64 index)
{
	(void)context;
	(void)generation;
	(void)term;
	(void)index;
}

static void told_index(void *context, u64 index)
{
	(void)context;
	(void)index;
}

static void told(void *context)
{
	(void)context;
}

static const struct qbd_store_ops ops = {
	.kick = kick, .answered = answered, .recovered_applied = told_applied,
	.applied_state = say_applied, .recovered_entry = told_entry,
	.log_durable = told_log_durable, .state_durable = told_index, .applied = told_index,
	.log_reclaimed = told_index, .reset_durable = told_index, .fill_durable = told,
	.space = told, .failed = told_failed,
};

/* ---- opening ------------------------------------------------------------ */

static void judge_refusal(const struct opening *opening, int error, const char *text)
{
	REQUIRE(error < 0 && text[0] && strlen(text) < 299);
	REQUIRE(error == -EMEDIUMTYPE || error == -EPROTONOSUPPORT || error == -EUCLEAN ||
		error == -EIO || error == -ENOMEM || error == -ENOSPC);
	/* Nothing is written to what stays as it was. */
	if (!opening->applied)
		REQUIRE(!writes);
}

/* Return: NULL if it was refused. */
static struct qbd_store *open_store(struct qbd_pool *pool, struct opening *opening,
				    struct qbd_store_recovered *recovered)
{
	struct qbd_store *store;
	char text[300] = "";

	memset(opening, 0, sizeof(*opening));
	memset(recovered, 0, sizeof(*recovered));
	writes = 0;
	machine_begin(image.disk_blocks);
	store = qbd_store_open(1, "disk", pool, &ops, opening, recovered, text, sizeof(text));
	if (IS_ERR(store)) {
		judge_refusal(opening, PTR_ERR(store), text);
		return NULL;
	}
	REQUIRE(store == machine_holder && opening->applied);
	REQUIRE(opening->next == recovered->last_index + 1);
	if (opening->lost && !store->alone)
		REQUIRE(recovered->filling && !recovered->fill_plan.base);
	return store;
}

/* All that was found is in its place by now, and good. */
static void judge_disk(const struct qbd_store *store)
{
	const struct qbd_geometry *geometry = &store->geometry;

	for (u64 number = 0; number < geometry->table_blocks_used; number++) {
		const struct qbd_extent_block *block =
			good_table_block(QBD_EXTENT_TABLE_BLOCK + number, number, geometry->uuid);
		u64 first = number * QBD_EXTENTS_PER_BLOCK;

		REQUIRE(block);
		for (u64 i = 0; i < QBD_EXTENTS_PER_BLOCK; i++) {
			u64 changed = le64_to_cpu(block->entries[i].changed_index);

			if (first + i < geometry->extent_count)
				REQUIRE(changed == *qbd_extent_changed(store, first + i));
		}
	}
}

static void go_down(struct opening *opening, struct qbd_store *store)
{
	qbd_store_stop(store);
	for (u32 i = 0; i < 10000 && !qbd_store_stopped(store); i++) {
		if (opening->kicked) {
			opening->kicked = false;
			qbd_store_run(store);
		} else if (!machine_pass_time()) {
			break;
		}
	}
	REQUIRE(qbd_store_stopped(store));
	if (!store->failed)
		judge_disk(store);
}

static bool all_readable(void)
{
	return !memchr_inv(image.unreadable, 0, sizeof(image.unreadable));
}

static void open_twice(struct qbd_pool *pool, bool in_order)
{
	struct qbd_store_recovered first, second;
	struct opening opening;
	struct qbd_store *store = open_store(pool, &opening, &first);
	bool failed;

	if (!store)
		return;
	failed = store->failed;
	if (!failed)
		judge_disk(store);
	if (in_order)
		go_down(&opening, store);
	failed |= store->failed;
	qbd_store_close(store);
	if (failed || !all_readable())
		return;
	/* Whatever failed so far does no more. */
	writes_fail_from = 0;
	store = open_store(pool, &opening, &second);
	REQUIRE(store && !opening.lost && !opening.dirty);
	REQUIRE(second.last_index == first.last_index && second.term == first.term);
	REQUIRE(second.applied_index >= first.applied_index);
	REQUIRE(second.commit_index >= first.commit_index);
	REQUIRE(second.filling == first.filling && second.is_new == first.is_new);
	REQUIRE(second.damaged == first.damaged);
	qbd_store_close(store);
}

static u64 take_device_blocks(struct input *input)
{
	static const u16 extents[] = {
		7, 253, 254, 512, 1024, 4 * 253, 129 * 253 + 1, 7,
	};
	u8 how = take_u8(input);

	/* Mostly few: many take long. */
	if (how & 0x80)
		return (u64)extents[how & 7] * IMAGE_EXTENT_BLOCKS - (how >> 3 & 15);
	return IMAGE_DEVICE_BLOCKS + how;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct qbd_pool *pool;
	struct input input = { data, size }, table;
	unsigned long allocated;
	u64 device_blocks;
	u8 how;

	if (!pool)
		pool = qbd_pool_create(QBD_POOL_PAGES_MIN, told, NULL);
	REQUIRE(!IS_ERR_OR_NULL(pool));
	allocated = machine_allocated;
	how = take_u8(&input);
	writes = 0;
	writes_fail_from = (how & 3) == 3 ? 1 + take_u8(&input) : 0;
	device_blocks = take_device_blocks(&input);
	/* What is said of the table has a part of its own. */
	table.at = input.at;
	table.left = min(input.left, (size_t)(how >> 2 & 31));
	input.at += table.left;
	input.left -= table.left;
	image_build_sized(&image, &input, device_blocks);
	for (u32 number = 1; number < image.table_blocks; number++)
		write_table_block(QBD_EXTENT_TABLE_BLOCK + number, number, 0);
	while (table.left)
		damage_table(&table);
	open_twice(pool, how & 0x80);
	REQUIRE(machine_allocated == allocated);
	REQUIRE(qbd_pool_pages_free(pool) == qbd_pool_pages(pool));
	cells_free();
	image_free(&image);
	return 0;
}
