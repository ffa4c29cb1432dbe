#!/bin/bash
# Holds every #include of our own against the drawing in docs/architecture.md:
#
#   commands -> repo -> pg, codec, storage, config (siblings: none knows another) -> base
#   within restore: restore -> recovery -> plan -> files
#   extension -> the files of lib/ that extension/pure.mk names, nothing else
#
# and refuses headers that include one another in a circle.    tools/lint-layers.sh [TREE]
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

commands='archive_command restore_command basebackup restore catalog'
pure=$(sed -n 's/^PURE *:= *//p' extension/pure.mk 2>/dev/null || true)

# file:line:header of each #include "...".
includes() {
	local command folders=()
	for command in $commands extension; do
		[ ! -d "$command" ] || folders+=("$command")
	done
	grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' lib "${folders[@]}" --include='*.[ch]' |
		sed -E 's/^([^:]+):([0-9]+):[^"]*"([^"]+)".*/\1:\2:\3/' | ours
}

# Headers that are not of this tree (PostgreSQL's, in quotes) are the business of lint-doors.pl.
ours() {
	local path line header
	while IFS=: read -r path line header; do
		if [ -e "lib/$header" ] || [ -e "${path%/*}/$header" ] || [ -e "${path%%/*}/$header" ]; then
			echo "$path:$line:$header"
		fi
	done
}

status=0
includes | awk -F: -v commands="$commands" -v pure="$pure" '
BEGIN {
	may["base"] = " base "
	may["pg"] = " base pg "
	may["codec"] = " base codec "
	may["storage"] = " base storage "
	may["config"] = " base config "
	may["repo"] = " base pg codec storage config repo "
	count = split(commands, command, " ")
	for (i = 1; i <= count; i++)
		may[command[i]] = may["repo"] "own "
	count = split(pure, file, " ")
	for (i = 1; i <= count; i++)
		is_pure[file[i] ".h"] = 1
	may["restore/files"] = may["repo"] "files "
	may["restore/plan"] = may["restore/files"] "plan "
	may["restore/recovery"] = may["restore/plan"] "recovery "
	may["restore"] = may["restore/recovery"] "own "
}
{
	count = split($1, path, "/")
	layer = path[1] == "lib" ? path[2] : count > 2 ? path[1] "/" path[2] : path[1]
	target = index($3, "/") ? substr($3, 1, index($3, "/") - 1) : "own"
	if (path[1] == "extension") {
		if (target != "own" && !($3 in is_pure)) {
			printf "%s:%s: \"%s\" may not be included in a server process; extension/pure.mk lists what may\n", $1, $2, $3
			bad = 1
		}
	} else if (!(layer in may)) {
		printf "%s:%s: folder \"%s\" is not in the drawing\n", $1, $2, layer
		bad = 1
	} else if (index(may[layer], " " target " ") == 0) {
		printf "%s:%s: \"%s\" may not include \"%s\"; it may include:%s\n", $1, $2, layer, $3, may[layer]
		bad = 1
	}
}
END { exit bad }' >&2 || status=1

circle=$(includes | awk -F: '$1 ~ /\.h$/ { sub(/^(lib|restore|extension\/[^\/]*)\//, "", $1); print $1, $3 }' | tsort 2>&1 >/dev/null) || {
	printf 'headers that include one another:\n%s\n' "$circle" >&2
	status=1
}
exit $status
