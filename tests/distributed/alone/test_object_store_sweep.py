"""A sweep on real Ray processes whose storage is an object store."""

from dataclasses import replace

import pytest

from gseg.commands.app import run as run_app
from gseg.commands.run import all_gans_app
from gseg.distributed.run import Listener, run_sweep
from gseg.distributed.runtime import Resources
from gseg.distributed.session import ray_session
from gseg.pipeline.experiment import Context
from gseg.pipeline.rows import key_of
from gseg.pipeline.trial import find_rows
from gseg.storage.mirror import storage_folder


class _Rows(Listener):
    def __init__(self):
        self.rows = []

    def ended(self, record, rows):
        assert record.state == "complete", record.reason
        self.rows += rows


@pytest.mark.ray
def test_two_processes_share_a_storage_on_s3(
    no_ray, bucket, tiny_experiment, tmp_path, monkeypatch
):
    training = tiny_experiment.training
    experiments = [
        replace(tiny_experiment, training=replace(training, seed=seed)) for seed in range(4)
    ]
    setting = Context(storage=storage_folder(f"{bucket}/storage"), benchmarks=("scenes:40",))
    events = _Rows()
    with ray_session(num_cpus=2):
        run_sweep(experiments, setting, Resources(), listener=events, large=False)
    scores = {key_of(row): row["iou"] for row in events.rows}
    assert len(scores) == len(events.rows)
    monkeypatch.setenv("GSEG_CACHE", str(tmp_path / "another machine"))
    there = replace(setting, storage=storage_folder(f"{bucket}/storage"))
    assert not there.storage.exists()
    found = [row for each in experiments for row in find_rows(each, there, "cpu")]
    assert {key_of(row): row["iou"] for row in found} == scores


def test_results_on_s3_are_refused_with_the_way_out(capsys):
    assert run_app(all_gans_app, ["--results", "s3://bucket/results"]) == 2
    assert "the same command on any machine writes them" in capsys.readouterr().err
