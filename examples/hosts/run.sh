#!/usr/bin/env bash
# The whole story on one machine: three hosts made of namespaces, `ray up`, a sweep on two workers,
# one of them lost in the middle, `ray down`; then the same sweep undisturbed, and both compared.
# Takes about four minutes on two cores. Needs root, openssh-server, rsync, iproute2 and an
# environment with the test packages (moto plays the object store):
#   VENV=$PWD/.venv examples/hosts/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${VENV:?the virtual environment with gseg}"
hosts=examples/hosts
scratch=$(mktemp -d /tmp/gseg-hosts.XXXX)
export LAB=$scratch/lab VENV PATH="$VENV/bin:$PATH" PYTHONPATH=$PWD OMP_NUM_THREADS=1
sweep=(sweeps/all_gans.py --preset smoke --plain --benchmark scenes:40
    --generators acgan.scenes32 ggan.scenes32 sngan.scenes32 --epsilon 1 2 --data-size 60 200)

finish() {
    "$hosts/down.sh"
    [ -z "${moto:-}" ] || kill "$moto" 2> /dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT
say() { printf '\n[%3d s] %s\n' "$SECONDS" "$*"; }
on_hub() { "$hosts/hub.sh" "$@" < /dev/null; }
# Without what `ray exec` says of itself.
on_head() {
    on_hub ray exec "$scratch/cluster.yaml" "$1" 2> /dev/null \
        | sed -u -e 's/\r//g' -e '/^20[-0-9]* [:0-9,]*\t/d'
}
nodes() { on_head "ray status" | sed -n -e '/^Active:/,/^Res/{/^[^R-]/p}' -e '/ CPU$/p'; }

say "three hosts: a head and two workers"
"$hosts/up.sh" 2
python "$hosts/cluster_file.py" "$LAB" 2 > "$scratch/cluster.yaml"
"$hosts/hub.sh" python -m moto.server -H 10.77.0.254 -p 5000 < /dev/null > "$scratch/s3.log" 2>&1 &
moto=$!
on_hub ray get-auth-token --generate > /dev/null 2>&1

say "ray up cluster.yaml"
on_hub ray up --yes --no-config-cache "$scratch/cluster.yaml" > "$scratch/up.log" 2>&1 \
    || { cat "$scratch/up.log"; exit 1; }
until [[ $(on_head "ray status") == *"/2.0 CPU"* ]]; do sleep 2; done
nodes
on_head "python -c 'import boto3; boto3.client(\"s3\").create_bucket(Bucket=\"lab\")'"

say "ray exec cluster.yaml '... ${sweep[*]:0:3} ... --address auto --storage s3://lab/storage'"
on_head "cd ~/gseg && python ${sweep[*]} --address auto --storage s3://lab/storage | cat" \
    > "$scratch/sweep.log" &
running=$!
until grep -q '^\[3/' "$scratch/sweep.log"; do
    kill -0 $running 2> /dev/null || { cat "$scratch/sweep.log"; exit 1; }
    sleep 0.2
done
say "three trials are done: the host of a worker is lost"
kill -9 "$(cat "$LAB/gseg-host-3/pid")"
ip -n gseg-hub link delete to-3
wait $running
say "the sweep has ended; what it printed:"
cat "$scratch/sweep.log"
nodes

say "ray rsync-down cluster.yaml, ray down cluster.yaml"
on_hub ray rsync-down "$scratch/cluster.yaml" '~/gseg/results/' "$scratch/results/" > /dev/null 2>&1
on_hub timeout 60 ray down --yes "$scratch/cluster.yaml" > "$scratch/down.log" 2>&1 || cat "$scratch/down.log"

say "the same sweep, on this machine alone and undisturbed"
python "${sweep[@]}" --cpus 2 --storage "$scratch/storage" --results "$scratch/undisturbed" > /dev/null
python "$hosts/compare.py" "$scratch/results/all_gans" "$scratch/undisturbed/all_gans"
say "done"
