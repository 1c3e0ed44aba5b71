/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is anything lost through a member whose log lost records that it had acknowledged?
 *
 * Three members; 0 leads. A member restarts and finds that its log ends before records
 * that it had acknowledged. It is sent them again, or others, in this or later terms.
 * It may restart once more meanwhile, and any number of members may be damaged.
 *
 * Property: that of raft.pml.
 *
 * What is behind it, besides that of raft.pml, under kmod:
 *
 *   damaged[]          store/recovery.c search_proof(), store/open.c adopt_scan(),
 *                      "damaged_through"
 *   may_vote, fit      replica/events.c qbd_replica_update_fitness()
 *   "has all again"    replica/join.c check_damaged()
 *   lost_until[]       core/follower.c qbd_heartbeat(), core/core.c qbd_event_done()
 *   "is more than"     core/replication.c qbd_leader_lost()
 *
 * Left out: filling by extents; damage to what was applied already (its effect is in
 * the data area). What proves that a record was acknowledged is a later record in the
 * log or the state block, see Documentation/on-disk-format.rst; in the good variant
 * there is such a proof.
 *
 * Bounds: see the definitions.
 *
 * Searched whole:
 *
 *   base                  a member is damaged, restarts twice, one election
 *   TERMS                 it is sent again what it lost by another leader
 *
 * Bugs that have to be found:
 *
 *   BUG_VOTES             a damaged member votes
 *   BUG_LEADS             a damaged member campaigns
 *   BUG_CUT_OFF           the damage is taken for a torn tail
 *   BUG_FIRST_ONLY        all is well when the first lost record was sent again
 *   BUG_FORGETS           the damage is forgotten when the member restarts once more
 */
#define N		3
#define ACKS		1
#define INDEX_MAX	4
#ifdef TERMS
#define TERM_MAX	3
#define TERM_ACTS	2
#define WRITE_MAX	2
#define RESTARTS_MAX	1
#else
#define TERM_MAX	2
#define TERM_ACTS	1
#define WRITE_MAX	3
#define RESTARTS_MAX	2
#endif
#ifdef LARGE
#define DAMAGES_MAX	2
#else
#define DAMAGES_MAX	1
#endif
#define may_campaign(m)	true

byte damaged[N];		/* damaged_through, 0: not */
byte lost_until[N];
byte damages;
byte whole_term[N], whole_index[N];

#ifdef BUG_VOTES
#define may_vote(m)	(!lost_until[m])
#else
#define may_vote(m)	(!damaged[m] && !lost_until[m])
#endif
#ifdef BUG_LEADS
#define fit(m)		(!lost_until[m])
#else
#define fit(m)		(!damaged[m] && !lost_until[m])
#endif
#define counts(m)	true
#define compared(m)	last[m]
#define listens(m)	true
#define take_ack(m, p, i, f) \
	counted[AT(m, p)] = larger(counted[AT(m, p)], i)
#define left(m) \
	whole_term[m] = 0; \
	whole_index[m] = 0
#define told_commit(m, l)	smaller(commit[l], counted[AT(l, m)])
#define heard(m, l) \
	whole_index[m] = (!damaged[m] -> 0 : \
		(whole_term[m] == term[l] -> whole_index[m] : last[l])); \
	whole_term[m] = (!damaged[m] -> 0 : term[l]); \
	lost_until[m] = (told_commit(m, l) > last[m] -> \
			 larger(lost_until[m], told_commit(m, l)) : lost_until[m])
#define voted(m, c)	skip
#include "raft.pml"

#ifdef BUG_FIRST_ONLY
#define has_again(m)	(last[m] > base[m])
#else
#define has_again(m)	(last[m] >= damaged[m])
#endif
#define whole(m) \
	(leader[m] && !leads[m] && whole_term[m] == term[m] && \
	 matched[m] >= whole_index[m] && last[m] >= whole_index[m])

#ifdef BUG_CUT_OFF
#define notices		false
#else
#define notices		true
#endif

inline damage(m, end)
{
	printf("member %d restarts: its log ends at %d, it acknowledged up to %d\n", m, end,
	       last[m]);
	damages++;
	lost_until[m] = 0;
	damaged[m] = (notices -> larger(damaged[m], last[m]) : 0);
	last[m] = end;
	matched[m] = smaller(matched[m], end);
	for (k : end + 1 .. INDEX_MAX) {
		LOG(m, k) = 0
	}
	k = 0
}

proctype member(byte me)
{
	byte k;

	do
	RAFT
	RAFT_WITH(P1)
	RAFT_WITH(P2)
	:: atomic { restarts < RESTARTS_MAX ->
		restart(me);
		lost_until[me] = 0;
#ifdef BUG_FORGETS
		damaged[me] = 0;
#endif
		if
		:: damages < DAMAGES_MAX && last[me] > base[me] -> damage(me, last[me] - 1)
		:: damages < DAMAGES_MAX && last[me] > base[me] + 1 ->
			damage(me, last[me] - 2)
		:: printf("member %d restarts\n", me)
		fi
	   }
	:: atomic { damaged[me] && (has_again(me) || whole(me)) ->
		printf("member %d has all again, up to %d\n", me, last[me]);
		if
		:: last[me] >= damaged[me] -> printf("reached: what was lost was sent again\n")
		:: else -> printf("all that its leader had\n")
		fi;
		damaged[me] = 0;
		left(me)
	   }
	:: atomic { lost_until[me] && lost_until[me] <= commit[me] ->
		lost_until[me] = 0
	   }
	od
}

/* Entry 1 is committed and applied everywhere. */
init
{
	byte m;

	atomic {
		for (m : 0 .. N - 1) {
			term[m] = 1;
			vote[m] = 1;
			leader[m] = 1;
			base[m] = 1;
			last[m] = 1;
			commit[m] = 1;
			matched[m] = 1
		}
		leads[0] = true;
		committed = 1;
		committed_term[1] = 1;
		committed_in[1] = 1;
		m = 0;
		run member(0);
		run member(1);
		run member(2)
	}
}
