// SPDX-License-Identifier: GPL-2.0
/* Replicas that are compared: begun and ended, and what was found as netlink attributes. */
#include <net/genetlink.h>
#include <net/netlink.h>
#include <uapi/linux/qbd.h>

#include "../replica/replica.h"
#include "ctl.h"
#include "netlink_gen.h"

static_assert((int)QBD_VERIFY_STATE_NEVER == (int)QBD_VERIFY_NEVER);
static_assert((int)QBD_VERIFY_STATE_RUNNING == (int)QBD_VERIFY_RUNNING);
static_assert((int)QBD_VERIFY_STATE_DONE == (int)QBD_VERIFY_DONE);
static_assert((int)QBD_VERIFY_STATE_STOPPED == (int)QBD_VERIFY_STOPPED);
static_assert((int)QBD_VERIFY_STATE_ALONE == (int)QBD_VERIFY_ALONE);
static_assert((int)QBD_VERIFY_KIND_DIFFERENT == (int)QBD_VERIFY_DIFFERENT);
static_assert((int)QBD_VERIFY_KIND_UNREADABLE == (int)QBD_VERIFY_UNREADABLE);
static_assert((int)QBD_VERIFY_KIND_UNDECIDED == (int)QBD_VERIFY_UNDECIDED);
static_assert((int)QBD_VERIFY_MISSED_NOTHING == (int)QBD_MISSED_NOTHING);
static_assert((int)QBD_VERIFY_MISSED_AWAY == (int)QBD_MISSED_AWAY);
static_assert((int)QBD_VERIFY_MISSED_FILLING == (int)QBD_MISSED_FILLING);
static_assert((int)QBD_VERIFY_MISSED_FAILED == (int)QBD_MISSED_FAILED);
static_assert((int)QBD_VERIFY_MISSED_SILENT == (int)QBD_MISSED_SILENT);

#define SIZE_U32	nla_total_size(sizeof(u32))
#define SIZE_U64	nla_total_size_64bit(sizeof(u64))
#define SIZE_NEST	nla_total_size(0)

size_t qbd_ctl_verify_size(void)
{
	size_t member = SIZE_NEST + 2 * SIZE_U32 + 2 * SIZE_U64;
	size_t difference = SIZE_NEST + 2 * SIZE_U32 + 3 * SIZE_U64;

	return SIZE_NEST + SIZE_U32 + nla_total_size(0) + 11 * SIZE_U64 +
	       QBD_MEMBERS_MAX * member + QBD_VERIFY_DIFFERENCES_MAX * difference;
}

static int put_member(struct sk_buff *skb, const struct qbd_verify_member *member)
{
	struct nlattr *nest = nla_nest_start(skb, QBD_A_VERIFY_MEMBERS);

	if (!nest || nla_put_u32(skb, QBD_A_VERIFY_MEMBER_ID, member->id) ||
	    nla_put_u64_64bit(skb, QBD_A_VERIFY_MEMBER_COMPARED, member->compared,
			      QBD_A_VERIFY_MEMBER_PAD) ||
	    nla_put_u64_64bit(skb, QBD_A_VERIFY_MEMBER_DIFFERENT, member->different,
			      QBD_A_VERIFY_MEMBER_PAD) ||
	    nla_put_u32(skb, QBD_A_VERIFY_MEMBER_MISSED, member->missed))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_difference(struct sk_buff *skb, const struct qbd_verify_difference *difference)
{
	struct nlattr *nest = nla_nest_start(skb, QBD_A_VERIFY_DIFFERENCES);

	if (!nest ||
	    nla_put_u64_64bit(skb, QBD_A_VERIFY_DIFFERENCE_FIRST, difference->first,
			      QBD_A_VERIFY_DIFFERENCE_PAD) ||
	    nla_put_u64_64bit(skb, QBD_A_VERIFY_DIFFERENCE_COUNT, difference->count,
			      QBD_A_VERIFY_DIFFERENCE_PAD) ||
	    nla_put_u64_64bit(skb, QBD_A_VERIFY_DIFFERENCE_REPAIRED, difference->repaired,
			      QBD_A_VERIFY_DIFFERENCE_PAD) ||
	    (difference->member &&
	     nla_put_u32(skb, QBD_A_VERIFY_DIFFERENCE_MEMBER, difference->member)) ||
	    nla_put_u32(skb, QBD_A_VERIFY_DIFFERENCE_KIND, difference->kind))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_numbers(struct sk_buff *skb, const struct qbd_verify_result *result)
{
	const struct {
		int type;
		u64 value;
	} values[] = {
		{ QBD_A_VERIFY_RATE, result->rate },
		{ QBD_A_VERIFY_FIRST_BLOCK, result->first_block },
		{ QBD_A_VERIFY_END_BLOCK, result->end_block },
		{ QBD_A_VERIFY_NEXT_BLOCK, result->next_block },
		{ QBD_A_VERIFY_COMPARED, result->compared },
		{ QBD_A_VERIFY_DIFFERENT, result->different },
		{ QBD_A_VERIFY_UNDECIDED, result->undecided },
		{ QBD_A_VERIFY_REPAIRED, result->repaired },
		{ QBD_A_VERIFY_SKIPPED, result->skipped },
		{ QBD_A_VERIFY_MISSED, result->missed },
		{ QBD_A_VERIFY_UNLISTED, result->unlisted },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++)
		if (nla_put_u64_64bit(skb, values[i].type, values[i].value,
				      QBD_A_VERIFY_PAD))
			return -EMSGSIZE;
	return 0;
}

int qbd_ctl_put_verify(struct sk_buff *skb, const struct qbd_verify_result *result)
{
	struct nlattr *nest;

	if (result->state == QBD_VERIFY_NEVER)
		return 0;
	nest = nla_nest_start(skb, QBD_A_DEVICE_VERIFY);
	if (!nest || nla_put_u32(skb, QBD_A_VERIFY_STATE, result->state) ||
	    (result->repair && nla_put_flag(skb, QBD_A_VERIFY_REPAIR)) ||
	    put_numbers(skb, result))
		return -EMSGSIZE;
	for (u32 i = 0; i < result->member_count; i++)
		if (put_member(skb, &result->members[i]))
			return -EMSGSIZE;
	for (u32 i = 0; i < result->difference_count; i++)
		if (put_difference(skb, &result->differences[i]))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int take_wish(struct genl_info *info, struct qbd_verify_wish *wish)
{
	struct nlattr *attrs[QBD_A_VERIFY_WISH_REPAIR + 1];
	const struct {
		int type;
		u64 *value;
	} values[] = {
		{ QBD_A_VERIFY_WISH_RATE, &wish->rate },
		{ QBD_A_VERIFY_WISH_FIRST_BLOCK, &wish->first_block },
		{ QBD_A_VERIFY_WISH_BLOCKS, &wish->blocks },
	};
	int error;

	wish->rate = QBD_VERIFY_RATE_DEFAULT;
	if (!info->attrs[QBD_A_DEVICE_VERIFY_WISH])
		return 0;
	error = nla_parse_nested(attrs, QBD_A_VERIFY_WISH_REPAIR,
				 info->attrs[QBD_A_DEVICE_VERIFY_WISH],
				 qbd_verify_wish_nl_policy, info->extack);
	if (error)
		return error;
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++)
		if (attrs[values[i].type])
			*values[i].value = nla_get_u64(attrs[values[i].type]);
	wish->repair = nla_get_flag(attrs[QBD_A_VERIFY_WISH_REPAIR]);
	return 0;
}

int qbd_nl_verify_start_doit(struct sk_buff *skb, struct genl_info *info)
{
	char text[QBD_ERROR_TEXT_SIZE] = "";
	struct qbd_verify_wish wish = { };
	struct qbd_replica *replica;
	int error;

	error = take_wish(info, &wish);
	if (error)
		return error;
	replica = qbd_ctl_find(info);
	if (IS_ERR(replica))
		return PTR_ERR(replica);
	error = qbd_replica_verify_start(replica, &wish, text, sizeof(text));
	if (error)
		qbd_ctl_set_message(info->extack, text);
	qbd_replica_put(replica);
	return error;
}

int qbd_nl_verify_stop_doit(struct sk_buff *skb, struct genl_info *info)
{
	char text[QBD_ERROR_TEXT_SIZE] = "";
	struct qbd_replica *replica;
	int error;

	replica = qbd_ctl_find(info);
	if (IS_ERR(replica))
		return PTR_ERR(replica);
	error = qbd_replica_verify_stop(replica, text, sizeof(text));
	if (error)
		qbd_ctl_set_message(info->extack, text);
	qbd_replica_put(replica);
	return error;
}
