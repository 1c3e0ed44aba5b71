// SPDX-License-Identifier: GPL-2.0
/*
 * Who has the device claimed for himself leads before long, if he could, and if nobody wanted
 * another leader. In time as the leader's host counts it: while it stands still it cannot know.
 */
#include "../../kmod/core/internal.h"
#include "sim.h"

/* More than it takes to begin. */
#define SLACK_MS	1000u
#define SLACK_STEPS	200u

/* Since when, and for how many steps, the leader of this term does not follow. */
static struct {
	u64 term, epoch;
	u64 since, steps;
} waiting;

void sim_follow_begin(void)
{
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

/* All have the same priority here. */
void sim_follow_check(struct sim_host *host, struct qbd_replica *replica)
{
	const struct qbd_claim *claim = qbd_claims_committed(replica);
	u64 patience = max(1000ull, 4ull * replica->settings.election_timeout_ms);

	if (replica->told_role != QBD_ROLE_LEADER || replica->core->role != QBD_ROLE_LEADER)
		return;
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
