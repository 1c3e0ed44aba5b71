# SPDX-License-Identifier: GPL-2.0
"""A network namespace goes with a member up in it: the member goes, too."""

import os

from lib import kernel
from lib.cluster import Cluster
from lib.registry import test
from lib.shell import run, wait_until
from lib.workload import Writer

MODULE = os.environ.get("QBD_MODULE", "qbd.ko")


def lose_namespace(cluster, member):
    """Delete the member's namespace, and have nothing of the member left.

    Not even the disk's answer is waited for: a namespace that stays is a host that
    cannot shut down.
    """
    number = member.status().number
    link = "/dev/qbd/" + cluster.name
    assert os.path.realpath(link) == "/dev/qbd%d" % number, os.path.realpath(link)
    cluster.network.delete(member.number)
    member.is_up = False
    wait_until("the namespace is gone", lambda: not cluster.network.exists(member.number))
    for path in ("/dev/qbd%d" % number, "/sys/block/qbd%d" % number,
                 # Without udev the link itself stays; it must lead nowhere.
                 link):
        wait_until("%s is gone" % path, lambda: not os.path.exists(path))
    assert cluster.log.find("member %d is down" % member.number)


def unload():
    """Unload the module, and load it again."""
    # Memory of a block device is freed a moment after it has gone.
    wait_until("the module can be unloaded",
               lambda: run(["rmmod", "qbd"], check=False).status == 0)
    run(["insmod", MODULE])


def come_back(cluster, member):
    """In a new namespace, with the disk as the old one left it."""
    cluster.network.add(member.number)
    member.up()
    cluster.up()
    cluster.wait_leader()


@test("namespace")
def namespace_of_an_idle_member_goes():
    """A namespace is deleted with an idle member in it: the others go on."""
    with Cluster(3) as cluster:
        member = cluster.lead(1)
        cluster.wait_caught_up()
        lose_namespace(cluster, member)
        writer = Writer(cluster.wait_leader(cluster.others(member)).device)
        writer.wait_for(20)
        writer.stop()
        cluster.down_all()
        unload()
        come_back(cluster, member)
        cluster.wait_caught_up()
        writer.verify(member.device)


@test("namespace")
def namespace_goes_while_io_waits():
    """A namespace is deleted while I/O waits for a quorum: it fails."""
    with Cluster(3) as cluster:
        member = cluster.lead(1)
        writer = Writer(member.device)
        writer.wait_for(20)
        for other in cluster.others(member):
            other.down()
        member.wait("the write waits", lambda s: not s.has_quorum and
                    s.requests_waiting + s.requests_in_flight)
        assert not writer.child.ended()
        lose_namespace(cluster, member)
        wait_until("the writer got its error", writer.child.ended)
        assert writer.child.lines[-1].startswith("error"), writer.child.lines[-1]
        wait_until("no process is in state D", lambda: not kernel.uninterruptible())
        unload()
        come_back(cluster, member)
        writer.verify(member.device)


@test("namespace", timeout=60)
def namespace_goes_while_the_disk_hangs():
    """A namespace is deleted while the member's disk hangs: it is gone at once.

    The module stays until the disk answers: it has the memory that the disk reads.
    """
    with Cluster(3) as cluster:
        member = cluster.lead(1)
        writer = Writer(member.device)
        writer.wait_for(20)
        member.disk.hang()
        member.wait("a write of its disk waits", lambda s: s.store["oldest_write_ns"])
        lose_namespace(cluster, member)
        wait_until("the writer got its error", writer.child.ended)
        cluster.down_all()
        result = run(["rmmod", "qbd"], check=False)
        assert result.status != 0 and "in use" in result.text.lower(), result.text
        member.disk.resume()
        unload()
        come_back(cluster, member)
        cluster.wait_caught_up()
        writer.verify(member.device)
