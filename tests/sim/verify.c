// SPDX-License-Identifier: GPL-2.0
/*
 * Replicas that are compared and repaired, in a third of the worlds.
 *
 * While there are faults nothing in the data is ever spoiled without the disk knowing, so
 * that whatever a verification calls different is wrong: also of members that join, that are
 * filled, that lost their log. It repairs what disks fail to read, under the clients' writes,
 * none of which may be lost.
 *
 * When all is healed blocks are spoiled on a disk, and each of them has to be found, at the
 * member that has it, and nothing else; and to be good again. A witness may be asked to
 * verify, and is no copy.
 *
 * The numbers are its own: other worlds stay what they are.
 */
#include "sim.h"

#define EVERY_STEPS	256u
#define ROTS_FEW	3u
#define ROTS_MAX	24u
#define WORK_STEPS	4000u

struct rot {
	u64 block;		/* of the device */
	u32 bit;
	u8 before[QBD_BLOCK_SIZE];
};

static struct {
	u64 random;
	bool enabled;
	u64 first, blocks;
	struct sim_host *host, *victim, *other;
	struct rot rots[ROTS_MAX];
	u32 count;
	bool watched;
} verify;

static u32 below(u32 bound)
{
	return sim_below_of(&verify.random, bound);
}

void sim_verify_begin(void)
{
	memset(&verify, 0, sizeof(verify));
	verify.random = world.seed * 0x9e6c63d0876a9a47ull + 1;
	verify.enabled = sim_has(SIM_VERIFY, below(3) == 0 && !world.quiet);
}

static u32 member_count(void)
{
	return le32_to_cpu(sim_lists_now()->count);
}

static struct sim_host *some_member(void)
{
	return &world.hosts[le32_to_cpu(sim_lists_now()->members[below(member_count())].id)];
}

static u32 copy_count(void)
{
	u32 copies = 0;

	for (u32 i = 0; i < member_count(); i++)
		copies += qbd_flags_keep_data(le16_to_cpu(sim_lists_now()->members[i].flags));
	return copies;
}

/* One that holds data. */
static struct sim_host *some_copy(void)
{
	struct sim_host *host;

	do
		host = some_member();
	while (!sim_keeps_data(host));
	return host;
}

/* Blocks in a row that are used. */
static void draw_range(void)
{
	u32 stripe = below(SIM_USED_BLOCKS / SIM_STRIPE);

	verify.first = sim_place(stripe * SIM_STRIPE);
	verify.blocks = SIM_STRIPE;
	if (sim_stride == SIM_STRIPE)
		verify.blocks = SIM_USED_BLOCKS - stripe * SIM_STRIPE;
}

static const struct qbd_verify_result *result_of(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	return replica ? &replica->verify.result : NULL;
}

/* Nothing was spoiled: what differs is what a disk says it cannot read. */
static void check_result(const struct sim_host *host)
{
	const struct qbd_verify_result *result = result_of(host);

	for (u32 i = 0; result && i < result->difference_count; i++) {
		const struct qbd_verify_difference *difference = &result->differences[i];

		if (difference->kind == QBD_VERIFY_DIFFERENT ||
		    (difference->kind == QBD_VERIFY_UNDECIDED && !world.errors && !world.rots))
			sim_fail("host %u: blocks %llu to %llu of member %u are said to differ, and do not",
				 host->number, difference->first,
				 difference->first + difference->count - 1,
				 difference->member);
	}
}

void sim_verify_step(void)
{
	struct sim_host *host;

	if (!verify.enabled || world.steps % EVERY_STEPS)
		return;
	for (u32 number = 1; number <= world.count; number++)
		check_result(&world.hosts[number]);
	host = some_member();
	draw_range();
	sim_member_verify(host, verify.first, verify.blocks, below(4));
}

/* ---- in the end --------------------------------------------------------- */

static bool ended(void)
{
	const struct qbd_verify_result *result = result_of(verify.host);

	return result && result->state == QBD_VERIFY_DONE;
}

/* Those of before are over, and everybody can be asked. */
static bool ready(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = sim_replica(&world.hosts[number]);

		if (!sim_lists_has(number))
			continue;
		if (!replica || replica->verify.result.state == QBD_VERIFY_RUNNING ||
		    replica->verify.spot_count)
			return false;
		for (u32 peer = 1; peer <= world.count; peer++)
			if (peer != number && sim_lists_has(peer) &&
			    !qbd_net_peer_up(replica->network, peer))
				return false;
	}
	return true;
}

static const struct qbd_verify_result *run(bool repair)
{
	struct qbd_verify_result *result;

	if (!sim_heal_until(ready, "all connected, and no verification under way"))
		return NULL;
	result = &sim_replica(verify.host)->verify.result;
	result->state = QBD_VERIFY_NEVER;
	sim_member_verify(verify.host, verify.first, verify.blocks, repair);
	if (!sim_heal_until(ended, "a verification done"))
		return NULL;
	if (result->compared != verify.blocks)
		sim_fail("host %u compared %llu of %llu blocks, %llu skipped, though nobody writes",
			 verify.host->number, result->compared, verify.blocks,
			 result->skipped);
	return world.error ? NULL : result;
}

/* On its disk now, and read from there. */
static u8 *data_of(struct sim_host *host, u64 block)
{
	struct qbd_store *store = sim_replica(host)->store;

	if (!qbd_extent_written(store, qbd_extent_of(store, block)))
		return NULL;
	return sim_disk_block(host, store->geometry.data_block + block);
}

static void spoil(struct sim_host *host, struct rot *rot, u32 bit)
{
	u8 *at = data_of(host, rot->block);

	memcpy(rot->before, at, QBD_BLOCK_SIZE);
	rot->bit = bit;
	at[bit / 8] ^= 1 << bit % 8;
	host->data_rot = true;
}

static void draw_rot(u32 wanted)
{
	verify.count = 0;
	while (wanted--) {
		struct rot *rot = &verify.rots[verify.count];
		bool again = false;

		rot->block = verify.first + below(verify.blocks);
		for (u32 i = 0; i < verify.count; i++)
			again |= verify.rots[i].block == rot->block;
		if (again || !data_of(verify.victim, rot->block) ||
		    (verify.other && !data_of(verify.other, rot->block)))
			continue;
		if (verify.other)
			spoil(verify.other, rot, below(QBD_BLOCK_SIZE / 2 * 8));
		spoil(verify.victim, rot, below(QBD_BLOCK_SIZE / 2 * 8) + QBD_BLOCK_SIZE / 2 * 8);
		if (verify.other)
			memcpy(rot->before, data_of(verify.other, rot->block),
			       QBD_BLOCK_SIZE / 2);
		verify.count++;
	}
}

static void check_found(const struct qbd_verify_result *result)
{
	bool majority = copy_count() >= 3 && !verify.other;
	u32 member = majority ? verify.victim->number : 0;

	/* Some of what they said says whom it did not ask. */
	for (u32 i = 0; i < result->member_count; i++)
		if (result->members[i].compared != result->compared)
			sim_fail("host %u compared %llu blocks, %llu of them with member %u (%u)",
				 verify.host->number, result->compared,
				 result->members[i].compared, result->members[i].id,
				 result->members[i].missed);
	if (result->different != verify.count ||
	    result->undecided != (majority ? 0 : verify.count) ||
	    result->repaired != (majority ? verify.count : 0))
		sim_fail("%u blocks of host %u were spoiled; %llu are said to differ, %llu undecided, %llu repaired",
			 verify.count, verify.victim->number, result->different,
			 result->undecided, result->repaired);
	for (u32 i = 0; i < verify.count; i++) {
		bool listed = false;

		for (u32 k = 0; k < result->difference_count; k++)
			listed |= verify.rots[i].block - result->differences[k].first <
				  result->differences[k].count &&
				  result->differences[k].member == member;
		if (!listed)
			sim_fail("block %llu of host %u was spoiled, and is not listed",
				 verify.rots[i].block, verify.victim->number);
	}
}

/* Somebody had to decide. */
static void undo(void)
{
	for (u32 i = 0; i < verify.count; i++) {
		u8 *at = data_of(verify.victim, verify.rots[i].block);

		memcpy(at + QBD_BLOCK_SIZE / 2, verify.rots[i].before + QBD_BLOCK_SIZE / 2,
		       QBD_BLOCK_SIZE / 2);
		if (!verify.other)
			continue;
		memcpy(data_of(verify.other, verify.rots[i].block), at, QBD_BLOCK_SIZE);
	}
}

/*
 * A leader is read from, and who is filled gets what it has: nothing in the data area tells
 * good from bad. So what the victim has left of it is good before it leads.
 */
void sim_verify_watch(void)
{
	if (!verify.watched || sim_replica(verify.victim)->core->role != QBD_ROLE_LEADER)
		return;
	verify.watched = false;
	for (u32 i = 0; i < verify.count; i++) {
		struct rot *rot = &verify.rots[i];
		u8 *at = data_of(verify.victim, rot->block);

		at[rot->bit / 8] ^= 1 << rot->bit % 8;
		/* Something else was written there. */
		if (memcmp(at, rot->before, QBD_BLOCK_SIZE))
			at[rot->bit / 8] ^= 1 << rot->bit % 8;
	}
}

/*
 * Blocks are spoiled where nobody reads, and repaired while users write to them: no write
 * may be lost for it. (Some are written before they are found.)
 */
static void repair_under_writes(void)
{
	u64 end = world.steps + WORK_STEPS;
	const struct qbd_verify_result *result;

	verify.host = some_member();
	verify.victim = some_copy();
	verify.other = NULL;
	if (sim_replica(verify.victim)->core->role == QBD_ROLE_LEADER)
		return;
	draw_rot(ROTS_MAX);
	verify.watched = true;
	sim_replica(verify.host)->verify.result.state = QBD_VERIFY_NEVER;
	sim_member_verify(verify.host, verify.first, verify.blocks, true);
	while (!world.error && world.steps < end && !ended()) {
		sim_client_work(some_member());
		if (!sim_step())
			sim_pass_time();
		sim_verify_watch();
	}
	if (!sim_heal_until(ended, "a repair under writes done") ||
	    !sim_heal_until(sim_client_idle, "an answer to every request") ||
	    !sim_heal_until(sim_invariants_settled, "all applied"))
		return;
	/* What was written all the time, or while a third copy was being filled, is left. */
	result = run(true);
	verify.watched = false;
	if (!result)
		return;
	if (result->undecided || result->repaired != result->different)
		sim_fail("%llu blocks of host %u are spoiled still, of which %llu are undecided and %llu repaired",
			 result->different, verify.victim->number, result->undecided,
			 result->repaired);
	verify.victim->data_rot = false;
	if (!world.error && sim_heal_until(sim_invariants_settled, "all repaired and applied"))
		sim_invariants_replicas();
}

/* All are whole, and nobody writes. */
void sim_verify_heal(void)
{
	const struct qbd_verify_result *result;

	if (!verify.enabled || copy_count() < 2)
		return;
	draw_range();
	verify.host = some_member();
	result = run(false);
	if (!result)
		return;
	if (result->different) {
		sim_fail("host %u: %llu blocks are said to differ, and do not",
			 verify.host->number, result->different);
		return;
	}
	for (u32 number = 1; number <= world.count; number++)
		check_result(&world.hosts[number]);
	verify.victim = some_copy();
	verify.other = copy_count() == 3 && below(3) == 0 ? some_copy() : NULL;
	if (verify.other == verify.victim)
		verify.other = NULL;
	draw_rot(1 + below(ROTS_FEW));
	verify.host = some_member();
	result = run(true);
	if (!result)
		return;
	check_found(result);
	if (copy_count() < 3 || verify.other)
		undo();
	verify.victim->data_rot = false;
	if (verify.other)
		verify.other->data_rot = false;
	sim_counts.data_rots += verify.count;
	if (!world.error && sim_heal_until(sim_invariants_settled, "all repaired and applied"))
		sim_invariants_replicas();
	if (!world.error && copy_count() >= 3)
		repair_under_writes();
}
