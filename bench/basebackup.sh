#!/bin/bash
# Peak memory and wall time of pitr-basebackup, beside pg_basebackup writing to nowhere, in one run and in turn.
#
#   bench/basebackup.sh [SCALE [RUNS]]      pgbench scale (200 is about 3 GB), runs of each (3)
#
# Works in a directory below /tmp, which is removed. As root it hands over to user postgres.
set -euo pipefail

scale=${1:-200}
runs=${2:-3}
programs=$(cd "$(dirname "$0")/.." && pwd)/build/bin
if [ "$(id -u)" -eq 0 ]; then
	exec runuser -u postgres -- bash "$0" "$@"
fi
PATH=$programs:$(pg_config --bindir):$PATH
work=$(mktemp -d /tmp/pitr-bench.XXXXXX)
clean_up() {
	pg_ctl -s -D "$work/data" -m immediate stop || true
	rm -rf "$work"
}
trap clean_up EXIT

initdb -k -A trust -D "$work/data" >/dev/null
cat >>"$work/data/postgresql.conf" <<-END
	listen_addresses = ''
	unix_socket_directories = '$work'
	shared_buffers = 1GB
	max_wal_size = 8GB
	archive_mode = on
	archive_command = 'pitr-archive --repo=$work/repo %p'
END
mkdir "$work/repo"
pitr-catalog --log-level=error --repo="$work/repo" --pgdata="$work/data" init
pg_ctl -s -w -D "$work/data" -l "$work/log" start
pgbench -q -i -s "$scale" -h "$work" postgres >/dev/null 2>&1
psql -qAt -h "$work" -d postgres -c CHECKPOINT

# prints seconds and peak kilobytes of a command
measure() {
	local name=$1
	shift
	python3 - "$name" "$@" <<-'END'
		import resource, subprocess, sys, time
		began = time.monotonic()
		subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
		print("%-44s %6.2f s %8.1f MB" % (sys.argv[1], time.monotonic() - began, peak / 1024))
	END
}

echo "$(postgres --version), $(nproc) cores, $(du -sh "$work/data/base" | cut -f1) of data; wall time, peak memory:"
for ((run = 0; run < runs; run++)); do
	measure 'pg_basebackup -Ft -X none -D - >/dev/null' pg_basebackup -h "$work" -c fast -Ft -X none -D -
	measure 'pitr-basebackup, lz4, to a directory' pitr-basebackup --repo="$work/repo" -h "$work" --checkpoint=fast
	measure 'pitr-basebackup --compress=none' pitr-basebackup --repo="$work/repo" -h "$work" --checkpoint=fast --compress=none
	find "$work/repo/main" -path '*/pack/*' -type f -delete
done
