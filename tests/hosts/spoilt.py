# SPDX-License-Identifier: GPL-2.0
"""Do the checks of tests on hosts find what they are there for?

Each function takes something that was just found good, does the harm that a bug would
do, and fails unless the same check complains.
"""

import collections
import struct

from device import tap
import linearizability


def found(check, what, words):
    try:
        check()
    except tap.Failure as failure:
        tap.check(words in str(failure), "%s: found, but for another reason: %s" %
                  (what, failure))
        tap.comment("%s: found" % what)
        return
    raise tap.Failure("%s: nobody noticed" % what)


def history(recorded):
    """A stale read: the last read of a block gave what the first one had given."""
    operations, _ = recorded.operations()
    reads = collections.defaultdict(list)
    for number, one in enumerate(operations):
        if one.kind == "read" and one.value:
            reads[one.block].append(number)
    block, mine = max(reads.items(), key=lambda item: len(item[1]))
    operations[mine[-1]] = operations[mine[-1]]._replace(value=operations[mine[0]].value)
    tap.equal(list(linearizability.check(operations)), [block],
              "a stale read in the history: blocks with a contradiction")
    tap.comment("a stale read in the history: found")


def take_over(recorded):
    """The claim had been taken before its holder's last write that was acknowledged."""
    operations, _ = recorded.operations()
    taken = recorded.taken[-1]
    last = max(one.invoke for one in operations if one.kind == "write" and
               one.outcome == "ok" and one.invoke < taken.begin and
               one.client.startswith("h%d." % taken.host))
    recorded.taken[-1] = taken._replace(begin=last - 0.5, end=last - 0.5)
    found(recorded.check, "a write of a host that was fenced", "fenced, and it wrote")


def databases(files):
    """A transaction that was acknowledged is taken out of each, properly."""
    for database in files.databases:
        there = database.check(files.host)
        for _ in range(there - database.acknowledged + 1):
            files.host.run("/qbd/transactions drop " + database.path)
        found(lambda: database.check(files.host), "a lost transaction in " + database.path,
              "was acknowledged; there are")


def replica(device, recorded):
    """One bit of a block in the data area of one member."""
    operations, _ = recorded.operations()
    last = max((one for one in operations if one.kind == "read" and one.value),
               key=lambda one: one.invoke)
    wanted = struct.pack("<QQ", last.value, last.block)
    path = device.hosts[1].disks[0]
    with open(path, "r+b") as disk:
        # The log has it, too, but it is in front.
        place = disk.read().rindex(wanted)
        disk.seek(place + 100)
        byte = disk.read(1)[0]
        disk.seek(place + 100)
        disk.write(bytes([byte ^ 1]))
    found(device.check_same_sums, "a bit of one replica", "different replicas")
