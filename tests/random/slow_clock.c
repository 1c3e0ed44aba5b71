// SPDX-License-Identifier: GPL-2.0
/*
 * To be loaded before the C library: reading the clock takes time.
 *
 * fio begins with calibrating its clock: for 65 ms it does nothing but read the time. In
 * a guest with virtual time computing takes none, a reading counts for half a microsecond,
 * and so there are 130,000 system calls, some ten seconds of a real processor, in each
 * start of fio. With this every fourth reading takes a tenth of a millisecond of
 * virtual time: 3,500 calls are left.
 */
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

#define READINGS 4
#define PAUSE_NS 100000

int clock_gettime(clockid_t clock, struct timespec *now)
{
	static __thread unsigned int readings;
	static const struct timespec pause = { .tv_nsec = PAUSE_NS };

	if (++readings % READINGS == 0)
		nanosleep(&pause, NULL);
	return syscall(SYS_clock_gettime, clock, now);
}
