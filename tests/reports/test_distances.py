import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image
from scipy import stats

from gseg.reports import charts
from gseg.reports.content import Chart
from gseg.reports.distances import (
    correlation_table,
    distance_figure,
    distance_parts,
    distance_points,
    printed_figure,
    protocol_groups,
)

DISTANCES = {"a.x": 9.0, "b.x": 7.0, "c.x": 4.0, "d.x": 2.0, "e.x": 1.0}
IOUS = {"a.x": 0.3, "b.x": 0.5, "c.x": 0.4, "d.x": 0.8, "e.x": 0.7}


def _rows(**more):
    return [
        {"generator": name, "fid": distance, "fid_protocol": "p", "iou": IOUS[name], **more}
        for name, distance in DISTANCES.items()
    ]


def _captions(parts):
    return [part.caption for part in parts if isinstance(part, Chart)]


def test_correlations_are_of_the_negative_distance(frame):
    table = correlation_table(distance_points(frame(*_rows())))
    line = table.frame[table.frame.score == "iou"].iloc[0]
    x, y = -np.array(list(DISTANCES.values())), np.array(list(IOUS.values()))
    assert line.pearson == pytest.approx(stats.pearsonr(x, y).statistic)
    assert line.spearman == pytest.approx(stats.spearmanr(x, y).statistic)
    assert line.generators == 5
    assert line.pearson_low <= line.pearson <= line.pearson_high


def test_seeds_are_averaged_before(frame, seeds):
    rows = [*_rows(**seeds(0)), *_rows(**seeds(1))]
    rows[-1]["iou"] = 0.9  # e.x: the mean of 0.7 and 0.9
    points = distance_points(frame(*rows))
    last = points[points.generator == "e.x"].iloc[0]
    assert len(points) == 5
    assert last.iou == pytest.approx(0.8)
    assert last.iou_sd == pytest.approx(np.std([0.7, 0.9], ddof=1))


def test_protocols_are_never_mixed(frame):
    rows = [*_rows(), *_rows(data_size=5)]
    for row in rows[:2]:
        row["fid_protocol"] = "q"
    groups = list(protocol_groups(distance_points(frame(*rows))))
    assert {key.protocol for key, _ in groups} == {"p", "q"}
    for key, group in groups:
        assert set(group.protocol) == {key.protocol}
    for caption in _captions(distance_parts(frame(*rows)))[:-1]:
        assert len(re.findall(r"Distance: [pq]\.", caption)) == 1


def test_measured_and_published_distances_stay_apart(frame):
    rows = _rows(published_fid=50.0, published_fid_protocol="p")
    keys = [key for key, _ in protocol_groups(distance_points(frame(*rows)))]
    assert [key.measured for key in keys] == [False, True]


def test_charts_show_the_largest_set_of_alike_trials(frame):
    rows = [*_rows(data_size=4_000)[:4], *_rows(data_size=250), *_rows(data_size=1_000)]
    captions = _captions(distance_parts(frame(*rows)))
    assert len(captions) == 3  # accuracy, IoU, Figure 4
    assert "n = 5" in captions[1]
    assert "samples 1,000" in captions[1]


def test_with_several_benchmarks_their_mean_comes_first(frame):
    rows = [*_rows(), *_rows(benchmark="cub")]
    for row in rows[5:]:
        row["iou"] -= 0.2
    parts = distance_parts(frame(*rows))
    charts = [part for part in parts if isinstance(part, Chart)]
    assert [bool(chart.fold) for chart in charts] == [False] * 2 + [True] * 4 + [False]
    assert "IoU on 2 benchmarks, mean" in charts[1].svg
    (key, whole), *_ = protocol_groups(distance_points(frame(*rows)))
    assert key.overall
    assert whole.set_index("generator").iou["a.x"] == pytest.approx(0.2)


def test_snapshots_are_compared_with_their_own_generator(frame):
    snapshots = [
        {"generator": f"e.x{suffix}", "fid": fid, "fid_protocol": "p", "iou": iou}
        for suffix, fid, iou in (("-300", 8.0, 0.2), ("-1000", 3.0, 0.5))
    ]
    rows = frame(*_rows(), *snapshots)
    captions = _captions(distance_parts(rows))
    assert "n = 5" in captions[1]  # without the snapshots
    assert captions[3].startswith("Snapshots of e.x")
    assert "n = 3" in captions[3]


def test_training_sets_of_one_protocol_are_shown_apart(frame):
    rows = _rows()
    for row in rows[:2]:
        row["dataset"] = "horses"
    captions = _captions(distance_parts(frame(*rows)))
    assert captions[1].startswith("Trained on horses and scenes")
    assert captions[3].startswith("Trained on horses.")
    assert captions[5].startswith("Trained on scenes.")


def test_without_distances_the_printed_figure_is_left(frame):
    others = {"method": "otsu", "generator": None}
    rows = [{"generator": f"{name}.x"} for name in "abc"]
    assert len(distance_parts(frame(*rows, others))) == 1
    assert distance_parts(frame(*rows[1:], others)) == []


def test_figure_4_is_marked_as_mixing_two_protocols():
    chart = printed_figure()
    assert "MIXES TWO PROTOCOLS" in chart.svg
    assert "n = 9" in chart.caption
    assert chart.svg.count('class="label"') == 9
    assert "for the 5 of" in chart.caption
    assert "for the 4 of" in chart.caption


def _trials(**columns):
    settings = {
        "generator": ["a.x", "b.x", "c.x"] * 2,
        "data_size": [4000.0] * 3 + [250.0] * 3,  # pandas gives floats where baselines have none
        "fid": [1.0, 2.0, 3.0] * 2,
        "accuracy": [0.9, 0.8, 0.7, 0.5, 0.6, 0.7],
        "iou": [0.7, 0.8, 0.6, 0.1, 0.2, 0.3],
        "fid_protocol": ["scenes, 5000 pictures"] * 6,
    }
    return pd.DataFrame(settings | columns)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw a figure and give its panels."""
    panels = []
    subplots = charts.Figure.subplots

    def recorded(self, *arguments, **options):
        found = subplots(self, *arguments, **options)
        panels.extend(found.ravel())
        return found

    monkeypatch.setattr(charts.Figure, "subplots", recorded)

    def draw(rows) -> list[Axes]:
        path = tmp_path / "new" / "distance.png"
        distance_figure(path, rows, title="all_gans on scenes")
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert min(image.size) > 300
        assert [each.name for each in path.parent.iterdir()] == ["distance.png"]
        return panels

    return draw


def test_sizes_are_whole_numbers_in_the_legend(drawn):
    (legend,) = drawn(_trials())[-1].figure.legends
    assert {text.get_text() for text in legend.get_texts()} == {"250 samples", "4,000 samples"}


def test_panels_show_accuracy_and_iou_against_the_reversed_distance(drawn):
    accuracy, iou = drawn(_trials())
    assert [axes.get_ylabel() for axes in (accuracy, iou)] == ["accuracy", "IoU"]
    assert all(axes.xaxis_inverted() for axes in (accuracy, iou))
    assert accuracy.get_xlabel() == "Fréchet distance (scenes, 5000 pictures)"
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line, *_ in iou.containers}
    assert points == set(zip(_trials().fid, _trials().iou, strict=True))
    assert [text.get_text() for text in accuracy.texts] == ["a", "b", "c", "", "", ""]


def test_the_rank_correlation_is_that_of_the_largest_size(drawn):
    accuracy, iou = drawn(_trials())
    assert "ρ = 1.00" in accuracy.get_title("left")
    assert "ρ = 0.50" in iou.get_title("left")  # ranks of the distances 1 2 3, of the scores 2 1 3


def test_two_generators_have_no_rank_correlation(drawn):
    accuracy, _ = drawn(_trials().query("generator != 'c.x'"))
    assert accuracy.get_title("left") == "rank correlation needs three generators"


def test_equal_scores_have_no_rank_correlation(drawn):
    accuracy, _ = drawn(_trials(accuracy=[0.5] * 6))
    assert accuracy.get_title("left") == "no rank correlation: all scores are equal"


def test_two_protocols_do_not_share_a_figure(tmp_path):
    rows = _trials(fid_protocol=["one", "other"] * 3)
    with pytest.raises(ValueError, match="one distance protocol"):
        distance_figure(tmp_path / "a.png", rows, title="")
    assert not list(tmp_path.iterdir())
