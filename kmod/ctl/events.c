// SPDX-License-Identifier: GPL-2.0
/* What happens, told to those who listen. */
#include <linux/sched/mm.h>
#include <net/genetlink.h>
#include <net/netlink.h>
#include <uapi/linux/qbd.h>

#include "../replica/replica.h"
#include "ctl.h"
#include "netlink_gen.h"

static_assert((int)QBD_EVENT_TYPE_UP == (int)QBD_EVENT_UP);
static_assert((int)QBD_EVENT_TYPE_DOWN == (int)QBD_EVENT_DOWN);
static_assert((int)QBD_EVENT_TYPE_ROLE == (int)QBD_EVENT_ROLE);
static_assert((int)QBD_EVENT_TYPE_LEADER == (int)QBD_EVENT_LEADER);
static_assert((int)QBD_EVENT_TYPE_PEER_UP == (int)QBD_EVENT_PEER_UP);
static_assert((int)QBD_EVENT_TYPE_PEER_DOWN == (int)QBD_EVENT_PEER_DOWN);
static_assert((int)QBD_EVENT_TYPE_QUORUM_LOST == (int)QBD_EVENT_QUORUM_LOST);
static_assert((int)QBD_EVENT_TYPE_QUORUM_REGAINED == (int)QBD_EVENT_QUORUM_REGAINED);
static_assert((int)QBD_EVENT_TYPE_FILL_PROGRESS == (int)QBD_EVENT_FILL_PROGRESS);
static_assert((int)QBD_EVENT_TYPE_FILL_DONE == (int)QBD_EVENT_FILL_DONE);
static_assert((int)QBD_EVENT_TYPE_DISK_FAILED == (int)QBD_EVENT_DISK_FAILED);
static_assert((int)QBD_EVENT_TYPE_SETTINGS == (int)QBD_EVENT_SETTINGS);
static_assert((int)QBD_EVENT_TYPE_REFUSED == (int)QBD_EVENT_REFUSED);
static_assert((int)QBD_EVENT_TYPE_REMOVED == (int)QBD_EVENT_REMOVED);
static_assert((int)QBD_EVENT_TYPE_MEMBERS == (int)QBD_EVENT_MEMBERS);
static_assert((int)QBD_EVENT_TYPE_CLAIMED == (int)QBD_EVENT_CLAIMED);
static_assert((int)QBD_EVENT_TYPE_RELEASED == (int)QBD_EVENT_RELEASED);
static_assert((int)QBD_EVENT_TYPE_FENCED == (int)QBD_EVENT_FENCED);
static_assert((int)QBD_EVENT_TYPE_RESIZED == (int)QBD_EVENT_RESIZED);
static_assert((int)QBD_EVENT_TYPE_VERIFY_PROGRESS == (int)QBD_EVENT_VERIFY_PROGRESS);
static_assert((int)QBD_EVENT_TYPE_VERIFY_DIFFERENCE == (int)QBD_EVENT_VERIFY_DIFFERENCE);
static_assert((int)QBD_EVENT_TYPE_VERIFY_DONE == (int)QBD_EVENT_VERIFY_DONE);
static_assert((int)QBD_EVENT_TYPE_BLOCKS_MENDED == (int)QBD_EVENT_BLOCKS_MENDED);
static_assert((int)QBD_EVENT_TYPE_CATCH_UP_PROGRESS == (int)QBD_EVENT_CATCH_UP_PROGRESS);
static_assert((int)QBD_EVENT_TYPE_CATCH_UP_DONE == (int)QBD_EVENT_CATCH_UP_DONE);

static size_t event_size(void)
{
	return 6 * nla_total_size(sizeof(u32)) + 7 * nla_total_size_64bit(sizeof(u64)) +
	       nla_total_size(sizeof_field(struct qbd_event, name)) +
	       nla_total_size(sizeof_field(struct qbd_event, text));
}

static int put_done(struct sk_buff *skb, const struct qbd_event *event)
{
	if (nla_put_u64_64bit(skb, QBD_A_EVENT_DONE, event->done, QBD_A_EVENT_PAD) ||
	    nla_put_u64_64bit(skb, QBD_A_EVENT_TOTAL, event->total, QBD_A_EVENT_PAD))
		return -EMSGSIZE;
	if (!event->total)
		return 0;
	if (nla_put_u64_64bit(skb, QBD_A_EVENT_LEFT, event->left, QBD_A_EVENT_PAD) ||
	    nla_put_u64_64bit(skb, QBD_A_EVENT_RATE, event->rate, QBD_A_EVENT_PAD) ||
	    (event->seconds_left != U64_MAX &&
	     nla_put_u64_64bit(skb, QBD_A_EVENT_SECONDS_LEFT, event->seconds_left,
			       QBD_A_EVENT_PAD)))
		return -EMSGSIZE;
	return 0;
}

static int put_event(struct sk_buff *skb, const struct qbd_event *event)
{
	if (nla_put_u32(skb, QBD_A_EVENT_TYPE, event->kind) ||
	    nla_put_u64_64bit(skb, QBD_A_EVENT_SEQUENCE, event->sequence,
			      QBD_A_EVENT_PAD) ||
	    nla_put_string(skb, QBD_A_EVENT_NAME, event->name) ||
	    (event->has_device && nla_put_u32(skb, QBD_A_EVENT_NUMBER, event->number)) ||
	    nla_put_u32(skb, QBD_A_EVENT_MEMBER_ID, event->member_id) ||
	    nla_put_u32(skb, QBD_A_EVENT_ROLE, event->role) ||
	    nla_put_u64_64bit(skb, QBD_A_EVENT_TERM, event->term, QBD_A_EVENT_PAD) ||
	    (event->leader && nla_put_u32(skb, QBD_A_EVENT_LEADER, event->leader)) ||
	    (event->peer && nla_put_u32(skb, QBD_A_EVENT_PEER, event->peer)) ||
	    put_done(skb, event) ||
	    (event->text[0] && nla_put_string(skb, QBD_A_EVENT_TEXT, event->text)))
		return -EMSGSIZE;
	return 0;
}

static void send_event(struct net *net, const struct qbd_event *event)
{
	struct sk_buff *skb = genlmsg_new(event_size(), GFP_NOIO | __GFP_NOWARN);
	void *header;

	/* Without memory the event is lost; the gap in the sequence tells. */
	if (!skb)
		return;
	header = genlmsg_put(skb, 0, 0, &qbd_nl_family, 0, QBD_CMD_EVENT);
	if (!header || put_event(skb, event)) {
		WARN_ON_ONCE(1);
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, header);
	genlmsg_multicast_netns(&qbd_nl_family, net, skb, 0, QBD_NLGRP_EVENTS, GFP_NOIO);
}

/* From a device's own work: must not wait for memory that waits for the device. */
static void handle_event(struct net *net, const struct qbd_event *event)
{
	unsigned int noio;

	if (!genl_has_listeners(&qbd_nl_family, net, QBD_NLGRP_EVENTS))
		return;
	noio = memalloc_noio_save();
	send_event(net, event);
	memalloc_noio_restore(noio);
}

void qbd_ctl_events_start(void)
{
	qbd_replica_set_event_handler(handle_event);
}

void qbd_ctl_events_stop(void)
{
	qbd_replica_set_event_handler(NULL);
}
