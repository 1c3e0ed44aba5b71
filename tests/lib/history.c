// SPDX-License-Identifier: GPL-2.0
/*
 * Reads and writes a block device from several threads and records when each
 * operation began and ended, in memory that several hosts share.
 *
 *   history run DEVICE FIRST HOST HOSTS THREADS BLOCKS PAUSE
 *		THREADS clients work on blocks FIRST and up until the word "stop" of
 *		the shared memory says so.  Each of them has BLOCKS blocks of its own
 *		to write (one writer a block, at all times) and reads those of all
 *		the HOSTS.  Between two operations it pauses for a random time up to
 *		twice PAUSE microseconds
 *   history read DEVICE FIRST COUNT
 *		one client reads each of COUNT blocks once
 *   history count N
 *		add 1 to a word of the shared memory N times: whether hosts that do
 *		so at the same time lose nothing
 *
 * Exit status 0; 1 with one line on standard error when an operation failed or a
 * block held what nobody can have written; 2 for bad arguments.
 *
 * The shared memory is that of an ivshmem device: a struct header, then events.
 * An event is a slot, taken with one atomic addition: the number of the slot is
 * its time, on a clock that is the same for all hosts and neither jumps nor
 * pauses.  An operation's first slot is taken, and filled, before it is
 * submitted, its last one after it has completed.  What a host had written there
 * is still there when the host is not.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DEVICE_BLOCK 4096
#define BLOCK_WORDS (DEVICE_BLOCK / 8)
#define BLOCKS_AT_ONCE 4
#define HEADER_SIZE 4096
#define HOSTS_MAX 16
#define DEVICES "/sys/bus/pci/devices"

enum event_kind {
	EVENT_NONE,
	EVENT_CLIENT,		/* value: number of the host; count: of the thread */
	EVENT_READ,		/* an operation begins: block, count */
	EVENT_WRITE,		/* value: of the first block, then one more each */
	EVENT_ZERO,
	EVENT_FOUND,		/* what a read found: block, value */
	EVENT_FOREIGN,		/* a block with what nobody wrote, or torn */
	EVENT_DONE,		/* the operation of this client has ended */
	EVENT_ERROR,		/* it failed; value: errno.  It may have had effect */
	EVENT_STOPPED,		/* the client ends in order */
};

struct event {
	uint32_t kind;		/* written last */
	uint32_t client;
	uint64_t value;
	uint32_t block;
	uint32_t count;
	uint64_t boottime;	/* of the host, nanoseconds: for whoever reads logs */
};

struct header {
	uint64_t slots;		/* taken so far */
	uint64_t clients;	/* numbers given so far */
	uint64_t counted;
	uint64_t lost;		/* events for which there was no room */
	uint64_t stop[HOSTS_MAX];
};

static struct header *header;
static struct event *events;
static uint64_t room;

static struct {
	int device;
	uint32_t first;
	uint32_t host;
	uint32_t threads;
	uint32_t blocks;	/* for each thread */
	uint32_t total;
	uint64_t pause;
} work;

static int failed;

static void complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("history: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	__atomic_store_n(&failed, 1, __ATOMIC_SEQ_CST);
}

static uint64_t mix(uint64_t state)
{
	state += 0x9e3779b97f4a7c15ull;
	state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ull;
	state = (state ^ (state >> 27)) * 0x94d049bb133111ebull;
	return state ^ (state >> 31);
}

static uint64_t boottime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void record(enum event_kind kind, uint32_t client, uint32_t block, uint32_t count,
		   uint64_t value)
{
	uint64_t slot = __atomic_fetch_add(&header->slots, 1, __ATOMIC_SEQ_CST);
	struct event *event = &events[slot];

	if (slot >= room) {
		__atomic_fetch_add(&header->lost, 1, __ATOMIC_SEQ_CST);
		return;
	}
	event->client = client;
	event->block = block;
	event->count = count;
	event->value = value;
	event->boottime = boottime();
	__atomic_store_n(&event->kind, kind, __ATOMIC_SEQ_CST);
}

/* The memory of the first ivshmem device. */
static bool map_shared(void)
{
	DIR *directory = opendir(DEVICES);
	struct dirent *entry;
	struct stat status;
	char path[400], id[16];
	bool found = false;
	int file;

	while (directory && !found && (entry = readdir(directory))) {
		snprintf(path, sizeof(path), DEVICES "/%s/device", entry->d_name);
		file = open(path, O_RDONLY);
		if (file < 0)
			continue;
		found = read(file, id, sizeof(id)) >= 6 && !memcmp(id, "0x1110", 6);
		close(file);
	}
	if (!found)
		return false;
	snprintf(path, sizeof(path), DEVICES "/%s/enable", entry->d_name);
	file = open(path, O_WRONLY);
	if (file < 0 || write(file, "1", 1) != 1)
		return false;
	close(file);
	snprintf(path, sizeof(path), DEVICES "/%s/resource2", entry->d_name);
	closedir(directory);
	file = open(path, O_RDWR);
	if (file < 0 || fstat(file, &status) || status.st_size <= HEADER_SIZE)
		return false;
	header = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (header == MAP_FAILED)
		return false;
	events = (struct event *)((char *)header + HEADER_SIZE);
	room = (status.st_size - HEADER_SIZE) / sizeof(*events);
	return true;
}

/* A block says which write it is from, and where it belongs. */
static void fill(uint64_t *block, uint64_t value, uint32_t number)
{
	block[0] = value;
	block[1] = number;
	for (uint32_t i = 2; i < BLOCK_WORDS; i++)
		block[i] = mix(value ^ ((uint64_t)number << 48) ^ i);
}

/* Whether it is whole; a block of zeroes is the value 0. */
static bool parse(const uint64_t *block, uint32_t number, uint64_t *value)
{
	uint64_t wanted[BLOCK_WORDS] = { 0 };

	*value = block[0];
	if (block[0])
		fill(wanted, block[0], number);
	return !memcmp(block, wanted, DEVICE_BLOCK);
}

struct client {
	uint32_t number;
	uint32_t thread;
	uint64_t random;
	uint32_t writes;
	uint64_t *buffer;
};

static uint64_t draw(struct client *client, uint64_t below)
{
	client->random = mix(client->random);
	return client->random % below;
}

static void finish(struct client *client, uint32_t block, uint32_t count, bool good,
		   const char *what)
{
	int error = errno;

	if (good) {
		record(EVENT_DONE, client->number, block, count, 0);
		return;
	}
	record(EVENT_ERROR, client->number, block, count, error);
	complain("%s of block %u: %s", what, block, strerror(error));
}

static off_t place(uint32_t block)
{
	return ((off_t)work.first + block) * DEVICE_BLOCK;
}

static void do_read(struct client *client, uint32_t block, uint32_t count)
{
	ssize_t size = (ssize_t)count * DEVICE_BLOCK;
	uint64_t value;
	bool good;

	record(EVENT_READ, client->number, block, count, 0);
	good = pread(work.device, client->buffer, size, place(block)) == size;
	for (uint32_t i = 0; good && i < count; i++) {
		if (parse(client->buffer + i * BLOCK_WORDS, block + i, &value)) {
			record(EVENT_FOUND, client->number, block + i, 1, value);
			continue;
		}
		record(EVENT_FOREIGN, client->number, block + i, 1, value);
		complain("block %u is torn or foreign, it begins with %" PRIx64, block + i,
			 value);
	}
	finish(client, block, count, good, "read");
}

static void do_write(struct client *client, uint32_t block, uint32_t count, bool fua)
{
	struct iovec vector = { client->buffer, (size_t)count * DEVICE_BLOCK };
	uint64_t value = (uint64_t)client->number << 32 | (client->writes + 1);

	client->writes += count;
	for (uint32_t i = 0; i < count; i++)
		fill(client->buffer + i * BLOCK_WORDS, value + i, block + i);
	record(EVENT_WRITE, client->number, block, count, value);
	finish(client, block, count,
	       pwritev2(work.device, &vector, 1, place(block), fua ? RWF_DSYNC : 0) ==
	       (ssize_t)vector.iov_len, "write");
}

static void do_zero(struct client *client, uint32_t block, uint32_t count, bool discard)
{
	uint64_t range[2] = { place(block), (uint64_t)count * DEVICE_BLOCK };

	record(EVENT_ZERO, client->number, block, count, 0);
	finish(client, block, count,
	       !ioctl(work.device, discard ? BLKDISCARD : BLKZEROOUT, range),
	       discard ? "discard" : "zeroing");
}

/* A part of a range, as (first, count). */
static uint32_t part(struct client *client, uint32_t first, uint32_t size, uint32_t *count)
{
	uint32_t from = draw(client, size);
	uint32_t most = size - from < BLOCKS_AT_ONCE ? size - from : BLOCKS_AT_ONCE;

	*count = draw(client, 2) ? 1 : 1 + draw(client, most);
	return first + from;
}

static void one_operation(struct client *client)
{
	uint32_t mine = (work.host * work.threads + client->thread) * work.blocks;
	uint64_t dice = draw(client, 100);
	uint32_t block, count;

	if (dice < 50) {
		block = part(client, 0, work.total, &count);
		do_read(client, block, count);
		return;
	}
	block = part(client, mine, work.blocks, &count);
	if (dice < 82)
		do_write(client, block, count, false);
	else if (dice < 90)
		do_write(client, block, count, true);
	else if (dice < 93)
		do_zero(client, block, count, true);
	else if (dice < 96)
		do_zero(client, block, count, false);
	else if (fsync(work.device))
		complain("flush: %s", strerror(errno));
}

static bool make_client(struct client *client, uint32_t thread)
{
	client->thread = thread;
	client->number = __atomic_add_fetch(&header->clients, 1, __ATOMIC_SEQ_CST);
	client->random = mix(client->number);
	client->buffer = aligned_alloc(DEVICE_BLOCK, BLOCKS_AT_ONCE * DEVICE_BLOCK);
	record(EVENT_CLIENT, client->number, 0, thread, work.host + 1);
	return client->buffer;
}

static bool told_to_stop(void)
{
	return __atomic_load_n(&header->stop[work.host], __ATOMIC_SEQ_CST);
}

static void *run_client(void *argument)
{
	struct client client = { 0 };

	if (!make_client(&client, (uintptr_t)argument)) {
		complain("no memory");
		return NULL;
	}
	while (!told_to_stop() && !__atomic_load_n(&failed, __ATOMIC_SEQ_CST)) {
		one_operation(&client);
		if (work.pause)
			usleep(draw(&client, 2 * work.pause));
	}
	record(EVENT_STOPPED, client.number, 0, 0, 0);
	free(client.buffer);
	return NULL;
}

static int open_device(const char *path)
{
	work.device = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (work.device < 0)
		complain("%s: %s", path, strerror(errno));
	return work.device < 0;
}

static int run(void)
{
	pthread_t threads[64];

	for (uintptr_t i = 0; i < work.threads; i++) {
		if (pthread_create(&threads[i], NULL, run_client, (void *)i)) {
			complain("no thread");
			return 1;
		}
	}
	for (uint32_t i = 0; i < work.threads; i++)
		pthread_join(threads[i], NULL);
	if (header->lost)
		complain("the shared memory is full: %" PRIu64 " events are lost", header->lost);
	return failed;
}

static int read_all(uint32_t count)
{
	struct client client = { 0 };

	if (!make_client(&client, 0))
		return 1;
	for (uint32_t i = 0; i < count && !failed; i++)
		do_read(&client, i, 1);
	record(EVENT_STOPPED, client.number, 0, 0, 0);
	return failed;
}

static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && end != text && !*end && *text != '-' && *value >= least &&
	       *value <= most;
}

static int usage(void)
{
	fprintf(stderr, "usage: history run DEVICE FIRST HOST HOSTS THREADS BLOCKS PAUSE | read DEVICE FIRST COUNT | count N\n");
	return 2;
}

int main(int argc, char **argv)
{
	uint64_t first, host, hosts, threads, blocks, pause, count;

	if (argc == 9 && !strcmp(argv[1], "run")) {
		if (!number(argv[3], 0, UINT32_MAX, &first) ||
		    !number(argv[5], 1, HOSTS_MAX, &hosts) ||
		    !number(argv[4], 1, hosts, &host) ||
		    !number(argv[6], 1, 64, &threads) || !number(argv[7], 1, 1 << 16, &blocks) ||
		    !number(argv[8], 0, 1000000, &pause))
			return usage();
		work.first = first;
		work.host = host - 1;
		work.threads = threads;
		work.blocks = blocks;
		work.total = hosts * threads * blocks;
		work.pause = pause;
	} else if (argc == 5 && !strcmp(argv[1], "read")) {
		if (!number(argv[3], 0, UINT32_MAX, &first) ||
		    !number(argv[4], 1, UINT32_MAX, &count))
			return usage();
		work.first = first;
	} else if (argc != 3 || strcmp(argv[1], "count") ||
		   !number(argv[2], 1, UINT32_MAX, &count)) {
		return usage();
	}
	if (!map_shared()) {
		complain("there is no shared memory: %s", strerror(errno));
		return 1;
	}
	if (!strcmp(argv[1], "count")) {
		while (count--)
			__atomic_fetch_add(&header->counted, 1, __ATOMIC_SEQ_CST);
		return 0;
	}
	if (open_device(argv[2]))
		return 1;
	return !strcmp(argv[1], "run") ? run() : read_all(count);
}
