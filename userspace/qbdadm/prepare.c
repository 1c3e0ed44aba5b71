// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "lib/admin.h"
#include "lib/client.h"
#include "lib/inspect.h"
#include "lib/parse.h"
#include "qbdadm/prepare.h"
#include "qbdadm/qbdadm.h"

int qbdadm_check_content(struct qbd_disk *disk, struct qbd_error *error)
{
	struct qbd_inspection *inspection = malloc(sizeof(*inspection));
	char content[128], uuid[37];
	int result;

	if (!inspection)
		return qbd_fail(error, ENOMEM, "%s: out of memory", disk->path);
	result = qbd_inspect(disk, inspection, error);
	if (!result && inspection->superblock) {
		const struct qbd_superblock *superblock = inspection->superblock;

		uuid_unparse_lower(superblock->header.uuid, uuid);
		result = qbd_fail(error, EEXIST,
				  "%s: carries member %u of qbd device %s (%s); 'qbdadm destroy --disk %s' or --force gives it up",
				  disk->path, le32_to_cpu(superblock->member_id),
				  superblock->name, uuid, disk->path);
	} else if (!result && qbd_inspection_is_ours(inspection)) {
		result = qbd_fail(error, EEXIST,
				  "%s: carries a qbd superblock that is not good ('qbdadm dump %s' shows it); --force gives it up",
				  disk->path, disk->path);
	}
	free(inspection);
	if (result)
		return result;
	result = qbd_disk_content(disk, content, sizeof(content), error);
	if (!result && content[0])
		result = qbd_fail(error, EEXIST,
				  "%s: carries %s %s; choose another disk, or --force to destroy what is on it",
				  disk->path, strchr("aeiou", content[0]) ? "an" : "a", content);
	return result;
}

int qbdadm_host_name(const char *given, char *name, struct qbd_error *error)
{
	const char *what = given ? "--name" : "the name of this host";
	const char *remedy = given ? "" : "; give the member another with --name";
	struct qbd_error why;
	char host[256] = "";
	size_t length;

	if (!given && gethostname(host, sizeof(host) - 1))
		return qbd_fail(error, errno, "this host has no name: %s; give the member one with --name",
				strerror(errno));
	host[strcspn(host, ".")] = '\0';
	if (!given)
		given = host;
	if (qbd_check_name(what, given, QBD_MEMBER_NAME_SIZE, &why))
		return qbd_fail(error, EINVAL, "%.500s%s", why.text, remedy);
	length = strlen(given);
	/* Members are named by name or id: a name of digits could mean another's id. */
	if (strspn(given, "0123456789") == length)
		return qbd_fail(error, EINVAL, "%s '%s': is a number and could be taken for an id; use for example 'host%s' with --name",
				what, given, given);
	memset(name, 0, QBD_MEMBER_NAME_SIZE);
	memcpy(name, given, length);
	return 0;
}

int qbdadm_check_listen(const struct qbd_address *address, struct qbd_error *error)
{
	struct sockaddr_storage storage;
	socklen_t length = qbd_address_to_socket(address, &storage);
	char text[QBD_ADDRESS_TEXT_SIZE];
	int one = 1, code = 0;
	int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return qbd_fail(error, errno, "no socket: %s", strerror(errno));
	/* As the module will, and as it does it: what is left of old connections is no bar. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&storage, length) || listen(fd, 1))
		code = errno;
	close(fd);
	qbd_address_text(address, text);
	if (code == EADDRNOTAVAIL)
		return qbd_fail(error, code, "--listen %s: this host has no such address; bring the network up first, or correct it",
				text);
	if (code == EADDRINUSE)
		return qbd_fail(error, code, "--listen %s: is in use by another program or device; give this member another port",
				text);
	if (code)
		return qbd_fail(error, code, "--listen %s: %s", text, strerror(code));
	return 0;
}

/* What comes up is found by its name. */
static int check_not_up(struct qbd_client *client, const char *name, struct qbd_error *error)
{
	struct qbd_status status;
	int result = qbd_client_status(client, name, &status, error);

	if (result)
		return result == -ENODEV ? 0 : result;
	return qbd_fail(error, EEXIST, "is up on this host already, as member %u; if it shall have another disk, 'qbdadm down %s' first",
			status.member_id, name);
}

int qbdadm_check_can_come_up(const char *name, struct qbd_error *error)
{
	struct qbd_client client;
	int result = qbd_client_open(&client, true, error);

	if (result)
		return result;
	result = check_not_up(&client, name, error);
	qbd_client_close(&client);
	return result;
}
