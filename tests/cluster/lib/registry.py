# SPDX-License-Identifier: GPL-2.0
"""What tests there are. Needs nothing of the guest: the host lists them, too."""

TESTS = []


class Test:
    def __init__(self, function, group, timeout, expect, kernel):
        self.function = function
        self.name = function.__name__
        self.group = group
        self.timeout = timeout
        self.expect = expect
        self.kernel = kernel
        self.summary = (function.__doc__ or "").strip().split("\n")[0]


def test(group, timeout=40, expect=None, kernel=None):
    """Make a function a test. The tests of a group share one boot of the guest.

    timeout: seconds of real time
    expect: regular expression of kernel log lines that are right in this test
    kernel: the one kernel that it needs; it does not run unless it is named
    """
    def register(function):
        TESTS.append(Test(function, group, timeout, expect, kernel))
        return function
    return register
