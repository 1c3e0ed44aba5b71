// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "lib/content.h"
#include "lib/parse.h"
#include "lib/sha256.h"
#include "qbdadm/qbdadm.h"

#define CHUNK_BLOCKS	256u

enum {
	OPTION_AGAINST = QBDADM_OPTION_LONG,
	OPTION_EXTENTS,
};

struct checksum_options {
	const char *path;
	const char *against;
	bool extents;
	bool json;
};

static size_t chunk_of(uint64_t left)
{
	return left < CHUNK_BLOCKS ? (size_t)left : CHUNK_BLOCKS;
}

static void describe(struct json_object *object, const struct qbd_content *content)
{
	const struct qbd_superblock *superblock = content->inspection.superblock;
	char uuid[37];

	uuid_unparse_lower(superblock->header.uuid, uuid);
	qbdadm_json_string(object, "disk", content->disk.path);
	qbdadm_json_string(object, "name", superblock->name);
	qbdadm_json_string(object, "uuid", uuid);
	qbdadm_json_number(object, "member_id", le32_to_cpu(superblock->member_id));
	qbdadm_json_number(object, "applied_index", content->applied_index);
	qbdadm_json_number(object, "device_bytes", content->device_blocks << QBD_BLOCK_SHIFT);
	qbdadm_json_number(object, "extents", content->table.count);
	qbdadm_json_number(object, "extents_written", content->table.written);
}

static void add_extent(struct json_object *array, uint64_t extent,
		       struct qbd_sha256 *sha)
{
	struct json_object *object = json_object_new_object();
	char text[2 * QBD_SHA256_SIZE + 1];
	uint8_t digest[QBD_SHA256_SIZE];

	qbd_sha256_final(sha, digest);
	qbdadm_json_number(object, "extent", extent);
	qbdadm_json_string(object, "sha256", qbd_hex_text(digest, sizeof(digest), text));
	json_object_array_add(array, object);
}

/* The whole; with @extents also each extent that was ever written. */
static int digest_content(struct qbd_content *content, struct json_object *extents,
			  char *text, void *buffer, struct qbd_error *error)
{
	uint64_t chunk_limit = content->extent_blocks;
	struct qbd_sha256 whole, part;
	uint8_t digest[QBD_SHA256_SIZE];
	uint64_t block = 0;

	qbd_sha256_init(&whole);
	while (block < content->device_blocks) {
		uint64_t extent = block / content->extent_blocks;
		uint64_t within = block % content->extent_blocks;
		uint64_t left = content->device_blocks - block;
		size_t count;
		int result;

		if (left > chunk_limit - within)
			left = chunk_limit - within;
		count = chunk_of(left);
		result = qbd_content_read(content, block, buffer, count, error);
		if (result)
			return result;
		qbd_sha256_update(&whole, buffer, count << QBD_BLOCK_SHIFT);
		block += count;
		if (!extents || !content->table.changed[extent])
			continue;
		if (!within)
			qbd_sha256_init(&part);
		qbd_sha256_update(&part, buffer, count << QBD_BLOCK_SHIFT);
		if (block % content->extent_blocks == 0 || block == content->device_blocks)
			add_extent(extents, extent, &part);
	}
	qbd_sha256_final(&whole, digest);
	qbd_hex_text(digest, sizeof(digest), text);
	return 0;
}

static void print_digest(const struct qbd_content *content, const char *digest,
			 struct json_object *extents)
{
	size_t count = extents ? json_object_array_length(extents) : 0;

	printf("%s  %s\n", digest, content->disk.path);
	printf("  member %u of %s, applied index %" PRIu64 ", %" PRIu64 " of %" PRIu64
	       " extents written\n",
	       le32_to_cpu(content->inspection.superblock->member_id),
	       content->inspection.superblock->name, content->applied_index,
	       content->table.written, content->table.count);
	for (size_t i = 0; i < count; i++) {
		struct json_object *entry = json_object_array_get_idx(extents, i);

		printf("  extent %-10s %s\n",
		       json_object_get_string(json_object_object_get(entry, "extent")),
		       json_object_get_string(json_object_object_get(entry, "sha256")));
	}
}

static int checksum(struct qbd_content *content, const struct checksum_options *options,
		    void *buffer, struct qbd_error *error)
{
	struct json_object *extents = options->extents ? json_object_new_array() : NULL;
	char digest[2 * QBD_SHA256_SIZE + 1];
	int result;

	result = digest_content(content, extents, digest, buffer, error);
	if (!result && options->json) {
		struct json_object *object = json_object_new_object();

		describe(object, content);
		qbdadm_json_string(object, "sha256", digest);
		if (extents)
			json_object_object_add(object, "extent_digests",
					       json_object_get(extents));
		qbdadm_print_json(object);
	} else if (!result) {
		print_digest(content, digest, extents);
	}
	json_object_put(extents);
	return result;
}

/**
 * struct difference - what a comparison found
 * @first: first device block that differs, if @blocks
 */
struct difference {
	uint64_t blocks;
	uint64_t first;
};

static int compare_contents(struct qbd_content *one, struct qbd_content *other, char *a,
			    char *b, struct difference *difference,
			    struct qbd_error *error)
{
	uint64_t block = 0;

	while (block < one->device_blocks) {
		size_t count = chunk_of(one->device_blocks - block);
		int result;

		if (qbd_content_unwritten(one, block, count) &&
		    qbd_content_unwritten(other, block, count)) {
			block += count;
			continue;
		}
		result = qbd_content_read(one, block, a, count, error);
		if (!result)
			result = qbd_content_read(other, block, b, count, error);
		if (result)
			return result;
		for (size_t i = 0; i < count; i++, block++) {
			size_t offset = i << QBD_BLOCK_SHIFT;

			if (!memcmp(a + offset, b + offset, QBD_BLOCK_SIZE))
				continue;
			if (!difference->blocks++)
				difference->first = block;
		}
	}
	return 0;
}

static int check_comparable(const struct qbd_content *one, const struct qbd_content *other,
			    struct qbd_error *error)
{
	if (memcmp(one->inspection.superblock->header.uuid,
		   other->inspection.superblock->header.uuid, QBD_UUID_SIZE))
		return qbd_fail(error, EINVAL,
				"%s and %s: are members of different devices (%s, %s); nothing to compare",
				one->disk.path, other->disk.path,
				one->inspection.superblock->name,
				other->inspection.superblock->name);
	if (one->device_blocks != other->device_blocks)
		return qbd_fail(error, EINVAL,
				"%s and %s: were made with different sizes (%" PRIu64 " and %"
				PRIu64 " blocks); one of them was created wrongly",
				one->disk.path, other->disk.path, one->device_blocks,
				other->device_blocks);
	return 0;
}

static int print_difference(const struct qbd_content *one, const struct qbd_content *other,
			    const struct difference *difference, bool json)
{
	if (json) {
		struct json_object *root = json_object_new_object();
		struct json_object *replicas = json_object_new_array();
		struct json_object *object = json_object_new_object();

		describe(object, one);
		json_object_array_add(replicas, object);
		object = json_object_new_object();
		describe(object, other);
		json_object_array_add(replicas, object);
		json_object_object_add(root, "replicas", replicas);
		qbdadm_json_bool(root, "equal", !difference->blocks);
		qbdadm_json_number(root, "blocks_different", difference->blocks);
		if (difference->blocks)
			qbdadm_json_number(root, "first_different_block", difference->first);
		qbdadm_print_json(root);
	} else if (!difference->blocks) {
		printf("equal: %" PRIu64 " blocks; applied index %" PRIu64 " and %" PRIu64 "\n",
		       one->device_blocks, one->applied_index, other->applied_index);
	} else {
		printf("different: %" PRIu64 " of %" PRIu64 " blocks, the first is device block %"
		       PRIu64 "; applied index %" PRIu64 " and %" PRIu64 "%s\n",
		       difference->blocks, one->device_blocks, difference->first,
		       one->applied_index, other->applied_index,
		       one->applied_index != other->applied_index ?
		       ": one of them is behind" : "");
	}
	return qbdadm_flush(difference->blocks ? QBDADM_FAILED : QBDADM_OK);
}

static int run_with(struct qbd_content *one, struct qbd_content *other,
		    const struct checksum_options *options, char *a, char *b)
{
	struct difference difference = { 0 };
	struct qbd_error error;
	int status = QBDADM_OK;
	int result;

	result = qbd_content_open(one, options->path, &error);
	if (result)
		return qbdadm_failed(&error);
	if (!options->against) {
		result = checksum(one, options, a, &error);
	} else {
		result = qbd_content_open(other, options->against, &error);
		if (!result) {
			result = check_comparable(one, other, &error);
			if (!result)
				result = compare_contents(one, other, a, b, &difference,
							  &error);
			qbd_content_close(other);
		}
		if (!result)
			status = print_difference(one, other, &difference, options->json);
	}
	qbd_content_close(one);
	if (result)
		return qbdadm_failed(&error);
	return qbdadm_flush(status);
}

static int run_checksum(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "against", required_argument, NULL, OPTION_AGAINST },
		{ "extents", no_argument, NULL, OPTION_EXTENTS },
		{ }
	};
	struct checksum_options chosen = { 0 };
	struct qbd_content *contents;
	int status, option;
	char *buffer;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (option == OPTION_AGAINST)
			chosen.against = optarg;
		chosen.extents |= option == OPTION_EXTENTS;
		chosen.json |= option == QBDADM_OPTION_JSON;
	}
	if (optind + 1 != argc)
		return qbdadm_usage(command, "checksum: needs one PATH");
	if (chosen.against && chosen.extents)
		return qbdadm_usage(command, "checksum: --extents and --against do not go together");
	chosen.path = argv[optind];
	contents = calloc(2, sizeof(*contents));
	buffer = qbd_disk_buffer(2 * CHUNK_BLOCKS);
	if (contents && buffer) {
		status = run_with(&contents[0], &contents[1], &chosen, buffer,
				  buffer + ((size_t)CHUNK_BLOCKS << QBD_BLOCK_SHIFT));
	} else {
		struct qbd_error error;

		qbd_fail(&error, ENOMEM, "%s: out of memory", chosen.path);
		status = qbdadm_failed(&error);
	}
	free(buffer);
	free(contents);
	return status;
}

const struct qbdadm_command qbdadm_checksum = {
	.name = "checksum",
	.synopsis = "PATH [--extents] [--against PATH] [--json]",
	.summary = "Checksum of what a member that is down holds of the device",
	.details =
"PATH is a member's disk or an image of one. The sum is that of the device's whole\n"
"contents, as 'sha256sum /dev/qbd/NAME' would print it; what was never written\n"
"counts as zeroes. Replicas at the same applied index have to be equal. A member\n"
"that is up, was not taken down in order or is being filled is refused.\n"
"\n"
"  --extents        also the sum of each extent that was ever written\n"
"  --against PATH   compare with another replica, block by block; exit status 1\n"
"                   and the first block if they differ\n"
"  --json           print JSON\n",
	.run = run_checksum,
};
