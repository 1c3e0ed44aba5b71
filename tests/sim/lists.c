// SPDX-License-Identifier: GPL-2.0
/*
 * The lists of members that were committed, one after the other.
 *
 *   ids         one that is new was never given before, and the next one to be given
 *               never goes back
 *   votes       change by a joint list whose outgoing set is the one before, and which
 *               is followed by its incoming set (thesis 4.3); who comes is a learner
 *               who makes it stays a voter, unless none does: else he hands over first
 *               a majority of the incoming set has the list before it
 *               whom he hands over to, for that, reaches those who come in his place
 *               who goes does so when all of his group vote that are to, or nobody of it is
 *   promotion   of who had nearly all of the log
 *   removal     of a learner that is leaving, and has been told so by the list before
 */
#include "../../kmod/replica/intent.h"
#include "sim.h"

#define VOTES	(QBD_MEMBER_VOTER | QBD_MEMBER_VOTER_OLD)
/* What the module takes for caught up; and the list itself. */
#define LAG_MAX	65u

static struct qbd_membership_layout now;
/* Likewise, of the history of before a majority was lost. */
static struct qbd_membership_layout former;
static u64 *indices;			/* of all of them, from the second on */
static struct qbd_membership_layout first, *bodies;	/* likewise */
static u32 lists, room;
static u32 ever;			/* bitmap of ids */
static u32 guests[SIM_HOSTS_MAX + 1];	/* to which that id was given */
static u64 reached_at[SIM_HOSTS_MAX + 1][SIM_HOSTS_MAX + 1];	/* that host: that member */
static u64 held[SIM_HOSTS_MAX + 1];	/* entry up to which that member's log was durable once */

const struct qbd_membership_layout *sim_lists_now(void)
{
	return &now;
}

static const struct qbd_member_layout *find(const struct qbd_membership_layout *list, u32 id)
{
	for (u32 i = 0; i < le32_to_cpu(list->count); i++)
		if (le32_to_cpu(list->members[i].id) == id)
			return &list->members[i];
	return NULL;
}

static u16 flags_in(const struct qbd_membership_layout *list, u32 id)
{
	const struct qbd_member_layout *member = find(list, id);

	return member ? le16_to_cpu(member->flags) : 0;
}

static bool is_joint(const struct qbd_membership_layout *list)
{
	for (u32 i = 0; i < le32_to_cpu(list->count); i++)
		if (le16_to_cpu(list->members[i].flags) & QBD_MEMBER_VOTER_OLD)
			return true;
	return false;
}

u32 sim_lists_set(const struct qbd_membership_layout *list, u16 flag)
{
	u32 set = 0;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++)
		if (le16_to_cpu(list->members[i].flags) & flag)
			set |= 1u << le32_to_cpu(list->members[i].id);
	return set;
}

void sim_lists_begin(void)
{
	memset(&now, 0, sizeof(now));
	memset(guests, 0, sizeof(guests));
	memset(reached_at, 0, sizeof(reached_at));
	memset(held, 0, sizeof(held));
	lists = 0;
	now.count = cpu_to_le32(world.founders);
	now.next_member_id = cpu_to_le32(world.founders + 1);
	for (u32 i = 0; i < world.founders; i++) {
		now.members[i].flags = cpu_to_le16(QBD_MEMBER_VOTER |
						   (world.hosts[i + 1].witness ?
						    QBD_MEMBER_WITNESS : 0));
		sim_member_place(&now.members[i], i + 1, 0);
	}
	ever = sim_lists_set(&now, QBD_MEMBER_VOTER);
	first = now;
}

u64 sim_lists_index_at(u64 commit)
{
	for (u32 i = lists; i-- > 0;)
		if (indices[i] <= commit)
			return indices[i];
	return 0;
}

bool sim_lists_has(u32 number)
{
	return find(&now, number);
}

bool sim_lists_out(u32 number)
{
	return qbd_intent_is_out(world.hosts[number].former ? &former : &now, number);
}

bool sim_lists_gone(u32 number)
{
	return !find(&now, number) && ever >> number & 1;
}

bool sim_lists_gave(u32 number, u32 guest)
{
	return ever >> number & 1 && guests[number] == guest;
}

bool sim_lists_counts(u32 number)
{
	if (find(&now, number))
		return true;
	for (u32 other = 1; other <= world.count; other++) {
		const struct qbd_replica *replica = sim_replica(&world.hosts[other]);

		if (replica && replica->phase != QBD_PHASE_STARTING &&
		    find(qbd_replica_layout(replica), number))
			return true;
	}
	return false;
}

static bool enough(const struct qbd_membership_layout *list)
{
	u32 old = __builtin_popcount(sim_lists_set(list, QBD_MEMBER_VOTER_OLD));

	return __builtin_popcount(sim_lists_set(list, QBD_MEMBER_VOTER)) >= 3 && (!old || old >= 3);
}

bool sim_lists_spare_one(void)
{
	if (!enough(&now))
		return false;
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = sim_replica(&world.hosts[number]);

		if (replica && replica->phase != QBD_PHASE_STARTING && !replica->removed &&
		    find(&now, number) && !enough(qbd_replica_layout(replica)))
			return false;
	}
	return true;
}

/* ---- what has to hold --------------------------------------------------- */

static void check_ids(const struct qbd_membership_layout *next)
{
	u32 least = le32_to_cpu(now.next_member_id);

	if (le32_to_cpu(next->next_member_id) < least)
		sim_fail("the list of entry %llu gives ids from %u on, the one before from %u on",
			 next->index, next->next_member_id, least);
	for (u32 i = 0; i < le32_to_cpu(next->count); i++) {
		const struct qbd_member_layout *member = &next->members[i];
		u32 id = le32_to_cpu(member->id);

		if (id >= SIM_COPY) {
			sim_fail("the list of entry %llu has a member %u", next->index, id);
			return;
		}
		if (find(&now, id))
			continue;
		if (id < least || ever >> id & 1)
			sim_fail("the list of entry %llu gives id %u once more", next->index,
				 id);
		if (le16_to_cpu(member->flags) & VOTES)
			sim_fail("the list of entry %llu has a new member %u that votes",
				 next->index, id);
		ever |= 1u << id;
		guests[id] = member->address.bytes[3];
		sim_counts.joined++;
	}
}

static void check_votes(const struct qbd_membership_layout *next)
{
	u32 incoming = sim_lists_set(&now, QBD_MEMBER_VOTER);
	u32 was = sim_lists_set(&now, QBD_MEMBER_VOTER_OLD);
	u32 voters = sim_lists_set(next, QBD_MEMBER_VOTER);
	u32 old = sim_lists_set(next, QBD_MEMBER_VOTER_OLD);
	bool good;

	if (is_joint(&now) && is_joint(next))
		good = voters == incoming && old == was;
	else if (is_joint(next))
		good = old == incoming;
	else
		good = voters == incoming;
	if (!good || !voters || __builtin_popcount(voters) > QBD_VOTERS_MAX)
		sim_fail("entry %llu: voters %#x after %#x, which were %#x and %#x",
			 next->index, voters, old, incoming, was);
}

/* Who is replaced votes until who takes its place does. */
static void check_groups(const struct qbd_membership_layout *next)
{
	for (u32 i = 0; i < le32_to_cpu(now.count); i++) {
		const struct qbd_member_layout *goes = &now.members[i];

		if (!(le16_to_cpu(goes->flags) & QBD_MEMBER_VOTER) || !is_joint(next) ||
		    is_joint(&now) || flags_in(next, le32_to_cpu(goes->id)) & QBD_MEMBER_VOTER)
			continue;
		for (u32 j = 0; j < le32_to_cpu(now.count); j++) {
			u16 flags = le16_to_cpu(now.members[j].flags);
			u32 id = le32_to_cpu(now.members[j].id);

			if (flags & QBD_MEMBER_JOINING && !(flags & QBD_MEMBER_CLIENT) &&
			    now.members[j].group == goes->group &&
			    !(flags_in(next, id) & QBD_MEMBER_VOTER))
				sim_fail("entry %llu: member %u votes no more, and member %u does not vote that was to take its place",
					 le64_to_cpu(next->index), le32_to_cpu(goes->id), id);
		}
	}
}

/* A leader that is to leave hands leadership over first, if one stays that may lead. */
static void check_writer(const struct qbd_membership_layout *next, u32 writer)
{
	u32 voters = sim_lists_set(next, QBD_MEMBER_VOTER);
	u32 stay = voters & sim_lists_set(&now, QBD_MEMBER_VOTER) &
		   ~sim_lists_set(next, QBD_MEMBER_WITNESS);
	u32 id;

	if (!writer || !is_joint(next) || is_joint(&now))
		return;
	id = sim_member_id(&world.hosts[writer]);
	/* It may have become another member since. */
	if (!(flags_in(&now, id) & QBD_MEMBER_VOTER))
		return;
	if (stay && !(voters >> id & 1))
		sim_fail("entry %llu: member %u led, leaves, and begins that itself; voters that stay: %#x",
			 le64_to_cpu(next->index), id, stay);
}

/* What it said of its connections may have been on the way for a while. */
#define REACHED_WITHIN	(5 * SIM_S)

static void note_reached(u32 id, const struct qbd_replica *replica)
{
	const struct qbd_membership_layout *list = qbd_replica_layout(replica);
	u64 reached = replica->change_pending ? qbd_reach_own(replica) : 0;

	for (u32 i = 0; reached && i < le32_to_cpu(list->count); i++)
		if (reached >> i & 1)
			reached_at[id][le32_to_cpu(list->members[i].id)] = world.now;
}

/*
 * A leader that is to leave hands over to one that can begin with the joint list: it is, or was
 * just now, connected to those that are to vote when that leader does not. (One that votes no more
 * waits for nobody.)
 */
static void check_handed(const struct sim_host *host, const struct qbd_replica *replica)
{
	const struct qbd_membership_layout *list = qbd_replica_layout(replica);
	const struct qbd_member_layout *self = find(list, sim_member_id(host));
	u32 to = replica->core->transfer_to;
	const struct qbd_replica *other = sim_replica(&world.hosts[to]);

	/* Not in this pass, or not for this: it goes to one that reaches more. */
	if (!to || replica->change_after != replica->now +
	    (u64)replica->settings.election_timeout_ms * NSEC_PER_MSEC ||
	    replica->better_since == replica->now)
		return;
	/* What it says of another list the leader takes for what it is not. */
	if (!other || other->phase != QBD_PHASE_RUNNING ||
	    qbd_replica_layout(other)->index != list->index)
		return;
	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		u32 joins = le32_to_cpu(list->members[i].id);

		if (le16_to_cpu(list->members[i].flags) & QBD_MEMBER_JOINING &&
		    self && le16_to_cpu(self->flags) & QBD_MEMBER_VOTER &&
		    list->members[i].group == self->group &&
		    reached_at[to][joins] + REACHED_WITHIN < world.now)
			sim_fail("host %u is to leave, and hands over to host %u, which does not reach host %u that is to vote",
				 host->number, to, joins);
	}
}

/*
 * After each step of it: a joint list that this leader has begun itself. By what the others had
 * on disk at any time: that somebody has lost it since the leader need not have heard.
 */
void sim_lists_check(const struct sim_host *host, const struct qbd_replica *replica)
{
	u32 id = sim_member_id(host), count = replica->config_count, voters, having = 0;
	u64 before;

	held[id] = max(held[id], replica->core->durable);
	note_reached(id, replica);
	check_handed(host, replica);
	if (replica->core->role != QBD_ROLE_LEADER || count < 2 ||
	    !is_joint(&replica->configs[count - 1].layout) ||
	    replica->configs[count - 1].index < replica->core->own_first)
		return;
	before = replica->configs[count - 2].index;
	voters = sim_lists_set(&replica->configs[count - 1].layout, QBD_MEMBER_VOTER);
	for (u32 other = 1; other <= SIM_HOSTS_MAX; other++)
		having += voters >> other & 1 && held[other] >= before;
	if (having <= __builtin_popcount(voters) / 2)
		sim_fail("host %u begins with the joint list of entry %llu; of its voters, %#x, %u have that of entry %llu",
			 host->number, replica->configs[count - 1].index, voters, having, before);
}

/* It had nearly all of the log when the leader let it vote. */
static void check_promoted(const struct qbd_membership_layout *next)
{
	u32 fresh = sim_lists_set(next, QBD_MEMBER_VOTER) & ~sim_lists_set(&now, VOTES);

	for (u32 number = 1; number <= SIM_HOSTS_MAX; number++) {
		const struct sim_host *host = &world.hosts[number];
		const struct qbd_replica *replica = sim_replica(host);
		u64 last = host->durable;

		if (!(fresh >> number & 1) || host->unsound || host->rotten ||
		    (replica && replica->phase == QBD_PHASE_STARTING))
			continue;
		if (replica)
			last = qbd_store_last_index(replica->store);
		if (!host->exists || last + LAG_MAX < le64_to_cpu(next->index))
			sim_fail("entry %llu lets member %u vote, which has %llu",
				 le64_to_cpu(next->index), number, last);
	}
}

static void check_removed(const struct qbd_membership_layout *next)
{
	for (u32 i = 0; i < le32_to_cpu(now.count); i++) {
		u32 id = le32_to_cpu(now.members[i].id);

		if (find(next, id))
			continue;
		if (flags_in(&now, id) & VOTES || !(flags_in(&now, id) & QBD_MEMBER_LEAVING))
			sim_fail("entry %llu removes member %u, whose flags were %#x",
				 le64_to_cpu(next->index), id, flags_in(&now, id));
		if (world.worst_disk == id)
			world.worst_disk = 0;
		sim_counts.left++;
	}
}

static void note_list(u64 index, const struct qbd_membership_layout *list)
{
	if (lists == room) {
		room = room ? 2 * room : 64;
		indices = realloc(indices, room * sizeof(*indices));
		bodies = realloc(bodies, room * sizeof(*bodies));
		if (!indices || !bodies)
			abort();
	}
	bodies[lists] = *list;
	indices[lists++] = index;
}

void sim_lists_committed(u32 writer, u64 index, const struct qbd_membership_layout *next)
{
	if (le64_to_cpu(next->index) != index) {
		sim_fail("the list of entry %llu says that it is of %llu", index,
			 le64_to_cpu(next->index));
		return;
	}
	/* One host goes on alone: what its log says of members is history (sim_lists_fork()). */
	if (index < le64_to_cpu(now.index))
		return;
	sim_trace("the list of entry %llu is committed: voters %#x, old %#x, learners %#x, next id %u",
		  index, sim_lists_set(next, QBD_MEMBER_VOTER),
		  sim_lists_set(next, QBD_MEMBER_VOTER_OLD),
		  sim_lists_set(next, QBD_MEMBER_LEARNER),
		  le32_to_cpu(next->next_member_id));
	sim_counts.lists++;
	check_ids(next);
	check_votes(next);
	check_writer(next, writer);
	check_groups(next);
	check_promoted(next);
	check_removed(next);
	sim_addresses_list(&now, next);
	note_list(index, next);
	sim_witnesses_list(next);
	sim_clients_list(next);
	now = *next;
}

/* ---- a majority is lost for good ---------------------------------------- */

void sim_lists_former(const struct qbd_membership_layout *list)
{
	former = *list;
}

void sim_lists_fork(const struct sim_host *host, u64 common,
		    const struct qbd_membership_layout *list)
{
	const struct qbd_member_layout *before, *self = &list->members[0];

	former = now;
	while (lists && indices[lists - 1] > common)
		lists--, sim_counts.lists_lost++;
	now = lists ? bodies[lists - 1] : first;
	before = find(&now, host->number);
	sim_trace("the list of entry %llu: host %u alone, next id %u", le64_to_cpu(list->index),
		  host->number, le32_to_cpu(list->next_member_id));
	if (le32_to_cpu(list->count) != 1 || le32_to_cpu(self->id) != host->number || !before ||
	    le16_to_cpu(self->flags) != QBD_MEMBER_VOTER ||
	    memcmp(self->name, before->name, sizeof(self->name)) ||
	    memcmp(&self->address, &before->address, sizeof(self->address)))
		sim_fail("host %u goes on alone, and its list of entry %llu is not of it alone",
			 host->number, le64_to_cpu(list->index));
	if (le32_to_cpu(list->next_member_id) < le32_to_cpu(now.next_member_id))
		sim_fail("host %u goes on alone, and gives ids from %u on: it knew that they are given from %u on",
			 host->number, le32_to_cpu(list->next_member_id),
			 le32_to_cpu(now.next_member_id));
	note_list(le64_to_cpu(list->index), list);
	now = *list;
}
