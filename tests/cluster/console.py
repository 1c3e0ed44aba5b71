#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A shell in a running cluster: run in a guest, see scripts/uml/shell.

usage: console.py [MEMBERS]      (default 3)
"""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib.cluster import Cluster  # noqa: E402

HELP = """
Device "%(name)s" has %(count)d members in the network namespaces m1 to m%(count)d.
  m1 qbdadm status        any command, at member 1
  cut 2; heal             cut member 2 off from the others; end all cuts
  device 1                the block device of member 1
  help                    this text
Leave with exit; nothing stays.
"""

FUNCTIONS = """
PS1='qbd \\w # '
%(members)s
device() { m$1 qbdadm status %(name)s --json | sed -n 's/.*"number": *\\([0-9]*\\).*/\\/dev\\/qbd\\1/p' | head -n 1; }
cut() { local other; for other in %(numbers)s; do [ "$other" = "$1" ] ||
	ip netns exec hub nft "add element bridge cut blocked { p$1 . p$other, p$other . p$1 }"; done; }
heal() { ip netns exec hub nft "flush set bridge cut blocked"; }
help() { cat /tmp/console-help; }
help
"""


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with Cluster(count, disk_mib=512, size="256M") as cluster:
        cluster.check_equal = False
        numbers = [str(member.number) for member in cluster.members]
        names = {"name": cluster.name, "count": count, "numbers": " ".join(numbers),
                 "members": "\n".join('m%s() { ip netns exec m%s "$@"; }' % (n, n)
                                      for n in numbers)}
        with open("/tmp/console-help", "w") as file:
            file.write(HELP % names)
        with open("/tmp/console-rc", "w") as file:
            file.write(FUNCTIONS % names)
        subprocess.run(["bash", "--rcfile", "/tmp/console-rc", "-i"])


if __name__ == "__main__":
    main()
