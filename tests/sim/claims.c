// SPDX-License-Identifier: GPL-2.0
/*
 * Worlds in which a host claims the device before it writes: who has it open when, and the
 * claims of the committed history.
 *
 * Hosts open it for write, write for a while, and close it; some take it by force from who
 * has it, and whoever was superseded writes on until it is told. In the committed history
 * every write has to be of the claim in force where it lies.
 */
#include "sim.h"

/* In force at the end of the committed history. */
static struct qbd_claim in_force;

static struct {
	bool open;		/* for write */
	bool asked;
	bool taking;		/* a thread is at it */
} users[SIM_HOSTS_MAX + 1];

void sim_claims_begin(void)
{
	memset(users, 0, sizeof(users));
	in_force = (struct qbd_claim){
		.mode = world.exclusive ? QBD_CLAIM_EXCLUSIVE : QBD_CLAIM_SHARED,
	};
}

/* ---- the committed history ---------------------------------------------- */

/* An entry is committed first. */
void sim_claims_committed(const struct qbd_record *record)
{
	const struct qbd_record_shared *shared = &record->header->shared;

	if (le16_to_cpu(shared->kind) == QBD_RECORD_CLAIM) {
		in_force = (struct qbd_claim){
			.epoch = record->index,
			.session = le64_to_cpu(shared->claim_session),
			.holder = le32_to_cpu(shared->claim_holder),
			.mode = le32_to_cpu(shared->claim_mode),
		};
		sim_counts.claims++;
		sim_trace("entry %llu: claimed by %u", record->index, in_force.holder);
		return;
	}
	for (u32 i = 0; i < record->operation_count; i++) {
		const struct qbd_operation *operation = &record->header->operations[i];

		if (qbd_operation_is_repair(operation) &&
		    le64_to_cpu(operation->epoch) == in_force.epoch)
			continue;
		if (le64_to_cpu(operation->epoch) != in_force.epoch ||
		    !qbd_claim_allows(&in_force, le64_to_cpu(operation->epoch),
				      le32_to_cpu(operation->origin),
				      le64_to_cpu(operation->session)))
			sim_fail("entry %llu is a write of host %u under claim %llu, and claim %llu of host %u is in force",
				 record->index, le32_to_cpu(operation->origin),
				 le64_to_cpu(operation->epoch), in_force.epoch,
				 in_force.holder);
	}
}

/* ---- what the replica asks ---------------------------------------------- */

bool sim_claims_asked(const struct sim_host *host)
{
	return users[host->number].asked;
}

void sim_claims_answer(struct sim_host *host, int error)
{
	if (!users[host->number].asked)
		return;
	users[host->number].asked = false;
	users[host->number].open = !error;
}

bool sim_claims_open(const struct sim_host *host)
{
	return !world.exclusive || users[host->number].open;
}

bool sim_claims_needed(const struct sim_host *host)
{
	return sim_claims_open(host) || users[host->number].asked;
}

/* It is off, or going down: nobody has it open any more. */
void sim_claims_off(struct sim_host *host)
{
	users[host->number].open = false;
	users[host->number].asked = false;
	users[host->number].taking = false;
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

static void ask(struct sim_host *host)
{
	users[host->number].asked = true;
	kick(host);
}

static void close_it(struct sim_host *host)
{
	users[host->number].open = false;
	kick(host);
}

static bool fenced(const struct sim_host *host)
{
	const struct qbd_replica *replica = sim_replica(host);

	return replica && replica->hold.state == QBD_HOLD_FENCED;
}

static void take_thread(void *object)
{
	const struct qbd_claim_order order = { .action = QBD_CLAIM_TAKE, .force = true };
	struct sim_host *host = object;
	char text[QBD_ERROR_TEXT_SIZE];

	if (host->replica && !host->going_down &&
	    !qbd_replica_claim(host->replica, &order, text, sizeof(text))) {
		/* From here on it is as if it had been opened. */
		users[host->number].open = true;
		sim_counts.forced++;
	}
	if (host->replica)
		host->replica->hold.pinned = false;
	users[host->number].taking = false;
}

static void take(struct sim_host *host)
{
	struct sim_host *before = sim_host;

	if (!host->powered || !host->replica || host->going_down ||
	    users[host->number].taking)
		return;
	users[host->number].taking = true;
	sim_host = host;
	sim_thread(take_thread, host);
	sim_host = before;
}

/* May this host write now? Sometimes it opens the device, or closes it, instead. */
bool sim_claims_use(struct sim_host *host, bool idle)
{
	if (!world.exclusive)
		return true;
	if (!users[host->number].open) {
		if (!users[host->number].asked && sim_chance(80))
			ask(host);
		else if (!world.healing && sim_chance(10))
			take(host);
		return false;
	}
	if (idle && (fenced(host) || sim_chance(30))) {
		close_it(host);
		return false;
	}
	return true;
}

/* In the end each host has its turn: the others close it. */
bool sim_claims_turn(struct sim_host *host, bool its_turn, bool idle)
{
	if (!world.exclusive)
		return true;
	if (users[host->number].open && (!its_turn || fenced(host))) {
		if (idle)
			close_it(host);
		return false;
	}
	if (its_turn && !users[host->number].open && !users[host->number].asked)
		ask(host);
	return its_turn && users[host->number].open;
}
