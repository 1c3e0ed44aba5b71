// SPDX-License-Identifier: GPL-2.0
/*
 * A host that is short of memory: who takes it, who writes meanwhile, and who watches.
 *
 *   pressure hog MIB		takes so much memory, page after page, then checks and changes
 *				all of it again and again; prints "MIB" for each that it has
 *				taken, and "again" after each time through. It is the first
 *				that the kernel kills
 *   pressure write FILE SLOTS BYTES EVERY
 *				chunk N of BYTES goes to place N modulo SLOTS of FILE, and after
 *				EVERY of them, if that is not 0, they are made durable; prints
 *				how many there are, then or after each 64. The last number is
 *				that of all
 *   pressure map FILE SLOTS BYTES EVERY
 *				the same by a mapping of the file
 *   pressure check FILE SLOTS BYTES COUNT
 *				FILE has what is left of COUNT chunks
 *   pressure watch DEVICE FILE SLOT
 *				writes ten times a second into FILE, which it maps, at SLOT times
 *				64: requests that the block device has completed, MiB that are
 *				free, dirty, under writeback, KiB that TCP has, how often it did
 *				so, and requests that the device has; words of 64 bits
 *
 * "hog", "write" and "map" end when /tmp/stop is there, "watch" never. Exit status 0; 1 with
 * one line on standard error; 2 for bad arguments.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096
#define MIB		(1024 * 1024)
#define TOLD_EVERY	64
#define TICK_NS		100000000

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("pressure: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static void tell(const char *format, ...)
{
	char line[200];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (write(1, line, length) != length)
		die("nobody reads what is told");
}

static bool stopped(void)
{
	return !access("/tmp/stop", F_OK);
}

/* How likely the kernel is to kill this process: 1000 first, -1000 never. */
static void may_be_killed(const char *score)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);

	if (fd < 0 || write(fd, score, strlen(score)) < 0)
		die("oom_score_adj: %s", strerror(errno));
	close(fd);
}

/* None of its own memory may have to be read from a disk first. */
static void stay_in_memory(void)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		die("mlockall: %s", strerror(errno));
}

/* What tells chunk or page @number from all others, word by word. */
static void fill(uint64_t *words, size_t bytes, uint64_t number)
{
	uint64_t word = (number + 1) * 0x9e3779b97f4a7c15;
	size_t i;

	for (i = 0; i < bytes / sizeof(*words); i++) {
		word ^= word << 13;
		word ^= word >> 7;
		word ^= word << 17;
		words[i] = word;
	}
}

/* ---- who takes it ------------------------------------------------------- */

static void hog(uint64_t mib)
{
	uint64_t pages = mib * MIB / PAGE, expected[PAGE / 8], round, i;
	uint64_t *memory = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	may_be_killed("1000");
	for (round = 0; !stopped(); round++) {
		for (i = 0; i < pages; i++) {
			uint64_t *page = memory + i * PAGE / 8;

			if (round) {
				fill(expected, PAGE, (round - 1) * pages + i);
				if (memcmp(page, expected, PAGE))
					die("page %" PRIu64 " is not what it was", i);
			}
			fill(page, PAGE, round * pages + i);
			if (!round && i % (MIB / PAGE) == MIB / PAGE - 1)
				tell("%" PRIu64 "\n", (i + 1) / (MIB / PAGE));
		}
		tell("again\n");
	}
}

/* ---- who writes --------------------------------------------------------- */

struct file {
	const char *path;
	int fd;
	uint64_t slots;
	size_t bytes;
	char *map;		/* or NULL */
};

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*end || end == text)
		exit(2);
	return value;
}

static void open_file(struct file *file, char **arguments, int flags)
{
	file->path = arguments[0];
	file->slots = number(arguments[1]);
	file->bytes = number(arguments[2]);
	file->map = NULL;
	if (!file->slots || !file->bytes || file->bytes % PAGE)
		exit(2);
	file->fd = open(file->path, flags, 0666);
	if (file->fd < 0)
		die("%s: %s", file->path, strerror(errno));
}

static void *chunk_memory(struct file *file)
{
	void *memory = malloc(file->bytes);

	if (!memory)
		die("no memory");
	return memory;
}

static void map_file(struct file *file)
{
	if (ftruncate(file->fd, file->slots * file->bytes))
		die("%s: %s", file->path, strerror(errno));
	file->map = mmap(NULL, file->slots * file->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			 file->fd, 0);
	if (file->map == MAP_FAILED)
		die("%s: %s", file->path, strerror(errno));
}

static void put(struct file *file, uint64_t n, const char *chunk)
{
	uint64_t at = n % file->slots * file->bytes;
	ssize_t done;

	if (file->map) {
		memcpy(file->map + at, chunk, file->bytes);
		return;
	}
	done = pwrite(file->fd, chunk, file->bytes, at);
	if (done != (ssize_t)file->bytes)
		die("%s: chunk %" PRIu64 ": %s", file->path, n,
		    done < 0 ? strerror(errno) : "not all of it");
}

static void make_durable(struct file *file)
{
	if (file->map && msync(file->map, file->slots * file->bytes, MS_SYNC))
		die("%s: msync: %s", file->path, strerror(errno));
	if (!file->map && fdatasync(file->fd))
		die("%s: fdatasync: %s", file->path, strerror(errno));
}

static void write_file(struct file *file, uint64_t every)
{
	void *chunk = chunk_memory(file);
	uint64_t n = 0;

	/* What it writes shall be short of memory, and not who does it. */
	if (!file->map)
		stay_in_memory();
	do {
		fill(chunk, file->bytes, n);
		put(file, n++, chunk);
		if (every && n % every == 0)
			make_durable(file);
		if (n % (every ? every : TOLD_EVERY) == 0)
			tell("%" PRIu64 "\n", n);
	} while (!stopped());
	if (every)
		make_durable(file);
	tell("%" PRIu64 "\n", n);
}

static void check_file(struct file *file, uint64_t count)
{
	char *chunk = chunk_memory(file), *expected = chunk_memory(file);
	uint64_t slot, n;

	for (slot = 0; slot < file->slots && slot < count; slot++) {
		/* The last one that went there. */
		n = slot + (count - 1 - slot) / file->slots * file->slots;
		fill((uint64_t *)expected, file->bytes, n);
		if (pread(file->fd, chunk, file->bytes, slot * file->bytes) !=
		    (ssize_t)file->bytes)
			die("%s: place %" PRIu64 " cannot be read", file->path, slot);
		if (memcmp(chunk, expected, file->bytes))
			die("%s: place %" PRIu64 " has not chunk %" PRIu64, file->path, slot, n);
	}
}

/* ---- who watches -------------------------------------------------------- */

/* Into memory that is there: to look must not need any, nor must it to say what was seen. */
static char *read_again(int fd, char *text, size_t size)
{
	ssize_t length = pread(fd, text, size - 1, 0);

	if (length <= 0)
		die("cannot read: %s", strerror(errno));
	text[length] = '\0';
	return text;
}

static uint64_t value_of(const char *text, const char *name)
{
	const char *found = strstr(text, name);

	if (!found)
		die("there is no %s", name);
	return strtoull(found + strlen(name), NULL, 10);
}

static int open_to_watch(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

static void put_word(uint64_t *words, unsigned int place, uint64_t value)
{
	__atomic_store_n(words + place, value, __ATOMIC_RELAXED);
}

static void watch(const char *device, const char *shared, uint64_t slot)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };
	const struct sched_param first = { .sched_priority = 1 };
	static char path[100], stat[512], memory[4096], sockets[1024];
	int stat_fd, memory_fd, sockets_fd, shared_fd;
	uint64_t *words, reads, writes, under_way, times = 0;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", device);
	stat_fd = open_to_watch(path, O_RDONLY);
	memory_fd = open_to_watch("/proc/meminfo", O_RDONLY);
	sockets_fd = open_to_watch("/proc/net/sockstat", O_RDONLY);
	shared_fd = open_to_watch(shared, O_RDWR);
	words = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
	if (words == MAP_FAILED || slot >= PAGE / 64)
		die("%s: %s", shared, strerror(errno));
	words += slot * 64 / sizeof(*words);
	may_be_killed("-1000");
	stay_in_memory();
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		die("sched_setscheduler: %s", strerror(errno));
	for (;;) {
		read_again(stat_fd, stat, sizeof(stat));
		read_again(memory_fd, memory, sizeof(memory));
		read_again(sockets_fd, sockets, sizeof(sockets));
		if (sscanf(stat, "%" SCNu64 " %*u %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64,
			   &reads, &writes, &under_way) != 3)
			die("%s is not as it should be", path);
		put_word(words, 0, reads + writes);
		put_word(words, 1, value_of(memory, "MemFree:") / 1024);
		put_word(words, 2, value_of(memory, "Dirty:") / 1024);
		put_word(words, 3, value_of(memory, "Writeback:") / 1024);
		put_word(words, 4, value_of(sockets, " mem ") * PAGE / 1024);
		put_word(words, 6, under_way);
		put_word(words, 5, ++times);
		nanosleep(&tick, NULL);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	struct file file;

	if (!strcmp(what, "hog") && argc == 3) {
		hog(number(argv[2]));
	} else if (!strcmp(what, "watch") && argc == 5) {
		watch(argv[2], argv[3], number(argv[4]));
	} else if ((!strcmp(what, "write") || !strcmp(what, "map")) && argc == 6) {
		open_file(&file, argv + 2, O_RDWR | O_CREAT | O_TRUNC);
		if (!strcmp(what, "map"))
			map_file(&file);
		write_file(&file, number(argv[5]));
	} else if (!strcmp(what, "check") && argc == 6) {
		open_file(&file, argv + 2, O_RDONLY);
		check_file(&file, number(argv[5]));
	} else {
		fputs("pressure: bad arguments: its source says which there are\n", stderr);
		return 2;
	}
	return 0;
}
