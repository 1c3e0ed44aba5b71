// SPDX-License-Identifier: GPL-2.0
/*
 * A client of one member's device: reads, writes, zeroes, discards and flushes at
 * random, and keeps a history of it for tests/lib/linearizability.py.
 *
 *   client work  DEVICE SHARED HISTORY NUMBER MEMBER SEED PAUSE_US BIG COUNT [READS]
 *   client read  DEVICE SHARED HISTORY NUMBER MEMBER
 *   client shared SHARED BLOCKS
 *
 * work goes on until SIGTERM, or until COUNT operations have succeeded if that is not
 * 0. Of BIG of 16 operations many blocks are written at once, and of READS of 16 nothing
 * is written: a client that only reads is not held up where writes wait for a quorum. read
 * reads every block once. shared makes the file SHARED, for a device of that many blocks.
 *
 * All clients of a device share a counter, from which invoke and return are taken:
 * clocks may stand still while computing. They also share a lock for each block: what
 * several writers of one block at a time are promised is less than linearizability
 * (Documentation/promises.rst), so one writes and all read. A block whose last write has
 * an unknown outcome is left to clients of the same member until one has succeeded.
 *
 * Every written block tells its value, which no other write has, and its place. A block
 * that is neither that nor zero is the end: status 3.
 *
 * On standard output: a line "error ERRNO BEGIN_NS END_NS KIND BLOCK COUNT" for each
 * operation that failed (times are CLOCK_MONOTONIC's; opening the device is one, and is
 * tried again), and in the end "done" with the
 * number of operations of each kind.
 *
 * Exit status: 0, or 1 if something does not work as it should, 2 for bad usage, 4 if
 * the device is gone before it was opened.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES	4096
#define BLOCK_WORDS	(BLOCK_BYTES / 8)
#define SMALL_BLOCKS	4
#define BIG_BLOCKS	256
#define HOT_BLOCKS	24
#define BOUND		0x80000000u

struct shared {
	uint64_t counter;
	uint64_t blocks;
	uint32_t locks[];	/* 0: free, a client, or BOUND | a member */
};

enum kind { READ, WRITE, ZERO, DISCARD, FLUSH, KINDS };

static const char * const kind_names[KINDS] = { "read", "write", "zero", "zero", "flush" };

static volatile sig_atomic_t stop;
static struct shared *shared;
static FILE *history;
static uint64_t client, member, values, random_state, operations[KINDS];

static void on_term(int signal)
{
	(void)signal;
	stop = 1;
}

static void die(int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("client: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(status);
}

static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

static uint64_t below(uint64_t bound)
{
	return (mix(random_state += UINT64_C(0x9e3779b97f4a7c15)) >> 32) * bound >> 32;
}

static uint64_t count_event(void)
{
	return __atomic_add_fetch(&shared->counter, 1, __ATOMIC_SEQ_CST);
}

/* ---- what blocks hold ---------------------------------------------------- */

static void fill(uint64_t *block, uint64_t place, uint64_t value)
{
	unsigned int i;

	block[0] = value;
	block[1] = place;
	for (i = 2; i < BLOCK_WORDS; i++)
		block[i] = mix(value + place * UINT64_C(0x9e3779b97f4a7c15) + i);
}

/* The value of a block that was read. */
static uint64_t value_of(const uint64_t *block, uint64_t place)
{
	static const uint64_t zeroes[BLOCK_WORDS];
	uint64_t should[BLOCK_WORDS];

	if (!memcmp(block, zeroes, BLOCK_BYTES))
		return 0;
	fill(should, place, block[0]);
	if (memcmp(block, should, BLOCK_BYTES))
		die(3, "block %" PRIu64 " holds neither a whole write to it nor zeroes: %016"
		    PRIx64 " %016" PRIx64 " ... %016" PRIx64, place, block[0], block[1],
		    block[BLOCK_WORDS - 1]);
	return block[0];
}

/* ---- who may write ------------------------------------------------------- */

static bool take(uint64_t place)
{
	uint32_t found = __atomic_load_n(&shared->locks[place], __ATOMIC_SEQ_CST);

	return (found == 0 || found == (BOUND | member)) &&
	       __atomic_compare_exchange_n(&shared->locks[place], &found, client, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void give(uint64_t place, bool unknown)
{
	__atomic_store_n(&shared->locks[place], unknown ? BOUND | member : 0,
			 __ATOMIC_SEQ_CST);
}

/* How many from here on are ours now. */
static uint64_t take_all(uint64_t place, uint64_t count)
{
	uint64_t taken;

	for (taken = 0; taken < count && take(place + taken); taken++)
		;
	return taken;
}

/* ---- one operation ------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
}

/* 0, or why not. */
static int perform(int fd, enum kind kind, uint64_t *data, uint64_t place, uint64_t count)
{
	uint64_t range[2] = { place * BLOCK_BYTES, count * BLOCK_BYTES };
	ssize_t done;

	switch (kind) {
	case READ:
		done = pread(fd, data, range[1], range[0]);
		return done < 0 ? errno : done != (ssize_t)range[1] ? EIO : 0;
	case WRITE:
		done = pwrite(fd, data, range[1], range[0]);
		return done < 0 ? errno : done != (ssize_t)range[1] ? EIO : 0;
	case ZERO:
		return ioctl(fd, BLKZEROOUT, range) ? errno : 0;
	case DISCARD:
		return ioctl(fd, BLKDISCARD, range) ? errno : 0;
	default:
		return fdatasync(fd) ? errno : 0;
	}
}

static void note(enum kind kind, uint64_t place, uint64_t value, uint64_t invoke,
		 uint64_t end, uint64_t begin_ns, int error)
{
	fprintf(history, "{\"client\": \"%" PRIu64 ".%" PRIu64 "\", \"block\": %" PRIu64
		", \"operation\": \"%s\"", member, client, place, kind_names[kind]);
	if (kind == WRITE || (kind == READ && !error))
		fprintf(history, ", \"value\": %" PRIu64, value);
	fprintf(history, ", \"invoke\": %" PRIu64 ", \"return\": %" PRIu64
		", \"outcome\": \"%s\", \"begin_ns\": %" PRIu64 ", \"end_ns\": %" PRIu64
		", \"errno\": %d}\n", invoke, end, error ? "unknown" : "ok", begin_ns,
		now_ns(), error);
}

/* Whether it succeeded. */
static bool operate(int fd, enum kind kind, uint64_t *data, uint64_t place, uint64_t count)
{
	uint64_t invoke, end, begin_ns, value = 0, i;
	int error;

	if (kind == WRITE) {
		value = client << 32 | ++values;
		for (i = 0; i < count; i++)
			fill(data + i * BLOCK_WORDS, place + i, value);
	}
	begin_ns = now_ns();
	invoke = count_event();
	error = perform(fd, kind, data, place, count);
	end = count_event();
	operations[kind]++;
	if (error)
		printf("error %d %" PRIu64 " %" PRIu64 " %s %" PRIu64 " %" PRIu64 "\n", error,
		       begin_ns, now_ns(), kind_names[kind], place, count);
	for (i = 0; kind != FLUSH && i < count; i++) {
		if (kind == READ && !error)
			value = value_of(data + i * BLOCK_WORDS, place + i);
		note(kind, place + i, value, invoke, end, begin_ns, error);
	}
	return !error;
}

static enum kind some_kind(void)
{
	uint64_t dice = below(100);

	return dice < 45 ? WRITE : dice < 88 ? READ : dice < 92 ? ZERO :
	       dice < 95 ? DISCARD : FLUSH;
}

/* Some blocks are used by all the time, the others now and then. */
static uint64_t some_place(uint64_t count)
{
	uint64_t bound = below(4) && HOT_BLOCKS + count < shared->blocks ? HOT_BLOCKS :
			 shared->blocks - count + 1;

	return below(bound);
}

static bool work_once(int fd, uint64_t *data, uint64_t big, uint64_t reads)
{
	bool is_read = below(16) < reads, is_big = !is_read && below(16) < big, changes, good;
	enum kind kind = is_read ? READ : is_big ? WRITE : some_kind();
	uint64_t count = is_big ? 1 + below(BIG_BLOCKS) : below(3) ? 1 : 1 + below(SMALL_BLOCKS);
	uint64_t place, i;

	if (count > shared->blocks / 2)
		count = shared->blocks / 2;
	place = is_big ? below(shared->blocks - count + 1) : some_place(count);
	changes = kind == WRITE || kind == ZERO || kind == DISCARD;
	if (changes) {
		count = take_all(place, count);
		if (!count)
			return false;
	}
	good = operate(fd, kind, data, place, count);
	for (i = 0; changes && i < count; i++)
		give(place + i, !good);
	return good;
}

static void work(int fd, uint64_t *data, uint64_t pause_us, uint64_t big, uint64_t limit,
		 uint64_t reads)
{
	uint64_t done = 0, us;
	struct timespec pause;

	while (!stop && (!limit || done < limit)) {
		done += work_once(fd, data, big, reads);
		us = 1 + below(2 * pause_us);
		pause.tv_sec = us / 1000000;
		pause.tv_nsec = us % 1000000 * 1000;
		if (!stop)
			nanosleep(&pause, NULL);
	}
}

static void read_all(int fd, uint64_t *data)
{
	uint64_t place, count;

	for (place = 0; place < shared->blocks; place += count) {
		count = shared->blocks - place;
		if (count > BIG_BLOCKS)
			count = BIG_BLOCKS;
		if (!operate(fd, READ, data, place, count))
			die(1, "reading block %" PRIu64 " failed", place);
	}
}

/* ---- begin --------------------------------------------------------------- */

static uint64_t number_argument(const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-')
		die(2, "'%s' is no number", text);
	return value;
}

static void make_shared(const char *path, uint64_t blocks)
{
	size_t bytes = sizeof(*shared) + blocks * sizeof(shared->locks[0]);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd < 0 || ftruncate(fd, bytes) ||
	    pwrite(fd, &blocks, sizeof(blocks), offsetof(struct shared, blocks)) !=
	    sizeof(blocks) || close(fd))
		die(1, "cannot make %s: %s", path, strerror(errno));
}

static void map_shared(const char *path)
{
	int fd = open(path, O_RDWR);
	off_t bytes = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (bytes < 0)
		die(1, "cannot open %s: %s", path, strerror(errno));
	shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		die(1, "cannot map %s: %s", path, strerror(errno));
	close(fd);
}

/* Who opens it waits for a leader, or fails without one, as all I/O does: he tries again. */
static int open_device(const char *path)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	uint64_t begin_ns = now_ns(), bytes;
	int fd;

	while ((fd = open(path, O_RDWR | O_DIRECT)) < 0 && errno == EIO && !stop) {
		printf("error %d %" PRIu64 " %" PRIu64 " open 0 0\n", EIO, begin_ns, now_ns());
		nanosleep(&pause, NULL);
		begin_ns = now_ns();
	}
	if (fd < 0)
		die(4, "cannot open %s: %s", path, strerror(errno));
	if (ioctl(fd, BLKGETSIZE64, &bytes))
		die(1, "%s does not tell its size: %s", path, strerror(errno));
	if (bytes / BLOCK_BYTES < shared->blocks)
		die(bytes ? 1 : 4, "%s has %" PRIu64 " bytes", path, bytes);
	return fd;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_term };
	uint64_t *data;
	int fd;

	if (argc == 4 && !strcmp(argv[1], "shared")) {
		make_shared(argv[2], number_argument(argv[3]));
		return 0;
	}
	if (!(argc == 7 && !strcmp(argv[1], "read")) &&
	    !((argc == 11 || argc == 12) && !strcmp(argv[1], "work")))
		die(2, "usage: client work DEVICE SHARED HISTORY NUMBER MEMBER SEED PAUSE_US BIG COUNT [READS] | client read DEVICE SHARED HISTORY NUMBER MEMBER | client shared SHARED BLOCKS");
	/* What die() says goes to the same file, and into no line of these. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &action, NULL);
	client = number_argument(argv[5]);
	member = number_argument(argv[6]);
	map_shared(argv[3]);
	fd = open_device(argv[2]);
	history = fopen(argv[4], "a");
	if (!history)
		die(1, "cannot open %s: %s", argv[4], strerror(errno));
	if (posix_memalign((void **)&data, BLOCK_BYTES, BIG_BLOCKS * BLOCK_BYTES))
		die(1, "no memory");
	if (argc == 7) {
		read_all(fd, data);
	} else {
		random_state = number_argument(argv[7]);
		work(fd, data, number_argument(argv[8]), number_argument(argv[9]),
		     number_argument(argv[10]), argc == 12 ? number_argument(argv[11]) : 0);
	}
	printf("done read %" PRIu64 " write %" PRIu64 " zero %" PRIu64 " discard %" PRIu64
	       " flush %" PRIu64 "\n", operations[READ], operations[WRITE],
	       operations[ZERO], operations[DISCARD], operations[FLUSH]);
	if (fclose(history))
		die(1, "cannot write %s: %s", argv[4], strerror(errno));
	return 0;
}
