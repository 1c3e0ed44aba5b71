// SPDX-License-Identifier: GPL-2.0
/*
 * Roles, campaigns and votes: thesis 3.4 (election), 3.6.1 (whom to vote for),
 * 4.2.3 (disruptive servers), 9.6 (PreVote).
 */
#include "internal.h"

/* ---- timing and fitness ------------------------------------------------- */

/* splitmix64: small, and each step is a bijection of its state. */
static u64 random_next(struct qbd_core *core)
{
	u64 z = core->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

#define RANK_MAX 3

/*
 * Voters that are preferred to this member as leader; for a witness all others are, and for
 * who waits for its disk all that are no witness.
 */
static u32 election_rank(const struct qbd_core *core)
{
	const struct qbd_config *config = qbd_core_config(core);
	const struct qbd_member *self = qbd_config_find(config, core->self);
	u32 rank = 0;

	if (qbd_core_self_is_witness(core))
		return RANK_MAX + 1;
	if (qbd_core_reads_hang(core, core->now))
		return RANK_MAX;

	for (u32 i = 0; self && i < config->count; i++) {
		const struct qbd_member *member = &config->members[i];

		if (member->flags & QBD_CORE_WITNESS)
			continue;
		if (member->flags & QBD_CORE_VOTER &&
		    member->priority > self->priority)
			rank++;
	}
	return qbd_min(rank, RANK_MAX);
}

/**
 * qbd_election_arm() - set the election timer anew
 * @core: core
 *
 * [T, 2T] (thesis 3.4, 9.3), and one T more for each voter of higher priority,
 * at most three, so that those come first when they can. A witness waits for all of them.
 *
 * A candidate waits twice as long for each campaign that ran out of time since
 * there was a leader, up to eight times:
 *
 *	T is 150 ms, a round trip and a voter's write of its vote take 350 ms. The
 *	answers come when the candidate has given up after 300 ms and is asking in
 *	the next term; so it went on, and nobody ever led.
 */
void qbd_election_arm(struct qbd_core *core)
{
	u64 timeout = core->options.election_timeout;
	u64 wait = timeout + (timeout >> 16) * (random_next(core) & 0xffff);

	wait += timeout * election_rank(core);
	if (core->role == QBD_ROLE_CANDIDATE)
		wait <<= core->campaign_shift;
	/*
	 * Its own vote is one, too. (T was lowered from 5 s to 150 ms: a member that
	 * had just answered its leader elected itself, and the leader went on reading
	 * under the lease that it supported.) Who was told to campaign need not wait.
	 */
	core->election_deadline = qbd_max(core->now + wait, core->guard_until);
}

/**
 * qbd_election_vote_durable() - the vote has reached the disk
 * @core: core
 *
 * Only now do requests, or the answer, leave. So from here on it is waited for
 * what they lead to; a slow disk takes none of that time.
 */
void qbd_election_vote_durable(struct qbd_core *core)
{
	if (core->role == QBD_ROLE_CANDIDATE ||
	    (core->role == QBD_ROLE_FOLLOWER && !core->leader))
		qbd_election_arm(core);
}

/**
 * qbd_core_log_stalled() - is the own log write hanging?
 * @core: core
 * @now: current time
 */
bool qbd_core_log_stalled(const struct qbd_core *core, u64 now)
{
	return core->durable < core->trail.last &&
	       now >= core->stall_since + core->options.disk_stall;
}

/**
 * qbd_core_reads_hang() - is all that is read hanging?
 * @core: core
 * @now: current time
 */
bool qbd_core_reads_hang(const struct qbd_core *core, u64 now)
{
	return core->reads_since &&
	       now >= core->reads_since + core->options.disk_stall;
}

/**
 * qbd_election_able() - may this member campaign, and lead?
 * @core: core
 */
bool qbd_election_able(const struct qbd_core *core)
{
	const u32 needed = QBD_MAY_VOTE | QBD_MAY_LEAD | QBD_COUNTS;

	return core->started && qbd_core_vouches(core) &&
	       (core->fitness & needed) == needed &&
	       qbd_core_self_may_campaign(core) &&
	       !core->lost_until &&
	       qbd_trail_has_room(&core->trail, core->commit) &&
	       !qbd_core_log_stalled(core, core->now);
}

/**
 * qbd_election_fit() - may others have it lead in their place?
 * @core: core
 *
 * Not while its disk answers no reads. If nobody leads it campaigns all the same, behind
 * the others: what is written goes on, and its disk may only be slow, as theirs may be.
 */
bool qbd_election_fit(const struct qbd_core *core)
{
	return qbd_election_able(core) && !qbd_core_reads_hang(core, core->now);
}

/* ---- hard state --------------------------------------------------------- */

static void hard_set_term(struct qbd_core *core, u64 term)
{
	core->term = term;
	core->vote = 0;
	core->term_seq = ++core->hard_seq;
	core->heard_round = 0;
	core->obey_index = 0;
	core->leader_last = 0;
	/* All leaders have what is committed (leader completeness). */
	core->matched = core->commit;
	core->append_rejected = false;
	core->out_flags |= QBD_OUT_TERM | QBD_OUT_PERSIST;
}

static void hard_set_vote(struct qbd_core *core, u32 vote)
{
	core->vote = vote;
	core->vote_seq = ++core->hard_seq;
	core->out_flags |= QBD_OUT_PERSIST;
}

/* ---- roles -------------------------------------------------------------- */

void qbd_core_set_leader(struct qbd_core *core, u32 leader)
{
	if (core->leader == leader)
		return;
	core->leader = leader;
	core->out_flags |= QBD_OUT_LEADER;
}

static void set_role(struct qbd_core *core, enum qbd_core_role role)
{
	if (core->role == (u32)role)
		return;
	core->role = role;
	core->out_flags |= QBD_OUT_ROLE;
	core->votes_granted = 0;
	core->votes_refused = 0;
}

/**
 * qbd_become_follower() - of a term, whoever leads it
 * @core: core
 * @term: not less than the own one
 * @leader: member id, or 0 if not known
 *
 * Accident 1: stepping down within a term cleared the vote. A candidate got an
 * append of its own term, became follower and then granted a delayed request in
 * that same term: two leaders. Here the vote falls with the term only.
 */
void qbd_become_follower(struct qbd_core *core, u64 term, u32 leader)
{
	bool was_leader = qbd_core_leads(core);

	if (!qbd_core_require(core, term >= core->term))
		return;
	if (term > core->term)
		hard_set_term(core, term);
	set_role(core, QBD_ROLE_FOLLOWER);
	qbd_core_set_leader(core, leader);
	core->forced = false;
	if (was_leader) {
		core->matched = core->commit;
		qbd_reads_fail(core);
		qbd_transfer_end(core);
	}
	qbd_election_arm(core);
}

/**
 * qbd_election_vote_lost() - whoever asks for a vote in this term gets none
 * @core: core
 * @term: in which this member voted
 *
 * What it voted since it came up is another vote than that one, and is taken back if it can
 * be: nothing that waits for this disk leaves any more, and no campaign is won with it.
 *
 * Not a vote for itself: who is alone with one leads at once when it starts, for nobody
 * else can have led.
 *
 * Return: false if it knows whom it voted for, or that term is over.
 */
bool qbd_election_vote_lost(struct qbd_core *core, u64 term)
{
	if (term > core->term)
		qbd_become_follower(core, term, 0);
	if (term < core->term || core->vote == QBD_VOTE_NOBODY ||
	    (core->vote && !core->vote_seq))
		return false;
	if (core->role != QBD_ROLE_FOLLOWER)
		qbd_become_follower(core, term, 0);
	hard_set_vote(core, QBD_VOTE_NOBODY);
	return true;
}

/**
 * qbd_follow() - a message only a leader sends has come
 * @core: core
 * @from: the leader
 * @term: its term, not less than the own one
 *
 * Return: false if that cannot be: two leaders in one term.
 */
bool qbd_follow(struct qbd_core *core, u32 from, u64 term)
{
	bool same_term = term == core->term;

	if (!qbd_core_require(core, !(same_term && qbd_core_leads(core))))
		return false;
	if (same_term && core->leader &&
	    !qbd_core_require(core, core->leader == from))
		return false;
	if (!same_term || core->role != QBD_ROLE_FOLLOWER ||
	    core->leader != from)
		qbd_become_follower(core, term, from);
	else
		qbd_election_arm(core);
	core->campaign_shift = 0;
	/*
	 * Thesis 6.4.1: the leader may hold a lease that rests on this member
	 * not electing another one within T. An absolute time, so that changing
	 * T meanwhile does not shorten the promise.
	 */
	core->guard_until = qbd_max(core->guard_until, core->now +
				    core->options.election_timeout);
	return true;
}

static void become_leader(struct qbd_core *core)
{
	if (!qbd_core_require(core, core->role == QBD_ROLE_CANDIDATE))
		return;
	if (!qbd_core_require(core, qbd_core_term_durable(core)))
		return;
	set_role(core, QBD_ROLE_LEADER);
	qbd_core_set_leader(core, core->self);
	core->leader_since = core->now;
	core->own_round = core->round + 1;
	core->read_round = 0;
	core->own_first = core->trail.last + 1;
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		/* TIMEOUT_NOW of an earlier term makes nobody campaign. */
		core->peers[slot].barrier = false;
		if (core->peers[slot].member)
			qbd_leader_start_peer(core, &core->peers[slot]);
	}
	/*
	 * Thesis 6.4: an entry of the own term, so that everything before it can
	 * be committed (accident 12) and reads can begin (accident 36).
	 */
	if (!qbd_log_append(core, core->term, NULL))
		return;
	core->out_noop = core->own_first;
	core->out_flags |= QBD_OUT_NOOP;
	qbd_round_open(core);
	qbd_leader_commit(core);
}

/* ---- campaigns ---------------------------------------------------------- */

/**
 * qbd_campaign_ask() - owe a voter the request of the campaign under way
 * @core: core
 * @peer: its slot
 */
void qbd_campaign_ask(struct qbd_core *core, struct qbd_peer *peer)
{
	if (!(peer->member & (QBD_CORE_VOTER | QBD_CORE_VOTER_OLD)))
		return;
	if (core->role == QBD_ROLE_PRECANDIDATE)
		qbd_peer_owe(peer, QBD_MESSAGE_PREVOTE_REQUEST);
	else if (core->role == QBD_ROLE_CANDIDATE)
		qbd_peer_owe(peer, QBD_MESSAGE_VOTE_REQUEST);
}

static void campaign_ask_all(struct qbd_core *core)
{
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
		if (core->peers[slot].member)
			qbd_campaign_ask(core, &core->peers[slot]);
}

/**
 * qbd_campaign() - a real one: next term, own vote, requests
 * @core: core, able to lead
 * @forced: the leader asked for it, so voters need not wait for its silence
 *
 * Requests leave, and the own vote counts, when term and vote are durable
 * (accidents 2 and 3).
 */
void qbd_campaign(struct qbd_core *core, bool forced)
{
	if (!qbd_core_require(core, qbd_election_able(core)))
		return;
	if (!qbd_core_require(core, core->term + 1 < QBD_INDEX_MAX))
		return;
	/* Even if it was a candidate: old votes must not count in the new term. */
	core->votes_granted = 0;
	core->votes_refused = 0;
	hard_set_term(core, core->term + 1);
	hard_set_vote(core, core->self);
	set_role(core, QBD_ROLE_CANDIDATE);
	qbd_core_set_leader(core, 0);
	core->forced = forced;
	campaign_ask_all(core);
	qbd_election_arm(core);
}

static void precampaign(struct qbd_core *core)
{
	core->votes_granted = 0;
	core->votes_refused = 0;
	set_role(core, QBD_ROLE_PRECANDIDATE);
	qbd_core_set_leader(core, 0);
	core->forced = false;
	campaign_ask_all(core);
	qbd_election_arm(core);
	qbd_campaign_tally(core);
}

/**
 * qbd_campaign_tally() - a vote came in, or the own one became durable
 * @core: core
 */
void qbd_campaign_tally(struct qbd_core *core)
{
	bool real = core->role == QBD_ROLE_CANDIDATE;
	enum qbd_tally tally;

	if (!real && core->role != QBD_ROLE_PRECANDIDATE)
		return;
	/*
	 * Accident 3: the own vote was counted before it was durable, or a
	 * completion of an older one was taken for it. Here it counts while the
	 * newest vote is durable, and is for the own campaign, in this role.
	 */
	tally = qbd_quorum_tally(core, core->votes_granted,
				 core->votes_refused,
				 real ? core->vote == core->self &&
					qbd_core_vote_durable(core) : true);
	if (tally == QBD_TALLY_LOST)
		qbd_become_follower(core, core->term, 0);
	else if (tally == QBD_TALLY_WON && !qbd_election_able(core))
		qbd_become_follower(core, core->term, 0);
	else if (tally == QBD_TALLY_WON && real && !qbd_core_vote_durable(core))
		return;		/* nobody was asked yet, and they say yes: not so soon */
	else if (tally == QBD_TALLY_WON && real)
		become_leader(core);
	else if (tally == QBD_TALLY_WON)
		qbd_campaign(core, false);
}

/**
 * qbd_election_start() - start of a member: wait, or lead at once if alone
 * @core: core
 */
void qbd_election_start(struct qbd_core *core)
{
	/*
	 * Nobody else can have led: alone in a committed configuration, and its
	 * last vote was for itself. (A member on its way out may lead with the
	 * vote of the only one that stays, and hold a lease by it.)
	 */
	bool alone = core->levels_count == 1 && qbd_quorum_is_self(core) &&
		     qbd_core_self_votes(core) &&
		     (!core->term || core->vote == core->self);

	qbd_election_arm(core);
	/*
	 * Accident 39: a follower restarted and voted at once, forgetting the
	 * lease it had supported; the leader went on serving reads next to the
	 * new one. So: no votes for one T. Not needed where no lease can have
	 * been supported: by a member of term 0, which never answered a leader,
	 * and by one that was always alone.
	 */
	if (core->term && !alone)
		core->guard_until = core->now + core->options.election_timeout;
	if (alone && qbd_election_able(core))
		precampaign(core);
}

/**
 * qbd_election_timeout() - the election timer ran out, and not as leader
 * @core: core
 */
void qbd_election_timeout(struct qbd_core *core)
{
	if (!qbd_core_require(core, !qbd_core_leads(core)))
		return;
	if (!qbd_election_able(core)) {
		/* Who led is not heard any more; this member cannot help it. */
		qbd_become_follower(core, core->term, 0);
		core->election_deadline = QBD_NEVER;
	} else if (core->vote && !qbd_core_vote_durable(core)) {
		/*
		 * A campaign, its own or another's, waits for this disk, and
		 * another term would be one more write for it.
		 */
		if (core->role == QBD_ROLE_FOLLOWER)
			qbd_become_follower(core, core->term, 0);
		else
			qbd_election_arm(core);
	} else {
		if (core->role == QBD_ROLE_CANDIDATE &&
		    core->campaign_shift < QBD_CAMPAIGN_SHIFT_MAX)
			core->campaign_shift++;
		precampaign(core);
	}
}

/* ---- voting ------------------------------------------------------------- */

/*
 * Thesis 3.6.1: is the candidate's log at least as good as the own one?
 *
 * Of a log that was emptied to be filled only what is committed: nothing after
 * that ever counted (see Documentation/consensus.rst for why).
 *
 *	1 sends 21 and 22 to 3, which is being filled; 2 has all up to 20, which is
 *	all that is committed. 1 is lost. 3 may not lead, refused 2 its vote because
 *	of 22, and could not be filled without a leader.
 */
static bool log_up_to_date(const struct qbd_core *core, u64 index, u64 term)
{
	u64 last = core->uncounted ? core->commit : core->trail.last;
	u64 own = qbd_trail_term(&core->trail, last);

	return term > own || (term == own && index >= last);
}

/*
 * Thesis 4.2.3: who hears a leader does not help to depose it (accidents 5, 6).
 * A leader that hears a quorum is one who hears a leader.
 */
static bool leader_is_alive(const struct qbd_core *core)
{
	return core->now < core->guard_until ||
	       (qbd_core_leads(core) &&
		qbd_leader_in_touch(core, core->options.election_timeout));
}

/*
 * Accidents 27 and 41: a member that does not know the end of its own log (it
 * acknowledged entries it cannot show) would elect a leader without them.
 */
static bool may_vote(const struct qbd_core *core)
{
	return qbd_core_vouches(core) && core->fitness & QBD_MAY_VOTE &&
	       !core->lost_until;
}

/**
 * qbd_prevote_request() - would this member vote for @peer?
 * @core: core
 * @peer: who asks
 * @message: its request
 *
 * Nothing changes here, least of all the term, so nothing need be durable.
 * Accident 9: asking about liveness only let a candidate with a short log
 * unsettle the leaders for ever; the log is compared as in a real vote.
 */
void qbd_prevote_request(struct qbd_core *core, struct qbd_peer *peer,
			 const struct qbd_core_message *message)
{
	/*
	 * No while a term or a vote is on its way to this disk: another campaign
	 * waits for that, or its own does, and the vote in yet another term could
	 * not be given sooner. (Where the disks took longer than an election
	 * timeout, everybody raised the term before anybody had been elected.)
	 */
	peer->prevote_granted = may_vote(core) &&
				core->hard_durable == core->hard_seq &&
				message->term > core->term &&
				!leader_is_alive(core) &&
				log_up_to_date(core, message->index,
					       message->log_term);
	/*
	 * Accident 7: the answer to a stale request was left out, and so two
	 * members with different terms waited for each other for ever. A grant
	 * carries the request's term, a refusal the own one.
	 */
	peer->prevote_term = message->term;
	qbd_peer_owe(peer, QBD_MESSAGE_PREVOTE_REPLY);
}

void qbd_prevote_reply(struct qbd_core *core, struct qbd_peer *peer,
		       const struct qbd_core_message *message)
{
	u32 slot = (u32)(peer - core->peers);

	/* A term above the own one was dealt with by the caller. */
	if (core->role != QBD_ROLE_PRECANDIDATE)
		return;
	if (message->flags & QBD_MESSAGE_GRANTED) {
		if (message->term != core->term + 1)
			return;
		core->votes_granted |= QBD_BIT(slot);
	} else {
		if (core->votes_granted & QBD_BIT(slot))
			return;
		core->votes_refused |= QBD_BIT(slot);
	}
	qbd_campaign_tally(core);
}

/**
 * qbd_vote_request() - @peer wants this member's vote
 * @core: core
 * @peer: candidate, perhaps a stranger (accident 4)
 * @message: its request, of any term
 */
void qbd_vote_request(struct qbd_core *core, struct qbd_peer *peer,
		      const struct qbd_core_message *message)
{
	bool forced = message->flags & QBD_MESSAGE_FORCED;

	if (message->term > core->term) {
		/* Not even the term is taken over, and no answer is owed. */
		if (!forced && leader_is_alive(core))
			return;
		qbd_become_follower(core, message->term, 0);
	}
	peer->vote_term = message->term;
	qbd_peer_owe(peer, QBD_MESSAGE_VOTE_REPLY);
	if (message->term < core->term || core->vote || core->leader)
		return;
	if (!may_vote(core) || (!forced && leader_is_alive(core)))
		return;
	if (!log_up_to_date(core, message->index, message->log_term))
		return;
	/*
	 * Accident 2: the vote was forgotten in a crash between its write and
	 * its answer, and given again in the same term. The answer is owed from
	 * here on and leaves when the vote is durable, not before.
	 */
	hard_set_vote(core, peer->id);
	qbd_election_arm(core);
}

void qbd_vote_reply(struct qbd_core *core, struct qbd_peer *peer,
		    const struct qbd_core_message *message)
{
	u32 slot = (u32)(peer - core->peers);

	if (message->term != core->term)
		return;
	if (message->flags & QBD_MESSAGE_GRANTED) {
		peer->voted_term = message->term;
		peer->voted_index = message->index;
		peer->voted_log_term = message->log_term;
	}
	if (qbd_core_leads(core) && peer->member)
		qbd_leader_voted(core, peer);
	if (core->role != QBD_ROLE_CANDIDATE)
		return;
	if (message->flags & QBD_MESSAGE_GRANTED)
		core->votes_granted |= QBD_BIT(slot);
	else if (!(core->votes_granted & QBD_BIT(slot)))
		core->votes_refused |= QBD_BIT(slot);
	qbd_campaign_tally(core);
}
