# SPDX-License-Identifier: GPL-2.0
"""What tests there are. Needs nothing of the guest: the host lists them, too."""

TESTS = []


class Test:
    def __init__(self, function, group, timeout, expect):
        self.function = function
        self.name = function.__name__
        self.group = group
        self.timeout = timeout
        self.expect = expect
        self.summary = (function.__doc__ or "").strip().split("\n")[0]


def test(group, timeout=40, expect=None):
    """Make a function a test. The tests of a group share one boot of the guest.

    timeout: seconds of real time
    expect: regular expression of kernel log lines that are right in this test
    """
    def register(function):
        TESTS.append(Test(function, group, timeout, expect))
        return function
    return register
