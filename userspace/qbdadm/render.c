// SPDX-License-Identifier: GPL-2.0
/* A status on the terminal. */
#include <inttypes.h>
#include <string.h>

#include "lib/parse.h"
#include "qbdadm/render.h"

#define RED	"\033[1;31m"
#define YELLOW	"\033[33m"
#define GREEN	"\033[32m"
#define BOLD	"\033[1m"
#define PLAIN	"\033[0m"

#define CELL_SIZE	96

/* Columns of the table of members. */
enum { COLUMN_MEMBER, COLUMN_ROLE, COLUMN_STATE, COLUMN_BEHIND, COLUMN_HEARD, COLUMNS };

struct row {
	char cells[COLUMNS][CELL_SIZE];
	const char *colour;
};

static const char *paint(bool colour, const char *sequence)
{
	return colour ? sequence : "";
}

const char *qbdadm_member_text(const struct qbd_status *status, uint32_t id, char *text,
			       size_t size)
{
	const struct qbd_member_status *member = qbd_status_member(status, id);

	if (!id)
		snprintf(text, size, "nobody");
	else if (member)
		snprintf(text, size, "%s (%u)", member->name, id);
	else
		snprintf(text, size, "member %u", id);
	return text;
}

/* "40 ms ago", "3.2 s ago", "5 min ago", "2 h ago", "3 d ago". */
static void render_age(uint64_t ms, char *text)
{
	if (ms < 1000)
		snprintf(text, CELL_SIZE, "%" PRIu64 " ms ago", ms);
	else if (ms < 60000)
		snprintf(text, CELL_SIZE, "%" PRIu64 ".%" PRIu64 " s ago", ms / 1000,
			 ms % 1000 / 100);
	else if (ms < 3600000)
		snprintf(text, CELL_SIZE, "%" PRIu64 " min ago", ms / 60000);
	else if (ms < (uint64_t)48 * 3600000)
		snprintf(text, CELL_SIZE, "%" PRIu64 " h ago", ms / 3600000);
	else
		snprintf(text, CELL_SIZE, "%" PRIu64 " d ago", ms / ((uint64_t)24 * 3600000));
}

static void render_heard(const struct qbd_member_status *member, char *text)
{
	if (member->last_heard_ms != UINT64_MAX)
		render_age(member->last_heard_ms, text);
	else
		snprintf(text, CELL_SIZE, "%s", member->connected ? "-" : "never");
}

/* "37 %, 630 extents left, 96 MiB/s, 7 s"; what is not known is left out. */
static const char *progress_text(const struct qbd_progress *progress, const char *left,
				 char *text, size_t size)
{
	char rate[QBD_SIZE_TEXT_SIZE];
	uint64_t seconds = progress->seconds_left;
	int used;

	used = snprintf(text, size, "%" PRIu64 " %%, %s left",
			progress->total ? progress->done * 100 / progress->total : 0, left);
	if (!progress->rate || used < 0 || (size_t)used >= size)
		return text;
	used += snprintf(text + used, size - used, ", %s/s",
			 qbd_size_text(progress->rate, rate));
	if (seconds == UINT64_MAX || (size_t)used >= size)
		return text;
	if (seconds < 120)
		snprintf(text + used, size - used, ", %" PRIu64 " s", seconds);
	else if (seconds < 7200)
		snprintf(text + used, size - used, ", %" PRIu64 " min", seconds / 60);
	else
		snprintf(text + used, size - used, ", %" PRIu64 " h", seconds / 3600);
	return text;
}

const char *qbdadm_fill_text(const struct qbd_progress *fill, char *text, size_t size)
{
	char left[32];

	snprintf(left, sizeof(left), "%" PRIu64 " extents", fill->left);
	return progress_text(fill, left, text, size);
}

const char *qbdadm_catch_up_text(const struct qbd_progress *catch_up, char *text, size_t size)
{
	char left[QBD_SIZE_TEXT_SIZE];

	return progress_text(catch_up, qbd_size_text(catch_up->left, left), text, size);
}

static void render_behind(const struct qbd_member_status *member, char *text)
{
	char size[QBD_SIZE_TEXT_SIZE];

	if (member->self || !member->progress_known)
		snprintf(text, CELL_SIZE, "-");
	else if (!member->behind_entries)
		snprintf(text, CELL_SIZE, "0");
	else
		snprintf(text, CELL_SIZE, "%s, %" PRIu64 " record%s",
			 qbd_size_text(member->behind_bytes, size), member->behind_entries,
			 member->behind_entries == 1 ? "" : "s");
}

static void own_state(const struct qbd_status *status, struct row *row)
{
	const char *text = "up";

	row->colour = GREEN;
	if (status->failed || status->store.failed) {
		text = "disk failed";
		row->colour = RED;
	} else if (status->damaged) {
		text = "damaged";
		row->colour = RED;
	} else if (status->filling) {
		text = "being filled";
		row->colour = YELLOW;
	}
	snprintf(row->cells[COLUMN_STATE], CELL_SIZE, "%s", text);
}

static void peer_state(const struct qbd_status *status,
		       const struct qbd_member_status *member, struct row *row)
{
	char progress[QBDADM_PROGRESS_TEXT_SIZE];
	const char *text;

	row->colour = YELLOW;
	if (!member->connected) {
		text = "not connected";
		row->colour = RED;
	} else if (qbdadm_is_silent(status, member)) {
		text = "no answer";
		row->colour = RED;
	} else if (member->needs_extents) {
		text = "being filled";
		if (member->fill.total) {
			qbdadm_fill_text(&member->fill, progress, sizeof(progress));
			snprintf(row->cells[COLUMN_STATE], CELL_SIZE, "filled: %s", progress);
			return;
		}
	} else if (!member->progress_known) {
		text = "connected";
		row->colour = GREEN;
	} else if (member->catch_up.total) {
		qbdadm_catch_up_text(&member->catch_up, progress, sizeof(progress));
		snprintf(row->cells[COLUMN_STATE], CELL_SIZE, "catching up: %s", progress);
		return;
	} else if (member->progress_state == QBD_PROGRESS_STATE_PROBE) {
		text = "joining";
	} else if (member->behind_entries) {
		text = "catching up";
	} else {
		text = "in step";
		row->colour = GREEN;
	}
	snprintf(row->cells[COLUMN_STATE], CELL_SIZE, "%s", text);
}

static const char *member_role(const struct qbd_status *status,
			       const struct qbd_member_status *member)
{
	if (member->leader)
		return "leader";
	if (member->self && status->removed)
		return "removed";
	/* What is to become of it says more than what it is. */
	if (member->flags & QBD_MEMBER_FLAGS_JOINING)
		return "joining";
	if (member->flags & QBD_MEMBER_FLAGS_LEAVING)
		return "leaving";
	if (member->flags & QBD_MEMBER_FLAGS_CLIENT)
		return "client";
	if (member->flags & QBD_MEMBER_FLAGS_LEARNER)
		return "learner";
	if (member->flags & QBD_MEMBER_FLAGS_WITNESS)
		return "witness";
	if (member->self)
		return qbd_role_text(status->role);
	return status->leader ? "follower" : "voter";
}

static void make_row(const struct qbd_status *status, const struct qbd_member_status *member,
		     struct row *row)
{
	snprintf(row->cells[COLUMN_MEMBER], CELL_SIZE, "%s (%u)", member->name, member->id);
	snprintf(row->cells[COLUMN_ROLE], CELL_SIZE, "%s", member_role(status, member));
	if (member->self) {
		own_state(status, row);
		snprintf(row->cells[COLUMN_HEARD], CELL_SIZE, "this host");
	} else {
		peer_state(status, member, row);
		render_heard(member, row->cells[COLUMN_HEARD]);
	}
	render_behind(member, row->cells[COLUMN_BEHIND]);
}

static void print_members(FILE *out, const struct qbd_status *status, bool colour)
{
	struct row rows[QBD_MEMBERS_MAX + 1] = {
		{ .cells = { "member", "role", "state", "behind", "last heard" } }
	};
	size_t widths[COLUMNS] = { 0 };
	uint32_t count = status->member_count + 1;

	for (uint32_t i = 1; i < count; i++)
		make_row(status, &status->members[i - 1], &rows[i]);
	for (uint32_t i = 0; i < count; i++)
		for (int column = 0; column < COLUMNS; column++)
			if (strlen(rows[i].cells[column]) > widths[column])
				widths[column] = strlen(rows[i].cells[column]);
	for (uint32_t i = 0; i < count; i++) {
		fputc(' ', out);
		for (int column = 0; column < COLUMNS - 1; column++) {
			bool painted = column == COLUMN_STATE && rows[i].colour && colour;

			fprintf(out, " %s%-*s%s ", painted ? rows[i].colour : "",
				(int)widths[column], rows[i].cells[column],
				painted ? PLAIN : "");
		}
		fprintf(out, " %s\n", rows[i].cells[COLUMN_HEARD]);
	}
}

static void print_quorum(FILE *out, const struct qbd_status *status, bool colour)
{
	fprintf(out, "  quorum   %u of %u needed, %u up, ", status->quorum_needed,
		status->voters, status->voters_up);
	if (!status->has_quorum)
		fprintf(out, "%snone now%s", paint(colour, RED), paint(colour, PLAIN));
	else if (status->may_lose > 0)
		fprintf(out, "%smay lose %d%s", paint(colour, GREEN), status->may_lose,
			paint(colour, PLAIN));
	else
		fprintf(out, "%smay lose none%s", paint(colour, YELLOW),
			paint(colour, PLAIN));
	fprintf(out, "; PC/EC\n");
}

void qbdadm_render_claim(FILE *out, const struct qbd_status *status)
{
	char holder[64];

	if (status->claim_mode == QBD_CLAIM_MODE_SHARED)
		fprintf(out, "shared: every host may write");
	else if (status->claim_state == QBD_CLAIM_STATE_FENCED)
		fprintf(out, "taken over by %s: I/O of this host fails until it is closed",
			qbdadm_member_text(status, status->claim_holder, holder,
					   sizeof(holder)));
	else if (status->claim_holder)
		fprintf(out, "exclusive: %s, epoch %" PRIu64,
			qbdadm_member_text(status, status->claim_holder, holder,
					   sizeof(holder)), status->claim_epoch);
	else
		fprintf(out, "exclusive: nobody");
	if (status->claim_holder && status->claim_lease_left_ms != UINT64_MAX)
		fprintf(out, ", lease %" PRIu64 " ms", status->claim_lease_left_ms);
	fprintf(out, "\n");
}

static void print_load(FILE *out, const struct qbd_status *status)
{
	uint64_t log = status->store.log_bytes ?
		       status->store.log_used_bytes * 100 / status->store.log_bytes : 0;
	uint64_t used = status->memory_bytes - status->memory_free_bytes;
	uint64_t memory = status->memory_bytes ? used * 100 / status->memory_bytes : 0;
	char log_size[QBD_SIZE_TEXT_SIZE], memory_size[QBD_SIZE_TEXT_SIZE];

	fprintf(out, "  load     %" PRIu64 " in flight, %" PRIu64 " waiting; log %" PRIu64
		" %% of %s, memory %" PRIu64 " %% of %s\n",
		status->requests_in_flight, status->requests_waiting, log,
		qbd_size_text(status->store.log_bytes, log_size), memory,
		qbd_size_text(status->memory_bytes, memory_size));
}

/* What is in force, wherever it was set. */
static void print_rate(FILE *out, const struct qbd_status *status)
{
	char rate[QBD_SIZE_TEXT_SIZE];

	if (status->settings.max_rate)
		fprintf(out, "  rate     members catch up at %s a second at most\n",
			qbd_size_text(status->settings.max_rate, rate));
}

const char *qbdadm_missed_text(const struct qbd_verification *verify,
			       const struct qbd_verify_member *member)
{
	static const char *const texts[] = {
		[QBD_VERIFY_MISSED_NOTHING]	= "",
		[QBD_VERIFY_MISSED_AWAY]	= "not connected",
		[QBD_VERIFY_MISSED_FILLING]	= "not whole",
		[QBD_VERIFY_MISSED_FAILED]	= "its disk failed",
		[QBD_VERIFY_MISSED_SILENT]	= "no answer in time",
	};

	/* Who did not answer and was asked again until it did has missed nothing. */
	if (verify->state != QBD_VERIFY_STATE_RUNNING && !verify->missed &&
	    member->compared >= verify->compared)
		return "";
	return member->missed <= QBD_VERIFY_MISSED_SILENT ? texts[member->missed] :
							    "reason unknown";
}

/* While it is under way; what it found is a problem, or 'qbdadm verify' tells. */
static void print_verify(FILE *out, const struct qbd_verification *verify)
{
	uint64_t total = verify->end_block - verify->first_block;

	if (verify->state != QBD_VERIFY_STATE_RUNNING || !total)
		return;
	fprintf(out, "  verify   %" PRIu64 " %% compared%s, %" PRIu64 " blocks differ\n",
		(verify->next_block - verify->first_block) * 100 / total,
		verify->repair ? " and repaired" : "", verify->different - verify->repaired);
}

void qbdadm_render_status(FILE *out, const struct qbd_status *status, bool colour)
{
	char size[QBD_SIZE_TEXT_SIZE], self[64], leader[64];
	struct qbdadm_problems problems;

	qbdadm_member_text(status, status->member_id, self, sizeof(self));
	fprintf(out, "%s%s%s  ", paint(colour, BOLD), status->name, paint(colour, PLAIN));
	qbd_size_text(status->device_bytes, size);
	if (status->number == QBD_NO_NUMBER)
		fprintf(out, "witness, no device here  %s", size);
	else
		fprintf(out, "/dev/qbd%u  %s  %s", status->number, size,
			status->in_use ? "in use" : "not in use");
	fprintf(out, "    this host: %s, %s, term %" PRIu64 "\n", self,
		qbd_status_is_client(status) ? "client" : qbd_role_text(status->role),
		status->term);
	qbdadm_find_problems(status, &problems);
	for (unsigned int i = 0; i < problems.count; i++)
		fprintf(out, "  %s%s%s %s\n",
			paint(colour, problems.list[i].bad ? RED : YELLOW),
			problems.list[i].bad ? "!!" : "! ", paint(colour, PLAIN),
			problems.list[i].text);
	print_quorum(out, status, colour);
	fprintf(out, "  leader   %s\n",
		status->leader ? qbdadm_member_text(status, status->leader, leader,
						    sizeof(leader)) : "none known");
	fprintf(out, "  claim    ");
	qbdadm_render_claim(out, status);
	print_load(out, status);
	print_rate(out, status);
	print_verify(out, &status->verify);
	print_members(out, status, colour);
}

/* The module's words, unless they say what the line says already. */
static const char *more_words(const struct qbd_event *event)
{
	switch (event->type) {
	case QBD_EVENT_TYPE_PEER_DOWN:
	case QBD_EVENT_TYPE_DISK_FAILED:
	case QBD_EVENT_TYPE_REFUSED:
	case QBD_EVENT_TYPE_QUORUM_LOST:
	case QBD_EVENT_TYPE_MEMBERS:
	case QBD_EVENT_TYPE_CLAIMED:
	case QBD_EVENT_TYPE_RELEASED:
	case QBD_EVENT_TYPE_FENCED:
	case QBD_EVENT_TYPE_RESIZED:
	case QBD_EVENT_TYPE_VERIFY_DIFFERENCE:
	case QBD_EVENT_TYPE_VERIFY_DONE:
	case QBD_EVENT_TYPE_BLOCKS_MENDED:
		return event->text;
	default:
		return "";
	}
}

void qbdadm_render_event(FILE *out, const struct qbd_event *event)
{
	const char *words = more_words(event);
	char progress[QBDADM_PROGRESS_TEXT_SIZE];

	fprintf(out, "%s  %" PRIu64 "  %s", event->name, event->sequence,
		qbd_event_text(event->type));
	switch (event->type) {
	case QBD_EVENT_TYPE_ROLE:
		fprintf(out, ": %s in term %" PRIu64, qbd_role_text(event->role), event->term);
		break;
	case QBD_EVENT_TYPE_LEADER:
		if (event->leader)
			fprintf(out, ": member %u in term %" PRIu64, event->leader,
				event->term);
		else
			fprintf(out, ": none known");
		break;
	case QBD_EVENT_TYPE_FILL_PROGRESS:
		if (event->peer)
			fprintf(out, ": member %u", event->peer);
		qbdadm_fill_text(&event->progress, progress, sizeof(progress));
		fprintf(out, ": %s", progress);
		break;
	case QBD_EVENT_TYPE_CATCH_UP_PROGRESS:
		qbdadm_catch_up_text(&event->progress, progress, sizeof(progress));
		fprintf(out, ": member %u: %s", event->peer, progress);
		break;
	case QBD_EVENT_TYPE_VERIFY_PROGRESS:
		fprintf(out, ": %" PRIu64 " of %" PRIu64 " blocks", event->progress.done,
			event->progress.total);
		break;
	default:
		if (event->peer)
			fprintf(out, ": member %u", event->peer);
	}
	fprintf(out, "%s%s\n", words[0] ? ": " : "", words);
}
