# SPDX-License-Identifier: GPL-2.0
"""How long writes stand still while members and leadership change.

As in catch_up.py: figures with the limits that they have to keep.
"""

import json
import os
import signal
import time

from common import DISK_US, RTT_US, Writer, bench_cluster, figure, settle, spawn, wait_until

ELECTION_TIMEOUT_US = 150e3
# A write from a member that does not lead: to the leader, from there to a majority.
FORWARDED_US = 2 * RTT_US + DISK_US
MOVE_US = 3 * RTT_US + DISK_US


# What writes besides the writer, on its member: more than a connection carries at first.
LOAD = ("64 KiB at queue depth 16", ["--bs=64k", "--iodepth=16", "--rw=randwrite"])


class Load:
    """fio, on blocks that the writer leaves alone."""

    def __init__(self, member, result):
        self.output = os.path.join(result, "load.json")
        self.arguments = ["fio", "--name=load", "--filename=" + member.device,
                          "--ioengine=libaio", "--direct=1", *LOAD[1], "--offset=4M",
                          "--size=8M", "--time_based", "--runtime=3600", "--eta=never",
                          "--output-format=json", "--output=" + self.output,
                          "--clocksource=clock_gettime"]
        self.process = None

    def start(self):
        self.process = spawn(self.arguments)

    def stop(self):
        """Without an error so far; bytes a second."""
        assert self.process.poll() is None, "the load ended by itself"
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        with open(self.output) as file:
            text = file.read()
        # Before that it says which signal it was.
        job = json.loads(text[text.index("{"):])["jobs"][0]
        assert job["error"] == 0, "the load had error %d" % job["error"]
        return job["write"]["bw_bytes"]


def longest(writer, change, and_after=False):
    """The longest write that was under way during change(), in microseconds; and_after: or
    was one of the 50 after it."""
    writer.wait_for(50, time.monotonic_ns())
    begin = time.monotonic_ns()
    change()
    end = time.monotonic_ns()
    writer.wait_for(50, end)
    return max(write[2] - write[1] for write in writer.writes()
               if begin <= write[2] and (and_after or write[1] <= end)) / 1000


def move(cluster, number, count):
    """Leadership goes to and fro between 1 and 2: move number 0, 1 ... of so many. Each
    comes at another moment of a write; in virtual time they would all meet the same one."""
    time.sleep(FORWARDED_US / 1e6 * number / count)
    cluster.members[0].qbdadm("leader", "move", cluster.name, "--to", 2 - number % 2)


def moves(cluster, writer, count):
    """Under a writer on another member."""
    worst = 0
    for number in range(count):
        target = 2 - number % 2
        worst = max(worst, longest(writer, lambda number=number: move(cluster, number, count)))
        leader = settle(cluster)
        assert leader.number == target, "%r leads" % leader
    return worst


def moves_under_load(cluster, writer, host, count, result):
    """The same while others write as well.

    The first one is apart: a new leader's connections begin with TCP's initial windows, and
    all that was under way is sent to it, and by it, in so many more round trips. Any load
    that begins has those, without a move as well."""
    load = Load(host, result)
    load.start()
    writer.wait_for(200, time.monotonic_ns())
    steady = longest(writer, lambda: writer.wait_for(200, time.monotonic_ns()))
    took = []
    for number in range(count):
        target = 2 - number % 2
        took.append(longest(writer, lambda number=number: move(cluster, number, count), True))
        wait_until("member %d leads" % target,
                   lambda target=target: cluster.leader().number == target)
    rate = load.stop()
    settle(cluster)
    what = "leadership moves under load (%s, %.0f MB/s)" % (LOAD[0], rate / 1e6)
    worst = max(took[1:])
    return [figure("leader-move-under-load", "of three round trips and a durable write (%.0f "
                   "us), by which the longest write is longer when %s, the longest of %d moves "
                   "(%.0f us), than between them (%.0f us)" % (MOVE_US, what, count - 1, worst,
                                                               steady),
                   (worst - steady) / MOVE_US, 1.0),
            of_an_election("leader-moves-under-load", what + ", the first time (%.1f ms) as "
                           "well," % (took[0] / 1000), max(took))]


def of_an_election(name, doing, took):
    return figure(name, "of an election timeout (%.0f ms) is the longest write while %s (%.1f ms)" %
                  (ELECTION_TIMEOUT_US / 1000, doing, took / 1000),
                  took / ELECTION_TIMEOUT_US, 1.0)


def changes(program, result, count):
    """Writes on member 3, one by one: leadership moves, members are promoted, replaced."""
    with bench_cluster(5) as cluster:
        leader = cluster.lead(1)
        cluster.change(leader, "demote", 4, 5)
        settle(cluster)
        writer = Writer(program, cluster.member(3).device, os.path.join(result, "writes"),
                        None).start()
        writer.wait_for(100)
        moved = moves(cluster, writer, count)
        leader = cluster.lead(1)
        settle(cluster)
        loaded = moves_under_load(cluster, writer, cluster.member(3), min(count, 8), result)
        leader = cluster.lead(1)
        settle(cluster)
        figures = [figure("leader-move", "of three round trips and a durable write (%.0f us), by "
                          "which the longest write is longer when leadership moves, the longest "
                          "of %d moves (%.0f us)" % (MOVE_US, count, moved),
                          (moved - FORWARDED_US) / MOVE_US, 1.0),
                   of_an_election("leader-moves", "leadership moves", moved), *loaded]
        for name, doing, asked, change in (
                ("promotion", "two learners are promoted", leader, ("promote", 4, 5)),
                ("demotion", "two voters are demoted", leader, ("demote", 4, 5)),
                ("replacement", "a follower is replaced", leader, ("replace", 2, 4)),
                ("replacement-of-the-leader", "the leader is replaced", cluster.member(3),
                 ("replace", 1, 5))):
            figures.append(of_an_election(name, doing, longest(
                writer, lambda asked=asked, change=change: cluster.change(asked, *change))))
        writer.stop()
        writer.verify()
        for number in (1, 2):
            cluster.retire(cluster.member(number))
        return figures
