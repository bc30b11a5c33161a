import re

import pytest
import torch

from gseg.directions.config import CHOICE_RULES
from gseg.pipeline.rows import make_row
from gseg.search.evidence import agreement
from gseg.search.objectives import (
    CRITERIA,
    LABELS_USED,
    OBJECTIVES,
    RULES,
    chosen_objectives,
    row_values,
    with_mark,
)


def _rows(**values):
    """The rows of one seed: the default profile second, as the order is nobody's promise."""
    common = {"supervision": "none", "benchmark": "b", "experiment": "e", **values}
    return [
        make_row({**common, "metric_profile": "sod", "iou": 0.1}),
        make_row({**common, "metric_profile": "melas2022_program", "iou": values.get("iou", 0.5)}),
    ]


def test_objectives_are_means_over_seeds():
    seeds = [
        _rows(validation_loss=0.2, validation_iou=0.8, two_affine_ratio=0.5, iou=0.6),
        _rows(validation_loss=0.4, validation_iou=0.6, two_affine_ratio=1.2, iou=0.4),
    ]
    found = row_values(seeds, labels=False)
    assert found == pytest.approx(
        {
            "held_out_loss": 0.3,
            "held_out_iou": 0.7,
            "affine_ratio": 0.85,
            "combined": (0.8 * 0.5 + 0.0) / 2,  # a shift that one map explains earns nothing
        }
    )
    assert row_values(seeds, labels=True)["iou"] == pytest.approx(0.5)


def test_what_was_not_measured_for_all_seeds_is_left_out():
    found = row_values([_rows(validation_loss=0.2), _rows()], labels=False)
    assert found == {}


def _chosen(*names, use_labels=False, seeds=(0, 1), validation_size=8):
    return chosen_objectives(
        names, use_labels=use_labels, seeds=seeds, validation_size=validation_size
    )


def test_labels_are_used_on_request_only():
    assert [each.name for each in _chosen("combined", "stability")] == ["combined", "stability"]
    for name, objective in OBJECTIVES.items():
        if objective.uses_labels:
            with pytest.raises(ValueError, match=f"{name} is measured with true.*--use-labels"):
                _chosen("combined", name)
            assert _chosen(name, use_labels=True) == (objective,)
    free = {name for name, each in OBJECTIVES.items() if not each.uses_labels}
    assert free == {
        *("held_out_loss", "held_out_iou", "affine_ratio", "mask_ratio", "share_distance"),
        *("combined", "stability", "mask_stability"),
    }


def test_each_objective_has_one_name_whoever_uses_it():
    tables = (OBJECTIVES, CRITERIA, RULES)
    records = {id(each): each.name for table in tables for each in table.values()}
    names = [*records.values()]
    names += [each.formerly for each in OBJECTIVES.values() if each.formerly]
    assert len(set(names)) == len(names)
    # The rules by which directions are chosen, whose words are in the names of directions.
    assert set(RULES) == set(CHOICE_RULES)
    assert all(each.name == rule for rule, each in RULES.items())
    assert _chosen("affine_score") == _chosen("affine_ratio")
    with pytest.raises(ValueError, match="given twice"):
        _chosen("affine_score", "affine_ratio")
    with pytest.raises(ValueError, match="Unknown objective 'voynov2021'"):
        _chosen("voynov2021")


def test_a_share_is_plausible_or_so_far_from_it():
    def of(share):
        return OBJECTIVES["share_distance"].of_row({"foreground_share": share})

    shares = (None, 0.02, 0.6, 0.0, 1.0)
    assert [of(share) for share in shares] == [None, 0, 0, 0.02, pytest.approx(0.4)]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("heldout_loss",), {}, "did you mean 'held_out_loss'?"),
        (("combined", "combined"), {}, "given twice"),
        (("stability",), {"seeds": (0,)}, "give two or more, such as --seeds 0 1 2; got 0"),
        (("stability",), {"seeds": (1, 1)}, "give two or more"),
        (("combined",), {"validation_size": 0}, "no held-out samples"),
    ],
)
def test_objectives_that_cannot_be_measured(names, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        _chosen(*names, **options)


def test_rows_of_a_search_over_labels_are_marked_once():
    plain, classes = make_row({"supervision": "none"}), make_row({"supervision": "class labels"})
    assert with_mark(plain)["supervision"] == LABELS_USED == "labels used in a search"
    assert with_mark(with_mark(plain)) == with_mark(plain)
    assert with_mark(classes)["supervision"] == "labels used in a search, class labels"
    assert plain["supervision"] == "none"


def _masks(*text):
    """(K, N, 1, W) masks from one line for each segmenter, pictures apart by spaces."""
    found = [[[int(c) for c in picture] for picture in line.split()] for line in text]
    return torch.tensor(found, dtype=torch.bool)[:, :, None, :]


def test_agreement_by_hand():
    # Two pictures of two pixels; q = (1/2, 1/2) for both segmenters: chance is 1/2 everywhere.
    assert agreement(_masks("10 01", "10 01")) == pytest.approx(1.0)
    assert agreement(_masks("10 01", "01 10")) == pytest.approx(-1.0)
    # A = 3/4, q = (1/2, 1/2), r = (1/2, 1): chance (1/2 + 1/2) / 2, so (3/4 - 1/2) / (1/2).
    assert agreement(_masks("10 01", "11 01")) == pytest.approx(0.5)
    # Three segmenters: the mean over pairs, 1, 1/2 and 1/2.
    assert agreement(_masks("10 01", "10 01", "11 01")) == pytest.approx(2 / 3)


@pytest.mark.parametrize("trivial", ["000 000 000", "111 111 111", "010 010 010"])
def test_masks_that_do_not_depend_on_the_picture_earn_nothing(trivial):
    assert agreement(_masks(trivial, trivial)) == 0.0


def test_noise_agrees_by_chance():
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 40, 16, 16, generator=generator) < 0.3
    assert abs(agreement(noise)) < 0.02
    assert agreement(noise[:1].repeat(2, 1, 1, 1)) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (2, 0, 2, 2), (2, 2, 2)])
def test_agreement_needs_two_segmenters_and_pictures(shape):
    with pytest.raises(ValueError, match="of K >= 2 segmenters on N >= 1 pictures"):
        agreement(torch.zeros(shape, dtype=torch.bool))
