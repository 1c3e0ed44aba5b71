# SPDX-License-Identifier: GPL-2.0
"""Damage to what a member's disk holds, while the member is down."""

import json
import os
import random

from .shell import run
from .workload import BLOCK, direct_buffer, direct_read

# Where things are on every disk: Documentation/on-disk-format.rst.
STATE_BLOCKS = (16, 32)
JOURNAL_BLOCK, JOURNAL_BLOCKS = 64, 128
TABLE_BLOCK = 256
LOG_BLOCK = 512         # of small disks
VERSION_OFFSET = 4


def dump(disk, *options):
    """What qbdadm dump says of a disk."""
    return json.loads(run(["qbdadm", "dump", "--json", *options, disk.path]).output)


def data_block(disk):
    """Where the data begins on a member's disk."""
    copies = dump(disk)["superblocks"]
    return next(copy["data_block"] for copy in copies if copy["verdict"] == "good")


def current_state(disk):
    return next(slot for slot in dump(disk)["states"] if slot["current"])


def is_mirrored(found):
    """Do both state blocks of a dump say the same, so that one may be lost?"""
    one, other = ({name: value for name, value in slot.items() if name not in
                   ("block", "current", "sequence")} for slot in found["states"])
    return one == other and one["verdict"] == "good"


def is_whole(disk):
    """Can the member go on with this disk, and lacks nothing that it acknowledged?"""
    found = dump(disk)
    state = next(slot for slot in found["states"] if slot["current"])
    return not (state["new"] or state["filling"] or state["failed"]) and \
        found["log"]["verdict"] != "damaged" and not found["extents"]["table_blocks_bad"]


def read_block(disk, block):
    return direct_read(disk.path, block * BLOCK, BLOCK)


def write_block(disk, block, data):
    """Past all caches, the disk's own, too."""
    fd = os.open(disk.path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
    buffer = direct_buffer(data)
    try:
        assert os.pwritev(fd, [buffer], block * BLOCK) == BLOCK
    finally:
        os.close(fd)
        buffer.close()


class Damage:
    """Blocks of a disk, overwritten; undo() puts back what was there."""

    def __init__(self, disk):
        self.disk = disk
        self.before = []

    def write(self, block, data):
        self.before.append((block, read_block(self.disk, block)))
        write_block(self.disk, block, data)

    def flip(self, block, offset=1000):
        """One bit rots."""
        data = bytearray(read_block(self.disk, block))
        data[offset] ^= 1
        self.write(block, bytes(data))

    def copy(self, source, block):
        """A write went to the wrong place."""
        self.write(block, read_block(self.disk, source))

    def rubbish(self, block, count=1):
        source = random.Random(block)
        for number in range(block, block + count):
            self.write(number, source.randbytes(BLOCK))

    def newer(self, block):
        """The block is of a version to come."""
        data = bytearray(read_block(self.disk, block))
        data[VERSION_OFFSET] += 1
        self.write(block, bytes(data))

    def undo(self):
        for block, data in reversed(self.before):
            write_block(self.disk, block, data)
        self.before = []


class Log:
    """The log of a disk whose member is down."""

    def __init__(self, disk):
        self.disk = disk
        found = dump(disk, "--records")
        self.superblock = next(copy for copy in found["superblocks"]
                               if copy["verdict"] == "good")
        self.state = next(slot for slot in found["states"] if slot["current"])
        self.verdict = found["log"]["verdict"]
        self.damaged_through = found["log"].get("damaged_through")
        self.last_index = found["log"]["last_index"]
        self.records = {record["index"]: record for record in
                        found["log"]["record_list"] if record["verdict"] == "good"}

    def proven_durable(self):
        """The highest index that the disk itself says was durable."""
        return max([self.state["durable_index"]] +
                   [record["durable_index"] for record in self.records.values()])

    def block(self, index, number=0):
        """Where on the disk a record's header is, or a block of its data."""
        place = (self.records[index]["position"] + number) % self.superblock["log_blocks"]
        return self.superblock["log_block"] + place

    def blocks(self, first):
        """All blocks of the records from first on."""
        return [self.block(index, number) for index in range(first, self.last_index + 1)
                for number in range(self.records[index]["data_blocks"] + 1)]
