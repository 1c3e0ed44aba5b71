// SPDX-License-Identifier: GPL-2.0
/*
 * Disks that are rolled back: an image is taken while a member is up, and at a later loss of
 * power that is what its disk holds.
 *
 * A disk that lost what it acknowledged is known by what others know of it, and they only
 * while they are up (promises.rst). So this is done
 *
 *   whose      one member's disk at a time, while all others are whole, as other faults of
 *              disks; a member that is no leader, and all is well with it
 *   when       somebody leads who heard all that this disk acknowledged of what is
 *              committed, and is connected with it; in no earlier term than this member was
 *   which      an image that is a part of what is committed: one with entries that were
 *              replaced since is not told from the disk; and whose list of members has the
 *              one who knows in it, and three voters
 *   then       this member connects with the one who knows before it does with anybody else:
 *              it could vote before. The same when its power goes once more before what it was
 *              told is on its disk; from then on it knows that by itself
 *
 * and if nobody knows any more while it is off, its disk is replaced, by a new one, or by
 * another member.
 *
 *   rolled back    who was told that it lacks something knows that, until it has it again,
 *                  also when it comes up again and nobody tells it
 *
 * Often the one who knows is lost as soon as it has said so, and another member lacks what
 * was committed with the disk's word: who had the two of them elect a leader would lose it.
 *
 * Drawn apart from the rest, of which nothing else changes so.
 */
#include "../../kmod/core/internal.h"
#include "sim.h"

enum stage {
	STAGE_NONE,
	STAGE_IMAGE,		/* there is one of @host's disk */
	STAGE_UNMET,		/* it was rolled back, and has not met @knows since it came up */
	STAGE_TOLD,		/* it was told what it lacks, by @knows */
	STAGE_LOST,		/* it was not told, and nobody knows any more */
};

static struct {
	bool enabled;
	u64 random;
	enum stage stage;
	u64 next;		/* step: of the next image, or of the first try to use it */
	u64 until;		/* step: then it is given up */
	struct sim_host *host, *knows;
	/* the image, and what its host had said then */
	struct sim_image *image;
	u64 last, durable, told_term, vote_term;
	u32 chain, vote;
	u32 voters, voters_old;	/* bitmaps, by its list */
	bool lags;		/* somebody is to lack what the disk acknowledged */
	u64 lags_until;
	u64 term, index;	/* what @knows knows of the disk */
	u32 life;		/* of @host, in which it was told */
	bool kept;		/* what it was told is on its disk */
	u32 knows_life;		/* of @knows, in which it heard that */
	u64 again_at;		/* step: the power of @host goes once more; 0: it does not */
	/* What happens to who knows: */
	u64 loss_at;		/* step */
	bool cut;		/* it is cut off; else its power goes */
	struct sim_host *away;	/* who is, until that step: */
	u64 back_at;
} rollback;

static u32 below(u32 bound)
{
	return sim_below_of(&rollback.random, bound);
}

void sim_rollbacks_begin(void)
{
	memset(&rollback, 0, sizeof(rollback));
	rollback.random = world.seed ^ 0x726f6c6c6261636bull;
	rollback.enabled = sim_has(SIM_ROLLBACKS, !world.quiet && !below(8));
	rollback.next = 500 + below(2000);
}

static void end(void)
{
	sim_disk_image_free(rollback.image);
	rollback.image = NULL;
	rollback.stage = STAGE_NONE;
	rollback.next = world.steps + 1 + below(3000);
}

void sim_rollbacks_end(void)
{
	end();
}

void sim_rollbacks_void(const struct sim_host *host)
{
	if (!rollback.stage || rollback.host != host)
		return;
	sim_network_only(host->number, 0);
	end();
}

bool sim_rollbacks_lacks(const struct sim_host *host)
{
	return rollback.stage >= STAGE_UNMET && rollback.host == host;
}

bool sim_rollbacks_unmet(const struct sim_host *host)
{
	return sim_rollbacks_lacks(host) && rollback.stage != STAGE_TOLD;
}

/* ---- the image ---------------------------------------------------------- */

/* Its replica, if all is well with it and its disk. */
static struct qbd_replica *sound(const struct sim_host *host)
{
	struct qbd_replica *replica = sim_replica(host);

	if (!replica || replica->phase != QBD_PHASE_RUNNING || host->going_down ||
	    host->unsound || host->rotten || host->rot_left || host->data_rot ||
	    host->spoiled || host->write_erred || host->failed || host->client ||
	    replica->damaged || replica->is_new || replica->removed ||
	    sim_disk_unreadable(host) || sim_disk_fails_writes(host))
		return NULL;
	return replica;
}

static bool enough(u32 voters)
{
	return __builtin_popcount(voters) >= 3;
}

static void take_image(void)
{
	struct sim_host *host = &world.hosts[1 + below(world.count)];
	const struct qbd_replica *replica = sound(host);
	const struct qbd_membership_layout *list;

	rollback.next = world.steps + 1 + below(500);
	if (!replica || !qbd_store_last_index(replica->store))
		return;
	list = qbd_replica_layout(replica);
	rollback.voters = sim_lists_set(list, QBD_MEMBER_VOTER);
	rollback.voters_old = sim_lists_set(list, QBD_MEMBER_VOTER_OLD);
	if (!enough(rollback.voters) || (rollback.voters_old && !enough(rollback.voters_old)))
		return;
	rollback.host = host;
	rollback.last = qbd_store_last_index(replica->store);
	rollback.chain = qbd_store_chain(replica->store, rollback.last);
	rollback.durable = replica->core->durable;
	rollback.told_term = host->told_term;
	rollback.vote_term = host->vote_term;
	rollback.vote = host->vote;
	rollback.image = sim_disk_image(host);
	rollback.stage = STAGE_IMAGE;
	rollback.next = world.steps + below(below(2) ? 300 : 4000);
	rollback.until = rollback.next + 4000;
	rollback.lags = below(2);
	rollback.lags_until = 0;
	sim_counts.images++;
	sim_trace("an image of the disk of host %u: log up to %llu", host->number,
		  rollback.last);
}

/* ---- it is used --------------------------------------------------------- */

/* Who leads has heard all of what is committed that this disk acknowledged. */
static bool knows_all(const struct sim_host *leader, const struct qbd_replica *replica)
{
	const struct qbd_replica *leads = sim_replica(leader);
	u32 number = rollback.host->number;
	struct qbd_peer_status peer;
	u64 run, term, index;

	if (!leads || leads->phase != QBD_PHASE_RUNNING || leader->going_down ||
	    leads->core->role != QBD_ROLE_LEADER || leads->core->term != replica->core->term ||
	    leads->core->term < rollback.host->told_term ||
	    !qbd_core_get_peer(leads->core, leads->now, number, &peer) || !peer.heard_at ||
	    !sim_network_known(leader, number, &run, &term, &index) ||
	    run != replica->session ||
	    peer.match < min(replica->core->durable, sim_invariants_committed()))
		return false;
	rollback.term = term;
	rollback.index = index;
	return true;
}

static struct sim_host *who_knows(const struct qbd_replica *replica)
{
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if (host != rollback.host && rollback.voters >> number & 1 &&
		    (!rollback.voters_old || rollback.voters_old >> number & 1) &&
		    knows_all(host, replica))
			return host;
	}
	return NULL;
}

/* Is there another voter that lacks what is committed? */
static bool somebody_lags(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct sim_host *host = &world.hosts[number];
		const struct qbd_replica *replica = sim_replica(host);

		if (host == rollback.host || !sim_lists_has(number) || !replica ||
		    replica->phase != QBD_PHASE_RUNNING)
			continue;
		if (qbd_store_last_index(replica->store) < sim_invariants_committed())
			return true;
	}
	return false;
}

/* Data for another one stands still until then. */
static void let_one_lag(const struct sim_host *leader)
{
	u32 number = 1 + below(world.count);

	if (number == leader->number || number == rollback.host->number)
		return;
	rollback.lags_until = world.now + 2 * SIM_S;
	sim_network_bulk_stall(leader->number, number, rollback.lags_until);
}

static void roll_back(void)
{
	struct sim_host *host = rollback.host;

	sim_trace("rolled back: host %u, to %llu; host %u knows of %llu", host->number,
		  rollback.last, rollback.knows->number, rollback.index);
	sim_member_power_cut(host);
	sim_disk_restore(host, rollback.image);
	sim_disk_image_free(rollback.image);
	rollback.image = NULL;
	host->durable = rollback.durable;
	host->told_term = rollback.told_term;
	host->vote_term = rollback.vote_term;
	host->vote = rollback.vote;
	host->was_filling = false;
	host->spoiled = false;
	host->rotten = false;
	host->unsound = true;
	host->rolled_back = true;
	sim_counts.rolled_back++;
	rollback.stage = STAGE_UNMET;
	rollback.loss_at = 0;
	rollback.again_at = 0;
	rollback.knows_life = rollback.knows->life;
	sim_network_only(host->number, rollback.knows->number);
	if (below(4))
		sim_member_power_on(host);
}

static void use_image(void)
{
	struct sim_host *host = rollback.host;
	const struct qbd_replica *replica = sound(host);

	if (world.steps >= rollback.until) {
		end();
		return;
	}
	if (!replica || replica->core->role == QBD_ROLE_LEADER || world.voters_min < 3 ||
	    !sim_lists_has(host->number) || !sim_faults_others_whole(host) ||
	    !sim_invariants_is_committed(rollback.last, rollback.chain))
		return;
	rollback.knows = who_knows(replica);
	if (!rollback.knows || rollback.last >= rollback.index)
		return;
	if (rollback.lags && rollback.lags_until <= world.now)
		let_one_lag(rollback.knows);
	if (rollback.lags && !somebody_lags())
		return;
	roll_back();
}

/* ---- what becomes of it ------------------------------------------------- */

void sim_rollbacks_met(struct sim_host *host, u32 peer, u64 index)
{
	if (rollback.stage != STAGE_UNMET || rollback.host != host ||
	    peer != rollback.knows->number)
		return;
	sim_trace("host %u is told that it had %llu", host->number, index);
	rollback.index = max(rollback.index, index);
	rollback.stage = STAGE_TOLD;
	rollback.life = host->life;
	rollback.kept = false;
	sim_counts.rollbacks_known++;
	sim_network_only(host->number, 0);
	if (world.healing || rollback.loss_at || rollback.away)
		return;
	rollback.again_at = 0;
	if (!below(3)) {
		/* What it was told it may have forgotten then, and who knows has not. */
		rollback.again_at = world.steps + 1 + below(200);
		sim_network_bulk_stall(peer, host->number, world.now + below(500) * SIM_MS);
		return;
	}
	rollback.loss_at = world.steps + (below(2) ? 0 : below(2) ? below(60) : ~0u);
	rollback.cut = below(2);
}

static void cut_again(void)
{
	rollback.again_at = 0;
	sim_member_power_cut(rollback.host);
	sim_member_power_on(rollback.host);
}

/* Who knows is lost for a while, be it that the disk has got all or not. */
static void lose_who_knows(void)
{
	struct sim_host *host = rollback.knows;

	rollback.loss_at = ~0ull;
	rollback.away = host;
	rollback.back_at = world.steps + 300 + below(2000);
	sim_trace("host %u, which knew, is %s", host->number, rollback.cut ? "cut off" : "off");
	if (!rollback.cut) {
		sim_member_power_cut(host);
		return;
	}
	for (u32 other = 1; other <= world.count; other++) {
		sim_network_cut(host->number, other, other != host->number);
		sim_network_cut(other, host->number, other != host->number);
	}
}

static void bring_back(void)
{
	struct sim_host *host = rollback.away;

	rollback.away = NULL;
	for (u32 other = 1; rollback.cut && other <= world.count; other++) {
		sim_network_cut(host->number, other, false);
		sim_network_cut(other, host->number, false);
	}
	sim_member_power_on(host);
}

static bool still_knows(void)
{
	u64 run, term, index;

	/* While it is up, and no list has left the other one out meanwhile. */
	if (!world.joins && rollback.knows->life == rollback.knows_life &&
	    sim_replica(rollback.knows) &&
	    (!sim_network_known(rollback.knows, rollback.host->number, &run, &term, &index) ||
	     index < rollback.index))
		sim_fail("host %u knew that host %u had %llu, and has forgotten it",
			 rollback.knows->number, rollback.host->number, rollback.index);
	return sim_network_known(rollback.knows, rollback.host->number, &run, &term, &index) &&
	       index >= rollback.index && term >= rollback.term;
}

static void watch_unmet(void)
{
	if (still_knows())
		return;
	if (world.error)
		return;
	sim_trace("nobody knows any more what host %u had", rollback.host->number);
	sim_counts.rollbacks_lost++;
	rollback.stage = STAGE_LOST;
	/* With itself: with nobody. */
	sim_network_only(rollback.host->number, rollback.host->number);
}

/* Is it on the disk that it lacks something? It has to be when all was written. */
static bool is_written(const struct qbd_replica *replica)
{
	const struct qbd_state_writer *state = &replica->store->state;

	if (!replica->damaged || replica->damaged_through < rollback.index || state->writing ||
	    state->durable != state->wanted || replica->store->failed)
		return false;
	if (state->disk.durable_index < rollback.index || state->disk.term < rollback.term ||
	    (state->disk.term == rollback.term && !state->disk.vote))
		sim_fail("host %u was told that it had %llu, in term %llu, and has not written that down",
			 rollback.host->number, rollback.index, rollback.term);
	return !world.error;
}

static void now_it_is_kept(void)
{
	rollback.kept = true;
	sim_counts.rollbacks_kept++;
	sim_trace("the disk of host %u says that it had %llu", rollback.host->number,
		  rollback.index);
	if (world.healing || rollback.away || below(2))
		return;
	/* Who told it goes, and so does it, and comes back alone. */
	rollback.cut = below(2);
	lose_who_knows();
	cut_again();
}

static void watch_told(void)
{
	const struct sim_host *host = rollback.host;
	const struct qbd_replica *replica = sim_replica(host);

	if (host->life != rollback.life && !rollback.kept) {
		rollback.stage = STAGE_UNMET;
		sim_network_only(host->number, rollback.knows->number);
		return;
	}
	if (!replica || replica->phase != QBD_PHASE_RUNNING)
		return;
	if (!rollback.kept && is_written(replica)) {
		now_it_is_kept();
		return;
	}
	if (replica->damaged || qbd_replica_filling(replica))
		return;
	if (replica->core->durable < rollback.index)
		sim_fail("host %u was rolled back, was told that it had %llu, has %llu, and takes that for all",
			 host->number, rollback.index, replica->core->durable);
	sim_trace("host %u has again what it had", host->number);
	end();
}

/* As one that failed: it does not come up with that disk again. */
static void replace(void)
{
	struct sim_host *host = rollback.host;

	sim_member_power_cut(host);
	host->failed = true;
	if (!sim_lists_has(host->number))
		sim_rollbacks_void(host);
	else
		sim_faults_new_disk(host);
}

void sim_rollbacks_step(void)
{
	if (!rollback.enabled || world.error)
		return;
	if (rollback.away && (world.steps >= rollback.back_at || world.healing))
		bring_back();
	switch (rollback.stage) {
	case STAGE_NONE:
		if (world.steps >= rollback.next && !world.healing)
			take_image();
		break;
	case STAGE_IMAGE:
		if (world.healing)
			end();
		else if (world.steps >= rollback.next && world.steps % 4 == 0)
			use_image();
		break;
	case STAGE_UNMET:
		watch_unmet();
		break;
	case STAGE_TOLD:
		watch_told();
		if (rollback.stage == STAGE_TOLD && rollback.again_at && !world.healing &&
		    world.steps >= rollback.again_at)
			cut_again();
		if (rollback.stage == STAGE_TOLD && rollback.loss_at && !world.healing &&
		    world.steps >= rollback.loss_at)
			lose_who_knows();
		break;
	default:
		replace();
		break;
	}
}
