# SPDX-License-Identifier: GPL-2.0
"""The plots of the benchmark's report, by gnuplot."""

import os
import subprocess

INK, GREY, BLUE, ORANGE, RED = "#222222", "#8a8f98", "#1f6fb4", "#e08214", "#c0392b"

COMMON = """
set encoding utf8
set terminal svg size %(width)d,%(height)d font "Helvetica,13" background rgb "white" dynamic
set output "%(name)s.svg"
set border 3 linecolor rgb "#555555"
set tics nomirror out scale 0.6 textcolor rgb "#222222"
set grid ytics linecolor rgb "#e3e5e8" linetype 1
set key top left Left reverse samplen 2 spacing 1.3
"""

LATENCY = COMMON + """
set title "4 KiB write, queue depth 1: latency against the number of replicas"
set xlabel "replicas"
set ylabel "latency (µs)"
set xrange [0:10]
set yrange [0:1400]
set xtics (%(tics)s)
set key at graph 0.97,0.42 right bottom
plot $floor using 1:2 with lines linewidth 2 dashtype 2 linecolor rgb "%(grey)s" \\
	title "floor: one round trip + one durable write", \\
	$slow using ($1+0.12):2:3:4 with yerrorbars pointtype 9 pointsize 1.1 linewidth 1.5 \\
	linecolor rgb "%(orange)s" title "one replica ten times as far away (mean, to p99)", \\
	$normal using ($1-0.12):2:3:4 with yerrorbars pointtype 7 pointsize 0.9 linewidth 1.5 \\
	linecolor rgb "%(blue)s" title "measured (mean, to p99)", \\
	$normal using 1:($2+70):5 with labels font ",11" textcolor rgb "%(ink)s" notitle
"""

FAILOVER = COMMON + """
set title "From the loss of the leader to the next completed write (%(count)d failovers)"
set xlabel "time (ms)"
set ylabel "failovers done (%%)"
set xrange [0:%(limit)d]
set yrange [0:105]
set key off
set arrow from %(p50_target)g,0 to %(p50_target)g,50 nohead dashtype 2 linecolor rgb "%(red)s"
set arrow from %(p99_target)g,0 to %(p99_target)g,99 nohead dashtype 2 linecolor rgb "%(red)s"
set label "target: half" at %(p50_target)g,3 offset 0.9,0 rotate textcolor rgb "%(red)s" font ",11"
set label "target: 99 of 100" at %(p99_target)g,3 offset 0.9,0 rotate textcolor rgb "%(red)s" font ",11"
plot $times using 1:2 with steps linewidth 2.5 linecolor rgb "%(blue)s" title "measured", \\
	$marks using 1:2 with points pointtype 7 pointsize 0.8 linecolor rgb "%(blue)s" notitle, \\
	$marks using 1:2:3 with labels left offset 0.7,-1.1 font ",11" textcolor rgb "%(ink)s" notitle
"""

FOLLOWER = COMMON + """
set title "The longest write while a minority is lost, and when it comes back"
set ylabel "longest write (µs, logarithmic)"
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.9 noborder
set boxwidth 0.9
set logscale y
set yrange [100:%(top)g]
set xrange [-0.7:%(right)g]
set arrow from -0.7,%(floor)g to %(right)g,%(floor)g nohead front dashtype 2 linewidth 2 linecolor rgb "%(grey)s"
set label "floor" at -0.66,%(floor)g left offset 0,0.6 textcolor rgb "%(grey)s" font ",11"
plot $longest using 2:xticlabels(1) linecolor rgb "%(blue)s" title "lost", \\
	"" using 3 linecolor rgb "%(orange)s" title "coming back", \\
	"" using ($0-0.17):($2*1.15):2 with labels font ",11" textcolor rgb "%(ink)s" notitle, \\
	"" using ($0+0.17):($3*1.15):3 with labels font ",11" textcolor rgb "%(ink)s" notitle
"""


def block(name, rows):
    return "$%s << EOD\n%s\nEOD\n" % (name, "\n".join(
        " ".join(str(value) for value in row) for row in rows))


def colours(**more):
    return dict({"ink": INK, "grey": GREY, "blue": BLUE, "orange": ORANGE, "red": RED},
                **more)


def latency(entries):
    data = {"write-4k-qd1": [], "write-4k-qd1-slow-replica": []}
    for entry in entries:
        if entry["scenario"] in data:
            data[entry["scenario"]].append(
                (entry["replicas"], entry["mean_us"], entry["p50_us"], entry["p99_us"],
                 '"%.3f×"' % entry["ratio"]))
    normal, slow = data.values()
    if not normal:
        return None
    floor = [(entry["replicas"], entry["floor_us"]) for entry in entries
             if entry["scenario"] == "write-4k-qd1"]
    # The floor is a step: alone there is no network to cross.
    if floor[0][0] == 1 and len(floor) > 1:
        floor = [(0.5, floor[0][1]), (1.5, floor[0][1]), "", (2, floor[1][1]),
                 (9.8, floor[1][1])]
    tics = ", ".join(str(row[0]) for row in normal)
    return (block("floor", floor) + block("normal", normal) +
            block("slow", slow or [("NaN",) * 4]) +
            LATENCY % colours(name="latency", width=760, height=440, tics=tics))


def failover(entries):
    for entry in entries:
        if entry["scenario"] == "failover":
            times = [value / 1000 for value in entry["all_us"]]
            rows = [(0, 0)] + [(value, 100 * (number + 1) / len(times))
                               for number, value in enumerate(times)]
            p50, p99 = entry["p50_us"] / 1000, entry["p99_us"] / 1000
            marks = [(p50, 50, '"p50 %.0f ms"' % p50), (p99, 99, '"p99 %.0f ms"' % p99)]
            return (block("times", rows) + block("marks", marks) + FAILOVER %
                    colours(name="failover", width=760, height=400, count=len(times),
                            limit=max(700, times[-1] * 1.05), p50_target=300,
                            p99_target=600))
    return None


def follower(entries):
    longest = {}
    for entry in entries:
        if entry["scenario"].startswith("follower-"):
            name = entry["scenario"].removeprefix("follower-")
            base = name.removesuffix("-return").replace("-", " ")
            if entry["replicas"] > 3:
                base += ", %d of %d" % (entry["replicas"] // 2, entry["replicas"])
            longest.setdefault(base, {})[name != name.removesuffix("-return")] = round(
                entry["max_us"])
    if not longest:
        return None
    rows = [('"%s"' % name, values[False], values[True])
            for name, values in longest.items()]
    top = max(max(row[1:]) for row in rows)
    return (block("longest", rows) + FOLLOWER %
            colours(name="follower", width=760, height=380, floor=1100,
                    top=max(10000, top * 4), right=len(rows) - 0.4))


def draw(out, entries):
    """latency.svg, failover.svg, follower.svg into the directory out."""
    scripts = [script for script in (latency(entries), failover(entries),
                                     follower(entries)) if script]
    path = os.path.abspath(os.path.join(out, "raw", "plots.gnuplot"))
    with open(path, "w") as file:
        file.write("\nreset\n".join(scripts))
    if scripts:
        subprocess.run(["gnuplot", path], cwd=out, check=True)
