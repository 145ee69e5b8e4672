# common.sh: what the commands of test/run share.  Sourced by each.
# shellcheck shell=bash
# shellcheck disable=SC2034

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
run=$root/test/run

# As test/run knows it: test/runner/NAME or test/NAME/run.
command=$(basename "$0")
[ "$command" != run ] || command=$(basename "$(dirname "$(realpath "$0")")")

say()
{
	printf '%s\n' "$*"
}

fail()
{
	printf 'test/run %s: %s\n' "$command" "$*" >&2
	exit 1
}

has()
{
	command -v "$1" >/dev/null 2>&1
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# --- the private copy

# in_private_copy PURPOSE ARGUMENT...: returns if this is the private copy; otherwise it
# installs what the purpose needs, and the command runs there.
in_private_copy()
{
	[ -z "${PNVS_PRIVATE:-}" ] || return 0
	"$run" prepare "$1"
	shift
	exec "$run" private test/run "$command" "$@"
}

# copy_checkout FOLDER: the sources as they are, committed or not, without what a build left.
copy_checkout()
{
	mkdir "$1"
	tar -C "$root" -cf - \
		--exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude=./build \
		--exclude=./tmp_check --exclude=./results --exclude=./output_iso --exclude=__pycache__ . |
		tar -C "$1" -xf - --no-same-owner
}

# --- the end of a script

# at_end COMMAND...: runs once, however the script ends, also by Ctrl-C; the exit status stays.
at_end()
{
	ending=("$@")
	trap end EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

end()
{
	local status=$?

	trap '' INT TERM HUP
	"${ending[@]}" || true
	exit "$status"
}

# discard FOLDER: KEEP=1 leaves it.
discard()
{
	if [ "${KEEP:-}" = 1 ]; then
		printf 'kept: %s\n' "$1" >&2
	else
		rm -rf "$1"
	fi
}

# --- counting

passed=0
failed=0

# count WHAT STATUS [PASSED FAILED]: adds up.  What did not say how many passed, ran no
# test, or ended with another status than 0 has failed.
count()
{
	local what=$1 status=$2

	good=${3:-0}
	bad=${4:-0}
	if [ "$#" -eq 2 ]; then
		say "$what: did not come to its end (status $status)"
		bad=1
	elif [ "$((good + bad))" -eq 0 ]; then
		say "$what: no test was run"
		bad=1
	elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
		say "$what: ended with status $status"
		bad=1
	fi
	passed=$((passed + good))
	failed=$((failed + bad))
}

# counts_in LOG: "PASSED FAILED" of its last closing line, or nothing.
counts_in()
{
	sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$1" | tail -n 1
}

# run_counted LOG COUNTER COMMAND...: its output is shown and kept; the counter prints
# "PASSED FAILED" from the log.
run_counted()
{
	local log=$1 counter=$2 status=0 counts

	shift 2
	{ "$@" 2>&1 | tee "$log"; } || status=$?
	read -ra counts < <("$counter" "$log") || true
	count "$*" "$status" "${counts[@]}"
}

# check WHAT COMMAND...: counts as one test.
check()
{
	local what=$1

	shift
	if "$@"; then
		passed=$((passed + 1))
		say "ok: $what"
	else
		failed=$((failed + 1))
		say "FAILED: $what"
	fi
}

# The closing line; the script's last command.
finish_counts()
{
	say "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}

# Ends a script that could not begin to test; counts as a failed test, so that nobody
# takes it for a run without any.
stop_counting()
{
	say "0 passed, 1 failed"
	exit 1
}

# broken WHY
broken()
{
	say "test/run $command: $*" >&2
	stop_counting
}
