// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "lib/parse.h"
#include "lib/token.h"

#define TOKEN_PREFIX "qbd1:"

int qbd_token_new(struct qbd_token *token, struct qbd_error *error)
{
	ssize_t got = getrandom(token->secret, sizeof(token->secret), 0);

	if (got != (ssize_t)sizeof(token->secret))
		return qbd_fail(error, EIO, "token: no random numbers from the kernel: %s",
				strerror(errno));
	uuid_generate_random(token->uuid);
	return 0;
}

const char *qbd_token_text(const struct qbd_token *token, char *text)
{
	char uuid[37], secret[2 * QBD_SECRET_SIZE + 1];

	uuid_unparse_lower(token->uuid, uuid);
	snprintf(text, QBD_TOKEN_TEXT_SIZE, TOKEN_PREFIX "%s:%s", uuid,
		 qbd_hex_text(token->secret, sizeof(token->secret), secret));
	return text;
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

int qbd_token_parse(const char *text, struct qbd_token *token, struct qbd_error *error)
{
	size_t prefix = strlen(TOKEN_PREFIX);
	char uuid[37];

	if (!strncmp(text, "qbd", 3) && isdigit((unsigned char)text[3]) &&
	    strncmp(text, TOKEN_PREFIX, prefix))
		return qbd_fail(error, EPROTONOSUPPORT,
				"token: is of a kind that this program does not know; use the qbdadm that made it");
	if (strlen(text) != QBD_TOKEN_TEXT_SIZE - 1 || strncmp(text, TOKEN_PREFIX, prefix) ||
	    text[prefix + 36] != ':')
		goto bad;
	memcpy(uuid, text + prefix, 36);
	uuid[36] = '\0';
	if (uuid_parse(uuid, token->uuid) || uuid_is_null(token->uuid))
		goto bad;
	text += prefix + 37;
	for (unsigned int i = 0; i < QBD_SECRET_SIZE; i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			goto bad;
		token->secret[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
bad:
	return qbd_fail(error, EINVAL,
			"token: is malformed; it is one line as 'qbdadm token new' or 'qbdadm token show' prints it");
}

int qbd_token_write(const struct qbd_token *token, const char *path,
		    struct qbd_error *error)
{
	char line[QBD_TOKEN_TEXT_SIZE + 1];
	size_t length;
	int fd;

	qbd_token_text(token, line);
	strcat(line, "\n");
	length = strlen(line);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return qbd_fail(error, EEXIST,
				"%s: is there already and is not overwritten; choose another file",
				path);
	if (fd < 0)
		return qbd_fail(error, errno, "%s: cannot be made: %s", path, strerror(errno));
	/* The umask may have taken bits away, never given any. */
	if (write(fd, line, length) != (ssize_t)length || fsync(fd)) {
		int code = errno ? errno : EIO;

		close(fd);
		unlink(path);
		return qbd_fail(error, code, "%s: cannot be written: %s", path, strerror(code));
	}
	close(fd);
	return 0;
}

static int check_mode(int fd, const char *path, struct qbd_error *error)
{
	struct stat status;

	if (fstat(fd, &status))
		return qbd_fail(error, errno, "%s: %s", path, strerror(errno));
	if (S_ISDIR(status.st_mode))
		return qbd_fail(error, EISDIR, "%s: is a directory; name a token file", path);
	if (S_ISREG(status.st_mode) && (status.st_mode & 077))
		return qbd_fail(error, EPERM,
				"%s: can be read by others than its owner; 'chmod 600 %s', and make a new token if they did",
				path, path);
	return 0;
}

int qbd_token_read(const char *path, struct qbd_token *token, struct qbd_error *error)
{
	char line[QBD_TOKEN_TEXT_SIZE + 64];
	struct qbd_error why;
	size_t length = 0;
	ssize_t got = 0;
	int result;
	int fd;

	fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : dup(0);
	if (fd < 0)
		return qbd_fail(error, errno,
				"token file %s: %s; 'qbdadm token new' makes one for a new device, 'qbdadm token show' on a member prints that of a device that is there",
				path, strerror(errno));
	result = check_mode(fd, path, &why);
	while (!result && length < sizeof(line) - 1 &&
	       (got = read(fd, line + length, sizeof(line) - 1 - length)) > 0)
		length += got;
	if (!result && got < 0)
		result = qbd_fail(&why, errno, "%s: %s", path, strerror(errno));
	close(fd);
	if (!result) {
		while (length && isspace((unsigned char)line[length - 1]))
			length--;
		line[length] = '\0';
		result = qbd_token_parse(line, token, &why);
		if (result)
			return qbd_fail(error, -result, "%s: %s", path, why.text);
	} else {
		return qbd_fail(error, -result, "token file %s", why.text);
	}
	return 0;
}
