# SPDX-License-Identifier: GPL-2.0
"""Writes on a host, one after the other, of which it is noted when each began and ended."""

import os
import subprocess

from device import REPO, tap


class Writes:
    """scripts/bench/writer.c on a host: one write at a time, and which were acknowledged."""

    def __init__(self, host, path="/dev/qbd0", slots=512):
        self.host = host
        self.path = path
        self.slots = slots
        self.command = None
        host.run("rm -f /tmp/writes")

    @staticmethod
    def program():
        """For the option files of a cluster."""
        built = subprocess.run([os.path.join(REPO, "scripts/bench/build-writer")], check=True,
                               stdout=subprocess.PIPE, text=True)
        return {"writer": built.stdout.strip()}

    def run(self, count):
        self.host.run("/qbd/writer write %s /tmp/writes %d 0 %d" %
                      (self.path, count, self.slots), timeout=120)

    def start(self, pause_us=0):
        self.command = self.host.spawn(
            "echo $$ >/tmp/writer; exec /qbd/writer write %s /tmp/writes %d %d %d" %
            (self.path, 1 << 62, pause_us, self.slots))
        return self

    def acknowledged(self):
        return int(self.host.run("cat /tmp/writes 2>&1 | wc -l"))

    def wait_for(self, count, what):
        """So many more."""
        wanted = self.acknowledged() + count

        def there():
            tap.check(not self.command.ended(), "the writer ended: " + self.command.text())
            return self.acknowledged() >= wanted
        tap.wait_until(there, 60, "%d more writes: %s" % (count, what))

    def longest(self, change):
        """The longest write that was under way during change(), in seconds of its host."""
        self.wait_for(10, "before a change")
        begin = float(self.host.run("cat /proc/uptime").split()[0])
        change()
        end = float(self.host.run("cat /proc/uptime").split()[0])
        self.wait_for(10, "after a change")
        lines = self.host.run("tail -n +2 /tmp/writes").split("\n")
        writes = [tuple(map(int, line.split())) for line in lines[:-1]]
        return max(done - begun for _, begun, done in writes
                   if done >= begin * 1e9 and begun <= end * 1e9) / 1e9

    def stop(self):
        self.host.run("kill $(cat /tmp/writer)")
        tap.equal(self.command.wait(60), 0, "the writer: %s; its status" % self.command.text())

    def verify(self, *others):
        """What was acknowledged is there, as each of these hosts reads it."""
        log = self.host.run("cat /tmp/writes").encode()
        for host in others:
            host.run("cat >/tmp/acknowledged", data=log)
            host.run("/qbd/writer verify %s /tmp/acknowledged %d" % (self.path, self.slots),
                     timeout=120)
