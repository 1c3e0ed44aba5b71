/* SPDX-License-Identifier: GPL-2.0 */
#ifndef QBD_LIB_CLOCK_H
#define QBD_LIB_CLOCK_H

#include <stdint.h>

/* For deadlines: milliseconds of the clock that nobody sets. */
int64_t qbd_now_ms(void);

/* Not for longer; a signal ends it. */
void qbd_pause_ms(unsigned int milliseconds);

#endif
