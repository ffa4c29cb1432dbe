#!/bin/bash
# Puts the programs of one package of another Debian release into a directory, where they run beside this machine's own.
#
#   tools/unpack-package.sh PACKAGE RELEASE DIRECTORY PROGRAMS        PROGRAMS: a directory or file below DIRECTORY
#
# Unpacks the package and what it depends on without running a maintainer script, and points the programs at the C
# library that came with them; they then run without a chroot, with this machine's shell and with our programs. Nothing
# outside DIRECTORY changes. A DIRECTORY that is already complete is left as it is.
#
# The mirror is the one this machine's apt uses for its own release.
set -euo pipefail

complain() {
	printf '%s: error: %s\n' "${0##*/}" "$1" >&2
	[ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

# The address apt has for the machine's own release, without its update and security pockets.
mirror_of_machine() {
	local codename
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	apt-get indextargets --format "\$(IDENTIFIER) \$(RELEASE) \$(REPO_URI)" |
		awk -v codename="$codename" '$1 == "Packages" && $2 == codename { print $3; exit }'
}

[ $# -eq 4 ] || complain "four arguments are needed: PACKAGE RELEASE DIRECTORY PROGRAMS"
package=$1
release=$2
mkdir -p "$3"
directory=$(cd "$3" && pwd -P)
marker=$directory/.complete
bin=$directory/$4

# The path is part of the programs, so a tree that was moved or copied is not complete.
[ "$(cat "$marker" 2>/dev/null)" != "$package $directory" ] || exit 0

for program in mmdebstrap patchelf; do
	command -v $program >/dev/null || complain "the program \"$program\" is missing" "run: make packages"
done
mirror=$(mirror_of_machine)
[ -n "$mirror" ] || complain "no Debian mirror is configured" "add the release's main archive to /etc/apt/sources.list"

# Two calls at once would unpack over one another.
exec 9>"$directory.lock"
flock 9
[ "$(cat "$marker" 2>/dev/null)" != "$package $directory" ] || exit 0

echo "installing $package of Debian $release from $mirror into $directory"
rm -rf "$directory"
mkdir -p "$directory"
log=$directory.log

# LLVM is 160 MB that no test uses (jit falls back to the interpreter); the others are read by nobody here.
excluded=()
for path in 'libLLVM*' 'libz3*' '*/bitcode/*' '*/llvmjit*' '/usr/share/doc/*' '/usr/share/man/*' \
	'/usr/share/locale/*' '/usr/share/zoneinfo/*' '/usr/lib/*/perl*' '/usr/share/perl/*' \
	'/usr/lib/*/gconv/*' '/var/cache/*'; do
	excluded+=(--dpkgopt="path-exclude=*$path")
done
# Testing's index is signed for a week only, and a mirror may be frozen at some day.
mmdebstrap --variant=extract --mode="$([ "$(id -u)" -eq 0 ] && echo root || echo auto)" \
	--aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
	--aptopt='APT::Install-Recommends "false"' "${excluded[@]}" \
	--include="$package" "$release" "$directory" "$mirror" >"$log" 2>&1 || {
	tail -n 15 "$log" >&2
	complain "could not unpack $package of Debian $release from $mirror" "the whole log is in \"$log\""
}
[ -e "$bin" ] || complain "the packages of $package hold no \"$bin\"" "see \"$log\""

# The C library of a merged /usr lies among the others. Bullseye's does not, and is older than this machine's: there the
# programs take this machine's C library, and from DIRECTORY what they link besides.
libraries=$directory/usr/lib/$(gcc -print-multiarch)
interpreter=
if [ -e "$libraries/libc.so.6" ]; then
	interpreter=$(find "$directory/usr/lib64" "$directory/usr/lib" -maxdepth 2 -name 'ld-linux*.so.*' -print -quit 2>/dev/null || true)
fi
while IFS= read -r program; do
	patchelf ${interpreter:+--set-interpreter "$interpreter"} --force-rpath \
		--set-rpath "$libraries" "$program" 2>>"$log" ||
		[ "$(head -c 2 "$program")" = '#!' ] || complain "could not patch \"$program\"" "see \"$log\""
done < <(find "$bin" -maxdepth 1 \( -type f -o -type l \))

rm -rf "${directory:?}/var"
chmod -R a+rX "$directory"
echo "$package $directory" >"$marker"
