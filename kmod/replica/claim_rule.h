/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who may write: pure decisions of the leader.
 *
 * A claim is an entry of the log, and in force from there to the next one. Its index is its
 * epoch. The leader decides by the newest claim of its own log, and by what it knows of the
 * holder:
 *
 *   asked      claim in force                                        answer
 *
 *   anything   not committed yet                                     LATER
 *   TAKE       for what goes on since an earlier index, something
 *              was written since, and
 *                another host had one since                          SHUT_OUT
 *                it was only read, and the mode is exclusive         SHUT_OUT
 *   TAKE       likewise, and what was written is not committed yet   LATER
 *   TAKE       as below HAVE, and another may lead by now           CONFIRM
 *   TAKE       shared                                                HAVE
 *   TAKE       nobody's                                              GRANT
 *   TAKE       the asker's own                                       HAVE
 *   TAKE       of an earlier run of the asker's device               GRANT
 *   TAKE       forced, and another than the one that was named       OUTDATED
 *   TAKE       forced                                                GRANT
 *   TAKE       of a member that was removed                          GRANT
 *   TAKE       of a run that is over: its member is in another one   GRANT
 *   TAKE       of a member that was not heard for the claim lease    GRANT
 *   TAKE       of a member that is silent, for less than that        WAIT
 *   TAKE       of any other                                          BUSY
 *   RELEASE    the asker's own, and the one that was named           GRANT: nobody's
 *   RELEASE    any other                                             HAVE: it is not his
 *   MODE       of that mode                                          HAVE
 *   MODE       of the other mode                                     GRANT: nobody's
 *
 * LATER: so in no log there are two claims that may both still be lost; and whoever is
 * told that his claim was superseded, or that something was written, can rely on that: he
 * stops his file system.
 *
 * CONFIRM: who opens the device is not let in on the word of a leader that another one has
 * taken the place of: he would be shut out as soon as he heard of what had been before. So,
 * as for a read, it has the lease, or a majority answers a round that was sent since. (What is
 * granted has to be committed, which says the same.)
 *
 * Whose writes may be appended:
 *
 *   claim in force   write made under                                    appended
 *
 *   a host's         that claim, by that run                             yes
 *   a host's         any other                                           no
 *   nobody's         -                                                   no
 *   shared           a later one than any host had                       yes
 *   shared           an earlier one: another host may have had it since  no
 *
 * The last line is what fencing is about: that all may write now lets in nobody who was shut
 * out before.
 *
 * The lease is no promise to the holder: his writes are refused by their epoch, whatever
 * any clock says. It only says how soon somebody else may take over without being told to.
 */
#ifndef QBD_REPLICA_CLAIM_RULE_H
#define QBD_REPLICA_CLAIM_RULE_H

#include "../format/format.h"
#include "../format/frame.h"

/**
 * struct qbd_claim - who may write
 * @epoch: log index of its entry; 0: as the device was made
 * @session: run of the holder's device
 * @holder: member id; 0: nobody
 * @mode: enum qbd_claim_sharing
 * @former: index of the entry that ended the newest claim before this one that another than
 *	@holder had; if nobody has it: that any host had; 0: none had one
 * @former_holder: nobody has it: whose that was
 * @older: nobody has it: likewise, of the newest that another than @former_holder had
 *
 * A host is its member, whatever run of its device: what an earlier one wrote was over before
 * anything goes on in this one.
 */
struct qbd_claim {
	__u64 epoch;
	__u64 session;
	__u64 former;
	__u64 older;
	__u32 holder;
	__u32 former_holder;
	__u32 mode;
};

/**
 * struct qbd_claim_wish - what somebody asks for
 * @action: enum qbd_claim_action
 * @force: TAKE: even from who is there, if @epoch is in force
 * @goes_on: TAKE: for what was opened or written under @epoch, or read when that was the
 *	newest entry that was committed
 * @reader: the latter: whoever has written since, it was not read. It may have been when all
 *	might write, or this host before
 * @mode: MODE
 * @asker: member id
 * @session: of its device
 * @confirmed: a majority has said since that this leader leads
 * @epoch: RELEASE: which; TAKE, forced: from which; likewise for what goes on: since which
 */
struct qbd_claim_wish {
	__u32 action;
	bool force;
	bool goes_on;
	bool reader;
	__u32 mode;
	__u32 asker;
	__u64 session;
	bool confirmed;
	__u64 epoch;
};

/**
 * struct qbd_claim_facts - what the leader knows of the claim at the end of its log
 * @committed: it is
 * @surely: nobody else led when it was asked for
 * @member: the holder is a member still, by the list in force, and is not on its way out
 * @restarted: it was heard, in this leadership, in another run than the claim's
 * @unheard_ms: for how long it was not, counted from this leader's election at most
 * @silent: that is longer than who is there is ever silent
 * @written: data was written since what goes on at the asker, or may have been, and is
 *	committed
 * @may_be_written: likewise, committed or not
 * @lease_ms: the claim lease
 */
struct qbd_claim_facts {
	bool committed;
	bool surely;
	bool member;
	bool restarted;
	__u64 unheard_ms;
	bool silent;
	bool written;
	bool may_be_written;
	__u64 lease_ms;
};

enum qbd_claim_verdict {
	QBD_VERDICT_GRANT,	/* append the next claim */
	QBD_VERDICT_HAVE,	/* it is so already */
	QBD_VERDICT_CONFIRM,	/* likewise, if a majority says that nobody else leads */
	QBD_VERDICT_LATER,	/* ask again soon */
	QBD_VERDICT_BUSY,	/* somebody else has it */
	QBD_VERDICT_WAIT,	/* likewise, but he seems to be gone */
	QBD_VERDICT_OUTDATED,	/* it is not the one that was named */
	QBD_VERDICT_SHUT_OUT,	/* what goes on at the asker is over */
};

/**
 * qbd_claim_decide() - the table above
 * @claim: at the end of the leader's log
 * @facts: see there
 * @wish: see there
 * @next: GRANT: the claim to be appended (but for @epoch)
 * @wait_ms: BUSY, WAIT: so long until it may be taken, if the holder stays silent
 */
enum qbd_claim_verdict qbd_claim_decide(const struct qbd_claim *claim,
					const struct qbd_claim_facts *facts,
					const struct qbd_claim_wish *wish,
					struct qbd_claim *next, __u64 *wait_ms);

/**
 * qbd_claim_allows() - may a write of this origin be appended while a claim is in force?
 * @claim: in force
 * @epoch: that the write carries: of the claim that it was made under
 * @origin: member
 * @session: of its device
 */
static inline bool qbd_claim_allows(const struct qbd_claim *claim, __u64 epoch,
				    __u32 origin, __u64 session)
{
	if (claim->mode == QBD_CLAIM_SHARED)
		return epoch >= claim->former;
	return claim->holder && claim->epoch == epoch && claim->holder == origin &&
	       claim->session == session;
}

#define QBD_CLAIM_LASTS	(~(__u64)0)

/**
 * qbd_claim_others_until() - until when has another host had a claim?
 * @claim: at the end of a log
 * @member: another than this one
 *
 * Return: index of the entry that ended the newest; QBD_CLAIM_LASTS: it has it now; 0: there
 * was none.
 */
static inline __u64 qbd_claim_others_until(const struct qbd_claim *claim, __u32 member)
{
	if (claim->holder)
		return claim->holder == member ? claim->former : QBD_CLAIM_LASTS;
	return claim->former_holder == member ? claim->older : claim->former;
}

/**
 * qbd_claim_succeed() - what was before a claim
 * @claim: of which epoch, holder, session and mode are known; the rest is filled in
 * @before: the one before it in the log, which it ends
 */
static inline void qbd_claim_succeed(struct qbd_claim *claim, const struct qbd_claim *before)
{
	if (claim->holder) {
		claim->former = qbd_claim_others_until(before, claim->holder);
		if (claim->former == QBD_CLAIM_LASTS)
			claim->former = claim->epoch;
		claim->former_holder = 0;
		claim->older = 0;
	} else if (before->holder) {
		claim->former = claim->epoch;
		claim->former_holder = before->holder;
		claim->older = before->former;
	} else {
		claim->former = before->former;
		claim->former_holder = before->former_holder;
		claim->older = before->older;
	}
}

/**
 * qbd_claim_shuts_out() - did another host have a claim since?
 * @claim: at the end of a log
 * @since: what the host goes on with is as of this index, or later
 * @member: the host
 *
 * What was read before may have been changed by that one, whoever has it now.
 */
static inline bool qbd_claim_shuts_out(const struct qbd_claim *claim, __u64 since,
				       __u32 member)
{
	return qbd_claim_others_until(claim, member) > since;
}

#endif
