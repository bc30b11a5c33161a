from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from gseg.reports.axes import Axis, spanning
from gseg.reports.charts import Curve, curve_chart, scatter_chart
from gseg.reports.drawing import Point
from gseg.reports.heat import heat_chart, heat_map
from gseg.reports.statistics import fit_band


def _elements(svg, tag, **attributes):
    found = ElementTree.fromstring(svg).iter(tag)
    return [e for e in found if all(e.get(k) == v for k, v in attributes.items())]


def _texts(svg, kind):
    return [element.text for element in _elements(svg, "text", **{"class": kind})]


def test_an_axis_maps_its_ends_to_its_places():
    axis = Axis(label="", low=10, high=1000, start=50, stop=250, logarithmic=True)
    assert [axis.at(value) for value in (10, 100, 1000)] == pytest.approx([50, 150, 250])
    assert axis.ticks() == [10, 100, 1000]
    linear = Axis(label="", low=0.0, high=1.0, start=250, stop=50)
    assert [linear.at(value) for value in (0, 0.5, 1)] == [250, 150, 50]
    assert linear.ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [1e-9, 1e9], [-5.0, 5.0]])
def test_any_values_fit_an_axis(values):
    axis = spanning("", values, 0, 100)
    assert all(0 <= axis.at(value) <= 100 for value in values)
    assert 1 <= len(axis.ticks()) <= 12


def test_close_sizes_have_ticks_on_a_logarithmic_axis():
    axis = spanning("", [250, 4_000], 0, 100, logarithmic=True)
    assert axis.ticks() == [500, 1_000, 2_000] or len(axis.ticks()) >= 2


def test_smaller_distances_stand_at_the_right():
    points = [Point(x=5, y=0.1, label="far"), Point(x=1, y=0.9, label="near <&>", group=1)]
    svg = scatter_chart(points, title="a & b", x_label="FID", y_label="IoU", groups=["p", "q"])
    far, _ = _elements(svg, "circle")  # a point and the legend's
    near = _elements(svg, "polygon", **{"class": "c1"})[0]
    x, y = (float(value) for value in near.get("points").split()[0].split(","))
    assert float(far.get("cx")) < x
    assert float(far.get("cy")) > y
    assert _texts(svg, "label") == ["far", "near <&>"]
    assert _texts(svg, "title") == ["a & b"]
    assert [e.text for e in _elements(svg, "title")] == ["far: 5, 0.100", "near <&>: 1, 0.900"]


def test_the_band_is_cut_off_at_the_axes():
    x, y = np.arange(6.0), np.array([0.1, 0.4, 0.2, 0.7, 0.6, 0.9])
    points = [Point(x=a, y=b, label="") for a, b in zip(x, y, strict=True)]
    svg = scatter_chart(points, title="", x_label="", y_label="", band=fit_band(x, y))
    inner = _elements(svg, "svg")[1]
    assert {each.get("class") for each in inner} == {"band", "fit"}


def test_labels_of_close_points_do_not_cover_each_other():
    points = [Point(x=1 + i / 1000, y=0.5, label="generator") for i in range(4)]
    svg = scatter_chart([*points, Point(x=2, y=1, label="")], title="", x_label="", y_label="")
    labels = [e for e in _elements(svg, "text", **{"class": "label"}) if e.text]
    places = {(round(float(e.get("x"))), round(float(e.get("y")))) for e in labels}
    assert len(places) == 4


def test_curves_rise_with_their_values():
    curve = Curve(name="a", x=[100, 10_000], y=[0.2, 0.8], spread=[0.0, 0.1])
    svg = curve_chart([curve], title="t", x_label="samples", y_label="IoU")
    (line,) = _elements(svg, "polyline")
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in line.get("points").split())
    assert x0 < x1
    assert y0 > y1
    assert len(_elements(svg, "line", **{"class": "spread s0"})) == 1


def test_heat_maps_average_and_leave_gaps():
    rows = pd.DataFrame(
        {"l": [1.0, 1.0, 5.0, 5.0], "e": [2.0, 2.0, 2.0, 1.0], "iou": [0.2, 0.4, 0.5, 0.6]}
    )
    values = heat_map(rows, down="l", across="e")
    assert values.loc[1.0, 2.0] == pytest.approx(0.3)
    assert values.columns.tolist() == [1.0, 2.0]
    svg = heat_chart(values, title="", x_label="ε", y_label="λ")
    assert sorted(_texts(svg, "cell b") + _texts(svg, "cell w")) == ["0.300", "0.500", "0.600"]
    assert len(_elements(svg, "rect", **{"class": "none"})) == 1


def test_curves_mark_their_own_sizes_where_there_is_room():
    wide = Curve(name="a", x=[100, 3_000], y=[0.2, 0.8], spread=[0.0, 0.0])
    svg = curve_chart([wide], title="t", x_label="samples", y_label="IoU")
    assert {"100", "3000"} <= set(_texts(svg, "tick"))
    close = Curve(name="a", x=[100, 101, 3_000], y=[0.2, 0.8, 0.8], spread=[0.0] * 3)
    svg = curve_chart([close], title="t", x_label="samples", y_label="IoU")
    assert "101" not in _texts(svg, "tick")
