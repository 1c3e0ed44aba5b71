// SPDX-License-Identifier: GPL-2.0
/* Small member disks; see image.h. */
#include "image.h"

const uint8_t image_uuid[QBD_UUID_SIZE] = "a device's uuid";

/**
 * struct history - what has happened to the member so far
 * @image: becomes its disk
 * @position: where the next record goes
 * @index: of the last record
 * @term: of the next record
 * @chain: of the last record
 * @generation: truncations so far
 * @durable: up to here the log is durable
 * @commit: up to here it is committed
 * @applied: of the last checkpoint
 */
struct history {
	struct image *image;
	uint64_t position;
	uint64_t index;
	uint64_t term;
	uint32_t chain;
	uint64_t generation;
	uint64_t durable;
	uint64_t commit;
	uint64_t applied;
};

static const uint8_t zeroes[QBD_BLOCK_SIZE];

const void *image_block(const struct image *image, uint64_t block)
{
	if (block >= IMAGE_BLOCKS || image->unreadable[block])
		return NULL;
	return image->blocks[block] ? image->blocks[block] : zeroes;
}

static void *block_at(struct image *image, uint64_t block)
{
	REQUIRE(block < IMAGE_BLOCKS);
	if (!image->blocks[block]) {
		image->blocks[block] = calloc(1, QBD_BLOCK_SIZE);
		REQUIRE(image->blocks[block]);
	}
	return image->blocks[block];
}

static void *ring_at(struct image *image, uint64_t position)
{
	return block_at(image, IMAGE_LOG_BLOCK + position % IMAGE_LOG_BLOCKS);
}

void image_free(struct image *image)
{
	for (unsigned int i = 0; i < IMAGE_BLOCKS; i++)
		free(image->blocks[i]);
}

/* ---- the history -------------------------------------------------------- */

static void make_membership(struct qbd_membership_layout *membership, uint64_t index,
			    uint32_t count)
{
	memset(membership, 0, sizeof(*membership));
	membership->index = cpu_to_le64(index);
	membership->count = cpu_to_le32(count);
	membership->next_member_id = cpu_to_le32(count + 1);
	for (uint32_t i = 0; i < count; i++) {
		struct qbd_member_layout *member = &membership->members[i];

		member->id = cpu_to_le32(i + 1);
		member->flags = cpu_to_le16(QBD_MEMBER_VOTER);
		member->priority = 100;
		member->address.family = cpu_to_le16(4);
		member->address.port = cpu_to_le16(QBD_DEFAULT_PORT);
		member->address.bytes[0] = 10;
		member->address.bytes[3] = (uint8_t)(i + 1);
		snprintf(member->name, sizeof(member->name), "host%u", i + 1);
	}
}

static void seal_local(struct qbd_record_header *header)
{
	if (le16_to_cpu(header->shared.operation_count) <= QBD_OPERATIONS_MAX)
		header->local.checksum = cpu_to_le32(qbd_record_local_checksum(header));
}

static void seal_chain(struct qbd_record_header *header)
{
	if (le16_to_cpu(header->shared.operation_count) <= QBD_OPERATIONS_MAX)
		header->shared.chain = cpu_to_le32(qbd_record_chain(header, image_uuid));
}

/* Data of @count blocks from @position on, all alike. Return: its checksum. */
static uint32_t write_data(struct history *history, uint64_t position, uint32_t count)
{
	uint32_t crc = ~0u;

	for (uint32_t i = 0; i < count; i++) {
		memset(ring_at(history->image, position + i), (int)history->index,
		       QBD_BLOCK_SIZE);
		crc = qbd_crc32c(crc, ring_at(history->image, position + i), QBD_BLOCK_SIZE);
	}
	return crc;
}

static void fill_operations(struct history *history, struct qbd_record_header *header,
			    uint32_t operations, uint32_t each)
{
	for (uint32_t i = 0; i < operations; i++) {
		struct qbd_operation *operation = &header->operations[i];
		uint32_t count = each ? each : 4;

		operation->kind = cpu_to_le16(each ? QBD_OPERATION_WRITE :
						     QBD_OPERATION_ZERO);
		operation->block = cpu_to_le64((history->index + i) %
					       (history->image->device_blocks + 1 - count));
		operation->count = cpu_to_le32(count);
		operation->origin = cpu_to_le32(1 + i % 3);
		operation->sequence = cpu_to_le64(history->index);
		if (each)
			operation->data_checksum =
				cpu_to_le32(write_data(history, history->position + 1 +
						       i * each, each));
	}
}

/* Room in the ring as the state block, which is written last, will have it. */
static bool has_room(const struct history *history, uint32_t data_blocks)
{
	const struct image *image = history->image;
	uint64_t end = image->state.log_first_position + IMAGE_LOG_BLOCKS;

	return image->count < IMAGE_RECORDS && history->position + 1 + data_blocks <= end;
}

/* @operations of @each blocks (0: zero), or none: a no-op or a configuration. */
static void append(struct history *history, uint32_t operations, uint32_t each,
		   bool membership)
{
	struct image *image = history->image;
	uint32_t data_blocks = operations ? operations * each : membership;
	struct qbd_record_header *header;
	struct image_record *record;

	if (!has_room(history, data_blocks))
		return;
	history->index++;
	header = ring_at(image, history->position);
	memset(header, 0, sizeof(*header));
	header->shared.magic = cpu_to_le32(QBD_RECORD_MAGIC);
	header->shared.kind = cpu_to_le16(operations ? QBD_RECORD_DATA : membership ?
					  QBD_RECORD_MEMBERSHIP : QBD_RECORD_NOOP);
	header->shared.operation_count = cpu_to_le16(operations);
	header->shared.index = cpu_to_le64(history->index);
	header->shared.term = cpu_to_le64(history->term);
	header->shared.data_blocks = cpu_to_le32(data_blocks);
	header->shared.chain_previous = cpu_to_le32(history->chain);
	fill_operations(history, header, operations, each);
	if (membership) {
		void *data = ring_at(image, history->position + 1);

		memset(data, 0, QBD_BLOCK_SIZE);
		make_membership(data, history->index, 3);
		header->shared.data_checksum =
			cpu_to_le32(qbd_crc32c(~0u, data, QBD_BLOCK_SIZE));
	}
	seal_chain(header);
	history->chain = le32_to_cpu(header->shared.chain);
	header->local.position = cpu_to_le64(history->position);
	header->local.durable_index = cpu_to_le64(history->durable);
	header->local.commit_index = cpu_to_le64(history->commit);
	header->local.generation = cpu_to_le64(history->generation);
	header->local.member_id = cpu_to_le32(IMAGE_MEMBER);
	seal_local(header);
	record = &image->records[image->count++];
	record->index = history->index;
	record->term = history->term;
	record->position = history->position;
	record->durable = history->durable;
	record->data_blocks = data_blocks;
	record->chain = history->chain;
	history->position += 1 + data_blocks;
}

/* The newest @count records that nobody relies on go, and what is left is durable. */
static void truncate_log(struct history *history, uint32_t count)
{
	struct image *image = history->image;
	struct qbd_state *state = &image->state;

	image->ghosts_of_last = image->ghost_count;
	while (count-- && image->count && history->index > history->commit) {
		const struct image_record *last = &image->records[--image->count];

		if (image->ghost_count < IMAGE_RECORDS)
			image->ghosts[image->ghost_count++] = *last;
		else
			image->ghosts_lost = true;
		history->index = last->index - 1;
		history->position = last->position;
		history->chain = image->count ? image->records[image->count - 1].chain :
						state->log_previous_chain;
	}
	if (history->durable > history->index)
		history->durable = history->index;
	history->term++;
	history->generation++;
	state->log_generation = history->generation;
	state->truncated_index = history->index + 1;
	state->durable_index = history->durable;
}

static struct image_record *find_record(struct image *image, uint64_t index)
{
	if (!image->count || index < image->records[0].index ||
	    index > image->records[image->count - 1].index)
		return NULL;
	return &image->records[index - image->records[0].index];
}

/* Everything committed is applied; the oldest @drop of what is applied are dropped. */
static void checkpoint(struct history *history, uint32_t drop)
{
	struct image *image = history->image;
	struct qbd_state *state = &image->state;
	const struct image_record *applied = find_record(image, history->commit);

	if (!applied)
		return;
	history->applied = history->commit;
	state->applied_index = applied->index;
	state->applied_term = applied->term;
	state->applied_chain = applied->chain;
	state->applied_position = applied->position + 1 + applied->data_blocks;
	make_membership(&state->applied_membership, 0, 3);
	state->durable_index = history->durable;
	state->commit_index = history->commit;
	while (drop-- && state->log_first_index <= state->applied_index) {
		const struct image_record *gone = &image->records[0];

		state->log_first_index = gone->index + 1;
		state->log_first_position = gone->position + 1 + gone->data_blocks;
		state->log_previous_term = gone->term;
		state->log_previous_chain = gone->chain;
		image->count--;
		memmove(&image->records[0], &image->records[1],
			image->count * sizeof(image->records[0]));
	}
}

static void begin(struct history *history, struct image *image, struct input *input)
{
	struct qbd_state *state = &image->state;
	uint8_t how = take_u8(input);

	memset(history, 0, sizeof(*history));
	history->image = image;
	history->term = 1 + (how & 3);
	if (how & 0x80) {
		/* It has been going on for long: the ring wraps soon. */
		history->index = 1000 + take_u8(input);
		history->position = 3 * IMAGE_LOG_BLOCKS + take_u16(input) % IMAGE_LOG_BLOCKS;
		history->chain = 0x1234;
		history->durable = history->index;
		history->commit = history->index;
		history->applied = history->index;
		history->generation = how >> 4 & 7;
		state->applied_index = history->index;
		state->applied_position = history->position;
		state->applied_term = 1;
		state->applied_chain = history->chain;
		state->log_previous_term = 1;
		state->log_previous_chain = history->chain;
		make_membership(&state->applied_membership, 0, 3);
	}
	state->log_first_index = history->index + 1;
	state->log_first_position = history->position;
	state->log_generation = history->generation;
	state->truncated_index = history->index + 1;
	state->durable_index = history->durable;
	state->commit_index = history->commit;
	make_membership(&state->membership, 0, how & 4 ? 1 : 3);
	/* As it is made, until something is applied. */
	if (!state->applied_index)
		state->applied_membership = state->membership;
}

static void happen(struct history *history, struct input *input)
{
	static const uint8_t sizes[] = { 0, 1, 1, 2, 1, 3, 2, 7 };
	struct image *image = history->image;
	uint8_t what = take_u8(input);
	uint32_t many = what >> 4;

	switch (what & 0x0f) {
	default:
		/* Large ones are rare: all there is to them is time. */
		append(history, 1 + many % 3, what == 0xf7 ? 85 : sizes[what & 7], false);
		break;
	case 8:
		append(history, 0, 0, false);
		break;
	case 9:
		append(history, 0, 0, true);
		break;
	case 10:
		history->term += 1 + many;
		break;
	case 11:
		truncate_log(history, many);
		break;
	case 12:
		checkpoint(history, many);
		break;
	case 13:
		if (history->durable + many <= history->index)
			history->durable += many;
		break;
	case 14:
		if (history->commit + many <= history->durable)
			history->commit += many;
		break;
	case 15:
		/* A vote is written, which says what is durable, too. */
		image->state.sequence++;
		image->state.durable_index = history->durable;
		image->state.commit_index = history->commit;
		break;
	}
}

/* ---- the disk ----------------------------------------------------------- */

static void write_superblock(struct image *image, uint64_t position)
{
	struct qbd_superblock *superblock = block_at(image, position);

	superblock->member_id = cpu_to_le32(IMAGE_MEMBER);
	superblock->extent_shift = cpu_to_le32(QBD_EXTENT_SHIFT_MIN);
	memset(superblock->incarnation, 7, QBD_UUID_SIZE);
	memcpy(superblock->name, "vol0", 4);
	superblock->created_seconds = cpu_to_le64(1700000000);
	superblock->backing_blocks = cpu_to_le64(image->disk_blocks);
	superblock->device_blocks = cpu_to_le64(image->device_blocks);
	superblock->log_block = cpu_to_le64(IMAGE_LOG_BLOCK);
	superblock->log_blocks = cpu_to_le64(IMAGE_LOG_BLOCKS);
	if (image->witness) {
		superblock->features_incompatible =
			cpu_to_le64(QBD_FEATURE_NO_DATA |
				    (image->client ? QBD_FEATURE_CLIENT : 0));
	} else {
		superblock->extent_table_blocks = cpu_to_le64(image->table_blocks);
		superblock->data_block = cpu_to_le64(IMAGE_DATA_BLOCK);
	}
	qbd_block_seal(superblock, QBD_SUPERBLOCK_MAGIC, image_uuid, position);
}

static void write_extents(struct image *image, uint64_t block)
{
	struct qbd_extent_block *extents = block_at(image, block);

	for (uint32_t i = 0; i < 4; i += 2)
		extents->entries[i].changed_index = cpu_to_le64(i + 1);
	qbd_block_seal(extents, QBD_EXTENTS_MAGIC, image_uuid, QBD_EXTENT_TABLE_BLOCK);
}

static void write_slot(struct image *image, const struct qbd_state *state, unsigned int slot)
{
	struct qbd_applied_layout applied = { };

	/* Two who write: one has all answers, the other waits for one. */
	for (uint32_t i = 0; i < 2; i++) {
		applied.sessions[i].origin = cpu_to_le32(i + 1);
		applied.sessions[i].session = cpu_to_le64(i + 7);
		applied.sessions[i].below = cpu_to_le64(state->applied_index + 1);
	}
	applied.sessions[1].logged[0] = 2;
	qbd_state_encode(state, image_uuid, QBD_STATE_SLOT_BLOCK(slot),
			 block_at(image, QBD_STATE_SLOT_BLOCK(slot)));
	qbd_applied_encode(&applied, state->sequence, image_uuid, QBD_APPLIED_BLOCK(slot),
			   block_at(image, QBD_APPLIED_BLOCK(slot)));
}

/* The newer slot says the state, the older one what was true when it was made. */
static void write_states(struct image *image, const struct qbd_state *older, bool swapped)
{
	struct qbd_state *state = &image->state;
	unsigned int newer = swapped;

	state->sequence += older->sequence + 1;
	if (swapped)
		state->move = (struct qbd_move_layout){
			.address = { .family = cpu_to_le16(4), .port = cpu_to_le16(7901),
				     .bytes = { 192, 0, 2, 1 } },
			.leader = cpu_to_le32(2), .term = cpu_to_le64(state->term + 1),
		};
	write_slot(image, state, newer);
	write_slot(image, older, !newer);
}

/* ---- damage ------------------------------------------------------------- */

static void patch_metadata(struct image *image, struct input *input, uint64_t block,
			   uint32_t damage, uint32_t magic, uint64_t position, uint8_t how)
{
	/* Most of what counts is at the beginning. */
	take_patch(input, block_at(image, block), how & 0x40 ? QBD_BLOCK_SIZE : 256);
	if (how & 0x80)
		qbd_block_seal(block_at(image, block), magic, image_uuid, position);
	image->damage |= damage;
}

static void patch_record(struct image *image, struct input *input, uint8_t how)
{
	struct image_record *record = &image->records[take_u8(input) %
						      (image->count ? image->count : 1)];
	struct qbd_record_header *header;

	image->damage |= IMAGE_DAMAGE_OTHER;
	if (!image->count)
		return;
	header = ring_at(image, record->position);
	take_patch(input, (uint8_t *)header, how & 4 ? QBD_BLOCK_SIZE : 256);
	if (how & 1)
		seal_chain(header);
	if (how & 2)
		seal_local(header);
}

/* A record is torn: a bit of its header or of its data is another one. */
static void tear_record(struct image *image, struct input *input)
{
	uint32_t number = take_u8(input) % (image->count ? image->count : 1);
	const struct image_record *record = &image->records[number];
	uint8_t *block;
	uint16_t at;

	if (!image->count)
		return;
	if (image->damage & IMAGE_DAMAGE_RECORD)
		image->damage |= IMAGE_DAMAGE_OTHER;
	image->damage |= IMAGE_DAMAGE_RECORD;
	image->spoiled = number;
	at = take_u16(input);
	block = ring_at(image, record->position +
			(at >> 8) % (1 + record->data_blocks));
	/* The first bytes of a header are all used. */
	block[(at & 0xff) % 120] ^= 1 << (at & 7);
}

static void damage(struct image *image, struct input *input)
{
	uint8_t what = take_u8(input);
	unsigned int which = what >> 4 & 1;
	uint64_t block, other;

	switch (what & 0x0f) {
	case 0:
	case 1:
		block = which ? QBD_SUPERBLOCK_COPY_BLOCK : 0;
		patch_metadata(image, input, block, IMAGE_DAMAGE_SUPERBLOCK,
			       QBD_SUPERBLOCK_MAGIC, block, what);
		break;
	case 2:
	case 3:
		block = QBD_STATE_SLOT_BLOCK(which);
		patch_metadata(image, input, block, IMAGE_DAMAGE_STATE, QBD_STATE_MAGIC,
			       block, what);
		break;
	case 4:
		block = QBD_APPLIED_BLOCK(which);
		patch_metadata(image, input, block, IMAGE_DAMAGE_STATE, QBD_APPLIED_MAGIC,
			       block, what);
		break;
	case 5:
		block = which ? QBD_EXTENT_JOURNAL_BLOCK : QBD_EXTENT_TABLE_BLOCK;
		patch_metadata(image, input, block, IMAGE_DAMAGE_OTHER, QBD_EXTENTS_MAGIC,
			       QBD_EXTENT_TABLE_BLOCK, what);
		break;
	case 6:
	case 7:
	case 8:
		patch_record(image, input, what >> 4);
		break;
	case 9:
	case 10:
		tear_record(image, input);
		break;
	case 11:
		image->unreadable[take_u16(input) % IMAGE_BLOCKS] = true;
		image->damage |= IMAGE_DAMAGE_OTHER | IMAGE_DAMAGE_SUPERBLOCK |
				 IMAGE_DAMAGE_STATE;
		break;
	case 12:
		block = take_u16(input) % IMAGE_BLOCKS;
		other = take_u16(input) % IMAGE_BLOCKS;
		memmove(block_at(image, block), block_at(image, other), QBD_BLOCK_SIZE);
		image->damage |= IMAGE_DAMAGE_OTHER | IMAGE_DAMAGE_SUPERBLOCK |
				 IMAGE_DAMAGE_STATE;
		break;
	default:
		block = take_u16(input) % IMAGE_BLOCKS;
		memset(block_at(image, block), which ? 0xa5 : 0, QBD_BLOCK_SIZE);
		image->damage |= IMAGE_DAMAGE_OTHER | IMAGE_DAMAGE_SUPERBLOCK |
				 IMAGE_DAMAGE_STATE;
		break;
	}
}

void image_build(struct image *image, struct input *input)
{
	image_build_sized(image, input, IMAGE_DEVICE_BLOCKS);
}

void image_build_sized(struct image *image, struct input *input, uint64_t device_blocks)
{
	uint64_t extents = (device_blocks + IMAGE_EXTENT_BLOCKS - 1) / IMAGE_EXTENT_BLOCKS;
	struct history history;
	struct qbd_state older;
	uint8_t events, end;

	memset(image, 0, sizeof(*image));
	qbd_fill_plan_begin(&image->state.fill_plan, 0);
	image->device_blocks = device_blocks;
	image->table_blocks = (extents + QBD_EXTENTS_PER_BLOCK - 1) / QBD_EXTENTS_PER_BLOCK;
	image->disk_blocks = IMAGE_DATA_BLOCK + device_blocks + 1;
	REQUIRE(QBD_EXTENT_TABLE_BLOCK + image->table_blocks <= IMAGE_LOG_BLOCK);
	begin(&history, image, input);
	older = image->state;
	end = take_u8(input);
	/* Most often a few, so that something of a short input is left for the damage. */
	events = take_u8(input);
	image->witness = (events & 0xc0) == 0x40;
	image->client = image->witness && end & 0x80;
	for (events &= events & 0x80 ? 0x7f : 0x0f; events && input->left; events--)
		happen(&history, input);
	image->state.term = history.term;
	image->state.vote = end & 3;
	if (end & 4) {
		/* Taken down in order: all of the log is durable, and the block says so. */
		image->state.flags |= QBD_STATE_CLEAN;
		image->state.durable_index = history.index;
		image->state.commit_index = history.commit;
	}
	if (end & 8)
		image->state.flags |= QBD_STATE_FILLING;
	/* What was filled before a reset is to be filled again, now or later. */
	if (end & 8 && end & 0x40) {
		qbd_fill_plan_reset(&image->state.fill_plan, 1 + (end >> 4), history.applied);
		if (end & 0x80)
			qbd_fill_plan_next(&image->state.fill_plan);
	}
	write_superblock(image, 0);
	write_superblock(image, QBD_SUPERBLOCK_COPY_BLOCK);
	write_extents(image, QBD_EXTENT_TABLE_BLOCK);
	write_extents(image, QBD_EXTENT_JOURNAL_BLOCK);
	write_states(image, &older, end & 0x10);
	/* Few: what is broken everywhere is soon given up. */
	for (events = end >> 5; events; events--)
		damage(image, input);
}
