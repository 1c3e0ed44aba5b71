# SPDX-License-Identifier: GPL-2.0
"""A member's disk, written down a second time and independently of the tool.

What the headers in kmod/format say, in Python: tests make disks with it, good and
bad ones, and look at disks that the tool made.
"""

import os
import struct
import uuid

BLOCK = 4096
MIB = 256                       # blocks
VERSION = 1
SUPERBLOCK, STATE, APPLIED, EXTENTS, RECORD = (
    int.from_bytes(b"QBD" + kind, "little") for kind in (b"S", b"T", b"A", b"E", b"R"))
NOOP, DATA, MEMBERSHIP = 1, 2, 3
WRITE, ZERO = 1, 2
FILLING, CLEAN, FAILED, NEW = 1, 2, 4, 8
STATE_BLOCKS = (16, 32)
JOURNAL = 64
COPY_BLOCK = 192
TABLE = 256
PER_BLOCK = 253

TABLE_32C = []
for _byte in range(256):
    for _bit in range(8):
        _byte = (_byte >> 1) ^ (0x82F63B78 if _byte & 1 else 0)
    TABLE_32C.append(_byte)


def crc32c(data, seed=0xFFFFFFFF):
    for byte in data:
        seed = (seed >> 8) ^ TABLE_32C[(seed ^ byte) & 0xFF]
    return seed


def pad(data, size=BLOCK):
    assert len(data) <= size
    return data + bytes(size - len(data))


def seal(body, magic, position, device, version=VERSION):
    """A metadata block: header (40 bytes) and body, with its checksum."""
    head = struct.pack("<II", magic, version)
    rest = struct.pack("<IQ", 0, position) + device.bytes + body
    block = pad(head + bytes(4) + rest)
    return block[:8] + struct.pack("<I", crc32c(block)) + block[12:]


def is_sealed(block):
    (found,) = struct.unpack_from("<I", block, 8)
    return found == crc32c(block[:8] + bytes(4) + block[12:])


MEMBER_SIZE = 80
MEMBERS_SIZE = 16 + MEMBER_SIZE * 16


def member(number, name, host, port=7900, flags=1, incarnation=bytes(16)):
    return (struct.pack("<IHBB", number, flags, 100, 0) +
            struct.pack("<HHI", 4, port, 0) +
            pad(bytes(map(int, host.split("."))), 16) + pad(name.encode(), 32) + incarnation)


def membership(members, index=0, following=None):
    return pad(struct.pack("<QII", index, len(members), following or len(members) + 1) +
               b"".join(members), MEMBERS_SIZE)


THREE = membership([member(1, "alpha", "192.0.2.1"), member(2, "beta", "192.0.2.2"),
                    member(3, "gamma", "192.0.2.3")])


class Disk:
    """An image with all that a member's disk has; write() puts it into a file."""

    def __init__(self, name="vol0", member_id=1, device_blocks=4 * MIB, log_blocks=8 * MIB,
                 device=None, table_blocks=1, extent_shift=20, witness=False, client=False):
        self.uuid = device or uuid.uuid4()
        self.incarnation = uuid.uuid4()
        self.secret = os.urandom(32)
        self.name = name
        self.member_id = member_id
        self.extent_shift = extent_shift
        self.device_blocks = device_blocks
        self.table_blocks = table_blocks
        self.log_block = TABLE + MIB
        self.log_blocks = log_blocks
        self.data_block = self.log_block + log_blocks
        self.backing_blocks = self.data_block + device_blocks + MIB
        self.features = 0
        if witness or client:
            self.features = 3 if client else 1
            self.table_blocks, self.data_block = 0, 0
            self.backing_blocks = self.log_block + log_blocks + 1
        self.version = VERSION
        self.state = dict(sequence=1, term=0, vote=0, flags=CLEAN, durable=0, commit=0,
                          applied=0, first=1, position=0, previous_term=0,
                          previous_chain=0, fill_base=0, fill_index=0, fill_term=0,
                          fill_cursor=0, fill_through=0, generation=0, truncated=0,
                          applied_term=0, applied_position=0, applied_chain=0,
                          claim=(0, 0, 0, 0), sessions={}, without_data=0)
        self.members = THREE
        self.changed = {}
        self.blocks = {}
        # the log as it is being written
        self.next_index, self.next_position, self.chain, self.term = 1, 0, 0, 1
        self.chains = []

    def superblock(self, position):
        body = (struct.pack("<QQII", self.features, 0, self.member_id, self.extent_shift) +
                self.incarnation.bytes + pad(self.name.encode(), 64) +
                struct.pack("<QQQQQQQ", 1700000000, self.backing_blocks, self.device_blocks,
                            self.table_blocks, self.log_block, self.log_blocks,
                            self.data_block) + self.secret)
        return seal(body, SUPERBLOCK, position, self.uuid, self.version)

    def state_block(self, slot, version=VERSION, **changes):
        state = dict(self.state, **changes)
        body = struct.pack("<QQIIQQQQQQIIQQQQQ", state["sequence"], state["term"],
                           state["vote"], state["flags"], state["durable"],
                           state["commit"], state["applied"], state["first"],
                           state["position"], state["previous_term"],
                           state["previous_chain"], 0, state["fill_base"],
                           state["fill_index"], state["fill_term"],
                           state["fill_cursor"], state["fill_through"])
        body += self.members
        body += struct.pack("<QQQQII", state["generation"], state["truncated"],
                            state["applied_term"], state["applied_position"],
                            state["applied_chain"], 0)
        body += self.members
        return seal(body, STATE, STATE_BLOCKS[slot], self.uuid, version)

    def applied_block(self, slot, version=VERSION, **changes):
        """The second block of a slot.

        claim: (epoch, session, holder, mode); sessions: {origin: (session, below, logged)};
        without_data: entries
        """
        state = dict(self.state, **changes)
        body = struct.pack("<QQQII", state["sequence"], *state["claim"]) + bytes(16)
        for origin, (session, below, logged) in sorted(state["sessions"].items()):
            body += struct.pack("<IIQQ", origin, 0, session, below)
            body += logged.to_bytes(128, "little")
        body += bytes((16 - len(state["sessions"])) * 152)
        body += struct.pack("<Q", state["without_data"])
        return seal(body, APPLIED, STATE_BLOCKS[slot] + 1, self.uuid, version)

    def slot(self, slot, **changes):
        """Both blocks of one, by number of block."""
        return {STATE_BLOCKS[slot]: self.state_block(slot, **changes),
                STATE_BLOCKS[slot] + 1: self.applied_block(slot, **changes)}

    def extent_block(self, number):
        body = bytes(8)
        for extent in range(number * PER_BLOCK, (number + 1) * PER_BLOCK):
            body += struct.pack("<QQ", self.changed.get(extent, 0), 0)
        return seal(body, EXTENTS, TABLE + number, self.uuid)

    def record(self, operations=(), kind=None, member_id=None, generation=0, durable=None,
               commit=None, chain_previous=None, position=None, index=None):
        """Blocks of the next record: header and data; nothing is remembered.

        operations: ("write", first block, data) or ("zero", first block, count)
        """
        index = self.next_index if index is None else index
        position = self.next_position if position is None else position
        previous = self.chain if chain_previous is None else chain_previous
        packed, data = b"", b""
        for sequence, (what, block, arg) in enumerate(operations, 1):
            if what == "write":
                count, crc, code = len(arg) // BLOCK, crc32c(arg), WRITE
                data += arg
            else:
                count, crc, code = arg, 0, ZERO
            packed += struct.pack("<QIIHHIQQQ", block, count, crc, code, 0, self.member_id,
                                  1, sequence, 0)
        tail = struct.pack("<IHHQQII", previous, kind or (DATA if operations else NOOP),
                           len(operations), index, self.term, len(data) // BLOCK,
                           0) + bytes(24)
        chain = crc32c(packed, crc32c(tail, crc32c(self.uuid.bytes, previous)))
        shared = struct.pack("<II", RECORD, chain) + tail
        local = struct.pack("<QQQQ", position, index - 1 if durable is None else durable,
                            index - 1 if commit is None else commit, generation)
        local += bytes(24) + struct.pack("<I", member_id or self.member_id)
        crc = crc32c(shared + local + bytes(4) + packed)
        header = pad(shared + local + struct.pack("<I", crc) + packed)
        return header + data, chain

    def append(self, *operations, **how):
        """The next record, into the ring."""
        data, chain = self.record(operations, **how)
        for number in range(len(data) // BLOCK):
            place = (self.next_position + number) % self.log_blocks
            self.blocks[self.log_block + place] = data[number * BLOCK:(number + 1) * BLOCK]
        self.next_index += 1
        self.next_position += len(data) // BLOCK
        self.chain = chain
        self.chains.append(chain)

    def data(self, block, data):
        """Contents of the data area."""
        for number in range(len(data) // BLOCK):
            self.blocks[self.data_block + block + number] = \
                data[number * BLOCK:(number + 1) * BLOCK]

    def settle(self):
        """The log so far is durable, committed and applied, and was closed in order."""
        last = self.next_index - 1
        self.state.update(durable=last, commit=last, applied=last, flags=CLEAN,
                          applied_term=self.term, applied_position=self.next_position,
                          applied_chain=self.chain)

    def contents(self):
        """All blocks by number: those of self.blocks, and what these do not have already."""
        blocks = {0: self.superblock(0),
                  COPY_BLOCK: self.superblock(COPY_BLOCK),
                  **self.slot(0), **self.slot(1, sequence=0)}
        for number in range(self.table_blocks):
            blocks[TABLE + number] = self.extent_block(number)
        blocks.update(self.blocks)
        return blocks

    def write(self, path):
        with open(path, "wb") as file:
            file.truncate(self.backing_blocks * BLOCK)
            for position, block in self.contents().items():
                assert len(block) == BLOCK
                file.seek(position * BLOCK)
                file.write(block)
        return path
