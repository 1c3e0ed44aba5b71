// SPDX-License-Identifier: GPL-2.0
/*
 * One recovery: the store is opened as the module does it, everything that the history
 * says is committed is committed and applied, and what is there then is compared.
 */
#include "crash.h"

#define POOL_PAGES	(16u << 8)	/* as in the recorded run: --memory 16M */

static struct qbd_pool *pool;

struct order {
	const struct member *member;
	const struct promise *promise;
	struct outcome *outcome;
	bool done;
};

static struct qbd_store *open_store;
static struct qbd_store_recovered recovered;
static u32 *chains;		/* of the entries that were found */
static u32 base_chain;
u64 recoveries;

/* ---- what the store tells its replica ----------------------------------- */

static void run_store(void *object, u64 argument)
{
	if (open_store)
		qbd_store_run(open_store);
}

static void kick(void *context)
{
	sim_event(sim_host, world.now + 1, run_store, NULL, 0);
}

static void recovered_entry(void *context, const struct qbd_record_header *header,
			    const struct qbd_membership_layout *membership)
{
	u64 index = le64_to_cpu(header->shared.index);

	chains[index] = le32_to_cpu(header->shared.chain);
	chains[index - 1] = le32_to_cpu(header->shared.chain_previous);
}

static void log_durable(void *context, u64 generation, u64 term, u64 index)
{
}

static void one_index(void *context, u64 index)
{
}

static void record_loaded(void *context, u64 index, struct qbd_record *record)
{
}

static void fill_written(void *context, void *cookie, int error)
{
}

static void recovered_applied(void *context, u64 index,
			      const struct qbd_applied_layout *applied,
			      const struct qbd_membership_layout *membership)
{
}

static void applied_state(void *context, u64 index, struct qbd_applied_layout *applied)
{
}

static bool answered(void *context)
{
	return true;
}

static void nothing(void *context)
{
}

static void failed(void *context, int error, const char *what)
{
	sim_fail("the disk failed: %s", what);
}

static const struct qbd_store_ops ops = {
	.kick			= kick,
	.answered		= answered,
	.recovered_applied	= recovered_applied,
	.applied_state		= applied_state,
	.recovered_entry	= recovered_entry,
	.log_durable		= log_durable,
	.state_durable		= one_index,
	.applied		= one_index,
	.log_reclaimed		= one_index,
	.record_loaded		= record_loaded,
	.reset_durable		= one_index,
	.fill_written		= fill_written,
	.fill_durable		= nothing,
	.space			= nothing,
	.failed			= failed,
};

/* ---- what has to be so --------------------------------------------------- */

__printf(2, 3)
static void wrong(struct outcome *outcome, const char *format, ...)
{
	va_list arguments;

	if (outcome->error[0])
		return;
	va_start(arguments, format);
	vsnprintf(outcome->error, sizeof(outcome->error), format, arguments);
	va_end(arguments);
}

static u32 chain_at(u64 index)
{
	return index == recovered.base_index ? base_chain : chains[index];
}

/* How much of the log found is the committed history. */
static u64 agreed(void)
{
	u64 index = recovered.last_index;

	while (index > recovered.base_index && !history_has(index, chain_at(index)))
		index--;
	return index;
}

static void check_log(const struct order *order)
{
	const struct promise *promise = order->promise;
	struct outcome *outcome = order->outcome;

	if (recovered.damaged)
		wrong(outcome, "it finds itself damaged, and nobody touched it: %s",
		      recovered.reason);
	if (recovered.failed)
		wrong(outcome, "it finds its disk failed, and it did not");
	if (recovered.last_index < promise->durable)
		wrong(outcome, "it had entries up to %llu for good, and finds its log up to %llu",
		      promise->durable, recovered.last_index);
	if (promise->durable > recovered.base_index &&
	    chain_at(promise->durable) != promise->chain)
		wrong(outcome, "entry %llu, which it had for good, is %08x and was %08x",
		      promise->durable, chain_at(promise->durable), promise->chain);
	if (promise->cut > recovered.base_index && promise->cut <= recovered.last_index &&
	    chain_at(promise->cut) != promise->cut_chain)
		wrong(outcome, "its log was cut off before entry %llu, and what was there is back",
		      promise->cut);
	if (recovered.base_index && !history_has(recovered.base_index, base_chain))
		wrong(outcome, "its log begins after an entry %llu that was never committed",
		      recovered.base_index);
	if (recovered.commit_index > outcome->agreed)
		wrong(outcome, "it takes entry %llu for committed; only up to %llu it agrees with what was",
		      recovered.commit_index, outcome->agreed);
}

static void check_state(const struct order *order)
{
	const struct promise *promise = order->promise;
	struct outcome *outcome = order->outcome;
	u32 flags = promise->flags_any;

	if (recovered.term < promise->term ||
	    (recovered.term == promise->term && promise->vote &&
	     recovered.vote != promise->vote))
		wrong(outcome, "it voted for %u in term %llu, and now says %u in term %llu",
		      promise->vote, promise->term, recovered.vote, recovered.term);
	if (recovered.filling && !(flags & QBD_STATE_FILLING))
		wrong(outcome, "it wants to be filled, and nobody touched its disk");
	if (!recovered.filling && promise->flags_all & QBD_STATE_FILLING)
		wrong(outcome, "it was being filled, and does not know");
	if (recovered.is_new && !(flags & QBD_STATE_NEW))
		wrong(outcome, "it says that it is new, and had been part of the device");
}

/*
 * While it is filled: extents below the cursor are as of some later entry, the others
 * as they were at the base unless they changed since, for then they are sent again.
 */
static bool may_hold(u64 block, u64 hash)
{
	u64 extent = qbd_extent_of(open_store, block), index;

	if (extent >= recovered.fill_cursor)
		return history_extent_changed(extent, history_length()) >
		       recovered.fill_base_index ||
		       hash == history_hash(block, recovered.fill_base_index);
	for (index = history_length(); index > recovered.fill_index;
	     index = history_block_changed(block, index) - 1)
		if (hash == history_hash(block, index))
			return true;
		else if (!history_block_changed(block, index))
			return false;
	return hash == history_hash(block, recovered.fill_index);
}

static void check_block(const struct order *order, u64 block)
{
	struct outcome *outcome = order->outcome;
	u64 hash = zero_hash, wanted = history_hash(block, outcome->agreed);
	u64 extent = qbd_extent_of(open_store, block);

	if (qbd_extent_written(open_store, extent))
		hash = disk_hash(open_store->geometry.data_block + block);
	if (hash == wanted)
		return;
	if (recovered.filling && may_hold(block, hash))
		return;
	wrong(outcome, "block %llu of the device does not hold what it has to (of entry %llu, everything up to %llu is applied)%s%s",
	      block, history_block_changed(block, outcome->agreed), outcome->agreed,
	      qbd_extent_written(open_store, extent) ? "" :
	      ": its extent counts as never written",
	      recovered.filling ? "; it is being filled" : "");
}

static void check_data(const struct order *order)
{
	const struct qbd_geometry *geometry = &open_store->geometry;
	struct outcome *outcome = order->outcome;

	for (u64 block = 0; block < geometry->device_blocks; block++)
		check_block(order, block);
	for (u64 extent = 0; extent < geometry->extent_count; extent++) {
		u64 changed = history_extent_changed(extent, outcome->agreed);

		if (!recovered.filling && *qbd_extent_changed(open_store, extent) < changed)
			wrong(outcome, "extent %llu was changed by entry %llu; its table says %llu, and others would not be sent it",
			      extent, changed, *qbd_extent_changed(open_store, extent));
	}
}

/* ---- one recovery -------------------------------------------------------- */

static void recover_thread(void *object)
{
	struct order *order = object;
	struct outcome *outcome = order->outcome;
	char text[256] = "";
	struct qbd_store *store;

	memset(&recovered, 0, sizeof(recovered));
	store = qbd_store_open(0, "disk", pool, &ops, NULL, &recovered, text, sizeof(text));
	if (IS_ERR(store)) {
		wrong(outcome, "it does not come up: %s", text);
		order->done = true;
		return;
	}
	open_store = store;
	base_chain = recovered.last_index > recovered.base_index ?
		     chains[recovered.base_index] : store->log.base_chain;
	outcome->chains = chains;
	outcome->last = recovered.last_index;
	outcome->agreed = agreed();
	outcome->commit = recovered.commit_index;
	outcome->applied = recovered.applied_index;
	outcome->term = recovered.term;
	outcome->vote = recovered.vote;
	outcome->filling = recovered.filling;
	outcome->is_new = recovered.is_new;
	check_log(order);
	check_state(order);
	if (!outcome->error[0]) {
		qbd_store_commit(store, outcome->agreed);
		while (!store->failed && store->applied_index < outcome->agreed)
			sim_sleep(0);
		check_data(order);
	}
	open_store = NULL;
	qbd_store_close(store);
	order->done = true;
}

void recover_begin(void)
{
	struct sim_host *host = &world.hosts[1];

	sim_world_begin(recording.seed);
	sim_host = host;
	host->powered = true;
	host->life = 1;
	host->bdev.blocks = recording.blocks;
	host->bdev.queue.tag_set = &host->bdev.tags;
	chains = calloc(1u << 16, sizeof(*chains));
	pool = qbd_pool_create(POOL_PAGES, kick, NULL);
	if (!chains || IS_ERR(pool))
		abort();
	sim_host = NULL;
}

/* What the simulator's world calls, and there is not here: others, users, faults. */
void sim_after_event(struct sim_host *host)
{
}

bool sim_network_brings(void (*run)(void *object, u64 argument))
{
	return false;
}

bool sim_disk_brings(void (*run)(void *object, u64 argument))
{
	return false;
}

void sim_client_read_newest(struct sim_host *host)
{
}

void sim_faults_work(void)
{
}

void recover(const struct member *member, const struct promise *promise,
	     struct outcome *outcome)
{
	struct order order = { .member = member, .promise = promise, .outcome = outcome };
	struct sim_host *host = &world.hosts[1];
	u64 allocated = host->allocated;

	memset(outcome, 0, sizeof(*outcome));
	recoveries++;
	world.error = NULL;
	sim_host = host;
	sim_thread(recover_thread, &order);
	sim_host = NULL;
	while (!order.done && sim_step())
		;
	if (!order.done)
		stop("recovery waits for what will never come");
	/* What was asked for just before the end. */
	while (sim_step())
		;
	if (world.error)
		wrong(outcome, "%s", world.error);
	if (host->allocated != allocated)
		wrong(outcome, "%llu pieces of memory are left",
		      host->allocated - allocated);
}
