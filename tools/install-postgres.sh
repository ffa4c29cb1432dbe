#!/bin/bash
# Puts a PostgreSQL major into a directory of its own, for the tests: server, client programs, headers and PGXS.
#
#   tools/install-postgres.sh VERSION DIRECTORY
#
# A major that this machine has installed is copied, so that the tests can add extensions to it without writing to /usr;
# any other is taken from Debian's packages of another release (tools/unpack-package.sh). Nothing outside DIRECTORY
# changes. The bin directory is DIRECTORY/usr/lib/postgresql/VERSION/bin; the programs find everything else from there. A
# DIRECTORY that is already complete is left as it is.
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

# Without headers and PGXS nothing can be built for it: then Debian's packages have to serve.
is_on_machine() {
	[ -x "/usr/lib/postgresql/$version/bin/postgres" ] &&
		[ -e "/usr/include/postgresql/$version/server/postgres.h" ] &&
		[ -e "/usr/lib/postgresql/$version/lib/pgxs/src/makefiles/pgxs.mk" ]
}

# What the copy was made of: an update of the machine's package makes it old.
machine_version() {
	stat -c '%n %s %Y' /usr/lib/postgresql/"$version"/bin/postgres /usr/include/postgresql/"$version"/server/pg_config.h
	echo "$directory"
}

copy_of_machine() {
	local marker=$directory/.complete path
	[ "$(cat "$marker" 2>/dev/null)" != "$(machine_version)" ] || return 0
	exec 9>"$directory.lock"
	flock 9
	[ "$(cat "$marker" 2>/dev/null)" != "$(machine_version)" ] || return 0
	echo "copying PostgreSQL $version of this machine into $directory"
	rm -rf "$directory"
	for path in "/usr/lib/postgresql/$version" "/usr/share/postgresql/$version" "/usr/include/postgresql/$version"; do
		mkdir -p "$directory${path%/*}"
		cp -a "$path" "$directory${path%/*}"
	done
	rm -rf "$directory/usr/lib/postgresql/$version/lib/bitcode"
	chmod -R a+rX "$directory"
	machine_version >"$marker"
}

[ $# -eq 2 ] || complain "two arguments are needed: VERSION DIRECTORY"
version=$1
release=$(release_of_version "$version")
mkdir -p "$2"
directory=$(cd "$2" && pwd -P)
bin=usr/lib/postgresql/$version/bin
if is_on_machine; then
	copy_of_machine
else
	"$(dirname "$0")/unpack-package.sh" "postgresql-$version" "$release" "$directory" \
		"$bin usr/lib/postgresql/$version/lib/pgxs/src/test/regress" "postgresql-server-dev-$version"
fi
"$directory/$bin/postgres" --version >/dev/null ||
	complain "PostgreSQL $version does not start here" "see \"$directory.log\""
