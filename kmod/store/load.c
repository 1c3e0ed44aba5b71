// SPDX-License-Identifier: GPL-2.0
/*
 * Records that memory has let go, read back from the ring for a member that is
 * behind. What is read is checked against what the log knows of it.
 */
#include "internal.h"

int qbd_load_check(struct qbd_store *store, u64 index, struct qbd_record *record)
{
	const struct qbd_record_header *header = record->header;
	const struct qbd_slot *slot = qbd_log_slot(store, index);
	const char *reason = "not the record that was written there";

	if (qbd_record_header_check(header, sizeof(*header), store->geometry.uuid,
				    qbd_store_blocks_after(store, index - 1), &reason) ||
	    le32_to_cpu(header->local.checksum) != qbd_record_local_checksum(header) ||
	    le64_to_cpu(header->local.position) != slot->position ||
	    le64_to_cpu(header->shared.index) != index ||
	    le32_to_cpu(header->shared.chain) != slot->chain)
		goto bad;
	qbd_record_adopt(record);
	reason = "data checksum does not match";
	if (qbd_record_data_check(record))
		goto bad;
	record->verified = true;
	record->position = slot->position;
	record->submitted = true;
	record->durable = true;
	return 0;
bad:
	pr_err_ratelimited("%s: log record %llu is damaged: %s\n", store->geometry.name,
			   index, reason);
	return -EBADMSG;
}

static void read_record(struct qbd_store *store, struct qbd_load *load, u64 position)
{
	struct qbd_record *record = load->record;
	unsigned int blocks = 1 + record->data_blocks;
	unsigned int done = 0;

	while (done < blocks) {
		u64 until_end;
		u64 disk_block = qbd_log_disk_block(store, position + done, &until_end);
		unsigned int count = min_t(u64, blocks - done, until_end);
		struct qbd_bio *bio;

		bio = qbd_bio_alloc(store, QBD_BIO_LOAD, load, REQ_OP_READ, disk_block,
				    count);
		while (count--) {
			struct page *page = done ? record->pages[done - 1] :
						   record->header_page;

			if (bio_add_page(&bio->bio, page, QBD_BLOCK_SIZE, 0) !=
			    QBD_BLOCK_SIZE)
				break;
			done++;
		}
		load->pending++;
		qbd_bio_submit(bio);
	}
}

static struct qbd_load *load_find(struct qbd_store *store, u64 index)
{
	unsigned int i;

	for (i = 0; i < QBD_LOADS_MAX; i++)
		if (store->loads[i].index == index)
			return &store->loads[i];
	return NULL;
}

bool qbd_store_record_is_old(const struct qbd_store *store, u64 index)
{
	return qbd_log_in_ring(store, index) && !qbd_log_slot(store, index)->record;
}

int qbd_store_record(struct qbd_store *store, u64 index, struct qbd_record **record)
{
	const struct qbd_slot *slot;
	struct qbd_load *load;

	if (!qbd_log_in_ring(store, index))
		return -ENOENT;
	slot = qbd_log_slot(store, index);
	if (slot->record) {
		*record = qbd_record_get(slot->record);
		return 0;
	}
	if (load_find(store, index))
		return -EINPROGRESS;
	load = load_find(store, 0);
	if (!load || store->stopping) {
		store->want_load = true;
		return -EAGAIN;
	}
	load->record = qbd_record_alloc(store->pool, QBD_POOL_APPEND, slot->operation_count,
					slot->data_blocks, true);
	if (!load->record) {
		store->want_memory = true;
		return -EAGAIN;
	}
	load->index = index;
	load->generation = store->log.generation;
	load->error = 0;
	load->pending = 0;
	read_record(store, load, slot->position);
	return -EINPROGRESS;
}

void qbd_load_end_io(struct qbd_store *store, struct qbd_load *load, int error)
{
	if (error && !load->error)
		load->error = error;
	if (--load->pending)
		return;
	/* Its place may have been written again since: then it tells nothing. */
	if (!qbd_log_in_ring(store, load->index))
		load->error = -ENOENT;
	else if (load->generation != store->log.generation)
		load->error = -EAGAIN;
	else if (!load->error)
		load->error = qbd_load_check(store, load->index, load->record);
	load->finished = true;
}

bool qbd_load_notify(struct qbd_store *store)
{
	bool told = false;
	unsigned int i;

	for (i = 0; i < QBD_LOADS_MAX; i++) {
		struct qbd_load *load = &store->loads[i];
		struct qbd_record *record = load->record;
		u64 index = load->index;
		int error = load->error;

		if (!load->finished)
			continue;
		*load = (struct qbd_load){ };
		if (error) {
			qbd_record_put(record);
			record = ERR_PTR(error);
		}
		store->ops->record_loaded(store->context, index, record);
		/* One more may be asked for now. */
		store->notices.space |= store->want_load;
		store->want_load = false;
		told = true;
	}
	return told;
}
