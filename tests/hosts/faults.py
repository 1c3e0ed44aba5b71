# SPDX-License-Identifier: GPL-2.0
"""Faults of hosts, disks, clocks and network, one at a time, in pairs, and at random.

Clients on all hosts read and write (history.py).  Before each step all members are in
step.  While it lasts, I/O has to go on where a majority is left to a host; after it, on
every host.

Machines that stand still have clocks that stand still, so reads ask a quorum here
(--read quorum), as Documentation/promises.rst says; but where a clock drifts and no machine
stands still they go by the lease.
"""

import collections
import concurrent.futures
import itertools
import json
import os
import random
import threading
import time

from device import REPO, Device, tap
from disk import BLOCK, durable_records, layout, on_disk, read_block, write_block
from history import History
import cuts
import spoilt

OUT = os.path.join(REPO, "build", "hosts-random")
HISTORY_FIRST = 0
BURST_AT = 64           # MiB, behind the history
BURST = 24              # MiB, more than the log
SPARE = 256             # blocks at the end, which are written once, and nobody reads
GO_ON = 3               # operations of each client's host
LASTS = (0.3, 3.0)      # seconds, where there is no majority that could go on
# Bytes of a frame that still pass a black hole: those of Ethernet, of a tunnel, a block.
HOLES = (1514, 1294, 4500)
# Microseconds of a tick: 8 % between the fastest clock and the slowest, and the lease allows
# for 10.
TICK = 10000
TICKS = (9600, 10400)
INTERFACE = "$(basename /sys/class/net/e*)"


class Fault:
    """Something that goes wrong, at one host, and gets right again."""
    rank = 0            # what needs the host's help begins first and ends last
    lasts = 0.0         # seconds at least, alone or with another one
    restarts = False    # it is the host's end for a while: nothing else goes with it
    first = False       # all is well when it begins
    last = False        # nothing else is there when it ends
    commands = False    # it needs commands on the host
    everywhere = False  # on all hosts
    apart = ()          # kinds that it does not go with,
    apart_here = ()     # nor if they are at the same host
    together = ()       # all faults of a step; of a storm nobody knows

    def __init__(self, run, host):
        self.run = run
        self.host = host
        self.others = [other for other in run.hosts if other is not host]

    def __str__(self):
        return "%s at %s" % (type(self).__name__, self.host.name)

    def places(self):
        """Hosts whose machine or disk it takes; there is one such fault at each."""
        return set()

    def weak(self):
        """Hosts whose members do not count towards a majority."""
        return set()

    def mute(self):
        """Hosts where I/O need not go on."""
        return self.weak()

    def begin(self):
        raise NotImplementedError

    def act(self):
        """All that goes with it has begun."""

    def end(self):
        pass

    def check(self):
        """It is over, and all is well again."""

    def may_end(self, active):
        """What it needs for its end is there."""
        if self.last:
            return active == [self]
        return not self.commands or not any(
            isinstance(other, Pause) and other.host is self.host for other in active)

    def collides(self, other):
        """They cannot be at a time, says this one."""
        return isinstance(other, self.apart) or self.host is other.host and (
            self.restarts or isinstance(other, self.apart_here))

    def silences(self):
        """Its host takes no commands."""
        return self.restarts


class HostFault(Fault):
    """Of a machine or its disk."""

    def places(self):
        return {self.host}


class Pause(HostFault):
    """The machine is stopped, and with it its clock."""
    rank = 2
    clock = "stops"

    def weak(self):
        return {self.host}

    def silences(self):
        return True

    def begin(self):
        self.host.pause(self.clock)

    def end(self):
        self.host.resume()


class LatePause(Pause):
    """The machine is stopped; its clock goes on, and it wakes up late."""
    clock = "runs"


class PowerCut(HostFault):
    """The machine is killed; what its disk had not flushed is lost."""
    rank = 2
    restarts = True

    def weak(self):
        return {self.host}

    def begin(self):
        self.run.power_cut(self.host)

    def end(self):
        self.run.come_back(self.host)


class LeaderPowerCut(PowerCut):
    """That of whoever leads, or of the host that was drawn if nobody does."""

    def __init__(self, run, host):
        super().__init__(run, run.leader() or host)


class DiskFails(HostFault):
    """Every request to the disk fails.  It is not used any more until it was replaced, or
    the host restarted."""
    rank = 2
    restarts = True

    def weak(self):
        return {self.host}

    def mute(self):
        return set()

    def begin(self):
        self.host.fail_disk(True)

    def end(self):
        self.run.power_cut(self.host)
        self.host.fail_disk(False)
        self.run.come_back(self.host)


class Rot(HostFault):
    """Blocks of the disk are something else than they were, while the member runs or while its
    host is off: some of the log, which has checksums, and some of the data, where nobody reads.
    At the others all of it is good.  A member that ran starts anew, and reads its log.
    """
    rank = 2
    restarts = first = True

    def __init__(self, run, host):
        super().__init__(run, host)
        self.source = random.Random(run.source.random())
        self.running = self.source.random() < 0.5
        self.rotten = {}            # block of the device: what is there now

    def __str__(self):
        return "%s (%s)" % (super().__str__(), "running" if self.running else "off")

    def weak(self):
        return {self.host}

    def mute(self):
        return set() if self.running else self.weak()

    def begin(self):
        if not self.running:
            self.run.power_cut(self.host)
        dump = on_disk(self.host, "--records")
        places = layout(dump)
        self.data = places["data_block"]
        for number in self.source.sample(range(SPARE), 3):
            block = self.run.spare + number
            self.rotten[block] = self.source.randbytes(BLOCK)
            write_block(self.host, self.data + block, self.rotten[block])
        applied, others = durable_records(dump)
        self.records = [self.source.choice(some) for some in (applied, others) if some]
        for record in self.records:
            place = record["position"] + self.source.randrange(1 + record["data_blocks"])
            write_block(self.host, places["log_block"] + place % places["log_blocks"],
                        self.source.randbytes(BLOCK))
        if others and not self.running:
            tap.equal(on_disk(self.host)["log"]["verdict"], "damaged", "the log of %s" % self)

    def end(self):
        if self.running:
            self.run.power_cut(self.host)
        # What rotted may be applied by now, and then nothing is lost.
        damaged = on_disk(self.host)["log"]["verdict"] == "damaged"
        self.run.come_back(self.host)
        tap.check(not damaged or self.host.try_run(
            "dmesg | grep -q 'neither votes nor leads until'")[0] == 0,
            "%s lost acknowledged records, and does not know it" % self.host.name)

    def check(self):
        """What is rotten is named, nothing else is, and it is mended on request.  (Its host may
        have been filled meanwhile.)"""
        still = {(self.host.number, block) for block, content in self.rotten.items()
                 if read_block(self.host, self.data + block) == content}
        tap.equal(self.run.different(), still, "what verify found")
        self.run.different("--repair")
        tap.equal(self.run.different(), set(), "what verify found after a repair")
        tap.comment("records %s and %d blocks of the data rotted; of these %d still had to be "
                    "repaired" % ([record["index"] for record in self.records],
                                  len(self.rotten), len(still)))


class DiskHangs(HostFault):
    """The disk answers nothing.  Stopping the machine would wait for it."""
    rank = 3

    def weak(self):
        return {self.host}

    def mute(self):
        return set()

    def begin(self):
        self.host.freeze_disk()

    def end(self):
        self.host.thaw_disk()


class SlowDisk(HostFault):
    """The disk takes a few requests a second."""
    rank = 1

    def begin(self):
        self.host.slow_disk(self.run.source.choice((8, 20, 50)))

    def end(self):
        self.host.slow_disk(0)


class FullLog(HostFault):
    """More is written than the log takes, and the disks of two members are slow."""
    rank = -1
    commands = last = True

    def places(self):
        return {self.host, self.others[0]}

    def begin(self):
        for host in self.places():
            host.slow_disk(50)
        self.writer = self.host.spawn(
            "dd if=/dev/urandom of=/dev/qbd0 bs=1M oflag=direct seek=%d count=%d 2>&1" %
            (BURST_AT, BURST))

    def end(self):
        for host in self.places():
            host.slow_disk(0)
        tap.equal(self.writer.wait(180), 0, "status of a long write: %s" %
                  self.writer.text())


class TakeOver(Fault):
    """The device is one host's, and another one takes it by force, from one that is there, or
    whose machine stands still.  What the old one has under way fails, and lands before that or
    never.
    """
    rank = -1
    commands = everywhere = first = last = True
    apart = (FullLog,)              # which writes wherever it is

    def __init__(self, run, host):
        super().__init__(run, host)
        self.source = random.Random(run.source.random())
        self.new = self.source.choice(self.others)
        self.clock = self.source.choice((None, "stops", "runs"))

    def __str__(self):
        return "%s (%s)" % (super().__str__(), {
            None: "there", "stops": "paused", "runs": "paused late"}[self.clock])

    def mute(self):
        return set(self.run.hosts) - {self.new}

    def begin(self):
        self.run.set_claim(self.host, "mode vol0 exclusive", [self.host])
        self.run.wait_for_io([self.host], "the device is its own")

    def act(self):
        rest = [fault for fault in self.together if fault is not self]
        troubled = set().union(*(fault.weak() | fault.mute() for fault in rest))
        if self.new in troubled:
            self.new = next((host for host in self.others if host not in troubled), self.new)
        # What else is wrong may stop the machine, or need it.
        self.paused = self.clock and not rest
        if self.paused:
            self.host.pause(self.clock)
        self.taking = self.run.pool.submit(self.take)
        if not rest:
            self.settle()

    def take(self):
        """Where no majority is there it comes to its end when one is."""
        self.run.history.take_over(self.host, lambda: self.run.claim(
            self.new, "take vol0 --force"))
        self.run.writers = [self.new]
        self.run.history.start(self.new)

    def settle(self):
        """It has come to its end, and the old one's clients to theirs."""
        self.taking.result()
        if self.paused:
            self.host.resume()
            self.paused = None
        self.run.history.wait_fenced(self.host)

    def end(self):
        self.settle()
        # What is there now, whoever wrote it; the old one writes anew behind that.
        self.run.history.read_all(self.new)
        self.run.history.stop()
        # Else it is claimed again as soon as hosts can.  (Not if that one has restarted.)
        self.run.claim(self.new, "release vol0", "does not have it claimed")
        self.run.set_claim(self.new, "mode vol0 shared", self.run.hosts)


class ClockJump(Fault):
    """The clock of the day is set, by hours, forwards or backwards."""
    commands = True

    def begin(self):
        hours = self.run.source.choice((-48, -1, 1, 48))
        self.host.run("date -s @$(($(date +%%s) + %d))" % (3600 * hours))


class Drift(Fault):
    """Of all hosts but this one the clocks are too slow, and its own is too fast; or the other
    way round.  All of what they measure time with: leases, election timeouts."""
    rank = -1
    commands = everywhere = last = True

    def __init__(self, run, host):
        super().__init__(run, host)
        self.own, self.rest = run.source.choice((TICKS, TICKS[::-1]))
        # So many leases, and elections if something else goes with it.
        self.lasts = 3.0

    def __str__(self):
        return "%s (%d us, the others %d us)" % (super().__str__(), self.own, self.rest)

    def begin(self):
        lease = self.together and not any(other.silences() for other in self.together)
        for host in self.run.hosts:
            self.run.set_tick(host, self.own if host is self.host else self.rest)
            if lease:
                host.run("qbdadm set vol0 --read lease")

    def end(self):
        for host in self.run.hosts:
            self.run.set_tick(host, TICK)
            host.run("qbdadm set vol0 --read quorum")


class Isolated(Fault):
    """No frame to the other hosts or from them."""

    def ways(self):
        return [(self.host.number, other.number) for other in self.others] + \
            [(other.number, self.host.number) for other in self.others]

    def weak(self):
        return {self.host}

    def begin(self):
        self.run.blocked[self] = self.ways()
        self.run.block()

    def end(self):
        del self.run.blocked[self]
        self.run.block()


class Deaf(Isolated):
    """No frame to this host; those that it sends arrive."""

    def ways(self):
        return [(other.number, self.host.number) for other in self.others]


class Dumb(Isolated):
    """No frame from this host; those to it arrive."""

    def ways(self):
        return [(self.host.number, other.number) for other in self.others]


class PairCut(Isolated):
    """Two hosts do not hear each other; both reach the third one."""

    def ways(self):
        other = self.others[0]
        return [(self.host.number, other.number), (other.number, self.host.number)]

    def mute(self):
        return {self.host, self.others[0]}


class BlackHole(Isolated):
    """Frames above some size are lost, and nobody is told: on the way to the host, from it,
    or both.  Small ones pass, so that everybody hears of everybody.

    The host is not one that reaches a majority: what it writes, or is sent, may never arrive.
    The others are.
    """

    def __init__(self, run, host):
        super().__init__(run, host)
        self.size = run.source.choice(HOLES)
        self.directions = run.source.choice(("from", "to", "from and to"))
        # Until connections are given up for want of acknowledgements, or not so long.
        self.lasts = run.source.choice((1.0, 12.0))

    def __str__(self):
        return "%s (%s, %d bytes)" % (super().__str__(), self.directions, self.size)

    def ways(self):
        return [(source, target, self.size) for source, target in super().ways()
                if ("from" if source == self.host.number else "to") in self.directions]


class ByTurns(Fault):
    """Something of the host is off for a moment, and on for a moment, all the time."""
    periods = ()        # seconds off, seconds on

    def __init__(self, run, host):
        super().__init__(run, host)
        self.period = run.source.choice(self.periods)
        self.lasts = run.source.uniform(3, 8)

    def __str__(self):
        return "%s (%g s, %g s)" % (super().__str__(), *self.period)

    def switch(self, on):
        raise NotImplementedError

    def begin(self):
        self.over = threading.Event()
        self.turns = self.run.pool.submit(self.take_turns)

    def take_turns(self):
        off, on = self.period
        while not self.over.is_set():
            self.switch(False)
            self.over.wait(off)
            self.switch(True)
            self.over.wait(on)

    def end(self):
        self.over.set()
        self.turns.result()


class Flapping(ByTurns):
    """The host's link goes down and comes up again, all the time."""
    periods = ((0.2, 0.2), (0.5, 1.0), (1.0, 0.5), (1.5, 1.5))

    def weak(self):
        return {self.host}

    def switch(self, on):
        self.host.link(on)


class Starved(ByTurns, HostFault):
    """The machine has a part of a processor's time: it stands still, its clock does not, and
    goes on, many times a second.  The member is slow, and counts."""
    periods = ((0.08, 0.02), (0.04, 0.02), (0.25, 0.1))
    apart_here = (Pause,)           # each would end the other one

    def switch(self, on):
        self.host.stall(not on)


class BadNetwork(Fault):
    """What the host sends is delayed, lost, repeated, reordered, damaged."""
    commands = True
    ways = ("delay 20ms 10ms", "delay 5ms 5ms loss 3%", "delay 10ms reorder 20%",
            "duplicate 20% loss 1%", "rate 2mbit", "delay 2ms corrupt 2%")

    def begin(self):
        self.host.run("tc qdisc replace dev %s root netem %s" % (
            INTERFACE, self.run.source.choice(self.ways)))

    def end(self):
        self.host.run("tc qdisc del dev %s root" % INTERFACE, timeout=120)


class Far(BadNetwork):
    """The host is far away: its round trips are long.  (Those between two such hosts as well, and
    still less than half a second.)"""
    ways = ("delay 100ms", "delay 150ms 30ms", "delay 200ms")
    apart_here = (BadNetwork,)      # there is one such setting

    def __init__(self, run, host):
        super().__init__(run, host)
        self.lasts = run.source.uniform(2, 6)


class Reset(Fault):
    """The host's connections are reset, one after the other, again and again."""
    commands = True

    def __init__(self, run, host):
        super().__init__(run, host)
        self.lasts = run.source.uniform(0.5, 4)

    def weak(self):
        return {self.host}

    def begin(self):
        # Without tcp_diag ss reads /proc, kills nothing and says that all went well.
        self.host.run("modprobe tcp_diag")
        self.before = self.resets()
        self.command = self.host.spawn(
            "while [ ! -e /tmp/reset-no-more ]; do ss -K state established '( dport = :7900 or "
            "sport = :7900 )' >/dev/null; sleep 0.1; done; rm /tmp/reset-no-more")

    def resets(self):
        """Connections of the host that have ended so."""
        return int(self.host.run("awk '/^Tcp:/ { found = $9 } END { print found }' "
                                 "/proc/net/snmp"))

    def end(self):
        self.host.run("touch /tmp/reset-no-more")
        tap.equal(self.command.wait(60), 0, "resetting: " + self.command.text())
        # With another fault there may be none left to be reset.
        tap.check(len(self.together) != 1 or self.resets() > self.before,
                  "no connection of %s was reset" % self.host.name)


class Demoted(Fault):
    """This member is to vote no more, and then to vote again."""
    rank = -1
    commands = last = True
    lasts = 1.0

    def weak(self):
        return {self.host}

    def mute(self):
        return set()

    def begin(self):
        self.command = self.host.spawn("qbdadm member demote vol0 %s --wait 120" %
                                       cuts.NAMES[self.host.number])

    def end(self):
        # Refused, or not done in time, if too few were there: then nothing is to be undone.
        self.command.wait(180)
        promote = self.host.spawn("qbdadm member promote vol0 %s --wait 120" %
                                  cuts.NAMES[self.host.number])
        if promote.wait(180):
            tap.check("is so already" in promote.text(), promote.text())


class Move(Fault):
    """Leadership is moved to this host by hand.  It may be refused."""
    commands = True

    def begin(self):
        self.command = self.host.spawn("qbdadm leader move vol0 %s" %
                                       cuts.NAMES[self.host.number])

    def end(self):
        self.command.wait(120)

    def may_end(self, active):
        return active == [self] or self.command.ended()


KINDS = (Pause, LatePause, Starved, PowerCut, LeaderPowerCut, DiskFails, DiskHangs, SlowDisk, Rot,
         FullLog, ClockJump, Drift, Isolated, Deaf, Dumb, PairCut, BlackHole, Flapping, BadNetwork,
         Far, Reset, Move, Demoted, TakeOver)
# What make check does of them.
SHORT = ((Pause,), (Isolated,), (ClockJump, Deaf), (TakeOver,))


class Faults:
    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.hosts = cluster.hosts
        self.writers = cluster.hosts        # where clients are
        self.source = random.Random(seed)
        self.device = Device(cluster, "vol0", cuts.NAMES)
        self.blocked = {}
        self.kinds = KINDS          # that are drawn
        self.active = []            # in a storm
        self.counts = collections.Counter()
        self.longest = 0.0
        # All of them may flap, and starve, and be asked; and one takes the claim over.
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=4 * len(self.hosts))

    def set_up(self):
        self.device.make()
        self.history = History(self.device, HISTORY_FIRST)
        self.history.check_clock()
        first = self.hosts[0]
        self.spare = int(first.run("blockdev --getsize64 /dev/qbd0")) // BLOCK - SPARE
        first.run("dd if=/dev/urandom of=/dev/qbd0 bs=%d count=%d seek=%d oflag=direct "
                  "status=none" % (BLOCK, SPARE, self.spare), timeout=120)
        for host in self.hosts:
            self.start(host)

    def start(self, host):
        host.run("qbdadm set vol0 --read quorum")
        if host in self.writers:
            self.history.start(host)

    def power_cut(self, host):
        host.power_cut()
        self.history.lost_power(host)

    def come_back(self, host):
        host.boot()
        self.device.up(host)
        self.start(host)

    def answering(self):
        """Hosts that take commands, by what goes on in a storm."""
        off = {fault.host for fault in self.active if fault.silences()}
        return [host for host in self.hosts if host not in off]

    def leader(self):
        """Who leads by what most of them say, or None."""
        leader, count = self.device.named_leader(self.answering())
        return leader if count > 1 else None

    @staticmethod
    def claim(host, order, needless=None):
        """It is done, by whoever leads then; or needless, if it says so."""
        def done():
            status, text = host.try_run("qbdadm claim " + order)
            return not status or needless and needless in text
        tap.wait_until(done, 180, "%s: qbdadm claim %s" % (host.name, order))

    def set_claim(self, host, order, writers):
        """The mode of claims is changed where nobody has the device open; then these write."""
        self.history.stop()
        self.claim(host, order)
        self.writers = writers
        for writer in writers:
            self.history.start(writer)

    def different(self, *options):
        """What verify names of the spare blocks when it has compared them at all members: members
        and blocks."""
        def compared():
            _, text = self.hosts[0].try_run("qbdadm verify vol0 --json --from %d %s" % (
                self.spare * BLOCK, " ".join(options)), timeout=240)
            found = text.startswith("{") and json.loads(text)
            # Leadership that moves may end it.
            return found and found["state"] == "done" and not any(
                member["reason"] for member in found["members"]) and found
        found = tap.wait_until(compared, 180, "all members are compared")
        return {(one["member"], one["first"] + number) for one in found["differences"]
                for number in range(one["count"])}

    @staticmethod
    def set_tick(host, tick):
        host.run("adjtimex -q -t %d" % tick)

    def block(self):
        """The ways that any fault blocks."""
        self.cluster.block(sorted(set(itertools.chain(*self.blocked.values()))))

    def all_well(self, what):
        """I/O goes on everywhere, and everybody has everything."""
        views = {}

        def in_step():
            self.history.check_alive()
            views.update(zip(self.hosts, self.pool.map(self.device.status, self.hosts)))
            return self.device.in_step(views)
        try:
            tap.wait_until(in_step, 180, "all members in step: " + what)
        except tap.Failure:
            for host, view in views.items():
                tap.comment("%s: %s" % (host.name, json.dumps(view)))
            raise
        self.history.wait_for(GO_ON, self.hosts, what)

    # One or two at a time.

    def draw(self, kinds):
        """A fault of each kind, at hosts where they go together."""
        while True:
            faults = [kind(self, self.source.choice(self.hosts)) for kind in kinds]
            if not any(one.collides(other) for one, other in itertools.permutations(faults, 2)):
                return sorted(faults, key=lambda fault: fault.rank)

    def step(self, *kinds):
        faults = self.draw(kinds)
        name = " and ".join(map(str, faults))
        begin = time.monotonic()
        for fault in faults:
            fault.together = faults
            fault.begin()
        for fault in faults:
            fault.act()
        weak = set().union(*(fault.weak() for fault in faults))
        mute = set().union(*(fault.mute() for fault in faults))
        goes_on = [host for host in self.hosts if host not in mute]
        lasts = max(fault.lasts for fault in faults)
        waited = 0.0
        if len(weak) < 2 and goes_on:
            waited = self.wait_for_io(goes_on, name)
            if lasts:
                time.sleep(max(0, begin + lasts - time.monotonic()))
                waited = max(waited, self.wait_for_io(goes_on, name + ", later"))
        else:
            time.sleep(max(lasts, self.source.uniform(*LASTS)))
        for fault in reversed(faults):
            fault.end()
        self.all_well("after " + name)
        for fault in faults:
            fault.check()
        self.counts[len(kinds)] += 1
        tap.comment("%s%s: %.1f s, of which I/O waited %.1f s" % (
            name, "" if len(weak) < 2 else " (no majority)", time.monotonic() - begin, waited))

    def wait_for_io(self, hosts, what):
        took = self.history.wait_for(GO_ON, hosts, what)
        self.longest = max(self.longest, took)
        return took

    # At random.

    @staticmethod
    def may_begin(fault, active):
        """Nothing else is there that it cannot go with."""
        if fault.everywhere and any(other.silences() for other in active):
            return False
        if any(fault.places() & other.places() or fault.collides(other) or
               other.collides(fault) for other in active):
            return False
        there = [other for other in active if other.host is fault.host]
        if any(type(other) is type(fault) for other in there):
            return False
        return not fault.commands or not any(isinstance(other, Pause) for other in there)

    def storm(self, steps=8):
        """Some begin, some end, several at a time; then all end, and all is well."""
        active = self.active = []
        seen = []
        story = []
        begin = time.monotonic()

        def end(fault):
            active.remove(fault)
            story.append("-%s at %s" % (type(fault).__name__, fault.host.name))
            fault.end()
        for _ in range(steps):
            ends = [fault for fault in active if fault.may_end(active)]
            if ends and (len(active) > 2 or self.source.random() < 0.3):
                end(self.source.choice(ends))
                continue
            fault = self.source.choice(self.kinds)(self, self.source.choice(self.hosts))
            if fault.first and seen or not self.may_begin(fault, active):
                continue
            story.append("+%s" % fault)
            fault.begin()
            fault.act()
            active.append(fault)
            seen.append(fault)
            time.sleep(self.source.uniform(0.05, 1.0))
        while active:
            end(max(active, key=lambda fault: fault.rank))
        tap.comment("storm: " + ", ".join(story))
        self.all_well("after a storm")
        for fault in seen:
            fault.check()
        self.counts["storm"] += 1
        tap.comment("it took %.1f s" % (time.monotonic() - begin))

    def finish(self):
        self.history.stop()
        for host in self.hosts:
            self.history.read_all(host)
        self.history.check(keep=os.path.join(OUT, "history"))
        self.device.check_equal()
        self.cluster.check_logs()


def in_order(run, minutes, kinds):
    """Each kind, each pair of kinds, then storms, until the time is up.  Of some kinds: each
    and each pair, again and again."""
    end = time.monotonic() + 60 * minutes
    run.kinds = kinds
    singles = [(kind,) for kind in kinds]
    pairs = [(one, other) for one, other in itertools.combinations(kinds, 2)
             if not issubclass(one, other.apart) and not issubclass(other, one.apart)]
    while True:
        run.source.shuffle(singles)
        run.source.shuffle(pairs)
        for some in singles + pairs:
            if time.monotonic() > end:
                break
            # A storm now and then, so that short runs have them, too.
            run.step(*some)
            if run.source.random() < 0.15:
                run.storm()
        if kinds is KINDS or time.monotonic() > end:
            break
    while time.monotonic() < end:
        run.storm()
    tap.comment("%d of %d kinds, %d of %d pairs, %d storms; I/O went on within %.1f s "
                "where a majority was left" % (
                    run.counts[1], len(singles), run.counts[2], len(pairs),
                    run.counts["storm"], run.longest) if kinds is KINDS else
                "%d of one kind, %d of two, of %d kinds, %d storms; I/O went on within %.1f s "
                "where a majority was left" % (
                    run.counts[1], run.counts[2], len(kinds), run.counts["storm"],
                    run.longest))


def random_faults(minutes, seed, kinds=KINDS, kernel="6.12"):
    with_faults(seed, lambda run: in_order(run, minutes, kinds), kernel)


def short(seed):
    def some(run):
        for kinds in SHORT:
            run.step(*kinds)
    with_faults(seed, some, spoil=True)


def with_faults(seed, body, kernel="6.12", spoil=False):
    """With spoil there was a take-over; what was found good is made bad, and found so."""
    with cuts.machines(seed, OUT, kernel) as cluster:
        run = Faults(cluster, seed)
        try:
            run.set_up()
            body(run)
            run.finish()
            if spoil:
                spoilt.take_over(run.history)
        except BaseException:
            cuts.keep_logs(cluster, OUT)
            raise
