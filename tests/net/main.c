// SPDX-License-Identifier: GPL-2.0
/*
 * The checks of frames in userspace, where the sanitizers are. Prints KTAP.
 *
 * usage: frame               run the cases of kmod/tests/frame_test.c
 *        frame --stream FILE judge the bytes in FILE as a bulk and as a control
 *                            stream (what a fuzzer calls); status 0
 */
#include <stdlib.h>
#include <string.h>

#include "../../kmod/tests/core_test.h"
#include "../../kmod/net/frame.h"

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

static int judge_stream(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint32_t bulk, control;
	uint8_t *bytes;
	long size;

	size = file && !fseek(file, 0, SEEK_END) ? ftell(file) : -1;
	if (size < 0) {
		fprintf(stderr, "frame: cannot read %s\n", path);
		return 2;
	}
	rewind(file);
	bytes = malloc(size ? size : 1);
	if (!bytes || fread(bytes, 1, size, file) != (size_t)size) {
		fprintf(stderr, "frame: cannot read %s\n", path);
		return 2;
	}
	fclose(file);
	qbd_frame_stream_check(bytes, size, QBD_PHASE_BULK, 1 << 20, &bulk);
	qbd_frame_stream_check(bytes, size, QBD_PHASE_CONTROL, 1 << 20, &control);
	printf("bulk frames: %u, control frames: %u\n", bulk, control);
	free(bytes);
	return 0;
}

extern const struct qbd_test_suite frame_suite;

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

	if (argc == 3 && !strcmp(argv[1], "--stream"))
		return judge_stream(argv[2]);
	if (argc != 1) {
		fprintf(stderr, "usage: frame [--stream FILE]\n");
		return 2;
	}
	for (one = frame_suite.cases; one->name; one++)
		count++;
	printf("KTAP version 1\n1..%u\n", count);
	for (one = frame_suite.cases; one->name; one++) {
		bool good = run_case(one);

		passed = passed && good;
		printf("%sok %u %s.%s\n", good ? "" : "not ", ++number,
		       frame_suite.name, one->name);
		fflush(stdout);
	}
	return passed ? 0 : 1;
}
