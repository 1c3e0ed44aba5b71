# SPDX-License-Identifier: GPL-2.0
"""What must not be in the kernel log of a test."""

import re

# What the kernel prints when something is wrong with the kernel.  Messages
# about a failing disk or file system are not among them: tests provoke those
# and judge them.
BAD_LINES = re.compile(
    r"BUG: (?!KCSAN: data-race)|WARNING: |Oops: |Oops -|Kernel panic|general protection fault"
    r"|Unable to handle kernel|Kernel mode (fault|signal)"
    r"|INFO: task .* blocked for more than|INFO: trying to register non-static key"
    r"|soft lockup|hard lockup|rcu: INFO: |detected stall"
    r"|possible (recursive|circular) locking|inconsistent lock state"
    r"|suspicious RCU usage|bad unlock balance|held lock freed|still held"
    r"|invalid wait context|irq lock inversion|HARDIRQ-safe|SOFTIRQ-safe"
    r"|BUG \S+ \((Not tainted|Tainted)|KASAN: |UBSAN: |ODEBUG: |kmemleak: unreferenced"
    r"|refcount_t: |list_(add|del) (corruption|double add)|scheduling while atomic"
    r"|sleeping function called|Objects remaining (in|on) "
    r"|workqueue: .* is flushing !WQ_MEM_RECLAIM"
    r"|workqueue: WQ_MEM_RECLAIM .* is flushing"
    # The module's own: the core is at fault, whatever comes of it.
    r"|qbd: .*invariant at \S+ does not hold")


def bad_lines(text, expect=()):
    """The lines of a kernel log which say that the kernel is at fault."""
    return [line for line in text.splitlines()
            if BAD_LINES.search(line) and not any(re.search(e, line) for e in expect)]


# The functions that KCSAN calls an access, and how many of them may lie between the
# module's code and the access: lists, copies, checksums.
REPORT = re.compile(r"^BUG: KCSAN: (data-race in .*|assert: race in .*)$")
ACCESS = re.compile(r"^(\S.*) (to|of) 0x[0-9a-f]+ of (\d+) bytes? by |^race at unknown origin")
FRAME = re.compile(r"^ (\S+)\+0x[0-9a-f]+/0x[0-9a-f]+( \[\w+\])?")
STAMP = re.compile(r"^\[ *\d+\.\d+\] ?")
HELPERS = 2
# The kernel's own, whoever makes the other access.
KERNELS_OWN = [
    # A task changes its own flags, as memalloc_noio_save() does, while the scheduler
    # or the workqueue's tick looks at them.
    re.compile(r"\b(kthread_is_per_cpu|kthread_data|can_migrate_task|wq_worker_tick)\b"),
]


def data_races(text):
    """Reports of KCSAN in which the code of a module of ours makes one of the accesses."""
    found, report = [], None
    for line in text.splitlines():
        line = STAMP.sub("", line.rstrip())
        if REPORT.match(line):
            report = [line]
        elif report and line.startswith("====="):
            if concerns(report) and not any(own.search(report[0]) for own in KERNELS_OWN):
                found.append("\n".join(report))
            report = None
        elif report:
            report.append(line)
    return found


def concerns(report):
    depth = None
    for line in report:
        frame = FRAME.match(line)
        if ACCESS.match(line):
            depth = 0
        elif frame and depth is not None:
            if (frame.group(2) or "").startswith(" [qbd") and depth <= HELPERS:
                return True
            depth += 1
        elif not line:
            depth = None
    return False
