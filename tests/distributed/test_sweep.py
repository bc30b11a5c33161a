"""Sweeps from the command line: started again, on a cluster, with a failing trial."""

import contextlib
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from gseg.commands.app import run as run_app
from gseg.commands.run import all_gans_app
from gseg.directions.objective import objective
from gseg.distributed.backend import RayBackend
from gseg.distributed.run import Listener, run_sweep
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context
from gseg.pipeline.failures import details_file
from gseg.pipeline.rows import KEY
from gseg.pipeline.trial import find_rows, run_trial
from gseg.samples.config import FilterConfig

pytestmark = pytest.mark.ray

_ROOT = Path(__file__).parents[2]
_SCORES = ["accuracy", "iou", "f_beta", "max_f_beta", "validation_iou", "candidates", "images"]


def _arguments(folder: Path, *more: str) -> list[str]:
    own = () if "--address" in more else ("--cpus", "2")
    return [
        *("--preset", "smoke", "--generators", "analytic.ellipses32", "--benchmark", "scenes:40"),
        *(() if "--data-size" in more else ("--data-size", "60", "200")),
        *("--storage", str(folder / "storage")),
        *("--results", str(folder / "results"), "--plain", *own, *more),
    ]


def _command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, str(_ROOT / "sweeps" / "all_gans.py"), *_arguments(folder, *more)]


def _run(folder: Path, *more: str) -> None:
    """Run the script, on a Ray of its own unless it is given an address."""
    done = subprocess.run(
        _command(folder, *more), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _run_here(folder: Path, *more: str) -> str:
    """Run what the script runs, on the Ray that this process is connected to."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        status = run_app(all_gans_app, _arguments(folder, *more))
    assert status == 0, output.getvalue()
    return output.getvalue()


def _run_left(folder: Path, *more: str) -> None:
    """Run what the script runs where nothing does the trials: they are left."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert run_app(all_gans_app, _arguments(folder, *more)) == 3


def _rows(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "results" / "all_gans").set_index(list(KEY)).sort_index()


@pytest.fixture(scope="session")  # tests on both kinds of Ray compare with it
def undisturbed(rays, tmp_path_factory):
    rays.use("local_ray")
    folder = tmp_path_factory.mktemp("undisturbed")
    _run_here(folder)
    return folder


def test_running_again_recomputes_nothing(undisturbed, local_ray):
    storage = undisturbed / "storage"
    before = {path: path.stat().st_mtime_ns for path in storage.rglob("*.parquet")}
    rows = _rows(undisturbed)
    output = _run_here(undisturbed)
    assert "6 trials, 6 of them finished" in output
    assert {path: path.stat().st_mtime_ns for path in storage.rglob("*.parquet")} == before
    pd.testing.assert_frame_equal(_rows(undisturbed), rows)


def test_existing_cluster(tmp_path, undisturbed, cluster):
    """Two nodes with one CPU each beside a head that only drives."""
    _run(tmp_path, "--address", cluster.address)
    expected = _rows(undisturbed)
    pd.testing.assert_frame_equal(_rows(tmp_path)[_SCORES], expected[_SCORES])


def test_no_cluster_at_the_address_is_one_line(tmp_path, no_ray, capsys):
    address = ("--address", "127.0.0.1:1")
    assert run_app(all_gans_app, _arguments(tmp_path, *address)) == 2
    shown = capsys.readouterr().err
    assert "No Ray cluster answers at '127.0.0.1:1'" in shown
    assert "Traceback" not in shown


def test_all_stages_as_distributed_jobs_under_tune(tmp_path, undisturbed, local_ray):
    output = _run_here(tmp_path, "--placement", "cluster", "--data-size", "60")
    assert "Started a local Ray instance" not in output
    mine, expected = _rows(tmp_path), _rows(undisturbed)
    mine = mine[mine.method != "distilled"]  # those learn from as many scenes as a sweep's largest
    shared = mine.index.intersection(expected.index)
    assert len(shared) == len(mine)
    names = [*_SCORES, "foreground_share"]
    pd.testing.assert_frame_equal(mine[names], expected.loc[shared, names], atol=1e-4)


def test_two_replicas_train_beside_a_waiting_trial_on_two_cpus(tmp_path, local_ray):
    _run_here(tmp_path, "--workers", "2", "--data-size", "60")
    rows = pd.read_parquet(tmp_path / "results" / "all_gans").query("data_size == 60")
    assert set(rows.method) == {"gan", "true_masks", "distilled"}
    assert (rows.train_replicas == 2).all()
    assert rows.iou.between(0.2, 1).all()


def test_ray_train_gets_the_dashboard_that_it_needs(tmp_path, monkeypatch):
    asked = []

    def session(address, **options):
        asked.append((address, options))
        return contextlib.nullcontext()

    monkeypatch.setattr("gseg.commands.points.ray_session", session)
    monkeypatch.setattr("gseg.commands.points.trials_at_once", lambda *_, **__: 1)
    monkeypatch.setattr("gseg.commands.points.run_points", lambda *_, **__: [])
    for words in ((), ("--workers", "2"), ("--placement", "cluster")):
        _run_left(tmp_path, *words)
    assert asked == [(None, {"num_cpus": 2, "dashboard": large}) for large in (False, True, True)]


def test_one_failing_trial_does_not_stop_the_others(tmp_path, local_ray, tiny_experiment):
    picky = replace(
        tiny_experiment,
        samples=replace(
            tiny_experiment.samples,
            batch=256,
            blocks_per_shard=40,
            filters=FilterConfig(min_share=0.4999, max_share=0.4999),
        ),
    )
    setting = Context(storage=tmp_path, benchmarks=("scenes:40",))
    experiments = [picky, tiny_experiment]
    failed, done = run_sweep(experiments, setting, Resources(), listener=Listener(), large=False)
    assert (failed.state, done.state) == ("failed", "complete")
    assert failed.experiments == (picky.digest,)
    assert "candidates were accepted" in failed.reason
    assert "AcceptanceError" in details_file(picky, setting).read_text()
    assert find_rows(tiny_experiment, setting, "cpu") is not None


def test_another_edge_weight_is_another_direction(tmp_path, tiny_experiment, monkeypatch):
    """What an objective means is part of the hash, not only its name."""
    setting = Context(storage=tmp_path, benchmarks=("scenes:40",))
    run_trial(tiny_experiment, setting, RayBackend(Resources()))
    assert find_rows(tiny_experiment, setting, "cpu") is not None
    changed = replace(objective("gseg"), edge_weight=1.0)
    monkeypatch.setattr("gseg.pipeline.stages.directions.objective", lambda name: changed)
    assert find_rows(tiny_experiment, setting, "cpu") is None
