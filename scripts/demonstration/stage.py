# SPDX-License-Identifier: GPL-2.0
"""The hosts of the demonstration, their device, and what has to be on it."""

import json
import os
import subprocess
import tarfile

import hosts as qemu

from demonstration.screen import Failed
from demonstration.writer import Writer

DEVICE = "vol0"
NAMES = {1: "alpha", 2: "beta", 3: "gamma", 4: "delta"}
DISK = "/dev/vda"
TOKEN = "vol0.token"
TREE_BYTES_MAX = 12 << 20
# Containers often come without documentation; the others are on every Debian.
TREES = ("/usr/share/doc", "/usr/include", "/usr/lib/python3", "/usr/share/perl5")
TREE_FILES_MIN = 20
MOUNT = "/mnt"
REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def name_of(host):
    return NAMES[host.number]


class Tree:
    """Real files that are copied to the device."""

    def __init__(self, screen, asked):
        trees = [asked] if asked else TREES
        for self.root in trees:
            self.files, self.bytes = self.find(self.root)
            if len(self.files) >= (1 if asked else TREE_FILES_MIN):
                return
            screen.step("%s has %s" % (self.root, "only %d files" % len(self.files)
                                       if self.files else "no files"))
        raise Failed("there are no files to copy in %s: name a tree that has some with "
                     "--tree" % ", ".join(trees))

    @staticmethod
    def find(root):
        """The files of a tree, in order, no more than a demonstration needs."""
        found = []
        size = 0
        for directory, names, entries in os.walk(root):
            names.sort()
            for entry in sorted(entries):
                source = os.path.join(directory, entry)
                if not os.path.isfile(source) or os.path.islink(source):
                    continue
                if size + os.path.getsize(source) > TREE_BYTES_MAX:
                    continue
                size += os.path.getsize(source)
                found.append(source)
        return found, size

    def pack(self, path):
        with tarfile.open(path, "w") as tar:
            for source in self.files:
                tar.add(source, os.path.relpath(source, self.root))


class Stage:
    """What the acts play on: `hosts` are those that are members."""

    def __init__(self, screen, cluster, tree, out):
        self.screen = screen
        self.step = screen.step
        self.cluster = cluster
        self.hosts = []
        self.tree = tree
        self.out = out
        self.records = os.path.join(out, "records")
        self.sums = None
        self.writers = []           # each has a file of its own
        self.leaderships = []
        self.verified = 0
        self.stood_still = []

    def build_records(self):
        subprocess.run(["gcc", "-O2", "-static", "-o", self.records,
                        os.path.join(REPO, "tests", "lib", "records.c")], check=True)

    def command(self, host, text, timeout=60):
        """What the administrator types there, shown and run: its output."""
        self.step("%s# %s" % (name_of(host), text))
        return host.run(text, timeout=timeout)

    def refused(self, host, text, *words):
        """As command(), but it has to be refused; its reason is shown."""
        self.step("%s# %s" % (name_of(host), text))
        status, output = host.try_run(text)
        self.screen.block(output)
        if not status or not all(word in output for word in words):
            raise Failed("%s on %s was not refused as it should: status %d: %s" %
                         (text, name_of(host), status, output))

    def host(self, number):
        return self.cluster.host(number)

    def status(self, host):
        answer = json.loads(host.run("qbdadm status %s --json" % DEVICE))
        return answer[0] if isinstance(answer, list) else answer.get("devices", [answer])[0]

    def leader(self, among=None, not_this=None, seconds=60):
        """The host that all of these call the leader."""
        found = {}

        def agreed():
            views = [self.status(host) for host in among or self.hosts]
            leaders = {(view["leader"], view["term"]) for view in views}
            if len(leaders) != 1:
                return False
            found["leader"], found["term"] = leaders.pop()
            return found["leader"] not in (0, None, not_this and not_this.number)

        qemu.wait_for(agreed, seconds, "a leader that all agree on")
        name = (found["term"], NAMES[found["leader"]])
        if name not in self.leaderships:
            self.leaderships.append(name)
        return self.host(found["leader"])

    def give_token(self, source, target):
        token = os.path.join(self.out, "token")
        source.pull("/root/" + TOKEN, token)
        os.chmod(token, 0o600)
        target.push(token, "/root/" + TOKEN)
        os.unlink(token)

    def join(self, host, *options):
        """Its disk becomes a member; it is sent what there is."""
        self.command(host, " ".join((
            "qbdadm join %s %s --disk %s --listen %s --name %s --token-file %s" % (
                self.hosts[0].address4, DEVICE, DISK, host.address4, name_of(host), TOKEN),
            *options)), timeout=120)
        self.hosts.append(host)

    def wait_voters(self, count, seconds=60):
        qemu.wait_for(lambda: all(self.status(host)["voters"] == count
                                  for host in self.hosts), seconds, "%d voters" % count)

    def fill(self, host):
        """A file system, and files on it."""
        self.command(host, "mkfs.ext4 -q /dev/qbd0; mount /dev/qbd0 %s" % MOUNT,
                     timeout=120)
        self.step("%s# copying %s: %d files, %.1f MB" % (
            name_of(host), self.tree.root, len(self.tree.files), self.tree.bytes / 1e6))
        path = os.path.join(self.out, "tree.tar")
        self.tree.pack(path)
        with open(path, "rb") as tar:
            host.run("mkdir %s/tree && tar -C %s/tree -xf - && sync" % (MOUNT, MOUNT),
                     timeout=240, data=tar.read())
        self.sums = self.sums_of(host)
        found = len(self.sums.splitlines())
        if found != len(self.tree.files):
            raise Failed("copied %d files, found %d" % (len(self.tree.files), found))
        self.step("synced, %d checksums recorded" % found)

    @staticmethod
    def sums_of(host):
        return host.run("cd %s/tree && find . -type f -print0 | sort -z | "
                        "xargs -0 sha256sum" % MOUNT, timeout=240)

    def show_status(self, hosts, title):
        self.screen.title(title)
        for host in hosts:
            self.screen.block(self.command(host, "qbdadm status"))

    def check_file_system(self, host):
        """Clean, once the mount has replayed the journal as after any power cut."""
        host.run("mount /dev/qbd0 %s && umount %s" % (MOUNT, MOUNT), timeout=120)
        status, text = host.try_run("e2fsck -f -n /dev/qbd0", timeout=240)
        if status:
            raise Failed("fsck is not clean:\n" + text)

    def write(self, host):
        """A writer on the host that has the mount, which has made some records durable."""
        writer = Writer(host, "%s/records%d" % (MOUNT, len(self.writers) + 1))
        self.writers.append(writer)
        writer.wait_for(20)
        writer.forget_gap()
        return writer

    def check_files(self, host):
        """Every checksum, and every record that was ever acknowledged."""
        if self.sums_of(host) != self.sums:
            raise Failed("the file tree on %s is not what was copied" % name_of(host))
        written = found = 0
        for writer in self.writers:
            there = int(host.run("/root/records check %s" % writer.path).split()[0])
            if there < writer.acknowledged:
                raise Failed("record %d of %s was fsynced, %s has only %d" %
                             (writer.acknowledged, writer.path, name_of(host), there))
            written += writer.acknowledged
            found += there
        self.verified += self.tree.bytes + 512 * found
        self.step("%s: %d checksums equal, all %d fsynced records there (%d found)" % (
            name_of(host), len(self.tree.files), written, found))

    def move_leader(self, by, to):
        self.command(by, "qbdadm leader move %s %s" % (DEVICE, name_of(to)))
        if self.leader() is not to:
            raise Failed("leadership did not move to %s" % name_of(to))

    def come_back(self, host):
        self.step("%s boots again" % name_of(host))
        host.boot()
        host.push(self.records, "/root/records")
        host.run("qbdadm up %s --disk %s" % (DEVICE, DISK))

        # A writer may be running, and something may always be on its way; and who
        # leads may have changed. What counts is that the host itself has all that
        # was there when it came back.
        target = max(self.status(other)["last_index"] for other in self.hosts)
        seen = {}

        def caught_up():
            seen.update(self.status(host))
            return seen["applied_index"] >= target and not seen["filling"] and \
                not seen["damaged"]
        try:
            qemu.wait_for(caught_up, 90, "%s has caught up" % name_of(host))
        except qemu.HostError as error:
            raise Failed("%s to entry %d; it says: %s" % (error, target, json.dumps(seen)))
        self.step("%s has caught up" % name_of(host))

    def compare(self, mounted):
        """Everything down, then the members' disks block by block."""
        self.screen.title("The replicas, block by block")
        mounted.run("umount %s" % MOUNT, timeout=120)

        def quiet():
            views = [self.status(host) for host in self.hosts]
            return len({view[index] for view in views
                        for index in ("applied_index", "commit_index")}) == 1
        qemu.wait_for(quiet, 60, "all members have applied everything")
        for host in self.hosts:
            host.run("qbdadm down %s" % DEVICE, timeout=60)
        sums = {}
        for host in self.hosts:
            answer = json.loads(host.run("qbdadm checksum %s --json" % DISK, timeout=240))
            sums[host.number] = answer["sha256"]
            self.step("%-5s  %s  applied up to %d" % (name_of(host), answer["sha256"],
                                                      answer["applied_index"]))
        if len(set(sums.values())) != 1:
            raise Failed("the replicas differ")
        self.verified += len(sums) * answer["device_bytes"]
        self.step("equal: %.0f MB of device on each" % (answer["device_bytes"] / 1e6))

    def keep_logs(self):
        """What the kernels said, for who wants to know why it failed."""
        for host in self.cluster.hosts:
            if os.path.exists(host.console):
                with open(host.console, "rb") as console, \
                        open(os.path.join(self.out, host.name + ".console"), "wb") as copy:
                    copy.write(console.read())
            if host.running():
                with open(os.path.join(self.out, host.name + ".dmesg"), "w") as log:
                    log.write(host.try_run("dmesg")[1])
