/* SPDX-License-Identifier: GPL-2.0 */
/* Userspace's code in the simulator waits in simulated time, and draws from the seed. */
#ifndef QBD_SIM_USER_H
#define QBD_SIM_USER_H

#include <time.h>

int sim_nanosleep(const struct timespec *time, struct timespec *left);
#define nanosleep	sim_nanosleep

void sim_uuid_draw(unsigned char *uuid);
#define uuid_generate_random	sim_uuid_draw

#endif
