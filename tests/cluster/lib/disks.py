# SPDX-License-Identifier: GPL-2.0
"""Disks of members: memory behind device-mapper, so that they can fail.

A disk is a null_blk device that keeps its data in memory, with a device-mapper
table on top.  Members see the latter, and tests change the table under them.

Each disk has a volatile write cache: power_cut() loses what was neither flushed
nor written with FUA.
"""

import itertools
import os

from . import mapper
from .shell import read_file, run, wait_until, write_file

CONFIG = "/sys/kernel/config/nullb"
NUMBERS = itertools.count()
CACHE = 16      # MiB; what does not fit is written out


def remove_table(name):
    """When nobody has it open any more."""
    wait_until("%s is free" % name, lambda: mapper.remove(name), 10)


class Disk:
    """One disk, size in MiB; block is its logical block size.

    completion_ns: what each write, read and flush takes, 0 for no time at all
    solid: it has all the memory that it will ever use, and no cache
    cache: MiB that it may hold back
    mbps: megabytes that it reads and writes in a second, 0 for as many as it can
    """

    def __init__(self, size=256, block=512, completion_ns=0, solid=False, cache=CACHE,
                 mbps=0):
        self.number = next(NUMBERS)
        self.name = "disk%d" % self.number
        self.sectors = size * 2048
        self.config = os.path.join(CONFIG, self.name)
        os.mkdir(self.config)
        for name, value in (("size", size), ("blocksize", block), ("queue_mode", 2),
                            ("irqmode", 2 if completion_ns else 0),
                            ("completion_nsec", completion_ns),
                            ("memory_backed", 1), ("discard", 1),
                            ("submit_queues", 1), ("fua", 1), ("mbps", mbps),
                            ("cache_size", 0 if solid else cache)):
            write_file(os.path.join(self.config, name), value)
        self.path = "/dev/mapper/" + self.name
        self.power_on()
        if solid:
            run(["dd", "if=/dev/zero", "of=" + self.path, "bs=1M", "oflag=direct",
                 "count=%d" % size, "status=none"])

    def power_on(self):
        write_file(os.path.join(self.config, "power"), 1)
        self.base = self.find_base()
        mapper.create(self.name, self.linear())

    def find_base(self):
        index = read_file(os.path.join(self.config, "index"))
        for path in ("/dev/nullb" + index, "/dev/" + self.name):
            if os.path.exists(path):
                return path
        raise FileNotFoundError("the null_blk device of " + self.name)

    def linear(self):
        return "0 %d linear %s 0" % (self.sectors, self.base)

    def table(self, table):
        """Change the table under its user; what is in flight ends first."""
        run(["dmsetup", "reload", self.name, "--table", table])
        run(["dmsetup", "resume", self.name])

    def fail(self):
        """Every read and write fails from now on."""
        self.table("0 %d error" % self.sectors)

    def fail_writes(self):
        self.table("0 %d flakey %s 0 0 1 1 error_writes" % (self.sectors, self.base))

    def fail_reads(self, blocks):
        """Reads of these blocks of 4 KiB fail until they are written."""
        self.table("0 %d dust %s 0 4096" % (self.sectors, self.base))
        for message in ["addbadblock %d" % block for block in blocks] + ["enable"]:
            run(["dmsetup", "message", self.name, "0", *message.split()])

    def slow(self, milliseconds):
        """Below 50 ms dm-delay looks at the clock until it is time: in virtual time,
        where computing takes none, that is never."""
        self.table("0 %d delay %s 0 %d" % (self.sectors, self.base, milliseconds))

    def slow_between(self, first, end, milliseconds):
        """Only what is at these blocks of 4 KiB is slow."""
        self.middle(first, end, "delay {0} {1} %d" % milliseconds)

    def slow_writes_between(self, first, end, milliseconds):
        """Only writes to these blocks are slow; a flush is none."""
        self.middle(first, end, "delay {0} {1} 0 {0} {1} %d {0} {1} 0" % milliseconds)

    def middle(self, first, end, target):
        """A target of their own for these blocks."""
        rows = []
        for start, stop, text in ((0, first, "linear {0} {1}"), (first, end, target),
                                  (end, self.sectors // 8, "linear {0} {1}")):
            rows.append("%d %d %s" % (start * 8, (stop - start) * 8,
                                      text.format(self.base, start * 8)))
        self.table("\n".join(rows))

    def hang(self):
        """What is submitted from now on waits until resume()."""
        run(["dmsetup", "suspend", "--noflush", "--nolockfs", self.name])

    def resume(self):
        run(["dmsetup", "resume", self.name])

    def resume_quietly(self):
        if self.is_suspended():
            run(["dmsetup", "resume", self.name], check=False)

    def is_suspended(self):
        try:
            number = os.stat(self.path).st_rdev
            return read_file("/sys/dev/block/%d:%d/dm/suspended" %
                             (os.major(number), os.minor(number))) == "1"
        except FileNotFoundError:
            return False        # it has no table just now

    def truncate(self, mib):
        """The disk has lost its last so many MiB."""
        self.table("0 %d linear %s 0" % (self.sectors - mib * 2048, self.base))

    def heal(self):
        self.table(self.linear())

    def copy_from(self, other):
        """Become a copy of another disk, or of a file."""
        self.wipe()
        run(["dd", "if=" + getattr(other, "path", other), "of=" + self.path, "bs=1M",
             "conv=sparse,notrunc", "oflag=direct", "status=none"])

    def image(self, path):
        """Copy the disk as it is into a file."""
        run(["dd", "if=" + self.path, "of=" + path, "bs=1M", "conv=sparse",
             "iflag=direct", "status=none"])
        return path

    def wipe(self):
        run(["blkdiscard", self.path])

    def power_cut(self):
        """Lose what is in the write cache. Nobody may have the disk open."""
        self.power_off()
        self.power_on()

    def power_off(self):
        self.resume_quietly()
        self.unmap()
        write_file(os.path.join(self.config, "power"), 0)

    def is_open(self):
        """Does anybody hold it?"""
        return run(["dmsetup", "info", "-c", "--noheadings", "-o", "open",
                    self.name]).output.strip() != "0"

    def unmap(self):
        remove_table(self.name)

    def close(self):
        self.power_off()
        os.rmdir(self.config)


class LogFile(Disk):
    """Where a client keeps its log: a file on an ext4 that is on such a disk, so that it
    loses with a power cut what a file can lose."""

    def __init__(self, size=48):
        super().__init__(size)
        self.disk = self.path
        self.point = "/tmp/" + self.name
        self.path = self.point + "/client"
        os.mkdir(self.point)
        run(["mkfs.ext4", "-q", self.disk])
        self.mount()

    def mount(self):
        run(["mount", self.disk, self.point])

    def unmount(self):
        # Its loop device goes with its last user, a moment after that.
        wait_until("umount " + self.point, lambda: run(
            ["umount", self.point], check=False).status == 0, 10)

    def power_on(self):
        path, self.path = getattr(self, "path", None), "/dev/mapper/" + self.name
        super().power_on()
        self.path = path or self.path

    def power_cut(self):
        self.unmount()
        super().power_cut()
        self.mount()

    def wipe(self):
        """The file is lost."""
        os.unlink(self.path)

    def files(self):
        """What is there of a client."""
        return sorted(set(os.listdir(self.point)) - {"lost+found"})

    def close(self):
        self.unmount()
        super().close()
        os.rmdir(self.point)


class LoggedDisk(Disk):
    """A disk below which dm-log-writes keeps all that is written, data and order.

    number_logged: the device whose events in the kernel's trace say when it was given
    what is in the log, and when it was done with it; see tests/crash-states
    """

    LOG = 768       # MiB of memory at most, taken as they are used

    def find_base(self):
        below = super().find_base()
        self.log_name = self.name + "-log"
        self.log_disk = Disk(self.LOG)
        mapper.create(self.log_name, "0 %d log-writes %s %s" %
                      (self.sectors, below, self.log_disk.path))
        self.number_logged = os.stat("/dev/mapper/" + self.log_name).st_rdev
        self.log_ended = False
        return "/dev/mapper/" + self.log_name

    def mark(self, text):
        """Say in the log what happens next."""
        run(["dmsetup", "message", self.log_name, "0", "mark", text])

    def unmap(self):
        if not self.log_ended:
            super().unmap()
            remove_table(self.log_name)

    def end_log(self, path):
        """Write the log into a file; the disk is of no use after that."""
        status = run(["dmsetup", "status", self.log_name]).output.split()
        assert status[-1] != "logging_disabled", "%s: its log is full" % self.name
        self.unmap()
        self.log_ended = True
        # What was not flushed comes on top, when the table goes.
        mib = min(self.LOG, int(status[-1]) // 2048 + 64)
        run(["dd", "if=" + self.log_disk.path, "of=" + path, "bs=1M", "count=%d" % mib,
             "conv=sparse", "iflag=direct", "status=none"], timeout=120)

    def close(self):
        try:
            super().close()
        finally:
            self.log_disk.close()
