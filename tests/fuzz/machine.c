// SPDX-License-Identifier: GPL-2.0
/* A kernel for the store; see machine.h. */
#include <sanitizer/asan_interface.h>

#include "input.h"
#include "machine.h"

/* What a disk says may ask for any amount of memory: more than this there is not. */
#define PIECE_MOST	(64u << 20)
#define PAGES_MOST	32768u

unsigned long machine_allocated;
void *machine_holder;

static u64 now_ns;
static struct block_device disk;

void sim_warn(const char *file, int line, const char *text)
{
	fprintf(stderr, "%s:%d: does not hold: no warning (%s)\n", file, line, text);
	abort();
}

/* Formatted, so that what it says is read, and no more. */
void sim_say(int level, const char *format, ...)
{
	va_list arguments;
	char line[512];

	(void)level;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
}

bool sim_sleep(u64 until)
{
	(void)until;
	REQUIRE(!"that nobody waits: the disk answers at once");
	return false;
}

/* ---- memory ------------------------------------------------------------- */

void *sim_alloc(size_t bytes, gfp_t flags)
{
	void *memory;

	if (bytes > PIECE_MOST)
		return NULL;
	memory = malloc(bytes);
	REQUIRE(memory);
	memset(memory, flags & __GFP_ZERO ? 0 : 0xa5, bytes);
	machine_allocated++;
	return memory;
}

void kfree(const void *memory)
{
	if (memory)
		machine_allocated--;
	free((void *)memory);
}

/* Those that are free are kept, poisoned. */
struct frame {
	struct page page;
	struct frame *next;
	u8 before[32];
	u8 memory[PAGE_SIZE];
};

static struct frame *free_frames;
static u32 pages_taken;

void *page_address(const struct page *page)
{
	return container_of(page, struct frame, page)->memory;
}

struct page *virt_to_page(const void *memory)
{
	return &container_of(memory, struct frame, memory)->page;
}

struct page *sim_zero_page(void)
{
	static struct frame zeroes;

	return &zeroes.page;
}

struct page *alloc_page(gfp_t flags)
{
	struct frame *frame = free_frames;

	if (pages_taken == PAGES_MOST)
		return NULL;
	if (frame) {
		free_frames = frame->next;
		ASAN_UNPOISON_MEMORY_REGION(frame->memory, PAGE_SIZE);
	} else {
		frame = malloc(sizeof(*frame));
		REQUIRE(frame);
		ASAN_POISON_MEMORY_REGION(frame->before, sizeof(frame->before));
	}
	memset(frame->memory, flags & __GFP_ZERO ? 0 : 0xa5, PAGE_SIZE);
	frame->page.owner = 1;
	pages_taken++;
	machine_allocated++;
	return &frame->page;
}

void __free_page(struct page *page)
{
	struct frame *frame = container_of(page, struct frame, page);

	REQUIRE(page->owner);
	page->owner = 0;
	ASAN_POISON_MEMORY_REGION(frame->memory, PAGE_SIZE);
	frame->next = free_frames;
	free_frames = frame;
	pages_taken--;
	machine_allocated--;
}

void *memchr_inv(const void *at, int byte, size_t bytes)
{
	const u8 *from = at;

	for (; bytes; bytes--, from++)
		if (*from != (u8)byte)
			return (void *)from;
	return NULL;
}

unsigned long find_next_bit(const unsigned long *map, unsigned long size, unsigned long from)
{
	unsigned long word;

	while (from < size) {
		word = map[from / BITS_PER_LONG] >> (from % BITS_PER_LONG);
		if (word)
			return min(from + __ffs(word), size);
		from = (from / BITS_PER_LONG + 1) * BITS_PER_LONG;
	}
	return size;
}

void sort(void *base, size_t count, size_t size, int (*compare)(const void *a, const void *b),
	  void (*swap)(void *a, void *b, int size))
{
	(void)swap;
	if (count)
		qsort(base, count, size, compare);
}

/* crc32c.c's, as in the other targets. */
uint32_t qbd_crc32c(uint32_t seed, const void *data, size_t length);

u32 crc32c(u32 seed, const void *data, size_t bytes)
{
	return qbd_crc32c(seed, data, bytes);
}

/* ---- locks, works, time -------------------------------------------------- */

void sim_lock(spinlock_t *lock)
{
	REQUIRE(!lock->held);
	lock->held = true;
}

void sim_unlock(spinlock_t *lock)
{
	REQUIRE(lock->held);
	lock->held = false;
}

struct workqueue_struct *alloc_workqueue(const char *name, unsigned int flags, int most)
{
	struct workqueue_struct *queue = kzalloc(sizeof(*queue), GFP_KERNEL);

	(void)flags;
	(void)most;
	queue->name = name;
	return queue;
}

void destroy_workqueue(struct workqueue_struct *queue)
{
	kfree(queue);
}

/* It runs at once. */
bool queue_work(struct workqueue_struct *queue, struct work_struct *work)
{
	(void)queue;
	REQUIRE(!work->running);
	work->running = true;
	work->function(work);
	work->running = false;
	return true;
}

void cancel_work_sync(struct work_struct *work)
{
	REQUIRE(!work->running);
}

u64 ktime_get_boottime_ns(void)
{
	return now_ns;
}

static struct timer_list *armed;

void timer_setup(struct timer_list *timer, void (*function)(struct timer_list *timer),
		 unsigned int flags)
{
	(void)flags;
	memset(timer, 0, sizeof(*timer));
	timer->function = function;
}

void mod_timer(struct timer_list *timer, unsigned long expires)
{
	if (timer->shut_down)
		return;
	REQUIRE(!armed || armed == timer);
	timer->expires = expires;
	timer->armed = 1;
	armed = timer;
}

void timer_shutdown_sync(struct timer_list *timer)
{
	timer->shut_down = true;
	timer->armed = 0;
	if (armed == timer)
		armed = NULL;
}

bool machine_pass_time(void)
{
	struct timer_list *timer = armed;

	if (!timer)
		return false;
	armed = NULL;
	timer->armed = 0;
	now_ns = max(now_ns, (u64)timer->expires * (NSEC_PER_SEC / HZ));
	timer->function(timer);
	return true;
}

/* ---- the disk ----------------------------------------------------------- */

void machine_begin(u64 disk_blocks)
{
	now_ns = NSEC_PER_SEC;
	armed = NULL;
	machine_holder = NULL;
	memset(&disk, 0, sizeof(disk));
	disk.queue.tag_set = &disk.tags;
	disk.blocks = disk_blocks;
	disk.write_zeroes = true;
}

int bioset_init(struct bio_set *set, unsigned int reserve, unsigned int front, int flags)
{
	(void)flags;
	set->reserve = reserve;
	set->taken = 0;
	set->front = front;
	return 0;
}

void bioset_exit(struct bio_set *set)
{
	REQUIRE(!set->taken);
}

struct bio *bio_alloc_bioset(struct block_device *bdev, unsigned short vectors,
			     blk_opf_t operation, gfp_t flags, struct bio_set *set)
{
	u8 *memory = kzalloc(set->front + sizeof(struct bio), flags);
	struct bio *bio = (struct bio *)(memory + set->front);

	/* In the kernel it would wait for one that comes back. */
	REQUIRE(set->taken++ < set->reserve);
	bio->bi_io_vec = kcalloc(vectors, sizeof(*bio->bi_io_vec), flags);
	bio->bi_pool = set;
	bio->bi_bdev = bdev;
	bio->bi_opf = operation;
	bio->bi_max_vecs = vectors;
	return bio;
}

void bio_reset(struct bio *bio, struct block_device *bdev, blk_opf_t operation)
{
	bio->bi_bdev = bdev;
	bio->bi_opf = operation;
	bio->bi_status = BLK_STS_OK;
	memset(&bio->bi_iter, 0, sizeof(bio->bi_iter));
	bio->bi_end_io = NULL;
	bio->bi_vcnt = 0;
}

int bio_add_page(struct bio *bio, struct page *page, unsigned int bytes, unsigned int offset)
{
	if (bio->bi_vcnt == bio->bi_max_vecs)
		return 0;
	bvec_set_page(&bio->bi_io_vec[bio->bi_vcnt++], page, bytes, offset);
	bio->bi_iter.bi_size += bytes;
	return bytes;
}

void bio_put(struct bio *bio)
{
	bio->bi_pool->taken--;
	kfree(bio->bi_io_vec);
	kfree((u8 *)bio - bio->bi_pool->front);
}

static blk_status_t carry_out(struct bio *bio)
{
	u64 block = bio->bi_iter.bi_sector / 8, count = bio->bi_iter.bi_size / PAGE_SIZE;
	bool good = true;

	REQUIRE(!(bio->bi_iter.bi_sector % 8) && !(bio->bi_iter.bi_size % PAGE_SIZE));
	if (bio->bi_opf & REQ_PREFLUSH && !machine_flush())
		return BLK_STS_IOERR;
	if (!count)
		return BLK_STS_OK;
	/* The kernel refuses what is beyond the end. */
	if (block >= disk.blocks || count > disk.blocks - block)
		return BLK_STS_IOERR;
	if (bio_op(bio) == REQ_OP_WRITE_ZEROES)
		return machine_zero(block, count) ? BLK_STS_OK : BLK_STS_IOERR;
	REQUIRE(bio->bi_vcnt == count);
	for (u64 i = 0; good && i < count; i++) {
		const struct bio_vec *vec = &bio->bi_io_vec[i];
		void *memory = page_address(vec->bv_page);

		REQUIRE(vec->bv_len == PAGE_SIZE && !vec->bv_offset);
		good = bio_op(bio) == REQ_OP_READ ? machine_read(block + i, memory) :
						    machine_write(block + i, memory);
	}
	if (good)
		return BLK_STS_OK;
	return bio_op(bio) == REQ_OP_READ ? BLK_STS_MEDIUM : BLK_STS_IOERR;
}

void submit_bio(struct bio *bio)
{
	bio->bi_status = carry_out(bio);
	bio->bi_end_io(bio);
}

int submit_bio_wait(struct bio *bio)
{
	return blk_status_to_errno(carry_out(bio));
}

int blk_status_to_errno(blk_status_t status)
{
	return status == BLK_STS_OK ? 0 : status == BLK_STS_MEDIUM ? -ENODATA : -EIO;
}

/* There is one disk, whatever its path. */
struct file {
	struct block_device *bdev;
};

int lookup_bdev(const char *path, dev_t *number)
{
	(void)path;
	*number = 1;
	return 0;
}

struct file *bdev_file_open_by_dev(dev_t number, unsigned int mode, void *holder,
				   void *operations)
{
	struct file *file = kzalloc(sizeof(*file), GFP_KERNEL);

	(void)number;
	(void)mode;
	(void)operations;
	file->bdev = &disk;
	machine_holder = holder;
	return file;
}

struct block_device *file_bdev(struct file *file)
{
	return file->bdev;
}

void bdev_fput(struct file *file)
{
	kfree(file);
}
