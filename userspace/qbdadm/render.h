/* SPDX-License-Identifier: GPL-2.0 */
/* A status for people and for programs; knows nothing of netlink. */
#ifndef QBDADM_RENDER_H
#define QBDADM_RENDER_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "lib/status.h"

#define QBDADM_PROBLEMS_MAX	(QBD_MEMBERS_MAX + 16)

/**
 * struct qbdadm_problem - one thing that is wrong or may go wrong
 * @bad: I/O stands or data is at risk; else a warning
 */
struct qbdadm_problem {
	bool bad;
	char text[256];
};

struct qbdadm_problems {
	unsigned int count;
	struct qbdadm_problem list[QBDADM_PROBLEMS_MAX];
};

/* The worst first. */
void qbdadm_find_problems(const struct qbd_status *status,
			  struct qbdadm_problems *problems);

/* What is still to become of members, as people read it; "" if nothing is. */
const char *qbdadm_open_steps(const struct qbd_status *status, char *text, size_t size);

/* The leader hears from everybody several times in an election timeout. */
bool qbdadm_is_silent(const struct qbd_status *status,
		      const struct qbd_member_status *member);

void qbdadm_render_status(FILE *out, const struct qbd_status *status, bool colour);
struct json_object *qbdadm_status_json(const struct qbd_status *status);
void qbdadm_render_event(FILE *out, const struct qbd_event *event);
/* One line: who may write. */
void qbdadm_render_claim(FILE *out, const struct qbd_status *status);
struct json_object *qbdadm_claim_json(const struct qbd_status *status);
struct json_object *qbdadm_members_json(const struct qbd_status *status);
struct json_object *qbdadm_verify_json(const struct qbd_verification *verify);
/* Why a member was not compared in all that was; while it runs: lately. "": it was. */
const char *qbdadm_missed_text(const struct qbd_verification *verify,
			       const struct qbd_verify_member *member);
struct json_object *qbdadm_event_json(const struct qbd_event *event);

#define QBDADM_PROGRESS_TEXT_SIZE	80
const char *qbdadm_fill_text(const struct qbd_progress *fill, char *text, size_t size);
const char *qbdadm_catch_up_text(const struct qbd_progress *catch_up, char *text, size_t size);

/* "alpha (1)", "member 7" if it is not in the list, "nobody" for 0. */
const char *qbdadm_member_text(const struct qbd_status *status, uint32_t id, char *text,
			       size_t size);

#endif
