# SPDX-License-Identifier: GPL-2.0
"""Module, devices and members as such."""

import contextlib
import itertools
import os
import struct
import subprocess
import time

from lib import kernel
from lib.cluster import Cluster, refused
from lib.damage import dump
from lib.registry import test
from lib.shell import SLOWNESS, CommandFailed, read_file, run, spawn, wait_until
from lib.workload import Writer

MODULE = os.environ.get("QBD_MODULE", "qbd.ko")


def module_loaded():
    return os.path.isdir("/sys/module/qbd")


@test("basic")
def load_unload_100_times():
    """The module loads and unloads a hundred times."""
    for _ in range(100):
        run(["rmmod", "qbd"])
        assert not module_loaded()
        run(["insmod", MODULE])
    assert module_loaded()


@test("basic")
def unload_refused_while_up():
    """The module cannot be unloaded while a member is up; then it can."""
    with Cluster(1) as cluster:
        result = run(["rmmod", "qbd"], check=False)
        assert result.status != 0, "it was unloaded"
        assert "in use" in result.text.lower(), result.text
        assert cluster.member(1).status().role == "leader"
    run(["rmmod", "qbd"])
    run(["insmod", MODULE])


@test("basic")
def three_members_and_back():
    """create, up, status, down; the block device comes and goes."""
    with Cluster(3, start=False) as cluster:
        for member in cluster.members:
            refused(member.qbdadm("status", cluster.name, check=False), cluster.name)
        cluster.up()
        leader = cluster.wait_leader()
        statuses = [member.status() for member in cluster.members]
        assert len({status.number for status in statuses}) == 3
        assert len({status.uuid for status in statuses}) == 1
        assert [status.role for status in statuses].count("leader") == 1
        for member, status in zip(cluster.members, statuses):
            assert status.name == cluster.name and status.member_id == member.number
            assert status.leader == leader.number and status.has_quorum
            assert os.path.exists("/dev/qbd%d" % status.number)
            text = member.qbdadm("status").output
            assert cluster.name in text and leader.name in text, text
        cluster.down_all()
        wait_until("the block devices are gone", lambda: not [
            name for name in os.listdir("/sys/block") if name.startswith("qbd")])
        for member in cluster.members:
            assert cluster.name not in member.qbdadm("status", check=False).output


@test("basic")
def device_limits():
    """What /sys/block says of the device."""
    with Cluster(1, size="64M") as cluster:
        name = "qbd%d" % cluster.member(1).status().number
        queue = "/sys/block/%s/queue/" % name
        wanted = {"logical_block_size": "4096", "physical_block_size": "4096",
                  "max_hw_sectors_kb": "1024", "max_sectors_kb": "1024",
                  "discard_granularity": "4096",
                  "discard_max_bytes": str(64 << 20),
                  "write_zeroes_max_bytes": str(64 << 20),
                  "write_cache": "write through", "fua": "0", "rotational": "0",
                  "optimal_io_size": str(1 << 20), "max_segments": "256"}
        found = {key: read_file(queue + key) for key in wanted}
        assert found == wanted, found
        assert read_file(queue + "scheduler").startswith("[none]")
        assert read_file("/sys/block/%s/size" % name) == str(64 * 2048)
        assert read_file("/sys/block/%s/qbd/name" % name) == cluster.name


def partition_table(start, count):
    """A master boot record with one partition; both in logical blocks."""
    entry = struct.pack("<B3sB3sII", 0, bytes(3), 0x83, bytes(3), start, count)
    return (bytes(446) + entry + bytes(48) + b"\x55\xaa").ljust(4096, b"\0")


@test("basic")
def partitions():
    """A partition table is read by the first opener; partitions work."""
    with Cluster(1) as cluster:
        device = cluster.member(1).device
        with open(device, "r+b") as file:
            file.write(partition_table(256, 2560))
        run(["blockdev", "--rereadpt", device])
        partition = device + "p1"
        wait_until(partition, lambda: os.path.exists(partition))
        writer = Writer(partition, slots=16, limit=20)
        writer.child.wait()
        writer.verify()
        writer.child.close()
        cluster.member(1).down()
        cluster.member(1).up()
        assert not os.path.exists(partition)
        run(["blockdev", "--getsize64", device])
        wait_until(partition, lambda: os.path.exists(partition))


@test("basic")
def one_member_alone():
    """A device with one member works, and keeps what was written."""
    with Cluster(1) as cluster:
        member = cluster.member(1)
        writer = Writer(member.device, limit=300)
        writer.child.wait()
        for _ in range(3):
            member.down()
            member.up()
            cluster.wait_leader()
            writer.verify(member.device)
        writer.child.close()


@test("basic")
def backing_disk_is_held():
    """Nobody else can open a member's disk for himself while the member is up."""
    with Cluster(1) as cluster:
        member = cluster.member(1)
        result = run(["mkfs.ext4", "-q", "-F", member.disk.path], check=False)
        assert result.status != 0 and "in use" in result.text, result.text
        refused(cluster.create(member, "--force", check=False), "in use")
        refused(member.up(check=False))
        refused(member.qbdadm("destroy", "--disk", member.disk.path, "--yes",
                              check=False))


def references():
    """Of the module: by members that are up or on their way, and by who uses them."""
    return int(read_file("/sys/module/qbd/refcnt"))


@contextlib.contextmanager
def slow_log(member, milliseconds):
    """The disk of a member that is down takes so long where its log is.

    So it has answered the tool, which looks first, and the module is what waits.
    """
    layout = dump(member.disk)["superblocks"][0]
    first = layout["log_block"]
    try:
        member.disk.slow_between(first, first + layout["log_blocks"], milliseconds)
        yield
    finally:
        member.disk.heal()


def hanging_log(member):
    return slow_log(member, 3600000)


def check_comes_up(cluster, member, writer):
    """Its disk answers again: nothing of what was tried is left."""
    cluster.down_all()
    wait_until("the disk is released", lambda: not references())
    assert not os.path.exists("/dev/qbd/" + cluster.name)
    run(["rmmod", "qbd"])
    run(["insmod", MODULE])
    cluster.up()
    cluster.wait_caught_up()
    writer.verify(member.device)


def members_one_down():
    """A device with data, and a member of it that is down."""
    cluster = Cluster(3)
    try:
        writer = Writer(cluster.leader().device, limit=40)
        writer.child.wait()
        member = cluster.others(cluster.leader())[0]
        member.down()
    except BaseException:
        cluster.close()
        raise
    return cluster, member, writer


@test("basic", timeout=120)
def up_ends_though_the_disk_hangs():
    """Up of a disk that hangs is refused; when the disk answers, the member comes up."""
    cluster, member, writer = members_one_down()
    with cluster:
        with hanging_log(member):
            refused(member.up(check=False, timeout=60), "does not answer", "try again")
            # It is neither up nor can it be tried again before the disk has answered.
            refused(member.qbdadm("status", cluster.name, check=False), cluster.name)
            refused(member.up(check=False), "was given up", "try again")
            other = cluster.others(member)[0]
            other.down()
            other.up()
            cluster.wait_leader()
            # The module is not torn from under what the disk still has to say.
            cluster.down_all()
            result = run(["rmmod", "qbd"], check=False)
            assert result.status != 0 and "in use" in result.text.lower(), result.text
        check_comes_up(cluster, member, writer)


@test("basic", timeout=120)
def up_is_killed_while_the_disk_hangs():
    """Who waits for up can be killed, and his host is managed meanwhile."""
    cluster, member, writer = members_one_down()
    with cluster:
        with hanging_log(member):
            before = references()
            process = spawn(["qbdadm", "up", cluster.name, "--disk", member.disk.path],
                            member.netns)
            wait_until("the module brings it up", lambda: references() > before)
            other = cluster.others(member)[0]
            other.down()
            other.up()
            cluster.wait_leader()
            assert process.poll() is None, process.returncode
            # Another one finds it busy, and does not wait.
            refused(member.up(check=False, timeout=10), "being brought up")
            process.kill()
            process.wait(10 * SLOWNESS)
            wait_until("nobody waits for it any more", lambda: cluster.log.find(
                "disk.* was waited for in vain.* is released when it answers"))
            # Its namespace does not wait for the disk.
            cluster.network.delete(member.number)
            wait_until("the namespace is gone",
                       lambda: not cluster.network.exists(member.number))
            cluster.network.add(member.number)
        check_comes_up(cluster, member, writer)


@test("basic", timeout=120)
def up_of_a_slow_disk():
    """A disk that answers, however slowly, is waited for."""
    cluster, member, writer = members_one_down()
    with cluster:
        with slow_log(member, 12000):
            begin = time.monotonic()
            member.up(timeout=100)
            assert time.monotonic() - begin > 30
        cluster.wait_caught_up()
        writer.verify(member.device)


@test("basic")
def down_refused_while_mounted():
    """down is refused while somebody has the device open, and works after."""
    with Cluster(1) as cluster:
        member = cluster.member(1)
        run(["mkfs.ext4", "-q", member.device])
        run(["mount", member.device, "/tmp/mnt"])
        refused(member.down(check=False), "in use")
        run(["umount", "/tmp/mnt"])
        member.down()


@test("basic", timeout=60)
def cold_start_in_every_order():
    """All lose power; whichever two come up first, the data is there, and goes on."""
    with Cluster(3) as cluster:
        for order in itertools.permutations(cluster.members):
            writer = Writer(cluster.leader().device, slots=64)
            writer.wait_for(40)
            for member in cluster.members:
                member.power_cut()
            writer.kill()
            cluster.network.heal()
            for member in order[:2]:
                member.up()
            cluster.wait_leader()
            writer.verify(order[0].device)
            more = Writer(order[1].device, slots=64)
            more.wait_for(10)
            order[2].up()
            more.wait_for(10)
            more.stop()
            cluster.wait_caught_up()
            more.verify(order[2].device)


@test("basic")
def events_are_told():
    """Listeners are told of leaders, peers, and quorum."""
    with Cluster(3, start=False) as cluster:
        first = cluster.member(1)
        first.up()
        events = cluster.events(first)
        cluster.member(2).up()
        events.wait("peer-up", peer=2)
        # New disks: nobody votes before all voters were there together.
        assert "new" in str(first.status().problems), first.status().problems
        assert not first.status().leader
        cluster.member(3).up()
        events.wait("peer-up", peer=3)
        events.wait("leader")
        leader = cluster.wait_leader()
        event = events.wait("leader", leader=leader.number)
        assert event["text"] == leader.name, event
        events.forget()
        # Wherever it leads: who loses the lead says so, and who gets it.
        cluster.lead(2 if leader is first else 1)
        role = "follower" if leader is first else "leader"
        event = events.wait("role", role=role)
        assert event["text"] == role and event["member_id"] == 1, event
        events.forget()
        cluster.network.isolate(1)
        events.wait("peer-down", peer=2)
        events.wait("peer-down", peer=3)
        events.wait("quorum-lost")
        cluster.network.heal()
        events.wait("peer-up", peer=2)
        events.wait("quorum-regained")
        numbers = [event["sequence"] for event in events.read()]
        assert numbers == sorted(set(numbers)), numbers


@test("basic")
def ipv6():
    """Members that talk IPv6."""
    with Cluster(3, family=6) as cluster:
        writer = Writer(cluster.leader().device, limit=50)
        writer.child.wait()
        writer.verify(cluster.others(cluster.leader())[0].device)
        writer.child.close()


@test("basic")
def disk_with_4096_byte_sectors():
    """Members on disks with 4 KiB sectors."""
    with Cluster(3, block=4096) as cluster:
        writer = Writer(cluster.leader().device, limit=50)
        writer.child.wait()
        writer.verify()
        writer.child.close()


def rest(seconds):
    """What share of a core the whole machine uses while nobody does anything.

    The least of several: whoever else runs on the host can only make the same take longer.
    """
    found = []
    for _ in range(4):
        start, used = time.monotonic(), kernel.machine_seconds()
        time.sleep(seconds)
        found.append((kernel.machine_seconds() - used) / (time.monotonic() - start))
    return min(found)


@test("basic", timeout=120)
def idle_cost():
    """An idle device costs next to nothing, for all members together.

    More than without members: the machine itself is never quite idle. In User-mode
    Linux each wake-up and each timer is several system calls of the host, so this is
    twice what a kernel of its own would need (tests/hosts/idle.py counts that, in
    instructions); it is here to see it grow.
    """
    seconds = 3
    with Cluster(3) as cluster:
        cluster.wait_caught_up()
        # One second after the last write the last checkpoint begins.
        wait_until("nobody writes", lambda: not kernel.disk_writes_within(1.5))
        idle = rest(seconds)
        cluster.down_all()
        without = rest(seconds)
    share = idle - without
    kernel.say("idle cost of three members: %.3f %% of a core (%.3f %% with them, "
               "%.3f %% without)" % (100 * share, 100 * idle, 100 * without))
    assert share < 0.0125 * SLOWNESS, "%.2f %% of a core" % (share * 100)


@test("basic")
def bad_input_is_refused():
    """What cannot work is refused with one line, and nothing is written."""
    with Cluster(1, start=False) as cluster:
        member = cluster.member(1)
        cluster.check_equal = False
        refused(member.up("--memory", "1M", check=False), "memory")
        refused(member.up("--memory", "99T", check=False), "memory")
        refused(member.up("--election-timeout", "0", check=False))
        refused(member.up("--heartbeat", "9999", check=False))
        refused(member.up("--no-quorum", "maybe", check=False), "suspend")
        member.options = ["--memory", "16M"]
        refused(member.qbdadm("up", cluster.name, "--disk", "/dev/null", check=False),
                "/dev/null")
        refused(member.qbdadm("up", cluster.name, "--disk", "/nowhere", check=False),
                "/nowhere")
        refused(member.qbdadm("up", "other", "--disk", member.disk.path, check=False),
                cluster.name)
        refused(member.qbdadm("down", "nothing", check=False), "nothing")
        refused(member.qbdadm("leader", "move", "nothing", check=False), "nothing")
        try:
            cluster.create(member)
        except CommandFailed as error:
            assert "--force" in error.output, error.output
        else:
            raise AssertionError("a qbd disk was formatted without --force")
        member.up()
        cluster.wait_leader()
        member.down()


@test("basic")
def address_in_use():
    """Two members cannot listen on one address; the error names it."""
    with Cluster(1) as cluster:
        member = cluster.member(1)
        result = run(["python3", "-c",
                      "import socket; s = socket.socket(); s.bind(('10.0.0.1', 7900))"],
                     netns=member.netns, check=False)
        assert result.status != 0, "the listener does not listen"
        member.down()
        holder = ("import socket, sys; s = socket.socket(); "
                  "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); "
                  "s.bind(('10.0.0.1', 7900)); s.listen(); print('x', flush=True); "
                  "sys.stdin.read()")
        process = spawn(["python3", "-c", holder], member.netns, stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE)
        process.stdout.readline()
        try:
            refused(member.up(check=False), "7900")
        finally:
            process.stdin.close()
            process.wait()
            process.stdout.close()
        member.up()
        cluster.wait_leader()
