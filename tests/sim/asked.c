// SPDX-License-Identifier: GPL-2.0
/*
 * Who asks for other members, and what comes of it.
 *
 *   taken     if a majority of those who will vote is there, and, unless by force, nobody is to
 *             leave whose host uses the device, or may do so for all that a leader knows which has
 *             not heard from there, and leads for less than a lease
 *   refused   for want of a majority, or because a host uses the device, if that is so
 *
 * And who came to be used since votes until he is not, unless by force.
 *
 * There is who answers the leader, is not being filled, and has not failed; and who is about to
 * join is, for it may be when it matters. By what the leader was told (heard.c), and with a margin:
 * who has answered a moment ago may count or not.
 *
 * Nobody need be asked by force for want of a majority: it would not help (promises.rst).
 */
#include "../../kmod/replica/intent.h"
#include "sim.h"

/* It has used the device, or not, for longer than it takes to say so. */
#define USES_MARGIN	(5 * SIM_S)

static u64 looked_at[SIM_HOSTS_MAX + 1];	/* the list of that entry, at each host */

void sim_asked_draw(void)
{
	u64 random = world.seed ^ 0x666f726365ull;

	memset(looked_at, 0, sizeof(looked_at));
	world.asks_first = sim_has(SIM_UNFORCED, !world.quiet && sim_below_of(&random, 4) == 0);
	world.asks_random = random;
}

static u16 flags_of(const struct qbd_member_layout *member)
{
	return le16_to_cpu(member->flags);
}

/* When all is as it is meant to be. */
static bool will_vote(const struct qbd_member_layout *member)
{
	u16 flags = flags_of(member);

	return flags & QBD_MEMBER_VOTER ? !(flags & (QBD_MEMBER_DEMOTING | QBD_MEMBER_LEAVING)) :
					  flags & QBD_MEMBER_JOINING &&
					  !(flags & QBD_MEMBER_CLIENT);
}

static bool votes_change(const struct qbd_membership_layout *list)
{
	for (u32 i = 0; i < le32_to_cpu(list->count); i++)
		if (will_vote(&list->members[i]) !=
		    !!(flags_of(&list->members[i]) & QBD_MEMBER_VOTER))
			return true;
	return false;
}

/* ---- what is taken ------------------------------------------------------ */

/* And not a step of a change that was asked for before. */
static bool was_asked_for(const struct qbd_membership_layout *before,
			  const struct qbd_membership_layout *list)
{
	bool asked = false;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		const struct qbd_member_layout *member = &list->members[i];
		const struct qbd_member_layout *was =
			qbd_membership_find(before, le32_to_cpu(member->id));

		if (flags_of(member) & QBD_MEMBER_VOTER_OLD ||
		    (was && flags_of(was) & QBD_MEMBER_VOTER_OLD))
			return false;
		asked |= !was || (flags_of(was) ^ flags_of(member)) & QBD_MEMBER_INTENTS;
	}
	return asked;
}

/* This leader is new, and has not heard from there: it may be in use, whoever knows. */
static bool may_be_used(const struct sim_host *leader, u32 id)
{
	const struct qbd_replica *replica = sim_replica(leader);

	return id != sim_member_id(leader) && !sim_heard_of(leader, id) &&
	       replica->now < replica->leads_since +
			      qbd_claim_lease_ms(replica) * NSEC_PER_MSEC;
}

/* A step of a change: who goes by it has told the leader that his host uses the device. */
static void check_goes(const struct sim_host *host, const struct qbd_replica *replica,
		       const struct qbd_membership_layout *before,
		       const struct qbd_membership_layout *list)
{
	for (u32 i = 0; i < le32_to_cpu(before->count); i++) {
		const struct qbd_member_layout *member = &before->members[i];
		u32 id = le32_to_cpu(member->id);
		const struct qbd_member_layout *next = qbd_membership_find(list, id);
		const struct sim_heard *heard = sim_heard_of(host, id);

		if (!(flags_of(member) & QBD_MEMBER_VOTER) ||
		    (flags_of(member) & (QBD_MEMBER_LEAVING | QBD_MEMBER_FORCED)) !=
		    QBD_MEMBER_LEAVING || (next && flags_of(next) & QBD_MEMBER_VOTER))
			continue;
		if (heard && heard->uses_since && heard->uses_since < replica->now &&
		    sim_heard_lately(host, id, replica->now))
			sim_fail("host %u begins with the list of entry %llu, by which member %u goes, whose host uses the device, and not by force",
				 host->number, le64_to_cpu(list->index), id);
		if (may_be_used(host, id))
			sim_fail("host %u begins with the list of entry %llu, by which member %u goes, from which it has not heard yet, and not by force",
				 host->number, le64_to_cpu(list->index), id);
	}
}

/* After each step of that host: a list that it has just taken, if it leads. */
void sim_asked_check(const struct sim_host *host, const struct qbd_replica *replica)
{
	const struct qbd_replica_config *newest = &replica->configs[replica->config_count - 1];
	const struct qbd_membership_layout *list = &newest->layout;
	u32 voters = 0, away = 0;

	if (newest->index == looked_at[host->number])
		return;
	looked_at[host->number] = newest->index;
	if (replica->core->role != QBD_ROLE_LEADER || replica->config_count < 2 ||
	    newest->index < replica->core->own_first)
		return;
	check_goes(host, replica, &newest[-1].layout, list);
	if (!was_asked_for(&newest[-1].layout, list) || !votes_change(list))
		return;
	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		const struct qbd_member_layout *member = &list->members[i];

		if (!will_vote(member))
			continue;
		voters++;
		away += !(flags_of(member) & QBD_MEMBER_JOINING) &&
			sim_heard_away(host, le32_to_cpu(member->id));
	}
	if (voters - away <= voters / 2)
		sim_fail("host %u takes the list of entry %llu: of %u that will vote %u are not there",
			 host->number, newest->index, voters, away);
}

/* ---- what is answered --------------------------------------------------- */

/* The host that leads, as @host believes. NULL: it is wrong, or knows nobody. */
static struct sim_host *leader_of(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	for (u32 number = 1; replica && number <= world.count; number++) {
		struct sim_host *other = &world.hosts[number];
		const struct qbd_replica *leads = sim_replica(other);

		if (replica->told_leader == number && leads &&
		    leads->phase == QBD_PHASE_RUNNING && leads->told_role == QBD_ROLE_LEADER &&
		    leads->core->role == QBD_ROLE_LEADER &&
		    leads->told_term == replica->told_term && leads->core->term == leads->told_term)
			return other;
	}
	return NULL;
}

/* What there is to be known of member @id by @leader now. */
static struct sim_asked_member member_now(const struct sim_host *leader, u32 id)
{
	const struct qbd_claim *claim = qbd_claims_newest(sim_replica(leader));
	const struct sim_host *host = &world.hosts[id];
	const struct qbd_replica *replica = sim_replica(host);

	return (struct sim_asked_member){
		.claim = claim->holder == id ? claim->epoch : 0,
		.holds = claim->holder == id && replica && replica->session == claim->session,
		.uses = sim_claims_uses(host),
		.closings = sim_claims_closings(host),
		.session = replica ? replica->session : 0,
	};
}

void sim_asked_begin(struct sim_asked *asked, const struct sim_host *host,
		     const struct qbd_membership_layout *wanted, bool force)
{
	const struct qbd_replica *leads;

	*asked = (struct sim_asked){ .wanted = wanted, .force = force };
	asked->leader = leader_of(host);
	if (!asked->leader)
		return;
	leads = sim_replica(asked->leader);
	asked->term = leads->core->term;
	/* What it was told in its last pass before it is asked it knows. */
	asked->since = leads->now;
	asked->list = *qbd_replica_layout(leads);
	for (u32 id = 1; id <= SIM_HOSTS_MAX; id++)
		asked->members[id] = member_now(asked->leader, id);
}

/* All the time since it was asked for it had the claim, and the leader heard it. */
static bool held_it(const struct sim_asked *asked, u32 id)
{
	struct sim_asked_member now = member_now(asked->leader, id);

	return now.holds && asked->members[id].holds && now.claim == asked->members[id].claim &&
	       sim_heard_lately(asked->leader, id, asked->since);
}

/* Likewise its host used the device, and had said so. */
static bool used_it(const struct sim_asked *asked, u32 id)
{
	const struct sim_heard *heard = sim_heard_of(asked->leader, id);
	struct sim_asked_member now = member_now(asked->leader, id);

	if (!now.uses || !asked->members[id].uses || now.closings != asked->members[id].closings ||
	    now.session != asked->members[id].session)
		return false;
	return id == sim_member_id(asked->leader) ||
	       (sim_heard_lately(asked->leader, id, asked->since) && heard->uses_since &&
		heard->uses_since < asked->since);
}

/* It has no claim, and its host does not use the device, or nobody has heard it for too long. */
static bool needs_nothing(const struct sim_asked *asked, u32 id)
{
	const struct qbd_replica *leads = sim_replica(asked->leader);
	const struct sim_heard *heard = sim_heard_of(asked->leader, id);
	u64 lease = qbd_claim_lease_ms(leads) * NSEC_PER_MSEC + SIM_S;

	if (id == sim_member_id(asked->leader))
		return !asked->members[id].claim && !member_now(asked->leader, id).claim &&
		       sim_claims_used_at(asked->leader) + USES_MARGIN < world.now;
	/* One that may be lost with the leader is in force for as long as that is so. */
	if (asked->since > leads->leads_since + lease &&
	    (!heard || asked->since > heard->at + lease))
		return qbd_claims_committed(leads) == qbd_claims_newest(leads);
	return !asked->members[id].claim && !member_now(asked->leader, id).claim && heard &&
	       heard->idle_since && heard->idle_since < asked->since;
}

static bool leads_still(const struct sim_asked *asked)
{
	const struct qbd_replica *leads = asked->leader ? sim_replica(asked->leader) : NULL;

	return leads && leads->phase == QBD_PHASE_RUNNING &&
	       leads->core->role == QBD_ROLE_LEADER && leads->core->term == asked->term;
}

static void check_refused_majority(const struct sim_asked *asked, const char *text)
{
	u32 voters = 0, there = 0;

	sim_counts.no_majority++;
	if (!leads_still(asked))
		return;
	for (u32 i = 0; i < le32_to_cpu(asked->wanted->count); i++) {
		const struct qbd_member_layout *member = &asked->wanted->members[i];

		if (!will_vote(member))
			continue;
		voters++;
		there += flags_of(member) & QBD_MEMBER_JOINING ||
			 sim_heard_there(asked->leader, le32_to_cpu(member->id), asked->since);
	}
	if (there > voters / 2)
		sim_fail("host %u refuses other members, and %u of %u that would vote are there: %s",
			 asked->leader->number, there, voters, text);
}

static void check_refused_use(const struct sim_asked *asked, u32 id, const char *text)
{
	sim_counts.in_use++;
	if (asked->force)
		sim_fail("a change of members by force is refused: %s", text);
	else if (id <= SIM_HOSTS_MAX && leads_still(asked) && needs_nothing(asked, id))
		sim_fail("host %u refuses other members, and nobody uses the device there: %s",
			 asked->leader->number, text);
}

/* Who asks on his own host has looked himself. */
static void check_taken_use(const struct sim_asked *asked, u32 asker)
{
	for (u32 i = 0; !asked->force && i < le32_to_cpu(asked->wanted->count); i++) {
		const struct qbd_member_layout *member = &asked->wanted->members[i];
		u32 id = le32_to_cpu(member->id);
		const struct qbd_member_layout *was = qbd_membership_find(&asked->list, id);

		if (!was || flags_of(was) & QBD_MEMBER_LEAVING ||
		    !(flags_of(member) & QBD_MEMBER_LEAVING) || id == asker ||
		    asked->list.index != asked->wanted->index || !leads_still(asked))
			continue;
		if (held_it(asked, id) || used_it(asked, id))
			sim_fail("host %u has member %u leave, which has the device %s, and not by force",
				 asked->leader->number, id,
				 held_it(asked, id) ? "claimed" : "open");
		if (may_be_used(asked->leader, id))
			sim_fail("host %u has member %u leave, from which it has not heard yet, and not by force",
				 asked->leader->number, id);
	}
}

void sim_asked_end(const struct sim_asked *asked, const struct sim_host *host, int error,
		   const char *text)
{
	static const char no_majority[] = "no majority of the voters would be there";
	u32 id;

	if (!error)
		check_taken_use(asked, sim_member_id(host));
	else if (!strncmp(text, no_majority, sizeof(no_majority) - 1))
		check_refused_majority(asked, text);
	else if (strstr(text, " uses the device ") && sscanf(text, "member %u", &id) == 1)
		check_refused_use(asked, id, text);
}
