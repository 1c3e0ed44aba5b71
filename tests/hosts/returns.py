# SPDX-License-Identifier: GPL-2.0
"""Members return: with a disk that is older, copied, empty, damaged or behind; and requests
that were under way when their leader was lost.

As in membership.py, on hosts of a stock kernel of Debian.
"""

import os

from device import Device, Hosts, hosts, tap
from disk import BLOCK, current, good_records, known_durable, layout, on_disk, read_block, \
    write_block
from history import History
from membership import DEVICE, MIB, NAMES, come_back, member, refused, wait_whole
import programs
from writes import Writes

OBSERVED = 8            # looks at members of whom none may lead
# So that nobody is taken for gone because an emulated processor stood still.
SLOW_ELECTION_MS = 10000


def nobody_leads(device, among):
    """They reach each other, some of them would lead, and none ever does."""
    numbers = {host.number for host in among}
    seen = []

    def tried():
        views = [device.status(host) for host in among]
        leads = [view["leader"] for view in views if view["leader"] in numbers]
        tap.check(not leads, "member %s leads" % leads)
        tap.check(not any(view["role"] == "leader" for view in views), "one of them leads")
        met = all(one["connected"] for view in views for one in view["members"]
                  if one["id"] in numbers and not one.get("self"))
        if met and any(view["role"] != "follower" for view in views):
            seen.append(views)
        return len(seen) >= OBSERVED
    tap.wait_until(tried, 90, "%s would lead" % ", ".join(host.name for host in among))


def no_quorum(device, host):
    tap.wait_until(lambda: not device.status(host)["has_quorum"], 60,
                   "%s has no quorum" % host.name)


def counts_again(device, host, other, away):
    """With one away, the other one is elected by the vote of host, and writes with it."""
    away.run("qbdadm down vol0")
    other.run("qbdadm down vol0")
    no_quorum(device, host)
    device.up(other)
    device.leader([other, host])
    other.run("dd if=/dev/urandom of=%s bs=4k seek=2000 count=10 oflag=direct status=none" %
              DEVICE)
    device.up(away)
    device.leader()
    device.wait_caught_up()


def a_disk_is_rolled_back_and_then_emptied(kernel):
    """Both are told from the disk that was there, elect nobody, and count when they are whole.

    alpha and gamma acknowledged writes that beta does not have. gamma's host comes back with
    an older image of its disk, later with one that was made anew; alpha is cut off: beta and
    gamma must not go on without those writes. The new disk does not even count with alpha.
    """
    with Hosts(3, kernel=kernel, disks=["96M"], files=Writes.program()) as cluster:
        one, two, three = cluster.hosts
        device = Device(cluster, "vol0", NAMES)
        device.make()
        device.move(one)
        tap.wait_until(lambda: all(all(each["incarnation"] for each in
                                       device.status(host)["members"])
                                   for host in cluster.hosts), 60, "all disks are known")
        three.run("qbdadm down vol0")
        image = three.disks[0] + ".image"
        tap.command("cp", "--sparse=always", three.disks[0], image)
        device.up(three)
        device.move(one)
        device.wait_caught_up()
        two.run("qbdadm down vol0")
        writer = Writes(one)
        writer.run(100)
        had = device.status(three)["durable_index"]
        three.power_cut()
        tap.command("cp", "--sparse=always", image, three.disks[0])
        # So that nobody sends it anything before it is looked at.
        no_quorum(device, one)
        three.boot()
        device.up(three)
        tap.wait_until(lambda: device.status(three)["damaged"], 60, "it is told")
        told = device.status(three)
        tap.check("rolled back" in told["problem"] and "member 1" in told["problem"],
                  "its problem is: " + told["problem"])
        tap.check(told["durable_index"] < had, "it has everything")
        cluster.isolate(1)
        device.up(two)
        nobody_leads(device, [two, three])
        cluster.heal()
        tap.equal(device.leader().number, 1, "who leads: only alpha can")
        for host in (two, three):
            wait_whole(device, host)
        tap.equal(device.status(three)["problem"], "", "its problem")
        counts_again(device, three, one, away=two)
        writer.verify(*cluster.hosts)

        device.move(one)
        device.wait_caught_up()
        two.run("qbdadm down vol0")
        writer.run(100)
        three.run("qbdadm down vol0")
        three.run("blkdiscard -z /dev/vda", timeout=120)
        device.copy(one, three, "token")
        device.create(three)
        no_quorum(device, one)
        device.up(three)
        tap.check("this disk is new" in device.status(three)["problem"], "its problem is: " +
                  device.status(three)["problem"])
        nobody_leads(device, [one, three])
        cluster.isolate(1)
        device.up(two)
        nobody_leads(device, [two, three])
        tap.equal(device.status(three)["durable_index"], 0, "what it has")
        cluster.heal()
        tap.equal(device.leader().number, 1, "who leads: only alpha can")
        for host in (two, three):
            wait_whole(device, host)
        tap.wait_until(lambda: device.status(three)["problem"] == "", 60, "it counts")
        counts_again(device, three, one, away=two)
        writer.verify(*cluster.hosts)
        device.check_equal()
        cluster.check_logs()


def a_copy_of_a_disk_comes_up_elsewhere(kernel):
    """It is refused for as long as the first is up; both sides say so; nothing is lost.

    The first one's host has another address by now, and the copy's host the former one: a
    member listens at the address that its disk knows, and does not come up without it.
    """
    with Hosts(4, kernel=kernel, disks=["96M"], files=Writes.program()) as cluster:
        one, two, three, four = cluster.hosts
        device = Device(cluster, "vol0", NAMES)
        device.hosts = [one, two, three]
        device.make()
        device.move(one)
        three.run("qbdadm down vol0")
        four.power_cut()
        tap.command("cp", "--sparse=always", three.disks[0], four.disks[0])
        device.up(three)
        three.run("sysctl -q net.ipv4.conf.eth0.promote_secondaries=1")
        three.run("ip addr add 10.77.0.13/24 dev eth0")
        three.run("qbdadm member set vol0 gamma --listen 10.77.0.13", timeout=120)
        tap.wait_until(lambda: all("10.77.0.13:7900" == member(device, host, 3)["address"] and
                                   (host is three or member(device, host, 3)["connected"])
                                   for host in device.hosts), 60, "all know the new address")
        three.run("ip addr del 10.77.0.3/24 dev eth0")
        writer = Writes(one).start()
        writer.wait_for(20, "nothing yet")
        four.boot()
        four.run("ip addr add 10.77.0.3/24 dev eth0")
        device.up(four)
        for host in (one, two):
            tap.wait_until(lambda: "member 3 is up twice" in device.status(host)["problem"], 60,
                           "%s says so" % host.name)
        tap.wait_until(lambda: "connected with another host that is this member" in
                       device.status(four)["problem"], 60, "the copy is told")
        writer.wait_for(50, "the copy is up")
        for host in (one, two):
            tap.check(member(device, host, 3)["connected"], "the first one has lost its place")
        tap.check(not device.status(four)["has_quorum"], "the copy has a quorum")
        status, text = four.try_run("qbdadm leader show vol0")
        tap.check(status, "the copy has a leader: " + text)
        four.run("qbdadm down vol0 --force")
        writer.wait_for(20, "the copy is down")
        writer.stop()
        # The device goes on with gamma alone: it is the member that it was.
        two.run("qbdadm down vol0")
        writer.run(20)
        device.up(two)
        device.wait_caught_up()
        writer.verify(*device.hosts)
        device.check_equal()
        cluster.check_logs()


def two_disks_are_swapped(kernel):
    """Two hosts come back with each other's disk: refused, for a member comes up where its
    address is. With the addresses swapped, too, each disk is the member that it was.
    """
    with Hosts(3, kernel=kernel, disks=["96M"], files=Writes.program()) as cluster:
        one, two, three = cluster.hosts
        device = Device(cluster, "vol0", NAMES)
        device.make()
        device.leader()
        writer = Writes(one)
        writer.run(100)
        cluster.power_cut(two, three)
        kept = two.disks[0] + ".swapped"
        os.rename(two.disks[0], kept)
        os.rename(three.disks[0], two.disks[0])
        os.rename(kept, three.disks[0])
        no_quorum(device, one)
        for host, other in ((two, three), (three, two)):
            host.boot()
            refused(host, "qbdadm up vol0 --disk /dev/vda", "no address " + other.address4)
            scan = host.run("qbdadm scan")
            tap.check("member %d of vol0" % other.number in scan, "whose disk it is: " + scan)
            tap.check(not device.status(one)["has_quorum"], "there is a quorum")
        for host, other in ((two, three), (three, two)):
            host.run("sysctl -q net.ipv4.conf.eth0.promote_secondaries=1; ip addr add %s/24 dev"
                     " eth0; ip addr del %s/24 dev eth0" % (other.address4, host.address4))
        # Whoever knew the old places asks anew.
        for host in cluster.hosts:
            host.run("ip neigh flush all")
        for host, other in ((two, three), (three, two)):
            device.up(host)
            tap.equal([each["id"] for each in device.status(host)["members"]
                       if each.get("self")], [other.number], "which member it is")
        tap.wait_until(lambda: all(device.status(host)["has_quorum"] for host in cluster.hosts),
                       60, "a quorum")
        device.wait_caught_up()
        writer.run(20)
        writer.verify(*cluster.hosts)
        device.check_equal()
        cluster.check_logs()


def block_of(host, number):
    """The first byte of a block that is all the same, past all caches."""
    text = host.run("dd if=%s iflag=direct bs=4k skip=%d count=1 status=none | tr -s '\\0-\\377'"
                    % (DEVICE, number), timeout=120)
    tap.equal(len(text), 1, "kinds of bytes in block %d" % number)
    return text


def fill_block(byte, number):
    """A command that writes such a block to its standard output, which is the device."""
    return ("head -c %d /dev/zero | tr '\\0' %s | dd bs=4k iflag=fullblock oflag=direct seek=%d "
            "conv=notrunc status=none" % (BLOCK, byte, number))


def requests_in_flight_land_once(kernel):
    """The leader loses its power with requests under way: each is answered, and lands once.

    First a write that is committed, and whose host does not hear so. Another host writes the
    block; the leader goes; the first write is sent again, and must not come back. Then another
    leader goes under clients on all hosts, whose histories are checked: no error, every block
    linearizable.
    """
    with Hosts(3, kernel=kernel, disks=["96M"], shared="128M", append=hosts.STEADY,
               files=programs.build(["history"])) as cluster:
        one, two, three = cluster.hosts
        device = Device(cluster, "vol0", NAMES)
        device.make()
        device.move(one)
        # To open it may take a read, which would have no answer either.
        late = two.spawn("exec 3<>%s; echo opened; until [ -e /tmp/go ]; do sleep 0.02; done; "
                         "%s >&3" % (DEVICE, fill_block("1", 0)))
        tap.wait_until(lambda: "opened" in late.text(), 60, "the device is open")
        # So that it goes on believing in the leader that it does not hear.
        for host in cluster.hosts:
            host.run("qbdadm set vol0 --election-timeout 60000 --heartbeat 100")
        cluster.block([(1, 2)])
        two.run("touch /tmp/go")
        tap.wait_until(lambda: block_of(three, 0) == "1", 60, "it is committed")
        three.run("%s 1<>%s" % (fill_block("2", 0), DEVICE))
        tap.check(not late.ended(), "it was answered: %s" % late.text())
        one.power_cut()
        cluster.block([])
        for host in (two, three):
            host.run("qbdadm set vol0 --election-timeout 150 --heartbeat 50")
        tap.equal(late.wait(120), 0, "the write: %s; its status" % late.text())
        tap.check(device.status(two)["resent"] > 0, "nothing was sent again")
        for host in (two, three):
            tap.equal(block_of(host, 0), "2", "the block, as %s reads it" % host.name)
        come_back(device, one)

        history = History(device, 1024)
        history.check_clock()
        for host in cluster.hosts:
            host.run("qbdadm set vol0 --read quorum")
            history.start(host)
        history.wait_for(5, cluster.hosts, "nothing yet")
        lost = device.leader()
        rest = [host for host in cluster.hosts if host is not lost]
        before = sum(device.status(host)["resent"] for host in rest)
        # What the others ask of it from now on it does not answer before it goes.
        cluster.isolate(lost.number)
        tap.wait_until(lambda: any(device.status(host)["requests_in_flight"] for host in rest),
                       60, "requests are under way")
        lost.power_cut()
        history.lost_power(lost)
        cluster.heal()
        history.wait_for(10, rest, "%s lost its power" % lost.name)
        again = sum(device.status(host)["resent"] for host in rest) - before
        tap.comment("%d requests were sent again" % again)
        tap.check(again, "no request was under way when the leader went")
        come_back(device, lost)
        lost.run("qbdadm set vol0 --read quorum")
        history.start(lost)
        history.wait_for(5, cluster.hosts, "%s is back" % lost.name)
        history.stop()
        for host in cluster.hosts:
            history.read_all(host)
        history.check()
        device.check_equal()
        cluster.check_logs()


def received(device, host):
    """Bytes that this member got from the others since it came up."""
    return sum(peer["network"]["received_bytes"] for peer in device.status(host)["members"]
               if "network" in peer)


def write(host, mib):
    host.run("dd if=/dev/urandom of=%s bs=1M count=%d oflag=direct status=none" % (DEVICE, mib),
             timeout=240)


def at_rest(device, host):
    """All that it has is where it belongs, and its disk says so: no log is needed any more."""
    def rests():
        last = device.status(host)["last_index"]
        return current(on_disk(host))["applied_index"] >= last
    tap.wait_until(rests, 60, "%s is at rest" % host.name)


def is_sent(device, host, least, most, what, *options):
    """It comes up, and so many MiB come until it has everything."""
    host.run("qbdadm up vol0 --disk /dev/vda --election-timeout %d %s" %
             (SLOW_ELECTION_MS, " ".join(options)))
    wait_whole(device, host)
    got = received(device, host) / MIB
    written = device.status(host)["store"]["data_write_bytes"] / MIB
    tap.comment("%s: %.2f MiB came, at least %g, at most %g; %.2f were written" %
                (what, got, least, most, written))
    tap.check(least <= got <= most, "%s: %.2f MiB came, should be %g to %g" %
              (what, got, least, most))


def lacking(dump, missed):
    """The first record that was acknowledged and not applied, and which another one has missed.

    Were it applied, its effect would be in the data area and nothing lost; were it the end of
    what the disk knows to be durable, it would be a torn tail.
    """
    index = max(missed, current(dump)["applied_index"]) + 1
    return good_records(dump)[index] if index <= known_durable(dump) else None


def rot(host, missed):
    """A bit of such a record changes while the host is off."""
    found = on_disk(host, "--records")
    record = lacking(found, missed)
    places = layout(found)
    block = places["log_block"] + (record["position"] + record["data_blocks"]) % \
        places["log_blocks"]
    content = bytearray(read_block(host, block))
    content[1000] ^= 1
    write_block(host, block, content)
    log = on_disk(host)["log"]
    tap.equal((log["verdict"], log["last_index"]), ("damaged", record["index"] - 1), "its log")
    tap.comment("record %d of %d rotted on %s" % (record["index"], found["log"]["last_index"],
                                                 host.name))


def spoil_extents(host):
    """Nothing says any more what is on its disk: see Documentation/on-disk-format.rst."""
    for block, count in ((64, 128), (256, 1)):      # journal, table
        host.run("dd if=/dev/urandom of=/dev/vda bs=4k seek=%d count=%d conv=fsync,notrunc "
                 "status=none" % (block, count))


def who_was_away_is_sent_what_it_lacks(kernel):
    """By extents, only what changed; by checksums, what differs; a record that rotted.

    A damaged log does not vote: alpha and gamma acknowledged what gamma has lost, beta was
    away. With gamma's vote beta would lead, and it would be lost for good.
    """
    changed, all_of_it = 12, 24
    with Hosts(3, kernel=kernel, disks=["192M"], files=Writes.program()) as cluster:
        one, two, three = cluster.hosts
        device = Device(cluster, "vol0", NAMES)
        device.gather(cluster.hosts, "--size", "64M", "--log-size", "8M")
        device.move(one)
        write(one, all_of_it)
        device.wait_caught_up()
        # Who loses its leader asks another one for what was on its way, once more.
        for host in cluster.hosts:
            host.run("qbdadm set vol0 --election-timeout %d" % SLOW_ELECTION_MS)
        three.run("qbdadm down vol0")
        last = device.status(one)["last_index"]
        for _ in range(2):
            write(one, changed)
        tap.wait_until(lambda: device.status(one)["first_index"] > last + 1, 60,
                       "the log does not reach back any more")
        at_rest(device, device.leader([one, two]))
        is_sent(device, three, changed, 1.1 * changed, "%d extents changed" % changed)

        differs = 2
        three.run("qbdadm down vol0")
        spoil_extents(three)
        write(one, differs)
        at_rest(device, device.leader([one, two]))
        # What it missed is in the log as well.
        is_sent(device, three, differs, 1.1 * 2 * differs, "%d of %d MiB differ" %
                (differs, all_of_it), "--checksums", "on")

        for host in cluster.hosts:
            host.run("qbdadm set vol0 --election-timeout 150")
        device.move(one)
        two.run("qbdadm down vol0")
        missed = device.status(one)["last_index"]
        writer = Writes(one).start()
        writer.wait_for(50, "beta is down")

        def there():
            three.freeze_disk()
            if lacking(on_disk(three, "--records"), missed):
                return True
            three.thaw_disk()
            return False
        tap.wait_until(there, 60, "records are on its disk and not applied")
        three.power_cut()
        rot(three, missed)
        cluster.isolate(1)
        three.boot()
        device.up(two)
        device.up(three)
        status = device.status(three)
        tap.check(status["damaged"] and any("lost acknowledged records" in problem["text"]
                                            for problem in status["problems"]),
                  "its damage is not known: %s" % status["problems"])
        nobody_leads(device, [two, three])
        tap.check(device.status(three)["damaged"], "it is whole, and nobody sent it anything")
        cluster.heal()
        tap.equal(device.leader().number, 1, "who leads: only alpha can")
        wait_whole(device, three)
        said = three.run("dmesg | grep -E 'what was lost has been sent again|"
                         "filled: the data is complete'")
        tap.comment(said)
        writer.wait_for(20, "all are there")
        writer.stop()
        counts_again(device, three, one, away=two)
        writer.verify(*cluster.hosts)
        device.check_equal()
        cluster.check_logs()


ALL = [a_disk_is_rolled_back_and_then_emptied, a_copy_of_a_disk_comes_up_elsewhere,
       two_disks_are_swapped,
       requests_in_flight_land_once, who_was_away_is_sent_what_it_lacks]
