# SPDX-License-Identifier: GPL-2.0
"""A stranger on the wire: frames by hand, right ones and wrong ones."""

import hashlib
import hmac
import os
import select
import socket
import struct
from typing import NamedTuple

MAGIC = 0x46444251
HELLO, CHALLENGE, PROOF, WELCOME, REFUSED = 1, 2, 3, 4, 5
MESSAGE, FILL, APPEND, REQUEST, REPLY, RESET, EXTENT, FILL_END = 16, 18, 32, 33, 34, 35, 36, 37
HEARTBEAT = 5           # a type of MESSAGE
CONTROL, BULK = 1, 2
REASONS = {1: "version", 2: "device", 3: "member", 4: "secret", 5: "protocol",
           6: "configuration", 8: "disk", 9: "twice", 10: "history"}

HEADER = struct.Struct("<IHHIIIIII")
HELLO_LAYOUT = struct.Struct("<HHIIIQIIQ16s16s5Q16s32s")
MESSAGE_LAYOUT = struct.Struct("<IIII16Q")
APPEND_LAYOUT = struct.Struct("<QQQQ")
REQUEST_LAYOUT = struct.Struct("<IIQQQQQII")
REPLY_LAYOUT = struct.Struct("<QQQIIIIQ")
RESET_LAYOUT = struct.Struct("<QQQIIQ")         # and a member list, and what is applied
APPLIED_SIZE = 40 + 16 * 152 + 8
MEMBERS_LAYOUT = struct.Struct("<QII")          # and MEMBERS_MAX members
MEMBER_LAYOUT = struct.Struct("<IHBBHHI16s32s16s")
MEMBERS_MAX = 16
NEWEST = (1 << 62) - 1    # index of a list that nobody else has: it names our disk
EXTENT_LAYOUT = struct.Struct("<QQQQII32x")
FILL_LAYOUT = struct.Struct("<QQQQQII4x4x")


def make_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = make_table()


def crc32c(data, crc=0xffffffff):
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xff]
    return crc


def frame(kind, fixed, sequence, blocks=0, **wrong):
    """A frame's header and fixed part; wrong: header fields to falsify."""
    fields = {"magic": MAGIC, "kind": kind, "fixed_bytes": len(fixed),
              "blocks": blocks, "sequence": sequence, "fixed_checksum": crc32c(fixed),
              "data_checksum": 0, "reserved": 0}
    fields.update((key, value) for key, value in wrong.items() if key in fields)
    head = HEADER.pack(*fields.values(), 0)[:-4]
    checksum = wrong.get("header_checksum", crc32c(head))
    return head + struct.pack("<I", checksum) + fixed


class Identity(NamedTuple):
    """What the members of a device have in common."""
    uuid: bytes
    secret: bytes
    configuration: int


class Stranger:
    """A connection to a member's port."""

    def __init__(self, host, port, timeout=10):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.port = self.socket.getsockname()[1]
        self.sequence = 0

    def send(self, data):
        """Send; a peer that has hung up already is right, too."""
        try:
            self.socket.sendall(data)
        except (ConnectionError, socket.timeout):
            pass

    def frame(self, kind, fixed=b"", blocks=0, **wrong):
        wrong.setdefault("sequence", self.sequence)
        sequence = wrong.pop("sequence")
        self.send(frame(kind, fixed, sequence, blocks, **wrong))
        self.sequence += 1

    def receive(self, length):
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            if not piece:
                raise EOFError("hung up after %d of %d bytes" % (len(data), length))
            data += piece
        return data

    def answer(self):
        """The next frame: (type, fixed part)."""
        head = self.receive(HEADER.size)
        magic, kind, length = HEADER.unpack(head)[:3]
        assert magic == MAGIC, "no frame: %r" % head
        return kind, self.receive(length)

    def frame_whole(self):
        """The type of the next frame, which may have data."""
        head = self.receive(HEADER.size)
        magic, kind, length, blocks = HEADER.unpack(head)[:4]
        assert magic == MAGIC, "no frame: %r" % head
        self.receive(length + blocks * 4096)
        return kind

    def hung_up(self, seconds=10):
        """The other end closes within so many seconds; what it said before."""
        self.socket.settimeout(seconds)
        data = b""
        try:
            while True:
                piece = self.socket.recv(65536)
                if not piece:
                    return data
                data += piece
        except ConnectionError:
            return data
        except socket.timeout:
            raise AssertionError("not cut off within %g s; it said %r" %
                                 (seconds, data[:64])) from None

    def reason(self):
        """The reason of the refusal that comes next."""
        kind, fixed = self.answer()
        assert kind == REFUSED, "frame type %d and no refusal" % kind
        return REASONS.get(struct.unpack_from("<I", fixed)[0], "unknown")

    def hello(self, source, target, identity, kind=CONTROL, version=1, session=1,
              listed=NEWEST):
        return HELLO_LAYOUT.pack(version, version, kind, source, target, session, 0,
                                 identity.configuration, 0, identity.uuid,
                                 bytes(16), listed, 0, 0, 0, 0, bytes(16), os.urandom(32))

    def shake_hands(self, source, target, identity, kind=CONTROL, session=1):
        """Become a member, with the right secret or a wrong one."""
        mine = self.hello(source, target, identity, kind, session=session)
        self.frame(HELLO, mine)
        what, fixed = self.answer()
        assert what == CHALLENGE, "frame type %d and no challenge" % what
        theirs, proof = fixed[:HELLO_LAYOUT.size], fixed[HELLO_LAYOUT.size:]
        wanted = hmac.new(identity.secret, b"qbd listener" + mine + theirs, hashlib.sha256)
        self.frame(PROOF, hmac.new(identity.secret, b"qbd dialler" + mine + theirs,
                                   hashlib.sha256).digest())
        return proof == wanted.digest()

    def readable(self, seconds):
        return bool(select.select([self.socket], [], [], seconds)[0])

    def close(self):
        self.socket.close()
