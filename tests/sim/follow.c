// SPDX-License-Identifier: GPL-2.0
/*
 * Who has the device claimed for himself leads before long, if he could, and if nobody wanted
 * another leader. In time as the leader's host counts it: while it stands still it cannot know.
 *
 * And nobody wants him to lead who could not. Such a one would decline, or the leader's core would,
 * but each time that it does not come off it is left alone for longer: who can by then waits.
 */
#include "../../kmod/core/internal.h"
#include "sim.h"

/* More than it takes to begin. */
#define SLACK_MS	1000u
#define SLACK_STEPS	200u
/* That it could not lead it has said by then. */
#define UNFIT_MARGIN	SIM_S
/* What the module takes for caught up. */
#define LAG_MAX		64u

/* Since when, and for how many steps, the leader of this term does not follow. */
static struct {
	u64 term, epoch;
	u64 since, steps;
} waiting;

/* Of each host: until when it lets the holder alone; since when it could not lead itself. */
static u64 tried_until[SIM_HOSTS_MAX + 1], unfit_since[SIM_HOSTS_MAX + 1];

/* In some worlds the disk of who was just given the claim stands still for a while. */
static struct {
	bool drawn;
	u64 random;
	u64 epoch;		/* the newest claim that was looked at */
} slow;

void sim_follow_begin(void)
{
	slow.random = world.seed ^ 0x736c6f77ull;
	slow.epoch = 0;
	slow.drawn = sim_has(SIM_SLOW, world.exclusive && !world.quiet &&
			     sim_below_of(&slow.random, 3) == 0);
	memset(tried_until, 0, sizeof(tried_until));
	memset(unfit_since, 0, sizeof(unfit_since));
	memset(&waiting, 0, sizeof(waiting));
}

static struct sim_host *host_of(u32 id)
{
	for (u32 number = 1; number <= world.count; number++)
		if (sim_member_id(&world.hosts[number]) == id)
			return &world.hosts[number];
	return NULL;
}

/* By what it is, and not by what others know of it. */
static bool could_lead(const struct sim_host *host, const struct sim_host *leader)
{
	const struct qbd_replica *replica = host ? sim_replica(host) : NULL;

	return replica && replica->phase == QBD_PHASE_RUNNING && !host->unsound &&
	       !host->going_down && !replica->store_failed && !replica->removed &&
	       qbd_election_able(replica->core) && replica->core->term == host->term &&
	       replica->told_leader == sim_member_id(leader) &&
	       replica->told_term == leader->term;
}

/* And nearly all of the log, and what it may take a moment to hear. */
static bool is_known(struct qbd_replica *leader, u32 id)
{
	const struct qbd_replica_peer *peer = qbd_replica_peer(leader, id);
	u64 reached = qbd_reach_own(leader);
	struct qbd_peer_status status;

	return peer && peer->up && (peer->reachable & reached) == reached &&
	       qbd_core_get_peer(leader->core, leader->now, id, &status) && status.alive &&
	       qbd_reach_same_list(leader, &status) &&
	       status.member_flags & QBD_CORE_VOTER &&
	       !(status.member_flags & QBD_CORE_WITNESS) &&
	       status.state == QBD_PEER_REPLICATE && status.flags & QBD_MESSAGE_FIT &&
	       status.match + 64 >= leader->core->trail.last;
}

/* Nobody wants that another one leads. Who was handed leadership keeps it. */
static bool is_free(const struct qbd_replica *leader, const struct qbd_claim *claim)
{
	struct qbd_core_status core;

	qbd_core_get_status(leader->core, leader->now, &core);
	return leader->settings.leader_follows && !leader->moving && !leader->change_pending &&
	       !leader->better_since && !leader->core->transfer_to &&
	       (!core.handed_over || claim->epoch >= core.own_first);
}

/* It wants to write then, and would be to lead in a moment. */
static void slow_down(const struct sim_host *leader, const struct qbd_claim *claim)
{
	struct sim_host *holder = host_of(claim->holder);

	if (!slow.drawn || world.healing || claim->epoch <= slow.epoch)
		return;
	slow.epoch = claim->epoch;
	if (!holder || holder == leader || !sim_replica(holder) || sim_below_of(&slow.random, 3))
		return;
	sim_trace("disk of host %u, which has the device claimed, stands still", holder->number);
	sim_disk_stall(holder, world.now + (1500 + sim_below_of(&slow.random, 3000)) * SIM_MS);
}

/* By what it is: its disk hangs, it is being filled, or it may not vote. */
static void note_fitness(const struct sim_host *host, const struct qbd_replica *replica)
{
	if (!host->unsound && qbd_election_able(replica->core) &&
	    !qbd_core_log_stalled(replica->core, replica->now) &&
	    !qbd_core_reads_hang(replica->core, replica->now))
		unfit_since[host->number] = 0;
	else if (!unfit_since[host->number])
		unfit_since[host->number] = world.now;
}

static const char *unfit(const struct sim_host *host, const struct qbd_replica *replica, u32 id)
{
	const struct qbd_member_layout *member = qbd_replica_member(replica, id);
	const struct sim_heard *heard = sim_heard_of(host, id);
	const struct sim_host *holder = host_of(id);
	/* It went by the time as of when its pass began. */
	u64 late = sim_host_time(host) - replica->now;
	u16 flags = member ? le16_to_cpu(member->flags) : 0;

	if (!(flags & QBD_MEMBER_VOTER) || flags & QBD_MEMBER_WITNESS)
		return "does not vote, or has no data";
	if (!heard)
		return "has not answered in this term";
	if (heard->unfit_since && heard->unfit_since < replica->now)
		return "says that it could not lead";
	if (heard->match + LAG_MAX < replica->core->trail.last)
		return "lacks too much of the log";
	if (holder && sim_replica(holder) && unfit_since[holder->number] &&
	    unfit_since[holder->number] + UNFIT_MARGIN + late < world.now &&
	    sim_replica(holder)->told_leader == sim_member_id(host) &&
	    sim_heard_lately(host, id, replica->now))
		return "could not lead";
	return NULL;
}

/* In this step it may have wanted the holder to lead, whether that comes about or not. */
static void check_try(const struct sim_host *host, const struct qbd_replica *replica, u32 id)
{
	const char *why;

	if (replica->follow_after == tried_until[host->number])
		return;
	tried_until[host->number] = replica->follow_after;
	why = replica->follow_after ? unfit(host, replica, id) : NULL;
	if (why)
		sim_fail("host %u leads, and wants member %u to, which has the device claimed and %s",
			 host->number, id, why);
}

/* All have the same priority here. */
void sim_follow_check(struct sim_host *host, struct qbd_replica *replica)
{
	const struct qbd_claim *claim = qbd_claims_committed(replica);
	u64 patience = max(1000ull, 4ull * replica->settings.election_timeout_ms);

	note_fitness(host, replica);
	if (replica->told_role != QBD_ROLE_LEADER || replica->core->role != QBD_ROLE_LEADER)
		return;
	slow_down(host, claim);
	check_try(host, replica, claim->holder);
	if (waiting.term != replica->core->term || waiting.epoch != claim->epoch)
		waiting.since = 0;
	if (claim != qbd_claims_newest(replica) || !claim->holder ||
	    claim->holder == sim_member_id(host) ||
	    !could_lead(host_of(claim->holder), host) || !is_known(replica, claim->holder) ||
	    !is_free(replica, claim)) {
		waiting.since = 0;
		return;
	}
	if (!waiting.since) {
		waiting.term = replica->core->term;
		waiting.epoch = claim->epoch;
		waiting.since = replica->now;
		waiting.steps = 0;
	}
	/* One that did not come off is begun again later. */
	if (replica->now < max(waiting.since + patience * NSEC_PER_MSEC, replica->follow_after) +
			   SLACK_MS * NSEC_PER_MSEC)
		waiting.steps = 0;
	else if (++waiting.steps > SLACK_STEPS)
		sim_fail("host %u leads; member %u has had the device claimed for %llu ms, could lead, and was not told to",
			 host->number, claim->holder,
			 (replica->now - waiting.since) / NSEC_PER_MSEC);
}
