# SPDX-License-Identifier: GPL-2.0
"""Run commands, in a network namespace or not, and wait with deadlines."""

import contextlib
import ctypes
import os
import subprocess
import time

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

# A debug kernel is slower by about this factor.
SLOWNESS = float(os.environ.get("QBD_TEST_SLOWNESS", "1"))

# Everything a test waits for has a deadline; this is the one for what should
# take no time at all on an idle machine.
DEADLINE = 30.0


class CommandFailed(Exception):
    """A command ended with another status than expected."""

    def __init__(self, argv, status, output):
        super().__init__("%s: status %s: %s" % (" ".join(argv), status,
                                                output.strip()[-600:]))
        self.status = status
        self.output = output


class Hung(Exception):
    """Something did not end or happen in its time."""


class Result:
    """How a command ended."""

    def __init__(self, argv, status, output, errors):
        self.argv = argv
        self.status = status
        self.output = output
        self.errors = errors

    @property
    def text(self):
        return self.output + self.errors


@contextlib.contextmanager
def namespace(name):
    """What the body starts lives in this network namespace."""
    if name is None:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    target = os.open("/run/netns/" + name, os.O_RDONLY)
    try:
        enter(target)
        yield
    finally:
        enter(home)
        os.close(target)
        os.close(home)


def enter(fd):
    if LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def stack_of(pid):
    """Where in the kernel a process is, for messages."""
    lines = []
    try:
        tasks = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return "gone"
    for task in tasks:
        for name in ("stack", "wchan"):
            try:
                with open("/proc/%d/task/%s/%s" % (pid, task, name)) as file:
                    lines.append(file.read().strip())
                    break
            except OSError:
                continue
    return "; ".join(lines) or "unknown"


def spawn(argv, netns=None, **options):
    """Start a command and return the Popen."""
    argv = [str(argument) for argument in argv]
    with namespace(netns):
        return subprocess.Popen(argv, **options)


def finish(process, argv, timeout, data=None):
    """Collect a command; one that cannot be killed is named, not waited for."""
    try:
        output, errors = process.communicate(data, timeout=timeout * SLOWNESS)
    except subprocess.TimeoutExpired:
        where = stack_of(process.pid)
        process.kill()
        raise Hung("%s: no end after %g s, in %s" %
                   (" ".join(argv), timeout, where)) from None
    return Result(argv, process.returncode, output or "", errors or "")


def run(argv, netns=None, timeout=DEADLINE, check=True, data=None):
    """Run a command to its end; its status must be 0 unless check is False."""
    argv = [str(argument) for argument in argv]
    process = spawn(argv, netns, text=True, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    stdin=subprocess.DEVNULL if data is None else subprocess.PIPE)
    result = finish(process, argv, timeout, data)
    if check and result.status != 0:
        raise CommandFailed(argv, result.status, result.text)
    return result


# What is waited for is looked at again after so much of the time that it has taken already,
# between these bounds: each look may be a command, which costs more than what it looks at.
PATIENCE = 0.15
INTERVALS = 0.05, 0.5


def wait_until(what, condition, timeout=DEADLINE, interval=None):
    """Call condition until it returns something true, and return that.

    interval: seconds from one look to the next, where the moment itself is measured
    """
    begin = time.monotonic()
    deadline = begin + timeout * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Hung("waited %g s in vain for: %s" % (timeout, what))
        pause = PATIENCE * (time.monotonic() - begin)
        time.sleep(interval or min(max(pause, INTERVALS[0]), INTERVALS[1]))


def never(what, condition, seconds, interval=0.05):
    """Fail if condition becomes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            raise AssertionError("%s: %s" % (what, value))
        time.sleep(interval)


def write_file(path, text):
    with open(path, "w") as file:
        file.write(str(text))


def read_file(path):
    with open(path) as file:
        return file.read().strip()
