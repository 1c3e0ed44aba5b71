// SPDX-License-Identifier: GPL-2.0
/*
 * No log has the same write twice: of the entries that are committed all are remembered.
 * (What is not committed the members look at themselves, and cut off who sent it.)
 *
 * So that it stays so, who begins to lead has to know of each of them whose host may
 * still send it again.
 */
#include "sim.h"

#define PLACES		(1u << 18)
#define WRITES_MAX	(PLACES / 2)

static struct write {
	struct qbd_write_id id;
	u64 name;
	u64 index;
} *writes;
static u32 count;

/* Numbers of writes, by name; open addressing. Of another world than this one: free. */
static struct {
	u32 write;
	u32 world;
} *places;
static u32 this_world;

void sim_once_begin(void)
{
	if (!places) {
		places = calloc(PLACES, sizeof(*places));
		writes = calloc(WRITES_MAX, sizeof(*writes));
	}
	if (!places || !writes)
		abort();
	this_world++;
	count = 0;
}

static u64 name_of(const struct qbd_write_id *id)
{
	u64 name = id->session ^ id->origin;

	name = (name ^ name >> 29) * 0x9e3779b97f4a7c15ull + id->sequence;
	return (name ^ name >> 31) * 0xbf58476d1ce4e5b9ull;
}

static void remember(const struct write *write)
{
	u32 at = write->name >> 40 & (PLACES - 1);

	for (; places[at].world == this_world; at = (at + 1) % PLACES) {
		const struct write *other = &writes[places[at].write];

		if (other->name != write->name)
			continue;
		sim_fail("write %llu of host %u is in entry %llu and in entry %llu",
			 write->id.sequence, write->id.origin, other->index, write->index);
		return;
	}
	places[at].write = count;
	places[at].world = this_world;
	writes[count++] = *write;
}

/* An entry is committed, which was not before. */
void sim_once_committed(const struct qbd_record *record)
{
	for (u32 i = 0; i < record->operation_count; i++) {
		const struct qbd_operation *operation = &record->header->operations[i];
		struct write write = {
			.id.origin = le32_to_cpu(operation->origin),
			.id.session = le64_to_cpu(operation->session),
			.id.sequence = le64_to_cpu(operation->sequence),
			.index = record->index,
		};

		if (qbd_operation_is_repair(operation))
			continue;
		if (count == WRITES_MAX) {
			sim_fail("too many writes");
			return;
		}
		write.name = name_of(&write.id);
		remember(&write);
	}
}

/* The session that this member has of an origin; 0: none. */
static u64 session_of(const struct qbd_replica *replica, u32 origin)
{
	for (u32 i = 0; i < QBD_MEMBERS_MAX; i++)
		if (replica->sessions->slots[i].origin == origin)
			return replica->sessions->slots[i].session;
	return 0;
}

/* A host begins to lead, and has all that is committed. */
void sim_once_leads(const struct sim_host *host, const struct qbd_replica *replica)
{
	for (u32 i = count; i-- > 0 && !world.error;) {
		const struct write *write = &writes[i];
		u32 origin = write->id.origin;
		const struct qbd_replica *sender = sim_replica(&world.hosts[origin]);
		u64 session, index;

		/*
		 * That run is over. (Here a newer one may have come after it, and gone
		 * again with the entries that told of it: then neither is known.)
		 */
		if (!sender || sender->session != write->id.session)
			continue;
		/* One that is not committed yet may have come after it. */
		session = session_of(replica, origin);
		if (session && session != write->id.session)
			continue;
		if (qbd_session_find(replica->sessions, &write->id, &index) ==
		    QBD_WRITE_NEW)
			sim_fail("host %u leads, and does not know that write %llu of host %u is in entry %llu",
				 host->number, write->id.sequence, origin, write->index);
	}
}

/* What was committed beyond @common is lost. */
void sim_once_fork(u64 common)
{
	u32 all = count;

	this_world++;
	count = 0;
	for (u32 i = 0; i < all && writes[i].index <= common; i++) {
		struct write write = writes[i];

		remember(&write);
	}
}
