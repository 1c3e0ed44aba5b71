// SPDX-License-Identifier: GPL-2.0
/*
 * What happens to a world.
 *
 * The seed decides how many hosts there are, what weather they live in, and which kinds
 * of fault may befall them (swarm testing: not all kinds in every run, so that each is
 * often alone). Fault number k has its own random numbers, made of seed and k, and comes
 * at a step that depends on those before it: so leaving some out leaves the others what
 * they are, and a run that failed can be made small.
 *
 * Disks are spoiled, replaced or made to fail only as long as everything that was
 * acknowledged is safe elsewhere, by what promises.rst assumes: one member at a time,
 * while all others are whole (so one disk of a run rots, fails writes, and may fail reads
 * when its member comes up, for that can make it a damaged one); and no disk is replaced
 * whose host voted in a term that nobody is known to lead.
 */
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
	FAULT_END
};

static struct {
	u32 enabled;		/* bitmap */
	u32 rate;		/* mean number of steps between two */
	u32 work_of_1024;
	u64 next;		/* step of the next one */
	u32 number;		/* of it */
	u64 healed_at;
	u64 random;		/* of the fault being made */
} faults;

u8 sim_left_out[SIM_FAULTS_MAX];

/* As sim_below(), of the fault's own numbers. */
static u32 below(u32 bound)
{
	u64 x = faults.random += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	x ^= x >> 31;
	return (x >> 32) * bound >> 32;
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

void sim_faults_begin(void)
{
	static const u32 counts[] = { 1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7, 9 };

	world.count = counts[sim_below(ARRAY_SIZE(counts))];
	draw_weather(&world.weather);
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
	faults.work_of_1024 = 1 + sim_below(sim_chance(512) ? 60 : 400);
	faults.next = 200 + sim_below(4 * faults.rate);
	faults.number = 0;
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		sim_member_format(host);
		host->unsound = true;
		if (faults.enabled & 1u << FAULT_DRIFT)
			host->drift = (s32)sim_below(400) - 200;
		sim_member_power_on(host);
	}
}

/* ---- what may be done to whom ------------------------------------------- */

static bool others_whole(const struct sim_host *host)
{
	for (u32 number = 1; number <= world.count; number++)
		if (number != host->number && (world.hosts[number].unsound ||
					       sim_disk_fails_writes(&world.hosts[number])))
			return false;
	return world.count >= 3;
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

static void new_disk(struct sim_host *host)
{
	if (!others_whole(host) || !term_is_led(host))
		return;
	sim_member_power_cut(host);
	sim_trace("a new disk: host %u", host->number);
	sim_member_format(host);
	host->durable = 0;
	host->spoiled = true;
	host->unsound = true;
	host->failed = false;
	sim_member_power_on(host);
}

/* A block of the kinds that have checksums; of those that are there twice, one. */
static u64 block_to_rot(u32 slot, const struct qbd_log *log)
{
	u64 used = log->next_position - log->first_position;

	switch (below(6)) {
	case 0:
		return 0;
	case 1:
		return QBD_STATE_SLOT_BLOCK(slot);
	case 2:
		return QBD_EXTENT_TABLE_BLOCK;
	default:
		/* Rather where something is. */
		if (used && below(4))
			return 512 + (log->first_position + below(used)) %
				     QBD_LOG_BLOCKS_MIN;
		return 512 + below(QBD_LOG_BLOCKS_MIN);
	}
}

static void rot(struct sim_host *host)
{
	u32 count = 1 + below(8), slot = below(QBD_STATE_SLOTS);
	const struct qbd_replica *replica = sim_replica(host);
	struct qbd_log log;

	/* Both slots of the state block say the same: losing either loses nothing. */
	if (!others_whole(host) || host->unsound || !term_is_led(host) || !replica ||
	    !replica->store->state.mirrored || replica->store->state.writing ||
	    (world.worst_disk && world.worst_disk != host->number))
		return;
	/* One good copy of everything survives, also for who is made anew later. */
	world.worst_disk = host->number;
	log = replica->store->log;
	sim_member_power_cut(host);
	sim_trace("rot: host %u", host->number);
	while (count--)
		sim_disk_rot(host, block_to_rot(slot, &log));
	host->spoiled = true;
	host->unsound = true;
	sim_member_power_on(host);
}

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

static void isolate(u32 number)
{
	for (u32 other = 1; other <= world.count; other++) {
		if (other == number)
			continue;
		sim_network_cut(number, other, true);
		sim_network_cut(other, number, true);
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
	isolate(leader->number);
	if (below(2))
		sim_disk_stall(leader, world.now + below(1500) * SIM_MS);
}

static void inject(enum fault fault, u32 a, u32 b)
{
	struct sim_host *host = &world.hosts[a];

	switch (fault) {
	case FAULT_POWER_CUT:
		power_cut(host);
		break;
	case FAULT_POWER_ON:
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
		isolate(a);
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
		sim_member_move_leader(host);
		break;
	case FAULT_DRIFT:
		host->clock_base = sim_host_time(host);
		host->clock_at = world.now;
		host->drift = (s32)below(400) - 200;
		break;
	case FAULT_READ_ERRORS:
		/* When a log is read to come up, an error can make a member damaged. */
		if (!world.worst_disk)
			world.worst_disk = a;
		sim_disk_errors(host, below(3) ? 0 : below(100), 0);
		break;
	case FAULT_WRITE_ERRORS:
		/* One disk in a run: whoever has it may not have noticed yet. */
		if ((world.worst_disk && world.worst_disk != a) || !others_whole(host) ||
		    host->unsound)
			break;
		world.worst_disk = a;
		sim_disk_errors(host, 0, below(200));
		break;
	case FAULT_ROT:
		rot(host);
		break;
	case FAULT_NEW_DISK:
		new_disk(host);
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
	a = 1 + below(world.count);
	b = 1 + below(world.count);
	if (!(faults.enabled >> fault & 1))
		return;
	if (number < SIM_FAULTS_MAX && sim_left_out[number])
		return;
	if (sim_list_faults)
		printf("#   fault %u at step %llu: %s (host %u, %u)\n", number, world.steps,
		       fault_names[fault], a, b);
	sim_trace("fault %u: %s (host %u, %u)", number, fault_names[fault], a, b);
	inject(fault, a, b);
}

/* After each step, while there are faults. */
void sim_faults_step(void)
{
	if (world.steps >= faults.next && !world.quiet)
		next_fault();
	if (sim_chance(faults.work_of_1024))
		sim_client_work(&world.hosts[1 + sim_below(world.count)]);
}

/* ---- healing ------------------------------------------------------------ */

static void heal_host(struct sim_host *host)
{
	host->paused_until = 0;
	sim_disk_stall(host, 0);
	sim_disk_errors(host, 0, 0);
}

/* One that cannot go on with its disk gets another, when nobody else lacks anything. */
static void mend_host(struct sim_host *host)
{
	if (host->going_up || host->going_down)
		return;
	if (host->powered && !host->network && !host->failed)
		sim_member_power_cut(host);	/* it did not come up: once more */
	if (host->failed)
		new_disk(host);
	else if (!host->powered)
		sim_member_power_on(host);
}

static void mend(void *object, u64 argument)
{
	if (!world.healing)
		return;
	for (u32 number = 1; number <= world.count; number++)
		mend_host(&world.hosts[number]);
	sim_event(NULL, world.now + 50 * SIM_MS, mend, NULL, 0);
}

static void stuck(const char *what)
{
	char text[400];
	size_t at = 0;

	for (u32 number = 1; number <= world.count && at < sizeof(text) - 80; number++) {
		const struct sim_host *host = &world.hosts[number];
		const struct qbd_replica *replica = sim_replica(host);

		at += snprintf(text + at, sizeof(text) - at, "; h%u %s", number,
			       !host->powered ? "off" : !replica ? "not up" : "");
		if (replica)
			at += snprintf(text + at, sizeof(text) - at,
				       "role %u term %llu last %llu commit %llu applied %llu%s%s%s%s",
				       replica->core->role, replica->core->term,
				       qbd_store_last_index(replica->store),
				       replica->core->commit,
				       qbd_store_applied_index(replica->store),
				       replica->core->failed ? " failed" : "",
				       replica->damaged ? " damaged" : "",
				       replica->is_new ? " new" : "",
				       qbd_replica_filling(replica) ? " filling" : "");
	}
	sim_fail("healed, and after 120 s still not: %s%s", what, text);
}

static bool all_off(void)
{
	for (u32 number = 1; number <= world.count; number++)
		if (world.hosts[number].powered)
			return false;
	return true;
}

static bool step_until(bool (*done)(void), const char *what)
{
	u64 end = world.now + 120 * SIM_S;

	while (!world.error && !done()) {
		if (world.now > end) {
			stuck(what);
			break;
		}
		if (!sim_step())
			sim_pass_time();
	}
	return !world.error;
}

/*
 * Everything is made good; then writes at every host have to complete, all members have
 * to come to the same state, and all go down in order with nothing left behind.
 */
void sim_faults_heal(void)
{
	world.healing = true;
	world.weather = (struct sim_weather){
		.delay = SIM_MS / 2, .delay_spread = SIM_MS / 2,
		.disk = 100 * SIM_US, .disk_spread = 100 * SIM_US,
		.run_spread = 5 * SIM_US,
	};
	sim_network_heal();
	for (u32 number = 1; number <= world.count; number++)
		heal_host(&world.hosts[number]);
	mend(NULL, 0);
	if (!step_until(sim_client_probe, "a write at every host") ||
	    !step_until(sim_client_idle, "an answer to every request") ||
	    !step_until(sim_invariants_settled, "all members whole and equal"))
		return;
	world.healing = false;
	sim_invariants_replicas();
	if (world.error)
		return;
	for (u32 number = 1; number <= world.count; number++)
		sim_member_down(&world.hosts[number]);
	step_until(all_off, "down in order");
}
