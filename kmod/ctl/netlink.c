// SPDX-License-Identifier: GPL-2.0
/*
 * The family "qbd": what people ask for becomes calls of the replica.
 *
 * Requests run in parallel (parallel_ops), each in the context of who asked; the
 * replica serialises what has to be. The kernel holds its lock of all generic
 * netlink families for reading meanwhile, and whoever registers one then stops all others
 * until it is free. So a request must end: up waits for a disk as long as that answers,
 * down for a bounded time; leader-move, change-members and claims wait for other members a
 * bounded time.
 */
#include <linux/capability.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/netlink.h>
#include <net/sock.h>
#include <uapi/linux/qbd.h>

#include "../replica/replica.h"
#include "ctl.h"
#include "netlink_gen.h"

/* Requests that change the settings: read, patch, write. */
static DEFINE_MUTEX(set_mutex);

/*
 * As for CAP_NET_ADMIN, who opened the socket needs it, too: else a privileged program
 * could be made to write to one that it was given.
 */
static int require_administrator(struct sk_buff *skb, struct netlink_ext_ack *extack)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack, "this opens or closes a disk: it needs CAP_SYS_ADMIN");
	return -EPERM;
}

/*
 * Anybody may ask for a status, so the text is a constant (see message.c); who asks knows
 * the name.
 */
struct qbd_replica *qbd_ctl_find(struct genl_info *info)
{
	struct qbd_replica *replica;
	const char *name;

	if (GENL_REQ_ATTR_CHECK(info, QBD_A_DEVICE_NAME)) {
		NL_SET_ERR_MSG(info->extack, "the name of the device is missing");
		return ERR_PTR(-EINVAL);
	}
	name = nla_data(info->attrs[QBD_A_DEVICE_NAME]);
	replica = qbd_replica_find(genl_info_net(info), name);
	if (replica)
		return replica;
	NL_SET_ERR_MSG(info->extack, "no such device is up in this network namespace");
	return ERR_PTR(-ENODEV);
}

static int patch_settings(const struct nlattr *nest, struct qbd_settings *settings,
			  struct netlink_ext_ack *extack)
{
	struct nlattr *attrs[QBD_A_SETTINGS_PAD + 1];
	const struct {
		int type;
		u32 *value;
	} values[] = {
		{ QBD_A_SETTINGS_ELECTION_TIMEOUT_MS, &settings->election_timeout_ms },
		{ QBD_A_SETTINGS_HEARTBEAT_MS, &settings->heartbeat_ms },
		{ QBD_A_SETTINGS_NO_QUORUM, &settings->no_quorum },
		{ QBD_A_SETTINGS_NO_QUORUM_GRACE_MS, &settings->no_quorum_grace_ms },
		{ QBD_A_SETTINGS_READ_MODE, &settings->read_mode },
		{ QBD_A_SETTINGS_WINDOW_BYTES, &settings->window_bytes },
		{ QBD_A_SETTINGS_CLAIM_LEASE_MS, &settings->claim_lease_ms },
		{ QBD_A_SETTINGS_LEADER_FOLLOWS, &settings->leader_follows },
		{ QBD_A_SETTINGS_CHECKSUMS, &settings->checksums },
	};
	unsigned int i;
	int error;

	error = nla_parse_nested(attrs, QBD_A_SETTINGS_PAD, nest,
				 qbd_settings_nl_policy, extack);
	if (error)
		return error;
	for (i = 0; i < ARRAY_SIZE(values); i++)
		if (attrs[values[i].type])
			*values[i].value = nla_get_u32(attrs[values[i].type]);
	if (attrs[QBD_A_SETTINGS_MAX_RATE])
		settings->max_rate = nla_get_u64(attrs[QBD_A_SETTINGS_MAX_RATE]);
	return 0;
}

/* What the request asks for; the disk's path stays in the request. */
static int up_parameters(struct genl_info *info, struct qbd_up_parameters *parameters)
{
	char text[QBD_ERROR_TEXT_SIZE] = "";
	int error;

	if (GENL_REQ_ATTR_CHECK(info, QBD_A_DEVICE_DISK)) {
		NL_SET_ERR_MSG(info->extack, "the path of the disk is missing");
		return -EINVAL;
	}
	parameters->disk = nla_data(info->attrs[QBD_A_DEVICE_DISK]);
	parameters->memory_bytes = QBD_MEMORY_DEFAULT;
	if (info->attrs[QBD_A_DEVICE_MEMORY_BYTES])
		parameters->memory_bytes =
			nla_get_u32(info->attrs[QBD_A_DEVICE_MEMORY_BYTES]);
	if (parameters->memory_bytes < QBD_MEMORY_MIN ||
	    parameters->memory_bytes > QBD_MEMORY_MAX) {
		snprintf(text, sizeof(text),
			 "memory of %u bytes is not possible: give %uM to %uM",
			 parameters->memory_bytes, QBD_MEMORY_MIN >> 20,
			 QBD_MEMORY_MAX >> 20);
		qbd_ctl_set_message(info->extack, text);
		return -EINVAL;
	}
	qbd_settings_default(&parameters->settings);
	if (!info->attrs[QBD_A_DEVICE_SETTINGS])
		return 0;
	error = patch_settings(info->attrs[QBD_A_DEVICE_SETTINGS], &parameters->settings,
			       info->extack);
	if (error)
		return error;
	error = qbd_settings_check(&parameters->settings, text, sizeof(text));
	if (error)
		qbd_ctl_set_message(info->extack, text);
	return error;
}

/* Tell who came up, in @skb. */
static int reply_up(struct genl_info *info, struct sk_buff *skb,
		    const struct qbd_replica_status *status)
{
	void *header;

	header = genlmsg_put_reply(skb, info, &qbd_nl_family, 0, QBD_CMD_UP);
	if (!header || nla_put_string(skb, QBD_A_DEVICE_NAME, status->name) ||
	    (status->has_device && nla_put_u32(skb, QBD_A_DEVICE_NUMBER, status->number)) ||
	    nla_put_u32(skb, QBD_A_DEVICE_MEMBER_ID, status->member_id)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return genlmsg_reply(skb, info);
}

int qbd_nl_up_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct qbd_up_parameters parameters = { };
	char text[QBD_ERROR_TEXT_SIZE] = "";
	struct qbd_replica_status *status;
	struct qbd_replica *replica;
	struct sk_buff *reply;
	int error;

	error = require_administrator(skb, info->extack);
	if (!error)
		error = up_parameters(info, &parameters);
	if (error)
		return error;
	/* Before, not after: a member that is up must not be reported as an error. */
	status = kmalloc(sizeof(*status), GFP_KERNEL);
	reply = genlmsg_new(qbd_ctl_status_size(0), GFP_KERNEL);
	error = -ENOMEM;
	if (!status || !reply)
		goto out;
	error = qbd_replica_up(genl_info_net(info), &parameters, &replica, text,
			       sizeof(text));
	if (error) {
		qbd_ctl_set_message(info->extack, text);
		goto out;
	}
	qbd_replica_get_status(replica, status);
	qbd_replica_put(replica);
	error = reply_up(info, reply, status);
	reply = NULL;
out:
	nlmsg_free(reply);
	kfree(status);
	return error;
}

int qbd_nl_down_doit(struct sk_buff *skb, struct genl_info *info)
{
	char text[QBD_ERROR_TEXT_SIZE] = "";
	struct qbd_replica *replica;
	int error;

	error = require_administrator(skb, info->extack);
	if (error)
		return error;
	replica = qbd_ctl_find(info);
	if (IS_ERR(replica))
		return PTR_ERR(replica);
	error = qbd_replica_down(replica, nla_get_flag(info->attrs[QBD_A_DEVICE_FORCE]),
				 text, sizeof(text));
	if (error)
		qbd_ctl_set_message(info->extack, text);
	qbd_replica_put(replica);
	return error;
}

int qbd_nl_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	char text[QBD_ERROR_TEXT_SIZE] = "";
	struct qbd_settings before, settings;
	struct qbd_replica *replica;
	int error;

	if (GENL_REQ_ATTR_CHECK(info, QBD_A_DEVICE_SETTINGS)) {
		NL_SET_ERR_MSG(info->extack, "there is nothing to set");
		return -EINVAL;
	}
	replica = qbd_ctl_find(info);
	if (IS_ERR(replica))
		return PTR_ERR(replica);
	mutex_lock(&set_mutex);
	qbd_replica_settings(replica, &before);
	settings = before;
	error = patch_settings(info->attrs[QBD_A_DEVICE_SETTINGS], &settings,
			       info->extack);
	if (!error) {
		error = qbd_replica_set(replica, &before, &settings, text, sizeof(text));
		if (error)
			qbd_ctl_set_message(info->extack, text);
	}
	mutex_unlock(&set_mutex);
	qbd_replica_put(replica);
	return error;
}

int qbd_nl_leader_move_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *member = info->attrs[QBD_A_DEVICE_MEMBER];
	char text[QBD_ERROR_TEXT_SIZE] = "";
	struct qbd_replica *replica;
	int error;

	replica = qbd_ctl_find(info);
	if (IS_ERR(replica))
		return PTR_ERR(replica);
	error = qbd_replica_leader_move(replica, member ? nla_get_u32(member) : 0, text,
					sizeof(text));
	if (error)
		qbd_ctl_set_message(info->extack, text);
	qbd_replica_put(replica);
	return error;
}

/* One member of the wanted list; all of it has to be given, but for the group. */
static int take_member(const struct nlattr *nest, struct qbd_member_layout *member,
		       struct netlink_ext_ack *extack)
{
	struct nlattr *attrs[QBD_A_WANTED_MEMBER_GROUP + 1];
	unsigned int type, bytes;
	int error;

	error = nla_parse_nested(attrs, QBD_A_WANTED_MEMBER_GROUP, nest,
				 qbd_wanted_member_nl_policy, extack);
	if (error)
		return error;
	for (type = QBD_A_WANTED_MEMBER_ID; type <= QBD_A_WANTED_MEMBER_PRIORITY; type++) {
		if (!attrs[type]) {
			NL_SET_ERR_MSG_ATTR(extack, nest, "a member without id, name, address, port, flags or priority");
			return -EINVAL;
		}
	}
	bytes = nla_len(attrs[QBD_A_WANTED_MEMBER_ADDRESS]);
	if (bytes != 4 && bytes != 16) {
		NL_SET_ERR_MSG_ATTR(extack, attrs[QBD_A_WANTED_MEMBER_ADDRESS],
				    "an address has 4 or 16 bytes");
		return -EINVAL;
	}
	member->id = cpu_to_le32(nla_get_u32(attrs[QBD_A_WANTED_MEMBER_ID]));
	member->flags = cpu_to_le16(nla_get_u32(attrs[QBD_A_WANTED_MEMBER_FLAGS]));
	member->priority = nla_get_u8(attrs[QBD_A_WANTED_MEMBER_PRIORITY]);
	if (attrs[QBD_A_WANTED_MEMBER_GROUP])
		member->group = nla_get_u8(attrs[QBD_A_WANTED_MEMBER_GROUP]);
	member->address.family = cpu_to_le16(bytes == 4 ? 4 : 6);
	member->address.port = cpu_to_le16(nla_get_u16(attrs[QBD_A_WANTED_MEMBER_PORT]));
	memcpy(member->address.bytes, nla_data(attrs[QBD_A_WANTED_MEMBER_ADDRESS]), bytes);
	nla_strscpy(member->name, attrs[QBD_A_WANTED_MEMBER_NAME], sizeof(member->name));
	return 0;
}

/* @wanted: zeroed. */
static int take_members(struct genl_info *info, struct qbd_membership_layout *wanted)
{
	const struct nlattr *attribute;
	u32 count = 0;
	int rest, error;

	if (GENL_REQ_ATTR_CHECK(info, QBD_A_DEVICE_MEMBERS_INDEX) ||
	    GENL_REQ_ATTR_CHECK(info, QBD_A_DEVICE_NEXT_MEMBER_ID) ||
	    GENL_REQ_ATTR_CHECK(info, QBD_A_DEVICE_WANTED_MEMBERS)) {
		NL_SET_ERR_MSG(info->extack, "members-index, next-member-id or the wanted members are missing");
		return -EINVAL;
	}
	nlmsg_for_each_attr(attribute, info->nlhdr, GENL_HDRLEN, rest) {
		if (nla_type(attribute) != QBD_A_DEVICE_WANTED_MEMBERS)
			continue;
		if (count == QBD_MEMBERS_MAX) {
			NL_SET_ERR_MSG(info->extack, "a device has 16 members at most");
			return -E2BIG;
		}
		error = take_member(attribute, &wanted->members[count++], info->extack);
		if (error)
			return error;
	}
	wanted->count = cpu_to_le32(count);
	wanted->index =
		cpu_to_le64(nla_get_u64(info->attrs[QBD_A_DEVICE_MEMBERS_INDEX]));
	wanted->next_member_id =
		cpu_to_le32(nla_get_u32(info->attrs[QBD_A_DEVICE_NEXT_MEMBER_ID]));
	return 0;
}

int qbd_nl_change_members_doit(struct sk_buff *skb, struct genl_info *info)
{
	char text[QBD_ERROR_TEXT_SIZE] = "";
	struct qbd_membership_layout *wanted;
	struct qbd_replica *replica;
	int error;

	replica = qbd_ctl_find(info);
	if (IS_ERR(replica))
		return PTR_ERR(replica);
	wanted = kzalloc(sizeof(*wanted), GFP_KERNEL);
	error = wanted ? take_members(info, wanted) : -ENOMEM;
	if (!error) {
		error = qbd_replica_change_members(replica, wanted,
						   nla_get_flag(info->attrs[QBD_A_DEVICE_FORCE]),
						   text, sizeof(text));
		if (error)
			qbd_ctl_set_message(info->extack, text);
	}
	kfree(wanted);
	qbd_replica_put(replica);
	return error;
}

static int order_claim(struct genl_info *info, const struct qbd_claim_order *order)
{
	char text[QBD_ERROR_TEXT_SIZE] = "";
	struct qbd_replica *replica;
	int error;

	replica = qbd_ctl_find(info);
	if (IS_ERR(replica))
		return PTR_ERR(replica);
	error = qbd_replica_claim(replica, order, text, sizeof(text));
	if (error)
		qbd_ctl_set_message(info->extack, text);
	qbd_replica_put(replica);
	return error;
}

int qbd_nl_claim_take_doit(struct sk_buff *skb, struct genl_info *info)
{
	const struct qbd_claim_order order = {
		.action = QBD_CLAIM_TAKE,
		.force = nla_get_flag(info->attrs[QBD_A_DEVICE_FORCE]),
	};

	return order_claim(info, &order);
}

int qbd_nl_claim_release_doit(struct sk_buff *skb, struct genl_info *info)
{
	const struct qbd_claim_order order = { .action = QBD_CLAIM_RELEASE };

	return order_claim(info, &order);
}

int qbd_nl_claim_mode_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct qbd_claim_order order = { .action = QBD_CLAIM_MODE };

	if (GENL_REQ_ATTR_CHECK(info, QBD_A_DEVICE_CLAIM_MODE)) {
		NL_SET_ERR_MSG(info->extack, "the mode is missing");
		return -EINVAL;
	}
	order.mode = nla_get_u32(info->attrs[QBD_A_DEVICE_CLAIM_MODE]);
	return order_claim(info, &order);
}

int qbd_nl_resize_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *bytes = info->attrs[QBD_A_DEVICE_DEVICE_BYTES];
	char text[QBD_ERROR_TEXT_SIZE] = "";
	u64 blocks = bytes ? nla_get_u64(bytes) >> QBD_BLOCK_SHIFT : 0;
	struct qbd_replica *replica;
	int error;

	if (bytes && !blocks) {
		NL_SET_ERR_MSG_ATTR(info->extack, bytes, "a device has 4 KiB at least");
		return -EINVAL;
	}
	replica = qbd_ctl_find(info);
	if (IS_ERR(replica))
		return PTR_ERR(replica);
	error = qbd_replica_resize(replica, blocks, text, sizeof(text));
	if (error)
		qbd_ctl_set_message(info->extack, text);
	qbd_replica_put(replica);
	return error;
}

int qbd_nl_status_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct qbd_replica_status *status;
	struct qbd_replica *replica;
	struct sk_buff *reply;
	int error = -ENOMEM;
	void *header;

	replica = qbd_ctl_find(info);
	if (IS_ERR(replica))
		return PTR_ERR(replica);
	status = kmalloc(sizeof(*status), GFP_KERNEL);
	if (!status)
		goto out_put;
	qbd_replica_get_status(replica, status);
	reply = genlmsg_new(qbd_ctl_status_size(status->member_count), GFP_KERNEL);
	if (!reply)
		goto out_free;
	header = genlmsg_put_reply(reply, info, &qbd_nl_family, 0, QBD_CMD_STATUS);
	error = header ? qbd_ctl_put_status(reply, status) : -EMSGSIZE;
	if (WARN_ON_ONCE(error)) {
		nlmsg_free(reply);
		goto out_free;
	}
	genlmsg_end(reply, header);
	error = genlmsg_reply(reply, info);
out_free:
	kfree(status);
out_put:
	qbd_replica_put(replica);
	return error;
}

/* One status has to fit into one buffer of a dump, whatever the listener reads. */
int qbd_nl_status_start(struct netlink_callback *cb)
{
	cb->min_dump_alloc = NLMSG_ALIGN(NLMSG_HDRLEN + GENL_HDRLEN +
					 qbd_ctl_status_size(QBD_MEMBERS_MAX));
	return 0;
}

/* One device into @skb. Return: 0 or -EMSGSIZE, then nothing was added. */
static int dump_one(struct sk_buff *skb, struct netlink_callback *cb,
		    const struct qbd_replica_status *status)
{
	void *header;

	header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			     &qbd_nl_family, NLM_F_MULTI, QBD_CMD_STATUS);
	if (!header)
		return -EMSGSIZE;
	if (qbd_ctl_put_status(skb, status)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	genl_dump_check_consistent(cb, header);
	genlmsg_end(skb, header);
	return 0;
}

/* cb->args[0]: number of the last device that was dumped, plus one. */
int qbd_nl_status_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct net *net = sock_net(skb->sk);
	struct qbd_replica_status *status;
	struct qbd_replica *replica;
	int error = 0;

	status = kmalloc(sizeof(*status), GFP_KERNEL);
	if (!status)
		return -ENOMEM;
	/* Compared with that of the device before, and at the end with the last one's. */
	while (!error && (replica = qbd_replica_next(net, (int)cb->args[0] - 1, &cb->seq))) {
		qbd_replica_get_status(replica, status);
		qbd_replica_put(replica);
		error = dump_one(skb, cb, status);
		if (!error)
			cb->args[0] = status->number + 1L;
	}
	kfree(status);
	/* Full: what is there is sent, and we are called again. */
	return skb->len ?: error;
}

/* The generated table knows no start of a dump; it gets one in qbd_ctl_init(). */
static struct genl_ops operations[ARRAY_SIZE(qbd_nl_ops)] __ro_after_init;

static const struct genl_multicast_group groups[] = {
	[QBD_NLGRP_EVENTS] = { .name = QBD_MCGRP_EVENTS, },
};

struct genl_family qbd_nl_family __ro_after_init = {
	.name		= QBD_FAMILY_NAME,
	.version	= QBD_FAMILY_VERSION,
	.netnsok	= true,
	.parallel_ops	= true,
	.module		= THIS_MODULE,
	.ops		= operations,
	.n_ops		= ARRAY_SIZE(operations),
	/* Every operation is validated strictly. */
	.resv_start_op	= QBD_CMD_UP,
	.mcgrps		= groups,
	.n_mcgrps	= ARRAY_SIZE(groups),
};

int __init qbd_ctl_init(void)
{
	unsigned int i;
	int error;

	memcpy(operations, qbd_nl_ops, sizeof(operations));
	for (i = 0; i < ARRAY_SIZE(operations); i++)
		if (operations[i].cmd == QBD_CMD_STATUS)
			operations[i].start = qbd_nl_status_start;
	qbd_ctl_events_start();
	error = genl_register_family(&qbd_nl_family);
	if (error)
		qbd_ctl_events_stop();
	return error;
}

void qbd_ctl_exit(void)
{
	genl_unregister_family(&qbd_nl_family);
	qbd_ctl_events_stop();
}
