#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Bring crash states up with the module: members that lost their power together.

usage: bring_up.py SHAPE NAME...    (in User-mode Linux; started by run)

Each directory NAME in $QBD_RESULT holds an image of each member's disk. They have to come up,
elect a leader, agree, and hold the same; what the device then reads as is left in the file
content.
"""

import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "cluster"))
sys.path.insert(0, HERE)

from guest import BLOCK, DISK_MIB, Shape  # noqa: E402
from lib import kernel  # noqa: E402
from lib.disks import Disk  # noqa: E402
from lib.shell import run, wait_until  # noqa: E402


def expected_sizes(directory, count):
    sizes = set()
    for number in range(1, count + 1):
        path = "%s/expected-%d" % (directory, number)
        if os.path.exists(path):
            sizes.add(os.path.getsize(path) // 8)
    return sizes


def bring_up(cluster, name):
    kernel.say("bring up " + name)
    directory = os.path.join(os.environ["QBD_RESULT"], name)
    for member in cluster.members:
        path = "%s/member-%d.img" % (directory, member.number)
        # Who had not joined by then has none.
        member.removed = not os.path.exists(path)
        if not member.removed:
            member.disk.copy_from(path)
    cluster.up()
    cluster.wait_caught_up()
    for member in cluster.running():
        status = member.status()
        assert not status.get("damaged"), status
    # It shows a size when that is durable, which may be after it is applied.
    sizes = expected_sizes(directory, len(cluster.members))
    wait_until("%s: a device of %s" % (name, sizes), lambda: int(run(
        ["blockdev", "--getsize64", cluster.leader().device]).output) // BLOCK in sizes)
    run(["dd", "if=" + cluster.leader().device, "of=" + directory + "/content", "bs=1M",
         "iflag=direct", "status=none"])
    cluster.down_all()
    cluster.assert_equal()


def main():
    shape = Shape(sys.argv[1])
    with shape.cluster([Disk(DISK_MIB) for _ in range(shape.disks)]) as cluster:
        cluster.check_equal = False
        for name in sys.argv[2:]:
            bring_up(cluster, name)
            print("brought up " + name, flush=True)


if __name__ == "__main__":
    main()
