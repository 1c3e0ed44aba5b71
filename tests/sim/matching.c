// SPDX-License-Identifier: GPL-2.0
/*
 * Log matching (Raft paper, figure 3): if two logs have an entry with the same index and
 * term, all up to it is the same in both. So there is one chain for each index and term,
 * which says what the entry is and all before it, whoever has it, ever, committed or not.
 *
 * A host's log is looked at as it grows; all of it when the host is up again, and when
 * something of it was cut off.
 */
#include "sim.h"

#define INDEX_MAX	(1u << 17)

/* Of one history; who is of the former one goes on with terms that the other one has, too. */
static struct known {
	u32 *newest;		/* by index: number of an entry below, from 1 on; 0: none */
	u64 last;		/* the highest index of any */
	struct {
		u64 term;
		u32 chain;
		u32 host;	/* that had it first */
		u32 older;	/* of the same index, likewise */
	} *entries;
	u32 count, room;
} present, former;

static void forget(struct known *known)
{
	if (!known->newest)
		known->newest = calloc(INDEX_MAX, sizeof(*known->newest));
	if (!known->newest)
		abort();
	memset(known->newest, 0, (known->last + 1) * sizeof(*known->newest));
	known->last = 0;
	known->count = 0;
}

void sim_matching_begin(void)
{
	forget(&present);
	forget(&former);
}

static void remember(struct known *known, const struct sim_host *host, u64 index, u64 term,
		     u32 chain)
{
	if (known->count == known->room) {
		known->room = known->room ? 2 * known->room : 4096;
		known->entries = realloc(known->entries, known->room * sizeof(*known->entries));
		if (!known->entries)
			abort();
	}
	known->entries[known->count].term = term;
	known->entries[known->count].chain = chain;
	known->entries[known->count].host = host->number;
	known->entries[known->count].older = known->newest[index];
	known->newest[index] = ++known->count;
	known->last = max(known->last, index);
}

static void look_at_entry(struct known *known, const struct sim_host *host,
			  const struct qbd_store *store, u64 index)
{
	u64 term = qbd_log_term(store, index);
	u32 chain = qbd_store_chain(store, index);
	u32 at;

	for (at = known->newest[index]; at && known->entries[at - 1].term != term;)
		at = known->entries[at - 1].older;
	if (!at)
		remember(known, host, index, term, chain);
	else if (known->entries[at - 1].chain != chain)
		sim_fail("host %u has another entry %llu of term %llu than host %u had",
			 host->number, index, term, known->entries[at - 1].host);
}

void sim_matching_check(struct sim_host *host, const struct qbd_store *store)
{
	const struct qbd_log *log = &store->log;
	struct known *known = host->former ? &former : &present;

	if (host->matched_generation != log->generation) {
		host->matched_generation = log->generation;
		host->matched = 0;
	}
	if (host->matched >= log->last_index || log->last_index >= INDEX_MAX)
		return;
	/* What is before its first entry it knows by term and chain, too. Entries begin with 1. */
	for (u64 index = max(max(host->matched + 1, log->first_index - 1), 1ull);
	     index <= log->last_index && !world.error; index++)
		look_at_entry(known, host, store, index);
	host->matched = log->last_index;
}

/* From here on there are two histories. */
void sim_matching_fork(void)
{
	sim_matching_begin();
	for (u32 number = 1; number < ARRAY_SIZE(world.hosts); number++)
		world.hosts[number].matched = 0;
}
