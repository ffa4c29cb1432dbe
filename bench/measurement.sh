# shellcheck shell=bash
# Taking measurements and writing them down. Sourced by bench.sh.
#
# A line of $raw: job, data, place, tool, repeat, wall_s, cpu_s, server_cpu_s, peak_kb, stored_bytes, requests; "-" where
# there is nothing to say.

# The lines that are measured now belong to: job, data, place, repeat. The postmaster, if there is one.
job=- data=- place=- repeat=0 postmaster=0
# What a series varies, such as ":jobs=1"; becomes part of data.
series=

say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*" >&2; }

complain() {
	printf 'bench: error: %s\n' "$1" >&2
	exit 1
}

port_free() {
	local port
	while :; do
		port=$((10000 + RANDOM % 20000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

# Runs a command as TOOL does the job, and keeps what it cost in the shell's variables wall, cpu, server_cpu, peak_kb.
measure_run() {
	local tool=$1
	shift
	sync
	# shellcheck disable=SC2034 # the names that the output assigns
	wall=- cpu=- server_cpu=- peak_kb=- status=1
	requests_before=$(sink_requests)
	"$bench_bin/measure" --server "$postmaster" --output "$work/measured" -- "$@" >"${measure_stdout:-$work/output}" 2>"$work/output.stderr" || true
	read -r -a measured <"$work/measured"
	declare -g "${measured[@]}"
	# shellcheck disable=SC2154 # assigned by measure's output
	if [ "$status" -ne 0 ]; then
		say "$job $data $place $tool: status $status"
		tail -qn 5 "$work"/output* >&2
		wall=failed
	fi
	requests=$(($(sink_requests) - requests_before))
	[[ $place = s3* ]] || requests=-
	[ "$postmaster" -ne 0 ] || server_cpu=-
}

# Writes down what measure_run measured: TOOL, and the bytes that are stored.
measure_record() {
	printf '%s\t' "$job" "$data$series" "$place" "$1" "$repeat" "$wall" "$cpu" "$server_cpu" "$peak_kb" "$2" >>"$raw"
	printf '%s\n' "$requests" >>"$raw"
	say "$job $data$series $place $1: wall $wall s, CPU $cpu s, server $server_cpu s, peak $peak_kb kB, stored $2, requests $requests"
}

# Whoever comes first shall not pay for reading from the disk.
cache_warm() { find "$@" -type f -exec cat {} + >/dev/null; }

bytes_below() { { find "$@" -type f -printf '%s\n' 2>/dev/null || true; } | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }
