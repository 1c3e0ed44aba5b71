// SPDX-License-Identifier: GPL-2.0
/*
 * Connections of programs: who knows the secret may ask what the device is, and for
 * another list of members.
 *
 * They are guests. There are few of them, each has one request looked at in a pass and
 * the next one only when the answer is in TCP's hands, none lives long without asking,
 * and none is given the kernel's reserves of memory. What asks too fast, or takes no
 * answer, is not read on.
 *
 * The slots hold no references: a connection is in one from when it proved that it knows
 * the secret until the end of its closing work, which takes it out under the net's lock.
 * The replica has a number, not a pointer, and whoever answers too late finds nobody.
 */
#include "internal.h"

/* It has proved that it knows the secret. Return: false if there are too many. */
bool qbd_admin_adopt(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	bool adopted = false;
	unsigned int i;

	spin_lock(&net->lock);
	for (i = 0; i < QBD_ADMINS_MAX && !net->stopping && !adopted; i++) {
		adopted = !net->admins[i];
		if (adopted)
			net->admins[i] = connection;
	}
	if (adopted) {
		connection->admin = ++net->admin_count;
		qbd_connection_no_stranger(connection);
	}
	spin_unlock(&net->lock);
	return adopted;
}

/* It is closed, and its memory about to go. */
void qbd_admin_forget(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	unsigned int i;

	lockdep_assert_held(&net->lock);
	for (i = 0; i < QBD_ADMINS_MAX; i++)
		if (net->admins[i] == connection)
			net->admins[i] = NULL;
}

/* With a reference, or NULL. */
static struct qbd_connection *admin_get(struct qbd_net *net, unsigned int slot)
{
	struct qbd_connection *connection;

	spin_lock(&net->lock);
	connection = net->admins[slot];
	if (connection)
		refcount_inc(&connection->references);
	spin_unlock(&net->lock);
	return connection;
}

static bool take_request(struct qbd_connection *connection, struct qbd_incoming *incoming)
{
	bool taken;

	spin_lock(&connection->lock);
	taken = connection->state == QBD_OPEN && !connection->asked &&
		connection->ring_head != connection->ring_tail;
	if (taken) {
		*incoming = connection->ring[connection->ring_head++ %
					     connection->ring_frames];
		connection->asked = true;
		if (connection->receiver_waits)
			queue_work(connection->net->queue, &connection->receive_work);
	}
	spin_unlock(&connection->lock);
	return taken;
}

/* One request of each. Replica context. */
void qbd_admin_deliver(struct qbd_net *net)
{
	struct qbd_connection *connection;
	struct qbd_incoming incoming;
	unsigned int i;

	for (i = 0; i < QBD_ADMINS_MAX; i++) {
		connection = admin_get(net, i);
		if (!connection)
			continue;
		if (take_request(connection, &incoming))
			net->ops->admin(net->context, connection->admin,
					&incoming.fixed.request, incoming.data);
		qbd_connection_put(connection);
	}
}

/* Its answer has gone out: is there another request? */
void qbd_admin_answered(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;

	spin_lock(&connection->lock);
	connection->asked = false;
	spin_unlock(&connection->lock);
	net->ops->kick(net->context);
}

static struct qbd_connection *admin_find(struct qbd_net *net, u64 number)
{
	struct qbd_connection *connection;
	unsigned int i;

	for (i = 0; i < QBD_ADMINS_MAX; i++) {
		connection = admin_get(net, i);
		if (connection && connection->admin == number)
			return connection;
		if (connection)
			qbd_connection_put(connection);
	}
	return NULL;
}

void qbd_net_answer(struct qbd_net *net, u64 number, const struct qbd_net_frame *frame)
{
	struct qbd_connection *connection = admin_find(net, number);
	int error = connection ? qbd_send_frame(connection, frame) : -ENOTCONN;

	if (error && frame->buffer)
		qbd_buffer_free(frame->buffer);
	if (!connection)
		return;
	if (error)
		qbd_connection_close_error(connection, error);
	else
		qbd_connection_queue(connection, &connection->send_work);
	qbd_connection_put(connection);
}
