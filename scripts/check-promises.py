#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Does a test stand behind each promise of Documentation/promises.rst?

usage: scripts/check-promises.py [--self-test]

Each promise has to have one row in the table of tests, with a test and with assumptions that
the document has; each name in a row has to be what its label says, and to be run: by make
check, alone or with SUITE=, or by a target of the Makefile. One line for each fault, exit
status 1. --self-test makes each kind of fault in a copy of the text, and prints KTAP.
"""

import ast
import glob
import os
import re
import sys

import docutils.core
import docutils.nodes as nodes

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROMISES = "Documentation/promises.rst"
TESTS = ("clusters", "KUnit", "userspace", "models", "hosts", "runs", "simulator")
LABELS = TESTS + ("bugs",)


def read(path):
    with open(os.path.join(REPO, path)) as file:
        return file.read()


def files(pattern):
    return sorted(glob.glob(pattern, root_dir=REPO))


# ---- what there is ---------------------------------------------------------------------

def decorated(path):
    """Functions that @test(...) makes tests."""
    return {item.name for item in ast.parse(read(path)).body
            if isinstance(item, ast.FunctionDef) and any(
                isinstance(one, ast.Call) and getattr(one.func, "id", "") == "test"
                for one in item.decorator_list)}


def host_functions():
    """Those that tests/hosts/run calls by name, or by the list ALL of a module."""
    found = set()
    for item in ast.walk(ast.parse(read("tests/hosts/run"))):
        if not (isinstance(item, ast.Attribute) and isinstance(item.value, ast.Name)):
            continue
        path = "tests/hosts/%s.py" % item.value.id
        if not os.path.exists(os.path.join(REPO, path)):
            continue
        body = ast.parse(read(path)).body
        defined = {one.name for one in body if isinstance(one, ast.FunctionDef)}
        if item.attr in defined:
            found.add(item.attr)
        if item.attr == "ALL":
            found |= {one.id for one in elements(path, "ALL")}
    return found


def kunit_names():
    """Suites and cases of the files that the module of tests is made of."""
    built = set(re.findall(r"tests/(\w+)\.o", read("kmod/Kbuild")))
    text = "\n".join(read(path) for path in files("kmod/tests/*.c")
                     if os.path.basename(path)[:-2] in built)
    suites = re.findall(r'^QBD_SUITE\((\w+),|^static struct kunit_suite \w+ = \{\s*'
                        r'\.name\s*=\s*"(\w+)"', text, re.MULTILINE)
    cases = re.findall(r"\b(?:QBD_CASE|KUNIT_CASE\w*)\((\w+)", text)
    return {one or other for one, other in suites} | set(cases)


def elements(path, name):
    """What is in the list of this name."""
    return [one for item in ast.parse(read(path)).body if isinstance(item, ast.Assign) and
            item.targets[0].id == name for one in item.value.elts]


def suites():
    rows = [line.split() for line in read("tests/suites").splitlines()
            if line and not line.startswith("#")]
    return {row[0] for row in rows}, {row[4].split(",")[0] for row in rows}


def targets():
    """Those that run a program of the tests or the benchmark."""
    text = re.sub(r"\\\n", " ", read("Makefile"))
    return {"make " + name for name, recipe in
            re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)*)", text, re.MULTILINE)
            if re.search(r"\b(tests|scripts/bench)/", recipe)}


def known():
    """Label -> (what may stand there, what it is called)."""
    clusters = set().union(*map(decorated, files("tests/cluster/tests/test_*.py")))
    names, programs = suites()
    made = targets()
    hosts = host_functions() | {one for one in made if one.startswith("make hosts-")}
    return {
        "clusters": (clusters, "a test of tests/cluster/tests"),
        "KUnit": (kunit_names(), "a suite or case of kmod/tests"),
        "userspace": (programs, "a program of tests/suites"),
        "models": ({"tests/model/%s.pml" % one.value
                    for one in elements("tests/model/run", "MODELS")},
                   "a model that tests/model/run searches"),
        "hosts": (hosts, "a function that tests/hosts/run calls, nor a target make hosts-..."),
        "runs": (made, "a target of the Makefile that runs tests"),
        "simulator": (set(files("tests/sim/*.c")), "a source of tests/sim"),
        "bugs": ({one.args[0].value for one in elements("tests/sim/bugs", "BUGS")},
                 "a bug of tests/sim/bugs"),
    }, {"SUITE=" + name for name in names}


# ---- what the document says ------------------------------------------------------------

def section(document, title):
    for one in document.findall(nodes.section):
        if one.next_node(nodes.title).astext() == title:
            return one
    sys.exit("qbd: %s: there is no section '%s'" % (PROMISES, title))


def literals(node):
    return [" ".join(one.astext().split()) for one in node.findall(nodes.literal)]


def row_of(row):
    """(number or None, first words, assumptions, [(label, names)]) of a row."""
    cells = [one for one in row.children if isinstance(one, nodes.entry)]
    words = cells[0].astext().replace("\n", " ")
    number = re.match(r"(\d+) ", words)
    assumed = [one.strip() for one in cells[1].astext().replace("\n", " ").split(",")]
    fields = [(one[0].astext(), literals(one[1])) for one in cells[2].findall(nodes.field)]
    return number and int(number[1]), words, assumed, fields


def faults(text, known_names, suite_names):
    def fault(words, *values):
        found.append("%s: %s" % (PROMISES, words % values))

    found = []
    document = docutils.core.publish_doctree(text, settings_overrides={"report_level": 5})
    listed = section(document, "Promises")
    promises = {}
    for items in listed.findall(nodes.enumerated_list):
        for number, item in enumerate(items.children, items.get("start", 1)):
            if number in promises:
                fault("there are two promises %d", number)
            promises[number] = item
    everything = set().union(*(names for names, _ in known_names.values()))
    for number, item in promises.items():
        for name in sorted(everything.intersection(literals(item))):
            fault("promise %d names the test %s: that belongs into the table", number, name)
    assumptions = {one.astext() for one in section(document, "Assumptions").findall(nodes.term)}

    table = section(document, "Which test stands behind which promise")
    rows = [row_of(row) for body in table.findall(nodes.tbody) for row in body.children]
    numbers = [row[0] for row in rows]
    for number in sorted(promises.keys() - set(numbers)):
        fault("promise %d has no row in the table of tests", number)
    for number, words, assumed, fields in rows:
        if number is None:
            fault("the row '%s' does not begin with the number of a promise", words)
            continue
        if number not in promises:
            fault("there is no promise %d, and a row for it", number)
        for name in assumed:
            if name not in assumptions:
                fault("row %d: '%s' is none of the assumptions", number, name)
        if not any(names for label, names in fields if label in TESTS):
            fault("row %d names no test", number)
        for label, names in fields:
            if label not in LABELS:
                fault("row %d: the label '%s' is none of: %s", number, label, ", ".join(LABELS))
                continue
            allowed, what = known_names[label]
            if not names:
                fault("row %d: nothing is named behind '%s'", number, label)
            for name in names:
                if name not in allowed:
                    fault("row %d: %s is not %s", number, name, what)
                if names.count(name) > 1:
                    fault("row %d names %s twice behind '%s'", number, name, label)
    for number in sorted({one for one in numbers if one and numbers.count(one) > 1}):
        fault("promise %d has two rows", number)
    for name in literals(table):
        if name.startswith("SUITE=") and name not in suite_names:
            fault("there is no %s in tests/suites", name)
    return list(dict.fromkeys(found))


# ---- is it noticed? --------------------------------------------------------------------

# A fault, as (what it is, text, what is put in its place, what has to be said).
MISTAKES = (
    ("a promise without a row", "\n\nWhich test stands",
     "\n22. **One more.**\n\nWhich test stands", "promise 22 has no row"),
    ("a row without a promise", "   * - **21** ", "   * - **23** ", "there is no promise 23"),
    ("two rows for a promise", "   * - **21** ", "   * - **20** ", "promise 20 has two rows"),
    ("a row without a number", "   * - **21** ", "   * - ", "does not begin with the number"),
    ("a row without a test", "     - :clusters: ``memory_is_bounded``\n"
     "       :hosts: ``the_leaders_host``, ``a_followers_host_that_loses_its_connections``,\n"
     "           ``the_hosts_of_both_followers``, ``swap_on_the_device``\n",
     "     - :bugs: ``ring_overrun``\n", "row 11 names no test"),
    ("a label without a name", "     - :clusters: ``memory_is_bounded``\n",
     "     - :clusters: memory_is_bounded\n", "nothing is named behind 'clusters'"),
    ("a label that does not exist", ":clusters: ``memory_is_bounded``",
     ":cluster: ``memory_is_bounded``", "the label 'cluster' is none of"),
    ("no cluster test", ":clusters: ``memory_is_bounded``", ":clusters: ``wait_roles``",
     "row 11: wait_roles is not a test of tests/cluster/tests"),
    ("no KUnit suite", ":KUnit: ``rate``", ":KUnit: ``store_rig``",
     "row 5: store_rig is not a suite or case"),
    ("no suite's program", "``tests/net/run``", "``tests/net/main.c``",
     "row 10: tests/net/main.c is not a program"),
    ("no function of hosts that is run", ":hosts: ``device_grows``", ":hosts: ``without_election``",
     "row 18: without_election is not a function"),
    ("no target", ":runs: ``make churn``", ":runs: ``make waves``",
     "row 12: make waves is not a target"),
    ("a target that runs no test", ":runs: ``make churn``", ":runs: ``make clean``",
     "row 12: make clean is not a target"),
    ("no model", "``tests/model/claims.pml``", "``tests/model/raft.pml``",
     "row 17: tests/model/raft.pml is not a model"),
    ("no source of the simulator", ":simulator: ``tests/sim/sizes.c``",
     ":simulator: ``tests/sim/grow.c``", "row 18: tests/sim/grow.c is not a source"),
    ("no deliberate bug", "``ring_overrun``", "``ring_underrun``",
     "row 9: ring_underrun is not a bug"),
    ("a test that is named twice", "``memory_is_bounded``",
     "``memory_is_bounded``, ``memory_is_bounded``", "names memory_is_bounded twice"),
    ("no assumption", "memory is bounded\n     - Settings\n",
     "memory is bounded\n     - Weather\n", "row 11: 'Weather' is none"),
    ("no assumption at all", "memory is bounded\n     - Settings\n",
     "memory is bounded\n     -\n", "row 11: '' is none"),
    ("no suite", "``SUITE=smp``", "``SUITE=smb``", "there is no SUITE=smb"),
    ("a test that is named by a promise", "**Memory is bounded**:",
     "**Memory is bounded** (``memory_is_bounded``):", "promise 11 names the test"),
)


def self_test(text, names):
    print("KTAP version 1\n1..%d" % len(MISTAKES))
    failed = False
    for number, (what, old, new, wanted) in enumerate(MISTAKES, 1):
        # If its place is gone there is nothing to be noticed, and that fails, too.
        said = faults(text.replace(old, new, 1), *names)
        good = old in text and sum(wanted in line for line in said) == 1
        for line in said:
            print("# " + line)
        print("%s %d - %s is noticed" % ("ok" if good else "not ok", number, what))
        failed |= not good
    return failed


def main():
    if sys.argv[1:] not in ([], ["--self-test"]):
        sys.exit(__doc__)
    text = read(PROMISES)
    names = known()
    if sys.argv[1:]:
        return self_test(text, names)
    found = faults(text, *names)
    for line in found:
        print("qbd: " + line, file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
