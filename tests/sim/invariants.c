// SPDX-License-Identifier: GPL-2.0
/*
 * What has to hold after every step (thesis, figure 3.2, and what qbd promises on top).
 *
 *   election safety       one leader for each term
 *   one history           an index, once committed anywhere, is the same record for
 *                         everybody: the chains of the records are compared
 *   leader completeness   who begins to lead has everything that is committed
 *   commit                never goes back on a host that is up
 *   durable is durable    what a host had said to be durable it has when it is back
 *   applied state         in the end all replicas hold what the history says
 *
 * What readers saw is client.c's business.
 */
#include "sim.h"

#define ENTRIES_MAX	(1u << 17)
#define TERMS_MAX	(1u << 16)

static u32 *chains;		/* of committed entries, by index */
static u8 *leaders;		/* of terms */
static u64 *model;		/* what each block holds by the history */
static u32 *model_index;	/* and the entry that brought it */
static u64 committed;
static u64 committed_in;	/* term of who committed the last one first */
static u64 terms;

void sim_invariants_begin(void)
{
	if (!chains) {
		chains = calloc(ENTRIES_MAX, sizeof(*chains));
		leaders = calloc(TERMS_MAX, sizeof(*leaders));
		model = calloc(sim_device_blocks, sizeof(*model));
		model_index = calloc(sim_device_blocks, sizeof(*model_index));
		if (!chains || !leaders || !model || !model_index)
			abort();
	}
	memset(chains, 0, (committed + 1) * sizeof(*chains));
	memset(leaders, 0, (terms + 1) * sizeof(*leaders));
	memset(model, 0, sim_device_blocks * sizeof(*model));
	memset(model_index, 0, sim_device_blocks * sizeof(*model_index));
	committed = 0;
	committed_in = 0;
	terms = 0;
}

struct qbd_replica *sim_replica(const struct sim_host *host)
{
	return host->powered ? sim_network_context(host) : NULL;
}

/* ---- a host comes and goes ---------------------------------------------- */

void sim_invariants_host_up(struct sim_host *host,
			    const struct qbd_store_recovered *recovered)
{
	host->role = QBD_ROLE_FOLLOWER;
	host->commit = 0;
	host->checked = 0;
	sim_trace("recovered: log %llu to %llu, committed %llu, durable before %llu%s%s%s",
		  recovered->base_index + 1, recovered->last_index, recovered->commit_index,
		  host->durable, recovered->damaged ? ", damaged" : "",
		  recovered->filling ? ", filling" : "", recovered->is_new ? ", new" : "");
	if (host->spoiled)
		return;
	/* What cannot be read now may be read the next time: nothing is forgotten of it. */
	if (recovered->damaged && host->disk_erred) {
		if (recovered->damaged_through < host->durable)
			sim_fail("host %u had %llu durable, and misses only up to %llu",
				 host->number, host->durable, recovered->damaged_through);
		return;
	}
	if (recovered->damaged)
		sim_fail("host %u finds its disk damaged, and nobody touched it: %s",
			 host->number, recovered->reason);
	if (recovered->filling && !host->was_filling && !host->disk_erred)
		sim_fail("host %u wants to be filled, and nobody touched its disk",
			 host->number);
	if (recovered->failed && !host->disk_erred)
		sim_fail("host %u finds its disk failed, and it did not", host->number);
	if (recovered->last_index < host->durable && !recovered->filling)
		sim_fail("host %u said that %llu was durable and has %llu", host->number,
			 host->durable, recovered->last_index);
}

void sim_invariants_not_up(struct sim_host *host, int error, const char *text)
{
	/* One of each pair of blocks may rot; but what rots may look like a newer version. */
	if ((error != -EIO || !host->disk_erred) &&
	    (!host->spoiled || error != -EPROTONOSUPPORT))
		sim_fail("host %u does not come up: %s (%d)", host->number, text, error);
	/* An error of a read may pass; what is not readable by its content stays so. */
	if (error != -EIO)
		host->failed = true;
	host->unsound = true;
}

void sim_invariants_power_cut(struct sim_host *host)
{
	struct qbd_replica *replica = sim_replica(host);

	/* While it comes up nothing new is promised. */
	if (!replica || replica->phase == QBD_PHASE_STARTING)
		return;
	host->was_filling = qbd_replica_filling(replica);
	host->durable = replica->core->failed || host->was_filling ? 0 :
			replica->core->durable;
	host->spoiled = replica->damaged || replica->core->failed;
}

/* ---- each step ---------------------------------------------------------- */

static void check_leader(struct sim_host *host, const struct qbd_replica *replica)
{
	const struct qbd_core *core = replica->core;
	u64 last = qbd_store_last_index(replica->store);

	if (core->term >= TERMS_MAX) {
		sim_fail("term %llu", core->term);
		return;
	}
	terms = max(terms, core->term);
	if (leaders[core->term] && leaders[core->term] != host->number)
		sim_fail("hosts %u and %u lead in term %llu", leaders[core->term],
			 host->number, core->term);
	leaders[core->term] = host->number;
	/* Votes may come late: a leader of an older term need not have what came after. */
	if (host->role == QBD_ROLE_LEADER || core->term < committed_in)
		return;
	if (last < committed)
		sim_fail("host %u leads with %llu, committed is %llu", host->number, last,
			 committed);
	else if (committed + 1 >= qbd_store_first_index(replica->store) && committed &&
		 qbd_store_chain(replica->store, committed) != chains[committed])
		sim_fail("host %u leads with another entry %llu than is committed",
			 host->number, committed);
}

/* The first who commits an entry has it in memory: the history goes on. */
static void apply_to_model(const struct qbd_record *record)
{
	u32 data = 0;

	for (u32 i = 0; i < record->operation_count; i++) {
		const struct qbd_operation *operation = &record->header->operations[i];
		u64 block = le64_to_cpu(operation->block);
		u32 count = le32_to_cpu(operation->count);

		for (u32 k = 0; k < count; k++) {
			u64 value = 0;

			if (operation->kind == QBD_OPERATION_WRITE &&
			    !sim_value_of(page_address(record->pages[data++]), &value))
				sim_fail("entry %llu holds data that nobody wrote",
					 record->index);
			model[block + k] = value;
			model_index[block + k] = record->index;
		}
	}
}

/* That entry, in the memory of a host that has it. */
static const struct qbd_record *record_somewhere(u64 index, u32 chain)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = sim_replica(&world.hosts[number]);
		const struct qbd_record *record;

		if (!replica || replica->phase == QBD_PHASE_STARTING ||
		    !qbd_log_in_ring(replica->store, index) ||
		    qbd_store_chain(replica->store, index) != chain)
			continue;
		record = qbd_log_slot(replica->store, index)->record;
		if (record)
			return record;
	}
	return NULL;
}

static void commit_one(struct sim_host *host, const struct qbd_store *store, u64 index)
{
	u32 chain = qbd_store_chain(store, index);
	const struct qbd_record *record = record_somewhere(index, chain);

	/* The first itself may have let go of it: its disk failed at this very moment. */
	if (!record) {
		sim_fail("host %u commits %llu first, and nobody has it", host->number,
			 index);
		return;
	}
	chains[index] = chain;
	committed = index;
	committed_in = sim_replica(host)->core->term;
	apply_to_model(record);
}

static void check_commit(struct sim_host *host, const struct qbd_replica *replica)
{
	const struct qbd_store *store = replica->store;
	u64 commit = replica->core->commit;
	u64 index = max(host->checked + 1, qbd_store_first_index(store));

	if (commit < host->commit)
		sim_fail("host %u: commit went from %llu back to %llu", host->number,
			 host->commit, commit);
	host->commit = commit;
	if (commit >= ENTRIES_MAX) {
		sim_fail("too many entries");
		return;
	}
	commit = min(commit, qbd_store_last_index(store));
	for (; index <= commit && !world.error; index++) {
		if (index > committed)
			commit_one(host, store, index);
		else if (qbd_store_chain(store, index) != chains[index])
			sim_fail("host %u has committed another entry %llu than others",
				 host->number, index);
	}
	host->checked = max(host->checked, commit);
}

void sim_invariants_check(struct sim_host *host)
{
	struct qbd_replica *replica = sim_replica(host);

	if (!replica || (replica->phase != QBD_PHASE_RUNNING &&
			 replica->phase != QBD_PHASE_FAILING))
		return;
	if (replica->core->stopped_line)
		sim_fail("host %u: the core's assertion at %s:%u does not hold",
			 host->number, replica->core->stopped_file,
			 replica->core->stopped_line);
	/* Between a message and its consequences nothing is said yet. */
	if (replica->core->commit != host->commit)
		check_commit(host, replica);
	if (replica->core->role == QBD_ROLE_LEADER)
		check_leader(host, replica);
	host->role = replica->core->role;
	host->term = replica->core->term;
	host->failed = replica->core->failed;
	host->unsound = host->failed || replica->damaged || replica->is_new ||
			qbd_replica_filling(replica);
}

/* ---- the end ------------------------------------------------------------ */

bool sim_invariants_settled(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		struct qbd_replica *replica = sim_replica(&world.hosts[number]);

		if (!replica || replica->phase != QBD_PHASE_RUNNING ||
		    replica->core->commit != committed || replica->store_failed ||
		    replica->damaged || replica->is_new || qbd_replica_filling(replica) ||
		    qbd_store_applied_index(replica->store) != committed ||
		    qbd_store_last_index(replica->store) != committed)
			return false;
	}
	return true;
}

static u64 value_on_disk(struct sim_host *host, const struct qbd_store *store, u64 block)
{
	u64 value;

	if (!qbd_extent_written(store, qbd_extent_of(store, block)))
		return 0;
	if (!sim_value_of(sim_disk_block(host, store->geometry.data_block + block), &value))
		sim_fail("host %u: block %llu is torn in the end", host->number, block);
	return value;
}

void sim_invariants_replicas(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];
		const struct qbd_store *store = sim_replica(host)->store;

		for (u64 block = 0; block < sim_device_blocks && !world.error; block++) {
			u64 value = value_on_disk(host, store, block);

			if (value != model[block])
				sim_fail("host %u: block %llu holds %#llx (extent changed at %llu), the history says %#llx since entry %u",
					 number, block, value,
					 store->extents.changed[qbd_extent_of(store, block)],
					 model[block], model_index[block]);
		}
	}
	for (u64 block = 0; block < sim_device_blocks; block++)
		if (!sim_client_may_hold(block, model[block]))
			sim_fail("block %llu holds %#llx in the end, which is lost data or old",
				 block, model[block]);
}
