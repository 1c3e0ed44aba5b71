// SPDX-License-Identifier: GPL-2.0
/*
 * qbdadm member list, add, remove, promote, demote, replace, set.
 *
 * Each reads the list in force, says in it what is meant to become of members, and has the
 * leader write it; then it waits until all that has come true.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "format/change.h"
#include "lib/client.h"
#include "lib/clock.h"
#include "lib/parse.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/render.h"

#define WAIT_SECONDS	60
/* The list changed under us, or another change is under way: so often again. */
#define TRIES		20
#define PAUSE_MS	250
/* A member that was silent for a moment, or a leader that is just elected, is there by then. */
#define HEARD_TRIES	4
/* Where it was in use it was closed a moment ago, and the leader has heard of that by then. */
#define USED_TRIES	2
/* A claim lease as it is set by default is over by then: a new leader knows who is in use. */
#define UNSAID_TRIES	24
/* Of what 'member add' prints: names and an address, and what is around them. */
#define COMMAND_SIZE	512

enum {
	OPTION_NO_WAIT = QBDADM_OPTION_LONG,
	OPTION_WAIT,
	OPTION_FORCE,
	OPTION_PRIORITY,
	OPTION_NAME,
	OPTION_LISTEN,
	OPTION_WITNESS,
};

struct member_arguments {
	const char *device;
	const char *members[QBD_MEMBERS_MAX];
	unsigned int count;
	const char *name;		/* set: NULL: stays */
	uint64_t priority;		/* set: UINT64_MAX: stays */
	struct qbd_address listen;	/* set: no port: stays */
	uint64_t wait;			/* seconds; 0: not at all */
	bool force;
	bool witness;
	bool json;
};

static const struct option member_options[] = {
	{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
	{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
	{ "no-wait", no_argument, NULL, OPTION_NO_WAIT },
	{ "wait", required_argument, NULL, OPTION_WAIT },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "priority", required_argument, NULL, OPTION_PRIORITY },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "listen", required_argument, NULL, OPTION_LISTEN },
	{ "witness", no_argument, NULL, OPTION_WITNESS },
	{ }
};

/* ---- lists -------------------------------------------------------------- */

static struct qbd_member_layout *member_of(struct qbd_membership_layout *list, uint32_t id)
{
	for (uint32_t i = 0; i < le32_to_cpu(list->count); i++)
		if (le32_to_cpu(list->members[i].id) == id)
			return &list->members[i];
	return NULL;
}

static void set_intent(struct qbd_member_layout *member, uint16_t intent, uint8_t group)
{
	uint16_t flags = le16_to_cpu(member->flags) & ~(QBD_MEMBER_INTENTS | QBD_MEMBER_FORCED);

	member->flags = cpu_to_le16(flags | intent);
	member->group = group;
}

static bool is_to(const struct qbd_member_layout *member, uint16_t intent)
{
	return le16_to_cpu(member->flags) & intent;
}

static bool votes(const struct qbd_member_layout *member)
{
	return is_to(member, QBD_MEMBER_VOTER);
}

/* It is to go by force, and that was not said of it so far. */
static bool needs_force(const struct member_arguments *arguments,
			const struct qbd_member_layout *member)
{
	return arguments->force && !is_to(member, QBD_MEMBER_FORCED);
}

/* Does this voter go when that one votes, and not before? */
static bool waits_for(const struct qbd_member_layout *member,
		      const struct qbd_member_layout *other)
{
	return votes(member) && is_to(member, QBD_MEMBER_DEMOTING | QBD_MEMBER_LEAVING) &&
	       is_to(other, QBD_MEMBER_JOINING) && member->group == other->group;
}

/* It is to vote, or is not to go, and that by itself. */
static void have_vote(struct qbd_member_layout *member)
{
	if (votes(member))
		set_intent(member, 0, 0);
	else if (!is_to(member, QBD_MEMBER_JOINING))
		set_intent(member, QBD_MEMBER_JOINING, 0);
}

/*
 * It is not to vote, and waits for nobody. Who was to go when it votes stays: that was asked for
 * together, and is taken back together. By @force: who was to go by itself goes by another
 * number, by which the leader sees that this is meant.
 */
static void have_no_vote(struct qbd_membership_layout *list, struct qbd_member_layout *member,
			 uint16_t intent, bool force)
{
	bool alone = votes(member) && is_to(member, intent) && member->group && !force;

	for (uint32_t i = 0; i < le32_to_cpu(list->count); i++) {
		struct qbd_member_layout *other = &list->members[i];

		alone &= !waits_for(member, other);
		if (waits_for(other, member) && other->group)
			set_intent(other, 0, 0);
	}
	if (!alone)
		set_intent(member, intent, votes(member) ? qbd_group_unused(list) : 0);
}

/*
 * What a command says of the members that it names, in the order given. Return: 0, or
 * -errno with the line.
 */
typedef int (*member_change)(const struct member_arguments *arguments,
			     struct qbd_membership_layout *list, const uint32_t *ids,
			     struct qbd_error *error);

static int want_removed(const struct member_arguments *arguments,
			struct qbd_membership_layout *list, const uint32_t *ids,
			struct qbd_error *error)
{
	(void)error;
	/* First who votes, for it may be that what takes its place goes as well. */
	for (unsigned int i = 0; i < arguments->count; i++)
		if (votes(member_of(list, ids[i])))
			have_no_vote(list, member_of(list, ids[i]), QBD_MEMBER_LEAVING,
				     needs_force(arguments, member_of(list, ids[i])));
	for (unsigned int i = 0; i < arguments->count; i++)
		if (!votes(member_of(list, ids[i])))
			have_no_vote(list, member_of(list, ids[i]), QBD_MEMBER_LEAVING, false);
	return 0;
}

static int want_promoted(const struct member_arguments *arguments,
			 struct qbd_membership_layout *list, const uint32_t *ids,
			 struct qbd_error *error)
{
	(void)error;
	for (unsigned int i = 0; i < arguments->count; i++)
		have_vote(member_of(list, ids[i]));
	return 0;
}

static int want_demoted(const struct member_arguments *arguments,
			struct qbd_membership_layout *list, const uint32_t *ids,
			struct qbd_error *error)
{
	(void)error;
	for (unsigned int i = 0; i < arguments->count; i++)
		if (votes(member_of(list, ids[i])))
			have_no_vote(list, member_of(list, ids[i]), QBD_MEMBER_DEMOTING, false);
	for (unsigned int i = 0; i < arguments->count; i++)
		if (!votes(member_of(list, ids[i])))
			have_no_vote(list, member_of(list, ids[i]), 0, false);
	return 0;
}

/*
 * Who waits for a new one is not who was to go, if nobody comes for it any more: 'remove' is to say
 * so. Who waits for one that is itself replaced, before it came, waits for what comes instead.
 *
 *	1 was to be replaced by 4, and 4 by 5, for 4 died. 1 was removed at once, with nobody in
 *	its place; and likewise when it was 2 that should have been replaced by 4, and not 1.
 */
static void pass_on(struct qbd_membership_layout *list, const struct qbd_member_layout *old,
		    const struct qbd_member_layout *new, uint8_t group)
{
	for (uint32_t i = 0; i < le32_to_cpu(list->count); i++) {
		struct qbd_member_layout *other = &list->members[i];

		if (waits_for(other, old))
			other->group = group;
		else if (other != old && waits_for(other, new))
			set_intent(other, 0, 0);
	}
}

/* The first goes when the second comes, in one step. */
static int want_replaced(const struct member_arguments *arguments,
			 struct qbd_membership_layout *list, const uint32_t *ids,
			 struct qbd_error *error)
{
	struct qbd_member_layout *old = member_of(list, ids[0]), *new = member_of(list, ids[1]);
	uint8_t group;

	if (!votes(old) && !is_to(old, QBD_MEMBER_JOINING))
		return qbd_fail(error, EINVAL,
				"%s: '%s' does not vote, and is not to: there is nothing to be replaced; use 'member promote' for '%s'",
				arguments->device, arguments->members[0], arguments->members[1]);
	if (votes(new))
		return qbd_fail(error, EINVAL,
				"%s: '%s' votes already; replace by a learner ('qbdadm join --learner'), or use 'member remove'",
				arguments->device, arguments->members[1]);
	if (waits_for(old, new) && is_to(old, QBD_MEMBER_LEAVING) && !needs_force(arguments, old))
		return 0;
	group = qbd_group_unused(list);
	pass_on(list, old, new, group);
	set_intent(old, QBD_MEMBER_LEAVING, votes(old) ? group : 0);
	set_intent(new, QBD_MEMBER_JOINING, group);
	return 0;
}

/* The module listens there before anybody is told. */
static int want_moved(const struct member_arguments *arguments,
		      struct qbd_member_layout *member, struct qbd_error *error)
{
	if (member->address.family != arguments->listen.family)
		return qbd_fail(error, EINVAL,
				"%s: --listen: '%s' and all others have addresses of another kind (IPv4 or IPv6)",
				arguments->device, arguments->members[0]);
	member->address = arguments->listen;
	return 0;
}

static int want_set(const struct member_arguments *arguments,
		    struct qbd_membership_layout *list, const uint32_t *ids,
		    struct qbd_error *error)
{
	struct qbd_member_layout *member = member_of(list, ids[0]);

	if (arguments->listen.port && want_moved(arguments, member, error))
		return -EINVAL;
	if (arguments->priority != UINT64_MAX)
		member->priority = (uint8_t)arguments->priority;
	if (arguments->name) {
		memset(member->name, 0, sizeof(member->name));
		strncpy(member->name, arguments->name, sizeof(member->name) - 1);
	}
	return 0;
}

/* ---- asking and waiting ------------------------------------------------- */

static const char *intent_text(uint32_t flags)
{
	if (flags & QBD_MEMBER_FLAGS_JOINING)
		return "joining";
	if (flags & QBD_MEMBER_FLAGS_DEMOTING)
		return "demoting";
	return flags & QBD_MEMBER_FLAGS_LEAVING ? "leaving" : "";
}

enum progress {
	PROGRESS_OPEN,
	PROGRESS_DONE,
	PROGRESS_TAKEN_BACK,
};

static bool is_set(const struct member_arguments *arguments,
		   const struct qbd_member_status *member)
{
	return (!arguments->listen.port ||
		qbd_address_same(&member->address, &arguments->listen)) &&
	       (arguments->priority == UINT64_MAX || member->priority == arguments->priority) &&
	       (!arguments->name || !strcmp(member->name, arguments->name));
}

/* The member that was named in that place. */
static bool stays_in(member_change want, unsigned int place)
{
	return want != want_removed && (want != want_replaced || place);
}

/* What is to be of the member that was named in that place? NULL: it is gone. */
static bool is_as_wanted(const struct member_arguments *arguments, member_change want,
			 unsigned int place, const struct qbd_member_status *member)
{
	if (!member || !stays_in(want, place))
		return !member && !stays_in(want, place);
	if (want == want_set)
		return is_set(arguments, member);
	return !(member->flags & QBD_MEMBER_FLAGS_VOTER) == (want == want_demoted);
}

static bool will_vote(const struct qbd_member_status *member)
{
	if (member->flags & QBD_MEMBER_FLAGS_VOTER)
		return !intent_text(member->flags)[0];
	return member->flags & QBD_MEMBER_FLAGS_JOINING;
}

/* It is so, or is meant to become so. */
static bool is_meant(const struct qbd_status *status, const struct member_arguments *arguments,
		     member_change want, const uint32_t *ids)
{
	for (unsigned int i = 0; i < arguments->count; i++) {
		const struct qbd_member_status *member = qbd_status_member(status, ids[i]);
		bool stays = stays_in(want, i);

		/* As it was before, when somebody else was to vote in its place. */
		if (want != want_replaced && want != want_set && member && member->has_group &&
		    qbd_status_waits_for(status, member))
			return false;
		/* Or as long as somebody uses the device there. */
		if (arguments->force && !stays && member &&
		    member->flags & QBD_MEMBER_FLAGS_VOTER &&
		    !(member->flags & QBD_MEMBER_FLAGS_FORCED))
			return false;
		if (!member || !stays) {
			if (stays || (member && !(member->flags & QBD_MEMBER_FLAGS_LEAVING)))
				return false;
		} else if (want == want_set ? !is_set(arguments, member) :
					      will_vote(member) == (want == want_demoted)) {
			return false;
		}
	}
	return true;
}

/* What is meant of others may take as long as it takes, or wait for somebody who is away. */
static enum progress progress_of(const struct qbd_status *status,
				 const struct member_arguments *arguments,
				 member_change want, const uint32_t *ids)
{
	enum progress progress = PROGRESS_DONE;

	for (uint32_t i = 0; want != want_set && i < status->member_count; i++)
		if (status->members[i].flags & QBD_MEMBER_FLAGS_VOTER_OLD)
			return PROGRESS_OPEN;
	for (unsigned int i = 0; i < arguments->count; i++) {
		const struct qbd_member_status *member = qbd_status_member(status, ids[i]);

		if (member && want != want_set && intent_text(member->flags)[0])
			return PROGRESS_OPEN;
		if (!is_as_wanted(arguments, want, i, member))
			progress = PROGRESS_TAKEN_BACK;
	}
	return progress;
}

/* It does not get lost any more. */
static bool is_committed(const struct qbd_status *status)
{
	return status->commit_index >= status->members_index;
}

/* @after: index of the list that the change was made from; what is here may be that still. */
static int wait_done(struct qbd_client *client, const struct member_arguments *arguments,
		     member_change want, const uint32_t *ids, uint64_t after,
		     struct qbd_status *status, struct qbd_error *error)
{
	int64_t end = qbd_now_ms() + (int64_t)arguments->wait * 1000;
	bool known, taken = false;
	enum progress progress;
	char steps[256];

	for (;;) {
		int result = qbd_client_status(client, arguments->device, status, error);

		if (result)
			return result;
		/* Of a member that was removed nobody tells us more. */
		if (status->removed)
			return 0;
		known = status->members_index > after && is_committed(status);
		taken |= known;
		progress = known ? progress_of(status, arguments, want, ids) : PROGRESS_OPEN;
		if (progress == PROGRESS_DONE)
			return 0;
		if (progress == PROGRESS_TAKEN_BACK)
			return qbd_fail(error, ESTALE,
					"%s: the change was taken, and taken back by somebody else, or lost with its leader; 'qbdadm member list' shows how the members are now",
					arguments->device);
		if (qbd_now_ms() >= end && !taken)
			return qbd_fail(error, ETIMEDOUT,
					"%s: the change was taken, but as far as is known here it is not committed after %"
					PRIu64 " s, and may be lost with its leader; 'qbdadm member list' shows how the members are",
					arguments->device, arguments->wait);
		if (qbd_now_ms() >= end)
			return qbd_fail(error, ETIMEDOUT,
					"%s: the change goes on by itself, but is not done after %"
					PRIu64 " s: %s; 'qbdadm status' shows it",
					arguments->device, arguments->wait,
					qbdadm_open_steps(status, steps, sizeof(steps)));
		qbd_pause_ms(PAUSE_MS);
	}
}

static int resolve_all(const struct member_arguments *arguments,
		       const struct qbd_status *status, uint32_t *ids,
		       struct qbd_error *error)
{
	for (unsigned int i = 0; i < arguments->count; i++) {
		int result = qbd_status_resolve(status, arguments->members[i], &ids[i], error);

		if (result)
			return result;
		for (unsigned int j = 0; j < i; j++)
			if (ids[j] == ids[i])
				return qbd_fail(error, EINVAL,
						"%s: '%s' and '%s' are the same member",
						arguments->device, arguments->members[j],
						arguments->members[i]);
	}
	return 0;
}

/* A file system on a member that goes is lost to its users. */
static int check_own_use(const struct member_arguments *arguments,
			 const struct qbd_status *status,
			 const struct qbd_membership_layout *list, struct qbd_error *error)
{
	for (uint32_t i = 0; i < le32_to_cpu(list->count); i++)
		if (le32_to_cpu(list->members[i].id) == status->member_id &&
		    le16_to_cpu(list->members[i].flags) & QBD_MEMBER_LEAVING &&
		    status->in_use && !arguments->force)
			return qbd_fail(error, EBUSY,
					"%s: /dev/qbd%u is in use on this host, and its I/O fails when this member is removed; unmount it first, or use --force",
					arguments->device, status->number);
	return 0;
}

/* How often in all it is asked for if that comes of it. @lost: an answer was. */
static unsigned int tries_of(int result, bool lost)
{
	if (result == -EAGAIN || result == -ESTALE || (result == -EHOSTUNREACH && lost))
		return TRIES;
	if (result == -EINPROGRESS)
		return UNSAID_TRIES;
	if (result == -EBUSY)
		return USED_TRIES;
	return result == -EHOSTUNREACH ? HEARD_TRIES : 1;
}

/*
 * An answer may be lost although the change was taken: a leader that is to leave hands over
 * at once. Then it shows when the members are looked at again.
 */
static int change(struct qbd_client *client, const struct member_arguments *arguments,
		  member_change want, struct qbd_status *status, struct qbd_error *error)
{
	struct qbd_membership_layout list, now;
	uint32_t ids[QBD_MEMBERS_MAX];
	bool asked = false, lost = false, same = false;
	int result;

	for (unsigned int try = 1; ; try++) {
		result = qbd_client_status(client, arguments->device, status, error);
		if (result)
			return result;
		/* Because of us, or as if. */
		if (asked && is_meant(status, arguments, want, ids))
			break;
		result = asked ? 0 : qbd_status_check_member(status, error);
		if (!result)
			result = resolve_all(arguments, status, ids, error);
		if (result)
			return result;
		qbd_status_list(status, &now);
		list = now;
		result = want(arguments, &list, ids, error);
		qbd_status_fit_list(status, &list);
		if (!result)
			result = check_own_use(arguments, status, &list, error);
		if (result)
			return result;
		same = !memcmp(&list, &now, sizeof(now));
		asked |= !same;
		result = qbd_client_change_members(client, arguments->device, &list,
						   arguments->force, error);
		/* By what is known here; there is no leader who knows more. */
		if (same && is_committed(status) && result == -EHOSTUNREACH)
			result = qbd_fail(error, EINVAL, "%s: %s", arguments->device,
					  qbd_change_text(QBD_CHANGE_NOTHING));
		lost |= result == -EAGAIN;
		if (try >= tries_of(result, lost))
			break;
		qbd_pause_ms(PAUSE_MS);
	}
	if (!result && arguments->wait)
		result = wait_done(client, arguments, want, ids,
				   same ? 0 : le64_to_cpu(now.index), status, error);
	else if (!result)
		result = qbd_client_status(client, arguments->device, status, error);
	return result;
}

/* ---- printing ----------------------------------------------------------- */

static const char *vote_text(uint32_t flags)
{
	if (flags & QBD_MEMBER_FLAGS_WITNESS && flags & QBD_MEMBER_FLAGS_VOTER)
		return "witness";
	if (flags & QBD_MEMBER_FLAGS_VOTER)
		return "voter";
	if (flags & QBD_MEMBER_FLAGS_CLIENT)
		return "client";
	return flags & QBD_MEMBER_FLAGS_VOTER_OLD ? "old voter" : "learner";
}

static int print_members_json(const struct qbd_status *status)
{
	struct json_object *object = json_object_new_object();

	qbdadm_json_string(object, "name", status->name);
	qbdadm_json_number(object, "member_id", status->member_id);
	qbdadm_json_bool(object, "removed", status->removed);
	qbdadm_json_number(object, "members_index", status->members_index);
	json_object_object_add(object, "members", qbdadm_members_json(status));
	qbdadm_print_json(object);
	return qbdadm_flush(QBDADM_OK);
}

static int print_members(const struct qbd_status *status, bool json)
{
	char address[QBD_ADDRESS_TEXT_SIZE];

	if (json)
		return print_members_json(status);
	if (status->removed)
		printf("%s: this member was removed from the device; 'qbdadm down %s', then its disk is free\n",
		       status->name, status->name);
	for (uint32_t i = 0; i < status->member_count; i++) {
		const struct qbd_member_status *member = &status->members[i];
		const char *intent = intent_text(member->flags);

		printf("  %-16s %3u  %-9s  priority %3u  %s%s%s%s\n", member->name, member->id,
		       vote_text(member->flags), member->priority,
		       qbd_address_text(&member->address, address), intent[0] ? ", " : "",
		       intent, member->leader ? ", leads" : "");
	}
	return qbdadm_flush(QBDADM_OK);
}

/* ---- commands ----------------------------------------------------------- */

static int take_option(struct member_arguments *arguments, int option, struct qbd_error *error)
{
	switch (option) {
	case QBDADM_OPTION_JSON:
		arguments->json = true;
		return 0;
	case OPTION_NO_WAIT:
		arguments->wait = 0;
		return 0;
	case OPTION_WAIT:
		return qbd_parse_number("--wait", optarg, 1, 86400, &arguments->wait, error);
	case OPTION_FORCE:
		arguments->force = true;
		return 0;
	case OPTION_WITNESS:
		arguments->witness = true;
		return 0;
	case OPTION_PRIORITY:
		return qbd_parse_number("--priority", optarg, 0, 255, &arguments->priority,
					error);
	case OPTION_LISTEN:
		return qbd_parse_address(optarg, &arguments->listen, error);
	default:
		arguments->name = optarg;
		return qbd_check_member_name(optarg, optarg, 1, error);
	}
}

/* Return: 0, or -1 with an exit status. */
static int parse_arguments(const struct qbdadm_command *command, int argc, char **argv,
			   struct member_arguments *arguments, int *status)
{
	struct qbd_error error;
	int option;

	while ((option = qbdadm_next_option(command, argc, argv, member_options,
					    status)) != -1) {
		if (option == -2)
			return -1;
		if (take_option(arguments, option, &error)) {
			*status = qbdadm_usage(command, "%s", error.text);
			return -1;
		}
	}
	if (optind < argc)
		arguments->device = argv[optind++];
	for (; optind < argc && arguments->count < QBD_MEMBERS_MAX; optind++)
		arguments->members[arguments->count++] = argv[optind];
	if (optind < argc || !arguments->device) {
		*status = qbdadm_usage(command, "%s: needs the device's NAME%s", command->name,
				       optind < argc ? " and fewer members" : "");
		return -1;
	}
	return qbdadm_name_good(command, arguments->device, status) ? 0 : -1;
}

/* Which command wants what, and how many members it has to be given. */
static const struct {
	const struct qbdadm_command *command;
	member_change want;
	unsigned int least, most;
	const char *needs;
} changes[] = {
	{ &qbdadm_member_remove, want_removed, 1, QBD_MEMBERS_MAX,
	  "one MEMBER at least is needed" },
	{ &qbdadm_member_promote, want_promoted, 1, QBD_MEMBERS_MAX,
	  "one MEMBER at least is needed" },
	{ &qbdadm_member_demote, want_demoted, 1, QBD_MEMBERS_MAX,
	  "one MEMBER at least is needed" },
	{ &qbdadm_member_replace, want_replaced, 2, 2,
	  "OLD, a voter, and NEW, the learner that takes its place, are needed" },
	{ &qbdadm_member_set, want_set, 1, 1, "one MEMBER is needed" },
	{ &qbdadm_member_list, NULL, 0, 0, "all members are listed, none is to be named" },
};

/* Options that only some commands have. Return: what is wrong, or NULL. */
static const char *misplaced(const struct qbdadm_command *command,
			     const struct member_arguments *arguments)
{
	bool sets = arguments->name || arguments->priority != UINT64_MAX ||
		    arguments->listen.port;

	if (sets && command != &qbdadm_member_set)
		return "--name, --priority and --listen are for 'member set'";
	if (!sets && command == &qbdadm_member_set)
		return "member set: needs --name, --priority or --listen";
	if (arguments->force && command != &qbdadm_member_remove &&
	    command != &qbdadm_member_replace)
		return "--force is for 'member remove' and 'member replace'";
	if (arguments->witness && command != &qbdadm_member_add)
		return "--witness is for 'member add': what a member is it is from the start";
	return NULL;
}

static int run_member(const struct qbdadm_command *command, int argc, char **argv)
{
	struct member_arguments arguments = { .priority = UINT64_MAX, .wait = WAIT_SECONDS };
	struct qbd_client client;
	struct qbd_status status;
	struct qbd_error error;
	unsigned int which = 0;
	const char *wrong;
	int result;

	if (parse_arguments(command, argc, argv, &arguments, &result))
		return result;
	while (changes[which].command != command)
		which++;
	if (arguments.count < changes[which].least || arguments.count > changes[which].most)
		return qbdadm_usage(command, "%s: %s; %u %s given", command->name,
				    changes[which].needs, arguments.count,
				    arguments.count == 1 ? "was" : "were");
	wrong = misplaced(command, &arguments);
	if (wrong)
		return qbdadm_usage(command, "%s", wrong);
	if (qbd_client_open(&client, false, &error))
		return qbdadm_failed_for(arguments.device, "is not up: ", &error);
	if (changes[which].want)
		result = change(&client, &arguments, changes[which].want, &status, &error);
	else
		result = qbd_client_status(&client, arguments.device, &status, &error);
	qbd_client_close(&client);
	return result ? qbdadm_failed(&error) : print_members(&status, arguments.json);
}

#define WAIT_DETAILS \
"  --wait SECONDS   how long to wait for it, 60 by default; it goes on by itself\n" \
"  --no-wait        do not wait\n" \
"  --json           print JSON: the members\n"

const struct qbdadm_command qbdadm_member_list = {
	.name = "member list",
	.synopsis = "NAME [--json]",
	.summary = "The members of a device, and what is to become of them",
	.details = "  --json   print JSON\n",
	.run = run_member,
};

static void print_add_json(const struct qbd_status *status, const char *here, const char *there)
{
	struct json_object *object = json_object_new_object();

	qbdadm_json_string(object, "name", status->name);
	qbdadm_json_string(object, "here", here);
	qbdadm_json_string(object, "new_host", there);
	qbdadm_print_json(object);
}

/* Here somebody has to be told what to do there: only that host has its disk. */
static int run_add(const struct qbdadm_command *command, int argc, char **argv)
{
	const struct qbd_member_status *self;
	char here[COMMAND_SIZE], there[COMMAND_SIZE];
	char address[QBD_ADDRESS_TEXT_SIZE];
	struct member_arguments arguments = { .priority = UINT64_MAX };
	struct qbd_client client;
	struct qbd_status status;
	struct qbd_error error;
	int result;

	if (parse_arguments(command, argc, argv, &arguments, &result))
		return result;
	if (arguments.count || misplaced(command, &arguments))
		return qbdadm_usage(command, "member add: takes the device's NAME only; the new host itself joins, with its own disk");
	if (qbd_client_open(&client, false, &error))
		return qbdadm_failed_for(arguments.device, "is not up: ", &error);
	result = qbd_client_status(&client, arguments.device, &status, &error);
	qbd_client_close(&client);
	if (result)
		return qbdadm_failed(&error);
	self = qbd_status_member(&status, status.member_id);
	if (!self || status.removed)
		return qbdadm_usage(command, "%s: this host is no member any more; ask on another one",
				    status.name);
	if (status.member_count == QBD_MEMBERS_MAX)
		return qbdadm_usage(command, "%s: has %u members, and more cannot be", status.name,
				    QBD_MEMBERS_MAX);
	snprintf(here, sizeof(here), "qbdadm token show %s --out %s.token", status.name,
		 status.name);
	snprintf(there, sizeof(there),
		 "qbdadm join %s %s --disk /dev/DISK --listen ADDRESS --token-file %s.token%s",
		 qbd_address_text(&self->address, address), status.name, status.name,
		 arguments.witness ? " --witness" : "");
	if (arguments.json)
		print_add_json(&status, here, there);
	else
		printf("A host becomes a member by itself. Here, and copy the file to the new host, unseen by\n"
		       "others:\n"
		       "  %s\n"
		       "On the new host, with its disk and its address:\n"
		       "  %s\n", here, there);
	return qbdadm_flush(QBDADM_OK);
}

const struct qbdadm_command qbdadm_member_add = {
	.name = "member add",
	.synopsis = "NAME [--witness] [--json]",
	.summary = "What has to be run where for a host to become a member",
	.details =
"Prints the commands: the token here, 'qbdadm join' on the new host. Nothing is changed.\n"
"\n"
"  --witness        it shall vote and log, and keep no data\n"
"  --json           print JSON: the two commands\n",
	.run = run_add,
};

const struct qbdadm_command qbdadm_member_remove = {
	.name = "member remove",
	.synopsis = "NAME MEMBER... [--force] [--wait SECONDS | --no-wait] [--json]",
	.summary = "Take members out of a device that is in use, by name or id",
	.details =
"Refused if the voters that remain would have no majority that is up, and if one of\n"
"those that go has the device in use (open, mounted, claimed). A host that is gone\n"
"has not, when the lease of its claim is over. A leader hands over first. A removed\n"
"member says so and fails its I/O; take it down then.\n"
"\n"
"  --force          even though the device is in use there: what goes on fails\n" WAIT_DETAILS,
	.run = run_member,
};

const struct qbdadm_command qbdadm_member_promote = {
	.name = "member promote",
	.synopsis = "NAME MEMBER... [--wait SECONDS | --no-wait] [--json]",
	.summary = "Make learners voters, each as soon as it has caught up",
	.details =
"Of a voter that was to be demoted or removed it takes that back, if it has not\n"
"happened yet.\n"
"\n" WAIT_DETAILS,
	.run = run_member,
};

const struct qbdadm_command qbdadm_member_demote = {
	.name = "member demote",
	.synopsis = "NAME MEMBER... [--wait SECONDS | --no-wait] [--json]",
	.summary = "Make voters learners: they are sent all, and never count",
	.details = WAIT_DETAILS,
	.run = run_member,
};

const struct qbdadm_command qbdadm_member_replace = {
	.name = "member replace",
	.synopsis = "NAME OLD NEW [--force] [--wait SECONDS | --no-wait] [--json]",
	.summary = "A learner takes the place of a voter, in one step",
	.details =
"NEW is a learner that joined before. OLD votes until NEW has caught\n"
"up; then both change at once, and OLD is removed. If NEW is removed before, OLD stays.\n"
"OLD may be one that is to vote and does not yet: whoever it was to replace waits for NEW.\n"
"\n"
"  --force          even though OLD has the device in use (open, mounted, claimed):\n"
"                   what goes on there fails\n" WAIT_DETAILS,
	.run = run_member,
};

const struct qbdadm_command qbdadm_member_set = {
	.name = "member set",
	.synopsis = "NAME MEMBER [--name HOST] [--priority N] [--listen ADDRESS[:PORT]] [--json]",
	.summary = "What a member is called, how gladly it leads, where it listens",
	.details =
"  --name HOST      what people call it\n"
"  --listen ADDRESS its new address, port 7900 by default; on its own host only. It\n"
"                   listens at both until all others have moved over\n"
"  --priority N     0 to 255, 100 by default; the higher, the rather leader\n"
"  --json           print JSON: the members\n",
	.run = run_member,
};
