# SPDX-License-Identifier: GPL-2.0
"""Two members with data and a witness, which has a log and no data."""

import os

from lib.cluster import SHARED, Cluster, refused
from lib.damage import dump
from lib.registry import test
from lib.shell import never, run, wait_until
from lib.workload import BLOCK, Child, Writer, direct_read, direct_write, parse
from tests.test_changes import wait_roles
from tests.test_rejoin import fill_log
from tests.test_resize import MIB, resize, wait_size
from tests.test_verify import all_compared, verify


def lose(cluster, *members):
    """They lose power, and the others reach each other."""
    for member in members:
        member.power_cut()
    cluster.network.heal()


def last_on_disk(member):
    """The last index on the disk of a member that is down."""
    return dump(member.disk)["log"]["last_index"]


@test("witness", timeout=90)
def any_one_of_two_and_a_witness_is_lost():
    """Each in turn: writes go on. The witness has no device, and never serves."""
    with Cluster(3, witnesses=(3,), create=SHARED) as cluster:
        alpha, beta, gamma = cluster.members
        assert len([name for name in os.listdir("/sys/block") if name.startswith("qbd")]) == 2
        status = gamma.status()
        assert status.device is None and status.number is None, status
        assert [one["witness"] for one in status.members] == [False, False, True]
        assert "witness, no device" in gamma.qbdadm("status").output
        assert "witness" in gamma.qbdadm("member", "list", "vol").output
        refused(gamma.qbdadm("claim", "take", "vol", check=False), "witness")
        refused(alpha.qbdadm("leader", "move", "vol", "--to", "3", check=False), "witness")
        for lost, user in ((gamma, alpha), (beta, alpha), (alpha, beta)):
            writer = Writer(user.device)
            writer.wait_for(50)
            lose(cluster, lost)
            writer.wait_for(50)
            lost.up()
            writer.wait_for(20)
            writer.stop()
            writer.verify()
            cluster.wait_caught_up()
            assert cluster.leader() is not gamma
        gamma.down()
        assert dump(gamma.disk)["superblocks"][0]["witness"]
        refused(run(["qbdadm", "checksum", gamma.disk.path], check=False), "witness")
        refused(gamma.qbdadm("recover", "vol", "--disk", gamma.disk.path, "--force-new-history",
                             "--confirm", "vol", check=False), "witness")


@test("witness", timeout=60)
def stale_member_gets_the_log_of_the_witness():
    """beta was away while alpha and the witness committed; alpha is lost, beta is back."""
    with Cluster(3, witnesses=(3,)) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        beta.down()
        writer = Writer(alpha.device, limit=300)
        writer.child.wait()
        lose(cluster, alpha)
        events = cluster.events(gamma)
        beta.up()
        assert cluster.wait_leader([beta, gamma]) is beta
        events.wait("role", role="leader")
        assert writer.verify(beta.device) == 300
        more = Writer(beta.device, first_block=1000, limit=50)
        more.child.wait()
        alpha.up()
        cluster.wait_caught_up()
        more.verify(alpha.device)


def lead_in_vain(cluster, whole, stale, witness, meanwhile=lambda: None):
    """The stale one was away for longer than any log reaches, and does not know of what happened
    meanwhile; who is whole is lost: the witness leads, and the stale one hears it. Return: what was
    written last."""
    cluster.lead(whole.number)
    stale.down()
    last = last_on_disk(stale)
    meanwhile()
    fill_log(cluster, whole, 24)
    writer = Writer(whole.device, first_block=14000, limit=50)
    writer.child.wait()
    witness.wait("its log does not reach the stale one",
                 lambda status: status.first_index > last + 1)
    lose(cluster, whole)
    stale.up()
    status = witness.wait("it leads, and cannot help", lambda status: "bring back %s" % whole.name
                          in status.problem)
    assert status.role == "leader" and not status.has_quorum, status
    return writer


def go_on_without_the_witness(cluster, whole, stale, witness, writer):
    """Who is whole is back, and reaches the stale one, which alone reaches the witness."""
    cluster.network.cut(whole.number, witness.number)
    whole.up()
    assert cluster.wait_leader(among=[whole, stale]) is whole
    late = Writer(stale.device, first_block=15000, limit=50)
    late.child.wait()
    stale.wait("it has all", lambda status: not status.filling)
    writer.verify(stale.device)
    late.verify()


@test("witness", timeout=90)
def witness_that_cannot_help_is_not_in_the_way():
    """A majority without it goes on."""
    with Cluster(3, witnesses=(3,), log_size="8M", create=SHARED) as cluster:
        members = cluster.members
        go_on_without_the_witness(cluster, *members, lead_in_vain(cluster, *members))


@test("witness", timeout=90)
def nor_is_it_in_the_way_of_who_has_an_earlier_list():
    """Whom the stale one reaches it says by its own list, in which all have other places."""
    with Cluster(4, witnesses=(4,), log_size="8M", create=SHARED) as cluster:
        gone, *members = cluster.members

        def one_is_removed():
            cluster.change(members[0], "remove", gone)
            cluster.retire(gone)

        go_on_without_the_witness(cluster, *members,
                                  lead_in_vain(cluster, *members, one_is_removed))


@test("witness", timeout=90)
def nor_is_it_in_the_way_of_who_does_not_know_it():
    """It has come in the place of another one while the stale one was away."""
    with Cluster(4, alone=True, witnesses=(4,), log_size="8M", create=SHARED) as cluster:
        gone, *members = cluster.members
        for number in (2, 3):
            cluster.join(number)
        wait_roles(cluster.members[:3], [1, 2, 3])

        def one_is_replaced():
            cluster.join(4, "--witness", "--learner", contact=2)
            cluster.change(members[0], "replace", 1, 4)
            cluster.retire(gone)

        go_on_without_the_witness(cluster, *members,
                                  lead_in_vain(cluster, *members, one_is_replaced))


@test("witness", timeout=90)
def log_of_the_witness_is_too_short():
    """Nobody serves until the member that has everything is back; status says who."""
    with Cluster(3, witnesses=(3,), log_size="8M", create=SHARED) as cluster:
        alpha, beta, gamma = cluster.members
        writer = lead_in_vain(cluster, alpha, beta, gamma)
        status = beta.wait("it is told", lambda status: "bring back alpha" in status.problem)
        assert not status.has_quorum and not status.filling, status
        assert "a witness leads" in beta.qbdadm("status").output
        # First, for who opens it for write waits there, and then nobody else opens it, either.
        device = beta.device
        reader = Child(lambda report: report(direct_read(device, 14000 * BLOCK, BLOCK).hex()))
        beta.wait("the read waits", lambda status: status.requests_waiting +
                  status.requests_in_flight > 0)
        late = Writer(device, first_block=15000)
        never("a stale member serves", lambda: late.acknowledged() or reader.ended() or
              beta.status().role == "leader", 1)
        assert not late.child.ended()
        alpha.up()
        assert parse(bytes.fromhex(reader.wait()[0])) == (writer.stamp, 1)
        late.wait_for(20)
        late.stop()
        late.verify()
        assert cluster.leader() is not gamma
        writer.verify(beta.device)


@test("witness", timeout=90)
def witness_with_a_new_disk():
    """Its log begins anew, where the leader's data is; it counts when it has all after that."""
    with Cluster(3, witnesses=(3,), log_size="8M") as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        fill_log(cluster, alpha, 24)
        cluster.wait_caught_up()
        gamma.down()
        gamma.disk.wipe()
        cluster.create(gamma)
        gamma.up()
        gamma.wait("it is part of the device", lambda status: not status.problem and
                   status.leader and not status.filling)
        assert gamma.status().first_index > 1
        wait_until("nothing is left to be done for it", lambda: all(
            not one["needs_extents"] for one in alpha.status().members))
        # And after it was away for too long, with the disk that it has.
        gamma.down()
        last = last_on_disk(gamma)
        fill_log(cluster, alpha, 24)
        alpha.wait("its log does not reach it", lambda status: status.first_index > last + 1)
        gamma.up()
        cluster.wait_caught_up()
        lose(cluster, beta)
        writer = Writer(alpha.device, limit=50)
        writer.child.wait()
        writer.verify()
        beta.up()


@test("witness", timeout=90)
def witness_joins_and_is_replaced():
    """A host with a small disk joins; another one takes its place."""
    with Cluster(4, alone=True, witnesses=(3, 4), create=SHARED) as cluster:
        alpha, beta, gamma, delta = cluster.members
        assert "--witness" in alpha.qbdadm("member", "add", "vol", "--witness").output
        cluster.join(2)
        wait_roles([alpha, beta], [1, 2])
        cluster.join(3, "--witness")
        wait_roles([alpha, beta, gamma], [1, 2, 3])
        assert gamma.status().member(3).witness and gamma.status().device is None
        cluster.join(4, "--witness", "--learner")
        wait_roles(cluster.members, [1, 2, 3], [4])
        cluster.change(alpha, "replace", 3, 4)
        cluster.retire(gamma)
        wait_roles([alpha, beta, delta], [1, 2, 4])
        lose(cluster, alpha)
        writer = Writer(beta.device, limit=50)
        writer.child.wait()
        writer.verify()
        alpha.up()


@test("witness", timeout=60)
def grows_and_is_verified_with_a_witness():
    """Its disk holds the log only, and it was away; it is no copy, and may ask for both."""
    with Cluster(3, witnesses=(3,), create=SHARED) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        gamma.down()
        resize(alpha, 100)
        wait_size([alpha, beta], 100)
        gamma.up()
        gamma.wait("100 MiB", lambda status: status.device_bytes == 100 * MIB)
        # The smallest disk with data says how far it goes.
        resize(gamma)
        size = gamma.status().device_bytes // MIB
        assert 120 < size < 160, size
        wait_size([alpha, beta], size)
        refused(resize(gamma, 160, check=False), "no room")
        direct_write(alpha.device, (size - 1) * MIB, b"x" * MIB)
        cluster.wait_caught_up()
        for member in (alpha, gamma):
            status, found = verify(member)
            assert status == 0 and found["equal"], found
            all_compared(found, cluster, [1, 2])
            assert [one["id"] for one in found["members"]] == [1, 2], found
        gamma.power_cut()
        gamma.up()
        assert gamma.status().device_bytes == size * MIB


@test("witness", timeout=90)
def witness_refusals():
    """A majority of witnesses, and a witness that shall become something else."""
    with Cluster(4, alone=True, witnesses=(2, 3, 4)) as cluster:
        alpha, beta, gamma, _ = cluster.members
        result = alpha.qbdadm("create", "other", "--disk", beta.disk.path, "--listen",
                              "10.0.0.1:7901", "--witness", "1", check=False)
        assert result.status == 2 and "has its data" in result.errors, result.errors
        listed = ["--token-file", cluster.token, "--id", "2", "--disk", beta.disk.path,
                  "--member", "1=a@10.0.0.1,2=b@10.0.0.2,3=c@10.0.0.3"]
        for more, words in ((["--witness", "2"], "needs --size"),
                            (["--witness", "2", "--witness", "3", "--size", "64M"],
                             "2 of 3 voters would be witnesses"),
                            (["--witness", "4", "--size", "64M"], "none of the members"),
                            (["--witness", "2", "--size", "64M", "--log-size", "32M"],
                             "is too small")):
            result = beta.qbdadm("create", "other", *listed, *more, check=False)
            assert result.status and words in result.errors, result.errors
        # One with data and a witness: both are needed, and that is as with two of data.
        cluster.join(2, "--witness")
        wait_roles([alpha, beta], [1, 2])
        before = alpha.status().members_index
        refused(cluster.join(3, "--witness", check=False), "2 of 3 voters would be witnesses")
        assert alpha.status().members_index == before
        # By the leader, too: the members that go leave too many witnesses behind.
        refused(cluster.change(alpha, "remove", 1, check=False), "majority", "witnesses")
        cluster.join(3, "--witness", "--learner")
        wait_roles([alpha, beta, gamma], [1, 2], [3])
        refused(cluster.change(alpha, "promote", 3, check=False), "majority", "witnesses")
        cluster.change(alpha, "remove", 2)
        cluster.retire(beta)
        wait_roles([alpha, gamma], [1], [3])
