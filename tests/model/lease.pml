/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Does a read under the lease ever return old data?
 *
 * Three members with clocks of their own; 0 leads term 1 and its no-op is committed.
 * Leaders send rounds of heartbeats, copy their log, hand leadership over; followers
 * answer, campaign, vote and restart; messages take any time or are lost. One read at
 * a time is made at a member that takes itself for the leader.
 *
 * Property: a read returns nothing older than what was acknowledged before it was
 * made. (An entry stands for the write it carries; a newer one has a higher index.)
 *
 * What is behind it, in kmod/core unless said otherwise:
 *
 *   lease_valid()      read.c qbd_core_lease_valid(), lease_of()
 *   open_round()       read.c qbd_round_open(), qbd_reads_kick()
 *   "is answered"      read.c qbd_heartbeat_reply()
 *   follow()           election.c qbd_follow(), follower.c qbd_heartbeat()
 *   "votes"            election.c qbd_vote_request(), leader_is_alive()
 *   "restarts"         election.c qbd_election_start()
 *   "is told to ..."   transfer.c send_timeout_now(), qbd_timeout_now()
 *   the read           kmod/replica/read.c qbd_read_begin(), read_done()
 *   read_time          kmod/replica/replica.c qbd_replica_work(): one time for all
 *                      that a pass does, however long the host stops in it
 *
 * Left out: PreVote (it gives nobody a right that a vote would not); disks (what is
 * voted or appended is durable at once); more than one configuration; different
 * timeouts; the leader's own refusal to vote (it may give up whenever it is asked, and
 * does not read any more then). An acknowledgement comes at once, which is the worst
 * case: the more is acknowledged, the more has to be read.
 *
 * A round reaches one of the two peers (see open_round()), and only 1 campaigns: the
 * members are alike.
 *
 * Clocks: T is 3 ticks, the lease 2; member 0's clock may stand still at one of three
 * ticks, so that 2 of its ticks take at most 3. The code leaves 10 % of T; here it has
 * to be a third, for whole numbers. The other clocks are right.
 *
 * Bounds: see the definitions.
 *
 * Searched whole:
 *
 *   base                  reads at the old leader; clocks, rounds, an election
 *   RESTART               a follower restarts
 *   TRANSFER              leadership is handed over on request
 *   SUCCESSOR             reads at the new leader
 *
 * Bugs that have to be found:
 *
 *   BUG_NO_RECHECK        the lease is not looked at again when the data is there
 *   BUG_LEASE_BY_RECEIPT  the lease begins when the answer comes, not with the round
 *   BUG_NO_MARGIN         the lease is as long as the followers' patience
 *   BUG_VOTES_ANYWAY      a member votes although it heard a leader just now
 *   BUG_FORGETS           a member that restarts forgets what it promised
 *   BUG_NO_BARRIER        the lease stays valid when TIMEOUT_NOW is sent
 *   BUG_LATE_TIMEOUT_NOW  TIMEOUT_NOW is obeyed after a later round was answered
 *   BUG_BEFORE_NOOP       reads begin before an entry of the own term is committed
 *   BUG_CLOCK_STOPS       the assumption on clocks: the leader's may stand still
 */
#ifdef BUG_FORGETS
#define RESTART
#endif
#if defined(BUG_NO_BARRIER) || defined(BUG_LATE_TIMEOUT_NOW)
#define TRANSFER
#endif
#ifdef BUG_BEFORE_NOOP
#define SUCCESSOR
#endif

#ifdef LARGE
#define MORE		1
#else
#define MORE		0
#endif
#define N		3
#define T		3
#if defined(TRANSFER)
#define TIME_MAX	(1 + MORE)	/* nobody has to wait for the end of a lease */
#elif defined(RESTART) || defined(SUCCESSOR)
#define TIME_MAX	(3 + MORE)
#else
#define TIME_MAX	(4 + MORE)
#endif
#define TERM_MAX	2
#define ROUND_MAX	2	/* of one leadership */
#define INDEX_MAX	3
#ifdef RESTART
#define RESTARTS_MAX	1
#else
#define RESTARTS_MAX	0
#endif
/* 1 and 2 are alike, and the second term is the last: it is 1 that wins it, if any. */
#define may_campaign(m)	((m) == 1 && term[m] < TERM_MAX)
#ifdef SUCCESSOR
#define round_max(m)	1
#define write_max	2
#define reads_at(m)	((m) == 1)
#else
#define round_max(m)	(term[m] == TERM_MAX -> 0 : ROUND_MAX)
#define write_max	1
#define reads_at(m)	((m) == 0)
#endif
#ifdef BUG_NO_MARGIN
#define LEASE		T
#else
#define LEASE		(T - 1)
#endif

#define AT(a, b)	((a) * N + (b))
#define ROUND(m, r)	((m) * (ROUND_MAX + 1) + (r))
#define ENTRY(m, i)	((m) * (INDEX_MAX + 1) + (i))
#define BIT(m)		(1 << (m))
#define NOBODY		N

/* Time, and the members' clocks. */
byte now;
byte behind;			/* what the clock of member 0 has lost */
byte ran = 2;			/* ticks since it last stood still, at most 2 */
#define CLOCK(m)	(now - ((m) == 0 -> behind : 0))

/* Members. */
byte term[N];
byte vote[N];			/* member + 1, 0: nobody */
byte leader[N];			/* member + 1, 0: not known */
bool leads[N];
bool candidate[N];
bool forced[N];
byte votes[N];			/* bits */
byte guard[N];			/* guard_until: no votes before, by its own clock */
byte heard[N];			/* heard_round */
byte restarts;

/* Logs: terms of entries. */
byte last[N];
byte log_term[N * (INDEX_MAX + 1)];
byte commit[N];
byte acknowledged;

/* Leadership: all of it is 0 where a member does not lead. */
byte round[N];
byte sent_at[N * (ROUND_MAX + 1)];
byte own_first[N];
byte support[N * N];		/* support_until, of leader and follower */
byte answered[N * N];		/* acked_round */
bool barrier[N * N];
byte barrier_round[N * N];

/* Messages under way: one of a kind between two, a newer one takes its place. */
byte heartbeat[N * N];		/* round, from leader to follower */
byte answer[N * N];		/* round, from follower to leader: AT(leader, follower) */
byte timeout_now_term[N];	/* for each receiver; 0: none */
byte timeout_now_round[N];
byte timeout_now_from[N];

/* The read. */
mtype = { NONE, PASS, HELD, READING, CONFIRMING };
mtype read = NONE;
byte read_at = NOBODY;		/* the member it is made at */
byte read_time;			/* of the pass that takes it */
byte read_needs;		/* what was acknowledged when it was made */
byte read_value;
byte read_round;		/* released by an answer to this one */
bool read_has_data;

#define P1		((me + 1) % N)
#define P2		((me + 2) % N)
#define barred(m)	(barrier[AT(m, 0)] || barrier[AT(m, 1)] || barrier[AT(m, 2)])
#define supported(m, at) \
	((at) < support[AT(m, 0)] || (at) < support[AT(m, 1)] || (at) < support[AT(m, 2)])
#ifdef BUG_BEFORE_NOOP
#define may_read(m)	leads[m]
#else
#define may_read(m)	(leads[m] && commit[m] >= own_first[m])
#endif
#ifdef BUG_NO_BARRIER
#define lease_valid(m, at)	(may_read(m) && supported(m, at))
#else
#define lease_valid(m, at)	(may_read(m) && !barred(m) && supported(m, at))
#endif
#define up_to_date(c, m) \
	(log_term[ENTRY(c, last[c])] > log_term[ENTRY(m, last[m])] || \
	 (log_term[ENTRY(c, last[c])] == log_term[ENTRY(m, last[m])] && \
	  last[c] >= last[m]))
#ifdef BUG_VOTES_ANYWAY
#define patient(m)	false
#else
#define patient(m)	(CLOCK(m) < guard[m])
#endif
#ifdef TRANSFER
#define has_transfer	true
#define may_hand_over(m, p) \
	(leads[m] && leader[p] == m + 1 && term[p] == term[m] && !timeout_now_term[p])
#else
#define has_transfer	false
#define may_hand_over(m, p)	false
#endif
#ifdef BUG_LEASE_BY_RECEIPT
#define begins(m, r)	CLOCK(m)
#else
#define begins(m, r)	sent_at[ROUND(m, r)]
#endif
#ifdef BUG_LATE_TIMEOUT_NOW
#define in_time(m)	true
#else
#define in_time(m)	(heard[m] <= timeout_now_round[m])
#endif

/* What goes with a leadership; its own TIMEOUT_NOW may still be under way. */
inline step_down(m)
{
	if
	:: leads[m] ->
		leads[m] = false;
		round[m] = 0;
		own_first[m] = 0;
		for (k : 0 .. ROUND_MAX) {
			sent_at[ROUND(m, k)] = 0
		}
		for (k : 0 .. N - 1) {
			support[AT(m, k)] = 0;
			answered[AT(m, k)] = 0;
			barrier[AT(m, k)] = false;
			barrier_round[AT(m, k)] = 0;
			heartbeat[AT(m, k)] = 0;
			answer[AT(m, k)] = 0
		}
		/* The read goes to another leader: it is made again there. */
		if
		:: read_at == m -> read_done()
		:: else
		fi
	:: else
	fi
}

inline read_done()
{
	read = NONE;
	read_at = NOBODY;
	read_time = 0;
	read_needs = 0;
	read_value = 0;
	read_round = 0;
	read_has_data = false
}

inline enter_term(m, t)
{
	step_down(m);
	candidate[m] = false;
	forced[m] = false;
	votes[m] = 0;
	leader[m] = 0;
	heard[m] = 0;
	vote[m] = 0;
	term[m] = t
}

/* A message that only a leader sends has come from @l. */
inline follow(m, l)
{
	if
	:: term[m] < term[l] -> enter_term(m, term[l])
	:: else
	fi;
	candidate[m] = false;
	forced[m] = false;
	votes[m] = 0;
	leader[m] = l + 1;
	guard[m] = CLOCK(m) + T
}

inline campaign(m, is_forced)
{
	enter_term(m, term[m] + 1);
	candidate[m] = true;
	forced[m] = is_forced;
	vote[m] = m + 1;
	votes[m] = BIT(m)
}

inline choose()
{
	if
	:: spare = P1
	:: spare = P2
	fi
}

/*
 * A round reaches one peer, for @spared it is lost: a lease that holds with the answers
 * of both holds with one of them, and who hears nothing is free to campaign and vote.
 */
inline open_round(m, spared)
{
	for (k : 0 .. N - 1) {
		sent_at[ROUND(m, heartbeat[AT(m, k)])] = 0
	}
	round[m]++;
	sent_at[ROUND(m, round[m])] = CLOCK(m);
	for (k : 0 .. N - 1) {
		if
		:: k == m || k == spared -> heartbeat[AT(m, k)] = 0
		:: else -> heartbeat[AT(m, k)] = round[m]
		fi
	}
}

inline answer_read()
{
	printf("member %d answers the read with write %d; %d was acknowledged before\n",
	       read_at, read_value, read_needs);
	assert(read_value >= read_needs);
	read_done()
}

/* What a leader does with a peer, and a member with a peer that leads or wants to. */
inline with_peer(m, p)
{
	if
	/* As leader. */
	:: leads[m] && answer[AT(m, p)] ->
		printf("member %d is answered round %d by member %d\n", m,
		       answer[AT(m, p)], p);
		if
		:: answer[AT(m, p)] > barrier_round[AT(m, p)] ->
			if
			:: barrier[AT(m, p)] -> printf("reached: the barrier goes\n")
			:: else
			fi;
			barrier[AT(m, p)] = false;
			barrier_round[AT(m, p)] = 0
		:: else
		fi;
		if
		:: answer[AT(m, p)] > answered[AT(m, p)] ->
			answered[AT(m, p)] = answer[AT(m, p)];
			support[AT(m, p)] = begins(m, answer[AT(m, p)]) + LEASE
		:: else
		fi;
		sent_at[ROUND(m, answer[AT(m, p)])] = 0;
		answer[AT(m, p)] = 0
	:: leads[m] && term[p] <= term[m] &&
	   (last[p] != last[m] ||
	    log_term[ENTRY(p, last[p])] != log_term[ENTRY(m, last[m])]) ->
		printf("member %d sends its log up to %d to member %d\n", m, last[m], p);
		follow(p, m);
		last[p] = last[m];
		for (k : 0 .. INDEX_MAX) {
			log_term[ENTRY(p, k)] = log_term[ENTRY(m, k)]
		}
		commit[p] = commit[m];
		if
		:: log_term[ENTRY(m, last[m])] == term[m] ->
			commit[m] = last[m];
			acknowledged = (commit[m] > acknowledged -> commit[m] : acknowledged)
		:: else
		fi
	:: may_hand_over(m, p) ->
		printf("member %d tells member %d to take over\n", m, p);
		timeout_now_term[p] = term[m];
		timeout_now_round[p] = round[m];
		timeout_now_from[p] = m;
		barrier[AT(m, p)] = true;
		barrier_round[AT(m, p)] = round[m]
	/* As follower. */
	:: leads[p] && heartbeat[AT(p, m)] && term[m] <= term[p] ->
		printf("member %d hears round %d of member %d\n", m,
		       heartbeat[AT(p, m)], p);
		follow(m, p);
		/* Rounds only grow, and heartbeats come in order. */
		heard[m] = (has_transfer -> heartbeat[AT(p, m)] : 0);
		answer[AT(p, m)] = heartbeat[AT(p, m)];
		heartbeat[AT(p, m)] = 0
	:: timeout_now_term[m] && timeout_now_from[m] == p ->
		if
		:: may_campaign(m) && !leads[m] && !candidate[m] &&
		   timeout_now_term[m] == term[m] && leader[m] == p + 1 && in_time(m) ->
			printf("member %d is told to take over by member %d\n", m, p);
			campaign(m, true)
		:: else ->
			printf("member %d ignores a late word to take over\n", m)
		fi;
		timeout_now_term[m] = 0;
		timeout_now_round[m] = 0;
		timeout_now_from[m] = 0
	:: candidate[p] && (forced[p] || !patient(m)) &&
	   (term[p] > term[m] || (term[p] == term[m] && !vote[m] && !leader[m])) ->
		if
		:: term[p] > term[m] -> enter_term(m, term[p])
		:: else
		fi;
		if
		:: up_to_date(p, m) ->
			printf("member %d votes for member %d in term %d\n", m, p, term[p]);
			vote[m] = p + 1;
			votes[p] = votes[p] | BIT(m)
		:: else ->
			printf("member %d does not vote for member %d\n", m, p)
		fi
	fi
}

#define peer_waits(m, p) \
	((leads[m] && answer[AT(m, p)]) || \
	 (leads[m] && term[p] <= term[m] && \
	  (last[p] != last[m] || \
	   log_term[ENTRY(p, last[p])] != log_term[ENTRY(m, last[m])])) || \
	 may_hand_over(m, p) || \
	 (leads[p] && heartbeat[AT(p, m)] && term[m] <= term[p]) || \
	 (timeout_now_term[m] && timeout_now_from[m] == p) || \
	 (candidate[p] && (forced[p] || !patient(m)) && \
	  (term[p] > term[m] || (term[p] == term[m] && !vote[m] && !leader[m]))))

proctype member(byte me)
{
	byte k, spare;

	do
	:: atomic { peer_waits(me, P1) -> with_peer(me, P1); k = 0 }
	:: atomic { peer_waits(me, P2) -> with_peer(me, P2); k = 0 }
	/* Leader: a round; a write. */
	:: atomic { leads[me] && round[me] < round_max(me) ->
		printf("member %d opens round %d\n", me, round[me] + 1);
		choose();
		open_round(me, spare);
		k = 0;
		spare = 0
	   }
	:: atomic { leads[me] && last[me] < write_max ->
		last[me]++;
		log_term[ENTRY(me, last[me])] = term[me];
		printf("member %d logs write %d\n", me, last[me])
	   }
	/* Follower: nobody was heard for long enough. */
	:: atomic { !leads[me] && may_campaign(me) && CLOCK(me) >= guard[me] ->
		campaign(me, false);
		k = 0;
		printf("member %d campaigns in term %d\n", me, term[me])
	   }
	:: atomic { candidate[me] && last[me] < INDEX_MAX &&
		   votes[me] != 1 && votes[me] != 2 && votes[me] != 4 ->
		printf("member %d leads term %d\n", me, term[me]);
		candidate[me] = false;
		forced[me] = false;
		votes[me] = 0;
		leads[me] = true;
		leader[me] = me + 1;
		last[me]++;
		log_term[ENTRY(me, last[me])] = term[me];
		own_first[me] = last[me];
		if
		:: leads[P1] || leads[P2] ->
			printf("reached: one leads, another one still thinks so\n")
		:: else
		fi
	   }
	:: atomic { restarts < RESTARTS_MAX && !leads[me] ->
		printf("member %d restarts\n", me);
		restarts++;
		candidate[me] = false;
		forced[me] = false;
		votes[me] = 0;
		leader[me] = 0;
		heard[me] = 0;
		heartbeat[AT(P1, me)] = 0;
		heartbeat[AT(P2, me)] = 0;
		timeout_now_term[me] = 0;
		timeout_now_round[me] = 0;
		timeout_now_from[me] = 0;
#ifdef BUG_FORGETS
		guard[me] = 0
#else
		guard[me] = CLOCK(me) + T
#endif
	   }
	/* A pass looks at the clock; a read is made; the pass takes it. */
	:: atomic { read == NONE && leads[me] && reads_at(me) ->
		printf("member %d begins a pass at %d by its clock\n", me, CLOCK(me));
		read = PASS;
		read_at = me;
		read_time = CLOCK(me)
	   }
	:: atomic { read == PASS && read_at == me ->
		printf("a read is made at member %d; %d is acknowledged\n", me,
		       acknowledged);
		read = HELD;
		read_needs = acknowledged
	   }
	:: atomic { read == HELD && read_at == me && lease_valid(me, read_time) ->
		printf("member %d reads under its lease\n", me);
		read_time = 0;
		read = READING;
		read_value = commit[me]
	   }
	/* Mode quorum, or no lease: the round comes first. */
	:: atomic { read == HELD && read_at == me && may_read(me) &&
		   round[me] < round_max(me) ->
		printf("member %d asks for confirmation before it reads\n", me);
		read_time = 0;
		read = CONFIRMING;
		choose();
		open_round(me, spare);
		k = 0;
		spare = 0;
		read_round = round[me]
	   }
#ifdef BUG_NO_RECHECK
	:: atomic { read == READING && read_at == me -> answer_read() }
#else
	/* The data is there: is the lease still valid, by the clock? */
	:: atomic { read == READING && read_at == me &&
		   lease_valid(me, CLOCK(me)) ->
		printf("reached: answered under the lease\n");
		answer_read()
	   }
	:: atomic { read == READING && read_at == me && round[me] < round_max(me) &&
		   !lease_valid(me, CLOCK(me)) ->
		printf("member %d: the lease ran out, asks for confirmation\n", me);
		read = CONFIRMING;
		read_has_data = true;
		choose();
		open_round(me, spare);
		k = 0;
		spare = 0;
		read_round = round[me]
	   }
#endif
	:: atomic { read == CONFIRMING && read_at == me &&
		   (answered[AT(me, P1)] >= read_round ||
		    answered[AT(me, P2)] >= read_round) ->
		if
		:: read_has_data -> printf("reached: confirmed after it was read\n")
		:: else ->
			printf("reached: confirmed before it was read\n");
			read_value = commit[me]
		fi;
		answer_read()
	   }
	od
}

/* What is over is forgotten, so that it makes no states. */
inline time_passed()
{
	for (m : 0 .. N - 1) {
		if
		:: guard[m] <= CLOCK(m) -> guard[m] = 0
		:: else
		fi;
		for (k : 0 .. N - 1) {
			if
			:: support[AT(m, k)] <= CLOCK(m) && read != PASS && read != HELD ->
				support[AT(m, k)] = 0
			:: else
			fi
		}
	}
	m = 0;
	k = 0
}

proctype clock()
{
	byte m, k;

	do
	:: atomic { now < TIME_MAX ->
		now++;
		ran = (ran < 2 -> ran + 1 : 2);
		time_passed();
		printf("time %d\n", now)
	   }
#ifdef BUG_CLOCK_STOPS
	:: atomic { now < TIME_MAX ->
#else
	:: atomic { now < TIME_MAX && ran == 2 ->
#endif
		now++;
		behind++;
		ran = 0;
		time_passed();
		printf("time %d, the clock of member 0 stands still\n", now)
	   }
	od
}

init
{
	byte m;

	atomic {
		for (m : 0 .. N - 1) {
			term[m] = 1;
			vote[m] = 1;
			leader[m] = 1;
			last[m] = 1;
			log_term[ENTRY(m, 1)] = 1;
			commit[m] = 1
		}
		leads[0] = true;
		own_first[0] = 1;
		acknowledged = 1;
		m = 0;
		run member(0);
		run member(1);
		run member(2);
		run clock()
	}
}
