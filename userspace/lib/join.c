// SPDX-License-Identifier: GPL-2.0
/*
 * The list of members is changed by compare-and-set: a change names the index of the list
 * that it was made from, and the leader takes it only if that one is in force. So it is
 * done once or not at all, however often it is sent, and whoever does not hear the answer
 * looks: a list that names our disk, by the incarnation that we drew before we asked, has it
 * from us. (Two hosts that were given the same name and address each took the other's id for
 * their own.)
 *
 * A list in the leader's log may still be lost with its leader, and the id be given to
 * somebody else then. So a disk is given an id when the list is committed, not before.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#include "format/change.h"
#include "lib/clock.h"
#include "lib/join.h"
#include "lib/parse.h"

#define PAUSE_MIN_MS	50
#define PAUSE_MAX_MS	1000

/* Trying again, for a while, ever more slowly. */
struct patience {
	int64_t end;
	int64_t pause;
};

static void be_patient(struct patience *patience, const struct qbd_join *join)
{
	patience->end = qbd_now_ms() + join->wait_ms;
	patience->pause = PAUSE_MIN_MS;
}

/* Return: false if there is no more time. */
static bool pause_for(struct patience *patience)
{
	if (qbd_now_ms() + patience->pause >= patience->end)
		return false;
	qbd_pause_ms((unsigned int)patience->pause);
	patience->pause *= 2;
	if (patience->pause > PAUSE_MAX_MS)
		patience->pause = PAUSE_MAX_MS;
	return true;
}

/* ---- looking ------------------------------------------------------------ */

static int check_name(const struct qbd_join *join, const struct qbd_description *description,
		      const char *where, struct qbd_error *error)
{
	if (strcmp(join->name, description->name))
		return qbd_fail(error, EINVAL, "%s: the device of this token is called %s there, not %s",
				where, description->name, join->name);
	return 0;
}

/* What the member at @address says; the connection stays open if it leads. */
static int describe_at(struct qbd_join *join, struct qbd_admin *admin,
		       const struct qbd_address *address, struct qbd_error *error)
{
	int result = qbd_admin_connect(admin, address, join->token, error);

	if (result)
		return result;
	result = qbd_admin_describe(admin, &join->description, error);
	if (!result)
		result = check_name(join, &join->description, admin->where, error);
	if (result) {
		qbd_admin_close(admin);
		return result;
	}
	join->described = true;
	if (join->description.leader == join->description.member_id)
		return 0;
	qbd_admin_close(admin);
	return qbd_fail(error, EAGAIN, "%s: no leader is known there; a majority of the members must be up and reach each other",
			admin->where);
}

/* No other member or another try will say anything else. */
static bool is_final(int result)
{
	return result == -EACCES || result == -EINVAL;
}

/*
 * The leader, asked for by way of @address, and by way of whom that one names. The
 * leader of the moment may be none a moment later: this tries once.
 */
static int find_leader_by(struct qbd_join *join, struct qbd_admin *admin,
			  const struct qbd_address *address, struct qbd_error *error)
{
	const struct qbd_member_layout *leader;
	struct qbd_address next;
	int result;

	result = describe_at(join, admin, address, error);
	if (result != -EAGAIN || !join->described)
		return result;
	leader = qbd_membership_find(&join->description.membership,
				     le32_to_cpu(join->description.leader));
	if (!leader || join->description.leader == join->description.member_id)
		return result;
	next = leader->address;
	return describe_at(join, admin, &next, error);
}

/* Whoever answers first: the contact, or any member that is known by now. */
static int find_leader_once(struct qbd_join *join, struct qbd_admin *admin,
			    const struct patience *patience, struct qbd_error *error)
{
	struct qbd_membership_layout known = { 0 };
	struct qbd_error first;
	int result, final;

	if (join->described)
		known = join->description.membership;
	result = find_leader_by(join, admin, &join->contact, error);
	if (!result || is_final(result))
		return result;
	final = result;
	for (uint32_t i = 0; i < le32_to_cpu(known.count) && qbd_now_ms() < patience->end; i++) {
		if (qbd_address_same(&known.members[i].address, &join->contact) ||
		    qbd_address_same(&known.members[i].address, &join->self.address))
			continue;
		result = find_leader_by(join, admin, &known.members[i].address, &first);
		if (!result)
			return 0;
		if (is_final(result)) {
			*error = first;
			return result;
		}
	}
	return final;
}

static int find_leader(struct qbd_join *join, struct qbd_admin *admin,
		       struct patience *patience, struct qbd_error *error)
{
	int result;

	do {
		result = find_leader_once(join, admin, patience, error);
		/* Nobody has ever answered: the address is wrong, most likely. */
		if (!result || is_final(result) || (!join->described && result != -EBUSY))
			return result;
	} while (pause_for(patience));
	return result;
}

/* The present list and us. The new id is the highest, so the order is right. */
static void make_wanted(const struct qbd_join *join, struct qbd_membership_layout *wanted)
{
	uint32_t count, id;

	*wanted = join->description.membership;
	count = le32_to_cpu(wanted->count);
	id = le32_to_cpu(wanted->next_member_id);
	wanted->members[count] = join->self;
	wanted->members[count].id = cpu_to_le32(id);
	wanted->count = cpu_to_le32(count + 1);
	wanted->next_member_id = cpu_to_le32(id + 1);
}

/*
 * A client that is called as we are, who want to be one, and is not there: its host is this
 * one, and has lost what it knew. Nothing else is lost with it. NULL: there is none.
 *
 * Only one that was there when we looked first: two hosts of one name would take each other
 * out of the list, in turn.
 */
static const struct qbd_member_layout *former_self(const struct qbd_join *join)
{
	const struct qbd_membership_layout *members = &join->description.membership;
	uint32_t there = le32_to_cpu(join->description.connected);

	if (!(le16_to_cpu(join->self.flags) & QBD_MEMBER_CLIENT))
		return NULL;
	for (uint32_t i = 0; i < le32_to_cpu(members->count); i++)
		if (!strcmp(members->members[i].name, join->self.name) &&
		    le16_to_cpu(members->members[i].flags) & QBD_MEMBER_CLIENT &&
		    (!join->former || le32_to_cpu(members->members[i].id) == join->former) &&
		    !(there & 1u << i))
			return &members->members[i];
	return NULL;
}

/*
 * What the leader would say of a change just now, as far as it can be known. All of it passes,
 * or may: -EAGAIN.
 */
static int check_moment(const struct qbd_join *join, struct qbd_error *error)
{
	const struct qbd_description *description = &join->description;
	const struct qbd_membership_layout *members = &description->membership;
	uint32_t result = QBD_CHANGE_DONE, away = 0;
	unsigned int voters = 1, there = 1;
	char text[256];

	if (!qbd_join_committed(join))
		result = QBD_CHANGE_PENDING;
	for (uint32_t i = 0; i < le32_to_cpu(members->count); i++) {
		uint16_t flags = le16_to_cpu(members->members[i].flags);

		if (flags & QBD_MEMBER_VOTER_OLD)
			result = QBD_CHANGE_PENDING;
		if (!qbd_will_vote(flags))
			continue;
		voters++;
		if (flags & QBD_MEMBER_JOINING ||
		    le32_to_cpu(description->connected) & 1u << i)
			there++;
		else if (!away)
			away = le32_to_cpu(members->members[i].id);
	}
	if (!result && le32_to_cpu(description->flags) & QBD_DESCRIPTION_GROWING)
		result = QBD_CHANGE_GROWING;
	if (!result && le16_to_cpu(join->self.flags) & QBD_MEMBER_JOINING && there <= voters / 2)
		result = QBD_CHANGE_QUORUM;
	if (!result)
		return 0;
	qbd_change_describe(result, away, text, sizeof(text));
	return qbd_fail(error, EAGAIN, "%s: %s", join->name, text);
}

/* Does the list have room for us, and nothing that is ours? */
static int check_place(const struct qbd_join *join, struct qbd_error *error)
{
	const struct qbd_membership_layout *members = &join->description.membership;
	const struct qbd_member_layout *former = former_self(join);
	struct qbd_membership_layout wanted;
	char text[QBD_ADDRESS_TEXT_SIZE];
	int result;

	for (uint32_t i = 0; i < le32_to_cpu(members->count); i++) {
		const struct qbd_member_layout *member = &members->members[i];

		if (member == former)
			continue;
		if (!strcmp(member->name, join->self.name))
			return qbd_fail(error, EEXIST, "%s: member %u is called %s already; choose another --name, or bring it up if it is this host's ('qbdadm up %s'), or, if it shall be replaced, remove that one first ('qbdadm member remove %s %u')",
					join->name, le32_to_cpu(member->id), member->name,
					join->name, join->name, le32_to_cpu(member->id));
		if (qbd_address_same(&member->address, &join->self.address))
			return qbd_fail(error, EEXIST, "%s: member %u (%s) listens at %s already; choose another --listen, or, if it shall be replaced, remove that one first ('qbdadm member remove %s %u')",
					join->name, le32_to_cpu(member->id), member->name,
					qbd_address_text(&member->address, text), join->name,
					le32_to_cpu(member->id));
		if (member->address.family != join->self.address.family)
			return qbd_fail(error, EINVAL, "%s: member %u (%s) listens at %s; give an address of the same kind with --listen",
					join->name, le32_to_cpu(member->id), member->name,
					qbd_address_text(&member->address, text));
	}
	if (le32_to_cpu(members->next_member_id) + 1 < 2)
		return qbd_fail(error, ENOSPC, "%s: all ids have been given; make a new device",
				join->name);
	/* There is, when that one is gone. */
	if (former)
		return 0;
	if (le32_to_cpu(members->count) == QBD_MEMBERS_MAX)
		return qbd_fail(error, ENOSPC, "%s: has %u members, and more cannot be",
				join->name, QBD_MEMBERS_MAX);
	make_wanted(join, &wanted);
	result = qbd_check_voters(join->name, &wanted,
				  "join as one that never votes (--learner), or remove or demote a voter first",
				  error);
	return result ? result : check_moment(join, error);
}

int qbd_join_describe(struct qbd_join *join, struct qbd_error *error)
{
	struct patience patience;
	struct qbd_admin admin;
	int result;

	be_patient(&patience, join);
	result = find_leader(join, &admin, &patience, error);
	if (!result)
		qbd_admin_close(&admin);
	return result;
}

int qbd_join_look(struct qbd_join *join, struct qbd_error *error)
{
	const struct qbd_member_layout *former;
	struct patience patience;
	struct qbd_admin admin;
	int result;

	join->former = 0;
	be_patient(&patience, join);
	do {
		result = find_leader(join, &admin, &patience, error);
		if (result)
			return result;
		qbd_admin_close(&admin);
		if (!join->former) {
			former = former_self(join);
			join->former = former ? le32_to_cpu(former->id) : UINT32_MAX;
		}
		result = check_place(join, error);
	} while (result == -EAGAIN && pause_for(&patience));
	return result;
}

/* ---- asking ------------------------------------------------------------- */

static int no_change(const struct qbd_join *join, const struct qbd_admin_answer *answer,
		     struct qbd_error *error)
{
	bool again = answer->result == QBD_CHANGE_NOT_LEADER ||
		     answer->result == QBD_CHANGE_OUTDATED ||
		     answer->result == QBD_CHANGE_PENDING ||
		     answer->result == QBD_CHANGE_GROWING ||
		     /* Who we were before: until the lease of the claim it had is over. */
		     answer->result == QBD_CHANGE_USED ||
		     answer->result == QBD_CHANGE_UNSAID ||
		     answer->result == QBD_CHANGE_ROOM;
	char text[256];

	qbd_change_describe(answer->result, answer->member, text, sizeof(text));
	return qbd_fail(error, again ? EAGAIN : EINVAL, "%s: %s", join->name, text);
}

const struct qbd_member_layout *qbd_join_listed(const struct qbd_join *join,
						const uint8_t *incarnation)
{
	const struct qbd_membership_layout *members = &join->description.membership;

	for (uint32_t i = 0; i < le32_to_cpu(members->count); i++)
		if (!memcmp(members->members[i].incarnation, incarnation, QBD_UUID_SIZE))
			return &members->members[i];
	return NULL;
}

/* Is our disk a member? Then its id is ours. */
static bool is_in(struct qbd_join *join)
{
	const struct qbd_member_layout *member = qbd_join_listed(join, join->self.incarnation);

	if (member)
		join->self.id = member->id;
	return member;
}

bool qbd_join_committed(const struct qbd_join *join)
{
	return le64_to_cpu(join->description.membership.index) <=
	       le64_to_cpu(join->description.commit_index);
}

/* What has been asked for so far, and may have been done, or be done yet. */
struct asked {
	bool any;
	uint64_t index;		/* of the list that was to be replaced */
};

/* Ask once, on a connection to the leader. */
static int ask_once(struct qbd_join *join, struct qbd_admin *admin, struct asked *asked,
		    struct qbd_error *error)
{
	struct asked before = *asked;
	struct qbd_admin_answer answer;
	struct qbd_membership_layout wanted;
	int result;

	make_wanted(join, &wanted);
	asked->any = true;
	asked->index = le64_to_cpu(wanted.index);
	result = qbd_admin_change(admin, &wanted, &answer, error);
	/* Nobody knows: the next look tells. */
	if (result)
		return qbd_fail(error, EAGAIN, "%s", strdupa(error->text));
	if (answer.result == QBD_CHANGE_DONE)
		return 0;
	*asked = before;
	return no_change(join, &answer, error);
}

/* Have the leader take that one out of the list, where it is before us. Never 0. */
static int take_out(struct qbd_join *join, struct qbd_admin *admin,
		    const struct qbd_member_layout *former, struct qbd_error *error)
{
	struct qbd_membership_layout wanted = join->description.membership;
	struct qbd_member_layout *goes =
		&wanted.members[former - join->description.membership.members];
	struct qbd_admin_answer answer = { .result = QBD_CHANGE_DONE };
	int result = 0;

	if (!(le16_to_cpu(goes->flags) & QBD_MEMBER_LEAVING)) {
		goes->flags |= cpu_to_le16(QBD_MEMBER_LEAVING);
		result = qbd_admin_change(admin, &wanted, &answer, error);
	}
	if (!result && answer.result != QBD_CHANGE_DONE)
		return no_change(join, &answer, error);
	join->replaced = le32_to_cpu(goes->id);
	return qbd_fail(error, EAGAIN, "%s: member %u (%s), which this host was before, is not out of the list so far",
			join->name, le32_to_cpu(goes->id), goes->name);
}

/* We are not in the list: may we still be, by what has been asked for? */
static void look_back(const struct qbd_join *join, struct asked *asked)
{
	if (qbd_join_committed(join) &&
	    le64_to_cpu(join->description.membership.index) > asked->index)
		asked->any = false;
}

/* Our disk was planned for the device as it was. */
static int check_same(const struct qbd_join *join, const struct qbd_description *looked,
		      struct qbd_error *error)
{
	const struct qbd_description *now = &join->description;

	if (looked->device_blocks != now->device_blocks)
		return qbd_fail(error, ESTALE, "%s: its size has changed meanwhile; run this again",
				join->name);
	if (looked->log_blocks != now->log_blocks || looked->extent_shift != now->extent_shift ||
	    looked->configuration != now->configuration)
		return qbd_fail(error, EPROTO, "%s: its members do not agree on its layout",
				join->name);
	return 0;
}

/* One look, and what follows from it. 0: we are in; -EAGAIN: again. */
static int step(struct qbd_join *join, const struct qbd_description *looked,
		struct asked *asked, struct patience *patience, struct qbd_error *error)
{
	struct qbd_admin admin;
	int result;

	result = find_leader(join, &admin, patience, error);
	if (result)
		return result;
	if (is_in(join)) {
		if (!qbd_join_committed(join))
			result = qbd_fail(error, EAGAIN, "%s: a majority of the members has not taken the change so far",
					  join->name);
	} else {
		look_back(join, asked);
		result = check_place(join, error);
		if (!result)
			result = check_same(join, looked, error);
		if (!result && former_self(join))
			result = take_out(join, &admin, former_self(join), error);
		else if (!result)
			result = ask_once(join, &admin, asked, error);
		/* It is in the leader's log: look again. */
		if (!result)
			result = qbd_fail(error, EAGAIN, "%s: the change was lost with the leader that had taken it",
					  join->name);
	}
	qbd_admin_close(&admin);
	return result;
}

int qbd_join_ask(struct qbd_join *join, bool *added, struct qbd_error *error)
{
	const struct qbd_description looked = join->description;
	struct patience patience;
	struct asked asked = { 0 };
	int result;

	uuid_generate_random(join->self.incarnation);
	be_patient(&patience, join);
	do {
		result = step(join, &looked, &asked, &patience, error);
	} while (result == -EAGAIN && pause_for(&patience));
	*added = asked.any;
	if (result == -EAGAIN)
		return qbd_fail(error, ETIMEDOUT, "%.500s (tried for %u s)",
				strdupa(error->text), join->wait_ms / 1000);
	return result ? result : check_same(join, &looked, error);
}
