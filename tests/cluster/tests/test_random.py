# SPDX-License-Identifier: GPL-2.0
"""Faults at random, one upon the other; the seed is in the output.

QBD_TEST_SEED=N repeats the order of a run.
"""

import os
import random
import time

from lib import kernel
from lib.cluster import SHARED, Cluster
from lib.registry import test
from lib.shell import SLOWNESS
from lib.workload import Writer


# tests/random does so for hours.
SECONDS = 10


class Chaos:
    """A cluster, writers on every member, and what can happen to them."""

    def __init__(self, cluster, source):
        self.cluster = cluster
        self.source = source
        self.hanging = set()
        self.writers = {}
        self.retired = []
        self.next_block = 0
        for member in cluster.members:
            self.write_at(member)

    def write_at(self, member):
        """A writer on this member's device, on blocks that nobody else uses."""
        self.next_block += 40
        self.writers[member.number] = Writer(
            member.device, slots=40, first_block=self.next_block, pause=0.002)

    def retire(self, member):
        """Its writer ends with its device; what it was told stays true."""
        writer = self.writers.pop(member.number, None)
        if writer:
            writer.kill()
            self.retired.append(writer)

    def pick(self):
        return self.source.choice(self.cluster.members)

    def isolate(self):
        self.cluster.network.isolate(self.pick().number)

    def cut(self):
        one, other = self.source.sample(self.cluster.members, 2)
        self.cluster.network.cut(one.number, other.number)

    def cut_one_way(self):
        one, other = self.source.sample(self.cluster.members, 2)
        self.cluster.network.cut_one_way(one.number, other.number)

    def heal(self):
        self.cluster.network.heal()

    def hang_disk(self):
        member = self.pick()
        if member.is_up:
            member.disk.hang()
            self.hanging.add(member)

    def resume_disks(self):
        for member in self.hanging:
            member.disk.resume()
        self.hanging.clear()

    def delay(self):
        self.cluster.network.shape(self.pick().number, "delay", "10ms", "5ms")

    def undelay(self):
        for member in self.cluster.members:
            self.cluster.network.shape(member.number)

    def restart(self):
        """Down, forced, and up again a little later."""
        member = self.pick()
        if not member.is_up or member in self.hanging:
            return
        member.down("--force")
        self.retire(member)

    def power_cut(self):
        member = self.pick()
        if not member.is_up or member in self.hanging:
            return
        member.power_cut()
        self.retire(member)

    def start(self):
        for member in self.cluster.members:
            if not member.is_up:
                member.up()
                self.write_at(member)

    def move_leader(self):
        """May fail: there may be no leader, or nobody fit."""
        member = self.pick()
        if member.is_up:
            member.qbdadm("leader", "move", self.cluster.name, check=False)

    def step(self):
        action = self.source.choice((
            self.isolate, self.cut, self.cut_one_way, self.heal, self.heal, self.heal,
            self.hang_disk, self.resume_disks, self.resume_disks, self.delay,
            self.undelay, self.restart, self.power_cut, self.start, self.start,
            self.move_leader))
        kernel.say(action.__name__)
        action()
        time.sleep(self.source.choice((0.05, 0.2, 0.6)))

    def settle(self):
        """All faults end; every writer goes on; everything acknowledged is there."""
        self.heal()
        self.resume_disks()
        self.undelay()
        self.start()
        self.cluster.wait_leader()
        for number, writer in self.writers.items():
            writer.wait_for(5)
        for member in self.cluster.members:
            writer = self.writers.pop(member.number)
            writer.stop()
            self.retired.append(writer)
        for writer in self.retired:
            writer.verify(self.cluster.leader().device)
        self.cluster.wait_caught_up(60)


def random_faults(seconds, **options):
    seed = int(os.environ.get("QBD_TEST_SEED", time.time_ns() % 1000000))
    print("    # seed %d" % seed, flush=True)
    source = random.Random(seed)
    with Cluster(3, create=SHARED, **options) as cluster:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            chaos = Chaos(cluster, source)
            for _ in range(12):
                chaos.step()
            chaos.settle()


@test("random", timeout=120)
def random_faults_big_log():
    """Faults at random; members come back by the log."""
    random_faults(SECONDS * SLOWNESS)


@test("random", timeout=120)
def random_faults_small_log():
    """Faults at random; members come back by extents, too."""
    random_faults(SECONDS * SLOWNESS, log_size="8M")
