/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel as far as kmod/record, kmod/store and kmod/replica use it, for one thread
 * of a userspace program in which several hosts live.
 *
 * Everything that the module calls by a name of the kernel's is here: macros and inline
 * functions that need no world (this file), memory (memory.c), works, timers and
 * sleeping (work.c), bios (bio.c). Lists and trees are the kernel's own, from
 * tools/include of its source. What is called always acts for the current host,
 * sim_host; locks are no more than checks, for there is one thread.
 *
 * Included before everything else, in place of kmod/compat/compat.h.
 */
#ifndef QBD_SIM_KERNEL_H
#define QBD_SIM_KERNEL_H

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define pr_fmt(fmt) "qbd: " fmt

/* ---- types -------------------------------------------------------------- */

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int32_t s32;
typedef long long s64;
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef unsigned long long __u64;
typedef uint16_t __le16;
typedef uint32_t __le32;
typedef unsigned long long __le64;
typedef unsigned int gfp_t;
typedef u32 blk_opf_t;
typedef u8 blk_status_t;
typedef u64 sector_t;
typedef s64 ktime_t;

struct list_head {
	struct list_head *next, *prev;
};

struct hlist_node {
	struct hlist_node *next, **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

#define U32_MAX		UINT32_MAX
#define U64_MAX		((u64)~0ull)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the disk's byte order is this host's"
#endif
#define le16_to_cpu(x)	((u16)(x))
#define le32_to_cpu(x)	((u32)(x))
#define le64_to_cpu(x)	((u64)(x))
#define cpu_to_le16(x)	((__le16)(x))
#define cpu_to_le32(x)	((__le32)(x))
#define cpu_to_le64(x)	((__le64)(x))

/* ---- compiler ----------------------------------------------------------- */

#define __printf(a, b)	__attribute__((format(printf, a, b)))
#undef __always_inline
#define __always_inline	inline __attribute__((always_inline))
#define __maybe_unused	__attribute__((unused))
#define __init
#define __exit
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define READ_ONCE(x)	(x)
#define WRITE_ONCE(x, value)	((x) = (value))
#define smp_load_acquire(p)		(*(p))
#define smp_store_release(p, value)	(*(p) = (value))
#ifndef container_of
#define fallthrough	__attribute__((__fallthrough__))
#define container_of(pointer, type, member) \
	((type *)((char *)(pointer) - offsetof(type, member)))
#endif
#define sizeof_field(type, member)	sizeof(((type *)0)->member)
#define SIM_STATIC_ASSERT(condition, ...) _Static_assert(condition, #condition)
#define static_assert(condition, ...) SIM_STATIC_ASSERT(condition, ##__VA_ARGS__, #condition)
#define BUILD_BUG_ON(condition)	_Static_assert(!(condition), #condition)
#define BIT_ULL(number)	(1ull << (number))
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define DIV_ROUND_UP(a, b)	(((a) + (b) - 1) / (b))
#define BITS_PER_LONG		64

#define sim_bigger(a, b, type)	({ type _a = (a), _b = (b); _a > _b ? _a : _b; })
#define sim_smaller(a, b, type)	({ type _a = (a), _b = (b); _a < _b ? _a : _b; })
#define max(a, b)		sim_bigger(a, b, __typeof__((a) + (b)))
#define min(a, b)		sim_smaller(a, b, __typeof__((a) + (b)))
#define max_t(type, a, b)	sim_bigger(a, b, type)
#define min_t(type, a, b)	sim_smaller(a, b, type)
#define min3(a, b, c)		min(min(a, b), c)
#define clamp(value, low, high)	min(max(value, low), high)
#define clamp_t(type, value, low, high) \
	min_t(type, max_t(type, value, low), high)

static inline u64 div_u64_rem(u64 dividend, u32 divisor, u32 *remainder)
{
	*remainder = dividend % divisor;
	return dividend / divisor;
}

static inline u64 div64_u64_rem(u64 dividend, u64 divisor, u64 *remainder)
{
	*remainder = dividend % divisor;
	return dividend / divisor;
}

static inline u64 div64_u64(u64 dividend, u64 divisor)
{
	return dividend / divisor;
}

static inline u64 div_u64(u64 dividend, u32 divisor)
{
	return dividend / divisor;
}

/* ---- errors, words ------------------------------------------------------ */

#define MAX_ERRNO	4095
#define IS_ERR_VALUE(x)	((unsigned long)(void *)(x) >= (unsigned long)-MAX_ERRNO)

static inline void *ERR_PTR(long error)
{
	return (void *)error;
}

static inline long PTR_ERR(const void *pointer)
{
	return (long)pointer;
}

static inline bool IS_ERR(const void *pointer)
{
	return IS_ERR_VALUE(pointer);
}

static inline bool IS_ERR_OR_NULL(const void *pointer)
{
	return !pointer || IS_ERR_VALUE(pointer);
}

static inline int PTR_ERR_OR_ZERO(const void *pointer)
{
	return IS_ERR(pointer) ? PTR_ERR(pointer) : 0;
}

/* Warnings are failures: what must not be was. @text is kept. */
void sim_warn(const char *file, int line, const char *text);
void sim_say(int level, const char *format, ...) __printf(2, 3);

#define WARN_ONCE(condition, format, ...) ({ \
	bool _bad = !!(condition); \
	if (unlikely(_bad)) \
		sim_warn(__FILE__, __LINE__, #condition); \
	_bad; })
#define WARN_ON_ONCE(condition)	WARN_ONCE(condition, "")
#define WARN_ON(condition)	WARN_ONCE(condition, "")
#define pr_err(format, ...)	sim_say(3, format, ##__VA_ARGS__)
#define pr_warn(format, ...)	sim_say(4, format, ##__VA_ARGS__)
#define pr_notice(format, ...)	sim_say(5, format, ##__VA_ARGS__)
#define pr_info(format, ...)	sim_say(6, format, ##__VA_ARGS__)
#define pr_err_ratelimited	pr_err
#define pr_warn_ratelimited	pr_warn
#define pr_notice_ratelimited	pr_notice

static inline ssize_t strscpy_sized(char *to, const char *from, size_t size)
{
	size_t length = strnlen(from, size);

	if (length == size)
		length = size - 1;
	memmove(to, from, length);
	to[length] = 0;
	return length;
}
#define sim_strscpy2(to, from)		strscpy_sized(to, from, sizeof(to))
#define sim_strscpy3(to, from, size)	strscpy_sized(to, from, size)
#define sim_third(a, b, c, name, ...)	name
#define strscpy(...) \
	sim_third(__VA_ARGS__, sim_strscpy3, sim_strscpy2)(__VA_ARGS__)

static inline void memzero_explicit(void *at, size_t bytes)
{
	memset(at, 0, bytes);
}

/* The first byte that is not @byte, or NULL. */
void *memchr_inv(const void *at, int byte, size_t bytes);
u32 crc32c(u32 seed, const void *data, size_t bytes);

/* ---- locks -------------------------------------------------------------- */

typedef struct {
	bool held;
} spinlock_t;

void sim_lock(spinlock_t *lock);
void sim_unlock(spinlock_t *lock);

static inline void spin_lock_init(spinlock_t *lock)
{
	lock->held = false;
}

#define spin_lock(lock)			sim_lock(lock)
#define spin_unlock(lock)		sim_unlock(lock)
#define spin_lock_irqsave(lock, flags)	({ (flags) = 0; sim_lock(lock); })
#define spin_unlock_irqrestore(lock, flags) ({ (void)(flags); sim_unlock(lock); })

struct mutex {
	bool held;
};

#define DEFINE_MUTEX(name)	struct mutex name = { false }
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);
#define lockdep_assert_held(lock)	WARN_ON_ONCE(!(lock)->held)

#define rcu_read_lock()		do { } while (0)
#define rcu_read_unlock()	do { } while (0)
#define synchronize_rcu()	do { } while (0)

typedef struct {
	int counter;
} atomic_t;

#define atomic_read(v)		((v)->counter)
#define atomic_set(v, i)	((v)->counter = (i))
#define atomic_inc(v)		((void)(v)->counter++)
#define atomic_dec(v)		((void)(v)->counter--)

static inline int atomic_xchg(atomic_t *v, int value)
{
	int old = v->counter;

	v->counter = value;
	return old;
}

typedef struct {
	int count;
} refcount_t;

static inline void refcount_set(refcount_t *references, int count)
{
	references->count = count;
}

static inline void refcount_inc(refcount_t *references)
{
	WARN_ON_ONCE(references->count <= 0);
	references->count++;
}

static inline bool refcount_dec_and_test(refcount_t *references)
{
	WARN_ON_ONCE(references->count <= 0);
	return --references->count == 0;
}

/* ---- lists that others add to ------------------------------------------- */

struct llist_node {
	struct llist_node *next;
};

struct llist_head {
	struct llist_node *first;
};

static inline void init_llist_head(struct llist_head *head)
{
	head->first = NULL;
}

static inline bool llist_empty(const struct llist_head *head)
{
	return !head->first;
}

static inline bool llist_add(struct llist_node *node, struct llist_head *head)
{
	node->next = head->first;
	head->first = node;
	return !node->next;
}

static inline struct llist_node *llist_del_all(struct llist_head *head)
{
	struct llist_node *first = head->first;

	head->first = NULL;
	return first;
}

static inline struct llist_node *llist_reverse_order(struct llist_node *node)
{
	struct llist_node *reversed = NULL;

	while (node) {
		struct llist_node *next = node->next;

		node->next = reversed;
		reversed = node;
		node = next;
	}
	return reversed;
}

#define llist_entry(pointer, type, member)	container_of(pointer, type, member)
#define llist_for_each_safe(at, following, first) \
	for ((at) = (first); (at) && ((following) = (at)->next, true); (at) = (following))
#define sim_llist_entry_or_null(pointer, type, member) ({ \
	struct llist_node *_node = (pointer); \
	_node ? llist_entry(_node, type, member) : NULL; })
#define llist_for_each_entry_safe(at, following, first, member) \
	for ((at) = sim_llist_entry_or_null(first, __typeof__(*(at)), member); \
	     (at) && ((following) = sim_llist_entry_or_null((at)->member.next, \
					__typeof__(*(at)), member), true); \
	     (at) = (following))

/* ---- memory ------------------------------------------------------------- */

#define PAGE_SIZE	4096ul
#define GFP_KERNEL	0u
#define GFP_NOIO	0u
#define GFP_ATOMIC	1u	/* may fail */
#define GFP_NOWAIT	1u
#define __GFP_NOWARN	0u
#define __GFP_RETRY_MAYFAIL	4u
#define __GFP_ZERO	2u
#define SIM_SURE	8u	/* the simulator's own: it is there */

struct page {
	u32 owner;		/* host + 1; 0: free */
	u32 next;		/* list of the owner's, or of the free ones */
	u32 previous;
};

void *sim_alloc(size_t bytes, gfp_t flags);
void kfree(const void *memory);
char *kstrdup(const char *text, gfp_t flags);
void *krealloc_array(void *memory, size_t count, size_t size, gfp_t flags);

#define kmalloc(bytes, flags)		sim_alloc(bytes, flags)
#define kzalloc(bytes, flags)		sim_alloc(bytes, (flags) | __GFP_ZERO)
#define kcalloc(count, size, flags)	sim_alloc((size_t)(count) * (size), \
						  (flags) | __GFP_ZERO)
#define kvzalloc			kzalloc
#define kvcalloc			kcalloc
#define kvfree				kfree
#define kfree_sensitive			kfree

struct page *alloc_page(gfp_t flags);
void __free_page(struct page *page);
void *page_address(const struct page *page);
struct page *virt_to_page(const void *memory);

#define clear_page(page)	memset(page, 0, PAGE_SIZE)
#define ZERO_PAGE(address)	sim_zero_page()
struct page *sim_zero_page(void);

static inline void memzero_page(struct page *page, size_t offset, size_t bytes)
{
	memset((char *)page_address(page) + offset, 0, bytes);
}

static inline void memcpy_page(struct page *to, size_t to_offset, struct page *from,
			       size_t from_offset, size_t bytes)
{
	memcpy((char *)page_address(to) + to_offset,
	       (char *)page_address(from) + from_offset, bytes);
}

static inline unsigned int memalloc_noio_save(void)
{
	return 0;
}

static inline void memalloc_noio_restore(unsigned int flags)
{
	(void)flags;
}

/* Of pages if @size is 0. Refuses at random what is beyond its reserve. */
typedef struct mempool {
	size_t size;
	int reserve;
	int taken;
} mempool_t;

mempool_t *sim_mempool_create(int reserve, size_t size);
void mempool_destroy(mempool_t *pool);
void *mempool_alloc(mempool_t *pool, gfp_t flags);
void mempool_free(void *element, mempool_t *pool);

#define mempool_create_kmalloc_pool(reserve, size)	sim_mempool_create(reserve, size)
#define mempool_create_page_pool(reserve, order)	sim_mempool_create(reserve, 0)

/* ---- time --------------------------------------------------------------- */

#define NSEC_PER_MSEC	1000000l
#define NSEC_PER_SEC	1000000000l
#define HZ		250ul
#define MAX_JIFFY_OFFSET	(((unsigned long)LONG_MAX >> 1) - 1)

u64 ktime_get_boottime_ns(void);
#define ktime_get_ns		ktime_get_boottime_ns
#define ktime_get_coarse_ns	ktime_get_boottime_ns
#define ktime_get_coarse_boottime_ns	ktime_get_boottime_ns
#define jiffies			((unsigned long)(ktime_get_boottime_ns() / \
						 (NSEC_PER_SEC / HZ)))
#define time_after(a, b)	((long)((b) - (a)) < 0)
#define time_before(a, b)	time_after(b, a)
#define time_after_eq(a, b)	(!time_before(a, b))
#define msecs_to_jiffies(ms)	((ms) * HZ / 1000)
#define ns_to_ktime(ns)		((ktime_t)(ns))

enum hrtimer_restart {
	HRTIMER_NORESTART,
};

enum {
	HRTIMER_MODE_ABS_SOFT,
};

struct hrtimer {
	enum hrtimer_restart (*function)(struct hrtimer *timer);
	u64 armed;		/* event that is to fire; 0: none */
};

static inline void hrtimer_init(struct hrtimer *timer, int clock, int mode)
{
	(void)clock;
	(void)mode;
	timer->armed = 0;
}

void hrtimer_start(struct hrtimer *timer, ktime_t when, int mode);
void hrtimer_cancel(struct hrtimer *timer);

struct timer_list {
	void (*function)(struct timer_list *timer);
	unsigned long expires;
	u64 armed;
	bool shut_down;
};

void timer_setup(struct timer_list *timer, void (*function)(struct timer_list *timer),
		 unsigned int flags);
void mod_timer(struct timer_list *timer, unsigned long expires);
void timer_shutdown_sync(struct timer_list *timer);

static inline bool timer_pending(const struct timer_list *timer)
{
	return timer->armed;
}

/* ---- works and waiting -------------------------------------------------- */

struct workqueue_struct {
	const char *name;
	bool sleeps;		/* its works may: each is a thread of its own */
	bool awaited;		/* who queues a work waits for it: it runs in his place */
};

struct work_struct {
	void (*function)(struct work_struct *work);
	u64 event;		/* that runs it; 0: not queued */
	bool running;
};

#define INIT_WORK(work, run) do { \
	(work)->function = (run); \
	(work)->event = 0; \
	(work)->running = false; \
} while (0)
#define WQ_MEM_RECLAIM	0u
#define WQ_HIGHPRI	0u
#define WQ_UNBOUND	0u

extern struct workqueue_struct *system_unbound_wq;

struct workqueue_struct *alloc_workqueue(const char *name, unsigned int flags, int most);
void destroy_workqueue(struct workqueue_struct *queue);
bool queue_work(struct workqueue_struct *queue, struct work_struct *work);
void cancel_work_sync(struct work_struct *work);
void flush_work(struct work_struct *work);

typedef struct {
	int unused;
} wait_queue_head_t;

struct completion {
	bool done;
};

#define DECLARE_WAIT_QUEUE_HEAD(name)	wait_queue_head_t name __maybe_unused
#define init_waitqueue_head(queue)	do { } while (0)
#define wake_up(queue)			do { } while (0)
#define wake_up_all(queue)		do { } while (0)

/*
 * Of a thread of the current host, until it is looked at again: after each event of the
 * host. False: @until (host time, 0: for ever) has come.
 */
bool sim_sleep(u64 until);

#define wait_event(queue, condition) do { \
	while (!(condition)) \
		sim_sleep(0); \
} while (0)

static inline void init_completion(struct completion *completion)
{
	completion->done = false;
}

static inline void complete(struct completion *completion)
{
	completion->done = true;
}

#define complete_all	complete

void wait_for_completion(struct completion *completion);
unsigned long wait_for_completion_timeout(struct completion *completion,
					  unsigned long timeout);
/* Nobody is killed. */
#define wait_for_completion_killable_timeout	wait_for_completion_timeout
#define cond_resched()	do { } while (0)

/* ---- module ------------------------------------------------------------- */

#define THIS_MODULE		NULL
#define try_module_get(module)	true
#define module_put(module)	do { } while (0)

struct net {
	int unused;
};

u64 get_random_u64(void);
void sort(void *base, size_t count, size_t size,
	  int (*compare)(const void *a, const void *b),
	  void (*swap)(void *a, void *b, int size));

/* ---- bitmaps ------------------------------------------------------------ */

static inline unsigned long *bitmap_word(unsigned long *map, unsigned long bit)
{
	return &map[bit / BITS_PER_LONG];
}

static inline bool test_bit(unsigned long bit, const unsigned long *map)
{
	return map[bit / BITS_PER_LONG] >> (bit % BITS_PER_LONG) & 1;
}

static inline void set_bit(unsigned long bit, unsigned long *map)
{
	*bitmap_word(map, bit) |= 1ul << (bit % BITS_PER_LONG);
}

static inline void clear_bit(unsigned long bit, unsigned long *map)
{
	*bitmap_word(map, bit) &= ~(1ul << (bit % BITS_PER_LONG));
}

static inline bool test_and_set_bit(unsigned long bit, unsigned long *map)
{
	bool was = test_bit(bit, map);

	set_bit(bit, map);
	return was;
}

static inline bool test_and_clear_bit(unsigned long bit, unsigned long *map)
{
	bool was = test_bit(bit, map);

	clear_bit(bit, map);
	return was;
}

#define __set_bit		set_bit
#define bitmap_zero(map, bits)	memset(map, 0, BITS_TO_LONGS(bits) * sizeof(long))
#define __clear_bit		clear_bit
#define __test_and_set_bit	test_and_set_bit
#define __test_and_clear_bit	test_and_clear_bit
#define DECLARE_BITMAP(name, bits)	unsigned long name[BITS_TO_LONGS(bits)]

unsigned long find_next_bit(const unsigned long *map, unsigned long size,
			    unsigned long from);
#define find_first_bit(map, size)	find_next_bit(map, size, 0)
#define __ffs(word)			((unsigned long)__builtin_ctzl(word))
#define hweight32(word)			((unsigned int)__builtin_popcount(word))
#define hweight64(word)			((unsigned int)__builtin_popcountll(word))
#define for_each_set_bit(bit, map, size) \
	for ((bit) = find_first_bit(map, size); (bit) < (size); \
	     (bit) = find_next_bit(map, size, (bit) + 1))
#define BITS_TO_LONGS(bits)		DIV_ROUND_UP(bits, BITS_PER_LONG)

/* ---- block layer -------------------------------------------------------- */

#define BLK_STS_OK		((blk_status_t)0)
#define BLK_STS_NOTSUPP		((blk_status_t)1)
#define BLK_STS_MEDIUM		((blk_status_t)7)
#define BLK_STS_RESOURCE	((blk_status_t)9)
#define BLK_STS_IOERR		((blk_status_t)10)
#define BLK_STS_AGAIN		((blk_status_t)12)

#define REQ_OP_MASK		0xffu
#define REQ_OP_READ		0u
#define REQ_OP_WRITE		1u
#define REQ_OP_WRITE_ZEROES	9u
#define REQ_SYNC		(1u << 8)
#define REQ_META		(1u << 9)
#define REQ_IDLE		(1u << 10)
#define REQ_FUA			(1u << 11)
#define REQ_PREFLUSH		(1u << 12)
#define REQ_NOWAIT		(1u << 13)

#define BIO_MAX_VECS		256u
#define BIOSET_NEED_BVECS	0

struct sim_disk;

struct blk_mq_tag_set {
	unsigned int flags;
};

#define BLK_MQ_F_BLOCKING	1u

struct request_queue {
	struct blk_mq_tag_set *tag_set;
};

struct block_device {
	struct sim_disk *disk;
	struct request_queue queue;
	struct blk_mq_tag_set tags;
	u64 blocks;
	bool write_zeroes;
};

struct bio_vec {
	struct page *bv_page;
	unsigned int bv_len;
	unsigned int bv_offset;
};

struct bvec_iter {
	sector_t bi_sector;
	unsigned int bi_size;
	unsigned int bi_idx;
	unsigned int bi_bvec_done;
};

struct bio_set {
	unsigned int reserve;
	unsigned int taken;
	unsigned int front;
};

struct bio {
	struct block_device *bi_bdev;
	blk_opf_t bi_opf;
	blk_status_t bi_status;
	struct bvec_iter bi_iter;
	void (*bi_end_io)(struct bio *bio);
	unsigned short bi_vcnt;
	unsigned short bi_max_vecs;
	struct bio_vec *bi_io_vec;
	struct bio_set *bi_pool;
};

struct blk_plug {
	int unused;
};

#define blk_start_plug(plug)	do { (void)(plug); } while (0)
#define blk_finish_plug(plug)	do { (void)(plug); } while (0)
#define bio_op(bio)		((bio)->bi_opf & REQ_OP_MASK)

int bioset_init(struct bio_set *set, unsigned int reserve, unsigned int front, int flags);
void bioset_exit(struct bio_set *set);
struct bio *bio_alloc_bioset(struct block_device *bdev, unsigned short vectors,
			     blk_opf_t operation, gfp_t flags, struct bio_set *set);
void bio_reset(struct bio *bio, struct block_device *bdev, blk_opf_t operation);
int bio_add_page(struct bio *bio, struct page *page, unsigned int bytes,
		 unsigned int offset);
#define __bio_add_page(bio, page, bytes, offset) \
	((void)bio_add_page(bio, page, bytes, offset))
void bio_put(struct bio *bio);
void submit_bio(struct bio *bio);
int submit_bio_wait(struct bio *bio);
int blk_status_to_errno(blk_status_t status);

static inline void bvec_set_page(struct bio_vec *bvec, struct page *page,
				 unsigned int bytes, unsigned int offset)
{
	bvec->bv_page = page;
	bvec->bv_len = bytes;
	bvec->bv_offset = offset;
}

static inline struct bio_vec bvec_iter_bvec(const struct bio_vec *bvecs,
					    struct bvec_iter iter)
{
	const struct bio_vec *bvec = &bvecs[iter.bi_idx];

	return (struct bio_vec){
		.bv_page = bvec->bv_page,
		.bv_offset = bvec->bv_offset + iter.bi_bvec_done,
		.bv_len = min(iter.bi_size, bvec->bv_len - iter.bi_bvec_done),
	};
}

static inline bool bvec_iter_advance(const struct bio_vec *bvecs, struct bvec_iter *iter,
				     unsigned int bytes)
{
	iter->bi_size -= bytes;
	bytes += iter->bi_bvec_done;
	while (bytes && bytes >= bvecs[iter->bi_idx].bv_len)
		bytes -= bvecs[iter->bi_idx++].bv_len;
	iter->bi_bvec_done = bytes;
	return true;
}

#define bdev_get_queue(bdev)		(&(bdev)->queue)
#define bdev_nowait(bdev)		true
#define bdev_read_only(bdev)		false
#define bdev_nr_bytes(bdev)		((bdev)->blocks << 12)
#define bdev_logical_block_size(bdev)	512u
#define bdev_write_zeroes_sectors(bdev)	((bdev)->write_zeroes ? 1u << 20 : 0u)

/* The disk at a path, opened by its number, which any process may. */
#define BLK_OPEN_READ	1u
#define BLK_OPEN_WRITE	2u
#define DEVCG_DEV_BLOCK	1
#define DEVCG_ACC_READ	2
#define DEVCG_ACC_WRITE	4
#define MAJOR(number)	((unsigned int)((number) >> 20))
#define MINOR(number)	((unsigned int)((number) & 0xfffff))
#define devcgroup_check_permission(type, major, minor, access) \
	((void)(major), (void)(minor), 0)

struct file;
int lookup_bdev(const char *path, dev_t *number);
struct file *bdev_file_open_by_dev(dev_t number, unsigned int mode, void *holder,
				   void *operations);
struct block_device *file_bdev(struct file *file);
void bdev_fput(struct file *file);

#include <linux/list.h>
#include <linux/rbtree.h>

#include "../../../kmod/compat/bdev.h"

#endif
