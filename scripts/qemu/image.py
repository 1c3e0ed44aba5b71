# SPDX-License-Identifier: GPL-2.0
"""What the test hosts in QEMU boot from: a read-only root disk with this
host's tools and an initramfs, both made from what is installed here and cached
by content, so that a boot unpacks next to nothing."""

import fcntl
import hashlib
import lzma
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get("QBD_CACHE", "/var/cache/qbd")

TOOLS = """
bash sh cat ls cp mv rm mkdir rmdir dd sync sha256sum md5sum sleep date stat touch
head tail wc sort uniq cut tr tee seq env timeout df du ln readlink realpath truncate
od basename dirname printf test echo true false chmod chown mktemp mkfifo mknod id
uname nproc nice expr comm paste shuf nohup stty tty kill cmp diff grep sed awk find xargs
tar gzip xz mount umount mountpoint lsblk blkid wipefs losetup blockdev blkdiscard
findmnt flock dmesg setsid nsenter unshare fsfreeze fstrim swapon swapoff mkswap
taskset ip tc ss nft ping ethtool kmod modprobe insmod rmmod lsmod depmod modinfo ps
pkill pgrep free top sysctl mkfs.ext4 mke2fs e2fsck fsck.ext4 dumpe2fs tune2fs
resize2fs debugfs mkfs.xfs xfs_repair xfs_growfs xfs_io xfs_info mkfs.btrfs btrfs fio
dmsetup busybox
""".split()

# For the tool, whose binary may not be there yet.
LIBRARIES = ["libmnl.so.0", "libblkid.so.1", "libuuid.so.1", "libjson-c.so.5",
             "libgcc_s.so.1"]

BOOT_MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "overlay"]

MODULES = BOOT_MODULES + """
ext4 xfs btrfs loop null_blk dm_mod dm_log_writes dm_flakey dm_delay dm_snapshot
libcrc32c crc32c_generic crc32c_intel sha256_generic sha256_ssse3 hmac
mq_deadline sch_netem sch_tbf sch_htb sch_prio veth bridge dummy
nf_tables nft_ct nft_limit nft_reject_inet nf_reject_ipv4 nf_reject_ipv6
nft_counter nf_conntrack tls drbd tcp_diag
""".split()


def say(text):
    print("qemu: " + text, file=sys.stderr, flush=True)


def output_of(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout


def stock_kernel(series):
    """The directory of a stock kernel, and its release."""
    found = subprocess.run([os.path.join(HERE, "stock-kernel.sh"), series],
                           stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise RuntimeError("there is no stock kernel %s" % series)
    directory = found.stdout.strip()
    with open(os.path.join(directory, "release")) as release:
        return directory, release.read().strip()


def module_files(directory, release, names):
    """The files of the modules and of all they need, in loading order."""
    files = []
    for name in names:
        found = subprocess.run(["modprobe", "-d", directory, "-S", release,
                                "--show-depends", name], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
        # Not every kernel has every module, and some have it built in.
        for line in found.stdout.splitlines():
            if line.startswith("insmod "):
                path = os.path.normpath(line.split()[1])
                if path not in files:
                    files.append(path)
    return files


def plain(path):
    """The name of a module without the compression that guests need not undo."""
    return path[:-3] if path.endswith(".ko.xz") else path


def content_of(path):
    if path.endswith(".ko.xz"):
        with lzma.open(path) as data:
            return data.read()
    with open(path, "rb") as data:
        return data.read()


def merged(path):
    """The path below /usr which a path of the merged root really is."""
    for top in ("bin", "sbin", "lib", "lib64"):
        if path.startswith("/" + top + "/"):
            return "/usr" + path
    return path


def root_files(directory, release):
    """{path in the image: file here}"""
    files = {}
    for tool in TOOLS:
        path = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if not path:
            raise RuntimeError("%s is not installed: run scripts/packages.sh qemu" % tool)
        files[merged(path)] = os.path.realpath(path)
    libraries = []
    for library in LIBRARIES:
        for place in ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"):
            if os.path.exists(os.path.join(place, library)):
                libraries.append(os.path.join(place, library))
                break
        else:
            raise RuntimeError("%s is not installed: run scripts/packages.sh build"
                               % library)
    needed = subprocess.run(["ldd"] + sorted(set(files.values())) + libraries,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for word in needed.stdout.split():
        if word.startswith("/") and not word.endswith(":"):
            libraries.append(word)
    for library in libraries:
        files[merged(library)] = os.path.realpath(library)
    for path in module_files(directory, release, MODULES):
        files["/usr" + plain(path[len(directory):])] = path
    modules = os.path.join(directory, "lib/modules", release)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        files["/usr/lib/modules/%s/%s" % (release, name)] = os.path.join(modules, name)
    for path in ("/etc/mke2fs.conf", "/etc/protocols", "/etc/passwd", "/etc/group",
                 "/etc/nsswitch.conf"):
        if os.path.exists(path):
            files[path] = path
    return files


def systemd_files():
    """What systemd and udev consist of: {path: file here}, {path: where a link leads}"""
    files, links = {}, {}
    for path in output_of("dpkg", "-L", "systemd", "udev").splitlines():
        if path.startswith(("/usr/share/", "/etc/")):
            continue
        if os.path.islink(path):
            links[merged(path)] = os.readlink(path)
        elif os.path.isfile(path):
            files[merged(path)] = path
    programs = [path for path in files.values() if os.access(path, os.X_OK)]
    programs += [path for path in files.values() if ".so" in os.path.basename(path)]
    # Its own library lies where the loader looks only for it.
    needed = subprocess.run(["ldd"] + programs, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)
    for word in needed.stdout.split():
        if word.startswith("/") and not word.endswith(":"):
            files[merged(word)] = os.path.realpath(word)
    return files, links


def digest(files, *more):
    """A name for these files: changes with any of them."""
    total = hashlib.sha256(repr(more).encode())
    for target, source in sorted(files.items()):
        state = os.stat(source)
        total.update(repr((target, source, state.st_size, state.st_mtime_ns)).encode())
    return total.hexdigest()[:12]


def cached(name, build):
    """The cached file of that name, built under a lock when it is missing."""
    os.makedirs(CACHE, exist_ok=True)
    path = os.path.join(CACHE, name)
    if os.path.exists(path):
        return path
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            say("making " + path)
            build(path + ".tmp")
            os.rename(path + ".tmp", path)
    return path


def build_root_image(files, links, release, path):
    stage = path + ".stage"
    shutil.rmtree(stage, ignore_errors=True)
    for directory in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "proc", "sys",
                      "dev", "run", "tmp", "mnt", "root", "etc", "var/tmp", "qbd"):
        os.makedirs(os.path.join(stage, directory))
    for top in ("bin", "sbin", "lib", "lib64"):
        os.symlink("usr/" + top, os.path.join(stage, top))
    for target, source in files.items():
        target = stage + target
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as copy:
            copy.write(content_of(source))
        os.chmod(target, os.stat(source).st_mode & 0o755)
    for target, leads_to in links.items():
        if not os.path.lexists(stage + target):
            os.makedirs(os.path.dirname(stage + target), exist_ok=True)
            os.symlink(leads_to, stage + target)
    # Whatever else one types in a shell.
    for applet in output_of("busybox", "--list").split():
        if not any(os.path.lexists(os.path.join(stage, "usr", place, applet))
                   for place in ("bin", "sbin")):
            os.symlink("busybox", os.path.join(stage, "usr/bin", applet))
    subprocess.run(["depmod", "-b", stage, release], check=True)
    size = sum(os.stat(stage + target).st_size for target in files)
    with open(path, "wb") as image:
        # Room for the file system's own tables.
        image.truncate(size + size // 4 + (16 << 20))
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0",
                    "-E", "root_owner=0:0", "-d", stage, path], check=True)
    shutil.rmtree(stage)


def root_image(directory, release, systemd=False):
    """With systemd in it, too, if that is asked for."""
    files, links = root_files(directory, release), {}
    if systemd:
        more, links = systemd_files()
        files.update(more)
    with open(__file__, "rb") as source:
        name = "qemu-root-%s-%s.ext4" % (release, digest(files, sorted(links.items()),
                                                         source.read()))
    return cached(name, lambda path: build_root_image(files, links, release, path))


class Archive:
    """A cpio archive in the kernel's initramfs format (newc)."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.inode = 0
        self.directories = set()

    def entry(self, name, mode, content):
        self.inode += 1
        name = name.lstrip("/").encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self.file.write(header + name + b"\0" * (-(len(header) + len(name)) % 4))
        self.file.write(content + b"\0" * (-len(content) % 4))

    def directory(self, name):
        if name and name != "/" and name not in self.directories:
            self.directory(os.path.dirname(name))
            self.directories.add(name)
            self.entry(name, 0o040755, b"")

    def add(self, name, content, mode=0o755):
        self.directory(os.path.dirname(name))
        self.entry(name, 0o100000 | mode, content)

    def add_file(self, name, source):
        self.add(name, content_of(source), os.stat(source).st_mode & 0o777)

    def close(self):
        self.entry("TRAILER!!!", 0, b"")
        # Archives are concatenated; the next one must start aligned.
        self.file.write(b"\0" * (-self.file.tell() % 512))
        self.file.close()


def build_initramfs(files, modules, path):
    archive = Archive(path)
    for name in ("/dev", "/proc", "/sys"):
        archive.directory(name)
    archive.entry("/dev/console", 0o020600, b"")
    for target, source in files.items():
        archive.add_file(target, source)
    archive.add("/modules.boot", "\n".join(modules).encode() + b"\n", 0o644)
    archive.close()


def initramfs(directory, release):
    modules = module_files(directory, release, BOOT_MODULES)
    files = {"/init": os.path.join(HERE, "init"), "/bin/busybox": "/bin/busybox"}
    inside = []
    for path in modules:
        inside.append(plain(path[len(directory):]))
        files[inside[-1]] = path
    with open(__file__, "rb") as source:
        name = "qemu-initramfs-%s-%s.cpio" % (release, digest(files, source.read()))
    return cached(name, lambda path: build_initramfs(files, inside, path))


def agent():
    """The agent, a static binary."""
    source = os.path.join(HERE, "agent.c")
    name = "qemu-agent-%s" % digest({"/agent.c": source})

    def build(path):
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static",
                        "-o", path, source], check=True)

    return cached(name, build)
