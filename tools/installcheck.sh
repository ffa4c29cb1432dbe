#!/bin/bash
# Runs the extension's pg_regress suites on a server that is started for them and removed again.
#
#   tools/installcheck.sh PG_CONFIG [BUILD]
#
# The extension must be installed in the server of PG_CONFIG already: make install-extension, or for the servers of the
# tests tools/install-extension.sh. BUILD is the directory of objects, where the results go too. As root the server runs
# as user postgres, because PostgreSQL refuses root.
set -euo pipefail

[ $# -ge 1 ] || {
	echo "${0##*/}: error: an argument is needed: PG_CONFIG [BUILD]" >&2
	exit 1
}
tree=$(cd "$(dirname "$0")/.." && pwd)
pg_config=$1
build=${2:+BUILD=$2}
bin=$("$pg_config" --bindir)
server_user=postgres

as_server_user() {
	if [ "$(id -u)" -eq 0 ]; then
		runuser -u "$server_user" -- "$@"
	else
		"$@"
	fi
}

work=$(as_server_user mktemp -d /tmp/pitr-installcheck.XXXXXX)
clean_up() {
	[ ! -e "$work/data/postmaster.pid" ] || as_server_user "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

cd "$work"
as_server_user "$bin/initdb" -D data -U "$server_user" -A trust -N -E UTF8 --no-locale >log 2>&1 || { cat log; exit 1; }
# A socket of its own and no address: it can run beside any other server.
as_server_user tee -a data/postgresql.conf >/dev/null <<-END
	listen_addresses = ''
	unix_socket_directories = '$work'
	fsync = off
	wal_level = replica
END
as_server_user "$bin/pg_ctl" -D data -l server.log -w start >log 2>&1 || { cat log server.log; exit 1; }
unset PGDATABASE PGPASSWORD PGSERVICE
export PGHOST=$work PGPORT=5432 PGUSER=$server_user
cd "$tree"
# shellcheck disable=SC2086 # none or one word
make --no-print-directory -C extension PG_CONFIG="$pg_config" $build installcheck
