#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Static checks of the sources.
#
# usage: scripts/lint.sh [CHECK]...       (default: all)
#   build-6.1, build-6.12   the module with W=1 -Werror and sparse, no word allowed
#   checkpatch              checkpatch.pl --strict over all C
#   kernel-doc              the comments for other rooms
#   versions                no kernel version is asked for outside of kmod/compat
#   scripts                 syntax of the shell and Python programs
#   docs                    Documentation/ and README.md, see scripts/check-docs.sh
#   netlink                 the generated files are those of the specification
#   man                     the manual page, by mandoc
#   bugs                    the places of the deliberate bugs, scripts/check-bugs.py
#   make                    which packages make asks for

set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/cache.sh

status=0
problem()
{
	say "$*"
	status=1
}

source_tree()
{
	scripts/uml/build-kernel.sh --source ||
		die "the kernel's checking tools come with linux-source-6.12"
}

# What is up to date is not compiled once more: its warnings are kept (scripts/kbuild.sh).
# sparse looks at all of it each time.
check_build()
{
	local kdir release out

	kdir=$(ls -d /usr/src/linux-headers-"$1".*-amd64 2>/dev/null |
		sort -V | tail -n 1)
	[ -n "$kdir" ] || die "no Debian headers for $1: run scripts/packages.sh headers"
	release=$(sed -n 's/^.define UTS_RELEASE "\(.*\)".*/\1/p' \
		"$kdir/include/generated/utsrelease.h")
	out=$PWD/build/$release
	say "building for $(basename "$kdir") with W=1 and sparse (log: $out/log)"
	# Otherwise as make stock-modules does it, or all of it is compiled again.
	STRICT=1 scripts/kbuild.sh "$kdir" "$out" -j"$(nproc)" V=0 W=1 \
		C=2 CF="-D__CHECK_ENDIAN__" modules >/dev/null ||
		problem "the module does not build for $1 without a remark"
	[ "$(grep -c '^  CHECK ' "$out/log")" -ge "$(find kmod -name '*.c' \
		-not -path 'kmod/tests/*' | wc -l)" ] ||
		problem "sparse has not seen all files of $1"
	[ -f "$out/kmod/qbd.ko" ] || problem "there is no qbd.ko for $1"
}

c_files()
{
	find "$@" -name '*.[ch]' 2>/dev/null | sort
}

# The files, from the top, and what does not apply to them.  A message is not
# split for the sake of a line's length.  checkpatch leaves a cache of names
# where it runs, and looks for more of them in a kernel tree that it was told
# not to use.
#
# It takes two minutes of a processor for all: what had no remark has none as long
# as it, checkpatch and what does not apply are the same, and is kept in the cache.
run_checkpatch()
{
	local tree rules remarks ignore=LONG_LINE_STRING${2:+,$2}
	local passed=$QBD_CACHE/checkpatch-passed
	local -a files keys

	tree=$(source_tree) || exit 1
	cache_dir
	touch "$passed"
	rules=$(echo "$ignore" | cat - "$tree"/scripts/{checkpatch.pl,spelling.txt,const_structs.checkpatch} |
		sha256sum | cut -c 1-32)
	mapfile -t files <"$1"
	[ ${#files[@]} -gt 0 ] || return 0
	mapfile -t keys < <(sha256sum -- "${files[@]}" |
		awk -v rules="$rules" '{ print rules, $1, $2 }' |
		awk 'FILENAME != "-" { passed[$1, $2]; next } !(($1, $2) in passed)' "$passed" -)
	[ ${#keys[@]} -gt 0 ] || return 0
	mkdir -p build
	# Neither "there were remarks" (ignored ones count) nor "no line is left"
	# says anything: what is left is the answer.
	remarks=$( ( cd build && printf '../%s\0' "${keys[@]##* }" |
		GIT_DIR=/nonexistent xargs -0 -n 6 -P "$(nproc)" \
		"$tree"/scripts/checkpatch.pl --no-tree --strict --terse \
		--no-summary --show-types --max-line-length=100 \
		--ignore "$ignore" -f || true ) 2>&1 |
		{ grep -v -e 'uninitialized value .root' -e 'find: ./include' || true; } |
		sed 's#^\.\./##')
	if [ -n "$remarks" ]; then
		echo "$remarks"
		return 1
	fi
	printf '%s\n' "${keys[@]% *}" >>"$passed"
}

# Outside of the kernel there are other types and no kernel macros; the formats
# are for both sides.
check_checkpatch()
{
	local outside=PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO,BIT_MACRO
	local shared='^kmod/format/|/portable\.h$'

	[ -n "$(c_files kmod)" ] || problem "no sources in kmod"
	run_checkpatch <(c_files kmod | grep -vE "$shared") ||
		problem "checkpatch has remarks on the module"
	run_checkpatch <(c_files kmod | grep -E "$shared") "$outside" ||
		problem "checkpatch has remarks on the formats"
	outside+=,ARRAY_SIZE,STRCPY,STRNCPY,EMBEDDED_FUNCTION_NAME,CAMELCASE,VOLATILE
	# Tables of structure members are made by macros.
	outside+=,MACRO_ARG_REUSE,MACRO_ARG_PRECEDENCE
	# Two files have the kernel's own types and macros, for userspace.
	run_checkpatch <(c_files userspace tests scripts | grep -vE '/(sim/kernel|store-disk)/kernel\.h$') \
		"$outside" || problem "checkpatch has remarks on the programs"
}

check_kernel_doc()
{
	local tree

	tree=$(source_tree) || exit 1
	c_files kmod | xargs "$tree"/scripts/kernel-doc -none -Werror ||
		problem "kernel-doc has remarks"
}

# Versions lie (kernels get things from later ones), so features are asked for; what
# the answers need is in one place.
check_versions()
{
	local found

	[ -d kmod/compat ] || problem "there is no kmod/compat"
	found=$(grep -rnE 'LINUX_VERSION_(CODE|MAJOR)|KERNEL_VERSION|linux/version\.h' kmod |
		grep -v '^kmod/compat/')
	[ -z "$found" ] || { say "$found"; problem "kernel versions outside of kmod/compat"; }
}

check_scripts()
{
	local file

	while read -r file; do
		case $(head -c 64 "$file" | head -n 1) in
		*bash | */sh)	bash -n "$file" || problem "$file" ;;
		*python3)	python3 -c 'import ast, sys
ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" || problem "$file" ;;
		esac
	done < <(git ls-files scripts tests .ci)
}

check_docs()
{
	scripts/packages.sh doc && scripts/check-docs.sh ||
		problem "the documentation has dead ends"
}

check_netlink()
{
	scripts/netlink-generate.sh --check || problem "the netlink code is out of date"
}

# References to pages that are not installed here are no fault.
check_man()
{
	local remarks

	remarks=$(mandoc -Tlint Documentation/man/*.8 2>&1 | grep -v makewhatis)
	[ -z "$remarks" ] || { say "$remarks"; problem "mandoc has remarks"; }
}

# The kernel's headers are asked for where there are none, and left alone elsewhere.
check_make()
{
	local kdir wanted

	for kdir in "" "$PWD"; do
		wanted="scripts/packages.sh build"
		[ -n "$kdir" ] || wanted+=" headers"
		make -s -n packages KDIR="$kdir" | sed 's/ *$//' | grep -x "$wanted" >/dev/null ||
			problem "make KDIR=$kdir does not run $wanted"
	done
	make -s -n tool | grep 'packages.sh.*headers' >/dev/null &&
		problem "the tool asks for the kernel's headers"
	make -s -n stock-modules | grep 'packages.sh.*headers' >/dev/null ||
		problem "the stock modules do not ask for the kernel's headers"
}

[ $# -gt 0 ] || set -- build-6.1 build-6.12 checkpatch kernel-doc versions scripts docs netlink man bugs make
for check in "$@"; do
	case $check in
	build-*)	check_build "${check#build-}" ;;
	checkpatch)	check_checkpatch ;;
	kernel-doc)	check_kernel_doc ;;
	versions)	check_versions ;;
	scripts)	check_scripts ;;
	docs)	check_docs ;;
	netlink)	check_netlink ;;
	man)	check_man ;;
	bugs)	scripts/check-bugs.py || problem "deliberate bugs" ;;
	make)	check_make ;;
	*)	die "unknown check '$check': see the head of $0" ;;
	esac
done
[ $status -ne 0 ] || say "nothing to remark"
exit $status
