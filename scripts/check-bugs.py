#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Is the place of each deliberate bug there, exactly once?

usage: scripts/check-bugs.py

A deliberate bug is text that stands in for other text of one file. Its runs take hours and are
asked for; that its place has changed is found here at once. The lists are those of tests/sim/bugs,
tests/random/run, tests/crash-states/run and tests/fuzz/run. One line for each fault, exit status 1.
"""

import importlib.machinery
import importlib.util
import os
import sys

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def load(path):
    loader = importlib.machinery.SourceFileLoader(path.replace("/", "_").replace("-", "_"),
                                                  os.path.join(REPO, path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def main():
    sys.dont_write_bytecode = True
    simulator, random, crashes, fuzz = (load("tests/" + name) for name in (
        "sim/bugs", "random/run", "crash-states/run", "fuzz/run"))
    bugs = list(simulator.BUGS)
    bugs += [simulator.Bug(name, *bug) for name, bug in random.OWN_BUGS.items()]
    bugs += crashes.own_bugs(simulator)
    faults = []
    for bug in bugs:
        if simulator.changed(bug) is None:
            faults.append("%s: its place is not once in kmod/%s" % (bug.name, bug.path))
    for bug in fuzz.BUGS:
        with open(os.path.join(REPO, bug.file)) as file:
            if file.read().count(bug.old) != 1:
                faults.append("fuzzing %s: '%s' is not once in %s" %
                              (bug.target, bug.old, bug.file))
    names = [bug.name for bug in bugs]
    faults += ["%s: there are two of that name" % name
               for name in sorted(set(names)) if names.count(name) > 1]
    # What is tried in virtual time or on crash states may be one of the simulator's.
    for where, table in (("random", random.BUGS), ("churn", random.CHURN_BUGS),
                         ("crash-states", crashes.BUGS)):
        faults += ["%s: there is no bug '%s'" % (where, name)
                   for name in table if name not in names]
    for fault in faults:
        print(fault)
    assert len(bugs) > 100 and len(fuzz.BUGS) > 10
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
