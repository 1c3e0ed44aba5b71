# SPDX-License-Identifier: GPL-2.0
"""A member returns: by the log, by extents, while writes go on."""

from lib.cluster import Cluster
from lib.registry import test
from lib.shell import never, run
from lib.workload import Writer


def fill_log(cluster, leader, mib):
    """Write so much that a log of a few MiB is reclaimed."""
    run(["fio", "--name=fill", "--filename=" + leader.device, "--thread", "--direct=1",
         "--clocksource=clock_gettime", "--ioengine=io_uring", "--iodepth=8",
         "--rw=randwrite", "--bs=64k", "--size=48M", "--io_size=%dM" % mib,
         "--output-format=terse"], timeout=60)


@test("rejoin")
def rejoin_by_log():
    """A member that was down for a while gets what it missed from the log."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        lost.down()
        writer = Writer(leader.device, limit=300)
        writer.child.wait()
        lost.up()
        cluster.wait_caught_up()
        assert not lost.status().fill_extents_done
        writer.verify(lost.device)


@test("rejoin")
def rejoin_by_log_under_load():
    """The same while writes go on."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        writer = Writer(leader.device)
        writer.wait_for(20)
        lost.down()
        writer.wait_for(200)
        lost.up()
        writer.wait_for(100)
        writer.stop()
        cluster.wait_caught_up()
        writer.verify(lost.device)


@test("rejoin", timeout=90)
def rejoin_by_extents():
    """A member behind the log's tail gets the extents that changed."""
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        lost.down()
        fill_log(cluster, leader, 40)
        assert leader.status().first_index > 1, "the log was not reclaimed"
        events = cluster.events(lost)
        lost.up()
        events.wait("fill-done", 60)
        cluster.wait_caught_up()


@test("rejoin", timeout=90)
def rejoin_by_extents_under_load():
    """The same while writes go on, at random all over the device."""
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        lost.down()
        fill_log(cluster, leader, 30)
        writers = [Writer(leader.device, slots=3000, first_block=offset)
                   for offset in (0, 5000, 10000)]
        for writer in writers:
            writer.wait_for(100)
        events = cluster.events(lost)
        lost.up()
        events.wait("fill-done", 60)
        for writer in writers:
            writer.wait_for(100)
            writer.stop()
        cluster.wait_caught_up()
        for writer in writers:
            writer.verify(lost.device)


@test("rejoin", timeout=90)
def fill_interrupted_by_leader_change():
    """The leader goes while a member is being filled: the next one goes on."""
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        lost, other = cluster.others(leader)
        lost.down()
        fill_log(cluster, leader, 40)
        cluster.network.shape(lost.number, "rate", "100mbit")
        lost.up()
        lost.wait("it is being filled", lambda s: s.filling)
        leader.qbdadm("leader", "move", cluster.name, "--to", other.number)
        cluster.network.shape(lost.number)
        cluster.wait_caught_up(60)


@test("rejoin", timeout=90)
def fill_interrupted_by_restart():
    """A member goes down while it is being filled: it goes on after."""
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        lost.down()
        fill_log(cluster, leader, 40)
        cluster.network.shape(lost.number, "rate", "100mbit")
        lost.up()
        lost.wait("it is being filled", lambda s: s.filling)
        lost.down()
        lost.up()
        cluster.network.shape(lost.number)
        cluster.wait_caught_up(60)


@test("rejoin", timeout=60)
def member_with_emptied_disk():
    """A member whose disk was made anew is filled and counts again."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        writer = Writer(leader.device, limit=300)
        writer.child.wait()
        lost = cluster.others(leader)[0]
        lost.down()
        lost.disk.wipe()
        cluster.create(lost)
        lost.up()
        cluster.wait_caught_up()
        writer.verify(lost.device)


@test("rejoin", timeout=60)
def emptied_member_elects_nobody_who_lost():
    """A member with an emptied disk helps no one to lead who lacks what it had.

    Its vote was part of what made the writes durable: gamma and alpha acknowledged
    them, beta was away. With gamma's disk made anew and alpha cut off, beta must
    not be elected by gamma (accident 34).
    """
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        beta.down()
        writer = Writer(alpha.device, limit=300)
        writer.child.wait()
        gamma.down()
        gamma.disk.wipe()
        cluster.create(gamma)
        cluster.network.isolate(1)
        beta.up()
        gamma.up()
        never("a leader was elected that lacks acknowledged writes",
              lambda: beta.status().leader or gamma.status().leader, 3)
        cluster.network.heal()
        cluster.wait_leader()
        cluster.wait_caught_up()
        for member in cluster.members:
            writer.verify(member.device)


@test("rejoin", timeout=60)
def all_restart_with_small_log():
    """All go down after the log was reclaimed, and come back."""
    with Cluster(3, log_size="8M") as cluster:
        fill_log(cluster, cluster.leader(), 40)
        writer = Writer(cluster.leader().device, limit=100)
        writer.child.wait()
        cluster.down_all()
        cluster.up()
        cluster.wait_leader()
        writer.verify()


@test("rejoin", timeout=90)
def log_full_slows_and_recovers():
    """Disks that apply slowly fill a small log: writers slow down, nothing is lost."""
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        slow = cluster.others(leader)
        for member in slow:
            member.disk.slow(50)
        writer = Writer(leader.device, first_block=13000)
        fill_log(cluster, leader, 24)
        for member in slow:
            member.disk.heal()
        writer.wait_for(50)
        writer.stop()
        writer.verify()


@test("rejoin", timeout=90)
def memory_is_bounded():
    """A hanging follower and much to write: log pages stay within the bound."""
    with Cluster(3, up=("--memory", "8M")) as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        cluster.network.isolate(lost.number)
        fill_log(cluster, leader, 60)
        for member in cluster.members:
            status = member.status()
            assert status.memory_bytes <= 8 << 20, status.memory_bytes
        cluster.network.heal()
        cluster.wait_caught_up(60)
        for member in cluster.members:
            member.wait("pages are free again", lambda s: s.memory_free_bytes >
                        s.memory_bytes // 4)
