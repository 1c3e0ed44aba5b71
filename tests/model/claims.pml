/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Does a write of a holder land after another host was given the claim?
 *
 * Hosts 0 and 1, which are members as well, want the claim. A
 * claim is an entry of the log, its index is its epoch. The lease of a holder is no
 * promise to it, so here it has none: a leader may give the claim to who asks at any
 * moment. Writes carry the epoch under which they were made, are sent to the leader of a
 * term, and take any time to get there; a copy may go to a later leader as well.
 *
 * Property: that of raft.pml; and
 *   - each committed write is of the claim in force at its place in the log: so once a claim
 *     is committed nothing of an earlier holder comes after it;
 *   - a host is told that it has the claim when that can not be lost any more;
 *   - a host is told that it was superseded when another claim is committed: it stops its
 *     file system, and must not have done so for nothing;
 *   - in no leader's log there are two claims that may still be lost (the stack of
 *     claim_log.c relies on that).
 *
 * What is behind it, besides that of raft.pml, in kmod/replica:
 *
 *   newest()          claim_log.c qbd_claims_newest(), qbd_claims_push()
 *   "takes a write"   claim_grant.c qbd_claim_filter(), claim_rule.h qbd_claim_allows()
 *   "grants"          claim_grant.c qbd_claim_wanted(), claim_rule.c
 *   "is told"         claim_hold.c look_at_log(), qbd_hold_replied(); io.c
 *                     qbd_io_await_claim()
 *   "is fenced"       claim_hold.c qbd_hold_fenced(), look_at_log()
 *   w_term            forward.c: a request names the leadership that it is meant for
 *
 * Left out: the shared mode; giving a claim back, which is a claim of nobody; runs of a
 * host (a new run asks for a new claim: it is like another host); that a write is logged
 * once (kmod/replica/session.c, tested in the simulator); time.
 *
 * Bounds: see the definitions.
 *
 * Searched whole:
 *
 *   base                  one take-over; nobody's host leads, then the host that took over
 *   HOLDER                the same; the holder leads, then nobody's host
 *   NOBODY                nobody has it first, both take it, one writes
 *
 * Bugs that have to be found:
 *
 *   BUG_NOT_CHECKED       the leader does not look at the epoch of a write
 *   BUG_COMMITTED_ONLY    it compares with the newest committed claim, not with its log's
 *   BUG_OWN_TERM_ONLY     a new leader knows no claim of earlier terms
 *   BUG_TOLD_EARLY        a host is told of its claim before that is committed
 *   BUG_FENCED_EARLY      a host is told of another's claim before that is committed
 *   BUG_ANY_TERM          a host is told by a leader of a term that it has not heard of
 *   BUG_TWO_AT_ONCE       a claim is given while the one before may still be lost
 */
#define N		3
#define ACKS		1
#define HOSTS		2
#define TERM_MAX	2
#define TERM_ACTS	TERM_MAX
#ifdef BUG_ANY_TERM
#define HOLDER
#endif
#if defined(BUG_TWO_AT_ONCE) || defined(BUG_ANY_TERM)
#define NOBODY
#endif
#ifdef NOBODY
#define GRANTS_MAX	2
#define AT_FIRST	0
#else
#define GRANTS_MAX	1
#define AT_FIRST	1		/* host 0 has it, and uses it */
#endif
#ifdef LARGE
#define COPIES		2
#else
#define COPIES		1
#endif
#define INDEX_MAX	4
#define RESTARTS_MAX	0
/* What is written is written by claims and hosts. */
#define WRITE_MAX	0
/* Who leads first and then: nobody's host and who takes over, or the holder and nobody's. */
#ifdef HOLDER
#define FIRST		0
#define SECOND		2
#else
#define FIRST		2
#define SECOND		1
#endif
#define may_campaign(m)	((m) == (term[m] == 0 -> FIRST : SECOND))
/* Of the first holder two copies may be under way, of the other host one. */
#if defined(NOBODY) && !defined(BUG_ANY_TERM)
#define copies_max(h)	((h) == 0 -> COPIES - 1 : 1)
#else
#define copies_max(h)	((h) == 0 -> COPIES : 1)
#endif

#define fit(m)		true
#define may_vote(m)	true
#define counts(m)	true
#define compared(m)	last[m]
#define listens(m)	true
#define take_ack(m, p, i, f)	counted[AT(m, p)] = larger(counted[AT(m, p)], i)
#define left(m)		skip
#define heard(m, l)	skip
#define voted(m, c)	skip
#include "raft.pml"

/* What the leader of a term put at an index; at most one of these. */
#define CONTENT(t, i)	((t) * (INDEX_MAX + 1) + (i))
byte claim_of[(TERM_MAX + 1) * (INDEX_MAX + 1)];	/* host + 1 */
byte write_of[(TERM_MAX + 1) * (INDEX_MAX + 1)];	/* epoch + 1 */
byte grants;

mtype = { NONE, HELD, FENCED };
mtype hold[HOSTS];
byte epoch[HOSTS];
byte released[HOSTS];		/* claims up to it are over for that host */

/* Copies of writes under way. */
#define COPY(h, s)	((h) * COPIES + (s))
byte w_epoch[HOSTS * COPIES];	/* epoch + 1; 0: none */
byte w_to[HOSTS * COPIES];
byte w_term[HOSTS * COPIES];
byte written[HOSTS];

/* Claim of an entry: host + 1. */
#define claim_in(m, i)	claim_of[CONTENT(LOG(m, i), i)]

/* The newest claim of a log up to @top, into @found; 0 is that of the beginning. */
inline newest(m, top, found)
{
	found = top;
	do
	:: found > 0 && !claim_in(m, found) -> found--
	:: else -> break
	od
}

#ifdef BUG_OWN_TERM_ONLY
#define known(m, i)	(LOG(m, i) == term[m])
#else
#define known(m, i)	true
#endif

/* The same, as the leader knows it. */
inline in_force(m, found)
{
#ifdef BUG_COMMITTED_ONLY
	found = commit[m];
#else
	found = last[m];
#endif
	do
	:: found > 0 && !(claim_in(m, found) && known(m, found)) -> found--
	:: else -> break
	od
}

/* A claim after @e is committed. */
inline superseded(e, yes)
{
	yes = e + 1;
	do
	:: yes <= committed && !claim_of[CONTENT(committed_term[yes], yes)] -> yes++
	:: else -> break
	od;
	yes = (yes <= committed)
}

/* Each committed write is of the claim in force at its place. */
inline history()
{
	k = 1;
	c = 0;
	do
	:: k <= committed ->
		if
		:: claim_of[CONTENT(committed_term[k], k)] -> c = k
		:: else
		fi;
		assert(!write_of[CONTENT(committed_term[k], k)] ||
		       write_of[CONTENT(committed_term[k], k)] == c + 1);
		if
		:: write_of[CONTENT(committed_term[k], k)] && c ->
			printf("reached: a write of the one who took over\n")
		:: write_of[CONTENT(committed_term[k], k)] && !c ->
			printf("reached: a write of the first holder\n")
		:: else
		fi;
		k++
	:: else -> break
	od;
	k = 0;
	c = 0
}

inline fence(h)
{
	superseded(epoch[h], c);
	assert(c);
	printf("host %d is fenced\n", h);
	hold[h] = FENCED;
	released[h] = epoch[h];
	c = 0
}

/* Member @m takes copy @s, if it leads the term that is meant. */
inline take_write(m, s)
{
	if
	:: leads[m] && term[m] == w_term[s] ->
		in_force(m, c);
		if
#ifndef BUG_FENCED_EARLY
		:: commit[m] < c -> c = N * N	/* it waits */
#endif
		:: else ->
			if
#ifdef BUG_NOT_CHECKED
			:: true ->
#else
			:: c + 1 == w_epoch[s] ->
#endif
				if
				:: last[m] < INDEX_MAX ->
					append(m);
					write_of[CONTENT(term[m], last[m])] = w_epoch[s];
					printf("leader %d takes a write of epoch %d\n", m,
					       w_epoch[s] - 1)
				:: else
				fi
			:: else ->
				printf("leader %d refuses a write of epoch %d for claim %d\n",
				       m, w_epoch[s] - 1, c);
				if
				:: c + 1 > w_epoch[s] && LOG(m, c) < term[m] ->
					printf("reached: refused by a later leader\n")
				:: else
				fi;
				if
				:: hold[s / COPIES] == HELD &&
				   epoch[s / COPIES] + 1 == w_epoch[s] ->
					fence(s / COPIES)
				:: else
				fi
			fi;
			c = 0
		fi
	:: else -> printf("member %d does not lead term %d: refused\n", m, w_term[s])
	fi;
	if
	:: c == N * N -> c = 0
	:: else ->
		w_epoch[s] = 0;
		w_to[s] = 0;
		w_term[s] = 0
	fi
}

/* It may be looked at: a copy that waits is looked at again when something has changed. */
#define due(m, s)	(w_epoch[s] && w_to[s] == (m))

inline send_write(h, s)
{
	w_epoch[s] = epoch[h] + 1;
	w_to[s] = leader[h] - 1;
	w_term[s] = term[h];
	printf("host %d sends a write of epoch %d to leader %d of term %d\n", h, epoch[h],
	       w_to[s], w_term[s]);
	written[h]++		/* the last: it is part of the name of the copy */
}

inline grant(m, h)
{
	in_force(m, c);
	if
#ifndef BUG_TWO_AT_ONCE
	:: commit[m] < c -> printf("leader %d: later\n", m)
#endif
	:: else ->
		if
		:: (c -> claim_in(m, c) : AT_FIRST) != h + 1 ->
			k = committed + 1;
			do
			:: k <= last[m] -> assert(!claim_in(m, k)); k++
			:: else -> break
			od;
			append(m);
			claim_of[CONTENT(term[m], last[m])] = h + 1;
			grants++;
			printf("leader %d grants host %d claim %d\n", m, h, last[m]);
			if
			:: hold[1 - h] == HELD && w_epoch[COPY(1 - h, 0)] ->
				printf("reached: taken over while a write is under way\n")
			:: else
			fi
		:: else
		fi
	fi;
	k = 0;
	c = 0
}

/* Host @h is told what member @m knows: itself, or the leader that gave it. */
#ifdef BUG_TOLD_EARLY
#define certain(m)	last[m]
#else
#define certain(m)	commit[m]
#endif
/*
 * Who is answered has asked the leader of this term, so it is in that one, or in a later one.
 * (If it was not, it might be the leader of an earlier one, and refuse its own writes.)
 */
#ifdef BUG_ANY_TERM
#define asked(h, m)	true
#else
#define asked(h, m)	(term[h] >= term[m])
#endif
inline tell(h, m)
{
	newest(m, certain(m), c);
	if
	:: c > epoch[h] && claim_in(m, c) == h + 1 && c > released[h] ->
		printf("host %d is told of its claim %d\n", h, c);
		assert(c <= committed && committed_term[c] == LOG(m, c));
		if
		:: term[m] > LOG(m, c) -> printf("reached: told by a later leader\n")
		:: else
		fi;
		hold[h] = HELD;
		epoch[h] = c;
		c = 0
	:: c > epoch[h] && claim_in(m, c) != h + 1 && hold[h] == HELD ->
		fence(h)
	:: else -> c = 0
	fi
}

proctype member(byte me)
{
	byte k;
	byte c;

	do
	RAFT
	RAFT_WITH(P1)
	RAFT_WITH(P2)
	:: atomic { me < HOSTS && hold[me] == HELD && leader[me] && written[me] < copies_max(me) &&
		    !w_epoch[COPY(me, written[me])] -> send_write(me, COPY(me, written[me]))
	   }
	:: atomic { due(me, COPY(0, 0)) -> take_write(me, COPY(0, 0)) }
	:: atomic { due(me, COPY(0, COPIES - 1)) -> take_write(me, COPY(0, COPIES - 1)) }
	:: atomic { due(me, COPY(1, 0)) -> take_write(me, COPY(1, 0)) }
	:: atomic { leads[me] && grants < GRANTS_MAX && last[me] < INDEX_MAX &&
		    hold[0] != HELD -> grant(me, 0)
	   }
	:: atomic { leads[me] && grants < GRANTS_MAX && last[me] < INDEX_MAX &&
		    hold[1] != HELD -> grant(me, 1)
	   }
	:: atomic { me < HOSTS && certain(me) > epoch[me] -> tell(me, me) }
	:: atomic { leads[me] && certain(me) > epoch[0] && asked(0, me) -> tell(0, me) }
	:: atomic { leads[me] && certain(me) > epoch[1] && asked(1, me) -> tell(1, me) }
	:: atomic { me == 2 && committed -> history() }
	od
}

init
{
	atomic {
		hold[0] = (AT_FIRST -> HELD : NONE);
		hold[1] = NONE;
		run member(0);
		run member(1);
		run member(2)
	}
}
