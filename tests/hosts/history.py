# SPDX-License-Identifier: GPL-2.0
"""Clients on all hosts whose operations are recorded and checked.

The recorder is tests/lib/history.c, which says what is in the shared memory; what is
found there is checked by tests/lib/linearizability.py.
"""

import collections
import errno
import mmap
import struct
import time

from device import tap
import linearizability

HEADER = struct.Struct("<QQQQ")
HEADER_SIZE = 4096
EVENT = struct.Struct("<IIQIIQ")
(NONE, CLIENT, READ, WRITE, ZERO, FOUND, FOREIGN, DONE, ERROR, STOPPED) = range(10)
KINDS = {READ: "read", WRITE: "write", ZERO: "zero"}

NEVER = linearizability.NEVER
THREADS = 2
BLOCKS = 4              # that each of them writes
COUNTED = 50000

Pending = collections.namedtuple("Pending", "kind slot block count value")

# A claim that was taken from a host, between two moments: from the first on its clients may
# fail, nothing of theirs lands after the second.
Taken = collections.namedtuple("Taken", "host begin end")


class History:
    """Clients of the device on all hosts, and what they saw of it."""

    def __init__(self, device, first_block, pause_us=30000):
        self.device = device
        self.hosts = device.hosts
        self.first_block = first_block
        self.pause_us = pause_us
        self.blocks = len(self.hosts) * THREADS * BLOCKS
        self.commands = {}
        self.doomed = {}            # clients that are to fail
        self.taken = []
        with open(device.cluster.shared, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        self.seen = 0
        self.host_of = {}
        self.done = collections.Counter()

    # Words of the shared memory.

    def header(self):
        return HEADER.unpack_from(self.memory)

    def now(self):
        return self.header()[0]

    def set_stop(self, host, value):
        struct.pack_into("<Q", self.memory, HEADER.size + 8 * (host.number - 1), value)

    def event(self, slot):
        return EVENT.unpack_from(self.memory, HEADER_SIZE + slot * EVENT.size)

    # Clients.

    def check_clock(self):
        """Hosts that count at the same time count right: slots are a clock."""
        before = self.header()[2]
        counting = [host.spawn("/qbd/history count %d" % COUNTED) for host in self.hosts]
        for command in counting:
            tap.equal(command.wait(60), 0, "counting: " + command.text())
        tap.equal(self.header()[2] - before, COUNTED * len(self.hosts),
                  "additions of all hosts to one word")

    def start(self, host):
        self.set_stop(host, 0)
        self.commands[host] = host.spawn(
            "exec nice -n 10 /qbd/history run /dev/qbd0 %d %d %d %d %d %d" % (
                self.first_block, host.number, len(self.hosts), THREADS, BLOCKS,
                self.pause_us))

    def lost_power(self, host):
        self.commands.pop(host, None)
        self.doomed.pop(host, None)

    def take_over(self, host, take):
        """Another host takes the claim from this one, and has it when take() returns."""
        command = self.commands.pop(host, None)
        if command:
            self.doomed[host] = command
        begin = self.now()
        take()
        self.taken.append(Taken(host.number, begin, self.now()))

    def wait_fenced(self, host):
        """Its clients end, with an error, unless it lost its power."""
        command = self.doomed.pop(host, None)
        if command:
            tap.equal(command.wait(120), 1, "the clients on %s, which was fenced: %s; their "
                      "status" % (host.name, command.text()))
            tap.check("Input/output error" in command.text(), command.text())

    def check_alive(self):
        for host, command in list(self.commands.items()):
            tap.check(not command.ended(), "the clients on %s ended: %s" %
                      (host.name, command.text()))

    def look(self):
        """Count what has been done since the last look."""
        taken = min(self.header()[0], (len(self.memory) - HEADER_SIZE) // EVENT.size)
        for slot in range(self.seen, taken):
            kind, client, value, *_ = self.event(slot)
            if kind == CLIENT:
                self.host_of[client] = value
            elif kind == DONE:
                self.done[self.host_of.get(client)] += 1
        self.seen = taken

    def wait_for(self, count, at, what, seconds=120):
        """Until the clients of each of these hosts have done so much more."""
        self.look()
        start = {host: self.done[host.number] for host in at}

        def there():
            self.check_alive()
            self.look()
            return all(self.done[host.number] >= start[host] + count for host in at)
        begin = time.monotonic()
        tap.wait_until(there, seconds, "%d more operations on each of %s: %s" % (
            count, ", ".join(host.name for host in at), what))
        return time.monotonic() - begin

    def stop(self):
        for host in self.commands:
            self.set_stop(host, 1)
        for host, command in self.commands.items():
            tap.equal(command.wait(120), 0, "the clients on %s: %s; their status" %
                      (host.name, command.text()))
        self.commands.clear()

    def read_all(self, host):
        """Each block once: what was acknowledged is there."""
        host.run("/qbd/history read /dev/qbd0 %d %d" % (self.first_block, self.blocks),
                 timeout=120)

    # What came of it.

    def taken_from(self, host, slot):
        """When a claim was first taken from the clients of a host that began at this moment."""
        return min((one for one in self.taken if one.host == host and slot < one.end),
                   default=Taken(host, NEVER, NEVER), key=lambda one: one.end)

    def operations(self):
        """The history, as linearizability.py has it; the lines of failures."""
        slots, _, _, lost = self.header()
        tap.equal(lost, 0, "events for which there was no room in the shared memory")
        pending, names, taken, history, failures = {}, {}, {}, [], []

        def add(client, one, block, value, end, outcome):
            history.append(linearizability.Operation(
                names[client], block, KINDS[one.kind], value, one.slot, end, outcome))

        def close(client, end, outcome):
            one = pending.pop(client)
            if one.kind == READ:
                return
            # Of the one who was fenced nothing lands after that, whenever he is told so.
            end = min(end, taken[client].end)
            if one.slot > end:
                if outcome == "ok":
                    fail(client, one.block, "event %d" % one.slot, "fenced, and it wrote")
                end, outcome = NEVER, "failed"
            for number in range(one.count):
                add(client, one, one.block + number,
                    one.value + number if one.kind == WRITE else 0, end, outcome)

        def fail(client, block, when, text):
            failures.append("%s, block %d, %s: %s" % (names[client], block, when, text))
        for slot in range(slots):
            kind, client, value, block, count, boottime = self.event(slot)
            when = "%.6f s after its boot" % (boottime / 1e9)
            if kind == CLIENT:
                names[client] = "h%d.%d.%d" % (value, count, client)
                taken[client] = self.taken_from(value, slot)
            elif kind in KINDS:
                pending[client] = Pending(kind, slot, block, count, value)
            elif kind == FOUND:
                add(client, pending[client], block, value, slot, "ok")
            elif kind == DONE:
                close(client, slot, "ok")
            elif kind == FOREIGN:
                fail(client, block, when, "torn or foreign, begins with %#x" % value)
            elif kind == ERROR:
                if value != errno.EIO or slot < taken[client].begin:
                    fail(client, block, when, "errno %d" % value)
                close(client, NEVER, "unknown")
        # Of hosts without power.
        for client in list(pending):
            close(client, NEVER, "unknown")
        return history, failures

    def check(self, keep=None):
        """No failure, and every block linearizable; how many operations that were."""
        self.look()
        history, failures = self.operations()
        if keep:
            self.save(history, keep)
        tap.check(not failures, "operations that failed:\n" + "\n".join(failures[:20]))
        wrong = linearizability.check(history)
        tap.check(not wrong, "not linearizable%s:\n%s" % (
            ": see %s" % keep if keep else "", "\n".join(
                "block %s: %s" % (block, "\n".join(lines))
                for block, lines in wrong.items())))
        kinds = collections.Counter((one.kind, one.outcome) for one in history)
        tap.comment("history: %d operations on %d blocks, linearizable: %s" % (
            len(history), self.blocks, ", ".join(
                "%d %s %s" % (count, outcome, kind)
                for (kind, outcome), count in sorted(kinds.items()))))
        self.check_worth(history)
        return len(history)

    def check_worth(self, history):
        """Readers have met writers of other hosts while these wrote."""
        writers = {}
        for one in history:
            if one.kind == "write":
                writers[(one.block, one.value)] = one
        met = sum(1 for one in history if one.kind == "read" and one.value and
                  one.client[:2] != writers[(one.block, one.value)].client[:2])
        tap.comment("%d reads gave what another host had written" % met)
        tap.check(met * 20 > len(history), "hardly anybody read what others wrote")

    @staticmethod
    def save(history, path):
        with open(path, "w") as file:
            for line in linearizability.lines_of(history):
                file.write(line + "\n")
