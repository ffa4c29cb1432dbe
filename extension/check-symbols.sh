#!/bin/bash
# Whether the server can load a library of ours: everything that it leaves to others is the server's, or that of a library
# which it names.
#
#   check-symbols.sh LIBRARY PG_CONFIG
#
# PostgreSQL would say so when the library is loaded; the build says it earlier. Without the server's program (only its
# headers are needed to build) there is nothing to compare with.
set -euo pipefail

library=$1
server=$("$2" --bindir)/postgres
status=0

# Symbols of shared libraries carry a version.
left_to_server() { nm -D --undefined-only "$library" | awk '$1 == "U" && $2 !~ /@/ { print $2 }' | sort; }

if [ -r "$server" ]; then
	missing=$(comm -23 <(left_to_server) <(nm -D --defined-only "$server" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort))
	if [ -n "$missing" ]; then
		echo "$library: defined neither here nor by the server: ${missing//$'\n'/ }" >&2
		echo 'hint: a file of lib/ must be in extension/pure.mk, and may need nothing that is not' >&2
		status=1
	fi
fi

# The dynamic linker would take the server's function of that name, not Jansson's. (Within Jansson the calls are bound
# when it is linked, with -Bsymbolic-functions.)
if nm -D --undefined-only "$library" | grep -qw json_object; then
	echo "$library: json_object() must not be called here: the server has a function of that name" >&2
	status=1
fi
exit $status
