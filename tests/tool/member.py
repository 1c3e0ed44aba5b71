# SPDX-License-Identifier: GPL-2.0
"""Members of a device as a program sees them: what kmod/format/frame.h says of ADMIN
connections, in Python and independently of the module, right or wrong as a test wants.
"""

import hmac
import os
import socket
import struct
import threading

import layout
from layout import BLOCK, crc32c, pad

HEADER = struct.Struct("<IHHIIIIII")
HELLO = struct.Struct("<HHIIIQIIQ16s16s5Q16s32s")
REQUEST = struct.Struct("<IIQQQQQII")
REPLY = struct.Struct("<QQQIIIIQ")
MAGIC = int.from_bytes(b"QBDF", "little")
HELLO_TYPE, CHALLENGE, PROOF, WELCOME, REFUSED, REQUEST_TYPE, REPLY_TYPE = 1, 2, 3, 4, 5, 33, 34
ADMIN = 3
CHANGE, DESCRIBE = 5, 6
OK, NOT_LEADER, IO_ERROR, BUSY, REFUSED_STATUS = 0, 1, 2, 4, 5
NOT_LEADER_YET, OUTDATED, PENDING, TWICE = 1, 2, 3, 9
SECRET_REFUSED, DEVICE_REFUSED, BUSY_REFUSED = 4, 2, 7


def frame(kind, sequence, fixed=b"", data=b"", spoil=lambda header: header):
    head = struct.pack("<IHHIIIII", MAGIC, kind, len(fixed), len(data) // BLOCK, sequence,
                       crc32c(fixed), crc32c(data) if data else 0, 0)
    return spoil(head + struct.pack("<I", crc32c(head))) + fixed + data


class Device:
    """What the members agree on. Members in the list: bytes as in the layout."""

    def __init__(self, token, name="vol0", members=()):
        _, device, secret = token.strip().split(":")
        self.uuid = bytes.fromhex(device.replace("-", ""))
        self.secret = bytes.fromhex(secret)
        self.name = name
        self.lock = threading.Lock()
        self.index = 4
        self.commit = 4
        self.next_id = len(members) + 1
        self.members = list(members)
        self.leader = 1
        self.changes = 0
        self.connected = 0xffff

    def membership(self):
        return struct.pack("<QII", self.index, len(self.members), self.next_id) + \
            pad(b"".join(self.members), layout.MEMBERS_SIZE - 16)

    def description(self, member):
        return pad(struct.pack("<QQIIIIQ16x40xI4x64s", 16384, 4096, 20, 0xc0ffee, member,
                               self.leader, self.commit, self.connected, self.name.encode()) +
                   self.membership())

    def change(self, wanted):
        """Compare and set, as the leader does. (status, detail, member)"""
        index, count, next_id = struct.unpack_from("<QII", wanted)
        if index != self.index:
            return REFUSED_STATUS, OUTDATED, 0
        assert count == len(self.members) + 1 and next_id == self.next_id + 1, (count, next_id)
        self.members = [wanted[start:start + layout.MEMBER_SIZE] for start in
                        range(16, 16 + count * layout.MEMBER_SIZE, layout.MEMBER_SIZE)]
        assert struct.unpack_from("<I", self.members[-1])[0] == self.next_id
        self.add_index(next_id)
        self.changes += 1
        return OK, 0, 0

    def add_index(self, next_id):
        self.index += 1
        self.commit = self.index
        self.next_id = next_id


class Member:
    """One that listens; its methods are what tests replace."""

    def __init__(self, device, number, host="127.0.0.1"):
        self.device = device
        self.number = number
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.address = "%s:%d" % (host, self.port)
        self.described = 0
        self.errors = []
        device.members.append(layout.member(number, "host%d" % number, host, self.port))
        device.next_id = number + 1
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection:
                self.sent = 0
                self.talk(connection)
        except (ConnectionError, EOFError, OSError):
            pass
        except Exception as error:          # told by the test, which sees the list
            self.errors.append(repr(error))

    def close(self):
        self.listener.close()

    def talk(self, connection):
        if self.shake_hands(connection):
            while True:
                self.answer(connection)

    @staticmethod
    def receive(connection, length):
        data = b""
        while len(data) < length:
            more = connection.recv(length - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def receive_frame(self, connection):
        header = self.receive(connection, HEADER.size)
        magic, kind, fixed_bytes, blocks, _, fixed_sum, data_sum, reserved, head_sum = \
            HEADER.unpack(header)
        assert magic == MAGIC and head_sum == crc32c(header[:28]) and not reserved
        fixed = self.receive(connection, fixed_bytes)
        data = self.receive(connection, blocks * BLOCK)
        assert crc32c(fixed) == fixed_sum and (not data or crc32c(data) == data_sum)
        return kind, fixed, data

    def send(self, connection, kind, fixed=b"", data=b"", **options):
        connection.sendall(frame(kind, self.sent, fixed, data, **options))
        self.sent += 1

    def proof(self, label, *hellos):
        return hmac.digest(self.device.secret, label + b"".join(hellos), "sha256")

    def hello(self, theirs):
        session = HELLO.unpack(theirs)[5]
        return HELLO.pack(1, 1, ADMIN, self.number, 0, session, 0, 0xc0ffee, 3,
                          self.device.uuid, bytes(16), 0, 0, 0, 0, 0, bytes(16), os.urandom(32))

    def refuse(self, connection, reason):
        self.send(connection, REFUSED, struct.pack("<II", reason, 0))
        self.receive(connection, 1)
        return False

    def shake_hands(self, connection):
        kind, theirs, _ = self.receive_frame(connection)
        fields = HELLO.unpack(theirs)
        assert kind == HELLO_TYPE and fields[2:5] == (ADMIN, 0, 0) and fields[5]
        assert fields[6:9] == (0, 0, 0)
        if fields[9] != self.device.uuid:
            return self.refuse(connection, DEVICE_REFUSED)
        ours = self.hello(theirs)
        self.send(connection, CHALLENGE, ours + self.proof(b"qbd listener", theirs, ours))
        kind, proof, _ = self.receive_frame(connection)
        assert kind == PROOF
        if proof != self.proof(b"qbd dialler", theirs, ours):
            return self.refuse(connection, SECRET_REFUSED)
        self.send(connection, WELCOME)
        return True

    def answer(self, connection):
        kind, fixed, data = self.receive_frame(connection)
        what, count, block, sequence, session, *_ = REQUEST.unpack(fixed)
        assert kind == REQUEST_TYPE and not block
        with self.device.lock:
            if what == DESCRIBE:
                self.described += 1
                status, detail, member, block = OK, 0, 0, self.describe()
            else:
                assert what == CHANGE and count == 1
                status, detail, member = self.change(data)
                block = b""
        self.reply(connection, sequence, session, status, block, detail, member)

    def reply(self, connection, sequence, session, status, block, detail, member):
        self.send(connection, REPLY_TYPE, REPLY.pack(sequence, session, 0, status,
                                                     len(block) // BLOCK, detail, member, 0),
                  block)

    def describe(self):
        return self.device.description(self.number)

    def change(self, wanted):
        if self.device.leader != self.number:
            return REFUSED_STATUS, NOT_LEADER_YET, 0
        return self.device.change(wanted)
