// SPDX-License-Identifier: GPL-2.0
/*
 * Memory: everything has an owner, so that a power cut takes all of it, and nothing is
 * left when a member went down in order.
 */
#include <sys/mman.h>

#include "../sim.h"

struct piece {
	struct list_head list;
	struct sim_host *host;
	size_t bytes;
	u8 memory[] __attribute__((aligned(16)));
};

#define PAGES		(1u << 17)
#define SHARED		(SIM_HOSTS_MAX + 2)	/* owner of the page of zeroes */

static u8 *page_memory;
static struct page pages[PAGES];
static u32 free_pages;

static void pages_setup(void)
{
	if (page_memory)
		return;
	page_memory = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (page_memory == MAP_FAILED)
		abort();
	/* 0 is no page, 1 the one of zeroes, which nobody may write to. */
	pages[1].owner = SHARED;
	mprotect(page_memory + PAGE_SIZE, PAGE_SIZE, PROT_READ);
	for (u32 i = PAGES - 1; i > 1; i--) {
		pages[i].next = free_pages;
		free_pages = i;
	}
}

u8 sim_poison = 0xa5;

static bool refused(gfp_t flags)
{
	if (flags & GFP_NOWAIT)
		return sim_chance(world.weather.refuse_memory);
	/* Else it waits, and gets something; only who comes up may be told no. */
	if (flags & SIM_SURE || !world.weather.refuse_up || !sim_host->going_up ||
	    sim_below(world.weather.refuse_up))
		return false;
	sim_host->refused = true;
	return true;
}

void *sim_alloc(size_t bytes, gfp_t flags)
{
	struct piece *piece;

	if (refused(flags))
		return NULL;
	piece = malloc(sizeof(*piece) + bytes);
	if (!piece)
		abort();
	/* Whoever reads what was never written gets the same in each run. */
	memset(piece->memory, flags & __GFP_ZERO ? 0 : sim_poison, bytes);
	piece->host = sim_host;
	piece->bytes = bytes;
	list_add_tail(&piece->list, &sim_host->memory);
	sim_host->allocated++;
	return piece->memory;
}

void kfree(const void *memory)
{
	struct piece *piece;

	if (!memory)
		return;
	piece = container_of(memory, struct piece, memory);
	if (piece->host != sim_host)
		sim_fail("memory of another host is freed");
	piece->host->allocated--;
	list_del(&piece->list);
	free(piece);
}

char *kstrdup(const char *text, gfp_t flags)
{
	char *copy = sim_alloc(strlen(text) + 1, flags);

	if (copy)
		memcpy(copy, text, strlen(text) + 1);
	return copy;
}

void *krealloc_array(void *memory, size_t count, size_t size, gfp_t flags)
{
	void *grown = sim_alloc(count * size, flags);
	struct piece *piece;

	if (!grown || !memory)
		return grown;
	piece = container_of(memory, struct piece, memory);
	memcpy(grown, memory, min(piece->bytes, count * size));
	kfree(memory);
	return grown;
}

void *page_address(const struct page *page)
{
	return page_memory + (page - pages) * PAGE_SIZE;
}

struct page *virt_to_page(const void *memory)
{
	return &pages[((const u8 *)memory - page_memory) / PAGE_SIZE];
}

struct page *sim_zero_page(void)
{
	return &pages[1];
}

struct page *alloc_page(gfp_t flags)
{
	struct page *page;
	u32 number;

	pages_setup();
	if (refused(flags))
		return NULL;
	number = free_pages;
	if (!number)
		abort();
	page = &pages[number];
	free_pages = page->next;
	page->owner = sim_host->number + 1;
	page->previous = 0;
	page->next = sim_host->pages;
	if (page->next)
		pages[page->next].previous = number;
	sim_host->pages = number;
	sim_host->allocated++;
	/* Pages of a pool are many, and used again and again: of each sector a word. */
	if (flags & __GFP_RETRY_MAYFAIL)
		for (u32 i = 0; i < PAGE_SIZE; i += 512)
			memset((u8 *)page_address(page) + i, sim_poison, sizeof(u64));
	else
		memset(page_address(page), flags & __GFP_ZERO ? 0 : sim_poison, PAGE_SIZE);
	return page;
}

void __free_page(struct page *page)
{
	u32 number = page - pages;

	if (page->owner != sim_host->number + 1) {
		sim_fail("a page that is not this host's is freed");
		return;
	}
	if (page->next)
		pages[page->next].previous = page->previous;
	if (page->previous)
		pages[page->previous].next = page->next;
	else
		sim_host->pages = page->next;
	page->owner = 0;
	page->next = free_pages;
	free_pages = number;
	sim_host->allocated--;
}

void sim_memory_drop(struct sim_host *host)
{
	struct piece *piece, *next;

	list_for_each_entry_safe(piece, next, &host->memory, list)
		free(piece);
	INIT_LIST_HEAD(&host->memory);
	while (host->pages) {
		u32 number = host->pages;

		host->pages = pages[number].next;
		pages[number].owner = 0;
		pages[number].next = free_pages;
		free_pages = number;
	}
	host->allocated = 0;
}

mempool_t *sim_mempool_create(int reserve, size_t size)
{
	mempool_t *pool = kzalloc(sizeof(*pool), GFP_KERNEL);

	if (!pool)
		return NULL;
	pool->reserve = reserve;
	pool->size = size;
	return pool;
}

void mempool_destroy(mempool_t *pool)
{
	if (pool)
		WARN_ON(pool->taken);
	kfree(pool);
}

void *mempool_alloc(mempool_t *pool, gfp_t flags)
{
	void *element;

	/* What is within the reserve is always there. */
	if (pool->taken < pool->reserve)
		flags = (flags & ~GFP_NOWAIT) | SIM_SURE;
	if (pool->size)
		element = sim_alloc(pool->size, flags);
	else
		element = alloc_page(flags);
	if (element)
		pool->taken++;
	return element;
}

void mempool_free(void *element, mempool_t *pool)
{
	if (!element)
		return;
	pool->taken--;
	if (pool->size)
		kfree(element);
	else
		__free_page(element);
}

void *memchr_inv(const void *at, int byte, size_t bytes)
{
	const u8 *from = at;

	for (size_t i = 0; i < bytes; i++)
		if (from[i] != (u8)byte)
			return (void *)&from[i];
	return NULL;
}

unsigned long find_next_bit(const unsigned long *map, unsigned long size,
			    unsigned long from)
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

void sort(void *base, size_t count, size_t size,
	  int (*compare)(const void *a, const void *b),
	  void (*swap)(void *a, void *b, int size))
{
	qsort(base, count, size, compare);
}

/*
 * CRC-32C: by the processor where it knows how to. It does three at a time if none waits for
 * another: what stands before so many bytes is multiplied by a power of x afterwards.
 */
#define CRC_LANE	1360u		/* bytes: three of them are nearly a block */

static u32 crc_behind[4][256];		/* of each byte of a crc, what it is a lane later */

static u32 crc_after_lane(u32 crc)
{
	return crc_behind[0][crc & 0xff] ^ crc_behind[1][crc >> 8 & 0xff] ^
	       crc_behind[2][crc >> 16 & 0xff] ^ crc_behind[3][crc >> 24];
}

__attribute__((target("sse4.2")))
static void crc_setup(void)
{
	for (u32 byte = 0; byte < 4; byte++) {
		for (u32 value = 0; value < 256; value++) {
			u64 crc = value << 8 * byte;

			for (u32 i = 0; i < CRC_LANE; i += 8)
				crc = __builtin_ia32_crc32di(crc, 0);
			crc_behind[byte][value] = crc;
		}
	}
}

__attribute__((target("sse4.2")))
static u32 crc32c_lanes(u32 crc, const u8 *at)
{
	u64 lanes[3] = { crc };

	for (u32 i = 0; i < CRC_LANE; i += 8) {
		for (u32 lane = 0; lane < 3; lane++) {
			u64 word;

			memcpy(&word, at + lane * CRC_LANE + i, 8);
			lanes[lane] = __builtin_ia32_crc32di(lanes[lane], word);
		}
	}
	return crc_after_lane(crc_after_lane(lanes[0]) ^ lanes[1]) ^ lanes[2];
}

__attribute__((target("sse4.2")))
static u32 crc32c_processor(u32 crc, const u8 *at, size_t bytes)
{
	u64 wide;

	for (; bytes >= 3 * CRC_LANE; at += 3 * CRC_LANE, bytes -= 3 * CRC_LANE)
		crc = crc32c_lanes(crc, at);
	wide = crc;

	for (; bytes >= 8; at += 8, bytes -= 8) {
		u64 word;

		memcpy(&word, at, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = wide;
	while (bytes--)
		crc = __builtin_ia32_crc32qi(crc, *at++);
	return crc;
}

static u32 crc32c_bits(u32 crc, const u8 *at, size_t bytes)
{
	while (bytes--) {
		crc ^= *at++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

u32 crc32c(u32 seed, const void *data, size_t bytes)
{
	static int able = -1;

	if (able < 0) {
		able = __builtin_cpu_supports("sse4.2");
		if (able)
			crc_setup();
	}
	return able ? crc32c_processor(seed, data, bytes) : crc32c_bits(seed, data, bytes);
}
