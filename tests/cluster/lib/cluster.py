# SPDX-License-Identifier: GPL-2.0
"""A device, its members, and what they say of themselves."""

import json
import os
import select
import subprocess
import tempfile
import time

from . import kernel
from .disks import CACHE, Disk, LogFile
from .network import Network, address, member_namespace
from .shell import DEADLINE, CommandFailed, Hung, run, spawn, wait_until

NAMES = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota"]
PORT = 7900
# Of create: the test writes on several hosts at once.
SHARED = ("--claim", "shared")
# Options of members that this kernel needs: tests/cluster/run says so.
UP_OPTIONS = os.environ.get("QBD_TEST_UP", "").split()


class Status(dict):
    """What qbdadm status --json says of one device; fields are attributes."""

    def __getattr__(self, name):
        for key in (name, name.replace("_", "-")):
            if key in self:
                return self[key]
        raise AttributeError("status has no %s: %s" % (name, sorted(self)))

    def member(self, number):
        for member in self["members"]:
            if member["id"] == number:
                return Status(member)
        raise KeyError("status names no member %d" % number)


class Events:
    """The event stream of one namespace; lines are kept."""

    def __init__(self, netns):
        self.process = spawn(["qbdadm", "events", "--json"], netns,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.partial = b""
        self.seen = []
        self.wait("listening")
        self.forget()

    def read(self):
        while True:
            try:
                data = os.read(self.process.stdout.fileno(), 65536)
            except BlockingIOError:
                break
            if not data:
                break
            *lines, self.partial = (self.partial + data).split(b"\n")
            self.seen += [json.loads(line) for line in lines if line.strip()]
        return self.seen

    def wait(self, kind, timeout=DEADLINE, **fields):
        """The first event of this kind, seen already or yet to come."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.read():
                if event.get("event") == kind and all(
                        event.get(name) == value for name, value in fields.items()):
                    return event
            left = deadline - time.monotonic()
            if left <= 0:
                raise Hung("no event %s %s within %g s; seen: %s" %
                           (kind, fields, timeout,
                            [event.get("event") for event in self.seen]))
            select.select([self.process.stdout], [], [], left)

    def told(self, *kinds):
        """The events of these kinds so far, of which none was missed."""
        seen = self.read()
        assert not [event for event in seen if event["event"] == "lost"], seen
        return [event for event in seen if event["event"] in kinds]

    def forget(self):
        self.read()
        self.seen = []

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Member:
    """One member: a namespace, a disk."""

    def __init__(self, cluster, number, disk):
        self.cluster = cluster
        self.number = number
        self.name = NAMES[number - 1]
        self.netns = member_namespace(number)
        self.disk = disk
        self.is_up = False
        self.removed = False        # it is no member (any more), and stays down
        self.options = []

    def __repr__(self):
        return "%s(%d)" % (self.name, self.number)

    def qbdadm(self, *arguments, **options):
        return run(["qbdadm", *arguments], netns=self.netns, **options)

    def up(self, *options, **run_options):
        """Bring it up with the options of the last time, unless some are given."""
        if options:
            self.options = list(options)
        result = self.qbdadm("up", self.cluster.name, "--disk", self.disk.path,
                             *self.options, **run_options)
        if result.status == 0:
            self.is_up = True
        return result

    def down(self, *options, **run_options):
        result = self.qbdadm("down", self.cluster.name, *options, **run_options)
        if result.status == 0:
            self.is_up = False
        return result

    def power_cut(self):
        """Lose everything at once: network, disk, and what the disk cached.

        Nothing leaves the member and nothing reaches its disk any more; what it
        then does with its memory is of no consequence.
        """
        self.cluster.network.isolate(self.number)
        self.disk.fail()
        self.down("--force")
        self.disk.power_cut()

    def set(self, *options):
        return self.qbdadm("set", self.cluster.name, *options)

    def status(self):
        output = self.qbdadm("status", self.cluster.name, "--json").output
        devices = json.loads(output)
        if isinstance(devices, dict):
            devices = devices.get("devices", [devices])
        return Status(devices[0])

    @property
    def device(self):
        return "/dev/qbd%d" % self.status().number

    def wait(self, what, condition, timeout=DEADLINE):
        """Until condition(status) holds; the status."""
        last = []

        def check():
            last[:] = [self.status()]
            return condition(last[0])
        try:
            wait_until("%r: %s" % (self, what), check, timeout)
        except Hung as error:
            raise Hung("%s; last status: %s" % (error, json.dumps(last))) from None
        return last[0]


class Cluster:
    """Members 1..count of one device, up and with a leader unless told otherwise.

    alone: the first one only, made by the short form of create; others join()
    witnesses: numbers of those that get a disk with room for the log only
    clients: numbers of those that have a file and no disk; they connect()
    joiners: numbers of those that have a disk, and join()
    follows: leadership goes to who writes; most tests want it where they put it
    """

    def __init__(self, count=3, size="64M", disk_mib=160, log_size=None, name="vol",
                 up=("--memory", "16M"), family=4, start=True, block=512,
                 disk_ns=0, disk_solid=False, disk_cache=CACHE, disks=None, create=(),
                 alone=False, follows=False, witnesses=(), clients=(), joiners=()):
        self.name = name
        self.family = family
        self.network = Network(count)
        self.members = []
        self.events_open = []
        self.check_equal = True
        self.size = size
        self.log_size = log_size
        self.create_options = create
        self.witnesses = witnesses
        self.clients = clients
        self.joiners = joiners
        self.log = kernel.Log()
        self.token = tempfile.mkdtemp() + "/token"
        try:
            if not alone:
                run(["qbdadm", "token", "new", "--out", self.token])
            for number in range(1, count + 1):
                disk = disks[number - 1] if disks else LogFile() if number in clients else \
                    Disk(20 if number in witnesses else disk_mib, block, disk_ns, disk_solid,
                         disk_cache)
                member = Member(self, number, disk)
                member.options = list(up)
                # Whoever goes on where another host was lost does so soon.
                if "--claim-lease" not in up:
                    member.options += ["--claim-lease", "300"]
                if not follows:
                    member.options += ["--leader-follows", "no"]
                if "--election-timeout" not in up:
                    member.options += UP_OPTIONS
                member.removed = number in clients or number in joiners
                self.members.append(member)
            if alone:
                self.create_alone()
            else:
                for member in self.members:
                    if not member.removed:
                        self.create(member)
            if start:
                self.up()
                self.wait_leader()
        except BaseException:
            self.close()
            raise

    def member_options(self):
        options = []
        for member in self.members:
            if member.number in self.clients or member.number in self.joiners:
                continue
            options += ["--member", "%d=%s@%s" % (member.number, member.name,
                                                  self.listen(member))]
        return options

    def create(self, member, *more, token=None, **run_options):
        options = ["--token-file", token or self.token, "--id", member.number,
                   "--disk", member.disk.path, "--size", self.size]
        if self.log_size:
            options += ["--log-size", self.log_size]
        for number in self.witnesses:
            options += ["--witness", number]
        return run(["qbdadm", "create", self.name, *options, *self.member_options(),
                    *self.create_options, *more], netns=member.netns, **run_options)

    def create_alone(self):
        """The first member; the others are none yet. It is up."""
        first = self.member(1)
        for member in self.members[1:]:
            member.removed = True
        log = ["--log-size", self.log_size] if self.log_size else []
        first.qbdadm("create", self.name, "--disk", first.disk.path, "--size", self.size,
                     "--listen", self.listen(first), "--name", first.name, *log,
                     *self.create_options)
        first.is_up = True
        first.qbdadm("token", "show", self.name, "--out", self.token)

    def listen(self, member):
        host = address(member.number, self.family)
        return "[%s]:%d" % (host, PORT) if self.family == 6 else "%s:%d" % (host, PORT)

    def join_command(self, number, *more, contact=1, token=None, name=None, listen=None,
                     host=None, disk=None):
        """What a member joins by: what is not given is what is right."""
        member = self.member(number)
        return ["qbdadm", "join", contact if isinstance(contact, str) else
                self.listen(self.member(contact)), name or self.name,
                "--disk", disk or member.disk.path, "--listen", listen or self.listen(member),
                "--name", host or member.name, "--token-file", token or self.token, *more]

    def join(self, number, *more, contact=1, **run_options):
        member = self.member(number)
        result = run(self.join_command(number, *more, contact=contact), netns=member.netns,
                     **run_options)
        if result.status == 0:
            member.removed = False
            member.is_up = "--no-up" not in more
        return result

    def connect_command(self, number, *more, contact=1, token=None, name=None, host=None):
        """What a client connects by: what is not given is what is right."""
        member = self.member(number)
        return ["qbdadm", "connect", contact if isinstance(contact, str) else
                self.listen(self.member(contact)), name or self.name,
                "--token-file", token or self.token, "--file", member.disk.path,
                "--name", host or member.name, *more]

    def connect(self, number, *more, **options):
        """Its id need not be its number."""
        member = self.member(number)
        own = {name: options.pop(name) for name in ("contact", "token", "name", "host")
               if name in options}
        result = run(self.connect_command(number, *more, **own), netns=member.netns, **options)
        if result.status == 0:
            member.removed = False
            member.is_up = True
        return result

    def disconnect(self, number, *more, **options):
        member = self.member(number)
        result = member.qbdadm("disconnect", self.name, "--file", member.disk.path, *more,
                               **options)
        if result.status == 0:
            member.removed = True
            member.is_up = False
        return result

    def member(self, number):
        return self.members[number - 1]

    def running(self):
        return [member for member in self.members if member.is_up]

    def up(self):
        for member in self.members:
            if not member.is_up and not member.removed:
                member.up()

    def change(self, member, command, *arguments, **options):
        """qbdadm member COMMAND, on this member's host."""
        return member.qbdadm("member", command, self.name,
                             *[getattr(one, "number", one) for one in arguments], **options)

    def retire(self, member):
        """A member that was removed, and knows it, is taken down for good."""
        member.wait("it knows that it was removed", lambda status: status.removed)
        member.down()
        member.removed = True

    def events(self, member):
        events = Events(member.netns)
        self.events_open.append(events)
        return events

    def agreeing(self, members):
        """Their statuses, if all have a quorum and the same leader."""
        statuses = {}
        for member in members:
            status = statuses[member] = member.status()
            if not status.has_quorum or not status.leader:
                return None
        if len({(status.leader, status.term) for status in statuses.values()}) != 1:
            return None
        return statuses

    def wait_leader(self, among=None, timeout=DEADLINE, not_member=None):
        """Until one of these leads, has a quorum, and the others among them know it."""
        among = among or self.running()

        def agreed():
            statuses = self.agreeing(among)
            if not statuses:
                return None
            leader = self.member(statuses[among[0]].leader)
            return leader if leader in among and leader is not not_member else None
        return wait_until("a leader among %s" % among, agreed, timeout)

    def leader(self):
        return self.wait_leader()

    def lead(self, number):
        """Have this member lead."""
        member = self.member(number)
        if self.wait_leader() is not member:
            member.qbdadm("leader", "move", self.name, "--to", number)
            self.wait_leader()
        return member

    def others(self, *members):
        return [member for member in self.members if member not in members]

    def wait_caught_up(self, timeout=DEADLINE):
        """Until every running member has applied all that the leader has."""
        def same():
            statuses = self.agreeing(self.running())
            if not statuses:
                return False
            leader = self.member(next(iter(statuses.values())).leader)
            if leader not in statuses:
                return False
            target = statuses[leader]
            return target.applied_index == target.last_index and all(
                status.applied_index == target.last_index and not status.filling
                for status in statuses.values())
        wait_until("all have applied what their leader has", same, timeout)

    def down_all(self):
        for member in self.running():
            member.down()

    def assert_equal(self, members=None):
        """The data of these members' disks is the same; all are down."""
        first, *rest = members or [one for one in self.members if not one.removed and
                                   one.number not in (*self.witnesses, *self.clients)]
        for other in rest:
            run(["qbdadm", "checksum", first.disk.path, "--against", other.disk.path],
                timeout=60)

    def end(self):
        """The way every test ends: in order, and with equal replicas."""
        if self.check_equal:
            self.network.heal()
            self.up()
            self.wait_caught_up()
        self.down_all()
        if self.check_equal:
            self.assert_equal()

    def close(self):
        """Whatever happened: leave nothing behind."""
        for events in self.events_open:
            events.close()
        for member in self.members:
            member.disk.resume_quietly()
        for member in self.members:
            if member.is_up:
                try:
                    member.down("--force", check=False, timeout=20)
                except Hung as error:
                    kernel.say(str(error))
        for member in self.members:
            member.disk.close()
        self.network.close()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.end()
        finally:
            self.close()


def refused(result, *words):
    """A command said no: non-zero status, one line, with these words in it."""
    assert result.status != 0, "it was not refused: %s" % result.argv
    lines = result.errors.strip().split("\n")
    assert len(lines) == 1 and lines[0], "not one line: %r" % result.errors
    for word in words:
        assert word.lower() in lines[0].lower(), "no %r in %r" % (word, lines[0])
    return lines[0]


__all__ = ["Cluster", "Member", "Status", "Events", "CommandFailed", "refused"]
