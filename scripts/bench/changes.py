# SPDX-License-Identifier: GPL-2.0
"""How long writes stand still while members and leadership change.

As in catch_up.py: figures with the limits that they have to keep.
"""

import os
import time

from common import DISK_US, RTT_US, Writer, bench_cluster, figure, settle

ELECTION_TIMEOUT_US = 150e3
# A write from a member that does not lead: to the leader, from there to a majority.
FORWARDED_US = 2 * RTT_US + DISK_US
MOVE_US = 3 * RTT_US + DISK_US


def longest(writer, change):
    """The longest write that was under way during change(), in microseconds."""
    writer.wait_for(50, time.monotonic_ns())
    begin = time.monotonic_ns()
    change()
    end = time.monotonic_ns()
    writer.wait_for(50, end)
    return max(write[2] - write[1] for write in writer.writes()
               if begin <= write[2] and write[1] <= end) / 1000


def moves(cluster, writer, count):
    """Leadership goes to and fro between 1 and 2, under a writer on another member."""
    worst = 0
    for number in range(count):
        target = 2 - number % 2
        worst = max(worst, longest(writer, lambda target=target: cluster.members[0].qbdadm(
            "leader", "move", cluster.name, "--to", target)))
        leader = settle(cluster)
        assert leader.number == target, "%r leads" % leader
    return worst


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
        figures = [figure("leader-move", "of three round trips and a durable write (%.0f us), by "
                          "which the longest write is longer when leadership moves, the longest "
                          "of %d moves (%.0f us)" % (MOVE_US, count, moved),
                          (moved - FORWARDED_US) / MOVE_US, 1.0),
                   of_an_election("leader-moves", "leadership moves", moved)]
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
