import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from gseg.reports.charts import Point, curve_chart, heat_chart, scatter_chart
from gseg.reports.statistics import fit_band

_SVG = "{http://www.w3.org/2000/svg}"


def _elements(svg, tag, kind=None):
    found = ElementTree.fromstring(svg).iter(f"{_SVG}{tag}")
    return [each for each in found if kind is None or each.get("class") == kind]


def _texts(svg, kind=None):
    groups = [svg] if kind is None else map(_source, _elements(svg, "g", kind))
    return [text.text for group in groups for text in _elements(group, "text")]


def _source(element):
    return ElementTree.tostring(element, encoding="unicode")


def _points(svg):
    """Say where points lie: what each tells, and its place from left and top."""
    found = {}
    for group in _elements(svg, "g", "point"):
        for place in group.iter(f"{_SVG}use"):  # not so the bar of its deviation
            told = group.find(f"{_SVG}title").text
            found[told] = (float(place.get("x")), float(place.get("y")))
    return found


def _curve(*places, spread=0.0):
    return [Point(x=x, y=y, spread=spread * (x == places[-1][0])) for x, y in places]


def _drawn(*curves):
    named = dict(zip("abcdefghi", curves, strict=False))
    return curve_chart(named, title="t", x_label="samples", y_label="IoU")


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [1e-9, 1e9], [-5.0, 5.0]])
def test_any_values_fit_an_axis(values):
    points = [Point(x=value, y=value, label="") for value in values]
    svg = scatter_chart(points, title="", x_label="", y_label="")
    assert all(0 <= x <= 460 and 0 <= y <= 310 for x, y in _points(svg).values())
    numbers = [text for text in _texts(svg) if text]
    assert 2 <= len(numbers) <= 24


def test_a_logarithmic_axis_has_equal_distances_for_equal_ratios():
    (a, _), (b, _), (c, _) = _points(_drawn(_curve((10, 0.1), (100, 0.2), (1_000, 0.3)))).values()
    assert b - a == pytest.approx(c - b)


def test_close_sizes_have_ticks_on_a_logarithmic_axis():
    sizes = [*range(250, 4_001, 50)]
    svg = _drawn(_curve(*((size, 0.5) for size in sizes)))
    assert {"500", "1000", "2000"} <= set(_texts(svg))


def test_smaller_distances_stand_at_the_right():
    points = [Point(x=5, y=0.1, label="far"), Point(x=1, y=0.9, label="near <&>", group=1)]
    svg = scatter_chart(points, title="a & b", x_label="FID", y_label="IoU", groups=["p", "q"])
    (far, near) = _points(svg).items()
    assert (far[0], near[0]) == ("far: 5, 0.100", "near <&>: 1, 0.900")
    assert far[1][0] < near[1][0]
    assert far[1][1] > near[1][1]
    assert _texts(svg, "label") == ["far", "near <&>"]
    assert {"a & b", "FID", "IoU", "p", "q"} <= set(_texts(svg))
    assert ElementTree.fromstring(svg).get("aria-label") == "a & b"


def test_the_band_is_cut_off_at_the_axes():
    x, y = np.arange(6.0), np.array([0.1, 0.4, 0.2, 0.7, 0.6, 0.9])
    points = [Point(x=a, y=b, label="") for a, b in zip(x, y, strict=True)]
    common = {"title": "", "x_label": "", "y_label": ""}
    svg = scatter_chart(points, **common, band=fit_band(x, y))
    band, line = _elements(svg, "g", "band")
    assert 'clip-path="url(#' in _source(band)
    assert 'clip-path="url(#' in _source(line)
    assert list(_points(svg).values()) == list(_points(scatter_chart(points, **common)).values())


def test_labels_of_close_points_do_not_cover_each_other():
    points = [Point(x=1 + i / 1000, y=0.5, label="generator") for i in range(4)]
    svg = scatter_chart([*points, Point(x=2, y=1, label="")], title="", x_label="", y_label="")
    labels = [each for each in _elements(svg, "text") if each.text == "generator"]
    places = {(round(float(e.get("x"))), round(float(e.get("y")))) for e in labels}
    assert len(places) == 4


def test_curves_rise_with_their_values():
    svg = _drawn(_curve((100, 0.2), (10_000, 0.8), spread=0.1))
    assert list(_points(svg)) == ["a, 100, 0.200", "a, 10,000, 0.800 ± 0.100"]
    (x0, y0), (x1, y1) = _points(svg).values()
    assert x0 < x1
    assert y0 > y1
    (curve,) = _elements(svg, "g", "curve")
    numbers = re.findall(r"[\d.]+", curve.find(f"{_SVG}path").get("d"))
    assert [float(number) for number in numbers] == pytest.approx([x0, y0, x1, y1])


def test_heat_maps_write_their_numbers_and_leave_gaps():
    values = pd.DataFrame([[np.nan, 0.3], [0.6, 0.5]], index=[1.0, 5.0], columns=[1.0, 2.0])
    svg = heat_chart(values, title="", x_label="ε", y_label="λ")
    assert _texts(svg, "cell") == ["0.300", "0.600", "0.500"]
    assert len(re.findall('style="fill: #(?!000|fff)', svg)) == 3
    places = {e.text: (float(e.get("x")), float(e.get("y"))) for e in _elements(svg, "text")}
    assert places["0.600"][0] < places["0.500"][0]  # columns from left to right
    assert places["0.300"][1] < places["0.500"][1]  # rows from top to bottom


def test_curves_mark_their_own_sizes_where_there_is_room():
    assert {"100", "3000"} <= set(_texts(_drawn(_curve((100, 0.2), (3_000, 0.8)))))
    assert "101" not in _texts(_drawn(_curve((100, 0.2), (101, 0.8), (3_000, 0.8))))


def test_colours_are_the_page_s():
    svg = _drawn(*(_curve((100, 0.1 * n), (1_000, 0.2)) for n in range(9)))
    assert {f"c{n}" for n in range(8)} <= set(re.findall(r"var\(--(\w+),#\w+\)", svg))
    assert re.sub(r"var\(--\w+,#\w+\)", "", svg).count(": #") == 0


def test_charts_of_one_page_share_no_ids_and_repeat_their_bytes():
    def ids(svg):
        found = re.findall(r' id="([^"]*)"', svg)
        assert set(re.findall(r'(?:href="|url\()#(\w+)', svg)) <= set(found)
        return set(found)

    one, other = (_drawn(_curve((100, 0.2), (1_000, value))) for value in (0.8, 0.9))
    assert ids(one)
    assert ids(one).isdisjoint(ids(other))
    assert one == _drawn(_curve((100, 0.2), (1_000, 0.8)))


def test_nobody_else_s_figures_change():
    before = dict(mpl.rcParams)
    _drawn(_curve((100, 0.2), (1_000, 0.8)))
    assert dict(mpl.rcParams) == before
