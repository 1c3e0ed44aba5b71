#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: scripts/mirror.sh BUILD_DIRECTORY
#
# Makes BUILD_DIRECTORY/kmod a tree of links to the module's sources, so that
# Kbuild can work there: its objects stay out of the source tree and those of
# different kernels apart.  Links to files that are gone are removed.

set -eu
repo=$(cd "$(dirname "$0")/.." && pwd)
target=$1

mkdir -p "$target/kmod"
cp -asfT "$repo/kmod" "$target/kmod"
ln -sfn "$repo/include" "$target/include"
find "$target/kmod" -type l \( -xtype l -o -name '*.o' -o -name '*.ko' -o \
	-name '.*.cmd' -o -name '*.mod' -o -name '*.mod.c' -o \
	-name Module.symvers -o -name modules.order \) -delete
find "$target/kmod" -mindepth 1 -type d | while read -r directory; do
	[ -d "$repo/kmod/${directory#"$target/kmod/"}" ] || rm -rf "$directory"
done
for name in qbd qbd_kunit; do
	ln -sfn "kmod/$name.ko" "$target/$name.ko"
done
