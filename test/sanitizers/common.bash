# common.bash: what test/asan, test/valgrind and test/coverage share.
#
# Each runs itself a second time, in a private copy of PostgreSQL and of the
# checkout (test/private), and leaves its results in build/NAME of the checkout.
# There the program "postgres" gives way to a script that starts the real one
# with what is to watch it: so the tests need not know.
# shellcheck shell=bash

say()
{
	printf '%s\n' "$*"
}

fail()
{
	printf 'test/%s: %s\n' "$tool" "$*" >&2
	exit 1
}

# run_privately ARGUMENT...: this script again, in the private copy; does not
# return.  What it puts into the folder $results is in build/NAME afterwards,
# also where it failed.
run_privately()
{
	local status=0

	"$here/prepare" test
	results=$(mktemp -d "${TMPDIR:-/tmp}/pnvs-$tool.XXXXXX")
	trap keep_results EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 1777 "$results"
	"$here/private" "test/$tool" --results "$results" "$@" || status=$?
	exit "$status"
}

keep_results()
{
	local status=$?

	trap '' INT TERM HUP
	rm -rf "$here/../build/$tool"
	mkdir -p "$here/../build/$tool"
	cp -r "$results/." "$here/../build/$tool/"
	rm -rf "$results"
	exit "$status"
}

# wrap_server LINE...: from here on "postgres" runs these lines of shell, with
# the real program in $real, wherever it is to be a server.  What initdb does with
# it is not watched: it would take minutes, and loads no library.
wrap_server()
{
	local program

	program=$(pg_config --bindir)/postgres
	mv "$program" "$program.real"
	printf '%s\n' '#!/bin/sh' "real=$program.real" 'case ${1:-} in' '-D) ;;' \
		'*) exec "$real" "$@" ;;' 'esac' "$@" >"$program"
	chmod 755 "$program"
}

# plant: the faults on purpose become a part of the library.
plant()
{
	cp test/sanitizers/planted.c src/planted.c
}

# run_planted NAME...: each in a session of its own, on a server of its own.  A
# session that dies is what is wanted.
run_planted()
{
	local data=$TMPDIR/planted log=$results/planted.log name

	rm -rf "$data"
	initdb -D "$data" --no-sync -A trust >>"$log" 2>&1 || return 1
	pg_ctl -D "$data" -l "$log" -t "${PGCTLTIMEOUT:-60}" -w \
		-o "-k $TMPDIR -c listen_addresses='' -c fsync=off" start >/dev/null || return 1
	for name in "$@"; do
		PGOPTIONS='-c client_min_messages=error' PGHOST=$TMPDIR psql -X -q -d postgres \
			-c "CREATE FUNCTION $name(integer) RETURNS integer AS 'pnvs', 'pnvs_planted_$name' LANGUAGE C" \
			-c "SELECT $name(24) AS $name" >>"$log" 2>&1 || true
		until pg_isready -q -d postgres -h "$TMPDIR"; do
			sleep 0.2
		done
	done
	pg_ctl -D "$data" -m fast -w -t "${PGCTLTIMEOUT:-60}" stop >/dev/null
}

# no_report: in $results/reports; prints what there is.
no_report()
{
	python3 -B test/sanitizers/reports.py "$results/reports"
}

# has_report TEXT: one of the library's.
has_report()
{
	python3 -B test/sanitizers/reports.py "$results/reports" --expect "$1"
}

planted_nothing()
{
	run_planted nothing && no_report
}

# file_reports NAME: what there is goes to $results/NAME, and the next begin anew.
file_reports()
{
	mv "$results/reports" "$results/$1"
	mkdir "$results/reports"
}

# build SETTING...: the library; ends the run where that fails.
build()
{
	local log=$results/build.log

	if ! test/run build "$@" >"$log" 2>&1; then
		cat "$log"
		say "0 passed, 1 failed"
		exit 1
	fi
}

# run_tests ARGUMENT...: test/run; adds up what it counts.
run_tests()
{
	local log=$results/tests.log status=0 counts good bad

	test/run "$@" 2>&1 | tee "$log" | grep --line-buffered -v '^[0-9]* passed, [0-9]* failed$' || status=${PIPESTATUS[0]}
	counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1 || true)
	if [ -z "$counts" ]; then
		say "test/run $*: did not come to its end (status $status)"
		counts="0 passed, 1 failed"
	fi
	read -r good _ bad _ <<<"$counts"
	passed=$((passed + good))
	failed=$((failed + bad))
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

finish_counts()
{
	say "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}
