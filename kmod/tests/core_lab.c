// SPDX-License-Identifier: GPL-2.0
/*
 * The lab: the nodes and the driver of their cores. See core_lab.h.
 */
#include "core_lab.h"
#include "core_lab_world.h"
#include "core_test.h"

struct lab the_lab;
bool lab_stop_expected;
u32 lab_stops;

void qbd_core_test_stopped(const struct qbd_core *core, const char *file,
			   u32 line)
{
	lab_stops++;
	if (!lab_stop_expected)
		qbd_test_print("member %u: invariant failed at %s:%u\n",
			       core->self, file, line);
}

#ifdef __KERNEL__
int qbd_test_init(struct kunit *test)
{
	lab_stops = 0;
	lab_stop_expected = false;
	return 0;
}

void qbd_test_exit(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, !lab_stops || lab_stop_expected);
}
#endif

u64 lab_random(struct lab *lab)
{
	u64 z = lab->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

u32 lab_below(struct lab *lab, u32 limit)
{
	return (u32)(((lab_random(lab) & 0xffffffff) * limit) >> 32);
}

bool lab_chance(struct lab *lab, u32 of_1024)
{
	return lab_below(lab, 1024) < of_1024;
}

void lab_fail(struct lab *lab, u32 node, u64 index, const char *error)
{
	if (lab->error)
		return;
	lab->error = error;
	lab->error_node = node;
	lab->error_index = index;
	qbd_test_print("node %u, index or term %llu, %llu us, step %llu: %s\n",
		       node, (unsigned long long)index,
		       (unsigned long long)(lab->now >> 10),
		       (unsigned long long)lab->steps, error);
}

struct qbd_core *lab_core(struct lab *lab, u32 id)
{
	return &lab->nodes[id].core;
}

void lab_config(struct qbd_config *config, u32 count, u32 voters)
{
	memset(config, 0, sizeof(*config));
	config->count = count;
	for (u32 i = 0; i < count; i++) {
		config->members[i].id = i + 1;
		config->members[i].flags = i < voters ? QBD_CORE_VOTER :
							QBD_CORE_LEARNER;
		config->members[i].priority = 100;
	}
}

void lab_setup(struct lab *lab, u32 count, u32 voters, u64 seed)
{
	memset(lab, 0, sizeof(*lab));
	lab->random = seed;
	lab->count = count;
	lab->now = LAB_S;
	lab->weather.delay = 500 * LAB_US;
	lab->weather.disk = 100 * LAB_US;
	qbd_core_options_default(&lab->options);
	lab_config(&lab->configs[0], count, voters);
	lab->config_count = 1;
	lab_world_setup(lab);
	for (u32 id = 1; id <= count; id++) {
		lab->nodes[id].id = id;
		lab->nodes[id].clock_offset = lab_below(lab, 1000000) *
					      LAB_US;
		lab->nodes[id].deadline = QBD_NEVER;
	}
	lab_stops = 0;
	lab_stop_expected = false;
}

u64 lab_node_now(const struct lab *lab, const struct lab_node *node)
{
	long long drift = (long long)(lab->now >> 10) * node->clock_drift;

	return node->clock_offset + lab->now + (u64)drift;
}

/* When, on the lab's clock, is it @when on the node's? */
static u64 lab_time_of(struct lab *lab, const struct lab_node *node, u64 when)
{
	u64 saved = lab->now;
	u64 due = saved;

	/* Drift is small: a few rounds, and never early. */
	for (u32 i = 0; i < 64; i++) {
		u64 there;

		lab->now = due;
		there = lab_node_now(lab, node);
		if (there >= when)
			break;
		due += when - there;
	}
	lab->now = saved;
	return due;
}

/* ---- the log of a node -------------------------------------------------- */

static struct lab_entry *node_entry(struct lab_node *node, u64 index)
{
	return &node->log[index % LAB_LOG];
}

u64 lab_entry_id(const struct lab_node *node, u64 index)
{
	if (index == node->base_index)
		return node->base_id;
	if (index < node->base_index || index > node->last)
		return 0;
	return node->log[index % LAB_LOG].id;
}

static u64 entry_make_id(const struct lab_entry *entry, u64 salt)
{
	u64 id = entry->prev * 0x9e3779b97f4a7c15ULL + entry->term;

	id ^= salt + (id >> 29);
	id *= 0xbf58476d1ce4e5b9ULL;
	return id ? id ^ (id >> 32) : 1;
}

/* Put an entry at the end of the log and begin to write it. */
static void node_append(struct lab *lab, struct lab_node *node,
			const struct lab_entry *entry)
{
	if (entry->prev != lab_entry_id(node, node->last))
		lab_fail(lab, node->id, node->last + 1,
			 "log matching: entry after another than its own");
	node->last++;
	*node_entry(node, node->last) = *entry;
	node->is_written[node->last % LAB_LOG] = false;
	lab_world_write(lab, node, node->last);
	/* Room in the ring; the replica would slow down its writers. */
	if (node->last - node->base_index > LAB_LOG - 64)
		lab_compact(lab, node->id, qbd_min(node->core.commit,
						   node->written));
	if (node->last - node->base_index >= LAB_LOG)
		lab_fail(lab, node->id, node->last, "lab: log too long");
}

static void node_append_new(struct lab *lab, struct lab_node *node, u32 kind,
			    u32 config)
{
	struct lab_entry entry = {
		.term = node->core.term,
		.prev = lab_entry_id(node, node->last),
		.kind = kind,
		.config = config,
	};

	entry.id = entry_make_id(&entry, lab_random(lab));
	node_append(lab, node, &entry);
}

void lab_compact(struct lab *lab, u32 id, u64 index)
{
	struct lab_node *node = &lab->nodes[id];
	const struct qbd_config *config;
	u64 config_index;

	index = qbd_min(index, qbd_min(node->core.commit, node->written));
	if (index <= node->base_index)
		return;
	config = qbd_core_config_at(&node->core, index, &config_index);
	node->disk.base_id = lab_entry_id(node, index);
	node->disk.base_term = node_entry(node, index)->term;
	node->disk.base_index = index;
	node->disk.base_config_index = config_index;
	node->disk.base_config = lab_world_config(lab, config);
	node->disk.commit = qbd_min(node->core.commit, node->written);
	node->base_id = node->disk.base_id;
	node->base_index = index;
	qbd_core_log_compacted(&node->core, index + 1);
}

/* ---- what the core wants ------------------------------------------------ */

static void check_leader(struct lab *lab, struct lab_node *node)
{
	u64 term = node->core.term;

	if (term >= LAB_TERMS)
		return;
	if (lab->leaders[term] && lab->leaders[term] != node->id)
		lab_fail(lab, node->id, term, "election safety: two leaders");
	lab->leaders[term] = (u8)node->id;
	for (u64 index = node->base_index + 1; index <= lab->commit; index++) {
		u64 id = lab_entry_id(node, index);

		/* One elected late in an older term need not have it. */
		if (lab->history_term[index] >= term)
			continue;
		if (!id || id != lab->history[index]) {
			lab_fail(lab, node->id, index,
				 "leader completeness: lacks committed entry");
			return;
		}
	}
}

/* On how many disks of voters of a set is the entry? A majority? */
static bool on_quorum(struct lab *lab, const struct qbd_config *config, u8 flag,
		      u64 index, u64 id)
{
	u32 voters = 0, have = 0;

	for (u32 i = 0; i < config->count; i++) {
		const struct qbd_member *member = &config->members[i];

		if (!(member->flags & flag))
			continue;
		voters++;
		/* What is being filled does not count, whatever its log has. */
		if (lab->nodes[member->id].disk.filling)
			continue;
		have += lab_world_on_disk(&lab->nodes[member->id].disk, index,
					  id);
	}
	return !voters || have > voters / 2;
}

static void check_durable(struct lab *lab, struct lab_node *node, u64 index)
{
	const struct qbd_config *config = qbd_core_config(&node->core);
	u64 id = lab_entry_id(node, index);

	if (!on_quorum(lab, config, QBD_CORE_VOTER, index, id) ||
	    !on_quorum(lab, config, QBD_CORE_VOTER_OLD, index, id))
		lab_fail(lab, node->id, index,
			 "durability: committed but not on a quorum's disks");
}

static void check_commit(struct lab *lab, struct lab_node *node)
{
	u64 commit = node->core.commit;

	if (commit < node->commit_seen)
		lab_fail(lab, node->id, commit, "commit went back");
	if (commit >= LAB_HISTORY) {
		lab_fail(lab, node->id, commit, "lab: history too long");
		return;
	}
	for (u64 index = qbd_max(node->commit_seen, node->base_index) + 1;
	     index <= commit; index++) {
		u64 id = lab_entry_id(node, index);

		if (!id)
			lab_fail(lab, node->id, index, "committed, not there");
		if (!lab->history[index]) {
			lab->history[index] = id;
			lab->history_term[index] = node->core.term;
		} else if (lab->history[index] != id) {
			lab_fail(lab, node->id, index,
				 "one history: another entry is committed");
		}
	}
	if (node->core.role == QBD_ROLE_LEADER && commit > lab->commit) {
		/* Only a leader's word reaches clients. */
		check_durable(lab, node, commit);
		lab->commit = commit;
	}
	node->commit_seen = commit;
}

static void check_reads(struct lab *lab, struct lab_node *node)
{
	const struct qbd_core_output *output = &node->output;

	for (u32 i = 0; i < LAB_READS; i++) {
		struct lab_read *read = &node->reads[i];

		if (!read->ticket)
			continue;
		if (output->flags & QBD_OUT_READS_RELEASED &&
		    read->ticket <= output->read_released) {
			if (output->commit < read->needs)
				lab_fail(lab, node->id, read->needs,
					 "reads: released read is stale");
			read->ticket = 0;
		} else if (output->flags & QBD_OUT_READS_FAILED &&
			   read->ticket <= output->read_failed) {
			read->ticket = 0;
		}
	}
	if (output->flags & QBD_OUT_READS_RELEASED)
		node->released = output->read_released;
	if (output->flags & QBD_OUT_READS_FAILED)
		node->read_failed = output->read_failed;
}

static void send_frames(struct lab *lab, struct lab_node *node)
{
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		u32 peer = qbd_core_slot_peer(&node->core, slot);
		struct qbd_range range;

		if (!(node->output.pull_peers & QBD_BIT(slot)))
			continue;
		while (qbd_core_next_append(&node->core,
					    lab_node_now(lab, node), peer,
					    LAB_FRAME * 4096, &range) ==
		       QBD_PULL_RANGE) {
			u64 count = range.last - range.first + 1;

			count = qbd_min(count, LAB_FRAME);
			count = qbd_max(1, qbd_min(count,
						   range.max_bytes >> 12));
			lab_world_send_frame(lab, node, peer, &range,
					     (u32)count);
			qbd_core_append_sent(&node->core,
					     lab_node_now(lab, node), peer,
					     range.first + count - 1,
					     count << 12);
		}
	}
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
		if (node->output.extents_peers & QBD_BIT(slot))
			lab_world_offer_extents(lab, node,
						qbd_core_slot_peer(&node->core,
								   slot));
}

static void take_output(struct lab *lab, struct lab_node *node)
{
	struct qbd_core_output *output = &node->output;

	node->output_flags |= qbd_core_take_output(&node->core, output);
	if (lab_stops && !lab_stop_expected)
		lab_fail(lab, node->id, output->stopped_line,
			 "an invariant of the core failed");
	if (output->flags & QBD_OUT_PERSIST)
		lab_world_persist(lab, node);
	if (output->flags & QBD_OUT_NOOP) {
		if (output->noop_index != node->last + 1)
			lab_fail(lab, node->id, output->noop_index,
				 "no-op not at the end of the log");
		node_append_new(lab, node, QBD_ENTRY_NOOP, 0);
	}
	if (node->core.term < node->term_seen)
		lab_fail(lab, node->id, node->core.term, "term went back");
	if (output->role == QBD_ROLE_LEADER &&
	    (node->role_seen != QBD_ROLE_LEADER ||
	     node->term_seen != output->term))
		check_leader(lab, node);
	node->role_seen = output->role;
	node->term_seen = output->term;
	check_commit(lab, node);
	check_reads(lab, node);
	if (node->core.trail.last != node->last)
		lab_fail(lab, node->id, node->last,
			 "core and driver disagree on the end of the log");
}

void lab_drain(struct lab *lab, struct lab_node *node)
{
	struct qbd_core_message message;

	take_output(lab, node);
	while (qbd_core_take_message(&node->core, &message))
		lab_world_send(lab, node, &message);
	send_frames(lab, node);
	node->deadline = qbd_core_deadline(&node->core);
	if (node->deadline != QBD_NEVER)
		node->deadline = lab_time_of(lab, node, node->deadline);
}

/* ---- events at a node --------------------------------------------------- */

static void node_append_frame(struct lab *lab, struct lab_node *node,
			      struct lab_frame *frame)
{
	struct qbd_entry entries[LAB_FRAME];
	struct qbd_append_result result;
	enum qbd_append_verdict verdict;

	for (u32 i = 0; i < frame->append.count; i++) {
		entries[i].term = frame->entries[i].term;
		entries[i].kind = frame->entries[i].kind;
		entries[i].config = NULL;
		if (entries[i].kind == QBD_ENTRY_CONFIG)
			entries[i].config =
				&lab->configs[frame->entries[i].config];
	}
	frame->append.entries = entries;
	verdict = qbd_core_append(&node->core, lab_node_now(lab, node),
				  &frame->append, &result);
	if (verdict == QBD_APPEND_INVALID)
		lab_fail(lab, node->id, frame->append.prev_index,
			 "refused an append of a core");
	if (verdict != QBD_APPEND_ACCEPTED)
		return;
	if (result.truncate_from) {
		if (result.truncate_from <= node->commit_seen)
			lab_fail(lab, node->id, result.truncate_from,
				 "truncates what is committed");
		lab_world_overtake(lab, node, result.truncate_from);
		node->last = result.truncate_from - 1;
		node->written = qbd_min(node->written, node->last);
	}
	for (u32 i = frame->append.count - result.count_new;
	     i < frame->append.count; i++)
		node_append(lab, node, &frame->entries[i]);
}

static void node_written(struct lab *lab, struct lab_node *node,
			 const struct lab_event *event)
{
	u64 index = event->write.index;

	if (event->write.overtaken) {
		/* A driver that reports it all the same must be ignored. */
		qbd_core_log_durable(&node->core, lab_node_now(lab, node),
				     event->write.generation,
				     event->write.entry.term, index);
		return;
	}
	lab_world_to_disk(node, &event->write.entry, index);
	if (index <= node->written)
		return;
	node->is_written[index % LAB_LOG] = true;
	while (node->written < node->last &&
	       node->is_written[(node->written + 1) % LAB_LOG])
		node->written++;
	if (node->written > node->base_index)
		qbd_core_log_durable(&node->core, lab_node_now(lab, node),
				     qbd_core_generation(&node->core),
				     node_entry(node, node->written)->term,
				     node->written);
}

/* A witness has no data to fill anybody with; another witness needs none. */
bool lab_may_fill(const struct lab_node *from, const struct lab_node *to)
{
	return !qbd_core_self_is_witness(&from->core) ||
	       qbd_core_self_is_witness(&to->core);
}

/* The peer at @event->from offers its state; take it if it is newer. */
static void node_fill(struct lab *lab, struct lab_node *node,
		      const struct lab_event *event)
{
	struct lab_node *from = &lab->nodes[event->from];
	u64 index = from->core.commit;
	const struct qbd_config *config;
	u64 config_index, term;

	if (!from->up || from->core.role != QBD_ROLE_LEADER ||
	    !lab_may_fill(from, node) || from->core.term != node->core.term || node->disk.filling ||
	    node->core.failed)
		return;
	/* The intent is on the disk before anything else is. */
	config = qbd_core_config_at(&from->core, index, &config_index);
	term = qbd_core_term_at(&from->core, index);
	if (qbd_core_reset_offered(&node->core, lab_node_now(lab, node), from->id,
				   from->core.term, index, term))
		return;
	qbd_core_set_fitness(&node->core, lab_node_now(lab, node),
			     QBD_MAY_VOTE);
	if (!qbd_core_log_reset(&node->core, lab_node_now(lab, node), index,
				term, config, config_index)) {
		qbd_core_set_fitness(&node->core, lab_node_now(lab, node),
				     QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS);
		return;
	}
	lab_world_overtake(lab, node, 1);
	node->disk.filling = true;
	node->disk.base_index = index;
	node->disk.base_term = term;
	node->disk.base_id = lab_entry_id(from, index);
	node->disk.base_config = lab_world_config(lab, config);
	node->disk.base_config_index = config_index;
	node->disk.commit = index;
	memset(node->disk.entries, 0, sizeof(node->disk.entries));
	node->base_index = index;
	node->base_id = node->disk.base_id;
	node->last = index;
	node->written = index;
	if (node->base_id != lab->history[index])
		lab_fail(lab, node->id, index, "filled from another history");
	lab_world_later(lab, node, LAB_FILLED);
}

static void node_filled(struct lab *lab, struct lab_node *node)
{
	u32 leader = node->core.leader;

	/* Only a leader has the extents. A witness has nothing to be filled. */
	if (!qbd_core_self_is_witness(&node->core) &&
	    (!leader || leader > lab->count || !lab->nodes[leader].up ||
	     lab->nodes[leader].core.role != QBD_ROLE_LEADER ||
	     !lab_may_fill(&lab->nodes[leader], node) ||
	     lab->cut_bulk[leader][node->id])) {
		lab_world_later(lab, node, LAB_FILLED);
		return;
	}
	node->disk.filling = false;
	qbd_core_set_fitness(&node->core, lab_node_now(lab, node),
			     QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS);
}

static void node_event(struct lab *lab, struct lab_node *node,
		       struct lab_event *event)
{
	u64 now = lab_node_now(lab, node);

	switch (event->type) {
	case LAB_CONTROL:
		if (!qbd_core_receive(&node->core, now, &event->message))
			lab_fail(lab, node->id, event->message.type,
				 "refused a message of a core");
		break;
	case LAB_APPEND:
		node_append_frame(lab, node, &event->frame);
		break;
	case LAB_WRITE:
		node_written(lab, node, event);
		break;
	case LAB_HARD:
		node->disk.hard_term = event->hard.term;
		node->disk.hard_vote = event->hard.vote;
		node->hard_pending = 0;
		qbd_core_hard_state_durable(&node->core, now, event->hard.seq);
		if (node->hard_again)
			lab_world_persist(lab, node);
		break;
	case LAB_FILL:
		node_fill(lab, node, event);
		break;
	default:
		node_filled(lab, node);
		break;
	}
	lab_drain(lab, node);
}

bool lab_step(struct lab *lab)
{
	struct lab_node *due = NULL;
	struct lab_event *event = lab_world_first(lab);
	u64 at = event ? event->at : QBD_NEVER;

	if (lab->error)
		return false;
	for (u32 id = 1; id <= lab->count; id++) {
		struct lab_node *node = &lab->nodes[id];
		u64 when = qbd_max(node->deadline, node->paused_until);

		if (!node->up || node->deadline == QBD_NEVER || when >= at)
			continue;
		at = when;
		due = node;
	}
	if (at == QBD_NEVER)
		return false;
	lab->steps++;
	lab->now = qbd_max(lab->now, at);
	if (due) {
		qbd_core_tick(&due->core, lab_node_now(lab, due));
		lab_drain(lab, due);
		return !lab->error;
	}
	due = &lab->nodes[event->node];
	if (due->paused_until > lab->now && due->up &&
	    due->life == event->life) {
		lab_world_postpone(lab, due->paused_until);
		return true;
	}
	lab_world_pop(lab);
	if (due->up && due->life == event->life)
		node_event(lab, due, event);
	lab_world_free(lab, event);
	return !lab->error;
}

/* ---- starting and stopping ---------------------------------------------- */

static void connect_all(struct lab *lab, struct lab_node *node)
{
	for (u32 id = 1; id <= lab->count; id++) {
		struct lab_node *other = &lab->nodes[id];

		if (other == node || !other->up)
			continue;
		lab_link(lab, node->id, id, QBD_LINK_CONTROL, true);
		lab_link(lab, node->id, id, QBD_LINK_BULK, true);
	}
}

static void node_recover(struct lab *lab, struct lab_node *node)
{
	struct lab_disk *disk = &node->disk;

	node->base_index = disk->base_index;
	node->base_id = disk->base_id;
	node->last = disk->base_index;
	qbd_core_restore_hard_state(&node->core, disk->hard_term,
				    disk->hard_vote);
	qbd_core_restore_base(&node->core, disk->base_index, disk->base_term,
			      &lab->configs[disk->base_config],
			      disk->base_config_index);
	for (u64 index = node->base_index + 1;
	     index < node->base_index + LAB_LOG; index++) {
		const struct lab_entry *entry = &disk->entries[index % LAB_LOG];
		struct qbd_entry restored = {
			.term = entry->term,
			.kind = entry->kind,
		};

		/* The chain tells the log from what was there before. */
		if (!entry->id ||
		    entry->prev != lab_entry_id(node, node->last))
			break;
		if (entry->kind == QBD_ENTRY_CONFIG)
			restored.config = &lab->configs[entry->config];
		if (!qbd_core_restore_entry(&node->core, &restored))
			lab_fail(lab, node->id, index, "cannot restore entry");
		*node_entry(node, index) = *entry;
		node->is_written[index % LAB_LOG] = true;
		node->last = index;
	}
	node->written = node->last;
	if (disk->commit > node->last)
		lab_fail(lab, node->id, disk->commit, "lost what was committed");
	else
		qbd_core_restore_commit(&node->core, disk->commit);
}

void lab_boot(struct lab *lab, u32 id)
{
	struct lab_node *node = &lab->nodes[id];

	node->up = true;
	node->life++;
	node->hard_pending = 0;
	node->hard_again = false;
	node->commit_seen = 0;
	node->term_seen = 0;
	node->role_seen = QBD_ROLE_FOLLOWER;
	node->paused_until = 0;
	node->stalled_until = 0;
	node->ticket = 0;
	node->released = 0;
	node->read_failed = 0;
	memset(node->reads, 0, sizeof(node->reads));
	qbd_core_init(&node->core, id, &lab->options, lab_random(lab));
	node_recover(lab, node);
	if (node->disk.filling) {
		qbd_core_set_fitness(&node->core, lab_node_now(lab, node),
				     QBD_MAY_VOTE);
		lab_world_later(lab, node, LAB_FILLED);
	}
	qbd_core_start(&node->core, lab_node_now(lab, node));
	lab_drain(lab, node);
	connect_all(lab, node);
}

void lab_boot_all(struct lab *lab)
{
	for (u32 id = 1; id <= lab->count; id++)
		if (!lab->nodes[id].up)
			lab_boot(lab, id);
}

void lab_crash(struct lab *lab, u32 id)
{
	struct lab_node *node = &lab->nodes[id];

	if (!node->up)
		return;
	lab_world_lose_writes(lab, node);
	node->up = false;
	node->life++;
	node->deadline = QBD_NEVER;
	for (u32 other = 1; other <= lab->count; other++)
		if (lab->nodes[other].up)
			lab_link(lab, other, id, QBD_LINK_BULK, false);
}

/* ---- requests ----------------------------------------------------------- */

u64 lab_propose(struct lab *lab, u32 id)
{
	struct lab_node *node = &lab->nodes[id];
	u64 index;

	if (qbd_core_propose(&node->core, lab_node_now(lab, node),
			     QBD_ENTRY_DATA, NULL, &index) != QBD_PROPOSE_OK)
		return 0;
	node_append_new(lab, node, QBD_ENTRY_DATA, 0);
	lab_drain(lab, node);
	return index;
}

enum qbd_propose_result lab_propose_config(struct lab *lab, u32 id,
					   const struct qbd_config *config)
{
	struct lab_node *node = &lab->nodes[id];
	enum qbd_propose_result result;
	u64 index;
	u32 number = lab_world_config(lab, config);

	result = qbd_core_propose(&node->core, lab_node_now(lab, node),
				  QBD_ENTRY_CONFIG, config, &index);
	if (result != QBD_PROPOSE_OK)
		return result;
	node_append_new(lab, node, QBD_ENTRY_CONFIG, number);
	lab_drain(lab, node);
	return result;
}

void lab_read(struct lab *lab, u32 id, enum qbd_core_read_mode mode)
{
	struct lab_node *node = &lab->nodes[id];
	u64 needs = lab->commit;
	u32 i = 0;

	while (i < LAB_READS && node->reads[i].ticket)
		i++;
	if (i == LAB_READS)
		return;
	switch (qbd_core_read(&node->core, lab_node_now(lab, node),
			      ++node->ticket, mode)) {
	case QBD_READ_READY:
		if (node->core.commit < needs)
			lab_fail(lab, id, needs, "reads: lease read is stale");
		node->released = node->ticket;
		break;
	case QBD_READ_PENDING:
		node->reads[i].ticket = node->ticket;
		node->reads[i].needs = needs;
		break;
	default:
		break;
	}
	lab_drain(lab, node);
}

bool lab_lease(struct lab *lab, u32 id)
{
	return qbd_core_lease_valid(lab_core(lab, id),
				    lab_node_now(lab, &lab->nodes[id]));
}

enum qbd_transfer_result lab_transfer(struct lab *lab, u32 id, u32 target)
{
	struct lab_node *node = &lab->nodes[id];
	enum qbd_transfer_result result;

	result = qbd_core_transfer(&node->core, lab_node_now(lab, node),
				   target);
	lab_drain(lab, node);
	return result;
}

u32 lab_leader(const struct lab *lab)
{
	u32 leader = 0;

	for (u32 id = 1; id <= lab->count; id++) {
		const struct lab_node *node = &lab->nodes[id];

		if (node->up && node->core.role == QBD_ROLE_LEADER &&
		    (!leader ||
		     node->core.term > lab->nodes[leader].core.term))
			leader = id;
	}
	return leader;
}

void lab_run(struct lab *lab, u64 duration)
{
	u64 end = lab->now + duration;

	while (!lab->error) {
		struct lab_event *event = lab_world_first(lab);
		u64 at = event ? event->at : QBD_NEVER;

		for (u32 id = 1; id <= lab->count; id++)
			if (lab->nodes[id].up &&
			    lab->nodes[id].deadline != QBD_NEVER)
				at = qbd_min(at,
					     qbd_max(lab->nodes[id].deadline,
						     lab->nodes[id].paused_until));
		if (at > end || !lab_step(lab))
			break;
	}
	lab->now = qbd_max(lab->now, end);
}

u32 lab_run_to_leader(struct lab *lab, u32 id)
{
	u64 end = lab->now + 10 * LAB_S;

	while (lab->now < end) {
		u32 leader = lab_leader(lab);

		if (leader && (!id || id == leader) &&
		    lab->nodes[leader].core.commit >=
		    lab->nodes[leader].core.own_first)
			return leader;
		if (!lab_step(lab))
			break;
	}
	return 0;
}

bool lab_run_to_commit(struct lab *lab, u32 id, u64 index)
{
	u64 end = lab->now + 10 * LAB_S;

	while (lab->nodes[id].core.commit < index) {
		if (lab->now >= end || !lab_step(lab))
			return false;
	}
	return true;
}
