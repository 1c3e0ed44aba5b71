// SPDX-License-Identifier: GPL-2.0
/* qbdadm verify: the module compares, this asks it to, watches, and sums up. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/client.h"
#include "lib/parse.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/render.h"

enum {
	OPTION_MAX_RATE = QBDADM_OPTION_LONG,
	OPTION_REPAIR,
	OPTION_FROM,
	OPTION_STOP,
};

#define LOOK_MS		200
#define BLOCK_BYTES	(1u << QBD_BLOCK_SHIFT)

struct verify_options {
	const char *name;
	struct qbd_verify_wish wish;
	bool stop;
	bool json;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	interrupted = number;
}

/* Whoever ends this program ends the verification, too. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = interrupt };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static void show_progress(const struct qbd_verification *verify, bool end)
{
	uint64_t total = verify->end_block - verify->first_block;
	char size[QBD_SIZE_TEXT_SIZE];

	if (!isatty(STDERR_FILENO) || !total)
		return;
	if (end) {
		fputs("\r\033[K", stderr);
		return;
	}
	fprintf(stderr, "\r%3" PRIu64 " %% of %s, %" PRIu64 " blocks differ ",
		(verify->next_block - verify->first_block) * 100 / total,
		qbd_size_text(total << QBD_BLOCK_SHIFT, size), verify->different);
}

/* ---- the end ------------------------------------------------------------ */

/* It took no part in all of it. */
static bool is_incomplete(const struct qbd_verification *verify,
			  const struct qbd_verify_member *member)
{
	return member->compared < verify->compared || qbdadm_missed_text(verify, member)[0];
}

static bool all_took_part(const struct qbd_verification *verify)
{
	for (uint32_t i = 0; i < verify->member_count; i++)
		if (is_incomplete(verify, &verify->members[i]))
			return false;
	return true;
}

static bool is_good(const struct qbd_verification *verify)
{
	return verify->state == QBD_VERIFY_STATE_DONE && all_took_part(verify) &&
	       verify->repaired >= verify->different;
}

static void print_difference(const struct qbd_status *status,
			     const struct qbd_verify_difference *difference)
{
	uint64_t last = difference->first + difference->count - 1;
	char who[64];

	if (difference->member)
		printf("  %s: ", qbdadm_member_text(status, difference->member, who,
						    sizeof(who)));
	else
		printf("  no majority: ");
	if (difference->count == 1)
		printf("block %" PRIu64, difference->first);
	else
		printf("blocks %" PRIu64 " to %" PRIu64, difference->first, last);
	if (difference->kind == QBD_VERIFY_KIND_UNREADABLE)
		printf(", which its disk fails to read");
	if (difference->repaired == difference->count)
		printf(", repaired");
	else if (difference->repaired)
		printf(", %" PRIu64 " repaired", difference->repaired);
	putchar('\n');
}

static void print_incomplete(const struct qbd_status *status)
{
	const struct qbd_verification *verify = &status->verify;
	const char *why;
	char who[64];

	for (uint32_t i = 0; i < verify->member_count; i++) {
		const struct qbd_verify_member *member = &verify->members[i];

		if (!is_incomplete(verify, member))
			continue;
		why = qbdadm_missed_text(verify, member);
		printf("  %s was compared in %" PRIu64 " of them%s%s\n",
		       qbdadm_member_text(status, member->id, who, sizeof(who)),
		       member->compared, why[0] ? ": " : "", why);
	}
}

static void print_advice(const struct qbd_status *status)
{
	const struct qbd_verification *verify = &status->verify;

	if (verify->undecided)
		printf("Where no majority agrees nothing is repaired: write these blocks anew, or replace the\n"
		       "member that is known to be bad ('qbdadm member replace').\n");
	if (!verify->repair && verify->different > verify->undecided)
		printf("'qbdadm verify %s --repair' makes the rest equal with what the majority holds.\n",
		       status->name);
	if (verify->state != QBD_VERIFY_STATE_DONE && !status->removed)
		printf("It goes on with 'qbdadm verify %s --from %" PRIu64 "'.\n", status->name,
		       verify->next_block << QBD_BLOCK_SHIFT);
}

static void print_summary(const struct qbd_status *status)
{
	const struct qbd_verification *verify = &status->verify;

	printf("%s: %s: %" PRIu64 " blocks compared, %" PRIu64 " differ%s", status->name,
	       verify->state == QBD_VERIFY_STATE_DONE ? "verified" :
	       status->removed ? "ended, this member was removed from the device" :
	       verify->state == QBD_VERIFY_STATE_ALONE ?
	       "ended, no other member with data answers" : "stopped",
	       verify->compared, verify->different,
	       verify->repaired || verify->undecided || verify->skipped ? "" : "\n");
	if (verify->repaired)
		printf(", %" PRIu64 " of them repaired", verify->repaired);
	if (verify->undecided)
		printf(", no majority agrees about %" PRIu64, verify->undecided);
	if (verify->skipped)
		printf("; %" PRIu64 " were written each time they were looked at",
		       verify->skipped);
	if (verify->repaired || verify->undecided || verify->skipped)
		putchar('\n');
	for (uint32_t i = 0; i < verify->difference_count; i++)
		print_difference(status, &verify->differences[i]);
	if (verify->unlisted)
		printf("  and %" PRIu64 " more\n", verify->unlisted);
	print_incomplete(status);
	print_advice(status);
}

static int sum_up(const struct qbd_status *status, bool json)
{
	if (json) {
		struct json_object *object = qbdadm_verify_json(&status->verify);

		qbdadm_json_string(object, "name", status->name);
		qbdadm_json_bool(object, "equal", is_good(&status->verify));
		qbdadm_print_json(object);
	} else {
		print_summary(status);
	}
	return qbdadm_flush(is_good(&status->verify) ? QBDADM_OK : QBDADM_FAILED);
}

/* ---- watching ----------------------------------------------------------- */

static int watch(struct qbd_client *client, const struct verify_options *options,
		 struct qbd_status *status, struct qbd_error *error)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	bool told = false;
	int result;

	for (;;) {
		result = qbd_client_status(client, options->name, status, error);
		if (result || status->verify.state != QBD_VERIFY_STATE_RUNNING)
			break;
		show_progress(&status->verify, false);
		if (interrupted && !told) {
			told = true;
			/* -ESRCH: it was done just now. */
			result = qbd_client_verify_stop(client, options->name, error);
			if (result && result != -ESRCH)
				break;
			continue;
		}
		nanosleep(&pause, NULL);
	}
	show_progress(&status->verify, true);
	return result;
}

/* Who is no member any more is compared with nobody. */
static int start(struct qbd_client *client, const struct verify_options *options,
		 struct qbd_status *status, struct qbd_error *error)
{
	int result = qbd_client_status(client, options->name, status, error);

	if (!result && status->removed)
		return qbd_fail(error, ENXIO, "%s: this member was removed from the device, and is compared with nobody; verify on a member, and take this one down ('qbdadm down %s')",
				options->name, options->name);
	return result ? result :
	       qbd_client_verify_start(client, options->name, &options->wish, error);
}

static int verify(struct qbd_client *client, const struct verify_options *options)
{
	struct qbd_status *status = calloc(1, sizeof(*status));
	struct qbd_error error;
	int result;

	if (!status) {
		qbd_fail(&error, ENOMEM, "%s: out of memory", options->name);
		return qbdadm_failed(&error);
	}
	if (options->stop) {
		result = qbd_client_verify_stop(client, options->name, &error);
		if (!result)
			result = qbd_client_status(client, options->name, status, &error);
	} else {
		catch_signals();
		result = start(client, options, status, &error);
		if (!result)
			result = watch(client, options, status, &error);
	}
	if (result)
		result = qbdadm_failed(&error);
	else if (options->stop)
		result = qbdadm_flush(QBDADM_OK);
	else
		result = sum_up(status, options->json);
	free(status);
	return result;
}

static int take_option(int option, struct verify_options *chosen, struct qbd_error *error)
{
	uint64_t bytes;
	int result;

	switch (option) {
	case OPTION_MAX_RATE:
		result = qbd_parse_size(optarg, &chosen->wish.rate, error);
		if (!result && !chosen->wish.rate)
			result = qbd_fail(error, EINVAL,
					  "--max-rate: has to be more than 0");
		return result;
	case OPTION_FROM:
		result = qbd_parse_size(optarg, &bytes, error);
		if (!result && bytes % BLOCK_BYTES)
			result = qbd_fail(error, EINVAL,
					  "--from: has to be a multiple of 4096 bytes");
		chosen->wish.first_block = result ? 0 : bytes >> QBD_BLOCK_SHIFT;
		return result;
	case OPTION_REPAIR:
		chosen->wish.repair = true;
		return 0;
	case OPTION_STOP:
		chosen->stop = true;
		return 0;
	default:
		chosen->json = true;
		return 0;
	}
}

static int run_verify(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "max-rate", required_argument, NULL, OPTION_MAX_RATE },
		{ "repair", no_argument, NULL, OPTION_REPAIR },
		{ "from", required_argument, NULL, OPTION_FROM },
		{ "stop", no_argument, NULL, OPTION_STOP },
		{ }
	};
	struct verify_options chosen = { 0 };
	struct qbd_client client;
	struct qbd_error error;
	int status, option;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (take_option(option, &chosen, &error))
			return qbdadm_usage(command, "%s", error.text);
	}
	if (optind + 1 != argc)
		return qbdadm_usage(command, "verify: needs one NAME");
	if (chosen.stop && (chosen.wish.rate || chosen.wish.first_block || chosen.wish.repair))
		return qbdadm_usage(command, "verify: --stop goes with no other option");
	chosen.name = argv[optind];
	if (!qbdadm_name_good(command, chosen.name, &status))
		return status;
	if (qbd_client_open(&client, false, &error))
		return qbdadm_failed_for(chosen.name, "is not up: ", &error);
	status = verify(&client, &chosen);
	qbd_client_close(&client);
	return status;
}

const struct qbdadm_command qbdadm_verify = {
	.name = "verify",
	.synopsis = "NAME [--max-rate SIZE] [--repair] [--from SIZE] [--stop] [--json]",
	.summary = "Compare all replicas while the device is in use; repair what differs",
	.details =
"Every member that holds data says what it holds, piece by piece, all as of the same\n"
"entry of the log. Whoever uses the device comes first. It goes on when the leader\n"
"changes, and ends with this program, or with the member on this host. Exit status 0\n"
"if all was compared, on all of them, and is equal now; else 1, and what differs is\n"
"named by member and block of 4 KiB.\n"
"\n"
"  --max-rate SIZE   so many bytes a second on each member, at most; by default 32M\n"
"  --repair          what differs is written anew, as the majority of the members has\n"
"                    it; nothing is, where no majority agrees\n"
"  --from SIZE       begin so many bytes into the device\n"
"  --stop            end what was begun on this host\n"
"  --json            print JSON\n",
	.run = run_verify,
};
