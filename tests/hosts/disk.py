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
