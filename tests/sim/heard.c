// SPDX-License-Identifier: GPL-2.0
/*
 * What a leader was told: of each of its connections, when an answer came last, and what that
 * member said of itself. So it is known here what a leader can know of the others, and what it
 * cannot but know, whatever the module makes of it.
 *
 * Times are those of the passes in which the answers were handed over: what came later a leader
 * did not know then.
 */
#include "../../kmod/core/internal.h"
#include "sim.h"

static struct sim_heard all[SIM_HOSTS_MAX + 1][SIM_HOSTS_MAX + 1];

void sim_heard_begin(void)
{
	memset(all, 0, sizeof(all));
}

static bool is_answer(const struct qbd_core_message *message)
{
	return message->type == QBD_MESSAGE_HEARTBEAT_REPLY ||
	       message->type == QBD_MESSAGE_APPEND_REPLY;
}

/* It has been so since it was first said without anything else having been said since. */
static void note(u64 *since, bool is_so, u64 now)
{
	if (!is_so)
		*since = 0;
	else if (!*since)
		*since = now;
}

/* An answer is about to be handed over. */
void sim_heard_answer(const struct sim_host *host, u32 peer, const struct qbd_core_message *message)
{
	const struct qbd_replica *replica = sim_replica(host);
	bool well = !(message->flags & (QBD_MESSAGE_FILLING | QBD_MESSAGE_FAILED));
	struct sim_heard *heard;

	if (!replica || !is_answer(message) || replica->core->role != QBD_ROLE_LEADER ||
	    message->term != replica->core->term || peer > SIM_HOSTS_MAX)
		return;
	heard = &all[host->number][peer];
	if (heard->term != message->term)
		*heard = (struct sim_heard){ .term = message->term };
	if (!heard->at || replica->now > heard->at + sim_heard_often(replica))
		heard->gap_at = replica->now;
	heard->at = replica->now;
	heard->match = max(heard->match, message->index);
	note(&heard->well_since, well, replica->now);
	note(&heard->unwell_since, !well, replica->now);
	note(&heard->unfit_since, !(message->flags & QBD_MESSAGE_FIT), replica->now);
	if (message->type != QBD_MESSAGE_HEARTBEAT_REPLY)
		return;
	note(&heard->uses_since, message->reject_index, replica->now);
	note(&heard->idle_since, !message->reject_index, replica->now);
}

/* Who answers so often is there for certain. */
u64 sim_heard_often(const struct qbd_replica *leader)
{
	return 3ull * leader->settings.election_timeout_ms * NSEC_PER_MSEC / 4;
}

/* And who has not for so long is not. */
static u64 seldom(const struct qbd_replica *leader)
{
	return 2ull * leader->settings.election_timeout_ms * NSEC_PER_MSEC;
}

/* In this leadership; NULL: nothing. */
const struct sim_heard *sim_heard_of(const struct sim_host *leader, u32 id)
{
	const struct qbd_replica *replica = sim_replica(leader);
	const struct sim_heard *heard;

	if (!replica || id > SIM_HOSTS_MAX)
		return NULL;
	heard = &all[leader->number][id];
	return heard->at && heard->term == replica->core->term ? heard : NULL;
}

bool sim_heard_lately(const struct sim_host *leader, u32 id, u64 since)
{
	const struct qbd_replica *replica = sim_replica(leader);
	const struct sim_heard *heard = sim_heard_of(leader, id);

	return id == sim_member_id(leader) ||
	       (heard && heard->gap_at < since &&
		replica->now <= heard->at + sim_heard_often(replica));
}

bool sim_heard_there(const struct sim_host *leader, u32 id, u64 since)
{
	const struct sim_heard *heard = sim_heard_of(leader, id);

	return id == sim_member_id(leader) ||
	       (sim_heard_lately(leader, id, since) && heard->well_since &&
		heard->well_since < since);
}

bool sim_heard_away(const struct sim_host *leader, u32 id)
{
	const struct qbd_replica *replica = sim_replica(leader);
	const struct sim_heard *heard = sim_heard_of(leader, id);

	if (id == sim_member_id(leader))
		return false;
	if (!heard || replica->now > heard->at + seldom(replica))
		return replica->now > replica->leads_since + seldom(replica);
	return heard->unwell_since && heard->unwell_since < replica->now;
}

static bool no_majority_of(const struct sim_host *leader, const struct qbd_membership_layout *list,
			   u16 flag)
{
	u32 voters = 0, away = 0;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		const struct qbd_member_layout *member = &list->members[i];

		if (!(le16_to_cpu(member->flags) & flag))
			continue;
		voters++;
		away += sim_heard_away(leader, le32_to_cpu(member->id));
	}
	return voters && voters - away <= voters / 2;
}

bool sim_heard_no_majority(const struct sim_host *leader)
{
	const struct qbd_membership_layout *list = qbd_replica_layout(sim_replica(leader));

	return no_majority_of(leader, list, QBD_MEMBER_VOTER) ||
	       no_majority_of(leader, list, QBD_MEMBER_VOTER_OLD);
}
