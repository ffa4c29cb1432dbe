#!/bin/bash
# Puts the programs of one package of another Debian release into a directory, where they run beside this machine's own.
#
#   tools/unpack-package.sh PACKAGE RELEASE DIRECTORY PROGRAMS [ALONE...]
#
# PROGRAMS: directories and files below DIRECTORY, separated by spaces. ALONE: packages that are unpacked besides without
# what they depend on, such as headers; they are added to a DIRECTORY that was complete without them.
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

[ $# -ge 4 ] || complain "four arguments are needed: PACKAGE RELEASE DIRECTORY PROGRAMS [ALONE...]"
package=$1
release=$2
mkdir -p "$3"
directory=$(cd "$3" && pwd -P)
read -ra programs <<<"$4"
shift 4
alone=("$@")
marker=$directory/.complete
log=$directory.log

# The path is part of the programs, so a tree that was moved or copied is not complete.
has_package() { [ "$(cat "$marker" 2>/dev/null)" = "$package $directory" ]; }

missing_alone() {
	local name
	for name in "${alone[@]}"; do
		[ -e "$marker-$name" ] || echo "$name"
	done
}

is_complete() { has_package && [ -z "$(missing_alone)" ]; }

! is_complete || exit 0

for program in mmdebstrap patchelf; do
	command -v $program >/dev/null || complain "the program \"$program\" is missing" "run: make packages"
done
mirror=$(mirror_of_machine)
[ -n "$mirror" ] || complain "no Debian mirror is configured" "add the release's main archive to /etc/apt/sources.list"

# Two calls at once would unpack over one another.
exec 9>"$directory.lock"
flock 9
! is_complete || exit 0

# Testing's index is signed for a week only, and a mirror may be frozen at some day.
apt_options=('Acquire::Check-Valid-Until "false"' 'Acquire::Retries "3"')

unpack_package() {
	local excluded=() path
	rm -rf "$directory"
	mkdir -p "$directory"
	# LLVM is 160 MB that no test uses (jit falls back to the interpreter); the others are read by nobody here.
	for path in 'libLLVM*' 'libz3*' '*/bitcode/*' '*/llvmjit*' '/usr/share/doc/*' '/usr/share/man/*' \
		'/usr/share/locale/*' '/usr/share/zoneinfo/*' '/usr/lib/*/perl*' '/usr/share/perl/*' \
		'/usr/lib/*/gconv/*' '/var/cache/*'; do
		excluded+=(--dpkgopt="path-exclude=*$path")
	done
	mmdebstrap --variant=extract --mode="$([ "$(id -u)" -eq 0 ] && echo root || echo auto)" \
		"${apt_options[@]/#/--aptopt=}" --aptopt='APT::Install-Recommends "false"' "${excluded[@]}" \
		--include="$package" "$release" "$directory" "$mirror" >"$log" 2>&1 || {
		tail -n 15 "$log" >&2
		complain "could not unpack $package of Debian $release from $mirror" "the whole log is in \"$log\""
	}
}

# With package lists and a cache of its own; those of this machine stay as they are.
unpack_alone() {
	local apt
	apt=$(mktemp -d "$directory.apt.XXXXXX")
	mkdir -p "$apt"/lists/partial "$apt"/archives/partial
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$apt/sources.list"
	printf '%s;\n' "${apt_options[@]}" 'Acquire::Languages "none"' 'APT::Sandbox::User "root"' \
		"Dir::Etc::SourceList \"$apt/sources.list\"" 'Dir::Etc::SourceParts "/dev/null"' \
		'Dir::Etc::Preferences "/dev/null"' 'Dir::Etc::PreferencesParts "/dev/null"' \
		"Dir::State \"$apt\"" "Dir::State::Status \"/dev/null\"" "Dir::Cache \"$apt\"" >"$apt/apt.conf"
	(
		cd "$apt"
		export APT_CONFIG=$apt/apt.conf
		apt-get -q update && apt-get -q download "$@"
	) >>"$log" 2>&1 || {
		tail -n 15 "$log" >&2
		rm -rf "$apt"
		complain "could not download $* of Debian $release from $mirror" "the whole log is in \"$log\""
	}
	local package_file
	for package_file in "$apt"/*.deb; do
		dpkg-deb -x "$package_file" "$directory" || complain "could not unpack \"$package_file\""
	done
	rm -rf "$apt"
}

# The C library of a merged /usr lies among the others. Bullseye's does not, and is older than this machine's: there the
# programs take this machine's C library, and from DIRECTORY what they link besides.
point_programs() {
	local libraries interpreter='' program
	libraries=$directory/usr/lib/$(gcc -print-multiarch)
	if [ -e "$libraries/libc.so.6" ]; then
		interpreter=$(find "$directory/usr/lib64" "$directory/usr/lib" -maxdepth 2 -name 'ld-linux*.so.*' -print -quit 2>/dev/null || true)
	fi
	while IFS= read -r program; do
		# One that may be running already is left alone.
		[ "$(patchelf --print-rpath "$program" 2>/dev/null)" != "$libraries" ] || continue
		patchelf ${interpreter:+--set-interpreter "$interpreter"} --force-rpath \
			--set-rpath "$libraries" "$program" 2>>"$log" ||
			[ "$(head -c 2 "$program")" = '#!' ] || complain "could not patch \"$program\"" "see \"$log\""
	done < <(find "${programs[@]/#/$directory/}" -maxdepth 1 \( -type f -o -type l \))
}

if ! has_package; then
	echo "installing $package of Debian $release from $mirror into $directory"
	unpack_package
fi
mapfile -t missing < <(missing_alone)
if [ ${#missing[@]} -gt 0 ]; then
	echo "adding ${missing[*]} of Debian $release from $mirror to $directory"
	unpack_alone "${missing[@]}"
fi
for path in "${programs[@]}"; do
	[ -e "$directory/$path" ] || complain "the packages of $package hold no \"$path\"" "see \"$log\""
done
point_programs
rm -rf "${directory:?}/var"
chmod -R a+rX "$directory"
for name in "${alone[@]}"; do
	touch "$marker-$name"
done
echo "$package $directory" >"$marker"
