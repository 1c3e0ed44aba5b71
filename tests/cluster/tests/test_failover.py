# SPDX-License-Identifier: GPL-2.0
"""The leader is lost, cut off, moved, or has a bad disk, under load."""

import time

from lib import filesystem
from lib.cluster import SHARED, Cluster, refused
from lib.filesystem import Mount
from lib.registry import test
from lib.shell import SLOWNESS, never, run, spawn, wait_until
from lib.workload import Child, Reader, Writer, direct_read, direct_write


@test("failover")
def mount_on_follower_leader_cut_off():
    """The leader is cut off: a mount elsewhere goes on, with no I/O error."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        member = cluster.others(leader)[0]
        filesystem.make("ext4", member.device)
        with Mount(member.device) as point:
            writer = Writer(point + "/records", sync=True)
            writer.wait_for(20)
            cluster.network.isolate(leader.number)
            cut = time.monotonic()
            writer.wait_for(20)
            new = cluster.wait_leader(cluster.others(leader))
            assert new is not leader
            assert writer.longest(cut) < 3 * SLOWNESS, "writes stood still %.2f s" % \
                writer.longest(cut)
            cluster.network.heal()
            cluster.wait_leader()
            writer.wait_for(20)
            writer.stop()
            writer.verify()
        filesystem.check("ext4", member.device)


@test("failover")
def mount_on_leader_leader_cut_off():
    """The leader with the mount is cut off: every fsynced record is elsewhere."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        filesystem.make("ext4", leader.device)
        with Mount(leader.device) as point:
            writer = Writer(point + "/records", sync=True)
            writer.wait_for(50)
            cluster.network.isolate(leader.number)
            new = cluster.wait_leader(cluster.others(leader))
            # What is written at the old leader now waits; it is taken down.
            writer.child.read()
            leader.down("--force")
            writer.kill()
        with Mount(new.device, point="/tmp/mnt2") as point:
            writer.verify(point + "/records")
        filesystem.check("ext4", new.device)
        cluster.network.heal()


@test("failover")
def leader_down_and_up_under_load():
    """The leader is taken down and brought back, again and again."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        member = cluster.others(leader)[0]
        writer = Writer(member.device)
        for _ in range(3):
            if cluster.wait_leader() is member:
                # Who was away may not be fit yet.
                cluster.lead(cluster.others(member, leader)[0].number)
            leader = cluster.wait_leader()
            writer.wait_for(20)
            leader.down()
            writer.wait_for(20)
            leader.up()
            cluster.wait_leader()
        writer.stop()
        writer.verify()


@test("failover")
def leader_moves_under_load():
    """Leadership moves round without an I/O error, at old and new leader."""
    with Cluster(3, create=SHARED) as cluster:
        writers = [Writer(member.device, slots=64, first_block=64 * member.number)
                   for member in cluster.members]
        for number in (1, 2, 3, 1, 3, 2):
            cluster.lead(number)
            for writer in writers:
                writer.wait_for(10)
        for writer in writers:
            writer.stop()
            for member in cluster.members:
                writer.verify(member.device)


@test("failover", timeout=60)
def leader_move_ends_in_time():
    """A move of leadership that nobody answers ends after ten seconds, however long an
    election may take."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        asked, target = cluster.others(leader)
        asked.set("--election-timeout", "60000", "--heartbeat", "10000")
        cluster.network.isolate(asked.number)
        begin = time.monotonic()
        result = asked.qbdadm("leader", "move", cluster.name, target.name, check=False)
        taken = time.monotonic() - begin
        refused(result, "member %d so far" % leader.number, "may still happen")
        assert 9 < taken < 10 + 5 * SLOWNESS, taken
        asked.set("--election-timeout", "150", "--heartbeat", "50")


@test("failover")
def reads_never_go_back():
    """Readers on all members never see a value older than one seen before."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        writer = Writer(cluster.others(leader)[0].device, slots=4)
        writer.wait_for(10)
        readers = [Reader(member.device, writer) for member in cluster.members]
        for reader in readers:
            reader.wait_for(50)
        cluster.network.isolate(leader.number)
        cluster.wait_leader(cluster.others(leader))
        writer.wait_for(20)
        cluster.network.heal()
        for reader in readers:
            reader.wait_for(50)
            reader.stop()
        writer.stop()
        writer.verify()


@test("failover")
def cut_off_leader_serves_nothing():
    """A leader that is cut off acknowledges no write and answers no read."""
    with Cluster(3, create=SHARED) as cluster:
        leader = cluster.leader()
        device = leader.device
        other = cluster.others(leader)[0]
        old = Writer(device, slots=1, limit=5)
        old.child.wait()
        # Has it open before: who opens it for write then waits there, and writes nothing.
        late = Writer(device, slots=16, first_block=7)
        late.wait_for(20)
        cluster.network.isolate(leader.number)
        # The answer to one may have passed the cut.
        before = late.acknowledged()
        cluster.wait_leader(cluster.others(leader))
        new = Writer(other.device, slots=1, limit=5)
        new.child.wait()
        # Must not see the old value, whatever it still believes.
        reader = Reader(device, new)
        leader.wait("it knows that it lost the quorum", lambda s: not s.has_quorum)
        never("it serves", lambda: late.child.ended() or late.acknowledged() > before + 1 or
              reader.child.ended() or reader.count(), 1)
        cluster.network.heal()
        late.wait_for(20)
        late.stop()
        reader.wait_for(5)
        reader.stop()
        late.verify(other.device)
        new.verify(device)


@test("failover")
def one_way_cut_of_leader():
    """The leader hears nobody, or nobody hears it: another one takes over."""
    with Cluster(3) as cluster:
        for outgoing in (True, False):
            leader = cluster.leader()
            others = cluster.others(leader)
            writer = Writer(others[0].device)
            writer.wait_for(10)
            for other in others:
                if outgoing:
                    cluster.network.cut_one_way(leader.number, other.number)
                else:
                    cluster.network.cut_one_way(other.number, leader.number)
            cluster.wait_leader(others, not_member=leader)
            writer.wait_for(20)
            cluster.network.heal()
            cluster.wait_leader()
            writer.stop()
            writer.verify()


# Data is not acknowledged for eight seconds, which is looked at each second; then an election.
NARROW_NOTICED = 15


@test("failover", timeout=90)
def large_packets_of_the_leader_are_lost():
    """Large packets to and from the leader are lost, small ones pass: others elect another one.

    All hear that it leads, so they would wait for it, and it for them.
    """
    with Cluster(3, create=SHARED) as cluster:
        leader = cluster.leader()
        others = cluster.others(leader)
        writers = {member: Writer(member.device, slots=32, first_block=32 * member.number)
                   for member in cluster.members}
        for writer in writers.values():
            writer.wait_for(20)
        cluster.network.narrow(leader.number)
        begin = time.monotonic()
        for member in others:
            writers[member].wait_for(50)
            longest = writers[member].longest(begin)
            assert 1 < longest < NARROW_NOTICED * SLOWNESS, "%r: writes stood still %.2f s" % (
                member, longest)
        cluster.wait_leader(others, not_member=leader)
        cluster.network.heal()
        # It has got everything, and has its own writes done.
        for writer in writers.values():
            writer.wait_for(20)
            writer.stop()
        cluster.wait_caught_up()
        for writer in writers.values():
            for member in cluster.members:
                writer.verify(member.device)


@test("failover", timeout=200)
def large_packets_between_the_leader_and_one_are_lost():
    """Large packets pass between all others: who reaches all of them leads.

    Also where elections take long: the leader is as patient with who reaches more.
    """
    for milliseconds in (1000, 3000):
        with Cluster(3, create=SHARED) as cluster:
            leader = cluster.leader()
            one, better = cluster.others(leader)
            for member in cluster.members:
                member.set("--election-timeout", str(milliseconds))
            writer = Writer(one.device)
            writer.wait_for(20)
            cluster.network.narrow_to(leader.number, one.number)
            cluster.network.narrow_to(one.number, leader.number)
            cluster.wait_leader([better])
            writer.wait_for(50)
            cluster.network.heal()
            writer.stop()
            writer.verify()


@test("failover")
def partial_cut_between_two():
    """Two of three cannot talk, the third can with both: the device goes on."""
    with Cluster(3, create=SHARED) as cluster:
        leader = cluster.leader()
        one, other = cluster.others(leader)
        writers = [Writer(one.device, slots=64), Writer(other.device, slots=64,
                                                        first_block=64)]
        cluster.network.cut(leader.number, one.number)
        for writer in writers:
            writer.wait_for(20)
        cluster.network.heal()
        cluster.wait_leader()
        for writer in writers:
            writer.stop()
            writer.verify()


@test("failover")
def returning_member_does_not_disturb():
    """A member that was cut off for long comes back without a new election."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        term = leader.status().term
        cluster.network.isolate(lost.number)
        lost.wait("it has lost the leader", lambda s: not s.has_quorum)
        writer = Writer(leader.device)
        writer.wait_for(200)
        cluster.network.heal()
        lost.wait("it is back", lambda s: s.leader == leader.number)
        writer.wait_for(50)
        writer.stop()
        assert leader.status().term == term
        assert leader.status().role == "leader"


@test("failover")
def leader_disk_fails():
    """The leader's disk fails: another member leads, no write is lost."""
    with Cluster(3) as cluster:
        cluster.check_equal = False
        leader = cluster.leader()
        others = cluster.others(leader)
        writer = Writer(others[0].device)
        writer.wait_for(20)
        events = cluster.events(leader)
        leader.disk.fail()
        cluster.wait_leader(others, not_member=leader)
        event = events.wait("disk-failed")
        assert event["member_id"] == leader.number and "disk failed" in event["text"], event
        assert events.wait("role", role="follower")
        writer.wait_for(50)
        writer.stop()
        writer.verify(others[1].device)
        leader.wait("it knows that its disk failed", lambda s: s.failed)
        leader.disk.heal()


@test("failover")
def leader_disk_hangs():
    """The leader's disk hangs: another member leads, and users go on, there as well.

    A read that is at the hanging disk is answered by the next leader.
    """
    with Cluster(3, up=("--memory", "8M"), create=SHARED) as cluster:
        leader = cluster.leader()
        others = cluster.others(leader)
        device = leader.device
        writers = [Writer(member.device, slots=32, first_block=32 * member.number)
                   for member in (leader, others[0])]
        # Block 1000 is in the data area only: to read it takes the disk.
        direct_write(device, 1000 * 4096, b"x" * 4096)
        written = leader.status().last_index
        leader.wait("it is applied", lambda s: s.applied_index >= written)
        leader.disk.hang()
        reader = Child(lambda report: direct_read(device, 1000 * 4096, 4096))
        reader.wait()
        for writer in writers:
            writer.wait_for(50)
        cluster.wait_leader(others, not_member=leader)
        leader.disk.resume()
        cluster.wait_leader()
        for writer in writers:
            writer.wait_for(20)
            writer.stop()
            writer.verify(device)


@test("failover")
def leader_disk_answers_no_reads():
    """The leader's disk hangs and nobody writes: what is read, there and elsewhere, goes on."""
    with Cluster(3, up=("--memory", "8M"), create=SHARED) as cluster:
        leader = cluster.leader()
        others = cluster.others(leader)
        for number in range(4):
            direct_write(leader.device, (1000 + number) * 4096, bytes([number + 1]) * 4096)
        written = leader.status().last_index
        for member in cluster.members:
            member.wait("it is applied", lambda s: s.applied_index >= written)
        leader.disk.hang()
        readers = [Child(lambda report, at=(member, 1000 + number): direct_read(
            at[0].device, at[1] * 4096, 4096)) for number, member in
                   enumerate((leader, others[0], others[1]))]
        for reader in readers:
            reader.wait()
        cluster.wait_leader(others, not_member=leader)
        # What the next leader begins its term with, and nothing else.
        now = others[0].status().last_index
        assert now == written + 1, "somebody wrote: %d, %d" % (written, now)
        leader.disk.resume()
        cluster.wait_leader()
        assert direct_read(leader.device, 1003 * 4096, 4096) == b"\4" * 4096


@test("failover", timeout=90)
def deep_reads_while_leadership_comes_and_goes():
    """Reads that wait for memory, for the disk and for leadership: all of them end."""
    with Cluster(3, up=("--memory", "8M"), disk_ns=2000000) as cluster:
        leader = cluster.leader()
        reads = Child(lambda report: run(
            ["fio", "--name=reads", "--filename=" + leader.device, "--thread",
             "--direct=1", "--clocksource=clock_gettime", "--ioengine=io_uring",
             "--iodepth=64", "--rw=randrw", "--rwmixwrite=10", "--bs=256k",
             "--size=32M", "--io_size=96M", "--output-format=terse"], timeout=80))
        for _ in range(8):
            done = leader.status().reads
            leader.wait("some are done", lambda s: s.reads > done + 5 or reads.ended())
            cluster.network.isolate(leader.number)
            leader.wait("it has lost its leadership", lambda s: s.role != "leader")
            cluster.network.heal()
            cluster.wait_leader()
        reads.wait(80)


@test("failover")
def follower_disk_hangs():
    """A follower's disk hangs: nobody notices."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        writer = Writer(leader.device)
        writer.wait_for(50)
        start = time.monotonic()
        cluster.others(leader)[0].disk.hang()
        writer.wait_for(400)
        hung = time.monotonic() - start
        # Whatever the machine's speed: no write waited for the disk, or for a timeout.
        assert writer.longest(start) < hung / 2, "%.2f s of %.2f s" % (
            writer.longest(start), hung)
        cluster.others(leader)[0].disk.resume()
        writer.stop()
        writer.verify()
        assert cluster.leader() is leader


@test("failover")
def slow_follower_slows_nothing():
    """A follower behind a slow network does not slow writes."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        slow = cluster.others(leader)[0]
        # In both directions. So much that it shows on a machine that is slow itself.
        delay = 0.2
        cluster.network.shape(slow.number, "delay", "%dms" % (delay * 1000))
        writer = Writer(leader.device)
        writer.wait_for(100)
        leader.wait("the other one follows, behind", lambda s: s.member(
            slow.number).connected and s.member(slow.number)["behind_entries"])
        writer.wait_for(200)
        writer.stop()
        median = sorted(took for _, _, took in writer.records())[writer.acknowledged() // 2]
        assert median < delay, "%.3f s per write" % median
        cluster.network.shape(slow.number)
        writer.verify(slow.device)


@test("failover", timeout=90)
def slow_reader_slows_no_reader():
    """A host behind a slow network reads much; another one does not read at its speed.

    Sharing what there is for reads, the other one would get nothing before the slow one has
    had the 16 MiB that it asks for; that takes 32 s.
    """
    with Cluster(3) as cluster:
        leader = cluster.leader()
        slow, other = cluster.others(leader)
        cluster.wait_caught_up()
        cluster.network.shape(slow.number, "rate", "4mbit")
        load = spawn(["fio", "--name=slow", "--filename=" + slow.device, "--rw=read",
                      "--bs=256k", "--iodepth=64", "--ioengine=libaio", "--direct=1",
                      "--time_based", "--runtime=600", "--output=/dev/null"])

        def sent(member):
            return leader.status().member(member.number).network["sent_bytes"]

        begun = sent(slow)
        leader.wait("the slow one is being answered", lambda status: status.member(
            slow.number).network["sent_bytes"] > begun + (1 << 20))
        begun = sent(slow)
        for number in range(8):
            direct_read(other.device, number << 20, 1 << 20)
        got = sent(slow) - begun
        cluster.network.shape(slow.number)
        load.terminate()
        wait_until("it has ended", lambda: load.poll() is not None, 60)
        assert got < 8 << 20, "the slow one got %d KiB meanwhile" % (got >> 10)


@test("failover", timeout=60)
def five_members_two_lost():
    """Five members: any two may be lost, the leader among them."""
    with Cluster(5, up=("--memory", "8M")) as cluster:
        leader = cluster.leader()
        others = cluster.others(leader)
        filesystem.make("ext4", others[0].device)
        with Mount(others[0].device) as point:
            writer = Writer(point + "/records", sync=True)
            writer.wait_for(20)
            cluster.network.isolate(leader.number)
            cluster.wait_leader(others)
            others[3].down()
            writer.wait_for(20)
            assert cluster.wait_leader(others[:3]).status().may_lose == 0
            others[3].up()
            cluster.network.heal()
            cluster.wait_leader()
            writer.wait_for(20)
            writer.stop()
            writer.verify()
        filesystem.check("ext4", others[0].device)


@test("failover", timeout=60)
def flapping_network():
    """Members are cut off and return in turn, ten times.

    The log is large enough for what the others write meanwhile: a member that is
    being filled does not count, and with the next one cut off nothing would.
    """
    with Cluster(3, disk_mib=300, log_size="128M", create=SHARED) as cluster:
        writers = [Writer(member.device, slots=32, first_block=32 * member.number)
                   for member in cluster.members]
        for turn in range(10):
            cluster.network.isolate(turn % 3 + 1)
            for index, writer in enumerate(writers):
                if index != turn % 3:
                    writer.wait_for(5)
            cluster.network.heal()
        for writer in writers:
            writer.wait_for(5)
            writer.stop()
            for member in cluster.members:
                writer.verify(member.device)


@test("failover", timeout=60)
def bad_network():
    """Loss, reordering and duplicates slow the device, and do nothing else."""
    with Cluster(3, create=SHARED) as cluster:
        for member in cluster.members:
            cluster.network.shape(member.number, "delay", "2ms", "1ms", "loss", "2%",
                                  "duplicate", "2%")
        writers = [Writer(member.device, slots=32, first_block=32 * member.number)
                   for member in cluster.members]
        for writer in writers:
            writer.wait_for(100)
        for writer in writers:
            writer.stop()
            writer.verify()
        for member in cluster.members:
            cluster.network.shape(member.number)
