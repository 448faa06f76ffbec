#!/bin/sh
# Instructions that the verifier walked for each program of an object, and the deepest stack. Functions that are not static are walked
# on their own, within the first program that calls them. Needs root.
set -eu
object=$1
root=$(mktemp -d)
trap 'rm -rf "$root"/programs; umount "$root"; rmdir "$root"' EXIT
mount -t bpf none "$root"
printf '%-20s %10s %8s\n' program verified states
bpftool -d prog loadall "$object" "$root/programs" 2>&1 | awk '
	/^libbpf: prog .*BEGIN PROG LOAD LOG/ { split($0, part, "\047"); name = part[2] }
	/^processed .* insns/ { for (i = 1; i < NF; i++) if ($i == "total_states") states = $(i + 1); printf "%-20s %10d %8d\n", name, $2, states }'
