#!/bin/bash
# No function beyond 70 lines, no file beyond 800.    tools/lint-sizes.sh [TREE]
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

function_lines_max=70
file_lines_max=800

# Known exceptions, as "path:function" or "path". Each needs a reason beside it.
exceptions=()

command -v ctags >/dev/null || {
	echo "${0##*/}: error: the program \"ctags\" is missing; install the Debian package universal-ctags" >&2
	exit 1
}

mapfile -t files < <(find lib archive_command restore_command basebackup restore catalog extension t \
	-name '*.[ch]' 2>/dev/null | sort)

too_long() {
	ctags --languages=C --langmap=C:.c.h --c-kinds=f --fields=ne -f - "${files[@]}" |
		awk -F'\t' -v max=$function_lines_max '/^!/ { next } {
			line = end = 0
			for (i = 4; i <= NF; i++) {
				if ($i ~ /^line:/) line = substr($i, 6)
				if ($i ~ /^end:/) end = substr($i, 5)
			}
			if (end - line + 1 > max)
				printf "%s:%s %d: %s() has %d lines; at most %d\n", $2, $1, line, $1, end - line + 1, max
		}'
	wc -l "${files[@]}" | awk -v max=$file_lines_max '$2 != "total" && $1 > max {
		printf "%s 1: the file has %d lines; at most %d\n", $2, $1, max }'
}

status=0
while read -r name line text; do
	[[ " ${exceptions[*]-} " != *" $name "* ]] || continue
	echo "${name%%:*}:$line $text" >&2
	status=1
done < <(too_long)
exit $status
