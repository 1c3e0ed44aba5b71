// SPDX-License-Identifier: GPL-2.0
/*
 * What somebody else wrote to the disks of members, and what they may be without for it:
 * blocks of their data, and records of their logs.
 *
 * From the moment at which that is written on it may be there or not, like any other write.
 * When it is over is taken from what the members wrote:
 *
 *   a block     all up to the first entry is applied that changes it, of those that were given
 *               to no disk before; for the others are applied already
 *   a record    it and all behind it that the member had was given to the disk again, and is
 *               durable; or a log that begins behind that, with the intent to be filled
 */
#include "crash.h"

/* Nobody writes while a block is spoiled: entries that come later are not applied yet. */
static void settle_rot(struct rot *rot)
{
	u64 index = history_block_changed(rot->block, history_length());

	rot->hash = block_hash(rot->write->data);
	for (; index && history_line(index) >= rot->write->issued;
	     index = history_block_changed(rot->block, index - 1))
		rot->repaired = index;
	if (rot->repaired == NEVER)
		stop("block %llu of member %u rotted, and nothing ever put it right", rot->block,
		     rot->member);
}

static bool is_record(const struct member *member, const struct write *write, u64 index)
{
	const struct qbd_record_header *header = (const void *)write->data;
	const char *reason;

	return write->count && area_of(&member->geometry, write->block) == AREA_LOG &&
	       le32_to_cpu(header->shared.magic) == QBD_RECORD_MAGIC &&
	       !qbd_record_header_check(header, sizeof(*header), member->geometry.uuid,
					member->geometry.device_blocks, &reason) &&
	       le64_to_cpu(header->shared.index) == index;
}

/* When a record was durable that was written after that one was lost; NEVER. */
static u64 durable_again(const struct loss *loss, u64 index)
{
	const struct member *member = &recording.member[loss->member];

	for (u32 i = 0; i < member->scene.count; i++) {
		const struct write *write = &member->scene.writes[i];

		if (write->issued > loss->write->issued && is_record(member, write, index))
			return write->durable;
	}
	return NEVER;
}

static void settle_loss(struct loss *loss)
{
	u64 line = loss->write->issued;
	struct promise promise;

	history_promise(&recording.member[loss->member], line, &promise);
	loss->through = promise.durable;
	if (loss->index > loss->through)
		stop("entry %llu of member %u was lost, and it never had it for good",
		     loss->index, loss->member);
	for (u64 index = loss->index; index <= loss->through; index++)
		line = max(line, durable_again(loss, index));
	line = min(line, history_begun_anew(loss->member, loss->write->issued, loss->through));
	if (line == NEVER)
		stop("member %u never had all of entries %llu to %llu again", loss->member,
		     loss->index, loss->through);
	loss->over = line;
}

void spoiled_settle(void)
{
	for (u32 i = 0; i < recording.rot_count; i++)
		settle_rot(&recording.rots[i]);
	for (u32 i = 0; i < recording.loss_count; i++)
		settle_loss(&recording.losses[i]);
}

static bool is_lost(const struct loss *loss, u64 line)
{
	return loss->write->issued < line && loss->over >= line;
}

bool spoiled_at(u64 line)
{
	char why[80];

	for (u32 i = 0; i < recording.loss_count; i++)
		if (is_lost(&recording.losses[i], line))
			return true;
	for (u32 i = 0; i < recording.rot_count; i++)
		if (recording.rots[i].write->issued < line &&
		    history_committed(line, why, sizeof(why)) < recording.rots[i].repaired)
			return true;
	return false;
}

bool spoiled_may_hold(u32 member, u64 line, u64 block, u64 hash, u64 index)
{
	for (u32 i = 0; i < recording.rot_count; i++) {
		const struct rot *rot = &recording.rots[i];

		if (rot->member == member && rot->block == block && rot->hash == hash &&
		    rot->write->issued < line && index < rot->repaired)
			return true;
	}
	return false;
}

void spoiled_promise(const struct member *member, u64 line, struct promise *promise)
{
	for (u32 i = 0; i < recording.loss_count; i++) {
		const struct loss *loss = &recording.losses[i];

		/* Not while it is not known yet what was lost with it. */
		if (loss->member != member->number || !loss->through || !is_lost(loss, line))
			continue;
		promise->lost = loss->index;
		promise->lost_through = loss->through;
	}
}
