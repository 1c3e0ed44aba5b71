# SPDX-License-Identifier: GPL-2.0
"""Device-mapper tables without dmsetup, whose start takes longer than what it does.

Only what ends soon whatever the disks do: a program that hangs is found out, we are not.
"""

import errno
import fcntl
import os
import stat
import struct

# struct dm_ioctl: version, sizes, targets, open count, flags, event, device, name.
HEADER = struct.Struct("=3I 2I I i I I 4x Q 128s 136x")
# struct dm_target_spec, with the target's arguments behind it.
TARGET = struct.Struct("=QQ 4x I 16s")
CREATE, REMOVE, RESUME, LOAD = 3, 4, 6, 9


def order(number, name, targets=()):
    """One ioctl of /dev/mapper/control; the device's number."""
    data = b"".join(targets)
    request = bytearray(HEADER.pack(4, 0, 0, HEADER.size + len(data), HEADER.size,
                                    len(targets), 0, 0, 0, 0, name.encode()) + data)
    with open("/dev/mapper/control", "rb") as control:
        fcntl.ioctl(control, 3 << 30 | HEADER.size << 16 | 0xfd << 8 | number, request)
    return HEADER.unpack_from(request)[9]


def target(row):
    """A row of a table: its first sector, length, target, arguments."""
    start, length, kind, *arguments = row.split(None, 3)
    text = "".join(arguments).encode() + b"\0"
    text += bytes(-len(text) % 8)
    return TARGET.pack(int(start), int(length), TARGET.size + len(text), kind.encode()) + text


def create(name, table):
    device = order(CREATE, name)
    try:
        order(LOAD, name, [target(row) for row in table.split("\n")])
        order(RESUME, name)
    except OSError:
        order(REMOVE, name)
        raise
    # As dmsetup does it where there is no udev.
    os.mknod("/dev/mapper/" + name, stat.S_IFBLK | 0o660,
             os.makedev(device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00))


def remove(name):
    """False if somebody has it open."""
    try:
        order(REMOVE, name)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    os.unlink("/dev/mapper/" + name)
    return True
