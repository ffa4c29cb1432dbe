#!/bin/bash
# Builds the extension for the servers of the tests and installs it into them: build/pg/VERSION, see install-postgres.sh.
#
#   tools/install-extension.sh VERSION...
#
# The archive module then runs the pitr-archiver of $TEST_PITR_BIN/../libexec/pitr (build/libexec/pitr).
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || {
	echo "${0##*/}: error: an argument is needed: VERSION..." >&2
	exit 1
}
prefix=$(dirname "${TEST_PITR_BIN:-$PWD/build/bin}")
for version in "$@"; do
	tools/install-postgres.sh "$version" "build/pg/$version"
	objects=$PWD/build/extension/tests/$version
	mkdir -p "$objects"
	exec 8>"$objects.lock"
	flock 8
	make -s --no-print-directory -C extension PREFIX="$prefix" BUILD="$objects" \
		PG_CONFIG="$PWD/build/pg/$version/usr/lib/postgresql/$version/bin/pg_config" install >"$objects.log" 2>&1 || {
		tail -n 40 "$objects.log" >&2
		echo "${0##*/}: error: the extension could not be built for PostgreSQL $version" >&2
		exit 1
	}
	chmod -R a+rX "$objects"
done
