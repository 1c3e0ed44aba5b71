/* SPDX-License-Identifier: GPL-2.0 */
/*
 * qbdadm: one file for each family of commands, one table of commands.
 *
 * A command parses its arguments, has the library do the work, prints, and
 * returns the program's exit status.
 */
#ifndef QBDADM_H
#define QBDADM_H

#include <getopt.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/error.h"

struct qbd_format_parameters;
struct qbd_member_layout;
struct qbd_token;

enum qbdadm_exit {
	QBDADM_OK	= 0,
	QBDADM_FAILED	= 1,	/* it could not be done; one line says why */
	QBDADM_USAGE	= 2,	/* the arguments make no sense */
};

/**
 * struct qbdadm_command - one command
 * @name: what people type; "group word" for commands of two words
 * @synopsis: its arguments
 * @summary: one line for the list of commands
 * @details: what --help prints below the synopsis
 * @run: argv[0] is the command's last word
 */
struct qbdadm_command {
	const char *name;
	const char *synopsis;
	const char *summary;
	const char *details;
	int (*run)(const struct qbdadm_command *command, int argc, char **argv);
};

/* token.c create.c join.c connect.c disconnect.c destroy.c dump.c checksum.c: disks */
extern const struct qbdadm_command qbdadm_token_new;
extern const struct qbdadm_command qbdadm_token_show;
extern const struct qbdadm_command qbdadm_create;
extern const struct qbdadm_command qbdadm_join;
extern const struct qbdadm_command qbdadm_connect;
extern const struct qbdadm_command qbdadm_disconnect;
extern const struct qbdadm_command qbdadm_destroy;
extern const struct qbdadm_command qbdadm_dump;
extern const struct qbdadm_command qbdadm_checksum;
/* of what is up: scan.c up.c down.c status.c events.c leader.c member.c claim.c
 * settings.c verify.c
 */
extern const struct qbdadm_command qbdadm_scan;
extern const struct qbdadm_command qbdadm_up;
extern const struct qbdadm_command qbdadm_down;
extern const struct qbdadm_command qbdadm_status;
extern const struct qbdadm_command qbdadm_events;
extern const struct qbdadm_command qbdadm_leader_show;
extern const struct qbdadm_command qbdadm_leader_move;
extern const struct qbdadm_command qbdadm_recover;
extern const struct qbdadm_command qbdadm_member_add;
extern const struct qbdadm_command qbdadm_resize;
extern const struct qbdadm_command qbdadm_member_list;
extern const struct qbdadm_command qbdadm_member_remove;
extern const struct qbdadm_command qbdadm_member_promote;
extern const struct qbdadm_command qbdadm_member_demote;
extern const struct qbdadm_command qbdadm_member_replace;
extern const struct qbdadm_command qbdadm_member_set;
extern const struct qbdadm_command qbdadm_claim_show;
extern const struct qbdadm_command qbdadm_claim_take;
extern const struct qbdadm_command qbdadm_claim_release;
extern const struct qbdadm_command qbdadm_claim_mode;
extern const struct qbdadm_command qbdadm_set;
extern const struct qbdadm_command qbdadm_verify;

/* claim.c: exclusive or shared; false with the line if it is neither */
bool qbdadm_take_claim_mode(const char *text, uint32_t *mode, struct qbd_error *error);

/* output.c */

/* "qbdadm: " and the error's line, on standard error. Return: QBDADM_FAILED. */
int qbdadm_failed(const struct qbd_error *error);
/* The same with a device's name and a few words before it. */
int qbdadm_failed_for(const char *name, const char *what, const struct qbd_error *error);
/* A usage error: the line and a pointer to --help. Return: QBDADM_USAGE. */
int qbdadm_usage(const struct qbdadm_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Can a device have this name? Else the usage error, its status in @status. */
bool qbdadm_name_good(const struct qbdadm_command *command, const char *name, int *status);
void qbdadm_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void qbdadm_help(const struct qbdadm_command *command);
/* Prints and frees @object. */
void qbdadm_print_json(struct json_object *object);
/* Everything that was printed has arrived? Else the line and QBDADM_FAILED. */
int qbdadm_flush(int status);

/**
 * qbdadm_next_option() - getopt_long() that answers --help and errors itself
 * @status: exit status if it returns -2
 *
 * Return: the option; -1 at the end; -2: leave now with @status.
 */
int qbdadm_next_option(const struct qbdadm_command *command, int argc, char **argv,
		       const struct option *options, int *status);
/* Ask on the terminal; false if there is none. */
bool qbdadm_confirm(const char *question);

void qbdadm_json_string(struct json_object *object, const char *key, const char *value);
void qbdadm_json_number(struct json_object *object, const char *key, uint64_t value);
void qbdadm_json_bool(struct json_object *object, const char *key, bool value);
/* "device" and "number", null if there is none (QBD_NO_NUMBER). */
void qbdadm_json_device(struct json_object *object, uint32_t number);
/* Zeroes: null. */
void qbdadm_json_uuid(struct json_object *object, const char *key, const uint8_t *uuid);
/* A disk that create or join has made a member of. */
void qbdadm_made_json(struct json_object *object, const char *name,
		      const struct qbd_token *token, const struct qbd_member_layout *self,
		      const struct qbd_format_parameters *parameters, const char *disk);

#define QBDADM_OPTION_HELP	'h'
#define QBDADM_OPTION_JSON	'j'
/* Long options without a letter are numbered from here. */
#define QBDADM_OPTION_LONG	256

#endif
