# shellcheck shell=bash
# Archiving segments that are ready, as PostgreSQL's archiver does, and fetching them again in order, as recovery does.
# Sourced by bench.sh.
#
#   job_wal DATA COUNT PLACE     the first COUNT segments of $work/data/DATA, once with each tool

segments_of() { find "$work/data/$data/wal" -type f -printf '%f\n' | sort | sed -n "1,$1p"; }

# A data directory as far as archive_command and restore_command look at one.
data_directory_make() {
	local directory=$1 segment_size
	rm -rf "$directory"
	mkdir -p "$directory"/{global,pg_wal/archive_status}
	chmod 700 "$directory"
	cp "$work/data/$data/control" "$directory/global/pg_control"
	echo 15 >"$directory/PG_VERSION"
}

segments_ready() {
	local name
	for name in $(segments_of "$2"); do
		ln "$work/data/$data/wal/$name" "$1/pg_wal/$name"
		: >"$1/pg_wal/archive_status/$name.ready"
	done
}

segments_compare() {
	local name
	for name in $(segments_of "$2"); do
		cmp -s "$work/data/$data/wal/$name" "$1/pg_wal/$name" || complain "$tool gave back another \"$name\""
	done
}

wal_with() {
	local tool=$1 count=$2 source=$work/source target=$work/target
	data_directory_make "$source"
	repository_make "$tool" "$source"
	segments_ready "$source" "$count"
	cache_warm "$source/pg_wal"
	job=archive
	measure_run "$tool" "$bench_bin/caller" archive "$source" "$(archive_command "$tool")"
	measure_record "$tool" "$(place_stored "$repository")"
	data_directory_make "$target"
	touch "$target/recovery.signal"
	repository_attach "$tool" "$target"
	job=fetch
	segments_of "$count" >"$work/names"
	measure_run "$tool" sh -c "exec '$bench_bin/caller' restore '$target' '$(restore_command "$tool")' <'$work/names'"
	measure_record "$tool" -
	[ "$wall" = failed ] || segments_compare "$target" "$count"
	place_clear "$repository"
	rm -rf "$source" "$target"
}

job_wal() {
	data=$1-$2 place=$3
	local count=$2 tool
	data=$1
	place_open "$place"
	for tool in $tools; do
		[ "$tool $place" != "limit ceph" ] || continue
		wal_with "$tool" "$count"
	done
}
