// SPDX-License-Identifier: GPL-2.0
/*
 * What members have, and what not. All that depends on it asks one of three questions:
 *
 *                 keeps data   has a block device   votes
 *   plain         yes          yes                  as a voter; not as a learner
 *   witness       no           no                   likewise; it leads only to pass its log on
 *   client        no           yes                  never
 *
 * Who keeps no data has a log all the same: what decides (who is a member, who may write, how
 * large the device is) is in there. It reads of its disk for nobody, is filled from no extents,
 * compared with nobody, and is in nobody's way when the device grows.
 *
 * A client is a learner for the core (membership.c): in no quorum, waited for by nobody. Its
 * requests go to the leader, as those of every member that does not lead.
 */
#include <linux/string.h>

#include "internal.h"

/**
 * qbd_replica_keeps_data() - is there a copy of the data on this disk?
 * @replica: replica
 */
bool qbd_replica_keeps_data(const struct qbd_replica *replica)
{
	return qbd_store_identity(replica->store)->keeps_data;
}

/**
 * qbd_replica_has_device() - does this member show a block device?
 * @replica: replica
 */
bool qbd_replica_has_device(const struct qbd_replica *replica)
{
	const struct qbd_store_identity *identity = qbd_store_identity(replica->store);

	return identity->keeps_data || identity->client;
}

/**
 * qbd_member_keeps_data() - likewise of any member, by the list in force
 * @replica: replica
 * @id: member
 *
 * Return: false if it keeps none; of one that the list does not have nobody knows.
 */
bool qbd_member_keeps_data(const struct qbd_replica *replica, u32 id)
{
	const struct qbd_member_layout *member = qbd_replica_member(replica, id);

	return !member || qbd_flags_keep_data(le16_to_cpu(member->flags));
}

/**
 * qbd_replica_serving() - who leads, and serves?
 * @replica: replica
 *
 * Return: member id, 0 if nobody is known to lead, or a witness does.
 */
u32 qbd_replica_serving(const struct qbd_replica *replica)
{
	return qbd_member_keeps_data(replica, replica->told_leader) ? replica->told_leader : 0;
}

static const char *kind_text(bool keeps_data, bool has_device)
{
	if (keeps_data)
		return "a member with data";
	return has_device ? "a client" : "a witness";
}

/**
 * qbd_kind_check() - is this disk what the list says that the member is?
 * @replica: replica that comes up
 * @text: if not, one line
 * @size: its room
 *
 * Return: 0 or -EUCLEAN.
 */
int qbd_kind_check(const struct qbd_replica *replica, char *text, size_t size)
{
	const struct qbd_member_layout *self =
		qbd_replica_member(replica, replica->member_id);
	bool keeps_data, has_device;

	/* One that was removed is told so. */
	if (!self)
		return 0;
	keeps_data = qbd_flags_keep_data(le16_to_cpu(self->flags));
	has_device = qbd_flags_have_device(le16_to_cpu(self->flags));
	if (keeps_data == qbd_replica_keeps_data(replica) &&
	    has_device == qbd_replica_has_device(replica))
		return 0;
	snprintf(text, size, "the disk is that of %s, and the member is %s: remove it, then join anew",
		 kind_text(qbd_replica_keeps_data(replica), qbd_replica_has_device(replica)),
		 kind_text(keeps_data, has_device));
	return -EUCLEAN;
}
