/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a member votes, and when it counts, that is being filled by extents.
 *
 * Three members; 0 leads, and its log does not reach back to what 1 lacks. RESET
 * empties 1's log and may come late; acknowledgements overtake each other; somebody's
 * extent table is lost, and then its log is kept while it is filled.
 *
 * Property: that of raft.pml. No entry is lost that was committed with the help of a
 * member that was being filled, before or after.
 *
 * What is behind it, besides that of raft.pml, under kmod:
 *
 *   compared()         core/election.c log_up_to_date(), "uncounted" in core/core.h
 *   take_ack()         core/replication.c qbd_leader_progress(), peer_commit_match()
 *   may_be_emptied()   core/core.c qbd_core_may_reset()
 *   "is emptied"       replica/fill.c qbd_fill_reset(), qbd_fill_reset_durable()
 *   "loses its table"  store/open.c extents_lost() (QBD_STATE_LOG_KEPT)
 *   "is whole"         replica/fill.c qbd_fill_durable()
 *
 * Left out: the data (fill.pml), PreVote, leases, damaged logs (damage.pml).
 *
 * Bounds: see the definitions.
 *
 * Searched whole:
 *
 *   base                  1 is sent RESET, is emptied, becomes whole
 *   TABLE                 a member restarts and has lost its extent table
 *
 * Bugs that have to be found:
 *
 *   BUG_COUNTS            who is being filled counts
 *   BUG_LATE_ACK          a late acknowledgement without the flag lends it to others
 *   BUG_RESET_ANYWAY      RESET empties a log that has the entry it names
 *   BUG_KEPT_FORGOTTEN    a log that was kept is compared like one that was emptied
 */
#define N		3
#define ACKS		2
#ifdef BUG_KEPT_FORGOTTEN
#define TABLE
#endif
#define INDEX_MAX	3
#define WRITE_MAX	2
#define TERM_MAX	2
#define TERM_ACTS	1
#ifdef TABLE
/* Logs reach back to the beginning. Any follower may lose its table. */
#define RESTARTS_MAX	1
#define TABLES_MAX	1
#define may_compact	false
#else
#define RESTARTS_MAX	0
#define TABLES_MAX	0
#define may_compact	true
#endif
#ifdef LARGE
#define can_be_reset(m)	true
#else
#define can_be_reset(m)	((m) == 1)
#endif
/* The second term is the last, and 1 is behind. */
#define may_campaign(m)	((m) == 2)

bool filling[N];
bool kept[N];
byte tables;
/* RESETs under way to a member: it is said again while nothing is heard. */
#define RESETS		2
byte reset_index[N * RESETS], reset_term[N * RESETS], reset_from[N * RESETS];

#define fit(m)		(!filling[m])
#define may_vote(m)	true
#define counts(m)	(!filling[m])
#ifdef BUG_KEPT_FORGOTTEN
#define compared(m)	(filling[m] -> commit[m] : last[m])
#else
#define compared(m)	(filling[m] && !kept[m] -> commit[m] : last[m])
#endif
#define listens(m)	true
#define heard(m, l)	skip
#define left(m)		skip
#ifdef BUG_COUNTS
#define take_ack(m, p, i, f) \
	says_filling[AT(m, p)] = false; \
	counted[AT(m, p)] = larger(counted[AT(m, p)], i)
#else
#ifdef BUG_LATE_ACK
#define take_ack(m, p, i, f)	counted[AT(m, p)] = larger(counted[AT(m, p)], i)
#else
#define take_ack(m, p, i, f) \
	counted[AT(m, p)] = (f -> counted[AT(m, p)] : larger(counted[AT(m, p)], i))
#endif
#endif
#define voted(m, c) \
	if \
	:: last[c] < last[m] -> printf("reached: a vote for a shorter log\n") \
	:: else \
	fi
#include "raft.pml"

#ifdef BUG_RESET_ANYWAY
#define lacks(m, i)	true
#else
#define lacks(m, i) \
	((i) < base[m] || (i) > last[m] || LOG(m, i) != committed_term[i])
#endif
#define may_be_emptied(m, r) \
	(!leads[m] && leader[m] == reset_from[r] + 1 && term[m] == reset_term[r] && \
	 reset_index[r] > commit[m] && lacks(m, reset_index[r]))
/* As far as the leader knows: an acknowledgement may be on its way. */
#define needs_extents(l, m) \
	(can_be_reset(m) && leads[l] && term[m] == term[l] && leader[m] == (l) + 1 && \
	 counted[AT(l, m)] < base[l] && \
	 (!reset_index[m * RESETS] || !reset_index[m * RESETS + 1]) && \
	 reset_index[m * RESETS] != commit[l] && reset_index[m * RESETS + 1] != commit[l])
/* A member that has to be filled hears its leader's heartbeats, too. */
#define only_hears(l, m) \
	(leads[l] && term[l] <= TERM_ACTS && term[m] <= term[l] && last[m] < base[l] && \
	 leader[m] != (l) + 1)

inline only_hear(m, l)
{
	if
	:: term[m] < term[l] -> enter_term(m, term[l])
	:: else
	fi;
	candidate[m] = false;
	votes[m] = 0;
	leader[m] = l + 1;
	k = 0;
	do
	:: k < ACKS && ack_term[m * ACKS + k] -> k++
	:: else -> break
	od;
	if
	:: k < ACKS ->
		ack_term[m * ACKS + k] = term[m];
		ack_index[m * ACKS + k] = smaller(matched[m], last[m]);
		ack_filling[m * ACKS + k] = filling[m]
	:: else
	fi;
	k = 0
}

inline tell_reset(m, p)
{
	printf("leader %d sends RESET to %d to member %d\n", m, commit[m], p);
	k = (reset_index[p * RESETS] -> p * RESETS + 1 : p * RESETS);
	reset_index[k] = commit[m];
	reset_term[k] = term[m];
	reset_from[k] = m;
	k = 0
}

inline forget_reset(r)
{
	reset_index[r] = 0;
	reset_term[r] = 0;
	reset_from[r] = 0
}

inline receive_reset(m, r)
{
	if
	:: may_be_emptied(m, r) ->
		printf("member %d is emptied, its log begins after %d\n", m, reset_index[r]);
		if
		:: last[m] > base[m] -> printf("reached: a log with entries is emptied\n")
		:: else
		fi;
		filling[m] = true;
		kept[m] = false;
		base[m] = reset_index[r];
		last[m] = base[m];
		commit[m] = base[m];
		matched[m] = base[m];
		for (k : 0 .. INDEX_MAX) {
			LOG(m, k) = 0
		}
		k = 0
	:: else -> printf("reached: a late RESET is ignored\n")
	fi;
	forget_reset(r)
}

proctype member(byte me)
{
	byte k;

	do
	RAFT
	RAFT_WITH(P1)
	RAFT_WITH(P2)
	:: atomic { only_hears(P1, me) -> only_hear(me, P1) }
	:: atomic { only_hears(P2, me) -> only_hear(me, P2) }
	:: atomic { needs_extents(me, P1) -> tell_reset(me, P1) }
	:: atomic { needs_extents(me, P2) -> tell_reset(me, P2) }
	:: atomic { may_compact && leads[me] && term[me] <= TERM_ACTS && base[me] < commit[me] ->
		printf("leader %d: the log begins after %d\n", me, commit[me]);
		do
		:: base[me] < commit[me] -> base[me]++; LOG(me, base[me]) = 0
		:: else -> break
		od
	   }
	:: atomic { reset_index[me * RESETS] -> receive_reset(me, me * RESETS) }
	:: atomic { reset_index[me * RESETS + 1] -> receive_reset(me, me * RESETS + 1) }
	:: atomic { filling[me] && leader[me] && !leads[me] ->
		printf("member %d is whole\n", me);
		filling[me] = false;
		kept[me] = false
	   }
	:: atomic { restarts < RESTARTS_MAX ->
		restart(me);
		forget_reset(me * RESETS);
		forget_reset(me * RESETS + 1);
		if
		:: tables < TABLES_MAX && !filling[me] ->
			printf("member %d restarts and has lost its extent table\n", me);
			tables++;
			filling[me] = true;
			kept[me] = true
		:: printf("member %d restarts\n", me)
		fi
	   }
	od
}

/* 0 and 2 committed entry 1, 1 was away. */
init
{
	byte m;

	atomic {
		for (m : 0 .. N - 1) {
			term[m] = 1;
			vote[m] = 1;
			leader[m] = (m == 1 -> 0 : 1);
			last[m] = (m == 1 -> 0 : 1);
			LOG(m, last[m]) = (m == 1 -> 0 : 1);
			matched[m] = last[m]
		}
		leads[0] = true;
		commit[0] = 1;
		committed = 1;
		committed_term[1] = 1;
		committed_in[1] = 1;
		m = 0;
		run member(0);
		run member(1);
		run member(2)
	}
}
