import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from gseg.samples.histograms import contrastive, count_maxima, histograms

SPEC = importlib.util.spec_from_file_location("oracle", Path(__file__).with_name("oracle.py"))
oracle = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(oracle)

#                     bin: 0  1  2  3  4  5  6  7  8  9 10 11
VALLEY = np.array([[9, 6, 3, 0, 0, 0, 0, 0, 3, 6, 9, 12]])
HILL = np.array([[9, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 12]])
FALLING = np.array([[12, 9, 6, 3, 0, 0, 0, 0, 0, 0, 0, 0]])


def test_text_rule_by_hand():
    # Moving averages (ends over two bins) times 6: VALLEY 45 36 18 6 0 0 0 6 18 36 54 63: falls,
    # then rises, no hill. HILL 27 18 0 0 12 12 12 0 0 0 24 36: one hill, bins 4 to 6.
    assert count_maxima(VALLEY, "text").tolist() == [0]
    assert count_maxima(HILL, "text").tolist() == [1]
    assert count_maxima(FALLING, "text").tolist() == [0]
    assert contrastive(np.array([0, 1, 2]), "text").tolist() == [True, False, False]


def test_program_rule_by_hand():
    # Moving sums with zeros outside: VALLEY 15 18 9 3 0 0 0 3 9 18 27 21: maxima at 1, 5 (the
    # middle of the plateau) and 10. FALLING 21 27 18 9 3 0 ... 0: a maximum at 1, and each of
    # bins 6 to 11 is as high as its neighbours: 7 in all.
    assert count_maxima(VALLEY, "program").tolist() == [3]
    assert count_maxima(FALLING, "program").tolist() == [7]
    assert contrastive(np.array([0, 1, 2]), "program").tolist() == [False, False, True]


def test_one_grey_picture_by_hand():
    # Half black (-1), half white (1): all in the two end bins, value 1 itself in the last.
    picture = torch.full((1, 3, 4, 4), -1.0)
    picture[..., 2:] = 1.0
    for rule, values in (("text", 16), ("program", 48)):
        counts = histograms(picture, rule)
        assert counts.tolist() == [[values // 2, *[0] * 10, values // 2]]
        assert contrastive(count_maxima(counts, rule), rule).all()
    # Half dark grey, half light grey: hills between the ends, which only the text minds.
    middle = picture * 0.45
    assert not contrastive(count_maxima(histograms(middle, "text"), "text"), "text").any()
    assert contrastive(count_maxima(histograms(middle, "program"), "program"), "program").all()


def test_a_flat_picture_is_rejected_by_the_text():
    counts = histograms(torch.full((1, 3, 8, 8), 0.1), "text")
    assert not contrastive(count_maxima(counts, "text"), "text").any()


@pytest.mark.parametrize("shape", [(7, 3, 16, 16), (3000, 3, 2, 2)])
def test_counts_equal_numpy(shape):
    pictures = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 0.6
    for index, (text, program) in enumerate(
        zip(histograms(pictures, "text"), histograms(pictures, "program"), strict=True)
    ):
        if index % 97 == 0:
            picture = pictures[index].numpy()
            np.testing.assert_array_equal(text, oracle.histogram(oracle.luminance(picture)))
            np.testing.assert_array_equal(program, oracle.histogram(picture))


@pytest.mark.parametrize("window", [1, 3, 5])
def test_maxima_equal_the_oracle(window):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 6, (400, 12)) * rng.integers(0, 2, (400, 12))
    text = [oracle.text_maxima(row, window) for row in counts]
    program = [oracle.program_maxima(row, window) for row in counts]
    assert count_maxima(counts, "text", window).tolist() == text
    assert count_maxima(counts, "program", window).tolist() == program
    assert 0 < np.mean(np.array(text) == 0) < 1


def test_batching_changes_nothing():
    pictures = torch.rand(9, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
    for rule in ("text", "program"):
        whole = histograms(pictures, rule)
        parts = [histograms(part, rule) for part in pictures.split(4)]
        np.testing.assert_array_equal(whole, np.concatenate(parts))
