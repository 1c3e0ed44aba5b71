#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the kernel for several processors with KCSAN, when it is not there yet, and
# prints its build directory: the kernel is DIR/arch/x86/boot/bzImage, and an external
# module is built with make -C DIR M=... modules.
#
# How builds are cached: scripts/kernel/build.sh.

set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../kernel/build.sh"

[ $# -eq 0 ] || { say "usage: scripts/qemu/kcsan-kernel.sh"; exit 2; }

kernel_built()
{
	[ -f "$2/arch/x86/boot/bzImage" ] || die "the build left no $2/arch/x86/boot/bzImage"
}

kernel_build qemu-kcsan x86_64 "$here/../kernel/common.config $here/kcsan.config" \
	"bzImage modules modules_prepare"
echo "$kernel_build"
