import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gseg.directions import Direction, SearchConfig
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.rows import merge_rows, results
from gseg.pipeline.trial import Setting, find_parts, run_trial
from gseg.reports import galleries
from gseg.reports.galleries import gallery_section
from gseg.reports.traces import find_trace
from gseg.samples import SampleConfig, Shard, filter_preset
from gseg.segmenters import FitConfig

GENERATOR = "analytic.ellipses32"
EXPERIMENT = Experiment(
    generator=GENERATOR,
    search=SearchConfig(steps=2, batch=4),
    samples=SampleConfig(batch=16, filters=replace(filter_preset("none"), max_share=0.6)),
    data_size=12,
    validation_size=4,
    training=FitConfig(steps=3, batch=4, decay_at=None, width=4, depth=2),
)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return Setting(storage=tmp_path_factory.mktemp("storage"), benchmarks=("scenes:20",))


@pytest.fixture(scope="module")
def rows(setting, tmp_path_factory):
    """The rows of a trial that has run in this process."""
    made = run_trial(EXPERIMENT, setting, RayBackend(Resources(placement="process")))
    folder = tmp_path_factory.mktemp("results")
    merge_rows(folder, made)
    return results(folder)


@pytest.fixture
def sheets(monkeypatch):
    """What the sheets are made of: rows of pictures, and labels."""
    drawn = []
    original = galleries.contact_sheet

    def recorded(cells, **options):
        drawn.append((cells, options))
        return original(cells, **options)

    monkeypatch.setattr(galleries, "contact_sheet", recorded)
    return drawn


def test_a_row_leads_to_what_its_trial_left(rows, setting):
    trace = find_trace(rows.iloc[0], setting.storage)
    parts = find_parts(EXPERIMENT, setting, "cpu")
    member = parts.members[0]
    assert trace.direction == parts.direction.folder
    assert trace.first_shard == member.samples.pairs.shards[0]
    assert trace.segmenters == (member.file,)
    assert trace.config == member.config
    assert trace.generator == GENERATOR


def test_without_the_storage_there_is_no_trace(rows, setting, tmp_path):
    assert find_trace(rows.iloc[0], tmp_path) is None
    partly = tmp_path / "storage"
    shutil.copytree(setting.storage / "scores", partly / "scores")
    assert find_trace(rows.iloc[0], partly) is None
    section = gallery_section(rows, partly)
    assert section.parts == ()
    assert f"{GENERATOR}: not in the storage" in section.text[-1]


def test_three_sheets_of_a_generator(rows, setting, sheets):
    section = gallery_section(rows, setting.storage)
    assert [part.of.split(":")[0] for part in section.parts] == [GENERATOR] * 3
    assert [part.caption.split()[0] for part in section.parts] == [
        "Accepted",
        "Rejected:",
        "Predictions",
    ]
    assert all(part.webp[8:12] == b"WEBP" for part in section.parts)
    (samples, _), (rejected, about), (predictions, ranks) = sheets

    trace = find_trace(rows.iloc[0], setting.storage)
    shard = Shard.load(trace.first_shard)
    assert torch.equal(samples[0][0], shard.pictures[0])
    assert torch.equal(samples[2][3], shard.masks[2])
    direction = Direction.load(trace.direction)
    assert not torch.equal(direction.lighter, direction.darker)
    assert not torch.equal(samples[0][1], samples[0][2])

    assert set(about["labels"]) == {"area"}
    shares = np.array([cells[2].float().mean() for cells in rejected])
    assert (shares > 0.6).all()

    scores = pd.read_parquet(trace.images)
    scores = scores[scores.profile == "melas2022_program"].iou
    labels = [label.split(": ") for label in ranks["labels"]]
    assert [rank for rank, _ in labels] == ["best"] * 3 + ["median"] * 3 + ["worst"] * 3
    assert float(labels[0][1]) == pytest.approx(scores.max(), abs=0.005)
    assert float(labels[-1][1]) == pytest.approx(scores.min(), abs=0.005)
    for (_, truth, prediction), (_, shown) in zip(predictions, labels, strict=True):
        found = prediction > 0.5
        union = (found | truth).sum()
        iou = (found & truth).sum() / union if union else 0.0
        assert float(iou) == pytest.approx(float(shown), abs=0.006)


def test_a_benchmark_that_changed_is_left_out(rows, setting):
    changed = rows.assign(benchmark="scenes:10")
    section = gallery_section(changed, setting.storage)
    assert len(section.parts) == 2


def test_an_unreadable_sample_set_is_told(rows, setting, tmp_path):
    storage = tmp_path / "storage"
    shutil.copytree(setting.storage, storage)
    trace = find_trace(rows.iloc[0], storage)
    trace.first_shard.write_bytes(b"nothing")
    section = gallery_section(rows, storage)
    assert section.parts == ()
    assert "shard-000000.parquet" in section.text[-1]
