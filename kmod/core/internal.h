/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the core share. Nothing outside kmod/core includes this,
 * except its unit tests.
 *
 * quorum.c	what a majority (two, while joint) agrees on
 * trail.c	the terms of the log
 * membership.c	configurations, their stack, the peers' slots
 * election.c	roles, campaigns, votes
 * replication.c	the leader's view of its peers, commit
 * follower.c	the leader's entries and heartbeats
 * read.c	rounds, lease, reads
 * transfer.c	leadership moves
 * message.c	what may leave now
 * check.c	what a peer cannot say
 * core.c	events, start, output, status
 */
#ifndef QBD_CORE_INTERNAL_H
#define QBD_CORE_INTERNAL_H

#include "core.h"

/*
 * An invariant. If it does not hold this member stops vouching for anything
 * (it only follows, see qbd_core_stop()), with the place noted; it never brings the
 * host down. Userspace tests abort instead, where they do not expect it.
 */
#define qbd_core_require(core, condition) \
	qbd_core_require_at((core), !!(condition), __FILE__, __LINE__)

#ifdef QBD_CORE_TEST
void qbd_core_test_stopped(const struct qbd_core *core, const char *file,
			   u32 line);
#endif

void qbd_core_stop(struct qbd_core *core, const char *file, u32 line);

static inline bool qbd_core_require_at(struct qbd_core *core, bool holds,
				       const char *file, u32 line)
{
	if (!holds)
		qbd_core_stop(core, file, line);
	return holds;
}

#define QBD_BIT(n) ((u32)1 << (n))

/* Does an entry of this kind have the configuration it needs, and no other? */
static inline bool qbd_entry_config_fits(u32 kind,
					 const struct qbd_config *config)
{
	return kind == QBD_ENTRY_CONFIG ? config && !qbd_config_check(config) :
					  !config;
}

static inline u64 qbd_min(u64 a, u64 b)
{
	return a < b ? a : b;
}

static inline u64 qbd_max(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* May this member vouch for anything? */
static inline bool qbd_core_vouches(const struct qbd_core *core)
{
	return !core->failed && !core->stopped_line;
}

static inline bool qbd_core_leads(const struct qbd_core *core)
{
	return core->role == QBD_ROLE_LEADER;
}

/*
 * Accident 23: entries were durable before their term was; after a crash an old
 * leader of the term before overwrote one that had been counted. So whatever is
 * said in a term is said when the term is durable.
 */
static inline bool qbd_core_term_durable(const struct qbd_core *core)
{
	return core->hard_durable >= core->term_seq;
}

static inline bool qbd_core_vote_durable(const struct qbd_core *core)
{
	return core->vote && core->hard_durable >= core->vote_seq &&
	       qbd_core_term_durable(core);
}

/* Did the leader hear from this peer lately? */
static inline bool qbd_peer_alive(const struct qbd_core *core,
				  const struct qbd_peer *peer, u64 now)
{
	return qbd_core_leads(core) && peer->heard_at &&
	       now <= peer->heard_at + core->options.election_timeout;
}

static inline void qbd_peer_owe(struct qbd_peer *peer,
				enum qbd_message_type type)
{
	peer->owed |= QBD_BIT(type);
}

/* core.c: every event begins and ends with these */
void qbd_event_begin(struct qbd_core *core, u64 now);
void qbd_event_done(struct qbd_core *core);

/* quorum.c */
enum qbd_tally {
	QBD_TALLY_PENDING,
	QBD_TALLY_WON,
	QBD_TALLY_LOST,
};

u64 qbd_quorum_value(const struct qbd_core *core, const u64 *values,
		     u64 self_value);
enum qbd_tally qbd_quorum_tally(const struct qbd_core *core, u32 granted,
				u32 refused, bool self_granted);
bool qbd_quorum_counts(const struct qbd_core *core, u64 now, u32 slots, bool self);
bool qbd_quorum_is_self(const struct qbd_core *core);

/* trail.c */
void qbd_trail_reset(struct qbd_trail *trail, u64 index, u64 term);
u64 qbd_trail_last_term(const struct qbd_trail *trail);
u64 qbd_trail_term(const struct qbd_trail *trail, u64 index);
bool qbd_trail_has_room(const struct qbd_trail *trail, u64 commit);
bool qbd_trail_append(struct qbd_trail *trail, u64 term, u64 commit);
void qbd_trail_truncate(struct qbd_trail *trail, u64 from);
void qbd_trail_compact(struct qbd_trail *trail, u64 base_index);
u64 qbd_trail_find(const struct qbd_trail *trail, u64 index, u64 term);

/* membership.c */
struct qbd_peer *qbd_peer_find(struct qbd_core *core, u32 id);
struct qbd_peer *qbd_peer_get(struct qbd_core *core, u32 id);
u32 qbd_core_self_flags(const struct qbd_core *core);
bool qbd_core_self_votes(const struct qbd_core *core);
bool qbd_core_self_may_campaign(const struct qbd_core *core);
bool qbd_core_self_is_witness(const struct qbd_core *core);
void qbd_membership_reset(struct qbd_core *core,
			  const struct qbd_config *config, u64 index);
void qbd_membership_append(struct qbd_core *core,
			   const struct qbd_config *config, u64 index);
void qbd_membership_truncate(struct qbd_core *core, u64 from);
void qbd_membership_committed(struct qbd_core *core);
bool qbd_membership_may_follow(const struct qbd_core *core,
			       const struct qbd_config *next);

/* election.c */
/* A candidate waits up to 8 times as long, see qbd_election_arm(). */
#define QBD_CAMPAIGN_SHIFT_MAX 3
/* A leader waits up to 64 times as long for its disk, see qbd_core_reads_since(). */
#define QBD_DISK_PATIENCE_MAX 6u

void qbd_election_arm(struct qbd_core *core);
void qbd_election_vote_durable(struct qbd_core *core);
bool qbd_election_able(const struct qbd_core *core);
bool qbd_election_fit(const struct qbd_core *core);
bool qbd_core_log_stalled(const struct qbd_core *core, u64 now);
bool qbd_core_reads_hang(const struct qbd_core *core, u64 now);
void qbd_core_set_leader(struct qbd_core *core, u32 leader);
void qbd_become_follower(struct qbd_core *core, u64 term, u32 leader);
bool qbd_election_vote_lost(struct qbd_core *core, u64 term);
bool qbd_follow(struct qbd_core *core, u32 from, u64 term);
void qbd_election_timeout(struct qbd_core *core);
void qbd_election_start(struct qbd_core *core);
void qbd_campaign(struct qbd_core *core, bool forced);
void qbd_campaign_tally(struct qbd_core *core);
void qbd_campaign_ask(struct qbd_core *core, struct qbd_peer *peer);
void qbd_prevote_request(struct qbd_core *core, struct qbd_peer *peer,
			 const struct qbd_core_message *message);
void qbd_prevote_reply(struct qbd_core *core, struct qbd_peer *peer,
		       const struct qbd_core_message *message);
void qbd_vote_request(struct qbd_core *core, struct qbd_peer *peer,
		      const struct qbd_core_message *message);
void qbd_vote_reply(struct qbd_core *core, struct qbd_peer *peer,
		    const struct qbd_core_message *message);

/* check.c */
bool qbd_message_possible(const struct qbd_core *core,
			  const struct qbd_core_message *message);
bool qbd_append_possible(const struct qbd_core *core,
			 const struct qbd_append *append);

/* replication.c */
bool qbd_log_append(struct qbd_core *core, u64 term,
		    const struct qbd_config *config);
void qbd_commit_advance(struct qbd_core *core, u64 index);
void qbd_leader_commit(struct qbd_core *core);
void qbd_leader_voted(struct qbd_core *core, struct qbd_peer *peer);
void qbd_leader_start_peer(struct qbd_core *core, struct qbd_peer *peer);
void qbd_leader_probe(struct qbd_core *core, struct qbd_peer *peer, u64 next);
bool qbd_leader_lost(struct qbd_core *core, const struct qbd_peer *peer,
		     const struct qbd_core_message *message);
void qbd_leader_base_moved(struct qbd_core *core);
void qbd_leader_check_peers(struct qbd_core *core);
bool qbd_leader_can_pull(const struct qbd_core *core,
			 const struct qbd_peer *peer);
void qbd_leader_progress(struct qbd_core *core, struct qbd_peer *peer,
			 const struct qbd_core_message *message);
void qbd_append_reply(struct qbd_core *core, struct qbd_peer *peer,
		      const struct qbd_core_message *message);

/* follower.c */
void qbd_heartbeat(struct qbd_core *core, struct qbd_peer *peer,
		   const struct qbd_core_message *message);
void qbd_probe(struct qbd_core *core, struct qbd_peer *peer,
	       const struct qbd_core_message *message);
void qbd_follower_durable(struct qbd_core *core);

/* read.c */
void qbd_round_open(struct qbd_core *core);
u64 qbd_round_quorum_at(const struct qbd_core *core);
bool qbd_leader_in_touch(const struct qbd_core *core, u64 limit);
bool qbd_leader_cut_off(const struct qbd_core *core);
void qbd_heartbeat_reply(struct qbd_core *core, struct qbd_peer *peer,
			 const struct qbd_core_message *message);
void qbd_reads_kick(struct qbd_core *core);
void qbd_reads_fail(struct qbd_core *core);

/* transfer.c */
void qbd_transfer_poll(struct qbd_core *core);
void qbd_transfer_end(struct qbd_core *core);
bool qbd_hand_over(struct qbd_core *core);
bool qbd_transfer_has_more(struct qbd_core *core);
bool qbd_transfer_due(const struct qbd_core *core);
void qbd_transfer_obey(struct qbd_core *core);
void qbd_timeout_now(struct qbd_core *core, struct qbd_peer *peer,
		     const struct qbd_core_message *message);

#endif /* QBD_CORE_INTERNAL_H */
