# SPDX-License-Identifier: GPL-2.0
"""What happens to the members of a run.

Each fault has random numbers of its own, made of the seed and its number, so that
leaving some out (tests/random/run --without) leaves the others what they are.

Disks are spoiled, replaced or made to fail only as far as everything acknowledged stays
safe elsewhere, by what Documentation/promises.rst assumes: one member at a time, while
all others are whole; one disk of a run rots, fails writes, or fails reads while its
member comes up; and a disk is replaced only while there is a leader, all other members
follow it, and none of them is in a later term.
"""

import collections
import random
import time

from lib import damage, kernel
from lib.damage import Damage
from lib.shell import Hung, wait_until

from plan import weather

# Virtual seconds that anything may take once nothing is in its way any more.
BOUND = 60


class Unfit(Exception):
    """The fault cannot be made now; the text says why."""


def sound(status):
    """It counts as a copy, by what it says of itself."""
    return not (status.failed or status.damaged or status.filling or
                status.problem.startswith("this disk is new"))


class Faults:
    def __init__(self, cluster, plan, clients, say, without=()):
        self.cluster = cluster
        self.plan = plan
        self.clients = clients
        self.say = say
        self.without = without
        self.number = 0
        self.counts = collections.Counter()
        self.cuts = set()           # (source, target), by faults
        self.dark = set()           # members without power
        self.hanging = {}           # member -> when its disk goes on
        self.faulty = set()         # members whose disk is slow or fails reads
        self.failing = set()        # members whose disk fails writes, to be replaced
        self.unsound = {}           # member -> what it has to have applied to be whole
        self.worst = None           # the member whose disk may be spoiled
        self.leaders = {}           # term -> number of who led
        self.settings = {}          # what all members were told
        self.source = None          # of the fault being made

    # ---- what is there ---------------------------------------------------

    @property
    def members(self):
        return self.cluster.members

    def statuses(self):
        """{member: status} of those that are up. No term may have two leaders."""
        found = {}
        for member in self.members:
            if member.is_up:
                status = found[member] = member.status()
                if status.role == "leader":
                    first = self.leaders.setdefault(status.term, member.number)
                    assert first == member.number, "members %d and %d led in term %d" % (
                        first, member.number, status.term)
        return found

    def leader_of(self, statuses):
        """One that leads, with the highest term; or None."""
        leading = [member for member, status in statuses.items()
                   if status.role == "leader"]
        return max(leading, key=lambda member: statuses[member].term, default=None)

    def note_sound(self, statuses):
        """Those that were spoiled and lack nothing any more are whole again."""
        leader = self.leader_of(statuses)
        for member, index in list(self.unsound.items()):
            status = statuses.get(member)
            if index is None and leader and statuses[leader].has_quorum:
                # What is committed now includes all that it ever acknowledged.
                self.unsound[member] = statuses[leader].commit_index
            elif index is not None and status and member not in self.failing and \
                    sound(status) and status.applied_index >= index:
                del self.unsound[member]

    def require_others_whole(self, victim):
        """May this member's disk be spoiled now? All others, and who leads them."""
        statuses = self.statuses()
        self.note_sound(statuses)
        others = [member for member in self.members if member is not victim]
        leader = self.leader_of(statuses)
        if leader is None or leader is victim:
            raise Unfit("nobody else leads")
        for member in others:
            status = statuses.get(member)
            if member in self.unsound or member in self.failing or status is None or \
                    not sound(status):
                raise Unfit("member %d is not whole" % member.number)
            if (status.leader, status.term) != (leader.number, statuses[leader].term):
                raise Unfit("member %d does not follow member %d" %
                            (member.number, leader.number))
        if victim in statuses and statuses[victim].term > statuses[leader].term:
            raise Unfit("it is in a later term")
        return statuses[leader].term

    def pick(self, members):
        if not members:
            raise Unfit("nobody is left for it")
        return self.source.choice(members)

    def pick_up(self):
        return self.pick([member for member in self.members if member.is_up])

    def pick_leader(self):
        leader = self.leader_of(self.statuses())
        if leader is None:
            raise Unfit("nobody leads")
        return leader

    # ---- network ---------------------------------------------------------

    def connect(self):
        """Have the network be what it should be."""
        pairs = set(self.cuts)
        numbers = [member.number for member in self.members]
        for member in self.dark:
            pairs |= {(member.number, other) for other in numbers if other != member.number}
            pairs |= {(other, member.number) for other in numbers if other != member.number}
        self.cluster.network.set_cuts(pairs)

    def cut_between(self, one, others):
        self.cuts |= {(one.number, other.number) for other in others if other is not one}
        self.cuts |= {(other.number, one.number) for other in others if other is not one}
        self.connect()

    def cut(self):
        one, other = self.source.sample(self.members, 2)
        self.cut_between(one, [other])
        return [one, other]

    def cut_one_way(self):
        one, other = self.source.sample(self.members, 2)
        self.cuts.add((one.number, other.number))
        self.connect()
        return [one, other]

    def isolate(self):
        member = self.pick(self.members)
        self.cut_between(member, self.members)
        return [member]

    def leader_isolate(self):
        leader = self.pick_leader()
        self.cut_between(leader, self.members)
        if self.source.random() < 0.5:
            self.hang(leader, self.source.uniform(0.1, 1.5))
        return [leader]

    def ring(self):
        """Everybody reaches two neighbours."""
        count = len(self.members)
        for member in self.members:
            self.cuts |= {(member.number, other.number) for other in self.members
                          if (member.number - other.number) % count not in
                          (0, 1, count - 1)}
        self.connect()

    def split(self):
        side = [member for member in self.members if self.source.random() < 0.5]
        for member in side:
            self.cut_between(member, [other for other in self.members if other not in side])
        return side

    def heal_network(self):
        self.cuts.clear()
        self.connect()

    def reset(self):
        one, other = self.source.sample(self.members, 2)
        self.cluster.network.reset(one.number, other.number)
        return [one, other]

    def weather(self):
        member = self.pick(self.members)
        words = weather(self.source, bad=True)
        self.cluster.network.shape(member.number, *words)
        return [member, " ".join(words)]

    # ---- power -----------------------------------------------------------

    def lose_power(self, members):
        """Nothing leaves these members and nothing reaches their disks any more.

        A disk of these tests has what it is given at once. So that writes under way are
        lost, too, disks may take nothing any more some time before.
        """
        members = [member for member in members if member.is_up]
        if self.source.random() < 0.5:
            for member in members:
                if member not in self.hanging:
                    member.disk.hang()
            milliseconds = self.source.uniform(0, 40)
            self.say("disks of %s take nothing any more for %.3f ms" % (members,
                                                                        milliseconds))
            time.sleep(milliseconds / 1000)
        self.dark |= set(members)
        self.connect()
        for member in members:
            member.disk.fail()
            self.hanging.pop(member, None)
            self.clients.excuse(member)
        for member in members:
            self.clients.tell_to_stop(member)
            member.down("--force")
            self.clients.wait(member)
        for member in members:
            member.disk.power_cut()
            self.faulty.discard(member)

    def bring_up(self, member):
        """Whether it is up then."""
        self.dark.discard(member)
        self.connect()
        self.resume(member)
        if member in self.faulty and member is not self.worst:
            self.heal_disk(member)
        wait_until("the disk of %r is free" % member,
                   lambda: not member.disk.is_open(), BOUND)
        may_fail = member in self.faulty
        result = member.up(check=not may_fail)
        if result.status:
            self.say("member %d does not come up: %s" % (member.number,
                                                         result.errors.strip()))
            return False
        self.clients.forgive(member)
        self.clients.start(member)
        return True

    def power_cut(self):
        member = self.pick_up()
        self.lose_power([member])
        return [member]

    def leader_power_cut(self):
        leader = self.pick_leader()
        self.lose_power([leader])
        if leader not in self.failing and self.source.random() < 0.3:
            self.bring_up(leader)
        return [leader]

    def minority_power_cut(self):
        """As many as may be lost at once, of those that are there."""
        count = (len(self.members) - 1) // 2
        members = self.source.sample(self.members, count)
        self.lose_power(members)
        return members

    def outage(self):
        """All lose power; most have it back at once, in any order."""
        self.lose_power(self.members)
        members = list(self.members)
        self.source.shuffle(members)
        for member in members:
            if member not in self.failing and self.source.random() < 0.8:
                self.bring_up(member)

    def power_on(self):
        member = self.pick([member for member in self.members if not member.is_up and
                            member not in self.failing])
        self.bring_up(member)
        return [member]

    def down(self):
        """In order if it can be: its clients may be waiting for a quorum."""
        member = self.pick_up()
        self.clients.excuse(member)
        self.clients.tell_to_stop(member)
        try:
            self.clients.wait(member, 1)
            member.down()
        except Hung:
            member.down("--force")
            self.clients.wait(member)
        return [member]

    # ---- disks -----------------------------------------------------------

    def hang(self, member, seconds):
        if member in self.hanging or not member.is_up:
            raise Unfit("it hangs, or is down")
        member.disk.hang()
        self.hanging[member] = time.monotonic() + seconds

    def resume(self, member):
        if self.hanging.pop(member, None) is not None:
            member.disk.resume()

    def heal_disk(self, member):
        self.resume(member)
        if member in self.faulty:
            member.disk.heal()
            self.faulty.discard(member)

    def hang_disk(self):
        member = self.pick_up()
        self.hang(member, self.source.choice((0.05, 0.3, 1, 4)) *
                  self.source.uniform(0.5, 1.5))
        return [member]

    def require_good_disk(self, member):
        if member in self.hanging or member in self.faulty or member in self.failing:
            raise Unfit("something is the matter with its disk already")

    def slow_disk(self):
        member = self.pick_up()
        self.require_good_disk(member)
        member.disk.slow(self.source.choice((50, 200, 500)))
        self.faulty.add(member)
        return [member]

    def read_errors(self):
        """Some blocks of log and data cannot be read; of the worst disk others, too."""
        member = self.pick_up()
        self.require_good_disk(member)
        if self.worst is None:
            self.require_others_whole(member)
            self.worst = member
        blocks = self.source.sample(range(damage.LOG_BLOCK, member.disk.sectors // 8 - 1),
                                    self.source.choice((1, 10, 200)))
        if member is self.worst:
            # It may lose records that way when it comes up.
            self.require_others_whole(member)
            self.unsound[member] = None
            blocks += self.source.sample(range(damage.JOURNAL_BLOCK, damage.LOG_BLOCK), 8)
        member.disk.fail_reads(blocks)
        self.faulty.add(member)
        return [member, "%d blocks" % len(blocks)]

    def write_errors(self):
        member = self.pick_up() if self.worst is None else self.worst
        self.require_good_disk(member)
        self.require_others_whole(member)
        if not member.is_up:
            raise Unfit("it is down")
        self.worst = member
        self.unsound[member] = None
        self.failing.add(member)
        if self.source.random() < 0.5:
            member.disk.fail_writes()
        else:
            member.disk.fail()
        return [member]

    def heal_disks(self):
        for member in self.members:
            self.heal_disk(member)

    def new_disk(self, member=None):
        """A member's disk is another one, made anew."""
        member = member or self.pick(sorted(self.failing, key=lambda one: one.number) or
                                     self.members)
        term = self.require_others_whole(member)
        if not member.is_up and member not in self.failing and \
                damage.current_state(member.disk)["term"] > term:
            raise Unfit("it was in a later term")
        self.lose_power([member])
        self.resume(member)
        wait_until("the disk of %r is free" % member,
                   lambda: not member.disk.is_open(), BOUND)
        self.failing.discard(member)
        self.faulty.discard(member)
        member.disk.heal()
        member.disk.wipe()
        self.cluster.create(member)
        self.unsound[member] = None
        self.bring_up(member)
        return [member]

    def rot(self):
        """Blocks that have checksums hold something else when the member comes up.

        Of what is there twice, one copy: one superblock; one state block, if both say the
        same.
        """
        member = self.pick(self.members) if self.worst is None else self.worst
        self.require_good_disk(member)
        term = self.require_others_whole(member)
        self.lose_power([member])
        found = damage.dump(member.disk)
        if damage.current_state(member.disk)["term"] > term:
            raise Unfit("it was in a later term")
        self.worst = member
        self.unsound[member] = None
        wrong = Damage(member.disk)
        slot = self.source.choice(damage.STATE_BLOCKS)
        if not damage.is_mirrored(found):
            slot = damage.TABLE_BLOCK
        what = []
        for _ in range(self.source.randint(1, 8)):
            block = self.block_to_rot(found, slot)
            what.append(block)
            if self.source.random() < 0.5:
                wrong.flip(block, self.source.randrange(4096))
            else:
                wrong.copy(self.block_to_rot(found, slot), block)
        self.bring_up(member)
        return [member, "blocks %s" % what]

    def block_to_rot(self, found, slot):
        superblock = found["superblocks"][0]
        state = next(state for state in found["states"] if state["current"])
        used = found["log"]["blocks_used"]
        kind = self.source.randrange(6)
        if kind == 0:
            return superblock["block"]
        if kind == 1:
            return slot
        if kind == 2:
            return damage.TABLE_BLOCK
        place = self.source.randrange(superblock["log_blocks"])
        # Rather where something is.
        if used and self.source.random() < 0.8:
            place = state["log_first_position"] + self.source.randrange(used)
        return superblock["log_block"] + place % superblock["log_blocks"]

    # ---- orders ----------------------------------------------------------

    def move(self):
        """May be refused: there may be no leader, or nobody fit."""
        member, target = self.pick_up(), self.pick(self.members)
        member.qbdadm("leader", "move", self.cluster.name, "--to", target.number,
                      check=False)
        return [member, target]

    def set(self, members, **settings):
        """Now, and whenever they come up again."""
        for member in members:
            own = self.settings.setdefault(member, {})
            own.update(settings)
            words = [word for name, value in sorted(settings.items())
                     for word in ("--" + name.replace("_", "-"), str(value))]
            member.options = ["--memory", self.plan.memory] + [
                word for name, value in sorted(own.items())
                for word in ("--" + name.replace("_", "-"), str(value))]
            if member.is_up:
                member.set(*words)

    def policy(self):
        """I/O without a quorum fails or waits."""
        member = self.pick_up()
        if self.source.random() < 0.6:
            grace = self.source.choice((0, 200, 2000))
            self.clients.expect_errors(member, True)
            self.set([member], no_quorum="error", no_quorum_grace=grace)
            return [member, "error after %d ms" % grace]
        self.set([member], no_quorum="suspend")
        self.clients.expect_errors(member, False)
        return [member, "suspend"]

    def election_timeout(self):
        """While all are up: who comes up with another one than it had breaks a rule."""
        if not all(member.is_up for member in self.members):
            raise Unfit("not all are up")
        timeout = self.source.choice((150, 200, 400, 800))
        self.set(self.members, election_timeout=timeout, heartbeat=timeout // 3)
        return ["%d ms" % timeout]

    def window(self):
        member = self.pick_up()
        size = self.source.choice(("2M", "4M", "8M"))
        self.set([member], window=size)
        return [member, size]

    def read_mode(self):
        mode = self.source.choice(("lease", "quorum"))
        self.set(self.members, read=mode)
        return [mode]

    # ---- one after the other ---------------------------------------------

    def step(self):
        """The next fault, and the time that passes after it."""
        self.number += 1
        self.source = random.Random("fault %d %d" % (self.plan.seed, self.number))
        kind = self.source.choices(self.plan.kinds, self.plan.weights)[0]
        pause = min(self.source.expovariate(1 / self.plan.pause), 4 * self.plan.pause)
        if self.number not in self.without:
            self.make(kind)
        self.pass_time(pause)

    def make(self, kind):
        kernel.say("fault %d: %s" % (self.number, kind))
        try:
            who = getattr(self, kind)() or []
        except Unfit as why:
            self.say("fault %d: %s: not now, %s" % (self.number, kind, why))
            return
        self.counts[kind] += 1
        self.say("fault %d: %s: %s" % (self.number, kind, ", ".join(map(str, who))))

    def pass_time(self, seconds):
        """Disks go on when it is their time."""
        end = time.monotonic() + seconds
        while True:
            next_end = min(list(self.hanging.values()) + [end])
            time.sleep(max(0.0, next_end - time.monotonic()))
            for member in [member for member, when in self.hanging.items()
                           if when <= time.monotonic()]:
                self.resume(member)
            if time.monotonic() >= end:
                break
        self.clients.check()

    # ---- healing ---------------------------------------------------------

    def majority(self):
        """As few members as can go on alone, none of which lacks anything."""
        self.source = random.Random("majority %d" % self.plan.seed)
        statuses = self.statuses()
        self.note_sound(statuses)
        whole = []
        for member in self.members:
            if member in self.unsound or member in self.failing or member in self.faulty \
                    and member is self.worst:
                continue
            status = statuses.get(member)
            if status and sound(status):
                whole.append(member)
            elif not status and damage.is_whole(member.disk):
                whole.append(member)
        needed = len(self.members) // 2 + 1
        if len(whole) < needed:
            raise Unfit("only %d members are whole" % len(whole))
        return sorted(self.source.sample(whole, needed), key=lambda one: one.number)

    def heal_only(self, members):
        """These are as they should be; the others are cut off and stay as they are."""
        outside = [member for member in self.members if member not in members]
        self.cuts.clear()
        for member in outside:
            self.cuts |= {(member.number, other.number) for other in self.members
                          if other is not member}
            self.cuts |= {(other.number, member.number) for other in self.members
                          if other is not member}
        self.connect()
        for member in members:
            self.heal_disk(member)
            self.cluster.network.shape(member.number, "delay", "0.25ms")
        for member in members:
            if not member.is_up:
                self.bring_up(member)
            self.set([member], no_quorum="suspend")
            self.clients.expect_errors(member, False)

    def heal_all(self):
        """All is made good; who cannot go on with its disk gets another one."""
        self.source = random.Random("healing %d" % self.plan.seed)
        self.heal_only(self.members_without(self.failing))
        self.cuts.clear()
        self.connect()

        def replaced():
            for member in sorted(self.failing, key=lambda one: one.number):
                try:
                    self.new_disk(member)
                except Unfit:
                    continue
            return not self.failing
        wait_until("failed disks may be replaced", replaced, BOUND, 0.2)
        for member in self.members:
            self.cluster.network.shape(member.number, "delay", "0.25ms")

    def members_without(self, some):
        return [member for member in self.members if member not in some]

    def wait_whole(self):
        """Until every member is up, follows one leader and lacks nothing."""
        last = {}

        def whole():
            last.clear()
            last.update(self.statuses())
            self.note_sound(last)
            leaders = {(status.leader, status.term) for status in last.values()}
            return len(last) == len(self.members) and len(leaders) == 1 and \
                not self.unsound and all(
                    status.has_quorum and status.leader and not (
                        status.filling or status.damaged or status.failed)
                    for status in last.values())
        try:
            wait_until("all members are whole", whole, 2 * BOUND, 0.2)
        except Hung as error:
            raise Hung("%s; %s" % (error, "; ".join(
                "member %d: %s" % (member.number, brief(status))
                for member, status in last.items()))) from None


def brief(status):
    words = ["%s %d of %d" % (status.role, status.leader or 0, status.term)]
    words += ["%s %d" % (name.split("_")[0], status[name]) for name in
              ("first_index", "last_index", "commit_index", "applied_index")]
    words += [name for name in ("failed", "damaged", "filling") if status[name]]
    return " ".join(words)
