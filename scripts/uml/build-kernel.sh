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
# How builds are cached: scripts/kernel/build.sh.

set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../kernel/build.sh"

kernel_built()
{
	[ -x "$2/linux" ] || die "the build left no $2/linux"
}

kind=${1:-plain}
fragments="$here/plain.config $here/../kernel/common.config"
case $kind in
plain)	;;
debug)	fragments+=" $here/debug.config" ;;
--source)
	unpacked_source
	exit ;;
*)	die "unknown kind of kernel '$kind': use plain or debug" ;;
esac

kernel_build "uml-$kind" um "$fragments" "linux modules modules_prepare"
echo "$kernel_build"
