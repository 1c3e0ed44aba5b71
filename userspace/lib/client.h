/* SPDX-License-Identifier: GPL-2.0 */
/* Asking the module: requests, status, events over generic netlink. */
#ifndef QBD_LIB_CLIENT_H
#define QBD_LIB_CLIENT_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/status.h"

/* Larger than any message of the family. */
#define QBD_CLIENT_BUFFER_SIZE	65536u

struct qbd_client {
	struct mnl_socket *socket;
	uint32_t port;
	uint32_t sequence;
	uint16_t family;
	uint32_t events_group;
	char *buffer;
};

/**
 * qbd_client_open() - talk to the module in this network namespace
 * @load: load the module if it is not there
 *
 * Return: 0, -ENOENT if the module is not loaded, or another -errno.
 */
int qbd_client_open(struct qbd_client *client, bool load, struct qbd_error *error);
/* Load a kernel module, if that can be; what comes of it is to be looked at. */
void qbd_client_load_module(const char *name);
void qbd_client_close(struct qbd_client *client);

/* Which settings of a struct qbd_settings were asked for. */
enum qbd_settings_given {
	QBD_GIVEN_ELECTION_TIMEOUT	= 1 << 0,
	QBD_GIVEN_HEARTBEAT		= 1 << 1,
	QBD_GIVEN_NO_QUORUM		= 1 << 2,
	QBD_GIVEN_NO_QUORUM_GRACE	= 1 << 3,
	QBD_GIVEN_READ_MODE		= 1 << 4,
	QBD_GIVEN_WINDOW		= 1 << 5,
	QBD_GIVEN_CLAIM_LEASE		= 1 << 6,
	QBD_GIVEN_LEADER_FOLLOWS	= 1 << 7,
	QBD_GIVEN_MAX_RATE		= 1 << 8,
	QBD_GIVEN_CHECKSUMS		= 1 << 9,
};

struct qbd_settings_wish {
	unsigned int given;
	struct qbd_settings settings;
};

/**
 * struct qbd_up_wish - how a member is to come up
 * @memory_bytes: 0: as by default
 */
struct qbd_up_wish {
	const char *disk;
	uint32_t memory_bytes;
	struct qbd_settings_wish settings;
};

struct qbd_up_reply {
	char name[QBD_NAME_SIZE];
	uint32_t number;	/* or QBD_NO_NUMBER */
	uint32_t member_id;
};

/* Each: 0, or -errno with the module's own words. */
int qbd_client_up(struct qbd_client *client, const struct qbd_up_wish *wish,
		  struct qbd_up_reply *reply, struct qbd_error *error);
int qbd_client_down(struct qbd_client *client, const char *name, bool force,
		    struct qbd_error *error);
int qbd_client_set(struct qbd_client *client, const char *name,
		   const struct qbd_settings_wish *wish, struct qbd_error *error);
int qbd_client_leader_move(struct qbd_client *client, const char *name, uint32_t member,
			   struct qbd_error *error);
/* Have the device grow; @bytes 0: as far as the disks of all members allow. */
int qbd_client_resize(struct qbd_client *client, const char *name, uint64_t bytes,
		      struct qbd_error *error);
/*
 * Have the leader change the members. @wanted->index is that of the list that it was made
 * from: -ESTALE if there is another one by now; -EAGAIN: not just now.
 */
int qbd_client_change_members(struct qbd_client *client, const char *name,
			      const struct qbd_membership_layout *wanted, bool force,
			      struct qbd_error *error);
int qbd_client_claim_take(struct qbd_client *client, const char *name, bool force,
			  struct qbd_error *error);
int qbd_client_claim_release(struct qbd_client *client, const char *name,
			     struct qbd_error *error);
/* @mode: enum qbd_claim_mode */
int qbd_client_claim_mode(struct qbd_client *client, const char *name, uint32_t mode,
			  struct qbd_error *error);
/**
 * struct qbd_verify_wish - what is to be compared
 * @rate: bytes in a second; 0: as by default
 * @first_block: device block to begin with
 */
struct qbd_verify_wish {
	uint64_t rate;
	uint64_t first_block;
	bool repair;
};

/* It goes on in the module; how far it is, is in the status. */
int qbd_client_verify_start(struct qbd_client *client, const char *name,
			    const struct qbd_verify_wish *wish, struct qbd_error *error);
int qbd_client_verify_stop(struct qbd_client *client, const char *name,
			   struct qbd_error *error);
int qbd_client_status(struct qbd_client *client, const char *name,
		      struct qbd_status *status, struct qbd_error *error);

/* All devices, ordered by number; free() the array. */
int qbd_client_status_all(struct qbd_client *client, struct qbd_status **statuses,
			  size_t *count, struct qbd_error *error);

/* From here on events are kept for qbd_client_event(). */
int qbd_client_listen(struct qbd_client *client, struct qbd_error *error);
/**
 * qbd_client_event() - the next event
 * @timeout_ms: how long to wait; -1: for ever
 *
 * Return: 1 with an event; 0 if the time is up; -ENOBUFS if events were lost
 * because nobody read them; -EINTR; another -errno with the line.
 */
int qbd_client_event(struct qbd_client *client, struct qbd_event *event, int timeout_ms,
		     struct qbd_error *error);

#endif
