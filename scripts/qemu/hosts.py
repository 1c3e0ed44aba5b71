# SPDX-License-Identifier: GPL-2.0
"""A cluster of virtual hosts under Debian's stock kernels.

    import hosts
    with hosts.Cluster(3, disks=["256M"]) as cluster:
        one, two, three = cluster.hosts
        print(one.run("uname -r"))              # raises if it fails
        status, text = one.try_run("false")
        writer = one.spawn("dd ...")            # writer.wait(), writer.output
        one.push("file", "/tmp/file")
        one.power_cut()                         # unflushed writes are lost
        one.boot()
        two.pause(); two.resume()
        three.freeze_disk(); three.thaw_disk(); three.fail_disk(True)
        three.slow_disk(20)                     # requests a second
        cluster.block([(1, 2), (2, 1)])         # no frames from 1 to 2 and back
        cluster.block([(1, 2, 1514)])           # none of more bytes from 1 to 2
        one.link(False)                         # its cable is pulled
        cluster.check_logs()                    # raises on a kernel's complaint

Host K is named hK, has the addresses 10.77.0.K and fd77::K, and the disks
/dev/vda, /dev/vdb, ...  It runs with qbd.ko loaded (modules=[] for none) and
with qbdadm in /qbd, when they have been built.

Everything of a cluster is in one directory: disks, console logs, sockets.  A
cluster dies with this process unless it is lasting; scripts/qemu/cluster keeps
one between its calls.
"""

import base64
import concurrent.futures
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)

import image  # noqa: E402
import kernel_log  # noqa: E402

CHANNELS = 8
BOOT_SECONDS = 120

# Kernel arguments for hosts whose clocks have to be right although this machine is
# busy: the frequency of the emulated time stamp counter is measured while booting, and
# comes out wrong by factors when the machine stands still meanwhile.  (The tests of
# ciphers are a tenth of the time that it takes to boot.)
STEADY = "tsc=unstable clocksource=hpet cryptomgr.notests"

# The counter of the emulated HPET has 32 bits and begins anew every 43 s. A kernel that did not
# look at it for so long sees time go back by as much: asked for its uptime it said 48.5 s, then
# 7.8 s, and all its timers stood still until that was made up for.
LATE_SECONDS = 15

say = image.say


class HostError(Exception):
    """Something that was asked of a host did not happen; the text says what."""


def size_in_bytes(text):
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    text = str(text)
    if text[-1:] in units:
        return int(text[:-1]) << units[text[-1]]
    return int(text)


def wait_for(condition, seconds, text):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise HostError("not within %g s: %s" % (seconds, text))
        time.sleep(0.02)


# The kernel ties PR_SET_PDEATHSIG to the thread which forked, so one thread that
# lives as long as this process starts everything.
starter = concurrent.futures.ThreadPoolExecutor(max_workers=1)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


class Process:
    """A process of the cluster, known by its id and when it began."""

    def __init__(self, path):
        self.path = path            # the file which remembers it

    def start(self, command, log, lasting, **options):
        with open(log, "ab") as out:
            child = starter.submit(
                subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=None if lasting else die_with_parent, **options).result()
        with open(self.path, "w") as record:
            record.write("%d %s\n" % (child.pid, self.start_time(child.pid)))
        # Reaped as soon as it ends; nobody else waits for it.
        threading.Thread(target=child.wait, daemon=True).start()

    @staticmethod
    def start_time(pid):
        try:
            with open("/proc/%d/stat" % pid) as stat:
                fields = stat.read().rpartition(")")[2].split()
                return None if fields[0] == "Z" else fields[19]
        except OSError:
            return None

    def pid(self):
        """Its id while it runs, or None: the id is not reused for a stranger."""
        try:
            with open(self.path) as record:
                pid, begin = record.read().split()
        except (OSError, ValueError):
            return None
        return int(pid) if self.start_time(int(pid)) == begin else None

    def signal(self, number):
        pid = self.pid()
        if pid:
            os.kill(pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        wait_for(lambda: not self.pid(), 10, "the end of a killed process")


class Command:
    """A command on a host, on a channel of its own."""

    def __init__(self, host, script, data=None, sink=None, terminal=None):
        self.host = host
        self.output = b""
        self.status = None
        self.sink = sink
        self.failure = None
        self.channel = host.take_channel()
        if terminal:
            self.send(b"P", terminal + script.encode())
        else:
            self.send(b"R", script.encode())
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not terminal:
            self.feed(data or b"")

    def send(self, kind, payload=b""):
        frame = kind + len(payload).to_bytes(4, "little") + payload
        try:
            self.channel.sock.sendall(frame)
        except OSError as error:
            self.failure = str(error)

    def feed(self, data):
        for start in range(0, len(data), 32768):
            self.send(b"I", data[start:start + 32768])
        self.send(b"E")

    def read(self):
        try:
            while True:
                kind, payload = self.channel.receive()
                if kind == b"O" and self.sink:
                    self.sink(payload)
                elif kind == b"O":
                    self.output += payload
                elif kind == b"X":
                    self.status = payload[0]
                    break
        except (OSError, EOFError) as error:
            self.failure = self.failure or str(error) or "the host is gone"
        if self.failure is None:
            self.host.idle_channels.append(self.channel)
        else:
            self.channel.close()

    def wait(self, timeout=60):
        """Its exit status; HostError when the host died or the time is up."""
        self.reader.join(timeout)
        if self.reader.is_alive():
            raise HostError("%s: a command did not end within %g s; so far:\n%s" %
                            (self.host.name, timeout, self.text()))
        if self.status is None:
            raise HostError("%s: %s; output so far:\n%s" %
                            (self.host.name, self.failure, self.text()))
        return self.status

    def text(self):
        return self.output.decode(errors="replace")

    def ended(self):
        return not self.reader.is_alive()

    def kill(self):
        self.send(b"K")


class Channel:
    """One connection to the agent of a host."""

    def __init__(self, path, lock):
        self.lock = lock
        self.buffer = b""
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.connect(path)
        except OSError:
            self.close()
            raise

    def close(self):
        self.sock.close()
        os.close(self.lock)

    def synchronise(self, seconds):
        """Skip what an earlier user of the channel left in it."""
        nonce = b"S" + (16).to_bytes(4, "little") + os.urandom(16)
        end = time.monotonic() + seconds
        self.sock.settimeout(0.3)
        while nonce not in self.buffer:
            # Again and again: an answer is lost when the agent hears of the end
            # of the former connection only now.
            self.sock.sendall(nonce)
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                if time.monotonic() > end:
                    raise
                continue
            if not data:
                raise EOFError("the host is gone")
            self.buffer += data
        self.buffer = self.buffer.partition(nonce)[2]
        self.sock.settimeout(None)

    def receive(self):
        def want(count):
            while len(self.buffer) < count:
                data = self.sock.recv(262144)
                if not data:
                    raise EOFError("the host is gone")
                self.buffer += data

        want(5)
        length = int.from_bytes(self.buffer[1:5], "little")
        want(5 + length)
        kind, payload = self.buffer[:1], self.buffer[5:5 + length]
        self.buffer = self.buffer[5 + length:]
        return kind, payload


class Host:
    def __init__(self, cluster, number):
        self.cluster = cluster
        self.number = number
        self.name = "h%d" % number
        self.address4 = "10.77.0.%d" % number
        self.address6 = "fd77::%d" % number
        self.qemu = Process(self.path("qemu.pid"))
        self.idle_channels = []
        self.waker = None           # ends a pause whose clock runs

    def path(self, name):
        return os.path.join(self.cluster.directory, "%s-%s" % (self.name, name))

    @property
    def disks(self):
        """The files behind its disks on this machine."""
        return [self.path("disk%d" % number)
                for number in range(1, len(self.cluster.settings["disks"]) + 1)]

    @property
    def console(self):
        return self.path("console.log")

    def disk_process(self, number):
        return Process(self.path("nbdkit%d.pid" % number))

    # Power.

    def boot(self, wait=True):
        if self.running():
            raise HostError("%s is running" % self.name)
        for number, disk in enumerate(self.disks, 1):
            self.start_disk(number, disk)
        nic = os.path.join(self.cluster.directory, "nic-%d" % self.number)
        if os.path.exists(nic):
            os.unlink(nic)
        with open(self.console, "ab") as log:
            log.write(b"--- power on\n")
        self.qemu.start(self.qemu_command(nic), self.path("qemu.log"),
                        self.cluster.lasting)
        if wait:
            self.wait_up()

    def start_disk(self, number, disk):
        sock = self.path("disk%d.sock" % number)
        if os.path.exists(sock):
            os.unlink(sock)
        # Killing the cache loses what was not flushed: that is a power cut.
        # Above it, a filter that fails everything while a file exists.
        self.disk_process(number).start(
            ["nbdkit", "--foreground", "--unix", sock,
             "--filter=error", "--filter=cache", "file", disk, "cache=writeback",
             "error=EIO", "error-rate=100%",
             "error-file=" + self.path("disk%d.fails" % number)],
            self.path("qemu.log"), self.cluster.lasting,
            env=dict(os.environ, TMPDIR=self.cluster.directory))
        wait_for(lambda: os.path.exists(sock), 20, "the disk server of " + self.name)

    def qemu_command(self, nic):
        cluster = self.cluster
        settings = cluster.settings
        # Warnings have to get to the console: it is what outlives the host.
        append = ["console=ttyS0", "loglevel=5", "panic=-1", "oops=panic", "no_timer_check",
                  "random.trust_cpu=on", "mitigations=off", settings["append"]]
        clock = (["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]
                 if settings["counted"] else ["-accel", "tcg,thread=multi"])
        command = ["qemu-system-x86_64", "-name", self.name, "-nodefaults",
                   "-no-user-config", "-display", "none", "-no-reboot",
                   "-machine", "q35,usb=off", *clock,
                   "-cpu", "max", "-smp", self.processors(),
                   "-m", str(settings["mem"]),
                   "-kernel", os.path.join(settings["kernel_directory"], "vmlinuz"),
                   "-initrd", self.path("initrd"), "-append", " ".join(append),
                   "-chardev", "file,id=console,append=on,path=" + self.console,
                   "-serial", "chardev:console",
                   "-qmp", "unix:%s,server=on,wait=off" % self.path("qmp"),
                   "-device", "virtio-rng-pci", *self.shared_memory(),
                   "-device", "virtio-serial-pci,max_ports=%d" % (CHANNELS + 1)]
        for channel in range(CHANNELS):
            command += ["-chardev", "socket,id=agent%d,path=%s,server=on,wait=off" %
                        (channel, self.path("agent%d" % channel)),
                        "-device", "virtserialport,chardev=agent%d,name=agent%d" %
                        (channel, channel)]
        for number in range(1, len(self.disks) + 1):
            command += ["-drive", "if=none,id=disk%d,format=raw,discard=unmap,"
                        "file=nbd+unix:///?socket=%s" %
                        (number, self.path("disk%d.sock" % number)),
                        "-device", "virtio-blk-pci,drive=disk%d,serial=disk%d" %
                        (number, number)]
        command += ["-drive", "if=none,id=root,format=raw,readonly=on,file.locking=off,"
                    "file=" + settings["root"],
                    "-device", "virtio-blk-pci,drive=root,serial=root"]
        for number, extra in enumerate(settings["read_only_disks"], 1):
            command += ["-drive", "if=none,id=extra%d,format=raw,readonly=on,"
                        "file.locking=off,file=%s" % (number, extra),
                        "-device", "virtio-blk-pci,drive=extra%d,serial=extra%d" %
                        (number, number)]
        command += ["-netdev", "dgram,id=net,local.type=unix,local.path=%s,"
                    "remote.type=unix,remote.path=%s" %
                    (nic, os.path.join(cluster.directory, "switch-%d" % self.number)),
                    "-device", "virtio-net-pci,netdev=net,host_mtu=%d,"
                    "mac=52:54:00:77:00:%02x" % (settings["mtu"], self.number)]
        return command

    def processors(self):
        """A machine that never has a second processor need not emulate atomic
        instructions as such; for memory that others change, they have to be."""
        settings = self.cluster.settings
        return ("1,maxcpus=2" if settings["shared"] and settings["smp"] == 1 else
                str(settings["smp"]))

    def shared_memory(self):
        settings = self.cluster.settings
        if not settings["shared"]:
            return []
        return ["-object", "memory-backend-file,id=shared,share=on,mem-path=%s,size=%s" %
                (self.cluster.shared, settings["shared"]),
                "-device", "ivshmem-plain,memdev=shared"]

    def running(self):
        return self.qemu.pid() is not None

    def wait_up(self, seconds=BOOT_SECONDS):
        end = time.monotonic() + seconds
        while True:
            try:
                self.run("true", timeout=10)
                return
            except (HostError, OSError, EOFError) as error:
                if not self.running():
                    raise HostError("%s died while booting, see %s and %s" %
                                    (self.name, self.console, self.path("qemu.log")))
                if time.monotonic() > end:
                    raise HostError("%s did not come up within %g s (%s), see %s" %
                                    (self.name, seconds, error, self.console))
                time.sleep(0.05)

    def power_cut(self):
        """Off, now; what its disks had not flushed is lost."""
        self.cluster.power_cut(self)

    def power_off(self, seconds=60):
        """Shut down in order: unmounts and flushes are up to the caller."""
        self.spawn("sync; busybox poweroff -f")
        wait_for(lambda: not self.running(), seconds, "power off of " + self.name)
        for number in range(1, len(self.disks) + 1):
            self.disk_process(number).kill()

    def shut_down(self, seconds=300):
        """As its administrator would, by systemd; how many seconds that took."""
        begin = time.monotonic()
        self.spawn("systemctl --no-block poweroff")
        wait_for(lambda: not self.running(), seconds, "shutdown of " + self.name)
        took = time.monotonic() - begin
        for number in range(1, len(self.disks) + 1):
            self.disk_process(number).kill()
        return took

    # Faults.

    def qmp(self, order, arguments=None):
        """One command to the machine's monitor."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(self.path("qmp"))
            stream = sock.makefile("rw")
            stream.readline()
            for name, with_what in (("qmp_capabilities", None), (order, arguments)):
                stream.write(json.dumps({"execute": name, "arguments": with_what or {}}) +
                             "\n")
                stream.flush()
                while True:
                    answer = json.loads(stream.readline())
                    if "error" in answer:
                        raise HostError("%s: %s: %s" % (self.name, name,
                                                        answer["error"]["desc"]))
                    if "return" in answer:
                        break

    def pause(self, clock="stops"):
        """Stop the machine.  When its clock "stops" it does not notice; when the
        clock "runs" it wakes up late: at the latest after LATE_SECONDS, by itself."""
        if clock == "stops":
            self.qmp("stop")
            return
        self.stall(True)
        self.waker = threading.Timer(LATE_SECONDS, self.stall, (False,))
        self.waker.daemon = True
        self.waker.start()

    def resume(self):
        if self.waker:
            self.waker.cancel()
        self.stall(False)
        self.qmp("cont")

    def stall(self, still):
        """Take the processor from the machine, or give it back; its clock goes on."""
        self.qemu.signal(signal.SIGSTOP if still else signal.SIGCONT)

    def link(self, up):
        """Pull the cable of its interface, or put it in again; the kernel notices."""
        self.qmp("set_link", {"name": "net", "up": up})

    def freeze_disk(self, number=1):
        """From now on the disk answers nothing."""
        self.disk_process(number).signal(signal.SIGSTOP)

    def thaw_disk(self, number=1):
        self.disk_process(number).signal(signal.SIGCONT)

    def slow_disk(self, requests, number=1):
        """From now on the disk takes so many requests a second; 0: any number."""
        limits = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops_rd", "iops_wr"), 0)
        self.qmp("block_set_io_throttle", {"device": "disk%d" % number, "iops": requests,
                                           **limits})

    def fail_disk(self, fails, number=1):
        """From now on every request to the disk fails, or no more."""
        path = self.path("disk%d.fails" % number)
        if fails:
            open(path, "w").close()
        elif os.path.exists(path):
            os.unlink(path)

    # Commands.

    def take_channel(self):
        """A free connection to the agent; the lock keeps others from it, in this
        process and in others."""
        while self.idle_channels:
            channel = self.idle_channels.pop()
            # Readable means that the host went away.
            if not select.select([channel.sock], [], [], 0)[0]:
                return channel
            channel.close()
        for number in range(CHANNELS):
            lock = os.open(self.path("agent%d.lock" % number), os.O_CREAT | os.O_RDWR |
                           os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            channel = Channel(self.path("agent%d" % number), lock)
            try:
                channel.synchronise(5)
            except (OSError, EOFError):
                channel.close()
                raise
            return channel
        raise HostError("%s: %d commands are running, there is no channel for more" %
                        (self.name, CHANNELS))

    def spawn(self, script, data=None, sink=None):
        """Start a command (bash); do not wait for it."""
        return Command(self, "cd /root; " + script, data, sink)

    def try_run(self, script, timeout=60, data=None):
        """Run a command: exit status and output."""
        command = self.spawn(script, data)
        try:
            return command.wait(timeout), command.text()
        finally:
            if not command.ended():
                command.kill()

    def run(self, script, timeout=60, data=None):
        """Run a command that must succeed: its output."""
        status, text = self.try_run(script, timeout, data)
        if status:
            raise HostError("%s: exit status %d: %s\n%s" % (self.name, status, script,
                                                           text))
        return text

    def push(self, source, target, timeout=300):
        with open(source, "rb") as data:
            self.run("cat > '%s' && chmod %o '%s'" %
                     (target, os.stat(source).st_mode & 0o777, target), timeout,
                     data.read())

    def pull(self, source, target, timeout=300):
        command = self.spawn("cat '%s'" % source)
        if command.wait(timeout):
            raise HostError("%s: cannot read %s: %s" % (self.name, source,
                                                        command.text()))
        with open(target, "wb") as copy:
            copy.write(command.output)

    def interactive(self, script="exec bash -i"):
        """Run a command on the terminal of this process."""
        def size():
            columns, rows = os.get_terminal_size()
            return rows.to_bytes(2, "little") + columns.to_bytes(2, "little")

        command = Command(self, "export TERM='%s'; cd /root; %s" %
                          (os.environ.get("TERM", "linux"), script),
                          sink=lambda data: os.write(1, data), terminal=size())
        signal.signal(signal.SIGWINCH, lambda *_: command.send(b"W", size()))
        saved = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            while not command.ended():
                if select.select([0], [], [], 0.1)[0]:
                    data = os.read(0, 4096)
                    command.send(b"I", data)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        return command.status

    def kernel_complaints(self, expect=()):
        with open(self.console, errors="replace") as log:
            return kernel_log.bad_lines(log.read(), expect)


class Cluster:
    """Hosts, their disks, their network.  Options:

    count             how many hosts
    kernel            "6.12" or "6.1"
    disks             sizes of the disks of each host
    mem, smp          megabytes and processors of each host
    modules           module files to load (default: the built qbd.ko; [] for none)
    files             {path on the hosts below /qbd: file here}
    read_only_disks   files which every host sees as a read-only disk, named
                      /dev/disk/by-id/virtio-extraN
    append            more kernel arguments
    mtu               bytes of the largest packets.  Their network cards gather nothing:
                      each packet is one piece of memory to the kernel that sends it
    counted           the clock of a host is the count of its instructions, one each
                      nanosecond, and leaps to the next timer when the host idles:
                      what it measures there is the same on any machine.  What it
                      waits for from outside, its disks for one, takes any time
    shared            size of memory that all hosts see, or None: an ivshmem device in
                      each of them, the file cluster.shared here.  It stays as it is
                      when a host loses its power, and atomic instructions of several
                      hosts on it are atomic
    systemd           None, or a script that prepares each host (as root, before
                      anything runs) for systemd, which is process 1 then
    directory         where everything is (default: temporary, removed at the end)
    lasting           the hosts outlive this process
    """

    def __init__(self, count=3, kernel="6.12", disks=("256M",), mem=512, smp=1,
                 modules=None, files=None, read_only_disks=(), append="", mtu=9000,
                 counted=False, shared=None, systemd=None, directory=None,
                 lasting=False):
        kernel_directory, release = image.stock_kernel(kernel)
        self.temporary = directory is None
        # Short: the path of a unix socket must fit into 107 bytes.
        self.directory = directory or tempfile.mkdtemp(prefix="qbd-hosts.", dir="/tmp")
        os.makedirs(self.directory, exist_ok=True)
        if len(os.path.abspath(self.directory)) > 80:
            raise HostError("the path %s is too long for unix sockets" % self.directory)
        self.directory = os.path.abspath(self.directory)
        self.lasting = lasting
        if modules is None:
            module = os.path.join(REPO, "build", release, "qbd.ko")
            if not os.path.isfile(module):
                raise HostError("%s is missing: build it with make stock-modules" % module)
            modules = [module]
        self.settings = {
            "count": count, "kernel": kernel, "release": release,
            "kernel_directory": kernel_directory, "disks": list(disks), "mem": mem,
            "smp": smp, "append": append, "mtu": mtu, "counted": counted, "shared": shared,
            "modules": list(modules), "files": dict(files or {}),
            "read_only_disks": [os.path.abspath(disk) for disk in read_only_disks],
            "systemd": systemd,
            "root": image.root_image(kernel_directory, release, bool(systemd)),
            "initramfs": image.initramfs(kernel_directory, release),
        }
        self.make()

    @classmethod
    def open(cls, directory):
        """A lasting cluster made by another process."""
        cluster = cls.__new__(cls)
        cluster.directory = os.path.abspath(directory)
        cluster.lasting = True
        cluster.temporary = False
        try:
            with open(os.path.join(directory, "settings.json")) as settings:
                cluster.settings = json.load(settings)
        except OSError:
            raise HostError("%s is no directory of a cluster" % directory)
        cluster.make_hosts()
        return cluster

    def make_hosts(self):
        self.hosts = [Host(self, number) for number in
                      range(1, self.settings["count"] + 1)]
        self.switch = Process(os.path.join(self.directory, "switch.pid"))
        self.shared = os.path.join(self.directory, "shared")

    def host(self, number):
        return self.hosts[number - 1]

    def make(self):
        self.make_hosts()
        for host in self.hosts:
            for disk, size in zip(host.disks, self.settings["disks"]):
                with open(disk, "ab") as data:
                    data.truncate(size_in_bytes(size))
            self.write_initrd(host)
        if self.settings["shared"]:
            with open(self.shared, "ab") as memory:
                memory.truncate(size_in_bytes(self.settings["shared"]))
        with open(os.path.join(self.directory, "settings.json"), "w") as settings:
            json.dump(self.settings, settings, indent=1)

    def write_initrd(self, host):
        own = host.path("initrd.own")
        archive = image.Archive(own)
        archive.add_file("/qbd/agent", image.agent())
        archive.add_file("/qbd/start", os.path.join(HERE, "start"))
        names = ["127.0.0.1 localhost", "::1 localhost"]
        for other in self.hosts:
            names += ["%s %s" % (other.address4, other.name),
                      "%s %s-v6" % (other.address6, other.name)]
        archive.add("/qbd/hosts", ("\n".join(names) + "\n").encode(), 0o644)
        depends = []
        for module in self.settings["modules"]:
            archive.add_file("/qbd/" + os.path.basename(module), module)
            depends += [name for name in image.output_of(
                "modinfo", "-F", "depends", module).strip().split(",") if name]
        archive.add("/qbd/settings", (
            "name_of_host=%s\naddress4=%s/24\naddress6=%s/64\nmtu=%d\n"
            "depends='%s'\nmodules='%s'\n" % (
                host.name, host.address4, host.address6, self.settings["mtu"], " ".join(depends),
                " ".join(map(os.path.basename, self.settings["modules"])))).encode())
        for tool in ("build/userspace/qbdadm", "userspace/qbdadm/qbdadm"):
            if os.path.isfile(os.path.join(REPO, tool)):
                archive.add_file("/qbd/qbdadm", os.path.join(REPO, tool))
                break
        for name, source in self.settings["files"].items():
            archive.add_file("/qbd/" + name, source)
        if self.settings["systemd"]:
            archive.add("/qbd/prepare", self.settings["systemd"].encode())
        archive.close()
        with open(host.path("initrd"), "wb") as whole:
            for part in (self.settings["initramfs"], own):
                with open(part, "rb") as data:
                    shutil.copyfileobj(data, whole)
        os.unlink(own)

    def start_switch(self):
        """The network between the hosts."""
        if not self.switch.pid():
            self.switch.start([sys.executable, os.path.join(HERE, "switch.py"),
                               self.directory, str(len(self.hosts))],
                              os.path.join(self.directory, "switch.log"), self.lasting)
            control = os.path.join(self.directory, "switch-control")
            wait_for(lambda: os.path.exists(control), 20, "the network switch")

    def start(self):
        """Boot all hosts, at the same time."""
        self.start_switch()
        for host in self.hosts:
            if not host.running():
                host.boot(wait=False)
        for host in self.hosts:
            host.wait_up()

    def stop(self):
        """Kill everything; the directory stays unless it is temporary."""
        for host in self.hosts:
            host.power_cut()
        self.switch.kill()
        if self.temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def power_cut(*hosts):
        """All of these off, at the same moment; what their disks had not flushed is
        lost."""
        processes = [host.qemu for host in hosts]
        processes += [host.disk_process(number) for host in hosts
                      for number in range(1, len(host.disks) + 1)]
        for process in processes:
            process.signal(signal.SIGKILL)
        for process in processes:
            process.kill()

    def block(self, ways):
        """Let no frame pass on these ways, (from, to) each, or none that is longer than so
        many bytes, (from, to, bytes); others pass again."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            path = os.path.join(self.directory, "asker-" + base64.b16encode(
                os.urandom(6)).decode())
            sock.bind(path)
            try:
                sock.settimeout(20)
                sock.sendto(json.dumps([list(way) for way in ways]).encode(),
                            os.path.join(self.directory, "switch-control"))
                sock.recv(65536)
            finally:
                os.unlink(path)

    def isolate(self, *numbers):
        """Cut these hosts off from the others (they still reach each other)."""
        inside = set(numbers)
        everyone = {host.number for host in self.hosts}
        self.block([(a, b) for a in everyone for b in everyone
                    if (a in inside) != (b in inside)])

    def heal(self):
        self.block([])

    def check_logs(self, expect=()):
        """Raise when a host's kernel complained about itself."""
        lines = ["%s: %s" % (host.name, line) for host in self.hosts
                 for line in host.kernel_complaints(expect)]
        if lines:
            raise HostError("kernel log:\n" + "\n".join(lines[:20]))

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
