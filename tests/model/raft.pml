/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of Raft as vote.pml, join.pml, damage.pml and witness.pml need; included by them.
 *
 * Three members. What is appended or voted is durable at once. Acknowledgements are
 * messages that take any time; requests for votes are answered at any time while the
 * candidate is one, or never. Anybody may restart. There is no time here: who may
 * campaign, may do so at any moment, for that is what no clock keeps anybody from.
 *
 * Property: a committed entry never changes, and whoever leads has all that are
 * committed in terms before its own (leader completeness). Leaders of terms after
 * TERM_ACTS do nothing: whether they have all is known when they are elected.
 *
 * The including file says, of a member:
 *
 *   fit(m)         may campaign and lead       core/election.c qbd_election_fit()
 *   may_vote(m)    may vote                    core/election.c may_vote()
 *   counts(m)      its acknowledgements count  core/replication.c qbd_leader_commit()
 *   compared(m)    the last entry of its own that it compares with a candidate's,
 *                                              core/election.c log_up_to_date()
 *   listens(m)     takes records               replica/append.c process()
 *   heard(m, l)    what else it does when it hears leader l
 *   voted(m, c)    what else it does when it voted for c
 *   left(m)        what else it does when it leaves a term or restarts
 */
#define AT(a, b)	((a) * N + (b))
#define LOG(m, i)	log_term[(m) * (INDEX_MAX + 1) + (i)]
#define BIT(m)		(1 << (m))
#define larger(a, b)	((a) > (b) -> (a) : (b))
#define smaller(a, b)	((a) < (b) -> (a) : (b))
#define P1		((me + 1) % N)
#define P2		((me + 2) % N)

/* Durable. */
byte term[N];
byte vote[N];			/* member + 1; 0: nobody */
byte base[N];			/* the log begins after it; all of it is committed */
byte last[N];
byte log_term[N * (INDEX_MAX + 1)];
byte restarts;

/* In memory. */
byte leader[N];			/* member + 1; 0: not known */
bool leads[N];
bool candidate[N];
byte votes[N];
byte commit[N];
byte matched[N];		/* the same as the leader's up to here */

/* What a leader knows of the others; 0 where a member does not lead. */
byte counted[N * N];
bool says_filling[N * N];

/* Acknowledgements under way: ACKS of each member, to whom leads ack_term. */
byte ack_term[N * ACKS];	/* 0: none */
byte ack_index[N * ACKS];
bool ack_filling[N * ACKS];

/* What is committed, as nobody in the model knows it. */
byte committed;
byte committed_term[INDEX_MAX + 1];
byte committed_in[INDEX_MAX + 1];	/* the term of the leader that committed it */

#define term_at(m, i)	((i) <= base[m] -> committed_term[i] : LOG(m, i))
#define up_to_date(c, m) \
	(term_at(c, last[c]) > term_at(m, compared(m)) || \
	 (term_at(c, last[c]) == term_at(m, compared(m)) && last[c] >= compared(m)))
#define has(m, i)	((i) <= base[m] || ((i) <= last[m] && LOG(m, i) == committed_term[i]))
#define may_send(l, m) \
	(leads[l] && term[l] <= TERM_ACTS && term[m] <= term[l] && listens(m) && \
	 last[m] >= base[l] && \
	 (matched[m] < last[l] || leader[m] != l + 1 || \
	  commit[m] < smaller(commit[l], last[m])))
#define wants_vote(c, m) \
	(candidate[c] && (term[c] > term[m] || \
	 (term[c] == term[m] && !vote[m] && !leader[m])))

inline step_down(m)
{
	/* What is on its way to it is void. */
	if
	:: leads[m] ->
		for (k : 0 .. N * ACKS - 1) {
			if
			:: ack_term[k] == term[m] ->
				ack_term[k] = 0;
				ack_index[k] = 0;
				ack_filling[k] = false
			:: else
			fi
		}
	:: else
	fi;
	leads[m] = false;
	candidate[m] = false;
	votes[m] = 0;
	leader[m] = 0;
	matched[m] = commit[m];
	for (k : 0 .. N - 1) {
		counted[AT(m, k)] = 0;
		says_filling[AT(m, k)] = false
	}
	k = 0
}

inline enter_term(m, t)
{
	step_down(m);
	left(m);
	vote[m] = 0;
	term[m] = t
}

/* Leader @l sends @m the next entry that it lacks, if any, and tells it the commit. */
inline hear(m, l)
{
	if
	:: term[m] < term[l] -> enter_term(m, term[l])
	:: else
	fi;
	candidate[m] = false;
	votes[m] = 0;
	leader[m] = l + 1;
	heard(m, l);
	k = larger(base[m], base[l]) + 1;
	do
	:: k <= last[m] && k <= last[l] && LOG(m, k) == LOG(l, k) -> k++
	:: else -> break
	od;
	if
	:: k <= last[l] ->
		LOG(m, k) = LOG(l, k);
		last[m] = k;
		matched[m] = k;
		k++;
		do
		:: k <= INDEX_MAX -> LOG(m, k) = 0; k++
		:: else -> break
		od
	:: else -> matched[m] = last[l]
	fi;
	/* A message that was made before does not tell it. */
	if
	:: commit[m] = larger(commit[m], smaller(commit[l], matched[m]))
	:: true
	fi;
	printf("member %d hears leader %d of term %d: has its log up to %d\n", m, l,
	       term[l], matched[m]);
	k = 0;
	do
	:: k < ACKS && ack_term[m * ACKS + k] -> k++
	:: else -> break
	od;
	if
	:: k < ACKS ->
		ack_term[m * ACKS + k] = term[m];
		ack_index[m * ACKS + k] = matched[m];
		ack_filling[m * ACKS + k] = !counts(m)
	:: else			/* this one is lost; any may be, by never arriving */
	fi;
	k = 0
}

inline acknowledged(m, p, s)
{
	if
	:: leads[m] && ack_term[p * ACKS + s] == term[m] && ack_index[p * ACKS + s] <= last[m] ->
		printf("leader %d: member %d acknowledges %d%c\n", m, p,
		       ack_index[p * ACKS + s], (ack_filling[p * ACKS + s] -> '*' : '.'));
		says_filling[AT(m, p)] = ack_filling[p * ACKS + s];
		take_ack(m, p, ack_index[p * ACKS + s], ack_filling[p * ACKS + s])
	:: else
	fi;
	ack_term[p * ACKS + s] = 0;
	ack_index[p * ACKS + s] = 0;
	ack_filling[p * ACKS + s] = false
}

#define may_commit(m, p) \
	(leads[m] && !says_filling[AT(m, p)] && \
	 smaller(counted[AT(m, p)], last[m]) > commit[m] && \
	 LOG(m, smaller(counted[AT(m, p)], last[m])) == term[m])

inline commits(m, p)
{
	k = smaller(counted[AT(m, p)], last[m]);
	commit[m] = k;
	printf("leader %d commits up to %d with member %d\n", m, k, p);
	/* Nobody leads a later term without it. */
	assert(!(leads[p] && term[p] > term[m] &&
		 !(last[p] >= k && term_at(p, k) == LOG(m, k))));
	assert(!(leads[3 - m - p] && term[3 - m - p] > term[m] &&
		 !(last[3 - m - p] >= k && term_at(3 - m - p, k) == LOG(m, k))));
	do
	:: k > base[m] ->
		assert(!committed_term[k] || committed_term[k] == LOG(m, k));
		committed_in[k] = (committed_term[k] ->
				   smaller(committed_in[k], term[m]) : term[m]);
		committed_term[k] = LOG(m, k);
		k--
	:: else -> break
	od;
	committed = larger(committed, commit[m]);
	k = 0
}

inline vote_for(m, c)
{
	if
	:: term[c] > term[m] -> enter_term(m, term[c])
	:: else
	fi;
	if
	:: may_vote(m) && up_to_date(c, m) ->
		printf("member %d votes for member %d in term %d\n", m, c, term[c]);
		vote[m] = c + 1;
		votes[c] = votes[c] | BIT(m);
		voted(m, c)
	:: else -> printf("member %d does not vote for member %d in term %d\n", m, c, term[c])
	fi
}

inline campaign(m)
{
	enter_term(m, term[m] + 1);
	printf("member %d campaigns in term %d with a log up to %d\n", m, term[m], last[m]);
	vote[m] = m + 1;
	candidate[m] = true;
	votes[m] = BIT(m)
}

inline lead(m)
{
	printf("member %d leads term %d\n", m, term[m]);
	k = 1;
	do
	:: k <= committed ->
		assert(has(m, k) || committed_in[k] >= term[m]);
		k++
	:: else -> break
	od;
	k = 0;
	candidate[m] = false;
	votes[m] = 0;
	leads[m] = true;
	leader[m] = m + 1;
	append(m)
}

inline append(m)
{
	last[m]++;
	LOG(m, last[m]) = term[m];
	matched[m] = last[m];
	printf("leader %d logs entry %d\n", m, last[m])
}

inline restart(m)
{
	restarts++;
	commit[m] = base[m];
	step_down(m);
	left(m)
}

/* What all members do; P is a peer. */
#define RAFT_WITH(p) \
	:: atomic { may_send(p, me) -> hear(me, p) } \
	:: atomic { leads[me] && ack_term[(p) * ACKS] -> acknowledged(me, p, 0) } \
	:: atomic { leads[me] && ack_term[(p) * ACKS + ACKS - 1] -> \
		acknowledged(me, p, ACKS - 1) } \
	:: atomic { may_commit(me, p) -> commits(me, p) } \
	:: atomic { wants_vote(p, me) -> vote_for(me, p) }
#define RAFT \
	:: atomic { !leads[me] && fit(me) && term[me] < TERM_MAX && last[me] < INDEX_MAX && \
		   may_campaign(me) -> campaign(me) } \
	:: atomic { candidate[me] && votes[me] != 1 && votes[me] != 2 && votes[me] != 4 && \
		   last[me] < INDEX_MAX -> lead(me) } \
	:: atomic { leads[me] && term[me] <= TERM_ACTS && last[me] < WRITE_MAX -> append(me) }
