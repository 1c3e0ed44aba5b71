# SPDX-License-Identifier: GPL-2.0
"""Strangers, wrong secrets, rubbish: refused with one line, and nothing harmed."""

import json
import os
import random
import re
import socket
import struct

from lib import wire
from lib.cluster import PORT, Cluster
from lib.network import address
from lib.registry import test
from lib.shell import namespace, run, wait_until
from lib.wire import Identity, Stranger
from lib.workload import Writer
from tests.test_rejoin import fill_log


def stranger_at(cluster, member, from_member):
    """A connection to a member from another one's namespace."""
    with namespace(from_member.netns):
        return Stranger(address(member.number, cluster.family), PORT)


def read_token(path):
    """A token file: the text, UUID and secret of the device."""
    with open(path) as file:
        text = file.read().strip()
    _, uuid, secret = text.split(":")
    return text, bytes.fromhex(uuid.replace("-", "")), bytes.fromhex(secret)


def identity(cluster):
    dump = json.loads(run(["qbdadm", "dump", cluster.member(1).disk.path,
                           "--json"]).output)
    return Identity(*read_token(cluster.token)[1:],
                    int(dump["configuration"].replace("-", ""), 16))


def complaints(cluster, stranger):
    """Why the member closed this connection, in the words of the kernel's log."""
    pattern = (r":%d (?:does not speak as a member does|sent a malformed frame) \((.*)\):"
               % stranger.port)
    return [re.search(pattern, line).group(1) for line in cluster.log.find(pattern)]


def cut_off(cluster, name, stranger, reason, pair=()):
    """The stranger, or the pair that it is of, is hung up on for just this reason."""
    try:
        for one in pair or (stranger,):
            one.hung_up()
    except AssertionError as error:
        raise AssertionError("%s: %s" % (name, error)) from None
    found = wait_until("the kernel's log says what is wrong with %s" % name,
                       lambda: complaints(cluster, stranger))
    assert found == [reason], "%s: %s instead of %s" % (name, found, reason)


def unharmed(cluster, writer):
    """The device works, and everybody has a leader."""
    writer.wait_for(20)
    # Not at the first look: a host that stands still for 150 ms elects another.
    for member in cluster.running():
        member.wait("it has a quorum", lambda s: s.has_quorum)


@test("hostile")
def wrong_secret():
    """A member with another secret is refused; the cause is in log and events."""
    with Cluster(3) as cluster:
        cluster.check_equal = False
        cluster.wait_leader()
        odd = cluster.member(3)
        odd.down()
        other_token = cluster.token + "-other"
        text, _, secret = read_token(cluster.token)
        with open(other_token, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text.replace(secret.hex(), os.urandom(32).hex()) + "\n")
        cluster.create(odd, "--force", token=other_token)
        events = cluster.events(cluster.member(1))
        odd.up()
        cluster.wait_leader([cluster.member(1), cluster.member(2)])
        event = events.wait("refused")
        assert "secret" in str(event), event
        wait_until("the kernel's log says so", lambda: cluster.log.find("secret"))
        assert not odd.status().has_quorum
        writer = Writer(cluster.member(1).device, limit=50)
        writer.child.wait()


@test("hostile")
def wrong_device():
    """A member of another device is refused."""
    with Cluster(3) as cluster:
        cluster.check_equal = False
        cluster.wait_leader()
        odd = cluster.member(3)
        odd.down()
        run(["qbdadm", "token", "new", "--out", cluster.token + "-foreign"])
        cluster.create(odd, "--force", token=cluster.token + "-foreign")
        odd.up()
        cluster.wait_leader([cluster.member(1), cluster.member(2)])
        wait_until("the kernel's log says so", lambda: cluster.log.find(
            "refus.*device|device.*refus"))
        assert not odd.status().has_quorum


@test("hostile")
def members_made_differently():
    """Disks made with other sizes or another member list do not become one device."""
    with Cluster(3) as cluster:
        odd = cluster.member(3)
        right = cluster.size, cluster.log_size, cluster.members
        for wrong in (("48M", None, cluster.members), (cluster.size, "9M", cluster.members),
                      (cluster.size, None, [cluster.member(1), odd])):
            odd.down()
            cluster.size, cluster.log_size, cluster.members = wrong
            cluster.create(odd, "--force")
            cluster.size, cluster.log_size, cluster.members = right
            events = cluster.events(cluster.member(1))
            odd.up()
            event = events.wait("refused")
            assert "members, name or sizes" in str(event), event
            assert cluster.wait_leader([cluster.member(1), cluster.member(2)])
            odd.wait("status says why", lambda s: not s.has_quorum and
                     "name or sizes" in str(s.problems))
        odd.down()
        cluster.create(odd, "--force")
        odd.up()
        cluster.wait_caught_up()


@test("hostile")
def strangers_handshakes():
    """Handshakes with a wrong version, device, member, secret: each its reason."""
    with Cluster(3) as cluster:
        known = identity(cluster)
        victim, other = cluster.member(1), cluster.member(2)
        writer = Writer(victim.device, pause=0.001)
        for wanted, hello in (
                ("version", lambda s: s.hello(2, 1, known, version=999)),
                ("device", lambda s: s.hello(2, 1, known._replace(
                    uuid=os.urandom(16)))),
                ("configuration", lambda s: s.hello(2, 1, known._replace(
                    configuration=known.configuration ^ 1))),
                ("member", lambda s: s.hello(77, 1, known, listed=1)),
                ("member", lambda s: s.hello(2, 3, known)),
                ("member", lambda s: s.hello(1, 1, known))):
            stranger = stranger_at(cluster, victim, other)
            stranger.frame(wire.HELLO, hello(stranger))
            found = stranger.reason()
            assert found == wanted, "%s instead of %s" % (found, wanted)
            stranger.hung_up()
            stranger.close()
        # 77 says that a list which is newer than those of the others names it.
        for source in (2, 77):
            stranger = stranger_at(cluster, victim, other)
            assert not stranger.shake_hands(source, 1, known._replace(secret=bytes(32)))
            assert stranger.reason() == "secret"
            stranger.hung_up()
            stranger.close()
        unharmed(cluster, writer)
        writer.stop()


NO_HELLO = bytes(wire.HELLO_LAYOUT.size)
NO_MESSAGE = bytes(wire.MESSAGE_LAYOUT.size)
NO_RECORD = bytes(128)
NO_REQUEST = bytes(wire.REQUEST_LAYOUT.size)
NO_REPLY = bytes(wire.REPLY_LAYOUT.size)
ALL_EXTENTS = wire.FILL_LAYOUT.pack(1, 0, 0, 0, 0, 64, 0)
WRONG_PLACE = "frame type that does not belong on this connection"

# What a member says of it, and how it is sent.
RUBBISH = {
    "a hello of an unknown kind": ("hello of an unknown kind", lambda s, r: s.frame(
        wire.HELLO, s.hello(2, 1, Identity(bytes(16), b"", 0), kind=9))),
    "a hello without a session": ("hello of an unknown kind", lambda s, r: s.frame(
        wire.HELLO, s.hello(2, 1, Identity(bytes(16), b"", 0), session=0))),
    "random bytes": ("not a qbd frame", lambda s, r: s.send(r.randbytes(4096))),
    "zeroes": ("not a qbd frame", lambda s, r: s.send(bytes(8192))),
    "an HTTP request": ("not a qbd frame", lambda s, r: s.send(
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4)),
    "a wrong header checksum": ("frame header checksum", lambda s, r: s.frame(
        wire.HELLO, NO_HELLO, header_checksum=1)),
    "a wrong checksum of the fixed part": ("frame checksum", lambda s, r: s.frame(
        wire.HELLO, NO_HELLO, fixed_checksum=1)),
    "a huge fixed part": ("frame length", lambda s, r: s.frame(
        wire.HELLO, NO_HELLO, fixed_bytes=65535)),
    "a short fixed part": ("frame length", lambda s, r: s.frame(
        wire.HELLO, NO_HELLO[1:])),
    "a long fixed part": ("frame length", lambda s, r: s.frame(wire.HELLO, bytes(4000))),
    "huge data": ("frame length", lambda s, r: s.frame(
        wire.HELLO, NO_HELLO, blocks=0xffffffff)),
    "data where none may be": ("frame length", lambda s, r: s.frame(
        wire.HELLO, NO_HELLO, blocks=1)),
    "something reserved": ("reserved frame field", lambda s, r: s.frame(
        wire.HELLO, NO_HELLO, reserved=1)),
    "an unknown type": ("unknown frame type", lambda s, r: s.frame(4711, NO_HELLO)),
    "a message before the handshake": (WRONG_PLACE, lambda s, r: s.frame(
        wire.MESSAGE, NO_MESSAGE)),
    "a record before the handshake": (WRONG_PLACE, lambda s, r: s.frame(
        wire.APPEND, bytes(wire.APPEND_LAYOUT.size) + NO_RECORD)),
    "a request for extents before the handshake": (WRONG_PLACE, lambda s, r: s.frame(
        wire.FILL, ALL_EXTENTS)),
    "a wrong sequence": ("frame out of sequence", lambda s, r: s.frame(
        wire.HELLO, NO_HELLO, sequence=5)),
}


@test("hostile", timeout=90)
def rubbish_before_the_handshake():
    """Rubbish on the port is cut off and harms nothing."""
    with Cluster(3) as cluster:
        source = random.Random(1)
        writer = Writer(cluster.member(1).device, pause=0.001)
        for number, (name, (reason, send)) in enumerate(RUBBISH.items()):
            # In turn: each says ten such things in five seconds at most.
            victim = cluster.members[number % 3]
            stranger = stranger_at(cluster, victim, cluster.members[(number + 1) % 3])
            send(stranger, source)
            cut_off(cluster, name, stranger, reason)
            stranger.close()
        unharmed(cluster, writer)
        writer.stop()
        assert len(cluster.log.find("qbd")) < 100, "it floods the log"


@test("hostile", timeout=60)
def silent_and_slow_strangers():
    """Strangers that say nothing, or half a frame, lose their connection."""
    with Cluster(3) as cluster:
        victim, other = cluster.member(1), cluster.member(2)
        writer = Writer(victim.device, pause=0.001)
        silent = [stranger_at(cluster, victim, other) for _ in range(40)]
        half = stranger_at(cluster, victim, other)
        half.send(wire.frame(wire.HELLO, NO_HELLO, 0)[:50])
        unharmed(cluster, writer)
        for stranger in silent + [half]:
            stranger.hung_up(30)
            stranger.close()
        assert not complaints(cluster, half), "cut off for what it said"
        unharmed(cluster, writer)
        writer.stop()


@test("hostile", timeout=60)
def many_strangers_do_not_keep_members_out():
    """With the port full of strangers a member still gets in."""
    with Cluster(3) as cluster:
        leader = cluster.lead(1)
        lost = cluster.member(3)
        lost.down()
        crowd = [stranger_at(cluster, leader, cluster.member(2)) for _ in range(64)]
        lost.up()
        lost.wait("it is in", lambda s: s.leader == 1, 30)
        for stranger in crowd:
            stranger.close()


def admitted(cluster, victim, traitor, known, kind, session):
    """A connection of somebody who knows the secret and speaks for the traitor."""
    stranger = stranger_at(cluster, victim, traitor)
    assert stranger.shake_hands(traitor.number, victim.number, known, kind, session)
    assert stranger.answer()[0] == wire.WELCOME
    return stranger


def wrong_data(stranger):
    """A reply whose data is not that of its checksum."""
    stranger.frame(wire.REPLY, wire.REPLY_LAYOUT.pack(0, 0, 0, 0, 1, 0, 0, 0), blocks=1,
                   data_checksum=wire.crc32c(bytes(4096)))
    stranger.send(bytes(4095) + b"x")


def traitor_frames(source):
    """Frames that a member with the right secret should not send.

    For each what the other member says of it, and how it is sent.
    """
    append = wire.APPEND_LAYOUT.pack(1, 0, 0, 0)
    return {
        wire.CONTROL: {
            "an unknown type": ("unknown frame type", lambda s: s.frame(99, bytes(8))),
            "a record": (WRONG_PLACE, lambda s: s.frame(wire.APPEND, append + NO_RECORD)),
            "a short message": ("frame length", lambda s: s.frame(
                wire.MESSAGE, NO_MESSAGE[1:])),
            "an empty message": ("message: unknown type", lambda s: s.frame(
                wire.MESSAGE, NO_MESSAGE)),
            "a message in another's name": ("message: another member's",
                                            lambda s: s.frame(
                wire.MESSAGE, wire.MESSAGE_LAYOUT.pack(wire.HEARTBEAT, 0, 9, *[0] * 17))),
            "a message with unknown flags": ("message: unknown flags", lambda s: s.frame(
                wire.MESSAGE, wire.MESSAGE_LAYOUT.pack(wire.HEARTBEAT, 0x100, 3, *[0] * 17))),
            "a gap in the sequence": ("frame out of sequence", lambda s: s.frame(
                wire.MESSAGE, NO_MESSAGE, sequence=1000)),
            "random bytes": ("not a qbd frame", lambda s: s.send(source.randbytes(5000))),
        },
        wire.BULK: {
            "a message": (WRONG_PLACE, lambda s: s.frame(wire.MESSAGE, NO_MESSAGE)),
            "a request for extents": (WRONG_PLACE, lambda s: s.frame(wire.FILL, ALL_EXTENTS)),
            "a record of zeroes": ("append: index", lambda s: s.frame(
                wire.APPEND, append + NO_RECORD)),
            "a record cut short": ("frame length", lambda s: s.frame(
                wire.APPEND, append + NO_RECORD[1:])),
            "a request of no kind": ("request: unknown kind", lambda s: s.frame(
                wire.REQUEST, NO_REQUEST)),
            "a request with too much data": ("frame length", lambda s: s.frame(
                wire.REQUEST, NO_REQUEST, blocks=257)),
            "huge data": ("frame length", lambda s: s.frame(
                wire.REQUEST, NO_REQUEST, blocks=0x7fffffff)),
            "a wrong checksum": ("frame checksum", lambda s: s.frame(
                wire.REPLY, NO_REPLY, fixed_checksum=7)),
            "wrong data": ("data checksum", wrong_data),
        },
    }


@test("hostile", timeout=90)
def rubbish_with_the_right_secret():
    """A member that sends rubbish after its handshake is cut off, harming nothing."""
    with Cluster(3) as cluster:
        known = identity(cluster)
        cluster.lead(1)
        traitor = cluster.member(3)
        traitor.down()
        writer = Writer(cluster.member(1).device, pause=0.001)
        source = random.Random(2)
        for wanted, frames in traitor_frames(source).items():
            for session, (name, (reason, send)) in enumerate(frames.items(), 100 * wanted):
                # In turn, as above.
                victim = cluster.members[session % 2]
                pair = {}
                for kind in (wire.CONTROL, wire.BULK):
                    pair[kind] = admitted(cluster, victim, traitor, known, kind, session)
                send(pair[wanted])
                cut_off(cluster, name, pair[wanted], reason, pair.values())
                for stranger in pair.values():
                    stranger.close()
        unharmed(cluster, writer)
        writer.stop()
        traitor.up()


def member_list(cluster, ids=(1, 2, 3), next_id=4, name=b"x"):
    """A member list as a leader sends it, or one that it must not send."""
    members = [wire.MEMBER_LAYOUT.pack(
        number, 1, 100, 0, 4, PORT, 0, socket.inet_aton(address(number, cluster.family)),
        name, bytes(16)) for number in ids]
    return wire.MEMBERS_LAYOUT.pack(0, len(ids), next_id) + b"".join(members).ljust(
        wire.MEMBERS_MAX * wire.MEMBER_LAYOUT.size, b"\0")


class FalseLeader:
    """A member that says it leads, and does as it likes."""

    def __init__(self, cluster, victim, traitor):
        self.cluster, self.victim, self.traitor = cluster, victim, traitor
        self.known = identity(cluster)
        self.term = victim.status().term + 1000
        self.blocks = victim.status().device_bytes // 4096
        self.session = 0
        self.pair = []

    def connect(self):
        self.session += 1
        self.pair = [admitted(self.cluster, self.victim, self.traitor, self.known, kind,
                              self.session) for kind in (wire.CONTROL, wire.BULK)]
        # Its election timeout is long: this one will do.
        self.pair[0].frame(wire.MESSAGE, wire.MESSAGE_LAYOUT.pack(
            wire.HEARTBEAT, 0, self.traitor.number, self.victim.number, self.term,
            0, 0, 0, self.session, *[0] * 5, 10 ** 10, 0, 0, 0, 0, 0))
        self.victim.wait("it follows", lambda s: s.leader == self.traitor.number and
                         s.term == self.term)

    def reset(self, index, members):
        self.pair[1].frame(wire.RESET, wire.RESET_LAYOUT.pack(
            self.term, index, self.term, 0, 0, self.blocks) + members + bytes(wire.APPLIED_SIZE))

    def asked(self):
        """The number of the request for extents that comes."""
        while True:
            kind, fixed = self.pair[0].answer()
            if kind == wire.FILL:
                return int.from_bytes(fixed[:8], "little")

    def cut_off(self, reason):
        for stranger in self.pair:
            stranger.hung_up()
            stranger.close()
        wait_until("the kernel's log says why", lambda: self.cluster.log.find(
            "member %d is gone: %s$" % (self.traitor.number, reason)))


@test("hostile", timeout=60)
def a_leader_that_must_not_be_believed():
    """Member lists that make no sense, more extents than asked for: it is cut off."""
    with Cluster(3, start=False) as cluster:
        cluster.check_equal = False
        victim = cluster.member(1)
        victim.up("--memory", "16M")
        victim.set("--election-timeout", "10000")
        false = FalseLeader(cluster, victim, cluster.member(3))
        for reason, members in (
                ("member id that was never given", member_list(cluster, next_id=0)),
                ("member ids not in order", member_list(cluster, ids=(2, 1, 3))),
                ("member name not terminated", member_list(cluster, name=b"x" * 32)),
                ("member address malformed, or not the same for all members",
                 member_list(cluster).replace(struct.pack("<HH", 4, PORT),
                                              struct.pack("<HH", 5, PORT)))):
            false.connect()
            false.reset(1000, members)
            false.cut_off(reason)
        assert not victim.status().filling
        false.connect()
        false.reset(1000, member_list(cluster))
        request = false.asked()
        block = os.urandom(4096)
        checksum = wire.crc32c(block)

        def pieces(places):
            """One block each, of extents of 1 MiB."""
            false.pair[1].send(b"".join(
                wire.frame(wire.EXTENT, wire.EXTENT_LAYOUT.pack(
                    request, place >> 8, 1000, place, 1, 0),
                    false.pair[1].sequence + number, 1, data_checksum=checksum) + block
                for number, place in enumerate(places)))
        # Back to what was there already; and more than one asks for, while they wait.
        pieces([7, 8, 7])
        false.cut_off("extents that were not asked for")
        false.connect()
        false.reset(1000, member_list(cluster))
        request = false.asked()
        victim.disk.slow(50)
        pieces(range(9, 409))
        false.cut_off("extents that were not asked for")
        victim.disk.heal()
        # What was written to its disk can be read again.
        victim.down()
        victim.up()
        assert victim.status().filling


def extents_for(cluster, asked, lost, known, session, term, sends=False):
    """A host that speaks for a lost member asks for all extents. Was it sent any, or told that
    there are no more?

    It was not if what comes on both connections, up to some heartbeats of the leader behind
    the request, is something else.
    """
    control, bulk = (admitted(cluster, asked, lost, known, kind, session)
                     for kind in (wire.CONTROL, wire.BULK))
    asked.wait("it is connected", lambda status: status.member(lost.number).connected)
    before = asked.status().member(lost.number).network["received_frames"]
    control.frame(wire.FILL, wire.FILL_LAYOUT.pack(1, term, 0, 0, 0, 64, 0))
    asked.wait("it was asked", lambda status: status.member(lost.number).network[
        "received_frames"] > before)
    assert asked.status().role == "leader"
    found = set()
    if sends:
        # When they come is up to the rate.
        while not found & {wire.EXTENT, wire.FILL_END}:
            found.add(bulk.frame_whole())
    else:
        for _ in range(10):
            while control.answer()[0] != wire.MESSAGE:
                pass
        while bulk.readable(0):
            found.add(bulk.frame_whole())
    for stranger in (control, bulk):
        stranger.close()
    asked.wait("it is gone", lambda status: not status.member(lost.number).connected)
    return bool(found & {wire.EXTENT, wire.FILL_END})


@test("hostile", timeout=90)
def a_witness_is_asked_for_extents():
    """By who speaks for a member with data, while it leads: it has none, and says nothing that
    could be taken for the end of them. Who has them sends them, to who names its leadership."""
    with Cluster(3, witnesses=(1,), log_size="8M") as cluster:
        witness, leader, lost = cluster.members
        known = identity(cluster)
        cluster.lead(2)
        lost.down()
        last = leader.status().last_index
        fill_log(cluster, leader, 24)
        for member in (witness, leader):
            member.wait("its log does not reach gamma", lambda s: s.first_index > last + 1)
        term = leader.status().term
        assert extents_for(cluster, leader, lost, known, 1, term, sends=True)
        assert not extents_for(cluster, leader, lost, known, 2, term - 1)
        # With the other one the witness leads, and cannot help.
        leader.power_cut()
        cluster.network.heal()
        lost.up()
        status = witness.wait("it leads, and cannot help", lambda status: status.role ==
                              "leader" and "bring back beta" in status.problem)
        assert not extents_for(cluster, witness, leader, known, 3, status.term)
        assert not lost.status().has_quorum
        leader.up()
        cluster.wait_leader([leader, lost])
        assert cluster.leader() is leader
