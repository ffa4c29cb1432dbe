#!/bin/bash
# Installs the Debian 12 packages that are missing for the named purposes, and nothing else.
#
#   tools/install-packages.sh build|demo|check|lint|bench ...
#
# Runs as root or through sudo. Touches neither the network nor the machine when everything is there. The settings of
# this machine stay as they are: no PostgreSQL cluster is created, and no service is started.
set -euo pipefail

complain() {
	printf '%s: error: %s\n' "${0##*/}" "$1" >&2
	[ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
	exit 1
}

packages_for() {
	case $1 in
	build)
		echo gcc libc6-dev make pkg-config libpq-dev postgresql-server-dev-15 libcurl4-openssl-dev libssl-dev \
			liblz4-dev libzstd-dev libjansson-dev libexpat1-dev
		;;
	demo)
		echo postgresql-15 util-linux
		;;
	check)
		# The servers; what starts them; the newer servers; the second reader of the format; S3; promtool, which reads what
		# pitr-check prints; the lint tests.
		echo postgresql-15 util-linux perl libipc-run-perl libjson-perl strace faketime \
			mmdebstrap patchelf debian-archive-keyring tzdata \
			python3 python3-cryptography python3-lz4 zstd \
			ceph-mon ceph-osd radosgw ceph-common openssl prometheus \
			clang clang-format universal-ctags shellcheck
		;;
	lint)
		echo clang clang-format clang-tidy cppcheck shellcheck universal-ctags
		;;
	bench)
		# The servers and what starts them; what pgBackRest is unpacked with; plain programs; plots.
		echo postgresql-15 util-linux perl nginx-light libnginx-mod-http-perl openssl \
			ceph-mon ceph-osd radosgw ceph-common \
			mmdebstrap patchelf debian-archive-keyring curl lz4 gnuplot-nox
		;;
	*)
		complain "unknown purpose \"$1\"" "one of build, demo, check, lint, bench"
		;;
	esac
}

is_installed() {
	dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -- "$@"
	else
		complain "packages are missing: ${missing[*]}" "run this as root, or install sudo"
	fi
}

# Debian starts nginx and Prometheus when they are installed, unless /usr/sbin/policy-rc.d forbids it; it is there only
# meanwhile.
forbid_services() {
	local policy=/usr/sbin/policy-rc.d
	[ ! -e $policy ] || return 0
	printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
	as_root chmod 755 $policy
	# shellcheck disable=SC2064 # the name of now
	trap "as_root rm -f $policy" EXIT
}

apt_install() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
		install -y -qq --no-install-recommends "$@" >&2 || complain "could not install: $*" \
		"see what apt-get says above; \"apt-get update\" needs a Debian 12 archive in /etc/apt/sources.list"
}

# Debian's server package creates and starts a cluster "main" unless createcluster.conf says otherwise. That line is
# there only while the package is being installed, and only where the file is untouched.
install_server() {
	local conf=/etc/postgresql-common/createcluster.conf saved
	is_installed postgresql-common || apt_install postgresql-common
	saved=$(mktemp)
	cp "$conf" "$saved"
	# shellcheck disable=SC2064 # the names of now
	trap "as_root cp '$saved' $conf; rm -f '$saved'" EXIT
	{ cat "$saved" && echo 'create_main_cluster = false'; } | as_root tee "$conf" >/dev/null
	apt_install postgresql-15
	as_root cp "$saved" "$conf"
	rm -f "$saved"
	trap - EXIT
}

[ $# -gt 0 ] || complain "no purpose given" "usage: ${0##*/} build|demo|check|lint|bench ..."
command -v dpkg-query >/dev/null || complain "this machine has no dpkg" "install the libraries that README.md lists by hand"

missing=()
for purpose in "$@"; do
	for package in $(packages_for "$purpose"); do
		is_installed "$package" || [[ " ${missing[*]-} " == *" $package "* ]] || missing+=("$package")
	done
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing ${missing[*]}" >&2
as_root apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update -qq >&2 ||
	complain "could not read the package lists" "missing are: ${missing[*]}"
if [[ " ${missing[*]} " == *" postgresql-15 "* ]]; then
	install_server
fi
if [[ " ${missing[*]} " =~ " nginx-light "|" prometheus " ]]; then
	forbid_services
fi
apt_install "${missing[@]}"
