// SPDX-License-Identifier: GPL-2.0
/*
 * A majority is lost for good, and one host goes on alone: 'qbdadm recover', of which
 * userspace/lib/history.c is here as it is.
 *
 * A fraction of the worlds goes on so when all was well and all were down: they come up
 * again, and are used. One of them is cut off, or hears of entries that it does not have, or
 * its disk stands still; then power goes everywhere. Its disk is made to go on alone; power
 * may go at that, too. What has to hold from then on is what always has to, with these for
 * the history so far:
 *
 *   the log           of that host: whatever it had said to be durable is in it, record by
 *                     record, and so is all that it knew to be committed. What was committed
 *                     beyond is lost, and nothing else
 *   blocks            hold what the entries of that log say
 *   lists             it is alone in the newest; no id is given that was given before
 *   claims            as of the end of that log. One that was committed beyond is nobody's
 *   terms             of who goes on, and its votes, do not go back
 *
 * Others join it. The former members come back, all of them, at any time: they go on with
 * what was committed before (invariants.c has both), but for users, who stay away from there.
 * No two hosts of different histories are ever connected.
 *
 * All this is drawn apart from the rest; and the world has come to its end before.
 */
/* The module has another one of that name. */
#define qbd_extents_free	qbd_user_extents_free
#include "lib/history.h"
#undef qbd_extents_free
#include "sim.h"

#define WORLDS		16u	/* one of so many */

enum parting {
	PART_NOT,		/* it has whatever all have */
	PART_CUT_OFF,
	PART_POWER_CUT,
	PART_DOWN,
	PART_DISK_STALLS,
	PART_WRITES_HELD,	/* those that are under way */
	PART_BULK_STALLS,	/* it hears what is committed, and does not get it */
	PARTINGS
};

/* When the former members come back. */
enum moment {
	MOMENT_AT_ONCE,
	MOMENT_LEADS,
	MOMENT_USED,
	MOMENT_JOINED,
	MOMENTS
};

static struct {
	u64 random;
	struct sim_host *survivor;	/* once it may come up */
	bool forked;
	bool mends;
	u32 members;			/* bitmap of those who were before */
	enum moment moment;
	bool back;			/* those who were are */
	u64 last;			/* of the log that goes on */
	/* its disk, while the command is at it */
	u32 blocks_left;		/* until power goes; U32_MAX: it does not */
	struct qbd_new_history planned;
} recover;

static u32 below(u32 bound)
{
	return sim_below_of(&recover.random, bound);
}

void sim_recover_begin(void)
{
	memset(&recover, 0, sizeof(recover));
	recover.random = world.seed ^ 0x7265636f766572ull;
}

/* ---- what userspace calls ----------------------------------------------- */

void *qbd_disk_buffer(size_t blocks)
{
	return calloc(blocks, QBD_BLOCK_SIZE);
}

int qbd_disk_read(struct qbd_disk *disk, uint64_t block, void *buffer, size_t count,
		  struct qbd_error *error)
{
	if (!recover.blocks_left)
		return qbd_fail(error, EIO, "%s: the host is off", disk->path);
	for (size_t i = 0; i < count; i++)
		memcpy((u8 *)buffer + i * QBD_BLOCK_SIZE,
		       sim_disk_look(&world.hosts[disk->fd], block + i), QBD_BLOCK_SIZE);
	return 0;
}

/* A part of a block that is being written when power goes is there. */
int qbd_disk_write(struct qbd_disk *disk, uint64_t block, const void *buffer,
		   size_t count, struct qbd_error *error)
{
	for (size_t i = 0; i < count; i++) {
		u32 bytes = QBD_BLOCK_SIZE;

		if (!recover.blocks_left)
			return qbd_fail(error, EIO, "%s: the host is off", disk->path);
		if (recover.blocks_left != U32_MAX && !--recover.blocks_left)
			bytes = 512 * below(QBD_BLOCK_SIZE / 512 + 1);
		memcpy(sim_disk_block(&world.hosts[disk->fd], block + i),
		       (const u8 *)buffer + i * QBD_BLOCK_SIZE, bytes);
	}
	return 0;
}

int qbd_disk_flush(struct qbd_disk *disk, struct qbd_error *error)
{
	return recover.blocks_left ? 0 : qbd_fail(error, EIO, "%s: the host is off", disk->path);
}

/* ---- before it ---------------------------------------------------------- */

static bool was_member(u32 number)
{
	return recover.members >> number & 1;
}

static bool is_at_work(const struct sim_host *host)
{
	return host->former ? recover.back && was_member(host->number) :
			      recover.forked ? sim_lists_has(host->number) :
			      !recover.survivor && was_member(host->number);
}

/* Those who are to be up are, whatever it was that took them down. */
static void mend(void *object, u64 argument)
{
	for (u32 number = 1; recover.mends && number <= world.count; number++)
		if (is_at_work(&world.hosts[number]))
			sim_mend_host(&world.hosts[number]);
	sim_event(NULL, world.now + 50 * SIM_MS, mend, NULL, 0);
}

static void calm(void)
{
	sim_heal_all();
	world.healing = true;
	recover.mends = true;
}

static void storm(void)
{
	world.healing = false;
	recover.mends = false;
	world.weather.delay_spread += below(10) * SIM_MS;
	world.weather.disk_spread += below(10) * SIM_MS;
}

static u32 voters(const struct qbd_membership_layout *list)
{
	u32 count = 0;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++)
		count += le16_to_cpu(list->members[i].flags) & QBD_MEMBER_VOTER ? 1 : 0;
	return count;
}

static struct sim_host *some_member(void)
{
	const struct qbd_membership_layout *list = sim_lists_now();

	return &world.hosts[le32_to_cpu(list->members[below(le32_to_cpu(list->count))].id)];
}

static bool all_equal(void)
{
	return sim_client_idle() && sim_invariants_settled();
}

/* Return: false if there is no moment for it so far. */
static bool part(struct sim_host *host, enum parting parting)
{
	if (parting == PART_WRITES_HELD &&
	    !sim_disk_hold_writes(host, world.now + 100 * SIM_S))
		return false;
	sim_trace("host %u parts from the others (%u)", host->number, parting);
	for (u32 other = 1; other <= world.count; other++) {
		if (parting == PART_CUT_OFF) {
			sim_network_cut(host->number, other, true);
			sim_network_cut(other, host->number, true);
		} else if (parting == PART_BULK_STALLS) {
			sim_network_bulk_stall(other, host->number, world.now + 100 * SIM_S);
		}
	}
	if (parting == PART_POWER_CUT)
		sim_member_power_cut(host);
	else if (parting == PART_DOWN)
		sim_member_down(host);
	else if (parting == PART_DISK_STALLS)
		sim_disk_stall(host, world.now + 100 * SIM_S);
	return true;
}

/* One of those that are up loses its power, or that comes back. */
static void disturb(const struct sim_host *but)
{
	struct sim_host *host = some_member();

	if (host == but)
		return;
	if (host->powered && below(2))
		sim_member_power_cut(host);
	else
		sim_member_power_on(host);
}

/*
 * A log that stands still for so long that a checkpoint says what was committed meanwhile, be
 * it by the others alone.
 */
#define CHECKPOINT_TIME		(17 * SIM_S)
#define CHECKPOINT_STEPS	20000u

static void use_them(u32 steps, u32 part_at, struct sim_host *host, enum parting parting)
{
	u64 end = world.steps + steps, at = world.steps + part_at, until = 0;

	while (world.steps < end && !world.error) {
		if (!sim_step())
			sim_pass_time();
		sim_faults_work();
		if (world.steps >= at && part(host, parting)) {
			at = ~0ull;
			if (parting == PART_WRITES_HELD && below(2)) {
				until = world.now + CHECKPOINT_TIME;
				end = world.steps + CHECKPOINT_STEPS;
			}
		}
		if (until && world.now >= until)
			break;
		if (!until && !below(1000))
			disturb(host);
		if ((world.changes || world.joins) && !below(500))
			sim_member_change(some_member());
	}
}

static bool lose_majority(struct sim_host *host)
{
	u32 steps = 300 + below(4000);

	for (u32 i = 0; i < le32_to_cpu(sim_lists_now()->count); i++)
		recover.members |= 1u << le32_to_cpu(sim_lists_now()->members[i].id);
	calm();
	mend(NULL, 0);
	if (!sim_heal_until(all_equal, "all up once more"))
		return false;
	if (below(2))
		sim_member_move_leader(host, host->number);
	storm();
	/* What hosts claim changes seldom. */
	use_them(steps, below(steps), host, world.exclusive && below(2) ? PART_WRITES_HELD :
						below(PARTINGS));
	for (u32 number = 1; number <= world.count; number++)
		sim_member_power_cut(&world.hosts[number]);
	return !world.error;
}

/* ---- the command -------------------------------------------------------- */

/* By the list on its disk: it was not removed, and there are others that vote. */
static bool may_by_list(const struct qbd_membership_layout *list, const struct sim_host *host)
{
	bool has_others = false, is_there = false;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		if (le32_to_cpu(list->members[i].id) == host->number)
			is_there = true;
		else if (le16_to_cpu(list->members[i].flags) &
			 (QBD_MEMBER_VOTER | QBD_MEMBER_VOTER_OLD))
			has_others = true;
	}
	return !list->count || (is_there && has_others);
}

/* A member that is whole has to be able to. */
static bool is_fit(const struct sim_host *host, const struct qbd_membership_layout *list)
{
	return sim_keeps_data(host) && !host->unsound && !host->was_filling && !host->failed &&
	       may_by_list(list, host);
}

static bool is_alone(const struct qbd_new_history *plan, const struct sim_host *host)
{
	return le32_to_cpu(plan->members.count) == 1 &&
	       le32_to_cpu(plan->members.members[0].id) == host->number;
}

/* Return: false if the command refuses, and changes nothing. */
static bool command(struct sim_host *host)
{
	static struct qbd_new_history plan;
	struct qbd_disk disk = {
		.fd = host->number, .path = "disk", .blocks = host->bdev.blocks,
		.bytes = host->bdev.blocks * QBD_BLOCK_SIZE,
	};
	struct qbd_error error;
	bool again = false;

	recover.blocks_left = below(3) ? U32_MAX : 1 + below(2 * QBD_STATE_SLOT_BLOCKS);
	memset(&plan, 0, sizeof(plan));
	for (;;) {
		if (qbd_new_history_plan(&disk, "sim", &plan, &error)) {
			/* It was there when power went: once is enough. */
			if (again && is_alone(&plan, host))
				return true;
			break;
		}
		recover.planned = plan;
		if (!qbd_new_history_write(&disk, &plan, &error))
			return true;
		if (recover.blocks_left)
			break;
		sim_trace("power goes while the disk of host %u is made to go on alone",
			  host->number);
		sim_counts.commands_cut++;
		recover.blocks_left = U32_MAX;
		again = true;
	}
	sim_trace("host %u cannot go on alone: %s", host->number, error.text);
	if (again || is_fit(host, &plan.members))
		sim_fail("host %u cannot go on alone: %s", host->number, error.text);
	return false;
}

/* The one that is meant, or the first of the others that can. */
static struct sim_host *make_one_go_on(struct sim_host *meant)
{
	for (u32 i = 0; i < world.count && !world.error; i++) {
		u32 number = (meant->number - 1 + i) % world.count + 1;
		struct sim_host *host = &world.hosts[number];

		if (!was_member(number))
			continue;
		if (!command(host))
			continue;
		if (!sim_keeps_data(host))
			sim_fail("host %u has no data, and shall go on alone", number);
		return host;
	}
	return NULL;
}

void sim_recover_opened(struct sim_host *host, const struct qbd_store *store, u64 term)
{
	const struct qbd_new_history *plan = &recover.planned;
	const struct qbd_inspection *was = &plan->inspection;
	const struct qbd_claim_layout *claim =
		&was->slots[was->state == &was->slots[1].state].applied.applied.claim;
	u64 common;

	if (host != recover.survivor || recover.forked)
		return;
	recover.forked = true;
	recover.last = qbd_store_last_index(store);
	common = sim_invariants_fork(host, store, term);
	sim_trace("host %u goes on alone, from entry %llu on, with %llu that nobody knew to be committed",
		  host->number, common, recover.last - common);
	sim_once_fork(common);
	sim_sizes_fork(common);
	sim_claims_fork(common, recover.last, le64_to_cpu(claim->epoch) > recover.last,
			le32_to_cpu(claim->mode));
	sim_lists_fork(host, common, &plan->state.membership);
	sim_counts.recovered++;
}

/* ---- after it ----------------------------------------------------------- */

void sim_recover_refused(const struct sim_host *dialler, const struct sim_host *listener,
			 u32 reason)
{
	if (dialler->former == listener->former || reason != QBD_REFUSED_HISTORY)
		sim_fail("host %u is refused by host %u: %u", dialler->number, listener->number,
			 reason);
	sim_counts.former_refused++;
}

/* @peer may be up from a copy of a member's disk, which was made before. */
void sim_recover_connected(const struct sim_host *host, const struct sim_host *peer)
{
	if (host->former != peer->former)
		sim_fail("host %u is connected with host %u: one of them is of the former history",
			 host->number, peer->number);
}

static bool leads_alone(void)
{
	const struct qbd_replica *replica = sim_replica(recover.survivor);

	return replica && replica->core->role == QBD_ROLE_LEADER &&
	       replica->core->commit > recover.last;
}

static void come_back(enum moment moment)
{
	if (recover.moment == moment)
		recover.back = true;
}

/* Are there ids left for those who join at once? */
static bool has_ids(void)
{
	return le32_to_cpu(sim_lists_now()->next_member_id) + SIM_JOINERS - 1 <= SIM_IDS_MAX;
}

static void join(void)
{
	if (has_ids())
		sim_join(recover.survivor, (u64)below(1u << 31) << 31 | below(1u << 31));
}

/* They join while others come and go, and power does. */
static bool be_used(void)
{
	u32 steps = 500 + below(3000);
	u64 end = world.steps + steps, next = world.steps + below(steps);

	storm();
	while (world.steps < end && !world.error) {
		if (!sim_step())
			sim_pass_time();
		sim_faults_work();
		if (world.steps >= next) {
			join();
			come_back(MOMENT_USED);
			recover.mends = true;
			next = ~0ull;
		}
		if (!below(1000))
			disturb(NULL);
	}
	return !world.error;
}

/* Who was to join and lost its power before it had a disk is taken out of the list. */
static bool take_others(void)
{
	static const char what[] = "the members of the new history as they are to be";

	if (!sim_heal_until(sim_members_final, what))
		return false;
	for (u32 i = 0; i < 2; i++) {
		join();
		if (!sim_heal_until(sim_members_final, what))
			return false;
	}
	sim_counts.joined_anew += le32_to_cpu(sim_lists_now()->count) - 1;
	return true;
}

static bool ten_seconds(u64 since)
{
	while (world.now < since + 10 * SIM_S && !world.error)
		if (!sim_step())
			sim_pass_time();
	return !world.error;
}

static bool former_are_up(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct sim_host *host = &world.hosts[number];

		if (host->former && was_member(number) && !host->replica &&
		    !sim_lists_out(number))
			return false;
	}
	return true;
}

static bool go_on(void)
{
	recover.moment = below(MOMENTS);
	calm();
	come_back(MOMENT_AT_ONCE);
	if (!sim_heal_until(leads_alone, "who goes on alone leads") || !sim_heal_end_well())
		return false;
	come_back(MOMENT_LEADS);
	if (!be_used())
		return false;
	calm();
	if (!take_others())
		return false;
	come_back(MOMENT_JOINED);
	return sim_heal_until(former_are_up, "the former members up") &&
	       ten_seconds(world.now) && sim_heal_end_well();
}

void sim_recover(void)
{
	struct sim_host *meant;

	if (world.quiet || below(WORLDS) || voters(sim_lists_now()) < 2 ||
	    sim_records_left(NULL) || !sim_has(SIM_RECOVER, true))
		return;
	world.recovers = true;
	meant = some_member();
	if (!lose_majority(meant))
		return;
	sim_heal_all();
	recover.survivor = make_one_go_on(meant);
	if (!recover.survivor || world.error)
		return;
	world.healing = true;
	sim_member_power_on(recover.survivor);
	if (!go_on())
		return;
	world.healing = false;
	recover.mends = false;
	for (u32 number = 1; number <= world.count; number++)
		sim_member_down(&world.hosts[number]);
	sim_heal_until(sim_heal_all_off, "both histories down in order");
}
