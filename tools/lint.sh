#!/bin/bash
# Everything that can be said about the source without running it. Each part that fails is named at the end.
#
#   tools/lint.sh            all
#   tools/lint.sh --quick    without the second compiler and the static analysers
set -euo pipefail
cd "$(dirname "$0")/.."

failed=()
part() {
	local name=$1
	shift
	echo "lint: $name"
	"$@" || failed+=("$name")
}

sources() {
	find lib archive_command restore_command basebackup restore catalog extension t bench tools -name '*.[ch]' 2>/dev/null | sort
}

check_format() {
	sources | xargs clang-format --dry-run -Werror
}

check_scripts() {
	local script scripts=() perl=0
	while IFS= read -r script; do
		if head -n 1 "$script" | grep -q '^#!.*sh$'; then
			scripts+=("$script")
		fi
	done < <(find tools t bench extension .ci docs -type f ! -path '*/golden/*' 2>/dev/null)
	shellcheck "${scripts[@]}" || return 1
	while IFS= read -r script; do
		perl -It/lib -I/usr/lib/postgresql/15/lib/pgxs/src/test/perl -wc "$script" >/dev/null 2>"$log" ||
			grep -q 'does not run as root' "$log" || { cat "$log" >&2; perl=1; }
	done < <(find tools t bench -name '*.p[lm]' | sort)
	return $perl
}

check_generated() {
	if make -n check-generated >/dev/null 2>&1; then
		make -s check-generated
	fi
}

build_with_clang() {
	make -s -j"$(nproc)" BUILD=build/clang CC=clang all unit test-tools extension
}

# cppcheck does not know the cleanup attribute, so every early return looks like a leak to it; ASan looks for those.
run_cppcheck() {
	cppcheck --quiet -j"$(nproc)" --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem --suppress=memleak --suppress=resourceLeak -Ilib -Irestore -D_GNU_SOURCE \
		'-DPG_MODULE_MAGIC=' '-DPG_FUNCTION_INFO_V1(name)=' \
		extension lib archive_command restore_command basebackup restore catalog
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

part format check_format
part layers tools/lint-layers.sh
part doors tools/lint-doors.pl
part sizes tools/lint-sizes.sh
part headers tools/lint-headers.sh
part scripts check_scripts
part 'generated documentation' check_generated
if [ "${1:-}" != --quick ]; then
	part 'build with clang' build_with_clang
	part cppcheck run_cppcheck
fi

if [ ${#failed[@]} -gt 0 ]; then
	printf 'lint: failed: %s\n' "$(printf '%s, ' "${failed[@]}" | sed 's/, $//')" >&2
	exit 1
fi
echo 'lint: clean'
