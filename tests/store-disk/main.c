// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the KUnit suites of the store and of records on the simulator's kernel, one host,
 * one thread: the same in each run, with the sanitizers, and to be measured. Prints KTAP.
 *
 * usage: store-disk [CASE]	all cases, or those whose name contains CASE
 */
#include "../sim/sim.h"

/* ---- suites ------------------------------------------------------------- */

#define SUITES_MAX	16

static const struct kunit_suite *suites[SUITES_MAX];
static unsigned int suite_count;

void kunit_register(const struct kunit_suite *suite)
{
	if (suite_count == SUITES_MAX)
		abort();
	suites[suite_count++] = suite;
}

void kunit_failed(struct kunit *test, bool fatal, const char *file, int line,
		  const char *what, const char *format, ...)
{
	va_list arguments;

	printf("# %s:%d: %s ", file, line, what);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	test->status = KUNIT_FAILURE;
	if (!fatal)
		return;
	/* What the case holds is not given back, so no other can follow. */
	printf("Bail out! a condition that the case builds upon does not hold\n");
	exit(1);
}

struct kunit_memory {
	struct kunit_memory *next;
	u8 memory[] __attribute__((aligned(16)));
};

void *kunit_kzalloc(struct kunit *test, size_t bytes, gfp_t flags)
{
	struct kunit_memory *memory = calloc(1, sizeof(*memory) + bytes);

	if (!memory)
		abort();
	memory->next = test->memory;
	test->memory = memory;
	return memory->memory;
}

void kunit_kfree(struct kunit *test, const void *at)
{
	struct kunit_memory **link = &test->memory, *memory;

	while (*link && (*link)->memory != at)
		link = &(*link)->next;
	memory = *link;
	if (!memory)
		abort();
	*link = memory->next;
	free(memory);
}

/* ---- numbers ------------------------------------------------------------ */

void prandom_seed_state(struct rnd_state *random, u64 seed)
{
	random->state = seed;
}

/* SplitMix64, as in world.c; these are the disk's and the test's own. */
u32 prandom_u32_state(struct rnd_state *random)
{
	u64 x = random->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (x ^ x >> 31) >> 32;
}

/* ---- what is refused ---------------------------------------------------- */

u32 kunit_refuse_after;
int kunit_open_error;

void *__real_sim_alloc(size_t bytes, gfp_t flags);
void *__wrap_sim_alloc(size_t bytes, gfp_t flags);
struct page *__real_alloc_page(gfp_t flags);
struct page *__wrap_alloc_page(gfp_t flags);
struct file *__real_bdev_file_open_by_dev(dev_t number, unsigned int mode, void *holder,
					  void *operations);
struct file *__wrap_bdev_file_open_by_dev(dev_t number, unsigned int mode, void *holder,
					  void *operations);

static bool refuse(gfp_t flags)
{
	return !(flags & SIM_SURE) && kunit_refuse_after && !--kunit_refuse_after;
}

void *__wrap_sim_alloc(size_t bytes, gfp_t flags)
{
	return refuse(flags) ? NULL : __real_sim_alloc(bytes, flags);
}

struct page *__wrap_alloc_page(gfp_t flags)
{
	return refuse(flags) ? NULL : __real_alloc_page(flags);
}

/* In tests/sim every path is the host's disk. */
int __wrap_lookup_bdev(const char *path, dev_t *number)
{
	if (!strcmp(path, "/dev/null"))
		return -ENOTBLK;
	if (strcmp(path + strlen("/dev/"), sim_host->bdev.disk->disk_name))
		return -ENOENT;
	return __real_lookup_bdev(path, number);
}

struct file *__wrap_bdev_file_open_by_dev(dev_t number, unsigned int mode, void *holder,
					  void *operations)
{
	if (kunit_open_error)
		return ERR_PTR(kunit_open_error);
	return __real_bdev_file_open_by_dev(number, mode, holder, operations);
}

/* ---- works -------------------------------------------------------------- */

#undef destroy_workqueue

/* Those that are queued or run, and where. */
static struct worker {
	struct workqueue_struct *queue;
	struct work_struct *work;
} workers[16];

static void worker_thread(void *object)
{
	struct worker *worker = object;
	struct work_struct *work = worker->work;

	while (work->event) {
		work->event = 0;
		work->function(work);
	}
	work->running = false;
	worker->work = NULL;
}

bool kunit_queue_work(struct workqueue_struct *queue, struct work_struct *work)
{
	struct worker *worker = workers;

	if (work->event)
		return false;
	work->event = 1;
	if (work->running)
		return true;
	while (worker->work)
		if (++worker == workers + ARRAY_SIZE(workers))
			abort();
	worker->queue = queue;
	worker->work = work;
	work->running = true;
	sim_thread(worker_thread, worker);
	return true;
}

void kunit_destroy_workqueue(struct workqueue_struct *queue)
{
	for (struct worker *worker = workers; worker < workers + ARRAY_SIZE(workers);
	     worker++)
		while (worker->work && worker->queue == queue)
			sim_sleep(0);
	destroy_workqueue(queue);
}

static void nothing(void *object, u64 argument)
{
}

void kunit_yield(void)
{
	sim_event(sim_host, world.now + 1 + sim_below(1000), nothing, NULL, 0);
	sim_sleep(0);
}

/* ---- block devices ------------------------------------------------------ */

void bio_list_add(struct bio_list *list, struct bio *bio)
{
	struct bio_list_entry *entry = malloc(sizeof(*entry));

	if (!entry)
		abort();
	entry->next = NULL;
	entry->bio = bio;
	if (list->first)
		list->last->next = entry;
	else
		list->first = entry;
	list->last = entry;
	list->count++;
}

struct bio *bio_list_pop(struct bio_list *list)
{
	struct bio_list_entry *entry = list->first;
	struct bio *bio;

	if (!entry)
		return NULL;
	bio = entry->bio;
	list->first = entry->next;
	list->count--;
	free(entry);
	return bio;
}

struct gendisk *blk_alloc_disk(const struct queue_limits *limits, int node)
{
	struct gendisk *disk = kzalloc(sizeof(*disk), GFP_KERNEL);

	disk->limits = *limits;
	return disk;
}

/* The host has one device; a case has one disk at a time. */
int add_disk(struct gendisk *disk)
{
	struct block_device *bdev = &sim_host->bdev;

	WARN_ON(bdev->disk);
	bdev->disk = disk;
	bdev->blocks = disk->sectors >> 3;
	bdev->write_zeroes = disk->limits.max_write_zeroes_sectors;
	return 0;
}

void del_gendisk(struct gendisk *disk)
{
	sim_host->bdev.disk = NULL;
}

void put_disk(struct gendisk *disk)
{
	kfree(disk);
}

void sim_disk_submit(struct bio *bio)
{
	bio->bi_bdev->disk->fops->submit_bio(bio);
}

/* What the simulator's world calls, and there is not here: others, users, faults. */
void sim_after_event(struct sim_host *host)
{
}

bool sim_network_brings(void (*run)(void *object, u64 argument))
{
	return false;
}

bool sim_disk_brings(void (*run)(void *object, u64 argument))
{
	return false;
}

void sim_client_read_newest(struct sim_host *host)
{
}

void sim_faults_work(void)
{
}

/* ---- cases -------------------------------------------------------------- */

struct order {
	const struct kunit_suite *suite;
	const struct kunit_case *one;
	struct kunit test;
	bool done;
};

static void case_thread(void *object)
{
	struct order *order = object;

	if (order->suite->init && order->suite->init(&order->test))
		order->test.status = KUNIT_FAILURE;
	else
		order->one->run_case(&order->test);
	if (order->suite->exit)
		order->suite->exit(&order->test);
	order->done = true;
}

static bool run_case(const struct kunit_suite *suite, const struct kunit_case *one)
{
	struct order order = { .suite = suite, .one = one };
	struct sim_host *host = &world.hosts[1];

	sim_world_begin(1);
	host->powered = true;
	host->life = 1;
	sim_host = host;
	sim_thread(case_thread, &order);
	sim_host = NULL;
	while (!order.done)
		if (!sim_step())
			sim_pass_time();
	/* What was asked for just before the end. */
	while (sim_step())
		;
	while (order.test.memory)
		kunit_kfree(&order.test, order.test.memory->memory);
	if (host->allocated)
		sim_fail("%llu pieces of memory were not given back", host->allocated);
	if (world.error) {
		printf("# %s\n", world.error);
		order.test.status = KUNIT_FAILURE;
	}
	sim_memory_drop(host);
	sim_world_end();
	return order.test.status == KUNIT_SUCCESS;
}

static unsigned int count_cases(const char *filter)
{
	const struct kunit_case *one;
	unsigned int count = 0;

	for (unsigned int i = 0; i < suite_count; i++)
		for (one = suites[i]->test_cases; one->name; one++)
			count += !filter || strstr(one->name, filter);
	return count;
}

int main(int argc, char **argv)
{
	const char *filter = argc > 1 ? argv[1] : NULL;
	unsigned int count = count_cases(filter), number = 0;
	const struct kunit_case *one;
	bool passed = true;

	if (argc > 2 || !count) {
		fprintf(stderr, "store-disk: no case has '%s' in its name\n",
			argc > 1 ? argv[argc - 1] : "");
		return 2;
	}
	printf("KTAP version 1\n1..%u\n", count);
	for (unsigned int i = 0; i < suite_count; i++) {
		for (one = suites[i]->test_cases; one->name; one++) {
			bool good;

			if (filter && !strstr(one->name, filter))
				continue;
			good = run_case(suites[i], one);
			passed = passed && good;
			printf("%sok %u %s.%s\n", good ? "" : "not ", ++number,
			       suites[i]->name, one->name);
			fflush(stdout);
		}
	}
	return passed ? 0 : 1;
}
