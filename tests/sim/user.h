/* SPDX-License-Identifier: GPL-2.0 */
/* Userspace's code in the simulator draws from the seed. Its clock and its pauses are join.c's. */
#ifndef QBD_SIM_USER_H
#define QBD_SIM_USER_H

void sim_uuid_draw(unsigned char *uuid);
#define uuid_generate_random	sim_uuid_draw

#endif
