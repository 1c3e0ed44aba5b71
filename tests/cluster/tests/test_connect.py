# SPDX-License-Identifier: GPL-2.0
"""Clients: hosts without a disk that use the device."""

import errno
import os
import shutil
import stat
import time
from subprocess import PIPE

from lib import filesystem
from lib.cluster import SHARED, Cluster, refused
from lib.damage import dump
from lib.filesystem import Mount
from lib.output import printed
from lib.registry import test
from lib.shell import finish, never, run, spawn, wait_until
from lib.workload import BLOCK, Reader, Writer, direct_read, direct_write, pattern
from tests.test_claims import (PATIENT, Holder, ended_with_error, open_once, take, wait_claim,
                               wait_fenced)
from tests.test_filesystems import fio, fio_command
from tests.test_rejoin import fill_log
from tests.test_resize import MIB, resize, wait_size
from tests.test_verify import all_compared, verify

SHORT_LEASE = ("--memory", "16M", "--claim-lease", "1000")


def listed(member):
    """ids and whether that is a client, as this member knows it."""
    return [(one["id"], one["client"]) for one in member.status().members]


def wait_listed(members, clients, others=(1, 2, 3)):
    wanted = sorted([(number, False) for number in others] +
                    [(number, True) for number in clients])
    for member in members:
        wait_until("%r knows of clients %s" % (member, clients),
                   lambda one=member: listed(one) == wanted)


def loops():
    """Files that are attached to loop devices."""
    found = []
    for name in os.listdir("/sys/block"):
        path = "/sys/block/%s/loop/backing_file" % name
        if not name.startswith("loop"):
            continue
        try:
            with open(path) as file:
                found.append(file.read().strip())
        except OSError:
            pass        # there is none, or none any more
    return found


def wait_detached(count=0):
    """Until so many are: one goes a moment after its last user."""
    wait_until("%d loop devices" % count, lambda: len(loops()) == count)


@test("connect")
def what_hosts_print_that_come_and_go():
    """For programs: join, and with --no-up, connect and disconnect."""
    with Cluster(4, clients=(4,), alone=True) as cluster:
        came = printed(cluster.join(2, "--json"))
        assert (came["name"], came["was_up"]) == ("vol", False), came
        made = printed(cluster.join(3, "--no-up", "--json"))
        assert (made["member_name"], made["members"], made["witness"]) == ("gamma", 3, False)
        assert made["max_bytes"] >= made["device_bytes"] == cluster.leader().status().device_bytes
        cluster.member(3).up()
        came = printed(cluster.connect(4, "--json"))
        assert (came["name"], came["was_up"]) == ("vol", False), came
        number = cluster.member(4).status().member_id
        gone = printed(cluster.disconnect(4, "--json"))
        assert gone == {"name": "vol", "member_id": number, "listed": False}, gone


@test("connect", timeout=120)
def ext4_on_a_client():
    """mkfs, a tree and a writer on the client; the leader loses power, twice."""
    with Cluster(4, clients=(4,), size="64M", disk_mib=200) as cluster:
        client = cluster.member(4)
        told = cluster.connect(4).output
        assert "is a client" in told and "/dev/qbd" in told, told
        assert stat.S_IMODE(os.stat(client.disk.path).st_mode) == 0o600
        assert client.disk.files() == ["client"]
        wait_listed(cluster.members, [4])
        status = client.status()
        own = status.member(4)
        assert own.client and own.learner and not own.voter and not own.witness, own
        assert (status.voters, status.quorum_needed) == (3, 2)
        shown = client.qbdadm("status", "vol").output
        assert "this host: delta (4), client" in shown, shown
        assert " client " in cluster.leader().qbdadm("member", "list", "vol").output
        filesystem.make("ext4", client.device)
        with Mount(client.device) as point:
            writer = Writer(point + "/file", sync=True)
            writer.wait_for(20)
            for _ in range(2):
                leader = cluster.leader()
                leader.power_cut()
                cluster.wait_leader(not_member=leader)
                writer.wait_for(20)
                cluster.network.heal()
                leader.up()
                cluster.leader().wait("all are whole", lambda status: all(
                    one["connected"] and not one["needs_extents"]
                    for one in status.members))
            filesystem.copy_tree(point)
            writer.stop()
            writer.verify()
        assert client.status().errors == 0
        for other in (client, cluster.member(2)):
            with Mount(other.device, "ro") as point:
                found = filesystem.digest(point + "/tree")
            assert found == filesystem.digest(filesystem.TREE), "at %r" % other
        filesystem.check("ext4", client.device)


@test("connect", timeout=90)
def fio_verify_on_a_client():
    """fio --verify on a host without a disk, while one member after the other leads."""
    with Cluster(4, clients=(4,)) as cluster:
        cluster.connect(4)
        client = cluster.member(4)
        fio(client.device, "--rw=randwrite", "--bsrange=4k-1M", "--blockalign=4k",
            "--size=32M", "--io_size=48M", "--iodepth=16")
        command = fio_command(client.device, "--rw=randwrite", "--bs=4k", "--offset=40M",
                              "--size=4M", "--iodepth=8", "--output=/tmp/fio")
        load = spawn(["sh", "-c", 'while [ ! -e /tmp/fio-stop ]; do "$@" || exit 1; done',
                      "load", *command])
        before = client.status().writes
        for number in (1, 2, 3, 1):
            cluster.lead(number)
            client.wait("it writes under member %d" % number,
                        lambda status, floor=before + 100 * number: status.writes > floor)
        run(["touch", "/tmp/fio-stop"])
        assert load.wait(60) == 0
        assert client.status().errors == 0


@test("connect", timeout=60)
def client_reads_what_others_write():
    """At once, whoever leads; zeroes and discards go the same way."""
    with Cluster(4, clients=(4,), create=SHARED) as cluster:
        cluster.connect(4)
        client = cluster.member(4)
        for number in (1, 2, 3):
            cluster.lead(number)
            writer = Writer(cluster.member(2).device, slots=16)
            reader = Reader(client.device, writer)
            writer.wait_for(50)
            reader.wait_for(50)
            last = writer.stop()
            # What was acknowledged there is what is read here.
            assert writer.verify(client.device) == last
            reader.stop()
        direct_write(client.device, 4 * MIB, pattern(7, 1))
        assert direct_read(cluster.member(1).device, 4 * MIB, BLOCK) == pattern(7, 1)
        run(["blkdiscard", "-z", "-o", str(4 * MIB), "-l", str(MIB), client.device])
        assert direct_read(cluster.member(3).device, 4 * MIB, BLOCK) == bytes(BLOCK)
        # Its disk has no part in it.
        assert client.status().store["data_writes"] == 0


@test("connect", timeout=120)
def client_is_behind_the_log():
    """It was away for longer than the log reaches back: its own begins anew, and it is heard."""
    with Cluster(4, clients=(4,), log_size="8M") as cluster:
        cluster.connect(4)
        client = cluster.member(4)
        client.down()
        wait_detached()
        last = dump(client.disk)["log"]["last_index"]
        leader = cluster.lead(1)
        fill_log(cluster, leader, 24)
        leader.wait("its log does not reach it", lambda status: status.first_index > last + 1)
        client.up()
        cluster.wait_caught_up()
        writer = Writer(client.device, limit=50)
        writer.child.wait()
        writer.verify(leader.device)


@test("connect", timeout=90)
def client_loses_its_claim():
    """Another host takes over by force: the client's late writes are fenced."""
    with Cluster(4, clients=(4,), up=PATIENT) as cluster:
        cluster.connect(4)
        client, heir = cluster.member(4), cluster.member(2)
        cluster.lead(1)
        writer = Writer(client.device)
        writer.wait_for(20)
        wait_claim(heir, holder=4)
        # A member that does not vote is not followed by leadership.
        assert cluster.leader().number == 1
        assert open_once(heir.device) == errno.EBUSY
        events = cluster.events(client)
        take(heir, "--force")
        events.wait("fenced")
        ended_with_error(writer, time.monotonic())
        after = Writer(heir.device, slots=512, limit=50)
        after.child.wait()
        after.verify(heir.device)
        assert after.verify(client.device) == 50
        heir.qbdadm("claim", "release", "vol")
        # Whoever keeps it open stays fenced, on either side.
        for one, two in ((heir, client), (client, heir)):
            holder = Holder(one.device)
            take(two, "--force")
            wait_fenced(one)
            holder.close()
            direct_write(two.device, 0, pattern(9, two.number))
            two.qbdadm("claim", "release", "vol")
            assert direct_read(one.device, 0, BLOCK) == pattern(9, two.number)


@test("connect", timeout=90)
def client_dies():
    """It loses power while it holds the claim: another takes over after its lease."""
    with Cluster(4, clients=(4,), up=SHORT_LEASE) as cluster:
        cluster.connect(4)
        client, heir = cluster.member(4), cluster.member(2)
        writer = Writer(client.device)
        writer.wait_for(20)
        acknowledged = writer.acknowledged()
        client.power_cut()
        ended_with_error(writer)
        assert open_once(heir.device) == 0
        last = writer.verify(heir.device)
        assert last >= acknowledged
        after = Writer(heir.device, slots=512)
        after.wait_for(20)
        cluster.network.heal()
        client.up()
        assert client.status().member_id == 4
        assert open_once(client.device) == errno.EBUSY
        after.stop()
        after.verify(client.device)


@test("connect", timeout=90)
def client_is_cut_off():
    """Its writes wait; when it is back, after its lease, they are refused for their epoch."""
    with Cluster(4, clients=(4,), up=SHORT_LEASE) as cluster:
        cluster.connect(4)
        client, heir = cluster.member(4), cluster.member(2)
        writer = Writer(client.device)
        writer.wait_for(20)
        cluster.network.isolate(4)
        # The answer to one may have passed the cut.
        before = writer.acknowledged()
        never("it writes without a leader", lambda: writer.child.ended() or
              writer.acknowledged() > before + 1, 0.5)
        after = Writer(heir.device, slots=512)
        after.wait_for(50)
        events = cluster.events(client)
        cluster.network.heal()
        events.wait("fenced")
        ended_with_error(writer, time.monotonic())
        after.wait_for(50)
        after.stop()
        after.verify(client.device)


@test("connect", timeout=120)
def the_same_client_or_a_new_one():
    """With its file it is who it was; without it takes its own place; twice is once."""
    with Cluster(4, clients=(4,)) as cluster:
        client, leader = cluster.member(4), cluster.lead(1)
        # Two at once: one of them waits for the other.
        both = [spawn(cluster.connect_command(4), client.netns) for _ in range(2)]
        for one in both:
            wait_until("it has ended", lambda: one.poll() is not None)
        assert [one.returncode for one in both] == [0, 0]
        client.removed, client.is_up = False, True
        wait_listed(cluster.members, [4])
        incarnation = dump(client.disk)["superblocks"][0]["incarnation"]
        assert dump(client.disk)["superblocks"][0]["client"]
        again = cluster.connect(4).output
        assert "is connected already: member 4" in again, again
        assert loops() == [client.disk.path]
        # Down and up, by up and by connect; and the power goes.
        client.down()
        wait_detached()
        client.up()
        client.down()
        assert "a client" not in cluster.connect(4).output
        client.power_cut()
        cluster.network.heal()
        cluster.connect(4)
        assert listed(leader) == [(1, False), (2, False), (3, False), (4, True)]
        assert dump(client.disk)["superblocks"][0]["incarnation"] == incarnation
        # Nobody answers: it is known who it is.
        client.down()
        alone = cluster.connect(4, contact="10.0.0.9")
        assert "comes up as before" in alone.errors, alone.errors
        wait_listed(cluster.members, [4])
        # The file is lost with the host.
        client.power_cut()
        client.disk.wipe()
        cluster.network.heal()
        leader.wait("it is not connected", lambda status: not status.member(4).connected)
        told = cluster.connect(4).output
        assert "member 4 (delta)" in told and "has been taken out" in told, told
        wait_listed(cluster.members, [5])
        assert dump(client.disk)["superblocks"][0]["incarnation"] != incarnation
        writer = Writer(client.device, limit=20)
        writer.child.wait()
        # Removed while it was away: its file is of no use any more.
        client.down()
        leader.wait("it is not connected", lambda status: not status.member(5).connected)
        leader.qbdadm("member", "remove", "vol", "5")
        told = cluster.connect(4)
        assert "member 5" in told.errors and "was removed" in told.errors, told.errors
        wait_listed(cluster.members, [6])
        writer.verify(client.device)


@test("connect", timeout=120)
def two_hosts_of_one_name_at_once():
    """One is the client, the other is told; who is not there has its place taken."""
    with Cluster(5, clients=(4, 5)) as cluster:
        leader = cluster.lead(1)
        both = [(cluster.member(number), cluster.connect_command(number, host="twin"))
                for number in (4, 5)]
        children = [(member, spawn(command, member.netns, text=True, stdout=PIPE, stderr=PIPE),
                     command) for member, command in both]
        told = {member: finish(child, command, 60) for member, child, command in children}
        (client,) = [member for member in told if not told[member].status]
        (other,) = set(told) - {client}
        refused(told[other], "is called twin already", "choose another --name")
        assert other.disk.files() == [] and loops() == [client.disk.path]
        client.removed, client.is_up = False, True
        wait_listed([*cluster.members[:3], client], [4])
        refused(cluster.connect(other.number, host="twin", check=False), "is called twin already")
        # While it is away the other one takes its place; it hears that, and does not take it back.
        client.power_cut()
        cluster.network.heal()
        leader.wait("it is not connected", lambda status: not status.member(4).connected)
        replaced = cluster.connect(other.number, host="twin")
        assert "member 4 (twin)" in replaced.output and "has been taken out" in replaced.output
        client.removed = True
        wait_listed([*cluster.members[:3], other], [5])
        again = cluster.connect(client.number, host="twin", check=False)
        assert again.status and "member 4" in again.errors and "was removed" in again.errors
        assert "is called twin already" in again.errors, again.errors
        wait_listed([*cluster.members[:3], other], [5])
        direct_write(other.device, 0, pattern(1, 1))


class Directory:
    """An empty directory in the place of one that cannot be written to here."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        run(["mount", "-t", "tmpfs", "tmpfs", self.path])

    def __exit__(self, *_):
        wait_until("umount " + self.path,
                   lambda: run(["umount", self.path], check=False).status == 0)


@test("connect", timeout=90)
def client_is_found_by_its_name():
    """As after a boot: up NAME and up --scan find the file, and config says where another is."""
    with Cluster(4, clients=(4,)) as cluster:
        client = cluster.member(4)
        default, config = "/var/lib/qbd/vol.client", "/etc/qbd/vol.conf"
        with Directory("/var/lib"), Directory("/etc"):
            client.qbdadm("connect", "10.0.0.1", "vol", "--token-file", cluster.token, "--name",
                          "delta")
            assert loops() == [default], loops()
            assert stat.S_IMODE(os.stat("/var/lib/qbd").st_mode) == 0o700
            for up in (["up", "vol"], ["up", "--scan"], ["up", "--scan", "vol"]):
                client.qbdadm("down", "vol")
                wait_detached()
                found = [line for line in client.qbdadm("scan").output.splitlines()
                         if line.endswith(", a client")]
                assert len(found) == 1 and found[0].startswith(default + ": member 4"), found
                told = client.qbdadm(*up)
                assert "vol: member 4 is up as /dev/qbd" in told.output, told
                assert loops() == [default], loops()
                assert "vol: member 4 is up already" in client.qbdadm(*up).output
                assert default not in client.qbdadm("scan").output
            client.qbdadm("down", "vol")
            wait_detached()
            shutil.move(default, client.disk.path)
            refused(client.qbdadm("up", "vol", check=False), "in use")
            os.mkdir("/etc/qbd")
            with open(config, "w") as file:
                file.write("disk = %s\n" % client.disk.path)
            assert "member 4 is up as" in client.qbdadm("up", "vol").output
            direct_write(client.device, 0, pattern(1, 1))
            client.qbdadm("disconnect", "vol")
            assert client.disk.files() == []
            wait_listed(cluster.members[:3], [])


@test("connect", timeout=120)
def disconnected():
    """Nothing stale is left; in use it is refused; without a quorum it is said what works."""
    with Cluster(4, clients=(4,)) as cluster:
        client, leader = cluster.member(4), cluster.lead(1)
        refused(cluster.disconnect(4, check=False), "not connected")
        refused(leader.qbdadm("disconnect", "vol", check=False), "no client")
        cluster.connect(4)
        holder = Holder(client.device)
        refused(cluster.disconnect(4, check=False), "in use")
        holder.close()
        told = cluster.disconnect(4).output
        assert "no member any more" in told, told
        wait_listed(cluster.members[:3], [])
        wait_detached()
        assert client.disk.files() == []
        # Of one that is down; and it need not be said where the file of one that is up is.
        cluster.connect(4)
        client.down()
        cluster.disconnect(4)
        cluster.connect(4)
        client.qbdadm("disconnect", "vol")
        client.removed, client.is_up = True, False
        wait_listed(cluster.members[:3], [])
        wait_detached()
        assert client.disk.files() == []
        # Removed on a member: it knows, and what is left here goes.
        cluster.connect(4)
        leader.qbdadm("member", "remove", "vol", "7")
        client.wait("it knows that it was removed", lambda status: status.removed)
        refused(cluster.connect(4, check=False), "was removed", "disconnect")
        cluster.disconnect(4)
        # Nobody is there to take the change.
        cluster.connect(4)
        for member in cluster.members[1:3]:
            member.power_cut()
        cluster.network.heal()
        client.wait("no leader", lambda status: not status.leader)
        # Long enough for the module to have run out of words, if it were asked too often.
        refused(cluster.disconnect(4, "--wait", "4", check=False), "a majority", "--force",
                "'qbdadm member remove vol 8'")
        assert client.disk.files() == ["client"]
        cluster.disconnect(4, "--force")
        wait_detached()
        assert client.disk.files() == []
        for member in cluster.members[1:3]:
            member.up()
        cluster.wait_leader()
        wait_listed(cluster.members[:3], [8])
        leader.qbdadm("member", "remove", "vol", "8")
        wait_listed(cluster.members[:3], [])


@test("connect", timeout=120)
def client_is_in_nobodys_way():
    """It neither votes nor leads, is no copy, and the device grows, with it or without."""
    with Cluster(4, clients=(4,), create=SHARED) as cluster:
        cluster.connect(4)
        client, leader = cluster.member(4), cluster.lead(1)
        refused(cluster.change(leader, "promote", 4, check=False), "member 4 is a client")
        refused(cluster.change(leader, "demote", 4, check=False), "already")
        refused(cluster.change(leader, "replace", 3, 4, check=False), "member 4 is a client")
        refused(leader.qbdadm("leader", "move", "vol", "--to", "4", check=False),
                "does not vote")
        refused(client.qbdadm("leader", "move", "vol", "--to", "4", check=False),
                "does not vote")
        refused(run(["qbdadm", "checksum", client.disk.path], check=False), "client")
        # Asked for there, done by the leader.
        resize(client, 80)
        wait_size(cluster.members, 80)
        assert os.path.getsize(client.disk.path) < 20 * MIB
        assert client.device and int(run(["blockdev", "--getsize64",
                                          client.device]).output) == 80 * MIB
        direct_write(client.device, 79 * MIB, pattern(3, 1))
        cluster.wait_caught_up()
        for member in (leader, client):
            status, found = verify(member)
            assert status == 0 and found["equal"], found
            all_compared(found, cluster, [1, 2, 3])
        # While it is away, too; and it counts for no majority.
        client.down()
        resize(leader, 100)
        wait_size(cluster.members[:3], 100)
        status, found = verify(leader)
        assert status == 0 and found["equal"], found
        client.up()
        wait_size([client], 100)
        assert direct_read(client.device, 79 * MIB, BLOCK) == pattern(3, 1)
        cluster.member(2).power_cut()
        cluster.member(3).power_cut()
        cluster.network.heal()
        client.wait("no leader", lambda status: not status.leader)
        cluster.member(1).wait("it is alone", lambda status: status.voters_up == 1)
        for number in (2, 3):
            cluster.member(number).up()
        client.down()
        refused(client.qbdadm("recover", "vol", "--disk", client.disk.path,
                              "--force-new-history", "--confirm", "vol", check=False), "file")


@test("connect", timeout=120)
def connect_refusals():
    """One clear line each, and nothing is left behind on either side."""
    with Cluster(5, clients=(4, 5), witnesses=(3,)) as cluster:
        leader, client, second = cluster.member(1), cluster.member(4), cluster.member(5)
        cluster.lead(1)
        before = leader.status().members_index

        def fails(*words, **options):
            number = options.pop("number", 4)
            line = refused(cluster.connect(number, *options.pop("more", ()), check=False,
                                           **options), *words)
            assert (cluster.member(number).disk.files(), loops()) == ([], []), line
            assert leader.status().members_index == before

        other = os.path.dirname(cluster.token) + "/other"
        run(["qbdadm", "token", "new", "--out", other])
        fails("another device", token=other)
        fails("called vol there", name="other")
        fails("nobody listens", contact="10.0.0.2:7999")
        fails("no way there", contact="192.0.2.1")
        fails("called alpha already", host="alpha")
        fails("listens at", more=["--listen", "10.0.0.3"])
        fails("no such address", more=["--listen", "10.0.0.77"])
        # With a member's own address the way leads nowhere else; a witness tells who leads.
        cluster.connect(4, contact=3)
        wait_listed(cluster.members[:4], [4])
        before = leader.status().members_index
        fails_line = refused(cluster.connect(5, host="delta", check=False),
                             "called delta already")
        assert second.disk.files() == [], fails_line
        assert leader.status().members_index == before
        refused(cluster.connect(4, token=other, check=False), "another device")
        # Files that are something else's.
        client.down()
        shutil.move(client.disk.path, second.disk.path)
        with open(client.disk.path, "w") as file:
            file.write("mine\n" * 100000)
        refused(cluster.connect(4, check=False), "not what 'qbdadm connect' makes")
        with open(client.disk.path) as file:
            assert file.read() == "mine\n" * 100000
        os.unlink(client.disk.path)
        shutil.move(second.disk.path, client.disk.path)
        refused(cluster.connect(4, token=other, check=False), "of another device")
        refused(leader.qbdadm("connect", "10.0.0.2", "vol", "--token-file", cluster.token,
                              "--file", second.disk.path, check=False), "with data")
        cluster.connect(4)
