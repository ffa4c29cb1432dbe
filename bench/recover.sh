#!/bin/bash
# Starts a server that recovers, and ends it as soon as it has replayed all there is.    bench/recover.sh DATA-DIRECTORY LOG
set -euo pipefail

postgres -D "$1" >"$2" 2>&1 &
server=$!
until grep -qE 'redo done at|redo is not required' "$2"; do
	kill -0 $server 2>/dev/null || exit 1
	sleep 0.02
done
kill -QUIT $server
wait $server || true
grep -q 'redo done at' "$2"
