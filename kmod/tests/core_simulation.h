/* SPDX-License-Identifier: GPL-2.0 */
#ifndef QBD_TESTS_CORE_SIMULATION_H
#define QBD_TESTS_CORE_SIMULATION_H

#include "core_lab.h"

/*
 * One run: a cluster, weather and faults drawn from the seed, @steps steps of
 * them, then everything is healed and must go on. On failure it says what and
 * where, and returns false.
 */
bool simulation_run(u64 seed, u64 steps);

#endif /* QBD_TESTS_CORE_SIMULATION_H */
