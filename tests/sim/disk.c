// SPDX-License-Identifier: GPL-2.0
/*
 * A disk with a volatile cache.
 *
 * What a write brings is there for readers when it ends, and there for good when it was
 * forced (FUA) or a flush that began after its end has ended. A power cut leaves, of each
 * sector, any version since the last one that is there for good; of writes that are
 * under way any sectors. Requests that are under way together are done in any order.
 */
#include <sys/mman.h>

#include "sim.h"

#define SECTORS		8u
#define SECTOR_BYTES	512u
#define RUBBISH		0xdb
/* What a disk may keep of the memory that earlier worlds gave it, in blocks. */
#define RESIDENT_MAX	8192u

/* What a block held since it was there for good; the newest is in the image. */
struct version {
	struct version *next;	/* the newer one */
	u64 ended;		/* number of the write that brought it; 0: for good */
	u8 data[QBD_BLOCK_SIZE];
};

struct flight {
	struct list_head list;
	struct sim_disk *disk;
	struct bio *bio;
	u64 began;		/* writes that had ended when it came */
	u64 held_until;		/* whatever else the disk does meanwhile */
	bool flushed;		/* at a power cut: the flush before it had ended */
	u64 event;
};

struct place {
	struct version *versions;	/* the oldest; NULL: it is there for good */
	u64 ended;			/* as of a version, of what is in the image */
	u32 dirty;			/* 1 + place in sim_disk.dirty; 0: not in it */
	bool touched;			/* it is in the image */
	bool resident;			/* it is in memory, in whichever world it came there */
	bool unreadable;		/* until it is written */
};

struct sim_disk {
	struct sim_host *host;
	u8 *image;			/* what readers find */
	u8 *before;			/* what was there before, below @rubbish */
	struct place *places;		/* of each block */
	u32 *dirty;			/* blocks that are not there for good */
	u32 dirty_count, dirty_room;
	u32 *touched;			/* blocks that this world has seen anything of */
	u32 touched_count, touched_room;
	u32 resident;			/* blocks */
	u32 spoiled;			/* blocks that became unreadable, in this world */
	u64 blocks;
	u64 rubbish;			/* all from here on, until it is written */
	u64 ended;
	struct list_head flights;
	u64 stalled_until;
	u64 reads_stalled_until;
	u32 read_errors, write_errors;
};

static struct sim_disk disks[SIM_HOSTS_MAX + 1];
static struct version *spare;

static struct version *version_alloc(void)
{
	struct version *version = spare;

	if (version)
		spare = version->next;
	else
		version = malloc(sizeof(*version));
	if (!version)
		abort();
	version->next = NULL;
	return version;
}

static void version_free(struct version *version)
{
	version->next = spare;
	spare = version;
}

static void note_block(u32 **list, u32 *count, u32 *room, u64 block)
{
	if (*count == *room) {
		*room = *room ? 2 * *room : 4096;
		*list = realloc(*list, *room * sizeof(**list));
		if (!*list)
			abort();
	}
	(*list)[(*count)++] = block;
}

/* An earlier world may have left something there. */
static void touch(struct sim_disk *disk, u64 block)
{
	struct place *place = &disk->places[block];

	place->touched = true;
	note_block(&disk->touched, &disk->touched_count, &disk->touched_room, block);
	disk->resident += !place->resident;
	place->resident = true;
	memset(disk->image + block * QBD_BLOCK_SIZE, block < disk->rubbish ? 0 : RUBBISH,
	       QBD_BLOCK_SIZE);
	if (world.rots && block < disk->rubbish)
		memset(disk->before + block * QBD_BLOCK_SIZE, 0, QBD_BLOCK_SIZE);
}

static u8 *block_of(struct sim_disk *disk, u64 block)
{
	if (!disk->places[block].touched)
		touch(disk, block);
	return disk->image + block * QBD_BLOCK_SIZE;
}

static void settle(struct sim_disk *disk, u64 block)
{
	struct place *place = &disk->places[block];
	struct version *version;
	u32 at = place->dirty;

	if (!at)
		return;
	while ((version = place->versions)) {
		place->versions = version->next;
		version_free(version);
	}
	place->dirty = 0;
	disk->dirty[at - 1] = disk->dirty[--disk->dirty_count];
	if (at - 1 < disk->dirty_count)
		disk->places[disk->dirty[at - 1]].dirty = at;
}

static void note_dirty(struct sim_disk *disk, u64 block)
{
	note_block(&disk->dirty, &disk->dirty_count, &disk->dirty_room, block);
	disk->places[block].dirty = disk->dirty_count;
}

/* Zeroes that take no memory until they are written. */
static void *sparse(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

/*
 * Nothing of it is known any more. Its memory stays, for it takes longer to get it anew than
 * to write it, unless that is much.
 */
static void forget_all(struct sim_disk *disk, size_t image_bytes, size_t places_bytes)
{
	while (disk->dirty_count)
		settle(disk, disk->dirty[0]);
	while (disk->touched_count)
		disk->places[disk->touched[--disk->touched_count]] =
			(struct place){ .resident = true };
	if (disk->resident <= RESIDENT_MAX)
		return;
	madvise(disk->image, image_bytes, MADV_DONTNEED);
	madvise(disk->before, image_bytes, MADV_DONTNEED);
	madvise(disk->places, places_bytes, MADV_DONTNEED);
	disk->resident = 0;
}

void sim_disk_make(struct sim_host *host, u64 blocks, u64 rubbish)
{
	struct sim_disk *disk = &disks[host->number];
	size_t image_bytes = (size_t)SIM_DISK_BLOCKS_MAX * QBD_BLOCK_SIZE;
	size_t places_bytes = SIM_DISK_BLOCKS_MAX * sizeof(*disk->places);

	if (!disk->image) {
		disk->image = sparse(image_bytes);
		disk->before = sparse(image_bytes);
		disk->places = sparse(places_bytes);
		INIT_LIST_HEAD(&disk->flights);
	}
	if (blocks > SIM_DISK_BLOCKS_MAX)
		abort();
	forget_all(disk, image_bytes, places_bytes);
	disk->spoiled = 0;
	disk->host = host;
	disk->blocks = blocks;
	disk->rubbish = rubbish;
	disk->ended = 0;
	disk->stalled_until = 0;
	disk->reads_stalled_until = 0;
	disk->read_errors = 0;
	disk->write_errors = 0;
	host->bdev.disk = disk;
	host->bdev.blocks = blocks;
	host->bdev.queue.tag_set = &host->bdev.tags;
}

u8 *sim_disk_block(struct sim_host *host, u64 block)
{
	struct sim_disk *disk = &disks[host->number];

	settle(disk, block);
	return block_of(disk, block);
}

const u8 *sim_disk_look(const struct sim_host *host, u64 block)
{
	return block_of(&disks[host->number], block);
}

void sim_disk_enlarge(struct sim_host *host, u64 blocks)
{
	if (blocks > SIM_DISK_BLOCKS_MAX)
		abort();
	disks[host->number].blocks = blocks;
	host->bdev.blocks = blocks;
}

void sim_disk_stall(struct sim_host *host, u64 until)
{
	disks[host->number].stalled_until = until;
	disks[host->number].reads_stalled_until = until;
}

void sim_disk_stall_reads(struct sim_host *host, u64 until)
{
	disks[host->number].reads_stalled_until = until;
}

void sim_disk_errors(struct sim_host *host, u32 reads, u32 writes)
{
	disks[host->number].read_errors = reads;
	disks[host->number].write_errors = writes;
}

bool sim_disk_fails_writes(const struct sim_host *host)
{
	return disks[host->number].write_errors;
}

/* Could a power cut leave anything in a block of the data area that nobody wrote there? */
bool sim_disk_may_lack(const struct sim_host *host, u64 block)
{
	struct sim_disk *disk = &disks[host->number];
	const struct version *oldest = disk->places[disk->rubbish + block].versions;
	const u8 *at = oldest ? oldest->data : block_of(disk, disk->rubbish + block);
	u64 rubbish;

	memset(&rubbish, RUBBISH, sizeof(rubbish));
	for (u32 i = 0; i < SECTORS; i++)
		if (!memcmp(at + i * SECTOR_BYTES, &rubbish, sizeof(rubbish)))
			return true;
	return false;
}

/* ---- requests ----------------------------------------------------------- */

static bool is_write(const struct bio *bio)
{
	return bio_op(bio) != REQ_OP_READ;
}

static u64 first_block(const struct bio *bio)
{
	return bio->bi_iter.bi_sector / SECTORS;
}

static u64 block_count(const struct bio *bio)
{
	return bio->bi_iter.bi_size / QBD_BLOCK_SIZE;
}

/* The data of the bio's block number @number; NULL: zeroes. */
static u8 *bio_block(struct bio *bio, u64 number)
{
	const struct bio_vec *bvec;

	if (bio_op(bio) == REQ_OP_WRITE_ZEROES)
		return NULL;
	bvec = &bio->bi_io_vec[number];
	return (u8 *)page_address(bvec->bv_page) + bvec->bv_offset;
}

/* A reader's bio may have pieces of any size. */
static void read_data(struct sim_disk *disk, struct bio *bio)
{
	u8 *from = block_of(disk, first_block(bio));
	u64 left = bio->bi_iter.bi_size;

	/* All of them are there, and side by side. */
	for (u64 i = 1; i < block_count(bio); i++)
		block_of(disk, first_block(bio) + i);

	for (u32 i = 0; i < bio->bi_vcnt && left; i++) {
		const struct bio_vec *bvec = &bio->bi_io_vec[i];
		u64 bytes = min_t(u64, left, bvec->bv_len);

		memcpy((u8 *)page_address(bvec->bv_page) + bvec->bv_offset, from, bytes);
		from += bytes;
		left -= bytes;
	}
}

static void write_block(struct sim_disk *disk, u64 block, const u8 *data, bool for_good)
{
	struct place *place = &disk->places[block];
	struct version *version, **last;
	u8 *at = block_of(disk, block);

	place->unreadable = false;
	if (world.rots && block < disk->rubbish)
		memcpy(disk->before + block * QBD_BLOCK_SIZE, at, QBD_BLOCK_SIZE);
	if (for_good) {
		settle(disk, block);
	} else {
		version = version_alloc();
		version->ended = place->versions ? place->ended : 0;
		memcpy(version->data, at, QBD_BLOCK_SIZE);
		if (!place->versions)
			note_dirty(disk, block);
		for (last = &place->versions; *last; last = &(*last)->next)
			;
		*last = version;
		place->ended = disk->ended;
	}
	if (data)
		memcpy(at, data, QBD_BLOCK_SIZE);
	else
		memset(at, 0, QBD_BLOCK_SIZE);
}

static void write_data(struct sim_disk *disk, struct bio *bio)
{
	bool for_good = bio->bi_opf & REQ_FUA;
	u64 count = block_count(bio);

	if (count)
		disk->ended++;
	for (u64 i = 0; i < count; i++)
		write_block(disk, first_block(bio) + i, bio_block(bio, i), for_good);
}

/* Everything that had ended when the flush came is there for good. */
static void flush(struct sim_disk *disk, u64 began)
{
	for (u32 i = disk->dirty_count; i-- > 0;) {
		u32 block = disk->dirty[i];
		struct place *place = &disk->places[block];
		struct version *version = place->versions;

		if (place->ended <= began) {
			settle(disk, block);
			continue;
		}
		while (version->next && version->next->ended <= began) {
			place->versions = version->next;
			version_free(version);
			version = place->versions;
		}
	}
}

static bool overlap(const struct bio *a, const struct bio *b)
{
	return first_block(a) < first_block(b) + block_count(b) &&
	       first_block(b) < first_block(a) + block_count(a);
}

/* Some of the sectors of @from, as they come from a head that stops anywhere. */
static void tear(u8 *to, const u8 *from)
{
	u32 first = sim_below(SECTORS + 1), last = sim_below(SECTORS + 1);

	for (u32 i = min(first, last); i < max(first, last); i++) {
		if (from)
			memcpy(to + i * SECTOR_BYTES, from + i * SECTOR_BYTES, SECTOR_BYTES);
		else
			memset(to + i * SECTOR_BYTES, 0, SECTOR_BYTES);
	}
}

static void forget(struct sim_disk *disk, u64 block)
{
	struct version *version = disk->places[block].versions;
	u8 *at = block_of(disk, block), newest[QBD_BLOCK_SIZE];

	memcpy(newest, at, QBD_BLOCK_SIZE);
	memcpy(at, version->data, QBD_BLOCK_SIZE);
	do {
		const u8 *newer = version->next ? version->next->data : newest;

		if (sim_chance(512))
			memcpy(at, newer, QBD_BLOCK_SIZE);
		else if (sim_chance(256))
			tear(at, newer);
	} while ((version = version->next));
	settle(disk, block);
}

static void lose_some(struct sim_disk *disk)
{
	for (u32 i = disk->dirty_count; i-- > 0;)
		if (sim_chance(200))
			forget(disk, disk->dirty[i]);
}

static bool unreadable(const struct sim_disk *disk, const struct bio *bio)
{
	for (u64 i = 0; disk->spoiled && i < block_count(bio); i++)
		if (disk->places[first_block(bio) + i].unreadable)
			return true;
	return false;
}

/*
 * What cannot be read while a member comes up it may take for lost. So only one disk of a
 * run fails then, and only while nobody else lacks anything.
 */
static bool read_fails(const struct sim_disk *disk)
{
	struct sim_host *host = disk->host;

	if (!sim_chance(disk->read_errors))
		return false;
	if (host->replica)
		return true;
	if (host->number != world.worst_disk || !sim_faults_others_whole(host))
		return false;
	host->unsound = true;
	return true;
}

static void complete_flight(void *object, u64 argument)
{
	struct flight *flight = object;
	struct sim_disk *disk = flight->disk;
	struct bio *bio = flight->bio;
	u64 began = flight->began;
	u64 stalled_until = max(disk->stalled_until, is_write(bio) ? flight->held_until :
						     disk->reads_stalled_until);

	if (stalled_until > world.now) {
		flight->event = sim_event(disk->host, stalled_until +
					  sim_below(1000), complete_flight, flight, 0);
		return;
	}
	list_del(&flight->list);
	free(flight);
	bio->bi_status = BLK_STS_OK;
	if (is_write(bio)) {
		if (sim_chance(disk->write_errors)) {
			bio->bi_status = BLK_STS_IOERR;
			/*
			 * What became of it is anybody's guess; what a flush did not
			 * make good a later one need not either (accident 43).
			 */
			if (bio->bi_opf & REQ_PREFLUSH)
				lose_some(disk);
			if (sim_chance(512))
				write_data(disk, bio);
		} else {
			if (bio->bi_opf & REQ_PREFLUSH)
				flush(disk, began);
			write_data(disk, bio);
		}
	} else if (unreadable(disk, bio) || read_fails(disk)) {
		bio->bi_status = BLK_STS_IOERR;
	} else {
		sim_records_read(disk->host, first_block(bio), block_count(bio));
		read_data(disk, bio);
	}
	if (bio->bi_status != BLK_STS_OK) {
		disk->host->disk_erred = true;
		disk->host->write_erred |= is_write(bio);
		world.errors = true;
	}
	/* It is consumed, as by a driver. */
	bio->bi_iter.bi_sector += bio->bi_iter.bi_size >> 9;
	bio->bi_iter.bi_size = 0;
	bio->bi_end_io(bio);
}

bool sim_disk_hold_writes(struct sim_host *host, u64 until)
{
	struct flight *flight;
	bool any = false;

	list_for_each_entry(flight, &disks[host->number].flights, list) {
		if (!is_write(flight->bio))
			continue;
		flight->held_until = until;
		any = true;
	}
	return any;
}

bool sim_disk_brings(void (*run)(void *object, u64 argument))
{
	return run == complete_flight;
}

void sim_disk_submit(struct bio *bio)
{
	struct sim_disk *disk = bio->bi_bdev->disk;
	struct flight *flight, *other;
	u64 latency;

	if (bio->bi_opf & REQ_NOWAIT && sim_chance(world.weather.refuse_nowait)) {
		bio->bi_status = BLK_STS_AGAIN;
		bio->bi_end_io(bio);
		return;
	}
	if (first_block(bio) + block_count(bio) > disk->blocks) {
		sim_fail("a request beyond the end of the disk");
		bio->bi_status = BLK_STS_IOERR;
		bio->bi_end_io(bio);
		return;
	}
	/* The disk may do them in any order: nobody could know which one stays. */
	list_for_each_entry(other, &disk->flights, list)
		if (is_write(bio) && is_write(other->bio) && overlap(bio, other->bio))
			sim_fail("two writes of block %llu are under way at once",
				 max(first_block(bio), first_block(other->bio)));
	if (is_write(bio) && block_count(bio) == 1 &&
	    first_block(bio) >= QBD_EXTENT_JOURNAL_BLOCK &&
	    first_block(bio) != QBD_SUPERBLOCK_COPY_BLOCK &&
	    first_block(bio) < QBD_EXTENT_TABLE_BLOCK + sim_table_blocks)
		sim_invariants_table(disk->host, bio_block(bio, 0));
	flight = malloc(sizeof(*flight));
	if (!flight)
		abort();
	flight->disk = disk;
	flight->bio = bio;
	flight->began = disk->ended;
	flight->held_until = 0;
	list_add_tail(&flight->list, &disk->flights);
	latency = sim_spread(world.weather.disk, world.weather.disk_spread);
	flight->event = sim_event(disk->host, world.now + latency, complete_flight, flight, 0);
}

/* ---- faults ------------------------------------------------------------- */

static void tear_flight(struct sim_disk *disk, struct bio *bio)
{
	u64 first = first_block(bio), count = block_count(bio);
	u32 kind = sim_below(4);

	for (u64 i = 0; i < count; i++) {
		u8 *at = block_of(disk, first + i), *data = bio_block(bio, i);

		/* Nothing of it, all of it, or any part. */
		if (kind == 0)
			break;
		if (kind == 1 || sim_chance(300)) {
			if (data)
				memcpy(at, data, QBD_BLOCK_SIZE);
			else
				memset(at, 0, QBD_BLOCK_SIZE);
		} else if (sim_chance(700)) {
			tear(at, data);
		}
	}
}

void sim_disk_power_cut(struct sim_host *host)
{
	struct sim_disk *disk = &disks[host->number];
	struct flight *flight, *next;

	/* A write behind a flush begins when that has ended. */
	list_for_each_entry(flight, &disk->flights, list) {
		flight->flushed = !(flight->bio->bi_opf & REQ_PREFLUSH) || sim_chance(512);
		if (flight->bio->bi_opf & REQ_PREFLUSH && flight->flushed)
			flush(disk, flight->began);
	}
	while (disk->dirty_count)
		forget(disk, disk->dirty[0]);
	list_for_each_entry_safe(flight, next, &disk->flights, list) {
		if (is_write(flight->bio) && flight->flushed)
			tear_flight(disk, flight->bio);
		list_del(&flight->list);
		free(flight);
	}
	disk->stalled_until = 0;
	disk->reads_stalled_until = 0;
}

void sim_disk_rot(struct sim_host *host, u64 block, enum sim_rot rot)
{
	struct sim_disk *disk = &disks[host->number];
	u8 *at = sim_disk_block(host, block);
	u64 other = sim_below(disk->rubbish);

	sim_trace("block %llu rots (%u)", block, rot);
	switch (rot) {
	case SIM_ROT_BIT:
		at[sim_below(QBD_BLOCK_SIZE)] ^= 1 << sim_below(8);
		break;
	case SIM_ROT_SECTOR:
		memset(at + sim_below(SECTORS) * SECTOR_BYTES, 0, SECTOR_BYTES);
		break;
	case SIM_ROT_MISDIRECTED:
		if (other != block)
			memcpy(at, block_of(disk, other), QBD_BLOCK_SIZE);
		break;
	case SIM_ROT_STALE:
		memcpy(at, disk->before + block * QBD_BLOCK_SIZE, QBD_BLOCK_SIZE);
		break;
	default:
		disk->places[block].unreadable = true;
		disk->spoiled++;
		sim_counts.unreadable++;
		break;
	}
}

/*
 * A block of the ring that was free when it went bad is found when the log comes to it, and
 * then it may have held a record.
 */
bool sim_disk_unreadable(const struct sim_host *host)
{
	const struct sim_disk *disk = &disks[host->number];

	for (u64 block = 0; disk->spoiled && block < disk->rubbish; block++)
		if (disk->places[block].unreadable)
			return true;
	return false;
}

/* ---- images ------------------------------------------------------------- */

struct sim_image {
	u32 count;
	u32 *blocks;
	u8 *data;
};

/*
 * As a snapshot of the volume has it: what had ended is in it, what is under way is not. A
 * power cut could have left that, too.
 */
struct sim_image *sim_disk_image(const struct sim_host *host)
{
	struct sim_disk *disk = &disks[host->number];
	struct sim_image *image = calloc(1, sizeof(*image));

	if (!image)
		abort();
	image->blocks = malloc(disk->touched_count * sizeof(*image->blocks));
	image->data = malloc((size_t)disk->touched_count * QBD_BLOCK_SIZE);
	if (!image->blocks || !image->data)
		abort();
	for (; image->count < disk->touched_count; image->count++) {
		u32 block = disk->touched[image->count];

		image->blocks[image->count] = block;
		memcpy(image->data + (size_t)image->count * QBD_BLOCK_SIZE,
		       disk->image + (size_t)block * QBD_BLOCK_SIZE, QBD_BLOCK_SIZE);
	}
	return image;
}

void sim_disk_image_free(struct sim_image *image)
{
	if (!image)
		return;
	free(image->blocks);
	free(image->data);
	free(image);
}

/* Its host is off. What was written since is gone, also as what was there before. */
void sim_disk_restore(struct sim_host *host, const struct sim_image *image)
{
	struct sim_disk *disk = &disks[host->number];

	while (disk->touched_count)
		disk->places[disk->touched[--disk->touched_count]] =
			(struct place){ .resident = true };
	disk->spoiled = 0;
	for (u32 i = 0; i < image->count; i++) {
		u64 block = image->blocks[i];
		const u8 *data = image->data + (size_t)i * QBD_BLOCK_SIZE;

		memcpy(block_of(disk, block), data, QBD_BLOCK_SIZE);
		if (world.rots && block < disk->rubbish)
			memcpy(disk->before + block * QBD_BLOCK_SIZE, data, QBD_BLOCK_SIZE);
	}
}

/* What cannot be read can be, after all: by another path, or another try. */
void sim_disk_readable(struct sim_host *host)
{
	struct sim_disk *disk = &disks[host->number];

	for (u32 i = 0; i < disk->touched_count; i++)
		disk->places[disk->touched[i]].unreadable = false;
}
