import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from gseg.reports import figures
from gseg.reports.figures import distance_figure


def _rows(**columns):
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
    subplots = figures.Figure.subplots

    def recorded(self, *arguments):
        found = subplots(self, *arguments)
        panels.extend(found)
        return found

    monkeypatch.setattr(figures.Figure, "subplots", recorded)

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
    legend = drawn(_rows())[-1].get_legend()
    assert {text.get_text() for text in legend.get_texts()} == {"250 samples", "4,000 samples"}


def test_panels_show_accuracy_and_iou_against_the_reversed_distance(drawn):
    accuracy, iou = drawn(_rows())
    assert [axes.get_ylabel() for axes in (accuracy, iou)] == ["accuracy", "IoU"]
    assert all(axes.xaxis_inverted() for axes in (accuracy, iou))
    assert accuracy.get_xlabel() == "Fréchet distance (scenes, 5000 pictures)"
    points = {tuple(point) for dots in iou.collections for point in dots.get_offsets().tolist()}
    assert points == set(zip(_rows().fid, _rows().iou, strict=True))
    assert [text.get_text() for text in accuracy.texts] == ["c.x", "b.x", "a.x"]


def test_the_rank_correlation_is_that_of_the_largest_size(drawn):
    accuracy, iou = drawn(_rows())
    assert "ρ = 1.00" in accuracy.get_title()
    assert "ρ = 0.50" in iou.get_title()  # ranks of the distances 1 2 3, of the scores 2 1 3


def test_two_generators_have_no_rank_correlation(drawn):
    accuracy, _ = drawn(_rows().query("generator != 'c.x'"))
    assert accuracy.get_title() == "rank correlation needs three generators"


def test_equal_scores_have_no_rank_correlation(drawn):
    accuracy, _ = drawn(_rows(accuracy=[0.5] * 6))
    assert accuracy.get_title() == "no rank correlation: all scores are equal"


def test_two_protocols_do_not_share_a_figure(tmp_path):
    rows = _rows(fid_protocol=["one", "other"] * 3)
    with pytest.raises(ValueError, match="one distance protocol"):
        distance_figure(tmp_path / "a.png", rows, title="")
    assert not list(tmp_path.iterdir())
