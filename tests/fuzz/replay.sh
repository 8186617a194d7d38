#!/bin/sh
# SPDX-License-Identifier: MIT
# replay.sh PROGRAM SEEDS TARGET TESTS: runs a fuzz target on what it begins with, on what must come of what (golden/TARGET/accept and
# reject), and on what once broke it (regress/TARGET). A target for which there is nothing fails.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/seeds"
"$2" "$3" "$folder/seeds"
set -- "$1" "$3" "$4"
known=
for d in "$3/golden/$2/accept" "$3/golden/$2/reject" "$3/regress/$2"; do
    if [ -d "$d" ]; then
        "$1" "$d"
        known=yes
    fi
done
if [ -n "$(ls "$folder/seeds")" ]; then
    "$1" "$folder/seeds"
elif [ -z "$known" ]; then
    echo "$2: there is nothing to replay: no seed, nothing in tests/golden/$2 and tests/regress/$2" >&2
    exit 1
fi
printf '\0' >"$folder/zero"
"$1" "$folder/zero"
