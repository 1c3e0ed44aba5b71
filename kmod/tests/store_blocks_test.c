// SPDX-License-Identifier: GPL-2.0
/*
 * Record headers, superblocks, state blocks and extent blocks: good ones pass,
 * every byte counts, and two copies are judged together as the tables in
 * store/recovery.c say. Runs under KUnit and, with the sanitizers, in userspace
 * (tests/store).
 */
#include "core_test.h"

#ifdef __KERNEL__
#include <linux/slab.h>
#define blocks_alloc(bytes)	kvzalloc(bytes, GFP_KERNEL)
#define blocks_free(memory)	kvfree(memory)
#else
#include <stdlib.h>
#define blocks_alloc(bytes)	calloc(1, bytes)
#define blocks_free(memory)	free(memory)
#endif

#include "../format/check.h"
#include "../store/recovery.h"

#define DISK_BLOCKS	10000u
#define DEVICE_BLOCKS	7000u

static const u8 uuid[QBD_UUID_SIZE] = "0123456789abcde";
static const u8 other_uuid[QBD_UUID_SIZE] = "other device   ";

static struct samples {
	struct qbd_record_header header;
	struct qbd_superblock superblocks[2];
	struct qbd_state_block states[2];
	struct qbd_applied_block applied[2];
	struct qbd_applied_layout layout;
	struct qbd_state state;
	struct qbd_superblock_choice choice;
	u8 exact[QBD_BLOCK_SIZE];
} *samples;

static const u64 positions[2] = { 0, DISK_BLOCKS - 1 };

/* ---- record headers ------------------------------------------------------ */

static void make_header(void)
{
	struct qbd_record_header *header = &samples->header;
	struct qbd_operation *operations = header->operations;

	memset(header, 0, sizeof(*header));
	header->shared.magic = cpu_to_le32(QBD_RECORD_MAGIC);
	header->shared.kind = cpu_to_le16(QBD_RECORD_DATA);
	header->shared.index = cpu_to_le64(5);
	header->shared.term = cpu_to_le64(2);
	header->shared.operation_count = cpu_to_le16(3);
	header->shared.data_blocks = cpu_to_le32(9);
	operations[0].kind = cpu_to_le16(QBD_OPERATION_WRITE);
	operations[0].count = cpu_to_le32(8);
	operations[1].kind = cpu_to_le16(QBD_OPERATION_ZERO);
	operations[1].block = cpu_to_le64(100);
	operations[1].count = cpu_to_le32(DEVICE_BLOCKS - 100);
	operations[2].kind = cpu_to_le16(QBD_OPERATION_WRITE);
	operations[2].block = cpu_to_le64(DEVICE_BLOCKS - 1);
	operations[2].count = cpu_to_le32(1);
}

/* @sealed: with the right chain whatever else it says. */
static int check_header(bool sealed, size_t bytes)
{
	struct qbd_record_header *header = &samples->header;
	const char *reason = NULL;
	int error;

	if (sealed)
		header->shared.chain = cpu_to_le32(qbd_record_chain(header, uuid));
	/* At the end of its memory, so that reading beyond is seen. */
	memcpy(samples->exact + sizeof(samples->exact) - bytes, header, bytes);
	error = qbd_record_header_check((void *)(samples->exact + sizeof(samples->exact) -
						 bytes), bytes, uuid, DEVICE_BLOCKS,
					&reason);
	return error && !reason ? 1 : error;
}

static void a_good_header_passes(struct qbd_test *test)
{
	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	make_header();
	QBD_EQUAL(test, check_header(true, sizeof(samples->header)), 0);
	QBD_EQUAL(test, check_header(true, qbd_record_header_bytes(3)), 0);
	blocks_free(samples);
}

static void every_used_byte_of_a_header_counts(struct qbd_test *test)
{
	u8 *byte;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	make_header();
	QBD_EQUAL(test, check_header(true, sizeof(samples->header)), 0);
	byte = (u8 *)&samples->header;
	for (u32 i = 0; i < qbd_record_header_bytes(3); i++) {
		/* The local part is not this check's. */
		if (i >= sizeof(struct qbd_record_shared) &&
		    i < offsetof(struct qbd_record_header, operations))
			continue;
		byte[i] ^= 1 << i % 8;
		QBD_EQUAL(test, check_header(false, sizeof(samples->header)), -EBADMSG);
		byte[i] ^= 1 << i % 8;
	}
	QBD_EQUAL(test, check_header(false, sizeof(samples->header)), 0);
	/* Nor is it good for another device. */
	samples->header.shared.chain =
		cpu_to_le32(qbd_record_chain(&samples->header, other_uuid));
	QBD_EQUAL(test, check_header(false, sizeof(samples->header)), -EBADMSG);
	blocks_free(samples);
}

static void every_byte_of_the_local_part_counts(struct qbd_test *test)
{
	const struct qbd_state *state;
	const char *reason;
	u8 *byte;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	state = &samples->state;
	make_header();
	QBD_EQUAL(test, check_header(true, sizeof(samples->header)), 0);
	samples->header.local.position = cpu_to_le64(77);
	samples->header.local.member_id = cpu_to_le32(3);
	samples->header.local.checksum =
		cpu_to_le32(qbd_record_local_checksum(&samples->header));
	QBD_TRUE(test, qbd_recovery_local_check(&samples->header, 77, 3, state, &reason));
	QBD_TRUE(test, !qbd_recovery_local_check(&samples->header, 78, 3, state, &reason));
	QBD_TRUE(test, !qbd_recovery_local_check(&samples->header, 77, 4, state, &reason));
	byte = (u8 *)&samples->header;
	for (u32 i = 0; i < qbd_record_header_bytes(3); i++) {
		byte[i] ^= 1 << i % 8;
		/* What counts operations is checked before this is asked. */
		if (i / 2 != offsetof(struct qbd_record_header,
				      shared.operation_count) / 2)
			QBD_TRUE(test, !qbd_recovery_local_check(&samples->header, 77, 3,
								 state, &reason));
		byte[i] ^= 1 << i % 8;
	}
	/* Whoever writes it says what was durable before. */
	for (u32 i = 0; i < 2; i++) {
		samples->header.local.durable_index =
			cpu_to_le64(le64_to_cpu(samples->header.shared.index) - 1 + i);
		samples->header.local.checksum =
			cpu_to_le32(qbd_record_local_checksum(&samples->header));
		QBD_EQUAL(test, qbd_recovery_local_check(&samples->header, 77, 3, state,
							 &reason), !i);
	}
	blocks_free(samples);
}

/* Rightly sealed, but what it says cannot be. */
static void senseless_headers_are_refused(struct qbd_test *test)
{
	struct qbd_record_shared *shared;
	struct qbd_operation *operations;
	u32 what;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	shared = &samples->header.shared;
	operations = samples->header.operations;
	for (what = 0; what < 17; what++) {
		make_header();
		switch (what) {
		case 0:
			shared->index = 0;
			break;
		case 1:
			shared->term = 0;
			break;
		case 2:
			shared->kind = cpu_to_le16(99);
			break;
		case 3:
			shared->kind = cpu_to_le16(QBD_RECORD_NOOP);
			break;
		case 4:
			shared->data_blocks = cpu_to_le32(10);
			break;
		case 5:
			shared->data_blocks = cpu_to_le32(8);
			break;
		case 6:
			shared->data_checksum = cpu_to_le32(1);
			break;
		case 7:
			operations[0].count = 0;
			break;
		case 8:
			operations[0].kind = cpu_to_le16(3);
			break;
		case 9:
			operations[0].outstanding = cpu_to_le16(QBD_SESSION_WINDOW);
			operations[0].sequence = cpu_to_le64(2 * QBD_SESSION_WINDOW);
			break;
		case 10:
			operations[1].count = cpu_to_le32(DEVICE_BLOCKS - 99);
			break;
		case 11:
			operations[1].data_checksum = cpu_to_le32(1);
			break;
		case 12:
			operations[2].block = cpu_to_le64(DEVICE_BLOCKS);
			break;
		case 13:
			operations[2].block = cpu_to_le64(~0ull);
			break;
		case 14:
			operations[0].outstanding = cpu_to_le16(8);
			operations[0].sequence = cpu_to_le64(7);
			break;
		case 15:
			operations[0].sequence = cpu_to_le64(1ULL << 62);
			break;
		default:
			shared->operation_count = 0;
		}
		QBD_EQUAL(test, check_header(true, sizeof(samples->header)), -EBADMSG);
	}
	blocks_free(samples);
}

static void lengths_of_headers_are_bounded(struct qbd_test *test)
{
	struct qbd_record_shared *shared;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	shared = &samples->header.shared;
	make_header();
	QBD_EQUAL(test, check_header(true, qbd_record_header_bytes(3) - 1), -EBADMSG);
	QBD_EQUAL(test, check_header(false, 127), -EBADMSG);
	QBD_EQUAL(test, check_header(false, 0), -EBADMSG);
	shared->operation_count = cpu_to_le16(QBD_OPERATIONS_MAX + 1);
	QBD_EQUAL(test, check_header(false, sizeof(samples->header)), -EBADMSG);
	shared->operation_count = cpu_to_le16(0xffff);
	QBD_EQUAL(test, check_header(false, sizeof(samples->header)), -EBADMSG);
	make_header();
	shared->data_blocks = cpu_to_le32(QBD_RECORD_DATA_BLOCKS_MAX + 1);
	QBD_EQUAL(test, check_header(true, sizeof(samples->header)), -EBADMSG);
	shared->data_blocks = cpu_to_le32(~0u);
	QBD_EQUAL(test, check_header(true, sizeof(samples->header)), -EBADMSG);
	blocks_free(samples);
}

QBD_SUITE(record_header,
	  QBD_CASE(a_good_header_passes),
	  QBD_CASE(every_used_byte_of_a_header_counts),
	  QBD_CASE(every_byte_of_the_local_part_counts),
	  QBD_CASE(senseless_headers_are_refused),
	  QBD_CASE(lengths_of_headers_are_bounded));

/* ---- superblock ---------------------------------------------------------- */

static void seal_superblock(unsigned int copy)
{
	qbd_block_seal(&samples->superblocks[copy], QBD_SUPERBLOCK_MAGIC, uuid,
		       positions[copy]);
}

static void make_superblocks(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct qbd_superblock *superblock = &samples->superblocks[i];

		memset(superblock, 0, sizeof(*superblock));
		superblock->member_id = cpu_to_le32(3);
		superblock->extent_shift = cpu_to_le32(16);
		memcpy(superblock->name, "disk", 5);
		memset(superblock->incarnation, 9, QBD_UUID_SIZE);
		superblock->backing_blocks = cpu_to_le64(DISK_BLOCKS);
		superblock->device_blocks = cpu_to_le64(DEVICE_BLOCKS);
		superblock->extent_table_blocks = cpu_to_le64(2);
		superblock->log_block = cpu_to_le64(512);
		superblock->log_blocks = cpu_to_le64(QBD_LOG_BLOCKS_MIN);
		superblock->data_block = cpu_to_le64(512 + QBD_LOG_BLOCKS_MIN);
		seal_superblock(i);
	}
}

static int choose(bool first, bool second, u64 disk_blocks)
{
	const void *copies[2] = {
		first ? &samples->superblocks[0] : NULL,
		second ? &samples->superblocks[1] : NULL,
	};
	const char *reason = NULL;
	int error;

	memset(&samples->choice, 0xff, sizeof(samples->choice));
	error = qbd_recovery_superblock(copies, positions, disk_blocks, &samples->choice,
					&reason);
	return error && !reason ? 1 : error;
}

static void the_superblock_has_two_copies(struct qbd_test *test)
{
	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	for (u32 bad = 0; bad < 3; bad++) {
		make_superblocks();
		if (bad)
			((u8 *)&samples->superblocks[bad - 1])[4000] ^= 1;
		QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), 0);
		QBD_EQUAL(test, samples->choice.good, bad == 1);
		QBD_EQUAL(test, samples->choice.repair, bad != 0);
		QBD_EQUAL(test, samples->choice.geometry.member_id, 3);
		QBD_EQUAL(test, samples->choice.geometry.extent_count,
			  (DEVICE_BLOCKS + 15) / 16);
	}
	/* One that cannot be read is a damaged one. */
	make_superblocks();
	QBD_EQUAL(test, choose(true, false, DISK_BLOCKS), 0);
	QBD_TRUE(test, samples->choice.repair && !samples->choice.good);
	QBD_EQUAL(test, choose(false, true, DISK_BLOCKS), 0);
	QBD_TRUE(test, samples->choice.repair && samples->choice.good);
	QBD_EQUAL(test, choose(false, false, DISK_BLOCKS), -EUCLEAN);
	blocks_free(samples);
}

static void bad_superblocks_are_told_apart(struct qbd_test *test)
{
	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	make_superblocks();
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS - 1), -EUCLEAN);
	memset(samples->superblocks, 0, sizeof(samples->superblocks));
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EMEDIUMTYPE);
	make_superblocks();
	((u8 *)&samples->superblocks[0])[4000] ^= 1;
	((u8 *)&samples->superblocks[1])[4000] ^= 1;
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EUCLEAN);
	make_superblocks();
	memset(&samples->superblocks[0], 0, QBD_BLOCK_SIZE);
	((u8 *)&samples->superblocks[1])[4000] ^= 1;
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EUCLEAN);
	/* Newer counts before everything else, good checksum or not. */
	make_superblocks();
	samples->superblocks[1].header.version = cpu_to_le32(QBD_FORMAT_VERSION + 1);
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EPROTONOSUPPORT);
	make_superblocks();
	samples->superblocks[0].features_incompatible = cpu_to_le64(4);
	seal_superblock(0);
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EPROTONOSUPPORT);
	/* Two disks mixed. */
	make_superblocks();
	samples->superblocks[1].incarnation[0] ^= 1;
	seal_superblock(1);
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EUCLEAN);
	make_superblocks();
	samples->superblocks[1].member_id = cpu_to_le32(77);
	seal_superblock(1);
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EUCLEAN);
	make_superblocks();
	qbd_block_seal(&samples->superblocks[1], QBD_SUPERBLOCK_MAGIC, other_uuid,
		       DISK_BLOCKS - 1);
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EUCLEAN);
	/* Copies from before and after the disk grew. */
	make_superblocks();
	samples->superblocks[0].backing_blocks = cpu_to_le64(DISK_BLOCKS - 1);
	seal_superblock(0);
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EUCLEAN);
	/* Misdirected: the second copy in the first one's place. */
	make_superblocks();
	memcpy(&samples->superblocks[0], &samples->superblocks[1], QBD_BLOCK_SIZE);
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), 0);
	QBD_EQUAL(test, samples->choice.good, 1);
	blocks_free(samples);
}

static void set_field(struct qbd_superblock *superblock, u32 what)
{
	switch (what) {
	case 0:
		superblock->member_id = 0;
		break;
	case 1:
		superblock->extent_shift = cpu_to_le32(QBD_EXTENT_SHIFT_MAX + 1);
		break;
	case 2:
		superblock->extent_shift = 0;
		break;
	case 3:
		superblock->name[0] = 0;
		break;
	case 4:
		memset(superblock->name, 'x', QBD_NAME_SIZE);
		break;
	case 5:
		superblock->device_blocks = 0;
		break;
	case 6:
		superblock->device_blocks = cpu_to_le64(~0ull);
		break;
	case 7:
		superblock->extent_table_blocks = cpu_to_le64(1);
		break;
	case 8:
		superblock->log_block = cpu_to_le64(256);
		break;
	case 9:
		superblock->log_block = cpu_to_le64(513);
		break;
	case 10:
		superblock->log_blocks = cpu_to_le64(QBD_LOG_BLOCKS_MIN - 1);
		break;
	case 11:
		superblock->log_blocks = cpu_to_le64(~0ull);
		break;
	case 12:
		superblock->data_block = cpu_to_le64(QBD_LOG_BLOCKS_MIN);
		break;
	case 13:
		superblock->data_block = cpu_to_le64(~0ull << 8);
		break;
	case 14:
		superblock->log_block = cpu_to_le64(~0ull << 8);
		break;
	case 15:
		superblock->data_block = cpu_to_le64(le64_to_cpu(superblock->data_block) + 1);
		break;
	case 16:
		superblock->backing_blocks = cpu_to_le64(~0ull);
		break;
	case 17:
		superblock->extent_table_blocks = cpu_to_le64(~0ull);
		break;
	default:
		superblock->backing_blocks = cpu_to_le64(9560);
	}
}

/* What there is no room for is not there; whose disk it is both copies say. */
static void no_data_is_nowhere(struct qbd_test *test, u64 features)
{
	struct qbd_superblock *superblock;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	for (u32 what = 0; what < 7; what++) {
		make_superblocks();
		for (u32 i = 0; i < 2; i++) {
			superblock = &samples->superblocks[i];
			/* 4: the copies differ. 5: a table. 6: a log that ends with the disk. */
			if (what == 4 && i)
				break;
			superblock->features_incompatible =
				cpu_to_le64(features);
			superblock->extent_table_blocks =
				cpu_to_le64(what == 1 || what == 5 ? 2 : 0);
			if (what != 2)
				superblock->data_block = 0;
			superblock->log_block = cpu_to_le64(what == 3 ? 0 : what == 5 ? 512 : 256);
			if (what == 6)
				superblock->log_blocks = cpu_to_le64(DISK_BLOCKS - 256);
			seal_superblock(i);
		}
		QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), what ? -EUCLEAN : 0);
		if (what)
			continue;
		QBD_TRUE(test, samples->choice.geometry.no_data);
		QBD_EQUAL(test, samples->choice.geometry.client,
			  !!(features & QBD_FEATURE_CLIENT));
		QBD_EQUAL(test, samples->choice.geometry.extent_count, 0);
		QBD_EQUAL(test, samples->choice.geometry.device_blocks, DEVICE_BLOCKS);
	}
	/* Nor is it nowhere at a member that has data. */
	make_superblocks();
	for (u32 i = 0; i < 2; i++) {
		samples->superblocks[i].data_block = 0;
		seal_superblock(i);
	}
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EUCLEAN);
	blocks_free(samples);
}

static void a_witness_has_no_data(struct qbd_test *test)
{
	no_data_is_nowhere(test, QBD_FEATURE_NO_DATA);
}

/* Nor has a client; and one that has it, or copies that do not agree about it, are none. */
static void a_client_has_no_data(struct qbd_test *test)
{
	no_data_is_nowhere(test, QBD_FEATURE_NO_DATA | QBD_FEATURE_CLIENT);
	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	for (u32 what = 0; what < 2; what++) {
		make_superblocks();
		for (u32 i = 0; i < 2; i++) {
			struct qbd_superblock *superblock = &samples->superblocks[i];

			superblock->features_incompatible =
				cpu_to_le64(what ? QBD_FEATURE_NO_DATA |
					    (i ? QBD_FEATURE_CLIENT : 0) : QBD_FEATURE_CLIENT);
			if (what) {
				superblock->extent_table_blocks = 0;
				superblock->data_block = 0;
				superblock->log_block = cpu_to_le64(256);
			}
			seal_superblock(i);
		}
		QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EUCLEAN);
	}
	blocks_free(samples);
}

static void senseless_superblocks_are_refused(struct qbd_test *test)
{
	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	for (u32 what = 0; what < 19; what++) {
		make_superblocks();
		for (u32 i = 0; i < 2; i++) {
			set_field(&samples->superblocks[i], what);
			seal_superblock(i);
		}
		QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), -EUCLEAN);
	}
	blocks_free(samples);
}

static int choose_named(const char *name)
{
	make_superblocks();
	for (u32 i = 0; i < 2; i++) {
		memset(samples->superblocks[i].name, 0, QBD_NAME_SIZE);
		memcpy(samples->superblocks[i].name, name, strlen(name));
		seal_superblock(i);
	}
	return choose(true, true, DISK_BLOCKS);
}

/* A name goes into paths, the kernel's log and udev's rules as it is. */
static void names_are_words(struct qbd_test *test)
{
	static const char * const good[] = { "a", "Z9", "0", "vol-0_x.y", "a..", "a-",
					     NULL };
	static const char * const bad[] = {
		"", "/", "a/b", "../../etc/x", "..", ".", "-a", "_a", ".a", "a b", "a\n",
		"a\x1b[2J", "a\"b", "a$b", "a@b", "a[b", "a`b", "a{b", "\xc3\xa9", "a\x7f",
		NULL
	};

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	for (u32 i = 0; good[i]; i++)
		QBD_EQUAL(test, choose_named(good[i]), 0);
	for (u32 i = 0; bad[i]; i++)
		QBD_EQUAL(test, choose_named(bad[i]), -EUCLEAN);
	QBD_EQUAL(test, qbd_name_check("abc", 4), QBD_NAME_GOOD);
	QBD_EQUAL(test, qbd_name_check("abcd", 4), QBD_NAME_LONG);
	blocks_free(samples);
}

/* Where things lie on a disk as large as it takes; which it is if it passes. */
static int choose_large(u64 extents, u64 log_blocks)
{
	u64 backing = 0;

	make_superblocks();
	for (u32 i = 0; i < 2; i++) {
		struct qbd_superblock *superblock = &samples->superblocks[i];
		u64 table = div64_u64(extents + QBD_EXTENTS_PER_BLOCK - 1,
				      QBD_EXTENTS_PER_BLOCK);
		u64 log = (QBD_EXTENT_TABLE_BLOCK + table + 255) & ~255ull;
		u64 data = (log + log_blocks + 255) & ~255ull;

		backing = data + extents * 16 + 1;
		superblock->device_blocks = cpu_to_le64(extents * 16);
		superblock->extent_table_blocks = cpu_to_le64(table);
		superblock->log_block = cpu_to_le64(log);
		superblock->log_blocks = cpu_to_le64(log_blocks);
		superblock->data_block = cpu_to_le64(data);
		superblock->backing_blocks = cpu_to_le64(backing);
		qbd_block_seal(superblock, QBD_SUPERBLOCK_MAGIC, uuid,
			       i ? DISK_BLOCKS - 1 : 0);
	}
	return choose(true, true, backing);
}

/* How large it may become: as the table has room for, memory, and the disk. */
static void a_device_has_room_to_grow(struct qbd_test *test)
{
	struct qbd_geometry *geometry;
	u64 data, most = 2 * QBD_EXTENTS_PER_BLOCK * 16;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	geometry = &samples->choice.geometry;
	make_superblocks();
	QBD_EQUAL(test, choose(true, true, DISK_BLOCKS), 0);
	data = geometry->data_block;
	QBD_EQUAL(test, qbd_geometry_most(geometry), most);
	QBD_EQUAL(test, qbd_geometry_room(geometry, data + 1 + most - 1), most - 1);
	QBD_EQUAL(test, qbd_geometry_room(geometry, data + 1 + most + 1), most);
	/* One that has shrunk until there is not even the second superblock. */
	QBD_EQUAL(test, qbd_geometry_room(geometry, data + 1), 0);
	QBD_EQUAL(test, qbd_geometry_room(geometry, data), 0);
	QBD_EQUAL(test, qbd_geometry_room(geometry, 0), 0);
	/* Neither smaller, nor beyond the table; and what is refused changes nothing. */
	QBD_TRUE(test, !qbd_geometry_grow(geometry, DEVICE_BLOCKS - 1));
	QBD_TRUE(test, !qbd_geometry_grow(geometry, most + 1));
	QBD_EQUAL(test, geometry->device_blocks, DEVICE_BLOCKS);
	QBD_TRUE(test, qbd_geometry_grow(geometry, most));
	QBD_EQUAL(test, geometry->device_blocks, most);
	QBD_EQUAL(test, geometry->extent_count, 2 * QBD_EXTENTS_PER_BLOCK);
	QBD_EQUAL(test, geometry->table_blocks_used, 2);
	/* A table for more extents than memory can hold. */
	geometry->extent_table_blocks = QBD_EXTENTS_MAX / QBD_EXTENTS_PER_BLOCK + 1;
	QBD_EQUAL(test, qbd_geometry_most(geometry), QBD_EXTENTS_MAX * 16ull);
	/* Who keeps no data needs no room for it. */
	geometry->no_data = true;
	QBD_EQUAL(test, qbd_geometry_room(geometry, 0), QBD_DEVICE_BLOCKS_MAX);
	blocks_free(samples);
}

/* A member holds the changes of all extents and an index of the log in memory. */
static void what_no_memory_can_hold_is_refused(struct qbd_test *test)
{
	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	QBD_EQUAL(test, choose_large(QBD_EXTENTS_MAX, QBD_LOG_BLOCKS_MIN), 0);
	QBD_EQUAL(test, choose_large(QBD_EXTENTS_MAX + 1ull, QBD_LOG_BLOCKS_MIN), -EUCLEAN);
	QBD_EQUAL(test, choose_large(16, QBD_LOG_BLOCKS_MAX), 0);
	QBD_EQUAL(test, choose_large(16, QBD_LOG_BLOCKS_MAX + 1ull), -EUCLEAN);
	blocks_free(samples);
}

static void addresses_are_the_same_for_all(struct qbd_test *test)
{
	static const struct {
		u16 family;
		u16 port;
		u32 scope;
		u8 bytes[16];
		enum qbd_address_verdict verdict;
	} cases[] = {
		{ 4, 1, 0, { 192, 0, 2, 1 }, QBD_ADDRESS_GOOD },
		{ 4, 1, 0, { 169, 254, 0, 1 }, QBD_ADDRESS_GOOD },
		{ 4, 1, 1, { 192, 0, 2, 1 }, QBD_ADDRESS_SCOPE },
		{ 4, 0, 0, { 192, 0, 2, 1 }, QBD_ADDRESS_PORT },
		{ 5, 1, 0, { 192, 0, 2, 1 }, QBD_ADDRESS_FAMILY },
		{ 4, 1, 0, { 0 }, QBD_ADDRESS_UNSPECIFIED },
		{ 4, 1, 0, { 0, 0, 0, 1 }, QBD_ADDRESS_RESERVED },
		{ 4, 1, 0, { 224 }, QBD_ADDRESS_MULTICAST },
		{ 4, 1, 0, { 239, 255 }, QBD_ADDRESS_MULTICAST },
		{ 4, 1, 0, { 255, 255, 255, 255 }, QBD_ADDRESS_RESERVED },
		{ 6, 1, 0, { 0x20, 1, 0xd, 0xb8, [15] = 1 }, QBD_ADDRESS_GOOD },
		{ 6, 1, 0, { 0xfd, [15] = 1 }, QBD_ADDRESS_GOOD },
		{ 6, 1, 0, { [15] = 1 }, QBD_ADDRESS_GOOD },
		{ 6, 1, 2, { 0xfe, 0x80, [15] = 1 }, QBD_ADDRESS_SCOPE },
		{ 6, 1, 0, { 0xfe, 0x80, [15] = 1 }, QBD_ADDRESS_LINK_LOCAL },
		{ 6, 1, 0, { 0xfe, 0xbf, [15] = 1 }, QBD_ADDRESS_LINK_LOCAL },
		{ 6, 1, 0, { 0xfe, 0xc0, [15] = 1 }, QBD_ADDRESS_GOOD },
		{ 6, 1, 0, { 0xff, 2, [15] = 1 }, QBD_ADDRESS_MULTICAST },
		{ 6, 1, 0, { 0 }, QBD_ADDRESS_UNSPECIFIED },
		{ 6, 1, 0, { [10] = 0xff, 0xff, 192, 0, 2, 1 }, QBD_ADDRESS_MAPPED },
		{ 0 }
	};

	for (u32 i = 0; cases[i].family; i++) {
		struct qbd_address address = {
			.family = cpu_to_le16(cases[i].family),
			.port = cpu_to_le16(cases[i].port),
			.scope = cpu_to_le32(cases[i].scope),
		};

		memcpy(address.bytes, cases[i].bytes, sizeof(address.bytes));
		QBD_EQUAL(test, qbd_address_check(&address), cases[i].verdict);
	}
}

static void every_byte_of_a_superblock_counts(struct qbd_test *test)
{
	struct qbd_geometry geometry;
	const char *reason;
	u8 *byte;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	make_superblocks();
	byte = (u8 *)&samples->superblocks[0];
	for (u32 i = 0; i < QBD_BLOCK_SIZE; i++) {
		byte[i] ^= 1 << i % 8;
		QBD_TRUE(test, qbd_superblock_check(byte, 0, &geometry, &reason) !=
			 QBD_BLOCK_GOOD);
		byte[i] ^= 1 << i % 8;
	}
	QBD_EQUAL(test, qbd_superblock_check(byte, 0, &geometry, &reason), QBD_BLOCK_GOOD);
	blocks_free(samples);
}

/* ---- state blocks -------------------------------------------------------- */

static void make_state(unsigned int slot, u64 sequence)
{
	struct qbd_state *state = &samples->state;

	memset(state, 0, sizeof(*state));
	state->sequence = sequence;
	state->term = sequence * 10;
	state->vote = 2;
	state->log_first_index = 1;
	state->applied_index = 4;
	state->applied_position = 8;
	state->membership.count = cpu_to_le32(2);
	state->membership.next_member_id = cpu_to_le32(3);
	state->membership.members[0].id = cpu_to_le32(1);
	state->membership.members[1].id = cpu_to_le32(2);
	state->applied_membership = state->membership;
	qbd_state_encode(state, uuid, QBD_STATE_SLOT_BLOCK(slot), &samples->states[slot]);
	memset(&samples->layout, 0, sizeof(samples->layout));
	for (u32 i = 0; i < 2; i++) {
		samples->layout.sessions[i].origin = cpu_to_le32(i + 1);
		samples->layout.sessions[i].session = cpu_to_le64(7);
		samples->layout.sessions[i].below = cpu_to_le64(sequence);
	}
	qbd_applied_encode(&samples->layout, sequence, uuid, QBD_APPLIED_BLOCK(slot),
			   &samples->applied[slot]);
}

static int choose_state(bool first, bool second, unsigned int *slot)
{
	const void *slots[2] = {
		first ? &samples->states[0] : NULL,
		second ? &samples->states[1] : NULL,
	};
	const void *applied[2] = {
		first ? &samples->applied[0] : NULL,
		second ? &samples->applied[1] : NULL,
	};
	const char *reason = NULL;
	int error;

	error = qbd_recovery_state(slots, applied, uuid, &samples->state, slot, &reason);
	return error && !reason ? 1 : error;
}

static void the_newest_state_counts(struct qbd_test *test)
{
	unsigned int slot;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	make_state(0, 5);
	make_state(1, 6);
	QBD_EQUAL(test, choose_state(true, true, &slot), 0);
	QBD_EQUAL(test, slot, 1);
	QBD_EQUAL(test, samples->state.term, 60);
	make_state(0, 7);
	QBD_EQUAL(test, choose_state(true, true, &slot), 0);
	QBD_EQUAL(test, slot, 0);
	QBD_EQUAL(test, samples->state.term, 70);
	/* Torn: the one before. */
	((u8 *)&samples->states[0])[2000] ^= 1;
	QBD_EQUAL(test, choose_state(true, true, &slot), 0);
	QBD_EQUAL(test, slot, 1);
	QBD_EQUAL(test, samples->state.term, 60);
	QBD_EQUAL(test, choose_state(false, true, &slot), 0);
	QBD_EQUAL(test, choose_state(true, false, &slot), -EUCLEAN);
	QBD_EQUAL(test, choose_state(false, false, &slot), -EUCLEAN);
	blocks_free(samples);
}

static void bad_states_are_refused(struct qbd_test *test)
{
	unsigned int slot;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	make_state(0, 5);
	samples->states[0].header.version = cpu_to_le32(QBD_FORMAT_VERSION + 1);
	make_state(1, 4);
	QBD_EQUAL(test, choose_state(true, true, &slot), -EPROTONOSUPPORT);
	/* Of a format that never was, though its checksum is right. */
	make_state(0, 5);
	samples->states[0].header.version = 0;
	samples->states[0].header.checksum =
		cpu_to_le32(qbd_block_checksum(&samples->states[0]));
	make_state(1, 4);
	QBD_EQUAL(test, choose_state(true, true, &slot), 0);
	QBD_EQUAL(test, slot, 1);
	/* Another device's, in its place and whole. */
	make_state(0, 5);
	qbd_state_encode(&samples->state, other_uuid, QBD_STATE_SLOT_BLOCK(0),
			 &samples->states[0]);
	QBD_EQUAL(test, choose_state(true, true, &slot), 0);
	QBD_EQUAL(test, slot, 1);
	/* A configuration that is none. */
	for (u32 what = 0; what < 5; what++) {
		struct qbd_membership_layout *membership = &samples->state.membership;

		make_state(0, 5);
		if (what == 0)
			membership->count = 0;
		else if (what == 1)
			membership->count = cpu_to_le32(QBD_MEMBERS_MAX + 1);
		else if (what == 2)
			membership->members[1].id = cpu_to_le32(1);
		else if (what == 3)
			membership->next_member_id = cpu_to_le32(2);
		else
			memset(membership->members[0].name, 'x', QBD_MEMBER_NAME_SIZE);
		qbd_state_encode(&samples->state, uuid, QBD_STATE_SLOT_BLOCK(0),
				 &samples->states[0]);
		QBD_EQUAL(test, choose_state(true, false, &slot), -EUCLEAN);
	}
	blocks_free(samples);
}

static bool is_refused(const struct qbd_state *state)
{
	unsigned int slot;

	qbd_state_encode(state, uuid, QBD_STATE_SLOT_BLOCK(0), &samples->states[0]);
	return choose_state(true, false, &slot) == -EUCLEAN;
}

static void indexes_that_cannot_be_are_refused(struct qbd_test *test)
{
	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	make_state(0, 5);
	samples->state.log_first_index = 6;
	QBD_TRUE(test, is_refused(&samples->state));
	samples->state.log_first_index = 0;
	QBD_TRUE(test, is_refused(&samples->state));
	/* Positions that nobody comes to, or before the log; flags of another module; a size. */
	for (u32 what = 0; what < 6; what++) {
		make_state(0, 5);
		if (what == 0)
			samples->state.log_first_position = 1ULL << 63;
		else if (what == 1)
			samples->state.applied_position = 1ULL << 63;
		else if (what == 2)
			samples->state.log_first_position = samples->state.applied_position + 1;
		else if (what == 3)
			samples->state.flags = 1u << 31;
		else if (what == 4)
			samples->state.device_blocks = QBD_DEVICE_BLOCKS_MAX + 1;
		else
			samples->state.applied_membership.count = 0;
		QBD_TRUE(test, is_refused(&samples->state));
	}
	/* A move to where nobody can be, of one that was never asked for, and half of none. */
	for (u32 what = 0; what < 7; what++) {
		struct qbd_move_layout *move = &samples->state.move;

		make_state(0, 5);
		move->address.family = cpu_to_le16(what == 0 ? 5 : what == 1 ? 0 : 4);
		move->address.port = cpu_to_le16(what == 2 ? 0 : 7901);
		memset(move->address.bytes, 10, 4);
		move->leader = cpu_to_le32(what == 3 ? 0 : 2);
		move->term = cpu_to_le64(what == 4 ? 0 : 7);
		move->reserved = cpu_to_le32(what == 5);
		QBD_EQUAL(test, is_refused(&samples->state), what != 6);
	}
	QBD_EQUAL(test, le16_to_cpu(samples->state.move.address.port), 7901);
	/* Nor where nothing is applied: the log may begin there all the same. */
	for (u32 what = 0; what < 4; what++) {
		make_state(0, 5);
		samples->state.applied_index = 0;
		samples->state.applied_position = 0;
		if (what == 1)
			samples->state.applied_position = 1ULL << 63;
		else if (what == 2)
			samples->state.log_first_position = 1;
		else if (what == 3)
			samples->state.applied_membership.count = 0;
		QBD_EQUAL(test, is_refused(&samples->state), what != 0);
	}
	/* With these nothing could follow any more. */
	for (u32 what = 0; what < 3; what++) {
		make_state(0, 5);
		*(what == 0 ? &samples->state.applied_index :
		  what == 1 ? &samples->state.durable_index :
			      &samples->state.commit_index) = 1ULL << 62;
		QBD_TRUE(test, is_refused(&samples->state));
	}
	/* A log that was closed at 3 has no entry 4 that could be applied. */
	make_state(0, 5);
	samples->state.flags = QBD_STATE_CLEAN;
	samples->state.durable_index = 3;
	QBD_TRUE(test, is_refused(&samples->state));
	make_state(0, 5);
	samples->state.flags = QBD_STATE_CLEAN;
	samples->state.durable_index = 4;
	QBD_TRUE(test, !is_refused(&samples->state));
	/* Of one that was not, the state block need not know of all that is durable. */
	make_state(0, 5);
	samples->state.durable_index = 3;
	QBD_TRUE(test, !is_refused(&samples->state));
	blocks_free(samples);
}

static const char *membership_reason(const struct qbd_membership_layout *membership)
{
	const char *reason = NULL;

	return qbd_membership_good(membership, &reason) ? "" : reason;
}

/* One rule for what comes from a disk and what comes from another member. */
static void member_lists_are_told_apart(struct qbd_test *test)
{
	struct qbd_membership_layout *membership;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	membership = &samples->state.membership;
	make_state(0, 5);
	QBD_TRUE(test, !strcmp(membership_reason(membership), ""));
	membership->next_member_id = 0;
	QBD_TRUE(test, !strcmp(membership_reason(membership),
			       "member id that was never given"));
	make_state(0, 5);
	membership->members[0].id = cpu_to_le32(2);
	membership->members[1].id = cpu_to_le32(1);
	QBD_TRUE(test, !strcmp(membership_reason(membership), "member ids not in order"));
	make_state(0, 5);
	membership->members[0].id = 0;
	QBD_TRUE(test, !strcmp(membership_reason(membership), "member ids not in order"));
	make_state(0, 5);
	memset(membership->members[1].name, 'x', QBD_MEMBER_NAME_SIZE);
	QBD_TRUE(test, !strcmp(membership_reason(membership),
			       "member name not terminated"));
	/* The last byte is looked at, whatever is before it. */
	membership->members[1].name[0] = 0;
	QBD_TRUE(test, !strcmp(membership_reason(membership),
			       "member name not terminated"));
	make_state(0, 5);
	membership->count = cpu_to_le32(QBD_MEMBERS_MAX + 1);
	QBD_TRUE(test, !strcmp(membership_reason(membership),
			       "member count out of range"));
	blocks_free(samples);
}

/* The plan of a fill comes back as it was; that of one which is not under way is none. */
static void what_is_to_be_filled_is_kept(struct qbd_test *test)
{
	static const struct qbd_fill_plan plans[] = {
		{ .base = 3, .end = QBD_FILL_TO_THE_END },
		{ .base = 3, .end = QBD_FILL_TO_THE_END, .again_base = 7, .again_end = 40 },
		{ .base = 7, .end = 40 },
	};
	const char *reason;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	for (u32 i = 0; i < 6; i++) {
		struct qbd_state_block *block = &samples->states[0];
		const struct qbd_fill_plan *plan = &plans[i % 3];
		static struct qbd_state found;
		bool filling = i < 3;

		make_state(0, 5);
		samples->state.flags = filling ? QBD_STATE_FILLING : 0;
		samples->state.fill_plan = *plan;
		qbd_state_encode(&samples->state, uuid, QBD_STATE_SLOT_BLOCK(0), block);
		QBD_EQUAL(test, !(le32_to_cpu(block->flags) & QBD_STATE_FILL_AGAIN),
			  !filling || i == 0);
		QBD_EQUAL(test, qbd_state_check(block, QBD_STATE_SLOT_BLOCK(0), uuid, &found,
						&reason), QBD_BLOCK_GOOD);
		QBD_EQUAL(test, found.fill_plan.base, plan->base);
		QBD_EQUAL(test, found.fill_plan.end, filling ? plan->end : QBD_FILL_TO_THE_END);
		QBD_EQUAL(test, found.fill_plan.again_base, filling ? plan->again_base : 0);
		QBD_EQUAL(test, found.fill_plan.again_end, filling ? plan->again_end : 0);
	}
	/* There is no such thing without a fill. */
	samples->states[0].flags = cpu_to_le32(QBD_STATE_FILL_AGAIN);
	samples->states[0].header.checksum =
		cpu_to_le32(qbd_block_checksum(&samples->states[0]));
	QBD_EQUAL(test, qbd_state_check(&samples->states[0], QBD_STATE_SLOT_BLOCK(0), uuid,
					&samples->state, &reason), QBD_BLOCK_DAMAGED);
	blocks_free(samples);
}

/* Each row of the table in store/fill_plan.h. */
static void a_plan_of_two_ranges(struct qbd_test *test)
{
	struct qbd_fill_plan plan;

	qbd_fill_plan_begin(&plan, 10);
	QBD_TRUE(test, plan.base == 10 && plan.end == QBD_FILL_TO_THE_END && !plan.again_end);
	QBD_TRUE(test, !qbd_fill_plan_next(&plan));
	/* Nothing was filled yet. */
	qbd_fill_plan_reset(&plan, 0, 20);
	QBD_TRUE(test, plan.base == 10 && !plan.again_end);
	QBD_TRUE(test, !qbd_fill_plan_next(&plan));
	/* The range below the cursor grows, and keeps the older base. */
	qbd_fill_plan_reset(&plan, 5, 30);
	QBD_TRUE(test, plan.base == 10 && plan.again_end == 5 && plan.again_base == 30);
	qbd_fill_plan_reset(&plan, 5, 35);
	QBD_TRUE(test, plan.base == 10 && plan.again_end == 5 && plan.again_base == 30);
	qbd_fill_plan_reset(&plan, 8, 40);
	QBD_TRUE(test, plan.base == 10 && plan.again_end == 8 && plan.again_base == 30);
	QBD_TRUE(test, plan.end == QBD_FILL_TO_THE_END);
	/* The second range, and a reset in it: what lies behind is filled, but older now. */
	QBD_TRUE(test, qbd_fill_plan_next(&plan));
	QBD_TRUE(test, plan.base == 30 && plan.end == 8 && !plan.again_end);
	qbd_fill_plan_reset(&plan, 6, 50);
	QBD_TRUE(test, plan.base == 30 && plan.end == QBD_FILL_TO_THE_END);
	QBD_TRUE(test, plan.again_end == 6 && plan.again_base == 50);
	QBD_TRUE(test, qbd_fill_plan_next(&plan));
	QBD_TRUE(test, plan.base == 50 && plan.end == 6);
	QBD_TRUE(test, !qbd_fill_plan_next(&plan));
}

static void every_byte_of_a_state_counts(struct qbd_test *test)
{
	const char *reason;
	u8 *byte;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	make_state(0, 5);
	byte = (u8 *)&samples->states[0];
	for (u32 i = 0; i < QBD_BLOCK_SIZE; i++) {
		byte[i] ^= 1 << i % 8;
		QBD_TRUE(test, qbd_state_check(byte, QBD_STATE_SLOT_BLOCK(0), uuid,
					       &samples->state, &reason) !=
			 QBD_BLOCK_GOOD);
		byte[i] ^= 1 << i % 8;
	}
	QBD_EQUAL(test, qbd_state_check(byte, QBD_STATE_SLOT_BLOCK(0), uuid,
					&samples->state, &reason), QBD_BLOCK_GOOD);
	QBD_TRUE(test, qbd_state_check(byte, QBD_STATE_SLOT_BLOCK(1), uuid,
				       &samples->state, &reason) != QBD_BLOCK_GOOD);
	blocks_free(samples);
}

/* A slot is one: both blocks are good and of one write, or the other slot counts. */
static void both_blocks_of_a_slot_count(struct qbd_test *test)
{
	unsigned int slot;
	u8 *byte;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	make_state(0, 5);
	make_state(1, 6);
	byte = (u8 *)&samples->applied[1];
	for (u32 i = 0; i < QBD_BLOCK_SIZE; i++) {
		byte[i] ^= 1 << i % 8;
		/* Of a version to come: that is not passed over. */
		QBD_EQUAL(test, choose_state(true, true, &slot),
			  i >= 4 && i < 8 ? -EPROTONOSUPPORT : 0);
		QBD_TRUE(test, (i >= 4 && i < 8) || slot == 0);
		byte[i] ^= 1 << i % 8;
	}
	QBD_EQUAL(test, choose_state(true, true, &slot), 0);
	QBD_EQUAL(test, slot, 1);
	/* Of the write before, whole; of another device; of the other slot; not read. */
	for (u32 what = 0; what < 4; what++) {
		const void *slots[2] = { &samples->states[0], &samples->states[1] };
		const void *applied[2] = { &samples->applied[0], &samples->applied[1] };
		const char *reason;

		make_state(0, 5);
		make_state(1, 6);
		qbd_applied_encode(&samples->layout, what == 0 ? 4 : 6,
				   what == 1 ? other_uuid : uuid,
				   QBD_APPLIED_BLOCK(what == 2 ? 0 : 1),
				   &samples->applied[1]);
		if (what == 3)
			applied[1] = NULL;
		QBD_EQUAL(test, qbd_recovery_state(slots, applied, uuid, &samples->state,
						   &slot, &reason), 0);
		QBD_EQUAL(test, slot, 0);
		QBD_EQUAL(test, samples->state.term, 50);
		/* What is written next is no second half of it. */
		QBD_EQUAL(test, samples->state.sequence, 6);
	}
	blocks_free(samples);
}

static void sessions_that_cannot_be_are_refused(struct qbd_test *test)
{
	const char *reason;
	unsigned int slot;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	for (u32 what = 0; what < 8; what++) {
		struct qbd_session_layout *sessions = samples->layout.sessions;

		make_state(0, 5);
		if (what == 1)
			sessions[1].origin = sessions[0].origin;
		else if (what == 2)
			sessions[0].below = cpu_to_le64(1ULL << 62);
		else if (what == 3)
			sessions[0].reserved = cpu_to_le32(1);
		else if (what == 4)
			sessions[5].below = cpu_to_le64(1);
		else if (what == 5)
			sessions[15].logged[127] = 1;
		else if (what == 6)
			sessions[2].session = cpu_to_le64(1);
		else if (what == 7)
			samples->layout.claim.epoch = cpu_to_le64(1ULL << 62);
		QBD_EQUAL(test, qbd_applied_good(&samples->layout, &reason), what == 0);
		qbd_applied_encode(&samples->layout, 5, uuid, QBD_APPLIED_BLOCK(0),
				   &samples->applied[0]);
		QBD_EQUAL(test, choose_state(true, false, &slot), what ? -EUCLEAN : 0);
	}
	blocks_free(samples);
}

static void extent_blocks_are_checked(struct qbd_test *test)
{
	u8 *byte;

	samples = blocks_alloc(sizeof(*samples));
	QBD_TRUE(test, samples);
	byte = samples->exact;
	qbd_block_seal(byte, QBD_EXTENTS_MAGIC, uuid, QBD_EXTENT_TABLE_BLOCK + 1);
	QBD_EQUAL(test, qbd_extent_block_check(byte, QBD_EXTENT_TABLE_BLOCK + 1, uuid),
		  QBD_BLOCK_GOOD);
	QBD_TRUE(test, qbd_extent_block_check(byte, QBD_EXTENT_TABLE_BLOCK, uuid) !=
		 QBD_BLOCK_GOOD);
	QBD_TRUE(test, qbd_extent_block_check(byte, QBD_EXTENT_TABLE_BLOCK + 1,
					      other_uuid) != QBD_BLOCK_GOOD);
	for (u32 i = 0; i < QBD_BLOCK_SIZE; i += 3) {
		byte[i] ^= 1 << i % 8;
		QBD_TRUE(test, qbd_extent_block_check(byte, QBD_EXTENT_TABLE_BLOCK + 1,
						      uuid) != QBD_BLOCK_GOOD);
		byte[i] ^= 1 << i % 8;
	}
	blocks_free(samples);
}

QBD_SUITE(store_blocks,
	  QBD_CASE(the_superblock_has_two_copies),
	  QBD_CASE(bad_superblocks_are_told_apart),
	  QBD_CASE(senseless_superblocks_are_refused),
	  QBD_CASE(a_witness_has_no_data),
	  QBD_CASE(a_client_has_no_data),
	  QBD_CASE(names_are_words),
	  QBD_CASE(a_device_has_room_to_grow),
	  QBD_CASE(what_no_memory_can_hold_is_refused),
	  QBD_CASE(addresses_are_the_same_for_all),
	  QBD_CASE(every_byte_of_a_superblock_counts),
	  QBD_CASE(the_newest_state_counts),
	  QBD_CASE(bad_states_are_refused),
	  QBD_CASE(indexes_that_cannot_be_are_refused),
	  QBD_CASE(member_lists_are_told_apart),
	  QBD_CASE(what_is_to_be_filled_is_kept),
	  QBD_CASE(a_plan_of_two_ranges),
	  QBD_CASE(every_byte_of_a_state_counts),
	  QBD_CASE(both_blocks_of_a_slot_count),
	  QBD_CASE(sessions_that_cannot_be_are_refused),
	  QBD_CASE(extent_blocks_are_checked));
