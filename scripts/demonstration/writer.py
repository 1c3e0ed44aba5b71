# SPDX-License-Identifier: GPL-2.0
"""Somebody who uses the device while things happen to it."""

import threading

from demonstration.screen import Failed


class Writer:
    """Records that are fsynced one by one on a host; what came back is kept."""

    def __init__(self, host, path):
        self.host = host
        self.path = path
        self.acknowledged = 0
        self.gap = 0
        self.gap_after = 0
        self.last_time = None
        self.rest = b""
        self.changed = threading.Condition()
        self.command = host.spawn("exec /root/records write %s" % path, sink=self.read)

    def read(self, data):
        with self.changed:
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                self.take(line)
            self.changed.notify_all()

    def take(self, line):
        words = line.split()
        if len(words) != 2 or not words[0].isdigit():
            return
        number, moment = int(words[0]), int(words[1])
        if self.last_time is not None and moment - self.last_time > self.gap:
            self.gap, self.gap_after = moment - self.last_time, self.acknowledged
        self.acknowledged, self.last_time = number, moment

    def forget_gap(self):
        with self.changed:
            self.gap = 0

    def wait_for(self, more, seconds=60):
        """Wait until so many more records were acknowledged."""
        with self.changed:
            wanted = self.acknowledged + more
            if not self.changed.wait_for(lambda: self.acknowledged >= wanted or
                                         self.command.ended(), seconds):
                raise Failed("the writer stands still after record %d" % self.acknowledged)
            if self.acknowledged < wanted:
                raise Failed("the writer ended after record %d: %s" %
                             (self.acknowledged, self.rest.decode(errors="replace")))
