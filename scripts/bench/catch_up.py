# SPDX-License-Identifier: GPL-2.0
"""How members catch up and are compared: what is sent, how fast, what others feel of it.

Each scenario leaves figures.json in $QBD_RESULT: figures with the limits that they have to
keep.  Links are as fast as LINK says, disks as bench_cluster() makes them, or slower.
"""

import os
import time

from common import (Writer, bench_cluster, bench_disk, figure, run, settle, shape_link,
                    wait_until)

LINK_MBIT = 1000
LINK = LINK_MBIT * 125000       # bytes a second
DISK_MBYTES = 80                # of the slow disk: bytes a second, in millions
MIB = 1 << 20
IN_STEP = 16                    # records that may be under way to who has all
VERIFY_RATE = 32 * MIB          # bytes a second, unless --max-rate says otherwise


def received(member):
    return sum(peer["network"]["received_bytes"] for peer in member.status().members
               if "network" in peer)


def write(leader, mib, where_mib, block="1M", order="write"):
    """So many MiB, again and again in the first MiB of the device."""
    run(["fio", "--name=write", "--filename=" + leader.device, "--ioengine=libaio",
         "--direct=1", "--iodepth=4", "--rw=" + order, "--bs=" + block,
         "--size=%dM" % where_mib, "--io_size=%dM" % mib, "--output=/tmp/fio",
         "--clocksource=clock_gettime"], timeout=600)


def rest(cluster):
    """Until all is applied everywhere, and nobody counts as using the device any more."""
    settle(cluster)
    cluster.wait_caught_up()
    time.sleep(2)


def filled(cluster, member, events):
    """Up, and until it is filled; begin and end of that."""
    member.up()
    begin = events.wait("fill-progress", 120, text="begins")
    end = events.wait("fill-done", 600, member_id=member.number)
    settle(cluster)
    return begin, end


def rejoin_by_log(program, result, writes):
    """So many writes, of which the log still has all."""
    with bench_cluster(3, "32M") as cluster:
        leader = cluster.lead(1)
        settle(cluster)
        lost = cluster.members[-1]
        lost.down()
        last = leader.status().last_index
        Writer(program, leader.device, os.path.join(result, "writes"), writes).run()
        assert leader.status().first_index <= last + 1, "the log was passed by"
        lost.up()
        settle(cluster)
        assert received(lost) >= writes * 4096, "fewer bytes came than were written"
        return [figure("rejoin-by-log", "bytes sent of those that were written, while it "
                       "was away, by the log", received(lost) / (writes * 4096), 1.1)]


def rejoin_by_extents(program, result, extents):
    """So many extents change, several times, and the log is passed by."""
    with bench_cluster(3, "8M", 64) as cluster:
        leader = cluster.lead(1)
        write(leader, 12, 12)
        rest(cluster)
        lost = cluster.members[-1]
        lost.down()
        last = leader.status().last_index
        write(leader, max(16, 2 * extents), extents)
        assert leader.status().first_index > last + 1, "the log was not passed by"
        events = cluster.events(lost)
        filled(cluster, lost, events)
        assert received(lost) >= extents * MIB, "fewer bytes came than changed"
        return [figure("rejoin-by-extents", "bytes sent of the extents that changed while it "
                       "was away, counted whole", received(lost) / (extents * MIB), 1.1)]


def replace_disk(cluster, member, **options):
    member.down()
    member.disk.close()
    member.disk = bench_disk(cluster.mib, **options)
    cluster.create(member)


def full_copy(slower, mib):
    """A disk that was made anew gets all there is: bytes a second."""
    with bench_cluster(3, "8M", mib) as cluster:
        leader = cluster.lead(1)
        write(leader, mib, mib)
        rest(cluster)
        lost = cluster.members[-1]
        replace_disk(cluster, lost, mbps=DISK_MBYTES if slower == "disk" else 0)
        for member in cluster.members:
            shape_link(cluster, member, LINK_MBIT)
        events = cluster.events(lost)
        clock = []
        lost.up()
        events.wait("fill-progress", 120, text="begins")
        clock.append(time.monotonic_ns())
        wait_until("it is filled", lambda: not lost.status().filling, 600, interval=0.002)
        clock.append(time.monotonic_ns())
        settle(cluster)
        took = (clock[1] - clock[0]) / 1e9
        speed = DISK_MBYTES * 1e6 if slower == "disk" else LINK
        return [figure("full-copy-" + slower, "of what the %s can (%d MB/s): a full copy of "
                       "%d MiB in %.2f s" % (slower, speed / 1e6, mib, took),
                       mib * MIB / took / speed, 0.8, False)]


def p99(writes):
    took = sorted(end - begin for _, begin, end in writes)
    return took[min(len(took) - 1, -(-len(took) * 99 // 100) - 1)] / 1000


class Felt:
    """The p99 of writes before and while something went on, how many and how long it was."""

    def __init__(self, quiet, busy, count, took_ns):
        self.quiet, self.busy, self.count, self.took_ns = quiet, busy, count, took_ns

    def p99(self, name, doing):
        return figure(name + "-p99", "times the quiet p99 of 4 KiB writes (%.0f us) while %s "
                      "(%.0f us, %d writes)" % (self.quiet, doing, self.busy, self.count),
                      self.busy / self.quiet, 2.0)

    def speed(self, mib):
        return mib * MIB / (self.took_ns / 1e9)


def felt(program, result, leader, busy):
    """4 KiB writes, one by one, before and during what busy() says began and ended."""
    writer = Writer(program, leader.device, os.path.join(result, "writes"), None).start()
    writer.wait_for(200)
    begin = time.monotonic_ns()
    writer.wait_for(400, begin)
    quiet_end = time.monotonic_ns()
    begun, ended = busy()
    writer.stop()
    writer.verify()
    writes = writer.writes()
    during = [one for one in writes if begun <= one[2] and one[1] <= ended]
    return Felt(p99([one for one in writes if begin <= one[1] and one[2] <= quiet_end]),
                p99(during), len(during), ended - begun)


def foreground(program, result, mib):
    """Writes at the leader while a member is filled, then while all replicas are compared."""
    with bench_cluster(3, "8M", mib) as cluster:
        leader = cluster.lead(1)
        write(leader, mib, mib)
        rest(cluster)
        lost = cluster.members[-1]
        replace_disk(cluster, lost)
        for member in cluster.members:
            shape_link(cluster, member, LINK_MBIT)

        def fill():
            events = cluster.events(lost)
            lost.up()
            events.wait("fill-progress", 120, text="begins")
            begun = time.monotonic_ns()
            wait_until("it is filled", lambda: not lost.status().filling, 600, interval=0.02)
            return begun, time.monotonic_ns()

        def compare():
            begun = time.monotonic_ns()
            leader.qbdadm("verify", cluster.name, timeout=600)
            return begun, time.monotonic_ns()

        filled = felt(program, result, leader, fill)
        settle(cluster)
        compared = felt(program, result, leader, compare)
        settle(cluster)
        return [filled.p99("foreground", "a member is filled"),
                figure("foreground-copy", "of the link are used meanwhile (%.1f MB/s)" %
                       (filled.speed(mib) / 1e6), filled.speed(mib) / LINK, 0.2, False),
                compared.p99("verify", "all replicas are compared"),
                figure("verify-rate", "of the rate that is allowed by itself meanwhile "
                       "(%.1f MB/s)" % (compared.speed(mib) / 1e6),
                       compared.speed(mib) / VERIFY_RATE, 0.5, False)]


def foreground_by_log(program, result, mib):
    """Writes at the leader while a member gets so much by the log, which has few MiB more."""
    with bench_cluster(3, "%dM" % (mib * 19 // 12), 64) as cluster:
        leader = cluster.lead(1)
        settle(cluster)
        for member in cluster.members:
            shape_link(cluster, member, LINK_MBIT)
        lost = cluster.members[-1]
        lost.down()
        last = leader.status().last_index
        write(leader, mib, 48, block="64k")
        time.sleep(2)

        def rejoin():
            events = cluster.events(leader)
            lost.up()
            events.wait("peer-up", 60, peer=lost.number)
            begun = time.monotonic_ns()
            assert leader.status().first_index <= last + 1, "the log was passed by"
            wait_until("it is in step", lambda: leader.status().member(lost.number).get(
                "behind_entries", 1 << 62) <= IN_STEP, 120, interval=0.002)
            return begun, time.monotonic_ns()

        fills = cluster.events(lost)
        caught_up = felt(program, result, leader, rejoin)
        settle(cluster)
        assert not fills.told("fill-progress"), "it was filled"
        return [caught_up.p99("rejoin-by-log", "a member gets %d MiB by the log in %.2f s" % (
            mib, caught_up.took_ns / 1e9))]


def catch_up(program, result, what, size):
    if what == "by-log":
        return rejoin_by_log(program, result, size)
    if what == "by-extents":
        return rejoin_by_extents(program, result, size)
    if what == "foreground":
        return foreground(program, result, size)
    if what == "foreground-by-log":
        return foreground_by_log(program, result, size)
    return full_copy(what.removeprefix("copy-"), size)
