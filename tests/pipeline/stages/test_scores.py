"""pipeline/stages/segmenter.py: what a scoring leaves in the storage, and finds again."""

import pickle

import pandas as pd
import pytest

from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.jobs.predict import SCORED_AT_ONCE, ScoreJob
from gseg.pipeline.stages.segmenter import ScoresNode
from gseg.scores.protocol import COLUMNS
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.storage.store import Store

SPECS = ("scenes:20", "scenes:30")


def job(spec):
    return ScoreJob(
        baseline="otsu", benchmark=spec, skip_bad=False, protocol="text", working_size=None
    )


def node(spec):
    return ScoresNode(baseline="otsu", benchmark=spec, device="cpu")


def make(folder, spec):
    return Workshop(Store(folder), LocalBackend()).make(node(spec))


def test_scores_of_every_picture_curves_and_intervals_are_kept(tmp_path):
    made = make(tmp_path, SPECS[0])
    images = pd.read_parquet(made.folder / "images.parquet")
    assert list(images.columns) == list(COLUMNS)
    assert images.profile.value_counts().to_dict() == dict.fromkeys(DEFAULT_PROFILES, 20)
    curves = pd.read_parquet(made.folder / "curves.parquet")
    assert set(curves.profile) == set(DEFAULT_PROFILES)
    assert curves[["precision", "recall"]].max().max() <= 1
    for name, means in made.facts["profiles"].items():
        single = images[images.profile == name]
        assert means["iou"] == pytest.approx(single.iou.mean(), abs=1e-9)
        assert means["iou_low"] < means["iou"] < means["iou_high"]
        assert means["max_f_beta_low"] < means["max_f_beta"] < means["max_f_beta_high"]
        assert means["empty_masks"] == (single.foreground == 0).sum()
    assert made.facts["intervals"] == {"resamples": 1000, "confidence": 0.95, "seed": 0}


def test_what_is_there_is_found_and_looking_scores_nothing(tmp_path):
    looking = Workshop(Store(tmp_path, read_only=True))
    assert looking.find(node(SPECS[0])) is None
    assert not list(tmp_path.iterdir())
    made = make(tmp_path, SPECS[0])
    assert looking.find(node(SPECS[0])).digest == made.digest
    assert make(tmp_path, SPECS[0]).reused
    assert not make(tmp_path, SPECS[1]).reused


def test_scores_of_parts_are_those_of_one_pass():
    whole = job(f"scenes:{2 * SCORED_AT_ONCE + 50}")
    parts, heard = whole.missing(), []
    assert [whole.size(part) for part in parts] == [83, 83, 84]
    alone = whole.alone(parts, heard.append)
    assert sum(heard) == whole.total
    assert len(alone) == 1
    do = pickle.loads(pickle.dumps(whole)).open()
    apart = whole.collect({part: do(part, heard.append) for part in reversed(parts)})
    one = whole.collect(alone)
    pd.testing.assert_frame_equal(apart.table, one.table)
    assert apart.aggregates == one.aggregates
    assert all((apart.curves[name] == one.curves[name]).all() for name in one.curves)
    assert list(whole.alone([1], heard.append)) == [1]


def test_a_failing_benchmark_names_its_fault(tmp_path):
    with pytest.raises(ValueError, match="No folder"):
        make(tmp_path, f"folder:{tmp_path / 'nowhere'}")
