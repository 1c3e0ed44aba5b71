// SPDX-License-Identifier: GPL-2.0
/*
 * qbdadm dump and qbdadm checksum of the disks that image.c makes. The commands run
 * whole, on a disk in memory that takes the place of userspace/lib/disk.c. Whatever is
 * on it, they end by themselves, print what a terminal stands, and JSON that is JSON.
 */
#include <errno.h>

#include "image.h"
#include "lib/content.h"
#include "lib/disk.h"
#include "qbdadm/qbdadm.h"

static struct image image;
static uint64_t image_blocks;

/* ---- the disk ----------------------------------------------------------- */

int qbd_disk_open(struct qbd_disk *disk, const char *path, unsigned int flags,
		  struct qbd_error *error)
{
	(void)error;
	REQUIRE(!(flags & QBD_DISK_WRITE));
	memset(disk, 0, sizeof(*disk));
	disk->fd = -1;
	disk->path = path;
	disk->blocks = image_blocks;
	disk->bytes = image_blocks << QBD_BLOCK_SHIFT;
	return 0;
}

void qbd_disk_close(struct qbd_disk *disk)
{
	disk->blocks = 0;
}

void *qbd_disk_buffer(size_t blocks)
{
	return calloc(blocks, QBD_BLOCK_SIZE);
}

int qbd_disk_read(struct qbd_disk *disk, uint64_t block, void *buffer, size_t count,
		  struct qbd_error *error)
{
	char *to = buffer;

	if (block > disk->blocks || count > disk->blocks - block)
		return qbd_fail(error, ERANGE, "%s: ends before", disk->path);
	for (; count; count--, block++, to += QBD_BLOCK_SIZE) {
		const void *from = block < IMAGE_BLOCKS ? image_block(&image, block) : NULL;

		if (block < IMAGE_BLOCKS && !from)
			return qbd_fail(error, EIO, "%s: cannot be read", disk->path);
		if (from)
			memcpy(to, from, QBD_BLOCK_SIZE);
		else
			memset(to, 0, QBD_BLOCK_SIZE);
	}
	return 0;
}

/* Who only looks does not write; the rest of the library wants these to be there. */
int qbd_disk_write(struct qbd_disk *disk, uint64_t block, const void *buffer, size_t count,
		   struct qbd_error *error)
{
	REQUIRE(!"a write");
	return disk && block && buffer && count && error;
}

int qbd_disk_zero(struct qbd_disk *disk, uint64_t block, uint64_t count,
		  struct qbd_error *error)
{
	REQUIRE(!"zeroes written");
	return disk && block && count && error;
}

int qbd_disk_flush(struct qbd_disk *disk, struct qbd_error *error)
{
	REQUIRE(!"a flush");
	return disk && error;
}

/* ---- the commands ------------------------------------------------------- */

static void judge_text(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		REQUIRE((text[i] >= 0x20 && text[i] < 0x7f) || text[i] == '\n');
}

static void judge_json(const char *text)
{
	enum json_tokener_error error;
	struct json_object *object = json_tokener_parse_verbose(text, &error);

	REQUIRE(object && error == json_tokener_success);
	json_object_put(object);
}

/* Return: the exit status. */
static int run_command(const struct qbdadm_command *command, const char *option,
		       const char *other, bool json)
{
	char *argv[6] = { (char *)command->name }, *out, *err;
	FILE *stdout_before = stdout, *stderr_before = stderr;
	size_t out_size, err_size;
	int argc = 1, status;

	if (option)
		argv[argc++] = (char *)option;
	if (other)
		argv[argc++] = (char *)other;
	if (json)
		argv[argc++] = (char *)"--json";
	argv[argc++] = (char *)"disk";
	stdout = open_memstream(&out, &out_size);
	stderr = open_memstream(&err, &err_size);
	optind = 0;
	status = command->run(command, argc, argv);
	fclose(stdout);
	fclose(stderr);
	stdout = stdout_before;
	stderr = stderr_before;
	judge_text(out, out_size);
	judge_text(err, err_size);
	if (status == QBDADM_OK) {
		REQUIRE(!err_size && out_size);
	} else {
		/* One line says why. */
		REQUIRE(status == QBDADM_FAILED && !strncmp(err, "qbdadm: ", 8));
		REQUIRE(strchr(err, '\n') == err + err_size - 1);
	}
	if (json && out_size)
		judge_json(out);
	free(out);
	free(err);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint8_t how = take_u8(&input);
	int dumped, summed;

	if (size > 2048)
		return 0;
	image_blocks = how & 0x40 ? IMAGE_BLOCKS + 4096 : how & 0x20 ? IMAGE_BLOCKS - 1 :
		       how & 0x80 ? (uint64_t)take_u16(&input) : IMAGE_BLOCKS;
	image_build(&image, &input);
	dumped = run_command(&qbdadm_dump, how & 1 ? "--records" : NULL,
			     how & 2 ? "--extents" : NULL, how & 4);
	summed = run_command(&qbdadm_checksum, how & 8 ? "--extents" : NULL, NULL, how & 4);
	/* What is summed can be shown. */
	REQUIRE(dumped == QBDADM_OK || summed != QBDADM_OK);
	/* A member that was taken down in order, and whose disk is as it was left, is. */
	if (!image.damage && image_blocks == IMAGE_BLOCKS) {
		const struct qbd_state *state = &image.state;

		REQUIRE(dumped == QBDADM_OK);
		/* There is nothing to be summed of a witness. */
		if (image.witness)
			REQUIRE(summed != QBDADM_OK);
		else if (state->flags == QBD_STATE_CLEAN &&
			 state->applied_index >= state->commit_index)
			REQUIRE(summed == QBDADM_OK);
		if (summed == QBDADM_OK)
			REQUIRE(run_command(&qbdadm_checksum, "--against", "disk", how & 4) ==
				QBDADM_OK);
	}
	image_free(&image);
	return 0;
}
