// SPDX-License-Identifier: GPL-2.0
/*
 * A bare majority has to go on, if one of it is being filled.
 *
 * Such a member counts for no majority until it is whole, and who fills it may be lost at any
 * time. What is left is enough: somebody in it has all that is committed, can be elected with
 * the vote of the one that is filled, and brings it to the end. But the new leader knows less
 * than its predecessor, and cannot find out before that.
 *
 * It is tried when all is well, at the end of some worlds in which nobody but ordinary members
 * is there, or two of these and a witness, and nothing else goes wrong meanwhile:
 *
 *   AWAY      one is cut off, until the log has passed it by
 *   FILLED    it is back, and the others write on
 *   BARE      the leader loses its power, at any moment of that; or when all extents are there,
 *             as of a commit index that the rest has not heard of. Where five are members, one
 *             more is lost. Somebody has to lead and to commit; and that member to be whole.
 *             Or, of three, the leader stays, and its disk stands still or fails what is
 *             read; it hears none but the one that is filled, and that one hears both. It
 *             must not be in their way.
 *             Or the witness leads, whose log has passed by the one that was away, too; it
 *             hears that one alone, and that one hears who has all.
 *
 * Drawn apart from the rest.
 */
#include "../../kmod/core/internal.h"
#include "sim.h"

/* Within so many steps it has to come to the moment that is waited for, or is given up. */
#define PATIENCE	20000

enum loss {
	LOSS_POWER,
	LOSS_DISK,
	LOSSES,
	LOSS_OF_SIGHT		/* of the witness */
};

static struct {
	u64 random;
	enum loss loss;
	bool hangs;		/* LOSS_DISK; else it fails reads */
	struct sim_host *leader, *filled, *witness;
	u32 kept_off;		/* bitmap of hosts */
	u64 last, term, until;
	bool moment;		/* what is waited for in FILLED: see untold() */
	u32 steps;		/* else so many steps of it */
} few;

/* A disk that stands still does so for so long after it was looked at. */
#define STILL		(150 * SIM_MS)

static u32 below(u32 bound)
{
	return sim_below_of(&few.random, bound);
}

bool sim_few_keeps_off(u32 number)
{
	return few.kept_off >> number & 1;
}

static const struct qbd_core *core_of(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	return replica && replica->phase == QBD_PHASE_RUNNING ? replica->core : NULL;
}

static bool leads(const struct sim_host *host)
{
	const struct qbd_core *core = core_of(host);

	return core && core->role == QBD_ROLE_LEADER && core->commit >= core->own_first;
}

/* Nobody but members with a vote, as they were from the beginning. */
static bool ordinary(void)
{
	const struct qbd_membership_layout *list = sim_lists_now();

	if (world.joins || world.clients || world.quiet ||
	    world.founders % 2 == 0 || world.founders < 3 ||
	    world.count != world.founders || le32_to_cpu(list->count) != world.count)
		return false;
	for (u32 i = 0; i < le32_to_cpu(list->count); i++)
		if ((le16_to_cpu(list->members[i].flags) & ~QBD_MEMBER_WITNESS) !=
		    QBD_MEMBER_VOTER)
			return false;
	/* Who heard that a copy of its disk is in its place gives no vote: one is lost already. */
	for (u32 number = 1; number <= world.count; number++)
		if (!core_of(&world.hosts[number]) ||
		    sim_replica(&world.hosts[number])->told_twice ||
		    sim_replica(&world.hosts[number])->perhaps_twice)
			return false;
	return true;
}

/* The one witness of three; NULL: there are more, or fewer members. */
static struct sim_host *only_witness(void)
{
	struct sim_host *witness = NULL;
	u32 witnesses = 0;

	for (u32 number = 1; number <= world.count; number++)
		if (world.hosts[number].witness) {
			witness = &world.hosts[number];
			witnesses++;
		}
	return witnesses == 1 && world.count == 3 ? witness : NULL;
}

/* Whoever may. */
static void write_somewhere(void)
{
	u32 stripe = below(SIM_USED_BLOCKS / SIM_STRIPE);
	struct sim_host *host = &world.hosts[1 + stripe % world.founders];

	if (host != few.filled && !host->witness && sim_client_turn(few.leader, true))
		sim_client_write(world.exclusive ? few.leader : host, stripe * SIM_STRIPE,
				 SIM_STRIPE);
}

static bool late(void)
{
	return world.steps > few.until;
}

static bool has_leader(void)
{
	for (u32 number = 1; number <= world.count; number++)
		if (leads(&world.hosts[number]))
			few.leader = &world.hosts[number];
	return few.leader;
}

/* All others have closed it: the leader is asked to write. */
static bool leader_has_it(void)
{
	bool all = true;

	for (u32 number = 1; number <= world.count; number++)
		if (&world.hosts[number] != few.leader) {
			sim_client_turn(&world.hosts[number], false);
			all &= !world.exclusive || !sim_claims_busy(&world.hosts[number]);
		}
	return (all && sim_client_turn(few.leader, true)) || late();
}

static bool log_passed_by(const struct sim_host *host)
{
	return qbd_store_first_index(sim_replica(host)->store) > few.last + 1;
}

static bool passed_by(void)
{
	if (leads(few.leader) && log_passed_by(few.leader) &&
	    (!few.witness || log_passed_by(few.witness)))
		return true;
	write_somewhere();
	return late();
}

/* All extents have come, as of what only the leader knows to be committed. */
static bool untold(void)
{
	const struct qbd_fill_target *fill = &sim_replica(few.filled)->fill;

	if (!fill->last || fill->step < QBD_FILL_ASKING)
		return false;
	for (u32 number = 1; number <= world.count; number++)
		if (&world.hosts[number] != few.leader && &world.hosts[number] != few.filled &&
		    core_of(&world.hosts[number])->commit >= fill->through_index)
			return false;
	return true;
}

static bool moment_came(void)
{
	bool filling = qbd_replica_filling(sim_replica(few.filled));

	if (late() || !leads(few.leader))
		return true;
	/* Now and then: what is committed is told with the next entry, or a heartbeat. */
	if (!below(30))
		write_somewhere();
	if (few.moment)
		return filling && untold();
	return filling && !few.steps--;
}

static bool goes_on(void)
{
	bool led = false;

	if (few.hangs)
		sim_disk_stall(few.leader, world.now + STILL);
	for (u32 number = 1; number <= world.count; number++)
		led |= leads(&world.hosts[number]) &&
		       core_of(&world.hosts[number])->term > few.term;
	return led && !qbd_replica_filling(sim_replica(few.filled));
}

/* Return: false if the world is not one for that, or it does not come to it. */
static bool come_to_be_few(void)
{
	sim_heal_until(has_leader, "a leader");
	if (world.error)
		return false;
	few.until = world.steps + PATIENCE;
	if (few.leader == few.witness)
		return false;
	do {
		few.filled = &world.hosts[1 + below(world.count)];
	} while (few.filled == few.leader || few.filled == few.witness);
	few.last = qbd_store_last_index(sim_replica(few.filled)->store);
	if (!sim_heal_until(leader_has_it, "the device claimed by the leader") || late())
		return false;
	sim_network_isolate(few.filled->number, true);
	if (!sim_heal_until(passed_by, "a log that has passed a member by") || late())
		return false;
	if (few.witness)
		return true;
	sim_network_heal();
	if (!sim_heal_until(moment_came, "a member that is filled") || late())
		return false;
	return leads(few.leader) && qbd_replica_filling(sim_replica(few.filled));
}

static void lose_the_leaders_disk(void)
{
	u32 leader = few.leader->number, other = 6 - leader - few.filled->number;

	sim_network_cut(leader, other, true);
	sim_network_cut(other, leader, true);
	few.hangs = below(2);
	if (!few.hangs)
		sim_disk_errors(few.leader, 1024, 0);
	sim_counts.few_in_the_way++;
}

/* Who has it claimed may be among the lost: that is not what is looked at. */
static void lose_the_leaders_power(void)
{
	few.kept_off = 1u << few.leader->number;
	for (u32 left = world.count / 2 - 1; left;) {
		u32 number = 1 + below(world.count);

		if (few.kept_off >> number & 1 || number == few.filled->number)
			continue;
		few.kept_off |= 1u << number;
		left--;
	}
	for (u32 number = 1; number <= world.count; number++)
		if (few.kept_off >> number & 1)
			sim_member_power_cut(&world.hosts[number]);
}

static bool witness_leads(void)
{
	const struct qbd_core *core = core_of(few.witness);

	return (core && core->role == QBD_ROLE_LEADER) || late();
}

/* Return: false if it does not come to it. */
static bool lose_sight_of_the_leader(void)
{
	u32 leader = few.leader->number, filled = few.filled->number;

	sim_network_isolate(filled, false);
	sim_network_isolate(leader, true);
	if (!sim_heal_until(witness_leads, "a witness that leads") || late())
		return false;
	few.term = core_of(few.witness)->term;
	sim_network_cut(leader, filled, false);
	sim_network_cut(filled, leader, false);
	sim_counts.few++;
	sim_counts.few_witness++;
	return true;
}

static bool lose_the_leader(void)
{
	if (few.loss == LOSS_OF_SIGHT)
		return lose_sight_of_the_leader();
	few.term = core_of(few.leader)->term;
	if (few.loss == LOSS_DISK)
		lose_the_leaders_disk();
	else
		lose_the_leaders_power();
	sim_counts.few++;
	sim_counts.few_untold += few.moment;
	return true;
}

/**
 * sim_few() - see above; all is well
 *
 * Return: false if something did not come about that has to.
 */
bool sim_few(void)
{
	memset(&few, 0, sizeof(few));
	few.random = world.seed ^ 0x6665772066657721ull;
	few.loss = below(4);
	if (world.witnesses) {
		few.loss = LOSS_OF_SIGHT;
		few.witness = only_witness();
		if (!few.witness || !ordinary())
			return true;
	} else if (few.loss >= LOSSES || !ordinary() ||
		   (few.loss == LOSS_DISK && world.count != 3)) {
		return true;
	}
	if (!sim_has(SIM_FEW, true))
		return true;
	few.moment = below(2);
	few.steps = below(60);
	if (come_to_be_few() && lose_the_leader()) {
		sim_heal_until(goes_on, "a bare majority goes on, one of which is filled");
		few.kept_off = 0;
		sim_heal_host(few.leader);
	}
	sim_network_heal();
	return !world.error && sim_heal_end_well();
}
