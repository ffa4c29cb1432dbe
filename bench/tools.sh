# shellcheck shell=bash
# The two tools, set up alike: lz4, encryption, two workers, a spool on the file system of the data. Sourced by bench.sh.
#
#   repository_make TOOL DATA-DIRECTORY    an empty repository of its own in $place; sets repository (its name)
#   archive_command TOOL, restore_command TOOL     what PostgreSQL would be given

repository_count=0

pitr_configure() {
	: >"$work/pitr.conf"
	[ -e "$work/key" ] || pitr-catalog --log-level=error keygen "$work/key"
	{
		case $place in
		dir) echo "repo = $work/repositories/$repository" ;;
		*)
			echo "repo = s3://bench/$repository"
			echo "s3-endpoint = https://localhost:$s3_port"
			echo "s3-region = default"
			echo "s3-ca-file = $s3_ca_file"
			;;
		esac
		echo "key-file = $work/key"
		echo "compress = lz4"
		echo "jobs = $jobs"
		if pitr-archive --help | grep -q -- --spool; then echo "spool = $work/spool/pitr"; fi
	} >"$work/pitr.conf"
	chmod 600 "$work/pitr.conf"
}

pgbackrest_configure() {
	cat <<-END
		[global]
		repo1-cipher-type=aes-256-cbc
		repo1-cipher-pass=oNVjzPYcYZ4Xu2tSXrD2sKyGq4LCOXXZ
		repo1-bundle=y
		compress-type=lz4
		compress-level=1
		process-max=$jobs
		archive-async=y
		spool-path=$work/spool/pgbackrest
		lock-path=$work/lock
		log-level-file=off
		log-level-console=warn
		start-fast=y
		expire-auto=n
		repo1-path=$([ "$place" = dir ] && echo "$work/repositories/$repository" || echo "/$repository")
	END
	[ "$place" = dir ] || cat <<-END
		repo1-type=s3
		repo1-s3-bucket=bench
		repo1-s3-endpoint=localhost
		repo1-s3-region=default
		repo1-s3-uri-style=path
		repo1-s3-key=$s3_access_key
		repo1-s3-key-secret=$s3_secret_key
		repo1-storage-port=$s3_port
		repo1-storage-ca-file=$s3_ca_file
	END
	cat <<-END
		[bench]
		pg1-path=$1
		pg1-socket-path=$work
		pg1-user=$(id -un)
	END
}

spool_empty() {
	rm -rf "$work/spool"
	mkdir -p "$work"/spool/{pitr,pgbackrest}
	chmod 700 "$work/spool/pitr"
}

repository_make() {
	local tool=$1 data_directory=$2
	repository=$tool-$((++repository_count))
	mkdir -p "$work/repositories/$repository" "$work/lock" "$work/sink/root/bench"
	spool_empty
	case $tool in
	pitr)
		pitr_configure
		pitr-catalog --log-level=error --pgdata="$data_directory" init
		;;
	pgbackrest)
		pgbackrest_configure "$data_directory" >"$work/pgbackrest.conf"
		pgbackrest --no-online stanza-create
		;;
	esac
}

# The tools find their settings here.
export PITR_CONFIG=$work/pitr.conf PGBACKREST_CONFIG=$work/pgbackrest.conf PGBACKREST_STANZA=bench

# What a shell does with plain programs, without encryption, checks, or (on S3) a copy that is known to be durable.
archive_command_limit() {
	case $place in
	dir) echo "dd if=%p of=$work/repositories/$repository/%f bs=1M conv=fsync status=none" ;;
	*) echo "lz4 -1 -c %p | curl -sf --cacert $s3_ca_file -T - https://localhost:$s3_port/bench/$repository/%f" ;;
	esac
}

restore_command_limit() {
	case $place in
	dir) echo "cp $work/repositories/$repository/%f %p" ;;
	*) echo "curl -sf --cacert $s3_ca_file https://localhost:$s3_port/bench/$repository/%f | lz4 -d -c >%p" ;;
	esac
}

archive_command() {
	case $1 in
	pitr) echo 'pitr-archive %p' ;;
	pgbackrest) echo 'pgbackrest archive-push %p' ;;
	limit) archive_command_limit ;;
	esac
}

restore_command() {
	case $1 in
	pitr) echo 'pitr-fetch %f %p' ;;
	pgbackrest) echo 'pgbackrest archive-get %f %p' ;;
	limit) restore_command_limit ;;
	esac
}

# Another data directory works with the repository from now on.
repository_attach() {
	[ "$1" != pgbackrest ] || sed -i "s|^pg1-path=.*|pg1-path=$2|" "$work/pgbackrest.conf"
	spool_empty
}
