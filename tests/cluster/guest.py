#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs cluster tests in a User-mode Linux guest; prints KTAP. Started by run."""

import os
import re
import signal
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import kernel  # noqa: E402
from lib.shell import SLOWNESS  # noqa: E402
from lib.workload import end_children  # noqa: E402
from tests import load  # noqa: E402


class TimeUp(Exception):
    """The test took longer than it may."""


# Of setting up a network.
NOISE = re.compile(r"br0: port|(allmulticast|promiscuous) mode")


def leftovers():
    """What a test left behind."""
    found = ["/dev/" + name for name in os.listdir("/sys/block")
             if name.startswith("qbd")]
    found += ["device-mapper " + name for name in os.listdir("/sys/block")
              if name.startswith("dm-")]
    if os.path.isdir("/run/netns"):
        found += ["namespace " + name for name in os.listdir("/run/netns")]
    with open("/proc/mounts") as mounts:
        found += ["mount " + line.split()[1] for line in mounts
                  if line.startswith(("/dev/qbd", "/dev/mapper"))]
    return found


def diagnose(text):
    for line in text.rstrip().split("\n"):
        print("    # " + line)


def run_one(test):
    """Run a test; a list of what was wrong."""
    def time_up(*_):
        raise TimeUp("not done after %g s" % (test.timeout * SLOWNESS))

    problems = []
    log = kernel.Log()
    kernel.say("begin " + test.name)
    signal.signal(signal.SIGALRM, time_up)
    signal.setitimer(signal.ITIMER_REAL, test.timeout * SLOWNESS)
    try:
        test.function()
    except Exception:
        problems.append(traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    problems += end_children()
    bad = [line for line in log.bad()
           if not (test.expect and re.search(test.expect, line))]
    if bad:
        problems.append("the kernel said: " + "\n".join(bad[:5]))
    left = leftovers()
    if left:
        problems.append("left behind: " + ", ".join(left))
    if problems:
        problems.append("kernel log:\n" + "\n".join(
            [line for line in log.read() if not NOISE.search(line)][-60:]))
    kernel.say("end %s: %s" % (test.name, "failed" if problems else "passed"))
    log.close()
    return problems, bool(left)


def main():
    wanted = sys.argv[1:]
    if "QBD_TEST_PATH" in os.environ:
        os.environ["PATH"] = os.environ["QBD_TEST_PATH"] + ":" + os.environ["PATH"]
    tests = {test.name: test for test in load()}
    os.makedirs("/tmp/mnt", exist_ok=True)
    print("KTAP version 1")
    print("1..%d" % len(wanted))
    failed = 0
    for number, name in enumerate(wanted, 1):
        start = time.monotonic()
        problems, unclean = run_one(tests[name])
        took = time.monotonic() - start
        for problem in problems:
            diagnose(problem)
        print("%s %d %s # %.1f s" % ("not ok" if problems else "ok", number, name, took),
              flush=True)
        failed += bool(problems)
        if unclean and number < len(wanted):
            print("Bail out! the rest of the group cannot run after " + name, flush=True)
            break
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
