// SPDX-License-Identifier: GPL-2.0
/*
 * A writer that makes every record durable before it says so, and its checker.
 *
 *   records write FILE [COUNT]   append records, fsync each, print "N TIME" after
 *                                the fsync (TIME: CLOCK_BOOTTIME in microseconds);
 *                                without COUNT until it is killed
 *   records check FILE           print how many records there are; they must be
 *                                whole and numbered 1, 2, 3 ... (a torn last one,
 *                                never acknowledged, is counted apart)
 *   records fill FILE SEED SIZE  a file of SIZE bytes that only its seed describes
 *
 * Exit status 0, or 1 with one line on standard error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECORD_SIZE 512
#define RECORD_MAGIC 0x64726f6365724451ull

struct record {
	uint64_t magic;
	uint64_t number;
	uint64_t time;
	uint64_t sum;
	uint64_t filler[RECORD_SIZE / 8 - 4];
};

static uint64_t mix(uint64_t state)
{
	state += 0x9e3779b97f4a7c15ull;
	state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ull;
	state = (state ^ (state >> 27)) * 0x94d049bb133111ebull;
	return state ^ (state >> 31);
}

static uint64_t sum_of(const struct record *record)
{
	uint64_t sum = mix(record->number) ^ mix(record->time);
	size_t i;

	for (i = 0; i < sizeof(record->filler) / 8; i++)
		sum = mix(sum ^ record->filler[i]);
	return sum;
}

static int fail(const char *what, const char *path)
{
	fprintf(stderr, "records: %s: %s: %s\n", path, what, strerror(errno));
	return 1;
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int write_records(const char *path, uint64_t count)
{
	int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	uint64_t number;
	size_t i;

	if (file < 0)
		return fail("open", path);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (number = 1; !count || number <= count; number++) {
		struct record record = {
			.magic = RECORD_MAGIC, .number = number, .time = now_us(),
		};

		for (i = 0; i < sizeof(record.filler) / 8; i++)
			record.filler[i] = mix(number * 64 + i);
		record.sum = sum_of(&record);
		if (write(file, &record, sizeof(record)) != sizeof(record))
			return fail("write", path);
		if (fsync(file))
			return fail("fsync", path);
		printf("%" PRIu64 " %" PRIu64 "\n", number, now_us());
	}
	return close(file) ? fail("close", path) : 0;
}

static int check_records(const char *path)
{
	int file = open(path, O_RDONLY);
	uint64_t expected = 1;
	struct record record;
	ssize_t got;

	if (file < 0)
		return fail("open", path);
	while ((got = read(file, &record, sizeof(record))) == sizeof(record)) {
		if (record.magic != RECORD_MAGIC || record.sum != sum_of(&record))
			break;
		if (record.number != expected) {
			fprintf(stderr, "records: %s: record %" PRIu64 " follows %" PRIu64 "\n",
				path, record.number, expected - 1);
			return 1;
		}
		expected++;
	}
	if (got < 0)
		return fail("read", path);
	/* Whatever is after the first bad one was never acknowledged as a whole. */
	printf("%" PRIu64 "%s\n", expected - 1, got ? " torn" : "");
	close(file);
	return 0;
}

static int fill_file(const char *path, uint64_t seed, uint64_t size)
{
	static uint64_t block[8192];
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	size_t i;

	if (file < 0)
		return fail("open", path);
	while (size) {
		size_t part = size < sizeof(block) ? size : sizeof(block);

		for (i = 0; i < sizeof(block) / 8; i++)
			block[i] = mix(seed + i);
		seed = block[i - 1];
		if (write(file, block, part) != (ssize_t)part)
			return fail("write", path);
		size -= part;
	}
	return close(file) ? fail("close", path) : 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "write"))
		return write_records(argv[2], argc > 3 ? strtoull(argv[3], NULL, 0) : 0);
	if (argc == 3 && !strcmp(argv[1], "check"))
		return check_records(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "fill"))
		return fill_file(argv[2], strtoull(argv[3], NULL, 0),
				 strtoull(argv[4], NULL, 0));
	fprintf(stderr, "usage: records write FILE [COUNT] | check FILE | fill FILE SEED SIZE\n");
	return 2;
}
