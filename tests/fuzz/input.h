/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a fuzzer's bytes are taken as: choices, one after the other. When they are
 * used up all further choices are 0, so that every input is a whole one.
 */
#ifndef QBD_TESTS_FUZZ_INPUT_H
#define QBD_TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input is. Each line that fails is a finding. */
#define REQUIRE(condition)						\
	do {								\
		if (!(condition)) {					\
			fprintf(stderr, "%s:%d: does not hold: %s\n",	\
				__FILE__, __LINE__, #condition);	\
			abort();					\
		}							\
	} while (0)

struct input {
	const uint8_t *at;
	size_t left;
};

static inline void take_bytes(struct input *input, void *to, size_t size)
{
	size_t there = size < input->left ? size : input->left;

	memset(to, 0, size);
	memcpy(to, input->at, there);
	input->at += there;
	input->left -= there;
}

static inline uint8_t take_u8(struct input *input)
{
	uint8_t value;

	take_bytes(input, &value, sizeof(value));
	return value;
}

static inline uint16_t take_u16(struct input *input)
{
	uint8_t bytes[2];

	take_bytes(input, bytes, sizeof(bytes));
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint64_t take_u64(struct input *input)
{
	uint64_t value = 0;
	uint8_t bytes[8];

	take_bytes(input, bytes, sizeof(bytes));
	for (unsigned int i = 8; i > 0; i--)
		value = value << 8 | bytes[i - 1];
	return value;
}

/*
 * Other bytes at some place: any, or (a number, little endian) a little more than
 * there is or a little less than the largest, where sums wrap around.
 */
static inline void take_patch(struct input *input, uint8_t *bytes, size_t size)
{
	size_t at = take_u16(input) % size;
	uint8_t how = take_u8(input);
	size_t length = 1 + (how & 7);

	if (how & 0x40) {
		at &= ~(size_t)3;
		length = how & 1 ? 4 : 8;
	}
	if (length > size - at)
		length = size - at;
	if (how & 0x40) {
		memset(bytes + at, 0xff, length);
		bytes[at] = (uint8_t)(bytes[at] - (how >> 1 & 15));
	} else if (how & 0x80) {
		bytes[at] = (uint8_t)(bytes[at] + take_u8(input));
	} else {
		take_bytes(input, bytes + at, length);
	}
}

/* @size bytes at their own address, so that reading one more is noticed. */
static inline void *copy_exactly(const void *from, size_t size)
{
	void *copy = malloc(size);

	REQUIRE(copy || !size);
	if (size)
		memcpy(copy, from, size);
	return copy;
}

#endif
