// SPDX-License-Identifier: GPL-2.0
/* The network inside qbd_kunit.ko: the same sources as in qbd.ko. */
#include <linux/tcp.h>

#include "net_rig.h"

/* Whoever sets a socket up may stand still there, see rig_setup_stops(). */
#define tcp_sock_set_nodelay(sk) \
	do { \
		rig_setup(); \
		tcp_sock_set_nodelay(sk); \
	} while (0)

#include "../net/admin.c"
#include "../net/connection.c"
#include "../net/frame.c"
#include "../net/handshake.c"
#include "../net/listener.c"
#include "../net/net.c"
#include "../net/peer.c"
#include "../net/receive.c"
#include "../net/send.c"
#include "../net/twice.c"
