# SPDX-License-Identifier: GPL-2.0
# Shared by the scripts which keep things in the cache: sourced, not run.
#
#   cache_dir              the cache, made if missing
#   cache_lock NAME        take the lock NAME until this shell ends
#   run_logged TEXT LOG CMD...   run CMD with its output in LOG, showing on
#                          stderr what is being done, for how long, and where
#                          the log is; on failure the log's last lines

QBD_CACHE=${QBD_CACHE:-/var/cache/qbd}

say()
{
	echo "qbd: $*" >&2
}

die()
{
	say "$*"
	exit 1
}

cache_dir()
{
	mkdir -p "$QBD_CACHE" 2>/dev/null && [ -w "$QBD_CACHE" ] ||
		die "cannot write to the cache $QBD_CACHE: run as root or set QBD_CACHE to a directory of yours"
}

# The lock is a flock on a file that stays; the kernel drops it when the holder
# dies, however it dies.  Children must not inherit it (make's jobserver
# helpers and daemons may outlive us), hence 9>&- in run_logged.
cache_lock()
{
	cache_dir
	exec 9>"$QBD_CACHE/$1.lock" || die "cannot open $QBD_CACHE/$1.lock"
	if ! flock -n 9; then
		say "waiting for another run that holds $QBD_CACHE/$1.lock"
		flock 9 || die "cannot lock $QBD_CACHE/$1.lock"
	fi
}

run_logged()
{
	local text=$1 log=$2 start=$SECONDS pid rc shown=0
	shift 2

	say "$text (log: $log)"
	"$@" >"$log" 2>&1 </dev/null 9>&- &
	pid=$!
	trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if [ $((SECONDS - start)) -ge $((shown + 15)) ]; then
			shown=$((SECONDS - start))
			say "$text: ${shown}s, $(progress_of "$log")"
		fi
	done
	wait "$pid"
	rc=$?
	trap - INT TERM
	if [ "$rc" -ne 0 ]; then
		say "$text: failed after $((SECONDS - start))s, status $rc; the end of $log:"
		tail -n 25 "$log" | sed 's/^/    /' >&2
		return "$rc"
	fi
	say "$text: done in $((SECONDS - start))s"
}

progress_of()
{
	echo "$(wc -l <"$1") steps, now: $(tail -n 1 "$1" | cut -c1-60)"
}
