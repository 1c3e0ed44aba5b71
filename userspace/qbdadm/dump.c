// SPDX-License-Identifier: GPL-2.0
/* What is on a member's disk, as JSON first; the text for people is made of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uuid/uuid.h>

#include "format/check.h"
#include "lib/inspect.h"
#include "lib/plan.h"
#include "lib/parse.h"
#include "qbdadm/qbdadm.h"

struct dump_options {
	bool json;
	bool records;
	bool extents;
	bool show_secret;
};

enum {
	OPTION_RECORDS = QBDADM_OPTION_LONG,
	OPTION_EXTENTS,
	OPTION_SHOW_SECRET,
};

static const char *const log_verdicts[] = {
	[QBD_LOG_WHOLE]		= "whole",
	[QBD_LOG_TORN]		= "ends",
	[QBD_LOG_DAMAGED]	= "damaged",
};

static const char *record_kind(unsigned int kind)
{
	static const char *const kinds[] = {
		[QBD_RECORD_NOOP]	= "noop",
		[QBD_RECORD_DATA]	= "data",
		[QBD_RECORD_MEMBERSHIP]	= "membership",
		[QBD_RECORD_CLAIM]	= "claim",
		[QBD_RECORD_SESSION]	= "session",
		[QBD_RECORD_RESIZE]	= "resize",
	};

	if (kind >= sizeof(kinds) / sizeof(kinds[0]) || !kinds[kind])
		return "unknown";
	return kinds[kind];
}

static struct json_object *members_json(const struct qbd_membership_layout *membership)
{
	struct json_object *array = json_object_new_array();
	uint32_t count = le32_to_cpu(membership->count);

	for (uint32_t i = 0; i < count && i < QBD_MEMBERS_MAX; i++) {
		const struct qbd_member_layout *member = &membership->members[i];
		struct json_object *object = json_object_new_object();
		uint16_t flags = le16_to_cpu(member->flags);
		char address[QBD_ADDRESS_TEXT_SIZE], name[QBD_MEMBER_NAME_SIZE + 1];

		/* Whatever is on the disk: a terminal has to stand it. */
		snprintf(name, sizeof(name), "%s",
			 qbd_name_check(member->name, QBD_MEMBER_NAME_SIZE) ==
			 QBD_NAME_GOOD ? member->name : "?");
		qbdadm_json_number(object, "id", le32_to_cpu(member->id));
		qbdadm_json_string(object, "name", name);
		qbdadm_json_string(object, "address",
				   qbd_address_text(&member->address, address));
		qbdadm_json_bool(object, "voter", flags & QBD_MEMBER_VOTER);
		qbdadm_json_bool(object, "voter_old", flags & QBD_MEMBER_VOTER_OLD);
		qbdadm_json_bool(object, "learner", flags & QBD_MEMBER_LEARNER);
		qbdadm_json_bool(object, "witness", flags & QBD_MEMBER_WITNESS);
		qbdadm_json_bool(object, "client", flags & QBD_MEMBER_CLIENT);
		qbdadm_json_number(object, "priority", member->priority);
		qbdadm_json_uuid(object, "incarnation", member->incarnation);
		json_object_array_add(array, object);
	}
	return array;
}

static void superblock_fields(struct json_object *object,
			      const struct qbd_superblock *superblock, bool show_secret)
{
	uint64_t features = le64_to_cpu(superblock->features_incompatible);
	char text[2 * QBD_SECRET_SIZE + 1], created[64];
	time_t seconds = (time_t)le64_to_cpu(superblock->created_seconds);
	struct tm tm;

	uuid_unparse_lower(superblock->header.uuid, text);
	qbdadm_json_string(object, "uuid", text);
	qbdadm_json_string(object, "name", superblock->name);
	qbdadm_json_number(object, "member_id", le32_to_cpu(superblock->member_id));
	qbdadm_json_bool(object, "witness", features == QBD_FEATURE_NO_DATA);
	qbdadm_json_bool(object, "client", features & QBD_FEATURE_CLIENT);
	uuid_unparse_lower(superblock->incarnation, text);
	qbdadm_json_string(object, "incarnation", text);
	if (gmtime_r(&seconds, &tm) && strftime(created, sizeof(created), "%FT%TZ", &tm))
		qbdadm_json_string(object, "created", created);
	qbdadm_json_number(object, "backing_blocks", le64_to_cpu(superblock->backing_blocks));
	qbdadm_json_number(object, "device_blocks", le64_to_cpu(superblock->device_blocks));
	qbdadm_json_number(object, "extent_bytes", 1ULL << le32_to_cpu(superblock->extent_shift));
	qbdadm_json_number(object, "extent_table_block", QBD_EXTENT_TABLE_BLOCK);
	qbdadm_json_number(object, "extent_table_blocks",
			   le64_to_cpu(superblock->extent_table_blocks));
	qbdadm_json_number(object, "log_block", le64_to_cpu(superblock->log_block));
	qbdadm_json_number(object, "log_blocks", le64_to_cpu(superblock->log_blocks));
	qbdadm_json_number(object, "data_block", le64_to_cpu(superblock->data_block));
	if (show_secret)
		qbdadm_json_string(object, "secret",
				   qbd_hex_text(superblock->secret, QBD_SECRET_SIZE, text));
}

static struct json_object *superblocks_json(const struct qbd_inspection *inspection,
					    bool show_secret)
{
	struct json_object *array = json_object_new_array();

	for (unsigned int i = 0; i < 2; i++) {
		const struct qbd_superblock_copy *copy = &inspection->copies[i];
		struct json_object *object = json_object_new_object();

		qbdadm_json_number(object, "block", copy->block);
		qbdadm_json_string(object, "verdict", qbd_verdict_text(copy->verdict));
		qbdadm_json_string(object, "reason", copy->reason);
		if (copy->verdict == QBD_VERDICT_GOOD)
			superblock_fields(object, &copy->superblock, show_secret);
		json_object_array_add(array, object);
	}
	return array;
}

static void state_fields(struct json_object *object, const struct qbd_state_block *state)
{
	uint32_t flags = le32_to_cpu(state->flags);
	char address[QBD_ADDRESS_TEXT_SIZE];

	qbdadm_json_number(object, "sequence", le64_to_cpu(state->sequence));
	qbdadm_json_number(object, "term", le64_to_cpu(state->term));
	qbdadm_json_number(object, "vote", le32_to_cpu(state->vote));
	qbdadm_json_bool(object, "clean", flags & QBD_STATE_CLEAN);
	qbdadm_json_bool(object, "new", flags & QBD_STATE_NEW);
	qbdadm_json_bool(object, "filling", flags & QBD_STATE_FILLING);
	qbdadm_json_bool(object, "log_kept", flags & QBD_STATE_LOG_KEPT);
	qbdadm_json_bool(object, "failed", flags & QBD_STATE_FAILED);
	qbdadm_json_number(object, "durable_index", le64_to_cpu(state->durable_index));
	qbdadm_json_number(object, "commit_index", le64_to_cpu(state->commit_index));
	qbdadm_json_number(object, "applied_index", le64_to_cpu(state->applied_index));
	qbdadm_json_number(object, "log_first_index", le64_to_cpu(state->log_first_index));
	qbdadm_json_number(object, "log_first_position",
			   le64_to_cpu(state->log_first_position));
	qbdadm_json_number(object, "log_previous_term", le64_to_cpu(state->log_previous_term));
	qbdadm_json_number(object, "log_previous_chain",
			   le32_to_cpu(state->log_previous_chain));
	qbdadm_json_number(object, "log_generation", le64_to_cpu(state->log_generation));
	qbdadm_json_number(object, "truncated_index", le64_to_cpu(state->truncated_index));
	qbdadm_json_number(object, "applied_term", le64_to_cpu(state->applied_term));
	qbdadm_json_number(object, "applied_position", le64_to_cpu(state->applied_position));
	if (flags & QBD_STATE_FILLING) {
		qbdadm_json_number(object, "fill_base_index",
				   le64_to_cpu(state->fill_base_index));
		qbdadm_json_number(object, "fill_index", le64_to_cpu(state->fill_index));
		qbdadm_json_number(object, "fill_term", le64_to_cpu(state->fill_term));
		qbdadm_json_number(object, "fill_cursor", le64_to_cpu(state->fill_cursor));
		/* Zeroes if the flag does not say that they are there. */
		if (state->fill_end)
			qbdadm_json_number(object, "fill_end", le64_to_cpu(state->fill_end));
		else
			json_object_object_add(object, "fill_end", NULL);
		qbdadm_json_number(object, "fill_again_end",
				   le64_to_cpu(state->fill_again_end));
		qbdadm_json_number(object, "fill_again_base",
				   le64_to_cpu(state->fill_again_base));
		qbdadm_json_number(object, "fill_through_index",
				   le64_to_cpu(state->fill_through_index));
	}
	if (state->move.address.family) {
		qbdadm_json_string(object, "move_address",
				   qbd_address_text(&state->move.address, address));
		qbdadm_json_number(object, "move_leader", le32_to_cpu(state->move.leader));
		qbdadm_json_number(object, "move_term", le64_to_cpu(state->move.term));
		qbdadm_json_number(object, "move_list", le64_to_cpu(state->move.list));
	}
	qbdadm_json_uuid(object, "history", state->history);
	qbdadm_json_number(object, "device_blocks", le64_to_cpu(state->device_blocks));
	qbdadm_json_number(object, "membership_index", le64_to_cpu(state->membership.index));
	json_object_object_add(object, "members", members_json(&state->membership));
}

static uint32_t logged_count(const struct qbd_session_layout *session)
{
	uint32_t count = 0;

	for (size_t i = 0; i < sizeof(session->logged); i++)
		count += (uint32_t)__builtin_popcount(session->logged[i]);
	return count;
}

static void applied_fields(struct json_object *object, const struct qbd_applied_layout *applied)
{
	struct json_object *sessions = json_object_new_array();

	if (applied->claim.epoch) {
		qbdadm_json_number(object, "claim_epoch", le64_to_cpu(applied->claim.epoch));
		/* Without a session: who had it last. */
		qbdadm_json_number(object, "claim_holder", applied->claim.session ?
				   le32_to_cpu(applied->claim.holder) : 0);
	}
	for (size_t i = 0; i < QBD_MEMBERS_MAX; i++) {
		const struct qbd_session_layout *session = &applied->sessions[i];
		struct json_object *one;

		if (!session->origin)
			continue;
		one = json_object_new_object();
		qbdadm_json_number(one, "origin", le32_to_cpu(session->origin));
		qbdadm_json_number(one, "session", le64_to_cpu(session->session));
		qbdadm_json_number(one, "below", le64_to_cpu(session->below));
		qbdadm_json_number(one, "logged", logged_count(session));
		json_object_array_add(sessions, one);
	}
	json_object_object_add(object, "sessions", sessions);
	qbdadm_json_number(object, "without_data", le64_to_cpu(applied->without_data));
}

static struct json_object *states_json(const struct qbd_inspection *inspection)
{
	struct json_object *array = json_object_new_array();

	for (unsigned int i = 0; i < QBD_STATE_SLOTS; i++) {
		const struct qbd_state_slot *slot = &inspection->slots[i];
		struct json_object *object = json_object_new_object();

		qbdadm_json_number(object, "block", slot->block);
		qbdadm_json_string(object, "verdict", qbd_verdict_text(slot->verdict));
		qbdadm_json_string(object, "reason", slot->reason);
		qbdadm_json_bool(object, "current", &slot->state == inspection->state);
		if (slot->verdict == QBD_VERDICT_GOOD) {
			state_fields(object, &slot->state);
			applied_fields(object, &slot->applied.applied);
		}
		json_object_array_add(array, object);
	}
	return array;
}

static struct json_object *operations_json(const struct qbd_record_header *header)
{
	struct json_object *array = json_object_new_array();
	uint32_t count = le16_to_cpu(header->shared.operation_count);

	for (uint32_t i = 0; i < count; i++) {
		const struct qbd_operation *operation = &header->operations[i];
		struct json_object *object = json_object_new_object();

		/* The sequence of a repair is the entry as of which it is. */
		qbdadm_json_string(object, "kind", qbd_operation_is_repair(operation) ?
				   "repair" : qbd_operation_has_data(operation) ?
				   "write" : "zero");
		qbdadm_json_number(object, "block", le64_to_cpu(operation->block));
		qbdadm_json_number(object, "count", le32_to_cpu(operation->count));
		qbdadm_json_number(object, "origin", le32_to_cpu(operation->origin));
		qbdadm_json_number(object, "session", le64_to_cpu(operation->session));
		qbdadm_json_number(object, "sequence", le64_to_cpu(operation->sequence));
		json_object_array_add(array, object);
	}
	return array;
}

/* Visits every good record of the log; @context is the array. */
static void add_record(void *context, const struct qbd_record_header *header,
		       uint64_t position)
{
	struct json_object *object = json_object_new_object();

	qbdadm_json_number(object, "index", le64_to_cpu(header->shared.index));
	qbdadm_json_number(object, "position", position);
	qbdadm_json_string(object, "verdict", "good");
	qbdadm_json_number(object, "term", le64_to_cpu(header->shared.term));
	qbdadm_json_string(object, "kind", record_kind(le16_to_cpu(header->shared.kind)));
	qbdadm_json_number(object, "data_blocks", le32_to_cpu(header->shared.data_blocks));
	qbdadm_json_number(object, "durable_index", le64_to_cpu(header->local.durable_index));
	qbdadm_json_number(object, "commit_index", le64_to_cpu(header->local.commit_index));
	qbdadm_json_number(object, "generation", le64_to_cpu(header->local.generation));
	qbdadm_json_number(object, "chain", le32_to_cpu(header->shared.chain));
	json_object_object_add(object, "operations", operations_json(header));
	json_object_array_add(context, object);
}

/* The record that ends the log, good for nothing but its reason. */
static void add_end(struct json_object *array, const struct qbd_log_summary *summary)
{
	struct json_object *object = json_object_new_object();

	qbdadm_json_number(object, "index", summary->last_index + 1);
	qbdadm_json_number(object, "position", summary->end_position);
	qbdadm_json_string(object, "verdict",
			   summary->verdict == QBD_LOG_DAMAGED ? "damaged" : "end");
	qbdadm_json_string(object, "reason", summary->end_reason);
	json_object_array_add(array, object);
}

static void forget_records(void *context)
{
	size_t count = json_object_array_length(context);

	if (count)
		json_object_array_del_idx(context, 0, count);
}

static int log_json(struct qbd_disk *disk, const struct qbd_inspection *inspection,
		    bool records, struct json_object *log, struct qbd_error *error)
{
	struct json_object *array = json_object_new_array();
	const struct qbd_log_visitor visitor = {
		.context = array,
		.record = add_record,
		.restart = forget_records,
	};
	struct qbd_log_summary summary;
	int result;

	result = qbd_log_walk(disk, inspection, records ? &visitor : NULL, &summary, error);
	if (!result) {
		qbdadm_json_string(log, "verdict", log_verdicts[summary.verdict]);
		qbdadm_json_string(log, "end_reason", summary.end_reason);
		qbdadm_json_number(log, "first_index", summary.base_index + 1);
		qbdadm_json_number(log, "last_index", summary.last_index);
		qbdadm_json_number(log, "last_term", summary.last_term);
		qbdadm_json_number(log, "commit_index", summary.commit_index);
		qbdadm_json_number(log, "records", summary.records);
		qbdadm_json_number(log, "blocks_used", summary.blocks_used);
		qbdadm_json_bool(log, "begins_after_applied", summary.from_applied);
		if (summary.verdict == QBD_LOG_DAMAGED)
			qbdadm_json_number(log, "damaged_through", summary.damaged_through);
	}
	if (!result && records) {
		add_end(array, &summary);
		json_object_object_add(log, "record_list", json_object_get(array));
	}
	json_object_put(array);
	return result;
}

/* Runs of extents with the same changed_index. */
static struct json_object *runs_json(const struct qbd_extent_table *table)
{
	struct json_object *array = json_object_new_array();
	uint64_t end;

	for (uint64_t first = 0; first < table->count; first = end) {
		struct json_object *object;

		for (end = first + 1; end < table->count; end++)
			if (table->changed[end] != table->changed[first])
				break;
		object = json_object_new_object();
		qbdadm_json_number(object, "first", first);
		qbdadm_json_number(object, "count", end - first);
		if (table->changed[first] == UINT64_MAX)
			json_object_object_add(object, "changed_index", NULL);
		else
			qbdadm_json_number(object, "changed_index", table->changed[first]);
		json_object_array_add(array, object);
	}
	return array;
}

static int extents_json(struct qbd_disk *disk, const struct qbd_inspection *inspection,
			bool runs, struct json_object *extents, struct qbd_error *error)
{
	struct qbd_extent_table table;
	int result = qbd_extents_read(disk, &inspection->geometry, &table, error);

	if (result)
		return result;
	qbdadm_json_number(extents, "count", table.count);
	qbdadm_json_number(extents, "written", table.written);
	qbdadm_json_number(extents, "newest_change", table.newest_change);
	qbdadm_json_number(extents, "table_blocks_from_journal", table.from_journal);
	qbdadm_json_number(extents, "table_blocks_bad", table.bad_blocks);
	if (runs)
		json_object_object_add(extents, "runs", runs_json(&table));
	qbd_extents_free(&table);
	return 0;
}

static int build(struct qbd_disk *disk, const struct qbd_inspection *inspection,
		 const struct dump_options *options, struct json_object *root,
		 struct qbd_error *error)
{
	const struct qbd_superblock *superblock = inspection->superblock;
	struct json_object *log, *extents;
	char configuration[QBD_CONFIGURATION_TEXT_SIZE];
	int result;

	qbdadm_json_string(root, "disk", disk->path);
	qbdadm_json_number(root, "disk_blocks", disk->blocks);
	json_object_object_add(root, "superblocks",
			       superblocks_json(inspection, options->show_secret));
	json_object_object_add(root, "states", states_json(inspection));
	if (!superblock || !inspection->state)
		return 0;
	qbdadm_json_string(root, "configuration",
			   qbd_configuration_text(le32_to_cpu(superblock->configuration),
						  configuration));
	log = json_object_new_object();
	result = log_json(disk, inspection, options->records, log, error);
	if (result) {
		json_object_put(log);
		return result;
	}
	json_object_object_add(root, "log", log);
	extents = json_object_new_object();
	result = extents_json(disk, inspection, options->extents, extents, error);
	if (result)
		json_object_put(extents);
	else
		json_object_object_add(root, "extents", extents);
	return result;
}

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

/* "key value" lines of what is neither object nor array. */
static void print_fields(struct json_object *object, const char *indent)
{
	json_object_object_foreach(object, key, value) {
		if (json_object_is_type(value, json_type_object) ||
		    json_object_is_type(value, json_type_array))
			continue;
		if (!strcmp(key, "reason") && !json_object_get_string_len(value))
			continue;
		printf("%s%-26s %s\n", indent, key,
		       !value ? "none" : json_object_is_type(value, json_type_boolean) ?
		       (json_object_get_boolean(value) ? "yes" : "no") :
		       json_object_get_string(value));
	}
}

static void print_members(struct json_object *members)
{
	size_t count = json_object_array_length(members);

	for (size_t i = 0; i < count; i++) {
		struct json_object *member = json_object_array_get_idx(members, i);
		const char *role = "";

		if (json_object_get_boolean(get(member, "voter")))
			role = "voter";
		else if (json_object_get_boolean(get(member, "client")))
			role = "client";
		else if (json_object_get_boolean(get(member, "learner")))
			role = "learner";
		printf("    member %-4s %-16s %-28s %s%s\n",
		       json_object_get_string(get(member, "id")),
		       json_object_get_string(get(member, "name")),
		       json_object_get_string(get(member, "address")), role,
		       json_object_get_boolean(get(member, "witness")) ? ", witness" : "");
	}
}

static void print_sessions(struct json_object *sessions)
{
	size_t count = json_object_array_length(sessions);

	for (size_t i = 0; i < count; i++) {
		struct json_object *session = json_object_array_get_idx(sessions, i);

		printf("    session of member %-4s answered below %-10s logged from there on %s\n",
		       json_object_get_string(get(session, "origin")),
		       json_object_get_string(get(session, "below")),
		       json_object_get_string(get(session, "logged")));
	}
}

static void print_record(struct json_object *record)
{
	struct json_object *operations = get(record, "operations");
	size_t count = operations ? json_object_array_length(operations) : 0;

	if (!operations) {
		printf("    %10s  position %-10s %s: %s\n",
		       json_object_get_string(get(record, "index")),
		       json_object_get_string(get(record, "position")),
		       json_object_get_string(get(record, "verdict")),
		       json_object_get_string(get(record, "reason")));
		return;
	}
	printf("    %10s  position %-10s good  term %-6s %-10s %4s blocks",
	       json_object_get_string(get(record, "index")),
	       json_object_get_string(get(record, "position")),
	       json_object_get_string(get(record, "term")),
	       json_object_get_string(get(record, "kind")),
	       json_object_get_string(get(record, "data_blocks")));
	for (size_t i = 0; i < count; i++) {
		struct json_object *operation = json_object_array_get_idx(operations, i);

		printf("%s %s %s+%s", i ? "," : " ",
		       json_object_get_string(get(operation, "kind")),
		       json_object_get_string(get(operation, "block")),
		       json_object_get_string(get(operation, "count")));
	}
	putchar('\n');
}

static void print_blocks(struct json_object *root, const char *key, const char *title)
{
	struct json_object *array = get(root, key);

	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *block = json_object_array_get_idx(array, i);
		struct json_object *members = get(block, "members");

		printf("%s %zu\n", title, i);
		print_fields(block, "  ");
		if (members)
			print_members(members);
		if (get(block, "sessions"))
			print_sessions(get(block, "sessions"));
	}
}

static void print_text(struct json_object *root)
{
	struct json_object *log = get(root, "log"), *extents = get(root, "extents");
	struct json_object *list;

	print_fields(root, "");
	print_blocks(root, "superblocks", "superblock copy");
	print_blocks(root, "states", "state slot");
	if (log) {
		printf("log\n");
		print_fields(log, "  ");
		list = get(log, "record_list");
		for (size_t i = 0; list && i < json_object_array_length(list); i++)
			print_record(json_object_array_get_idx(list, i));
	}
	if (extents) {
		printf("extents\n");
		print_fields(extents, "  ");
		list = get(extents, "runs");
		for (size_t i = 0; list && i < json_object_array_length(list); i++) {
			struct json_object *run = json_object_array_get_idx(list, i);
			struct json_object *changed = get(run, "changed_index");

			printf("    from %-10s %10s extents  changed at %s\n",
			       json_object_get_string(get(run, "first")),
			       json_object_get_string(get(run, "count")),
			       changed ? json_object_get_string(changed) : "unknown");
		}
	}
}

/* Shows what can be shown even of a bad disk, and then says what is wrong. */
static int dump(const char *path, const struct dump_options *options)
{
	struct qbd_inspection *inspection = malloc(sizeof(*inspection));
	struct json_object *root = json_object_new_object();
	struct qbd_error error;
	struct qbd_disk disk;
	int result;

	if (!inspection || !root) {
		qbd_fail(&error, ENOMEM, "%s: out of memory", path);
		return qbdadm_failed(&error);
	}
	result = qbd_disk_open(&disk, path, QBD_DISK_ALLOW_FILE, &error);
	if (result)
		goto out;
	result = qbd_inspect(&disk, inspection, &error);
	if (!result)
		result = qbd_inspection_check(&disk, inspection, &error);
	if (!result || qbd_inspection_is_ours(inspection)) {
		struct qbd_error why;

		if (build(&disk, inspection, options, root, &why) && !result) {
			error = why;
			result = -EIO;
		}
		if (options->json)
			qbdadm_print_json(json_object_get(root));
		else
			print_text(root);
	}
	qbd_disk_close(&disk);
out:
	json_object_put(root);
	free(inspection);
	if (result)
		return qbdadm_failed(&error);
	return qbdadm_flush(QBDADM_OK);
}

static int run_dump(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "records", no_argument, NULL, OPTION_RECORDS },
		{ "extents", no_argument, NULL, OPTION_EXTENTS },
		{ "show-secret", no_argument, NULL, OPTION_SHOW_SECRET },
		{ }
	};
	struct dump_options dump_options = { 0 };
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		dump_options.json |= option == QBDADM_OPTION_JSON;
		dump_options.records |= option == OPTION_RECORDS;
		dump_options.extents |= option == OPTION_EXTENTS;
		dump_options.show_secret |= option == OPTION_SHOW_SECRET;
	}
	if (optind + 1 != argc)
		return qbdadm_usage(command, "dump: needs one PATH");
	return dump(argv[optind], &dump_options);
}

const struct qbdadm_command qbdadm_dump = {
	.name = "dump",
	.synopsis = "PATH [--records] [--extents] [--show-secret] [--json]",
	.summary = "Show what is on a member's disk",
	.details =
"PATH is a member's disk or an image of one. Only reads; of a member that is up it\n"
"shows a moving target. A damaged disk is shown as far as it can be read.\n"
"\n"
"  --records       every record of the log, with its verdict\n"
"  --extents       which extents changed when\n"
"  --show-secret   print the secret, too\n"
"  --json          print JSON\n",
	.run = run_dump,
};
