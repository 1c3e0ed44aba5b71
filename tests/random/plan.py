# SPDX-License-Identifier: GPL-2.0
"""What a seed decides before anything happens: members, sizes, weather, kinds of fault.

Swarm testing: each run has some kinds of fault, not all, so that each kind is often
alone with a few others.
"""

import random

COUNTS = (3, 3, 3, 3, 4, 5, 5, 5, 6, 7, 7, 9)

# Kinds of fault that there are in every run: what went away comes back.
ALWAYS = ("power_on", "heal_network", "heal_disks")

# How often a kind is drawn, in relation to others.
KINDS = {
    "power_on": 8, "heal_network": 6, "heal_disks": 3,
    "power_cut": 2, "down": 2, "outage": 1, "minority_power_cut": 1,
    "leader_power_cut": 1,
    "cut": 2, "cut_one_way": 2, "isolate": 2, "leader_isolate": 1, "ring": 1, "split": 1,
    "reset": 2, "weather": 2,
    "hang_disk": 2, "slow_disk": 1, "read_errors": 1, "write_errors": 1,
    "rot": 2, "new_disk": 2,
    "move": 2, "policy": 1, "election_timeout": 1, "window": 1, "read_mode": 1,
}

OPERATIONS_PER_SECOND = 700


class Plan:
    def __init__(self, seed, members=None, seconds=None, only=()):
        source = random.Random("plan %d" % seed)
        self.seed = seed
        count = source.choice(COUNTS)
        self.members = members or count
        length = source.uniform(8, 20)
        self.seconds = seconds or length
        kinds = [kind for kind in KINDS if source.random() < 0.5]
        if source.random() < 0.2:
            # Leaders come and go as fast as they are elected.
            kinds = ["leader_power_cut", "leader_isolate", "split", "move"]
        self.kinds = sorted(set(only or kinds) | set(ALWAYS))
        # What was asked for shall come about.
        self.weights = [8 if kind in only else KINDS[kind] for kind in self.kinds]
        self.pause = source.choice((0.1, 0.3, 0.6, 1))
        self.device_mib = source.choice((4, 8, 16))
        self.log = source.choice(("8M", "8M", "8M", "16M"))
        self.memory = source.choice(("8M", "8M", "16M", "64M"))
        self.extent = source.choice(("64K", "256K", "1M"))
        self.block = source.choice((512, 4096))
        self.disk_ns = source.choice((0, 20000, 200000, 1000000))
        self.disk_cache = source.choice((1, 4, 16))
        clients = source.choice((1, 2, 3))
        self.clients = max(1, min(clients, 12 // self.members))
        self.big = source.choice((0, 1, 3, 6))
        pause = source.choice((1000, 5000, 15000))
        self.client_pause_us = max(pause, self.members * (self.clients + 1) * 1000000 //
                                   OPERATIONS_PER_SECOND)
        self.weather = weather(source)

    def __str__(self):
        return ("%d members, %d clients and a reader each (pause %d us, %d of 16 operations big), "
                "device %d MiB, log %s, memory %s, extents %s, disks of %d bytes a block, "
                "%d us, cache %d MiB; weather: %s; about %g s between faults of: %s" % (
                    self.members, self.clients, self.client_pause_us, self.big,
                    self.device_mib, self.log, self.memory, self.extent, self.block,
                    self.disk_ns / 1000, self.disk_cache, " ".join(self.weather) or "fair",
                    self.pause, ", ".join(self.kinds)))


def weather(source, bad=False):
    """Arguments of netem. A packet there and back meets it four times."""
    delay = source.choice((0.05, 0.25, 1, 5) + ((30,) if bad else ()))
    words = ["delay", "%gms" % delay]
    if source.random() < 0.5:
        words += ["%gms" % (delay * source.choice((0.1, 0.5, 1)))]
    if source.random() < (0.7 if bad else 0.3):
        words += ["loss", "%g%%" % source.choice((0.1, 1, 3) + ((15,) if bad else ()))]
    if source.random() < 0.3:
        words += ["duplicate", "%g%%" % source.choice((0.2, 2))]
    if source.random() < 0.3:
        words += ["corrupt", "%g%%" % source.choice((0.05, 0.5))]
    if source.random() < 0.3:
        words += ["reorder", "%g%%" % source.choice((1, 20))]
    return words
