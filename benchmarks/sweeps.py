"""How well sweeps use what they are given: ``python benchmarks/sweeps.py [CASE ...]``.

``shared``    3 generators x 2 λ x 2 ε x 3 data sizes on two processes, in the smallest settings:
              computations done, by the record that every storage keeps
              (`gseg.storage.store.note_build`), over the distinct ones and over those of a loop
              that shares nothing. About three minutes.
``two_cores`` the twelve embedded generators on two processes: wall time x cores over the one-thread
              seconds of all stages, from the first trial's start on. About eight minutes on a quiet
              machine (``--preset smoke``: two), and meaningless on a busy one.
``cluster``   a cluster of 8 nodes of one slot each, simulated on this machine; a stage sleeps for a
              minute. A quarter of the nodes is killed. Busy share of the slots of the nodes that
              stay, without start-up, the minute after the kill, and the last wave. About ten
              minutes, nearly all of them asleep.

Measured on two quiet cores: ``two_cores`` 1.21 (26 trials in 368 s after start-up; 609 s of
stages). With much other work: ``shared`` computes 91 stages for 36 trials, each of the 91 distinct
ones once (a loop: 216); ``cluster`` 99.9 % (32 trials, 48 stages, 2 of 8 nodes killed, no trial
failed).
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import ray
from ray.cluster_utils import Cluster
from rich.console import Console
from rich.table import Table

from gseg.distributed.run import Listener, run_sweep
from gseg.distributed.runtime import Resources
from gseg.distributed.session import ray_session
from gseg.generators.catalogue import list_generators
from gseg.pipeline.experiment import Context
from gseg.pipeline.plan import make_plan
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import all_gans
from gseg.search import evaluate
from gseg.storage.store import Store, count_builds

_THREE = ("acgan.scenes32", "ggan.scenes32", "sngan.scenes32")
_CORES = 2
_SLEEP = 60.0
_AFTER_KILL = 60.0
_LOG = "log"


class _Clock(Listener):
    """Notes when trials start and end; fails if one fails."""

    def __init__(self):
        self.starts, self.ends = [], []

    def started(self, point):
        self.starts.append(time.time())

    def ended(self, record, rows):
        if record.state != "complete":
            raise RuntimeError(f"trial {record.number}: {record.reason}")
        self.ends.append(time.time())


def shared(options):
    """Count the computations of a sweep whose trials have much in common."""
    axes = {
        "generator": _THREE,
        "contrast_weight": (2.5, 5.0),
        "epsilon": (1.0, 2.0),
        "data_size": (60, 120, 200),
    }
    experiments = [each for each in all_gans(grids()["smoke"], axes) if each.generator]
    with tempfile.TemporaryDirectory() as folder:
        setting = Context(storage=Path(folder), benchmarks=("scenes:40",))
        plan = make_plan(experiments, setting, "cpu")
        with ray_session(num_cpus=_CORES):
            run_sweep(experiments, setting, Resources(), listener=_Clock(), large=False)
        builds = count_builds(setting.storage)
    stages = {key: times for key, times in builds.items() if key[0] != "shard"}
    done, distinct = sum(stages.values()), len(stages)
    yield "trials", len(experiments), ""
    yield "stages of a loop that shares nothing", plan.naive_stages, ""
    yield "distinct stages", distinct, ""
    yield "stages computed", done, f"at most {distinct}"
    yield "computed / of the loop", f"{done / plan.naive_stages:.2f}", ""
    again = sum(builds.values()) - len(builds)
    yield "stages and shards computed twice", again, "0"


def two_cores(options):
    """Compare the wall time of a sweep on two cores with the sum of its stages."""
    names = tuple(card.name for card in list_generators("embedded"))
    experiments = all_gans(grids()[options.grid], {"generator": names})
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        setting = Context(storage=Path(folder))
        with ray_session(num_cpus=_CORES):
            run_sweep(experiments, setting, Resources(), listener=clock, large=False)
        manifests = [
            json.loads(path.read_text()) for path in Path(folder).glob("*/*/manifest.json")
        ]
    wall = max(clock.ends) - min(clock.starts)
    work = sum(each["seconds"] for each in manifests)
    yield "trials", len(experiments), ""
    yield "wall seconds after start-up", f"{wall:.0f}", ""
    yield "one-thread seconds of all stages", f"{work:.0f}", ""
    yield "wall x cores / stages", f"{wall * _CORES / work:.2f}", "<= 1.2"
    yield "load of the machine at the end", f"{os.getloadavg()[0]:.1f}", "2"


@dataclass
class _Simulated(_Clock):
    """Kills nodes when a third of the trials has finished, all at once."""

    cluster: Cluster
    victims: list
    trials: int
    killed_at: float = 0.0
    starts: list = field(default_factory=list)
    ends: list = field(default_factory=list)

    def ended(self, record, rows):
        super().ended(record, rows)
        if self.victims and len(self.ends) >= self.trials / 3:
            self.killed_at = time.time()
            while self.victims:
                self.cluster.remove_node(self.victims.pop(), allow_graceful=False)


def sleeping_trial(experiment, setting, backend, report, *, siblings=()):
    """Stand for a trial: a direction that data sizes share, and a network of its own."""
    store = Store(setting.storage)
    node = ray.get_runtime_context().get_node_id()

    def sleep(folder):
        about = {"node": node, "start": time.time()}
        time.sleep(_SLEEP)
        log = setting.storage / _LOG
        log.mkdir(exist_ok=True)
        (log / f"{folder.name}.json").write_text(json.dumps(about | {"end": time.time()}))
        return {}

    made = store.make("direction", version=1, config=experiment.search, parents=[], build=sleep)
    store.make(
        "segmenter", version=1, config=experiment.data_size, parents=[made.digest], build=sleep
    )
    return []


def _replace_trials():
    evaluate.run_trial = sleeping_trial


def cluster(options):
    """Kill a quarter of a simulated cluster and see what the others do."""
    axes = {
        "generator": ("analytic.ellipses32",),
        "seed": tuple(range(2 * options.nodes)),
        "data_size": (60, 200),
    }
    experiments = [each for each in all_gans(grids()["smoke"], axes) if each.generator]
    simulated = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [
        simulated.add_node(num_cpus=1, object_store_memory=80_000_000) for _ in range(options.nodes)
    ]
    events = _Simulated(simulated, nodes[: options.nodes // 4], len(experiments))
    staying = {node.node_id for node in nodes[options.nodes // 4 :]}
    with tempfile.TemporaryDirectory() as folder:
        setting = Context(storage=Path(folder))
        ray.init(
            simulated.address,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"worker_process_setup_hook": _replace_trials},
        )
        try:
            records = run_sweep(experiments, setting, Resources(), listener=events, large=False)
        finally:
            ray.shutdown()
            simulated.shutdown()
        stages = [json.loads(path.read_text()) for path in (Path(folder) / _LOG).glob("*.json")]
    return _utilisation(stages, staying, events, records)


def _utilisation(stages, staying, events, records):
    """Give the lines of the table: the busy share of the slots that stay."""
    begin = sorted(events.starts)[len(staying)]  # all have had their first trial
    end = max(events.starts)  # from here on slots have nothing left to start
    pauses = (events.killed_at, events.killed_at + _AFTER_KILL)
    windows = [(begin, pauses[0]), (pauses[1], end)]
    length = sum(max(0.0, last - first) for first, last in windows)
    busy = sum(
        max(0.0, min(stage["end"], last) - max(stage["start"], first))
        for stage in stages
        if stage["node"] in staying
        for first, last in windows
    )
    yield "nodes, of which killed", f"{len(staying) * 4 // 3}, {len(staying) // 3}", ""
    failed = sum(record.state == "failed" for record in records)
    yield "trials, of which failed", f"{len(records)}, {failed}", ""
    yield "stages of a minute", len(stages), ""
    yield "seconds that count", f"{length:.0f}", ""
    yield "busy share of the slots that stay", f"{busy / (length * len(staying)):.1%}", ">= 90 %"
    yield "load of the machine at the end", f"{os.getloadavg()[0]:.1f}", ""


CASES = {"shared": shared, "two_cores": two_cores, "cluster": cluster}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--preset", choices=list(grids()), default="embedded")
    parser.add_argument("--nodes", type=int, default=8)
    options = parser.parse_args()
    for name in options.cases:
        table = Table("", "measured", "wanted", title=name, title_justify="left")
        for what, measured, wanted in CASES[name](options):
            table.add_row(what, str(measured), wanted)
        Console(width=90).print(table)


if __name__ == "__main__":
    main()
