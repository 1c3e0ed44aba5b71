/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is a member up twice? Of runs and times only: the same file compiles into the module, into
 * KUnit and into the simulator.
 */
#ifndef QBD_NET_TWICE_H
#define QBD_NET_TWICE_H

#include <linux/types.h>

/* Nothing sent on a control connection for so long: say that we are there. */
#define QBD_PING_MS		250
/* A member that is up says something at least so often, with some delay. */
#define QBD_ALIVE_MS		(3 * QBD_PING_MS)

enum qbd_twice {
	QBD_TWICE_NOT,			/* the only one, as far as can be seen */
	/*
	 * It came up anew, or there are two: it shall dial again, and is no vote and no copy
	 * until then.
	 */
	QBD_TWICE_PERHAPS,
	QBD_TWICE_SURE,			/* the other one was heard long after the first try */
};

/* Another run of a member came while the one that is connected was alive. */
struct qbd_twice_try {
	u64 run;			/* 0: none did */
	unsigned long at;		/* for the first time */
};

enum qbd_twice qbd_twice_check(struct qbd_twice_try *last, u64 run, u64 connected,
			       unsigned long heard_at);

#endif
