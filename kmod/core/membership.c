// SPDX-License-Identifier: GPL-2.0
/*
 * Configurations: effective when appended (thesis 4.1), rolled back with their
 * entry. And the slots in which all other members are known.
 */
#include "internal.h"

/* ---- one configuration -------------------------------------------------- */

static const char *member_check(const struct qbd_member *member)
{
	const u8 voter = QBD_CORE_VOTER | QBD_CORE_VOTER_OLD;

	if (!member->id)
		return "member id 0 is not allowed";
	if (member->flags & ~(voter | QBD_CORE_LEARNER | QBD_CORE_WITNESS))
		return "unknown member flag";
	if (!(member->flags & (voter | QBD_CORE_LEARNER)))
		return "a member must be a voter or a learner";
	/* A voter on its way out may become a learner, a full voter may not. */
	if (member->flags & QBD_CORE_VOTER && member->flags & QBD_CORE_LEARNER)
		return "a member cannot be both voter and learner";
	return NULL;
}

/*
 * A majority without a data member would commit what is then on no disk that can be read
 * from, and elect a leader that has nothing to serve.
 */
static bool witnesses_are_a_majority(const struct qbd_config *config, u8 flag)
{
	u32 voters = 0, witnesses = 0;

	for (u32 i = 0; i < config->count; i++) {
		if (!(config->members[i].flags & flag))
			continue;
		voters++;
		witnesses += !!(config->members[i].flags & QBD_CORE_WITNESS);
	}
	return witnesses > voters / 2;
}

const char *qbd_config_check(const struct qbd_config *config)
{
	u32 voters = 0;

	if (!config->count)
		return "no members";
	if (config->count > QBD_CORE_MEMBERS_MAX)
		return "more than 16 members";
	for (u32 i = 0; i < config->count; i++) {
		const struct qbd_member *member = &config->members[i];
		const char *reason = member_check(member);

		if (reason)
			return reason;
		for (u32 j = 0; j < i; j++)
			if (config->members[j].id == member->id)
				return "a member id occurs twice";
		voters += !!(member->flags & QBD_CORE_VOTER);
	}
	if (witnesses_are_a_majority(config, QBD_CORE_VOTER) ||
	    witnesses_are_a_majority(config, QBD_CORE_VOTER_OLD))
		return "witnesses alone are a majority";
	return voters ? NULL : "no voter";
}

bool qbd_config_is_joint(const struct qbd_config *config)
{
	for (u32 i = 0; i < config->count; i++)
		if (config->members[i].flags & QBD_CORE_VOTER_OLD)
			return true;
	return false;
}

const struct qbd_member *qbd_config_find(const struct qbd_config *config,
					 u32 id)
{
	for (u32 i = 0; i < config->count; i++)
		if (config->members[i].id == id)
			return &config->members[i];
	return NULL;
}

/* Are the members with @flag_a in @a the same as those with @flag_b in @b? */
static bool config_same_set(const struct qbd_config *a, u8 flag_a,
			    const struct qbd_config *b, u8 flag_b)
{
	u32 count_a = 0, count_b = 0;

	for (u32 i = 0; i < a->count; i++) {
		const struct qbd_member *other;

		if (!(a->members[i].flags & flag_a))
			continue;
		count_a++;
		other = qbd_config_find(b, a->members[i].id);
		if (!other || !(other->flags & flag_b))
			return false;
	}
	for (u32 i = 0; i < b->count; i++)
		count_b += !!(b->members[i].flags & flag_b);
	return count_a == count_b;
}

/**
 * qbd_membership_may_follow() - may @next come after what is in force?
 * @core: core
 * @next: well formed
 *
 * Thesis 4.3: from a simple configuration to a joint one whose outgoing set it
 * is; from a joint one to the simple one of its incoming set. Changes that leave
 * the voter sets alone (learners, priorities) are always allowed. There is no
 * one-at-a-time shortcut, and so no accident 29 (two disjoint majorities).
 */
bool qbd_membership_may_follow(const struct qbd_core *core,
			       const struct qbd_config *next)
{
	const struct qbd_config *now = qbd_core_config(core);
	bool same_new = config_same_set(now, QBD_CORE_VOTER, next,
					QBD_CORE_VOTER);

	if (qbd_config_is_joint(now) && qbd_config_is_joint(next))
		return same_new && config_same_set(now, QBD_CORE_VOTER_OLD,
						   next, QBD_CORE_VOTER_OLD);
	if (qbd_config_is_joint(next))
		return config_same_set(now, QBD_CORE_VOTER, next,
				       QBD_CORE_VOTER_OLD);
	return same_new;
}

/* ---- slots of the peers ------------------------------------------------- */

/**
 * qbd_peer_find() - the slot of a member
 * @core: core
 * @id: member id
 *
 * Return: slot, NULL if there is none.
 */
struct qbd_peer *qbd_peer_find(struct qbd_core *core, u32 id)
{
	if (!id)
		return NULL;
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
		if (core->peers[slot].id == id)
			return &core->peers[slot];
	return NULL;
}

/**
 * qbd_peer_get() - the slot of a member, or a stranger
 * @core: core
 * @id: not 0, not this member
 *
 * Strangers are those whom the configuration in force does not name: it may
 * lag behind theirs (accident 4: a learner whose promotion it has not heard of
 * was asked to vote, and must vote). If slots run out, the stranger not heard
 * of for longest goes; members fill at most 15 of 24.
 *
 * Return: slot, NULL only if @id is not acceptable.
 */
struct qbd_peer *qbd_peer_get(struct qbd_core *core, u32 id)
{
	struct qbd_peer *peer = qbd_peer_find(core, id);
	struct qbd_peer *oldest = NULL;

	if (!id || id == core->self)
		return NULL;
	for (u32 slot = 0; slot < QBD_PEERS_MAX && !peer; slot++) {
		struct qbd_peer *other = &core->peers[slot];

		if (!other->id)
			peer = other;
		else if (!other->member && !other->barrier &&
			 (!oldest || other->touched < oldest->touched))
			oldest = other;
	}
	if (!peer)
		peer = oldest;
	if (!qbd_core_require(core, peer))
		return NULL;
	if (peer->id != id) {
		u32 slot = (u32)(peer - core->peers);

		memset(peer, 0, sizeof(*peer));
		peer->id = id;
		core->votes_granted &= ~QBD_BIT(slot);
		core->votes_refused &= ~QBD_BIT(slot);
	}
	peer->touched = core->now;
	return peer;
}

/* Bring the slots in line with the configuration in force. */
static void membership_changed(struct qbd_core *core)
{
	const struct qbd_config *config = qbd_core_config(core);

	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++) {
		struct qbd_peer *peer = &core->peers[slot];

		if (!peer->id || qbd_config_find(config, peer->id))
			continue;
		peer->member = 0;
		peer->inflight = 0;
		peer->marks_count = 0;
	}
	for (u32 i = 0; i < config->count; i++) {
		const struct qbd_member *member = &config->members[i];
		struct qbd_peer *peer;
		bool is_new;

		if (member->id == core->self)
			continue;
		peer = qbd_peer_get(core, member->id);
		if (!peer)
			return;
		is_new = !peer->member;
		peer->member = member->flags;
		peer->priority = member->priority;
		if (is_new && qbd_core_leads(core))
			qbd_leader_start_peer(core, peer);
	}
	core->out_flags |= QBD_OUT_CONFIG;
}

/* ---- the stack ---------------------------------------------------------- */

const struct qbd_config *qbd_core_config(const struct qbd_core *core)
{
	return &core->levels[core->levels_count - 1].config;
}

u64 qbd_core_config_index(const struct qbd_core *core)
{
	return core->levels[core->levels_count - 1].index;
}

const struct qbd_config *qbd_core_config_at(const struct qbd_core *core,
					    u64 index, u64 *config_index)
{
	u32 level = core->levels_count - 1;

	while (level > 0 && core->levels[level].index > index)
		level--;
	*config_index = core->levels[level].index;
	return &core->levels[level].config;
}

/**
 * qbd_core_self_flags() - this member's flags in the configuration in force
 * @core: core
 */
u32 qbd_core_self_flags(const struct qbd_core *core)
{
	const struct qbd_member *self = qbd_config_find(qbd_core_config(core),
							core->self);

	return self ? self->flags : 0;
}

/**
 * qbd_core_self_votes() - is this member a voter, in either set?
 * @core: core
 */
bool qbd_core_self_votes(const struct qbd_core *core)
{
	return qbd_core_self_flags(core) &
	       (QBD_CORE_VOTER | QBD_CORE_VOTER_OLD);
}

/**
 * qbd_core_self_may_campaign() - could the cluster need this member as leader?
 * @core: core
 *
 * A voter. Also one that the newest configuration drops, as
 * long as that is not known to be committed (thesis 4.2.2): it may have the only
 * complete log. It asks the voters in force, and does not count itself.
 *
 *	old set 1 2 3, new set 2 4 5; leader 1 appends the new configuration on
 *	1 and 3, and is lost. 2, 4 and 5 are still joint and need two of 1 2 3,
 *	but 3 has a longer log. If 3 does not campaign nobody ever leads.
 */
bool qbd_core_self_may_campaign(const struct qbd_core *core)
{
	const u8 voter = QBD_CORE_VOTER | QBD_CORE_VOTER_OLD;

	for (u32 level = 0; level < core->levels_count; level++) {
		const struct qbd_member *self =
			qbd_config_find(&core->levels[level].config,
					core->self);

		if (self && self->flags & voter)
			return true;
	}
	return false;
}

/**
 * qbd_core_self_is_witness() - has this member a log and no data?
 * @core: core
 *
 * A member is one, or it is not, for as long as there is a disk with its id; also where
 * the newest configuration does not name it any more.
 */
bool qbd_core_self_is_witness(const struct qbd_core *core)
{
	for (u32 level = core->levels_count; level > 0; level--) {
		const struct qbd_member *self =
			qbd_config_find(&core->levels[level - 1].config,
					core->self);

		if (self)
			return self->flags & QBD_CORE_WITNESS;
	}
	return false;
}

/**
 * qbd_membership_reset() - forget all, this one is committed
 * @core: core
 * @config: well formed
 * @index: where it came from
 */
void qbd_membership_reset(struct qbd_core *core,
			  const struct qbd_config *config, u64 index)
{
	core->levels[0].index = index;
	core->levels[0].config = *config;
	core->levels_count = 1;
	membership_changed(core);
}

/**
 * qbd_membership_append() - a CONFIG entry was appended and is in force
 * @core: core
 * @config: well formed
 * @index: of the entry
 *
 * Accident 30: two lagging voters elected by an old configuration, because
 * theirs changed only when applied. Here it changes when appended.
 *
 * A leader has at most one uncommitted change in its log, so all but the newest
 * of a stack are committed, known or not; if the stack is full the oldest is
 * folded into the one above.
 */
void qbd_membership_append(struct qbd_core *core,
			   const struct qbd_config *config, u64 index)
{
	if (index <= core->levels[0].index)
		return;		/* known from the superblock */
	if (!qbd_core_require(core, index > qbd_core_config_index(core)))
		return;
	if (core->levels_count == QBD_CONFIGS_MAX) {
		for (u32 i = 1; i < QBD_CONFIGS_MAX; i++)
			core->levels[i - 1] = core->levels[i];
		core->levels_count--;
	}
	core->levels[core->levels_count].index = index;
	core->levels[core->levels_count].config = *config;
	core->levels_count++;
	membership_changed(core);
}

/**
 * qbd_membership_truncate() - entries from @from on are gone
 * @core: core
 * @from: first entry gone
 *
 * Accident 33: one truncation removed two stacked CONFIG entries, and going back
 * one level left a configuration whose entry did not exist.
 *
 *	log:	5 C1   6 data   7 C2   8 C3	in force: C3
 *	truncate from 6				in force: C1, not C2
 */
void qbd_membership_truncate(struct qbd_core *core, u64 from)
{
	u32 before = core->levels_count;

	while (core->levels_count > 1 &&
	       core->levels[core->levels_count - 1].index >= from)
		core->levels_count--;
	/* The committed one cannot be taken back. */
	if (!qbd_core_require(core, core->levels[0].index < from))
		return;
	if (core->levels_count != before)
		membership_changed(core);
}

/**
 * qbd_membership_committed() - the commit index advanced
 * @core: core
 */
void qbd_membership_committed(struct qbd_core *core)
{
	u32 gone = 0;

	while (gone + 1 < core->levels_count &&
	       core->levels[gone + 1].index <= core->commit)
		gone++;
	if (!gone)
		return;
	core->levels_count -= gone;
	for (u32 i = 0; i < core->levels_count; i++)
		core->levels[i] = core->levels[i + gone];
	core->out_flags |= QBD_OUT_CONFIG;
}
