// SPDX-License-Identifier: GPL-2.0
/*
 * What has to hold after every step (thesis, figure 3.2, and what qbd promises on top).
 *
 *   election safety       one leader for each term
 *   log matching          matching.c
 *   one history           an index, once committed anywhere, is the same record for
 *                         everybody: the chains of the records are compared
 *   leases                nobody begins to lead while one of an earlier leader lasts, nor
 *                         does one begin after that
 *   leader completeness   who begins to lead has everything that is committed
 *   commit                never goes back on a host that is up; and nobody could be
 *                         elected without what is committed, even if all lost their power
 *   durable is durable    what a host had said to be durable it has when it is back, or
 *                         knows that it misses it; so its term, and its vote in it
 *   one vote              in each term, and none by a member that is new or damaged, or
 *                         knows that it left
 *   who was removed     and knows it neither begins to lead nor comes up again
 *   the extent table      of a member that is whole knows the last change of whatever was
 *                         ever written; what it says on the disk that was written is there
 *   the size              sizes.c
 *   the holder leads      follow.c
 *   each write once       no log has the same one twice (once.c)
 *   the log               begins for the core where it does in the store, or later
 *   the list              of members that is in force is one for core and replica, and
 *                         none that was replaced by one that this member has committed
 *   one state             a member that is whole holds what the history says at its
 *                         commit index, at any time; in the end all do
 *
 * What readers saw is client.c's business.
 */
#include "../../kmod/core/internal.h"
#include "sim.h"

#define ENTRIES_MAX	(1u << 17)
#define TERMS_MAX	(1u << 16)

#define EXTENT_BLOCKS	(1u << (QBD_EXTENT_SHIFT_MIN - QBD_BLOCK_SHIFT))

/*
 * What was committed and who led. There is one history, unless a majority is lost for good:
 * then those who come back of it go on with the former one (recover.c).
 */
struct history {
	u32 *chains;		/* of committed entries, by index */
	u8 *leaders;		/* of terms */
	/* What each block that is used held; the oldest first. */
	struct model {
		struct {
			u64 index;
			u64 value;
		} *changes;
		u32 count, room;
	} model[SIM_USED_BLOCKS];
	/* The first entry that wrote data to each block that is used; 0: none did. */
	u64 written_by[SIM_USED_BLOCKS];
	/* What each entry changed, in order; those of entry i begin with number changes_of[i]. */
	struct change {
		u16 number, count;	/* blocks, by number */
	} *changes;
	u32 *changes_of;
	u32 change_count, change_room;
	u64 committed;
	u64 committed_in;	/* term of who committed the last one first */
	u64 terms;
};

static struct history present, former;
/* That of the host that is looked at. */
static struct history *history = &present;
/* Of each host: the chains of the entries that it has said to be durable. */
static u32 *promised[SIM_HOSTS_MAX + 1];
static u64 promised_to[SIM_HOSTS_MAX + 1];
/* What a new history began with that was not committed before ends there. */
static u64 tail_end;

static void look_at(const struct sim_host *host)
{
	history = host && host->former ? &former : &present;
}

static bool is_former(void)
{
	return history == &former;
}

static void history_begin(struct history *one)
{
	if (!one->chains) {
		one->chains = calloc(ENTRIES_MAX, sizeof(*one->chains));
		one->leaders = calloc(TERMS_MAX, sizeof(*one->leaders));
		one->changes_of = calloc(ENTRIES_MAX + 1, sizeof(*one->changes_of));
		if (!one->chains || !one->leaders || !one->changes_of)
			abort();
	}
	memset(one->chains, 0, (one->committed + 1) * sizeof(*one->chains));
	memset(one->leaders, 0, (one->terms + 1) * sizeof(*one->leaders));
	for (u32 i = 0; i < SIM_USED_BLOCKS; i++)
		one->model[i].count = 0;
	memset(one->written_by, 0, sizeof(one->written_by));
	one->change_count = 0;
	one->changes_of[1] = 0;
	one->committed = 0;
	one->committed_in = 0;
	one->terms = 0;
}

void sim_invariants_begin(void)
{
	history_begin(&present);
	history_begin(&former);
	tail_end = 0;
	look_at(NULL);
	sim_once_begin();
	sim_matching_begin();
}

struct qbd_replica *sim_replica(const struct sim_host *host)
{
	return host->powered ? sim_network_context(host) : NULL;
}

/* ---- a host comes and goes ---------------------------------------------- */

/* What it had said of its term, and whom it voted for, it knows. */
static void check_vote(struct sim_host *host, const struct qbd_store_recovered *recovered)
{
	if (recovered->failed)
		return;
	if (recovered->term < host->told_term)
		sim_fail("host %u was in term %llu, and comes back in %llu", host->number,
			 host->told_term, recovered->term);
	/* Its own id, or nobody's: in this term it gives none any more. */
	if (recovered->term == host->vote_term && recovered->vote != host->vote &&
	    recovered->vote != host->number &&
	    !(host->rolled_back && recovered->vote == QBD_VOTE_NOBODY))
		sim_fail("host %u voted for %u in term %llu, and comes back with a vote for %u",
			 host->number, host->vote, host->vote_term, recovered->vote);
}

/* By what it says itself, or by what it heard. */
static bool is_twice(const struct sim_host *host, const struct qbd_replica *replica)
{
	return replica->told_twice || replica->perhaps_twice ||
	       (host->copy_of && sim_clones_withheld(NULL));
}

void sim_invariants_message(struct sim_host *host, const struct qbd_core_message *message)
{
	const struct qbd_replica *replica = sim_replica(host);
	bool granted = message->flags & QBD_MESSAGE_GRANTED;
	u32 vote = message->to;

	/* What asks for nothing and refuses promises nothing, nor does who has no disk. */
	if (message->flags & QBD_MESSAGE_FAILED ||
	    message->type == QBD_MESSAGE_PREVOTE_REQUEST ||
	    message->type == QBD_MESSAGE_PREVOTE_REPLY ||
	    message->type == QBD_MESSAGE_TERM ||
	    message->flags & QBD_MESSAGE_REJECTED ||
	    (message->type == QBD_MESSAGE_VOTE_REPLY && !granted))
		return;
	host->told_term = max(host->told_term, message->term);
	if (replica && is_twice(host, replica) && !(message->flags & QBD_MESSAGE_FILLING) &&
	    (message->type == QBD_MESSAGE_APPEND_REPLY ||
	     message->type == QBD_MESSAGE_HEARTBEAT_REPLY))
		sim_fail("host %u answers a leader as a copy that counts, and is perhaps up twice",
			 host->number);
	if (message->type == QBD_MESSAGE_VOTE_REQUEST)
		vote = host->number;
	else if (message->type != QBD_MESSAGE_VOTE_REPLY)
		return;
	if (host->vote_term == message->term && host->vote != vote)
		sim_fail("host %u votes in term %llu for %u and for %u", host->number,
			 message->term, host->vote, vote);
	/* What leaves now may have been said before it knew: terms tell. */
	if (replica && replica->removed && message->term > host->removed_in)
		sim_fail("host %u was removed, knows it, and votes in term %llu for %u",
			 host->number, message->term, vote);
	if (replica && (replica->damaged || replica->is_new || is_twice(host, replica)))
		sim_fail("host %u votes in term %llu for %u, and is %s", host->number,
			 message->term, vote, replica->damaged ? "damaged" :
			 replica->is_new ? "new" : "perhaps up twice");
	host->vote_term = message->term;
	host->vote = vote;
}

void sim_invariants_host_up(struct sim_host *host,
			    const struct qbd_store_recovered *recovered)
{
	look_at(host);
	host->role = QBD_ROLE_FOLLOWER;
	host->commit = 0;
	host->checked = 0;
	host->matched = 0;
	host->whole = false;
	host->fill_step = QBD_FILL_NONE;
	sim_trace("recovered: log %llu to %llu, committed %llu, durable before %llu%s%s%s",
		  recovered->base_index + 1, recovered->last_index, recovered->commit_index,
		  host->durable, recovered->damaged ? ", damaged" : "",
		  recovered->filling ? ", filling" : "", recovered->is_new ? ", new" : "");
	host->found_damaged = recovered->damaged;
	if (recovered->damaged)
		sim_counts.damaged++;
	if (host->spoiled)
		return;
	check_vote(host, recovered);
	/* What cannot be read now may be read the next time: nothing is forgotten of it. */
	if (recovered->damaged && (host->disk_erred || host->rotten)) {
		if (recovered->damaged_through < host->durable)
			sim_fail("host %u had %llu durable, and misses only up to %llu",
				 host->number, host->durable, recovered->damaged_through);
		return;
	}
	if (recovered->damaged)
		sim_fail("host %u finds its disk damaged, and nobody touched it: %s",
			 host->number, recovered->reason);
	if (recovered->filling && !host->was_filling)
		sim_counts.tables_lost++;
	if (recovered->filling && !host->was_filling && !host->disk_erred && !host->rotten)
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
	if (error == -ENOMEM && host->refused)
		return;
	if (error == -ENXIO) {
		if (!sim_lists_out(sim_member_id(host)))
			sim_fail("host %u believes that it was removed, and was not: %s",
				 host->number, text);
		host->knows = true;
		return;
	}
	if ((error != -EIO || !host->disk_erred) &&
	    (!host->rotten || error != -EPROTONOSUPPORT))
		sim_fail("host %u does not come up: %s (%d)", host->number, text, error);
	/* An error of a read may pass; what is not readable by its content stays so. */
	if (error != -EIO)
		host->failed = true;
	host->unsound = true;
}

/* Record by record, what is durable of its log. */
static void note_log(const struct sim_host *host, const struct qbd_store *store)
{
	u64 first = qbd_store_first_index(store);
	u64 last = min(host->durable, qbd_store_last_index(store));
	u32 **chains = &promised[host->number];

	if (!*chains)
		*chains = calloc(ENTRIES_MAX, sizeof(**chains));
	if (!*chains)
		abort();
	for (u64 index = first; index <= last; index++)
		(*chains)[index] = qbd_store_chain(store, index);
	for (u64 index = last + 1; index <= promised_to[host->number]; index++)
		(*chains)[index] = 0;
	promised_to[host->number] = last;
}

/* What it has to know when it comes up again. */
static void note_promises(struct sim_host *host, const struct qbd_replica *replica)
{
	u64 durable = replica->core->durable;

	host->was_filling = qbd_replica_filling(replica);
	/* What it has lost it still misses: it knows that until it has been sent again. */
	if (replica->damaged)
		durable = max(durable, host->durable);
	host->durable = replica->core->failed || host->was_filling ? 0 : durable;
	host->told_commit = replica->core->commit;
	if (world.recovers)
		note_log(host, replica->store);
	host->spoiled = replica->core->failed;
	/* That what was lost is there again is to be written, too. */
	host->rotten = replica->damaged || sim_records_left(host) ||
		       (host->rotten && replica->store->state.durable !=
					replica->store->state.wanted);
}

void sim_invariants_power_cut(struct sim_host *host)
{
	struct qbd_replica *replica = sim_replica(host);

	look_at(host);
	host->data_through = history->committed;

	/* While it comes up nothing new is promised. */
	if (!replica || replica->phase == QBD_PHASE_STARTING)
		return;
	note_promises(host, replica);
	sim_counts.power_cuts++;
}

/* ---- each step ---------------------------------------------------------- */

/* Who begins to lead does so after the lease of everybody who led before. */
static void check_leases(const struct sim_host *host, u64 term)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct sim_host *other = &world.hosts[number];
		const struct qbd_replica *replica = sim_replica(other);

		if (replica && other != host && other->former == host->former &&
		    replica->core->term < term &&
		    qbd_core_lease_valid(replica->core, sim_host_time(other)))
			sim_fail("host %u leads in term %llu, and the lease of host %u in term %llu lasts",
				 host->number, term, number, replica->core->term);
	}
}

/* Nor may who led before come to believe in one. */
static void check_own_lease(const struct sim_host *host, const struct qbd_core *core)
{
	if (core->term < history->terms && qbd_core_lease_valid(core, sim_host_time(host)))
		sim_fail("host %u has a lease in term %llu, and host %u led in term %llu",
			 host->number, core->term, history->leaders[history->terms],
			 history->terms);
}

/* That the entry is there which was committed last, as far as the log tells. */
static bool has_committed(const struct qbd_store *store)
{
	u64 committed = history->committed;

	return committed + 1 < qbd_store_first_index(store) ||
	       qbd_store_chain(store, committed) == history->chains[committed];
}

static void check_leader(struct sim_host *host, const struct qbd_replica *replica)
{
	const struct qbd_core *core = replica->core;
	u64 last = qbd_store_last_index(replica->store);

	if (core->term >= TERMS_MAX) {
		sim_fail("term %llu", core->term);
		return;
	}
	history->terms = max(history->terms, core->term);
	if (history->leaders[core->term] && history->leaders[core->term] != host->number)
		sim_fail("hosts %u and %u lead in term %llu", history->leaders[core->term],
			 host->number, core->term);
	sim_counts.elections += !history->leaders[core->term];
	history->leaders[core->term] = host->number;
	check_own_lease(host, core);
	if (host->role != QBD_ROLE_LEADER) {
		check_leases(host, core->term);
		if (replica->removed)
			sim_fail("host %u was removed, knows it, and begins to lead in term %llu",
				 host->number, core->term);
	}
	/* Votes may come late: a leader of an older term need not have what came after. */
	if (host->role == QBD_ROLE_LEADER || core->term < history->committed_in)
		return;
	if (last < history->committed)
		sim_fail("host %u leads with %llu, committed is %llu", host->number, last,
			 history->committed);
	else if (history->committed && !has_committed(replica->store))
		sim_fail("host %u leads with another entry %llu than is committed",
			 host->number, history->committed);
	else if (!host->former)
		sim_once_leads(host, replica);
}

/* ---- what the history says ---------------------------------------------- */

static void model_change(struct model *block, u64 index, u64 value)
{
	if (block->count == block->room) {
		block->room = block->room ? 2 * block->room : 16;
		block->changes = realloc(block->changes,
					 block->room * sizeof(*block->changes));
		if (!block->changes)
			abort();
	}
	block->changes[block->count].index = index;
	block->changes[block->count++].value = value;
}

static u64 model_at(u32 number, u64 index)
{
	const struct model *block = &history->model[number];

	for (u32 i = block->count; i-- > 0;)
		if (block->changes[i].index <= index)
			return block->changes[i].value;
	return 0;
}

/* What the store would give to a reader, at its commit index. */
static bool value_held(struct sim_host *host, struct qbd_store *store, u64 block,
		       u64 *value)
{
	const struct qbd_overlay_node *node;
	u64 last;

	*value = 0;
	node = qbd_overlay_pick(&store->overlay, block, block, &last);
	if (node && node->zero)
		return true;
	if (node)
		return sim_value_of(page_address(node->record->pages[node->data_block + block -
								     node->start]), value);
	/* It becomes zero before anybody can ask for it. */
	if (block >= store->identity.device_blocks ||
	    !qbd_extent_written(store, qbd_extent_of(store, block)))
		return true;
	return sim_value_of(sim_disk_look(host, store->geometry.data_block + block), value);
}

/* What is not there yet has not changed. */
static u64 extent_changed(const struct qbd_store *store, u64 block)
{
	return block < store->geometry.device_blocks ?
	       *qbd_extent_changed(store, qbd_extent_of(store, block)) : 0;
}

/*
 * Who is sent only what changed since then would else miss something. (Of what a later
 * operation covers, which is still to be applied, that one tells.)
 */
static void check_extent(struct sim_host *host, struct qbd_store *store, u32 number)
{
	u64 block = sim_place(number), last, index = 0;
	u64 changed = extent_changed(store, block);

	if (!history->written_by[number] || history->written_by[number] > store->applied_index ||
	    qbd_overlay_pick(&store->overlay, block, block, &last))
		return;
	for (u32 i = history->model[number].count; i-- > 0 && !index;)
		if (history->model[number].changes[i].index <= store->applied_index)
			index = history->model[number].changes[i].index;
	if (changed < index)
		sim_fail("host %u believes that the extent of block %llu changed last at %llu, and applied entry %llu changed it",
			 host->number, block, changed, index);
}

static void check_block(struct sim_host *host, struct qbd_store *store, u32 number)
{
	u64 block = sim_place(number), commit = store->log.commit_index;
	u64 value, due = model_at(number, commit);
	bool good = value_held(host, store, block, &value);

	sim_counts.views++;
	if (!good || value != due)
		sim_fail("host %u, at entry %llu: block %llu holds %#llx%s (extent changed at %llu), the history says %#llx",
			 host->number, commit, block, value, good ? "" : " and more",
			 extent_changed(store, block), due);
	check_extent(host, store, number);
}

/* Some block of each operation; of what a later one covers that one tells. */
static void check_applied(struct sim_host *host, struct qbd_store *store)
{
	u64 last = min(store->applied_index, history->committed);
	u32 from = history->changes_of[host->applied + 1], to = history->changes_of[last + 1];

	for (u32 i = from; i < to && !world.error; i++) {
		const struct change *change = &history->changes[i];

		check_block(host, store, change->number + (world.steps + i) % change->count);
	}
}

/*
 * The data of a member that is whole, log and all, is what the history says at its commit
 * index - once that is where it was when the power went, for of what was applied since
 * the last checkpoint any part may be there already. All of it is looked at when it becomes
 * whole, else what was applied just now, and a block now and then.
 */
static void check_data(struct sim_host *host, const struct qbd_replica *replica)
{
	struct qbd_store *store = replica->store;
	bool whole = replica->phase == QBD_PHASE_RUNNING && !store->failed &&
		     !store->fill.active && !store->fill.resetting && !replica->is_new &&
		     !host->write_erred && !host->data_rot && sim_keeps_data(host) &&
		     store->log.commit_index >= host->data_through;

	/* What it is sent may be of a member that lost its power not long ago. */
	if (store->fill.active)
		host->data_through = history->committed;
	if (whole && !host->whole)
		for (u32 number = 0; number < SIM_USED_BLOCKS && !world.error; number++)
			check_block(host, store, number);
	else if (whole && world.steps % 8 == 0)
		check_block(host, store, (world.steps * 0x9e3779b97f4a7c15ull) >> 54);
	if (whole && host->whole && store->applied_index > host->applied)
		check_applied(host, store);
	host->applied = store->applied_index;
	host->whole = whole;
}

static void note_change(struct history *one, u32 number, u32 count)
{
	if (one->change_count == one->change_room) {
		one->change_room = one->change_room ? 2 * one->change_room : 1024;
		one->changes = realloc(one->changes, one->change_room * sizeof(*one->changes));
		if (!one->changes)
			abort();
	}
	one->changes[one->change_count++] = (struct change){ number, count };
}

/* The first who commits an entry has it in memory: the history goes on. */
static void apply_to_model(const struct qbd_record *record)
{
	u32 data = 0;

	for (u32 i = 0; i < record->operation_count; i++) {
		const struct qbd_operation *operation = &record->header->operations[i];
		u64 block = le64_to_cpu(operation->block);
		u32 count = le32_to_cpu(operation->count);

		u32 number = sim_number(block);

		note_change(history, number, count);
		for (u32 k = 0; k < count; k++) {
			u64 value = 0;

			if (qbd_operation_has_data(operation) &&
			    !sim_value_of(page_address(record->pages[data++]), &value))
				sim_fail("entry %llu holds data that nobody wrote",
					 record->index);
			if (qbd_operation_is_repair(operation) &&
			    value != model_at(number + k, record->index - 1))
				sim_fail("entry %llu, a repair as of entry %llu, makes block %llu %#llx, which was %#llx",
					 record->index, le64_to_cpu(operation->sequence),
					 block + k, value,
					 model_at(number + k, record->index - 1));
			if (qbd_operation_has_data(operation) && !history->written_by[number + k])
				history->written_by[number + k] = record->index;
			model_change(&history->model[number + k], record->index, value);
			if (!is_former() && record->index <= tail_end)
				sim_client_forget(number + k, value);
		}
	}
	history->changes_of[record->index + 1] = history->change_count;
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

static const void *ring_block(const struct sim_host *host, const struct qbd_store *store,
			      u64 position)
{
	return sim_disk_look(host, store->geometry.log_block +
			     position % store->geometry.log_blocks);
}

/*
 * One without operations is applied at once: who is short of memory lets go of it in the
 * very event in which it commits. It is in the ring then; this is its header, without pages.
 */
static const struct qbd_record *record_on_disk(const struct sim_host *host,
					       const struct qbd_store *store, u64 index)
{
	static struct qbd_record_header header;
	static struct qbd_record record;
	const struct qbd_slot *slot = qbd_log_slot(store, index);

	if (slot->operation_count || store->log.durable_index < index)
		return NULL;
	memcpy(&header, ring_block(host, store, slot->position), sizeof(header));
	if (le64_to_cpu(header.shared.index) != index ||
	    le64_to_cpu(header.shared.term) != slot->term)
		return NULL;
	record.index = index;
	record.term = slot->term;
	record.header = &header;
	return &record;
}

/*
 * Who is short of memory keeps its lists, but one whose disk fails lets go of them, too. If
 * nobody else has this one in memory, it is behind its header in the ring (record_on_disk()).
 */
static const struct qbd_membership_layout *list_of(const struct sim_host *host,
						   const struct qbd_store *store,
						   const struct qbd_record *record)
{
	if (record->pages)
		return page_address(record->pages[0]);
	return ring_block(host, store, qbd_log_slot(store, record->index)->position + 1);
}

static void commit_one(struct sim_host *host, const struct qbd_store *store, u64 index)
{
	u32 chain = qbd_store_chain(store, index);
	const struct qbd_record *record = record_somewhere(index, chain);
	u32 writer = 0;			/* who led when it was written */

	/* The first itself may have let go of it: its disk failed at this very moment. */
	if (!record)
		record = record_on_disk(host, store, index);
	if (!record) {
		sim_fail("host %u commits %llu first, and nobody has it", host->number,
			 index);
		return;
	}
	history->chains[index] = chain;
	history->committed = index;
	history->committed_in = sim_replica(host)->core->term;
	/* Of the former history the data and the lists, and no more. */
	if (is_former()) {
		if (le16_to_cpu(record->header->shared.kind) == QBD_RECORD_MEMBERSHIP)
			sim_lists_former(list_of(host, store, record));
		apply_to_model(record);
		return;
	}
	if (record->term < TERMS_MAX)
		writer = history->leaders[record->term];
	if (le16_to_cpu(record->header->shared.kind) == QBD_RECORD_MEMBERSHIP)
		sim_lists_committed(writer, index, list_of(host, store, record));
	sim_claims_committed(record);
	sim_sizes_committed(record);
	sim_witnesses_committed(record, writer);
	apply_to_model(record);
	sim_once_committed(record);
}

static bool vouches(const struct qbd_replica *replica)
{
	return replica && replica->phase == QBD_PHASE_RUNNING && !replica->core->failed &&
	       !replica->damaged && !replica->is_new && !replica->core->lost_until;
}

static bool has_entry(const struct qbd_store *store, u64 index)
{
	return index < qbd_store_first_index(store) ||
	       (index <= qbd_store_last_index(store) &&
		qbd_store_chain(store, index) == history->chains[index]);
}

bool sim_invariants_has_all(const struct qbd_replica *replica)
{
	look_at(NULL);
	return has_entry(replica->store, history->committed);
}

u64 sim_invariants_committed(void)
{
	look_at(NULL);
	return history->committed;
}

bool sim_invariants_is_committed(u64 index, u32 chain)
{
	look_at(NULL);
	return index <= history->committed && history->chains[index] == chain;
}

/* Would @voter choose one with such a log, if its power went now and came back? */
static bool would_vote(const struct qbd_core *voter, u64 term, u64 last)
{
	u64 own_last = min(voter->durable, voter->uncounted ? voter->commit : U64_MAX);
	u64 own_term = qbd_core_term_at(voter, own_last);

	return term > own_term || (term == own_term && last >= own_last);
}

/* With the votes of these hosts, by the list that it has. */
static bool would_win(const struct qbd_core *candidate, u32 votes)
{
	static const u8 sets[] = { QBD_CORE_VOTER, QBD_CORE_VOTER_OLD };
	const struct qbd_config *config = qbd_core_config(candidate);

	if (!qbd_core_self_may_campaign(candidate))
		return false;
	for (u32 set = 0; set < ARRAY_SIZE(sets); set++) {
		u32 voters = 0, yes = 0;

		for (u32 i = 0; i < config->count; i++) {
			if (!(config->members[i].flags & sets[set]))
				continue;
			voters++;
			yes += votes >> config->members[i].id & 1;
		}
		if (voters && yes <= voters / 2)
			return false;
	}
	return true;
}

/*
 * Who has not got what was just committed must not be able to win an election, by what is
 * on the disks. (Who is off is left out: it neither votes nor is voted for. So is a vote that
 * there is twice, and nobody can know that yet: see Documentation/promises.rst.)
 */
static void check_safe(void)
{
	for (u32 number = 1; number <= world.count; number++) {
		const struct qbd_replica *replica = sim_replica(&world.hosts[number]);
		u32 votes = 1u << number;
		u64 last;

		if (!vouches(replica) || qbd_replica_filling(replica) ||
		    world.hosts[number].former != is_former() ||
		    sim_rollbacks_unmet(&world.hosts[number]) ||
		    has_entry(replica->store, history->committed))
			continue;
		last = qbd_store_last_index(replica->store);
		for (u32 other = 1; other <= world.count; other++) {
			const struct qbd_replica *voter = sim_replica(&world.hosts[other]);

			if (other != number && vouches(voter) &&
			    !sim_clones_is_two(&world.hosts[other]) &&
			    world.hosts[other].former == is_former() &&
			    !sim_rollbacks_unmet(&world.hosts[other]) &&
			    would_vote(voter->core, qbd_core_term_at(replica->core, last),
				       last))
				votes |= 1u << other;
		}
		if (would_win(replica->core, votes))
			sim_fail("entry %llu is committed, and host %u could be elected without it",
				 history->committed, number);
	}
}

static void check_commit(struct sim_host *host, const struct qbd_replica *replica)
{
	const struct qbd_store *store = replica->store;
	u64 commit = replica->core->commit;
	u64 index = max(host->checked + 1, qbd_store_first_index(store));
	u64 before = history->committed;

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
		if (index > history->committed)
			commit_one(host, store, index);
		else if (qbd_store_chain(store, index) != history->chains[index])
			sim_fail("host %u has committed another entry %llu than others",
				 host->number, index);
	}
	host->checked = max(host->checked, commit);
	if (history->committed > before && !world.error)
		check_safe();
}

static void count_filling(struct sim_host *host, const struct qbd_replica *replica)
{
	u32 step = replica->fill.step;

	if (step == QBD_FILL_RESETTING && host->fill_step != step)
		sim_counts.resets++;
	if (step == QBD_FILL_ABORTING && host->fill_step != step)
		sim_counts.rounds_cut++;
	if (step == QBD_FILL_NONE && host->fill_step == QBD_FILL_FINISHING)
		sim_counts.filled++;
	host->fill_step = step;
}

static void check_removed(struct sim_host *host, const struct qbd_replica *replica)
{
	if (!host->removed_in)
		host->removed_in = replica->core->term;
	if (!sim_lists_out(sim_member_id(host)))
		sim_fail("host %u believes that it was removed, and was not", host->number);
	if (!world.healing || replica->core->role != QBD_ROLE_LEADER)
		host->leads_removed_since = world.now;
	else if (world.now > host->leads_removed_since + 10 * SIM_S)
		sim_fail("host %u was removed, knows it, and leads", host->number);
}

/*
 * A request is meant for one leadership. Where that is over, or did not come about, nobody
 * waits for it, and nobody holds it for another.
 */
static void check_held(struct sim_host *host, const struct qbd_replica *replica,
		       const struct list_head *list)
{
	const struct qbd_io *io;

	list_for_each_entry(io, list, list)
		if (!io->local && (io->asked_term != replica->told_term ||
				   (replica->told_role != QBD_ROLE_LEADER &&
				    replica->told_role != QBD_ROLE_CANDIDATE)))
			sim_fail("host %u holds a request that was meant for term %llu in term %llu, role %u",
				 host->number, io->asked_term, replica->told_term,
				 replica->told_role);
}

static void check_requests(struct sim_host *host, const struct qbd_replica *replica)
{
	const struct qbd_io *io;

	list_for_each_entry(io, &replica->forwarded, list)
		if (io->term != replica->told_term)
			sim_fail("host %u waits in term %llu for an answer of a leader of term %llu",
				 host->number, replica->told_term, io->term);
	check_held(host, replica, &replica->writes);
	check_held(host, replica, &replica->reads);
}

void sim_invariants_check(struct sim_host *host)
{
	struct qbd_replica *replica = sim_replica(host);

	look_at(host);
	/* One that is taken down goes on as a member until it has stopped. */
	if (replica && host->going_down && replica->phase != QBD_PHASE_STARTING &&
	    replica->phase != QBD_PHASE_STOPPED)
		note_promises(host, replica);
	if (!replica || (replica->phase != QBD_PHASE_RUNNING &&
			 replica->phase != QBD_PHASE_FAILING))
		return;
	if (replica->core->stopped_line)
		sim_fail("host %u: the core's assertion at %s:%u does not hold",
			 host->number, replica->core->stopped_file,
			 replica->core->stopped_line);
	/*
	 * A log that is emptied is the core's when that is durable. A core that vouches for
	 * nothing takes no more of its log in, and a disk that has only no room to grow goes on.
	 */
	if (replica->core->trail.base_index + 1 < qbd_store_first_index(replica->store) &&
	    replica->fill.step != QBD_FILL_RESETTING && !replica->store_failed &&
	    !replica->store->notices.log_reclaimed)
		sim_fail("host %u: the core's log begins at %llu, the store's at %llu",
			 host->number, replica->core->trail.base_index + 1,
			 qbd_store_first_index(replica->store));
	if (qbd_core_config_index(replica->core) !=
	    replica->configs[replica->config_count - 1].index)
		sim_fail("host %u: the core's list of members is of entry %llu, the replica's of %llu",
			 host->number, qbd_core_config_index(replica->core),
			 replica->configs[replica->config_count - 1].index);
	sim_matching_check(host, replica->store);
	/* Between a message and its consequences nothing is said yet. */
	if (replica->core->commit != host->commit)
		check_commit(host, replica);
	if (!host->former &&
	    qbd_core_config_index(replica->core) < sim_lists_index_at(replica->core->commit))
		sim_fail("host %u goes by the list of entry %llu, and has committed that of entry %llu",
			 host->number, qbd_core_config_index(replica->core),
			 sim_lists_index_at(replica->core->commit));
	if (replica->core->role == QBD_ROLE_LEADER)
		check_leader(host, replica);
	if (replica->removed) {
		check_removed(host, replica);
	} else {
		/* What it knew is forgotten with its power, until it applies that again. */
		host->removed_in = 0;
		host->leads_removed_since = world.now;
	}
	/* What others know of it they have of it, and it was durable there. */
	if (replica->damaged && !host->found_damaged && !host->rolled_back &&
	    !sim_clones_confuse(host) &&
	    !host->spoiled && !host->rotten && !host->disk_erred)
		sim_fail("host %u takes its disk for an older image, and it is none: %s",
			 host->number, replica->damage);
	check_data(host, replica);
	if (!host->former) {
		sim_sizes_check(host, replica->store);
		sim_claims_check(host);
		sim_follow_check(host, replica);
		sim_lists_check(host, replica);
		sim_asked_check(host, replica);
	}
	check_requests(host, replica);
	sim_witnesses_check(host, replica);
	sim_clients_check(host, replica);
	host->role = replica->core->role;
	host->term = replica->core->term;
	host->failed = replica->core->failed;
	count_filling(host, replica);
	host->unsound = host->failed || replica->damaged || replica->is_new ||
			qbd_replica_filling(replica) || is_twice(host, replica) ||
			sim_rollbacks_lacks(host);
}

/*
 * A block of the extent table is about to be written, there or to its journal: what it says
 * was written must have been, for good.
 */
void sim_invariants_table(struct sim_host *host, const void *block)
{
	const struct qbd_extent_block *table = block;
	u64 first = (le64_to_cpu(table->header.position) - QBD_EXTENT_TABLE_BLOCK) *
		    QBD_EXTENTS_PER_BLOCK;
	u64 blocks = sim_sizes_of_table(sim_replica(host));

	/* One that was lost by a member that is alone says that all was written. */
	if (world.count == 1)
		return;
	for (u32 i = 0; i < QBD_EXTENTS_PER_BLOCK && !world.error; i++) {
		u64 start = (first + i) * EXTENT_BLOCKS;

		for (u32 k = 0; table->entries[i].changed_index && k < EXTENT_BLOCKS &&
		     start + k < blocks; k++)
			if (sim_disk_may_lack(host, start + k))
				sim_fail("host %u: the extent table says that block %llu was written, and it is not there for good",
					 host->number, start + k);
	}
}

/* ---- a majority is lost for good ---------------------------------------- */

/* What was committed beyond @index never was. */
static void cut_off(struct history *one, u64 index, u64 term)
{
	for (u64 i = index + 1; i <= one->committed; i++)
		one->chains[i] = 0;
	for (u64 i = term + 1; i <= one->terms; i++)
		one->leaders[i] = 0;
	for (u32 number = 0; number < SIM_USED_BLOCKS; number++) {
		struct model *block = &one->model[number];

		while (block->count && block->changes[block->count - 1].index > index)
			block->count--;
		if (one->written_by[number] > index)
			one->written_by[number] = 0;
	}
	one->change_count = one->changes_of[index + 1];
	one->committed = index;
	one->committed_in = min(one->committed_in, term);
	one->terms = min(one->terms, term);
}

static void copy_history(struct history *to, const struct history *from)
{
	memcpy(to->chains, from->chains, (from->committed + 1) * sizeof(*to->chains));
	memcpy(to->leaders, from->leaders, (from->terms + 1) * sizeof(*to->leaders));
	memcpy(to->written_by, from->written_by, sizeof(to->written_by));
	memcpy(to->changes_of, from->changes_of,
	       (from->committed + 2) * sizeof(*to->changes_of));
	for (u32 i = 0; i < from->change_count; i++)
		note_change(to, from->changes[i].number, from->changes[i].count);
	for (u32 number = 0; number < SIM_USED_BLOCKS; number++)
		for (u32 i = 0; i < from->model[number].count; i++)
			model_change(&to->model[number], from->model[number].changes[i].index,
				     from->model[number].changes[i].value);
	to->committed = from->committed;
	to->committed_in = from->committed_in;
	to->terms = from->terms;
}

/* What it had said to be durable is in the log with which it goes on, record by record. */
static void check_kept(const struct sim_host *host, const struct qbd_store *store, u64 common)
{
	u64 last = min(host->durable, qbd_store_last_index(store));

	for (u64 index = qbd_store_first_index(store); index <= last; index++) {
		u32 chain = promised[host->number][index];

		if (chain && qbd_store_chain(store, index) != chain)
			sim_fail("host %u goes on alone, had entry %llu durable, and has another one now",
				 host->number, index);
	}
	if (common < min(host->durable, host->told_commit))
		sim_fail("host %u goes on alone from entry %llu on; it had %llu durable, and knew of %llu that it was committed",
			 host->number, common, host->durable, host->told_commit);
}

u64 sim_invariants_fork(struct sim_host *host, const struct qbd_store *store, u64 term)
{
	u64 first = qbd_store_first_index(store), last = qbd_store_last_index(store);
	u64 common = min(last, present.committed);

	while (common && common + 1 >= first &&
	       qbd_store_chain(store, common) != present.chains[common])
		common--;
	check_kept(host, store, common);
	if (common + 1 < first) {
		sim_fail("host %u goes on alone with a log from %llu on, and %llu were committed",
			 host->number, first, present.committed);
		return common;
	}
	sim_counts.entries_lost += present.committed - common;
	sim_counts.entries_revived += last - common;
	copy_history(&former, &present);
	sim_matching_fork();
	cut_off(&present, common, term);
	tail_end = last;
	host->data_through = min(host->data_through, common);
	for (u32 number = 1; number <= world.count; number++)
		world.hosts[number].former = number != host->number;
	world.hosts[SIM_COPY].former = true;
	look_at(host);
	for (u32 number = 0; number < SIM_USED_BLOCKS; number++)
		sim_client_forget(number, model_at(number, common));
	return common;
}

/* ---- the end ------------------------------------------------------------ */

bool sim_invariants_settled(void)
{
	look_at(NULL);
	for (u32 number = 1; number <= world.count; number++) {
		struct qbd_replica *replica = sim_replica(&world.hosts[number]);

		if (!sim_lists_has(number))
			continue;
		if (!replica || replica->phase != QBD_PHASE_RUNNING ||
		    replica->core->commit != history->committed || replica->store_failed ||
		    replica->damaged || replica->is_new || qbd_replica_filling(replica) ||
		    qbd_store_applied_index(replica->store) != history->committed ||
		    qbd_store_last_index(replica->store) != history->committed ||
		    !sim_sizes_settled(&world.hosts[number], replica->store))
			return false;
	}
	return true;
}

void sim_invariants_replicas(void)
{
	look_at(NULL);
	for (u32 number = 1; number <= world.count; number++) {
		struct sim_host *host = &world.hosts[number];

		if (!sim_lists_has(number) || !sim_keeps_data(host))
			continue;
		for (u32 block = 0; block < SIM_USED_BLOCKS && !world.error; block++)
			check_block(host, sim_replica(host)->store, block);
	}
	for (u32 number = 0; number < SIM_USED_BLOCKS; number++)
		if (!sim_client_may_hold(number, model_at(number, history->committed)))
			sim_fail("block %llu holds %#llx in the end, which is lost data or old",
				 sim_place(number), model_at(number, history->committed));
}
