import pytest

from gseg.reports.comparison import compare, counterpart

PAPER = {
    "generator": "bigbigan.imagenet128",
    "objective": "melas2022_text",
    "contrast_weight": 5.0,
    "epsilon_search": 2.0,
    "epsilon_sample": 2.0,
    "data_size": 1_000_000,
    "train_steps": 12_000,
    "benchmark": "ecssd",
    "accuracy": 0.9,
    "iou": 0.7,
}


def _find(lines, table, row=None, score="iou"):
    chosen = lines[(lines.table == table) & (lines.score == score)]
    return chosen if row is None else chosen[chosen.row == row]


def test_the_papers_own_settings_are_comparable(frame):
    lines = compare(frame(PAPER))
    line = _find(lines, "Melas 2022, Table 2").iloc[0]
    assert line.published == 0.663
    assert line.difference == pytest.approx(0.7 - 0.663)
    assert line.comparable
    assert line.not_comparable_because == ""
    assert _find(lines, "Melas 2022, Table 2", score="accuracy").published.item() == 0.905


def test_what_a_table_varies_decides_the_row(frame):
    lines = compare(frame(PAPER, {**PAPER, "mask_kind": "both", "contrast_weight": 2.5}))
    weights = _find(lines, "Melas 2022, Table 7")
    assert weights.row.tolist() == ["λ = 2.5"]
    assert weights.published.tolist() == [0.467]
    kinds = _find(lines, "Melas 2022, Table 6")
    assert set(kinds.row) == {"v_l only", "v_d only", "v_l and v_d", "Ensemble"} & set(kinds.row)
    both = _find(lines, "Melas 2022, Table 6", "v_l and v_d").iloc[0]
    assert not both.comparable
    assert "λ 2.5 instead of 5" in both.not_comparable_because


def test_an_embedded_generator_says_that_it_is_not_comparable(frame):
    row = {"generator": "sngan.scenes32", "benchmark": "scenes", "iou": 0.7}
    line = _find(compare(frame(row)), "Melas 2022, Table 2").iloc[0]
    assert not line.comparable
    for reason in (
        "embedded generator in place of the published one",
        "objective gseg",
        "benchmark scenes instead of the mean over cub, flowers",
        "samples 1,000 instead of",
    ):
        assert reason in line.not_comparable_because
    assert line.published == pytest.approx((0.357 + 0.374 + 0.216 + 0.217 + 0.292) / 5)


def test_masks_of_another_model_are_not_compared_with_the_papers_own(frame):
    assert len(compare(frame(PAPER)))
    assert not len(compare(frame({**PAPER, "labeller": "u2net.py:mask [01234567]"})))


def test_contradicted_numbers_are_marked(frame):
    row = {**PAPER, "epsilon_search": 4.0, "epsilon_sample": 4.0, "benchmark": "flowers"}
    line = _find(compare(frame(row)), "Melas 2022, Table 8", "ε = 4").iloc[0]
    assert "copied" in line.suspect
    accuracy = _find(compare(frame(row)), "Melas 2022, Table 8", "ε = 4", "accuracy").iloc[0]
    assert accuracy.suspect == ""


def test_the_nearest_trial_is_compared(frame):
    rows = [
        {**PAPER, "data_size": 1_000, "iou": 0.1},
        PAPER,
        {**PAPER, "data_size": 10, "iou": 0.2},
    ]
    assert _find(compare(frame(*rows)), "Melas 2022, Table 2").measured.tolist() == [0.7]


def test_voynov_s_latents_have_to_agree(frame):
    row = {**PAPER, "latent_source": "embeddings", "alpha": 0.2, "benchmark": "cub"}
    lines = compare(frame(row))
    found = _find(lines, "Voynov 2021, Table 1")
    assert found.row.tolist() == ["E-BigBiGAN (with z-noising)"]
    assert found.published.tolist() == [0.710]


def test_spellings_of_benchmarks_are_one(frame):
    line = _find(compare(frame({**PAPER, "benchmark": "folder:DUT-OMRON"})), "Melas 2022, Table 2")
    assert line.published.item() == 0.451


def test_embedded_generators_stand_for_rows_of_table_2():
    names = {"sngan.imagenet128", "sngan.tinyimagenet64", "uncondgan.imagenet128"}
    assert counterpart("sngan.scenes32", names) == "sngan.tinyimagenet64"
    assert counterpart("sngan.scenes32-large", names) == "sngan.imagenet128"
    assert counterpart("uncondgan.scenes32", names) == "uncondgan.imagenet128"
    assert counterpart("sngan.scenes32-300", names) is None
    assert counterpart("mine.py:make", names) is None


def test_nothing_to_compare_is_an_empty_table(frame):
    lines = compare(frame({"method": "otsu", "generator": None}))
    assert len(lines) == 0
    assert "difference" in lines
