# SPDX-License-Identifier: GPL-2.0
"""One processor of the host for each guest.

A guest has one processor. Its kernel and its programs are processes of the host, which hand
over to each other at every system call and page fault. On two processors each time one wakes
the other, which costs much where the host is a virtual machine itself: a system call of a
guest took 55 us, and takes 15 us on one processor; a page fault 170 and 49, the start of a
program 20 and 10 ms.

Who is where is seen by locks on files, which end with who holds them: each processor has
places, and a guest takes the lowest one that is free, on any. When a lower one is left it
moves there, so no processor is idle while guests share another.
"""

import fcntl
import os
import tempfile

PLACES = 1000


def directory():
    path = os.path.join(tempfile.gettempdir(), "qbd-processors.%d" % os.getuid())
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def take_place(processors, below):
    """The lowest place that is free: (place, processor, lock), or None."""
    for place in range(below):
        for processor in processors:
            lock = os.open(os.path.join(directory(), "%d.%d" % (processor, place)),
                           os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            return place, processor, lock
    return None


def session_of(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            # The name before it may have anything in it.
            return int(file.read().rpartition(")")[2].split()[3])
    except (OSError, ValueError, IndexError):
        return None


def threads_of_session(session):
    for name in os.listdir("/proc"):
        if name.isdigit() and session_of(int(name)) == session:
            try:
                yield from map(int, os.listdir("/proc/%s/task" % name))
            except OSError:
                continue


class Processor:
    """The processor of one guest, from its start to its end."""

    def __init__(self):
        self.allowed = sorted(os.sched_getaffinity(0))
        self.place, self.number, self.lock = take_place(self.allowed, PLACES) or \
            (PLACES, self.allowed[0], None)

    def bind_self(self):
        """In the process that becomes the guest; who it starts inherits it."""
        os.sched_setaffinity(0, {self.number})

    def move_up(self, session):
        """Have the guest, a session of processes, move where there is more room."""
        better = take_place(self.allowed, self.place)
        if not better:
            return
        former = self.number
        if self.lock is not None:
            os.close(self.lock)
        self.place, self.number, self.lock = better
        if self.number == former:
            return
        # Who was started by one that had not moved yet is seen the next time.
        moved = True
        while moved:
            moved = False
            for thread in threads_of_session(session):
                try:
                    if os.sched_getaffinity(thread) != {self.number}:
                        os.sched_setaffinity(thread, {self.number})
                        moved = True
                except ProcessLookupError:
                    continue
