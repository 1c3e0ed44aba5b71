// SPDX-License-Identifier: GPL-2.0
/* /etc/qbd/NAME.conf: what up is to do with a device when nobody gives options. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qbdadm/up.h"

static const struct {
	const char *key;
	int option;
} keys[] = {
	{ "memory", QBDADM_MEMORY },
	{ "election-timeout", QBDADM_ELECTION_TIMEOUT },
	{ "heartbeat", QBDADM_HEARTBEAT },
	{ "no-quorum", QBDADM_NO_QUORUM },
	{ "no-quorum-grace", QBDADM_NO_QUORUM_GRACE },
	{ "read", QBDADM_READ },
	{ "window", QBDADM_WINDOW },
	{ "claim-lease", QBDADM_CLAIM_LEASE },
	{ "leader-follows", QBDADM_LEADER_FOLLOWS },
	{ "max-rate", QBDADM_MAX_RATE },
	{ "checksums", QBDADM_CHECKSUMS },
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

static int take(const char *key, const char *value, struct qbdadm_config *config,
		struct qbd_error *error)
{
	struct qbd_error why;
	int result;

	if (!strcmp(key, "disk")) {
		if (value[0] != '/')
			return qbd_fail(error, EINVAL, "disk '%s': is no path from the root",
					value);
		free(config->disk);
		config->disk = strdup(value);
		return config->disk ? 0 : qbd_fail(error, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strcmp(key, keys[i].key))
			continue;
		result = qbdadm_take_up_option(keys[i].option, value, &config->wish, &why);
		return result ? qbd_fail(error, -result, "%s", why.text + strspn(why.text, "-")) :
		       0;
	}
	return qbd_fail(error, EINVAL,
			"'%s': is no setting; use disk, memory, election-timeout, heartbeat, no-quorum, no-quorum-grace, read, window, claim-lease, leader-follows, max-rate or checksums",
			key);
}

/* "key = value", with blanks as people like; what follows a '#' is a comment. */
static int take_line(char *line, struct qbdadm_config *config, struct qbd_error *error)
{
	static const char blanks[] = " \t\r\n";
	char *key, *value, *end;

	line[strcspn(line, "#")] = '\0';
	key = line + strspn(line, blanks);
	if (!*key)
		return 0;
	value = strchr(key, '=');
	if (!value)
		return qbd_fail(error, EINVAL, "'%.*s': is not of the form KEY = VALUE",
				(int)strcspn(key, "\r\n"), key);
	*value++ = '\0';
	key[strcspn(key, blanks)] = '\0';
	value += strspn(value, blanks);
	end = value + strlen(value);
	while (end > value && strchr(blanks, end[-1]))
		*--end = '\0';
	return take(key, value, config, error);
}

int qbdadm_read_config(const char *directory, const char *name, struct qbdadm_config *config,
		       struct qbd_error *error)
{
	char path[512], *line = NULL;
	struct qbd_error why;
	unsigned int number = 0;
	size_t size = 0;
	int result = 0;
	FILE *file;

	memset(config, 0, sizeof(*config));
	snprintf(path, sizeof(path), "%s/%s.conf", directory, name);
	file = fopen(path, "re");
	if (!file && errno == ENOENT)
		return 0;
	if (!file)
		return qbd_fail(error, errno, "%s: cannot be read: %s", path, strerror(errno));
	while (!result && getline(&line, &size, file) > 0) {
		number++;
		result = take_line(line, config, &why);
		if (result)
			qbd_fail(error, -result, "%s:%u: %.500s", path, number, why.text);
	}
	if (!result && ferror(file))
		result = qbd_fail(error, EIO, "%s: cannot be read", path);
	free(line);
	fclose(file);
	if (result)
		qbdadm_free_config(config);
	return result;
}

void qbdadm_free_config(struct qbdadm_config *config)
{
	free(config->disk);
	config->disk = NULL;
}

#define OVERRIDE(bit, field)							\
	do {									\
		if (from->given & (bit))					\
			to->settings.field = from->settings.field;		\
	} while (0)

/* What was given on the command line counts for more. */
void qbdadm_apply_config(const struct qbdadm_config *config, struct qbd_up_wish *wish)
{
	const struct qbd_settings_wish given = wish->settings;
	const struct qbd_settings_wish *from = &given;
	struct qbd_settings_wish *to = &wish->settings;

	if (!wish->memory_bytes)
		wish->memory_bytes = config->wish.memory_bytes;
	*to = config->wish.settings;
	OVERRIDE(QBD_GIVEN_ELECTION_TIMEOUT, election_timeout_ms);
	OVERRIDE(QBD_GIVEN_HEARTBEAT, heartbeat_ms);
	OVERRIDE(QBD_GIVEN_NO_QUORUM, no_quorum);
	OVERRIDE(QBD_GIVEN_NO_QUORUM_GRACE, no_quorum_grace_ms);
	OVERRIDE(QBD_GIVEN_READ_MODE, read_mode);
	OVERRIDE(QBD_GIVEN_WINDOW, window_bytes);
	OVERRIDE(QBD_GIVEN_CLAIM_LEASE, claim_lease_ms);
	OVERRIDE(QBD_GIVEN_LEADER_FOLLOWS, leader_follows);
	OVERRIDE(QBD_GIVEN_MAX_RATE, max_rate);
	OVERRIDE(QBD_GIVEN_CHECKSUMS, checksums);
	to->given |= given.given;
}
