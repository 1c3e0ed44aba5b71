// SPDX-License-Identifier: GPL-2.0
/*
 * People who change the members of a device: as qbdadm member does, from any host.
 *
 * Some ask for what is refused; that is asked for where the leader is, so that its own
 * list is what the request was made from. What comes of the others is judged in asked.c.
 */
#include "../../kmod/replica/intent.h"
#include "sim.h"

#define VOTES	(QBD_MEMBER_VOTER | QBD_MEMBER_VOTER_OLD)

void sim_member_place(struct qbd_member_layout *member, u32 number, u32 guest)
{
	member->id = cpu_to_le32(number);
	member->priority = QBD_PRIORITY_DEFAULT;
	snprintf(member->name, sizeof(member->name), guest ? "guest%u" : "host%u",
		 guest ?: number);
	member->address.family = cpu_to_le16(4);
	member->address.port = cpu_to_le16(QBD_DEFAULT_PORT);
	member->address.bytes[0] = 192;
	member->address.bytes[2] = guest ? 3 : 2;
	member->address.bytes[3] = guest ?: number;
}

/* When all is well so many ask for what has to be refused. */
#define NONSENSE_IN_THE_END	12u

static struct qbd_membership_layout an_earlier_list;
static u32 last_removed;	/* who is removed when all is well; 0: nobody */
static u32 nonsense_left;

/* When all is well, since when a voter that is to go is in use; who uses it does not end then. */
#define USED_FOR_LONG	(20 * SIM_S)

static u64 used_since;

void sim_members_begin(void)
{
	memset(&an_earlier_list, 0, sizeof(an_earlier_list));
	last_removed = 0;
	used_since = 0;
	nonsense_left = world.joins ? NONSENSE_IN_THE_END : 0;
}

/* ---- what is meant ------------------------------------------------------ */

static u32 voters_meant(const struct qbd_membership_layout *list)
{
	u32 voters = 0;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		u16 flags = le16_to_cpu(list->members[i].flags);

		voters += flags & QBD_MEMBER_VOTER ? !(flags & QBD_MEMBER_INTENTS) :
						     !!(flags & QBD_MEMBER_JOINING);
	}
	return voters;
}

/*
 * Voters there are at least until all is as it is meant: who joins may not be ready when others,
 * of another group, go.
 */
static u32 voters_least(const struct qbd_membership_layout *list)
{
	u32 least = 0, go[256] = { 0 }, come[256] = { 0 };

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		const struct qbd_member_layout *member = &list->members[i];
		u16 flags = le16_to_cpu(member->flags);

		if (flags & QBD_MEMBER_VOTER && !(flags & QBD_MEMBER_INTENTS))
			least++;
		else if (flags & QBD_MEMBER_VOTER)
			go[member->group]++;
		else if (flags & QBD_MEMBER_JOINING)
			come[member->group]++;
	}
	for (u32 group = 0; group < 256; group++)
		least += min(go[group], come[group]);
	return least;
}

/* That a client is to vote is nonsense, which is asked for elsewhere. */
static void set_intent(struct qbd_member_layout *member, u16 intent, u8 group)
{
	if (le16_to_cpu(member->flags) & QBD_MEMBER_CLIENT && intent != QBD_MEMBER_LEAVING)
		intent = 0;
	member->flags &= ~cpu_to_le16(SIM_MEANT);
	member->flags |= cpu_to_le16(intent);
	member->group = intent ? group : 0;
}

/* In some worlds nobody knows of groups, as before there were any. */
static u8 another_group(const struct qbd_membership_layout *list)
{
	return world.seed % 8 ? qbd_group_unused(list) : 0;
}

static struct qbd_member_layout *some_member(struct qbd_membership_layout *list)
{
	return &list->members[sim_below(le32_to_cpu(list->count))];
}

/* To vote, not to, to go, or as it was before. */
static void draw_intent(const struct qbd_membership_layout *list, struct qbd_member_layout *member)
{
	bool votes = le16_to_cpu(member->flags) & QBD_MEMBER_VOTER;
	u32 kind = sim_below(world.joins ? 8 : 5);

	if (!kind)
		set_intent(member, 0, 0);
	else if (kind > 4)
		set_intent(member, QBD_MEMBER_LEAVING, votes ? another_group(list) : 0);
	else if (votes)
		set_intent(member, QBD_MEMBER_DEMOTING, another_group(list));
	else
		set_intent(member, QBD_MEMBER_JOINING, 0);
}

/*
 * One goes, and one that does not vote takes its place, in one step. A client takes nobody's, nor
 * does who is to vote already: that is asked for, too, but not where it leaves fewer voters than
 * there have to be. (Of three one was to go and a client to come, and the disk of another one had
 * just failed: where two vote, both are needed.)
 */
static void draw_replacement(struct qbd_membership_layout *list)
{
	struct qbd_member_layout *old = some_member(list), *new = some_member(list);
	u32 least = min(voters_least(list), world.voters_min);
	struct qbd_membership_layout before = *list;
	u8 group = another_group(list);

	if (!(le16_to_cpu(old->flags) & QBD_MEMBER_VOTER) ||
	    le16_to_cpu(new->flags) & VOTES)
		return;
	set_intent(old, QBD_MEMBER_LEAVING, group);
	set_intent(new, QBD_MEMBER_JOINING, group);
	if (voters_least(list) < least)
		*list = before;
}

/* Who votes does no more, and all others do: whoever leads then has no vote of its own. */
static bool draw_exchange(struct qbd_membership_layout *list)
{
	struct qbd_membership_layout before = *list;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		struct qbd_member_layout *member = &list->members[i];
		u16 flags = le16_to_cpu(member->flags);

		if (flags & QBD_MEMBER_VOTER)
			set_intent(member, QBD_MEMBER_DEMOTING, 0);
		else if (!(flags & QBD_MEMBER_LEAVING))
			set_intent(member, QBD_MEMBER_JOINING, 0);
	}
	if (voters_meant(list) >= max(world.voters_min, 2u) &&
	    voters_least(list) >= min(voters_least(&before), world.voters_min))
		return true;
	*list = before;
	return false;
}

static void draw_intents(struct qbd_membership_layout *list)
{
	if (!sim_below(6) && draw_exchange(list))
		return;
	if (world.joins && !sim_below(4))
		draw_replacement(list);
	for (u32 count = 1 + sim_below(3); count; count--) {
		struct qbd_membership_layout before = *list;
		u32 least = min(voters_least(list), world.voters_min);

		draw_intent(list, some_member(list));
		if (voters_meant(list) < world.voters_min || voters_least(list) < least)
			*list = before;
	}
}

/* ---- what is refused ---------------------------------------------------- */

static void drop_member(struct qbd_membership_layout *list, u32 position)
{
	u32 count = le32_to_cpu(list->count) - 1;

	memmove(&list->members[position], &list->members[position + 1],
		(count - position) * sizeof(list->members[0]));
	memset(&list->members[count], 0, sizeof(list->members[0]));
	list->count = cpu_to_le32(count);
}

/* One that was a member once is to be one again, with the same id. */
static bool bring_back(struct qbd_membership_layout *list)
{
	u32 count = le32_to_cpu(list->count), id = 1, at = 0;

	while (id <= world.count && !(sim_lists_gone(id) && sim_below(2)))
		id++;
	if (id >= le32_to_cpu(list->next_member_id) || id > world.count ||
	    count == QBD_MEMBERS_MAX)
		return false;
	while (at < count && le32_to_cpu(list->members[at].id) < id)
		at++;
	if (at < count && le32_to_cpu(list->members[at].id) == id)
		return false;
	memmove(&list->members[at + 1], &list->members[at],
		(count - at) * sizeof(list->members[0]));
	memset(&list->members[at], 0, sizeof(list->members[at]));
	sim_member_place(&list->members[at], id, 200 + id);
	list->members[at].flags = cpu_to_le16(QBD_MEMBER_LEARNER | QBD_MEMBER_JOINING);
	list->count = cpu_to_le32(count + 1);
	return true;
}

/* Return: false if there is nothing to be refused. */
static bool draw_nonsense(struct qbd_membership_layout *list)
{
	struct qbd_member_layout *member = some_member(list);
	u16 flags = le16_to_cpu(member->flags);

	if (sim_clients_nonsense(list) || sim_witnesses_nonsense(list))
		return true;
	switch (sim_below(5)) {
	case 0:
		drop_member(list, member - list->members);
		return le32_to_cpu(list->count);
	case 1:
	case 2:
		return bring_back(list);
	case 3:
		member->flags = cpu_to_le16(flags ^ (QBD_MEMBER_VOTER | QBD_MEMBER_LEARNER));
		return voters_meant(list);
	default:
		/* Whoever made it has looked long ago, or the list was changed since. */
		if (an_earlier_list.count && an_earlier_list.index != list->index &&
		    sim_below(2))
			*list = an_earlier_list;
		else if (list->index)
			list->index = cpu_to_le64(le64_to_cpu(list->index) - 1);
		else
			return false;
		draw_intents(list);
		return true;
	}
}

/* ---- asking ------------------------------------------------------------- */

static void ask(struct sim_host *host, const struct qbd_membership_layout *wanted,
		bool nonsense, bool force)
{
	char text[QBD_ERROR_TEXT_SIZE];
	struct sim_asked asked;
	int error;

	sim_asked_begin(&asked, host, wanted, force);
	error = qbd_replica_change_members(host->replica, wanted, force, text, sizeof(text));
	sim_trace("change of members at host %u%s: %s", host->number, force ? "" : ", without force",
		  error ? text : "taken");
	sim_asked_end(&asked, host, error, text);
	sim_counts.unforced += !force;
	sim_counts.changes += !error;
	if (nonsense && !error)
		sim_fail("host %u takes a list of members that breaks the rules",
			 host->number);
}

/* Most are in a hurry. In the end, too: what stands still then is to come to its end. */
static bool asks_by_force(void)
{
	return !world.asks_first || world.healing || sim_below_of(&world.asks_random, 2);
}

static void change_thread(void *object)
{
	struct sim_host *host = object;
	struct qbd_membership_layout wanted;
	bool nonsense;

	if (!host->replica || host->going_down)
		return;
	host->changing = true;
	/* Of who reads it while it works: the index says what it was made from. */
	wanted = *qbd_replica_layout(host->replica);
	nonsense = host->replica->told_role == QBD_ROLE_LEADER && !sim_below(4) &&
		   draw_nonsense(&wanted);
	if (!nonsense) {
		wanted = *qbd_replica_layout(host->replica);
		if (!sim_below(4))
			an_earlier_list = wanted;
		draw_intents(&wanted);
	}
	ask(host, &wanted, nonsense, nonsense || asks_by_force());
	host->changing = false;
}

static bool may_ask(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	return host->replica && replica && replica->phase == QBD_PHASE_RUNNING &&
	       !host->going_down && !host->changing && !host->former;
}

static void nonsense_thread(void *object)
{
	struct sim_host *host = object;
	struct qbd_membership_layout wanted;

	if (!host->replica || host->going_down)
		return;
	host->changing = true;
	wanted = *qbd_replica_layout(host->replica);
	if (draw_nonsense(&wanted))
		ask(host, &wanted, true, true);
	host->changing = false;
}

static struct sim_host *leader_to_ask(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if (may_ask(host) && host->role == QBD_ROLE_LEADER)
			return host;
	}
	return NULL;
}

void sim_member_change(struct sim_host *host)
{
	struct sim_host *leader = leader_to_ask();

	/* Elsewhere it would be sent on to that one. */
	if (leader && !sim_below(3))
		host = leader;
	if (may_ask(host))
		sim_thread_on(host, change_thread, host);
}

/* ---- the end of a world ------------------------------------------------- */

/* It has no disk, nor will it ever have one; or that one has failed. */
static bool is_hopeless(const struct qbd_member_layout *member)
{
	const struct sim_host *host = &world.hosts[le32_to_cpu(member->id)];

	return (!host->exists && sim_join_idle()) ||
	       (world.joins && host->failed);
}

static bool is_to_go(const struct qbd_member_layout *member)
{
	return le32_to_cpu(member->id) == last_removed || is_hopeless(member);
}

/* It votes until nobody uses the device on its host any more, and somebody does for good. */
static bool has_to_be_forced(const struct qbd_member_layout *member)
{
	u16 flags = le16_to_cpu(member->flags);

	return used_since && world.now > used_since + USED_FOR_LONG &&
	       flags & QBD_MEMBER_VOTER && flags & QBD_MEMBER_LEAVING &&
	       !(flags & QBD_MEMBER_FORCED);
}

/* As the list of the leader says: whoever is to go is not marked so yet, or not by force. */
static bool mark_leaving(struct qbd_membership_layout *list)
{
	bool marked = false;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		struct qbd_member_layout *member = &list->members[i];

		if (has_to_be_forced(member))
			set_intent(member, QBD_MEMBER_LEAVING, qbd_group_unused(list));
		else if (is_to_go(member) && !(le16_to_cpu(member->flags) & QBD_MEMBER_LEAVING))
			set_intent(member, QBD_MEMBER_LEAVING, another_group(list));
		else
			continue;
		marked = true;
	}
	if (marked)
		sim_witnesses_go(list);
	/* Those who were to take their place never will. */
	for (u32 i = 0; marked && !voters_meant(list) && i < le32_to_cpu(list->count); i++)
		if (le16_to_cpu(list->members[i].flags) & QBD_MEMBER_VOTER &&
		    !(le16_to_cpu(list->members[i].flags) & QBD_MEMBER_WITNESS) &&
		    !is_to_go(&list->members[i]))
			set_intent(&list->members[i], 0, 0);
	return marked;
}

static void mend_thread(void *object)
{
	struct sim_host *host = object;
	struct qbd_membership_layout wanted;

	if (!host->replica || host->going_down)
		return;
	host->changing = true;
	wanted = *qbd_replica_layout(host->replica);
	if (mark_leaving(&wanted))
		ask(host, &wanted, false, true);
	host->changing = false;
}

/* Only who is up can be seen to know nobody. */
static bool all_up(const struct qbd_membership_layout *list)
{
	for (u32 i = 0; world.joins && i < le32_to_cpu(list->count); i++) {
		const struct sim_host *host = &world.hosts[le32_to_cpu(list->members[i].id)];
		const struct qbd_replica *replica = sim_replica(host);

		if (!replica || replica->phase != QBD_PHASE_RUNNING)
			return false;
	}
	return true;
}

static bool is_used_and_to_go(const struct qbd_membership_layout *list)
{
	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		const struct sim_host *host = &world.hosts[le32_to_cpu(list->members[i].id)];
		u16 flags = le16_to_cpu(list->members[i].flags);

		if (flags & QBD_MEMBER_VOTER && flags & QBD_MEMBER_LEAVING &&
		    sim_claims_uses(host))
			return true;
	}
	return false;
}

bool sim_members_final(void)
{
	const struct qbd_membership_layout *list = sim_lists_now();
	struct qbd_membership_layout wanted = *list;
	struct sim_host *leader = leader_to_ask();
	bool leaving;

	if (!is_used_and_to_go(list))
		used_since = 0;
	else if (!used_since)
		used_since = world.now;
	leaving = mark_leaving(&wanted);
	if (leaving && leader && world.steps % 64 == 0)
		sim_thread_on(leader, mend_thread, leader);
	if (leaving || qbd_intent_pending(list) || !sim_join_idle() || !all_up(list) ||
	    !leader || qbd_replica_layout(leader->replica)->index != list->index)
		return false;
	if (nonsense_left) {
		nonsense_left--;
		sim_thread_on(leader, nonsense_thread, leader);
	}
	return !nonsense_left;
}

/* Somebody who is connected to the leader, so that it will be told. */
void sim_members_remove_one(void)
{
	const struct qbd_membership_layout *list = sim_lists_now();
	u32 count = le32_to_cpu(list->count), at = sim_below(count);
	u32 voters = voters_meant(list);

	struct qbd_membership_layout wanted = *list;

	last_removed = 0;
	set_intent(&wanted.members[at], QBD_MEMBER_LEAVING, 0);
	if (world.joins && !sim_witnesses_too_many(&wanted) &&
	    (voters > 1 || !(le16_to_cpu(list->members[at].flags) & QBD_MEMBER_VOTER)))
		last_removed = le32_to_cpu(list->members[at].id);
}

bool sim_members_removed_one(void)
{
	const struct qbd_replica *replica;

	if (!last_removed)
		return true;
	if (!sim_members_final() || !sim_lists_gone(last_removed))
		return false;
	replica = sim_replica(&world.hosts[last_removed]);
	if (!replica || !replica->removed)
		sim_fail("member %u was removed while it was connected, and was not told",
			 last_removed);
	return true;
}
