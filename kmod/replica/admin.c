// SPDX-License-Identifier: GPL-2.0
/*
 * What programs of other hosts ask: what this device is, and for another list of members.
 * Both are answered at once, from what the replica knows; only a leader changes anything.
 */
#include <linux/string.h>

#include "internal.h"

static void answer(struct qbd_replica *replica, u64 connection,
		   const struct qbd_frame_request *request, struct qbd_frame_reply *reply,
		   struct qbd_buffer *data)
{
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REPLY,
		.fixed = reply,
		.fixed_bytes = sizeof(*reply),
		.buffer = data,
		.data_blocks = data ? data->blocks : 0,
	};

	reply->sequence = request->sequence;
	reply->session = request->session;
	reply->leader_term = request->leader_term;
	reply->count = cpu_to_le32(frame.data_blocks);
	qbd_net_answer(replica->network, connection, &frame);
}

static void fill_description(struct qbd_replica *replica,
			     struct qbd_description *description)
{
	const struct qbd_store_identity *identity = qbd_store_identity(replica->store);
	struct qbd_core_status core;

	qbd_core_get_status(replica->core, replica->now, &core);
	/* As with the list: as of the commit index, which this member need not have applied. */
	description->device_blocks =
		cpu_to_le64(qbd_store_blocks_after(replica->store, core.commit));
	description->log_blocks = cpu_to_le64(identity->log_blocks);
	description->extent_shift = cpu_to_le32(identity->extent_shift);
	description->configuration = cpu_to_le32(identity->configuration);
	description->member_id = cpu_to_le32(replica->member_id);
	description->leader = cpu_to_le32(core.leader);
	description->commit_index = cpu_to_le64(core.commit);
	memcpy(description->history, identity->history, QBD_UUID_SIZE);
	strscpy(description->name, replica->name, sizeof(description->name));
	qbd_claims_layout(replica, 0, &description->claim);
	description->membership = *qbd_replica_layout(replica);
	/* There is one bit for each of them. */
	description->connected = cpu_to_le32((u32)qbd_reach_own(replica));
	description->flags = cpu_to_le32(qbd_resize_growing(replica) ? QBD_DESCRIPTION_GROWING : 0);
}

static void describe(struct qbd_replica *replica, u64 connection,
		     const struct qbd_frame_request *request)
{
	struct qbd_buffer *data = qbd_buffer_alloc(replica->pool, QBD_POOL_READ, 1);
	struct qbd_frame_reply reply = {
		.status = cpu_to_le32(data ? QBD_REPLY_OK : QBD_REPLY_BUSY),
	};

	if (data) {
		memset(page_address(data->pages[0]), 0, QBD_BLOCK_SIZE);
		fill_description(replica, page_address(data->pages[0]));
	}
	answer(replica, connection, request, &reply, data);
}

static void change(struct qbd_replica *replica, u64 connection,
		   const struct qbd_frame_request *request, struct qbd_buffer *data)
{
	struct qbd_frame_reply reply = { .status = cpu_to_le32(QBD_REPLY_BUSY) };
	enum qbd_change_result result;
	u32 member;
	u64 value;

	if (data) {
		result = qbd_change_propose(replica, page_address(data->pages[0]), 0,
					    &member, &value);
		reply.status = cpu_to_le32(result == QBD_CHANGE_DONE ? QBD_REPLY_OK :
								       QBD_REPLY_REFUSED);
		reply.detail = cpu_to_le32(result);
		reply.member = cpu_to_le32(member);
		reply.value = cpu_to_le64(value);
	}
	answer(replica, connection, request, &reply, NULL);
}

/* A program's request on the connection of this number; see struct qbd_net_ops. */
void qbd_admin_request(void *context, u64 connection,
		       const struct qbd_frame_request *request, struct qbd_buffer *data)
{
	struct qbd_replica *replica = context;

	if (le32_to_cpu(request->kind) == QBD_REQUEST_DESCRIBE)
		describe(replica, connection, request);
	else
		change(replica, connection, request, data);
	if (data)
		qbd_buffer_free(data);
}
