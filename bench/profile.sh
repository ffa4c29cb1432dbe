#!/bin/bash
# Where the CPU time of each of the four jobs goes, as shares by kind of work. Needs perf (Debian: linux-perf), and root for
# a profile of the whole machine.
#
#   bench/profile.sh [PLACE [JOB]]      place and job of bench.sh: s3, and "wal backup"
#
# What counts as what is told by the library or, for what is linked in, the function.
set -euo pipefail

cd "$(dirname "$0")/.."
place=${1:-s3}
read -ra jobs <<<"${2:-wal backup}"
command -v perf >/dev/null || {
	echo "profile.sh: error: perf is missing; install the Debian package linux-perf" >&2
	exit 1
}
samples=$(mktemp)
trap 'rm -f "$samples"' EXIT

perf record -q -a -F 999 -o "$samples" -- bench/bench.sh --repeats 2 --tools pitr --places "$place" "${jobs[@]}" >/dev/null
perf report -i "$samples" --stdio --stdio-color never --no-children --sort comm,dso,sym -g none 2>/dev/null |
	awk '
	$1 ~ /^[0-9.]+%$/ && $2 ~ /^pitr-(archive|fetch|prefetch|basebackup|restore)$/ {
		share = $1 + 0
		program = $2 == "pitr-prefetch" ? "pitr-fetch" : $2
		kind = "other"
		if ($3 ~ /kernel/ || $4 == "[k]") kind = "kernel"
		else if ($3 ~ /^lib(lz4|zstd)/) kind = "compression"
		else if ($3 ~ /^lib(crypto|ssl)/) kind = "cryptography"
		else if ($5 ~ /crc32c|^page_|checksum/) kind = "checksums"
		sum[program] += share
		by[program, kind] += share
	}
	END {
		printf "%-18s %12s %13s %10s %8s %8s\n", "program", "compression", "cryptography", "checksums", "kernel", "other"
		for (program in sum)
			printf "%-18s %11.0f%% %12.0f%% %9.0f%% %7.0f%% %7.0f%%\n", program,
				100 * by[program, "compression"] / sum[program], 100 * by[program, "cryptography"] / sum[program],
				100 * by[program, "checksums"] / sum[program], 100 * by[program, "kernel"] / sum[program],
				100 * by[program, "other"] / sum[program]
	}'
