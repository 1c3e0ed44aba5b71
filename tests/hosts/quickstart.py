# SPDX-License-Identifier: GPL-2.0
"""The quick start of README.md, done as it says, on three hosts.

Its commands are taken from the text; what precedes a block says where it is run ("on
each host", "on one"). Other than in the text are: addresses and the disk's name; that
there is no network for apt-get, and that the build is done here, not on the hosts; that
files are copied by other means than scp; that a reboot forgets what was installed, so that
it is unpacked again; and that there is no udev to name the device, so that the link is
made here.
"""

import os
import re
import shlex
import subprocess

from device import REPO, Device, Hosts, hosts, tap

HEADING = "Quick start with three hosts"
NAMES = {1: "alpha", 2: "beta", 3: "gamma"}
# Debian 12's own; the demonstration runs under the other one.
KERNEL = "6.1"


class Text:
    """The section: blocks of commands, and a sentence with one in it."""

    def __init__(self, path):
        with open(path) as file:
            text = file.read()
        match = re.search(r"^## %s\n(.*?)^## " % HEADING, text, re.M | re.S)
        tap.check(match, "%s has no section '%s'" % (path, HEADING))
        self.section = match.group(1)
        self.blocks = []            # (on each host?, commands)
        where = None
        for part in re.split(r"\n\n+", self.section):
            if part.startswith("    "):
                tap.check(where, "where is this to be run?\n" + part)
                commands = re.sub(r" *\\\n *", " ", part).split("\n")
                self.blocks.append((where == "each",
                                    [command.strip() for command in commands]))
            else:
                found = re.findall(r"\b[Oo]n \**(each|one)\b", part)
                where = found[-1] if found else None

    def block(self, *programs):
        """The one block whose commands begin like this; (each, commands)."""
        def head(command):
            words = command.split()
            return " ".join(words[:2]) if words[0] == "qbdadm" else words[0]
        found = [block for block in self.blocks
                 if [head(command) for command in block[1]] == list(programs)]
        tap.check(len(found) == 1, "%d blocks with the commands %s among\n%s" % (
            len(found), ", ".join(programs), self.blocks))
        self.blocks.remove(found[0])
        return found[0]

    def after_reboot(self):
        match = re.search(r"After a reboot[^`]*`([^`]*)`", self.section)
        tap.check(match, "what to do after a reboot is not said")
        return match.group(1)


def put(command, host):
    """The command of the text as it has to be on this host."""
    command = re.sub(r"\b192\.0\.2\.(\d)\b", r"10.77.0.\1", command)
    command = command.replace("/dev/sdb", "/dev/vda")
    if command.startswith("qbdadm join"):
        command = re.sub(r"--listen \S+", "--listen " + host.address4, command)
    return command


def install(each, commands, release, directory):
    """Do the block that builds and installs, but into a directory; a tar of it."""
    tap.check(each, "every host needs module and tool")
    packages, build = commands
    for package in packages.replace("$(uname -r)", release).split()[2:]:
        tap.command("dpkg-query", "-W", package)
    *makes, last = [shlex.split(part) for part in build.split("&&")]
    tap.equal(last, ["depmod"], "the last command")
    tap.equal(makes, [["make"], ["make", "install"], ["make", "modules_install"]],
              "what is built and installed")
    kdir = "/usr/src/linux-headers-" + release
    for command in makes:
        tap.command(*command, "KDIR=" + kdir, "DESTDIR=" + directory, cwd=REPO,
                    timeout=300)
    # The hosts have the merged /usr of Debian.
    if os.path.isdir(os.path.join(directory, "lib")):
        subprocess.run(["cp", "-a", directory + "/lib", directory + "/usr/"], check=True)
        subprocess.run(["rm", "-r", directory + "/lib"], check=True)
    tar = directory + ".tar"
    subprocess.run(["tar", "-C", directory, "--owner=0", "--group=0", "-cf", tar, "usr"],
                   check=True)
    return tar


def settle_in(host):
    """As if installed: no module is loaded, no tool but the one of the text."""
    host.run("rm -f /qbd/qbdadm && tar -C / -xf /qbd/installed.tar && depmod &&"
             " mkdir -p /srv /dev/qbd")
    tap.equal(host.run("command -v qbdadm"), "/usr/sbin/qbdadm\n", "the tool")
    tap.check(host.try_run("grep -q '^qbd ' /proc/modules")[0] != 0,
              "the module is loaded already")


def came_by_itself(host):
    tap.check(host.try_run("grep -q '^qbd ' /proc/modules")[0] == 0,
              "qbdadm on %s did not bring its module" % host.name)


def name_device(host):
    """What the udev rule does."""
    host.run("for name in /sys/block/qbd*/qbd/name; do disk=${name%/qbd/name};"
             " ln -sfn ../${disk##*/} /dev/qbd/$(cat $name); done")


def as_the_readme_says(directory):
    text = Text(os.path.join(REPO, "README.md"))
    _, release = hosts.image.stock_kernel(KERNEL)
    tar = install(*text.block("apt-get", "make"), release,
                  os.path.join(directory, "installed"))
    each, make = text.block("qbdadm create", "qbdadm token", "scp", "scp")
    tap.check(not each, "one host makes the device")
    each_join, join = text.block("qbdadm join")
    tap.check(each_join, "the others join")
    each_mount, mount = text.block("mkfs.ext4", "mount")
    tap.check(not each_mount, "only one host mounts")
    tap.equal(text.blocks, [], "blocks that nobody tries")
    again = text.after_reboot()
    with Hosts(3, disks=["96M"], modules=[], kernel=KERNEL,
               files={"installed.tar": tar}) as cluster:
        device = Device(cluster, "vol0", NAMES)
        first = cluster.host(1)
        for host in cluster.hosts:
            settle_in(host)

        def run(host, command):
            tap.comment("%s# %s" % (NAMES[host.number], put(command, host)))
            output = host.run(put(command, host), timeout=120)
            tap.comment(output)
            return output

        for command in make[:2]:
            run(first, command)
        came_by_itself(first)
        name_device(first)
        for command in make[2:]:
            scp, keep, path, target = command.split()
            tap.equal((scp, keep, target[-1]), ("scp", "-p", ":"), command)
            number = [n for n, name in NAMES.items() if name == target[:-1]][0]
            device.copy(first, cluster.host(number), path)
        for host in cluster.hosts[1:]:
            run(host, join[0])
            came_by_itself(host)
            name_device(host)
        device.leader()
        tap.equal(device.status(first)["voters"], 3, "voters")
        for command in mount:
            run(first, command)
        first.run("echo kept > /srv/file && umount /srv")
        # To move it: mounted there.
        run(cluster.host(2), mount[1])
        tap.equal(cluster.host(2).run("cat /srv/file && umount /srv"), "kept\n", "moved")

        for host in cluster.hosts:
            host.power_off()
        for host in cluster.hosts:
            host.boot(wait=False)
        for host in cluster.hosts:
            host.wait_up()
            settle_in(host)
            run(host, again)
            came_by_itself(host)
            name_device(host)
        device.leader()
        run(cluster.host(3), mount[1])
        tap.equal(cluster.host(3).run("cat /srv/file && umount /srv"), "kept\n",
                  "after a reboot of all")
        device.check_equal()
        cluster.check_logs()
