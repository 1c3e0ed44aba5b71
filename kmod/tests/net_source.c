// SPDX-License-Identifier: GPL-2.0
/* The network inside qbd_kunit.ko: the same sources as in qbd.ko. */
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
