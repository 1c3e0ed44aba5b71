# SPDX-License-Identifier: GPL-2.0
"""No quorum: I/O waits or fails, as set, and nothing hangs for ever."""

import errno
import os

from lib import filesystem, kernel
from lib.cluster import Cluster
from lib.filesystem import Mount
from lib.registry import test
from lib.shell import Hung, never, run, wait_until
from lib.workload import Child, Writer, direct_read, direct_write


def lose_quorum(cluster, member):
    """Take all others down; the member knows."""
    for other in cluster.others(member):
        other.down()
    return member.wait("no quorum", lambda status: not status.has_quorum)


def waits(status):
    """I/O waits: not taken on, or taken on and not committed."""
    return status.requests_waiting + status.requests_in_flight > 0


def regain_quorum(cluster):
    cluster.up()
    cluster.wait_leader()


@test("quorum")
def suspend_and_resume():
    """Without a quorum I/O waits; with one it goes on, with no error."""
    with Cluster(3) as cluster:
        member = cluster.leader()
        filesystem.make("ext4", member.device)
        with Mount(member.device) as point:
            writer = Writer(point + "/records", sync=True)
            writer.wait_for(20)
            lose_quorum(cluster, member)
            before = writer.acknowledged()
            member.wait("requests wait", waits)
            never("a write was acknowledged without a quorum",
                  lambda: writer.acknowledged() > before + 1, 1)
            assert not writer.child.ended()
            regain_quorum(cluster)
            writer.wait_for(20)
            writer.stop()
            writer.verify()
        filesystem.check("ext4", member.device)


@test("quorum")
def error_after_grace():
    """In error mode I/O fails once the grace period is over, not before."""
    grace = 3
    with Cluster(3, up=("--memory", "16M", "--no-quorum", "error",
                        "--no-quorum-grace", str(grace * 1000))) as cluster:
        member = cluster.leader()
        events = cluster.events(member)
        writer = Writer(member.device, pause=0.01)
        writer.wait_for(20)
        lose_quorum(cluster, member)
        events.wait("quorum-lost")
        wait_until("the writer got its error", writer.child.ended, 10)
        acknowledged, when, _ = writer.records()[-1]
        # When the last write was acknowledged there was a leader, and the grace begins
        # when there is none: however late anybody was told of either, it is shorter.
        waited = writer.failed_at() - when
        assert waited >= grace, "it failed after %.2f s" % waited
        regain_quorum(cluster)
        writer.verify(member.device)
        again = Writer(member.device, limit=20)
        again.child.wait()
        assert acknowledged >= 20


@test("quorum")
def short_loss_in_error_mode():
    """In error mode a loss shorter than the grace period is no error."""
    with Cluster(3, up=("--memory", "16M", "--no-quorum", "error",
                        "--no-quorum-grace", "20000")) as cluster:
        leader = cluster.leader()
        writer = Writer(cluster.others(leader)[0].device)
        writer.wait_for(20)
        cluster.network.isolate(leader.number)
        writer.wait_for(20)
        cluster.network.heal()
        writer.stop()
        writer.verify()


@test("quorum")
def switch_while_it_waits():
    """I/O that waits fails when the mode is switched to error, and the reverse."""
    with Cluster(3) as cluster:
        member = cluster.leader()
        writer = Writer(member.device)
        writer.wait_for(20)
        lose_quorum(cluster, member)
        member.wait("requests wait", waits)
        member.set("--no-quorum", "error", "--no-quorum-grace", "100")
        wait_until("the writer got its error", writer.child.ended, 10)
        assert writer.child.lines[-1].startswith("error"), writer.child.lines[-1]
        member.set("--no-quorum", "suspend")
        waiting = Writer(member.device, limit=5)
        member.wait("requests wait", waits)
        regain_quorum(cluster)
        waiting.child.wait()
        waiting.verify()


@test("quorum", expect=r"EXT4-fs.*WARNING")
def forced_down_frees_everybody():
    """down --force with hanging I/O leaves no process in state D."""
    with Cluster(3) as cluster:
        member = cluster.leader()
        filesystem.make("ext4", member.device)
        run(["mount", member.device, "/tmp/mnt"])
        writers = [Writer("/tmp/mnt/records", sync=True),
                   Writer("/tmp/mnt/more", sync=True)]
        for writer in writers:
            writer.wait_for(10)
        device = member.device
        lose_quorum(cluster, member)
        member.wait("requests wait", waits)
        reader = Child(lambda report: direct_read(device, 0, 4096))
        syncer = Child(lambda report: run(["sync"]))
        for writer in writers:
            writer.believe_until_now()
        member.down("--force")
        for child in (reader, syncer, *[writer.child for writer in writers]):
            child.kill()
        run(["umount", "/tmp/mnt"])
        wait_until("no process is in state D", lambda: not kernel.uninterruptible())
        regain_quorum(cluster)
        with Mount(member.device) as point:
            for writer, name in zip(writers, ("records", "more")):
                writer.verify("%s/%s" % (point, name))


@test("quorum")
def umount_hangs_and_forced_down_helps():
    """A umount that waits for a quorum ends when the member is forced down."""
    with Cluster(3) as cluster:
        member = cluster.leader()
        filesystem.make("ext4", member.device)
        run(["mount", member.device, "/tmp/mnt"])
        # Dirty pages that umount has to write.
        with open("/tmp/mnt/file", "w") as file:
            file.write("x" * 100000)
        lose_quorum(cluster, member)
        child = Child(lambda report: run(["umount", "/tmp/mnt"], timeout=30))
        member.wait("requests wait", waits)
        member.down("--force")
        wait_until("umount ends", child.ended)
        wait_until("no process is in state D", lambda: not kernel.uninterruptible())
        run(["umount", "/tmp/mnt"], check=False)
        regain_quorum(cluster)


@test("quorum")
def up_without_quorum_does_not_hang():
    """A member comes up alone: up ends, status works, down works, I/O waits."""
    with Cluster(3, start=False) as cluster:
        member = cluster.member(1)
        member.up(timeout=10)
        status = member.status()
        assert not status.has_quorum and status.leader == 0
        reader = Child(lambda report: direct_read("/dev/qbd%d" % status.number, 0, 4096))
        member.wait("the read waits", waits)
        try:
            member.down(timeout=10)
        except Hung:
            raise
        except Exception as error:
            assert "in use" in str(error), error
        regain_quorum(cluster)
        reader.wait()


def is_free(path):
    """Nobody holds this disk."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_EXCL))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


@test("quorum", timeout=60)
def hanging_disk_and_forced_down():
    """down --force with a hanging disk ends, and frees who writes and who reads."""
    with Cluster(3) as cluster:
        member = cluster.leader()
        writer = Writer(member.device)
        writer.wait_for(20)
        # It will be in the data area only, and the writer does not write there: to read it
        # takes the disk.
        offset = 1000 * 4096
        direct_write(member.device, offset, b"x" * 4096)
        written = member.status().last_index
        member.wait("it is applied", lambda s: s.applied_index >= written)
        device = member.device
        for other in cluster.others(member):
            other.disk.hang()
        member.disk.hang()
        reader = Child(lambda report: direct_read(device, offset, 4096))
        member.wait("requests wait", lambda s: s.requests_in_flight +
                    s.requests_waiting > 1)
        member.down("--force", timeout=40)
        writer.kill()
        wait_until("the reader got its answer", reader.ended)
        wait_until("no process is in state D", lambda: not kernel.uninterruptible())
        for one in cluster.members:
            one.disk.resume()
        wait_until("the disk is free", lambda: is_free(member.disk.path))
        regain_quorum(cluster)
        writer.verify(member.device)
