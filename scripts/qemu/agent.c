// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the test hosts in QEMU: runs commands which arrive over virtio
 * serial ports, one process a port, one command at a time each.
 *
 * A frame is one byte of type, four bytes of length (little endian), payload:
 *
 *	host to agent			agent to host
 *	S nonce		synchronise	S nonce		the same back
 *	R script	run it		O bytes		output (both streams)
 *	P size script	run it on a	X status	ended (one byte; 128 and
 *			terminal			the signal if killed)
 *	I bytes		standard input
 *	E		its end
 *	W size		terminal size
 *	K		kill it
 *
 * A size is two times two bytes: rows, columns.  When the host side of a port
 * goes away, so does the command.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORTS		8
#define PAYLOAD_MAX	65536
#define HEADER_SIZE	5

struct frame {
	uint8_t type;
	uint32_t length;
	char payload[PAYLOAD_MAX + 1];
};

struct command {
	pid_t pid;
	int input;		/* -1: closed */
	int output;
	bool terminal;
	const char *pending;	/* input that the command did not take yet */
	size_t pending_length;
};

static int port;
static struct frame frame;

/*
 * Wait until the port can be used; false when the host side is gone.  When one
 * host side follows the other, the news of both may come late, after the first
 * bytes of the second: only what lasts counts.
 */
static bool wait_port(short events)
{
	for (int i = 0; i < 10; i++) {
		struct pollfd poll_port = { .fd = port, .events = events };

		while (poll(&poll_port, 1, -1) < 0)
			if (errno != EINTR)
				return false;
		if (!(poll_port.revents & (POLLHUP | POLLERR)))
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	return false;
}

static bool send_bytes(const char *bytes, size_t length)
{
	while (length) {
		ssize_t done;

		if (!wait_port(POLLOUT))
			return false;
		done = write(port, bytes, length);
		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (done > 0) {
			bytes += done;
			length -= done;
		}
	}
	return true;
}

static bool send_frame(uint8_t type, const void *payload, uint32_t length)
{
	static char buffer[HEADER_SIZE + PAYLOAD_MAX];

	buffer[0] = type;
	for (int i = 0; i < 4; i++)
		buffer[1 + i] = length >> (8 * i);
	memcpy(buffer + HEADER_SIZE, payload, length);
	return send_bytes(buffer, HEADER_SIZE + length);
}

static bool receive_bytes(char *bytes, size_t length)
{
	while (length) {
		ssize_t done;

		if (!wait_port(POLLIN))
			return false;
		done = read(port, bytes, length);
		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (done > 0) {
			bytes += done;
			length -= done;
		}
	}
	return true;
}

static bool receive_frame(void)
{
	unsigned char header[HEADER_SIZE];

	if (!receive_bytes((char *)header, sizeof(header)))
		return false;
	frame.type = header[0];
	frame.length = header[1] | header[2] << 8 | header[3] << 16 |
		       (uint32_t)header[4] << 24;
	if (frame.length > PAYLOAD_MAX)
		return false;
	frame.payload[frame.length] = '\0';
	return receive_bytes(frame.payload, frame.length);
}

static struct winsize size_in(const char *bytes)
{
	const unsigned char *b = (const unsigned char *)bytes;

	return (struct winsize){ .ws_row = b[0] | b[1] << 8,
				 .ws_col = b[2] | b[3] << 8 };
}

static void exec_script(const char *script)
{
	signal(SIGPIPE, SIG_DFL);
	execl("/bin/bash", "bash", "-c", script, NULL);
	execl("/bin/sh", "sh", "-c", script, NULL);
	_exit(127);
}

static bool start_on_terminal(struct command *command, struct winsize size,
			      const char *script)
{
	command->pid = forkpty(&command->output, NULL, NULL, &size);
	if (command->pid == 0)
		exec_script(script);
	command->input = command->output;
	command->terminal = true;
	return command->pid > 0;
}

static bool start_on_pipes(struct command *command, const char *script)
{
	int input[2], output[2];

	if (pipe2(input, O_CLOEXEC) || pipe2(output, O_CLOEXEC))
		return false;
	command->pid = fork();
	if (command->pid == 0) {
		setsid();
		dup2(input[0], 0);
		dup2(output[1], 1);
		dup2(output[1], 2);
		exec_script(script);
	}
	close(input[0]);
	close(output[1]);
	command->input = input[1];
	command->output = output[0];
	fcntl(command->input, F_SETFL, O_NONBLOCK);
	return command->pid > 0;
}

static void close_input(struct command *command)
{
	if (command->input >= 0 && !command->terminal)
		close(command->input);
	command->input = -1;
	command->pending_length = 0;
}

static void feed_input(struct command *command)
{
	ssize_t done = write(command->input, command->pending,
			     command->pending_length);

	if (done > 0) {
		command->pending += done;
		command->pending_length -= done;
	} else if (done < 0 && errno != EAGAIN && errno != EINTR) {
		close_input(command);
	}
}

static bool handle_frame(struct command *command)
{
	struct winsize size;

	if (!receive_frame())
		return false;
	switch (frame.type) {
	case 'I':
		if (command->input < 0)
			break;
		command->pending = frame.payload;
		command->pending_length = frame.length;
		feed_input(command);
		break;
	case 'E':
		close_input(command);
		break;
	case 'W':
		size = size_in(frame.payload);
		ioctl(command->output, TIOCSWINSZ, &size);
		break;
	case 'K':
		kill(-command->pid, SIGKILL);
		break;
	case 'S':
		/* A new host side, which has no use for this command. */
		return false;
	}
	return true;
}

/* Forward what the command wrote; *ended when there can be no more. */
static bool forward_output(struct command *command, bool *ended)
{
	static char bytes[PAYLOAD_MAX];
	ssize_t done = read(command->output, bytes, sizeof(bytes));

	/* The master of a terminal without users reads as EIO. */
	*ended = done == 0 || (done < 0 && errno == EIO);
	return done <= 0 || send_frame('O', bytes, done);
}

static bool has_output(int fd)
{
	struct pollfd poll_output = { .fd = fd, .events = POLLIN };

	return poll(&poll_output, 1, 0) > 0;
}

/*
 * What a command left running in the background may hold its output open for
 * ever, so its own end is what counts, and what it has written until then.
 */
static bool finish_command(struct command *command, int status)
{
	unsigned char code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
						   WEXITSTATUS(status);
	bool ended = false;

	while (!ended && has_output(command->output))
		if (!forward_output(command, &ended))
			return false;
	return send_frame('X', &code, 1);
}

static bool serve_command(struct command *command)
{
	bool ended = false;
	int status;

	for (;;) {
		struct pollfd polls[3] = {
			{ .fd = port, .events = POLLIN },
			{ .fd = ended ? -1 : command->output, .events = POLLIN },
			{ .fd = -1, .events = POLLOUT },
		};

		if (command->pending_length) {
			polls[0].events = 0;
			polls[2].fd = command->input;
		}
		/* The timeout notices the end of a command with silent heirs. */
		if (poll(polls, 3, ended ? 10 : 50) < 0 && errno != EINTR)
			return false;
		if ((polls[0].revents & (POLLHUP | POLLERR)) &&
		    !wait_port(POLLIN | POLLOUT))
			return false;
		if (polls[2].revents)
			feed_input(command);
		if ((polls[0].revents & POLLIN) && !handle_frame(command))
			return false;
		if (polls[1].revents && !forward_output(command, &ended))
			return false;
		if (waitpid(command->pid, &status, WNOHANG) == command->pid) {
			command->pid = 0;
			return finish_command(command, status);
		}
	}
}

/* Return: false if it could not be started. */
static bool start(struct command *command)
{
	char byte;
	int running[2];
	bool good;

	if (pipe2(running, O_CLOEXEC))
		return false;
	if (frame.type == 'P')
		good = start_on_terminal(command, size_in(frame.payload),
					 frame.payload + 4);
	else
		good = start_on_pipes(command, frame.payload);
	close(running[1]);
	/*
	 * Until it has become bash, which closes its end: then it has its own process
	 * group, and whoever wants it killed at once does not miss it.
	 */
	while (good && read(running[0], &byte, 1) < 0 && errno == EINTR)
		;
	close(running[0]);
	return good;
}

static void run_command(void)
{
	struct command command = { .input = -1 };

	if (!start(&command)) {
		unsigned char code = 126;

		send_frame('X', &code, 1);
		return;
	}
	serve_command(&command);
	if (command.pid) {
		kill(-command.pid, SIGKILL);
		waitpid(command.pid, NULL, 0);
	}
	close_input(&command);
	close(command.output);
}

static bool port_is_named(const char *device, const char *wanted)
{
	char path[300], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", device);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fgets(name, sizeof(name), file))
		name[strcspn(name, "\n")] = '\0';
	fclose(file);
	return !strcmp(name, wanted);
}

/* The ports appear one after the other, named by their machine. */
static int open_port(int number)
{
	DIR *directory = opendir("/sys/class/virtio-ports");
	char wanted[32], path[300];
	struct dirent *entry;
	int fd = -1;

	if (!directory)
		return -1;
	snprintf(wanted, sizeof(wanted), "agent%d", number);
	while (fd < 0 && (entry = readdir(directory))) {
		if (!port_is_named(entry->d_name, wanted))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	closedir(directory);
	return fd;
}

static void serve_port(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	while ((port = open_port(number)) < 0)
		nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	/* SIGIO tells when the host side comes or goes: poll does not wait. */
	fcntl(port, F_SETOWN, getpid());
	fcntl(port, F_SETFL, O_NONBLOCK | O_ASYNC);
	for (;;) {
		struct timespec second = { .tv_sec = 1 };

		while (wait_port(POLLIN) && receive_frame()) {
			if (frame.type == 'R' || frame.type == 'P')
				run_command();
			/* Not else: it may be what ended the command. */
			if (frame.type == 'S')
				send_frame('S', frame.payload, frame.length);
		}
		sigtimedwait(&set, NULL, &second);
	}
}

int main(void)
{
	pid_t servers[PORTS] = { 0 };

	setsid();
	for (;;) {
		pid_t gone;

		for (int i = 0; i < PORTS; i++) {
			if (servers[i])
				continue;
			servers[i] = fork();
			if (servers[i] == 0)
				serve_port(i);
		}
		gone = wait(NULL);
		for (int i = 0; i < PORTS; i++) {
			if (servers[i] == gone) {
				servers[i] = 0;
				sleep(1);
			}
		}
	}
}
