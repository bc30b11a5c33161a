#!/usr/bin/env bash
# Makes hosts out of namespaces of this machine: a head, workers, and the network they share. Each
# has an address, processes, a name, a home, a /dev/shm, a /tmp/ray and an SSH server of its own;
# all see this machine's other files, as hosts see a file server. Nothing leads out of the network.
# The namespace gseg-hub, at 10.77.0.254, stands for the user's computer.
#   LAB=FOLDER VENV=FOLDER examples/hosts/up.sh WORKERS     needs root, openssh-server, iproute2
set -euo pipefail
: "${LAB:?an empty folder for homes, keys and logs}" "${VENV:?the virtual environment with gseg}"
workers=${1:?number of workers}
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$LAB" /run/sshd
for key in user host; do ssh-keygen -q -t ed25519 -N '' -f "$LAB/$key-key"; done
cp "$LAB/user-key.pub" "$LAB/authorized_keys"

ip netns add gseg-hub
ip -n gseg-hub link set lo up
ip -n gseg-hub link add bridge type bridge
ip -n gseg-hub address add 10.77.0.254/24 dev bridge
ip -n gseg-hub link set bridge up

for number in $(seq 1 $((workers + 1))); do
    name=gseg-host-$number
    mkdir -p "$LAB/$name/home"
    ip netns add "$name"
    ip -n "$name" link set lo up
    ip -n gseg-hub link add "to-$number" type veth peer name eth0 netns "$name"
    ip -n gseg-hub link set "to-$number" master bridge up
    ip -n "$name" address add "10.77.0.$number/24" dev eth0
    ip -n "$name" link set eth0 up
    LAB=$LAB VENV=$VENV ip netns exec "$name" unshare --pid --mount --uts --ipc --fork \
        --kill-child --mount-proc "$here/host.sh" "$name" > "$LAB/$name/sshd.log" 2>&1 &
    echo $! > "$LAB/$name/pid"
done
for number in $(seq 1 $((workers + 1))); do
    until ip netns exec gseg-hub bash -c ": < /dev/tcp/10.77.0.$number/22" 2> /dev/null; do sleep 0.2; done
done
