# SPDX-License-Identifier: GPL-2.0
"""A majority is lost for good, and one disk goes on alone."""

import json

from lib.cluster import Cluster, refused
from lib.damage import current_state, dump
from lib.registry import test
from lib.shell import never, run, wait_until
from lib.workload import BLOCK, Writer, direct_read, direct_write, pattern

from .test_claims import Holder, claim, open_once, wait_claim


def recover(member, *more, **options):
    return member.qbdadm("recover", member.cluster.name, "--disk", member.disk.path, *more,
                         **options)


def histories(path):
    """Of both state slots, with the one that counts first."""
    states = json.loads(run(["qbdadm", "dump", path, "--json"], check=False).output)["states"]
    return [state.get("history") for state in
            sorted(states, key=lambda state: not state.get("current"))]


@test("recover", timeout=90)
def one_of_three_goes_on_alone():
    """It has what it had and takes writes; the others are refused, and join again."""
    with Cluster(3) as cluster:
        cluster.check_equal = False
        alpha, beta, gamma = cluster.members
        leader = cluster.lead(1)
        beta.down()
        writer = Writer(leader.device, limit=200)
        writer.child.wait()
        assert recover(gamma, check=False).status == 2
        refused(recover(gamma, "--force-new-history", "--confirm", "vol", check=False), "in use")
        gamma.down()
        alpha.power_cut()
        cluster.network.heal()
        before = histories(gamma.disk.path)
        assert before == [None, None], before
        former = gamma.disk.image(cluster.token + ".former")
        for wrong in ([], ["--confirm", "vol1"]):
            result = recover(gamma, "--force-new-history", *wrong, check=False)
            assert result.status == 1 and "nothing was changed" in result.errors
            assert "IS LOST" in result.errors and "alpha (1), beta (2)" in result.errors
        assert histories(gamma.disk.path) == before
        result = recover(gamma, "--force-new-history", "--confirm", "vol")
        after = histories(gamma.disk.path)
        assert after[0] and after[0] == after[1], after
        # Once is enough.
        result = recover(gamma, "--force-new-history", "--confirm", "vol", check=False)
        assert "is the only voter" in result.errors, result.errors
        # Power goes when one of the two state blocks has been written: that one counts.
        for slot in (16, 32):
            image = gamma.disk.image(cluster.token + ".image")
            run(["dd", "if=" + former, "of=" + image, "bs=4k", "skip=%d" % slot,
                 "seek=%d" % slot, "count=1", "conv=notrunc", "status=none"])
            assert histories(image) == [after[0], None], histories(image)
        gamma.up()
        status = gamma.wait("it leads", lambda status: status.role == "leader")
        assert (status.voters, [one["id"] for one in status.members]) == (1, [3])
        writer.verify(gamma.device)
        direct_write(gamma.device, 32 << 20, pattern(1, 1))
        # One of the others comes back, then both, a majority of what was: they have the old
        # history, and nothing goes from there to the new one, or back.
        alpha.up()
        alpha.wait("it is told", lambda status: "recovered by force" in status.problem)
        assert not alpha.status().member(3).connected
        beta.up()
        cluster.wait_leader([alpha, beta])
        for old in (alpha, beta):
            old.wait("it is told", lambda status: any(
                "gamma (3): refused" in one["text"] and "recovered by force" in one["text"]
                for one in status.problems))
        assert direct_read(beta.device, 32 << 20, 4096) != pattern(1, 1)
        direct_write(beta.device, 34 << 20, pattern(3, 3))
        assert direct_read(gamma.device, 34 << 20, 4096) != pattern(3, 3)
        assert direct_read(gamma.device, 32 << 20, 4096) == pattern(1, 1)
        status = gamma.status()
        assert (status.role, [one["id"] for one in status.members]) == ("leader", [3])
        for old in (alpha, beta):
            old.down()
        alpha.disk.wipe()
        cluster.create(alpha)
        refused(recover(alpha, "--force-new-history", "--confirm", "vol", check=False),
                "is new")
        alpha.up()
        never("a disk made anew under an old id is taken",
              lambda: alpha.status().member(3).connected, 1)
        alpha.down()
        alpha.disk.wipe()
        cluster.join(1, contact=3)
        gamma.wait("it votes", lambda status: status.voters == 2)
        direct_write(gamma.device, 33 << 20, pattern(2, 2))
        alpha.wait("it has everything", lambda status: status.member_id == 4 and
                   status.applied_index == gamma.status().applied_index)
        writer.verify(alpha.device)
        # And with its members it goes on after all lost power.
        for member in (alpha, gamma):
            member.power_cut()
        cluster.network.heal()
        for member in (alpha, gamma):
            member.up()
        gamma.wait("a leader", lambda status: status.leader in (3, 4))
        writer.verify(gamma.device)


def leave_claim_behind(cluster, member, leader):
    """The disk of a follower that has a claim in its state, and in its log no entry of it.

    Its log is slow, and others have committed the claim; then a checkpoint says what was
    applied before. An image of the disk as it is then, and the claim's epoch.
    """
    writer = Writer(leader.device, limit=20)
    writer.child.wait()
    applied = member.wait("all is applied", lambda status: status.applied_index ==
                          leader.status().last_index).applied_index
    assert current_state(member.disk)["applied_index"] < applied
    places = dump(member.disk)["superblocks"][0]
    member.disk.slow_writes_between(places["log_block"], places["data_block"], 600000)
    # The claim shall lie beyond what a new leader writes first.
    direct_write(leader.device, 48 << 20, pattern(3, 3))
    wait_claim(leader, holder=0)
    holder = Holder(leader.device)
    # That it is committed comes with what is written next.
    direct_write(leader.device, 49 << 20, pattern(3, 4))
    direct_write(leader.device, 50 << 20, pattern(3, 5))
    epoch = wait_claim(member, holder=leader.number)["epoch"]
    wait_until("a checkpoint has the claim",
               lambda: current_state(member.disk).get("claim_epoch") == epoch)
    image = member.disk.image(cluster.token + ".image")
    holder.close()
    return image, epoch, writer


@test("recover", timeout=90)
def a_claim_that_is_lost_holds_up_nobody():
    """Who held the device was committed by others, and is not in the log that goes on."""
    with Cluster(3) as cluster:
        cluster.check_equal = False
        alpha, beta, gamma = cluster.members
        leader = cluster.lead(1)
        image, epoch, writer = leave_claim_behind(cluster, gamma, leader)
        gamma.disk.heal()
        for member in (alpha, beta, gamma):
            member.power_cut()
        cluster.network.heal()
        gamma.disk.copy_from(image)
        last = dump(gamma.disk)["log"]["last_index"]
        assert last + 1 < epoch, (last, epoch)
        recover(gamma, "--force-new-history", "--confirm", "vol")
        gamma.up()
        gamma.wait("it leads", lambda status: status.role == "leader")
        assert claim(gamma)["mode"] == "exclusive"
        holder = Holder(gamma.device)
        wait_claim(gamma, holder=3)
        direct_write(gamma.device, 32 << 20, pattern(1, 1))
        holder.close()
        writer.verify(gamma.device)
        # As it was recovered or later: what it is told by the log is the same for others.
        wait_claim(gamma, holder=0)
        alpha.disk.wipe()
        cluster.join(1, contact=3)
        gamma.wait("it votes", lambda status: status.voters == 2)
        holder = Holder(alpha.device)
        wait_claim(gamma, holder=4)
        direct_write(alpha.device, 33 << 20, pattern(2, 2))
        holder.close()
        gamma.qbdadm("claim", "mode", "vol", "shared")
        wait_claim(alpha, mode="shared")
        for member in (alpha, gamma):
            assert open_once(member.device) == 0
        for member in (alpha, gamma):
            member.power_cut()
        cluster.network.heal()
        for member in (alpha, gamma):
            member.up()
        gamma.wait("a leader", lambda status: status.leader in (3, 4))
        assert direct_read(gamma.device, 32 << 20, BLOCK) == pattern(1, 1)
        assert direct_read(alpha.device, 33 << 20, BLOCK) == pattern(2, 2)
        writer.verify(alpha.device)
