#!/bin/bash
# Every header compiles alone, with both compilers, and opens with a paragraph and #pragma once.
#
#   tools/lint-headers.sh [TREE]
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

flags=(-std=c11 -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
	-Wno-unused-function -D_GNU_SOURCE -Ilib -fsyntax-only -x c)
read -ra libraries < <(pkg-config --cflags libpq libcurl libcrypto liblz4 libzstd jansson expat)

# Headers of the extension see those of a server, and as each of its files do, after postgres.h.
server=(-std=gnu11 -Iextension/assert -isystem "$(pg_config --includedir-server)" -include postgres.h)

status=0
check_header() {
	local header=$1 compiler also=()
	[ "${header%%/*}" != extension ] || also=("${server[@]}")
	for compiler in gcc clang; do
		echo "#include \"$PWD/$header\"" | "$compiler" "${flags[@]}" "-I$(dirname "$header")" "-I${header%%/*}" "${libraries[@]}" "${also[@]}" - || {
			echo "$header: does not compile alone with $compiler" >&2
			status=1
		}
	done
	if [ "$(head -c 3 "$header")" != '/* ' ]; then
		echo "$header:1: must open with a paragraph that says what this is, what it promises and what it does not know" >&2
		status=1
	fi
	if ! grep -qx '#pragma once' "$header"; then
		echo "$header:1: must say #pragma once" >&2
		status=1
	fi
}

while IFS= read -r header; do
	check_header "$header"
done < <(find lib archive_command restore_command basebackup restore catalog extension -name '*.h' 2>/dev/null | sort)
exit $status
