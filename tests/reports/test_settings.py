import numpy as np
import pandas as pd

from gseg.reports.settings import same_in, short_names, varying


def test_rows_that_agree_have_one_number():
    frame = pd.DataFrame(
        {
            "a": ["x", "x", None, "x", None],
            "b": [1.0, np.nan, 1.0, 1.0, 1.0],
            "c": pd.array([1, 1, None, 1, None], dtype="Int64"),
            "d": pd.array([True, True, None, True, False], dtype="boolean"),
        },
        index=[9, 8, 7, 6, 5],
    )
    same = same_in(frame, ["a", "b", "c", "d"])
    assert same.index.tolist() == [9, 8, 7, 6, 5]
    assert same.tolist() == [0, 1, 2, 0, 3]
    assert same_in(frame, []).tolist() == [0] * 5


def test_numbers_are_those_of_grouping():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.integers(0, 4, 200).astype(float) for name in "abcde"})
    frame = frame.mask(rng.random(frame.shape) < 0.1)
    expected = frame.groupby(list("abcde"), dropna=False, sort=False).ngroup()
    assert (same_in(frame, list("abcde")) == expected).all()


def test_the_search_s_epsilon_is_told_where_it_differs(frame):
    alike = [{"epsilon_search": e, "epsilon_sample": e} for e in (1.0, 2.0)]
    assert varying(frame(*alike)) == ["epsilon_sample"]
    apart = [*alike, {"epsilon_search": 1.0, "epsilon_sample": 2.0}]
    assert varying(frame(*apart)) == ["epsilon_search", "epsilon_sample"]


def test_short_names_stay_apart():
    names = ["sngan.scenes32", "sngan.scenes32-large", "sagan.imagenet128", "sagan.tinyimagenet64"]
    assert list(short_names(names).values()) == ["sngan", "sngan-large", *names[2:]]


def test_parts_are_told_where_the_whole_has_no_name():
    rows = pd.DataFrame({"filters": ["gseg", "none"], "max_share": [0.5, 1.0], "iou": [0.1, 0.2]})
    assert varying(rows) == ["filters"]
    own = rows.assign(filters=["gseg", "custom"])
    assert varying(own) == ["filters", "max_share"]
    assert varying(own.assign(filters="custom")) == ["max_share"]
