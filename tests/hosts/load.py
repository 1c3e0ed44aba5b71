# SPDX-License-Identifier: GPL-2.0
"""Writers on several processors at two members while members come and go."""

from device import Device, Hosts, tap

NAMES = {1: "alpha", 2: "beta", 3: "gamma"}
JOBS = 3
JOB_BYTES = 256 << 10
PROGRESS = 30       # requests that a writer completes before the next event

# Rounds of fio, each writes every block of its jobs and reads it back, until told to
# stop between two of them.  Any error of the device or of the data ends it.
ROUNDS = """
while [ ! -e /tmp/stop ]; do
	fio --minimal --name=load --filename=%s --ioengine=libaio --direct=1 \
		--rw=randwrite --bs=4k --iodepth=8 \
		--numjobs=%d --offset=%d --size=%d --offset_increment=%d \
		--verify=crc32c --verify_fatal=1 --group_reporting >/tmp/fio 2>&1 ||
		{ cat /tmp/fio; exit 1; }
	echo round
done
"""


class Writer:
    """fio on a host, on a range of the device, or of a file, that is its own."""

    def __init__(self, host, place, path="/dev/qbd0"):
        self.host = host
        start = place * JOBS * JOB_BYTES
        host.run("rm -f /tmp/stop")
        self.command = host.spawn(ROUNDS % (path, JOBS, start, JOB_BYTES, JOB_BYTES))

    def rounds(self):
        return self.command.text().count("round")

    def check_alive(self):
        tap.check(not self.command.ended(), "fio on %s ended:\n%s" %
                  (self.host.name, self.command.text()))

    def completed(self):
        """Requests that the block device completed."""
        fields = self.host.run("cat /sys/block/qbd0/stat").split()
        return int(fields[0]) + int(fields[4])

    def stop(self):
        self.host.run("touch /tmp/stop")
        tap.equal(self.command.wait(120), 0, "fio on %s:\n%s\nits status" %
                  (self.host.name, self.command.text()))


def go_on(writers, what):
    """Both writers, from now on, complete requests."""
    for writer in writers:
        start = writer.completed()

        def progress():
            writer.check_alive()
            return writer.completed() >= start + PROGRESS
        tap.wait_until(progress, 60, "%s goes on after: %s" % (writer.host.name, what))
    tap.comment("both go on: " + what)


def on_several_processors():
    """Leadership moves, a follower loses its power and returns, under load."""
    with Hosts(3, smp=2, disks=["96M"]) as cluster:
        one, two, three = cluster.hosts
        for host in cluster.hosts:
            tap.equal(host.run("nproc"), "2\n", "processors of " + host.name)
        device = Device(cluster, "vol0", NAMES)
        device.make()
        device.move(one)
        writers = [Writer(one, 0), Writer(two, 1)]
        go_on(writers, "nothing yet")
        for leader in (two, three, one):
            device.move(leader)
            go_on(writers, leader.name + " leads")
        three.power_cut()
        up = [one, two]
        go_on(writers, "h3 lost its power")
        device.move(two, up)
        go_on(writers, "h2 leads, h3 is away")
        three.boot()
        device.up(three)
        target = device.status(two)["last_index"]
        tap.wait_until(lambda: device.status(three)["durable_index"] >= target, 90,
                       "h3 has what was there when it came back")
        device.move(three)
        go_on(writers, "h3 leads, it is back")
        for writer in writers:
            writer.stop()
            tap.comment("%s: %d rounds" % (writer.host.name, writer.rounds()))
            tap.check(writer.rounds(), "nothing was verified")
        device.check_equal()
        cluster.check_logs()


def the_leaders_disk_hangs():
    """The leader's disk answers nothing: users go on, on that host as well.

    A real queue has so many tags and no more, and the block layer holds writes back
    that take too long: neither may hold up what has to go on without the disk.
    """
    with Hosts(3, disks=["96M"]) as cluster:
        one, two, _ = cluster.hosts
        device = Device(cluster, "vol0", NAMES)
        device.make()
        device.move(one)
        writers = [Writer(one, 0), Writer(two, 1)]
        go_on(writers, "nothing yet")
        one.freeze_disk()
        tap.wait_until(lambda: device.leader() is not one, 60, "another leader")
        go_on(writers, "the disk of the leader hangs")
        one.thaw_disk()
        go_on(writers, "it answers again")
        for writer in writers:
            writer.stop()
        device.check_equal()
        cluster.check_logs()
