# apt.sh: installs packages by apt-get (Debian, Ubuntu), without a cluster and without a
# server.  Sourced by prepare, which sets major and missing.
# shellcheck shell=bash
# shellcheck disable=SC2154

POLICY=/usr/sbin/policy-rc.d
POLICY_SAVED=/usr/sbin/policy-rc.d.before-pnvs
CLUSTER_CONF_DIR=/etc/postgresql-common/createcluster.d
CLUSTER_CONF=$CLUSTER_CONF_DIR/zz-pnvs-prepare.conf

restore_policy()
{
	if [ -f "$POLICY_SAVED" ]; then
		as_root mv -f "$POLICY_SAVED" "$POLICY"
	else
		as_root rm -f "$POLICY"
	fi
}

# For the time of the installation no PostgreSQL service may start, neither a
# new cluster nor an old one that is stopped, and no nginx or pgbouncer.  An existing policy
# still holds for other services.
forbid_servers()
{
	local script

	if grep -qs 'Written by pnvs' "$POLICY"; then
		restore_policy			# left by a killed run
	fi
	at_end allow_servers

	as_root mkdir -p "$CLUSTER_CONF_DIR"
	printf 'create_main_cluster = false\n' | as_root tee "$CLUSTER_CONF" >/dev/null

	script=$(printf '%s\n' \
		'#!/bin/sh' \
		'# Written by pnvs test/run prepare for the time of one installation.' \
		"case \"\$*\" in *postgresql* | *nginx* | *pgbouncer*) exit 101 ;; esac" \
		"if [ -x $POLICY_SAVED ]; then exec $POLICY_SAVED \"\$@\"; fi" \
		'exit 0')
	if [ -e "$POLICY" ]; then
		as_root mv -f "$POLICY" "$POLICY_SAVED"
	fi
	printf '%s\n' "$script" | as_root tee "$POLICY" >/dev/null
	as_root chmod 755 "$POLICY"
}

allow_servers()
{
	restore_policy
	as_root rm -f "$CLUSTER_CONF"
	as_root rmdir --ignore-fail-on-non-empty "$CLUSTER_CONF_DIR" /etc/postgresql-common 2>/dev/null || true
}

# Every cluster, and whether it runs.
clusters()
{
	if has pg_lsclusters; then
		pg_lsclusters -h | awk '{ print $1 "/" $2, $4 ~ /online/ ? "online" : "down" }'
	fi
}

apt()
{
	as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8 \
		apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

# fitting PACKAGE: the package as apt-get is to install it.  A package of the installed
# server must be of its version, or the server would be upgraded with it;
# apt may still have that version beside the newest.
fitting()
{
	local version

	case $1 in
		postgresql-*-"$major") version=$(dpkg-query -W -f '${Version}' "postgresql-$major" 2>/dev/null || true) ;;
		*) version= ;;
	esac
	if [ -n "$version" ] && apt-cache madison "$1" | awk '{ print $3 }' | grep -qxF "$version"; then
		printf '%s=%s\n' "$1" "$version"
	else
		printf '%s\n' "$1"
	fi
}

# An upgrade would restart or break a server that somebody uses.
refuse_upgrades_of_servers()
{
	local plan harm

	plan=$(apt install --simulate --no-install-recommends "$@") || {
		printf '%s\n' "$plan" >&2
		fail "apt-get cannot install: $*"
	}
	harm=$(grep -E '^(Inst postgresql(-[0-9]+)? \[|Remv )' <<<"$plan" || true)
	if [ -n "$harm" ]; then
		printf '%s\n' "$harm" >&2
		fail "installing would upgrade or remove the packages above: do that yourself first"
	fi
}

install_missing()
{
	local packages=() package clusters_before

	for package in "${missing[@]%%|*}"; do
		packages+=("$(fitting "$package")")
	done
	clusters_before=$(clusters)
	refuse_upgrades_of_servers "${packages[@]}"
	forbid_servers
	apt install -y --no-install-recommends "${packages[@]}" || fail "apt-get failed"
	[ "$(clusters)" = "$clusters_before" ] || fail "a cluster was created or started: $(clusters)"
}
