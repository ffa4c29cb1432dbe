#!/bin/bash
# Are the man pages and docs/settings.md what the tables and the prose make?    tools/check_docs.sh [--write] GEN_DOCS
set -euo pipefail

write=no
if [ "${1:-}" = --write ]; then
	write=yes
	shift
fi
gen_docs=$(realpath "${1:?usage: tools/check_docs.sh [--write] GEN_DOCS}")
cd "$(dirname "$0")/.."

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
status=0

# keep NAME: what was made as $made/NAME belongs to docs/NAME
keep() {
	if [ "$write" = yes ]; then
		cmp -s "$made/$1" "docs/$1" || { cp "$made/$1" "docs/$1" && chmod 644 "docs/$1"; }
	elif ! cmp -s "$made/$1" "docs/$1"; then
		echo "${0##*/}: error: docs/$1 is not what its sources make; run: make docs" >&2
		status=1
	fi
}

mkdir "$made/man"
for prose in docs/man/pitr-*.txt; do
	program=$(basename "$prose" .txt)
	"$gen_docs" man "$program" docs/man >"$made/man/$program.1"
	keep "man/$program.1"
done
"$gen_docs" settings docs/man >"$made/settings.md"
keep settings.md
exit $status
