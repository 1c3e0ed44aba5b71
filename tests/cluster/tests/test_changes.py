# SPDX-License-Identifier: GPL-2.0
"""Members of a device in use are removed, demoted, promoted, replaced."""

import errno
import subprocess
import time

from lib.cluster import SHARED, Cluster, refused
from lib.damage import Log, current_state
from lib.registry import test
from lib.shell import SLOWNESS, finish, never, run, spawn, wait_until
from lib.workload import Writer, direct_read, direct_write, pattern


def roles(status):
    """What each member is: ids of voters and of learners; nothing is still to come."""
    voters, learners = [], []
    for member in status.members:
        assert not (member["joining"] or member["leaving"] or member["demoting"] or
                    member["voter_old"]), member
        (voters if member["voter"] else learners).append(member["id"])
    return voters, learners


def wait_roles(members, voters, learners=()):
    """Until all these members know this list of members and no other."""
    for member in members:
        member.wait("voters %s, learners %s" % (voters, learners), lambda status: [
            (one["id"], one["voter"], one["voter_old"]) for one in status.members] == [
                (number, number in voters, False)
                for number in sorted([*voters, *learners])])
        roles(member.status())


def become_three(cluster):
    """Of a cluster that is one member: two more join, one after the other."""
    for number in (2, 3):
        cluster.join(number)
        wait_roles(cluster.members[:number], range(1, number + 1))


# So long that no machine takes it for the time that a change takes: who waits for an election
# waits for longer.
ELECTION = 2
CALM = ("--memory", "16M", "--election-timeout", str(ELECTION * 1000))


@test("membership", timeout=90)
def demote_and_promote_under_load():
    """Voters become learners and voters again; a writer does not notice."""
    with Cluster(5, up=CALM) as cluster:
        leader = cluster.leader()
        term = leader.status().term
        others = cluster.others(leader)
        writer = Writer(others[0].device)
        writer.wait_for(20)
        gone = [one.number for one in others[2:]]
        cluster.change(others[1], "demote", *gone)
        stay = [one for one in range(1, 6) if one not in gone]
        wait_roles(cluster.members, stay, gone)
        assert cluster.leader().status().quorum_needed == 2
        writer.wait_for(20)
        cluster.change(leader, "promote", *gone)
        wait_roles(cluster.members, [1, 2, 3, 4, 5])
        writer.wait_for(20)
        assert writer.longest() < ELECTION * SLOWNESS, "writes stood still %.2f s" % \
            writer.longest()
        assert cluster.leader() is leader and leader.status().term == term
        writer.stop()
        writer.verify()


@test("membership")
def learners_do_not_count():
    """What two voters have is committed, whatever learners have; and they elect nobody."""
    with Cluster(5) as cluster:
        leader = cluster.lead(1)
        cluster.change(leader, "demote", 4, 5)
        wait_roles(cluster.members, [1, 2, 3], [4, 5])
        cluster.member(3).power_cut()
        direct_write(leader.device, 0, pattern(1, 1))
        cluster.member(2).power_cut()
        # Leader and two learners: three of five members, one of three voters.
        cluster.member(4).wait("no leader", lambda status: not status.leader)
        cluster.network.heal()
        for number in (2, 3):
            cluster.member(number).up()
        assert cluster.leader().number in (1, 2, 3)


@test("membership", timeout=90)
def remove_follower_and_leader():
    """A follower, then the leader is removed under load: it says so, and its I/O fails."""
    with Cluster(5, up=CALM) as cluster:
        leader = cluster.leader()
        one, two, three, four = cluster.others(leader)
        writer = Writer(three.device)
        writer.wait_for(20)
        cluster.change(three, "remove", one)
        wait_roles([leader, two, three, four],
                   sorted(member.number for member in (leader, two, three, four)))
        result = run(["dd", "if=" + one.device, "of=/dev/null", "bs=4k", "count=1",
                      "iflag=direct"], check=False)
        assert "Input/output error" in result.errors, result.text
        cluster.retire(one)
        writer.wait_for(20)
        events = cluster.events(leader)
        term = leader.status().term
        begin = time.monotonic()
        cluster.change(three, "remove", leader)
        events.wait("removed")
        wait_roles([two, three, four],
                   sorted(member.number for member in (two, three, four)))
        # It has handed leadership over; nobody waited until it was missed.
        heir = cluster.wait_leader([two, three, four])
        assert cluster.log.find("leadership goes to member %d: this one is to leave" %
                                heir.number)
        assert heir.status().term == term + 1, (heir.status().term, term)
        cluster.retire(leader)
        writer.wait_for(20)
        assert writer.longest(begin) < ELECTION * SLOWNESS, "writes stood still %.2f s" % \
            writer.longest(begin)
        writer.stop()
        writer.verify()
        # It does not come back by accident.
        refused(leader.up(check=False), "was removed from the device")


@test("membership")
def remove_two_at_once():
    """Two of five go in one step, one of them the leader; those that go are not asked."""
    with Cluster(5) as cluster:
        leader = cluster.lead(1)
        cluster.change(leader, "remove", "alpha", 2)
        rest = [cluster.member(number) for number in (3, 4, 5)]
        wait_roles(rest, [3, 4, 5])
        for number in (1, 2):
            cluster.retire(cluster.member(number))
        assert cluster.wait_leader(rest) in rest


@test("membership")
def remove_a_dead_member():
    """A member that is down for good is removed; what is left goes on with two of two."""
    with Cluster(3) as cluster:
        leader = cluster.lead(1)
        dead = cluster.member(3)
        dead.down()
        cluster.change(leader, "remove", dead)
        wait_roles([leader, cluster.member(2)], [1, 2])
        dead.removed = True
        direct_write(leader.device, 0, pattern(7, 7))
        # Its disk still names it a member: it comes up, is told, and nobody talks to it.
        dead.up()
        dead.wait("it is told", lambda status: status.removed)
        assert not dead.status().leader
        wait_until("both refuse it", lambda: all(
            "removed" in dead.status().member(number).network["last_error"]
            for number in (1, 2)))
        assert [one["text"] for one in dead.status().problems] == [
            "this member was removed from the device: take it down"]
        refused(dead.qbdadm("verify", "vol", check=False), "was removed from the device")
        dead.down()


@test("membership")
def replace_a_dead_voter():
    """By name, in one step: who was lost is out, and who was a learner votes in its place."""
    with Cluster(4) as cluster:
        leader = cluster.lead(1)
        cluster.change(leader, "demote", "delta")
        wait_roles(cluster.members, [1, 2, 3], [4])
        dead = cluster.member(3)
        dead.power_cut()
        cluster.change(cluster.member(2), "replace", "gamma", "delta")
        rest = [cluster.member(number) for number in (1, 2, 4)]
        wait_roles(rest, [1, 2, 4])
        dead.removed = True
        assert cluster.wait_leader(rest).status().quorum_needed == 2
        # It counts: with one of the other two it is a majority.
        cluster.member(2).power_cut()
        direct_write(cluster.member(4).device, 0, pattern(3, 3))


@test("membership")
def remove_one_with_a_failed_disk():
    """A member is up and its disk has failed: it takes no list any more, and is removed."""
    with Cluster(3) as cluster:
        leader = cluster.lead(1)
        failed = cluster.member(3)
        failed.disk.fail()
        direct_write(leader.device, 0, pattern(3, 3))
        failed.wait("it knows that its disk failed", lambda status: status.failed)
        cluster.change(leader, "remove", failed)
        wait_roles([leader, cluster.member(2)], [1, 2])
        direct_write(leader.device, 0, pattern(4, 4))
        failed.disk.heal()
        failed.down()
        failed.removed = True


@test("membership")
def replace_the_only_voter():
    """All voters go in one step: nobody else could lead before; data and users stay."""
    with Cluster(2) as cluster:
        leader = cluster.lead(1)
        other = cluster.member(2)
        cluster.change(leader, "demote", 2)
        wait_roles(cluster.members, [1], [2])
        direct_write(leader.device, 0, pattern(5, 5))
        cluster.change(leader, "replace", 1, 2)
        wait_roles([other], [2])
        cluster.retire(leader)
        assert cluster.wait_leader([other]) is other
        direct_write(other.device, 0, pattern(6, 6))


@test("membership")
def a_removed_member_is_told():
    """It was down, and has the lowest id: nobody dials it, so it knocks in the end."""
    with Cluster(3) as cluster:
        dead = cluster.member(1)
        leader = cluster.lead(2)
        dead.down()
        cluster.change(leader, "remove", dead)
        wait_roles([leader, cluster.member(3)], [2, 3])
        dead.up()
        dead.wait("it is told", lambda status: status.removed)
        assert "was removed" in dead.status().problem
        try:
            direct_read(dead.device, 0, 4096)
            raise AssertionError("its I/O does not fail")
        except OSError as error:
            assert error.errno == errno.EIO, error
        dead.down()
        dead.removed = True


@test("membership")
def a_new_disk_is_promoted_when_it_is_whole():
    """A learner whose disk was made anew votes when it knows what it may have promised."""
    with Cluster(5) as cluster:
        leader = cluster.lead(1)
        cluster.change(leader, "demote", 5)
        wait_roles(cluster.members, [1, 2, 3, 4], [5])
        learner = cluster.member(5)
        learner.down()
        learner.disk.wipe()
        cluster.create(learner)
        cluster.member(4).down()
        direct_write(leader.device, 0, pattern(1, 1))
        learner.up()
        cluster.change(leader, "promote", 5, "--no-wait")
        learner.wait("it has everything", lambda status: status.applied_index >=
                     leader.status().applied_index > 0)
        never("it was promoted before it met all", lambda: not leader.status().member(
            5).joining, 1)
        cluster.member(4).up()
        wait_roles(cluster.members, [1, 2, 3, 4, 5])


def move_host(member, old, new):
    """The host gets another address and gives the one that it had up."""
    run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/promote_secondaries"],
        netns=member.netns)
    run(["ip", "addr", "add", new + "/24", "dev", "eth0"], netns=member.netns)
    return lambda: run(["ip", "addr", "del", old + "/24", "dev", "eth0"], netns=member.netns)


def addresses(status):
    return [member["address"] for member in status.members]


@test("membership", timeout=90)
def addresses_change_under_load():
    """A follower and the leader get other addresses; who was down meanwhile finds them."""
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        writer = Writer(gamma.device)
        writer.wait_for(20)
        before = addresses(alpha.status())
        refused(cluster.change(alpha, "set", 2, "--listen", "10.0.0.12", check=False),
                "on its own host")
        refused(cluster.change(beta, "set", 2, "--listen", "10.0.0.77", check=False),
                "this host has no address 10.0.0.77")
        refused(cluster.change(beta, "set", 2, "--listen", "[fd00::12]", check=False),
                "another kind")
        refused(cluster.change(beta, "set", 2, "--listen", "10.0.0.1:7900", check=False), "address")
        assert addresses(gamma.status()) == before
        leave = move_host(beta, "10.0.0.2", "10.0.0.12")
        cluster.change(beta, "set", 2, "--listen", "10.0.0.12:7901")
        wait_until("all have moved", lambda: cluster.log.find("found this member at its new"))
        leave()
        writer.wait_for(50)
        for member in cluster.members:
            assert addresses(member.status()) == [before[0], "10.0.0.12:7901", before[2]]
        # Now the leader, which dials nobody, while one that has to dial it is down.
        writer.stop()
        assert writer.longest() < 2 * SLOWNESS, "writes stood still %.2f s" % writer.longest()
        gamma.down()
        leave = move_host(alpha, "10.0.0.1", "10.0.0.11")
        cluster.change(alpha, "set", 1, "--listen", "10.0.0.11")
        beta.wait("it has moved over", lambda status: addresses(status)[0] ==
                  "10.0.0.11:7900" and status.member(1).connected)
        leave()
        beta.down()
        gamma.up()
        # It dials where alpha was, and nobody can tell it: alpha knocks.
        gamma.wait("it is found", lambda status: status.member(1).connected and
                   addresses(status)[0] == "10.0.0.11:7900")
        beta.up()
        cluster.wait_leader()
        writer.verify(alpha.device)
        # They come up where they were moved to.
        for member in cluster.members:
            member.down()
        cluster.up()
        cluster.wait_leader()
        writer.verify(beta.device)


@test("membership", timeout=60)
def who_moved_before_it_knew_is_found():
    """alpha loses its power before it has the list by which it moved. Only delta, which leads by
    then and which it has never heard of, could dial it, and does so where that list has it."""
    with Cluster(4, alone=True) as cluster:
        alpha, beta, gamma, delta = cluster.members
        become_three(cluster)
        cluster.lead(2)
        before = alpha.status()
        # Requests and heartbeats pass, and lists to alpha do not.
        cluster.network.narrow_to(2, 1)
        command = ["qbdadm", "member", "set", cluster.name, "1", "--listen", "10.0.0.1:7901"]
        asking = spawn(command, netns=alpha.netns, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
        moved = gamma.wait("it is committed", lambda status: status.commit_index >=
                           status.members_index > before.members_index)
        assert addresses(moved)[0] == "10.0.0.1:7901"
        alpha.power_cut()
        assert finish(asking, command, 20).status
        cluster.network.heal()
        cluster.network.isolate(1)
        cluster.join(4, contact=2)
        wait_roles([beta, gamma, delta], [1, 2, 3, 4])
        cluster.lead(4)
        # It was asked for, and is not in its log.
        newest = current_state(alpha.disk)
        assert newest["move_address"] == "10.0.0.1:7901", newest
        assert newest["move_list"] == before.members_index, newest
        alpha.up()
        assert addresses(alpha.status())[0] == "10.0.0.1:7900"
        cluster.network.heal()
        alpha.wait("it is found", lambda status: status.leader == 4 and
                   addresses(status)[0] == "10.0.0.1:7901")
        direct_write(alpha.device, 0, pattern(1, 0))
        wait_until("all have moved", lambda: cluster.log.find("found this member at its new"))


@test("membership")
def refused_changes():
    """What would leave no majority, or makes no sense, is refused; nothing changes."""
    with Cluster(5) as cluster:
        leader = cluster.lead(1)
        before = leader.status().members_index
        for number in (4, 5):
            cluster.member(number).down()
        leader.wait("4 and 5 are gone", lambda status: status.voters_up == 3)
        # Who is missed, and how many of them: the leader says it, and so does who asks it.
        for by in cluster.members[:2]:
            refused(cluster.change(by, "demote", 2, 3, check=False), "majority",
                    "members 4, 5 are down", "1 of them")
            refused(cluster.change(by, "remove", 2, 3, 4, check=False), "majority",
                    "member 5 is down")
        refused(cluster.change(leader, "remove", 7, check=False), "no member")
        refused(cluster.change(leader, "remove", 2, "beta", check=False), "same member")
        refused(cluster.change(leader, "remove", 1, 2, 3, 4, 5, check=False), "one to nine")
        refused(cluster.change(leader, "promote", 2, check=False), "so already")
        refused(cluster.change(leader, "set", 2, "--name", "gamma", check=False),
                "another member's")
        assert cluster.change(leader, "set", 2, check=False).status == 2
        assert leader.status().members_index == before
        roles(leader.status())
        cluster.member(2).down()
        leader.wait("no leader", lambda status: not status.leader)
        refused(cluster.change(leader, "remove", 2, 3, check=False), "no leader")
        # Nothing is to change: that is said as if there was one.
        refused(cluster.change(leader, "promote", 3, check=False), "so already")


@test("membership")
def own_device_in_use():
    """Who uses the device on a member that is to go has to say --force."""
    with Cluster(3) as cluster:
        member = cluster.others(cluster.leader())[0]
        with open(member.device, "rb"):
            refused(cluster.change(member, "remove", member, check=False), "in use", "--force")
            cluster.change(member, "remove", member, "--force")
        cluster.retire(member)


@test("membership")
def change_survives_its_leader():
    """The leader that began a change is lost, before it could go on; the next one brings it
    to its end."""
    with Cluster(5) as cluster:
        leader = cluster.lead(1)
        cluster.change(leader, "demote", 5)
        wait_roles(cluster.members, [1, 2, 3, 4], [5])
        cluster.member(5).down()
        leader.wait("5 is gone", lambda status: not status.member(5).connected)
        # It cannot come true: the learner is down.
        result = cluster.change(leader, "promote", 5, "--wait", 1, check=False)
        refused(result, "is not connected")
        leader.power_cut()
        rest = [cluster.member(number) for number in (2, 3, 4)]
        cluster.wait_leader(rest)
        assert rest[0].status().member(5).joining
        # Taken back, and said again: both by the new leader.
        cluster.change(rest[0], "demote", 5)
        cluster.change(rest[1], "promote", 5, "--no-wait")
        cluster.member(5).up()
        wait_roles([*rest, cluster.member(5)], [1, 2, 3, 4, 5])
        cluster.network.heal()
        leader.up()
        wait_roles(cluster.members, [1, 2, 3, 4, 5])


def is_joint(status):
    return any(member["voter_old"] for member in status.members)


class Joint:
    """Five members, 1 leads. 5, a learner, takes the place of 4: with the joint list in some
    logs the leader loses power.

    Lists are large, and nothing else is while nobody writes: so who gets one is a matter of
    what packets get there, and heartbeats and their answers go on.
    """

    def __init__(self, cluster):
        self.cluster = cluster
        self.leader = cluster.lead(1)
        self.voters = cluster.members[1:4]
        self.learner = cluster.member(5)
        cluster.change(self.leader, "demote", 5)
        wait_roles(cluster.members, [1, 2, 3, 4], [5])
        self.learner.down()
        # What is meant is in the list, and comes true when 5 is there.
        cluster.change(self.leader, "replace", 4, 5, "--no-wait")
        for member in cluster.members[:4]:
            member.wait("it knows what is meant", lambda status: status.member(5).joining and
                        status.commit_index >= status.members_index)
        self.meant = self.leader.status().members_index
        self.term = self.leader.status().term
        self.index = None

    def wait_joint(self, *numbers):
        """Until it is on their disks."""
        for number in numbers:
            self.cluster.member(number).wait("the joint list", lambda status: is_joint(
                status) and status.durable_index >= status.members_index == self.index)

    def append(self, *more):
        """The leader, 5 and these have it, and the others get nothing."""
        self.cluster.network.narrow_to(1, *(number for number in (2, 3, 4) if number not in more))
        self.learner.up()
        self.index = self.leader.wait("the joint list", is_joint).members_index
        assert self.index > self.meant
        self.wait_joint(1, 5, *more)
        for number in (2, 3, 4):
            assert is_joint(self.cluster.member(number).status()) == (number in more)
        self.is_not_committed()

    def append_at_all(self):
        """Everybody has it, and nobody but the leader and 5 on disk."""
        for member in self.voters:
            member.disk.hang()
        self.learner.up()
        self.index = self.leader.wait("the joint list", is_joint).members_index
        self.wait_joint(1, 5)
        for member in self.voters:
            member.wait("the joint list", lambda status: status.members_index == self.index)
        self.is_not_committed()

    def resume(self):
        for member in self.voters:
            member.disk.resume()

    def commit(self):
        """It is on all disks. The list that comes next nobody gets."""
        self.cluster.network.narrow_to(1, 2, 3, 4, 5)
        self.resume()
        self.leader.wait("the last list", lambda status: status.commit_index >= self.index and
                         status.members_index == self.index + 1 and not is_joint(status))
        self.wait_joint(2, 3, 4, 5)

    def is_not_committed(self):
        for member in self.cluster.members:
            status = member.status()
            assert status.commit_index < self.index, status
        status = self.leader.status()
        assert (status.role, status.term) == ("leader", self.term), status

    def cut_off(self, *numbers):
        """These, and the leader; all others hear each other."""
        network = self.cluster.network
        network.set_cuts({pair for number in (1, *numbers) for other in network.numbers
                          if other != number for pair in ((number, other), (other, number))})

    def lose_leader(self, *cut_off):
        """Of the others all but these hear each other."""
        self.cluster.network.isolate(*cut_off)
        self.leader.power_cut()
        self.cut_off(*cut_off)

    def nobody_is_elected(self):
        """By those who hear each other, 2 and 3 among them."""
        two_three = self.voters[:2]
        for member in two_three:
            member.wait("nobody leads", lambda status: not status.leader)
        never("one is elected", lambda: any(
            member.status().leader for member in two_three), 1)

    def is_finished(self, kept=True):
        """By whoever leads now: all know the same list, and who is not in it does not vote.
        The joint list is in the log still if it was kept; else that has something else there."""
        cluster = self.cluster
        four, rest = cluster.member(4), [cluster.member(number) for number in (2, 3, 5)]
        # Slowly: the joint list has to be in the log still.
        writer = Writer(rest[1].device, pause=0.02)
        wait_roles(rest, [1, 2, 3, 5])
        assert len({member.status().members_index for member in rest}) == 1
        writer.wait_for(20)
        four.wait("it knows that it was removed", lambda status: status.removed)
        # 2 and 3 of four voters, and 4, which is there: would elect somebody if it voted.
        self.learner.down()
        log = Log(self.learner.disk)
        assert self.index in log.records, (self.index, log.state, log.last_index)
        record = log.records[self.index]
        assert (record["term"] == self.term) == kept, record
        self.nobody_is_elected()
        self.learner.up()
        assert cluster.wait_leader(rest) in rest
        writer.wait_for(20)
        cluster.retire(four)
        cluster.network.heal()
        self.leader.up()
        wait_roles([self.leader, *rest], [1, 2, 3, 5])
        writer.stop()
        writer.verify(self.leader.device)


@test("membership", timeout=90)
def joint_list_is_lost_with_its_leader():
    """The learner alone has it: the others undo it, and do it again when the learner is back."""
    with Cluster(5) as cluster:
        joint = Joint(cluster)
        joint.append()
        joint.lose_leader(5)
        cluster.wait_leader(joint.voters)
        for member in joint.voters:
            member.wait("something else is committed there",
                        lambda status: status.commit_index >= joint.index)
            status = member.status()
            assert status.members_index == joint.meant and not is_joint(status), status
        assert is_joint(joint.learner.status())
        for number in (2, 3, 4):
            cluster.network.mend(number, 5)
        joint.is_finished(kept=False)


@test("membership", timeout=90)
def joint_list_is_in_one_more_log():
    """A minority of the old voters has it: one of them alone can lead, and finishes it."""
    with Cluster(5) as cluster:
        joint = Joint(cluster)
        joint.append(2)
        joint.lose_leader()
        joint.is_finished()


@test("membership", timeout=90)
def joint_list_at_a_majority():
    """All have it, and the leader is lost before it hears so: it is finished, not undone; by
    who has a majority of the old and of the new voters."""
    with Cluster(5) as cluster:
        joint = Joint(cluster)
        joint.append_at_all()
        joint.lose_leader(5)
        joint.resume()
        # 2, 3, 4 are a majority of those who voted; 2, 3, 5 one of those who shall.
        for number in (5, 4):
            joint.cut_off(number)
            joint.nobody_is_elected()
        for member in cluster.members[1:]:
            status = member.status()
            assert status.commit_index < joint.index, status
        joint.cut_off()
        joint.is_finished()


@test("membership")
def a_change_waits_for_a_disk_that_hangs():
    """Of three one is to go, and of the two that stay one has a disk that hangs, though it is
    heard. Before the change comes about users do not wait for that one; then it does."""
    with Cluster(3) as cluster:
        leader, two, three = cluster.lead(1), cluster.member(2), cluster.member(3)
        three.disk.hang()
        cluster.change(leader, "remove", two, "--no-wait")
        leader.wait("what is meant", lambda status: status.member(2).leaving and
                    status.commit_index >= status.members_index)
        never("the list is joint", lambda: is_joint(leader.status()), 1)
        direct_write(leader.device, 0, pattern(1, 1))
        three.disk.resume()
        wait_roles([leader, three], [1, 3])
        direct_write(leader.device, 0, pattern(2, 2))
        cluster.retire(two)


def dies(cluster, leader, number):
    """A learner loses its power, and the leader knows."""
    cluster.member(number).power_cut()
    leader.wait("it is known to be away", lambda status: not status.member(number).connected)


def comes_back(cluster, number):
    cluster.network.heal()
    cluster.member(number).up()


def joins_and_dies(cluster, leader, number):
    """It was a learner, and is to vote: away for good."""
    dies(cluster, leader, number)
    cluster.change(leader, "promote", number, "--no-wait")
    leader.wait("what is meant", lambda status: status.member(number).joining and
                status.commit_index >= status.members_index)


@test("membership")
def who_goes_does_not_wait_for_who_comes():
    """A learner is to vote and is away; another one is removed meanwhile, and is gone."""
    with Cluster(5) as cluster:
        leader = cluster.lead(1)
        for number in (4, 5):
            cluster.change(leader, "demote", number)
        joins_and_dies(cluster, leader, 4)
        cluster.change(leader, "remove", 5)
        cluster.retire(cluster.member(5))
        assert len(leader.status().members) == 4
        comes_back(cluster, 4)
        wait_roles([leader, cluster.member(4)], [1, 2, 3, 4])


def votes(status):
    return [member["id"] for member in status.members if member["voter"]]


@test("join")
def who_joins_does_not_wait_for_who_died():
    """Two join a device with one voter, and one of them is gone before it has all: the other one
    votes. When that one is taken back, all is done."""
    with Cluster(3, alone=True) as cluster:
        leader, gone, comes = cluster.members
        # Its disk is made, and it is in the list; it never comes up.
        cluster.join(2, "--no-up")
        cluster.join(3)
        leader.wait("member 3 votes", lambda status: len(votes(status)) == 2 and not any(
            member["voter_old"] for member in status.members))
        for member in leader, comes:
            wait_until("it knows who votes", lambda: votes(member.status()) == [1, 3])
            assert member.status().member(2).joining
        steps = [one["text"] for one in leader.status().problems]
        assert any("qbdadm member remove vol beta" in text for text in steps), steps
        direct_write(comes.device, 0, pattern(1, 1))
        cluster.change(leader, "remove", gone.name)
        wait_roles([leader, comes], [1, 3])
        gone.removed = True


@test("membership")
def a_dead_voter_goes_beside_a_dead_learner():
    """A learner that is to vote is gone for good. So is a voter later, and that one is removed."""
    with Cluster(5) as cluster:
        leader = cluster.lead(1)
        cluster.change(leader, "demote", 5)
        joins_and_dies(cluster, leader, 5)
        cluster.member(4).power_cut()
        cluster.change(leader, "remove", 4)
        assert votes(leader.status()) == [1, 2, 3] and leader.status().member(5).joining
        # The same of one that is there, and of one that shall only not vote.
        cluster.change(leader, "demote", 3)
        assert votes(leader.status()) == [1, 2] and leader.status().member(5).joining
        direct_write(leader.device, 0, pattern(1, 1))
        cluster.change(leader, "remove", 5)
        wait_roles(cluster.members[:3], [1, 2], [3])
        for number in (4, 5):
            cluster.member(number).removed = True


@test("membership")
def who_is_replaced_votes_until_the_other_one_does():
    """It waits, by name, for who is away, and nobody else does; it can be taken back as it was
    asked for, or done at once; and is done when that one is there."""
    with Cluster(5) as cluster:
        leader, two = cluster.lead(1), cluster.member(2)
        for number in (4, 5):
            cluster.change(leader, "demote", number)
        dies(cluster, leader, 4)
        refused(cluster.change(leader, "replace", 3, 4, "--wait", 1, check=False),
                "gamma (3) votes until delta (4) does", "delta (4) is not connected",
                "qbdadm member remove vol delta")
        cluster.change(two, "promote", 5)
        assert votes(leader.status()) == [1, 2, 3, 5]
        cluster.change(leader, "demote", 2)
        assert votes(leader.status()) == [1, 3, 5]
        never("it goes", lambda: votes(leader.status()) != [1, 3, 5], 1)
        # Both were asked for together, and are taken back together.
        cluster.change(leader, "demote", 4)
        status = leader.status()
        assert votes(status) == [1, 3, 5] and not status.member(3).leaving
        roles(status)
        cluster.change(leader, "replace", 3, 4, "--no-wait")
        refused(cluster.change(leader, "replace", 3, 4, check=False), "so already")
        never("it goes", lambda: votes(leader.status()) != [1, 3, 5], 1)
        comes_back(cluster, 4)
        wait_roles([leader, cluster.member(4), cluster.member(5)], [1, 4, 5], [2])
        cluster.retire(cluster.member(3))


def is_to_be_replaced(cluster, goes=3, comes=4):
    """alpha leads; one waits for another, which is away, to take its place."""
    leader = cluster.lead(1)
    cluster.change(leader, "demote", comes)
    dies(cluster, leader, comes)
    cluster.change(leader, "replace", goes, comes, "--no-wait")
    return leader


@test("membership")
def who_is_replaced_is_removed_at_once():
    """It was to wait for who is away. Then it is to go, whoever comes."""
    with Cluster(4) as cluster:
        leader = is_to_be_replaced(cluster)
        never("it goes", lambda: votes(leader.status()) != [1, 2, 3], 1)
        cluster.change(leader, "remove", 3)
        assert votes(leader.status()) == [1, 2] and leader.status().member(4).joining
        cluster.retire(cluster.member(3))
        comes_back(cluster, 4)
        wait_roles([leader, cluster.member(2), cluster.member(4)], [1, 2, 4])


def is_used_before_it_goes(cluster):
    """Nobody uses gamma when it is to be replaced. Now somebody does."""
    leader = is_to_be_replaced(cluster)
    writer = Writer(cluster.member(3).device)
    writer.wait_for(20)
    return leader, writer


@test("membership")
def who_is_used_by_then_goes_later():
    """It is not taken away under its user when who takes its place is there at last."""
    with Cluster(4) as cluster:
        leader, writer = is_used_before_it_goes(cluster)
        comes_back(cluster, 4)
        status = leader.wait("delta votes", lambda status: 4 in votes(status) and not any(
            member["voter_old"] for member in status.members))
        assert votes(status) == [1, 2, 3, 4] and goes(status) == [3]
        never("its user loses the device", writer.child.ended, 5)
        assert any("gamma (3) votes until its host does not use the device any more" in
                   problem["text"] for problem in leader.status().problems)
        # Nothing but force would change that.
        refused(cluster.change(leader, "remove", 3, check=False), "so already")
        writer.stop()
        wait_roles([leader, cluster.member(4)], [1, 2, 4])
        cluster.retire(cluster.member(3))


# Longer than any of this takes: how long a host may be silent and count as one that uses the device.
LONG_LEASE = ("--memory", "8M", "--claim-lease", "60000")


@test("membership", timeout=60)
def who_is_used_is_kept_by_the_next_leader():
    """Which does not reach it, and so does not know whether it is used: it loses nothing by that."""
    with Cluster(5, create=SHARED, up=LONG_LEASE) as cluster:
        leader = is_to_be_replaced(cluster, 4, 5)
        two, four = cluster.member(2), cluster.member(4)
        writer = Writer(four.device)
        writer.wait_for(20)
        comes_back(cluster, 5)
        leader.wait("epsilon votes", lambda status: 5 in votes(status) and not any(
            member["voter_old"] for member in status.members))
        cluster.network.cut(2, 4)
        two.wait("it does not reach it", lambda status: not status.member(4).connected)
        leader.qbdadm("leader", "move", cluster.name, "--to", 2)
        never("it votes no more", lambda: 4 not in votes(cluster.member(3).status()), 4)
        # Nor when it is silent, and the leader is lost.
        cluster.network.isolate(4)
        cluster.wait_leader([leader, two, cluster.member(3)]).power_cut()
        others = [member for member in cluster.running() if member is not four]
        cluster.wait_leader(others)
        never("it votes no more", lambda: 4 not in votes(others[0].status()), 4)
        cluster.network.heal()
        writer.wait_for(20)
        writer.stop()
        wait_until("it goes", lambda: 4 not in [one["id"] for one in others[0].status().members])
        cluster.retire(four)


@test("membership", timeout=60)
def who_may_use_the_device_goes_by_force_only():
    """The leader is new, and has not heard that host."""
    with Cluster(5, create=SHARED, up=LONG_LEASE) as cluster:
        leader, two = cluster.lead(1), cluster.member(2)
        cluster.network.isolate(5)
        leader.qbdadm("leader", "move", cluster.name, "--to", 2)
        cluster.wait_leader(cluster.members[:4], not_member=leader)
        refused(cluster.change(two, "remove", 5, check=False), "not known yet",
                "in use on member 5", "--force")
        cluster.change(two, "remove", 5, "--force")
        wait_roles(cluster.members[:4], [1, 2, 3, 4])
        cluster.network.heal()
        cluster.retire(cluster.member(5))


@test("membership", timeout=60)
def one_whose_disk_hangs_is_removed():
    """A follower; and one that led, and never answers the next leader: its disk has to have the
    term first."""
    with Cluster(5) as cluster:
        leader, two, three, four, five = [cluster.lead(1), *cluster.members[1:]]
        five.disk.hang()
        direct_write(leader.device, 0, pattern(1, 1))
        cluster.change(leader, "remove", 5)
        wait_roles([leader, two, three, four], [1, 2, 3, 4])
        five.disk.resume()
        cluster.retire(five)
        leader.disk.hang()
        direct_write(two.device, 0, pattern(2, 2))
        cluster.wait_leader([two, three, four], not_member=leader)
        cluster.change(two, "remove", 1)
        wait_roles([two, three, four], [2, 3, 4])
        leader.disk.resume()
        cluster.retire(leader)


@test("membership")
def who_is_used_by_then_is_removed():
    """At once, which is refused; and by force."""
    with Cluster(4) as cluster:
        leader, writer = is_used_before_it_goes(cluster)
        refused(cluster.change(leader, "remove", 3, check=False), "uses the device")
        never("its user loses the device", writer.child.ended, 1)
        cluster.change(leader, "remove", 3, "--force")
        wait_until("its user has lost the device", writer.child.ended)
        assert votes(leader.status()) == [1, 2]
        cluster.retire(cluster.member(3))
        comes_back(cluster, 4)
        wait_roles([leader, cluster.member(4)], [1, 2, 4])


def goes(status):
    return [member["id"] for member in status.members if member["leaving"]]


@test("membership")
def who_takes_a_place_dies_before():
    """A voter is to be replaced by a learner, which dies, and that one by another one: the voter
    votes until that one does."""
    with Cluster(5) as cluster:
        leader, one = cluster.lead(2), cluster.member(1)
        for number in (4, 5):
            cluster.change(leader, "demote", number)
        refused(cluster.change(leader, "replace", 4, 5, check=False), "'4' does not vote")
        for number in (4, 5):
            dies(cluster, leader, number)
        cluster.change(leader, "replace", 1, 4, "--no-wait")
        cluster.change(leader, "replace", 4, 5, "--no-wait")
        leader.wait("only two are left to be waited for", lambda status: goes(status) == [1])
        never("it goes", lambda: votes(leader.status()) != [1, 2, 3], 1)
        assert any("alpha (1) votes until epsilon (5) does" in problem["text"]
                   for problem in leader.status().problems)
        comes_back(cluster, 5)
        wait_roles([leader, cluster.member(3), cluster.member(5)], [2, 3, 5])
        cluster.retire(one)
        cluster.member(4).removed = True


@test("membership")
def another_one_is_replaced_than_was_said_first():
    """Nobody comes for the first one then, and it is not to go."""
    with Cluster(4) as cluster:
        leader = cluster.lead(3)
        cluster.change(leader, "demote", 4)
        dies(cluster, leader, 4)
        cluster.change(leader, "replace", 1, 4, "--no-wait")
        cluster.change(leader, "replace", 2, 4, "--no-wait")
        never("one goes", lambda: votes(leader.status()) != [1, 2, 3], 1)
        assert goes(leader.status()) == [2]
        comes_back(cluster, 4)
        wait_roles([leader, cluster.member(1), cluster.member(4)], [1, 3, 4])
        cluster.retire(cluster.member(2))


@test("membership")
def who_waits_for_a_change_is_told_that_it_is_taken_back():
    """A learner that is away is to vote, and then it is not: nobody waits for it for ever."""
    with Cluster(4) as cluster:
        leader = cluster.lead(1)
        cluster.change(leader, "demote", 4)
        dies(cluster, leader, 4)
        promote = ["qbdadm", "member", "promote", cluster.name, "4"]
        waiting = spawn(promote, netns=leader.netns, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True)
        leader.wait("what is meant", lambda status: status.member(4).joining)
        cluster.change(leader, "demote", 4)
        refused(finish(waiting, promote, timeout=30), "taken back")


@test("membership")
def an_answer_is_lost_and_the_change_is_complete():
    """Who asks hears no more of the leader, and finds later that it was done: that is no error."""
    with Cluster(4) as cluster:
        leader, three = cluster.lead(1), cluster.member(3)
        cluster.change(leader, "demote", 4)
        cluster.wait_caught_up()
        replace = ["qbdadm", "member", "replace", cluster.name, "2", "4"]
        cluster.network.cut_one_way(1, 3)
        asking = spawn(replace, netns=three.netns, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
        leader.wait("member 4 votes for member 2", lambda status: votes(status) == [1, 3, 4] and
                    status.commit_index >= status.members_index)
        three.wait("nobody will answer", lambda status: not status.member(1).connected)
        cluster.network.heal()
        result = finish(asking, replace, timeout=30)
        assert result.status == 0, result.text
        cluster.retire(cluster.member(2))
        wait_roles([leader, three, cluster.member(4)], [1, 3, 4])


@test("membership", timeout=60)
def a_move_is_lost_and_the_leader_is_new():
    """Nobody else has the list by which gamma is elsewhere when it loses its power; and who leads
    when it is back is one that it does not know, which looks for it where it was."""
    with Cluster(4, alone=True) as cluster:
        gamma = cluster.member(3)
        become_three(cluster)
        cluster.lead(3)
        cluster.wait_caught_up()
        cluster.network.isolate(3)
        refused(gamma.qbdadm("member", "set", cluster.name, "3", "--listen", "10.0.0.3:7901",
                             "--wait", "2", check=False), "may be lost")
        gamma.power_cut()
        rest = cluster.members[:2]
        cluster.wait_leader(rest)
        cluster.join(4)
        rest.append(cluster.member(4))
        wait_roles(rest, [1, 2, 3, 4])
        # Nobody whom gamma would find by itself can lead instead.
        cluster.change(rest[0], "demote", 1, 2, 3)
        wait_roles(rest, [4], [1, 2, 3])
        assert cluster.wait_leader(rest).number == 4
        cluster.network.heal()
        gamma.up()
        assert gamma.status().member(3).address == "10.0.0.3:7901"
        cluster.wait_caught_up()
        for member in cluster.members:
            assert member.status().member(3).address == "10.0.0.3:7900"


@test("membership")
def a_setting_is_done_when_it_is_committed():
    """A leader that reaches nobody has a list that others never see: that is not done, and not so
    already; and whoever waits for it is told when there is another one."""
    with Cluster(3) as cluster:
        leader, two = cluster.lead(1), cluster.member(2)
        cluster.wait_caught_up()
        cluster.network.isolate(1)
        setting = ["qbdadm", "member", "set", cluster.name, "3", "--priority", "200"]
        refused(run([*setting, "--wait", "3"], netns=leader.netns, check=False),
                "may be lost", "member list")
        leader.wait("it does not lead any more", lambda status: status.role != "leader")
        assert leader.status().member(3).priority == 200
        refused(run(setting, netns=leader.netns, check=False), "no leader now")
        cluster.wait_leader([two, cluster.member(3)])
        assert two.status().member(3).priority == 100
        cluster.network.heal()
        cluster.wait_leader()
        wait_until("its list is gone", lambda: leader.status().member(3).priority == 100)

        leader = cluster.lead(1)
        cluster.wait_caught_up()
        cluster.network.isolate(1)
        waiting = spawn(setting, netns=leader.netns, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True)
        leader.wait("its list", lambda status: status.member(3).priority == 200)
        cluster.wait_leader([two, cluster.member(3)])
        cluster.change(two, "set", 3, "--priority", "210")
        cluster.network.heal()
        refused(finish(waiting, setting, timeout=30), "taken back", "lost with its leader")
        assert leader.status().member(3).priority == 210


@test("membership", timeout=90)
def list_after_a_joint_one_is_lost_with_its_leader():
    """The joint list is committed, the one that follows is in the leader's log alone."""
    with Cluster(5) as cluster:
        joint = Joint(cluster)
        joint.append_at_all()
        joint.commit()
        joint.lose_leader()
        joint.is_finished()


@test("membership")
def name_and_priority():
    """A member is called otherwise; the one with the higher priority is the fittest."""
    with Cluster(3) as cluster:
        leader = cluster.lead(1)
        cluster.change(leader, "set", 3, "--name", "charlie", "--priority", 200)
        for member in cluster.members:
            member.wait("the name", lambda status: status.member(3)["name"] == "charlie")
            assert member.status().member(3).priority == 200
        leader.qbdadm("leader", "move", cluster.name)
        assert cluster.wait_leader(not_member=leader).number == 3


@test("membership")
def lists_survive_restarts():
    """After changes all lose power; the list is the one that was in force."""
    with Cluster(5) as cluster:
        cluster.change(cluster.leader(), "demote", 2)
        cluster.change(cluster.leader(), "remove", 4)
        cluster.retire(cluster.member(4))
        rest = cluster.others(cluster.member(4))
        for member in rest:
            member.power_cut()
        cluster.network.heal()
        cluster.up()
        cluster.wait_leader(rest)
        wait_roles(rest, [1, 3, 5], [2])


@test("join", timeout=60)
def who_was_away_votes_for_who_joined():
    """beta has never heard of delta, and only delta has all that may be committed."""
    with Cluster(4, alone=True) as cluster:
        alpha, beta, gamma, delta = cluster.members
        become_three(cluster)
        cluster.lead(1)
        beta.power_cut()
        cluster.join(4)
        wait_roles([alpha, gamma, delta], [1, 2, 3, 4])
        cluster.lead(1)
        writer = Writer(alpha.device)
        writer.wait_for(20)
        cluster.network.isolate(3)
        delta.wait("it has more than gamma", lambda status:
                   status.durable_index > gamma.status().last_index)
        alpha.power_cut()
        writer.kill()
        assert gamma.status().last_index < delta.status().last_index
        cluster.network.heal()
        cluster.network.isolate(1)
        beta.up()
        assert cluster.wait_leader(among=[beta, gamma, delta]) is delta
        wait_roles([beta, gamma, delta], [1, 2, 3, 4])
        writer.verify(beta.device)
        for number, member in enumerate((beta, gamma, delta)):
            direct_write(member.device, 4096, pattern(number, 1))
