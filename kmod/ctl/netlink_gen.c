// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/qbd.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "netlink_gen.h"

#include <uapi/linux/qbd.h>

/* Common nested types */
const struct nla_policy qbd_settings_nl_policy[QBD_A_SETTINGS_PAD + 1] = {
	[QBD_A_SETTINGS_ELECTION_TIMEOUT_MS] = { .type = NLA_U32, },
	[QBD_A_SETTINGS_HEARTBEAT_MS] = { .type = NLA_U32, },
	[QBD_A_SETTINGS_NO_QUORUM] = NLA_POLICY_MAX(NLA_U32, 1),
	[QBD_A_SETTINGS_NO_QUORUM_GRACE_MS] = { .type = NLA_U32, },
	[QBD_A_SETTINGS_READ_MODE] = NLA_POLICY_MAX(NLA_U32, 1),
	[QBD_A_SETTINGS_WINDOW_BYTES] = { .type = NLA_U32, },
	[QBD_A_SETTINGS_CLAIM_LEASE_MS] = { .type = NLA_U32, },
	[QBD_A_SETTINGS_LEADER_FOLLOWS] = { .type = NLA_U32, },
	[QBD_A_SETTINGS_MAX_RATE] = { .type = NLA_U64, },
	[QBD_A_SETTINGS_CHECKSUMS] = NLA_POLICY_MAX(NLA_U32, 1),
};

const struct nla_policy qbd_verify_wish_nl_policy[QBD_A_VERIFY_WISH_REPAIR + 1] = {
	[QBD_A_VERIFY_WISH_RATE] = { .type = NLA_U64, },
	[QBD_A_VERIFY_WISH_FIRST_BLOCK] = { .type = NLA_U64, },
	[QBD_A_VERIFY_WISH_BLOCKS] = { .type = NLA_U64, },
	[QBD_A_VERIFY_WISH_REPAIR] = { .type = NLA_FLAG, },
};

const struct nla_policy qbd_wanted_member_nl_policy[QBD_A_WANTED_MEMBER_GROUP + 1] = {
	[QBD_A_WANTED_MEMBER_ID] = NLA_POLICY_MIN(NLA_U32, 1),
	[QBD_A_WANTED_MEMBER_NAME] = { .type = NLA_NUL_STRING, .len = QBD_MEMBER_NAME_MAX, },
	[QBD_A_WANTED_MEMBER_ADDRESS] = { .type = NLA_BINARY, },
	[QBD_A_WANTED_MEMBER_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
	[QBD_A_WANTED_MEMBER_FLAGS] = NLA_POLICY_MASK(NLA_U32, 0x1ff),
	[QBD_A_WANTED_MEMBER_PRIORITY] = { .type = NLA_U8, },
	[QBD_A_WANTED_MEMBER_GROUP] = { .type = NLA_U8, },
};

/* QBD_CMD_UP - do */
const struct nla_policy qbd_up_nl_policy[QBD_A_DEVICE_SETTINGS + 1] = {
	[QBD_A_DEVICE_DISK] = { .type = NLA_NUL_STRING, .len = QBD_PATH_MAX, },
	[QBD_A_DEVICE_MEMORY_BYTES] = { .type = NLA_U32, },
	[QBD_A_DEVICE_SETTINGS] = NLA_POLICY_NESTED(qbd_settings_nl_policy),
};

/* QBD_CMD_DOWN - do */
const struct nla_policy qbd_down_nl_policy[QBD_A_DEVICE_FORCE + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
	[QBD_A_DEVICE_FORCE] = { .type = NLA_FLAG, },
};

/* QBD_CMD_STATUS - do */
const struct nla_policy qbd_status_nl_policy[QBD_A_DEVICE_NAME + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
};

/* QBD_CMD_SET - do */
const struct nla_policy qbd_set_nl_policy[QBD_A_DEVICE_SETTINGS + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
	[QBD_A_DEVICE_SETTINGS] = NLA_POLICY_NESTED(qbd_settings_nl_policy),
};

/* QBD_CMD_LEADER_MOVE - do */
const struct nla_policy qbd_leader_move_nl_policy[QBD_A_DEVICE_MEMBER + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
	[QBD_A_DEVICE_MEMBER] = { .type = NLA_U32, },
};

/* QBD_CMD_CHANGE_MEMBERS - do */
const struct nla_policy qbd_change_members_nl_policy[QBD_A_DEVICE_WANTED_MEMBERS + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
	[QBD_A_DEVICE_MEMBERS_INDEX] = { .type = NLA_U64, },
	[QBD_A_DEVICE_NEXT_MEMBER_ID] = { .type = NLA_U32, },
	[QBD_A_DEVICE_WANTED_MEMBERS] = NLA_POLICY_NESTED(qbd_wanted_member_nl_policy),
	[QBD_A_DEVICE_FORCE] = { .type = NLA_FLAG, },
};

/* QBD_CMD_CLAIM_TAKE - do */
const struct nla_policy qbd_claim_take_nl_policy[QBD_A_DEVICE_FORCE + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
	[QBD_A_DEVICE_FORCE] = { .type = NLA_FLAG, },
};

/* QBD_CMD_CLAIM_RELEASE - do */
const struct nla_policy qbd_claim_release_nl_policy[QBD_A_DEVICE_NAME + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
};

/* QBD_CMD_CLAIM_MODE - do */
const struct nla_policy qbd_claim_mode_nl_policy[QBD_A_DEVICE_CLAIM_MODE + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
	[QBD_A_DEVICE_CLAIM_MODE] = NLA_POLICY_MAX(NLA_U32, 1),
};

/* QBD_CMD_RESIZE - do */
const struct nla_policy qbd_resize_nl_policy[QBD_A_DEVICE_DEVICE_BYTES + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
	[QBD_A_DEVICE_DEVICE_BYTES] = { .type = NLA_U64, },
};

/* QBD_CMD_VERIFY_START - do */
const struct nla_policy qbd_verify_start_nl_policy[QBD_A_DEVICE_VERIFY_WISH + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
	[QBD_A_DEVICE_VERIFY_WISH] = NLA_POLICY_NESTED(qbd_verify_wish_nl_policy),
};

/* QBD_CMD_VERIFY_STOP - do */
const struct nla_policy qbd_verify_stop_nl_policy[QBD_A_DEVICE_NAME + 1] = {
	[QBD_A_DEVICE_NAME] = { .type = NLA_NUL_STRING, .len = QBD_NAME_MAX, },
};

/* Ops table for qbd */
const struct genl_ops qbd_nl_ops[12] = {
	{
		.cmd		= QBD_CMD_UP,
		.doit		= qbd_nl_up_doit,
		.policy		= qbd_up_nl_policy,
		.maxattr	= QBD_A_DEVICE_SETTINGS,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= QBD_CMD_DOWN,
		.doit		= qbd_nl_down_doit,
		.policy		= qbd_down_nl_policy,
		.maxattr	= QBD_A_DEVICE_FORCE,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= QBD_CMD_STATUS,
		.doit		= qbd_nl_status_doit,
		.dumpit		= qbd_nl_status_dumpit,
		.policy		= qbd_status_nl_policy,
		.maxattr	= QBD_A_DEVICE_NAME,
	},
	{
		.cmd		= QBD_CMD_SET,
		.doit		= qbd_nl_set_doit,
		.policy		= qbd_set_nl_policy,
		.maxattr	= QBD_A_DEVICE_SETTINGS,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= QBD_CMD_LEADER_MOVE,
		.doit		= qbd_nl_leader_move_doit,
		.policy		= qbd_leader_move_nl_policy,
		.maxattr	= QBD_A_DEVICE_MEMBER,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= QBD_CMD_CHANGE_MEMBERS,
		.doit		= qbd_nl_change_members_doit,
		.policy		= qbd_change_members_nl_policy,
		.maxattr	= QBD_A_DEVICE_WANTED_MEMBERS,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= QBD_CMD_CLAIM_TAKE,
		.doit		= qbd_nl_claim_take_doit,
		.policy		= qbd_claim_take_nl_policy,
		.maxattr	= QBD_A_DEVICE_FORCE,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= QBD_CMD_CLAIM_RELEASE,
		.doit		= qbd_nl_claim_release_doit,
		.policy		= qbd_claim_release_nl_policy,
		.maxattr	= QBD_A_DEVICE_NAME,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= QBD_CMD_CLAIM_MODE,
		.doit		= qbd_nl_claim_mode_doit,
		.policy		= qbd_claim_mode_nl_policy,
		.maxattr	= QBD_A_DEVICE_CLAIM_MODE,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= QBD_CMD_RESIZE,
		.doit		= qbd_nl_resize_doit,
		.policy		= qbd_resize_nl_policy,
		.maxattr	= QBD_A_DEVICE_DEVICE_BYTES,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= QBD_CMD_VERIFY_START,
		.doit		= qbd_nl_verify_start_doit,
		.policy		= qbd_verify_start_nl_policy,
		.maxattr	= QBD_A_DEVICE_VERIFY_WISH,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= QBD_CMD_VERIFY_STOP,
		.doit		= qbd_nl_verify_stop_doit,
		.policy		= qbd_verify_stop_nl_policy,
		.maxattr	= QBD_A_DEVICE_NAME,
		.flags		= GENL_ADMIN_PERM,
	},
};

static const struct genl_multicast_group qbd_nl_mcgrps[] = {
	[QBD_NLGRP_EVENTS] = { "events", },
};
