# SPDX-License-Identifier: GPL-2.0
"""Filesystems and fio on the device, at the leader and through a follower."""

import os

from lib import filesystem
from lib.cluster import Cluster
from lib.filesystem import Mount
from lib.registry import test
from lib.shell import run
from lib.workload import BLOCK, Child, direct_read, pattern

SIZE = {"ext4": "64M", "xfs": "320M", "btrfs": "128M"}


def copy_and_compare(kind, at_leader):
    """mkfs, copy a tree in, compare after a new mount, fsck."""
    with Cluster(3, size=SIZE[kind], disk_mib=440) as cluster:
        leader = cluster.leader()
        member = leader if at_leader else cluster.others(leader)[0]
        filesystem.make(kind, member.device)
        with Mount(member.device) as point:
            filesystem.copy_tree(point)
        for other in cluster.members:
            with Mount(other.device, "ro") as point:
                found = filesystem.digest(point + "/tree")
            assert found == filesystem.digest(filesystem.TREE), "at %r" % other
        filesystem.check(kind, member.device)


@test("files", timeout=60)
def ext4_at_leader():
    """A tree on ext4, mounted at the leader."""
    copy_and_compare("ext4", True)


@test("files", timeout=60)
def ext4_at_follower():
    """A tree on ext4, mounted at a follower."""
    copy_and_compare("ext4", False)


@test("files", timeout=60)
def xfs_at_leader():
    """A tree on xfs, mounted at the leader."""
    copy_and_compare("xfs", True)


@test("files", timeout=60)
def xfs_at_follower():
    """A tree on xfs, mounted at a follower."""
    copy_and_compare("xfs", False)


@test("files", timeout=60)
def btrfs_at_leader():
    """A tree on btrfs, mounted at the leader."""
    copy_and_compare("btrfs", True)


@test("files", timeout=60)
def btrfs_at_follower():
    """A tree on btrfs, mounted at a follower."""
    copy_and_compare("btrfs", False)


@test("files", timeout=60)
def held_open_elsewhere():
    """Who holds the device open elsewhere, and has old blocks cached, mounts what is there."""
    with Cluster(3, size="64M", disk_mib=440) as cluster:
        one, *others = cluster.members
        filesystem.make("ext4", one.device)
        holders = [open(member.device, "rb") for member in others]
        try:
            for holder in holders:
                holder.read()
            with Mount(one.device) as point:
                filesystem.copy_tree(point)
            for member in others:
                with Mount(member.device, "ro") as point:
                    found = filesystem.digest(point + "/tree")
                assert found == filesystem.digest(filesystem.TREE), "at %r" % member
            # Whoever has it mounted keeps what is cached, whoever else opens it.
            with Mount(others[0].device, "ro") as point, open(others[0].device, "rb"):
                assert os.listdir(point + "/tree")
        finally:
            for holder in holders:
                holder.close()


def fio_command(device, *options):
    return ["fio", "--name=verify", "--filename=" + device, "--thread", "--direct=1",
            "--clocksource=clock_gettime", "--ioengine=io_uring", "--verify=crc32c",
            "--verify_fatal=1", "--randrepeat=0", "--output-format=terse", *options]


def fio(device, *options):
    run(fio_command(device, *options), timeout=60)


def fio_everywhere(at_leader):
    """Blocks of all sizes, at random and in order; then partial pages."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        member = leader if at_leader else cluster.others(leader)[0]
        fio(member.device, "--rw=randwrite", "--bsrange=4k-1M", "--blockalign=4k",
            "--size=32M", "--io_size=48M", "--iodepth=16")
        fio(member.device, "--rw=randwrite", "--bs=4k", "--offset=32M", "--size=8M",
            "--iodepth=64")
        fio(member.device, "--rw=write", "--bs=4M", "--size=40M", "--iodepth=4")
        # Pages that begin in the middle of a memory page.
        fio(member.device, "--rw=randwrite", "--bs=64k", "--iomem_align=512",
            "--mem=mmap", "--size=16M", "--iodepth=8")


@test("files", timeout=90)
def fio_verify_at_leader():
    """fio --verify at the leader, 4 KiB to 4 MiB."""
    fio_everywhere(True)


@test("files", timeout=90)
def fio_verify_at_follower():
    """fio --verify through a follower, 4 KiB to 4 MiB."""
    fio_everywhere(False)


def write_blocks(device, first, count):
    child = Child(lambda report: put_blocks(device, first, count))
    child.wait()
    child.close()


def put_blocks(device, first, count):
    with open(device, "r+b", buffering=0) as file:
        file.seek(first * BLOCK)
        file.write(b"".join(pattern(1, number) for number in range(count)))


def zero_and_compare(cluster, member, argv):
    """A hole in written data reads as zeroes, what is beside it stays."""
    write_blocks(member.device, 0, 1024)
    run([*argv, "--offset", 100 * BLOCK, "--length", 300 * BLOCK, member.device])
    for reader in cluster.members:
        data = direct_read(reader.device, 0, 1024 * BLOCK)
        for number in range(1024):
            block = data[number * BLOCK:(number + 1) * BLOCK]
            want = bytes(BLOCK) if 100 <= number < 400 else pattern(1, number)
            assert block == want, "block %d at %r" % (number, reader)


@test("files")
def discard_and_write_zeroes():
    """Discarded and zeroed blocks read as zeroes on every member."""
    with Cluster(3) as cluster:
        for member in (cluster.leader(), cluster.others(cluster.leader())[0]):
            zero_and_compare(cluster, member, ["blkdiscard"])
            zero_and_compare(cluster, member, ["blkdiscard", "--zeroout"])
        # All of it: several requests of 64 MiB at most.
        run(["blkdiscard", member.device])
        assert not any(direct_read(member.device, 0, 1024 * BLOCK))


@test("files")
def unaligned_io_is_refused():
    """Direct I/O of 512 bytes is refused, buffered writes of 512 bytes work."""
    with Cluster(1) as cluster:
        device = cluster.member(1).device
        result = run(["dd", "if=/dev/zero", "of=" + device, "bs=512", "count=1",
                      "oflag=direct"], check=False)
        assert result.status != 0 and "Invalid argument" in result.text, result.text
        run(["dd", "if=/dev/zero", "of=" + device, "bs=512", "count=3", "seek=5",
             "conv=fsync"])
