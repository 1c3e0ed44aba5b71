# SPDX-License-Identifier: GPL-2.0
"""The kernel's fault injection (debug kernel): allocations and disk requests that fail.

Allocations of a command are counted from when its request enters the kernel until it
returns; those of the members at work are those of the kernel's workers, which are nobody
else's here. What sanitizers and lockdep allocate for themselves is left out.
"""

import contextlib
import ctypes
import os
import tempfile

from .shell import read_file, run, write_file

DEBUG = "/sys/kernel/debug"
SLAB = "failslab"
PAGE = "fail_page_alloc"
REQUEST = "fail_make_request"
HERE = os.path.dirname(os.path.abspath(__file__))
PRELOAD = "/tmp/fail_send.so"
KTHREADD = 2
NEVER = 20      # no allocation of pages is of that order
# The kernel does without, and then sees less.
SANITIZERS = ("kmemleak_object", "kmemleak_scan_area", "debug_objects_cache")


def attribute(capability, name, value):
    write_file(os.path.join(DEBUG, capability, name), value)


def prepare(slab, page):
    """What can fail: small allocations, pages. Those that may sleep as well."""
    for capability in (SLAB, PAGE):
        attribute(capability, "ignore-gfp-wait", "N")
        attribute(capability, "verbose", 0)
        attribute(capability, "task-filter", "N")
        attribute(capability, "probability", 0)
    attribute(PAGE, "ignore-gfp-highmem", "N")
    attribute(PAGE, "min-order", 0 if page else NEVER)
    attribute(SLAB, "cache-filter", "Y")
    for cache in os.listdir("/sys/kernel/slab"):
        # A cache that several share cannot be marked.
        with contextlib.suppress(OSError):
            write_file("/sys/kernel/slab/%s/failslab" % cache,
                       int(slab and cache not in SANITIZERS))


# ---- one allocation, by its number ---------------------------------------------------

class OneFailure:
    """One allocation of a task fails: the n-th of the kinds given."""

    def __init__(self, slab=False, page=False):
        prepare(slab, page)
        if not os.path.exists(PRELOAD):
            run(["gcc", "-O2", "-shared", "-fPIC", "-o", PRELOAD,
                 os.path.join(HERE, "fail_send.c"), "-ldl"], timeout=60)

    @staticmethod
    def command(number, argv, **options):
        """Run a command of qbdadm whose allocation of that number fails.

        Returns the result, and whether it had so many.
        """
        left = tempfile.mktemp()
        result = run(["env", "LD_PRELOAD=" + PRELOAD, "QBD_FAIL_NTH=%d" % number,
                      "QBD_FAIL_LEFT=" + left, *argv], check=False, **options)
        failed = int(read_file(left)) == 0
        os.unlink(left)
        assert result.status != 99, result.text
        return result, failed

    @staticmethod
    def call(number, function):
        """Call a function in a process of its own, its allocation of that number fails.

        Returns the error number that it ended with or 0, and whether it had so many.
        """
        read_end, write_end = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.write(write_end, b"%d %d" % call_here(number, function))
            finally:
                os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            answer = pipe.read()
        os.waitpid(pid, 0)
        error, left = map(int, answer.split())
        return error, left == 0


def call_here(number, function):
    counter = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
    error = 0
    os.write(counter, b"%d" % number)
    try:
        function()
    except OSError as failure:
        error = failure.errno
    left = int(os.pread(counter, 16, 0))
    os.pwrite(counter, b"0", 0)
    return error, left


def insert_module(path):
    """A function that loads a module."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def insert():
        if libc.syscall(313, fd, b"", 0):       # finit_module
            raise OSError(ctypes.get_errno(), "finit_module")
    return insert


# ---- by chance -----------------------------------------------------------------------

def workers(mark):
    """Have the kernel's workers fail, those to come as well: so does who makes them."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if int(pid) == KTHREADD or \
                    read_file("/proc/%s/comm" % pid).startswith("kworker/"):
                write_file("/proc/%s/make-it-fail" % pid, mark)


class Injection:
    """While it is open, each call of this kind fails by chance: so many of a hundred."""

    TIMES = 1 << 30

    def __init__(self, capability, percent):
        self.capability = capability
        self.percent = percent
        self.failures = 0

    def __enter__(self):
        if self.capability != REQUEST:
            prepare(self.capability == SLAB, self.capability == PAGE)
            attribute(self.capability, "task-filter", "Y")
            workers(1)
        attribute(self.capability, "interval", 1)
        attribute(self.capability, "times", self.TIMES)
        attribute(self.capability, "verbose", 0)
        attribute(self.capability, "probability", self.percent)
        return self

    def so_far(self):
        """How many have failed."""
        return self.TIMES - int(read_file(os.path.join(DEBUG, self.capability, "times")))

    def __exit__(self, *_):
        attribute(self.capability, "probability", 0)
        if self.capability != REQUEST:
            workers(0)
        self.failures = self.so_far()


@contextlib.contextmanager
def failing_requests(path, percent):
    """So many of a hundred requests of this disk fail; the Injection."""
    state = os.stat(path)
    mark = "/sys/dev/block/%d:%d/make-it-fail" % (os.major(state.st_rdev),
                                                  os.minor(state.st_rdev))
    write_file(mark, 1)
    try:
        with Injection(REQUEST, percent) as injection:
            yield injection
    finally:
        write_file(mark, 0)
