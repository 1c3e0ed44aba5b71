// SPDX-License-Identifier: GPL-2.0
/*
 * Writes numbered 4 KiB blocks to a device, one at a time, and notes when each
 * write began and ended; or checks that all of them are there.
 *
 *   writer write DEVICE LOG [COUNT [PAUSE_US [SLOTS]]]
 *   writer verify DEVICE LOG [SLOTS]
 *
 * write appends to LOG, whose first line names the run, a line "NUMBER BEGIN END"
 * (CLOCK_MONOTONIC, ns) for each write that completed, and stops after COUNT
 * writes or on SIGTERM, in order. A second run with the same log goes on where
 * the first one stopped. Write n goes to block n modulo SLOTS; all of its 512
 * words tell the run and the number.
 *
 * verify reads the last SLOTS writes of LOG back: each block must hold that write
 * or a later one of the same run (the last of them may not have been noted).
 *
 * Exit status: 0; 1 an error or a lost write; 2 bad usage.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES	4096
#define BLOCK_WORDS	(BLOCK_BYTES / 8)
#define SLOTS_DEFAULT	512

static volatile sig_atomic_t stop;

static void on_term(int signal)
{
	(void)signal;
	stop = 1;
}

static void die(int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("writer: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(status);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
}

/* What word @index of write @number holds: a bijection of all three, well mixed. */
static uint64_t word(uint64_t run, uint64_t number, unsigned int index)
{
	uint64_t value = run + number * UINT64_C(0x9e3779b97f4a7c15) + index;

	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

static void fill(uint64_t *block, uint64_t run, uint64_t number)
{
	unsigned int i;

	block[0] = run;
	block[1] = number;
	for (i = 2; i < BLOCK_WORDS; i++)
		block[i] = word(run, number, i);
}

static bool intact(const uint64_t *block, uint64_t run)
{
	unsigned int i;

	if (block[0] != run)
		return false;
	for (i = 2; i < BLOCK_WORDS; i++)
		if (block[i] != word(run, block[1], i))
			return false;
	return true;
}

static uint64_t number_argument(const char *text, const char *what)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-')
		die(2, "%s '%s' is no number", what, text);
	return value;
}

static uint64_t *aligned_block(void)
{
	void *block;

	if (posix_memalign(&block, BLOCK_BYTES, BLOCK_BYTES))
		die(1, "no memory");
	return block;
}

/* The run's name and the last number in the log; 0, 0 if it is empty. */
static void read_log(FILE *log, uint64_t *run, uint64_t *last)
{
	uint64_t number, begin, end;

	*last = 0;
	if (fscanf(log, "run %" SCNu64, run) != 1) {
		*run = 0;
		return;
	}
	while (fscanf(log, "%" SCNu64 " %" SCNu64 " %" SCNu64, &number, &begin, &end) == 3)
		*last = number;
}

static int write_blocks(const char *device, const char *log_path, uint64_t count,
			uint64_t pause_us, uint64_t slots)
{
	struct timespec pause = { pause_us / 1000000, pause_us % 1000000 * 1000 };
	uint64_t *block = aligned_block();
	uint64_t run, number, begin, end;
	FILE *log = fopen(log_path, "a+");
	int fd = open(device, O_RDWR | O_DIRECT);

	if (!log)
		die(1, "cannot open %s: %s", log_path, strerror(errno));
	if (fd < 0)
		die(1, "cannot open %s: %s", device, strerror(errno));
	setlinebuf(log);
	read_log(log, &run, &number);
	if (!run) {
		run = now() << 16 ^ getpid();
		fprintf(log, "run %" PRIu64 "\n", run);
	}
	signal(SIGTERM, on_term);
	while (!stop && count--) {
		fill(block, run, ++number);
		begin = now();
		if (pwrite(fd, block, BLOCK_BYTES, number % slots * BLOCK_BYTES) != BLOCK_BYTES)
			die(1, "write %" PRIu64 " to %s failed: %s", number, device,
			    strerror(errno));
		end = now();
		if (fprintf(log, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", number, begin,
			    end) < 0)
			die(1, "cannot write %s: %s", log_path, strerror(errno));
		if (pause_us && !stop)
			nanosleep(&pause, NULL);
	}
	return fclose(log) || close(fd);
}

static int verify_blocks(const char *device, const char *log_path, uint64_t slots)
{
	uint64_t *block = aligned_block();
	uint64_t run, last, number;
	FILE *log = fopen(log_path, "r");
	int fd = open(device, O_RDONLY | O_DIRECT);

	if (!log)
		die(1, "cannot open %s: %s", log_path, strerror(errno));
	if (fd < 0)
		die(1, "cannot open %s: %s", device, strerror(errno));
	read_log(log, &run, &last);
	if (!last)
		die(1, "%s holds no write", log_path);
	for (number = last > slots ? last - slots + 1 : 1; number <= last; number++) {
		if (pread(fd, block, BLOCK_BYTES, number % slots * BLOCK_BYTES) != BLOCK_BYTES)
			die(1, "reading the block of write %" PRIu64 " of %s failed: %s",
			    number, device, strerror(errno));
		if (!intact(block, run))
			die(1, "write %" PRIu64 " to %s completed, but its block is torn or foreign",
			    number, device);
		if (block[1] < number || (block[1] - number) % slots)
			die(1, "write %" PRIu64 " to %s completed, but its block holds write %"
			    PRIu64, number, device, block[1]);
	}
	printf("%" PRIu64 "\n", last);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t count = UINT64_MAX, pause_us = 0, slots = SLOTS_DEFAULT;

	if (argc >= 4 && argc <= 7 && !strcmp(argv[1], "write")) {
		if (argc > 4)
			count = number_argument(argv[4], "COUNT");
		if (argc > 5)
			pause_us = number_argument(argv[5], "PAUSE_US");
		if (argc > 6)
			slots = number_argument(argv[6], "SLOTS");
		if (!slots)
			die(2, "SLOTS must be at least 1");
		return write_blocks(argv[2], argv[3], count, pause_us, slots);
	}
	if (argc >= 4 && argc <= 5 && !strcmp(argv[1], "verify")) {
		if (argc > 4)
			slots = number_argument(argv[4], "SLOTS");
		if (!slots)
			die(2, "SLOTS must be at least 1");
		return verify_blocks(argv[2], argv[3], slots);
	}
	die(2, "usage: writer write DEVICE LOG [COUNT [PAUSE_US [SLOTS]]] | writer verify DEVICE LOG [SLOTS]");
}
