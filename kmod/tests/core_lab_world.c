// SPDX-License-Identifier: GPL-2.0
/*
 * The lab's time, network and disks. See core_lab.h.
 */
#include "core_lab_world.h"

/* ---- time: a heap of events --------------------------------------------- */

static bool event_before(const struct lab *lab, u32 a, u32 b)
{
	const struct lab_event *x = &lab->events[a];
	const struct lab_event *y = &lab->events[b];

	return x->at < y->at || (x->at == y->at && x->seq < y->seq);
}

static void heap_swap(struct lab *lab, u32 i, u32 j)
{
	u32 event = lab->heap[i];

	lab->heap[i] = lab->heap[j];
	lab->heap[j] = event;
}

static void heap_down(struct lab *lab, u32 i)
{
	for (;;) {
		u32 least = i;

		for (u32 child = 2 * i + 1; child <= 2 * i + 2; child++)
			if (child < lab->heap_count &&
			    event_before(lab, lab->heap[child],
					 lab->heap[least]))
				least = child;
		if (least == i)
			return;
		heap_swap(lab, i, least);
		i = least;
	}
}

static void heap_push(struct lab *lab, struct lab_event *event, u64 at)
{
	u32 i = lab->heap_count++;

	event->at = at;
	event->seq = ++lab->seq;
	lab->heap[i] = (u32)(event - lab->events);
	while (i && event_before(lab, lab->heap[i], lab->heap[(i - 1) / 2])) {
		heap_swap(lab, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
}

void lab_world_setup(struct lab *lab)
{
	for (u32 i = 0; i < LAB_EVENTS; i++)
		lab->free_events[i] = LAB_EVENTS - 1 - i;
	lab->free_count = LAB_EVENTS;
}

struct lab_event *lab_world_first(struct lab *lab)
{
	return lab->heap_count ? &lab->events[lab->heap[0]] : NULL;
}

void lab_world_pop(struct lab *lab)
{
	lab->heap[0] = lab->heap[--lab->heap_count];
	heap_down(lab, 0);
}

void lab_world_free(struct lab *lab, struct lab_event *event)
{
	lab->free_events[lab->free_count++] = (u32)(event - lab->events);
}

void lab_world_postpone(struct lab *lab, u64 at)
{
	struct lab_event *event = lab_world_first(lab);
	u64 seq = event->seq;

	/* Same order among those put off. */
	lab_world_pop(lab);
	heap_push(lab, event, at);
	event->seq = seq;
	/* The smaller number may have to go up. */
	for (u32 i = lab->heap_count; i-- > 0;)
		heap_down(lab, i);
}

static struct lab_event *event_new(struct lab *lab, u32 type, u32 node)
{
	struct lab_event *event;

	if (!lab->free_count) {
		lab_fail(lab, node, type, "lab: out of events");
		return NULL;
	}
	event = &lab->events[lab->free_events[--lab->free_count]];
	event->type = type;
	event->node = node;
	event->life = lab->nodes[node].life;
	return event;
}

static u64 spread(struct lab *lab, u64 base, u64 more)
{
	return base + (more >> 10) * lab_below(lab, 1024);
}

/* ---- network ------------------------------------------------------------ */

/* When does it arrive? QBD_NEVER: it does not. */
static u64 arrival(struct lab *lab, u32 to)
{
	const struct lab_weather *weather = &lab->weather;
	u64 late = 0;

	/* Leave room for what must not be lost. */
	if (lab->free_count < LAB_EVENTS / 2)
		return QBD_NEVER;
	if (!lab->nodes[to].up || lab_chance(lab, weather->drop))
		return QBD_NEVER;
	if (lab_chance(lab, weather->late))
		late = lab_below(lab, 2000) * LAB_MS;
	return lab->now + late + spread(lab, weather->delay, weather->delay_spread);
}

void lab_world_send(struct lab *lab, struct lab_node *node,
		    const struct qbd_core_message *message)
{
	u32 copies = 1 + lab_chance(lab, lab->weather.duplicate);

	lab->sent[message->type]++;
	if (message->to > lab->count ||
	    lab->cut_control[node->id][message->to] ||
	    lab->drop_types & QBD_BIT(message->type))
		return;
	while (copies--) {
		u64 at = arrival(lab, message->to);
		struct lab_event *event;

		if (at == QBD_NEVER)
			continue;
		event = event_new(lab, LAB_CONTROL, message->to);
		if (!event)
			return;
		event->message = *message;
		heap_push(lab, event, at);
	}
}

void lab_world_send_frame(struct lab *lab, struct lab_node *node, u32 peer,
			  const struct qbd_range *range, u32 count)
{
	u32 copies = 1 + lab_chance(lab, lab->weather.duplicate);

	lab->frames_sent++;
	if (peer > lab->count || lab->cut_bulk[node->id][peer])
		return;
	while (copies--) {
		u64 at = arrival(lab, peer);
		struct lab_event *event;

		if (at == QBD_NEVER)
			continue;
		event = event_new(lab, LAB_APPEND, peer);
		if (!event)
			return;
		event->frame.append.from = node->id;
		event->frame.append.term = range->term;
		event->frame.append.prev_index = range->prev_index;
		event->frame.append.prev_term = range->prev_term;
		event->frame.append.commit = range->commit;
		event->frame.append.count = count;
		for (u32 i = 0; i < count; i++)
			event->frame.entries[i] =
				node->log[(range->first + i) % LAB_LOG];
		heap_push(lab, event, at);
	}
}

void lab_world_offer_extents(struct lab *lab, struct lab_node *node, u32 peer)
{
	u64 at = peer <= lab->count && !lab->cut_bulk[node->id][peer] ?
		 arrival(lab, peer) : QBD_NEVER;
	struct lab_event *event;

	if (at == QBD_NEVER || lab->nodes[peer].disk.filling ||
	    !lab_may_fill(node, &lab->nodes[peer]))
		return;
	event = event_new(lab, LAB_FILL, peer);
	if (!event)
		return;
	event->from = node->id;
	heap_push(lab, event, at);
}

void lab_world_later(struct lab *lab, struct lab_node *node, u32 type)
{
	struct lab_event *event = event_new(lab, type, node->id);

	if (event)
		heap_push(lab, event, lab->now + spread(lab, 20 * LAB_MS,
							200 * LAB_MS));
}

void lab_link(struct lab *lab, u32 a, u32 b, enum qbd_link link, bool up)
{
	for (u32 i = 0; i < 2; i++) {
		struct lab_node *node = &lab->nodes[i ? b : a];
		u32 peer = i ? a : b;
		u64 now = lab_node_now(lab, node);

		if (!node->up)
			continue;
		if (up)
			qbd_core_peer_connected(&node->core, now, peer, link);
		else
			qbd_core_peer_disconnected(&node->core, now, peer,
						   link);
		lab_drain(lab, node);
	}
}

void lab_cut(struct lab *lab, u32 a, u32 b, bool cut)
{
	lab->cut_control[a][b] = cut;
	lab->cut_control[b][a] = cut;
	lab->cut_bulk[a][b] = cut;
	lab->cut_bulk[b][a] = cut;
}

void lab_isolate(struct lab *lab, u32 id, bool cut)
{
	for (u32 other = 1; other <= lab->count; other++)
		if (other != id)
			lab_cut(lab, id, other, cut);
}

/* ---- disks -------------------------------------------------------------- */

static u64 disk_time(struct lab *lab, const struct lab_node *node)
{
	u64 at = lab->now + spread(lab, lab->weather.disk,
				   lab->weather.disk_spread);

	return qbd_max(at, node->stalled_until);
}

void lab_world_write(struct lab *lab, struct lab_node *node, u64 index)
{
	struct lab_event *event = event_new(lab, LAB_WRITE, node->id);

	if (!event)
		return;
	event->write.entry = node->log[index % LAB_LOG];
	event->write.index = index;
	event->write.generation = qbd_core_generation(&node->core);
	event->write.overtaken = false;
	heap_push(lab, event, disk_time(lab, node));
}

void lab_world_persist(struct lab *lab, struct lab_node *node)
{
	struct lab_event *event;

	/* One write at a time, then the newest. */
	node->hard_again = node->hard_pending != 0;
	if (node->hard_again)
		return;
	event = event_new(lab, LAB_HARD, node->id);
	if (!event)
		return;
	event->hard.seq = node->core.hard_seq;
	event->hard.term = node->core.term;
	event->hard.vote = node->core.vote;
	node->hard_pending = event->hard.seq;
	heap_push(lab, event, disk_time(lab, node) + lab->weather.hard);
}

void lab_world_to_disk(struct lab_node *node, const struct lab_entry *entry,
		       u64 index)
{
	if (index > node->disk.base_index)
		node->disk.entries[index % LAB_LOG] = *entry;
}

void lab_world_overtake(struct lab *lab, struct lab_node *node, u64 from)
{
	for (u32 i = 0; i < lab->heap_count; i++) {
		struct lab_event *event = &lab->events[lab->heap[i]];

		if (event->type != LAB_WRITE || event->node != node->id ||
		    event->life != node->life || event->write.index < from)
			continue;
		event->write.overtaken = true;
	}
}

void lab_world_lose_writes(struct lab *lab, struct lab_node *node)
{
	for (u32 i = 0; i < lab->heap_count; i++) {
		struct lab_event *event = &lab->events[lab->heap[i]];

		if (event->node != node->id || event->life != node->life ||
		    !lab_chance(lab, 512))
			continue;
		if (event->type == LAB_WRITE && !event->write.overtaken) {
			lab_world_to_disk(node, &event->write.entry,
					  event->write.index);
		} else if (event->type == LAB_HARD) {
			node->disk.hard_term = event->hard.term;
			node->disk.hard_vote = event->hard.vote;
		}
	}
}

bool lab_world_on_disk(const struct lab_disk *disk, u64 index, u64 id)
{
	u64 at = index;

	/* An entry is found if all before it are, back to the base. */
	if (index <= disk->base_index)
		return !disk->filling &&
		       (index < disk->base_index || id == disk->base_id);
	for (; at > disk->base_index; at--) {
		const struct lab_entry *entry = &disk->entries[at % LAB_LOG];

		if (entry->id != id)
			return false;
		id = entry->prev;
	}
	return id == disk->base_id;
}

u32 lab_world_config(struct lab *lab, const struct qbd_config *config)
{
	for (u32 i = 0; i < lab->config_count; i++)
		if (!memcmp(&lab->configs[i], config, sizeof(*config)))
			return i;
	if (lab->config_count == LAB_CONFIGS) {
		lab_fail(lab, 0, 0, "lab: too many configurations");
		return 0;
	}
	lab->configs[lab->config_count] = *config;
	return lab->config_count++;
}
