# shellcheck shell=bash
# shellcheck disable=SC2154 # of bench.sh
# A server that recovers from an archive, beside the same with cp from a directory. Sourced by bench.sh.
#
#   job_recovery COUNT PLACE     from the first COUNT segments of wal16 on top of what they begin with; wall is from the start
#                                of the server to the end of redo, CPU that of the server and the restore_command

recovery_prepare() {
	local directory=$1 command=$2
	rm -rf "$directory"
	cp -a "$work/data/wal16/base" "$directory"
	touch "$directory/recovery.signal"
	cat >>"$directory/postgresql.conf" <<-END
		archive_mode = off
		restore_command = '$command'
	END
}

# Seconds between two lines of a server's log.
log_seconds() {
	local from to
	from=$(grep -m 1 "$2" "$1" | cut -d' ' -f1,2)
	to=$(grep -m 1 "$3" "$1" | cut -d' ' -f1,2)
	awk -v f="$(date -d "$from" +%s.%N)" -v t="$(date -d "$to" +%s.%N)" 'BEGIN { printf "%.3f\n", t - f }'
}

recovery_with() {
	local tool=$1 count=$2 source=$work/source target=$work/target command
	if [ "$tool" = limit ]; then
		command="cp $work/data/wal16/wal/%f %p"
	else
		data_directory_make "$source"
		repository_make "$tool" "$source"
		segments_ready "$source" "$count"
		"$bench_bin/caller" archive "$source" "$(archive_command "$tool")"
		repository_attach "$tool" "$target"
		command=$(restore_command "$tool")
	fi
	recovery_prepare "$target" "$command"
	cache_warm "$target" "$work/data/wal16/wal"
	job=recovery
	measure_run "$tool" "$top/bench/recover.sh" "$target" "$work/recovery.log"
	[ "$wall" = failed ] || wall=$(log_seconds "$work/recovery.log" 'starting PostgreSQL' 'redo done at')
	# The largest process is the server.
	peak_kb=-
	measure_record "$tool" -
	rm -rf "$source" "$target"
	[ "$tool" = limit ] || place_clear "$repository"
}

job_recovery() {
	data=wal16 place=$2
	local tool
	place_open "$place"
	for tool in $tools; do
		[ "$tool" != limit ] || [ "$place" = "${places%% *}" ] || continue
		recovery_with "$tool" "$1"
	done
}
