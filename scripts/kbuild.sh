#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the module for a kernel.
#
# usage: scripts/kbuild.sh KDIR DIRECTORY ARGUMENT...
#
# DIRECTORY gets links to the sources and all that is made of them; one build at a time. The
# arguments are those of make in KDIR. What it says is in DIRECTORY/log, too, and warnings of
# all builds since the last one from nothing in DIRECTORY/warnings.
#
# STRICT=1 in the environment: a warning is a failure, also one of an earlier build whose
# object is up to date.

set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

[ $# -ge 3 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
kdir=$1 directory=$2
shift 2
mkdir -p "$directory" || exit 1
exec 9>"$directory/.lock"
flock 9
scripts/mirror.sh "$directory" || exit 1

run()
{
	env -u MAKEFLAGS -u MFLAGS make --no-print-directory -C "$kdir" M="$directory/kmod" \
		CONFIG_DEBUG_INFO_BTF_MODULES= "$@" 9>&-
}

if [ -n "${STRICT:-}" ] && [ -s "$directory/warnings" ]; then
	run -s clean
	rm -f "$directory/warnings"
fi
run "$@" 2>&1 | tee "$directory/log"
status=$?
grep -iE '(^|: )(warning|error):' "$directory/log" >>"$directory/warnings"
if [ -n "${STRICT:-}" ] && [ -s "$directory/warnings" ]; then
	echo "qbd: there are warnings:"
	cat "$directory/warnings"
	exit 1
fi >&2
exit $status
