// SPDX-License-Identifier: GPL-2.0
/*
 * qbdadm connect: a host without a disk uses a device.
 *
 * It becomes a member of its own kind, a client, whose log is in a small file. What is there
 * decides what is done:
 *
 *   up here    file            in the members' list   connect
 *   yes        -               -                      it is connected already
 *   no         of this device  yes, or nobody says    it comes up: the same member as before
 *   no         of this device  no                     the file is of no use: as without one
 *   no         another's       -                      refused
 *   no         none            a client of the same   that one is taken out, then as below
 *                              name, not connected
 *   no         none            another of that name   refused
 *   no         none            no                     a new member, a new file
 *
 * The file gets its name when it is whole, and the list names it by then. If power goes in
 * between, there is one in the list that nobody is: the next connect of this host takes it out.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "lib/client.h"
#include "lib/join.h"
#include "lib/logfile.h"
#include "lib/loop.h"
#include "lib/parse.h"
#include "lib/plan.h"
#include "qbdadm/connect.h"
#include "qbdadm/prepare.h"
#include "qbdadm/qbdadm.h"
#include "qbdadm/up.h"

/* More than it takes to commit what comes; what it lacks comes from the leader's log. */
#define LOG_BYTES	(16ULL << 20)
/* Metadata before the log, and a block behind it that is left alone. */
#define OTHER_BYTES	(2ULL << 20)
/* A host that knows who it is does not wait for others to come up. */
#define KNOWN_WAIT_MS	3000

struct connect_arguments {
	const char *name;
	const char *token_file;
	const char *listen;
	const char *host;
	char file[PATH_MAX - sizeof(".new")];
	bool json;
};

enum {
	OPTION_TOKEN_FILE = QBDADM_OPTION_LONG,
	OPTION_LISTEN,
	OPTION_NAME,
	OPTION_FILE,
};

/* ---- what is there ------------------------------------------------------- */

/* It is up. Return: 0 if it is what was asked for. */
static int check_up(const struct qbd_status *status, const struct qbd_token *token,
		    struct qbd_error *error)
{
	if (memcmp(status->uuid, token->uuid, sizeof(token->uuid)))
		return qbd_fail(error, EEXIST, "%s: another device of that name is up on this host; take it down first",
				status->name);
	if (status->removed)
		return qbd_fail(error, ENXIO, "%s: member %u, as which this host was connected, was removed from the device; 'qbdadm disconnect %s', then connect again",
				status->name, status->member_id, status->name);
	if (qbd_status_is_client(status))
		return 0;
	if (status->number == QBD_NO_NUMBER)
		return qbd_fail(error, EEXIST, "%s: this host is member %u of it, a witness, which has no device; connect from another host",
				status->name, status->member_id);
	return qbd_fail(error, EEXIST, "%s: this host is member %u of it, with data, and has /dev/qbd%u already",
			status->name, status->member_id, status->number);
}

int qbdadm_look_at_file(const char *path, const char *name, const struct qbd_token *token,
			struct qbd_found *found, struct qbd_error *error)
{
	char uuid[UUID_STR_LEN];
	int result;

	result = qbd_logfile_look(path, found, error);
	if (result == -ENOENT)
		return 0;
	if (result <= 0)
		return result ? result : -EINVAL;
	uuid_unparse_lower(found->uuid, uuid);
	if (token && memcmp(found->uuid, token->uuid, sizeof(token->uuid)))
		return qbd_fail(error, EEXIST, "%s: is of another device than the token is, of %s (%s); name another --file, or end that one with 'qbdadm disconnect %s --file %s'",
				path, found->name, uuid, found->name, path);
	if (strcmp(found->name, name))
		return qbd_fail(error, EEXIST, "%s: is of %s, not of %s", path, found->name, name);
	if (found->problem[0])
		return qbd_fail(error, EUCLEAN, "%s; remove the file, and connect again",
				found->problem);
	return 1;
}

/* ---- a new file ---------------------------------------------------------- */

/* What goes to the device would become a write to the device. */
static bool lies_on_qbd(const struct stat *status)
{
	static const char *const places[] = { "", "../" };
	char path[64];

	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%sqbd/name",
			 major(status->st_dev), minor(status->st_dev), places[i]);
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

/* All of it is there: no write to it lacks room later. */
static int make_file(const char *path, uint64_t bytes, struct qbd_error *error)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat status;
	int result = 0;

	if (fd < 0)
		return qbd_fail(error, errno, "%s: cannot be made: %s", path, strerror(errno));
	if (fstat(fd, &status) || fchmod(fd, 0600))
		result = errno;
	else if (lies_on_qbd(&status))
		result = EDEADLK;
	else
		result = posix_fallocate(fd, 0, (off_t)bytes);
	close(fd);
	if (!result)
		return 0;
	unlink(path);
	if (result == EDEADLK)
		return qbd_fail(error, result, "%s: lies on a qbd device, which would wait for itself; name a --file elsewhere",
				path);
	return qbd_fail(error, result, "%s: cannot be made: %s", path, strerror(result));
}

/* It has its name, and keeps it. */
static int name_file(const char *from, const char *to, struct qbd_error *error)
{
	char path[PATH_MAX];
	const char *directory;
	int fd;

	snprintf(path, sizeof(path), "%s", to);
	directory = dirname(path);
	if (rename(from, to))
		return qbd_fail(error, errno, "%s: cannot be renamed: %s", from, strerror(errno));
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd)) {
		int code = errno;

		if (fd >= 0)
			close(fd);
		return qbd_fail(error, code, "%s: %s", directory, strerror(code));
	}
	close(fd);
	return 0;
}

static int make_directory(const char *file, struct qbd_error *error)
{
	char path[PATH_MAX];
	const char *directory;

	snprintf(path, sizeof(path), "%s", file);
	directory = dirname(path);
	if (strcmp(directory, QBD_LOGFILE_DIRECTORY) || !mkdir(directory, 0700) ||
	    errno == EEXIST)
		return 0;
	return qbd_fail(error, errno, "%s: cannot be made: %s", directory, strerror(errno));
}

static int make_plan(const struct qbd_join *join, const struct qbd_disk *disk,
		     struct qbd_format_parameters *parameters, struct qbd_error *error)
{
	const struct qbd_description *device = &join->description;
	const struct qbd_plan_wish wish = {
		.device_bytes = le64_to_cpu(device->device_blocks) << QBD_BLOCK_SHIFT,
		.log_bytes = LOG_BYTES,
		.extent_bytes = 1ULL << le32_to_cpu(device->extent_shift),
		.client = true,
	};

	parameters->name = join->name;
	parameters->token = join->token;
	parameters->members = &device->membership;
	parameters->joins = true;
	parameters->configuration = le32_to_cpu(device->configuration);
	parameters->claim = device->claim;
	return qbd_plan_compute(disk->path, disk->blocks, &wish, &parameters->plan, error);
}

static int left_behind(const struct qbd_join *join, const char *why, struct qbd_error *error)
{
	return qbd_fail(error, EIO, "%.400s; 'qbdadm status' on a member may show %s, a client: connect again, and it is taken out, or do it there with 'qbdadm member remove %s %s'",
			why, join->self.name, join->name, join->self.name);
}

/*
 * The list has us, or may, when this begins to write what depends on it: all that can be
 * refused was refused, and all that can fail was done before.
 */
static int join_with(struct qbd_join *join, struct qbd_disk *disk, struct qbd_error *error)
{
	struct qbd_format_parameters parameters = { 0 };
	bool added;
	int result;

	result = make_plan(join, disk, &parameters, error);
	if (!result)
		result = qbd_format_prepare(disk, &parameters, error);
	if (result)
		return result;
	result = qbd_join_ask(join, &added, error);
	if (result)
		return added ? left_behind(join, strdupa(error->text), error) : result;
	parameters.member_id = le32_to_cpu(join->self.id);
	memcpy(parameters.history, join->description.history, QBD_UUID_SIZE);
	memcpy(parameters.incarnation, join->self.incarnation, QBD_UUID_SIZE);
	result = qbd_format_finish(disk, &parameters, error);
	return result ? left_behind(join, strdupa(error->text), error) : 0;
}

/* As a member that was none before. */
static int connect_anew(const struct connect_arguments *arguments, struct qbd_join *join,
			struct qbd_error *error)
{
	char path[PATH_MAX];
	struct qbd_disk disk;
	int result;

	result = qbd_join_look(join, error);
	if (!result)
		result = qbdadm_check_listen(&join->self.address, error);
	if (result)
		return result;
	result = qbd_loop_check(arguments->file, error);
	if (result)
		return result;
	snprintf(path, sizeof(path), "%s.new", arguments->file);
	result = make_file(path, LOG_BYTES + OTHER_BYTES, error);
	if (result)
		return result;
	result = qbd_disk_open(&disk, path, QBD_DISK_WRITE | QBD_DISK_ALLOW_FILE, error);
	if (!result) {
		result = join_with(join, &disk, error);
		qbd_disk_close(&disk);
	}
	if (!result)
		result = name_file(path, arguments->file, error);
	if (result)
		unlink(path);
	return result;
}

/* ---- connect ------------------------------------------------------------- */

/* Where this host is for who is at @contact, which is where it can be reached from there. */
static int guess_listen(const struct qbd_address *contact, struct qbd_address *address,
			struct qbd_error *error)
{
	struct sockaddr_storage storage;
	socklen_t length = qbd_address_to_socket(contact, &storage);
	char text[QBD_ADDRESS_TEXT_SIZE];
	int fd = socket(storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int code = 0;

	*address = *contact;
	address->port = cpu_to_le16(QBD_DEFAULT_PORT);
	/* Nothing is sent: the way is looked up. */
	if (fd < 0 || connect(fd, (struct sockaddr *)&storage, length) ||
	    getsockname(fd, (struct sockaddr *)&storage, &length))
		code = errno;
	if (fd >= 0)
		close(fd);
	if (code)
		return qbd_fail(error, code, "%s: no way there from this host: %s; bring the network up first, or correct the address",
				qbd_address_text(contact, text), strerror(code));
	if (storage.ss_family == AF_INET)
		memcpy(address->bytes, &((struct sockaddr_in *)&storage)->sin_addr, 4);
	else
		memcpy(address->bytes, &((struct sockaddr_in6 *)&storage)->sin6_addr, 16);
	return 0;
}

static int take_self(const struct connect_arguments *arguments, struct qbd_join *join,
		     struct qbd_error *error)
{
	struct qbd_member_layout *self = &join->self;
	int result;

	self->flags = cpu_to_le16(QBD_MEMBER_LEARNER | QBD_MEMBER_CLIENT);
	self->priority = QBD_PRIORITY_DEFAULT;
	if (arguments->listen)
		result = qbd_parse_address(arguments->listen, &self->address, error);
	else
		result = guess_listen(&join->contact, &self->address, error);
	return result ? result : qbdadm_host_name(arguments->host, self->name, error);
}

/*
 * There is a file. Is it still a member's?
 * Return: 1 it is, or nobody says; 0 it is not; -errno.
 */
static int check_listed(struct qbd_join *join, const struct qbd_found *found,
			struct qbd_error *error)
{
	unsigned int wait_ms = join->wait_ms;
	int result;

	join->wait_ms = KNOWN_WAIT_MS;
	result = qbd_join_describe(join, error);
	join->wait_ms = wait_ms;
	if (result == -EACCES || result == -EINVAL)
		return result;
	if (result) {
		qbdadm_warn("%s; this host comes up as before, and goes on looking for the others",
			    error->text);
		return 1;
	}
	if (qbd_join_listed(join, found->incarnation))
		return 1;
	/* One that says otherwise may be lost with its leader still. */
	if (qbd_join_committed(join))
		return 0;
	return qbd_fail(error, EAGAIN, "%s: the members are just being changed; try again",
			join->name);
}

/* @lock is held. Return: 0 when there is a file that is a member's. */
static int prepare_file(const struct connect_arguments *arguments, struct qbd_join *join,
			struct qbd_error *error)
{
	struct qbd_found found;
	int result;

	result = qbdadm_look_at_file(arguments->file, arguments->name, join->token, &found, error);
	if (result > 0) {
		result = check_listed(join, &found, error);
		if (result)
			return result > 0 ? 0 : result;
		qbdadm_warn("%s: member %u, as which this host was connected before, was removed from the device",
			    arguments->name, found.member_id);
	}
	return result ? result : connect_anew(arguments, join, error);
}

static int print_connected(const struct connect_arguments *arguments,
			   const struct qbd_status *status)
{
	if (arguments->json) {
		struct json_object *object = json_object_new_object();

		qbdadm_json_string(object, "name", status->name);
		qbdadm_json_device(object, status->number);
		qbdadm_json_number(object, "member_id", status->member_id);
		qbdadm_json_bool(object, "was_up", true);
		qbdadm_print_json(object);
	} else {
		printf("%s: is connected already: member %u, a client, is up as /dev/qbd%u\n",
		       status->name, status->member_id, status->number);
	}
	return qbdadm_flush(QBDADM_OK);
}

/* With the lock of the file's directory. Return: the exit status. */
static int connect_locked(const struct connect_arguments *arguments, struct qbd_join *join)
{
	struct qbd_client client;
	struct qbd_status status;
	struct qbd_error error;
	int result;

	if (qbd_client_open(&client, true, &error))
		return qbdadm_failed(&error);
	result = qbd_client_status(&client, arguments->name, &status, &error);
	qbd_client_close(&client);
	if (!result)
		return check_up(&status, join->token, &error) ? qbdadm_failed(&error) :
		       print_connected(arguments, &status);
	if (result != -ENODEV)
		return qbdadm_failed(&error);
	if (prepare_file(arguments, join, &error))
		return qbdadm_failed(&error);
	if (!arguments->json && join->replaced)
		printf("%s: member %u (%s), a client that was not connected, has been taken out: this host takes its place\n",
		       arguments->name, join->replaced, join->self.name);
	if (!arguments->json && join->self.id)
		printf("%s: member %u (%s) of %u is a client; what it has to know is in %s\n",
		       arguments->name, le32_to_cpu(join->self.id), join->self.name,
		       le32_to_cpu(join->description.membership.count), arguments->file);
	return -1;
}

static int take_option(struct connect_arguments *arguments, int option, struct qbd_error *error)
{
	size_t room = sizeof(arguments->file);

	switch (option) {
	case QBDADM_OPTION_JSON:
		arguments->json = true;
		return 0;
	case OPTION_TOKEN_FILE:
		arguments->token_file = optarg;
		return 0;
	case OPTION_LISTEN:
		arguments->listen = optarg;
		return 0;
	case OPTION_NAME:
		arguments->host = optarg;
		return 0;
	default:
		if (!optarg[0] || (size_t)snprintf(arguments->file, room, "%s", optarg) >= room)
			return qbd_fail(error, EINVAL, "--file: is no path of a file");
		return 0;
	}
}

static int run_connect(const struct qbdadm_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, QBDADM_OPTION_HELP },
		{ "json", no_argument, NULL, QBDADM_OPTION_JSON },
		{ "token-file", required_argument, NULL, OPTION_TOKEN_FILE },
		{ "listen", required_argument, NULL, OPTION_LISTEN },
		{ "name", required_argument, NULL, OPTION_NAME },
		{ "file", required_argument, NULL, OPTION_FILE },
		{ }
	};
	struct qbd_join join = { .wait_ms = QBD_JOIN_WAIT_MS };
	struct connect_arguments arguments = { 0 };
	struct qbd_token token;
	struct qbd_error error;
	int status, option, lock;

	while ((option = qbdadm_next_option(command, argc, argv, options, &status)) != -1) {
		if (option == -2)
			return status;
		if (take_option(&arguments, option, &error))
			return qbdadm_usage(command, "connect: %s", error.text);
	}
	if (optind + 2 > argc)
		return qbdadm_usage(command, "connect: needs the ADDRESS of a member and the device's NAME");
	if (optind + 2 < argc)
		return qbdadm_usage(command, "connect: one ADDRESS and one NAME only, '%s' is too much",
				    argv[optind + 2]);
	if (!arguments.token_file)
		return qbdadm_usage(command, "connect: needs --token-file FILE ('qbdadm token show' on a member prints it)");
	if (!qbdadm_name_good(command, argv[optind + 1], &status))
		return status;
	if (qbd_parse_address(argv[optind], &join.contact, &error))
		return qbdadm_usage(command, "%s", error.text);
	arguments.name = argv[optind + 1];
	join.name = arguments.name;
	if (!arguments.file[0])
		qbd_logfile_path(arguments.name, arguments.file, sizeof(arguments.file));
	if (qbd_token_read(arguments.token_file, &token, &error) ||
	    take_self(&arguments, &join, &error) || make_directory(arguments.file, &error))
		return qbdadm_failed(&error);
	join.token = &token;
	lock = qbd_loop_lock(arguments.file, &error);
	if (lock < 0)
		return qbdadm_failed(&error);
	status = connect_locked(&arguments, &join);
	/* Whoever attaches the file takes it for itself. */
	close(lock);
	if (status >= 0)
		return status;
	fflush(stdout);
	return qbdadm_bring_up(arguments.name, arguments.file, true, arguments.json);
}

const struct qbdadm_command qbdadm_connect = {
	.name = "connect",
	.synopsis = "ADDRESS[:PORT] NAME --token-file FILE [OPTION]...",
	.summary = "Use a device that is up on other hosts, without a disk for it here",
	.details =
"Makes this host a client: it has /dev/qbd/NAME, keeps no data and never votes. What is\n"
"read and written goes to the leader, wherever that is at the time; claims are as on any\n"
"other host. ADDRESS is that of any member that is up. Nothing has to be done on the\n"
"other hosts. A host that is connected already stays the member that it is; after a\n"
"reboot this, or 'qbdadm up NAME', brings it back.\n"
"\n"
"  --token-file FILE   the device's, from 'qbdadm token show' on a member; '-' is\n"
"                      standard input\n"
"  --listen ADDRESS    where this host can be reached by the members; by default the\n"
"                      address that it has on the way to ADDRESS, port 7900\n"
"  --name HOST         what status calls the client; by default this host's name\n"
"  --file FILE         18 MiB that hold who this host is and a short log, and the\n"
"                      token; /var/lib/qbd/NAME.client by default. If it is lost, connect\n"
"                      makes a new client, which takes the place of the former one\n"
"  --json              print JSON\n",
	.run = run_connect,
};
