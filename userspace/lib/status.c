// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <string.h>

#include "lib/status.h"

/* How an attribute is taken over into a structure. */
enum field_kind { FIELD_U8, FIELD_U16, FIELD_U32, FIELD_U64, FIELD_FLAG, FIELD_TEXT, FIELD_BYTES };

struct field {
	uint16_t attribute;
	enum field_kind kind;
	size_t offset;
	size_t size;
};

#define FIELD(type, attr, kind_, member)					\
	{ attr, kind_, offsetof(struct type, member), sizeof(((struct type *)0)->member) }
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct field settings_fields[] = {
#define F(attr, member) FIELD(qbd_settings, QBD_A_SETTINGS_##attr, FIELD_U32, member)
	F(ELECTION_TIMEOUT_MS, election_timeout_ms),
	F(HEARTBEAT_MS, heartbeat_ms),
	F(NO_QUORUM, no_quorum),
	F(NO_QUORUM_GRACE_MS, no_quorum_grace_ms),
	F(READ_MODE, read_mode),
	F(WINDOW_BYTES, window_bytes),
	F(CLAIM_LEASE_MS, claim_lease_ms),
	F(LEADER_FOLLOWS, leader_follows),
	F(CHECKSUMS, checksums),
#undef F
	FIELD(qbd_settings, QBD_A_SETTINGS_MAX_RATE, FIELD_U64, max_rate),
};

static const struct field network_fields[] = {
#define F(attr, kind, member) FIELD(qbd_network_status, QBD_A_NETWORK_##attr, kind, member)
	F(CONTROL_UP, FIELD_FLAG, control_up),
	F(BULK_UP, FIELD_FLAG, bulk_up),
	F(QUEUED_BYTES, FIELD_U64, queued_bytes),
	F(SENT_BYTES, FIELD_U64, sent_bytes),
	F(RECEIVED_BYTES, FIELD_U64, received_bytes),
	F(SENT_FRAMES, FIELD_U64, sent_frames),
	F(RECEIVED_FRAMES, FIELD_U64, received_frames),
	F(CONNECTS, FIELD_U64, connects),
	F(LAST_ERROR, FIELD_TEXT, last_error),
#undef F
};

static const struct field member_fields[] = {
#define F(attr, kind, member) FIELD(qbd_member_status, QBD_A_MEMBER_##attr, kind, member)
	F(ID, FIELD_U32, id),
	F(NAME, FIELD_TEXT, name),
	F(ADDRESS, FIELD_BYTES, address.bytes),
	F(PORT, FIELD_U16, address.port),
	F(SCOPE, FIELD_U32, address.scope),
	F(FLAGS, FIELD_U32, flags),
	F(PRIORITY, FIELD_U8, priority),
	F(GROUP, FIELD_U8, group),
	F(SELF, FIELD_FLAG, self),
	F(LEADER, FIELD_FLAG, leader),
	F(CONNECTED, FIELD_FLAG, connected),
	F(NEEDS_EXTENTS, FIELD_FLAG, needs_extents),
	F(FILL_EXTENTS_DONE, FIELD_U64, fill.done),
	F(FILL_EXTENTS_TOTAL, FIELD_U64, fill.total),
	F(FILL_EXTENTS_LEFT, FIELD_U64, fill.left),
	F(FILL_RATE, FIELD_U64, fill.rate),
	F(FILL_SECONDS_LEFT, FIELD_U64, fill.seconds_left),
	F(PROGRESS_KNOWN, FIELD_FLAG, progress_known),
	F(PROGRESS_STATE, FIELD_U32, progress_state),
	F(MATCH_INDEX, FIELD_U64, match_index),
	F(NEXT_INDEX, FIELD_U64, next_index),
	F(BEHIND_ENTRIES, FIELD_U64, behind_entries),
	F(BEHIND_BYTES, FIELD_U64, behind_bytes),
	F(INFLIGHT_BYTES, FIELD_U64, inflight_bytes),
	F(LAST_HEARD_MS, FIELD_U64, last_heard_ms),
	F(INCARNATION, FIELD_BYTES, incarnation),
	F(CATCH_UP_BYTES_DONE, FIELD_U64, catch_up.done),
	F(CATCH_UP_BYTES_TOTAL, FIELD_U64, catch_up.total),
	F(CATCH_UP_BYTES_LEFT, FIELD_U64, catch_up.left),
	F(CATCH_UP_RATE, FIELD_U64, catch_up.rate),
	F(CATCH_UP_SECONDS_LEFT, FIELD_U64, catch_up.seconds_left),
#undef F
};

static const struct field store_fields[] = {
#define F(attr, kind, member) FIELD(qbd_store_status, QBD_A_STORE_##attr, kind, member)
	F(LOG_BYTES, FIELD_U64, log_bytes),
	F(LOG_USED_BYTES, FIELD_U64, log_used_bytes),
	F(RECORDS_IN_MEMORY, FIELD_U64, records_in_memory),
	F(LOG_WRITES, FIELD_U64, log_writes),
	F(LOG_WRITE_BYTES, FIELD_U64, log_write_bytes),
	F(DATA_WRITES, FIELD_U64, data_writes),
	F(DATA_WRITE_BYTES, FIELD_U64, data_write_bytes),
	F(FLUSHES, FIELD_U64, flushes),
	F(STATE_WRITES, FIELD_U64, state_writes),
	F(CHECKPOINTS, FIELD_U64, checkpoints),
	F(APPLIED_INDEX, FIELD_U64, applied_index),
	F(OLDEST_WRITE_NS, FIELD_U64, oldest_write_ns),
	F(FAILED, FIELD_FLAG, failed),
#undef F
};

static const struct field device_fields[] = {
#define F(attr, kind, member) FIELD(qbd_status, QBD_A_DEVICE_##attr, kind, member)
	F(NAME, FIELD_TEXT, name),
	F(NUMBER, FIELD_U32, number),
	F(UUID, FIELD_BYTES, uuid),
	F(MEMBER_ID, FIELD_U32, member_id),
	F(DEVICE_BYTES, FIELD_U64, device_bytes),
	F(ROLE, FIELD_U32, role),
	F(TERM, FIELD_U64, term),
	F(LEADER, FIELD_U32, leader),
	F(HAS_QUORUM, FIELD_FLAG, has_quorum),
	F(VOTERS, FIELD_U32, voters),
	F(QUORUM_NEEDED, FIELD_U32, quorum_needed),
	F(VOTERS_UP, FIELD_U32, voters_up),
	F(MAY_LOSE, FIELD_U32, may_lose),
	F(FIRST_INDEX, FIELD_U64, first_index),
	F(LAST_INDEX, FIELD_U64, last_index),
	F(DURABLE_INDEX, FIELD_U64, durable_index),
	F(COMMIT_INDEX, FIELD_U64, commit_index),
	F(APPLIED_INDEX, FIELD_U64, applied_index),
	F(FAILED, FIELD_FLAG, failed),
	F(DAMAGED, FIELD_FLAG, damaged),
	F(FILLING, FIELD_FLAG, filling),
	F(FILL_EXTENTS_DONE, FIELD_U64, fill.done),
	F(FILL_EXTENTS_TOTAL, FIELD_U64, fill.total),
	F(FILL_EXTENTS_LEFT, FIELD_U64, fill.left),
	F(FILL_RATE, FIELD_U64, fill.rate),
	F(FILL_SECONDS_LEFT, FIELD_U64, fill.seconds_left),
	F(LEASE_VALID, FIELD_FLAG, lease_valid),
	F(SUSPENDED, FIELD_FLAG, suspended),
	F(REQUESTS_WAITING, FIELD_U64, requests_waiting),
	F(REQUESTS_IN_FLIGHT, FIELD_U64, requests_in_flight),
	F(IN_USE, FIELD_U64, in_use),
	F(READS, FIELD_U64, reads),
	F(READ_BYTES, FIELD_U64, read_bytes),
	F(WRITES, FIELD_U64, writes),
	F(WRITE_BYTES, FIELD_U64, write_bytes),
	F(ZEROES, FIELD_U64, zeroes),
	F(FORWARDED, FIELD_U64, forwarded),
	F(RESENT, FIELD_U64, resent),
	F(ERRORS, FIELD_U64, errors),
	F(RECORDS_APPENDED, FIELD_U64, records_appended),
	F(MEMORY_TOTAL_BYTES, FIELD_U64, memory_bytes),
	F(MEMORY_FREE_BYTES, FIELD_U64, memory_free_bytes),
	F(PROBLEM, FIELD_TEXT, problem),
	F(REMOVED, FIELD_FLAG, removed),
	F(MEMBERS_INDEX, FIELD_U64, members_index),
	F(NEXT_MEMBER_ID, FIELD_U32, next_member_id),
	F(CLAIM_MODE, FIELD_U32, claim_mode),
	F(CLAIM_HOLDER, FIELD_U32, claim_holder),
	F(CLAIM_EPOCH, FIELD_U64, claim_epoch),
	F(CLAIM_SINCE_MS, FIELD_U64, claim_since_ms),
	F(CLAIM_STATE, FIELD_U32, claim_state),
	F(CLAIM_LEASE_LEFT_MS, FIELD_U64, claim_lease_left_ms),
	F(UNREADABLE_BLOCKS, FIELD_U64, unreadable_blocks),
	F(MENDED_BLOCKS, FIELD_U64, mended_blocks),
#undef F
};

static const struct field verify_fields[] = {
#define F(attr, kind, member) FIELD(qbd_verification, QBD_A_VERIFY_##attr, kind, member)
	F(STATE, FIELD_U32, state),
	F(REPAIR, FIELD_FLAG, repair),
	F(RATE, FIELD_U64, rate),
	F(FIRST_BLOCK, FIELD_U64, first_block),
	F(END_BLOCK, FIELD_U64, end_block),
	F(NEXT_BLOCK, FIELD_U64, next_block),
	F(COMPARED, FIELD_U64, compared),
	F(DIFFERENT, FIELD_U64, different),
	F(UNDECIDED, FIELD_U64, undecided),
	F(REPAIRED, FIELD_U64, repaired),
	F(SKIPPED, FIELD_U64, skipped),
	F(MISSED, FIELD_U64, missed),
	F(UNLISTED, FIELD_U64, unlisted),
#undef F
};

static const struct field verify_member_fields[] = {
#define F(attr, kind, member) FIELD(qbd_verify_member, QBD_A_VERIFY_MEMBER_##attr, kind, member)
	F(ID, FIELD_U32, id),
	F(COMPARED, FIELD_U64, compared),
	F(DIFFERENT, FIELD_U64, different),
	F(MISSED, FIELD_U32, missed),
#undef F
};

static const struct field verify_difference_fields[] = {
#define F(attr, kind, member)							\
	FIELD(qbd_verify_difference, QBD_A_VERIFY_DIFFERENCE_##attr, kind, member)
	F(FIRST, FIELD_U64, first),
	F(COUNT, FIELD_U64, count),
	F(REPAIRED, FIELD_U64, repaired),
	F(MEMBER, FIELD_U32, member),
	F(KIND, FIELD_U32, kind),
#undef F
};

static const struct field event_fields[] = {
#define F(attr, kind, member) FIELD(qbd_event, QBD_A_EVENT_##attr, kind, member)
	F(TYPE, FIELD_U32, type),
	F(SEQUENCE, FIELD_U64, sequence),
	F(NAME, FIELD_TEXT, name),
	F(NUMBER, FIELD_U32, number),
	F(MEMBER_ID, FIELD_U32, member_id),
	F(ROLE, FIELD_U32, role),
	F(TERM, FIELD_U64, term),
	F(LEADER, FIELD_U32, leader),
	F(PEER, FIELD_U32, peer),
	F(DONE, FIELD_U64, progress.done),
	F(TOTAL, FIELD_U64, progress.total),
	F(LEFT, FIELD_U64, progress.left),
	F(RATE, FIELD_U64, progress.rate),
	F(SECONDS_LEFT, FIELD_U64, progress.seconds_left),
	F(TEXT, FIELD_TEXT, text),
#undef F
};

/* A string that may lack its NUL, or be too long. */
static void take_text(const struct nlattr *attribute, char *to, size_t size)
{
	size_t length = strnlen(mnl_attr_get_payload(attribute),
				mnl_attr_get_payload_len(attribute));

	if (length > size - 1)
		length = size - 1;
	memcpy(to, mnl_attr_get_payload(attribute), length);
	to[length] = '\0';
}

static void take_field(const struct field *field, const struct nlattr *attribute, char *base)
{
	size_t length = mnl_attr_get_payload_len(attribute);
	char *to = base + field->offset;

	switch (field->kind) {
	case FIELD_FLAG:
		*(bool *)to = true;
		break;
	case FIELD_TEXT:
		take_text(attribute, to, field->size);
		break;
	case FIELD_BYTES:
		memcpy(to, mnl_attr_get_payload(attribute),
		       length < field->size ? length : field->size);
		break;
	default:
		/* Of another length than ours: not the attribute that we know. */
		if (length == field->size)
			memcpy(to, mnl_attr_get_payload(attribute), length);
	}
}

static void take_known(const struct field *fields, size_t count,
		       const struct nlattr *attribute, void *base)
{
	for (size_t i = 0; i < count; i++)
		if (fields[i].attribute == mnl_attr_get_type(attribute))
			take_field(&fields[i], attribute, base);
}

static void take_nest(const struct field *fields, size_t count, const struct nlattr *nest,
		      void *base)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, nest)
		take_known(fields, count, attribute, base);
}

static void take_member(const struct nlattr *nest, struct qbd_member_status *member)
{
	const struct nlattr *attribute;

	memset(member, 0, sizeof(*member));
	member->last_heard_ms = UINT64_MAX;
	member->fill.seconds_left = UINT64_MAX;
	member->catch_up.seconds_left = UINT64_MAX;
	mnl_attr_for_each_nested(attribute, nest) {
		uint16_t type = mnl_attr_get_type(attribute);

		if (type == QBD_A_MEMBER_ADDRESS)
			member->address.family =
				cpu_to_le16(mnl_attr_get_payload_len(attribute) == 4 ? 4 : 6);
		if (type == QBD_A_MEMBER_GROUP)
			member->has_group = true;
		if (type == QBD_A_MEMBER_NETWORK)
			take_nest(network_fields, COUNT(network_fields), attribute,
				  &member->network);
		else
			take_known(member_fields, COUNT(member_fields), attribute, member);
	}
	/* Netlink is in host order, the layout little endian. */
	member->address.port = cpu_to_le16(member->address.port);
	member->address.scope = cpu_to_le32(member->address.scope);
}

static void take_verify(const struct nlattr *nest, struct qbd_verification *verify)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, nest) {
		switch (mnl_attr_get_type(attribute)) {
		case QBD_A_VERIFY_MEMBERS:
			if (verify->member_count < QBD_MEMBERS_MAX)
				take_nest(verify_member_fields, COUNT(verify_member_fields),
					  attribute, &verify->members[verify->member_count++]);
			break;
		case QBD_A_VERIFY_DIFFERENCES:
			if (verify->difference_count < QBD_VERIFY_DIFFERENCES_MAX)
				take_nest(verify_difference_fields,
					  COUNT(verify_difference_fields), attribute,
					  &verify->differences[verify->difference_count++]);
			break;
		default:
			take_known(verify_fields, COUNT(verify_fields), attribute, verify);
		}
	}
}

int qbd_status_parse(const struct nlmsghdr *message, struct qbd_status *status)
{
	const struct nlattr *attribute;

	memset(status, 0, sizeof(*status));
	status->number = QBD_NO_NUMBER;
	status->claim_lease_left_ms = UINT64_MAX;
	status->fill.seconds_left = UINT64_MAX;
	mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attribute)) {
		case QBD_A_DEVICE_SETTINGS:
			take_nest(settings_fields, COUNT(settings_fields), attribute,
				  &status->settings);
			break;
		case QBD_A_DEVICE_STORE:
			take_nest(store_fields, COUNT(store_fields), attribute,
				  &status->store);
			break;
		case QBD_A_DEVICE_VERIFY:
			take_verify(attribute, &status->verify);
			break;
		case QBD_A_DEVICE_MEMBERS:
			if (status->member_count < QBD_MEMBERS_MAX)
				take_member(attribute,
					    &status->members[status->member_count++]);
			break;
		default:
			take_known(device_fields, COUNT(device_fields), attribute, status);
		}
	}
	return status->name[0] ? 0 : -1;
}

int qbd_event_parse(const struct nlmsghdr *message, struct qbd_event *event)
{
	const struct nlattr *attribute;

	memset(event, 0, sizeof(*event));
	event->number = QBD_NO_NUMBER;
	event->progress.seconds_left = UINT64_MAX;
	mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr))
		take_known(event_fields, COUNT(event_fields), attribute, event);
	return event->type ? 0 : -1;
}

static const char *lookup(const char *const *texts, size_t count, uint32_t number)
{
	return number < count && texts[number] ? texts[number] : "unknown";
}

const char *qbd_role_text(uint32_t role)
{
	static const char *const texts[] = {
		[QBD_MEMBER_ROLE_FOLLOWER]	= "follower",
		[QBD_MEMBER_ROLE_PRECANDIDATE]	= "precandidate",
		[QBD_MEMBER_ROLE_CANDIDATE]	= "candidate",
		[QBD_MEMBER_ROLE_LEADER]	= "leader",
	};

	return lookup(texts, COUNT(texts), role);
}

const char *qbd_event_text(uint32_t type)
{
	static const char *const texts[] = {
		[QBD_EVENT_TYPE_UP]		 = "up",
		[QBD_EVENT_TYPE_DOWN]		 = "down",
		[QBD_EVENT_TYPE_ROLE]		 = "role",
		[QBD_EVENT_TYPE_LEADER]		 = "leader",
		[QBD_EVENT_TYPE_PEER_UP]	 = "peer-up",
		[QBD_EVENT_TYPE_PEER_DOWN]	 = "peer-down",
		[QBD_EVENT_TYPE_QUORUM_LOST]	 = "quorum-lost",
		[QBD_EVENT_TYPE_QUORUM_REGAINED] = "quorum-regained",
		[QBD_EVENT_TYPE_FILL_PROGRESS]	 = "fill-progress",
		[QBD_EVENT_TYPE_FILL_DONE]	 = "fill-done",
		[QBD_EVENT_TYPE_DISK_FAILED]	 = "disk-failed",
		[QBD_EVENT_TYPE_SETTINGS]	 = "settings",
		[QBD_EVENT_TYPE_REFUSED]	 = "refused",
		[QBD_EVENT_TYPE_REMOVED]	 = "removed",
		[QBD_EVENT_TYPE_MEMBERS]	 = "members",
		[QBD_EVENT_TYPE_CLAIMED]	 = "claimed",
		[QBD_EVENT_TYPE_RELEASED]	 = "released",
		[QBD_EVENT_TYPE_FENCED]		 = "fenced",
		[QBD_EVENT_TYPE_RESIZED]	 = "resized",
		[QBD_EVENT_TYPE_VERIFY_PROGRESS] = "verify-progress",
		[QBD_EVENT_TYPE_VERIFY_DIFFERENCE] = "verify-difference",
		[QBD_EVENT_TYPE_VERIFY_DONE]	 = "verify-done",
		[QBD_EVENT_TYPE_BLOCKS_MENDED]	 = "blocks-mended",
		[QBD_EVENT_TYPE_CATCH_UP_PROGRESS] = "catch-up-progress",
		[QBD_EVENT_TYPE_CATCH_UP_DONE]	 = "catch-up-done",
	};

	return lookup(texts, COUNT(texts), type);
}

const char *qbd_no_quorum_text(uint32_t policy)
{
	return policy == QBD_NO_QUORUM_POLICY_ERROR ? "error" : "suspend";
}

const char *qbd_read_mode_text(uint32_t mode)
{
	return mode == QBD_READ_POLICY_QUORUM ? "quorum" : "lease";
}

const char *qbd_claim_mode_text(uint32_t mode)
{
	return mode == QBD_CLAIM_MODE_SHARED ? "shared" : "exclusive";
}

const char *qbd_claim_state_text(uint32_t state)
{
	static const char *const texts[] = {
		[QBD_CLAIM_STATE_NONE]		= "none",
		[QBD_CLAIM_STATE_ASKING]	= "asking",
		[QBD_CLAIM_STATE_HELD]		= "held",
		[QBD_CLAIM_STATE_RELEASING]	= "releasing",
		[QBD_CLAIM_STATE_FENCED]	= "fenced",
	};

	return lookup(texts, COUNT(texts), state);
}

const struct qbd_member_status *qbd_status_member(const struct qbd_status *status,
						  uint32_t id)
{
	for (uint32_t i = 0; i < status->member_count; i++)
		if (status->members[i].id == id)
			return &status->members[i];
	return NULL;
}

const struct qbd_member_status *qbd_status_waits_for(const struct qbd_status *status,
						     const struct qbd_member_status *member)
{
	if (!(member->flags & QBD_MEMBER_FLAGS_VOTER) ||
	    !(member->flags & (QBD_MEMBER_FLAGS_DEMOTING | QBD_MEMBER_FLAGS_LEAVING)))
		return NULL;
	for (uint32_t i = 0; i < status->member_count; i++)
		if (status->members[i].flags & QBD_MEMBER_FLAGS_JOINING &&
		    status->members[i].group == member->group)
			return &status->members[i];
	return NULL;
}

bool qbd_status_is_client(const struct qbd_status *status)
{
	const struct qbd_member_status *own = qbd_status_member(status, status->member_id);

	return own && own->flags & QBD_MEMBER_FLAGS_CLIENT;
}

void qbd_status_list(const struct qbd_status *status, struct qbd_membership_layout *list)
{
	memset(list, 0, sizeof(*list));
	list->index = cpu_to_le64(status->members_index);
	list->count = cpu_to_le32(status->member_count);
	list->next_member_id = cpu_to_le32(status->next_member_id);
	for (uint32_t i = 0; i < status->member_count; i++) {
		const struct qbd_member_status *from = &status->members[i];
		struct qbd_member_layout *to = &list->members[i];

		to->id = cpu_to_le32(from->id);
		to->flags = cpu_to_le16((uint16_t)from->flags);
		to->priority = from->priority;
		to->group = from->group;
		to->address = from->address;
		strncpy(to->name, from->name, sizeof(to->name) - 1);
	}
}

void qbd_status_fit_list(const struct qbd_status *status, struct qbd_membership_layout *list)
{
	for (uint32_t i = 0; i < status->member_count; i++)
		if (status->members[i].has_group)
			return;
	for (uint32_t i = 0; i < le32_to_cpu(list->count); i++)
		list->members[i].group = 0;
}

int qbd_status_check_member(const struct qbd_status *status, struct qbd_error *error)
{
	if (!status->removed)
		return 0;
	return qbd_fail(error, ENXIO, "%s: this member was removed from the device, and changes nothing any more; run this on a member, and take this one down ('qbdadm down %s')",
			status->name, status->name);
}

int qbd_status_resolve(const struct qbd_status *status, const char *text, uint32_t *id,
		       struct qbd_error *error)
{
	char known[256] = "";
	size_t used = 0;

	for (uint32_t i = 0; i < status->member_count; i++) {
		const struct qbd_member_status *member = &status->members[i];
		char number[16];

		snprintf(number, sizeof(number), "%u", member->id);
		if (!strcmp(text, member->name) || !strcmp(text, number)) {
			*id = member->id;
			return 0;
		}
		if (used < sizeof(known))
			used += snprintf(known + used, sizeof(known) - used, "%s%s (%u)",
					 used ? ", " : "", member->name, member->id);
	}
	return qbd_fail(error, ENOENT, "%s: '%s' is no member; members are %s", status->name,
			text, known);
}
