# SPDX-License-Identifier: GPL-2.0
"""Members, disks, network and writer as the benchmark and its guard have them.

For guests with virtual time: clocks stand still while anything computes and jump when
nothing does, so that what is measured is waiting alone, for the network, for the disk
and for timers.
"""

import os
import signal
import sys

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests", "cluster"))

from lib.cluster import Cluster  # noqa: E402
from lib.disks import Disk  # noqa: E402
from lib.shell import run, spawn, wait_until  # noqa: E402

RTT_US = 1000
DISK_US = 100
SLOW_FACTOR = 10
LEGS = 4            # queueing disciplines that a packet there and back passes


class Writer:
    """writer.c at work."""

    def __init__(self, program, device, log, count=None, pause_us=0, slots=512):
        self.arguments = [program, "write", device, log]
        self.program, self.device, self.log, self.slots = program, device, log, slots
        self.arguments += [count if count is not None else 1 << 62, pause_us, slots]
        self.process = None

    def start(self):
        self.process = spawn(self.arguments)
        return self

    def run(self):
        """All of its writes, and no more."""
        run(self.arguments, timeout=3600)
        return self

    def writes(self):
        """(number, begin, end) in nanoseconds, of all that completed."""
        try:
            with open(self.log) as log:
                lines = log.read().split("\n")[1:-1]
        except FileNotFoundError:
            return []
        return [tuple(map(int, line.split())) for line in lines]

    def wait_for(self, count, after=0, interval=0.005):
        """Until so many writes have completed after a time; the first of them."""
        def there():
            if self.process.poll() is not None:
                raise AssertionError("the writer ended with status %d" %
                                     self.process.returncode)
            done = [write for write in self.writes() if write[2] > after]
            return done if len(done) >= count else None
        return wait_until("%d writes to %s" % (count, self.device), there,
                          interval=interval)[0]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=30)
        assert status == 0, "the writer ended with status %d" % status

    def verify(self, device=None):
        """What completed is there; how many writes that were in all."""
        return int(run([self.program, "verify", device or self.device, self.log,
                        self.slots]).output)


def bench_disk(size_mib, mbps=0):
    """With room for so much data; it takes so many megabytes a second, or all there are."""
    return Disk(80 + size_mib, completion_ns=DISK_US * 1000, mbps=mbps)


def bench_cluster(count, log_size=None, size_mib=16):
    """Members with the disks and the network of the benchmark."""
    cluster = Cluster(count, size="%dM" % size_mib, log_size=log_size, up=(),
                      disks=[bench_disk(size_mib) for _ in range(count)])
    cluster.mib = size_mib
    try:
        for member in cluster.members:
            cluster.network.shape(member.number, "delay", "%dus" % (RTT_US / LEGS))
    except BaseException:
        cluster.close()
        raise
    return cluster


def shape_link(cluster, member, mbit):
    """Its link takes so much a second, both ways; round trips stay what they are."""
    cluster.network.shape(member.number, "delay", "%dus" % (RTT_US / LEGS), "rate",
                          "%dmbit" % mbit, "limit", "100000")


def slow_down(cluster, member):
    """Round trips with this member take SLOW_FACTOR times as long."""
    rest = RTT_US * SLOW_FACTOR - RTT_US / 2
    cluster.network.shape(member.number, "delay", "%dus" % (rest / 2))


def figure(name, text, value, limit, at_most=True):
    """One line of figures.json: what was measured, and what it has to keep to."""
    return {"figure": name, "text": text, "value": round(value, 4), "limit": limit,
            "at_most": at_most}


def settle(cluster):
    """Until all members follow one leader and have its log."""
    def settled():
        statuses = [member.status() for member in cluster.members]
        leaders = {(status.leader, status.term) for status in statuses}
        if len(leaders) != 1 or not statuses[0].leader:
            return None
        leader = cluster.member(statuses[0].leader)
        target = statuses[leader.number - 1].last_index
        if all(status.durable_index == target and status.has_quorum and
               not status.filling for status in statuses):
            return leader
        return None
    return wait_until("all follow one leader", settled, interval=0.2)
