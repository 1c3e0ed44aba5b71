# SPDX-License-Identifier: GPL-2.0
"""Allocations fail, one after the other or many by chance; requests of a disk fail.

What is asked of a command is the same for each allocation of it: it is done, or it
fails with one line and has left nothing behind, and then it can be done.
"""

import errno
import mmap
import os
import random
import time

from lib import faults, kernel
from lib.cluster import Cluster, refused
from lib.faults import Injection, OneFailure
from lib.registry import test
from lib.shell import read_file, run, wait_until, write_file
from lib.workload import Writer

MODULE = os.environ.get("QBD_MODULE", "qbd.ko")
MEMORY = ("--memory", "8M")
# A command has as many allocations as it had the last time, more or less one.
BEYOND = 3
SAME, STEP = 10, 10


def members():
    """Three members whose disks have all their memory: those allocate nothing."""
    return Cluster(3, size="48M", disk_mib=80, up=MEMORY, disk_solid=True)


def blocks():
    """What the kernel shows of block devices."""
    return {directory + "/" + name
            for directory in ("/sys/block", "/sys/kernel/debug/block", "/sys/class/bdi",
                              "/dev") for name in os.listdir(directory)
            if name != "qbd" and name[0] != "."}


class Traces:
    """What a member that is down leaves of itself: nothing."""

    def __init__(self, member):
        self.member = member
        self.blocks = blocks()
        self.references = self.count()

    @staticmethod
    def count():
        return int(read_file("/sys/module/qbd/refcnt"))

    def check_none(self):
        wait_until("%r has left nothing of itself: %s, %s" % (
            self.member, blocks() ^ self.blocks, self.count() - self.references),
            lambda: blocks() == self.blocks and self.count() == self.references)
        disk = os.open(self.member.disk.path, os.O_RDWR | os.O_EXCL)
        os.close(disk)
        result = self.member.qbdadm("status", self.member.cluster.name, check=False)
        refused(result, self.member.cluster.name)


class Tally:
    """How many allocations there were, and what became of it."""

    def __init__(self, what):
        self.what = what
        self.tried = self.done = self.refused = 0
        self.begin = time.monotonic()
        self.texts = set()

    def add(self, result, *words):
        self.tried += 1
        if result.status == 0:
            self.done += 1
        else:
            self.refused += 1
            self.texts.add(refused(result, *words))

    def say(self):
        kernel.say("%s: %d allocations failed: done all the same %d times, refused %d "
                   "times; %.0f s" % (self.what, self.tried, self.done, self.refused,
                                      time.monotonic() - self.begin))
        for text in sorted(self.texts):
            kernel.say("%s: %s" % (self.what, text))
        assert self.tried, "no allocation of '%s' has failed" % self.what


def one_after_the_other(what, attempt):
    """attempt(number) -> (result, failed), until there are no more.

    Reserves are hundreds of allocations in a row, by one line of code. Where the same words
    came often, only every STEP-th is tried until other words come; the ones before those
    are then tried each.
    """
    tally = Tally(what)
    last = number = same = beyond = 0
    words = None
    while beyond < BEYOND:
        number = last + (STEP if same >= SAME else 1)
        result, failed = attempt(number)
        if (not failed or result.errors != words) and number > last + 1:
            same = 0            # too far: back to what was left out
            continue
        same = same + 1 if failed and result.errors == words else 0
        words = result.errors
        last = number
        beyond = 0 if failed else beyond + 1
        if failed:
            tally.add(result)
        else:
            assert result.status == 0, result.text
    tally.say()


def written(cluster):
    """Something for a member to find in its log."""
    writer = Writer(cluster.leader().device, slots=32, limit=40)
    writer.child.wait()
    return writer


def try_up(cluster, member, failure):
    """A function: up with a failure; whatever came of it, then down, up, down."""
    traces = Traces(member)
    argv = ["qbdadm", "up", cluster.name, "--disk", member.disk.path, *member.options]

    def attempt(number):
        result, failed = failure.command(number, argv, netns=member.netns)
        if result.status and not (answer_lost(result) and is_up(member)):
            traces.check_none()
            member.up()
        member.down()
        traces.check_none()
        return result, failed
    return attempt


def answer_lost(result):
    """The kernel had no memory for the request, or for the answer: was it done?"""
    return "No buffer space" in result.errors


def is_up(member):
    return member.qbdadm("status", member.cluster.name, check=False).status == 0


@test("faults", timeout=400, kernel="debug")
def allocations_of_up_fail():
    """Each small allocation of up fails once: up or not, and then it comes up."""
    with members() as cluster:
        writer = written(cluster)
        member = cluster.others(cluster.leader())[0]
        member.down()
        one_after_the_other("up", try_up(cluster, member, OneFailure(slab=True)))
        member.up()
        writer.verify()


@test("faults", timeout=200, kernel="debug")
def pages_of_up_fail():
    """Pages of up fail, the first, the last, some between: up or not, then it comes up."""
    with members() as cluster:
        member = cluster.others(cluster.leader())[0]
        member.down()
        attempt = try_up(cluster, member, OneFailure(page=True))
        tally = Tally("pages of up")
        number, last, beyond = 1, 0, 0
        # Doubled until there are no more, then halved down to the last one.
        while not beyond or beyond - last > 1:
            result, failed = attempt(number)
            if failed:
                tally.add(result)
                last = number
            else:
                assert result.status == 0, result.text
                beyond = number
            number = (last + beyond) // 2 if beyond else 2 * number
        assert last > (8 << 20) // 4096, "there were no more than %d" % last
        for number in random.sample(range(1, last), 20):
            result, failed = attempt(number)
            if failed:
                tally.add(result)
        tally.say()
        assert tally.refused, "it came up without some of its memory"
        member.up()


@test("faults", timeout=200, kernel="debug")
def allocations_of_other_commands_fail():
    """Each allocation of status, set, leader move fails once: done, or one line."""
    with members() as cluster:
        leader = cluster.leader()
        member = cluster.others(leader)[0]
        failure = OneFailure(slab=True, page=True)
        name = cluster.name
        for words in (["status", name, "--json"], ["status", "--json"],
                      ["set", name, "--window", "4M"],
                      ["leader", "move", name, leader.name]):
            def attempt(number, words=words):
                result, failed = failure.command(number, ["qbdadm", *words],
                                                 netns=member.netns)
                member.qbdadm(*words)
                return result, failed
            one_after_the_other(" ".join(words), attempt)


@test("faults", timeout=120, kernel="debug")
def allocations_of_down_fail():
    """Each allocation of down fails once: it is down, or it is as it was."""
    with members() as cluster:
        member = cluster.others(cluster.leader())[0]
        member.down()
        traces = Traces(member)
        failure = OneFailure(slab=True, page=True)

        def attempt(number):
            member.up()
            result, failed = failure.command(number, ["qbdadm", "down", cluster.name],
                                             netns=member.netns)
            if result.status and not (answer_lost(result) and not is_up(member)):
                member.status()
                member.down()
            member.is_up = False
            traces.check_none()
            return result, failed
        one_after_the_other("down", attempt)
        member.up()


@test("faults", timeout=120, kernel="debug")
def allocations_of_opening_fail():
    """Each allocation of who opens and reads the block device fails once."""
    with members() as cluster:
        writer = written(cluster)
        member = cluster.others(cluster.leader())[0]
        device = member.device
        buffer = mmap.mmap(-1, 4096)    # what user space allocates is not meant

        def use():
            for flags in (os.O_RDONLY, os.O_RDONLY | os.O_DIRECT):
                fd = os.open(device, flags)
                try:
                    assert os.preadv(fd, [buffer], 4096) == 4096
                finally:
                    os.close(fd)

        failure = OneFailure(slab=True, page=True)
        errors = {}
        number = beyond = 0
        while beyond < BEYOND:
            number += 1
            write_file("/proc/sys/vm/drop_caches", 1)
            error, failed = failure.call(number, use)
            beyond = 0 if failed else beyond + 1
            assert failed or not error, os.strerror(error)
            if failed:
                errors[error] = errors.get(error, 0) + 1
        kernel.say("open and read: %d allocations failed: %s" % (sum(errors.values()), {
            os.strerror(error): count for error, count in errors.items()}))
        # A page that could not be had is an error of reading, too.
        assert errors and set(errors) <= {0, errno.ENOMEM, errno.EIO}, errors
        use()
        writer.verify(device)


# Dynamic debug warns that it had no memory for the module's messages.
@test("faults", timeout=200, kernel="debug", expect=r"WARNING: .* ddebug_module_notify")
def allocations_of_loading_fail():
    """Each small allocation of loading the module fails once: not loaded, or whole."""
    run(["rmmod", "qbd"])
    failure = OneFailure(slab=True)
    insert = faults.insert_module(MODULE)
    number = beyond = loaded = refusals = 0
    while beyond < BEYOND:
        number += 1
        error, failed = failure.call(number, insert)
        beyond = 0 if failed else beyond + 1
        assert failed or not error, os.strerror(error)
        refusals += error != 0
        loaded += failed and not error
        if not error:
            run(["rmmod", "qbd"])
        assert not os.path.isdir("/sys/module/qbd")
        assert " qbd\n" not in read_file("/proc/devices") + "\n"
    kernel.say("loading: %d allocations failed: loaded all the same %d times, refused %d "
               "times" % (number - BEYOND, loaded, refusals))
    assert refusals, "no allocation of loading has failed"
    run(["insmod", MODULE])


class Load:
    """A writer at each member, on a range of its own."""

    SLOTS = 64

    def __init__(self, cluster):
        self.cluster = cluster
        self.writers = {member: Writer(member.device, slots=self.SLOTS,
                                       first_block=self.SLOTS * member.number)
                        for member in cluster.members}
        self.go_on()

    def go_on(self, members=None):
        for member in members or self.cluster.members:
            self.writers[member].wait_for(20, 60)

    def check_no_error(self):
        for member, writer in self.writers.items():
            assert not writer.child.ended(), "the writer at %r: %s" % (
                member, writer.child.lines[-1:])

    def end(self, members=None):
        for writer in self.writers.values():
            writer.stop(60)
        for writer in self.writers.values():
            for member in members or self.cluster.members:
                writer.verify(member.device)


def allocations_fail_under_load(capability, percent, failures):
    with members() as cluster:
        load = Load(cluster)
        with Injection(capability, percent) as injection:
            def enough():
                load.check_no_error()
                return injection.so_far() >= failures
            wait_until("%d allocations have failed" % failures, enough, 60)
        cluster.wait_leader(timeout=60)
        load.go_on()
        load.end()
        kernel.say("%s: %d allocations failed under load, %s writes acknowledged" % (
            capability, injection.failures,
            [writer.acknowledged() for writer in load.writers.values()]))


@test("faults", timeout=120, kernel="debug")
def slab_fails_under_load():
    """Small allocations fail by chance: no I/O error, nothing lost, and on it goes."""
    allocations_fail_under_load(faults.SLAB, 10, 2000)


@test("faults", timeout=120, kernel="debug")
def pages_fail_under_load():
    """Allocations of pages fail by chance: no I/O error, nothing lost, and on it goes."""
    allocations_fail_under_load(faults.PAGE, 20, 200)


@test("faults", timeout=120, kernel="debug")
def all_allocations_fail_for_a_while():
    """None of the module's small allocations succeeds: it waits, and then it goes on."""
    allocations_fail_under_load(faults.SLAB, 100, 1000)


@test("faults", timeout=60, kernel="debug")
def requests_of_a_disk_fail():
    """Requests of the leader's disk fail by chance: it stops vouching, all others go on.

    Made anew, the disk counts again.
    """
    with members() as cluster:
        leader = cluster.leader()
        others = cluster.others(leader)
        load = Load(cluster)
        with faults.failing_requests(leader.disk.path, 5) as injection:
            leader.wait("it knows that its disk failed", lambda s: s.failed)
            cluster.wait_leader(others, not_member=leader)
            load.go_on()
            load.check_no_error()
            assert injection.so_far(), "no request has failed"
        load.go_on()
        load.end()
        leader.down()
        cluster.create(leader, "--force")
        leader.up()
        cluster.wait_caught_up(60)
