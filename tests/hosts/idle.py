# SPDX-License-Identifier: GPL-2.0
"""What a device costs that nobody uses, in instructions of a stock kernel.

All three members are on one host, each in a network namespace of its own.  The clock of
the host is the count of its instructions, one a nanosecond: a processor that does 10^9
of them a second, which is slower than any that is sold.  So the share of the time that
the host was busy is exact, and the same on every machine that the test runs on.

The disks are in the host's memory: what is waited for from outside takes any time.
"""

import json

from device import Hosts, tap

SECONDS = 100           # of the host's clock, which leaps while it idles
LIMIT = 0.005           # of a processor, for all three members

MAKE = r"""
set -e
mount -t tmpfs none /mnt
ip link add bridge type bridge
ip link set bridge up
members=
for id in 1 2 3; do
	ip netns add member$id
	ip link add port$id type veth peer name eth0 netns member$id
	ip link set port$id master bridge up
	ip -n member$id addr add 192.0.2.$id/24 dev eth0
	ip -n member$id link set eth0 up
	truncate -s 64M /mnt/disk$id
	losetup /dev/loop$id /mnt/disk$id
	members="$members --member $id=host$id@192.0.2.$id"
done
qbdadm token new --out token
for id in 1 2 3; do
	ip netns exec member$id qbdadm create vol0 --token-file token --id $id \
		--disk /dev/loop$id $members
done
for id in 1 2 3; do
	ip netns exec member$id qbdadm up vol0 --disk /dev/loop$id
done
"""

STATUS = "ip netns exec member1 qbdadm status vol0 --json"
WRITTEN = "cat /sys/block/loop[123]/stat"
DOWN = "for id in 1 2 3; do ip netns exec member$id qbdadm down vol0; done"

# Seconds since the start, and those of them in which the processor was idle.
REST = "cat /proc/uptime; sleep %d; cat /proc/uptime"


def view(host):
    """What member 1 knows of the device."""
    return json.loads(host.run(STATUS))["devices"][0]


def busy(host, seconds=SECONDS):
    """The share of the coming seconds in which the host's processor works."""
    before, after = ([float(word) for word in line.split()] for line in
                     host.run(REST % seconds, timeout=300).splitlines())
    passed, idle = after[0] - before[0], after[1] - before[1]
    tap.check(abs(passed / seconds - 1) < 0.02, "%g s passed, not %g" % (passed, seconds))
    return (passed - idle) / passed


def costs_next_to_nothing():
    with Hosts(1, disks=[], counted=True) as cluster:
        host = cluster.host(1)
        host.run("modprobe loop max_loop=4")
        host.run(MAKE, timeout=120)
        tap.wait_until(lambda: view(host)["may_lose"] == 1, 60, "all three are up")

        def nobody_writes():
            before = host.run(WRITTEN)
            host.run("sleep 2")
            return host.run(WRITTEN) == before
        tap.wait_until(nobody_writes, 60, "the last checkpoint is written")
        before = view(host)
        with_them = busy(host)
        after = view(host)
        for name in ("term", "leader", "last_index"):
            tap.equal(after[name], before[name], "%s after the rest" % name)
        host.run(DOWN)
        without = busy(host)
        cluster.check_logs()
    share = with_them - without
    tap.comment("three idle members: %.3f %% of a processor of 10^9 instructions a second "
                "(%.3f %% with them, %.3f %% without)" %
                (100 * share, 100 * with_them, 100 * without))
    # Members that did not even send heartbeats would cost nothing.
    tap.check(0 < share < LIMIT, "%.3f %% of a processor" % (100 * share))
