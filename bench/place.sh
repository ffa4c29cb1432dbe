# shellcheck shell=bash
# Where repositories are put: a directory, nginx, nginx behind a delay, Ceph. Sourced by bench.sh.
#
#   place_open NAME     dir | s3 | s3-20ms (any number) | ceph; starts what is needed; sets s3_port, s3_ca_file, s3_keys
#   place_stored NAME   the bytes stored in the place's repository NAME; "-" where it cannot be asked
#   place_clear NAME    removes the repository NAME
#   places_close

declare -A proxy_ports=()
place_pids=()

tls_make() {
	local key=(req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
	[ ! -e "$tls/server.crt" ] || return 0
	mkdir -p "$tls"
	echo 'subjectAltName = DNS:localhost, IP:127.0.0.1' >"$tls/server.ext"
	{
		openssl "${key[@]}" -x509 -days 365 -subj '/CN=bench authority' -keyout "$tls/ca.key" -out "$tls/ca.crt"
		openssl "${key[@]}" -subj /CN=localhost -keyout "$tls/server.key" -out "$tls/server.csr"
		openssl x509 -req -days 365 -CAcreateserial -in "$tls/server.csr" -CA "$tls/ca.crt" -CAkey "$tls/ca.key" \
			-extfile "$tls/server.ext" -out "$tls/server.crt"
	} 2>"$work/openssl.log"
}

proxy_start() {
	local delay_ms=$1 port
	port=$(port_free)
	"$bench_bin/delay_proxy" "$port" "$sink_port" "$(awk -v d="$delay_ms" 'BEGIN { print d / 2 }')" &
	place_pids+=($!)
	proxy_ports[$delay_ms]=$port
	sleep 0.2
}

ceph_start() {
	local line
	rm -rf "$work/ceph"
	mkdir -p "$work/ceph"
	perl "$top/bench/ceph.pl" "$work/ceph" bench >"$work/ceph/said" 2>&1 &
	ceph_pid=$!
	for ((i = 0; i < 300; i++)); do
		! grep -qx ready "$work/ceph/said" 2>/dev/null || break
		sleep 0.2
	done
	grep -qx ready "$work/ceph/said" || complain "Ceph does not start: $(cat "$work/ceph/said")"
	read -r -a line <"$work/ceph/said"
	declare -g "${line[@]}"
}

ceph_stop() {
	[ -n "${ceph_pid:-}" ] || return 0
	kill "$ceph_pid" 2>/dev/null || true
	wait "$ceph_pid" || true
	ceph_pid=
}

place_open() {
	local delay_ms
	s3_access_key=bench s3_secret_key=benchbench s3_ca_file=$tls/ca.crt s3_port=$sink_port
	case $1 in
	s3-*ms)
		delay_ms=${1#s3-}
		delay_ms=${delay_ms%ms}
		[ -n "${proxy_ports[$delay_ms]:-}" ] || proxy_start "$delay_ms"
		s3_port=${proxy_ports[$delay_ms]}
		;;
	ceph)
		[ -n "${ceph_pid:-}" ] || ceph_start
		# shellcheck disable=SC2154 # said by ceph.pl
		s3_access_key=$ceph_access_key s3_secret_key=$ceph_secret_key s3_ca_file=$ceph_ca_file s3_port=$ceph_port
		;;
	esac
	export AWS_ACCESS_KEY_ID=$s3_access_key AWS_SECRET_ACCESS_KEY=$s3_secret_key AWS_EC2_METADATA_DISABLED=true
}

place_root() {
	case $place in
	dir) echo "$work/repositories/$1" ;;
	*) echo "$work/sink/root/bench/$1" ;;
	esac
}

place_stored() {
	if [ "$place" = ceph ]; then echo -; else bytes_below "$(place_root "$1")"; fi
}

place_clear() {
	[ "$place" = ceph ] || rm -rf "$(place_root "$1")"
}

places_close() {
	local pid
	ceph_stop
	for pid in "${place_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	sink_stop
}
