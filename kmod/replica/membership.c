// SPDX-License-Identifier: GPL-2.0
/*
 * Configurations as the replica needs them: with names and addresses.
 *
 * The core keeps who votes; the replica keeps, index for index, the layouts that
 * the entries carry. Both are stacks: a truncation may take several levels off
 * at once (accident 33).
 */
#include <linux/string.h>

#include "../format/check.h"
#include "../store/layout.h"
#include "internal.h"

/**
 * qbd_config_from_layout() - what the core wants to know of a member list
 * @config: filled
 * @layout: checked with qbd_layout_check()
 */
void qbd_config_from_layout(struct qbd_config *config,
			    const struct qbd_membership_layout *layout)
{
	u32 count = le32_to_cpu(layout->count);
	u32 i;

	memset(config, 0, sizeof(*config));
	config->count = count;
	for (i = 0; i < count; i++) {
		const struct qbd_member_layout *member = &layout->members[i];

		config->members[i].id = le32_to_cpu(member->id);
		/* For the core a client is a learner like others. */
		config->members[i].flags = le16_to_cpu(member->flags) &
					   ~(QBD_MEMBER_INTENTS | QBD_MEMBER_FORCED |
					     QBD_MEMBER_CLIENT);
		config->members[i].priority = member->priority;
	}
}

/**
 * qbd_layout_check() - is a member list from disk or wire usable?
 * @layout: as it came
 * @reason: set on failure
 *
 * To the store's rule is added what core and network need.
 *
 * Return: 0 or -EBADMSG.
 */
int qbd_layout_check(const struct qbd_membership_layout *layout, const char **reason)
{
	u32 count = le32_to_cpu(layout->count);
	struct qbd_config config;
	u32 i;

	if (!qbd_membership_good(layout, reason))
		return -EBADMSG;
	for (i = 0; i < count; i++) {
		const struct qbd_member_layout *member = &layout->members[i];

		*reason = "member name is none";
		if (qbd_name_check(member->name, sizeof(member->name)) != QBD_NAME_GOOD)
			return -EBADMSG;
		*reason = "member address malformed, or not the same for all members";
		if (qbd_address_check(&member->address) != QBD_ADDRESS_GOOD)
			return -EBADMSG;
		*reason = "member flags unknown, or of a client that is more than one";
		if (!qbd_flags_good(le16_to_cpu(member->flags)))
			return -EBADMSG;
	}
	qbd_config_from_layout(&config, layout);
	*reason = qbd_config_check(&config);
	return *reason ? -EBADMSG : 0;
}

/* The configuration in force: the newest appended. */
const struct qbd_membership_layout *qbd_replica_layout(const struct qbd_replica *replica)
{
	return &replica->configs[replica->config_count - 1].layout;
}

/* A configuration entry was appended at @index (or is the base's, the first). */
void qbd_replica_push_config(struct qbd_replica *replica, u64 index,
			     const struct qbd_membership_layout *layout)
{
	struct qbd_replica_config *config;

	/* As the core: a member's first list may be newer than the begin of its log. */
	if (replica->config_count && index <= replica->configs[0].index)
		return;
	/*
	 * As the core does with its own: a leader has at most one change that is not
	 * committed, so the one above the oldest is, known or not.
	 */
	if (replica->config_count == QBD_CONFIGS_MAX) {
		memmove(replica->configs, replica->configs + 1,
			(QBD_CONFIGS_MAX - 1) * sizeof(replica->configs[0]));
		replica->config_count--;
	}
	config = &replica->configs[replica->config_count++];
	config->index = index;
	config->layout = *layout;
}

/* Entries from @first_removed on are gone. */
void qbd_replica_pop_configs(struct qbd_replica *replica, u64 first_removed)
{
	while (replica->config_count > 1 &&
	       replica->configs[replica->config_count - 1].index >= first_removed)
		replica->config_count--;
}

/* Configurations that one at or before the committed @index replaced are history. */
void qbd_replica_trim_configs(struct qbd_replica *replica, u64 index)
{
	u32 drop = 0;

	while (drop + 1 < replica->config_count &&
	       replica->configs[drop + 1].index <= index)
		drop++;
	if (!drop)
		return;
	replica->config_count -= drop;
	memmove(replica->configs, replica->configs + drop,
		replica->config_count * sizeof(replica->configs[0]));
}

const struct qbd_member_layout *qbd_replica_member(const struct qbd_replica *replica,
						   u32 id)
{
	return qbd_membership_find(qbd_replica_layout(replica), id);
}

struct qbd_replica_peer *qbd_replica_peer(struct qbd_replica *replica, u32 id)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(replica->peers); i++)
		if (id && replica->peers[i].id == id)
			return &replica->peers[i];
	return NULL;
}

/* Return: its slot, that it has or that it gets; NULL for this member itself. */
struct qbd_replica_peer *qbd_replica_add_peer(struct qbd_replica *replica, u32 id)
{
	struct qbd_replica_peer *peer = qbd_replica_peer(replica, id);
	unsigned int i;

	if (peer || id == replica->member_id)
		return peer;
	for (i = 0; i < ARRAY_SIZE(replica->peers); i++) {
		if (!replica->peers[i].id) {
			replica->peers[i].id = id;
			return &replica->peers[i];
		}
	}
	WARN_ON_ONCE(1);	/* as many slots as the network has */
	return NULL;
}

/* It is no member any more. */
void qbd_replica_forget_peer(struct qbd_replica_peer *peer)
{
	u64 generation = peer->fill.generation + 1;

	qbd_append_forget(peer);
	memset(peer, 0, sizeof(*peer));
	/* A piece that is being read for it must not fit its successor. */
	peer->fill.generation = generation;
}

/* The configuration in force changed: who is a peer, and where. */
void qbd_replica_apply_config(struct qbd_replica *replica)
{
	const struct qbd_membership_layout *layout = qbd_replica_layout(replica);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(replica->peers); i++) {
		struct qbd_replica_peer *peer = &replica->peers[i];

		/* The network reports it down first if it was up. */
		if (peer->id && !peer->up && !qbd_replica_member(replica, peer->id))
			qbd_replica_forget_peer(peer);
	}
	for (i = 0; i < le32_to_cpu(layout->count); i++)
		qbd_replica_add_peer(replica, le32_to_cpu(layout->members[i].id));
	if (replica->network)
		qbd_net_set_members(replica->network, layout);
	qbd_change_noticed(replica);
}
