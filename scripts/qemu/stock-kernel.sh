#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Unpacks a stock Debian kernel into the cache, when it is not there yet, and
# prints its directory: DIR/vmlinuz, DIR/release, DIR/lib/modules/RELEASE.
#
# usage: scripts/qemu/stock-kernel.sh [6.12|6.1]       (default: 6.12)
#
# It is the kernel that fits the installed headers.  Nothing is installed on
# this host.

set -u -o pipefail
. "$(dirname "$0")/../cache.sh"

series=${1:-6.12}
case $series in
6.12)	headers=linux-headers-6.12-cloud-amd64 ;;
6.1)	headers=linux-headers-cloud-amd64 ;;
*)	die "unknown stock kernel '$series': use 6.12 or 6.1" ;;
esac

release=$(dpkg-query -W -f '${Depends}' "$headers" 2>/dev/null |
	grep -o "linux-headers-$series\.[^ ,]*" | sed 's/^linux-headers-//')
[ -n "$release" ] || die "$headers is not installed: run scripts/packages.sh headers"
version=$(dpkg-query -W -f '${Version}' "linux-headers-$release")
dir=$QBD_CACHE/stock-$release-$(tr -c 'A-Za-z0-9.-' _ <<<"$version" | sed 's/_$//')

# The signed image has the version of the headers, or one of its own with the
# same ABI name when the archive has moved on.
download()
{
	cd "$1" || return 1
	apt-get -q download "linux-image-$release=$version" ||
		apt-get -q download "linux-image-$release" ||
		{ apt-get -q update && apt-get -q download "linux-image-$release"; }
}

unpack()
{
	local tmp=$1

	dpkg-deb -x "$tmp"/*.deb "$tmp/root" &&
		mv "$tmp/root/boot/vmlinuz-$release" "$tmp/root/vmlinuz" &&
		rm -rf "$tmp/root/boot" "$tmp/root/usr/share" &&
		depmod -b "$tmp/root" "$release" &&
		echo "$release" >"$tmp/root/release"
}

if [ ! -f "$dir/release" ]; then
	cache_lock "stock-$release"
	if [ ! -f "$dir/release" ]; then
		tmp=$dir.tmp
		rm -rf "$tmp" "$dir"
		mkdir -p "$tmp" || die "cannot create $tmp"
		# apt drops its rights for downloads; it may write there then.
		chown _apt "$tmp" 2>/dev/null
		run_logged "downloading the stock kernel $release" \
			"$QBD_CACHE/stock-$release.log" download "$tmp" &&
			run_logged "unpacking the stock kernel $release" \
			"$QBD_CACHE/stock-$release.log" unpack "$tmp" &&
			mv "$tmp/root" "$dir" && rm -rf "$tmp" ||
			die "no stock kernel $release for the installed headers: apt-get update and upgrade them"
	fi
fi
echo "$dir"
