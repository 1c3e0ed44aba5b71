// SPDX-License-Identifier: GPL-2.0
/*
 * The listeners of one member, in its device's network namespace: one, and a second one
 * while its address changes. Opening and closing one sleeps, so that is a work's.
 */
#include <linux/net.h>
#include <linux/sched/mm.h>
#include <net/ipv6.h>

#include "internal.h"

#define ACCEPT_BUDGET	16

int qbd_address_to_socket(const struct qbd_address *address,
			  struct sockaddr_storage *socket_address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)socket_address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)socket_address;

	memset(socket_address, 0, sizeof(*socket_address));
	switch (le16_to_cpu(address->family)) {
	case 4:
		in->sin_family = AF_INET;
		in->sin_port = htons(le16_to_cpu(address->port));
		memcpy(&in->sin_addr, address->bytes, sizeof(in->sin_addr));
		return sizeof(*in);
	case 6:
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(le16_to_cpu(address->port));
		in6->sin6_scope_id = le32_to_cpu(address->scope);
		memcpy(&in6->sin6_addr, address->bytes, sizeof(in6->sin6_addr));
		return sizeof(*in6);
	default:
		return -EAFNOSUPPORT;
	}
}

bool qbd_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((struct sockaddr_in *)b)->sin_addr.s_addr;
	return ipv6_addr_equal(&((struct sockaddr_in6 *)a)->sin6_addr,
			       &((struct sockaddr_in6 *)b)->sin6_addr);
}

static void listener_data_ready(struct sock *sk)
{
	struct qbd_listener *listener;

	read_lock_bh(&sk->sk_callback_lock);
	/* Sockets not accepted yet inherit the callback, but not the pointer. */
	listener = __locked_read_sk_user_data_with_flags(sk, 0);
	if (listener && sk->sk_state == TCP_LISTEN)
		queue_delayed_work(listener->net->setup_queue, &listener->accept_work, 0);
	read_unlock_bh(&sk->sk_callback_lock);
}

static void accept_work(struct work_struct *work)
{
	struct qbd_listener *listener = container_of(to_delayed_work(work),
						     struct qbd_listener, accept_work);
	struct qbd_net *net = listener->net;
	struct socket *socket;
	unsigned int noio;
	int i, error;

	for (i = 0; i < ACCEPT_BUDGET; i++) {
		noio = memalloc_noio_save();
		error = kernel_accept(listener->socket, &socket, O_NONBLOCK);
		memalloc_noio_restore(noio);
		if (error == -EAGAIN)
			return;
		if (error) {
			if (__ratelimit(&net->log_limit))
				pr_warn("%s: cannot accept a connection: error %d\n",
					net->name, error);
			/* Out of memory, most likely; others may wait behind it. */
			queue_delayed_work(net->setup_queue, &listener->accept_work, HZ / 10);
			return;
		}
		write_lock_bh(&socket->sk->sk_callback_lock);
		socket->sk->sk_data_ready = listener->data_ready;
		write_unlock_bh(&socket->sk->sk_callback_lock);
		qbd_connection_accepted(net, socket, &listener->address);
	}
	queue_delayed_work(net->setup_queue, &listener->accept_work, 0);
}

static void describe_failure(struct sockaddr_storage *address, int error, char *text,
			     size_t size)
{
	switch (error) {
	case -EADDRINUSE:
		snprintf(text, size, "%pISpc is in use by another program or device: give this member another port",
			 address);
		break;
	case -EADDRNOTAVAIL:
		snprintf(text, size, "this host has no address %pISc: bring the network up first, or correct the member's address",
			 address);
		break;
	case -EAFNOSUPPORT:
		snprintf(text, size, "the member's address is of a kind that this kernel does not know: use IPv4 or IPv6");
		break;
	default:
		snprintf(text, size, "cannot listen at %pISpc: error %d", address, error);
	}
}

static int open_listener(struct qbd_listener *listener, struct sockaddr_storage *address)
{
	struct qbd_net *net = listener->net;
	struct sock *sk;
	int length, error;

	length = qbd_address_to_socket(&listener->address, address);
	if (length < 0)
		return length;
	error = qbd_socket_create(net, address->ss_family, &listener->socket);
	if (error)
		return error;
	sk = listener->socket->sk;
	sock_set_reuseaddr(sk);
	/* An IPv4 member listens at an IPv4 address; mapped ones confuse the log. */
	if (address->ss_family == AF_INET6)
		ip6_sock_set_v6only(sk);
	error = kernel_bind(listener->socket, (struct sockaddr *)address, length);
	if (error)
		return error;
	write_lock_bh(&sk->sk_callback_lock);
	listener->data_ready = sk->sk_data_ready;
	sk->sk_data_ready = listener_data_ready;
	__rcu_assign_sk_user_data_with_flags(sk, listener, SK_USER_DATA_NOCOPY);
	write_unlock_bh(&sk->sk_callback_lock);
	return kernel_listen(listener->socket, QBD_STRANGERS_MAX);
}

/* Afterwards nobody is accepted by it any more. */
static void close_listener(struct qbd_listener *listener)
{
	struct sock *sk;

	if (!listener->socket)
		return;
	sk = listener->socket->sk;
	write_lock_bh(&sk->sk_callback_lock);
	if (listener->data_ready)
		sk->sk_data_ready = listener->data_ready;
	rcu_assign_sk_user_data(sk, NULL);
	write_unlock_bh(&sk->sk_callback_lock);
	cancel_delayed_work_sync(&listener->accept_work);
	sock_release(listener->socket);
	listener->socket = NULL;
	listener->data_ready = NULL;
}

static bool same_address(const struct qbd_address *a, const struct qbd_address *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* The one at @address, or one that is free, or NULL. */
static struct qbd_listener *find_listener(struct qbd_net *net,
					  const struct qbd_address *address)
{
	struct qbd_listener *free = NULL;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(net->listeners); i++) {
		if (!net->listeners[i].socket)
			free = free ?: &net->listeners[i];
		else if (same_address(&net->listeners[i].address, address))
			return &net->listeners[i];
	}
	return free;
}

/* Process context, one at a time. */
static int listen_at(struct qbd_net *net, const struct qbd_address *address, char *text,
		     size_t size)
{
	struct qbd_listener *listener = find_listener(net, address);
	struct sockaddr_storage socket_address = {};
	int error;

	if (!listener) {
		snprintf(text, size, "the address of this member is just being changed; try again when all others have moved");
		return -EBUSY;
	}
	if (listener->socket)
		return 0;
	listener->address = *address;
	error = open_listener(listener, &socket_address);
	if (!error)
		return 0;
	describe_failure(&socket_address, error, text, size);
	close_listener(listener);
	return error;
}

static void close_others(struct qbd_net *net, const struct qbd_address *address)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(net->listeners); i++)
		if (!same_address(&net->listeners[i].address, address))
			close_listener(&net->listeners[i]);
}

/* What the replica wants of the listeners; it is told when it has asked for one. */
static void listen_work(struct work_struct *work)
{
	struct qbd_net *net = container_of(work, struct qbd_net, listen_work);
	struct qbd_address wanted, own;
	char text[sizeof(net->listen_text)] = "";
	bool open, close;
	int error = 0;

	spin_lock(&net->lock);
	open = net->listen_wanted;
	close = net->listen_only;
	wanted = net->listen_address;
	own = net->identity.listen;
	net->listen_wanted = false;
	net->listen_only = false;
	spin_unlock(&net->lock);
	if (close)
		close_others(net, &own);
	if (!open)
		return;
	error = listen_at(net, &wanted, text, sizeof(text));
	spin_lock(&net->lock);
	/* Or something else is wanted by now: this was not the answer to that. */
	WRITE_ONCE(net->listen_done, !net->listen_wanted);
	net->listen_error = error;
	strscpy(net->listen_text, text, sizeof(net->listen_text));
	spin_unlock(&net->lock);
	net->ops->kick(net->context);
}

int qbd_listener_start(struct qbd_net *net, char *error_text, size_t error_text_size)
{
	unsigned int i;

	INIT_WORK(&net->listen_work, listen_work);
	for (i = 0; i < ARRAY_SIZE(net->listeners); i++) {
		net->listeners[i].net = net;
		INIT_DELAYED_WORK(&net->listeners[i].accept_work, accept_work);
	}
	return listen_at(net, &net->identity.listen, error_text, error_text_size);
}

void qbd_listener_stop(struct qbd_net *net)
{
	unsigned int i;

	cancel_work_sync(&net->listen_work);
	for (i = 0; i < ARRAY_SIZE(net->listeners); i++)
		close_listener(&net->listeners[i]);
}

void qbd_net_listen(struct qbd_net *net, const struct qbd_address *address)
{
	spin_lock(&net->lock);
	net->listen_address = *address;
	net->listen_wanted = true;
	WRITE_ONCE(net->listen_done, false);
	spin_unlock(&net->lock);
	queue_work(net->setup_queue, &net->listen_work);
}

void qbd_net_listen_only(struct qbd_net *net)
{
	spin_lock(&net->lock);
	net->listen_only = true;
	/* What was asked for before, and is not open yet, is not wanted any more, either. */
	if (!same_address(&net->listen_address, &net->identity.listen))
		net->listen_wanted = false;
	spin_unlock(&net->lock);
	queue_work(net->setup_queue, &net->listen_work);
}

/* Tell the replica what came of qbd_net_listen(). Replica context. */
void qbd_listener_tell(struct qbd_net *net)
{
	char text[sizeof(net->listen_text)];
	bool done;
	int error;

	if (!READ_ONCE(net->listen_done))
		return;
	spin_lock(&net->lock);
	done = net->listen_done;
	WRITE_ONCE(net->listen_done, false);
	error = net->listen_error;
	strscpy(text, net->listen_text, sizeof(text));
	spin_unlock(&net->lock);
	if (done)
		net->ops->listening(net->context, error, text);
}
