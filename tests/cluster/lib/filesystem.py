# SPDX-License-Identifier: GPL-2.0
"""Filesystems on a device: made, mounted, filled, compared, checked."""

import os

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


def grow(kind, device, point):
    """One that is mounted, as people do it. Return: its size in MiB."""
    run({"ext4": ["resize2fs", device], "xfs": ["xfs_growfs", point],
         "btrfs": ["btrfs", "filesystem", "resize", "max", point]}[kind], timeout=60)
    now = os.statvfs(point)
    return now.f_blocks * now.f_frsize >> 20
