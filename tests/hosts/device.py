# SPDX-License-Identifier: GPL-2.0
"""A device on the hosts of a cluster, as its administrator sees it."""

import collections
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(REPO, "tests/lib"), os.path.join(REPO, "scripts/qemu")]

import hosts  # noqa: E402
import tap  # noqa: E402

__all__ = ["Device", "Hosts", "hosts", "tap", "REPO"]

LINES = 60


class Hosts(hosts.Cluster):
    """Hosts whose kernels have the last word when a test fails."""

    def __exit__(self, kind, *more):
        try:
            if kind is not None:
                self.tell()
        finally:
            super().__exit__(kind, *more)

    def tell(self):
        for host in self.hosts:
            tap.comment("---- the kernel of %s" % host.name)
            try:
                tap.comment(host.run("dmesg | tail -n %d" % LINES, timeout=20))
            except (hosts.HostError, OSError, EOFError) as error:
                tap.comment(error)


class Device:
    """The device `name`, with a member on each host, on the disk /dev/vda."""

    def __init__(self, cluster, name, names, claim="shared"):
        self.claim = claim          # most loads write on several hosts at once
        self.cluster = cluster
        self.hosts = cluster.hosts
        self.name = name
        self.names = names          # {number of a host: name of its member}

    def make(self):
        """Create all members and bring them up."""
        first, *others = self.hosts
        first.run("qbdadm token new --out token")
        for host in others:
            self.copy(first, host, "token")
        for host in self.hosts:
            self.create(host)
        for host in self.hosts:
            self.up(host)

    def create(self, host):
        """Its disk is made a member, which knows nothing of a former one."""
        members = " ".join("--member %d=%s@%s" % (one.number, self.names[one.number],
                                                  one.address4) for one in self.hosts)
        host.run("qbdadm create %s --token-file token --id %d --disk /dev/vda --claim %s %s" %
                 (self.name, host.number, self.claim, members))

    def begin(self, host, *options):
        """It makes the device, and is all there is; others join."""
        self.hosts = [host]
        host.run("qbdadm create %s --disk /dev/vda --listen %s --name %s --claim %s %s" % (
            self.name, host.address4, self.names[host.number], self.claim,
            " ".join(options)))
        host.run("qbdadm token show %s --out token" % self.name)

    def join(self, host, *options, timeout=120):
        """It becomes a member of what the first one began."""
        first = self.hosts[0]
        if host.try_run("test -e token")[0]:
            self.copy(first, host, "token")
        host.run("qbdadm join %s %s --disk /dev/vda --listen %s --name %s --token-file token %s"
                 % (first.address4, self.name, host.address4, self.names[host.number],
                    " ".join(options)), timeout=timeout)
        self.hosts.append(host)

    def gather(self, hosts, *options):
        """The first one makes the device, the others join; all of them vote."""
        self.begin(hosts[0], *options)
        for host in hosts[1:]:
            self.join(host)
        self.wait_voters(len(hosts))

    def wait_voters(self, count, seconds=90):
        tap.wait_until(lambda: all(self.status(host)["voters"] == count
                                   for host in self.hosts), seconds, "%d voters" % count)

    def copy(self, source, target, path):
        """What scp -p does."""
        kept = os.path.join(self.cluster.directory, "copied")
        mode = source.run("stat -c %%a '%s'" % path).strip()
        source.pull("/root/" + path, kept)
        target.push(kept, "/root/" + path)
        target.run("chmod %s '%s'" % (mode, path))
        os.unlink(kept)

    def up(self, host):
        host.run("qbdadm up %s --disk /dev/vda" % self.name)

    def status(self, host):
        answer = json.loads(host.run("qbdadm status %s --json" % self.name))
        return answer[0] if isinstance(answer, list) else answer.get("devices", [answer])[0]

    def named_leader(self, among):
        """The host that most of these call the leader, or None; how many do, and hear it."""
        named = collections.Counter((view["leader"], view["term"])
                                    for view in map(self.status, among) if view["has_quorum"])
        (number, _), count = named.most_common(1)[0] if named else ((0, 0), 0)
        return self.cluster.host(number) if number else None, count

    def leader(self, among=None, seconds=60):
        """The host that all of these call the leader, which has a quorum."""
        among = among or self.hosts

        def agreed():
            leader, count = self.named_leader(among)
            return count == len(among) and leader
        return tap.wait_until(agreed, seconds, "a leader that all agree on")

    @staticmethod
    def in_step(views):
        """Of {host: status}: these follow a leader among them, and miss nothing."""
        return any(view["leader"] == host.number for host, view in views.items()) and all(
            view["has_quorum"] and not view["filling"] and not view["damaged"] and
            not view["failed"] for view in views.values())

    def move(self, to, among=None):
        """Hand leadership to a host.

        It did lead afterwards, says the answer. That it still does is not asked: more
        processors than there are on this machine may stand still for longer than an
        election takes.
        """
        if self.leader(among) is not to:
            answer = json.loads(to.run("qbdadm leader move %s %s --json" % (
                self.name, self.names[to.number])))
            tap.equal(answer["leader"], to.number, "the leader after the move")
        leader = self.leader(among)
        if leader is not to:
            tap.comment("%s leads, not %s any more" % (leader.name, to.name))

    def wait_caught_up(self, seconds=90):
        """All members have applied all that the leader has, and none is being filled."""
        def same():
            views = [self.status(host) for host in self.hosts]
            return len({view["applied_index"] for view in views}) == 1 and all(
                view["applied_index"] == view["last_index"] and not view["filling"]
                for view in views)
        tap.wait_until(same, seconds, "all members have applied everything")

    def down(self):
        """Everywhere, with all that was written."""
        self.wait_caught_up()
        for host in self.hosts:
            host.run("qbdadm down " + self.name)

    def check_equal(self):
        """Down everywhere, then the sums of the replicas; they are one."""
        self.down()
        self.check_same_sums()

    def check_same_sums(self):
        """Being down has flushed the disks, so their files here are the replicas."""
        sums = {}
        for host in self.hosts:
            answer = subprocess.run(
                [os.path.join(REPO, "build/userspace/qbdadm"), "checksum", host.disks[0],
                 "--json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=120)
            tap.equal(answer.returncode, 0, "qbdadm checksum: %s: status" % answer.stdout)
            sums[host.name] = json.loads(answer.stdout)["sha256"]
        tap.comment(json.dumps(sums))
        tap.equal(len(set(sums.values())), 1, "different replicas")
