#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""One seed in a User-mode Linux guest with virtual time; started by run.

usage: guest.py CLIENT SEED MEMBERS SECONDS [--churn LIBRARY] [--kinds KIND,...]
                [--without FAULT,...]

MEMBERS and SECONDS are 0 for what the seed says; KINDs of fault are those that there are
instead of what it says; FAULTs are numbers of faults that are left out. With --churn
members come and go: see churn.py; LIBRARY is made of slow_clock.c. Leaves in $QBD_RESULT:
trace, history-N of each client, errors-N (what it said), summary. Exit status 0 if all went as it should.
"""

import collections
import json
import os
import signal
import sys
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "cluster")]

import churn  # noqa: E402
from faults import BOUND, Faults, Unfit  # noqa: E402
from lib import kernel  # noqa: E402
from lib.cluster import Cluster  # noqa: E402
from lib.shell import Hung, run, spawn, stack_of, wait_until  # noqa: E402
from plan import Plan  # noqa: E402

RESULT = os.environ["QBD_RESULT"]
SHARED = "/dev/shm/clients"
PROBES = 10
GONE = 4                # client.c: there was no device to open


class Trace:
    def __init__(self):
        self.file = open(os.path.join(RESULT, "trace"), "w", buffering=1)

    def say(self, text):
        for line in text.split("\n"):
            self.file.write("[%10.6f] %s\n" % (time.monotonic(), line))


class Client:
    def __init__(self, number, process):
        self.number = number
        self.process = process
        self.told = False


class Clients:
    """Processes that use the members' devices, and what may go wrong for them."""

    def __init__(self, program, plan, name):
        self.program = program
        self.plan = plan
        self.name = name
        self.running = collections.defaultdict(list)    # by member
        self.count = 0
        self.members = {}               # client -> member
        self.excuses = []               # [member, what, begin, end or None]
        run([program, "shared", SHARED, plan.device_mib * 256])

    def spawn(self, member, what, *arguments):
        self.count += 1
        number = self.count
        self.members[number] = member
        history = os.path.join(RESULT, "history-%d" % number)
        with open(os.path.join(RESULT, "errors-%d" % number), "w") as output:
            process = spawn([self.program, what, member.device, SHARED, history, number,
                             member.number, *arguments], stdout=output,
                            stderr=output)
        client = Client(number, process)
        self.running[member].append(client)
        return client

    def start(self, member):
        for _ in range(self.plan.clients):
            self.work(member, self.plan.client_pause_us, self.plan.big, 0)
        # One that only reads: what a member should not answer any more it will ask for.
        self.work(member, self.plan.client_pause_us, 0, 0, 16)

    def work(self, member, pause, big, count, reads=0):
        return self.spawn(member, "work", self.plan.seed * 1000 + self.count, pause, big,
                          count, reads)

    def tell_to_stop(self, member):
        for client in self.running[member]:
            client.told = True
            client.process.send_signal(signal.SIGTERM)

    def ended(self, client):
        """Has it ended, and well?"""
        status = client.process.poll()
        if status in (GONE, -signal.SIGTERM) and client.told and \
                not os.path.exists(os.path.join(RESULT, "history-%d" % client.number)):
            # Opening may wait for a quorum: the kernel looks for partitions.
            client.process.returncode = status = 0
        if status:
            with open(os.path.join(RESULT, "errors-%d" % client.number)) as output:
                raise AssertionError("client %d of member %d ended with status %d: %s" % (
                    client.number, self.members[client.number].number, status,
                    output.read()[-500:]))
        return status is not None

    def wait(self, member, timeout=BOUND):
        """Until all of a member's clients have ended."""
        clients = self.running[member]
        try:
            wait_until("clients of member %d end" % member.number,
                       lambda: all(self.ended(client) for client in clients), timeout)
        except Hung as error:
            raise Hung("%s; they are in %s" % (error, ", ".join(
                stack_of(client.process.pid) for client in clients
                if client.process.poll() is None))) from None
        clients.clear()

    def stop_all(self):
        for member in list(self.running):
            self.tell_to_stop(member)
        for member in list(self.running):
            self.wait(member)

    def check(self):
        """Nobody ends who was not told to."""
        for clients in self.running.values():
            for client in clients:
                assert not self.ended(client) or client.told, \
                    "client %d ended by itself" % client.number

    def probe(self, members, say):
        """I/O at each of these members must succeed within the bound."""
        begin = time.monotonic()
        probes = [self.work(member, 1000, 0, PROBES) for member in members]
        for client in probes:
            member = self.members[client.number]
            try:
                wait_until("%d operations at member %d succeed" % (PROBES, member.number),
                           lambda: self.ended(client), BOUND)
            except Hung as error:
                raise Hung("%s; it is in %s" % (
                    error, stack_of(client.process.pid))) from None
            self.running[member].remove(client)
        say("I/O succeeds at members %s after %.3f s" % (
            ", ".join(str(member.number) for member in members),
            time.monotonic() - begin))

    def read_all(self, member):
        """What the device holds in the end is part of the history."""
        self.spawn(member, "read")
        self.wait(member, BOUND)

    # ---- errors ----------------------------------------------------------

    def begin(self, member, what):
        if not any(excuse[:2] == [member, what] and excuse[3] is None
                   for excuse in self.excuses):
            self.excuses.append([member, what, time.monotonic_ns(), None])

    def end(self, member, what):
        for excuse in self.excuses:
            if excuse[:2] == [member, what] and excuse[3] is None:
                excuse[3] = time.monotonic_ns()

    def excuse(self, member):
        """From now on its device goes away."""
        self.begin(member, "down")

    def forgive(self, member):
        """It is back."""
        self.end(member, "down")

    def expect_errors(self, member, may):
        """It was told to let I/O fail without a quorum, or to have it wait."""
        (self.begin if may else self.end)(member, "policy")

    def is_excused(self, member, begin, end):
        return any(who is member and first <= end and (last is None or begin <= last)
                   for who, _, first, last in self.excuses)

    def judge(self):
        """How many operations of each kind; no error without a reason."""
        totals = collections.Counter()
        for number, member in self.members.items():
            with open(os.path.join(RESULT, "errors-%d" % number)) as lines:
                for line in lines:
                    words = line.split()
                    if words[0] == "done":
                        totals.update(dict(zip(words[1::2], map(int, words[2::2]))))
                    elif words[0] == "error":
                        totals["failed"] += 1
                        assert self.is_excused(member, int(words[2]), int(words[3])), \
                            "client %d of member %d got an error without a reason: %s" % (
                                number, member.number, line.strip())
                    elif words[0] != "client:":
                        raise AssertionError("client %d says: %s" % (number, line))
        return totals


def make_cluster(plan):
    cluster = Cluster(plan.members, size="%dM" % plan.device_mib,
                      disk_mib=plan.device_mib + int(plan.log[:-1]) + 8,
                      log_size=plan.log, up=("--memory", plan.memory), block=plan.block,
                      disk_ns=plan.disk_ns, disk_cache=plan.disk_cache,
                      create=("--extent-size", plan.extent, "--claim", "shared"))
    cluster.network.know_neighbours()
    for member in cluster.members:
        cluster.network.shape(member.number, *plan.weather)
    return cluster


def live(cluster, clients, faults, plan, say):
    for member in cluster.members:
        clients.start(member)
    end = time.monotonic() + plan.seconds
    while time.monotonic() < end:
        faults.step()
    try:
        majority = faults.majority()
    except Unfit as why:
        say("no majority is healed alone: %s" % why)
    else:
        say("healing members %s alone" %
            ", ".join(str(member.number) for member in majority))
        faults.heal_only(majority)
        clients.probe(majority, say)
    say("healing all")
    faults.heal_all()
    clients.probe(cluster.members, say)
    faults.wait_whole()
    clients.check()
    clients.stop_all()
    say("all members are whole, all clients have stopped")


def come_to_an_end(cluster, clients, say):
    cluster.wait_caught_up(BOUND)
    clients.read_all(cluster.leader())
    stuck = kernel.uninterruptible()
    assert not stuck, "hung tasks: %s" % stuck
    cluster.down_all()
    cluster.assert_equal()
    run(["rmmod", "qbd"])
    assert not cluster.log.bad(), "the kernel said: %s" % cluster.log.bad()[:5]
    say("all replicas are equal, the module is unloaded")


def play(plan, trace, summary, without):
    """Faults and clients; what happened is in the summary, whatever comes of it."""
    cluster = faults = None
    try:
        cluster = make_cluster(plan)
        clients = Clients(sys.argv[1], plan, cluster.name)
        faults = Faults(cluster, plan, clients, trace.say, without)
        live(cluster, clients, faults, plan, trace.say)
        come_to_an_end(cluster, clients, trace.say)
        summary["operations"] = clients.judge()
    except Exception:
        if cluster:
            abandon(cluster)
        raise
    finally:
        if faults:
            summary["faults"] = faults.counts
            summary["terms"] = len(faults.leaders)


def abandon(cluster):
    """Nobody waits for anything any more: the machine could not end."""
    for member in cluster.members:
        member.disk.resume_quietly()
        member.down("--force", check=False)


def main():
    _, seed, members, seconds, *words = sys.argv[1:]
    more = {name: values.split(",") for name, values in zip(words[::2], words[1::2])}
    without = set(map(int, more.get("--without", ())))
    kinds = more.get("--kinds", ())
    trace = Trace()
    if "--churn" in more:
        plan = churn.Plan(int(seed), float(seconds), kinds)
    else:
        plan = Plan(int(seed), int(members), float(seconds), kinds)
    trace.say("seed %s: %s" % (seed, plan))
    summary = {"seed": plan.seed, "members": plan.members, "plan": str(plan),
               "failure": None}
    try:
        if "--churn" in more:
            churn.play(plan, trace.say, RESULT, summary, without, more["--churn"][0])
        else:
            play(plan, trace, summary, without)
    except Exception as error:
        trace.say(traceback.format_exc().rstrip())
        summary["failure"] = "%s: %s" % (type(error).__name__, error)
    summary["virtual_seconds"] = time.monotonic()
    with open(os.path.join(RESULT, "summary"), "w") as file:
        json.dump(summary, file, indent=1)
    return 1 if summary["failure"] else 0


if __name__ == "__main__":
    sys.exit(main())
