// SPDX-License-Identifier: GPL-2.0
/*
 * The ring log.
 *
 * Positions count log blocks from the making of the ring and never go back, but
 * for a truncation: then the places of what was cut off are written again. Two
 * things have to be over before that (the barrier): the writes still under way to
 * these places, whose order with the new ones nobody guarantees, and the state
 * block that says where the log was cut, without which a crash could find the
 * old tail behind a torn new record and take it for acknowledged records that
 * are missing (accidents 20, 21, 40).
 */
#include <linux/ktime.h>

#include "internal.h"

u64 qbd_store_generation(const struct qbd_store *store)
{
	return store->log.generation;
}

u64 qbd_store_last_index(const struct qbd_store *store)
{
	return store->log.last_index;
}

u64 qbd_store_newest_data(const struct qbd_store *store, u64 index)
{
	const struct qbd_log *log = &store->log;

	for (index = min(index, log->last_index); index >= log->first_index; index--)
		if (qbd_log_slot(store, index)->kind == QBD_RECORD_DATA)
			return index;
	return log->base_data_index;
}

bool qbd_store_written_since(const struct qbd_store *store, u64 index, u64 last)
{
	return qbd_store_newest_data(store, last) > index;
}

void qbd_store_say_data(const struct qbd_store *store, u64 index,
			struct qbd_applied_layout *applied)
{
	applied->without_data = cpu_to_le64(index - qbd_store_newest_data(store, index));
}

/* What is known of entries that the log does not reach back to: @applied, as of @index. */
void qbd_log_base_data(struct qbd_store *store, u64 index,
		       const struct qbd_applied_layout *applied)
{
	u64 without_data = le64_to_cpu(applied->without_data);

	/* Rather data that was not written than that some is passed over. */
	store->log.base_data_index = without_data > index ? index : index - without_data;
}

u64 qbd_store_first_index(const struct qbd_store *store)
{
	return store->log.first_index;
}

u32 qbd_store_chain(const struct qbd_store *store, u64 index)
{
	if (index + 1 == store->log.first_index)
		return store->log.base_chain;
	if (WARN_ON_ONCE(!qbd_log_in_ring(store, index)))
		return 0;
	return qbd_log_slot(store, index)->chain;
}

u64 qbd_log_term(const struct qbd_store *store, u64 index)
{
	if (index + 1 == store->log.first_index)
		return store->log.base_term;
	if (WARN_ON_ONCE(!qbd_log_in_ring(store, index)))
		return 0;
	return qbd_log_slot(store, index)->term;
}

u64 qbd_log_position(const struct qbd_store *store, u64 index)
{
	if (index == store->log.last_index + 1)
		return store->log.next_position;
	if (WARN_ON_ONCE(!qbd_log_in_ring(store, index)))
		return store->log.next_position;
	return qbd_log_slot(store, index)->position;
}

u32 qbd_store_log_share_after(const struct qbd_store *store, u64 index)
{
	const struct qbd_log *log = &store->log;
	u64 from = clamp(index + 1, log->first_index, log->last_index + 1);

	if (index + 1 < log->first_index)
		return 16;
	return div64_u64((log->next_position - qbd_log_position(store, from)) * 16,
			 store->geometry.log_blocks);
}

u64 qbd_store_log_bytes(const struct qbd_store *store, u64 first, u64 last)
{
	const struct qbd_log *log = &store->log;

	first = max(first, log->first_index);
	last = min(last, log->last_index);
	if (first > last)
		return 0;
	return (qbd_log_position(store, last + 1) - qbd_log_position(store, first)) <<
	       QBD_BLOCK_SHIFT;
}

/* Accident 44: nothing that recovery or apply may need is ever written over. */
bool qbd_store_has_room(const struct qbd_store *store, unsigned int data_blocks)
{
	const struct qbd_log *log = &store->log;
	u64 used = log->next_position - log->first_position;

	return used + 1 + data_blocks <= store->geometry.log_blocks &&
	       log->last_index + 1 - log->first_index < log->capacity;
}

bool qbd_store_has_room_at(const struct qbd_store *store, u64 index,
			   unsigned int data_blocks, unsigned int reserve)
{
	const struct qbd_log *log = &store->log;
	u64 end = log->next_position;

	if (index < log->first_index)
		return true;	/* here already, and more */
	if (index <= log->last_index)
		end = qbd_log_position(store, index);
	return end - log->first_position + 1 + data_blocks + reserve <=
	       store->geometry.log_blocks &&
	       index - log->first_index + reserve < log->capacity;
}

/* In memory, in order of index. */
void qbd_log_make_resident(struct qbd_store *store, struct qbd_record *record)
{
	struct qbd_log *log = &store->log;

	list_add_tail(&record->link, &log->resident);
	log->resident_count++;
	qbd_log_slot(store, record->index)->record = record;
}

static void drop_from_memory(struct qbd_store *store, struct qbd_record *record)
{
	struct qbd_log *log = &store->log;

	qbd_log_slot(store, record->index)->record = NULL;
	list_del_init(&record->link);
	log->resident_count--;
	qbd_record_put(record);
}

static void fill_slot(struct qbd_store *store, const struct qbd_record *record)
{
	struct qbd_slot *slot = qbd_log_slot(store, record->index);

	slot->record = NULL;
	slot->position = record->position;
	slot->term = record->term;
	slot->chain = qbd_record_chain_of(record);
	slot->data_blocks = record->data_blocks;
	slot->operation_count = record->operation_count;
	slot->kind = le16_to_cpu(record->header->shared.kind);
	if (slot->kind == QBD_RECORD_MEMBERSHIP)
		store->log.memberships++;
	if (slot->kind == QBD_RECORD_RESIZE)
		store->log.resizes++;
}

/*
 * A log that lost records it had acknowledged is written on: what lies behind its
 * end is of the same generation and would, after the next crash, prove again that
 * something is missing. State it cut off; damaged_through stays on the disk until
 * the leader has sent everything again.
 */
static void cut_off_damaged_tail(struct qbd_store *store)
{
	struct qbd_log *log = &store->log;

	if (!store->damaged_tail)
		return;
	store->damaged_tail = false;
	log->generation++;
	log->truncated_index = log->last_index + 1;
	log->barrier = qbd_state_request(store, false);
}

int qbd_store_append(struct qbd_store *store, struct qbd_record *record)
{
	struct qbd_log *log = &store->log;
	struct qbd_record_local *local = &record->header->local;

	if (store->failed || store->stopping || store->fill.resetting)
		return -EIO;
	if (WARN_ON_ONCE(record->index != log->last_index + 1 ||
			 le32_to_cpu(record->header->shared.chain_previous) !=
			 qbd_store_chain(store, log->last_index)))
		return -EINVAL;
	if (!qbd_store_has_room(store, record->data_blocks)) {
		qbd_store_wake(store);
		return -ENOSPC;
	}
	cut_off_damaged_tail(store);
	record->position = log->next_position;
	record->log_writes = 0;
	record->error = 0;
	record->submitted = false;
	record->durable = false;
	record->removed = false;
	memset(local, 0, sizeof(*local));
	local->position = cpu_to_le64(record->position);
	local->durable_index = cpu_to_le64(log->durable_index);
	local->commit_index = cpu_to_le64(log->commit_index);
	local->generation = cpu_to_le64(log->generation);
	local->member_id = cpu_to_le32(store->geometry.member_id);
	local->checksum = cpu_to_le32(qbd_record_local_checksum(record->header));

	log->last_index = record->index;
	log->next_position += 1 + record->data_blocks;
	fill_slot(store, record);
	qbd_log_make_resident(store, qbd_record_get(record));
	store->idle_at = jiffies + QBD_IDLE_DELAY;
	store->idle_armed = true;
	qbd_log_submit(store);
	qbd_state_step(store);
	qbd_store_wake(store);
	return 0;
}

static struct page *record_page(const struct qbd_record *record, unsigned int block)
{
	return block ? record->pages[block - 1] : record->header_page;
}

/* Header and data in as few bios as the ring's end and the bio's size allow. */
static void write_record(struct qbd_store *store, struct qbd_record *record)
{
	unsigned int blocks = 1 + record->data_blocks;
	unsigned int done = 0;

	record->submitted = true;
	/* Only people look at it: the exact time is not worth reading a clock. */
	record->submitted_ns = ktime_get_coarse_ns();
	qbd_record_get(record);
	/* One more than there are bios, so that none of them is the last yet. */
	record->log_writes = 1;
	while (done < blocks) {
		u64 until_end;
		u64 disk_block = qbd_log_disk_block(store, record->position + done,
						    &until_end);
		unsigned int count = min_t(u64, blocks - done, until_end);
		struct qbd_bio *bio;

		bio = qbd_bio_alloc(store, QBD_BIO_LOG, record,
				    REQ_OP_WRITE | REQ_FUA | QBD_REQ_WRITE, disk_block, count);
		while (count-- && bio_add_page(&bio->bio, record_page(record, done),
					       QBD_BLOCK_SIZE, 0) == QBD_BLOCK_SIZE)
			done++;
		record->log_writes++;
		qbd_bio_submit(bio);
	}
	record->log_writes--;
	store->status.log_writes++;
	store->status.log_write_bytes += qbd_record_bytes(record);
}

/* Give the disk what was appended, within the limits. */
void qbd_log_submit(struct qbd_store *store)
{
	struct qbd_log *log = &store->log;

	if (store->failed)
		return;
	if (log->barrier) {
		if (log->removed || log->barrier > store->state.durable)
			return;
		log->barrier = 0;
	}
	while (log->submitted_index < log->last_index &&
	       store->inflight[QBD_BIO_LOG] + QBD_RECORD_BIOS_MAX <= QBD_LOG_BIOS_MAX) {
		struct qbd_record *record =
			qbd_log_slot(store, log->submitted_index + 1)->record;

		if (WARN_ON_ONCE(!record)) {
			qbd_store_fail(store, -EINVAL, "the log's book-keeping");
			return;
		}
		log->submitted_index++;
		write_record(store, record);
	}
}

/* Only a contiguous prefix is durable: what follows a hole cannot be recovered. */
static void advance_durable(struct qbd_store *store)
{
	struct qbd_log *log = &store->log;
	u64 before = log->durable_index;

	while (log->durable_index < log->submitted_index) {
		struct qbd_record *record =
			qbd_log_slot(store, log->durable_index + 1)->record;

		if (WARN_ON_ONCE(!record) || !record->durable)
			break;
		log->durable_index++;
	}
	if (log->durable_index == before)
		return;
	store->notices.log_durable = true;
	if (store->damaged_through && log->durable_index >= store->damaged_through)
		store->damaged_through = 0;
	if (before < log->commit_index && store->applied_index == before)
		store->apply_at = jiffies + QBD_APPLY_DELAY;
}

void qbd_log_end_io(struct qbd_store *store, struct qbd_record *record, int error)
{
	if (error && !record->error)
		record->error = error;
	if (--record->log_writes)
		return;
	if (record->error)
		qbd_store_fail(store, record->error, "writing the log");
	if (record->removed) {
		/* Cut off meanwhile: this says nothing of what has its index now. */
		store->log.removed--;
	} else if (!store->failed) {
		record->durable = true;
		advance_durable(store);
	}
	qbd_record_put(record);
}

static void remove_last(struct qbd_store *store)
{
	struct qbd_log *log = &store->log;
	struct qbd_slot *slot = qbd_log_slot(store, log->last_index);
	struct qbd_record *record = slot->record;

	if (slot->kind == QBD_RECORD_MEMBERSHIP)
		log->memberships--;
	if (slot->kind == QBD_RECORD_RESIZE && log->last_index > store->applied_index)
		log->resizes--;
	if (record) {
		if (record->log_writes) {
			record->removed = true;
			log->removed++;
		}
		drop_from_memory(store, record);
	}
	log->last_index--;
}

void qbd_store_truncate(struct qbd_store *store, u64 first_removed)
{
	struct qbd_log *log = &store->log;

	if (first_removed > log->last_index)
		return;
	if (WARN_ON_ONCE(first_removed <= log->commit_index ||
			 first_removed < log->first_index))
		return;
	/* What was not committed was never applied. */
	if (store->data_through <= log->last_index)
		store->data_through = min(store->data_through, first_removed - 1);
	log->next_position = qbd_log_position(store, first_removed);
	while (log->last_index >= first_removed)
		remove_last(store);
	log->submitted_index = min(log->submitted_index, log->last_index);
	/* Accident 21: what was durable there is not what will be. */
	log->durable_index = min(log->durable_index, log->last_index);
	log->generation++;
	log->truncated_index = first_removed;
	log->barrier = qbd_state_request(store, false);
	qbd_state_step(store);
}

void qbd_store_damaged(struct qbd_store *store, u64 through)
{
	if (through <= max(store->log.durable_index, store->damaged_through))
		return;
	store->damaged_through = through;
	/* It is not this disk alone that shows it. */
	store->damage_suspected = false;
	qbd_state_request(store, false);
	qbd_state_step(store);
}

void qbd_store_repaired(struct qbd_store *store)
{
	if (!store->damaged_through)
		return;
	store->damaged_through = 0;
	qbd_state_request(store, false);
	qbd_state_step(store);
}

void qbd_store_joined(struct qbd_store *store)
{
	if (!store->is_new || store->joined_version)
		return;
	store->joined_version = qbd_state_request(store, false);
	qbd_state_step(store);
}

bool qbd_store_is_new(const struct qbd_store *store)
{
	return store->is_new && (!store->joined_version ||
				 store->state.durable < store->joined_version);
}

void qbd_store_commit(struct qbd_store *store, u64 index)
{
	struct qbd_log *log = &store->log;

	/* Nothing is applied any more, and the records may be gone from memory. */
	if (store->failed)
		return;
	if (WARN_ON_ONCE(index > log->last_index))
		index = log->last_index;
	if (index <= log->commit_index)
		return;
	if (log->commit_index == store->applied_index)
		store->apply_at = jiffies + QBD_APPLY_DELAY;
	while (log->commit_index < index) {
		struct qbd_record *record =
			qbd_log_slot(store, log->commit_index + 1)->record;
		unsigned int i;

		if (WARN_ON_ONCE(!record))
			break;
		log->commit_index++;
		/* Nobody reads at a witness. */
		for (i = 0; !store->geometry.no_data && i < record->operation_count; i++)
			qbd_overlay_insert(&store->overlay, qbd_record_node(record, i));
	}
	/*
	 * What had been committed in earlier terms is before all that a later leader
	 * wrote. The rest of what was lost was not, and may never come again.
	 */
	if (store->data_through > log->commit_index &&
	    qbd_log_term(store, log->commit_index) > store->data_term)
		store->data_through = log->commit_index;
	store->idle_at = jiffies + QBD_IDLE_DELAY;
	store->idle_armed = true;
	qbd_store_wake(store);
}

/*
 * Give memory back, oldest first, while less than three quarters of the pool are
 * free: what is applied and durable can be read from the ring again. MEMBERSHIP
 * records are few and stay: reclaim needs their content.
 */
void qbd_log_trim(struct qbd_store *store)
{
	u64 limit = min(store->applied_index, store->log.durable_index);
	unsigned int enough = qbd_pool_pages(store->pool) / 4 * 3;
	struct qbd_record *record, *next;

	list_for_each_entry_safe(record, next, &store->log.resident, link) {
		if (record->index > limit || qbd_pool_pages_free(store->pool) >= enough)
			break;
		if (qbd_log_slot(store, record->index)->kind != QBD_RECORD_MEMBERSHIP)
			drop_from_memory(store, record);
	}
}

/* Nothing is applied any more: what waits for that holds memory for nothing. */
void qbd_log_release(struct qbd_store *store)
{
	struct qbd_record *record, *next;

	store->overlay = RB_ROOT_CACHED;
	list_for_each_entry_safe(record, next, &store->log.resident, link)
		drop_from_memory(store, record);
}

/* The state block says so already: what is before @first_index is free. */
void qbd_log_reclaim(struct qbd_store *store, u64 first_index)
{
	struct qbd_log *log = &store->log;

	if (first_index <= log->first_index)
		return;
	while (log->first_index < first_index && log->first_index <= log->last_index) {
		struct qbd_slot *slot = qbd_log_slot(store, log->first_index);

		log->base_term = slot->term;
		log->base_chain = slot->chain;
		if (slot->kind == QBD_RECORD_MEMBERSHIP)
			log->memberships--;
		if (slot->kind == QBD_RECORD_DATA)
			log->base_data_index = log->first_index;
		if (slot->record)
			drop_from_memory(store, slot->record);
		log->first_index++;
	}
	log->first_position = qbd_log_position(store, log->first_index);
	store->notices.log_reclaimed = true;
	store->notices.space = true;
}

void qbd_log_restart(struct qbd_store *store, u64 index, u64 term, u32 chain)
{
	struct qbd_log *log = &store->log;
	u64 next_position = log->next_position;

	while (log->last_index >= log->first_index)
		remove_last(store);
	log->next_position = next_position;
	log->first_position = next_position;
	log->first_index = index + 1;
	log->last_index = index;
	log->submitted_index = index;
	log->durable_index = index;
	log->commit_index = index;
	log->base_term = term;
	log->base_chain = chain;
	log->generation++;
	log->truncated_index = index + 1;
}

void qbd_log_membership(const struct qbd_store *store, u64 index,
			const struct qbd_membership_layout *fallback,
			struct qbd_membership_layout *membership)
{
	const struct qbd_log *log = &store->log;
	const struct qbd_record *record;

	*membership = *fallback;
	if (!log->memberships)
		return;
	list_for_each_entry(record, &log->resident, link) {
		if (record->index > index)
			break;
		/* A member's first list may be newer than the begin of its log. */
		if (le16_to_cpu(record->header->shared.kind) == QBD_RECORD_MEMBERSHIP &&
		    record->index > le64_to_cpu(fallback->index))
			memcpy(membership, page_address(record->pages[0]),
			       sizeof(*membership));
	}
}
