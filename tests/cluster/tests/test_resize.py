# SPDX-License-Identifier: GPL-2.0
"""The device grows while it is in use."""

import os

from lib import filesystem
from lib.cluster import Cluster, refused
from lib.filesystem import Mount
from lib.registry import test
from lib.shell import run, spawn
from lib.workload import BLOCK, Writer, direct_read, direct_write, pattern

from tests.test_rejoin import FILL, fill_log

MIB = 1 << 20


def size_of(member):
    """Of the block device, as its users see it."""
    return int(run(["blockdev", "--getsize64", member.device]).output) // MIB


def wait_size(members, mib):
    """Until all of these are so large, for themselves and for their users."""
    for member in members:
        member.wait("%d MiB" % mib, lambda status: status.device_bytes == mib * MIB)
        run(["blockdev", "--flushbufs", member.device])
        member.wait("block device of %d MiB" % mib, lambda status: size_of(member) == mib)


def resize(member, mib=None, **options):
    more = ["--size", "%dM" % mib] if mib else []
    return member.qbdadm("resize", member.cluster.name, *more, **options)


def zeroes(member, first_mib, end_mib):
    """What was never written reads as zeroes."""
    for mib in range(first_mib, end_mib):
        assert not any(direct_read(member.device, mib * MIB, MIB)), \
            "MiB %d at %r is not zero" % (mib, member)


@test("resize", timeout=60)
def grow_under_a_mounted_filesystem():
    """All disks are enlarged, then the device, then ext4 on it; writes go on."""
    with Cluster(3, size="64M", disk_mib=240) as cluster:
        # Smaller disks, which grow later. What is beyond holds rubbish.
        for member in cluster.members:
            for mib in range(80, 130):
                direct_write(member.disk.path, mib * MIB, b"x" * MIB)
            member.disk.truncate(140)
        leader = cluster.leader()
        user = cluster.others(leader)[0]
        filesystem.make("ext4", user.device)
        with Mount(user.device) as point:
            filesystem.copy_tree(point)
            load = spawn(["sh", "-c", "i=0; while [ ! -e %s/stop ]; do "
                          "dd if=/dev/urandom of=%s/load bs=64k count=8 oflag=direct "
                          "conv=notrunc status=none || exit 1; done" % (point, point)])
            # One disk has no more room than before.
            cluster.members[0].disk.heal()
            cluster.members[1].disk.heal()
            refused(resize(user, 160, check=False), "no room", "member 3")
            assert size_of(user) == 64
            cluster.members[2].disk.heal()
            events = cluster.events(user)
            resize(user, 160)
            events.wait("resized")
            wait_size(cluster.members, 160)
            assert filesystem.grow("ext4", user.device, point) > 140
            run(["dd", "if=/dev/zero", "of=" + point + "/big", "bs=1M", "count=90",
                 "oflag=direct", "status=none"], timeout=60)
            run(["touch", point + "/stop"])
            assert load.wait(30) == 0
        filesystem.check("ext4", user.device)
        for member in cluster.others(user):
            with Mount(member.device, "ro") as point:
                assert filesystem.digest(point + "/tree") == \
                    filesystem.digest(filesystem.TREE)
        # And after a restart of everything.
        cluster.down_all()
        cluster.up()
        cluster.wait_leader()
        wait_size(cluster.members, 160)
        filesystem.check("ext4", user.device)


@test("resize", timeout=60)
def any_host_may_ask():
    """The holder of the claim uses xfs; the size is asked for on another host."""
    with Cluster(3, size="320M", disk_mib=480) as cluster:
        holder, admin = cluster.lead(1), cluster.member(3)
        filesystem.make("xfs", holder.device)
        with Mount(holder.device) as point:
            filesystem.copy_tree(point)
            epoch = holder.status().claim["epoch"]
            events = cluster.events(holder)
            resize(admin, 400)
            events.wait("resized")
            wait_size(cluster.members, 400)
            assert filesystem.grow("xfs", holder.device, point) > 330
            run(["dd", "if=/dev/zero", "of=" + point + "/big", "bs=1M", "count=300",
                 "oflag=direct", "status=none"], timeout=60)
            # It was a change of configuration: the claim is what it was.
            for member in cluster.members:
                claim = member.status().claim
                assert (claim["epoch"], claim["holder"]) == (epoch, 1), claim
            assert filesystem.digest(point + "/tree") == filesystem.digest(filesystem.TREE)
        filesystem.check("xfs", holder.device)


@test("resize")
def sizes_that_are_refused():
    """Less than it has, more than a disk has room for, with a member away."""
    with Cluster(3, size="64M", disk_mib=240) as cluster:
        leader = cluster.leader()
        away = cluster.others(leader)[0]
        for member in (leader, away):
            refused(resize(member, 32, check=False), "cannot become smaller", "copy")
            refused(resize(member, 64, check=False), "is so already")
            refused(resize(member, 1000, check=False), "no room")
        away.down()
        refused(resize(leader, 96, check=False), "member %d is down" % away.number)
        assert leader.status().device_bytes == 64 * MIB
        away.up()
        cluster.wait_caught_up()
        # As far as the disks allow, which is the same for all.
        resize(leader)
        most = leader.status().device_bytes // MIB
        assert 160 < most < 240, most
        wait_size(cluster.members, most)
        zeroes(away, 64, 80)
        refused(resize(leader, check=False), "no room")


@test("resize")
def as_far_as_disks_go_that_grew_just_now():
    """Disks with room to spare are enlarged, and at once the device: it gets all of it."""
    with Cluster(3, size="64M", disk_mib=240) as cluster:
        for member in cluster.members:
            member.disk.truncate(60)
        resize(cluster.members[0], 96)
        wait_size(cluster.members, 96)
        leader = cluster.leader()
        sizes = []
        for less in (50, 40, 30, 0):
            for member in [leader] + cluster.others(leader):
                member.disk.truncate(less)
            asked = cluster.members[less % 3]
            resize(asked)
            sizes.append(asked.status().device_bytes // MIB + less)
            wait_size(cluster.members, sizes[-1] - less)
        assert len(set(sizes)) == 1, "what it had and the disks had not: %s MiB" % sizes


@test("resize", timeout=60)
def grow_without_those_who_went():
    """A leader loses its power at once; who is away is waited for, and filled first."""
    with Cluster(3, size="64M", disk_mib=240, log_size="8M") as cluster:
        leader = cluster.lead(1)
        second, third = cluster.others(leader)
        writer = Writer(second.device)
        writer.wait_for(20)
        resize(leader, 96)
        leader.power_cut()
        wait_size([second, third], 96)
        writer.wait_for(20)
        cluster.network.heal()
        leader.up()
        wait_size([leader], 96)
        writer.stop()
        cluster.wait_caught_up()
        third.down()
        direct_write(second.device, 95 * MIB, pattern(1, 7))
        # The log passes third by. A RESIZE cannot: it has to be there.
        refused(resize(second, 128, check=False), "member 3")
        events = cluster.events(third)
        fill_log(cluster, cluster.leader(), 40)
        third.up()
        events.wait("fill-done", 60)
        wait_size([third], 96)
        resize(third, 128)
        wait_size(cluster.members, 128)
        direct_write(third.device, 127 * MIB, pattern(1, 8))
        assert direct_read(leader.device, 95 * MIB, BLOCK) == pattern(1, 7)
        zeroes(leader, 70, 80)
        zeroes(third, 97, 110)
        cluster.wait_caught_up()
        assert events.told(*FILL)


@test("resize", timeout=60)
def a_fill_over_a_resize():
    """The RESIZE is in the part of the log that a member never gets: RESET says the size."""
    with Cluster(3, size="62M", disk_mib=240, log_size="8M") as cluster:
        leader = cluster.lead(1)
        lost = cluster.member(3)
        # Its last extent is written, and its power goes before it knows what follows.
        direct_write(leader.device, 61 * MIB, pattern(1, 3))
        cluster.wait_caught_up()
        lost.disk.hang()
        resize(leader, 97)
        lost.disk.resume()
        lost.power_cut()
        wait_size([leader, cluster.member(2)], 97)
        direct_write(leader.device, 96 * MIB, pattern(1, 4))
        fill_log(cluster, leader, 40)
        cluster.network.heal()
        events = cluster.events(lost)
        lost.up()
        events.wait("fill-done", 60)
        wait_size([lost], 97)
        cluster.wait_caught_up()
        assert direct_read(lost.device, 96 * MIB, BLOCK) == pattern(1, 4)
        # Offline they are the same, too: end() compares checksums.
        zeroes(lost, 63, 80)


@test("resize", timeout=60)
def who_joins_after_it_grew():
    """A new member gets the size of the day; a disk that is too small is refused."""
    with Cluster(2, size="64M", disk_mib=240, alone=True) as cluster:
        first = cluster.member(1)
        resize(first, 128)
        wait_size([first], 128)
        direct_write(first.device, 127 * MIB, pattern(1, 5))
        cluster.member(2).disk.truncate(140)
        refused(cluster.join(2, check=False), "does not fit")
        cluster.member(2).disk.heal()
        cluster.join(2, "--force")
        wait_size([cluster.member(2)], 128)
        cluster.wait_caught_up()
        assert direct_read(cluster.member(2).device, 127 * MIB, BLOCK) == pattern(1, 5)
        resize(cluster.member(2), 150)
        wait_size(cluster.members, 150)
