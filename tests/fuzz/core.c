// SPDX-License-Identifier: GPL-2.0
/*
 * A core whose peers say whatever the input says: any message and any entries, in any
 * order, in any state. Its own host is honest: disk, timer and requests keep to what
 * kmod/core/core.h asks of the caller, as the replica does.
 *
 * What a peer says may be refused, and then nothing of it was taken over; it never
 * stops the core (an invariant of its own that fails), and never makes it break what
 * it promised: terms and commit index do not go back, what is committed stays, one
 * vote in a term, nothing acknowledged that is not durable.
 */
#include "../../kmod/core/internal.h"
#include "../../kmod/net/frame.h"
#include "input.h"

#define SELF		1u
#define IDS		32u		/* peers are 2..IDS, some of them strangers */
#define ENTRIES		8u
#define WORDS_MAX	8192u		/* entries whose committed term is remembered */
#define VOTES_MAX	4096u

/**
 * struct world - a core and what its host knows
 * @now: clock
 * @last_seen: its hard state, role and so on when they were looked at last
 * @commit: its commit index then
 * @term: its term then
 * @vote: its vote then
 * @start: index of the first committed term that is remembered
 * @committed: terms of committed entries from @start on
 * @ticket: of the last read
 * @votes: term and vote of each hard state that was to be written, by its number
 * @durable_vote: number of the one that has reached the disk
 * @written: log entries that have reached the disk
 * @counts: it is not being filled
 */
struct world {
	struct qbd_core core;
	u64 now;
	u64 commit;
	u64 term;
	u32 vote;
	u64 start;
	u64 committed[WORDS_MAX];
	u64 ticket;
	struct {
		u64 term;
		u32 vote;
	} votes[VOTES_MAX];
	u64 durable_vote;
	u64 written;
	bool counts;
};

static struct world world;

void qbd_core_test_stopped(const struct qbd_core *core, const char *file, u32 line)
{
	(void)core;
	fprintf(stderr, "%s:%u: a peer made the core stop here\n", file, line);
	abort();
}

/* ---- choices ------------------------------------------------------------ */

/* A number as a peer might find one: near what counts here, or any. */
static u64 take_number(struct input *input)
{
	const struct qbd_core *core = &world.core;
	u8 how = take_u8(input);
	u64 near;

	switch (how & 0x0f) {
	case 0:
		return take_u64(input);
	case 1:
		near = 0;
		break;
	case 2:
		near = core->commit;
		break;
	case 3:
		near = core->durable;
		break;
	case 4:
		near = core->trail.base_index;
		break;
	case 5:
		near = core->round;
		break;
	case 6:
		near = QBD_INDEX_MAX;
		break;
	case 7:
		near = core->matched;
		break;
	case 8:
		near = core->levels[0].index;
		break;
	case 9:
		near = core->trail.base_term;
		break;
	case 10:
		near = (u64)1 << (take_u8(input) & 63);
		break;
	case 11:
		near = core->leader_last;
		break;
	case 12:
	case 13:
		near = core->term;
		break;
	default:
		near = core->trail.last;
		break;
	}
	/* -4 .. 11, most often exactly there */
	return near + (how >> 4) - (how >> 4 > 11 ? 16 : 0);
}

/* Most often one of few, so that it is a member. */
static u32 take_peer(struct input *input)
{
	u8 which = take_u8(input);

	return 2 + (which & 0x80 ? which % (IDS - 1) : which % 3);
}

static void take_config(struct input *input, struct qbd_config *config)
{
	u8 how = take_u8(input);

	memset(config, 0, sizeof(*config));
	config->count = how & 0x10 ? take_u8(input) : 1 + (how & 7);
	for (u32 i = 0; i < config->count && i < QBD_CORE_MEMBERS_MAX; i++) {
		struct qbd_member *member = &config->members[i];

		member->id = 1 + i;
		member->flags = QBD_CORE_VOTER;
		if (how & 0x20) {
			member->id = take_u8(input) % (IDS + 1);
			member->flags = take_u8(input) & 0x1f;
			member->priority = take_u8(input);
		}
	}
}

/* ---- what must hold ----------------------------------------------------- */

static void judge_message(const struct qbd_core_message *message)
{
	const struct qbd_core *core = &world.core;
	bool granted = message->flags & QBD_MESSAGE_GRANTED;

	REQUIRE(message->from == SELF && message->to && message->to != SELF);
	REQUIRE(message->type && message->type < QBD_MESSAGE_TYPE_END);
	switch (message->type) {
	case QBD_MESSAGE_VOTE_REPLY:
		if (granted)
			REQUIRE(world.votes[world.durable_vote].term == message->term &&
				world.votes[world.durable_vote].vote == message->to);
		break;
	case QBD_MESSAGE_VOTE_REQUEST:
		REQUIRE(world.votes[world.durable_vote].term == message->term &&
			world.votes[world.durable_vote].vote == SELF);
		break;
	case QBD_MESSAGE_HEARTBEAT_REPLY:
	case QBD_MESSAGE_APPEND_REPLY:
		/* What is acknowledged is on the disk. */
		REQUIRE(message->index <= world.written);
		REQUIRE(message->matched <= core->trail.last);
		break;
	case QBD_MESSAGE_HEARTBEAT:
	case QBD_MESSAGE_PROBE:
		REQUIRE(core->role == QBD_ROLE_LEADER);
		REQUIRE(message->index <= core->trail.last);
		break;
	}
}

/* Others have to take what it says for possible. */
static void judge_frame(const struct qbd_core_message *message)
{
	struct qbd_frame_message frame;
	struct qbd_frame_header header;
	struct qbd_core_message same;
	const char *reason;

	qbd_frame_message_encode(&frame, message);
	qbd_frame_seal(&header, QBD_FRAME_MESSAGE, sizeof(frame), 0, 0,
		       qbd_crc32c(~0u, &frame, sizeof(frame)), 0);
	REQUIRE(qbd_frame_header_check(&header, QBD_PHASE_CONTROL, 0, &reason));
	REQUIRE(qbd_frame_fixed_check(&header, QBD_PHASE_CONTROL, &frame, 1 << 20, &reason));
	qbd_frame_message_decode(&same, &frame);
	REQUIRE(!memcmp(&same, message, sizeof(same)));
}

static void judge_committed(void)
{
	const struct qbd_core *core = &world.core;

	for (u64 index = qbd_max(world.start, core->trail.base_index);
	     index <= core->commit && index - world.start < WORDS_MAX; index++) {
		u64 *term = &world.committed[index - world.start];

		if (index > world.commit)
			*term = qbd_core_term_at(core, index);
		else if (*term)
			REQUIRE(*term == qbd_core_term_at(core, index));
	}
}

/* Entries that are there for a peer are handed to its connection at once. */
static void send_entries(const struct qbd_core_output *output)
{
	struct qbd_core *core = &world.core;
	struct qbd_range range;

	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		u32 peer = qbd_core_slot_peer(core, slot);

		if (!(output->pull_peers & 1u << slot) ||
		    qbd_core_next_append(core, world.now, peer, 1 << 20, &range) !=
		    QBD_PULL_RANGE)
			continue;
		REQUIRE(range.first == range.prev_index + 1 && range.last >= range.first);
		REQUIRE(range.last <= core->trail.last && range.term == core->term);
		REQUIRE(range.prev_term == qbd_core_term_at(core, range.prev_index));
		qbd_core_append_sent(core, world.now, peer, range.last, 8192);
	}
}

/* After every event: fetch what there is, and see that nothing went back. */
static void drain(void)
{
	struct qbd_core *core = &world.core;
	struct qbd_core_output output;
	struct qbd_core_message message;
	struct qbd_core_status status;

	qbd_core_take_output(core, &output);
	REQUIRE(!output.stopped_line);
	REQUIRE(output.hard_term >= world.term && output.commit >= world.commit);
	REQUIRE(output.hard_term != world.term || !world.vote ||
		output.hard_vote == world.vote);
	REQUIRE(output.hard_seq < VOTES_MAX);
	world.votes[output.hard_seq].term = output.hard_term;
	world.votes[output.hard_seq].vote = output.hard_vote;
	judge_committed();
	world.term = output.hard_term;
	world.vote = output.hard_vote;
	world.commit = output.commit;
	send_entries(&output);
	while (qbd_core_take_message(core, &message)) {
		judge_message(&message);
		judge_frame(&message);
	}
	qbd_core_get_status(core, world.now, &status);
	REQUIRE(status.commit <= status.last && status.durable <= status.last);
	REQUIRE(!status.stopped_line);
}

static void cut_off(u32 peer)
{
	qbd_core_peer_disconnected(&world.core, world.now, peer, QBD_LINK_CONTROL);
	qbd_core_peer_disconnected(&world.core, world.now, peer, QBD_LINK_BULK);
}

/* It was refused: apart from the clock and the count nothing may be different. */
static void judge_untouched(const struct qbd_core *before)
{
	static struct qbd_core after;

	after = world.core;
	REQUIRE(after.rubbish == before->rubbish + 1);
	after.rubbish = before->rubbish;
	after.now = before->now;
	REQUIRE(!memcmp(&after, before, sizeof(after)));
}

/* ---- what peers do ------------------------------------------------------ */

/*
 * What an honest peer might say, but for the fields that the input names. It comes as
 * a frame, so what cannot be in one does not get here.
 */
static void receive_message(struct input *input)
{
	static struct qbd_core before;
	struct qbd_core *core = &world.core;
	struct qbd_core_message message = { 0 };
	struct qbd_frame_message frame;
	struct qbd_frame_header header;
	u8 type = take_u8(input);
	u16 fields = take_u16(input);
	const char *reason;

	message.from = take_peer(input);
	message.to = type >> 5 == 7 ? 2 : SELF;
	message.type = type & 0x0f;
	message.flags = take_u8(input);
	message.term = core->term + (type >> 4 & 1);
	message.index = core->trail.last;
	message.log_term = qbd_core_term_at(core, message.index);
	message.commit = core->commit;
	message.round = core->round;
	message.matched = message.index;
	message.durable = message.index;
	message.timeout = core->options.election_timeout;
	for (u32 i = 0; i < 12; i++) {
		u64 *const numbers[] = {
			&message.term, &message.index, &message.log_term, &message.commit,
			&message.round, &message.matched, &message.durable,
			&message.reject_index, &message.hint_index, &message.hint_term,
			&message.timeout, &message.reachable,
		};

		if (fields & 1 << i)
			*numbers[i] = take_number(input);
	}
	qbd_frame_message_encode(&frame, &message);
	qbd_frame_seal(&header, QBD_FRAME_MESSAGE, sizeof(frame), 0, 0,
		       qbd_crc32c(~0u, &frame, sizeof(frame)), 0);
	if (!qbd_frame_fixed_check(&header, QBD_PHASE_CONTROL, &frame, 1 << 20, &reason)) {
		cut_off(message.from);
		return;
	}
	before = *core;
	if (qbd_core_receive(core, world.now, &message)) {
		REQUIRE(message.to == SELF);
		return;
	}
	judge_untouched(&before);
	cut_off(message.from);
}

static void receive_append(struct input *input)
{
	static struct qbd_core before;
	struct qbd_config configs[ENTRIES];
	struct qbd_entry entries[ENTRIES] = { 0 };
	struct qbd_core *core = &world.core;
	struct qbd_append_result result;
	enum qbd_append_verdict verdict;
	u8 how = take_u8(input);
	struct qbd_append append = {
		.from = take_peer(input),
		.term = core->term + (how >> 4 & 1),
		.prev_index = core->trail.last,
		.commit = core->commit,
		.count = how & 7,
		.entries = entries,
	};
	u64 term;

	if (how & 0x20)
		append.prev_index = take_number(input);
	append.prev_term = how & 0x40 ? take_number(input) :
			   qbd_core_term_at(core, append.prev_index);
	if (how & 0x80)
		append.commit = take_number(input);
	if (how & 0x08)
		append.term = take_number(input);
	term = append.prev_term;
	for (u32 i = 0; i < append.count; i++) {
		u8 what = take_u8(input);

		term = what & 0x80 ? take_number(input) : what & 0x40 ? append.term : term;
		term += !term;
		entries[i].term = term;
		entries[i].kind = what & 0x20 ? take_u8(input) :
				  what & 0x10 ? QBD_ENTRY_CONFIG : QBD_ENTRY_DATA;
		if (what & 0x10) {
			take_config(input, &configs[i]);
			entries[i].config = &configs[i];
		}
	}
	before = *core;
	verdict = qbd_core_append(core, world.now, &append, &result);
	if (verdict == QBD_APPEND_INVALID) {
		judge_untouched(&before);
		cut_off(append.from);
	}
	if (verdict != QBD_APPEND_ACCEPTED) {
		REQUIRE(core->trail.last == before.trail.last);
		return;
	}
	if (result.truncate_from) {
		REQUIRE(result.truncate_from > before.commit);
		REQUIRE(result.generation != before.generation);
		world.written = qbd_min(world.written, result.truncate_from - 1);
	}
	REQUIRE(result.count_new <= append.count);
	if (result.count_new) {
		REQUIRE(result.first_new + result.count_new - 1 == core->trail.last);
		REQUIRE(core->trail.last == append.prev_index + append.count);
	}
}

/* RESET and what follows at once, as in kmod/replica/fill.c. */
static void receive_reset(struct input *input)
{
	struct qbd_core *core = &world.core;
	u32 peer = take_peer(input);
	u64 index = take_number(input);
	u64 term = take_number(input);
	u64 config_index = take_number(input);
	u32 fitness = core->fitness;
	struct qbd_config config;

	take_config(input, &config);
	if (peer != core->leader || index >= QBD_INDEX_MAX || qbd_config_check(&config) ||
	    qbd_core_reset_offered(core, world.now, peer, core->term, index, term) ||
	    !qbd_core_may_reset(core, index, term) ||
	    !qbd_core_may_reset_config(core, index, config_index))
		return;
	qbd_core_set_fitness(core, world.now, fitness & ~(u32)(QBD_COUNTS | QBD_MAY_LEAD));
	drain();
	if (!qbd_core_log_reset(core, world.now, index, term, &config, config_index))
		return;
	world.written = index;
}

/* ---- what its own host does --------------------------------------------- */

static void disk_event(struct input *input)
{
	struct qbd_core *core = &world.core;
	u8 how = take_u8(input);
	u64 index = core->trail.last;

	switch (how & 3) {
	case 0:
	case 1:
		if (how & 0xf0)
			index = qbd_max(world.written, core->trail.base_index) + (how >> 4);
		if (index > core->trail.last)
			break;
		world.written = qbd_max(world.written, index);
		qbd_core_log_durable(core, world.now, qbd_core_generation(core),
				     qbd_core_term_at(core, index), index);
		break;
	case 2:
		world.durable_vote = core->hard_seq;
		qbd_core_hard_state_durable(core, world.now, core->hard_seq);
		break;
	default:
		index = qbd_min(core->commit, core->durable);
		if (index >= (how >> 4) && !(how & 4))
			qbd_core_log_compacted(core, index - (how >> 4) + 1);
		else if (how == 0xff)
			qbd_core_storage_failed(core, world.now);
		break;
	}
}

static void request(struct input *input)
{
	struct qbd_core *core = &world.core;
	u8 how = take_u8(input);
	struct qbd_core_options options;
	struct qbd_config config;
	u32 peer;
	u64 index;

	switch (how & 7) {
	case 0:
	case 1:
		if (qbd_core_propose(core, world.now, QBD_ENTRY_DATA, NULL, &index) ==
		    QBD_PROPOSE_OK)
			REQUIRE(index == core->trail.last);
		break;
	case 2:
		take_config(input, &config);
		if (!qbd_config_check(&config))
			qbd_core_propose(core, world.now, QBD_ENTRY_CONFIG, &config, &index);
		break;
	case 3:
		qbd_core_read(core, world.now, ++world.ticket,
			      how & 8 ? QBD_CORE_READ_LEASE : QBD_CORE_READ_QUORUM);
		qbd_core_lease_valid(core, world.now);
		break;
	case 4:
		qbd_core_transfer(core, world.now, how & 8 ? take_peer(input) : 2);
		break;
	case 5:
		qbd_core_options_default(&options);
		if (how & 8)
			options.election_timeout *= 2;
		if (how & 16)
			options.window = 4096;
		qbd_core_set_options(core, world.now, &options);
		break;
	case 6:
		peer = take_peer(input);
		if (how & 8)
			cut_off(peer);
		else
			qbd_core_peer_connected(core, world.now, peer, how & 16 ?
						QBD_LINK_BULK : QBD_LINK_CONTROL);
		break;
	default:
		/* COUNTS comes back when all is whole; it goes with a reset only. */
		qbd_core_set_fitness(core, world.now, QBD_MAY_VOTE | QBD_COUNTS |
				     (how & 8 ? 0 : QBD_MAY_LEAD));
		break;
	}
}

/* Its time is over, the disk writes, and others grant it what it asks for. */
static void campaign(void)
{
	struct qbd_core *core = &world.core;
	struct qbd_core_message grant = {
		.to = SELF, .flags = QBD_MESSAGE_GRANTED,
	};
	u64 deadline = qbd_core_deadline(core);

	if (deadline == QBD_NEVER || core->role == QBD_ROLE_LEADER)
		return;
	world.now = qbd_max(world.now, deadline);
	qbd_core_tick(core, world.now);
	for (u32 round = 0; round < 2; round++) {
		drain();
		world.durable_vote = core->hard_seq;
		qbd_core_hard_state_durable(core, world.now, core->hard_seq);
		drain();
		for (grant.from = 2; grant.from < 10; grant.from++) {
			bool real = core->role == QBD_ROLE_CANDIDATE;

			if (!real && core->role != QBD_ROLE_PRECANDIDATE)
				break;
			grant.type = real ? QBD_MESSAGE_VOTE_REPLY : QBD_MESSAGE_PREVOTE_REPLY;
			grant.term = core->term + !real;
			qbd_core_receive(core, world.now, &grant);
			drain();
		}
	}
}

static void event(struct input *input)
{
	struct qbd_core *core = &world.core;
	u8 what = take_u8(input);
	u64 deadline;

	world.now += (u64)(what >> 4) * 1000000;
	switch (what & 0x0f) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		receive_message(input);
		break;
	case 5:
	case 6:
	case 7:
		receive_append(input);
		break;
	case 8:
		receive_reset(input);
		break;
	case 9:
	case 10:
	case 11:
		disk_event(input);
		break;
	case 12:
	case 13:
		request(input);
		break;
	case 14:
		campaign();
		break;
	default:
		deadline = qbd_core_deadline(core);
		if (deadline != QBD_NEVER)
			world.now = qbd_max(world.now, deadline);
		qbd_core_tick(core, world.now);
		break;
	}
	drain();
}

static void start(struct input *input)
{
	struct qbd_core *core = &world.core;
	struct qbd_core_options options;
	struct qbd_config config;
	u8 how = take_u8(input);
	u8 entries = take_u8(input);
	u64 term = how & 8 ? 5 : 0;
	u64 base = how & 16 ? 100 : 0;

	memset(&world, 0, sizeof(world));
	world.now = 1000000000;
	world.start = base;
	qbd_core_options_default(&options);
	qbd_core_init(core, SELF, &options, how);
	qbd_core_restore_hard_state(core, term + 1, how & 32 ? 2 : 0);
	memset(&config, 0, sizeof(config));
	config.count = 1 + (how & 7);
	for (u32 i = 0; i < config.count; i++) {
		config.members[i].id = 1 + i;
		config.members[i].flags = QBD_CORE_VOTER;
	}
	qbd_core_restore_base(core, base, base ? 1 + term / 2 : 0, &config, 0);
	for (u32 i = 0; i < (entries & 31u); i++) {
		struct qbd_entry entry = {
			.term = 1 + term / 2 + (entries & 0x80 ? i / 8 : 0),
			.kind = QBD_ENTRY_DATA,
		};

		REQUIRE(qbd_core_restore_entry(core, &entry));
	}
	qbd_core_restore_commit(core, base + (entries >> 5 & 3));
	world.votes[0].term = term + 1;
	world.votes[0].vote = how & 32 ? 2 : 0;
	world.written = core->trail.last;
	qbd_core_start(core, world.now);
	for (u32 peer = 2; peer < 10; peer++) {
		qbd_core_peer_connected(core, world.now, peer, QBD_LINK_CONTROL);
		qbd_core_peer_connected(core, world.now, peer, QBD_LINK_BULK);
	}
	drain();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	if (size > 4096)
		return 0;
	start(&input);
	while (input.left)
		event(&input);
	return 0;
}
