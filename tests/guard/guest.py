#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Counts per write of three members in a guest with virtual time; prints KTAP.

usage: guest.py WRITER

Each check is seen to fail, too: after the checks of an undisturbed device, somebody
does what ought not to be done, and the checks that this concerns must notice.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "scripts", "bench"))

from common import DISK_US, LEGS, RTT_US, Writer, bench_cluster, run, settle  # noqa: E402

WRITES = 200
SLOTS = 512             # more than WRITES: no block is written twice
LOG_SIZE = "64M"        # all that is written here: a log that is full gets flushes
IDLE_SECONDS = 20
REST_SECONDS = 10       # all is applied then, and checkpointed
RECORD_BYTES = 8192     # header and data of a 4 KiB write in the log
APPEND_BYTES_MAX = 4096 + 400
SMALL_FRAME_MAX = 200   # heartbeats, acknowledgements, pings
SWITCHES_PER_HEARTBEAT = 32    # of three members together, to and fro
LATENCY_MAX = 1.01
DEPTH = 32              # writes under way at once
DEEP_WRITES = 640
SHARED_MIN = 4          # writes a log write then, at the least

def read_disk(disk):
    """Requests and bytes that reached the disk."""
    with open("/sys/block/%s/stat" % os.path.basename(disk.base)) as file:
        fields = [int(field) for field in file.read().split()]
    return {"reads": fields[0], "write_bytes": fields[6] * 512, "flushes": fields[15]}


def read_link(member):
    output = run(["ip", "-n", member.netns, "-s", "-j", "link", "show", "dev",
                  "eth0"]).output
    return {"packets": json.loads(output)[0]["stats64"]["tx"]["packets"]}


def switches():
    """Times that this kernel, with all members, ran something else than before."""
    with open("/proc/stat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("ctxt "))


def snapshot(cluster):
    """All counters of all members, and the time."""
    found = {"ns": time.monotonic_ns(), "switches": switches()}
    for member in cluster.members:
        status = member.status()
        found[member.number] = {
            "store": {key: value for key, value in status["store"].items()
                      if not isinstance(value, bool)},
            "disk": read_disk(member.disk), "link": read_link(member),
            "peers": {peer["id"]: {key: peer["network"][key] for key in
                                   ("sent_bytes", "sent_frames")}
                      for peer in status["members"] if "network" in peer},
        }
    return found


def difference(before, after):
    if isinstance(before, dict):
        return {key: difference(value, after[key]) for key, value in before.items()}
    return after - before


def disturb(cluster, kind):
    """Have somebody else do what ought not to be done."""
    base = cluster.member(2).disk.base
    if kind == "flush":
        run(["dd", "if=/dev/zero", "of=" + base, "bs=4096", "count=0", "conv=fsync,notrunc",
             "status=none"])
    if kind == "disk":
        # The last block of the disk is nobody's.
        run(["dd", "if=/dev/zero", "of=" + base, "bs=4096", "count=1", "oflag=direct",
             "seek=%d" % (cluster.member(2).disk.sectors // 8 - 1), "conv=notrunc",
             "status=none"])
    if kind == "packets":
        # All at once: after a second without a write comes a checkpoint, and an interval
        # below 10 ms is polled for, which in virtual time never passes.
        run(["ping", "-q", "-c", "100", "-l", "100", "10.0.0.1"], netns="m2")


def write_deep(cluster, leader, depth):
    """As many writes at once; what they cost."""
    time.sleep(REST_SECONDS)
    before = snapshot(cluster)
    run(["fio", "--name=deep", "--filename=" + leader.device, "--ioengine=libaio",
         "--direct=1", "--rw=write", "--bs=4k", "--size=%d" % (DEEP_WRITES * 4096),
         "--iodepth=%d" % depth, "--clocksource=clock_gettime", "--output=/tmp/fio"])
    return difference(before, snapshot(cluster))


def measure(program, cluster, leader, kind=None):
    """What the checks take: latencies in us, counts while writing one by one, while
    idle, with many writes at once; the heartbeat in s."""
    heartbeat = leader.status()["settings"]["heartbeat_ms"] / 1000
    if kind == "heartbeat":
        for member in cluster.members:
            member.set("--heartbeat", "10")
    if kind == "network":
        cluster.network.shape(1, "delay", "%dus" % (RTT_US * 0.3))
    # After a long time without one, the first write brings a checkpoint.
    Writer(program, leader.device, "/tmp/before-%s" % kind, SLOTS // 8).run()
    time.sleep(REST_SECONDS)
    before = snapshot(cluster)
    writer = Writer(program, leader.device, "/tmp/writes-%s" % kind,
                    WRITES + (5 if kind == "writes" else 0), slots=SLOTS).run()
    disturb(cluster, kind)
    # What was submitted reaches the disk; the checkpoint is far away.
    time.sleep(0.05)
    written = difference(before, snapshot(cluster))
    writer.verify()
    time.sleep(REST_SECONDS)
    before = snapshot(cluster)
    time.sleep(IDLE_SECONDS)
    disturb(cluster, kind)
    idle = difference(before, snapshot(cluster))
    if kind == "heartbeat":
        for member in cluster.members:
            member.set("--heartbeat", "%d" % (heartbeat * 1000))
    if kind == "network":
        cluster.network.shape(1, "delay", "%dus" % (RTT_US / LEGS))
    deep = write_deep(cluster, leader, 1) if kind == "one by one" else \
        None if kind else write_deep(cluster, leader, DEPTH)
    return {"took": [(end - begin) / 1000 for _, begin, end in writer.writes()],
            "written": written, "idle": idle, "deep": deep, "heartbeat": heartbeat}


def latency(took, **_):
    """one round trip and one disk write"""
    floor = RTT_US + DISK_US
    mean = sum(took) / len(took)
    assert min(took) >= floor, "faster than possible: %.1f us" % min(took)
    assert mean <= floor * LATENCY_MAX, ("%.1f us on average, %.4f times the floor, "
                                         "at most %.2f" % (mean, mean / floor,
                                                           LATENCY_MAX))


def log_writes(written, **_):
    """one log write of 8 KiB per member"""
    for number in (1, 2, 3):
        store = written[number]["store"]
        assert store["log_writes"] == WRITES, (
            "member %d: %d log writes for %d writes" %
            (number, store["log_writes"], WRITES))
        assert store["log_write_bytes"] == WRITES * RECORD_BYTES, (
            "member %d: %d log bytes per write, %d expected" %
            (number, store["log_write_bytes"] / WRITES, RECORD_BYTES))


def group_commit(deep, **_):
    """many writes at once share log writes"""
    if deep is None:
        return
    for number in (1, 2, 3):
        log_writes = deep[number]["store"]["log_writes"]
        assert 0 < log_writes <= DEEP_WRITES / SHARED_MIN, (
            "member %d: %d log writes for %d writes, %d at once" %
            (number, log_writes, DEEP_WRITES, DEPTH))


def flushes(written, **_):
    """no flush, no state written"""
    for number in (1, 2, 3):
        counts = written[number]
        assert not counts["disk"]["flushes"], (
            "member %d: %d flushes reached the disk" % (number,
                                                        counts["disk"]["flushes"]))
        assert not counts["store"]["flushes"] and not counts["store"]["state_writes"], (
            "member %d: flushes, state writes: %s" % (number, counts["store"]))


def data_writes(written, **_):
    """the data area is written once a block at most"""
    for number in (1, 2, 3):
        store = written[number]["store"]
        assert store["data_write_bytes"] <= WRITES * 4096, (
            "member %d: %d data bytes for %d" % (number, store["data_write_bytes"],
                                                 WRITES * 4096))


def disk_bytes(written, **_):
    """nothing else is written to the disk"""
    for number in (1, 2, 3):
        store, disk = written[number]["store"], written[number]["disk"]
        known = store["log_write_bytes"] + store["data_write_bytes"]
        assert disk["write_bytes"] == known, (
            "member %d: the disk got %d bytes, log and data are %d" %
            (number, disk["write_bytes"], known))
        assert not disk["reads"], "member %d: %d reads" % (number, disk["reads"])


def heartbeats(counts, heartbeat):
    """At least and at most so many in the time."""
    number = counts["ns"] / 1e9 / heartbeat
    return int(number) - 1, int(number) + 3


def wire(written, heartbeat, **_):
    """one frame to each follower, one back"""
    least, most = heartbeats(written, heartbeat)
    for follower in (2, 3):
        there = written[1]["peers"][follower]
        back = written[follower]["peers"][1]
        for what, counts in (("to", there), ("from", back)):
            assert WRITES + least <= counts["sent_frames"] <= WRITES + most, (
                "%d frames %s member %d for %d writes and %d heartbeats" %
                (counts["sent_frames"], what, follower, WRITES, least + 1))
        limit = WRITES * APPEND_BYTES_MAX + most * SMALL_FRAME_MAX
        assert WRITES * 4096 < there["sent_bytes"] <= limit, (
            "%d bytes to member %d, at most %d" % (there["sent_bytes"], follower, limit))
        limit = (WRITES + most) * SMALL_FRAME_MAX
        assert back["sent_bytes"] <= limit, (
            "%d bytes from member %d, at most %d" % (back["sent_bytes"], follower, limit))


def packets(written, **_):
    """packets: data in one, acknowledgement in one"""
    # TCP acknowledges data that is not answered soon enough by data.
    limit = 2 * WRITES * 1.15
    for number, peers in ((1, 2), (2, 1), (3, 1)):
        sent = written[number]["link"]["packets"]
        assert sent <= limit * peers, ("member %d sent %d packets for %d writes, at most "
                                       "%d" % (number, sent, WRITES, limit * peers))


def idle_disk(idle, **_):
    """idle: the disk is left alone"""
    for number in (1, 2, 3):
        used = {key: value for key, value in idle[number]["disk"].items() if value}
        assert not used, "member %d: %s in %d s" % (number, used, IDLE_SECONDS)


def idle_wire(idle, heartbeat, **_):
    """idle: heartbeats and their answers, nothing else"""
    least, most = heartbeats(idle, heartbeat)
    for follower in (2, 3):
        for one, other in ((1, follower), (follower, 1)):
            sent = idle[one]["peers"][other]
            assert least <= sent["sent_frames"] <= most, (
                "%d frames from member %d to %d in %d s, expected %d" %
                (sent["sent_frames"], one, other, IDLE_SECONDS, least + 1))
            assert sent["sent_bytes"] <= sent["sent_frames"] * SMALL_FRAME_MAX, (
                "%d bytes from member %d to %d" % (sent["sent_bytes"], one, other))
    for one, other in ((2, 3), (3, 2)):
        sent = idle[one]["peers"][other]["sent_frames"]
        assert sent <= IDLE_SECONDS * 5, ("%d frames from follower %d to %d in %d s" %
                                          (sent, one, other, IDLE_SECONDS))


def idle_switches(idle, heartbeat, **_):
    """idle: little is run for each heartbeat"""
    most = SWITCHES_PER_HEARTBEAT * heartbeats(idle, heartbeat)[1]
    assert idle["switches"] <= most, ("%d switches in %d s, at most %d" %
                                      (idle["switches"], IDLE_SECONDS, most))


CHECKS = (latency, log_writes, group_commit, flushes, data_writes, disk_bytes, wire,
          packets, idle_disk, idle_wire, idle_switches)

# What is done besides, in the namespace of member 2 or to its disk, and who must notice.
PERTURBATIONS = {
    "network": ("a round trip takes a tenth longer", {latency}),
    "writes": ("five writes more than are counted", {log_writes, data_writes, wire}),
    "one by one": ("no two writes at once", {group_commit}),
    "flush": ("somebody flushes the disk", {flushes, idle_disk}),
    "disk": ("somebody writes to the disk", {disk_bytes, idle_disk}),
    "heartbeat": ("five times as many heartbeats", {wire, idle_wire, idle_switches}),
    "packets": ("a flood of pings", {packets}),
}


def complaints(measured):
    """{check: what it says}"""
    found = {}
    for check in CHECKS:
        try:
            check(**measured)
        except AssertionError as error:
            found[check] = str(error)
    return found


class Output:
    """KTAP."""

    def __init__(self, count):
        self.number = self.failed = 0
        print("KTAP version 1\n1..%d" % count, flush=True)

    def result(self, good, name, text=None):
        self.number += 1
        self.failed += not good
        if text:
            print("# " + text.rstrip().replace("\n", "\n# "))
        print("%s %d %s" % ("ok" if good else "not ok", self.number, name), flush=True)


@contextlib.contextmanager
def held(device):
    """Somebody has it open for writing: each host's first opener puts a claim into the log
    and its last one takes it back, which is no cost of a write."""
    file = os.open(device, os.O_WRONLY)
    try:
        yield
    finally:
        os.close(file)


def measure_all(program, output):
    with bench_cluster(3, LOG_SIZE) as cluster, contextlib.ExitStack() as stack:
        leader = cluster.lead(1)
        stack.enter_context(held(leader.device))
        settle(cluster)
        measured = measure(program, cluster, leader)
        with open(os.path.join(os.environ["QBD_RESULT"], "counts.json"), "w") as file:
            json.dump(measured, file, indent=1)
        found = complaints(measured)
        for check in CHECKS:
            output.result(check not in found, check.__doc__, found.get(check))
        for kind, (text, concerned) in PERTURBATIONS.items():
            found = complaints(measure(program, cluster, leader, kind))
            # And by nobody else: that would be another cause.
            output.result(set(found) == concerned, "is noticed: " + text, "\n".join(
                "%s: %s" % (check.__name__, words) for check, words in found.items()))


def main():
    program, = sys.argv[1:]
    output = Output(len(CHECKS) + len(PERTURBATIONS) + 1)
    try:
        measure_all(program, output)
    except Exception:
        output.result(False, "the data is there and the replicas are equal",
                      traceback.format_exc())
    else:
        output.result(True, "the data is there and the replicas are equal")
    return 1 if output.failed else 0


if __name__ == "__main__":
    sys.exit(main())
