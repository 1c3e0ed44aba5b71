#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: scripts/netlink-generate.sh [--check]
#
# Makes kmod/ctl/netlink_gen.[ch] and include/uapi/linux/qbd.h from
# Documentation/netlink/specs/qbd.yaml, with the generator of the kernel's own
# source.  --check: writes nothing, and fails if they are not what it makes.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
. "$here/cache.sh"

spec=Documentation/netlink/specs/qbd.yaml
# mode, header or source, file
products="kernel --header kmod/ctl/netlink_gen.h
kernel --source kmod/ctl/netlink_gen.c
uapi --header include/uapi/linux/qbd.h"

check=
case "${1-}" in
"") ;;
--check) check=1 ;;
*) die "netlink-generate.sh: '$1' is no option: usage: netlink-generate.sh [--check]" ;;
esac

source=$("$here/uml/build-kernel.sh" --source)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The generator walks up from the specification until it finds a directory with
# a MAINTAINERS file, for ever if there is none, and looks for the schemas one
# directory above it.
mkdir -p "$work/Documentation/netlink/specs"
touch "$work/MAINTAINERS"
cp "$source"/Documentation/netlink/*.yaml "$work/Documentation/netlink/"
cp "$repo/$spec" "$work/$spec"

failed=0
while read -r mode kind file; do
	mkdir -p "$work/$(dirname "$file")"
	/usr/bin/python3 -B "$source/tools/net/ynl/ynl-gen-c.py" --spec "$work/$spec" \
		--mode "$mode" "$kind" -o "$work/$file" ||
		die "the generator refuses $spec: see above; python3-yaml and python3-jsonschema have to be installed"
	if [ -n "$check" ]; then
		if ! cmp -s "$work/$file" "$repo/$file"; then
			say "$file is not what $spec makes: run scripts/netlink-generate.sh"
			failed=1
		fi
	elif ! cmp -s "$work/$file" "$repo/$file"; then
		mkdir -p "$(dirname "$repo/$file")"
		cp "$work/$file" "$repo/$file"
		say "made $file"
	fi
done <<<"$products"
exit "$failed"
