import pytest

from gseg.reports.content import Chart, ReportTable
from gseg.reports.grids import axis_parts, heat_parts, size_parts


def _grid(weights, epsilons, **more):
    return [
        {
            "generator": "a.x",
            "contrast_weight": weight,
            "epsilon_sample": epsilon,
            "epsilon_search": epsilon,
            "iou": weight / 10 + epsilon / 100,
            **more,
        }
        for weight in weights
        for epsilon in epsilons
    ]


def _split(parts):
    charts = [part for part in parts if isinstance(part, Chart)]
    return charts, [part for part in parts if isinstance(part, ReportTable)]


def test_both_axes_make_a_heat_map(frame):
    charts, (table,) = _split(heat_parts(frame(*_grid([1.25, 5.0], [1.0, 2.0]))))
    assert len(charts) == 1
    assert "0.145" in charts[0].svg
    assert len(table.frame) == 4


def test_one_axis_makes_none(frame):
    assert heat_parts(frame(*_grid([1.25, 5.0], [1.0]))) == []
    assert heat_parts(frame(*_grid([5.0], [1.0, 2.0]))) == []


def test_a_heat_map_mixes_no_other_settings(frame):
    rows = [*_grid([1.25, 5.0], [1.0, 2.0]), *_grid([1.25, 5.0], [1.0], mask_kind="both", iou=0.9)]
    charts, (table,) = _split(heat_parts(frame(*rows)))
    assert "0.900" not in charts[0].svg
    assert len(table.frame) == 4


def test_seeds_are_averaged(frame, seeds):
    rows = [*_grid([1.0, 5.0], [1.0, 2.0]), {**_grid([5.0], [2.0])[0], **seeds(1), "iou": 0.72}]
    charts, (table,) = _split(heat_parts(frame(*rows)))
    assert "0.620" in charts[0].svg  # of 0.52 and 0.72
    assert sorted(table.frame.seeds) == [1, 1, 1, 2]


def test_sizes_make_curves(frame, seeds):
    rows = [
        {"generator": "a.x", "data_size": 10, "iou": 0.3},
        {"generator": "a.x", "data_size": 1_000, "iou": 0.5},
        {"generator": "a.x", "data_size": 1_000, "iou": 0.7, **seeds(1)},
        {"generator": "b.x", "data_size": 10, "iou": 0.4},
        {"method": "true_masks", "generator": None, "data_size": 10, "iou": 0.8},
        {"method": "true_masks", "generator": None, "data_size": 1_000, "iou": 0.9},
    ]
    charts, (table,) = _split(size_parts(frame(*rows)))
    assert [chart.svg.count('class="curve"') for chart in charts] == [2, 2]
    assert "true masks" in charts[1].svg
    largest = table.frame[(table.frame.generator == "a.x") & (table.frame.data_size == 1_000)]
    assert largest.iou.item() == pytest.approx(0.6)
    assert largest.iou_sd.item() == pytest.approx(0.1414, abs=1e-4)


def test_one_size_makes_no_curve(frame):
    assert size_parts(frame({"generator": "a.x"}, {"generator": "b.x"})) == []


def test_one_axis_makes_curves(frame):
    rows = [*_grid([1.25, 5.0], [1.0]), *_grid([5.0], [1.0], data_size=50)]
    charts, (table,) = _split(axis_parts(frame(*rows)))
    assert [chart.svg.count('class="curve"') for chart in charts] == [1, 1]
    assert table.name == "contrast_weight"
    assert table.frame.contrast_weight.tolist() == [1.25, 5.0]
    assert "ε 1" in charts[0].caption
    assert "λ" not in charts[0].caption
    charts, (table,) = _split(axis_parts(frame(*_grid([5.0], [1.0, 2.0]))))
    assert table.frame.epsilon_sample.tolist() == [1.0, 2.0]
    assert axis_parts(frame(*_grid([5.0], [1.0]))) == []
