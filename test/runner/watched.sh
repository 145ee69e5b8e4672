# watched.sh: what the commands asan, valgrind and coverage share.
#
# Each runs itself a second time, in a private copy of PostgreSQL and of the
# checkout (see private), and leaves its results in build/COMMAND of the checkout.
# There the program "postgres" gives way to a script that starts the real program
# under the tool: so the tests need not know.
# shellcheck shell=bash
# shellcheck disable=SC2034

# shellcheck source=test/runner/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# begin PURPOSE [ARGUMENT...]: returns in the private copy, with the arguments in
# "arguments".  Files in the folder $results are in build/COMMAND afterwards, also
# after a failure.
begin()
{
	if [ -n "${PNVS_PRIVATE:-}" ]; then
		results=$2
		arguments=("${@:3}")
		cd "$root" || exit
		return
	fi
	"$run" prepare "$1"
	results=$(mktemp -d "${TMPDIR:-/tmp}/pnvs-$command.XXXXXX")
	at_end keep_results
	chmod 1777 "$results"
	"$run" private test/run "$command" "$results" "${@:2}"
	exit
}

keep_results()
{
	rm -rf "$root/build/$command"
	mkdir -p "$root/build/$command"
	cp -r "$results/." "$root/build/$command/"
	rm -rf "$results"
}

# wrap_server LINE...: from here on "postgres" runs these lines of shell, with
# the real program in $real, if it is to be a server.  What initdb does with
# it is not watched: it would take minutes, and loads no library.  Tests stop a server and
# start it: "pg_ctl restart" runs the program that ran before, the real one.
wrap_server()
{
	local program

	program=$(pg_config --bindir)/postgres
	mv "$program" "$program.real"
	printf '%s\n' '#!/bin/sh' "real=$program.real" 'case ${1:-} in' '-D) ;;' \
		'*) exec "$real" "$@" ;;' 'esac' "$@" >"$program"
	chmod 755 "$program"
}

# --- faults on purpose

# plant: they become a part of the library.
plant()
{
	cp test/runner/planted.c src/planted.c
}

# run_planted NAME...: each in a session of its own, on a server of its own.  A
# session may die of its fault.
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

planted_nothing()
{
	run_planted nothing && no_report
}

# --- reports, in $results/reports

# no_report: prints the reports, if there are any.
no_report()
{
	python3 -B test/runner/reports.py "$results/reports"
}

# has_report TEXT: a report with a frame of the library's.
has_report()
{
	python3 -B test/runner/reports.py "$results/reports" --expect "$1"
}

# file_reports NAME: moves the reports to $results/NAME; the next begin anew.
file_reports()
{
	mv "$results/reports" "$results/$1"
	mkdir "$results/reports"
}

# --- building and testing

# build SETTING...: the library; ends the run if that fails.
build()
{
	local log=$results/build.log

	if ! test/run build "$@" >"$log" 2>&1; then
		cat "$log"
		stop_counting
	fi
}

# run_tests ARGUMENT...: test/run; adds up its counts.
run_tests()
{
	# the wrapped server loads the library of its own place
	WITHOUT_PROBES=1 run_counted "$results/tests.log" counts_in test/run "$@"
}
