#!/bin/bash
# Loses a table and brings it back: a throw-away PostgreSQL under load, archived to a local repository, restored to the
# moment before a DROP TABLE. Every command behind a "$" is one that you would type; it is run exactly as shown.
#
#   tools/demo.sh      after the programs are built; `make demo` does both
#
# Everything happens in a directory below /tmp that is removed at the end. PostgreSQL refuses to run as root: root hands
# over to user postgres. The servers listen on Unix sockets in that directory only.
set -euo pipefail

complain() {
	printf '%s: error: %s\n' "${0##*/}" "$1" >&2
	[ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

server_programs() {
	local postgres newest=
	for postgres in /usr/lib/postgresql/*/bin/postgres; do
		[ ! -x "$postgres" ] || newest=${postgres%/postgres}
	done
	[ -n "$newest" ] || complain "PostgreSQL's server is not installed" "run: make demo (as root or with sudo)"
	echo "$newest"
}

# What "make install" puts together is copied into the working directory, where user postgres can read them wherever the source is.
prepare_and_run() {
	local source programs work status=0
	source=$(cd "$(dirname "$0")/.." && pwd)
	programs=${PITR_PROGRAMS:-$source/build/bin}
	work=$(mktemp -d /tmp/pitr-demo.XXXXXX)
	# shellcheck disable=SC2064 # the name of now
	trap "rm -rf '$work'" EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	mkdir "$work/bin" "$work/libexec"
	if ! cp "$programs"/pitr-* "$work/bin/" || ! cp -r "$programs/../libexec/pitr" "$work/libexec/"; then
		complain "the programs are not built" "run: make"
	fi
	cp "$0" "$work/demo.sh"
	if [ "$(id -u)" -eq 0 ]; then
		getent passwd postgres >/dev/null || complain "there is no user \"postgres\"" "run: make packages"
		chmod -R a+rX "$work"
		chown -R postgres "$work"
		env -u PITR_PROGRAMS runuser -u postgres -- bash "$work/demo.sh" --in "$work" || status=$?
	else
		env -u PITR_PROGRAMS bash "$work/demo.sh" --in "$work" || status=$?
	fi
	exit $status
}

say() { printf '\n== %s\n' "$*"; }

# Shows a command and runs it.
run() {
	printf '\n$ %s\n' "$1"
	eval "$1"
}

sql() { psql -X -q -At -v ON_ERROR_STOP=1 -h "$sockets" -p "$1" -d postgres -c "$2"; }

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	local directory
	[ -z "$load" ] || kill "$load" 2>/dev/null || true
	for directory in "$work/data" "$work/restored"; do
		[ ! -e "$directory/postmaster.pid" ] || pg_ctl -s -D "$directory" -m immediate stop || true
	done
}

wait_for() {
	local seconds=$1 what=$2 tries
	shift 2
	for ((tries = seconds * 5; tries > 0; tries--)); do
		! "$@" || return 0
		sleep 0.2
	done
	complain "waited $seconds seconds for this: $what" "the servers' logs follow
$(tail -n 20 "$work"/*.log)"
}

is_archived() { ! compgen -G "$work/data/pg_wal/archive_status/*.ready" >/dev/null; }

is_at_target() {
	[ -e "$work/restored/postmaster.pid" ] || complain "the restored server stopped" "its log says:
$(tail -n 20 "$work/restored.log")"
	[ "$(sql "$restored_port" 'SELECT pg_get_wal_replay_pause_state()' 2>/dev/null)" = paused ]
}

is_in_service() { [ "$(sql "$restored_port" 'SELECT pg_is_in_recovery()')" = f ]; }

if [ "${1:-}" != --in ]; then
	prepare_and_run
fi

work=$2
sockets=$work
port=54321
restored_port=54322
load=
started=$SECONDS
servers=$(server_programs)
export PATH=$work/bin:$servers:$PATH HOME=$work LC_ALL=C.UTF-8
unset PITR_CONFIG PGDATA PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE
cd "$work"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "A PostgreSQL server: $(postgres --version)"
initdb -D data -A trust -N --data-checksums >initdb.log
mkdir -m 700 backups

say 'Where backups live, and how PostgreSQL reaches it'
run "cat > pitr.conf <<.
repo   = $work/backups
pgdata = $work/data
spool  = $work/spool
."
run "export PITR_CONFIG=$work/pitr.conf"
run 'pitr-catalog init'
run "cat >> data/postgresql.conf <<.
archive_mode = on
archive_command = 'pitr-archive %p'
port = $port
unix_socket_directories = '$sockets'
listen_addresses = ''
."
run 'pg_ctl -s -w -D data -l source.log start'

say 'A table that matters, and a load that goes on all the time'
run "psql -q -h $sockets -p $port postgres -c \"CREATE TABLE customers AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 10000) n\""
pgbench -h "$sockets" -p $port -i -q -s 5 postgres >pgbench.log 2>&1
pgbench -h "$sockets" -p $port -n -c 4 -T 600 -R 400 postgres >>pgbench.log 2>&1 &
load=$!

say 'A base backup, while the load goes on'
run "pitr-basebackup -h $sockets -p $port --checkpoint=fast"
run 'pitr-catalog list'

sleep 1
sql $port "UPDATE customers SET name = 'changed after the backup' WHERE id % 10 = 0"
rows=$(sql $port 'SELECT count(*), md5(string_agg(id || name, chr(10) ORDER BY id)) FROM customers')
sleep 1
moment=$(sql $port 'SELECT now()')
sleep 1

say "The accident, a second after $moment"
run "psql -q -h $sockets -p $port postgres -c 'DROP TABLE customers'"
sleep 1
! sql $port 'SELECT count(*) FROM customers' 2>/dev/null || complain 'the table is still there'
sql $port 'SELECT pg_switch_wal()' >/dev/null
wait_for 60 'the last WAL is archived' is_archived
run 'pitr-catalog window'

say 'Back to just before'
run "pitr-restore --target-time '$moment' -D $work/restored --dry-run"
run "pitr-restore --target-time '$moment' -D $work/restored"
run "pg_ctl -s -w -D restored -l restored.log -o '-p $restored_port' start"
wait_for 60 'the restored server reaches the target' is_at_target
run "psql -h $sockets -p $restored_port postgres -c 'SELECT count(*) AS customers, count(*) FILTER (WHERE name LIKE \$\$changed%\$\$) AS changed FROM customers'"

say 'The right point: make it an ordinary server'
run "psql -q -h $sockets -p $restored_port postgres -c 'SELECT pg_wal_replay_resume()' >/dev/null"
wait_for 60 'the restored server leaves recovery' is_in_service
run "psql -q -h $sockets -p $restored_port postgres -c \"INSERT INTO customers VALUES (10001, 'new')\""
sql $restored_port 'DELETE FROM customers WHERE id = 10001'

restored=$(sql $restored_port 'SELECT count(*), md5(string_agg(id || name, chr(10) ORDER BY id)) FROM customers')
[ "$restored" = "$rows" ] || complain "the rows are not what they were: \"$restored\", they were \"$rows\""
say "The ${rows%%|*} rows are back, each as it was. This took $((SECONDS - started)) seconds."
