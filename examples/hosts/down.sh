#!/usr/bin/env bash
# Ends the hosts that up.sh made, and every process on them.   LAB=FOLDER examples/hosts/down.sh
set -uo pipefail
: "${LAB:?the folder that up.sh was given}"
for file in "$LAB"/gseg-host-*/pid; do
    [ -f "$file" ] && kill -9 "$(cat "$file")" 2> /dev/null
done
sleep 0.5
for name in $(ip netns list | awk '/^gseg-(hub|host-[0-9]+)/ {print $1}'); do
    ip netns delete "$name"
done
