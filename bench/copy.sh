#!/bin/bash
# The least a restore can be: a copy of the directory, made durable.    bench/copy.sh SOURCE TARGET
set -euo pipefail

cp -a "$1/." "$2"
sync -f "$2"
