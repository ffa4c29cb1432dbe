#!/bin/bash
# What the measurements were made on and with.    bench/machine.sh
set -euo pipefail

version() { "$@" 2>&1 | head -n 1; }

awk -F': ' '/^model name/ { name = $2; cores++ } END { printf "machine      %s, %d cores", name, cores }' /proc/cpuinfo
awk '/^MemTotal/ { printf ", %.0f GB\n", $2 / 1048576 }' /proc/meminfo
# shellcheck source=/dev/null
printf 'system       %s, Linux %s\n' "$(. /etc/os-release && echo "$PRETTY_NAME")" "$(uname -r)"
printf 'programs     %s; %s; %s\n' "$(version pitr-archive --version)" "$(version pgbackrest version)" "$(version postgres --version)"
printf 'servers      %s; ceph %s\n' "$(version nginx -v)" "$(dpkg-query -W -f '${Version}' radosgw 2>/dev/null || echo none)"
printf 'when         %s\n\n' "$(date -u '+%Y-%m-%d %H:%M UTC')"
