# shellcheck shell=bash
# A full backup of a running, idle cluster, and its restore into an empty directory, nothing started. Sourced by bench.sh.
#
#   job_backup CLUSTER PLACE     $work/data/CLUSTER, once with each tool

backup_command() {
	case $1 in
	pitr) echo "pitr-basebackup -h $work --checkpoint=fast --jobs=$jobs" ;;
	pgbackrest) echo "pgbackrest --type=full --no-expire-auto backup" ;;
	limit) echo "pg_basebackup -h $work -c fast -Ft -X none -D -" ;;
	esac
}

restore_to_command() {
	case $1 in
	pitr) echo "pitr-restore --jobs=$jobs -D $2" ;;
	pgbackrest) echo "pgbackrest --pg1-path=$2 restore" ;;
	limit) echo "$top/bench/copy.sh $3 $2" ;;
	esac
}

# The relation files of the one are those of the other, and those of the tables (from the first number that users' objects
# get: FirstNormalObjectId) are the same to the last byte; catalogs may have got hint bits meanwhile.
relation_sizes() { (cd "$1/base" && find . -type f -name '[0-9]*' -printf '%p %s\n' | LC_ALL=C sort | cksum); }

restored_check() {
	local was is file
	was=$(relation_sizes "$1")
	is=$(relation_sizes "$2")
	[ "$was" = "$is" ] || complain "$tool restored other relation files: $was, not $is"
	(cd "$1/base" && find . -type f -regextype posix-extended -regex '\./[0-9]+/[0-9]{5,}(\.[0-9]+)?' |
		awk -F'[/.]' '$4 >= 16384') | sed -n "1,20000p" >"$work/names"
	while IFS= read -r file; do
		cmp -s "$1/base/$file" "$2/base/$file" || complain "$tool restored another \"base/$file\""
	done <"$work/names"
}

# Nothing is being archived any more, and what comes will be thrown away.
archiver_finish() {
	local i
	for ((i = 0; i < 50; i++)); do
		[ -n "$(find "$work/data/$data/pg_wal/archive_status" -name '*.ready' -print -quit)" ] || break
		sleep 0.2
	done
	[ $i -lt 50 ] || say "the archiver has not finished: $(ls "$work/data/$data/pg_wal/archive_status")"
	server_archives_by 'exit 0'
}

backup_with() {
	local tool=$1 source=$work/data/$data target=${target:-$work/target}
	local -a backup restore
	repository_make "$tool" "$source"
	# shellcheck disable=SC2016 # the script's own argument
	case $tool in
	limit) server_archives_by 'exit 0' ;;
	*) server_archives_by "$(archive_command "$tool" | sed 's/%p/"$1"/')" ;;
	esac
	read -r -a backup <<<"$(backup_command "$tool")"
	cache_warm "$source/base"
	job=backup
	measure_stdout=$([ "$tool" != limit ] || echo /dev/null) measure_run "$tool" "${backup[@]}"
	measure_record "$tool" "$(place_stored "$repository")"
	archiver_finish
	[ "$wall" != failed ] || return 0

	rm -rf "$target"
	mkdir -m 700 "$target"
	read -r -a restore <<<"$(restore_to_command "$tool" "$target" "$source")"
	job=restore
	local server=$postmaster
	postmaster=0
	measure_run "$tool" "${restore[@]}"
	measure_record "$tool" -
	postmaster=$server
	[ "$wall" = failed ] || restored_check "$source" "$target"
	rm -rf "$target"
	place_clear "$repository"
}

job_backup() {
	data=$1 place=$2
	local tool
	place_open "$place"
	for tool in $tools; do
		[ "$tool" != limit ] || [ "$place" = "${places%% *}" ] || continue
		backup_with "$tool"
	done
}
