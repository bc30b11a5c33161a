import numpy as np
import pytest
from scipy import stats

from gseg.reports.statistics import correlate, fit_band

X = np.array([1.0, 2.0, 2.0, 3.5, 7.0, 9.0])
Y = np.array([0.2, 0.1, 0.4, 0.4, 0.9, 0.7])


def test_correlations_are_scipy_s_ties_included():
    found = correlate(X, Y)
    assert found.pearson == pytest.approx(stats.pearsonr(X, Y).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(X, Y).statistic)
    assert found.count == 6


def test_intervals_are_percentiles_of_resamples():
    """Against a loop over the same kind of resamples, drawn independently."""
    rng = np.random.default_rng(7)
    values = []
    for _ in range(4_000):
        picked = rng.integers(6, size=6)
        if np.ptp(X[picked]) and np.ptp(Y[picked]):
            values.append(np.corrcoef(X[picked], Y[picked])[0, 1])
    expected = np.percentile(values, [2.5, 97.5])
    assert correlate(X, Y).pearson_interval == pytest.approx(expected, abs=0.06)


def test_a_perfect_line_has_no_doubt():
    found = correlate(X, 3 - 2 * X)
    assert (found.pearson, found.spearman) == (pytest.approx(-1), pytest.approx(-1))
    assert found.pearson_interval == pytest.approx((-1, -1))
    band = fit_band(X, 3 - 2 * X, points=3)
    assert band.x.tolist() == [1, 5, 9]
    assert band.line.tolist() == pytest.approx([1, -7, -15])
    assert band.low.tolist() == pytest.approx([1, -7, -15])


def test_the_band_encloses_the_least_squares_line():
    band = fit_band(X, Y)
    slope, start = np.polyfit(X, Y, 1)
    assert np.allclose(band.line, start + slope * band.x)
    assert (band.low < band.line).all()
    assert (band.line < band.high).all()


def test_too_few_or_equal_points_say_nothing():
    assert correlate(X[:2], Y[:2]) is None
    assert correlate(X, np.full(6, 0.5)) is None
    four = correlate(X[:4], Y[:4])
    assert four.pearson_interval is None
    assert fit_band(X[:4], Y[:4]) is None
    assert fit_band(np.ones(6), Y) is None


def test_the_same_points_give_the_same_numbers():
    assert correlate(X, Y) == correlate(X, Y)
