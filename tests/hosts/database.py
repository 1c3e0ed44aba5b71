# SPDX-License-Identifier: GPL-2.0
"""SQLite on a file system on the device: no transaction that was acknowledged is lost.

Two databases, one with a write-ahead log and one with a rollback journal, are written by
tests/lib/transactions.c.  What it printed is what was acknowledged; the file system is on the first part of the device.
"""

import time

from device import tap

MOUNT = "/mnt"
SIZE = 320          # MiB: the least for xfs is 300
MAKE = {"ext4": "mkfs.ext4 -q -F -E nodiscard /dev/qbd0 %dm" % SIZE,
        "xfs": "mkfs.xfs -q -f -K -d size=%dm /dev/qbd0" % SIZE}
CHECK = {"ext4": "e2fsck -f -n /dev/qbd0", "xfs": "xfs_repair -n /dev/qbd0"}
MODES = ("wal", "delete")
PAUSE = 20000       # microseconds between two transactions


class Transactions:
    """One database and who writes it."""

    def __init__(self, mode):
        self.mode = mode
        self.path = "%s/%s.db" % (MOUNT, mode)
        self.acknowledged = 0
        self.command = None
        self.rest = b""
        self.complaint = b""

    def start(self, host):
        self.rest = self.complaint = b""
        self.command = host.spawn("exec nice -n 10 /qbd/transactions run %s %s %d" % (
            self.path, self.mode, PAUSE), sink=self.take)

    def take(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if line.isdigit():
                self.acknowledged = int(line)
            else:
                self.complaint += line + b"\n"

    def check_alive(self):
        tap.check(not self.command.ended(), "who writes %s has ended: %s" % (
            self.path, self.complaint.decode(errors="replace")))

    def end(self):
        """It ends, by what was done to it; what it had said by then was heard."""
        self.command.reader.join(60)
        tap.check(self.command.ended(), "who writes %s does not end" % self.path)
        self.command = None

    def check(self, host):
        """Whole, and nothing missing that was acknowledged; how many are there."""
        there = int(host.run("/qbd/transactions check " + self.path, timeout=120))
        tap.check(there >= self.acknowledged,
                  "%s: transaction %d was acknowledged; there are %d" %
                  (self.path, self.acknowledged, there))
        return there


class FileSystem:
    """A file system on the device with both databases."""

    def __init__(self):
        self.kind = None
        self.host = None            # where it is mounted
        self.databases = [Transactions(mode) for mode in MODES]
        self.committed = 0          # on file systems that are gone
        self.checked = 0

    def make(self, host, kind):
        """A new one, empty."""
        self.committed += self.acknowledged()
        self.databases = [Transactions(mode) for mode in MODES]
        self.kind = kind
        host.run(MAKE[kind], timeout=240)

    def acknowledged(self):
        return sum(database.acknowledged for database in self.databases)

    def mount(self, host):
        # It waits where there is no quorum.
        host.run("mount -t %s /dev/qbd0 %s" % (self.kind, MOUNT), timeout=240)
        self.host = host

    def unmount(self):
        self.host.run("umount " + MOUNT, timeout=240)
        self.host = None

    def start(self):
        for database in self.databases:
            database.start(self.host)

    def stop(self):
        for database in self.databases:
            database.command.kill()
            database.end()

    def lost_power(self):
        for database in self.databases:
            database.end()
        self.host = None

    def check_alive(self):
        for database in self.databases:
            database.check_alive()

    def check_databases(self):
        for database in self.databases:
            database.check(self.host)

    def check_clean(self, host):
        """The checker of the file system finds nothing; it is not mounted."""
        status, text = host.try_run(CHECK[self.kind], timeout=240)
        tap.check(status == 0, "%s is not clean:\n%s" % (self.kind, text))
        self.checked += 1

    def wait_for(self, count, what, seconds=120):
        """Until so many more transactions of each database were acknowledged."""
        start = [database.acknowledged for database in self.databases]

        def there():
            self.check_alive()
            return all(database.acknowledged >= begin + count
                       for database, begin in zip(self.databases, start))
        begin = time.monotonic()
        tap.wait_until(there, seconds, "%d more transactions: %s" % (count, what))
        return time.monotonic() - begin
