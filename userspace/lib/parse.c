// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/check.h"
#include "lib/parse.h"

static int size_shift(const char *suffix)
{
	static const char units[] = "KMGTPE";
	const char *unit;
	int shift = 0;

	unit = *suffix ? strchr(units, toupper((unsigned char)*suffix)) : NULL;
	if (unit) {
		shift = 10 * (int)(unit - units + 1);
		suffix++;
		if (*suffix == 'i')
			suffix++;
	}
	if (*suffix == 'B' || (*suffix == 'b' && shift))
		suffix++;
	return *suffix ? -1 : shift;
}

/* Digits and a point only: strtod() alone would take "0x10" and "1e9", too. */
int qbd_parse_size(const char *text, uint64_t *bytes, struct qbd_error *error)
{
	double fraction = 0;
	char digits[32], *end;
	uint64_t whole;
	size_t length;
	int shift;

	length = strspn(text, "0123456789.");
	shift = size_shift(text + length);
	if (!isdigit((unsigned char)text[0]) || length >= sizeof(digits) || shift < 0)
		goto bad;
	memcpy(digits, text, length);
	digits[length] = '\0';
	errno = 0;
	whole = strtoull(digits, &end, 10);
	if (errno || whole > (uint64_t)INT64_MAX >> shift)
		return qbd_fail(error, ERANGE, "size '%s': is too large; less than 8E", text);
	if (end[0] == '.' && end[1])
		fraction = strtod(end, &end);
	if (*end)
		goto bad;
	*bytes = (whole << shift) + (uint64_t)(fraction * (double)(1ULL << shift));
	return 0;
bad:
	return qbd_fail(error, EINVAL,
			"size '%s': is not a size; write for example 512M, 10G or 1.5T", text);
}

int qbd_parse_number(const char *what, const char *text, uint64_t minimum,
		     uint64_t maximum, uint64_t *value, struct qbd_error *error)
{
	uintmax_t number;
	char *end;

	errno = 0;
	number = strtoumax(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno ||
	    number < minimum || number > maximum)
		return qbd_fail(error, EINVAL,
				"%s '%s': is not a number from %" PRIu64 " to %" PRIu64,
				what, text, minimum, maximum);
	*value = number;
	return 0;
}

int qbd_check_name(const char *what, const char *name, size_t size,
		   struct qbd_error *error)
{
	switch (qbd_name_check(name, size)) {
	case QBD_NAME_EMPTY:
		return qbd_fail(error, EINVAL, "%s: is empty; give it a name", what);
	case QBD_NAME_LONG:
		return qbd_fail(error, EINVAL, "%s '%.40s...': is too long; at most %zu characters",
				what, name, size - 1);
	case QBD_NAME_CHARACTER:
		return qbd_fail(error, EINVAL,
				"%s '%s': has a character that is not allowed; use letters, digits, '.', '_' and '-'",
				what, name);
	case QBD_NAME_BEGINNING:
		return qbd_fail(error, EINVAL,
				"%s '%s': begins with '%c'; begin with a letter or digit",
				what, name, name[0]);
	case QBD_NAME_GOOD:
		break;
	}
	return 0;
}

static int parse_port(const char *whole, const char *text, uint16_t *port,
		      struct qbd_error *error)
{
	unsigned long number;
	char *end;

	number = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || number < 1 || number > 65535)
		return qbd_fail(error, EINVAL,
				"address '%s': port '%s' is not a number from 1 to 65535",
				whole, text);
	*port = (uint16_t)number;
	return 0;
}

static int check_address(const char *whole, const struct qbd_address *address,
			 struct qbd_error *error)
{
	static const char listens[] = "give the address at which this member listens";
	const char *remedy = listens;
	const char *why = NULL;

	switch (qbd_address_check(address)) {
	case QBD_ADDRESS_UNSPECIFIED:
		why = "is the unspecified address";
		break;
	case QBD_ADDRESS_MULTICAST:
		why = "is a multicast address";
		break;
	case QBD_ADDRESS_FAMILY:
	case QBD_ADDRESS_PORT:
	case QBD_ADDRESS_RESERVED:
		why = "is a reserved address";
		break;
	case QBD_ADDRESS_SCOPE:
	case QBD_ADDRESS_LINK_LOCAL:
		why = "is link-local, which each host can reach by an interface of its own only";
		remedy = "give one that all members can use, global or private (fd00::/8)";
		break;
	case QBD_ADDRESS_MAPPED:
		why = "is an IPv4 address written as IPv6";
		remedy = "write the IPv4 address";
		break;
	case QBD_ADDRESS_GOOD:
		return 0;
	}
	return qbd_fail(error, EINVAL, "address '%s': %s; %s", whole, why, remedy);
}

/* Split "host", "host:port", "[host]:port" into @host and @port_text. */
static int split_address(const char *text, char *host, size_t size,
			 const char **port_text, struct qbd_error *error)
{
	const char *end, *colon;

	*port_text = NULL;
	if (text[0] == '[') {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return qbd_fail(error, EINVAL,
					"address '[%s': brackets do not match; write [ADDRESS]:PORT",
					text);
		if (end[1])
			*port_text = end + 2;
	} else {
		end = text + strlen(text);
		colon = strchr(text, ':');
		if (colon && !strchr(colon + 1, ':')) {
			end = colon;
			*port_text = colon + 1;
		}
	}
	if ((size_t)(end - text) >= size)
		return qbd_fail(error, EINVAL, "address '%.60s...': is too long", text);
	memcpy(host, text, end - text);
	host[end - text] = '\0';
	return 0;
}

int qbd_parse_address(const char *text, struct qbd_address *address,
		      struct qbd_error *error)
{
	uint8_t bytes[16] = { 0 };
	uint16_t port = QBD_DEFAULT_PORT;
	const char *port_text;
	char host[72];
	char *percent;
	int family;
	int result;

	result = split_address(text, host, sizeof(host), &port_text, error);
	if (result)
		return result;
	percent = strchr(host, '%');
	/*
	 * An interface's number is this host's, and the list of members has to be the
	 * same on all.
	 */
	if (percent)
		return qbd_fail(error, EINVAL,
				"address '%s': names the interface '%s', which is this host's affair; give an address that all members can use, global or private (fd00::/8)",
				text, percent + 1);
	if (inet_pton(AF_INET, host, bytes) == 1)
		family = 4;
	else if (inet_pton(AF_INET6, host, bytes) == 1)
		family = 6;
	else
		return qbd_fail(error, EINVAL,
				"address '%s': is no IP address; host names are not looked up, write 192.0.2.1:%u or [2001:db8::1]:%u",
				text, QBD_DEFAULT_PORT, QBD_DEFAULT_PORT);
	if (port_text) {
		result = parse_port(text, port_text, &port, error);
		if (result)
			return result;
	}
	memset(address, 0, sizeof(*address));
	address->family = cpu_to_le16(family);
	address->port = cpu_to_le16(port);
	memcpy(address->bytes, bytes, family == 4 ? 4 : 16);
	return check_address(text, address, error);
}

bool qbd_address_same(const struct qbd_address *a, const struct qbd_address *b)
{
	return !memcmp(a, b, sizeof(*a));
}

const char *qbd_address_text(const struct qbd_address *address, char *text)
{
	unsigned int port = le16_to_cpu(address->port);
	unsigned int scope = le32_to_cpu(address->scope);
	char host[INET6_ADDRSTRLEN];
	char scope_text[16] = "";

	if (le16_to_cpu(address->family) == 4) {
		inet_ntop(AF_INET, address->bytes, host, sizeof(host));
		snprintf(text, QBD_ADDRESS_TEXT_SIZE, "%s:%u", host, port);
	} else if (le16_to_cpu(address->family) == 6) {
		inet_ntop(AF_INET6, address->bytes, host, sizeof(host));
		if (scope)
			snprintf(scope_text, sizeof(scope_text), "%%%u", scope);
		snprintf(text, QBD_ADDRESS_TEXT_SIZE, "[%s%s]:%u", host, scope_text, port);
	} else {
		snprintf(text, QBD_ADDRESS_TEXT_SIZE, "unknown address family %u",
			 le16_to_cpu(address->family));
	}
	return text;
}

int qbd_check_member_name(const char *text, const char *name, uint32_t id,
			  struct qbd_error *error)
{
	struct qbd_error why;

	if (qbd_check_name("name", name, QBD_MEMBER_NAME_SIZE, &why))
		return qbd_fail(error, EINVAL, "member '%s': %s", text, why.text);
	/* Members are named by name or id: a name of digits could mean another's id. */
	if (!name[strspn(name, "0123456789")])
		return qbd_fail(error, EINVAL,
				"member '%s': the name is a number and could be taken for an id; use for example 'host%u'",
				text, id);
	return 0;
}

static int check_unique(const char *text, const struct qbd_membership_layout *members,
			const struct qbd_member_layout *new_member, struct qbd_error *error)
{
	uint32_t count = le32_to_cpu(members->count);

	for (uint32_t i = 0; i < count; i++) {
		const struct qbd_member_layout *other = &members->members[i];
		uint32_t id = le32_to_cpu(other->id);

		if (other->id == new_member->id)
			return qbd_fail(error, EINVAL,
					"member '%s': id %u is given twice; every member needs its own",
					text, id);
		if (qbd_address_same(&other->address, &new_member->address))
			return qbd_fail(error, EINVAL,
					"member '%s': member %u has the same address and port; every member needs its own",
					text, id);
		if (!strcmp(other->name, new_member->name))
			return qbd_fail(error, EINVAL,
					"member '%s': member %u has the same name '%s'; every member needs its own",
					text, id, other->name);
	}
	return 0;
}

static void insert_sorted(struct qbd_membership_layout *members,
			  const struct qbd_member_layout *new_member)
{
	uint32_t count = le32_to_cpu(members->count);
	uint32_t id = le32_to_cpu(new_member->id);
	uint32_t at = count;

	while (at > 0 && le32_to_cpu(members->members[at - 1].id) > id) {
		members->members[at] = members->members[at - 1];
		at--;
	}
	members->members[at] = *new_member;
	members->count = cpu_to_le32(count + 1);
	/* An id of 2^32-1 leaves none that is higher; 0 says so. */
	if (id + 1 == 0 || (count && !members->next_member_id))
		members->next_member_id = 0;
	else if (id + 1 > le32_to_cpu(members->next_member_id))
		members->next_member_id = cpu_to_le32(id + 1);
}

static int parse_member(const char *text, struct qbd_membership_layout *members,
			struct qbd_error *error)
{
	const char *equals = strchr(text, '=');
	struct qbd_member_layout member = { 0 };
	struct qbd_error why;
	const char *address;
	uint64_t id;
	char *end;
	int result;

	if (!equals || equals == text)
		return qbd_fail(error, EINVAL,
				"member '%s': is not of the form ID=NAME@ADDRESS:PORT; write for example 1=alpha@192.0.2.1:%u",
				text, QBD_DEFAULT_PORT);
	errno = 0;
	id = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || end != equals || errno || id < 1 ||
	    id > UINT32_MAX - 1)
		return qbd_fail(error, EINVAL,
				"member '%s': the id is not a number from 1 to %u",
				text, UINT32_MAX - 1);
	address = strchr(equals + 1, '@');
	if (address) {
		size_t length = address - equals - 1;

		if (length >= sizeof(member.name))
			return qbd_fail(error, EINVAL,
					"member '%s': the name is too long; at most %zu characters",
					text, sizeof(member.name) - 1);
		memcpy(member.name, equals + 1, length);
		address++;
	} else {
		snprintf(member.name, sizeof(member.name), "member%u", (unsigned int)id);
		address = equals + 1;
	}
	result = qbd_check_member_name(text, member.name, (uint32_t)id, error);
	if (result)
		return result;
	result = qbd_parse_address(address, &member.address, &why);
	if (result)
		return qbd_fail(error, -result, "member '%s': %s", text, why.text);
	member.id = cpu_to_le32((uint32_t)id);
	member.flags = cpu_to_le16(QBD_MEMBER_VOTER);
	member.priority = QBD_PRIORITY_DEFAULT;
	result = check_unique(text, members, &member, error);
	if (result)
		return result;
	if (le32_to_cpu(members->count) == QBD_MEMBERS_MAX)
		return qbd_fail(error, E2BIG, "member '%s': there are %u already; at most %u are possible",
				text, QBD_MEMBERS_MAX, QBD_MEMBERS_MAX);
	insert_sorted(members, &member);
	return 0;
}

int qbd_parse_members(const char *text, struct qbd_membership_layout *members,
		      struct qbd_error *error)
{
	char *copy = strdup(text);
	char *rest = copy;
	char *one;
	int result = 0;

	if (!copy)
		return qbd_fail(error, ENOMEM, "members: out of memory");
	while (!result && (one = strsep(&rest, ",")))
		result = parse_member(one, members, error);
	free(copy);
	return result;
}

bool qbd_will_vote(uint16_t flags)
{
	return !(flags & (QBD_MEMBER_DEMOTING | QBD_MEMBER_LEAVING)) &&
	       flags & (QBD_MEMBER_VOTER | QBD_MEMBER_JOINING);
}

int qbd_check_voters(const char *what, const struct qbd_membership_layout *members,
		     const char *remedy, struct qbd_error *error)
{
	unsigned int voters = 0, witnesses = 0;

	for (uint32_t i = 0; i < le32_to_cpu(members->count); i++) {
		uint16_t flags = le16_to_cpu(members->members[i].flags);

		if (!qbd_will_vote(flags))
			continue;
		voters++;
		witnesses += !!(flags & QBD_MEMBER_WITNESS);
	}
	if (voters > QBD_VOTERS_MAX)
		return qbd_fail(error, ENOSPC, "%s: there would be %u voters, and more than %u cannot be; %s",
				what, voters, QBD_VOTERS_MAX, remedy);
	if (witnesses <= voters / 2)
		return 0;
	return qbd_fail(error, EINVAL,
			"%s: %u of %u voters would be witnesses, which keep no data, and a majority; there must be more members with data",
			what, witnesses, voters);
}

const char *qbd_size_text(uint64_t bytes, char *text)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned int unit = 0;

	while (value >= 1024 && unit < 6) {
		value /= 1024;
		unit++;
	}
	if (!unit)
		snprintf(text, QBD_SIZE_TEXT_SIZE, "%" PRIu64 " B", bytes);
	else
		snprintf(text, QBD_SIZE_TEXT_SIZE, value < 99.95 ? "%.1f %s" : "%.0f %s",
			 value, units[unit]);
	return text;
}

const char *qbd_hex_text(const void *bytes, size_t length, char *text)
{
	for (size_t i = 0; i < length; i++)
		snprintf(text + 2 * i, 3, "%02x", ((const uint8_t *)bytes)[i]);
	text[2 * length] = '\0';
	return text;
}
