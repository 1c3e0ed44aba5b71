# SPDX-License-Identifier: GPL-2.0
"""What must not be in the kernel log of a test."""

import re

# What the kernel prints when something is wrong with the kernel.  Messages
# about a failing disk or file system are not among them: tests provoke those
# and judge them.
BAD_LINES = re.compile(
    r"BUG: |WARNING: |Oops: |Oops -|Kernel panic|general protection fault"
    r"|Unable to handle kernel|Kernel mode (fault|signal)"
    r"|INFO: task .* blocked for more than|INFO: trying to register non-static key"
    r"|soft lockup|hard lockup|rcu: INFO: |detected stall"
    r"|possible (recursive|circular) locking|inconsistent lock state"
    r"|suspicious RCU usage|bad unlock balance|held lock freed|still held"
    r"|invalid wait context|irq lock inversion|HARDIRQ-safe|SOFTIRQ-safe"
    r"|BUG kmalloc|KASAN: |UBSAN: |ODEBUG: |kmemleak: unreferenced"
    r"|refcount_t: |list_(add|del) corruption|scheduling while atomic"
    r"|sleeping function called|Objects remaining in"
    r"|workqueue: .* is flushing !WQ_MEM_RECLAIM"
    r"|workqueue: WQ_MEM_RECLAIM .* is flushing")


def bad_lines(text, expect=()):
    """The lines of a kernel log which say that the kernel is at fault."""
    return [line for line in text.splitlines()
            if BAD_LINES.search(line) and not any(re.search(e, line) for e in expect)]
