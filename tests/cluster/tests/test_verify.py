# SPDX-License-Identifier: GPL-2.0
"""Replicas that are compared, and made equal, while the device is in use."""

import signal
import subprocess
import time

from lib.cluster import Cluster, refused
from lib.damage import Damage, data_block
from lib.output import printed
from lib.registry import test
from lib.shell import finish, run, spawn
from lib.workload import BLOCK, Writer, direct_read, direct_write, pattern
from tests.test_changes import wait_roles
from tests.test_rejoin import fill_log, half_filled

MIB = 1 << 20
# Behind what the writers use.
PLACE = 32 * MIB // BLOCK


def fill(cluster, first=PLACE, count=512):
    """Data that nobody writes again, on all disks."""
    data = b"".join(pattern(1, number) for number in range(count))
    for at in range(0, len(data), MIB):
        direct_write(cluster.leader().device, first * BLOCK + at, data[at:at + MIB])
    cluster.wait_caught_up()


def rot(member, block, offset=1000):
    """One bit of a block of the device, on the disk of one member that is up."""
    wrong = Damage(member.disk)
    wrong.flip(data_block(member.disk) + block, offset)
    return wrong


def verify(member, *options, rate="1G"):
    """Exit status, and what it says."""
    result = member.qbdadm("verify", member.cluster.name, "--max-rate", rate, "--json",
                           *options, check=False, timeout=60)
    assert result.output, result.text
    return result.status, printed(result)


def differences(found):
    return sorted((one["member"], one["first"], one["count"], one["kind"])
                  for one in found["differences"])


def all_compared(found, cluster, members=None):
    """Each block, or one that was being written each time, on each of these members."""
    blocks = found["end_block"] - found["first_block"]
    assert found["state"] == "done" and \
        found["compared"] + found["skipped"] == blocks, found
    for number in members or range(1, len(cluster.members) + 1):
        one, = (one for one in found["members"] if one["id"] == number)
        assert one["compared"] == found["compared"] and not one["reason"], found


@test("verify", timeout=60)
def rot_is_found_and_repaired():
    """A bit rots on a follower's disk and one on the leader's: named, repaired, equal."""
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        fill(cluster)
        good = direct_read(alpha.device, PLACE * BLOCK, 2 * MIB)
        writer = Writer(beta.device, slots=1024)
        writer.wait_for(20)
        rot(beta, PLACE + 7)
        rot(beta, PLACE + 8)
        rot(alpha, PLACE + 300)
        wanted = [(1, PLACE + 300, 1, "different"), (2, PLACE + 7, 2, "different")]
        events = cluster.events(gamma)
        status, found = verify(gamma)
        assert status == 1 and differences(found) == wanted, found
        all_compared(found, cluster)
        assert not found["repaired"] and not found["equal"]
        events.wait("verify-difference", peer=2)
        events.wait("verify-done")
        assert any("replicas differ in 3 blocks" in problem["text"]
                   for problem in gamma.status().problems)
        # The text names them, too; and another member finds the same.
        text = alpha.qbdadm("verify", cluster.name, "--max-rate", "1G", check=False)
        assert text.status == 1, text.text
        for line in ("beta (2): blocks %d to %d" % (PLACE + 7, PLACE + 8),
                     "alpha (1): block %d" % (PLACE + 300)):
            assert line in text.output, text.output
        status, found = verify(gamma, "--repair")
        assert status == 0 and differences(found) == wanted, found
        assert found["repaired"] == 3 and found["equal"]
        for member in (gamma, alpha):
            status, found = verify(member)
            assert status == 0 and not found["different"], found
        assert direct_read(alpha.device, PLACE * BLOCK, 2 * MIB) == good
        writer.stop()
        writer.verify(alpha.device)


@test("verify", timeout=60)
def without_a_majority_nothing_is_repaired():
    """Three copies of a block differ; then two copies of a device of two."""
    with Cluster(3) as cluster:
        alpha, beta, _ = cluster.members
        fill(cluster, count=256)
        wrong = [rot(alpha, PLACE + 1, 1), rot(beta, PLACE + 1, 2), rot(beta, PLACE + 2)]
        status, found = verify(alpha, "--repair")
        assert status == 1 and found["different"] == 2, found
        assert found["undecided"] == 1 and found["repaired"] == 1
        assert differences(found) == [(0, PLACE + 1, 1, "undecided"),
                                      (2, PLACE + 2, 1, "different")], found
        text = beta.qbdadm("verify", cluster.name, "--max-rate", "1G", "--repair",
                           check=False)
        assert text.status == 1 and "no majority: block %d\n" % (PLACE + 1) in text.output
        assert "member replace" in text.output, text.output
        for one in wrong[:2]:
            one.undo()
    with Cluster(2) as cluster:
        alpha, beta = cluster.members
        fill(cluster, count=256)
        wrong = rot(cluster.leader(), PLACE + 1)
        status, found = verify(alpha, "--repair")
        assert status == 1 and found["undecided"] == 1 and not found["repaired"], found
        wrong.undo()
        assert verify(beta)[0] == 0


@test("verify", timeout=90)
def overwriting_is_no_difference():
    """Under writes of all sizes to the same few MiB no replica is said to differ."""
    with Cluster(3, log_size="32M", create=("--claim", "shared")) as cluster:
        cluster.lead(1)
        alpha, beta, gamma = cluster.members
        argv = ["fio", "--name=hot", "--filename=" + alpha.device, "--thread",
                "--direct=1", "--clocksource=clock_gettime", "--ioengine=io_uring",
                "--rw=randwrite", "--bsrange=4k-64k", "--blockalign=4k", "--size=8M",
                "--iodepth=16", "--time_based", "--runtime=300"]
        fio = spawn(argv, stdout=subprocess.DEVNULL)
        writer = Writer(beta.device, slots=64, first_block=16 * MIB // BLOCK)
        try:
            writer.wait_for(50)
            runs = compared = skipped = 0
            end = time.monotonic() + 12
            while time.monotonic() < end or runs < 3:
                member = cluster.members[runs % 3]
                status, found = verify(member, *(["--repair"] if runs % 2 else []))
                assert status == 0 and not found["different"], found
                all_compared(found, cluster)
                compared += found["compared"]
                skipped += found["skipped"]
                runs += 1
            assert fio.poll() is None, "fio ended"
            # The blocks that are hot are looked at, too.
            assert skipped < compared / 10, (skipped, compared)
        finally:
            fio.kill()
            fio.wait()
        writer.stop()
        writer.verify(gamma.device)


@test("verify", timeout=60)
def verify_outlives_leaders():
    """Leadership moves, then the leader loses power, then is back: it goes on."""
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        fill(cluster, first=0, count=4096)
        rot(beta, 4095)
        events = cluster.events(gamma)
        argv = ["qbdadm", "verify", cluster.name, "--max-rate", "4M", "--repair", "--json"]
        process = spawn(argv, gamma.netns, text=True, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)
        events.wait("verify-progress")
        cluster.lead(2)
        refused(gamma.qbdadm("verify", cluster.name, check=False), "already")
        events.forget()
        events.wait("verify-progress")
        alpha.power_cut()
        events.forget()
        events.wait("verify-progress")
        alpha.disk.heal()
        cluster.network.heal()
        alpha.up()
        cluster.lead(3)
        result = finish(process, argv, 60)
        found = printed(result)
        assert found["state"] == "done" and found["end_block"] == found["compared"], found
        assert differences(found) == [(2, 4095, 1, "different")], found
        one, = (one for one in found["members"] if one["id"] == 1)
        assert 0 < one["compared"] < found["compared"], found
        assert one["reason"] == "not connected" and result.status == 1, found
        assert verify(alpha, "--repair")[0] == 0


@test("verify", timeout=60)
def members_that_are_away_are_named():
    """One of three is down: the others are compared, and it is said that it was not."""
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        fill(cluster, count=256)
        gamma.down()
        cluster.wait_leader()
        wrong = rot(beta, PLACE + 3)
        status, found = verify(alpha, "--repair")
        # Two copies, and they differ: the third would decide.
        assert status == 1 and found["undecided"] == 1 and not found["repaired"], found
        assert [one["reason"] for one in found["members"]] == ["", "", "not connected"]
        text = alpha.qbdadm("verify", cluster.name, "--max-rate", "1G", check=False)
        assert text.status == 1, text.text
        assert "gamma (3) was compared in 0 of them: not connected" in text.output
        wrong.undo()
        # Nothing differs, but not all was compared.
        assert verify(alpha)[0] == 1
        gamma.up()
        cluster.wait_caught_up()
        rot(gamma, PLACE + 3)
        assert verify(beta, "--repair")[0] == 0
    with Cluster(1) as cluster:
        refused(cluster.members[0].qbdadm("verify", cluster.name, check=False),
                "one replica")


@test("verify", timeout=90)
def who_was_silent_is_asked_again():
    """The only other copy hangs until it is given up on, and answers again before the rest does
    without: all is compared, and it does not end for a silence that is over."""
    with Cluster(3, witnesses=(3,)) as cluster:
        alpha, beta = cluster.lead(1), cluster.member(2)
        fill(cluster)
        beta.disk.hang()
        argv = ["qbdadm", "verify", cluster.name, "--max-rate", "1G", "--json"]
        process = spawn(argv, alpha.netns, text=True, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)

        def given_up(status):
            return any(one["id"] == 2 and one["reason"] == "no answer in time"
                       for one in status["verify"]["members"])
        alpha.wait("it does not wait for it any longer", given_up, 20)
        assert alpha.status()["verify"]["state"] == "running"
        beta.disk.resume()
        result = finish(process, argv, 60)
        assert result.status == 0, result.text
        all_compared(printed(result), cluster, (1, 2))


@test("verify", timeout=90)
def who_is_not_whole_does_not_differ():
    """A learner that joins and has half of it: it is none of the copies, and no difference."""
    with Cluster(4, size="64M", log_size="8M", alone=True) as cluster:
        alpha, beta = cluster.members[0], cluster.member(2)
        cluster.join(2)
        cluster.join(3)
        wait_roles(cluster.members[:3], [1, 2, 3])
        fill_log(cluster, alpha, 40)
        cluster.network.shape(4, "rate", "20mbit")
        cluster.join(4, "--learner")
        half_filled(cluster.member(4))
        last = 64 * MIB // BLOCK - 1
        direct_write(alpha.device, last * BLOCK, pattern(1, 1))
        for member in alpha, beta:
            member.wait("it is applied", lambda s: s.applied_index == s.commit_index)
        rot(beta, last)
        status, found = verify(cluster.member(3), "--repair", "--from", "60M")
        assert cluster.member(4).status().filling, "it was filled already"
        assert differences(found) == [(2, last, 1, "different")], found
        assert status == 1 and found["repaired"] == 1 and not found["undecided"], found
        one, = (one for one in found["members"] if one["id"] == 4)
        assert one["reason"] == "not whole" and not one["different"], found
        cluster.network.shape(4)
        cluster.member(4).wait("it is whole", lambda s: not s.filling)
        cluster.wait_caught_up()
        status, found = verify(cluster.member(4))
        assert status == 0, found
        all_compared(found, cluster)


@test("verify", timeout=60)
def verify_keeps_to_its_rate_and_stops():
    """Not faster than it may be; ended by --stop and by a signal, and goes on from there."""
    with Cluster(3) as cluster:
        alpha, beta, _ = cluster.members
        fill(cluster, count=2048)
        began = time.monotonic()
        status, found = verify(alpha, "--from", "32M", rate="4M")
        # 8 MiB that were written.
        assert status == 0 and time.monotonic() - began >= 1.9, found
        assert found["first_block"] == PLACE
        for end in ("--stop", signal.SIGINT):
            events = cluster.events(alpha)
            argv = ["qbdadm", "verify", cluster.name, "--max-rate", "1M"]
            process = spawn(argv, alpha.netns, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
            events.wait("verify-progress")
            assert alpha.status()["verify"]["state"] == "running"
            if end == "--stop":
                alpha.qbdadm("verify", cluster.name, end)
            else:
                process.send_signal(end)
            events.wait("verify-done")
            result = finish(process, argv, 20)
            assert result.status == 1 and "stopped: " in result.output, result.text
            place = alpha.status()["verify"]["next_block"] * BLOCK
            assert "--from %d" % place in result.output, result.text
        assert verify(alpha, "--from", place)[0] == 0
        refused(alpha.qbdadm("verify", cluster.name, "--stop", check=False), "nothing")
        refused(beta.qbdadm("verify", cluster.name, "--max-rate", "1K", check=False), "64K")
        refused(beta.qbdadm("verify", cluster.name, "--from", "64M", check=False),
                "not within the device")


@test("verify", timeout=60)
def unreadable_blocks_are_written_anew():
    """What a leader's disk fails to read others give, and it can be read there again."""
    with Cluster(3) as cluster:
        alpha, _, gamma = cluster.members
        cluster.lead(1)
        fill(cluster)
        good = direct_read(alpha.device, PLACE * BLOCK, MIB)
        place = data_block(alpha.disk) + PLACE
        events = cluster.events(alpha)
        alpha.disk.fail_reads([place + 5, place + 9])
        assert direct_read(alpha.device, PLACE * BLOCK, MIB) == good
        events.wait("blocks-mended")
        status = alpha.wait("all is mended", lambda s: s.mended_blocks == 2)
        assert status.unreadable_blocks == 2
        cluster.wait_caught_up()
        for block in (5, 9):
            assert direct_read(alpha.disk.path, (place + block) * BLOCK, BLOCK) == \
                good[block * BLOCK:(block + 1) * BLOCK]
        # Found by comparing, on a member that reads for nobody.
        place = data_block(gamma.disk) + PLACE
        gamma.disk.fail_reads([place + 300])
        status, found = verify(alpha)
        assert status == 1, found
        assert differences(found) == [(3, PLACE + 300, 1, "unreadable")], found
        gamma.wait("it is mended", lambda s: s.mended_blocks == 1)
        assert verify(alpha)[0] == 0
        run(["dmsetup", "message", gamma.disk.name, "0", "disable"])
