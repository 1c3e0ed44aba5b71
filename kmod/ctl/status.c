// SPDX-License-Identifier: GPL-2.0
/* A status snapshot as netlink attributes. */
#include <net/netlink.h>
#include <uapi/linux/qbd.h>

#include "../replica/replica.h"
#include "ctl.h"

/* The specification's numbers are those of the rooms that they come from. */
static_assert((int)QBD_MEMBER_ROLE_FOLLOWER == (int)QBD_ROLE_FOLLOWER);
static_assert((int)QBD_MEMBER_ROLE_PRECANDIDATE == (int)QBD_ROLE_PRECANDIDATE);
static_assert((int)QBD_MEMBER_ROLE_CANDIDATE == (int)QBD_ROLE_CANDIDATE);
static_assert((int)QBD_MEMBER_ROLE_LEADER == (int)QBD_ROLE_LEADER);
static_assert((int)QBD_PROGRESS_STATE_PROBE == (int)QBD_PEER_PROBE);
static_assert((int)QBD_PROGRESS_STATE_REPLICATE == (int)QBD_PEER_REPLICATE);
static_assert((int)QBD_PROGRESS_STATE_NEEDS_EXTENTS == (int)QBD_PEER_NEEDS_EXTENTS);
static_assert((int)QBD_MEMBER_FLAGS_VOTER == QBD_MEMBER_VOTER);
static_assert((int)QBD_MEMBER_FLAGS_VOTER_OLD == QBD_MEMBER_VOTER_OLD);
static_assert((int)QBD_MEMBER_FLAGS_LEARNER == QBD_MEMBER_LEARNER);
static_assert((int)QBD_MEMBER_FLAGS_WITNESS == QBD_MEMBER_WITNESS);
static_assert((int)QBD_MEMBER_FLAGS_CLIENT == QBD_MEMBER_CLIENT);
static_assert((int)QBD_MEMBER_FLAGS_JOINING == QBD_MEMBER_JOINING);
static_assert((int)QBD_MEMBER_FLAGS_DEMOTING == QBD_MEMBER_DEMOTING);
static_assert((int)QBD_MEMBER_FLAGS_LEAVING == QBD_MEMBER_LEAVING);
static_assert((int)QBD_MEMBER_FLAGS_FORCED == QBD_MEMBER_FORCED);
static_assert((int)QBD_NO_QUORUM_POLICY_SUSPEND == (int)QBD_NO_QUORUM_SUSPEND);
static_assert((int)QBD_NO_QUORUM_POLICY_ERROR == (int)QBD_NO_QUORUM_ERROR);
static_assert((int)QBD_CLAIM_MODE_EXCLUSIVE == (int)QBD_CLAIM_EXCLUSIVE);
static_assert((int)QBD_CLAIM_MODE_SHARED == (int)QBD_CLAIM_SHARED);
static_assert((int)QBD_CLAIM_STATE_NONE == (int)QBD_HOLD_NONE);
static_assert((int)QBD_CLAIM_STATE_ASKING == (int)QBD_HOLD_ASKING);
static_assert((int)QBD_CLAIM_STATE_HELD == (int)QBD_HOLD_HELD);
static_assert((int)QBD_CLAIM_STATE_RELEASING == (int)QBD_HOLD_RELEASING);
static_assert((int)QBD_CLAIM_STATE_FENCED == (int)QBD_HOLD_FENCED);
static_assert(sizeof_field(struct qbd_event, name) == QBD_NAME_MAX + 1);
/* See put_report(). */
static_assert((int)QBD_A_MEMBER_FILL_SECONDS_LEFT == (int)QBD_A_MEMBER_FILL_EXTENTS_DONE + 4);
static_assert((int)QBD_A_MEMBER_CATCH_UP_SECONDS_LEFT ==
	      (int)QBD_A_MEMBER_CATCH_UP_BYTES_DONE + 4);

/* An attribute of each kind at its largest, for the size of a message. */
#define SIZE_FLAG	nla_total_size(0)
#define SIZE_U32	nla_total_size(sizeof(u32))
#define SIZE_U64	nla_total_size_64bit(sizeof(u64))
#define SIZE_TEXT(size)	nla_total_size(size)
#define SIZE_NEST	nla_total_size(0)

static size_t network_size(void)
{
	return SIZE_NEST + 2 * SIZE_FLAG + 6 * SIZE_U64 +
	       SIZE_TEXT(sizeof_field(struct qbd_net_peer_status, last_error));
}

static size_t member_size(void)
{
	return SIZE_NEST + 7 * SIZE_U32 + 5 * SIZE_FLAG + 16 * SIZE_U64 +
	       SIZE_TEXT(QBD_MEMBER_NAME_SIZE) +
	       SIZE_TEXT(sizeof_field(struct qbd_address, bytes)) +
	       SIZE_TEXT(QBD_UUID_SIZE) + network_size();
}

size_t qbd_ctl_status_size(unsigned int member_count)
{
	size_t settings = SIZE_NEST + 9 * SIZE_U32 + SIZE_U64;
	size_t store = SIZE_NEST + 12 * SIZE_U64 + SIZE_FLAG;

	return SIZE_TEXT(QBD_NAME_SIZE) + SIZE_TEXT(QBD_UUID_SIZE) + 12 * SIZE_U32 +
	       8 * SIZE_FLAG + 32 * SIZE_U64 +
	       SIZE_TEXT(sizeof_field(struct qbd_replica_status, problem)) +
	       settings + store + member_count * member_size() + qbd_ctl_verify_size();
}

static int put_u64(struct sk_buff *skb, int type, u64 value, int pad)
{
	return nla_put_u64_64bit(skb, type, value, pad);
}

static int put_flag(struct sk_buff *skb, int type, bool value)
{
	return value ? nla_put_flag(skb, type) : 0;
}

static int put_settings(struct sk_buff *skb, const struct qbd_settings *settings)
{
	struct nlattr *nest = nla_nest_start(skb, QBD_A_DEVICE_SETTINGS);

	if (!nest ||
	    nla_put_u32(skb, QBD_A_SETTINGS_ELECTION_TIMEOUT_MS,
			settings->election_timeout_ms) ||
	    nla_put_u32(skb, QBD_A_SETTINGS_HEARTBEAT_MS, settings->heartbeat_ms) ||
	    nla_put_u32(skb, QBD_A_SETTINGS_NO_QUORUM, settings->no_quorum) ||
	    nla_put_u32(skb, QBD_A_SETTINGS_NO_QUORUM_GRACE_MS,
			settings->no_quorum_grace_ms) ||
	    nla_put_u32(skb, QBD_A_SETTINGS_READ_MODE, settings->read_mode) ||
	    nla_put_u32(skb, QBD_A_SETTINGS_WINDOW_BYTES, settings->window_bytes) ||
	    nla_put_u32(skb, QBD_A_SETTINGS_CLAIM_LEASE_MS, settings->claim_lease_ms) ||
	    nla_put_u32(skb, QBD_A_SETTINGS_LEADER_FOLLOWS, settings->leader_follows) ||
	    nla_put_u32(skb, QBD_A_SETTINGS_CHECKSUMS, settings->checksums) ||
	    put_u64(skb, QBD_A_SETTINGS_MAX_RATE, settings->max_rate, QBD_A_SETTINGS_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_store(struct sk_buff *skb, const struct qbd_store_status *store)
{
	const struct {
		int type;
		u64 value;
	} values[] = {
		{ QBD_A_STORE_LOG_BYTES, store->log_bytes },
		{ QBD_A_STORE_LOG_USED_BYTES, store->log_used_bytes },
		{ QBD_A_STORE_RECORDS_IN_MEMORY, store->records_in_memory },
		{ QBD_A_STORE_LOG_WRITES, store->log_writes },
		{ QBD_A_STORE_LOG_WRITE_BYTES, store->log_write_bytes },
		{ QBD_A_STORE_DATA_WRITES, store->data_writes },
		{ QBD_A_STORE_DATA_WRITE_BYTES, store->data_write_bytes },
		{ QBD_A_STORE_FLUSHES, store->flushes },
		{ QBD_A_STORE_STATE_WRITES, store->state_writes },
		{ QBD_A_STORE_CHECKPOINTS, store->checkpoints },
		{ QBD_A_STORE_APPLIED_INDEX, store->applied_index },
		{ QBD_A_STORE_OLDEST_WRITE_NS, store->oldest_write_ns },
	};
	struct nlattr *nest = nla_nest_start(skb, QBD_A_DEVICE_STORE);
	unsigned int i;

	if (!nest || put_flag(skb, QBD_A_STORE_FAILED, store->failed))
		return -EMSGSIZE;
	for (i = 0; i < ARRAY_SIZE(values); i++)
		if (put_u64(skb, values[i].type, values[i].value, QBD_A_STORE_PAD))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_network(struct sk_buff *skb, const struct qbd_net_peer_status *network)
{
	struct nlattr *nest = nla_nest_start(skb, QBD_A_MEMBER_NETWORK);

	if (!nest || put_flag(skb, QBD_A_NETWORK_CONTROL_UP, network->control_up) ||
	    put_flag(skb, QBD_A_NETWORK_BULK_UP, network->bulk_up) ||
	    put_u64(skb, QBD_A_NETWORK_QUEUED_BYTES, network->queued_bytes,
		    QBD_A_NETWORK_PAD) ||
	    put_u64(skb, QBD_A_NETWORK_SENT_BYTES, network->sent_bytes,
		    QBD_A_NETWORK_PAD) ||
	    put_u64(skb, QBD_A_NETWORK_RECEIVED_BYTES, network->received_bytes,
		    QBD_A_NETWORK_PAD) ||
	    put_u64(skb, QBD_A_NETWORK_SENT_FRAMES, network->sent_frames,
		    QBD_A_NETWORK_PAD) ||
	    put_u64(skb, QBD_A_NETWORK_RECEIVED_FRAMES, network->received_frames,
		    QBD_A_NETWORK_PAD) ||
	    put_u64(skb, QBD_A_NETWORK_CONNECTS, network->connects, QBD_A_NETWORK_PAD) ||
	    (network->last_error[0] &&
	     nla_put_string(skb, QBD_A_NETWORK_LAST_ERROR, network->last_error)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_progress(struct sk_buff *skb, const struct qbd_member_status *member)
{
	if (!member->progress_known)
		return 0;
	if (nla_put_flag(skb, QBD_A_MEMBER_PROGRESS_KNOWN) ||
	    nla_put_u32(skb, QBD_A_MEMBER_PROGRESS_STATE, member->progress_state) ||
	    put_u64(skb, QBD_A_MEMBER_MATCH_INDEX, member->match_index, QBD_A_MEMBER_PAD) ||
	    put_u64(skb, QBD_A_MEMBER_NEXT_INDEX, member->next_index, QBD_A_MEMBER_PAD) ||
	    put_u64(skb, QBD_A_MEMBER_BEHIND_ENTRIES, member->behind_entries,
		    QBD_A_MEMBER_PAD) ||
	    put_u64(skb, QBD_A_MEMBER_BEHIND_BYTES, member->behind_bytes,
		    QBD_A_MEMBER_PAD) ||
	    put_u64(skb, QBD_A_MEMBER_INFLIGHT_BYTES, member->inflight_bytes,
		    QBD_A_MEMBER_PAD))
		return -EMSGSIZE;
	return 0;
}

/* Attribute @first and those after it. */
static int put_report(struct sk_buff *skb, int first, const struct qbd_progress_report *report)
{
	const u64 values[] = { report->done, report->total, report->left, report->rate,
			       report->seconds_left };
	unsigned int i;

	if (!report->total)
		return 0;
	for (i = 0; i < ARRAY_SIZE(values); i++)
		if (values[i] != U64_MAX &&
		    put_u64(skb, first + i, values[i], QBD_A_MEMBER_PAD))
			return -EMSGSIZE;
	return 0;
}

/* Names and addresses come from other hosts: they need not end in a NUL. */
static int put_identity(struct sk_buff *skb, const struct qbd_member_layout *member)
{
	unsigned int bytes = le16_to_cpu(member->address.family) == 4 ? 4 : 16;
	char name[QBD_MEMBER_NAME_SIZE];

	memcpy(name, member->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	if (nla_put_u32(skb, QBD_A_MEMBER_ID, le32_to_cpu(member->id)) ||
	    nla_put_string(skb, QBD_A_MEMBER_NAME, name) ||
	    nla_put(skb, QBD_A_MEMBER_ADDRESS, bytes, member->address.bytes) ||
	    nla_put_u16(skb, QBD_A_MEMBER_PORT, le16_to_cpu(member->address.port)) ||
	    nla_put_u32(skb, QBD_A_MEMBER_SCOPE, le32_to_cpu(member->address.scope)) ||
	    nla_put_u32(skb, QBD_A_MEMBER_FLAGS, le16_to_cpu(member->flags)) ||
	    nla_put_u8(skb, QBD_A_MEMBER_PRIORITY, member->priority) ||
	    nla_put_u8(skb, QBD_A_MEMBER_GROUP, member->group) ||
	    (memchr_inv(member->incarnation, 0, QBD_UUID_SIZE) &&
	     nla_put(skb, QBD_A_MEMBER_INCARNATION, QBD_UUID_SIZE, member->incarnation)))
		return -EMSGSIZE;
	return 0;
}

static int put_member(struct sk_buff *skb, const struct qbd_member_status *member)
{
	struct nlattr *nest = nla_nest_start(skb, QBD_A_DEVICE_MEMBERS);

	if (!nest || put_identity(skb, &member->member) ||
	    put_flag(skb, QBD_A_MEMBER_SELF, member->self) ||
	    put_flag(skb, QBD_A_MEMBER_LEADER, member->leader) ||
	    put_flag(skb, QBD_A_MEMBER_CONNECTED, member->connected) ||
	    put_flag(skb, QBD_A_MEMBER_NEEDS_EXTENTS, member->needs_extents) ||
	    put_progress(skb, member) ||
	    put_report(skb, QBD_A_MEMBER_FILL_EXTENTS_DONE, &member->fill) ||
	    put_report(skb, QBD_A_MEMBER_CATCH_UP_BYTES_DONE, &member->catch_up) ||
	    (member->last_heard_ms != U64_MAX &&
	     put_u64(skb, QBD_A_MEMBER_LAST_HEARD_MS, member->last_heard_ms,
		     QBD_A_MEMBER_PAD)) ||
	    (!member->self && put_network(skb, &member->network)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/* Who and what this member is. */
static int put_self(struct sk_buff *skb, const struct qbd_replica_status *status)
{
	if (nla_put_string(skb, QBD_A_DEVICE_NAME, status->name) ||
	    (status->has_device && nla_put_u32(skb, QBD_A_DEVICE_NUMBER, status->number)) ||
	    nla_put(skb, QBD_A_DEVICE_UUID, sizeof(status->uuid), status->uuid) ||
	    nla_put_u32(skb, QBD_A_DEVICE_MEMBER_ID, status->member_id) ||
	    nla_put_u32(skb, QBD_A_DEVICE_ROLE, status->role) ||
	    (status->leader && nla_put_u32(skb, QBD_A_DEVICE_LEADER, status->leader)) ||
	    nla_put_u32(skb, QBD_A_DEVICE_VOTERS, status->voters) ||
	    nla_put_u32(skb, QBD_A_DEVICE_QUORUM_NEEDED, status->quorum_needed) ||
	    nla_put_u32(skb, QBD_A_DEVICE_NEXT_MEMBER_ID, status->next_member_id) ||
	    nla_put_u32(skb, QBD_A_DEVICE_VOTERS_UP, status->voters_up) ||
	    nla_put_s32(skb, QBD_A_DEVICE_MAY_LOSE, status->may_lose) ||
	    (status->problem[0] &&
	     nla_put_string(skb, QBD_A_DEVICE_PROBLEM, status->problem)))
		return -EMSGSIZE;
	return 0;
}

static int put_flags(struct sk_buff *skb, const struct qbd_replica_status *status)
{
	if (put_flag(skb, QBD_A_DEVICE_HAS_QUORUM, status->has_quorum) ||
	    put_flag(skb, QBD_A_DEVICE_FAILED, status->failed) ||
	    put_flag(skb, QBD_A_DEVICE_DAMAGED, status->damaged) ||
	    put_flag(skb, QBD_A_DEVICE_FILLING, status->filling) ||
	    put_flag(skb, QBD_A_DEVICE_LEASE_VALID, status->lease_valid) ||
	    put_flag(skb, QBD_A_DEVICE_SUSPENDED, status->suspended) ||
	    put_flag(skb, QBD_A_DEVICE_REMOVED, status->removed))
		return -EMSGSIZE;
	return 0;
}

static int put_numbers(struct sk_buff *skb, const struct qbd_replica_status *status)
{
	const struct {
		int type;
		u64 value;
	} values[] = {
		{ QBD_A_DEVICE_DEVICE_BYTES, status->device_blocks << QBD_BLOCK_SHIFT },
		{ QBD_A_DEVICE_TERM, status->term },
		{ QBD_A_DEVICE_FIRST_INDEX, status->first_index },
		{ QBD_A_DEVICE_LAST_INDEX, status->last_index },
		{ QBD_A_DEVICE_DURABLE_INDEX, status->durable_index },
		{ QBD_A_DEVICE_COMMIT_INDEX, status->commit_index },
		{ QBD_A_DEVICE_APPLIED_INDEX, status->applied_index },
		{ QBD_A_DEVICE_FILL_EXTENTS_DONE, status->fill.done },
		{ QBD_A_DEVICE_FILL_EXTENTS_TOTAL, status->fill.total },
		{ QBD_A_DEVICE_FILL_EXTENTS_LEFT, status->fill.left },
		{ QBD_A_DEVICE_FILL_RATE, status->fill.rate },
		{ QBD_A_DEVICE_REQUESTS_WAITING, status->requests_waiting },
		{ QBD_A_DEVICE_REQUESTS_IN_FLIGHT, status->requests_in_flight },
		{ QBD_A_DEVICE_IN_USE, status->in_use },
		{ QBD_A_DEVICE_READS, status->reads },
		{ QBD_A_DEVICE_READ_BYTES, status->read_bytes },
		{ QBD_A_DEVICE_WRITES, status->writes },
		{ QBD_A_DEVICE_WRITE_BYTES, status->write_bytes },
		{ QBD_A_DEVICE_ZEROES, status->zeroes },
		{ QBD_A_DEVICE_FORWARDED, status->forwarded },
		{ QBD_A_DEVICE_RESENT, status->resent },
		{ QBD_A_DEVICE_ERRORS, status->errors },
		{ QBD_A_DEVICE_RECORDS_APPENDED, status->records_appended },
		{ QBD_A_DEVICE_MEMORY_TOTAL_BYTES, status->memory_bytes },
		{ QBD_A_DEVICE_MEMORY_FREE_BYTES, status->memory_free_bytes },
		{ QBD_A_DEVICE_MEMBERS_INDEX, status->members_index },
		{ QBD_A_DEVICE_UNREADABLE_BLOCKS, status->unreadable_blocks },
		{ QBD_A_DEVICE_MENDED_BLOCKS, status->mended_blocks },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(values); i++)
		if (put_u64(skb, values[i].type, values[i].value, QBD_A_DEVICE_PAD))
			return -EMSGSIZE;
	if (status->filling && status->fill.seconds_left != U64_MAX)
		return put_u64(skb, QBD_A_DEVICE_FILL_SECONDS_LEFT,
			       status->fill.seconds_left, QBD_A_DEVICE_PAD);
	return 0;
}

static int put_claim(struct sk_buff *skb, const struct qbd_replica_status *status)
{
	if (nla_put_u32(skb, QBD_A_DEVICE_CLAIM_MODE, status->claim_mode) ||
	    (status->claim_holder &&
	     nla_put_u32(skb, QBD_A_DEVICE_CLAIM_HOLDER, status->claim_holder)) ||
	    put_u64(skb, QBD_A_DEVICE_CLAIM_EPOCH, status->claim_epoch,
		    QBD_A_DEVICE_PAD) ||
	    put_u64(skb, QBD_A_DEVICE_CLAIM_SINCE_MS, status->claim_since_ms,
		    QBD_A_DEVICE_PAD) ||
	    nla_put_u32(skb, QBD_A_DEVICE_CLAIM_STATE, status->claim_state) ||
	    (status->claim_lease_known &&
	     put_u64(skb, QBD_A_DEVICE_CLAIM_LEASE_LEFT_MS, status->claim_lease_left_ms,
		     QBD_A_DEVICE_PAD)))
		return -EMSGSIZE;
	return 0;
}

int qbd_ctl_put_status(struct sk_buff *skb, const struct qbd_replica_status *status)
{
	unsigned int i;

	if (put_self(skb, status) || put_flags(skb, status) ||
	    put_numbers(skb, status) || put_claim(skb, status) ||
	    put_settings(skb, &status->settings) ||
	    put_store(skb, &status->store) || qbd_ctl_put_verify(skb, &status->verify))
		return -EMSGSIZE;
	for (i = 0; i < status->member_count; i++)
		if (put_member(skb, &status->members[i]))
			return -EMSGSIZE;
	return 0;
}
