#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A workload drawn from a seed, with a log of all that is written to each member's disk.

usage: guest.py SEED SHAPE STEPS    (in User-mode Linux; started by run)

SHAPE is how many members the device is made with; a w behind it: the last one is a witness;
+1 behind that: one more joins. STEPS is how many, or names of them, separated by commas.

Leaves in $QBD_RESULT:
  member-N.log  what dm-log-writes kept of member N's disk, all data in it
  trace         when each disk was given what, and when it was done with it
  acks          what users were told is done, and when
  facts         the rest
"""

import fcntl
import os
import random
import re
import signal
import struct
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "cluster"))

from lib import kernel  # noqa: E402
from lib.cluster import Cluster  # noqa: E402
from lib.damage import Damage, Log  # noqa: E402
from lib.disks import LoggedDisk  # noqa: E402
from lib.shell import read_file, wait_until, write_file  # noqa: E402
from lib.workload import BLOCK, Child, direct_buffer, end_children  # noqa: E402

TRACING = "/sys/kernel/tracing"
DISK_MIB = 28
LOG_MIB = 8
# At first: its last extent is not whole, and one block of the table is enough.
DEVICE_BLOCKS = 15 * 256 + 5
MOST_BLOCKS = 16 * 256 + 200
DATA_BLOCK = (2 + LOG_MIB) * 256
TABLE_BLOCK = 256
EXTENT = "64K"          # the smallest: many extents, in the end two blocks of their table
EXTENT_BLOCKS = 16
TABLE_EXTENTS = 253     # in a block of the table
COMPLETION_NS = 150000  # so that several requests are under way at a time
BLKDISCARD = 0x1277
BLKZEROOUT = 0x127f
WRITERS = 4
FILL_RATE = "100mbit"
ROTTEN = 6              # blocks at a time


class Shape:
    """Of a device, from a text as in the usage."""

    def __init__(self, text):
        made, witness, joins = re.fullmatch(r"([1-5])(w?)(\+1)?", text).groups()
        self.made = int(made)
        self.witnesses = (self.made,) if witness else ()
        self.joiners = (self.made + 1,) if joins else ()
        self.disks = self.made + len(self.joiners)

    def cluster(self, disks):
        return Cluster(self.disks, size="%dK" % (DEVICE_BLOCKS * BLOCK // 1024),
                       log_size="%dM" % LOG_MIB, create=("--extent-size", EXTENT,
                                                         "--claim", "shared"),
                       up=("--memory", "16M"), start=False, disks=disks,
                       witnesses=self.witnesses, joiners=self.joiners)


class Trace:
    """What the members' disks are given, in order, with monotonic times."""

    def __init__(self, disks):
        if not os.path.ismount(TRACING):
            os.system("mount -t tracefs tracefs " + TRACING)
        write_file(TRACING + "/tracing_on", 0)
        write_file(TRACING + "/trace_clock", "mono")
        write_file(TRACING + "/buffer_size_kb", 131072)
        devices = " || ".join("dev == %d" % (os.major(number) << 20 | os.minor(number))
                              for number in (disk.number_logged for disk in disks))
        for event in ("block_bio_queue", "block_bio_complete"):
            path = "%s/events/block/%s/" % (TRACING, event)
            write_file(path + "filter", '(%s) && !(rwbs ~ "R*")' % devices)
            write_file(path + "enable", 1)
        write_file(TRACING + "/trace", "")
        write_file(TRACING + "/tracing_on", 1)

    def end(self, path):
        write_file(TRACING + "/tracing_on", 0)
        with open(TRACING + "/trace") as source, open(path, "w") as target:
            for line in source:
                assert "EVENTS DROPPED" not in line and "LOST" not in line, line
                target.write(line)
        for line in read_file(TRACING + "/per_cpu/cpu0/stats").split("\n"):
            if line.startswith(("overrun:", "dropped events:")):
                assert line.split()[-1] == "0", "the trace lost events: " + line


class Writer:
    """Writes, zeroes and discards at random on one member's device until stopped.

    Each operation has a number of its own, in all of its data; what is made zero is
    told from others by its place and length, which no other operation has.
    """

    zeroed = set()
    number = 0
    blocks = DEVICE_BLOCKS

    def __init__(self, member, seed, largest=32, pause=0.005, limit=None, at_end=False):
        self.member = member
        self.at_end = at_end
        Writer.number += 1
        self.first = Writer.number << 32
        self.plan = random.Random(seed)
        path = member.device
        # Drawn beforehand: nobody else's.
        zeroes = [self.draw_zero() for _ in range(40)]
        self.child = Child(lambda report: self.work(report, path, zeroes, largest, pause,
                                                    limit))

    def draw_zero(self):
        while True:
            count = self.plan.choice((1, 2, 5, 16, 40, 200))
            block = self.plan.randrange(Writer.blocks - count)
            if (block, count) not in Writer.zeroed:
                Writer.zeroed.add((block, count))
                return block, count

    def work(self, report, path, zeroes, largest, pause, limit):
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
        plain = os.open(path, os.O_RDWR | os.O_DIRECT)
        forced = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_DSYNC)
        number = self.first
        while not stop and (limit is None or number < self.first + limit):
            number += 1
            kind = self.plan.randrange(20)
            if kind == 0 and zeroes:
                block, count = zeroes.pop()
                order = self.plan.choice((BLKDISCARD, BLKZEROOUT))
                fcntl.ioctl(plain, order, struct.pack("<QQ", block * BLOCK, count * BLOCK))
                report("%d %d zero %d %d" % (time.monotonic_ns(), number, block, count))
            elif kind == 1:
                os.fsync(plain)
            else:
                count = self.plan.choice((1, 1, 1, 2, 3, 8, largest // 4 or 1, largest))
                # Some places again and again, the rest now and then.
                span = self.plan.choice((64, 600, Writer.blocks))
                block = self.plan.randrange(max(1, span - count))
                if self.at_end:
                    block = Writer.blocks - count - self.plan.choice((0, 0, 1, 9, 30))
                data = direct_buffer(struct.pack("<Q", number) * (count * BLOCK // 8))
                os.pwritev(forced if kind < 5 else plain, [data], block * BLOCK)
                report("%d %d write %d %d" % (time.monotonic_ns(), number, block, count))
            if pause:
                time.sleep(pause)

    def acknowledged(self):
        return sum(not line.startswith("failed") for line in self.child.read())

    def end(self):
        if not self.child.ended():
            os.kill(self.child.pid, signal.SIGTERM)
        self.child.wait(60)

    def kill(self):
        self.child.kill()


class Sizes:
    """When each member's block device was seen to have a size."""

    def __init__(self, members, blocks):
        paths = {member.number: "/sys/class/block/%s/size" % os.path.basename(member.device)
                 for member in members}
        self.child = Child(lambda report: self.work(report, paths, blocks))

    def work(self, report, paths, blocks):
        os.nice(-20)    # it has to see it at once
        waiting = {number: os.open(path, os.O_RDONLY) for number, path in paths.items()}
        while waiting:
            for number, file in list(waiting.items()):
                if int(os.pread(file, 32, 0)) * 512 >= blocks * BLOCK:
                    report("%d %d size %d 0" % (time.monotonic_ns(), number, blocks))
                    del waiting[number]
            time.sleep(0)


class Run:
    """A cluster, its writers, and what happens to them."""

    def __init__(self, cluster, source):
        self.cluster = cluster
        self.source = source
        self.writers = {}
        self.retired = []
        self.told = []      # of size and claims: lines of acks
        self.facts = []     # of who joined, and of what rotted
        self.rotten = set()     # blocks
        self.emptied = False

    def say(self, text):
        kernel.say(text)
        for member in self.cluster.members:
            member.disk.mark(text.replace(" ", "_"))

    def members(self):
        """All that there are by now."""
        return [member for member in self.cluster.members if not member.removed]

    def holders(self):
        """Those with data."""
        return [member for member in self.members()
                if member.number not in self.cluster.witnesses]

    def witness(self):
        """Or None."""
        return next((self.cluster.member(number) for number in self.cluster.witnesses), None)

    def writing(self):
        """Those with data that are up."""
        return [member for member in self.holders() if member.is_up]

    def start_writers(self):
        holders = self.holders()
        for turn in range(WRITERS):
            member = holders[turn % len(holders)]
            if member.is_up and turn not in self.writers:
                self.writers[turn] = Writer(member, self.source.random(),
                                            self.source.choice((4, 8, 32, 32)))

    def retire(self, member):
        for turn, writer in list(self.writers.items()):
            if writer.member is member:
                writer.kill()
                self.retired.append(self.writers.pop(turn))

    def done(self):
        return sum(writer.acknowledged()
                   for writer in list(self.writers.values()) + self.retired)

    def wait_for(self, count, timeout=60):
        target = self.done() + count

        def there():
            for writer in self.writers.values():
                if writer.child.ended():
                    raise AssertionError("a writer ended: %s" % writer.child.lines[-1:])
            return self.done() >= target
        wait_until("%d more operations" % count, there, timeout)

    def signal_writers(self, number):
        for writer in self.writers.values():
            os.kill(writer.child.pid, number)

    def much(self, blocks):
        """So much at once that the log has to be reclaimed."""
        member = self.source.choice(self.writing())
        writer = Writer(member, self.source.random(), 256, 0, max(4, blocks // 80))
        writer.child.wait(90)
        self.retired.append(writer)

    # ---- what can happen ----

    def small(self):
        self.wait_for(self.source.choice((20, 60)))

    def burst(self):
        self.much(2400)

    def rest(self):
        """Nobody writes: checkpoints when idle, both state slots."""
        self.signal_writers(signal.SIGSTOP)
        time.sleep(self.source.choice((0.3, 1.4)))
        self.signal_writers(signal.SIGCONT)

    def restart(self):
        """Down in order, and up again."""
        member = self.source.choice(self.members())
        member.down("--force")
        self.retire(member)
        member.up()
        self.cluster.wait_leader()
        self.start_writers()

    def cut_off(self, member):
        """It stops between any two writes: what it wrote until then is on its disk."""
        self.cluster.network.isolate(member.number)
        member.disk.fail()
        member.down("--force")
        self.retire(member)
        member.disk.heal()
        self.cluster.network.heal()

    def reset(self):
        member = self.source.choice(self.members())
        self.cut_off(member)
        member.up()
        self.cluster.wait_leader()
        self.start_writers()

    def reset_all(self):
        for member in self.members():
            self.cut_off(member)
        self.cluster.up()
        self.cluster.wait_leader()
        self.start_writers()

    def move(self):
        """Leadership, in order. May fail: nobody may be fit for it."""
        member = self.source.choice(self.cluster.running())
        member.qbdadm("leader", "move", self.cluster.name, check=False)
        self.wait_for(10)

    def overthrow(self):
        """The leader goes on writing what nobody else gets; another one is elected."""
        leader = self.cluster.wait_leader()
        writers = [Writer(leader, self.source.random(), 4) for _ in range(6)]
        wait_until("all of them write",
                   lambda: all(writer.acknowledged() > 3 for writer in writers))
        self.cluster.network.isolate(leader.number)
        others = [member for member in self.members() if member is not leader]
        # A witness may lead until one with data has its log.
        new = self.cluster.wait_leader(others, not_member=self.witness())
        more = Writer(new, self.source.random(), 8)
        wait_until("the new one writes", lambda: more.acknowledged() > 10)
        more.end()
        self.cluster.network.heal()
        self.cluster.wait_leader()
        before = [writer.acknowledged() for writer in writers]
        wait_until("all go on", lambda: all(
            writer.acknowledged() > count for writer, count in zip(writers, before)))
        for writer in writers:
            writer.end()
        self.retired += writers + [more]

    def away(self):
        """Away for so long that it has to be filled by extents; which goes on meanwhile.

        The log of a witness begins anew instead.
        """
        self.pass_by(self.source.choice(self.members()))

    def witness_away(self):
        """That of a witness does, whatever is drawn."""
        self.pass_by(self.witness())

    def pass_by(self, member):
        member.down("--force")
        self.retire(member)
        self.cluster.wait_leader(self.cluster.running())
        for _ in range(2):
            self.much(2000)
        member.up()
        self.cluster.wait_leader()
        self.start_writers()

    def write_some(self, member, **options):
        writer = Writer(member, self.source.random(), 8, 0, 12, **options)
        writer.child.wait(60)
        self.retired.append(writer)

    def have(self, member, *words):
        """A command of qbdadm, until it is not refused: a member may still be filled."""
        words = list(words)
        words.insert(1 if words[0] in ("resize", "verify") else 2, self.cluster.name)
        wait_until(" ".join(map(str, words)),
                   lambda: member.qbdadm(*words, check=False).status == 0, 60)

    def grow(self):
        """Twice: a little, and at first so much that the table needs one more block.

        The second time nobody writes: then there is no record behind by which a member
        that comes up knows that it was committed.
        """
        for quiet, more in ((False, self.source.choice((1, 6, 11, 24))),
                            (True, TABLE_EXTENTS * EXTENT_BLOCKS - Writer.blocks +
                             self.source.choice((1, 30)))):
            blocks = Writer.blocks + (more if more > 0 else self.source.choice((1, 5, 20)))
            if blocks > MOST_BLOCKS:
                return
            self.write_some(self.source.choice(self.holders()), at_end=True)
            sizes = Sizes(self.holders(), blocks)
            if quiet:
                self.signal_writers(signal.SIGSTOP)
            self.have(self.source.choice(self.holders()), "resize", "--size",
                      "%dK" % (blocks * BLOCK // 1024))
            self.told += sizes.child.wait(60)
            self.signal_writers(signal.SIGCONT)
            Writer.blocks = blocks
            self.write_some(self.source.choice(self.holders()), at_end=True)

    def demote(self):
        """A voter becomes a learner, and then a voter again."""
        leader = self.cluster.wait_leader()
        member = self.source.choice([one for one in self.holders() if one is not leader])
        self.have(leader, "member", "demote", member.number)
        self.wait_for(20)
        if self.source.random() < 0.5:
            self.reset()
        self.have(self.cluster.wait_leader(), "member", "promote", member.number)

    def exclusive(self):
        """For a while one host at a time may write: by opening the device, or by command."""
        for writer in self.writers.values():
            writer.end()
        self.retired += self.writers.values()
        self.writers = {}
        self.source.choice(self.holders()).qbdadm("claim", "mode", self.cluster.name,
                                                  "exclusive")
        for _ in range(2):
            self.write_some(self.source.choice(self.holders()))
        member = self.source.choice(self.holders())
        self.have(member, "claim", "take")
        # Who asked may be told by the leader before its own log says so.
        epoch = member.wait("it has the claim", lambda status: status.claim["holder"] ==
                            member.number).claim["epoch"]
        self.told.append("%d %d claim %d 0" % (time.monotonic_ns(), epoch, member.number))
        self.write_some(member)
        member.wait("it is closed", lambda status: not status.in_use)
        member.qbdadm("claim", "release", self.cluster.name)
        member.qbdadm("claim", "mode", self.cluster.name, "shared")
        self.start_writers()

    def join(self):
        """One more member joins and is filled, while others write; in between it stops once."""
        for number in self.cluster.joiners:
            if self.cluster.member(number).removed:
                self.join_as(self.cluster.member(number))

    def join_as(self, member):
        contact = self.source.choice(self.writing())
        # What it is to have is not in any log any more.
        while self.cluster.leader().status().first_index <= 1:
            self.much(2400)
        before = time.monotonic_ns()
        self.cluster.join(member.number, "--no-up", contact=contact.number)
        self.facts.append("joins %d %d %d" % (member.number, before, time.monotonic_ns()))
        # So slowly that others write meanwhile.
        self.cluster.network.shape(member.number, "rate", FILL_RATE)
        member.up()
        member.wait("it is being filled", lambda status: status.filling and
                    status.fill_extents_done > 0)
        if self.source.random() < 0.7:
            self.cut_off(member)
            member.up()
        self.wait_for(10)
        self.cluster.network.shape(member.number)
        for one in self.members():
            one.wait("%d votes" % member.number, lambda status: any(
                other["id"] == member.number and other["voter"]
                for other in status.members) and not any(
                    other["voter_old"] for other in status.members), 90)
        self.write_some(member)

    def help(self):
        """A member that was behind gets from the witness what nobody else has that is up."""
        leader = self.cluster.wait_leader(self.holders())
        stale = next(member for member in self.holders() if member is not leader)
        stale.down("--force")
        self.retire(stale)
        self.wait_for(20)
        self.cut_off(leader)
        stale.up()
        self.cluster.wait_leader([one for one in self.members() if one is not leader],
                                 not_member=self.witness())
        self.write_some(stale)
        leader.up()
        self.cluster.wait_leader()
        self.start_writers()

    def empty(self):
        """A member has lost its disk: it is made anew under the same id. Once in a run."""
        if self.emptied:
            return
        self.emptied = True
        member = self.source.choice(self.members())
        member.down("--force")
        self.retire(member)
        self.cluster.size = "%dK" % (Writer.blocks * BLOCK // 1024)
        before = time.monotonic_ns()
        self.cluster.create(member, "--force")
        self.facts.append("emptied %d %d %d" % (member.number, before, time.monotonic_ns()))
        member.up()
        if self.source.random() < 0.5:
            self.cut_off(member)
            member.up()
        member.wait("it is part of the device", lambda status: status.leader and
                    not status.problem and not status.filling, 60)
        self.cluster.wait_leader()
        self.start_writers()

    def rot(self):
        """Bits rot on one member's disk; replicas are compared, and made equal.

        While they rot nobody writes: no write of the member's own is on its way there. They
        are found while one writes again: what all write is compared often, and that takes long.
        """
        member = self.source.choice(self.holders())
        self.signal_writers(signal.SIGSTOP)
        self.cluster.wait_caught_up(60)
        # Where much was written: of what nobody ever wrote nothing is read.
        blocks = set()
        while len(blocks) < ROTTEN:
            blocks.add(self.source.randrange(600))
        for block in sorted(blocks - self.rotten):
            self.flip(member, DATA_BLOCK + block, "rot %d %d" % (member.number, block))
        # Each once: it is known from then on which entry puts it right.
        self.rotten |= blocks
        os.kill(self.source.choice(list(self.writers.values())).child.pid, signal.SIGCONT)
        self.have(self.source.choice(self.holders()), "verify", "--max-rate", "1G",
                  "--repair")
        self.signal_writers(signal.SIGCONT)
        self.wait_for(10)

    def flip(self, member, block, fact, span=BLOCK):
        """One bit of a block of its disk, among its first bytes; the fact, and when that was."""
        before = time.monotonic_ns()
        Damage(member.disk).flip(block, self.source.randrange(span))
        self.facts.append("%s %d %d" % (fact, before, time.monotonic_ns()))

    def rot_log(self):
        """A record rots that a member had acknowledged and not applied; it is sent again, or,
        where the others have dropped it by then, the member is filled."""
        member = self.source.choice(self.holders())
        applied = last = 0
        while applied >= last:
            if not member.is_up:
                # It had just come to rest.
                self.signal_writers(signal.SIGCONT)
                member.up()
                self.cluster.wait_leader()
                self.start_writers()
            self.wait_for(40)
            # Before it is alone: then it would apply all.
            member.disk.fail()
            # They would go on meanwhile until others have dropped what is to be sent again.
            self.signal_writers(signal.SIGSTOP)
            self.cut_off(member)
            log = Log(member.disk)
            applied = log.state["applied_index"]
            # By what the log says of itself, not by what the state block does.
            last = max(record["durable_index"] for record in log.records.values())
        index = max(applied + 1, last - self.source.randrange(12))
        number = self.source.randrange(log.records[index]["data_blocks"] + 1)
        # Of a header not all is used.
        self.flip(member, log.block(index, number), "lose %d %d %d" % (
            member.number, index, log.block(index, number)), BLOCK if number else 64)
        broken = Log(member.disk)
        assert (broken.verdict, broken.last_index) == ("damaged", index - 1), \
            "record %d, block %d: %s up to %d" % (index, number, broken.verdict,
                                                  broken.last_index)
        member.up()
        member.wait("it has what it lost", lambda status: not status.damaged and
                    status.durable_index >= last, 60)
        self.signal_writers(signal.SIGCONT)
        self.cluster.wait_leader()
        self.start_writers()

    def act(self, steps):
        """In an order drawn by lot, but each of them before any comes again.

        Of few steps those that come first here, for they matter most, and then some of the
        others by lot; or those named.
        """
        alone = len(self.members()) == 1
        if alone:
            kinds = [self.burst, self.reset, self.grow, self.exclusive, self.rest]
            others = [self.restart, self.small]
        elif self.cluster.witnesses:
            kinds = [self.help, self.witness_away, self.grow, self.reset, self.overthrow,
                     self.exclusive]
            others = [self.away, self.empty, self.demote, self.rest, self.restart,
                      self.burst, self.reset_all, self.move, self.small]
        else:
            kinds = [self.overthrow, self.away, self.grow, self.demote, self.rot,
                     self.rot_log, self.empty, self.exclusive, self.reset, self.rest]
            others = [self.restart, self.burst, self.reset_all, self.move, self.small]
        if self.cluster.joiners:
            kinds.insert(0, self.join)
        self.source.shuffle(others)
        kinds += others
        if not steps.isdigit():
            kinds = [getattr(self, name) for name in steps.split(",")]
        steps = int(steps) if steps.isdigit() else len(kinds)
        waiting = []
        for _ in range(steps):
            if not waiting:
                waiting = kinds[:steps]
                self.source.shuffle(waiting)
            action = waiting.pop()
            self.say(action.__name__)
            action()
            self.wait_for(15)

    def end(self, result):
        self.say("end")
        self.cluster.wait_leader()
        for writer in list(self.writers.values()):
            writer.end()
        self.cluster.wait_caught_up()
        self.cluster.down_all()
        if self.cluster.check_equal:
            self.cluster.assert_equal()
        with open(result + "/acks", "w") as acks:
            for writer in list(self.writers.values()) + self.retired:
                for line in writer.child.read():
                    if not line.startswith("failed"):
                        acks.write(line + "\n")
            for line in self.told:
                acks.write(line + "\n")


def spoil(disk):
    """What a disk holds where the device does not reach yet may be anything."""
    file = os.open(disk.path, os.O_RDWR | os.O_DIRECT | os.O_DSYNC)
    for first, end in ((TABLE_BLOCK + 1, TABLE_BLOCK + 2),
                       (DATA_BLOCK + DEVICE_BLOCKS - 2, DATA_BLOCK + MOST_BLOCKS)):
        for block in range(first, end, 16):
            count = min(16, end - block)
            os.pwritev(file, [direct_buffer(b"rubbish!" * (count * BLOCK // 8))],
                       block * BLOCK)
    os.close(file)


def main():
    seed = int(sys.argv[1])
    shape = Shape(sys.argv[2])
    steps = sys.argv[3]
    result = os.environ["QBD_RESULT"]
    source = random.Random(seed)
    disks = [LoggedDisk(DISK_MIB, completion_ns=COMPLETION_NS) for _ in range(shape.disks)]
    trace = Trace(disks)
    for disk in disks:
        spoil(disk)
    facts = ["seed %d" % seed, "blocks %d" % (DISK_MIB * 1048576 // BLOCK)]
    facts += ["witness %d" % number for number in shape.witnesses]
    with shape.cluster(disks) as cluster:
        facts.append("made %d" % time.monotonic_ns())
        cluster.up()
        cluster.wait_leader()
        work = Run(cluster, source)
        work.start_writers()
        work.act(steps)
        work.end(result)
        cluster.check_equal = False
        trace.end(result + "/trace")
        members = work.members()
        facts.append("members %d" % len(members))
        facts += ["device %d %d %d" % (member.number, os.major(member.disk.number_logged),
                                       os.minor(member.disk.number_logged))
                  for member in members]
        for member in members:
            member.disk.end_log("%s/member-%d.log" % (result, member.number))
        facts += work.facts
        facts.append("size %d" % Writer.blocks)
        with open(result + "/facts", "w") as file:
            file.write("\n".join(facts) + "\n")
    stuck = end_children()
    if stuck:
        sys.exit("left behind: " + ", ".join(stuck))


if __name__ == "__main__":
    sys.exit(main())
