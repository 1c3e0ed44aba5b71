// SPDX-License-Identifier: GPL-2.0
/* What is wrong with a device, and what would be if one thing more went wrong. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "lib/parse.h"
#include "qbdadm/render.h"

/* A log write that has waited so long is worth a word. */
#define SLOW_WRITE_NS	1000000000ULL
#define LOG_FULL_PERCENT	90
/* Names, and a command with two of them. */
#define STEP_SIZE	224
#define MORE_STEPS	", ..."

static void add(struct qbdadm_problems *problems, bool bad, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void add(struct qbdadm_problems *problems, bool bad, const char *format, ...)
{
	struct qbdadm_problem *problem;
	va_list arguments;

	if (problems->count == QBDADM_PROBLEMS_MAX)
		return;
	problem = &problems->list[problems->count++];
	problem->bad = bad;
	va_start(arguments, format);
	vsnprintf(problem->text, sizeof(problem->text), format, arguments);
	va_end(arguments);
}

/* Names of the members that this one cannot reach, for "start or reconnect". */
static const char *list_missing(const struct qbd_status *status, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < status->member_count; i++) {
		const struct qbd_member_status *member = &status->members[i];

		if (member->self || member->connected ||
		    !(member->flags & QBD_MEMBER_FLAGS_VOTER))
			continue;
		used += snprintf(text + used, size - used, "%s%s", used ? ", " : "",
				 member->name);
		if (used >= size)
			break;
	}
	return text;
}

static void add_quorum(const struct qbd_status *status, struct qbdadm_problems *problems)
{
	bool fails = status->settings.no_quorum == QBD_NO_QUORUM_POLICY_ERROR;
	uint32_t missing = status->quorum_needed > status->voters_up ?
			   status->quorum_needed - status->voters_up : 0;
	char names[128], waiting[64] = "";

	if (status->has_quorum)
		return;
	if (status->requests_waiting)
		snprintf(waiting, sizeof(waiting), " (%" PRIu64 " request%s)",
			 status->requests_waiting, status->requests_waiting == 1 ? "" : "s");
	if (status->leader && !missing)
		add(problems, true, "a witness leads: I/O %s%s until a member with data has all that was committed",
		    fails ? "fails" : "waits", waiting);
	else if (missing)
		add(problems, true, "no quorum: I/O %s%s; bring back %u of: %s",
		    fails ? "fails" : "waits", waiting, missing,
		    list_missing(status, names, sizeof(names)));
	else
		add(problems, true, "no leader: I/O %s%s until the members have elected one",
		    fails ? "fails soon" : "waits", waiting);
}

static void add_disk(const struct qbd_status *status, struct qbdadm_problems *problems)
{
	char age[32];

	if (status->failed || status->store.failed)
		add(problems, true, "the disk of this member failed: it vouches for nothing any more; take it down, replace the disk");
	if (status->damaged)
		add(problems, true, "this member lost acknowledged records: it neither votes nor leads until they were sent again");
	if (status->store.oldest_write_ns >= SLOW_WRITE_NS) {
		snprintf(age, sizeof(age), "%.1f", (double)status->store.oldest_write_ns / 1e9);
		add(problems, false, "the disk of this member is slow: a write to it has waited for %s s",
		    age);
	}
}

bool qbdadm_is_silent(const struct qbd_status *status,
		      const struct qbd_member_status *member)
{
	return member->progress_known && member->last_heard_ms != UINT64_MAX &&
	       member->last_heard_ms > (uint64_t)2 * status->settings.election_timeout_ms;
}

static void add_members(const struct qbd_status *status, struct qbdadm_problems *problems)
{
	for (uint32_t i = 0; i < status->member_count; i++) {
		const struct qbd_member_status *member = &status->members[i];
		const char *why = member->network.last_error;

		if (member->self)
			continue;
		if (!member->connected)
			add(problems, false, "%s (%u): %s", member->name, member->id,
			    why[0] ? why : "not connected");
		else if (qbdadm_is_silent(status, member))
			add(problems, false, "%s (%u): no answer, although it is connected",
			    member->name, member->id);
	}
}

static void add_reserve(const struct qbd_status *status, struct qbdadm_problems *problems)
{
	if (!status->has_quorum || status->may_lose > 0)
		return;
	if (status->voters == 1)
		add(problems, false, "one member only: if it fails, I/O stops");
	else
		add(problems, false, "no reserve: if one more member fails, I/O stops");
}

static void add_progress(const struct qbd_status *status, struct qbdadm_problems *problems)
{
	char fill[QBDADM_PROGRESS_TEXT_SIZE];
	uint64_t percent;

	if (status->filling && status->fill.total) {
		add(problems, false, "this member's data is being filled: %s",
		    qbdadm_fill_text(&status->fill, fill, sizeof(fill)));
	} else if (status->filling) {
		add(problems, false, "this member's data is being filled by the leader");
	}
	if (!status->store.log_bytes)
		return;
	percent = status->store.log_used_bytes * 100 / status->store.log_bytes;
	if (percent >= LOG_FULL_PERCENT)
		add(problems, false, "the log is %" PRIu64 " %% full: writes slow down until data is applied",
		    percent);
}

/* As far as it is known here: the leader knows, in each mode. */
static bool leaves_when_closed(const struct qbd_status *status,
			       const struct qbd_member_status *member)
{
	return member->flags & QBD_MEMBER_FLAGS_VOTER &&
	       member->flags & QBD_MEMBER_FLAGS_LEAVING &&
	       !(member->flags & QBD_MEMBER_FLAGS_FORCED) && status->claim_holder == member->id;
}

/* It is whole, and lacks nothing of what was written until a moment ago. */
static bool has_caught_up(const struct qbd_member_status *member)
{
	return member->progress_known && !member->needs_extents && !member->behind_entries;
}

/* What is still to happen with that member; empty: nothing. */
static void describe_step(const struct qbd_status *status,
			  const struct qbd_member_status *member, char *text, size_t size)
{
	const struct qbd_member_status *other = qbd_status_waits_for(status, member);
	const char *what = "";

	if (other) {
		snprintf(text, size, "%s (%u) votes until %s (%u) does", member->name, member->id,
			 other->name, other->id);
		return;
	}
	text[0] = '\0';
	if (member->flags & QBD_MEMBER_FLAGS_JOINING && !member->connected && !member->self) {
		snprintf(text, size,
			 "%s (%u) is not connected ('qbdadm member remove %s %s' if it does not come back)",
			 member->name, member->id, status->name, member->name);
		return;
	}
	if (leaves_when_closed(status, member)) {
		snprintf(text, size,
			 "%s (%u) votes until its host does not use the device any more",
			 member->name, member->id);
		return;
	}
	if (member->flags & QBD_MEMBER_FLAGS_JOINING)
		what = has_caught_up(member) ? "has caught up, and does not vote yet" :
					       "has not caught up";
	else if (member->flags & QBD_MEMBER_FLAGS_DEMOTING)
		what = "still votes";
	else if (member->flags & QBD_MEMBER_FLAGS_LEAVING)
		what = "is leaving";
	else if (member->flags & QBD_MEMBER_FLAGS_VOTER_OLD)
		what = "changes its vote";
	if (what[0])
		snprintf(text, size, "%s (%u) %s", member->name, member->id, what);
}

/* Each of them is there as a whole, or not at all: half a command is none. */
const char *qbdadm_open_steps(const struct qbd_status *status, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < status->member_count; i++) {
		char step[STEP_SIZE];

		describe_step(status, &status->members[i], step, sizeof(step));
		if (!step[0])
			continue;
		if (used + strlen(", ") + strlen(step) + sizeof(MORE_STEPS) > size) {
			snprintf(text + used, size - used, "%s", used ? MORE_STEPS : "...");
			break;
		}
		used += snprintf(text + used, size - used, "%s%s", used ? ", " : "", step);
	}
	return text;
}

static void add_changes(const struct qbd_status *status, struct qbdadm_problems *problems)
{
	char steps[224];

	if (qbdadm_open_steps(status, steps, sizeof(steps))[0])
		add(problems, false, "members are changing: %s", steps);
}

static void add_differences(const struct qbd_status *status, struct qbdadm_problems *problems)
{
	const struct qbd_verification *verify = &status->verify;
	uint64_t left = verify->different - verify->repaired;

	if (verify->repaired < verify->different)
		add(problems, true, "replicas differ in %" PRIu64 " block%s: 'qbdadm verify %s --repair' makes them equal where a majority agrees",
		    left, left == 1 ? "" : "s", status->name);
	if (status->unreadable_blocks > status->mended_blocks)
		add(problems, false, "this disk fails to read %" PRIu64 " block%s of its data, which others hold",
		    status->unreadable_blocks - status->mended_blocks,
		    status->unreadable_blocks - status->mended_blocks == 1 ? "" : "s");
}

void qbdadm_find_problems(const struct qbd_status *status,
			  struct qbdadm_problems *problems)
{
	problems->count = 0;
	/* Whom it cannot reach, and for what, is of no interest any more. */
	if (status->removed) {
		add(problems, true, "%s", status->problem);
		return;
	}
	add_quorum(status, problems);
	add_disk(status, problems);
	/* The module's own words, unless ours say the same. */
	if (status->problem[0] && !status->failed)
		add(problems, true, "%s", status->problem);
	add_reserve(status, problems);
	add_differences(status, problems);
	add_changes(status, problems);
	add_members(status, problems);
	add_progress(status, problems);
	if (status->errors)
		add(problems, false, "%" PRIu64 " request%s failed since the member came up",
		    status->errors, status->errors == 1 ? "" : "s");
}
