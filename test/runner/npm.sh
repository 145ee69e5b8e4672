# npm.sh: packages from npm, for the commands oracle and clients.  Sourced by both.
#
# A folder's package-lock.json has their versions and hashes. To renew it:
#
#   npm install --package-lock-only --omit-lockfile-registry-resolved
#
# shellcheck shell=bash

# shellcheck source=test/runner/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# install_from_npm FOLDER: installs its packages into a temporary folder, $place, which is
# gone at the end, and lets Node.js find them.
#
#   TMPDIR   where the folder is made (default: /tmp; its file system must allow
#            programs)
#   KEEP=1   leave the folder
install_from_npm()
{
	place=$(mktemp -d)
	at_end discard "$place"
	cp "$1/package.json" "$1/package-lock.json" "$place"
	say "Installing packages from npm into a temporary folder."
	(cd "$place" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --prefer-offline --loglevel=error) ||
		broken "npm failed"
	export NODE_PATH="$place/node_modules"
}
