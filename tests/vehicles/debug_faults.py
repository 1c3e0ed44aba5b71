# SPDX-License-Identifier: GPL-2.0
"""Does fault injection fail what it is told to, and nothing else? In a guest with the
debug kernel, qbd_bugs.ko and a disk: tests/vehicles/debug.
"""

import errno
import os
import sys

sys.dont_write_bytecode = True
REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests/cluster"))

from lib import faults              # noqa: E402
from lib.shell import read_file     # noqa: E402

PARAMETERS = "/sys/module/qbd_bugs/parameters/"
DISK = "/dev/ubda"
MOST = 50       # allocations of one write to a parameter


def refused():
    return int(read_file(PARAMETERS + "refused"))


def writer(what):
    """A function that has the module allocate, and fails when it got nothing."""
    file = os.open(PARAMETERS + "run", os.O_WRONLY)
    return lambda: os.pwrite(file, what.encode(), 0)


def one_after_the_other(what):
    """The n-th allocation of the call fails, and once that is the module's."""
    allocate, before = writer(what), refused()
    for number in range(1, MOST):
        error, left = faults.call_here(number, allocate)
        assert error == (0 if left else errno.ENOMEM), (what, number, error, left)
        if left:
            break
    else:
        raise AssertionError("%s: no end of allocations" % what)
    print("%s: %d allocations" % (what, number - 1))
    assert refused() == before + 1, (what, before, refused())


def by_chance(what, capability):
    """The workers' allocations all fail, and the module's work has one."""
    allocate, before = writer(what), refused()
    with faults.Injection(capability, 100) as injection:
        try:
            allocate()
        except OSError as failure:
            assert failure.errno == errno.ENOMEM, failure
        else:
            raise AssertionError("%s did not fail" % what)
    print("%s: %d failures" % (what, injection.failures))
    assert refused() == before + 1, (what, before, refused())
    allocate()
    assert refused() == before + 1, "one fails that should not"


def requests():
    """Reads of the disk fail, and end with an error, while they are told to."""
    def read():
        disk = os.open(DISK, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(disk, 0, 0, os.POSIX_FADV_DONTNEED)
            return len(os.pread(disk, 4096, 0))
        finally:
            os.close(disk)

    assert read() == 4096
    with faults.failing_requests(DISK, 100) as injection:
        try:
            read()
        except OSError as failure:
            assert failure.errno == errno.EIO, failure
        else:
            raise AssertionError("a read did not fail")
    print("requests: %d failures" % injection.failures)
    assert injection.failures > 0
    assert read() == 4096


faults.prepare(slab=True, page=False)
one_after_the_other("allocate_small")
faults.prepare(slab=False, page=True)
one_after_the_other("allocate_page")
by_chance("allocate_small_in_worker", faults.SLAB)
by_chance("allocate_page_in_worker", faults.PAGE)
requests()
