# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # of bench.sh
# How cost grows: the jobs wal and backup with one thing varied. Sourced by bench.sh; plot.sh draws what comes out.

series_prepare() {
	workload_wal "$BENCH_RECOVERY_SEGMENTS"
	workload_cluster quarter $((BENCH_SMALL_SCALE / 4))
	workload_cluster large "$BENCH_LARGE_SCALE"
}

series_gigabytes() { bytes_below "$work/data/$1/base" | awk '{ printf "%.2f\n", $1 / 1e9 }'; }

series_run() {
	local tools="pitr pgbackrest" places=s3 jobs count delay_ms cluster
	for jobs in 1 2; do
		series=:jobs=$jobs
		job_wal wal16 "$BENCH_SEGMENTS" s3
		backups_run small
	done
	for count in $((BENCH_SEGMENTS / 4)) $((BENCH_SEGMENTS / 2)) "$BENCH_SEGMENTS" "$BENCH_RECOVERY_SEGMENTS"; do
		series=:segments=$count
		job_wal wal16 "$count" s3
	done
	for delay_ms in 1 5 20 50; do
		series=:latency=$delay_ms
		job_wal wal16 "$BENCH_SEGMENTS" "s3-${delay_ms}ms"
		places=s3-${delay_ms}ms backups_run small
	done
	for cluster in quarter small large; do
		series=:size=$(series_gigabytes $cluster)
		backups_run $cluster
	done
	series=
}
