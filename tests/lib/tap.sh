# SPDX-License-Identifier: GPL-2.0
# For test programs in bash: sourced, not run.
#
#   tap_plan N             first of all
#   tap_test NAME CMD...   run CMD in a subshell with set -e; its status decides,
#                          its output goes to the log as comments
#   tap_skip NAME WHY      a test that cannot run here
#   tap_end                last of all: the exit status of the program
#   wait_until SECONDS CMD...   until CMD succeeds; fails when it never did
#   fails_with REGEX CMD...     CMD must fail and say REGEX

tap_count=0
tap_planned=0
tap_failed=0

tap_plan()
{
	tap_planned=$1
	echo "TAP version 13"
	echo "1..$1"
}

tap_test()
{
	local name=$1 status out writer
	shift

	tap_count=$((tap_count + 1))
	# Each line of output becomes a comment at once, so that the log of a
	# test that hangs shows how far it came.  What the test leaves running
	# must not hold its output, or we wait for it.
	exec {out}> >(exec sed -u 's/^/# /')
	writer=$!
	# Not in a condition: bash ignores set -e there.
	( set -e; "$@" ) >&"$out" 2>&1 </dev/null {out}>&-
	status=$?
	exec {out}>&-
	wait "$writer"
	if [ "$status" -eq 0 ]; then
		echo "ok $tap_count $name"
	else
		tap_failed=$((tap_failed + 1))
		echo "# status $status"
		echo "not ok $tap_count $name"
	fi
}

tap_skip()
{
	tap_count=$((tap_count + 1))
	echo "ok $tap_count $1 # SKIP $2"
}

tap_end()
{
	[ "$tap_failed" -eq 0 ] && [ "$tap_count" -eq "$tap_planned" ]
	exit
}

wait_until()
{
	local end=$((SECONDS + $1))
	shift

	until "$@"; do
		if [ "$SECONDS" -ge "$end" ]; then
			echo "never came true: $*"
			return 1
		fi
		sleep 0.05
	done
}

fails_with()
{
	local regex=$1 text
	shift

	if text=$("$@" 2>&1); then
		echo "succeeded but should have failed: $*"
		echo "$text"
		return 1
	fi
	if ! grep -Eq -- "$regex" <<<"$text"; then
		echo "should have said '$regex': $*"
		echo "$text"
		return 1
	fi
}
