// SPDX-License-Identifier: GPL-2.0
/* A store on a test disk and a model of it; see store_rig.h. */
#include <linux/mm.h>
#include <linux/slab.h>

#include "../store/layout.h"
#include "store_rig.h"

#define RIG_MEMBER	3

static void rig_kick(void *context)
{
	struct store_rig *rig = context;

	WRITE_ONCE(rig->kicked, true);
	wake_up(&rig->wait);
}

static struct rig_entry *rig_find(struct store_rig *rig, u64 index, u32 chain)
{
	u32 i = rig->history_count;

	while (i--)
		if (rig->history[i].index == index && rig->history[i].chain == chain)
			return &rig->history[i];
	return NULL;
}

/* Into @rig->applied what is applied at @index, and never the same at another one. */
static void applied_at(struct store_rig *rig, u64 index)
{
	struct qbd_session_layout *session = &rig->applied.sessions[index % QBD_MEMBERS_MAX];

	memset(&rig->applied, 0, sizeof(rig->applied));
	if (!index)
		return;
	session->origin = cpu_to_le32(RIG_MEMBER);
	session->session = cpu_to_le64(~index);
	session->below = cpu_to_le64(index);
	memset(session->logged, index * 3, sizeof(session->logged));
}

static void rig_recovered_applied(void *context, u64 index,
				  const struct qbd_applied_layout *applied,
				  const struct qbd_membership_layout *membership)
{
	struct store_rig *rig = context;

	KUNIT_EXPECT_EQ_MSG(rig->test, rig->next_entry, 0, "entries came before");
	applied_at(rig, index);
	/* That the store knows by itself. */
	rig->applied.without_data = applied->without_data;
	KUNIT_EXPECT_EQ_MSG(rig->test, memcmp(applied, &rig->applied, sizeof(*applied)), 0,
			    "this is not what was applied at %llu", index);
	KUNIT_EXPECT_LE(rig->test, le64_to_cpu(membership->index), index);
	if (rig->reading)
		rig->reading(rig, 0);
}

static void rig_applied_state(void *context, u64 index, struct qbd_applied_layout *applied)
{
	struct store_rig *rig = context;

	if (rig->store)
		KUNIT_EXPECT_LE(rig->test, index, rig->commit_index);
	applied_at(rig, index);
	*applied = rig->applied;
}

void store_rig_reset(struct store_rig *rig, u64 index, u64 term, u32 chain,
		     const struct qbd_membership_layout *membership)
{
	applied_at(rig, index);
	rig->applied.without_data = cpu_to_le64(rig->without_data);
	qbd_store_reset(rig->store, index, term, chain, membership, &rig->applied);
}

static void rig_recovered_entry(void *context, const struct qbd_record_header *header,
				const struct qbd_membership_layout *membership)
{
	struct store_rig *rig = context;
	u64 index = le64_to_cpu(header->shared.index);
	u32 chain = le32_to_cpu(header->shared.chain);
	struct rig_entry *entry = rig_find(rig, index, chain);

	KUNIT_EXPECT_NOT_NULL_MSG(rig->test, entry, "entry %llu was never written", index);
	if (!entry)
		return;
	KUNIT_EXPECT_EQ(rig->test, membership ? le32_to_cpu(membership->count) : 0,
			entry->members);
	if (!rig->next_entry)
		rig->next_entry = index;
	KUNIT_EXPECT_EQ(rig->test, index, rig->next_entry);
	rig->next_entry++;
	if (index <= rig->durable_index)
		KUNIT_EXPECT_EQ_MSG(rig->test, rig->log[index],
				    entry - rig->history + 1,
				    "entry %llu was durable", index);
	rig->log[index] = entry - rig->history + 1;
	if (rig->reading)
		rig->reading(rig, index);
	if (membership) {
		rig->memberships++;
		rig->membership = *membership;
	}
}

static void rig_log_durable(void *context, u64 generation, u64 term, u64 index)
{
	struct store_rig *rig = context;

	KUNIT_EXPECT_EQ(rig->test, generation, qbd_store_generation(rig->store));
	KUNIT_EXPECT_LE(rig->test, index, rig->last_index);
	if (index <= rig->last_index && rig->log[index])
		KUNIT_EXPECT_EQ(rig->test, term, rig->history[rig->log[index] - 1].term);
	rig->durable_index = index;
}

static void rig_state_durable(void *context, u64 sequence)
{
	struct store_rig *rig = context;

	rig->vote_term_durable = rig->votes[sequence % ARRAY_SIZE(rig->votes)];
}

static void rig_applied(void *context, u64 index)
{
	struct store_rig *rig = context;

	KUNIT_EXPECT_GT(rig->test, index, rig->applied_index);
	KUNIT_EXPECT_LE(rig->test, index, rig->commit_index);
	rig->applied_index = index;
}

static void rig_log_reclaimed(void *context, u64 first_index)
{
	struct store_rig *rig = context;

	KUNIT_EXPECT_LE(rig->test, first_index, rig->applied_index + 1);
	rig->base_index = first_index - 1;
}

static void rig_record_loaded(void *context, u64 index, struct qbd_record *record)
{
	struct store_rig *rig = context;

	if (!IS_ERR_OR_NULL(rig->loaded))
		qbd_record_put(rig->loaded);
	rig->loaded = record;
	rig->loaded_index = index;
}

static void rig_reset_durable(void *context, u64 index)
{
	((struct store_rig *)context)->resets++;
}

static void rig_fill_written(void *context, void *cookie, int error)
{
	struct store_rig *rig = context;

	KUNIT_EXPECT_EQ(rig->test, error, rig->fill_error);
	rig->fills_written++;
}

static void rig_fill_durable(void *context)
{
	((struct store_rig *)context)->fills_durable++;
}

static void rig_space(void *context)
{
	((struct store_rig *)context)->spaces++;
}

static void rig_failed(void *context, int error, const char *what)
{
	((struct store_rig *)context)->failed = true;
}

static bool rig_answered(void *context)
{
	return !((struct store_rig *)context)->unwanted;
}

static const struct qbd_store_ops rig_ops = {
	.answered		= rig_answered,
	.recovered_applied = rig_recovered_applied,
	.applied_state = rig_applied_state,
	.kick			= rig_kick,
	.recovered_entry	= rig_recovered_entry,
	.log_durable		= rig_log_durable,
	.state_durable		= rig_state_durable,
	.applied		= rig_applied,
	.log_reclaimed		= rig_log_reclaimed,
	.record_loaded		= rig_record_loaded,
	.reset_durable		= rig_reset_durable,
	.fill_written		= rig_fill_written,
	.fill_durable		= rig_fill_durable,
	.space			= rig_space,
	.failed			= rig_failed,
};

/* For a device of so many blocks. */
static u64 table_blocks_of(const struct store_rig *rig, u32 blocks)
{
	u64 extents = DIV_ROUND_UP(blocks, 1u << (RIG_EXTENT_SHIFT - QBD_BLOCK_SHIFT));

	return rig->witness ? 0 : DIV_ROUND_UP(extents, QBD_EXTENTS_PER_BLOCK);
}

static void write_superblock(struct store_rig *rig, u64 position, u64 disk_blocks)
{
	struct qbd_superblock *superblock = test_disk_block(rig->disk, position);
	u64 log_block = store_rig_log_block(rig);

	memset(superblock, 0, sizeof(*superblock));
	superblock->member_id = cpu_to_le32(RIG_MEMBER);
	superblock->extent_shift = cpu_to_le32(RIG_EXTENT_SHIFT);
	strscpy(superblock->name, "rig", sizeof(superblock->name));
	superblock->backing_blocks = cpu_to_le64(disk_blocks);
	superblock->device_blocks = cpu_to_le64(rig->first_blocks);
	superblock->extent_table_blocks = cpu_to_le64(table_blocks_of(rig, rig->device_blocks));
	superblock->log_block = cpu_to_le64(log_block);
	superblock->log_blocks = cpu_to_le64(rig->log_blocks);
	if (rig->witness)
		superblock->features_incompatible =
			cpu_to_le64(QBD_FEATURE_NO_DATA |
				    (rig->client ? QBD_FEATURE_CLIENT : 0));
	else
		superblock->data_block = cpu_to_le64(log_block + rig->log_blocks);
	qbd_block_seal(superblock, QBD_SUPERBLOCK_MAGIC, rig->uuid, position);
	test_disk_settle(rig->disk, position);
}

static void write_membership(struct qbd_membership_layout *membership, u32 count)
{
	u32 i;

	memset(membership, 0, sizeof(*membership));
	membership->count = cpu_to_le32(count);
	membership->next_member_id = cpu_to_le32(RIG_MEMBER + count);
	for (i = 0; i < count; i++)
		membership->members[i].id = cpu_to_le32(RIG_MEMBER + i);
}

/* As qbdadm create does; all else on the disk is rubbish. */
static void format_disk(struct store_rig *rig, u32 members)
{
	u64 disk_blocks = rig->disk->sectors / QBD_SECTORS_PER_BLOCK;
	struct qbd_state *state;
	u64 i;

	/* Those for more than it has now hold anything. */
	for (i = 0; i < table_blocks_of(rig, rig->first_blocks); i++) {
		memset(test_disk_block(rig->disk, QBD_EXTENT_TABLE_BLOCK + i), 0,
		       QBD_BLOCK_SIZE);
		qbd_block_seal(test_disk_block(rig->disk, QBD_EXTENT_TABLE_BLOCK + i),
			       QBD_EXTENTS_MAGIC, rig->uuid, QBD_EXTENT_TABLE_BLOCK + i);
		test_disk_settle(rig->disk, QBD_EXTENT_TABLE_BLOCK + i);
	}
	write_superblock(rig, 0, disk_blocks);
	write_superblock(rig, QBD_SUPERBLOCK_COPY_BLOCK, disk_blocks);
	state = kunit_kzalloc(rig->test, sizeof(*state), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(rig->test, state);
	state->sequence = 1;
	state->log_first_index = 1;
	rig->members = members;
	write_membership(&state->membership, members);
	write_membership(&state->applied_membership, members);
	qbd_state_encode(state, rig->uuid, QBD_STATE_SLOT_BLOCK(0),
			 test_disk_block(rig->disk, QBD_STATE_SLOT_BLOCK(0)));
	test_disk_settle(rig->disk, QBD_STATE_SLOT_BLOCK(0));
	applied_at(rig, 0);
	qbd_applied_encode(&rig->applied, state->sequence, rig->uuid, QBD_APPLIED_BLOCK(0),
			   test_disk_block(rig->disk, QBD_APPLIED_BLOCK(0)));
	test_disk_settle(rig->disk, QBD_APPLIED_BLOCK(0));
}

u64 store_rig_log_block(struct store_rig *rig)
{
	return rig->witness ? QBD_EXTENT_TABLE_BLOCK : 512;
}

struct store_rig *store_rig_create(struct kunit *test, u64 seed)
{
	return store_rig_create_sized(test, seed, RIG_DEVICE_BLOCKS, 1);
}

struct store_rig *store_rig_create_growing(struct kunit *test, u64 seed, u32 first_blocks,
					   u32 most_blocks)
{
	struct store_rig *rig = store_rig_create_sized(test, seed, most_blocks, 1);

	rig->first_blocks = first_blocks;
	format_disk(rig, 1);
	return rig;
}

/* All but the disk. */
static struct store_rig *rig_alloc(struct kunit *test, u64 seed, u32 device_blocks)
{
	struct store_rig *rig = kunit_kzalloc(test, sizeof(*rig), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, rig);
	rig->test = test;
	rig->device_blocks = device_blocks;
	rig->first_blocks = device_blocks;
	rig->log_blocks = RIG_LOG_BLOCKS;
	init_waitqueue_head(&rig->wait);
	prandom_seed_state(&rig->random, seed);
	memset(rig->uuid, 0x17, sizeof(rig->uuid));
	rig->history = kvcalloc(RIG_ENTRIES_MAX, sizeof(*rig->history), GFP_KERNEL);
	rig->log = kvcalloc(RIG_ENTRIES_MAX + 2, sizeof(*rig->log), GFP_KERNEL);
	rig->pool = qbd_pool_create(QBD_POOL_PAGES_MIN, rig_kick, rig);
	KUNIT_ASSERT_NOT_NULL(test, rig->history);
	KUNIT_ASSERT_NOT_NULL(test, rig->log);
	KUNIT_ASSERT_FALSE(test, IS_ERR(rig->pool));
	return rig;
}

static struct store_rig *rig_with_disk(struct store_rig *rig, struct test_disk *disk,
				       u32 members)
{
	rig->disk = disk;
	KUNIT_ASSERT_FALSE(rig->test, IS_ERR(disk));
	format_disk(rig, members);
	return rig;
}

static struct store_rig *rig_with_data(struct store_rig *rig, u64 seed, u32 members)
{
	u64 data_block = store_rig_log_block(rig) + rig->log_blocks;
	u32 device_blocks = rig->device_blocks;
	u64 hole = device_blocks > 2 * RIG_SOLID_BLOCKS ?
		   device_blocks - 2 * RIG_SOLID_BLOCKS : 0;

	return rig_with_disk(rig, test_disk_create_sparse(data_block + device_blocks + 37,
							  data_block + RIG_SOLID_BLOCKS,
							  hole, seed ^ 0x5a5a), members);
}

struct store_rig *store_rig_create_sized(struct kunit *test, u64 seed, u32 device_blocks,
					 u32 members)
{
	return rig_with_data(rig_alloc(test, seed, device_blocks), seed, members);
}

struct store_rig *store_rig_create_logging(struct kunit *test, u64 seed, u32 log_blocks)
{
	struct store_rig *rig = rig_alloc(test, seed, RIG_DEVICE_BLOCKS);

	rig->log_blocks = log_blocks;
	return rig_with_data(rig, seed, 1);
}

static struct store_rig *rig_without_data(struct kunit *test, u64 seed, bool client)
{
	struct store_rig *rig = rig_alloc(test, seed, RIG_DEVICE_BLOCKS);

	rig->witness = true;
	rig->client = client;
	return rig_with_disk(rig, test_disk_create(RIG_WITNESS_BLOCKS, seed ^ 0x5a5a), 3);
}

struct store_rig *store_rig_create_witness(struct kunit *test, u64 seed)
{
	return rig_without_data(test, seed, false);
}

struct store_rig *store_rig_create_client(struct kunit *test, u64 seed)
{
	return rig_without_data(test, seed, true);
}

void store_rig_destroy(struct store_rig *rig)
{
	if (rig->store)
		store_rig_stop(rig);
	if (!IS_ERR_OR_NULL(rig->loaded))
		qbd_record_put(rig->loaded);
	KUNIT_EXPECT_EQ(rig->test, qbd_pool_pages_free(rig->pool),
			qbd_pool_pages(rig->pool));
	qbd_pool_destroy(rig->pool);
	test_disk_destroy(rig->disk);
	kvfree(rig->history);
	kvfree(rig->log);
}

int store_rig_try_open(struct store_rig *rig)
{
	dev_t number;
	int error;

	rig->next_entry = 0;
	rig->memberships = 0;
	rig->failed = false;
	error = qbd_store_find(rig->disk->path, &number, rig->error_text,
			       sizeof(rig->error_text));
	if (error)
		return error;
	rig->store = qbd_store_open(number, rig->disk->path, rig->pool, &rig_ops, rig,
				    &rig->recovered, rig->error_text,
				    sizeof(rig->error_text));
	if (IS_ERR(rig->store)) {
		error = PTR_ERR(rig->store);
		rig->store = NULL;
		return error;
	}
	rig->applied_index = rig->recovered.applied_index;
	rig->base_index = rig->recovered.base_index;
	return 0;
}

void store_rig_list_at(struct store_rig *rig, u64 index,
		       struct qbd_membership_layout *membership)
{
	u32 members = rig->members;

	for (; index; index--) {
		if (!rig->log[index] || !rig->history[rig->log[index] - 1].members)
			continue;
		members = rig->history[rig->log[index] - 1].members;
		break;
	}
	write_membership(membership, members);
	membership->index = cpu_to_le64(index);
}

/* The list in force before the first record: the newest up to there. */
static void check_base_members(struct store_rig *rig)
{
	struct qbd_membership_layout wanted;

	store_rig_list_at(rig, rig->base_index, &wanted);
	KUNIT_EXPECT_EQ(rig->test, le32_to_cpu(rig->recovered.base_membership.count),
			le32_to_cpu(wanted.count));
}

void store_rig_open(struct store_rig *rig)
{
	int error = store_rig_try_open(rig);

	KUNIT_ASSERT_EQ_MSG(rig->test, error, 0, "%s", rig->error_text);
	check_base_members(rig);
	rig->last_index = rig->recovered.last_index;
	rig->durable_index = rig->last_index;
	rig->commit_index = rig->recovered.commit_index;
	rig->term = max(rig->term, rig->recovered.term);
	rig->vote_term_durable = rig->recovered.term;
}

static bool rig_stopped(struct store_rig *rig)
{
	return qbd_store_stopped(rig->store);
}

void store_rig_stop(struct store_rig *rig)
{
	qbd_store_stop(rig->store);
	store_rig_wait(rig, rig_stopped);
	qbd_store_close(rig->store);
	rig->store = NULL;
}

void store_rig_cut(struct store_rig *rig)
{
	test_disk_power_cut(rig->disk);
	qbd_store_close(rig->store);
	rig->store = NULL;
	test_disk_power_on(rig->disk);
}

void store_rig_poll(struct store_rig *rig)
{
	if (!READ_ONCE(rig->kicked))
		return;
	WRITE_ONCE(rig->kicked, false);
	qbd_store_run(rig->store);
}

void store_rig_wait(struct store_rig *rig, bool (*done)(struct store_rig *rig))
{
	unsigned long end = jiffies + 20 * HZ;

	store_rig_poll(rig);
	while (!done(rig)) {
		wait_event_timeout(rig->wait, READ_ONCE(rig->kicked), HZ);
		KUNIT_ASSERT_TRUE_MSG(rig->test, time_before(jiffies, end),
				      "the store did not get there");
		store_rig_poll(rig);
	}
}

bool rig_all_durable(struct store_rig *rig)
{
	return rig->failed || rig->durable_index >= rig->last_index;
}

bool rig_all_applied(struct store_rig *rig)
{
	return rig->failed || rig->applied_index >= rig->commit_index;
}

/* Every eighth byte says whose the block is; the rest is the same. */
static void pattern(void *page, u32 block, u64 index, u64 term, u32 operation)
{
	u64 *words = page;
	unsigned int i;

	for (i = 0; i < QBD_BLOCK_SIZE / sizeof(*words); i++)
		words[i] = (u64)block << 40 | index << 20 | term << 8 | operation << 4 |
			   (i & 15);
}

static void fill_record(struct qbd_record *record, const struct rig_entry *entry)
{
	u32 page = 0, crc, i, j;

	if (entry->members) {
		memset(page_address(record->pages[0]), 0, QBD_BLOCK_SIZE);
		write_membership(page_address(record->pages[0]), entry->members);
		((struct qbd_membership_layout *)page_address(record->pages[0]))->index =
			cpu_to_le64(entry->index);
	}
	for (i = 0; i < entry->operation_count; i++) {
		const struct rig_operation *from = &entry->operations[i];
		struct qbd_operation *to = &record->header->operations[i];

		to->block = cpu_to_le64(from->block);
		to->count = cpu_to_le32(from->count);
		to->kind = cpu_to_le16(from->zero ? QBD_OPERATION_ZERO :
						    QBD_OPERATION_WRITE);
		if (from->zero)
			continue;
		crc = ~0u;
		for (j = 0; j < from->count; j++, page++) {
			void *data = page_address(record->pages[page]);

			pattern(data, from->block + j, entry->index, entry->term, i);
			crc = qbd_crc32c(crc, data, QBD_BLOCK_SIZE);
		}
		to->data_checksum = cpu_to_le32(crc);
	}
}

static struct qbd_record *sealed_record(struct store_rig *rig,
					const struct rig_entry *entry, u32 chain_previous)
{
	struct qbd_record *record;
	u32 blocks = !!entry->members, i;

	for (i = 0; i < entry->operation_count; i++)
		if (!entry->operations[i].zero)
			blocks += entry->operations[i].count;
	record = qbd_record_alloc(rig->pool, QBD_POOL_APPEND, entry->operation_count,
				  blocks, true);
	if (!record)
		return NULL;
	fill_record(record, entry);
	record->header->shared.device_blocks = cpu_to_le64(entry->grow_to);
	qbd_record_seal(record, rig->uuid, entry->members ? QBD_RECORD_MEMBERSHIP :
			entry->grow_to ? QBD_RECORD_RESIZE :
			entry->operation_count ? QBD_RECORD_DATA : QBD_RECORD_NOOP,
			entry->index, entry->term, chain_previous);
	return record;
}

/* Into the model's log. */
static void remember(struct store_rig *rig, const struct rig_entry *entry, u32 chain)
{
	struct rig_entry *known = rig_find(rig, entry->index, chain);

	if (!known) {
		known = &rig->history[rig->history_count++];
		*known = *entry;
		known->chain = chain;
	}
	rig->log[entry->index] = known - rig->history + 1;
}

/* The entry may have been in the log before. */
static bool append_entry(struct store_rig *rig, const struct rig_entry *entry)
{
	struct qbd_record *record;
	int error;

	record = sealed_record(rig, entry, qbd_store_chain(rig->store, rig->last_index));
	if (!record)
		return false;
	error = qbd_store_append(rig->store, record);
	if (!error) {
		remember(rig, entry, qbd_record_chain_of(record));
		rig->last_index = entry->index;
	} else {
		KUNIT_EXPECT_TRUE(rig->test, error == -ENOSPC || rig->failed);
	}
	qbd_record_put(record);
	return !error;
}

bool store_rig_append(struct store_rig *rig, const struct rig_operation *operations,
		      u32 count)
{
	struct rig_entry entry = {
		.index = rig->last_index + 1,
		.term = rig->term,
		.operation_count = count,
	};

	if (rig->history_count >= RIG_ENTRIES_MAX || entry.index > RIG_ENTRIES_MAX)
		return false;
	memcpy(entry.operations, operations, count * sizeof(*operations));
	return append_entry(rig, &entry);
}

bool store_rig_append_members(struct store_rig *rig, u32 count)
{
	struct rig_entry entry = {
		.index = rig->last_index + 1,
		.term = rig->term,
		.members = count,
	};

	return rig->history_count < RIG_ENTRIES_MAX && entry.index <= RIG_ENTRIES_MAX &&
	       append_entry(rig, &entry);
}

bool store_rig_append_resize(struct store_rig *rig, u32 blocks)
{
	struct rig_entry entry = {
		.index = rig->last_index + 1,
		.term = rig->term,
		.grow_to = blocks,
	};

	return rig->history_count < RIG_ENTRIES_MAX && entry.index <= RIG_ENTRIES_MAX &&
	       append_entry(rig, &entry);
}

u32 store_rig_blocks_at(struct store_rig *rig, u64 index)
{
	u32 blocks = rig->first_blocks;

	for (; index; index--)
		if (rig->log[index])
			blocks = max(blocks, rig->history[rig->log[index] - 1].grow_to);
	return blocks;
}

void store_rig_append_membership(struct store_rig *rig,
				 const struct qbd_membership_layout *membership)
{
	struct rig_entry entry = {
		.index = rig->last_index + 1,
		.term = rig->term,
		.members = le32_to_cpu(membership->count),
	};
	struct qbd_record *record;

	record = qbd_record_alloc(rig->pool, QBD_POOL_APPEND, 0, 1, true);
	KUNIT_ASSERT_NOT_NULL(rig->test, record);
	memset(page_address(record->pages[0]), 0, QBD_BLOCK_SIZE);
	memcpy(page_address(record->pages[0]), membership, sizeof(*membership));
	qbd_record_seal(record, rig->uuid, QBD_RECORD_MEMBERSHIP, entry.index, entry.term,
			qbd_store_chain(rig->store, rig->last_index));
	KUNIT_ASSERT_EQ(rig->test, qbd_store_append(rig->store, record), 0);
	remember(rig, &entry, qbd_record_chain_of(record));
	rig->last_index = entry.index;
	qbd_record_put(record);
}

static u32 random_operations(struct store_rig *rig, struct rig_operation *operations)
{
	u32 count = test_random(&rig->random, RIG_OPERATIONS_MAX + 1);
	u32 largest = test_random(&rig->random, 8) ? 8 : 60;
	/* As a leader: what is beyond is written to when it is committed that it is there. */
	u32 blocks = store_rig_blocks_at(rig, rig->commit_index);
	u32 i;

	for (i = 0; i < count; i++) {
		struct rig_operation *operation = &operations[i];
		/* Some places are hot, so that operations overlap. */
		u32 span = test_random(&rig->random, 3) ? 64 : blocks;

		operation->zero = !test_random(&rig->random, 6);
		operation->block = test_random(&rig->random, span);
		operation->count = 1 + test_random(&rig->random, largest);
		operation->count = min(operation->count,
				       blocks - operation->block);
	}
	return count;
}

bool store_rig_append_random(struct store_rig *rig)
{
	struct rig_operation operations[RIG_OPERATIONS_MAX];
	u32 count;

	if (!test_random(&rig->random, 30))
		return store_rig_append_members(rig, 2 + test_random(&rig->random, 5));
	count = random_operations(rig, operations);
	return store_rig_append(rig, operations, count);
}

void store_rig_leader_entry(struct store_rig *rig, u64 *leader_last)
{
	u32 previous = rig->log[*leader_last];
	struct rig_entry entry = { .index = *leader_last + 1, .term = rig->term };
	struct qbd_record *record;

	entry.operation_count = random_operations(rig, entry.operations);
	record = sealed_record(rig, &entry, previous ? rig->history[previous - 1].chain : 0);
	KUNIT_ASSERT_NOT_NULL(rig->test, record);
	remember(rig, &entry, qbd_record_chain_of(record));
	qbd_record_put(record);
	++*leader_last;
}

void store_rig_truncate(struct store_rig *rig, u64 first_removed)
{
	qbd_store_truncate(rig->store, first_removed);
	rig->last_index = first_removed - 1;
	rig->durable_index = min(rig->durable_index, rig->last_index);
	KUNIT_EXPECT_EQ(rig->test, qbd_store_last_index(rig->store), rig->last_index);
}

void store_rig_commit(struct store_rig *rig, u64 index)
{
	rig->commit_index = max(rig->commit_index, index);
	qbd_store_commit(rig->store, index);
}

void store_rig_vote(struct store_rig *rig)
{
	rig->term++;
	rig->vote_sequence++;
	rig->votes[rig->vote_sequence % ARRAY_SIZE(rig->votes)] = rig->term;
	qbd_store_write_vote(rig->store, rig->term, rig->term % 5, rig->vote_sequence);
}

/* @log: the history numbers as they were before the crash */
void store_rig_restore_commit(struct store_rig *rig, u64 commit_index, const u32 *log)
{
	u64 index;

	for (index = rig->base_index + 1; index <= min(rig->last_index, commit_index);
	     index++)
		if (rig->log[index] != log[index])
			break;
	if (index <= min(rig->last_index, commit_index)) {
		KUNIT_ASSERT_GT(rig->test, index, rig->commit_index);
		store_rig_truncate(rig, index);
	}
	for (index = rig->last_index + 1; index <= commit_index; index++) {
		struct rig_entry entry = rig->history[log[index] - 1];

		while (!append_entry(rig, &entry)) {
			store_rig_commit(rig, rig->last_index);
			store_rig_wait(rig, rig_all_applied);
			if (rig->failed)
				return;
		}
	}
	store_rig_commit(rig, commit_index);
}

/* For each block the entry that wrote it last, as of the commit index. */
static void expect_map(struct store_rig *rig, u32 *entries, u8 *operations)
{
	u64 index;
	u32 i, j;

	for (index = 1; index <= rig->commit_index; index++) {
		const struct rig_entry *entry = &rig->history[rig->log[index] - 1];

		for (i = 0; i < entry->operation_count; i++) {
			const struct rig_operation *operation = &entry->operations[i];

			for (j = 0; j < operation->count; j++) {
				entries[operation->block + j] = rig->log[index];
				operations[operation->block + j] = i;
			}
		}
	}
}

static void expect_page(struct store_rig *rig, u32 block, u32 entry_number, u32 operation,
			void *page)
{
	const struct rig_entry *entry = &rig->history[entry_number - 1];

	if (!entry_number || entry->operations[operation].zero)
		memset(page, 0, QBD_BLOCK_SIZE);
	else
		pattern(page, block, entry->index, entry->term, operation);
}

void store_rig_expect(struct store_rig *rig, u32 block, u32 count, struct page **pages)
{
	u32 *entries = kvcalloc(rig->device_blocks, sizeof(*entries), GFP_KERNEL);
	u8 *operations = kvcalloc(rig->device_blocks, 1, GFP_KERNEL);
	u32 i;

	expect_map(rig, entries, operations);
	for (i = 0; i < count; i++)
		expect_page(rig, block + i, entries[block + i], operations[block + i],
			    page_address(pages[i]));
	kvfree(operations);
	kvfree(entries);
}

u64 store_rig_changed(struct store_rig *rig, u64 extent, bool writes_only)
{
	u32 shift = RIG_EXTENT_SHIFT - QBD_BLOCK_SHIFT;
	u64 index = rig->commit_index;
	u32 i;

	for (; index; index--) {
		const struct rig_entry *entry = &rig->history[rig->log[index] - 1];

		for (i = 0; i < entry->operation_count; i++) {
			const struct rig_operation *operation = &entry->operations[i];
			u64 last = operation->block + operation->count - 1;

			if (writes_only && operation->zero)
				continue;
			if (operation->block >> shift <= extent && last >> shift >= extent)
				return index;
		}
	}
	return 0;
}

void store_rig_check_extents(struct store_rig *rig)
{
	u64 extent;

	for (extent = 0; extent < qbd_store_identity(rig->store)->extent_count; extent++) {
		u64 changed = store_rig_changed(rig, extent, false);

		/* Zeroes where nothing was ever written are no change. */
		if (!changed || !store_rig_changed(rig, extent, true))
			continue;
		KUNIT_EXPECT_EQ_MSG(rig->test, extent,
				    qbd_store_changed_extent(rig->store, extent,
							     U64_MAX, changed - 1),
				    "its change at %llu is not in the table", changed);
	}
}

/*
 * Did a later entry that was committed before the crash write it? Then the data area
 * may hold that, or torn between the two, until the entry is committed again.
 */
static bool is_ahead(struct store_rig *rig, u32 block)
{
	u64 index;
	u32 i;

	for (index = rig->commit_index + 1; index <= rig->ahead_index; index++) {
		const struct rig_entry *entry = &rig->history[rig->ahead_log[index] - 1];

		for (i = 0; i < entry->operation_count; i++)
			if (block >= entry->operations[i].block &&
			    block - entry->operations[i].block < entry->operations[i].count)
				return true;
	}
	return false;
}

struct rig_read {
	struct qbd_store_read read;
	bool done;
};

static struct rig_read *rig_reading;

static void rig_read_done(struct qbd_store_read *read)
{
	container_of(read, struct rig_read, read)->done = true;
}

static bool rig_is_read(struct store_rig *rig)
{
	return rig_reading->done;
}

void store_rig_check_read(struct store_rig *rig, u32 block, u32 count)
{
	struct bio_vec *bvecs = kvcalloc(count, 3 * sizeof(*bvecs), GFP_KERNEL);
	u32 *entries = kvcalloc(rig->device_blocks, sizeof(*entries), GFP_KERNEL);
	u8 *operations = kvcalloc(rig->device_blocks, 1, GFP_KERNEL);
	void *expected = (void *)__get_free_page(GFP_KERNEL);
	struct rig_read reading = {
		.read = {
			.block = block, .count = count, .bvecs = bvecs,
			.bvec_count = 3 * count, .done = rig_read_done,
		},
	};
	u32 i;

	/* Cut unevenly, as the pages of a request may be. */
	for (i = 0; i < count; i++) {
		struct page *page = alloc_page(GFP_KERNEL);

		bvec_set_page(&bvecs[3 * i], page, 512, 0);
		bvec_set_page(&bvecs[3 * i + 1], page, 3072, 512);
		bvec_set_page(&bvecs[3 * i + 2], page, 512, 3584);
	}
	expect_map(rig, entries, operations);
	qbd_store_read(rig->store, &reading.read);
	rig_reading = &reading;
	store_rig_wait(rig, rig_is_read);
	KUNIT_EXPECT_EQ(rig->test, reading.read.error, 0);
	for (i = 0; i < count; i++) {
		u64 *found = page_address(bvecs[3 * i].bv_page);

		expect_page(rig, block + i, entries[block + i], operations[block + i],
			    expected);
		if (memcmp(found, expected, QBD_BLOCK_SIZE) &&
		    !is_ahead(rig, block + i)) {
			KUNIT_FAIL(rig->test,
				   "block %u at commit %llu, applied %llu: %016llx instead of %016llx",
				   block + i, rig->commit_index, rig->applied_index,
				   found[0], *(u64 *)expected);
			break;
		}
	}
	for (i = 0; i < count; i++)
		__free_page(bvecs[3 * i].bv_page);
	free_page((unsigned long)expected);
	kvfree(operations);
	kvfree(entries);
	kvfree(bvecs);
}

void store_rig_check_all(struct store_rig *rig)
{
	store_rig_check_read(rig, 0, qbd_store_identity(rig->store)->device_blocks);
}

bool rig_vote_durable(struct store_rig *rig)
{
	return rig->vote_term_durable >= rig->term;
}

struct store_rig *store_rig_start(struct store_rig *rig)
{
	store_rig_open(rig);
	store_rig_vote(rig);
	store_rig_wait(rig, rig_vote_durable);
	return rig;
}

void store_rig_commit_all(struct store_rig *rig)
{
	store_rig_wait(rig, rig_all_durable);
	store_rig_commit(rig, rig->last_index);
	store_rig_wait(rig, rig_all_applied);
}
