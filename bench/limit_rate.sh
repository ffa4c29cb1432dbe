#!/bin/bash
# How well limit-rate is kept: the rate that was asked for and the one that was measured over ten seconds, of an archive
# being caught up with, a base backup and a restore; into a directory, and on S3 where Ceph is installed.
#
#   bench/limit_rate.sh [RATE [JOBS]]       megabytes a second (20), workers (8)
#
# The bytes are those that the kernel has counted for the program: in a directory what it read or wrote (/proc/PID/io), on
# S3 what its connections received or sent, with headers and TLS (ss(8)). Works in a directory below /tmp, which is
# removed. As root it hands over to user postgres. PROGRAMS=... for others than build/bin.
set -euo pipefail

rate=${1:-20}
jobs=${2:-8}
root=$(cd "$(dirname "$0")/.." && pwd)
export PROGRAMS=${PROGRAMS:-$root/build/bin}
if [ "$(id -u)" -eq 0 ]; then
	exec runuser -u postgres -- bash "$0" "$@"
fi
PATH=$PROGRAMS:$(pg_config --bindir):$PATH
work=$(mktemp -d /tmp/pitr-bench.XXXXXX)
clean_up() {
	pg_ctl -s -D "$work/data" -m immediate stop 2>/dev/null || true
	[ -z "${s3:-}" ] || kill "$s3" 2>/dev/null || true
	wait
	rm -rf "$work"
}
trap clean_up EXIT

# runs a command and prints the rate at which bytes moved, from the first of them for ten seconds or to the last of them
measure() {
	local place=$1 what=$2
	shift 2
	python3 - "$place" "$what" "$rate" "$work/stderr" "${port:-}" "$@" <<-'END'
		import re, subprocess, sys, time
		place, what, asked, errors, port = sys.argv[1:6]
		connections = {}

		def moved(pid):
		    if place == "S3":
		        field = "bytes_received" if what == "restore" else "bytes_sent"
		        lines = subprocess.run(["ss", "-tinpHO", "dport", "=", ":" + port], capture_output=True, text=True).stdout
		        for line in lines.splitlines():
		            count = re.search(field + r":(\d+)", line)
		            if count and "pid=%d," % pid in line:
		                connections[line.split()[3]] = int(count.group(1))
		        return sum(connections.values())
		    field = "rchar" if what == "restore" else "wchar"
		    try:
		        return int(dict(line.split(": ") for line in open("/proc/%d/io" % pid).read().splitlines())[field])
		    except (OSError, KeyError):
		        return None

		said = open(errors, "w+")
		child = subprocess.Popen(sys.argv[6:], stdout=subprocess.DEVNULL, stderr=said)
		samples = []
		while child.poll() is None:
		    count = moved(child.pid)
		    if count is not None:
		        samples.append((time.monotonic(), count))
		    time.sleep(0.05)
		if child.returncode != 0:
		    said.seek(0)
		    sys.exit("%s, %s: exit status %d\n%s" % (place, what, child.returncode, said.read()))
		growing = [i for i in range(1, len(samples)) if samples[i][1] - samples[i - 1][1] > 100000]
		begin, last = samples[growing[0]], samples[growing[-1]]
		end = next((s for s in samples if s[0] - begin[0] >= 10), last)
		end = min(end, last)
		measured = (end[1] - begin[1]) / (end[0] - begin[0]) / 1024 / 1024
		print("%-9s %-10s asked %6.2f MB/s, measured %6.2f MB/s over %4.1f s (%+.1f %%)"
		      % (place, what, float(asked), measured, end[0] - begin[0], 100 * (measured / float(asked) - 1)), flush=True)
	END
}

# a server with WAL and a table of twelve seconds each
prepare() {
	pg_ctl -s -D "$work/data" -m immediate stop 2>/dev/null || true
	rm -rf "$work/data" "$work/copy"
	initdb -A trust -D "$work/data" >/dev/null
	cat >>"$work/data/postgresql.conf" <<-END
		listen_addresses = ''
		unix_socket_directories = '$work'
		max_wal_size = 8GB
		wal_compression = off
		archive_mode = on
		archive_command = 'test ! -e $work/hold && pitr-archive --config=$work/pitr.conf %p'
	END
	printf '%s\n' "repo = $1" 'compress = none' "jobs = $jobs" "spool = $work/spool" "${@:2}" >"$work/pitr.conf"
	chmod 600 "$work/pitr.conf"
	pitr-catalog --log-level=error --config="$work/pitr.conf" --pgdata="$work/data" init
	touch "$work/hold"
	pg_ctl -s -w -D "$work/data" -l "$work/log" start
	psql -qAt -h "$work" -d postgres -c "CREATE TABLE noise AS SELECT repeat(md5(random()::text), 30) AS text
		FROM generate_series(1, $((rate * 12 * 1024)))" -c CHECKPOINT
	pg_ctl -s -w -D "$work/data" stop
}

measure_all() {
	local place=$1
	shift
	prepare "$@"
	local limit="--config=$work/pitr.conf --limit-rate=${rate}MB"
	# shellcheck disable=SC2086
	{
		measure "$place" archive pitr-archive $limit --drain="$work/data"
		rm "$work/hold"
		pg_ctl -s -w -D "$work/data" -l "$work/log" start
		measure "$place" backup pitr-basebackup $limit -h "$work" --checkpoint=fast
		measure "$place" restore pitr-restore $limit --log-level=warning -D "$work/copy"
	}
}

mkdir "$work/repo" "$work/spool"
measure_all directory "$work/repo"

if ! perl -I"$root/t/lib" -MPitrS3 -e 'exit(PitrS3::missing() ? 1 : 0)'; then
	echo "S3: Ceph is not installed"
	exit 0
fi
mkfifo "$work/s3.env"
perl -I"$root/t/lib" -MPitrS3 -e 'my $s3 = PitrS3->start(dir => $ARGV[0]); $s3->create_bucket("rate"); my %env = $s3->env;
	open my $out, ">", "$ARGV[0]/s3.env"; print $out "port=", $s3->endpoint =~ /(\d+)$/, "\nca_file=", $s3->ca_file, "\n",
	map { "export $_=$env{$_}\n" } grep { /^AWS/ } keys %env; close $out; $SIG{TERM} = sub { exit 0 }; sleep 3600' "$work" &
s3=$!
ca_file=
cat "$work/s3.env" >"$work/env"
# shellcheck disable=SC1091
. "$work/env"
measure_all S3 s3://rate/here "s3-endpoint = https://localhost:$port" "s3-ca-file = $ca_file" 's3-region = default' \
	's3-addressing = path'
