# SPDX-License-Identifier: GPL-2.0
"""A host that has the device claimed stands still, and another one takes over."""

from device import Device, Hosts, tap

NAMES = {1: "alpha", 2: "beta", 3: "gamma"}
DEVICE = "/dev/qbd0"
MOUNT = "/mnt"
LEASE_SECONDS = 60      # of waiting for five: these hosts are slow

# Files one after the other, each durable, until one is not.
LOAD = """
n=0
while dd if=/dev/urandom of=%s/file$n bs=4k count=16 conv=fsync 2>/dev/null; do
	n=$((n + 1))
	echo $n >/tmp/written
	[ $n -lt 400 ] || { rm %s/file*; n=0; }
done
echo ended >/tmp/ended
""" % (MOUNT, MOUNT)


def content(host):
    """What is on the device, whatever this host has cached."""
    return host.run("dd if=%s iflag=direct bs=1M 2>/dev/null | sha256sum" % DEVICE,
                    timeout=300)


def said(host, words):
    """Did its kernel say so?"""
    return host.try_run("dmesg | grep -q '%s'" % words)[0] == 0


def paused_holder_is_fenced(kernel="6.12"):
    """The holder's machine stands still with writes under way; not one of them lands."""
    with Hosts(3, kernel=kernel, disks=["96M"]) as cluster:
        old, new, third = cluster.hosts
        device = Device(cluster, "vol0", NAMES, claim="exclusive")
        device.make()
        device.leader()
        old.run("mkfs.ext4 -q %s && mount %s %s" % (DEVICE, DEVICE, MOUNT), timeout=120)
        load = old.spawn(LOAD)
        tap.wait_until(lambda: old.try_run("test -s /tmp/written")[0] == 0, 60,
                       "the load writes")
        status, output = new.try_run("mount %s %s" % (DEVICE, MOUNT))[:2]
        tap.check(status, "mounted on two hosts: %s" % output)
        old.pause()
        tap.wait_until(lambda: new.try_run("mount %s %s" % (DEVICE, MOUNT), timeout=60)[0]
                       == 0, LEASE_SECONDS, "the device is mounted on another host")
        new.run("rm -f %s/file* && echo new >%s/successor && umount %s" %
                (MOUNT, MOUNT, MOUNT), timeout=120)
        # It keeps the device: nobody else may write from here on.
        new.run("qbdadm claim take vol0", timeout=60)
        before = content(new)
        old.resume()
        tap.wait_until(lambda: old.try_run("test -s /tmp/ended", timeout=120)[0] == 0, 120,
                       "the file system of the old holder stops")
        tap.check(said(old, "was taken over by beta"), "its kernel did not say why")
        tap.check(said(old, "I/O error"), "its file system got no error")
        old.run("umount %s" % MOUNT, timeout=120)
        tap.equal(device.status(old)["claim"]["holder"], 2, "the holder")
        for host in (new, third):
            tap.equal(content(host), before, "the device as %s reads it" % host.name)
        # What it wrote is there, and the old one can have the device again.
        new.run("qbdadm claim release vol0", timeout=60)
        tap.equal(old.run("mount %s %s && cat %s/successor && umount %s" %
                          (DEVICE, MOUNT, MOUNT, MOUNT), timeout=120), "new\n",
                  "what the new holder wrote")
        load.wait(60)
        device.check_equal()
        cluster.check_logs()
