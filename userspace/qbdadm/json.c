// SPDX-License-Identifier: GPL-2.0
/* Status and events for programs: the fields are those of the structures. */
#include <string.h>
#include <uuid/uuid.h>

#include "lib/parse.h"
#include "lib/plan.h"
#include "lib/token.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/render.h"

#define NUMBER(object, from, field)	qbdadm_json_number(object, #field, (from)->field)
#define BOOL(object, from, field)	qbdadm_json_bool(object, #field, (from)->field)
#define STRING(object, from, field)	qbdadm_json_string(object, #field, (from)->field)

void qbdadm_made_json(struct json_object *object, const char *name,
		      const struct qbd_token *token, const struct qbd_member_layout *self,
		      const struct qbd_format_parameters *parameters, const char *disk)
{
	const struct qbd_plan *plan = &parameters->plan;
	char address[QBD_ADDRESS_TEXT_SIZE];

	qbdadm_json_string(object, "name", name);
	qbdadm_json_uuid(object, "uuid", token->uuid);
	qbdadm_json_number(object, "member_id", parameters->member_id);
	qbdadm_json_string(object, "member_name", self->name);
	qbdadm_json_string(object, "address", qbd_address_text(&self->address, address));
	qbdadm_json_number(object, "members", le32_to_cpu(parameters->members->count));
	qbdadm_json_bool(object, "witness", plan->no_data);
	qbdadm_json_string(object, "disk", disk);
	qbdadm_json_number(object, "device_bytes", plan->device_blocks << QBD_BLOCK_SHIFT);
	/* The disk of a witness sets no limit. */
	if (plan->no_data)
		json_object_object_add(object, "max_bytes", NULL);
	else
		qbdadm_json_number(object, "max_bytes",
				   qbd_plan_most(plan) << QBD_BLOCK_SHIFT);
	qbdadm_json_number(object, "log_bytes", plan->log_blocks << QBD_BLOCK_SHIFT);
	qbdadm_json_number(object, "extent_bytes", 1ULL << plan->extent_shift);
}

/* null: not known */
static void seconds_json(struct json_object *object, const char *key, uint64_t seconds)
{
	if (seconds == UINT64_MAX)
		json_object_object_add(object, key, NULL);
	else
		qbdadm_json_number(object, key, seconds);
}

static void fill_json(struct json_object *object, const struct qbd_progress *fill)
{
	qbdadm_json_number(object, "fill_extents_done", fill->done);
	qbdadm_json_number(object, "fill_extents_total", fill->total);
	qbdadm_json_number(object, "fill_extents_left", fill->left);
	qbdadm_json_number(object, "fill_rate", fill->rate);
	seconds_json(object, "fill_seconds_left", fill->seconds_left);
}

static void catch_up_json(struct json_object *object, const struct qbd_progress *catch_up)
{
	qbdadm_json_number(object, "catch_up_bytes_done", catch_up->done);
	qbdadm_json_number(object, "catch_up_bytes_total", catch_up->total);
	qbdadm_json_number(object, "catch_up_bytes_left", catch_up->left);
	qbdadm_json_number(object, "catch_up_rate", catch_up->rate);
	seconds_json(object, "catch_up_seconds_left", catch_up->seconds_left);
}

static struct json_object *settings_json(const struct qbd_settings *settings)
{
	struct json_object *object = json_object_new_object();

	NUMBER(object, settings, election_timeout_ms);
	NUMBER(object, settings, heartbeat_ms);
	qbdadm_json_string(object, "no_quorum", qbd_no_quorum_text(settings->no_quorum));
	NUMBER(object, settings, no_quorum_grace_ms);
	qbdadm_json_string(object, "read", qbd_read_mode_text(settings->read_mode));
	NUMBER(object, settings, window_bytes);
	NUMBER(object, settings, claim_lease_ms);
	BOOL(object, settings, leader_follows);
	NUMBER(object, settings, max_rate);
	BOOL(object, settings, checksums);
	return object;
}

static struct json_object *store_json(const struct qbd_store_status *store)
{
	struct json_object *object = json_object_new_object();

	NUMBER(object, store, log_bytes);
	NUMBER(object, store, log_used_bytes);
	NUMBER(object, store, records_in_memory);
	NUMBER(object, store, log_writes);
	NUMBER(object, store, log_write_bytes);
	NUMBER(object, store, data_writes);
	NUMBER(object, store, data_write_bytes);
	NUMBER(object, store, flushes);
	NUMBER(object, store, state_writes);
	NUMBER(object, store, checkpoints);
	NUMBER(object, store, applied_index);
	NUMBER(object, store, oldest_write_ns);
	BOOL(object, store, failed);
	return object;
}

static struct json_object *network_json(const struct qbd_network_status *network)
{
	struct json_object *object = json_object_new_object();

	BOOL(object, network, control_up);
	BOOL(object, network, bulk_up);
	NUMBER(object, network, queued_bytes);
	NUMBER(object, network, sent_bytes);
	NUMBER(object, network, received_bytes);
	NUMBER(object, network, sent_frames);
	NUMBER(object, network, received_frames);
	NUMBER(object, network, connects);
	STRING(object, network, last_error);
	return object;
}

static const char *progress_text(uint32_t state)
{
	static const char *const texts[] = {
		[QBD_PROGRESS_STATE_PROBE]	   = "probe",
		[QBD_PROGRESS_STATE_REPLICATE]	   = "replicate",
		[QBD_PROGRESS_STATE_NEEDS_EXTENTS] = "needs-extents",
	};

	return state <= QBD_PROGRESS_STATE_NEEDS_EXTENTS ? texts[state] : "unknown";
}

/* What is known at the leader only is null elsewhere. */
static void progress_json(struct json_object *object, const struct qbd_member_status *member)
{
	static const char *const keys[] = {
		"progress_state", "match_index", "next_index", "behind_entries",
		"behind_bytes", "inflight_bytes"
	};

	if (!member->progress_known) {
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			json_object_object_add(object, keys[i], NULL);
		return;
	}
	qbdadm_json_string(object, "progress_state", progress_text(member->progress_state));
	NUMBER(object, member, match_index);
	NUMBER(object, member, next_index);
	NUMBER(object, member, behind_entries);
	NUMBER(object, member, behind_bytes);
	NUMBER(object, member, inflight_bytes);
}

static struct json_object *member_json(const struct qbd_member_status *member)
{
	struct json_object *object = json_object_new_object();
	char address[QBD_ADDRESS_TEXT_SIZE];

	NUMBER(object, member, id);
	STRING(object, member, name);
	qbdadm_json_string(object, "address", qbd_address_text(&member->address, address));
	qbdadm_json_bool(object, "voter", member->flags & QBD_MEMBER_FLAGS_VOTER);
	qbdadm_json_bool(object, "voter_old", member->flags & QBD_MEMBER_FLAGS_VOTER_OLD);
	qbdadm_json_bool(object, "learner", member->flags & QBD_MEMBER_FLAGS_LEARNER);
	qbdadm_json_bool(object, "witness", member->flags & QBD_MEMBER_FLAGS_WITNESS);
	qbdadm_json_bool(object, "client", member->flags & QBD_MEMBER_FLAGS_CLIENT);
	qbdadm_json_bool(object, "joining", member->flags & QBD_MEMBER_FLAGS_JOINING);
	qbdadm_json_bool(object, "demoting", member->flags & QBD_MEMBER_FLAGS_DEMOTING);
	qbdadm_json_bool(object, "leaving", member->flags & QBD_MEMBER_FLAGS_LEAVING);
	qbdadm_json_bool(object, "forced", member->flags & QBD_MEMBER_FLAGS_FORCED);
	NUMBER(object, member, group);
	NUMBER(object, member, priority);
	qbdadm_json_uuid(object, "incarnation", member->incarnation);
	BOOL(object, member, self);
	BOOL(object, member, leader);
	BOOL(object, member, connected);
	BOOL(object, member, needs_extents);
	BOOL(object, member, progress_known);
	progress_json(object, member);
	if (member->fill.total)
		fill_json(object, &member->fill);
	if (member->catch_up.total)
		catch_up_json(object, &member->catch_up);
	if (member->last_heard_ms == UINT64_MAX)
		json_object_object_add(object, "last_heard_ms", NULL);
	else
		NUMBER(object, member, last_heard_ms);
	if (!member->self)
		json_object_object_add(object, "network", network_json(&member->network));
	return object;
}

static struct json_object *problems_json(const struct qbd_status *status)
{
	struct json_object *array = json_object_new_array();
	struct qbdadm_problems problems;

	qbdadm_find_problems(status, &problems);
	for (unsigned int i = 0; i < problems.count; i++) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "severity",
				   problems.list[i].bad ? "bad" : "warning");
		qbdadm_json_string(object, "text", problems.list[i].text);
		json_object_array_add(array, object);
	}
	return array;
}

void qbdadm_json_device(struct json_object *object, uint32_t number)
{
	char device[32];

	if (number == QBD_NO_NUMBER) {
		json_object_object_add(object, "device", NULL);
		json_object_object_add(object, "number", NULL);
		return;
	}
	snprintf(device, sizeof(device), "/dev/qbd%u", number);
	qbdadm_json_string(object, "device", device);
	qbdadm_json_number(object, "number", number);
}

static void identity_json(struct json_object *object, const struct qbd_status *status)
{
	char uuid[37];

	STRING(object, status, name);
	qbdadm_json_device(object, status->number);
	uuid_unparse_lower(status->uuid, uuid);
	qbdadm_json_string(object, "uuid", uuid);
	NUMBER(object, status, member_id);
	NUMBER(object, status, device_bytes);
	qbdadm_json_number(object, "device_blocks", status->device_bytes >> QBD_BLOCK_SHIFT);
	qbdadm_json_string(object, "role", qbd_role_text(status->role));
	NUMBER(object, status, term);
	/* 0: none known */
	NUMBER(object, status, leader);
	BOOL(object, status, has_quorum);
	qbdadm_json_string(object, "consistency", "PC/EC");
	NUMBER(object, status, voters);
	NUMBER(object, status, quorum_needed);
	NUMBER(object, status, voters_up);
	BOOL(object, status, removed);
	NUMBER(object, status, members_index);
	NUMBER(object, status, next_member_id);
	json_object_object_add(object, "may_lose", json_object_new_int(status->may_lose));
}

static void counters_json(struct json_object *object, const struct qbd_status *status)
{
	NUMBER(object, status, first_index);
	NUMBER(object, status, last_index);
	NUMBER(object, status, durable_index);
	NUMBER(object, status, commit_index);
	NUMBER(object, status, applied_index);
	BOOL(object, status, failed);
	BOOL(object, status, damaged);
	BOOL(object, status, filling);
	fill_json(object, &status->fill);
	BOOL(object, status, lease_valid);
	BOOL(object, status, suspended);
	NUMBER(object, status, requests_waiting);
	NUMBER(object, status, requests_in_flight);
	NUMBER(object, status, in_use);
	NUMBER(object, status, reads);
	NUMBER(object, status, read_bytes);
	NUMBER(object, status, writes);
	NUMBER(object, status, write_bytes);
	NUMBER(object, status, zeroes);
	NUMBER(object, status, forwarded);
	NUMBER(object, status, resent);
	NUMBER(object, status, errors);
	NUMBER(object, status, records_appended);
	NUMBER(object, status, memory_bytes);
	NUMBER(object, status, memory_free_bytes);
	STRING(object, status, problem);
}

struct json_object *qbdadm_members_json(const struct qbd_status *status)
{
	struct json_object *members = json_object_new_array();

	for (uint32_t i = 0; i < status->member_count; i++)
		json_object_array_add(members, member_json(&status->members[i]));
	return members;
}

/* lease_left_ms: of another holder, and only the leader knows it. */
struct json_object *qbdadm_claim_json(const struct qbd_status *status)
{
	const struct qbd_member_status *holder =
		qbd_status_member(status, status->claim_holder);
	struct json_object *object = json_object_new_object();

	qbdadm_json_string(object, "mode", qbd_claim_mode_text(status->claim_mode));
	qbdadm_json_number(object, "holder", status->claim_holder);
	json_object_object_add(object, "holder_name", holder ?
			       json_object_new_string(holder->name) : NULL);
	qbdadm_json_number(object, "epoch", status->claim_epoch);
	qbdadm_json_number(object, "since_ms", status->claim_since_ms);
	qbdadm_json_string(object, "state", qbd_claim_state_text(status->claim_state));
	if (status->claim_lease_left_ms == UINT64_MAX)
		json_object_object_add(object, "lease_left_ms", NULL);
	else
		qbdadm_json_number(object, "lease_left_ms", status->claim_lease_left_ms);
	return object;
}

static struct json_object *difference_json(const struct qbd_verify_difference *difference)
{
	static const char *const kinds[] = {
		[QBD_VERIFY_KIND_DIFFERENT]	= "different",
		[QBD_VERIFY_KIND_UNREADABLE]	= "unreadable",
		[QBD_VERIFY_KIND_UNDECIDED]	= "undecided",
	};
	struct json_object *object = json_object_new_object();

	/* 0: no majority agrees */
	NUMBER(object, difference, member);
	NUMBER(object, difference, first);
	NUMBER(object, difference, count);
	NUMBER(object, difference, repaired);
	qbdadm_json_string(object, "kind", difference->kind && difference->kind <=
			   QBD_VERIFY_KIND_UNDECIDED ? kinds[difference->kind] : "unknown");
	return object;
}

static struct json_object *verify_member_json(const struct qbd_verification *verify,
					      const struct qbd_verify_member *member)
{
	struct json_object *object = json_object_new_object();

	NUMBER(object, member, id);
	NUMBER(object, member, compared);
	NUMBER(object, member, different);
	qbdadm_json_string(object, "reason", qbdadm_missed_text(verify, member));
	return object;
}

struct json_object *qbdadm_verify_json(const struct qbd_verification *verify)
{
	static const char *const states[] = {
		[QBD_VERIFY_STATE_NEVER]	= "never",
		[QBD_VERIFY_STATE_RUNNING]	= "running",
		[QBD_VERIFY_STATE_DONE]		= "done",
		[QBD_VERIFY_STATE_STOPPED]	= "stopped",
		[QBD_VERIFY_STATE_ALONE]	= "alone",
	};
	struct json_object *object = json_object_new_object();
	struct json_object *members = json_object_new_array();
	struct json_object *differences = json_object_new_array();

	qbdadm_json_string(object, "state", verify->state <= QBD_VERIFY_STATE_ALONE ?
			   states[verify->state] : "unknown");
	BOOL(object, verify, repair);
	NUMBER(object, verify, rate);
	NUMBER(object, verify, first_block);
	NUMBER(object, verify, end_block);
	NUMBER(object, verify, next_block);
	NUMBER(object, verify, compared);
	NUMBER(object, verify, different);
	NUMBER(object, verify, undecided);
	NUMBER(object, verify, repaired);
	NUMBER(object, verify, skipped);
	NUMBER(object, verify, missed);
	NUMBER(object, verify, unlisted);
	for (uint32_t i = 0; i < verify->member_count; i++)
		json_object_array_add(members, verify_member_json(verify, &verify->members[i]));
	for (uint32_t i = 0; i < verify->difference_count; i++)
		json_object_array_add(differences, difference_json(&verify->differences[i]));
	json_object_object_add(object, "members", members);
	json_object_object_add(object, "differences", differences);
	return object;
}

struct json_object *qbdadm_status_json(const struct qbd_status *status)
{
	struct json_object *object = json_object_new_object();

	identity_json(object, status);
	counters_json(object, status);
	json_object_object_add(object, "problems", problems_json(status));
	json_object_object_add(object, "claim", qbdadm_claim_json(status));
	json_object_object_add(object, "settings", settings_json(&status->settings));
	json_object_object_add(object, "store", store_json(&status->store));
	json_object_object_add(object, "members", qbdadm_members_json(status));
	NUMBER(object, status, unreadable_blocks);
	NUMBER(object, status, mended_blocks);
	json_object_object_add(object, "verify", qbdadm_verify_json(&status->verify));
	return object;
}

struct json_object *qbdadm_event_json(const struct qbd_event *event)
{
	struct json_object *object = json_object_new_object();

	qbdadm_json_string(object, "event", qbd_event_text(event->type));
	NUMBER(object, event, sequence);
	STRING(object, event, name);
	if (event->number == QBD_NO_NUMBER)
		json_object_object_add(object, "number", NULL);
	else
		NUMBER(object, event, number);
	NUMBER(object, event, member_id);
	qbdadm_json_string(object, "role", qbd_role_text(event->role));
	NUMBER(object, event, term);
	NUMBER(object, event, leader);
	NUMBER(object, event, peer);
	qbdadm_json_number(object, "done", event->progress.done);
	qbdadm_json_number(object, "total", event->progress.total);
	qbdadm_json_number(object, "left", event->progress.left);
	qbdadm_json_number(object, "rate", event->progress.rate);
	seconds_json(object, "seconds_left", event->progress.seconds_left);
	STRING(object, event, text);
	return object;
}
