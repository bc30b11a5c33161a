"""pipeline/stages/scores.py: what a scoring leaves in the storage."""

import pickle

import pandas as pd
import pytest
from fake_backend import FakeBackend

from gseg.pipeline.backend import LocalBackend
from gseg.pipeline.jobs.score import PART, ScoreJob
from gseg.pipeline.progress import silent
from gseg.pipeline.stages import make_all_scores, make_scores
from gseg.scores.protocol import COLUMNS, DEFAULT_PROFILES
from gseg.storage.store import NotMadeError, Store

SPECS = ("scenes:20", "scenes:30")


def job(spec):
    return ScoreJob(
        baseline="otsu", benchmark=spec, skip_bad=False, protocol="text", working_size=None
    )


def test_scores_of_every_picture_curves_and_intervals_are_kept(tmp_path):
    made = make_scores(Store(tmp_path), job(SPECS[0]), [], LocalBackend(), silent)
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


def test_looking_only_scores_nothing(tmp_path):
    store = Store(tmp_path, read_only=True)
    with pytest.raises(NotMadeError):
        make_all_scores(store, [job(spec) for spec in SPECS], [], LocalBackend(), silent)


def test_benchmarks_are_scored_one_after_the_other_and_found_again(tmp_path):
    backend, heard = FakeBackend(), []
    jobs = [job(spec) for spec in SPECS]
    made = make_all_scores(Store(tmp_path), jobs, [], backend, lambda *what: heard.append(what))
    assert [each.facts["benchmark"] for each in made] == list(SPECS)
    assert heard == [("scoring", 20, 20), ("scoring", 30, 30)]
    again = make_all_scores(Store(tmp_path), jobs, [], backend, silent)
    assert all(each.reused for each in again)
    assert len(backend.ran) == len(SPECS)


def test_scores_of_parts_are_those_of_one_pass(tmp_path):
    whole = job(f"scenes:{2 * PART + 50}")
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
    jobs = [job(SPECS[0]), job(f"folder:{tmp_path / 'nowhere'}")]
    with pytest.raises(ValueError, match="No folder"):
        make_all_scores(Store(tmp_path), jobs, [], LocalBackend(), silent)
