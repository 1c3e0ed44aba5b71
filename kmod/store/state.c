// SPDX-License-Identifier: GPL-2.0
/*
 * The state block: one writer, two slots, the newest content wins.
 *
 * Whoever changes something asks for a write and gets a version; a write that
 * begins after that contains it, and what waits for it goes on when that version
 * is durable. So a vote never queues behind anything but one write.
 */
#include <linux/highmem.h>

#include "internal.h"

u64 qbd_state_request(struct qbd_store *store, bool preflush)
{
	store->state.preflush |= preflush;
	store->state.mirrored = false;
	return ++store->state.wanted;
}

/* What the block says now. */
static void compose(struct qbd_store *store)
{
	struct qbd_state *disk = &store->state.disk;

	disk->sequence++;
	disk->term = store->term;
	disk->vote = store->vote;
	disk->move = store->move;
	disk->log_generation = store->log.generation;
	disk->truncated_index = store->log.truncated_index;
	disk->durable_index = store->log.durable_index;
	if (!store->damage_suspected || !store->damaged_tail)
		disk->durable_index = max(disk->durable_index, store->damaged_through);
	disk->commit_index = store->log.commit_index;
	disk->flags &= ~(QBD_STATE_FAILED | QBD_STATE_CLEAN | QBD_STATE_NEW);
	if (store->is_new && !store->joined_version)
		disk->flags |= QBD_STATE_NEW;
	if (store->failed)
		disk->flags |= QBD_STATE_FAILED;
	else if (store->checkpoint.clean && !store->checkpoint.wanted &&
		 !store->damaged_through &&
		 store->log.durable_index == store->log.last_index)
		disk->flags |= QBD_STATE_CLEAN;
}

static void write_slot(struct qbd_store *store)
{
	struct qbd_state_writer *state = &store->state;
	blk_opf_t operation = REQ_OP_WRITE | QBD_REQ_WRITE | REQ_META | REQ_FUA;
	struct qbd_bio *bio;
	u64 position;
	u32 i;

	if (state->preflush)
		operation |= REQ_PREFLUSH;
	state->preflush = false;
	state->writing = true;
	state->mirrored = state->submitted == state->wanted;
	state->submitted = state->wanted;
	state->vote_submitted = state->vote_sequence;
	state->slot = !state->slot;
	position = QBD_STATE_SLOT_BLOCK(state->slot);
	compose(store);
	qbd_state_encode(&state->disk, store->geometry.uuid, position,
			 page_address(state->pages[0]));
	qbd_applied_encode(&state->applied, state->disk.sequence, store->geometry.uuid,
			   position + 1, page_address(state->pages[1]));
	bio = qbd_bio_alloc(store, QBD_BIO_STATE, NULL, operation, position,
			    QBD_STATE_SLOT_BLOCKS);
	for (i = 0; i < QBD_STATE_SLOT_BLOCKS; i++)
		__bio_add_page(&bio->bio, state->pages[i], QBD_BLOCK_SIZE, 0);
	store->status.state_writes++;
	qbd_bio_submit(bio);
}

/*
 * Write if there is something new. Otherwise, a little later, write the same into
 * the other slot, so that losing either loses nothing.
 */
void qbd_state_step(struct qbd_store *store)
{
	struct qbd_state_writer *state = &store->state;

	if (state->writing)
		return;
	if (store->failed) {
		if (store->failed_written)
			return;
		store->failed_written = true;
		state->preflush = false;
		write_slot(store);
		return;
	}
	if (state->submitted < state->wanted)
		write_slot(store);
	else if (!state->mirrored && (store->stopping || store->internal ||
				      time_after_eq(jiffies, state->mirror_at)))
		write_slot(store);
}

void qbd_state_end_io(struct qbd_store *store, int error)
{
	struct qbd_state_writer *state = &store->state;

	state->writing = false;
	state->mirror_at = jiffies + QBD_MIRROR_DELAY;
	if (error) {
		qbd_store_fail(store, error, "writing the state block");
		return;
	}
	if (store->failed)
		return;
	state->durable = state->submitted;
	if (state->vote_durable != state->vote_submitted) {
		state->vote_durable = state->vote_submitted;
		store->notices.state_durable = true;
	}
	if (store->fill.reset_version && store->fill.reset_version <= state->durable) {
		store->fill.reset_version = 0;
		store->fill.resetting = false;
		store->notices.reset_durable = true;
	}
}

void qbd_store_write_vote(struct qbd_store *store, u64 term, u32 vote, u64 sequence)
{
	store->term = term;
	store->vote = vote;
	store->state.vote_sequence = sequence;
	qbd_state_request(store, false);
	qbd_state_step(store);
}

void qbd_store_write_move(struct qbd_store *store, const struct qbd_move_layout *move)
{
	/* It would be taken for damage when it is read. */
	if (WARN_ON_ONCE(!qbd_move_good(move)))
		return;
	store->move = *move;
	store->move_version = qbd_state_request(store, false);
	qbd_state_step(store);
}

bool qbd_store_move_durable(const struct qbd_store *store)
{
	return store->state.durable >= store->move_version;
}

void qbd_store_forget_move(struct qbd_store *store)
{
	memset(&store->move, 0, sizeof(store->move));
}

const struct qbd_move_layout *qbd_store_move(const struct qbd_store *store)
{
	return &store->move;
}
