/* SPDX-License-Identifier: (GPL-2.0 OR BSD-3-Clause) */
/*
 * Which names and addresses will do: one rule, for who makes a disk and for who
 * reads one.
 */
#ifndef QBD_FORMAT_CHECK_H
#define QBD_FORMAT_CHECK_H

#include "format.h"

enum qbd_name_verdict {
	QBD_NAME_GOOD,
	QBD_NAME_EMPTY,
	QBD_NAME_LONG,		/* no NUL where one has to be */
	QBD_NAME_CHARACTER,	/* other than letters, digits, '.', '_', '-' */
	QBD_NAME_BEGINNING,	/* no letter or digit first */
};

/**
 * qbd_name_check() - is this a name for a device or a member?
 * @name: text
 * @size: the room that a name has, NUL included
 *
 * A name becomes a file's name below /dev/qbd, a word in the kernel's log and a
 * value in udev's rules: nothing in it may mean anything there.
 *
 * Return: what is wrong with it first.
 */
static inline enum qbd_name_verdict qbd_name_check(const char *name, size_t size)
{
	enum qbd_name_verdict verdict = QBD_NAME_GOOD;
	size_t i;

	for (i = 0; i < size && name[i]; i++) {
		char c = name[i];
		char lower = c | 0x20;

		if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9'))
			continue;
		if (c != '.' && c != '_' && c != '-')
			verdict = QBD_NAME_CHARACTER;
		else if (!i)
			verdict = QBD_NAME_BEGINNING;
	}
	if (i == size)
		return QBD_NAME_LONG;
	return i ? verdict : QBD_NAME_EMPTY;
}

enum qbd_address_verdict {
	QBD_ADDRESS_GOOD,
	QBD_ADDRESS_FAMILY,		/* neither IPv4 nor IPv6 */
	QBD_ADDRESS_PORT,
	QBD_ADDRESS_SCOPE,		/* an interface's index: each host has its own */
	QBD_ADDRESS_UNSPECIFIED,
	QBD_ADDRESS_MULTICAST,
	QBD_ADDRESS_RESERVED,
	QBD_ADDRESS_LINK_LOCAL,		/* IPv6, which would need a scope */
	QBD_ADDRESS_MAPPED,		/* IPv4 in IPv6: connections come from the former */
};

/**
 * qbd_address_check() - can a member listen there, and all others find it there?
 * @address: address
 *
 * Return: what is wrong with it first.
 */
static inline enum qbd_address_verdict
qbd_address_check(const struct qbd_address *address)
{
	const __u8 *bytes = address->bytes;
	unsigned int length = le16_to_cpu(address->family) == 4 ? 4 : 16;
	unsigned int zeroes = 0;

	if (le16_to_cpu(address->family) != 4 && le16_to_cpu(address->family) != 6)
		return QBD_ADDRESS_FAMILY;
	if (!address->port)
		return QBD_ADDRESS_PORT;
	if (address->scope)
		return QBD_ADDRESS_SCOPE;
	while (zeroes < length && !bytes[zeroes])
		zeroes++;
	if (zeroes == length)
		return QBD_ADDRESS_UNSPECIFIED;
	if (length == 4) {
		if (bytes[0] >= 224 && bytes[0] <= 239)
			return QBD_ADDRESS_MULTICAST;
		return bytes[0] == 0 || bytes[0] >= 240 ? QBD_ADDRESS_RESERVED :
							  QBD_ADDRESS_GOOD;
	}
	if (bytes[0] == 0xff)
		return QBD_ADDRESS_MULTICAST;
	if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)
		return QBD_ADDRESS_LINK_LOCAL;
	if (zeroes == 10 && bytes[10] == 0xff && bytes[11] == 0xff)
		return QBD_ADDRESS_MAPPED;
	return QBD_ADDRESS_GOOD;
}

#endif
