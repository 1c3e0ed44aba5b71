// SPDX-License-Identifier: GPL-2.0
/*
 * Worlds in which the device grows: disks are enlarged, now and then, one, all others or all of
 * them, and somebody asks for a larger device; what follows is often disturbed. What has to hold:
 *
 *   the history        only makes it larger, and what it writes lies within
 *   the disks          of all members, voters or not, have room for a size that is committed;
 *                      who keeps no data needs none, and is not asked
 *   a member           has the size of what it has applied, or a later one that is committed
 *   its block device   shows none that is not committed, and after a power cut no smaller one
 *                      than it had shown
 *   in the end         it is as large as it can be, everywhere
 *
 * All this is drawn apart from the rest, of which nothing else changes so.
 */
#include "sim.h"

#define SIZES_MAX	1024u

/* The device has @blocks behind entry @index, by the committed history. */
static struct {
	u64 index;
	u64 blocks;
} sizes[SIZES_MAX];
static u32 count;

/* What the block device of each host has shown to its users. */
static u64 shown[SIM_HOSTS_MAX + 1];
/* The life in which somebody asks there; 0: nobody does. */
static u32 asking[SIM_HOSTS_MAX + 1];
static u64 wanted[SIM_HOSTS_MAX + 1];

static struct {
	u64 random;
	u64 next;		/* step */
	u32 rate;
	u64 cut_at;		/* step: power goes, 0: it does not */
	u32 cut;		/* of this host; 0: of all */
} faults;

static u32 below(u32 bound)
{
	return sim_below_of(&faults.random, bound);
}

/* Between the first size and the last; seldom a whole number of extents. */
static u64 draw_size(u64 least)
{
	u32 stripe = 1 + below(SIM_USED_BLOCKS / SIM_STRIPE);
	u64 blocks = sim_place(stripe * SIM_STRIPE - 1) + 1 - below(SIM_STRIPE / 2);

	return stripe == SIM_USED_BLOCKS / SIM_STRIPE ? sim_device_blocks :
							max(blocks, least);
}

void sim_sizes_begin(void)
{
	memset(shown, 0, sizeof(shown));
	memset(asking, 0, sizeof(asking));
	memset(&faults, 0, sizeof(faults));
	faults.random = world.seed ^ 0x67726f777468ull;
	world.grows = sim_has(SIM_SIZES, !below(4) && !world.quiet);
	sizes[0].index = 0;
	sizes[0].blocks = sim_device_blocks;
	count = 1;
	if (!world.grows)
		return;
	sizes[0].blocks = draw_size(sim_place(4 * SIM_STRIPE - 1));
	sim_trace("the device begins with %llu of %llu blocks", sizes[0].blocks,
		  sim_device_blocks);
	faults.rate = 200 + below(3000);
	faults.next = 100 + below(2 * faults.rate);
}

/* What was committed beyond @common is lost. */
void sim_sizes_fork(u64 common)
{
	while (count > 1 && sizes[count - 1].index > common)
		count--;
}

u64 sim_sizes_first(void)
{
	return sizes[0].blocks;
}

static u64 newest(void)
{
	return sizes[count - 1].blocks;
}

static u64 size_at(u64 index)
{
	u32 at = count - 1;

	while (sizes[at].index > index)
		at--;
	return sizes[at].blocks;
}

/* For a new disk in that host, with room for a device of @blocks at least. */
u64 sim_sizes_room(struct sim_host *host, u64 blocks)
{
	shown[host->number] = 0;
	if (!world.grows)
		return sim_device_blocks;
	if (host->exists)
		return sim_member_room(host);
	return below(2) ? blocks : draw_size(blocks);
}

/* ---- what has to hold --------------------------------------------------- */

static void check_room(u64 index, u64 blocks)
{
	const struct qbd_membership_layout *list = sim_lists_now();

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		const struct sim_host *host = &world.hosts[le32_to_cpu(list->members[i].id)];

		/* There may be no disk for it so far: by the list. */
		if (!qbd_flags_keep_data(le16_to_cpu(list->members[i].flags)))
			continue;
		if (!host->exists)
			sim_fail("entry %llu: the device has %llu blocks, and member %u has no disk yet",
				 index, blocks, host->number);
		else if (sim_member_room(host) < blocks)
			sim_fail("entry %llu: the device has %llu blocks, and the disk of member %u has room for %llu",
				 index, blocks, host->number, sim_member_room(host));
	}
}

void sim_sizes_committed(const struct qbd_record *record)
{
	const struct qbd_record_shared *shared = &record->header->shared;
	u64 blocks = le64_to_cpu(shared->device_blocks);

	if (qbd_record_reach(record->header) > newest())
		sim_fail("entry %llu reaches up to block %llu, and the device has %llu",
			 record->index, qbd_record_reach(record->header), newest());
	if (le16_to_cpu(shared->kind) != QBD_RECORD_RESIZE)
		return;
	if (blocks <= newest())
		sim_fail("entry %llu: the device has %llu blocks, and is to have %llu",
			 record->index, newest(), blocks);
	check_room(record->index, blocks);
	if (count == SIZES_MAX)
		abort();
	sizes[count].index = record->index;
	sizes[count++].blocks = blocks;
	sim_counts.resizes++;
	sim_trace("entry %llu: the device has %llu blocks", record->index, blocks);
}

void sim_sizes_check(const struct sim_host *host, const struct qbd_store *store)
{
	u64 blocks = store->identity.device_blocks;

	if (store->failed || store->fill.resetting)
		return;
	if (blocks < size_at(store->applied_index))
		sim_fail("host %u has applied %llu, and its device has %llu blocks: the history says %llu",
			 host->number, store->applied_index, blocks,
			 size_at(store->applied_index));
	if (store->geometry.device_blocks > newest())
		sim_fail("host %u: its device has %llu blocks, and %llu are committed",
			 host->number, blocks, newest());
}

/* The device that a table is of which is written now: beyond it anything may be. */
u64 sim_sizes_of_table(const struct qbd_replica *replica)
{
	const struct qbd_store *store = replica ? replica->store : NULL;

	/* What recovery mends. */
	if (!store || replica->phase == QBD_PHASE_STARTING)
		return sizes[0].blocks;
	return store->checkpoint.step ? store->checkpoint.next.device_blocks :
					store->geometry.device_blocks;
}

void sim_sizes_shown(const struct sim_host *host, u64 blocks)
{
	u64 before = shown[host->number];

	if (blocks > newest())
		sim_fail("host %u: its block device shows %llu blocks, and %llu are committed",
			 host->number, blocks, newest());
	/* A state block that rots takes the size along, and an older image has an older one. */
	if (blocks < before && !host->disk_erred && !host->rolled_back &&
	    !host->rotten && !host->rot_left &&
	    !host->spoiled)
		sim_fail("host %u: its block device shows %llu blocks, and has shown %llu",
			 host->number, blocks, before);
	shown[host->number] = blocks;
}

bool sim_sizes_settled(const struct sim_host *host, const struct qbd_store *store)
{
	/* There is no block device on the host of a witness. */
	return qbd_store_identity(store)->device_blocks == newest() &&
	       qbd_store_durable_blocks(store) == newest() &&
	       (host->witness || shown[host->number] == newest());
}

/* ---- asking ------------------------------------------------------------- */

static void resize_thread(void *object)
{
	struct sim_host *host = object;
	u64 blocks = wanted[host->number], before = newest();
	char text[QBD_ERROR_TEXT_SIZE];
	int error;

	if (host->replica && !host->going_down) {
		error = qbd_replica_resize(host->replica, blocks, text, sizeof(text));
		sim_trace("resize to %llu blocks at host %u: %s", blocks, host->number,
			  error ? text : "taken");
		if (!error && blocks && blocks <= before)
			sim_fail("host %u takes a resize to %llu blocks, and the device has %llu",
				 host->number, blocks, before);
	}
	asking[host->number] = 0;
}

static void ask(struct sim_host *host, u64 blocks)
{
	const struct qbd_replica *replica = sim_replica(host);

	if (!host->replica || !replica || replica->phase != QBD_PHASE_RUNNING ||
	    host->going_down || asking[host->number] == host->life + 1)
		return;
	asking[host->number] = host->life + 1;
	wanted[host->number] = blocks;
	sim_thread_on(host, resize_thread, host);
}

static struct sim_host *leader(void)
{
	for (u32 number = 1; number <= world.count; number++)
		if (world.hosts[number].powered && world.hosts[number].role == QBD_ROLE_LEADER)
			return &world.hosts[number];
	return NULL;
}

/* ---- faults ------------------------------------------------------------- */

static void enlarge(struct sim_host *host, u64 blocks)
{
	if (host->exists && sim_keeps_data(host) && blocks > sim_member_room(host))
		sim_member_enlarge(host, blocks);
}

static void some_fault(void)
{
	struct sim_host *host = &world.hosts[1 + below(world.count)];
	u64 blocks = draw_size(0);
	bool all = below(2), others = below(2);

	for (u32 number = 1; number <= world.count; number++)
		if (all || (others ? host->number != number : host->number == number))
			enlarge(&world.hosts[number], blocks);
	if (leader() && below(2))
		host = leader();
	/* To a size, also one that it has or had; or as far as it goes. */
	if (all || below(2))
		ask(host, below(2) ? blocks : 0);
	if (!below(2))
		return;
	faults.cut_at = world.steps + 1 + below(below(2) ? 100 : 1000);
	faults.cut = below(3) ? 1 + below(world.count) : 0;
}

static void cut_power(void)
{
	faults.cut_at = 0;
	if (!faults.cut) {
		sim_faults_outage();
		return;
	}
	sim_member_power_cut(&world.hosts[faults.cut]);
	if (below(2))
		sim_member_power_on(&world.hosts[faults.cut]);
}

/* After each step, while there are faults. */
void sim_sizes_step(void)
{
	if (!world.grows)
		return;
	if (faults.cut_at && world.steps >= faults.cut_at)
		cut_power();
	if (world.steps < faults.next)
		return;
	faults.next = world.steps + 1 + below(2 * faults.rate);
	some_fault();
}

/* Everything is well: it grows as far as that goes. */
bool sim_sizes_final(void)
{
	if (newest() == sim_device_blocks)
		return true;
	for (u32 number = 1; number <= world.count; number++)
		enlarge(&world.hosts[number], sim_device_blocks);
	if (leader() && world.steps % 64 == 0)
		ask(leader(), sim_device_blocks);
	return false;
}
