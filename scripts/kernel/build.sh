# SPDX-License-Identifier: GPL-2.0
# Shared by the scripts which build kernels for tests: sourced, not run.
#
#   unpacked_source        unpack Debian's linux-source-6.12 into the cache when it is not
#                          there yet, print its directory
#   kernel_build NAME ARCH FRAGMENTS TARGETS
#                          build a kernel in the cache from configuration fragments (file
#                          names, the last one wins) when it is not there yet; sets
#                          kernel_source and kernel_build to the directories
#
# A build is named by NAME, source version and a hash of everything that shapes it
# (configuration fragments, compiler).  Two builders at once are safe, an interrupted
# build goes on where it stopped.  QBD_JOBS sets the number of jobs (default: number of
# processors).

. "$(dirname "${BASH_SOURCE[0]}")/../cache.sh"
patches=$(cd "$(dirname "${BASH_SOURCE[0]}")/../uml" && pwd)

# A make that called this has its own ideas: with its -s the log, and the progress that
# is read from it, would stand still.
unset MAKEFLAGS MFLAGS GNUMAKEFLAGS

tarball=/usr/src/linux-source-6.12.tar.xz
package=linux-source-6.12

source_version()
{
	dpkg-query -W -f '${Version}' "$package" 2>/dev/null |
		tr -c 'A-Za-z0-9.-' _
	sha256sum "$patches"/*.patch | cut -c1-64 | sha256sum | sed 's/^/-/' | cut -c1-7
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
		for patch in "$patches"/*.patch; do
			patch -s -d "$tmp/$package" -p1 <"$patch" >&2 ||
				die "$patch does not apply to $tarball"
		done
		mv "$tmp/$package" "$dir" && rmdir "$tmp" ||
			die "cannot move the unpacked source to $dir"
	fi
	echo "$dir"
}

unpacked_source()
{
	cache_dir
	(cache_lock linux-source; unpack_source) || exit 1
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

make_kernel()
{
	local src=$1 dir=$2 arch=$3 jobs=${QBD_JOBS:-$(nproc)}
	shift 3

	nice make -C "$src" ARCH="$arch" O="$dir" -j"$jobs" "$@"
}

kernel_build()
{
	local name=$1 arch=$2 fragments=$3 targets=$4 src dir hash

	cache_dir
	src=$(unpacked_source) || exit 1
	# shellcheck disable=SC2086
	hash=$( { cat $fragments; gcc --version | head -n 1; } |
		sha256sum | cut -c1-10)
	dir=$QBD_CACHE/$name-$(source_version)-$hash
	kernel_source=$src
	kernel_build=$dir
	[ ! -f "$dir/.complete" ] || return 0
	cache_lock "$name"
	[ ! -f "$dir/.complete" ] || return 0
	mkdir -p "$dir" || die "cannot create $dir"
	# shellcheck disable=SC2086
	cat $fragments >"$dir/.config.wanted"
	run_logged "configuring the kernel $name" "$dir/config.log" \
		make -C "$src" ARCH="$arch" O="$dir" \
		KCONFIG_ALLCONFIG="$dir/.config.wanted" allnoconfig &&
		check_config "$dir/.config" || exit 1
	# shellcheck disable=SC2086
	run_logged "building the kernel $name" "$dir/build.log" \
		make_kernel "$src" "$dir" "$arch" $targets || exit 1
	kernel_built "$src" "$dir"
	touch "$dir/.complete"
}
