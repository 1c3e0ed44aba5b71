/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Control: the generic netlink family "qbd", see
 * Documentation/netlink/specs/qbd.yaml.
 *
 * netlink.c      family and requests
 * status.c       a status snapshot as a message
 * message.c      error texts that outlive the request
 * events.c       what happens, told to those who listen
 * verify.c       replicas that are compared
 * netlink_gen.c  policies and operations, made from the specification
 */
#ifndef QBD_CTL_CTL_H
#define QBD_CTL_CTL_H

#include <linux/types.h>

struct genl_family;
struct genl_info;
struct netlink_ext_ack;
struct qbd_replica;
struct qbd_replica_status;
struct qbd_settings;
struct qbd_verify_result;
struct sk_buff;

/* netlink.c; process context, called by main.c when no replica is up */
int qbd_ctl_init(void);
void qbd_ctl_exit(void);

extern struct genl_family qbd_nl_family;

/* The device named in the request, with a reference; or ERR_PTR and a line. */
struct qbd_replica *qbd_ctl_find(struct genl_info *info);

/* status.c */

/* Bytes of attributes that a status with so many members can take. */
size_t qbd_ctl_status_size(unsigned int member_count);
/* Return: 0 or -EMSGSIZE, then @skb may hold a part of it. */
int qbd_ctl_put_status(struct sk_buff *skb, const struct qbd_replica_status *status);

/* message.c */

/* Has @text, copied, reported with the answer to the request. */
void qbd_ctl_set_message(struct netlink_ext_ack *extack, const char *text);

/* verify.c */

/* Bytes of attributes that a verification can take. */
size_t qbd_ctl_verify_size(void);
/* Nothing if there was none. Return: 0 or -EMSGSIZE. */
int qbd_ctl_put_verify(struct sk_buff *skb, const struct qbd_verify_result *result);

/* events.c */
void qbd_ctl_events_start(void);
void qbd_ctl_events_stop(void);

#endif
