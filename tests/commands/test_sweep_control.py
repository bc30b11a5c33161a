"""Sweeps that stop early, and trials that failed before."""

from dataclasses import replace

import pandas as pd
import pytest

from gseg.commands.app import run as run_app
from gseg.commands.points import plan_lines, slots_here
from gseg.commands.run import recipe_app
from gseg.directions.config import SearchConfig
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.failures import known_failure, note_failure
from gseg.pipeline.plan import SweepPlan
from gseg.pipeline.rows import KEY
from gseg.recipes.recipe import Recipe
from gseg.samples.config import SampleConfig, filter_preset
from gseg.segmenters.config import FitConfig
from gseg.storage.store import Cost

pytestmark = pytest.mark.usefixtures("apart")

_SMALL = Experiment(
    generator="analytic.ellipses32",
    search=SearchConfig(steps=2, batch=4),
    samples=SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none")),
    data_size=12,
    validation_size=4,
    training=FitConfig(steps=2, batch=4, decay_at=None, width=4, depth=2),
    recipe="tiny",
)
_THREE = [replace(_SMALL, data_size=size) for size in (20, 16, 12)]


@pytest.fixture
def run(capsys):
    def call(*arguments):
        command = ["--benchmark", "scenes:12", *arguments]
        facts = {"name": "tiny", "shows": "", "takes": "", "about": "", "rules": ()}
        status = run_app(recipe_app(Recipe(make=lambda *_: _THREE, **facts)), command)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--max-hours 0", "--max-hours is a positive number of hours, got 0"),
        ("--max-hours nan", "--max-hours: expected a finite number"),
        ("--max-hours soon", '--max-hours: unable to convert "soon" into float'),
        ("--max-trials 0", "--max-trials: expected a whole number >= 1, got '0'"),
    ],
)
def test_wrong_limits_are_told(run, arguments, message):
    status, out, err = run(*arguments.split())
    assert (status, out) == (2, "")
    assert message in err


def test_a_limit_of_trials_leaves_the_others_to_the_next_run(run, points_here, tmp_path):
    status, out, _ = run("--max-trials", "2")
    assert status == 3
    assert points_here.sizes == [20, 16]
    assert points_here.seconds == [None]
    assert "now: 2 of the 3 others" in out
    assert "1 trial is left (--max-trials 2), estimated at" in out
    status, out, _ = run("--max-trials", "2")
    assert status == 0
    assert points_here.sizes == [20, 16, 12]
    assert "left" not in out.split("rows: ")[1]
    rows = pd.read_parquet(tmp_path / "results" / "tiny").set_index(list(KEY))
    assert rows.index.is_unique
    assert sorted(rows.data_size.dropna().unique()) == [12, 16, 20]


def test_a_limit_of_time_is_handed_on_and_what_is_left_is_said(run, points_here):
    points_here.most = 2
    status, out, _ = run("--max-hours", "0.5")
    assert status == 3
    assert points_here.sizes == [20, 16]
    assert 1500 < points_here.seconds[0] < 1800  # from the start of the command
    assert "1 trial is left (--max-hours 0.5), estimated at" in out
    assert run("--max-hours", "0.5")[0] == 0


def _failed(tmp_path):
    setting = Context(storage=tmp_path / "storage", benchmarks=("scenes:12",))
    note_failure(_THREE[1], setting, ValueError("it diverged"))
    return setting


def test_a_trial_that_failed_before_is_reported_instead_of_run(run, points_here, tmp_path):
    setting = _failed(tmp_path)
    status, out, _ = run()
    assert status == 1
    assert points_here.sizes == [20, 12]
    assert "it diverged (an earlier run; --retry-failed runs it again)" in out
    assert f"details: {tmp_path}/storage/errors/" in out
    assert known_failure(_THREE[1], setting) is not None


def test_a_trial_that_failed_before_is_run_on_request(run, points_here, tmp_path):
    _failed(tmp_path)
    status, out, _ = run("--retry-failed")
    assert status == 0
    assert points_here.sizes == [20, 16, 12]
    assert "it diverged" not in out


def test_the_plan_has_time_gpu_hours_and_disk():
    plan = SweepPlan(
        estimates=(3600.0, 5400.0, 1800.0),
        missing={
            ("direction", "a"): Cost(seconds=600.0),
            ("samples", "a"): Cost(seconds=900.0, disk_bytes=2 * 2**20),
            ("samples", "b"): Cost(seconds=900.0, disk_bytes=2**20),
            **{("segmenter", name): Cost(seconds=2800.0) for name in "abc"},
        },
        naive_stages=8,
    )
    stages, cpu = plan_lines(plan, "cpu", 2)
    assert stages == (
        "to do: 1 direction, 2 sample sets, 3 segmenters: 6 stages, 8 if nothing were shared"
    )
    assert cpu == (
        "estimate: 3 h 0 min of one-thread time, about 1 h 30 min with 2 at a time, no GPU-hours, "
        "3 MiB of samples"
    )
    assert plan_lines(plan, "cuda", None)[1] == (
        "estimate: 3.00 GPU-hours (3 h 0 min of GPU time), 3 MiB of samples"
    )
    assert "about 1 h 30 min with 8 at a time" in plan_lines(plan, "cuda", 8)[1]


@pytest.mark.parametrize(
    ("resources", "slots"),
    [
        (Resources(), 4),
        (Resources(cpus_per_trial=2), 2),
        (Resources(concurrency=3), 3),
        (Resources(gpus_per_trial=0.5), 2),
        (Resources(cpus_per_trial=8), 1),
    ],
)
def test_trials_at_the_same_time_on_this_machine(monkeypatch, resources, slots):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert slots_here(resources, 4, 10) == slots
    assert slots_here(resources, 4, 1) == 1
