#!/usr/bin/env bash
# Runs a command as on the user's computer: on the hosts' network, with a home and a /tmp/ray of its
# own.   LAB=FOLDER examples/hosts/hub.sh COMMAND ...
set -euo pipefail
: "${LAB:?the folder that up.sh was given}"
mkdir -p "$LAB/hub/home" "$LAB/hub/tmp" /tmp/ray
exec ip netns exec gseg-hub unshare --mount bash -c '
    mount --make-rprivate / && mount --bind "$LAB/hub/tmp" /tmp/ray
    HOME=$LAB/hub/home RAY_AUTH_MODE=token RAY_UP_enable_autoscaler_v2=0 exec "$@"' hub "$@"
