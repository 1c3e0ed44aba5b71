#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the User-mode Linux kernel of the tests, when it is not there yet, and
# prints its build directory: the kernel is DIR/linux, and an external module
# is built with make -C DIR M=... ARCH=um modules.
#
# usage: scripts/uml/build-kernel.sh [plain|debug]     (default: plain)
#        scripts/uml/build-kernel.sh --source          unpack the source only,
#                                                      print its directory
#
# The source is Debian's linux-source-6.12.  A build is cached under
# ${QBD_CACHE:-/var/cache/qbd}, named by kind, source version and a hash of
# everything that shapes it (configuration fragments, compiler).  Two builders
# at once are safe, an interrupted build goes on where it stopped.
# QBD_JOBS sets the number of jobs (default: number of processors).

set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../cache.sh"

# A make that called this has its own ideas: with its -s the log, and the progress that
# is read from it, would stand still.
unset MAKEFLAGS MFLAGS GNUMAKEFLAGS

tarball=/usr/src/linux-source-6.12.tar.xz
package=linux-source-6.12

source_version()
{
	dpkg-query -W -f '${Version}' "$package" 2>/dev/null |
		tr -c 'A-Za-z0-9.-' _
	sha256sum "$here"/*.patch | cut -c1-64 | sha256sum | sed 's/^/-/' | cut -c1-7
}

unpack_source()
{
	local dir tmp patch

	dpkg-query -W "$package" >/dev/null 2>&1 && [ -f "$tarball" ] ||
		die "$tarball is missing: run scripts/packages.sh kernel"
	dir=$QBD_CACHE/$package-$(source_version)
	if [ ! -d "$dir" ]; then
		tmp=$dir.unpack
		rm -rf "$tmp"
		mkdir -p "$tmp" || die "cannot create $tmp"
		run_logged "unpacking the kernel source" "$QBD_CACHE/source.log" \
			tar -C "$tmp" -xJf "$tarball" || exit 1
		for patch in "$here"/*.patch; do
			patch -s -d "$tmp/$package" -p1 <"$patch" >&2 ||
				die "$patch does not apply to $tarball"
		done
		mv "$tmp/$package" "$dir" && rmdir "$tmp" ||
			die "cannot move the unpacked source to $dir"
	fi
	echo "$dir"
}

# Every line of a fragment must hold in the final configuration: kconfig
# drops what it does not like without a word.
check_config()
{
	local config=$1 line name value lost=0

	while IFS= read -r line; do
		name=${line%%=*}
		value=${line#*=}
		if [ "$value" = n ]; then
			grep -q "^$name=" "$config" || continue
		else
			grep -qxF -- "$line" "$config" && continue
		fi
		say "configuration: $line was not taken"
		lost=1
	done < <(tac "$config.wanted" | grep '^CONFIG_' |
		 awk -F= '!seen[$1]++')
	return $lost
}

build()
{
	local src=$1 dir=$2 jobs=${QBD_JOBS:-$(nproc)}

	nice make -C "$src" ARCH=um O="$dir" -j"$jobs" linux modules \
		modules_prepare
}

kind=${1:-plain}
cache_dir
case $kind in
plain)	fragments=("$here/plain.config") ;;
debug)	fragments=("$here/plain.config" "$here/debug.config") ;;
--source)
	(cache_lock linux-source; unpack_source) || exit 1
	exit 0 ;;
*)	die "unknown kind of kernel '$kind': use plain or debug" ;;
esac

src=$(cache_lock linux-source; unpack_source) || exit 1
hash=$( { cat "${fragments[@]}"; gcc --version | head -n 1; } |
	sha256sum | cut -c1-10)
dir=$QBD_CACHE/uml-$kind-$(source_version)-$hash

if [ ! -f "$dir/.complete" ]; then
	cache_lock "uml-$kind"
	if [ ! -f "$dir/.complete" ]; then
		mkdir -p "$dir" || die "cannot create $dir"
		cat "${fragments[@]}" >"$dir/.config.wanted"
		run_logged "configuring the UML $kind kernel" "$dir/config.log" \
			make -C "$src" ARCH=um O="$dir" \
			KCONFIG_ALLCONFIG="$dir/.config.wanted" allnoconfig &&
			check_config "$dir/.config" || exit 1
		run_logged "building the UML $kind kernel" "$dir/build.log" \
			build "$src" "$dir" || exit 1
		[ -x "$dir/linux" ] || die "the build left no $dir/linux"
		touch "$dir/.complete"
	fi
fi
echo "$dir"
