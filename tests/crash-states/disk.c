// SPDX-License-Identifier: GPL-2.0
/*
 * The disk under recovery: what surely is there (disk_base), the state that is tried on
 * top of it, and on top of that what recovery writes, which is recorded so that its
 * power can be cut, too.
 */
#include <sys/mman.h>

#include "crash.h"

struct scene disk_scene;
u64 disk_clock;

static u8 *disk_base;
static u64 *disk_base_hash;
static const u8 **disk_state, **written;	/* NULL: as below */
static u32 *state_list, *written_list;	/* the blocks that are there */
static u32 state_count, written_count;
static u64 disk_blocks, base_sum;
static u64 *base_issued;	/* when what is there was given to the disk */

/* Memory for blocks: never given back, but taken anew. */
static u8 *arena;
static u32 arena_used;
#define ARENA_BLOCKS	(1u << 18)

void disk_begin(u64 blocks)
{
	disk_blocks = blocks;
	disk_base = malloc(blocks * QBD_BLOCK_SIZE);
	disk_base_hash = calloc(blocks, sizeof(*disk_base_hash));
	base_issued = calloc(blocks, sizeof(*base_issued));
	disk_state = calloc(blocks, sizeof(*disk_state));
	written = calloc(blocks, sizeof(*written));
	state_list = calloc(blocks, sizeof(*state_list));
	written_list = calloc(blocks, sizeof(*written_list));
	arena = mmap(NULL, (u64)ARENA_BLOCKS * QBD_BLOCK_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!disk_base || !disk_base_hash || !base_issued || !disk_state || !written ||
	    !state_list || !written_list || arena == MAP_FAILED)
		abort();
}

/* It is there for good; not where what was given later is already. */
void disk_put_base(u64 block, const u8 *data, u64 issued)
{
	if (base_issued[block] > issued)
		return;
	base_issued[block] = issued;
	memcpy(disk_base + block * QBD_BLOCK_SIZE, data, QBD_BLOCK_SIZE);
	base_sum -= mix(disk_base_hash[block], block);
	disk_base_hash[block] = block_hash(data);
	base_sum += mix(disk_base_hash[block], block);
}

bool disk_base_is_newer(u64 block, u64 issued)
{
	return base_issued[block] > issued;
}

/* Rubbish wherever nothing was written yet. */
void disk_begin_base(void)
{
	u64 hash;

	memset(disk_base, 0xdb, disk_blocks * QBD_BLOCK_SIZE);
	hash = block_hash(disk_base);
	base_sum = 0;
	for (u64 block = 0; block < disk_blocks; block++) {
		base_issued[block] = 0;
		disk_base_hash[block] = hash;
		base_sum += mix(hash, block);
	}
}

u8 *disk_block_alloc(void)
{
	if (arena_used == ARENA_BLOCKS)
		stop("a state of more than %u blocks", ARENA_BLOCKS);
	return arena + (u64)arena_used++ * QBD_BLOCK_SIZE;
}

u32 disk_mark(void)
{
	return arena_used;
}

void disk_back_to(u32 mark)
{
	arena_used = mark;
}

void disk_set(u64 block, const u8 *data)
{
	if (!disk_state[block])
		state_list[state_count++] = block;
	disk_state[block] = data;
}

void disk_reset_written(void)
{
	while (written_count)
		written[written_list[--written_count]] = NULL;
	disk_scene.count = 0;
	disk_clock = 0;
}

void disk_reset(void)
{
	disk_reset_written();
	while (state_count)
		disk_state[state_list[--state_count]] = NULL;
	arena_used = 0;
}

/* Put the state aside, to build others upon it; and take it again. */
void disk_save(struct saved *saved)
{
	saved->count = state_count;
	saved->blocks = malloc((state_count + 1) * sizeof(*saved->blocks));
	saved->data = malloc((state_count + 1) * sizeof(*saved->data));
	if (!saved->blocks || !saved->data)
		abort();
	memcpy(saved->blocks, state_list, state_count * sizeof(*saved->blocks));
	for (u32 i = 0; i < state_count; i++)
		saved->data[i] = disk_state[state_list[i]];
}

void disk_restore(const struct saved *saved)
{
	while (state_count)
		disk_state[state_list[--state_count]] = NULL;
	for (u32 i = 0; i < saved->count; i++)
		disk_set(saved->blocks[i], saved->data[i]);
}

void disk_saved_free(struct saved *saved)
{
	free(saved->blocks);
	free(saved->data);
}

const u8 *disk_read_state(u64 block)
{
	return disk_state[block] ? disk_state[block] : disk_base + block * QBD_BLOCK_SIZE;
}

const u8 *disk_read(u64 block)
{
	return written[block] ? written[block] : disk_read_state(block);
}

u64 disk_hash(u64 block)
{
	const u8 *data = disk_read(block), *base = disk_base + block * QBD_BLOCK_SIZE;

	/* Most of what recovery writes was there: to compare is faster. */
	if (data == base || !memcmp(data, base, QBD_BLOCK_SIZE))
		return disk_base_hash[block];
	return block_hash(data);
}

u64 disk_state_hash(void)
{
	u64 sum = base_sum;

	/* A sum, so that the order does not matter. */
	for (u32 i = 0; i < state_count; i++) {
		u64 block = state_list[i];

		sum += mix(block_hash(disk_state[block]), block) -
		       mix(disk_base_hash[block], block);
	}
	return sum;
}

void disk_write_image(const char *path)
{
	static const u8 zeroes[QBD_BLOCK_SIZE];
	FILE *file = fopen(path, "w");

	if (!file)
		stop("cannot create %s: %s", path, strerror(errno));
	for (u64 block = 0; block < disk_blocks; block++) {
		const u8 *data = disk_read_state(block);

		if (!memcmp(data, zeroes, QBD_BLOCK_SIZE) && block + 1 < disk_blocks)
			fseek(file, QBD_BLOCK_SIZE, SEEK_CUR);
		else if (fwrite(data, QBD_BLOCK_SIZE, 1, file) != 1)
			stop("cannot write %s: %s", path, strerror(errno));
	}
	if (fclose(file))
		stop("cannot write %s: %s", path, strerror(errno));
}

/* ---- requests of recovery ----------------------------------------------- */

struct flight {
	struct bio *bio;
	u32 write;		/* its number in disk_scene; ~0: a read */
};

static u8 *page_of(const struct bio *bio, u64 number)
{
	const struct bio_vec *bvec = &bio->bi_io_vec[number];

	if (bio_op(bio) == REQ_OP_WRITE_ZEROES)
		return NULL;
	return (u8 *)page_address(bvec->bv_page) + bvec->bv_offset;
}

static void read_bio(const struct bio *bio)
{
	u64 block = bio->bi_iter.bi_sector / SECTORS;

	for (u32 i = 0; i < bio->bi_vcnt; i++)
		memcpy(page_of(bio, i), disk_read(block + i), QBD_BLOCK_SIZE);
}

static void put(u64 block, const u8 *data)
{
	if (!written[block])
		written_list[written_count++] = block;
	written[block] = data;
}

static void end(void *object, u64 argument)
{
	struct flight *flight = object;
	struct bio *bio = flight->bio;

	if (flight->write == ~0u) {
		read_bio(bio);
	} else {
		struct write *write = &disk_scene.writes[flight->write];

		write->done = ++disk_clock;
		for (u32 i = 0; i < write->count; i++)
			put(write->block + i, write->data + (u64)i * QBD_BLOCK_SIZE);
	}
	free(flight);
	bio->bi_status = BLK_STS_OK;
	bio->bi_iter.bi_sector += bio->bi_iter.bi_size >> 9;
	bio->bi_iter.bi_size = 0;
	bio->bi_end_io(bio);
}

static void record(struct bio *bio, struct flight *flight)
{
	struct write *write;

	flight->write = disk_scene.count;
	write = scene_add(&disk_scene);
	write->issued = ++disk_clock;
	write->block = bio->bi_iter.bi_sector / SECTORS;
	write->count = bio->bi_iter.bi_size / QBD_BLOCK_SIZE;
	write->fua = bio->bi_opf & REQ_FUA;
	write->flush = bio->bi_opf & REQ_PREFLUSH;
	write->phase = "recovery";
	for (u32 i = 0; i < write->count; i++) {
		const u8 *data = page_of(bio, i);
		u8 *copy = disk_block_alloc();

		if (!i)
			write->data = copy;
		if (data)
			memcpy(copy, data, QBD_BLOCK_SIZE);
		else
			memset(copy, 0, QBD_BLOCK_SIZE);
	}
}

void sim_disk_submit(struct bio *bio)
{
	struct flight *flight = malloc(sizeof(*flight));

	if (!flight)
		abort();
	flight->bio = bio;
	flight->write = ~0u;
	if (bio->bi_iter.bi_sector / SECTORS + bio->bi_iter.bi_size / QBD_BLOCK_SIZE >
	    disk_blocks)
		sim_fail("a request beyond the end of the disk");
	else if (bio_op(bio) != REQ_OP_READ)
		record(bio, flight);
	/* In any order, those that are under way together. */
	sim_event(sim_host, world.now + 1000 + sim_below(1000), end, flight, 0);
}
