import numpy as np
import pandas as pd
import pytest

from gseg.reports.directions import cosine_table, direction_cosines, initialisation_table


def test_cosines_are_averaged_over_directions_not_trials(frame, seeds):
    rows = frame(
        {"generator": "a.x", "cosine": -0.5, "data_size": 10},
        {"generator": "a.x", "cosine": -0.5, "data_size": 20},
        {"generator": "a.x", "cosine": -0.9, **seeds(1)},
        {"generator": "bigbigan.imagenet128", "cosine": -0.4},
        {"method": "otsu", "generator": None},
    )
    table = direction_cosines(rows).set_index("generator")
    assert table.directions.to_dict() == {"a.x": 2, "bigbigan.imagenet128": 1}
    assert table.cosine["a.x"] == pytest.approx(-0.7)
    assert table.cosine_sd["a.x"] == pytest.approx(np.std([-0.5, -0.9], ddof=1))
    assert table.published["bigbigan.imagenet128"] == -0.4376
    assert np.isnan(table.published["a.x"])


def _pairs(generator, cosines):
    names = [(a, b) for a in range(3) for b in range(a + 1, 3)]
    return pd.DataFrame(
        {
            "generator": generator,
            "contrast_weight": 5.0,
            "epsilon_search": 2.0,
            "seed_a": [a for a, _ in names],
            "seed_b": [b for _, b in names],
            "lighter": cosines,
            "darker": 1.0,
        }
    )


def test_initialisations_are_reduced_to_mean_and_deviation():
    cosines = [0.9, 0.8, 0.7]
    pairs = pd.concat([_pairs("bigbigan.imagenet128", cosines), _pairs("a.x", 0.5)])
    table = initialisation_table(pairs)
    lines = table.frame.set_index("generator")
    assert lines.lighter["bigbigan.imagenet128"] == pytest.approx(0.8)
    assert lines.lighter_sd["bigbigan.imagenet128"] == pytest.approx(np.std(cosines, ddof=1))
    assert lines.pairs.tolist() == [3, 3]
    assert lines.published["bigbigan.imagenet128"] == 0.9866
    assert np.isnan(lines.published["a.x"])
    assert "contrast_weight" not in lines


def test_rows_of_directions_alone_are_averaged_too():
    rows = pd.DataFrame(
        {
            "generator": "sagan.scenes32-large",
            "epsilon_search": 2.0,
            "cosine": [-0.5, -0.7],
            "direction_seed": [0, 1],
        }
    )
    line = cosine_table(rows).frame.iloc[0]
    assert (line.cosine, line.directions, line.published) == (pytest.approx(-0.6), 2, -0.4648)
    assert initialisation_table(rows) is None
    assert cosine_table(_pairs("a.x", 0.5)) is None


def test_cosines_of_something_else_are_no_directions():
    both_papers = pd.DataFrame({"generator": ["a.x"], "cosine": [0.2], "seed": [0]})
    assert cosine_table(both_papers) is None
