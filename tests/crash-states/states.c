// SPDX-License-Identifier: GPL-2.0
/*
 * The states that a crash may leave.
 *
 * At each moment there is what is durable, and there are writes that the disk had been
 * given and that may be there, each or in part. Between two moments at which something
 * becomes durable these only get more, so that it is enough to look just before each of
 * them. The variants:
 *
 *   0              none of them
 *   1              all of them
 *   2 to 9         each block of each of them by lot: not, whole, or torn
 *   then, for each write that was begun since the moment before:
 *   first n        its first n sectors, nothing or everything of the others: metadata at
 *                  each of its sectors; a record at each of those of its header and of
 *                  its last block, and between any two blocks
 *   last           all of it but its first n sectors
 *   only, without  it alone; all but it
 *   rot            (extent journal) it alone, and the block of the table that it is an
 *                  image of is destroyed
 *   cut            torn at any sector, the others by lot
 *
 * Older ones were gone through at the moments before, and come into the rest; but the
 * newest record and the newest metadata are torn at each moment, for others have become
 * durable since.
 *
 * Some of these no moment is visited without: none and all of them; all that is done to
 * metadata and not by lot; records torn within their headers from the front and from the
 * back, and from the front between any two blocks, with nothing else. The rest may be drawn.
 */
#include "crash.h"

enum kind {
	NONE,
	ALL,
	LOT,
	ONLY,
	WITHOUT,
	FIRST_NOTHING,
	FIRST_ALL,
	LAST,
	CUT,
	ROT,
};

static const char *const kind_names[] = {
	[NONE] = "nothing that was not durable",
	[ALL] = "everything that was begun",
	[LOT] = "by lot",
	[ONLY] = "one write alone",
	[WITHOUT] = "all but one write",
	[FIRST_NOTHING] = "one write torn, nothing else",
	[FIRST_ALL] = "one write torn, everything else",
	[LAST] = "one write without its beginning",
	[CUT] = "one write torn anywhere, others by lot",
	[ROT] = "one write, and a block of the extent table destroyed",
};

#define LOTS	8u
#define CUTS	3u

/* The writes that may be there or not at one moment, by number: all others are decided. */
static struct {
	u64 scene, at;		/* of which moment; 0: of none */
	u32 *list;
	u32 count, room;
	const struct write *newest_record, *newest_metadata;
} open;

struct plan {
	enum kind kind;
	u32 write;		/* which one it is about */
	u32 sectors;
	u64 salt;
	u64 flushed;		/* what was done before was flushed, see below */
};

static bool may_be_there(const struct choice *choice, const struct write *write)
{
	return write->count && write->issued < choice->at && write->durable >= choice->at;
}

static bool is_new(const struct choice *choice, const struct write *write)
{
	return write->issued >= choice->since && may_be_there(choice, write);
}

static bool is_metadata(const struct choice *choice, const struct write *write)
{
	enum area area = area_of(choice->geometry, write->block);

	return area != AREA_DATA && area != AREA_LOG && area != AREA_OTHER;
}

static bool is_record(const struct choice *choice, const struct write *write)
{
	const struct qbd_record_header *header = (const void *)write->data;

	return area_of(choice->geometry, write->block) == AREA_LOG &&
	       le32_to_cpu(header->shared.magic) == QBD_RECORD_MAGIC;
}

static void find_open(const struct choice *choice)
{
	const struct scene *scene = choice->scene;

	if (open.scene == scene->number && open.at == choice->at)
		return;
	open.scene = scene->number;
	open.at = choice->at;
	open.count = 0;
	open.newest_record = NULL;
	open.newest_metadata = NULL;
	for (u32 i = 0; i < scene->count; i++) {
		const struct write *write = &scene->writes[i];

		if (write->issued >= choice->at)
			break;
		if (!may_be_there(choice, write))
			continue;
		if (open.count == open.room) {
			open.room = open.room ? 2 * open.room : 256;
			open.list = realloc(open.list, open.room * sizeof(*open.list));
			if (!open.list)
				abort();
		}
		open.list[open.count++] = i;
		if (is_record(choice, write))
			open.newest_record = write;
		else if (is_metadata(choice, write))
			open.newest_metadata = write;
	}
}

/* How many places there are at which a write is torn. */
static u32 tears_of(const struct choice *choice, const struct write *write)
{
	if (is_metadata(choice, write))
		return write->count * SECTORS - 1;
	if (area_of(choice->geometry, write->block) != AREA_LOG)
		return 0;
	return SECTORS - 1 + (write->count > 1 ? write->count - 1 + SECTORS - 1 : 0);
}

/* The sectors before one of these places. */
static u32 tear(const struct choice *choice, const struct write *write, u32 number)
{
	if (is_metadata(choice, write) || number < SECTORS - 1)
		return 1 + number;
	number -= SECTORS - 1;
	if (number < write->count - 1)
		return (1 + number) * SECTORS;
	return (write->count - 1) * SECTORS + 1 + number - (write->count - 1);
}

static u32 variants_of(const struct choice *choice, const struct write *write)
{
	u32 torn = 3 * tears_of(choice, write);

	if (is_new(choice, write))
		return torn + 2 + CUTS +
		       (area_of(choice->geometry, write->block) == AREA_JOURNAL);
	return write == open.newest_record || write == open.newest_metadata ? torn : 0;
}

u32 states_count(const struct choice *choice)
{
	u32 count = 2 + LOTS;

	find_open(choice);
	for (u32 i = 0; i < open.count; i++)
		count += variants_of(choice, &choice->scene->writes[open.list[i]]);
	return count;
}

static void plan_write(const struct choice *choice, u32 variant, const struct write *write,
		       struct plan *plan)
{
	static const enum kind kinds[] = { FIRST_NOTHING, FIRST_ALL, LAST };
	bool journal = area_of(choice->geometry, write->block) == AREA_JOURNAL;
	u32 tears = tears_of(choice, write);

	if (variant < 3 * tears) {
		plan->kind = kinds[variant / tears];
		plan->sectors = tear(choice, write, variant % tears);
		return;
	}
	variant -= 3 * tears;
	if (variant < 2) {
		plan->kind = variant ? WITHOUT : ONLY;
		return;
	}
	variant -= 2;
	if (journal && !variant) {
		plan->kind = ROT;
		return;
	}
	plan->kind = CUT;
	plan->sectors = mix(plan->salt, variant - journal) % (write->count * SECTORS);
}

static u8 mask(const struct choice *choice, const struct plan *plan, u32 number, u32 block);

/* A write behind a flush of its own: if any of it is there, that flush was done. */
static u64 flushed(const struct choice *choice, const struct plan *plan)
{
	u64 line = 0;

	for (u32 i = 0; i < open.count; i++) {
		const struct write *write = &choice->scene->writes[open.list[i]];
		bool any = false;

		if (!write->flush)
			continue;
		for (u32 block = 0; block < write->count; block++)
			any |= mask(choice, plan, open.list[i], block) != 0;
		if (any)
			line = max(line, write->issued);
	}
	return line;
}

/* Which kind it is, of what: not what is there with it. */
static struct plan find_plan(const struct choice *choice)
{
	struct plan plan = { .kind = choice->variant ? ALL : NONE,
			     .salt = mix(choice->salt, choice->variant) };
	u32 variant = choice->variant;

	find_open(choice);
	if (variant < 2)
		return plan;
	plan.kind = LOT;
	if (variant < 2 + LOTS)
		return plan;
	variant -= 2 + LOTS;
	for (u32 i = open.count; i-- > 0;) {
		const struct write *write = &choice->scene->writes[open.list[i]];
		u32 count = variants_of(choice, write);

		if (variant < count) {
			plan.write = open.list[i];
			plan_write(choice, variant, write, &plan);
			return plan;
		}
		variant -= count;
	}
	stop("there is no variant %u", choice->variant);
}

static struct plan make_plan(const struct choice *choice)
{
	struct plan plan = find_plan(choice);

	plan.flushed = flushed(choice, &plan);
	return plan;
}

bool states_always(const struct choice *choice)
{
	struct plan plan = find_plan(choice);
	bool metadata = is_metadata(choice, &choice->scene->writes[plan.write]);

	switch (plan.kind) {
	case NONE:
	case ALL:
	case ROT:
		return true;
	case FIRST_NOTHING:
		return metadata || plan.sectors <= SECTORS || plan.sectors % SECTORS == 0;
	case LAST:
		return metadata || plan.sectors < SECTORS;
	case ONLY:
	case WITHOUT:
	case FIRST_ALL:
		return metadata;
	case LOT:
	case CUT:
		return false;
	}
	return false;
}

static u8 first_sectors(u32 sectors, u32 block)
{
	if (sectors >= (block + 1) * SECTORS)
		return 0xff;
	if (sectors <= block * SECTORS)
		return 0;
	return (1u << (sectors - block * SECTORS)) - 1;
}

static u8 lot(const struct plan *plan, u32 number, u32 block)
{
	/* Some lots for each write, some for each of its blocks; some favour one side. */
	bool by_block = plan->salt >> 8 & 1;
	u64 random = mix(plan->salt ^ number, by_block ? block : 0);
	u32 there = 20 + (plan->salt >> 16) % 200;

	if ((random & 0xff) < there)
		return 0xff;
	if (random >> 8 & 3)
		return 0;
	random = mix(random, block);
	return random >> 8 & 1 ? first_sectors(random % SECTORS, 0) :
	       (u8)~first_sectors(random % SECTORS, 0);
}

/* Which sectors of a block of a write are there? */
static u8 mask(const struct choice *choice, const struct plan *plan, u32 number, u32 block)
{
	bool it = number == plan->write;

	if (choice->scene->writes[number].done < plan->flushed)
		return 0xff;
	switch (plan->kind) {
	case NONE:
		return 0;
	case ALL:
		return 0xff;
	case LOT:
		return lot(plan, number, block);
	case ONLY:
	case ROT:
		return it ? 0xff : 0;
	case WITHOUT:
		return it ? 0 : 0xff;
	case FIRST_NOTHING:
		return it ? first_sectors(plan->sectors, block) : 0;
	case FIRST_ALL:
		return it ? first_sectors(plan->sectors, block) : 0xff;
	case LAST:
		return it ? ~first_sectors(plan->sectors, block) : 0;
	case CUT:
		return it ? first_sectors(plan->sectors, block) : lot(plan, number, block);
	}
	return 0;
}

static void put(u64 block, const u8 *data, u8 sectors)
{
	u8 *mixed;

	if (sectors == 0xff) {
		disk_set(block, data);
		return;
	}
	mixed = disk_block_alloc();
	memcpy(mixed, disk_read_state(block), QBD_BLOCK_SIZE);
	for (u32 i = 0; i < SECTORS; i++)
		if (sectors >> i & 1)
			memcpy(mixed + i * SECTOR_BYTES, data + i * SECTOR_BYTES,
			       SECTOR_BYTES);
	disk_set(block, mixed);
}

static void put_write(const struct choice *choice, const struct plan *plan, u32 number)
{
	const struct write *write = &choice->scene->writes[number];
	bool is_open = may_be_there(choice, write);

	for (u32 k = 0; k < write->count; k++) {
		u8 sectors = is_open ? mask(choice, plan, number, k) : 0xff;

		if (sectors && (choice->whole ||
				!disk_base_is_newer(write->block + k, write->issued)))
			put(write->block + k, write->data + (u64)k * QBD_BLOCK_SIZE, sectors);
	}
}

void states_build(struct choice *choice)
{
	struct plan plan = make_plan(choice);

	if (choice->whole)
		for (u32 i = 0; i < choice->scene->count &&
		     choice->scene->writes[i].issued < choice->at; i++)
			put_write(choice, &plan, i);
	else
		for (u32 i = 0; i < open.count; i++)
			put_write(choice, &plan, open.list[i]);
	choice->about_table = plan.kind > LOT &&
		area_of(choice->geometry, choice->scene->writes[plan.write].block) ==
		AREA_TABLE;
	choice->spoiled = plan.kind == ROT;
	if (choice->spoiled) {
		const struct qbd_block_header *image =
			(const void *)choice->scene->writes[plan.write].data;
		u8 *rubbish = disk_block_alloc();

		memset(rubbish, 0x5a, QBD_BLOCK_SIZE);
		disk_set(le64_to_cpu(image->position), rubbish);
	}
}

void states_advance(const struct member *member, u64 line)
{
	static const struct member *of;
	static u64 reached;
	static u32 first;	/* all before it are there */
	const struct scene *scene = &member->scene;

	if (of != member || reached > line) {
		of = member;
		reached = 0;
		first = 0;
		disk_begin_base();
	}
	for (u32 i = first; i < scene->count && scene->writes[i].issued < line; i++) {
		const struct write *write = &scene->writes[i];

		if (!write->count || write->durable >= line || write->durable < reached)
			continue;
		for (u32 k = 0; k < write->count; k++)
			disk_put_base(write->block + k,
				      write->data + (u64)k * QBD_BLOCK_SIZE,
				      write->issued);
	}
	while (first < scene->count && (!scene->writes[first].count ||
					scene->writes[first].durable < line))
		first++;
	reached = line;
}

/* ---- for people ---------------------------------------------------------- */

static void describe_place(const struct choice *choice, const struct write *write)
{
	const struct qbd_record_header *header = (const void *)write->data;
	enum area area = area_of(choice->geometry, write->block);

	printf("%s, block %llu", area_name(area), write->block);
	if (write->count > 1)
		printf(" to %llu", write->block + write->count - 1);
	if (area == AREA_LOG && le32_to_cpu(header->shared.magic) == QBD_RECORD_MAGIC)
		printf(" (record %llu of term %llu)", le64_to_cpu(header->shared.index),
		       le64_to_cpu(header->shared.term));
	printf("%s%s", write->flush ? ", behind a flush" : "", write->fua ? ", FUA" : "");
	printf(write->done < choice->at ? ", done" : ", under way");
}

void states_describe(const struct choice *choice, const char *indent)
{
	struct plan plan = make_plan(choice);

	printf("%svariant %u: %s\n", indent, choice->variant, kind_names[plan.kind]);
	for (u32 i = 0; i < open.count; i++) {
		const struct write *write = &choice->scene->writes[open.list[i]];
		u32 whole = 0, torn = 0;

		for (u32 k = 0; k < write->count; k++) {
			u8 sectors = mask(choice, &plan, open.list[i], k);

			whole += sectors == 0xff;
			torn += sectors && sectors != 0xff;
		}
		printf("%s  %s %s: ", indent, whole == write->count ? "there    " :
		       whole + torn ? "torn     " : "not there", write->phase);
		describe_place(choice, write);
		if (torn || (whole && whole < write->count))
			printf("; %u blocks whole, %u torn, %u not there", whole, torn,
			       write->count - whole - torn);
		putchar('\n');
	}
}
