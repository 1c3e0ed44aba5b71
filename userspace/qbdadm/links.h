/* SPDX-License-Identifier: GPL-2.0 */
/* /dev/qbd/NAME, where no udev makes it. */
#ifndef QBDADM_LINKS_H
#define QBDADM_LINKS_H

#include <stdint.h>

#include "lib/error.h"

/* Until /dev/qbdN is there. */
int qbdadm_wait_node(uint32_t number, struct qbd_error *error);
/*
 * Make the link, unless udev has, or another device that is up owns the name:
 * then a warning says so.
 */
void qbdadm_make_link(const char *name, uint32_t number);
/* Remove it if it is this device's. */
void qbdadm_remove_link(const char *name, uint32_t number);

#endif
