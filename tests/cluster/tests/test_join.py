# SPDX-License-Identifier: GPL-2.0
"""Hosts join a device that is up elsewhere."""

import os
import stat
import subprocess

from lib.cluster import Cluster, refused
from lib.registry import test
from lib.shell import finish, run, spawn, wait_until
from lib.workload import BLOCK, Writer, direct_write, pattern
from tests.test_changes import become_three, wait_roles
from tests.test_rejoin import FILL, fill_log, half_filled, received


@test("join")
def three_commands_make_three_replicas():
    """create, and two join under load, one by way of a follower; nothing else is needed."""
    with Cluster(3, alone=True) as cluster:
        first = cluster.member(1)
        status = first.status()
        assert (status.role, status.voters, status.quorum_needed) == ("leader", 1, 1)
        assert stat.S_IMODE(os.stat(cluster.token).st_mode) == 0o600
        events = {number: cluster.events(cluster.member(number)) for number in (2, 3)}
        writer = Writer(first.device, pause=0.01)
        writer.wait_for(10)
        for number, contact in (2, 1), (3, 2):
            cluster.join(number, contact=contact)
            wait_roles(cluster.members[:number], range(1, number + 1))
            # What was written so far is in the log, and comes from there.
            got, written = received(cluster.member(number)), writer.acknowledged() * BLOCK
            assert got < 1.1 * written + (1 << 20), "%d bytes for %d" % (got, written)
            assert not events[number].told(*FILL), events[number].told(*FILL)
            writer.wait_for(50)
        writer.stop()
        writer.verify()
        for member in cluster.members:
            status = member.status()
            assert [one["name"] for one in status.members] == ["alpha", "beta", "gamma"]
            assert (status.voters, status.quorum_needed) == (3, 2)
        # It is as if it had always been so.
        cluster.lead(3)
        first.power_cut()
        direct_write(cluster.member(2).device, 0, pattern(1, 1))


@test("join")
def a_fresh_join_is_sent_next_to_nothing():
    """Nothing was written: less than 1 MiB of the 64 that the device has."""
    with Cluster(2, alone=True) as cluster:
        second = cluster.member(2)
        events = cluster.events(second)
        cluster.join(2)
        wait_roles(cluster.members, [1, 2])
        cluster.wait_caught_up()
        assert received(second) < 1 << 20, received(second)
        assert not events.told(*FILL), events.told(*FILL)


@test("join", timeout=90)
def join_by_extents():
    """What the log has no more comes as extents; more is written meanwhile."""
    with Cluster(2, size="64M", log_size="8M", alone=True) as cluster:
        first = cluster.member(1)
        fill_log(cluster, first, 40)
        assert first.status().first_index > 1, "the log still has everything"
        writer = Writer(first.device, slots=64)
        events = cluster.events(cluster.member(2))
        cluster.join(2)
        events.wait("fill-done", timeout=60)
        wait_roles(cluster.members, [1, 2])
        writer.wait_for(50)
        writer.stop()
        writer.verify()


@test("join")
def join_a_leader_that_joined():
    """The log tells of lists that do not have the leader; a fourth one reads it whole."""
    with Cluster(4, size="64M", log_size="40M", alone=True) as cluster:
        become_three(cluster)
        leader = cluster.lead(3)
        fill_log(cluster, leader, 16)
        fourth = cluster.member(4)
        cluster.network.shape(4, "rate", "50mbit")
        cluster.join(4, contact=2)
        target = leader.status().last_index
        fourth.wait("it has some of the log", lambda status:
                    5 < status.durable_index < target / 2)
        # Its own list is newer than those in the part of the log that it has.
        fourth.power_cut()
        cluster.network.shape(4)
        cluster.network.heal()
        fourth.up()
        listed = [one["id"] for one in fourth.status().members]
        assert listed == [1, 2, 3, 4], listed
        wait_roles(cluster.members, [1, 2, 3, 4])
        assert leader.status().first_index == 1, "the log was not read whole"


@test("join")
def two_join_at_once():
    """Each gets an id of its own, whoever is first."""
    with Cluster(3, alone=True) as cluster:
        processes = [spawn(cluster.join_command(number, host="host%d" % number),
                           cluster.member(number).netns) for number in (2, 3)]
        for process in processes:
            wait_until("one has joined", lambda p=process: p.poll() is not None)
        assert [process.returncode for process in processes] == [0, 0]
        for member in cluster.members[1:]:
            member.removed = False
            member.is_up = True
        wait_roles(cluster.members, [1, 2, 3])
        listed = cluster.member(1).status().members
        assert sorted(one["name"] for one in listed) == ["alpha", "host2", "host3"]
        assert sorted(member.status().member_id for member in cluster.members) == [1, 2, 3]


@test("join")
def join_as_learner():
    """--learner never votes; --no-up leaves the rest to up; --priority is kept."""
    with Cluster(2, alone=True, family=6) as cluster:
        first, second = cluster.members
        # What is to be run on the new host is said on the old one.
        told = first.qbdadm("member", "add", "vol").output
        assert "qbdadm join [fd00::1]:7900 vol " in told, told
        assert first.qbdadm("member", "add", "vol", "beta", check=False).status == 2
        cluster.join(2, "--learner", "--no-up", "--priority", "7")
        assert not cluster.member(1).status().member(2)["connected"]
        second.up()
        wait_roles(cluster.members, [1], [2])
        direct_write(first.device, 0, pattern(1, 1))
        assert first.status().member(2)["priority"] == 7
        cluster.change(first, "promote", 2)
        wait_roles(cluster.members, [1, 2])


@test("join", timeout=90)
def joining_member_loses_power():
    """Before it has anything, and half filled: it goes on, and votes in the end."""
    with Cluster(3, size="64M", log_size="8M", alone=True) as cluster:
        first, second, third = cluster.members
        cluster.join(2, "--no-up")
        second.disk.power_cut()
        second.up()
        wait_roles([first, second], [1, 2])
        leader = cluster.lead(2)
        fill_log(cluster, leader, 40)
        cluster.network.shape(3, "rate", "100mbit")
        cluster.join(3)
        half_filled(third)
        third.power_cut()
        cluster.network.shape(3)
        cluster.network.heal()
        third.up()
        wait_roles(cluster.members, [1, 2, 3])


@test("join")
def join_while_the_leader_changes():
    """Whoever leads when it is asked; one that is cut off does not answer for the others."""
    with Cluster(4, alone=True) as cluster:
        become_three(cluster)
        cluster.lead(1)
        cluster.network.isolate(1)
        # By way of one that still takes the lost one for the leader, for a moment.
        cluster.join(4, contact=2)
        rest = cluster.members[1:]
        wait_roles(rest, [1, 2, 3, 4])
        assert cluster.wait_leader(rest).number != 1
        cluster.network.heal()
        wait_roles(cluster.members, [1, 2, 3, 4])


@test("join", timeout=60)
def an_id_of_a_lost_list():
    """A list that gives it is lost with its leader, and another host gets it: whoever it was
    given to first has not taken it, and gets a new one."""
    with Cluster(5, alone=True) as cluster:
        alpha, beta, gamma, delta, epsilon = cluster.members
        for number in (2, 3):
            cluster.join(number)
        wait_roles(cluster.members[:3], [1, 2, 3])
        cluster.lead(1)
        # Heartbeats get there, and no list does.
        cluster.network.narrow_to(1, 2, 3)
        argv = cluster.join_command(4)
        process = spawn(argv, delta.netns, text=True, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)
        status = alpha.wait("delta is in its list", lambda status: status.next_member_id == 5)
        assert status.member(4)["name"] == "delta" and \
            status.commit_index < status.members_index, status
        lost = status.member(4)["incarnation"]
        cluster.network.set_cuts({pair for one in (1, 4) for other in (2, 3, 5)
                                  for pair in ((one, other), (other, one))})
        cluster.wait_leader([beta, gamma])
        cluster.join(5, contact=2)
        assert epsilon.status().member_id == 4
        assert process.poll() is None
        refused(run(["qbdadm", "dump", delta.disk.path], check=False), "is no qbd disk")
        cluster.network.heal()
        finish(process, argv, 30)
        delta.removed, delta.is_up = False, True
        assert delta.status().member_id == 5
        wait_roles(cluster.members, [1, 2, 3, 4, 5])
        for member in cluster.members:
            status = member.wait("it sees all others", lambda status: all(
                one["self"] or one["connected"] for one in status.members))
            assert status.next_member_id == 6 and not status.problem, status
            assert [one["name"] for one in status.members[3:]] == ["epsilon", "delta"]
            assert status.member(5)["incarnation"] == lost != status.member(4)["incarnation"]


@test("join", timeout=90)
def join_without_quorum_gives_up():
    """The change is not committed: it says so after a while, and what to do."""
    with Cluster(3, alone=True) as cluster:
        cluster.join(2)
        wait_roles(cluster.members[:2], [1, 2])
        cluster.member(2).down()
        cluster.member(1).wait("no leader", lambda status: not status.leader)
        line = refused(cluster.join(3, check=False, timeout=60), "no leader is known")
        assert "30 s" in line or "majority" in line, line
        cluster.member(2).up()
        cluster.wait_leader()
        wait_roles(cluster.members[:2], [1, 2])
        cluster.join(3)
        wait_roles(cluster.members, [1, 2, 3])


def empty(disk):
    """Nothing has been written on it."""
    head = run(["cmp", "-n", str(1 << 20), disk.path, "/dev/zero"], check=False)
    return head.status == 0


@test("join", timeout=60)
def join_refusals():
    """What cannot be is refused in one line, before anybody or anything is changed."""
    with Cluster(2, alone=True) as cluster:
        first, second = cluster.members
        other = cluster.token + ".other"
        run(["qbdadm", "token", "new", "--out", other])
        mixed = cluster.token + ".mixed"
        with open(cluster.token) as ours, open(other) as theirs:
            device = ours.read().split(":")[1]
            secret = theirs.read().split(":")[2]
        with open(mixed, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write("qbd1:%s:%s" % (device, secret))
        before = first.status()
        small = []      # and one that is not
        for size in ("16M", "40M", "160M"):
            run(["truncate", "-s", size, cluster.token + size])
            small.append(run(["losetup", "--find", "--show",
                              cluster.token + size]).output.strip())

        def no(*words, **wrong):
            result = run(cluster.join_command(2, **wrong), netns=second.netns, check=False)
            refused(result, *words)
            assert first.status().members_index == before.members_index
            assert empty(second.disk), "something was written: %s" % result.errors

        try:
            no("another device", token=other)
            no("secret is not the device's", token=mixed)
            no("is too small: 16.0 MiB", disk=small[0])
            no("a device of 64.0 MiB does not fit", disk=small[1])
            no("is called vol there, not vol1", name="vol1")
            no("member 1 is called alpha", "--name", host="alpha")
            no("member 1 (alpha) listens at 10.0.0.1:7900", listen="10.0.0.1")
            no("same kind", listen="fd00::2")
            no("no such address", listen="10.0.0.77")
            no("nobody listens there", contact="10.0.0.1:7901")
            no("nobody listens there", contact="10.0.0.2")
            no("cannot be reached", contact="203.0.113.7")
            cluster.network.isolate(1)
            no("no answer within 5 s")
            cluster.network.heal()
            # A wrong token is no secret to whoever is asked.
            assert cluster.log.find("a program at 10.0.0.2.* is refused: another device")
            cluster.join(2)
            wait_roles(cluster.members, [1, 2])
            # Twice is once too much.
            result = run(cluster.join_command(2, disk=small[2]), netns=second.netns,
                         check=False)
            refused(result, "member 2 is called beta already", "member remove vol 2")
        finally:
            run(["losetup", "-d", *small])


def digest(disk):
    return run(["sha256sum", disk.path], timeout=60).output.split()[0]


@test("join", timeout=90)
def nine_voters_and_no_more():
    """A tenth is told so before its disk is touched, --force or not; as a learner it comes."""
    with Cluster(2, alone=True) as cluster:
        first, second = cluster.members
        # Those that are to vote count, as for the leader; they have one disk in turns.
        for number in range(2, 10):
            run(cluster.join_command(2, "--no-up", "--force", host="voter%d" % number,
                                     listen="10.0.0.2:%d" % (8000 + number)),
                netns=second.netns)
        run(["mkfs.ext4", "-q", "-F", second.disk.path])
        before, index = digest(second.disk), first.status().members_index
        for kind in (), ("--witness",):
            result = run(cluster.join_command(2, "--no-up", "--force", *kind),
                         netns=second.netns, check=False)
            line = refused(result, "10 voters", "--learner")
            assert digest(second.disk) == before, "something was written: %s" % line
        assert first.status().members_index == index
        cluster.join(2, "--force", "--learner")
        second.wait("it is in the list", lambda status: len(status.members) == 10)


@test("join")
def join_where_the_name_is_up():
    """What comes up under a name that is taken would not: said before anything is done."""
    with Cluster(2, alone=True) as cluster:
        first, second = cluster.members
        before = first.status().members_index
        result = run(cluster.join_command(2, listen="10.0.0.1:7901"), netns=first.netns,
                     check=False)
        refused(result, "is up on this host already, as member 1")
        assert empty(second.disk) and first.status().members_index == before


@test("join")
def join_with_force():
    """What is on a disk is destroyed only if that was said."""
    with Cluster(2, alone=True) as cluster:
        second = cluster.member(2)
        run(["mkfs.ext4", "-q", second.disk.path])
        result = run(cluster.join_command(2), netns=second.netns, check=False)
        refused(result, "carries an ext4")
        cluster.join(2, "--force")
        wait_roles(cluster.members, [1, 2])
