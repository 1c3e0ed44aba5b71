// SPDX-License-Identifier: GPL-2.0
/*
 * Plans: several faults, each of which waits for what the one before brought about.
 *
 * What takes three rare things one after another, each at its moment, does not happen by
 * chance. A plan begins with a cluster that is well, and is given up when something that it
 * waits for does not come. The other faults of the run go on meanwhile.
 *
 *   rivals          the leader's lease stands, some members hear nothing of it and campaign:
 *                   those whom it rests on restart, or lose their processor
 *   late answers    a round is answered, the answers come when nobody hears the leader
 *   transfer        who was told to campaign is not heard by who told it
 *   two leaders     one leads, an earlier one takes itself for the leader: a member of the
 *                   new one's majority gets a new disk, and hears of the earlier one alone
 *   hidden vote     the newest state block cannot be read when its member comes back
 *   strayed         a leader's own entries are dead, the first of them rots, its log goes on
 *                   as the others', and its power goes again
 *   sent again      a record is lost, which only one behind it tells of; power goes again when
 *                   both are written anew
 *   lost table      a block of the extent table is lost, and power goes when it is written
 *   earlier term    a leader's entries reach the others under a later one of its own, while
 *                   somebody else has an entry of a term between them (thesis, figure 3.7)
 *   there and back  a request stands still on its way until its receiver leads once more; who
 *                   sent it may have lost its power meanwhile, and written there again
 *   filled twice    the log has passed a member by, and does so again before it has got much
 *                   of what it missed; the second time little is written
 *   cut off         a leader's own entries are dead, some of them on their way to its disk;
 *                   its log is cut, and power goes when it goes on
 *   replaced        a new disk has got a part of the log when who sent it is lost
 *   failing disk    a disk fails writes for a while
 *   young member    who has just joined has got older lists, a part of the log, or nothing,
 *                   when its power goes, or that of all. (Where members come and go.)
 *
 * And in some worlds in which the mode of claims changes, beside those:
 *
 *   leader of the   a leader is cut off, stands still, has handed leadership over unheard, or
 *   past            gets late answers; another one gives a host a claim, and then somebody
 *                   opens the device who hears of the earlier one alone
 */
#include "sim.h"

#define TIMEOUT		(150 * SIM_MS)		/* of elections */

struct plan {
	const char *name;
	/* Called after each step; false: it is over. */
	bool (*go_on)(void);
	/* May it be made where members come and go, and where they do not? */
	bool joins, stays;
	u32 patience;		/* seconds for a stage; 0: five */
};

static struct {
	const struct plan *plan;	/* NULL: there is none */
	u32 stage;
	u64 since;		/* time at which the stage began */
	u64 wait_until;		/* step */
	u64 random;
	struct sim_host *leader, *other, *third;
	u64 term, index;
	u32 rivals, swing;	/* bitmaps of hosts */
	u32 past;		/* enum past */
	u32 silent;		/* likewise: their users ask for nothing */
} current;

/* When the next one about claims is due, where there are any. */
static struct {
	u64 at;			/* step */
	u64 random;
} claims;

static u32 below(u32 bound)
{
	return sim_below_of(&current.random, bound);
}

static void next_stage(u32 steps)
{
	sim_trace("plan %s, stage %u is over", current.plan->name, current.stage);
	current.stage++;
	current.since = world.now;
	current.wait_until = world.steps + steps;
}

/* ---- what is waited for ------------------------------------------------- */

static const struct qbd_core *core_of(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	return replica && replica->phase == QBD_PHASE_RUNNING && !replica->core->failed ?
	       replica->core : NULL;
}

static bool leads(const struct sim_host *host)
{
	const struct qbd_core *core = core_of(host);

	return core && core->role == QBD_ROLE_LEADER;
}

/* It leads, and has committed something of its own. */
static bool leads_well(const struct sim_host *host)
{
	return leads(host) && core_of(host)->commit >= core_of(host)->own_first;
}

static bool has_lease(const struct sim_host *host)
{
	return leads(host) && qbd_core_lease_valid(core_of(host), sim_host_time(host));
}

/* The leader that everybody follows, if all is well; else NULL. */
static struct sim_host *common_leader(void)
{
	struct sim_host *leader = NULL;

	for (u32 number = 1; number <= world.count; number++)
		if (has_lease(&world.hosts[number]))
			leader = &world.hosts[number];
	for (u32 number = 1; leader && number <= world.count; number++) {
		const struct sim_host *host = &world.hosts[number];
		const struct qbd_core *core = core_of(host);

		if (!core || host->unsound || host->paused_until > world.now ||
		    core->leader != leader->number || core->term != core_of(leader)->term)
			return NULL;
	}
	return leader;
}

/* Where members come and go there is always one who is away. */
static struct sim_host *some_leader(void)
{
	for (u32 number = 1; number <= world.count; number++)
		if (leads_well(&world.hosts[number]))
			return &world.hosts[number];
	return NULL;
}

/* Where each plan begins. */
static bool all_well(void)
{
	current.leader = world.joins ? some_leader() : common_leader();
	if (!current.leader)
		return false;
	current.term = core_of(current.leader)->term;
	current.index = core_of(current.leader)->commit;
	return true;
}

/* @many hosts that are not in @without. */
static u32 some_hosts(u32 many, u32 without)
{
	u32 chosen = 0;

	while (many--) {
		u32 left = 0, number, nth;

		for (number = 1; number <= world.count; number++)
			left += !((chosen | without) >> number & 1);
		if (!left)
			break;
		nth = below(left);
		for (number = 1; (chosen | without) >> number & 1 || nth--; number++)
			;
		chosen |= 1u << number;
	}
	return chosen;
}

static struct sim_host *some_host(u32 without)
{
	u32 chosen = some_hosts(1, without);

	return chosen ? &world.hosts[__builtin_ctz(chosen)] : NULL;
}

static u32 bit(const struct sim_host *host)
{
	return 1u << host->number;
}

/* ---- what is done ------------------------------------------------------- */

static void cut_between(u32 from, u32 to)
{
	for (u32 a = 1; a <= world.count; a++)
		for (u32 b = 1; b <= world.count; b++)
			if (a != b && from >> a & 1 && to >> b & 1)
				sim_network_cut(a, b, true);
}

static void split(u32 side)
{
	cut_between(side, ~side);
	cut_between(~side, side);
}

static void restart(struct sim_host *host)
{
	sim_member_power_cut(host);
	sim_member_power_on(host);
}

/* Its users go on, as long as it leads. */
static void write_there(struct sim_host *host, u32 entries)
{
	if (leads(host) && core_of(host)->trail.last < core_of(host)->commit + entries)
		sim_client_work(host);
}

/* ---- rivals ------------------------------------------------------------- */

static bool somebody_campaigns(u32 among)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_core *core = core_of(&world.hosts[number]);

		if (among >> number & 1 && core && (core->role == QBD_ROLE_PRECANDIDATE ||
						    core->role == QBD_ROLE_CANDIDATE))
			return true;
	}
	return false;
}

static void disturb_supporters(bool by_restart)
{
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if (!(current.swing >> number & 1))
			continue;
		if (by_restart)
			restart(host);
		else
			host->preempt_for = TIMEOUT / 4 + below(2 * TIMEOUT);
	}
	if (by_restart)
		split(bit(current.leader));
}

static bool supporters_preempted(void)
{
	for (u32 number = 1; number <= world.count; number++)
		if (current.swing >> number & 1 && (world.hosts[number].preempt_for ||
						    world.hosts[number].preempted))
			return true;
	return false;
}

static bool rivals(void)
{
	bool by_restart;

	switch (current.stage) {
	case 0:
		/* As few as may be have to be won over. */
		current.rivals = some_hosts((world.count - 1) / 2, bit(current.leader));
		current.swing = some_hosts(world.count / 2 + 1 - (world.count - 1) / 2,
					   bit(current.leader) | current.rivals);
		cut_between(bit(current.leader), current.rivals);
		cut_between(current.rivals, bit(current.leader));
		next_stage(0);
		return true;
	case 1:
		if (!has_lease(current.leader))
			return false;
		if (!somebody_campaigns(current.rivals))
			return true;
		by_restart = below(2);
		disturb_supporters(by_restart);
		next_stage(0);
		return !by_restart;
	default:
		if (supporters_preempted())
			return true;
		/* What it sent meanwhile they have; and now no more. */
		cut_between(bit(current.leader), current.swing);
		return false;
	}
}

/* ---- late answers ------------------------------------------------------- */

static bool late_answers(void)
{
	u32 leader = current.leader->number;

	switch (current.stage) {
	case 0:
		current.swing = some_hosts(world.count / 2, bit(current.leader));
		current.index = world.now + TIMEOUT / 2 + below(2 * TIMEOUT);
		for (u32 number = 1; number <= world.count; number++)
			if (current.swing >> number & 1)
				sim_network_stall(number, leader, current.index);
		next_stage(0);
		return true;
	case 1:
		for (u32 number = 1; number <= world.count; number++)
			if (current.swing >> number & 1 &&
			    !sim_network_waits(number, leader, false))
				return true;
		/* Some of the rounds that they answer now are the last that came. */
		next_stage(below(60));
		return true;
	default:
		cut_between(bit(current.leader), ~bit(current.leader));
		cut_between(~(current.swing | bit(current.leader)), bit(current.leader));
		return false;
	}
}

/* ---- transfer ----------------------------------------------------------- */

static bool was_told_to_campaign(const struct qbd_core *core)
{
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
		if (core->peers[slot].barrier)
			return true;
	return core->transfer_sent;
}

static bool transfer(void)
{
	if (current.stage == 0) {
		current.other = some_host(bit(current.leader));
		sim_member_move_leader(current.leader, current.other->number);
		next_stage(0);
		return true;
	}
	if (!leads(current.leader) || core_of(current.leader)->term != current.term)
		return false;
	if (!core_of(current.leader)->transfer_sent &&
	    !was_told_to_campaign(core_of(current.leader)))
		return true;
	cut_between(~bit(current.leader), bit(current.leader));
	return false;
}

/* ---- two leaders -------------------------------------------------------- */

static struct sim_host *later_leader(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if (host != current.leader && leads_well(host) &&
		    core_of(host)->term > current.term)
			return host;
	}
	return NULL;
}

static bool two_leaders(void)
{
	switch (current.stage) {
	case 0:
		/* The new one's majority is to be the smallest there is. */
		if (world.count % 2 == 0)
			return false;
		current.swing = bit(current.leader) |
				some_hosts(world.count / 2 - 1, bit(current.leader));
		split(current.swing);
		if (below(4))
			current.leader->paused_until = world.now + 20 * TIMEOUT;
		next_stage(0);
		return true;
	case 1:
		if (!leads(current.leader))
			return false;
		current.other = later_leader();
		if (!current.other)
			return true;
		current.third = some_host(current.swing | bit(current.other));
		if (!sim_faults_others_whole(current.third))
			return false;
		sim_faults_new_disk(current.third);
		sim_network_heal();
		split(current.swing | bit(current.third));
		current.leader->paused_until = world.now;
		next_stage(0);
		return true;
	default:
		return leads(current.leader);
	}
}

/* ---- hidden vote -------------------------------------------------------- */

static bool said_what_is_there_once(const struct sim_host *host)
{
	const struct qbd_core *core = core_of(host);
	const struct qbd_store *store = core ? sim_replica(host)->store : NULL;

	return core && core->term > current.term && host->told_term == core->term &&
	       !store->state.mirrored && !store->state.writing;
}

static bool hidden_vote(void)
{
	const struct qbd_store *store;

	switch (current.stage) {
	case 0:
		current.other = world.worst_disk ? &world.hosts[world.worst_disk] :
						   some_host(bit(current.leader));
		if (!world.rots || current.other == current.leader)
			return false;
		split(bit(current.leader));
		next_stage(0);
		return true;
	case 1:
		if (!said_what_is_there_once(current.other))
			return true;
		if (!sim_faults_others_whole(current.other))
			return false;
		store = sim_replica(current.other)->store;
		current.index = QBD_STATE_SLOT_BLOCK(store->state.slot);
		sim_faults_spoil(current.other, &current.index, 1, SIM_ROT_UNREADABLE);
		next_stage(0);
		return true;
	default:
		if (world.now < current.since + SIM_S)
			return true;
		if (current.other->powered && !current.other->network &&
		    !current.other->failed) {
			sim_disk_readable(current.other);
			restart(current.other);
		}
		return false;
	}
}

/* ---- strayed ------------------------------------------------------------ */

/*
 * It has entries that can come to nothing, its state block says that it has them, and they
 * reach further than what the others have.
 */
static bool has_strayed(const struct sim_host *host)
{
	const struct qbd_core *core = core_of(host);
	const struct qbd_store *store = sim_replica(host)->store;
	const struct sim_host *leader = later_leader();

	return leader && core_of(leader)->commit > core->commit &&
	       store->log.durable_index > core_of(leader)->trail.last + 2 &&
	       store->log.durable_index > core->commit + 1 &&
	       store->state.disk.durable_index > core->commit + 1 &&
	       store->state.mirrored && !store->state.writing &&
	       qbd_log_in_ring(store, core->commit + 1);
}

static bool strayed(void)
{
	const struct qbd_store *store;
	u64 position, block;

	switch (current.stage) {
	case 0:
		if (!world.rots || (world.worst_disk &&
				    world.worst_disk != current.leader->number))
			return false;
		/* What takes the place of its entries is to be shorter than they are. */
		current.silent = ~bit(current.leader);
		split(bit(current.leader));
		next_stage(0);
		return true;
	case 1:
		if (!core_of(current.leader))
			return false;
		if (!has_strayed(current.leader)) {
			sim_client_work(current.leader);
			return true;
		}
		if (!sim_faults_others_whole(current.leader))
			return false;
		store = sim_replica(current.leader)->store;
		current.index = core_of(current.leader)->commit;
		position = qbd_log_position(store, current.index + 1);
		block = store->geometry.log_block + position % store->geometry.log_blocks;
		current.silent = ~0u;
		sim_network_heal();
		/* Most of a record's first block holds nothing: all of it goes. */
		sim_faults_spoil(current.leader, &block, 1,
				 below(4) ? SIM_ROT_MISDIRECTED : SIM_ROT_UNREADABLE);
		next_stage(0);
		return true;
	case 2:
		if (!core_of(current.leader) || sim_replica(current.leader)->damaged ||
		    core_of(current.leader)->durable <= current.index)
			return true;
		next_stage(10 + below(60));
		return true;
	default:
		restart(current.leader);
		return false;
	}
}

/* ---- sent again --------------------------------------------------------- */

/*
 * The last record that is durable there, if it alone tells that the one before it was: the
 * state block says less, and it is not applied. 0: it does not.
 */
static u64 only_proof(const struct sim_host *host)
{
	const struct qbd_store *store = core_of(host) ? sim_replica(host)->store : NULL;
	const struct qbd_record *record;
	u64 last;

	if (!store || store->state.writing || sim_replica(host)->damaged)
		return 0;
	last = store->log.durable_index;
	if (last != store->log.last_index || last < store->log.first_index + 2 ||
	    store->state.disk.durable_index >= last - 1 ||
	    store->state.disk.applied_index >= last - 1)
		return 0;
	record = qbd_log_slot(store, last)->record;
	return record && le64_to_cpu(record->header->local.durable_index) == last - 1 ? last : 0;
}

static bool sent_again(void)
{
	const struct qbd_store *store;
	u64 block;

	switch (current.stage) {
	case 0:
		if (!current.other)
			current.other = world.worst_disk ? &world.hosts[world.worst_disk] :
							   some_host(bit(current.leader));
		if (!world.rots || current.other == current.leader)
			return false;
		current.index = only_proof(current.other);
		if (!current.index) {
			write_there(current.leader, 2);
			return true;
		}
		if (!sim_faults_others_whole(current.other))
			return false;
		store = sim_replica(current.other)->store;
		block = store->geometry.log_block +
			qbd_log_position(store, current.index - 1) % store->geometry.log_blocks;
		sim_faults_spoil(current.other, &block, 1, SIM_ROT_MISDIRECTED);
		next_stage(0);
		return true;
	default:
		if (!core_of(current.other))
			return true;
		store = sim_replica(current.other)->store;
		if (store->log.durable_index >= current.index - 1)
			return false;
		if (store->log.submitted_index < current.index)
			return true;
		restart(current.other);
		return false;
	}
}

/* ---- lost table --------------------------------------------------------- */

static bool lost_table(void)
{
	struct sim_host *host;
	u64 blocks[2], number;

	switch (current.stage) {
	case 0:
		host = world.worst_disk ? &world.hosts[world.worst_disk] :
					  some_host(bit(current.leader));
		if (!world.rots || host == current.leader ||
		    !sim_faults_others_whole(host))
			return false;
		number = sim_place(below(SIM_USED_BLOCKS)) /
			 (QBD_EXTENTS_PER_BLOCK << (QBD_EXTENT_SHIFT_MIN - QBD_BLOCK_SHIFT));
		blocks[0] = QBD_EXTENT_TABLE_BLOCK + number;
		blocks[1] = QBD_EXTENT_JOURNAL_BLOCK + number % QBD_EXTENT_JOURNAL_BLOCKS;
		current.other = host;
		current.index = blocks[0];
		sim_faults_spoil(host, blocks, 2, below(2) ? SIM_ROT_BIT : SIM_ROT_SECTOR);
		next_stage(0);
		return true;
	case 1:
		if (!current.other->powered)
			return false;
		if (qbd_extent_block_check((const void *)sim_disk_look(current.other,
								       current.index),
					   current.index, sim_uuid) != QBD_BLOCK_GOOD)
			return true;
		next_stage(below(3));
		return true;
	default:
		restart(current.other);
		return false;
	}
}

/* ---- earlier term ------------------------------------------------------- */

static struct sim_host *leader_after(u64 term)
{
	for (u32 number = 1; number <= world.count; number++)
		if (leads(&world.hosts[number]) && core_of(&world.hosts[number])->term > term)
			return &world.hosts[number];
	return NULL;
}

/* They get some of the earlier entries, and for a while no more. */
static void hold_back_own_term(void)
{
	u32 earlier = core_of(current.leader)->own_first - 1 - current.index;

	for (u32 number = 1; number <= world.count; number++)
		if (number != current.leader->number)
			sim_network_bulk_pass(current.leader->number, number,
					      1 + below(earlier), world.now + 3 * TIMEOUT);
}

static bool earlier_term(void)
{
	switch (current.stage) {
	case 0:
		current.silent = ~0u;
		split(bit(current.leader));
		next_stage(0);
		return true;
	case 1:
		write_there(current.leader, 4);
		current.other = leader_after(current.term);
		if (!current.other)
			return true;
		/* What it begins with nobody else gets, and of those who are left none may lead. */
		current.index = core_of(current.other)->own_first - 1;
		current.swing = bit(current.other) |
				some_hosts((world.count - 1) / 2 - 1,
					   bit(current.leader) | bit(current.other));
		sim_network_heal();
		split(current.swing);
		cut_between(bit(current.other), ~bit(current.other));
		next_stage(0);
		return core_of(current.leader) &&
		       core_of(current.leader)->trail.last > current.index;
	case 2:
		if (!core_of(current.other))
			return false;
		if (!leads(current.leader) ||
		    core_of(current.leader)->term <= core_of(current.other)->term)
			return true;
		hold_back_own_term();
		next_stage(0);
		return true;
	default:
		return leads(current.leader) && !leads_well(current.leader);
	}
}

/* ---- there and back ----------------------------------------------------- */

/* The same block each time, one that this host may write wherever that matters. */
static void write_again(struct sim_host *host)
{
	sim_client_write(host, (host->number - 1) * SIM_STRIPE, 1);
}

/* The leader hears of its next run when it is connected to it, which takes a while. */
static void lose_sender(void)
{
	cut_between(bit(current.third), bit(current.leader));
	cut_between(bit(current.leader), bit(current.third));
	restart(current.third);
}

/* By the new run, elsewhere. */
static bool written_again(void)
{
	const struct qbd_core *core = core_of(current.third);

	if (!core || core->leader != current.other->number)
		return false;
	write_again(current.third);
	return true;
}

static bool there_and_back(void)
{
	switch (current.stage) {
	case 0:
		current.other = some_host(bit(current.leader));
		current.third = some_host(bit(current.leader) | bit(current.other));
		current.swing = below(2);
		sim_network_bulk_stall(current.third->number, current.leader->number,
				       world.now + 10 * SIM_S);
		next_stage(0);
		return true;
	case 1:
		if (!leads(current.leader))
			break;
		if (current.swing)
			write_again(current.third);
		if (!sim_network_waits(current.third->number, current.leader->number, true))
			return true;
		if (current.swing)
			lose_sender();
		sim_member_move_leader(current.leader, current.other->number);
		next_stage(0);
		return true;
	case 2:
		if (!leads_well(current.other) || (current.swing && !written_again()))
			return true;
		next_stage(current.swing ? below(100) : 100 + below(600));
		return true;
	case 3:
		if (!leads(current.other))
			break;
		sim_member_move_leader(current.other, current.leader->number);
		next_stage(0);
		return true;
	default:
		if (!leads_well(current.leader))
			return true;
		break;
	}
	sim_network_bulk_stall(current.third->number, current.leader->number, world.now);
	sim_network_cut(current.third->number, current.leader->number, false);
	return false;
}

/* ---- filled twice ------------------------------------------------------- */

/* Somebody who leads has no log any more that begins where this one ends. */
static bool passed_by(u64 last)
{
	for (u32 number = 1; number <= world.count; number++)
		if (leads(&world.hosts[number]) &&
		    qbd_store_first_index(sim_replica(&world.hosts[number])->store) > last + 1)
			return true;
	return false;
}

static void write_stripe(u32 stripe)
{
	sim_client_write(&world.hosts[1 + stripe % world.founders], stripe * SIM_STRIPE,
			 SIM_STRIPE);
}

static bool is_being_filled(const struct sim_host *host)
{
	const struct qbd_store *store = core_of(host) ? sim_replica(host)->store : NULL;

	return store && store->fill.active && !store->fill.resetting &&
	       !store->state.writing;
}

static bool filled_twice(void)
{
	switch (current.stage) {
	case 0:
		current.other = some_host(bit(current.leader));
		current.index = qbd_store_last_index(sim_replica(current.other)->store);
		current.silent = ~0u;
		split(bit(current.other));
		next_stage(0);
		return true;
	case 1:
		write_stripe(below(SIM_USED_BLOCKS / SIM_STRIPE));
		if (!passed_by(current.index))
			return true;
		sim_network_heal();
		next_stage(0);
		return true;
	case 2:
		if (!is_being_filled(current.other))
			return true;
		split(bit(current.other));
		next_stage(200);
		return true;
	case 3:
		if (!is_being_filled(current.other))
			return false;
		/* What it has got of the log by now is not enough either. */
		write_stripe(below(4) ? current.leader->number - 1 :
					below(world.founders));
		if (!passed_by(qbd_store_last_index(sim_replica(current.other)->store)))
			return true;
		if (below(2))
			restart(current.other);
		sim_network_heal();
		current.silent = 0;
		next_stage(0);
		return true;
	default:
		return !current.other->whole;
	}
}

/* ---- cut off ------------------------------------------------------------ */

static bool cut_off(void)
{
	const struct qbd_store *store;

	switch (current.stage) {
	case 0:
		current.silent = ~bit(current.leader);
		split(bit(current.leader));
		current.swing = below(2);
		next_stage(0);
		return true;
	case 1:
		write_there(current.leader, 2 + below(20));
		/* Some are written when their place is needed again. */
		if (current.swing && core_of(current.leader) &&
		    core_of(current.leader)->trail.last > current.index &&
		    sim_disk_hold_writes(current.leader,
					 world.now + (3 + below(6)) * TIMEOUT))
			current.swing = 0;
		current.other = leader_after(current.term);
		if (!current.other || !leads_well(current.other))
			return true;
		if (!core_of(current.leader) ||
		    core_of(current.leader)->trail.last <= core_of(current.leader)->commit)
			return false;
		current.index = sim_replica(current.leader)->store->log.generation;
		current.silent = 0;
		sim_network_heal();
		next_stage(0);
		return true;
	case 2:
		if (!core_of(current.leader))
			return false;
		store = sim_replica(current.leader)->store;
		/* What takes their place is to come at once. */
		write_there(current.other, 8);
		if (store->log.generation == current.index)
			return true;
		next_stage(below(80));
		return true;
	default:
		restart(current.leader);
		return false;
	}
}

/* ---- replaced ----------------------------------------------------------- */

static bool replaced(void)
{
	const struct qbd_core *core;

	switch (current.stage) {
	case 0:
		current.other = some_host(bit(current.leader));
		if (world.count % 2 == 0 || !sim_faults_others_whole(current.other))
			return false;
		sim_faults_new_disk(current.other);
		next_stage(0);
		return true;
	case 1:
		if (!leads(current.leader))
			return false;
		core = core_of(current.other);
		if (!core || core->leader != current.leader->number)
			return true;
		sim_network_bulk_pass(current.leader->number, current.other->number, below(12),
				      world.now + 6 * TIMEOUT);
		next_stage(50 + below(200));
		return true;
	case 2:
		current.silent = bit(current.leader);
		split(bit(current.leader));
		next_stage(0);
		return true;
	case 3:
		if (!later_leader())
			return true;
		next_stage(below(200));
		return true;
	default:
		return !current.other->whole;
	}
}

/* ---- failing disk ------------------------------------------------------- */

static bool failing_disk(void)
{
	switch (current.stage) {
	case 0:
		current.other = world.worst_disk ? &world.hosts[world.worst_disk] :
						   some_host(bit(current.leader));
		if (!current.other || !current.other->powered ||
		    current.other == current.leader ||
		    !sim_faults_fail_writes(current.other, 50 + below(800)))
			return false;
		next_stage(20 + below(400));
		return true;
	case 1:
		sim_disk_errors(current.other, 0, 0);
		next_stage(below(1000));
		return true;
	default:
		/* Somebody puts another one there. */
		if (current.other->failed)
			sim_faults_new_disk(current.other);
		return false;
	}
}

/* ---- young member ------------------------------------------------------- */

enum youth {
	YOUNG_OUTAGE,		/* the leader that comes then may know of an older list */
	YOUNG_WITH_LOG,
	YOUNG_FILLED,
	YOUNG_END
};

/* It is to be filled: the log has passed its beginning. */
static bool log_begins_late(void)
{
	if (qbd_store_first_index(sim_replica(current.leader)->store) > 1)
		return true;
	write_stripe(below(SIM_USED_BLOCKS / SIM_STRIPE));
	return false;
}

static bool is_young_enough(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	if (current.swing == YOUNG_OUTAGE)
		return host->exists;
	if (!core_of(host))
		return false;
	if (current.swing == YOUNG_FILLED)
		return replica->fill.step;
	return replica->store->log.memberships &&
	       replica->configs[0].index > qbd_store_last_index(replica->store);
}

/* Of the log it gets less than up to its own list. */
static void hold_back_log(void)
{
	u64 index = le64_to_cpu(sim_lists_now()->index);

	sim_network_bulk_pass(current.leader->number, current.other->number,
			      1 + below(min(index, 24ull)), world.now + 6 * TIMEOUT);
}

static bool young(void)
{
	switch (current.stage) {
	case 0:
		if (!leads(current.leader))
			return false;
		current.swing = below(YOUNG_END);
		if (current.swing != YOUNG_WITH_LOG && !log_begins_late())
			return true;
		/* No entry says yet that its list is committed. */
		if (current.swing == YOUNG_OUTAGE)
			current.silent = ~0u;
		current.index = world.count;
		sim_join(current.leader, current.random);
		next_stage(0);
		return true;
	case 1:
		/* Two may have come at once. */
		if (world.count == current.index)
			return true;
		current.other = &world.hosts[world.count];
		if (current.swing == YOUNG_WITH_LOG)
			hold_back_log();
		next_stage(0);
		return true;
	case 2:
		if (!is_young_enough(current.other))
			return true;
		next_stage(below(current.swing == YOUNG_OUTAGE ? 40 : 150));
		return true;
	default:
		if (current.swing == YOUNG_OUTAGE)
			sim_faults_outage();
		else
			restart(current.other);
		return false;
	}
}

/* ---- leader of the past ------------------------------------------------- */

/* How it comes not to know that it is one: */
enum past {
	PAST_CUT_OFF,
	PAST_PAUSED,		/* and then it has asked nobody for a while, and leads on */
	PAST_MOVED,		/* leadership was, and nobody waits for it to be silent */
	PAST_LATE,		/* what it hears was said before */
	PAST_END
};

/* Nobody has it open, and all may write. */
static bool shared_and_closed(void)
{
	bool closed = true;

	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		sim_client_turn(host, false);
		closed &= !sim_claims_busy(host);
	}
	if (closed)
		sim_claims_set_mode(current.other, QBD_CLAIM_SHARED);
	return closed && sim_claims_mode() == QBD_CLAIM_SHARED;
}

/* Return: all is done for another one to lead. */
static bool leave_behind(void)
{
	u32 leader = current.leader->number;

	switch (current.past) {
	case PAST_PAUSED:
		current.leader->paused_until = world.now + 20 * TIMEOUT;
		break;
	case PAST_MOVED:
		if (core_of(current.leader)->transfer_sent)
			break;
		if (!current.leader->moving)
			sim_member_move_leader(current.leader, current.other->number);
		return false;
	case PAST_LATE:
		for (u32 number = 1; number <= world.count; number++)
			if (!(current.swing >> number & 1) &&
			    !sim_network_waits(number, leader, false))
				return false;
		cut_between(current.swing, ~current.swing);
		return true;
	default:
		break;
	}
	cut_between(~current.swing, current.swing);
	if (current.past != PAST_MOVED)
		cut_between(current.swing, ~current.swing);
	return true;
}

/*
 * One host gets a claim of the new leader. Another one opens the device then, and hears of the
 * earlier leader alone.
 */
static bool leader_of_the_past(void)
{
	switch (current.stage) {
	case 0:
		current.silent = ~0u;
		current.past = below(PAST_END);
		/* A host that hears it, or it itself. */
		current.third = current.leader;
		if (world.count > 4 && below(2))
			current.third = some_host(bit(current.leader));
		current.swing = bit(current.leader) | bit(current.third);
		current.other = some_host(current.swing);
		next_stage(0);
		return true;
	case 1:
		if (!leads_well(current.leader))
			return false;
		if (!shared_and_closed())
			return true;
		/* Who has just closed it, and what is under way, is over by then. */
		next_stage(100);
		return true;
	case 2:
		if (!leads_well(current.leader) || sim_claims_mode() != QBD_CLAIM_SHARED)
			return false;
		if (current.past == PAST_LATE)
			for (u32 number = 1; number <= world.count; number++)
				if (!(current.swing >> number & 1))
					sim_network_stall(number, current.leader->number,
							  world.now + TIMEOUT + below(TIMEOUT));
		next_stage(0);
		return true;
	case 3:
		if (!leads(current.leader))
			return false;
		if (leave_behind())
			next_stage(0);
		return true;
	case 4:
		if (!leads(current.leader))
			return false;
		if (!later_leader())
			return true;
		sim_claims_set_mode(current.other, QBD_CLAIM_EXCLUSIVE);
		if (sim_claims_mode() != QBD_CLAIM_EXCLUSIVE)
			return true;
		if (!sim_client_turn(current.other, true))
			return true;
		write_again(current.other);
		current.leader->paused_until = world.now;
		next_stage(below(2) ? 0 : below(60));
		return true;
	case 5:
		if (leads(current.leader) && !sim_client_turn(current.third, true))
			return true;
		sim_network_heal();
		next_stage(0);
		return true;
	default:
		/* It hears of all that. */
		return world.now < current.since + 3 * TIMEOUT;
	}
}

/* ---- all of them -------------------------------------------------------- */

static const struct plan plans[] = {
	{ "rivals", rivals, .stays = true },
	{ "late answers", late_answers, .stays = true },
	{ "transfer", transfer, .stays = true },
	{ "two leaders", two_leaders, .stays = true },
	{ "hidden vote", hidden_vote, .stays = true },
	{ "strayed", strayed, .stays = true },
	{ "sent again", sent_again, .stays = true },
	{ "lost table", lost_table, .stays = true },
	{ "earlier term", earlier_term, .stays = true },
	{ "there and back", there_and_back, .stays = true },
	{ "filled twice", filled_twice, .stays = true, .patience = 20 },
	{ "cut off", cut_off, .stays = true },
	{ "replaced", replaced, .stays = true },
	{ "failing disk", failing_disk, .stays = true, .joins = true },
	{ "young member", young, .joins = true, .patience = 20 },
};

/*
 * Those about claims. They are drawn apart from the rest, of which nothing else changes so: in
 * a world without them the others come as they would.
 */
static const struct plan plans_of_claims[] = {
	{ "leader of the past", leader_of_the_past },
};

static void next_of_claims(void)
{
	claims.at = world.steps + 200 + sim_below_of(&claims.random, 1500);
}

void sim_plans_begin(void)
{
	current.plan = NULL;
	current.silent = 0;
	claims.random = world.seed ^ 0x706c616e73ull;
	next_of_claims();
}

bool sim_plans_silence(u32 number)
{
	return current.silent >> number & 1;
}

/* What the last plan, and other faults, have left. Where members come and go that goes on. */
static void mend(void)
{
	if (world.joins)
		return;
	sim_network_heal();
	for (u32 number = 1; number <= world.count; number++) {
		sim_disk_readable(&world.hosts[number]);
		sim_mend_host(&world.hosts[number]);
	}
}

static void begin(const struct plan *plan)
{
	current.plan = plan;
	current.stage = 0;
	current.since = world.now;
	current.wait_until = 0;
	current.leader = NULL;
	current.other = NULL;
	mend();
}

/* One that is under way goes on. */
void sim_plan_make(u64 random)
{
	const struct plan *plan;

	if (current.plan || (world.count < 3 && !world.joins))
		return;
	current.random = random;
	do
		plan = &plans[below(ARRAY_SIZE(plans))];
	while (world.joins ? !plan->joins : !plan->stays);
	begin(plan);
}

static void make_of_claims(void)
{
	next_of_claims();
	if (current.plan)
		return;
	current.random = world.seed * 0x9e3779b97f4a7c15ull + world.steps;
	begin(&plans_of_claims[below(ARRAY_SIZE(plans_of_claims))]);
}

void sim_plans_step(void)
{
	if (world.claim_plans && world.steps >= claims.at)
		make_of_claims();
	if (!current.plan || world.steps < current.wait_until)
		return;
	if (!current.leader && world.now < current.since + 5 * SIM_S && !all_well()) {
		current.wait_until = world.steps + 100;
		mend();
		return;
	}
	if (current.leader &&
	    world.now < current.since + (current.plan->patience ?: 5) * SIM_S &&
	    current.plan->go_on())
		return;
	current.plan = NULL;
	current.silent = 0;
}
