#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of qbdadm that need neither root, module nor disks: arguments, tokens,
images of disks good and bad, status as it is printed.

usage: tests/tool/offline.py DIRECTORY   (where qbdadm and render were built)
"""

import glob
import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(REPO, "tests", "lib")]
sys.dont_write_bytecode = True

import layout                   # noqa: E402
import member as wire           # noqa: E402
import output as outputs        # noqa: E402
import tap                      # noqa: E402
from layout import BLOCK, Disk  # noqa: E402

if len(sys.argv) != 2:
    sys.exit(__doc__)
BUILT = os.path.abspath(sys.argv[1])
WORK = tempfile.mkdtemp(prefix="qbd-tool.")
tests = tap.Tests()


def qbdadm(*arguments, stdin=None, **options):
    """(status, output, errors)"""
    result = subprocess.run([os.path.join(BUILT, "qbdadm"), *map(str, arguments)],
                            input=stdin, stdin=None if stdin else subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            timeout=60, cwd=WORK, **options)
    outputs.check(arguments, result.stdout)
    return result.returncode, result.stdout, result.stderr


def refused(arguments, line, status=1, **options):
    """It fails, says exactly this line, and prints nothing else."""
    found = qbdadm(*arguments, **options)
    tap.equal(found, (status, "", "qbdadm: %s\n" % line), "qbdadm %s" % (arguments,))


def done(*arguments, **options):
    status, output, errors = qbdadm(*arguments, **options)
    tap.equal((status, errors), (0, ""), "qbdadm %s" % (arguments,))
    return output


def dump(path, *options):
    return json.loads(done("dump", path, "--json", *options))


def path(name):
    return os.path.join(WORK, name)


# ---- what people see ---------------------------------------------------------

def golden(name):
    @tests.test("prints %s as it should" % name)
    def _():
        result = subprocess.run([os.path.join(BUILT, "render"), name], text=True,
                                stdout=subprocess.PIPE, timeout=60, check=True)
        with open(os.path.join(HERE, "golden", name + ".txt")) as file:
            wanted = file.read()
        if result.stdout != wanted:
            tap.comment(result.stdout)
        tap.check(result.stdout == wanted, "differs from golden/%s.txt" % name)


for file in sorted(glob.glob(os.path.join(HERE, "golden", "*.txt"))):
    golden(os.path.basename(file)[:-4])


@tests.test("every case of render has a golden file")
def _():
    cases = subprocess.run([os.path.join(BUILT, "render"), "--list"], text=True,
                           stdout=subprocess.PIPE, check=True).stdout.split()
    files = [os.path.basename(file)[:-4]
             for file in glob.glob(os.path.join(HERE, "golden", "*.txt"))]
    tap.equal(sorted(cases), sorted(files), "cases")


# ---- what programs see -------------------------------------------------------

def rendered(name):
    return subprocess.run([os.path.join(BUILT, "render"), name], text=True, check=True,
                          stdout=subprocess.PIPE, timeout=60).stdout


def as_defined(name, text):
    """Every object in the text is; returns them."""
    values = list(outputs.objects(text))
    tap.check(values, "%s: nothing was printed" % name)
    for value in values:
        tap.equal(outputs.faults(name, value), [], name)
    return values


def cases():
    """Those of render that are a status."""
    return [name for name in rendered("--list").split()
            if not name.startswith("events") and not name.endswith(("-colour", "-json"))]


@tests.test("JSON of every status is as the schema says")
def _():
    names = cases()
    tap.check(len(names) >= 18, "cases: %s" % names)
    for name in names:
        as_defined("status_device", rendered(name + "-json"))


@tests.test("JSON of every event is as the schema says, and it knows no other")
def _():
    events = as_defined("events", rendered("events-json"))
    tap.equal([event["event"] for event in events],
              outputs.schema["$defs"]["event"]["properties"]["event"]["enum"], "events")


@tests.test("JSON in golden files is as the schema says")
def _():
    files = sorted(glob.glob(os.path.join(HERE, "golden", "*-json.txt")))
    tap.check(len(files) >= 3, "files: %s" % files)
    for file in files:
        with open(file) as text:
            as_defined("events" if "events" in os.path.basename(file) else "status_device",
                       text.read())


@tests.test("the schema is one, leaves nothing open, and describes all")
def _():
    outputs.check_schema()

    def described(name, value):
        while isinstance(value, dict) and "description" not in value and "$ref" in value:
            part = outputs.schema
            for key in value["$ref"][2:].split("/"):
                part = part[key]
            value = part
        tap.check(value.get("description"), "%s has no description" % name)

    for name, one in outputs.schema["$defs"].items():
        described(name, one)
        if one.get("type") != "object":
            tap.check("properties" not in one, "%s: is it an object?" % name)
            continue
        tap.check(one["additionalProperties"] is False, "%s may have any field" % name)
        tap.check(set(one["required"]) <= set(one["properties"]) and one["required"],
                  "%s: required" % name)
        for key, value in one["properties"].items():
            described("%s.%s" % (name, key), value)


@tests.test("the schema refuses unknown, missing and wrong fields, however deep")
def _():
    def objects(value, name="the device"):
        """Every object in the value."""
        if isinstance(value, dict):
            yield name, value
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(part, (dict, list)):
                yield from objects(part, "%s/%s" % (name, key))

    def refused_with(name, status, what):
        tap.check(outputs.faults("status_device", status), "%s: %s is taken" % (name, what))

    for case in "nine-json", "verifying-json", "catching-up-json":
        status = json.loads(rendered(case))
        tap.equal(outputs.faults("status_device", status), [], "at first")
        found = list(objects(status))
        tap.check(len(found) > 8, "objects: %d" % len(found))
        for name, one in found:
            one["more"] = 1
            refused_with(name, status, "an unknown field")
            del one["more"]
            for key, value in list(one.items()):
                del one[key]
                refused_with(name, status, "no %s" % key)
                one[key] = 1.5
                refused_with(name, status, "%s 1.5" % key)
                one[key] = value
        tap.equal(outputs.faults("status_device", status), [], "at last")
    for name, value in [("version", {"tool": "1"}), ("version", []), ("events", {}),
                        ("version", {"tool": "1", "module": None, "kernel": "6"}),
                        ("events", {"event": "dance", "sequence": 1}), ("status", None)]:
        tap.check(outputs.faults(name, value), "%s %s is taken" % (name, value))


@tests.test("every field that the program names is in the schema, and no other")
def _():
    named = set()
    for file in glob.glob(os.path.join(REPO, "userspace/qbdadm/*.c")):
        with open(file) as source:
            text = source.read()
        named |= set(re.findall(r'\b(?:qbdadm_json_(?:string|number|bool|uuid)|seconds_json|'
                                r'json_object_object_add)\(\w+,\s*"(\w+)"', text))
        named |= set(re.findall(r"\b(?:NUMBER|BOOL|STRING)\(object, \w+, (\w+)\);", text))
    known = {key for one in outputs.schema["$defs"].values()
             for key in one.get("properties", ())}
    # Those of which the name is in a variable at times are written out at others.
    tap.equal((sorted(named - known), sorted(known - named)), ([], []),
              "only in the program, only in the schema")


@tests.test("every command with --json is in the schema, and no other")
def _():
    have = {name.split()[0] for name in commands()
            if "--json" in done(*name.split(), "--help")}
    tap.equal(have, set(outputs.commands()), "commands")


def commands():
    """Names of all commands."""
    return [line[2:17].strip() for line in done("--help").splitlines()
            if re.match(r"  [a-z]", line)]


@tests.test("man page and completion know every command and option")
def _():
    with open(os.path.join(REPO, "Documentation/man/qbdadm.8")) as file:
        man = file.read()
    with open(os.path.join(REPO, "userspace/completion/qbdadm")) as file:
        completion = file.read()
    names = commands()
    known = set()
    tap.check(len(names) >= 13, "commands: %s" % names)
    for name in names:
        tap.check(".Cm %s" % name in man, "man page: %s" % name)
        for word in name.split():
            tap.check(re.search(r"\b%s\b" % word, completion), "completion: %s" % word)
        for option in re.findall(r"--([a-z][a-z-]+)", done(*name.split(), "--help")):
            known.add(option)
            # Whole words: --to is not there because --token-file is.
            tap.check(re.search(r"Fl Fl %s(?![\w-])" % option, man),
                      "man page: %s --%s" % (name, option))
            tap.check(re.search(r"--%s(?![\w-])" % option, completion),
                      "completion: %s --%s" % (name, option))
    tap.equal(set(re.findall(r"Fl Fl ([\w-]+)", man)) - known, {"help"},
              "options that the man page has of its own")


@tests.test("completion completes")
def _():
    script = """
        . %s/userspace/completion/qbdadm
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _qbdadm; echo "${COMPREPLY[@]}"; }
        try qbdadm cr
        try qbdadm leader m
        try qbdadm token s
        try qbdadm join x --lea
        try qbdadm create x --token
        try qbdadm set x --no-quorum e
        try qbdadm up --wait
        try qbdadm down --a
        try qbdadm sc
        try qbdadm conn
        try qbdadm connect x --fi
        try qbdadm disconnect x --fo
    """ % REPO
    result = subprocess.run(["bash", "--norc", "-c", script], stdout=subprocess.PIPE,
                            text=True, timeout=60)
    tap.equal(result.stdout.splitlines(),
              ["create", "move", "show", "--learner", "--token-file", "error",
               "--wait-leader", "--all", "scan", "connect", "--file", "--force"], "completions")


@tests.test("nothing to do is wrong usage and lists the commands")
def _():
    status, output, errors = qbdadm()
    tap.equal((status, errors), (2, ""), "qbdadm")
    tap.check("token new" in output, output)


@tests.test("output that cannot be written is a failure")
def _():
    with open("/dev/full", "w") as full:
        result = subprocess.run([os.path.join(BUILT, "qbdadm"), "--help"], stdout=full,
                                stderr=subprocess.PIPE, text=True)
    tap.equal(result.returncode, 1, "status")
    tap.check("No space left" in result.stderr, result.stderr)


@tests.test("what is not there on a disk is said in words")
def _():
    text = done("dump", image(busy_disk()))
    tap.check("(null)" not in text and re.search(r"history +none", text), text)


# ---- arguments ---------------------------------------------------------------

USAGE = [
    (["nonsense"], "nonsense: is no command; see 'qbdadm --help'"),
    (["leader"], "leader: needs another word; see 'qbdadm --help'"),
    (["leader", "eat"], "leader eat: is no command; see 'qbdadm --help'"),
    (["token"], "token: needs another word; see 'qbdadm --help'"),
    (["token", "new", "x"],
     "token new: takes no operand, 'x' was given; see 'qbdadm token new --help'"),
    (["status", "a", "b"], "status: one NAME at most; see 'qbdadm status --help'"),
    (["status", "--jsn"],
     "status: unknown or ambiguous option '--jsn'; see 'qbdadm status --help'"),
    (["status", "--json=1"],
     "status: option '--json' takes no value or is unknown; see 'qbdadm status --help'"),
    (["status", "-x"], "status: unknown option '-x'; see 'qbdadm status --help'"),
    (["status", "--json", "-xh"],
     "status: unknown option '-x'; see 'qbdadm status --help'"),
    (["status", "-jx"], "status: unknown option '-x'; see 'qbdadm status --help'"),
    (["status", "vol0", "--json", "-x", "--watch"],
     "status: unknown option '-x'; see 'qbdadm status --help'"),
    (["up", "--wait-leader", "--json=1"],
     "up: option '--json' takes no value or is unknown; see 'qbdadm up --help'"),
    (["scan", "x"], "scan: takes no operand; see 'qbdadm scan --help'"),
    (["scan", "--udev", "x", "--json"],
     "scan: --udev and --json do not go together; see 'qbdadm scan --help'"),
    (["up"], "up: needs a NAME, --disk PATH, or --scan; see 'qbdadm up --help'"),
    (["up", "--scan", "--disk", "x"],
     "up: --scan and --disk do not go together; see 'qbdadm up --help'"),
    (["up", "a", "b"], "up: one NAME at most; with --scan several; see 'qbdadm up --help'"),
    (["up", "--disk"], "up: option '--disk' needs a value; see 'qbdadm up --help'"),
    (["up", "a", "b", "--disk", "x"], "up: one NAME at most; with --scan several; "
                                     "see 'qbdadm up --help'"),
    (["up", "--disk", "x", "--memory", "1M"],
     "--memory '1M': is out of range; use 8M to 1G; see 'qbdadm up --help'"),
    (["up", "--disk", "x", "--memory", "99T"],
     "--memory '99T': is out of range; use 8M to 1G; see 'qbdadm up --help'"),
    (["up", "--disk", "x", "--memory", "-1"],
     "--memory: size '-1': is not a size; write for example 512M, 10G or 1.5T; "
     "see 'qbdadm up --help'"),
    (["up", "--disk", "x", "--election-timeout", "soon"],
     "--election-timeout 'soon': is not a number from 0 to 4294967295; "
     "see 'qbdadm up --help'"),
    (["up", "--disk", "x", "--no-quorum", "maybe"],
     "--no-quorum 'maybe': is not possible; use suspend or error; see 'qbdadm up --help'"),
    (["up", "--disk", "x", "--read", "local"],
     "--read 'local': is not possible; use lease or quorum; see 'qbdadm up --help'"),
    (["up", "--disk", "x", "--wait-leader=0"],
     "--wait-leader '0': is not a number from 1 to 86400; see 'qbdadm up --help'"),
    (["up", "--disk", "x", "--window", "4G"],
     "--window '4G': is too large; less than 4G; see 'qbdadm up --help'"),
    (["down"], "down: needs a NAME, or --all; see 'qbdadm down --help'"),
    (["down", "x", "--all"],
     "down: --all and a NAME do not go together; see 'qbdadm down --help'"),
    (["down", "--all", "--timeout", "soon"],
     "--timeout 'soon': is not a number from 0 to 86400; see 'qbdadm down --help'"),
    (["set", "x", "--all", "--heartbeat", "5"],
     "set: --all and a NAME do not go together; see 'qbdadm set --help'"),
    (["set", "x"], "set: needs at least one setting; see 'qbdadm set --help'"),
    (["set", "--heartbeat", "5"], "set: needs one NAME, or --all; see 'qbdadm set --help'"),
    (["leader", "show"], "leader show: needs one NAME; see 'qbdadm leader show --help'"),
    (["leader", "show", "x", "--wait=0"],
     "--wait '0': is not a number from 1 to 86400; see 'qbdadm leader show --help'"),
    (["leader", "move", "x", "y", "--wait"],
     "leader move: --wait is for 'leader show'; see 'qbdadm leader move --help'"),
    (["leader", "show", "x", "--to", "y"],
     "leader show: --to is for 'leader move'; see 'qbdadm leader show --help'"),
    (["leader", "move", "x", "y", "z"],
     "leader move: needs one NAME and one MEMBER at most; "
     "see 'qbdadm leader move --help'"),
    (["leader", "move", "x", "y", "--to", "z"],
     "leader move: needs one NAME and one MEMBER at most; "
     "see 'qbdadm leader move --help'"),
    (["events", "--count", "0"],
     "--count '0': is not a number from 1 to 4294967295; see 'qbdadm events --help'"),
    (["verify"], "verify: needs one NAME; see 'qbdadm verify --help'"),
    (["verify", "v", "--stop", "--repair"],
     "verify: --stop goes with no other option; see 'qbdadm verify --help'"),
    (["verify", "v", "--max-rate", "0"],
     "--max-rate: has to be more than 0; see 'qbdadm verify --help'"),
    (["verify", "v", "--from", "1000"],
     "--from: has to be a multiple of 4096 bytes; see 'qbdadm verify --help'"),
    (["destroy", "/dev/sdx"],
     "destroy: takes no operand; name the disk with --disk /dev/sdx; "
     "see 'qbdadm destroy --help'"),
    (["destroy"], "destroy: needs --disk PATH; see 'qbdadm destroy --help'"),
    (["dump"], "dump: needs one PATH; see 'qbdadm dump --help'"),
    (["checksum", "a", "b"], "checksum: needs one PATH; see 'qbdadm checksum --help'"),
    (["checksum", "a", "--against", "b", "--extents"],
     "checksum: --extents and --against do not go together; "
     "see 'qbdadm checksum --help'"),
    (["create"], "create: needs the device's NAME; see 'qbdadm create --help'"),
    (["create", "v"], "create: needs --listen ADDRESS[:PORT] (the first member of a device, "
                      "which others join), or --token-file, --id and --member (all members "
                      "at once); see 'qbdadm create --help'"),
    (["create", "v", "--id", "1"], "create: needs --token-file FILE (made by 'qbdadm token "
                                   "new'); see 'qbdadm create --help'"),
    (["create", "v", "--listen", "192.0.2.1"],
     "create: needs --disk PATH; see 'qbdadm create --help'"),
    (["create", "v", "--listen", "192.0.2.1", "--disk", "d", "--id", "1"],
     "create: either --listen ADDRESS[:PORT] (the first member of a device, which others join), or "
     "--token-file, --id and --member (all members at once); see 'qbdadm create --help'"),
    (["create", "v", "--listen", "192.0.2.1", "--disk", "d", "--up", "--no-up"],
     "create: either --up or --no-up; see 'qbdadm create --help'"),
    (["create", "v", "--id", "1", "--name", "x"],
     "create: --name goes with --listen; else --member has the names; "
     "see 'qbdadm create --help'"),
    (["create", "v", "--listen", "host", "--disk", "d"],
     "--listen: address 'host': is no IP address; host names are not looked up, write "
     "192.0.2.1:7900 or [2001:db8::1]:7900; see 'qbdadm create --help'"),
    (["create", "v", "--listen", "192.0.2.1", "--disk", "d", "--name", "7"],
     "--name '7': is a number and could be taken for an id; use for example 'host7' with "
     "--name; see 'qbdadm create --help'"),
    (["token", "show"], "token show: needs one NAME; see 'qbdadm token show --help'"),
    (["token", "show", "a", "b"],
     "token show: needs one NAME; see 'qbdadm token show --help'"),
    (["member", "replace", "vol", "a"],
     "member replace: OLD, a voter, and NEW, the learner that takes its place, are needed; "
     "1 was given; see 'qbdadm member replace --help'"),
    (["member", "remove", "vol"], "member remove: one MEMBER at least is needed; 0 were given; "
                                  "see 'qbdadm member remove --help'"),
    (["join"], "join: needs the ADDRESS of a member and the device's NAME; "
               "see 'qbdadm join --help'"),
    (["join", "192.0.2.1"], "join: needs the ADDRESS of a member and the device's NAME; "
                            "see 'qbdadm join --help'"),
    (["join", "192.0.2.1", "v"], "join: needs --disk PATH; see 'qbdadm join --help'"),
    (["join", "192.0.2.1", "v", "--disk", "d"],
     "join: needs --listen ADDRESS[:PORT] (where this member shall listen); "
     "see 'qbdadm join --help'"),
    (["join", "192.0.2.1", "v", "--disk", "d", "--listen", "192.0.2.2"],
     "join: needs --token-file FILE ('qbdadm token show' on a member prints it); "
     "see 'qbdadm join --help'"),
    (["join", "192.0.2.1", "v", "w", "--disk", "d", "--listen", "192.0.2.2",
      "--token-file", "t"],
     "join: one ADDRESS and one NAME only, 'w' is too much; see 'qbdadm join --help'"),
    (["join", "192.0.2.1", "v", "--priority", "256"],
     "--priority '256': is not a number from 0 to 255; see 'qbdadm join --help'"),
    (["join", "192.0.2.1:0", "v", "--disk", "d", "--listen", "192.0.2.2",
      "--token-file", "t"],
     "address '192.0.2.1:0': port '0' is not a number from 1 to 65535; "
     "see 'qbdadm join --help'"),
    (["join", "192.0.2.1", "v", "--disk", "d", "--listen", "0.0.0.0", "--token-file", "t"],
     "--listen: address '0.0.0.0': is the unspecified address; give the address at which this "
     "member listens; see 'qbdadm join --help'"),
    (["connect"], "connect: needs the ADDRESS of a member and the device's NAME; "
                  "see 'qbdadm connect --help'"),
    (["connect", "192.0.2.1", "v"],
     "connect: needs --token-file FILE ('qbdadm token show' on a member prints it); "
     "see 'qbdadm connect --help'"),
    (["connect", "192.0.2.1", "v", "w", "--token-file", "t"],
     "connect: one ADDRESS and one NAME only, 'w' is too much; see 'qbdadm connect --help'"),
    (["connect", "192.0.2.1:0", "v", "--token-file", "t"],
     "address '192.0.2.1:0': port '0' is not a number from 1 to 65535; "
     "see 'qbdadm connect --help'"),
    (["connect", "192.0.2.1", "v", "--token-file", "t", "--file", ""],
     "connect: --file: is no path of a file; see 'qbdadm connect --help'"),
    (["connect", "192.0.2.1", "a/b", "--token-file", "t"],
     "device name 'a/b': has a character that is not allowed; use letters, digits, '.', '_' "
     "and '-'; "
     "see 'qbdadm connect --help'"),
    (["disconnect"], "disconnect: needs the device's NAME; see 'qbdadm disconnect --help'"),
    (["disconnect", "v", "w"],
     "disconnect: needs the device's NAME; see 'qbdadm disconnect --help'"),
    (["disconnect", "v", "--wait", "0"],
     "disconnect: --wait '0': is not a number from 1 to 86400; see 'qbdadm disconnect --help'"),
    (["create", "v", "--token-file", "t"],
     "create: needs --id N (which member this host is); see 'qbdadm create --help'"),
    (["create", "v", "--token-file", "t", "--id", "1"],
     "create: needs --disk PATH; see 'qbdadm create --help'"),
    (["create", "v", "--token-file", "t", "--id", "1", "--disk", "d"],
     "create: needs --member ID=NAME@ADDRESS, once for each member; "
     "see 'qbdadm create --help'"),
    (["version", "x"], "version: takes no operand; see 'qbdadm version --help'"),
]


@tests.test("wrong usage: one line, status 2")
def _():
    for arguments, line in USAGE:
        refused(arguments, line, 2)


MEMBER = "1=alpha@192.0.2.1"
SAME = "that all members can use, global or private (fd00::/8)"
LINK_LOCAL = ("is link-local, which each host can reach by an interface of its own only; "
              "give one " + SAME)
INTERFACE = ("names the interface 'lo', which is this host's affair; give an address " +
             SAME)
# --member or another option, what is said of it
BAD_MEMBERS = [
    ("alpha", "member 'alpha': is not of the form ID=NAME@ADDRESS:PORT; "
              "write for example 1=alpha@192.0.2.1:7900"),
    ("=192.0.2.1", "member '=192.0.2.1': is not of the form ID=NAME@ADDRESS:PORT; "
                   "write for example 1=alpha@192.0.2.1:7900"),
    ("0=192.0.2.1", "member '0=192.0.2.1': the id is not a number from 1 to 4294967294"),
    ("x=192.0.2.1", "member 'x=192.0.2.1': the id is not a number from 1 to 4294967294"),
    ("-1=192.0.2.1", "member '-1=192.0.2.1': the id is not a number from 1 to 4294967294"),
    ("4294967295=192.0.2.1",
     "member '4294967295=192.0.2.1': the id is not a number from 1 to 4294967294"),
    ("1=host.example", "member '1=host.example': address 'host.example': is no IP address; "
                       "host names are not looked up, write 192.0.2.1:7900 or "
                       "[2001:db8::1]:7900"),
    ("1=192.0.2.256", "member '1=192.0.2.256': address '192.0.2.256': is no IP address; "
                      "host names are not looked up, write 192.0.2.1:7900 or "
                      "[2001:db8::1]:7900"),
    ("1=192.0.2.1:0", "member '1=192.0.2.1:0': address '192.0.2.1:0': port '0' is not a "
                      "number from 1 to 65535"),
    ("1=192.0.2.1:65536", "member '1=192.0.2.1:65536': address '192.0.2.1:65536': port "
                          "'65536' is not a number from 1 to 65535"),
    ("1=192.0.2.1:", "member '1=192.0.2.1:': address '192.0.2.1:': port '' is not a number "
                     "from 1 to 65535"),
    ("1=0.0.0.0", "member '1=0.0.0.0': address '0.0.0.0': is the unspecified address; give "
                  "the address at which this member listens"),
    ("1=::", "member '1=::': address '::': is the unspecified address; give the address at "
             "which this member listens"),
    ("1=224.0.0.1", "member '1=224.0.0.1': address '224.0.0.1': is a multicast address; "
                    "give the address at which this member listens"),
    ("1=255.255.255.255", "member '1=255.255.255.255': address '255.255.255.255': is a "
                          "reserved address; give the address at which this member listens"),
    ("1=ff02::1", "member '1=ff02::1': address 'ff02::1': is a multicast address; give the "
                  "address at which this member listens"),
    ("1=fe80::1", "member '1=fe80::1': address 'fe80::1': " + LINK_LOCAL),
    ("1=[febf::1]:1", "member '1=[febf::1]:1': address '[febf::1]:1': " + LINK_LOCAL),
    ("1=fe80::1%lo", "member '1=fe80::1%lo': address 'fe80::1%lo': " + INTERFACE),
    ("1=[fd00::1%lo]:1", "member '1=[fd00::1%lo]:1': address '[fd00::1%lo]:1': " + INTERFACE),
    ("1=192.0.2.1%lo", "member '1=192.0.2.1%lo': address '192.0.2.1%lo': " + INTERFACE),
    ("1=::ffff:192.0.2.1", "member '1=::ffff:192.0.2.1': address '::ffff:192.0.2.1': is an "
                           "IPv4 address written as IPv6; write the IPv4 address"),
    ("1=[2001:db8::1", "member '1=[2001:db8::1': address '[2001:db8::1': brackets do not "
                       "match; write [ADDRESS]:PORT"),
    ("1=a b@192.0.2.1", "member '1=a b@192.0.2.1': name 'a b': has a character that is not "
                        "allowed; use letters, digits, '.', '_' and '-'"),
    ("1=@192.0.2.1", "member '1=@192.0.2.1': name: is empty; give it a name"),
    ("1=2@192.0.2.1", "member '1=2@192.0.2.1': the name is a number and could be taken for "
                      "an id; use for example 'host1'"),
    ("1=%s@192.0.2.1" % ("a" * 32), "member '1=%s@192.0.2.1': the name is too long; at most "
                                    "31 characters" % ("a" * 32)),
    (MEMBER + ",1=192.0.2.2", "member '1=192.0.2.2': id 1 is given twice; every member "
                              "needs its own"),
    (MEMBER + ",2=192.0.2.1", "member '2=192.0.2.1': member 1 has the same address and "
                              "port; every member needs its own"),
    (MEMBER + ",2=alpha@192.0.2.2", "member '2=alpha@192.0.2.2': member 1 has the same name "
                                    "'alpha'; every member needs its own"),
    (",".join("%d=192.0.2.%d" % (n, n) for n in range(1, 18)),
     "member '17=192.0.2.17': there are 16 already; at most 16 are possible"),
    (MEMBER + ",", "member '': is not of the form ID=NAME@ADDRESS:PORT; write for example "
                   "1=alpha@192.0.2.1:7900"),
]


@tests.test("members that cannot work are refused")
def _():
    for member, line in BAD_MEMBERS:
        refused(["create", "v", "--token-file", "t", "--id", "1", "--disk", "d", "--member",
                 member], line + "; see 'qbdadm create --help'", 2)


@tests.test("ids and sizes that cannot work are refused")
def _():
    rest = ["--token-file", "t", "--disk", "d", "--member", MEMBER]
    hint = "; see 'qbdadm create --help'"
    for number, line in [
            ("0", "--id '0': is not a number from 1 to 4294967294"),
            ("1x", "--id '1x': is not a number from 1 to 4294967294"),
            (" 1", "--id ' 1': is not a number from 1 to 4294967294"),
            ("2", "create: --id 2 is none of the members given; name this host with "
                  "--member too")]:
        refused(["create", "v", "--id", number, *rest], line + hint, 2)
    for size in ["", "G", "0x10", "1e9", "10GG", "-5", "1.2.3", "5Q", "nan", "1,5G"]:
        refused(["create", "v", "--id", "1", "--size", size, *rest],
                "size '%s': is not a size; write for example 512M, 10G or 1.5T%s" %
                (size, hint), 2)
    refused(["create", "v", "--id", "1", "--size", "8E", *rest],
            "size '8E': is too large; less than 8E" + hint, 2)
    for option, possible in [("--size", "at least 4K"), ("--log-size", "at least 8M"),
                             ("--extent-size", "a power of two from 64K to 64M")]:
        for zero in "0", "0K", "0.0001":
            refused(["create", "v", "--id", "1", option, zero, *rest],
                    "%s '%s': is nothing; use %s, or leave the option out%s" %
                    (option, zero, possible, hint), 2)


BAD_NAMES = [
    ("", "device name: is empty; give it a name"),
    ("a/b", "device name 'a/b': has a character that is not allowed; use letters, digits, "
            "'.', '_' and '-'"),
    ("..", "device name '..': begins with '.'; begin with a letter or digit"),
    ("é", "device name 'é': has a character that is not allowed; use letters, digits, '.', "
          "'_' and '-'"),
    ("n" * 64, "device name '%s...': is too long; at most 63 characters" % ("n" * 40)),
    ("n" * 100000, "device name '%s...': is too long; at most 63 characters" % ("n" * 40)),
]


@tests.test("names that no device can have are refused everywhere")
def _():
    for before, after in [(["create"], ["--id", "1", "--token-file", "t", "--disk", "d",
                                        "--member", MEMBER]),
                          (["up"], ["--disk", "d"]), (["status"], []), (["down"], []),
                          (["set"], ["--heartbeat", "5"]), (["events"], []),
                          (["leader", "show"], []), (["leader", "move"], ["alpha"])]:
        for name, line in BAD_NAMES:
            refused([*before, name, *after],
                    "%s; see 'qbdadm %s --help'" % (line, " ".join(before)), 2)


def part(name, *arguments):
    """A part of the tool by itself, where no argument leads: (status, output, errors)."""
    result = subprocess.run([os.path.join(BUILT, "parts"), name, *arguments], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return result.returncode, result.stdout, result.stderr


@tests.test("no request overflows its message, however long what it is about")
def _():
    tap.equal(part("requests"), (0, "", ""), "requests")


@tests.test("a module that knows of no groups is asked for none")
def _():
    tap.equal(part("groups"), (0, "2, or 0\n", ""), "groups")


@tests.test("no link is made for a name that is none")
def _():
    for name in "../../nowhere/x", "a/b", "", "a\n":
        tap.equal(part("link", name),
                  (0, "", "qbdadm: warning: /dev/qbd77: gets no link: its name is none that "
                          "a device can have\n"), "link of %r" % name)


@tests.test("a plan uses the disk, and the module finds it good, whatever the size")
def _():
    tap.equal(part("plans"), (0, "", ""), "plans")


@tests.test("a disk of next to nothing, or of nothing, is too small")
def _():
    for disk, have in (0, "0 B"), (4095, "0 B"), (4096, "4.0 KiB"), (8 << 20, "8.0 MiB"):
        tap.equal(part("plan", str(disk), "0", "0", "0"),
                  (1, "", "x: is too small: %s, of which the log takes 16.0 MiB; at least 20 "
                          "MiB are needed with this log\n" % have), "disk of %d bytes" % disk)


@tests.test("plans of what no member can hold in memory are refused")
def _():
    mib = 1 << 20
    for disk, size, log, extent, line in [
            (1 << 49, 0, 0, 0, "a device of 512 TiB has more extents of 1.0 MiB than a member "
                               "can keep in memory; use --extent-size 2M"),
            (1 << 49, 1 << 48, 0, 0, "a device of 256 TiB has more extents of 1.0 MiB than a "
                                     "member can keep in memory; use --extent-size 2M"),
            (1 << 49, (1 << 48) - mib, 0, 0, None),
            (1 << 49, 0, 0, 2 << 20, None),
            (1 << 46, 1 << 44, 0, 1 << 16, "a device of 16.0 TiB has more extents of 64.0 KiB "
                                           "than a member can keep in memory; use "
                                           "--extent-size 512K"),
            (1 << 46, (1 << 35) + mib, 0, 1 << 16,
             "a device of 32.0 GiB has more extents of 64.0 KiB than a member can keep in "
             "memory; use --extent-size 128K"),
            (1 << 46, 1 << 35, 0, 1 << 16, None),
            (1 << 46, 1 << 44, 0, 1 << 19, None),
            (1 << 55, 0, 0, 0, "a device of 32.0 PiB has more extents than a member can keep "
                               "in memory, however large; use --extent-size 64M and --size "
                               "17179869120M at most"),
            (1 << 55, 17179869120 * mib, 0, 64 * mib, None),
            (1 << 42, 0, 1 << 39, 0, "a log of 512 GiB is more than a member can index in "
                                     "memory; use --log-size 524287M at most"),
            (1 << 42, 0, 524287 * mib, 0, None)]:
        found = part("plan", *map(str, (disk, size, log, extent)))
        tap.equal(found[::2], (1, "x: %s\n" % line) if line else (0, ""),
                  "plan %s" % [disk, size, log, extent])


# ---- tokens ------------------------------------------------------------------

@tests.test("a token is a UUID and a secret, new each time")
def _():
    one, two = done("token", "new"), done("token", "new")
    for token in one, two:
        tap.check(re.fullmatch(r"qbd1:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:"
                               r"[0-9a-f]{64}\n", token), token)
    for part in 1, 2:
        tap.check(one.split(":")[part] != two.split(":")[part], "part %d repeats" % part)
    tap.check(json.loads(done("token", "new", "--json"))["token"].startswith("qbd1:"), "json")


@tests.test("a token file is nobody else's, and never overwritten")
def _():
    file = path("token")
    output = done("token", "new", "--out", file, preexec_fn=lambda: os.umask(0))
    tap.equal(os.stat(file).st_mode & 0o7777, 0o600, "mode")
    with open(file) as opened:
        before = opened.read()
    tap.check(before.split(":")[2].strip() not in output, "the secret was printed")
    refused(["token", "new", "--out", file],
            "%s: is there already and is not overwritten; choose another file" % file)
    with open(file) as opened:
        tap.equal(opened.read(), before, "token")
    os.symlink("elsewhere", path("link"))
    refused(["token", "new", "--out", path("link")],
            "%s: is there already and is not overwritten; choose another file" %
            path("link"))
    refused(["token", "new", "--out", path("no/where")],
            "%s: cannot be made: No such file or directory" % path("no/where"))


def create(token, *more):
    return ["create", "v", "--token-file", token, "--id", "1", "--disk", path("none"),
            "--member", MEMBER, *more]


@tests.test("tokens that are no good are refused")
def _():
    good = done("token", "new").strip()
    malformed = ("%s: token: is malformed; it is one line as 'qbdadm token new' or "
                 "'qbdadm token show' prints it")

    def write(name, text, mode=0o600):
        with open(path(name), "w") as file:
            file.write(text)
        os.chmod(path(name), mode)
        return path(name)

    refused(create(path("missing")),
            "token file %s: No such file or directory; 'qbdadm token new' makes one for a new "
            "device, 'qbdadm token show' on a member prints that of a device that is there" %
            path("missing"))
    for mode in 0o644, 0o640, 0o604:
        file = write("readable", good, mode)
        refused(create(file), "token file %s: can be read by others than its owner; "
                              "'chmod 600 %s', and make a new token if they did" %
                (file, file))
    refused(create(WORK), "token file %s: is a directory; name a token file" % WORK)
    for text in ["", "hello", good[:-1], good + "0", good.replace("qbd1", "abc1"),
                 good[:-1] + "g", good.replace("-", "_", 1), good + "\n" + good,
                 "qbd1:00000000-0000-0000-0000-000000000000" + good[41:], "x" * 5000]:
        file = write("malformed", text)
        refused(create(file), malformed % file)
        os.unlink(file)
    file = write("newer", good.replace("qbd1", "qbd2"))
    refused(create(file), "%s: token: is of a kind that this program does not know; use the "
                          "qbdadm that made it" % file)
    # A good one gets as far as the disk, from a file and from standard input.
    file = write("good", good + "\n")
    for token, stdin in (file, None), ("-", good):
        refused(create(token), "v: %s: is not there; check the path" % path("none"),
                stdin=stdin)


@tests.test("the token is on the disk, and goes to nobody else")
def _():
    disk = Disk()
    image = disk.write(path("shown.img"))
    shown = done("token", "show", disk.name, "--disk", image)
    tap.check(shown.startswith("qbd1:%s:" % disk.uuid), shown)
    tap.equal(shown.split(":")[2].strip(), disk.secret.hex(), "secret")
    os.umask(0)
    with open(path("redirected"), "w") as file:
        subprocess.run([os.path.join(BUILT, "qbdadm"), "token", "show", disk.name, "--disk",
                        image], stdout=file, check=True)
    os.umask(0o022)
    tap.equal(os.stat(path("redirected")).st_mode & 0o777, 0o600, "mode")
    output = done("token", "show", disk.name, "--disk", image, "--out", path("shown"))
    tap.check(disk.secret.hex() not in output, "the secret was printed")
    with open(path("shown")) as file:
        tap.equal(file.read(), shown, "token")
    refused(["token", "show", "other", "--disk", image],
            "%s: is a member of %s, not of other" % (image, disk.name))
    # The word may be left out.
    tap.equal(done("token", disk.name, "--disk", image), shown, "token NAME")
    refused(["token", "show", "none-such"],
            "none-such: no disk of this host is a member of it; name one with --disk, or "
            "run this where one is")
    # By its descriptor: that user need not be able to reach the directory it is in.
    with open(os.path.join(BUILT, "qbdadm"), "rb") as program:
        refused(["token", "show", disk.name, "--disk", image],
                "token show: only root may; who has the token has the data",
                executable="/proc/self/fd/%d" % program.fileno(), pass_fds=[program.fileno()],
                user=65534, group=65534, extra_groups=[])


# ---- joining -----------------------------------------------------------------

class Joining:
    """A device with two members that listen, and whoever wants to join it."""

    part = "join"

    def __init__(self):
        self.token = path("join.token")
        if not os.path.exists(self.token):
            done("token", "new", "--out", self.token)
        with open(self.token) as file:
            self.device = wire.Device(file.read())
        self.members = [wire.Member(self.device, number) for number in (1, 2)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.close()
            tap.equal(member.errors, [], "what the member saw")

    def run(self, wait=3000, contact=None, name="vol0", host="new", token=None):
        return part(self.part, contact or self.members[0].address, name, token or self.token,
                    "127.0.0.9:7900", host, str(wait))

    def joined(self, number, index, **options):
        tap.equal(self.run(**options), (0, "%d %d\n" % (number, index), ""), "join")
        tap.equal([struct.unpack_from("<I", one)[0] for one in self.device.members].count(
            number), 1, "members with that id")

    def fails(self, *words, output="", **options):
        result = self.run(**options)
        tap.equal(result[:2], (1, output), "join: %s" % (result,))
        for word in words:
            tap.check(word in result[2] and result[2].count("\n") == 1,
                      "%r: no %r" % (result[2], word))


@tests.test("who joins is added by the leader, whoever was asked first")
def _():
    with Joining() as joining:
        joining.joined(3, 5)
        tap.equal(joining.device.changes, 1, "changes")
        _, flags, priority = struct.unpack_from("<IHB", joining.device.members[-1])
        tap.equal((flags, priority), (0x14, 0), "flags, priority")
    with Joining() as joining:
        joining.device.leader = 2
        joining.joined(3, 5)


@tests.test("a change that is not taken at once is asked for again")
def _():
    def refuse(joining, answers):
        change = wire.Member.change

        def answer(wanted):
            if answers:
                return wire.REFUSED_STATUS, answers.pop(), 0
            return change(joining.members[0], wanted)
        joining.members[0].change = answer

    with Joining() as joining:
        refuse(joining, [wire.PENDING, wire.NOT_LEADER_YET, wire.PENDING])
        joining.joined(3, 5)
    # Somebody else was added meanwhile: with the next id.
    with Joining() as joining:
        def somebody_else(wanted):
            joining.device.members.append(layout.member(3, "else", "127.0.0.8"))
            joining.device.add_index(4)
            del joining.members[0].change
            return joining.device.change(wanted)
        joining.members[0].change = somebody_else
        joining.joined(4, 6)
    # For a while only.
    with Joining() as joining:
        refuse(joining, [wire.PENDING] * 1000)
        joining.fails("vol0: another change of the members is under way; try again when it "
                      "is done (tried for 1 s)", wait=1000)
        tap.equal(joining.device.changes, 0, "changes")
    # And not if it is of no use.
    with Joining() as joining:
        joining.members[0].change = lambda wanted: (wire.REFUSED_STATUS, wire.TWICE, 2)
        joining.fails("vol0: member 2: its name, its address or its disk is "
                      "another member's already")


@tests.test("a member of our name and address that is not from us is not taken for us")
def _():
    with Joining() as joining:
        def twin(wanted):
            del joining.members[0].change
            joining.device.change(wanted[:16 + 2 * layout.MEMBER_SIZE + 64] +
                                  b"another disk ..." + bytes(BLOCK))
            return wire.REFUSED_STATUS, wire.OUTDATED, 0
        joining.members[0].change = twin
        joining.fails("vol0: member 3 is called new already")
        tap.equal(joining.device.changes, 1, "changes")


@tests.test("a disk that was added while our answer was lost is not taken for ours")
def _():
    # Somebody with our name, our address and the id that we asked for, but another disk.
    with Joining() as joining:
        def twin(wanted):
            del joining.members[0].change
            assert wanted[16 + 2 * layout.MEMBER_SIZE:][64:80] != bytes(16), "no disk"
            joining.device.change(wanted)
            other = joining.device.members[2][:64] + b"another disk ..."
            joining.device.members[2] = other
            raise ConnectionError
        joining.members[0].change = twin
        joining.fails("vol0: member 3 is called new already")
        tap.equal(joining.device.changes, 1, "changes")
    # Ours it is, but with another id than the one that was asked for at first.
    with Joining() as joining:
        device, first = joining.device, joining.members[0]

        def not_committed(wanted):
            answer = device.change(wanted)
            device.commit -= 1
            return answer

        def somebody_else(wanted):
            device.members.append(layout.member(3, "else", "127.0.0.8"))
            device.add_index(4)
            first.change = not_committed
            raise ConnectionError
        first.change = somebody_else
        joining.fails("a majority of the members has not taken the change so far",
                      wait=1000, output="perhaps 4\n")


@tests.test("a client takes the place of the one that its host was, if that is not there")
def _():
    client, leaving = 0x84, 0xc4

    class Clients(Joining):
        part = "connect"

        def __init__(self, flags=client, there=3):
            super().__init__()
            self.device.members.append(layout.member(3, "new", "127.0.0.9", flags=flags))
            self.device.add_index(4)
            self.device.connected = there
            self.asked = []
            self.members[0].change = self.change

        def change(self, wanted):
            count, = struct.unpack_from("<I", wanted, 8)
            if count == len(self.device.members):
                self.asked.append(struct.unpack_from("<H", wanted, 16 + 2 * 80 + 4)[0])
                # The leader takes it out a moment later.
                self.device.members.pop()
                self.device.add_index(4)
                return 0, 0, 0
            return self.device.change(wanted)

    with Clients() as joining:
        tap.equal(joining.run(), (0, "for 3: 4 7\n", ""), "connect")
        tap.equal(joining.asked, [leaving], "what it is to be")
        tap.equal(struct.unpack_from("<IH", joining.device.members[-1]), (4, client), "new one")
    # It is there; or it is no client; or whoever asks is none.
    with Clients(there=7) as joining:
        joining.fails("vol0: member 3 is called new already")
        tap.equal(joining.asked, [], "asked for")
    with Clients(flags=4) as joining:
        joining.fails("vol0: member 3 is called new already")
    with Clients() as joining:
        joining.part = "join"
        joining.fails("vol0: member 3 is called new already")
        tap.equal(joining.asked, [], "asked for")
    # Another one that only listens there is not ours to take out.
    with Clients() as joining:
        joining.fails("vol0: member 3 (new) listens at 127.0.0.9:7900 already", host="newer")
    # It is not taken out for long: then it is said, and nothing was added.
    with Clients() as joining:
        joining.members[0].change = lambda wanted: (joining.device.add_index(4), (0, 0, 0))[1]
        joining.fails("which this host was before, is not out of the list so far", wait=500)
        tap.equal(joining.device.changes, 0, "changes")


@tests.test("an answer that is lost is looked for: once, not twice")
def _():
    for done_before in True, False:
        with Joining() as joining:
            def lose(wanted):
                del joining.members[0].change
                if done_before:
                    joining.device.change(wanted)
                raise ConnectionError
            joining.members[0].change = lose
            joining.joined(3, 5)
            tap.equal(joining.device.changes, 1, "changes")


@tests.test("an id counts when the list that gives it is committed")
def _():
    with Joining() as joining:
        device, first = joining.device, joining.members[0]
        describe = first.describe
        looks = []

        def later():
            looks.append(device.commit)
            if device.changes and len(looks) == 5:
                device.commit = device.index
            return describe()

        def uncommitted(wanted):
            answer = device.change(wanted)
            device.commit = 4
            return answer
        first.describe, first.change = later, uncommitted
        joining.joined(3, 5)
        tap.equal(looks, [4] * 5, "looks")
    # The leader is lost with it, and the id goes to somebody else.
    with Joining() as joining:
        device, (first, second) = joining.device, joining.members
        describe, two = first.describe, list(device.members)

        def lost():
            if device.changes == 1 and device.leader == 1:
                device.members = [*two, layout.member(3, "else", "127.0.0.8")]
                device.index, device.commit, device.next_id = 7, 7, 4
                device.leader = 2
            return describe()
        first.describe = lost
        joining.joined(4, 8)
    # Never: it may be there all the same.
    with Joining() as joining:
        device, first = joining.device, joining.members[0]
        first.change = lambda wanted: (device.change(wanted), setattr(device, "commit", 4))[0]
        joining.fails("vol0: a majority of the members has not taken the change so far "
                      "(tried for 1 s)", wait=1000, output="perhaps 3\n")


@tests.test("a leader is waited for, and one that is lost is not the last word")
def _():
    with Joining() as joining:
        device, first = joining.device, joining.members[0]
        describe, looks = first.describe, []

        def elect():
            looks.append(1)
            device.leader = 2 if len(looks) > 3 else 0
            return describe()
        first.describe = elect
        joining.joined(3, 5)
    with Joining() as joining:
        joining.device.leader = 0
        joining.fails("%s: no leader is known there" % joining.members[0].address, wait=700)
    # The contact goes when it has told who the others are.
    with Joining() as joining:
        first = joining.members[0]

        def go(wanted):
            first.close()
            joining.device.leader = 2
            raise ConnectionError
        first.change = go
        joining.joined(3, 5)


@tests.test("names and addresses of others are refused before anything is asked")
def _():
    with Joining() as joining:
        for member in joining.members:
            member.change = lambda wanted: 1 / 0
        joining.fails("vol0: member 2 is called host2 already", host="host2")
        joining.fails("the device of this token is called vol0 there, not vol1", name="vol1")
        joining.device.members[1] = layout.member(2, "other", "127.0.0.9")
        joining.fails("vol0: member 2 (other) listens at 127.0.0.9:7900 already")
        joining.device.members = [layout.member(n, "h%d" % n, "127.0.1.%d" % n)
                                  for n in range(1, 17)]
        joining.device.next_id = 17
        joining.fails("vol0: has 16 members, and more cannot be")
        joining.device.members = joining.device.members[:2]
        joining.device.next_id = 2 ** 32 - 1
        joining.fails("vol0: all ids have been given")


@tests.test("who does not know the secret is found out, on both sides")
def _():
    other = path("join.other")
    done("token", "new", "--out", other)
    with open(other) as file, open(path("join.token")) as ours:
        device, secret = ours.read().split(":")[1], file.read().split(":")[2]
    with open(path("join.mixed"), "w") as file:
        os.chmod(file.name, 0o600)
        file.write("qbd1:%s:%s" % (device, secret))
    with Joining() as joining:
        where = joining.members[0].address
        joining.fails(where + ": a member of another device is there", token=other)
        # The member's proof is the first that is wrong.
        joining.fails(where + ": the token's secret is not the device's",
                      token=path("join.mixed"))
        first = joining.members[0]
        first.proof = lambda label, *hellos: wire.Member.proof(
            first, b"qbd listener", *hellos) if label == b"qbd listener" else b"?" * 32
        joining.fails(where + ": the token's secret is not the device's")
        first.shake_hands = lambda connection: (first.receive_frame(connection),
                                                first.refuse(connection,
                                                             wire.BUSY_REFUSED))[1]
        joining.fails(where + ": too many programs are connected", wait=500)


def wrong_hello(change):
    def hello(member, theirs):
        fields = list(wire.HELLO.unpack(wire.Member.hello(member, theirs)))
        change(fields)
        return wire.HELLO.pack(*fields)
    return hello


def set_field(number, value):
    return lambda fields: fields.__setitem__(number, value)


WRONG_HELLOS = [
    (set_field(0, 9), None), (set_field(2, 1), "malformed"),
    (set_field(3, 0), "not a member"), (set_field(4, 7), "not a member"),
    (set_field(5, 1), "malformed"), (set_field(9, b"x" * 16), "another device"),
]


@tests.test("a member that shakes hands wrongly is told in one line")
def _():
    for change, words in WRONG_HELLOS:
        with Joining() as joining:
            first = joining.members[0]
            first.hello = lambda theirs, c=change, m=first: wrong_hello(c)(m, theirs)
            if words:
                joining.fails(first.address, words)
            else:
                joining.joined(3, 5)


def spoilt(**fields):
    """A description with some of its bytes changed."""
    def describe(block):
        block = bytearray(block)
        for name, (at, value) in fields.items():
            block[at:at + len(value)] = value
        return bytes(block)
    return describe


LIST = 8 * 2 + 4 * 4 + 8 + 16 + 40 + 8 + 64      # where the list begins in a description
WRONG_DESCRIPTIONS = [
    (spoilt(size=(0, bytes(8))), "sizes of the device"),
    (spoilt(size=(0, b"\xff" * 8)), "sizes of the device"),
    (spoilt(log=(8, struct.pack("<Q", 1))), "sizes of the device"),
    (spoilt(log=(8, struct.pack("<Q", 1 << 40))), "sizes of the device"),
    (spoilt(shift=(16, struct.pack("<I", 31))), "sizes of the device"),
    (spoilt(name=(104, bytes(64))), "name of the device"),
    (spoilt(name=(104, b"a" * 64)), "name of the device"),
    (spoilt(name=(104, b"../x")), "name of the device"),
    (spoilt(mode=(56 + 20, struct.pack("<I", 2))), "who has claimed the device"),
    (spoilt(holder=(56 + 16, struct.pack("<I", 1))), "who has claimed the device"),
    (spoilt(count=(LIST + 8, struct.pack("<I", 17))), "member count"),
    (spoilt(count=(LIST + 8, bytes(4))), "member count"),
    (spoilt(next=(LIST + 12, struct.pack("<I", 2))), "member id that was never given"),
    (spoilt(id=(LIST + 16, struct.pack("<I", 2))), "member ids not in order"),
    (spoilt(flags=(LIST + 16 + 4, b"\x81\0")), "flags of a member"),
    (spoilt(flags=(LIST + 16 + 4, b"\0\1")), "flags of a member"),
    (spoilt(host=(LIST + 16 + 32, b"/" * 31)), "name or address of a member"),
    (spoilt(address=(LIST + 16 + 8, b"\5")), "name or address of a member"),
]


@tests.test("nothing that is no device is believed")
def _():
    for change, words in WRONG_DESCRIPTIONS:
        with Joining() as joining:
            first = joining.members[0]
            first.describe = lambda c=change, m=first: c(wire.Member.describe(m))
            joining.fails("%s: is no member of a qbd device, or of another version (%s" %
                          (first.address, words))


def replies(**changes):
    """A member's reply() with arguments or bytes changed."""
    def reply(member, connection, sequence, session, status, block, detail, number):
        values = {"sequence": sequence, "session": session, "status": status,
                  "block": block, "kind": wire.REPLY_TYPE, "count": len(block) // BLOCK,
                  "spoil": lambda header: header, **changes}
        member.send(connection, values["kind"], wire.REPLY.pack(
            values["sequence"], values["session"], 0, values["status"], values["count"], detail,
            number, 0), values["block"], spoil=values["spoil"])
    return reply


def flip(at):
    return lambda header: header[:at] + bytes([header[at] ^ 1]) + header[at + 1:]


WRONG_REPLIES = [
    (replies(sequence=77), "an answer to something else"),
    (replies(session=77), "an answer to something else"),
    (replies(status=wire.IO_ERROR, block=b"", count=0), "it does not say what device it is"),
    (replies(block=b"", count=0), "it does not say what device it is"),
    (replies(status=99, block=b"", count=0), "reply: unknown status"),
    (replies(block=bytes(2 * BLOCK), count=2), "reply: data is not the reply's"),
    (replies(count=0), "reply: data is not the reply's"),
    (replies(kind=wire.REQUEST_TYPE), "frame type that does not belong on this connection"),
    (replies(kind=99), "unknown frame type"),
    (replies(spoil=flip(0)), "not a qbd frame"),
    (replies(spoil=flip(12)), "frame header checksum"),
]


@tests.test("answers that are none are told in one line")
def _():
    for reply, words in WRONG_REPLIES:
        with Joining() as joining:
            first = joining.members[0]
            first.reply = lambda *arguments, r=reply, m=first: r(m, *arguments)
            joining.fails("%s: is no member of a qbd device, or of another version (%s)" %
                          (first.address, words))
    with Joining() as joining:
        joining.members[0].reply = lambda *arguments: replies(
            status=wire.BUSY, block=b"", count=0)(joining.members[0], *arguments)
        joining.fails("no memory to spare just now", wait=500)


@tests.test("whoever listens there, or does not: one line says it")
def _():
    def other(talk, *words):
        with Joining() as joining:
            joining.members[0].talk = talk
            joining.fails(joining.members[0].address, *words)

    other(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" + b"x" * 100),
          "is no member of a qbd device")
    other(lambda connection: connection.recv(4096), "closed by the other side")
    other(lambda connection: None, "closed by the other side")
    other(lambda connection: [connection.recv(4096) for _ in range(3)],
          "no answer within 5 s")
    with Joining() as joining:
        address = joining.members[0].address
        joining.members[0].listener.shutdown(socket.SHUT_RDWR)
        joining.members[0].close()
        joining.fails(address + ": nobody listens there (connection refused)")


@tests.test("what is no block device is refused, and left alone")
def _():
    file = path("file")
    with open(file, "wb") as opened:
        opened.write(b"precious" * 1000)
    done("token", "new", "--out", path("token2"))
    arguments = create(path("token2"))
    place = arguments.index("--disk") + 1
    for disk, line in [
            (file, "%s: is a regular file, not a block device; make one of it with "
                   "'losetup --find --show %s'" % (file, file)),
            (WORK, "%s: is not a block device; name one, for example /dev/sdb" % WORK),
            ("/dev/null", "/dev/null: is not a block device; name one, for example "
                          "/dev/sdb")]:
        arguments[place] = disk
        refused(arguments, "v: " + line)
        refused(["destroy", "--yes", "--disk", disk], line)
        refused(["up", "v", "--disk", disk], "v: " + line)
    with open(file, "rb") as opened:
        tap.equal(opened.read(), b"precious" * 1000, "contents")


# ---- images ------------------------------------------------------------------

def image(disk, name="image"):
    return disk.write(path(name))


def busy_disk():
    """A disk with a log of four records, all settled, and data."""
    disk = Disk()
    disk.append()
    disk.append(("write", 3, b"a" * 2 * BLOCK))
    disk.append(("zero", 256, 40), ("write", 700, b"b" * BLOCK))
    disk.append(("write", 3, b"c" * BLOCK))
    disk.data(3, b"c" * BLOCK + b"a" * BLOCK)
    disk.data(700, b"b" * BLOCK)
    disk.changed = {0: 4, 1: 3, 2: 3}
    # Never written: whatever lies there does not count.
    disk.data(800, b"garbage!" * 512)
    disk.settle()
    return disk


@tests.test("dump shows a disk as it is")
def _():
    disk = busy_disk()
    found = dump(image(disk), "--records", "--extents")
    for copy in found["superblocks"]:
        tap.equal(copy["verdict"], "good", "superblock")
        tap.equal(copy["uuid"], str(disk.uuid), "uuid")
        tap.equal((copy["name"], copy["member_id"]), ("vol0", 1), "identity")
        tap.equal(copy["incarnation"], str(disk.incarnation), "incarnation")
        tap.equal(copy["created"], "2023-11-14T22:13:20Z", "created")
        tap.equal((copy["device_blocks"], copy["log_block"], copy["log_blocks"],
                   copy["data_block"], copy["backing_blocks"]),
                  (disk.device_blocks, disk.log_block, disk.log_blocks, disk.data_block,
                   disk.backing_blocks), "places")
        tap.check("secret" not in copy, "the secret is shown")
    tap.equal([state["current"] for state in found["states"]], [True, False], "slots")
    state = found["states"][0]
    tap.equal([(member["id"], member["name"], member["address"], member["voter"])
               for member in state["members"]],
              [(1, "alpha", "192.0.2.1:7900", True), (2, "beta", "192.0.2.2:7900", True),
               (3, "gamma", "192.0.2.3:7900", True)], "members")
    log = found["log"]
    tap.equal((log["verdict"], log["last_index"], log["records"], log["blocks_used"]),
              ("whole", 4, 4, 8), "log")
    records = log["record_list"]
    tap.equal([record["verdict"] for record in records], ["good"] * 4 + ["end"], "verdicts")
    tap.equal([record["position"] for record in records], [0, 1, 4, 6, 8], "positions")
    tap.equal([(one["kind"], one["block"], one["count"])
               for one in records[2]["operations"]],
              [("zero", 256, 40), ("write", 700, 1)], "operations")
    tap.equal(found["extents"]["runs"],
              [{"first": 0, "count": 1, "changed_index": 4},
               {"first": 1, "count": 2, "changed_index": 3},
               {"first": 3, "count": 1, "changed_index": 0}], "extents")
    text = done("dump", path("image"), "--records", "--extents")
    tap.check("zero 256+40, write 700+1" in text, text)
    tap.check(disk.secret.hex() not in text, "the secret is shown")
    tap.check(disk.secret.hex() in done("dump", path("image"), "--show-secret"), "no secret")


def spoil(block, offset=100):
    return block[:offset] + bytes([block[offset] ^ 1]) + block[offset + 1:]


@tests.test("one good superblock copy or state slot is enough")
def _():
    for bad in 0, None:
        disk = busy_disk()
        place = layout.COPY_BLOCK if bad is None else 0
        for block, verdict in [(spoil(disk.superblock(place)), "damaged"),
                               (bytes(BLOCK), "empty"),
                               (os.urandom(BLOCK), "foreign"),
                               (disk.superblock(5), "misplaced")]:
            disk.blocks[place] = block
            found = dump(image(disk))
            verdicts = [copy["verdict"] for copy in found["superblocks"]]
            tap.equal(verdicts, ["good", verdict] if place else [verdict, "good"], "copies")
            tap.equal(found["log"]["records"], 4, "records")
    for slot in 0, 1:
        disk = busy_disk()
        other = 1 - slot
        disk.blocks.update(disk.slot(other))
        disk.blocks.update(disk.slot(slot, sequence=9))
        disk.blocks[layout.STATE_BLOCKS[slot]] = spoil(disk.state_block(slot, sequence=9))
        found = dump(image(disk))
        tap.equal(found["states"][slot]["verdict"], "damaged", "slot")
        tap.check(found["states"][other]["current"], "the good slot does not count")
        # Nor is a slot good without its second block, or with one of another write.
        disk.blocks.update(disk.slot(slot, sequence=9))
        tap.check(dump(image(disk))["states"][slot]["current"], "the newer slot")
        second = layout.STATE_BLOCKS[slot] + 1
        for block, verdict in [(spoil(disk.blocks[second]), "damaged"),
                               (bytes(BLOCK), "empty"),
                               (disk.applied_block(other, sequence=9), "misplaced"),
                               (disk.applied_block(slot, sequence=8), "invalid")]:
            disk.blocks[second] = block
            found = dump(image(disk))["states"]
            tap.equal(found[slot]["verdict"], verdict, "slot")
            tap.check(found[slot]["reason"].startswith("its second block: "), "reason")
            tap.check(found[other]["current"], "the good slot does not count")


@tests.test("dump shows the sessions of those who write")
def _():
    disk = busy_disk()
    disk.state["sessions"] = {1: (77, 5, 0), 3: (1 << 63, 1000, 1 << 1000 % 1024 | 1 << 3)}
    disk.state["without_data"] = 3
    disk.write(path("image"))
    state = dump(path("image"))["states"][0]
    tap.equal(state["without_data"], 3, "without_data")
    found = state["sessions"]
    tap.equal(found, [{"origin": 1, "session": 77, "below": 5, "logged": 0},
                      {"origin": 3, "session": 1 << 63, "below": 1000, "logged": 2}],
              "sessions")
    tap.check("session of member 3    answered below 1000" in done("dump", path("image")),
              "text")


def bad_image(disk, line, shows=True):
    """dump refuses it with this line, but shows what there is; checksum refuses, too."""
    file = image(disk)
    status, output, errors = qbdadm("dump", file, "--json")
    tap.equal((status, errors), (1, "qbdadm: %s: %s\n" % (file, line)), "dump")
    if shows:
        json.loads(output)
    else:
        tap.equal(output, "", "output")
    refused(["checksum", file], "%s: %s" % (file, line))


@tests.test("damaged, newer, foreign and mixed superblocks are called what they are")
def _():
    disk = busy_disk()
    ends = 0, layout.COPY_BLOCK

    def both(make):
        for end in ends:
            disk.blocks[end] = make(end)

    both(lambda end: spoil(disk.superblock(end)))
    status, _, errors = qbdadm("dump", image(disk))
    tap.equal(status, 1, "status")
    tap.check(re.fullmatch(r"qbdadm: %s: no superblock copy is good \(block 0: damaged: "
                           r"checksum is [0-9a-f]{8}, should be [0-9a-f]{8}\); look with "
                           r"'qbdadm dump', or give this replica up and make it anew under "
                           r"another id\n" % path("image"), errors), errors)
    both(lambda end: bytes(BLOCK))
    bad_image(disk, "is no qbd disk; make it one with 'qbdadm create'", False)
    both(lambda end: os.urandom(BLOCK))
    bad_image(disk, "is no qbd disk; make it one with 'qbdadm create'", False)
    disk.version = 2
    newer = ("the superblock is newer than this program: format version 2, this program "
             "knows version 1; use a newer qbdadm and module")
    both(disk.superblock)
    bad_image(disk, newer)
    # A newer one may be checksummed differently.
    both(lambda end: spoil(disk.superblock(end)))
    bad_image(disk, newer)
    # One copy is enough to tell that the disk is newer.
    disk.version = 1
    disk.blocks[0] = disk.superblock(0)
    bad_image(disk, newer)
    disk.features = 0x10
    both(disk.superblock)
    bad_image(disk, "the superblock is newer than this program: has features 0x10 that this "
                    "program does not know; use a newer qbdadm and module")
    disk.features = 0
    other = Disk()
    disk.blocks[0] = disk.superblock(0)
    disk.blocks[ends[1]] = other.superblock(ends[1])
    bad_image(disk, "the two superblock copies belong to different members: disks were "
                    "mixed; look with 'qbdadm dump'")


@tests.test("the disk of a witness has no data, and says so")
def _():
    disk = Disk(witness=True, device_blocks=1 << 40)
    file = image(disk)
    found = dump(file, "--records", "--extents")
    for copy in found["superblocks"]:
        tap.equal((copy["verdict"], copy["witness"], copy["data_block"],
                   copy["extent_table_blocks"]), ("good", True, 0, 0), "superblock")
    tap.equal(found["extents"]["count"], 0, "extents")
    tap.check("witness                    yes" in done("dump", file), "dump does not say it")
    line = "%s: is the disk of a witness, which keeps no data; use the disk of another member"
    refused(["checksum", file], line % file)
    whole = image(busy_disk(), "whole")
    tap.equal(dump(whole)["superblocks"][0]["witness"], False, "data")
    refused(["checksum", whole, "--against", file], line % file)
    # The last block of the disk is left alone, of a log, too.
    disk.backing_blocks -= 1
    bad_image(disk, "no superblock copy is good (block 0: invalid: its fields make no sense); "
                    "look with 'qbdadm dump', or give this replica up and make it anew under "
                    "another id")


@tests.test("so has the file of a client")
def _():
    disk = Disk(client=True, device_blocks=1 << 40)
    file = image(disk)
    for copy in dump(file)["superblocks"]:
        tap.equal((copy["verdict"], copy["witness"], copy["client"], copy["data_block"]),
                  ("good", False, True, 0), "superblock")
    line = "%s: is the disk of a client, which keeps no data; use the disk of another member"
    refused(["checksum", file], line % file)
    # One that says that it is a client's, and has data, is none.
    disk = busy_disk()
    disk.features = 2
    bad_image(disk, "no superblock copy is good (block 0: invalid: its fields make no sense); "
                    "look with 'qbdadm dump', or give this replica up and make it anew under "
                    "another id")


@tests.test("a tenth voter is refused before anything is written")
def _():
    members = ",".join("%d=h%d@192.0.2.%d" % (n, n, n) for n in range(1, 11))
    refused(["create", "v", "--token-file", "t", "--disk", "d", "--id", "1", "--member", members],
            "create: there would be 10 voters, and more than 9 cannot be; create it with fewer, "
            "and let more hosts 'qbdadm join --learner'; see 'qbdadm create --help'", 2)


@tests.test("witnesses that cannot be are refused")
def _():
    rest = ["--token-file", "t", "--disk", "d", "--member",
            "1=a@192.0.2.1,2=b@192.0.2.2,3=c@192.0.2.3", "--id", "3"]
    hint = "; see 'qbdadm create --help'"
    for more, line in [
            (["--witness", "x"], "--witness 'x': is not a number from 1 to 4294967294"),
            (["--witness", "4"], "create: --witness 4 is none of the members given"),
            (["--witness", "1", "--witness", "2"],
             "create: 2 of 3 voters would be witnesses, which keep no data, and a majority; "
             "there must be more members with data"),
            (["--witness", "3"], "create: needs --size SIZE for a witness: its disk, which gets "
                                 "no data, does not say how large the device is")]:
        refused(["create", "v", *rest, *more], line + hint, 2)
    refused(["create", "v", "--disk", "d", "--listen", "192.0.2.1", "--witness", "1"],
            "create: the first member of a device has its data; others join with --witness" +
            hint, 2)


@tests.test("fields that make no sense are refused")
def _():
    for field, value in [("member_id", 0), ("extent_shift", 60), ("device_blocks", 0),
                         ("device_blocks", 1 << 60), ("log_block", 0), ("log_block", 513),
                         ("log_blocks", 1), ("log_blocks", 1 << 63), ("data_block", 100),
                         ("data_block", (1 << 64) - 1), ("table_blocks", 0),
                         ("table_blocks", 1 << 62), ("backing_blocks", 17)]:
        disk = busy_disk()
        setattr(disk, field, value)
        blocks = {end: disk.superblock(end) for end in (0, layout.COPY_BLOCK)}
        disk = busy_disk()
        disk.blocks.update(blocks)
        status, output, errors = qbdadm("dump", image(disk), "--json")
        tap.equal(status, 1, "%s %d" % (field, value))
        tap.check("no superblock copy is good (block 0: invalid: " in errors, errors)
        tap.equal(json.loads(output)["superblocks"][0]["verdict"], "invalid", "verdict")


@tests.test("disks whose device's name is none are refused")
def _():
    for name in "../../etc/x\n", "a/b", "..", "-a", "a b", "a\x1b[2J":
        disk = busy_disk()
        disk.name = name
        bad_image(disk, "no superblock copy is good (block 0: invalid: the device's name in "
                        "it is none that a device can have); look with 'qbdadm dump', or "
                        "give this replica up and make it anew under another id")
    # A member's may be anything, but not what a terminal would obey.
    disk = busy_disk()
    disk.members = layout.membership([layout.member(1, "\x1b[2Jx", "192.0.2.1")])
    tap.check("\x1b" not in done("dump", image(disk)), "the name is printed as it is")


@tests.test("truncated disks are called that")
def _():
    disk = busy_disk()
    file = image(disk)
    size = os.path.getsize(file)
    os.truncate(file, size - BLOCK)
    status, _, errors = qbdadm("dump", file)
    tap.equal(status, 1, "status")
    tap.check("was made for a disk of %d blocks, this one has %d" %
              (size // BLOCK, size // BLOCK - 1) in errors, errors)
    for size in 0, 1, 511, BLOCK, 256 * BLOCK:
        os.truncate(file, size)
        refused(["dump", file], "%s: is no qbd disk: it has %d bytes, less than the "
                                "metadata alone" % (file, size))


@tests.test("lost votes are called that")
def _():
    disk = busy_disk()
    for slot in 0, 1:
        disk.blocks[layout.STATE_BLOCKS[slot]] = bytes(BLOCK)
    bad_image(disk, "both state blocks are bad (empty: zeroes; empty: zeroes): its vote is "
                    "lost, give this replica up and make it anew under another id")
    disk.blocks[layout.STATE_BLOCKS[0]] = disk.state_block(0, version=3)
    bad_image(disk, "the state block is newer than this program; use a newer qbdadm and "
                    "module")


def log_of(disk, *options):
    return dump(image(disk), *options)["log"]


def open_log(disk, durable):
    """Not closed in order; so much was durable and applied when the state was written."""
    disk.state.update(flags=0, durable=durable, commit=durable, applied=0)


@tests.test("a torn tail ends the log, a damaged record is called that")
def _():
    disk = busy_disk()
    open_log(disk, 1)
    tap.equal([log_of(disk)[key] for key in ("verdict", "last_index")], ["ends", 4], "log")
    # The last record's data is torn: it was never acknowledged.
    whole = disk.blocks[disk.log_block + 7]
    disk.blocks[disk.log_block + 7] = spoil(whole)
    log = log_of(disk)
    tap.equal((log["verdict"], log["last_index"], log["end_reason"]),
              ("ends", 3, "data checksum does not match"), "torn")
    # The same damage, but the state block says that it was acknowledged.
    open_log(disk, 4)
    log = log_of(disk)
    tap.equal((log["verdict"], log["last_index"], log["damaged_through"]),
              ("damaged", 3, 4), "acknowledged")
    file = image(disk)
    refused(["checksum", file],
            "%s: acknowledged log records from index 4 to 4 are damaged (data checksum does "
            "not match); bring it up, the other members send them again" % file)
    # A later record proves that an earlier one was acknowledged; it is cut off with it.
    disk = busy_disk()
    open_log(disk, 1)
    disk.blocks[disk.log_block + 4] = spoil(disk.blocks[disk.log_block + 4])
    log = log_of(disk, "--records")
    tap.equal((log["verdict"], log["last_index"], log["damaged_through"]),
              ("damaged", 2, 4), "proven by a later one")
    tap.equal([record["verdict"] for record in log["record_list"]],
              ["good", "good", "damaged"], "records")


@tests.test("stale, foreign and cut-off records are not taken for good")
def _():
    for reason, how in [
            ("record of another member's log", dict(member_id=2)),
            ("record of another history", dict(chain_previous=7)),
            ("record of another lap or place", dict(position=2048 + 8)),
            ("record of another index", dict(index=6)),
            ("record that was cut off", dict(generation=2))]:
        disk = busy_disk()
        if "generation" in how:
            disk.state.update(generation=3, truncated=5)
        disk.append(("write", 1, b"d" * BLOCK), durable=0, **how)
        open_log(disk, 4)
        log = log_of(disk)
        tap.equal((log["verdict"], log["last_index"], log["end_reason"]),
                  ("ends", 4, reason), reason)


@tests.test("the log goes on around the ring's end")
def _():
    disk = Disk()
    start = disk.log_blocks * 5 - 2
    disk.next_position = start
    disk.next_index = 900
    disk.state.update(first=900, position=start, applied=899, applied_position=start,
                      flags=0)
    disk.append(("write", 1, b"d" * 3 * BLOCK))
    disk.append()
    log = log_of(disk)
    tap.equal((log["verdict"], log["first_index"], log["last_index"]), ("ends", 900, 901),
              "log")


@tests.test("torn blocks of the extent table come from the journal")
def _():
    disk = busy_disk()
    disk.blocks[layout.TABLE] = bytes(BLOCK)
    # Only in the place that is its own: elsewhere it could be an old one.
    disk.blocks[layout.JOURNAL + 77] = disk.extent_block(0)
    file = image(disk)
    tap.equal(dump(file)["extents"]["table_blocks_bad"], 1, "a foreign place")
    disk.blocks[layout.JOURNAL] = disk.extent_block(0)
    file = image(disk)
    extents = dump(file)["extents"]
    tap.equal((extents["written"], extents["table_blocks_from_journal"],
               extents["table_blocks_bad"]), (3, 1, 0), "extents")
    done("checksum", file)
    disk.blocks[layout.JOURNAL] = spoil(disk.extent_block(0))
    file = image(disk)
    extents = dump(file)["extents"]
    tap.equal((extents["written"], extents["table_blocks_bad"]), (4, 1), "extents")
    refused(["checksum", file],
            "%s: 1 blocks of the extent table are damaged: what was never written cannot be "
            "told; bring the member up to repair it" % file)


# ---- checksums ---------------------------------------------------------------

# ---- members that are looked for -----------------------------------------------

class Host:
    """Files that look like the block devices of a host, as sysfs describes them."""

    def __init__(self):
        self.root = tempfile.mkdtemp(dir=WORK)
        self.sysfs = os.path.join(self.root, "sysfs")
        self.dev = os.path.join(self.root, "dev")
        os.mkdir(self.sysfs)
        os.mkdir(self.dev)
        self.number = 0

    def add(self, name, disk, parent="", number="8:%d", **attributes):
        """A block device, with these attributes ("holders/dm-0" makes the directory)."""
        self.number += 1
        directory = os.path.join(self.sysfs, parent, name)
        attributes = {"size": "1000", "uevent": "MAJOR=8\nDEVNAME=%s\nDEVTYPE=disk" % name,
                      "dev": number % self.number if "%" in number else number,
                      **{key.replace("__", "/"): value for key, value in attributes.items()}}
        for attribute, value in attributes.items():
            file = os.path.join(directory, attribute)
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w") as text:
                text.write(value + "\n")
        if parent:
            os.symlink(directory, os.path.join(self.sysfs, name))
        if isinstance(disk, Disk):
            disk.write(os.path.join(self.dev, name))
        elif disk is not None:
            with open(os.path.join(self.dev, name), "wb") as file:
                file.write(disk)

    def found(self):
        status, output, errors = part("scan", self.sysfs, self.dev)
        tap.equal((status, errors), (0, ""), "scan")
        return output.splitlines()

    def chosen(self, name):
        status, output, errors = part("scan", self.sysfs, self.dev, name)
        tap.equal((status, errors), (0, ""), "scan")
        return output.rstrip("\n").replace(self.dev + "/", "")


@tests.test("members are found among the disks of a host")
def _():
    host = Host()
    host.add("sdb", Disk(name="vol0", member_id=2))
    host.add("sdc", Disk(name="my-vol", member_id=7))
    host.add("sda", bytes(1 << 21))
    host.add("sdd", bytes(8192))                            # smaller than the metadata
    host.add("sde", b"")
    host.add("sdf", None)                                   # no node
    host.add("loop0", Disk(), size="0")
    host.add("nvme0c0n1", Disk(), hidden="1")
    host.add("sdg", Disk(), holders__dm_0="")               # a path of a multipath device
    host.add("dm-1", Disk(), dm__suspended="1", dm__name="x")
    host.add("fd0", Disk(), number="2:0")
    host.add("sr0", Disk(), number="11:0")
    host.add("qbd0", Disk(), qbd__name="vol7")
    host.add("qbd0p1", Disk(), parent="qbd0", partition="1")
    tap.equal(host.found(), ["sdb 2 of 'vol0' ", "sdc 7 of 'my-vol' "], "found")
    tap.equal(host.chosen("vol0"), "sdb", "vol0's")
    tap.equal(host.chosen("vol1"), "vol1: no disk here carries a member of it; 'qbdadm scan' "
                                   "lists those that are found", "vol1's")


@tests.test("a partition is a member, the disk that it ends is none")
def _():
    host = Host()
    inner = Disk(name="vol0")
    inner.write(path("partition"))
    with open(path("partition"), "rb") as file:
        contents = file.read()
    host.add("sda", bytes(1 << 20) + contents)
    host.add("sda1", contents, parent="sda", partition="1")
    tap.equal(host.found(), ["sda1 1 of 'vol0' "], "found")
    # As little without the kernel's word for it: its end is a good copy, at another place.
    host = Host()
    host.add("sda", bytes(1 << 20) + contents)
    tap.equal(host.found(), [], "found")


@tests.test("a damaged member is found, and why it cannot be brought up is said")
def _():
    host = Host()
    disk = Disk(name="vol0")
    disk.blocks[0] = bytes(BLOCK)                           # the other copy is enough
    host.add("sda", disk)
    disk = Disk(name="vol1")
    disk.blocks.update({block: bytes(BLOCK) for block in layout.STATE_BLOCKS})
    host.add("sdb", disk)
    disk = Disk(name="vol2")
    disk.blocks[0] = disk.blocks[layout.COPY_BLOCK] = spoil(disk.superblock(0))
    host.add("sdc", disk)
    found = host.found()
    tap.equal([line.split("/")[0] for line in found],
              ["sda 1 of 'vol0' ", "sdb 1 of 'vol1' ", "sdc 0 of '' "], "found")
    tap.check("both state blocks are bad" in found[1], found[1])
    tap.check("no superblock copy is good" in found[2], found[2])
    tap.equal(host.chosen("vol0"), "sda", "vol0's")
    line = host.chosen("vol1")
    tap.check(line.startswith("vol1: sdb: both state blocks are bad"), line)


@tests.test("disks that could be mistaken for one another are refused")
def _():
    def two(change):
        host, one = Host(), Disk(name="vol0")
        host.add("sda", one)
        other = Disk(name="vol0", device=one.uuid)
        other.incarnation = one.incarnation
        change(other)
        host.add("sdb", other)
        host.add("sdc", Disk(name="vol1"))
        tap.equal(host.chosen("vol1"), "sdc", "the disk of another device")
        return host.chosen("vol0")

    tap.equal(two(lambda disk: None),
              "vol0: member 1 is on sda and on sdb: two ways to one disk (then use "
              "multipath), or a copy, and an old copy loses data; name the disk with --disk, "
              "or for good in /etc/qbd/vol0.conf", "a copy")
    tap.equal(two(lambda disk: setattr(disk, "incarnation", uuid.uuid4())),
              "vol0: member 1 was made twice, on sda and on sdb, and only the later one "
              "counts; 'qbdadm destroy' the other", "made twice")
    tap.equal(two(lambda disk: setattr(disk, "member_id", 2)),
              "vol0: two of its members are on disks of this host, 1 on sda and 2 on sdb; "
              "name the disk with --disk", "two members")
    tap.equal(two(lambda disk: setattr(disk, "uuid", uuid.uuid4())),
              "vol0: is the name of two devices, of one on sda and of another on sdb; name "
              "the disk with --disk", "two devices")
    # A copy that is damaged is one all the same.
    tap.check(two(lambda disk: disk.blocks.update({0: spoil(disk.superblock(0))})).startswith(
        "vol0: member 1 is on sda and on sdb: two ways"), "a damaged copy")


CONFIGS = [
    ("", "disk - memory 0 given 0x2: 0 7 0 0 0 0 0 0"),
    ("# nothing\n\n \t\n", "disk - memory 0 given 0x2: 0 7 0 0 0 0 0 0"),
    ("memory = 256M\nheartbeat=100\n election-timeout =300 # ms\r\nread = quorum\n"
     "no-quorum = error\nno-quorum-grace = 1234\nwindow = 4M\nmax-rate = 20M\n"
     "checksums = on\n"
     "disk = /dev/disk/by-id/a b ",
     "disk /dev/disk/by-id/a b memory 268435456 given 0x33f: 300 7 1 1234 1 4194304 1 20971520"),
    ("disk = /dev/a\ndisk = /dev/b\n", "disk /dev/b memory 0 given 0x2: 0 7 0 0 0 0 0 0"),
    ("memory 64M\n", "1: 'memory 64M': is not of the form KEY = VALUE"),
    ("\nmemroy = 64M\n", "2: 'memroy': is no setting; use disk, memory, election-timeout, "
     "heartbeat, no-quorum, no-quorum-grace, read, "
     "window, claim-lease, leader-follows, max-rate or checksums"),
    ("memory = 1M\n", "1: memory '1M': is out of range; use 8M to 1G"),
    ("disk = sdb\n", "1: disk 'sdb': is no path from the root"),
    ("heartbeat =\n", "1: heartbeat '': is not a number from 0 to 4294967295"),
    ("= 5\n", "1: '': is no setting; use disk, memory, election-timeout, heartbeat, "
     "no-quorum, no-quorum-grace, read, "
     "window, claim-lease, leader-follows, max-rate or checksums"),
    ("max-rate = fast\n", "1: max-rate: size 'fast': is not a size; write for example 512M, 10G or 1.5T, or none"),
    ("max-rate = none\n", "disk - memory 0 given 0x102: 0 7 0 0 0 0 0 0"),
    ("checksums = yes\n", "1: checksums 'yes': is not possible; use off or on"),
    ("no-quorum = maybe\n", "1: no-quorum 'maybe': is not possible; use suspend or error"),
]


@tests.test("NAME.conf is read as it is written; what is no good is refused with its line")
def _():
    directory = tempfile.mkdtemp(dir=WORK)
    tap.equal(part("config", directory, "vol0"), (0, CONFIGS[0][1] + "\n", ""), "no file")
    file = os.path.join(directory, "vol0.conf")
    for text, wanted in CONFIGS:
        with open(file, "w") as config:
            config.write(text)
        status, output, errors = part("config", directory, "vol0")
        bad = not wanted.startswith("disk ")
        tap.equal((status, output, errors),
                  (bad, (file + ":" if bad else "") + wanted + "\n", ""), repr(text))


def contents():
    """What the device of busy_disk() holds."""
    data = bytearray(4 * 256 * BLOCK)
    data[3 * BLOCK:5 * BLOCK] = b"c" * BLOCK + b"a" * BLOCK
    data[700 * BLOCK:701 * BLOCK] = b"b" * BLOCK
    return bytes(data)


@tests.test("checksum is that of the device's contents")
def _():
    file = image(busy_disk())
    wanted = hashlib.sha256(contents()).hexdigest()
    found = json.loads(done("checksum", file, "--json"))
    tap.equal((found["sha256"], found["applied_index"], found["extents_written"]),
              (wanted, 4, 3), "checksum")
    tap.check(done("checksum", file).startswith("%s  %s\n" % (wanted, file)), "text")
    parts = json.loads(done("checksum", file, "--json", "--extents"))["extent_digests"]
    extents = [contents()[n << 20:(n + 1) << 20] for n in range(3)]
    tap.equal(parts, [{"extent": n, "sha256": hashlib.sha256(data).hexdigest()}
                      for n, data in enumerate(extents)], "extents")


@tests.test("replicas are compared block by block")
def _():
    one = busy_disk()
    other = busy_disk()
    other.uuid, other.member_id = one.uuid, 2
    for disk in one, other:     # the log is bound to device and member
        disk.state.update(flags=layout.CLEAN, durable=0, commit=0, applied=4,
                          applied_position=8)
        disk.next_index, disk.next_position, disk.chain = 1, 0, 0
        disk.blocks = {k: v for k, v in disk.blocks.items() if k >= disk.data_block}
        disk.append()
        disk.append()
        disk.append()
        disk.append()
        disk.settle()
    a, b = image(one, "one"), image(other, "other")
    tap.equal(done("checksum", a, "--against", b),
              "equal: 1024 blocks; applied index 4 and 4\n", "equal")
    other.data(4, b"A" + b"a" * (BLOCK - 1))
    other.data(700, b"x" * BLOCK)
    status, output, errors = qbdadm("checksum", a, "--against", image(other, "other"))
    tap.equal((status, output, errors),
              (1, "different: 2 of 1024 blocks, the first is device block 4; applied index 4 "
                  "and 4\n", ""), "different")
    status, output, _ = qbdadm("checksum", a, "--against", b, "--json")
    found = json.loads(output)
    tap.equal((status, found["equal"], found["blocks_different"],
               found["first_different_block"]), (1, False, 2, 4), "json")
    b = image(busy_disk(), "other")
    refused(["checksum", a, "--against", b],
            "%s and %s: are members of different devices (vol0, vol0); nothing to compare" %
            (a, b))


@tests.test("checksum refuses what it could not vouch for")
def _():
    def refuse(line, **state):
        disk = busy_disk()
        disk.state.update(state)
        if "applied" in state:
            disk.state.update(applied_chain=disk.chains[state["applied"] - 1])
        file = image(disk)
        refused(["checksum", file], "%s: %s" % (file, line))

    refuse("this disk failed while it was in use; its contents are not vouched for, replace "
           "it", flags=layout.FAILED)
    refuse("is half filled from another member; bring it up until status calls it in step, "
           "then take it down", flags=layout.FILLING)
    refuse("applied up to index 3 of 4 committed; bring the member up and take it down in "
           "order with 'qbdadm down'", applied=3, applied_position=6)
    refuse("was not taken down in order (applied 3, log ends at 4); bring the member up and "
           "take it down with 'qbdadm down'", applied=3, commit=3, flags=0,
           applied_position=6)


tests.run(cleanup=lambda: shutil.rmtree(WORK))
