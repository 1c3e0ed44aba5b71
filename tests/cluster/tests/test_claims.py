# SPDX-License-Identifier: GPL-2.0
"""Claims: one host writes at a time, and who is superseded is fenced."""

import errno
import hashlib
import os
import subprocess
import time

from lib import filesystem, kernel
from lib.cluster import SHARED, Cluster, refused
from lib.filesystem import Mount
from lib.registry import test
from lib.shell import SLOWNESS, finish, never, run, spawn, wait_until
from lib.workload import BLOCK, Child, Writer, direct_read, direct_write, parse, pattern

from .test_changes import wait_roles
from .test_powercut import power_cut_all
from .test_quorum import lose_quorum, regain_quorum
from .test_rejoin import fill_log

LEASE = 5
PATIENT = ("--memory", "16M", "--claim-lease", str(LEASE * 1000))


def open_once(device, flags=os.O_RDWR):
    """0 if it can be opened so, else the error number."""
    def work(report):
        try:
            os.close(os.open(device, flags))
            report("0")
        except OSError as error:
            report(str(error.errno))
    child = Child(work)
    lines = child.wait()
    child.close()
    return int(lines[0])


class Holder:
    """Has a device open for write until it is closed, and does nothing with it."""

    def __init__(self, device, flags=os.O_RDWR):
        def work(report):
            os.open(device, flags)
            report("open")
            while True:
                time.sleep(3600)
        self.child = Child(work)
        wait_until("%s is open" % device, lambda: self.child.read() or self.child.ended())
        assert self.child.read() == ["open"], self.child.read()

    def close(self):
        self.child.kill()
        self.child.close()


def claim(member):
    return member.status().claim


def wait_claim(member, **fields):
    """Until this member knows of a claim with these fields."""
    return member.wait("claim %s" % fields, lambda status: all(
        status.claim[name] == value for name, value in fields.items())).claim


def take(member, *options, **run_options):
    return member.qbdadm("claim", "take", member.cluster.name, *options, **run_options)


@test("claims", timeout=90)
def what_was_claimed_is_what_is_printed():
    """On a host that does not lead, too, which hears of it a heartbeat later."""
    with Cluster(3, up=("--memory", "16M", "--election-timeout", "3000",
                        "--heartbeat", "1000")) as cluster:
        cluster.lead(1)
        member = cluster.member(2)
        for _ in range(3):
            assert "exclusive: beta (2)" in take(member).output
            assert "exclusive: nobody" in member.qbdadm("claim", "release", "vol").output
            assert "shared" in member.qbdadm("claim", "mode", "vol", "shared").output
            assert "nobody" in member.qbdadm("claim", "mode", "vol", "exclusive").output


def content(member, mib=64):
    """What the device holds, by a digest."""
    def work(report):
        digest = hashlib.sha256()
        for offset in range(0, mib << 20, 1 << 20):
            digest.update(direct_read(member.device, offset, 1 << 20))
        report(digest.hexdigest())
    child = Child(work)
    lines = child.wait(60)
    child.close()
    return lines[0]


def wait_fenced(member):
    member.wait("it is fenced", lambda status: status.claim["state"] == "fenced")


def ended_with_error(writer, since=None):
    """since: when its host knew (monotonic); its I/O fails at once then."""
    wait_until("the writer got its error", writer.child.ended, 20)
    assert writer.child.read()[-1].startswith("error"), writer.child.read()[-1]
    if since is not None:
        took = writer.failed_at() - since
        assert took < SLOWNESS, "its I/O failed after %.2f s" % took


@test("claims", timeout=60)
def one_host_writes():
    """Open for write on one host, refused on others; read-only anywhere; given back."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        follower, other = cluster.others(leader)
        for one, two in ((leader, follower), (follower, other), (other, leader)):
            events = cluster.events(one)
            holder = Holder(one.device)
            events.wait("claimed")
            epoch = wait_claim(two, holder=one.number, mode="exclusive")["epoch"]
            assert claim(one)["state"] == "held"
            assert open_once(two.device) == errno.EBUSY
            assert cluster.log.find("qbd: vol: .*member %d .%s. has the device claimed" %
                                    (one.number, one.name))
            assert open_once(two.device, os.O_RDONLY) == 0
            # Once more on the same host: no other claim.
            direct_write(one.device, 0, bytes([one.number]) * BLOCK)
            assert claim(one)["epoch"] == epoch
            assert direct_read(two.device, 0, BLOCK) == bytes([one.number]) * BLOCK
            holder.close()
            events.wait("released")
            # At once: whoever has closed it is waited for.
            assert open_once(two.device) == 0
            wait_claim(one, holder=0)


@test("claims", timeout=90)
def lease_of_a_dead_holder():
    """A holder that loses power: who opens the device waits for its lease, and has it."""
    with Cluster(3, up=PATIENT) as cluster:
        leader = cluster.leader()
        dead, heir = cluster.others(leader)
        writer = Writer(dead.device)
        writer.wait_for(20)
        gone = time.monotonic()
        dead.power_cut()
        ended_with_error(writer)
        assert open_once(heir.device) == 0
        # The last sign of it may be a few heartbeats older.
        assert time.monotonic() - gone >= LEASE - 0.5
        writer.verify(heir.device)
        after = Writer(heir.device, slots=512)
        after.wait_for(20)
        # It comes back while its successor writes, and has nothing any more.
        cluster.network.heal()
        dead.up()
        assert open_once(dead.device) == errno.EBUSY
        after.stop()
        after.verify(dead.device)


@test("claims", timeout=60)
def restarted_holder_has_lost_it():
    """A holder that restarts is no holder: nobody waits for its lease."""
    with Cluster(3, up=PATIENT) as cluster:
        leader = cluster.leader()
        holder, heir = cluster.others(leader)
        take(holder)
        assert open_once(heir.device) == errno.EBUSY
        holder.power_cut()
        cluster.network.heal()
        up = time.monotonic()
        holder.up()
        wait_until("it can be opened", lambda: open_once(heir.device) == 0)
        assert time.monotonic() - up < LEASE


@test("claims", timeout=90, expect=r"EXT4-fs|JBD2|Buffer I/O error|Aborting journal")
def forced_from_a_mounted_file_system():
    """A claim is taken from a mounted ext4 under load: not one of its blocks lands."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        for old, new in ((leader, cluster.others(leader)[0]), cluster.others(leader)):
            filesystem.make("ext4", old.device)
            run(["mount", old.device, "/tmp/mnt"])
            writers = [Writer("/tmp/mnt/%d" % i, sync=True) for i in range(3)]
            for writer in writers:
                writer.wait_for(10)
            events = cluster.events(old)
            refused(take(new, check=False), old.name, "--force")
            # When it is taken ext4 may say of a write that it is safe, and be wrong.
            for writer in writers:
                writer.believe_until_now()
            take(new, "--force")
            # Whatever is to be found now is all that there will ever be.
            before = content(new)
            assert events.wait("fenced")["peer"] == new.number
            known = time.monotonic()
            for writer in writers:
                ended_with_error(writer, known)
            assert open_once(old.device) == errno.EBUSY
            run(["umount", "/tmp/mnt"])
            wait_claim(old, state="none", holder=new.number)
            assert content(new) == before
            with Mount(new.device) as point:
                for i, writer in enumerate(writers):
                    writer.verify("%s/%d" % (point, i))
            new.qbdadm("claim", "release", cluster.name)
            assert open_once(old.device) == 0


@test("claims", timeout=90)
def cut_off_holder_is_fenced():
    """The holder leads, is cut off, and comes back when another host has taken over."""
    with Cluster(3) as cluster:
        old = cluster.leader()
        new, other = cluster.others(old)
        writers = [Writer(old.device, first_block=block) for block in (0, 1000)]
        for writer in writers:
            writer.wait_for(20)
        cluster.network.isolate(old.number)
        cluster.wait_leader(among=[new, other])
        wait_until("it can be opened", lambda: open_once(new.device) == 0, 20)
        take(new)
        successor = Writer(new.device, first_block=500, limit=100)
        successor.child.wait()
        before = content(new)
        # It may have taken over what it was told to before: nobody told it anything.
        assert not any(writer.child.ended() for writer in writers)
        events = cluster.events(old)
        cluster.network.heal()
        events.wait("fenced")
        known = time.monotonic()
        for writer in writers:
            ended_with_error(writer, known)
        wait_claim(old, holder=new.number)
        assert content(new) == before
        assert direct_read(old.device, 500 * BLOCK, BLOCK) == pattern(successor.stamp, 1)
        # What it was told to be safe, by itself at the last, is.
        for writer in writers:
            writer.verify(new.device)
        new.qbdadm("claim", "release", cluster.name)
        wait_until("it can be opened", lambda: open_once(old.device) == 0)


@test("claims", timeout=120)
def who_has_it_claimed_is_not_removed():
    """Who uses the device stays until it is closed there, or by force; others come and go."""
    with Cluster(5) as cluster:
        leader = cluster.lead(1)
        user, other, spare, _ = cluster.others(leader)
        cluster.change(leader, "demote", spare)

        def stays(member, *by):
            for one in by or (leader, other):
                refused(cluster.change(one, "remove", member, check=False),
                        "member %d uses the device" % member.number, "claim release", "--force")
        writer = Writer(user.device)
        writer.wait_for(20)
        stays(user)
        refused(cluster.change(other, "replace", user, spare, check=False), "uses the device")
        writer.wait_for(20)
        writer.stop()
        writer.verify()
        # Claimed, and open nowhere.
        take(user)
        stays(user)
        user.qbdadm("claim", "release", cluster.name)
        # For reading only: no claim says so.
        holder = Holder(user.device, os.O_RDONLY)
        stays(user)
        holder.close()
        # The leader's own.
        holder = Holder(leader.device)
        stays(leader, other, user)
        holder.close()
        leader.qbdadm("claim", "mode", cluster.name, "shared")
        holders = [Holder(member.device) for member in (leader, user)]
        for member in (leader, user):
            stays(member, other)
        for holder in holders:
            holder.close()
        # A learner is what may use it, too: it goes on.
        writer = Writer(user.device)
        writer.wait_for(20)
        cluster.change(other, "demote", user)
        writer.wait_for(20)
        stays(user)
        # By force: what goes on there has its error when that host knows, and not later.
        events = cluster.events(user)
        cluster.change(other, "remove", user, "--force")
        events.wait("removed")
        ended_with_error(writer, time.monotonic())
        cluster.retire(user)
        # It is closed there: it goes like any other.
        cluster.change(other, "remove", leader)
        cluster.retire(leader)


@test("claims", timeout=120)
def a_dead_holder_is_removed():
    """When its lease is over, as for who takes over; until then it may be writing."""
    for mode in ("exclusive", "shared"):
        with Cluster(3, up=PATIENT, create=("--claim", mode)) as cluster:
            leader = cluster.lead(1)
            dead, other = cluster.others(leader)
            writer = Writer(dead.device)
            writer.wait_for(20)
            gone = time.monotonic()
            dead.power_cut()
            ended_with_error(writer)
            refused(cluster.change(other, "remove", dead, check=False),
                    "member %d uses the device" % dead.number, "--force")
            wait_until("it is removed", lambda: cluster.change(
                other, "remove", dead, check=False).status == 0, 20)
            assert time.monotonic() - gone >= LEASE - 0.5
            dead.removed = True
            wait_roles([leader, other], [leader.number, other.number])
            direct_write(other.device, 0, pattern(1, 1))


@test("claims", timeout=60)
def who_cannot_be_told_that_it_is_removed_holds_nothing():
    """Its disk hangs: it does not know, and it answers. Others have the device all the same."""
    with Cluster(4) as cluster:
        leader = cluster.lead(1)
        user, other, _ = cluster.others(leader)
        take(user)
        user.disk.hang()
        cluster.change(other, "remove", user, "--force", "--no-wait")
        other.wait("it votes no more", lambda status: not status.member(user.number).voter and
                   status.commit_index >= status.members_index)
        # It is heard, so no lease of silence ever ends.
        wait_until("another host has it", lambda: open_once(other.device) == 0)
        assert other.status().member(user.number).leaving
        direct_write(other.device, 0, pattern(1, 1))
        user.disk.resume()
        cluster.retire(user)


@test("claims", timeout=60)
def claim_outlives_others():
    """A claim stays when all other members restart, and when the leader changes."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        holder, third = cluster.others(leader)
        writer = Writer(holder.device)
        writer.wait_for(20)
        epoch = claim(holder)["epoch"]
        for member in (third, leader):
            member.down()
            cluster.wait_leader()
            writer.wait_for(20)
            assert open_once(cluster.others(holder, member)[0].device) == errno.EBUSY
            member.up()
            cluster.wait_leader()
            assert open_once(member.device) == errno.EBUSY
        # All others at once, without power: what they know is on their disks.
        for member in (third, leader):
            member.power_cut()
        cluster.network.heal()
        cluster.up()
        cluster.wait_leader()
        writer.wait_for(20)
        for member in cluster.members:
            wait_claim(member, holder=holder.number, epoch=epoch)
        writer.stop()
        writer.verify()


@test("claims", timeout=60)
def all_lose_power_and_the_mode_stays():
    """When all have lost power nobody holds the device; what its mode was it is."""
    with Cluster(3) as cluster:
        one, two, three = cluster.members
        take(one)
        power_cut_all(cluster)
        wait_until("it can be opened", lambda: open_once(two.device) == 0)
        two.qbdadm("claim", "mode", cluster.name, "shared")
        for member in cluster.members:
            wait_claim(member, mode="shared", holder=0)
        power_cut_all(cluster)
        holders = [Holder(member.device) for member in cluster.members]
        for member in cluster.members:
            assert claim(member)["mode"] == "shared"
        for holder in holders:
            holder.close()
        cluster.down_all()
        cluster.up()
        assert claim(three)["mode"] == "shared"


@test("claims", timeout=90)
def claim_of_a_filled_member():
    """A member that is filled by extents knows of a claim that its log never had."""
    with Cluster(3, log_size="8M") as cluster:
        holder = cluster.leader()
        lost, other = cluster.others(holder)
        lost.down()
        take(holder)
        fill_log(cluster, holder, 48)
        assert holder.status().first_index > claim(holder)["epoch"]
        events = cluster.events(lost)
        lost.up()
        events.wait("fill-done", 60)
        cluster.wait_caught_up()
        wait_claim(lost, holder=holder.number, epoch=claim(holder)["epoch"])
        cluster.lead(lost.number)
        assert open_once(lost.device) == errno.EBUSY
        direct_write(holder.device, 0, b"x" * BLOCK)
        lost.down()
        lost.up()
        wait_claim(lost, holder=holder.number)


@test("claims", timeout=60)
def shared_mode():
    """In mode shared all hosts write; back in exclusive the first has the claim."""
    with Cluster(3, create=("--claim", "shared")) as cluster:
        writers = [Writer(member.device, first_block=member.number * 1000)
                   for member in cluster.members]
        for writer in writers:
            writer.wait_for(50)
        for writer in writers:
            writer.stop()
            writer.verify()
        one, two, _ = cluster.members
        assert claim(one)["mode"] == "shared"
        holder = Holder(one.device)
        one.qbdadm("claim", "mode", cluster.name, "exclusive")
        for member in cluster.members:
            wait_claim(member, mode="exclusive")
        # Who has it open then claims it.
        wait_claim(two, holder=one.number)
        assert open_once(two.device) == errno.EBUSY
        one.qbdadm("claim", "mode", cluster.name, "shared")
        for member in cluster.members:
            wait_claim(member, mode="shared")
        writer = Writer(two.device)
        writer.wait_for(10)
        direct_write(one.device, 5000 * BLOCK, b"s" * BLOCK)
        refused(take(one, check=False), "shared")
        # Of several one gets it, and the others are fenced.
        events = {member: cluster.events(member) for member in (one, two)}
        two.qbdadm("claim", "mode", cluster.name, "exclusive")
        winner = cluster.member(one.wait("somebody has it", lambda status:
                                         status.claim["holder"]).claim["holder"])
        loser, = {one, two} - {winner}
        events[loser].wait("fenced")
        known = time.monotonic()
        if winner is two:
            writer.wait_for(10)
            writer.stop()
        else:
            ended_with_error(writer, known)
        holder.close()


@test("claims", timeout=60)
def open_without_a_quorum():
    """Who opens for write without a quorum can be killed; down --force frees him."""
    with Cluster(3) as cluster:
        member = cluster.leader()
        device = member.device
        lose_quorum(cluster, member)
        opener = Child(lambda report: os.open(device, os.O_RDWR))
        member.wait("it is asked for", lambda status: status.claim["state"] == "asking")
        assert not opener.ended()
        opener.kill()
        member.wait("nobody asks", lambda status: status.claim["state"] == "none")
        opener = Child(lambda report: os.open(device, os.O_RDWR))
        member.wait("it is asked for", lambda status: status.claim["state"] == "asking")
        refused(member.down(check=False), "in use")
        member.down("--force")
        wait_until("who opened it has his answer", opener.ended)
        assert opener.status != 0
        wait_until("no process is in state D", lambda: not kernel.uninterruptible())
        regain_quorum(cluster)
        # It opens when there is a quorum again; in mode error, it fails after the grace.
        lose_quorum(cluster, member)
        opener = Child(lambda report: os.close(os.open(member.device, os.O_RDWR)))
        member.wait("it is asked for", lambda status: status.claim["state"] == "asking")
        regain_quorum(cluster)
        opener.wait()
        lose_quorum(cluster, member)
        member.set("--no-quorum", "error", "--no-quorum-grace", "100")
        assert open_once(member.device) == errno.EIO
        regain_quorum(cluster)


@test("claims", timeout=60, expect=r"EXT4-fs|JBD2|Buffer I/O error")
def read_only_mount_that_writes():
    """A read-only mount that has to replay a journal claims the device for that."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        dead, heir = cluster.others(leader)
        filesystem.make("ext4", dead.device)
        run(["mount", dead.device, "/tmp/mnt"])
        writer = Writer("/tmp/mnt/records", sync=True)
        writer.wait_for(20)
        # Held by another: what it would have to write is refused.
        os.makedirs("/tmp/mnt2", exist_ok=True)
        assert run(["mount", "-o", "ro", heir.device, "/tmp/mnt2"], check=False).status != 0
        writer.believe_until_now()
        dead.power_cut()
        ended_with_error(writer)
        run(["umount", "/tmp/mnt"])
        # At the first attempt, when his lease is over: nothing was written since it was read.
        with Mount(heir.device, "ro", "/tmp/mnt2") as point:
            wait_claim(heir, holder=heir.number, state="held")
            writer.verify(point + "/records")
        wait_claim(heir, holder=0)
        cluster.network.heal()


def put(path, text):
    """Return: whether it was said to be safe on disk."""
    return run(["sh", "-c", "echo %s > %s && sync %s" % (text, path, path)],
               check=False, timeout=60).status == 0


def make_writable(point):
    """A file system that was mounted read-only, in place. Return: whether it said that it is."""
    return run(["mount", "-o", "remount,rw", point], check=False, timeout=60).status == 0


@test("claims", timeout=60)
def written_to_after_others_wrote():
    """What was mounted read-only while another host wrote is not written to in place."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        writer, other = cluster.others(leader)
        filesystem.make("ext4", writer.device)
        for number, reader in enumerate((leader, other)):
            name = "/from-the-writer-%d" % number
            with Mount(reader.device, "ro", "/tmp/mnt2") as old:
                assert "lost+found" in os.listdir(old)
                with Mount(writer.device) as point:
                    assert put(point + name, "new")
                    # There is somebody, but he is not the reason.
                    refused(take(reader, "--force", check=False), "mounted", "unmount it")
                # It is free, and yet nobody here may write: it could not be told who does.
                wait_claim(reader, holder=0)
                assert open_once(reader.device) == errno.EBUSY
                refused(take(reader, check=False), "mounted", "unmount it")
                assert "lost+found" in os.listdir(old)
                before = content(writer)
                events = cluster.events(reader)
                assert not (make_writable(old) and put(old + "/late", "late"))
                events.wait("fenced")
                assert content(writer) == before
            filesystem.check("ext4", reader.device)
            with Mount(reader.device) as point:
                assert os.path.exists(point + name) and not os.path.exists(point + "/late")
                assert put(point + "/from-the-reader", "newer")


@test("claims", timeout=60)
def written_to_after_all_might_write():
    """The same when the other host wrote in mode shared, of which no claim is left."""
    with Cluster(3) as cluster:
        reader, writer, _ = cluster.members
        filesystem.make("ext4", writer.device)
        wait_claim(reader, holder=0)
        with Mount(reader.device, "ro", "/tmp/mnt2") as old:
            assert "lost+found" in os.listdir(old)
            writer.qbdadm("claim", "mode", "vol", "shared")
            with Mount(writer.device) as point:
                assert put(point + "/file", "new")
            writer.qbdadm("claim", "mode", "vol", "exclusive")
            before = content(writer)
            assert not (make_writable(old) and put(old + "/late", "late"))
            wait_fenced(reader)
            assert content(writer) == before
        with Mount(reader.device) as point:
            assert os.path.exists(point + "/file") and not os.path.exists(point + "/late")
        filesystem.check("ext4", reader.device)


@test("claims", timeout=60)
def written_to_after_nobody_else_wrote():
    """What was mounted read-only is made writable in place, if nobody else had the device."""
    with Cluster(3, up=PATIENT) as cluster:
        leader = cluster.leader()
        one, other = cluster.others(leader)
        filesystem.make("ext4", other.device)
        wait_claim(one, holder=0)
        epochs = []
        # Another had it before, then nobody but this host; it has lost its power in between.
        for number in range(3):
            with Mount(one.device, "ro") as point:
                assert number == 0 or os.path.exists(point + "/%d" % (number - 1))
                # Whoever else looks, and changes what he likes, does not matter.
                assert open_once(other.device, os.O_RDONLY) == 0
                if number == 1:
                    direct_read(one.device, 0, BLOCK)
                    assert open_once(one.device) == 0
                assert make_writable(point)
                assert put(point + "/%d" % number, "new")
                epochs.append(wait_claim(other, holder=one.number)["epoch"])
                assert open_once(other.device) == errno.EBUSY
                # The claim was taken besides: who writes keeps it nevertheless.
                take(one)
                refused(one.qbdadm("claim", "release", "vol", check=False), "in use")
            one.qbdadm("claim", "release", "vol")
            wait_claim(other, holder=0)
            if number == 1:
                one.power_cut()
                cluster.network.heal()
                one.up()
        assert len(set(epochs)) == 3, epochs
        filesystem.check("ext4", other.device)


@test("claims", timeout=90)
def written_to_after_a_host_was_replaced():
    """It leads with a log that begins after the first read of who has it mounted read-only."""
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.lead(1)
        reader, replaced = cluster.others(leader)
        fill_log(cluster, leader, 48)
        wait_claim(reader, holder=0)
        filesystem.make("ext4", reader.device)
        wait_claim(leader, holder=0)
        with Mount(reader.device, "ro") as point:
            assert "lost+found" in os.listdir(point)
            seen = reader.status().commit_index
            # Entries without data: each new leader makes one.
            cluster.lead(reader.number)
            cluster.lead(leader.number)
            replaced.down()
            replaced.disk.wipe()
            cluster.create(replaced)
            replaced.up()
            cluster.wait_caught_up()
            cluster.lead(replaced.number)
            assert replaced.status().first_index > seen + 1
            assert make_writable(point)
            assert put(point + "/file", "new")
        filesystem.check("ext4", replaced.device)


@test("claims")
def claim_commands():
    """take and release without opening; what cannot be is refused with its reason."""
    with Cluster(3) as cluster:
        one, two, _ = cluster.members
        refused(one.qbdadm("claim", "release", "vol", check=False), "does not have it")
        take(one)
        take(one)
        refused(take(two, check=False), one.name, "--force")
        output = two.qbdadm("claim", "show", "vol").output
        assert "exclusive: alpha (1)" in output, output
        direct_write(one.device, 0, b"a" * BLOCK)
        # Closed: it is kept, for it was taken.
        assert claim(one)["state"] == "held"
        holder = Holder(one.device)
        refused(one.qbdadm("claim", "release", "vol", check=False), "in use")
        holder.close()
        one.wait("it is closed", lambda status: not status.in_use)
        one.qbdadm("claim", "release", "vol")
        wait_claim(two, holder=0)
        take(two, "--force")
        # Force takes the claim that this host knows of, and from nobody who came after.
        wait_claim(one, holder=2)
        take(one, "--force")
        wait_claim(two, holder=1, state="none")
        one.qbdadm("claim", "release", "vol")


@test("claims", timeout=60)
def late_writes_are_refused():
    """A write that waits at the old holder while another takes over is never made."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        old, new = cluster.others(leader)
        holder = Holder(old.device)
        direct_write(old.device, 0, pattern(1, 1))
        cluster.network.isolate(old.number)
        child = writes_late(old, 2)
        wait_until("it can be opened", lambda: open_once(new.device) == 0, 20)
        direct_write(new.device, 0, pattern(2, 1))
        cluster.network.heal()
        assert child.wait() == [str(errno.EIO)]
        for member in (new, leader):
            assert parse(direct_read(member.device, 0, BLOCK)) == (2, 1)
        holder.close()


def begin_write(member, number):
    """Somebody writes there; the child says what became of it."""
    device = member.device

    def write(report):
        try:
            direct_write(device, 0, pattern(1, number))
            report("written")
        except OSError as error:
            report(str(error.errno))
    return Child(write)


def writes_late(member, number):
    """A write that waits at a host which is cut off."""
    child = begin_write(member, number)
    member.wait("the write waits", lambda status: status.requests_waiting +
                status.requests_in_flight > 0)
    return child


@test("claims", timeout=60)
def shut_out_for_good():
    """That all may write now does not let in what was superseded before, nor its host."""
    for mode in ("exclusive", "shared"):
        with Cluster(3, create=("--claim", mode)) as cluster:
            leader = cluster.leader()
            old, new = cluster.others(leader)
            holder = Holder(old.device)
            direct_write(old.device, 0, pattern(1, 1))
            events = cluster.events(old)
            cluster.network.isolate(old.number)
            child = writes_late(old, 2)
            if mode == "shared":
                new.qbdadm("claim", "mode", cluster.name, "exclusive")
            wait_until("it can be opened", lambda: open_once(new.device) == 0, 20)
            direct_write(new.device, 0, pattern(2, 1))
            wait_claim(new, holder=0)
            new.qbdadm("claim", "mode", cluster.name, "shared")
            cluster.network.heal()
            assert child.wait() == [str(errno.EIO)], mode
            events.wait("fenced")
            for member in (new, leader):
                assert parse(direct_read(member.device, 0, BLOCK)) == (2, 1), mode
            # Whoever opens it anew is as good as anybody.
            holder.close()
            wait_until("it can be opened", lambda: open_once(old.device) == 0)
            direct_write(old.device, 0, pattern(1, 3))


@test("claims", timeout=60)
def claim_of_a_host_whose_disk_failed():
    """Its log tells it nothing any more: what goes on there has its claim from the leader."""
    with Cluster(3, create=SHARED) as cluster:
        cluster.check_equal = False
        leader = cluster.leader()
        host, other = cluster.others(leader)
        holder = Holder(host.device)
        direct_write(host.device, 0, pattern(1, 1))
        host.disk.fail()
        direct_write(host.device, 0, pattern(1, 2))
        host.wait("it knows that its disk failed", lambda status: status.failed)
        for number, mode in ((3, "exclusive"), (4, "shared")):
            leader.qbdadm("claim", "mode", cluster.name, mode)
            direct_write(host.device, 0, pattern(1, number))
            assert parse(direct_read(other.device, 0, BLOCK)) == (1, number)
            if mode == "exclusive":
                wait_claim(leader, holder=host.number)
        # And it is told when it is over.
        events = cluster.events(host)
        leader.qbdadm("claim", "mode", cluster.name, "exclusive")
        assert open_once(other.device) == 0
        leader.qbdadm("claim", "mode", cluster.name, "shared")
        assert begin_write(host, 5).wait() == [str(errno.EIO)]
        events.wait("fenced")
        holder.close()
        host.disk.heal()


@test("claims", timeout=60)
def a_claim_is_not_the_one_that_is_given_back():
    """Who takes it while the one before is given back has it when he has it, and not before."""
    with Cluster(3) as cluster:
        cluster.lead(1)
        old, new = cluster.member(2), cluster.member(3)
        holder = Holder(old.device)
        cluster.network.isolate(old.number)
        holder.close()
        old.wait("it is given back", lambda status: status.claim["state"] == "releasing")
        successor = Holder(new.device)
        argv = ["qbdadm", "claim", "take", cluster.name]
        taking = spawn(argv, netns=old.netns, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True)
        # In the kernel, which nothing else keeps that long.
        wait_until("it waits", lambda: any(one.startswith("%d (" % taking.pid)
                                           for one in kernel.uninterruptible()))
        cluster.network.heal()
        result = finish(taking, argv, 20)
        assert result.status != 0, "another host has it: %s" % result.output
        assert "gamma" in result.errors, result.errors
        successor.close()
        old.qbdadm("claim", "take", cluster.name)
        wait_claim(new, holder=old.number)


@test("claims")
def what_all_may_write_is_given_back():
    """A claim that was taken, and is in nobody's way since the mode is shared: that is done at once."""
    with Cluster(3) as cluster:
        cluster.lead(1)
        member = cluster.member(2)
        member.qbdadm("claim", "take", cluster.name)
        cluster.member(3).qbdadm("claim", "mode", cluster.name, "shared")
        member.wait("it knows", lambda status: status.claim["mode"] == "shared")
        member.qbdadm("claim", "release", cluster.name)
        member.wait("it has none", lambda status: status.claim["state"] == "none")


@test("claims", timeout=60)
def the_last_holder_goes_on():
    """All may write now, and who had it alone until then has writes under way: they land."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        old, new = cluster.others(leader)
        holder = Holder(old.device)
        direct_write(old.device, 0, pattern(1, 1))
        for number in (2, 3):
            cluster.network.isolate(old.number)
            child = writes_late(old, number)
            # The second time all might write already; nobody has had it alone in between.
            for mode in ("shared",) if number == 2 else ("exclusive", "shared"):
                new.qbdadm("claim", "mode", cluster.name, mode)
            cluster.network.heal()
            assert child.wait() == ["written"]
            for member in cluster.members:
                assert parse(direct_read(member.device, 0, BLOCK)) == (1, number)
        holder.close()


@test("claims", timeout=90)
def the_mode_changes_under_a_writer():
    """To and fro while one host writes, whose disk may have failed: nobody else had it."""
    with Cluster(3) as cluster:
        cluster.check_equal = False
        leader = cluster.leader()
        host, other = cluster.others(leader)
        writer = Writer(host.device)
        writer.wait_for(20)
        for turn in range(6):
            if turn == 3:
                host.disk.fail()
                host.wait("it knows that its disk failed", lambda status: status.failed)
            for mode in ("shared", "exclusive"):
                other.qbdadm("claim", "mode", cluster.name, mode)
            writer.wait_for(20)
        writer.stop()
        writer.verify(other.device)
        # And while it is cut off: what it hears of is that the mode is what it was.
        holder = Holder(host.device)
        cluster.network.isolate(host.number)
        child = writes_late(host, 7)
        for mode in ("shared", "exclusive"):
            other.qbdadm("claim", "mode", cluster.name, mode)
        cluster.network.heal()
        assert child.wait() == ["written"]
        holder.close()
        host.disk.heal()


@test("claims", timeout=90)
def a_forced_take_is_over_when_it_failed():
    """What an administrator did not get is not taken later by whoever opens the device."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        old, new = cluster.others(leader)
        holder = Holder(old.device)
        direct_write(old.device, 0, pattern(1, 1))
        cluster.network.isolate(new.number)
        new.wait("it has no leader", lambda status: not status.leader)
        refused(new.qbdadm("claim", "take", cluster.name, "--force", check=False))
        cluster.network.heal()
        new.wait("it has a leader", lambda status: status.leader)
        assert open_once(new.device) == errno.EBUSY
        direct_write(old.device, 0, pattern(1, 2))
        wait_claim(leader, holder=old.number)
        holder.close()


@test("claims", timeout=60)
def leader_follows_the_holder():
    """Leadership goes to the holder, stays where an administrator puts it, and comes back."""
    with Cluster(3, follows=True) as cluster:
        leader = cluster.leader()
        holder, third = cluster.others(leader)
        writer = Writer(holder.device)
        writer.wait_for(20)
        holder.wait("it leads", lambda status: status.role == "leader")
        writer.wait_for(20)
        # By hand: it is left where it is, though others could follow.
        cluster.lead(third.number)
        moves = len(cluster.log.find("leadership goes to member"))
        term = third.status().term

        def moved():
            """In the same term: an election that the machine is too slow for is no move."""
            return len(cluster.log.find("leadership goes to member")) > moves and \
                third.status().term == term
        never("it is moved back", moved, 3)
        # Whoever has to hand over prefers the holder.
        third.down()
        holder.wait("it leads", lambda status: status.role == "leader")
        third.up()
        writer.stop()
        writer.verify()
        cluster.wait_caught_up()
        # A new claim is followed in any case.
        cluster.lead(leader.number)
        other = Writer(third.device)
        third.wait("it leads", lambda status: status.role == "leader")
        other.stop()
        # One that cannot lead is not followed, and writes all the same.
        cluster.change(leader, "demote", holder)
        holder.wait("it is a learner", lambda status: status.member(holder.number).learner)
        other = Writer(holder.device)
        other.wait_for(50)
        moves = len(cluster.log.find("leadership goes to member"))
        never("a learner is followed", lambda: len(
            cluster.log.find("leadership goes to member")) > moves, 2)
        other.stop()
        other.verify()


@test("claims")
def leader_follows_while_who_joins_is_away():
    """A learner is to vote and is away, and a member that goes waits for it: the leader follows
    who stays, and not who goes."""
    with Cluster(4, follows=True) as cluster:
        leader = cluster.lead(1)
        cluster.change(leader, "demote", 4)
        cluster.member(4).power_cut()
        leader.wait("it is known to be away", lambda status: not status.member(4).connected)
        cluster.change(leader, "replace", 3, 4, "--no-wait")
        leader.wait("what is meant", lambda status: status.member(3).leaving and
                    status.commit_index >= status.members_index)
        two, three = cluster.member(2), cluster.member(3)
        writer = Writer(two.device)
        two.wait("it leads", lambda status: status.role == "leader")
        writer.stop()
        writer = Writer(three.device)
        writer.wait_for(20)
        never("it leads", lambda: three.status().role == "leader", 3)
        writer.stop()
        writer.verify()
        cluster.change(two, "remove", 4)
        cluster.member(4).removed = True


@test("claims", timeout=60)
def leader_follows_no_slow_disk():
    """The holder's disk takes longer than an election: it writes, and leads only after that."""
    with Cluster(3, follows=True) as cluster:
        leader = cluster.lead(1)
        holder = cluster.others(leader)[0]
        holder.disk.slow(500)
        writer = Writer(holder.device)
        writer.wait_for(50)
        wait_claim(holder, holder=holder.number)
        never("it is followed", lambda: cluster.log.find("leadership goes to member"), 4)
        assert leader.status().role == "leader"
        writer.wait_for(50)
        holder.disk.heal()
        holder.wait("it leads", lambda status: status.role == "leader")
        writer.stop()
        writer.verify()


@test("claims", timeout=90)
def leader_follows_no_holder_that_is_behind():
    """The holder was away and catches up slowly: it leads when it lacks next to nothing."""
    with Cluster(3, follows=True) as cluster:
        leader = cluster.lead(1)
        holder = cluster.others(leader)[0]
        cluster.network.isolate(holder.number)
        writer = Writer(leader.device, limit=1500)
        writer.child.wait()
        cluster.network.shape(holder.number, "rate", "4mbit")
        cluster.network.heal()
        take(holder)
        held = wait_claim(leader, holder=holder.number)
        begin = last = time.monotonic()
        while True:
            status = leader.status()
            if status.member(holder.number)["behind_entries"] <= 64:
                break
            last = time.monotonic()
            assert not cluster.log.find("leadership goes to member"), held
        # It would have gone there after one second.
        assert last - begin > 2.5, "behind for %.1f s only" % (last - begin)
        cluster.network.shape(holder.number)
        holder.wait("it leads", lambda status: status.role == "leader")
        writer.verify(holder.device)
