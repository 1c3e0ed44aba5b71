#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Is a history of reads and writes linearizable, block by block?

usage: tests/lib/linearizability.py FILE...
       tests/lib/linearizability.py --self-test

The files are parts of one history, in any order.  Each line is an operation on one
block, as JSON:

    {"client": "h1.3", "block": 7, "operation": "write", "value": 4711,
     "invoke": 1200, "return": 1450, "outcome": "ok"}

client      who did it, for reports only
block       any number or name: each block is a register of its own, since nothing is
            promised about the order in which one operation gets to its blocks
operation   "read", "write", or "zero" (discard, write-zeroes: a write of 0)
value       what was read or written; not needed for "zero" and for reads that gave
            nothing.  Each write of a block has a value that no other write of it has.
            0 is what a block holds at first, and what any number of "zero" write
invoke      when it began, and
return      when it had ended: integers of one clock for all clients.  Nanoseconds, or
            numbers that events took from one counter.  An operation precedes another
            one if its return is less than the other one's invoke
outcome     "ok"
            "failed": for certain.  It has had no effect and will have none
            "unknown": it may take effect at any time after invoke, or never, and needs
            no return. With "until", a time, at the latest then

A history is linearizable if each operation can be given a moment between its invoke and
its return so that every read gives what the last write before it wrote.

How it is decided.  What one value's write and its reads demand is a zone (Gibbons and
Korach, Testing Shared Memories, SIAM J. Comput. 26, 1997): with F, the first return of
these operations, and S, their last invoke, the block must hold the value from F to S, if
F < S (a forward zone), else at one moment between S and F (a backward zone), which may
be any.  So forward zones must not overlap, and no backward zone may lie within a forward
one.  Zeroes have no write of their own.  Nothing fits within a forward zone, so each is
taken for a moment, at which the block ceases to be zero, and the rest is one walk through
time: a block that is zero stays so until a zone must not wait any longer, and one that
is not until a read of zero, or a zeroing, must not.  A read of zero then takes the open
zeroing that has to be done first.  (It is best to wait: what is zero serves reads of
zero at no cost, what is not serves zones; turning is what zeroings are needed for.  So a
zeroing that need not be at all is done as well, at its last moment, unless it lies within a
forward zone.)  It takes n log n steps.

Exit status: 0 linearizable, 1 not (with what contradicts, for each block), 2 the files
are not such a history.
"""

import collections
import heapq
import json
import random
import sys

OUTCOMES = ("ok", "failed", "unknown")
KINDS = ("read", "write", "zero")
NEVER = float("inf")

Operation = collections.namedtuple(
    "Operation", "client block kind value invoke end outcome")

# What the write of a value and its reads demand: from forward[0] to forward[1] the
# block holds it, or at one moment in this interval.
Zone = collections.namedtuple("Zone", "value low high forward operations")


class Malformed(Exception):
    """This is no history; the text says why."""


def describe(operation):
    end = "..." if operation.end == NEVER else operation.end
    value = "" if operation.kind == "zero" else " %s" % operation.value
    outcome = "" if operation.outcome == "ok" else " (%s)" % operation.outcome
    return "[%s, %s] %s %s%s%s" % (operation.invoke, end, operation.client,
                                   operation.kind, value, outcome)


def integer(fields, name):
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed("'%s' is %r, not an integer" % (name, value))
    return value


def operation_of(fields):
    """The operation that a line describes."""
    if not isinstance(fields, dict):
        raise Malformed("not an object")
    kind, outcome = fields.get("operation"), fields.get("outcome")
    if kind not in KINDS:
        raise Malformed("'operation' is %r, not one of %s" % (kind, ", ".join(KINDS)))
    if outcome not in OUTCOMES:
        raise Malformed("'outcome' is %r, not one of %s" % (outcome, ", ".join(OUTCOMES)))
    if not isinstance(fields.get("block"), (int, str)):
        raise Malformed("'block' is %r" % fields.get("block"))
    invoke = integer(fields, "invoke")
    end = NEVER
    if outcome == "ok":
        end = integer(fields, "return")
    elif outcome == "unknown" and fields.get("until") is not None:
        end = integer(fields, "until")
    if end < invoke:
        raise Malformed("ends at %d, before it began at %d" % (end, invoke))
    value = 0
    if kind == "write" or (kind == "read" and outcome == "ok"):
        value = integer(fields, "value")
    if kind == "write" and value == 0:
        raise Malformed("a write of 0 is a \"zero\"")
    return Operation(fields.get("client", "?"), fields["block"], kind, value, invoke, end,
                     outcome)


def load(paths):
    """The operations in these files."""
    operations = []
    for path in paths:
        with open(path) as lines:
            for number, line in enumerate(lines, 1):
                try:
                    operations.append(operation_of(json.loads(line)))
                except (ValueError, Malformed) as error:
                    raise Malformed("%s:%d: %s" % (path, number, error)) from None
    return operations


def check(operations):
    """{block: [line, ...]}: what contradicts, for each block that is not linearizable."""
    blocks = collections.defaultdict(list)
    for operation in operations:
        blocks[operation.block].append(operation)
    wrong = {}
    for block, mine in blocks.items():
        contradiction = check_block(mine)
        if contradiction:
            text, witnesses = contradiction
            wrong[block] = [text] + ["  " + describe(operation) for operation in
                                     sorted(witnesses, key=lambda one: one.invoke)]
    return wrong


def check_block(operations):
    """None, or (what is wrong, the operations that show it)."""
    writes = {}
    for operation in operations:
        if operation.kind == "write":
            if operation.value in writes:
                raise Malformed("block %s: two writes of the value %s" %
                                (operation.block, operation.value))
            writes[operation.value] = operation
    reads = collections.defaultdict(list)
    for operation in operations:
        if operation.kind == "read" and operation.outcome == "ok":
            reads[operation.value].append(operation)
    zeroings = [one for one in operations if one.kind == "zero" and
                one.outcome != "failed"]
    zeroes = reads.pop(0, [])
    for value, mine in reads.items():
        contradiction = never_written(value, writes.get(value), mine)
        if contradiction:
            return contradiction
    zones = [zone_of(write, reads.get(value, [])) for value, write in writes.items()
             if write.outcome == "ok" or value in reads]
    forward = sorted((zone for zone in zones if zone.forward), key=lambda zone: zone.low)
    for one, other in zip(forward, forward[1:]):
        if other.low < one.high:
            return ("%s and %s: each has to be there before the other one is gone" %
                    (one.value, other.value), extremes(one) + extremes(other))
    return walk(forward, [zone for zone in zones if not zone.forward], zeroes, zeroings)


def never_written(value, write, reads):
    """A value that was read before somebody wrote it, or that nobody wrote."""
    if write is None:
        return "nobody wrote %s" % value, reads[:1]
    if write.outcome == "failed":
        return "the write of %s failed for certain" % value, [write, reads[0]]
    for read in reads:
        if read.end < write.invoke:
            return "%s was read before it was written" % value, [read, write]
    return None


def zone_of(write, reads):
    first = min([write.end] + [read.end for read in reads])
    last = max([write.invoke] + [read.invoke for read in reads])
    return Zone(write.value, min(first, last), max(first, last), first < last,
                [write] + reads)


def extremes(zone):
    """The operations that give a zone its ends, and the write."""
    return list(dict.fromkeys([zone.operations[0],
                               min(zone.operations, key=lambda one: one.end),
                               max(zone.operations, key=lambda one: one.invoke)]))


class Outside:
    """Moves what begins or ends within a forward zone out of it."""

    def __init__(self, forward):
        self.forward = forward      # sorted, none overlaps another one
        self.lows = [zone.low for zone in forward]

    def around(self, moment):
        """The zone that has this moment strictly inside."""
        # The last zone that begins before it.
        low, high = 0, len(self.lows)
        while low < high:
            middle = (low + high) // 2
            if self.lows[middle] < moment:
                low = middle + 1
            else:
                high = middle
        zone = self.forward[low - 1] if low else None
        return zone if zone and moment < zone.high else None

    def interval(self, low, high):
        """What is left of an interval, and the zone in which all of it lies, if so."""
        around_low, around_high = self.around(low), self.around(high)
        if around_low and around_low is around_high:
            return low, high, around_low
        return (around_low.high if around_low else low,
                around_high.low if around_high else high, None)


# The order of what happens at the same moment: what has equal times is concurrent.
OPEN, DEADLINE, FORWARD = range(3)


def walk(forward, backward, zeroes, zeroings):
    """One walk through time, see above."""
    outside = Outside(forward)
    events = [(zone.low, FORWARD, 0, "forward", zone) for zone in forward]
    items = [("zone", zone.low, zone.high, zone) for zone in backward]
    items += [("read", read.invoke, read.end, read) for read in zeroes]
    items += [("zeroing", one.invoke, one.end, one) for one in zeroings]
    for number, (what, low, high, item) in enumerate(items):
        low, high, inside = outside.interval(low, high)
        if inside and what == "zeroing" and item.outcome == "unknown":
            continue                # it was never done
        if inside:
            return ("all the time the block had to hold %s" % inside.value,
                    extremes(inside) + (extremes(item) if what == "zone" else [item]))
        events.append((low, OPEN, number, what, high))
        if high != NEVER:
            events.append((high, DEADLINE, number, what, item))
    events.sort(key=lambda event: event[:3])

    zero = True
    last_zone = None
    waiting = set()             # open zones while it is zero, else open reads of zero
    open_zeroings = []          # a heap: (deadline, number)
    used = set()                # zeroings that have been done
    for moment, order, number, what, item in events:
        if what == "forward":
            # Zones that wait have their moment before it; reads go on waiting.
            if zero:
                waiting.clear()
            zero, last_zone = False, item
        elif order == OPEN:
            if what == "zeroing":
                heapq.heappush(open_zeroings, (item, number))
            elif (what == "read") != zero:
                waiting.add(number)
        elif what == "zeroing":
            # All that waits has its moment now: zones before it, reads behind it.
            if number not in used:
                used.add(number)
                zero = True
                waiting.clear()
        elif number in waiting:
            if what == "zone":
                last_zone = item
            else:
                while open_zeroings and open_zeroings[0][1] in used:
                    heapq.heappop(open_zeroings)
                if not open_zeroings:
                    return ("0 was read after %s had to be there" % last_zone.value,
                            extremes(last_zone) + [item])
                used.add(heapq.heappop(open_zeroings)[1])
            zero = not zero
            waiting.clear()
    return None


# The self-test.

def search(operations):
    """Whether one block's history is linearizable, by trying every order."""
    operations = [one for one in operations if one.outcome == "ok" or
                  (one.outcome == "unknown" and one.kind != "read")]
    must = sum(1 << number for number, one in enumerate(operations)
               if one.outcome == "ok")
    seen = set()

    def go_on(done, value):
        if done & must == must:
            return True
        if (done, value) in seen:
            return False
        seen.add((done, value))
        left = [number for number in range(len(operations)) if not done >> number & 1]
        limit = min(operations[number].end for number in left if must >> number & 1)
        for number in left:
            one = operations[number]
            if one.invoke > limit or (one.kind == "read" and one.value != value):
                continue
            # What need not be, and would have been before this one, is not any more.
            gone = sum(1 << other for other in left if operations[other].end < one.invoke)
            if go_on(done | gone | 1 << number, value if one.kind == "read" else one.value):
                return True
        return False
    return go_on(0, 0)


def operation(kind, value, invoke, end, outcome="ok", client="a", block=0):
    if outcome == "until":
        outcome = "unknown"
    elif outcome != "ok":
        end = NEVER
    return Operation(client, block, kind, value, invoke, end, outcome)


# name, is it linearizable, operations: kind, value, invoke, return, outcome ("until":
# unknown, at the latest by then)
BY_HAND = (
    ("nothing", True, ()),
    ("a write and its read", True, (("write", 1, 1, 2), ("read", 1, 3, 4))),
    ("zero at first", True, (("read", 0, 1, 2), ("write", 1, 3, 4), ("read", 1, 5, 6))),
    ("a lost write", False, (("write", 1, 1, 2), ("read", 0, 3, 4))),
    ("a stale read", False, (("write", 1, 1, 2), ("write", 2, 3, 4), ("read", 1, 5, 6))),
    ("a read that goes back", False, (("write", 1, 1, 2), ("write", 2, 3, 9),
                                      ("read", 2, 4, 5), ("read", 1, 6, 7))),
    ("reads on both sides of a write under way", True,
     (("write", 1, 1, 2), ("write", 2, 3, 9), ("read", 1, 4, 5), ("read", 2, 6, 7))),
    ("a value of nobody", False, (("write", 1, 1, 2), ("read", 3, 3, 4))),
    ("read before it was written", False, (("read", 1, 1, 2), ("write", 1, 3, 4))),
    ("what failed was read", False, (("write", 1, 1, 2, "failed"), ("read", 1, 3, 4))),
    ("what failed was not read", True, (("write", 1, 1, 2, "failed"), ("read", 0, 3, 4))),
    ("unknown, and read late", True,
     (("write", 1, 1, 2, "unknown"), ("read", 0, 3, 4), ("read", 1, 5, 6))),
    ("unknown, and never seen", True, (("write", 1, 1, 2, "unknown"), ("read", 0, 3, 4))),
    ("unknown, seen and gone", False,
     (("write", 1, 1, 2, "unknown"), ("read", 1, 3, 4), ("read", 0, 5, 6))),
    ("unknown, between two others", True,
     (("write", 1, 1, 2, "unknown"), ("write", 2, 3, 4), ("read", 2, 5, 6),
      ("read", 1, 7, 8))),
    ("unknown until, and read later", True,
     (("write", 1, 1, 5, "until"), ("read", 0, 2, 3), ("read", 1, 6, 7))),
    ("unknown until, and never seen", True,
     (("write", 1, 1, 5, "until"), ("read", 0, 6, 7))),
    ("unknown until, and it landed later", False,
     (("write", 1, 1, 5, "until"), ("read", 0, 6, 7), ("read", 1, 8, 9))),
    ("a write that happened twice", False,
     (("write", 1, 1, 9), ("read", 1, 2, 3), ("write", 2, 4, 5), ("read", 1, 6, 7))),
    ("two zones that overlap", False,
     (("write", 1, 1, 3), ("write", 2, 2, 3), ("read", 2, 4, 5), ("read", 1, 6, 7),
      ("read", 2, 8, 9))),
    ("zeroed", True, (("write", 1, 1, 2), ("zero", 0, 3, 4), ("read", 0, 5, 6))),
    ("zeroed and still there", False,
     (("write", 1, 1, 2), ("zero", 0, 3, 4), ("read", 1, 5, 6))),
    ("one zeroing, zero twice", False,
     (("write", 1, 1, 2), ("zero", 0, 3, 12), ("read", 0, 4, 5), ("write", 2, 6, 7),
      ("read", 0, 8, 9))),
    ("two zeroings, zero twice", True,
     (("write", 1, 1, 2), ("zero", 0, 3, 12), ("zero", 0, 3, 5), ("read", 0, 4, 5),
      ("write", 2, 6, 7), ("read", 0, 8, 9))),
    ("the wrong zeroing would be too late", True,
     (("write", 1, 1, 2), ("zero", 0, 3, 5), ("zero", 0, 3, 20), ("read", 0, 3, 6),
      ("write", 2, 7, 8), ("read", 2, 9, 10), ("read", 0, 11, 12))),
    ("an unknown zeroing", True,
     (("write", 1, 1, 2), ("zero", 0, 3, 3, "unknown"), ("read", 1, 4, 5),
      ("read", 0, 6, 7))),
    ("an unknown zeroing serves once", False,
     (("write", 1, 1, 2), ("zero", 0, 3, 3, "unknown"), ("read", 0, 4, 5),
      ("write", 2, 6, 7), ("read", 0, 8, 9))),
    ("a zeroing until, and then zero", True,
     (("write", 1, 1, 2), ("zero", 0, 3, 5, "until"), ("read", 0, 6, 7))),
    ("a zeroing until, and zero later", False,
     (("write", 1, 1, 2), ("zero", 0, 3, 5, "until"), ("read", 1, 6, 7),
      ("read", 0, 8, 9))),
    ("a zeroing until, within a zone", True,
     (("write", 1, 1, 2), ("zero", 0, 4, 5, "until"), ("read", 1, 8, 9))),
    ("a zeroing that failed", False,
     (("write", 1, 1, 2), ("zero", 0, 3, 3, "failed"), ("read", 0, 4, 5))),
    ("a zeroing within a zone", False,
     (("write", 1, 1, 2), ("zero", 0, 4, 5), ("read", 1, 8, 9))),
)


def random_history(source):
    """A small history: of a register that is right, or of a dice."""
    size = source.randint(2, 8)
    honest = source.random() < 0.5
    span = source.choice((6, 12, 24))
    moments = sorted((source.randint(0, span), source.randint(0, span))
                     for _ in range(size))
    history, effects, next_value = [], [], 1
    for begin, length in moments:
        kind = source.choice(("read", "read", "write", "zero"))
        outcome = source.choice(("ok",) * 6 + ("unknown", "until", "failed"))
        value = 0
        if kind == "write":
            value, next_value = next_value, next_value + 1
        one = operation(kind, value, begin, begin + length // 2, outcome)
        history.append(one)
        moment = source.uniform(one.invoke, min(one.end, span * 2))
        effects.append((moment, len(history) - 1))
    value = 0
    for _, number in sorted(effects):
        one = history[number]
        if one.kind == "read":
            found = value if honest else source.randint(0, next_value)
            history[number] = one._replace(value=found)
        elif one.outcome == "ok" or (one.outcome == "unknown" and source.random() < 0.5):
            value = one.value
    if honest and source.random() < 0.5:
        # Nearly right.
        number = source.randrange(size)
        if history[number].kind == "read":
            history[number] = history[number]._replace(
                value=source.randint(0, next_value))
    return history


def large_history(source, count, blocks, clients):
    """A history of a register that is right, with many operations under way."""
    values = [0] * blocks
    history = []
    idle = [(0, client) for client in range(clients)]
    for number in range(1, count + 1):
        begin, client = heapq.heappop(idle)
        end = begin + source.randint(1, 2000)
        heapq.heappush(idle, (end + source.randint(1, 100), client))
        kind = source.choice(("read", "read", "read", "write", "write", "zero"))
        history.append(operation(kind, number if kind == "write" else 0, begin, end,
                                 client=client, block=source.randrange(blocks)))
    for moment, number in sorted((source.uniform(one.invoke, one.end), number)
                                 for number, one in enumerate(history)):
        one = history[number]
        if one.kind == "read":
            history[number] = one._replace(value=values[one.block])
        else:
            values[one.block] = one.value
    return history


def lines_of(history):
    """The lines of a file with these operations."""
    return [json.dumps({"client": one.client, "block": one.block, "operation": one.kind,
                        "value": one.value, "invoke": one.invoke,
                        "return" if one.outcome == "ok" else "until":
                        None if one.end == NEVER else one.end, "outcome": one.outcome})
            for one in history]


def self_test():
    # Here, so that who only checks a history needs this one file.
    import os
    import subprocess
    import tempfile
    import time
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import tap

    tests = tap.Tests()
    seed = int(os.environ.get("QBD_TEST_SEED", 1))

    def program(lines):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("".join(line + "\n" for line in lines))
            file.flush()
            return subprocess.run([sys.executable, __file__, file.name],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=60)

    @tests.test("histories made by hand, good ones and bad ones")
    def _():
        for name, good, rows in BY_HAND:
            history = [operation(*row) for row in rows]
            tap.equal(search(history), good, "by search: " + name)
            tap.equal(not check(history), good, name)

    @tests.test("random small histories: the same as by trying every order")
    def _():
        source = random.Random(seed)
        found = collections.Counter()
        for number in range(60000):
            history = random_history(source)
            good = search(history)
            found[good] += 1
            tap.check((not check(history)) == good, "history %d of seed %d is %s:\n%s" % (
                number, seed, "good" if good else "bad",
                "\n".join(map(describe, history))))
        tap.comment("seed %d: %d linearizable, %d not" % (seed, found[True],
                                                          found[False]))
        tap.check(min(found[True], found[False]) > 5000, "one-sided: %s" % dict(found))

    @tests.test("100,000 operations within 10 seconds; one stale read among them is found")
    def _():
        source = random.Random(seed)
        history = large_history(source, 100000, 64, 12)
        # Its own time on a processor, whatever runs beside it.
        begin = os.times()
        result = program(lines_of(history))
        end = os.times()
        took = (end.children_user + end.children_system -
                begin.children_user - begin.children_system)
        tap.comment("%s in %.1f s" % (result.stdout.strip(), took))
        tap.equal(result.returncode, 0, "the good history, its status")
        tap.check(took < 10, "it took %.1f s" % took)
        # The last read of a block: the first value that was ever read there.
        for block in range(8):
            bad = list(history)
            mine = [number for number, one in enumerate(history) if one.block == block and
                    one.kind == "read" and one.value]
            bad[mine[-1]] = bad[mine[-1]]._replace(value=bad[mine[0]].value)
            tap.equal(list(check(bad)), [block], "blocks with a contradiction")

    @tests.test("the program: status 1 with the witnesses, 2 for what is no history")
    def _():
        stale = [operation(*row) for row in dict(
            (name, rows) for name, _, rows in BY_HAND)["a stale read"]]
        result = program(lines_of(stale))
        tap.comment(result.stdout)
        tap.equal(result.returncode, 1, "status for a stale read")
        tap.check("read 1" in result.stdout, "the witness is not shown")
        good = lines_of(stale)[0]
        for bad in ("{", "[]", "{}", good.replace("ok", "fine"),
                    good.replace('"write"', '"append"'), good.replace(": 2", ": 0"),
                    good + "\n" + good):
            result = program([bad])
            tap.comment(result.stdout)
            tap.equal(result.returncode, 2, "status for " + bad)
            tap.equal(len(result.stdout.splitlines()), 1, "lines about " + bad)

    tests.run()


def main(words):
    if words == ["--self-test"]:
        return self_test()
    if words in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    if not words or any(word.startswith("-") for word in words):
        print("linearizability: name files with histories (see --help)", file=sys.stderr)
        return 2
    try:
        operations = load(words)
        wrong = check(operations)
    except (Malformed, OSError, UnicodeDecodeError) as error:
        print("linearizability: %s" % error, file=sys.stderr)
        return 2
    for block, lines in wrong.items():
        print("block %s: not linearizable: %s" % (block, "\n".join(lines)))
    print("%d operations on %d blocks: %s" % (
        len(operations), len({one.block for one in operations}),
        "%d blocks are not linearizable" % len(wrong) if wrong else "linearizable"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
