#!/bin/bash
# pitr beside pgBackRest and beside what plain programs need for the same, measured in turn in one run.
#
#   bench/bench.sh [--short] [--repeats N] [--tools "pitr pgbackrest limit"] [--places "dir s3 s3-20ms ceph"] [JOB]...
#
#   JOB       wal           archive 64 segments of 16 MB, and fetch them again
#             wal-small     the same with 1,000 segments of 1 MB
#             again         archive_command of a segment that is stored already
#             recovery      a server recovers from 256 segments
#             module        a server archives as many by the module pitr_archive, by pitr-archive, and by basic_archive
#             backup        full backup and restore of a cluster of 1.6 GB
#             backup-large  … of 6 GB
#             files         … of 100,000 relation files
#             memory        … of 1,000,000 relation files, for the memory they take
#             Without any: all of the above.
#             series        how cost grows with workers, segments, size and latency; plot.sh draws it
#   --short   everything a hundred times smaller: says whether it works, not how fast it is
#   --repeats how often (3); 0: only make what the jobs work with
#   --places  instead of those where it matters most for the job:
#             dir, s3 (nginx over TLS, which does not limit), s3-20ms (the same, 20 ms a round trip), ceph
#
# Prints a table and keeps it, with the single measurements, below bench/results. Data and repositories live below
# $BENCH_DIR (/tmp/pitr-bench; about 30 GB) and are kept for the next run. Programs: $BENCH_BIN (build/bench),
# $PITR_BIN (build/bin), pgBackRest of build/pgbackrest. As root it hands over to user postgres. `make bench` builds and
# installs what is needed and calls this.
# shellcheck disable=SC2034 # the parts use them
set -Eeuo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
bench_bin=${BENCH_BIN:-$top/build/bench}
work=${BENCH_DIR:-/tmp/pitr-bench}
usage() {
	sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//p}' "$0"
	exit 2
}
[[ " $* " != *" --help "* ]] || usage
if [ "$(id -u)" -eq 0 ]; then
	mkdir -p "$work"
	chown postgres: "$work"
	runuser -u postgres -- env HOME="$work" PITR_BIN="${PITR_BIN:-$top/build/bin}" BENCH_BIN="$bench_bin" BENCH_DIR="$work" bash "$0" "$@" || status=$?
	mkdir -p "$top/bench/results"
	cp "$work"/results/* "$top/bench/results/" 2>/dev/null || true
	exit "${status:-0}"
fi
mkdir -p "$work"
if [ -z "${BENCH_LOCKED:-}" ]; then
	# The servers that it starts do not inherit the lock.
	status=0
	BENCH_LOCKED=1 flock -n -o -E 99 "$work/locked" bash "$0" "$@" || status=$?
	[ $status -ne 99 ] || echo "bench: error: another run uses \"$work\"" >&2
	exit $status
fi

# Everything that is about size. What --short changes stands below. The names are those of the parts.
: "${BENCH_SMALL_SCALE:=100}" "${BENCH_LARGE_SCALE:=400}" "${BENCH_SHARED_BUFFERS:=1GB}"
: "${BENCH_SEGMENTS:=64}" "${BENCH_SMALL_SEGMENTS:=1000}" "${BENCH_RECOVERY_SEGMENTS:=256}"
: "${BENCH_FILES:=100000}" "${BENCH_FILES_MEMORY:=1000000}"
repeats=3 jobs=${BENCH_JOBS:-2} tools="pitr pgbackrest limit" places=
selected=()
while [ $# -gt 0 ]; do
	case $1 in
	--short)
		work=$work-short repeats=1
		BENCH_SMALL_SCALE=10 BENCH_LARGE_SCALE=20 BENCH_SEGMENTS=8 BENCH_SMALL_SEGMENTS=40 BENCH_RECOVERY_SEGMENTS=12
		BENCH_FILES=2000 BENCH_FILES_MEMORY=10000 BENCH_SHARED_BUFFERS=128MB
		;;
	--repeats) repeats=$2 && shift ;;
	--tools) tools=$2 && shift ;;
	--places) places=$2 && shift ;;
	-*) usage ;;
	*) selected+=("$1") ;;
	esac
	shift
done

results=${BENCH_DIR:-/tmp/pitr-bench}/results
tls=$work/tls raw=$work/raw.tsv
# A million times fsync is not what this one is about.
memory_target=/dev/shm/bench-target${work//\//-}
mkdir -p "$work"/{data,repositories} "$results"
# Beside pgbackrest lie other programs of its release.
mkdir -p "$work/programs"
ln -sf "$top/build/pgbackrest/usr/bin/pgbackrest" "$work/programs/pgbackrest"
PATH=${PITR_BIN:-$top/build/bin}:$work/programs:$(pg_config --bindir):/usr/sbin:$PATH
unset "${!AWS_@}" "${!PITR_@}" "${!PGBACKREST_@}"

for part in measurement sink place tools workload job_wal job_again job_recovery job_module job_backup series; do
	# shellcheck source=/dev/null
	. "$top/bench/$part.sh"
done

# Where a job is measured unless --places says otherwise: what the targets need, and Ceph where it is quick.
places_of() {
	case $1 in
	wal | backup) echo s3 s3-20ms dir ceph ;;
	module) echo dir ;;
	wal-small) echo s3 dir ;;
	backup-large) echo s3 s3-20ms ;;
	*) echo s3 ;;
	esac
}

# each_place JOB ARGUMENT...: in each place.
each_place() {
	local one
	for one in $places; do
		"$@" "$one"
	done
}

backups_run() {
	local cluster=$1
	server_start "$work/data/$cluster"
	each_place job_backup "$cluster"
	server_stop
}

# What a job works with.
job_prepare() {
	case $1 in
	wal | again | recovery) workload_wal "$BENCH_RECOVERY_SEGMENTS" ;;
	wal-small) workload_wal_small ;;
	module) module_prepare ;;
	backup) workload_cluster small "$BENCH_SMALL_SCALE" ;;
	backup-large) workload_cluster large "$BENCH_LARGE_SCALE" ;;
	files) workload_files files "$BENCH_FILES" 1 ;;
	memory) workload_files many-files "$BENCH_FILES_MEMORY" 10 ;;
	series) series_prepare ;;
	*) complain "there is no job \"$1\"" ;;
	esac
}

# One job once, in all places, with all tools in turn.
job_run() {
	local places=${places:-$(places_of "$1")}
	case $1 in
	wal) each_place job_wal wal16 "$BENCH_SEGMENTS" ;;
	wal-small) each_place job_wal wal1 "$BENCH_SMALL_SEGMENTS" ;;
	again) each_place job_again ;;
	recovery) each_place job_recovery "$BENCH_RECOVERY_SEGMENTS" ;;
	module) each_place job_module module1 && each_place job_module module16 ;;
	backup) backups_run small ;;
	backup-large) backups_run large ;;
	files) backups_run files ;;
	memory) tools=pitr target=$memory_target backups_run many-files ;;
	series) series_run ;;
	esac
}

# The table of what was measured, also when the run broke off.
report() {
	local name
	name=$(date -u +%Y-%m-%d)-$(nproc)
	[ "$work" = "${work%-short}" ] || name+=-short
	[ "${selected[*]}" = "${jobs_all[*]}" ] || name+=-$(IFS=- && echo "${selected[*]}")
	{
		"$top/bench/machine.sh"
		[ "$1" -eq 0 ] || printf 'The run broke off.\n\n'
		perl "$top/bench/table.pl" "$top/bench/targets.tsv" "$raw"
	} | tee "$results/$name.txt"
	cp "$raw" "$results/$name.tsv"
}

clean_up() {
	local status=$?
	trap - ERR
	set +e
	server_stop immediate
	places_close
	[ ! -s "$raw" ] || report "$status"
}

# In a function, so that the whole script is read before it begins.
main() {
	local selected_job
	trap 'exit 1' INT TERM HUP
	trap 'echo "bench: error: line $LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND" >&2' ERR
	rm -rf "$work"/{repositories,sink,source,target} "$memory_target"
	: >"$raw"
	tls_make
	sink_start
	for selected_job in "${selected[@]}"; do
		job_prepare "$selected_job"
		for ((repeat = 1; repeat <= repeats; repeat++)); do
			[ "$selected_job-$repeat" != memory-2 ] || break
			job_run "$selected_job"
		done
		ceph_stop
	done
}

jobs_all=(wal backup again recovery wal-small module backup-large files memory)
[ ${#selected[@]} -gt 0 ] || selected=("${jobs_all[@]}")
trap clean_up EXIT
main
