/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is anything lost through a disk that was made anew under an old id?
 *
 * Three members with nothing on their disks are connected; two are part of the device
 * already, the third still has to find out. Then one disk is replaced by an empty one,
 * at any moment that the assumption allows.
 *
 * Property: that of raft.pml.
 *
 * What is behind it, besides that of raft.pml, in kmod/replica/join.c unless said
 * otherwise:
 *
 *   said[], told[]     net/net.c qbd_net_peer_blank(), qbd_net_peer_term(): what a peer
 *                      said in its last handshake
 *   "is part of it"    check_new(), blank(), others_blank()
 *   heard()            qbd_join_heard(): the leader's last entry when it was first
 *                      heard in its term
 *   "is whole"         whole()
 *   "takes term"       check_new(): who is new takes the highest term that any other
 *                      voter told it, once all did
 *   may_vote, fit, counts   replica/events.c qbd_replica_update_fitness()
 *
 * Left out: filling by extents (logs reach back to the beginning). The mark on the
 * disk is written at once. What the former disk had acknowledged may still arrive.
 *
 * Nothing is assumed of the moment at which the disk is replaced: a former leader may not
 * know yet that there is another one, and an election may be under way. Whether the former
 * disk voted in the term in which the new one becomes part of the device does not matter:
 * the new one has an entry of that term then, which no other candidate of it has.
 *
 * Bounds: see the definitions.
 *
 * Searched whole:
 *
 *   base                  the device is formed, one disk is replaced
 *
 * Bugs that have to be found:
 *
 *   BUG_VOTES             a new disk votes and leads at once
 *   BUG_FORMS_EARLY       one other member that has nothing is enough to form
 *   BUG_OLD_HANDSHAKE     what a peer said before the disk was replaced is believed
 *   BUG_WHOLE_BY_COMMIT   whole is who has what the leader had committed, not logged
 *   BUG_ONE_TELLS         it is enough that the leader told its term
 *   BUG_TERM_NOT_TAKEN    all have to tell their terms, but the highest is not taken
 *   BUG_COUNTS            a new disk's acknowledgements count at once
 */
#define N		3
#define ACKS		1
#define INDEX_MAX	2
#if defined(LARGE) || defined(BUG_WHOLE_BY_COMMIT)
#define WRITE_MAX	2
#else
#define WRITE_MAX	1
#endif
#define TERM_MAX	2
#define TERM_ACTS	2
/* All are alike until one leads: 0 is the first. */
#define may_campaign(m)	((m) == 0 || term[m] > 0 || committed)
#define REPLACED_MAX	1
#ifdef LARGE			/* the new one, before it is whole */
#define RESTARTS_MAX	1
#else
#define RESTARTS_MAX	0
#endif

bool is_new[N];
byte whole_term[N], whole_index[N];
/* What @b said to @a when they connected, and the term it told. */
mtype = { NOT_CONNECTED, BLANK, NOT_BLANK };
mtype said[N * N] = BLANK;
byte told[N * N];
byte replaced;

#ifdef BUG_VOTES
#define may_vote(m)	true
#define fit(m)		true
#else
#define may_vote(m)	(!is_new[m])
#define fit(m)		(!is_new[m])
#endif
#ifdef BUG_COUNTS
#define counts(m)	true
#else
#define counts(m)	(!is_new[m])
#endif
#define compared(m)	last[m]
#define listens(m)	true
#define take_ack(m, p, i, f) \
	counted[AT(m, p)] = (f -> counted[AT(m, p)] : larger(counted[AT(m, p)], i))
#ifdef BUG_WHOLE_BY_COMMIT
#define needed(l)	commit[l]
#else
#define needed(l)	last[l]
#endif
#define left(m) \
	whole_term[m] = 0; \
	whole_index[m] = 0
/* It matters to who is new only. */
#define heard(m, l) \
	whole_index[m] = (!is_new[m] -> 0 : \
		(whole_term[m] == term[l] -> whole_index[m] : needed(l))); \
	whole_term[m] = (!is_new[m] -> 0 : term[l])
#define voted(m, c)	skip
#include "raft.pml"

#define blank(m)	(!term[m] && !last[m])
#ifdef BUG_FORMS_EARLY
#define others_blank(m) \
	(said[AT(m, (m + 1) % N)] == BLANK || said[AT(m, (m + 2) % N)] == BLANK)
#else
#define others_blank(m) \
	(said[AT(m, (m + 1) % N)] == BLANK && said[AT(m, (m + 2) % N)] == BLANK)
#endif
#define whole(m) \
	(leader[m] && !leads[m] && whole_term[m] == term[m] && \
	 matched[m] >= whole_index[m] && last[m] >= whole_index[m])
#ifdef BUG_ONE_TELLS
#define all_told(m) \
	(leader[m] && said[AT(m, leader[m] - 1)] != NOT_CONNECTED)
#else
#define all_told(m) \
	(said[AT(m, (m + 1) % N)] != NOT_CONNECTED && said[AT(m, (m + 2) % N)] != NOT_CONNECTED)
#endif
#define highest_told(m)	larger(told[AT(m, (m + 1) % N)], told[AT(m, (m + 2) % N)])
#ifdef BUG_TERM_NOT_TAKEN
#define term_to_take(m)	0
#else
#define term_to_take(m)	highest_told(m)
#endif

inline hang_up(a, b)
{
	said[AT(a, b)] = NOT_CONNECTED;
	said[AT(b, a)] = NOT_CONNECTED;
	told[AT(a, b)] = 0;
	told[AT(b, a)] = 0
}

proctype member(byte me)
{
	byte k, highest;

	do
	RAFT
	RAFT_WITH(P1)
	RAFT_WITH(P2)
	:: atomic { said[AT(me, P1)] == NOT_CONNECTED ->
		printf("member %d and member %d connect\n", me, P1);
		said[AT(me, P1)] = (blank(P1) -> BLANK : NOT_BLANK);
		said[AT(P1, me)] = (blank(me) -> BLANK : NOT_BLANK);
		/* It matters to who is new only. */
		told[AT(me, P1)] = (is_new[me] -> term[P1] : 0);
		told[AT(P1, me)] = (is_new[P1] -> term[me] : 0)
	   }
	:: atomic { is_new[me] && blank(me) && others_blank(me) ->
		printf("member %d is part of the device: nobody has anything\n", me);
		if
		:: committed -> printf("reached: part of it after the others went on\n")
		:: else
		fi;
		is_new[me] = false
	   }
	:: atomic { is_new[me] && all_told(me) && term_to_take(me) > term[me] ->
		highest = highest_told(me);
		printf("member %d takes term %d\n", me, highest);
		enter_term(me, highest);
		highest = 0
	   }
	:: atomic { is_new[me] && all_told(me) && term_to_take(me) <= term[me] && whole(me) ->
		printf("member %d is part of the device: it has all up to %d\n", me,
		       whole_index[me]);
		if
		:: replaced -> printf("reached: the replaced disk is whole\n")
		:: else
		fi;
		is_new[me] = false;
		told[AT(me, P1)] = 0;
		told[AT(me, P2)] = 0;
		left(me)
	   }
	:: atomic { restarts < RESTARTS_MAX && replaced && is_new[me] ->
		printf("member %d starts anew\n", me);
		restart(me);
		hang_up(me, P1);
		hang_up(me, P2)
	   }
	:: atomic { replaced < REPLACED_MAX && !is_new[me] ->
		printf("the disk of member %d is replaced by an empty one\n", me);
		replaced++;
		step_down(me);
		left(me);
		term[me] = 0;
		vote[me] = 0;
		base[me] = 0;
		last[me] = 0;
		commit[me] = 0;
		matched[me] = 0;
		for (k : 0 .. INDEX_MAX) {
			LOG(me, k) = 0
		}
		k = 0;
		is_new[me] = true;
#ifndef BUG_OLD_HANDSHAKE
		hang_up(me, P1);
		hang_up(me, P2)
#endif
	   }
	od
}

/* All have connected, with nothing. 0 and 1 found that out; 2 may do so late. */
init
{
	atomic {
		is_new[2] = true;
		run member(0);
		run member(1);
		run member(2)
	}
}
