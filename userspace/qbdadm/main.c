// SPDX-License-Identifier: GPL-2.0
/* The table of commands. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "qbdadm/qbdadm.h"

#ifndef QBD_VERSION
#error "QBD_VERSION comes from the Makefile"
#endif

static int run_version(const struct qbdadm_command *command, int argc, char **argv);

static const struct qbdadm_command version_command = {
	.name = "version",
	.synopsis = "[--json]",
	.summary = "Print the version of the tool, and of the module if it is loaded",
	.details = "  --json   print JSON\n",
	.run = run_version,
};

static const struct qbdadm_command *const commands[] = {
	&qbdadm_token_new,
	&qbdadm_token_show,
	&qbdadm_create,
	&qbdadm_join,
	&qbdadm_connect,
	&qbdadm_disconnect,
	&qbdadm_scan,
	&qbdadm_up,
	&qbdadm_down,
	&qbdadm_status,
	&qbdadm_events,
	&qbdadm_leader_show,
	&qbdadm_leader_move,
	&qbdadm_member_list,
	&qbdadm_member_add,
	&qbdadm_member_remove,
	&qbdadm_member_promote,
	&qbdadm_member_demote,
	&qbdadm_member_replace,
	&qbdadm_member_set,
	&qbdadm_claim_show,
	&qbdadm_claim_take,
	&qbdadm_claim_release,
	&qbdadm_claim_mode,
	&qbdadm_set,
	&qbdadm_recover,
	&qbdadm_resize,
	&qbdadm_verify,
	&qbdadm_destroy,
	&qbdadm_dump,
	&qbdadm_checksum,
	&version_command,
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* Of the module that is loaded; "" if there is none. */
static void read_module_version(char *version, size_t size)
{
	FILE *file = fopen("/sys/module/qbd/version", "re");

	version[0] = '\0';
	if (!file)
		return;
	if (fgets(version, (int)size, file))
		version[strcspn(version, "\n")] = '\0';
	fclose(file);
}

static int run_version(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ }
	};
	bool json = false;
	char module[64];
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		json = true;
	}
	if (optind < argc)
		return qbdadm_usage(command, "version: takes no operand");
	read_module_version(module, sizeof(module));
	if (json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "tool", QBD_VERSION);
		json_object_object_add(object, "module", module[0] ?
				       json_object_new_string(module) : NULL);
		qbdadm_print_json(object);
	} else {
		printf("qbdadm %s, module %s\n", QBD_VERSION,
		       module[0] ? module : "not loaded");
	}
	return qbdadm_flush(QBDADM_OK);
}

static int print_commands(void)
{
	printf("usage: qbdadm COMMAND [ARGUMENT]...\n\nQuorum Block Device: block devices replicated by Raft.\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		printf("  %-15s %s\n", commands[i]->name, commands[i]->summary);
	printf("\n'qbdadm COMMAND --help' says more. Exit status: 0 done, 1 failed, 2 wrong usage.\n");
	return qbdadm_flush(QBDADM_OK);
}

/* How many words of @argv name the command: 0, 1 or 2. */
static int match_words(const struct qbdadm_command *command, int argc, char **argv)
{
	const char *space = strchr(command->name, ' ');
	size_t first = space ? (size_t)(space - command->name) : strlen(command->name);

	if (strncmp(argv[1], command->name, first) || argv[1][first])
		return 0;
	if (!space)
		return 1;
	return argc > 2 && !strcmp(argv[2], space + 1) ? 2 : 0;
}

/* The first word is right, the second is not: name those that would be. */
static int complain(int argc, char **argv)
{
	size_t length = strlen(argv[1]);
	bool group = false;

	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strncmp(commands[i]->name, argv[1], length) &&
		    commands[i]->name[length] == ' ')
			group = true;
	if (!group)
		return qbdadm_usage(NULL, "%s: is no command", argv[1]);
	if (argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
		for (size_t i = 0; i < COMMAND_COUNT; i++)
			if (!strncmp(commands[i]->name, argv[1], length) &&
			    commands[i]->name[length] == ' ')
				printf("  %-15s %s\n", commands[i]->name,
				       commands[i]->summary);
		return qbdadm_flush(QBDADM_OK);
	}
	/* Of a token there is only one thing to be done with a device's name. */
	if (argc > 2 && !strcmp(argv[1], "token"))
		return qbdadm_token_show.run(&qbdadm_token_show, argc - 1, argv + 1);
	if (argc > 2)
		return qbdadm_usage(NULL, "%s %s: is no command", argv[1], argv[2]);
	return qbdadm_usage(NULL, "%s: needs another word", argv[1]);
}

/*
 * What we open would be taken for standard input, output or error if one of these is closed:
 * what was printed went into the socket to the module, and nobody was told that it was lost.
 * One that is closed stays of no use, so that using it is an error.
 */
static bool keep_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	int words;

	if (!keep_standard_files())
		return QBDADM_FAILED;
	/* A reader that goes away is an error of writing, not a sudden end. */
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		print_commands();
		return QBDADM_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return print_commands();
	if (!strcmp(argv[1], "--version"))
		argv[1] = "version";
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		words = match_words(commands[i], argc, argv);
		if (words)
			return commands[i]->run(commands[i], argc - words, argv + words);
	}
	return complain(argc, argv);
}
