#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes sure that the Debian packages for something are installed.
#
# usage: scripts/packages.sh GROUP...
#   build   the module and the tool, but for the kernel's headers
#   headers those of Debian's kernels 6.12 and 6.1
#   lint    sparse, checkpatch, kernel-doc
#   kernel  a kernel from Debian's linux-source-6.12
#   uml     clusters in User-mode Linux
#   qemu    hosts in QEMU
#   bench   plots
#   coverage  which lines are reached
#   doc     man page and documentation checks, what the tool prints as JSON
#   model   the model checker
#   fuzz    clang with libFuzzer and the sanitizers
#
# Says nothing when nothing is missing.  Otherwise installs what is missing, as
# root, with one line of progress; the log is in the cache.

set -u
. "$(dirname "$0")/cache.sh"

declare -A group=(
	[build]="gcc make libc6-dev pkg-config libmnl-dev libblkid-dev uuid-dev
		libjson-c-dev python3"
	[headers]="linux-headers-6.12-cloud-amd64 linux-headers-cloud-amd64"
	[lint]="sparse perl python3 python3-yaml python3-jsonschema mandoc"
	[kernel]="linux-source-6.12 gcc make libc6-dev flex bison bc patch
		libelf-dev libssl-dev xz-utils cpio kmod rsync"
	[uml]="python3 python3-jsonschema busybox-static kmod iproute2 nftables ethtool dmsetup
		fio iputils-ping e2fsprogs xfsprogs btrfs-progs procps"
	[qemu]="python3 qemu-system-x86 nbdkit busybox-static cpio xz-utils kmod procps
		iproute2 nftables iputils-ping ethtool dmsetup fio e2fsprogs xfsprogs
		btrfs-progs gcc libc6-dev libsqlite3-dev systemd udev"
	[bench]="gnuplot-nox python3"
	[coverage]="gcovr"
	[doc]="mandoc python3-docutils python3-yaml python3-jsonschema"
	[model]="spin gcc libc6-dev python3"
	[fuzz]="clang libclang-rt-dev llvm pkg-config libblkid-dev uuid-dev libjson-c-dev python3"
)

[ $# -gt 0 ] || die "usage: packages.sh GROUP... (${!group[*]})"
wanted=
for name in "$@"; do
	[ -n "${group[$name]:-}" ] ||
		die "unknown group of packages '$name': use ${!group[*]}"
	wanted+=" ${group[$name]}"
done

# A package that is known but not installed has another status, one that was
# never heard of is not listed at all.
list_missing()
{
	local package

	for package in $wanted; do
		grep -qx "$package" <<<"$installed" || echo "$package"
	done | sort -u
}

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
	sed -n 's/^installed //p')
missing=$(list_missing)
[ -n "$missing" ] || exit 0
missing=$(echo $missing)
[ "$(id -u)" -eq 0 ] ||
	die "Debian packages are missing; as root: apt-get update && apt-get install $missing"

install()
{
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q -o DPkg::Lock::Timeout=600 update &&
		apt-get -q -y -o DPkg::Lock::Timeout=600 \
			install --no-install-recommends $missing
}

cache_lock packages
run_logged "installing Debian packages: $missing" "$QBD_CACHE/packages.log" \
	install ||
	die "some of these packages could not be installed: $missing"
