// SPDX-License-Identifier: GPL-2.0
/* Pure decisions about member lists; see intent.h. */
#include <linux/bitmap.h>
#include <linux/string.h>

#include "intent.h"

static u32 count_of(const struct qbd_membership_layout *list)
{
	return le32_to_cpu(list->count);
}

static u32 id_of(const struct qbd_member_layout *member)
{
	return le32_to_cpu(member->id);
}

static u16 flags_of(const struct qbd_member_layout *member)
{
	return le16_to_cpu(member->flags);
}

static bool is_joint(const struct qbd_membership_layout *list)
{
	for (u32 i = 0; i < count_of(list); i++)
		if (flags_of(&list->members[i]) & QBD_MEMBER_VOTER_OLD)
			return true;
	return false;
}

/* Its intent comes true: would it vote? */
static bool will_vote(u16 flags)
{
	if (flags & QBD_MEMBER_VOTER)
		return !(flags & (QBD_MEMBER_DEMOTING | QBD_MEMBER_LEAVING));
	return flags & QBD_MEMBER_JOINING && !(flags & QBD_MEMBER_CLIENT);
}

static bool changes_votes(const struct qbd_membership_layout *list)
{
	for (u32 i = 0; i < count_of(list); i++) {
		u16 flags = flags_of(&list->members[i]);

		if (will_vote(flags) != !!(flags & QBD_MEMBER_VOTER))
			return true;
	}
	return false;
}

static bool is_leaving_learner(u16 flags)
{
	return !qbd_flags_vote(flags) && flags & QBD_MEMBER_LEAVING;
}

bool qbd_intent_pending(const struct qbd_membership_layout *list)
{
	if (is_joint(list) || changes_votes(list))
		return true;
	for (u32 i = 0; i < count_of(list); i++)
		if (is_leaving_learner(flags_of(&list->members[i])))
			return true;
	return false;
}

bool qbd_intent_is_out(const struct qbd_membership_layout *list, u32 id)
{
	const struct qbd_member_layout *member = qbd_membership_find(list, id);

	return !member || is_leaving_learner(flags_of(member));
}

/* ---- disks -------------------------------------------------------------- */

static bool is_known(const u8 *incarnation)
{
	static const u8 unknown[QBD_UUID_SIZE];

	return memcmp(incarnation, unknown, QBD_UUID_SIZE);
}

/* Return: true if @next names other disks now. */
static bool take_disks(struct qbd_membership_layout *next,
		       const struct qbd_intent_facts *facts)
{
	bool changed = false;

	for (u32 i = 0; i < count_of(next); i++) {
		u8 *named = next->members[i].incarnation;
		const u8 *there = facts->disks[i];

		if (!is_known(there) || !memcmp(named, there, QBD_UUID_SIZE))
			continue;
		if (is_known(named) && !(facts->renewed & (1u << i)))
			continue;
		memcpy(named, there, QBD_UUID_SIZE);
		changed = true;
	}
	return changed;
}

/* ---- what is not for those to say that ask ------------------------------- */

static bool goes_by_force(const struct qbd_member_layout *was,
			  const struct qbd_member_layout *member, bool force)
{
	u16 flags = flags_of(member);

	if (!(flags & QBD_MEMBER_VOTER && flags & QBD_MEMBER_LEAVING))
		return false;
	if (was && flags_of(was) & QBD_MEMBER_FORCED)
		return true;
	/* Of others that go, and about whom this request says nothing, it does not say so. */
	return force && !(was && flags_of(was) & QBD_MEMBER_LEAVING &&
			  was->group == member->group);
}

void qbd_intent_keep(const struct qbd_membership_layout *now,
		     struct qbd_membership_layout *wanted, bool force)
{
	for (u32 i = 0; i < count_of(wanted); i++) {
		struct qbd_member_layout *member = &wanted->members[i];
		const struct qbd_member_layout *was = qbd_membership_find(now, id_of(member));

		member->flags &= cpu_to_le16(~QBD_MEMBER_FORCED);
		if (goes_by_force(was, member, force))
			member->flags |= cpu_to_le16(QBD_MEMBER_FORCED);
		if (was)
			memcpy(member->incarnation, was->incarnation, QBD_UUID_SIZE);
	}
}

/* ---- steps -------------------------------------------------------------- */

/* From a joint list to the incoming set. */
static void leave_joint(struct qbd_membership_layout *next)
{
	for (u32 i = 0; i < count_of(next); i++)
		next->members[i].flags &= ~cpu_to_le16(QBD_MEMBER_VOTER_OLD);
}

static u16 joint_flags(u16 flags, bool votes)
{
	u16 result = flags & (QBD_MEMBER_WITNESS | QBD_MEMBER_CLIENT | QBD_MEMBER_LEAVING);

	if (flags & QBD_MEMBER_VOTER)
		result |= QBD_MEMBER_VOTER_OLD;
	/* What does not come true yet is meant still. */
	if (votes != will_vote(flags))
		result |= flags & (QBD_MEMBER_INTENTS | QBD_MEMBER_FORCED);
	return result | (votes ? QBD_MEMBER_VOTER : QBD_MEMBER_LEARNER);
}

static void enter_joint(struct qbd_membership_layout *next, u32 incoming)
{
	for (u32 i = 0; i < count_of(next); i++) {
		struct qbd_member_layout *member = &next->members[i];
		bool votes = incoming & (1u << i);

		if (votes == will_vote(flags_of(member)))
			member->group = 0;
		member->flags = cpu_to_le16(joint_flags(flags_of(member), votes));
	}
}

static void drop(struct qbd_membership_layout *next, u32 position)
{
	u32 count = count_of(next) - 1;

	memmove(&next->members[position], &next->members[position + 1],
		(count - position) * sizeof(next->members[0]));
	memset(&next->members[count], 0, sizeof(next->members[0]));
	next->count = cpu_to_le32(count);
}

/* Whoever has one of these flags. */
static u32 having(const struct qbd_membership_layout *list, u16 flags)
{
	u32 result = 0;

	for (u32 i = 0; i < count_of(list); i++)
		if (flags_of(&list->members[i]) & flags)
			result |= 1u << i;
	return result;
}

static u32 voters_of(const struct qbd_membership_layout *list)
{
	return having(list, QBD_MEMBER_VOTER);
}

static u32 witnesses_of(const struct qbd_membership_layout *list)
{
	return having(list, QBD_MEMBER_WITNESS);
}

/* Who votes if all intents come true. */
static u32 voters_meant(const struct qbd_membership_layout *list)
{
	u32 result = 0;

	for (u32 i = 0; i < count_of(list); i++)
		if (will_vote(flags_of(&list->members[i])))
			result |= 1u << i;
	return result;
}

static bool is_majority(u32 set, u32 there)
{
	return hweight32(set & there) > hweight32(set) / 2;
}

/* Witnesses alone are no majority of this set of voters. */
static bool may_vote(const struct qbd_membership_layout *list, u32 set)
{
	u32 voters = hweight32(set);

	return voters && voters <= QBD_VOTERS_MAX &&
	       hweight32(set & witnesses_of(list)) <= voters / 2;
}

/*
 * Who votes when of those that are JOINING just @come do.
 *
 * All others wait, and hold up nobody but who is to go when they vote: that one votes until then.
 *
 *	1 votes, and 2 and 3 join. 3's disk breaks before it has caught up, and nobody comes for
 *	days. 2 has all, was waited for 3 as well, and there was one voter; so it was with a voter
 *	that was dead already, and was to be removed.
 *
 * And those @kept vote on, see kept_in_use().
 */
static u32 incoming_set(const struct qbd_membership_layout *now, u32 come, u32 kept)
{
	u32 voters = voters_of(now), meant = voters_meant(now);
	u32 late = meant & ~voters & ~come;
	u32 result = (voters & meant) | come | kept;

	for (u32 i = 0; i < count_of(now); i++)
		for (u32 j = 0; voters & ~meant & (1u << i) && j < count_of(now); j++)
			if (late & (1u << j) &&
			    now->members[j].group == now->members[i].group)
				result |= 1u << i;
	return result;
}

/*
 * @come without the witnesses that are not to vote yet, the last one first.
 *
 * They may be too many as long as others with data are not here. And one that makes the number of
 * voters even lets no more of them be missed than before, but needs one more: as long as somebody
 * with data is late it waits.
 *
 *	1 votes, 2 and the witness 3 join. 3 is ready at once, and 2 is filled for an hour. With 3
 *	voting nothing went on without either 1 or 3, and one copy was all there was.
 */
static u32 without_witnesses(const struct qbd_membership_layout *now, u32 come, u32 kept)
{
	u32 witnesses = witnesses_of(now);
	u32 late = voters_meant(now) & ~voters_of(now) & ~come & ~witnesses;

	for (u32 i = count_of(now); i--; ) {
		u32 with = incoming_set(now, come, kept), without;

		if (!(come & witnesses & (1u << i)))
			continue;
		without = incoming_set(now, come & ~(1u << i), kept);
		/* It takes another one's place. */
		if (hweight32(with) == hweight32(without) &&
		    hweight32(with & witnesses) == hweight32(without & witnesses))
			continue;
		if (!may_vote(now, with) ||
		    (late && hweight32(with) % 2 == 0 && hweight32(without) % 2))
			come &= ~(1u << i);
	}
	return come;
}

/*
 * Voters that are to go, and whose users would lose the device by that: not before these have
 * closed it, unless by force. Nobody used it there, perhaps, when that was asked for.
 *
 *	3 was to be replaced by 4, which was away. Days later somebody opened the device on 3,
 *	then 4 came back, and his file system was gone.
 */
static u32 kept_in_use(const struct qbd_membership_layout *now,
		       const struct qbd_intent_facts *facts)
{
	u32 result = 0;

	for (u32 i = 0; i < count_of(now); i++) {
		u16 flags = flags_of(&now->members[i]);

		if (flags & QBD_MEMBER_VOTER && flags & QBD_MEMBER_LEAVING &&
		    !(flags & QBD_MEMBER_FORCED) && (facts->uses | facts->unsaid) & (1u << i))
			result |= 1u << i;
	}
	return result;
}

/* Who is JOINING in the place of one of @set. */
static u32 who_comes_for(const struct qbd_membership_layout *now, u32 set)
{
	u32 result = 0;

	for (u32 i = 0; i < count_of(now); i++)
		for (u32 j = 0; j < count_of(now); j++)
			if (set & (1u << j) && flags_of(&now->members[i]) & QBD_MEMBER_JOINING &&
			    now->members[i].group == now->members[j].group)
				result |= 1u << i;
	return result;
}

/*
 * The set with which a leader that is connected to @reached may begin a joint list, with nobody
 * who comes but of @whom, and with @stay; 0: none, or it would change nobody's vote.
 *
 * From it on nothing is committed without a majority of the incoming set, and there is no way
 * back. One that is heard may lack much of the log, or its disk hangs, or has just failed: as
 * long as such a one is needed the joint list waits, and the voters go on without it. That takes
 * no longer, for whoever is to have the joint list has to have this one before.
 *
 *	1 2 3 vote, 2 is to go. 3's disk fails, and before 1 hears of that it enters the
 *	joint list, which needs 1 and 3. It is never committed, nor anything behind it.
 */
static u32 next_voters(const struct qbd_membership_layout *now,
		       const struct qbd_intent_facts *facts, u32 reached, u32 whom, u32 stay)
{
	u32 voters = voters_of(now);
	u32 come = voters_meant(now) & ~voters & facts->ready & reached & whom;
	u32 kept = kept_in_use(now, facts) | stay;
	u32 set = incoming_set(now, without_witnesses(now, come, kept), kept);

	/* Too many, or too many witnesses: who comes for these waits, too, and nobody else. */
	if (!may_vote(now, set)) {
		come &= ~who_comes_for(now, kept);
		set = incoming_set(now, without_witnesses(now, come, kept), kept);
	}
	if (set == voters || !may_vote(now, set))
		return 0;
	return is_majority(set, facts->there & facts->has & reached) ? set : 0;
}

/*
 * Of those that stay, bits of @set: the one with which most come, of these one that is not to go
 * itself, and then the one that would rather lead. 0: none could go on, or none @stays that could
 * ever be.
 *
 * It is to begin with the joint list that this leader, members[@self], goes with, so it has to
 * reach those whom that waits for. If it cannot begin it gives leadership back to whoever reaches
 * more (reach.c), and gets it again.
 *
 *	1 2 3 vote, 1 is to go and 4 is to vote, and all but 2 and 4 reach each other. 1 handed
 *	over to 2, which waited for 4, and two seconds later gave leadership back to 1, which did
 *	the same again at once, and so on for ever. No leader led for as long as the host that had
 *	the device claimed, and was gone, has to be silent: nobody else got it. 3 reaches 4.
 *
 * If there is none this one leads on until there is one: what is asked for waits, and not I/O.
 */
static u32 successor(const struct qbd_membership_layout *now,
		     const struct qbd_intent_facts *facts, u32 set, u32 self)
{
	const struct qbd_member_layout *best = NULL;
	u32 most = 0;

	for (u32 i = 0; i < count_of(now); i++) {
		const struct qbd_member_layout *member = &now->members[i];
		u32 theirs, gain;

		if (!(set & facts->fit & (1u << i)))
			continue;
		theirs = next_voters(now, facts, ~facts->misses[i], ~0u, 0);
		if (!(theirs & (1u << i)) || theirs & self)
			continue;
		gain = 2 * hweight32(theirs & ~voters_of(now)) + will_vote(flags_of(member));
		if (best && (gain < most ||
			     (gain == most && member->priority <= best->priority)))
			continue;
		best = member;
		most = gain;
	}
	return best ? id_of(best) : 0;
}

static enum qbd_intent_step change_votes(const struct qbd_membership_layout *now,
					 const struct qbd_intent_facts *facts,
					 struct qbd_membership_layout *next, u32 *member)
{
	const struct qbd_member_layout *member_self = qbd_membership_find(now, facts->self);
	u32 self = member_self ? 1u << (member_self - now->members) : 0;
	u32 set = next_voters(now, facts, ~0u, ~0u, 0);
	u32 stay = set & voters_of(now) & ~witnesses_of(now);

	if (!set)
		return QBD_INTENT_NOTHING;
	if (!(set & self)) {
		*member = successor(now, facts, stay, self);
		if (*member)
			return QBD_INTENT_HAND_OVER;
		/* Who can come and go without it does not wait for a successor to be there. */
		if (stay && member_self)
			set = next_voters(now, facts, ~0u, ~who_comes_for(now, self), self);
		/* Those may be able to later. Who comes cannot lead before it votes. */
		if (stay && !(set & self))
			return QBD_INTENT_NOTHING;
	}
	enter_joint(next, set);
	return QBD_INTENT_PROPOSE;
}

enum qbd_intent_step qbd_intent_next(const struct qbd_membership_layout *now,
				     const struct qbd_intent_facts *facts,
				     struct qbd_membership_layout *next, u32 *member)
{
	*next = *now;
	*member = 0;
	if (is_joint(now)) {
		leave_joint(next);
		return QBD_INTENT_PROPOSE;
	}
	if (take_disks(next, facts))
		return QBD_INTENT_PROPOSE;
	if (changes_votes(now)) {
		enum qbd_intent_step result = change_votes(now, facts, next, member);

		if (result != QBD_INTENT_NOTHING)
			return result;
	}
	for (u32 i = 0; i < count_of(now); i++) {
		if (!is_leaving_learner(flags_of(&now->members[i])))
			continue;
		if (facts->connected & ~facts->knows & (1u << i))
			continue;
		drop(next, i);
		return QBD_INTENT_PROPOSE;
	}
	return QBD_INTENT_NOTHING;
}

/* ---- requests ----------------------------------------------------------- */

/* One of those that are there: what may be said of it? */
static bool member_may(u16 now, u16 wanted)
{
	const u16 kept = (u16)~(QBD_MEMBER_INTENTS | QBD_MEMBER_FORCED);
	u16 intents = wanted & QBD_MEMBER_INTENTS;

	if ((now & kept) != (wanted & kept))
		return false;
	/* One intent at a time, and one that changes something. */
	if (intents & (intents - 1))
		return false;
	return !(intents & (wanted & QBD_MEMBER_VOTER ? QBD_MEMBER_JOINING :
							QBD_MEMBER_DEMOTING));
}

/* A new one begins as a learner, and a client stays one. */
static bool newcomer_may(u16 flags)
{
	if (flags & QBD_MEMBER_CLIENT)
		return flags == (QBD_MEMBER_CLIENT | QBD_MEMBER_LEARNER);
	return (flags & ~(QBD_MEMBER_JOINING | QBD_MEMBER_WITNESS)) == QBD_MEMBER_LEARNER;
}

static bool same_place(const struct qbd_member_layout *a, const struct qbd_member_layout *b)
{
	return !memcmp(&a->address, &b->address, sizeof(a->address)) ||
	       !strncmp(a->name, b->name, sizeof(a->name)) ||
	       (is_known(a->incarnation) &&
		!memcmp(a->incarnation, b->incarnation, QBD_UUID_SIZE));
}

static enum qbd_change_result check_members(const struct qbd_membership_layout *now,
					    const struct qbd_membership_layout *wanted,
					    u32 asker, u32 *member)
{
	for (u32 i = 0; i < count_of(wanted); i++) {
		const struct qbd_member_layout *one = &wanted->members[i];
		const struct qbd_member_layout *was = qbd_membership_find(now, id_of(one));

		*member = id_of(one);
		if (!was && id_of(one) < le32_to_cpu(now->next_member_id))
			return QBD_CHANGE_IDS;
		if (was && flags_of(was) & flags_of(one) & QBD_MEMBER_CLIENT &&
		    flags_of(one) & (QBD_MEMBER_JOINING | QBD_MEMBER_DEMOTING))
			return QBD_CHANGE_CLIENT;
		if (was && is_leaving_learner(flags_of(was)) &&
		    (flags_of(one) & QBD_MEMBER_INTENTS) != QBD_MEMBER_LEAVING)
			return QBD_CHANGE_LEAVES;
		if (was ? !member_may(flags_of(was), flags_of(one)) :
			  !newcomer_may(flags_of(one)))
			return QBD_CHANGE_FLAGS;
		/* It has to listen there first, and only it knows whether it can. */
		if (was && memcmp(&was->address, &one->address, sizeof(one->address)) &&
		    (id_of(one) != asker || was->address.family != one->address.family))
			return QBD_CHANGE_ADDRESS;
		for (u32 j = 0; j < i; j++)
			if (same_place(one, &wanted->members[j]))
				return QBD_CHANGE_TWICE;
	}
	for (u32 i = 0; i < count_of(now); i++) {
		*member = id_of(&now->members[i]);
		if (!qbd_membership_find(wanted, *member))
			return QBD_CHANGE_MISSING;
	}
	*member = 0;
	return QBD_CHANGE_DONE;
}

/* Bits of @now's members and of those that are JOINING, for @wanted's. */
static u32 counted_there(const struct qbd_membership_layout *now,
			 const struct qbd_membership_layout *wanted, u32 there)
{
	u32 result = 0;

	for (u32 i = 0; i < count_of(wanted); i++) {
		const struct qbd_member_layout *one = &wanted->members[i];

		if (flags_of(one) & QBD_MEMBER_JOINING)
			result |= 1u << i;
		for (u32 j = 0; j < count_of(now); j++)
			if (now->members[j].id == one->id && there & (1u << j))
				result |= 1u << i;
	}
	return result;
}

/* Is anybody JOINING in this one's place? */
static bool comes_for(const struct qbd_membership_layout *list,
		      const struct qbd_member_layout *member)
{
	return who_comes_for(list, 1u << (member - list->members));
}

/* Bits of @now's members that are to leave, and were not to before, or when another one votes. */
static u32 who_leaves(const struct qbd_membership_layout *now,
		      const struct qbd_membership_layout *wanted, u32 asker)
{
	u32 result = 0;

	for (u32 i = 0; i < count_of(now); i++) {
		const struct qbd_member_layout *was = &now->members[i];
		const struct qbd_member_layout *one = qbd_membership_find(wanted, id_of(was));

		if (!one || id_of(one) == asker || !(flags_of(one) & QBD_MEMBER_LEAVING))
			continue;
		if (!(flags_of(was) & QBD_MEMBER_LEAVING) ||
		    (comes_for(now, was) && !comes_for(wanted, one) &&
		     !(flags_of(one) & QBD_MEMBER_FORCED)))
			result |= 1u << i;
	}
	return result;
}

static u32 first_of(const struct qbd_membership_layout *list, u32 set)
{
	return id_of(&list->members[__ffs(set)]);
}

static enum qbd_change_result check_use(const struct qbd_membership_layout *now,
					const struct qbd_membership_layout *wanted,
					const struct qbd_intent_facts *facts, u32 *member)
{
	u32 leave = facts->force ? 0 : who_leaves(now, wanted, facts->asker);

	if (leave & facts->uses) {
		*member = first_of(now, leave & facts->uses);
		return QBD_CHANGE_USED;
	}
	if (leave & facts->unsaid) {
		*member = first_of(now, leave & facts->unsaid);
		return QBD_CHANGE_UNSAID;
	}
	return QBD_CHANGE_DONE;
}

/* Who is missing for a majority of those that are meant to vote? 0: nobody. */
static u32 missing(const struct qbd_membership_layout *wanted, u32 there)
{
	u32 meant = voters_meant(wanted);

	for (u32 i = 0; !is_majority(meant, there) && i < count_of(wanted); i++)
		if (meant & ~there & (1u << i))
			return id_of(&wanted->members[i]);
	return 0;
}

enum qbd_change_result qbd_intent_check(const struct qbd_membership_layout *now,
					const struct qbd_membership_layout *wanted,
					const struct qbd_intent_facts *facts, u32 *member)
{
	enum qbd_change_result result;
	u32 voters = hweight32(voters_meant(wanted));

	*member = 0;
	if (wanted->index != now->index)
		return QBD_CHANGE_OUTDATED;
	if (is_joint(now))
		return QBD_CHANGE_PENDING;
	if (le32_to_cpu(wanted->next_member_id) < le32_to_cpu(now->next_member_id))
		return QBD_CHANGE_IDS;
	result = check_members(now, wanted, facts->asker, member);
	if (result != QBD_CHANGE_DONE)
		return result;
	if (!memcmp(now, wanted, sizeof(*now)))
		return QBD_CHANGE_NOTHING;
	/* The disk of a new one was looked at with the size before in mind. */
	if (facts->growing && count_of(wanted) > count_of(now))
		return QBD_CHANGE_GROWING;
	if (!voters || voters > QBD_VOTERS_MAX)
		return QBD_CHANGE_VOTERS;
	/* Both sets of the joint list: those that vote now are such a set already. */
	if (!may_vote(wanted, voters_meant(wanted)))
		return QBD_CHANGE_WITNESSES;
	result = check_use(now, wanted, facts, member);
	if (result != QBD_CHANGE_DONE)
		return result;
	if (!changes_votes(wanted))
		return QBD_CHANGE_DONE;
	*member = missing(wanted, counted_there(now, wanted, facts->there));
	return *member ? QBD_CHANGE_QUORUM : QBD_CHANGE_DONE;
}

u64 qbd_intent_absent(const struct qbd_membership_layout *now,
		      const struct qbd_membership_layout *wanted,
		      const struct qbd_intent_facts *facts)
{
	u32 there = counted_there(now, wanted, facts->there), meant = voters_meant(wanted);
	u32 needed = hweight32(meant) / 2 + 1;

	if (is_majority(meant, there))
		return 0;
	return (u64)(needed - hweight32(meant & there)) << 32 | (meant & ~there);
}
