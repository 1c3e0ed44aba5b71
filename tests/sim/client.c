// SPDX-License-Identifier: GPL-2.0
/*
 * kmod/blk/blk.h without a block layer, and its users: readers of everything, and for
 * each block one host that writes it, one write after another. (In some worlds all write
 * at once, and linear.c judges.)
 *
 * So what a reader may see is known: the writes of a block have an order, and a read
 * gives what one of them wrote that is not older than the last one that had completed
 * when the read was made, nor than what any read had given by then, nor newer than the
 * last one that was begun. Writes whose host lost its power, or that failed, may have
 * come to pass or not, or do so later, but not after one completed that was begun then.
 */
#include "sim.h"

#define REQUESTS_MAX	24u
#define VALUES_MAX	(1u << 20)

struct sim_request {
	struct qbd_request request;
	struct list_head list;
	struct sim_host *host;
	u64 id;
	bool probe;
	bool answered;		/* a read: with data */
	u32 number;		/* of the first block, among those that are used */
	u64 begun;		/* see linear.c */
	bool late;		/* a read: newer data was written when it was answered */
	struct sim_view seen;	/* a read: as of when it was made */
	u32 floors[QBD_REQUEST_SEGMENTS_MAX];	/* read: of each block */
	u32 ats[QBD_REQUEST_SEGMENTS_MAX];	/* write: its place in each history */
	u32 after[QBD_REQUEST_SEGMENTS_MAX];	/* no newer one is surely behind this one */
};

struct qbd_disk {
	struct sim_host *host;
	void (*kick)(void *context);
	void *context;
	struct llist_head queue;
	bool removing;
	u64 blocks;		/* as its users see it */
};

/* The writes of a block, the oldest first; the first is that it was made. */
struct history {
	u64 *values;
	u32 count, room;
	u32 completed;		/* the newest write that had */
	u32 completed_by;	/* by whom */
	u32 seen;		/* by a read that had completed */
	u32 pending;		/* hosts that have one under way, as bits */
	u32 lost;		/* the oldest that may come to pass yet, and one more; 0: none */
	u32 lost_at;		/* so many were begun when the last of these was lost */
	u32 writer;		/* host of the newest */
};

static struct history histories[SIM_USED_BLOCKS];
static struct list_head requests[SIM_HOSTS_MAX + 1];
static u32 outstanding[SIM_HOSTS_MAX + 1];
static bool probed[SIM_HOSTS_MAX + 1];
static bool probe_waits[SIM_HOSTS_MAX + 1];
static bool probe_wrote[SIM_HOSTS_MAX + 1];
static u32 probe_hosts;		/* bitmap */
static bool probe_reads;	/* after they have written */
static u32 probe_unread;	/* bitmap: nobody writes before these have read */
static u64 ids, operations;
static bool turns;		/* any host writes any block, one after the other */
static u32 newest;		/* block of the last write that completed */
static u32 spread_of_blocks, spread_in_stripe, reads_of_1024, zeroes_of_1024;
static u32 least_blocks, most_blocks;

/* ---- blocks of data ----------------------------------------------------- */

void sim_value_fill(void *block, u64 value)
{
	u64 *words = block;

	for (u32 i = 0; i < QBD_BLOCK_SIZE / sizeof(u64); i++)
		words[i] = value;
}

bool sim_value_of(const void *block, u64 *value)
{
	const u64 *words = block;
	u64 differ = 0;

	*value = words[0];
	for (u32 i = 1; i < QBD_BLOCK_SIZE / sizeof(u64); i++)
		differ |= words[i] ^ words[0];
	return !differ;
}

static u64 value_for(const struct sim_request *request, u32 number)
{
	return request->request.kind == QBD_REQUEST_ZERO ? 0 :
	       request->id << 16 | (number + 1);
}

/* ---- what a reader may see ---------------------------------------------- */

static void begin_write(struct sim_request *request)
{
	for (u32 i = 0; world.overlap && i < request->request.count; i++)
		sim_linear_write_begins(request->number + i, value_for(request, i),
					request->host->number);
	if (world.overlap)
		return;
	for (u32 i = 0; i < request->request.count; i++) {
		struct history *history = &histories[request->number + i];

		if (history->count == history->room) {
			history->room = history->room ? 2 * history->room : 16;
			history->values = realloc(history->values, history->room *
						  sizeof(*history->values));
			if (!history->values)
				abort();
		}
		request->ats[i] = history->count;
		request->after[i] = history->count;
		history->values[history->count++] = value_for(request, i);
		history->pending |= 1u << request->host->number;
		history->writer = request->host->number;
	}
}

static void end_overlapping(struct sim_request *request, bool completed)
{
	for (u32 i = 0; i < request->request.count; i++) {
		if (completed)
			sim_linear_write_ends(request->number + i, value_for(request, i));
		else
			sim_linear_write_given_up(request->number + i,
						  value_for(request, i));
	}
	if (completed)
		sim_linear_host_wrote(request->host->number, request->begun);
}

/*
 * Of this write and those of other hosts that were begun before it and are under way: the
 * oldest. A host that has to get the claim first may write after who had it meanwhile.
 */
static u32 oldest_under_way(u32 number, u32 at)
{
	u32 oldest = at;

	if (histories[number].lost)
		oldest = min(oldest, histories[number].lost - 1);
	for (u32 host = 1; host <= SIM_HOSTS_MAX; host++) {
		const struct sim_request *other;

		if (!(histories[number].pending & 1u << host))
			continue;
		list_for_each_entry(other, &requests[host], list)
			if (other->request.kind != QBD_REQUEST_READ &&
			    number - other->number < other->request.count)
				oldest = min(oldest, other->ats[number - other->number]);
	}
	return oldest;
}

/*
 * A write completes, and newer ones were begun: those may have come to pass before it, though
 * their answers are late; and a read that is under way may give what such a one wrote.
 */
static void may_be_older(u32 number, u32 at)
{
	if (at + 1 == histories[number].count)
		return;
	for (u32 host = 1; host <= SIM_HOSTS_MAX; host++) {
		struct sim_request *other;

		list_for_each_entry(other, &requests[host], list) {
			u32 i = number - other->number;

			if (i < other->request.count)
				other->after[i] = min(other->after[i], at);
		}
	}
}

/*
 * Whoever wrote has lost its power, and the leader may have the write. Where a host claims the
 * device first, others may have written meanwhile, although they began later.
 */
static void lose(struct history *history, u32 at)
{
	if (!world.exclusive)
		return;
	history->lost = history->lost ? min(history->lost, at + 1) : at + 1;
	history->lost_at = history->count;
}

static void end_write(struct sim_request *request, bool completed)
{
	if (completed)
		newest = request->number;
	if (world.overlap) {
		end_overlapping(request, completed);
		return;
	}
	for (u32 i = 0; i < request->request.count; i++) {
		struct history *history = &histories[request->number + i];

		history->pending &= ~(1u << request->host->number);
		if (!completed) {
			lose(history, request->ats[i]);
			continue;
		}
		if (history->lost && request->ats[i] >= history->lost_at)
			history->lost = 0;
		may_be_older(request->number + i, request->ats[i]);
		history->completed = max(history->completed,
					 oldest_under_way(request->number + i,
							  request->after[i]));
		history->completed_by = request->host->number;
	}
}

static void begin_read(struct sim_request *request)
{
	for (u32 i = 0; i < request->request.count; i++) {
		struct history *history = &histories[request->number + i];

		request->floors[i] = max(history->completed, history->seen);
		request->after[i] = U32_MAX;
	}
}

/* It may be there more than once: zeroes are all the same. */
static bool in_history(const struct history *history, u32 from, u64 value)
{
	while (from < history->count && history->values[from] != value)
		from++;
	return from < history->count;
}

static void end_read(struct sim_request *request, u32 number, u64 value)
{
	u64 block = request->request.block + number;
	struct history *history = &histories[request->number + number];
	u32 at = request->floors[number];

	if (world.overlap) {
		sim_linear_read(request->number + number, value, request->begun,
				request->host->number);
		return;
	}
	while (at < history->count && history->values[at] != value)
		at++;
	if (at < history->count) {
		request->late |= history->completed_by != request->host->number &&
				 !in_history(history, history->completed, value);
		history->seen = max(history->seen,
				    oldest_under_way(request->number + number,
						     min(at, request->after[number])));
		return;
	}
	for (at = 0; at < history->count && history->values[at] != value; at++)
		;
	sim_fail("host %u read %#llx from block %llu, %s: not older than number %u of %u was due",
		 request->host->number, value, block,
		 at < history->count ? "an old value" : "which nobody ever wrote there",
		 request->floors[number], history->count);
}

/* ---- what the replica calls --------------------------------------------- */

struct qbd_disk *qbd_disk_create(const char *name, u64 device_blocks,
				 void (*kick)(void *context), void *context)
{
	struct qbd_disk *disk = kzalloc(sizeof(*disk), GFP_KERNEL);

	if (!disk)
		return ERR_PTR(-ENOMEM);
	disk->host = sim_host;
	disk->kick = kick;
	disk->context = context;
	disk->blocks = device_blocks;
	sim_sizes_shown(sim_host, device_blocks);
	sim_host->blk = disk;
	return disk;
}

bool qbd_disk_resize(struct qbd_disk *disk, u64 device_blocks)
{
	sim_sizes_shown(disk->host, device_blocks);
	if (device_blocks == disk->blocks)
		return false;
	disk->blocks = device_blocks;
	return true;
}

unsigned int qbd_disk_number(const struct qbd_disk *disk)
{
	return disk->host->number;
}

int qbd_disk_number_get(void)
{
	return sim_host->number;
}

void qbd_disk_number_put(unsigned int number)
{
}

bool qbd_disk_in_use(struct qbd_disk *disk)
{
	return outstanding[disk->host->number];
}

int qbd_disk_begin_removal(struct qbd_disk *disk, bool force)
{
	disk->removing = true;
	sim_claims_off(disk->host);
	return 0;
}

void qbd_disk_destroy(struct qbd_disk *disk)
{
	if (outstanding[disk->host->number] || !llist_empty(&disk->queue))
		sim_fail("host %u: requests are left when the block device goes",
			 disk->host->number);
	disk->host->blk = NULL;
	kfree(disk);
}

bool qbd_disk_claim_asked(struct qbd_disk *disk)
{
	return sim_claims_asked(disk->host);
}

void qbd_disk_claim_answer(struct qbd_disk *disk, int error)
{
	sim_claims_answer(disk->host, error);
}

bool qbd_disk_claim_needed(struct qbd_disk *disk)
{
	return sim_claims_needed(disk->host);
}

bool qbd_disk_write_opened(struct qbd_disk *disk)
{
	return sim_claims_written(disk->host);
}

void qbd_disk_claim_keep(struct qbd_disk *disk)
{
	sim_claims_wrote(disk->host);
}

bool qbd_disk_opened(struct qbd_disk *disk)
{
	return sim_claims_open(disk->host) || sim_claims_mounted(disk->host);
}

bool qbd_disk_exclusive(struct qbd_disk *disk)
{
	return sim_claims_mounted(disk->host);
}

u64 qbd_disk_view(struct qbd_disk *disk)
{
	return sim_claims_view(disk->host);
}

u64 qbd_disk_oldest_view(struct qbd_disk *disk)
{
	return sim_claims_view(disk->host);
}

u64 qbd_disk_closings(struct qbd_disk *disk)
{
	return sim_claims_closings(disk->host);
}

struct llist_node *qbd_disk_take(struct qbd_disk *disk)
{
	return llist_reverse_order(llist_del_all(&disk->queue));
}

u32 qbd_request_copy_out(struct qbd_request *request, struct page **pages,
			 unsigned int count)
{
	struct sim_request *ours = container_of(request, struct sim_request, request);
	u32 crc = ~0u;

	for (u32 i = 0; i < count; i++) {
		sim_value_fill(page_address(pages[i]), value_for(ours, i));
		crc = crc32c(crc, page_address(pages[i]), QBD_BLOCK_SIZE);
	}
	return crc;
}

void qbd_request_copy_in(struct qbd_request *request, struct page **pages,
			 unsigned int count)
{
	struct sim_request *ours = container_of(request, struct sim_request, request);
	u64 value;

	ours->answered = count == request->count;
	for (u32 i = 0; i < count; i++) {
		if (!sim_value_of(page_address(pages[i]), &value))
			sim_fail("host %u read a block %llu that nobody wrote whole",
				 ours->host->number, request->block + i);
		else
			end_read(ours, i, value);
	}
}

/* It knows that it was removed: it fails whatever is asked of it. */
static bool removed(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	return replica && replica->removed;
}

static void request_end(struct sim_request *request)
{
	outstanding[request->host->number]--;
	list_del(&request->list);
	free(request);
}

static void end_probe(const struct sim_request *request, bool completed)
{
	u32 number = request->host->number;

	probe_waits[number] = false;
	if (!completed && !removed(request->host))
		return;
	if (probe_unread >> number & 1) {
		probe_unread &= ~(1u << number);
		return;
	}
	probed[number] = !probe_reads || removed(request->host) ||
			 request->request.kind == QBD_REQUEST_READ;
	probe_wrote[number] = true;
}

/* Its disk cannot read it: who could may be away, and then a write would wait for him. */
static void check_failed_read(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	if (replica && replica->phase == QBD_PHASE_RUNNING && !replica->removed &&
	    replica->hold.state != QBD_HOLD_FENCED && replica->told_role == QBD_ROLE_LEADER &&
	    replica->core->role == QBD_ROLE_LEADER && sim_heard_no_majority(host))
		sim_fail("host %u leads and has a read fail, though no majority is there",
			 host->number);
}

void qbd_request_complete(struct qbd_request *request, blk_status_t status)
{
	struct sim_request *ours = container_of(request, struct sim_request, request);
	struct sim_host *host = ours->host;

	operations++;
	if (removed(host) && status == BLK_STS_OK)
		sim_fail("host %u was removed, knows it, and a request of block %llu completes",
			 host->number, request->block);
	/* With claims: its own may have been taken over. */
	if (status != BLK_STS_OK && !host->going_down && !world.errors && !removed(host) &&
	    !world.exclusive)
		sim_fail("host %u: a request of kind %u of block %llu failed", host->number,
			 request->kind, request->block);
	if (request->kind == QBD_REQUEST_READ && status == BLK_STS_OK)
		sim_claims_read(host, request->view, &ours->seen, ours->late);
	if (request->kind == QBD_REQUEST_READ && status != BLK_STS_OK)
		check_failed_read(host);
	if (request->kind != QBD_REQUEST_READ)
		end_write(ours, status == BLK_STS_OK);
	else if (status == BLK_STS_OK && !ours->answered)
		sim_fail("host %u: a read of block %llu completes, and nothing was read",
			 host->number, request->block);
	if (ours->probe)
		end_probe(ours, status == BLK_STS_OK);
	request_end(ours);
}

/* ---- users -------------------------------------------------------------- */

/*
 * Few blocks, and no zeroes: those are all the same. Drawn apart from the rest, of which
 * nothing else changes so.
 */
static void draw_overlap(void)
{
	u64 random = world.seed ^ 0x6f7665726c617073ull;

	world.overlap = sim_below_of(&random, 4) == 0 && !sim_drawn(SIM_CLAIMS);
	/* All may write, and late, where another one has done since. */
	world.overlap |= world.modes;
	if (!world.overlap)
		return;
	sim_linear_begin();
	zeroes_of_1024 = 0;
	reads_of_1024 = min(reads_of_1024, 600u);
	if (world.filling || world.sparse)
		return;
	spread_of_blocks = 1 + sim_below_of(&random, 4);
	most_blocks = min(most_blocks, 3u);
}

void sim_client_begin(void)
{
	static const u32 spreads[] = { 8, 64, 256, 1024 };

	for (u32 i = 0; i < SIM_USED_BLOCKS; i++) {
		struct history *history = &histories[i];

		if (!history->values) {
			history->room = 16;
			history->values = calloc(history->room, sizeof(u64));
		}
		if (!history->values)
			abort();
		history->values[0] = 0;
		history->count = 1;
		history->completed = 0;
		history->completed_by = 0;
		history->seen = 0;
		history->lost = 0;
		history->pending = 0;
	}
	for (u32 i = 0; i <= SIM_HOSTS_MAX; i++) {
		struct sim_request *request, *next;

		if (requests[i].next)
			list_for_each_entry_safe(request, next, &requests[i], list)
				free(request);
		INIT_LIST_HEAD(&requests[i]);
		outstanding[i] = 0;
		probed[i] = false;
		probe_waits[i] = false;
	}
	ids = 0;
	operations = 0;
	newest = 0;
	/* Whose a block is may leave. */
	turns = sim_chance(512) || world.joins || world.exclusive;
	sim_claims_begin();
	sim_follow_begin();
	spread_of_blocks = spreads[sim_below(ARRAY_SIZE(spreads))];
	reads_of_1024 = sim_below(900);
	zeroes_of_1024 = sim_chance(512) ? sim_below(200) : 0;
	most_blocks = 1 + sim_below(sim_chance(512) ? 4 : SIM_STRIPE);
	least_blocks = 1;
	if (world.sparse) {
		spread_of_blocks = SIM_USED_BLOCKS;
		most_blocks = world.hurry ? SIM_STRIPE : min(most_blocks, 4u);
		reads_of_1024 = min(reads_of_1024, 300u);
	}
	spread_in_stripe = SIM_STRIPE;
	if (world.plans) {
		/* All write, and mostly again what they have written before. */
		spread_of_blocks = SIM_STRIPE;
		spread_in_stripe = 1 << sim_below(6);
		most_blocks = min(most_blocks, 8u);
		reads_of_1024 = min(reads_of_1024, 600u);
	}
	if (world.filling) {
		/* The log is to be overrun. */
		spread_of_blocks = sim_chance(512) ? SIM_USED_BLOCKS : 64;
		reads_of_1024 = sim_below(300);
		most_blocks = SIM_STRIPE;
		least_blocks = 1 + sim_below(SIM_STRIPE);
	}
	draw_overlap();
}

void sim_client_power_cut(struct sim_host *host)
{
	struct sim_request *request, *next;

	list_for_each_entry_safe(request, next, &requests[host->number], list) {
		if (request->request.kind != QBD_REQUEST_READ)
			end_write(request, false);
		request_end(request);
	}
	probe_waits[host->number] = false;
	sim_claims_off(host);
	host->blk = NULL;
}

/*
 * Nobody is up but one host, which nobody uses, and goes on alone with that value: what was
 * written there and is not in its log is lost.
 */
void sim_client_forget(u32 number, u64 value)
{
	struct history *history = &histories[number];

	/* Whose the block was may be gone for good. */
	turns = true;
	history->values[0] = value;
	history->count = 1;
	history->completed = 0;
	history->completed_by = 0;
	history->seen = 0;
	history->lost = 0;
	if (history->pending)
		sim_fail("block %llu is written by somebody, and nobody is up",
			 sim_place(number));
	if (world.overlap)
		sim_linear_forget(number, value);
}

static u32 writer_of(u32 number)
{
	return 1 + number / SIM_STRIPE % world.founders;
}

/*
 * One writer of a block at a time. Hosts may take turns at it in some worlds: but what came of
 * the last write has to be known then, else a copy of it may be on its way still, and is
 * left to whoever made it until one has completed. Of a member that is gone none is on
 * its way: nobody takes anything from it since.
 */
static bool may_write(const struct sim_request *request)
{
	u32 host = request->host->number;

	for (u32 i = 0; !world.overlap && i < request->request.count; i++) {
		u32 number = request->number + i;
		const struct history *history = &histories[number];

		if (history->pending & 1u << host)
			return false;
		/* Another holder was superseded, or this host would not write. */
		if (world.exclusive)
			continue;
		if (history->pending)
			return false;
		if (!turns ? writer_of(number) != host :
		    history->completed != history->count - 1 && history->writer != host &&
		    !sim_lists_gone(history->writer))
			return false;
	}
	return true;
}

static void submit(struct sim_request *request)
{
	struct sim_host *host = request->host, *before = sim_host;

	request->id = ++ids;
	request->request.sequence = ids;
	request->request.view = sim_claims_view(host);
	request->seen = sim_claims_seen(host);
	request->begun = sim_linear_now();
	if (request->request.kind == QBD_REQUEST_READ)
		begin_read(request);
	else
		begin_write(request);
	list_add_tail(&request->list, &requests[host->number]);
	outstanding[host->number]++;
	sim_host = host;
	if (llist_add(&request->request.queued, &host->blk->queue))
		host->blk->kick(host->blk->context);
	sim_host = before;
}

static bool ready(const struct sim_host *host)
{
	return host->blk && !host->blk->removing && !host->former &&
	       (host->paused_until <= world.now || host->preempted) &&
	       outstanding[host->number] < REQUESTS_MAX;
}

/* Where else it would mostly not be allowed. */
static void place_in_own_stripe(struct sim_request *request)
{
	u32 stripe = request->number / SIM_STRIPE;

	stripe = stripe / world.founders * world.founders + request->host->number - 1;
	if (stripe < SIM_USED_BLOCKS / SIM_STRIPE)
		request->number = stripe * SIM_STRIPE +
				  sim_below(min(SIM_STRIPE - request->request.count + 1,
						spread_in_stripe));
}

/* As much of it as lies on the device that its users see. Return: false: nothing does. */
static bool clip(struct sim_request *request)
{
	u64 blocks = request->host->blk->blocks;

	if (request->request.block >= blocks)
		return false;
	request->request.count = min_t(u64, request->request.count,
				       blocks - request->request.block);
	return true;
}

static struct sim_request *request_at(struct sim_host *host)
{
	struct sim_request *request = calloc(1, sizeof(*request));

	if (!request)
		abort();
	request->host = host;
	return request;
}

void sim_client_work(struct sim_host *host)
{
	struct sim_request *request;
	u32 spread = min(spread_of_blocks * world.founders, SIM_USED_BLOCKS);
	u32 left;

	if (!ready(host))
		return;
	request = request_at(host);
	request->number = sim_below(sim_chance(32) ? SIM_USED_BLOCKS : spread);
	request->request.count = least_blocks +
				 sim_below(most_blocks - least_blocks + 1);
	request->request.kind = sim_chance(reads_of_1024) ? QBD_REQUEST_READ :
				sim_chance(zeroes_of_1024) ? QBD_REQUEST_ZERO :
				QBD_REQUEST_WRITE;
	if (removed(host) && sim_chance(900))
		request->request.kind = QBD_REQUEST_READ;
	if ((turns || world.overlap) && sim_chance(400))
		request->number = newest;
	else if (!turns && !world.overlap && (world.filling || world.plans || world.hurry) &&
		 request->request.kind != QBD_REQUEST_READ)
		place_in_own_stripe(request);
	/* A request has its blocks side by side. */
	left = sim_stride == SIM_STRIPE ? SIM_USED_BLOCKS - request->number :
					  SIM_STRIPE - request->number % SIM_STRIPE;
	request->request.count = min(request->request.count, left);
	request->request.block = sim_place(request->number);
	if (!clip(request) ||
	    (request->request.kind != QBD_REQUEST_READ &&
	     (!sim_claims_use(host, !outstanding[host->number]) || !may_write(request))))
		free(request);
	else
		submit(request);
}

void sim_client_write(struct sim_host *host, u32 number, u32 count)
{
	struct sim_request *request;

	if (!ready(host) || !sim_claims_open(host))
		return;
	request = request_at(host);
	request->number = number;
	request->request.kind = QBD_REQUEST_WRITE;
	request->request.count = count;
	request->request.block = sim_place(number);
	if (clip(request) && may_write(request))
		submit(request);
	else
		free(request);
}

bool sim_client_turn(struct sim_host *host, bool its_turn)
{
	return ready(host) && sim_claims_turn(host, its_turn, !outstanding[host->number]);
}

void sim_client_read_newest(struct sim_host *host)
{
	struct sim_request *request;

	if (!ready(host))
		return;
	request = request_at(host);
	request->number = newest;
	request->request.kind = QBD_REQUEST_READ;
	request->request.count = 1;
	request->request.block = sim_place(newest);
	if (clip(request))
		submit(request);
	else
		free(request);
}

void sim_client_probe_begin(void)
{
	memset(probed, 0, sizeof(probed));
	memset(probe_wrote, 0, sizeof(probe_wrote));
	probe_hosts = ~0u;
	probe_reads = false;
	probe_unread = 0;
}

void sim_client_probe_few(u32 hosts, bool read_first)
{
	sim_client_probe_begin();
	probe_hosts = hosts;
	probe_reads = true;
	/* Where they take turns one writes before the next one has its turn. */
	probe_unread = read_first && !turns ? hosts : 0;
}

/*
 * One write at each member has to complete, and a read to fail where one knows that it was
 * removed; true when they all did.
 */
bool sim_client_probe(void)
{
	bool all = true;

	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];
		struct sim_request *request;

		if ((!sim_lists_has(number) && !removed(host)) || host->witness || host->former) {
			probe_unread &= ~(1u << number);
			continue;
		}
		/* Whoever has had its turn, or has none, lets the next one have it. */
		if (probed[number] || !(probe_hosts >> number & 1)) {
			sim_claims_turn(host, false, !outstanding[number]);
			continue;
		}
		if (!ready(host) || probe_waits[number] ||
		    (!removed(host) &&
		     !sim_claims_turn(host, all, !outstanding[number]))) {
			all = false;
			continue;
		}
		all = false;
		request = request_at(host);
		request->probe = true;
		request->request.kind = removed(host) || probe_unread ||
					(probe_reads && probe_wrote[number]) ?
					QBD_REQUEST_READ : QBD_REQUEST_WRITE;
		request->request.count = 1;
		request->number = turns || world.overlap ? sim_below(SIM_USED_BLOCKS) :
				  (number - 1) * SIM_STRIPE + sim_below(SIM_STRIPE);
		request->request.block = sim_place(request->number);
		/* The blocks that are its own may lie behind the end: there it can but read. */
		if (probe_reads && !clip(request)) {
			request->request.kind = QBD_REQUEST_READ;
			request->number = 0;
			request->request.block = sim_place(0);
		}
		if (!clip(request) ||
		    (request->request.kind == QBD_REQUEST_WRITE && !may_write(request))) {
			free(request);
			continue;
		}
		probe_waits[number] = true;
		submit(request);
	}
	return all;
}

bool sim_client_idle_at(u32 hosts)
{
	for (u32 number = 1; number <= world.count; number++)
		if (hosts >> number & 1 && outstanding[number])
			return false;
	return true;
}

bool sim_client_idle(void)
{
	return sim_client_idle_at(~0u);
}

u64 sim_client_operations(void)
{
	return operations;
}

/* Of the newest write of a block that completed, and what came after it. */
bool sim_client_may_hold(u32 number, u64 value)
{
	const struct history *history = &histories[number];

	if (world.overlap)
		return sim_linear_may_hold(number, value);
	for (u32 i = max(history->completed, history->seen); i < history->count; i++)
		if (history->values[i] == value)
			return true;
	return false;
}
