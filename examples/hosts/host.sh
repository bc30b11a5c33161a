#!/usr/bin/env bash
# Runs as the first process of a host: sets up what the host has of its own, becomes its SSH server.
# When it ends, every process of the host ends. Started by up.sh.
set -euo pipefail
name=$1
hostname "$name"
mount --make-rprivate /
mount -t tmpfs tmpfs /dev/shm
mkdir -p /tmp/ray
mount -t tmpfs tmpfs /tmp/ray
# The interpreter may lie in the home that is about to be covered: keep it where it is.
python=$(dirname "$(dirname "$(readlink -f "$VENV/bin/python")")")
home=$LAB/$name/home
case $python in
"$HOME"/*)
    mkdir -p "$home/${python#"$HOME"/}"
    mount --bind "$python" "$home/${python#"$HOME"/}"
    ;;
esac
ln -sfn "$VENV" "$home/venv"
mount --rbind "$home" "$HOME"
exec /usr/sbin/sshd -D -e -f /dev/null -h "$LAB/host-key" -o AuthorizedKeysFile="$LAB/authorized_keys" \
    -o StrictModes=no -o PermitRootLogin=yes -o PasswordAuthentication=no -o UsePAM=no \
    -o PidFile=none -o MaxStartups=50:30:100
