// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "format/check.h"
#include "qbdadm/links.h"
#include "qbdadm/qbdadm.h"

#define LINK_DIRECTORY	"/dev/qbd"
#define STEP_MS		20
#define NODE_WAIT_MS	10000
#define UDEV_WAIT_MS	2000

int qbdadm_wait_node(uint32_t number, struct qbd_error *error)
{
	struct stat status;
	char path[32];

	snprintf(path, sizeof(path), "/dev/qbd%u", number);
	for (int waited = 0; waited < NODE_WAIT_MS; waited += STEP_MS) {
		if (!stat(path, &status) && S_ISBLK(status.st_mode))
			return 0;
		qbd_pause_ms(STEP_MS);
	}
	return qbd_fail(error, ENODEV,
			"%s: the device is up, but %s did not appear; is devtmpfs mounted on /dev?",
			path, path);
}

static bool udev_runs(void)
{
	return !access("/run/udev/control", F_OK);
}

/* Does the link at @path lead to /dev/qbdN? */
static bool leads_to(const char *path, uint32_t number)
{
	char target[64], wanted[32];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length < 0)
		return false;
	target[length] = '\0';
	snprintf(wanted, sizeof(wanted), "../qbd%u", number);
	return !strcmp(target, wanted) || !strcmp(target + (target[0] == '/' ? 4 : 0), wanted + 2);
}

/* Does it lead to a device that is there? */
static bool is_live(const char *path)
{
	struct stat status;

	return !stat(path, &status) && S_ISBLK(status.st_mode);
}

void qbdadm_make_link(const char *name, uint32_t number)
{
	char path[128], fresh[160], target[32];

	/* The module brings no such device up; but it is root who writes here. */
	if (qbd_name_check(name, QBD_NAME_SIZE) != QBD_NAME_GOOD) {
		qbdadm_warn("/dev/qbd%u: gets no link: its name is none that a device can have",
			    number);
		return;
	}
	snprintf(path, sizeof(path), LINK_DIRECTORY "/%s", name);
	snprintf(target, sizeof(target), "../qbd%u", number);
	if (udev_runs())
		for (int waited = 0; waited < UDEV_WAIT_MS; waited += STEP_MS) {
			if (is_live(path))
				break;
			qbd_pause_ms(STEP_MS);
		}
	if (leads_to(path, number))
		return;
	if (is_live(path)) {
		qbdadm_warn("%s: is the link of another device of this name that is up; use /dev/qbd%u for this one",
			    path, number);
		return;
	}
	if (mkdir(LINK_DIRECTORY, 0755) && errno != EEXIST) {
		qbdadm_warn("%s: cannot be made: %s; use /dev/qbd%u", LINK_DIRECTORY,
			    strerror(errno), number);
		return;
	}
	/* A dangling link is replaced in one step. */
	snprintf(fresh, sizeof(fresh), "%s.%ld", path, (long)getpid());
	unlink(fresh);
	if (symlink(target, fresh) || rename(fresh, path)) {
		qbdadm_warn("%s: cannot be made: %s; use /dev/qbd%u", path, strerror(errno),
			    number);
		unlink(fresh);
	}
}

void qbdadm_remove_link(const char *name, uint32_t number)
{
	char path[128];

	if (qbd_name_check(name, QBD_NAME_SIZE) != QBD_NAME_GOOD)
		return;
	snprintf(path, sizeof(path), LINK_DIRECTORY "/%s", name);
	if (leads_to(path, number))
		unlink(path);
}
