#!/bin/bash
# Builds everything and runs the tests in one run of prove, whose summary is the last thing printed.
#
#   tools/run-tests.sh              unit tests and t/*.pl on the normal build; then, on the sanitizer build, the unit
#                                   tests and the t/*.pl that say "# sanitizer: yes"
#   tools/run-tests.sh --full       every t/*.pl on both builds, every combination instead of every pair
#   tools/run-tests.sh FILE...      only these (t/*.pl or build/unit/*); TEST_PITR_SANITIZE=1 takes the sanitizer build
#
# PostgreSQL refuses to run as root: root builds, and the tests run as user postgres.
# TEST_PITR_VERSIONS   majors to test ("15 17 18"); one that cannot be installed is a failure, not a skip
# TEST_PITR_JOBS       test files at a time (number of cores)
# TEST_PITR_SANITIZE   0 leaves the sanitizer build out
# TEST_PITR_BUILD      0 takes what is built already; tools/install-extension.sh VERSION... installs the extension alone
# The logs of failed tests are kept in build/test-logs.
set -euo pipefail

cd "$(dirname "$0")/.."
tree=$PWD
server_user=postgres
export TEST_PITR_VERSIONS=${TEST_PITR_VERSIONS:-15 17 18}
jobs=${TEST_PITR_JOBS:-$(nproc)}

complain() {
	printf '%s: error: %s\n' "${0##*/}" "$1" >&2
	[ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

as_server_user() {
	if is_root; then
		runuser -u "$server_user" -- "$@"
	else
		"$@"
	fi
}

# A tree below a private directory (/root, say) cannot be read by the server's user: test a copy of it.
test_a_copy() {
	local copy status=0
	copy=$(mktemp -d /var/tmp/pitr-tree.XXXXXX)
	chmod 755 "$copy"
	tar -C "$tree" --exclude=./.git --exclude=./build/pg -cf - . | tar -C "$copy" -xf -
	chmod -R a+rX "$copy"
	TEST_PITR_TREE_IS_COPY=1 "$copy/tools/run-tests.sh" "$@" || status=$?
	if [ -d "$copy/build/test-logs" ]; then
		mkdir -p build && rm -rf build/test-logs && cp -r "$copy/build/test-logs" build/
	fi
	rm -rf "$copy"
	exit $status
}

if is_root; then
	getent passwd "$server_user" >/dev/null || complain "there is no user \"$server_user\"" "run: make packages"
	if ! runuser -u "$server_user" -- test -r "$tree/Makefile" -a -x "$tree/tools/run-tests.sh"; then
		[ -z "${TEST_PITR_TREE_IS_COPY:-}" ] || complain "user \"$server_user\" cannot read \"$tree\""
		test_a_copy "$@"
	fi
fi

# --- build ---

# The servers, and in them the extension.
install_servers() {
	local version
	for version in $TEST_PITR_VERSIONS; do
		tools/install-postgres.sh "$version" "build/pg/$version"
		[ "${TEST_PITR_BUILD:-1}" = 0 ] || tools/install-extension.sh "$version"
	done
}

build() {
	[ "${TEST_PITR_BUILD:-1}" != 0 ] || return 0
	make -s -j"$(nproc)" "$@" all unit test-tools || complain "the build failed" "see the compiler's messages above"
}

is_full=0
if [ "${1:-}" = --full ]; then
	is_full=1
	export TEST_PITR_FULL=1 TEST_PITR_SECONDS_MAX=${TEST_PITR_SECONDS_MAX:-10800}
	shift
fi

mkdir -p build
install_servers &
servers=$!
trap 'wait' EXIT
build
sanitized=1
if [ $# -gt 0 ]; then
	sanitized=${TEST_PITR_SANITIZE:-0}
elif [ "${TEST_PITR_SANITIZE:-1}" = 0 ]; then
	sanitized=0
fi
[ "$sanitized" = 0 ] || build SANITIZE=1
wait $servers || complain "a PostgreSQL version to test, or the extension in it, is missing" \
	"see above; the tests do not run without it"

# --- where the tests work ---

work=$(mktemp -d "${TMPDIR:-/tmp}/pitr-check.XXXXXX")
mkdir "$work"/{tests,tmp,sanitized,ports}
chmod 755 "$work"
! is_root || chown -R "$server_user" "$work"

# A server outlives a test that was killed. Only those whose directory is here are ours.
# shellcheck disable=SC2317 # called by the trap
stop_servers() {
	local file pid
	while IFS= read -r file; do
		pid=$(head -n 1 "$file")
		if [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(dirname "$file")" ]; then
			kill -QUIT "$pid" 2>/dev/null || true
		fi
	done < <(find "$work/tests" -name postmaster.pid 2>/dev/null)
}

keep_logs() {
	rm -rf build/test-logs
	mkdir -p build/test-logs
	find "$work/tests" -path '*/tmp_check/log/*' -type f -exec sh -c '
		for file; do
			name=${file#'"$work"'/tests/}
			tail -c 2000000 "$file" >"build/test-logs/$(echo "$name" | sed "s,/tmp_check/log,,; s,/,-,g")"
		done' sh {} +
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	stop_servers
	[ -n "${PG_TEST_NOCLEAN:-}" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- what runs ---

# The same test on the sanitizer build: a file of its own for prove that only names the other programs.
sanitized_test() {
	local wrapper
	wrapper=$work/sanitized/$(basename "$1")
	cat >"$wrapper" <<-END
		#!/usr/bin/perl
		\$ENV{TEST_PITR_BIN} = '$tree/build/sanitize/bin';
		\$ENV{TEST_PITR_SANITIZE} = 1;
		exec '$(command -v perl)', '-I$tree/t/lib', '$tree/$1' or die "could not start perl: \$!\n";
	END
	chmod 755 "$wrapper"
	echo "$wrapper"
}

unit_tests() {
	local directory=$1 source
	for source in t/unit/*.c; do
		echo "$directory/unit/$(basename "$source" .c)"
	done
}

tests=()
if [ $# -gt 0 ]; then
	for file in "$@"; do
		if [ "$sanitized" != 0 ] && [ "${file##*.}" = pl ]; then
			tests+=("$(sanitized_test "$file")")
		else
			tests+=("$file")
		fi
	done
else
	mapfile -t tests < <(unit_tests build)
	tests+=(t/*.pl)
	if [ "$sanitized" != 0 ]; then
		mapfile -t -O ${#tests[@]} tests < <(unit_tests build/sanitize)
		for file in t/*.pl; do
			if [ $is_full -eq 1 ] || head -n 15 "$file" | grep -q '^# sanitizer: yes'; then
				tests+=("$(sanitized_test "$file")")
			fi
		done
	fi
fi
chmod -R a+rX build 2>/dev/null || true

# Exit status 201: a sanitizer's finding must never look like "not in the archive" (1) to a recovering server.
export ASAN_OPTIONS=exitcode=201:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:exitcode=201:print_stacktrace=1
export LSAN_OPTIONS=exitcode=201
export TEST_PITR_DIRECTORY=$work/tests TEST_PITR_BIN=${TEST_PITR_BIN:-$tree/build/bin} PG_TEST_PORT_DIR=$work/ports
export HOME=$work TMPDIR=$work/tmp LC_ALL=C.UTF-8
unset PITR_CONFIG PGHOST PGPORT PGDATABASE PGUSER PGDATA MAKEFLAGS MAKELEVEL MFLAGS

echo "running ${#tests[@]} test files on PostgreSQL $TEST_PITR_VERSIONS; logs of failed ones will be in build/test-logs"
status=0
as_server_user prove --jobs "$jobs" --timer -I t/lib "${tests[@]}" </dev/null || status=$?
[ $status -eq 0 ] || keep_logs
exit $status
