// SPDX-License-Identifier: GPL-2.0
/*
 * Of some worlds only a bare majority is healed first, and has to go on.
 *
 * The faults have just ended. As few voters as can decide, by each set of each list that is in
 * force with one of them, get power, ways to each other, disks that answer and memory. All others,
 * be they voters or not, stay as the faults have left them, or worse:
 *
 *   state      as it is; off; they stand still; their disk does
 *   ways       as they are; none to the majority; only from there, or only to it; to a part of
 *              it; to all of it (for those that are no good otherwise)
 *
 *   progress   a write and then a read complete at each host of that majority, and whatever
 *              else was asked for there; in half of the worlds nobody writes before each of
 *              these hosts has read, which one whose disk hangs may not hold up
 *   peace      when one of them leads and the rest follow it, and have answered it, nobody is
 *              elected any more unless leadership is handed over; that is looked at for a while
 *              after that
 *
 * All that has to hold after each step does. Who is in that majority counts: it is neither new nor
 * damaged nor failed nor being filled, and nothing of its disk is rotten; where there are witnesses
 * a member with data is among them that has all that is committed. Then all the rest is healed.
 *
 * Where others reach a part of the majority they do not reach each other: a leader that reaches
 * somebody whom nobody else does stays, and whoever does not reach it waits (replica/reach.c). Nor
 * do they reach a part with no data in it, for a witness takes nothing over.
 *
 * What is left out: worlds with a copy of a disk, or with a disk that was rolled back and lacks
 * something still; where too few are whole; where a list comes up that a majority of the
 * voters has to agree to of whom too few are; and one that takes its vote from whom who reaches
 * a part could hand leadership over to.
 *
 * Drawn apart from the rest: worlds without it stay what they are.
 */
#include "../../kmod/core/internal.h"
#include "../../kmod/replica/intent.h"
#include "sim.h"

/* So often it is looked after who is off, and those that stand still go on doing so. */
#define TICK		(50 * SIM_MS)
#define STILL		(3 * TICK)
#define PEACE		(3 * SIM_S)
/* Since they were healed, or leadership was handed over. */
#define SETTLES		SIM_S
/* Seconds: each host may have to wait for a claim lease of five, or for one that is filled. */
#define BOUND		30

enum state {
	STATE_AS_IT_IS,
	STATE_OFF,
	STATE_PAUSED,
	STATE_HANGING,
	STATES
};

enum ways {
	WAYS_AS_THEY_ARE,
	WAYS_NONE,
	WAYS_FROM,		/* the majority */
	WAYS_TO,
	WAYS_PART,
	WAYS_ALL,
	WAYS
};

static struct {
	u64 random;
	bool under_way;
	bool given_up;
	u32 healed;		/* bitmap of hosts */
	enum state states[SIM_HOSTS_MAX + 1];
	enum ways ways[SIM_HOSTS_MAX + 1];
	bool apart;		/* the others do not reach each other */
	u32 may_take_over;	/* hosts: who reaches a part reaches one of these */
	u64 term, list;		/* that all of them follow; 0: they do not yet */
	u64 settles_at;		/* not before that */
	bool handed;		/* leadership was handed over since they were healed */
	u64 until;
} bare;

static u32 below(u32 bound)
{
	return sim_below_of(&bare.random, bound);
}

static bool is_healed(u32 number)
{
	return bare.healed >> number & 1;
}

static const struct qbd_replica *running(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	return replica && replica->phase == QBD_PHASE_RUNNING && !host->going_down ? replica :
										     NULL;
}

/* ---- who is healed ------------------------------------------------------ */

static bool is_whole(const struct sim_host *host)
{
	return host->exists && sim_lists_has(host->number) && !sim_lists_out(host->number) &&
	       !host->knows && !host->former && !host->failed && !host->unsound &&
	       !host->write_erred && !host->rotten && !host->rot_left && !host->data_rot;
}

static bool decides_by(const struct qbd_membership_layout *list, u32 hosts, u16 flag)
{
	u32 set = sim_lists_set(list, flag);

	return !set || 2 * __builtin_popcount(set & hosts) > __builtin_popcount(set);
}

static bool can_decide(const struct qbd_membership_layout *list, u32 hosts)
{
	return decides_by(list, hosts, QBD_MEMBER_VOTER) &&
	       decides_by(list, hosts, QBD_MEMBER_VOTER_OLD);
}

/* By what is committed, and by the lists that they have themselves. */
static bool all_can_decide(u32 hosts)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = running(&world.hosts[number]);

		if (hosts >> number & 1 && replica &&
		    !can_decide(qbd_replica_layout(replica), hosts))
			return false;
	}
	return can_decide(sim_lists_now(), hosts);
}

static bool votes(u32 number)
{
	return (sim_lists_set(sim_lists_now(), QBD_MEMBER_VOTER) |
		sim_lists_set(sim_lists_now(), QBD_MEMBER_VOTER_OLD)) >> number & 1;
}

/* One of these has to have all, where the log of a witness may be all that the others have. */
static bool has_data(u32 hosts)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct sim_host *host = &world.hosts[number];

		if (hosts >> number & 1 && sim_keeps_data(host) && running(host) &&
		    sim_invariants_has_all(running(host)))
			return true;
	}
	return !world.witnesses;
}

/* As few as will do, in an order that is drawn. Return: 0 if there are not so many. */
static u32 bare_majority(void)
{
	u32 order[SIM_HOSTS_MAX], count = 0, hosts = 0;

	for (u32 number = 1; number <= world.count; number++)
		if (votes(number) && is_whole(&world.hosts[number]))
			order[count++] = number;
	for (u32 i = 0; i < count; i++) {
		u32 other = i + below(count - i), number = order[other];

		order[other] = order[i];
		order[i] = number;
		hosts |= 1u << number;
	}
	if (!all_can_decide(hosts) || !has_data(hosts))
		return 0;
	for (u32 i = 0; i < count; i++) {
		u32 fewer = hosts & ~(1u << order[i]);

		if (all_can_decide(fewer) && has_data(fewer))
			hosts = fewer;
	}
	return hosts;
}

/* ---- the others --------------------------------------------------------- */

static void both_ways(u32 a, u32 b, bool cut)
{
	sim_network_cut(a, b, cut);
	sim_network_cut(b, a, cut);
}

/* A part of the majority, with data: others may lead, and hand leadership over to that. */
static u32 part(void)
{
	u32 hosts = 0, data;

	do {
		data = 1 + below(world.count);
	} while (!is_healed(data) || !sim_keeps_data(&world.hosts[data]));
	for (u32 number = 1; number <= world.count; number++)
		if (is_healed(number) && (number == data || below(2)))
			hosts |= 1u << number;
	bare.may_take_over |= 1u << data;
	return hosts;
}

static void cut_other(u32 number, const bool (*cuts)[SIM_HOSTS_MAX + 1])
{
	u32 reached = bare.ways[number] == WAYS_PART ? part() : 0;

	for (u32 other = 1; other <= world.count; other++) {
		bool cut_to = cuts[number][other], cut_from = cuts[other][number];

		if (other == number)
			continue;
		if (!is_healed(other)) {
			cut_to |= bare.apart;
			cut_from |= bare.apart;
		} else if (bare.ways[number] != WAYS_AS_THEY_ARE) {
			bool all = bare.ways[number] == WAYS_ALL || reached >> other & 1;

			cut_to = !all && bare.ways[number] != WAYS_TO;
			cut_from = !all && bare.ways[number] != WAYS_FROM;
		}
		sim_network_cut(number, other, cut_to);
		sim_network_cut(other, number, cut_from);
	}
}

/* With all ways open it would be one of them. */
static void draw_other(struct sim_host *host)
{
	enum state *state = &bare.states[host->number];
	enum ways *ways = &bare.ways[host->number];

	*state = below(STATES);
	*ways = below(WAYS);
	/* Those that go on trying are what there is most to learn from. */
	if (below(2)) {
		*state = STATE_AS_IT_IS;
		*ways = below(2) ? WAYS_PART : *ways;
	}
	if (*state == STATE_AS_IT_IS && host->powered && host->paused_until > world.now)
		*state = STATE_PAUSED;
	if (*ways == WAYS_ALL && *state == STATE_AS_IT_IS && is_whole(host) && host->powered)
		*ways = WAYS_NONE;
	/* What the faults have left may be a part of it without data. */
	if (*ways == WAYS_AS_THEY_ARE && world.witnesses)
		*ways = WAYS_NONE;
	bare.apart |= *ways == WAYS_AS_THEY_ARE || *ways == WAYS_PART;
	sim_trace("host %u is not healed: state %u, ways %u", host->number, *state, *ways);
}

static void keep(struct sim_host *host)
{
	switch (bare.states[host->number]) {
	case STATE_OFF:
		sim_member_power_cut(host);
		break;
	case STATE_PAUSED:
		if (host->powered)
			host->paused_until = world.now + STILL;
		break;
	case STATE_HANGING:
		sim_disk_stall(host, world.now + STILL);
		break;
	default:
		break;
	}
}

static void let_go(struct sim_host *host)
{
	if (bare.states[host->number] == STATE_PAUSED)
		host->paused_until = 0;
	if (bare.states[host->number] == STATE_HANGING)
		sim_disk_stall(host, 0);
}

/* ---- while it lasts ----------------------------------------------------- */

/*
 * A list of one that was off, or a new one: one more is healed if it takes that.
 * Return: false if there is none.
 */
static bool still_a_majority(void)
{
	for (u32 number = 1; number <= world.count && !all_can_decide(bare.healed); number++) {
		struct sim_host *host = &world.hosts[number];

		if (is_healed(number) || !is_whole(host) || !sim_keeps_data(host))
			continue;
		sim_trace("host %u is healed, too", number);
		let_go(host);
		sim_heal_host(host);
		for (u32 other = 1; other <= world.count; other++)
			if (is_healed(other))
				both_ways(number, other, false);
		bare.healed |= 1u << number;
		bare.term = 0;
		bare.settles_at = world.now + SETTLES;
	}
	return all_can_decide(bare.healed);
}

/*
 * 4 led on, with three witnesses and 6, which was to be a learner, and became one. 7 was reached
 * by 6, and not by 4; and nobody could take over.
 */
static bool all_may_take_over(void)
{
	for (u32 number = 1; number <= world.count; number++)
		if (bare.may_take_over >> number & 1 && !votes(number))
			return false;
	return true;
}

static void tick(void *object, u64 argument)
{
	if (!bare.under_way)
		return;
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if (!is_healed(number))
			keep(host);
		else if (!host->failed)
			sim_mend_host(host);
	}
	if (!still_a_majority() || !all_may_take_over())
		bare.given_up = true;
	sim_event(NULL, world.now + TICK, tick, NULL, 0);
}

/* Has each of them answered this leader lately? What it was told before may never have arrived. */
static bool hears_all(const struct qbd_core *leader)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_peer *peer = qbd_peer_find((struct qbd_core *)leader, number);

		if (is_healed(number) && number != leader->self &&
		    (!peer || !peer->acked_at ||
		     leader->now > peer->acked_at + leader->options.election_timeout))
			return false;
	}
	return true;
}

/*
 * Who was told to lead, and reaches others only, has brought these into a term that the majority
 * comes to know of when one of them is connected.
 */
static bool has_later_term(u64 term)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = running(&world.hosts[number]);

		if (replica && replica->core->term > term)
			return true;
	}
	return false;
}

/* Do all of them follow one of them, and does nothing go on that may change that? */
static u64 term_of_all(u64 *list)
{
	const struct qbd_replica *leads;
	u32 leader = 0;
	u64 term = 0;

	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = running(&world.hosts[number]);

		if (!is_healed(number))
			continue;
		/* Who follows nobody yet may be in an earlier term, and comes into this one. */
		if (!replica || !replica->core->leader ||
		    (leader && (replica->core->term != term || replica->core->leader != leader)))
			return 0;
		leader = replica->core->leader;
		term = replica->core->term;
	}
	if (!is_healed(leader))
		return 0;
	leads = running(&world.hosts[leader]);
	if (!hears_all(leads->core) || qbd_intent_pending(qbd_replica_layout(leads)))
		return 0;
	*list = qbd_core_config_index(leads->core);
	/* Who hears of an address dials there, also of one that is past: the way is closed. */
	for (u32 number = 1; number <= world.count; number++)
		if (is_healed(number) &&
		    qbd_core_config_index(running(&world.hosts[number])->core) != *list)
			return 0;
	return bare.handed && has_later_term(term) ? 0 : term;
}

/* A leader that cannot go on leads no more as soon as it has told another one to. */
static bool is_handed_over(const struct qbd_core *core)
{
	return (core->term == bare.term && core->timeout_now_term == bare.term &&
		!qbd_core_leads(core)) ||
	       (core->term == bare.term + 1 && core->role == QBD_ROLE_CANDIDATE && core->forced);
}

/*
 * Or there is another list than when all followed one of them. Or who leads, and cannot read
 * since before it was healed, may stand aside (replica/reach.c).
 */
static bool hands_over(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = running(&world.hosts[number]);

		if (!replica)
			continue;
		if (replica->core->transfer_to ||
		    (is_healed(number) && qbd_core_stuck(replica->core, replica->core->now)))
			return true;
		if (bare.term && (is_handed_over(replica->core) ||
				  qbd_core_config_index(replica->core) > bare.list))
			return true;
	}
	return false;
}

static void watch_peace(void)
{
	if (hands_over()) {
		bare.handed = true;
		bare.term = 0;
		bare.settles_at = world.now + SETTLES;
	}
	if (!bare.term) {
		if (world.now >= bare.settles_at)
			bare.term = term_of_all(&bare.list);
		return;
	}
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = running(&world.hosts[number]);

		if (is_healed(number) && replica && replica->core->term != bare.term)
			sim_fail("a majority followed one of it in term %llu, and host %u is in term %llu now",
				 bare.term, number, replica->core->term);
	}
}

static bool goes_on(void)
{
	watch_peace();
	if (!world.exclusive && !below(200))
		sim_client_work(&world.hosts[1 + below(world.count)]);
	return bare.given_up || sim_client_probe();
}

static bool answered(void)
{
	watch_peace();
	return bare.given_up || sim_client_idle_at(bare.healed);
}

static bool peace_lasts(void)
{
	watch_peace();
	return bare.given_up || world.now >= bare.until;
}

/* ---- from the beginning to the end -------------------------------------- */

static bool may_be(void)
{
	if (world.quiet || world.hosts[SIM_COPY].exists || world.hosts[SIM_COPY].powered)
		return false;
	for (u32 number = 1; number <= world.count; number++)
		if (sim_rollbacks_lacks(&world.hosts[number]))
			return false;
	return true;
}

static void begin(void)
{
	static bool cuts[SIM_HOSTS_MAX + 1][SIM_HOSTS_MAX + 1];
	u32 others = 0;

	for (u32 a = 1; a <= world.count; a++)
		for (u32 b = 1; b <= world.count; b++)
			cuts[a][b] = sim_network_is_cut(a, b);
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if (is_healed(number)) {
			sim_heal_host(host);
		} else if (host->exists) {
			draw_other(host);
			others++;
		}
	}
	sim_heal_weather();
	sim_network_heal();
	for (u32 number = 1; number <= world.count; number++)
		if (!is_healed(number))
			cut_other(number, cuts);
	sim_trace("hosts %#x are healed, and %u are not", bare.healed, others);
	bare.under_way = true;
	bare.settles_at = world.now + SETTLES;
	tick(NULL, 0);
	sim_counts.bare++;
	sim_counts.bare_parts += bare.apart;
}

static void end(void)
{
	bare.under_way = false;
	for (u32 number = 1; number <= world.count; number++)
		if (!is_healed(number))
			let_go(&world.hosts[number]);
	sim_counts.bare_given_up += bare.given_up;
}

/**
 * sim_bare() - see above; the faults have just ended
 *
 * Return: false if something did not come about that has to.
 */
bool sim_bare(void)
{
	u32 voters = sim_lists_set(sim_lists_now(), QBD_MEMBER_VOTER) |
		     sim_lists_set(sim_lists_now(), QBD_MEMBER_VOTER_OLD);

	memset(&bare, 0, sizeof(bare));
	bare.random = world.seed ^ 0x62617265ull;
	if (!sim_has(SIM_BARE, !below(2)))
		return true;
	/* Whoever was away for that comes back. */
	sim_rollbacks_step();
	if (!may_be())
		return true;
	bare.healed = bare_majority();
	if (!bare.healed || !(voters & ~bare.healed))
		return true;
	begin();
	sim_client_probe_few(bare.healed, below(2));
	if (sim_heal_within(BOUND, goes_on, "a write and a read at each host of a bare majority") &&
	    sim_heal_within(BOUND, answered, "an answer to all requests at a bare majority")) {
		bare.until = world.now + PEACE;
		sim_heal_until(peace_lasts, "the end of a while");
	}
	end();
	return !world.error;
}
