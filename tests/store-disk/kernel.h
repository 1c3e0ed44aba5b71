/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the KUnit suites of kmod/tests need beyond the kernel of tests/sim/kernel: KUnit
 * itself, a block device that a test implements, numbers from a seed.
 */
#ifndef QBD_STORE_DISK_KERNEL_H
#define QBD_STORE_DISK_KERNEL_H

/* ---- KUnit -------------------------------------------------------------- */

enum kunit_status {
	KUNIT_SUCCESS,
	KUNIT_FAILURE,
};

struct kunit {
	enum kunit_status status;
	struct kunit_memory *memory;
};

struct kunit_case {
	const char *name;
	void (*run_case)(struct kunit *test);
};

struct kunit_suite {
	const char *name;
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
};

#define KUNIT_CASE(function)		{ #function, function }
#define KUNIT_CASE_SLOW			KUNIT_CASE
#define kunit_test_suite(suite) \
	__attribute__((constructor)) static void register_##suite(void) \
	{ \
		kunit_register(&suite); \
	} \
	static_assert(true)

void kunit_register(const struct kunit_suite *suite);
/* A check failed; @fatal: does not return, the program ends. */
void kunit_failed(struct kunit *test, bool fatal, const char *file, int line,
		  const char *what, const char *format, ...) __printf(6, 7);
void *kunit_kzalloc(struct kunit *test, size_t bytes, gfp_t flags);
void kunit_kfree(struct kunit *test, const void *memory);
#define kunit_kcalloc(test, count, size, flags)	kunit_kzalloc(test, (count) * (size), flags)
#define kunit_err(test, format, ...)	printf("# " format, ##__VA_ARGS__)

/* Values are printed as numbers, whatever they are. */
#define KUNIT_COMPARE(test, fatal, a, operator, b, format, ...) do { \
	__typeof__(a) _a = (a); \
	__typeof__(b) _b = (b); \
	if (!(_a operator _b)) \
		kunit_failed(test, fatal, __FILE__, __LINE__, \
			     #a " " #operator " " #b, "(%lld, %lld) " format, \
			     (s64)_a, (s64)_b, ##__VA_ARGS__); \
} while (0)

#define KUNIT_HOLDS(test, fatal, condition, format, ...) do { \
	if (!(condition)) \
		kunit_failed(test, fatal, __FILE__, __LINE__, #condition, \
			     format " ", ##__VA_ARGS__); \
} while (0)

#define KUNIT_EXPECT_EQ(test, a, b)	KUNIT_COMPARE(test, false, a, ==, b, "")
#define KUNIT_EXPECT_NE(test, a, b)	KUNIT_COMPARE(test, false, a, !=, b, "")
#define KUNIT_EXPECT_LT(test, a, b)	KUNIT_COMPARE(test, false, a, <, b, "")
#define KUNIT_EXPECT_LE(test, a, b)	KUNIT_COMPARE(test, false, a, <=, b, "")
#define KUNIT_EXPECT_GT(test, a, b)	KUNIT_COMPARE(test, false, a, >, b, "")
#define KUNIT_EXPECT_GE(test, a, b)	KUNIT_COMPARE(test, false, a, >=, b, "")
#define KUNIT_ASSERT_EQ(test, a, b)	KUNIT_COMPARE(test, true, a, ==, b, "")
#define KUNIT_ASSERT_GT(test, a, b)	KUNIT_COMPARE(test, true, a, >, b, "")
#define KUNIT_EXPECT_PTR_EQ(test, a, b)	KUNIT_HOLDS(test, false, (a) == (b), "")
#define KUNIT_EXPECT_EQ_MSG(test, a, b, ...) \
	KUNIT_COMPARE(test, false, a, ==, b, __VA_ARGS__)
#define KUNIT_ASSERT_EQ_MSG(test, a, b, ...) \
	KUNIT_COMPARE(test, true, a, ==, b, __VA_ARGS__)
#define KUNIT_EXPECT_TRUE(test, is)	KUNIT_HOLDS(test, false, is, "")
#define KUNIT_EXPECT_FALSE(test, is)	KUNIT_HOLDS(test, false, !(is), "")
#define KUNIT_EXPECT_NULL(test, is)	KUNIT_HOLDS(test, false, !(is), "")
#define KUNIT_EXPECT_NOT_NULL(test, is)	KUNIT_HOLDS(test, false, is, "")
#define KUNIT_ASSERT_TRUE(test, is)	KUNIT_HOLDS(test, true, is, "")
#define KUNIT_ASSERT_FALSE(test, is)	KUNIT_HOLDS(test, true, !(is), "")
#define KUNIT_ASSERT_NULL(test, is)	KUNIT_HOLDS(test, true, !(is), "")
#define KUNIT_ASSERT_NOT_NULL(test, is)	KUNIT_HOLDS(test, true, is, "")
#define KUNIT_EXPECT_TRUE_MSG(test, is, ...)	KUNIT_HOLDS(test, false, is, __VA_ARGS__)
#define KUNIT_EXPECT_FALSE_MSG(test, is, ...)	KUNIT_HOLDS(test, false, !(is), __VA_ARGS__)
#define KUNIT_EXPECT_NOT_NULL_MSG(test, is, ...) KUNIT_HOLDS(test, false, is, __VA_ARGS__)
#define KUNIT_ASSERT_TRUE_MSG(test, is, ...)	KUNIT_HOLDS(test, true, is, __VA_ARGS__)
#define KUNIT_FAIL(test, ...) \
	kunit_failed(test, false, __FILE__, __LINE__, "failed:", __VA_ARGS__)

/* ---- numbers, memory, waiting ------------------------------------------- */

struct rnd_state {
	u64 state;
};

void prandom_seed_state(struct rnd_state *random, u64 seed);
u32 prandom_u32_state(struct rnd_state *random);

#define module_param(name, type, mode)	static_assert(true)
#define MODULE_PARM_DESC(name, text)	static_assert(true)

#define __GFP_NOFAIL			SIM_SURE
#define vmalloc(bytes)			kmalloc(bytes, GFP_KERNEL)
#define vfree				kfree
#define kvmalloc_array(count, size, flags)	kmalloc((size_t)(count) * (size), flags)
#define __get_free_page(flags)		((unsigned long)page_address(alloc_page(flags)))
#define free_page(at)			__free_page(virt_to_page((const void *)(at)))

/* The so manieth allocation from now on is refused, then it is 0; 0: none is. */
extern u32 kunit_refuse_after;
/* Why the disk cannot be opened; 0: it can. */
extern int kunit_open_error;
int __real_lookup_bdev(const char *path, dev_t *number);
int __wrap_lookup_bdev(const char *path, dev_t *number);

#define spin_lock_irq			spin_lock
#define spin_unlock_irq			spin_unlock
#define le32_to_cpup(at)		le32_to_cpu(*(const __le32 *)(at))

/* True: the condition holds; else the time is up. */
#define wait_event_timeout(queue, condition, timeout) do { \
	u64 _until = ktime_get_boottime_ns() + (timeout) * (NSEC_PER_SEC / HZ); \
	while (!(condition) && sim_sleep(_until)) \
		; \
} while (0)

/*
 * Every work is a thread here, for the disk makes those wait that bring it too much, and
 * the end of a queue waits for those that run. Works of others come in between.
 */
bool kunit_queue_work(struct workqueue_struct *queue, struct work_struct *work);
void kunit_destroy_workqueue(struct workqueue_struct *queue);
void kunit_yield(void);
#define queue_work		kunit_queue_work
#define destroy_workqueue	kunit_destroy_workqueue
#undef cond_resched
#define cond_resched		kunit_yield

static inline void __assign_bit(unsigned long bit, unsigned long *map, bool value)
{
	if (value)
		set_bit(bit, map);
	else
		clear_bit(bit, map);
}

static inline void bitmap_clear(unsigned long *map, unsigned long first,
				unsigned long count)
{
	while (count--)
		clear_bit(first++, map);
}

/* ---- block devices ------------------------------------------------------ */

#define SECTOR_SHIFT	9
#define SECTOR_SIZE	512u
#define NUMA_NO_NODE	(-1)

#define BLK_FEAT_WRITE_CACHE	1u
#define BLK_FEAT_FUA		2u
#define BLK_FEAT_NOWAIT		4u

struct queue_limits {
	unsigned int logical_block_size;
	unsigned int physical_block_size;
	unsigned int max_hw_sectors;
	unsigned int max_write_zeroes_sectors;
	unsigned int features;
};

struct block_device_operations {
	void *owner;
	void (*submit_bio)(struct bio *bio);
};

/* The disk of the simulator's block device is one that a test made. */
#define gendisk	sim_disk
#define bd_disk	disk

struct gendisk {
	const struct block_device_operations *fops;
	void *private_data;
	char disk_name[32];
	u64 sectors;
	struct queue_limits limits;
};

struct gendisk *blk_alloc_disk(const struct queue_limits *limits, int node);
int add_disk(struct gendisk *disk);
void del_gendisk(struct gendisk *disk);
void put_disk(struct gendisk *disk);

static inline void set_capacity(struct gendisk *disk, u64 sectors)
{
	disk->sectors = sectors;
}

static inline int atomic_inc_return(atomic_t *v)
{
	return ++v->counter;
}

struct bio_list {
	struct bio_list_entry *first, *last;
	unsigned int count;
};

struct bio_list_entry {
	struct bio_list_entry *next;
	struct bio *bio;
};

void bio_list_add(struct bio_list *list, struct bio *bio);
struct bio *bio_list_pop(struct bio_list *list);

static inline void bio_list_init(struct bio_list *list)
{
	memset(list, 0, sizeof(*list));
}

#define bio_list_empty(list)	(!(list)->first)
#define bio_list_size(list)	((list)->count)
#define bio_list_for_each(at, list) \
	for (struct bio_list_entry *_entry = (list)->first; \
	     _entry && ((at) = _entry->bio, true); _entry = _entry->next)

#define bio_sectors(bio)	((bio)->bi_iter.bi_size >> SECTOR_SHIFT)
#define bio_end_sector(bio)	((bio)->bi_iter.bi_sector + bio_sectors(bio))
#define bio_iter_iovec(bio, iter)	bvec_iter_bvec((bio)->bi_io_vec, iter)
#define op_is_write(op)		((op) & 1)

static inline void bio_advance_iter_single(const struct bio *bio, struct bvec_iter *iter,
					   unsigned int bytes)
{
	iter->bi_sector += bytes >> SECTOR_SHIFT;
	bvec_iter_advance(bio->bi_io_vec, iter, bytes);
}

#define bio_for_each_segment(bvec, bio, iter) \
	for ((iter) = (bio)->bi_iter; \
	     (iter).bi_size && ((bvec) = bio_iter_iovec(bio, iter), true); \
	     bio_advance_iter_single(bio, &(iter), (bvec).bv_len))

static inline void bio_endio(struct bio *bio)
{
	bio->bi_end_io(bio);
}

static inline void bio_wouldblock_error(struct bio *bio)
{
	bio->bi_status = BLK_STS_AGAIN;
	bio_endio(bio);
}

static inline void memcpy_from_page(void *to, const struct page *page, size_t offset,
				    size_t bytes)
{
	memcpy(to, (const u8 *)page_address(page) + offset, bytes);
}

static inline void memcpy_to_page(struct page *page, size_t offset, const void *from,
				  size_t bytes)
{
	memcpy((u8 *)page_address(page) + offset, from, bytes);
}

#endif
