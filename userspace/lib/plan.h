/* SPDX-License-Identifier: GPL-2.0 */
/* Where things lie on a member's disk, and writing an empty one. */
#ifndef QBD_LIB_PLAN_H
#define QBD_LIB_PLAN_H

#include "format/superblock.h"
#include "lib/disk.h"
#include "lib/error.h"
#include "lib/token.h"

#define QBD_LOG_BYTES_DEFAULT_MIN	(16ULL << 20)
#define QBD_LOG_BYTES_DEFAULT_MAX	(256ULL << 20)
/* A device can grow to so many times its size, by default. */
#define QBD_GROWTH_DEFAULT		16u

/**
 * struct qbd_plan - places and sizes, as in struct qbd_superblock
 * @table_blocks_used: of @extent_table_blocks, those that the device's size needs now
 * @no_data: there is neither table nor data area
 * @client: likewise, and it is a client's
 */
struct qbd_plan {
	uint64_t backing_blocks;
	uint64_t device_blocks;
	uint64_t extent_table_blocks;
	uint64_t table_blocks_used;
	uint64_t log_block;
	uint64_t log_blocks;
	uint64_t data_block;
	uint32_t extent_shift;
	bool no_data;
	bool client;
};

/**
 * struct qbd_plan_wish - what was asked for
 * @device_bytes: 0: as much as fits
 * @log_bytes: 0: 1/64 of @device_bytes, or of the disk; 16 MiB to 256 MiB
 * @extent_bytes: 0: 1 MiB
 * @max_bytes: what it is to be able to grow to; 0: QBD_GROWTH_DEFAULT times its size
 * @no_data: no extent table and no data area (a witness); @device_bytes has to be given
 * @client: likewise, of a client
 */
struct qbd_plan_wish {
	uint64_t device_bytes;
	uint64_t log_bytes;
	uint64_t extent_bytes;
	uint64_t max_bytes;
	bool no_data;
	bool client;
};

/* In blocks: the extent table has room for no larger device. */
uint64_t qbd_plan_most(const struct qbd_plan *plan);

/* @path is only for the error's line. */
int qbd_plan_compute(const char *path, uint64_t backing_blocks,
		     const struct qbd_plan_wish *wish, struct qbd_plan *plan,
		     struct qbd_error *error);

/**
 * struct qbd_format_parameters - what a disk is to be
 * @joins: the device is there already, and gave this id to nobody before: the disk is
 *	not marked as new, and has the device's configuration sum
 * @configuration: if @joins
 * @claim: the claim that it begins with: of a new device, the mode only
 * @history: if @joins
 * @incarnation: if @joins: what the list of members says of the disk; else one is drawn
 */
struct qbd_format_parameters {
	const char *name;
	const struct qbd_token *token;
	uint32_t member_id;
	const struct qbd_membership_layout *members;
	struct qbd_plan plan;
	bool joins;
	uint32_t configuration;
	struct qbd_claim_layout claim;
	uint8_t incarnation[QBD_UUID_SIZE];
	uint8_t history[QBD_UUID_SIZE];
};

/**
 * qbd_format() - make @disk an empty member
 *
 * The superblock comes last, so that an interrupted format leaves no disk that
 * looks whole. Everything is read back. What was on the disk is lost.
 */
int qbd_format(struct qbd_disk *disk, const struct qbd_format_parameters *parameters,
	       struct qbd_error *error);

/*
 * The same in two parts. The first does all but a few blocks, and needs to know neither
 * id nor members: what it finds broken has not cost anybody anything. What was on the
 * disk is lost with it, and nothing on it is a qbd member.
 */
int qbd_format_prepare(struct qbd_disk *disk, const struct qbd_format_parameters *parameters,
		       struct qbd_error *error);
int qbd_format_finish(struct qbd_disk *disk, const struct qbd_format_parameters *parameters,
		      struct qbd_error *error);

/* Superblocks and state: nothing on this disk is a qbd member afterwards. */
int qbd_unformat(struct qbd_disk *disk, struct qbd_error *error);

/*
 * A sum over what has to be the same on every member: device, name, size, size of the
 * log, extent size, members. It is in the superblock, members with another one refuse
 * each other, and people read it as eight hexadecimal digits.
 */
#define QBD_CONFIGURATION_TEXT_SIZE	10
uint32_t qbd_configuration_of(const struct qbd_format_parameters *parameters);
const char *qbd_configuration_text(uint32_t sum, char *text);

#endif
