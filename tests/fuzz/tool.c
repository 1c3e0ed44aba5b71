// SPDX-License-Identifier: GPL-2.0
/*
 * What people type and the files that they hand over: sizes, numbers, names,
 * addresses, members, tokens, and where things are to lie on a disk. What is taken
 * means the same when it is printed and read again.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/check.h"
#include "input.h"
#include "lib/parse.h"
#include "lib/plan.h"
#include "lib/token.h"
#include "store/layout.h"

static struct qbd_error error;

/* One line, in one piece: it goes to a terminal. */
static void judge_error(int result)
{
	REQUIRE(result < 0);
	REQUIRE(memchr(error.text, 0, sizeof(error.text)) && error.text[0]);
}

static void fuzz_size(const char *text)
{
	char again[QBD_SIZE_TEXT_SIZE], digits[32];
	uint64_t bytes, same;
	int result = qbd_parse_size(text, &bytes, &error);

	if (result) {
		judge_error(result);
		return;
	}
	REQUIRE(bytes <= INT64_MAX);
	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)bytes);
	REQUIRE(!qbd_parse_size(digits, &same, &error) && same == bytes);
	REQUIRE(strlen(qbd_size_text(bytes, again)) < sizeof(again));
}

static void fuzz_number(const char *text)
{
	uint64_t value;
	int result = qbd_parse_number("number", text, 7, 1ULL << 40, &value, &error);

	if (result)
		judge_error(result);
	else
		REQUIRE(value >= 7 && value <= 1ULL << 40);
}

static void fuzz_name(const char *text)
{
	int result = qbd_check_name("name", text, QBD_NAME_SIZE, &error);

	if (result) {
		judge_error(result);
		return;
	}
	REQUIRE(text[0] && strlen(text) < QBD_NAME_SIZE && text[0] != '.' && text[0] != '-');
	REQUIRE(!strpbrk(text, "/\n \t\\\"'%$"));
}

static void judge_address(const struct qbd_address *address)
{
	char text[QBD_ADDRESS_TEXT_SIZE];
	struct qbd_address same;

	REQUIRE(qbd_address_check(address) == QBD_ADDRESS_GOOD);
	REQUIRE(strlen(qbd_address_text(address, text)) < sizeof(text));
	REQUIRE(!qbd_parse_address(text, &same, &error));
	REQUIRE(!memcmp(&same, address, sizeof(same)));
}

static void fuzz_address(const char *text)
{
	struct qbd_address address;
	int result = qbd_parse_address(text, &address, &error);

	if (result)
		judge_error(result);
	else
		judge_address(&address);
}

static void fuzz_members(const char *text)
{
	struct qbd_membership_layout *members = calloc(1, sizeof(*members));
	const char *reason;
	int result;

	REQUIRE(members);
	result = qbd_parse_members(text, members, &error);
	if (result) {
		judge_error(result);
	} else {
		/* What create writes is what the module takes. */
		REQUIRE(qbd_membership_good(members, &reason));
		for (uint32_t i = 0; i < le32_to_cpu(members->count); i++) {
			const struct qbd_member_layout *member = &members->members[i];

			judge_address(&member->address);
			REQUIRE(qbd_name_check(member->name, QBD_MEMBER_NAME_SIZE) ==
				QBD_NAME_GOOD);
			REQUIRE(qbd_membership_find(members, le32_to_cpu(member->id)) == member);
		}
	}
	free(members);
}

static void judge_token(const struct qbd_token *token)
{
	char text[QBD_TOKEN_TEXT_SIZE];
	struct qbd_token same;

	REQUIRE(strlen(qbd_token_text(token, text)) == sizeof(text) - 1);
	REQUIRE(!qbd_token_parse(text, &same, &error));
	REQUIRE(!memcmp(&same, token, sizeof(same)));
}

static void fuzz_token(const char *text)
{
	struct qbd_token token;
	int result = qbd_token_parse(text, &token, &error);

	if (result)
		judge_error(result);
	else
		judge_token(&token);
}

/* The bytes are a file, which need be no text. */
static void fuzz_token_file(const void *bytes, size_t size)
{
	static int file = -1;
	struct qbd_token token;
	char path[32];
	int result;

	if (file < 0) {
		file = memfd_create("token", MFD_CLOEXEC);
		REQUIRE(file >= 0 && !fchmod(file, 0600));
	}
	REQUIRE(!ftruncate(file, 0));
	REQUIRE(pwrite(file, bytes, size, 0) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	result = qbd_token_read(path, &token, &error);
	if (result)
		judge_error(result);
	else
		judge_token(&token);
}

/* Sizes are powers of two and a little, as disks have them, or any. */
static uint64_t take_size(struct input *input)
{
	uint8_t how = take_u8(input);

	if (how & 0x80)
		return take_u64(input);
	return how & 0x40 ? 0 : (1ULL << (how & 63)) + (int8_t)take_u8(input);
}

/* What is planned is a superblock that the module takes. */
static void fuzz_plan(struct input *input)
{
	struct qbd_superblock *superblock = calloc(1, sizeof(*superblock));
	uint64_t backing = take_size(input);
	struct qbd_plan_wish wish = {
		.device_bytes = take_size(input),
		.log_bytes = take_size(input),
		.extent_bytes = take_size(input),
	};
	struct qbd_geometry geometry;
	struct qbd_plan plan;
	const char *reason;
	int result;

	REQUIRE(superblock);
	/* A disk has less than 2^63 bytes. */
	result = qbd_plan_compute("disk", backing >> (QBD_BLOCK_SHIFT + 1), &wish, &plan, &error);
	if (result) {
		judge_error(result);
		free(superblock);
		return;
	}
	superblock->member_id = cpu_to_le32(1);
	superblock->name[0] = 'x';
	superblock->extent_shift = cpu_to_le32(plan.extent_shift);
	superblock->backing_blocks = cpu_to_le64(plan.backing_blocks);
	superblock->device_blocks = cpu_to_le64(plan.device_blocks);
	superblock->extent_table_blocks = cpu_to_le64(plan.extent_table_blocks);
	superblock->log_block = cpu_to_le64(plan.log_block);
	superblock->log_blocks = cpu_to_le64(plan.log_blocks);
	superblock->data_block = cpu_to_le64(plan.data_block);
	qbd_block_seal(superblock, QBD_SUPERBLOCK_MAGIC, superblock->incarnation, 0);
	REQUIRE(qbd_superblock_check(superblock, 0, &geometry, &reason) == QBD_BLOCK_GOOD);
	REQUIRE(plan.backing_blocks <= backing >> QBD_BLOCK_SHIFT);
	free(superblock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint8_t what = take_u8(&input);
	char *text;

	if (size > 8192)
		return 0;
	memset(&error, 'x', sizeof(error));
	text = malloc(input.left + 1);
	REQUIRE(text);
	memcpy(text, input.at, input.left);
	text[input.left] = '\0';
	switch (what & 7) {
	case 0:
		fuzz_size(text);
		break;
	case 1:
		fuzz_number(text);
		break;
	case 2:
		fuzz_name(text);
		break;
	case 3:
		fuzz_address(text);
		break;
	case 4:
		fuzz_members(text);
		break;
	case 5:
		fuzz_token(text);
		break;
	case 6:
		fuzz_token_file(input.at, input.left);
		break;
	default:
		fuzz_plan(&input);
		break;
	}
	free(text);
	return 0;
}
