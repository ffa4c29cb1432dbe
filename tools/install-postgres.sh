#!/bin/bash
# Puts the server and client programs of one more PostgreSQL major beside the system's own, for the tests.
#
#   tools/install-postgres.sh VERSION DIRECTORY
#
# Takes them from Debian's packages of another release (tools/unpack-package.sh); nothing outside DIRECTORY changes. The
# bin directory is DIRECTORY/usr/lib/postgresql/VERSION/bin. A DIRECTORY that is already complete is left as it is.
set -euo pipefail

complain() {
	printf '%s: error: %s\n' "${0##*/}" "$1" >&2
	[ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

release_of_version() {
	case $1 in
	13) echo bullseye ;;
	15) echo bookworm ;;
	17) echo trixie ;;
	18) echo forky ;;
	*) complain "no Debian release with PostgreSQL \"$1\" is known" "known are 13, 15, 17 and 18" ;;
	esac
}

[ $# -eq 2 ] || complain "two arguments are needed: VERSION DIRECTORY"
version=$1
release=$(release_of_version "$version")
bin=usr/lib/postgresql/$version/bin
"$(dirname "$0")/unpack-package.sh" "postgresql-$version" "$release" "$2" "$bin"
"$2/$bin/postgres" --version >/dev/null || complain "PostgreSQL $version does not start here" "see \"$2.log\""
