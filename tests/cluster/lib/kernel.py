# SPDX-License-Identifier: GPL-2.0
"""The kernel's log, and processes that nothing can end."""

import itertools
import os
import re
import time

from .shell import read_file, wait_until, write_file

# What must never be there, whatever a test does to the members.
BAD = re.compile(
    r"BUG: (?!KCSAN: data-race)|WARNING: |Oops|Kernel panic|general protection fault"
    r"|INFO: task .* blocked for more than|INFO: trying to register non-static key"
    r"|possible (recursive|circular) locking|inconsistent lock state"
    r"|suspicious RCU usage|bad unlock balance|held lock freed|invalid wait context"
    r"|KASAN: |UBSAN: |ODEBUG: |refcount_t: |list_(add|del) corruption"
    r"|scheduling while atomic|sleeping function called|Objects remaining in"
    r"|workqueue: .*flushing|Bad page state|qbd: .*invariant at \S+ does not hold")


class Log:
    """The kernel's log from now on."""

    def __init__(self):
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.fd, 0, os.SEEK_END)
        self.lines = []

    def read(self):
        """All lines so far."""
        while True:
            try:
                record = os.read(self.fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return self.lines
            except BrokenPipeError:
                self.lines.append("(lines were lost)")
                continue
            self.lines.append(record.partition(";")[2].split("\n")[0])

    def find(self, regex):
        """The lines that match."""
        return [line for line in self.read() if re.search(regex, line)]

    def bad(self):
        return [line for line in self.read() if BAD.search(line)]

    def close(self):
        os.close(self.fd)


def say(text):
    """Put a line into the kernel's log, to read it beside what happened."""
    with open("/dev/kmsg", "w") as log:
        log.write("test: %s\n" % text)


def uninterruptible():
    """Processes in state D: their name and where they wait."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as file:
                name, _, rest = file.read().partition(")")
            # Kernel threads have no executable and may rest in D.
            os.readlink("/proc/%s/exe" % pid)
        except OSError:
            continue
        if rest.split()[0] == "D":
            with open("/proc/%s/wchan" % pid) as file:
                found.append("%s) in %s" % (name, file.read()))
    return found


QUESTIONS = itertools.count()


def machine_seconds():
    """CPU time that this kernel has used, as its host has it: tests/cluster/run tells.

    Its own accounting is by ticks. What a timer begins with a tick and ends before the
    next one is not seen there at all, and that is what an idle member does.
    """
    path = "/run/result/cpu-%d" % next(QUESTIONS)
    write_file(path + ".question", "")
    wait_until("the host says what CPU time was used",
               lambda: os.path.exists(path + ".answer"))
    return float(read_file(path + ".answer"))


def disk_writes_within(seconds):
    """Do the disks of members get writes in so many seconds?"""
    def writes():
        with open("/proc/diskstats") as file:
            return {fields[2]: fields[7] for fields in map(str.split, file)
                    if fields[2].startswith("dm-")}
    before = writes()
    time.sleep(seconds)
    return writes() != before


def memory_in_use():
    """Bytes of memory that neither is free nor belongs to a file or a process."""
    with open("/proc/meminfo") as file:
        found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file}
    return found["MemTotal"] - sum(found[name] for name in (
        "MemFree", "Buffers", "Cached", "AnonPages", "PageTables", "SReclaimable"))
