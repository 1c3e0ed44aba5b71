// SPDX-License-Identifier: GPL-2.0
/*
 * What the recorded disks say of the run: its one committed history, by which every
 * state is judged, and who had promised what, when.
 *
 * Promises are taken from what members wrote, at the moment when they gave it to the
 * disk, for then they had acted on it already:
 *
 *   a record's, a state block's durable_index    that member has so much for good
 *   their commit_index                           a majority has
 *   the first record of a term                   a majority has voted for who wrote it
 *   what users were told (acks)                  a majority has it
 */
#include "crash.h"

#define ENTRIES_MAX	(1u << 16)
#define TERMS_MAX	4096u

/* The content of a device block since an entry. */
struct change {
	u32 index;
	u64 hash;
};

struct changes {
	struct change *list;
	u32 count, room;
};

/* Something that holds from a line of the trace on. */
struct claim {
	u64 line;
	u64 index;
	char why[72];
};

/* What is so once an entry is applied, until the next one says so. */
struct turn {
	u64 index;
	u64 line;		/* when the first one was given it */
	u64 blocks;
	const struct qbd_membership_layout *list;
	struct qbd_claim_layout claim;
};

struct turns {
	struct turn *list;
	u32 count;
};

/* The block device of a member was seen to have a size. */
struct shown {
	u32 member;
	u64 line, blocks;
};

/* A state block that a member wrote. */
struct state_write {
	const struct write *write;
	struct qbd_state state;
};

static struct entry *entries[ENTRIES_MAX];	/* all that anybody wrote */
static const struct entry *history[ENTRIES_MAX];
static u64 length, all_entries, acknowledged;
static struct changes *blocks, *extents;
static struct claim *claims;
static u32 claim_count, claim_room;
static u64 term_line[TERMS_MAX];
static u32 term_leader[TERMS_MAX];
static u64 terms;
static struct state_write *state_writes[MEMBERS_MAX + 1];
static u32 state_write_count[MEMBERS_MAX + 1];
static struct turns sizes, lists, holders;
static struct qbd_claim_layout first_claim;
static bool first_claim_known;
static struct shown *shown;
static u32 shown_count;

static char bad_repair[128];
static u64 repairs;

u64 zero_hash;

/* ---- hashes ------------------------------------------------------------- */

u64 mix(u64 a, u64 b)
{
	u64 x = a * 0x9e3779b97f4a7c15ull ^ (b + 0x7f4a7c15u) * 0xd1342543de82ef95ull;

	x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull;
	return x ^ x >> 32;
}

u64 block_hash(const void *block)
{
	const u64 *words = block;
	u64 lanes[4] = { 1, 2, 3, 4 };

	for (u32 i = 0; i < QBD_BLOCK_SIZE / 8; i += 4)
		for (u32 k = 0; k < 4; k++) {
			lanes[k] = (lanes[k] ^ words[i + k]) * 0x9e3779b97f4a7c15ull;
			lanes[k] ^= lanes[k] >> 31;
		}
	return mix(mix(lanes[0], lanes[1]), mix(lanes[2], lanes[3]));
}

/* ---- entries ------------------------------------------------------------ */

static struct entry *find_entry(u64 index, u32 chain)
{
	struct entry *entry = index < ENTRIES_MAX ? entries[index] : NULL;

	while (entry && entry->chain != chain)
		entry = entry->next;
	return entry;
}

static void add_claim(u64 line, u64 index, const char *format, ...)
{
	struct claim *claim;
	va_list arguments;

	if (claim_count == claim_room) {
		claim_room = claim_room ? 2 * claim_room : 4096;
		claims = realloc(claims, claim_room * sizeof(*claims));
		if (!claims)
			abort();
	}
	claim = &claims[claim_count++];
	claim->line = line;
	claim->index = index;
	va_start(arguments, format);
	vsnprintf(claim->why, sizeof(claim->why), format, arguments);
	va_end(arguments);
}

/* Its data: in this write, and if the ring ends or a bio does in those behind it. */
static const u8 **find_data(const struct member *member, u32 number, u32 count)
{
	const struct write *write = &member->scene.writes[number];
	const struct qbd_geometry *geometry = &member->geometry;
	const u8 **data = calloc(count + 1, sizeof(*data));
	u32 at = 1;

	if (!data)
		abort();
	for (u32 i = 0; i < count; i++, at++) {
		if (at == write->count) {
			u64 place = write->block + write->count;

			if (place == geometry->log_block + geometry->log_blocks)
				place = geometry->log_block;
			do {
				if (++number == member->scene.count)
					stop("member %u: a record without its end",
					     member->number);
				write = &member->scene.writes[number];
			} while (write->block != place || !write->count);
			at = 0;
		}
		data[i] = write->data + at * QBD_BLOCK_SIZE;
	}
	return data;
}

static void take_record(const struct member *member, u32 number)
{
	const struct write *write = &member->scene.writes[number];
	const struct qbd_record_header *header = (const void *)write->data;
	u64 index, term;
	struct entry *entry;
	const char *reason;

	if (le32_to_cpu(header->shared.magic) != QBD_RECORD_MAGIC ||
	    qbd_record_header_check(header, sizeof(*header), member->geometry.uuid,
				    member->geometry.device_blocks, &reason))
		return;		/* a record's data in a bio of its own */
	index = le64_to_cpu(header->shared.index);
	term = le64_to_cpu(header->shared.term);
	if (index >= ENTRIES_MAX || term >= TERMS_MAX)
		stop("too long: entry %llu of term %llu", index, term);
	add_claim(write->issued, le64_to_cpu(header->local.commit_index),
		  "member %u wrote it into record %llu", member->number, index);
	if (!term_line[term] || term_line[term] > write->issued)
		term_line[term] = write->issued;
	terms = max(terms, term);
	entry = find_entry(index, le32_to_cpu(header->shared.chain));
	if (entry) {
		entry->line = min(entry->line, write->issued);
		return;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		abort();
	*entry = (struct entry){
		.next = entries[index],
		.index = index,
		.term = term,
		.line = write->issued,
		.chain = le32_to_cpu(header->shared.chain),
		.chain_previous = le32_to_cpu(header->shared.chain_previous),
		.header = header,
		.data = find_data(member, number, le32_to_cpu(header->shared.data_blocks)),
	};
	entries[index] = entry;
	all_entries++;
}

static void take_state(const struct member *member, const struct write *write, u64 block)
{
	struct state_write *list = state_writes[member->number];
	u32 count = state_write_count[member->number];
	const char *reason;

	if (!(count & (count - 1))) {
		list = realloc(list, max(2 * count, 64u) * sizeof(*list));
		if (!list)
			abort();
		state_writes[member->number] = list;
	}
	if (qbd_state_check(write->data + (block - write->block) * QBD_BLOCK_SIZE, block,
			    member->geometry.uuid, &list[count].state,
			    &reason) != QBD_BLOCK_GOOD)
		return;		/* zeroes, when the disk is made; the slot's second block */
	list[count].write = write;
	state_write_count[member->number]++;
	add_claim(write->issued, list[count].state.commit_index,
		  "member %u wrote it into its state block", member->number);
}

/* What the device was made with: the first that anybody wrote. */
static void take_applied(const struct member *member, const struct write *write, u64 block)
{
	const struct qbd_applied_block *applied =
		(const void *)(write->data + (block - write->block) * QBD_BLOCK_SIZE);
	const char *reason;

	if (first_claim_known ||
	    qbd_applied_check(applied, block, member->geometry.uuid,
			      le64_to_cpu(applied->sequence), &reason) != QBD_BLOCK_GOOD)
		return;
	first_claim = applied->applied.claim;
	first_claim_known = true;
}

static void take_writes(const struct member *member)
{
	for (u32 i = 0; i < member->scene.count; i++) {
		const struct write *write = &member->scene.writes[i];

		if (!write->count)
			continue;
		if (area_of(&member->geometry, write->block) == AREA_LOG) {
			take_record(member, i);
			continue;
		}
		for (u64 block = write->block; block < write->block + write->count; block++)
			if (area_of(&member->geometry, block) == AREA_STATE) {
				take_state(member, write, block);
				take_applied(member, write, block);
			}
	}
}

/*
 * Who was elected in a term: the one for whom a majority wrote its vote. (Not who wrote
 * the first record: a follower's disk may be faster.) 0: nobody knows.
 */
static u32 find_leader(u64 term)
{
	for (u32 candidate = 1; candidate <= recording.members; candidate++) {
		u32 votes = 0;		/* bits */

		for (u32 number = 1; number <= recording.members; number++) {
			bool voted = false;

			for (u32 i = 0; i < state_write_count[number]; i++) {
				const struct qbd_state *state =
					&state_writes[number][i].state;

				voted |= state->term == term && state->vote == candidate;
			}
			votes |= (u32)voted << number;
		}
		if (history_majority(votes, 0, NEVER))
			return candidate;
	}
	return 0;
}

/* ---- the history -------------------------------------------------------- */

static const struct qbd_state *last_state(u32 number)
{
	if (!state_write_count[number])
		stop("member %u never wrote a state block", number);
	return &state_writes[number][state_write_count[number] - 1].state;
}

/* Back from the last entry that anybody applied. */
static void find_history(void)
{
	const struct qbd_state *end = last_state(1);
	u32 chain;

	for (u32 number = 2; number <= recording.members; number++)
		if (last_state(number)->applied_index > end->applied_index)
			end = last_state(number);
	length = end->applied_index;
	chain = end->applied_chain;
	for (u64 index = length; index; index--) {
		history[index] = find_entry(index, chain);
		if (!history[index])
			stop("nobody ever wrote entry %llu (%08x) of the history", index,
			     chain);
		chain = history[index]->chain_previous;
	}
	if (!length || chain)
		stop("there is no history from the beginning on");
	for (u32 number = 1; number <= recording.members; number++)
		if (!history_has(last_state(number)->applied_index,
				 last_state(number)->applied_chain))
			stop("member %u has applied another entry %llu than others", number,
			     last_state(number)->applied_index);
}

static void add_change(struct changes *changes, u64 index, u64 hash)
{
	if (changes->count && changes->list[changes->count - 1].index == index) {
		changes->list[changes->count - 1].hash = hash;
		return;
	}
	if (changes->count == changes->room) {
		changes->room = changes->room ? 2 * changes->room : 4;
		changes->list = realloc(changes->list,
					changes->room * sizeof(*changes->list));
		if (!changes->list)
			abort();
	}
	changes->list[changes->count++] = (struct change){ index, hash };
}

/* A repair says what is so already. */
static void check_repair(const struct qbd_operation *operation, u64 index, u64 block, u64 hash)
{
	if (!qbd_operation_is_repair(operation))
		return;
	repairs++;
	if (hash == history_hash(block, index - 1) || bad_repair[0])
		return;
	snprintf(bad_repair, sizeof(bad_repair),
		 "entry %llu is a repair, and changes block %llu, which is of entry %llu",
		 index, block, history_block_changed(block, index - 1));
}

static void replay_entry(const struct entry *entry)
{
	const struct qbd_geometry *geometry = &recording.member[1].geometry;
	u32 shift = geometry->extent_shift - QBD_BLOCK_SHIFT, data = 0;

	for (u32 i = 0; i < le16_to_cpu(entry->header->shared.operation_count); i++) {
		const struct qbd_operation *operation = &entry->header->operations[i];
		u64 block = le64_to_cpu(operation->block);
		bool zero = le16_to_cpu(operation->kind) == QBD_OPERATION_ZERO;

		for (u32 k = 0; k < le32_to_cpu(operation->count); k++) {
			struct changes *extent = &extents[(block + k) >> shift];

			u64 hash = zero ? zero_hash : block_hash(entry->data[data++]);

			check_repair(operation, entry->index, block + k, hash);
			add_change(&blocks[block + k], entry->index, hash);
			/* Zeroes change nothing where nothing was written. */
			if (!zero || extent->count)
				add_change(extent, entry->index, 0);
		}
	}
}

static struct turn *add_turn(struct turns *turns, const struct entry *entry)
{
	struct turn *turn;

	if (!(turns->count & (turns->count - 1))) {
		turns->list = realloc(turns->list, max(2 * turns->count, 16u) *
				      sizeof(*turns->list));
		if (!turns->list)
			abort();
	}
	turn = &turns->list[turns->count++];
	*turn = (struct turn){ };
	if (entry) {
		turn->index = entry->index;
		turn->line = entry->line;
	}
	return turn;
}

static const struct turn *turn_at(const struct turns *turns, u64 index)
{
	u32 i = turns->count - 1;

	while (turns->list[i].index > index)
		i--;
	return &turns->list[i];
}

void claim_follow(struct qbd_claim_layout *claim, const struct qbd_record_header *header)
{
	u32 holder = le32_to_cpu(claim->holder);
	struct qbd_claim before = {
		.epoch = le64_to_cpu(claim->epoch),
		.session = le64_to_cpu(claim->session),
		.holder = claim->session ? holder : 0,
		.former_holder = claim->session ? 0 : holder,
		.mode = le32_to_cpu(claim->mode),
		.former = le64_to_cpu(claim->former),
		.older = le64_to_cpu(claim->older),
	};
	struct qbd_claim next = {
		.epoch = le64_to_cpu(header->shared.index),
		.session = le64_to_cpu(header->shared.claim_session),
		.holder = le32_to_cpu(header->shared.claim_holder),
		.mode = le32_to_cpu(header->shared.claim_mode),
	};

	if (le16_to_cpu(header->shared.kind) != QBD_RECORD_CLAIM)
		return;
	qbd_claim_succeed(&next, &before);
	*claim = (struct qbd_claim_layout){
		.epoch = cpu_to_le64(next.epoch),
		.session = cpu_to_le64(next.session),
		.holder = cpu_to_le32(next.holder ? next.holder : next.former_holder),
		.mode = cpu_to_le32(next.mode),
		.former = cpu_to_le64(next.former),
		.older = cpu_to_le64(next.older),
	};
}

/* Size, members and claim, from how the device was made on. */
static void find_turns(void)
{
	if (!first_claim_known)
		stop("nobody wrote whose the device is");
	add_turn(&sizes, NULL)->blocks = recording.first_blocks;
	add_turn(&lists, NULL)->list = &state_writes[1][0].state.membership;
	add_turn(&holders, NULL)->claim = first_claim;
	for (u64 index = 1; index <= length; index++) {
		const struct entry *entry = history[index];
		const struct qbd_record_shared *record = &entry->header->shared;
		struct qbd_claim_layout claim;

		switch (le16_to_cpu(record->kind)) {
		case QBD_RECORD_RESIZE:
			add_turn(&sizes, entry)->blocks =
				max(history_blocks(index - 1),
				    le64_to_cpu(record->device_blocks));
			break;
		case QBD_RECORD_MEMBERSHIP:
			add_turn(&lists, entry)->list = (const void *)entry->data[0];
			break;
		case QBD_RECORD_CLAIM:
			claim = *history_claim(index - 1);
			claim_follow(&claim, entry->header);
			add_turn(&holders, entry)->claim = claim;
			break;
		}
	}
	if (history_blocks(length) != recording.member[1].geometry.device_blocks)
		stop("the device has %llu blocks by its log, and was seen with %llu",
		     history_blocks(length), recording.member[1].geometry.device_blocks);
}

static const struct qbd_member_layout *
find_in_list(const struct qbd_membership_layout *list, u32 member)
{
	for (u32 i = 0; i < le32_to_cpu(list->count); i++)
		if (le32_to_cpu(list->members[i].id) == member)
			return &list->members[i];
	return NULL;
}

bool list_names(const struct qbd_membership_layout *list, u32 member)
{
	return find_in_list(list, member);
}

bool history_votes(u32 member, u64 line)
{
	for (u32 i = 0; i < lists.count && lists.list[i].line < line; i++) {
		const struct qbd_member_layout *one = find_in_list(lists.list[i].list, member);

		if (one && le16_to_cpu(one->flags) & (QBD_MEMBER_VOTER | QBD_MEMBER_VOTER_OLD))
			return true;
	}
	return false;
}

u64 history_blocks(u64 index)
{
	return turn_at(&sizes, index)->blocks;
}

const struct qbd_membership_layout *history_list(u64 index)
{
	return turn_at(&lists, index)->list;
}

const struct qbd_claim_layout *history_claim(u64 index)
{
	return &turn_at(&holders, index)->claim;
}

u64 history_added(u32 member)
{
	for (u32 i = 0; i < lists.count; i++)
		if (list_names(lists.list[i].list, member))
			return lists.list[i].index;
	stop("member %u is in no list of the history", member);
}

static bool majority_of(const struct qbd_membership_layout *list, u32 members)
{
	static const u16 sets[] = { QBD_MEMBER_VOTER, QBD_MEMBER_VOTER_OLD };

	for (u32 set = 0; set < ARRAY_SIZE(sets); set++) {
		u32 voters = 0, there = 0;

		for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
			if (!(le16_to_cpu(list->members[i].flags) & sets[set]))
				continue;
			voters++;
			there += members >> le32_to_cpu(list->members[i].id) & 1;
		}
		if (voters && there <= voters / 2)
			return false;
	}
	return true;
}

bool history_majority(u32 members, u64 index, u64 line)
{
	for (u32 i = 0; i < lists.count && lists.list[i].line < line; i++) {
		if (i + 1 < lists.count && lists.list[i + 1].index <= index)
			continue;
		if (majority_of(lists.list[i].list, members))
			return true;
	}
	return false;
}

static const struct change *last_change(const struct changes *changes, u64 index)
{
	u32 low = 0, high = changes->count;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (changes->list[middle].index > index)
			high = middle;
		else
			low = middle + 1;
	}
	return low ? &changes->list[low - 1] : NULL;
}

u64 history_length(void)
{
	return length;
}

u64 history_terms(void)
{
	return terms;
}

u64 history_acknowledged(void)
{
	return acknowledged;
}

u64 history_divergent(void)
{
	return all_entries - length;
}

bool history_has(u64 index, u32 chain)
{
	return index && index <= length && history[index]->chain == chain;
}

const struct entry *history_entry(u64 index, u32 chain)
{
	return find_entry(index, chain);
}

u64 history_line(u64 index)
{
	return history[index]->line;
}

u64 history_begun_anew(u32 member, u64 since, u64 index)
{
	for (u32 i = 0; i < state_write_count[member]; i++) {
		const struct state_write *state = &state_writes[member][i];

		if (state->write->issued > since && state->state.flags & QBD_STATE_FILLING &&
		    state->state.log_first_index > index)
			return state->write->durable;
	}
	return NEVER;
}

u64 history_hash(u64 block, u64 index)
{
	const struct change *change = last_change(&blocks[block], index);

	return change ? change->hash : zero_hash;
}

u64 history_block_changed(u64 block, u64 index)
{
	const struct change *change = last_change(&blocks[block], index);

	return change ? change->index : 0;
}

u64 history_extent_changed(u64 extent, u64 index)
{
	const struct change *change = last_change(&extents[extent], index);

	return change ? change->index : 0;
}

/* ---- what users were told ----------------------------------------------- */

/* One operation of the history: a request of a user's, or a part of one. */
struct part {
	u64 number;		/* of the request, in the data; 0: zeroes */
	u64 block;
	u32 count;
	u64 index;
};

static struct part *parts;
static u32 part_count;

static int compare_parts(const void *a, const void *b)
{
	const struct part *left = a, *right = b;

	if (left->number != right->number)
		return left->number < right->number ? -1 : 1;
	if (left->block != right->block)
		return left->block < right->block ? -1 : 1;
	if (left->count != right->count)
		return left->count < right->count ? -1 : 1;
	return left->index < right->index ? -1 : left->index > right->index;
}

static void find_parts(void)
{
	u32 room = 0;

	for (u64 index = 1; index <= length; index++)
		room += le16_to_cpu(history[index]->header->shared.operation_count);
	parts = calloc(room + 1, sizeof(*parts));
	if (!parts)
		abort();
	for (u64 index = 1; index <= length; index++) {
		const struct entry *entry = history[index];
		u32 data = 0;

		for (u32 i = 0; i < le16_to_cpu(entry->header->shared.operation_count);
		     i++) {
			const struct qbd_operation *operation =
				&entry->header->operations[i];
			struct part *part = &parts[part_count++];

			part->block = le64_to_cpu(operation->block);
			part->count = le32_to_cpu(operation->count);
			part->index = index;
			/* It is nobody's: no number can be told that none has. */
			if (qbd_operation_is_repair(operation))
				part->number = NEVER;
			if (le16_to_cpu(operation->kind) != QBD_OPERATION_WRITE)
				continue;
			memcpy(&part->number, entry->data[data], sizeof(part->number));
			data += part->count;
		}
	}
	qsort(parts, part_count, sizeof(*parts), compare_parts);
}

/* The first part at or behind that place. */
static const struct part *find_part(u64 number, u64 block)
{
	u32 low = 0, high = part_count;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (parts[middle].number < number ||
		    (parts[middle].number == number && parts[middle].block < block))
			low = middle + 1;
		else
			high = middle;
	}
	return low < part_count ? &parts[low] : NULL;
}

/*
 * The entry by which all of a request was committed, if it was: a request may have been
 * made of parts, and parts of it may be there twice if the leader changed. 0: it is not.
 */
static u64 committed_by(u64 number, u64 block, u32 count)
{
	u64 end = block + count, index = 0;

	while (block < end) {
		const struct part *part = find_part(number, block);

		while (part && !number && part < parts + part_count && !part->number &&
		       part->block == block && part->count != count)
			part++;
		if (!part || part == parts + part_count || part->number != number ||
		    part->block != block)
			return 0;
		index = max(index, part->index);
		block += part->count;
	}
	return index;
}

/* The first entry by which the device was so large; 0: none. */
static u64 grown_by(u64 blocks)
{
	for (u32 i = 1; i < sizes.count; i++)
		if (sizes.list[i].blocks >= blocks)
			return sizes.list[i].index;
	return 0;
}

static void take_size(u32 member, u64 line, u64 blocks)
{
	u64 index = grown_by(blocks);

	shown = realloc(shown, (shown_count + 1) * sizeof(*shown));
	if (!shown)
		abort();
	shown[shown_count++] = (struct shown){ member, line, blocks };
	add_claim(line, index ? index : NEVER, "member %u showed a device of %llu blocks",
		  member, blocks);
}

static void take_holder(u32 member, u64 line, u64 epoch)
{
	const struct qbd_claim_layout *claim = history_claim(epoch);
	bool is_so = epoch && epoch <= length && le64_to_cpu(claim->epoch) == epoch &&
		     claim->session && le32_to_cpu(claim->holder) == member;

	add_claim(line, is_so ? epoch : NEVER, "member %u was told that it has claim %llu",
		  member, epoch);
}

static void read_acknowledgments(void)
{
	char path[512], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/acks", recording.directory);
	file = fopen(path, "r");
	if (!file)
		stop("cannot open %s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		u64 when, number, block, index;
		char kind[16];
		u32 count;

		if (sscanf(line, "%llu %llu %15s %llu %u", &when, &number, kind, &block,
			   &count) != 5)
			stop("acks: not understood: %s", line);
		if (!strcmp(kind, "size")) {
			take_size(number, recording_line(when), block);
			continue;
		}
		if (!strcmp(kind, "claim")) {
			take_holder(block, recording_line(when), number);
			continue;
		}
		index = committed_by(strcmp(kind, "zero") ? number : 0, block, count);
		/* It is above all that is there: no majority will ever have it. */
		add_claim(recording_line(when), index ? index : NEVER,
			  "a user was told that %s %llu of %u blocks at %llu is done", kind,
			  number, count, block);
		acknowledged++;
	}
	fclose(file);
}

static int compare_claims(const void *a, const void *b)
{
	const struct claim *left = a, *right = b;

	return left->line < right->line ? -1 : left->line > right->line;
}

/* Sorted by line, each with the highest index until then. */
static void settle_claims(void)
{
	qsort(claims, claim_count, sizeof(*claims), compare_claims);
	for (u32 i = 1; i < claim_count; i++)
		if (claims[i].index <= claims[i - 1].index) {
			claims[i].index = claims[i - 1].index;
			memcpy(claims[i].why, claims[i - 1].why, sizeof(claims[i].why));
		}
}

u64 history_committed(u64 line, char *why, size_t size)
{
	u32 low = 0, high = claim_count;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (claims[middle].line >= line)
			high = middle;
		else
			low = middle + 1;
	}
	if (!low)
		return 0;
	snprintf(why, size, "%s", claims[low - 1].why);
	return claims[low - 1].index;
}

u64 history_elected(u64 line, u32 *leader)
{
	for (u64 term = terms; term; term--) {
		if (!term_line[term] || term_line[term] >= line)
			continue;
		*leader = term_leader[term];
		return term;
	}
	return 0;
}

u32 history_leader(u64 term)
{
	return term < TERMS_MAX ? term_leader[term] : 0;
}

u64 history_before_term(u64 term)
{
	for (u64 index = 1; index <= length; index++)
		if (history[index]->term == term)
			return index - 1;
	return 0;
}

/* ---- repairs ------------------------------------------------------------- */

const char *history_bad_repair(void)
{
	return bad_repair[0] ? bad_repair : NULL;
}

u64 history_repairs(void)
{
	return repairs;
}

/* ---- what a member had promised ----------------------------------------- */

/* Walks through what it wrote; lines come in order, for one member after another. */
static struct {
	const struct member *member;
	u32 next;
	u64 line;
	u32 *chains;
	u64 durable, generation;
	u64 cut, cut_durable;
	bool emptied;
} walk;

static void walk_state(const struct state_write *state)
{
	/* Cut off, or begun anew: what was behind is not promised any more. */
	if (state->state.log_generation <= walk.generation)
		return;
	walk.generation = state->state.log_generation;
	walk.cut = state->state.truncated_index;
	walk.cut_durable = state->write->durable;
	walk.durable = min(walk.durable, walk.cut - 1);
	walk.chains[walk.cut] = 0;
}

static void walk_record(const struct qbd_record_header *header)
{
	u64 index = le64_to_cpu(header->shared.index);
	const char *reason;

	if (le32_to_cpu(header->shared.magic) != QBD_RECORD_MAGIC ||
	    qbd_record_header_check(header, sizeof(*header), walk.member->geometry.uuid,
				    walk.member->geometry.device_blocks, &reason))
		return;
	walk.chains[index] = le32_to_cpu(header->shared.chain);
	walk.chains[index - 1] = le32_to_cpu(header->shared.chain_previous);
	walk.durable = max(walk.durable, le64_to_cpu(header->local.durable_index));
}

/* What the former one had promised is gone. */
static void walk_another_disk(void)
{
	if (walk.emptied)
		return;
	memset(walk.chains, 0, ENTRIES_MAX * sizeof(u32));
	walk.durable = 0;
	walk.generation = 0;
	walk.cut = 0;
	walk.cut_durable = 0;
	walk.emptied = true;
}

static void walk_to(const struct member *member, u64 line)
{
	const struct scene *scene = &member->scene;

	if (walk.member != member || walk.line > line) {
		free(walk.chains);
		memset(&walk, 0, sizeof(walk));
		walk.member = member;
		walk.chains = calloc(ENTRIES_MAX, sizeof(u32));
		if (!walk.chains)
			abort();
	}
	for (; walk.next < scene->count && scene->writes[walk.next].issued < line;
	     walk.next++) {
		const struct write *write = &scene->writes[walk.next];

		if (member->emptied_from && write->issued >= member->emptied_from)
			walk_another_disk();
		if (!write->count)
			continue;
		if (area_of(&member->geometry, write->block) == AREA_LOG)
			walk_record((const void *)write->data);
		for (u32 i = 0; i < state_write_count[member->number]; i++)
			if (state_writes[member->number][i].write == write)
				walk_state(&state_writes[member->number][i]);
	}
	walk.line = line;
}

void history_promise(const struct member *member, u64 line, struct promise *promise)
{
	const struct state_write *list = state_writes[member->number];
	const struct state_write *durable = NULL;
	u32 count = state_write_count[member->number];
	bool anew = member->emptied_from && line > member->emptied_from;
	u64 from = anew ? member->emptied_from : 0;
	char why[80];

	walk_to(member, line);
	*promise = (struct promise){
		.line = line,
		.made = member->made <= line,
		.durable = walk.durable,
		.chain = walk.chains[walk.durable],
		.flags_all = ~0u,
	};
	if (walk.cut_durable < line) {
		promise->cut = walk.cut;
		promise->cut_chain = walk.chains[walk.cut];
	}
	if (anew)
		promise->missing = history_committed(member->emptied_to, why, sizeof(why));
	for (u32 i = 0; i < count && list[i].write->issued < line; i++)
		if (list[i].write->durable < line && list[i].write->issued >= from)
			durable = &list[i];
	for (u32 i = 0; i < count && list[i].write->issued < line; i++) {
		const struct state_write *state = &list[i];

		if (state->write->issued < from)
			continue;
		promise->filled |= promise->flags_ever & ~state->state.flags & QBD_STATE_FILLING;
		promise->flags_ever |= state->state.flags;
		/* What an older one said does not count any more. */
		if (durable && state != durable &&
		    state->state.sequence < durable->state.sequence)
			continue;
		promise->flags_all &= state->state.flags;
		promise->flags_any |= state->state.flags;
	}
	spoiled_promise(member, line, promise);
	for (u32 i = 0; i < shown_count; i++)
		if (shown[i].member == member->number && shown[i].line < line &&
		    shown[i].line >= from)
			promise->blocks = max(promise->blocks, shown[i].blocks);
	if (durable) {
		promise->term = durable->state.term;
		promise->vote = durable->state.vote;
	}
}

void history_replay(const struct entry *entry, u64 *hashes)
{
	u32 data = 0;

	for (u32 i = 0; i < le16_to_cpu(entry->header->shared.operation_count); i++) {
		const struct qbd_operation *operation = &entry->header->operations[i];
		bool zero = le16_to_cpu(operation->kind) == QBD_OPERATION_ZERO;

		for (u32 k = 0; k < le32_to_cpu(operation->count); k++)
			hashes[le64_to_cpu(operation->block) + k] = zero ? zero_hash :
				block_hash(entry->data[data++]);
	}
}

void history_read(void)
{
	static const u8 zeroes[QBD_BLOCK_SIZE];
	const struct qbd_geometry *geometry = &recording.member[1].geometry;

	zero_hash = block_hash(zeroes);
	blocks = calloc(geometry->device_blocks, sizeof(*blocks));
	extents = calloc(geometry->extent_count, sizeof(*extents));
	if (!blocks || !extents)
		abort();
	for (u32 number = 1; number <= recording.members; number++)
		take_writes(&recording.member[number]);
	find_history();
	find_turns();
	for (u64 term = 1; term <= terms; term++)
		term_leader[term] = find_leader(term);
	for (u64 index = 1; index <= length; index++)
		replay_entry(history[index]);
	find_parts();
	read_acknowledgments();
	settle_claims();
	spoiled_settle();
}
