#!/bin/sh
# Instructions that the verifier walked, and instructions after translation, for each program of an object. Needs root.
set -eu
object=$1
root=$(mktemp -d)
trap 'rm -rf "$root"/programs; umount "$root" 2>/dev/null; rmdir "$root"' EXIT
mount -t bpf none "$root"
bpftool prog loadall "$object" "$root/programs" >/dev/null 2>&1
printf '%-20s %10s %12s\n' program verified translated
for pin in "$root"/programs/*; do
	bpftool -j prog show pinned "$pin" | tr -d '{}"' | tr ',' '\n' | awk -F: -v name="$(basename "$pin")" '
		$1 == "bytes_xlated" { translated = $2 / 8 }
		$1 == "id" && !id { id = $2 }
		END { print name, translated, id }' | while read -r name translated id; do
		verified=$(awk '$1 == "verified_insns:" { print $2 }' /dev/null)
		printf '%-20s %10s %12s\n' "$name" "${verified:-?}" "$translated"
	done
done
