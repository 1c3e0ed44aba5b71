# SPDX-License-Identifier: GPL-2.0
"""Filesystems on a device: made, mounted, filled, compared, checked."""

import fcntl
import os
import struct

from .shell import run, wait_until

TREE = "/usr/include/linux"
MKFS = {"ext4": ["mkfs.ext4", "-q"], "xfs": ["mkfs.xfs", "-q"],
        "btrfs": ["mkfs.btrfs", "-q"]}
CHECK = {"ext4": ["fsck.ext4", "-fn"], "xfs": ["xfs_repair", "-n"],
         "btrfs": ["btrfs", "check", "--readonly"]}
POINT = "/tmp/mnt"


def make(kind, device):
    run([*MKFS[kind], device], timeout=60)


def check(kind, device):
    """fsck finds nothing to repair."""
    run([*CHECK[kind], device], timeout=60)


class Mount:
    """A filesystem mounted for the length of a with block."""

    def __init__(self, device, options="defaults", point=POINT):
        self.device = device
        self.options = options
        self.point = point

    def __enter__(self):
        os.makedirs(self.point, exist_ok=True)
        run(["mount", "-o", self.options, self.device, self.point])
        return self.point

    def __exit__(self, *_):
        # A process that was just ended may still hold it for a moment.
        wait_until("umount " + self.point, lambda: run(
            ["umount", self.point], check=False, timeout=60).status == 0, 60)


def digest(directory):
    """One checksum of all names and contents in a directory."""
    return run(["sh", "-c", "cd %s && find . -type f | LC_ALL=C sort | "
                "xargs -d '\\n' sha256sum | sha256sum" % directory], timeout=60).output


def copy_tree(point):
    run(["cp", "-r", TREE, point + "/tree"], timeout=60)
    run(["sync", "-f", point], timeout=60)


def grow_ext4(point, size):
    """As resize2fs does for one that is mounted; older ones want the disk for themselves."""
    ext4_ioc_resize_fs = 0x40086610
    root = os.open(point, os.O_RDONLY)
    fcntl.ioctl(root, ext4_ioc_resize_fs,
                struct.pack("Q", size // os.statvfs(point).f_frsize))
    os.close(root)
