# SPDX-License-Identifier: GPL-2.0
"""From the raw output of the benchmark to results.json, report.md and plots."""

import json
import math
import os

from plots import draw

RTT_US = 1000.0
SLOW_RTT_US = 10000.0
DISK_US = 100.0
RATIO_TARGET = 1.01
FAILOVER_P50_US, FAILOVER_P99_US = 300e3, 600e3
# The longest write while a follower is lost: not a tenth longer than the floor.
GAP_RATIO_TARGET = 1.1

TITLES = {
    "write-4k-qd1": "write at the leader",
    "write-4k-qd1-slow-replica": "the same, one replica ten times as far away",
    "write-4k-qd1-forwarded": "write at a follower, forwarded",
    "failover": "leader cut off, until the next write is done",
    "follower-killed": "writes without a follower: it loses its power",
    "follower-cut": "writes without a follower: cut off",
    "follower-paused": "writes without a follower: stopped, disk and all",
    "follower-disk-frozen": "writes without a follower: its disk hangs",
}


def quantile(ordered, fraction):
    """The smallest value that so large a part does not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * fraction) - 1)]


def read_writes(directory):
    """(begin, end) of each write, in nanoseconds."""
    with open(os.path.join(directory, "writes")) as log:
        lines = [line.split() for line in log.read().split("\n")[1:] if line]
    return [(int(begin), int(end)) for _, begin, end in lines]


def result(scenario, replicas, took_us, floor_us, **more):
    took_us = sorted(took_us)
    mean = sum(took_us) / len(took_us)
    entry = {"scenario": scenario, "replicas": replicas, "rtt_us": RTT_US,
             "disk_us": DISK_US, "mean_us": round(mean, 3),
             "p50_us": round(quantile(took_us, 0.5), 3),
             "p99_us": round(quantile(took_us, 0.99), 3),
             "max_us": round(took_us[-1], 3), "floor_us": floor_us,
             "ratio": round(mean / floor_us, 5),
             "samples": len(took_us)}
    entry.update(more)
    return entry


def floor(replicas, round_trips=1):
    return DISK_US + (RTT_US * round_trips if replicas > 1 else 0)


def latency_results(run):
    took = [(end - begin) / 1000 for begin, end in read_writes(run.directory)]
    more = {}
    if run.scenario.endswith("slow-replica"):
        more["slow_rtt_us"] = SLOW_RTT_US
    trips = 2 if run.scenario.endswith("forwarded") else 1
    return [result(run.scenario, run.replicas, took, floor(run.replicas, trips), **more)]


def follower_results(run):
    """What writes took while the follower was lost, and from its return on."""
    with open(os.path.join(run.directory, "marks.json")) as file:
        marks = json.load(file)
    writes = read_writes(run.directory)
    lost = [(end - begin) / 1000 for begin, end in writes
            if end >= marks["lost"] and begin < marks["back"]]
    back = [(end - begin) / 1000 for begin, end in writes if end >= marks["back"]]
    return [result(run.scenario, run.replicas, lost, floor(run.replicas)),
            result(run.scenario + "-return", run.replicas, back, floor(run.replicas))]


def failover_results(runs):
    took = []
    for run in runs:
        with open(os.path.join(run.directory, "failovers")) as file:
            took += [json.loads(line)["took_us"] for line in file]
    # What the write would have taken had nothing happened.
    return [result("failover", 3, took, floor(3), all_us=sorted(took))] if took else []


def results(runs):
    """One entry a figure, in the order of the report."""
    entries = failover_results([run for run in runs if run.scenario == "failover"])
    for run in runs:
        if run.scenario.startswith("write"):
            entries += latency_results(run)
        elif run.scenario.startswith("follower"):
            entries += follower_results(run)
    order = list(TITLES) + [name + "-return" for name in TITLES]
    return sorted(entries, key=lambda entry: (order.index(entry["scenario"]),
                                              entry["replicas"]))


def figures(runs):
    """Of members that catch up, are compared or change: one entry each, with its limit."""
    found = []
    for run in runs:
        if run.scenario.startswith(("catch-up", "changes")):
            with open(os.path.join(run.directory, "figures.json")) as file:
                found += json.load(file)
    return found


def kept(figure):
    return (figure["value"] <= figure["limit"] if figure["at_most"] else
            figure["value"] >= figure["limit"])


def find(entries, scenario, replicas):
    for entry in entries:
        if (entry["scenario"], entry["replicas"]) == (scenario, replicas):
            return entry
    return None


def targets(entries, figures=()):
    """(what, reached) of each target whose figures are there."""
    judged = [("%s: %.3f %s, at %s %g" %
               (one["figure"], one["value"], one["text"],
                "most" if one["at_most"] else "least", one["limit"]), kept(one))
              for one in figures]
    for entry in entries:
        name, count = entry["scenario"], entry["replicas"]
        if name == "write-4k-qd1" and count in (3, 5, 9):
            judged.append(("write latency at N = %d: %.4f times the floor, at most %.2f" %
                           (count, entry["ratio"], RATIO_TARGET),
                           entry["ratio"] <= RATIO_TARGET))
        if name == "write-4k-qd1-slow-replica":
            other = find(entries, "write-4k-qd1", count)
            if other:
                change = entry["mean_us"] / other["mean_us"]
                judged.append(("a slow replica changes nothing at N = %d: %.4f times "
                               "the latency without it, at most %.2f" %
                               (count, change, RATIO_TARGET), change <= RATIO_TARGET))
        if name == "failover":
            for what, value, limit in (("half", entry["p50_us"], FAILOVER_P50_US),
                                       ("99 of 100", entry["p99_us"], FAILOVER_P99_US)):
                judged.append(("%s of the failovers within %.0f ms, at most %.0f ms" %
                               (what, value / 1000, limit / 1000), value <= limit))
        if name.startswith("follower"):
            gap = entry["max_us"] / entry["floor_us"]
            judged.append(("%s at N = %d: longest write %.3f times the floor, at most "
                           "%.1f" % (name, count, gap, GAP_RATIO_TARGET),
                           gap <= GAP_RATIO_TARGET))
    return judged


def exit_status(entries, figures, failed):
    """Of the benchmark: see run."""
    if failed or not (entries or figures):
        return 1
    return 0 if all(reached for _, reached in targets(entries, figures)) else 3


def cells(entry):
    return [entry["scenario"], "%d" % entry["replicas"], "%d" % entry["samples"],
            *("%.1f" % entry[key] for key in ("floor_us", "mean_us", "p50_us", "p99_us",
                                              "max_us")),
            "%.4f" % entry["ratio"]]


HEAD = ["scenario", "N", "samples", "floor", "mean", "p50", "p99", "max", "ratio"]


def summary(entries, figures, failed):
    """For the screen."""
    rows = [HEAD] + [cells(entry) for entry in entries]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths)))
             for row in rows]
    lines.append("All times in microseconds of virtual time.")
    lines.append("")
    for what, reached in targets(entries, figures):
        lines.append("%-7s %s" % ("reached" if reached else "MISSED", what))
    for run in failed:
        lines.append("FAILED  %s: %s" % (run.name, run.last_words()))
    return "\n".join(lines)


def table(head, rows):
    lines = ["| %s |" % " | ".join(head),
             "|%s|" % "|".join([":---"] + ["---:"] * (len(head) - 1))]
    return "\n".join(lines + ["| %s |" % " | ".join(row) for row in rows])


def section(entries, names, unit=1.0):
    head = ["", "N", "samples", "floor", "mean", "p50", "p99", "max", "mean / floor"]
    rows = []
    for entry in entries:
        name = entry["scenario"]
        base = name.removesuffix("-return")
        if name not in names and base not in names:
            continue
        title = TITLES[base] if name == base else "… and when it comes back"
        rows.append([title, str(entry["replicas"]), str(entry["samples"]),
                     *("%.1f" % (entry[key] / unit)
                       for key in ("floor_us", "mean_us", "p50_us", "p99_us", "max_us")),
                     "**%.4f**" % entry["ratio"]])
    return table(head, rows) if rows else "Not measured in this run."


REPORT = """# qbd: benchmark

Every figure is from real code, the kernel module and the kernel's TCP, in virtual
time: User-mode Linux with `time-travel=inf-cpu`, where computing takes no time and
waiting takes exactly as long as it should. What remains is what the protocol waits
for. Round trip %(rtt).0f µs (netem), disk write %(disk).0f µs (null_blk), 4 KiB writes
with O_DIRECT, one after the other. The **floor** is one round trip plus one durable
write: nothing that replicates to a majority can be faster. Measured on these disks and
this network without qbd: %(calibration)s.

What is above the floor is clocks being read, by TCP, the block layer and qbd: each
reading takes 0.256 µs of virtual time, and all members share one processor.

## Verdict

%(verdict)s

## Latency of a write

In microseconds.

%(latency)s

%(latency_plot)s

The slow replica has a round trip of %(slow).0f µs to all others. A forwarded write
crosses the network twice; its floor is two round trips and one durable write.

## Failover

In milliseconds: the leader of three members is cut off the network, silently; a writer
on another member goes on as soon as a new leader is elected and has taken its write
over. Default timeouts (election 150 to 300 ms, heartbeat 50 ms). The time runs from
the cut to the end of the first write after it; the floor is what that write would have
taken with a leader, were it made there.

%(failover)s

%(failover_plot)s

## A follower is lost

In microseconds: the writer is on the leader; one of three members is gone, or four of
nine, for a minute unless `--lost-writes` was given. The longest write is the longest time
that writes stood still. The second line is the time in which they come back and catch up.
A member that loses its power is silent and forgets what its disk had not flushed; one
that is stopped goes on where it was.

%(loss)s

%(follower_plot)s

## A member catches up, replicas are compared, members change

Links take 1 Gbit/s. Bytes are those that the member received, with all that belongs to them.
A full copy is that of a disk that was made anew. Replicas are compared (`qbdadm verify`) at
the rate that is allowed by itself. Leadership moves and members change under a writer on a
member that does not lead; its writes stand still from the last one before to the first one after.

%(figures)s
%(failed)s
Raw output is in `raw/`, one directory a run: `writes` holds a line "number, begin, end"
(nanoseconds) for each write, `failovers` a line for each failover, `console.log` the
kernel's log. After every run all data was read back and compared, and the replicas'
disks were compared with one another.
"""


PLOTS = {
    "latency": "Latency against the number of replicas",
    "failover": "Distribution of the failover times",
    "follower": "The longest write",
}


def plot_links(out):
    """What draw() left, for the report."""
    return {name + "_plot": "![%s](%s.svg)" % (title, name) if
            os.path.exists(os.path.join(out, name + ".svg")) else ""
            for name, title in PLOTS.items()}


def calibration_text(runs_directory):
    values = {}
    for base, _, files in sorted(os.walk(runs_directory)):
        if "calibration.json" in files:
            with open(os.path.join(base, "calibration.json")) as file:
                for key, value in json.load(file).items():
                    values.setdefault(key, []).append(value)
    names = (("rtt_us", "round trip (ping)"), ("disk_us", "disk write"))
    return ", ".join("%s %.1f µs" % (text, sorted(values[key])[len(values[key]) // 2])
                     for key, text in names if values.get(key)) or "not in this run"


def figures_table(figures):
    rows = [["%s: %s" % (one["figure"], one["text"]), "%.3f" % one["value"],
             "%s %g" % ("at most" if one["at_most"] else "at least", one["limit"])]
            for one in figures]
    return table(["", "measured", "target"], rows) if rows else "Not measured in this run."


def write(out, entries, figures, failed):
    """results.json, catch-up.json, report.md and the plots into the directory out."""
    with open(os.path.join(out, "catch-up.json"), "w") as file:
        json.dump(figures, file, indent=2)
        file.write("\n")
    public = [{key: value for key, value in entry.items() if key != "all_us"}
              for entry in entries]
    with open(os.path.join(out, "results.json"), "w") as file:
        json.dump(public, file, indent=2)
        file.write("\n")
    for name in PLOTS:
        if os.path.exists(os.path.join(out, name + ".svg")):
            os.unlink(os.path.join(out, name + ".svg"))
    draw(out, entries)
    verdict = ["* %s %s" % ("reached:" if reached else "**missed:**", what)
               for what, reached in targets(entries, figures)]
    lost = "".join("\n**Failed:** %s: %s\n" % (run.name, run.last_words())
                   for run in failed)
    text = REPORT % {
        "rtt": RTT_US, "disk": DISK_US, "slow": SLOW_RTT_US,
        "calibration": calibration_text(os.path.join(out, "raw")),
        "verdict": "\n".join(verdict) or "No target was measured in this run.",
        "latency": section(entries, [name for name in TITLES if name.startswith("write")]),
        "failover": section(entries, ["failover"], 1000.0),
        "loss": section(entries, [name for name in TITLES if name.startswith("follower")]),
        "figures": figures_table(figures),
        "failed": lost,
        **plot_links(out),
    }
    with open(os.path.join(out, "report.md"), "w") as file:
        file.write(text)
