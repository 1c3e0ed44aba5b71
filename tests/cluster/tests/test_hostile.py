# SPDX-License-Identifier: GPL-2.0
"""Strangers, wrong secrets, rubbish: refused with one line, and nothing harmed."""

import json
import os
import random
import struct

from lib import wire
from lib.cluster import PORT, Cluster
from lib.network import address
from lib.registry import test
from lib.shell import namespace, run, wait_until
from lib.wire import Identity, Stranger
from lib.workload import Writer


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


def unharmed(cluster, writer):
    """The device works and has the leader that it had."""
    writer.wait_for(20)
    assert all(member.status().has_quorum for member in cluster.running())


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
    """Disks made with another size or member list do not become one device."""
    with Cluster(3) as cluster:
        odd = cluster.member(3)
        right = cluster.size, cluster.members
        for size, members in (("48M", cluster.members),
                              (cluster.size, [cluster.member(1), odd])):
            odd.down()
            cluster.size, cluster.members = size, members
            cluster.create(odd, "--force")
            cluster.size, cluster.members = right
            events = cluster.events(cluster.member(1))
            odd.up()
            event = events.wait("refused")
            assert "member list, name or size" in str(event), event
            assert cluster.wait_leader([cluster.member(1), cluster.member(2)])
            odd.wait("status says why", lambda s: not s.has_quorum and
                     "name or size" in str(s.problems))
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
                ("member", lambda s: s.hello(77, 1, known)),
                ("member", lambda s: s.hello(2, 3, known)),
                ("member", lambda s: s.hello(1, 1, known))):
            stranger = stranger_at(cluster, victim, other)
            stranger.frame(wire.HELLO, hello(stranger))
            found = stranger.reason()
            assert found == wanted, "%s instead of %s" % (found, wanted)
            stranger.hung_up()
            stranger.close()
        stranger = stranger_at(cluster, victim, other)
        assert not stranger.shake_hands(2, 1, known._replace(secret=bytes(32)))
        assert stranger.reason() == "secret"
        stranger.hung_up()
        stranger.close()
        unharmed(cluster, writer)
        writer.stop()


RUBBISH = {
    "a hello of an unknown kind": lambda s, r: s.frame(
        wire.HELLO, s.hello(2, 1, Identity(bytes(16), b"", 0), kind=9)),
    "random bytes": lambda s, r: s.send(r.randbytes(4096)),
    "zeroes": lambda s, r: s.send(bytes(8192)),
    "an HTTP request": lambda s, r: s.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4),
    "a wrong header checksum": lambda s, r: s.frame(
        wire.HELLO, bytes(88), header_checksum=1),
    "a wrong checksum of the fixed part": lambda s, r: s.frame(
        wire.HELLO, bytes(88), fixed_checksum=1),
    "a huge fixed part": lambda s, r: s.frame(wire.HELLO, bytes(88), fixed_bytes=65535),
    "a short fixed part": lambda s, r: s.frame(wire.HELLO, bytes(8)),
    "a long fixed part": lambda s, r: s.frame(wire.HELLO, bytes(4000)),
    "huge data": lambda s, r: s.frame(wire.HELLO, bytes(88), blocks=0xffffffff),
    "data where none may be": lambda s, r: s.frame(wire.HELLO, bytes(88), blocks=1),
    "an unknown type": lambda s, r: s.frame(4711, bytes(88)),
    "a message before the handshake": lambda s, r: s.frame(wire.MESSAGE, bytes(120)),
    "a record before the handshake": lambda s, r: s.frame(wire.APPEND, bytes(160)),
    "a wrong sequence": lambda s, r: s.frame(wire.HELLO, bytes(88), sequence=5),
}


@test("hostile", timeout=90)
def rubbish_before_the_handshake():
    """Rubbish on the port is cut off and harms nothing."""
    with Cluster(3) as cluster:
        source = random.Random(1)
        victim, other = cluster.member(1), cluster.member(2)
        writer = Writer(victim.device, pause=0.001)
        for name, send in RUBBISH.items():
            stranger = stranger_at(cluster, victim, other)
            send(stranger, source)
            try:
                stranger.hung_up()
            except AssertionError as error:
                raise AssertionError("%s: %s" % (name, error)) from None
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
        half.send(wire.frame(wire.HELLO, bytes(88), 0)[:50])
        unharmed(cluster, writer)
        for stranger in silent + [half]:
            stranger.hung_up(30)
            stranger.close()
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


def traitor_frames(secret_source):
    """Frames that a member with the right secret should not send."""
    append = struct.pack("<QQQQ", 1, 0, 0, 0)
    return {
        wire.CONTROL: {
            "an unknown type": lambda s: s.frame(99, bytes(8)),
            "a record": lambda s: s.frame(wire.APPEND, append + bytes(128)),
            "a short message": lambda s: s.frame(wire.MESSAGE, bytes(20)),
            "an empty message": lambda s: s.frame(wire.MESSAGE, bytes(120)),
            "a gap in the sequence": lambda s: s.frame(wire.MESSAGE, bytes(120),
                                                       sequence=1000),
            "random bytes": lambda s: s.send(secret_source.randbytes(5000)),
        },
        wire.BULK: {
            "a message": lambda s: s.frame(wire.MESSAGE, bytes(120)),
            "a record of zeroes": lambda s: s.frame(wire.APPEND, append + bytes(128)),
            "a record cut short": lambda s: s.frame(wire.APPEND, append + bytes(10)),
            "a request of no kind": lambda s: s.frame(wire.REQUEST, bytes(56)),
            "a request with too much data": lambda s: s.frame(
                wire.REQUEST, bytes(56), blocks=257),
            "huge data": lambda s: s.frame(wire.REQUEST, bytes(56), blocks=0x7fffffff),
            "a wrong checksum": lambda s: s.frame(wire.REPLY, bytes(24),
                                                  fixed_checksum=7),
        },
    }


@test("hostile", timeout=90)
def rubbish_with_the_right_secret():
    """A member that sends rubbish after its handshake is cut off, harming nothing."""
    with Cluster(3) as cluster:
        known = identity(cluster)
        cluster.lead(1)
        victim, traitor = cluster.member(1), cluster.member(3)
        traitor.down()
        writer = Writer(victim.device, pause=0.001)
        source = random.Random(2)
        for wanted, frames in traitor_frames(source).items():
            for session, (name, send) in enumerate(frames.items(), 100 * wanted):
                pair = {}
                for kind in (wire.CONTROL, wire.BULK):
                    stranger = stranger_at(cluster, victim, traitor)
                    assert stranger.shake_hands(3, 1, known, kind, session)
                    assert stranger.answer()[0] == wire.WELCOME
                    pair[kind] = stranger
                send(pair[wanted])
                try:
                    for stranger in pair.values():
                        stranger.hung_up()
                except AssertionError as error:
                    raise AssertionError("%s: %s" % (name, error)) from None
                for stranger in pair.values():
                    stranger.close()
        unharmed(cluster, writer)
        writer.stop()
        traitor.up()
