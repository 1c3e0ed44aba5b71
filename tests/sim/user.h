/* SPDX-License-Identifier: GPL-2.0 */
/* Userspace's code in the simulator waits in simulated time. */
#ifndef QBD_SIM_USER_H
#define QBD_SIM_USER_H

#include <time.h>

int sim_nanosleep(const struct timespec *time, struct timespec *left);
#define nanosleep	sim_nanosleep

#endif
