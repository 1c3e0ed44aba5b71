# SPDX-License-Identifier: GPL-2.0
"""Power cuts in a row, of one, two or all three hosts, under load.

On the device are a file system with two SQLite databases (database.py), mounted on one
host at a time, and behind it blocks that clients on all hosts read and write
(history.py).  A cycle is a cut at a moment that is drawn, in transactions and operations;
what the disks of these hosts had not flushed is lost.  They boot again, at the same time,
while the others go on.  Nobody waits until they have caught up: the next cut may come
before.
"""

import concurrent.futures
import os
import random
import shutil
import time

from database import MAKE, SIZE, FileSystem
from device import REPO, Device, Hosts, hosts, tap
from history import History
import programs
import spoilt

NAMES = {1: "alpha", 2: "beta", 3: "gamma"}
DISK = "512M"
SHARED = "128M"
HISTORY_FIRST = (SIZE << 20) // 4096
BETWEEN = 12            # transactions and operations between two cuts, at most
GO_ON = 3               # of each, as long as hosts are away, where a majority is there
EACH_KIND = 5           # cycles until the file system is made anew, as another kind
NO_LIMIT = float("inf")
OUT = os.path.join(REPO, "build", "hosts-cuts")


class Cuts:
    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.source = random.Random(seed)
        self.device = Device(cluster, "vol0", NAMES)
        self.hosts = cluster.hosts
        self.coming = {}            # hosts that boot, and what becomes of it
        self.files = FileSystem()
        self.cuts = 0
        self.lost = 0
        self.longest = 0.0
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=2 * len(self.hosts))

    def set_up(self):
        self.device.make()
        self.history = History(self.device, HISTORY_FIRST)
        self.history.check_clock()
        self.new_file_system(self.source.choice(list(MAKE)),
                             self.source.choice(self.hosts))
        for host in self.hosts:
            self.history.start(host)

    def new_file_system(self, kind, host):
        self.files.make(host, kind)
        self.files.mount(host)
        self.files.start()

    def up(self):
        return [host for host in self.hosts if host not in self.coming]

    def come_back(self, host):
        host.boot()
        self.device.up(host)
        self.history.start(host)

    def wait_up(self, count):
        """Until so many hosts are up."""
        while len(self.up()) < count:
            concurrent.futures.wait(self.coming.values(),
                                    return_when=concurrent.futures.FIRST_COMPLETED)
            self.harvest()
        self.harvest()

    def harvest(self):
        for host, future in list(self.coming.items()):
            if future.done():
                del self.coming[host]
                future.result()

    def cycle(self):
        """One cut and what follows."""
        begin = time.monotonic()
        count = self.source.choices((1, 2, 3), (60, 25, 15))[0]
        # Two make a quorum; the third one may be on its way.
        self.wait_up(max(2, count))
        self.files.wait_for(self.source.randrange(BETWEEN), "before a cut")
        self.history.wait_for(self.source.randrange(BETWEEN), self.up(), "before a cut")
        self.harvest()
        victims = self.source.sample(self.up(), count)
        others = [host for host in self.up() if host not in victims]
        away = list(self.coming)
        # A member that is being filled, or takes part again only now, does not count.
        goes_on = len(others) > 1 and self.device.in_step(
            dict(zip(others, self.pool.map(self.device.status, others))))
        self.cluster.power_cut(*victims)
        self.cuts += 1
        self.lost += len(victims)
        for host in victims:
            self.history.lost_power(host)
        mount_lost = self.files.host in victims
        if mount_lost:
            self.files.lost_power()
        for host in victims:
            self.coming[host] = self.pool.submit(self.come_back, host)
        if goes_on:
            self.check_goes_on(others, mount_lost)
        if mount_lost:
            self.mount_again()
        tap.comment("cut %d: %s lost power%s%s%s; %s on %s, %d transactions; %.1f s" % (
            self.cuts, ", ".join(sorted(host.name for host in victims)),
            " while %s was away" % away[0].name if away else "",
            ", with the mount" if mount_lost else "",
            ", others went on" if goes_on else "", self.files.kind, self.files.host.name,
            self.files.acknowledged(), time.monotonic() - begin))

    def check_goes_on(self, others, mount_lost):
        """A majority is there: nobody on it waits for who is not."""
        what = "on a majority"
        if not mount_lost:
            self.longest = max(self.longest, self.files.wait_for(GO_ON, what))
        self.longest = max(self.longest, self.history.wait_for(GO_ON, others, what))

    def mount_again(self):
        """The file system on another host, or on the first that is back."""
        self.wait_up(1)
        host = self.source.choice(self.up())
        self.files.mount(host)
        if self.source.random() < 0.25:
            # Mounting has replayed its log; there must be nothing else to repair.
            self.files.unmount()
            self.files.check_clean(host)
            self.files.mount(host)
        self.files.check_databases()
        self.files.start()

    def change_file_system(self):
        """Check what is there, then the other kind of file system."""
        host = self.files.host
        self.finish_file_system()
        self.new_file_system("xfs" if self.files.kind == "ext4" else "ext4", host)

    def finish_file_system(self, spoil=False):
        host = self.files.host
        self.files.stop()
        self.files.check_databases()
        if spoil:
            spoilt.databases(self.files)
        self.files.unmount()
        self.files.check_clean(host)

    def finish(self, spoil=False):
        """All that was acknowledged is there; the replicas are equal."""
        self.wait_up(len(self.hosts))
        self.files.wait_for(1, "at the end")
        self.finish_file_system(spoil)
        self.history.stop()
        for host in self.hosts:
            self.history.read_all(host)
        self.history.check(keep=os.path.join(OUT, "history"))
        if spoil:
            spoilt.history(self.history)
        tap.comment("%d transactions acknowledged, none lost; file systems checked %d times" %
                    (self.files.committed + self.files.acknowledged(),
                     self.files.checked))
        self.device.check_equal()
        if spoil:
            spoilt.replica(self.device, self.history)
        self.cluster.check_logs()


def keep_logs(cluster, out):
    for host in cluster.hosts:
        if os.path.exists(host.console):
            shutil.copy(host.console, os.path.join(out, host.name + ".console"))


def machines(seed, out, kernel="6.12"):
    tap.comment("seed %d" % seed)
    os.makedirs(out, exist_ok=True)
    return Hosts(3, kernel=kernel, disks=[DISK], shared=SHARED, append=hosts.STEADY,
                 files=programs.build(["history", "transactions"]))


def power_cuts(cycles, seed, minutes=NO_LIMIT, spoil=False, kernel="6.12"):
    """So many cycles; fewer if the time is up before.

    With spoil, what was found good in the end is made bad, and has to be found so.
    """
    with machines(seed, OUT, kernel) as cluster:
        cuts = Cuts(cluster, seed)
        try:
            cuts.set_up()
            begin = time.monotonic()
            while cuts.cuts < cycles and time.monotonic() - begin < 60 * minutes:
                if cuts.cuts and cuts.cuts % EACH_KIND == 0:
                    cuts.change_file_system()
                cuts.cycle()
            took = time.monotonic() - begin
            tap.comment("%d cuts, %d hosts lost power, in %.0f s: %.1f cuts a minute; a "
                        "majority went on within %.1f s" % (
                            cuts.cuts, cuts.lost, took, 60 * cuts.cuts / took,
                            cuts.longest))
            cuts.finish(spoil)
        except BaseException:
            keep_logs(cluster, OUT)
            raise
