// SPDX-License-Identifier: GPL-2.0
/*
 * Worlds in which a host claims the device before it writes: who has it open when, and the
 * claims of the committed history.
 *
 * Hosts open it for write, write for a while, and close it; some take it by force from who
 * has it, and whoever was superseded writes on until it is told. In some the mode changes
 * now and then, from exclusive to shared and back. In some a host mounts it read-only, and
 * writes later. In the committed history every write has to be one that may lie there:
 *
 *   - mode exclusive: made under the claim in force, by the run of a host that has it;
 *   - mode shared: not made before another host was given a claim, however long ago that
 *     one gave it back;
 *   - in either: not of a host that has had the device open for write since before another
 *     one was given a claim and something was written. What it read may have been changed;
 *   - nor of a host that has it mounted, if that is so since it first read from it then, or if
 *     another one had a claim at that time already.
 */
#include "sim.h"

/* A claim of the committed history. */
struct claim {
	u64 epoch;
	u64 session;
	u32 holder;
	u32 mode;
};

/* In force at the end of the committed history; the newest that a host has, or has had. */
static struct claim in_force, given;
/* All of them so far. */
static struct claim *all;
static u32 count, room;
/* One host goes on alone: from the end of its log on nobody has it. epoch 0: not so. */
static struct claim set_back;
/* Of each host: the newest that another one was given; the newest entry that one wrote. */
static u64 given_to_others[SIM_HOSTS_MAX + 1];
static u64 written_by_others[SIM_HOSTS_MAX + 1];
/* Likewise by an earlier run of its own: the leader had that when the host lost its power. */
static u64 written_by_former_run[SIM_HOSTS_MAX + 1];
/* Likewise by a verification, which puts a block right: who has read it before may have to stop. */
static u64 repaired;

static struct {
	bool open;		/* for write */
	bool asked;
	bool busy;		/* a thread is at a command */
	u32 mode;		/* that is asked for */
	struct sim_view opened;	/* as of when it was opened */
	bool others_had_it;	/* when that was asked for */
	u64 given_before;	/* likewise, when that was asked for */
	bool mounted;		/* read-only */
	bool writable;		/* it was made writable since */
	bool wrote;		/* and wrote, with a claim */
	u64 view;		/* see qbd_disk_view() */
	struct sim_view view_began;	/* as of when it did: all that counts in it is read later */
	u64 closings;		/* see qbd_disk_closings() */
	u64 closed_at;		/* the last of them; by the host's clock */
	bool has_read;		/* in this view */
	struct sim_view seen;	/* as of when it was read first: may be what was read then */
	struct sim_view surely_seen;	/* likewise: is in it for certain */
	bool opened_anew;	/* in the end, once */
	u64 used_at;		/* it was open or mounted; time */
} users[SIM_HOSTS_MAX + 1];

static u32 first_mode;
static u64 readers_random;
static u64 anew_random;
static bool open_anew;

/* Drawn apart from the rest, of which nothing else changes so. */
void sim_claims_draw(void)
{
	u64 random = world.seed ^ 0x6d6f646573ull;

	world.modes = world.exclusive && sim_below_of(&random, 4) == 0;
	readers_random = world.seed ^ 0x72656164657273ull;
	world.readers = world.exclusive && sim_below_of(&readers_random, 3) == 0;
	first_mode = world.exclusive && !(world.modes && sim_below_of(&random, 2)) ?
		     QBD_CLAIM_EXCLUSIVE : QBD_CLAIM_SHARED;
	anew_random = world.seed ^ 0x616e6577ull;
	open_anew = world.exclusive && sim_below_of(&anew_random, 4) == 0;
	random = world.seed ^ 0x70617374ull;
	world.claim_plans = world.modes && !world.joins && !world.quiet && world.count >= 3 &&
			    sim_below_of(&random, 2);
}

u32 sim_claims_first_mode(void)
{
	return first_mode;
}

void sim_claims_begin(void)
{
	memset(users, 0, sizeof(users));
	memset(given_to_others, 0, sizeof(given_to_others));
	memset(written_by_others, 0, sizeof(written_by_others));
	memset(written_by_former_run, 0, sizeof(written_by_former_run));
	repaired = 0;
	in_force = (struct claim){ .mode = first_mode };
	given = (struct claim){};
	set_back = (struct claim){};
	count = 0;
}

/* ---- the committed history ---------------------------------------------- */

static bool others_have_it(u32 number)
{
	return in_force.holder && in_force.holder != number;
}

/* Another host's claim is over, and nothing was written. */
static void nothing_missed(u32 number, struct sim_view *view)
{
	if (!others_have_it(number) && written_by_others[number] <= view->written)
		view->given = given_to_others[number];
}

static void claim_committed(const struct qbd_record *record)
{
	const struct qbd_record_shared *shared = &record->header->shared;
	u32 mode = in_force.mode;

	in_force = (struct claim){
		.epoch = record->index,
		.session = le64_to_cpu(shared->claim_session),
		.holder = le32_to_cpu(shared->claim_holder),
		.mode = le32_to_cpu(shared->claim_mode),
	};
	if (count == room) {
		room = room ? 2 * room : 64;
		all = realloc(all, room * sizeof(*all));
		if (!all)
			abort();
	}
	all[count++] = in_force;
	sim_counts.claims++;
	sim_counts.modes += in_force.mode != mode;
	sim_trace("entry %llu: claimed by %u, %s", record->index, in_force.holder,
		  in_force.mode == QBD_CLAIM_SHARED ? "shared" : "exclusive");
	for (u32 host = 1; host <= SIM_HOSTS_MAX; host++) {
		nothing_missed(host, &users[host].seen);
		nothing_missed(host, &users[host].opened);
	}
	if (!in_force.holder)
		return;
	given = in_force;
	for (u32 host = 1; host <= SIM_HOSTS_MAX; host++)
		if (host != in_force.holder)
			given_to_others[host] = in_force.epoch;
}

static bool is_of(const struct claim *claim, const struct qbd_operation *operation)
{
	return le64_to_cpu(operation->epoch) == claim->epoch &&
	       le32_to_cpu(operation->origin) == claim->holder &&
	       le64_to_cpu(operation->session) == claim->session;
}

static bool may_lie_here(const struct qbd_operation *operation)
{
	if (qbd_operation_is_repair(operation) &&
	    le64_to_cpu(operation->epoch) == in_force.epoch)
		return true;
	/* The one in force may be set back to where the last entry gave it to somebody. */
	if (in_force.mode == QBD_CLAIM_SHARED)
		return le64_to_cpu(operation->epoch) > given.epoch ||
		       le64_to_cpu(operation->epoch) == in_force.epoch ||
		       is_of(&given, operation) || !given.holder;
	return in_force.holder && is_of(&in_force, operation);
}

/* Another host had a claim since, and one has written. */
static bool missed(u32 number, const struct sim_view *view)
{
	return given_to_others[number] != view->given &&
	       written_by_others[number] > view->written;
}

/* Who has it open waits for all that it wrote before it closes it: it made this since. */
static void look_at_opener(const struct qbd_record *record,
			   const struct qbd_operation *operation)
{
	u32 number = le32_to_cpu(operation->origin);
	const struct qbd_replica *replica;

	if (number > SIM_HOSTS_MAX)
		return;
	replica = sim_replica(&world.hosts[number]);
	if (!replica || replica->session != le64_to_cpu(operation->session))
		return;
	if (users[number].mounted && users[number].has_read && missed(number, &users[number].seen))
		sim_fail("entry %llu is a write of host %u, which has it mounted, and another host was given claim %llu, which was not over when it was read, and entry %llu was written",
			 record->index, number, given_to_others[number],
			 written_by_others[number]);
	if (!users[number].open || !missed(number, &users[number].opened))
		return;
	sim_fail("entry %llu is a write of host %u, which has had the device open since before another host was given claim %llu",
		 record->index, number, given_to_others[number]);
}

static bool of_former_run(u32 number, const struct qbd_operation *operation)
{
	const struct qbd_replica *replica = sim_replica(&world.hosts[number]);

	return !replica || replica->session != le64_to_cpu(operation->session);
}

/* An entry is committed first. */
void sim_claims_committed(const struct qbd_record *record)
{
	if (set_back.epoch && record->index > set_back.epoch) {
		in_force = set_back;
		set_back.epoch = 0;
	}
	if (le16_to_cpu(record->header->shared.kind) == QBD_RECORD_CLAIM) {
		claim_committed(record);
		return;
	}
	for (u32 i = 0; i < record->operation_count; i++) {
		const struct qbd_operation *operation = &record->header->operations[i];

		if (!may_lie_here(operation))
			sim_fail("entry %llu is a write of host %u under claim %llu; claim %llu of host %u is in force, %s, and %llu of host %u was the last that a host had",
				 record->index, le32_to_cpu(operation->origin),
				 le64_to_cpu(operation->epoch), in_force.epoch,
				 in_force.holder,
				 in_force.mode == QBD_CLAIM_SHARED ? "shared" : "exclusive",
				 given.epoch, given.holder);
		if (qbd_operation_is_repair(operation))
			repaired = record->index;
		if (!world.exclusive || qbd_operation_is_repair(operation))
			continue;
		look_at_opener(record, operation);
		for (u32 host = 1; host <= SIM_HOSTS_MAX; host++)
			if (host != le32_to_cpu(operation->origin))
				written_by_others[host] = record->index;
			else if (of_former_run(host, operation))
				written_by_former_run[host] = record->index;
	}
}

/*
 * If all have closed it since, that is over with the next pass. Of who was removed nothing
 * changes any more: whoever opens it there hears that.
 */
static bool fenced(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	return replica && !replica->removed && replica->hold.state == QBD_HOLD_FENCED &&
	       (replica->hold.closings == users[host->number].closings ||
		(replica->now > users[host->number].closed_at && !host->preempted));
}

bool sim_claims_uses(const struct sim_host *host)
{
	return (sim_claims_open(host) || users[host->number].mounted) && host->blk &&
	       !fenced(host);
}

u64 sim_claims_used_at(const struct sim_host *host)
{
	return users[host->number].used_at;
}

/* ---- what the replica asks ---------------------------------------------- */

bool sim_claims_asked(const struct sim_host *host)
{
	return users[host->number].asked;
}

/*
 * What is committed in this step is looked at behind it, and the leader that commits it goes on
 * from there at once: it is no news to who opens it now, or has a read answered.
 */
static struct sim_view with_this_step(const struct sim_host *host, struct sim_view view)
{
	const struct qbd_replica *replica = sim_replica(host);

	/* Who is of a former history has entries of that. */
	if (replica && !host->former) {
		u64 commit = qbd_store_commit_index(replica->store);

		view.written = max(view.written, commit);
		view.by_former_run = max(view.by_former_run, commit);
		view.repaired = max(view.repaired, commit);
	}
	return view;
}

static void opened(const struct sim_host *host)
{
	struct sim_view now = sim_claims_seen(host);

	/* Whoever has it at this moment is no news, either. */
	now.given = given_to_others[host->number];
	users[host->number].open = true;
	users[host->number].opened = with_this_step(host, now);
}

/* Likewise: it may commit another host's claim, and turn away who waits for his own, in one. */
static bool given_just_now(u32 number)
{
	const struct qbd_claim *claim = qbd_claims_committed(sim_replica(&world.hosts[number]));

	return claim->holder != number && claim->epoch > sim_invariants_committed();
}

/* Nobody is to be turned away who has no need to. */
static void turned_away(u32 number)
{
	if (!users[number].mounted && !given_just_now(number) &&
	    !users[number].others_had_it && !others_have_it(number) &&
	    given_to_others[number] == users[number].given_before)
		sim_fail("host %u may not open it for write, and no other host has or was given a claim since it asked",
			 number);
}

void sim_claims_answer(struct sim_host *host, int error)
{
	if (!users[host->number].asked)
		return;
	users[host->number].asked = false;
	if (!error)
		opened(host);
	else if (error == -EBUSY)
		turned_away(host->number);
}

bool sim_claims_open(const struct sim_host *host)
{
	return !world.exclusive || users[host->number].open;
}

bool sim_claims_needed(const struct sim_host *host)
{
	return sim_claims_written(host) || users[host->number].asked;
}

bool sim_claims_written(const struct sim_host *host)
{
	return sim_claims_open(host) || users[host->number].wrote;
}

void sim_claims_wrote(const struct sim_host *host)
{
	users[host->number].wrote = users[host->number].open || users[host->number].mounted;
}

bool sim_claims_mounted(const struct sim_host *host)
{
	return users[host->number].mounted;
}

u64 sim_claims_view(const struct sim_host *host)
{
	return users[host->number].view;
}

u64 sim_claims_closings(const struct sim_host *host)
{
	return users[host->number].closings;
}

struct sim_view sim_claims_seen(const struct sim_host *host)
{
	return (struct sim_view){
		.given = others_have_it(host->number) ? 0 : given_to_others[host->number],
		.written = written_by_others[host->number],
		.by_former_run = written_by_former_run[host->number],
		.repaired = repaired,
	};
}

static struct sim_view older_of(struct sim_view a, struct sim_view b)
{
	return (struct sim_view){
		.given = min(a.given, b.given),
		.written = min(a.written, b.written),
		.by_former_run = min(a.by_former_run, b.by_former_run),
		.repaired = min(a.repaired, b.repaired),
	};
}

/*
 * A read has been answered, which was made when all up to @made was there; @late: it has missed
 * something since.
 *
 * If not, what was committed meanwhile may be in it, and may not. So it counts as of when it is
 * answered where a write would be wrong, and as of when it was made where a fence would be.
 */
void sim_claims_read(const struct sim_host *host, u64 view, const struct sim_view *made, bool late)
{
	struct sim_view seen = late ? *made : with_this_step(host, sim_claims_seen(host));
	struct sim_view surely = *made;
	u32 number = host->number;

	if (!users[number].mounted || view != users[number].view)
		return;
	/* One that was made before the view began was made anew in it. */
	surely.written = max(surely.written, users[number].view_began.written);
	surely.by_former_run = max(surely.by_former_run, users[number].view_began.by_former_run);
	surely.repaired = max(surely.repaired, users[number].view_began.repaired);
	surely = older_of(surely, seen);
	if (users[number].has_read) {
		seen = older_of(seen, users[number].seen);
		surely = older_of(surely, users[number].surely_seen);
	}
	users[number].has_read = true;
	users[number].seen = seen;
	users[number].surely_seen = surely;
}

/* It is off, or going down: nobody has it open any more. */
void sim_claims_off(struct sim_host *host)
{
	users[host->number].open = false;
	users[host->number].asked = false;
	users[host->number].busy = false;
	users[host->number].mounted = false;
	users[host->number].writable = false;
	users[host->number].wrote = false;
}

/*
 * What was committed beyond @common is lost. Nobody is up: that others had it and wrote matters
 * to those who come later only as far as it changes from now on. @lost: the newest claim is
 * beyond the log that goes on, which ends with @last, and its mode is this.
 */
void sim_claims_fork(u64 common, u64 last, bool lost, u32 mode)
{
	while (count && all[count - 1].epoch > common)
		count--;
	in_force = count ? all[count - 1] : (struct claim){ .mode = first_mode };
	given = (struct claim){};
	for (u32 i = 0; i < count; i++)
		if (all[i].holder)
			given = all[i];
	for (u32 host = 1; host <= SIM_HOSTS_MAX; host++) {
		given_to_others[host] = min(given_to_others[host], common);
		written_by_others[host] = min(written_by_others[host], common);
		written_by_former_run[host] = min(written_by_former_run[host], common);
	}
	set_back = (struct claim){ .epoch = lost ? last : 0, .mode = mode };
	repaired = min(repaired, common);
	sim_counts.claims_set_back += lost;
}

/*
 * Who has only read may have missed what was written when all might, too: no claim tells of that.
 * Nor does anybody know whether it was in what he read, if it was committed at the same time.
 */
static bool may_have_missed_data(u32 number)
{
	const struct sim_view *seen = &users[number].surely_seen;

	return users[number].mounted && users[number].has_read &&
	       (written_by_others[number] > seen->written ||
		written_by_former_run[number] > seen->by_former_run ||
		repaired > seen->repaired);
}

/* Nobody is to stop who has no need to: his file system would be lost for nothing. */
void sim_claims_check(const struct sim_host *host)
{
	u32 number = host->number;

	if (sim_claims_open(host) || users[number].mounted)
		users[number].used_at = world.now;
	if (world.exclusive && (users[number].open || users[number].mounted) && fenced(host) &&
	    given_to_others[number] == users[number].given_before && !may_have_missed_data(number))
		sim_fail("host %u is fenced, and no other host was given a claim since it wanted to open the device",
			 number);
}

/* ---- users -------------------------------------------------------------- */

static void kick(struct sim_host *host)
{
	struct sim_host *before = sim_host;

	sim_host = host;
	if (sim_replica(host))
		qbd_replica_kick(sim_replica(host));
	sim_host = before;
}

/* Opened anew: who has it for himself goes on with what he has read. */
static void look_anew(struct sim_host *host)
{
	if (users[host->number].mounted)
		return;
	users[host->number].view++;
	users[host->number].view_began = sim_claims_seen(host);
}

static void ask(struct sim_host *host)
{
	look_anew(host);
	users[host->number].asked = true;
	users[host->number].others_had_it = others_have_it(host->number);
	if (!users[host->number].busy && !users[host->number].mounted)
		users[host->number].given_before = given_to_others[host->number];
	kick(host);
}

static void closed(struct sim_host *host)
{
	if (users[host->number].open || users[host->number].mounted)
		return;
	users[host->number].wrote = false;
	users[host->number].closings++;
	users[host->number].closed_at = sim_host_time(host);
	kick(host);
}

static void close_it(struct sim_host *host)
{
	users[host->number].open = false;
	closed(host);
}

static void mount(struct sim_host *host)
{
	u32 number = host->number;

	look_anew(host);
	users[number].mounted = true;
	users[number].writable = false;
	users[number].has_read = false;
	if (others_have_it(number))
		users[number].given_before = 0;
	else if (!users[number].busy)
		users[number].given_before = given_to_others[number];
}

static void unmount(struct sim_host *host)
{
	users[host->number].mounted = false;
	closed(host);
}

static bool reader_chance(u32 of_1024)
{
	return sim_below_of(&readers_random, 1024) < of_1024;
}

/* Return: true if the host's user does something with a mount, or writes to it. */
static bool use_mount(struct sim_host *host, bool idle, bool *write)
{
	u32 number = host->number;

	*write = false;
	if (!world.readers)
		return false;
	if (!users[number].mounted) {
		if (users[number].open || users[number].asked || world.healing ||
		    !reader_chance(100))
			return false;
		mount(host);
		return true;
	}
	if (idle && (fenced(host) || reader_chance(30))) {
		unmount(host);
		return true;
	}
	/* Or somebody opens it for write besides. */
	if (!users[number].writable && !reader_chance(30))
		return reader_chance(700);
	users[number].writable = true;
	*write = true;
	return true;
}

static int command(struct sim_host *host, const struct qbd_claim_order *order)
{
	char text[QBD_ERROR_TEXT_SIZE];

	return host->replica && !host->going_down ?
		qbd_replica_claim(host->replica, order, text, sizeof(text)) : -ENODEV;
}

static void take_thread(void *object)
{
	const struct qbd_claim_order order = { .action = QBD_CLAIM_TAKE, .force = true };
	struct sim_host *host = object;

	if (!command(host, &order)) {
		/* From here on it is as if it had been opened, if that is not over already. */
		if (host->replica->hold.state == QBD_HOLD_HELD)
			opened(host);
		sim_counts.forced++;
	}
	if (host->replica)
		host->replica->hold.pinned = false;
	users[host->number].busy = false;
}

static void mode_thread(void *object)
{
	struct sim_host *host = object;
	const struct qbd_claim_order order = {
		.action = QBD_CLAIM_MODE,
		.mode = users[host->number].mode,
	};

	command(host, &order);
	users[host->number].busy = false;
}

/* An administrator gives a command there, one at a time. */
static void give(struct sim_host *host, void (*thread)(void *object))
{
	struct sim_host *before = sim_host;

	if (!host->powered || !host->replica || host->going_down || users[host->number].busy)
		return;
	users[host->number].busy = true;
	if (thread == take_thread && !users[host->number].asked && !users[host->number].mounted)
		users[host->number].given_before = given_to_others[host->number];
	sim_host = host;
	sim_thread(thread, host);
	sim_host = before;
}

static void change_mode(struct sim_host *host)
{
	/* What a command under way asks for stays. */
	if (!users[host->number].busy)
		users[host->number].mode = in_force.mode == QBD_CLAIM_SHARED ?
					   QBD_CLAIM_EXCLUSIVE : QBD_CLAIM_SHARED;
	give(host, mode_thread);
}

/* May this host write now? Sometimes it opens the device, or closes it, instead. */
bool sim_claims_use(struct sim_host *host, bool idle)
{
	bool write;

	if (!world.exclusive)
		return true;
	if (use_mount(host, idle, &write))
		return write;
	if (world.modes && !world.healing && sim_chance(10))
		change_mode(host);
	if (!users[host->number].open) {
		if (!users[host->number].asked && sim_chance(80))
			ask(host);
		else if (!world.healing && sim_chance(10))
			give(host, take_thread);
		return false;
	}
	if (idle && fenced(host)) {
		close_it(host);
		/* That it was closed is seen by a count only: it is open all the time. */
		if (open_anew && world.readers)
			mount(host);
		return false;
	}
	if (idle && sim_chance(30)) {
		close_it(host);
		return false;
	}
	return true;
}

/*
 * Closed and opened in one step: what the replica sees of that is that it was closed once more.
 * Nobody but whoever opens it can tell that he waits for ever, so it is done in the end.
 */
static bool opens_anew(struct sim_host *host, bool idle)
{
	if (!open_anew || !world.healing || !idle || users[host->number].opened_anew)
		return false;
	users[host->number].opened_anew = true;
	close_it(host);
	ask(host);
	return true;
}

/* In the end each host has its turn: the others close it. */
bool sim_claims_turn(struct sim_host *host, bool its_turn, bool idle)
{
	if (!world.exclusive)
		return true;
	if (users[host->number].mounted) {
		if (idle)
			unmount(host);
		return false;
	}
	if (users[host->number].open && (!its_turn || fenced(host))) {
		if (idle)
			close_it(host);
		return false;
	}
	if (its_turn && !users[host->number].open && !users[host->number].asked)
		ask(host);
	return its_turn && users[host->number].open && !opens_anew(host, idle);
}

bool sim_claims_busy(const struct sim_host *host)
{
	return sim_claims_needed(host) || users[host->number].mounted;
}

u32 sim_claims_mode(void)
{
	return in_force.mode;
}

u32 sim_claims_holder(void)
{
	return in_force.holder;
}

void sim_claims_set_mode(struct sim_host *host, u32 mode)
{
	if (in_force.mode == mode || users[host->number].busy)
		return;
	users[host->number].mode = mode;
	give(host, mode_thread);
}
