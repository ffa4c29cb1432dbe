# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # of bench.sh and for it
# A real server archives a backlog: by the module pitr_archive, by archive_command = 'pitr-archive %p', and by
# basic_archive of contrib, which copies and syncs each file, and neither compresses nor encrypts. Sourced by bench.sh.
#
#   module_prepare               $work/data/module1, module16: stopped servers of which COUNT segments wait
#   job_module NAME PLACE        one of them, in turn by each

module_methods="module pitr basic"

# COUNT segments of SIZE MB that nobody archives: without a command the archiver only waits. None is ever recycled.
module_make() {
	local size=$1 count=$2 directory=$3
	initdb -k -A trust -D "$directory" --wal-segsize="$size" --no-sync >/dev/null
	server_settings >>"$directory/postgresql.conf"
	cat >>"$directory/postgresql.conf" <<-END
		archive_command = ''
		log_line_prefix = '%n '
		max_wal_size = 100GB
		wal_keep_size = 100GB
		wal_recycle = off
	END
	server_start "$directory"
	pgbench -q -i -s 5 -h "$work" postgres >"$work/pgbench.log" 2>&1
	while [ "$(module_waiting "$directory")" -lt "$count" ]; do
		sql "UPDATE pgbench_accounts SET abalance = aid # abalance WHERE aid % 10 = $((RANDOM % 10))"
	done
	server_stop
	module_trim "$count" "$directory"
}

module_waiting() { find "$1/pg_wal/archive_status" -name '*.ready' | wc -l; }

# Only the newest COUNT wait.
module_trim() {
	local name
	find "$2/pg_wal/archive_status" -name '*.ready' | sort | head -n "-$1" | while read -r name; do
		rm "$name" "$2/pg_wal/$(basename "$name" .ready)"
	done
}

module_prepare() {
	workload_make module1 module_make 1 "$BENCH_SMALL_SEGMENTS"
	workload_make module16 module_make 16 "$BENCH_SEGMENTS"
}

# The server's settings from now on. The module is where make has built it for this server.
module_settings() {
	local build major
	build=$(dirname "$(dirname "$(command -v pitr-archive)")")
	major=$(pg_config --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
	case $1 in
	module)
		echo "archive_library = '$build/extension/$major/pitr_archive/pitr_archive'"
		echo "pitr_archive.program = '$build/libexec/pitr/pitr-archiver'"
		echo "pitr_archive.config_file = '$work/pitr.conf'"
		;;
	pitr) echo "archive_command = '$(command -v pitr-archive) --config=$work/pitr.conf %p'" ;;
	basic)
		echo "archive_library = 'basic_archive'"
		echo "basic_archive.archive_directory = '$work/repositories/$repository'"
		;;
	esac
}

# What is asked for is the time from when the server is ready until it has archived the last one, by its own clock and
# that of its files.
module_measure() {
	local name=$1 source=$2 ready_ms last_ms
	rm -f "$source.log"
	# basic_archive wants the directory for itself.
	[ "$name" != basic ] || { rm -rf "$work/repositories/$repository" && mkdir "$work/repositories/$repository"; }
	module_settings "$name" >>"$source/postgresql.conf"
	server_start "$source"
	for ((i = 0; i < 1200; i++)); do
		[ "$(module_waiting "$source")" -gt 0 ] || break
		sleep 0.1
	done
	server_stop
	[ "$i" -lt 1200 ] || complain "$name does not archive; see $source.log"
	ready_ms=$(sed -n 's/^\([0-9.]*\) LOG:  database system is ready.*/\1/p' "$source.log" | tr -d .)
	last_ms=$(find "$source/pg_wal/archive_status" -name '*.done' -printf '%C@ %f\n' | sort -k 2 |
		sed -n "${count}s/\\.\\([0-9]\\{3\\}\\).*/\\1/p")
	wall=$(awk -v ms=$((last_ms - ready_ms)) 'BEGIN { printf "%.3f\n", ms / 1000 }')
	cpu=- server_cpu=- peak_kb=- requests=-
}

module_with() {
	local name=$1 cluster=$2 source=$work/source count stored
	rm -rf "$source"
	cp -a "$work/data/$cluster" "$source"
	count=$(module_waiting "$source")
	data=${count}x${cluster#module}MB
	cache_warm "$source/pg_wal"
	repository_make pitr "$source"
	sync
	module_measure "$name" "$source"
	stored=$(find "$work/repositories/$repository" -type f | grep -cE '/[0-9A-F]{24}$')
	[ "$stored" -ge "$count" ] || complain "$name has stored $stored of $count segments"
	measure_record "$name" "$(place_stored "$repository")"
	place_clear "$repository"
	rm -rf "$source"
}

job_module() {
	local cluster=$1 name
	job=server place=$2
	place_open "$place"
	for name in $module_methods; do
		module_with "$name" "$cluster"
	done
}
