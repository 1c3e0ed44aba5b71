#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of qbdadm with disks and the module, as root in a throw-away kernel.

usage: tests/tool/guest.py [--fuzz SECONDS]   (in User-mode Linux, see tests/tool/run-uml)

--fuzz: nothing but netlink requests, for so long.
"""

import base64
import ctypes
import hashlib
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(REPO, "tests", "lib")]
sys.dont_write_bytecode = True

import layout                   # noqa: E402
import mutate                   # noqa: E402
import output as outputs        # noqa: E402
import tap                      # noqa: E402
from layout import BLOCK        # noqa: E402

WORK = "/tmp/tool"
TOKEN = os.path.join(WORK, "token")
KEPT = os.path.join(REPO, "tests/fuzz/corpus/netlink")
MEMBER = "1=alpha@127.0.0.1"
tests = tap.Tests()


def qbdadm(*arguments, **options):
    """(status, output, errors)"""
    options.setdefault("stdin", subprocess.DEVNULL)
    result = subprocess.run(["qbdadm", *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=60, **options)
    outputs.check(arguments, result.stdout)
    return result.returncode, result.stdout, result.stderr


def done(*arguments, warnings="", **options):
    status, output, errors = qbdadm(*arguments, **options)
    tap.equal((status, errors), (0, warnings), "qbdadm %s" % (arguments,))
    return output


def refused(arguments, line, status=1, **options):
    found = qbdadm(*arguments, **options)
    tap.equal(found, (status, "", "qbdadm: %s\n" % line), "qbdadm %s" % (arguments,))


def run(*arguments):
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60).stdout


class Loop:
    """A disk of so many MiB, and what is on it."""

    def __init__(self, mib=100, *options):
        self.file = os.path.join(WORK, "disk-%s" % uuid.uuid4())
        with open(self.file, "wb") as file:
            file.truncate(mib << 20)
        self.path = run("losetup", "--find", "--show", *options, self.file).strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run("losetup", "--detach", self.path)
        os.unlink(self.file)

    def write(self, offset, data):
        with open(self.path, "r+b", buffering=0) as disk:
            os.pwrite(disk.fileno(), data, offset)
            os.fsync(disk.fileno())

    def read(self, block, count=1):
        with open(self.path, "rb", buffering=0) as disk:
            return os.pread(disk.fileno(), count * BLOCK, block * BLOCK)

    def digest(self):
        """Of all that was ever written: holes of the file are not read."""
        digest = hashlib.sha256()
        with open(self.path, "rb", buffering=0) as disk:
            os.fsync(disk.fileno())
        with open(self.file, "rb", buffering=0) as file:
            start, end = 0, os.fstat(file.fileno()).st_size
            while start < end:
                try:
                    start = os.lseek(file.fileno(), start, os.SEEK_DATA)
                except OSError:         # nothing but a hole is left
                    break
                stop = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                digest.update(b"%d-%d:" % (start, stop))
                digest.update(os.pread(file.fileno(), stop - start, start))
                start = stop
        return digest.hexdigest()


def create(disk, *more, members=MEMBER, name="vol0", number=1, token=TOKEN):
    return ["create", name, "--token-file", token, "--id", number, "--disk", disk.path,
            "--member", members, *more]


ALONE = ("qbdadm: warning: one member only: nothing is replicated, its disk is all there "
         "is\n")


def untouched(disk, arguments, line, status=1):
    """Refused, and nothing was written."""
    before = disk.digest()
    refused(arguments, line, status)
    tap.equal(disk.digest(), before, "contents of the disk after 'qbdadm %s'" %
              " ".join(map(str, arguments)))


# ---- create, destroy, dump -----------------------------------------------------

@tests.test("create writes what the format says")
def _():
    with Loop(100) as disk:
        # Garbage everywhere that is no signature, and an old log that would fit.
        with open(disk.path, "r+b") as file:
            for _ in range(100):
                file.write(b"\xa5" * (1 << 20))
        output = done(*create(disk, "--size", "40M", "--log-size", "9.5M", "--extent-size",
                              "256K", members=MEMBER + ",2=beta@127.0.0.1:7901,"
                              "7=gamma@[2001:db8::3]:8000", number=7))
        tap.check("member 7 (gamma) of 3" in output, output)
        with open(TOKEN) as file:
            _, device, secret = file.read().strip().split(":")
        device = uuid.UUID(device)
        first, second = disk.read(0), disk.read(layout.COPY_BLOCK)
        for position, block in (0, first), (layout.COPY_BLOCK, second):
            tap.check(layout.is_sealed(block), "superblock at %d" % position)
            magic, version, _, _, at = struct.unpack_from("<IIIIQ", block)
            tap.equal((magic, version, at), (layout.SUPERBLOCK, 1, position), "header")
            tap.equal(uuid.UUID(bytes=block[24:40]), device, "device")
            member, shift = struct.unpack_from("<II", block, 56)
            tap.equal((member, shift, block[80:144].rstrip(b"\0")), (7, 18, b"vol0"), "who")
            created, *places = struct.unpack_from("<QQQQQQQ", block, 144)
            tap.check(abs(created - time.time()) < 3600, "created at %d" % created)
            tap.equal(places, [25600, 10240, 256, 512, 2304, 2816], "places")
            tap.equal(block[200:232].hex(), secret, "secret")
            tap.equal(block[64:80], first[64:80], "incarnation")
        slots = [disk.read(block) for block in layout.STATE_BLOCKS]
        for position, block in zip(layout.STATE_BLOCKS, slots):
            tap.check(layout.is_sealed(block), "state at %d" % position)
            state = struct.unpack_from("<QQIIQQQQQ", block, 40)
            tap.equal(state[1:], (0, 0, layout.CLEAN | layout.NEW, 0, 0, 0, 1, 0), "state")
            count, following = struct.unpack_from("<II", block, 160 + 8)
            tap.equal((count, following), (3, 8), "members")
            ids = [struct.unpack_from("<I", block, 176 + 80 * n)[0] for n in range(3)]
            tap.equal(ids, [1, 2, 7], "ids")
        tap.check(slots[0][40:48] != slots[1][40:48], "both slots have one sequence")
        for position, block in zip(layout.STATE_BLOCKS, slots):
            second = disk.read(position + 1)
            tap.check(layout.is_sealed(second), "behind the state at %d" % position)
            tap.equal(struct.unpack_from("<IIIIQ", second)[::2],
                      (layout.APPLIED, struct.unpack_from("<I", second, 8)[0], position + 1),
                      "header")
            tap.equal(second[40:], block[40:48] + bytes(BLOCK - 48), "nothing is applied")
        table = disk.read(layout.TABLE)
        tap.check(layout.is_sealed(table), "extent table")
        tap.equal(table[40:], bytes(BLOCK - 40), "extents")
        tap.equal(disk.read(512, 2304), bytes(2304 * BLOCK), "log")
        tap.equal(disk.read(layout.JOURNAL, 128), bytes(128 * BLOCK), "journal")
        tap.equal(json.loads(done("dump", disk.path, "--json"))["log"]["records"], 0, "log")


@tests.test("sizes are rounded as promised, and fit")
def _():
    with Loop(100) as disk:
        def size(*more):
            found = json.loads(done(*create(disk, "--force", "--json", *more),
                                    warnings=ALONE))
            return found["device_bytes"], found["log_bytes"], found["extent_bytes"]

        tap.equal(size(), (81 << 20, 16 << 20, 1 << 20), "by default")
        made = json.loads(done(*create(disk, "--force", "--json", number=2,
                                       members="1=alpha@127.0.0.1,2=beta@[fd00::2]:8000,"
                                               "3=gamma@127.0.0.3")))
        tap.equal((made["member_name"], made["address"]), ("beta", "[fd00::2]:8000"),
                  "where it listens")
        tap.equal(size("--size", "10000000"), (9998336, 16 << 20, 1 << 20), "--size")
        tap.equal(size("--size", "1.5M"), (3 << 19, 16 << 20, 1 << 20), "--size 1.5M")
        tap.equal(size("--log-size", "8M"), (89 << 20, 8 << 20, 1 << 20), "--log-size")
        tap.equal(size("--extent-size", "64K"), (81 << 20, 16 << 20, 1 << 16), "extents")
        # All that the disk has.
        tap.equal(size("--size", "83967K"), (20991 * BLOCK, 16 << 20, 1 << 20), "all")
    with Loop(20 << 10) as disk:
        tap.equal(size(), ((20 << 30) - (263 << 20), 256 << 20, 1 << 20), "20 GiB")


@tests.test("sizes that cannot work are refused before anything is written")
def _():
    with Loop(100) as disk:
        for more, line in [
                (["--size", "83M"], "a device of 83.0 MiB does not fit; this disk has room "
                                    "for --size 81M at most"),
                (["--size", "83968K"], "a device of 82.0 MiB does not fit; this disk has room "
                                       "for --size 81M at most"),
                (["--size", "1E"], "a device of 1.0 EiB does not fit; this disk has room for "
                                   "--size 81M at most"),
                (["--size", "4095"], "a device of 4095 bytes is too small; at least one "
                                     "block of 4K"),
                (["--log-size", "7M"], "a log of 7340032 bytes is too small; at least 8.0 "
                                       "MiB"),
                (["--log-size", "99M"], "is too small: 100 MiB, of which the log takes 99.0 "
                                        "MiB; at least 103 MiB are needed with this log"),
                (["--extent-size", "3M"], "an extent of 3145728 bytes is not possible; use a "
                                          "power of two from 64K to 64M"),
                (["--extent-size", "32K"], "an extent of 32768 bytes is not possible; use a "
                                           "power of two from 64K to 64M"),
                (["--extent-size", "128M"], "an extent of 134217728 bytes is not possible; "
                                            "use a power of two from 64K to 64M")]:
            untouched(disk, create(disk, *more), "vol0: %s: %s" % (disk.path, line))
    for mib in 1, 19:
        with Loop(mib) as disk:
            untouched(disk, create(disk),
                      "vol0: %s: is too small: %d.0 MiB, of which the log takes 16.0 MiB; at "
                      "least 20 MiB are needed with this log" % (disk.path, mib))
    with Loop(20) as disk:
        done(*create(disk), warnings=ALONE)


def partitioned(disk):
    entry = struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0x83, 0, 3, 0, 2048, 4096)
    disk.write(446, entry)
    disk.write(510, b"\x55\xaa")


CONTENTS = [
    ("ext4", lambda disk: run("mkfs.ext4", "-q", disk.path), "an ext4 filesystem"),
    ("swap", lambda disk: run("mkswap", disk.path), "a swap"),
    ("xfs", lambda disk: run("mkfs.xfs", "-q", disk.path), "a xfs filesystem"),
    ("btrfs", lambda disk: run("mkfs.btrfs", "-q", disk.path), "a btrfs filesystem"),
    ("partitions", partitioned, "a dos partition table"),
]


@tests.test("what is on a disk is not destroyed without --force")
def _():
    for name, make, what in CONTENTS:
        with Loop(400) as disk:
            make(disk)
            untouched(disk, create(disk),
                      "vol0: %s: carries %s; choose another disk, or --force to destroy what "
                      "is on it" % (disk.path, what))
            done(*create(disk, "--force"), warnings=ALONE)
            result = subprocess.run(["blkid", "-p", disk.path], stdout=subprocess.PIPE,
                                    text=True)
            tap.equal(result.stdout, "", "blkid after %s" % name)
            done("dump", disk.path)


@tests.test("another member is not destroyed without --force")
def _():
    with Loop() as disk:
        done(*create(disk), warnings=ALONE)
        with open(TOKEN) as file:
            device = file.read().split(":")[1]
        line = ("vol0: %s: carries member 1 of qbd device vol0 (%s); 'qbdadm destroy --disk "
                "%s' or --force gives it up" % (disk.path, device, disk.path))
        untouched(disk, create(disk), line)
        disk.write(0, bytes(BLOCK))         # the second copy is enough
        untouched(disk, create(disk), line)
        disk.write(layout.COPY_BLOCK * BLOCK, b"x")
        disk.write(0, struct.pack("<II", layout.SUPERBLOCK, 1) + b"y" * 100)
        untouched(disk, create(disk),
                  "vol0: %s: carries a qbd superblock that is not good ('qbdadm dump %s' "
                  "shows it); --force gives it up" % (disk.path, disk.path))
        done(*create(disk, "--force"), warnings=ALONE)


@tests.test("a disk in use is refused, and why is said")
def _():
    def check(disk, why):
        line = ("%s: is in use (%s); release it (umount, swapoff, qbdadm down) or choose "
                "another disk" % (disk.path, why))
        for more in [], ["--force"]:
            refused(create(disk, *more), "vol0: " + line)
        refused(["destroy", "--force", "--yes", "--disk", disk.path], line)
        refused(["checksum", disk.path], line)

    with Loop() as disk:
        run("mkfs.ext4", "-q", disk.path)
        os.makedirs(WORK + "/mount", exist_ok=True)
        run("mount", disk.path, WORK + "/mount")
        check(disk, "mounted on %s/mount" % WORK)
        run("umount", WORK + "/mount")
        held = os.open(disk.path, os.O_RDONLY | os.O_EXCL)
        check(disk, "opened exclusively by the kernel or another program")
        os.close(held)
        run("dmsetup", "create", "holder", "--table", "0 1000 linear %s 0" % disk.path)
        try:
            check(disk, "part of dm-0")
        finally:
            run("dmsetup", "remove", "holder")
        done(*create(disk, "--force"), warnings=ALONE)
        held = os.open(disk.path, os.O_RDONLY | os.O_EXCL)
        check(disk, "member 1 of vol0, it seems, is up on it")
        os.close(held)


@tests.test("a read-only disk is refused")
def _():
    with Loop(100, "--read-only") as disk:
        status, output, errors = qbdadm(*create(disk))
        tap.equal((status, output), (1, ""), "create")
        tap.check(re.fullmatch(r"qbdadm: vol0: %s: .*\n" % disk.path, errors), errors)


@tests.test("a disk that forgets what is written is found out")
def _():
    with Loop() as disk:
        sectors = 100 << 11
        run("dmsetup", "create", "liar", "--table",
            "0 %d flakey %s 0 0 60 1 drop_writes" % (sectors, disk.path))
        try:
            disk.path, path = "/dev/mapper/liar", disk.path
            refused(create(disk), "vol0: /dev/mapper/liar: does not hold what was written "
                                  "near block 256; this disk is broken, use another")
        finally:
            disk.path = path
            run("dmsetup", "remove", "liar")
        refused(["dump", disk.path],
                "%s: is no qbd disk; make it one with 'qbdadm create'" % disk.path)


@tests.test("destroy asks, and then nothing is left")
def _():
    with Loop() as disk:
        foreign = "%s: is no qbd disk; make it one with 'qbdadm create'" % disk.path
        untouched(disk, ["destroy", "--disk", disk.path, "--yes"], foreign)
        untouched(disk, ["destroy", "--disk", disk.path, "--yes", "--force"], foreign)
        done(*create(disk), warnings=ALONE)
        untouched(disk, ["destroy", "--disk", disk.path],
                  "%s: not destroyed; answer 'yes' or give --yes" % disk.path)
        tap.equal(done("destroy", "--disk", disk.path, "--yes"),
                  "%s: was member 1 of qbd device vol0, is none any more\n" % disk.path,
                  "destroy")
        refused(["dump", disk.path], foreign)
        done(*create(disk), warnings=ALONE)
        for offset in 0, layout.COPY_BLOCK * BLOCK:
            disk.write(offset + 300, b"?")
        status, _, errors = qbdadm("destroy", "--yes", "--disk", disk.path)
        tap.equal(status, 1, "destroy of a damaged one")
        tap.check(errors.endswith("--force destroys it all the same\n"), errors)
        done("destroy", "--yes", "--force", "--disk", disk.path)
        refused(["dump", disk.path], foreign)


@tests.test("a state block that cannot be read is not passed over for the older one")
def _():
    with Loop(100) as disk:
        members = ["--member", "2=two@127.0.0.1:7902", "--member", "3=three@127.0.0.1:7903"]
        done(*create(disk, *members))
        # Slot 0, at 64 KiB.
        run("dmsetup", "create", "torn", "--table",
            "0 128 linear %s 0\n128 8 error\n136 %d linear %s 136" %
            (disk.path, (100 << 11) - 136, disk.path))
        try:
            disk.path, path = "/dev/mapper/torn", disk.path
            for command in (["up", "--disk", disk.path], ["checksum", disk.path]):
                status_, output, errors = qbdadm(*command)
                tap.equal((status_, output, errors.count("\n")), (1, "", 1), command[0])
                tap.check("may hold the last vote: try again" in errors, errors)
        finally:
            disk.path = path
            run("dmsetup", "remove", "torn")
        # And again: nothing was lost.
        done("up", "--disk", disk.path)
        done("down", "vol0")


@tests.test("recover leaves no claim, and nothing committed, beyond the end of the log")
def _():
    holder, nobody, shared = (7, 2, 0), (0, 0, 0), (0, 0, 1)
    for records, claim, expected in [
            (4, (95, *holder), (4, *nobody)), (4, (5, *holder), (4, *nobody)),
            (4, (95, *nobody), (4, *nobody)), (4, (95, *shared), (4, *shared)),
            # What the log gets to stays.
            (4, (4, *holder), (4, *holder)), (4, (3, *shared), (3, *shared)),
            (4, (0, *nobody), (0, *nobody)),
            # Of a member that joined and was sent nothing yet.
            (0, (95, *holder), (0, *nobody)), (0, (95, *shared), (0, *shared))]:
        former = layout.Disk()
        for _ in range(records):
            former.append()
        former.state.update(flags=0, durable=records, commit=95, claim=claim,
                            sessions={1: (5, 3, 8), 2: (7, 1, 6)})
        with Loop(former.backing_blocks * BLOCK >> 20) as disk:
            for number, block in former.contents().items():
                disk.write(number * BLOCK, block)
            status_, output, errors = qbdadm("recover", "vol0", "--disk", disk.path,
                                             "--force-new-history", "--confirm", "vol0",
                                             "--json")
            tap.equal(status_, 0, output + errors)
            tap.equal(json.loads(output)["last_index"], records, "recover")
            found = json.loads(done("dump", disk.path, "--json"))
            tap.equal([found["log"][key] for key in ("verdict", "last_index", "commit_index")],
                      ["ends", records, records], "log")
            for slot, position in enumerate(layout.STATE_BLOCKS):
                tap.equal([found["states"][slot][key] for key in
                           ("verdict", "commit_index", "membership_index")],
                          ["good", records, records + 1], "slot %d" % slot)
                block = disk.read(position + 1)
                tap.equal(struct.unpack_from("<QQII", block, 48), expected,
                          "claim %s at the end of %d records" % (claim, records))
                tap.equal(block[72:], former.applied_block(slot)[72:], "the rest")


@tests.test("memory that the host does not have is refused, and nothing is killed for it")
def _():
    with open("/proc/meminfo") as file:
        (total,) = re.findall(r"^MemTotal: +(\d+) kB$", file.read(), re.M)
    if int(total) > 1100 << 10:
        raise tap.Skip("this host has enough for the largest setting")
    with Loop(100) as disk:
        done(*create(disk), warnings=ALONE)
        status_, output, errors = qbdadm("up", "--disk", disk.path, "--memory", "1024M")
        tap.equal((status_, output), (1, ""), "up")
        tap.check("not enough memory; try a smaller memory setting" in errors, errors)
        tap.check("oom-kill" not in run("dmesg"), "the kernel killed somebody")
        done("up", "--disk", disk.path, "--memory", "8M")
        done("down", "vol0")


@tests.test("even numbers of members are warned of")
def _():
    with Loop() as disk:
        done(*create(disk, members=MEMBER + ",2=127.0.0.2"),
             warnings="qbdadm: warning: 2 members survive no more failures than 1 do; an odd "
                      "number is better\n")


# ---- with the module -------------------------------------------------------------

class Up:
    """A device of one member, up."""

    def __init__(self, name="vol0", *options, members=MEMBER, token=TOKEN, image=None):
        self.disk = Loop()
        self.name = name
        if image:
            for position, block in image.contents().items():
                self.disk.write(position * BLOCK, block)
        else:
            tap.equal(qbdadm(*create(self.disk, name=name, members=members, token=token))[0],
                      0, "create")
        self.up = json.loads(done("up", name, "--disk", self.disk.path, "--json",
                                  "--memory", "8M", *options))
        self.device = self.up["device"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        qbdadm("down", self.name, "--force")
        self.disk.__exit__()


def of_sixteen(name, network):
    """A member of as many as there can be, nine of them voters: create makes voters only."""
    image = layout.Disk(name)
    image.members = layout.membership([
        layout.member(number, "n" * 29 + str(number), "127.0.%d.%d" % (network, number),
                      flags=1 if number <= 9 else 4) for number in range(1, 17)])
    return Up(name, image=image)


def status(name):
    return json.loads(done("status", name, "--json"))["devices"][0]


@tests.test("up, status, down")
def _():
    tap.equal(done("status"), "no device is up in this network namespace\n", "status")
    tap.equal(json.loads(done("status", "--json")), {"devices": []}, "status --json")
    refused(["status", "vol0"], "vol0: no such device is up in this network namespace")
    with Up("vol0", "--wait-leader") as one:
        tap.equal(one.up["leader"], 1, "leader")
        tap.equal(os.readlink("/dev/qbd/vol0"), "../" + one.device[5:], "link")
        found = status("vol0")
        tap.equal((found["role"], found["leader"], found["has_quorum"], found["device"],
                   found["voters"], found["device_bytes"]),
                  ("leader", 1, True, one.device, 1, 81 << 20), "status")
        text = done("status", "vol0")
        tap.check("this host: alpha (1), leader" in text, text)
        refused(["up", "vol0", "--disk", one.disk.path],
                "%s is in use (mounted, or by another device); free it first" %
                one.disk.path)
        done("dump", one.disk.path)
        tap.equal(done("down", "vol0"), "vol0: member 1 is down\n", "down")
        tap.check(not os.path.lexists("/dev/qbd/vol0"), "the link is left")
        refused(["down", "vol0"], "vol0: no such device is up in this network namespace")


@tests.test("create leaves a disk alone if what it makes could not come up")
def _():
    with Up("vol0", "--wait-leader"), Loop() as other:
        untouched(other, ["create", "vol0", "--disk", other.path, "--name", "alpha",
                          "--listen", "127.0.0.1:7901"],
                  "vol0: is up on this host already, as member 1; if it shall have another "
                  "disk, 'qbdadm down vol0' first")
        untouched(other, create(other, "--up"),
                  "vol0: is up on this host already, as member 1; if it shall have another "
                  "disk, 'qbdadm down vol0' first")


@tests.test("standard output that is closed is a failure")
def _():
    with Up("vol0", "--wait-leader"):
        for words in "leader show vol0", "claim show vol0", "set vol0 --heartbeat 40", "status":
            result = subprocess.run(["sh", "-c", "exec qbdadm %s >&-" % words],
                                    stderr=subprocess.PIPE, text=True, timeout=60)
            tap.equal((result.returncode, result.stderr),
                      (1, "qbdadm: standard output: cannot be written: Bad file descriptor\n"),
                      words)


@tests.test("what was written is what checksum finds")
def _():
    with Up("vol0", "--wait-leader") as one:
        data = os.urandom(3 << 20)
        with open("/dev/qbd/vol0", "r+b") as device:
            device.seek(5 << 20)
            device.write(data)
        with open(one.device, "rb") as device:
            wanted = hashlib.sha256(device.read()).hexdigest()
        done("down", "vol0")
        found = json.loads(done("checksum", one.disk.path, "--json"))
        tap.equal((found["sha256"], found["extents_written"]), (wanted, 3), "checksum")


@tests.test("the wrong disk is not brought up")
def _():
    with Loop() as disk:
        refused(["up", "vol1", "--disk", disk.path],
                "vol1: %s: is no qbd disk; make it one with 'qbdadm create'" % disk.path)
        done(*create(disk), warnings=ALONE)
        refused(["up", "vol1", "--disk", disk.path],
                "vol1: %s: is a member of vol0, not of vol1; 'qbdadm up vol0 --disk %s' "
                "brings that one up" % (disk.path, disk.path))
        refused(["up", "--disk", "/nowhere"], "/nowhere: is not there; check the path")
        tap.equal(json.loads(done("status", "--json")), {"devices": []}, "status")


@tests.test("create --up does both")
def _():
    with Loop() as disk:
        output = done(*create(disk, "--up"), warnings=ALONE)
        tap.check(output.endswith("vol0: member 1 is up as /dev/qbd0\n"), output)
        done("down", "vol0")


@tests.test("a device in use goes down by force only")
def _():
    with Up("vol0", "--wait-leader") as one:
        held = os.open(one.device, os.O_RDWR)
        status_, output, errors = qbdadm("down", "vol0")
        tap.equal((status_, output), (1, ""), "down")
        tap.check(re.fullmatch(r"qbdadm: vol0: .*in use.*\n", errors), errors)
        tap.equal(status("vol0")["in_use"], 1, "users")
        done("down", "vol0", "--force")
        os.close(held)
        tap.equal(json.loads(done("status", "--json")), {"devices": []}, "status")


@tests.test("--wait-leader gives up in time, and the member stays up")
def _():
    with Up("vol0", members=MEMBER + ",2=127.0.0.1:7901,3=127.0.0.1:7902") as one:
        done("down", "vol0")
        begin = time.monotonic()
        refused(["up", "vol0", "--disk", one.disk.path, "--wait-leader=1"],
                "vol0: is up, but no leader is known after 1 s: 2 of 3 members needed, 1 up; "
                "bring the others up")
        tap.check(0.9 < time.monotonic() - begin < 20, "it did not wait as told")
        found = status("vol0")
        tap.equal((found["has_quorum"], found["leader"], found["may_lose"]), (False, 0, -1),
                  "status")
        tap.check(found["problems"][0]["severity"] == "bad", found["problems"])
        text = done("status")
        tap.check("!! no quorum: I/O waits; bring back 1 of: member2, member3" in text, text)
        status_, output, errors = qbdadm("leader", "show", "vol0")
        tap.equal((status_, output, errors),
                  (1, "vol0: leader is nobody in term %d\n" % status("vol0")["term"], ""),
                  "leader show")
        status_, output, errors = qbdadm("leader", "move", "vol0", "member2")
        tap.equal((status_, output, errors.count("\n")), (1, "", 1), "leader move")


@tests.test("links of others are left alone")
def _():
    os.makedirs("/dev/qbd", exist_ok=True)
    os.symlink("../qbd77", "/dev/qbd/vol0")         # dangling: replaced
    two = MEMBER + ",2=beta@127.0.0.2"
    with Up("vol0", members=two) as one:
        tap.equal(os.readlink("/dev/qbd/vol0"), "../" + one.device[5:], "link")
        run("ip", "netns", "add", "tool")
        run("ip", "-n", "tool", "link", "set", "lo", "up")
        with Loop() as disk:
            prefix = ["ip", "netns", "exec", "tool", "qbdadm"]
            tap.equal(qbdadm(*create(disk, members=two, number=2))[0], 0, "create")
            result = subprocess.run([*prefix, "up", "vol0", "--disk", disk.path],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True, timeout=60)
            tap.equal((result.returncode, result.stdout, result.stderr),
                      (0, "vol0: member 2 is up as /dev/qbd1\n",
                       "qbdadm: warning: /dev/qbd/vol0: is the link of another device of "
                       "this name that is up; use /dev/qbd1 for this one\n"), "up")
            tap.equal(os.readlink("/dev/qbd/vol0"), "../" + one.device[5:], "link")
            # Each namespace sees its own.
            tap.equal([device["number"] for device in
                       json.loads(run(*prefix, "status", "--json"))["devices"]], [1],
                      "devices there")
            tap.equal(status("vol0")["number"], 0, "device here")
            run(*prefix, "down", "vol0")
            tap.equal(os.readlink("/dev/qbd/vol0"), "../" + one.device[5:], "link")
        run("ip", "netns", "del", "tool")


@tests.test("set changes what it is told, and nothing else")
def _():
    with Up("vol0", "--wait-leader") as _:
        before = status("vol0")["settings"]
        tap.equal(before, {"election_timeout_ms": 150, "heartbeat_ms": 50,
                           "no_quorum": "suspend",
                           "no_quorum_grace_ms": before["no_quorum_grace_ms"],
                           "read": "lease", "window_bytes": 8 << 20,
                           "claim_lease_ms": 5000, "leader_follows": True,
                           "max_rate": 0, "checksums": False}, "by default")
        done("set", "vol0", "--no-quorum", "error", "--no-quorum-grace", "1234")
        tap.equal(status("vol0")["settings"],
                  dict(before, no_quorum="error", no_quorum_grace_ms=1234), "settings")
        done("set", "vol0", "--read", "quorum", "--election-timeout", "600", "--heartbeat",
             "200", "--window", "4M", "--max-rate", "5G", "--checksums", "on")
        wanted = {"election_timeout_ms": 600, "heartbeat_ms": 200, "no_quorum": "error",
                  "no_quorum_grace_ms": 1234, "read": "quorum", "window_bytes": 4 << 20,
                  "claim_lease_ms": 5000, "leader_follows": True,
                  "max_rate": 5 << 30, "checksums": True}
        tap.equal(status("vol0")["settings"], wanted, "settings")
        for bad in [["--heartbeat", "201"], ["--election-timeout", "0"],
                    ["--heartbeat", "0"], ["--window", "0"], ["--max-rate", "32K"],
                    ["--election-timeout", "4294967295"]]:
            status_, output, errors = qbdadm("set", "vol0", *bad)
            tap.equal((status_, output, errors.count("\n")), (1, "", 1), "set %s" % bad)
            tap.check(errors.startswith("qbdadm: vol0: "), errors)
            tap.equal(status("vol0")["settings"], wanted, "settings after %s" % bad)


class Events:
    """qbdadm events, running."""

    def __init__(self, *options):
        self.arguments = ["events", *options]
        self.process = subprocess.Popen(["qbdadm", *self.arguments],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)

    def end(self):
        output, errors = self.process.communicate(timeout=60)
        outputs.check(self.arguments, output)
        return self.process.returncode, output, errors


@tests.test("no event is missed after 'listening'")
def _():
    with Loop() as disk:
        done(*create(disk), warnings=ALONE)
        events = Events("--count", "3", "vol0")
        tap.equal(events.process.stderr.readline(), "qbdadm: listening\n", "first line")
        done("up", "vol0", "--disk", disk.path, "--wait-leader")
        code, output, errors = events.end()
        tap.equal((code, errors), (0, ""), "events")
        lines = output.splitlines()
        tap.equal([line.split()[:2] for line in lines],
                  [["vol0", str(number)] for number in (1, 2, 3)], "numbers")
        events = Events("--json", "--count", "2")
        tap.equal(json.loads(events.process.stdout.readline())["event"], "listening", "first")
        done("set", "vol0", "--heartbeat", "40")
        done("down", "vol0")
        code, output, errors = events.end()
        tap.equal((code, errors), (0, ""), "events --json")
        found = [json.loads(line) for line in output.splitlines()]
        tap.equal([event["event"] for event in found], ["settings", "down"], "events")
        tap.equal([event["name"] for event in found], ["vol0"] * 2, "names")
        tap.equal(found[1]["sequence"], found[0]["sequence"] + 1, "numbers")
        tap.equal(Events("--timeout", "1").end(), (0, "", "qbdadm: listening\n"), "timeout")
        tap.equal(Events("--timeout", "1", "--count", "1").end(),
                  (1, "", "qbdadm: listening\nqbdadm: events: 0 of 1 came within 1 s\n"),
                  "count and timeout")


class Ended:
    """Whatever becomes of the test, this device is not up for the next one."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        qbdadm("down", self.name, "--force")


@tests.test("JSON of every command that changes a device is as the schema says")
def _():
    found = set()

    def printed(*arguments):
        """done() has compared it with the schema."""
        found.add(arguments[0])
        return json.loads(done(*arguments, "--json"))

    with Loop() as disk, Ended("vol0"):
        token = os.path.join(WORK, "token-again")
        status_, output, errors = qbdadm(*create(disk, "--size", "64M", "--max-size", "80M",
                                                 "--json"))
        tap.equal((status_, json.loads(output)["device_bytes"], errors), (0, 64 << 20, ALONE),
                  "create")
        tap.equal(printed("up", "vol0", "--disk", disk.path, "--memory", "8M",
                          "--wait-leader")["leader"], 1, "up")
        tap.equal(printed("version")["module"], printed("version")["tool"], "version")
        tap.equal(printed("set", "vol0", "--heartbeat", "40")["heartbeat_ms"], 40, "set")
        tap.equal(len(printed("set", "--all", "--heartbeat", "50")["devices"]), 1, "set --all")
        tap.equal(printed("claim", "show", "vol0")["holder_name"], None, "nobody")
        tap.equal(printed("claim", "take", "vol0")["holder_name"], "alpha", "claim")
        tap.equal(printed("claim", "release", "vol0")["holder"], 0, "claim")
        tap.equal(printed("claim", "mode", "vol0", "shared")["mode"], "shared", "claim")
        tap.equal(printed("leader", "show", "vol0")["leader_name"], "alpha", "leader")
        tap.equal([member["id"] for member in printed("member", "list", "vol0")["members"]],
                  [1], "members")
        tap.equal(printed("member", "set", "vol0", "1", "--priority", "7")["members"][0]
                  ["priority"], 7, "priority")
        tap.check("--witness" in printed("member", "add", "vol0", "--witness")["new_host"],
                  "member add")
        tap.equal(printed("resize", "vol0", "--size", "70M")["old_bytes"], 64 << 20, "resize")
        tap.check("token" in printed("token", "show", "vol0"), "token")
        tap.equal(printed("token", "show", "vol0", "--out", token)["file"], token, "token")
        os.unlink(token)
        refused(["verify", "vol0", "--json"], "vol0: there is one replica of this device: it "
                "has nothing to be compared with")
        tap.equal(printed("up", "vol0")["was_up"], True, "up")
        tap.equal(len(printed("up", "--scan", "vol0")["devices"]), 1, "up --scan")
        tap.equal(printed("down", "vol0")["forced"], False, "down")
        tap.equal(printed("scan")["disks"][0]["name"], "vol0", "scan")
        printed("dump", disk.path, "--records", "--extents", "--show-secret")
        printed("checksum", disk.path, "--extents")
        tap.equal(printed("destroy", "--disk", disk.path, "--yes")["was"],
                  "member 1 of qbd device vol0", "destroy")
        tap.equal(printed("scan"), {"disks": []}, "scan")
    found |= {"create", "status", "events", "recover"}      # by other tests
    tap.equal(set(outputs.commands()) - found, {"connect", "disconnect", "join", "verify"},
              "what a single host cannot do")


@tests.test("leader move says what cannot be")
def _():
    with Up("vol0", "--wait-leader") as _:
        refused(["leader", "move", "vol0", "beta"],
                "vol0: 'beta' is no member; members are alpha (1)")
        tap.equal(done("leader", "show", "vol0"), "vol0: leader is alpha (1) in term 1\n",
                  "leader show")


@tests.test("a status of sixteen members and of many devices fits")
def _():
    devices = []
    try:
        for number in range(1, 6):
            devices.append(of_sixteen("v%d-" % number + "x" * 60, number))
        found = json.loads(done("status", "--json"))["devices"]
        tap.equal([device["name"] for device in found],
                  [device.name for device in devices], "devices")
        for device in found:
            tap.equal([member["id"] for member in device["members"]], list(range(1, 17)),
                      "members")
            tap.equal(device["members"][15]["name"], "n" * 29 + "16", "name")
            same = {key: device[key] for key in SAME}
            one = status(device["name"])
            tap.equal({key: one[key] for key in SAME}, same, "one and all")
    finally:
        for device in devices:
            device.__exit__()


# What does not change between two looks at a device that has no quorum.
SAME = ("name", "uuid", "number", "member_id", "device_bytes", "voters", "settings")


@tests.test("nobody but root changes anything")
def _():
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    with Up("vol0", "--wait-leader") as one:
        for arguments in [["down", "vol0"], ["set", "vol0", "--heartbeat", "30"],
                          ["leader", "move", "vol0", "1"]]:
            result = subprocess.run([*user, "qbdadm", *arguments], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True, timeout=60)
            tap.equal((result.returncode, result.stdout, result.stderr),
                      (1, "", "qbdadm: vol0: the kernel does not permit it; run this as "
                              "root\n"), " ".join(arguments))
        result = subprocess.run([*user, "qbdadm", "up", "--disk", one.disk.path],
                                stderr=subprocess.PIPE, text=True, timeout=60)
        tap.equal((result.returncode, result.stderr),
                  (1, "qbdadm: %s: Permission denied; run this as root\n" % one.disk.path),
                  "up")
        run(*user, "qbdadm", "status", "vol0")
        # Network administration alone opens no disks.
        result = subprocess.run(["setpriv", "--bounding-set", "-sys_admin", "--inh-caps",
                                 "-sys_admin", "qbdadm", "down", "vol0"],
                                stderr=subprocess.PIPE, text=True, timeout=60)
        tap.equal((result.returncode, result.stderr),
                  (1, "qbdadm: vol0: this opens or closes a disk: it needs "
                      "CAP_SYS_ADMIN\n"), "down without CAP_SYS_ADMIN")
        tap.equal(status("vol0")["role"], "leader", "role")


# ---- members that are looked for, and the end of a host --------------------------------

class Configuration:
    """An /etc of our own, with these files in /etc/qbd."""

    def __init__(self, **texts):
        self.place = os.path.join(WORK, "etc")
        os.makedirs(os.path.join(self.place, "qbd"), exist_ok=True)
        for name in "passwd", "group", "nsswitch.conf", "protocols":
            if os.path.exists("/etc/" + name):
                shutil.copy("/etc/" + name, self.place)
        for name, text in texts.items():
            with open(os.path.join(self.place, "qbd", name + ".conf"), "w") as file:
                file.write(text)

    def __enter__(self):
        run("mount", "--bind", self.place, "/etc")

    def __exit__(self, *_):
        run("umount", "/etc")
        shutil.rmtree(self.place)


def everything_down():
    done("down", "--all", "--force")
    tap.equal(json.loads(done("status", "--json")), {"devices": []}, "status")


@tests.test("up --scan brings up what it finds, and what is up is left alone")
def _():
    nothing = "no disk here carries a member of a device\n"
    tap.equal(done("scan"), nothing, "scan of nothing")
    tap.equal(done("up", "--scan"), nothing, "up of nothing")
    tap.equal(json.loads(done("up", "--scan", "--json")), {"devices": []}, "up of nothing")
    refused(["up", "vol0"], "vol0: no disk here carries a member of it; 'qbdadm scan' lists "
                            "those that are found")
    with Loop() as one, Loop() as two, Loop():
        token = os.path.join(WORK, "token-scan")
        done("token", "new", "--out", token)
        done(*create(one), warnings=ALONE)
        done(*create(two, name="my-vol.1", token=token, members="1=alpha@127.0.0.1:7901"),
             warnings=ALONE)
        found = {disk["disk"]: (disk["name"], disk["member_id"], disk["double"],
                                disk["problem"])
                 for disk in json.loads(done("scan", "--json"))["disks"]}
        tap.equal(found, {one.path: ("vol0", 1, False, None),
                          two.path: ("my-vol.1", 1, False, None)}, "scan")
        output = done("up", "--scan", "--wait-leader")
        tap.equal(sorted(line.split(" as ")[0] for line in output.splitlines()),
                  ["my-vol.1: member 1 is up", "vol0: member 1 is up"], output)
        output = done("up", "--scan")
        tap.equal(sorted(line.split(" as ")[0] for line in output.splitlines()),
                  ["my-vol.1: member 1 is up already", "vol0: member 1 is up already"], output)
        tap.equal(done("up", "vol0"), "vol0: member 1 is up already as /dev/qbd%d\n" %
                  status("vol0")["number"], "up")
        done("down", "vol0", "my-vol.1")
        found = json.loads(done("up", "vol0", "--json", "--wait-leader"))
        tap.equal((found["name"], found["disk"], found["was_up"], found["leader"]),
                  ("vol0", one.path, False, 1), "up --json")
        found = json.loads(done("up", "--scan", "--json"))["devices"]
        tap.equal(sorted((device["name"], device["was_up"]) for device in found),
                  [("my-vol.1", False), ("vol0", True)], "up --scan --json")
        # The names of those that cannot be found do not keep up the others.
        done("down", "vol0")
        found = qbdadm("up", "--scan", "vol7", "vol0")
        tap.equal((found[0], found[1].split(" as ")[0], found[2].count("\n")),
                  (1, "vol0: member 1 is up", 1), found)
        found = json.loads(done("down", "--all", "--json"))["devices"]
        tap.equal(sorted((device["name"], device["member_id"], device["forced"])
                         for device in found),
                  [("my-vol.1", 1, False), ("vol0", 1, False)], "down --all --json")


@tests.test("of a disk and its copy none is taken; the one that is named for good is")
def _():
    with Loop() as one, Loop() as copy:
        done(*create(one), warnings=ALONE)
        shutil.copyfile(one.path, copy.path)
        first, second = sorted([one.path, copy.path])
        line = ("vol0: member 1 is on %s and on %s: two ways to one disk (then use "
                "multipath), or a copy, and an old copy loses data; name the disk with "
                "--disk, or for good in /etc/qbd/vol0.conf" % (first, second))
        for arguments in ["vol0"], ["--scan"], ["--scan", "vol0"]:
            refused(["up", *arguments], line)
        tap.equal([disk["double"] for disk in json.loads(done("scan", "--json"))["disks"]],
                  [True, True], "scan")
        tap.equal(json.loads(done("status", "--json")), {"devices": []}, "status")
        os.symlink(copy.path, WORK + "/link")
        with Configuration(vol0="disk = %s/link\nmemory = 8M\nno-quorum = error\n"
                                "heartbeat = 40\n" % WORK):
            up = json.loads(done("up", "vol0", "--json", "--heartbeat", "30"))
            tap.equal(up["disk"], copy.path, "disk")
            found = status("vol0")
            tap.equal((found["memory_bytes"], found["settings"]["no_quorum"],
                       found["settings"]["heartbeat_ms"]), (8 << 20, "error", 30),
                      "settings: %s" % found["settings"])
            # A copy of what is up is told of.
            done("up", "vol0", warnings="qbdadm: warning: vol0: is up; %s carries member 1 "
                 "of it, too, and is left alone: before the next boot, wipe it or take it "
                 "away\n" % one.path)
            done("down", "vol0")
            os.unlink(WORK + "/link")
            refused(["up", "vol0"], "vol0: its disk %s/link, says /etc/qbd/vol0.conf, is not "
                                    "there, in use, or no member of it" % WORK)
        with Configuration(vol0="memory = much\n"):
            for arguments in ["vol0"], ["--disk", one.path]:
                refused(["up", *arguments], "vol0: /etc/qbd/vol0.conf:1: memory: size 'much': "
                                            "is not a size; write for example 512M, 10G or "
                                            "1.5T")
        tap.equal(json.loads(done("status", "--json")), {"devices": []}, "status")


@tests.test("through a device that is built of it, a member's disk is found once")
def _():
    with Loop() as disk:
        done(*create(disk), warnings=ALONE)
        blocks = os.stat(disk.file).st_size >> 9
        run("dmsetup", "create", "path", "--table", "0 %d linear %s 0" % (blocks, disk.path))
        run("dmsetup", "mknodes")
        try:
            found = json.loads(done("scan", "--json"))["disks"]
            tap.equal([(one["disk"], one["double"]) for one in found],
                      [("/dev/mapper/path", False)], "scan")
            # What is suspended is not waited for.
            run("dmsetup", "suspend", "path")
            tap.equal(json.loads(done("scan", "--json"))["disks"], [], "scan")
            run("dmsetup", "resume", "path")
            tap.equal(json.loads(done("up", "vol0", "--json"))["disk"], "/dev/mapper/path",
                      "disk")
        finally:
            everything_down()
            run("dmsetup", "remove", "path")


@tests.test("members that are up in another network namespace are left to it")
def _():
    run("ip", "netns", "add", "tool")
    run("ip", "-n", "tool", "link", "set", "lo", "up")
    prefix = ["ip", "netns", "exec", "tool", "qbdadm"]
    two = MEMBER + ",2=beta@127.0.0.2"

    def up(*arguments):
        """Its link is that of the other's device: that is another test's affair."""
        code, output, errors = qbdadm("up", *arguments)
        tap.equal((code, errors.count("\n"), "use /dev/qbd1 for this one" in errors),
                  (0, 1, True), errors)
        return output

    with Loop() as one:
        try:
            with Loop() as other:
                tap.equal(qbdadm(*create(one, members=two))[0], 0, "create")
                tap.equal(qbdadm(*create(other, members=two, number=2))[0], 0, "create")
                first, second = sorted([(one.path, 1), (other.path, 2)])
                refused(["up", "vol0"],
                        "vol0: two of its members are on disks of this host, %d on %s and "
                        "%d on %s; name the disk with --disk" %
                        (first[1], first[0], second[1], second[0]))
                run(*prefix, "up", "--disk", other.path)
                tap.equal(up("--scan"), "vol0: member 1 is up as /dev/qbd1\n", "up")
                done("down", "vol0")
                run(*prefix, "down", "vol0")
                run(*prefix, "up", "--disk", one.path)
                tap.equal(up("vol0"), "vol0: member 2 is up as /dev/qbd1\n", "up")
                done("down", "vol0")
            tap.equal(done("up", "--scan", warnings="qbdadm: warning: vol0: its disk %s is in "
                           "use, but not by a member that is up in this network namespace; "
                           "passed over\n" % one.path), "", "up --scan")
        finally:
            run(*prefix, "down", "--all", "--force")
            done("down", "--all", "--force")
            run("ip", "netns", "del", "tool")


@tests.test("what udev is told of a disk")
def _():
    with Loop() as disk:
        tap.equal(done("scan", "--udev", disk.path), "", "of none")
        done(*create(disk), warnings=ALONE)
        found = dict(line.split("=") for line in done("scan", "--udev",
                                                      disk.path).splitlines())
        listed = json.loads(done("scan", "--json"))["disks"][0]
        tap.equal((found["ID_FS_TYPE"], found["QBD_NAME"], found["QBD_MEMBER_ID"],
                   found["ID_FS_UUID"], found["ID_FS_UUID_SUB"], found["ID_FS_LABEL"]),
                  ("qbd_member", "vol0", "1", listed["uuid"], listed["incarnation"], "vol0"),
                  "properties")
        for copy in 0, layout.COPY_BLOCK * BLOCK:
            disk.write(copy + 200, b"spoilt")
        tap.equal(done("scan", "--udev", disk.path), "ID_FS_TYPE=qbd_member\n"
                  "ID_FS_USAGE=raid\n", "of a damaged one")
    refused(["scan", "--udev", "/nowhere"], "/nowhere: is not there; check the path")


@tests.test("down --all without a quorum takes as long as it was told, and no longer")
def _():
    three = MEMBER + ",2=127.0.0.1:7901,3=127.0.0.1:7902"
    token = os.path.join(WORK, "token-down")
    done("token", "new", "--out", token)
    with Up("vol0", members=three) as one, \
            Up("vol1", members="1=alpha@127.0.0.1:7910", token=token) as _:
        # Its I/O waits for a quorum that never comes (already when it is opened: the
        # partition table is read); the other is free.
        reader = subprocess.Popen(["dd", "if=" + one.device, "count=1"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        tap.wait_until(lambda: status("vol0")["requests_waiting"], 30, "a request that waits")
        begin = time.monotonic()
        code, output, errors = qbdadm("down", "--all", "--timeout", "2")
        took = time.monotonic() - begin
        tap.equal((code, output), (1, "vol1: member 1 is down\n"), errors)
        tap.check(re.fullmatch(r"qbdadm: vol0: .*in use.*\n", errors), errors)
        tap.check(2 <= took < 20, "it took %.1f s" % took)
        tap.check(reader.poll() is None, "the reader has ended")
        begin = time.monotonic()
        tap.equal(done("down", "--all", "--timeout", "1", "--force"),
                  "vol0: member 1 is down, by force: it was in use after 1 s\n", "down")
        took = time.monotonic() - begin
        tap.check(1 <= took < 20, "it took %.1f s" % took)
        # An error, or the end of a device that is gone: opening may have waited, too.
        tap.equal(reader.communicate(timeout=60)[0], b"", "what was read")
        tap.equal(done("down", "--all"), "", "down of nothing")
        done("down", "vol0", "--if-up")


@tests.test("down waits for who still uses the device, and no longer")
def _():
    with Up("vol0", "--wait-leader") as one:
        begin = time.monotonic()
        held = subprocess.Popen(["sh", "-c", "exec 3<%s; echo open; sleep 1" % one.device],
                                stdout=subprocess.PIPE, text=True)
        tap.equal(held.stdout.readline(), "open\n", "holder")
        tap.equal(done("down", "vol0", "--timeout", "60"), "vol0: member 1 is down\n", "down")
        took = time.monotonic() - begin
        tap.check(1 <= took < 30, "it took %.1f s" % took)
        held.wait(timeout=60)


@tests.test("without a quorum set --all lets what waits fail, as a shutdown does")
def _():
    three = MEMBER + ",2=127.0.0.1:7901,3=127.0.0.1:7902"
    with Up("vol0", members=three) as one:
        reader = subprocess.Popen(["dd", "if=" + one.device, "of=/dev/null", "count=1"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        tap.wait_until(lambda: status("vol0")["requests_waiting"], 30, "a request that waits")
        output = done("set", "--all", "--no-quorum", "error", "--no-quorum-grace", "500")
        tap.check("no quorum: error after 500 ms" in output, output)
        tap.check(reader.wait(timeout=60) != 0, "the reader has read")
        tap.equal(done("down", "--all"), "vol0: member 1 is down\n", "down")
        tap.equal(done("set", "--all", "--no-quorum", "error"), "", "set of nothing")


@tests.test("leader show --wait waits for the device, and then for its leader")
def _():
    with Loop() as disk:
        done(*create(disk), warnings=ALONE)
        refused(["leader", "show", "vol0", "--wait=1"], "vol0: is not up after 1 s")
        waiting = subprocess.Popen(["qbdadm", "leader", "show", "vol0", "--wait=60"],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        done("up", "vol0")
        tap.equal(waiting.communicate(timeout=60),
                  ("vol0: leader is alpha (1) in term 1\n", None), "leader show")
        tap.equal(waiting.returncode, 0, "status")
        done("down", "vol0")


# ---- raw netlink -----------------------------------------------------------------

class Netlink:
    """Messages by hand, to say what qbdadm never would."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        self.socket.bind((0, 0))
        self.socket.setsockopt(270, 11, 1)          # NETLINK_EXT_ACK
        self.socket.settimeout(20)
        self.sequence = 0
        answer, _ = self.talk(16, 3, self.attribute(2, b"qbd\0"))
        (self.family,) = [struct.unpack("<H", data)[0]
                          for kind, data in self.attributes(answer[20:]) if kind == 1]

    @staticmethod
    def attribute(kind, data):
        return struct.pack("<HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)

    @staticmethod
    def attributes(data):
        while len(data) >= 4:
            length, kind = struct.unpack_from("<HH", data)
            yield kind & 0x3FFF, data[4:length]
            data = data[(length + 3) & ~3:]

    def talk(self, family, command, body):
        """Answers to one request: (data message or b"", error message)."""
        self.sequence += 1
        message = struct.pack("<BBH", command, 1, 0) + body
        self.socket.send(struct.pack("<IHHII", 16 + len(message), family, 5, self.sequence,
                                     0) + message)
        data = b""
        while True:
            answer = self.socket.recv(1 << 16)
            if struct.unpack_from("<IH", answer)[1] == 2:
                return data, answer
            data = answer

    @classmethod
    def verdict(cls, answer):
        """errno of an answer and the text that came with it."""
        _, _, flags = struct.unpack_from("<IHH", answer)
        (code,) = struct.unpack_from("<i", answer, 16)
        text = ""
        if flags & 0x200:
            (length,) = struct.unpack_from("<I", answer, 20)
            start = 20 + (16 if flags & 0x100 else (length + 3) & ~3)
            for kind, data in cls.attributes(answer[start:]):
                if kind == 1:
                    text = data.rstrip(b"\0").decode()
        return -code, text

    def error(self, command, body):
        return self.verdict(self.talk(self.family, command, body)[1])


UP, DOWN, STATUS, SET, MOVE = 1, 2, 3, 4, 5


@tests.test("netlink messages are validated strictly, and the answer says why")
def _():
    netlink = Netlink()
    a = netlink.attribute
    number = struct.pack("<I", 7)
    for command, body, code, text in [
            (STATUS, b"", 22, "the name of the device is missing"),
            (STATUS, a(1, b"x" * 64 + b"\0"), 22, None),
            (STATUS, a(1, b"vol0"), 22, None),                      # no NUL
            (STATUS, a(1, b"vol0\0"), 19, "no such device is up in this network namespace"),
            (STATUS, a(1, b"vol0\0") + a(500, number), 22, None),   # unknown
            (STATUS, a(1, b"vol0\0") + a(2, b"x\0"), 22, None),     # not of this operation
            (DOWN, a(1, b"vol0\0") + a(5, number), 34, None),       # a flag with contents
            (UP, b"", 22, "the path of the disk is missing"),
            (UP, a(2, b"/dev/null\0") + a(3, number), 22,
             "memory of 7 bytes is not possible: give 8M to 1024M"),
            (UP, a(2, b"/dev/null\0") + a(3, b"\0" * 8), 22, None),
            (UP, a(2, b"/dev/null\0") + a(4, number), 22, None),    # no nest
            (UP, a(2, b"/dev/null\0") + a(0x8004, a(3, number)), 34, None),
            (UP, a(2, b"/" * 4097 + b"\0"), 22, None),
            (SET, a(1, b"vol0\0"), 22, "there is nothing to set"),
            (99, b"", 95, None)]:
        found = netlink.error(command, body)
        tap.equal(found[0], code, "errno of %d %r (%s)" % (command, body[:40], found[1]))
        if text is not None:
            tap.equal(found[1], text, "text of %d %r" % (command, body[:40]))


@tests.test("what no device can be called, and where no member can be, does not come up")
def _():
    def up(spoil):
        disk = layout.Disk(device_blocks=4 * 256)
        spoil(disk)
        with Loop(disk.backing_blocks >> 8) as loop:
            disk.write(loop.file)
            links = sorted(os.listdir("/dev/qbd"))
            # Past the tool, which refuses them, too.
            netlink = Netlink()
            found = netlink.error(UP, netlink.attribute(2, loop.path.encode() + b"\0"))
            tap.equal(json.loads(done("status", "--json")), {"devices": []}, "status")
            tap.equal(sorted(os.listdir("/dev/qbd")), links, "links")
            return found

    os.makedirs("/dev/qbd", exist_ok=True)
    for name in "../../tmp/x", "a\nb", "..":
        code, text = up(lambda disk: setattr(disk, "name", name))
        tap.equal(code, 117, text)
        tap.check("name in it is none that a device can have" in text, text)
    for host, family, scope in [("fe80::1", 6, 1), ("fe80::1", 6, 0), ("fd00::1", 6, 1),
                                ("::ffff:127.0.0.1", 6, 0), ("ff02::1", 6, 0),
                                ("0.0.0.0", 4, 0), ("127.0.0.1", 4, 1)]:
        address = struct.pack("<HHI", family, 7900, scope) + layout.pad(
            socket.inet_pton(socket.AF_INET6 if family == 6 else socket.AF_INET, host), 16)
        member = layout.member(1, "alpha", "127.0.0.1")
        code, text = up(lambda disk: setattr(disk, "members", layout.membership(
            [member[:8] + address + member[32:]])))
        tap.equal((code, text), (117, "the member list on disk is unusable: member address "
                                      "malformed, or not the same for all members"), host)
    code, text = up(lambda disk: setattr(disk, "members", layout.membership(
        [layout.member(1, "a\nb", "127.0.0.1")])))
    tap.equal((code, text), (117, "the member list on disk is unusable: member name is none"),
              "member's name")


def kernel_log():
    return run("dmesg")


@tests.test("who may change nothing uses up no texts, and writes nothing into the log")
def _():
    netlink = Netlink()
    before = kernel_log()
    user = os.fork()
    if not user:
        os.setresuid(65534, 65534, 65534)
        stranger = Netlink()
        texts = {stranger.error(STATUS, stranger.attribute(1, b"\x1b[2J\n%d\0" % number))
                 for number in range(100)}
        os._exit(texts != {(19, "no such device is up in this network namespace")})
    tap.equal(os.waitpid(user, 0)[1], 0, "what a user was told")
    tap.equal(kernel_log(), before, "kernel log")
    # Those of root have a text of their own still.
    found = netlink.error(UP, netlink.attribute(2, b"/nowhere\0"))
    tap.check("/nowhere" in found[1], found)


@tests.test("a socket that was opened without CAP_SYS_ADMIN does not open disks")
def _():
    # As when a privileged program writes to a socket that it was handed.
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("<Ii", 0x20080522, 0)
    sets = ctypes.create_string_buffer(24)

    def capabilities(call):
        tap.equal(call(header, sets), 0, "errno %d" % ctypes.get_errno())

    with Up("vol0", "--wait-leader") as _:
        capabilities(libc.capget)
        before = sets.raw
        effective = struct.unpack_from("<I", before)[0] & ~(1 << 21)
        sets.raw = struct.pack("<I", effective) + before[4:24]
        capabilities(libc.capset)
        try:
            netlink = Netlink()
        finally:
            sets.raw = before
            capabilities(libc.capset)
        for command, body in [(DOWN, netlink.attribute(1, b"vol0\0")),
                              (UP, netlink.attribute(2, b"/dev/null\0"))]:
            tap.equal(netlink.error(command, body),
                      (1, "this opens or closes a disk: it needs CAP_SYS_ADMIN"),
                      "request %d" % command)
        tap.equal(status("vol0")["role"], "leader", "role")


@tests.test("a dump during which devices come and go says so")
def _():
    devices = []
    try:
        for number in range(1, 9):
            devices.append(of_sixteen("v%d" % number, number))
        netlink = Netlink()

        def dump(meanwhile):
            """Devices, and whether the dump says that they may not be of one moment."""
            netlink.socket.send(struct.pack("<IHHIIBBH", 20, netlink.family, 0x301, 1, 0,
                                            STATUS, 1, 0))
            # The kernel makes the next part when this one is read.
            meanwhile()
            count, interrupted, ended = 0, False, False
            while not ended:
                data = netlink.socket.recv(1 << 17)
                while data:
                    length, kind, flags = struct.unpack_from("<IHH", data)
                    count += kind == netlink.family
                    interrupted |= bool(flags & 0x10)       # NLM_F_DUMP_INTR
                    ended |= kind == 3
                    data = data[(length + 3) & ~3:]
            return count, interrupted

        tap.equal(dump(lambda: None), (8, False), "undisturbed")
        last = devices[-1]
        tap.equal(dump(lambda: done("down", last.name)), (7, True), "one went down")
        tap.equal(dump(lambda: done("up", "--disk", last.disk.path, "--memory", "8M")),
                  (8, True), "one came up")
        tap.equal(dump(lambda: None), (8, False), "undisturbed again")
    finally:
        for device in devices:
            device.__exit__()


def send(netlink, command, body, flags, length=None):
    netlink.sequence += 1
    message = struct.pack("<BBH", command, 1, 0) + body
    netlink.socket.send(struct.pack(
        "<IHHII", 16 + len(message) if length is None else length, netlink.family, flags,
        netlink.sequence, 0) + message)
    return netlink.sequence


def answer(netlink, sequence):
    """errno with which a request ended, and its text; what else comes is read past."""
    while True:
        data = netlink.socket.recv(1 << 17)
        while len(data) >= 16:
            length, kind, _, number, _ = struct.unpack_from("<IHHII", data)
            if number == sequence and kind == 2:
                return netlink.verdict(data)
            if number == sequence and kind == 3:            # the end of a dump
                return -struct.unpack_from("<i", data, 16)[0], ""
            data = data[(length + 3) & ~3:]


def answered(netlink, where):
    """Whatever came before, the next one is answered."""
    tap.equal(answer(netlink, send(netlink, STATUS, netlink.attribute(1, b"nobody\0"), 5))[0],
              19, "after " + where)


class Answers:
    """How often each errno was the answer, and a request for each kind of answer."""

    # Of netlink itself, to whatever command.
    COMMON = re.compile("[A-Z]|bytes leftover|invalid attribute|ambiguous|integer out of")

    def __init__(self):
        self.codes = {}
        self.kinds = {}

    def add(self, command, body, flags, code, text):
        self.codes[code] = self.codes.get(code, 0) + 1
        if text.startswith("too many errors at once"):
            return
        # One reads like the other but for numbers and paths.
        text = re.sub(r"[0-9]+", "N", re.sub(r"/\S*", "PATH", text))[:60]
        known = command <= 200 and not self.COMMON.match(text)
        kind = command if known else 0, code, text
        packed = mutate.pack_request(command, body, flags)
        if len(packed) < len(self.kinds.get(kind, bytes(1 << 17))):
            self.kinds[kind] = packed


def goes_down(command, body):
    """Going down by luck is not tried."""
    return command == DOWN and os.geteuid() == 0 and b"vol0\0" in body


def send_kept():
    """Those of tests/fuzz/corpus/netlink. Return: what was answered."""
    netlink = Netlink()
    answers = Answers()
    for number, (command, body, flags) in mutate.kept_requests(KEPT):
        where = "line %d of %s" % (number, KEPT)
        tap.check(os.geteuid() != 0 or not goes_down(command, body), where + " ends the device")
        answers.add(command, body, flags,
                    *answer(netlink, send(netlink, command, body, flags)))
        answered(netlink, where)
    return answers


def bombard(seed, rounds, answers=None, end=float("inf")):
    """Requests that are nearly right, until then at most. Return: what was answered."""
    mutator = mutate.Mutator(mutate.Policy(REPO), random.Random(seed),
                             5 * [b"vol0"] + [b"vol1", b"", b"/dev/null", b"/dev/loop77", b"/proc",
                              b"a/../b", b"\x1b[2J", b"%s%n", b"/nowhere/" + b"x" * 300])
    privileged = mutator.policy.privileged
    stranger = os.geteuid() != 0
    netlink = Netlink()
    answers = answers or Answers()
    for number in range(rounds):
        if time.monotonic() >= end:
            break
        command, body, flags = mutator.request()
        if goes_down(command, body):
            continue
        where = "seed %d, request %d: command %d, flags %#x, %s" % (
            seed, number, command, flags, body[:200].hex())
        if mutator.chance(0.05):
            # Of a header that says another length there may be no answer at all.
            send(netlink, command, body, flags, mutator.rng.choice([0, 15, 16, 19, 20, 1 << 20]))
        elif flags & 0x300 == 0x300 and mutator.chance(0.5):
            other = Netlink()       # a dump that nobody reads to its end
            send(other, command, body, flags)
            other.socket.close()
        else:
            try:
                code, text = answer(netlink, send(netlink, command, body, flags))
            except TimeoutError:
                raise tap.Failure("no answer; " + where) from None
            answers.add(command, body, flags, code, text)
            # What no request can have is found out before who it is from.
            dump = 0x300 if flags & 0x300 == 0x300 else 0
            if stranger and command in privileged and not flags & ~dump & ~0xd:
                tap.check(code in (1, 95), "errno %d for who may not; %s" % (code, where))
        answered(netlink, where)
    return answers


def as_nobody(function):
    """Is it true, for a user without privileges?"""
    user = os.fork()
    if not user:
        os.setresuid(65534, 65534, 65534)
        try:
            os._exit(not function())
        except Exception as why:        # whatever it is, the child ends here
            tap.comment("%s: %s" % (type(why).__name__, why))
        os._exit(1)
    tap.equal(os.waitpid(user, 0)[1], 0, "what a user was answered")


def leads_and_writes():
    """Settings that were taken may be odd ones; a leader it is again all the same."""
    done("set", "vol0", "--election-timeout", "150", "--heartbeat", "50")
    tap.wait_until(lambda: status("vol0")["role"] == "leader", 20, "leads")
    with open("/dev/qbd/vol0", "r+b", buffering=0) as device:
        device.write(b"k" * BLOCK)
        os.fsync(device.fileno())


@tests.test("netlink messages that were kept, one for each kind of answer, do no harm")
def _():
    with Up("vol0", "--wait-leader") as _:
        tap.comment("errno: times, of root: %s" % send_kept().codes)
        as_nobody(lambda: send_kept().codes.get(1))
        leads_and_writes()


@tests.test("netlink messages that are nearly right do no harm")
def _():
    seed = int(os.environ.get("QBD_TEST_SEED") or time.time())
    tap.comment("QBD_TEST_SEED=%d" % seed)

    def stranger():
        codes = bombard(seed + 1, 1500).codes
        tap.comment("errno: times, of nobody: %s" % codes)
        return codes.get(1) and codes.get(22) and codes.get(0)

    with Up("vol0", "--wait-leader") as _:
        codes = bombard(seed, 3000).codes
        tap.comment("errno: times, of root: %s" % codes)
        # Far enough in to succeed, and turned away for each reason that there is.
        for code in 0, 19, 22, 34, 95:
            tap.check(codes.get(code), "never errno %d: the requests are no good" % code)
        as_nobody(stranger)
        leads_and_writes()


def fuzz(seconds):
    """Bombard for so long, from a seed: rounds of a seed each, of root and of nobody."""
    seed = int(os.environ.get("QBD_TEST_SEED") or time.time())
    print("netlink: seed %d" % seed, flush=True)
    begin = time.monotonic()
    end = begin + seconds
    answers = Answers()
    with Up("vol0", "--wait-leader") as _:
        known = set(send_kept().kinds)
        while time.monotonic() < end:
            bombard(seed, 1000, answers, end)
            as_nobody(lambda: bombard(seed + 1, 300, None, end))
            leads_and_writes()
            seed += 2
    for kind in sorted(set(answers.kinds) - known):
        packed = base64.b64encode(answers.kinds[kind]).decode()
        if len(packed) <= 400:
            print("netlink: not kept: %s  # command %d, errno %d: %s" % (packed, *kind))
    print("netlink %10d requests of root in %d s, %d kinds of answers, up to seed %d: nothing "
          "found" % (sum(answers.codes.values()), time.monotonic() - begin,
                     len(answers.kinds), seed - 1), flush=True)


@tests.test("a hundred errors at once all have a text, and the log gets text only")
def _():
    netlink = Netlink()
    body = netlink.attribute(2, b"/no\x1b[2J\nwhere\0")
    many = "too many errors at once: the reason is in the kernel log"
    deadline = time.monotonic() + 30
    while (text := netlink.error(UP, body)[1]) == many:     # those of other tests rest
        tap.check(time.monotonic() < deadline, "no text comes free")
        time.sleep(0.1)
    tap.check("/no?[2J?where" in text, text)
    texts = {netlink.error(UP, body)[1] for _ in range(100)}
    tap.check(many in texts and texts <= {many, text}, "texts: %s" % texts)

    def lines():
        return [line for line in kernel_log().splitlines()
                if "request failed: " in line and "?[2J?where" in line]
    # It takes only so many lines in a time, and those of other tests may be those.
    while not lines():
        tap.check(time.monotonic() < deadline, "nothing in the kernel log")
        time.sleep(0.1)
        while netlink.error(UP, body)[1] != many:
            pass
    for line in lines():
        tap.check(line.endswith("request failed: " + text), line)


def main():
    os.makedirs(WORK, exist_ok=True)
    run("ip", "link", "set", "lo", "up")
    done("token", "new", "--out", TOKEN)
    if sys.argv[1:2] == ["--fuzz"]:
        try:
            fuzz(float(sys.argv[2]))
        except tap.Failure as why:
            sys.exit("netlink: FOUND SOMETHING: %s" % why)
    else:
        tests.run()


main()
