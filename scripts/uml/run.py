#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run a command as root in User-mode Linux, with qbd.ko loaded.

The guest sees the host's root file system read-only, at the same paths; /tmp,
/run, /var/tmp and /mnt are empty and writable, $QBD_RESULT is a directory of
the host that survives.  The command's standard output and error come out here,
its exit status is ours.

A run succeeds only when the command says so: its status is written to a file
of the host, the guest powers off by itself, and the kernel log holds no
warning, lockdep splat, sanitizer report, hung task or oops.

Exit status: the command's own, or
  120  the kernel log holds something that must not be there
  121  the guest died or hung up without saying how the command ended
  124  the time was up
  2    bad usage or something is missing

With --seed the same run happens again, event by event: the guest's random numbers
and its clock are made of the seed, addresses are not randomized, and the kernel's
command line, which goes into its random numbers, is always the same.
"""

import argparse
import ctypes
import fcntl
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))

sys.path.insert(0, os.path.dirname(HERE))
from kernel_log import BAD_LINES  # noqa: E402
sys.path.insert(0, HERE)
import processor  # noqa: E402

EXIT_LOG = 120
EXIT_DIED = 121
EXIT_TIMEOUT = 124
EXIT_USAGE = 2

# From one look for a processor with more room to the next.
LOOK_SECONDS = 1.0

# Where a guest with a seed finds its orders, wherever they are.
PLACE = "/media"

def say(text):
    print("uml: " + text, file=sys.stderr, flush=True)


def fail_usage(text):
    say(text)
    sys.exit(EXIT_USAGE)


def parse_arguments(machine):
    parser = argparse.ArgumentParser(
        prog=machine.program, description=machine.description,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", choices=machine.kernels,
                        default=machine.kernels[0])
    parser.add_argument("--time-travel", action="store_true",
                        help="virtual time: idle time is skipped, computing takes none")
    parser.add_argument("--seed", type=int, default=None, metavar="N",
                        help="virtual time, and everything random is made of N (root)")
    parser.add_argument("--mem", default=None, metavar="SIZE",
                        help="guest memory (default 1G, debug kernel 2G)")
    parser.add_argument("--disk", action="append", default=[], metavar="SIZE",
                        help="add an empty disk, /dev/ubda, /dev/ubdb, ...")
    parser.add_argument("--timeout", type=float, default=None, metavar="SECONDS",
                        help="real time after which the guest is killed "
                             "(default 120, none with --shell)")
    parser.add_argument("--log", metavar="FILE",
                        help="where the console goes (default: in the result directory)")
    parser.add_argument("--result", metavar="DIR",
                        help="the guest's $QBD_RESULT (default: a new directory "
                             "under build/uml-run, removed after success)")
    parser.add_argument("--module", action="append", default=None, metavar="FILE",
                        help="module to load, repeatable (default: %s)" %
                             machine.module("KERNEL"))
    parser.add_argument("--no-module", action="store_true",
                        help="load no module")
    parser.add_argument("--append", default="", metavar="ARGUMENTS",
                        help="more arguments for the guest kernel")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE",
                        help="environment of the command")
    parser.add_argument("--expect", action="append", default=[], metavar="REGEX",
                        help="kernel log lines that are no failure in this run")
    parser.add_argument("--kmemleak", action="store_true",
                        help="unload the modules after the command and look for leaks "
                             "(debug kernel)")
    parser.add_argument("--verbose", action="store_true",
                        help="show the console, too")
    parser.add_argument("--shell", action="store_true",
                        help="run the command (default: a shell) on this terminal")
    parser.add_argument("command", nargs=argparse.REMAINDER,
                        metavar="-- COMMAND ARGUMENT...")
    args = parser.parse_args()
    if args.command and args.command[0] == "--":
        args.command = args.command[1:]
    if not args.command:
        if not args.shell:
            fail_usage("no command given: run.sh [OPTION]... -- COMMAND ARGUMENT...")
        args.command = ["bash", "--norc", "-i"]
    if args.shell and not (os.isatty(0) and os.isatty(1)):
        fail_usage("--shell needs a terminal on standard input and output")
    if args.kmemleak and args.kernel != "debug":
        fail_usage("--kmemleak needs --kernel debug")
    if args.seed is not None:
        if not 0 < args.seed < 1 << 64:
            fail_usage("--seed %d: it has to be between 1 and 2^64 - 1" % args.seed)
        if os.geteuid() != 0:
            fail_usage("--seed needs root: the guest is given a mount of its own")
        if any((path + "/").startswith(PLACE + "/") for path in (REPO, os.getcwd())):
            fail_usage("--seed mounts over %s, which is where you are" % PLACE)
        args.time_travel = True
    if args.disk and args.time_travel:
        fail_usage("--disk does not go with --time-travel: the host does the I/O of such "
                   "a disk, and the clock jumps ahead meanwhile; use null_blk")
    if args.timeout is None:
        args.timeout = float("inf") if args.shell else 120.0
    if args.mem is None:
        args.mem = "2G" if args.kernel == "debug" else "1G"
    for entry in args.env:
        if "=" not in entry:
            fail_usage("--env %s: write NAME=VALUE" % entry)
    try:
        args.expect = [re.compile(regex) for regex in args.expect]
    except re.error as error:
        fail_usage("--expect: %s" % error)
    return args


def output_of_script(*command):
    script = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if script.returncode:
        sys.exit(EXIT_USAGE)
    return script.stdout.strip()


def find_modules(args, machine):
    if args.no_module:
        return []
    modules = args.module or [os.path.join(REPO, machine.module(args.kernel))]
    for module in modules:
        if not os.path.isfile(module):
            fail_usage("%s is missing: build it with %s, or use --no-module" %
                       (module, machine.build_module(args.kernel)))
    return [os.path.abspath(module) for module in modules]


def size_in_bytes(text):
    match = re.fullmatch(r"(\d+)([KMGT]?)", text)
    if not match:
        fail_usage("size %s: write a number and K, M, G or T" % text)
    return int(match.group(1)) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match.group(2)]


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def write_orders(args, result, work, modules, machine):
    """The file which tells the guest's init what to do (sourced by bash)."""
    # The guest mounts empty file systems over /tmp, /run, /var/tmp, /mnt; what
    # it needs from the host below them is mounted back.
    keep = list(dict.fromkeys([REPO, *sorted({os.path.dirname(m) for m in modules}),
                               os.getcwd()]))
    lines = ["repo=" + quote(REPO), "directory=" + quote(os.getcwd()),
             "result=" + quote(result), "shell=" + ("1" if args.shell else ""),
             "kmemleak=" + ("1" if args.kmemleak else ""),
             "modules=(%s)" % " ".join(map(quote, modules)),
             "keep=(%s)" % " ".join(map(quote, keep)),
             *machine.orders(keep, result),
             "command=(%s)" % " ".join(map(quote, args.command))]
    lines += ["export %s=%s" % (name, quote(value)) for name, value in
              (entry.split("=", 1) for entry in args.env)]
    lines.append("export QBD_UML_KERNEL=" + args.kernel)
    if args.time_travel:
        lines.append("export QBD_TIME_TRAVEL=1")
    if args.shell:
        size = os.get_terminal_size()
        lines += ["rows=%d" % size.lines, "columns=%d" % size.columns,
                  "export TERM=" + quote(os.environ.get("TERM", "linux"))]
    path = os.path.join(work, "orders")
    with open(path, "w") as orders:
        orders.write("\n".join(lines) + "\n")
    return path


def seed_library():
    """What makes the guest's random numbers of a seed, built when it is needed."""
    source = os.path.join(HERE, "seed.c")
    directory = os.path.join(REPO, "build", "uml-tools")
    library = os.path.join(directory, "seed.so")
    if not os.path.exists(library) or os.path.getmtime(library) < os.path.getmtime(source):
        os.makedirs(directory, exist_ok=True)
        # Put in place whole: another run may be using it.
        made = library + ".%d" % os.getpid()
        if subprocess.run([os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Wextra",
                           "-Werror", "-shared", "-fPIC", "-o", made, source]).returncode:
            fail_usage("cannot build %s" % source)
        os.rename(made, library)
    return library


def environment(args):
    variables = dict(os.environ, TMPDIR="/dev/shm")
    if args.seed is not None:
        variables.update(LD_PRELOAD=seed_library(), QBD_UML_SEED=str(args.seed))
    return variables


def prepare_child(args, work, place):
    """In the process that becomes the guest."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if place:
        place.bind_self()
    if args.seed is None:
        return

    def check(status, what):
        if status == -1:
            raise OSError(ctypes.get_errno(), what)

    check(libc.personality(0x0040000), "personality")       # ADDR_NO_RANDOMIZE
    check(libc.unshare(0x00020000), "unshare")              # CLONE_NEWNS
    check(libc.mount(b"none", b"/", None, 0x44000, None), "mount")  # MS_REC | MS_PRIVATE
    check(libc.mount(work.encode(), PLACE.encode(), None, 0x1000, None), "bind")  # MS_BIND


class Console:
    """Gathers the console in the log and notes the lines which must not be."""

    def __init__(self, path, expect, verbose):
        self.log = open(path, "wb", buffering=0)
        self.path = path
        self.expect = expect
        self.verbose = verbose
        self.partial = b""
        self.judging = True
        self.bad = []
        self.ended = None
        self.powered_down = False

    def console(self, data):
        self.log.write(data)
        if self.verbose:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        *lines, self.partial = (self.partial + data).split(b"\n")
        for line in lines:
            self.judge(line.decode(errors="replace").rstrip("\r"))

    def judge(self, line):
        match = re.search(r"qbd-guest: command ended with status (\d+)$", line)
        if match:
            self.ended = int(match.group(1))
        if line.endswith("reboot: Power down"):
            self.powered_down = True
        if self.judging and BAD_LINES.search(line) and not any(e.search(line) for e in self.expect):
            self.bad.append(line)

    def output(self, data):
        self.log.write(data)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class UserModeLinux:
    """The machine that this starts; scripts/qemu/run.py has another one."""

    program = "scripts/uml/run.sh"
    description = __doc__
    kernels = ("plain", "debug")
    one_processor = True

    @staticmethod
    def kernel_directory(kind):
        return output_of_script(os.path.join(HERE, "build-kernel.sh"), kind)

    @staticmethod
    def module(kind):
        return "build/uml-%s/qbd.ko" % kind

    @staticmethod
    def build_module(kind):
        return "make uml-module" + (" UML=debug" if kind == "debug" else "")

    @staticmethod
    def orders(_keep, _result):
        """How the guest's init finds its way: sharing, terminal, more for that."""
        return ["sharing=hostfs", "terminal=/dev/ttyS0"]

    @staticmethod
    def command(args, kernel, work, orders, output_fd, input_fd):
        init = os.path.join(HERE, "init")
        if args.seed is not None:
            os.symlink(init, os.path.join(work, "init"))
            init, orders, work = PLACE + "/init", PLACE + "/orders", PLACE
        line = [os.path.join(kernel, "linux"), "mem=" + args.mem,
                "root=none", "rootfstype=hostfs", "rootflags=/", "ro",
                "init=" + init, "qbd_orders=" + orders,
                "uml_dir=" + work, "umid=guest", "console=tty0",
                "con=null", "con0=null,fd:1", "ssl=null",
                "ssl0=fd:%d,fd:%d" % (input_fd, output_fd),
                "kunit.enable=1", "nbd.nbds_max=0", "null_blk.nr_devices=0",
                # As distributions have it: older resize2fs open what is mounted for write.
                "bdev_allow_write_mounted=1"]
        if args.time_travel:
            line.append("time-travel=inf-cpu")
        if args.seed is not None:
            line.append("time-travel-start=1000000000000000000")
        for number, size in enumerate(args.disk):
            path = os.path.join(work, "disk%d" % number)
            with open(path, "wb") as disk:
                disk.truncate(size_in_bytes(size))
            line.append("ubd%d=%s" % (number, path))
        return line + args.append.split()

    @staticmethod
    def ask_for_traces(work):
        """Have the hung guest print its tasks (mconsole protocol).

        The blocked ones first: UML may panic over printing some kernel threads.
        """
        path = os.path.join(work, "guest", "mconsole")
        for order in (b"sysrq w", b"sysrq t"):
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                    sock.bind(os.path.join(work, "asker-%s" % order[-1:].decode()))
                    sock.sendto(struct.pack("<III", 0xcafebabe, 2, len(order)) +
                                order.ljust(512, b"\0"), path)
            except OSError:
                return

    @staticmethod
    def ended_by_itself(console, uml):
        """It powered off, and did not crash before.

        When the kernel has said so as its last word it still has to take down its signal
        handlers and timers, as a program of the host. A signal that comes in between, on a
        busy host, aborts that program: no matter, it is over.
        """
        return uml.returncode == 0 or \
            console.powered_down and uml.returncode == -signal.SIGABRT

    @staticmethod
    def complaints(_console):
        """What else in the log says that the kernel is at fault."""
        return []


def stream(uml, pipes, console, deadline, work, machine, place):
    """Copy both pipes until the guest ends.  Returns whether it ended by itself."""
    asked = False
    look = time.monotonic() + LOOK_SECONDS
    poller = select.poll()
    for fd in pipes:
        poller.register(fd, select.POLLIN)
    waiting = set(pipes)
    while waiting:
        left = deadline - time.monotonic()
        if left <= 0:
            if asked:
                return False
            # Two more seconds for the traces to arrive.
            asked = True
            console.judging = False
            deadline = time.monotonic() + 2
            machine.ask_for_traces(work)
            continue
        for fd, _ in poller.poll(min(left, 1.0) * 1000):
            data = os.read(fd, 65536)
            if data:
                pipes[fd](data)
            else:
                poller.unregister(fd)
                waiting.discard(fd)
        if place and time.monotonic() >= look:
            place.move_up(uml.pid)
            look = time.monotonic() + LOOK_SECONDS
        # A process of the guest that outlived its kernel would keep the pipes.
        if uml.poll() is not None and not poller.poll(0):
            break
    return not asked


def judge_run(console, uml, in_time, timeout, result, machine):
    status_path = os.path.join(result, "status")
    try:
        with open(status_path) as status_file:
            status = int(status_file.read())
    except (OSError, ValueError):
        status = None
    console.bad += machine.complaints(console)
    for line in console.bad[:8]:
        say("kernel log: " + line.strip())
    if not in_time:
        say("killed after %g s without an end; log: %s" % (timeout, console.path))
        return EXIT_TIMEOUT
    if console.bad:
        say("the kernel log holds %d bad lines; log: %s" % (len(console.bad),
                                                           console.path))
        return EXIT_LOG
    if status is None or console.ended != status or not machine.ended_by_itself(console, uml):
        say("the guest died (status %s) without saying how the command ended; log: %s"
            % (uml.returncode, console.path))
        return EXIT_DIED
    return status


def run_guest(args, kernel, modules, result, work, machine):
    console_read, console_write = os.pipe()
    pipes_to_close = [console_write]
    orders = write_orders(args, result, work, modules, machine)
    log = args.log or os.path.join(result, "console.log")
    console = Console(log, args.expect, args.verbose)
    pipes = {console_read: console.console}
    if args.shell:
        input_fd, output_fd = os.dup(0), os.dup(1)
        saved = termios.tcgetattr(0)
        pipes_to_close += [input_fd, output_fd]
    else:
        output_read, output_fd = os.pipe()
        # Nothing ever comes in; UML cannot wait on /dev/null.
        input_fd, input_write = os.pipe()
        pipes[output_read] = console.output
        pipes_to_close += [output_fd, input_fd]
    # Numbers that do not depend on what else is open: they are in the command line.
    output_fd, input_fd = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)
                           for fd in (output_fd, input_fd))
    pipes_to_close += [output_fd, input_fd]
    line = machine.command(args, kernel, work, orders, output_fd, input_fd)
    place = processor.Processor() if machine.one_processor else None
    # A group of its own, so that the whole guest can be killed: each of its
    # address spaces is a process of the host.
    uml = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=console_write,
                           stderr=subprocess.STDOUT, pass_fds=(output_fd, input_fd),
                           start_new_session=True, env=environment(args),
                           preexec_fn=lambda: prepare_child(args, work, place))
    for fd in pipes_to_close:
        os.close(fd)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TIMEOUT))
    in_time = False
    try:
        in_time = stream(uml, pipes, console, time.monotonic() + args.timeout, work,
                         machine, place)
        if in_time:
            uml.wait(timeout=10)
    except subprocess.TimeoutExpired:
        in_time = False
    finally:
        try:
            os.killpg(uml.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        uml.wait()
        if args.shell:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
    return judge_run(console, uml, in_time, args.timeout, result, machine)


def main(machine):
    args = parse_arguments(machine)
    kernel = machine.kernel_directory(args.kernel)
    modules = find_modules(args, machine)
    if args.result:
        result = os.path.abspath(args.result)
        os.makedirs(result, exist_ok=True)
        if os.path.exists(os.path.join(result, "status")):
            os.unlink(os.path.join(result, "status"))
    else:
        runs = os.path.join(REPO, "build", "uml-run")
        os.makedirs(runs, exist_ok=True)
        result = tempfile.mkdtemp(dir=runs)
    # Short, because the path of a socket in it must fit into 107 bytes.
    work = tempfile.mkdtemp(prefix="qbd-uml.", dir="/dev/shm")
    try:
        status = run_guest(args, kernel, modules, result, work, machine)
    except KeyboardInterrupt:
        say("interrupted")
        status = 130
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not args.result and status == 0:
        shutil.rmtree(result, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main(UserModeLinux()))
