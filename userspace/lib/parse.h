/* SPDX-License-Identifier: GPL-2.0 */
/* What people type and read: sizes, names, addresses, members. */
#ifndef QBD_LIB_PARSE_H
#define QBD_LIB_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/format.h"
#include "lib/error.h"

/* "4096", "512M", "10G", "1.5T": powers of 1024; an optional "iB" or "B". */
int qbd_parse_size(const char *text, uint64_t *bytes, struct qbd_error *error);
/* Decimal number in [minimum, maximum]; @what names it in the error. */
int qbd_parse_number(const char *what, const char *text, uint64_t minimum,
		     uint64_t maximum, uint64_t *value, struct qbd_error *error);
/* A device's or member's name; @size is the room it has, NUL included. */
int qbd_check_name(const char *what, const char *name, size_t size,
		   struct qbd_error *error);

/* A member's; @text is what the error calls it, @id its id. */
int qbd_check_member_name(const char *text, const char *name, uint32_t id,
			  struct qbd_error *error);

/* "192.0.2.1", "192.0.2.1:7900", "2001:db8::1", "[2001:db8::1]:7900". */
int qbd_parse_address(const char *text, struct qbd_address *address,
		      struct qbd_error *error);

bool qbd_address_same(const struct qbd_address *a, const struct qbd_address *b);

#define QBD_ADDRESS_TEXT_SIZE	80
const char *qbd_address_text(const struct qbd_address *address, char *text);

/**
 * qbd_parse_members() - add members to a configuration
 * @text: "ID=[NAME@]ADDRESS[:PORT]", or several with commas between
 * @members: what is there already; stays sorted by id
 *
 * Refuses double ids, names and addresses. Every member is a voter.
 */
int qbd_parse_members(const char *text, struct qbd_membership_layout *members,
		      struct qbd_error *error);

/**
 * qbd_will_vote() - what if all that is meant of a member came true?
 * @flags: QBD_MEMBER_*
 */
bool qbd_will_vote(uint16_t flags);

/**
 * qbd_check_voters() - are there not too many, and is one with data in every majority?
 * @what: begins the line
 * @members: if all that is meant came true
 * @remedy: of too many
 */
int qbd_check_voters(const char *what, const struct qbd_membership_layout *members,
		     const char *remedy, struct qbd_error *error);

/* "2.0 GiB"; @text needs QBD_SIZE_TEXT_SIZE bytes. */
#define QBD_SIZE_TEXT_SIZE	24
const char *qbd_size_text(uint64_t bytes, char *text);
/* Hexadecimal digits of @bytes; @text needs 2 * length + 1. */
const char *qbd_hex_text(const void *bytes, size_t length, char *text);

#endif
