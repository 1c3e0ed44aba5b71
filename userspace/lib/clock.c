// SPDX-License-Identifier: GPL-2.0
#include <time.h>

#include "lib/clock.h"

int64_t qbd_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void qbd_pause_ms(unsigned int milliseconds)
{
	const struct timespec pause = {
		.tv_sec = milliseconds / 1000,
		.tv_nsec = milliseconds % 1000 * 1000000L,
	};

	nanosleep(&pause, NULL);
}
