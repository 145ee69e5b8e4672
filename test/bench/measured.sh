# measured.sh: what run and soak share: both measure in a private copy of PostgreSQL, with
# programs of this folder that are built there, and write their results to a descriptor.
# shellcheck shell=bash

# shellcheck source=test/runner/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../runner/common.sh"

bench=$root/test/bench
programs=${TMPDIR:-/tmp}/programs

# measure_privately SCRIPT JSON ARGUMENT...: runs "SCRIPT inside ARGUMENT..." in the private
# copy, and says where the results are.  Does not return.
measure_privately()
{
	local script=$1 json=$2 status=0

	"$run" prepare bench
	mkdir -p "$(dirname "$json")"
	# The private user may not open this file; the descriptor is enough.
	"$run" private "$script" inside "${@:3}" 3>"$json" || status=$?
	[ ! -s "$json" ] || printf '\nwritten: %s\n' "$json"
	exit "$status"
}

# compile PROGRAM FLAG_OR_SOURCE...
compile()
{
	gcc -std=gnu99 -D_GNU_SOURCE -O2 -Wall -Wextra -o "$programs/$1" "${@:2}"
}

install_and_build()
{
	make -s -j"$(nproc)" with_llvm=no install && mkdir "$programs" && build_programs
}

# measure SECONDS SCRIPT ARGUMENT...: builds what build_programs says, then runs the script
# of this folder, which takes longer only if it hangs.
measure()
{
	install_and_build >"$TMPDIR/build.log" 2>&1 3>&- || { cat "$TMPDIR/build.log" >&2; fail "could not build"; }
	exec timeout --foreground "$1" python3 -B "$bench/$2" "$programs" 3 "${@:3}"
}
