"""pipeline/stages/scores.py: what a scoring leaves in the storage, and several at once."""

import threading

import pandas as pd
import pytest

from gseg.pipeline.jobs.fit import ScoreJob
from gseg.pipeline.progress import silent
from gseg.pipeline.stages import make_all_scores, make_scores
from gseg.scores.protocol import COLUMNS, DEFAULT_PROFILES
from gseg.storage.store import NotMadeError, Store

SPECS = ("scenes:20", "scenes:30")


def job(spec):
    return ScoreJob(
        baseline="otsu", benchmark=spec, skip_bad=False, protocol="text", working_size=None
    )


class Here:
    """A backend that scores in the calling thread."""

    device = "cpu"

    def __init__(self, *, apart=False):
        self._apart = apart
        self.together = threading.Barrier(len(SPECS), timeout=20)
        self.threads = set()

    def is_apart(self, job):
        return self._apart

    def score(self, job, report):
        self.threads.add(threading.get_ident())
        if self._apart:
            self.together.wait()  # breaks unless the other scoring runs at the same time
        return job.score(report)


def test_scores_of_every_picture_curves_and_intervals_are_kept(tmp_path):
    made = make_scores(Store(tmp_path), job(SPECS[0]), [], Here(), silent)
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


def test_benchmarks_that_are_scored_elsewhere_are_scored_side_by_side(tmp_path):
    jobs = [job(spec) for spec in SPECS]
    backends = {name: Here(apart=name == "apart") for name in ("here", "apart")}
    made = {
        name: make_all_scores(Store(tmp_path / name), jobs, [], backend, silent)
        for name, backend in backends.items()
    }
    assert [each.facts["benchmark"] for each in made["apart"]] == list(SPECS)
    assert [each.facts for each in made["apart"]] == [each.facts for each in made["here"]]
    assert backends["here"].threads == {threading.get_ident()}
    assert len(backends["apart"].threads) == 2
    again = make_all_scores(Store(tmp_path / "apart"), jobs, [], Here(), silent)
    assert all(each.reused for each in again)


def test_looking_only_scores_nothing(tmp_path):
    store = Store(tmp_path, read_only=True)
    with pytest.raises(NotMadeError):
        make_all_scores(store, [job(spec) for spec in SPECS], [], Here(apart=True), silent)


def test_a_failing_benchmark_names_its_fault(tmp_path):
    jobs = [job(SPECS[0]), job(f"folder:{tmp_path / 'nowhere'}")]
    with pytest.raises(ValueError, match="No folder"):
        make_all_scores(Store(tmp_path), jobs, [], Here(), silent)
