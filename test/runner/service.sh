# service.sh: a private server with pnvs, and the simulator that it calls, for demo and page.
# Sourced in the private copy, whose end ends both.
# shellcheck shell=bash

SERVICE=FA00000000000001
START_SECONDS=20			# the longest that a program may take to be ready

data=$TMPDIR/data
ready=$TMPDIR/simulator.ready

# quietly COMMAND...: its output is shown only if it fails.
quietly()
{
	"$@" >"$TMPDIR/output" 2>&1 || { cat "$TMPDIR/output" >&2; fail "failed: $*"; }
}

# from_ready NAME: a value of the simulator's ready line.
from_ready()
{
	python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$ready" "$1"
}

start_simulator()
{
	local pipe=$TMPDIR/simulator.stdin

	mkfifo "$pipe"
	python3 -B test/simulator/simulator.py --dir "$TMPDIR/simulator" --exit-with-stdin \
		<"$pipe" >"$ready" &
	exec 9>"$pipe"			# it ends when this script does
	for _ in $(seq $((START_SECONDS * 10))); do
		[ ! -s "$ready" ] || return 0
		sleep 0.1
	done
	fail "the simulator did not start"
}

start_server()
{
	quietly initdb --auth=trust --encoding=UTF8 --no-locale --no-sync -U postgres -D "$data"
	cat >>"$data/postgresql.conf" <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$TMPDIR'
		fsync = off
		include = 'pnvs.conf'
	CONF
	cat >"$data/pnvs.conf" <<-CONF
		shared_preload_libraries = 'pnvs'
		pnvs.endpoint = '$(from_ready endpoint)'
		pnvs.ca_file = '$(from_ready ca_file)'
		pnvs.access_key_id = 'testid'
		pnvs.access_key_secret = 'testsecret'
		pnvs.service_sid = '$SERVICE'
	CONF
	chmod 600 "$data/pnvs.conf"
	quietly pg_ctl start -w -t "$START_SECONDS" -D "$data" -l "$TMPDIR/server.log" 9>&-
	trap 'pg_ctl stop -m fast -D "$data" >/dev/null' EXIT
}

start_service()
{
	echo "Building, and starting a private server and the simulator ..."
	quietly make -s -j"$(nproc)" with_llvm=no install
	start_simulator
	start_server
}
