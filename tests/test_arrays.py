"""gseg/arrays.py: what is refused, and where it is said to be."""

import numpy as np
import pytest
import torch

from gseg.arrays import check_finite


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_the_array_and_the_row_are_named(bad, kind):
    whole = np.ones((5, 4), kind)
    for array in (whole, torch.from_numpy(whole.copy())):
        check_finite("f.npy", {"rows": array})
        array[3, 1] = array[4, 2] = bad
        told = r"f\.npy: 'rows' holds NaN or infinity \(2 of 20 numbers, the first in row 3 of 5\)"
        with pytest.raises(ValueError, match=told):
            check_finite("f.npy", {"other": torch.zeros(2), "rows": array})


def test_large_numbers_integers_and_nothing_are_fine():
    large = torch.full((3,), 3e38)  # whose sum is infinite
    half = torch.full((100,), 60_000.0, dtype=torch.float16)
    numbers = torch.arange(3)
    check_finite("f", {"a": large, "b": half, "c": numbers, "d": torch.zeros(0), "e": np.zeros(0)})
    check_finite(
        "f", {"a": np.full(100, 60_000, np.float16), "b": torch.zeros((), dtype=torch.bool)}
    )


def test_numbers_without_rows_and_other_kinds():
    with pytest.raises(ValueError, match=r"'a' holds NaN or infinity \(1 of 1 numbers\)"):
        check_finite("f", {"a": torch.tensor(float("nan"))})
    with pytest.raises(ValueError, match="first in row 1 of 2"):
        check_finite("f", {"a": torch.tensor([1, float("nan")], dtype=torch.bfloat16)})


def test_a_running_variance_is_not_negative():
    check_finite("f", {"norm.running_var": torch.zeros(3), "norm.running_mean": -torch.ones(3)})
    with pytest.raises(ValueError, match=r"f: the variances 'norm\.running_var' are negative"):
        check_finite("f", {"norm.running_var": torch.tensor([1.0, -0.1])})
