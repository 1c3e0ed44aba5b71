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
/* What was applied, as the state block says; and the claims of the log, from that one on. */
static u64 begun_index;
static struct qbd_claim_layout holders[64];
static u32 holder_count;
static const char *list_error;
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

static bool same_list(const struct qbd_membership_layout *a,
		      const struct qbd_membership_layout *b)
{
	return a->index == b->index && a->count == b->count &&
	       a->next_member_id == b->next_member_id &&
	       !memcmp(a->members, b->members,
		       le32_to_cpu(a->count) * sizeof(a->members[0]));
}

static void recovered_entry(void *context, const struct qbd_record_header *header,
			    const struct qbd_membership_layout *membership)
{
	u64 index = le64_to_cpu(header->shared.index);

	chains[index] = le32_to_cpu(header->shared.chain);
	chains[index - 1] = le32_to_cpu(header->shared.chain_previous);
	if (le16_to_cpu(header->shared.kind) == QBD_RECORD_CLAIM &&
	    index > le64_to_cpu(holders[holder_count - 1].epoch)) {
		if (holder_count == ARRAY_SIZE(holders))
			stop("a log with more than %u claims", holder_count);
		holders[holder_count] = holders[holder_count - 1];
		claim_follow(&holders[holder_count++], header);
	}
	if (membership && history_has(index, chains[index]) &&
	    !same_list(membership, history_list(index)))
		list_error = "its log has another list of members than the history";
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
	begun_index = index;
	holders[0] = applied->claim;
	holder_count = 1;
	list_error = NULL;
}

/* As kmod/replica/claim_log.c does it; sessions stay what they were. */
static void applied_state(void *context, u64 index, struct qbd_applied_layout *applied)
{
	u32 i = holder_count - 1;

	while (i && le64_to_cpu(holders[i].epoch) > index)
		i--;
	applied->claim = holders[i];
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

/* A record of it was spoiled: what was before that is there, and it knows what is not. */
static void check_lost(const struct order *order)
{
	const struct promise *promise = order->promise;
	struct outcome *outcome = order->outcome;

	if (recovered.last_index < promise->lost - 1)
		wrong(outcome, "entry %llu was spoiled, and its log is there up to %llu",
		      promise->lost, recovered.last_index);
	if (recovered.last_index < promise->lost_through &&
	    (!recovered.damaged || recovered.damaged_through < promise->lost_through))
		wrong(outcome, "it had entries up to %llu for good, of which it lost some; its log ends with %llu, and it takes %s",
		      promise->lost_through, recovered.last_index,
		      recovered.damaged ? "fewer for lost" : "none for lost");
}

static void check_log(const struct order *order)
{
	const struct promise *promise = order->promise;
	struct outcome *outcome = order->outcome;

	if (recovered.damaged && !promise->lost)
		wrong(outcome, "it finds itself damaged, and nobody touched it: %s",
		      recovered.reason);
	if (recovered.failed)
		wrong(outcome, "it finds its disk failed, and it did not");
	if (promise->lost)
		check_lost(order);
	else if (recovered.last_index < promise->durable)
		wrong(outcome, "it had entries up to %llu for good, and finds its log up to %llu",
		      promise->durable, recovered.last_index);
	if (promise->durable > recovered.base_index &&
	    promise->durable <= recovered.last_index &&
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
	if (!recovered.is_new && promise->flags_all & QBD_STATE_NEW)
		wrong(outcome, "it was new, and does not know");
	/* What its leader had when the two first heard of each other is no less. */
	if (!recovered.is_new && outcome->agreed < promise->missing)
		wrong(outcome, "its disk was made anew when all up to entry %llu was committed; it has all up to %llu, and says that it is not new",
		      promise->missing, outcome->agreed);
}

/*
 * Who joined begins with nothing, under an id that nobody had before. It counts from when a
 * list says that it votes; by then it has to have been filled, durably, if it was at all.
 */
static void check_joined(const struct order *order)
{
	const struct promise *promise = order->promise;
	struct outcome *outcome = order->outcome;
	u32 number = order->member->number;

	if (!promise->made && (recovered.last_index || recovered.term))
		wrong(outcome, "its disk was just being made, and it has a log up to %llu, in term %llu",
		      recovered.last_index, recovered.term);
	if (!list_names(&recovered.base_membership, number))
		wrong(outcome, "its log begins with a list of members that does not have it");
	if (recovered.filling && !promise->filled && history_votes(number, promise->line))
		wrong(outcome, "it is being filled for the first time, and a list says that it votes");
}

/*
 * Is it the list in force at @index? What a reset brought may be a newer one, and so may
 * what who joined began with.
 */
static bool is_list_at(const struct order *order, u64 index,
		       const struct qbd_membership_layout *list)
{
	u64 newest = min(le64_to_cpu(list->index), history_length());

	if (same_list(list, history_list(index)))
		return true;
	return (order->promise->flags_ever & QBD_STATE_FILLING || order->member->joined) &&
	       newest > index && same_list(list, history_list(newest));
}

/* Members, claim and size, when it has come up. */
static void check_applied(const struct order *order, const struct qbd_store *store)
{
	const struct qbd_claim_layout *claim = &holders[0];
	const struct qbd_state *disk = &store->state.disk;
	struct outcome *outcome = order->outcome;
	u64 epoch = le64_to_cpu(claim->epoch);
	u64 blocks = store->geometry.device_blocks;

	if (outcome->error[0])
		return;
	if (list_error)
		wrong(outcome, "%s", list_error);
	if (!is_list_at(order, recovered.base_index, &recovered.base_membership))
		wrong(outcome, "its log begins after entry %llu with the list of members of entry %llu; in force was that of %llu",
		      recovered.base_index, le64_to_cpu(recovered.base_membership.index),
		      le64_to_cpu(history_list(recovered.base_index)->index));
	if (!is_list_at(order, disk->applied_index, &disk->applied_membership))
		wrong(outcome, "all up to entry %llu is applied, and with it the list of members of entry %llu; in force is that of %llu",
		      disk->applied_index, le64_to_cpu(disk->applied_membership.index),
		      le64_to_cpu(history_list(disk->applied_index)->index));
	/* It may be a newer one that was known to be committed. */
	if (epoch > history_length() || memcmp(claim, history_claim(epoch), sizeof(*claim)))
		wrong(outcome, "claim %llu, of member %u, is none that there was",
		      epoch, le32_to_cpu(claim->holder));
	if (epoch < le64_to_cpu(history_claim(begun_index)->epoch))
		wrong(outcome, "up to entry %llu it was applied, and with it claim %llu; in force was %llu",
		      begun_index, epoch, le64_to_cpu(history_claim(begun_index)->epoch));
	if (blocks < order->promise->blocks)
		wrong(outcome, "its device was seen with %llu blocks, and comes up with %llu",
		      order->promise->blocks, blocks);
	if (blocks < history_blocks(store->applied_index))
		wrong(outcome, "everything up to entry %llu is applied, and its device has %llu blocks instead of %llu",
		      store->applied_index, blocks, history_blocks(store->applied_index));
}

/* And when everything is applied. */
static void check_size(const struct order *order)
{
	u64 blocks = open_store->geometry.device_blocks;
	u64 wanted = history_blocks(order->outcome->agreed);

	/* A reset that never came to be has made it larger already; or it was made so. */
	if (blocks < wanted || blocks > history_blocks(history_length()) ||
	    (blocks > wanted && !(order->promise->flags_ever & QBD_STATE_FILLING) &&
	     !order->member->joined))
		wrong(order->outcome, "everything up to entry %llu is applied, and its device has %llu blocks instead of %llu",
		      order->outcome->agreed, blocks, wanted);
}

/*
 * While it is filled: extents that are still to be asked for are as they were at the base
 * unless they changed since, for then they are sent again; the others are as of some later
 * entry. (Those that are filled again hold more than the base that they are asked for with.)
 */
static bool may_hold(u64 block, u64 hash)
{
	u64 extent = qbd_extent_of(open_store, block), index;

	if (extent >= recovered.fill_cursor && extent < recovered.fill_plan.end)
		return history_extent_changed(extent, history_length()) >
		       recovered.fill_plan.base ||
		       hash == history_hash(block, recovered.fill_plan.base);
	if (extent < recovered.fill_plan.again_end &&
	    history_extent_changed(extent, history_length()) > recovered.fill_plan.again_base)
		return true;
	for (index = history_length(); index > recovered.fill_index;
	     index = history_block_changed(block, index) - 1)
		if (hash == history_hash(block, index))
			return true;
		else if (!history_block_changed(block, index))
			return false;
	return hash == history_hash(block, recovered.fill_index);
}

/*
 * A record that was lost may have been applied, wholly or in part: it is applied once more when
 * it is there again. Whoever lost it serves nobody before that.
 */
static bool applied_since(u64 line, u64 block, u64 index)
{
	char why[80];
	u64 committed = min(history_committed(line, why, sizeof(why)), history_length());

	return history_block_changed(block, committed) > index;
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
	if (spoiled_may_hold(order->member->number, order->promise->line, block, hash,
			     outcome->agreed))
		return;
	if (order->promise->lost && applied_since(order->promise->line, block, outcome->agreed))
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

/* A witness has none: neither had it before, nor does it write any when it comes up. */
static void check_no_data(const struct order *order)
{
	const struct scene *scenes[] = { &order->member->scene, &disk_scene };

	for (u32 k = 0; k < ARRAY_SIZE(scenes); k++)
		for (u32 i = 0; i < scenes[k]->count; i++) {
			const struct write *write = &scenes[k]->writes[i];

			if (!write->count || (!k && write->issued < order->member->made))
				continue;
			if (area_of(&order->member->geometry, write->block) == AREA_OTHER)
				wrong(order->outcome, "it keeps no data, and writes block %llu",
				      write->block);
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
	if (IS_ERR(store) && !order->promise->made) {
		outcome->nothing = true;
		order->done = true;
		return;
	}
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
	check_applied(order, store);
	if (order->member->joined)
		check_joined(order);
	if (!outcome->error[0]) {
		qbd_store_commit(store, outcome->agreed);
		while (!store->failed && store->applied_index < outcome->agreed)
			sim_sleep(0);
		/* The checkpoint that makes a new size durable. */
		while (!store->failed && qbd_store_durable_blocks(store) <
		       store->geometry.device_blocks)
			sim_sleep(0);
		check_size(order);
		if (order->member->witness)
			check_no_data(order);
		else
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
