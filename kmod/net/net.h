/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The network of one member: its listener, two connections to each peer, and a few
 * of programs that know the secret.
 *
 * net.c         life and death, members, status
 * peer.c        pairs of connections, what is delivered, dialling and backing off
 * admin.c       connections of programs: one request, one answer
 * listener.c    accepts, in the device's network namespace
 * connection.c  one TCP connection: socket callbacks, states, teardown
 * handshake.c   who is there: version, device, member, secret, both ways
 * send.c        queues and the sending work
 * receive.c     the receiving work: frames into pool pages
 * frame.c       pure checks of frames, shared with tests and fuzzers
 *
 * Concurrency: each connection has a sending and a receiving work of its own.
 * What arrives is queued and the replica is kicked; it calls qbd_net_poll() in
 * its context, and only from there do the operations below come, frame by frame
 * in the order of each connection. All calls are made in replica context unless
 * they say otherwise, and none of them sleeps but create and destroy.
 *
 * A pair of members shares a control and a bulk connection; a peer is "up" when
 * both stand. The member with the higher id dials. A new connection of the same
 * kind replaces the old one, and nothing of the old one is delivered after
 * peer_down() (that is what keeps a delayed request from landing late). One of another run
 * of that member does not while the old one is alive: see qbd_peer_is_twice().
 *
 * Only an APPEND waits for pool pages, and while it does its bulk connection is
 * not read on (TCP slows the leader down). Data of other frames waits for pages
 * a tenth of a second at most, then it is read and thrown away and the frame is
 * delivered without: were it to wait, the append behind it that lets pages go
 * free again might never be read. The control connection needs no pages at all.
 */
#ifndef QBD_NET_NET_H
#define QBD_NET_NET_H

#include <linux/types.h>
#include <net/net_namespace.h>

#include "../core/core.h"
#include "../format/frame.h"
#include "../record/record.h"

struct qbd_net;

/**
 * struct qbd_net_ops - what the network tells its replica
 * @kick: any context: have qbd_net_poll() called soon, and after it look at all that
 *	waits to be sent: for what qbd_net_send() refused there may be room now
 * @peer_up: both connections to @peer stand; nothing of earlier ones is left
 * @peer_down: either is gone; both are closed, all queued frames are dropped;
 *	@reason in a few words
 * @message: a consensus message (from, to and device are checked)
 * @append: a record, checked (header, chain, data); the callee's to put
 * @request: forwarded I/O; @data (writes) is the callee's to free, checked.
 *	NULL for a write: there was no memory, answer QBD_REPLY_BUSY
 * @reply: answer to a forwarded request; @data (reads) is the callee's to free.
 *	NULL although the reply counts blocks: there was no memory, ask again
 * @reset: see struct qbd_frame_reset
 * @fill: see struct qbd_frame_fill
 * @extent: a piece of an extent; @data (NULL if zero) is the callee's to free.
 *	NULL although not zero: there was no memory, send FILL for it again
 * @fill_end: see struct qbd_frame_fill_end
 * @verify: see struct qbd_frame_verify
 * @verified: answer to VERIFY; @data (sums, contents) is the callee's to free. NULL
 *	although the answer is OK: there was no memory, ask again
 * @repair: see struct qbd_frame_repair; @data is the callee's to free. NULL: there was
 *	no memory, answer QBD_REPAIR_BUSY
 * @repaired: answer to REPAIR
 * @refused: a handshake failed; @peer 0 if not known; @by_us: it was us who refused it,
 *	else we were refused; rate limited. QBD_REFUSED_REMOVED, TWICE and PERHAPS, not by us,
 *	come only from a member that has proved to be one; PERHAPS each time that it was said,
 *	and never by us
 * @listening: what came of qbd_net_listen(): 0, or -errno and one line
 * @admin: a program's request, DESCRIBE or CHANGE, on the connection that has this
 *	number; @data (CHANGE) is the callee's to free, NULL: there was no memory.
 *	The next one of that connection comes after qbd_net_answer()
 */
struct qbd_net_ops {
	void (*kick)(void *context);
	void (*peer_up)(void *context, u32 peer);
	void (*peer_down)(void *context, u32 peer, const char *reason);
	void (*message)(void *context, u32 peer, const struct qbd_core_message *message);
	void (*append)(void *context, u32 peer, const struct qbd_frame_append *append,
		       struct qbd_record *record);
	void (*request)(void *context, u32 peer, const struct qbd_frame_request *request,
			struct qbd_buffer *data);
	void (*reply)(void *context, u32 peer, const struct qbd_frame_reply *reply,
		      struct qbd_buffer *data);
	void (*reset)(void *context, u32 peer, const struct qbd_frame_reset *reset);
	void (*fill)(void *context, u32 peer, const struct qbd_frame_fill *fill);
	void (*extent)(void *context, u32 peer, const struct qbd_frame_extent *extent,
		       struct qbd_buffer *data);
	void (*fill_end)(void *context, u32 peer, const struct qbd_frame_fill_end *end);
	void (*verify)(void *context, u32 peer, const struct qbd_frame_verify *verify);
	void (*verified)(void *context, u32 peer, const struct qbd_frame_verified *verified,
			 struct qbd_buffer *data);
	void (*repair)(void *context, u32 peer, const struct qbd_frame_repair *repair,
		       struct qbd_buffer *data);
	void (*repaired)(void *context, u32 peer, const struct qbd_frame_repaired *repaired);
	void (*refused)(void *context, u32 peer, enum qbd_refusal reason, bool by_us);
	void (*listening)(void *context, int error, const char *text);
	void (*admin)(void *context, u64 connection, const struct qbd_frame_request *request,
		      struct qbd_buffer *data);
};

/**
 * struct qbd_net_identity - who we are to others
 * @name: device name, for the log; copied
 * @uuid: of the device: others must have the same
 * @incarnation: of the member's disk, told to others
 * @history: of the device: others must have the same
 * @secret: of the device: others must know it
 * @member_id: own
 * @configuration: as in the superblock: others must have the same
 * @device_blocks: operations and requests must lie within: the largest size that the
 *	device can have here. Of the size that it has the replica knows
 * @run: drawn when we came up, told to others
 * @listen: where; connections are dialled from its address, too
 */
struct qbd_net_identity {
	const char *name;
	u8 uuid[QBD_UUID_SIZE];
	u8 incarnation[QBD_UUID_SIZE];
	u8 history[QBD_UUID_SIZE];
	u8 secret[QBD_SECRET_SIZE];
	u32 member_id;
	u32 configuration;
	u64 device_blocks;
	u64 run;
	struct qbd_address listen;
};

/* What a member says of itself in each handshake, whoever is on the other side. */
static inline void qbd_net_introduce(const struct qbd_net_identity *identity,
				     struct qbd_frame_hello *hello)
{
	hello->version = cpu_to_le16(QBD_WIRE_VERSION);
	hello->version_min = cpu_to_le16(QBD_WIRE_VERSION);
	hello->from = cpu_to_le32(identity->member_id);
	hello->configuration = cpu_to_le32(identity->configuration);
	hello->run = cpu_to_le64(identity->run);
	memcpy(hello->uuid, identity->uuid, QBD_UUID_SIZE);
	memcpy(hello->incarnation, identity->incarnation, QBD_UUID_SIZE);
	memcpy(hello->history, identity->history, QBD_UUID_SIZE);
}

/**
 * qbd_net_create() - listen, but talk to nobody yet
 * @net: namespace of all sockets; the caller keeps it alive until destroy
 * @identity: copied
 * @pool: received data goes there
 * @ops: see there
 * @context: for @ops
 * @error_text: on failure one line: what, why, what would work
 * @error_text_size: its room
 *
 * Context: process; sleeps. Return: the network or ERR_PTR (-EADDRINUSE,
 * -EADDRNOTAVAIL, ...).
 */
struct qbd_net *qbd_net_create(struct net *net, const struct qbd_net_identity *identity,
			       struct qbd_pool *pool, const struct qbd_net_ops *ops,
			       void *context, char *error_text, size_t error_text_size);
/* Closes everything, waits for its works; no operation is called afterwards.
 * Context: process; sleeps; never waits for a peer.
 */
void qbd_net_destroy(struct qbd_net *net);

/* The members to talk to, this one excluded by itself. Those that are gone are
 * disconnected, and those of which another disk is the member now; changed addresses
 * are dialled anew, but for lists that are past for who is there. Replica context.
 */
void qbd_net_set_members(struct qbd_net *net, const struct qbd_membership_layout *members);
/* How long silence on a control connection may last before it is closed and
 * dialled again (half-open connections, paused hosts), in ms. Members may have
 * different limits: whatever ours is we say something every 250 ms, so none should
 * be below twice that.
 */
void qbd_net_set_silence_limit(struct qbd_net *net, unsigned int milliseconds);

/*
 * What is here now is what the next qbd_net_poll() delivers: whoever reads a clock
 * after this call knows a time at which all of it had arrived. Replica context.
 */
void qbd_net_mark(struct qbd_net *net);
/* Deliver what has arrived; kicks if more came since it was marked. Replica context. */
void qbd_net_poll(struct qbd_net *net);
/* Pages came back to the pool: receivers that waited for some go on. Any context. */
void qbd_net_pages_available(struct qbd_net *net);

/* A consensus message; dropped silently if the peer is not up. */
void qbd_net_send_message(struct qbd_net *net, const struct qbd_core_message *message);
/*
 * On the control connection as well: a leader whose memory is full of what it proposed
 * reads no requests, and perhaps commits only when who asks here is filled. Return: false
 * if it was not taken.
 */
bool qbd_net_send_fill(struct qbd_net *net, u32 peer, const struct qbd_frame_fill *fill);

/**
 * struct qbd_net_frame - one frame for the bulk connection of a peer
 * @type: which; not one of the handshake or the control connection
 * @fixed: fixed part, copied by qbd_net_send()
 * @fixed_bytes: its length
 * @record: for APPEND: the used header bytes and data follow the fixed part; a
 *	reference is taken
 * @buffer: data blocks from pool pages; becomes the network's and is freed
 * @data_blocks: blocks of data
 * @data_checksum: of @buffer, if it is known already
 * @data_checksum_known: it is
 */
struct qbd_net_frame {
	enum qbd_frame_type type;
	const void *fixed;
	unsigned int fixed_bytes;
	struct qbd_record *record;
	struct qbd_buffer *buffer;
	unsigned int data_blocks;
	u32 data_checksum;
	bool data_checksum_known;
};

/**
 * qbd_net_send() - queue a frame on the bulk connection of a peer
 * @net: network
 * @peer: member id
 * @frame: read during the call only, but for what it says it points to
 *
 * Return: 0; -ENOTCONN; -EAGAIN: its queue is over the high mark, a kick follows
 * when it is below the low one; -ENOMEM: a kick follows likewise; -EINVAL: the frame
 * contradicts itself (warns). On failure nothing was taken.
 */
int qbd_net_send(struct qbd_net *net, u32 peer, const struct qbd_net_frame *frame);
/* Several qbd_net_send() in a row go out as one burst: call this after the last. */
void qbd_net_push(struct qbd_net *net, u32 peer);
/*
 * From the next frame on what goes to a peer on the bulk connection is spread over time: so
 * many bytes a second, 0: as fast as it goes. A large frame then leaves gaps for others.
 */
void qbd_net_pace(struct qbd_net *net, u32 peer, unsigned long bytes);

/**
 * qbd_net_answer() - answer a program's request
 * @net: network
 * @connection: number that @admin gave; the connection may be gone
 * @frame: a REPLY; its buffer is the network's in any case
 *
 * A program that cannot be answered for want of memory is disconnected.
 */
void qbd_net_answer(struct qbd_net *net, u64 connection, const struct qbd_net_frame *frame);

/* Close both connections, they are dialled again: the peer sent what it must not. */
void qbd_net_disconnect(struct qbd_net *net, u32 peer, const char *reason);

/* Say, in each handshake from now on, whether this member has nothing yet. */
void qbd_net_set_blank(struct qbd_net *net, bool blank);
/* @peer is up, and said that of itself when it connected. */
bool qbd_net_peer_blank(const struct qbd_net *net, u32 peer);
/* And the highest term that it was in. */
void qbd_net_set_term(struct qbd_net *net, u64 term);
/*
 * Which one did a peer that is up say, in the handshake of this connection? Return: false
 * if it is not up, or said nonsense.
 */
bool qbd_net_peer_term(const struct qbd_net *net, u32 peer, u64 *term);
bool qbd_net_peer_up(const struct qbd_net *net, u32 peer);
/* Listen at @address as well; @listening tells. */
void qbd_net_listen(struct qbd_net *net, const struct qbd_address *address);
/* Have all that dial us done so at the address that the list in force has for us? */
bool qbd_net_moved(const struct qbd_net *net);
/* Listen there and nowhere else any more, also where qbd_net_listen() is still to. */
void qbd_net_listen_only(struct qbd_net *net);
/* Say, in each handshake from now on, whether its disk was made anew and is no part yet. */
void qbd_net_set_new(struct qbd_net *net, bool is_new);
/*
 * And the index of the newest committed list if that names its disk, else 0. Who says in its
 * handshake that a list newer than @committed, the newest one here, names it is let in
 * although the list in force does not. Whom @list, that one, does not name any more is told.
 */
void qbd_net_set_listed(struct qbd_net *net, u64 index, u64 committed,
			const struct qbd_membership_layout *list);
/* And to @peer, what is known of it: see struct qbd_frame_hello. */
void qbd_net_set_known(struct qbd_net *net, u32 peer, u64 run, u64 term, u64 index);
/*
 * All that a peer that is up said of itself, and of us, in that handshake; until the next
 * qbd_net_poll(). NULL if it is not up.
 */
const struct qbd_frame_hello *qbd_net_peer_hello(const struct qbd_net *net, u32 peer);

struct qbd_net_peer_status {
	bool control_up;
	bool bulk_up;
	u64 queued_bytes;		/* bulk frames not given to TCP yet */
	u64 sent_bytes;			/* both connections, since creation */
	u64 received_bytes;
	u64 sent_frames;
	u64 received_frames;
	u64 connects;			/* times that it came up */
	char last_error[64];		/* why it is not up, or "" */
};

void qbd_net_peer_status(const struct qbd_net *net, u32 peer,
			 struct qbd_net_peer_status *status);

#endif
