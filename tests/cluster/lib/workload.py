# SPDX-License-Identifier: GPL-2.0
"""Writers and readers that know what has been acknowledged.

All I/O on a device is done in processes of its own: the tests themselves must
stay free, whatever hangs.
"""

import fcntl
import mmap
import os
import signal
import struct
import sys
import time
import traceback
import zlib

from .shell import DEADLINE, Hung, stack_of, wait_until

BLOCK = 4096
HEADER = struct.Struct("<8sQQI")
MAGIC = b"qbdtests"


CHILDREN = []


class Child:
    """function(report) in a process of its own; report(text) sends a line."""

    def __init__(self, function):
        CHILDREN.append(self)
        read_end, write_end = os.pipe()
        # Nobody should have to wait for us to read.
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.pid = os.fork()
        if not self.pid:
            status = 1
            try:
                os.close(read_end)
                signal.alarm(0)
                function(lambda text: os.write(write_end, (text + "\n").encode()))
                status = 0
            except SystemExit as end:
                status = end.code
            except BaseException:
                try:
                    os.write(write_end, ("failed: %s\n" % traceback.format_exc()
                                         .replace("\n", " | ")).encode())
                except OSError:
                    pass
            finally:
                os._exit(status)
        os.close(write_end)
        self.pipe = read_end
        os.set_blocking(self.pipe, False)
        self.partial = b""
        self.lines = []
        self.status = None

    def read(self):
        """Lines that it has reported so far."""
        while True:
            try:
                data = os.read(self.pipe, 1 << 16)
            except BlockingIOError:
                break
            if not data:
                break
            *lines, self.partial = (self.partial + data).split(b"\n")
            self.lines += [line.decode() for line in lines]
        return self.lines

    def ended(self):
        self.read()
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self, timeout=DEADLINE):
        """Its end; it must have been a good one. Its lines."""
        try:
            wait_until("process %d ends" % self.pid, self.ended, timeout)
        except Hung as error:
            raise Hung("%s; it is in %s" % (error, stack_of(self.pid))) from None
        self.read()
        if self.status != 0:
            raise AssertionError("process failed (%d): %s" %
                                 (self.status, self.lines[-1:]))
        return self.lines

    def kill(self, timeout=DEADLINE):
        """End it, whatever it does; not even a hung one may stay."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            wait_until("killed process %d is gone (it is in %s)" %
                       (self.pid, stack_of(self.pid)), self.ended, timeout)

    def close(self):
        CHILDREN.remove(self)
        os.close(self.pipe)


def end_children():
    """After a test: nobody goes on working. Those that nothing can end."""
    stuck = []
    for child in list(CHILDREN):
        try:
            child.kill(5)
        except Hung as error:
            stuck.append(str(error))
        child.close()
    return stuck


def pattern(stamp, number):
    """A block that says which write it is from."""
    body = (b"%016x" % (stamp ^ number * 0x9e3779b97f4a7c15 & (1 << 64) - 1)) * 255
    body = body[:BLOCK - HEADER.size]
    return HEADER.pack(MAGIC, stamp, number, zlib.crc32(body)) + body


def parse(block):
    """(stamp, number) of a whole block, None for one of zeroes; else an error."""
    if not any(block):
        return None
    magic, stamp, number, checksum = HEADER.unpack_from(block)
    if magic != MAGIC or zlib.crc32(block[HEADER.size:]) != checksum:
        raise AssertionError("a torn or foreign block: %r" % block[:32])
    return stamp, number


def direct_buffer(data):
    buffer = mmap.mmap(-1, len(data))
    buffer.write(data)
    return buffer


def direct_read(path, offset, length):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, length)
    try:
        done = os.preadv(fd, [buffer], offset)
        assert done == length, "short read of %s: %d" % (path, done)
        return bytes(buffer)
    finally:
        os.close(fd)
        buffer.close()


def direct_write(path, offset, data):
    fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
    buffer = direct_buffer(data)
    try:
        done = os.pwritev(fd, [buffer], offset)
        assert done == len(data), "short write to %s: %d" % (path, done)
    finally:
        os.close(fd)
        buffer.close()


class Writer:
    """Writes numbered blocks in a ring until stopped, one at a time, each durable.

    path: a device, or a file on a mounted filesystem (sync: fsync after each)
    slots: ring size in blocks; pause: seconds between two writes
    """

    def __init__(self, path, slots=256, first_block=0, sync=False, pause=0.0, limit=None):
        self.path = path
        self.slots = slots
        self.first_block = first_block
        self.stamp = time.monotonic_ns()
        self.limit = limit
        self.believed = None
        self.child = Child(lambda report: self.work(report, sync, pause))

    def work(self, report, sync, pause):
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
        flags = os.O_RDWR | os.O_CREAT | (0 if sync else os.O_DIRECT)
        fd = os.open(self.path, flags, 0o600)
        number = 0
        while not stop and number != self.limit:
            number += 1
            data = pattern(self.stamp, number)
            start = time.monotonic()
            try:
                os.pwritev(fd, [data if sync else direct_buffer(data)],
                           self.offset(number))
                if sync:
                    os.fsync(fd)
            except OSError as error:
                report("error %.6f %d %s" % (time.monotonic(), number, error.strerror))
                sys.exit(1)
            now = time.monotonic()
            report("%d %.6f %.6f" % (number, now, now - start))
            if pause:
                time.sleep(pause)

    def offset(self, number):
        return (self.first_block + (number - 1) % self.slots) * BLOCK

    def records(self):
        """(number, when, how long) of what has been acknowledged."""
        return [(int(number), float(when), float(took)) for number, when, took in
                (line.split() for line in self.child.read()
                 if line[0].isdigit())]

    def acknowledged(self):
        records = self.records()
        return records[-1][0] if records else 0

    def wait_for(self, count, timeout=DEADLINE):
        """Until so many more writes have been acknowledged."""
        target = self.acknowledged() + count

        def there():
            if self.child.ended() and self.acknowledged() < target:
                raise AssertionError("the writer ended: %s" % self.child.lines[-1:])
            return self.acknowledged() >= target
        wait_until("%d more writes to %s" % (count, self.path), there, timeout)

    def failed_at(self):
        """When it got the error that ended it (monotonic)."""
        words = self.child.read()[-1].split()
        assert words[0] == "error", words
        return float(words[1])

    def longest(self, since=0.0):
        """The longest write that ended after a time (monotonic)."""
        return max([took for _, when, took in self.records() if when >= since] or [0.0])

    def stop(self, timeout=DEADLINE):
        """End it in order; how many writes were acknowledged."""
        if not self.child.ended():
            os.kill(self.child.pid, signal.SIGTERM)
        self.child.wait(timeout)
        return self.acknowledged()

    def kill(self):
        self.child.kill()

    def believe_until_now(self):
        """What is acknowledged from now on is the file system's word, not the device's.

        ext4 that has turned read-only after an error says of an fsync which was under
        way that it succeeded, though its transaction was thrown away (ext4_sync_file()).
        """
        self.believed = self.acknowledged()

    def verify(self, path=None, timeout=DEADLINE):
        """Every acknowledged write is there, or a later one to the same block."""
        last = self.acknowledged() if self.believed is None else self.believed
        path = path or self.path

        def work(report):
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            for number in range(max(1, last - self.slots + 1), last + 1):
                found = parse(os.pread(fd, BLOCK, self.offset(number)))
                ahead = (found[1] - number) if found and found[0] == self.stamp else -1
                if ahead < 0 or ahead % self.slots:
                    report("write %d was acknowledged; its block holds %s" %
                           (number, found))
                    sys.exit(1)
        child = Child(work)
        child.wait(timeout)
        child.close()
        return last


class Reader:
    """Reads blocks of a Writer's ring all the time; sees no number go back."""

    def __init__(self, path, writer):
        self.child = Child(lambda report: self.work(report, path, writer))

    def work(self, report, path, writer):
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
        newest = {}
        count = 0
        while not stop:
            slot = count % writer.slots
            found = parse(direct_read(path, (writer.first_block + slot) * BLOCK, BLOCK))
            number = found[1] if found and found[0] == writer.stamp else 0
            if number < newest.get(slot, 0):
                report("stale: block %d held write %d, now %d" %
                       (slot, newest[slot], number))
                sys.exit(1)
            newest[slot] = number
            count += 1
            report("%d" % count)

    def count(self):
        return len(self.child.read())

    def wait_for(self, count, timeout=DEADLINE):
        target = self.count() + count

        def there():
            if self.child.ended() and self.count() < target:
                raise AssertionError("the reader ended: %s" % self.child.lines[-1:])
            return self.count() >= target
        wait_until("%d more reads" % count, there, timeout)

    def stop(self, timeout=DEADLINE):
        if not self.child.ended():
            os.kill(self.child.pid, signal.SIGTERM)
        self.child.wait(timeout)

    def kill(self):
        self.child.kill()
