/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of the network stand on: members with a pool and a record of
 * what they were told, on loopback addresses; and raw peers, which are sockets
 * that know the handshake and can then say what they like.
 */
#ifndef QBD_TESTS_NET_RIG_H
#define QBD_TESTS_NET_RIG_H

#include <kunit/test.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/socket.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../net/net.h"

#define RIG_PORT		17911
#define RIG_DEVICE_BLOCKS	100000u
#define RIG_POOL_PAGES		QBD_POOL_PAGES_MIN
#define RIG_KEPT_MAX		64
#define RIG_SECONDS		20

/*
 * struct rig_member - one member
 * @context: replica context: held while polling and by tests that call the net
 * @kicks: by the network
 * @hold: do not poll
 * @keep: keep records instead of putting them
 * @mute: do not answer programs
 * @up: by member id: is up
 * @listed: incarnation in the lists of members; zeroes unless a test wants otherwise
 * @raw_listed: index of the list of which raw peers say to it that it names them
 * @told: by member id: bitmap of enum qbd_refusal, for what it was refused by that one
 * @on_down: called when it is told that a member is gone; may be NULL
 */
struct rig_member {
	struct kunit *test;
	struct qbd_net_identity identity;
	struct qbd_net *net;
	struct qbd_pool *pool;
	struct mutex context;		/* see above */
	struct work_struct poll;
	atomic_t pages_came;
	atomic_t kicks;
	bool hold;
	bool keep;
	bool mute;

	bool up[8];
	u8 listed[QBD_UUID_SIZE];
	u64 raw_listed;
	u32 told[8];
	void (*on_down)(struct rig_member *member, u32 peer);
	unsigned int ups, downs;
	char down_reason[64];
	unsigned int messages;
	struct qbd_core_message message;
	unsigned int appends;
	u64 append_index;
	bool append_bad;
	struct qbd_record *kept[RIG_KEPT_MAX];
	unsigned int kept_count;
	unsigned int requests, requests_starved;
	struct qbd_frame_request request;
	bool data_bad;
	unsigned int replies, replies_starved;
	struct qbd_frame_reply reply;
	unsigned int extents, resets, fills, fill_ends;
	struct qbd_frame_extent extent;
	struct qbd_frame_reset reset;
	struct qbd_frame_fill fill;
	struct qbd_frame_fill_end fill_end;
	unsigned int listens;
	int listen_error;
	unsigned int verifies, verifieds, repairs, repaireds;
	struct qbd_frame_verify verify;
	struct qbd_frame_verified verified;
	struct qbd_frame_repair repair;
	struct qbd_frame_repaired repaired;
	unsigned int refusals;
	unsigned int asked_again;	/* to come again, for it is perhaps up twice */
	u32 refused_peer;
	enum qbd_refusal refused;
	unsigned int asked, asked_starved;
	u64 asked_on;
	struct qbd_frame_request asked_for;
};

extern wait_queue_head_t rig_wait;

/* Wait until @condition holds; false after RIG_SECONDS. */
#define rig_until(condition) \
	(wait_event_timeout(rig_wait, (condition), RIG_SECONDS * HZ) != 0)

struct rig_member *rig_member_create(struct kunit *test, u32 id);
void rig_member_address(struct rig_member *member, const char *host, u16 port);
void rig_member_start(struct rig_member *member);
void rig_member_stop(struct rig_member *member);
void rig_member_destroy(struct rig_member *member);
/* Poll no more, or again. */
void rig_hold(struct rig_member *member, bool hold);
void rig_set_members(struct rig_member *member, struct rig_member **members,
		     unsigned int count);
/* Members 1 to @count that know each other and are up. */
void rig_all(struct kunit *test, struct rig_member **members, int count);
/* Two of them. */
void rig_pair(struct kunit *test, struct rig_member *pair[2]);
void rig_pair_destroy(struct rig_member *pair[2]);
void rig_release_kept(struct rig_member *member);

/* Data by its number, so that the receiver knows what to expect. */
void rig_fill_page(void *memory, u32 number);
struct qbd_record *rig_record(struct rig_member *member, u64 index, u32 operations,
			      u32 blocks_each);
int rig_send_record(struct rig_member *member, u32 to, struct qbd_record *record);

/*
 * The next one that sets a socket up, accepted or to dial with, stands still in the middle of
 * it until it goes on. Return of the second one: it came there.
 */
void rig_setup_stops(void);
bool rig_setup_stands(void);
void rig_setup_goes_on(void);
/* By the network. */
void rig_setup(void);

/* A socket to a member's listener. */
struct rig_raw {
	struct socket *socket;
	u32 sent;
	struct qbd_frame_hello own;
	struct qbd_frame_hello peer;
};

int rig_raw_connect(struct rig_raw *raw, struct rig_member *to);
void rig_raw_close(struct rig_raw *raw);
int rig_raw_send(struct rig_raw *raw, const void *bytes, size_t length);
int rig_raw_receive(struct rig_raw *raw, void *bytes, size_t length);
/* Sends a good frame of this content. */
int rig_raw_frame(struct rig_raw *raw, u16 type, const void *fixed, u32 fixed_bytes,
		  const void *data, u32 data_blocks);
/* A member's answer to a program: DESCRIBE's page is numbered by the sequence. */
void rig_answer(struct rig_member *member);
/* Receives a frame without data. Return: its type or -errno. */
int rig_raw_receive_frame(struct rig_raw *raw, void *fixed, size_t size);
/* The other side hung up, soon. */
bool rig_raw_closed(struct rig_raw *raw);
void rig_raw_hello(struct rig_raw *raw, struct rig_member *to, u32 from,
		   enum qbd_connection_kind kind, u64 session);
void rig_raw_proof(struct rig_raw *raw, const u8 *secret, const char *label, u8 *proof);
/* The whole handshake as member @from. */
int rig_raw_handshake(struct rig_raw *raw, struct rig_member *to, u32 from,
		      enum qbd_connection_kind kind, u64 session);

#endif
