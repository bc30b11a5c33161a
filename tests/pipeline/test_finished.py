"""What two tiny finished trials tell of both papers' directions."""

from dataclasses import replace

import pytest

from gseg.directions.config import AffineConfig, CandidateConfig, ChoiceConfig, SearchConfig
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.finished import compare_papers
from gseg.pipeline.trial import run_trial
from gseg.samples.config import SampleConfig, filter_preset
from gseg.segmenters.config import FitConfig

CHOICE = ChoiceConfig(
    candidates=CandidateConfig(kind="random", count=4),
    epsilon=1.0,
    pictures=4,
    affine=AffineConfig(steps=20),
)
OPTIMISED = Experiment(
    generator="analytic.ellipses32",
    search=SearchConfig(steps=2, batch=4),
    samples=SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none")),
    data_size=12,
    validation_size=4,
    training=FitConfig(steps=2, batch=4, decay_at=None, width=4, depth=2),
)


def test_a_line_compares_two_trials_that_differ_in_their_direction(tmp_path) -> None:
    setting = Context(storage=tmp_path, benchmarks=("scenes:10",))
    backend = RayBackend(Resources(placement="process"))
    chosen = replace(OPTIMISED, search=CHOICE)
    alone = replace(OPTIMISED, data_size=8)  # has no partner
    unfinished = replace(OPTIMISED, data_size=6), replace(chosen, data_size=6)
    rows = {each: run_trial(each, setting, backend)[0] for each in (OPTIMISED, chosen)}
    lines = compare_papers([OPTIMISED, alone, *unfinished, chosen], setting)
    (line,) = lines.to_dict("records")
    assert line["rule"] == "voynov2021"
    assert (line["generator"], line["data_size"], line["seed"]) == ("analytic.ellipses32", 12, 0)
    assert line["iou_optimised"] == rows[OPTIMISED]["iou"]
    assert line["two_affine_ratio_chosen"] == rows[chosen]["two_affine_ratio"]
    assert line["direction_seconds_chosen"] == rows[chosen]["direction_seconds"]
    for name in ("mask_iou", "mask_accuracy", "affine_iou", "each_iou", "each_accuracy"):
        assert 0 <= line[name] <= 1
    assert -1 <= line["cosine"] <= 1


def test_nothing_finished_is_an_empty_table(tmp_path) -> None:
    setting = Context(storage=tmp_path, benchmarks=("scenes:10",))
    assert compare_papers([OPTIMISED, replace(OPTIMISED, search=CHOICE)], setting).empty


@pytest.mark.parametrize("side", ["optimised", "chosen"])
def test_rows_say_how_a_direction_was_found(tmp_path, side) -> None:
    setting = Context(storage=tmp_path, benchmarks=("scenes:10",))
    each = OPTIMISED if side == "optimised" else replace(OPTIMISED, search=CHOICE)
    backend = RayBackend(Resources(placement="process"))
    row = run_trial(replace(each, mask_kind="affine"), setting, backend)[0]
    assert row["mask_kind"] == "affine"
    assert 0 < row["restoration_loss"] < row["operator_distance"]
    if side == "optimised":
        assert (row["objective"], row["candidate_directions"]) == ("gseg", None)
        assert row["edge_loss"] > 0
    else:
        assert (row["objective"], row["candidate_directions"]) == ("voynov2021", "random")
        assert row["contrast_weight"] is row["edge_loss"] is None
