// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>

#include "lib/clock.h"
#include "qbdadm/up.h"

static int fail_late(const char *name, uint64_t seconds, bool is_up,
		     const struct qbd_status *status, struct qbd_error *error)
{
	if (!is_up)
		return qbd_fail(error, ETIMEDOUT, "%s: is not up after %" PRIu64 " s", name,
				seconds);
	return qbd_fail(error, ETIMEDOUT,
			"%s: is up, but no leader is known after %" PRIu64 " s: %u of %u members needed, %u up; bring the others up",
			name, seconds, status->quorum_needed, status->voters, status->voters_up);
}

int qbdadm_wait_leader(struct qbd_client *client, struct qbd_client *listener,
		       const char *name, uint64_t seconds, bool until_up,
		       struct qbd_status *status, struct qbd_error *error)
{
	int64_t end = qbd_now_ms() + (int64_t)seconds * 1000;
	struct qbd_event event;
	int64_t left;
	int result;

	for (;;) {
		bool is_up;

		result = qbd_client_status(client, name, status, error);
		is_up = !result;
		if (result && (result != -ENODEV || !until_up))
			return result;
		if (is_up && status->leader && status->has_quorum)
			return 0;
		left = end - qbd_now_ms();
		result = left > 0 ? qbd_client_event(listener, &event, (int)left, error) : 0;
		if (result < 0 && result != -ENOBUFS && result != -EINTR)
			return result;
		if (!result)
			return fail_late(name, seconds, is_up, status, error);
	}
}
