// SPDX-License-Identifier: GPL-2.0
/*
 * What happens to a world.
 *
 * The seed decides how many hosts there are, what weather they live in, and which kinds
 * of fault may befall them (swarm testing: not all kinds in every run, so that each is
 * often alone). Fault number k has its own random numbers, made of seed and k, and comes
 * at a step that depends on those before it: so leaving some out leaves the others what
 * they are, and a run that failed can be made small. (What is drawn apart: kinds.c.)
 *
 * Disks are spoiled, replaced or made to fail only as long as everything that was
 * acknowledged is safe elsewhere, by what promises.rst assumes: one member at a time,
 * while all others are whole (so one disk of a run rots, fails writes, and may fail reads
 * when its member comes up, for that can make it a damaged one). That disks are rolled back
 * is in rollback.c.
 */
#include "../../kmod/core/internal.h"
#include "sim.h"

enum fault {
	FAULT_POWER_CUT,
	FAULT_POWER_ON,
	FAULT_DOWN,
	FAULT_CUT_ONE_WAY,
	FAULT_CUT,
	FAULT_ISOLATE,
	FAULT_RING,
	FAULT_HEAL,
	FAULT_RESET,
	FAULT_PAUSE,
	FAULT_STALL,
	FAULT_MOVE,
	FAULT_DRIFT,
	FAULT_READ_ERRORS,
	FAULT_WRITE_ERRORS,
	FAULT_ROT,
	FAULT_NEW_DISK,
	FAULT_WHOLE_OUTAGE,
	FAULT_LEADER_POWER_CUT,
	FAULT_LEADER_ISOLATE,
	FAULT_SPLIT,
	FAULT_BULK_STALL,
	FAULT_MEMBERS,
	FAULT_JOIN,
	FAULT_PLAN,
	FAULT_AMBUSH,
	FAULT_AWAY,
	FAULT_END
};

/* An ambush: what is waited for at some host, and what happens to it then. */
enum moment {
	MOMENT_CHECKPOINT,	/* it is at a certain step of one */
	MOMENT_TRUNCATED,	/* that its log was cut is not on its disk yet */
	MOMENT_STATE,		/* its state block is in one slot only */
	MOMENT_APPEND,		/* records are on their way to its disk */
	MOMENT_FULL,		/* its log is about to give space back */
	MOMENT_FILLING,		/* it is being filled: at a certain step, or any */
	MOMENT_LIST,		/* it leads, and its list of members is not committed */
	MOMENT_JOINED,		/* its log does not reach the list that it began with */
	MOMENT_END
};

enum deed {
	DEED_POWER_CUT,
	DEED_ROT,
	DEED_TABLE_ROT,
	DEED_OUTAGE,
	DEED_LEADER_POWER_CUT,
	DEED_RESET,
	DEED_ISOLATE,
	DEED_LEADER_ISOLATE,
	DEED_STALL,
	DEED_LEADER_STALL,
	DEED_LEADER_READ_STALL,
	DEED_PAUSE,
	DEED_MOVE,
	DEED_AWAY,
	DEED_FEW_HEAR,		/* one other gets what it sends, the rest a while later */
	DEED_ISOLATE_AND_CUT,	/* its disk writes what it has got, and its power goes */
	DEED_END
};

struct ambush {
	bool laid;
	u64 until;		/* step: then another one may be laid */
	enum moment moment;
	u32 host;
	u32 step;		/* of the checkpoint or the filling; a kind of moment; 0: any */
	u32 wait;		/* so many steps of the moment pass first */
	enum deed deed;
	u64 random;		/* of the deed */
};

static struct {
	u32 enabled;		/* bitmap */
	u32 rate;		/* mean number of steps between two */
	u32 work_of_1024;
	u64 next;		/* step of the next one */
	u32 number;		/* of it */
	u64 healed_at;
	u64 random;		/* of the fault being made */
	bool clocks_apart;	/* as far as they may be (promises.rst) */
	struct ambush ambush;
	u32 away;		/* host that is off until the log has passed it by */
	u64 away_last;		/* entry that it had */
	u64 away_until;		/* step at which it comes back in any case */
	bool away_cut;		/* it has power, and nobody hears it */
	u64 rot_until;		/* step: a disk is to rot as soon as it may */
	u64 rot_random;
	u64 anew_next;		/* step: a disk is to be made anew; 0: none is */
	u64 anew_random;
	struct sim_host *again;	/* its power goes once more, at step: */
	u64 again_at;
} faults;

u8 sim_left_out[SIM_FAULTS_MAX];

/* As sim_below(), of the fault's own numbers. */
static u32 below(u32 bound)
{
	return sim_below_of(&faults.random, bound);
}

/*
 * Parts in a million by which a clock is faster. What is drawn from 400 says it: as for
 * crystals, or in some worlds so that of two clocks one is 10 % slower than the other, which
 * is what the lease allows for.
 */
static s32 drift_of(u32 drawn)
{
	if (faults.clocks_apart)
		return drawn < 200 ? -50000 : 50000;
	return (s32)drawn - 200;
}

static void draw_weather(struct sim_weather *weather)
{
	static const u64 delays[] = { 20, 100, 1000, 10000 };
	static const u64 disks[] = { 10, 50, 500, 5000 };

	weather->delay = delays[sim_below(3)] * SIM_US;
	weather->delay_spread = delays[sim_below(4)] * SIM_US;
	weather->disk = disks[sim_below(3)] * SIM_US;
	weather->disk_spread = disks[sim_below(4)] * SIM_US;
	weather->run_spread = sim_chance(512) ? 5 * SIM_US : sim_below(300) * SIM_US;
	weather->refuse_nowait = sim_chance(256) ? sim_below(200) : 0;
	weather->refuse_memory = sim_chance(256) ? sim_below(100) : 0;
}

#define FAULTS_OF_DISKS	(1u << FAULT_READ_ERRORS | 1u << FAULT_WRITE_ERRORS | 1u << FAULT_ROT)

/* Members come and go, and their power does. */
static void draw_joins(void)
{
	static const u32 counts[] = { 1, 2, 3, 3, 3, 4, 5, 5, 7, 9 };

	world.count = counts[sim_below(ARRAY_SIZE(counts))];
	faults.enabled |= 1u << FAULT_MEMBERS | 1u << FAULT_JOIN | 1u << FAULT_POWER_CUT |
			  1u << FAULT_POWER_ON | 1u << FAULT_AMBUSH | 1u << FAULT_PLAN;
	faults.enabled &= ~(1u << FAULT_NEW_DISK);
	if (!world.changes)
		faults.rate = 50 + sim_below(500);
	/* Without errors of disks there may be one or two. */
	if (sim_chance(512))
		faults.enabled &= ~FAULTS_OF_DISKS;
}

/*
 * Where members come and go a disk is made anew, too, in some worlds: that of one of the first
 * members, for it begins with the list that the device began with, and others have to vote by
 * that. Their own random numbers leave the rest what it is.
 */
static void draw_anew(void)
{
	bool drawn;

	faults.anew_random = world.seed ^ 0x616e6577ull;
	faults.anew_next = 0;
	drawn = world.joins && world.founders >= 3 && world.voters_min >= 3 &&
		!sim_below_of(&faults.anew_random, 4);
	if (sim_has(SIM_ANEW, drawn))
		faults.anew_next = 500 + sim_below_of(&faults.anew_random, 4000);
}

void sim_faults_begin(void)
{
	static const u32 counts[] = { 1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7, 9 };
	/* Their own random numbers leave other worlds what they are. */
	u64 clocks = world.seed ^ 0x636c6f636b73ull;

	world.count = counts[sim_below(ARRAY_SIZE(counts))];
	draw_weather(&world.weather);
	world.weather.refuse_up = sim_chance(100) ? 2000 + sim_below(20000) : 0;
	faults.enabled = sim_random() | 1u << FAULT_POWER_ON | 1u << FAULT_HEAL;
	if (world.quiet)
		faults.enabled = 0;
	faults.rate = 50 + sim_below(3000);
	if (sim_chance(256)) {
		/* Leaders come and go as fast as they are elected. */
		faults.enabled = 1u << FAULT_POWER_ON | 1u << FAULT_HEAL |
				 1u << FAULT_LEADER_POWER_CUT | 1u << FAULT_LEADER_ISOLATE |
				 1u << FAULT_SPLIT;
		faults.rate = 10 + sim_below(40);
	}
	if (sim_chance(100)) {
		/* It is moved about, and what is on its way comes when it is back. */
		faults.enabled = 1u << FAULT_POWER_ON | 1u << FAULT_HEAL |
				 1u << FAULT_MOVE | 1u << FAULT_BULK_STALL |
				 1u << FAULT_LEADER_ISOLATE;
		faults.rate = 20 + sim_below(100);
	}
	if (sim_chance(150)) {
		/* Members change as fast as they can, while leaders are lost. */
		world.count = max(world.count, 4 + sim_below(4));
		faults.enabled = 1u << FAULT_POWER_ON | 1u << FAULT_HEAL |
				 1u << FAULT_MEMBERS | 1u << FAULT_MOVE |
				 1u << FAULT_LEADER_POWER_CUT | 1u << FAULT_LEADER_ISOLATE |
				 1u << FAULT_AMBUSH | (sim_random() & sim_random());
		faults.rate = 20 + sim_below(150);
		world.changes = true;
	}
	world.joins = !world.quiet && sim_chance(world.changes ? 700 : 140);
	if (world.joins)
		draw_joins();
	faults.work_of_1024 = 1 + sim_below(sim_chance(512) ? 60 : 400);
	if (sim_chance(200) && !world.joins) {
		/* Checkpoints of extents that are written for the first time. */
		faults.enabled = 1u << FAULT_POWER_ON | 1u << FAULT_POWER_CUT |
				 1u << FAULT_HEAL | 1u << FAULT_AMBUSH | 1u << FAULT_ROT |
				 1u << FAULT_LEADER_POWER_CUT;
		faults.rate = 20 + sim_below(100);
		faults.work_of_1024 = 1 + sim_below(8);
		world.sparse = true;
		world.hurry = sim_chance(400);
	}
	if (world.hurry) {
		/* Batches while checkpoints are made. */
		faults.rate = 300 + sim_below(2000);
		faults.work_of_1024 = 100 + sim_below(500);
	}
	world.plans = !world.sparse && !world.quiet && !world.joins && sim_chance(300);
	if (world.plans) {
		/* What a plan brought about is to last for a while. */
		world.count = max(world.count, 3u);
		faults.enabled = 1u << FAULT_POWER_ON | 1u << FAULT_PLAN | 1u << FAULT_ROT |
				 (sim_random() & sim_random() & sim_random());
		faults.rate = 40 + sim_below(200);
		faults.work_of_1024 = 4 + sim_below(40);
	}
	world.filling = !world.sparse && !world.plans && world.count >= 3 && !world.quiet &&
			sim_chance(450);
	if (world.filling) {
		faults.rate = 150 + sim_below(600);
		faults.work_of_1024 = 150 + sim_below(350);
	}
	world.exclusive = sim_has(SIM_CLAIMS, sim_chance(350));
	sim_claims_draw();
	world.rots = faults.enabled & 1u << FAULT_ROT;
	world.preempts = sim_has(SIM_PREEMPTION, !world.quiet && sim_chance(300));
	faults.clocks_apart = !world.quiet && sim_below_of(&clocks, 6) == 0;
	faults.ambush.laid = false;
	faults.away = 0;
	faults.rot_until = 0;
	faults.again = NULL;
	sim_plans_begin();
	faults.next = 200 + sim_below(4 * faults.rate);
	faults.number = 0;
	if (!world.joins)
		faults.enabled &= ~(1u << FAULT_JOIN);
	world.founders = world.count;
	sim_witnesses_begin();
	sim_clients_begin();
	/* What is lost of a disk may be found when no other one has what it had. */
	if (world.witnesses || world.clients)
		faults.enabled &= ~FAULTS_OF_DISKS;
	world.rots &= !world.witnesses && !world.clients;
	/* Fewer voters are not enough for what happens to disks. */
	world.voters_min = faults.enabled & FAULTS_OF_DISKS || !world.joins ? 3 : 1;
	draw_anew();
	sim_addresses_begin();
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		sim_member_format(host);
		host->unsound = true;
		if (faults.enabled & 1u << FAULT_DRIFT)
			host->drift = drift_of(sim_below(400));
		else if (faults.clocks_apart)
			host->drift = drift_of(sim_below_of(&clocks, 400));
		sim_member_power_on(host);
	}
}

/* ---- what may be done to whom ------------------------------------------- */

bool sim_faults_others_whole(const struct sim_host *host)
{
	if (!sim_lists_counts(host->number) || !sim_lists_spare_one() ||
	    !sim_witnesses_spare(host))
		return false;
	for (u32 number = 1; number <= world.count; number++) {
		const struct sim_host *other = &world.hosts[number];

		if (number == host->number || !other->exists || !sim_lists_counts(number))
			continue;
		if (other->unsound || other->rot_left || sim_disk_unreadable(other) ||
		    sim_disk_fails_writes(other) || sim_clones_may_lack(other))
			return false;
	}
	return true;
}

static bool term_is_led(const struct sim_host *host)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct sim_host *other = &world.hosts[number];

		if (number != host->number && other->powered &&
		    other->role == QBD_ROLE_LEADER && other->term >= host->term)
			return true;
	}
	return false;
}

static void power_cut(struct sim_host *host)
{
	sim_member_power_cut(host);
	if (below(4) == 0)
		sim_member_power_on(host);
}

static void make_anew(struct sim_host *host)
{
	sim_member_power_cut(host);
	sim_trace("a new disk: host %u", host->number);
	sim_member_format(host);
	host->durable = 0;
	host->spoiled = true;
	host->rotten = false;
	host->rot_left = false;
	host->unsound = true;
	host->failed = false;
	host->told_term = 0;
	host->vote_term = 0;
	host->vote = 0;
	sim_member_power_on(host);
}

/* Where members come and go one that failed is replaced by another member. */
void sim_faults_new_disk(struct sim_host *host)
{
	if (!world.joins && sim_faults_others_whole(host))
		make_anew(host);
}

/* As sim_faults_new_disk() does elsewhere. */
static void watch_anew(void)
{
	struct sim_host *host = &world.hosts[1 + sim_below_of(&faults.anew_random,
							      world.founders)];

	faults.anew_next = world.steps + 1 + sim_below_of(&faults.anew_random, 400);
	if (!host->exists || host->knows || host->failed || !sim_lists_has(host->number) ||
	    sim_lists_out(host->number) || sim_rollbacks_lacks(host) ||
	    !sim_faults_others_whole(host))
		return;
	make_anew(host);
	sim_counts.anew++;
	faults.anew_next += 1000 + sim_below_of(&faults.anew_random, 6000);
}

/* One disk in a run: whoever has it may not have noticed yet. */
bool sim_faults_fail_writes(struct sim_host *host, u32 of_1024)
{
	if ((world.worst_disk && world.worst_disk != host->number) || host->unsound ||
	    world.voters_min < 3 || !sim_faults_others_whole(host))
		return false;
	world.worst_disk = host->number;
	sim_disk_errors(host, 0, of_1024);
	return true;
}

/* ---- rot ---------------------------------------------------------------- */

/* Where things are on a disk when its power goes. */
struct survey {
	u64 superblock;		/* the copy that may rot */
	u64 slot;		/* a block of one of the state's, likewise ... */
	bool state;		/* ... if the log does not: it says how far that was durable */
	u64 log_block, first, applied, known, next;	/* ring positions */
	u64 data_block, data_blocks;
	bool table;		/* rather there: */
	u64 table_block;
};

static struct survey survey_of(const struct sim_host *host, const struct qbd_store *store)
{
	const struct qbd_state *state = &store->state.disk;
	u32 superblock = below(2) ? QBD_SUPERBLOCK_COPY_BLOCK : 0;
	u32 slot = below(QBD_STATE_SLOTS);
	struct survey survey = {
		.superblock = superblock,
		.slot = QBD_STATE_SLOT_BLOCK(slot) + below(QBD_STATE_SLOT_BLOCKS),
		/* What rotted of the log before, the slot that is left must know of. */
		.state = below(4) == 0 && sim_records_known_by(host, !slot),
		.log_block = store->geometry.log_block,
		.first = store->log.first_position,
		.applied = store->log.first_position,
		.next = store->log.next_position,
		.data_block = store->geometry.data_block,
		.data_blocks = store->geometry.device_blocks,
	};

	if (state->applied_index >= store->log.first_index)
		survey.applied = state->applied_position;
	/*
	 * What the state block knows to be durable it misses. Of later records, which may
	 * have been acknowledged, nothing tells them from those that were cut off.
	 */
	survey.table_block = sim_place(below(SIM_USED_BLOCKS)) /
		(QBD_EXTENTS_PER_BLOCK << (QBD_EXTENT_SHIFT_MIN - QBD_BLOCK_SHIFT));
	if (store->checkpoint.step && store->extents.block_count)
		survey.table_block = store->extents.blocks[below(store->extents.block_count)];
	survey.known = survey.applied;
	if (state->durable_index >= store->log.first_index &&
	    state->durable_index > state->applied_index)
		survey.known = qbd_log_position(store, min(state->durable_index,
							   store->log.durable_index) + 1);
	return survey;
}

static u64 log_block_to_rot(const struct survey *survey)
{
	u64 position = survey->next + below(QBD_LOG_BLOCKS_MIN -
					    (survey->next - survey->first));

	/* Acknowledged and not applied: rather its last records. */
	if (survey->known > survey->applied && below(4)) {
		u64 count = survey->known - survey->applied;

		if (below(2))
			count = min(count, 40ull);
		position = survey->known - 1 - below(count);
	} else if (survey->next >= survey->first + QBD_LOG_BLOCKS_MIN) {
		position = survey->first;
	}
	return survey->log_block + position % QBD_LOG_BLOCKS_MIN;
}

/* A block of the kinds that have checksums; of those that are there twice, one. */
static void rot_block(struct sim_host *host, const struct survey *survey)
{
	enum sim_rot rot = below(SIM_ROT_END), fresh = below(SIM_ROT_STALE);
	u64 table = survey->table_block;

	/* Of the table an old block is as good as the newest one: nobody can tell. */
	if (rot == SIM_ROT_STALE && survey->table)
		rot = fresh;
	switch (survey->table ? 2 + !below(4) : below(9)) {
	case 0:
		sim_disk_rot(host, survey->superblock, rot);
		break;
	case 1:
	case 2:
		sim_disk_rot(host, QBD_EXTENT_TABLE_BLOCK + table,
			     rot == SIM_ROT_STALE ? fresh : rot);
		break;
	case 3:
		sim_disk_rot(host, QBD_EXTENT_JOURNAL_BLOCK + table %
			     QBD_EXTENT_JOURNAL_BLOCKS, rot == SIM_ROT_STALE ? fresh : rot);
		break;
	case 4:
		/* Data has no checksums. */
		sim_disk_rot(host, survey->data_block + sim_place(below(SIM_USED_BLOCKS)),
			     SIM_ROT_UNREADABLE);
		break;
	default:
		sim_disk_rot(host, survey->state ? survey->slot :
						   log_block_to_rot(survey), rot);
		break;
	}
}

/* The one disk of the run that rots, or @host's, if there is none so far. */
static struct sim_host *worst_disk(struct sim_host *host)
{
	return world.worst_disk ? &world.hosts[world.worst_disk] : host;
}

/* Its power goes and comes back, and meanwhile these blocks go bad. */
void sim_faults_spoil(struct sim_host *host, const u64 *blocks, u32 count, enum sim_rot rot)
{
	world.worst_disk = host->number;
	sim_member_power_cut(host);
	while (count--)
		sim_disk_rot(host, blocks[count], rot);
	host->rotten = true;
	host->rot_left = true;
	host->unsound = true;
	sim_member_power_on(host);
}

static void rot(struct sim_host *host, bool table)
{
	const struct qbd_replica *replica = sim_replica(host);
	struct survey survey;
	u32 count = 1 + below(table ? 2 : 8);

	/* All that was to be said is in both slots of the state block. */
	if (!sim_faults_others_whole(host) || host->unsound || !term_is_led(host) || !replica ||
	    replica->phase != QBD_PHASE_RUNNING || !world.rots || (!table &&
	    (!replica->store->state.mirrored || replica->store->state.writing)) ||
	    (world.worst_disk && world.worst_disk != host->number))
		return;
	/* One good copy of everything survives, also for who is made anew later. */
	world.worst_disk = host->number;
	survey = survey_of(host, replica->store);
	survey.table = table;
	faults.rot_until = 0;
	sim_member_power_cut(host);
	sim_trace("rot: host %u, log %llu to %llu, applied %llu, known %llu", host->number,
		  survey.first, survey.next, survey.applied, survey.known);
	while (count--)
		rot_block(host, &survey);
	sim_counts.rotten++;
	host->rotten = true;
	host->unsound = true;
	sim_member_power_on(host);
	/* What it makes of that may be half on the disk. */
	faults.again = below(2) ? host : NULL;
	faults.again_at = world.steps + below(60);
}

static void watch_again(void)
{
	struct sim_host *host = faults.again;

	if (world.steps < faults.again_at)
		return;
	faults.again = NULL;
	sim_member_power_cut(host);
	sim_member_power_on(host);
}

/* ---- the network -------------------------------------------------------- */

static void ring(void)
{
	for (u32 a = 1; a <= world.count; a++) {
		for (u32 b = 1; b < a; b++) {
			bool next = a - b == 1 || a - b == world.count - 1;

			sim_network_cut(a, b, !next);
			sim_network_cut(b, a, !next);
		}
	}
}

/* Every host is on one of two sides. */
static void split(void)
{
	u32 sides = below(1u << world.count);

	for (u32 a = 1; a <= world.count; a++)
		for (u32 b = 1; b <= world.count; b++)
			sim_network_cut(a, b, a != b && (sides >> (a - 1) & 1) !=
						       (sides >> (b - 1) & 1));
}

/* One that leads, or takes itself for it; NULL: none. */
static struct sim_host *some_leader(void)
{
	u32 first = below(world.count);

	for (u32 i = 0; i < world.count; i++) {
		struct sim_host *host = &world.hosts[1 + (first + i) % world.count];

		if (host->powered && host->role == QBD_ROLE_LEADER)
			return host;
	}
	return NULL;
}

void sim_faults_outage(void)
{
	for (u32 number = 1; number <= world.count; number++)
		sim_member_power_cut(&world.hosts[number]);
	for (u32 number = 1; number <= world.count; number++)
		sim_member_power_on(&world.hosts[number]);
}

/* What it reads meanwhile may come when others have led for long. */
static void isolate_leader(struct sim_host *leader)
{
	if (!leader)
		return;
	sim_network_isolate(leader->number, true);
	if (below(2))
		sim_disk_stall(leader, world.now + below(1500) * SIM_MS);
}

/* ---- away for long ------------------------------------------------------ */

static void send_away(struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	if (faults.away || !replica || replica->phase != QBD_PHASE_RUNNING)
		return;
	faults.away = host->number;
	faults.away_last = qbd_store_last_index(replica->store);
	faults.away_until = world.steps + 6000;
	/* Who has power has applied more than its last checkpoint says. */
	faults.away_cut = below(2);
	if (faults.away_cut)
		sim_network_isolate(host->number, true);
	else
		sim_member_power_cut(host);
}

static void watch_away(void)
{
	struct sim_host *host = &world.hosts[faults.away];
	bool passed = false;

	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = sim_replica(&world.hosts[number]);

		passed |= replica && replica->core->role == QBD_ROLE_LEADER &&
			  qbd_store_first_index(replica->store) > faults.away_last + 1;
	}
	if (!passed && world.steps < faults.away_until)
		return;
	faults.away = 0;
	if (faults.away_cut)
		sim_network_isolate(host->number, false);
	sim_member_power_on(host);
	/* What it had applied is not all on its disk when it begins to be filled. */
	if (faults.away_cut && below(2))
		faults.ambush = (struct ambush){
			.laid = true,
			.until = world.steps + 3000,
			.moment = MOMENT_FILLING,
			.host = host->number,
			.wait = below(40),
			.deed = DEED_POWER_CUT,
			.random = faults.random,
		};
}

/* ---- ambushes ----------------------------------------------------------- */

static bool is_moment(const struct ambush *ambush, const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);
	const struct qbd_store *store;

	if (!replica || replica->phase != QBD_PHASE_RUNNING)
		return false;
	store = replica->store;
	switch (ambush->moment) {
	case MOMENT_CHECKPOINT:
		return store->checkpoint.step && (!ambush->step ||
						  store->checkpoint.step == ambush->step);
	case MOMENT_TRUNCATED:
		return store->log.barrier ||
		       store->log.generation > store->state.disk.log_generation;
	case MOMENT_STATE:
		return !store->state.mirrored;
	case MOMENT_APPEND:
		return store->log.durable_index < store->log.submitted_index;
	case MOMENT_FULL:
		return store->log.next_position - store->log.first_position >
		       QBD_LOG_BLOCKS_MIN / 4 * 3;
	case MOMENT_FILLING:
		return replica->fill.step && (!ambush->step ||
					      replica->fill.step == ambush->step);
	case MOMENT_LIST:
		return replica->core->role == QBD_ROLE_LEADER &&
		       qbd_core_config_index(replica->core) > replica->core->commit &&
		       (!ambush->step || !qbd_core_self_votes(replica->core));
	case MOMENT_JOINED:
		return replica->configs[0].index > qbd_store_last_index(store) &&
		       (!ambush->step || store->log.memberships);
	default:
		return false;
	}
}

static void lay_ambush(u32 host)
{
	bool members_change = world.changes || world.joins;
	struct ambush *ambush = &faults.ambush;

	if (ambush->laid && world.steps < ambush->until)
		return;
	*ambush = (struct ambush){
		.laid = true,
		.until = world.steps + 3000,
		.host = host,
		.moment = world.joins && below(2) ? MOMENT_JOINED :
			  members_change && below(2) ? MOMENT_LIST :
			  world.filling && below(2) ? MOMENT_FILLING :
			  world.sparse && below(4) ? MOMENT_CHECKPOINT : below(MOMENT_END),
		.deed = below(DEED_END),
		.random = faults.random,
	};
	if (ambush->moment == MOMENT_CHECKPOINT) {
		ambush->step = below(QBD_CHECKPOINT_STATE + 1);
		if (below(2))
			ambush->step = below(2) ? QBD_CHECKPOINT_TABLE : QBD_CHECKPOINT_FLUSH;
		ambush->wait = below(4);
		ambush->host = 0;
		/* Power that goes is what checkpoints are made for. */
		if (below(2))
			ambush->deed = below(2) ? DEED_TABLE_ROT : DEED_POWER_CUT;
		if (world.sparse && below(4)) {
			/* Zeroes of new extents are not flushed, or the table tears. */
			ambush->step = below(2) ? QBD_CHECKPOINT_TABLE : QBD_CHECKPOINT_FLUSH;
			ambush->deed = ambush->step == QBD_CHECKPOINT_TABLE ? DEED_POWER_CUT :
									      DEED_TABLE_ROT;
			ambush->wait = below(2);
		}
		if (ambush->deed == DEED_TABLE_ROT || ambush->deed == DEED_ROT)
			ambush->host = worst_disk(&world.hosts[host])->number;
	} else if (ambush->moment == MOMENT_FILLING) {
		/* Whoever it is. */
		ambush->host = 0;
		ambush->step = below(2) ? below(QBD_FILL_ABORTING + 1) : 0;
		ambush->wait = below(ambush->step ? 8 : 600);
		if (below(4) == 0)
			ambush->deed = below(2) ? DEED_POWER_CUT : DEED_AWAY;
		if (below(4) == 0) {
			/* Extents are read before what is sent and applied sooner. */
			ambush->deed = DEED_LEADER_READ_STALL;
			ambush->step = QBD_FILL_ASKING;
			ambush->wait = below(8);
		}
	} else if (ambush->moment == MOMENT_LIST) {
		/* Most of them are lost with their leader, or are all that is left of it. */
		ambush->host = 0;
		ambush->step = below(2);
		ambush->wait = below(2) ? 0 : below(60);
		if (ambush->step && below(8)) {
			/* It votes no more. */
			ambush->wait = 0;
			ambush->deed = DEED_FEW_HEAR;
		} else if (below(4)) {
			ambush->deed = below(2) ? DEED_LEADER_ISOLATE : DEED_POWER_CUT;
		}
	} else if (ambush->moment == MOMENT_JOINED) {
		/* It has nothing of the log, or a little with older lists in it. */
		ambush->host = 0;
		ambush->step = below(2);
		ambush->wait = below(ambush->step ? 4 : 20);
		if (below(8))
			ambush->deed = ambush->step ? DEED_ISOLATE_AND_CUT :
				       below(2) ? DEED_OUTAGE : DEED_POWER_CUT;
	} else if (ambush->moment == MOMENT_FULL) {
		/* Who comes up gives back what the one who went down had not. */
		ambush->host = 0;
		if (below(4))
			ambush->deed = below(2) ? DEED_OUTAGE : DEED_LEADER_POWER_CUT;
	} else {
		ambush->wait = below(8);
	}
}

static void few_hear(struct sim_host *host)
{
	u32 lucky = 1 + below(world.count);

	for (u32 number = 1; number <= world.count; number++)
		if (number != host->number && number != lucky)
			sim_network_bulk_stall(host->number, number,
					       world.now + below(600) * SIM_MS);
}

static void do_deed(enum deed deed, struct sim_host *host)
{
	struct sim_host *leader = some_leader();

	switch (deed) {
	case DEED_POWER_CUT:
		power_cut(host);
		break;
	case DEED_ROT:
		rot(host, false);
		break;
	case DEED_TABLE_ROT:
		rot(host, true);
		break;
	case DEED_OUTAGE:
		sim_faults_outage();
		break;
	case DEED_LEADER_POWER_CUT:
		if (leader)
			power_cut(leader);
		break;
	case DEED_RESET:
		if (leader)
			sim_network_reset(host->number, leader->number);
		break;
	case DEED_ISOLATE:
		sim_network_isolate(host->number, true);
		break;
	case DEED_LEADER_ISOLATE:
		isolate_leader(leader);
		break;
	case DEED_STALL:
		sim_disk_stall(host, world.now + below(1500) * SIM_MS);
		break;
	case DEED_LEADER_STALL:
		if (leader)
			sim_disk_stall(leader, world.now + below(1500) * SIM_MS);
		break;
	case DEED_LEADER_READ_STALL:
		if (leader)
			sim_disk_stall_reads(leader, world.now + below(1500) * SIM_MS);
		break;
	case DEED_PAUSE:
		host->paused_until = world.now + below(1000) * SIM_MS;
		break;
	case DEED_MOVE:
		sim_member_move_leader(host, 0);
		break;
	case DEED_AWAY:
		send_away(host);
		break;
	case DEED_FEW_HEAR:
		few_hear(host);
		break;
	case DEED_ISOLATE_AND_CUT:
		sim_network_isolate(host->number, true);
		faults.again = host;
		faults.again_at = world.steps + 100 + below(200);
		break;
	default:
		break;
	}
}

static void watch_ambush(void)
{
	struct ambush *ambush = &faults.ambush;

	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if ((ambush->host && ambush->host != number) || !host->powered ||
		    !is_moment(ambush, host))
			continue;
		if (ambush->wait--)
			return;
		ambush->laid = false;
		sim_trace("ambush %u at moment %u.%u: host %u", ambush->deed,
			  ambush->moment, ambush->step, number);
		sim_counts.fills_disturbed += ambush->moment == MOMENT_FILLING;
		faults.random = ambush->random;
		do_deed(ambush->deed, host);
		return;
	}
}

static void watch_rot(void)
{
	faults.random = faults.rot_random;
	rot(worst_disk(&world.hosts[1 + below(world.count)]), false);
	if (world.steps >= faults.rot_until)
		faults.rot_until = 0;
}

static void inject(enum fault fault, u32 a, u32 b)
{
	struct sim_host *host = &world.hosts[a];

	switch (fault) {
	case FAULT_POWER_CUT:
		power_cut(host);
		break;
	case FAULT_POWER_ON:
		if (faults.away != a)
			sim_member_power_on(host);
		break;
	case FAULT_DOWN:
		sim_member_down(host);
		break;
	case FAULT_CUT_ONE_WAY:
		sim_network_cut(a, b, true);
		break;
	case FAULT_CUT:
		sim_network_cut(a, b, true);
		sim_network_cut(b, a, true);
		break;
	case FAULT_ISOLATE:
		sim_network_isolate(a, true);
		break;
	case FAULT_RING:
		ring();
		break;
	case FAULT_HEAL:
		sim_network_heal();
		break;
	case FAULT_RESET:
		sim_network_reset(a, b);
		break;
	case FAULT_PAUSE:
		if (host->powered)
			host->paused_until = world.now + below(1000) * SIM_MS;
		break;
	case FAULT_STALL:
		sim_disk_stall(host, world.now + below(1500) * SIM_MS);
		break;
	case FAULT_MOVE:
		sim_member_move_leader(host, 0);
		break;
	case FAULT_DRIFT:
		host->clock_base = sim_host_time(host);
		host->clock_at = world.now;
		host->drift = drift_of(below(400));
		break;
	case FAULT_READ_ERRORS:
		/* When a log is read to come up, an error can make a member damaged. */
		if (!world.worst_disk)
			world.worst_disk = a;
		sim_disk_errors(host, below(3) ? 0 : below(100), 0);
		break;
	case FAULT_WRITE_ERRORS:
		sim_faults_fail_writes(host, below(200));
		break;
	case FAULT_ROT:
		faults.rot_until = world.steps + 3000;
		faults.rot_random = faults.random;
		break;
	case FAULT_NEW_DISK:
		sim_faults_new_disk(host);
		break;
	case FAULT_WHOLE_OUTAGE:
		sim_faults_outage();
		break;
	case FAULT_LEADER_POWER_CUT:
		if (some_leader())
			power_cut(some_leader());
		break;
	case FAULT_LEADER_ISOLATE:
		isolate_leader(some_leader());
		break;
	case FAULT_SPLIT:
		split();
		break;
	case FAULT_BULK_STALL:
		sim_network_bulk_stall(a, b, world.now + below(900) * SIM_MS);
		break;
	case FAULT_PLAN:
		sim_plan_make(faults.random);
		break;
	case FAULT_MEMBERS:
		if (world.joins || world.count > 3)
			sim_member_change(host);
		break;
	case FAULT_JOIN:
		sim_join(host, faults.random);
		break;
	case FAULT_AMBUSH:
		lay_ambush(a);
		break;
	case FAULT_AWAY:
		send_away(host);
		break;
	default:
		break;
	}
}

static const char * const fault_names[] = {
	[FAULT_POWER_CUT] = "power cut", [FAULT_POWER_ON] = "power on",
	[FAULT_DOWN] = "down in order", [FAULT_CUT_ONE_WAY] = "cut one way",
	[FAULT_CUT] = "cut", [FAULT_ISOLATE] = "isolate", [FAULT_RING] = "ring",
	[FAULT_HEAL] = "heal the network", [FAULT_RESET] = "reset a connection",
	[FAULT_PAUSE] = "pause", [FAULT_STALL] = "disk stands still",
	[FAULT_MOVE] = "move leadership", [FAULT_DRIFT] = "clock drift",
	[FAULT_READ_ERRORS] = "read errors", [FAULT_WRITE_ERRORS] = "write errors",
	[FAULT_ROT] = "rot", [FAULT_NEW_DISK] = "new disk",
	[FAULT_WHOLE_OUTAGE] = "power cut of all",
	[FAULT_LEADER_POWER_CUT] = "power cut of a leader",
	[FAULT_LEADER_ISOLATE] = "isolate a leader", [FAULT_SPLIT] = "split",
	[FAULT_BULK_STALL] = "data stands still on its way", [FAULT_PLAN] = "plan",
	[FAULT_MEMBERS] = "change members", [FAULT_JOIN] = "join",
	[FAULT_AMBUSH] = "ambush", [FAULT_AWAY] = "away for long",
};

u32 sim_faults_made(void)
{
	return faults.number;
}

static void next_fault(void)
{
	u32 number = faults.number++, a, b;
	enum fault fault;

	faults.random = world.seed * 0xa0761d6478bd642full + number;
	faults.next += 1 + below(2 * faults.rate);
	fault = below(FAULT_END);
	if (world.filling && below(2))
		fault = below(2) ? FAULT_AWAY : FAULT_AMBUSH;
	if (world.sparse && below(2))
		fault = FAULT_AMBUSH;
	if (world.changes && below(2))
		fault = FAULT_MEMBERS;
	if (world.joins && !below(6))
		fault = below(3) ? FAULT_JOIN : FAULT_MEMBERS;
	if (world.joins && !below(8))
		fault = FAULT_PLAN;
	if ((world.joins || world.changes) && !below(8))
		fault = FAULT_AMBUSH;
	if (world.plans && below(2))
		fault = FAULT_PLAN;
	a = 1 + below(world.count);
	b = 1 + below(world.count);
	if (!(faults.enabled >> fault & 1) && !(world.filling && fault >= FAULT_AMBUSH))
		return;
	if (number < SIM_FAULTS_MAX && sim_left_out[number])
		return;
	if (sim_list_faults)
		printf("#   fault %u at step %llu: %s (host %u, %u)\n", number, world.steps,
		       fault_names[fault], a, b);
	sim_trace("fault %u: %s (host %u, %u)", number, fault_names[fault], a, b);
	inject(fault, a, b);
}

void sim_faults_work(void)
{
	u32 number;

	if (!sim_chance(faults.work_of_1024))
		return;
	number = 1 + sim_below(world.count);
	if (!sim_plans_silence(number))
		sim_client_work(&world.hosts[number]);
}

/* After each step, while there are faults. */
void sim_faults_step(void)
{
	if (world.steps >= faults.next && !world.quiet)
		next_fault();
	if (faults.ambush.laid)
		watch_ambush();
	if (faults.again)
		watch_again();
	if (faults.anew_next && world.steps >= faults.anew_next)
		watch_anew();
	sim_plans_step();
	if (faults.away && world.steps % 16 == 0)
		watch_away();
	if (faults.rot_until && world.steps % 16 == 0)
		watch_rot();
	sim_faults_work();
}
