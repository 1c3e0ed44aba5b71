// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "format/format.h"
#include "lib/parse.h"
#include "qbdadm/qbdadm.h"

int qbdadm_failed(const struct qbd_error *error)
{
	fflush(stdout);
	fprintf(stderr, "qbdadm: %s\n", error->text);
	return QBDADM_FAILED;
}

int qbdadm_failed_for(const char *name, const char *what, const struct qbd_error *error)
{
	fflush(stdout);
	fprintf(stderr, "qbdadm: %s: %s%s\n", name, what, error->text);
	return QBDADM_FAILED;
}

int qbdadm_usage(const struct qbdadm_command *command, const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fputs("qbdadm: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	if (command)
		fprintf(stderr, "; see 'qbdadm %s --help'\n", command->name);
	else
		fputs("; see 'qbdadm --help'\n", stderr);
	return QBDADM_USAGE;
}

bool qbdadm_name_good(const struct qbdadm_command *command, const char *name, int *status)
{
	struct qbd_error error;

	if (!qbd_check_name("device name", name, QBD_NAME_SIZE, &error))
		return true;
	*status = qbdadm_usage(command, "%s", error.text);
	return false;
}

void qbdadm_warn(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fputs("qbdadm: warning: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

void qbdadm_help(const struct qbdadm_command *command)
{
	printf("usage: qbdadm %s%s%s\n\n%s.\n\n%s", command->name,
	       command->synopsis[0] ? " " : "", command->synopsis, command->summary,
	       command->details);
}

void qbdadm_print_json(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

int qbdadm_flush(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "qbdadm: standard output: cannot be written: %s\n",
		strerror(errno));
	return QBDADM_FAILED;
}

/*
 * An option that getopt did not like. It leaves a letter in optopt, and then @word,
 * the last one that it is done with, may be another; of a long option optopt has
 * nothing, or, if the option got a value that it does not take, its number.
 */
static int complain(const struct qbdadm_command *command, const struct option *options,
		    const char *word)
{
	bool letter = optopt;

	for (; options->name; options++)
		letter &= options->val != optopt;
	if (letter)
		return qbdadm_usage(command, "%s: unknown option '-%c'", command->name, optopt);
	if (strchr(word, '='))
		return qbdadm_usage(command, "%s: option '%.*s' takes no value or is unknown",
				    command->name, (int)strcspn(word, "="), word);
	return qbdadm_usage(command, "%s: unknown or ambiguous option '%s'", command->name,
			    word);
}

int qbdadm_next_option(const struct qbdadm_command *command, int argc, char **argv,
		       const struct option *options, int *status)
{
	int option;

	opterr = 0;
	option = getopt_long(argc, argv, ":hj", options, NULL);
	if (option == QBDADM_OPTION_HELP) {
		qbdadm_help(command);
		*status = qbdadm_flush(QBDADM_OK);
		return -2;
	}
	if (option == ':') {
		*status = qbdadm_usage(command, "%s: option '%s' needs a value", command->name,
				       argv[optind - 1]);
		return -2;
	}
	if (option == '?') {
		*status = complain(command, options, optind > 0 ? argv[optind - 1] : "");
		return -2;
	}
	return option;
}

bool qbdadm_confirm(const char *question)
{
	char answer[16];

	if (!isatty(STDIN_FILENO))
		return false;
	fprintf(stderr, "%s Type 'yes' to go on: ", question);
	return fgets(answer, sizeof(answer), stdin) && !strcmp(answer, "yes\n");
}

void qbdadm_json_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

void qbdadm_json_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

void qbdadm_json_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

void qbdadm_json_uuid(struct json_object *object, const char *key, const uint8_t *uuid)
{
	char text[37];

	uuid_unparse_lower(uuid, text);
	if (uuid_is_null(uuid))
		json_object_object_add(object, key, NULL);
	else
		qbdadm_json_string(object, key, text);
}
