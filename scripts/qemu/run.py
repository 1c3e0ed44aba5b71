#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run a command as root on a machine with two processors, with qbd.ko loaded.

As scripts/uml/run.sh, but in QEMU, with the kernel that has the concurrency sanitizer
(KCSAN): two pieces of the module's code that touch the same memory at the same time,
without saying so, fail the run.

The guest sees the host's root file system read-only, at the same paths; /tmp,
/run, /var/tmp and /mnt are empty and writable, $QBD_RESULT is a directory of
the host that survives.  The command's standard output and error come out here,
its exit status is ours.

Exit status: the command's own, or
  120  the kernel log holds something that must not be there
  121  the guest died or hung up without saying how the command ended
  124  the time was up
  2    bad usage or something is missing
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
UML = os.path.join(os.path.dirname(HERE), "uml")
sys.dont_write_bytecode = True
sys.path[:0] = [UML, os.path.dirname(HERE)]

import kernel_log       # noqa: E402
import run              # noqa: E402

PROCESSORS = 2


class Qemu(run.UserModeLinux):
    """Several processors, emulated one thread each."""

    program = "scripts/qemu/run.py"
    description = __doc__
    kernels = ("kcsan",)
    one_processor = False

    @staticmethod
    def kernel_directory(_kind):
        return run.output_of_script(os.path.join(HERE, "kcsan-kernel.sh"))

    @staticmethod
    def module(kind):
        return "build/qemu-%s/qbd.ko" % kind

    @staticmethod
    def build_module(_kind):
        return "make kcsan-module"

    def orders(self, keep, result):
        self.result = result
        # By what name the guest mounts what directory of the host, the root apart.
        tags = self.tags = {directory: "share%d" % number for number, directory
                            in enumerate(sorted({*keep, result}))}
        return ["sharing=9p", "terminal=/dev/hvc0", "declare -A tags=(%s)" % " ".join(
            "[%s]=%s" % (run.quote(directory), tag) for directory, tag in tags.items())]

    def command(self, args, kernel, work, orders, output_fd, _input_fd):
        if args.time_travel or args.shell:
            run.fail_usage("--time-travel, --seed and --shell are for User-mode Linux")
        append = ["console=ttyS0", "root=root", "rootfstype=9p",
                  "rootflags=trans=virtio,version=9p2000.L,cache=loose,msize=262144", "ro",
                  "init=" + os.path.join(UML, "init"), "qbd_orders=" + orders,
                  "panic=-1", "oops=panic", "no_timer_check", "random.trust_cpu=on",
                  "mitigations=off", "kunit.enable=1", "null_blk.nr_devices=0",
                  # Not before there is something to be seen.
                  "kcsan.early_enable=0", args.append]
        line = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
                "-no-reboot", "-machine", "q35,usb=off", "-accel", "tcg,thread=multi",
                "-cpu", "max", "-smp", str(PROCESSORS), "-m", args.mem,
                "-kernel", os.path.join(kernel, "arch/x86/boot/bzImage"),
                "-append", " ".join(append), "-device", "virtio-rng-pci",
                "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
                "-device", "virtio-serial-pci",
                "-chardev", "file,id=output,path=/proc/self/fd/%d" % output_fd,
                "-device", "virtconsole,chardev=output",
                "-virtfs", "local,path=/,mount_tag=root,security_model=none,readonly=on,"
                           "multidevs=remap"]
        for directory, tag in self.tags.items():
            line += ["-virtfs", "local,path=%s,mount_tag=%s,security_model=none,"
                                "readonly=%s,multidevs=remap" %
                     (directory, tag, "off" if directory == self.result else "on")]
        for number, size in enumerate(args.disk):
            path = os.path.join(work, "disk%d" % number)
            with open(path, "wb") as disk:
                disk.truncate(run.size_in_bytes(size))
            line += ["-drive", "if=virtio,format=raw,file=" + path]
        return line

    @staticmethod
    def ask_for_traces(_work):
        """Nobody answers there."""

    @staticmethod
    def ended_by_itself(_console, machine):
        return machine.returncode == 0

    @staticmethod
    def complaints(console):
        with open(console.path, errors="replace") as log:
            return kernel_log.data_races(log.read())


if __name__ == "__main__":
    sys.exit(run.main(Qemu()))
