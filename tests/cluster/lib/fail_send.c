// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into qbdadm: while its request is in the kernel, allocation QBD_FAIL_NTH of
 * this task fails. How many were left to count is written to the file QBD_FAIL_LEFT: 0 if
 * it came so far. Questions about the family are no requests.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	_exit(99);
}

ssize_t sendto(int fd, const void *data, size_t length, int flags,
	       const struct sockaddr *address, socklen_t address_length)
{
	__typeof__(sendto) *real = dlsym(RTLD_NEXT, "sendto");
	const char *number = getenv("QBD_FAIL_NTH"), *left = getenv("QBD_FAIL_LEFT");
	const struct nlmsghdr *message = data;
	char counted[16] = "";
	int nth, out;
	ssize_t sent;

	if (!number || length < sizeof(*message) || message->nlmsg_type <= GENL_ID_CTRL)
		return real(fd, data, length, flags, address, address_length);
	nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	out = open(left, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (nth < 0 || out < 0)
		fail("fail-nth");
	if (write(nth, number, strlen(number)) < 0)
		fail("fail-nth");
	sent = real(fd, data, length, flags, address, address_length);
	if (pread(nth, counted, sizeof(counted) - 1, 0) < 0 || pwrite(nth, "0", 1, 0) < 0)
		fail("fail-nth");
	/* A command of several requests: one of them came so far, or none did. */
	if (!strtol(counted, NULL, 10))
		unsetenv("QBD_FAIL_NTH");
	if (pwrite(out, counted, strlen(counted), 0) < 0 || ftruncate(out, strlen(counted)))
		fail(left);
	close(nth);
	close(out);
	return sent;
}
