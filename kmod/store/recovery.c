// SPDX-License-Identifier: GPL-2.0
/*
 * What a disk says after a power cut: all decisions, no I/O.
 *
 * Superblock (two copies, never written but when one is repaired)
 *
 *   first      second     verdict
 *   good       good       same device, member and incarnation: use the first
 *                         otherwise: refuse (EUCLEAN), two disks were mixed
 *   good       bad        use the first, write the second again
 *   bad        good       use the second, write the first again
 *   newer      any        refuse (EPROTONOSUPPORT), whatever the other one says
 *   damaged    bad        refuse (EUCLEAN)
 *   none       none       refuse (EMEDIUMTYPE): no qbd disk
 *   a good one that needs more blocks than the disk has: refuse (EUCLEAN)
 *
 * Size of the device: what the state block says; 0 there: what the superblock says, which
 * is the size when the disk was made. Less than that, or more than table or disk have room
 * for: refuse (EUCLEAN). Whatever the device grew by is on the disk, and the extents of it
 * in the table, before a state block says so. A RESIZE in the log that is not applied yet
 * is carried out when the log is, as if it had just come:
 *
 *   power is cut                        state block   log     when it comes up again
 *   before the record is durable        old size      -       old size; it is sent again
 *   before it is committed              old size      RESIZE  old size until it is committed
 *   while the table's blocks, zeroes,   old size      RESIZE  all of that is done again
 *   or the state block are written
 *   behind the state block              new size      any     new size; a RESIZE to what is
 *                                                             there already does nothing
 *
 * State block (two slots, written in turn, each write awaited). A slot is good if both
 * of its blocks are and say that they were written together.
 *
 *   slot       slot       verdict
 *   good       good       the higher sequence
 *   good       bad        the good one: nothing was allowed to depend on a write
 *                         that was cut off (accident 2: a vote is answered when
 *                         its write is done); a finished write is repeated into
 *                         the other slot soon, so that a sector that rots later
 *                         loses nothing
 *   newer      any        refuse (EPROTONOSUPPORT)
 *   bad        bad        refuse (EUCLEAN): vote and term are gone, and with them
 *                         the right to vote as this member
 *
 * Log. Let b be the first place, going from the oldest record, where the record
 * that is expected is not found: its header is checked by itself (checksum, ring
 * position, member, generation), then against its predecessor (index, term,
 * chain), then its data, unless it was applied and is no list of members
 * (accidents 40, 42, 44). Let A be the applied index of the state block, and D the
 * highest index that anything says was durable here: the state block, or any later
 * record in the ring that is good by itself.
 *
 *   b          D          verdict
 *   b <= A     any        its effect is in the data area: the log begins after A,
 *                         as the state block says, and the scan goes on there
 *                         (the same, if A's is another than the state block says)
 *   b > A      D >= b     DAMAGED: b was acknowledged. The log is kept up to b - 1,
 *                         nothing behind it is overwritten unless a leader sends
 *                         it anew, and the member may neither vote nor lead until
 *                         it has everything up to D again, and up to the last
 *                         record behind b (accidents 27, 40, 41)
 *                         (the same, if b - 1 may be stale: kept up to A)
 *   b > A      D < b      b cannot be read, or a block in which the record behind it
 *                         may begin: DAMAGED up to b, for as long as it is so: a
 *                         power cut leaves a block old, new or mixed, but readable;
 *                         the fault may hide an acknowledged record. What is only
 *                         suspected is written to the disk when the log is written
 *                         on, which may be what makes the block readable again.
 *                         (A member without others: only if it is b itself)
 *   b > A      D < b      otherwise: a torn tail, never acknowledged: dropped
 *
 * Of what was cut off from the log the state block knows the last time. A record that
 * went before that, and lies where nothing was written since, may pass for a later
 * one of this log, if its index and term let it: then a torn tail is taken for
 * DAMAGED, which costs sending it again, and never the other way round.
 *
 * Nor can it be told where its successor was to be written, and the disk lost that write: it
 * is stale, and good by itself. But then what follows does not fit to it. If b is good by
 * itself, of a later generation, and does not follow b - 1, then b - 1 is another one than
 * was in the log when b was written: DAMAGED, and all that was found behind A counts as lost.
 * (Of what was cut off before b - 1 was written nothing is of a later generation.) So it does
 * if the log is DAMAGED otherwise, and b - 1 is of a generation from which on it may have been
 * cut off without the state block's knowledge. (Generations do not go down along a log. One
 * whose next generation is the state block's was not cut off by that one, or it would be
 * known.) A stale record at the very end of the log, with nothing behind it, is not found.
 *
 * D is about this disk's own acknowledgment. Commit indexes prove nothing here: a
 * leader's entry may be committed by the others before its own write is done, and
 * after a power cut its log ends before it, rightly.
 *
 * The disk was taken down in order (CLEAN): the log ends at D exactly. Less is
 * damage by the rule above; a record behind D is one that was cut off, or one that was on its
 * way when power was cut, behind a torn one that was sent again since. That is of this
 * generation, and fits. So the start cuts the log off behind D once more: the next one, for
 * which the disk is not CLEAN any more, finds the same end. (A generation more, for which b - 1
 * may be taken for stale the sooner: that costs sending again.)
 */
#include "recovery.h"

static bool same_disk(const struct qbd_geometry *a, const struct qbd_geometry *b)
{
	return !memcmp(a->uuid, b->uuid, QBD_UUID_SIZE) &&
	       !memcmp(a->incarnation, b->incarnation, QBD_UUID_SIZE) &&
	       a->member_id == b->member_id && a->no_data == b->no_data &&
	       a->client == b->client &&
	       a->backing_blocks == b->backing_blocks;
}

int qbd_recovery_superblock(const void *const copies[2], const u64 positions[2],
			    u64 disk_blocks, struct qbd_superblock_choice *choice,
			    const char **reason)
{
	enum qbd_block_verdict verdicts[2];
	struct qbd_geometry other;
	const char *reasons[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		reasons[i] = "it cannot be read";
		verdicts[i] = QBD_BLOCK_DAMAGED;
		if (copies[i])
			verdicts[i] = qbd_superblock_check(copies[i], positions[i],
							   i ? &other : &choice->geometry,
							   &reasons[i]);
	}
	for (i = 0; i < 2; i++) {
		if (verdicts[i] == QBD_BLOCK_NEWER) {
			*reason = reasons[i];
			return -EPROTONOSUPPORT;
		}
	}
	if (verdicts[0] != QBD_BLOCK_GOOD && verdicts[1] != QBD_BLOCK_GOOD) {
		/* One that is damaged tells more than one that is not there. */
		i = verdicts[0] == QBD_BLOCK_FOREIGN && copies[1] &&
		    verdicts[1] == QBD_BLOCK_DAMAGED;
		*reason = reasons[i];
		return verdicts[i] == QBD_BLOCK_FOREIGN ? -EMEDIUMTYPE : -EUCLEAN;
	}
	if (verdicts[0] == QBD_BLOCK_GOOD && verdicts[1] == QBD_BLOCK_GOOD &&
	    !same_disk(&choice->geometry, &other)) {
		*reason = "its two copies belong to different disks";
		return -EUCLEAN;
	}
	choice->good = verdicts[0] != QBD_BLOCK_GOOD;
	choice->repair = verdicts[!choice->good] != QBD_BLOCK_GOOD;
	if (choice->good)
		choice->geometry = other;
	if (choice->geometry.backing_blocks > disk_blocks) {
		*reason = "the disk is smaller than it was when it was made";
		return -EUCLEAN;
	}
	return 0;
}

/* Both blocks of a slot are good, and were written together; else neither counts. */
static enum qbd_block_verdict slot_check(const void *block, const void *applied,
					 unsigned int slot, const u8 *uuid,
					 struct qbd_state *state, const char **reason)
{
	enum qbd_block_verdict verdict;

	verdict = qbd_state_check(block, QBD_STATE_SLOT_BLOCK(slot), uuid, state, reason);
	if (verdict != QBD_BLOCK_GOOD)
		return verdict;
	return qbd_applied_check(applied, QBD_APPLIED_BLOCK(slot), uuid, state->sequence,
				 reason);
}

/*
 * The highest sequence of any block that is good by itself, be its slot good or not. The next
 * write has a higher one, or what it leaves of that slot, if it is cut off, may be one half of
 * it and one of the write that was cut off before, with one sequence.
 */
static u64 newest_sequence(const void *const slots[QBD_STATE_SLOTS],
			   const void *const applied[QBD_STATE_SLOTS], const u8 *uuid,
			   struct qbd_state *state)
{
	const char *reason;
	u64 newest = 0;
	unsigned int i;

	for (i = 0; i < QBD_STATE_SLOTS; i++) {
		const struct qbd_applied_block *block = applied[i];

		if (slots[i] && qbd_state_check(slots[i], QBD_STATE_SLOT_BLOCK(i), uuid, state,
						&reason) == QBD_BLOCK_GOOD &&
		    state->sequence > newest)
			newest = state->sequence;
		if (block && le64_to_cpu(block->sequence) > newest &&
		    qbd_applied_check(block, QBD_APPLIED_BLOCK(i), uuid,
				      le64_to_cpu(block->sequence), &reason) ==
		    QBD_BLOCK_GOOD)
			newest = le64_to_cpu(block->sequence);
	}
	return newest;
}

int qbd_recovery_state(const void *const slots[QBD_STATE_SLOTS],
		       const void *const applied[QBD_STATE_SLOTS], const u8 *uuid,
		       struct qbd_state *state, unsigned int *slot,
		       const char **reason)
{
	bool found = false;
	u64 best = 0, newest;
	unsigned int i;

	*reason = "neither state block can be read";
	for (i = 0; i < QBD_STATE_SLOTS; i++) {
		enum qbd_block_verdict verdict;

		if (!slots[i] || !applied[i])
			continue;
		verdict = slot_check(slots[i], applied[i], i, uuid, state, reason);
		if (verdict == QBD_BLOCK_NEWER)
			return -EPROTONOSUPPORT;
		if (verdict != QBD_BLOCK_GOOD || (found && state->sequence <= best))
			continue;
		found = true;
		best = state->sequence;
		*slot = i;
	}
	if (!found)
		return -EUCLEAN;
	newest = newest_sequence(slots, applied, uuid, state);
	/* Once more: @state may hold the other slot now. */
	qbd_state_check(slots[*slot], QBD_STATE_SLOT_BLOCK(*slot), uuid, state, reason);
	state->sequence = newest;
	return 0;
}

int qbd_recovery_size(struct qbd_geometry *geometry, const struct qbd_state *state,
		      u64 disk_blocks, const char **reason)
{
	if (!state->device_blocks)
		return 0;
	*reason = "superblock and state block contradict each other about the device's size";
	if (!qbd_geometry_grow(geometry, state->device_blocks))
		return -EUCLEAN;
	*reason = "the disk is smaller than what the device has grown to needs";
	return geometry->device_blocks > qbd_geometry_room(geometry, disk_blocks) ?
	       -EUCLEAN : 0;
}

static const void *ring_block(const struct qbd_scan *scan, u64 position)
{
	u64 place;

	div64_u64_rem(position, scan->log_blocks, &place);
	return scan->ops->block(scan->context, place);
}

bool qbd_recovery_local_check(const struct qbd_record_header *header, u64 position,
			      u32 member_id, const struct qbd_state *state,
			      const char **reason)
{
	const struct qbd_record_local *local = &header->local;

	*reason = "local checksum does not match";
	if (le32_to_cpu(local->checksum) != qbd_record_local_checksum(header))
		return false;
	*reason = "record of another lap or place";
	if (le64_to_cpu(local->position) != position)
		return false;
	*reason = "record of another member's log";
	if (le32_to_cpu(local->member_id) != member_id)
		return false;
	/* It would be written into the state block, which nobody would take then. */
	*reason = "record that says more is durable than there was";
	if (le64_to_cpu(header->shared.index) >> 62 ||
	    le64_to_cpu(local->durable_index) >= le64_to_cpu(header->shared.index))
		return false;
	/*
	 * Of a later truncation than the state block knows (its newest slot was
	 * lost): which records that one cut off is not known any more, but this one
	 * is not among them.
	 */
	if (le64_to_cpu(local->generation) > state->log_generation)
		return true;
	*reason = "record that was cut off";
	if (le64_to_cpu(local->generation) != state->log_generation &&
	    le64_to_cpu(header->shared.index) >= state->truncated_index)
		return false;
	return true;
}

/* Is the block at @position the header of a record that is good by itself? */
static bool header_at(struct qbd_scan *scan, u64 position)
{
	const void *block = ring_block(scan, position);

	scan->unreadable = !block;
	if (!block) {
		scan->reason = "cannot be read";
		return false;
	}
	/* Most blocks that are looked at are data: tell them apart quickly. */
	scan->reason = "no record header";
	if (le32_to_cpu(((const struct qbd_record_header *)block)->shared.magic) !=
	    QBD_RECORD_MAGIC)
		return false;
	memcpy(&scan->header, block, sizeof(scan->header));
	return !qbd_record_header_check(&scan->header, sizeof(scan->header), scan->uuid,
					scan->device_blocks_most, &scan->reason) &&
	       qbd_recovery_local_check(&scan->header, position, scan->member_id,
					scan->state, &scan->reason);
}

/* The end of the ring as this disk may use it: the oldest record's place again. */
static u64 ring_end(const struct qbd_scan *scan)
{
	return scan->state->log_first_position + scan->log_blocks;
}

/* CRC of @count data blocks from @position on; false if one cannot be read. */
static bool data_checksum(struct qbd_scan *scan, u64 position, u32 count, u32 *crc)
{
	*crc = ~0u;
	for (; count; count--, position++) {
		const void *block = ring_block(scan, position);

		if (!block) {
			scan->reason = "cannot be read";
			scan->unreadable = true;
			return false;
		}
		*crc = qbd_crc32c(*crc, block, QBD_BLOCK_SIZE);
	}
	return true;
}

static bool data_good(struct qbd_scan *scan, u64 position)
{
	const struct qbd_record_shared *shared = &scan->header.shared;
	u32 count = le16_to_cpu(shared->operation_count);
	u32 crc, i;

	position++;
	if (!count && shared->data_blocks) {
		if (!data_checksum(scan, position, le32_to_cpu(shared->data_blocks), &crc))
			return false;
		scan->reason = "data checksum does not match";
		return crc == le32_to_cpu(shared->data_checksum);
	}
	for (i = 0; i < count; i++) {
		const struct qbd_operation *operation = &scan->header.operations[i];
		u32 blocks = le32_to_cpu(operation->count);

		if (!qbd_operation_has_data(operation))
			continue;
		if (!data_checksum(scan, position, blocks, &crc))
			return false;
		scan->reason = "data checksum does not match";
		if (crc != le32_to_cpu(operation->data_checksum))
			return false;
		position += blocks;
	}
	return true;
}

/* Is the record after the last good one there, and is it the one expected? */
static bool next_record_good(struct qbd_scan *scan)
{
	const struct qbd_record_shared *shared = &scan->header.shared;
	u64 position = scan->next_position;
	u64 blocks;

	scan->reason = "the ring is full";
	scan->unreadable = false;
	scan->forked = false;
	if (position >= ring_end(scan) || !header_at(scan, position))
		return false;
	blocks = 1 + le32_to_cpu(shared->data_blocks);
	scan->reason = "record reaches over the oldest one";
	if (blocks > ring_end(scan) - position)
		return false;
	/*
	 * What is applied was looked at when it came. (Not for proof that something is
	 * missing: what made the device larger may be what is missing.)
	 */
	scan->reason = "record outside of the device";
	if (qbd_record_reach(&scan->header) > scan->device_blocks)
		return false;
	scan->reason = "record of another index";
	if (le64_to_cpu(shared->index) != scan->last_index + 1)
		return false;
	scan->reason = "record of an older term";
	scan->forked = scan->last_index > scan->base_index &&
		       le64_to_cpu(scan->header.local.generation) > scan->last_generation;
	if (le64_to_cpu(shared->term) < scan->last_term)
		return false;
	scan->reason = "record of another history";
	if (le32_to_cpu(shared->chain_previous) != scan->last_chain ||
	    (scan->last_index + 1 == scan->state->applied_index &&
	     le32_to_cpu(shared->chain) != scan->state->applied_chain))
		return false;
	scan->forked = false;
	/* The list of members is taken from its record, also when that was applied. */
	return (scan->last_index + 1 <= scan->state->applied_index &&
		le16_to_cpu(shared->kind) != QBD_RECORD_MEMBERSHIP) ||
	       data_good(scan, position);
}

static void take_record(struct qbd_scan *scan)
{
	const struct qbd_record_header *header = &scan->header;
	u64 commit = le64_to_cpu(header->local.commit_index);

	scan->ops->found(scan->context, header, scan->next_position);
	if (le16_to_cpu(header->shared.kind) == QBD_RECORD_RESIZE &&
	    le64_to_cpu(header->shared.device_blocks) > scan->device_blocks)
		scan->device_blocks = le64_to_cpu(header->shared.device_blocks);
	scan->members_changed |= le16_to_cpu(header->shared.kind) ==
				 QBD_RECORD_MEMBERSHIP;
	if (scan->generation < le64_to_cpu(header->local.generation))
		scan->generation = le64_to_cpu(header->local.generation);
	if (scan->commit_index < commit)
		scan->commit_index = commit;
	scan->last_generation = le64_to_cpu(header->local.generation);
	scan->last_index++;
	scan->last_term = le64_to_cpu(header->shared.term);
	scan->last_chain = le32_to_cpu(header->shared.chain);
	scan->next_position += 1 + le32_to_cpu(header->shared.data_blocks);
}

static void begin_at(struct qbd_scan *scan, u64 index, u64 term, u32 chain, u64 position)
{
	scan->base_index = index;
	scan->base_term = term;
	scan->base_chain = chain;
	scan->base_position = position;
	scan->last_index = index;
	scan->last_term = term;
	scan->last_chain = chain;
	scan->next_position = position;
}

/*
 * Look through the rest of the ring for proof that the record at bad_index was
 * durable. Records that had been in flight with it prove nothing: what they knew
 * to be durable lies before it.
 */
static void search_proof(struct qbd_scan *scan)
{
	const char *reason = scan->reason;
	bool alone = qbd_state_names_one(scan->state) && !scan->members_changed;
	/* What was applied last is known to be no stale one. */
	bool forked = scan->forked && scan->last_index > scan->state->applied_index;
	bool bad_unreadable = scan->unreadable;
	bool unreadable = bad_unreadable;
	u64 bad = scan->bad_index;
	u64 durable = scan->state->durable_index;
	u64 behind = 0;
	u64 position;
	/* Up to here the header of the record behind the last one may be. */
	u64 reach = scan->next_position + QBD_RECORD_BLOCKS_MAX;

	scan->newest_generation = scan->generation;
	for (position = scan->next_position; position < ring_end(scan); position++) {
		const struct qbd_record_local *local = &scan->header.local;

		if (!header_at(scan, position)) {
			unreadable |= scan->unreadable && position <= reach;
			continue;
		}
		/*
		 * Terms do not go down along a log: it was cut off long ago. (But a stale
		 * record's term says nothing of the log.)
		 */
		if (le64_to_cpu(scan->header.shared.index) <= bad ||
		    (!forked && le64_to_cpu(scan->header.shared.term) < scan->last_term))
			continue;
		reach = position + 1 + le32_to_cpu(scan->header.shared.data_blocks) +
			QBD_RECORD_BLOCKS_MAX;
		if (le64_to_cpu(scan->header.shared.index) > behind)
			behind = le64_to_cpu(scan->header.shared.index);
		if (le64_to_cpu(local->durable_index) > durable)
			durable = le64_to_cpu(local->durable_index);
		if (le64_to_cpu(local->generation) > scan->newest_generation)
			scan->newest_generation = le64_to_cpu(local->generation);
	}
	scan->reason = reason;
	/* Where the last one was cut off and written again, and acknowledged before this. */
	if (forked && durable < bad)
		durable = bad;
	/*
	 * What cannot be read may be the record, or the proof. A member that has
	 * others lets them send it again. For one that has none that would be the
	 * end, though most of the ring holds nothing that counts: there, what can be
	 * read decides, unless it is the record itself that cannot.
	 */
	if (durable < bad && unreadable && alone && !bad_unreadable) {
		scan->reason = "not whole; blocks behind it cannot be read";
	} else if (durable < bad && unreadable) {
		scan->reason = "cannot be read, or a block behind it cannot";
		scan->suspected = true;
		durable = bad;
	}
	if (durable >= bad) {
		scan->verdict = QBD_LOG_DAMAGED;
		/* What is good behind it was perhaps acknowledged, and is cut off too. */
		scan->damaged_through = durable > behind ? durable : behind;
	}
}

static void begin_after_applied(struct qbd_scan *scan)
{
	const struct qbd_state *state = scan->state;

	scan->from_applied = true;
	scan->ops->restart(scan->context);
	begin_at(scan, state->applied_index, state->applied_term, state->applied_chain,
		 state->applied_position);
}

/* Was it perhaps cut off, and its successor not written? See above. */
static bool last_may_be_stale(const struct qbd_scan *scan)
{
	u64 known = scan->state->log_generation;

	return scan->last_index > scan->state->applied_index && !scan->suspected &&
	       (scan->forked ||
		scan->last_generation + (scan->newest_generation == known) <
		scan->newest_generation);
}

void qbd_recovery_scan(struct qbd_scan *scan)
{
	const struct qbd_state *state = scan->state;
	bool clean = state->flags & QBD_STATE_CLEAN;

	scan->from_applied = false;
	scan->suspected = false;
	scan->members_changed = false;
	scan->generation = state->log_generation;
	scan->damaged_through = 0;
	/* What is applied was committed. */
	scan->commit_index = state->commit_index > state->applied_index ?
			     state->commit_index : state->applied_index;
	begin_at(scan, state->log_first_index - 1, state->log_previous_term,
		 state->log_previous_chain, state->log_first_position);
	for (;;) {
		/* A clean log ends at its durable index, whatever lies behind it. */
		if (clean && scan->last_index >= state->durable_index) {
			scan->verdict = QBD_LOG_WHOLE;
			scan->reason = "taken down in order";
			scan->bad_index = scan->last_index + 1;
			return;
		}
		if (next_record_good(scan)) {
			take_record(scan);
			continue;
		}
		if (scan->last_index >= state->applied_index)
			break;
		begin_after_applied(scan);
	}
	scan->bad_index = scan->last_index + 1;
	scan->verdict = QBD_LOG_TORN;
	search_proof(scan);
	if (scan->verdict != QBD_LOG_DAMAGED || !last_may_be_stale(scan))
		return;
	begin_after_applied(scan);
	scan->bad_index = scan->last_index + 1;
}
