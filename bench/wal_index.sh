#!/bin/bash
# What the summaries of segments and the index over WAL cost, and what they save.
#
#   bench/wal_index.sh [SEGMENTS [SMALL]]    segments of 16 MB of pgbench's WAL (24), and segments of 1 MB for a "day" (600)
#
# Works in a directory below /tmp, which is removed. As root it hands over to user postgres. BIN and TOOLS are where the
# programs and build/tools are.
set -euo pipefail

segments=${1:-24}
small=${2:-600}
top=$(cd "$(dirname "$0")/.." && pwd)
export BIN=${BIN:-$top/build/bin} TOOLS=${TOOLS:-$top/build/tools}
if [ "$(id -u)" -eq 0 ]; then
	exec runuser -u postgres -- env BIN="$BIN" TOOLS="$TOOLS" bash "$0" "$@"
fi
PATH=$BIN:$(pg_config --bindir):$PATH
work=$(mktemp -d /tmp/pitr-bench.XXXXXX)
clean_up() {
	for data in "$work"/*/data; do pg_ctl -s -D "$data" -m immediate stop 2>/dev/null || true; done
	rm -rf "$work"
}
trap clean_up EXIT

# A server that archives: directory, options of initdb.
server_make() {
	mkdir -p "$work/$1/repo"
	initdb -k -A trust -D "$work/$1/data" "${@:2}" >/dev/null
	cat >>"$work/$1/data/postgresql.conf" <<-END
		listen_addresses = ''
		unix_socket_directories = '$work/$1'
		fsync = off
		wal_keep_size = 4GB
		archive_mode = on
		archive_command = 'pitr-archive --repo=$work/$1/repo %p'
	END
	pitr-catalog --log-level=error --repo="$work/$1/repo" --pgdata="$work/$1/data" init
	pg_ctl -s -w -D "$work/$1/data" -l "$work/$1/log" start
}

sql() { psql -qAtX -h "$work/$1" -d postgres -c "$2"; }

archived_wait() {
	local last
	last=$(sql "$1" 'SELECT pg_walfile_name(pg_switch_wal())')
	while [ "$(find "$work/$1/repo" -name "$last" | wc -l)" -eq 0 ]; do sleep 0.2; done
}

# user and system seconds of a command
cpu() {
	python3 - "$@" <<-'END'
		import resource, subprocess, sys
		subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		used = resource.getrusage(resource.RUSAGE_CHILDREN)
		print("%.3f" % (used.ru_utime + used.ru_stime))
	END
}

server_make busy
pgbench -q -i -s 10 -h "$work/busy" postgres >/dev/null 2>&1
target=$((segments + $(sql busy "SELECT ((pg_current_wal_lsn() - '0/0') / 16777216)::int")))
while [ "$(sql busy "SELECT ((pg_current_wal_lsn() - '0/0') / 16777216)::int")" -lt "$target" ]; do
	pgbench -n -T 3 -c 4 -h "$work/busy" postgres >/dev/null 2>&1
done
archived_wait busy
mapfile -t files < <(cd "$work/busy/data/pg_wal/archive_status" && find . -name '0*[0-9A-F].done' | sort | tail -n 6 | head -n 5 |
	sed "s|^./\\(.*\\).done|$work/busy/data/pg_wal/\\1|")
echo "$(postgres --version), $(nproc) cores; segments of 16 MB from pgbench"
for file in "${files[@]}"; do
	none=$(cpu "$TOOLS/wal_summary" "$file" 0)
	many=$(cpu "$TOOLS/wal_summary" "$file" 40)
	archive=$(cpu pitr-archive --repo="$work/busy/repo" "$file")
	size=$("$TOOLS/wal_summary" "$file" 1 | wc -c)
	awk -v n="$none" -v m="$many" -v a="$archive" -v s="$size" -v f="$(basename "$file")" \
		'BEGIN { printf "%s: summary %.1f ms CPU, %d bytes of JSON; pitr-archive offered it again %.0f ms CPU\n", f, (m - n) * 1000 / 40, s, a * 1000 }'
done

# The timeline is over, so all of it is indexed.
printf '1\t0/1000000\tbench\n' >"$work/busy/data/pg_wal/00000002.history"
pitr-archive --repo="$work/busy/repo" "$work/busy/data/pg_wal/00000002.history"
pitr-catalog --repo="$work/busy/repo" rebuild
wal=$(find "$work/busy/repo" -path '*/wal/*' -type f -printf '%s\n' | awk '{ s += $1; n++ } END { print s, n }')
index=$(find "$work/busy/repo" -path '*/index/*' -type f -printf '%s\n' | awk '{ s += $1 } END { print s }')
awk -v w="${wal% *}" -v n="${wal#* }" -v i="$index" \
	'BEGIN { printf "index: %.0f bytes a segment, %.1f MB a day of 1,000 segments; stored WAL %.1f MB a segment\n", i / n, i / n * 1000 / 1e6, w / n / 1e6 }'
pg_ctl -s -D "$work/busy/data" -m immediate stop

server_make day --wal-segsize=1
sql day 'CREATE TABLE t (i int)'
pitr-basebackup --log-level=error --repo="$work/day/repo" -h "$work/day" --checkpoint=fast
for ((i = 0; i < small; i++)); do echo 'INSERT INTO t VALUES (1); SELECT pg_switch_wal();'; done | psql -qAtX -h "$work/day" -d postgres >/dev/null
archived_wait day
window() {
	local began ended
	began=$(date +%s%N)
	pitr-catalog --log-level=error --repo="$work/day/repo" --json window >/dev/null
	ended=$(date +%s%N)
	strace -f -qq -e trace=openat -o "$work/trace" pitr-catalog --log-level=error --repo="$work/day/repo" --json window >/dev/null
	awk -v n="$1" -v t="$((ended - began))" -v r="$(grep -cE '/(wal|index)/.*[0-9A-Fa-f]"' "$work/trace")" \
		'BEGIN { printf "a window over %s: %d objects read, %.0f ms\n", n, r, t / 1e6 }'
}
window "$small segments of 1 MB, without the index"
pitr-catalog --repo="$work/day/repo" rebuild
window "$small segments of 1 MB, with the index"
