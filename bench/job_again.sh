# shellcheck shell=bash
# shellcheck disable=SC2154 # of bench.sh
# archive_command of a segment that is stored already: what PostgreSQL waits for when another call has stored it before.
# Sourced by bench.sh.
#
#   job_again PLACE     wall is the median of 200 calls above /bin/true, called in turn

again_with() {
	local tool=$1 source=$work/source said command
	data_directory_make "$source"
	repository_make "$tool" "$source"
	segments_ready "$source" 8
	command=$(archive_command "$tool")
	"$bench_bin/caller" archive "$source" "$command"
	command=${command//%p/pg_wal/$(segments_of 8 | tail -n 1)}
	job=again
	said=$work/again
	(cd "$source" && "$bench_bin/caller" repeat 200 "$command" >"$said")
	wall=$(sed -E 's/command_ms=(.*) true_ms=(.*)/\1 \2/' "$said" | awk '{ printf "%.5f\n", ($1 - $2) / 1000 }')
	cpu=- server_cpu=- peak_kb=- requests=-
	measure_record "$tool" -
	place_clear "$repository"
	rm -rf "$source"
}

job_again() {
	data=wal16 place=$1
	local tool
	place_open "$place"
	for tool in $tools; do
		[ "$tool" = limit ] || again_with "$tool"
	done
}
