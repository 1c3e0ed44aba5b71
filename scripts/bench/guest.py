#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""One scenario of the benchmark in a User-mode Linux guest with virtual time.

usage: guest.py WRITER latency REPLICAS SAMPLES none|slow|forwarded
       guest.py WRITER failover ROUNDS SEED
       guest.py WRITER follower REPLICAS killed|cut|paused|disk-frozen WRITES
       guest.py WRITER catch-up by-log|by-extents|copy-link|copy-disk|foreground|
                                foreground-by-log SIZE
       guest.py WRITER changes MOVES

Leaves in $QBD_RESULT what was measured, raw: for writes the log of writer.c, for
failovers one line each, for catching up and changes figures.json.  Verifies all data and that all replicas are equal; the
exit status is 0 only if they are.  Prints progress.
"""

import json
import os
import random
import sys
import time

sys.dont_write_bytecode = True

from catch_up import catch_up  # noqa: E402
from changes import changes  # noqa: E402
from common import (DISK_US, RTT_US, Writer, bench_cluster, run, settle,  # noqa: E402
                    slow_down, wait_until)
from lib.disks import Disk  # noqa: E402

WARM_UP = 20
SLOW_PAUSE_US = 70000
RESULT = os.environ["QBD_RESULT"]


def say(text, *values):
    print(text % values, flush=True)


def save(name, value):
    with open(os.path.join(RESULT, name), "w") as file:
        json.dump(value, file, indent=1)


def calibrate(program, cluster):
    """What a round trip and a write take without qbd."""
    disk = Disk(8, completion_ns=DISK_US * 1000)
    writer = Writer(program, disk.path, "/tmp/calibration", 50).run()
    took = sorted(end - begin for _, begin, end in writer.writes())
    disk.close()
    values = {"disk_us": took[len(took) // 2] / 1000}
    if len(cluster.members) > 1:
        output = run(["ping", "-c", "6", "-i", "0.05", "10.0.0.2"], netns="m1").output
        pings = sorted(float(line.partition("time=")[2].split()[0])
                       for line in output.split("\n") if "time=" in line)
        values["rtt_us"] = pings[len(pings) // 2] * 1000
    save("calibration.json", values)


def latency(program, count, samples, how):
    """4 KiB writes, one after the other, at the leader or forwarded to it."""
    with bench_cluster(count) as cluster:
        leader = cluster.lead(1)
        settle(cluster)
        calibrate(program, cluster)
        if how == "slow":
            slow_down(cluster, cluster.members[-1])
        host = cluster.members[-1] if how == "forwarded" else leader
        Writer(program, host.device, "/tmp/warm-up", WARM_UP).run()
        writer = Writer(program, host.device, os.path.join(RESULT, "writes"),
                        samples).run()
        assert cluster.leader() is leader, "the leader changed"
        say("%d writes verified", writer.verify())


def fail_over(program, cluster, choice, log):
    """Cut the leader off under a writer elsewhere; what happened."""
    leader = settle(cluster)
    host = choice.choice(cluster.others(leader))
    term = host.status().term
    writer = Writer(program, host.device, log, pause_us=2000, slots=24).start()
    writer.wait_for(5, time.monotonic_ns())
    time.sleep(choice.uniform(0, 0.1))
    cut = time.monotonic_ns()
    cluster.network.isolate(leader.number)
    first = writer.wait_for(1, cut, interval=0.02)
    # One that was under way is no sign of life: its reply may have passed the cut.
    while first[1] < cut and first[2] - cut < 1000 * RTT_US:
        first = writer.wait_for(1, first[2], interval=0.02)
    writer.wait_for(3, first[2])
    writer.stop()
    writer.verify()
    status = host.status()
    assert status.leader != leader.number, "the leader that was cut off leads on"
    cluster.network.heal()
    return {"leader": leader.number, "writer": host.number, "new_leader": status.leader,
            "terms": status.term - term, "took_us": (first[2] - cut) / 1000}


def failover(program, rounds, seed):
    choice = random.Random(seed)
    say("seed %d", seed)
    log = "/tmp/writes"
    done = []
    with bench_cluster(3) as cluster:
        for number in range(rounds):
            done.append(fail_over(program, cluster, choice, log))
            with open(os.path.join(RESULT, "failovers"), "a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            if number % 10 == 9:
                say("%d of %d failovers", number + 1, rounds)
        settle(cluster)


def lose(cluster, member, how):
    if how == "killed":
        # Silence, as of a host without power: taken down in any other way its kernel
        # would say to the others that the connections are gone.
        member.power_cut()
    elif how == "cut":
        cluster.network.isolate(member.number)
    elif how == "paused":
        # A stopped host answers nothing and does nothing; then it goes on.
        member.disk.hang()
        cluster.network.isolate(member.number)
    else:
        member.disk.hang()


def bring_back(cluster, member, how):
    if how in ("paused", "disk-frozen"):
        member.disk.resume()
    cluster.network.heal()
    if how == "killed":
        member.up()


def follower(program, count, how, writes):
    """Writes at the leader while a minority is lost and comes back: as many as told at
    full speed, then some more, slowly. 6000 take a minute, which is more than the log
    keeps in memory, and more than the log itself."""
    marks = {}
    with bench_cluster(count) as cluster:
        leader = cluster.lead(1)
        settle(cluster)
        victims = cluster.members[-(count // 2):]
        log = os.path.join(RESULT, "writes")
        writer = Writer(program, leader.device, log).start()
        writer.wait_for(min(200, writes))
        marks["lost"] = time.monotonic_ns()
        for victim in victims:
            lose(cluster, victim, how)
        writer.wait_for(writes, marks["lost"], interval=0.5)
        writer.stop()
        Writer(program, leader.device, log, writes * 2 // 15, SLOW_PAUSE_US).run()
        writer = Writer(program, leader.device, log, None, 2000).start()
        writer.wait_for(10, time.monotonic_ns())
        marks["back"] = time.monotonic_ns()
        for victim in victims:
            bring_back(cluster, victim, how)
        wait_until("all follow again", lambda: all(
            status.commit_index > writes and not status.filling
            for status in (victim.status() for victim in victims)), interval=0.2)
        writer.wait_for(100, time.monotonic_ns())
        writer.stop()
        assert cluster.leader() is leader, "the leader changed"
        say("%d writes verified", writer.verify())
    save("marks.json", marks)


def main():
    program, scenario, *arguments = sys.argv[1:]
    if scenario == "latency":
        latency(program, int(arguments[0]), int(arguments[1]), arguments[2])
    elif scenario == "failover":
        failover(program, int(arguments[0]), int(arguments[1]))
    elif scenario in ("catch-up", "changes"):
        figures = changes(program, RESULT, int(arguments[0])) if scenario == "changes" else \
            catch_up(program, RESULT, arguments[0], int(arguments[1]))
        save("figures.json", figures)
        for one in figures:
            say("%s: %s %s", one["figure"], one["value"], one["text"])
    else:
        follower(program, int(arguments[0]), arguments[1], int(arguments[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
