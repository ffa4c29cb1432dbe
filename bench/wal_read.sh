#!/bin/bash
# Speed of the WAL reader, CRC checked, beside pg_waldump --stats on the same WAL, in one run and in turn; alone, and with
# a summary made for each segment, as pitr-archive does.
#
#   bench/wal_read.sh [MEGABYTES [RUNS [FPW]]]     of WAL (1024), runs of each (5), full_page_writes (on)
#
# Works in a directory below /tmp, which is removed. As root it hands over to user postgres. Needs
# build/tools/wal_events (WAL_EVENTS=... for another): make build/tools/wal_events
set -euo pipefail

megabytes=${1:-1024}
runs=${2:-5}
full_page_writes=${3:-on}
export WAL_EVENTS=${WAL_EVENTS:-$(cd "$(dirname "$0")/.." && pwd)/build/tools/wal_events}
if [ "$(id -u)" -eq 0 ]; then
	exec runuser -u postgres -- bash "$0" "$@"
fi
if [ ! -x "$WAL_EVENTS" ]; then
	echo "${0##*/}: error: there is no \"$WAL_EVENTS\": run make build/tools/wal_events" >&2
	exit 1
fi
PATH=$(pg_config --bindir):$PATH
work=$(mktemp -d /tmp/pitr-bench.XXXXXX)
clean_up() {
	pg_ctl -s -D "$work/data" -m immediate stop 2>/dev/null || true
	rm -rf "$work"
}
trap clean_up EXIT

initdb -k -A trust -D "$work/data" >/dev/null
cat >>"$work/data/postgresql.conf" <<-END
	listen_addresses = ''
	unix_socket_directories = '$work'
	shared_buffers = 512MB
	max_wal_size = 512MB
	wal_keep_size = 16GB
	full_page_writes = $full_page_writes
	fsync = off
	synchronous_commit = off
END
pg_ctl -s -w -D "$work/data" -l "$work/log" start
export PGHOST=$work PGDATABASE=postgres
pgbench -q -i -s 20 >/dev/null 2>&1
written() { psql -qAt -c "SELECT (pg_current_wal_lsn() - '0/0') / 1048576 >= $megabytes"; }
while [ "$(written)" = f ]; do
	pgbench -n -c 4 -t 10000 >/dev/null 2>&1
done
last=$(psql -qAt -c 'SELECT pg_walfile_name(pg_switch_wal())')
pg_ctl -s -D "$work/data" -m immediate stop
mapfile -t segments < <(find "$work/data/pg_wal" -maxdepth 1 -name '0*' | sort | awk -F/ -v last="$last" '$NF <= last')

echo "$(postgres --version), $(nproc) cores, ${#segments[@]} segments of 16 MB, full_page_writes = $full_page_writes; all of it read before:"
cat "${segments[@]}" >/dev/null
python3 - "$runs" "${segments[@]}" <<-'END'
	import os, resource, statistics, subprocess, sys, time
	runs, segments = int(sys.argv[1]), sys.argv[2:]
	tool = os.environ["WAL_EVENTS"]
	commands = {
	    "pg_waldump --stats": ["pg_waldump", "--stats", segments[0], segments[-1]],
	    "wal_events --time": [tool, "--time"] + segments,
	    "wal_events --summaries": [tool, "--summaries"] + segments,
	}
	elapsed, processor, said = {}, {}, {}
	for run in range(runs):
	    for name, command in commands.items():
	        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
	        said[name] = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
	        after = resource.getrusage(resource.RUSAGE_CHILDREN)
	        elapsed.setdefault(name, []).append(time.monotonic() - began)
	        processor.setdefault(name, []).append(
	            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
	size = 16 * len(segments)
	waldump = statistics.median(processor["pg_waldump --stats"])
	for name in commands:
	    median = statistics.median(processor[name])
	    print("%-24s %6.3f s elapsed, %6.3f s of CPU (%.3f to %.3f), %5.0f MiB/s, %.2f of pg_waldump's CPU" % (
	        name, statistics.median(elapsed[name]), median, min(processor[name]), max(processor[name]),
	        size / median, median / waldump))
	print(said["wal_events --time"].decode(), said["wal_events --summaries"].decode(), sep="", end="")
END
