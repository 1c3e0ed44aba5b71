// SPDX-License-Identifier: GPL-2.0
/*
 * Random faults on a lab. Everything is decided by the seed.
 */
#include "core_simulation.h"
#include "core_test.h"

enum fault {
	FAULT_CRASH,
	FAULT_BOOT,
	FAULT_CUT_ONE_WAY,
	FAULT_CUT,
	FAULT_ISOLATE,
	FAULT_HEAL,
	FAULT_PAUSE,
	FAULT_STALL,
	FAULT_TRANSFER,
	FAULT_COMPACT,
	FAULT_BULK_LOST,
	FAULT_STORAGE,
	FAULT_CONFIG,
	FAULT_UNFIT,
	FAULT_END
};

struct simulation {
	struct lab *lab;
	u32 enabled;		/* bitmap of faults in this run */
	u32 fault_rate;		/* of 1024, per step */
	u32 propose_rate;
	u32 read_rate;
};

static u32 random_node(struct lab *lab)
{
	return 1 + lab_below(lab, lab->count);
}

/* As many as there may be, or fewer. */
static void draw_witnesses(struct lab *lab, u32 voters)
{
	u32 most = (voters + 1) / 2 - 1;

	for (u32 i = 0; i < most; i++)
		lab->configs[0].members[lab_below(lab, voters)].flags |=
			QBD_CORE_WITNESS;
	/* Of those that may become voters, too. */
	for (u32 i = voters; i < lab->count; i++)
		if (lab_chance(lab, 256))
			lab->configs[0].members[i].flags |= QBD_CORE_WITNESS;
}

static void draw(struct simulation *simulation, u64 seed)
{
	static const u32 sizes[] = { 1, 2, 3, 3, 3, 4, 5, 5, 5, 7 };
	static const u64 delays[] = { 50, 500, 5000, 20000 };
	struct lab *lab = simulation->lab;
	u32 voters, count;

	lab->random = seed;
	voters = sizes[lab_below(lab, 10)];
	count = voters + lab_below(lab, 3);
	lab_setup(lab, count, voters, lab_random(lab));
	lab->weather.delay = delays[lab_below(lab, 4)] * LAB_US;
	lab->weather.delay_spread = delays[lab_below(lab, 4)] * LAB_US;
	lab->weather.disk = delays[lab_below(lab, 3)] * LAB_US;
	lab->weather.disk_spread = delays[lab_below(lab, 4)] * LAB_US;
	if (lab_chance(lab, 512))
		lab->weather.drop = lab_below(lab, 200);
	if (lab_chance(lab, 512))
		lab->weather.duplicate = lab_below(lab, 200);
	if (lab_chance(lab, 512))
		lab->weather.late = lab_below(lab, 300);
	if (lab_chance(lab, 512))
		lab->options.window = 4096 + lab_below(lab, 1 << 17);
	lab->options.resend = 300 * LAB_MS;
	if (lab_chance(lab, 512))
		for (u32 id = 1; id <= count; id++)
			lab->nodes[id].clock_drift =
				(int)lab_below(lab, 81) - 40;
	if (lab_chance(lab, 256))
		for (u32 i = 0; i < count; i++)
			lab->configs[0].members[i].priority =
				(u8)lab_below(lab, 3);
	if (lab_chance(lab, 300))
		draw_witnesses(lab, voters);
	simulation->enabled = (u32)lab_random(lab) | QBD_BIT(FAULT_BOOT) |
			      QBD_BIT(FAULT_HEAL) | QBD_BIT(FAULT_COMPACT);
	simulation->fault_rate = 1 + lab_below(lab, 30);
	simulation->propose_rate = lab_below(lab, 400);
	simulation->read_rate = lab_below(lab, 100);
	/* A write of term and vote that takes longer than an election timeout. */
	if (lab_chance(lab, 128))
		lab->weather.hard = lab_below(lab, 400) * LAB_MS;
}

/* The next step of a change of voters, or the first one of a new change. */
static void change_config(struct lab *lab, u32 leader)
{
	struct qbd_config config;
	u32 voters = 0;

	if (lab->config_count > LAB_CONFIGS / 2)
		return;
	config = *qbd_core_config(lab_core(lab, leader));
	if (qbd_config_is_joint(&config)) {
		for (u32 i = 0; i < config.count; i++) {
			u8 *flags = &config.members[i].flags;

			*flags = (*flags & QBD_CORE_WITNESS) |
				 (*flags & QBD_CORE_VOTER ? QBD_CORE_VOTER :
							    QBD_CORE_LEARNER);
		}
	} else {
		for (u32 i = 0; i < config.count; i++) {
			u8 *flags = &config.members[i].flags;
			u8 kept = *flags & QBD_CORE_WITNESS;

			if (*flags & QBD_CORE_VOTER)
				kept |= QBD_CORE_VOTER_OLD;
			if (lab_chance(lab, 600)) {
				*flags = QBD_CORE_VOTER | kept;
				voters++;
			} else {
				*flags = QBD_CORE_LEARNER | kept;
			}
		}
		if (!voters || qbd_config_check(&config))
			return;
	}
	lab_propose_config(lab, leader, &config);
}

static void crash(struct lab *lab)
{
	u32 id = random_node(lab);

	lab_crash(lab, id);
	/* Sometimes it is back at once, before anyone noticed. */
	if (lab_chance(lab, 256))
		lab_boot(lab, id);
}

static void make_fit(struct lab *lab, u32 id)
{
	struct lab_node *node = &lab->nodes[id];

	if (!node->up || node->disk.filling)
		return;
	qbd_core_set_fitness(&node->core, lab_node_now(lab, node),
			     QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS);
	lab_drain(lab, node);
}

static void heal(struct lab *lab)
{
	memset(lab->cut_control, 0, sizeof(lab->cut_control));
	memset(lab->cut_bulk, 0, sizeof(lab->cut_bulk));
	for (u32 id = 1; id <= lab->count; id++) {
		make_fit(lab, id);
		/* A new disk, so to speak. */
		if (lab->nodes[id].up && lab->nodes[id].core.failed)
			lab_crash(lab, id);
		if (!lab->nodes[id].up && lab_chance(lab, 512))
			lab_boot(lab, id);
	}
}

static void unfit(struct lab *lab)
{
	struct lab_node *node = &lab->nodes[random_node(lab)];
	u32 fitness = QBD_MAY_VOTE | QBD_COUNTS;

	if (!node->up || node->disk.filling)
		return;
	if (lab_chance(lab, 700))
		fitness |= QBD_MAY_LEAD;
	qbd_core_set_fitness(&node->core, lab_node_now(lab, node), fitness);
	lab_drain(lab, node);
}

static void storage_fails(struct lab *lab)
{
	struct lab_node *node = &lab->nodes[random_node(lab)];

	if (!node->up || !lab_chance(lab, 128))
		return;
	qbd_core_storage_failed(&node->core, lab_node_now(lab, node));
	lab_drain(lab, node);
}

static void transfer(struct lab *lab)
{
	u32 leader = lab_leader(lab);

	if (leader)
		lab_transfer(lab, leader, random_node(lab));
}

static void inject(struct simulation *simulation)
{
	struct lab *lab = simulation->lab;
	u32 fault = lab_below(lab, FAULT_END);
	u32 a = random_node(lab), b = random_node(lab);

	if (!(simulation->enabled & QBD_BIT(fault)))
		return;
	switch (fault) {
	case FAULT_CRASH:
		crash(lab);
		break;
	case FAULT_BOOT:
		if (!lab->nodes[a].up)
			lab_boot(lab, a);
		break;
	case FAULT_CUT_ONE_WAY:
		lab->cut_control[a][b] = true;
		lab->cut_bulk[a][b] = lab_chance(lab, 512);
		break;
	case FAULT_CUT:
		if (a != b)
			lab_cut(lab, a, b, true);
		break;
	case FAULT_ISOLATE:
		lab_isolate(lab, a, true);
		break;
	case FAULT_HEAL:
		heal(lab);
		break;
	case FAULT_PAUSE:
		lab->nodes[a].paused_until = lab->now +
					     lab_below(lab, 1000) * LAB_MS;
		break;
	case FAULT_STALL:
		lab->nodes[a].stalled_until = lab->now +
					      lab_below(lab, 1000) * LAB_MS;
		break;
	case FAULT_TRANSFER:
		transfer(lab);
		break;
	case FAULT_COMPACT:
		if (lab->nodes[a].up)
			lab_compact(lab, a, lab->nodes[a].last -
				    qbd_min(lab->nodes[a].last,
					    lab_below(lab, 20)));
		break;
	case FAULT_BULK_LOST:
		if (a == b)
			break;
		lab_link(lab, a, b, QBD_LINK_BULK, false);
		lab_link(lab, a, b, QBD_LINK_BULK, true);
		break;
	case FAULT_STORAGE:
		storage_fails(lab);
		break;
	case FAULT_CONFIG:
		if (lab_leader(lab))
			change_config(lab, lab_leader(lab));
		break;
	default:
		unfit(lab);
		break;
	}
}

static void work(struct simulation *simulation)
{
	struct lab *lab = simulation->lab;
	u32 id = random_node(lab);
	struct lab_node *node = &lab->nodes[id];

	if (!node->up || node->paused_until > lab->now)
		return;
	if (lab_chance(lab, simulation->propose_rate) &&
	    node->last - node->base_index < LAB_LOG / 2)
		lab_propose(lab, id);
	if (lab_chance(lab, simulation->read_rate))
		lab_read(lab, id, lab_chance(lab, 512) ? QBD_CORE_READ_LEASE :
							 QBD_CORE_READ_QUORUM);
}

static void end_of_faults(struct lab *lab)
{
	heal(lab);
	lab->weather.drop = 0;
	lab->weather.duplicate = 0;
	lab->weather.late = 0;
	lab->weather.delay = LAB_MS;
	lab->weather.delay_spread = LAB_MS;
	lab->weather.disk = LAB_MS;
	lab->weather.disk_spread = LAB_MS;
	for (u32 id = 1; id <= lab->count; id++) {
		struct lab_node *node = &lab->nodes[id];

		node->paused_until = 0;
		node->stalled_until = 0;
		if (!node->up)
			lab_boot(lab, id);
	}
	for (u32 a = 1; a <= lab->count; a++)
		for (u32 b = 1; b < a; b++)
			lab_link(lab, a, b, QBD_LINK_BULK, true);
}

/* As the replica has it: who can lead to nothing lets others try. */
static void step_down(struct lab *lab, u32 id)
{
	struct lab_node *node = &lab->nodes[id];

	if (qbd_core_step_down(&node->core, lab_node_now(lab, node)))
		lab_drain(lab, node);
}

/* Healed, it must elect, commit something new, and bring everyone up to it. */
static void must_go_on(struct lab *lab)
{
	u64 end = lab->now + 20 * LAB_S;
	u64 look_at = lab->now + LAB_S;
	u64 index = 0;

	while (!lab->error && lab->now < end) {
		u32 leader = lab_leader(lab);
		u32 there = 0;

		if (leader && lab->now >= look_at) {
			step_down(lab, leader);
			look_at = lab->now + LAB_S;
			continue;
		}
		if (leader && (!index || lab_entry_id(&lab->nodes[leader],
						      index) == 0))
			index = lab_propose(lab, leader);
		for (u32 id = 1; id <= lab->count; id++)
			there += index && lab->nodes[id].core.commit >= index;
		if (there == lab->count && lab->commit >= index)
			return;
		if (!lab_step(lab))
			break;
	}
	lab_fail(lab, lab_leader(lab), index, "progress: healed but stuck");
}

/* Are the others a majority, without @id, and of a list that is no joint one? */
static bool is_spare(struct lab *lab, u32 leader, u32 id)
{
	const struct qbd_config *config = qbd_core_config(lab_core(lab, leader));
	u32 voters = 0, left = 0;

	for (u32 i = 0; i < config->count; i++) {
		bool votes = config->members[i].flags & QBD_CORE_VOTER;

		voters += votes;
		left += votes && config->members[i].id != id;
	}
	return id != leader && !qbd_config_is_joint(config) && left > voters / 2;
}

/*
 * Who was cut off, and tried to be elected meanwhile, deposes nobody when it is back
 * (accident 5).
 */
static void must_stay(struct lab *lab)
{
	u32 id = random_node(lab);
	u32 leader;
	u64 term;

	/* What is under way from before comes to an end: transfers, and what is late. */
	lab_run(lab, 4 * LAB_S);
	leader = lab_leader(lab);
	if (lab->error || !leader || !is_spare(lab, leader, id) ||
	    qbd_core_self_is_witness(lab_core(lab, leader)))
		return;
	term = lab_core(lab, leader)->term;
	lab_isolate(lab, id, true);
	/* Or its log is as good as the others', which alone keeps nobody from voting for it. */
	if (lab_chance(lab, 512))
		lab_propose(lab, leader);
	lab_run(lab, 2 * LAB_S);
	lab_isolate(lab, id, false);
	lab_run(lab, 2 * LAB_S);
	if (lab_leader(lab) != leader || lab_core(lab, leader)->term != term)
		lab_fail(lab, id, term, "calm: who came back deposed a leader");
}

bool simulation_run(u64 seed, u64 steps)
{
	struct simulation simulation = { .lab = &the_lab };
	struct lab *lab = &the_lab;

	draw(&simulation, seed);
	lab_boot_all(lab);
	for (u64 step = 0; step < steps && !lab->error; step++) {
		if (!lab_step(lab) && !lab->error)
			lab_boot(lab, random_node(lab));
		work(&simulation);
		if (lab_chance(lab, simulation.fault_rate))
			inject(&simulation);
	}
	if (!lab->error) {
		end_of_faults(lab);
		must_go_on(lab);
		must_stay(lab);
	}
	if (lab->error)
		qbd_test_print("seed %llu: %s\n", (unsigned long long)seed,
			       lab->error);
	return !lab->error;
}

#ifdef __KERNEL__
#define SIMULATION_SEEDS 40
#define SIMULATION_STEPS 3000
#else
#define SIMULATION_SEEDS 600
#define SIMULATION_STEPS 20000
#endif

/* Fixed seeds: a failure here is the fault of the last change. */
static void random_faults_break_no_promise(struct qbd_test *test)
{
	for (u64 seed = 1; seed <= SIMULATION_SEEDS; seed++)
		QBD_TRUE(test, simulation_run(seed, SIMULATION_STEPS));
}

QBD_SUITE(core_simulation,
	  QBD_CASE(random_faults_break_no_promise));
