/* SPDX-License-Identifier: GPL-2.0 */
/* What has to be known of disk and host before a member is made of them. */
#ifndef QBDADM_PREPARE_H
#define QBDADM_PREPARE_H

#include "format/format.h"
#include "lib/disk.h"
#include "lib/error.h"

/* Refuses a disk that carries anything. */
int qbdadm_check_content(struct qbd_disk *disk, struct qbd_error *error);
/* The member's name, QBD_MEMBER_NAME_SIZE: @given, or this host's up to the first dot. */
int qbdadm_host_name(const char *given, char *name, struct qbd_error *error);
/* Could this host listen there now? */
int qbdadm_check_listen(const struct qbd_address *address, struct qbd_error *error);
/*
 * The module is there, or can be, and no device of this name is up on this host: then it is
 * -EEXIST, and the line goes on behind the name.
 */
int qbdadm_check_can_come_up(const char *name, struct qbd_error *error);

#endif
