#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Checks the documentation: reStructuredText without a warning, links and paths
# that exist, names that exist in the sources.
#
# usage: scripts/check-docs.sh [FILE]...     (default: Documentation/*.rst README.md)
#
# Checked are, outside of literal blocks: ``words_with_underscores`` and ``calls()``
# must occur in the sources; paths that begin with a directory of this tree must
# exist; relative links of Markdown must lead somewhere. Documentation/netlink.rst has
# to name every operation, event and setting of the netlink specification, and
# Documentation/promises.rst the tests behind each promise (scripts/check-promises.py).

set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/cache.sh

rst2html=$(command -v /usr/bin/rst2html || command -v rst2html || command -v rst2html.py) ||
	die "rst2html is missing: run scripts/packages.sh doc"
[ $# -gt 0 ] || set -- Documentation/*.rst README.md

status=0
problem()
{
	say "$*"
	status=1
}

# Every word of the sources, once.
words=$(mktemp)
trap 'rm -f "$words"' EXIT
find kmod userspace include tests scripts Makefile Documentation/netlink \
	Documentation/man -type f -size -512k -exec grep -ohI '[A-Za-z_][A-Za-z0-9_]*' {} + |
	LC_ALL=C sort -u >"$words"

# What stands between double (reStructuredText) or single (Markdown) back-quotes.
literals()
{
	case $1 in
	*.md)	sed '/^```/,/^```/d' "$1" | grep -o '`[^`]*`' | tr -d '`' ;;
	*)	grep -o '``[^`]*``' "$1" | sed 's/``//g' ;;
	esac
}

check_names()
{
	local name

	while read -r name; do
		LC_ALL=C grep -qxF "$name" "$words" ||
			problem "$1: \`$name' is nowhere in the sources"
	done < <(literals "$1" | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)()$/\1/p
		s/^\([A-Za-z][A-Za-z0-9]*_[A-Za-z0-9_]*\)$/\1/p' | sort -u)
}

check_paths()
{
	local path

	while read -r path; do
		compgen -G "$path" >/dev/null || problem "$1: there is no $path"
	done < <(grep -ohE '(kmod|userspace|tests|scripts|include|Documentation)/[A-Za-z0-9_./*-]*[A-Za-z0-9_*/]' "$1" |
		sort -u)
}

check_links()
{
	local link

	while read -r link; do
		[ -e "$(dirname "$1")/${link%%#*}" ] || problem "$1: the link to $link leads nowhere"
	done < <(grep -o '](\([^)]*\))' "$1" | sed 's/^](//; s/)$//' | grep -v '^[a-z]*:' |
		grep -v '^#' | sort -u)
}

check_netlink()
{
	local name

	while read -r name; do
		grep -qE "^$name( |\$)" "$1" ||
			problem "$1: '$name' of the specification is missing in the tables"
	done < <(/usr/bin/python3 - <<-'END'
		import yaml
		spec = yaml.safe_load(open("Documentation/netlink/specs/qbd.yaml"))
		for operation in spec["operations"]["list"]:
		    print(operation["name"])
		for group in spec["definitions"]:
		    if group["name"] == "event-type":
		        for entry in group["entries"]:
		            print(entry["name"])
		for group in spec["attribute-sets"]:
		    if group["name"] == "settings":
		        for attribute in group["attributes"]:
		            print(attribute["name"])
	END
	)
}

for file in "$@"; do
	[ -f "$file" ] || { problem "$file is missing"; continue; }
	case $file in
	*.rst)	"$rst2html" --strict --report=info "$file" /dev/null ||
			problem "$file: see above" ;;
	*.md)	check_links "$file" ;;
	esac
	check_names "$file"
	check_paths "$file"
	[ "$file" != Documentation/netlink.rst ] || check_netlink "$file"
	[ "$file" != Documentation/promises.rst ] || scripts/check-promises.py || status=1
done
[ $status -ne 0 ] || say "the documentation has no dead end"
exit $status
