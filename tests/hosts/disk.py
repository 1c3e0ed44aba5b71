# SPDX-License-Identifier: GPL-2.0
"""What is on a member's disk, and how something else gets there."""

import json
import os
import subprocess

from device import REPO, tap

BLOCK = 4096


def on_disk(host, *options):
    """What its disk holds, without what was not flushed; it moves while its host is up."""
    answer = subprocess.run(
        [os.path.join(REPO, "build/userspace/qbdadm"), "dump", host.disks[0], "--json",
         *options], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    return json.loads(answer.stdout)


def layout(dump):
    """A superblock that is good."""
    return next(copy for copy in dump["superblocks"] if copy["verdict"] == "good")


def current(dump):
    """The state that counts."""
    return next(state for state in dump["states"] if state["current"])


def good_records(dump):
    """{index: record} of the log."""
    return {record["index"]: record for record in dump["log"]["record_list"]
            if record["verdict"] == "good"}


def known_durable(dump):
    """The last record of which the disk knows that it was acknowledged: damaged it is no torn
    tail, as any later one would be."""
    return max([current(dump)["durable_index"]] +
               [record["durable_index"] for record in good_records(dump).values()])


def durable_records(dump):
    """Records that were acknowledged, by the disk itself: those that are applied, and others."""
    applied, last = current(dump)["applied_index"], known_durable(dump)
    found = [], []
    for index, record in good_records(dump).items():
        if index <= last:
            found[index > applied].append(record)
    return found


# While a host is up the file is not what it reads: a cache is in between.

def read_block(host, block):
    if not host.running():
        with open(host.disks[0], "rb") as disk:
            disk.seek(block * BLOCK)
            return disk.read(BLOCK)
    command = host.spawn("dd if=/dev/vda bs=%d skip=%d count=1 iflag=direct status=none" %
                         (BLOCK, block))
    tap.equal(command.wait(), 0, "reading a block: %s: status" % command.text())
    return command.output


def write_block(host, block, content):
    """It stays when the host loses its power."""
    if not host.running():
        with open(host.disks[0], "r+b") as disk:
            disk.seek(block * BLOCK)
            disk.write(content)
        return
    host.run("dd of=/dev/vda bs=%d seek=%d iflag=fullblock oflag=direct conv=fsync,notrunc "
             "status=none" % (BLOCK, block), data=content)
