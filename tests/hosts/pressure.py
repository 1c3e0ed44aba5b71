# SPDX-License-Identifier: GPL-2.0
"""Hosts that are short of memory, with one processor each.

What is written to a file system on the device is more than the memory of its host, and all
of that may be dirty, while a hog takes what there is, until the kernel kills it, and the
next one.  So memory is to be had by writing back, and that needs the device, here and on
other hosts: whatever the device waits for there must not wait for memory.

How long is too long is said in time that the hosts have had: while this machine does other
things than to be their processor, or disk, they have none.
"""

import glob
import mmap
import re
import time

from database import CHECK, MAKE, MOUNT
from device import Device, Hosts, tap
import programs

NAMES = {1: "alpha", 2: "beta", 3: "gamma"}
DEVICE = "/dev/qbd0"
MEMORY = 256            # MiB of each host
ELECTION_SECONDS = 10   # as in membership.py: emulated processors stand still
STILL = 30              # seconds that all hosts have had, in which no request completes of some
PATIENCE = 900          # seconds of this machine, for what makes progress
STREAMED = 96           # MiB written without a flush: more than is free in the beginning
KILLS = 3               # hogs at each host that has them
SWAPPED = 128           # MiB that a hog has where there is swap
# All of the page cache may be dirty, and nobody writes it back before memory is short.
LATE = "sysctl -qw vm.dirty_ratio=90 vm.dirty_background_ratio=80 vm.oom_dump_tasks=0"

WATCH = """
for device in /sys/bus/pci/devices/*; do
	[ "$(cat $device/device)" = 0x1110 ] && break
done
echo 1 >$device/enable
exec /qbd/pressure watch qbd0 $device/resource2 %d
"""

# One after the other.
HOGS = """
while [ ! -e /tmp/stop ]; do
	/qbd/pressure hog %d
	echo "status $?"
done
"""

# Of the file system: how it is written, places, bytes of a chunk, chunks between flushes.
# 96 MiB without a flush, a block at a time with one each, 32 MiB by a mapping.
WRITERS = {"stream": ("write", 1536, 65536, 0),
           "synced": ("write", 1024, 4096, 1),
           "mapped": ("map", 8192, 4096, 4096)}

SPLAT = re.compile(r"page allocation failure|page allocation stalls")
# A function of the trace; not one that is only said to be the work under way.
CALLED = re.compile(r"\]  (?!\? )\S+\+0x[0-9a-f]+/0x[0-9a-f]+")
KILLED = re.compile(r"Killed process \d+ \(([^)]*)\)")


class Lines:
    """A command on a host, and what it says line by line."""

    def __init__(self, host, script):
        self.host = host
        self.rest = b""
        self.last = ""
        self.command = host.spawn(script, sink=self.take)

    def take(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.last = line.decode(errors="replace")
            self.line(self.last)

    def line(self, text):
        raise NotImplementedError

    def check_alive(self):
        tap.check(not self.command.ended(), "%s: a command ended: %s" % (
            self.host.name, self.last))


class Watch:
    """What a host says of itself, in memory that it shares with this machine."""

    def __init__(self, host, shared):
        self.host = host
        self.words = memoryview(shared)[64 * host.number:64 * host.number + 64].cast("Q")
        self.words[5] = 0
        self.least_free = MEMORY
        self.most_dirty = self.most_sockets = 0
        self.command = host.spawn(WATCH % host.number)
        self.waited = self.waits()
        self.time = 0.0             # that it has had since it is watched
        self.looked = time.monotonic()

    def waits(self):
        """Nanoseconds that each thread of the machine and its disk waited for a processor."""
        waits = {}
        for process in (self.host.qemu, self.host.disk_process(1)):
            for path in glob.glob("/proc/%d/task/*/schedstat" % process.pid()):
                try:
                    with open(path) as stat:
                        waits[path] = int(stat.read().split()[1])
                except OSError:
                    pass        # a thread that has ended
        return waits

    def look(self):
        now, waited = time.monotonic(), self.waits()
        longest = max(wait - self.waited.get(path, wait) for path, wait in waited.items())
        self.time += max(0.0, now - self.looked - longest / 1e9)
        self.looked, self.waited = now, waited
        self.least_free = min(self.least_free, self.words[1])
        self.most_dirty = max(self.most_dirty, self.words[2] + self.words[3])
        self.most_sockets = max(self.most_sockets, self.words[4])
        tap.check(not self.command.ended(), "%s is not watched any more: %s" % (
            self.host.name, self.command.text()))

    def __str__(self):
        return ("%s: %d MiB free, %d dirty, %d under writeback, %d KiB in sockets, %d requests "
                "under way" % (self.host.name, *self.words[1:5], self.words[6]))


class Progress:
    """Requests complete at one host, in the time that all hosts have had.

    Where there are none it is not the device that is waited for.
    """

    def __init__(self, cluster, user):
        with open(cluster.shared, "r+b") as file:
            shared = mmap.mmap(file.fileno(), 0)
        self.watches = [Watch(host, shared) for host in cluster.hosts]
        self.words = self.watches[user.number - 1].words
        self.user = user
        self.lines = []             # commands that must not end
        self.longest = 0.0
        self.mark()
        tap.wait_until(lambda: all(watch.words[5] for watch in self.watches), 60,
                       "all hosts are watched")

    def mark(self):
        self.completed = self.words[0]
        self.begun = [watch.time for watch in self.watches]

    def check(self):
        for watch in self.watches:
            watch.look()
        still = min(watch.time - begun for watch, begun in zip(self.watches, self.begun))
        if self.words[0] != self.completed or not self.words[6]:
            self.mark()
        self.longest = max(self.longest, still)
        tap.check(still < STILL, "no request completes at %s in %.1f s of all hosts: %s" % (
            self.user.name, still, "; ".join(map(str, self.watches))))
        for lines in self.lines:
            lines.check_alive()

    def wait(self, condition, what):
        def there():
            self.check()
            return condition()
        tap.wait_until(there, PATIENCE, what)

    def stop(self):
        for watch in self.watches:
            watch.command.kill()
        tap.comment("at most %.1f s without a request that completes; %s" % (
            self.longest, "; ".join(
                "%s: %d MiB free at least, %d dirty at most, %d KiB in sockets" % (
                    watch.host.name, watch.least_free, watch.most_dirty, watch.most_sockets)
                for watch in self.watches)))


class Writer(Lines):
    def __init__(self, host, name):
        self.count = 0
        self.file = "%s/%s" % (MOUNT, name)
        self.how, self.slots, self.bytes, self.every = WRITERS[name]
        super().__init__(host, "exec /qbd/pressure %s %s %d %d %d" % (
            self.how, self.file, self.slots, self.bytes, self.every))

    def line(self, text):
        if text.isdigit():
            self.count = int(text)

    def mib(self):
        return self.count * self.bytes >> 20

    def check(self, host):
        """What another host reads is what was written."""
        host.run("/qbd/pressure check %s %d %d %d" % (self.file, self.slots, self.bytes,
                                                      self.count), timeout=300)


class Hogs(Lines):
    """One takes memory until the kernel kills it; so do those that follow."""

    def __init__(self, host):
        self.killed = 0
        super().__init__(host, HOGS % MEMORY)

    def line(self, text):
        if text == "status 137":
            self.killed += 1
        tap.check(text != "status 1", "a hog at %s" % self.host.name)


def counters(host):
    """What the kernel has done for memory since it came up."""
    return {name: int(value) for name, value in
            (line.split() for line in host.run("cat /proc/vmstat").splitlines())}


def complaints(host):
    """Of its kernel, about memory: who was killed but hogs, what the module did not get.

    Memory that an interrupt does not get is not the module's, whatever it interrupts.
    """
    found, splat = [], []
    with open(host.console, errors="replace") as log:
        for line in log:
            killed = KILLED.search(line)
            if killed and killed.group(1) != "pressure":
                found.append(line.strip())
            if SPLAT.search(line):
                splat = [line.strip()]
            elif "<IRQ>" in line:
                splat = []
            elif splat and "Mem-Info" in line:
                if any("[qbd]" in called for called in splat[1:]):
                    found.append("\n".join(splat))
                splat = []
            elif splat and CALLED.search(line):
                splat.append(line.strip())
    return ["%s: %s" % (host.name, line) for line in found]


class Pressure:
    """The device, who uses it, and the hosts that are short of memory."""

    def __init__(self, cluster, user, short):
        self.cluster = cluster
        self.device = Device(cluster, "vol0", NAMES, claim="exclusive")
        self.user = cluster.host(user)
        self.short = [cluster.host(number) for number in short]
        self.writers = []

    def set_up(self, leader):
        self.device.make()
        self.device.move(self.cluster.host(leader))
        self.before = {host: counters(host) for host in self.short}
        self.term = self.device.status(self.user)["term"]
        for host in self.cluster.hosts:
            host.run("qbdadm set vol0 --election-timeout %d" % (1000 * ELECTION_SECONDS))
            host.run(LATE + "; rm -f /tmp/stop")
            tap.comment("%s: %s" % (host.name, host.run("free -m | grep Mem").strip()))

    def done(self, host):
        """What its kernel has done for memory since the device is there."""
        return {name: value - self.before[host].get(name, 0)
                for name, value in counters(host).items()}

    def stop(self, progress):
        """Whoever takes or writes comes to an end; memory was short where it should be."""
        for host in self.cluster.hosts:
            host.run("touch /tmp/stop", timeout=300)
        for lines in progress.lines:
            tap.equal(lines.command.wait(300), 0, "a command at %s: %s: its status" % (
                lines.host.name, lines.last))
        progress.stop()
        for host in self.short:
            done = self.done(host)
            stalls = sum(value for name, value in done.items()
                         if name.startswith("allocstall"))
            tap.comment("%s: who wanted memory had to reclaim %d times; %d MiB reclaimed by "
                        "kswapd, %d by others; %d killed, %d MiB swapped out" % (
                            host.name, stalls, done["pgsteal_kswapd"] >> 8,
                            done["pgsteal_direct"] >> 8, done["oom_kill"],
                            done["pswpout"] >> 8))
            tap.check(stalls, "%s was not short of memory" % host.name)

    def finish(self):
        """Nobody leads for no reason, all are in step and equal, no kernel complains."""
        leader = self.device.leader()
        tap.comment("%s leads; %d elections" % (
            leader.name, self.device.status(leader)["term"] - self.term))
        self.device.wait_caught_up(PATIENCE)
        self.device.check_equal()
        found = [line for host in self.cluster.hosts for line in complaints(host)]
        tap.check(not found, "\n".join(found))
        self.cluster.check_logs()


def machines(kernel):
    # Pieces of 12 KiB in a row for large packets are not to be had where memory is short: such
    # a packet is dropped on its way out, each time it is sent again. No card that gathers
    # wants that.
    return Hosts(3, kernel=kernel, disks=["512M"], mem=MEMORY, shared="1M", mtu=3000,
                 files=programs.build(["pressure"]))


def written_back(kind, user, leader, short, cut=False, *, kernel):
    """A file system at a host, hogs at hosts that are short."""
    with machines(kernel) as cluster:
        run = Pressure(cluster, user, short)
        run.set_up(leader)
        host = run.user
        host.run(MAKE[kind], timeout=240)
        host.run("mount -t %s %s %s" % (kind, DEVICE, MOUNT), timeout=120)
        progress = Progress(cluster, host)
        writers = [Writer(host, name) for name in WRITERS]
        stream, synced, mapped = writers
        progress.lines = list(writers)
        progress.wait(lambda: all(writer.count for writer in writers), "all write")
        hogs = [Hogs(one) for one in run.short]
        progress.lines += hogs
        progress.wait(lambda: all(one.killed for one in hogs), "memory was short everywhere")

        def goes_on(what, kills, mib, count):
            """Each of them, from here."""
            ends = {stream: stream.count + (mib << 20) // stream.bytes,
                    synced: synced.count + count, mapped: mapped.count + mapped.every}
            killed = {one: one.killed + kills for one in hogs}
            progress.wait(lambda: all(writer.count >= end for writer, end in ends.items()) and
                          all(one.killed >= end for one, end in killed.items()), what)
            tap.comment("%s: %s" % (what, ", ".join(
                "%d MiB %s" % (writer.mib(), name)
                for name, writer in zip(WRITERS, writers))))
        if cut:
            cut_off(run, progress)
            goes_on("written after the cut", 1, 8, 10)
        goes_on("written", KILLS - 1, STREAMED - stream.mib(), 50)

        run.stop(progress)
        host.run("umount " + MOUNT, timeout=300)
        status, text = host.try_run(CHECK[kind], timeout=300)
        tap.check(status == 0, "%s is not clean:\n%s" % (kind, text))
        other = next(one for one in cluster.hosts if one is not host)
        other.run("mount -t %s %s %s" % (kind, DEVICE, MOUNT), timeout=120)
        for writer in writers:
            writer.check(other)
        other.run("umount " + MOUNT, timeout=120)
        run.finish()


def cut_off(run, progress):
    """The user's host loses all its connections, and makes new ones."""
    others = [host for host in run.cluster.hosts if host is not run.user]
    number = run.user.number
    run.cluster.isolate(number)

    def lost():
        return not any(member["connected"] for host in others
                       for member in run.device.status(host)["members"]
                       if member["id"] == number)
    tap.wait_until(lost, 120, "no host is connected to " + run.user.name)
    run.cluster.heal()
    progress.mark()


class Hog(Lines):
    """One that has all that it takes, for there is swap."""

    def __init__(self, host):
        self.taken = self.again = 0
        super().__init__(host, "exec /qbd/pressure hog %d" % SWAPPED)

    def line(self, text):
        if text.isdigit():
            self.taken = int(text)
        self.again += text == "again"


def swap_on_the_device(kernel):
    """The device is swap of a host that does not lead: what it needs it must not wait for.

    There is room for all, so nobody may be killed.
    """
    with machines(kernel) as cluster:
        run = Pressure(cluster, user=2, short=[2])
        run.set_up(leader=1)
        host = run.user
        host.run("mkswap %s && swapon %s" % (DEVICE, DEVICE), timeout=120)
        progress = Progress(cluster, host)
        hog = Hog(host)
        progress.lines = [hog]
        progress.wait(lambda: hog.again >= 2, "all memory was read and written, and swapped")
        run.stop(progress)
        done = run.done(host)
        tap.equal(done["oom_kill"], 0, "killed although there was swap")
        tap.check(done["pswpout"] >> 8 >= SWAPPED // 2, "next to nothing was swapped out")
        host.run("swapoff " + DEVICE, timeout=300)
        run.finish()


def the_leaders_host(kernel):
    written_back("ext4", user=1, leader=1, short=[1], kernel=kernel)


def a_followers_host_that_loses_its_connections(kernel):
    written_back("xfs", user=2, leader=1, short=[2], cut=True, kernel=kernel)


def the_hosts_of_both_followers(kernel):
    written_back("ext4", user=1, leader=1, short=[2, 3], kernel=kernel)


ALL = [the_leaders_host, a_followers_host_that_loses_its_connections,
       the_hosts_of_both_followers, swap_on_the_device]
