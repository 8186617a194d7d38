#!/bin/sh
# SPDX-License-Identifier: MIT
# One instance sends its machine to another one; both must succeed.
set -eu
folder=$(mktemp -d)
[ ${#folder} -lt 90 ] || folder=$(mktemp -d -p /tmp) # paths of sockets must be short
trap 'rm -rf "$folder"' EXIT
"$1" recv "unix:$folder/m.sock" >"$folder/recv" &
waiting=$!
# A socket's path exists before the socket listens.
until grep -q " 00010000 .* $folder/m.sock\$" /proc/net/unix; do kill -0 $waiting; sleep 0.02; done
"$1" send "unix:$folder/m.sock" >"$folder/send"
wait $waiting
cat "$folder/send" "$folder/recv"
grep -q 'sent; the machine runs there' "$folder/send"
grep -q ' 0 wrong, uart says hello' "$folder/recv"
echo "1 passed, 0 failed"
