# shellcheck shell=bash
# What is measured with, made once and kept below $work/data. Sourced by bench.sh.
#
#   workload_cluster NAME SCALE     $work/data/NAME, a stopped cluster of pgbench, with page checksums
#   workload_files NAME COUNT EVERY
#   workload_wal COUNT              wal16: full segments of 16 MB right behind a checkpoint, on top of cluster "small"
#   workload_wal_small              wal1: segments of 1 MB
#   server_start DIRECTORY, server_stop

server_settings() {
	cat <<-END
		listen_addresses = ''
		unix_socket_directories = '$work'
		shared_buffers = $BENCH_SHARED_BUFFERS
		max_wal_size = 16GB
		checkpoint_timeout = 1h
		synchronous_commit = off
		log_line_prefix = '%m '
		log_checkpoints = off
		autovacuum = off
		archive_mode = on
		archive_command = 'sh $work/archive-by-pgbackrest-or-pitr %p %f'
	END
}

# A script that archive_command runs, so that it and the keys can change while the server runs. pgBackRest insists on
# its name in archive_command.
server_archives_by() {
	{
		export -p | grep -E '^declare -x AWS_' | sed 's/^declare -x/export/' || true
		printf '%s\n' "$1"
	} >"$work/archive.new"
	mv "$work/archive.new" "$work/archive-by-pgbackrest-or-pitr"
}

server_start() {
	server_archives_by "${2:-exit 0}"
	pg_ctl -s -w -t 600 -D "$1" -l "$1.log" start
	server_directory=$1
	postmaster=$(head -n 1 "$1/postmaster.pid")
}

server_stop() {
	[ -n "${server_directory:-}" ] || return 0
	pg_ctl -s -w -t 600 -D "$server_directory" -m "${1:-fast}" stop
	server_directory=
	postmaster=0
}

sql() { psql -qAtX -h "$work" -d postgres -c "$1"; }

# Makes NAME in a directory beside, so that what is there is whole.
workload_make() {
	local name=$1
	shift
	[ ! -e "$work/data/$name" ] || return 0
	say "making $name"
	rm -rf "$work/data/$name".*
	"$@" "$work/data/$name.new"
	mv "$work/data/$name.new" "$work/data/$name"
}

# Leaves the one segment that a stopped cluster needs.
wal_trim() {
	local last
	last=$(LC_ALL=C pg_controldata "$1" | sed -n "s/^Latest checkpoint's REDO WAL file: *//p")
	find "$1/pg_wal" -type f ! -name "$last" -delete
}

cluster_make() {
	local scale=$1 segment_size=$2 directory=$3
	initdb -k -A trust -D "$directory" --wal-segsize="$segment_size" --no-sync >/dev/null
	server_settings >>"$directory/postgresql.conf"
	server_start "$directory"
	pgbench -q -i -s "$scale" -h "$work" postgres >"$work/pgbench.log" 2>&1
	sql CHECKPOINT
	server_stop
	wal_trim "$directory"
}

# Beside a small database, COUNT relation files that no catalog knows; each EVERYth has a page.
files_make() {
	local count=$1 every=$2 directory=$3
	cluster_make 1 16 "$directory"
	"$bench_bin/relation_files" "$directory/base/5" 1000000 "$count" "$every"
}

workload_cluster() { workload_make "$1" cluster_make "$2" 16; }

# Runs pgbench on a copy of CLUSTER until COUNT segments are kept in DIRECTORY/wal. DIRECTORY/control is their pg_control.
# DIRECTORY/base is the cluster that they begin with: backups move CLUSTER itself on.
# A checkpoint whenever as many are full as a job takes: so a good part of all of it is full pages.
wal_make() {
	local cluster=$1 count=$2 directory=$3 next=$BENCH_SEGMENTS is=0
	mkdir -p "$directory/wal"
	cp -a "$work/data/$cluster" "$directory/base"
	cp -a "$directory/base" "$directory/source"
	server_start "$directory/source" "cp \"\$1\" $directory/wal/\$2.part && mv $directory/wal/\$2.part $directory/wal/\$2"
	while [ "$is" -lt "$count" ]; do
		pgbench -n -c 4 -j 2 -T 2 -h "$work" postgres >"$work/pgbench.log" 2>&1
		is=$(find "$directory/wal" -name '0*[0-9A-F]' | wc -l)
		[ "$is" -lt "$next" ] || { sql CHECKPOINT && next=$((is + BENCH_SEGMENTS)); }
	done
	server_stop immediate
	cp "$directory/source/global/pg_control" "$directory/control"
	rm -rf "$directory/source" "$directory/source.log"
	find "$directory/wal" -type f | sort | sed "1,${count}d" | xargs -r rm
}

workload_files() { workload_make "$1" files_make "$2" "$3"; }

workload_wal() {
	workload_cluster small "$BENCH_SMALL_SCALE"
	workload_make wal16 wal_make small "$1"
}

cluster_small_segments() {
	cluster_make 10 1 "$1"
}

workload_wal_small() {
	workload_make small1 cluster_small_segments
	workload_make wal1 wal_make small1 "$BENCH_SMALL_SEGMENTS"
}
