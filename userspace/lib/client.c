// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <linux/genetlink.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/client.h"
#include "lib/clock.h"

#define DUMP_TRIES	10
/* Room for events that come in a burst while we are busy. */
#define EVENT_BUFFER	(1 << 20)

/**
 * struct exchange - one request and what came back
 * @take: called for each data message; may be NULL
 * @too_long: an attribute had no room in the message any more
 * @text: the module's words on an error, or ""
 */
struct exchange {
	int (*take)(void *context, const struct nlmsghdr *message);
	void *context;
	bool too_long;
	char text[512];
};

static struct nlmsghdr *begin(struct qbd_client *client, uint16_t type, uint16_t flags,
			      uint8_t command, uint8_t version)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(client->buffer);
	struct genlmsghdr *header;

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = ++client->sequence;
	header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->cmd = command;
	header->version = version;
	return message;
}

static struct nlmsghdr *begin_qbd(struct qbd_client *client, uint16_t flags, uint8_t command)
{
	return begin(client, client->family, flags, command, QBD_FAMILY_VERSION);
}

/*
 * Attributes of a request. What has no room is left out, and transact() then sends
 * nothing.
 */
static void put_text(struct exchange *exchange, struct nlmsghdr *message, uint16_t type,
		     const char *text)
{
	exchange->too_long |= !mnl_attr_put_strz_check(message, QBD_CLIENT_BUFFER_SIZE, type,
						       text);
}

static void put_u32(struct exchange *exchange, struct nlmsghdr *message, uint16_t type,
		    uint32_t value)
{
	exchange->too_long |= !mnl_attr_put_u32_check(message, QBD_CLIENT_BUFFER_SIZE, type,
						      value);
}

static void put_u64(struct exchange *exchange, struct nlmsghdr *message, uint16_t type,
		    uint64_t value)
{
	exchange->too_long |= !mnl_attr_put_u64_check(message, QBD_CLIENT_BUFFER_SIZE, type,
						      value);
}

static void put_flag(struct exchange *exchange, struct nlmsghdr *message, uint16_t type)
{
	exchange->too_long |= !mnl_attr_put_check(message, QBD_CLIENT_BUFFER_SIZE, type, 0,
						  NULL);
}

/* The text that the kernel put behind an error. */
static void take_extack(const struct nlmsghdr *message, char *text, size_t size)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);
	size_t offset = sizeof(*answer);
	const struct nlattr *attribute;

	text[0] = '\0';
	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(message->nlmsg_flags & NLM_F_CAPPED))
		offset += MNL_ALIGN(mnl_nlmsg_get_payload_len(message) < offset ? 0 :
				    answer->msg.nlmsg_len - sizeof(answer->msg));
	if (offset > mnl_nlmsg_get_payload_len(message))
		return;
	mnl_attr_for_each(attribute, message, offset) {
		if (mnl_attr_get_type(attribute) != NLMSGERR_ATTR_MSG)
			continue;
		snprintf(text, size, "%.*s", (int)mnl_attr_get_payload_len(attribute),
			 (const char *)mnl_attr_get_payload(attribute));
	}
}

static int take_error(const struct nlmsghdr *message, struct exchange *exchange)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*answer))
		return -EBADMSG;
	if (answer->error)
		take_extack(message, exchange->text, sizeof(exchange->text));
	return answer->error;
}

/* One buffer of answers. Return: 1 if more is to come, 0 at the end, or -errno. */
static int take_answers(struct qbd_client *client, size_t length, struct exchange *exchange)
{
	const struct nlmsghdr *message = (const void *)client->buffer;
	bool interrupted = false;
	int left = (int)length;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		int result = 0;

		if (message->nlmsg_seq != client->sequence)
			continue;
		interrupted |= message->nlmsg_flags & NLM_F_DUMP_INTR;
		if (message->nlmsg_type == NLMSG_ERROR)
			return take_error(message, exchange);
		if (message->nlmsg_type == NLMSG_DONE)
			return interrupted ? -EINTR : 0;
		if (exchange->take)
			result = exchange->take(exchange->context, message);
		if (result)
			return result;
	}
	return interrupted ? -EINTR : 1;
}

/* Every request asks for an answer or is a dump: both have an end. */
static int transact(struct qbd_client *client, struct nlmsghdr *message,
		    struct exchange *exchange)
{
	int result = 1;

	exchange->text[0] = '\0';
	if (exchange->too_long)
		return -E2BIG;
	if (mnl_socket_sendto(client->socket, message, message->nlmsg_len) < 0)
		return -errno;
	while (result == 1) {
		ssize_t got = mnl_socket_recvfrom(client->socket, client->buffer,
						  QBD_CLIENT_BUFFER_SIZE);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		result = take_answers(client, got, exchange);
	}
	return result;
}

/* Does @text begin with the word @name? */
static bool begins_with(const char *text, const char *name)
{
	size_t length = strlen(name);

	return !strncmp(text, name, length) && (text[length] == ':' || text[length] == ' ');
}

/* The line for people: "NAME: words", unless the words name it themselves. */
static int fail(struct qbd_error *error, const char *name, int result,
		const struct exchange *exchange)
{
	const char *words = exchange->text;
	char text[128];

	if (exchange->too_long)
		return qbd_fail(error, -result, "'%.40s...': is too long, no device or disk is called so",
				name);
	if (words[0] && begins_with(words, name))
		return qbd_fail(error, -result, "%s", words);
	if (!words[0] && result == -EPERM) {
		words = "the kernel does not permit it; run this as root";
	} else if (!words[0]) {
		snprintf(text, sizeof(text), "the module says: %s", strerror(-result));
		words = text;
	}
	return qbd_fail(error, -result, "%s: %s", name, words);
}

/* ---- opening ------------------------------------------------------------ */

static void take_group(struct qbd_client *client, const struct nlattr *group)
{
	const struct nlattr *attribute;
	const char *name = "";
	uint32_t id = 0;

	mnl_attr_for_each_nested(attribute, group) {
		if (mnl_attr_get_type(attribute) == CTRL_ATTR_MCAST_GRP_NAME)
			name = mnl_attr_get_str(attribute);
		if (mnl_attr_get_type(attribute) == CTRL_ATTR_MCAST_GRP_ID)
			id = mnl_attr_get_u32(attribute);
	}
	if (!strcmp(name, QBD_MCGRP_EVENTS))
		client->events_group = id;
}

static int take_family(void *context, const struct nlmsghdr *message)
{
	struct qbd_client *client = context;
	const struct nlattr *attribute, *group;

	mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID)
			client->family = mnl_attr_get_u16(attribute);
		if (mnl_attr_get_type(attribute) != CTRL_ATTR_MCAST_GROUPS)
			continue;
		mnl_attr_for_each_nested(group, attribute)
			take_group(client, group);
	}
	return 0;
}

/* The kernel itself tries to load a module for a family that it does not know. */
static int find_family(struct qbd_client *client)
{
	struct exchange exchange = { .take = take_family, .context = client };
	struct nlmsghdr *message;

	message = begin(client, GENL_ID_CTRL, NLM_F_ACK, CTRL_CMD_GETFAMILY, 1);
	put_text(&exchange, message, CTRL_ATTR_FAMILY_NAME, QBD_FAMILY_NAME);
	return transact(client, message, &exchange);
}

void qbd_client_load_module(const char *name)
{
	char program[] = "modprobe", quiet[] = "-q", module[32];
	char *const arguments[] = { program, quiet, module, NULL };
	pid_t child;
	int status;

	snprintf(module, sizeof(module), "%s", name);
	if (posix_spawnp(&child, program, NULL, NULL, arguments, environ))
		return;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
}

static int open_socket(struct qbd_client *client, struct qbd_error *error)
{
	int one = 1;

	client->buffer = malloc(QBD_CLIENT_BUFFER_SIZE);
	if (!client->buffer)
		return qbd_fail(error, ENOMEM, "netlink: out of memory");
	client->socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!client->socket || mnl_socket_bind(client->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return qbd_fail(error, errno, "netlink: no socket: %s", strerror(errno));
	/* Kernels that do not know these answer without words. */
	mnl_socket_setsockopt(client->socket, NETLINK_EXT_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(client->socket, NETLINK_CAP_ACK, &one, sizeof(one));
	client->port = mnl_socket_get_portid(client->socket);
	client->sequence = (uint32_t)time(NULL);
	return 0;
}

int qbd_client_open(struct qbd_client *client, bool load, struct qbd_error *error)
{
	int result;

	memset(client, 0, sizeof(*client));
	result = open_socket(client, error);
	if (result)
		goto err;
	result = find_family(client);
	if (result == -ENOENT && load) {
		qbd_client_load_module(QBD_FAMILY_NAME);
		result = find_family(client);
	}
	if (result == -ENOENT)
		qbd_fail(error, ENOENT,
			 "the kernel module qbd is not loaded%s; install it with 'make modules_install', then 'modprobe qbd'",
			 load ? " and could not be" : "");
	else if (result)
		qbd_fail(error, -result, "netlink: %s", strerror(-result));
	if (!result)
		return 0;
err:
	qbd_client_close(client);
	return result;
}

void qbd_client_close(struct qbd_client *client)
{
	if (client->socket)
		mnl_socket_close(client->socket);
	free(client->buffer);
	client->socket = NULL;
	client->buffer = NULL;
}

/* ---- requests ----------------------------------------------------------- */

static void put_settings(struct exchange *exchange, struct nlmsghdr *message,
			 const struct qbd_settings_wish *wish)
{
	const struct qbd_settings *settings = &wish->settings;
	const struct {
		unsigned int given;
		uint16_t attribute;
		uint32_t value;
	} values[] = {
		{ QBD_GIVEN_ELECTION_TIMEOUT, QBD_A_SETTINGS_ELECTION_TIMEOUT_MS,
		  settings->election_timeout_ms },
		{ QBD_GIVEN_HEARTBEAT, QBD_A_SETTINGS_HEARTBEAT_MS, settings->heartbeat_ms },
		{ QBD_GIVEN_NO_QUORUM, QBD_A_SETTINGS_NO_QUORUM, settings->no_quorum },
		{ QBD_GIVEN_NO_QUORUM_GRACE, QBD_A_SETTINGS_NO_QUORUM_GRACE_MS,
		  settings->no_quorum_grace_ms },
		{ QBD_GIVEN_READ_MODE, QBD_A_SETTINGS_READ_MODE, settings->read_mode },
		{ QBD_GIVEN_WINDOW, QBD_A_SETTINGS_WINDOW_BYTES, settings->window_bytes },
		{ QBD_GIVEN_CLAIM_LEASE, QBD_A_SETTINGS_CLAIM_LEASE_MS,
		  settings->claim_lease_ms },
		{ QBD_GIVEN_LEADER_FOLLOWS, QBD_A_SETTINGS_LEADER_FOLLOWS,
		  settings->leader_follows },
		{ QBD_GIVEN_CHECKSUMS, QBD_A_SETTINGS_CHECKSUMS, settings->checksums },
	};
	struct nlattr *nest;

	if (!wish->given)
		return;
	nest = mnl_attr_nest_start_check(message, QBD_CLIENT_BUFFER_SIZE,
					 QBD_A_DEVICE_SETTINGS);
	exchange->too_long |= !nest;
	if (!nest)
		return;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (wish->given & values[i].given)
			put_u32(exchange, message, values[i].attribute, values[i].value);
	if (wish->given & QBD_GIVEN_MAX_RATE)
		put_u64(exchange, message, QBD_A_SETTINGS_MAX_RATE, settings->max_rate);
	mnl_attr_nest_end(message, nest);
}

static int take_up_reply(void *context, const struct nlmsghdr *message)
{
	struct qbd_up_reply *reply = context;
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attribute)) {
		case QBD_A_DEVICE_NAME:
			snprintf(reply->name, sizeof(reply->name), "%.*s",
				 (int)mnl_attr_get_payload_len(attribute),
				 mnl_attr_get_str(attribute));
			break;
		case QBD_A_DEVICE_NUMBER:
			reply->number = mnl_attr_get_u32(attribute);
			break;
		case QBD_A_DEVICE_MEMBER_ID:
			reply->member_id = mnl_attr_get_u32(attribute);
			break;
		}
	}
	return 0;
}

int qbd_client_up(struct qbd_client *client, const struct qbd_up_wish *wish,
		  struct qbd_up_reply *reply, struct qbd_error *error)
{
	struct exchange exchange = { .take = take_up_reply, .context = reply };
	struct nlmsghdr *message = begin_qbd(client, NLM_F_ACK, QBD_CMD_UP);
	int result;

	memset(reply, 0, sizeof(*reply));
	reply->number = QBD_NO_NUMBER;
	put_text(&exchange, message, QBD_A_DEVICE_DISK, wish->disk);
	if (wish->memory_bytes)
		put_u32(&exchange, message, QBD_A_DEVICE_MEMORY_BYTES, wish->memory_bytes);
	put_settings(&exchange, message, &wish->settings);
	result = transact(client, message, &exchange);
	return result ? fail(error, wish->disk, result, &exchange) : 0;
}

/* A request that takes a name, and perhaps the flag force. */
static int request_named(struct qbd_client *client, uint8_t command, const char *name,
			 bool force, struct qbd_error *error)
{
	struct nlmsghdr *message = begin_qbd(client, NLM_F_ACK, command);
	struct exchange exchange = { 0 };
	int result;

	put_text(&exchange, message, QBD_A_DEVICE_NAME, name);
	if (force)
		put_flag(&exchange, message, QBD_A_DEVICE_FORCE);
	result = transact(client, message, &exchange);
	return result ? fail(error, name, result, &exchange) : 0;
}

int qbd_client_down(struct qbd_client *client, const char *name, bool force,
		    struct qbd_error *error)
{
	return request_named(client, QBD_CMD_DOWN, name, force, error);
}

int qbd_client_claim_take(struct qbd_client *client, const char *name, bool force,
			  struct qbd_error *error)
{
	return request_named(client, QBD_CMD_CLAIM_TAKE, name, force, error);
}

int qbd_client_claim_release(struct qbd_client *client, const char *name,
			     struct qbd_error *error)
{
	return request_named(client, QBD_CMD_CLAIM_RELEASE, name, false, error);
}

int qbd_client_claim_mode(struct qbd_client *client, const char *name, uint32_t mode,
			  struct qbd_error *error)
{
	struct nlmsghdr *message = begin_qbd(client, NLM_F_ACK, QBD_CMD_CLAIM_MODE);
	struct exchange exchange = { 0 };
	int result;

	put_text(&exchange, message, QBD_A_DEVICE_NAME, name);
	put_u32(&exchange, message, QBD_A_DEVICE_CLAIM_MODE, mode);
	result = transact(client, message, &exchange);
	return result ? fail(error, name, result, &exchange) : 0;
}

int qbd_client_set(struct qbd_client *client, const char *name,
		   const struct qbd_settings_wish *wish, struct qbd_error *error)
{
	struct nlmsghdr *message = begin_qbd(client, NLM_F_ACK, QBD_CMD_SET);
	struct exchange exchange = { 0 };
	int result;

	put_text(&exchange, message, QBD_A_DEVICE_NAME, name);
	put_settings(&exchange, message, wish);
	result = transact(client, message, &exchange);
	return result ? fail(error, name, result, &exchange) : 0;
}

int qbd_client_leader_move(struct qbd_client *client, const char *name, uint32_t member,
			   struct qbd_error *error)
{
	struct nlmsghdr *message = begin_qbd(client, NLM_F_ACK, QBD_CMD_LEADER_MOVE);
	struct exchange exchange = { 0 };
	int result;

	put_text(&exchange, message, QBD_A_DEVICE_NAME, name);
	if (member)
		put_u32(&exchange, message, QBD_A_DEVICE_MEMBER, member);
	result = transact(client, message, &exchange);
	return result ? fail(error, name, result, &exchange) : 0;
}

int qbd_client_resize(struct qbd_client *client, const char *name, uint64_t bytes,
		      struct qbd_error *error)
{
	struct nlmsghdr *message = begin_qbd(client, NLM_F_ACK, QBD_CMD_RESIZE);
	struct exchange exchange = { 0 };
	int result;

	put_text(&exchange, message, QBD_A_DEVICE_NAME, name);
	if (bytes && !mnl_attr_put_u64_check(message, QBD_CLIENT_BUFFER_SIZE,
					     QBD_A_DEVICE_DEVICE_BYTES, bytes))
		exchange.too_long = true;
	result = transact(client, message, &exchange);
	return result ? fail(error, name, result, &exchange) : 0;
}

static void put_verify(struct exchange *exchange, struct nlmsghdr *message,
		       const struct qbd_verify_wish *wish)
{
	struct nlattr *nest = mnl_attr_nest_start_check(message, QBD_CLIENT_BUFFER_SIZE,
							QBD_A_DEVICE_VERIFY_WISH);

	if (!nest) {
		exchange->too_long = true;
		return;
	}
	if (wish->rate)
		exchange->too_long |= !mnl_attr_put_u64_check(message, QBD_CLIENT_BUFFER_SIZE,
							      QBD_A_VERIFY_WISH_RATE,
							      wish->rate);
	exchange->too_long |= !mnl_attr_put_u64_check(message, QBD_CLIENT_BUFFER_SIZE,
						      QBD_A_VERIFY_WISH_FIRST_BLOCK,
						      wish->first_block);
	if (wish->repair)
		put_flag(exchange, message, QBD_A_VERIFY_WISH_REPAIR);
	mnl_attr_nest_end(message, nest);
}

int qbd_client_verify_start(struct qbd_client *client, const char *name,
			    const struct qbd_verify_wish *wish, struct qbd_error *error)
{
	struct nlmsghdr *message = begin_qbd(client, NLM_F_ACK, QBD_CMD_VERIFY_START);
	struct exchange exchange = { 0 };
	int result;

	put_text(&exchange, message, QBD_A_DEVICE_NAME, name);
	put_verify(&exchange, message, wish);
	result = transact(client, message, &exchange);
	return result ? fail(error, name, result, &exchange) : 0;
}

int qbd_client_verify_stop(struct qbd_client *client, const char *name,
			   struct qbd_error *error)
{
	struct nlmsghdr *message = begin_qbd(client, NLM_F_ACK, QBD_CMD_VERIFY_STOP);
	struct exchange exchange = { 0 };
	int result;

	put_text(&exchange, message, QBD_A_DEVICE_NAME, name);
	result = transact(client, message, &exchange);
	return result ? fail(error, name, result, &exchange) : 0;
}

static void put_member(struct exchange *exchange, struct nlmsghdr *message,
		       const struct qbd_member_layout *member)
{
	size_t bytes = le16_to_cpu(member->address.family) == 4 ? 4 : 16;
	struct nlattr *nest = mnl_attr_nest_start_check(message, QBD_CLIENT_BUFFER_SIZE,
							QBD_A_DEVICE_WANTED_MEMBERS);

	if (!nest) {
		exchange->too_long = true;
		return;
	}
	put_u32(exchange, message, QBD_A_WANTED_MEMBER_ID, le32_to_cpu(member->id));
	put_text(exchange, message, QBD_A_WANTED_MEMBER_NAME, member->name);
	put_u32(exchange, message, QBD_A_WANTED_MEMBER_FLAGS, le16_to_cpu(member->flags));
	exchange->too_long |=
		!mnl_attr_put_check(message, QBD_CLIENT_BUFFER_SIZE,
				    QBD_A_WANTED_MEMBER_ADDRESS, bytes,
				    member->address.bytes) ||
		!mnl_attr_put_u16_check(message, QBD_CLIENT_BUFFER_SIZE,
					QBD_A_WANTED_MEMBER_PORT,
					le16_to_cpu(member->address.port)) ||
		!mnl_attr_put_u8_check(message, QBD_CLIENT_BUFFER_SIZE,
				       QBD_A_WANTED_MEMBER_PRIORITY, member->priority);
	/* An earlier module knows of none. */
	exchange->too_long |= member->group &&
		!mnl_attr_put_u8_check(message, QBD_CLIENT_BUFFER_SIZE,
				       QBD_A_WANTED_MEMBER_GROUP, member->group);
	mnl_attr_nest_end(message, nest);
}

int qbd_client_change_members(struct qbd_client *client, const char *name,
			      const struct qbd_membership_layout *wanted, bool force,
			      struct qbd_error *error)
{
	struct nlmsghdr *message = begin_qbd(client, NLM_F_ACK, QBD_CMD_CHANGE_MEMBERS);
	struct exchange exchange = { 0 };
	int result;

	put_text(&exchange, message, QBD_A_DEVICE_NAME, name);
	exchange.too_long |= !mnl_attr_put_u64_check(message, QBD_CLIENT_BUFFER_SIZE,
						     QBD_A_DEVICE_MEMBERS_INDEX,
						     le64_to_cpu(wanted->index));
	put_u32(&exchange, message, QBD_A_DEVICE_NEXT_MEMBER_ID,
		le32_to_cpu(wanted->next_member_id));
	for (uint32_t i = 0; i < le32_to_cpu(wanted->count); i++)
		put_member(&exchange, message, &wanted->members[i]);
	if (force)
		put_flag(&exchange, message, QBD_A_DEVICE_FORCE);
	result = transact(client, message, &exchange);
	return result ? fail(error, name, result, &exchange) : 0;
}

/* ---- status ------------------------------------------------------------- */

static int take_status(void *context, const struct nlmsghdr *message)
{
	return qbd_status_parse(message, context) ? -EBADMSG : 0;
}

int qbd_client_status(struct qbd_client *client, const char *name,
		      struct qbd_status *status, struct qbd_error *error)
{
	struct exchange exchange = { .take = take_status, .context = status };
	struct nlmsghdr *message = begin_qbd(client, NLM_F_ACK, QBD_CMD_STATUS);
	int result;

	put_text(&exchange, message, QBD_A_DEVICE_NAME, name);
	result = transact(client, message, &exchange);
	return result ? fail(error, name, result, &exchange) : 0;
}

struct status_list {
	struct qbd_status *statuses;
	size_t count;
};

static int take_listed(void *context, const struct nlmsghdr *message)
{
	struct status_list *list = context;
	struct qbd_status *larger;

	larger = realloc(list->statuses, (list->count + 1) * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	list->statuses = larger;
	if (qbd_status_parse(message, &larger[list->count]))
		return -EBADMSG;
	list->count++;
	return 0;
}

/* What is left of a dump that was given up must not be taken for the next one. */
static void drain(struct qbd_client *client)
{
	struct pollfd poll_one = {
		.fd = mnl_socket_get_fd(client->socket),
		.events = POLLIN,
	};

	while (poll(&poll_one, 1, 0) > 0 &&
	       mnl_socket_recvfrom(client->socket, client->buffer,
				   QBD_CLIENT_BUFFER_SIZE) > 0)
		;
}

int qbd_client_status_all(struct qbd_client *client, struct qbd_status **statuses,
			  size_t *count, struct qbd_error *error)
{
	struct status_list list = { 0 };
	struct exchange exchange = { .take = take_listed, .context = &list };
	int result = -EINTR;

	/* Devices that come and go meanwhile make it start anew. */
	for (int try = 0; result == -EINTR && try < DUMP_TRIES; try++) {
		list.count = 0;
		drain(client);
		result = transact(client, begin_qbd(client, NLM_F_DUMP, QBD_CMD_STATUS),
				  &exchange);
	}
	if (result) {
		free(list.statuses);
		return fail(error, "status", result, &exchange);
	}
	*statuses = list.statuses;
	*count = list.count;
	return 0;
}

/* ---- events ------------------------------------------------------------- */

int qbd_client_listen(struct qbd_client *client, struct qbd_error *error)
{
	int size = EVENT_BUFFER;
	int fd = mnl_socket_get_fd(client->socket);

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mnl_socket_setsockopt(client->socket, NETLINK_ADD_MEMBERSHIP,
				  &client->events_group, sizeof(client->events_group)))
		return qbd_fail(error, errno, "events: cannot listen: %s", strerror(errno));
	return 0;
}

/* One datagram. Return: 1 with an event, 0 if it was something else, or -errno. */
static int receive_event(struct qbd_client *client, struct qbd_event *event)
{
	const struct nlmsghdr *message = (const void *)client->buffer;
	ssize_t got = mnl_socket_recvfrom(client->socket, client->buffer,
					  QBD_CLIENT_BUFFER_SIZE);
	const struct genlmsghdr *header;

	if (got < 0)
		return -errno;
	if (!mnl_nlmsg_ok(message, (int)got) || message->nlmsg_type != client->family)
		return 0;
	header = mnl_nlmsg_get_payload(message);
	if (header->cmd != QBD_CMD_EVENT)
		return 0;
	return !qbd_event_parse(message, event);
}

int qbd_client_event(struct qbd_client *client, struct qbd_event *event, int timeout_ms,
		     struct qbd_error *error)
{
	int64_t end = qbd_now_ms() + timeout_ms;
	struct pollfd poll_one = {
		.fd = mnl_socket_get_fd(client->socket),
		.events = POLLIN,
	};

	for (;;) {
		int64_t left = timeout_ms < 0 ? -1 : end - qbd_now_ms();
		int result = poll(&poll_one, 1, left < 0 && timeout_ms >= 0 ? 0 : (int)left);

		if (!result)
			return 0;
		result = result > 0 ? receive_event(client, event) : -errno;
		if (result == -EINTR || result == -ENOBUFS || result == 1)
			return result;
		if (result < 0)
			return qbd_fail(error, -result, "events: %s", strerror(-result));
	}
}
