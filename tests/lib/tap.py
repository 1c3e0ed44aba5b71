# SPDX-License-Identifier: GPL-2.0
"""For test programs in Python.

    tests = tap.Tests()

    @tests.test("a name")
    def _():
        tap.check(1 + 1 == 2, "sums")        # or any exception fails the test

    tests.run()                              # prints KTAP and exits

A test that cannot run here raises tap.Skip("why").
"""

import subprocess
import sys
import time
import traceback


class Failure(Exception):
    """The test failed; the text says how."""


class Skip(Exception):
    """The test cannot run here; the text says why."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(found, wanted, text):
    check(found == wanted, "%s: found %r, wanted %r" % (text, found, wanted))


def wait_until(condition, seconds, text):
    """Poll until the condition holds; returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < end, "not within %g s: %s" % (seconds, text))
        time.sleep(0.05)


def comment(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def command(*arguments, status=0, timeout=60, **options):
    """Run a command, show it and its output as comments, return its output."""
    result = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            stdin=subprocess.DEVNULL, text=True, timeout=timeout,
                            errors="replace", **options)
    comment("$ " + " ".join(map(str, arguments)))
    comment(result.stdout)
    check(status is None or result.returncode == status,
          "%s: exit status %d, wanted %s" % (arguments[0], result.returncode, status))
    return result.stdout


class Tests:
    def __init__(self):
        self.tests = []

    def test(self, name):
        def register(function):
            self.tests.append((name, function))
            return function
        return register

    def run(self, cleanup=None):
        print("TAP version 13\n1..%d" % len(self.tests), flush=True)
        failed = 0
        try:
            for number, (name, function) in enumerate(self.tests, 1):
                verdict, directive = "ok", ""
                try:
                    function()
                except Skip as why:
                    directive = " # SKIP %s" % why
                except Failure as why:
                    comment(why)
                    verdict = "not ok"
                except Exception:
                    comment(traceback.format_exc())
                    verdict = "not ok"
                failed += verdict != "ok"
                print("%s %d %s%s" % (verdict, number, name, directive), flush=True)
        finally:
            if cleanup:
                cleanup()
        sys.exit(1 if failed else 0)
