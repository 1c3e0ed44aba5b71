/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is a member's data right after it was filled by extents?
 *
 * Three members; 0 leads, 1 missed so much that the leader's log does not reach it any
 * more. Writes go on, power goes at any step of anybody, the leader changes in the
 * middle, and who was filled leads and fills another one.
 *
 * Entry i writes one block with the value i. Blocks 0 and 1 make extent 0, block 2 is
 * extent 1. What the data area and the extent table got since the last flush may be
 * there after a crash or not, each block by itself.
 *
 * Properties:
 *
 *   a piece never takes a block back behind what is applied here
 *   who is not being filled has what the log says at its applied index; a block may
 *   be newer only by a write that is committed (see Documentation/model.rst for why)
 *   what a leader reads when it may read is what the log says
 *   who is being filled does not lead
 *
 * What is behind it:
 *
 *   step[]             kmod/replica/fill.c, the table at the top; qbd_fill_proceed()
 *   base[] .. again[]  kmod/store/fill_plan.h
 *   "is reset"         kmod/replica/fill.c qbd_fill_reset(), kmod/store/fill.c
 *                      reset_now(), kmod/core/core.c qbd_core_may_reset()
 *   "begins to read",  kmod/replica/fill.c piece_begin(), qbd_fill_serve(),
 *   "has read", "end"  next_extent(), send_end(); kmod/store/read.c
 *   "takes/writes"     kmod/replica/fill.c qbd_fill_extent(), kmod/store/batch.c
 *   "flushes", "state" kmod/store/checkpoint.c journal_step(), publish(), finish()
 *   "applies"          kmod/store/apply.c
 *   "restarts"         kmod/store/open.c open_state(), kmod/replica/life.c
 *                      adopt_recovered()
 *
 * Left out: Raft. Who has all that is committed and is not being filled may be
 * elected; what it does not have is gone from all logs at once. A deposed leader may
 * go on answering FILL. That elections are right is the question of vote.pml. The
 * journal of the extent table (a table block is written whole); zeroes; memory and
 * log space that run short (a round may be given up at any time for any reason).
 * One member at a time is in a round of extents.
 *
 * Bounds: see the definitions.
 *
 * Searched whole:
 *
 *   base                  1 is filled; a round is given up
 *   CRASH                 1 is filled, and its power goes at any step
 *   SECOND                1 is filled, leads, and fills 2
 *   AGAIN                 1 is filled, and the leader's log passes it by meanwhile
 *
 * Bugs that have to be found:
 *
 *   BUG_INTENT_LATE       the log is emptied before the intent is durable
 *   BUG_BASE_IN_MEMORY    the intent's base is what was applied, not what was flushed
 *   BUG_NO_PAUSE          applying goes on while extents are on their way
 *   BUG_ANY_PIECE         a piece is taken although it is older than what is applied
 *   BUG_CURSOR_FIRST      the cursor is durable before the extents below it are
 *   BUG_ADVANCE_EARLY     the cursor moves on before all pieces are written
 *   BUG_NOT_MARKED        what was filled is not noted in the extent table
 *   BUG_LEADS             who is being filled leads
 *   BUG_NO_ABORT_WAIT     a round given up does not wait for the pieces being written
 *   BUG_FILLED_ONCE       what was filled before another reset is not asked for again
 *   EXACT                 no bug, but too much to ask for: that who is whole has
 *                         nothing newer than its applied index
 */
#if defined(BUG_INTENT_LATE) || defined(BUG_BASE_IN_MEMORY) || defined(BUG_CURSOR_FIRST)
#define CRASH
#endif
#ifdef BUG_NOT_MARKED
#define SECOND
#endif
#ifdef BUG_FILLED_ONCE
#define AGAIN
#endif

#define N		3
#define BLOCKS		3
#define EXTENTS		2
#define INDEX_MAX	3
#define ELECTIONS_MAX	1
#if defined(SECOND)
/* 1 is filled, and then fills 2. No power is lost, no round is given up at will. */
#define CRASHES_MAX	0
#define ABORTS_MAX	0
#define can_crash(m)	false
#define can_be_reset(m)	((m) != 0)
#define makes_checkpoints(m)	((m) != 0)
#define few_extents	2
#elif defined(CRASH)
/* 1 is filled, and may lose power. What the others' disks hold does not matter. */
#define CRASHES_MAX	1
#define ABORTS_MAX	0
#define can_crash(m)	((m) == 1)
#define can_be_reset(m)	((m) == 1)
#define makes_checkpoints(m)	((m) == 1)
#define few_extents	1
#elif defined(AGAIN)
/* 1 is filled, an extent at a time, and 0 reclaims its log. */
#define CRASHES_MAX	0
#define ABORTS_MAX	0
#define can_crash(m)	false
#define can_be_reset(m)	((m) == 1)
#define makes_checkpoints(m)	((m) != 2)
#define few_extents	1
#else
#define CRASHES_MAX	0
#define ABORTS_MAX	1
#define can_crash(m)	false
#define can_be_reset(m)	((m) == 1)
#define makes_checkpoints(m)	((m) == 1)
#define few_extents	0	/* any number */
#endif
#define may_ask_for(n)	(few_extents == 0 || (n) == few_extents)
/* Blocks 0 and 1 are alike, and the first write is to 0. */
#ifdef LARGE
#define may_be_second(b)	true
#else
#define may_be_second(b)	((b) == 2)
#endif
#define NOBODY		N

#define BLOCK(m, b)	((m) * BLOCKS + (b))
#define EXTENT(m, e)	((m) * EXTENTS + (e))
#define extent_of(b)	((b) / 2)
#define larger(a, b)	((a) > (b) -> (a) : (b))
#define smaller(a, b)	((a) < (b) -> (a) : (b))

/* The log that is agreed on: which block an entry writes. */
byte entry[INDEX_MAX + 1];
byte proposed = 2;
byte committed = 2;		/* highest index that anybody ever committed */
byte leader;
byte elections, crashes, aborts;

/* Members, in memory. */
byte first[N], last[N];		/* of the log; what is in it is durable */
byte commit[N];
byte applied[N];
byte told[N];			/* the leader it follows */
byte data[N * BLOCKS];
byte changed[N * EXTENTS];
bool flushed[N];		/* a checkpoint is between flush and state block */

/* What the flushed data area and table, and the state block, say. */
byte disk_data[N * BLOCKS];
byte disk_changed[N * EXTENTS];
byte disk_applied[N];
bool disk_filling[N];
byte disk_base[N], disk_start[N], disk_cursor[N], disk_through[N];
byte disk_end[N], disk_again_base[N], disk_again[N];

/* The member that is filled. */
mtype = { NONE, RESETTING, IDLE, ASKING, ADVANCING, CATCHING_UP, FINISHING, ABORTING };
mtype step[N] = NONE;
byte base[N], start[N], cursor[N], through[N];
byte end[N], again_base[N], again[N];
byte next_cursor[N], catch_up[N];
bool ended[N], last_round[N];

/* The round under way, and its pieces. */
mtype = { NOTHING, READS, SENT, WRITES };
byte asker = NOBODY, asked = NOBODY;
byte asks_for;			/* extents at most */
byte serve_next, serve_count, serve_index;
mtype piece[EXTENTS] = NOTHING;
byte piece_index[EXTENTS];
byte piece_data[BLOCKS];

#define P1		((me + 1) % N)
#define P2		((me + 2) % N)
#define filling(m)	(step[m] != NONE)
#define writing		(piece[0] == WRITES || piece[1] == WRITES)
#define reading		(piece[0] == READS || piece[1] == READS)
#define on_the_way	(piece[0] == SENT || piece[1] == SENT)

/* The newest entry up to @i that writes @b, after @from; else @otherwise. */
#define IS(i, b, from, to)	((i) > (from) && (i) <= (to) && entry[i] == (b))
#define newest(b, from, to, otherwise) \
	(IS(3, b, from, to) -> 3 : (IS(2, b, from, to) -> 2 : \
	(IS(1, b, from, to) -> 1 : (otherwise))))
/* An extent that was never written reads as zeroes, whatever the disk holds. */
#define in_data(m, b) \
	(changed[EXTENT(m, extent_of(b))] -> data[BLOCK(m, b)] : 0)
#define what_reads(m, b)	newest(b, applied[m], commit[m], in_data(m, b))

#define block_right(m, b) \
	(in_data(m, b) == newest(b, 0, applied[m], 0) || \
	 (in_data(m, b) > applied[m] && in_data(m, b) <= committed && \
	  entry[in_data(m, b)] == (b)))
#ifdef EXACT
#define data_right(m) \
	(in_data(m, 0) == newest(0, 0, applied[m], 0) && \
	 in_data(m, 1) == newest(1, 0, applied[m], 0) && \
	 in_data(m, 2) == newest(2, 0, applied[m], 0))
#else
#define data_right(m)	(block_right(m, 0) && block_right(m, 1) && block_right(m, 2))
#endif
#define reads_right(m) \
	(what_reads(m, 0) == newest(0, 0, committed, 0) && \
	 what_reads(m, 1) == newest(1, 0, committed, 0) && \
	 what_reads(m, 2) == newest(2, 0, committed, 0))

#ifdef BUG_LEADS
#define fit(m)		(step[m] != RESETTING)
#else
#define fit(m)		!filling(m)
#endif
#define may_be_elected(m) \
	(leader != (m) && elections < ELECTIONS_MAX && fit(m) && last[m] >= committed)
#define majority(i) \
	(((last[0] >= (i) && !filling(0)) + (last[1] >= (i) && !filling(1)) + \
	  (last[2] >= (i) && !filling(2))) >= 2)
#ifdef BUG_NO_PAUSE
#define paused(m)	(step[m] == RESETTING)
#else
#define paused(m) \
	(step[m] == ASKING || step[m] == ADVANCING || step[m] == ABORTING || \
	 step[m] == RESETTING)
#endif
#ifdef BUG_ANY_PIECE
#define new_enough(m, e)	true
#else
#define new_enough(m, e)	(piece_index[e] >= applied[m])
#endif
#ifdef BUG_BASE_IN_MEMORY
#define intent_base(m)	applied[m]
#else
#define intent_base(m)	disk_applied[m]
#endif
#ifdef BUG_INTENT_LATE
#define intent_durable	false
#else
#define intent_durable	true
#endif
#ifdef BUG_CURSOR_FIRST
#define flush_first(m)	!(step[m] == ADVANCING)
#else
#define flush_first(m)	true
#endif
#ifdef BUG_ADVANCE_EARLY
#define all_written	!on_the_way
#else
#define all_written	(!on_the_way && !writing)
#endif
#ifdef BUG_NOT_MARKED
#define mark_filled	false
#else
#define mark_filled	true
#endif
#ifdef BUG_NO_ABORT_WAIT
#define abort_waits	false
#else
#define abort_waits	true
#endif
#ifdef BUG_FILLED_ONCE
#define asks_again(m)	false
#else
#define asks_again(m)	(again[m] > 0)
#endif
#define may_hear(m, l) \
	(leader == (l) && (m) != (l) && step[m] != RESETTING && \
	 (told[m] != (l) || (last[m] < last[l] && first[l] <= last[m] + 1) || \
	  commit[m] < smaller(commit[l], last[m])))
#define may_be_reset(m, l) \
	(can_be_reset(m) && leader == (l) && (m) != (l) && told[m] == (l) && last[m] + 1 < first[l] && \
	 applied[l] > commit[m] && \
	 (step[m] == NONE || step[m] == IDLE || step[m] == CATCHING_UP))
#define may_learn(m, l)	(leader == (l) && commit[l] < smaller(commit[m], last[l]))

/* Pieces that are not at the disk yet are for nobody any more. */
inline forget_round()
{
	for (k : 0 .. EXTENTS - 1) {
		if
		:: piece[k] != WRITES -> forget_piece(k)
		:: else
		fi
	}
	k = 0;
	asked = NOBODY;
	asks_for = 0;
	serve_next = 0;
	serve_count = 0;
	serve_index = 0;
	if
	:: !writing -> asker = NOBODY
	:: else
	fi
}

inline forget_piece(e)
{
	piece[e] = NOTHING;
	piece_index[e] = 0;
	if
	:: e == 0 -> piece_data[0] = 0; piece_data[1] = 0
	:: else -> piece_data[2] = 0
	fi
}

inline check(m)
{
	assert(filling(m) || data_right(m))
}

inline write_block(m, b)
{
	/* The rule. */
	assert(piece_data[b] >= newest(b, 0, applied[m], 0));
	data[BLOCK(m, b)] = piece_data[b]
}

inline keep_or_lose(m, b)
{
	if
	:: data[BLOCK(m, b)] != disk_data[BLOCK(m, b)] ->
		data[BLOCK(m, b)] = disk_data[BLOCK(m, b)]
	:: disk_data[BLOCK(m, b)] = data[BLOCK(m, b)]
	fi
}

inline hear(m, l)
{
	told[m] = l;
	if
	:: last[m] < last[l] && first[l] <= last[m] + 1 -> last[m]++
	:: else
	fi;
	commit[m] = larger(commit[m], smaller(commit[l], last[m]));
	printf("member %d hears leader %d: log up to %d, committed %d\n", m, l, last[m],
	       commit[m])
}

inline be_reset(m, l)
{
	printf("member %d is reset to %d by leader %d\n", m, applied[l], l);
	if
	:: step[m] == NONE -> base[m] = applied[m]
	:: else ->
		printf("reached: reset once more while being filled\n");
		if
		:: !again[m] -> again_base[m] = applied[m]
		:: else
		fi;
		again[m] = larger(again[m], cursor[m])
	fi;
	if
	:: !again[m] -> again_base[m] = 0
	:: else
	fi;
	end[m] = EXTENTS;
	start[m] = applied[l];
	through[m] = larger(through[m], start[m]);
	catch_up[m] = 0;
	last_round[m] = false;
	step[m] = RESETTING
}

proctype member(byte me)
{
	byte k;

	do
	/* The log. */
	:: atomic { leader == me && proposed < INDEX_MAX && last[me] == proposed ->
		proposed++;
		last[me] = proposed;
		if
		:: entry[proposed] = 0
		:: entry[proposed] = 1
		:: entry[proposed] = 2
		fi;
		printf("leader %d logs entry %d for block %d\n", me, proposed,
		       entry[proposed])
	   }
	:: atomic { leader == me && commit[me] < last[me] && majority(commit[me] + 1) ->
		commit[me]++;
		committed = larger(committed, commit[me]);
		printf("leader %d commits %d\n", me, commit[me])
	   }
	:: atomic { may_hear(me, P1) -> hear(me, P1) }
	:: atomic { may_hear(me, P2) -> hear(me, P2) }
	:: atomic { may_learn(P1, me) -> commit[me] = smaller(commit[P1], last[me]) }
	:: atomic { may_learn(P2, me) -> commit[me] = smaller(commit[P2], last[me]) }
	:: atomic { may_be_elected(me) ->
		printf("member %d is elected\n", me);
		assert(!filling(me));
		elections++;
		leader = me;
		told[me] = me;
		for (k : last[me] + 1 .. INDEX_MAX) {
			entry[k] = 0
		}
		proposed = last[me];
		for (k : 0 .. N - 1) {
			last[k] = smaller(last[k], proposed)
		}
		k = 0
	   }
	/* May it read, it reads what the log says. */
	:: atomic { leader == me && commit[me] == committed && !reads_right(me) ->
		printf("leader %d would read other than the log says\n", me);
		assert(false)
	   }
	:: atomic { !paused(me) && !flushed[me] && applied[me] < commit[me] ->
		applied[me]++;
		k = entry[applied[me]];
		data[BLOCK(me, k)] = applied[me];
		/* Its first block: the others of the extent become zero. */
		if
		:: !changed[EXTENT(me, extent_of(k))] && k < 2 ->
			data[BLOCK(me, 1 - k)] = 0
		:: else
		fi;
		changed[EXTENT(me, extent_of(k))] =
			larger(changed[EXTENT(me, extent_of(k))], applied[me]);
		k = 0;
		printf("member %d applies %d\n", me, applied[me]);
		check(me)
	   }
	/* Checkpoints. */
	:: atomic { makes_checkpoints(me) && !flushed[me] && step[me] != RESETTING &&
		   (disk_applied[me] < applied[me] || step[me] == ADVANCING ||
		    step[me] == FINISHING) ->
		flushed[me] = true;
		if
		:: flush_first(me) && can_crash(me) ->
			printf("member %d flushes data and table\n", me);
			for (k : 0 .. BLOCKS - 1) {
				disk_data[BLOCK(me, k)] = data[BLOCK(me, k)]
			}
			for (k : 0 .. EXTENTS - 1) {
				disk_changed[EXTENT(me, k)] = changed[EXTENT(me, k)]
			}
			k = 0
		:: else
		fi
	   }
	:: atomic { flushed[me] ->
		flushed[me] = false;
		disk_applied[me] = applied[me];
		if
		:: true
		:: first[me] <= applied[me] -> first[me] = applied[me] + 1
		fi;
		printf("member %d writes its state: applied %d, log from %d\n", me,
		       applied[me], first[me]);
		if
		:: step[me] == ADVANCING ->
			disk_filling[me] = true;
			if
			:: last_round[me] && asks_again(me) ->
				printf("reached: what was filled is asked for again\n");
				base[me] = again_base[me];
				end[me] = again[me];
				again_base[me] = 0;
				again[me] = 0;
				disk_base[me] = disk_again_base[me];
				disk_end[me] = disk_again[me];
				disk_again_base[me] = 0;
				disk_again[me] = 0;
				next_cursor[me] = 0;
				last_round[me] = false
			:: else
			fi;
			disk_cursor[me] = next_cursor[me];
			disk_through[me] = through[me];
			cursor[me] = next_cursor[me];
			next_cursor[me] = 0;
			catch_up[me] = commit[me];
			step[me] = CATCHING_UP;
			printf("member %d: cursor %d, holds up to %d\n", me, cursor[me],
			       through[me])
		:: step[me] == FINISHING ->
			step[me] = NONE;
			disk_filling[me] = false;
			disk_base[me] = 0;
			disk_start[me] = 0;
			disk_cursor[me] = 0;
			disk_through[me] = 0;
			disk_end[me] = 0;
			disk_again_base[me] = 0;
			disk_again[me] = 0;
			end[me] = 0;
			again_base[me] = 0;
			again[me] = 0;
			base[me] = 0;
			start[me] = 0;
			cursor[me] = 0;
			through[me] = 0;
			last_round[me] = false;
			printf("member %d is whole\n", me);
			check(me);
			if
			:: elections > 0 -> printf("reached: whole after an election\n")
			:: else
			fi;
			if
			:: crashes > 0 -> printf("reached: whole after a crash\n")
			:: else
			fi;
			if
			:: leader == 1 && me == 2 ->
				printf("reached: who was filled fills another\n")
			:: else
			fi
		:: else
		fi
	   }
	/* The log does not reach it. */
	:: atomic { may_be_reset(me, P1) -> be_reset(me, P1) }
	:: atomic { may_be_reset(me, P2) -> be_reset(me, P2) }
	:: atomic { step[me] == RESETTING && !flushed[me] ->
		printf("member %d: intent durable, log empty after %d\n", me, start[me]);
		if
		:: !disk_filling[me] -> disk_base[me] = intent_base(me)
		:: else ->
			if
			:: disk_cursor[me] && !disk_again[me] ->
				disk_again_base[me] = intent_base(me)
			:: else
			fi;
			disk_again[me] = larger(disk_again[me], disk_cursor[me])
		fi;
		disk_filling[me] = intent_durable;
		disk_start[me] = start[me];
		disk_end[me] = EXTENTS;
		disk_through[me] = through[me];
		disk_applied[me] = start[me];
		applied[me] = start[me];
		first[me] = start[me] + 1;
		last[me] = start[me];
		commit[me] = start[me];
		step[me] = IDLE
	   }
	/* A round of extents, at the member that is filled. */
	:: atomic { step[me] == IDLE && told[me] != NOBODY && told[me] != me &&
		   asker == NOBODY ->
		asker = me;
		asked = told[me];
		step[me] = ASKING;
		if
		:: may_ask_for(1) -> asks_for = 1
		:: may_ask_for(2) -> asks_for = 2
		fi;
		serve_next = cursor[me];
		serve_index = start[me];
		printf("member %d asks member %d for %d extents from %d, changed after %d\n",
		       me, asked, asks_for, cursor[me], base[me])
	   }
	:: atomic { asker == me && step[me] == ASKING && on_the_way ->
		k = (piece[0] == SENT -> 0 : 1);
		if
		:: new_enough(me, k) ->
			printf("member %d takes extent %d of index %d\n", me, k,
			       piece_index[k]);
			piece[k] = WRITES;
			through[me] = larger(through[me], piece_index[k])
		:: else ->
			printf("reached: a piece is older than what is applied\n");
			step[me] = ABORTING;
			forget_round()
		fi;
		k = 0
	   }
	:: atomic { asker == me && writing && !flushed[me] ->
		k = (piece[0] == WRITES -> 0 : 1);
		printf("member %d writes extent %d\n", me, k);
		if
		:: k == 0 -> write_block(me, 0); write_block(me, 1)
		:: else -> write_block(me, 2)
		fi;
		if
		:: mark_filled ->
			changed[EXTENT(me, k)] = larger(changed[EXTENT(me, k)],
							piece_index[k])
		:: !mark_filled && !changed[EXTENT(me, k)] -> changed[EXTENT(me, k)] = 1
		:: else
		fi;
		forget_piece(k);
		if
		:: asked == NOBODY && !writing -> asker = NOBODY
		:: else
		fi;
		k = 0
	   }
	:: atomic { asker == me && step[me] == ASKING && ended[me] && all_written ->
		ended[me] = false;
		forget_round();
		step[me] = ADVANCING
	   }
	:: atomic { step[me] == ASKING && asker == me &&
		   (told[me] != asked || aborts < ABORTS_MAX) ->
		printf("member %d gives the round up\n", me);
		if
		:: told[me] == asked -> aborts++
		:: else -> printf("reached: given up for another leader\n")
		fi;
		ended[me] = false;
		last_round[me] = false;
		next_cursor[me] = 0;
		step[me] = ABORTING;
		forget_round()
	   }
	:: atomic { step[me] == ABORTING && !(asker == me && writing && abort_waits) ->
		step[me] = IDLE
	   }
	:: atomic { step[me] == CATCHING_UP && applied[me] >= catch_up[me] &&
		   (!last_round[me] || applied[me] >= through[me]) ->
		catch_up[me] = 0;
		step[me] = (last_round[me] -> FINISHING : IDLE)
	   }
	/* At the member that is asked. */
	:: atomic { asked == me && asker != NOBODY && !ended[asker] &&
		   applied[me] >= start[asker] ->
		do
		:: serve_next < end[asker] && changed[EXTENT(me, serve_next)] <= base[asker] ->
			serve_next++
		:: else -> break
		od;
		if
		:: serve_next < end[asker] && serve_count < asks_for ->
			printf("member %d begins to read extent %d at %d\n", me, serve_next,
			       commit[me]);
			piece[serve_next] = READS;
			piece_index[serve_next] = commit[me];
			serve_index = larger(serve_index, commit[me]);
			serve_next++;
			serve_count++
		:: (serve_next >= end[asker] || serve_count == asks_for) && !reading &&
		   !on_the_way ->
			printf("member %d: end of the round at extent %d\n", me, serve_next);
			ended[asker] = true;
			last_round[asker] = (serve_next >= end[asker]);
			next_cursor[asker] = serve_next;
			through[asker] = larger(through[asker], serve_index)
		:: else
		fi
	   }
	:: atomic { asked == me && reading ->
		k = (piece[0] == READS -> 0 : 1);
		printf("member %d has read extent %d\n", me, k);
		piece[k] = SENT;
		if
		:: k == 0 ->
			piece_data[0] = what_reads(me, 0);
			piece_data[1] = what_reads(me, 1)
		:: else -> piece_data[2] = what_reads(me, 2)
		fi;
		k = 0
	   }
	/* Power goes, and comes back. */
	:: atomic { crashes < CRASHES_MAX && can_crash(me) ->
		printf("member %d restarts\n", me);
		crashes++;
		keep_or_lose(me, 0);
		keep_or_lose(me, 1);
		keep_or_lose(me, 2);
		for (k : 0 .. EXTENTS - 1) {
			changed[EXTENT(me, k)] = disk_changed[EXTENT(me, k)]
		}
		k = 0;
		flushed[me] = false;
		applied[me] = disk_applied[me];
		commit[me] = disk_applied[me];
		told[me] = NOBODY;
		if
		:: asker == me || asked == me ->
			if
			:: asker == me ->
				if
				:: piece[0] == WRITES -> piece[0] = SENT
				:: else
				fi;
				if
				:: piece[1] == WRITES -> piece[1] = SENT
				:: else
				fi
			:: else ->
				if
				:: step[asker] == ASKING ->
					ended[asker] = false;
					last_round[asker] = false;
					next_cursor[asker] = 0;
					step[asker] = ABORTING
				:: else
				fi
			fi;
			forget_round()
		:: else
		fi;
		step[me] = (disk_filling[me] -> IDLE : NONE);
		base[me] = disk_base[me];
		start[me] = disk_start[me];
		cursor[me] = disk_cursor[me];
		through[me] = disk_through[me];
		end[me] = disk_end[me];
		again_base[me] = disk_again_base[me];
		again[me] = disk_again[me];
		next_cursor[me] = 0;
		catch_up[me] = 0;
		ended[me] = false;
		last_round[me] = false;
		if
		:: leader == me -> told[me] = me
		:: else
		fi;
		check(me)
	   }
	od
}

/* 0 and 2 committed two entries; 1 applied the first, and has not flushed it. */
init
{
	byte m, i;

	atomic {
		for (i : 1 .. 2) {
			if
			:: i == 1 || may_be_second(0) -> entry[i] = 0
			:: i == 2 && may_be_second(1) -> entry[i] = 1
			:: i == 2 && may_be_second(2) -> entry[i] = 2
			fi
		}
		for (m : 0 .. N - 1) {
			first[m] = 1;
			last[m] = (m == 1 -> 1 : 2);
			commit[m] = last[m];
			applied[m] = (m == 0 -> 2 : 1);
			told[m] = 0;
			data[BLOCK(m, entry[1])] = 1;
			changed[EXTENT(m, extent_of(entry[1]))] = 1
		}
		data[BLOCK(0, entry[2])] = 2;
		changed[EXTENT(0, extent_of(entry[2]))] = 2;
		disk_data[BLOCK(0, entry[1])] = data[BLOCK(0, entry[1])];
		disk_data[BLOCK(0, entry[2])] = 2;
		disk_changed[EXTENT(0, extent_of(entry[1]))] = 1;
		disk_changed[EXTENT(0, extent_of(entry[2]))] = 2;
		disk_applied[0] = 2;
		first[0] = 3;
		disk_data[BLOCK(2, entry[1])] = 1;
		disk_changed[EXTENT(2, extent_of(entry[1]))] = 1;
		disk_applied[2] = 1;
		i = 0;
		m = 0;
		run member(0);
		run member(1);
		run member(2)
	}
}
