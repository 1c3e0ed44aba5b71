// SPDX-License-Identifier: GPL-2.0
/* The listener of one member, in its device's network namespace. */
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
	struct qbd_net *net;

	read_lock_bh(&sk->sk_callback_lock);
	/* Sockets not accepted yet inherit the callback, but not the pointer. */
	net = __locked_read_sk_user_data_with_flags(sk, 0);
	if (net && sk->sk_state == TCP_LISTEN)
		queue_delayed_work(net->queue, &net->accept_work, 0);
	read_unlock_bh(&sk->sk_callback_lock);
}

static void accept_work(struct work_struct *work)
{
	struct qbd_net *net = container_of(to_delayed_work(work), struct qbd_net,
					   accept_work);
	struct socket *socket;
	unsigned int noio;
	int i, error;

	for (i = 0; i < ACCEPT_BUDGET; i++) {
		noio = memalloc_noio_save();
		error = kernel_accept(net->listener, &socket, O_NONBLOCK);
		memalloc_noio_restore(noio);
		if (error == -EAGAIN)
			return;
		if (error) {
			if (__ratelimit(&net->log_limit))
				pr_warn("%s: cannot accept a connection: error %d\n",
					net->name, error);
			/* Out of memory, most likely; others may wait behind it. */
			queue_delayed_work(net->queue, &net->accept_work, HZ / 10);
			return;
		}
		write_lock_bh(&socket->sk->sk_callback_lock);
		socket->sk->sk_data_ready = net->listener_data_ready;
		write_unlock_bh(&socket->sk->sk_callback_lock);
		qbd_connection_accepted(net, socket);
	}
	queue_delayed_work(net->queue, &net->accept_work, 0);
}

static void describe_failure(struct qbd_net *net, struct sockaddr_storage *address,
			     int error, char *text, size_t size)
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

static int open_listener(struct qbd_net *net, struct sockaddr_storage *address)
{
	struct sock *sk;
	int length, error;

	length = qbd_address_to_socket(&net->identity.listen, address);
	if (length < 0)
		return length;
	error = qbd_socket_create(net, address->ss_family, &net->listener);
	if (error)
		return error;
	sk = net->listener->sk;
	sock_set_reuseaddr(sk);
	/* An IPv4 member listens at an IPv4 address; mapped ones confuse the log. */
	if (address->ss_family == AF_INET6)
		ip6_sock_set_v6only(sk);
	error = kernel_bind(net->listener, (struct sockaddr *)address, length);
	if (error)
		return error;
	write_lock_bh(&sk->sk_callback_lock);
	net->listener_data_ready = sk->sk_data_ready;
	sk->sk_data_ready = listener_data_ready;
	__rcu_assign_sk_user_data_with_flags(sk, net, SK_USER_DATA_NOCOPY);
	write_unlock_bh(&sk->sk_callback_lock);
	return kernel_listen(net->listener, QBD_STRANGERS_MAX);
}

int qbd_listener_start(struct qbd_net *net, char *error_text, size_t error_text_size)
{
	struct sockaddr_storage address = {};
	int error;

	INIT_DELAYED_WORK(&net->accept_work, accept_work);
	error = open_listener(net, &address);
	if (!error)
		return 0;
	describe_failure(net, &address, error, error_text, error_text_size);
	qbd_listener_stop(net);
	return error;
}

/* Afterwards nobody is accepted any more. */
void qbd_listener_stop(struct qbd_net *net)
{
	struct sock *sk;

	if (!net->listener)
		return;
	sk = net->listener->sk;
	write_lock_bh(&sk->sk_callback_lock);
	if (net->listener_data_ready)
		sk->sk_data_ready = net->listener_data_ready;
	rcu_assign_sk_user_data(sk, NULL);
	write_unlock_bh(&sk->sk_callback_lock);
	cancel_delayed_work_sync(&net->accept_work);
	sock_release(net->listener);
	net->listener = NULL;
}
