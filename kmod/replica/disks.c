// SPDX-License-Identifier: GPL-2.0
/*
 * Which disk is which member, and does it still have what it had?
 *
 * An id is given to one disk after the other at most. The list names the disk of each
 * member by its incarnation, which is drawn when a disk is made. Of members that were
 * planned together it is not known then; of these, and of a disk that was made anew under
 * an id (QBD_HELLO_NEW), the leader writes it down when the member is connected. From then
 * on whoever has that list refuses any other disk.
 *
 * A new disk counts only when a list that names it is committed (join.c). In the majority
 * that commits it neither the new disk nor the former one counts, so from then on no leader
 * comes to be, and none is left with a majority, that would take the former one's word:
 *
 *	3's disk was made anew, and counts. The former one comes back, to 1, which has led
 *	since before and was cut off from the others: 1 would commit with it what 2 and 3
 *	decide otherwise. But then 1 was in the majority that committed the list, or that
 *	majority has left 1's term.
 *
 * A disk that was rolled back to an older image of itself says who it is, and is believed.
 * But others know what it acknowledged while they were up, and say so in each handshake.
 * What it does not have then it lost, as if its log was damaged, and that is written down on
 * the disk, for they may be lost before it has that again. In a term in which it may have
 * voted it votes for nobody any more. What they know of the disk that was this member before
 * is nothing that this one has lost: so the number of a run begins with some of the
 * incarnation of its disk.
 */
#include <linux/string.h>

#include "intent.h"
#include "internal.h"

static bool is_own(const struct qbd_replica *replica, const u8 *incarnation)
{
	return !memcmp(incarnation, qbd_store_identity(replica->store)->incarnation,
		       QBD_UUID_SIZE);
}

/* Bits of a run's number that are drawn; those above them are the disk's. */
#define RUN_BITS	48

/**
 * qbd_disks_run() - the number of the run that begins
 * @drawn: at random
 * @incarnation: of the disk
 *
 * Return: never 0, which is nobody's.
 */
u64 qbd_disks_run(u64 drawn, const u8 *incarnation)
{
	drawn &= BIT_ULL(RUN_BITS) - 1;
	return ((u64)incarnation[1] << 8 | incarnation[0]) << RUN_BITS | (drawn ?: 1);
}

/* Of different disks it may say so, once in 65536: then what is known is known of both. */
static bool same_disk(u64 run, u64 other)
{
	return run >> RUN_BITS == other >> RUN_BITS;
}

/* The newest list that is known to be committed. */
static const struct qbd_replica_config *committed(const struct qbd_replica *replica)
{
	return &replica->configs[0];
}

/**
 * qbd_disks_is_listed() - does the newest committed list name this disk?
 * @replica: replica
 */
bool qbd_disks_is_listed(const struct qbd_replica *replica)
{
	const struct qbd_member_layout *member =
		qbd_membership_find(&committed(replica)->layout, replica->member_id);

	return member && is_own(replica, member->incarnation);
}

/**
 * qbd_disks_facts() - which disk is there as a member, that the list may have to name?
 * @replica: replica that leads
 * @id: member
 * @incarnation: set; zeroes if there is none
 * @is_new: set if it was made anew
 *
 * A connection may stand whose other end is gone. This leader has a list that names a disk,
 * and is connected with one that was made anew: that may be a newer disk, or an older one
 * which is dead and not missed yet. If that were named again the disk that took its place
 * would be shut out for good. The dead do not answer: so what answers in this leadership is
 * the newer one, for no leader would have had the other one named while this was there.
 *
 * Return: false if there is one that has not answered yet: look again.
 */
bool qbd_disks_facts(struct qbd_replica *replica, u32 id, u8 *incarnation, bool *is_new)
{
	const struct qbd_frame_hello *hello;
	struct qbd_peer_status peer;

	memset(incarnation, 0, QBD_UUID_SIZE);
	*is_new = false;
	if (id == replica->member_id) {
		memcpy(incarnation, qbd_store_identity(replica->store)->incarnation,
		       QBD_UUID_SIZE);
		return true;
	}
	hello = qbd_net_peer_hello(replica->network, id);
	if (!hello)
		return true;
	if (!qbd_core_get_peer(replica->core, replica->now, id, &peer) || !peer.heard_at)
		return false;
	memcpy(incarnation, hello->incarnation, QBD_UUID_SIZE);
	*is_new = le32_to_cpu(hello->flags) & QBD_HELLO_NEW;
	return true;
}

/* ---- what others had ---------------------------------------------------- */

/* It was in @term, and has the committed @index, both for certain. 0: nothing new. */
static void learn(struct qbd_replica *replica, struct qbd_replica_peer *peer, u64 now_in,
		  u64 term, u64 index)
{
	const struct qbd_frame_hello *hello = qbd_net_peer_hello(replica->network, peer->id);
	u64 run = hello ? le64_to_cpu(hello->run) : 0;

	if (!run)
		return;
	if (peer->known_run != run) {
		/*
		 * What is known of the run before stands until it has all that again. That it
		 * voted stands for good: the run that is up may know whom for, and not the next
		 * one, which an older image of the disk is.
		 */
		if (!same_disk(peer->known_run, run)) {
			peer->known_term = 0;
			peer->known_index = 0;
		} else if (!term && (now_in < peer->known_term || index < peer->known_index)) {
			return;
		}
		peer->known_run = run;
	} else if (term <= peer->known_term && index <= peer->known_index) {
		return;
	}
	peer->known_term = max(peer->known_term, term);
	peer->known_index = max(peer->known_index, index);
	qbd_net_set_known(replica->network, peer->id, run, peer->known_term,
			  peer->known_index);
}

/**
 * qbd_disks_heard() - does a message say what is on the sender's disk for good?
 * @replica: replica, whose core has seen it
 * @id: sender
 * @message: checked
 */
void qbd_disks_heard(struct qbd_replica *replica, u32 id,
		     const struct qbd_core_message *message)
{
	struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);

	if (!peer)
		return;
	switch (message->type) {
	case QBD_MESSAGE_VOTE_REPLY:
		if (message->flags & QBD_MESSAGE_GRANTED)
			learn(replica, peer, message->term, message->term, 0);
		break;
	case QBD_MESSAGE_APPEND_REPLY:
	case QBD_MESSAGE_HEARTBEAT_REPLY:
		/* What is not committed may be taken back. */
		if (replica->told_role == QBD_ROLE_LEADER &&
		    message->term == replica->told_term &&
		    !(message->flags & (QBD_MESSAGE_FILLING | QBD_MESSAGE_FAILED)))
			learn(replica, peer, message->term, 0,
			      min(message->index, replica->core->commit));
		break;
	default:
		break;
	}
}

/**
 * qbd_disks_peer_up() - what does another member know of an earlier run of this one?
 * @replica: replica
 * @id: member that has just connected
 */
void qbd_disks_peer_up(struct qbd_replica *replica, u32 id)
{
	const struct qbd_frame_hello *hello = qbd_net_peer_hello(replica->network, id);
	struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);
	u64 run, term, index;

	replica->disks_noticed = true;
	/* It heard nobody else that is this member. */
	if (peer)
		peer->perhaps_until = 0;
	if (id == replica->strange_peer)
		replica->strange_until = 0;
	if (!hello)
		return;
	run = le64_to_cpu(hello->known_run);
	term = le64_to_cpu(hello->known_term);
	index = le64_to_cpu(hello->known_index);
	/* A new disk knows that it has nothing. */
	if (!run || run == replica->session || replica->is_new ||
	    !same_disk(run, replica->session) ||
	    term >= QBD_INDEX_MAX || index >= QBD_INDEX_MAX)
		return;
	if (qbd_core_vote_lost(replica->core, replica->now, term))
		qbd_warn(replica, "this disk is older than what member %u knows of it: it voted in term %llu, and does not know for whom; nobody gets its vote in that term",
			 id, term);
	if (index <= replica->recovered_index ||
	    index <= min(replica->core->commit, replica->core->durable))
		return;
	/* A leader of before that is none any more is not helped by what is left here. */
	if (peer && peer->told)
		qbd_core_term_told(replica->core, replica->now, peer->told_term);
	/* Who told it may be lost, and this one restart, before it has that again. */
	qbd_store_damaged(replica->store, index);
	replica->damaged = true;
	replica->damaged_through = max(replica->damaged_through, index);
	snprintf(replica->damage, sizeof(replica->damage),
		 "this disk is older than what member %u knows of it (%llu entries, %llu are here): was it rolled back?",
		 id, index, replica->recovered_index);
	qbd_warn(replica, "%s This member neither votes nor leads until the leader has sent it again",
		 replica->damage);
	qbd_replica_update_fitness(replica);
}

/* ---- two disks of one member -------------------------------------------- */

/*
 * Of two copies of a disk both are believed, each by those that it reached first. What one of
 * them says binds the other one to nothing, and none knows what the other one has:
 *
 *	1 and 3 commit entries that 2, which has just come up, does not have. A copy of 3's disk
 *	is up, too. 1 refuses it; to 2 it comes before 3 does, and 2 would be elected with its
 *	vote.
 *
 * So who was refused by one member for that is no vote and no copy anywhere. If both were, both
 * are out. It stays so when that member lets it in: the other one may be up where nobody is who
 * sees both. Only people know that it is down, and then take this one down, and up.
 *
 * Nor is who was asked by one to come again, for it may be so: perhaps_twice() below. Until the
 * first of those who see both has answered a copy is believed by those who see it alone: for some
 * milliseconds if it dials, and up to a second if it has to knock.
 */
static void told_twice(struct qbd_replica *replica, u32 id)
{
	if (replica->told_twice)
		return;
	replica->told_twice = true;
	qbd_warn(replica, "member %u is connected with another host that is this member: this one neither votes nor leads, nor does it count as a copy, until it is taken down and up",
		 id);
	qbd_replica_update_fitness(replica);
}

/*
 * For so long who may be up twice waits for the member that said so first, or again after it let
 * this one in. That knows in about a second, but may be gone, or hang, by then.
 */
#define PERHAPS_MS	10000ull

/*
 * A member hears two runs of this one. It is not known yet whether the other one has ended: on a
 * host that lost its power and came up within less than a second it has, and this one is let in
 * when it comes again. Until then it is treated as one that is up twice: a copy would be given a
 * second in which others take its word, and elect a leader with it.
 */
static void perhaps_twice(struct qbd_replica *replica, u32 id)
{
	struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);

	/* Who says so for longer does not know: it may have no time to look. */
	if (!peer || peer->perhaps_until)
		return;
	peer->perhaps_until = replica->now + PERHAPS_MS * NSEC_PER_MSEC;
	replica->perhaps_twice = true;
	qbd_replica_later(replica, peer->perhaps_until);
	qbd_replica_update_fitness(replica);
}

/* Is there anybody left who may say that this member is up twice? */
static void perhaps_no_more(struct qbd_replica *replica)
{
	u64 until = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(replica->peers); i++)
		if (replica->peers[i].id)
			until = max(until, replica->peers[i].perhaps_until);
	if (replica->now < until) {
		qbd_replica_later(replica, until);
		return;
	}
	replica->perhaps_twice = false;
	qbd_replica_update_fitness(replica);
}

/* A refusal is told again every ten seconds: for so long what it means is shown. */
#define STRANGE_MS	30000ull

/**
 * qbd_disks_refused() - a handshake failed: is it because of a disk?
 * @replica: replica
 * @peer: with whom
 * @reason: why
 * @by_us: we refused it; else we were refused
 */
void qbd_disks_refused(struct qbd_replica *replica, u32 peer, enum qbd_refusal reason,
		       bool by_us)
{
	char *text = replica->strange;

	if (reason == QBD_REFUSED_REMOVED && !by_us) {
		/* It was away when it was removed: no log tells it. */
		replica->told_removed = true;
		return;
	}
	if (reason == QBD_REFUSED_PERHAPS) {
		perhaps_twice(replica, peer);
		return;
	}
	if (reason == QBD_REFUSED_TWICE && !by_us)
		told_twice(replica, peer);
	if (reason == QBD_REFUSED_DISK && !by_us)
		snprintf(text, sizeof(replica->strange),
			 "member %u says that another disk is this member now: take this one down; 'qbdadm join' makes it a new member",
			 peer);
	else if (reason == QBD_REFUSED_HISTORY && !by_us && !replica->told_leader)
		snprintf(text, sizeof(replica->strange),
			 "the device was recovered by force at member %u, without this one: take it down; 'qbdadm join' makes it a new member",
			 peer);
	else if (reason == QBD_REFUSED_MEMBER && !by_us && !replica->told_leader)
		snprintf(text, sizeof(replica->strange),
			 "member %u says that this one is no member of the device: was it removed? Then take it down",
			 peer);
	else if (reason == QBD_REFUSED_TWICE && by_us)
		snprintf(text, sizeof(replica->strange),
			 "member %u is up twice: is a copy of its disk up on another host? Take one down",
			 peer);
	else if (reason == QBD_REFUSED_TWICE)
		snprintf(text, sizeof(replica->strange),
			 "member %u is connected with another host that is this member: is a copy of this disk up there? Take one down",
			 peer);
	else
		return;
	replica->strange_peer = by_us ? 0 : peer;
	replica->strange_until = replica->now + STRANGE_MS * NSEC_PER_MSEC;
}

static const char was_twice[] =
	"another host was this member, too: leave one down, take the other one down and up";

static const char may_be_twice[] =
	"a member heard another host that is this member just now, and is asked again";

/* One line for people, "" if all are who they say. */
const char *qbd_disks_problem(const struct qbd_replica *replica)
{
	if (replica->now < replica->strange_until)
		return replica->strange;
	if (replica->told_twice)
		return was_twice;
	return replica->perhaps_twice ? may_be_twice : "";
}

/* ---- each pass ---------------------------------------------------------- */

/**
 * qbd_disks_check() - say in handshakes which list names this disk; is it the only one?
 * @replica: replica; each pass
 */
void qbd_disks_check(struct qbd_replica *replica)
{
	u64 index = committed(replica)->index;

	if (replica->perhaps_twice)
		perhaps_no_more(replica);
	if (replica->listed_by == index)
		return;
	replica->listed_by = index;
	qbd_net_set_listed(replica->network, qbd_disks_is_listed(replica) ? index : 0, index,
			   &committed(replica)->layout);
}
