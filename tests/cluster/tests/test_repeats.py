# SPDX-License-Identifier: GPL-2.0
"""A write whose answer is lost is sent again: it lands once, whoever leads by then."""

import os

from lib.cluster import SHARED, Cluster
from lib.registry import test
from lib.shell import wait_until
from lib.workload import Child, direct_buffer, direct_read, direct_write

FIRST, SECOND = b"1" * 4096, b"2" * 4096


def write_without_answer(cluster, leader, writer, reader):
    """The writer has a write under way that is committed, and will not hear of it."""
    seen = reader.device
    # To open it may take a read, which would have no answer either.
    fd = os.open(writer.device, os.O_WRONLY | os.O_DIRECT)
    buffer = direct_buffer(FIRST)
    # So that it goes on believing in the leader that it does not hear.
    for member in cluster.members:
        member.set("--election-timeout", "3000", "--heartbeat", "100")
    cluster.network.cut_one_way(leader.number, writer.number)
    child = Child(lambda report: os.pwritev(fd, [buffer], 0))
    os.close(fd)
    wait_until("it is committed", lambda: direct_read(seen, 0, 4096) == FIRST)
    assert not child.ended()
    for member in cluster.members:
        member.set("--election-timeout", "150", "--heartbeat", "50")
    # Neither hears anything more; the others are a majority.
    cluster.network.isolate(writer.number)
    cluster.network.isolate(leader.number)
    return child


def repeat_after(between):
    """Somebody else writes the block before the writer is heard again."""
    with Cluster(5, create=SHARED) as cluster:
        leader, writer = cluster.lead(1), cluster.member(2)
        rest = cluster.others(leader, writer)
        child = write_without_answer(cluster, leader, writer, rest[0])
        between(rest)
        new = cluster.wait_leader(rest)
        assert direct_read(new.device, 0, 4096) == FIRST
        direct_write(cluster.others(leader, writer, new)[0].device, 0, SECOND)
        assert not child.ended()
        for member in rest:
            cluster.network.mend(writer.number, member.number)
        child.wait()
        # What comes after the repeat is behind it, if it was appended.
        direct_write(writer.device, 4096, FIRST)
        for member in [writer, *rest]:
            assert direct_read(member.device, 0, 4096) == SECOND, "the first came back"
        cluster.network.heal()
        cluster.wait_leader()
        assert direct_read(leader.device, 0, 4096) == SECOND, "the first came back"


@test("failover")
def repeated_write_lands_once():
    """A write over a change of leader, and another host's write before it is repeated."""
    repeat_after(lambda rest: None)


@test("failover")
def repeated_write_lands_once_after_restarts():
    """Nobody has the record in memory: the next leader knows of it from its disk."""
    def restart(rest):
        for member in rest:
            status = member.status()
            member.wait("all is applied", lambda s: s.applied_index >= status.last_index)
            member.down("--force")
        for member in rest:
            member.up()
    repeat_after(restart)
