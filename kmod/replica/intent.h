/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Member lists and what is meant to become of them: pure decisions.
 *
 * Who changes the members of a device writes down what is meant (JOINING, DEMOTING,
 * LEAVING: kmod/format/format.h), in an entry of the log that changes nobody's vote. The
 * leader of the day then takes one step after the other, each of them an entry:
 *
 *   list in force, committed     when                          next list
 *
 *   joint                        at once                       simple: the incoming set
 *   simple, with a voter         a majority of the incoming    joint: outgoing the voters,
 *   DEMOTING or LEAVING whose    set is there and has this     incoming those that stay and
 *   group is ready and that      list, and the leader is in    are ready; who goes is a
 *   nobody uses, or a learner    that set                      learner from here on
 *   JOINING that is ready
 *        likewise, the leader    likewise, and one of the      (leadership is handed over
 *        is not in that set      incoming set is fit, and      to that one)
 *                                reaches who is needed
 *        likewise, and nobody    likewise with the leader,     as above: the leader
 *        can take over now       without who joins in its      stays
 *                                group
 *        likewise, and no        as if the leader were in it   as above: nobody could
 *        voter stays                                           take over before
 *   simple, with a learner       it knows, or is not           without it
 *   LEAVING                      connected, or does not learn
 *                                it, and none of the above
 *                                can be done now
 *   simple, of a member that     at once, before any of the    the same with that disk
 *   is connected it does not     others
 *   know the disk, or one that
 *   was made anew took its place
 *   anything else                -                             (nothing)
 *
 * Ready is a member that is JOINING and has caught up, and the group of one that goes when all are
 * that are JOINING with the same number (&qbd_member_layout.group). Whoever is not ready is what it
 * is, and its intent stays, through the joint list and after it. So it is with a witness that would
 * make the number of voters even while one with data is not ready.
 *
 * Nobody uses a voter that is LEAVING if the device is not in use on its host, or it goes by force
 * (FORCED). It may have come to be used since it was asked for: until it is not it votes, and if
 * votes are too few for both so long waits who comes in its place.
 *
 * So a change survives the loss of whoever began it, can be taken back until it is joint,
 * and a member that goes hears of it: it is a learner that is LEAVING first, which gets the
 * log like any other. All voters that can come or go now do so in one joint step (thesis 4.3), and
 * one that is away, or has not caught up, holds up nobody but who is to go in its place: that one
 * votes until then, so a member is replaced without a moment of fewer copies.
 *
 * A leader enters a joint list only with a set that it is in itself, unless all voters are
 * replaced. That one, and one that is elected while the list is joint, may have to leave:
 * then it does not count itself, and steps down (accident 31; kmod/core). The steps are
 * derived from the list alone, so the way out of the joint list is not forgotten with its
 * leader (accident 32).
 */
#ifndef QBD_REPLICA_INTENT_H
#define QBD_REPLICA_INTENT_H

#include "../format/format.h"
#include "../format/frame.h"

/**
 * struct qbd_intent_facts - what the leader knows; bit n: members[n] of the list in force
 * @self: the leader's id
 * @asker: of qbd_intent_check(): the member on whose host somebody asks, or 0
 * @there: heard lately, its disk good, not being filled; the leader itself
 * @has: its log has the list in force, durably
 * @fit: there, and could lead
 * @ready: there, and has nearly all of the log
 * @knows: has the list in force, and was told that it is committed
 * @connected: its connections stand, its disk has not failed, and the list in force was committed
 *	not long ago: it may be slow, but it will be told
 * @renewed: its disk was made anew
 * @uses: its host uses the device, or may
 * @unsaid: it did not say yet whether its host does, to a leader that is new
 * @force: of qbd_intent_check(): that shall not count
 * @growing: the device becomes larger
 * @misses: of members[n]: those that it says it is not connected to
 * @disks: incarnation of the disk that answers as members[n]; zeroes: none
 */
struct qbd_intent_facts {
	u32 self;
	u32 asker;
	u32 there;
	u32 has;
	u32 fit;
	u32 ready;
	u32 knows;
	u32 connected;
	u32 renewed;
	u32 uses;
	u32 unsaid;
	bool force;
	bool growing;
	u32 misses[QBD_MEMBERS_MAX];
	u8 disks[QBD_MEMBERS_MAX][QBD_UUID_SIZE];
};

enum qbd_intent_step {
	QBD_INTENT_NOTHING,	/* there is nothing to be done, or not now */
	QBD_INTENT_PROPOSE,	/* the next list */
	QBD_INTENT_HAND_OVER,	/* leadership first, to the member named */
};

/**
 * qbd_intent_pending() - is there a step to be taken, now or later?
 * @list: member list
 */
bool qbd_intent_pending(const struct qbd_membership_layout *list);

/**
 * qbd_intent_is_out() - is a member no part of the device any more?
 * @list: a committed list
 * @id: member
 *
 * Return: true if it is not in it, or only there to hear that it goes.
 */
bool qbd_intent_is_out(const struct qbd_membership_layout *list, u32 id);

/**
 * qbd_intent_next() - the next step
 * @now: list in force, committed
 * @facts: see there
 * @next: filled if PROPOSE (but for @index, which the entry will have)
 * @member: HAND_OVER: to whom
 */
enum qbd_intent_step qbd_intent_next(const struct qbd_membership_layout *now,
				     const struct qbd_intent_facts *facts,
				     struct qbd_membership_layout *next, u32 *member);

/**
 * qbd_intent_keep() - what is not for those to say that ask: which disk is which member, FORCED
 * @now: list in force
 * @wanted: the disks of members that are in @now become those of @now, and FORCED who was, and is
 *	LEAVING still
 * @force: so is whom @wanted says that of now: who was not LEAVING, or by another group
 */
void qbd_intent_keep(const struct qbd_membership_layout *now,
		     struct qbd_membership_layout *wanted, bool force);

/**
 * qbd_intent_check() - may somebody ask for this list?
 * @now: list in force
 * @wanted: well formed (qbd_layout_check()); its @index names the list that its author saw
 * @facts: see there
 * @member: set if the refusal is about one of them
 *
 * Votes are as they were, and who is a witness or a client; members come as learners with ids never
 * given before, and none is left out. If all intents came true, witnesses alone are no
 * majority, and a majority of the voters has to be there; those that are JOINING count as
 * there, for they may be when it matters. Nobody is to leave under whose users the device would be
 * gone, unless by force; what is used where it is asked for was looked at there.
 *
 * Return: QBD_CHANGE_DONE if it may.
 */
enum qbd_change_result qbd_intent_check(const struct qbd_membership_layout *now,
					const struct qbd_membership_layout *wanted,
					const struct qbd_intent_facts *facts, u32 *member);

/**
 * qbd_intent_absent() - who is missed, of a list that was refused for want of a majority
 * @now: list in force
 * @wanted: see qbd_intent_check()
 * @facts: see there
 *
 * Return: bit n: @wanted's members[n] would vote, and is not there; in the upper half how many of
 * these would do.
 */
u64 qbd_intent_absent(const struct qbd_membership_layout *now,
		      const struct qbd_membership_layout *wanted,
		      const struct qbd_intent_facts *facts);

#endif
