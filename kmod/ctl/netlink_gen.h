/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/qbd.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_QBD_GEN_H
#define _LINUX_QBD_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/qbd.h>

/* Common nested types */
extern const struct nla_policy qbd_settings_nl_policy[QBD_A_SETTINGS_PAD + 1];
extern const struct nla_policy qbd_verify_wish_nl_policy[QBD_A_VERIFY_WISH_REPAIR + 1];
extern const struct nla_policy qbd_wanted_member_nl_policy[QBD_A_WANTED_MEMBER_GROUP + 1];

extern const struct nla_policy qbd_up_nl_policy[QBD_A_DEVICE_SETTINGS + 1];

extern const struct nla_policy qbd_down_nl_policy[QBD_A_DEVICE_FORCE + 1];

extern const struct nla_policy qbd_status_nl_policy[QBD_A_DEVICE_NAME + 1];

extern const struct nla_policy qbd_set_nl_policy[QBD_A_DEVICE_SETTINGS + 1];

extern const struct nla_policy qbd_leader_move_nl_policy[QBD_A_DEVICE_MEMBER + 1];

extern const struct nla_policy qbd_change_members_nl_policy[QBD_A_DEVICE_WANTED_MEMBERS + 1];

extern const struct nla_policy qbd_claim_take_nl_policy[QBD_A_DEVICE_FORCE + 1];

extern const struct nla_policy qbd_claim_release_nl_policy[QBD_A_DEVICE_NAME + 1];

extern const struct nla_policy qbd_claim_mode_nl_policy[QBD_A_DEVICE_CLAIM_MODE + 1];

extern const struct nla_policy qbd_resize_nl_policy[QBD_A_DEVICE_DEVICE_BYTES + 1];

extern const struct nla_policy qbd_verify_start_nl_policy[QBD_A_DEVICE_VERIFY_WISH + 1];

extern const struct nla_policy qbd_verify_stop_nl_policy[QBD_A_DEVICE_NAME + 1];

/* Ops table for qbd */
extern const struct genl_ops qbd_nl_ops[12];

int qbd_nl_status_start(struct netlink_callback *cb);

int qbd_nl_up_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_down_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_status_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_status_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int qbd_nl_set_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_leader_move_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_change_members_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_claim_take_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_claim_release_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_claim_mode_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_resize_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_verify_start_doit(struct sk_buff *skb, struct genl_info *info);
int qbd_nl_verify_stop_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	QBD_NLGRP_EVENTS,
};

#endif /* _LINUX_QBD_GEN_H */
