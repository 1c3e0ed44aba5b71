// SPDX-License-Identifier: GPL-2.0
/*
 * Looking in, for people and for tests. Nothing here changes anything.
 */
#include "internal.h"

static void count_voters(const struct qbd_core *core, u64 now,
			 struct qbd_core_status *status)
{
	const struct qbd_config *config = qbd_core_config(core);

	for (u32 i = 0; i < config->count; i++) {
		const struct qbd_member *member = &config->members[i];

		if (!(member->flags & QBD_CORE_VOTER))
			continue;
		status->voters++;
		if (member->id == core->self && qbd_core_leads(core))
			status->reachable++;
		for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
			if (core->peers[slot].id == member->id &&
			    qbd_peer_alive(core, &core->peers[slot], now))
				status->reachable++;
	}
	status->quorum = status->voters / 2 + 1;
	status->joint = qbd_config_is_joint(config);
}

void qbd_core_get_status(const struct qbd_core *core, u64 now,
			 struct qbd_core_status *status)
{
	memset(status, 0, sizeof(*status));
	status->role = core->role;
	status->leader = core->leader;
	status->vote = core->vote;
	status->fitness = core->fitness;
	status->term = core->term;
	status->commit = core->commit;
	status->last = core->trail.last;
	status->durable = core->durable;
	status->first = core->trail.base_index + 1;
	status->matched = core->matched;
	count_voters(core, now, status);
	if (qbd_core_leads(core)) {
		u64 at = qbd_round_quorum_at(core);

		status->has_quorum = at == QBD_NEVER ||
			now <= at + core->options.election_timeout;
		status->lease_valid = qbd_core_lease_valid(core, now);
		status->handed_over = core->forced;
		status->own_first = core->own_first;
	}
	status->failed = core->failed;
	status->disk_stalled = qbd_core_log_stalled(core, now) ||
			       qbd_core_reads_hang(core, now);
	status->lost = core->lost_until != 0;
	status->transfer_to = core->transfer_to;
	status->stopped_line = core->stopped_line;
	status->rubbish = core->rubbish;
}

bool qbd_core_get_peer(const struct qbd_core *core, u64 now, u32 id,
		       struct qbd_peer_status *status)
{
	const struct qbd_peer *peer = NULL;

	memset(status, 0, sizeof(*status));
	for (u32 slot = 0; slot < QBD_PEERS_MAX; slot++)
		if (id && core->peers[slot].id == id)
			peer = &core->peers[slot];
	if (!peer)
		return false;
	status->id = id;
	status->member_flags = peer->member;
	if (!qbd_core_leads(core))
		return true;
	status->state = peer->state;
	status->flags = peer->flags;
	status->match = peer->match;
	status->next = peer->next;
	status->inflight = peer->inflight;
	status->window = peer->window ? peer->window : core->options.window;
	status->heard_at = peer->heard_at;
	status->alive = qbd_peer_alive(core, peer, now);
	return true;
}

u64 qbd_core_generation(const struct qbd_core *core)
{
	return core->generation;
}

u64 qbd_core_term_at(const struct qbd_core *core, u64 index)
{
	return qbd_trail_term(&core->trail, index);
}

u32 qbd_core_slot_peer(const struct qbd_core *core, u32 slot)
{
	return slot < QBD_PEERS_MAX ? core->peers[slot].id : 0;
}
