# SPDX-License-Identifier: GPL-2.0
"""Members that come and go at random under a mounted file system.

Seven hosts; one makes a device, others join, are removed, replaced, promoted, demoted,
lead, are cut off and lose power, all of it at the same time and without waiting for each
other. One host has a file system mounted, on which fio writes and verifies; now and then
it moves to another one. None of that may be noticed by fio, and at the end the file system
is sound and all replicas are equal. Meanwhile the device grows, its replicas are compared,
witnesses and a client come and go, and it is taken from who has it mounted (orders.py).

A command may be refused or give up: nothing keeps another one from being faster, or a
majority from being cut off just then. It says why in one line, and what the members then
are is what the leader's list says.
"""

import collections
import errno
import functools
import json
import os
import random
import subprocess
import time

from lib import kernel
from lib.cluster import Cluster
from lib.disks import Disk
from lib.filesystem import MKFS, POINT, Mount, check
from lib.shell import Hung, run, spawn, wait_until
from lib.workload import BLOCK, Child, direct_read, pattern
from orders import HOSTS, ROOM_MIB, ROOM_OF_ONE_MIB, SPARE_MIB, Orders, Refused

BOUND = 90
MEMBERS_FIRST = 3       # before anything else happens
LOOK_SECONDS = 0.5      # between two looks at who has been removed meanwhile
SIZE_MIB = 48           # at first
STEADY = POINT + "/steady"
STEADY_BLOCKS = 64
STEADY_READERS = 4
STEADY_SECONDS = 0.3    # between two reads of each
LOG_MIB = 8

KINDS = {
    "join": 4, "remove": 3, "replace": 3, "promote": 2, "demote": 2, "move": 3,
    "isolate": 2, "cut": 2, "heal_network": 5, "power_cut": 2, "power_on": 6,
    "move_mount": 1,
    "take_over": 1, "resize": 1, "verify": 1, "connect_client": 1, "witness": 1,
}
ALWAYS = ("join", "heal_network", "power_on")


class Plan:
    """What a seed decides before anything happens."""

    def __init__(self, seed, seconds=None, only=()):
        source = random.Random("churn %d" % seed)
        self.seed = seed
        self.members = HOSTS
        self.seconds = seconds or source.uniform(20, 40)
        kinds = [kind for kind in KINDS if source.random() < 0.7]
        self.kinds = sorted(set(only or kinds) | set(ALWAYS))
        # What was asked for shall come about.
        self.weights = [8 if kind in only else KINDS[kind] for kind in self.kinds]
        self.pause = source.choice((0.1, 0.3, 1))
        self.delay = source.choice(("0.05ms", "0.25ms", "2ms"))
        self.disk_ns = source.choice((0, 20000, 200000))
        self.follows = source.random() < 0.5
        self.think_us = source.choice((1000, 5000))

    def __str__(self):
        return ("%d hosts, one way %s, disks %d us, the leader %s the mount, a write each "
                "%d us; about %g s between: %s" % (
                    HOSTS, self.delay, self.disk_ns / 1000,
                    "follows" if self.follows else "does not follow", self.think_us,
                    self.pause, ", ".join(self.kinds)))


class Load:
    """fio on a mounted file system: writes a file in random order, verifies it, again."""

    def __init__(self, plan, directory, totals, slow_clock):
        self.plan = plan
        self.slow_clock = slow_clock
        self.directory = directory
        self.totals = totals
        self.round = 0
        self.process = None
        self.wanted = False
        self.is_lost = False        # its claim was taken: an error is what it has to get

    def command(self, *more):
        return ["env", "LD_PRELOAD=" + self.slow_clock, "fio", "--name=churn",
                "--directory=/tmp/mnt", "--nrfiles=4", "--filesize=1M",
                "--rw=randwrite", "--bsrange=4k-64k", "--blockalign=4k", "--direct=1",
                "--fsync=16", "--thinktime=%d" % self.plan.think_us,
                "--verify=crc32c", "--verify_fatal=1", "--do_verify=1",
                "--verify_state_save=0",
                "--randseed=%d" % (self.plan.seed * 1000 + self.round), "--thread",
                "--clocksource=clock_gettime", "--output-format=json",
                "--output=" + os.path.join(self.directory, "fio"), *more]

    def start(self):
        self.wanted = True
        self.is_lost = False
        self.begin_round()

    def begin_round(self):
        self.round += 1
        with open(os.path.join(self.directory, "fio-says"), "wb") as output:
            self.process = spawn(self.command(), stdout=output, stderr=output)

    def look(self):
        """It ends well or not at all."""
        if self.process is None or self.process.poll() is None:
            return False
        if self.is_lost and self.process.returncode:
            self.judge_lost()
            self.wanted = False
        else:
            self.judge(self.process.returncode)
        self.process = None
        if self.wanted:
            self.begin_round()
        return True

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def expect_error(self):
        self.is_lost = True

    def has_failed(self):
        """As it had to; a round that came to its end before is followed by another one."""
        self.look()
        return not self.wanted

    def says(self):
        with open(os.path.join(self.directory, "fio")) as file:
            text = file.read()
        with open(os.path.join(self.directory, "fio-says")) as file:
            return text, file.read()

    def judge_lost(self):
        """It was told so; not that what it read was wrong."""
        text, said = self.says()
        job, = json.loads(text[text.index("{"):])["jobs"]
        assert job["error"] in (errno.EIO, errno.EROFS) and "verify" not in said, \
            "round %d of fio: error %d: %s" % (self.round, job["error"], said[:600])

    def judge(self, status):
        text, said = self.says()
        assert status == 0 and not said, "round %d of fio: status %d: %s" % (
            self.round, status, (said + text)[:600])
        job, = json.loads(text[text.index("{"):])["jobs"]
        assert job["error"] == 0, "round %d of fio: error %d" % (self.round, job["error"])
        assert job["write"]["total_ios"], "fio wrote nothing"
        for what in ("write", "read"):
            self.totals[what] += job[what]["total_ios"]
        longest = job["write"]["clat_ns"]["max"] // 10**6
        self.totals["longest write, ms"] = max(longest, self.totals["longest write, ms"])

    def stop(self):
        """When the round is over."""
        self.wanted = False
        wait_until("fio ends round %d" % self.round,
                   lambda: self.process is None or self.look(), BOUND)

    def verify(self):
        """What the last round wrote, as another host reads it."""
        run(self.command("--verify_only=1"), timeout=BOUND)


class Steady:
    """One file is read where the file system is, now and then by each of some processes, and
    never changes. One that is given no answer waits, as fio does; others come later, when it is
    known that nobody leads."""

    def __init__(self):
        self.children = []

    def make(self):
        with open(STEADY, "wb") as file:
            file.write(b"".join(pattern(0, number) for number in range(STEADY_BLOCKS)))
        run(["sync", STEADY], timeout=BOUND)

    def start(self):
        self.children = [Child(functools.partial(self.work, random.Random(number)))
                         for number in range(STEADY_READERS)]

    def work(self, source, report):
        while True:
            time.sleep(source.uniform(0, 2 * STEADY_SECONDS))
            number = source.randrange(STEADY_BLOCKS)
            try:
                data = direct_read(STEADY, number * BLOCK, BLOCK)
            except OSError as error:
                report("error %d" % error.errno)
                return
            if data != pattern(0, number):
                report("block %d of the file that never changes is %r..." % (number, data[:32]))
                return

    def look(self, may_fail=False):
        """They go on; or they had to fail."""
        for child in self.children:
            if child.ended():
                said = child.lines[-1]
                assert may_fail and said.startswith("error"), said

    def stop(self, may_fail=False):
        self.look(may_fail)
        for child in self.children:
            child.kill(BOUND)
            child.close()
        self.children = []


class Pending:
    """A command that was given, and what to do when it has ended."""

    def __init__(self, text, process, path, hosts, done, answers):
        self.text = text
        self.process = process
        self.path = path
        self.hosts = hosts
        self.done = done
        self.answers = answers      # where its output goes, if it has any


class Churn(Orders):
    def __init__(self, cluster, plan, say, directory, without, slow_clock):
        self.cluster = cluster
        self.plan = plan
        self.say = say
        self.directory = directory
        self.without = without
        self.number = 0
        self.source = random.Random("start %d" % plan.seed)
        self.counts = collections.Counter()
        self.totals = collections.Counter()
        self.leaders = {}           # term -> id of who led
        self.ids = {}               # host -> its member id, while it is a member
        self.used_ids = set()
        self.pending = []
        self.given = 0
        self.outcomes = collections.Counter()
        self.gone = set()           # hosts that were removed, and perhaps not told
        self.unsure = set()         # hosts whose join did not end well
        self.cuts = set()
        self.dark = set()
        self.load = Load(plan, directory, self.totals, slow_clock)
        self.steady = Steady()
        self.home = None
        self.mount = None
        self.witnesses = set()
        self.client = cluster.member(HOSTS + 1) if cluster.clients else None
        self.first_mib = self.size_mib = SIZE_MIB
        self.growing = self.size_unsure = False
        self.note_member(cluster.member(1))

    # ---- what is there ---------------------------------------------------

    def note_member(self, host):
        self.ids[host] = host.status().member_id
        assert self.ids[host] not in self.used_ids, "id %d is used again" % self.ids[host]
        self.used_ids.add(self.ids[host])
        host.removed = False

    def statuses(self):
        found = {}
        for host in self.ids:
            if host.is_up:
                status = found[host] = host.status()
                if status.role == "leader":
                    first = self.leaders.setdefault(status.term, status.member_id)
                    assert first == status.member_id, "%d and %d led in term %d" % (
                        first, status.member_id, status.term)
        return found

    def leader(self):
        """(host, status) of who leads and has a quorum; or None."""
        leading = [(host, status) for host, status in self.statuses().items()
                   if status.role == "leader" and status.has_quorum]
        return max(leading, key=lambda pair: pair[1].term, default=None)

    def busy(self):
        return {host for pending in self.pending for host in pending.hosts}

    def pick(self, hosts, what):
        hosts = sorted(hosts, key=lambda host: host.number)
        if not hosts:
            raise Refused("there is no %s" % what)
        return self.source.choice(hosts)

    def pick_up(self):
        return self.pick([host for host in self.ids if host.is_up and host not in self.gone],
                         "member that is up")

    def pick_contact(self):
        """Nobody can connect to a client."""
        return self.pick([host for host in self.ids if host.is_up and host not in self.gone and
                          host is not self.client], "member that listens")

    def pick_members(self, what, most=1):
        """Some that may go: not who has the mount, nobody of whom something is wanted."""
        busy = self.busy()
        fit = sorted((host for host in self.ids if host is not self.home and
                      host not in busy and host not in self.gone and what(host)),
                     key=lambda host: host.number)
        if not fit:
            raise Refused("nobody is left for it")
        return self.source.sample(fit, min(len(fit), self.source.randint(1, most)))

    def listed(self, name):
        """Is a member that, by the leader's list?"""
        found = self.leader()
        if found is None:
            raise Refused("nobody leads")
        ids = {one["id"] for one in found[1]["members"] if one[name]}
        return lambda host: self.ids[host] in ids and host is not self.client

    # ---- commands --------------------------------------------------------

    def give(self, by, hosts, words, done=None, answers=None):
        """A command runs on a host; it concerns these."""
        self.given += 1
        path = os.path.join(self.directory, "command-%d" % self.given)
        with open(path, "wb") as output, open(answers or os.devnull, "wb") as answer:
            process = spawn(words, by.netns, stdout=answer, stderr=output)
        self.pending.append(Pending("%s# %s" % (by.name, " ".join(map(str, words))),
                                    process, path, hosts, done, answers))

    def collect(self):
        for pending in list(self.pending):
            status = pending.process.poll()
            if status is None:
                continue
            self.pending.remove(pending)
            with open(pending.path) as file:
                said = [line.strip() for line in file
                        if not line.startswith("qbdadm: warning:")]
            os.unlink(pending.path)
            # Why not, in one line; or nothing.
            answered = pending.answers and os.path.getsize(pending.answers)
            assert status >= 0 and len(said) == (bool(status) and not answered), \
                "%s: status %d: %s" % (pending.text, status, said)
            self.counts["refused" if status else "done"] += 1
            self.say("%s: %s" % (pending.text, said[0] if said else "done"))
            if pending.done:
                pending.done(status)

    def order(self, hosts, command, *arguments):
        by = self.pick_up()
        self.give(by, hosts, ["qbdadm", "member", command, self.cluster.name, *arguments])
        return [by, *hosts]

    def joined(self, host):
        host.is_up = True
        self.note_member(host)
        host.set("--claim-lease", "300", "--leader-follows",
                 "yes" if self.plan.follows else "no")

    def join(self, *more):
        busy = self.busy()
        host = self.pick([host for host in self.cluster.members if host not in self.ids and
                          host not in busy and host not in self.unsure and
                          host not in self.gone and host is not self.client],
                         "host that is no member")
        contact = self.pick_contact()
        if not more and self.source.random() < 0.3:
            more = ["--learner"]
        if "--witness" in more:
            self.witnesses.add(host)

        def done(status):
            if status:
                self.unsure.add(host)
                return
            self.joined(host)
            if host in self.witnesses:
                self.witness_joined(host)
        self.give(host, [host], self.cluster.join_command(host.number, *more,
                                                          contact=contact.number), done)
        return [host, *more]

    def remove(self):
        hosts = self.pick_members(lambda host: host is not self.client, 2)
        return self.order(hosts, "remove", *[self.ids[host] for host in hosts])

    def replace(self):
        learner, = self.pick_members(self.listed("learner"))
        voter, = self.pick_members(self.listed("voter"))
        return self.order([voter, learner], "replace", self.ids[voter], self.ids[learner])

    def promote(self):
        hosts = self.pick_members(self.listed("learner"), 2)
        return self.order(hosts, "promote", *[self.ids[host] for host in hosts])

    def demote(self):
        hosts = self.pick_members(self.listed("voter"), 2)
        return self.order(hosts, "demote", *[self.ids[host] for host in hosts])

    def move(self):
        by, target = self.pick_up(), self.pick(self.ids, "member")
        self.give(by, [], ["qbdadm", "leader", "move", self.cluster.name, "--to",
                           self.ids[target]])
        return [by, target]

    # ---- what became of them ---------------------------------------------

    def reconcile(self):
        """Who was removed is emptied; who was made a member by halves is removed."""
        found = self.leader()
        if found is None:
            return
        leader, status = found
        listed = {one["id"]: one for one in status["members"]}
        names = {one["name"]: one["id"] for one in status["members"]}
        for host in sorted(self.ids, key=lambda host: host.number):
            if self.ids[host] not in listed and host not in self.gone:
                assert host is not self.home, "who has the mount was removed"
                self.say("%r is a member no more" % host)
                self.gone.add(host)
        busy = self.busy()
        if self.client in busy:
            # What goes on there is seen when it has ended.
            self.gone.discard(self.client)
        for host in sorted(self.unsure - busy, key=lambda host: host.number):
            if host.name in names:
                self.give(leader, [host], ["qbdadm", "member", "remove", self.cluster.name,
                                           names[host.name]])
            else:
                self.empty(host)
                self.unsure.discard(host)
                self.witnesses.discard(host)
        for host in sorted(self.gone, key=lambda host: host.number):
            if host in self.dark or (host.is_up and self.is_to_hear(host, listed)):
                continue
            self.empty(host)
            self.gone.discard(host)
            del self.ids[host]
            if host in self.witnesses:
                self.witness_removed(host)

    def is_to_hear(self, host, listed):
        """It was removed, does not know it, and knows somebody who is to tell it."""
        status = host.status()
        return not status.removed and any(one["id"] in listed for one in status["members"])

    def empty(self, host):
        """Its disk is as new."""
        if host is self.client:
            self.empty_client()
            return
        host.down("--force", check=False)
        host.is_up = False
        wait_until("the disk of %r is free" % host, lambda: not host.disk.is_open(), BOUND)
        host.disk.wipe()
        host.removed = True

    # ---- faults ----------------------------------------------------------

    def connect(self):
        pairs = set(self.cuts)
        numbers = [host.number for host in self.cluster.members]
        for host in self.dark:
            for other in numbers:
                if other != host.number:
                    pairs |= {(host.number, other), (other, host.number)}
        self.cluster.network.set_cuts(pairs)

    def cut_between(self, one, others):
        for other in others:
            if other is not one:
                self.cuts |= {(one.number, other.number), (other.number, one.number)}
        self.connect()

    def isolate(self):
        host = self.home if self.source.random() < 0.3 else self.pick(self.ids, "member")
        self.cut_between(host, self.cluster.members)
        return [host]

    def cut(self):
        one, other = self.source.sample(self.cluster.members, 2)
        self.cut_between(one, [other])
        return [one, other]

    def heal_network(self):
        self.cuts.clear()
        self.connect()
        return []

    def power_cut(self):
        found = self.leader() if self.source.random() < 0.3 else None
        host, = self.pick_members(lambda host: host.is_up and (not found or host is found[0]))
        self.dark.add(host)
        self.connect()
        host.disk.fail()
        host.down("--force")
        host.disk.power_cut()
        return [host]

    def power_on(self):
        host = self.pick(self.dark, "member without power")
        self.dark.discard(host)
        self.connect()
        # It may have been removed: if its own disk says so it does not come up. That it was is
        # seen by the list: else it would be missed in the end.
        result = host.up(check=False)
        if result.status:
            assert "was removed from the device" in result.errors, result.errors
            self.say("%r: %s" % (host, result.errors.strip()))
        return [host]

    # ---- the file system -------------------------------------------------

    def settle(self):
        """Nothing is broken and nothing is under way."""
        self.heal_network()
        while self.dark:
            self.power_on()

        def settled():
            self.look()
            found = self.leader()
            return found and not self.pending and not self.gone and not self.unsure and \
                {one["id"] for one in found[1]["members"]} == set(self.ids.values()) and \
                not any(one[name] for one in found[1]["members"]
                        for name in ("leaving", "demoting", "voter_old"))
        try:
            wait_until("all changes have come to an end", settled, BOUND, LOOK_SECONDS)
        except Hung as error:
            raise Hung("%s; pending %s, gone %s, unsure %s, members %s" % (
                error, [pending.text for pending in self.pending], self.gone, self.unsure,
                self.ids)) from None

    def mount_on(self, host):
        self.home = host
        self.mount = Mount(host.device)
        self.mount.__enter__()
        if not os.path.exists(STEADY):
            self.steady.make()
        self.steady.start()

    def unmount(self):
        self.load.stop()
        self.steady.stop()
        self.mount.__exit__()
        self.mount = None

    def move_mount(self, host=None):
        self.settle()
        self.unmount()
        self.mount_on(host or self.pick_home(self.with_device()))
        host = self.home
        self.load.verify()
        self.load.start()
        if host is self.client:
            self.outcomes["mounts moved to a client"] += 1
        return [host]

    # ---- one after the other ---------------------------------------------

    def look(self):
        self.load.look()
        self.steady.look()
        self.collect()
        self.reconcile()

    def begin(self):
        for _ in range(MEMBERS_FIRST - 1):
            self.join()
        wait_until("%d are members" % MEMBERS_FIRST,
                   lambda: self.collect() or not self.pending, BOUND)
        home = self.pick([host for host in self.ids], "member")
        run([*MKFS["ext4"], home.device, "%dM" % (SIZE_MIB - SPARE_MIB)], timeout=BOUND)
        self.mount_on(home)
        self.load.start()

    def step(self):
        self.number += 1
        self.source = random.Random("churn %d %d" % (self.plan.seed, self.number))
        kind = self.source.choices(self.plan.kinds, self.plan.weights)[0]
        pause = min(self.source.expovariate(1 / self.plan.pause), 4 * self.plan.pause)
        if self.number not in self.without:
            self.make(kind)
        end = time.monotonic() + pause
        while True:
            self.look()
            left = end - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, LOOK_SECONDS))

    def make(self, kind):
        kernel.say("fault %d: %s" % (self.number, kind))
        try:
            who = getattr(self, kind)()
        except Refused as why:
            self.say("fault %d: %s: not now, %s" % (self.number, kind, why))
            return
        self.counts[kind] += 1
        self.say("fault %d: %s: %s" % (self.number, kind, ", ".join(map(str, who))))

    def end_rot(self):
        try:
            self.rot()
        except Refused as why:
            self.say("nothing rots: %s" % why)

    def end(self):
        """Everything is whole, and the same everywhere."""
        self.say("healing all")
        self.settle()
        if "witness" in self.plan.kinds:
            self.have_witness()
        if "resize" in self.plan.kinds:
            self.grow_once_more()
        self.unmount()
        check("ext4", self.home.device)

        def caught_up():
            found = self.leader()
            target = found[1].last_index if found else None
            return target and all(
                status.applied_index == target and not status.filling and
                not status.damaged and not status.failed
                for status in self.statuses().values())
        wait_until("all members have everything", caught_up, BOUND)
        self.check_sizes()
        if "verify" in self.plan.kinds:
            self.end_rot()
            self.verify_all()
        for host in self.ids:
            if host not in self.with_data():
                assert not host.status().store["data_writes"], host.status()
        for host in self.ids:
            host.down()
        equal = sorted(self.with_data(), key=lambda host: host.number)
        self.cluster.assert_equal(equal)
        self.say("%d members are equal: %s" % (len(equal), [self.ids[host] for host in equal]))


def play(plan, say, directory, summary, without, slow_clock):
    """One seed; what happened is in the summary, whatever comes of it."""
    clients = (HOSTS + 1,) if "connect_client" in plan.kinds else ()
    room = ROOM_MIB if "resize" in plan.kinds else 0
    least = SIZE_MIB + LOG_MIB + 8
    cluster = Cluster(HOSTS + len(clients), size="%dM" % SIZE_MIB,
                      disk_mib=least + room, log_size="%dM" % LOG_MIB,
                      disk_ns=plan.disk_ns, alone=True, follows=plan.follows, clients=clients)
    churn = None
    try:
        if room:
            small = cluster.member(HOSTS)
            small.disk.close()
            small.disk = Disk(least + ROOM_OF_ONE_MIB, completion_ns=plan.disk_ns)
        for host in cluster.members:
            cluster.network.shape(host.number, "delay", plan.delay)
        churn = Churn(cluster, plan, say, directory, without, slow_clock)
        churn.begin()
        end = time.monotonic() + plan.seconds
        while time.monotonic() < end:
            churn.step()
        churn.end()
        run(["rmmod", "qbd"])
        assert not cluster.log.bad(), "the kernel said: %s" % cluster.log.bad()[:5]
    except Exception:
        abandon(cluster, churn)
        raise
    finally:
        if churn:
            summary.update(faults=churn.counts, terms=len(churn.leaders),
                           outcomes=churn.outcomes,
                           operations={"write": churn.totals["write"],
                                       "read": churn.totals["read"]},
                           longest_write_ms=churn.totals["longest write, ms"])


def abandon(cluster, churn):
    """Nobody waits for anything any more: the machine could not end."""
    for host in cluster.members:
        host.disk.resume_quietly()
        host.down("--force", check=False)
    if churn and churn.mount:
        run(["umount", "-l", churn.mount.point], check=False)
