// SPDX-License-Identifier: GPL-2.0
/*
 * What a disk says after a power cut: each row of the tables in store/recovery.c,
 * and the checks of record headers and metadata blocks below them. Runs under KUnit
 * and, with the sanitizers, in userspace (tests/store).
 */
#include "core_test.h"

#ifdef __KERNEL__
#include <linux/slab.h>
#define ring_alloc(bytes)	kvzalloc(bytes, GFP_KERNEL)
#define ring_free(memory)	kvfree(memory)
#else
#include <stdlib.h>
#define ring_alloc(bytes)	calloc(1, bytes)
#define ring_free(memory)	free(memory)
#endif

#include "../store/recovery.h"

#define RING_BLOCKS	322u	/* more than the largest record */
#define DEVICE_BLOCKS	2000u
#define MEMBER		7u
#define FIRST_POSITION	(6 * RING_BLOCKS - 24)	/* it wraps soon */

static const u8 uuid[QBD_UUID_SIZE] = "0123456789abcde";
static const u8 other_uuid[QBD_UUID_SIZE] = "other device   ";

/**
 * struct ring - a ring log in memory
 * @blocks: its content
 * @unreadable: reading fails
 * @state: of the disk
 * @position: where the next record goes
 * @index: of the last record
 * @term: of the next record
 * @chain: of the last record
 * @place: what the next record writes, 0: somewhere
 * @grow_to: if it has no data: it makes the device so large; 0: it does not
 * @generation: of the next record
 * @positions: of the records, by index
 * @found: index of the record found last
 * @restarts: how often the log was begun anew
 * @scan: the last scan
 */
struct ring {
	u8 blocks[RING_BLOCKS][QBD_BLOCK_SIZE];
	bool unreadable[RING_BLOCKS];
	struct qbd_state state;
	u64 position;
	u64 index;
	u64 term;
	u32 chain;
	u64 place;
	u64 grow_to;
	u64 generation;
	u64 positions[128];
	u64 found;
	u32 restarts;
	struct qbd_scan scan;
};

static struct ring *the_ring;

static u8 *block_at(u64 position)
{
	return the_ring->blocks[position % RING_BLOCKS];
}

static struct qbd_record_header *header_of(u64 index)
{
	return (struct qbd_record_header *)block_at(the_ring->positions[index]);
}

static void seal_local(struct qbd_record_header *header)
{
	header->local.checksum = cpu_to_le32(qbd_record_local_checksum(header));
}

/* One record of @data_blocks; at that time everything up to @durable was durable. */
static void append(u32 data_blocks, u64 durable)
{
	struct ring *ring = the_ring;
	struct qbd_record_header *header = (void *)block_at(ring->position);
	struct qbd_operation *operation = &header->operations[0];
	u32 crc = ~0u, i;

	memset(header, 0, QBD_BLOCK_SIZE);
	ring->index++;
	header->shared.magic = cpu_to_le32(QBD_RECORD_MAGIC);
	header->shared.kind = cpu_to_le16(data_blocks ? QBD_RECORD_DATA :
					  ring->grow_to ? QBD_RECORD_RESIZE :
							  QBD_RECORD_NOOP);
	header->shared.device_blocks = cpu_to_le64(data_blocks ? 0 : ring->grow_to);
	header->shared.index = cpu_to_le64(ring->index);
	header->shared.term = cpu_to_le64(ring->term);
	header->shared.data_blocks = cpu_to_le32(data_blocks);
	header->shared.chain_previous = cpu_to_le32(ring->chain);
	if (data_blocks) {
		for (i = 1; i <= data_blocks; i++) {
			memset(block_at(ring->position + i), (int)(ring->index * 16 + i),
			       QBD_BLOCK_SIZE);
			crc = qbd_crc32c(crc, block_at(ring->position + i),
					 QBD_BLOCK_SIZE);
		}
		header->shared.operation_count = cpu_to_le16(1);
		operation->kind = cpu_to_le16(QBD_OPERATION_WRITE);
		operation->block = cpu_to_le64(ring->place ? ring->place :
					       ring->index * 10);
		operation->count = cpu_to_le32(data_blocks);
		operation->data_checksum = cpu_to_le32(crc);
	}
	ring->chain = qbd_record_chain(header, uuid);
	header->shared.chain = cpu_to_le32(ring->chain);
	header->local.position = cpu_to_le64(ring->position);
	header->local.durable_index = cpu_to_le64(durable);
	header->local.commit_index = cpu_to_le64(ring->index);
	header->local.generation = cpu_to_le64(ring->generation);
	header->local.member_id = cpu_to_le32(MEMBER);
	seal_local(header);
	ring->positions[ring->index] = ring->position;
	ring->position += 1 + data_blocks;
}

/* A list of members; what it says is of no concern here. */
static void append_list(u64 durable)
{
	struct ring *ring = the_ring;
	struct qbd_record_header *header = (void *)block_at(ring->position);

	append(1, durable);
	header->shared.kind = cpu_to_le16(QBD_RECORD_MEMBERSHIP);
	header->shared.operation_count = 0;
	header->shared.data_checksum = header->operations[0].data_checksum;
	memset(&header->operations[0], 0, sizeof(header->operations[0]));
	ring->chain = qbd_record_chain(header, uuid);
	header->shared.chain = cpu_to_le32(ring->chain);
	seal_local(header);
}

static const void *ring_block(void *context, u64 place)
{
	struct ring *ring = context;

	return place >= RING_BLOCKS || ring->unreadable[place] ? NULL :
								 ring->blocks[place];
}

static void ring_found(void *context, const struct qbd_record_header *header, u64 position)
{
	struct ring *ring = context;

	ring->found = le64_to_cpu(header->shared.index);
}

static void ring_restart(void *context)
{
	struct ring *ring = context;

	ring->restarts++;
}

static const struct qbd_scan_ops ring_ops = {
	.block		= ring_block,
	.found		= ring_found,
	.restart	= ring_restart,
};

static void scan(void)
{
	struct ring *ring = the_ring;

	ring->found = 0;
	ring->restarts = 0;
	memset(&ring->scan, 0, sizeof(ring->scan));
	ring->scan.uuid = uuid;
	ring->scan.member_id = MEMBER;
	ring->scan.device_blocks = DEVICE_BLOCKS;
	ring->scan.device_blocks_most = 2 * DEVICE_BLOCKS;
	ring->scan.log_blocks = RING_BLOCKS;
	ring->scan.state = &ring->state;
	ring->scan.ops = &ring_ops;
	ring->scan.context = ring;
	qbd_recovery_scan(&ring->scan);
}

/*
 * Records 11 to 18 of two data blocks each: applied to 12, each written when the one
 * two before it was durable, state block of the time when 13 was.
 */
static void make_ring(void)
{
	struct ring *ring = the_ring;

	memset(ring, 0, sizeof(*ring));
	memset(ring->blocks, 0xa5, sizeof(ring->blocks));
	ring->position = FIRST_POSITION;
	ring->index = 10;
	ring->term = 4;
	ring->chain = 0x1234;
	ring->state.log_first_index = 11;
	ring->state.log_first_position = FIRST_POSITION;
	ring->state.log_previous_term = 3;
	ring->state.log_previous_chain = 0x1234;
	while (ring->index < 18) {
		append(2, ring->index - 1);
		if (ring->index == 12) {
			ring->state.applied_index = 12;
			ring->state.applied_term = 4;
			ring->state.applied_chain = ring->chain;
			ring->state.applied_position = ring->position;
		}
	}
	ring->state.commit_index = 13;
	ring->state.durable_index = 13;
}

static bool ring_begin(void)
{
	the_ring = ring_alloc(sizeof(*the_ring));
	if (!the_ring)
		return false;
	make_ring();
	return true;
}

static void ring_end(void)
{
	ring_free(the_ring);
	the_ring = NULL;
}

static void expect_log(struct qbd_test *test, enum qbd_log_verdict verdict, u64 last)
{
	const struct qbd_scan *scan = &the_ring->scan;

	QBD_EQUAL(test, scan->verdict, verdict);
	QBD_EQUAL(test, scan->last_index, last);
	QBD_EQUAL(test, scan->next_position, the_ring->positions[last] + 3);
}

static void a_whole_log_is_found(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	scan();
	expect_log(test, QBD_LOG_TORN, 18);
	QBD_EQUAL(test, the_ring->found, 18);
	QBD_EQUAL(test, the_ring->scan.base_index, 10);
	QBD_EQUAL(test, the_ring->scan.last_term, 4);
	QBD_EQUAL(test, the_ring->scan.last_chain, the_ring->chain);
	QBD_EQUAL(test, the_ring->scan.commit_index, 18);
	/* Taken down in order, it ends there and nothing behind it is looked at. */
	the_ring->state.flags = QBD_STATE_CLEAN;
	the_ring->state.durable_index = 18;
	memset(the_ring->unreadable, true, sizeof(the_ring->unreadable));
	for (u64 i = FIRST_POSITION; i < the_ring->position; i++)
		the_ring->unreadable[i % RING_BLOCKS] = false;
	scan();
	expect_log(test, QBD_LOG_WHOLE, 18);
	ring_end();
}

/* The last record was on its way: dropped, wherever it is damaged. */
static void a_torn_tail_is_dropped(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	for (u32 block = 0; block < 3; block++) {
		for (u32 sector = 0; sector < 8; sector += 7) {
			make_ring();
			memset(block_at(the_ring->positions[18] + block) + sector * 512,
			       0x5a, block ? 512 : 40);
			/* The rest of a header of one operation is not used. */
			if (!block && sector)
				continue;
			scan();
			expect_log(test, QBD_LOG_TORN, 17);
			QBD_EQUAL(test, the_ring->scan.bad_index, 18);
		}
	}
	/* So are the last two, written at once: 18 knew of 16. */
	make_ring();
	header_of(17)->shared.index = 0;
	scan();
	expect_log(test, QBD_LOG_TORN, 16);
	ring_end();
}

/*
 * 16 is damaged, and 18 was written when it was durable (accident 40). 17 and 18 are cut
 * off with it, and nothing says that they were not acknowledged.
 */
static void a_damaged_middle_record_is_not_cut_off(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	for (u32 block = 0; block < 3; block++) {
		make_ring();
		block_at(the_ring->positions[16] + block)[100] ^= 1;
		scan();
		expect_log(test, QBD_LOG_DAMAGED, 15);
		QBD_EQUAL(test, the_ring->scan.bad_index, 16);
		QBD_EQUAL(test, the_ring->scan.damaged_through, 18);
	}
	ring_end();
}

/* Nothing follows it in the ring, but the state block knows it. */
static void a_damaged_last_record_is_known_from_the_state(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	block_at(the_ring->positions[18] + 2)[4095] ^= 0x80;
	scan();
	expect_log(test, QBD_LOG_TORN, 17);
	the_ring->state.durable_index = 18;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 17);
	QBD_EQUAL(test, the_ring->scan.damaged_through, 18);
	/* Clean or not: a log that was taken down in order has all of it. */
	the_ring->state.flags = QBD_STATE_CLEAN;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 17);
	ring_end();
}

/* Committed by others while its own write was under way: a torn tail still. */
static void a_commit_index_proves_nothing(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	the_ring->state.commit_index = 18;
	memset(header_of(18), 0, QBD_BLOCK_SIZE);
	scan();
	expect_log(test, QBD_LOG_TORN, 17);
	ring_end();
}

static void an_unreadable_record_is_damage(struct qbd_test *test)
{
	u64 beyond;

	QBD_TRUE(test, ring_begin());
	the_ring->unreadable[the_ring->positions[18] % RING_BLOCKS] = true;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 17);
	QBD_EQUAL(test, the_ring->scan.damaged_through, 18);
	QBD_TRUE(test, the_ring->scan.suspected);
	make_ring();
	the_ring->unreadable[(the_ring->positions[18] + 1) % RING_BLOCKS] = true;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 17);
	/* A block behind a torn record may hide the proof. */
	make_ring();
	beyond = the_ring->position + 9;
	the_ring->unreadable[beyond % RING_BLOCKS] = true;
	memset(header_of(18), 0, 512);
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 17);
	QBD_TRUE(test, the_ring->scan.suspected);
	/* Nor does it hide one where no record can begin that follows. */
	the_ring->unreadable[beyond % RING_BLOCKS] = false;
	beyond = the_ring->positions[18] + QBD_RECORD_BLOCKS_MAX;
	the_ring->unreadable[beyond % RING_BLOCKS] = true;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 17);
	the_ring->unreadable[beyond % RING_BLOCKS] = false;
	the_ring->unreadable[(beyond + 1) % RING_BLOCKS] = true;
	scan();
	expect_log(test, QBD_LOG_TORN, 17);
	QBD_TRUE(test, !the_ring->scan.suspected);
	/* But behind a record that is good the next one may be, and know more. */
	make_ring();
	memset(header_of(17), 0, 512);
	beyond = the_ring->positions[18] + 3 + QBD_RECORD_BLOCKS_MAX;
	the_ring->unreadable[beyond % RING_BLOCKS] = true;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 16);
	QBD_EQUAL(test, the_ring->scan.damaged_through, 18);
	make_ring();
	memset(header_of(18), 0, 512);
	beyond = the_ring->position + 9;
	the_ring->unreadable[beyond % RING_BLOCKS] = true;
	/* Nobody could send it to a member that has no other: it goes on. */
	the_ring->state.membership.count = cpu_to_le32(1);
	the_ring->state.applied_membership.count = cpu_to_le32(2);
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 17);
	the_ring->state.applied_membership.count = cpu_to_le32(1);
	scan();
	expect_log(test, QBD_LOG_TORN, 17);
	/* But not over what it cannot read itself. */
	the_ring->unreadable[the_ring->positions[18] % RING_BLOCKS] = true;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 17);
	ring_end();
}

/*
 * What a list of members says is in its record, also when that was applied: a member with a
 * spoiled one did not come up any more, for it was looked at too late.
 */
static void damaged_list_in_the_applied_part_is_no_loss(struct qbd_test *test)
{
	struct ring *ring;

	QBD_TRUE(test, ring_begin());
	ring = the_ring;
	append_list(18);
	append(2, 19);
	ring->state.applied_index = 20;
	ring->state.applied_term = 4;
	ring->state.applied_chain = ring->chain;
	ring->state.applied_position = ring->position;
	append(2, 20);
	ring->state.durable_index = 21;
	scan();
	expect_log(test, QBD_LOG_TORN, 21);
	QBD_TRUE(test, !ring->scan.from_applied);
	block_at(ring->positions[19] + 1)[0] ^= 1;
	scan();
	expect_log(test, QBD_LOG_TORN, 21);
	QBD_TRUE(test, ring->scan.from_applied);
	QBD_EQUAL(test, ring->scan.base_index, 20);
	ring_end();
}

/* What was applied is in the data area: the log begins behind it. */
static void damage_in_the_applied_part_is_no_loss(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	for (u64 bad = 11; bad <= 12; bad++) {
		make_ring();
		header_of(bad)->shared.term ^= 1;
		scan();
		expect_log(test, QBD_LOG_TORN, 18);
		QBD_TRUE(test, the_ring->scan.from_applied);
		QBD_EQUAL(test, the_ring->restarts, 1);
		QBD_EQUAL(test, the_ring->scan.base_index, 12);
		QBD_EQUAL(test, the_ring->scan.base_term, 4);
		QBD_EQUAL(test, the_ring->scan.base_position,
			  the_ring->positions[12] + 3);
	}
	/* Its data is not even looked at. */
	make_ring();
	block_at(the_ring->positions[12] + 1)[0] ^= 1;
	scan();
	expect_log(test, QBD_LOG_TORN, 18);
	QBD_TRUE(test, !the_ring->scan.from_applied);
	/* Both parts damaged. */
	header_of(11)->shared.term ^= 1;
	header_of(14)->shared.term ^= 1;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 13);
	QBD_EQUAL(test, the_ring->scan.base_index, 12);
	ring_end();
}

/* What was here before the log was cut off, where the disk lost what was written since. */
static void make_stale(u64 index)
{
	struct qbd_record_header *header = header_of(index);

	header->operations[0].block = cpu_to_le64(index * 10 + 1);
	header->shared.chain = cpu_to_le32(qbd_record_chain(header, uuid));
	seal_local(header);
}

/* Records up to @last are of this generation, those behind them of the newest one. */
static void set_generations(u64 last, u64 generation, u64 newest)
{
	for (u64 index = 11; index <= 18; index++) {
		struct qbd_record_header *header = header_of(index);

		header->local.generation = cpu_to_le64(index <= last ? generation : newest);
		seal_local(header);
	}
	the_ring->state.log_generation = newest;
	the_ring->state.truncated_index = last + 1;
}

/* It is good by itself, and what follows does not fit to it: which of both is wrong? */
static void a_stale_record_is_not_taken(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	/* Of the one that was applied last the state block says which one it is. */
	make_stale(12);
	scan();
	expect_log(test, QBD_LOG_TORN, 18);
	QBD_TRUE(test, the_ring->scan.from_applied);
	/* It may have been cut off, before the time that the state block knows of. */
	make_ring();
	set_generations(15, 1, 3);
	make_stale(15);
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 12);
	QBD_TRUE(test, the_ring->scan.from_applied);
	QBD_EQUAL(test, the_ring->restarts, 1);
	QBD_EQUAL(test, the_ring->scan.bad_index, 13);
	QBD_EQUAL(test, the_ring->scan.damaged_through, 18);
	/* That is not known either if the newest generation is known from a record alone. */
	make_ring();
	set_generations(15, 2, 3);
	the_ring->state.log_generation = 2;
	make_stale(15);
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 12);
	/* What follows it shows that, though nothing says that it was durable. */
	make_ring();
	set_generations(17, 2, 3);
	make_stale(17);
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 12);
	QBD_EQUAL(test, the_ring->scan.damaged_through, 18);
	/* All that is good behind it may have been acknowledged. */
	make_ring();
	set_generations(15, 2, 3);
	make_stale(15);
	for (u64 index = 16; index <= 18; index++) {
		header_of(index)->local.durable_index = cpu_to_le64(14);
		seal_local(header_of(index));
	}
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 12);
	QBD_EQUAL(test, the_ring->scan.damaged_through, 18);
	/* Nothing follows one that was cut off before. */
	make_ring();
	set_generations(17, 3, 2);
	make_stale(17);
	the_ring->state.log_generation = 3;
	the_ring->state.truncated_index = 11;
	scan();
	expect_log(test, QBD_LOG_TORN, 17);
	/* Known: it was not. What is lost is the next one. */
	make_ring();
	set_generations(15, 2, 3);
	header_of(16)->shared.term ^= 1;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 15);
	QBD_TRUE(test, !the_ring->scan.from_applied);
	/* Not even that, if there was one more generation: its successor may be lost, too. */
	make_ring();
	set_generations(15, 1, 3);
	header_of(16)->shared.term ^= 1;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 12);
	QBD_TRUE(test, the_ring->scan.from_applied);
	QBD_EQUAL(test, the_ring->scan.damaged_through, 18);
	/* And where nothing was cut off nothing is stale. */
	make_ring();
	header_of(16)->shared.term ^= 1;
	scan();
	expect_log(test, QBD_LOG_DAMAGED, 15);
	ring_end();
}

/*
 * What was applied last is not stale, so it is the next one that is, if it does not fit: a
 * tail that was cut off, and proves nothing by its generation.
 */
static void what_follows_the_applied_part_may_be_stale(struct qbd_test *test)
{
	struct qbd_record_header *header;

	QBD_TRUE(test, ring_begin());
	for (u32 durable = 12; durable <= 13; durable++) {
		make_ring();
		set_generations(12, 1, 2);
		the_ring->state.durable_index = 12;
		for (u64 index = 13; index <= 18; index++) {
			header = header_of(index);
			header->local.durable_index = cpu_to_le64(index == 18 ? durable : 12);
			seal_local(header);
		}
		header = header_of(13);
		header->shared.chain_previous ^= cpu_to_le32(1);
		header->shared.chain = cpu_to_le32(qbd_record_chain(header, uuid));
		seal_local(header);
		scan();
		expect_log(test, durable < 13 ? QBD_LOG_TORN : QBD_LOG_DAMAGED, 12);
		QBD_TRUE(test, !the_ring->scan.from_applied);
		QBD_EQUAL(test, the_ring->scan.bad_index, 13);
		if (durable == 13)
			QBD_EQUAL(test, the_ring->scan.damaged_through, 18);
	}
	ring_end();
}

/* A record of the lap before, whole and in its place, is not of this log. */
static void a_stale_lap_is_not_taken(struct qbd_test *test)
{
	struct qbd_record_header *header;

	QBD_TRUE(test, ring_begin());
	append(2, 18);
	header = header_of(19);
	header->local.position = cpu_to_le64(the_ring->positions[19] - RING_BLOCKS);
	seal_local(header);
	scan();
	expect_log(test, QBD_LOG_TORN, 18);
	ring_end();
}

/* Good in itself, but of no log: it proves nothing. */
static void an_index_beyond_all_is_not_taken(struct qbd_test *test)
{
	struct qbd_record_header *header;

	QBD_TRUE(test, ring_begin());
	append(2, 18);
	header = header_of(19);
	header->shared.index = cpu_to_le64(1ull << 62);
	header->shared.chain = cpu_to_le32(qbd_record_chain(header, uuid));
	header->local.durable_index = cpu_to_le64(20);
	seal_local(header);
	scan();
	expect_log(test, QBD_LOG_TORN, 18);
	QBD_EQUAL(test, the_ring->scan.damaged_through, 0);
	ring_end();
}

/* Good in itself, but written to another place (accident 42). */
static void a_misdirected_record_is_not_taken(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	memcpy(block_at(the_ring->positions[17]), block_at(the_ring->positions[18]),
	       QBD_BLOCK_SIZE);
	scan();
	expect_log(test, QBD_LOG_TORN, 16);
	/* A copy of an old one far behind proves nothing either. */
	make_ring();
	memset(header_of(18), 0, 512);
	memcpy(block_at(the_ring->position + 5), header_of(16), QBD_BLOCK_SIZE);
	scan();
	expect_log(test, QBD_LOG_TORN, 17);
	ring_end();
}

static void foreign_records_are_not_taken(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	header_of(18)->local.member_id = cpu_to_le32(MEMBER + 1);
	seal_local(header_of(18));
	scan();
	expect_log(test, QBD_LOG_TORN, 17);
	make_ring();
	header_of(18)->shared.chain = cpu_to_le32(qbd_record_chain(header_of(18),
								   other_uuid));
	seal_local(header_of(18));
	scan();
	expect_log(test, QBD_LOG_TORN, 17);
	ring_end();
}

/* Sealed again after each change, so that only what is changed is wrong. */
static void records_follow_each_other(struct qbd_test *test)
{
	for (u32 what = 0; what < 3; what++) {
		struct qbd_record_header *header;

		QBD_TRUE(test, ring_begin());
		header = header_of(18);
		if (what == 0)
			header->shared.index = cpu_to_le64(19);
		else if (what == 1)
			header->shared.term = cpu_to_le64(3);
		else
			header->shared.chain_previous ^= cpu_to_le32(1);
		header->shared.chain = cpu_to_le32(qbd_record_chain(header, uuid));
		seal_local(header);
		scan();
		expect_log(test, QBD_LOG_TORN, 17);
		ring_end();
	}
}

/*
 * The log was cut at 15 and goes on with a shorter record: what was cut off is still
 * there, in part, and says that 15 and 16 were durable.
 */
static void truncated_tail(struct qbd_test *test, u64 new_terms,
			   enum qbd_log_verdict without_state)
{
	struct ring *ring;
	u32 chain;

	QBD_TRUE(test, ring_begin());
	ring = the_ring;
	ring->generation = 1;
	ring->state.log_generation = 1;
	ring->state.truncated_index = 15;
	/* Nothing was written since. */
	scan();
	expect_log(test, QBD_LOG_TORN, 14);
	/* The new 15 and 16 are whole. */
	chain = le32_to_cpu(header_of(14)->shared.chain);
	ring->index = 14;
	ring->position = ring->positions[15];
	ring->chain = chain;
	ring->term += new_terms;
	append(0, 14);
	append(2, 14);
	scan();
	expect_log(test, QBD_LOG_TORN, 16);
	/* The new 16 is torn. */
	block_at(ring->positions[16] + 1)[7] ^= 1;
	scan();
	QBD_EQUAL(test, ring->scan.verdict, QBD_LOG_TORN);
	QBD_EQUAL(test, ring->scan.last_index, 15);
	block_at(ring->positions[16] + 1)[7] ^= 1;
	/*
	 * The slot that told of the cut is lost, and the one before it knows nothing of
	 * it: what was acknowledged since is there all the same.
	 */
	ring->state.log_generation = 0;
	ring->state.truncated_index = 0;
	scan();
	QBD_EQUAL(test, ring->scan.last_index, 16);
	QBD_EQUAL(test, ring->scan.generation, 1);
	ring->state.log_generation = 1;
	ring->state.truncated_index = 15;
	block_at(ring->positions[16] + 1)[7] ^= 1;
	/* And without the state block the old tail speaks. */
	ring->state.log_generation = 0;
	ring->state.truncated_index = 0;
	header_of(15)->local.generation = 0;
	seal_local(header_of(15));
	scan();
	QBD_EQUAL(test, ring->scan.verdict, without_state);
	ring_end();
}

static void a_truncated_tail_is_forgotten(struct qbd_test *test)
{
	truncated_tail(test, 0, QBD_LOG_DAMAGED);
	/* Of an earlier term than the new records, it cannot be behind them. */
	truncated_tail(test, 1, QBD_LOG_TORN);
}

/* A full ring: the next place is the oldest record's. */
static void a_full_ring_ends_at_its_beginning(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	while (the_ring->position + 3 <= FIRST_POSITION + RING_BLOCKS)
		append(2, the_ring->index);
	if (the_ring->position < FIRST_POSITION + RING_BLOCKS)
		append(0, the_ring->index);
	QBD_EQUAL(test, the_ring->position, FIRST_POSITION + RING_BLOCKS);
	scan();
	QBD_EQUAL(test, the_ring->scan.last_index, the_ring->index);
	QBD_EQUAL(test, the_ring->scan.verdict, QBD_LOG_TORN);
	QBD_EQUAL(test, the_ring->scan.next_position, the_ring->position);
	ring_end();
}

/* Whole as it is: no member that keeps to its ring can have written it. */
static void a_record_over_the_oldest_one_is_not_taken(struct qbd_test *test)
{
	u64 last;

	QBD_TRUE(test, ring_begin());
	while (the_ring->position + 3 <= FIRST_POSITION + RING_BLOCKS)
		append(2, the_ring->index);
	last = the_ring->index;
	append(2, last);
	QBD_TRUE(test, the_ring->position > FIRST_POSITION + RING_BLOCKS);
	scan();
	QBD_EQUAL(test, the_ring->scan.base_index, 12);
	QBD_EQUAL(test, the_ring->scan.last_index, last);
	ring_end();
}

/* Rubbish in every place, one after the other: never more than is lost. */
static void damage_anywhere_loses_no_more_than_it_hit(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	for (u64 i = FIRST_POSITION; i < FIRST_POSITION + RING_BLOCKS; i++) {
		u64 hit, last;

		make_ring();
		memset(block_at(i), (int)i, QBD_BLOCK_SIZE);
		hit = 11 + (i - FIRST_POSITION) / 3;
		last = hit <= 12 || hit > 18 ? 18 : hit - 1;
		scan();
		QBD_EQUAL(test, the_ring->scan.last_index, last);
		/* 18 knew that 16 was durable. */
		QBD_EQUAL(test, the_ring->scan.verdict,
			  last < 16 ? QBD_LOG_DAMAGED : QBD_LOG_TORN);
	}
	ring_end();
}

/* 19 makes the device larger, and 20 to 22 write where it has become so. */
static void grow_ring(u64 grow_to)
{
	make_ring();
	the_ring->grow_to = grow_to;
	append(0, 17);
	the_ring->place = DEVICE_BLOCKS + 3;
	append(2, 18);
	append(2, 19);
	append(2, 20);
}

static void the_device_grows_in_the_log(struct qbd_test *test)
{
	QBD_TRUE(test, ring_begin());
	grow_ring(DEVICE_BLOCKS + 5);
	scan();
	expect_log(test, QBD_LOG_TORN, 22);
	QBD_EQUAL(test, the_ring->scan.device_blocks, DEVICE_BLOCKS + 5);
	/* By less than what they write, or not at all. */
	grow_ring(DEVICE_BLOCKS + 4);
	scan();
	QBD_EQUAL(test, the_ring->scan.last_index, 19);
	grow_ring(0);
	scan();
	QBD_EQUAL(test, the_ring->scan.last_index, 19);
	grow_ring(DEVICE_BLOCKS + 5);
	header_of(19)->shared.device_blocks = 0;
	scan();
	QBD_EQUAL(test, the_ring->scan.last_index, 18);
	/* What lies behind the one that is damaged proves that it was acknowledged. */
	QBD_EQUAL(test, the_ring->scan.verdict, QBD_LOG_DAMAGED);
	QBD_EQUAL(test, the_ring->scan.damaged_through, 22);
	ring_end();
}

QBD_SUITE(store_recovery_log,
	  QBD_CASE(the_device_grows_in_the_log),
	  QBD_CASE(a_whole_log_is_found),
	  QBD_CASE(a_torn_tail_is_dropped),
	  QBD_CASE(a_damaged_middle_record_is_not_cut_off),
	  QBD_CASE(a_damaged_last_record_is_known_from_the_state),
	  QBD_CASE(a_commit_index_proves_nothing),
	  QBD_CASE(an_unreadable_record_is_damage),
	  QBD_CASE(damage_in_the_applied_part_is_no_loss),
	  QBD_CASE(damaged_list_in_the_applied_part_is_no_loss),
	  QBD_CASE(a_stale_record_is_not_taken),
	  QBD_CASE(what_follows_the_applied_part_may_be_stale),
	  QBD_CASE(a_stale_lap_is_not_taken),
	  QBD_CASE(an_index_beyond_all_is_not_taken),
	  QBD_CASE(a_misdirected_record_is_not_taken),
	  QBD_CASE(foreign_records_are_not_taken),
	  QBD_CASE(records_follow_each_other),
	  QBD_CASE(a_truncated_tail_is_forgotten),
	  QBD_CASE(a_full_ring_ends_at_its_beginning),
	  QBD_CASE(a_record_over_the_oldest_one_is_not_taken),
	  QBD_CASE(damage_anywhere_loses_no_more_than_it_hit));
