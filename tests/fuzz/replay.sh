#!/bin/sh
# SPDX-License-Identifier: MIT
# replay.sh PROGRAM SEEDS TARGET REGRESS: runs a fuzz target on its seeds and on what once broke it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$2" "$3" "$folder"
printf '\0' >"$folder/zero"
if [ -d "$4/$3" ]; then "$1" "$4/$3"; fi
"$1" "$folder"
