/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the network share. Nobody else includes it.
 *
 * Who runs where: socket callbacks (softirq) only queue works. Each connection
 * has a receiving, a sending, a watching and a closing work, all on the device's
 * own WQ_MEM_RECLAIM queue. Pairs of connections, peer_up, peer_down and every
 * delivery are decided in replica context, in qbd_net_poll(), alone.
 */
#ifndef QBD_NET_INTERNAL_H
#define QBD_NET_INTERNAL_H

#include <linux/bvec.h>
#include <linux/mempool.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/refcount.h>
#include <linux/socket.h>
#include <linux/spinlock.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <net/sock.h>

#include "frame.h"
#include "net.h"
#include "twice.h"

struct crypto_shash;

/* Slots: peers of now, removed ones whose peer_down() is still to be told, newcomers. */
#define QBD_NET_PEERS		(3 * QBD_MEMBERS_MAX)

/* From the first packet until TCP stands, until both connections of a pair do. */
#define QBD_CONNECT_MS		500
#define QBD_HANDSHAKE_MS	2000
/* Connections that have not shown who they are. */
#define QBD_STRANGERS_MAX	32
/* Connections of programs. */
#define QBD_ADMINS_MAX		4
#define QBD_BACKOFF_MIN_MS	10
#define QBD_BACKOFF_MAX_MS	1000
#define QBD_SILENCE_DEFAULT_MS	2000
#define QBD_SILENCE_MIN_MS	40
/* Data sent on a bulk connection and not acknowledged by TCP for so long. */
#define QBD_STALL_MS		8000
#define QBD_STALL_MORE_MS	2000	/* see qbd_peer_stall() */
#define QBD_WATCH_BULK_MS	1000
/* How long data other than a record's may wait for pages. */
#define QBD_PAGES_WAIT_MS	100

/* Bytes queued on a bulk connection: refuse above the one, ask below the other.
 * At least QBD_QUEUE_FRAMES_MIN frames may always be queued. TCP has a buffer of
 * its own; what is here holds pool pages, and those that a peer that is cut off
 * holds until its silence is noticed must not be missed by the writers.
 */
#define QBD_QUEUE_HIGH		(512u << 10)
#define QBD_QUEUE_LOW		(256u << 10)
#define QBD_QUEUE_FRAMES_MIN	2

/* Work that one run of a work may do before others get their turn. */
#define QBD_BUDGET_FRAMES	64
#define QBD_BUDGET_BYTES	(2u << 20)

#define QBD_RING_FRAMES		128	/* received and not delivered yet */
#define QBD_ADMIN_RING_FRAMES	2	/* likewise, of a program */
#define QBD_SMALL_FRAMES	32	/* queued on a control connection */
#define QBD_HANDSHAKE_FRAMES	2
#define QBD_BVECS		64	/* pages of one socket call */
#define QBD_RESERVED_BYTES	65536	/* under way, from which on reserves are not touched */
#define QBD_AHEAD_BYTES		512	/* a control frame, or the head of others */
#define QBD_REASON_SIZE		64

/*
 * Head of an outgoing frame: header, and the longest fixed part but a RESET's: CHALLENGE,
 * or APPEND with the shared and the local part of a record.
 */
#define QBD_HEAD_BYTES \
	(sizeof(struct qbd_frame_header) + sizeof(struct qbd_frame_challenge))
static_assert(sizeof(struct qbd_frame_challenge) >= 168, "APPEND fits, too");

/**
 * struct qbd_outgoing - a frame to be sent
 * @list: of the connection's send queue, or its free list
 * @type: enum qbd_frame_type
 * @small: belongs to the connection's free list; else from the mempool
 * @started: some of it may be in TCP's hands: must not be changed or dropped
 *	alone. Under the connection's lock
 * @sealed: the header is filled in, it has its place in the sequence
 * @data_checksum_known: @data_checksum is that of @buffer
 * @fixed_bytes: of the whole fixed part
 * @head_bytes: of what lies in @head (the rest are the record's operations)
 * @data_blocks: blocks of data
 * @data_checksum: of the data
 * @bytes: all of the frame
 * @done: bytes of it given to TCP; under send_mutex, like all that follows
 * @record: holds a reference until all of it is in TCP's own memory. There is no
 *	zero-copy sending: TCP keeps pages for as long as a peer does not
 *	acknowledge, so that one slow peer could hold the pool's pages; and the
 *	copy is small beside the checksums
 * @buffer: likewise, owned
 * @large: head of a frame that does not fit into @head
 * @head: header and fixed part
 */
struct qbd_outgoing {
	struct list_head list;
	u16 type;
	bool small;
	bool started;
	bool sealed;
	bool data_checksum_known;
	u32 fixed_bytes;
	u32 head_bytes;
	u32 data_blocks;
	u32 data_checksum;
	u32 bytes;
	u32 done;
	struct qbd_record *record;
	struct qbd_buffer *buffer;
	u8 *large;
	u8 head[QBD_HEAD_BYTES];
};

/**
 * struct qbd_incoming - a frame received whole and checked
 * @type: enum qbd_frame_type
 * @fixed: as it came; a RESET's lies in the connection
 * @record: of an APPEND
 * @data: of REQUEST, REPLY, EXTENT, VERIFIED, REPAIR; NULL if there was no memory
 */
struct qbd_incoming {
	u16 type;
	union {
		struct qbd_core_message message;
		struct qbd_frame_append append;
		struct qbd_frame_request request;
		struct qbd_frame_reply reply;
		struct qbd_frame_fill fill;
		struct qbd_frame_extent extent;
		struct qbd_frame_fill_end fill_end;
		struct qbd_frame_verify verify;
		struct qbd_frame_verified verified;
		struct qbd_frame_repair repair;
		struct qbd_frame_repaired repaired;
	} fixed;
	struct qbd_record *record;
	struct qbd_buffer *data;
};

/* Dialled connections go C, c, w, O; accepted ones h, p, O. See connection.c. */
enum qbd_connection_state {
	QBD_CONNECTING,			/* C: dialled, TCP is at it */
	QBD_AWAIT_HELLO,		/* h: accepted */
	QBD_AWAIT_CHALLENGE,		/* c: HELLO is on its way */
	QBD_AWAIT_PROOF,		/* p: CHALLENGE is on its way */
	QBD_AWAIT_WELCOME,		/* w: PROOF is on its way */
	QBD_OPEN,			/* O: the other side proved who it is */
	QBD_REFUSING,			/* REFUSED is on its way */
	QBD_CLOSED,
};

enum qbd_receive_step {
	QBD_RECEIVE_HEADER,
	QBD_RECEIVE_FIXED,
	QBD_RECEIVE_CLAIM,		/* pages for the data */
	QBD_RECEIVE_DATA,
};

/* What only an authenticated connection needs whose frames have data. */
struct qbd_bulk_room {
	struct bio_vec send_bvecs[QBD_BVECS];
	struct bio_vec receive_bvecs[QBD_BVECS];
	struct qbd_frame_reset reset;
	u8 fixed[QBD_FRAME_FIXED_MAX];
	u8 ahead[QBD_AHEAD_BYTES + QBD_BLOCK_SIZE];	/* a small frame, whole */
};

/*
 * struct qbd_connection - one TCP connection, from dial or accept to its end
 *
 * Never used again after it was closed: a new connection is a new object, so
 * that nothing of an old one can be taken for something of a new one.
 */
struct qbd_connection {
	refcount_t references;
	struct qbd_net *net;
	struct list_head list;		/* of the net, under its lock */
	struct socket *socket;
	struct sockaddr_storage address;
	struct qbd_address at;		/* accepted: where we listened; dialled: from where */
	bool dialled;
	bool stranger;			/* counted as such, under the net's lock */
	bool from_member;		/* its address is that of a member */
	u32 peer;			/* 0: has not said yet */
	enum qbd_connection_kind kind;	/* 0: has not said yet */
	u64 session;
	u64 admin;			/* ADMIN: its number, never used again; 0: not yet */

	/* original socket callbacks, under sk_callback_lock */
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
	void (*error_report)(struct sock *sk);

	struct work_struct receive_work;
	struct work_struct send_work;
	struct delayed_work watch_work;
	struct work_struct close_work;

	spinlock_t lock;		/* protects what follows */
	enum qbd_connection_state state;
	bool active;			/* its pair is up; ADMIN: open */
	bool asked;			/* ADMIN: the answer is not out yet */
	bool wants_room;		/* a send was refused: kick when there is some */
	bool receiver_waits;		/* for room in the ring */
	char reason[QBD_REASON_SIZE];	/* why it was closed */
	struct list_head send_queue;
	struct list_head small_free;
	unsigned int queued_frames;
	u64 queued_bytes;
	unsigned int ring_head;		/* next to be delivered */
	unsigned int ring_tail;		/* next to be filled */
	unsigned int ring_marked;	/* end of what is to be delivered now; the
					 * replica's own
					 */
	bool reset_waits;		/* bulk->reset is not delivered yet */

	/* sending: held while a frame is being sent */
	struct mutex send_mutex;
	u32 send_sequence;
	unsigned long pace;		/* see qbd_net_pace(); the replica's own; 0: none */
	unsigned long paced;		/* what TCP was told of it */
	bool pacing;			/* and does because it was told */

	/* the receiving work's own */
	enum qbd_receive_step step;
	u32 receive_sequence;
	size_t received;		/* of the present step */
	const u8 *ahead_at;		/* read from TCP, not used yet */
	u32 ahead_bytes;
	u8 ahead[QBD_AHEAD_BYTES];	/* or bulk->ahead */
	bool waits_for_pages;
	bool waits_briefly;		/* and only QBD_PAGES_WAIT_MS long */
	bool discard;			/* no memory for the data */
	unsigned long waits_since;
	u32 discard_checksum;
	struct qbd_frame_header header;
	struct qbd_incoming incoming;

	/* the watching work's own */
	u32 unacknowledged;
	unsigned long unacknowledged_since;
	bool unheard;			/* nor was the other side, at some time since */

	unsigned long created;
	unsigned long last_received;	/* whole frames */
	unsigned long waited_at;	/* and was not read from then; 0: it always was */
	unsigned long last_sent;
	u64 sent_bytes, received_bytes, sent_frames, received_frames;

	struct qbd_frame_hello own_hello;
	struct qbd_frame_hello peer_hello;
	u8 handshake_fixed[sizeof(struct qbd_frame_challenge)];
	struct qbd_outgoing handshake_frames[QBD_HANDSHAKE_FRAMES];

	/* allocated when the proof was right */
	struct qbd_outgoing *small;	/* control */
	struct qbd_incoming *ring;
	unsigned int ring_frames;
	struct qbd_bulk_room *bulk;	/* bulk, admin */
};

/*
 * struct qbd_net_peer - a member to talk to
 *
 * The net's lock protects it against the dialling work and accepts; it is
 * changed in replica context, but for @fresh and what dialling brings.
 */
struct qbd_net_peer {
	struct qbd_net *net;
	u32 id;				/* 0: a free slot */
	bool removed;
	bool up;
	u64 newcomer;			/* 0: the list in force names it; else the one that does */
	struct qbd_address address;
	bool elsewhere;			/* by lists that are past; see keep_member() */
	u8 incarnation[QBD_UUID_SIZE];	/* of its disk, by that list; zero: any */
	u64 known_run;			/* what we tell it that we know of it */
	u64 known_term;
	u64 known_index;
	struct qbd_twice_try twice;
	bool perhaps_twice;		/* it asked us to come again for that: knock soon */
	struct qbd_connection *connections[2];	/* of this attempt or pair */
	struct qbd_connection *fresh[2];	/* accepted and proved, not looked at */
	u64 session;
	u32 epoch;			/* dialling for an older one is void */
	unsigned int backoff_ms;
	unsigned long dialled_at;
	unsigned long up_since;
	bool stalled;			/* it is as if it were not there until then */
	unsigned long stalled_until;
	struct delayed_work dial_work;
	u64 connects;
	u64 sent_bytes, received_bytes, sent_frames, received_frames;
	char last_error[QBD_REASON_SIZE];
	u32 told;			/* bitmap of enum qbd_refusal: what it said of us, proved */
	u32 refusal;			/* told last, by whom, and when */
	bool refusal_by_us;
	unsigned long refusal_at;
};

/* What is believed of a member only that has proved to know the secret. */
static inline bool qbd_refusal_is_proved(u32 reason)
{
	return reason == QBD_REFUSED_REMOVED || reason == QBD_REFUSED_TWICE ||
	       reason == QBD_REFUSED_PERHAPS;
}

/* The core has slots for so many beside all members. */
#define QBD_NEWCOMERS_MAX	8

/* A member whom our list does not name has proved itself, and waits for a slot. */
struct qbd_newcomer {
	u32 id;
	u64 listed;
	u8 incarnation[QBD_UUID_SIZE];
};

struct qbd_net_refusal {
	u32 peer;
	enum qbd_refusal reason;
	bool by_us;
};

#define QBD_REFUSALS	8

/* Where one listens; the listening work's, but for the sockets that come in. */
struct qbd_listener {
	struct qbd_net *net;
	struct socket *socket;		/* NULL: none */
	struct qbd_address address;
	void (*data_ready)(struct sock *sk);
	struct delayed_work accept_work;
};

struct qbd_net {
	struct net *namespace;
	struct qbd_net_identity identity;
	char name[QBD_NAME_SIZE];
	struct qbd_pool *pool;
	const struct qbd_net_ops *ops;
	void *context;
	struct workqueue_struct *queue;		/* what pairs that are up need */
	/*
	 * What may wait for memory without reserves: a queue has one rescuer, and what runs
	 * before in it holds up the rest. It accepts, dials and closes.
	 */
	struct workqueue_struct *setup_queue;
	struct crypto_shash *hmac;
	mempool_t *outgoing;
	mempool_t *outgoing_large;
	struct ratelimit_state log_limit;	/* what strangers can provoke */
	struct ratelimit_state peer_limit;	/* members up and down */
	unsigned int silence_ms;

	struct socket *reserve;		/* idle; lets open connections use reserves */
	struct qbd_listener listeners[2];	/* the listening work's */
	struct work_struct listen_work;

	struct work_struct pages_work;
	atomic_t page_waiters;		/* connections that wait for pages */
	bool starved;			/* a send found no memory */
	bool blank;			/* replica's: said in each hello */
	u64 term;			/* likewise */
	bool is_new;			/* likewise */
	u64 listed;			/* likewise */
	bool marked;			/* replica's: qbd_net_mark() was called */

	spinlock_t lock;		/* protects what follows */
	bool stopping;
	bool was_removed;		/* a member says so: it dials nobody any more */
	struct list_head connections;	/* all that are not closed down */
	unsigned int connection_count;
	unsigned int strangers;
	u64 list_index;			/* of the list in force */
	u64 committed_index;		/* of the newest one that is known to be committed */
	struct qbd_membership_layout committed_list;	/* it; empty until it is set */
	struct qbd_newcomer newcomers[QBD_NEWCOMERS_MAX];
	unsigned int newcomer_count;
	struct qbd_address listen_address;	/* asked for by qbd_net_listen() */
	bool listen_wanted;
	bool listen_only;		/* close all but identity.listen */
	bool listen_done;		/* the replica is to be told: */
	int listen_error;
	char listen_text[160];
	struct qbd_net_peer peers[QBD_NET_PEERS];
	struct qbd_net_refusal refusals[QBD_REFUSALS];
	unsigned int refusal_count;
	struct qbd_connection *admins[QBD_ADMINS_MAX];
	u64 admin_count;		/* numbers given so far */

	wait_queue_head_t empty;
};

/* kind to index of the arrays above */
static inline unsigned int qbd_kind_index(enum qbd_connection_kind kind)
{
	return kind == QBD_CONNECTION_BULK;
}

static inline const char *qbd_kind_name(enum qbd_connection_kind kind)
{
	return kind == QBD_CONNECTION_BULK ? "bulk" :
	       kind == QBD_CONNECTION_ADMIN ? "admin" : "control";
}

/* By the one work whose counter it is; who asks for a status reads it meanwhile. */
static inline void qbd_connection_count(u64 *counter, u64 more)
{
	WRITE_ONCE(*counter, *counter + more);
}

/* peer.c */
struct qbd_net_peer *qbd_net_peer_find(struct qbd_net *net, u32 id);
struct qbd_net_peer *qbd_peer_find_up(struct qbd_net *net, u32 id);
void qbd_peer_dial(struct work_struct *work);
void qbd_peer_knock_later(struct qbd_net_peer *peer);
void qbd_peer_set_error(struct qbd_net_peer *peer, const char *text);
void qbd_peer_step(struct qbd_net_peer *peer);
void qbd_peer_disconnect(struct qbd_net_peer *peer, const char *reason);
void qbd_peer_deliver(struct qbd_net_peer *peer);
bool qbd_peer_adopt(struct qbd_connection *connection);
void qbd_peer_refused(struct qbd_connection *connection, u32 reason, bool by_us);
bool qbd_peer_may_dial(struct qbd_net *net, u32 id);
bool qbd_peer_is_heard(struct qbd_connection *connection);
void qbd_peer_stall(struct qbd_connection *connection);
bool qbd_peer_is_stalled(struct qbd_connection *connection);
bool qbd_peer_is_newcomer(struct qbd_connection *connection);
bool qbd_peer_is_up(struct qbd_connection *connection);
bool qbd_peer_was_removed(struct qbd_connection *connection);
void qbd_peer_note_newcomer(struct qbd_connection *connection);
bool qbd_peer_is_disk(struct qbd_connection *connection);
void qbd_peer_known(struct qbd_net *net, u32 id, struct qbd_frame_hello *hello);
enum qbd_twice qbd_peer_is_twice(struct qbd_connection *connection);

/* admin.c */
bool qbd_admin_adopt(struct qbd_connection *connection);
void qbd_admin_forget(struct qbd_connection *connection);
void qbd_admin_deliver(struct qbd_net *net);
void qbd_admin_answered(struct qbd_connection *connection);

/* listener.c */
int qbd_listener_start(struct qbd_net *net, char *error_text, size_t error_text_size);
void qbd_listener_stop(struct qbd_net *net);
void qbd_listener_tell(struct qbd_net *net);
bool qbd_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b);
int qbd_address_to_socket(const struct qbd_address *address,
			  struct sockaddr_storage *socket_address);

/* connection.c */
int qbd_socket_create(struct qbd_net *net, int family, struct socket **socket);
struct qbd_connection *qbd_connection_dial(struct qbd_net_peer *peer, u32 id,
					   const struct qbd_address *address,
					   enum qbd_connection_kind kind, u64 session);
bool qbd_connection_accepted(struct qbd_net *net, struct socket *socket,
			     const struct qbd_address *at);
void qbd_connection_no_stranger(struct qbd_connection *connection);
void qbd_connection_put(struct qbd_connection *connection);
void qbd_connection_queue(struct qbd_connection *connection, struct work_struct *work);
enum qbd_connection_state qbd_connection_state(struct qbd_connection *connection);
bool qbd_connection_advance(struct qbd_connection *connection,
			    enum qbd_connection_state from,
			    enum qbd_connection_state to);
void qbd_connection_watch(struct qbd_connection *connection);
__printf(2, 3)
void qbd_connection_close(struct qbd_connection *connection, const char *format, ...);
void qbd_connection_close_error(struct qbd_connection *connection, int error);
void qbd_connection_malformed(struct qbd_connection *connection, const char *what);
bool qbd_connection_open(struct qbd_connection *connection);
bool qbd_connection_room(struct qbd_connection *connection);
bool qbd_connection_reserves(struct qbd_connection *connection);
void qbd_incoming_drop(struct qbd_incoming *incoming);

/* handshake.c */
int qbd_handshake_create(struct qbd_net *net);
void qbd_handshake_destroy(struct qbd_net *net);
void qbd_handshake_begin(struct qbd_connection *connection);
void qbd_handshake_frame(struct qbd_connection *connection, u16 type,
			 const void *fixed);

/* send.c */
int qbd_send_create(struct qbd_net *net);
void qbd_send_destroy(struct qbd_net *net);
void qbd_send_work(struct work_struct *work);
bool qbd_send_small(struct qbd_connection *connection, u16 type, const void *fixed,
		    unsigned int fixed_bytes);
int qbd_send_frame(struct qbd_connection *connection, const struct qbd_net_frame *frame);
void qbd_send_purge(struct qbd_connection *connection, bool wait);

/* receive.c */
void qbd_receive_work(struct work_struct *work);
bool qbd_receive_pages_due(struct qbd_connection *connection);
void qbd_receive_stop_waiting(struct qbd_connection *connection);

#endif
