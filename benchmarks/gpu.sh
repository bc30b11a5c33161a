#!/usr/bin/env bash
# What a GPU computes, and how fast: one JSON, one table and one archive of logs in results/gpu.
#
#   benchmarks/gpu.sh [--out DIR] [--shared DIR] [--parts NAME ...]   one GPU, at most eight minutes
#   benchmarks/gpu.sh --cpu-rehearsal                                 the same in small on the CPU
#   benchmarks/gpu.sh --prepare [VERSION]                             fetch wheels for that Python, 3.12
#
# It runs from the checkout with the Python in $PYTHON (else python3). What a machine without a
# package index lacks travels in .wheels/VERSION, see benchmarks/gpu/wheels.txt: --prepare fills it,
# and where it holds wheels for this Python they are installed into a temporary folder.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
limit=20000000

if [ "${1:-}" = --prepare ]; then
    version=${2:-3.12}
    wheels=$root/.wheels/$version
    binary=(--implementation cp --platform manylinux2014_x86_64)
    for libc in 2_34 2_28 2_27 2_26 2_24 2_17 2_12 2_5; do
        binary+=(--platform "manylinux_${libc}_x86_64")
    done
    pure=(--implementation py --abi none --platform any)
    list=$root/benchmarks/gpu/wheels.txt
    fetch() {
        "$python" -m pip download -q --no-deps --only-binary=:all: --python-version "$version" \
            -d "$wheels" -c "$root/constraints.txt" "$@"
    }
    rm -rf "$wheels"
    fetch "${pure[@]}" -r <(sed -n 's/ *# pure$//p' "$list")
    fetch "${binary[@]}" -r <(grep -v '# pure$' "$list")
    # Descriptions of every service of AWS, 15 MB, which an import of boto3 does not need.
    "$python" - "$wheels" <<'PY'
import sys, zipfile
from pathlib import Path

[wheel] = Path(sys.argv[1]).glob("botocore-*.whl")
whole = wheel.rename(wheel.with_suffix(".whole"))
with zipfile.ZipFile(whole) as given, zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as kept:
    for item in given.infolist():
        if not item.filename.startswith("botocore/data/"):
            kept.writestr(item, given.read(item))
whole.unlink()
PY
    size=$(cat "$wheels"/*.whl | wc -c)
    echo "$(ls "$wheels" | wc -l) wheels for Python $version: $size bytes of $limit"
    [ "$size" -le "$limit" ]
    exit
fi

wheels=$root/.wheels/$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
export PYTHONPATH=$root PYTHONUNBUFFERED=1
if compgen -G "$wheels/*.whl" > /dev/null; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target "$packages" "$wheels"/*.whl
    PYTHONPATH=$root:$packages
fi
"$python" -m benchmarks.gpu "$@"
