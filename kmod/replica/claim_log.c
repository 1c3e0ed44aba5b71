// SPDX-License-Identifier: GPL-2.0
/*
 * The claims of this member's log, as far as they may still be lost: a stack like that of
 * the member lists. The lowest one is committed.
 *
 * No log has a write of another claim than the one in force at its place. A leader checks
 * that before it appends, against the end of its own log, and nobody else appends; a
 * follower has, up to each record, the same log. So nothing need be looked at when an entry
 * is applied, and a superseded holder's write is not there to be passed over. That it is so
 * is checked where a follower takes a record: if it is not, that leader's log is no log.
 *
 * A repair is nobody's write (repair.c): what it says is true whoever holds the claim, and
 * it changes nothing, before a claim or behind it. It carries the epoch of its place, as
 * all operations do, and is not asked whose it is.
 *
 * What the disk says is not what was in force at the applied index, but the newest that was
 * committed when the state block was written: it will never be lost, and entries before it
 * are history (the same as with member lists). So it need not be remembered what was in
 * force at each of the entries that are not applied yet.
 */
#include "internal.h"

/* The one at the end of the log. */
const struct qbd_claim *qbd_claims_newest(const struct qbd_replica *replica)
{
	return &replica->claims[replica->claim_count - 1];
}

/* The newest that is known to be committed here. */
const struct qbd_claim *qbd_claims_committed(const struct qbd_replica *replica)
{
	return &replica->claims[0];
}

/* The log begins, with this in force at its begin or later. */
void qbd_claims_begin(struct qbd_replica *replica, const struct qbd_claim_layout *layout)
{
	replica->claim_count = 1;
	replica->claims[0] = (struct qbd_claim){
		.epoch = le64_to_cpu(layout->epoch),
		.session = le64_to_cpu(layout->session),
		.mode = le32_to_cpu(layout->mode),
		.former = le64_to_cpu(layout->former),
		.older = le64_to_cpu(layout->older),
	};
	if (layout->session)
		replica->claims[0].holder = le32_to_cpu(layout->holder);
	else
		replica->claims[0].former_holder = le32_to_cpu(layout->holder);
}

/**
 * qbd_claims_layout() - the newest committed one, for a disk or another member
 * @replica: replica
 * @index: committed, whatever the core knows of that yet; 0: what is known will do
 * @layout: all of it is written
 *
 * While a member comes up the store applies what is committed, and may let go of it, before
 * anybody has told the core: so what counts is the entry that it asks for, and not only what
 * qbd_claims_trim() saw. Otherwise a claim would be gone with its entry, and the one before
 * be in force again.
 */
void qbd_claims_layout(const struct qbd_replica *replica, u64 index,
		       struct qbd_claim_layout *layout)
{
	const struct qbd_claim *claim = qbd_claims_committed(replica);

	while (claim != qbd_claims_newest(replica) && claim[1].epoch <= index)
		claim++;
	memset(layout, 0, sizeof(*layout));
	layout->epoch = cpu_to_le64(claim->epoch);
	layout->session = cpu_to_le64(claim->session);
	layout->holder = cpu_to_le32(claim->holder ?: claim->former_holder);
	layout->mode = cpu_to_le32(claim->mode);
	layout->former = cpu_to_le64(claim->former);
	layout->older = cpu_to_le64(claim->older);
}

/* A record that is (or is about to be) the last one of the log, if it is a claim. */
void qbd_claims_push(struct qbd_replica *replica, const struct qbd_record_header *header)
{
	const struct qbd_record_shared *shared = &header->shared;
	u64 index = le64_to_cpu(shared->index);
	struct qbd_claim claim = {
		.epoch = index,
		.session = le64_to_cpu(shared->claim_session),
		.holder = le32_to_cpu(shared->claim_holder),
		.mode = le32_to_cpu(shared->claim_mode),
	};

	if (le16_to_cpu(shared->kind) != QBD_RECORD_CLAIM ||
	    index <= qbd_claims_newest(replica)->epoch)
		return;
	qbd_claim_succeed(&claim, qbd_claims_newest(replica));
	/*
	 * Whoever proposed it had the one below it committed (claim_rule.h), and so on: only
	 * the uppermost may be lost.
	 */
	if (replica->claim_count == QBD_CLAIMS_MAX)
		memmove(replica->claims, replica->claims + 1,
			--replica->claim_count * sizeof(replica->claims[0]));
	replica->claims[replica->claim_count++] = claim;
}

/* Entries from @first_removed on are gone. */
void qbd_claims_pop(struct qbd_replica *replica, u64 first_removed)
{
	while (replica->claim_count > 1 &&
	       qbd_claims_newest(replica)->epoch >= first_removed)
		replica->claim_count--;
}

/* Everything up to @commit is committed. Return: a claim among it was not known to be. */
bool qbd_claims_trim(struct qbd_replica *replica, u64 commit)
{
	u32 drop = 0;

	while (drop + 1 < replica->claim_count && replica->claims[drop + 1].epoch <= commit)
		drop++;
	if (!drop)
		return false;
	replica->claim_count -= drop;
	memmove(replica->claims, replica->claims + drop,
		replica->claim_count * sizeof(replica->claims[0]));
	return true;
}

/* Is all that this record writes of the claim in force where it is to be appended? */
bool qbd_claims_allow(const struct qbd_replica *replica,
		      const struct qbd_record_header *header)
{
	const struct qbd_claim *claim = qbd_claims_newest(replica);
	u32 i;

	/* Before the oldest claim that is known here: what was in force is not known. */
	if (le64_to_cpu(header->shared.index) <= claim->epoch)
		return true;
	for (i = 0; i < le16_to_cpu(header->shared.operation_count); i++) {
		const struct qbd_operation *operation = &header->operations[i];

		if (le64_to_cpu(operation->epoch) != claim->epoch)
			return false;
		if (!qbd_operation_is_repair(operation) &&
		    !qbd_claim_allows(claim, claim->epoch, le32_to_cpu(operation->origin),
				      le64_to_cpu(operation->session)))
			return false;
	}
	return true;
}
