// SPDX-License-Identifier: GPL-2.0
/*
 * Disks that are copied: the copy is brought up on another host, and says that it is the
 * member that the original is.
 *
 * What is promised (promises.rst) is for members that reach both. So this is done
 *
 *   whose      any member's whose disk is well, while it is up or off: bit by bit, what is
 *              there at that moment
 *   where      on a host that is no member. It dials those whom the member dials; those who
 *              dial the member find the original, and there the copy knocks
 *   whom       it reaches members that hear the original (network.c): while that is off, or
 *              cut off from one, that one does not hear of the copy before it was told by
 *              another one that there are two. Which of two equal disks is up first makes no
 *              difference: the first one is the original here
 *   then       its power goes and comes back; that of the original, too, by other faults, and
 *              its disk is replaced; the copy is taken down, or stays while all is made good
 *
 *   the second    is taken for the member by nobody who hears the original: kmod/net/twice.c
 *                 and frame.c decide
 *   alone         it does not lead, commits nothing, and comes into no other term
 *   told          by one, be it that there are perhaps two, it is no vote and no copy where
 *                 another one lets it in, nor is the original, which finds it there
 *   status        of who refuses it, and its own, say that there are two
 *
 * All else that has to hold does, with a copy there as without.
 *
 * Drawn apart from the rest; but in these worlds all members are asked whether they are up
 * twice when they connect, and one that comes back may have to wait for that.
 */
#include "../../kmod/core/internal.h"
#include "sim.h"

/* Who comes again so often, for so long, is told why. */
#define TRIES_MAX	20u
#define JUDGED_WITHIN	(10 * SIM_S)
/* For so long it waits for who asked it to come again, by whatever clock. */
#define PERHAPS_FOR	(9 * SIM_S)
/* Status says it by then. */
#define TOLD_WITHIN	(5 * SIM_S)

/* What a member tells the copy, in one life of both; then both are to say so. */
struct telling {
	u32 life, copy_life;
	u32 tries;		/* since it was told anything; the first one: */
	u64 tried_at;
	u64 since;		/* it was refused; 0: it was not, or both have said it */
	enum qbd_refusal reason;
	bool let_in;		/* and then it was let in by the same one */
	bool said, said_by_copy;
};

static struct {
	u64 random;
	u64 next;		/* step: a disk is copied; or the copy's power goes; or it ends */
	u64 until;		/* step: it ends */
	bool seen;		/* the copy is up, since that life with: */
	u32 life;
	u64 term, commit, last;
	bool let_in;		/* by somebody who does not hear the original */
	bool told;		/* that there are two */
	bool perhaps;		/* its module says that it was asked to come again */
	bool healed;		/* all is made good, and not only a bare majority */
	/* Who asked it to come again, for the first time since that let it in; 0: nobody. */
	u64 perhaps_at[SIM_HOSTS_MAX + 1];
	u32 confused;		/* bitmap of members of whose disks a copy was let in */
	struct telling tellings[SIM_HOSTS_MAX + 1];
} clones;

static struct sim_host *copy(void)
{
	return &world.hosts[SIM_COPY];
}

static u32 below(u32 bound)
{
	return sim_below_of(&clones.random, bound);
}

void sim_clones_begin(void)
{
	bool drawn;

	memset(&clones, 0, sizeof(clones));
	clones.random = world.seed ^ 0x636c6f6e6573ull;
	drawn = !below(4) && !world.quiet && !sim_drawn(SIM_MOVES) && world.founders >= 3 &&
		world.voters_min >= 3;
	world.copies = sim_has(SIM_COPIES, drawn);
	clones.next = 500 + below(4000);
}

/* Its disk is one that could come up, as far as is known. */
static bool is_well(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	if (!host->exists || host->knows || host->failed || host->going_up ||
	    host->going_down || host->rotten || host->rot_left || host->data_rot ||
	    host->disk_erred || sim_rollbacks_lacks(host) || !sim_lists_has(host->number) ||
	    sim_lists_out(host->number) || sim_disk_unreadable(host))
		return false;
	return !host->powered || (replica && replica->phase == QBD_PHASE_RUNNING);
}

static void forget_told(void)
{
	clones.told = false;
	clones.perhaps = false;
	memset(clones.perhaps_at, 0, sizeof(clones.perhaps_at));
}

/*
 * A copy of the only voter is the device, and nobody is there to tell it so; and since a majority
 * was lost for good there may be but one.
 */
static bool others_vote(void)
{
	return __builtin_popcount(sim_lists_set(sim_lists_now(), QBD_MEMBER_VOTER)) >= 3;
}

static void copy_one(void)
{
	struct sim_host *host = &world.hosts[1 + below(world.count)];

	clones.next = world.steps + 1 + below(400);
	if (!is_well(host) || !others_vote())
		return;
	sim_trace("the disk of host %u, which is %s, is copied", host->number,
		  host->powered ? "up" : "off");
	sim_member_copy(host);
	memset(clones.tellings, 0, sizeof(clones.tellings));
	clones.seen = false;
	clones.let_in = false;
	forget_told();
	sim_counts.copied++;
	/* Some come up much later: what they have is old. */
	clones.next = world.steps + (below(2) ? 0 : below(4000));
	clones.until = below(3) ? clones.next + 500 + below(8000) : U64_MAX;
}

static void take_away(void)
{
	struct sim_host *host = copy();

	if (sim_replica(host) && host->replica && below(2))
		sim_member_down(host);
	else
		sim_member_power_cut(host);
	host->exists = false;
	clones.next = world.steps + 1 + below(3000);
}

void sim_clones_end(void)
{
	sim_member_power_cut(copy());
	copy()->exists = false;
}

/* ---- what it may do ----------------------------------------------------- */

static void check_alone(const struct qbd_replica *replica)
{
	const struct qbd_core *core = replica->core;
	u64 last = qbd_store_last_index(replica->store);

	if (!clones.seen || clones.life != copy()->life) {
		clones.seen = true;
		clones.life = copy()->life;
		clones.term = core->term;
		clones.commit = core->commit;
		clones.last = last;
	}
	if (core->role == QBD_ROLE_LEADER)
		sim_fail("a copy of the disk of host %u leads in term %llu",
			 copy()->copy_of, core->term);
	/* Whom it was let in by it may follow. */
	if (clones.let_in)
		return;
	if (core->term != clones.term || core->commit != clones.commit || last != clones.last)
		sim_fail("a copy of the disk of host %u came from term %llu to %llu, from entry %llu to %llu, and from %llu committed ones to %llu",
			 copy()->copy_of, clones.term, core->term, clones.last, last,
			 clones.commit, core->commit);
}

void sim_clones_let_in(const struct sim_host *member)
{
	sim_trace("host %u lets in the copy of the disk of host %u", member->number,
		  copy()->copy_of);
	clones.let_in = true;
	clones.tellings[member->number].let_in = true;
	clones.perhaps_at[member->number] = 0;
	clones.confused |= 1u << copy()->copy_of;
	sim_counts.copies_let_in++;
}

/* The copy heard that from @member, and has just acted on it. */
void sim_clones_told(u32 member, enum qbd_refusal reason)
{
	if (reason == QBD_REFUSED_TWICE)
		clones.told = true;
	else if (reason == QBD_REFUSED_PERHAPS && !clones.perhaps_at[member])
		clones.perhaps_at[member] = world.now;
}

/*
 * By what it heard it may be no vote and no copy, also when @member has let it in? NULL: nobody
 * has. Who asked it to come again, and lets it in, knows of nobody else.
 */
bool sim_clones_withheld(const struct sim_host *member)
{
	for (u32 number = 1; number <= world.count; number++)
		if (clones.perhaps_at[number] && &world.hosts[number] != member &&
		    world.now < clones.perhaps_at[number] + PERHAPS_FOR)
			return true;
	return clones.told;
}

bool sim_clones_confuse(const struct sim_host *host)
{
	return clones.confused >> host->number & 1 || host->copy_of;
}

/* Its copy is in its place where it is not heard: until somebody hears both, both count. */
bool sim_clones_is_two(const struct sim_host *host)
{
	return clones.let_in && !clones.told && copy()->exists &&
	       copy()->copy_of == host->number;
}

/* What @leader, if it is one, takes to be in the log of @host. */
static u64 acknowledged(const struct qbd_replica *leader, const struct sim_host *host)
{
	const struct qbd_peer *peer = qbd_peer_find(leader->core, sim_member_id(host));

	return peer && qbd_core_leads(leader->core) ? peer->match : 0;
}

/*
 * May a copy of @host have acknowledged what the disk itself lacks? Others know that, or come to
 * know it: then this one gives no vote until it has been sent that again.
 */
bool sim_clones_may_lack(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	/* Nothing goes wrong any more, and disks that failed are replaced. */
	if (world.healing)
		return false;
	if (world.copies && copy()->exists && copy()->copy_of == host->number)
		return true;
	if (!(clones.confused >> host->number & 1))
		return false;
	if (!replica || replica->phase != QBD_PHASE_RUNNING || replica->core->lost_until)
		return true;
	for (u32 number = 1; number <= world.count; number++) {
		struct qbd_replica *other = sim_replica(&world.hosts[number]);
		const struct qbd_replica_peer *peer = other && &world.hosts[number] != host ?
			qbd_replica_peer(other, sim_member_id(host)) : NULL;

		if (peer && max(peer->known_index, acknowledged(other, host)) >
			    qbd_store_last_index(replica->store))
			return true;
	}
	return false;
}

/* ---- what status says --------------------------------------------------- */

static void come_again(const struct sim_host *member, struct telling *telling)
{
	if (!telling->tries++)
		telling->tried_at = world.now;
	else if (telling->tries > TRIES_MAX && world.now > telling->tried_at + JUDGED_WITHIN)
		sim_fail("host %u hears host %u, and does not tell the copy of its disk in %u tries",
			 member->number, copy()->copy_of, telling->tries);
}

void sim_clones_judged(const struct sim_host *member, enum qbd_refusal reason)
{
	struct telling *telling = &clones.tellings[member->number];

	if (telling->life != member->life || telling->copy_life != copy()->life)
		*telling = (struct telling){
			.life = member->life, .copy_life = copy()->life,
		};
	/* Who knocks is told that there is nothing to dial, or to come again. */
	if (!reason || reason == QBD_REFUSED_MEMBER || reason == QBD_REFUSED_PERHAPS) {
		come_again(member, telling);
		return;
	}
	sim_counts.copies_refused++;
	telling->tries = 0;
	if (telling->since)
		return;
	telling->since = world.now;
	telling->reason = reason;
	telling->let_in = false;
	/* Who has the list that names another disk knows what is wrong. */
	telling->said = reason == QBD_REFUSED_DISK;
	telling->said_by_copy = false;
}

static bool says(const struct qbd_replica *replica, const char *words)
{
	return strstr(qbd_disks_problem(replica), words);
}

/*
 * Nobody looks while a host has lost its processor (sim_preempt()): by then the copy may have
 * been let in by who refused it, for that no longer hears the original. It was up twice.
 */
static bool copy_says(const struct qbd_replica *copy, const struct telling *telling)
{
	/* There is one line: another one, which refuses it too, may have said that it is none. */
	if (says(copy, "is no member of the device"))
		return telling->reason == QBD_REFUSED_DISK || telling->let_in;
	if (telling->reason == QBD_REFUSED_DISK)
		return says(copy, "another disk is this member now");
	return says(copy, "another host that is this member") ||
	       (telling->let_in && says(copy, "another host was this member"));
}

static void check_told(u32 number, struct telling *telling)
{
	const struct sim_host *host = &world.hosts[number];
	const struct qbd_replica *replica = sim_replica(host);
	const struct qbd_replica *second = sim_replica(copy());

	if (host->life != telling->life || copy()->life != telling->copy_life || !replica ||
	    !second || replica->phase != QBD_PHASE_RUNNING ||
	    second->phase != QBD_PHASE_RUNNING) {
		telling->since = 0;
		return;
	}
	telling->said |= says(replica, "is up twice");
	telling->said_by_copy |= copy_says(second, telling);
	if (telling->said && telling->said_by_copy) {
		sim_counts.copies_told++;
		telling->since = 0;
	} else if (world.now > telling->since + TOLD_WITHIN) {
		sim_fail("host %u has refused a copy of the disk of host %u, and status of %s does not say so",
			 number, copy()->copy_of, telling->said ? "the copy" : "that host");
	}
}

/* ---- each step ---------------------------------------------------------- */

/*
 * Who was asked to come again waits for that, but not for ever. Goes what it is waiting for, and
 * others let it in, nobody is left who knows of both, and nothing is promised: then it goes, too.
 * Return: false if it does.
 */
static bool check_perhaps(struct qbd_replica *replica)
{
	bool before = clones.perhaps;

	/* Nobody waits for who was removed. */
	for (u32 number = 1; number <= world.count; number++)
		if (!qbd_replica_peer(replica, number))
			clones.perhaps_at[number] = 0;
	clones.perhaps = replica->perhaps_twice;
	if (sim_clones_withheld(NULL) && !clones.perhaps && !replica->told_twice)
		sim_fail("the copy of the disk of host %u was told that there are perhaps two, and does not wait",
			 copy()->copy_of);
	return clones.perhaps || !before || replica->told_twice || !clones.let_in;
}

static void watch(void)
{
	struct qbd_replica *replica = sim_replica(copy());

	if (!replica || replica->phase != QBD_PHASE_RUNNING)
		return;
	check_alone(replica);
	if (!check_perhaps(replica)) {
		take_away();
		return;
	}
	for (u32 number = 1; number <= world.count; number++)
		if (clones.tellings[number].since)
			check_told(number, &clones.tellings[number]);
}

static void go_on(void)
{
	struct sim_host *host = copy();

	if (world.steps >= clones.until || !sim_lists_has(host->copy_of) ||
	    sim_lists_out(host->copy_of)) {
		take_away();
		return;
	}
	if (world.steps < clones.next)
		return;
	/* It comes up, and again: that is another run. */
	sim_member_power_cut(host);
	sim_member_power_on(host);
	forget_told();
	clones.next = world.steps + 1000 + below(8000);
}

/* Whoever was told that there are two is taken down and up, as its status asks for. */
static void take_down_and_up(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];
		const struct qbd_replica *replica = sim_replica(host);

		if (!replica || !replica->told_twice)
			continue;
		sim_member_power_cut(host);
		sim_member_power_on(host);
	}
}

void sim_clones_step(void)
{
	if (!world.copies || world.error)
		return;
	watch();
	if (copy()->exists)
		go_on();
	else if (!copy()->powered && !world.healing && world.steps >= clones.next)
		copy_one();
	/* By who has not noticed yet that the copy is gone. */
	else if (world.healing && clones.healed)
		take_down_and_up();
}

/* A copy that was let in goes; who was told that there are two is taken down and up. */
void sim_clones_heal(void)
{
	if (clones.let_in && copy()->exists)
		sim_clones_end();
	clones.healed = true;
	take_down_and_up();
}
