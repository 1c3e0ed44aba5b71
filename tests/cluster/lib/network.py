# SPDX-License-Identifier: GPL-2.0
"""One network namespace per member and a bridge between them.

Namespace m1 holds eth0 with 10.0.0.1 and fd00::1, and so on; namespace hub
holds the bridge and its ports p1, p2, ...  Cuts are made in the bridge, so that
neither side notices a lost link.
"""

import fcntl
import os
import socket
import struct

from .shell import namespace, run, write_file

HUB = "hub"


def member_namespace(number):
    return "m%d" % number


def address(number, family=4):
    return "10.0.0.%d" % number if family == 4 else "fd00::%d" % number


CUT = ("add table bridge cut; "
       "add set bridge cut blocked { typeof meta iifname . meta oifname; }; "
       "add set bridge cut narrow { typeof meta iifname . meta oifname; }; "
       "add chain bridge cut forward { type filter hook forward priority 0; }; "
       "add rule bridge cut forward meta iifname . meta oifname @blocked drop; "
       "add rule bridge cut forward meta iifname . meta oifname @narrow meta length > %d drop; ")
# What gets through where a path is narrow: handshakes and heartbeats do, a block does not.
NARROW = 1000

# linux/sockios.h
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891c
IFF_UP = 1


def set_up(number):
    """Addresses and links of the namespace that this is called in, without ip: its start
    takes longer than what it does."""
    # Nobody asks whether somebody else has the address, and waits for an answer.
    write_file("/proc/sys/net/ipv6/conf/eth0/accept_dad", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, \
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        for order, text in ((SIOCSIFADDR, address(number)), (SIOCSIFNETMASK, "255.255.255.0")):
            fcntl.ioctl(one, order, struct.pack("16sH2x4s16x", b"eth0", socket.AF_INET,
                                                socket.inet_aton(text)))
        for name in (b"lo", b"eth0"):
            flags = struct.unpack_from("h", fcntl.ioctl(
                one, SIOCGIFFLAGS, struct.pack("40s", name)), 16)[0]
            fcntl.ioctl(one, SIOCSIFFLAGS, struct.pack("16sh22x", name, flags | IFF_UP))
        fcntl.ioctl(other, SIOCSIFADDR, struct.pack(
            "16sIi", socket.inet_pton(socket.AF_INET6, address(number, 6)), 64,
            socket.if_nametoindex("eth0")))


class Network:
    """The members 1..count, connected."""

    def __init__(self, count):
        self.numbers = list(range(1, count + 1))
        self.ruled = False          # there is something to cut with
        self.cuts = False           # and something may be cut
        self.build(self.numbers, ["netns add " + HUB],
                   ["link add br0 type bridge forward_delay 0 mcast_snooping 0",
                    "link set br0 up"])

    def nft(self, text):
        """What makes cuts comes with the first one: many tests make none."""
        run(["nft", text if self.ruled else CUT % NARROW + text], netns=HUB)
        self.ruled = True

    def change(self, order, pairs, what="blocked"):
        if pairs:
            self.cuts = True
            self.nft("%s element bridge cut %s { %s }" %
                     (order, what, ", ".join("p%d . p%d" % pair for pair in pairs)))

    def cut_one_way(self, source, target):
        """Nothing gets from source to target any more."""
        self.change("add", [(source, target)])

    def narrow_to(self, source, *targets):
        """Large packets to these are lost, and nobody is told; small ones pass."""
        self.change("add", [(source, target) for target in targets], "narrow")

    def cut(self, one, other):
        self.change("add", [(one, other), (other, one)])

    def mend(self, one, other):
        """Only these two: there is no moment at which others could talk as well."""
        self.change("delete", [(one, other), (other, one)])

    def isolate(self, *numbers):
        """Cut these off from all others; among them they keep talking."""
        rest = [number for number in self.numbers if number not in numbers]
        self.change("add", [(a, b) for a in numbers for b in rest] +
                    [(b, a) for a in numbers for b in rest])

    def narrow(self, number):
        """Large packets to and from this member are lost."""
        for other in self.numbers:
            if other != number:
                self.narrow_to(number, other)
                self.narrow_to(other, number)

    def heal(self):
        if self.cuts:
            self.nft("flush set bridge cut blocked; flush set bridge cut narrow")
        self.cuts = False

    def set_cuts(self, pairs):
        """These cuts, (source, target), instead of all that there is, all at once."""
        text = "flush set bridge cut narrow; flush set bridge cut blocked"
        if pairs:
            text += "; add element bridge cut blocked { %s }" % ", ".join(
                "p%d . p%d" % pair for pair in sorted(pairs))
        self.nft(text)
        self.cuts = bool(pairs)

    def reset(self, one, other):
        """The connections between two members end with a reset at both."""
        run(["ss", "-K", "dst", address(other)], netns=member_namespace(one))

    def know_neighbours(self):
        """Nobody has to ask for addresses: nothing protects the answers from damage."""
        for number in self.numbers:
            lines = ["neigh replace %s lladdr 02:00:00:00:00:%02x dev eth0 nud permanent" %
                     (address(other, family), other) for other in self.numbers
                     if other != number for family in (4, 6)]
            run(["ip", "-n", member_namespace(number), "-batch", "-"],
                data="\n".join(lines) + "\n")

    def shape(self, number, *netem):
        """netem in both directions at this member's port; no arguments: undo."""
        for netns, device in ((HUB, "p%d" % number),
                              (member_namespace(number), "eth0")):
            if netem:
                run(["tc", "-n", netns, "qdisc", "replace", "dev", device,
                     "root", "netem", *netem])
            else:
                run(["tc", "-n", netns, "qdisc", "del", "dev", device, "root"],
                    check=False)

    def add(self, *numbers):
        """Namespaces of these members, connected to the bridge."""
        self.build(numbers)

    def build(self, numbers, namespaces=(), links=()):
        namespaces = [*namespaces, *("netns add " + member_namespace(number)
                                     for number in numbers)]
        run(["ip", "-batch", "-"], data="\n".join(namespaces) + "\n")
        links = list(links)
        for number in numbers:
            # The same each time: others remember it as long as it takes.
            links += ["link add p%d type veth peer name eth0 address 02:00:00:00:00:%02x"
                      " netns %s" % (number, number, member_namespace(number)),
                      "link set p%d master br0 up" % number]
        run(["ip", "-n", HUB, "-batch", "-"], data="\n".join(links) + "\n")
        for number in numbers:
            with namespace(member_namespace(number)):
                set_up(number)

    def delete(self, number):
        """Delete a member's namespace; add() makes another one.

        The kernel takes it apart when ip has ended. Its end of the link goes last of
        all, and the other end with it: see exists().
        """
        run(["ip", "netns", "del", member_namespace(number)])

    def exists(self, number):
        """Is there still something of the member's namespace?"""
        return run(["ip", "-n", HUB, "link", "show", "p%d" % number],
                   check=False).status == 0

    def close(self):
        # A test that failed may have deleted one of them.
        names = [name for name in map(member_namespace, self.numbers)
                 if os.path.exists("/run/netns/" + name)]
        lines = ["netns del " + name for name in names + [HUB]]
        run(["ip", "-batch", "-"], data="\n".join(lines) + "\n")
