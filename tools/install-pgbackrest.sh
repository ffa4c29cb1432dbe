#!/bin/bash
# Puts the newest pgBackRest that Debian has beside the system, for `make bench`.
#
#   tools/install-pgbackrest.sh DIRECTORY
#
# The program is DIRECTORY/usr/bin/pgbackrest. A DIRECTORY that is already complete is left as it is.
set -euo pipefail

[ $# -eq 1 ] || {
	echo "${0##*/}: error: one argument is needed: DIRECTORY" >&2
	exit 1
}
"$(dirname "$0")/unpack-package.sh" pgbackrest forky "$1" usr/bin/pgbackrest
"$1/usr/bin/pgbackrest" version >/dev/null || {
	echo "${0##*/}: error: pgBackRest does not start here" >&2
	echo "hint: see \"$1.log\"" >&2
	exit 1
}
