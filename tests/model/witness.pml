/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Does a member lead that lacks what was committed, when one of three has a log only?
 *
 * 0 and 1 have data, 2 is a witness. Logs are trimmed at any moment, of what is committed
 * and applied. Who is behind the leader's log is reset: one with data is filled by a
 * leader that has data, the witness needs none. A witness that leads appends its no-op and
 * nothing more, and resets nobody.
 *
 * Property: that of raft.pml; and a member with data that takes itself for whole, or leads,
 * has the data of all that its log does not have.
 *
 * What is behind it, besides that of raft.pml:
 *
 *   "is reset"      kmod/replica/fill.c qbd_fill_send_reset(), qbd_fill_reset();
 *                   core/core.c qbd_core_may_reset()
 *   "is whole"      kmod/replica/fill.c qbd_fill_durable()
 *   WRITE_MAX       core/core.c qbd_core_propose()
 *   trimmed         store/checkpoint.c first_to_keep()
 *
 * Left out: that the intent of a reset and the empty log are written at different moments
 * (fill.pml has that); that a leader may not have applied what is committed.
 *
 * Bounds: see the definitions.
 *
 * Searched whole:
 *
 *   base                  nothing else
 *
 * Bugs that have to be found:
 *
 *   BUG_VOTES_ONLY        the witness votes for whoever asks
 *   BUG_NEEDLESS_RESET    a witness is reset whose log has what comes after the index
 *   BUG_WITNESS_FILLS     a member with data is reset by a witness, and takes itself for whole
 *   BUG_FILLING_LEADS     a member that is being filled leads
 */
#define N		3
#define ACKS		1
#define WITNESS		2
#ifdef LARGE
#define INDEX_MAX	4
#define TERM_MAX	3
#else
#define INDEX_MAX	3
#define TERM_MAX	2
#endif
#define TERM_ACTS	TERM_MAX
/* A leader with data writes one entry more than its no-op; a witness that one only. */
#define WRITE_MAX	(me == WITNESS -> 0 : 2)
#ifdef LARGE
#define RESTARTS_MAX	1
#else
#define RESTARTS_MAX	0
#endif
/* 0 and 1 are alike until one leads. */
#define may_campaign(m)	((m) == 0 || term[m] > 0)

bool filling[N];
byte data[N];			/* of a member with data: it is that of this index, or newer */

#define has_data(m)	((m) != WITNESS)
#define may_vote(m)	true
#ifdef BUG_FILLING_LEADS
#define fit(m)		true
#else
#define fit(m)		(!filling[m])
#endif
#define counts(m)	(!filling[m])
#ifdef BUG_VOTES_ONLY
#define compared(m)	((m) == WITNESS -> 0 : (filling[m] -> commit[m] : last[m]))
#else
#define compared(m)	(filling[m] -> commit[m] : last[m])
#endif
#define listens(m)	true
#define take_ack(m, p, i, f) \
	counted[AT(m, p)] = (f -> counted[AT(m, p)] : larger(counted[AT(m, p)], i))
#define left(m)		skip
#define heard(m, l)	skip
#define voted(m, c)	skip
#include "raft.pml"

#ifdef BUG_WITNESS_FILLS
#define resets(l, m)	true
#else
#define resets(l, m)	(has_data(l) || !has_data(m))
#endif
#ifdef BUG_NEEDLESS_RESET
#define behind(m, l)	(commit[m] < commit[l])
#else
#define behind(m, l)	(last[m] < base[l] && commit[m] < commit[l])
#endif

/* Its log begins anew after what the leader knows to be committed. */
inline reset(m, l)
{
	if
	:: term[m] < term[l] -> enter_term(m, term[l])
	:: else
	fi;
	printf("member %d is reset to %d by member %d\n", m, commit[l], l);
	if
	:: has_data(m) -> printf("reached: one with data is filled\n")
	:: else -> printf("reached: the witness begins anew\n")
	fi;
	candidate[m] = false;
	votes[m] = 0;
	leader[m] = l + 1;
	filling[m] = true;
	base[m] = commit[l];
	last[m] = commit[l];
	commit[m] = commit[l];
	matched[m] = commit[l];
	for (k : 0 .. INDEX_MAX) {
		LOG(m, k) = 0
	}
	k = 0
}

/* From a leader of its term that has the data; a witness has nothing to wait for. */
#define may_fill(m, l) \
	(filling[m] && has_data(m) && has_data(l) && leads[l] && term[l] == term[m] && \
	 leader[m] == l + 1 && !filling[l])

inline filled(m, i)
{
	printf("member %d is whole\n", m);
	data[m] = (has_data(m) -> larger(data[m], i) : 0);
	assert(!has_data(m) || data[m] >= base[m]);
	filling[m] = false
}

proctype member(byte me)
{
	byte k;

	do
	RAFT
	RAFT_WITH(P1)
	RAFT_WITH(P2)
	/* Applied, and dropped from the log; what is being filled applies, too. */
	:: atomic { base[me] < commit[me] && base[me] < INDEX_MAX ->
		base[me]++;
		data[me] = (has_data(me) && data[me] + 1 == base[me] -> base[me] : data[me]);
		LOG(me, base[me]) = 0
	   }
	:: atomic { leads[P1] && term[me] <= term[P1] && behind(me, P1) && resets(P1, me) ->
		reset(me, P1)
	   }
	:: atomic { leads[P2] && term[me] <= term[P2] && behind(me, P2) && resets(P2, me) ->
		reset(me, P2)
	   }
	:: atomic { may_fill(me, P1) -> filled(me, commit[P1]) }
	:: atomic { may_fill(me, P2) -> filled(me, commit[P2]) }
	:: atomic { filling[me] && !has_data(me) -> filled(me, 0) }
#ifdef BUG_WITNESS_FILLS
	:: atomic { filling[me] && leader[me] == WITNESS + 1 -> filled(me, 0) }
#endif
	:: atomic { leads[me] && has_data(me) ->
		assert(data[me] >= base[me]);
		if
		:: term[me] > 1 && committed > 1 && vote[WITNESS] == me + 1 ->
			printf("reached: one with data leads with the vote of the witness\n")
		:: else
		fi
	   }
	:: atomic { leads[me] && !has_data(me) && last[P1] < base[me] ->
		printf("reached: the log of the witness does not reach\n")
	   }
	:: atomic { restarts < RESTARTS_MAX && !leads[me] -> restart(me) }
	od
}

init
{
	atomic {
		run member(0);
		run member(1);
		run member(2)
	}
}
