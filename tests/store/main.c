// SPDX-License-Identifier: GPL-2.0
/*
 * What the store decides, in userspace, where the sanitizers are. Prints KTAP.
 *
 * usage: store                run the cases of kmod/tests/store_*_test.c
 *        store --blocks FILE  judge FILE, cut into blocks, as superblocks, state
 *                             blocks and a ring (what a fuzzer calls); status 0
 */
#include <stdlib.h>
#include <string.h>

#include "../../kmod/store/recovery.h"
#include "suites.h"

/* Its own, so that the checks are not tested with themselves. */
uint32_t qbd_crc32c(uint32_t seed, const void *data, size_t length)
{
	static uint32_t table[256];
	const uint8_t *byte = data;
	uint32_t crc = seed;

	if (!table[1]) {
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t value = i;

			for (int bit = 0; bit < 8; bit++)
				value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
			table[i] = value;
		}
	}
	while (length--)
		crc = table[(crc ^ *byte++) & 0xff] ^ crc >> 8;
	return crc;
}

/* ---- judging a file ------------------------------------------------------ */

static uint8_t *file_bytes;
static size_t file_blocks;

static const void *file_block(void *context, u64 place)
{
	(void)context;
	return place < file_blocks ? file_bytes + place * QBD_BLOCK_SIZE : NULL;
}

static void file_found(void *context, const struct qbd_record_header *header, u64 position)
{
	(void)context;
	printf("record %llu at %llu\n",
	       (unsigned long long)le64_to_cpu(header->shared.index),
	       (unsigned long long)position);
}

static void file_restart(void *context)
{
	(void)context;
}

static const struct qbd_scan_ops file_ops = {
	.block = file_block, .found = file_found, .restart = file_restart,
};

static int read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	long size = -1;

	if (file && !fseek(file, 0, SEEK_END))
		size = ftell(file);
	if (size < 0) {
		fprintf(stderr, "store: cannot read %s\n", path);
		return 2;
	}
	rewind(file);
	file_blocks = (size_t)size / QBD_BLOCK_SIZE;
	file_bytes = malloc(file_blocks * QBD_BLOCK_SIZE + 1);
	if (!file_bytes || fread(file_bytes, QBD_BLOCK_SIZE, file_blocks, file) !=
			   file_blocks) {
		fprintf(stderr, "store: cannot read %s\n", path);
		return 2;
	}
	fclose(file);
	return 0;
}

static int judge_file(const char *path)
{
	static struct qbd_superblock_choice choice;
	static struct qbd_state state;
	static struct qbd_scan scan;
	const void *blocks[2], *applied[2];
	const u64 positions[2] = { 0, 1 };
	const char *reason = "";
	unsigned int slot;
	int status;

	status = read_file(path);
	if (status)
		return status;
	blocks[0] = file_block(NULL, 0);
	blocks[1] = file_block(NULL, 1);
	printf("superblock: %d\n", qbd_recovery_superblock(blocks, positions, ~0ull >> 12,
							   &choice, &reason));
	blocks[0] = file_block(NULL, 2);
	blocks[1] = file_block(NULL, 3);
	applied[0] = file_block(NULL, 4);
	applied[1] = file_block(NULL, 5);
	printf("state: %d\n", qbd_recovery_state(blocks, applied, choice.geometry.uuid,
						 &state, &slot, &reason));
	if (file_blocks) {
		state.log_first_index += !state.log_first_index;
		state.log_first_position &= ~0ull >> 1;
		scan.uuid = choice.geometry.uuid;
		scan.device_blocks = 1 << 20;
		scan.log_blocks = file_blocks;
		scan.state = &state;
		scan.ops = &file_ops;
		qbd_recovery_scan(&scan);
		printf("log: %d\n", scan.verdict);
	}
	free(file_bytes);
	return 0;
}

/* ---- cases --------------------------------------------------------------- */

static const struct qbd_test_suite *const suites[] = {
	&record_header_suite, &store_blocks_suite, &store_recovery_log_suite,
	&session_suite,
};

#define SUITES (sizeof(suites) / sizeof(suites[0]))

static bool run_case(const struct qbd_test_case *one)
{
	struct qbd_test test;

	if (setjmp(test.end))
		return false;
	one->run(&test);
	return true;
}

int main(int argc, char **argv)
{
	const struct qbd_test_case *one;
	unsigned int count = 0, number = 0;
	bool passed = true;

	if (argc == 3 && !strcmp(argv[1], "--blocks"))
		return judge_file(argv[2]);
	if (argc != 1) {
		fprintf(stderr, "usage: store [--blocks FILE]\n");
		return 2;
	}
	for (size_t i = 0; i < SUITES; i++)
		for (one = suites[i]->cases; one->name; one++)
			count++;
	printf("KTAP version 1\n1..%u\n", count);
	for (size_t i = 0; i < SUITES; i++) {
		for (one = suites[i]->cases; one->name; one++) {
			bool good = run_case(one);

			passed = passed && good;
			printf("%sok %u %s.%s\n", good ? "" : "not ", ++number,
			       suites[i]->name, one->name);
			fflush(stdout);
		}
	}
	return passed ? 0 : 1;
}
