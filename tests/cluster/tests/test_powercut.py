# SPDX-License-Identifier: GPL-2.0
"""Power cuts: what the disks had only cached is lost, what was acknowledged is not."""

import os

from lib import filesystem
from lib.cluster import SHARED, Cluster
from lib.disks import Disk
from lib.filesystem import Mount
from lib.registry import test
from lib.workload import Child, Writer, direct_buffer, direct_read


def power_cut_all(cluster):
    """All members lose power: first all fall silent, then all are started anew."""
    numbers = [member.number for member in cluster.members]
    for number in numbers:
        cluster.network.isolate(number)
    for member in cluster.members:
        member.disk.fail()
    for member in cluster.members:
        member.power_cut()
    cluster.network.heal()
    cluster.up()
    cluster.wait_leader()


def write_blocks(path):
    """One block written with FUA, one flushed, one neither."""
    for offset, data, flags in ((0, b"a", os.O_DSYNC), (4096, b"b", 0),
                                (8192, b"c", 0)):
        fd = os.open(path, os.O_WRONLY | os.O_DIRECT | flags)
        os.pwritev(fd, [direct_buffer(data * 4096)], offset)
        if offset == 4096:
            os.fsync(fd)
        os.close(fd)


@test("powercut")
def the_disks_forget():
    """The test's own disks lose what was not flushed, and only that."""
    disk = Disk(16)

    try:
        Child(lambda report: write_blocks(disk.path)).wait()
        assert direct_read(disk.path, 8192, 4096) == b"c" * 4096
        # As a member's does: a change of its table must not flush it.
        disk.fail()
        disk.power_cut()
        assert direct_read(disk.path, 0, 4096) == b"a" * 4096
        assert direct_read(disk.path, 4096, 4096) == b"b" * 4096
        assert direct_read(disk.path, 8192, 4096) == bytes(4096)
    finally:
        disk.close()


@test("powercut")
def one_member_alone_loses_power():
    """A device of one member: every acknowledged write survives, ten times."""
    with Cluster(1) as cluster:
        member = cluster.member(1)
        for turn in range(10):
            writer = Writer(member.device, slots=100)
            writer.wait_for(20 + 7 * turn)
            power_cut_all(cluster)
            writer.kill()
            writer.verify(member.device)


@test("powercut", timeout=60)
def follower_loses_power():
    """A follower loses power under load and comes back, three times."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        writer = Writer(leader.device)
        for _ in range(3):
            writer.wait_for(100)
            lost.power_cut()
            writer.wait_for(100)
            cluster.network.heal()
            lost.up()
            cluster.wait_leader()
        writer.stop()
        cluster.wait_caught_up()
        writer.verify(lost.device)


@test("powercut", timeout=60)
def leader_loses_power():
    """The leader with the mount loses power: every fsynced record is elsewhere."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        filesystem.make("ext4", leader.device)
        with Mount(leader.device) as point:
            writer = Writer(point + "/records", sync=True)
            writer.wait_for(100)
            leader.power_cut()
            writer.kill()
        new = cluster.wait_leader(cluster.others(leader))
        with Mount(new.device) as point:
            writer.verify(point + "/records")
            more = Writer(point + "/more", sync=True, limit=50)
            more.child.wait()
        filesystem.check("ext4", new.device)
        cluster.network.heal()
        leader.up()
        cluster.wait_caught_up()
        with Mount(leader.device) as point:
            more.verify(point + "/more")


@test("powercut", timeout=90)
def all_lose_power():
    """All members lose power at once under load, five times."""
    with Cluster(3, create=SHARED) as cluster:
        for turn in range(5):
            writers = [Writer(member.device, slots=50, first_block=64 * member.number)
                       for member in cluster.members]
            for writer in writers:
                writer.wait_for(30 + 11 * turn)
            power_cut_all(cluster)
            for writer in writers:
                writer.kill()
            for writer in writers:
                writer.verify(cluster.member(1).device)


@test("powercut", timeout=90)
def all_lose_power_with_small_log():
    """The same while a small log wraps, is applied and reclaimed all the time."""
    with Cluster(3, log_size="8M") as cluster:
        for _ in range(4):
            writers = [Writer(cluster.leader().device, slots=3000, first_block=offset)
                       for offset in (0, 5000, 10000)]
            for writer in writers:
                writer.wait_for(700)
            power_cut_all(cluster)
            for writer in writers:
                writer.kill()
            for writer in writers:
                writer.verify(cluster.leader().device)


@test("powercut", timeout=60)
def power_lost_twice_in_a_row():
    """A member loses power again while it comes back."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        writer = Writer(leader.device)
        writer.wait_for(50)
        lost.power_cut()
        writer.wait_for(200)
        for _ in range(3):
            cluster.network.heal()
            lost.up()
            lost.power_cut()
        cluster.network.heal()
        lost.up()
        writer.stop()
        cluster.wait_caught_up()
        writer.verify(lost.device)
