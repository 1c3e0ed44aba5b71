# SPDX-License-Identifier: GPL-2.0
"""What churn.py orders beside changes of members: the device taken over by force while the
file system on it is in use, the device grown, its replicas compared, a witness, a client.

Each has an assertion of its own, and what really came about is counted (outcomes): an order
that is refused asserts nothing.
"""

import errno
import hashlib
import json
import os

from lib.cluster import refused
from lib.damage import Damage, dump, read_block
from lib.filesystem import POINT, Mount, check
from lib.shell import run, wait_until
from lib.workload import BLOCK, Child, Writer, direct_read, direct_write

BOUND = 90
HOSTS = 7
MIB = 1 << 20
GROW_MIB = 8            # at a time
ROOM_MIB = 4 * GROW_MIB
ROOM_OF_ONE_MIB = 2 * GROW_MIB  # of one host, whose disk is smaller
TAKEN = POINT + "/taken"
# At the end of the device, behind the file system: what rots there nobody reads.
SPARE_MIB = 1
SPOILT = 3              # blocks of it at a time


def in_child(function, timeout=BOUND):
    """What it reports; a process of its own, for it may hang."""
    child = Child(lambda report: report(function()))
    lines = child.wait(timeout)
    child.close()
    return lines[0]


def content(host, mib):
    """What the device holds, by a digest."""
    def read():
        digest = hashlib.sha256()
        for at in range(0, mib * MIB, MIB):
            digest.update(direct_read(host.device, at, MIB))
        return digest.hexdigest()
    return in_child(read)


def size_shown(host):
    """Of its block device, in MiB."""
    with open("/sys/class/block/%s/size" % os.path.basename(host.device)) as file:
        return int(file.read()) * 512 // MIB


def data_block(host):
    """Where its data begins on its disk."""
    copies = dump(host.disk)["superblocks"]
    return next(copy["data_block"] for copy in copies if copy["verdict"] == "good")


def open_for_write(host):
    """0 if the device can be opened, else the error number."""
    def work():
        try:
            os.close(os.open(host.device, os.O_RDWR))
        except OSError as error:
            return str(error.errno)
        return "0"
    return int(in_child(work))


class Refused(Exception):
    """It cannot be done now; the text says why."""


class Orders:
    """Of Churn: what it has besides is there."""

    # ---- a claim taken from a host that is there --------------------------

    def take_over(self):
        """By force: not one more block of the old mount lands, its I/O fails, its file system
        stops; on the new one all is there that was acknowledged."""
        self.settle()
        old, way = self.home, self.source.choice(("", "", "leadership moves", "cut off"))
        new = self.pick_home([host for host in self.with_device() if host is not old])
        if way == "cut off" and not self.is_dispensable(old):
            way = ""
        writer = Writer(TAKEN, slots=64, sync=True)
        writer.wait_for(10, BOUND)
        self.refuse_without_force(old, new)
        # When it is taken ext4 may say of a write that it is safe, and be wrong.
        writer.believe_until_now()
        self.load.look()
        assert not writer.child.ended() and self.load.is_running(), "nobody writes"
        if way == "cut off":
            self.cut_between(old, self.cluster.members)
        elif way:
            self.move()
        self.load.expect_error()
        wait_until("%r takes the claim" % new, lambda: new.qbdadm(
            "claim", "take", self.cluster.name, "--force", check=False).status == 0, BOUND)
        # Whatever is to be found now is all that there will ever be.
        before = content(new, self.size_mib)
        if way == "cut off":
            self.heal_network()
        self.old_mount_ends(old, writer)
        wait_until("%r knows who has the claim" % old, lambda: old.status().claim["holder"] ==
                   self.ids[new] and old.status().claim["state"] == "none", BOUND)
        assert content(new, self.size_mib) == before, "a fenced host's write was made"
        self.go_on_at(new, writer)
        self.outcomes["claims taken by force"] += 1
        return [old, new, *([way] if way else [])]

    def pick_home(self, hosts):
        """The one that has no replica as often as all others."""
        if self.client in hosts and self.source.random() < 0.5:
            return self.client
        return self.pick(hosts, "other member that is up")

    def is_dispensable(self, host):
        """Are the others, as they are now, a majority, one with data among them?"""
        found, statuses = self.leader(), self.statuses()
        if found is None:
            return False
        voters = {one["id"] for one in found[1]["members"] if one["voter"]}
        left = [other for other, status in statuses.items() if other is not host and
                self.ids[other] in voters and
                not (status.filling or status.damaged or status.failed)]
        return 2 * len(left) > len(voters) and any(other in self.with_data() for other in left)

    def refuse_without_force(self, old, new):
        def tried():
            result = new.qbdadm("claim", "take", self.cluster.name, check=False)
            # A leader that has just changed may be the reason, too.
            return "--force" in refused(result) and old.name in result.errors
        wait_until("%r has the claim, and keeps it" % old, tried, BOUND)
        line = refused(new.qbdadm("member", "remove", self.cluster.name, self.ids[old],
                                  check=False))
        self.outcomes["removals refused because the device is in use"] += \
            "uses the device" in line

    def old_mount_ends(self, old, writer):
        wait_until("the writer gets an error", writer.child.ended, BOUND)
        assert writer.child.read()[-1].startswith("error"), writer.child.read()[-1]
        wait_until("fio gets an error", self.load.has_failed, BOUND)
        assert old.status().claim["state"] == "fenced", old.status().claim
        assert open_for_write(old) == errno.EBUSY
        result = run(["dd", "if=/dev/zero", "of=%s/late" % POINT, "bs=4k", "count=1",
                      "conv=fsync", "status=none"], check=False, timeout=BOUND)
        assert result.status, "the file system of a fenced host goes on"
        self.steady.stop(may_fail=True)
        self.mount.__exit__()
        self.mount = None

    def go_on_at(self, new, writer):
        """It has the claim without using the device, until that is given back."""
        with Mount(new.device):
            assert writer.verify(timeout=BOUND) >= 10
            os.unlink(TAKEN)
        writer.child.close()
        check("ext4", new.device)
        new.qbdadm("claim", "release", self.cluster.name, timeout=BOUND)
        self.mount_on(new)
        self.load.start()

    # ---- growing ---------------------------------------------------------

    def resize(self):
        """The device, then the file system on it, under load."""
        if self.growing:
            raise Refused("it grows")
        self.know_size()
        # The last time is in the end.
        if self.size_mib >= self.first_mib + ROOM_MIB - GROW_MIB:
            raise Refused("its disks have no more room")
        left = self.first_mib + self.room() - self.size_mib
        if left <= GROW_MIB and self.source.random() < 0.5:
            raise Refused("one disk has room for the last time only")
        # With a member away it is refused, and so it is where one has no room, away or not.
        if left and self.source.random() < 0.7:
            self.settle()
            self.know_size()
        by, wanted = self.pick_up(), self.size_mib + GROW_MIB
        self.growing = True

        def done(status):
            if status:
                self.growing = False
                self.size_unsure = True
                return
            self.size_mib = wanted
            self.grow_file_system()
        self.give(by, [], ["qbdadm", "resize", self.cluster.name, "--size", "%dM" % wanted], done)
        return [by, "%d MiB" % wanted]

    def know_size(self):
        """One that gave up may have been done."""
        found = self.leader() if self.size_unsure else None
        if found:
            self.size_mib = max(self.size_mib, found[1].device_bytes // MIB)

    def room(self):
        """So much larger than at first the device may become."""
        return ROOM_OF_ONE_MIB if self.cluster.member(HOSTS) in self.with_data() else ROOM_MIB

    def file_system_mib(self):
        now = os.statvfs(POINT)
        return now.f_blocks * now.f_frsize / MIB

    def grow_file_system(self):
        home, before = self.home, self.file_system_mib()

        def done(status):
            self.growing = False
            assert not status, "the file system did not grow"
            grown = self.file_system_mib() - before
            assert grown >= 0.8 * GROW_MIB, "the file system grew by %g MiB" % grown
            self.outcomes["file systems grown"] += 1
        self.give(home, [], ["sh", "-c", """
            until [ "$(blockdev --getsize64 $0)" -ge $1 ]; do sleep 0.2; done
            said=$(resize2fs $0 $2M 2>&1) || { echo "$said" | tail -n 1 >&2; exit 1; }""",
                             home.device, self.size_mib * MIB, self.size_mib - SPARE_MIB], done)

    def grow_once_more(self):
        """All are there: if all disks have room it is not refused."""
        self.size_mib = self.leader()[1].device_bytes // MIB
        self.size_unsure = False
        if self.size_mib >= self.first_mib + self.room():
            return
        by, wanted = self.pick_up(), self.size_mib + GROW_MIB

        def done():
            # It may have been done by a leader that was none any more when it had to say so.
            return by.qbdadm("resize", self.cluster.name, "--size", "%dM" % wanted,
                             check=False, timeout=BOUND).status == 0 or \
                by.status().device_bytes == wanted * MIB
        wait_until("the device grows when all are there", done, BOUND)
        self.size_mib = wanted
        self.growing = True
        self.grow_file_system()
        wait_until("the file system grows", lambda: self.look() or not self.pending, BOUND)

    def check_sizes(self):
        """All the same, and no less than what was done; and the same is seen of it."""
        sizes = {host: host.status().device_bytes // MIB for host in self.ids}
        assert len(set(sizes.values())) == 1, sizes
        size, = set(sizes.values())
        if self.size_unsure:
            assert self.size_mib <= size <= self.first_mib + ROOM_MIB, (size, self.size_mib)
        else:
            assert size == self.size_mib, (size, self.size_mib)
        wait_until("all devices have %d MiB" % size, lambda: all(
            size_shown(host) == size for host in self.ids if host not in self.witnesses), BOUND)

    # ---- comparing -------------------------------------------------------

    def verify(self):
        """Nothing was spoiled: nothing differs, whoever comes and goes meanwhile. Or something
        is."""
        if self.source.random() < 0.3:
            self.settle()
            return self.rot()
        by = self.pick_up()
        path = os.path.join(self.directory, "verified-%d" % self.number)

        def done(status):
            with open(path) as file:
                text = file.read()
            os.unlink(path)
            if text:
                found = json.loads(text)
                self.nothing_differs(found)
                if status == 0:
                    assert found["state"] == "done" and found["equal"], found
                    self.outcomes["comparisons to the end"] += 1
        self.give(by, [], self.verify_command(), done, answers=path)
        return [by]

    def verify_command(self):
        return ["qbdadm", "verify", self.cluster.name, "--max-rate", "1G", "--json"]

    def nothing_differs(self, found):
        assert not found["different"] and not found["undecided"] and \
            not found["differences"], "replicas are said to differ: %s" % found
        self.outcomes["blocks compared"] += found["compared"]

    def compared(self, by, *more):
        """Exit status, and what it says, of a comparison that came to its end."""
        def compare():
            result = by.qbdadm(*self.verify_command()[1:], *more, check=False, timeout=BOUND)
            assert result.output, result.text
            found = json.loads(result.output)
            # Leadership that moves ends it.
            return found["state"] == "done" and (result.status, found)
        return wait_until("%r compares all replicas" % by, compare, BOUND)

    def verify_all(self):
        """Nobody writes, nobody is away: each block of each replica."""
        found = None
        if len(self.with_data()) == 1:
            result = self.home.qbdadm(*self.verify_command()[1:], check=False)
            assert "there is one replica" in result.text, result.text
            return

        def whole():
            nonlocal found
            leading = self.leader()
            if leading is None:
                return False
            status, found = self.compared(leading[0])
            self.nothing_differs(found)
            return status == 0
        wait_until("all replicas are compared", whole, BOUND)
        blocks = self.home.status().device_blocks
        assert found["compared"] == blocks and not found["skipped"], found
        compared = {one["id"] for one in found["members"] if one["compared"] == blocks}
        assert compared == {self.ids[host] for host in self.with_data()}, found

    def rot(self):
        """Blocks of a replica are spoiled, where nobody reads or writes: these are found there
        and nowhere else, and on request written anew as the others have them. All is healed,
        and fio goes on."""
        found, statuses = self.leader(), self.statuses()
        whole = [host for host in self.with_data() if host in statuses and not (
            statuses[host].filling or statuses[host].damaged or statuses[host].failed)]
        if not found or len(whole) < max(3, len(self.with_data())):
            raise Refused("there are no three replicas, or not all are whole")
        host = self.pick(whole, "replica")
        by = host if self.source.random() < 0.5 else self.pick_up()
        first = found[1].device_blocks - SPARE_MIB * MIB // BLOCK
        spoilt = {first + number for number in
                  self.source.sample(range(SPARE_MIB * MIB // BLOCK), SPOILT)}
        good = self.write_spare(first, whole)
        for block in spoilt:
            Damage(host.disk).flip(data_block(host) + block)
        for more in ((), ("--repair",)):
            status, said = self.compared(by, *more)
            blocks = {block for one in said["differences"] for block in
                      range(one["first"], one["first"] + one["count"])}
            assert blocks == spoilt and not said["undecided"] and {
                (one["member"], one["kind"]) for one in said["differences"]} == {
                    (self.ids[host], "different")}, "spoilt were %s of %d: %s" % (
                        sorted(spoilt), self.ids[host], said)
            assert bool(status) == (not more) and said["repaired"] == (SPOILT if more else 0), said
        for other in whole:
            begin = data_block(other)
            for block in spoilt:
                at = (block - first) * BLOCK
                assert read_block(other.disk, begin + block) == good[at:at + BLOCK], \
                    "block %d of member %d was repaired with something else" % (
                        block, self.ids[other])
        self.outcomes["blocks spoiled and repaired"] += SPOILT
        return [host, by]

    def write_spare(self, first, hosts):
        """Until it is where the disks of these have it; what was written."""
        good = self.source.randbytes(SPARE_MIB * MIB)
        in_child(lambda: direct_write(self.home.device, first * BLOCK, good) or "done")
        # It is in the log of whoever leads; the home may know of less.
        found = wait_until("somebody leads", self.leader, BOUND)
        target = found[1].last_index
        for host in hosts:
            host.wait("it has applied it", lambda status: status.applied_index >= target, BOUND)
        return good

    # ---- who has no replica ----------------------------------------------

    def with_device(self):
        """Hosts that can mount it."""
        return [host for host in self.ids if host.is_up and host not in self.gone and
                host not in self.witnesses and host not in self.busy()]

    def with_data(self):
        return [host for host in self.ids if host not in self.witnesses and
                host is not self.client]

    def witness(self):
        """One joins; if there is one it is removed."""
        here = [host for host in self.witnesses if host in self.ids]
        if not here:
            return self.join("--witness")
        if here[0] in self.busy() or here[0] in self.gone:
            raise Refused("something is wanted of it")
        return self.order(here, "remove", self.ids[here[0]])

    def have_witness(self):
        """One is there in the end, if there is a host for it."""
        if any(host in self.ids for host in self.witnesses):
            return
        try:
            self.join("--witness")
        except Refused as why:
            self.say("no witness: %s" % why)
        self.settle()

    def witness_joined(self, host):
        status = host.status()
        assert status.device is None and status.member(self.ids[host])["witness"], status
        self.outcomes["witnesses joined"] += 1

    def witness_removed(self, host):
        """It has been wiped: it may come back with data."""
        self.witnesses.discard(host)
        self.outcomes["witnesses removed"] += 1

    def connect_client(self):
        """The host without a disk connects; if it is connected the file system moves there, or
        it disconnects."""
        host = self.client
        if host in self.busy() or host in self.unsure or host in self.gone:
            raise Refused("something is wanted of it")
        if host not in self.ids:
            contact = self.pick_contact()

            def done(status):
                if status:
                    self.unsure.add(host)
                    return
                self.joined(host)
                assert host.status().member(self.ids[host])["client"], host.status()
                self.outcomes["clients connected"] += 1
            self.give(host, [host], self.cluster.connect_command(host.number,
                                                                 contact=contact.number), done)
            return [host]
        if host is self.home or host in self.dark:
            raise Refused("it has the mount, or no power")
        if self.source.random() < 0.5:
            return self.move_mount(host)
        # Its device may be gone any moment.
        host.is_up = False
        self.give(host, [host], ["qbdadm", "disconnect", self.cluster.name, "--file",
                                 host.disk.path], self.disconnected)
        return [host]

    def disconnected(self, status):
        host = self.client
        if status:
            # Then nothing has ended.
            host.is_up = True
            host.status()
            return
        assert not host.disk.files(), host.disk.files()
        self.gone.discard(host)
        del self.ids[host]
        host.removed = True
        found = self.leader()
        # That it leaves is committed: its entry goes when the change under way has ended, which
        # settle() waits for.
        assert not found or all(one["leaving"] for one in found[1]["members"]
                                if one["name"] == host.name), found[1]["members"]
        self.outcomes["clients disconnected"] += 1

    def empty_client(self):
        """Its file goes, and what uses it."""
        host = self.client
        host.down("--force", check=False)
        host.is_up = False
        wait_until("the file of %r is free" % host, lambda: host.disk.path not in run(
            ["losetup", "-l", "-n", "-O", "BACK-FILE"]).output, BOUND)
        for name in host.disk.files():
            os.unlink(os.path.join(host.disk.point, name))
        host.removed = True
