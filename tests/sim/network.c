// SPDX-License-Identifier: GPL-2.0
/*
 * kmod/net/net.h without sockets: what TCP lets the module see, and no more.
 *
 * A pair of hosts has a connection of two streams, control and bulk. Each keeps the order
 * of what is sent; either may be late, or stand still while a way is cut. A connection
 * ends when one side closes it (the other hears of it, unless the way is cut), when
 * nothing was heard for the silence limit, or when a host lost its power, of which
 * nobody hears until it sends something to whoever was there before. So one side may
 * take a connection for good that the other has forgotten.
 *
 * Frames pass the module's own checks on the way, and bulk data waits for pages as in
 * kmod/net/receive.c. Loss, repetition and another order of messages do not occur on
 * TCP; the core alone is tried against those by kmod/tests/core_simulation.c.
 */
#include "../../kmod/net/frame.h"
#include "../../kmod/net/twice.h"
#include "../../kmod/record/header.h"
#include "sim.h"

#define QUEUE_HIGH	(512u << 10)
#define QUEUE_LOW	(256u << 10)
#define RING_FRAMES	128
#define SIDES		(2 * QBD_MEMBERS_MAX)
#define PAGES_WAIT	(100 * SIM_MS)

enum stream {
	CONTROL,
	BULK,
	STREAMS
};

struct frame {
	struct list_head list;
	enum stream stream;
	u64 connection;
	u64 ready_at;
	struct qbd_frame_header header;
	u8 fixed[QBD_FRAME_FIXED_MAX];
	/* the sender's, while it has power; else @copy */
	struct sim_host *sender;
	struct qbd_record *record;
	struct qbd_buffer *buffer;
	u8 *copy;
};

/* A frame that was received. */
struct arrived {
	struct list_head list;
	u64 number;
	u16 type;
	u8 fixed[sizeof(struct qbd_frame_reset)];
	struct qbd_core_message message;
	struct qbd_record *record;
	struct qbd_buffer *data;
};

/* What is on the way from one host to another, in order. */
struct path {
	struct list_head frames;
	u64 last_ready;
	u64 stalled_until;
	u32 passes;		/* so many frames come, then it stands still; 0: all do */
	u64 then_until;
	u64 event;
};

struct side {
	u32 peer;		/* 0: the slot is free */
	bool removed;
	u64 newcomer;		/* index of the list that names it, of which none is here */
	bool connected;		/* @connection is this side's */
	bool up;		/* and the replica knows */
	u64 connection;
	u64 fresh;		/* takes its place */
	struct sim_host *host;	/* at the other end: the member's, or that of a copy */
	struct sim_host *fresh_host;
	u32 refusal;		/* a handshake failed, and nobody here was told; 0: none did */
	bool refused_by_us;
	u8 incarnation[QBD_UUID_SIZE];	/* by the list in force */
	struct qbd_address address;	/* likewise; zeroes: a newcomer */
	bool elsewhere;		/* by lists that are past; see kmod/net/net.c */
	struct qbd_address at, fresh_at;	/* where it was dialled; zeroes: it dialled */
	u64 known_run, known_term, known_index;
	struct qbd_frame_hello hello, fresh_hello;
	const char *lost;	/* why it is over, NULL: it is not */
	u64 since, heard_at;
	struct qbd_twice_try twice;
	u64 silence_event;
	struct list_head ring[STREAMS];
	u32 ring_count[STREAMS];
	u64 marked;
	bool reset_waits;
	bool wants_pages;
	u64 waits_since;
	u64 queued_bytes;
	bool refused;		/* something: it is to hear when there is room */
};

struct qbd_net {
	struct sim_host *host;
	struct qbd_net_identity identity;
	struct qbd_pool *pool;
	const struct qbd_net_ops *ops;
	void *context;
	bool blank, is_new;
	u64 term, listed, list_index, committed_index;
	struct qbd_membership_layout committed_list;
	u32 removed_by;		/* who says that this one was removed, until it is told */
	bool was_marked;
	bool is_to_listen;
	bool listen_done;
	bool moving;		/* others may still look for it elsewhere */
	struct qbd_address listen_at;
	struct qbd_address listens[2];	/* family 0: free */
	u64 silence;
	/* Those that were removed leave with the next poll. */
	struct side sides[SIDES];
	/* What programs ask: one after the other. */
	struct {
		u64 connection;		/* 0: nothing */
		bool changes;
		struct qbd_membership_layout list;
	} asked[SIM_JOINERS];
};

static struct path paths[SIM_HOSTS_MAX + 1][SIM_HOSTS_MAX + 1][STREAMS];
static bool cuts[SIM_HOSTS_MAX + 1][SIM_HOSTS_MAX + 1];
static u32 only[SIM_HOSTS_MAX + 1];	/* whom a host may connect with; 0: everybody */
static bool dial_waits[SIM_HOSTS_MAX + 1][SIM_HOSTS_MAX + 1];
static u64 unfound_since[SIM_HOSTS_MAX + 1][SIM_HOSTS_MAX + 1];
static u64 connections;
static u64 arrivals;
static struct frame *spare_frames;

static void deliver(void *object, u64 argument);
static void dial_later(u32 a, u32 b, u64 delay);

static struct side *side_of(struct sim_host *host, u32 peer)
{
	struct qbd_net *net = host->network;

	if (!net || !peer)
		return NULL;
	for (u32 i = 0; i < SIDES; i++)
		if (net->sides[i].peer == peer)
			return &net->sides[i];
	return NULL;
}

static struct side *side_here(const struct qbd_net *net, u32 peer)
{
	return side_of(net->host, peer);
}

/* ---- frames ------------------------------------------------------------- */

static struct frame *frame_alloc(void)
{
	struct frame *frame = spare_frames;

	if (frame)
		spare_frames = (struct frame *)frame->list.next;
	else
		frame = malloc(sizeof(*frame));
	if (!frame)
		abort();
	memset(&frame->header, 0, sizeof(frame->header));
	frame->record = NULL;
	frame->buffer = NULL;
	frame->copy = NULL;
	return frame;
}

static u64 frame_bytes(const struct frame *frame)
{
	return sizeof(frame->header) + frame->header.fixed_bytes +
	       ((u64)frame->header.data_blocks << QBD_BLOCK_SHIFT);
}

/* What it held of its sender's goes back there. */
static void frame_let_go(struct frame *frame)
{
	struct sim_host *before = sim_host;

	sim_host = frame->sender;
	qbd_record_put(frame->record);
	qbd_buffer_free(frame->buffer);
	frame->record = NULL;
	frame->buffer = NULL;
	sim_host = before;
}

static void frame_free(struct frame *frame)
{
	frame_let_go(frame);
	free(frame->copy);
	frame->list.next = (struct list_head *)spare_frames;
	spare_frames = frame;
}

static const void *frame_block(const struct frame *frame, u32 block)
{
	if (frame->copy)
		return frame->copy + (size_t)block * QBD_BLOCK_SIZE;
	return page_address(frame->record ? frame->record->pages[block] :
			    frame->buffer->pages[block]);
}

/* It is on the way, whatever becomes of its sender. */
static void frame_detach(struct frame *frame)
{
	u32 blocks = frame->header.data_blocks;
	u8 *copy;

	if (blocks && !frame->copy) {
		copy = malloc((size_t)blocks * QBD_BLOCK_SIZE);
		if (!copy)
			abort();
		for (u32 i = 0; i < blocks; i++)
			memcpy(copy + (size_t)i * QBD_BLOCK_SIZE, frame_block(frame, i),
			       QBD_BLOCK_SIZE);
		frame->copy = copy;
	}
	frame_let_go(frame);
}

static void path_schedule(u32 from, u32 to, enum stream stream, u64 at)
{
	struct path *path = &paths[from][to][stream];

	if (path->event || list_empty(&path->frames))
		return;
	path->event = sim_event(&world.hosts[to], at, deliver, path,
				from << 16 | to << 8 | stream);
}

static void path_first(u32 from, u32 to, enum stream stream)
{
	struct path *path = &paths[from][to][stream];

	if (!list_empty(&path->frames))
		path_schedule(from, to, stream,
			      list_first_entry(&path->frames, struct frame, list)->ready_at);
}

static void path_stop(struct path *path)
{
	if (path->event)
		sim_event_cancel(path->event);
	path->event = 0;
}

/* The sender's queue is shorter: it may hear. */
static void note_sent(struct sim_host *sender, u32 to, u64 connection, u64 bytes)
{
	struct side *side = side_of(sender, sim_member_id(&world.hosts[to]));
	struct sim_host *before = sim_host;

	if (!side || side->connection != connection)
		return;
	side->queued_bytes -= bytes;
	if (!side->refused || side->queued_bytes >= QUEUE_LOW)
		return;
	side->refused = false;
	sim_host = sender;
	sender->network->ops->kick(sender->network->context);
	sim_host = before;
}

static void path_purge(u32 from, u32 to)
{
	struct frame *frame, *next;

	for (u32 stream = 0; stream < STREAMS; stream++) {
		struct path *path = &paths[from][to][stream];

		path_stop(path);
		list_for_each_entry_safe(frame, next, &path->frames, list) {
			list_del(&frame->list);
			frame_free(frame);
		}
	}
}

/* The sender is gone: some of what it sent is on the way already. */
static void path_abandon(u32 from, u32 to)
{
	struct frame *frame, *next;

	for (u32 stream = 0; stream < STREAMS; stream++) {
		struct path *path = &paths[from][to][stream];
		bool lost = sim_chance(400);

		list_for_each_entry_safe(frame, next, &path->frames, list) {
			lost = lost || sim_chance(100);
			if (lost) {
				list_del(&frame->list);
				frame_free(frame);
			} else {
				frame_detach(frame);
			}
		}
		if (list_empty(&path->frames))
			path_stop(path);
	}
}

static void path_send(struct qbd_net *net, struct side *side, struct frame *frame,
		      enum stream stream)
{
	u32 from = net->host->number, to = side->host->number;
	struct path *path = &paths[from][to][stream];
	u64 ready = world.now + sim_spread(world.weather.delay,
					   world.weather.delay_spread);

	frame->stream = stream;
	frame->sender = net->host;
	frame->connection = side->connection;
	frame->ready_at = max(ready, path->last_ready);
	path->last_ready = frame->ready_at;
	list_add_tail(&frame->list, &path->frames);
	side->queued_bytes += frame_bytes(frame);
	path_schedule(from, to, stream, frame->ready_at);
}

/* ---- the end of a connection -------------------------------------------- */

static void arrived_free(struct side *side, struct arrived *arrived)
{
	list_del(&arrived->list);
	qbd_record_put(arrived->record);
	qbd_buffer_free(arrived->data);
	free(arrived);
}

static void ring_purge(struct side *side)
{
	struct arrived *arrived, *next;

	for (u32 stream = 0; stream < STREAMS; stream++) {
		list_for_each_entry_safe(arrived, next, &side->ring[stream], list)
			arrived_free(side, arrived);
		side->ring_count[stream] = 0;
	}
	side->reset_waits = false;
}

static void lose(struct sim_host *host, struct side *side, const char *reason)
{
	struct sim_host *before = sim_host;

	if (!side->connected || side->lost)
		return;
	side->lost = reason;
	sim_host = host;
	host->network->ops->kick(host->network->context);
	sim_host = before;
}

/* The other side has closed, or knows of no such connection. */
static void notice(void *object, u64 argument)
{
	struct sim_host *host = object;
	struct side *side = side_of(host, sim_member_id(&world.hosts[argument >> 48]));

	if (side && side->connected && side->connection == (argument & 0xffffffffffffull))
		lose(host, side, "closed by the other side");
}

static void send_notice(u32 from, u32 to, u64 connection)
{
	u64 delay = sim_spread(world.weather.delay, world.weather.delay_spread);

	if (!cuts[from][to])
		sim_event(&world.hosts[to], world.now + delay, notice, &world.hosts[to],
			  (u64)from << 48 | connection);
}

static void side_close(struct qbd_net *net, struct side *side)
{
	u32 self = net->host->number;

	if (side->silence_event)
		sim_event_cancel(side->silence_event);
	side->silence_event = 0;
	ring_purge(side);
	if (!side->connected)
		return;
	path_abandon(self, side->host->number);
	send_notice(self, side->host->number, side->connection);
	side->connected = false;
	side->elsewhere = false;
	side->lost = NULL;
	side->queued_bytes = 0;
	side->refused = false;
	side->wants_pages = false;
	dial_later(self, side->peer, sim_spread(SIM_MS, 60 * SIM_MS));
}

static void side_disconnect(struct qbd_net *net, struct side *side, const char *reason)
{
	bool was_up = side->up;
	u32 peer = side->peer;

	side->up = false;
	side_close(net, side);
	sim_trace("member %u is gone: %s", peer, reason);
	if (was_up)
		net->ops->peer_down(net->context, peer, reason);
}

/* Do the pings come that the other end sends? */
static bool talks(const struct sim_host *host, const struct side *side)
{
	struct sim_host *peer = side->host;
	const struct side *other = side_of(peer, sim_member_id(host));

	return peer->powered && peer->paused_until <= world.now &&
	       !cuts[peer->number][host->number] && other && other->connected &&
	       other->connection == side->connection;
}

/* Nothing was heard for the limit: not even the pings that there are every 250 ms. */
static void silence(void *object, u64 argument)
{
	struct sim_host *host = object;
	struct side *side = side_of(host, argument);
	u64 limit;

	if (!side || !side->connected)
		return;
	limit = host->network->silence;
	if (talks(host, side))
		side->heard_at = world.now;
	side->silence_event = 0;
	if (world.now - side->heard_at >= limit) {
		lose(host, side, "silent");
		return;
	}
	side->silence_event = sim_event(host, world.now + limit / 2, silence, host, argument);
}

/* ---- the beginning ------------------------------------------------------ */

static struct side *take_side(struct qbd_net *net, u32 peer, const u8 *incarnation,
			      const struct qbd_address *address)
{
	struct side *side = net->sides;

	while (side->peer)
		side++;
	side->peer = peer;
	side->host = &world.hosts[peer];
	side->newcomer = 0;
	side->refusal = 0;
	side->address = address ? *address : (struct qbd_address){ };
	/* Of who had its place before. */
	side->known_run = 0;
	side->known_term = 0;
	side->known_index = 0;
	side->twice.run = 0;
	memcpy(side->incarnation, incarnation, QBD_UUID_SIZE);
	return side;
}

/* What @net says of itself, and of @peer, in a handshake. */
static struct qbd_frame_hello hello_of(const struct qbd_net *net, u32 peer)
{
	const struct side *side = side_here(net, peer);
	struct qbd_frame_hello hello = {
		.kind = cpu_to_le32(QBD_CONNECTION_CONTROL),
		.to = cpu_to_le32(peer),
		.flags = cpu_to_le32((net->blank ? QBD_HELLO_BLANK : 0) |
				     (net->is_new ? QBD_HELLO_NEW : 0)),
		.term = cpu_to_le64(net->term),
		.listed = cpu_to_le64(net->listed),
		.known_run = cpu_to_le64(side ? side->known_run : 0),
		.known_term = cpu_to_le64(side ? side->known_term : 0),
		.known_index = cpu_to_le64(side ? side->known_index : 0),
	};

	qbd_net_introduce(&net->identity, &hello);
	return hello;
}

/* Of the list in force, or of one that is still to come; then there is a slot from now on. */
static bool admits(struct qbd_net *net, const struct qbd_frame_hello *hello)
{
	u32 peer = le32_to_cpu(hello->from);
	struct side *side = side_here(net, peer);

	if (side)
		return !side->removed;
	if (!qbd_frame_newcomer_check(hello, net->identity.member_id, net->committed_index))
		return false;
	side = take_side(net, peer, hello->incarnation, NULL);
	side->newcomer = le64_to_cpu(hello->listed);
	sim_counts.newcomers++;
	sim_trace("host %u is let in by host %u, whose lists do not name it", peer,
		  net->host->number);
	return true;
}

/* Does @net take what says @hello for the member? */
static bool takes(const struct qbd_net *net, struct qbd_frame_hello hello)
{
	const struct side *side = side_here(net, le32_to_cpu(hello.from));

	return qbd_frame_disk_check(&hello, side->incarnation, net->list_index);
}

static void offer(struct sim_host *host, u32 peer, u64 connection,
		  const struct qbd_net *said, const struct qbd_address *at)
{
	struct side *side = side_of(host, peer);
	struct sim_host *before = sim_host;

	side->fresh = connection;
	side->fresh_at = *at;
	side->fresh_host = said->host;
	side->fresh_hello = hello_of(said, sim_member_id(host));
	sim_host = host;
	host->network->ops->kick(host->network->context);
	sim_host = before;
}

static bool reach(const struct sim_host *one, const struct sim_host *other)
{
	u32 a = one->number, b = other->number;

	if ((only[a] && only[a] != b) || (only[b] && only[b] != a))
		return false;
	return one->network && one->powered && other->network && other->powered &&
	       one->paused_until <= world.now && other->paused_until <= world.now &&
	       !cuts[a][b] && !cuts[b][a];
}

static void note_refusal(struct sim_host *host, u32 peer, enum qbd_refusal reason, bool by_us)
{
	struct side *side = side_of(host, peer);
	struct sim_host *before = sim_host;

	/* Of who is no member by the list here the module remembers nothing. */
	if (!side)
		return;
	side->refusal = reason;
	side->refused_by_us = by_us;
	sim_host = host;
	host->network->ops->kick(host->network->context);
	sim_host = before;
}

static void refuse(struct sim_host *dialler, struct sim_host *listener,
		   enum qbd_refusal reason)
{
	if (reason != QBD_REFUSED_PERHAPS)
		note_refusal(listener, sim_member_id(dialler), reason, true);
	note_refusal(dialler, listener->number, reason, false);
}

/*
 * HELLO, and the answer to it: before anything is looked at that depends on who has whom for
 * a member.
 */
static bool greet(struct sim_host *dialler, struct sim_host *listener)
{
	u32 from = sim_member_id(dialler);
	struct qbd_frame_hello said = hello_of(dialler->network, listener->number);
	struct qbd_frame_hello answer = hello_of(listener->network, from);
	enum qbd_refusal reason = qbd_frame_hello_check(&said, &answer, 0);

	if (reason) {
		refuse(dialler, listener, reason);
		sim_recover_refused(dialler, listener, reason);
		return false;
	}
	reason = qbd_frame_hello_check(&answer, &said, listener->number);
	if (reason)
		sim_fail("host %u takes the hello of host %u, which refuses its answer: %s",
			 listener->number, dialler->number, qbd_refusal_text(reason));
	return !reason;
}

static bool same(const struct qbd_address *a, const struct qbd_address *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static bool listens(const struct qbd_net *net, const struct qbd_address *address)
{
	return same(&net->listens[0], address) || same(&net->listens[1], address);
}

/*
 * Does the dialler find the listener where it looks for it? Else that one knocks after a
 * while, if it finds the dialler. @at is where it was found, zeroes if it knocked.
 */
static bool found(struct sim_host *dialler, struct sim_host *listener, struct qbd_address *at)
{
	const struct side *side = side_of(dialler, listener->number);
	const struct side *other = side_of(listener, dialler->number);
	u64 *since = &unfound_since[dialler->number][listener->number];

	memset(at, 0, sizeof(*at));
	if (!world.moves)
		return true;
	if (listens(listener->network, &side->address)) {
		*since = 0;
		*at = side->address;
		return true;
	}
	if (!*since)
		*since = world.now;
	if (world.now - *since < 5 * SIM_S || !other || !other->address.family ||
	    !listens(dialler->network, &other->address))
		return false;
	sim_counts.knocks++;
	*since = 0;
	return true;
}

/* Who was away when it was removed dials a member, and is told. */
static bool tell_removed(struct sim_host *member, struct sim_host *host)
{
	struct sim_host *before = sim_host;

	if (!qbd_membership_removed(&member->network->committed_list, host->number))
		return false;
	sim_counts.told += !host->network->removed_by;
	host->network->removed_by = member->number;
	sim_host = host;
	host->network->ops->kick(host->network->context);
	sim_host = before;
	return true;
}

/* ---- copies of a disk --------------------------------------------------- */

/* When it was heard last by that side, with pings since it is connected. */
static u64 last_heard(const struct sim_host *host, const struct side *side)
{
	u64 past = (world.now - side->since) % (QBD_PING_MS * SIM_MS);

	return talks(host, side) ? max(side->heard_at, world.now - past) : side->heard_at;
}

/* Is the member here that dials, in another run than @said, and is it alive? */
static enum qbd_twice is_twice(struct sim_host *host, struct side *side,
			       const struct qbd_frame_hello *said)
{
	struct sim_host *before = sim_host;
	enum qbd_twice twice;
	u64 heard;

	if (!side || !side->up || !side->connected || side->lost)
		return QBD_TWICE_NOT;
	sim_host = host;
	heard = sim_host_time(host) - (world.now - last_heard(host, side));
	twice = qbd_twice_check(&side->twice, le64_to_cpu(said->run),
				le64_to_cpu(side->hello.run), heard / (NSEC_PER_SEC / HZ));
	sim_host = before;
	return twice;
}

/* One who comes up anew may have to wait until it is known that it was away. */
static bool is_once(struct sim_host *dialler, struct sim_host *listener, struct side *side,
		    const struct qbd_frame_hello *said)
{
	enum qbd_twice twice;

	if (!world.copies)
		return true;
	twice = is_twice(listener, side, said);
	if (twice != QBD_TWICE_NOT)
		refuse(dialler, listener, twice == QBD_TWICE_SURE ? QBD_REFUSED_TWICE :
								    QBD_REFUSED_PERHAPS);
	return twice == QBD_TWICE_NOT;
}

/* Less than what makes it dead for others. */
#define HEARD_WITHIN	(700 * SIM_MS)

/* @side is of @host. */
static bool hears_original(const struct sim_host *copy, const struct sim_host *host,
			   const struct side *side)
{
	return side->host == &world.hosts[copy->copy_of] && side->up && side->connected &&
	       !side->lost && world.now - last_heard(host, side) < HEARD_WITHIN;
}

/*
 * The promise is about members that reach both: that hear the original. Who does not, for that
 * is cut off, or has not come by yet, the copy does not reach either, unless it was told by
 * another one. (Of two new disks for one member a leader has the one named that it meets.)
 */
static bool may_come(const struct sim_host *copy, const struct sim_host *host,
		     const struct side *side)
{
	const struct qbd_replica *replica = sim_replica(copy);

	return reach(copy, host) && side && !side->removed &&
	       (hears_original(copy, host, side) ||
		(replica && sim_clones_withheld(host) && !replica->is_new && !world.healing));
}

static void let_in(struct sim_host *copy, struct sim_host *host, struct side *side)
{
	if (hears_original(copy, host, side))
		sim_fail("host %u takes a copy of the disk of host %u for that member, which it heard %llu ms ago",
			 host->number, side->peer,
			 (world.now - last_heard(host, side)) / SIM_MS);
	connections++;
	sim_clones_let_in(host);
	offer(copy, host->number, connections, host->network, &(struct qbd_address){ });
	offer(host, side->peer, connections, copy->network, &(struct qbd_address){ });
}

/*
 * What the copy of a member's disk is told that dials, or knocks, where others dial the
 * original. Return: 0 if it is let in.
 */
static enum qbd_refusal judge_copy(struct sim_host *copy, struct sim_host *host,
				   struct side *side)
{
	struct qbd_frame_hello said = hello_of(copy->network, host->number);
	/* Who knocks is let in where the member is not. */
	bool knocks = host->number > copy->copy_of && side->up;

	if (!knocks && !takes(host->network, said))
		return QBD_REFUSED_DISK;
	switch (is_twice(host, side, &said)) {
	case QBD_TWICE_NOT:
		if (knocks)
			return QBD_REFUSED_MEMBER;
		let_in(copy, host, side);
		return 0;
	case QBD_TWICE_PERHAPS:
		return QBD_REFUSED_PERHAPS;
	default:
		return QBD_REFUSED_TWICE;
	}
}

/* Those whom it is for to dial it never do: there it knocks, and again when it shall. */
static u64 patience_of_copy(const struct sim_host *copy, u32 peer, enum qbd_refusal reason)
{
	if (peer > copy->copy_of)
		return reason == QBD_REFUSED_PERHAPS ? SIM_S : sim_spread(5 * SIM_S, SIM_S);
	return sim_spread(10 * SIM_MS, SIM_S);
}

static void dial_of_copy(struct sim_host *copy, struct sim_host *host)
{
	struct side *own = side_of(copy, host->number);
	struct side *side = side_of(host, copy->copy_of);
	enum qbd_refusal reason = 0;

	if (!own || own->removed || (own->connected && !own->lost) || own->fresh)
		return;
	if (may_come(copy, host, side) && greet(copy, host)) {
		reason = judge_copy(copy, host, side);
		if (reason)
			refuse(copy, host, reason);
		if (reason || !own->fresh)
			sim_clones_judged(host, reason);
	}
	dial_later(copy->number, host->number, patience_of_copy(copy, host->number, reason));
}

/* The one with the higher id dials, while it has no connection. */
static void dial(void *object, u64 argument)
{
	struct sim_host *dialler = &world.hosts[argument >> 8];
	struct sim_host *listener = &world.hosts[argument & 0xff];
	u32 a = dialler->number, b = listener->number;
	struct side *side = side_of(dialler, b), *other = side_of(listener, a);
	struct qbd_frame_hello said;
	struct qbd_address at;
	bool reached;

	dial_waits[a][b] = false;
	if (dialler->copy_of) {
		dial_of_copy(dialler, listener);
		return;
	}
	/* Whom nobody dials knocks. */
	if (!side && other && !other->removed &&
	    !(reach(dialler, listener) && greet(listener, dialler) &&
	      tell_removed(dialler, listener))) {
		dial_later(a, b, sim_spread(4ull * SIM_S, 2ull * SIM_S));
		return;
	}
	if (!side || side->removed || (side->connected && !side->lost) || side->fresh)
		return;
	reached = reach(dialler, listener) && greet(dialler, listener);
	if (!other && reached && tell_removed(listener, dialler))
		return;
	said = hello_of(dialler->network, b);
	reached = reached && found(dialler, listener, &at) && admits(listener->network, &said) &&
		  takes(listener->network, said) &&
		  takes(dialler->network, hello_of(listener->network, a)) &&
		  is_once(dialler, listener, other, &said);
	if (!reached) {
		dial_later(a, b, sim_spread(10 * SIM_MS, 200 * SIM_MS));
		return;
	}
	connections++;
	offer(dialler, b, connections, listener->network, &(struct qbd_address){ });
	offer(listener, a, connections, dialler->network, &at);
}

static void dial_later(u32 a, u32 b, u64 delay)
{
	u32 dialler = max(a, b), listener = min(a, b);

	if (dial_waits[dialler][listener] || dialler == listener)
		return;
	dial_waits[dialler][listener] = true;
	sim_event(NULL, world.now + delay, dial, NULL, dialler << 8 | listener);
}

static void side_join(struct qbd_net *net, struct side *side)
{
	u64 connection = side->fresh;

	side->fresh = 0;
	if (side->connected)
		side_disconnect(net, side, "it connected anew");
	side->connected = true;
	side->connection = connection;
	side->host = side->fresh_host;
	side->hello = side->fresh_hello;
	side->at = side->fresh_at;
	side->lost = NULL;
	side->since = world.now;
	side->heard_at = world.now;
	side->queued_bytes = 0;
	side->up = true;
	side->silence_event = sim_event(net->host, world.now + net->silence / 2, silence,
					net->host, side->peer);
	for (u32 stream = 0; stream < STREAMS; stream++)
		path_first(side->host->number, net->host->number, stream);
	sim_recover_connected(net->host, side->host);
	net->ops->peer_up(net->context, side->peer);
	sim_rollbacks_met(net->host, side->peer, le64_to_cpu(side->hello.known_index));
}

/* ---- receiving ---------------------------------------------------------- */

static bool frame_good(struct qbd_net *net, struct frame *frame, const char **reason)
{
	enum qbd_frame_phase phase = frame->stream == BULK ? QBD_PHASE_BULK :
							    QBD_PHASE_CONTROL;
	const struct qbd_frame_append *append = (const void *)frame->fixed;

	return qbd_frame_header_check(&frame->header, phase, 0, reason) &&
	       qbd_frame_fixed_check(&frame->header, phase, frame->fixed,
				     net->identity.device_blocks, reason) &&
	       (frame->header.type != QBD_FRAME_APPEND ||
		!qbd_record_header_check((const void *)(append + 1),
					 frame->header.fixed_bytes - sizeof(*append),
					 net->identity.uuid, net->identity.device_blocks,
					 reason));
}

static bool claim_record(struct qbd_net *net, struct frame *frame, struct arrived *arrived)
{
	const u8 *header = frame->fixed + sizeof(struct qbd_frame_append);
	const struct qbd_record_shared *shared = (const void *)header;
	u32 operations = le16_to_cpu(shared->operation_count);
	struct qbd_record *record;

	record = qbd_record_alloc(net->pool, QBD_POOL_APPEND, operations,
				  frame->header.data_blocks, true);
	if (!record)
		return false;
	memcpy(record->header, header, qbd_record_header_bytes(operations));
	memset(&record->header->local, 0, sizeof(record->header->local));
	qbd_record_adopt(record);
	arrived->record = record;
	return true;
}

static bool claim(struct qbd_net *net, struct frame *frame, struct arrived *arrived)
{
	enum qbd_pool_class class =
		frame->header.type == QBD_FRAME_REQUEST ||
		frame->header.type == QBD_FRAME_REPAIR ? QBD_POOL_WRITE :
		frame->header.type == QBD_FRAME_EXTENT ||
		frame->header.type == QBD_FRAME_VERIFIED ? QBD_POOL_APPEND :
		QBD_POOL_FORWARD;

	if (frame->header.type == QBD_FRAME_APPEND)
		return claim_record(net, frame, arrived);
	if (!frame->header.data_blocks)
		return true;
	arrived->data = qbd_buffer_alloc(net->pool, class, frame->header.data_blocks);
	return arrived->data;
}

static bool take_data(struct frame *frame, struct arrived *arrived)
{
	struct page **to = arrived->record ? arrived->record->pages :
			   arrived->data ? arrived->data->pages : NULL;
	struct qbd_frame_request *request = (void *)arrived->fixed;
	u32 crc = ~0u;

	for (u32 i = 0; i < frame->header.data_blocks; i++) {
		const void *block = frame_block(frame, i);

		if (to)
			memcpy(page_address(to[i]), block, QBD_BLOCK_SIZE);
		if (!arrived->record)
			crc = crc32c(crc, block, QBD_BLOCK_SIZE);
	}
	if (arrived->record) {
		arrived->record->verified = true;
		return !qbd_record_data_check(arrived->record);
	}
	if (frame->header.type == QBD_FRAME_REQUEST)
		request->data_checksum = frame->header.data_checksum;
	return !frame->header.data_blocks || crc == frame->header.data_checksum;
}

/* Return: when to try again, 0: it was taken. */
static u64 receive(struct qbd_net *net, struct side *side, struct frame *frame)
{
	bool brief = frame->header.type != QBD_FRAME_APPEND;
	struct arrived *arrived;
	const char *reason = "";

	if (side->ring_count[frame->stream] >= RING_FRAMES ||
	    (frame->stream == BULK && side->reset_waits))
		return world.now + 100 * SIM_US;
	if (!frame_good(net, frame, &reason)) {
		sim_fail("host %u refuses a frame of type %u of host %u: %s",
			 net->host->number, frame->header.type, side->peer, reason);
		return 0;
	}
	arrived = calloc(1, sizeof(*arrived));
	if (!arrived)
		abort();
	if (!claim(net, frame, arrived)) {
		if (!side->wants_pages)
			side->waits_since = world.now;
		side->wants_pages = true;
		if (!brief || world.now - side->waits_since < PAGES_WAIT) {
			free(arrived);
			return world.now + 10 * SIM_MS;
		}
	}
	if (frame->stream == BULK)
		side->wants_pages = false;
	arrived->type = frame->header.type;
	if (arrived->type == QBD_FRAME_MESSAGE)
		qbd_frame_message_decode(&arrived->message, (const void *)frame->fixed);
	else
		memcpy(arrived->fixed, frame->fixed,
		       min((size_t)frame->header.fixed_bytes, sizeof(arrived->fixed)));
	if (!take_data(frame, arrived))
		sim_fail("data of a frame of type %u from host %u changed on the way",
			 frame->header.type, side->peer);
	arrived->number = ++arrivals;
	side->reset_waits |= arrived->type == QBD_FRAME_RESET;
	list_add_tail(&arrived->list, &side->ring[frame->stream]);
	side->ring_count[frame->stream]++;
	side->heard_at = world.now;
	net->ops->kick(net->context);
	return 0;
}

static void deliver(void *object, u64 argument)
{
	u32 from = argument >> 16, to = argument >> 8 & 255, stream = argument & 255;
	struct path *path = object;
	struct sim_host *host = &world.hosts[to];
	struct side *side = side_of(host, sim_member_id(&world.hosts[from]));
	struct frame *frame = list_first_entry_or_null(&path->frames, struct frame, list);
	u64 again = 0;

	path->event = 0;
	if (!frame)
		return;
	if (frame->ready_at > world.now) {
		path_first(from, to, stream);
		return;
	}
	if (path->stalled_until > world.now && !cuts[from][to])
		again = path->stalled_until;
	else if (cuts[from][to] || !host->powered)
		again = world.now + sim_spread(10 * SIM_MS, 100 * SIM_MS);
	else if (side && side->fresh == frame->connection)
		return;			/* goes on when the replica knows of it */
	else if (side && side->connected && !side->lost &&
		 side->connection == frame->connection)
		again = receive(host->network, side, frame);
	else
		send_notice(to, from, frame->connection);
	if (again) {
		path_schedule(from, to, stream, again);
		return;
	}
	list_del(&frame->list);
	note_sent(frame->sender, to, frame->connection, frame_bytes(frame));
	frame_free(frame);
	if (path->passes && !--path->passes)
		path->stalled_until = path->then_until;
	path_first(from, to, stream);
}

bool sim_network_brings(void (*run)(void *object, u64 argument))
{
	return run == deliver;
}

/* ---- what the replica calls --------------------------------------------- */

struct qbd_net *qbd_net_create(struct net *namespace,
			       const struct qbd_net_identity *identity,
			       struct qbd_pool *pool, const struct qbd_net_ops *ops,
			       void *context, char *error_text, size_t error_text_size)
{
	struct qbd_net *net = kzalloc(sizeof(*net), GFP_KERNEL);

	if (!net)
		return ERR_PTR(-ENOMEM);
	net->host = sim_host;
	net->identity = *identity;
	net->pool = pool;
	net->ops = ops;
	net->context = context;
	net->silence = SIM_S;
	net->listens[0] = identity->listen;
	for (u32 i = 0; i < SIDES; i++)
		for (u32 stream = 0; stream < STREAMS; stream++)
			INIT_LIST_HEAD(&net->sides[i].ring[stream]);
	sim_host->network = net;
	return net;
}

void qbd_net_destroy(struct qbd_net *net)
{
	for (u32 i = 0; i < SIDES; i++) {
		struct side *side = &net->sides[i];

		if (!side->peer)
			continue;
		side->up = false;
		side_close(net, side);
		path_abandon(net->host->number, side->host->number);
	}
	net->host->network = NULL;
	kfree(net);
}

/* A pair that it dials itself it dials anew, where the member is now; not for what is past. */
static void keep_side(struct qbd_net *net, struct side *side, const struct qbd_address *address)
{
	if (!side->elsewhere && same(&side->address, address))
		return;
	side->address = *address;
	if (side->peer > net->identity.member_id)
		return;
	side->elsewhere = side->up && qbd_frame_list_is_past(&side->hello, net->list_index);
	if (side->elsewhere)
		return;
	lose(net->host, side, "the member's address changed");
	dial_later(net->identity.member_id, side->peer, sim_spread(SIM_MS, 20 * SIM_MS));
}

/* It dials from there, too. */
static void move_self(struct qbd_net *net, const struct qbd_member_layout *self)
{
	if (!self || same(&self->address, &net->identity.listen))
		return;
	net->identity.listen = self->address;
	net->moving = true;
	qbd_net_listen(net, &self->address);
	for (u32 i = 0; i < SIDES; i++)
		if (net->sides[i].peer && net->sides[i].peer < net->identity.member_id)
			lose(net->host, &net->sides[i], "our address changed");
}

void qbd_net_set_members(struct qbd_net *net, const struct qbd_membership_layout *members)
{
	u32 count = le32_to_cpu(members->count);

	if (world.moves)
		move_self(net, qbd_membership_find(members, net->identity.member_id));
	for (u32 i = 0; i < SIDES; i++) {
		struct side *side = &net->sides[i];
		bool found = false;

		for (u32 k = 0; side->peer && k < count; k++)
			found |= le32_to_cpu(members->members[k].id) == side->peer;
		side->removed = side->peer && !side->newcomer && !found;
	}
	net->list_index = le64_to_cpu(members->index);
	for (u32 k = 0; k < count; k++) {
		u32 id = le32_to_cpu(members->members[k].id);
		struct side *side;

		if (id == net->identity.member_id)
			continue;
		side = side_here(net, id);
		if (side) {
			side->newcomer = 0;
			memcpy(side->incarnation, members->members[k].incarnation,
			       QBD_UUID_SIZE);
			if (side->up && !takes(net, side->hello))
				lose(net->host, side, "another disk");
			if (world.moves)
				keep_side(net, side, &members->members[k].address);
			continue;
		}
		take_side(net, id, members->members[k].incarnation,
			  &members->members[k].address);
		dial_later(id, net->host->number, net->host->copy_of ?
			   patience_of_copy(net->host, id, 0) : sim_spread(SIM_MS, 20 * SIM_MS));
	}
}

void qbd_net_set_silence_limit(struct qbd_net *net, unsigned int milliseconds)
{
	net->silence = milliseconds * SIM_MS;
}

void qbd_net_mark(struct qbd_net *net)
{
	net->was_marked = true;
	for (u32 i = 0; i < SIDES; i++)
		net->sides[i].marked = arrivals;
}

static void hand_over(struct qbd_net *net, struct side *side, enum stream stream,
		      struct arrived *arrived)
{
	const struct qbd_net_ops *ops = net->ops;
	void *context = net->context;
	u32 peer = side->peer;

	list_del(&arrived->list);
	side->ring_count[stream]--;
	switch (arrived->type) {
	case QBD_FRAME_MESSAGE:
		sim_heard_answer(net->host, peer, &arrived->message);
		ops->message(context, peer, &arrived->message);
		break;
	case QBD_FRAME_APPEND:
		ops->append(context, peer, (void *)arrived->fixed, arrived->record);
		break;
	case QBD_FRAME_REQUEST:
		ops->request(context, peer, (void *)arrived->fixed, arrived->data);
		break;
	case QBD_FRAME_REPLY:
		ops->reply(context, peer, (void *)arrived->fixed, arrived->data);
		break;
	case QBD_FRAME_RESET:
		ops->reset(context, peer, (void *)arrived->fixed);
		side->reset_waits = false;
		break;
	case QBD_FRAME_FILL:
		ops->fill(context, peer, (void *)arrived->fixed);
		break;
	case QBD_FRAME_EXTENT:
		ops->extent(context, peer, (void *)arrived->fixed, arrived->data);
		break;
	case QBD_FRAME_FILL_END:
		ops->fill_end(context, peer, (void *)arrived->fixed);
		break;
	case QBD_FRAME_VERIFY:
		ops->verify(context, peer, (void *)arrived->fixed);
		break;
	case QBD_FRAME_VERIFIED:
		ops->verified(context, peer, (void *)arrived->fixed, arrived->data);
		break;
	case QBD_FRAME_REPAIR:
		ops->repair(context, peer, (void *)arrived->fixed, arrived->data);
		break;
	case QBD_FRAME_REPAIRED:
		ops->repaired(context, peer, (void *)arrived->fixed);
		break;
	default:
		sim_fail("a frame of type %u", arrived->type);
	}
	free(arrived);
}

/* Before anything else is: as kmod/net/net.c does. */
static void tell_refusal(struct qbd_net *net, struct side *side)
{
	u32 refusal = side->refusal;

	side->refusal = 0;
	if (!refusal || side->removed)
		return;
	net->ops->refused(net->context, side->peer, refusal, side->refused_by_us);
	if (net->host->copy_of && !side->refused_by_us)
		sim_clones_told(side->peer, refusal);
}

static void side_poll(struct qbd_net *net, struct side *side)
{
	u64 connection;
	u32 peer;

	if (side->fresh && !side->removed)
		side_join(net, side);
	if (side->connected && (side->lost || side->removed))
		side_disconnect(net, side, side->removed ? "no longer a member" : side->lost);
	if (side->removed) {
		side->peer = 0;
		side->newcomer = 0;
		side->removed = false;
		side->fresh = 0;
		return;
	}
	connection = side->connection;
	peer = side->peer;
	for (u32 stream = 0; stream < STREAMS; stream++) {
		while (side->up && side->peer == peer && side->connection == connection &&
		       !side->lost && !list_empty(&side->ring[stream])) {
			struct arrived *first = list_first_entry(&side->ring[stream],
								 struct arrived, list);

			if (first->number > side->marked) {
				net->ops->kick(net->context);
				break;
			}
			hand_over(net, side, stream, first);
		}
	}
}

/* ---- programs ----------------------------------------------------------- */

bool sim_network_ask(struct sim_host *host, u64 connection,
		     const struct qbd_membership_layout *list)
{
	struct qbd_net *net = host->network;
	struct sim_host *before = sim_host;

	for (u32 i = 0; net && i < ARRAY_SIZE(net->asked); i++) {
		if (net->asked[i].connection)
			continue;
		net->asked[i].connection = connection;
		net->asked[i].changes = list;
		if (list)
			net->asked[i].list = *list;
		sim_host = host;
		net->ops->kick(net->context);
		sim_host = before;
		return true;
	}
	return false;
}

static void hand_over_asked(struct qbd_net *net, u32 number)
{
	struct qbd_frame_request request = {
		.kind = cpu_to_le32(net->asked[number].changes ? QBD_REQUEST_CHANGE :
								 QBD_REQUEST_DESCRIBE),
		.count = cpu_to_le32(net->asked[number].changes),
	};
	u64 connection = net->asked[number].connection;
	struct qbd_buffer *data = NULL;

	net->asked[number].connection = 0;
	if (net->asked[number].changes)
		data = qbd_buffer_alloc(net->pool, QBD_POOL_FORWARD, 1);
	if (data) {
		memset(page_address(data->pages[0]), 0, QBD_BLOCK_SIZE);
		memcpy(page_address(data->pages[0]), &net->asked[number].list,
		       sizeof(net->asked[number].list));
	}
	net->ops->admin(net->context, connection, &request, data);
}

void qbd_net_answer(struct qbd_net *net, u64 connection, const struct qbd_net_frame *frame)
{
	sim_join_answer(connection, frame->fixed,
			frame->buffer ? page_address(frame->buffer->pages[0]) : NULL);
	qbd_buffer_free(frame->buffer);
}

/* Return: -errno: as many as may be are there, or the host does not have that address. */
static int listen_at(struct qbd_net *net, const struct qbd_address *address)
{
	if (listens(net, address))
		return 0;
	for (u32 i = 0; i < ARRAY_SIZE(net->listens); i++) {
		if (net->listens[i].family)
			continue;
		if (!sim_addresses_has(net->host->number, address))
			return -EADDRNOTAVAIL;
		net->listens[i] = *address;
		return 0;
	}
	return -EBUSY;
}

static void tell_listening(struct qbd_net *net)
{
	int error = listen_at(net, &net->listen_at);

	net->listen_done = false;
	net->ops->listening(net->context, error, error ? "it cannot listen there" : "");
}

/* Somebody may want another one by then: this is the answer to that. */
static void listen_work(void *object, u64 argument)
{
	struct sim_host *host = object;

	if (!host->network || !host->network->is_to_listen)
		return;
	host->network->is_to_listen = false;
	host->network->listen_done = true;
	host->network->ops->kick(host->network->context);
}

void qbd_net_poll(struct qbd_net *net)
{
	if (!net->was_marked)
		qbd_net_mark(net);
	net->was_marked = false;
	if (net->listen_done)
		tell_listening(net);
	if (net->is_to_listen && !world.moves) {
		net->is_to_listen = false;
		net->ops->listening(net->context, -EADDRNOTAVAIL,
				    "this host does not have that address");
	}
	if (net->removed_by)
		net->ops->refused(net->context, net->removed_by, QBD_REFUSED_REMOVED, false);
	net->removed_by = 0;
	for (u32 i = 0; i < SIDES; i++) {
		struct side *side = &net->sides[i];

		if (side->newcomer && side->newcomer <= net->committed_index)
			side->removed = true;
		if (side->peer)
			tell_refusal(net, side);
	}
	for (u32 i = 0; i < SIDES; i++)
		if (net->sides[i].peer)
			side_poll(net, &net->sides[i]);
	for (u32 i = 0; i < ARRAY_SIZE(net->asked); i++)
		if (net->asked[i].connection)
			hand_over_asked(net, i);
}

void qbd_net_pages_available(struct qbd_net *net)
{
	for (u32 i = 0; i < SIDES; i++) {
		struct side *side = &net->sides[i];
		u32 self = net->host->number;

		if (!side->peer || !side->wants_pages)
			continue;
		path_stop(&paths[side->host->number][self][BULK]);
		path_schedule(side->host->number, self, BULK, world.now + 1);
	}
}

static void fill_frame(struct frame *frame, u16 type, const void *fixed, u32 fixed_bytes,
		       u32 blocks, u32 data_checksum)
{
	if (fixed)
		memcpy(frame->fixed, fixed, fixed_bytes);
	qbd_frame_seal(&frame->header, type, fixed_bytes, blocks, 0,
		       crc32c(~0u, frame->fixed, fixed_bytes), data_checksum);
}

static bool send_control(struct qbd_net *net, u32 peer, u16 type, const void *fixed,
			 u32 bytes)
{
	struct side *side = side_here(net, peer);
	struct frame *frame;

	if (!side || !side->up || side->lost || side->removed)
		return false;
	frame = frame_alloc();
	fill_frame(frame, type, fixed, bytes, 0, 0);
	path_send(net, side, frame, CONTROL);
	return true;
}

void qbd_net_send_message(struct qbd_net *net, const struct qbd_core_message *message)
{
	struct qbd_frame_message fixed;

	qbd_frame_message_encode(&fixed, message);
	if (send_control(net, message->to, QBD_FRAME_MESSAGE, &fixed, sizeof(fixed)))
		sim_invariants_message(net->host, message);
}

bool qbd_net_send_fill(struct qbd_net *net, u32 peer, const struct qbd_frame_fill *fill)
{
	return send_control(net, peer, QBD_FRAME_FILL, fill, sizeof(*fill));
}

static void kick_again(void *object, u64 argument)
{
	struct sim_host *host = object;

	if (host->network)
		host->network->ops->kick(host->network->context);
}

static u32 buffer_checksum(const struct qbd_net_frame *from)
{
	u32 crc = ~0u;

	if (from->data_checksum_known)
		return from->data_checksum;
	for (u32 i = 0; i < from->data_blocks; i++)
		crc = crc32c(crc, page_address(from->buffer->pages[i]), QBD_BLOCK_SIZE);
	return crc;
}

int qbd_net_send(struct qbd_net *net, u32 peer, const struct qbd_net_frame *from)
{
	struct side *side = side_here(net, peer);
	u32 bytes = from->fixed_bytes;
	struct frame *frame;

	if (!side || !side->up || side->lost || side->removed)
		return -ENOTCONN;
	if (side->queued_bytes >= QUEUE_HIGH) {
		side->refused = true;
		return -EAGAIN;
	}
	if (sim_chance(world.weather.refuse_memory)) {
		sim_event(net->host, world.now + 200 * SIM_US, kick_again, net->host, 0);
		return -ENOMEM;
	}
	frame = frame_alloc();
	memcpy(frame->fixed, from->fixed, bytes);
	if (from->record) {
		u32 header = qbd_record_header_bytes(from->record->operation_count);

		memcpy(frame->fixed + bytes, from->record->header, header);
		bytes += header;
		frame->record = qbd_record_get(from->record);
	}
	frame->buffer = from->buffer;
	fill_frame(frame, from->type, NULL, bytes, from->data_blocks,
		   from->buffer && from->data_blocks ? buffer_checksum(from) : 0);
	path_send(net, side, frame, BULK);
	return 0;
}

void qbd_net_push(struct qbd_net *net, u32 peer)
{
}

void qbd_net_pace(struct qbd_net *net, u32 peer, unsigned long bytes)
{
}

void qbd_net_disconnect(struct qbd_net *net, u32 peer, const char *reason)
{
	struct side *side = side_here(net, peer);

	sim_trace("cuts member %u off: %s", peer, reason);
	if (!strcmp(reason, "a write that is in the log already"))
		sim_fail("host %u is sent %s", net->host->number, reason);
	if (side)
		lose(net->host, side, reason);
}

void qbd_net_set_blank(struct qbd_net *net, bool blank)
{
	net->blank = blank;
}

bool qbd_net_peer_blank(const struct qbd_net *net, u32 peer)
{
	const struct side *side = side_here(net, peer);

	return side && side->up && !side->removed &&
	       le32_to_cpu(side->hello.flags) & QBD_HELLO_BLANK;
}

void qbd_net_set_term(struct qbd_net *net, u64 term)
{
	net->term = term;
}

bool qbd_net_peer_term(const struct qbd_net *net, u32 peer, u64 *term)
{
	const struct side *side = side_here((struct qbd_net *)net, peer);

	if (!side || !side->up || side->removed)
		return false;
	*term = le64_to_cpu(side->hello.term);
	return true;
}

void qbd_net_set_new(struct qbd_net *net, bool is_new)
{
	net->is_new = is_new;
}

void qbd_net_set_listed(struct qbd_net *net, u64 index, u64 committed,
			const struct qbd_membership_layout *list)
{
	net->listed = index;
	net->committed_index = committed;
	net->committed_list = *list;
}

void qbd_net_set_known(struct qbd_net *net, u32 peer, u64 run, u64 term, u64 index)
{
	struct side *side = side_here(net, peer);

	if (!side)
		return;
	side->known_run = run;
	side->known_term = term;
	side->known_index = index;
}

const struct qbd_frame_hello *qbd_net_peer_hello(const struct qbd_net *net, u32 peer)
{
	const struct side *side = side_here((struct qbd_net *)net, peer);

	return side && side->up && !side->removed ? &side->hello : NULL;
}

bool qbd_net_peer_up(const struct qbd_net *net, u32 peer)
{
	const struct side *side = side_here(net, peer);

	return side && side->up && !side->removed;
}

void qbd_net_peer_status(const struct qbd_net *net, u32 peer,
			 struct qbd_net_peer_status *status)
{
	const struct side *side = side_here(net, peer);

	memset(status, 0, sizeof(*status));
	status->control_up = side && side->up;
	status->bulk_up = status->control_up;
}

/* Where nobody moves who is asked to is meant as nonsense. */
void qbd_net_listen(struct qbd_net *net, const struct qbd_address *address)
{
	if (!world.moves) {
		net->is_to_listen = true;
		net->ops->kick(net->context);
		return;
	}
	net->listen_at = *address;
	net->listen_done = false;
	if (!net->is_to_listen)
		sim_event(net->host, world.now + sim_spread(10 * SIM_US, SIM_MS), listen_work,
			  net->host, 0);
	net->is_to_listen = true;
}

bool qbd_net_moved(const struct qbd_net *net)
{
	for (u32 i = 0; world.moves && i < SIDES; i++) {
		const struct side *side = &net->sides[i];

		if (side->peer <= net->identity.member_id || side->removed || side->newcomer)
			continue;
		if (!side->up || !same(&side->at, &net->identity.listen))
			return false;
	}
	return true;
}

void qbd_net_listen_only(struct qbd_net *net)
{
	if (net->moving && !qbd_net_moved(net))
		sim_fail("host %u listens at its old address no more, and not all have found the new one",
			 net->host->number);
	for (u32 i = 0; world.moves && i < ARRAY_SIZE(net->listens); i++)
		if (!same(&net->listens[i], &net->identity.listen))
			memset(&net->listens[i], 0, sizeof(net->listens[i]));
	if (!same(&net->listen_at, &net->identity.listen)) {
		net->is_to_listen = false;
		net->listen_done = false;
	}
	sim_counts.moves_ended += net->moving;
	net->moving = false;
}

u32 sim_network_other_place(const struct sim_host *host)
{
	const struct qbd_net *net = host->network;

	return le16_to_cpu(net->listens[same(&net->listens[0], &net->identity.listen)].port);
}

bool sim_network_at_one_place(const struct sim_host *host)
{
	return !host->network || !host->network->listens[0].family ||
	       !host->network->listens[1].family;
}

/* ---- what happens to it ------------------------------------------------- */

void sim_network_begin(void)
{
	memset(cuts, 0, sizeof(cuts));
	memset(only, 0, sizeof(only));
	memset(unfound_since, 0, sizeof(unfound_since));
	memset(dial_waits, 0, sizeof(dial_waits));
	connections = 0;
	arrivals = 0;
	for (u32 a = 1; a <= SIM_HOSTS_MAX; a++) {
		for (u32 b = 1; b <= SIM_HOSTS_MAX; b++) {
			for (u32 stream = 0; stream < STREAMS; stream++) {
				struct path *path = &paths[a][b][stream];

				if (!path->frames.next)
					INIT_LIST_HEAD(&path->frames);
				path->event = 0;
				path->last_ready = 0;
				path->stalled_until = 0;
				path->passes = 0;
			}
		}
	}
}

void sim_network_cut(u32 from, u32 to, bool cut)
{
	cuts[from][to] = cut;
}

bool sim_network_is_cut(u32 from, u32 to)
{
	return cuts[from][to];
}

void sim_network_isolate(u32 number, bool cut)
{
	for (u32 other = 1; other <= world.count; other++) {
		if (other == number)
			continue;
		sim_network_cut(number, other, cut);
		sim_network_cut(other, number, cut);
	}
}

void sim_network_only(u32 host, u32 peer)
{
	only[host] = peer;
}

bool sim_network_known(const struct sim_host *host, u32 peer, u64 *run, u64 *term, u64 *index)
{
	const struct qbd_net *net = host->network;
	const struct side *side = net ? side_here(net, peer) : NULL;

	if (!side || !host->powered)
		return false;
	*run = side->known_run;
	*term = side->known_term;
	*index = side->known_index;
	return side->known_run;
}

/* What waits on it comes when that is over, also if it was to be longer. */
static void stall(u32 from, u32 to, enum stream stream, u64 until)
{
	struct path *path = &paths[from][to][stream];
	bool released = path->stalled_until > world.now && until <= world.now;

	path->stalled_until = until;
	path->passes = 0;
	if (!released)
		return;
	path_stop(path);
	path_first(from, to, stream);
}

void sim_network_heal(void)
{
	memset(cuts, 0, sizeof(cuts));
	for (u32 a = 1; a <= world.count; a++)
		for (u32 b = 1; b <= world.count; b++)
			for (u32 stream = 0; stream < STREAMS; stream++)
				stall(a, b, stream, 0);
}

void sim_network_bulk_stall(u32 from, u32 to, u64 until)
{
	stall(from, to, BULK, until);
}

void sim_network_bulk_pass(u32 from, u32 to, u32 frames, u64 until)
{
	stall(from, to, BULK, frames ? 0 : until);
	paths[from][to][BULK].passes = frames;
	paths[from][to][BULK].then_until = until;
}

void sim_network_stall(u32 from, u32 to, u64 until)
{
	for (u32 stream = 0; stream < STREAMS; stream++)
		stall(from, to, stream, until);
}

bool sim_network_waits(u32 from, u32 to, bool bulk)
{
	return !list_empty(&paths[from][to][bulk ? BULK : CONTROL].frames);
}

void sim_network_reset(u32 a, u32 b)
{
	struct side *side = side_of(&world.hosts[a], b);

	if (side && side->connected)
		lose(&world.hosts[a], side, "reset");
}

/* Before its memory goes. */
void sim_network_power_cut(struct sim_host *host)
{
	struct qbd_net *net = host->network;

	for (u32 i = 0; net && i < SIDES; i++) {
		struct arrived *arrived, *next;
		struct side *side = &net->sides[i];

		for (u32 stream = 0; stream < STREAMS; stream++)
			list_for_each_entry_safe(arrived, next, &side->ring[stream], list)
				free(arrived);
	}
	for (u32 other = 1; other <= world.count; other++) {
		if (other == host->number)
			continue;
		path_abandon(host->number, other);
		/* What it would have received is lost, and its sender's again. */
		path_purge(other, host->number);
	}
	if (host->number != SIM_COPY && world.copies) {
		path_abandon(host->number, SIM_COPY);
		path_purge(SIM_COPY, host->number);
	}
	host->network = NULL;
}

void *sim_network_context(const struct sim_host *host)
{
	return host->network ? host->network->context : NULL;
}
