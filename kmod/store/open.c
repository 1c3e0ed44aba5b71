// SPDX-License-Identifier: GPL-2.0
/*
 * Opening a disk: what recovery.c decides is carried out here.
 *
 * Order: read and decide everything; then, only if nothing stands against it,
 * write: what was damaged of the extent table, committed records into the data area,
 * the damaged superblock copy, the extent table, and last the state block, behind a
 * flush. That flush also makes true that the records found are durable: after a reset
 * of the host without a power cut they may still be in the disk's cache.
 *
 * Process context; sleeps.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "internal.h"

#define READER_BLOCKS	256u

/**
 * struct reader - the ring, 1 MiB at a time
 * @store: whose
 * @pages: what was read last
 * @start: place of the first page
 * @count: pages that are valid
 * @first_index: oldest record found
 * @overflow: more records than the log has slots for
 * @superblock: number of the copy that is used
 * @repair: the other one is damaged
 * @scan: the scan
 */
struct reader {
	struct qbd_store *store;
	struct page *pages[READER_BLOCKS];
	u64 start;
	u64 count;
	u64 first_index;
	bool overflow;
	unsigned int superblock;
	bool repair;
	struct qbd_scan scan;
};

static int read_block(struct qbd_store *store, u64 disk_block, struct page *page)
{
	return qbd_bio_sync(store, REQ_OP_READ, disk_block, &page, 1);
}

static const void *reader_block(void *context, u64 place)
{
	struct reader *reader = context;
	struct qbd_store *store = reader->store;
	u64 disk_block = store->geometry.log_block + place;

	if (place >= reader->start && place < reader->start + reader->count)
		return page_address(reader->pages[place - reader->start]);
	cond_resched();
	reader->start = place;
	reader->count = min_t(u64, READER_BLOCKS, store->geometry.log_blocks - place);
	if (!qbd_bio_sync(store, REQ_OP_READ, disk_block, reader->pages, reader->count))
		return page_address(reader->pages[0]);
	/* One sector that cannot be read does not hide its neighbours. */
	reader->count = !read_block(store, disk_block, reader->pages[0]);
	return reader->count ? page_address(reader->pages[0]) : NULL;
}

static void reader_found(void *context, const struct qbd_record_header *header,
			 u64 position)
{
	struct reader *reader = context;
	u64 index = le64_to_cpu(header->shared.index);
	struct qbd_slot *slot = qbd_log_slot(reader->store, index);

	if (index - reader->first_index >= reader->store->log.capacity) {
		reader->overflow = true;
		return;
	}
	slot->record = NULL;
	slot->position = position;
	slot->term = le64_to_cpu(header->shared.term);
	slot->chain = le32_to_cpu(header->shared.chain);
	slot->data_blocks = le32_to_cpu(header->shared.data_blocks);
	slot->operation_count = le16_to_cpu(header->shared.operation_count);
	slot->kind = le16_to_cpu(header->shared.kind);
}

static void reader_restart(void *context)
{
	struct reader *reader = context;

	reader->first_index = reader->scan.state->applied_index + 1;
}

static const struct qbd_scan_ops reader_ops = {
	.block		= reader_block,
	.found		= reader_found,
	.restart	= reader_restart,
};

static void reader_free(struct reader *reader)
{
	unsigned int i;

	/* The first two had the superblocks, with the secret. */
	for (i = 0; i < READER_BLOCKS; i++) {
		if (reader->pages[i] && i < 2)
			memzero_explicit(page_address(reader->pages[i]), PAGE_SIZE);
		if (reader->pages[i])
			__free_page(reader->pages[i]);
	}
	kvfree(reader);
}

static struct reader *reader_alloc(struct qbd_store *store)
{
	struct reader *reader = kvzalloc(sizeof(*reader), GFP_KERNEL);
	unsigned int i;

	if (!reader)
		return NULL;
	reader->store = store;
	for (i = 0; i < READER_BLOCKS; i++) {
		reader->pages[i] = alloc_page(GFP_KERNEL);
		if (!reader->pages[i]) {
			reader_free(reader);
			return NULL;
		}
	}
	return reader;
}

static int open_superblock(struct qbd_store *store, struct reader *reader,
			   char *error_text, size_t error_text_size)
{
	u64 disk_blocks = bdev_nr_bytes(store->bdev) >> QBD_BLOCK_SHIFT;
	const void *copies[2] = { };
	const u64 positions[2] = { 0, QBD_SUPERBLOCK_COPY_BLOCK };
	struct qbd_superblock_choice choice = { };
	const char *reason;
	int error;

	if (bdev_logical_block_size(store->bdev) > QBD_BLOCK_SIZE) {
		snprintf(error_text, error_text_size,
			 "%pg has blocks of more than 4 KiB; use another disk",
			 store->bdev);
		return -EMEDIUMTYPE;
	}
	if (disk_blocks <= QBD_EXTENT_TABLE_BLOCK) {
		snprintf(error_text, error_text_size,
			 "%pg is too small for a qbd disk", store->bdev);
		return -EMEDIUMTYPE;
	}
	if (!read_block(store, 0, reader->pages[0]))
		copies[0] = page_address(reader->pages[0]);
	if (!read_block(store, positions[1], reader->pages[1]))
		copies[1] = page_address(reader->pages[1]);
	error = qbd_recovery_superblock(copies, positions, disk_blocks, &choice, &reason);
	/* The other copy could have told more: neither is it damaged nor no qbd disk. */
	if ((error == -EUCLEAN || error == -EMEDIUMTYPE) && (!copies[0] || !copies[1])) {
		snprintf(error_text, error_text_size,
			 "a superblock of %pg cannot be read, and the other: %s: try again; if it stays so replace the disk and make the member anew",
			 store->bdev, reason);
		return -EIO;
	}
	if (error) {
		snprintf(error_text, error_text_size,
			 error == -EMEDIUMTYPE ?
			 "%pg is no qbd disk: %s; make it one with qbdadm create" :
			 error == -EPROTONOSUPPORT ?
			 "%pg cannot be used: %s; use a newer module" :
			 "the superblock of %pg is unusable: %s; make the member anew",
			 store->bdev, reason);
		return error;
	}
	store->geometry = choice.geometry;
	reader->superblock = choice.good;
	reader->repair = choice.repair;
	memzero_explicit(&choice, sizeof(choice));
	return 0;
}

/*
 * The bad copy is written from the good one: from the one that was read when the disk was
 * opened, if it is good still. What cannot be read now must not make the other the better one.
 */
static int repair_superblock(struct qbd_store *store, unsigned int good)
{
	const u64 positions[2] = { 0, QBD_SUPERBLOCK_COPY_BLOCK };
	struct qbd_geometry geometry;
	struct qbd_superblock *block;
	const char *reason;
	struct page *page;
	int error;

	page = alloc_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	block = page_address(page);
	error = read_block(store, positions[good], page);
	if (!error && qbd_superblock_check(block, positions[good], &geometry, &reason) !=
		      QBD_BLOCK_GOOD)
		error = -EIO;
	if (!error) {
		qbd_block_seal(block, QBD_SUPERBLOCK_MAGIC, store->geometry.uuid,
			       positions[!good]);
		error = qbd_bio_sync(store, REQ_OP_WRITE | REQ_FUA | REQ_SYNC,
				     positions[!good], &page, 1);
	}
	memzero_explicit(block, PAGE_SIZE);
	memzero_explicit(&geometry, sizeof(geometry));
	__free_page(page);
	if (!error)
		pr_notice("%s: wrote the %s superblock copy again, it was damaged\n",
			  store->geometry.name, good ? "first" : "second");
	return error;
}

static int open_state(struct qbd_store *store, struct reader *reader, char *error_text,
		      size_t error_text_size)
{
	const void *slots[QBD_STATE_SLOTS] = { }, *applied[QBD_STATE_SLOTS] = { };
	struct qbd_state *disk = &store->state.disk;
	const struct qbd_applied_block *block;
	unsigned int i, unreadable = 0;
	const char *reason;
	int error;

	for (i = 0; i < QBD_STATE_SLOTS; i++) {
		struct page **pages = reader->pages + i * QBD_STATE_SLOT_BLOCKS;

		if (read_block(store, QBD_STATE_SLOT_BLOCK(i), pages[0]) ||
		    read_block(store, QBD_APPLIED_BLOCK(i), pages[1])) {
			unreadable++;
			continue;
		}
		slots[i] = page_address(pages[0]);
		applied[i] = page_address(pages[1]);
	}
	error = qbd_recovery_state(slots, applied, store->geometry.uuid, disk,
				   &store->state.slot, &reason);
	if (error == -EUCLEAN && unreadable) {
		snprintf(error_text, error_text_size,
			 "the state blocks of %pg cannot be used: %s: try again; if it stays so replace the disk and make the member anew under a new id",
			 store->bdev, reason);
		return -EIO;
	}
	if (error) {
		snprintf(error_text, error_text_size,
			 error == -EPROTONOSUPPORT ?
			 "%pg cannot be used: %s; use a newer module" :
			 "both state blocks of %pg are unusable: %s; its vote is lost: make the member anew under a new id",
			 store->bdev, reason);
		return error;
	}
	error = qbd_recovery_size(&store->geometry, disk, bdev_nr_bytes(store->bdev) >>
				  QBD_BLOCK_SHIFT, &reason);
	if (error) {
		snprintf(error_text, error_text_size,
			 "%pg cannot be used: %s; make the member anew under a new id",
			 store->bdev, reason);
		return error;
	}
	block = applied[store->state.slot];
	store->state.applied = block->applied;
	disk->device_blocks = store->geometry.device_blocks;
	store->grow.durable = disk->device_blocks;
	store->identity.device_blocks = store->geometry.device_blocks;
	store->identity.extent_count = store->geometry.extent_count;
	/* A slot that is damaged is written when there is something to be said. */
	store->state.mirrored = true;
	store->state.unreadable = unreadable;
	store->term = disk->term;
	store->vote = disk->vote;
	store->move = disk->move;
	memcpy(store->identity.history, disk->history, QBD_UUID_SIZE);
	store->applied_index = disk->applied_index;
	store->failed = disk->flags & QBD_STATE_FAILED;
	store->failed_written = store->failed;
	store->status.failed = store->failed;
	store->fill.active = disk->flags & QBD_STATE_FILLING;
	store->is_new = disk->flags & QBD_STATE_NEW;
	store->fill.plan = disk->fill_plan;
	store->fill.cursor = disk->fill_cursor;
	store->fill.through_index = disk->fill_through_index;
	return 0;
}

/* What the scan found becomes the log. */
static void adopt_scan(struct qbd_store *store, const struct qbd_scan *scan)
{
	struct qbd_state *disk = &store->state.disk;
	struct qbd_log *log = &store->log;

	log->first_index = scan->base_index + 1;
	log->first_position = scan->base_position;
	log->base_term = scan->base_term;
	log->base_chain = scan->base_chain;
	qbd_log_base_data(store, disk->applied_index, &store->state.applied);
	log->last_index = scan->last_index;
	log->next_position = scan->next_position;
	log->submitted_index = scan->last_index;
	log->durable_index = scan->last_index;
	log->commit_index = store->applied_index;
	log->generation = disk->log_generation;
	log->truncated_index = disk->truncated_index;
	/*
	 * Where the truncations cut that the state block does not know of is not known
	 * either. It is as if the log was cut at its end once more: all of it stays, and
	 * what the next one cuts off is older than that.
	 *
	 * So it is where the log ends because the state block is CLEAN, which the next one
	 * is not: what lies behind would be looked at again then, and may fit.
	 */
	if (scan->generation > disk->log_generation || scan->verdict == QBD_LOG_WHOLE) {
		log->generation = scan->generation + 1;
		log->truncated_index = scan->last_index + 1;
	}
	if (scan->from_applied) {
		disk->log_first_index = log->first_index;
		disk->log_first_position = log->first_position;
		disk->log_previous_term = log->base_term;
		disk->log_previous_chain = log->base_chain;
		disk->membership = disk->applied_membership;
		pr_warn("%s: the log begins anew after entry %llu, up to which all is applied, for records of it are damaged; members that are far behind will be sent extents\n",
			store->geometry.name, scan->base_index);
	}
	if (scan->verdict == QBD_LOG_DAMAGED) {
		store->damaged_through = scan->damaged_through;
		store->damaged_tail = true;
		/* Not where it was just decided that the tail is cut off. */
		store->damage_suspected = scan->suspected &&
					  log->generation == disk->log_generation;
	}
}

void *qbd_store_alloc_sized(const struct qbd_store *store, u64 count, size_t size,
			    const char *what, char *error_text, size_t error_text_size)
{
	/* Rather none than that the kernel kills processes for it. */
	void *memory = kvcalloc(count, size, GFP_KERNEL | __GFP_RETRY_MAYFAIL |
				__GFP_NOWARN);

	if (!memory)
		snprintf(error_text, error_text_size,
			 "%pg: not enough memory for %s: needs %llu MiB", store->bdev, what,
			 ((count * size - 1) >> 20) + 1);
	return memory;
}

static int open_log(struct qbd_store *store, struct reader *reader, char *error_text,
		    size_t error_text_size)
{
	struct qbd_scan *scan = &reader->scan;
	struct qbd_log *log = &store->log;

	static_assert(QBD_LOG_BLOCKS_MAX / 2 * sizeof(*log->slots) <= INT_MAX);
	log->capacity = store->geometry.log_blocks / 2;
	log->slots = qbd_store_alloc_sized(store, log->capacity, sizeof(*log->slots),
					   "the table of the log", error_text,
					   error_text_size);
	if (!log->slots)
		return -ENOMEM;
	reader->count = 0;
	reader->first_index = store->state.disk.log_first_index;
	scan->uuid = store->geometry.uuid;
	scan->member_id = store->geometry.member_id;
	scan->device_blocks = store->geometry.device_blocks;
	scan->device_blocks_most = qbd_geometry_most(&store->geometry);
	scan->log_blocks = store->geometry.log_blocks;
	scan->state = &store->state.disk;
	scan->ops = &reader_ops;
	scan->context = reader;
	qbd_recovery_scan(scan);
	if (reader->overflow) {
		snprintf(error_text, error_text_size,
			 "the log of %pg holds more records than its size allows; make the member anew",
			 store->bdev);
		return -EUCLEAN;
	}
	store->alone = qbd_state_names_one(&store->state.disk) && !scan->members_changed;
	adopt_scan(store, scan);
	return 0;
}

static void fill_recovered(struct qbd_store *store, const struct qbd_scan *scan,
			   struct qbd_store_recovered *recovered)
{
	const struct qbd_state *disk = &store->state.disk;

	*recovered = (struct qbd_store_recovered){
		.term = disk->term,
		.vote = disk->vote,
		.base_index = scan->base_index,
		.base_term = scan->base_term,
		.base_membership = disk->membership,
		.last_index = scan->last_index,
		.last_term = scan->last_term,
		.commit_index = min(scan->commit_index, scan->last_index),
		.applied_index = disk->applied_index,
		.filling = store->fill.active,
		.log_kept = disk->flags & QBD_STATE_LOG_KEPT,
		.fill_plan = disk->fill_plan,
		.fill_index = disk->fill_index,
		.fill_cursor = disk->fill_cursor,
		.fill_through_index = disk->fill_through_index,
		.failed = store->failed,
	};
	if (scan->verdict == QBD_LOG_DAMAGED) {
		recovered->damaged = true;
		snprintf(recovered->reason, sizeof(recovered->reason), scan->suspected ?
			 "log record %llu may be lost (%s), perhaps all up to %llu" :
			 "log record %llu is lost (%s), up to %llu were acknowledged",
			 scan->bad_index, scan->reason, scan->damaged_through);
	}
	/*
	 * An entry of a term that the state block does not know: its write was
	 * cut off, or it is the slot that was lost. That term has its leader,
	 * so a vote in it is given to nobody any more, whatever it was.
	 */
	if (scan->last_term > disk->term) {
		recovered->term = scan->last_term;
		recovered->vote = store->geometry.member_id;
		store->term = recovered->term;
		store->vote = recovered->vote;
	}
	recovered->damaged_through = store->damaged_through;
	recovered->is_new = store->is_new;
	if (store->failed)
		snprintf(recovered->reason, sizeof(recovered->reason),
			 "a write to this disk failed in an earlier run");
}

/* One record from the ring, checked; ERR_PTR. */
static struct qbd_record *load_record(struct qbd_store *store, u64 index)
{
	const struct qbd_slot *slot = qbd_log_slot(store, index);
	struct qbd_record *record;
	u64 until_end;
	unsigned int first;
	int error;

	record = qbd_record_alloc(store->pool, QBD_POOL_FORWARD, slot->operation_count,
				  slot->data_blocks, true);
	if (!record)
		return ERR_PTR(-ENOMEM);
	error = read_block(store, qbd_log_disk_block(store, slot->position, &until_end),
			   record->header_page);
	first = min_t(u64, until_end - 1, record->data_blocks);
	if (!error && first)
		error = qbd_bio_sync(store, REQ_OP_READ,
				     qbd_log_disk_block(store, slot->position + 1,
							&until_end),
				     record->pages, first);
	if (!error && first < record->data_blocks)
		error = qbd_bio_sync(store, REQ_OP_READ, store->geometry.log_block,
				     record->pages + first, record->data_blocks - first);
	if (!error)
		error = qbd_load_check(store, index, record);
	if (!error)
		return record;
	qbd_record_put(record);
	return ERR_PTR(error);
}

static int load_resident(struct qbd_store *store, u64 index)
{
	struct qbd_record *record = load_record(store, index);

	if (IS_ERR(record))
		return PTR_ERR(record);
	qbd_log_make_resident(store, record);
	return 0;
}

/*
 * Tell the replica of every entry. Configurations that are applied are loaded here
 * and stay in memory, as they do while they are in the ring.
 */
static int report_entries(struct qbd_store *store, struct reader *reader)
{
	struct qbd_record_header *header = &reader->scan.header;
	const char *reason;
	u64 index;

	store->ops->recovered_applied(store->context, store->applied_index,
				      &store->state.applied, &store->state.disk.membership);
	for (index = store->log.first_index; index <= store->log.last_index; index++) {
		const struct qbd_slot *slot = qbd_log_slot(store, index);
		const struct qbd_membership_layout *membership = NULL;
		const void *block;
		u64 place;

		div64_u64_rem(slot->position, store->geometry.log_blocks, &place);
		block = reader_block(reader, place);
		if (!block)
			return -EIO;
		memcpy(header, block, sizeof(*header));
		if (slot->kind == QBD_RECORD_RESIZE && index > store->applied_index)
			store->log.resizes++;
		if (slot->kind == QBD_RECORD_MEMBERSHIP) {
			int error = 0;

			store->log.memberships++;
			if (index <= store->applied_index)
				error = load_resident(store, index);
			if (error)
				return error == -EBADMSG ? -EUCLEAN : error;
			div64_u64_rem(slot->position + 1, store->geometry.log_blocks,
				      &place);
			membership = reader_block(reader, place);
			if (!membership)
				return -EIO;
			if (!qbd_membership_good(membership, &reason))
				return -EUCLEAN;
		}
		store->ops->recovered_entry(store->context, header, membership);
	}
	return 0;
}

/* Pool pages that the records after @index take. */
static u64 pages_needed(const struct qbd_store *store, u64 index)
{
	u64 pages = 0;

	while (++index <= store->log.last_index) {
		const struct qbd_slot *slot = qbd_log_slot(store, index);

		pages += qbd_record_pages(slot->operation_count, slot->data_blocks);
	}
	return pages;
}

static bool all_applied(struct qbd_store *store)
{
	return store->applied_index == store->log.commit_index || store->failed ||
	       qbd_grow_stuck(store);
}

/* Committed records into the data area, a poolful at a time; then keep the rest. */
static int replay(struct qbd_store *store, u64 commit_index)
{
	u64 index;
	int error;

	for (index = store->applied_index + 1; index <= commit_index; index++) {
		error = load_resident(store, index);
		if (error)
			return error;
		qbd_store_commit(store, index);
		if (index < commit_index && qbd_pool_pages_free(store->pool) >
		    qbd_pool_pages(store->pool) / 2)
			continue;
		qbd_store_pump(store, all_applied);
		if (store->failed)
			return -EIO;
		if (qbd_grow_stuck(store))
			return store->grow.refused ? -ENOSPC : -ENOMEM;
		cond_resched();
	}
	for (index = commit_index + 1; index <= store->log.last_index; index++) {
		error = load_resident(store, index);
		if (error)
			return error;
	}
	return 0;
}

static bool checkpointed(struct qbd_store *store)
{
	return store->failed ||
	       (!store->checkpoint.wanted && !store->checkpoint.step &&
		store->state.mirrored && !store->state.writing);
}

static bool in_flight_over(struct qbd_store *store)
{
	return qbd_store_quiet(store);
}

static bool state_durable(struct qbd_store *store)
{
	return store->failed || store->state.durable == store->state.wanted;
}

/*
 * That everything has to be filled again is on the disk before the table is: a table
 * block that is good again and says "never written" must not be believed. Behind a
 * flush, for this is the first state block to claim the records that were found.
 */
static int declare_filling(struct qbd_store *store)
{
	qbd_state_request(store, true);
	qbd_store_pump(store, state_durable);
	return store->failed ? -EIO : 0;
}

/* From here on the disk is written. */
static int bring_up(struct qbd_store *store, const struct reader *reader,
		    u64 commit_index, bool table_lost)
{
	int error = table_lost ? declare_filling(store) : 0;

	if (!error)
		error = qbd_extents_restore(store);
	if (!error)
		error = replay(store, commit_index);
	if (!error && reader->repair)
		error = repair_superblock(store, reader->superblock);
	if (!error) {
		store->checkpoint.wanted = true;
		qbd_store_pump(store, checkpointed);
		if (store->failed)
			error = -EIO;
	}
	if (error) {
		/* Stop: what is in flight ends, nothing more begins. */
		store->failed = true;
		store->failed_written = true;
		while (!qbd_store_quiet(store))
			qbd_store_pump(store, in_flight_over);
	}
	return error;
}

static void fill_identity(struct qbd_store *store)
{
	const struct qbd_geometry *geometry = &store->geometry;
	struct qbd_store_identity *identity = &store->identity;

	memcpy(identity->uuid, geometry->uuid, QBD_UUID_SIZE);
	memcpy(identity->incarnation, geometry->incarnation, QBD_UUID_SIZE);
	memcpy(identity->secret, geometry->secret, QBD_SECRET_SIZE);
	memcpy(identity->name, geometry->name, QBD_NAME_SIZE);
	identity->member_id = geometry->member_id;
	identity->extent_shift = geometry->extent_shift;
	identity->configuration = geometry->configuration;
	identity->keeps_data = !geometry->no_data;
	identity->client = geometry->client;
	identity->device_blocks = geometry->device_blocks;
	identity->device_blocks_most = qbd_geometry_most(geometry);
	identity->log_blocks = geometry->log_blocks;
	identity->extent_count = geometry->extent_count;
}

/*
 * Nothing is known of some extents: neither whether they were ever written, nor when
 * they changed. Have everything filled again.
 */
static void extents_lost(struct qbd_store *store, u64 blocks)
{
	struct qbd_state *disk = &store->state.disk;

	pr_warn("%s: %llu blocks of the extent table are damaged; %s\n",
		store->geometry.name, blocks, store->alone ?
		"what was never written in their extents may not read as zero" :
		"the data will be copied from another member");
	if (store->alone)
		return;
	/* What it is filled for anyhow leaves the log as it is, emptied or not. */
	if (!(disk->flags & QBD_STATE_FILLING))
		disk->flags |= QBD_STATE_FILLING | QBD_STATE_LOG_KEPT;
	qbd_fill_plan_begin(&disk->fill_plan, 0);
	disk->fill_index = disk->applied_index;
	disk->fill_term = disk->applied_term;
	disk->fill_cursor = 0;
	disk->fill_through_index = disk->applied_index;
	store->fill.active = true;
	store->fill.plan = disk->fill_plan;
	store->fill.cursor = 0;
	store->fill.through_index = disk->applied_index;
}

/*
 * A write that was cut off leaves a bad checksum. What cannot be read at all may be the
 * newer one, with a vote that is on no other disk: to go on without it could be to vote
 * twice. The next try may be able to read it. (A member that has no others has nobody to
 * deceive.)
 */
static int check_vote(const struct qbd_store *store, char *error_text,
		      size_t error_text_size)
{
	if (!store->state.unreadable || store->alone)
		return 0;
	snprintf(error_text, error_text_size,
		 "a state block of %pg cannot be read, and may hold the last vote: try again; if it stays so replace the disk and make the member anew under a new id",
		 store->bdev);
	return -EIO;
}

static int read_all(struct qbd_store *store, struct reader *reader,
		    bool *table_lost, char *error_text, size_t error_text_size)
{
	u64 lost_blocks;
	int error;

	error = open_superblock(store, reader, error_text, error_text_size);
	if (error)
		return error;
	fill_identity(store);
	error = open_state(store, reader, error_text, error_text_size);
	if (!error)
		error = open_log(store, reader, error_text, error_text_size);
	if (!error)
		error = check_vote(store, error_text, error_text_size);
	/* After the log, which may say that there are others by now. */
	if (!error)
		error = qbd_extents_load(store, &lost_blocks, error_text, error_text_size);
	if (error)
		return error;
	*table_lost = lost_blocks;
	if (lost_blocks)
		extents_lost(store, lost_blocks);
	return 0;
}

/*
 * Everything after @commit_index stays in memory: is there enough of it? There is if
 * it is as much as when they came.
 */
static int check_memory(struct qbd_store *store, u64 commit_index, char *error_text,
			size_t error_text_size)
{
	u64 needed = pages_needed(store, commit_index);

	if (needed <= qbd_pool_pages(store->pool) &&
	    qbd_pool_expect(store->pool, QBD_POOL_APPEND, needed))
		return 0;
	needed += needed / 7 + QBD_RECORD_BLOCKS_MAX;
	snprintf(error_text, error_text_size,
		 "%pg: log records that are not committed need %llu MiB of memory; bring it up with that much",
		 store->bdev, (needed >> (20 - QBD_BLOCK_SHIFT)) + 1);
	return -ENOMEM;
}

int qbd_store_recover(struct qbd_store *store, struct qbd_store_recovered *recovered,
		      char *error_text, size_t error_text_size)
{
	struct reader *reader = reader_alloc(store);
	struct qbd_log *log = &store->log;
	bool table_lost = false;
	int error;

	if (!reader)
		return -ENOMEM;
	error = read_all(store, reader, &table_lost, error_text, error_text_size);
	if (error)
		goto out;
	fill_recovered(store, &reader->scan, recovered);
	store->data_through = max(log->last_index, recovered->damaged_through);
	store->data_term = store->term;
	error = check_memory(store, recovered->commit_index, error_text, error_text_size);
	if (error)
		goto out;
	error = report_entries(store, reader);
	if (error) {
		if (error == -EUCLEAN)
			snprintf(error_text, error_text_size,
				 "a configuration in the log of %pg is damaged; make the member anew",
				 store->bdev);
		else if (error != -ENOMEM)
			snprintf(error_text, error_text_size,
				 "the log of %pg cannot be read: try again; if it stays so replace the disk and make the member anew",
				 store->bdev);
		goto out;
	}
	pr_info("%s: log %llu to %llu, committed %llu, applied %llu, end: %s\n",
		store->geometry.name, log->first_index, log->last_index,
		recovered->commit_index, store->applied_index, reader->scan.reason);
	store->checkpoint.begun_at = jiffies;
	if (store->failed)
		goto out;	/* neither trusted nor written any more */
	if (store->unwanted) {
		error = -ECANCELED;
		goto out;
	}
	error = bring_up(store, reader, recovered->commit_index, table_lost);
	if (error == -ENOSPC)
		snprintf(error_text, error_text_size,
			 "the device has grown to %llu KiB and %pg has room for %llu KiB; enlarge this disk, or replace the member by one with a larger disk",
			 store->grow.wanted << (QBD_BLOCK_SHIFT - 10), store->bdev,
			 qbd_store_room(store) << (QBD_BLOCK_SHIFT - 10));
	else if (error)
		snprintf(error_text, error_text_size,
			 error == -ENOMEM ? "%pg: out of memory" :
			 "%pg cannot be read or written; see the kernel log",
			 store->bdev);
	recovered->applied_index = store->applied_index;
out:
	reader_free(reader);
	return error;
}
