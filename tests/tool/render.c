// SPDX-License-Identifier: GPL-2.0
/*
 * Status and events as qbdadm prints them, from fixed structures.
 *
 *   render NAME      print the case NAME
 *   render --list    the names of all cases
 */
#include <stdio.h>
#include <string.h>

#include "lib/parse.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/render.h"

#define GIB (1024ULL * 1024 * 1024)
#define MIB (1024ULL * 1024)

static void add_member(struct qbd_status *status, uint32_t id, const char *name)
{
	struct qbd_member_status *member = &status->members[status->member_count++];
	struct qbd_error error;
	char address[32];

	status->next_member_id = id + 1;
	member->id = id;
	snprintf(member->name, sizeof(member->name), "%s", name);
	snprintf(address, sizeof(address), "192.0.2.%u", id);
	if (qbd_parse_address(address, &member->address, &error))
		fputs(error.text, stderr);
	member->flags = QBD_MEMBER_FLAGS_VOTER;
	member->priority = 100;
	member->connected = true;
	member->last_heard_ms = UINT64_MAX;
	member->self = id == status->member_id;
	member->leader = id == status->leader;
	if (status->role == QBD_MEMBER_ROLE_LEADER) {
		member->progress_known = true;
		member->progress_state = QBD_PROGRESS_STATE_REPLICATE;
		member->match_index = status->last_index;
		member->next_index = status->last_index + 1;
		member->last_heard_ms = 12;
	}
}

/* Three members, all well, seen by @self; alpha leads. */
static struct qbd_status three(uint32_t self)
{
	struct qbd_status status = {
		.name = "vol0", .number = 0, .member_id = self, .device_bytes = 2 * GIB,
		.uuid = { 0x15, 0xb3, 0xd7, 0xe9, 0x3f, 0x4e, 0x44, 0x2e,
			  0x96, 0x7e, 0x41, 0xf7, 0x3f, 0x86, 0x00, 0x89 },
		.role = self == 1 ? QBD_MEMBER_ROLE_LEADER : QBD_MEMBER_ROLE_FOLLOWER,
		.term = 7, .leader = 1, .has_quorum = true, .voters = 3, .quorum_needed = 2,
		.voters_up = 3, .may_lose = 1, .first_index = 100, .last_index = 4711,
		.durable_index = 4711, .commit_index = 4711, .applied_index = 4700,
		.in_use = self == 1, .memory_bytes = 64 * MIB, .memory_free_bytes = 60 * MIB,
		.lease_valid = self == 1,
		.claim_holder = 1, .claim_epoch = 4000, .claim_since_ms = 60000,
		.claim_state = self == 1 ? QBD_CLAIM_STATE_HELD : QBD_CLAIM_STATE_NONE,
		.claim_lease_left_ms = UINT64_MAX,
		.settings = { .election_timeout_ms = 150, .heartbeat_ms = 50,
			      .window_bytes = 8 * MIB },
		.store = { .log_bytes = 256 * MIB, .log_used_bytes = 31 * MIB },
	};

	add_member(&status, 1, "alpha");
	add_member(&status, 2, "beta");
	add_member(&status, 3, "gamma");
	return status;
}

static struct qbd_status well(void)
{
	return three(1);
}

static struct qbd_status follower(void)
{
	return three(2);
}

static struct qbd_status one_down(void)
{
	struct qbd_status status = three(1);
	struct qbd_member_status *gamma = &status.members[2];

	status.voters_up = 2;
	status.may_lose = 0;
	status.requests_in_flight = 3;
	gamma->connected = false;
	gamma->behind_entries = 120;
	gamma->behind_bytes = 12 * MIB + 300 * 1024;
	gamma->last_heard_ms = 187000;
	strcpy(gamma->network.last_error, "no route to host");
	return status;
}

static struct qbd_status catching_up(void)
{
	struct qbd_status status = three(1);

	status.may_lose = 0;
	status.members[1].behind_entries = 1;
	status.members[1].behind_bytes = 8192;
	status.members[2].needs_extents = true;
	status.members[2].progress_state = QBD_PROGRESS_STATE_NEEDS_EXTENTS;
	status.members[2].behind_entries = 90210;
	status.members[2].behind_bytes = 5 * GIB;
	status.members[2].last_heard_ms = 34;
	status.members[2].match_index = 0;
	status.claim_holder = 2;
	status.claim_state = QBD_CLAIM_STATE_NONE;
	status.claim_lease_left_ms = 4988;
	status.members[2].fill = (struct qbd_progress){
		.done = 512, .total = 2048, .left = 700, .rate = 5 * MIB, .seconds_left = 140,
	};
	return status;
}

/* By the log, at a rate that is known, and at one that is not known yet. */
static struct qbd_status catching_up_by_log(void)
{
	struct qbd_status status = three(1);
	struct qbd_member_status *beta = &status.members[1], *gamma = &status.members[2];

	beta->behind_entries = 48;
	beta->behind_bytes = 12 * MIB;
	beta->catch_up = (struct qbd_progress){
		.done = 28 * MIB, .total = 40 * MIB, .left = 12 * MIB, .rate = 4 * MIB,
		.seconds_left = 3,
	};
	gamma->behind_entries = 160;
	gamma->behind_bytes = 40 * MIB;
	gamma->catch_up = (struct qbd_progress){
		.total = 40 * MIB, .left = 40 * MIB, .seconds_left = UINT64_MAX,
	};
	return status;
}

static struct qbd_status no_quorum(void)
{
	struct qbd_status status = three(2);

	status.role = QBD_MEMBER_ROLE_PRECANDIDATE;
	status.leader = 0;
	status.has_quorum = false;
	status.voters_up = 1;
	status.may_lose = -1;
	status.suspended = true;
	status.requests_waiting = 12;
	status.in_use = 1;
	for (int i = 0; i < 3; i += 2) {
		status.members[i].connected = false;
		status.members[i].leader = false;
		status.members[i].last_heard_ms = 2 * 3600000ULL;
		strcpy(status.members[i].network.last_error, "connection timed out");
	}
	status.claim_holder = 0;
	return status;
}

static struct qbd_status no_quorum_error(void)
{
	struct qbd_status status = no_quorum();

	status.settings.no_quorum = QBD_NO_QUORUM_POLICY_ERROR;
	status.requests_waiting = 0;
	status.errors = 1;
	return status;
}

static struct qbd_status electing(void)
{
	struct qbd_status status = three(3);

	status.role = QBD_MEMBER_ROLE_CANDIDATE;
	status.leader = 0;
	status.has_quorum = false;
	status.requests_waiting = 1;
	status.members[0].leader = false;
	return status;
}

static struct qbd_status disk_failed(void)
{
	struct qbd_status status = three(2);

	status.failed = true;
	status.store.failed = true;
	strcpy(status.problem, "log write failed: I/O error");
	return status;
}

static struct qbd_status filling(void)
{
	struct qbd_status status = three(3);

	status.filling = true;
	status.fill = (struct qbd_progress){
		.done = 370, .total = 1000, .left = 630, .rate = 96 * MIB, .seconds_left = 6,
	};
	status.store.log_used_bytes = 240 * MIB;
	status.store.oldest_write_ns = 2100000000ULL;
	return status;
}

static struct qbd_status damaged(void)
{
	struct qbd_status status = three(2);

	status.damaged = true;
	status.claim_state = QBD_CLAIM_STATE_FENCED;
	return status;
}

static struct qbd_status single(void)
{
	struct qbd_status status = three(1);

	strcpy(status.name, "a-device_with.a-long-name");
	status.number = 17;
	status.device_bytes = 1536 * GIB;
	status.voters = 1;
	status.voters_up = 1;
	status.quorum_needed = 1;
	status.may_lose = 0;
	status.member_count = 1;
	status.claim_mode = QBD_CLAIM_MODE_SHARED;
	status.claim_holder = 0;
	return status;
}

/* One of each kind, for the JSON, too. */
static struct qbd_status nine(void)
{
	static const char *const names[] = {
		"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota"
	};
	struct qbd_status status = three(1);

	status.member_count = 0;
	status.voters = 7;
	status.quorum_needed = 4;
	status.voters_up = 5;
	status.may_lose = 1;
	strcpy(status.problem, "something that a person has to look at");
	for (uint32_t i = 0; i < 9; i++)
		add_member(&status, i + 1, names[i]);
	status.members[2].progress_state = QBD_PROGRESS_STATE_PROBE;
	status.members[3].last_heard_ms = 900;
	status.members[4].connected = false;
	status.members[4].last_heard_ms = UINT64_MAX;
	strcpy(status.members[4].network.last_error, "the secret does not match");
	status.members[5].connected = false;
	status.members[5].last_heard_ms = 3 * 24 * 3600000ULL;
	status.members[6].flags |= QBD_MEMBER_FLAGS_WITNESS;
	status.members[7].flags = QBD_MEMBER_FLAGS_LEARNER;
	status.members[8].flags = QBD_MEMBER_FLAGS_LEARNER;
	return status;
}

/* A learner comes, a voter goes. */
static struct qbd_status changing(void)
{
	struct qbd_status status = three(1);

	add_member(&status, 4, "delta");
	status.members[2].flags |= QBD_MEMBER_FLAGS_LEAVING;
	status.members[3].flags = QBD_MEMBER_FLAGS_LEARNER | QBD_MEMBER_FLAGS_JOINING;
	status.members[3].needs_extents = true;
	status.members_index = 4700;
	status.next_member_id = 5;
	return status;
}

/* Who comes has all, and who goes waits for nobody but its users. */
static struct qbd_status changing_in_use(void)
{
	struct qbd_status status = changing();

	status.claim_holder = 3;
	status.members[2].group = 1;
	status.members[3].needs_extents = false;
	return status;
}

/* Many come, are away and have long names: what there is no room for is not told by half. */
static struct qbd_status changing_many(void)
{
	struct qbd_status status = three(1);

	for (uint32_t id = 4; id <= 6; id++) {
		char name[QBD_MEMBER_NAME_SIZE];

		snprintf(name, sizeof(name), "host-%u.storage.example.net", id);
		add_member(&status, id, name);
		status.members[id - 1].flags = QBD_MEMBER_FLAGS_LEARNER |
					       QBD_MEMBER_FLAGS_JOINING;
		status.members[id - 1].connected = false;
	}
	status.members_index = 4700;
	status.next_member_id = 7;
	return status;
}

/* This member was taken out. */
static struct qbd_status removed(void)
{
	struct qbd_status status = three(2);

	status.removed = true;
	status.members[1].flags = QBD_MEMBER_FLAGS_LEARNER | QBD_MEMBER_FLAGS_LEAVING;
	strcpy(status.problem, "this member was removed from the device: take it down");
	return status;
}

/* This member was taken out while it was away: nobody takes its connections. */
static struct qbd_status removed_while_away(void)
{
	struct qbd_status status = no_quorum();

	status.removed = true;
	strcpy(status.problem, "this member was removed from the device: take it down");
	strcpy(status.members[0].network.last_error, "refused: removed from the device");
	strcpy(status.members[2].network.last_error, "refused: removed from the device");
	return status;
}

/* Being compared; some was repaired, about some nobody agrees. */
static struct qbd_status verifying(void)
{
	struct qbd_status status = three(1);

	status.unreadable_blocks = 3;
	status.mended_blocks = 2;
	status.verify = (struct qbd_verification){
		.state = QBD_VERIFY_STATE_RUNNING, .repair = true, .rate = 32 << 20,
		.first_block = 1000, .end_block = 3000, .next_block = 1740,
		.compared = 739, .different = 5, .undecided = 1, .repaired = 4, .skipped = 1,
		.member_count = 2,
		.members = { { .id = 1, .compared = 739 },
			     { .id = 2, .compared = 700, .different = 4,
			       .missed = QBD_VERIFY_MISSED_AWAY } },
		.difference_count = 2,
		.differences = { { .first = 1024, .count = 4, .repaired = 4, .member = 2,
				   .kind = QBD_VERIFY_KIND_DIFFERENT },
				 { .first = 1111, .count = 1,
				   .kind = QBD_VERIFY_KIND_UNDECIDED } },
	};
	return status;
}

/* The one with the data is lost, and the witness cannot help the other. */
static struct qbd_status witness_leads(void)
{
	struct qbd_status status = three(3);

	status.number = QBD_NO_NUMBER;
	status.role = QBD_MEMBER_ROLE_LEADER;
	status.leader = 3;
	status.has_quorum = false;
	status.voters_up = 2;
	status.may_lose = -1;
	status.claim_holder = 0;
	status.members[0].leader = false;
	status.members[0].connected = false;
	strcpy(status.members[0].network.last_error, "no route to host");
	status.members[2].leader = true;
	status.members[2].flags |= QBD_MEMBER_FLAGS_WITNESS;
	strcpy(status.problem, "no data member that is up has all committed writes, and this witness's log is too short: bring back alpha");
	return status;
}

/* On the host of a client; another client is away. */
static struct qbd_status client(void)
{
	struct qbd_status status = three(4);

	status.in_use = 1;
	add_member(&status, 4, "delta");
	add_member(&status, 5, "epsilon");
	for (uint32_t i = 3; i < 5; i++)
		status.members[i].flags = QBD_MEMBER_FLAGS_LEARNER | QBD_MEMBER_FLAGS_CLIENT;
	status.members[4].connected = false;
	return status;
}

static const struct {
	const char *name;
	struct qbd_status (*make)(void);
} cases[] = {
	{ "well", well },
	{ "follower", follower },
	{ "one-down", one_down },
	{ "catching-up", catching_up },
	{ "catching-up-by-log", catching_up_by_log },
	{ "no-quorum", no_quorum },
	{ "no-quorum-error", no_quorum_error },
	{ "electing", electing },
	{ "disk-failed", disk_failed },
	{ "filling", filling },
	{ "damaged", damaged },
	{ "single", single },
	{ "nine", nine },
	{ "changing", changing },
	{ "changing-in-use", changing_in_use },
	{ "changing-many", changing_many },
	{ "removed", removed },
	{ "removed-while-away", removed_while_away },
	{ "verifying", verifying },
	{ "witness-leads", witness_leads },
	{ "client", client },
};

#define CASE_COUNT (sizeof(cases) / sizeof(cases[0]))

/* Every type of event, and one that is newer than this program. */
static void print_events(bool json)
{
	for (uint32_t type = QBD_EVENT_TYPE_UP; type <= QBD_EVENT_TYPE_CATCH_UP_DONE + 1; type++) {
		struct qbd_event event = {
			.type = type, .sequence = type + 40, .name = "vol0", .number = 3,
			.member_id = 2, .role = QBD_MEMBER_ROLE_FOLLOWER, .term = 7,
			.leader = type == QBD_EVENT_TYPE_LEADER ? 1 : 0,
			.peer = type == QBD_EVENT_TYPE_PEER_UP ||
				type == QBD_EVENT_TYPE_PEER_DOWN ||
				type == QBD_EVENT_TYPE_FILL_PROGRESS ||
				type == QBD_EVENT_TYPE_CATCH_UP_PROGRESS ||
				type == QBD_EVENT_TYPE_CATCH_UP_DONE ||
				type == QBD_EVENT_TYPE_REFUSED ? 3 : 0,
			.progress = type == QBD_EVENT_TYPE_FILL_PROGRESS ?
				(struct qbd_progress){ 37, 100, 20, 4 * MIB, 5 } :
				type == QBD_EVENT_TYPE_CATCH_UP_PROGRESS ?
				(struct qbd_progress){ 10 * MIB, 40 * MIB, 30 * MIB, 4 * MIB, 7 } :
				(struct qbd_progress){ .seconds_left = UINT64_MAX },
			.text = "words",
		};

		if (json)
			qbdadm_print_json(qbdadm_event_json(&event));
		else
			qbdadm_render_event(stdout, &event);
	}
}

static int print_case(const char *name, bool json, bool colour)
{
	for (size_t i = 0; i < CASE_COUNT; i++) {
		struct qbd_status status;

		if (strcmp(name, cases[i].name))
			continue;
		status = cases[i].make();
		if (json)
			qbdadm_print_json(qbdadm_status_json(&status));
		else
			qbdadm_render_status(stdout, &status, colour);
		return 0;
	}
	fprintf(stderr, "render: %s: no such case\n", name);
	return 2;
}

int main(int argc, char **argv)
{
	char name[32];
	size_t length;

	if (argc != 2)
		return 2;
	length = strlen(argv[1]);
	if (!strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < CASE_COUNT; i++)
			puts(cases[i].name);
		puts("well-colour\nno-quorum-colour\nnine-json\ncatching-up-by-log-json\nverifying-json\nevents\nevents-json");
		return 0;
	}
	if (!strcmp(argv[1], "events") || !strcmp(argv[1], "events-json")) {
		print_events(argv[1][6]);
		return 0;
	}
	if (length > 5 && length < sizeof(name) + 5 && !strcmp(argv[1] + length - 5, "-json")) {
		snprintf(name, sizeof(name), "%.*s", (int)length - 5, argv[1]);
		return print_case(name, true, false);
	}
	if (!strcmp(argv[1], "well-colour"))
		return print_case("well", false, true);
	if (!strcmp(argv[1], "no-quorum-colour"))
		return print_case("no-quorum", false, true);
	return print_case(argv[1], false, false);
}
