# SPDX-License-Identifier: GPL-2.0
"""Members come, go and change on hosts while their device is in use.

Each on hosts of its own, with a stock kernel of Debian: what the cluster tests show in
one kernel, here with a kernel, a disk and a clock for each member, and power cuts that
take the kernel along.
"""

import json
import os

from device import Device, Hosts, tap
from disk import current, layout, on_disk
from load import Writer, go_on
from writes import Writes

NAMES = {1: "alpha", 2: "beta", 3: "gamma", 4: "delta"}
DEVICE = "/dev/qbd0"
MOUNT = "/mnt"
LOAD = MOUNT + "/load"
LOAD_MIB = 2
MIB = 1 << 20
# Emulated processors stand still for longer than an election takes by default.
ELECTION_SECONDS = 10
PAUSE_US = 20000        # between writes that are timed: there is other load


class Mounted:
    """An ext4 on one host on which fio writes, and reads back what it wrote."""

    def __init__(self, host):
        self.host = host
        host.run("mkfs.ext4 -q %s && mount %s %s && dd if=/dev/zero of=%s bs=1M count=%d"
                 " conv=fsync status=none" % (DEVICE, DEVICE, MOUNT, LOAD, LOAD_MIB),
                 timeout=120)
        self.writer = Writer(host, 0, LOAD)

    def goes_on(self, what):
        go_on([self.writer], what)

    def end(self):
        """No error, something was verified, and the file system is clean."""
        self.writer.stop()
        tap.check(self.writer.rounds(), "nothing was verified")
        tap.comment("%s: %d rounds" % (self.host.name, self.writer.rounds()))
        self.host.run("umount %s && e2fsck -f -n %s" % (MOUNT, DEVICE), timeout=240)


def refused(host, command, *words):
    """It says no in one line, with these words in it."""
    status, text = host.try_run(command)
    tap.check(status, "%s was not refused: %s" % (command, text))
    tap.equal(len(text.strip().splitlines()), 1, "lines of %s" % text)
    for word in words:
        tap.check(word in text, "no '%s' in: %s" % (word, text))


def member(device, host, number):
    """What a host says of a member of that number; None if there is none."""
    found = [one for one in device.status(host)["members"] if one["id"] == number]
    return found[0] if found else None


def place_of(content, host, first):
    """The block of the device from which on this is, on the host's disk; data begins at first."""
    with open(host.disks[0], "rb") as disk:
        disk.seek(first * 4096)
        at = disk.read().find(content)
    tap.check(at >= 0 and at % 4096 == 0, "the content is not on the disk of %s" % host.name)
    return at // 4096


def wait_whole(device, host):
    """It has all that there was when this began."""
    target = max(device.status(other)["last_index"] for other in device.hosts)

    def whole():
        status = device.status(host)
        return not status["filling"] and not status["damaged"] and \
            status["applied_index"] >= target
    tap.wait_until(whole, 120, "%s has everything" % host.name)


def come_back(device, host):
    host.boot()
    device.up(host)
    wait_whole(device, host)


def mounted_on(host, what, seconds=120):
    tap.wait_until(lambda: host.try_run("mount %s %s" % (DEVICE, MOUNT), timeout=60)[0] == 0,
                   seconds, what)


def two_are_equal(device):
    """In the end, of two members with data and a witness."""
    device.down()
    device.hosts = device.hosts[:2]
    device.check_same_sums()
    device.cluster.check_logs()


def without_election(writes, what, change):
    """Writes go on while something changes: none takes as long as an election would."""
    took = writes.longest(change)
    tap.comment("%s: the longest write meanwhile took %.3f s" % (what, took))
    tap.check(took < ELECTION_SECONDS, "%s: a write took %.3f s" % (what, took))


def members_change_under_load(kernel):
    """One grows to three, one is replaced, one demoted and promoted, the leader removed.

    Writes that are timed stand still for less than an election timeout. That is set so high
    that nothing but an election takes so long here: what they take is told, and says nothing
    of hosts with processors of their own.
    """
    with Hosts(4, kernel=kernel, disks=["128M"], files=Writes.program()) as cluster:
        one, two, three, four = cluster.hosts
        device = Device(cluster, "vol0", NAMES, claim="exclusive")
        device.begin(one)
        mounted = Mounted(one)
        mounted.goes_on("one member")
        for host in (two, three):
            device.join(host)
            mounted.goes_on("%s joined" % NAMES[host.number])
        device.wait_voters(3)
        device.join(four, "--learner")
        mounted.goes_on("a learner joined")
        for host in cluster.hosts:
            host.run("qbdadm set vol0 --election-timeout %d" % (1000 * ELECTION_SECONDS))
        one.run("dd if=/dev/zero of=%s/timed bs=1M count=2 conv=fsync status=none" % MOUNT)
        writes = Writes(one, MOUNT + "/timed").start(PAUSE_US)
        without_election(writes, "a follower is replaced", lambda: one.run(
            "qbdadm member replace vol0 gamma delta", timeout=120))
        device.hosts.remove(three)
        device.wait_voters(3)
        tap.wait_until(lambda: "removed" in device.status(three)["problem"], 60,
                       "who was replaced is told")
        three.run("qbdadm down vol0")
        mounted.goes_on("gamma was replaced")
        # It cannot come back with the disk that it has.
        refused(three, "qbdadm up vol0 --disk /dev/vda", "was removed", "qbdadm join")
        without_election(writes, "a voter is demoted", lambda: one.run(
            "qbdadm member demote vol0 beta", timeout=120))
        device.wait_voters(2)
        mounted.goes_on("beta is a learner")
        refused(one, "qbdadm member remove vol0 alpha", "in use", "--force")
        without_election(writes, "a learner is promoted", lambda: one.run(
            "qbdadm member promote vol0 beta", timeout=120))
        device.wait_voters(3)
        without_election(writes, "leadership moves", lambda: device.move(four))
        mounted.goes_on("delta leads")
        without_election(writes, "the leader is removed", lambda: four.run(
            "qbdadm member remove vol0 delta", timeout=120))
        device.hosts.remove(four)
        device.wait_voters(2)
        mounted.goes_on("the leader was removed")
        four.run("qbdadm down vol0")
        writes.stop()
        writes.verify(one)
        mounted.end()
        device.check_equal()
        cluster.check_logs()


def a_new_member_loses_power(kernel):
    """It is being filled when its power goes: it goes on from there, and counts when whole."""
    with Hosts(3, kernel=kernel, disks=["192M"]) as cluster:
        one, two, three = cluster.hosts
        device = Device(cluster, "vol0", NAMES, claim="exclusive")
        device.begin(one, "--size", "128M", "--log-size", "16M")
        device.join(two)
        device.wait_voters(2)
        # More than the log has room for.
        one.run("dd if=/dev/urandom of=%s bs=1M count=96 oflag=direct status=none" % DEVICE,
                timeout=240)
        for host in (one, two):
            host.run("qbdadm set vol0 --max-rate 4M")
        device.copy(one, three, "token")
        joining = three.spawn("qbdadm join %s vol0 --disk /dev/vda --listen %s --name gamma"
                              " --token-file token" % (one.address4, three.address4))
        seen = []

        def partly():
            leader = device.leader([one, two])
            one_of = member(device, leader, 3)
            seen[:] = [one_of and one_of.get("fill_extents_done")]
            return seen[0] and seen[0] >= 8
        tap.wait_until(partly, 120, "some of the extents are there")
        three.power_cut()
        joining.reader.join(30)
        # That it is no copy is on its disk, and how far it is.
        tap.equal(device.leader([one, two]) and device.status(one)["voters"], 2, "voters")
        state = current(on_disk(three))
        tap.check(state["filling"] and state["fill_cursor"], "on the disk is %s" % state)
        tap.comment("it lost its power with extents up to %d" % state["fill_cursor"])
        for host in (one, two):
            host.run("qbdadm set vol0 --max-rate none")
        three.boot()
        device.up(three)
        device.hosts.append(three)
        device.wait_voters(3)
        wait_whole(device, three)
        device.check_equal()
        cluster.check_logs()


def witness_and_two(kernel):
    """Two hosts with data and a witness: each in turn loses its power, writes go on."""
    with Hosts(3, kernel=kernel, disks=["128M"]) as cluster:
        one, two, three = cluster.hosts
        device = Device(cluster, "vol0", NAMES, claim="exclusive")
        device.begin(one)
        device.join(two)
        device.join(three, "--witness")
        device.wait_voters(3)
        tap.check(three.try_run("test -e " + DEVICE)[0], "the witness has a device")
        mounted = Mounted(one)
        for lost in (three, two):
            mounted.goes_on("all are there")
            lost.power_cut()
            mounted.goes_on("%s lost its power" % NAMES[lost.number])
            come_back(device, lost)
        # And the one with the file system: the other one has what was acknowledged.
        mounted.end()
        one.run("mount %s %s && echo kept >%s/kept && sync" % (DEVICE, MOUNT, MOUNT))
        one.power_cut()
        mounted_on(two, "it is mounted on the other host", 60)
        tap.equal(two.run("cat %s/kept" % MOUNT), "kept\n", "what was acknowledged")
        two.run("umount " + MOUNT)
        come_back(device, one)
        two_are_equal(device)


def a_stale_host_and_the_witness(kernel):
    """Who was off while others wrote meets the witness alone: with what its log still has that
    host gets all and serves; when that reaches it no more nobody does, until the other is back."""
    with Hosts(3, kernel=kernel, disks=["192M"]) as cluster:
        one, two, three = cluster.hosts
        device = Device(cluster, "vol0", NAMES, claim="exclusive")
        device.begin(one, "--log-size", "16M")
        device.join(two)
        device.join(three, "--witness")
        device.wait_voters(3)
        one.run("mkfs.ext4 -q %s && mount %s %s" % (DEVICE, DEVICE, MOUNT), timeout=120)
        two.power_cut()
        one.run("echo newer >%s/newer && sync" % MOUNT, timeout=60)
        one.power_cut()
        two.boot()
        device.up(two)
        mounted_on(two, "the one that was off has got what it lacked, and serves")
        tap.equal(two.run("cat %s/newer" % MOUNT), "newer\n", "what was written meanwhile")
        two.run("umount " + MOUNT)
        come_back(device, one)
        mounted_on(one, "the first one has it again")
        lacks = device.status(two)["last_index"]
        two.power_cut()
        one.run("dd if=/dev/urandom of=%s/much bs=1M count=40 conv=fsync status=none && "
                "echo last >%s/newer && sync" % (MOUNT, MOUNT), timeout=240)
        tap.wait_until(lambda: device.status(three)["first_index"] > lacks + 1, 60,
                       "no log reaches the one that is off")
        one.power_cut()
        two.boot()
        device.up(two)
        tap.wait_until(lambda: "bring back" in device.status(three)["problem"], 120,
                       "the witness leads, and cannot help")
        status, text = two.try_run("timeout -s KILL 20 dd if=%s of=/dev/null bs=4k count=1 "
                                   "iflag=direct" % DEVICE, timeout=120)
        tap.check(status, "who lacks something was read from: " + text)
        tap.check(not device.status(two)["has_quorum"], "it has a quorum")
        come_back(device, one)
        wait_whole(device, two)
        mounted_on(two, "all are there again")
        tap.equal(two.run("cat %s/newer" % MOUNT), "last\n", "what was written last")
        two.run("umount %s && e2fsck -f -n %s" % (MOUNT, DEVICE), timeout=240)
        two_are_equal(device)


def device_grows(kernel):
    """The device grows under a mounted ext4, which is grown then, too."""
    with Hosts(3, kernel=kernel, disks=["192M"]) as cluster:
        one, two, _ = cluster.hosts
        device = Device(cluster, "vol0", NAMES, claim="exclusive")
        device.gather(cluster.hosts, "--size", "64M")
        mounted = Mounted(one)
        refused(two, "qbdadm resize vol0 --size 32M", "cannot become smaller")
        two.run("qbdadm resize vol0 --size 128M", timeout=120)
        for host in cluster.hosts:
            tap.wait_until(lambda: host.run("blockdev --getsize64 " + DEVICE) ==
                           "%d\n" % (128 * MIB), 60, "%s: the device has grown" % host.name)
        mounted.goes_on("it has grown")
        one.run("resize2fs %s 2>&1" % DEVICE, timeout=120)
        one.run("dd if=/dev/urandom of=%s/big bs=1M count=80 conv=fsync status=none" % MOUNT,
                timeout=240)
        mounted.end()
        device.check_equal()
        cluster.check_logs()


def rot_is_repaired(kernel):
    """Blocks rot on one host's disk; verify names them, and repairs them on request."""
    with Hosts(3, kernel=kernel, disks=["128M"]) as cluster:
        one, two, three = cluster.hosts
        device = Device(cluster, "vol0", NAMES, claim="exclusive")
        device.make()
        device.leader()
        mounted = Mounted(one)
        content = os.urandom(3 * 4096)
        one.run("cat >%s/rots && sync" % MOUNT, data=content)
        before = one.run("sha256sum %s/rots" % MOUNT)
        wait_whole(device, three)
        three.run("qbdadm down vol0")
        data = layout(json.loads(three.run("qbdadm dump /dev/vda --json")))["data_block"]
        device_block = place_of(content, three, data)
        three.run("dd if=/dev/urandom of=/dev/vda bs=4k seek=%d count=3 conv=fsync,notrunc"
                  " status=none" % (data + device_block))
        device.up(three)
        wait_whole(device, three)
        status, text = two.try_run("qbdadm verify vol0 --max-rate 1G --json", timeout=240)
        found = json.loads(text)
        tap.equal((status, [(one_of["member"], one_of["first"], one_of["count"])
                            for one_of in found["differences"]]),
                  (1, [(3, device_block, 3)]), "what verify found")
        mounted.goes_on("verified")
        two.run("qbdadm verify vol0 --max-rate 1G --repair", timeout=240)
        two.run("qbdadm verify vol0 --max-rate 1G", timeout=240)
        tap.equal(one.run("sha256sum %s/rots" % MOUNT), before, "the file")
        mounted.end()
        device.check_equal()
        cluster.check_logs()


def a_majority_is_lost(kernel):
    """Two of three hosts are gone for good; the third goes on by force, others join anew."""
    with Hosts(3, kernel=kernel, disks=["128M"]) as cluster:
        one, two, three = cluster.hosts
        device = Device(cluster, "vol0", NAMES, claim="exclusive")
        device.make()
        device.leader()
        one.run("mkfs.ext4 -q %s && mount %s %s && echo kept >%s/kept && umount %s" %
                (DEVICE, DEVICE, MOUNT, MOUNT, MOUNT), timeout=120)
        device.wait_caught_up()
        cluster.power_cut(one, two)
        tap.wait_until(lambda: not device.status(three)["has_quorum"], 60, "no quorum")
        three.run("qbdadm down vol0 --force")
        refused(three, "qbdadm up vol1 --disk /dev/vda", "vol0")
        three.run("qbdadm recover vol0 --disk /dev/vda --force-new-history --confirm vol0 2>&1")
        device.up(three)
        device.leader([three])
        three.run("mount %s %s" % (DEVICE, MOUNT))
        tap.equal(three.run("cat %s/kept" % MOUNT), "kept\n", "what was acknowledged")
        three.run("rm -f token; qbdadm token show vol0 --out token")
        device.hosts = [three]
        # One after the other: together they would be a majority of what was.
        for host in (one, two):
            host.boot()
            device.up(host)
            tap.wait_until(lambda: "recovered by force" in device.status(host)["problem"], 60,
                           "%s is told" % host.name)
            host.run("qbdadm down vol0 --force")
            device.join(host, "--force")
        device.wait_voters(3)
        three.run("umount " + MOUNT)
        device.check_equal()
        cluster.check_logs()


def addresses_change(kernel):
    """A host gets another address while the device is used, and keeps it over a power cut."""
    with Hosts(3, kernel=kernel, disks=["128M"]) as cluster:
        one, two, _ = cluster.hosts
        device = Device(cluster, "vol0", NAMES, claim="exclusive")
        device.make()
        device.leader()
        mounted = Mounted(one)
        refused(one, "qbdadm member set vol0 beta --listen 10.77.0.12", "on its own host")
        two.run("ip addr add 10.77.0.12/24 dev eth0")
        two.run("qbdadm member set vol0 beta --listen 10.77.0.12", timeout=120)
        tap.wait_until(lambda: all("10.77.0.12:7900" == member(device, host, 2)["address"] and
                                   (host is two or member(device, host, 2)["connected"])
                                   for host in cluster.hosts), 60, "all know the new address")
        mounted.goes_on("beta has another address")
        two.power_cut()
        two.boot()
        two.run("ip addr add 10.77.0.12/24 dev eth0")
        device.up(two)
        wait_whole(device, two)
        tap.equal(member(device, two, 2)["address"], "10.77.0.12:7900", "the address")
        mounted.end()
        device.check_equal()
        cluster.check_logs()


def a_client_has_no_disk(kernel):
    """It mounts the device; the leader loses its power; another host sees what it wrote."""
    with Hosts(4, kernel=kernel, disks=["128M"]) as cluster:
        one, two, three, client = cluster.hosts
        device = Device(cluster, "vol0", NAMES, claim="exclusive")
        device.gather((one, two, three))
        device.copy(one, client, "token")
        client.run("mkdir -p /var/lib")     # these hosts have no such directory
        client.run("qbdadm connect %s vol0 --name delta --token-file token" % one.address4,
                   timeout=120)
        mounted = Mounted(client)
        mounted.goes_on("nothing yet")
        lost = device.leader()
        lost.power_cut()
        mounted.goes_on("the leader lost its power")
        client.run("echo kept >%s/kept && sync" % MOUNT)
        come_back(device, lost)
        mounted.end()
        client.run("qbdadm disconnect vol0", timeout=60)
        tap.wait_until(lambda: member(device, two, 4) is None, 60, "the client has gone")
        tap.equal(two.run("mount %s %s && cat %s/kept && umount %s" %
                          (DEVICE, MOUNT, MOUNT, MOUNT)), "kept\n", "what the client wrote")
        device.check_equal()
        cluster.check_logs()


ALL = [members_change_under_load, a_new_member_loses_power, witness_and_two,
       a_stale_host_and_the_witness, device_grows, rot_is_repaired, a_majority_is_lost,
       addresses_change, a_client_has_no_disk]
