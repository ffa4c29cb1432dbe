#!/bin/bash
# Draws how cost grows from the recorded measurements of `bench.sh series`.
#
#   bench/plot.sh bench/results/DATE-CORES-series.tsv      into docs/performance/*.svg
set -euo pipefail

[ $# -eq 1 ] || {
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}
top=$(cd "$(dirname "$0")/.." && pwd)
table=$(mktemp)
trap 'rm -f "$table"' EXIT
mkdir -p "$top/docs/performance"

# draw SERIES LABEL JOB...
draw() {
	local series=$1 label=$2
	shift 2
	perl "$top/bench/series.pl" "$raw" "$series" "$@" >"$table"
	gnuplot -e "table='$table'; label='$label'; jobs='$*'" "$top/bench/plots/growth.gp" >"$top/docs/performance/$series.svg"
}

raw=$1
draw jobs 'workers (--jobs, process-max)' archive fetch backup restore
draw segments 'segments of 16 MB' archive fetch
draw latency 'milliseconds a round trip' archive fetch backup restore
draw size 'gigabytes of the cluster' backup restore
