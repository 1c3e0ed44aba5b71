// SPDX-License-Identifier: GPL-2.0
/*
 * Records of the log that rot while their member is up.
 *
 * faults.c spoils a disk at a loss of power: what it did is met at once, when the member
 * comes up. Here nobody looks for a while. The record is met when it is read again: to be
 * sent to a member that is behind, or when the member comes up some day; or never, for the
 * ring comes round and it is written over.
 *
 *   whose      one disk of a run, the same one that rots otherwise, while all others are
 *              whole. While any of it is left no other disk may be lost
 *   which      what the state block on the disk knows to be durable: of later records nothing
 *              tells those that rot from those that were never written
 *   how        flipped bits, a sector of zeroes, a block that was meant for another place,
 *              or one that was never written and holds what was there before. That one only
 *              where it will not be the end of the log: there nobody could tell
 *
 * Most of all what a member lacks that is away, at the leader that has let it go from
 * memory: it is read again as soon as that member is back.
 *
 * The state block says how far the log was durable as of when it was written, and the slot
 * that is not the newest may say less, even if all that was to be written is in both. So what
 * is known is what the newest one says, and that slot may go bad later on only if the other
 * one knows of all that rotted: else nothing tells it from what was never written.
 *
 * A follower has to get none of it, and is made whole in another way; and the member that
 * finds it when it comes up knows what it lacks, and is sent it again.
 *
 * In the midst of other faults the log soon passes by who lacks it, or another member leads,
 * and nobody sees what would have become of him. So it is done once more when all is well
 * (sim_records_end()), and nothing happens to him or his leader: he has to become whole.
 *
 * Drawn apart from the rest: worlds without it stay what they are.
 */
#include "../../kmod/core/internal.h"
#include "sim.h"

#define BLOCKS_MAX	16u
#define AWAY_STEPS	5000u

enum loss {
	LOSS_NONE,
	LOSS_POWER_CUT,
	LOSS_DOWN,		/* in order */
};

/* A block of the ring that is not what it should be. */
struct spoiled {
	u64 block;		/* of the disk */
	u64 position;		/* of the ring */
	u64 durable;		/* a state block that says as much tells that it is missing */
	u8 data[QBD_BLOCK_SIZE];
};

static struct {
	bool enabled;
	u64 random;
	u64 next;		/* step: of the next try */
	struct sim_host *host;	/* whose disk it is */
	struct spoiled spoiled[BLOCKS_MAX];
	u32 count;
	/* A member is away, so that what it lacks is read again; or NULL: */
	struct sim_host *away;
	u64 first;		/* record that it lacked when it went */
	bool cut;		/* cut off; else its power is gone */
	u64 until;		/* step: it comes back in any case */
	enum loss loss;		/* what happens to @host then, at step: */
	u64 loss_at;
	bool on_again;		/* it comes back at @loss_at */
} records;

static u32 below(u32 bound)
{
	return sim_below_of(&records.random, bound);
}

void sim_records_begin(void)
{
	memset(&records, 0, sizeof(records));
	records.random = world.seed ^ 0x7265636f726473ull;
	records.enabled = sim_has(SIM_RECORDS, world.rots && !world.quiet && below(2));
	records.next = 500 + below(2000);
}

bool sim_records_left(const struct sim_host *host)
{
	return records.count && (!host || records.host == host);
}

/* ---- what is left of it ------------------------------------------------- */

/* The block was written since, or is free: both slots of the state say so. */
static bool is_over(const struct spoiled *spoiled)
{
	const struct qbd_replica *replica = sim_replica(records.host);
	const struct qbd_state_writer *state;

	if (memcmp(sim_disk_look(records.host, spoiled->block), spoiled->data, QBD_BLOCK_SIZE))
		return true;
	if (!replica || replica->phase != QBD_PHASE_RUNNING)
		return false;
	state = &replica->store->state;
	return state->mirrored && !state->writing &&
	       spoiled->position < state->disk.log_first_position;
}

static void forget_what_is_over(void)
{
	for (u32 i = records.count; i-- > 0;) {
		if (!is_over(&records.spoiled[i]))
			continue;
		sim_trace("host %u: nothing is left of what rotted at position %llu",
			  records.host->number, records.spoiled[i].position);
		records.spoiled[i] = records.spoiled[--records.count];
		sim_counts.records_over++;
	}
	if (!records.count)
		records.host->rot_left = false;
}

/*
 * Does this slot of the state, as it is on the disk, say of all that rotted there that it was
 * durable? If so the other one may be lost.
 */
bool sim_records_known_by(const struct sim_host *host, unsigned int slot)
{
	u64 block = QBD_STATE_SLOT_BLOCK(slot);
	struct qbd_state state;
	const char *reason;

	if (!sim_records_left(host))
		return true;
	if (qbd_state_check(sim_disk_look(host, block), block, sim_uuid, &state, &reason) !=
	    QBD_BLOCK_GOOD)
		return false;
	for (u32 i = 0; i < records.count; i++)
		if (state.durable_index < records.spoiled[i].durable)
			return false;
	return true;
}

void sim_records_void(const struct sim_host *host)
{
	if (records.host == host)
		records.count = 0;
}

/* ---- it rots ------------------------------------------------------------ */

static u64 known_durable(const struct qbd_store *store)
{
	return min(store->state.disk.durable_index, store->log.durable_index);
}

static const struct qbd_replica *running(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	return replica && replica->phase == QBD_PHASE_RUNNING && !host->going_down ?
	       replica : NULL;
}

void sim_records_read(const struct sim_host *host, u64 block, u64 count)
{
	if (!sim_records_left(host) || !running(host))
		return;
	for (u32 i = 0; i < records.count; i++)
		sim_counts.records_read += records.spoiled[i].block - block < count;
}

static bool leads(const struct sim_host *host)
{
	const struct qbd_replica *replica = running(host);

	return replica && replica->core->role == QBD_ROLE_LEADER &&
	       replica->core->commit >= replica->core->own_first;
}

static bool may_rot(const struct sim_host *host)
{
	const struct qbd_replica *replica = running(host);

	return replica && !host->unsound && !replica->store->failed &&
	       (!world.worst_disk || world.worst_disk == host->number) &&
	       (!records.count || records.host == host) &&
	       (records.count || !host->rot_left) &&
	       !replica->store->state.writing && sim_faults_others_whole(host);
}

/* Is it certain that a record behind it will be in the log, by which it is found out? */
static bool stays_inside(const struct qbd_store *store, u64 index)
{
	return index <= store->state.disk.applied_index ||
	       index < min(store->log.commit_index, known_durable(store));
}

static void rot_block(struct sim_host *host, const struct qbd_store *store, u64 index)
{
	const struct qbd_slot *slot = qbd_log_slot(store, index);
	struct spoiled *spoiled = &records.spoiled[records.count];
	enum sim_rot rot = below(SIM_ROT_UNREADABLE);
	u64 until_end, position = slot->position;

	if (below(2))
		position += below(1 + slot->data_blocks);
	if (rot == SIM_ROT_STALE && (!stays_inside(store, index) || records.count))
		rot = below(SIM_ROT_STALE);
	spoiled->block = qbd_log_disk_block(store, position, &until_end);
	spoiled->position = position;
	/* A stale one is good by itself, and found out by the one behind it. */
	spoiled->durable = index + (rot == SIM_ROT_STALE);
	for (u32 i = 0; i < records.count; i++)
		if (records.spoiled[i].position == position)
			return;
	memcpy(spoiled->data, sim_disk_look(host, spoiled->block), QBD_BLOCK_SIZE);
	sim_disk_rot(host, spoiled->block, rot);
	if (!memcmp(spoiled->data, sim_disk_look(host, spoiled->block), QBD_BLOCK_SIZE))
		return;
	memcpy(spoiled->data, sim_disk_look(host, spoiled->block), QBD_BLOCK_SIZE);
	records.count++;
	sim_counts.records_rotten++;
	sim_counts.records_old += !slot->record;
	sim_trace("host %u: record %llu rots at position %llu", host->number, index, position);
}

/* Some of the records from @first to @last. Return: false if there are none. */
static bool strike(struct sim_host *host, u64 first, u64 last)
{
	const struct qbd_store *store = sim_replica(host)->store;
	u32 count = 1 + below(3);

	first = max(first, store->log.first_index);
	last = min(last, known_durable(store));
	if (first > last)
		return false;
	world.worst_disk = host->number;
	records.host = host;
	while (count-- && records.count < BLOCKS_MAX)
		rot_block(host, store, first + below(last - first + 1));
	if (!records.count)
		return false;
	host->rotten = true;
	host->rot_left = true;
	return true;
}

/* Sooner or later it comes up again. */
static void draw_loss(void)
{
	static const u32 within[] = { 1, 40, 400, 3000 };

	if (below(2))
		return;
	records.loss = below(3) ? LOSS_POWER_CUT : LOSS_DOWN;
	records.loss_at = world.steps + below(within[below(ARRAY_SIZE(within))]);
}

static void lose(void)
{
	struct sim_host *host = records.host;

	if (records.on_again) {
		sim_member_power_on(host);
		records.on_again = host->going_down;
		records.loss_at = world.steps + 100;
		return;
	}
	if (records.loss == LOSS_DOWN)
		sim_member_down(host);
	else
		sim_member_power_cut(host);
	records.loss = LOSS_NONE;
	records.on_again = true;
	records.loss_at = world.steps + below(600);
}

static void next_try(void)
{
	records.next = world.steps + 1 + below(1500);
}

/* ---- any of them -------------------------------------------------------- */

static bool others_lead(const struct sim_host *host)
{
	for (u32 number = 1; number <= world.count; number++)
		if (number != host->number && leads(&world.hosts[number]) &&
		    world.hosts[number].term >= host->term)
			return true;
	return false;
}

static struct sim_host *some_host(void)
{
	u32 number = 1 + below(world.count);

	return &world.hosts[world.worst_disk ? world.worst_disk : number];
}

static void rot_somewhere(void)
{
	struct sim_host *host = some_host();
	const struct qbd_store *store;
	u64 first = 0, last = ~0ull;

	if (!may_rot(host) || (!leads(host) && !others_lead(host)))
		return;
	store = sim_replica(host)->store;
	switch (below(3)) {
	case 0:
		/* When it comes up it needs them. */
		first = max(store->state.disk.applied_index + 1,
			    known_durable(store) - min(known_durable(store), 40ull));
		break;
	case 1:
		last = store->state.disk.applied_index;
		break;
	default:
		break;
	}
	if (!strike(host, first, last))
		return;
	next_try();
	draw_loss();
}

/* ---- what is about to be read again ------------------------------------- */

/* The only disk that may rot is to be a leader's. */
static void let_it_lead(void)
{
	const struct sim_host *host = &world.hosts[world.worst_disk];

	if (!world.worst_disk || !running(host) || leads(host) || host->unsound)
		return;
	for (u32 number = 1; number <= world.count; number++)
		if (leads(&world.hosts[number]))
			sim_member_move_leader(&world.hosts[number], host->number);
}

static void send_away(void)
{
	struct sim_host *host = &world.hosts[1 + below(world.count)];
	bool led = false;

	for (u32 number = 1; number <= world.count; number++)
		led |= leads(&world.hosts[number]) && may_rot(&world.hosts[number]) &&
		       number != host->number;
	if (!led || !running(host) || host->unsound || leads(host) ||
	    !sim_lists_has(host->number) || host->number == world.worst_disk)
		return;
	records.away = host;
	records.first = qbd_store_last_index(sim_replica(host)->store) + 1;
	records.until = world.steps + AWAY_STEPS;
	records.cut = world.healing || below(2);
	sim_trace("host %u is %s, for what it lacks is to rot", host->number,
		  records.cut ? "cut off" : "off");
	if (records.cut)
		sim_network_isolate(host->number, true);
	else
		sim_member_power_cut(host);
}

static void bring_back(void)
{
	struct sim_host *host = records.away;

	records.away = NULL;
	next_try();
	if (records.cut)
		sim_network_isolate(host->number, false);
	sim_member_power_on(host);
}

static bool rot_what_it_lacks(struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);
	const struct qbd_store *store = replica->store;
	u64 first = records.first, last = first;

	if (first < store->log.first_index)
		return false;
	while (qbd_store_record_is_old(store, last))
		last++;
	/* A few of them, so that the log goes on before one is met. */
	return last > first + 4 && strike(host, first, last - 1);
}

/* Memory is to be let go before the log has passed by the one that is away. */
static void write_much(struct sim_host *leader)
{
	const struct qbd_core *core = sim_replica(leader)->core;
	u32 stripe = below(SIM_USED_BLOCKS / SIM_STRIPE);
	struct sim_host *host = world.exclusive ? leader :
						  &world.hosts[1 + stripe % world.founders];

	if (core->trail.last < core->commit + 8 && host != records.away)
		sim_client_write(host, stripe * SIM_STRIPE, SIM_STRIPE);
}

static void watch_away(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if (!leads(host) || host == records.away)
			continue;
		write_much(host);
		if (!may_rot(host) || !rot_what_it_lacks(host))
			continue;
		sim_counts.records_wanted++;
		if (!world.healing && !below(3))
			draw_loss();
		bring_back();
		return;
	}
	if (world.steps >= records.until)
		bring_back();
}

void sim_records_watch(void)
{
	if (records.count && world.steps % 4 == 0)
		forget_what_is_over();
}

void sim_records_step(void)
{
	sim_records_watch();
	if (!records.enabled)
		return;
	if ((records.loss || records.on_again) && world.steps >= records.loss_at)
		lose();
	if (records.away && world.steps % 8 == 0)
		watch_away();
	if (records.away || records.loss || records.on_again || world.steps < records.next ||
	    world.steps % 8 || records.count == BLOCKS_MAX)
		return;
	if (!below(100))
		let_it_lead();
	else if (below(3))
		send_away();
	else
		rot_somewhere();
}

/* ---- when all is well --------------------------------------------------- */

static bool is_away(void)
{
	if (!records.away && world.steps % 8 == 0)
		send_away();
	return records.away || world.steps >= records.until;
}

static bool is_back(void)
{
	if (records.away && world.steps % 8 == 0)
		watch_away();
	return !records.away;
}

/**
 * sim_records_end() - who is away lacks what rots at its leader; all is well
 *
 * It is cut off, so that nothing of its own is lost.
 *
 * Return: false if something did not come about that has to.
 */
bool sim_records_end(void)
{
	u64 before = sim_counts.records_wanted;

	/* Whom the faults have sent away is here by now. */
	if (records.away)
		bring_back();
	if (!records.enabled || below(2))
		return true;
	records.until = world.steps + AWAY_STEPS;
	let_it_lead();
	if (!sim_heal_until(is_away, "somebody is away, or nobody can be") ||
	    !sim_heal_until(is_back, "who was cut off is back"))
		return false;
	sim_counts.records_at_end += sim_counts.records_wanted - before;
	/* Who was cut off, too, if nothing could rot, is with the others again. */
	return sim_heal_end_well();
}
