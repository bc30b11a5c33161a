"""A storage made by an older version, and what today's commands find in it.

    python benchmarks/kept_storage.py make FOLDER --tree OLDER     # minutes; OLDER: a checkout
    python benchmarks/kept_storage.py check FOLDER

``make`` runs with the older checkout: the smoke form of every recipe, a direction sweep, a search,
a sweep on an object store of this machine, one run killed while it trains, one while it draws, and
one whose batch did not fit into memory. ``check`` runs the same commands with this checkout: what
was finished has to be found (no file of the storage is new, changed or gone), what was killed has
to be taken up and end with the scores of an undisturbed run. Both in FOLDER, which is not moved.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parents[1]
SMOKE = ["--preset", "smoke"]
ONE = ["--generators", "ggan.scenes32"]
RECIPES = """
    all_gans table_1 table_2 table_6 table_7 table_8 table_9 table_10 table_11 table_12 table_13
    table_14 table_15 initialisations strips failure_cases both_papers voynov_table_1
    voynov_table_1_flowers voynov_table_2 voynov_table_3 voynov_table_4 voynov_table_5
    voynov_figure_5 voynov_figures
""".split()  # noqa: SIM905
SEARCH = ["--data-size", "60", "--space", "contrast_weight=log:1:20", "mask_kind=lighter,both"]
COMMANDS: dict[str, list[str]] = {
    **{name: [name, *SMOKE] for name in RECIPES},
    "directions": ["table_9", *SMOKE, *ONE, "--contrast-weight", "2", "5", "--seeds", "0", "1"],
    "kinds": ["all_gans", *SMOKE, *ONE, "--mask-kind", "ensemble", "affine", "affine_each", "mean"],
    "options": [
        *("all_gans", *SMOKE, "--generators", "acgan.scenes32", "--truncation", "0.8"),
        *("--classes", "1", "2", "--batch", "32", "--epsilon", "0.5", "2", "--seeds", "3"),
    ],
    "search": ["search", *SMOKE, *ONE, *SEARCH, "--points", "3"],
}
KILLED = {
    # What is waited for, and how the process is prepared so that the moment comes.
    "training": (["table_2", *SMOKE, *ONE], "segmenter/*/checkpoint.safetensors", "checkpoint"),
    "drawing": (["table_2", *SMOKE, *ONE, "--data-size", "4000"], "samples/*/shard-*1.*", ""),
}
SMALLER = ["table_2", *SMOKE, *ONE, "--data-size", "300"]
OBJECTS = ["table_2", *SMOKE, *ONE, "--storage", "s3://kept/run"]
_SCORES = ["accuracy", "iou", "f_beta", "max_f_beta", "validation_iou", "candidates", "images"]

_SITE = """
import importlib.abc, importlib.util, os, sys

def _jobs(module):
    module.FitJob.__init__.__kwdefaults__["checkpoint_seconds"] = 0.0

def _drawing(module):
    whole = module.draw_shards
    def draw_shards(generator, requests, shard, **rest):
        if requests[0][1].batch > 32:
            raise MemoryError
        return whole(generator, requests, shard, **rest)
    module.draw_shards = draw_shards

class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, wanted):
        self.wanted = wanted
    def find_spec(self, name, path=None, target=None):
        change = self.wanted.pop(name, None)
        if change is None:
            return None
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            change(module)
        spec.loader.exec_module = exec_module
        return spec

_CHANGES = {"checkpoint": {"gseg.jobs": _jobs}, "memory": {"gseg.drawing": _drawing}}
sys.meta_path.insert(0, _Finder(dict(_CHANGES.get(os.environ.get("KEPT_STORAGE", ""), {}))))
"""
"""What an older version's processes are made to do: keep every step, or run out of memory."""


class Runner:
    """Runs commands of a checkout in a folder."""

    def __init__(self, tree: Path, site: Path, objects: str) -> None:
        self.tree = tree
        path = os.pathsep.join([str(site), str(tree)])
        self.environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self.environment |= _object_environment(objects)

    def start(self, folder: Path, words: list[str], prepared: str = "") -> subprocess.Popen[str]:
        """Start a command; its storage and results are in the folder unless it names others."""
        name, *rest = words
        script = self.tree / "sweeps" / f"{name}.py"
        if script.exists() and not script.with_name("paper.py").exists():  # an older version's
            rest = ["--grid" if word == "--preset" else word for word in rest]
        elif not script.exists():
            script, rest = script.with_name("paper.py"), words
        program = [sys.executable, str(script), *rest]
        if name not in ("table_9", "initialisations", "strips", "voynov_figures"):
            program += ["--cpus", "2"]
        return subprocess.Popen(
            [*program, "--plain"],
            cwd=folder,
            env=self.environment | {"KEPT_STORAGE": prepared},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, folder: Path, words: list[str], prepared: str = "") -> str:
        """Run a command to its end; give what it printed."""
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        process = self.start(folder, words, prepared)
        output, _ = process.communicate()
        print(f"  {time.monotonic() - started:6.1f} s  {' '.join(words)}", flush=True)
        if process.returncode != 0:
            raise SystemExit(f"{words} ended with {process.returncode}:\n{output}")
        return output

    def kill(self, folder: Path, words: list[str], pattern: str, prepared: str) -> None:
        """Start a command, and kill it and all that it started once a file is there."""
        folder.mkdir(parents=True)
        process = self.start(folder, words, prepared)
        while not any((folder / "storage").glob(pattern)):
            if process.poll() is not None:
                raise SystemExit(f"{words} ended before it could be killed")
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        subprocess.run(["pkill", "-KILL", "-f", "ray::|raylet|gcs_server"], check=False)
        time.sleep(2)


def _object_environment(address: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextmanager
def object_store(kept: Path) -> Iterator[str]:
    """Serve an object store of this machine; a folder holds its objects before and after."""
    import boto3
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    os.environ.update(_object_environment(address))
    client = boto3.client("s3")
    client.create_bucket(Bucket="kept")
    for path in sorted(kept.rglob("*")):
        if path.is_file():
            client.put_object(
                Bucket="kept", Key=str(path.relative_to(kept)), Body=path.read_bytes()
            )
    try:
        yield address
        shutil.rmtree(kept, ignore_errors=True)
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="kept"):
            for each in page.get("Contents", []):
                place = kept / each["Key"]
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(client.get_object(Bucket="kept", Key=each["Key"])["Body"].read())
    finally:
        running.stop()


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """List a folder's files with sizes and times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found


def scores(results: Path) -> pd.DataFrame:
    """Read the scores of a results folder, without what depends on the clock."""
    key = ["benchmark", "metric_profile", "method", "generator", "data_size", "experiment"]
    return pd.read_parquet(results).set_index(key)[_SCORES].sort_index()


def make(folder: Path, runner: Runner) -> None:
    """Make everything with an older version."""
    for words in COMMANDS.values():
        runner.run(folder, words)
    for name, (words, pattern, prepared) in KILLED.items():
        runner.run(folder / f"{name}_whole", words)
        runner.kill(folder / f"{name}_killed", words, pattern, prepared)
    runner.run(folder / "smaller", SMALLER, "memory")
    runner.run(folder / "objects", OBJECTS)


def check(folder: Path, runner: Runner) -> list[str]:
    """Run the same commands with this version; say what is not as it should be."""
    wrong = [line for words in COMMANDS.values() for line in found_whole(folder, words, runner)]
    wrong += found_whole(folder / "smaller", SMALLER, runner)
    if not list((folder / "smaller" / "storage").glob("samples/*/smaller_batch.json")):
        wrong.append("smaller: nothing was drawn in a smaller batch")
    output = runner.run(folder / "objects", OBJECTS)
    if "1 trials, 1 of them finished" not in output:
        wrong.append(f"objects: {output.splitlines()[:1]}")
    for name in KILLED:
        wrong += taken_up(folder, name, runner)
    return wrong


def found_whole(place: Path, words: list[str], runner: Runner) -> list[str]:
    """Run a command that has finished before."""
    before = contents(place / "storage")
    output = runner.run(place, words)
    after = contents(place / "storage")
    wrong = []
    if before != after:
        changed = {name for name, _ in set(before.items()) ^ set(after.items())}
        wrong.append(f"{words}: {len(changed)} files changed: {sorted(changed)[:5]}")
    for pattern in (r"(\d+) trials, (\d+) of them finished", r"(\d+) points, (\d+) known"):
        told = re.search(pattern, output)
        if told and told[1] != told[2]:
            wrong.append(f"{words}: {told[0]}")
    return wrong


def taken_up(folder: Path, name: str, runner: Runner) -> list[str]:
    """Run a command again, on a copy of what it left when it was killed."""
    words, pattern, _ = KILLED[name]
    stage, wrong = pattern.split("/")[0], []
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / name
        shutil.copytree(folder / f"{name}_killed", place)
        unfinished = {path.parent.name for path in (place / "storage").glob(pattern)}
        runner.run(place, words)
        after = {path.name for path in (place / "storage" / stage).iterdir()}
        whole = {path.name for path in (folder / f"{name}_whole" / "storage" / stage).iterdir()}
        if not unfinished or after != whole:
            wrong.append(f"{name}: killed at {unfinished}, then there were {after}")
        results = f"results/{words[0]}"
        if not scores(place / results).equals(scores(folder / f"{name}_whole" / results)):
            wrong.append(f"{name}: other scores than those of an undisturbed run")
    return wrong


def main() -> int:
    """Make or check a kept storage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("make", "check"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tree", type=Path, default=HERE, help="checkout to run")
    options = parser.parse_args()
    folder = options.folder.absolute()
    kept = folder / "bucket"
    with tempfile.TemporaryDirectory() as site, object_store(kept) as address:
        Path(site, "sitecustomize.py").write_text(_SITE)
        os.environ["GSEG_CACHE"] = str(Path(site) / "cache")
        runner = Runner(options.tree.absolute(), Path(site), address)
        if options.what == "make":
            make(folder, runner)
            return 0
        before = contents(kept)
        wrong = check(folder, runner)
    if {name: size for name, (size, _) in before.items()} != {
        name: size for name, (size, _) in contents(kept).items()
    }:
        wrong.append("objects: other objects than before")
    print(json.dumps(wrong, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
