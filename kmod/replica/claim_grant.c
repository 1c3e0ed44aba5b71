// SPDX-License-Identifier: GPL-2.0
/*
 * Claims at the leader: who gets one, and whose writes are refused. What is decided is in
 * claim_rule.c.
 */
#include "intent.h"
#include "internal.h"

/* The leader's claim lease: as set, and never so short that an election could end it. */
u64 qbd_claim_lease_ms(const struct qbd_replica *replica)
{
	return max_t(u64, replica->settings.claim_lease_ms,
		     2ull * replica->settings.election_timeout_ms);
}

static u64 commit_index(const struct qbd_replica *replica)
{
	struct qbd_core_status status;

	qbd_core_get_status(replica->core, replica->now, &status);
	return status.commit;
}

/* How long was the holder of a claim not heard here? */
u64 qbd_claim_unheard_ms(struct qbd_replica *replica, u32 holder)
{
	u64 heard = replica->leads_since;
	struct qbd_peer_status peer;

	if (holder == replica->member_id)
		return 0;
	if (qbd_core_get_peer(replica->core, replica->now, holder, &peer))
		heard = max(heard, peer.heard_at);
	return div_u64(replica->now - min(heard, replica->now), NSEC_PER_MSEC);
}

/*
 * By the clock as it is now: the pass may have stood still since it looked at it (accident 39).
 * That a majority answered a little while ago would not do: the answers may be late, and whom
 * leadership was handed to does not wait until this member is silent.
 */
static bool has_lease(const struct qbd_replica *replica)
{
	return replica->settings.read_mode == QBD_CORE_READ_LEASE &&
	       qbd_core_lease_valid(replica->core, ktime_get_boottime_ns());
}

/**
 * qbd_claim_confirm() - ask a majority whether this member leads still
 * @replica: replica that leads
 * @ticket: it does when this one is released, as a read's; 0: it does
 *
 * Where there is no lease: as long as somebody to whom leadership was handed does not answer,
 * for one, and who opens the device is not to wait for a host that is gone.
 *
 * Return: false if that cannot be found out now.
 */
bool qbd_claim_confirm(struct qbd_replica *replica, u64 *ticket)
{
	*ticket = ++replica->ticket;
	switch (qbd_core_read(replica->core, replica->now, *ticket, QBD_CORE_READ_QUORUM)) {
	case QBD_READ_READY:
		*ticket = 0;
		return true;
	case QBD_READ_PENDING:
		return true;
	case QBD_READ_NOT_LEADER:
		break;
	}
	*ticket = 0;
	return false;
}

static void gather_facts(struct qbd_replica *replica, const struct qbd_claim_wish *wish,
			 struct qbd_claim_facts *facts)
{
	const struct qbd_claim *claim = qbd_claims_newest(replica);
	const struct qbd_replica_peer *peer = qbd_replica_peer(replica, claim->holder);
	u64 commit = commit_index(replica), last = qbd_store_last_index(replica->store);
	struct qbd_peer_status heard;

	*facts = (struct qbd_claim_facts){
		.committed = claim->epoch <= commit,
		.surely = wish->confirmed || has_lease(replica),
		.written = wish->goes_on &&
			   qbd_store_written_since(replica->store, wish->epoch, commit),
		.may_be_written = wish->goes_on &&
				  qbd_store_written_since(replica->store, wish->epoch, last),
		.member = !qbd_intent_is_out(qbd_replica_layout(replica), claim->holder),
		.lease_ms = qbd_claim_lease_ms(replica),
		.unheard_ms = qbd_claim_unheard_ms(replica, claim->holder),
	};
	if (claim->holder == replica->member_id)
		facts->restarted = claim->session != replica->session;
	else if (peer && qbd_core_get_peer(replica->core, replica->now, claim->holder, &heard) &&
		 heard.heard_at)
		/* What it said to an earlier leadership of this member may be of a run before. */
		facts->restarted = peer->session && peer->session != claim->session;
	facts->silent = facts->unheard_ms > 2ull * replica->settings.election_timeout_ms;
}

static bool claim_in_force(struct qbd_replica *replica, u32 member)
{
	const struct qbd_claim_wish wish = { .action = QBD_CLAIM_TAKE };
	const struct qbd_claim *claim = qbd_claims_newest(replica);
	enum qbd_claim_verdict verdict;
	struct qbd_claim_facts facts;
	struct qbd_claim next;
	u64 wait_ms;

	if (claim->holder != member)
		return false;
	gather_facts(replica, &wish, &facts);
	verdict = qbd_claim_decide(claim, &facts, &wish, &next, &wait_ms);
	return verdict != QBD_VERDICT_GRANT;
}

/**
 * qbd_claim_used() - would somebody lose the device if a member was removed?
 * @replica: replica that leads
 * @member: has it claimed, and would not lose that to who asks for it now; or has said that its
 *	host uses the device, and was heard since, within the same lease
 * @unsaid: set if it has not said that to this leader yet, which leads for less than the lease
 *
 * A host that is gone is not asked whether it minds; one that is silent for a moment may be
 * writing, also if its leader is a new one:
 *
 *	3 was to go as soon as its host had closed the device. 2, which did not reach it, came to
 *	lead, and removed it at once.
 *
 * Nor is one waited for that is connected and never answers, for its disk hangs.
 */
bool qbd_claim_used(struct qbd_replica *replica, u32 member, bool *unsaid)
{
	const struct qbd_replica_peer *peer = qbd_replica_peer(replica, member);

	*unsaid = false;
	if (claim_in_force(replica, member))
		return true;
	if (member == replica->member_id)
		return qbd_hold_uses(replica);
	if (!peer || qbd_claim_unheard_ms(replica, member) >= qbd_claim_lease_ms(replica))
		return false;
	*unsaid = peer->use_term != replica->told_term;
	return !*unsaid && peer->uses;
}

/*
 * Append the claim. Like a no-op it may use what is kept back from data: who takes over
 * must not wait for the writes of the one who is gone.
 */
static bool append(struct qbd_replica *replica, const struct qbd_claim *next, u64 *index)
{
	u64 last = qbd_store_last_index(replica->store);
	struct qbd_record_shared *shared;
	struct qbd_record *record;

	if (replica->store_failed || replica->noop_index ||
	    !qbd_store_has_room_at(replica->store, last + 1, 0, 0))
		return false;
	record = qbd_record_alloc(replica->pool, QBD_POOL_FORWARD, 0, 0, false);
	if (!record)
		return false;
	if (qbd_core_propose(replica->core, replica->now, QBD_ENTRY_CLAIM, NULL, index) !=
	    QBD_PROPOSE_OK) {
		qbd_record_put(record);
		return false;
	}
	shared = &record->header->shared;
	shared->claim_session = cpu_to_le64(next->session);
	shared->claim_holder = cpu_to_le32(next->holder);
	shared->claim_mode = cpu_to_le32(next->mode);
	qbd_record_seal(record, replica->uuid, QBD_RECORD_CLAIM, *index, replica->told_term,
			qbd_store_chain(replica->store, last));
	qbd_claims_push(replica, record->header);
	if (WARN_ON_ONCE(*index != last + 1 || qbd_store_append(replica->store, record)))
		qbd_replica_stop_vouching(replica, "log and consensus disagree");
	qbd_record_put(record);
	replica->records_appended++;
	return true;
}

/**
 * qbd_claim_wanted() - somebody asks this leader for a claim
 * @replica: replica that leads
 * @wish: what
 * @answer: HAVE: that claim is in force, GRANT: it will be when its entry is committed;
 *	CONFIRM: likewise HAVE, see qbd_claim_confirm(); BUSY, WAIT: whose it is
 * @wait_ms: BUSY, WAIT: see qbd_claim_decide()
 *
 * Return: as qbd_claim_decide(); LATER also if there is no room just now.
 */
enum qbd_claim_verdict qbd_claim_wanted(struct qbd_replica *replica,
					const struct qbd_claim_wish *wish,
					struct qbd_claim *answer, u64 *wait_ms)
{
	enum qbd_claim_verdict verdict;
	struct qbd_claim_facts facts;
	struct qbd_claim next;

	*answer = *qbd_claims_newest(replica);
	gather_facts(replica, wish, &facts);
	verdict = qbd_claim_decide(qbd_claims_newest(replica), &facts, wish, &next,
				   wait_ms);
	if (verdict != QBD_VERDICT_GRANT)
		return verdict;
	if (!append(replica, &next, &next.epoch))
		return QBD_VERDICT_LATER;
	*answer = next;
	return QBD_VERDICT_GRANT;
}

/* Another member's request for one, to this leader. */
void qbd_claim_asked(struct qbd_replica *replica, u32 peer,
		     const struct qbd_frame_request *request)
{
	const struct qbd_claim_wish wish = {
		.action = le32_to_cpu(request->count),
		.force = le64_to_cpu(request->block) & QBD_CLAIM_FORCE,
		.goes_on = le64_to_cpu(request->block) & (QBD_CLAIM_GOES_ON | QBD_CLAIM_READ),
		.reader = le64_to_cpu(request->block) & QBD_CLAIM_READ,
		.mode = le64_to_cpu(request->block),
		.asker = peer,
		.session = le64_to_cpu(request->session),
		.epoch = le64_to_cpu(request->epoch),
	};
	struct qbd_answer answer = { .status = QBD_REPLY_BUSY };
	struct qbd_claim claim;
	u64 wait_ms, ticket;

	switch (qbd_claim_wanted(replica, &wish, &claim, &wait_ms)) {
	case QBD_VERDICT_GRANT:
		/* It is answered when it is committed; without memory, asked again. */
		if (qbd_io_await_claim(replica, peer, request, &claim, 0))
			return;
		break;
	case QBD_VERDICT_CONFIRM:
		if (!qbd_claim_confirm(replica, &ticket))
			break;
		if (ticket && qbd_io_await_claim(replica, peer, request, &claim, ticket))
			return;
		if (ticket)
			break;
		fallthrough;
	case QBD_VERDICT_HAVE:
		answer.status = QBD_REPLY_OK;
		answer.detail = claim.mode;
		answer.value = claim.epoch;
		break;
	case QBD_VERDICT_LATER:
		break;
	case QBD_VERDICT_BUSY:
		answer.status = QBD_REPLY_REFUSED;
		answer.detail = QBD_CLAIM_BUSY;
		answer.member = claim.holder;
		answer.value = wait_ms;
		break;
	case QBD_VERDICT_WAIT:
		answer.status = QBD_REPLY_REFUSED;
		answer.detail = QBD_CLAIM_SILENT;
		answer.member = claim.holder;
		answer.value = wait_ms;
		break;
	case QBD_VERDICT_OUTDATED:
		answer.status = QBD_REPLY_REFUSED;
		answer.detail = QBD_CLAIM_OUTDATED;
		answer.member = claim.holder;
		break;
	case QBD_VERDICT_SHUT_OUT:
		answer.status = QBD_REPLY_REFUSED;
		answer.detail = QBD_CLAIM_SHUT_OUT;
		answer.member = claim.holder;
		break;
	}
	qbd_forward_answer(replica, peer, request, &answer);
}

/**
 * qbd_claim_filter() - may the leader propose what it holds?
 * @replica: replica that leads
 *
 * What the claim at the end of the log does not allow is answered FENCED. But not before that
 * claim is committed: it may still be lost with this leader, and whoever is told so stops
 * his file system.
 *
 * Return: false if nothing may be proposed now. (No write of a claim that is not committed
 * can have come: nobody was given it yet.)
 */
bool qbd_claim_filter(struct qbd_replica *replica)
{
	const struct qbd_claim *claim = qbd_claims_newest(replica);
	struct qbd_io *io, *next;

	if (claim->epoch > commit_index(replica))
		return false;
	list_for_each_entry_safe(io, next, &replica->writes, list) {
		if (qbd_claim_allows(claim, io->epoch, io->origin, io->session))
			continue;
		io->member = claim->holder;
		if (io->local)
			qbd_hold_fenced(io);
		else
			qbd_io_complete(io, QBD_REPLY_FENCED);
	}
	return true;
}
